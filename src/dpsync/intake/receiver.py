"""What stands behind the receiver's doors: an object for each of them, so that it is plain where each one leads."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from dpsync.connector_services import Clock
from dpsync.intake.case_links import CaseLinks
from dpsync.intake.counting import Counting
from dpsync.intake.decision_links import DecisionLinks
from dpsync.intake.inbound import Listeners
from dpsync.intake.later_outcomes import LaterOutcomes
from dpsync.intake.letter_links import LetterLinks
from dpsync.intake.observed import Observed
from dpsync.intake.opendsr.service import OpenDsr
from dpsync.intake.page_links import PageLinks
from dpsync.intake.person_letter_links import PersonLetterLinks
from dpsync.intake.reception import Reception
from dpsync.intake.refusals import Refusals
from dpsync.intake.sources.reception import SourceReception
from dpsync.intake.sources.source import Source
from dpsync.propagation.engine.worker import Worker
from dpsync.retention.service import Conversations
from dpsync.signature import Verifier


class Health(Protocol):
    """How the service is going, which stands above this room (`running.health.Health`)."""

    def readiness(self) -> Mapping[str, object]:
        """What /readyz shows; its `status` is "ready" or not. May read from the store: called in a thread."""


@dataclass(frozen=True, slots=True)
class Receiver:
    """A signed request is verified and goes to `reception`, and the `worker` is woken; a processor's own webhook to its
    connector among the `listeners`, and what it tells of to `conversations`, `observed` or `outcomes`; a link in a
    letter to `letters`, that of a work list to `conversations`; that of a question to `decisions`, that of a page to
    `pages` and of a case to `cases`, that of a letter to a person to `person_letters`, all None where such links are
    off. What comes from a main database with a shape of its own is understood by one of `sources` and goes to
    `source_reception`. What is refused at any door is counted in `refusals`, and what such a main database sends in
    `source_messages`. Who hands over by OpenDSR goes to `opendsr`, None where nobody does.

    `controller` is who asks, as the pages name it. `passphrases`: the roles, as they name them, that type a passphrase.
    """

    clock: Clock
    verifier: Verifier
    reception: Reception
    worker: Worker
    listeners: Listeners
    letters: LetterLinks
    conversations: Conversations
    refusals: Refusals
    observed: Observed
    outcomes: LaterOutcomes
    health: Health
    controller: str
    source_reception: SourceReception
    source_messages: Counting[tuple[str, str]]
    sources: Mapping[str, Source] = field(default_factory=dict)
    rehearsal: bool = False
    passphrases: frozenset[str] = frozenset()
    decisions: DecisionLinks | None = None
    pages: PageLinks | None = None
    cases: CaseLinks | None = None
    person_letters: PersonLetterLinks | None = None
    opendsr: OpenDsr | None = None
