"""One delivery of a main database, in which wishes, merges and the news that records are gone stand in any order."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection

from dpsync.intake import events, identity, merged_opt_outs, merged_records
from dpsync.intake.acceptance import Asked
from dpsync.intake.answers import Received
from dpsync.intake.events import Conflict
from dpsync.intake.gathering import gathered
from dpsync.intake.held_merges import Merging
from dpsync.intake.merging import Erasure, erasures_of, merge
from dpsync.intake.payload import Withdrawal
from dpsync.intake.reception import receive_all
from dpsync.intake.withdrawals import take_back
from dpsync.ledger import entry
from dpsync.ledger.entry import EntryKind
from dpsync.model import Cause, Request
from dpsync.propagation.commitments import asked_by
from dpsync.propagation.controller import Controller
from dpsync.store.writer import Unit

EXPLAINED: Final = "gone_explained"
"""What an entry of the ledger calls the news of a record that is gone where that asks for nothing."""


@dataclass(frozen=True, slots=True)
class TakenIn:
    """What became of a delivery. `requests`: of each wish that is one, in order. `explained`: how many were only the
    news that a record is gone, of which we knew. `joined`, `held`: merges that were joined, or wait for a person.
    """

    requests: tuple[Received | Conflict, ...]
    explained: int = 0
    joined: int = 0
    held: int = 0


def take_in(
    unit: Unit,
    controller: Controller,
    asked: Sequence[Asked],
    merges: Sequence[Merging],
    wait: timedelta,
    now: datetime,
) -> TakenIn:
    """Take in all of a delivery within the caller's transaction. `wait`: see `merging.merge`.

    Merges first, then the wishes, and last what only says that a record is gone: by then it is known why.
    """
    merged = [merge(unit, controller, one, wait, now) for one in merges]
    told = [_without_version(unit.connection, controller, one) for one in asked]
    wishes = [place for place, one in enumerate(told) if Cause.MAYBE_MERGE not in one.doubts]
    answers = _received(unit, controller, told, wishes)
    for place in wishes:
        answer = answers[place]
        if isinstance(answer, Received) and not answer.repeated:  # what it asked for may have been taken back since
            _swallow(unit, controller, told[place], now)
            merged_opt_outs.tell_late(unit, controller, told[place], answer.request_id, merges, now)
    gone = [place for place in range(len(told)) if place not in answers]
    answers |= _received(
        unit, controller, told, [place for place in gone if not _is_explained(unit, controller, told[place], now)]
    )
    return TakenIn(
        tuple(answers[place] for place in sorted(answers)),
        explained=len(told) - len(answers),
        joined=merged.count(True),
        held=merged.count(False),
    )


def _received(
    unit: Unit, controller: Controller, told: Sequence[Asked], places: Sequence[int]
) -> dict[int, Received | Conflict]:
    each = [place for place in places if not told[place].own_event]
    many = [told[place] for place in each]
    answers = dict(zip(each, receive_all(unit, controller, many), strict=True)) if many else {}
    for place in (one for one in places if told[one].own_event):  # each sees what the one before it made
        met = gathered(unit, controller, told[place])
        answers[place] = met if isinstance(met, Received) else receive_all(unit, controller, [met])[0]
    return answers


def _without_version(connection: Connection, controller: Controller, one: Asked) -> Asked:
    """The version of a record that was merged rises with that record, and says nothing of the winner's."""
    own_id = one.request.subject.id
    if one.request.version is None or own_id is None:
        return one
    gone = merged_records.found(connection, controller.keys, controller.keys.pseudonyms("id", own_id))
    return replace(one, request=replace(one.request, version=None)) if gone else one


def _is_explained(unit: Unit, controller: Controller, one: Asked, now: datetime) -> bool:
    """Whether the news that a record is gone asks for nothing: it was merged, or its person is erased anyway."""
    request, keys, connection = one.request, controller.keys, unit.connection
    own_id = request.subject.id
    if own_id is None or events.known_among(connection, [(request.source, request.event_id)]):
        return False  # a request was made of it before: it gets the same answer
    gone = merged_records.found(connection, keys, keys.pseudonyms("id", own_id))
    merged = gone is not None and now - gone.at <= merged_records.EXPLAINS
    if not merged and not any(
        not erasure.gone_only and _names(connection, controller, erasure) >= _named(controller, request)
        for erasure in _recent(connection, controller, request, now)
    ):
        return False
    if merged_records.explain(connection, keys, request.event_id, now):
        cause = "merged" if merged else "erased"
        said = {"kind": EXPLAINED, "name": request.source, "cause": cause, "ref": request.event_id}
        unit.append(None, entry.encode(EntryKind.DECIDED, now, **said))
    return True


def _swallow(unit: Unit, controller: Controller, one: Asked, now: datetime) -> None:
    """The person is to be erased by their own wish: what waits only because their record is gone asks for no more."""
    request, connection = one.request, unit.connection
    if request.subject.id is None or not request.irreversible:
        return
    for erasure in _recent(connection, controller, request, now):
        if erasure.gone_only and _names(connection, controller, erasure) <= _named(controller, request):
            taken = Withdrawal(request.source, f"{request.event_id}.{erasure.request_id}", erasure.request_id)
            take_back(unit, controller, taken, one.mac, now)


def _recent(connection: Connection, controller: Controller, request: Request, now: datetime) -> list[Erasure]:
    """The erasures of the same record that the same source asked for not long ago."""
    person = identity.person_of(connection, controller.keys, request)
    return [
        erasure
        for erasure in erasures_of(connection, [person])
        if erasure.source == request.source and now - erasure.accepted_at <= merged_records.EXPLAINS
    ]


def _named(controller: Controller, request: Request) -> set[tuple[str, ...]]:
    return set(identity.names_of(request, controller.keys))


def _names(connection: Connection, controller: Controller, erasure: Erasure) -> set[tuple[str, ...]]:
    asked = asked_by(connection, controller, erasure.request_id)
    return _named(controller, asked) if asked else set()
