"""The verdict of a report: the worst line decides."""

from collections import Counter
from collections.abc import Iterable, Sequence
from enum import StrEnum

from dpsync.model import Right
from dpsync.reports.duties import Duty
from dpsync.reports.lines import RequestStanding
from dpsync.reports.meaning import Count, Late, Need
from dpsync.reports.proof import LedgerLine
from dpsync.reports.words import several

SHOWN = 3
NAMED = 5


class Verdict(StrEnum):
    """From the best to the worst. A report is never better than its worst line.

    `FINISHED_LATE`: nothing is left to do, but a legal date was missed, which stays so.
    """

    IN_ORDER = "In order"
    FINISHED_LATE = "Finished late"
    NEEDS_A_DECISION = "Needs a decision"
    OVERDUE = "Overdue"


def verdict(ledger: LedgerLine, duties: Sequence[Duty], asked: Iterable[RequestStanding]) -> Verdict:
    """The worst line decides; a record that is not verified is never in order."""
    if any(duty.overdue for duty in duties):
        return Verdict.OVERDUE
    if duties or not ledger.sound:
        return Verdict.NEEDS_A_DECISION
    late = any(one.late is Late.FINISHED for one in asked)
    return Verdict.FINISHED_LATE if late else Verdict.IN_ORDER


def _seen_where(asked: Iterable[RequestStanding]) -> str:
    """Of what is done everywhere: at which processors our own reading shows it, and where there is their word only.

    By processor, because one request is with one seen and with the next on its word.
    """
    seen: Counter[str] = Counter()
    done: Counter[str] = Counter()
    everywhere = [one.lines for one in asked if one.counts_as in {Count.SEEN, Count.SAID}]
    for kind, number in Counter([line.kind for lines in everywhere for line in lines]).items():
        if kind.counts_as in {Count.SEEN, Count.SAID}:
            done[kind.title] += number
            seen[kind.title] += number if kind.counts_as is Count.SEEN else 0
    read = [f"{title} {seen[title]:,} of {count:,}" for title, count in sorted(done.items()) if seen[title]]
    word = [f"{title} {count - seen[title]:,}" for title, count in sorted(done.items()) if seen[title] < count]
    said = [f"seen by us: {', '.join(read)}"] if read else []
    said += [f"on their word: {', '.join(word)}"] if word else []
    return f" ({'; '.join(said)})" if said else ""


def notes_of(asked: Iterable[RequestStanding]) -> tuple[str, ...]:
    """What nobody can do any more and must stay on the record: what was finished after its date, by kind of date.

    What is overdue at another processor is not finished, and is the first of what there is to do.
    """
    ended = (one for one in asked if one.late is not Late.OVERDUE)
    late = [one for one in ended if any(line.late is Late.FINISHED for line in one.lines)]
    stops = [one.short for one in late if one.right is Right.OPT_OUT]
    others = [one.short for one in late if one.right is not Right.OPT_OUT]
    found = [(stops, "opt-out", "24 hours (Art. 21(3))"), (others, "request", "legal date (Art. 12(3))")]
    return tuple(
        f"{several(len(which), what)} {'was' if len(which) == 1 else 'were'} finished after "
        f"{'its' if len(which) == 1 else 'their'} {limit}: {', '.join(which[:NAMED])}"
        f"{f' and {len(which) - NAMED:,} more' if len(which) > NAMED else ''}. Write down why, and keep it."
        for which, what, limit in found
        if which
    )


def sentence(asked: Sequence[RequestStanding], elsewhere: str = "") -> str:
    """The verdict in a few words whose numbers add up. Settled and exempt are said, and are not among the done.

    `elsewhere`: what is overdue and no request, ending in "is" or "are".
    """
    if not asked:
        return f"No request came in, and no earlier one was open{f'; {elsewhere} overdue' if elsewhere else ''}."
    counts = Counter(one.counts_as for one in asked)
    done = counts[Count.SEEN] + counts[Count.SAID]
    be = "is" if 1 in {done, len(asked)} else "are"
    parts = [f"{done:,} of {several(len(asked), 'request')} {be} done everywhere{_seen_where(asked)}"]
    apart = (Count.SETTLED, Count.EXEMPT, Count.WITHDRAWN, Count.SUPERSEDED)
    parts += [f"{counts[count]:,} {count.value}" for count in apart if counts[count]]
    late = sum(1 for one in asked if one.late is Late.OVERDUE)
    waiting = sum(1 for one in asked if any(line.need is not Need.NOTHING for line in one.lines))
    parts.append(f"{counts[Count.NOT_YET]:,} not yet")
    overdue = f"{several(late, 'request') if late else 'No request'} {'are' if late > 1 else 'is'} overdue"
    overdue += f"; {elsewhere}" if elsewhere else ""
    after = sum(1 for one in asked if one.late is Late.FINISHED)
    missed = (
        f" {several(after, 'request')} {'was' if after == 1 else 'were'} finished after the legal date."
        if after
        else ""
    )
    return f"{', '.join(parts)}. {waiting:,} {'waits' if waiting == 1 else 'wait'} for a person. {overdue}.{missed}"
