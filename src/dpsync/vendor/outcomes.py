"""How the answers to several steps become one outcome: the worst of all, and what is done stays done."""

from collections.abc import Callable, Iterable, Sequence

from dpsync.connector import (
    Applied,
    AsAsked,
    CannotTell,
    Contradicts,
    Evidence,
    Finding,
    HandOver,
    NothingHeld,
    Outcome,
    Recipient,
    Refused,
    Retryable,
)
from dpsync.vendor.errors import DENIED, Ended, refused


def task(sentence: str, *references: str) -> HandOver:
    """What our own operator must do in the vendor's web app."""
    return HandOver(to=Recipient.OPERATOR, task=sentence, references=tuple(filter(None, references)))


def nobody(still: object | None) -> NothingHeld:
    """What a change says that found nobody; `still`: who a read after it shows there all the same.

    A no that its record belies raises `Ended`: "nothing held" is final, and nobody would look again.
    """
    if still is not None:
        raise refused(DENIED)
    return NothingHeld(evidence=())


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
    """The worst of all: not finished, then a no, then left to a person, then done, then nothing there.

    What only our settings keep from being finished does not hide a processor's no.
    """
    later = [outcome for outcome in outcomes if isinstance(outcome, Retryable)]
    noes = [outcome for outcome in outcomes if isinstance(outcome, Refused)]
    tasks = [outcome for outcome in outcomes if isinstance(outcome, HandOver)]
    if later and not (noes and all(outcome.misplaced for outcome in later)):
        waits = [outcome.retry_after for outcome in later if outcome.retry_after is not None]
        return Retryable(
            reason=later[0].reason,
            evidence=evidence,
            doubtful=touched or any(outcome.doubtful for outcome in later),
            busy=any(outcome.busy for outcome in later),
            blocked=any(outcome.blocked for outcome in later),
            misplaced=any(outcome.misplaced for outcome in later),
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


def worst(findings: Sequence[Finding]) -> Finding:
    """The worst of all: a contradiction, what cannot be told, what cannot be told yet; else all of it as asked."""
    order = ((Contradicts, False), (CannotTell, False), (CannotTell, True), (AsAsked, False))
    found = min(findings, key=lambda one: order.index((type(one), isinstance(one, CannotTell) and one.later)))
    if not isinstance(found, AsAsked):
        return found
    return AsAsked(evidence=tuple(evidence for one in findings for evidence in one.evidence))
