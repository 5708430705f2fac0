"""Forgetting: what a finished request says of a person is destroyed, and the proof stays.

The request's key goes with it, so that nothing of it opens any more: neither here nor in the ledger's commitments.
"""

import json
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import ColumnElement, Connection, and_, delete, func, or_, select, union, update

from dpsync.errors import KeyProblem
from dpsync.ledger import entry
from dpsync.ledger.entry import EntryKind
from dpsync.model import Right, State
from dpsync.propagation import platform_jobs
from dpsync.propagation.controller import Controller
from dpsync.store import tables as t
from dpsync.store.writer import Unit

GONE: Final = (
    "its name and addresses are destroyed, or shut for good, so nobody can be told of it: ask anew, as another request"
)

_R, _P, _S, _OPEN, _POST = t.request.c, t.propagation.c, t.shelf.c, t.request.alias("open").c, t.post.c
_A: Final = t.alias.c
_D: Final = t.decision.c
_W: Final = (
    select(t.answer.c.id, t.answer.c.sealed, t.answer.c.at, t.answer.c.propagation_id.label("place"), _P.request_id)
    .join(t.propagation, _P.id == t.answer.c.propagation_id)
    .subquery()
    .c
)
WORDS: Final = "words"
"""What the entry is called, among those that something was shredded, which tells of words that came afterwards."""

_LASTING: Final = [Right.OPT_OUT.value, Right.RESTRICTION.value]
_FREE: Final = frozenset({"reason", "remark", "peer", "agent"})
"""What people wrote in words of their own, and where they came from."""
_PARTS: Final = select(_P.id).where(_P.request_id == _R.id)
_UNDER_WAY: Final = _PARTS.where(_P.timer != "").exists()
"""Something will still be done: a processor is looked at again, or a person is reminded."""
_UNREAD: Final = (
    select(_POST.digest)
    .join(t.propagation, _P.id == _POST.propagation_id)
    .where(_P.request_id == _R.id, _POST.waits_for != "", _POST.read_at.is_(None))
    .exists()
)
"""A message about it waits for a person."""
_LEANT_ON: Final = select(_OPEN.id).where(_OPEN.subject_id == _R.subject_id, _OPEN.closed_at.is_(None)).exists()
"""A request that is still open may have to ask for an address that only an older one knows."""
_UNSEEN: Final = _PARTS.where(_P.state.not_in([State.VERIFIED.value, State.NOTHING_HELD.value])).exists()
_FINISHED = (
    select(_R.id, _R.closed_at)
    .where(_R.closed_at.is_not(None), _R.shredded_at.is_(None), ~_UNDER_WAY, ~_UNREAD, ~_LEANT_ON)
    # Where nobody saw that an address was changed, a later erasure must ask for the old one too.
    .where(or_(_R.right != Right.RECTIFICATION.value, ~_UNSEEN))
    .order_by(_R.closed_at, _R.id)
)


def finished(connection: Connection, until: datetime) -> list[str]:
    """The ids of the requests that closed at `until` at the latest, are still known and nothing rests on."""
    return [row.id for row in connection.execute(_FINISHED.where(_R.closed_at <= until))]


def outlived(connection: Connection, until: datetime, at_once: int) -> dict[str, list[str]]:
    """At most `at_once` persons whose pseudonyms are needed no more, each with the ids of what was asked for them.

    All of that was finished by `until` and is forgotten. Whoever opted out, or had the use of their data restricted, is
    none of them: that holds for as long as there is somebody who could come back.
    """
    here = and_(_R.subject_id == _A.subject_id, _R.person == _A.person)
    needed = or_(_R.shredded_at.is_(None), _R.closed_at.is_(None), _R.closed_at > until, _R.right.in_(_LASTING))
    persons = select(_A.person).distinct().where(~select(_R.id).where(here, needed).exists())
    asked = select(_R.person, _R.id).where(_R.person.in_(persons.order_by(_A.person).limit(at_once)))
    found: dict[str, list[str]] = {}
    for row in connection.execute(asked.order_by(_R.person, _R.ordinal)):
        found.setdefault(row.person, []).append(row.id)
    return found


def unnamed(connection: Connection) -> int:
    """Of how many forgotten requests the pseudonyms of the person are destroyed, too."""
    named = select(_A.person).where(_A.subject_id == _R.subject_id, _A.person == _R.person).exists()
    query = select(func.count()).select_from(t.request).where(_R.shredded_at.is_not(None), ~named)
    return connection.execute(query).scalar_one()


def forgotten_by(connection: Connection, until: datetime) -> list[str]:
    """The ids of the forgotten requests that closed by `until` and did not go on since, the oldest first."""
    query = select(_R.id).where(_R.shredded_at.is_not(None), _R.closed_at <= until)
    return list(connection.execute(query.order_by(_R.closed_at, _R.id)).scalars())


def known_since(connection: Connection, year: int) -> list[str]:
    """The ids of the requests of that year and all before it that are not forgotten, in order of receipt."""
    early = _R.accepted_at < datetime(year + 1, 1, 1, tzinfo=UTC)
    query = select(_R.id).where(early, _R.wrapped_key.is_not(None)).order_by(_R.ordinal)
    return list(connection.execute(query).scalars())


def earliest(connection: Connection, ids: Collection[str], *, also_open: bool = False) -> datetime | None:
    """When the first of these requests was accepted, or (`also_open`) of those that are open; None without any."""
    which = or_(_R.id.in_(list(ids)), *([_R.closed_at.is_(None)] if also_open else []))
    query = select(_R.accepted_at).where(which).order_by(_R.accepted_at).limit(1)
    return connection.execute(query).scalar_one_or_none()


def left_behind(connection: Connection, until: datetime, processors: Collection[str]) -> list[str]:
    """The ids of requests that closed by `until` and go on for ever, because a processor that none of `processors` is
    would still have to be looked at, or reminded.
    """
    waiting = _PARTS.where(_P.timer != "", _P.processor.not_in(processors)).exists()
    closed = (_R.closed_at <= until, _R.shredded_at.is_(None), waiting)
    return list(connection.execute(select(_R.id).where(*closed).order_by(_R.closed_at, _R.id)).scalars())


def shut(connection: Connection, months: Collection[str]) -> list[str]:
    """The ids of the closed requests that are sealed under the keys of `months`, and not forgotten."""
    return list(connection.execute(select(_R.id).where(_shut(months)).order_by(_R.ordinal)).scalars())


def look_no_more(connection: Connection, months: Collection[str]) -> None:
    """End what was still to be looked at, or to be reminded of, for the requests that `shut` gives."""
    here = _P.request_id.in_(select(_R.id).where(_shut(months)))
    connection.execute(update(t.propagation).where(here).values(timer="", timer_at=None))


def _shut(months: Collection[str]) -> ColumnElement[bool]:
    return and_(_R.closed_at.is_not(None), _R.wrapped_key.is_not(None), _R.key_month.in_(list(months)))


def is_forgotten(connection: Connection, request_id: str) -> bool:
    """Whether nobody can be told of that request any more."""
    return connection.execute(select(_R.sealed).where(_R.id == request_id)).scalar_one_or_none() is None


def forgotten_at(connection: Connection, request_id: str) -> datetime | None:
    """When that request was forgotten; None where it is not."""
    return connection.execute(select(_R.shredded_at).where(_R.id == request_id)).scalar_one_or_none()


def forgotten(connection: Connection) -> list[tuple[str, str, datetime, datetime]]:
    """(id, right, when it closed, when it was forgotten) of each request that is, newest first."""
    query = select(_R.id, _R.right, _R.closed_at, _R.shredded_at).where(_R.shredded_at.is_not(None))
    rows = connection.execute(query.order_by(_R.shredded_at.desc(), _R.id))
    return [(row.id, row.right, row.closed_at, row.shredded_at) for row in rows]


def forget(unit: Unit, controller: Controller, request_ids: Sequence[str], until: datetime, now: datetime) -> int:
    """Destroy what these requests say of a person and how to open it; tells how many were still finished.

    With it goes what connectors remember under the references of these requests, and what a platform's answer needs.

    Asked again within the transaction, because one of them may have gone on since: that one is left as it is.
    """
    due = unit.connection.execute(_FINISHED.where(_R.id.in_(request_ids), _R.closed_at <= until)).all()
    for row in due:
        here = {"sealed": None, "wrapped_key": None, "shredded_at": now}
        unit.connection.execute(update(t.request).where(_R.id == row.id).values(here))
        unit.connection.execute(update(t.propagation).where(_P.request_id == row.id).values(handed=None))
        _clear_shelf(unit.connection, controller, row.id)
        _clear_words(unit.connection, controller, row.id, now)
        platform_jobs.drop(unit.connection, row.id)
        unit.append(row.id, entry.encode(EntryKind.SHREDDED, now, req=row.id))
    return len(due)


def forget_late_words(
    unit: Unit, controller: Controller, held: Collection[str], until: datetime, now: datetime
) -> None:
    """Destroy what people wrote by `until` of requests that were forgotten before, but for those that are `held`."""
    for request_id in _written_late(unit.connection, until):
        if request_id not in held and (n := _clear_words(unit.connection, controller, request_id, until)):
            # Not about the request: its story was told, and its receipt can get no other entry any more.
            unit.append(None, entry.encode(EntryKind.SHREDDED, now, kind=WORDS, name=request_id, n=n))


def _written_late(connection: Connection, until: datetime) -> list[str]:
    late = [
        select(of).join(t.request, _R.id == of).where(at >= _R.shredded_at, at <= until)
        for of, at in ((_D.request_id, _D.at), (_W.request_id, _W.at))
    ]
    return sorted(set(connection.execute(union(*late)).scalars()))


def _clear_words(connection: Connection, controller: Controller, request_id: str, until: datetime) -> int:
    """What people wrote of it until then in words of their own: who decided and answered is kept, and what they chose.

    There they write whom it is about, and these are sealed under keys that exist as long as the installation. How many
    of these had any words left.
    """
    decided = select(_D.id, _D.sealed, _D.request_id.label("place")).where(_D.request_id == request_id, _D.at <= until)
    answered = select(_W.id, _W.sealed, _W.place).where(_W.request_id == request_id, _W.at <= until)
    written = [("decision", row) for row in connection.execute(decided).all()]
    written += [("answer", row) for row in connection.execute(answered).all()]
    cleared = 0
    for purpose, row in written:
        table, place = t.metadata.tables[purpose], str(row.place).encode()
        try:
            said = json.loads(controller.keys.open(purpose, row.sealed, place))
        except KeyProblem:
            continue  # it says nothing to anybody, and must not keep the rest from being forgotten
        left = {key: "" if key in _FREE else value for key, value in said.items()}
        if left != said:
            sealed = controller.keys.seal(purpose, json.dumps(left).encode(), place)
            connection.execute(update(table).where(table.c.id == row.id).values(sealed=sealed))
            cleared += 1
    return cleared


def _clear_shelf(connection: Connection, controller: Controller, request_id: str) -> None:
    """What was remembered of a request: its reference is a part of the key, wherever a connector needs that."""
    letters = select(func.max(t.notice.c.number)).where(t.notice.c.propagation_id == _P.id).scalar_subquery()
    parts = select(_P.processor, letters.label("letters")).where(_P.request_id == request_id)
    for part in connection.execute(parts).all():
        for number in range(1, (part.letters or 1) + 1):
            reference = controller.reference(request_id, part.processor, number)
            ends, within = (_S.key.endswith(f"/{reference}"), _S.key.contains(f"/{reference}/"))
            connection.execute(delete(t.shelf).where(_S.processor == part.processor, or_(ends, within)))
