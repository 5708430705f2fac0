"""Asks the DPO by link about each person whom a sweep found back at a processor."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from dpsync.connector import RosterLine
from dpsync.intake import welcome
from dpsync.intake.reconciliation.findings import SourceFinding
from dpsync.intake.sweeping.compare import MAILED, RETURNED, is_mailed_in
from dpsync.model import Cause, Right
from dpsync.propagation import came_back, questions
from dpsync.propagation.controller import Controller
from dpsync.propagation.points import back_point
from dpsync.propagation.queue.lanes import causes_of
from dpsync.propagation.rules import scoped

_ASKED: Final = {RETURNED, MAILED}
"""A new consent ends these. A restriction is lifted, and told to the person before."""


MOST: Final = 200
"""More would fill nobody's mailbox for weeks: the alert and the list of findings name them all."""


def is_asked(one: SourceFinding) -> bool:
    """Whether it is asked about by link."""
    return one.difference in _ASKED


def ask(
    connection: Connection,
    controller: Controller,
    processor: str,
    found: Sequence[tuple[SourceFinding, RosterLine]],
    now: datetime,
) -> None:
    """Plan a question for each request of which somebody is back: once, and anew where nobody used the link in time.

    As many a day as of all others together: for the rest it is the turn of another night.
    """
    points = []
    for one, line in found:
        right = one.difference.right
        if right and (request_id := _undone(connection, controller, processor, right, line)):
            points.append(back_point(request_id, processor, one.key))
    questions.ask(connection, controller, points, now)


def _undone(connection: Connection, controller: Controller, name: str, right: Right, line: RosterLine) -> str:
    """The request that the record contradicts, "" for none: none that a new consent ended, or of another part."""
    processor = controller.processors[name]
    done = came_back.requests_of(connection, controller.keys, name, right, line.address)
    since = welcome.since(connection, controller.keys, {row.person for row in done})
    for row in done:
        if not row.scope:
            if not welcome.is_ended(right.value, row.received_at, since.get(row.person)):
                return str(row.id)
            continue
        everywhere = Cause.SCOPE_UNMAPPED in causes_of(row.released)
        if any(is_mailed_in(part, line) for part in scoped.parts_of(row.scope, processor, everywhere=everywhere)):
            return str(row.id)
    return ""
