"""Plays the month of a seed, judges it, and makes a failing one smaller."""

import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from dpsync.sealing import Keys
from dpsync.store.database import open_database
from dpsync.store.schema import migrate
from tests.simulator.month import Disk, Month
from tests.simulator.scenario import Scenario, drawn, retold
from tests.simulator.verdict import faults, held

MEMORY = Path("/dev/shm")  # noqa: S108 - because nothing of it is to outlive the run, and a disk is slower
RETOLD = 1_000_000_007


@cache
def _template() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "empty.db"
        engine = open_database(f"sqlite:///{path}")
        migrate(engine)
        engine.dispose()
        return path.read_bytes()


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Ids, keys and waits are drawn from the seed, too: the same month again is the same to the last byte."""
    lot, real = random.Random(f"bytes {seed}"), random._urandom  # type: ignore[attr-defined]  # because it is what `secrets` and `SystemRandom` ask
    random._urandom = lot.randbytes  # type: ignore[attr-defined]  # because of the same
    try:
        yield
    finally:
        random._urandom = real  # type: ignore[attr-defined]  # because of the same


@contextmanager
def played(month: Scenario) -> Iterator[Month]:
    """The month after its end."""
    place = MEMORY if MEMORY.is_dir() else None
    folder = Path(tempfile.mkdtemp(prefix="dpsync-month-", dir=place))
    (folder / "empty.db").write_bytes(_template())
    disk = Disk(folder / "empty.db", folder)
    try:
        with _seeded(month.seed):
            made = Month(month, disk, Keys.create(folder / "keys"))
            made.play()
            yield made
    finally:
        disk.engine.dispose()
        shutil.rmtree(folder)


def judged(month: Scenario) -> list[str]:
    """What is wrong after this month."""
    with played(month) as made:
        return faults(made)


def compared(month: Scenario) -> list[str]:
    """What is wrong after the month, or after the same requests in another order with other trouble, or differs."""
    other = retold(month, month.seed + RETOLD)
    with played(month) as made:
        found, here = faults(made), held(made)
    with played(other) as made:
        found += [f"in another order: {one}" for one in faults(made)]
        there = held(made)
    differing = [place for place in here.keys() & there.keys() if here[place] != there[place]]
    return found + [f"{number} at {name} depends on the order" for number, name in sorted(differing)]


def of_seed(seed: int) -> list[str]:
    """What is wrong with a seed."""
    return compared(drawn(seed))


def shrunk(month: Scenario, fails: Callable[[Scenario], bool]) -> Scenario:
    """The month with as few steps as still fail: ever smaller parts are left out for as long as it goes on failing."""
    size = max(len(month.steps) // 2, 1)
    while True:
        place, smaller = 0, False
        while place < len(month.steps):
            tried = month.without(month.steps[place : place + size])
            if fails(tried):
                month, smaller = tried, True
            else:
                place += size
        if size == 1 and not smaller:
            return month
        size = max(size // 2, 1)
