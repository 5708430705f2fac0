"""Run as a program: one worker that is asked to stop while a call of its hangs, where nobody can cut it."""

import sys
import threading
import time
from pathlib import Path

from dpsync.connector import Instruction, Outcome
from dpsync.model import Right
from dpsync.store.database import open_database
from tests.builders import World
from tests.journeys.sharing import MachineClock


def main(folder: Path) -> None:
    world = World(open_database(f"sqlite:///{folder / 'dpsync.db'}"), folder)
    world.clock = MachineClock()
    called = threading.Event()

    def hangs(_: Instruction) -> Outcome:
        called.set()
        time.sleep(600)
        raise AssertionError

    world.vendors["alpha"].answers.append(hangs)
    world.ask(Right.OPT_OUT, "ada@example.org", id="crm-1")
    worker, stop = world.worker(alone=True, stop_within=0.2), threading.Event()
    running = threading.Thread(target=worker.run, args=(stop,))
    running.start()
    called.wait()
    stop.set()
    running.join()
    world.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
