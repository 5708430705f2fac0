"""Every error dpsync raises: who reads it, and what to do about it.

A message never holds an identifier, a secret or the text of another library's exception: that text may be a URL, and
the URL a person.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

_SMTP: Final = "SMTP "
MAIL_HOST: Final = f" to {_SMTP}"
"""What stands in the reason of whatever our own mail host refused, and in no other."""


class Exit(IntEnum):
    """What a command's exit code means. A code that is not listed here is a failure."""

    DONE = 0
    FAULT = 1
    LOOK = 2
    PARTLY = 3
    USAGE = 64
    UNREACHABLE = 69
    UNTOLD = 74
    LATER = 75
    CONFIGURATION = 78
    INTERRUPTED = 130


class DpsyncError(Exception):
    """The root. Read by whoever ran the command; `dpsync explain CODE` says more."""

    code = "DP-100"
    exit = Exit.FAULT

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code


class UsageError(DpsyncError):
    """Read by whoever typed the command: what was given does not fit; nothing was changed."""

    code = "DP-101"
    exit = Exit.USAGE


class NotFound(UsageError):
    """Read by whoever typed the command: no request, processor or file of that name."""

    code = "DP-102"


class Locked(DpsyncError):
    """Read by whoever ran the command: another process holds what this one needs. Try later."""

    code = "DP-103"
    exit = Exit.LATER


class StoreHeld(Locked):
    """Read by whoever ran the command: another process held the database for as long as is waited. Try later."""


class Stalled(DpsyncError):
    """Read by whoever runs the service: a part of it ended or hung, so it ends as a whole, to be started again."""

    code = "DP-106"


class TooSlow(DpsyncError):
    """Read by whoever ran the command: the machine had too little time for it. Try again when less is going on."""

    code = "DP-107"
    exit = Exit.LATER


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with the configuration.

    `key` is the full path (`processors.newsletter.api_key`), `problem` one clause that never repeats the value.
    """

    key: str
    problem: str
    code: str = "DP-201"


class ConfigurationError(DpsyncError):
    """Read by the operator: all that is wrong with the settings at once, each with its key path."""

    code = "DP-201"
    exit = Exit.CONFIGURATION

    def __init__(self, faults: list[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(f"{fault.key}: {fault.problem}" for fault in faults))
        if faults:
            self.code = faults[0].code


class KeyProblem(DpsyncError):
    """Read by the operator: a key file is missing, readable by others, or not the one this store was made with."""

    code = "DP-202"
    exit = Exit.CONFIGURATION


class StoreProblem(DpsyncError):
    """Read by the operator: the database cannot be opened, or is of another version."""

    code = "DP-203"
    exit = Exit.CONFIGURATION


class StoreEmpty(StoreProblem):
    """Read by the operator: where [store] url leads to, dpsync has no tables. `seen`: that alone, with the place;
    `elsewhere`: the way out is known, for they are in another place.
    """

    def __init__(self, seen: str, way_out: str, *, elsewhere: bool = False) -> None:
        self.seen = seen
        self.elsewhere = elsewhere
        super().__init__(f"{seen}: {way_out}")


class StoreAway(DpsyncError):
    """Read by whoever ran the command: the database cannot be used just now, and that passes. Try later."""

    code = "DP-205"
    exit = Exit.LATER


class IntakeError(DpsyncError):
    """Something came in that may not become a request."""

    code = "DP-400"


class SignatureInvalid(IntakeError):
    """Read by nobody outside: the sender learns 401 and no reason."""

    code = "DP-401"


class WebhookStale(SignatureInvalid):
    """The signature is right and its time is not: the sender's clock, or an old webhook sent again. Outside, a 401."""


class PayloadInvalid(IntakeError):
    """Read by the sender (422): the field, and what is wrong with it, never its value."""

    code = "DP-422"
    exit = Exit.USAGE

    def __init__(self, field: str, problem: str) -> None:
        self.field = field
        self.problem = problem
        super().__init__(f"{field}: {problem}")


class EventConflict(IntakeError):
    """Read by the sender (409): this event id came before with another body."""

    code = "DP-409"
    exit = Exit.USAGE


class ProcessorError(DpsyncError):
    """Raised by connectors: something is wrong with *us*, not an answer to the instruction."""

    code = "DP-210"
    exit = Exit.UNREACHABLE


class CredentialsRejected(ProcessorError):
    """Read by the operator: the processor does not accept our key. Its account is paused until somebody acts.

    `endpoint` is the template of the call, `status` the HTTP status (None: its answer was lost), `request_id` the
    vendor's id for it. `evidence`: that of every call of the instruction, this one last (`connector.Evidence`).
    `doubtful`: an earlier call of it may have had an effect. `advice`: what to do, where the connector knows more than
    "put the right key in place".
    """

    code = "DP-212"

    def __init__(
        self,
        endpoint: str,
        status: int | None,
        request_id: str = "",
        *,
        evidence: tuple[Any, ...] = (),
        doubtful: bool = False,
        advice: str = "",
    ) -> None:
        self.endpoint = endpoint
        self.status = status
        self.request_id = request_id
        self.evidence = evidence
        self.doubtful = doubtful
        self.brief = f"{status or 'no answer'} to {endpoint}{advice and ': '}{advice}"
        super().__init__(f"{self.said} ({self.brief})")

    @property
    def said(self) -> str:
        """What happened, in one clause."""
        if self.by_mail_host:
            return "our own mail host rejected our password"
        opened = self.status is not None and self.status < 300
        return "our credential opens nothing at the processor" if opened else "the processor rejected our credential"

    @property
    def by_mail_host(self) -> bool:
        """Whether it was our own mail host that refused us, and no processor."""
        return self.endpoint.startswith(_SMTP)

    @property
    def alert(self) -> str:
        """Which alert tells the operator."""
        return "mail_credential" if self.by_mail_host else "credential"


class MailHostRefused(CredentialsRejected):
    """Read by the operator: our own mail host does not take our mail, and no processor has a part in it.

    Letters wait and are tried again. `advice` says what the refusal is about: us, the envelope, the message.
    """

    code = "DP-303"
    alert = "mail_refused"
    said = "our own mail host does not take our mail"


class MailAccessRefused(MailHostRefused):
    """Read by the operator: we get no access token for our own mail host, or it does not accept the one we have.

    Letters wait and are tried again. `advice` says which setting, or which permission, is likely to be wrong.
    """

    alert = "mail_credential"
    said = "we get no access to our own mail host"


class MailHostAway(MailHostRefused):
    """Read by the operator: our own mail host, or the server of its tokens, has been silent for an hour.

    Nothing was refused. Letters wait and are tried again. `advice` says which of the two it is, and what it did.
    """

    alert = "mail_away"
    said = "our own mail host takes nothing just now"

    def __init__(self, advice: str) -> None:
        super().__init__("SMTP", None, advice=advice)
        self.brief = advice


class UnsupportedRight(ProcessorError):
    """Read by the developer: a connector was asked for a right that it does not declare. A bug."""

    code = "DP-213"


class ProcessorUnreachable(ProcessorError):
    """Read by whoever ran `check`: the processor did not answer a read, or answered in no documented shape."""

    code = "DP-211"


class IllegalTransition(DpsyncError):
    """Read by the developer: a bug or a race. Never swallowed."""

    code = "DP-500"


class NotWritten(UsageError):
    """Read by whoever asked for a file: it is not written, and no half of it is left. `full`: room is what it lacks."""

    code = "DP-105"

    def __init__(self, message: str, *, full: bool) -> None:
        super().__init__(message)
        if full:
            self.exit = Exit.LATER


class DecisionRefused(UsageError):
    """Read by whoever decided: this decision cannot be taken in this state, and why."""

    code = "DP-110"


class LedgerError(DpsyncError):
    """Something is wrong with the proof."""

    code = "DP-600"
    exit = Exit.LOOK


class LedgerTampered(LedgerError):
    """Read by the DPO: the record is not what was signed. Nothing more is signed until a person has looked."""

    code = "DP-601"


class ProofDamaged(LedgerError):
    """Read by the operator: a file that keeps the proof outside the database is damaged, missing or not writable."""

    code = "DP-604"
    exit = Exit.CONFIGURATION


class ProofDiskFull(ProofDamaged):
    """Read by the operator: the disk that keeps the proof is full. It goes on by itself once there is room."""

    exit = Exit.LATER


class AcceptedLost(LedgerError):
    """Read by operator and DPO: the journal outside tells of accepted requests that the database does not have."""

    code = "DP-605"


class RecoveryNeeded(LedgerError):
    """Read by the operator: the database was put back from a back-up, and a person must say what becomes of the gap."""

    code = "DP-606"


class NoteInvalid(LedgerError):
    """Read by whoever verifies: a checkpoint is not in the one spelling that the format allows, or not signed."""

    code = "DP-602"
