"""What connectors to HTTP vendors share: the calls of one instruction, and how many answers become one outcome.

Which answer means what is each vendor's own and stands in its connector; here is only what any vendor's may mean.
"""

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Annotated, Final

from pydantic import AfterValidator, SecretStr
from tenacity import RetryCallState, Retrying, retry_if_exception, wait_random_exponential

from dpsync.connector import (
    Applied,
    Evidence,
    HandOver,
    Instruction,
    Kit,
    NoAnswer,
    NothingHeld,
    Outcome,
    Recipient,
    Refused,
    Reply,
    Retryable,
)
from dpsync.errors import CredentialsRejected, ProcessorUnreachable
from dpsync.http import CUT, UNREACHABLE, retry_after

UNDOCUMENTED: Final = "an answer that the processor's documentation does not know"
UNREADABLE: Final = "an answer that is not of the documented shape"
OUR_FAULT: Final = "the processor calls the request malformed: a fault of dpsync, please report it"
BUSY: Final = "the processor asks us to wait"
FAULT_THERE: Final = "a fault at the processor"
NOT_DONE: Final = "the processor said yes, and its record did not change"
DENIED: Final = "the processor does not find a record that it shows"


def _printable(secret: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[!-~]+", secret.get_secret_value()):
        raise ValueError("must be printable, without spaces")
    return secret


Secret = Annotated[SecretStr, AfterValidator(_printable)]
"""A credential in a connector's section, as it may stand in a header."""


class Ended(Exception):
    """An answer that ends one step; `stop` where asking on would only meet the same."""

    def __init__(self, outcome: Retryable | Refused, *, stop: bool = False) -> None:
        self.outcome = outcome
        self.stop = stop
        super().__init__(outcome.reason)


def refused(reason: str = UNDOCUMENTED) -> Ended:
    """A no, or an answer that nobody documents: a person must look."""
    return Ended(Refused(reason=reason, evidence=()))


def unreadable(*, doubtful: bool = False) -> Ended:
    """An answer that should say yes and cannot be read; `doubtful` after a write."""
    return Ended(Retryable(reason=UNREADABLE, doubtful=doubtful))


class Calls:
    """The calls of one instruction, and what is kept of each.

    `touched`: something may stand changed at the vendor since the first of them.
    """

    def __init__(self, kit: Kit, order: Instruction | None, sleep: Callable[[float], None] = time.sleep) -> None:
        self._kit = kit
        self._digest_key = order.digest_key if order else b""
        self._until = order.may_call_until if order else lambda: float("inf")
        self._sleep = sleep
        self.evidence: list[Evidence] = []
        self.touched = False

    @property
    def kept(self) -> tuple[Evidence, ...]:
        """All evidence so far."""
        return tuple(self.evidence)

    def call(
        self,
        method: str,
        url: str,
        *,
        template: str,
        headers: Mapping[str, str],
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        scope: str = "",
    ) -> Reply:
        """Make one call and keep its evidence, whatever came of it. Raises `NoAnswer`."""
        try:
            reply = self._kit.http.call(
                method,
                url,
                template=f"{method} {template}",
                headers=headers,
                params=params,
                body=body,
                digest_key=self._digest_key,
                scope=scope,
                deadline=self._until(),
            )
        except NoAnswer as failure:
            self.evidence.append(failure.evidence)
            raise
        self.evidence.append(reply.evidence)
        return reply

    def ask(
        self,
        method: str,
        url: str,
        *,
        template: str,
        headers: Mapping[str, str],
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        scope: str = "",
        patient: bool = False,
    ) -> Reply:
        """Make one call, or end the instruction where no answer came. Raises `Ended`.

        `patient`: a read is tried again where the connection broke. What the answer means is the connector's to say.
        """
        writing = method != "GET"

        def make() -> Reply:
            return self.call(method, url, template=template, headers=headers, params=params, body=body, scope=scope)

        try:
            reply = self.patiently(make) if patient and not writing else make()
        except NoAnswer as failure:
            raise Ended(Retryable(reason=failure.reason, doubtful=writing and failure.sent), stop=True) from None
        self.note_touch(reply, writing=writing)
        return reply

    def patiently(self, read: Callable[[], Reply]) -> Reply:
        """Read, and again where the connection broke: three times in all, within the deadline. Raises `NoAnswer`."""

        def enough(state: RetryCallState) -> bool:
            wakes = self._kit.clock.monotonic() + state.upcoming_sleep
            return state.attempt_number >= 3 or wakes >= self._until()

        # a call that ran into its time may still hold its place at the vendor, so it is not repeated at once
        again = Retrying(
            retry=retry_if_exception(lambda error: isinstance(error, NoAnswer) and error.reason in (UNREACHABLE, CUT)),
            stop=enough,
            wait=wait_random_exponential(multiplier=0.2, max=2),
            sleep=self._sleep,
            reraise=True,
        )
        return again(read)

    def note_touch(self, reply: Reply, *, writing: bool) -> None:
        """Remember that a write was not turned away: a 408 may have been carried out all the same."""
        spared = 400 <= reply.status < 500 and reply.status != 408
        self.touched = self.touched or (writing and not spared)

    def note(self, text: str) -> None:
        """Say beside the last call what it showed: a fixed phrase of ours."""
        self.evidence[-1] = replace(self.evidence[-1], note=text)

    def unchanged(self, *, said_yes: bool = True) -> Applied:
        """What a write left as it was although it said yes: our read-back says so, and that makes it *contradicted*.

        Asked again it would say yes again, and nobody would hear of it. A no that its record belies raises `Ended`.
        """
        if not said_yes:
            raise refused(DENIED)
        self.note(NOT_DONE)
        return Applied(evidence=())

    def demand_sense(self, reply: Reply, *, writing: bool, wait: timedelta | None = None) -> None:
        """End what any vendor's status means of the account or of a fault there; let everything else through.

        `wait`: how long the vendor asks us to wait where it says so in its own way. Raises `Ended`.
        """
        wait = wait if wait is not None else retry_after(reply, self._kit.clock.now())
        match reply.status:
            case 429 | 503:
                doubtful = writing and reply.status == 503
                raise Ended(Retryable(reason=BUSY, busy=True, doubtful=doubtful, retry_after=wait), stop=True)
            case 408 | 425:
                raise Ended(Retryable(reason=BUSY, doubtful=writing and reply.status == 408, retry_after=wait))
            case status if status >= 500:
                raise Ended(Retryable(reason=FAULT_THERE, doubtful=writing, retry_after=wait))

    def rejected(self, reply: Reply, advice: str = "") -> CredentialsRejected:
        """That our credential is not accepted, with what the calls before it had shown and done."""
        at = reply.evidence
        return CredentialsRejected(
            at.endpoint, reply.status, at.request_id, evidence=self.kept, doubtful=self.touched, advice=advice
        )

    def unreachable(self, vendor: str, reason: str) -> ProcessorUnreachable:
        """What whoever ran `check` reads: the reason, and at which call, about which of the vendor's lists."""
        if not self.evidence:
            return ProcessorUnreachable(f"{vendor}: {reason}")
        at = self.evidence[-1]
        where = f"{at.status or 'no answer'} to {at.endpoint}{at.scope and f', {at.scope}'}"
        return ProcessorUnreachable(f"{vendor}: {reason} ({where})")


def task(sentence: str, *references: str) -> HandOver:
    """What our own operator must do in the vendor's web app."""
    return HandOver(to=Recipient.OPERATOR, task=sentence, references=references)


def each(steps: Iterable[Callable[[], Outcome]]) -> list[Outcome]:
    """The outcome of each step, also of those that ended early. Raises `Ended` where asking on would meet the same."""
    outcomes: list[Outcome] = []
    for step in steps:
        try:
            outcomes.append(step())
        except Ended as end:
            outcomes.append(end.outcome)
            if end.stop:
                # what an earlier step left in doubt stays in doubt
                worst = together(outcomes)
                raise Ended(worst if isinstance(worst, Retryable) else end.outcome, stop=True) from None
    return outcomes


def together(outcomes: Sequence[Outcome], evidence: tuple[Evidence, ...] = (), *, touched: bool = False) -> Outcome:
    """The worst of all: not finished, then a no, then left to a person, then done, then nothing there."""
    later = [outcome for outcome in outcomes if isinstance(outcome, Retryable)]
    noes = [outcome for outcome in outcomes if isinstance(outcome, Refused)]
    tasks = [outcome for outcome in outcomes if isinstance(outcome, HandOver)]
    if later:
        waits = [outcome.retry_after for outcome in later if outcome.retry_after is not None]
        return Retryable(
            reason=later[0].reason,
            evidence=evidence,
            doubtful=touched or any(outcome.doubtful for outcome in later),
            busy=any(outcome.busy for outcome in later),
            retry_after=max(waits, default=None),
        )
    if noes:
        return Refused(reason=noes[0].reason, evidence=evidence)
    if tasks:
        return HandOver(
            to=Recipient.OPERATOR,
            task=" ".join(dict.fromkeys(outcome.task for outcome in tasks)),
            evidence=evidence,
            references=tuple(dict.fromkeys(name for outcome in tasks for name in outcome.references)),
        )
    if any(isinstance(outcome, Applied) for outcome in outcomes):
        return Applied(evidence=evidence)
    return NothingHeld(evidence=evidence)
