"""Run as a program: a service of which one part ends, or hangs, a moment after it has begun to answer."""

import os
import sys
import threading
from datetime import datetime
from pathlib import Path

from dpsync.errors import Stalled
from dpsync.propagation.engine.worker import Worker
from dpsync.service import Service


class Ends(BaseException):
    """Nothing that anybody catches."""


def stall(how: str) -> None:
    if how == "ends":
        raise Ends
    threading.Event().wait()


class Stalling(Service):
    """Its timed jobs, or its worker, end or hang."""

    part, how = "timed", "ends"

    def send_alerts(self, now: datetime) -> None:
        if self.part == "timed":
            stall(self.how)
        super().send_alerts(now)

    def worker(self) -> Worker:
        made = super().worker()
        if self.part == "worker":
            vars(made)["turn"] = lambda: stall(self.how)
        return made


def main(config: Path, part: str, how: str) -> int:
    with Stalling(config, os.environ) as service:
        service.part, service.how = part, how
        service.silent_for = {"worker": 3.0, "timed": 3.0}
        try:
            service.serve(ready=lambda _: None)
        except Stalled as error:
            sys.stderr.write(error.message)
            return error.exit
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))
