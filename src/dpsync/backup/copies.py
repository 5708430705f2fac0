"""A copy of the database that is not in use: opened, and held against what was signed."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection

from dpsync import key_register
from dpsync.custody.differences import Lying
from dpsync.errors import StoreProblem
from dpsync.installation import Installation
from dpsync.ledger import comparison, note
from dpsync.ledger.anchors import Outside
from dpsync.store import copying


@contextmanager
def opened(copy: Path) -> Iterator[Connection]:
    """A copy of a SQLite file, to be read while the block runs."""
    engine = copying.opened_copy(copy)
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def demand_signed(there: Installation, connection: Connection) -> None:
    """Refuse a database that is not what was signed: a digest beside a file shows only that nobody changed one of them.

    Raises `StoreProblem`.
    """
    outside = there.custody.anchors.read(there.custody.receipts.checkpoints())
    if found := [*_against(there, connection, outside), *_rows(there, connection)]:
        raise StoreProblem(
            f"the back-up is not as the ledger tells ({found[0]}): take another. `dpsync drill` says more"
        )


def wrong(there: Installation, connection: Connection, lying: Lying) -> Iterator[str]:
    """All that a start would find wrong with it; `lying`: what lay outside."""
    yield from key_register.problems(connection, there.keys)
    yield from _against(there, connection, lying.checkpoints)
    yield from _rows(there, connection)


def _against(there: Installation, connection: Connection, outside: Outside) -> Iterator[str]:
    size = there.log.size(connection)
    yield from there.log.verify(connection, full=True).problems
    for text in outside.notes:
        if note.parse(text)[0].size <= size:
            yield from there.log.consistent_with(connection, text)


def _rows(there: Installation, connection: Connection) -> Sequence[str]:
    shut, kept = key_register.shut(connection, there.keys), there.custody.receipts.commit_key
    return comparison.differences(connection, there.keys, shut=shut, kept=kept)
