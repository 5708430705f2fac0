"""What a target is: something that reads, the inputs it begins with, and the errors that are an answer."""

import atexit
import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from dpsync.errors import DpsyncError


@dataclass(frozen=True, slots=True)
class Target:
    """`read` takes whatever comes; it gives nothing, or raises one of `refusals`. Anything else is a finding.

    `chosen`: how many bytes at the beginning choose what is read, and are not read themselves. `examples`: how many CI
    has time for. `housed`: it asks an installation (`house.py`).
    """

    name: str
    read: Callable[[bytes], object]
    seeds: Callable[[], Sequence[bytes]]
    refusals: tuple[type[Exception], ...] = ()
    chosen: int = 0
    examples: int = 30
    housed: bool = False

    def __call__(self, raw: bytes) -> None:
        """Feed it. Raises what is a finding."""
        refused = None
        try:
            self.read(raw)
        except self.refusals as refusal:
            refused = refusal
        if isinstance(refused, DpsyncError):
            assert refused.code != DpsyncError.code, "bad input is no fault of dpsync"
            refused.message.encode()  # it is printed


def pick(some: Sequence[str], mark: int) -> str:
    """One of some, by a byte."""
    return some[mark % len(some)]


def as_json(values: Iterable[object]) -> list[bytes]:
    """Each as the bytes of a body."""
    return [json.dumps(one).encode() for one in values]


@cache
def folder() -> Path:
    """A folder of this process alone."""
    made = Path(tempfile.mkdtemp(prefix="dpsync-fuzz-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


def laid(name: str, raw: bytes) -> Path:
    """A file with these bytes."""
    path = folder() / name
    path.write_bytes(raw)
    return path
