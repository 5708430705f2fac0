"""A program that forks lives: each is a process of its own that can be killed, and none has to load Python first.

`forks` is the side of a test, `serve_forks` that of the program. Each line to it is the words of one life; a line back
says how it ended.
"""

import json
import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

Fork = Callable[..., int]
"""Lives one life with these words; gives its exit code, of a signal as a negative number."""


def serve_forks(live: Callable[..., None]) -> None:
    """Live a life for each line of standard input, until there are no more."""
    for line in sys.stdin:
        child = os.fork()
        if not child:
            code = 1
            try:
                live(*json.loads(line))
                code = 0
            except BaseException:  # noqa: BLE001 - because a fork must end here
                traceback.print_exc()
            sys.stderr.flush()
            os._exit(code)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


@contextmanager
def forks(program: str) -> Iterator[Fork]:
    """The program `tests.crashes.PROGRAM`, which ends with the block."""
    command, root, pipe = [sys.executable, "-m", f"tests.crashes.{program}"], Path(__file__).parents[2], subprocess.PIPE
    with subprocess.Popen(command, cwd=root, stdin=pipe, stdout=pipe, text=True, bufsize=1) as running:
        written, read = running.stdin, running.stdout
        assert written is not None
        assert read is not None

        def fork(*words: str) -> int:
            written.write(f"{json.dumps(words)}\n")
            return int(read.readline())

        yield fork
        written.close()
