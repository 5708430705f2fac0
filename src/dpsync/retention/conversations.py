"""The private conversations that a processor keeps, as rows: the only writer of their states.

The vendor's ids are personal data of whoever wrote there. They rest sealed, and are destroyed once an export has shown
that the conversation is gone; what stays is a pseudonym, so that it is known again if it comes back. The ledger holds
counts and digests of pseudonyms only.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from typing import Any, Literal

from sqlalchemy import Connection, bindparam, insert, select, update

from dpsync.errors import StoreProblem
from dpsync.ledger import entry, rows
from dpsync.ledger.entry import EntryKind
from dpsync.model import ActKind, ConversationState, Retention
from dpsync.propagation.controller import Controller, token_hash
from dpsync.propagation.decisions import Person
from dpsync.retention import clock
from dpsync.store import conversation_tables as ct
from dpsync.store import tables as t
from dpsync.store.trouble import RESTORE
from dpsync.store.upsert import insert_or_ignore
from dpsync.store.writer import Unit

C, A = ct.conversation.c, ct.retention_act.c
PURPOSE = "retention"
"""Under which purpose it is sealed who did it and why, with the processor's name as its place."""

UNCLAIMED = tuple(state.value for state in ConversationState if state not in clock.CLAIMED)
"""The states of what is still there, as far as anybody knows."""

SINCE, FIRST_CHECK = "retention_since:", "retention_first_check:"
"""Under which keys, with the processor's name, table `meta` keeps when the rule began to be kept here, and by when the
first monthly check is due.
"""


@dataclass(frozen=True, slots=True)
class VendorIds:
    """How the vendor calls a conversation, its contact and its place."""

    conversation: str = field(repr=False)
    contact: str = field(repr=False)
    medium: str = field(default="", repr=False)
    channel: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Sighting:
    """That the vendor named a conversation: by a webhook, or in an export (`by_webhook` false)."""

    ids: VendorIds
    started_at: datetime
    seen_at: datetime
    open: bool
    by_webhook: bool = True


@dataclass(frozen=True, slots=True)
class Sighted:
    """Which conversation that was. `before`: its state, None where it is new. `contradicts`: it was said to be gone."""

    key: str
    before: ConversationState | None
    contradicts: bool


def pseudonym(controller: Controller, name: str, kind: Literal["conversation", "contact"], vendor_id: str) -> str:
    """The keyed pseudonym of a vendor's id at one processor."""
    return controller.keys.pseudonym("id", f"{name}\n{kind}\n{vendor_id}")


def opened(controller: Controller, row: Any) -> VendorIds | None:
    """The vendor's ids of a conversation, None where they are destroyed. Raises `KeyProblem`."""
    if row.sealed is None:
        return None
    plain = controller.keys.open("conversation", row.sealed, _place(row.processor, row.pseudonym))
    return VendorIds(**json.loads(plain))


def begin_rule(unit: Unit, controller: Controller, name: str, now: datetime) -> None:
    """Note since when a processor's rule is kept, before anything is kept by it. Twice changes nothing.

    Raises `StoreProblem` where that is missing beside what was kept: made anew, it would put off the first check, and
    so hide that it is overdue.
    """
    first = clock.next_check_on(clock.day_of(now, controller.zone)).isoformat()
    wanted = {f"{SINCE}{name}": now.isoformat(), f"{FIRST_CHECK}{name}": first}
    said = set(unit.connection.execute(select(t.meta.c.key).where(t.meta.c.key.in_(wanted))).scalars())
    missing = sorted(wanted.keys() - said)
    if missing and _kept_before(unit.connection, name):
        raise StoreProblem(
            f"the database's table `meta` lacks {', '.join(missing)}: somebody wrote there by hand, or the database "
            f"is damaged. Keep a copy; then {RESTORE}"
        )
    for key in missing:
        insert_or_ignore(unit.connection, t.meta, {"key": key, "value": wanted[key]})


def _kept_before(connection: Connection, name: str) -> bool:
    kept = select(C.processor).where(C.processor == name).limit(1)
    acted = select(A.processor).where(A.processor == name).limit(1)
    return any(connection.execute(one).first() for one in (kept, acted))


def sight(unit: Unit, controller: Controller, name: str, rule: Retention, seen: Sighting, now: datetime) -> Sighted:
    """Know of a conversation, or know it again. Its state is the caller's to change.

    Its oldest moment counts. What was known is never made younger, and never less than it is by an old message. That it
    is known, since when, and its dates are an entry of the ledger.
    """
    connection = unit.connection
    key = pseudonym(controller, name, "conversation", seen.ids.conversation)
    here = (C.processor == name) & (C.pseudonym == key)
    row = connection.execute(select(ct.conversation).where(here)).one_or_none()
    if row is None:
        begin_rule(unit, controller, name, now)
        new = _new(controller, name, key, rule, seen, now)
        connection.execute(insert(ct.conversation).values(new))
        _tell_sighted(unit, controller, {**new, "until_on": None}, now)
        return Sighted(key, before=None, contradicts=False)
    changed: dict[str, Any] = {}
    if seen.started_at < row.started_at:
        last_day = clock.due_on(seen.started_at, rule.months, controller.zone)
        until = date.fromisoformat(row.until_on) if row.until_on else last_day
        changed = {"started_at": seen.started_at, "due_on": last_day.isoformat()}
        changed["overdue_at"] = clock.overdue_at(until, controller.zone)
    if seen.seen_at > row.seen_at:
        changed |= {"seen_at": seen.seen_at, "open": seen.open}
    before = ConversationState(row.state)
    contradicts = clock.seen_again(before, row.claimed_at, seen.seen_at) is not before
    # Destroyed ids are not brought back by a delivery from before they were: it is repeated for days.
    if contradicts or ("seen_at" in changed and row.sealed is not None):
        changed["sealed"] = _sealed(controller, name, key, seen.ids)
    if seen.by_webhook and row.told_at is None:
        changed["told_at"] = now
    if changed:
        connection.execute(update(ct.conversation).where(here).values(changed))
    if changed.keys() & {"started_at", "told_at"}:
        _tell_sighted(unit, controller, {**row._asdict(), **changed}, now)
    return Sighted(key, before, contradicts)


def _tell_sighted(unit: Unit, controller: Controller, row: Mapping[str, Any], now: datetime) -> None:
    said = committed_row(controller, "conversation", row)
    fields = {"dest": row["processor"], "kind": "conversation", "ref": row["reference"], "rows": said}
    unit.append(None, entry.encode(EntryKind.SIGHTED, now, **fields))


def committed_row(controller: Controller, table: str, row: Mapping[str, Any]) -> str:
    """What the ledger holds of a row where there is no request whose key could keep it."""
    return rows.item(rows.own_key(controller.keys), table, {**dict.fromkeys(rows.COMMITTED[table]), **row})


def attested_of(connection: Connection, controller: Controller, name: str, seen: Sighting) -> list[str]:
    """The conversations of the contact in a sighting of which somebody said, before it, that they are deleted."""
    contact = pseudonym(controller, name, "contact", seen.ids.contact)
    of_it = (C.processor == name) & (C.contact == contact) & (C.claimed_at < seen.seen_at)
    return list(connection.scalars(select(C.pseudonym).where(of_it, C.state == ConversationState.ATTESTED.value)))


def _new(controller: Controller, name: str, key: str, rule: Retention, seen: Sighting, now: datetime) -> dict[str, Any]:
    last_day = clock.due_on(seen.started_at, rule.months, controller.zone)
    return {
        "processor": name,
        "pseudonym": key,
        "reference": controller.reference(key, name, 0),
        "contact": pseudonym(controller, name, "contact", seen.ids.contact),
        "sealed": _sealed(controller, name, key, seen.ids),
        "state": ConversationState.KEPT.value,
        "started_at": seen.started_at,
        "due_on": last_day.isoformat(),
        "overdue_at": clock.overdue_at(last_day, controller.zone),
        "open": seen.open,
        "told_at": now if seen.by_webhook else None,
        "seen_at": seen.seen_at,
    }


def _sealed(controller: Controller, name: str, key: str, ids: VendorIds) -> bytes:
    return controller.keys.seal("conversation", json.dumps(asdict(ids)).encode(), _place(name, key))


def _place(name: str, key: str) -> bytes:
    return f"{name}/{key}".encode()


# --- states


def move(connection: Connection, name: str, keys: Iterable[str], state: ConversationState, **values: object) -> None:
    """Bring conversations into a state, and set more columns with it."""
    changed = {"state": state.value, **values}
    moved = [{"key": key, **{f"new_{column}": value for column, value in changed.items()}} for key in keys]
    if moved:
        wanted: dict[str, Any] = {column: bindparam(f"new_{column}") for column in changed}
        here = (C.processor == name) & (C.pseudonym == bindparam("key"))
        connection.execute(update(ct.conversation).where(here).values(wanted), moved)


def by_reference(connection: Connection, references: Sequence[str], name: str = "") -> list[Any]:
    """The conversations that people call so, in order of their dates. Unknown ones are left out."""
    found = select(ct.conversation).where(C.reference.in_(references)).order_by(C.overdue_at, C.reference)
    return list(connection.execute(found.where(C.processor == name) if name else found))


def of_act(connection: Connection, act_id: int) -> list[Any]:
    """The conversations of an act as they are now, in order of their dates."""
    of_it = ct.retention_act_row.c
    found = connection.execute(
        select(ct.conversation)
        .join(ct.retention_act, A.processor == C.processor)
        .join(ct.retention_act_row, (of_it.act_id == A.id) & (of_it.pseudonym == C.pseudonym))
        .where(A.id == act_id)
        .order_by(C.overdue_at, C.reference)
    )
    return list(found)


def is_owed(row: Any, listed_at: datetime) -> bool:
    """Whether a work list of that moment still waits for an answer about one of its rows.

    What showed itself again since waits for a newer list.
    """
    if row.state == ConversationState.CONTRADICTED:
        return row.contradicted_at is None or bool(row.contradicted_at <= listed_at)
    return bool(row.state == ConversationState.LISTED)


def last_day_of(row: Any) -> date:
    """Until when a conversation may stay: by the rule, or by a named exception."""
    return date.fromisoformat(row.until_on or row.due_on)


def list_behind(connection: Connection, token: str, now: datetime) -> Any:
    """The work list that a link leads to; None for a link that nobody made, or that is too old."""
    wanted = select(A.id, A.processor, A.at, A.reference)
    return connection.execute(wanted.where(A.token_hash == token_hash(token), A.expires_at > now)).one_or_none()


# --- acts


def act(
    unit: Unit,
    controller: Controller,
    name: str,
    kind: ActKind,
    keys: Iterable[str],
    now: datetime,
    *,
    event: EntryKind,
    person: Person | None = None,
    peer: str = "",
    said: Mapping[str, str | int] | None = None,
    also: Sequence[str] = (),
    **values: object,
) -> int:
    """Keep what was done, to which conversations, with its entry in the ledger. Returns its number.

    `peer`: from where, by a link; `said`: more fields of the entry; `also`: what it commits to of other rows; `values`:
    more columns. Who and why are in the ledger as commitments only.
    """
    begin_rule(unit, controller, name, now)
    concerned = sorted(set(keys))
    row = {"processor": name, "kind": kind.value, "at": now, "conversations": len(concerned), "os_user": "", **values}
    if person is not None:
        said_by = json.dumps({"by": person.by, "reason": person.reason, "peer": peer}).encode()
        row |= {"sealed": controller.keys.seal(PURPOSE, said_by, name.encode()), "os_user": person.os_user}
    made = unit.connection.execute(insert(ct.retention_act).values(row).returning(A.id)).scalar_one()
    if concerned:
        unit.connection.execute(insert(ct.retention_act_row), [{"act_id": made, "pseudonym": key} for key in concerned])
    fields: dict[str, str | int] = {"dest": name, "kind": "retention", "n": len(concerned), **(said or {})}
    if concerned:
        fields["list"] = entry.list_digest(concerned)
    if person is not None:
        named = entry.canonical([person.by, person.os_user]).decode()
        fields |= {"by": commitment(controller, named), "why": commitment(controller, person.reason)}
    written = [committed_row(controller, "retention_act", row), *also]
    fields["rows"] = " ".join(written)
    unit.append(None, entry.encode(event, now, **fields))
    return int(made)


def commitment(controller: Controller, text: str) -> str:
    """What the ledger holds of a name or a reason where there is no request whose key could keep it."""
    return controller.keys.mac("retention", text.encode()).hex()
