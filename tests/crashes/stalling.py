"""Run as a program: a service of which one part ends, or hangs, a moment after it has begun to answer."""

import os
import sys
import threading
from datetime import datetime
from pathlib import Path

from dpsync.errors import Stalled
from dpsync.installation import Installation, SystemClock
from dpsync.service import Service


class Ends(BaseException):
    """Nothing that anybody catches."""


class Stalling(SystemClock):
    """A clock in which whichever thread of the service has that name ends, or hangs."""

    def __init__(self, part: str, how: str) -> None:
        self._part = part
        self._how = how

    def now(self) -> datetime:
        if threading.current_thread().name == self._part:
            if self._how == "ends":
                raise Ends
            threading.Event().wait()
        return super().now()


def main(config: Path, part: str, how: str) -> int:
    with Installation(config, os.environ, clock=Stalling(part, how)) as there:
        try:
            Service(there, silent_for={"worker": 3.0, "timed": 3.0}).serve(ready=lambda _: None)
        except Stalled as error:
            sys.stderr.write(error.message)
            return error.exit
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))
