"""One row of a main database's list of its people. Pure: what cannot be read is unknown, and never guessed."""

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from dpsync import strict_json
from dpsync.address import NotAnAddress, mailbox, normalised
from dpsync.errors import PayloadInvalid
from dpsync.intake.polling.table import moment

FLAGS: Final = ("opted_out", "erased", "deleted", "restricted")
COLUMNS: Final = frozenset({"id", "emails", "merged_into", "winner_emails", "version", "changed_at", *FLAGS})
NEEDED: Final = frozenset({"id", "emails"})

_BETWEEN: Final = re.compile(r"[\s,;]+")
_TRUE: Final = frozenset({"1", "true", "t", "yes", "y"})
_FALSE: Final = frozenset({"0", "false", "f", "no", "n", ""})


@dataclass(frozen=True, slots=True)
class Listed:
    """A person as the main database lists them. A flag is None where the list has no such column.

    `unread`: some of it cannot be understood, so that nothing may be concluded from what is not there.
    """

    id: str = field(repr=False)
    addresses: tuple[str, ...] = field(default=(), repr=False)
    opted_out: bool | None = None
    erased: bool | None = None
    deleted: bool | None = None
    restricted: bool | None = None
    merged_into: str = field(default="", repr=False)
    winner_addresses: tuple[str, ...] = field(default=(), repr=False)
    version: str = ""
    changed_at: datetime | None = None
    unread: bool = False

    @property
    def flagged(self) -> bool:
        """Whether it says that anything is wished, or that the record is gone."""
        return bool(self.opted_out or self.erased or self.deleted or self.restricted or self.merged_into)

    def digested(self) -> bytes:
        """What the keyed digest is made of by which it is seen whether a row says the same as before."""
        flags = [getattr(self, name) for name in FLAGS]
        told = self.version or (self.changed_at.isoformat() if self.changed_at else "")
        return json.dumps([self.id, sorted(map(normalised, self.addresses)), flags, self.merged_into, told]).encode()


def faults_of(columns: Collection[str]) -> str:
    """What is wrong with the columns of a list; "" for nothing."""
    if missing := sorted(NEEDED - set(columns)):
        return f"lacks the column {', '.join(missing)}"
    if unknown := sorted(set(columns) - COLUMNS):
        return f"has columns that dpsync does not know: {', '.join(unknown)[:100]}"
    if not set(columns) & {*FLAGS, "merged_into"}:
        return f"says nothing of anybody: it needs one of {', '.join(FLAGS)}, merged_into"
    return ""


def listed(row: Mapping[str, object]) -> Listed | None:
    """What a row says; None where it does not even say of whom."""
    own_id = _plain(row["id"])
    if not own_id or len(own_id) > 200:
        return None
    addresses, unread = _addresses(row["emails"])
    flags: dict[str, bool | None] = {}
    for name in FLAGS:
        flags[name], wrong = _flag(row, name)
        unread |= wrong
    changed_at, wrong = _moment(row.get("changed_at"))
    return Listed(
        id=own_id,
        addresses=addresses,
        merged_into=_plain(row.get("merged_into")),
        winner_addresses=_addresses(row.get("winner_emails"))[0],
        version=_plain(row.get("version")),
        changed_at=changed_at,
        unread=unread or wrong,
        **flags,
    )


def _plain(value: object) -> str:
    return "" if value is None or isinstance(value, bool) else str(value).strip()


def _addresses(value: object) -> tuple[tuple[str, ...], bool]:
    """Each address once, in one order, and whether something that stands there is none."""
    found: dict[str, str] = {}
    unread = False
    for text in _texts(value):
        try:
            address = mailbox(text)
        except NotAnAddress:
            unread = True
            continue
        found.setdefault(normalised(address), address)
    return tuple(found[name] for name in sorted(found)), unread


def _texts(value: object) -> list[str]:
    """One address, or several: as JSON (MariaDB cuts off what GROUP_CONCAT makes), or with something between them."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = strict_json.load(value.encode(errors="replace"), quoting=True)
        except PayloadInvalid:
            return [str(value)]
    if isinstance(value, list | tuple):
        return [text for one in value for text in _texts(one)]
    return [one for one in _BETWEEN.split(_plain(value)) if one]


def _flag(row: Mapping[str, object], name: str) -> tuple[bool | None, bool]:
    """The flag, None where it is not told, and whether what stands there says neither yes nor no."""
    if name not in row:
        return None, False
    value = row[name]
    if isinstance(value, bytes):  # a BIT of MariaDB
        value = int.from_bytes(value, "big")
    said = "" if value is None else str(value).strip().lower()
    if said in _TRUE:
        return True, False
    return (False, False) if said in _FALSE else (None, True)


def _moment(value: object) -> tuple[datetime | None, bool]:
    if value is None or value == "":
        return None, False
    try:
        return moment(value), False
    except ValueError:
        return None, True
