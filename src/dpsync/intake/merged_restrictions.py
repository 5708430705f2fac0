"""That the processing of a person is restricted, where two records are said to be one."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import chain

from sqlalchemy import Connection, select

from dpsync.intake import identity
from dpsync.intake.held_merges import Merging
from dpsync.propagation.controller import Controller
from dpsync.propagation.queue import lanes
from dpsync.propagation.rules.plan import restriction_in_force
from dpsync.store import tables as t


def is_restricted(connection: Connection, controller: Controller, one: Merging) -> bool:
    """Whether the processing of any of these people is restricted."""
    histories = _histories(connection, _persons(connection, controller, one))
    return any(restriction_in_force(rows, person) for person, rows in histories.items())


def would_end(connection: Connection, controller: Controller, one: Merging) -> bool:
    """Whether a restriction would end by the joining alone: what lifted that of one record would count for all."""
    if not is_restricted(connection, controller, one):
        return False
    persons = _persons(connection, controller, one)
    histories = _histories(connection, persons)
    together = [
        replace(row, person=persons[0]) for row in chain.from_iterable(histories.values()) if row.person in persons
    ]
    return not restriction_in_force(together, persons[0])


def _persons(connection: Connection, controller: Controller, one: Merging) -> list[str]:
    named = (identity.person_of(connection, controller.keys, record) for record in (one.winner, *one.losers))
    return list(dict.fromkeys(named))


def _histories(connection: Connection, persons: Collection[str]) -> Mapping[str, Sequence[lanes.LaneRow]]:
    """What was ever asked for the subject of each person."""
    alias = t.alias.c
    found = connection.execute(select(alias.person, alias.subject_id).where(alias.person.in_(persons)).distinct()).all()
    history = lanes.lanes_of(connection, [row.subject_id for row in found])
    return {row.person: history.get(row.subject_id, []) for row in found}
