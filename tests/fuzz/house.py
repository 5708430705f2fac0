"""One installation on loopback, with its links: what pages, doors and lists are read by."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from dpsync.installation import Installation as Opened
from dpsync.model import Right, Role
from dpsync.propagation.page_links import STATUS, Page, PageKind, link_to
from tests.builders import confirm
from tests.journeys.installation import EVENTS, FORMS, NEWSLETTER, Installation, installed, sqlite_url
from tests.journeys.test_sources import OWN

SOURCES = """
[sources.own]
mapping = "own.toml"
scheme = "github"
secrets = [{{ env = "DPSYNC_TEST_INBOUND" }}]
"""


@dataclass(frozen=True, slots=True)
class House:
    """The installation, and the path of each page that a link of its mails leads to."""

    there: Installation
    links: tuple[str, ...]
    request_id: str

    @property
    def service(self) -> Opened:
        """What is opened."""
        return self.there.service


_STANDING: list[House] = []


def house() -> House:
    """The one that stands."""
    return _STANDING[-1]


@contextmanager
def standing(folder: Path) -> Iterator[House]:
    """Somebody is known there, asked for things, and is waited for: each kind of link was sent."""
    (folder / "own.toml").write_text(OWN, encoding="utf-8")
    processors = NEWSLETTER + FORMS + EVENTS + SOURCES
    with installed(folder, sqlite_url(folder), processors=processors, web=True) as there:
        for name in ("forms", "events"):
            there.service.write(partial(confirm, controller=there.service.controller, name=name, now=there.clock.now()))
        erasure = there.ask(Right.ERASURE, "ada@example.org", name="Ada L")
        there.ask(Right.OPT_OUT, "bob@example.org", id="crm-2")
        there.ask(Right.ERASURE, "bob@example.org", id="crm-3")  # held: two people may have that address
        there.drive()
        _STANDING.append(House(there, tuple(sorted(_links(there, erasure.id))), erasure.id))
        yield house()
        _STANDING.pop()


def _links(there: Installation, request_id: str) -> set[str]:
    service, now = there.service, there.clock.now()

    def to(page: Page) -> str:
        return service.write(lambda unit: link_to(unit.connection, service.controller, Role.DPO, page, now))

    found = {urlsplit(to(page)).path for page in (STATUS, Page(PageKind.DOSSIER, request_id))}
    found |= {f"{path}/{more}" for path in found for more in ("code", "decide", "letter", request_id)}
    for one in there.sandbox.messages(settled=True):
        text = one.raw.replace(b"=\r\n", b"").replace(b"=\n", b"").decode("latin-1")
        found |= set(re.findall(r"/(?:answers|contacts|decisions|pages)/[A-Za-z0-9_-]{32,128}", text))
    return found
