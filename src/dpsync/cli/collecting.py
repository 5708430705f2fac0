"""How often Python looks for circles of objects while a command runs: it makes few, and each look takes time."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_SELDOM = (50_000, 20, 100)


@contextmanager
def seldom() -> Iterator[None]:
    """Look seldom: a sixth of the time that a command takes to load, and a seventh of a report's.

    Undone at the end, for tests run many commands in one process.
    """
    before = gc.get_threshold()
    gc.set_threshold(*_SELDOM)
    try:
        yield
    finally:
        gc.set_threshold(*before)


@contextmanager
def sparing_what_is_loaded() -> Iterator[None]:
    """Never look through what is loaded now, which stays to the end: that took a tenth of a report's time.

    Undone at the end: whoever runs many commands in one process would keep all that each of them leaves.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
