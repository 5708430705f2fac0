"""`make fuzz`: feeds each target for some seconds; prints how often, and the input of each finding."""

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

from tests.fuzz.targets import every

INPUTS = Path(".fuzz")
_DONE = re.compile(r"stat::number_of_executed_units: (\d+)")


def fed(module: str, name: str, seconds: int) -> bool:
    """Feed one of them, in a process of its own. Whether nothing was found."""
    corpus = INPUTS / name.replace(" ", "-")
    command = [sys.executable, "-m", "tests.fuzz.feeding", module, name, str(seconds), str(corpus)]
    ended = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    done = _DONE.search(ended.stderr)
    sys.stdout.write(f"{name}: {int(done[1]) if done else 0:,} inputs{' FAILED' if ended.returncode else ''}\n")
    if ended.returncode:
        sys.stdout.write(f"{(ended.stdout + ended.stderr)[-6000:]}\nits input is beside {corpus}, or the last in it\n")
    sys.stdout.flush()
    return ended.returncode == 0


def answered(examples: int) -> bool:
    """Ask the receiver for what its description allows, and for much that it does not."""
    command = [sys.executable, "-m", "pytest", "-n", "0", "-q", "tests/fuzz/test_openapi_answers.py"]
    return (
        subprocess.run(command, env=os.environ | {"DPSYNC_FUZZ_EXAMPLES": str(examples)}, check=False).returncode == 0
    )


def main() -> int:
    """0: nothing was found. 1: something was."""
    asked = argparse.ArgumentParser(prog="make fuzz")
    asked.add_argument("--seconds", type=int, default=120, help="for each target")
    asked.add_argument("--only", default="", help="the targets whose name begins so")
    given = asked.parse_args()
    well = [fed(module, one.name, given.seconds) for module, one in every() if one.name.startswith(given.only)]
    if not given.only:
        well.append(answered(20 * given.seconds))
    return 0 if all(well) else 1


if __name__ == "__main__":
    sys.exit(main())
