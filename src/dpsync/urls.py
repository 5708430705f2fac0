"""Which addresses of the network are ever called."""

import ipaddress
import re
from functools import lru_cache
from urllib.parse import urlsplit

_PLAIN = re.compile(r"[!-~]{1,4096}")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_ODD = (ipaddress.ip_network("::/96"), ipaddress.ip_network("64:ff9b:1::/48"))
"""What Python calls public, and leads inside: addresses of version 4 written as 6, and a network's own translation."""


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine by its name or its literal address; nothing is looked up."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def is_public(address: str) -> bool:
    """Whether a literal address is one of the public internet, also where it carries another one within (RFC 6890)."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        within = found.ipv4_mapped or found.sixtofour or (found in _NAT64 and ipaddress.IPv4Address(found.packed[12:]))
        if any(found in network for network in _ODD) or (within and not is_public(str(within))):
            return False
    return found.is_global and not found.is_multicast


def may_be_called(url: str, *, rehearsal: bool) -> bool:
    """Whether a URL is one that is ever called: https, or plain http on loopback in a rehearsal; without a user."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return _may_be_reached(parts.scheme, parts.netloc, rehearsal)


def is_at(url: str, configured: str, *, rehearsal: bool) -> bool:
    """Whether an address in a message is at the very host and port that the settings name: any other is an attack."""
    # Two readers of a URL take a line break or a backslash for different things.
    plain = bool(_PLAIN.fullmatch(url)) and "\\" not in url
    return plain and may_be_called(url, rehearsal=rehearsal) and urlsplit(url)[:2] == urlsplit(configured)[:2]


@lru_cache(maxsize=256)
def _may_be_reached(scheme: str, netloc: str, rehearsal: bool) -> bool:
    host = urlsplit(f"{scheme}://{netloc}").hostname or ""
    if not host or "@" in netloc:
        return False
    return scheme == "https" or (scheme == "http" and rehearsal and is_loopback(host))
