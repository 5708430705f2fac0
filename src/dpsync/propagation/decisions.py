"""What a named person decides: release, withdraw, retry, settle, exempt. Each with a reason, each on the record."""

import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from dpsync.errors import DecisionRefused, NotFound, UsageError
from dpsync.model import Cause, State
from dpsync.propagation.controller import Controller
from dpsync.propagation.lanes import causes_of, causes_text
from dpsync.propagation.lifecycle import Decision, DecisionKind
from dpsync.propagation.record import Author, record
from dpsync.store import tables as t
from dpsync.store.writer import Unit

RELEASED_BY_A_YES = frozenset(
    {Cause.BRAKE, Cause.APPROVAL, Cause.SHARED_ADDRESS, Cause.RESTRICTION_IN_FORCE, Cause.OBSERVE}
)
"""What `release` releases unless causes are named: not the cooling-off (time does), not an unconfirmed contact."""


@dataclass(frozen=True, slots=True)
class Person:
    """Who decides: the name given, and the account of the operating system that gave it."""

    by: str
    os_user: str
    reason: str


@dataclass(frozen=True, slots=True)
class Decided:
    """What a decision did to one propagation. `refused`: why it did nothing, "" where it did."""

    processor: str
    state: State
    causes: tuple[str, ...] = ()
    refused: str = ""


def find_request(connection: Connection, prefix: str) -> str:
    """The full id of the one request whose id begins so; letters of either case, `r-` may be left out.

    Raises `NotFound` where there is none, or more than one.
    """
    text = prefix.strip().upper().removeprefix("R-").translate(str.maketrans("ILO", "110"))
    if not re.fullmatch(r"[0-9A-Z]{4,26}", text):
        raise NotFound("a request is named by its id or at least its first four signs, as `dpsync status` shows them")
    found = connection.execute(select(t.request.c.id).where(t.request.c.id.startswith("r-" + text)).limit(2)).all()
    if not found:
        raise NotFound(f"there is no request {prefix!r}")
    if len(found) > 1:
        raise NotFound(f"more than one request begins with {prefix!r}; give more of the id")
    request_id: str = found[0].id
    return request_id


def decide(
    unit: Unit,
    controller: Controller,
    request_id: str,
    kind: DecisionKind,
    person: Person,
    now: datetime,
    *,
    processors: Collection[str] = (),
    causes: frozenset[Cause] = RELEASED_BY_A_YES,
) -> list[Decided]:
    """Apply one decision to the propagations of a request (all, or those at `processors`).

    What does not fit is said, not raised: one processor may be too late while the others are not. Raises `NotFound`
    for a processor that the request does not go to, `UsageError` without a name or a reason.
    """
    if not person.by.strip() or not person.reason.strip():
        raise UsageError("a decision needs a name (--by) and a reason (--reason)")
    rows = _propagations(unit.connection, request_id)
    unknown = set(processors) - {row.processor for row in rows}
    if unknown:
        raise NotFound("this request does not go to " + ", ".join(sorted(unknown)))
    chosen = [row for row in rows if not processors or row.processor in processors]
    _write(unit, request_id, kind, person, processors, causes, now)
    return [_one(unit, controller, row, kind, person, causes, now) for row in chosen]


def _propagations(connection: Connection, request_id: str) -> list[Row[Any]]:
    p = t.propagation.c
    rows = list(connection.execute(select(t.propagation).where(p.request_id == request_id).order_by(p.processor)))
    if not rows and connection.execute(select(t.request.c.id).where(t.request.c.id == request_id)).first() is None:
        raise NotFound(f"there is no request {request_id}")
    return rows


def _write(
    unit: Unit,
    request_id: str,
    kind: DecisionKind,
    person: Person,
    processors: Collection[str],
    causes: frozenset[Cause],
    now: datetime,
) -> None:
    unit.connection.execute(
        insert(t.decision).values(
            request_id=request_id,
            processor=",".join(sorted(processors)),
            kind=kind,
            detail=causes_text(causes) if kind is DecisionKind.RELEASE else "",
            by=person.by.strip(),
            os_user=person.os_user,
            reason=person.reason.strip(),
            at=now,
        )
    )


def _one(
    unit: Unit,
    controller: Controller,
    row: Row[Any],
    kind: DecisionKind,
    person: Person,
    causes: frozenset[Cause],
    now: datetime,
) -> Decided:
    held = causes_of(row.causes)
    if kind is DecisionKind.RELEASE and Cause.APPROVAL in held & causes:
        yes = _voices(unit.connection, row.request_id, row.processor)
        needed = max(controller.safety.approvals, 1)
        if yes < needed:
            causes -= {Cause.APPROVAL}
            if not held & causes:
                return Decided(
                    row.processor, State(row.state), tuple(sorted(held)), f"{yes} of {needed} people have said yes"
                )
    try:
        step = record(unit, controller, row.id, Decision(kind, causes), now, author=Author(person.by, person.reason))
    except DecisionRefused as refusal:
        return Decided(row.processor, State(row.state), tuple(sorted(held)), refusal.message)
    processor = controller.processors.get(row.processor)
    if kind is DecisionKind.RELEASE and Cause.CONTACT_UNVERIFIED in held & causes and processor:
        # The yes was to this address. The second contact, or another one next week, must confirm itself or be named.
        meant = controller.keys.pseudonym("address", processor.contact)
        unit.connection.execute(
            update(t.propagation).where(t.propagation.c.id == row.id).values(released_contact=meant)
        )
    return Decided(row.processor, step.state, tuple(sorted(step.causes)))


def _voices(connection: Connection, request_id: str, processor: str) -> int:
    """How many different people have said yes to this request at this processor; spellings of one name are one."""
    d = t.decision.c
    rows = connection.execute(
        select(d.by, d.processor, d.detail).where(d.request_id == request_id, d.kind == DecisionKind.RELEASE)
    )
    meant = [row for row in rows if not row.processor or processor in row.processor.split(",")]
    names = {row.by for row in meant if Cause.APPROVAL in causes_of(row.detail)}
    return len({" ".join(unicodedata.normalize("NFKC", name).casefold().split()) for name in names})
