"""Run as a program: the life of an installation, cut off in every gap between two steps that last, one by one.

A step is what outlives the process: a commit, a file opened for writing, written to, brought to the disk, linked,
renamed or removed. Between two of them nothing lasting happens, so to die before each is to die in every gap. A gap is
known by where in the program it is (the lines that lead there); a life dies in the first one that none has died in, and
the program ends when a life comes through. Every life is a fork, so that a kill costs a fraction of a second.
"""

import gc
import io
import json
import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from sqlalchemy import Connection, Engine, event

from dpsync.__main__ import main as dpsync

Gap = tuple[str, ...]
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
MOVES = {"os.rename", "os.link", "os.remove", "os.mkdir", "os.rmdir"}
CALLS = (os.write, os.fsync)
OURS = str(Path("src", "dpsync"))


def _way(frame: FrameType | None) -> Iterator[str]:
    while frame is not None:
        if OURS in frame.f_code.co_filename:
            yield f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
        frame = frame.f_back


class Steps:
    """Watches this process from outside of the code under test: by Python's own hooks, and SQLAlchemy's."""

    def __init__(self, folder: Path, dying: Callable[[Gap], None]) -> None:
        self.died: set[Gap] = set()
        self._folder = str(folder)
        self._dying = dying
        self._armed = False
        sys.addaudithook(self._audited)
        event.listen(Engine, "commit", self._committing)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Within, this process dies in the first gap that no life has died in."""
        self._armed = True
        threading.setprofile(self._profiled)
        sys.setprofile(self._profiled)
        try:
            yield
        finally:
            sys.setprofile(None)
            self._armed = False

    def pause(self) -> None:
        """What comes now is watched in another life."""
        self._armed = False

    def go_on(self) -> None:
        """Watch again."""
        self._armed = True

    def _step(self, what: str) -> None:
        # The writer's thread commits for another one: who waits for it is a part of the way there.
        waits = sys._current_frames()[threading.main_thread().ident or 0]
        gap = (what, *_way(sys._getframe(2)), "for", *_way(waits))
        if gap not in self.died:
            self._armed = False
            self._dying(gap)
            os.kill(os.getpid(), signal.SIGKILL)

    def _audited(self, what: str, arguments: tuple[Any, ...]) -> None:
        if not self._armed or not (what == "open" or what in MOVES):
            return
        path = str(arguments[0])
        if path.startswith(self._folder) and (what != "open" or arguments[2] & WRITES):
            self._step(what)

    def _profiled(self, _frame: FrameType, what: str, called: Any) -> None:
        if not self._armed or what != "c_call":
            return
        if any(called is one for one in CALLS):
            self._step(called.__name__)
        elif called.__name__ == "flush" and isinstance(called.__self__, io.BufferedWriter):
            self._step("flush")

    def _committing(self, connection: Connection) -> None:
        if self._armed and connection.get_execution_options().get("dpsync_writes"):
            self._step("commit")


class Place:
    """One installation, its commands, and what they have told whoever called them."""

    def __init__(self, config: Path) -> None:
        self.config = config
        self.folder = config.parent
        self.told: list[str] = []
        self._heard, self._said = socket.socketpair()
        self._heard.setblocking(False)
        self.steps = Steps(self.folder, lambda gap: self._tell("died", *gap))

    def run(self, *argv: str) -> tuple[int, str]:
        said = io.StringIO()
        with redirect_stdout(said), redirect_stderr(said):
            code = dpsync(["--config", str(self.config), *argv])
        return code, said.getvalue()

    def demand(self, *argv: str) -> None:
        """Run a command that must do what it is there for."""
        code, said = self.run(*argv)
        assert code == 0, f"{argv[0]} ended with {code}: {said}"

    def wrong(self) -> dict[str, str]:
        """What `check` finds wrong here: each code with its sentence."""
        _, said = self.run("check", "--offline", "--json")
        return {line["code"]: line["text"] for line in json.loads(said)["lines"] if line["verdict"] == "PROBLEM"}

    def tell(self, event_id: str) -> None:
        """From here on somebody relies on it that this event was accepted."""
        self._tell("told", event_id)

    def _tell(self, *words: str) -> None:
        self._said.sendall(json.dumps(words).encode() + b"\n")

    def met(self, life: Callable[[], None]) -> bool:
        """Live it in a fork: whether it came to a gap that none had. Ends this program where it went wrong."""
        before = len(self.steps.died)
        child = os.fork()
        if not child:
            try:
                life()
            except BaseException:  # noqa: BLE001 - because it is told, and a fork must end here
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        with suppress(BlockingIOError):
            for line in self._heard.recv(1 << 20).splitlines():
                kind, *words = json.loads(line)
                if kind == "told":
                    self.told += words
                else:
                    self.steps.died.add(tuple(words))
                    sys.stdout.write(f"came to {' '.join(words)}\n")
        if code not in {0, -signal.SIGKILL}:
            sys.exit("after this the installation was not what it should be")
        return len(self.steps.died) > before


def main(config: Path, name: str) -> None:
    from tests.crashes import lives

    place, life = Place(config), lives.LIVES[name]
    life.begin(place)
    gc.freeze()

    def one(number: int) -> None:
        if number > 1:
            life.after(place, number - 1)
        life.before(place, number)
        with place.steps.watched():
            life.live(place, number)

    number = 1
    while place.met(partial(one, number)):
        number += 1
    place.met(partial(life.after, place, number))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
