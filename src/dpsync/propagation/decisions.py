"""What a named person decides: release, withdraw, retry, settle, exempt. Each with a reason, each on the record."""

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select

from dpsync import readable_ids
from dpsync.errors import DecisionRefused, NotFound, UsageError
from dpsync.ledger import entry
from dpsync.ledger.entry import EntryKind
from dpsync.model import Cause, ExemptionCode, Mode, Right, Role, State
from dpsync.propagation import forgetting, notes
from dpsync.propagation.approvals import BY_LINK, Approvals, approvals
from dpsync.propagation.commitments import Author, Keyring, commit_key_for, key_of, rows_said
from dpsync.propagation.contacts import present
from dpsync.propagation.controller import Controller
from dpsync.propagation.questions import was_withdrawn
from dpsync.propagation.queue.lanes import causes_of, causes_text
from dpsync.propagation.record import Update, record
from dpsync.propagation.rules.lifecycle import Decision, DecisionKind
from dpsync.store import tables as t
from dpsync.store.writer import Unit

RELEASED_BY_A_YES = frozenset(Cause) - {Cause.COOLING_OFF, Cause.CONTACT_UNVERIFIED}
"""What `release` releases unless causes are named: not the cooling-off (time does), not an unconfirmed contact."""

PURPOSE = "decision"
"""What name and reason of a decision are sealed for."""


@dataclass(frozen=True, slots=True)
class Person:
    """Who decides: the name given, and the account of the operating system that gave it; "" where it was by link."""

    by: str
    os_user: str
    reason: str

    @property
    def author(self) -> Author:
        """What the ledger commits to of it."""
        return Author(self.by.strip(), self.reason.strip(), self.os_user)

    def demand(self, *, reason: bool) -> None:
        """Raise `UsageError` without a name, or (where `reason` is wanted) without a reason."""
        if not self.by.strip() or (reason and not self.reason.strip()):
            raise UsageError("give your name with --by" + " and a reason with --reason" * reason)


def by_link(role: Role, name: str, reason: str) -> Person:
    """Whoever decides by the link that was mailed to a role; `name` is what they typed, "" where they only look."""
    return Person(", ".join(filter(None, [name, f"{ROLES[role]}{BY_LINK}"])), "", reason)


ROLES = {Role.DPO: "DPO", Role.DEPUTY: "deputy", Role.OPERATOR: "operator"}
"""What a role is called on the record."""

_TELLS = {DecisionKind.RETRY, DecisionKind.RELEASE}


@dataclass(frozen=True, slots=True)
class Decided:
    """What a decision did to one propagation. `refused`: why it did nothing, "" where it did or need not.

    `already`: since when it is so, where nothing had to change. `counted`: it is not enough yet, and is kept.
    """

    processor: str
    state: State
    causes: tuple[str, ...] = ()
    refused: str = ""
    already: datetime | None = None
    counted: bool = False

    @property
    def kept(self) -> bool:
        """Whether the decision stands on the record for this processor."""
        return self.counted or not (self.refused or self.already)


def find_request(connection: Connection, prefix: str) -> str:
    """The full id of the one request whose id begins so; letters of either case, `r-` may be left out.

    Raises `NotFound` where there is none, or more than one.
    """
    text = readable_ids.as_spelled(prefix, "r-")
    if not re.fullmatch(r"[0-9A-Z]{4,26}", text):
        raise NotFound("give at least the first four characters of the id, as `dpsync status` shows it")
    found = connection.execute(select(t.request.c.id).where(t.request.c.id.startswith("r-" + text)).limit(2)).all()
    if not found:
        raise NotFound(f"there is no request {prefix!r}")
    if len(found) > 1:
        raise NotFound(f"more than one request begins with {prefix!r}. Give more of the id")
    request_id: str = found[0].id
    return request_id


def demand_request(connection: Connection, request_id: str) -> None:
    """Raise `NotFound` where there is no such request."""
    if connection.execute(select(t.request.c.id).where(t.request.c.id == request_id)).first() is None:
        raise NotFound(f"there is no request {request_id}")


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
    code: ExemptionCode | None = None,
) -> list[Decided]:
    """Apply one decision to the propagations of a request (all, or those at `processors`).

    What does not fit is said, not raised: one processor may be too late while the others are not. What is so already
    stays as it is, and a decision that changes nothing leaves no row. Raises `NotFound` for a processor that the
    request does not go to, `UsageError` without a name or a reason.
    """
    person.demand(reason=True)
    rows = _propagations(unit.connection, request_id)
    unknown = set(processors) - {row.processor for row in rows}
    if unknown:
        raise NotFound("this request does not go to " + ", ".join(sorted(unknown)))
    chosen = [row for row in rows if not processors or row.processor in processors]
    decision = Decision(kind, causes, code)
    decided = [_one(unit, controller, row, decision, person, now) for row in chosen]
    if kind is DecisionKind.WITHDRAW:
        notes.note_withdrawn(unit.connection, controller, [row.id for row in chosen], now)
    if kind is DecisionKind.RELEASE and not processors:  # it is about what is held: elsewhere it does not fail
        held = {row.processor for row in chosen if row.state == State.HELD}
        decided = [one for one in decided if one.processor in held or not one.refused] or decided
    if any(one.kept for one in decided):
        there = frozenset(cause for row in chosen for cause in causes_of(row.causes))
        # All causes there are have no room in an entry, and what held nothing was not released.
        detail = causes_text(causes & there) if kind is DecisionKind.RELEASE else code or ""
        remember(unit, controller, request_id, kind, person, now, processors=processors, detail=detail)
    return decided


def demand_any(decided: list[Decided]) -> list[Decided]:
    """Raise `DecisionRefused` where a decision fits nowhere, so that nothing of it is written."""
    if not any(one.kept or one.already for one in decided):
        said = [f"{one.processor}: {one.refused}" for one in decided]
        alike = {one.refused for one in decided} if len(decided) > 1 else said
        raise DecisionRefused("; ".join(said if len(alike) > 1 else alike) or "it goes to no processor")
    return decided


def _propagations(connection: Connection, request_id: str) -> list[Row[Any]]:
    p = t.propagation.c
    rows = list(connection.execute(select(t.propagation).where(p.request_id == request_id).order_by(p.processor)))
    if not rows:
        demand_request(connection, request_id)
    return rows


def remember(
    unit: Unit,
    keyring: Keyring,
    request_id: str,
    kind: str,
    person: Person,
    now: datetime,
    *,
    processors: Collection[str] = (),
    detail: str = "",
    event: EntryKind = EntryKind.DECIDED,
    entered: Mapping[str, str | int] | None = None,
    commit_key: bytes | None = None,
) -> None:
    """Keep that somebody decided, and why; name and reason sealed. `detail`: causes, or an exemption's code.

    `entered`: what the entry says in place of `detail`. `commit_key`: the request's, where it is known otherwise.
    """
    said = json.dumps({"by": person.by.strip(), "reason": person.reason.strip()})
    row = {
        "request_id": request_id,
        "processor": ",".join(sorted(processors)),
        "kind": str(kind),
        "detail": detail,
        "sealed": keyring.keys.seal(PURPOSE, said.encode(), request_id.encode()),
        "os_user": person.os_user,
        "at": now,
    }
    unit.connection.execute(insert(t.decision).values(row))
    more = entered if entered is not None else {"cause": detail} if detail else {}
    fields: dict[str, str | int] = {"req": request_id, "kind": str(kind), **more}
    commit_key = commit_key or commit_key_for(unit.connection, keyring, request_id)
    fields |= person.author.said(commit_key)
    fields["rows"] = rows_said(commit_key, [("decision", row)])
    unit.append(request_id, entry.encode(event, now, **fields))


def _one(
    unit: Unit, controller: Controller, row: Row[Any], decision: Decision, person: Person, now: datetime
) -> Decided:
    here = Decided(row.processor, State(row.state), tuple(sorted(causes_of(row.causes))))
    since = _so_since(unit.connection, row, decision.kind, decision.causes)
    if since is not None:
        return replace(here, already=since)
    if decision.kind in _TELLS and key_of(unit.connection, controller, row.request_id) is None:
        return replace(here, refused=forgetting.GONE)
    meant = ""
    if decision.kind is DecisionKind.RELEASE:
        causes, refused, counted = _released_now(unit.connection, controller, row, decision.causes, person)
        if counted:
            _note_yes(unit, controller, row, person, now)
        if refused:
            return replace(here, refused=refused, counted=counted)
        decision = replace(decision, causes=causes)
        processor = controller.processors.get(row.processor)
        if processor and Cause.CONTACT_UNVERIFIED in causes_of(row.causes) & causes:
            meant = controller.keys.pseudonym("address", present(unit.connection, controller, processor))
    update = Update(row.id, [decision], now, author=person.author, cause=decision.code or "", contact=meant)
    try:
        (step,) = record(unit, controller, update)
    except DecisionRefused as refusal:
        return replace(here, refused=refusal.message, counted=_too_late(unit.connection, row, decision.kind))
    return Decided(row.processor, step.state, tuple(sorted(step.causes)))


def _too_late(connection: Connection, row: Row[Any], kind: DecisionKind) -> bool:
    """Whether it is kept that somebody took back, once, what is done already: a mistaken erasure may be a breach."""
    gone = row.touched or row.state in {State.APPLIED, State.DECLARED_DONE, State.VERIFIED}
    late = kind is DecisionKind.WITHDRAW and row.right == Right.ERASURE and gone
    return bool(late and not was_withdrawn(connection, row.request_id))


def _released_now(
    connection: Connection, controller: Controller, row: Row[Any], causes: frozenset[Cause], person: Person
) -> tuple[frozenset[Cause], str, bool]:
    """What of these causes a person can release it from. Where nothing is left: why, and whether their yes counts."""
    held, why, counted = causes_of(row.causes), "", False
    if Cause.OBSERVE in held & causes and controller.safety.mode is Mode.OBSERVE:
        # A yes to one request is no yes to sending at all: that is decided in the settings, for everybody to see.
        causes -= {Cause.OBSERVE}
        why = "dpsync only observes; set [safety] mode to confirm or live, then release"
    if Cause.APPROVAL in held & causes:
        yes = _approvals(connection, controller, row.request_id, row.processor, person)
        if not yes.enough:
            causes -= {Cause.APPROVAL}
            why, counted = yes.lacking, yes.adds
    return (causes, "", False) if held & causes else (causes, why, counted)


def _note_yes(unit: Unit, controller: Controller, row: Row[Any], person: Person, now: datetime) -> None:
    """A yes that is not enough yet changes no state, and stands in the ledger all the same."""
    fields = {"req": row.request_id, "dest": row.processor, "right": row.right, "cause": Cause.APPROVAL.value}
    fields |= person.author.said(commit_key_for(unit.connection, controller, row.request_id))
    unit.append(row.request_id, entry.encode(EntryKind.APPROVED, now, **fields))


_CLOSED_BY = {
    DecisionKind.WITHDRAW: State.WITHDRAWN,
    DecisionKind.SETTLE: State.SETTLED,
    DecisionKind.EXEMPT: State.EXEMPT,
}


def _so_since(connection: Connection, row: Row[Any], kind: DecisionKind, causes: frozenset[Cause]) -> datetime | None:
    """Since when what is decided is so already: a command that is given twice is harmless."""
    if _CLOSED_BY.get(kind) is State(row.state):
        since: datetime = row.state_since
        return since
    released = kind is DecisionKind.RELEASE and bool(causes_of(row.released) & causes)
    if not released or causes & causes_of(row.causes):
        return None
    d = t.decision.c
    at = select(func.max(d.at)).where(d.request_id == row.request_id, d.kind == DecisionKind.RELEASE)
    told: datetime = connection.execute(at).scalar_one() or row.state_since
    return told


def _approvals(
    connection: Connection, controller: Controller, request_id: str, processor: str, person: Person
) -> Approvals:
    """Who has said yes to this request at this processor, with `person`, who says it now."""
    d = t.decision.c
    rows = connection.execute(
        select(d.sealed, d.processor, d.detail, d.os_user).where(
            d.request_id == request_id, d.kind == DecisionKind.RELEASE
        )
    )
    meant = [row for row in rows if not row.processor or processor in row.processor.split(",")]
    yes = [row for row in meant if Cause.APPROVAL in causes_of(row.detail)]
    said = [(json.loads(controller.keys.open(PURPOSE, row.sealed, request_id.encode())), row.os_user) for row in yes]
    before = [(one["by"], os_user) for one, os_user in said]
    return approvals((person.by, person.os_user), before, max(controller.safety.approvals, 1))
