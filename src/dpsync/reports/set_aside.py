"""What was closed without being done: settled or exempt, each with its reason and the name of who decided."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from dpsync.opt_out_scope import in_words
from dpsync.reports.decided import Opener, by_and_reason
from dpsync.reports.lines import RequestStanding
from dpsync.reports.meaning import Count
from dpsync.reports.processors import ProcessorLine
from dpsync.store import tables as t


@dataclass(frozen=True, slots=True)
class SetAside:
    """Why something is settled or exempt: kind, reason and name, by a decision or by the configuration."""

    request_id: str
    short: str
    processors: tuple[str, ...]
    kind: str
    reason: str
    by: str
    at: datetime | None


def set_aside(
    connection: Connection, asked: Sequence[RequestStanding], known: Mapping[str, ProcessorLine], opener: Opener
) -> tuple[SetAside, ...]:
    """Each settled or exempt part of these requests, with why. `opener` opens who decided."""
    apart = {one.id: one for one in asked if {line.counts_as for line in one.lines} & {Count.SETTLED, Count.EXEMPT}}
    if not apart:
        return ()
    d = t.decision.c
    wanted = select(t.decision).where(d.kind.in_(["settle", "exempt"])).order_by(d.id)
    found = []
    decided: set[tuple[str, str]] = set()
    for row in connection.execute(wanted):
        if row.request_id not in apart:
            continue
        one, kind = apart[row.request_id], Count.SETTLED if row.kind == "settle" else Count.EXEMPT
        named = set(row.processor.split(",")) - {""}
        lines = [line for line in one.lines if line.counts_as is kind and (not named or line.processor in named)]
        if lines:
            decided |= {(one.id, line.processor) for line in lines}
            titles = tuple(line.title for line in lines)
            by, reason = by_and_reason(row, opener)
            reason += f" ({row.detail})" if row.detail else ""
            found.append(SetAside(one.id, one.short, titles, kind.value, reason, by, row.at))
    return (*found, *_exempt_by_configuration(apart.values(), known, decided))


def _exempt_by_configuration(
    asked: Iterable[RequestStanding], known: Mapping[str, ProcessorLine], decided: set[tuple[str, str]]
) -> Iterable[SetAside]:
    for one in asked:
        for line in one.lines:
            if line.counts_as is not Count.EXEMPT or (one.id, line.processor) in decided:
                continue
            processor = known.get(line.processor)
            why = next((each for each in processor.exempt if each.right is line.right), None) if processor else None
            gone = "the configuration that exempted it is not there any more"
            part = f"by the settings, {in_words(one.scope)} does not concern it" if one.scope else gone
            reason = f"{why.reason} ({why.code})" if why else part
            by = why.by if why else ""
            yield SetAside(one.id, one.short, (line.title,), Count.EXEMPT.value, reason, by, None)
