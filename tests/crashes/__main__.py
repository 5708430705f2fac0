"""`make crashes`: kills services at steps and moments, with vendors at fault, and counts what came of it."""

import argparse
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import fields
from pathlib import Path

from bench.postgresql import Server, postgresql
from tests.crashes.reckoning import Figures, reckoned
from tests.crashes.rounds import begun

WORDS = {
    "accepted": "accepted",
    "lost": "accepted and lost (0)",
    "false_done": "called done and not done (0)",
    "doubled": "irreversible effects twice (0)",
    "letters_otherwise": "letters again with another Message-ID (0)",
    "mismatches": "faults in ledger, rows, lanes or timers (0)",
    "letters_again": "letters again with the same Message-ID",
    "waiting": "waiting for a person",
}
"""Each figure, and what it may be at most."""


def _say(*lines: str) -> None:
    sys.stdout.write("\n  ".join(lines) + "\n")
    sys.stdout.flush()


def played(seed: int, server: Server, most: int, sums: Counter[str], kills: Counter[str]) -> list[str]:
    """One round, even seeds on SQLite, odd ones on PostgreSQL with two workers: what was wrong."""
    with tempfile.TemporaryDirectory(prefix="dpsync-crashes-") as name:
        folder = Path(name)
        url = server.fresh() if seed % 2 else f"sqlite:///{folder / 'dpsync.db'}"
        with begun(seed, folder, url) as one:
            one.lives(most)
            figures = reckoned(one)
            kills.update(one.kills)
            sums.update({part.name: getattr(figures, part.name) for part in fields(Figures)})
            sums["accepted"] += sum(asked.acknowledged for asked in one.asked)
            if one.wrong:
                one.wrong.append((folder / "log").read_text(encoding="utf-8")[-3000:])
            return one.wrong


def main() -> int:
    """0: nothing was lost, claimed or doubled. 1: something was."""
    asked = argparse.ArgumentParser(prog="make crashes")
    asked.add_argument("--from", dest="first", type=int, default=0)
    asked.add_argument("--kills", type=int, default=1000)
    asked.add_argument("--minutes", type=float, default=float("inf"), help="begin no round after that")
    given = asked.parse_args()
    sums: Counter[str] = Counter()
    kills: Counter[str] = Counter()
    seed, failed, began = given.first, 0, time.monotonic()
    with ExitStack() as stack:
        server = stack.enter_context(postgresql())
        while kills.total() < given.kills and time.monotonic() - began < given.minutes * 60:
            before = kills.total()
            wrong = played(seed, server, given.kills - before, sums, kills)
            if wrong:
                failed += 1
                _say(f"seed {seed} fails; again: make crashes FROM={seed} KILLS={kills.total() - before}", *wrong)
            seed += 1
            minutes = (time.monotonic() - began) / 60
            sys.stderr.write(f"{kills.total()} of {given.kills} kills, {failed} rounds failed, {minutes:.1f} minutes\n")
    _say("killed:", *(f"{times:5} {step or 'at a moment'}" for step, times in kills.most_common()))
    _say("counted:", *(f"{sums[name]:5} {words}" for name, words in WORDS.items()))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
