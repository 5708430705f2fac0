"""Rows that were found to be as the ledger tells, and are the same since, need no second look at what it tells.

Comparing takes three times as long as reading. The digests are keyed, and lie in the database: whoever changes a row
there cannot make the digest that would go with it.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from dpsync.ledger import stored_rows
from dpsync.ledger.entry import commitment
from dpsync.ledger.evidence import AnswerCalls, Place
from dpsync.ledger.row_comparison import Belongings, Row
from dpsync.sealing import Keys


@dataclass(frozen=True, slots=True)
class ComparedBefore:
    """What an earlier comparison of everything found to be in order, and which pages of requests are looked at now.

    `digests`: of its pages, by number. `since`: the requests of which entries tell that came later. `pages`: the ids of
    all requests of a page, by its number.
    """

    digests: Sequence[str]
    since: Collection[str]
    pages: Mapping[int, Sequence[str]]

    def read(self, connection: Connection) -> Iterator[tuple[int, list[dict[str, Any]]]]:
        """The pages that are looked at, each with its number."""
        for number, ids in self.pages.items():
            for page in stored_rows.requests(connection, ids):
                yield number, page

    def holds(self, number: int, ids: Collection[str], digest: str) -> bool:
        """Whether a page is as it was, and no entry came to any of its requests."""
        return self.digests[number : number + 1] == [digest] and not any(one in self.since for one in ids)


def digest_of(
    keys: Keys,
    shut: Collection[str],
    page: Sequence[Row],
    there: Mapping[str, Belongings],
    calls: Mapping[str, Mapping[Place, AnswerCalls]],
) -> str:
    """One value of all that is compared of a page of requests: what the database has, and which keys are lost."""
    every = [_of_request(row, there[row["id"]], calls.get(row["id"], {})) for row in page]
    return commitment(seal(keys), repr((sorted(shut), every)))


def seal(keys: Keys) -> bytes:
    """The key of these digests, and of what is remembered with them."""
    return keys.mac("ledger", b"unchanged")


def _of_request(row: Row, has: Belongings, calls: Mapping[Place, AnswerCalls]) -> tuple[object, ...]:
    return (
        [*row.values()],
        [[*part.values()] for part in has.parts.values()],
        [(at, *one.values()) for at, found in has.rows.items() for one in found],
        [(at, one.seqs, [[*call.values()] for call in one.calls]) for at, one in calls.items()],
    )
