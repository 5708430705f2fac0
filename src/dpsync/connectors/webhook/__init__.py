"""A processor that speaks Standard Webhooks: told by a signed message, and it says what came of it by another.

That a message was taken (2xx) is not that anything was done: only the processor's own signed word is, and that is
declared, never verified. What its messages and ours look like stands in docs/processor-webhook.md.
"""

import hashlib
import re
from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import ClassVar, Final
from urllib.parse import urlsplit

from pydantic import BaseModel, SecretStr

from dpsync import strict_json
from dpsync.connector import (
    Accepted,
    Account,
    CannotTell,
    Capability,
    Finding,
    HandOver,
    Instruction,
    Kit,
    Means,
    NotesTo,
    NotIdentifiable,
    Outcome,
    Recipient,
    Reported,
    ReportedOutcome,
    ReportsOutcomes,
    Retryable,
    TakesNotes,
)
from dpsync.connectors.webhook import message
from dpsync.connectors.webhook.calls import ERRORS, Calls, WebhookSettings
from dpsync.errors import ConfigurationError, Fault, PayloadInvalid
from dpsync.model import Right
from dpsync.signature import Verifier, checked_by, doubts
from dpsync.signing_keys import PRIVATE, PUBLIC
from dpsync.urls import is_loopback, may_be_called
from dpsync.vendor import tellings
from dpsync.vendor.connector import HttpConnector
from dpsync.vendor.deliveries import part
from dpsync.vendor.errors import Ended
from dpsync.vendor.outcomes import together
from dpsync.vendor.tellings import Dispatch

OUTCOME: Final = "dpsync.request.outcome"
LONGEST_REMARK: Final = 2000
STEPS: Final = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    *(timedelta(hours=hours) for hours in (2, 5, 10, 14, 20, 24)),
)
"""After how long the specification proposes to send a message again that was not taken."""
BY_LETTER_AFTER: Final = timedelta(days=3)
"""How long a message that nobody takes is tried: as long as the specification proposes."""

TASK: Final = "Its webhook took no message for three days, so that it is asked by letter."
_REFERENCE: Final = re.compile(r"([A-Za-z0-9-]{1,64})\.([1-9][0-9]{0,8})\.[0-9a-f]{16}")
_EFFECTS: Final = MappingProxyType(
    {
        Right.ERASURE: "A signed message asks the processor's own system to erase the person.",
        Right.RECTIFICATION: "A signed message gives the processor's own system the correct values.",
        Right.RESTRICTION: "A signed message asks the processor's own system to keep the data unused until the "
        "restriction is lifted; another says that it is, and brings nobody back.",
        Right.OPT_OUT: "A signed message asks the processor's own system to stop all marketing to the person.",
    }
)


class Webhook(ReportsOutcomes, TakesNotes, HttpConnector[WebhookSettings, Calls]):
    """Sends one signed message for each request, and takes the processor's signed outcome of it in."""

    name: ClassVar[str] = "webhook"
    vendor: ClassVar[str] = "The processor"
    address: ClassVar[str] = ""  # each processor's own, in its section
    errors = ERRORS
    Settings: ClassVar[type[BaseModel]] = WebhookSettings
    tells_scope: ClassVar[bool] = True
    retry_steps: ClassVar[tuple[timedelta, ...]] = STEPS
    capabilities: ClassVar[Mapping[Right, Capability]] = MappingProxyType(
        {
            right: Capability(
                means=Means.API,
                effect=f"{effect} It says later, by a signed message, what it did.",
                limits="We have only the processor's word: nothing can be read back. That it took the message (2xx) "
                "counts as told, never as done, and silence never counts as a yes. If it takes no message for three "
                "days, its contact is asked by letter.",
                verified_by="",
                source="Standard Webhooks specification (standard-webhooks/standard-webhooks), read in November 2026; "
                "docs/processor-webhook.md",
                address_change=right is Right.RECTIFICATION,
            )
            for right, effect in _EFFECTS.items()
        }
    )

    def __init__(self, settings: WebhookSettings, kit: Kit) -> None:
        super().__init__(settings, kit)
        faults = _unfit("secrets", settings.secrets, PRIVATE)
        faults += _unfit("answer_secrets", settings.answer_secrets, PUBLIC)
        if not faults and not _theirs(settings).isdisjoint(_ours(settings)):
            faults.append(Fault("answer_secrets", "is one of `secrets`: the processor signs with one of its own"))
        if not may_be_called(self.base, rehearsal=kit.rehearsal):
            faults.append(Fault("url", "must begin with https:// outside a rehearsal"))
        if faults:
            raise ConfigurationError(faults)
        self._verifier = Verifier(sorted(_theirs(settings)), keys=True)

    @property
    def base(self) -> str:
        """Where its messages go."""
        return self._settings.base_url or self._settings.url

    def calls(self, order: Instruction | None) -> Calls:
        """Messages of one instruction, or of a probe."""
        return Calls(self._kit, self._settings, order)

    def account(self, calls: Calls) -> Account:
        """Whether it takes our signature: by a message that asks for nothing."""
        calls.ping()
        return Account(title="a webhook that takes our signature", contacts=None)

    def carry_out(self, instruction: Instruction) -> Outcome:
        """Deliver the message of this instruction; a repetition of what was not taken yet is the same message.

        Raises `CredentialsRejected`, and `UnsupportedRight` before any call.
        """
        self.demand_declared(instruction.right)
        own_ids = tuple(instruction.references.get(self._settings.own_ids, ()))
        said = message.content(instruction, own_ids, rehearsal=self._kit.rehearsal)
        if said is None:
            return NotIdentifiable(reason="nothing in the instruction says who the person is")
        calls = self.calls(instruction)
        telling = tellings.begin(self._kit.shelf, instruction, said, self._kit.clock.now())
        try:
            calls.deliver(telling.reference, message.body(telling, said, instruction, self._kit.inbound_url))
        except Ended as end:
            return self._tried(together([end.outcome], calls.kept), telling)
        tellings.note_taken(self._kit.shelf, instruction, telling)
        return Accepted(evidence=calls.kept, heard=False)

    def _tried(self, outcome: Outcome, telling: Dispatch) -> Outcome:
        """A yes is waited for as long as `BY_LETTER_AFTER`; a no is one at once."""
        given_up = self._kit.clock.now() - telling.since >= BY_LETTER_AFTER
        if isinstance(outcome, Retryable) and given_up:
            return HandOver(to=Recipient.PROCESSOR, task=TASK, evidence=outcome.evidence)
        return outcome

    def notes_to(self) -> NotesTo:
        """The same address as for the messages, with the same signatures."""
        signed = tuple(one.get_secret_value() for one in self._settings.secrets)
        host = urlsplit(self.base).hostname or ""
        private = self._settings.private_host or (host if self._kit.rehearsal and is_loopback(host) else "")
        return NotesTo(self.base, signed, private.lower())

    def verify(self, instruction: Instruction) -> Finding:
        """Always `CannotTell`, without a call: only the processor can say."""
        self.demand_declared(instruction.right)
        return CannotTell(reason="only the processor can say what it holds")

    def reported(self, headers: Mapping[str, str], body: bytes) -> Reported:
        """What its signed outcome says, of which of our messages."""
        event = self._verifier.verify(headers, body, self._kit.clock.now())
        told = strict_json.load(body)
        if not isinstance(told, dict) or told.get("type") != OUTCOME:
            raise PayloadInvalid("type", f"must be {OUTCOME}")
        data = part(told, "data")
        request, older = self._answered(data.get("reference"))
        outcome, remark = data.get("outcome"), data.get("detail", "")
        if outcome not in list(ReportedOutcome):
            raise PayloadInvalid("data.outcome", f"must be one of {', '.join(ReportedOutcome)}")
        if not isinstance(remark, str) or len(remark) > LONGEST_REMARK:
            raise PayloadInvalid("data.detail", f"must be a text of up to {LONGEST_REMARK} characters")
        digest = hashlib.sha256(body).hexdigest()
        return Reported(request, ReportedOutcome(str(outcome)), event.id, digest, older=older, remark=remark)

    def _answered(self, reference: object) -> tuple[str, bool]:
        """The request of one of our messages, and whether that was not the last one. Raises `PayloadInvalid`."""
        found = _REFERENCE.fullmatch(reference) if isinstance(reference, str) else None
        last = tellings.last(self._kit.shelf, found[1]) if found else None
        if found is None or last is None or (number := int(found[2])) > last.number:
            raise PayloadInvalid("data.reference", "is of no message of ours")
        if number == last.number and reference != last.reference:
            raise PayloadInvalid("data.reference", "is of no message of ours")
        return found[1], number < last.number


def _ours(settings: WebhookSettings) -> set[str]:
    return {checked_by(one.get_secret_value()) for one in settings.secrets}


def _theirs(settings: WebhookSettings) -> set[str]:
    return {one.get_secret_value() for one in settings.answer_secrets}


def _unfit(key: str, secrets: tuple[SecretStr, ...], also: str) -> list[Fault]:
    found = doubts({number: one.get_secret_value() for number, one in enumerate(secrets)}, also)
    return [Fault(one.key.replace("intake.secrets", key), one.problem.replace("intake.secrets", key)) for one in found]
