"""What the ledger commits of the rows beside it: a digest of the whole row, and a mark of each of its columns.

The digest shows that a row is as it was written; the marks name the column that is not. Both are keyed, so an entry
says nothing of a row to whoever has not the request's key. The format: docs/proof-format.md, section 2.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from dpsync.ledger.mac import Mac
from dpsync.model import State
from dpsync.sealing import Keys
from dpsync.store.columns import EPOCH

Key = bytes | tuple[bytes, ...]
"""What commits: 32 bytes, or each of those that may have done so."""

MARK = 4
"""Hex digits of a column's mark. It only names the column; what shows that something differs is the digest."""

COMMITTED: Mapping[str, tuple[str, ...]] = {
    "request": (
        "ordinal",
        "source",
        "event_id",
        "body_mac",
        "subject_id",
        "person",
        "right",
        "lifting",
        "ground",
        "version",
        "received_at",
        "received_assumed",
        "accepted_at",
        "starts_on",
        "target_at",
        "strict_on",
        "due_on",
        "letter_by",
        "due_at",
        "clock_rule",
        "processors",
        "sealed",
        "scope",
    ),
    "births": ("way", "covers"),
    "propagation": (
        "processor",
        "state",
        "causes",
        "released",
        "rung",
        "way",
        "task",
        "handed",
        "doubtful",
        "touched",
        "defects",
        "attempts",
        "notices",
        "rereads",
        "reason",
        "opened_at",
        "told_at",
        "done_at",
        "state_since",
        "answer_by",
        "released_contact",
    ),
    "attempt": ("number", "kind", "begun_at"),
    "ended": ("ended_at", "outcome", "reason"),
    "notice": ("number", "kind", "message_id", "reference", "token_hash", "recipient", "created_at", "expires_at"),
    "sent": ("sent_at", "digest"),
    "answer": ("number", "kind", "final", "sealed", "at"),
    "post": ("digest", "kind", "waits_for", "at"),
    "decision": ("processor", "kind", "detail", "sealed", "os_user", "at"),
    "withdrawal": ("source", "event_id", "body_mac", "at"),
    "contact": ("pseudonym", "processor", "token_hash", "created_at", "confirmed_at"),
    "conversation": (
        "processor",
        "pseudonym",
        "reference",
        "contact",
        "started_at",
        "due_on",
        "until_on",
        "overdue_at",
        "told_at",
    ),
    "retention_act": (
        "processor",
        "kind",
        "at",
        "conversations",
        "sealed",
        "os_user",
        "until_on",
        "next_on",
        "file_sha256",
        "file_rows",
        "older",
        "oldest_on",
        "from_on",
        "to_on",
        "list_id",
        "reference",
        "token_hash",
        "answer_by",
        "expires_at",
    ),
    "retention_letter": ("kind", "message_id", "created_at", "sent_at"),
    "case_act": ("case_id", "kind", "said", "sealed", "os_user", "at"),
    "contact_named": ("processor", "instead_of", "pseudonym", "sealed", "os_user", "at"),
    "alias": ("pseudonym", "person", "key_version", "subject_id"),
}
"""The columns that an item of an entry's `rows` commits to, in the order of their marks.

`births` are the ways and names of all propagations of a request; `ended` and `sent` are the later halves of
`attempt` and `notice`. `alias` are all names of the person that a request is about, under the installation's own key:
they are needed for as long as nobody is to come back, which is longer than any request's key exists. A new column is
added at the end: an older entry has no mark of it and is compared without.
"""

BORN: Mapping[str, Any] = {
    "state": State.PENDING.value,
    "causes": "",
    "released": "",
    "rung": 0,
    "task": "",
    "handed": None,
    "doubtful": False,
    "touched": False,
    "defects": 0,
    "attempts": 0,
    "notices": 0,
    "rereads": 0,
    "reason": "",
    "told_at": None,
    "done_at": None,
    "answer_by": None,
    "released_contact": "",
}
"""A propagation as it is born where nothing speaks against it: of that no entry tells but `received`."""

COPIED = ("subject_id", "person", "ordinal", "right", "lifting", "version")
"""Columns of a propagation that repeat the request's."""

_ITEM = re.compile(r"([a-z_]+)(?:/([0-9]{1,9}))?:([0-9a-f]{64}):((?:[0-9a-f]{4})+)")


@dataclass(frozen=True, slots=True)
class Committed:
    """One item of an entry's `rows`. `number`: of the attempt or letter that it is about. `marks`: all, in a row."""

    table: str
    number: int | None
    digest: str
    marks: str


def item(key: bytes, table: str, row: Mapping[str, Any], number: int | None = None) -> str:
    """What an entry says of one row. `row` has at least the table's columns in `COMMITTED`."""
    digest, cells = _digests(key, table, row, COMMITTED[table])
    return f"{_named(table, number)}:{digest}:{''.join(map(_mark, cells))}"


def own_key(keys: Keys) -> bytes:
    """The key of what no request's key could keep: the installation's own."""
    return keys.mac("ledger", b"rows")


def stand_in(keys: Keys, request_id: str) -> bytes:
    """What commits in the place of a request's key while that does not open: known again, should it be found later."""
    return keys.mac("ledger", f"shut\n{request_id}".encode())


def _named(table: str, number: int | None) -> str:
    return table if number is None else f"{table}/{number}"


@lru_cache(maxsize=1)
def read(text: str) -> tuple[Committed, ...]:
    """The items of an entry's `rows`. Raises `ValueError` for what `item` would not have written.

    The last is kept: whoever asks whether it can be read asks next what it says.
    """
    found = []
    for part in text.split(" "):
        match = _ITEM.fullmatch(part)
        if match is None:
            raise ValueError("rows: not a list of digests of rows")
        table, number, digest, marks = match.groups()
        found.append(Committed(table, int(number) if number else None, digest, marks))
    return tuple(found)


def differing(key: Key, said: Committed, row: Mapping[str, Any]) -> list[str]:
    """The columns of a row that are not as an entry commits to them, under any of several keys; empty where all are."""
    if isinstance(key, tuple):
        return _under_one_of(key, said, row)
    known = COMMITTED.get(said.table, ())
    columns = known[: len(said.marks) // MARK]
    digest, cells = _digests(key, said.table, row, columns)
    if digest == said.digest:
        return []
    marks = (said.marks[at : at + MARK] for at in range(0, len(said.marks), MARK))
    named = [column for column, cell, was in zip(columns, cells, marks, strict=False) if _mark(cell) != was]
    # One time in 65,536 a mark fits by chance.
    return named or list(columns)


def _under_one_of(keys: Sequence[bytes], said: Committed, row: Mapping[str, Any]) -> list[str]:
    """Digests under the next key only where the row did not fit under those before: nearly all fit under the first."""
    found: list[list[str]] = []
    for key in keys:
        found.append(differing(key, said, row))
        if not found[-1]:
            break
    return min(found, key=len)


def _digests(key: bytes, table: str, row: Mapping[str, Any], columns: Sequence[str]) -> tuple[str, list[bytes]]:
    mac = Mac(key)
    cells = [mac.digest(f"{table}.{column}\n{spelled(row[column])}".encode()) for column in columns]
    return mac.digest(b"".join(cells)).hex(), cells


def _mark(cell: bytes) -> str:
    return cell.hex()[:MARK]


def spelled(value: object) -> str:
    """A value of a column in its one spelling: a text behind `=`, bytes in hex behind `:`, a number as it is.

    A time is its microseconds since the epoch, a truth value 0 or 1, nothing is nothing.
    """
    match value:
        case None:
            return ""
        case str():
            return f"={value}"
        case bool() | int():
            return str(int(value))
        case datetime():
            return str((value - EPOCH) // timedelta(microseconds=1))
        case bytes() | memoryview():
            return f":{bytes(value).hex()}"
        case _:
            return f"~{value!r}"  # what somebody wrote there by hand; nothing of ours is spelled so


def births(rows: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """What `births` commits to: by which way each processor is told at first, and what a rectification covers."""
    ordered = sorted(rows, key=lambda row: str(row["processor"]))
    return {column: "".join(f"{row['processor']} {row[column]}\n" for row in ordered) for column in COMMITTED["births"]}


def names(found: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """What `alias` commits to: all rows of one person, in the order of their pseudonyms, a value a line."""
    ordered = sorted(found, key=lambda row: str(row["pseudonym"]))
    return {column: "".join(f"{row[column]}\n" for row in ordered) for column in COMMITTED["alias"]}


# --- what is no proof


WHOLE_TABLES = {
    "account": "pauses, which end within days, and leases; `check` names what is stopped. That one stands is compared",
    "brake_slot": "the brake's own count of the last 24 hours: nothing is owed by it",
    "lane": "when something is tried next; that one stands for all that is pending is compared",
    "worker": "who is at work just now",
    "job": "when a timed job runs next: one that is gone, or put off beyond its beat, is due at the next look",
    "shelf": "what a connector remembers, sealed; it may be read again at the vendor",
    "alert": "mails to our own people; what they tell of stays in `status` and in every report until it is done",
    "alert_concern": "what such a mail lists",
    "question": "mails to our own people with a link to decide by; what they decide is a decision like any other",
    "page_link": "links to pages that are only read, in mails to our own people; that a person was shown is an entry",
    "proof_of": "sealed; `verify` opens the boxes of what opens itself, and later the receipt is the same proof",
    "refusal": "how often something was refused at our door: nothing was taken in of it",
    "meta": "how far files outside were compared; a row that is gone or odd is refused by every command",
    "entry": "the ledger itself: hashed",
    "node": "the ledger itself: hashed",
}
"""Tables no row of which proves anything, and why."""

OTHERWISE = {
    "request.id": "names the request in every entry",
    "request.closed_at": "compared: follows from the states in the entries",
    "request.shredded_at": "compared: follows from the entry that tells of it",
    "request.wrapped_key": "compared: what it wraps must open what is committed",
    "request.key_month": "compared: the key opens under no other month",
    "propagation.request_id": "names the request in every entry",
    "propagation.subject_id": "compared with the request's",
    "propagation.person": "compared with the request's",
    "propagation.ordinal": "compared with the request's",
    "propagation.right": "compared with the request's",
    "propagation.lifting": "compared with the request's",
    "propagation.version": "compared with the request's",
    "evidence.*": "compared: the digest `resp` is of all of them",
    "conversation.state": "compared: follows from the acts",
    "conversation.claimed_at": "compared: follows from the acts",
    "conversation.contradicted_at": "compared: follows from the acts",
    "retention_act.escalated_at": "compared: follows from the entry that tells of it",
    "retention_act_row.act_id": "compared: the digest `list` is of all of an act",
    "retention_act_row.pseudonym": "compared: the digest `list` is of all of an act",
    "checkpoint.size": "compared: the note says it",
    "checkpoint.note": "compared: signed, with the root over the entries",
}
"""Columns that are compared in another way than by an item of `rows`."""

UNPROVEN = {
    "propagation.id": "a number of the database's own",
    "propagation.account_id": "follows the settings; that a worker takes it is compared",
    "propagation.timer": "what time brings next; that there is one wherever something is owed is compared",
    "propagation.timer_at": "when; what is beyond the longest wait is brought back by the worker every minute",
    "propagation.brake_at": "the brake's own count of the last 24 hours: nothing is owed by it",
    "attempt.id": "a number of the database's own",
    "attempt.worker": "which process made it",
    "answer.id": "a number of the database's own",
    "case_act.id": "a number of the database's own",
    "contact_named.id": "a number of the database's own",
    "answer.receipted_at": "when the courtesy receipt of it was mailed; the page that took the answer said so, too",
    "post.read_at": "when a person took the message out of the folder",
    "contact.asked_at": "when the question was mailed; only the answer counts",
    "decision.id": "a number of the database's own",
    "conversation.sealed": "the vendor's ids, renewed with each delivery and destroyed when it is gone",
    "conversation.open": "as it was last seen; renewed with each delivery",
    "conversation.seen_at": "when it was last seen; renewed with each delivery",
    "checkpoint.at": "when it was signed; no signature holds it, and nothing is printed of it",
    "checkpoint.verified_at": "from where a short check begins; `verify` begins at the first entry, whatever it says",
    "checkpoint.mailed_at": "whether it was mailed; what was mailed is with whoever received it",
    "retention_act.id": "a number of the database's own",
    "retention_act.reminded_at": "when a reminder was planned; that it went is an entry",
}
"""Columns that prove nothing, and why."""
