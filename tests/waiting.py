"""Waits of a test for what other threads and processes bring about."""

import time
from collections.abc import Callable

LONG = 120.0
"""Real seconds: how long a busy machine may take for it. Nothing is ever expected to be quick."""


def until(done: Callable[[], object]) -> None:
    """Wait for it. What has not happened then never will."""
    end = time.monotonic() + LONG
    while not done():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)
