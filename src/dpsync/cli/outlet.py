"""Standard output and standard error: what they cannot take stops no command, and is known at its end."""

import io
import os
import select
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TextIO, cast


class Outlet(io.RawIOBase):
    """One of the two, unbuffered. Its first refusal is kept in `refused`, and what comes after it goes nowhere.

    An exception instead would end a command between what it has committed and what it says of that.
    """

    def __init__(self, file: int) -> None:
        self.refused: OSError | None = None
        self._file = file

    def fileno(self) -> int:
        """The descriptor that it writes to."""
        return self._file

    def isatty(self) -> bool:
        """Whether a person sits there."""
        return os.isatty(self._file)

    def writable(self) -> bool:
        """Always."""
        return True

    def write(self, content: "bytes | memoryview") -> int:  # type: ignore[override]  # because a buffer gives no other
        """How much of it is dealt with."""
        while self.refused is None:
            try:
                return os.write(self._file, content)
            except BlockingIOError:
                select.select([], [self._file], [])  # a pipe that another program has made impatient
            except OSError as refused:
                self.refused = refused
        return len(content)


@contextmanager
def outlet(name: str, file: int) -> Iterator[Outlet | None]:
    """Have `sys.stdout` or `sys.stderr` (`name`) write through an outlet, to `file` where it is closed.

    None where it has no descriptor: then somebody has put something of his own there.
    """
    there: TextIO | None = getattr(sys, name)
    try:
        made = Outlet(file if there is None else there.fileno())
    except io.UnsupportedOperation:
        yield None
        return
    err = name == "stderr"
    stream = io.TextIOWrapper(
        cast("io.BytesIO", io.BufferedWriter(made)),  # to the type checker a buffer is one only over its own files
        encoding="utf-8" if there is None else there.encoding,
        errors="backslashreplace",  # a file's name may hold what this terminal cannot show
        line_buffering=err or made.isatty(),
    )
    setattr(sys, name, stream)
    try:
        yield made
        stream.flush()
    finally:
        setattr(sys, name, there)


@contextmanager
def outlets() -> Iterator[Outlet | None]:
    """Both; gives that of standard output, of which somebody waits for an answer."""
    _fill_closed()
    with ExitStack() as both:
        both.enter_context(outlet("stderr", 2))
        yield both.enter_context(outlet("stdout", 1))


def _fill_closed() -> None:
    """Open what of input, output and errors is closed: else the database would be the file that is written to.

    For reading: what is written there is refused, as by what is closed.
    """
    while (free := os.open(os.devnull, os.O_RDONLY)) <= 2:
        pass
    os.close(free)
    if sys.stdin is None:
        sys.stdin = os.fdopen(os.open(os.devnull, os.O_RDONLY), encoding="utf-8")


def why(refused: OSError) -> str:
    """What became of an output, in a few words."""
    import errno

    words = {
        errno.EPIPE: "its reader has gone",
        errno.EBADF: "it is closed",
        errno.ENOSPC: "its disk is full",
        errno.EDQUOT: "its disk is full",
        errno.EFBIG: "its file may not be larger",
    }
    return words.get(refused.errno or 0, refused.strerror or "it took nothing")
