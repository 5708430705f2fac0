"""Which ledger entries stand behind a step of a request's story."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime

from dpsync.reports.moments import EntryLine


class StoryEntries:
    """The entries of the request, found by attempt, or by processor and second."""

    def __init__(self, entries: Iterable[EntryLine]) -> None:
        self._of_attempts: dict[tuple[str, int], list[int]] = defaultdict(list)
        self._others: dict[tuple[str, int], list[int]] = defaultdict(list)
        for one in entries:
            place, number = str(one.fields.get("dest", "")), one.fields.get("attempt")
            if isinstance(number, int):
                self._of_attempts[place, number].append(one.idx)
            else:
                self._others[place, int(one.at.timestamp())].append(one.idx)

    def of_attempt(self, place: str, number: int) -> tuple[str, ...]:
        """Those that tell of one attempt there, as a line; none where there are none."""
        return entries_named(self._of_attempts[place, number])

    def at(self, place: str, moment: datetime) -> tuple[str, ...]:
        """Those that tell of something else there in that second, as a line."""
        return entries_named(self._others[place, int(moment.timestamp())])


def entries_named(numbers: Sequence[int]) -> tuple[str, ...]:
    """A line that names them; none of none."""
    if not numbers:
        return ()
    return (f"ledger {'entry' if len(numbers) == 1 else 'entries'} {', '.join(map(str, numbers))}",)
