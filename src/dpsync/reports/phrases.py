"""Sentences about the values of a report, the same in text and HTML. They word numbers; they compute none."""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from zoneinfo import ZoneInfo

from dpsync.mail import long_day
from dpsync.model import Right, State
from dpsync.reports.duties import Duty
from dpsync.reports.lines import PropagationLine, RequestStanding
from dpsync.reports.meaning import Count, Late, WaitsFor
from dpsync.reports.period import PeriodReport
from dpsync.reports.proof import LedgerLine
from dpsync.reports.tallies import Limit, ProcessorTally, SourceLine, Speed, Tally
from dpsync.reports.words import CAUSES, MEANS, RIGHTS, STATES, STOPS, asked_for, day, hours, moment, reached, several
from dpsync.settings.sources import BY_LINK

Numbers = Mapping[tuple[str, Right], int]
"""Under which number the limits of a processor and right stand."""

REHEARSAL = "REHEARSAL: no real processor was told anything."

TOLD_AND_DONE = "Told: they have our instruction. Done: we looked and saw it, or they say so."

HOW_WE_KNOW = (
    "Everything that happens is written into a ledger to which lines can only be added. Before this page was made, the "
    "ledger was compared with its signed checkpoints outside the database, and every figure with the ledger. Keep each "
    "checkpoint that you are sent: with it, anybody can check later that nothing before it was changed."
)

TALLY_HEADS = (
    "Received",
    "Told everyone",
    "Done, seen by us",
    "Done, they say",
    "Not yet",
    "Settled",
    "Exempt",
    "Withdrawn",
    "Superseded",
    "Overdue",
    "Finished late",
)
WITHOUT_DATES = slice(2, -2)
"""Those of `TALLY_HEADS` that a processor is counted under."""

FIRST, ASIDE, LATE = slice(0, 5), slice(5, 9), slice(9, None)
"""Those of `TALLY_HEADS` on page one, which fit a narrow screen in whole words; and the others, in two tables."""

NAMED = 5
"""So many requests that are not done yet are named under the first table."""

LINE_HEADS = (
    "Request",
    "Right",
    "Processor",
    "Received",
    "Accepted",
    "Due",
    "Told",
    "Done",
    "Where it stands",
    "Proof reaches",
    "Waits for",
    "Notes",
)


def tally_cells(tally: Tally | ProcessorTally) -> tuple[int, ...]:
    """The counts under `TALLY_HEADS`; a processor's are those `WITHOUT_DATES`, after two of its own."""
    first = (tally.received, tally.told_everyone) if isinstance(tally, Tally) else (tally.asked, tally.told)
    rest = (tally.seen, tally.said, tally.not_yet, tally.settled, tally.exempt, tally.withdrawn, tally.superseded)
    return (*first, *rest, tally.overdue, tally.finished_late) if isinstance(tally, Tally) else (*first, *rest)


def apart(tally: Tally | ProcessorTally) -> str:
    """What of the received is neither done nor open, and what is late: the columns that page one has no room for."""
    counts = (tally.settled, tally.exempt, tally.withdrawn, tally.superseded)
    closed = zip(counts, TALLY_HEADS[ASIDE], strict=True)
    said = [f"{count:,} {head.lower()}" for count, head in closed if count]
    found = [f"Closed and not counted as done: {', '.join(said)}."] if said else []
    if isinstance(tally, Tally) and tally.overdue:
        found.append(f"Overdue: {tally.overdue:,}.")
    if isinstance(tally, Tally) and tally.finished_late:
        found.append(f"Finished late: {tally.finished_late:,}.")
    return " ".join(found)


def not_yet(asked: Sequence[RequestStanding]) -> str:
    """Which requests are not done yet, by their short ids; nothing where all are."""
    left = [f"{one.short} ({right(one)})" for one in asked if one.open]
    more = f" and {len(left) - NAMED:,} more" if len(left) > NAMED else ""
    return f"Not yet: {', '.join(left[:NAMED])}{more}." if left else ""


def tally_label(tally: Tally) -> str:
    """The right, or "All"."""
    return RIGHTS[tally.right].capitalize() if tally.right else "All"


def proof(ledger: LedgerLine, zone: ZoneInfo) -> str:
    """The first line under the title: whether anything below may be believed."""
    checked = moment(ledger.checked_at, zone)
    entries = several(ledger.entries, "entry", "entries")
    if ledger.sound:
        told = f"The record is unaltered: {entries}, checked {checked}, newest checkpoint {ledger.checkpoint}."
        return f"{told} {ledger.earlier(zone)}".rstrip()
    if ledger.only_missing:
        return (
            f"PART OF THE RECORD COULD NOT BE CHECKED ({entries}, checked {checked}): keys or files are missing, or "
            "are the wrong ones. Nothing that could be checked was altered. Do not rely on anything below before they "
            "are back."
        )
    return f"THE RECORD COULD NOT BE VERIFIED ({entries}, checked {checked}). Do not rely on anything below."


def due(duty: Duty) -> str:
    """By when a thing must be done, as it stands before the sentence."""
    if duty.by is None:
        return "Now"
    return f"Overdue, the last day was {day(duty.by)}" if duty.overdue else f"By {day(duty.by)}"


def nothing_to_do(report: PeriodReport) -> str:
    """What stands where the list of duties is empty."""
    nothing = nothing_left(report.notes, report.later)
    return f"{nothing} The next report is about the time from {long_day(report.next_from)} on."


def nothing_left(notes: Sequence[str], later: str) -> str:
    """That nobody has to act; where a date was missed, or letters are due `later`, that is not all there is to say."""
    return "Nothing more can be done. Read the notes." if notes else "Nothing now." if later else "Nothing."


def quick(speed: Speed, of: str) -> str:
    """How quickly processors were told; `of`: of which requests."""
    if not speed.to_tell:
        return f"{of}: nobody had to be told."
    told = f"{of}: told {speed.told:,} of {several(speed.to_tell, 'time')}"
    if speed.told:
        told += f", usually within {hours(speed.median_hours).removeprefix('less than ')}"
        told += f"; slowest {hours(speed.slowest_hours)} ({speed.slowest_title})"
    return f"{told}. Told after the target, or still not told: {speed.after_target:,}."


@dataclass(frozen=True, slots=True)
class LimitEntry:
    """What cannot be seen or done at one processor. Each of `points` holds for the rights that it begins with, or for
    all of `head` where it names none. `line` says it as shortly as can be; `how`: by which way each right goes.
    """

    number: int
    title: str
    line: str
    head: str
    how: str
    points: tuple[str, ...]


def limit_entries(limits: Sequence[Limit]) -> tuple[LimitEntry, ...]:
    """One entry a processor, in which no sentence stands twice: each names the rights that it holds for."""
    return tuple(_limit_entry(number, tuple(alike)) for number, alike in groupby(limits, lambda one: one.number))


def _limit_entry(number: int, limits: Sequence[Limit]) -> LimitEntry:
    ways: dict[str, list[Right]] = {}
    holds: dict[str, list[Right]] = {}
    for one in limits:
        ways.setdefault(MEANS[one.means] if one.means else "in a way that is not known", []).append(one.right)
        for said in _sentences(one):
            holds.setdefault(said, []).append(one.right)
    points: dict[tuple[Right, ...], list[str]] = {}
    for said, rights in holds.items():
        points.setdefault(tuple(rights), []).append(said)
    everything = tuple(one.right for one in limits)
    how = "; ".join(f"{_rights(rights)} {way}" for way, rights in ways.items())
    word = f"Done on their word: {sum(one.on_word for one in limits):,} of {sum(one.lines for one in limits):,}."
    return LimitEntry(
        number,
        limits[0].title,
        f"{limits[0].title}: {_looked(limits)}. {word}",
        f"{limits[0].title} ({how}). {word}",
        f"{how[0].upper()}{how[1:]}.",
        tuple(
            " ".join(said) if rights == everything else f"{_rights(rights).capitalize()}: {' '.join(said)}"
            for rights, said in sorted(points.items(), key=lambda point: -len(point[0]))
        ),
    )


def _looked(limits: Sequence[Limit]) -> str:
    """Whether we look there ourselves."""
    word = [one.right for one in limits if not one.verified_by]
    if len(word) == len(limits) > 0:
        return "there is only their word"
    return "we look ourselves, with limits" + (f", except for {_rights(word)}" if word else "")


def _sentences(one: Limit) -> list[str]:
    found = dict.fromkeys(said for said in re.split(r"(?<=[.!?]) (?=[A-Z])", one.limits) if said)
    # Some processors' own text says so already.
    if not one.verified_by and "their word only" not in one.limits.lower():
        found["We cannot look there: there is only their word."] = None
    return list(found)


def _rights(rights: Sequence[Right]) -> str:
    if len(rights) == len(Right):
        return "all four rights"
    return ", ".join(RIGHTS[right] for right in rights)


def source(one: SourceLine) -> str:
    """How many came from one source, and whether it says the same."""
    if one.sent is None:
        said = ", recorded by link: nobody else counts them" if one.source == BY_LINK else "; what it sent is not known"
    else:
        said = f"; it says {one.sent:,}: {'THEY DIFFER' if one.differs else 'the numbers agree'}"
    assumed = f", {one.received_assumed:,} without a time of receipt (assumed)" if one.received_assumed else ""
    return f"{one.source}: {several(one.requests, 'request')}{assumed}{said}"


def to_compare(report: PeriodReport) -> str:
    """How to give the number that a source says it sent; nothing where every number is known."""
    unknown = [one.source for one in report.sources if one.sent is None and one.source != BY_LINK]
    if not unknown:
        return ""
    given = " ".join(f"--sent {shlex.quote(source)}=N" for source in unknown)
    days = f"--from {report.first} --to {report.last}"
    return f"To compare, ask whoever runs the source how many it sent, then: dpsync report {days} {given}"


def right(one: PropagationLine | RequestStanding) -> str:
    """The right of a request; a lifting is called so."""
    return "restriction (lifting)" if one.lifting else asked_for(one.right, one.scope)


def waiting(line: PropagationLine, zone: ZoneInfo) -> str:
    """For whom it waits, and until when where that is known."""
    who = {
        WaitsFor.NOBODY: "",
        WaitsFor.TIME: "time",
        WaitsFor.DPSYNC: "dpsync, which tries again",
        WaitsFor.PROCESSOR: line.title,
        WaitsFor.OPERATOR: "the operator",
        WaitsFor.DPO: "the DPO",
    }[line.waits_for]
    return f"{who}, until {moment(line.waits_until, zone)}" if who and line.waits_until else who


def notes(line: PropagationLine, zone: ZoneInfo, numbers: Numbers) -> str:
    """Whether it is late, what is to be said of it, and under which number its limits stand."""
    late = {Late.TARGET: "past the target", Late.OVERDUE: "OVERDUE"}.get(line.late, "")
    limits = f"limit {numbers[line.processor, line.right]}" if (line.processor, line.right) in numbers else ""
    return "; ".join(part for part in (late, remarks(line, zone), limits) if part)


def remarks(line: PropagationLine, zone: ZoneInfo) -> str:
    """By how much it was late, why it is held or stopped, and what a person must do."""
    late = f"FINISHED LATE: {moment(line.finished_at, zone)}, the last day was {day(line.due_on)}"
    stopped = STOPS.get(line.stopped, "stopped") if line.stopped else ""
    held = "; ".join(CAUSES[cause] for cause in line.causes) if line.state is State.HELD else ""
    missed = late if line.late is Late.FINISHED else ""
    return "; ".join(part for part in (missed, stopped, held, line.task, line.reason) if part)


def line_cells(line: PropagationLine, zone: ZoneInfo, numbers: Numbers) -> tuple[str, ...]:
    """One request at one processor, under `LINE_HEADS`."""
    return (
        line.short,
        right(line),
        line.title,
        moment(line.received_at, zone),
        moment(line.accepted_at, zone),
        day(line.due_on),
        moment(line.told_at, zone) or "no",
        done(line, moment(line.done_at, zone)),
        STATES[line.state],
        reached(line.rung, told=line.told_at is not None, undone=line.open),
        waiting(line, zone),
        notes(line, zone, numbers),
    )


def closed(asked: RequestStanding, zone: ZoneInfo) -> str:
    """When a request was closed, and whether that was too late."""
    if asked.late is Late.FINISHED:
        return f"FINISHED LATE: {moment(asked.closed_at, zone)}, the last day was {day(asked.due_on)}"
    return moment(asked.closed_at, zone) or "no"


def done(line: PropagationLine, since: str) -> str:
    """Since when it is done (`since`, in words). What was done once and does not count as done now says so."""
    if line.done_at is None:
        return "no"
    return since if line.counts_as in {Count.SEEN, Count.SAID} else f"not now (once: {since})"
