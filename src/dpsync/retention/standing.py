"""Where the private conversations at a processor stand: the rule, what is done, on whose word, what not.

These are the values that a report tells. All is as of now; dates are the stored ones.
"""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, func, select

from dpsync.errors import KeyProblem
from dpsync.model import ActKind, ConversationState
from dpsync.retention.conversations import FIRST_CHECK, SINCE
from dpsync.sealing import UNREADABLE
from dpsync.store import conversation_tables as ct
from dpsync.store import meta

Opener = Callable[[str, bytes], bytes]
"""Opens who did something and why: the processor's name and the sealed bytes give its JSON."""

C, A = ct.conversation.c, ct.retention_act.c
GONE = frozenset({ConversationState.ATTESTED, ConversationState.VERIFIED_BY_EXPORT})


@dataclass(frozen=True, slots=True)
class RetentionRule:
    """What a processor's section and its connector say: how long, and what the processor's webhooks never show."""

    processor: str
    title: str
    months: int
    unseen: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ConversationLine:
    """One conversation, without a word of the vendor's ids. `until_on`: a named exception's day."""

    reference: str
    processor: str
    state: ConversationState
    due_on: date
    until_on: date | None
    overdue: bool
    open: bool


@dataclass(frozen=True, slots=True)
class RetentionAct:
    """A check or a statement: when, by whom, by when the next is due. Of a check also what its file showed."""

    at: datetime
    by: str
    next_on: date | None
    sha256: str = ""
    rows: int = 0
    older: int = 0
    oldest_on: date | None = None
    from_on: date | None = None
    to_on: date | None = None


@dataclass(frozen=True, slots=True)
class RetentionLine:
    """All about one processor's conversations.

    `due`: whose day by the rule has come; of these `overdue` are neither attested, verified nor excepted. `told_since`:
    the first webhook; what was closed before it is not seen. `check_missing`: none within a month, or never.
    """

    rule: RetentionRule
    since: datetime | None
    told_since: datetime | None
    known: int
    due: int
    counts: dict[ConversationState, int]
    overdue: int
    overdue_since: date | None
    check: RetentionAct | None
    check_missing: bool
    none_open: RetentionAct | None
    none_open_missing: bool


def retention_lines(
    connection: Connection, rules: Sequence[RetentionRule], now: datetime, today: date, opener: Opener
) -> tuple[RetentionLine, ...]:
    """One line for each processor with a rule. `opener` opens who checked."""
    return tuple(_line(connection, rule, now, today, opener) for rule in rules)


def conversation_lines(connection: Connection, now: datetime, processor: str = "") -> list[ConversationLine]:
    """Every conversation that is known, the most urgent first; those that are gone last."""
    wanted = select(ct.conversation).order_by(C.overdue_at, C.reference)
    found = [
        _one(row, now) for row in connection.execute(wanted.where(C.processor == processor) if processor else wanted)
    ]
    return sorted(found, key=lambda one: one.state in GONE)


def _one(row: Any, now: datetime) -> ConversationLine:
    state = ConversationState(row.state)
    return ConversationLine(
        reference=row.reference,
        processor=row.processor,
        state=state,
        due_on=date.fromisoformat(row.due_on),
        until_on=date.fromisoformat(row.until_on) if row.until_on else None,
        overdue=state not in GONE and row.overdue_at <= now,
        open=row.open,
    )


def _line(connection: Connection, rule: RetentionRule, now: datetime, today: date, opener: Opener) -> RetentionLine:
    name = rule.processor
    lines = conversation_lines(connection, now, name)
    counts = Counter(line.state for line in lines)
    late = [line.until_on or line.due_on for line in lines if line.overdue]
    told = select(func.min(C.told_at)).where(C.processor == name)
    since, first = (meta.value_of(connection, f"{key}{name}") for key in (SINCE, FIRST_CHECK))
    check, none_open = (_newest(connection, name, kind, opener) for kind in (ActKind.CHECKED, ActKind.NO_OPEN))
    return RetentionLine(
        rule=rule,
        since=datetime.fromisoformat(since) if since else None,
        told_since=connection.execute(told).scalar_one(),
        known=len(lines),
        due=sum(line.due_on < today for line in lines),
        counts={state: counts[state] for state in ConversationState},
        overdue=len(late),
        overdue_since=min(late, default=None),
        check=check,
        check_missing=_missing(check, first, today),
        none_open=none_open,
        none_open_missing=_missing(none_open, first, today),
    )


def _missing(last: RetentionAct | None, first_on: str | None, today: date) -> bool:
    owed = last.next_on if last else date.fromisoformat(first_on) if first_on else None
    return owed is not None and today > owed


def _by(name: str, sealed: bytes, opener: Opener) -> str:
    try:
        return str(json.loads(opener(name, sealed))["by"])
    except KeyProblem:
        return UNREADABLE


def _newest(connection: Connection, name: str, kind: ActKind, opener: Opener) -> RetentionAct | None:
    wanted = select(ct.retention_act).where(A.processor == name, A.kind == kind.value).order_by(A.id.desc()).limit(1)
    row = connection.execute(wanted).one_or_none()
    if row is None:
        return None
    return RetentionAct(
        at=row.at,
        by=_by(name, row.sealed, opener) if row.sealed else "",
        next_on=_day(row.next_on),
        sha256=row.file_sha256 or "",
        rows=row.file_rows or 0,
        older=row.older or 0,
        oldest_on=_day(row.oldest_on),
        from_on=_day(row.from_on),
        to_on=_day(row.to_on),
    )


def _day(text: str | None) -> date | None:
    return date.fromisoformat(text) if text else None
