"""Two records of one person became one: a merge is no erasure, and loses no opt-out.

The loser's requests go on under the winner, and an opt-out of either is told again for the addresses of both. Where
either was erased, or is to be, nothing is joined: the news may be a mistake or a forgery, and would lead an erasure to
somebody who lives. Then a person is asked.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, select

from dpsync.errors import DecisionRefused, KeyProblem
from dpsync.intake import events, held_merges, identity, merged_opt_outs, merged_records, merged_restrictions
from dpsync.intake.held_merges import Merging
from dpsync.intake.payload import Withdrawal
from dpsync.intake.withdrawals import take_back
from dpsync.journal import AcceptedRequest
from dpsync.ledger import entry, rows
from dpsync.ledger.entry import EntryKind
from dpsync.model import Cause, Request, Right, State
from dpsync.propagation.commitments import asked_by
from dpsync.propagation.controller import Controller
from dpsync.propagation.decisions import Person
from dpsync.propagation.queue.lanes import causes_of
from dpsync.propagation.rules import brake
from dpsync.store import tables as t
from dpsync.store.writer import Unit

MERGED: Final = "merged"
"""What an entry of the ledger calls it that records became one."""

KEPT_APART: Final = "kept_apart"
"""What it calls a person's word that they did not."""

_R, _P = t.request.c, t.propagation.c
_STOPPED: Final = frozenset({State.WITHDRAWN.value, State.SUPERSEDED.value})
_UNTOUCHED: Final = frozenset({State.HELD.value, State.WITHDRAWN.value, State.EXEMPT.value})


@dataclass(frozen=True, slots=True)
class Erasure:
    """An erasure that was not stopped. `gone_only`: it was only said that a record is gone, and nothing was sent."""

    request_id: str
    person: str
    source: str
    accepted_at: datetime
    closed: bool
    gone_only: bool


def erasures_of(connection: Connection, persons: Collection[str]) -> list[Erasure]:
    """The erasures of some persons that stand, whether they are done or not, the oldest first."""
    columns = (_R.id, _R.person, _R.source, _R.accepted_at, _R.closed_at, _P.state, _P.causes, _P.attempts, _P.doubtful)
    chosen = select(*columns).join(t.propagation, _P.request_id == _R.id)
    chosen = chosen.where(_R.person.in_(persons), _R.right == Right.ERASURE.value).order_by(_R.ordinal)
    parts: dict[str, list[Any]] = {}
    for row in connection.execute(chosen):
        parts.setdefault(row.id, []).append(row)
    return [_erasure(some) for some in parts.values() if any(row.state not in _STOPPED for row in some)]


def _erasure(some: Sequence[Any]) -> Erasure:
    first, held = some[0], [row for row in some if row.state == State.HELD.value]
    untouched = all(row.state in _UNTOUCHED and not row.attempts and not row.doubtful for row in some)
    doubted = bool(held) and all(Cause.MAYBE_MERGE in causes_of(row.causes) for row in held)
    closed = first.closed_at is not None
    return Erasure(first.id, first.person, first.source, first.accepted_at, closed, untouched and doubted)


def merge(unit: Unit, controller: Controller, one: Merging, wait: timedelta, now: datetime) -> bool | None:
    """Join what a main database says became one, or ask a person: then False. None: it is so already.

    `wait`: how much later the news of a merge may come than the news that one of its records is gone.
    """
    connection = unit.connection
    mark = held_merges.mark(controller.keys, one)
    merged_records.note_told(connection, controller.keys, mark, now)
    unit.accept(AcceptedRequest(mark, one.source, one.event, now, kind="merge"))
    fresh = [loser for loser in one.losers if not _is_decided(connection, controller, one, loser)]
    if not fresh:
        return None
    one = replace(one, losers=tuple(fresh))
    if _says_otherwise(connection, controller, one):
        for record in (*one.losers, one.winner):
            merged_records.doubt(connection, controller.keys, record.subject.id or "")
        held_merges.hold(unit, controller, one, held_merges.OTHERWISE, now)
        return False
    gone, against = _erasures(connection, controller, one, now - wait)
    if why := _doubted(connection, controller, one, against, now):
        held_merges.hold(unit, controller, one, why, now)
        return False
    held_merges.settle(unit, controller, one)
    _join(unit, controller, one, gone, now)
    return True


def _is_decided(connection: Connection, controller: Controller, one: Merging, loser: Request) -> bool:
    """Whether this loser is known as gone into the winner, or a person said of this very news that it is not."""
    apart = held_merges.kept_apart(connection, controller.keys, loser, one.winner)
    return one.event in (apart or ()) or _is_joined(connection, controller, loser, one.winner)


def _doubted(
    connection: Connection, controller: Controller, one: Merging, against: Collection[Erasure], now: datetime
) -> str:
    """Why a person has to decide; "" for no reason."""
    if against:
        return held_merges.ERASED
    if merged_restrictions.is_restricted(connection, controller, one):
        return held_merges.RESTRICTED
    apart = (held_merges.kept_apart(connection, controller.keys, loser, one.winner) for loser in one.losers)
    if any(events is not None for events in apart):
        return held_merges.APART
    return held_merges.TOO_MANY if _are_too_many(connection, controller, one, now) else ""


def merge_by_hand(unit: Unit, controller: Controller, one: Merging, person: Person, now: datetime) -> bool:
    """Join two records because a named person says so; False where they were one already.

    Raises `UsageError` without a name or a reason, `DecisionRefused` while an erasure of one of them is open, where a
    loser was joined with another record before, or where joining would end a restriction.
    """
    person.demand(reason=True)
    connection = unit.connection
    if any(_went_elsewhere(connection, controller, loser, one.winner) for loser in one.losers):
        raise DecisionRefused(
            "the loser was joined with another record before, and dpsync cannot take that apart. Say --apart, and "
            "enter by `dpsync submit` what is owed to the winner"
        )
    gone, against = _erasures(connection, controller, one, None)
    if still := [erasure.request_id for erasure in against if not erasure.closed]:
        raise DecisionRefused(
            f"one of the two is to be erased: {', '.join(still)}. If that is right, nothing is to be joined. If not, "
            "stop it by `dpsync withdraw`, and then join them"
        )
    if merged_restrictions.would_end(connection, controller, one):
        raise DecisionRefused(
            "the restriction of one record was lifted, and joining would lift that of the other. Enter the other by "
            "`dpsync submit restriction` once more, and then join them"
        )
    held_merges.settle(unit, controller, one)
    held_merges.no_longer_apart(connection, controller.keys, one)
    if all(_is_joined(connection, controller, loser, one.winner) for loser in one.losers):
        return False
    merged_records.forget(connection, controller.keys, one.winner.subject.id or "")
    _join(unit, controller, one, gone, now, person)
    return True


def keep_apart(unit: Unit, controller: Controller, one: Merging, person: Person, now: datetime) -> bool:
    """A named person says that these are two people: nobody is asked about that news any more. False where nobody was.

    Other news of the same two has a person asked again, and never joins them by itself.

    Raises `UsageError` without a name or a reason.
    """
    person.demand(reason=True)
    settled = held_merges.settle(unit, controller, one)
    if settled:
        held_merges.keep_apart(unit.connection, controller.keys, one, settled, now)
        _enter(unit, controller, one, KEPT_APART, now, person)
    return bool(settled)


def _are_too_many(connection: Connection, controller: Controller, one: Merging, now: datetime) -> bool:
    """Whether the brake holds it: nobody takes a join apart, and a fault in the main database may tell of thousands."""
    if not any(identity.is_known(connection, controller.keys, record) for record in (one.winner, *one.losers)):
        return False
    joined = merged_records.joined_since(connection, now - brake.WINDOW)
    return brake.must_hold(joined + len(one.losers) - 1, controller.safety.irreversible_per_day)


def _is_joined(connection: Connection, controller: Controller, loser: Request, winner: Request) -> bool:
    """Whether it is known that the one is gone into the other, and not the other way round."""
    keys = controller.keys
    same = identity.person_of(connection, keys, loser) == identity.person_of(connection, keys, winner)
    return same and (_gone(connection, controller, loser) or not _gone(connection, controller, winner))


def _says_otherwise(connection: Connection, controller: Controller, one: Merging) -> bool:
    """Whether a loser went elsewhere before, or is what the winner went into."""
    keys, own = controller.keys, identity.person_of(connection, controller.keys, one.winner)
    return any(
        _went_elsewhere(connection, controller, loser, one.winner) or identity.person_of(connection, keys, loser) == own
        for loser in one.losers
    )


def _went_elsewhere(connection: Connection, controller: Controller, loser: Request, winner: Request) -> bool:
    keys = controller.keys
    same = identity.person_of(connection, keys, loser) == identity.person_of(connection, keys, winner)
    return not same and _gone(connection, controller, loser)


def _gone(connection: Connection, controller: Controller, record: Request) -> bool:
    names = controller.keys.pseudonyms("id", record.subject.id or "")
    return merged_records.found(connection, controller.keys, names) is not None


def _erasures(
    connection: Connection, controller: Controller, one: Merging, since: datetime | None
) -> tuple[list[Erasure], list[Erasure]]:
    """Those that are no more than the news that a loser is gone, not older than `since`; and all others of both."""
    keys = controller.keys
    lost = {identity.person_of(connection, keys, loser) for loser in one.losers}
    found = erasures_of(connection, {*lost, identity.person_of(connection, keys, one.winner)})
    gone = [
        erasure
        for erasure in found
        if erasure.gone_only
        and (since is None or erasure.accepted_at >= since)
        and _is_about(connection, controller, erasure, one.losers)
    ]
    return gone, [erasure for erasure in found if erasure not in gone]


def _is_about(connection: Connection, controller: Controller, erasure: Erasure, losers: Collection[Request]) -> bool:
    """Whether it names one of these records itself: what is told of one of a person's records explains no other."""
    try:
        asked = asked_by(connection, controller, erasure.request_id)
    except KeyProblem:
        return False
    return asked is not None and asked.subject.id in {loser.subject.id for loser in losers}


def _join(
    unit: Unit,
    controller: Controller,
    one: Merging,
    gone: Iterable[Erasure],
    now: datetime,
    person: Person | None = None,
) -> None:
    connection, keys = unit.connection, controller.keys
    mac = events.body_mac(controller, one.body)
    for erasure in gone:
        taken = Withdrawal(one.source, f"{one.event}.{erasure.request_id}", erasure.request_id)
        take_back(unit, controller, taken, mac, now)
    for loser in one.losers:
        merged_records.remember(connection, keys, loser.subject.id or "", one.winner.subject.id or "", now)
    _enter(unit, controller, one, MERGED, now, person)
    if identity.join(unit, controller, one.losers, one.winner, now):
        for loser in one.losers:
            merged_records.count(connection, keys, loser.subject.id or "", now)
        merged_opt_outs.tell_again(unit, controller, one, mac, now)


def _enter(
    unit: Unit, controller: Controller, one: Merging, kind: str, now: datetime, person: Person | None = None
) -> None:
    """What became of it, for the ledger: a mark of the ids, which whoever has them and our keys can compare."""
    key = rows.own_key(controller.keys)
    ids = [record.subject.id for record in (one.winner, *one.losers)]
    said = person.author.said(key) if person else {}
    digest = entry.commitment(key, entry.canonical(ids))
    unit.append(None, entry.encode(EntryKind.DECIDED, now, kind=kind, name=one.source, digest=digest, **said))
