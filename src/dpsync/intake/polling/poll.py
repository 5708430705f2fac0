"""One look into an outbox: what waits there is committed here, and only then marked there.

If we crash between the two commits, the rows come again: they are the same events, get the same answer, and change
nothing.
"""

from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime

from dpsync import strict_json, telemetry
from dpsync.errors import PayloadInvalid
from dpsync.installation import Installation
from dpsync.intake.events import Conflict
from dpsync.intake.merge_news import take_in
from dpsync.intake.polling.table import OutboxRow, SourceOutbox
from dpsync.intake.refusals import CODE, Refusal, keep, outbox_door
from dpsync.intake.sources import messages
from dpsync.intake.sources.door import LONGEST_DELIVERY
from dpsync.intake.sources.source import Source, Taken
from dpsync.intake.sources.together import Change, Ready, gather
from dpsync.store.writer import Unit

MOST_PAGES = 100
"""In one look: what an import has left waits for the next minutes, and the other timed jobs do not."""


@dataclass(slots=True)
class _Verdicts:
    """What becomes of the rows of a page: those that are understood, with what they ask for; the others, with why."""

    told: list[tuple[tuple[int, ...], Taken]] = field(default_factory=list)
    refused: dict[int, str] = field(default_factory=dict)
    refusals: list[Refusal] = field(default_factory=list)

    def refuse(self, rows: Sequence[int], refusal: Refusal) -> None:
        reason = ": ".join(filter(None, (str(refusal.status), refusal.field, refusal.problem)))
        self.refused |= dict.fromkeys(rows, reason)
        self.refusals.append(refusal)

    @property
    def taken(self) -> list[int]:
        return sorted({row for some, _ in self.told for row in some} - self.refused.keys())


def poll(there: Installation, source: Source, outbox: SourceOutbox, now: datetime) -> int:
    """Take in what waits, page by page; how many rows were taken. Raises `OutboxAway`, and what our store raises."""
    carried: list[Change] = []
    after = taken = 0
    for _ in range(MOST_PAGES):
        with closing(outbox.take(after)) as page:
            if not page.rows:
                break
            after = page.rows[-1].id
            verdicts, carried = _judged(source, page.rows, carried, now)
            if verdicts.told or verdicts.refusals:
                _take_in(there, source, verdicts, now)
            page.mark(verdicts.taken, verdicts.refused)
            taken += len(verdicts.taken)
    return taken


def _judged(
    source: Source, rows: Sequence[OutboxRow], carried: Sequence[Change], now: datetime
) -> tuple[_Verdicts, list[Change]]:
    verdicts, changes = _Verdicts(), list(carried)
    for row in rows:
        try:
            changes.append(Change(row.id, row.event_id, row.made_at, _content(row)))
        except PayloadInvalid as error:
            verdicts.refuse([row.id], _refusal(source, error))
    gathered = gather(source.mapping.together, changes, now)
    for one in gathered.ready:
        _judge(source, one, verdicts, now)
    return verdicts, list(gathered.waiting)


def _content(row: OutboxRow) -> dict[str, object]:
    body = row.message.encode()
    if len(body) > LONGEST_DELIVERY:
        raise PayloadInvalid("", "too large")
    content = strict_json.load(body, quoting=True)  # what the mapping does not take may hold anything
    if not isinstance(content, dict):
        raise PayloadInvalid("", "is no JSON object")
    return content


def _judge(source: Source, one: Ready, verdicts: _Verdicts, now: datetime) -> None:
    try:
        verdicts.told.append((one.rows, source.take_change(one.message, now)))
    except PayloadInvalid as error:
        verdicts.refuse(one.rows, _refusal(source, error))


def _refusal(source: Source, error: PayloadInvalid) -> Refusal:
    return Refusal(outbox_door(source.name), 422, error.field, problem=error.problem)


def _take_in(there: Installation, source: Source, verdicts: _Verdicts, now: datetime) -> None:
    """Commit what a page asks for, and count what is refused of it."""

    def work(unit: Unit) -> list[tuple[int, ...]]:
        conflicts, counted = [], Counter[tuple[str, str]]()
        for rows, taken in verdicts.told:
            became = take_in(unit, there.controller, taken.asked, taken.merges, taken.merge_wait, now)
            if any(isinstance(one, Conflict) for one in became.requests):
                conflicts.append(rows)
            else:
                counted += messages.counted(source.name, taken)
        counts = Counter(one.kind for one in [*verdicts.refusals, *(_conflict(source) for _ in conflicts)])
        if counts:
            keep(unit, there.controller, counts, now)
        messages.keep(unit, counted, now)
        return conflicts

    for rows in there.write(work):
        verdicts.refuse(rows, _conflict(source))
    for one in verdicts.refusals:
        telemetry.log("timed").warning(
            "request refused", code=CODE, source=source.name, status=one.status, field=one.kind[2], reason=one.problem
        )


def _conflict(source: Source) -> Refusal:
    problem = "an event id used again with another content"
    return Refusal(outbox_door(source.name), 409, told=False, told_elsewhere=True, problem=problem)
