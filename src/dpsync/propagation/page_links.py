"""Links to pages: the mails to our own people carry them, so that what a mail speaks of opens by a click.

They are signed, over after a time, and can be revoked. Looking changes nothing. No page decides about a request; a step
of a case is recorded by whoever gives a code, and then the link to that case is over.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import Connection, Row, delete, insert, select, update

from dpsync.alerts import day_of
from dpsync.model import Role
from dpsync.propagation import signed_links
from dpsync.propagation.controller import Controller
from dpsync.store.page_link_tables import page_link


class PageKind(StrEnum):
    """What a link opens."""

    REPORT = "report"
    REGISTER = "register"
    STATUS = "status"
    DOSSIER = "dossier"
    RECEIPT = "receipt"
    CASE = "case"


@dataclass(frozen=True, slots=True)
class Page:
    """One page. `about`: a report's month (2026-11), a dossier's or receipt's request, a case; "" for the others."""

    kind: PageKind
    about: str = ""


STATUS: Final = Page(PageKind.STATUS)
REGISTER: Final = Page(PageKind.REGISTER)

VALID = MappingProxyType(
    {
        PageKind.REPORT: timedelta(days=45),
        PageKind.REGISTER: timedelta(days=45),
        PageKind.STATUS: timedelta(days=7),
        PageKind.DOSSIER: timedelta(days=7),
        PageKind.RECEIPT: timedelta(days=7),
        PageKind.CASE: timedelta(days=7),
    }
)
"""How long a link is good. The report's outlives the next report by two weeks."""

MAY_SEE_WHO: Final = frozenset({Role.DPO, Role.DEPUTY})
"""To whom a code is mailed, which shows whom a request is about. The operator sees that with a command."""

FORGOTTEN_AFTER: Final = timedelta(days=30)
"""How long a link that is over stays in the list."""

CASE: Final = re.compile(r"[CI]-[0-9A-Z]{8}|L-[a-z0-9][a-z0-9_-]{0,39}")
"""The id of a complaint or an incident, or what the departure of a processor is called."""

REQUEST: Final = re.compile(r"r-[0-9A-Z]{26}")

_PURPOSE: Final = "page"
_L = page_link.c


def link_to(connection: Connection, controller: Controller, role: Role, page: Page, now: datetime) -> str:
    """The URL of a page, for a mail to a role; "" where links are off. One a day for each page and role."""
    if not controller.asked:
        return ""
    row = _of_today(connection, controller, role, page, now) or _made(connection, role, page, now)
    token = signed_links.token(controller.keys, _PURPOSE, row.id, _said(row))
    return f"{controller.public_url}/pages/{token}"


def _of_today(connection: Connection, controller: Controller, role: Role, page: Page, now: datetime) -> Row[Any] | None:
    same = (_L.kind == page.kind.value) & (_L.about == page.about) & (_L.role == role.value)
    chosen = select(page_link).where(same, _L.revoked_at.is_(None), _L.expires_at > now).order_by(_L.created_at.desc())
    row = connection.execute(chosen.limit(1)).one_or_none()
    today = row is not None and day_of(row.created_at, controller.zone) == day_of(now, controller.zone)
    return row if today else None


def _made(connection: Connection, role: Role, page: Page, now: datetime) -> Row[Any]:
    connection.execute(delete(page_link).where(_L.expires_at < now - FORGOTTEN_AFTER))
    values = {
        "id": signed_links.fresh_id(),
        "kind": page.kind.value,
        "about": page.about,
        "role": role.value,
        "created_at": now,
        "expires_at": now + VALID[page.kind],
    }
    return connection.execute(insert(page_link).values(values).returning(page_link)).one()


def page_about(role: Role, abouts: Sequence[str]) -> Page:
    """What the mail of an alert opens: the one case or request that it is about, else the list of what waits.

    `abouts`: what its concerns are called. One of a request at a processor leads to the list, where its state stands.
    """
    one, *more = {about.partition("/")[0] for about in abouts} or {""}
    if more or role not in MAY_SEE_WHO:
        return STATUS
    if CASE.fullmatch(one):
        return Page(PageKind.CASE, one)
    return Page(PageKind.DOSSIER, one) if one in abouts and REQUEST.fullmatch(one) else STATUS


def found_by(connection: Connection, controller: Controller, token: str, now: datetime) -> Row[Any] | None:
    """The link of a token; None where nobody made it, where it is over or revoked, without a word as to which."""
    row = connection.execute(select(page_link).where(_L.id == signed_links.id_in(token))).one_or_none()
    good = signed_links.is_signed(controller.keys, _PURPOSE, token, _said(row) if row else None)
    return row if good and row is not None and is_good(row, now) else None


def reader_of(connection: Connection, controller: Controller, token: str, now: datetime) -> Row[Any] | None:
    """The same, where the link was mailed to a role that a code shows people to; else None."""
    row = found_by(connection, controller, token, now)
    return row if row is not None and Role(row.role) in MAY_SEE_WHO else None


def is_good(row: Row[Any], now: datetime) -> bool:
    """Whether a link opens anything."""
    return bool(row.revoked_at is None and now < row.expires_at)


def page_of(row: Row[Any]) -> Page:
    """What a link opens."""
    return Page(PageKind(row.kind), row.about)


def listed(connection: Connection) -> list[Row[Any]]:
    """All links that are kept, the newest first."""
    return list(connection.execute(select(page_link).order_by(_L.created_at.desc(), _L.id)))


def revoke(connection: Connection, ids: Collection[str], now: datetime) -> int:
    """Close these links for good; says how many of them were good until now."""
    good = _L.id.in_(list(ids)) & _L.revoked_at.is_(None) & (_L.expires_at > now)
    return int(connection.execute(update(page_link).where(good).values(revoked_at=now, code_mac="")).rowcount)


def _said(row: Row[Any]) -> str:
    return f"{row.id}\n{row.kind}\n{row.about}\n{row.role}\n{row.expires_at.isoformat()}"
