"""Which addresses of the network are ever called."""

import ipaddress
from functools import lru_cache
from urllib.parse import urlsplit


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine by its name or its literal address; nothing is looked up."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def may_be_called(url: str, *, rehearsal: bool) -> bool:
    """Whether a URL is one that is ever called: https, or plain http on loopback in a rehearsal; without a user."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return _may_be_reached(parts.scheme, parts.netloc, rehearsal)


@lru_cache(maxsize=256)
def _may_be_reached(scheme: str, netloc: str, rehearsal: bool) -> bool:
    host = urlsplit(f"{scheme}://{netloc}").hostname or ""
    if not host or "@" in netloc:
        return False
    return scheme == "https" or (scheme == "http" and rehearsal and is_loopback(host))
