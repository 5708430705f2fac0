"""Several receivers on one PostgreSQL: who was never named before is received beside what the others receive.

Most people ask once in their lives. No row of theirs stands yet, so no other process can be changing one. Two things
must still hold at the commit: nobody else has named them meanwhile, and the brake lets as many go as it may. Whoever is
known, and each event that came before, is received alone.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial

from sqlalchemy import Connection, bindparam, or_, select

from dpsync.intake import events
from dpsync.intake.acceptance import Asked
from dpsync.intake.answers import Received
from dpsync.intake.events import Conflict
from dpsync.intake.identity import known_of, names_of
from dpsync.intake.reception import Reception
from dpsync.propagation.controller import Controller
from dpsync.propagation.queue import allowance
from dpsync.store import tables as t
from dpsync.store.beside import LEFT, alone, beside
from dpsync.store.writer import Unit

_A, _P = t.alias.c, t.propagation.c
_NAMED = or_(_A.pseudonym.in_(bindparam("names", expanding=True)), _A.person.in_(bindparam("names", expanding=True)))
_OWN = select(t.request.c.subject_id).where(t.request.c.id.in_(bindparam("mine", expanding=True)))
_OTHERS = select(_A.subject_id).where(_NAMED, _A.subject_id.not_in(_OWN)).limit(1)
_COUNTED = (
    select(_P.account_id)
    .where(_P.request_id.in_(bindparam("mine", expanding=True)), _P.brake_at.is_not(None))
    .distinct()
)


class SideBySide(Reception):
    """The reception of a service that may not be the only one."""

    @beside
    def _receive_all(self, unit: Unit, many: Sequence[Asked]) -> list[Received | Conflict]:
        if not unit.beside:
            return super()._receive_all(unit, many)
        new = _strangers(unit.connection, self._controller, many)
        answers: list[Received | Conflict] = [LEFT] * len(many)
        if new:
            received = super()._receive_all(unit, [many[place] for place in new])
            for place, answer in zip(new, received, strict=True):
                answers[place] = answer
            mine = [answer.request_id for answer in received if isinstance(answer, Received)]
            names = [name for some in new.values() for name in some]
            since = min(many[place].now for place in new)
            unit.in_turn(partial(_look_again, controller=self._controller, since=since, mine=mine, names=names))
        return answers


def _strangers(connection: Connection, controller: Controller, many: Sequence[Asked]) -> Mapping[int, Sequence[str]]:
    """The names of each whom nobody ever named, in the store or among the others, and whose event is new; by place."""
    names = [[one for some in names_of(asked.request, controller.keys) for one in some] for asked in many]
    came = [(asked.request.source, asked.request.event_id) for asked in many]
    borne, times = Counter(name for some in names for name in some), Counter(came)
    known, seen = known_of(connection, borne), events.known_among(connection, came)
    return {
        place: some
        for place, some in enumerate(names)
        if some
        and times[came[place]] == 1
        and came[place] not in seen
        and not any(borne[name] > 1 or name in known for name in some)
    }


def _look_again(
    connection: Connection, *, controller: Controller, since: datetime, mine: Sequence[str], names: Sequence[str]
) -> None:
    """In turn: what was decided holds if it would be decided so now, when all that was committed before is seen."""
    if connection.execute(_OTHERS, {"names": names, "mine": mine}).first() is not None:
        alone(connection)  # another receiver was faster: it is the same person, or one who shares an address
    used = allowance.used(connection, since)
    over = {account for account, calls in used.items() if calls > controller.safety.irreversible_per_day}
    if over and over & set(connection.execute(_COUNTED, {"mine": mine}).scalars()):
        alone(connection)
