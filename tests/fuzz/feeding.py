"""Feeds one target for some seconds: by atheris, which sees which code an input reaches, or, without it, by chance."""

import argparse
import io
import os
import sys
import tempfile
import time
import traceback
from contextlib import AbstractContextManager, nullcontext, redirect_stderr
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any

from tests.fuzz.mutating import mutated
from tests.fuzz.target import Target

LONGEST = 65_536
MEGABYTES = 1500
SECONDS = 20
"""For one input: more is a hang."""

LOOKED_INTO = (
    "address",
    "backup",
    "connectors",
    "http",
    "intake",
    "ledger",
    "retention",
    "settings",
    "strict_json",
    "vendor",
)
"""The rooms in which atheris sees which way an input takes; in all of them it would begin a minute later."""


def found(module: str, name: str) -> Target:
    """The target of that name."""
    from tests.fuzz.targets import of

    return next(one for one in of(module) if one.name == name)


def housing(target: Target, folder: str) -> AbstractContextManager[object]:
    """The installation that it asks, if it asks one."""
    if not target.housed:
        return nullcontext()
    from tests.fuzz.house import standing

    return standing(Path(folder))


def guided(module: str, name: str, seconds: int, corpus: Path, folder: str) -> None:
    """Ends the process. What is found is written beside the corpus, and its trace to stderr."""
    atheris: Any = import_module("atheris")
    rooms = [f"dpsync.{room}" for room in LOOKED_INTO]
    with redirect_stderr(io.StringIO()), atheris.instrument_imports(include=rooms):  # it tells of each module
        target = found(module, name)
    limits = [f"-max_total_time={seconds}", f"-timeout={SECONDS}", f"-rss_limit_mb={MEGABYTES}", f"-max_len={LONGEST}"]
    kept = [f"-artifact_prefix={corpus}.finding-", "-print_final_stats=1", "-verbosity=0", str(corpus)]
    with housing(target, folder):
        seeds = target.seeds()
        for number, seed in enumerate(seeds):
            (corpus / f"seed-{number}").write_bytes(seed)

        def change(raw: bytes, most: int, number: int) -> bytes:
            if number % 2:
                return bytes(atheris.Mutate(raw, most))
            return mutated(raw, seeds, Random(number), target.chosen)[:most]

        atheris.Setup([sys.argv[0], *limits, *kept], target, custom_mutator=change)
        atheris.Fuzz()


def by_chance(module: str, name: str, seconds: int, corpus: Path, folder: str) -> None:
    """The same without guidance. What was fed last is kept, and is the finding where it fails."""
    target = found(module, name)
    with housing(target, folder):
        seeds, random, done = target.seeds(), Random(), 0
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            raw = mutated(random.choice(seeds), seeds, random, target.chosen)[:LONGEST]
            (corpus / "last").write_bytes(raw)
            target(raw)
            done += 1
        sys.stderr.write(f"stat::number_of_executed_units: {done}\n")
        sys.stderr.flush()
        os._exit(0)


def main() -> None:
    """A target's module and name, for how many seconds, and where its inputs are kept."""
    asked = argparse.ArgumentParser(prog="python -m tests.fuzz.feeding")
    asked.add_argument("module")
    asked.add_argument("name")
    asked.add_argument("seconds", type=int)
    asked.add_argument("corpus", type=Path)
    given = asked.parse_args()
    given.corpus.mkdir(parents=True, exist_ok=True)
    feed = guided if find_spec("atheris") else by_chance
    with tempfile.TemporaryDirectory() as folder:
        try:
            feed(given.module, given.name, given.seconds, given.corpus, folder)
        except Exception:  # noqa: BLE001 - because whatever was raised is the finding
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)  # the threads of an installation would be waited for


if __name__ == "__main__":
    main()
