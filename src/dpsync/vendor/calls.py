"""The calls of one instruction to a vendor, and what is kept of each.

Which answer means what is each vendor's own and stands in its connector; here is only what any vendor's may mean.
"""

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Annotated, ClassVar, Final, Required, TypedDict, TypeVar, Unpack

from pydantic import AfterValidator, SecretStr
from tenacity import RetryCallState, Retrying, retry_if_exception, wait_random_exponential

from dpsync.connector import Applied, CannotTell, Evidence, Instruction, Kit, Reply, Retryable
from dpsync.connector_services import NoAnswer
from dpsync.errors import CredentialsRejected, ProcessorUnreachable
from dpsync.http import CUT, TLS_FAILED, UNREACHABLE, json_of, retry_after, says_json
from dpsync.vendor.errors import (
    ANY_VENDORS,
    BLOCKED,
    DENIED,
    NOT_DONE,
    UNDOCUMENTED,
    Ended,
    Error,
    Meaning,
    misplaced,
    refused,
    unreadable,
)

_BETWEEN: Final = frozenset({407, 511})  # what only a proxy or a network before the processor says (RFC 9110, 6585)
_BLOCKED: Final = "DP-214"
_Shape = TypeVar("_Shape", list[object], dict[str, object])


def _printable(secret: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[!-~]+", secret.get_secret_value()):
        raise ValueError("must be printable, without spaces")
    return secret


Secret = Annotated[SecretStr, AfterValidator(_printable)]
"""A credential in a connector's section, as it may stand in a header."""


class Parts(TypedDict, total=False):
    """What a call is made of besides method and URL. `template`: what evidence keeps instead of the URL; `longest`:
    seconds that it may take, where they are fewer than any call's.
    """

    template: Required[str]
    headers: Required[Mapping[str, str]]
    params: Mapping[str, str] | None
    body: bytes | None
    scope: str
    reach: Callable[[str, str], bool] | None
    longest: float


class Calls:
    """The calls of one instruction, and what is kept of each.

    `touched`: something may stand changed at the vendor since the first of them. A connector says how its vendor's
    errors look (`speaks`): whatever else answers stands between us and the vendor, and says nothing of any person.
    """

    errors: ClassVar[tuple[Error, ...]] = ()
    """The vendor's own table of errors."""
    code_in: ClassVar[str] = ""
    """In which member of its JSON an error says its number or word."""
    marks: ClassVar[frozenset[str]] = frozenset()
    """Of these members at least one stands in whatever object the vendor says yes with; none: any JSON is its yes."""

    def __init__(self, kit: Kit, order: Instruction | None, sleep: Callable[[float], None] = time.sleep) -> None:
        self._kit = kit
        self._digest_key = order.digest_key if order else b""
        self._until = order.may_call_until if order else lambda: float("inf")
        self._sleep = sleep
        self._heard = False
        self.evidence: list[Evidence] = []
        self.touched = False

    @property
    def kept(self) -> tuple[Evidence, ...]:
        """All evidence so far."""
        return tuple(self.evidence)

    def call(self, method: str, url: str, **parts: Unpack[Parts]) -> Reply:
        """Make one call and keep its evidence, whatever came of it. Raises `NoAnswer`."""
        parts["template"] = f"{method} {parts['template']}"
        try:
            reply = self._kit.http.call(method, url, **parts, digest_key=self._digest_key, deadline=self._until())
        except NoAnswer as failure:
            self.evidence.append(failure.evidence)
            raise
        self.evidence.append(reply.evidence)
        return reply

    def ask(self, method: str, url: str, *, patient: bool = False, **parts: Unpack[Parts]) -> Reply:
        """Make one call, or end the instruction where no answer of the vendor's own came. Raises `Ended`.

        `patient`: a read is tried again where the connection broke. What the answer means is the connector's to say.
        """
        writing = method != "GET"
        make = partial(self.call, method, url, **parts)
        try:
            reply = self.patiently(make) if patient and not writing else make()
        except NoAnswer as failure:
            raise Ended(self.unheard(failure, writing=writing), stop=True) from None
        self.note_touch(reply, writing=writing)
        self.demand_own(reply, writing=writing)
        return reply

    def unheard(self, failure: NoAnswer, *, writing: bool) -> Retryable:
        """What it means that no answer came.

        A certificate that is not accepted is somebody's in between, or one that the vendor let run out: a fact about
        the account, which its operator must hear of.
        """
        strange = failure.reason == TLS_FAILED
        doubtful, blocked = writing and failure.sent, strange and not self._heard
        return Retryable(reason=failure.reason, busy=strange, blocked=blocked, doubtful=doubtful)

    def speaks(self, reply: Reply) -> bool:
        """Whether an error, or a redirect, is in the vendor's own documented shape. Override it: any JSON object is."""
        return self.shaped(reply)

    def affirms(self, reply: Reply) -> bool:
        """Whether a yes in JSON shows whose it is. One that cannot be read may be cut, and one may hold an error."""
        found = json_of(reply)
        if found is None:
            return reply.body.strip() != b"null"
        if not self.marks:
            return True
        return (isinstance(found, dict) and not self.marks.isdisjoint(found)) or self.speaks(reply)

    @staticmethod
    def shaped(reply: Reply, **kinds: type) -> bool:
        """Whether a reply is a JSON object that has these members, each of its kind."""
        found = json_of(reply)
        return isinstance(found, dict) and all(isinstance(found.get(name), kind) for name, kind in kinds.items())

    def demand_own(self, reply: Reply, *, writing: bool, counts: bool = True) -> None:
        """End what the vendor did not say: a firewall's page, a proxy, a portal, a balancer, nothing. Raises `Ended`.

        A single one may be a limit; what no answer of the vendor's own stands beside is a fact about the account, and
        how long that lasts is seen there. `counts`: whether this answer shows that the vendor itself is reached.
        """
        if self.is_own(reply, writing=writing):
            self._heard = self._heard or counts
            return
        fault = reply.status >= 500 and reply.status not in (503, *_BETWEEN)
        if fault and self._heard:
            return  # of one list, perhaps: `demand_sense` knows it
        doubtful = writing and not 400 <= reply.status < 500
        wait = retry_after(reply, self._kit.clock.now())
        blocked = not self._heard
        # a fault may be of this one call, so it keeps nobody else waiting
        why = Retryable(reason=BLOCKED, busy=not fault, blocked=blocked, doubtful=doubtful, retry_after=wait)
        raise Ended(why, stop=not fault)

    def is_own(self, reply: Reply, *, writing: bool) -> bool:
        """Whether the vendor itself answered, as far as an answer shows that."""
        if reply.status in _BETWEEN:
            return False
        if reply.status >= 300:
            return self.speaks(reply)
        if not reply.body.strip():
            return writing  # whether the yes to a change may be empty is the connector's to know
        return says_json(reply) and ((writing and json_of(reply) == {}) or self.affirms(reply))

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
        self.touched = self.touched or (writing and not _turned_away(reply))

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

    def code(self, reply: Reply) -> int | str | None:
        """The vendor's own number or word for an error, None where there is none."""
        found = part_of(reply, self.code_in)
        return found if isinstance(found, int | str) and not isinstance(found, bool) else None

    def row(self, reply: Reply) -> Error | None:
        """The row of the vendor's table that an answer is, else any vendor's; None for a yes, or what no row knows."""
        code = self.code(reply)
        return next((row for row in (*self.errors, *ANY_VENDORS) if row.fits(reply.status, code)), None)

    def demand_sense(self, reply: Reply, *, writing: bool, wait: timedelta | None = None) -> None:
        """End what speaks of our credential, of the account or of a fault there; let everything else through.

        `wait`: how long the vendor asks us to wait where it says so in its own way. Raises `Ended` and
        `CredentialsRejected`.
        """
        row = self.row(reply)
        match row.means if row else None:
            case Meaning.REJECTED:
                raise self.rejected(reply, row.reason if row else "")
            case Meaning.BUSY | Meaning.LATER | Meaning.FAULT as means:
                busy, reason = means is Meaning.BUSY, row.reason if row else ""
                wait = wait if wait is not None else retry_after(reply, self._kit.clock.now())
                doubtful = writing and not _turned_away(reply)
                raise Ended(Retryable(reason=reason, busy=busy, doubtful=doubtful, retry_after=wait), stop=busy)

    def no(self, reply: Reply, *rows: Error) -> Error | None:
        """Which of these noes an answer is, None for a yes. Any other error ends the step. Raises `Ended`."""
        if 200 <= reply.status < 300:
            return None
        row = self.row(reply)
        if row in rows:
            return row
        if row and row.means is Meaning.MISPLACED:
            raise misplaced(row.reason)
        raise refused((row and row.reason) or UNDOCUMENTED)

    def content(self, reply: Reply, shape: type[_Shape]) -> _Shape:
        """The array or the object of a 200. Raises `Ended`."""
        self.no(reply)
        found = json_of(reply)
        if reply.status != 200 or not isinstance(found, shape):
            raise unreadable()
        return found

    def rejected(self, reply: Reply, advice: str = "") -> CredentialsRejected:
        """That our credential is not accepted, with what the calls before it had shown and done."""
        at = reply.evidence
        return CredentialsRejected(
            at.endpoint, reply.status, at.request_id, evidence=self.kept, doubtful=self.touched, advice=advice
        )

    def opens_nothing(self, advice: str) -> CredentialsRejected:
        """That the last answer shows nothing of ours to look in: the settings are wrong, and nobody refused a request.

        A credential that lacks a permission may look the same as an account in which nothing is.
        """
        at = self.evidence[-1]
        return CredentialsRejected(
            at.endpoint, at.status, at.request_id, evidence=self.kept, doubtful=self.touched, advice=advice
        )

    def cannot_tell(self, end: Ended) -> CannotTell:
        """What a read-back shows that ended so."""
        blocked = isinstance(end.outcome, Retryable) and end.outcome.blocked
        return CannotTell(reason=end.outcome.reason, evidence=self.kept, later=True, blocked=blocked)

    def unreachable(self, vendor: str, end: Ended) -> ProcessorUnreachable:
        """What whoever ran `check` reads: the reason, and at which call, about which of the vendor's lists."""
        reason, code = end.outcome.reason, _BLOCKED if end.outcome.reason in (BLOCKED, TLS_FAILED) else None
        if not self.evidence:
            return ProcessorUnreachable(f"{vendor}: {reason}", code=code)
        at = self.evidence[-1]
        where = f"{at.status or 'no answer'} to {at.endpoint}{at.scope and f', {at.scope}'}"
        return ProcessorUnreachable(f"{vendor}: {reason} ({where})", code=code)


def _turned_away(reply: Reply) -> bool:
    """Whether an answer shows that a write was not carried out. A 408 may have been, all the same."""
    return 400 <= reply.status < 500 and reply.status != 408


def part_of(reply: Reply, name: str) -> object:
    """A member of the JSON object that an answer is, None where there is none."""
    found = json_of(reply)
    return found.get(name) if isinstance(found, dict) else None
