"""Run as a program: the life of an installation, cut off in every gap between two steps that last, one by one.

A step is what outlives the process: a commit, a file opened for writing, written to, linked, renamed or removed, a
folder made. Between two of them nothing lasting happens, so to die before each is to die in every gap. (To bring a file
to the disk is none: whoever comes after a kill sees the same file either way.) A gap is known by where in the program
it is (the lines that lead there); a life dies in the first one that none has died in, and the program ends when a life
comes through. Every life is a fork, so that a kill costs a fraction of a second.

Instead of dying, a life may fill its disk there, and must then end as one whose disk is full, or go on without.
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
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from sqlalchemy import Connection, Engine, event

from dpsync.__main__ import main as dpsync
from tests.once import keep_compiled, keep_migrations, spare_the_disk

Gap = tuple[str, ...]
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
MOVES = {"os.rename", "os.link", "os.remove", "os.mkdir", "os.rmdir"}
STEPS = {"commit", "open", "write", "flush", *MOVES}
LATER = 75
FILLER = "filler"
OURS = str(Path("src", "dpsync"))


def _way(frame: FrameType | None) -> Iterator[str]:
    while frame is not None:
        if OURS in frame.f_code.co_filename:
            yield f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
        frame = frame.f_back


class Steps:
    """Watches this process from outside of the code under test: by Python's own hooks, and SQLAlchemy's."""

    def __init__(self, folder: Path, dying: Callable[[Gap], None], kinds: Collection[str]) -> None:
        self.died: set[Gap] = set()
        self._folder = str(folder)
        self._dying = dying
        self._kinds = kinds
        self._armed = False
        self.happens: Callable[[], None] = lambda: os.kill(os.getpid(), signal.SIGKILL)
        sys.addaudithook(self._audited)
        event.listen(Engine, "commit", self._committing)
        # A profiler would see these calls, too, and make every other one three times as slow.
        os.write = self._writing(os.write)
        os.fdopen = self._flushing(os.fdopen)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Within, this process dies in the first gap that no life has died in."""
        self._armed = True
        try:
            yield
        finally:
            self._armed = False

    def pause(self) -> None:
        """What comes now is watched in another life."""
        self._armed = False

    def go_on(self) -> None:
        """Watch again."""
        self._armed = True

    def _step(self, what: str) -> None:
        if not self._armed or what not in self._kinds:
            return
        # The writer's thread commits for another one: who waits for it is a part of the way there.
        waits = sys._current_frames()[threading.main_thread().ident or 0]
        gap = (what, *_way(sys._getframe(2)), "for", *_way(waits))
        if gap not in self.died:
            self._armed = False
            self._dying(gap)
            self.happens()

    def _audited(self, what: str, arguments: tuple[Any, ...]) -> None:
        if not self._armed or what not in self._kinds or not str(arguments[0]).startswith(self._folder):
            return
        if what == "open":
            flags = arguments[2]
            lasts = flags & WRITES and flags & os.O_TMPFILE != os.O_TMPFILE  # a file without a name goes with us
        else:
            lasts = what != "os.mkdir" or not Path(arguments[0]).exists()
        if lasts:
            self._step(what)

    def _writing(self, write: Callable[[int, Any], int]) -> Callable[[int, Any], int]:
        def written(file: int, content: Any) -> int:
            if self._armed and os.fstat(file).st_nlink:
                self._step("write")
            return write(file, content)

        return written

    def _flushing(self, call: Callable[..., Any]) -> Callable[..., Any]:
        steps = self

        class Flushing(io.BufferedWriter):
            holds = False

            def write(self, content: Any, /) -> int:
                self.holds = True
                return super().write(content)

            def flush(self) -> None:
                if self.holds:
                    steps._step("flush")
                super().flush()
                self.holds = False

        def opened(*given: Any, **more: Any) -> Any:
            made = call(*given, **more)
            return Flushing(made.detach()) if isinstance(made, io.BufferedWriter) else made

        return opened

    def _committing(self, connection: Connection) -> None:
        if connection.get_execution_options().get("dpsync_writes"):
            self._step("commit")


class Place:
    """One installation, its commands, and what they have told whoever called them."""

    def __init__(self, config: Path, kinds: Collection[str]) -> None:
        self.config = config
        self.folder = config.parent
        self.told: list[str] = []
        self.full = False
        self._heard, self._said = socket.socketpair()
        self._heard.setblocking(False)
        self.steps = Steps(self.folder, lambda gap: self._tell("died", *gap), kinds)

    def run(self, *argv: str) -> tuple[int, str]:
        said = io.StringIO()
        with redirect_stdout(said), redirect_stderr(said):
            code = dpsync(["--config", str(self.config), *argv])
        return code, said.getvalue()

    def demand(self, *argv: str) -> bool:
        """Run a command that must do what it is there for; False where the disk is full and it says so."""
        code, said = self.run(*argv)
        assert code == 0 or (self.full and code == LATER), f"{argv[0]} ended with {code}: {said}"
        return code == 0

    def fill(self) -> None:
        """From here on nothing more goes onto this disk."""
        self.full = True
        file = os.open(self.folder / FILLER, os.O_WRONLY | os.O_CREAT)
        with suppress(OSError):
            while True:
                os.write(file, bytes(4096))
        os.close(file)

    def make_room(self) -> None:
        """Somebody has seen to the disk, if it was full."""
        (self.folder / FILLER).unlink(missing_ok=True)

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


def main(config: Path, name: str, what: str, *kinds: str) -> None:
    """`what` happens in a gap: `killed` or `full`. `kinds`: the steps before which it does; none: before all."""
    from tests.crashes import lives

    keep_compiled()
    keep_migrations()
    spare_the_disk()
    place, life = Place(config, kinds or STEPS), lives.LIVES[name]
    if what == "full":
        place.steps.happens = place.fill
    life.begin(place)
    gc.freeze()

    def one(number: int) -> None:
        place.make_room()
        if number > 1:
            life.after(place, number - 1)
        life.before(place, number)
        with place.steps.watched():
            life.live(place, number)

    def last(number: int) -> None:
        life.after(place, number)
        place.demand("verify")

    number = 1
    while place.met(partial(one, number)):
        number += 1
    place.make_room()
    place.met(lambda: last(number))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
