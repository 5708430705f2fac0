"""`make simulate`: plays the months of many seeds; prints what fails, small enough to be read, and how to replay it."""

import argparse
import io
import sys
import time

from dpsync import telemetry
from tests.simulator.playing import RETOLD, compared, judged, shrunk
from tests.simulator.scenario import Scenario, drawn, retold

EVERY = 100


def _say(*lines: str) -> None:
    sys.stdout.write("\n  ".join(lines) + "\n")
    sys.stdout.flush()


def _smallest(month: Scenario) -> tuple[Scenario, list[str]]:
    """The smallest month that fails by itself, and what is wrong with it; the whole one where only two of them do."""
    for one in (month, retold(month, month.seed + RETOLD)):
        if judged(one):
            small = shrunk(one, lambda tried: bool(judged(tried)))
            return small, judged(small)
    return month, compared(month)


def main() -> int:
    """0: nothing failed. 1: something did."""
    asked = argparse.ArgumentParser(prog="make simulate")
    asked.add_argument("--from", dest="first", type=int, default=0)
    asked.add_argument("--seeds", type=int, default=10_000)
    asked.add_argument("--keep", action="store_true", help="do not shrink")
    given = asked.parse_args()
    telemetry.configure("error", io.StringIO())
    failed, began = 0, time.monotonic()
    for seed in range(given.first, given.first + given.seeds):
        found = compared(drawn(seed))
        if found:
            failed += 1
            _say(f"seed {seed} fails; again: make simulate FROM={seed} SEEDS=1", *found)
            if not given.keep:
                small, wrong = _smallest(drawn(seed))
                _say(f"the smallest month that fails so: {small}", *wrong)
        done = seed - given.first + 1
        if done % EVERY == 0 or done == given.seeds:
            rate = done / (time.monotonic() - began)
            sys.stderr.write(f"{done} of {given.seeds} seeds, {failed} failed, {rate:.1f} a second\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
