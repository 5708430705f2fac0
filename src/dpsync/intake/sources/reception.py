"""What the door of other main databases has the store commit: all of a delivery, or nothing of it."""

from concurrent.futures import Future
from datetime import datetime

from dpsync.intake.answers import Received
from dpsync.intake.merge_news import TakenIn, take_in
from dpsync.intake.sources.source import Taken
from dpsync.propagation import platform_jobs
from dpsync.propagation.controller import Controller
from dpsync.store.writer import Unit, Writer


class SourceReception:
    """Accepts what sources asked for and told, from a webhook or from wherever else it came."""

    def __init__(self, controller: Controller, writer: Writer) -> None:
        self._controller = controller
        self._writer = writer

    def submit(self, taken: Taken, now: datetime) -> "Future[TakenIn]":
        """Accept a delivery; the future resolves after the commit.

        Where one of its requests is a conflict, the others stand: sent again, they get the same answer.
        """

        def work(unit: Unit) -> TakenIn:
            became = take_in(unit, self._controller, taken.asked, taken.merges, taken.merge_wait, now)
            for one in became.requests if taken.job else ():
                if isinstance(one, Received):
                    platform_jobs.keep(unit.connection, self._controller, one.request_id, taken.job)
            return became

        return self._writer.submit(work)
