"""Run as a program: forks services of an installation, each of which dies at its step by SIGKILL, or when it is told.

A fork is a whole `dpsync serve` (or `dpsync work`): its own process, sockets, connections and threads. It is a fork so
that a thousand of them need not each load Python first. Each line of standard input starts one or waits for one; the
answer is a line of standard output.
"""

import http.client
import json
import os
import signal
import smtplib
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine.default import DefaultDialect

from dpsync import telemetry
from dpsync.installation import Installation
from dpsync.service import Service, ServiceKind

STEPS = ("before a commit", "after a commit", "before a call", "after a call", "before a letter", "after a letter")
"""`before`: it did not happen. `after`: it happened, and nobody heard of it."""
FILE = "before a file has its name"


@dataclass(frozen=True, slots=True)
class Start:
    """One service: where, as what, how far its clock is ahead (seconds), and at which occurrence of a step it dies."""

    config: str
    kind: str
    ahead: float
    step: str
    nth: int


class ClockAhead:
    """A clock that is so many seconds ahead of the machine's: what would take hours is due at once."""

    def __init__(self, seconds: float) -> None:
        self._ahead = timedelta(seconds=seconds)

    def now(self) -> datetime:
        """The time there."""
        return datetime.now(UTC) + self._ahead

    def monotonic(self) -> float:
        """Seconds that never jump."""
        return time.monotonic()


class Steps:
    """Dies at the `nth` occurrence of `step`. Hooks into what others made, never into dpsync."""

    def __init__(self, step: str, nth: int, folder: str) -> None:
        self._step, self._left, self._folder = step, nth, folder
        self._lock = threading.Lock()
        self._writes, self._dots = threading.local(), threading.local()

    def arm(self) -> None:
        event.listen(Engine, "commit", self._committing)
        DefaultDialect.do_commit = self._around("commit", DefaultDialect.do_commit, self._is_write)  # type: ignore[method-assign] # because no event of SQLAlchemy comes after a commit
        putrequest, getresponse = http.client.HTTPConnection.putrequest, http.client.HTTPConnection.getresponse
        http.client.HTTPConnection.putrequest = self._first("before a call", putrequest)  # type: ignore[method-assign] # because a hook in dpsync could be forgotten by a connector
        http.client.HTTPConnection.getresponse = self._last("after a call", getresponse)  # type: ignore[method-assign] # because of the same
        smtplib.SMTP.send = self._dotting(smtplib.SMTP.send)  # type: ignore[method-assign] # because of the same
        smtplib.SMTP.getreply = self._dotted(smtplib.SMTP.getreply)  # type: ignore[method-assign] # because of the same
        sys.addaudithook(self._audited)

    def _at(self, step: str) -> None:
        if step != self._step:
            return
        with self._lock:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def _committing(self, connection: Connection) -> None:
        self._writes.now = bool(connection.get_execution_options().get("dpsync_writes"))

    def _is_write(self) -> bool:
        return bool(getattr(self._writes, "now", False))

    def _around(self, what: str, call: Callable[..., Any], concerns: Callable[[], bool]) -> Any:
        def made(*given: Any, **more: Any) -> Any:
            if not concerns():
                return call(*given, **more)
            self._at(f"before a {what}")
            said = call(*given, **more)
            self._at(f"after a {what}")
            return said

        return made

    def _dotting(self, call: Callable[..., Any]) -> Any:
        """A mail host has a letter from the dot on that ends it."""

        def sent(connection: smtplib.SMTP, content: Any) -> None:
            if is_letter := isinstance(content, bytes) and content.endswith(b"\r\n.\r\n"):
                self._at("before a letter")
            call(connection, content)
            self._dots.now = is_letter

        return sent

    def _dotted(self, call: Callable[..., Any]) -> Any:
        def heard(connection: smtplib.SMTP) -> Any:
            said = call(connection)
            if getattr(self._dots, "now", False):
                self._dots.now = False
                self._at("after a letter")
            return said

        return heard

    def _first(self, step: str, call: Callable[..., Any]) -> Any:
        def made(*given: Any, **more: Any) -> Any:
            self._at(step)
            return call(*given, **more)

        return made

    def _last(self, step: str, call: Callable[..., Any]) -> Any:
        def made(*given: Any, **more: Any) -> Any:
            said = call(*given, **more)
            self._at(step)
            return said

        return made

    def _audited(self, what: str, arguments: tuple[Any, ...]) -> None:
        if what in {"os.rename", "os.link"} and str(arguments[1]).startswith(self._folder):
            self._at(FILE)


def serve(start: Start) -> None:
    """What `dpsync serve` does, with another clock."""
    config = Path(start.config)
    log = os.open(config.parent / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    telemetry.configure("warning", sys.stderr)
    telemetry.guard_threads()
    Steps(start.step, start.nth, str(config.parent)).arm()
    with Installation(config, os.environ, clock=ClockAhead(start.ahead)) as there:
        there.demand_own_store()
        ready = config.parent / f"ready-{os.getpid()}"
        Service(there, ServiceKind(start.kind)).serve(ready=lambda _: ready.touch())


def main() -> None:
    for line in sys.stdin:
        asked = json.loads(line)
        if "wait" in asked:
            _, status = os.waitpid(asked["wait"], 0)
            said = os.waitstatus_to_exitcode(status)
        else:
            said = os.fork()
            if not said:
                code = 1
                try:
                    os.environ.update(asked["environ"])
                    serve(Start(**asked["start"]))
                    code = 0
                except BaseException:  # noqa: BLE001 - because a fork must end here
                    traceback.print_exc()
                sys.stderr.flush()
                os._exit(code)
        sys.stdout.write(f"{said}\n")
        sys.stdout.flush()


def line_of(start: Start, environ: dict[str, str]) -> str:
    """The line that starts it."""
    return json.dumps({"start": asdict(start), "environ": environ})


if __name__ == "__main__":
    main()
