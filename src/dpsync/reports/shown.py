"""Which requests a report to read has room for: what is out of the ordinary, and so many others. Pure."""

from collections.abc import Iterable, Sequence

from dpsync.reports.lines import PropagationLine, RequestStanding

ORDINARY_ROWS = 2000
"""Of what is finished, or in time: 100,000 requests would be 20 MB, which no telephone opens. The CSV has them all."""

EXCEPTION_ROWS = 3000
"""Of each list of a page that is late or waits for a person: 10,000 late requests were 25 MB. A text has them all."""


def shown(asked: Iterable[RequestStanding], room: int) -> tuple[list[RequestStanding], int]:
    """Those that are shown, in their order, and how many rows of `room` are left.

    What is late, waits for a person or was asked of nobody is always shown, and takes no room; any other takes a row
    for each of its processors, and where one has no room, none after it is shown.
    """
    found = []
    for one in asked:
        if one.ordinary:
            if len(one.lines) > room:
                room = 0
                continue
            room -= len(one.lines)
        found.append(one)
    return found, room


def first_lines(lines: Sequence[PropagationLine], most: int) -> tuple[Sequence[PropagationLine], int]:
    """The lines of the first requests, whole ones, as far as they have at most so many; how many requests are left."""
    end = most
    while 0 < end < len(lines) and lines[end].head.id == lines[end - 1].head.id:
        end -= 1
    return lines[:end], len({line.head.id for line in lines[end:]})


def first_requests(asked: Sequence[RequestStanding], most: int) -> tuple[Sequence[RequestStanding], int]:
    """The first requests, as far as they have at most so many rows; how many are left."""
    for at, one in enumerate(asked):
        most -= max(1, len(one.lines))
        if most < 0:
            return asked[:at], len(asked) - at
    return asked, 0
