"""`python -m bench.reporting REQUESTS [--pending]`: what `report` and `status` cost, each in a process of its own.

Erasures at three imitated Mailchimp accounts, all of one month: driven to their end, each with its receipt; with
`--pending` only accepted, with nobody there to tell, which a hundred thousand are in minutes. CPU is that of the
process, user and system.
The first report compares everything with the ledger; the second, of more than 10,000 entries, relies on that, and comes
after the comparison that a service makes each hour.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import bench.installation as installing
from bench.driving import accept_all
from dpsync.installation import Installation
from dpsync.intake.acceptance import Asked
from dpsync.model import Request, Right, Subject
from dpsync.running.start import initialise, start
from dpsync.sealing import Keys
from dpsync.service import Service
from dpsync.soundness import judge_and_tell

PROCESSORS = 3
AT_ONCE = 5_000


@contextmanager
def filled(folder: Path, requests: int, *, pending: bool, port: int = 0) -> Iterator[dict[str, str]]:
    """An installation with so many requests; gives the environment that its commands need."""
    installing.ACCOUNTS = PROCESSORS
    with nullcontext() if pending else installing.sandbox(requests, 0) as box:
        config = installing.settings(folder, box, port)
        Keys.create(folder / "keys")
        environ = installing.environment(f"sqlite:///{folder / 'dpsync.db'}")
        with Installation(config, environ) as there:
            initialise(there)
            start(there)
            for first in range(0, requests, AT_ONCE):
                _accept(there, range(first, min(first + AT_ONCE, requests)))
            if pending:
                there.anchor(datetime.now(UTC))
            else:
                Service(there).run_once()
        yield environ


def _accept(there: Installation, numbers: range) -> None:
    now, accept = datetime.now(UTC), partial(accept_all, there.controller)
    futures = []
    for number in numbers:
        person = Subject(id=f"crm-{number}", email=installing.address(number % PROCESSORS, number))
        request = Request("bench", f"evt-{number}", Right.ERASURE, person, now)
        futures.append(there.writer.submit_to(accept, Asked(request, "mac", now)))
    for future in futures:
        future.result()


_MEASURED = """
import os, sys
unheard = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_WRONLY, 0) for number in (1, 2)]
child = os.posix_spawn(sys.executable, [sys.executable, *sys.argv[1:]], os.environ, file_actions=unheard)
_, status, used = os.wait4(child, 0)
print(os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime, used.ru_maxrss // 1024)
"""
"""In a small process: Linux counts the memory of whoever starts another to that one's greatest."""


def cost(folder: Path, environ: dict[str, str], *words: str) -> str:
    """Run one command; its CPU in seconds and its greatest memory."""
    command = [sys.executable, "-c", _MEASURED, "-m", "dpsync", "--config", f"{folder}/dpsync.toml", *words]
    said = subprocess.run(command, env=environ, check=True, capture_output=True, text=True).stdout.split()
    code, seconds, megabytes = said
    return f"{' '.join(words):<24} exit {code}  {float(seconds):6.2f} s CPU  {megabytes} MB"


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(prog="bench.reporting")
    parser.add_argument("requests", type=int)
    parser.add_argument("--pending", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dpsync-bench-") as name:
        folder = Path(name)
        with filled(folder, given.requests, pending=given.pending) as environ:
            print(f"{given.requests:,} requests at {PROCESSORS} processors{', pending' if given.pending else ''}")
            month = f"{datetime.now(UTC):%Y-%m}"
            print(cost(folder, environ, "report", "--month", month))
            with Installation(folder / "dpsync.toml", environ) as there:
                judge_and_tell(there, datetime.now(UTC), full=False)
            print(cost(folder, environ, "report", "--month", month))
            print(cost(folder, environ, "status"))


if __name__ == "__main__":
    main()
