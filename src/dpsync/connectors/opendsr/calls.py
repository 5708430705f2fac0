"""The calls of OpenDSR: ask for an erasure, ask how far it is, read what the processor offers."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from dpsync.connector import Instruction, Kit, Reply, Retryable, TakingBack
from dpsync.connector_services import NoAnswer
from dpsync.connectors.opendsr.message import came_back
from dpsync.connectors.opendsr.settings import OpenDsrSettings
from dpsync.http import json_of
from dpsync.opendsr_protocol import DISCOVERY, REQUESTS, RequestStatus, moment
from dpsync.vendor import calls
from dpsync.vendor.calls import part_of
from dpsync.vendor.errors import FAULT_THERE, Ended, Error, Meaning, unreadable

ONE: Final = REQUESTS + "/{id}"
CERTIFICATE: Final = "/certificate"
UNKNOWN: Final = "e214"
TROUBLE: Final = "e511"
NOT_TAKEN: Final = "the processor does not take the request"
OPEN_THERE: Final = "the processor has another request about the person under way"
THERE_ALREADY: Final = "the processor has this request already"
NO_CERTIFICATE: Final = "the processor's certificate could not be fetched"
PRESENT: Final = Error((400,), ("e213",), Meaning.SETTLED, THERE_ALREADY)
ERRORS: Final[tuple[Error, ...]] = (
    PRESENT,
    Error((400,), ("e215",), Meaning.LATER, OPEN_THERE),
    Error((400,), ("e411", "e319"), Meaning.MISPLACED, "the processor does not know the app: compare `property_id`"),
    Error((400,), ("e212", "e413"), Meaning.REJECTED, "its owner may not ask for this: give it that permission"),
    Error((500,), (TROUBLE,), Meaning.FAULT, FAULT_THERE),
    Error((401, 403), (), Meaning.REJECTED),
    Error((404, 405), (), Meaning.MISPLACED, "nothing there takes requests: compare `url` with the processor's"),
    Error((400, 413, 415, 422), (), Meaning.NO, NOT_TAKEN),
)
_PATIENCE: Final = timedelta(minutes=60)  # after a fault of AppsFlyer's own, as its table of errors says


@dataclass(frozen=True, slots=True)
class HowFar:
    """A request as the processor shows it. `until`: when it expects to be done. `reply`: the answer that says so."""

    status: RequestStatus
    until: datetime | None
    reply: Reply


class Calls(calls.Calls):
    """The calls of one instruction, of a probe, or about a message of the processor's."""

    errors = ERRORS
    marks = frozenset({"subject_request_id", "processor_certificate"})

    def __init__(self, kit: Kit, settings: OpenDsrSettings, order: Instruction | None) -> None:
        super().__init__(kit, order)
        self._settings = settings
        self._base = settings.base

    def speaks(self, reply: Reply) -> bool:
        """The common error object (7.6 of the specification); AppsFlyer has it without its envelope, too."""
        match json_of(reply):
            case {"error": {"code": int()}} | {"code": int(), "af_gdpr_code": str()}:
                return True
        return False

    def code(self, reply: Reply) -> int | str | None:
        """AppsFlyer's own code; the specification has none besides the status."""
        said = json_of(reply)
        inner = part_of(reply, "error")
        for one in (inner, said):
            if isinstance(one, dict) and isinstance(found := one.get("af_gdpr_code"), str):
                return found
        return None

    def discovery(self) -> Reply:
        """What the processor offers. Raises `Ended`, `CredentialsRejected`."""
        reply = self._get(self._base + DISCOVERY, DISCOVERY)
        self.no(reply)
        if not isinstance(part_of(reply, "processor_certificate"), str):
            raise unreadable()
        return reply

    def certificate(self, url: str) -> bytes:
        """What lies under a URL of the processor's certificate; our credential does not go there. Raises `Ended`."""
        try:
            reply = self.call("GET", url, template=CERTIFICATE, headers={"Accept": "*/*"})
        except NoAnswer as failure:
            raise Ended(Retryable(reason=failure.reason), stop=True) from None
        if reply.status != 200:
            raise Ended(Retryable(reason=NO_CERTIFICATE), stop=True)
        return reply.body

    def submit(self, request_id: str, body: bytes) -> tuple[datetime | None, Reply]:
        """Ask for an erasure: when the processor expects to be done, and its answer. Raises `Ended`,
        `CredentialsRejected`.
        """
        headers = {**self._headers(), "Content-Type": "application/json"}
        url = self._base + self._settings.requests
        reply = self.ask("POST", url, template=REQUESTS, headers=headers, body=body)
        self._demand_sense(reply, writing=True)
        if self.no(reply, PRESENT):
            self.note(THERE_ALREADY)
            return None, reply
        if part_of(reply, "subject_request_id") != request_id:
            raise unreadable(doubtful=True)
        self.note(came_back(part_of(reply, "encoded_request"), body))
        return moment(part_of(reply, "expected_completion_time")), reply

    def deleting(self, request_ids: Sequence[str]) -> tuple[TakingBack, ...]:
        """The calls that cancel these requests. Makes none."""
        paths = (f"{self._base}{self._settings.requests}/{one}" for one in request_ids)
        return tuple(TakingBack("DELETE", path, self._headers()) for path in paths)

    def known(self, request_id: str) -> HowFar | None:
        """How far a request is, None where the processor does not know it. Raises `Ended`, `CredentialsRejected`."""
        reply = self._get(f"{self._base}{self._settings.requests}/{request_id}", ONE)
        if reply.status in (400, 404) and self.code(reply) in (None, UNKNOWN):
            return None  # the specification has one status for every error, and no other for what is not there
        self.no(reply)
        status = _status(part_of(reply, "request_status"))
        if part_of(reply, "subject_request_id") != request_id or status is None:
            raise unreadable()
        return HowFar(status, moment(part_of(reply, "expected_completion_time")), reply)

    def _get(self, url: str, template: str) -> Reply:
        reply = self.ask("GET", url, template=template, headers=self._headers())
        self._demand_sense(reply, writing=False)
        return reply

    def _demand_sense(self, reply: Reply, *, writing: bool) -> None:
        self.demand_sense(reply, writing=writing, wait=_PATIENCE if self.code(reply) == TROUBLE else None)

    def _headers(self) -> Mapping[str, str]:
        secret = self._settings.credential.get_secret_value()
        basic = f"Basic {base64.b64encode(secret.encode()).decode()}"
        return {
            "Authorization": basic if self._settings.reading.basic else f"Bearer {secret}",
            "Accept": "application/json",
        }


def _status(said: object) -> RequestStatus | None:
    """The status that is meant; AppsFlyer writes two of them in its own way."""
    word = said.replace("-", "_").replace("canceled", "cancelled") if isinstance(said, str) else ""
    return RequestStatus(word) if word in list(RequestStatus) else None
