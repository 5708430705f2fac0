"""Whether the recorded calls are those that the ledger digests."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, select

from dpsync.ledger import entry, stored_rows
from dpsync.store import tables as t

Call = dict[str, str | int | None]
Place = tuple[str | int | None, str | int | None, str | int | None]
"""Processor, number of the attempt, and which part of its answer: `outcome`, or the `finding` of our own reading.

Of an entry that does not say it, None.
"""

COLUMNS = "evidence: attempt_id, part, seq, endpoint, scope, status, request_id, at, digest or note"


@dataclass(slots=True)
class AnswerCalls:
    """The calls behind one answer, in their order."""

    calls: list[Call] = field(default_factory=list)
    seqs: list[int] = field(default_factory=list)

    def add(self, row: Mapping[str, Any]) -> None:
        """Go on by the next call, a row of table `evidence`."""
        self.calls.append(canonical(row))
        self.seqs.append(row["seq"])

    def digest(self, commit_key: bytes) -> str:
        """What an entry would say of them; "" where no answer was ever kept in that shape."""
        if self.seqs != list(range(len(self.seqs))):
            return ""
        try:
            return entry.resp_digest(commit_key, self.calls)
        except ValueError:
            return ""


def canonical(row: Mapping[str, Any]) -> Call:
    """An evidence row in the form that its digest in the ledger is made of."""
    names = ("endpoint", "scope", "status", "request_id", "digest", "note")
    at = row["at"]  # as `stored_rows` reads it, it is a number already
    microseconds = (at - t.EPOCH) // timedelta(microseconds=1) if isinstance(at, datetime) else at
    return {**{name: row[name] for name in names}, "at": microseconds}


def answers(connection: Connection, ids: Sequence[str]) -> dict[str, dict[Place, AnswerCalls]]:
    """The recorded calls of requests, those of one answer together."""
    e, a, p = t.evidence.c, t.attempt.c, t.propagation.c
    found: dict[str, dict[Place, AnswerCalls]] = defaultdict(lambda: defaultdict(AnswerCalls))
    rows = connection.execute(
        select(*stored_rows.columns_of(t.evidence), p.request_id.label("of_request"), p.processor, a.number)
        .join(t.attempt, a.id == e.attempt_id)
        .join(t.propagation)
        .where(p.request_id.in_(ids))
        .order_by(e.seq)
    )
    for row in stored_rows.dicts(rows):
        found[row["of_request"]][row["processor"], row["number"], row["part"]].add(row)
    return found


def place_of(said: Mapping[str, str | int]) -> Place:
    """Of which answer an entry with a `resp` tells."""
    return said.get("dest"), said.get("attempt"), said.get("kind")


def problems(
    commit_key: bytes, told: Mapping[Place, tuple[int, str]], kept: Mapping[Place, AnswerCalls]
) -> Iterator[str]:
    """What differs of one request's calls. `told`: index and `resp` of the entries that tell of each answer."""
    digests = {place: answer.digest(commit_key) for place, answer in kept.items()}
    for place, (idx, digest) in told.items():
        # An older entry does not say which part of an answer it is about.
        if digest not in ([digests.get(place)] if place[2] else digests.values()):
            yield f"the calls behind entry {idx} are not recorded as they were ({COLUMNS})"
            return
    if digests.keys() - told.keys() and set(digests.values()) - {digest for _, digest in told.values()}:
        yield f"calls are recorded that no entry tells of ({COLUMNS})"
