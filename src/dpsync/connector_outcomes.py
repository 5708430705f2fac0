"""What a connector answers: an outcome when it told the processor, a finding when it read back."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from dpsync.connector_services import Evidence


class Recipient(StrEnum):
    """Who must do by hand what the API cannot."""

    PROCESSOR = "notice"
    OPERATOR = "operator"


class ReportedOutcome(StrEnum):
    """What a processor's own system says of what it was told; whatever else it says is not understood."""

    RECEIVED = "received"
    DONE = "done"
    NOTHING_HELD = "nothing_held"
    PARTLY = "partly"
    REFUSED = "refused"


# --- the outcomes


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """Done, and the processor said so in the documented shape."""

    evidence: tuple[Evidence, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NothingHeld:
    """The documented way of saying "no such person", under every address, in every list, each known to exist."""

    evidence: tuple[Evidence, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """Queued there; an answer is owed by `answer_by`. `digest`: the SHA-256 (hex) of the letter that went out.

    `heard`: the processor itself said that it has it. A webhook's 2xx is the word of whatever took the message in.
    """

    evidence: tuple[Evidence, ...]
    answer_by: datetime | None = None
    digest: str = ""
    heard: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class HandOver:
    """The API did what it can; a person must do the rest.

    `task`: a sentence of ours without personal data; `references`: the vendor's own ids of the record (order, list).
    """

    to: Recipient
    task: str
    evidence: tuple[Evidence, ...] = ()
    references: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NotIdentifiable:
    """No identifier in the instruction that this processor understands. Never the same as `NothingHeld`."""

    reason: str
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A no, or an undocumented answer. `reason` is a fixed phrase of ours, never the vendor's text.

    `status`: the status code of a mail system that refused a letter, such as 5.1.1.
    """

    reason: str
    evidence: tuple[Evidence, ...]
    status: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retryable:
    """No answer, or "later".

    `doubtful`: it may have happened, so read before repeating. `busy`: of the whole account. `retry_after`: their wish.
    `blocked`: no answer to the instruction was the processor's own, so it is a fact about the account.
    `misplaced`: our settings name what the account does not have. The operator must hear of it, and no processor
    refused anything.
    """

    reason: str
    evidence: tuple[Evidence, ...] = ()
    doubtful: bool = False
    busy: bool = False
    blocked: bool = False
    misplaced: bool = False
    retry_after: timedelta | None = None


Outcome = Applied | NothingHeld | Accepted | HandOver | NotIdentifiable | Refused | Retryable


# --- the findings


@dataclass(frozen=True, slots=True, kw_only=True)
class AsAsked:
    """Our own read-back shows that it is as the instruction asked."""

    evidence: tuple[Evidence, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contradicts:
    """Our own read-back shows the opposite. `reason` is a fixed phrase of ours.

    `final`: of what was only queued there, the processor has said since that it will not be done.
    """

    reason: str
    evidence: tuple[Evidence, ...]
    final: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CannotTell:
    """No read-back is possible: for ever (`later` false: this API cannot show it) or just now (`later` true).

    `blocked`: as of `Retryable`.
    """

    reason: str
    evidence: tuple[Evidence, ...] = ()
    later: bool = False
    blocked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Declares:
    """Asked by us, the processor itself says how far it is. Its word is declared, and nothing was seen.

    `answer_by`: when it expects to be done, where it has not said so before. `reason`: a fixed phrase of ours.
    """

    outcome: ReportedOutcome
    evidence: tuple[Evidence, ...]
    reason: str = ""
    answer_by: datetime | None = None


Finding = AsAsked | Contradicts | CannotTell | Declares
