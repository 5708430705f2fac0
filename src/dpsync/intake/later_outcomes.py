"""What a processor's own system says later of what it was told, by a message that it signed."""

from datetime import datetime

from dpsync.connector import Reported
from dpsync.installation import Installation
from dpsync.intake.answers import ReceptionBusy
from dpsync.propagation.correspondence import reported
from dpsync.propagation.correspondence.reported import Taking


class LaterOutcomes:
    """Takes in what such a message says, after its signature was found right."""

    def __init__(self, there: Installation) -> None:
        self._there = there

    def take(self, processor: str, said: Reported, now: datetime) -> None:
        """Record it, and return after the commit; a repetition changes nothing.

        Raises `NotFound`, `PayloadInvalid`, and `ReceptionBusy` for what is to come again.
        """
        controller = self._there.controller
        if self._there.write(lambda unit: reported.take(unit, controller, processor, said, now)) is Taking.TOO_EARLY:
            raise ReceptionBusy("the processor is being told just now")
