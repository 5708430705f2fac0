"""Which requests a report to read has room for: all that is out of the ordinary, and so many others. Pure."""

from collections.abc import Iterable

from dpsync.reports.lines import RequestStanding

ORDINARY_ROWS = 2000
"""Of what is finished, or in time: 100,000 requests would be 20 MB, which no telephone opens. The CSV has them all."""


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
