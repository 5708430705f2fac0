"""Asks the DPO by link about each person whom a sweep found back at a processor."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from dpsync.connector import RosterLine
from dpsync.intake.reconciliation.findings import SourceFinding
from dpsync.intake.sweeping.compare import MAILED, RETURNED
from dpsync.propagation import came_back, questions
from dpsync.propagation.controller import Controller
from dpsync.propagation.points import back_point

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
        if right is None:
            continue
        if request_id := came_back.request_of(connection, controller.keys, processor, right, line.address):
            points.append(back_point(request_id, processor, one.key))
    questions.ask(connection, controller, points, now)
