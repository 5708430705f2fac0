"""What can happen to a propagation, where it stands, and what a step decides: the values of `lifecycle`."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from dpsync.connector import Finding, Outcome
from dpsync.errors import CredentialsRejected
from dpsync.ledger.entry import EntryKind
from dpsync.mail_status import is_undelivered
from dpsync.model import Cause, ExemptionCode, Right, Rung, State, Way


class Timer(StrEnum):
    """What time alone brings about."""

    COOLING_OFF = "cooling_off"
    REREAD = "reread"
    REMIND = "remind"
    ESCALATE = "escalate"


class AnswerKind(StrEnum):
    """What a person or a mail system at the processor said later. The first six are those of the answer page."""

    RECEIVED = "received"
    DONE = "done"
    NOTHING_HELD = "nothing_held"
    PARTLY = "partly"
    REFUSED = "refused"
    WRONG_RECIPIENT = "wrong_recipient"
    DELIVERED = "delivered"
    BOUNCED = "bounced"


class DecisionKind(StrEnum):
    """What a named person decided, with a reason; or what decided itself."""

    RELEASE = "release"
    CONFIRM = "confirm"  # the contact confirmed itself, or the settings name the part: what waited for that goes on
    NO_CONCERN = "no_concern"  # the settings say that the part is nothing there
    HOLD = "hold"
    WITHDRAW = "withdraw"
    RETRY = "retry"
    SETTLE = "settle"
    EXEMPT = "exempt"
    SUPERSEDE = "supersede"


@dataclass(frozen=True, slots=True)
class Answer:
    """`digest`: SHA-256 (hex) of the notice it answers, or of the report it came in; "" for what was told otherwise.

    `older`: the notice it answers is from before somebody tried again, so it says nothing of what was asked since.
    `status`: the status code of a report, such as 5.1.1.
    """

    kind: AnswerKind
    digest: str = ""
    older: bool = False
    status: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """`causes`: what is released or, for HOLD, what it is held for. `code`: the ground of an exemption."""

    kind: DecisionKind
    causes: frozenset[Cause] = frozenset()
    code: ExemptionCode | None = None


@dataclass(frozen=True, slots=True)
class Defect:
    """Driving it raised what no connector may raise: a bug of ours, caught in one place."""


@dataclass(frozen=True, slots=True)
class Interrupted:
    """An attempt was begun and never answered; the effect is in doubt.

    `crashed`: the process died while it was under way, perhaps of it. Where our store was gone, the lease went or we
    stopped in order, it is nobody's fault.
    """

    crashed: bool = False


@dataclass(frozen=True, slots=True)
class EarlierAddress:
    """An older change of address came in late: the processor may hold the person under one that it was not told."""


Event = Outcome | Finding | Answer | Decision | Timer | CredentialsRejected | Defect | Interrupted | EarlierAddress


@dataclass(frozen=True, slots=True)
class Position:
    """Where a propagation stands: all that `advance` looks at.

    `doubtful`: the last attempt may have had an effect, so it is read before it is repeated. `touched`: some attempt
    may have had one; it is never taken back, so what is withdrawn then is not called untold. `verifiable`: the
    connector declares a read-back for this right; `declares`: the processor itself can be asked how far it is. `told`:
    the processor has the instruction, as far as anybody can know; `heard`: a person there has answered the letter that
    asked last, and `by_link` from the letter itself. `contact_confirmed`: the processor's contact has confirmed itself
    by link. `controller`: it is one of its own, and no processor. `answer_within` is what the contract with the
    processor grants.
    """

    right: Right
    state: State
    way: Way
    rung: Rung = Rung.NONE
    causes: frozenset[Cause] = frozenset()
    doubtful: bool = False
    touched: bool = False
    told: bool = False
    heard: bool = False
    by_link: bool = False
    defects: int = 0
    rereads: int = 0
    lifting: bool = False
    controller: bool = False
    verifiable: bool = True
    declares: bool = False
    contact_confirmed: bool = True
    answer_within: timedelta = timedelta(days=10)
    answer_by: datetime | None = None
    timer: Timer | None = None

    @property
    def readable(self) -> bool:
        """Whether there is anything to read: what was done, or what the processor says of it."""
        return self.verifiable or self.declares


class Next(StrEnum):
    """When a pending propagation goes on."""

    NOW = "now"
    BACKOFF = "backoff"
    ACCOUNT = "account"  # the whole account waits; nobody is charged an attempt
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Step:
    """What `advance` decided. `alert`: the cause of an alert, "" for none. `answer_by`: a new day of the answer."""

    state: State
    rung: Rung
    way: Way
    entry: EntryKind
    causes: frozenset[Cause] = frozenset()
    doubtful: bool = False
    touched: bool = False
    told: bool = False
    defects: int = 0
    rereads: int = 0
    next: Next = Next.NOTHING
    timer: Timer | None = None
    timer_at: datetime | None = None
    keep_timer: bool = False
    answer_by: datetime | None = None
    alert: str = ""
    reason: str = ""


def stay(at: Position, entry: EntryKind) -> Step:
    """Nothing but the record changes."""
    step = Step(at.state, at.rung, at.way, entry, at.causes, at.doubtful, defects=at.defects, rereads=at.rereads)
    return replace(
        step, told=at.told, keep_timer=entry is EntryKind.REPEAT
    )  # what changes nothing must not stop the clock that runs


def go(at: Position, state: State, entry: EntryKind, rung: Rung | None = None, **more: object) -> Step:
    """It goes to `state`; its rung never falls. `rung`: what this step proves. `more`: other fields of the step."""
    # Defects add up while it is on its way, whatever happens between them; a person who tries again forgives them.
    defects = at.defects if state is at.state is State.PENDING else 0
    told = at.told or (rung or Rung.NONE) >= Rung.SENT
    step = Step(state, max(at.rung, rung or Rung.NONE), at.way, entry, told=told, defects=defects)
    return replace(step, **more)  # type: ignore[arg-type]  # because the names are Step's own fields


_WAITS_FOR_A_PERSON = frozenset(
    {State.HELD, State.CONTRADICTED, State.REFUSED, State.ESCALATED, State.NOT_IDENTIFIABLE}
)
_ANEW = frozenset({EntryKind.ESCALATED, EntryKind.BOUNCED, EntryKind.CONTRADICTED})


def reason_after(before: str, at: Position, step: Step) -> str:
    """Why it stands where it does after `step`; `before`: why it stood where it was.

    Why it waits for a person belongs to the state: until that moves, or is entered anew with a reason of its own,
    nothing that comes later says it over. Only that somebody was told after all ends that a letter reached nobody.
    """
    if step.entry is EntryKind.REPEAT:
        return before
    stays = step.state is at.state and step.state in _WAITS_FOR_A_PERSON and step.entry not in _ANEW
    if not stays:
        return step.reason
    reached = step.told and is_undelivered(before)
    return step.reason if reached else before or step.reason
