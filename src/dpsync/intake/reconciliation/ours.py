"""What was asked of us for the people of one page of a list: found by keyed pseudonyms, a few statements a page."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, exists, select

from dpsync.intake import merged_records, welcome
from dpsync.intake.reconciliation.compare import ErasureStage, Ours
from dpsync.intake.reconciliation.listed import Listed
from dpsync.model import Cause, Right, State
from dpsync.propagation.queue.lanes import causes_of
from dpsync.propagation.rules.persons import NAMELESS
from dpsync.sealing import Keys
from dpsync.store import tables as t
from dpsync.store.reconciling_tables import listed_person

_IN_ONE = 500  # SQLite takes a bounded number of parameters in one statement
_A, _R, _P, _L = t.alias.c, t.request.c, t.propagation.c, listed_person.c
_STOPPED = frozenset({State.WITHDRAWN.value, State.SUPERSEDED.value})


def record_id(source: str, own_id: str) -> str:
    """The id of a record as requests have it."""
    return f"{source}:{own_id}"


@dataclass(slots=True)
class _Asked:
    """What was asked for one person, put together from their requests in order."""

    opt_out: datetime | None = None
    restriction: datetime | None = None
    erasure: ErasureStage = ErasureStage.NONE
    stops_mail: bool = False

    def add(self, parts: Sequence[Any]) -> None:
        first, standing = parts[0], [one for one in parts if one.state not in _STOPPED]
        if not standing:
            return
        match Right(first.right):
            case Right.OPT_OUT:
                # whoever left a part may be written to otherwise, and is not opted out
                self.opt_out = self.opt_out if first.scope else first.accepted_at
            case Right.RESTRICTION:
                self.restriction = None if first.lifting else first.accepted_at
            case Right.ERASURE:
                self._add_erasure(first, standing)
            case Right.RECTIFICATION:
                pass

    def _add_erasure(self, first: Any, standing: Sequence[Any]) -> None:
        held = [one for one in standing if one.state == State.HELD.value]
        gone_only = len(held) == len(standing) and all(Cause.MAYBE_MERGE in causes_of(one.causes) for one in held)
        # Until somebody released it, it stops no mailing.
        self.stops_mail |= len(held) < len(standing)
        stage = ErasureStage.GONE_ONLY if gone_only else ErasureStage.OPEN
        stage = ErasureStage.DONE if first.closed_at is not None else stage
        ranks = list(ErasureStage)
        self.erasure = max(self.erasure, stage, key=ranks.index)


@dataclass(frozen=True, slots=True)
class _Names:
    """The pseudonyms of a row: of its id, and of each of its addresses."""

    own: tuple[str, ...]
    addresses: Mapping[str, tuple[str, ...]] = field(repr=False)
    winner: tuple[str, ...] = ()


def ours_of(connection: Connection, keys: Keys, source: str, page: Sequence[Listed]) -> list[Ours]:
    """What was asked for the person behind each row, in order."""
    names = [_names_of(keys, source, row) for row in page]
    wanted = {
        one for each in names for one in (*each.own, *each.winner, *(n for a in each.addresses.values() for n in a))
    }
    borne: dict[str, set[str]] = {}
    for some in _parts(wanted):
        for row in connection.execute(select(_A.pseudonym, _A.person).where(_A.pseudonym.in_(some))):
            borne.setdefault(row.pseudonym, set()).add(row.person)
    gone = {one for some in _parts(wanted) for one in merged_records.known(connection, some)}
    asked = asked_for(connection, keys, {person for some in borne.values() for person in some})
    return [_ours(each, borne, gone, asked) for each in names]


def _names_of(keys: Keys, source: str, row: Listed) -> _Names:
    return _Names(
        keys.pseudonyms("id", record_id(source, row.id)),
        {one: keys.pseudonyms("address", one) for one in row.addresses},
        keys.pseudonyms("id", record_id(source, row.merged_into)) if row.merged_into else (),
    )


def _ours(names: _Names, borne: Mapping[str, set[str]], gone: set[str], asked: Mapping[str, _Asked]) -> Ours:
    own = {person for name in names.own for person in borne.get(name, ())}
    by_address = {one: {p for name in some for p in borne.get(name, ())} for one, some in names.addresses.items()}
    # Whoever was named by an address alone may be anybody who uses it; whoever has another id is somebody else.
    nameless = {p for some in by_address.values() for p in some if p.startswith(NAMELESS)}
    everybody = own | nameless
    found = [asked[person] for person in everybody if person in asked]
    here = [asked[person] for person in own if person in asked]
    stages = list(ErasureStage)
    # An import gives who comes back a new id.
    others = {person for some in by_address.values() for person in some} - own
    return Ours(
        person=min(own, default=""),
        persons=frozenset(everybody),
        opt_out=max((one.opt_out for one in found if one.opt_out), default=None),
        restriction=max((one.restriction for one in here if one.restriction), default=None),
        erasure=max((one.erasure for one in here), default=ErasureStage.NONE, key=stages.index),
        stops_mail=any(one.stops_mail for one in here),
        new_addresses=tuple(one for one, some in by_address.items() if not some & everybody),
        erased_address=any(asked[one].erasure is ErasureStage.DONE for one in others if one in asked),
        merged=not gone.isdisjoint(names.own),
        winner_known=any(name in borne for name in names.winner),
    )


def asked_for(connection: Connection, keys: Keys, persons: Iterable[str]) -> dict[str, _Asked]:
    """What was asked for some persons, and stands. Whoever nothing was ever asked for is left out."""
    columns = (
        _R.id,
        _R.person,
        _R.right,
        _R.lifting,
        _R.received_at,
        _R.accepted_at,
        _R.closed_at,
        _R.scope,
        _P.state,
        _P.causes,
    )
    found: dict[str, _Asked] = {}
    for some in _parts(persons):
        since = welcome.since(connection, keys, some)
        chosen = select(*columns).join(t.propagation, _P.request_id == _R.id).where(_R.person.in_(some))
        parts: dict[str, list[Any]] = {}
        for row in connection.execute(chosen.order_by(_R.ordinal)):
            parts.setdefault(row.id, []).append(row)
        for each in parts.values():
            one = found.setdefault(each[0].person, _Asked())
            if not welcome.is_ended(each[0].right, each[0].received_at, since.get(each[0].person)):
                one.add(each)
    return found


def persons_of(connection: Connection, source: str) -> set[str]:
    """Everybody with an id of their own whom this main database asked something for, or has listed before."""
    asked = select(_R.person).where(_R.source == source, ~_R.person.startswith(NAMELESS)).distinct()
    still = exists().where(_A.person == _L.person)  # not so of who became one with somebody else
    before = select(_L.person).where(_L.source == source, still)
    return {*connection.execute(asked).scalars(), *connection.execute(before).scalars()}


def _parts(many: Iterable[str]) -> list[list[str]]:
    wanted = sorted(many)
    return [wanted[at : at + _IN_ONE] for at in range(0, len(wanted), _IN_ONE)]
