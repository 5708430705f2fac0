"""Run as a program: a change of a key, whose process dies by SIGKILL after a named step of it."""

import os
import signal
import sys
from pathlib import Path

from dpsync.installation import Installation
from dpsync.propagation.decisions import Person
from dpsync.running import key_changes


def main(folder: str, which: str, moment: str) -> None:
    def step(name: str) -> None:
        if name == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    with Installation(Path(folder) / "dpsync.toml", os.environ) as there:
        if which == "signing":
            key_changes.change_signing(there, there.clock.now(), step)
        else:
            key_changes.add_pepper(there)
            step("added")
    with Installation(Path(folder) / "dpsync.toml", os.environ) as there:
        key_changes.record(there, there.clock.now(), Person("Dana Officer", "dana", "a test"))
        step("recorded")


if __name__ == "__main__":
    main(*sys.argv[1:])
