"""How many messages each main database with a shape of its own has sent, and by which rules they meant nothing."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, bindparam, select, update

from dpsync.intake.refusals import refused_of_sources
from dpsync.intake.sources.source import Taken
from dpsync.store.source_tables import source_message
from dpsync.store.upsert import insert_or_ignore
from dpsync.store.writer import Unit

MEANT_SOMETHING: Final = ""
"""In place of the rule by which a message means nothing."""

_M = source_message.c
_COUNT = (
    update(source_message)
    .where(_M.source == bindparam("of_source"), _M.rule == bindparam("of_rule"))
    .values(times=_M.times + bindparam("more"), last_at=bindparam("now"))
)


@dataclass(frozen=True, slots=True)
class SourceMessages:
    """`taken` meant something, also where it came before; `ignored` by the name of the rule; `refused` were ours, by
    their signature or their outbox. `last_at`: the last of the first two, None for none.
    """

    taken: int = 0
    ignored: Mapping[str, int] = field(default_factory=dict)
    refused: int = 0
    last_at: datetime | None = None

    @property
    def understood(self) -> int:
        """How many a rule of the mapping names."""
        return self.taken + sum(self.ignored.values())


def counted(source: str, taken: Taken) -> Counter[tuple[str, str]]:
    """What a delivery adds to the counts, by source and rule."""
    found = Counter((source, rule) for rule in taken.ignored)
    if taken.meaning:
        found[source, MEANT_SOMETHING] += taken.meaning
    return found


def keep(unit: Unit, counts: Mapping[tuple[str, str], int], now: datetime) -> None:
    """Add to what was counted, within the caller's transaction."""
    for (source, rule), more in sorted(counts.items()):
        row = {"source": source, "rule": rule, "times": 0, "last_at": now}
        insert_or_ignore(unit.connection, source_message, row)
        of_it = {"of_source": source, "of_rule": rule}
        unit.connection.execute(_COUNT, {**of_it, "more": more, "now": now})


def messages_of(connection: Connection) -> Mapping[str, SourceMessages]:
    """Of each source that ever sent anything, by its name."""
    found: dict[str, SourceMessages] = {}
    for row in connection.execute(select(source_message).order_by(_M.source, _M.rule)):
        one = found.get(row.source, SourceMessages())
        last_at = max(filter(None, (one.last_at, row.last_at)))
        if row.rule == MEANT_SOMETHING:
            found[row.source] = replace(one, taken=row.times, last_at=last_at)
        else:
            found[row.source] = replace(one, ignored={**one.ignored, row.rule: row.times}, last_at=last_at)
    for source, times in refused_of_sources(connection).items():
        found[source] = replace(found.get(source, SourceMessages()), refused=times)
    return found
