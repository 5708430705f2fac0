"""Requests as a page shows them.

What is not done, or late, is a block: a row for each processor, and what is to be said of that on a line of its own.
What is finished is one row; a page shows as many of these as a reader can open.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from zoneinfo import ZoneInfo

from dpsync.reports import phrases
from dpsync.reports.lines import PropagationLine, RequestStanding
from dpsync.reports.meaning import Count, Late
from dpsync.reports.words import STATES, brief, day, moment, reached, several

HEADS = ("Processor", "Told", "Done", "Where it stands", "Proof reaches", "Waits for")

FINISHED_HEADS = ("Request", "Right", "Received", "Told everyone", "Closed", "At each processor")

GROUPS = (
    (Count.SETTLED, "Settled"),
    (Count.EXEMPT, "Exempt"),
    (Count.WITHDRAWN, "Withdrawn"),
    (Count.SUPERSEDED, "Superseded"),
    (Count.SAID, "Done, they say"),
    (Count.SEEN, "Done, seen by us"),
)
"""How what is closed is grouped: the certain last."""

STANDS = {
    Count.SEEN: "Seen by us",
    Count.SAID: "They say",
    Count.NOT_YET: "Not yet",
    Count.SETTLED: "Settled",
    Count.EXEMPT: "Exempt",
    Count.WITHDRAWN: "Withdrawn",
    Count.SUPERSEDED: "Superseded",
}


@dataclass(frozen=True, slots=True)
class Shape:
    """How lines are worded: the controller's zone, the year that needs no saying, under which numbers limits stand."""

    zone: ZoneInfo
    year: int
    numbers: phrases.Numbers


@dataclass(frozen=True, slots=True)
class LineRow:
    """One processor under `HEADS`, and what else is to be said of it, perhaps nothing."""

    cells: tuple[str, ...]
    note: str


@dataclass(frozen=True, slots=True)
class Block:
    """One request: its short id, what is to be said of all its rows, these, and where else it is closed."""

    short: str
    head: str
    rows: tuple[LineRow, ...]
    elsewhere: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """The closed requests that are counted alike: how many, and those that are shown, under `FINISHED_HEADS`."""

    label: str
    count: int
    rows: tuple[tuple[str, ...], ...]

    @property
    def shown(self) -> int:
        """How many are shown."""
        return len(self.rows)


def blocks(lines: Sequence[PropagationLine], shape: Shape) -> tuple[Block, ...]:
    """The lines by request, in their order."""
    found: dict[str, list[PropagationLine]] = {}
    for line in lines:
        found.setdefault(line.request_id, []).append(line)
    return tuple(_block(group[0], group, shape) for group in found.values())


def still_open(asked: Sequence[RequestStanding], shape: Shape) -> tuple[Block, ...]:
    """Every request that is not done: a row for each processor where it is open, and the others together."""
    return tuple(
        replace(
            _block(one, [line for line in one.lines if line.open], shape),
            elsewhere=_together([line for line in one.lines if not line.open], shape),
        )
        for one in asked
        if one.open
    )


def finished(asked: Sequence[RequestStanding], shape: Shape, most: int) -> tuple[Group, ...]:
    """The closed requests by how they are counted. At most so many of them are shown."""
    found = []
    for count, label in GROUPS:
        alike = [one for one in asked if one.counts_as is count]
        if alike:
            found.append(Group(label, len(alike), tuple(_finished(one, shape) for one in alike[:most])))
            most -= len(alike[:most])
    return tuple(found)


def left_out(requests: int) -> str:
    """How many requests a list of the page leaves out, and where they are all; nothing where it shows each."""
    if not requests:
        return ""
    be = "is" if requests == 1 else "are"
    return (
        f"{several(requests, 'more request')} of this list {be} not shown: the page would be too long to open. The CSV "
        "with the SHA-256 below has them all. Its columns late and needs say which they are."
    )


def _block(one: RequestStanding | PropagationLine, lines: Sequence[PropagationLine], shape: Shape) -> Block:
    head = (
        f"{phrases.right(one)}, received {moment(one.received_at, shape.zone)}, "
        f"accepted {brief(one.accepted_at, shape.zone, shape.year)}, last day {day(one.due_on)}"
    )
    head += "" if lines else "; no processor was asked"
    return Block(one.short, head, tuple(_row(line, shape) for line in lines))


def _row(line: PropagationLine, shape: Shape) -> LineRow:
    late = {Late.TARGET: "; past the target", Late.OVERDUE: "; OVERDUE"}
    cells = (
        _place(line, shape),
        brief(line.told_at, shape.zone, shape.year) or "no",
        phrases.done(line, brief(line.done_at, shape.zone, shape.year)),
        f"{STATES[line.state]}{late.get(line.late, '')}",
        reached(line.rung, told=line.told_at is not None, undone=line.open),
        phrases.waiting(line, shape.zone),
    )
    return LineRow(cells, phrases.remarks(line, shape.zone))


def _place(line: PropagationLine, shape: Shape) -> str:
    number = shape.numbers.get((line.processor, line.right))
    return f"{line.title} ({number})" if number else line.title


def _finished(one: RequestStanding, shape: Shape) -> tuple[str, ...]:
    told = max((line.told_at for line in one.lines if line.told_at), default=None)
    return (
        one.short,
        phrases.right(one),
        brief(one.received_at, shape.zone, shape.year),
        brief(told, shape.zone, shape.year) if one.told_everyone else "no",
        brief(one.closed_at, shape.zone, shape.year),
        _together(one.lines, shape),
    )


def _together(lines: Sequence[PropagationLine], shape: Shape) -> str:
    alike: dict[Count, list[str]] = {}
    for line in lines:
        alike.setdefault(line.counts_as, []).append(_place(line, shape))
    # A comma is a part of many titles.
    return ". ".join(f"{STANDS[count]}: {'; '.join(alike[count])}" for count in STANDS if count in alike)
