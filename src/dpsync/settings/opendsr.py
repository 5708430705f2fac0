"""Section [opendsr]: controllers that hand over erasures by OpenDSR 2.0. Without it that door does not exist."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from dpsync.settings.section import Section
from dpsync.settings.values import Folder, Name, WebAddress, wrong

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"(?:{_LABEL}\.)*{_LABEL}")
_HASH = re.compile(r"sha256:[0-9a-f]{64}")


def _token_hash(text: str) -> str:
    if not _HASH.fullmatch(text):
        raise wrong("must be what `dpsync opendsr token` printed to stand here, never the token itself")
    return text


def _host(text: str) -> str:
    if len(text) > 253 or not _HOST.fullmatch(text):
        raise wrong("must be a host in small letters, such as privacy.example.org")
    return text


def _host_alone(url: str) -> str:
    if url.count("/") > 2:
        raise wrong("must be the beginning of an address alone, such as https://hub.example.org")
    return url.lower()


class OpenDsrControllerSection(Section):
    """One that may ask."""

    token_hashes: tuple[Annotated[str, AfterValidator(_token_hash)], ...] = Field(
        description="The hash of its token: `dpsync opendsr token` makes both. Two during a change: both are valid.",
    )
    callbacks: tuple[Annotated[WebAddress, AfterValidator(_host_alone)], ...] = Field(
        default=(),
        max_length=20,
        description="The hosts that its requests may name for news of the status. Default: none.",
    )
    private_host: Annotated[str, Field(pattern=r"^[A-Za-z0-9.:-]{1,253}$")] | None = Field(
        default=None, description="One of those hosts once more, if it is inside your own network or this machine."
    )

    @model_validator(mode="after")
    def _is_whole(self) -> "OpenDsrControllerSection":
        if not 1 <= len(self.token_hashes) <= 2:
            raise wrong("token_hashes must be one, or two during a change")
        hosts = {urlsplit(one).hostname for one in self.callbacks}
        if self.private_host is not None and self.private_host.lower() not in hosts:
            raise wrong("private_host must be the host of one of callbacks: it lets dpsync call that one inside")
        return self


class OpenDsrSection(Section):
    """Controllers that hand over erasures by OpenDSR 2.0."""

    domain: Annotated[str, AfterValidator(_host)] = Field(
        description="The host that they ask, as its certificate names it. Best one of its own."
    )
    certificate: Folder = Field(
        description="The file of its certificate (PEM, with the chain), which dpsync reads anew when it changes."
    )
    key: Folder = Field(description="The file of the private key of that certificate: RSA, PEM, mode 0600.")
    main_database: Name = Field(
        description="The section in [processors] that stands for your own main database: it hears of these requests."
    )
    controllers: Mapping[Name, OpenDsrControllerSection] = Field(
        min_length=1, description="Who may ask, each under a name of its own."
    )


PREFIX = "opendsr:"
"""What the name of a source begins with that is one of these controllers: no section can be called so."""


def source_of(controller: str) -> str:
    """What a request is said to come from that one of them handed over."""
    return f"{PREFIX}{controller}"


def faults_of_opendsr(document: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], str]]:
    """What its fields cannot see: whether the main database has a section, and one that can be it.

    What that section names hears of no other requests, so it must not be a processor that somebody else's are for.
    """
    section, processors = document.get("opendsr"), document.get("processors")
    named = section.get("main_database") if isinstance(section, dict) else None
    if not isinstance(named, str):
        return
    found = processors.get(named) if isinstance(processors, dict) else None
    if not isinstance(found, dict):
        yield ("opendsr", "main_database"), "must be the name of a section in [processors]"
    elif found.get("connector") not in {"notice", "webhook"}:
        problem = 'must be a section with connector = "notice" or "webhook": it hears of nothing but these requests'
        yield ("opendsr", "main_database"), problem
