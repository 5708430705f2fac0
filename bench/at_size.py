"""The ledger at size: what one more entry, one proof and one receipt cost beside 1,000 and beside 1,000,000 entries.

`python -m bench.at_size [ENTRIES]`. Seconds of CPU, for what else the machine does says nothing of the ledger.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Engine

from dpsync.ledger import entry, merkle, stored
from dpsync.ledger.entry import EntryKind
from dpsync.ledger.log import Log
from dpsync.ledger.note import Signer
from dpsync.store.database import open_database, reading, writing
from dpsync.store.schema import migrate

SIZES: Final = (1_000, 10_000, 100_000, 1_000_000)
TIMES = 100
GROUP = 2_000
OF_ONE_REQUEST = 15
REQUEST = "r-bench"
Row = tuple[str, str, str]


def rows(most: int = SIZES[-1]) -> list[Row]:
    """A row for each operation, with its figure at each size, and the full verification's seconds per 100,000."""
    sizes = [size for size in SIZES if size <= most]
    found: dict[str, list[float]] = {}
    verified = 0.0
    with tempfile.TemporaryDirectory(prefix="dpsync-bench-") as folder:
        engine = open_database(f"sqlite:///{Path(folder) / 'ledger.db'}")
        migrate(engine)
        log = Log("example.org/bench", Signer("example.org/bench", Ed25519PrivateKey.generate()))
        for size in sizes:
            _fill(engine, log, size)
            for what, milliseconds in _measured(engine, log):
                found.setdefault(what, []).append(milliseconds)
        with reading(engine) as connection:
            began = time.process_time()
            if problems := log.verify(connection, full=True).problems:
                raise SystemExit(problems[0])
            verified = (time.process_time() - began) / sizes[-1] * 100_000
        engine.dispose()
    beside = ", ".join(f"{size:,}" for size in sizes)
    told = [(f"ledger: {what}", " / ".join(f"{one:.2f}" for one in of), "") for what, of in found.items()]
    return [
        *((what, f"{figures} ms CPU", f"beside {beside} entries") for what, figures, _ in told),
        ("ledger: verified in full", f"{verified:.2f} s CPU per 100,000 entries", f"of {sizes[-1]:,}"),
    ]


def _fill(engine: Engine, log: Log, size: int) -> None:
    now = datetime.now(UTC)
    with reading(engine) as connection:
        there = log.size(connection)
    while there < size:
        some = min(GROUP, size - there)
        bodies: list[tuple[str | None, bytes]] = [
            (None, entry.encode(EntryKind.ALERT, now, dest="p0", cause="bench", n=there + number))
            for number in range(some)
        ]
        # one request whose entries lie all over the ledger: its receipt has the longest proofs
        bodies[0] = (REQUEST, entry.encode(EntryKind.ATTEMPT, now, req=REQUEST)) if _is_told(there, size) else bodies[0]
        with writing(engine) as connection:
            there = log.append(connection, bodies)


def _is_told(there: int, size: int) -> bool:
    return there % max(GROUP, size // OF_ONE_REQUEST // GROUP * GROUP) == 0


def _measured(engine: Engine, log: Log) -> Iterator[tuple[str, float]]:
    now = datetime.now(UTC)

    def append() -> None:
        with writing(engine) as connection:
            log.append(connection, [(None, entry.encode(EntryKind.ALERT, now, cause="bench"))])

    with writing(engine) as connection:
        signed, size = log.checkpoint(connection, now), log.size(connection)
    with reading(engine) as connection:
        entries = len(log.entries_of(connection, REQUEST, signed))

        def receipt() -> None:
            log.receipt(connection, REQUEST, commit_key=bytes(32), processors=["p0"], evidence={}, signed=signed)

        yield (
            "inclusion proof of the entry in the middle",
            _cost(lambda: stored.proved(connection, lambda get: merkle.inclusion_proof(get, size // 2, size))),
        )
        yield "consistency proof from a third of it", _cost(lambda: log.consistency(connection, size // 3, size))
        yield "receipt, per entry in it", _cost(receipt) / entries
    yield "one more entry, committed", _cost(append)


def _cost(work: Callable[[], object]) -> float:
    """The median of many, in milliseconds of CPU."""
    took = []
    for _ in range(TIMES):
        began = time.process_time()
        work()
        took.append((time.process_time() - began) * 1000)
    return statistics.median(took)


if __name__ == "__main__":
    for row in rows(int(sys.argv[1]) if len(sys.argv) > 1 else SIZES[-1]):
        sys.stdout.write(" | ".join(row) + "\n")
