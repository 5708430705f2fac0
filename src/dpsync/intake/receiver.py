"""What stands behind the receiver's doors: an object for each of them, so that it is plain where each one leads."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from dpsync.connector_services import Clock
from dpsync.intake.decision_links import DecisionLinks
from dpsync.intake.inbound import Listeners
from dpsync.intake.letter_links import LetterLinks
from dpsync.intake.page_links import PageLinks
from dpsync.intake.reception import Reception
from dpsync.intake.refusals import Refusals
from dpsync.intake.signature import Verifier
from dpsync.propagation.engine.worker import Worker
from dpsync.retention.service import Conversations


class Health(Protocol):
    """How the service is going, which stands above this room (`running.health.Health`)."""

    def readiness(self) -> Mapping[str, object]:
        """What /readyz shows; its `status` is "ready" or not. May read from the store: called in a thread."""


@dataclass(frozen=True, slots=True)
class Receiver:
    """A signed request is verified and goes to `reception`, and the `worker` is woken; a processor's own webhook to its
    connector among the `listeners`, and what it tells of to `conversations`; a link in a letter to `letters`, that of a
    work list to `conversations`; that of a question to `decisions`, that of a page to `pages`, both None where such
    links are off. What is refused at any door is counted in `refusals`.

    `controller` is who asks, as the pages name it.
    """

    clock: Clock
    verifier: Verifier
    reception: Reception
    worker: Worker
    listeners: Listeners
    letters: LetterLinks
    conversations: Conversations
    refusals: Refusals
    health: Health
    controller: str
    rehearsal: bool = False
    decisions: DecisionLinks | None = None
    pages: PageLinks | None = None
