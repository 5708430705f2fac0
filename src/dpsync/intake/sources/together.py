"""Changes that mean something only together: told apart from those that stand for themselves. Pure.

Whoever is forgotten in a main database loses an address in one table and a name in another, in separate transactions.
Each change alone says little; read one by one, the first would look like a tidied address book.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from dpsync.intake.sources.conditions import hold
from dpsync.intake.sources.paths import NOTHING
from dpsync.intake.sources.rules import Together


@dataclass(frozen=True, slots=True)
class Change:
    """A change that a main database left for us: the number of its row there, its event, its moment, its content."""

    row: int
    event: str = field(repr=False)
    made_at: datetime
    content: dict[str, object] = field(repr=False)

    @property
    def message(self) -> dict[str, object]:
        """As a mapping reads it."""
        return {**self.content, "event_id": self.event, "made_at": self.made_at.isoformat()}


@dataclass(frozen=True, slots=True)
class Ready:
    """One message to be understood, and the rows that it is made of."""

    rows: tuple[int, ...]
    message: dict[str, object] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Gathered:
    """What can be understood now, and what waits for more to come."""

    ready: tuple[Ready, ...]
    waiting: tuple[Change, ...]


def gather(rules: Sequence[Together], changes: Sequence[Change], now: datetime) -> Gathered:
    """Put together what belongs together. What waited in vain for the rest stands for itself; nothing is left out."""
    ready: list[Ready] = []
    used: set[int] = set()
    waiting: set[int] = set()
    for rule in rules:
        for members in _groups(rule, [one for one in changes if one.row not in used]):
            for some in _runs(rule, members):
                if _is_whole(rule, some):
                    ready.append(_joined(rule, some))
                    used |= {one.row for one in some}
                # Of a moment that only a wrong clock can have named, nothing is waited for.
                elif abs(now - some[0].made_at) < rule.within:
                    waiting.add(some[0].row)
    waiting -= used
    ready += [Ready((one.row,), one.message) for one in changes if one.row not in used | waiting]
    ready.sort(key=lambda one: one.rows[-1])
    return Gathered(tuple(ready), tuple(one for one in changes if one.row in waiting))


def _runs(rule: Together, members: Sequence[Change]) -> Iterator[Sequence[Change]]:
    """Those that came soon enough after each, from the oldest on; none of a whole run begins another."""
    at = 0
    while at < len(members):
        some = [one for one in members[at:] if one.made_at - members[at].made_at <= rule.within]
        yield some
        at += len(some) if _is_whole(rule, some) else 1


def _groups(rule: Together, changes: Sequence[Change]) -> Iterator[list[Change]]:
    """Those that may be a part, by what they have in common, the oldest first."""
    found: dict[str, list[Change]] = defaultdict(list)
    for one in changes:
        same = rule.same.find(one.content)
        if same is not NOTHING and same is not None and any(hold(when, one.content) for when in rule.parts.values()):
            found[json.dumps(same, sort_keys=True)].append(one)
    for members in found.values():
        yield sorted(members, key=lambda one: (one.made_at, one.row))


def _is_whole(rule: Together, some: Sequence[Change]) -> bool:
    return all(any(hold(when, one.content) for one in some) for when in rule.parts.values())


def _joined(rule: Together, some: Sequence[Change]) -> Ready:
    """Known by its first change: after a crash it may come again with more of them, and is the same event."""
    parts = {name: [one.content for one in some if hold(when, one.content)] for name, when in rule.parts.items()}
    first = some[0]
    told = {"together": rule.name, "event_id": first.event, "made_at": first.made_at.isoformat()}
    return Ready(tuple(one.row for one in some), {**parts, **told})
