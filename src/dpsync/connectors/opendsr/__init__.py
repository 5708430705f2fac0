"""A processor that speaks OpenDSR 2.0: asked for an erasure, and asked again and again how far it is.

Its `completed` is its own word, and says neither that somebody was found nor that nobody was. So it is declared, and
never verified. What it sends by itself is a hint that it has news; what they are, it is asked.
"""

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import ClassVar, Final
from urllib.parse import urlsplit

from pydantic import BaseModel

from dpsync import strict_json
from dpsync.connector import (
    Accepted,
    Account,
    CannotTell,
    Capability,
    Contradicts,
    Declares,
    Finding,
    Instruction,
    Kit,
    Means,
    NotIdentifiable,
    Outcome,
    Reported,
    ReportedOutcome,
    ReportsOutcomes,
    Retryable,
    TakesBack,
    TakingBack,
)
from dpsync.connectors.opendsr import message
from dpsync.connectors.opendsr.calls import ERRORS, Calls, HowFar
from dpsync.connectors.opendsr.certificates import Certificates
from dpsync.connectors.opendsr.message import Part, Unfit
from dpsync.connectors.opendsr.settings import OpenDsrSettings
from dpsync.errors import ConfigurationError, Fault, PayloadInvalid, SignatureInvalid
from dpsync.http import json_of
from dpsync.model import Right
from dpsync.opendsr_protocol import IdentityType, RequestStatus, RequestType, is_request_id
from dpsync.urls import may_be_called
from dpsync.vendor import tellings
from dpsync.vendor.connector import HttpConnector
from dpsync.vendor.errors import Ended, misplaced
from dpsync.vendor.outcomes import together
from dpsync.vendor.tellings import Dispatch

LONGEST_PROMISE: Final = timedelta(days=92)
"""A month, and two more at most (Art. 12(3) GDPR): what is promised for later is no promise."""

NEVER_ASKED: Final = "it was never asked, and OpenDSR has no call that looks for a person"
NOT_THERE: Final = "the processor does not know the request"
CANCELLED: Final = "the processor cancelled the request"
UNDER_WAY: Final = "the processor has not done it yet"
NO_ERASURE: Final = "its discovery offers no erasure: ask the processor, or use the connector notice"
NO_IDENTITY: Final = (
    "its discovery knows people by nothing that is sent: compare `email_format`, `customer_id`, `own_ids`"
)


class OpenDsrConnector(ReportsOutcomes, TakesBack, HttpConnector[OpenDsrSettings, Calls]):
    """Asks for erasures, and takes the processor's word for them."""

    name: ClassVar[str] = "opendsr"
    vendor: ClassVar[str] = "The processor"
    address: ClassVar[str] = ""  # each processor's own, in its section
    errors = ERRORS
    Settings: ClassVar[type[BaseModel]] = OpenDsrSettings
    only_so: ClassVar[bool] = False
    taken: ClassVar[int] = 202
    unsigned: ClassVar[int] = 403
    too_late: ClassVar[frozenset[int]] = frozenset({400, 404, 409})
    capabilities: ClassVar[Mapping[Right, Capability]] = MappingProxyType(
        {
            Right.ERASURE: Capability(
                means=Means.API,
                effect="The processor's own system is asked to erase the person, under each address and id that it "
                "may know, and says when it expects to be done.",
                limits='We have only the processor\'s word. Its "completed" says neither that somebody was found nor '
                "that nobody was. That it took the request counts as told, never as done.",
                verified_by="",
                source="OpenDSR specification 2.0 (opengdpr/OpenDSR), AppsFlyer's OpenAPI file 1.0, mParticle's page "
                "on its API version 3, read in November 2026; docs/processor-opendsr.md",
                declared_by="no: dpsync asks the processor how far it is, and it answers by a signed word",
            )
        }
    )

    def __init__(self, settings: OpenDsrSettings, kit: Kit) -> None:
        super().__init__(settings, kit)
        faults = []
        if not may_be_called(settings.base, rehearsal=kit.rehearsal):
            faults.append(Fault("url", "must begin with https:// outside a rehearsal"))
        if settings.stub and not kit.rehearsal:
            faults.append(Fault("stub", "erases nothing, so it needs [controller] rehearsal = true"))
        if faults:
            raise ConfigurationError(faults)
        self._certificates = Certificates(settings, kit)

    def calls(self, order: Instruction | None) -> Calls:
        """Calls of one instruction, of a probe, or about a message of the processor's."""
        return Calls(self._kit, self._settings, order)

    def account(self, calls: Calls) -> Account:
        """What it offers, and whether its answers can be believed."""
        reply = calls.discovery()
        found = json_of(reply)
        offered = found if isinstance(found, dict) else {}
        if RequestType.ERASURE not in _texts(offered.get("supported_subject_request_types")):
            raise misplaced(NO_ERASURE)
        if not self._sent & set(_named(offered.get("supported_identities"))):
            raise misplaced(NO_IDENTITY)
        if why := self._doubt(calls, reply.headers, reply.body):
            raise Ended(Retryable(reason=why))
        return Account(title=f"OpenDSR of {self._settings.signer}", contacts=None)

    def carry_out(self, instruction: Instruction) -> Outcome:
        """Ask for the erasure; what an earlier attempt asked for, and nobody recorded, is looked for before.

        Raises `CredentialsRejected`, and `UnsupportedRight` before any call.
        """
        self.demand_declared(instruction.right)
        try:
            asked = message.parts(instruction, self._settings)
        except Unfit as unfit:
            return NotIdentifiable(reason=unfit.reason)
        calls, shelf, now = self.calls(instruction), self._kit.shelf, self._kit.clock.now()
        before = tellings.last(shelf, instruction.request)
        said = {"identities": asked, "property": self._settings.property_id}
        telling = tellings.begin(shelf, instruction, said, now, parts=len(asked))
        requests = list(zip(message.request_ids(telling), asked, strict=True))
        # by the reference at its end it is found, and forgotten, with the request
        named = f"{telling.number} {telling.request}"
        shelf.put_all({f"id/{one}/{instruction.reference}": named for one, _ in requests})
        try:
            taken = [self._ask(calls, instruction, telling, *one, again=telling == before) for one in requests]
        except Ended as end:
            return together([end.outcome], calls.kept, touched=calls.touched)
        tellings.note_taken(shelf, instruction, telling)
        until = [one for one, _ in taken if one is not None and now < one]
        by = min(max(until), now + LONGEST_PROMISE) if until else None
        return Accepted(evidence=calls.kept, answer_by=by, heard=all(heard for _, heard in taken))

    def verify(self, instruction: Instruction) -> Finding:
        """What the processor says of it: `Declares`, never `AsAsked`. Raises `CredentialsRejected`."""
        self.demand_declared(instruction.right)
        telling = tellings.last(self._kit.shelf, instruction.request)
        if telling is None:
            return CannotTell(reason=NEVER_ASKED)
        calls = self.calls(instruction)
        try:
            known = [calls.known(one) for one in message.request_ids(telling)]
            doubts = [self._doubt(calls, one.reply.headers, one.reply.body) for one in known if one]
        except Ended as end:
            return calls.cannot_tell(end)
        if None in known:
            return Contradicts(reason=NOT_THERE, evidence=calls.kept)
        if why := next(filter(None, doubts), ""):
            return CannotTell(reason=why, evidence=calls.kept, later=True)
        return self._word([one for one in known if one], calls)

    def taking_back(self, request: str) -> tuple[TakingBack, ...]:
        """A DELETE of each request that it was last told; it takes one only while that is pending there."""
        telling = tellings.last(self._kit.shelf, request)
        return self.calls(None).deleting(message.request_ids(telling)) if telling else ()

    def taken_back_at(self) -> str:
        """The host of every other call."""
        return (urlsplit(self._settings.base).hostname or "").lower()

    def reported(self, headers: Mapping[str, str], body: bytes) -> Reported:
        """That the processor has news of one of our requests; it is asked which."""
        if why := self._certificates.doubt(self.calls(None), headers, body):
            raise SignatureInvalid(why)
        told = strict_json.load(body, quoting=True)
        if not isinstance(told, dict):
            raise PayloadInvalid("", "must be an object")
        url, own = told.get("status_callback_url"), self._kit.inbound_url
        if isinstance(url, str) and own and url != own:
            raise PayloadInvalid("status_callback_url", "is not this address")
        number, request, last = self._asked(told.get("subject_request_id"))
        digest = hashlib.sha256(body).hexdigest()
        # It bears no id. The same again a minute later may be news: what came first was perhaps too early.
        event = f"{digest}.{self._kit.clock.now():%Y%m%d%H%M}"
        return Reported(request, ReportedOutcome.RECEIVED, event, digest, older=number < last.number)

    def _asked(self, named: object) -> tuple[int, str, Dispatch]:
        """Of which request, and of which of its tellings, an id is. Raises `PayloadInvalid`."""
        known = isinstance(named, str) and is_request_id(named)
        kept = [*self._kit.shelf.find(f"id/{named}/").values()] if known else []
        number, _, request = kept[0].partition(" ") if kept else ("", "", "")
        last = tellings.last(self._kit.shelf, request) if kept else None
        if last is None:
            raise PayloadInvalid("subject_request_id", "is of no request of ours")
        return int(number), request, last

    def _ask(
        self, calls: Calls, order: Instruction, telling: Dispatch, request_id: str, part: Part, *, again: bool
    ) -> tuple[datetime | None, bool]:
        """When it expects to be done, and whether it said itself that it has the request. Raises `Ended`."""
        known = calls.known(request_id) if again else None
        if known:
            until, reply = known.until, known.reply
        else:
            sent = message.body(order, self._settings, telling, request_id, part, self._kit.inbound_url)
            until, reply = calls.submit(request_id, sent)
        return until, not self._doubt(None, reply.headers, reply.body)

    def _doubt(self, calls: Calls | None, headers: Mapping[str, str], body: bytes) -> str:
        """Why an answer to a call of ours is not its word, "" where it is."""
        return self._certificates.doubt(calls, headers, body, unsigned=self._settings.unsigned_answers)

    @staticmethod
    def _word(known: list[HowFar], calls: Calls) -> Declares:
        said = {one.status for one in known}
        until = max((one.until for one in known if one.until), default=None)
        if RequestStatus.CANCELLED in said:
            return Declares(outcome=ReportedOutcome.REFUSED, evidence=calls.kept, reason=CANCELLED)
        if said == {RequestStatus.COMPLETED}:
            return Declares(outcome=ReportedOutcome.DONE, evidence=calls.kept)
        return Declares(outcome=ReportedOutcome.RECEIVED, evidence=calls.kept, reason=UNDER_WAY, answer_by=until)

    @property
    def _sent(self) -> set[tuple[str, str]]:
        """As what people are named, as far as the settings say; `own_ids` may be of any type."""
        emails = (
            {(IdentityType.EMAIL.value, self._settings.email_format.value)} if self._settings.reading.emails else set()
        )
        return emails | ({(self._settings.customer, "raw")} if self._settings.customer else set())


def _texts(found: object) -> list[str]:
    """The texts of a list; AppsFlyer documents one text in its place."""
    listed = found if isinstance(found, list) else [found]
    return [one for one in listed if isinstance(one, str)]


def _named(found: object) -> Iterable[tuple[str, str]]:
    for one in found if isinstance(found, list) else ():
        if isinstance(one, dict):
            yield str(one.get("identity_type")), str(one.get("identity_format"))
