"""What the receiver needs of the house: callables only, so that the web never sees the store."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from dpsync.intake.answers import AnswerPage, ContactPage, Received
from dpsync.intake.payload import Withdrawal
from dpsync.intake.refusals import Refusal
from dpsync.intake.signature import VerifiedEvent
from dpsync.model import Request
from dpsync.propagation.correspondence.acknowledgement import Given
from dpsync.propagation.rules.lifecycle import AnswerKind
from dpsync.retention.worklist import WorkListPage

RawHeaders = list[tuple[bytes, bytes]]


class Verify(Protocol):
    """`signature.Verifier.verify`. Raises `SignatureInvalid`."""

    def __call__(self, headers: RawHeaders, body: bytes, now: datetime) -> VerifiedEvent: ...


class Parse(Protocol):
    """`payload.parse`. Raises `PayloadInvalid`."""

    def __call__(self, body: bytes, *, source: str, event_id: str, now: datetime) -> Request | Withdrawal: ...


class RecordAnswer(Protocol):
    """Keeps what a processor's person said; resolves after the commit.

    `NotFound` (in the future) for a dead token, `DecisionRefused` for one that was used too often.
    """

    def __call__(self, token: str, kind: AnswerKind, given: Given, now: datetime) -> Future[object]: ...


class Attest(Protocol):
    """Keeps that rows of a work list are deleted (None: all); resolves after the commit, with how many are new.

    `NotFound` (in the future) for a dead token.
    """

    def __call__(
        self, token: str, references: frozenset[str] | None, name: str, remark: str, peer: str, now: datetime
    ) -> Future[int]: ...


class Deliver(Protocol):
    """Takes in what a processor's own webhook brings; returns after the commit. Called in a thread.

    Raises `NotFound` (no such processor, or not its secret), `SignatureInvalid`, `PayloadInvalid`.
    """

    def __call__(self, processor: str, secret: str, headers: Mapping[str, str], body: bytes, now: datetime) -> None: ...


@dataclass(frozen=True, slots=True)
class Ports:
    """The receiver's doors into the house.

    `receive` may raise `ReceptionBusy` at once; its future resolves after the commit, or raises `EventConflict`,
    `NotFound`, `DecisionRefused` or whatever went wrong with the store. `ready` and the pages may read from the store:
    they are called in a thread. `ready` gives what /readyz shows; its `status` is "ready" or not.
    The pages are None where the token is unknown or expired. `listens`: whether this processor's webhooks are taken in
    under this secret. `refused` keeps the trace of a refusal, with the event's id; its future resolves after the
    commit. `controller` is who asks, as the pages name it.
    """

    now: Callable[[], datetime]
    verify: Verify
    parse: Parse
    receive: Callable[[Request | Withdrawal, bytes, datetime], Future[Received]]
    ready: Callable[[], Mapping[str, object]]
    answer_page: Callable[[str, datetime], AnswerPage | None]
    record_answer: RecordAnswer
    contact_page: Callable[[str], ContactPage | None]
    confirm_contact: Callable[[str, datetime], Future[object]]
    worklist_page: Callable[[str, datetime], WorkListPage | None]
    attest: Attest
    listens: Callable[[str, str], bool]
    deliver: Deliver
    refused: Callable[[Refusal, datetime, str], Future[None]]
    controller: str = ""
    rehearsal: bool = False
