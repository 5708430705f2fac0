"""`python -m tests.changes [NUMBER [SEED]]`: so many changes (1,000), and each that is not noticed at its place."""

import sys
import tempfile
from pathlib import Path

from tests.changes.all import missed
from tests.changes.grounds import made

MOST_KINDS = 1_000


def main(arguments: list[str]) -> int:
    """Prints each one that is missed, then how many were made. 1 where any is missed."""
    number, seed = (*map(int, arguments), MOST_KINDS, 0)[:2] if len(arguments) != 1 else (int(arguments[0]), 0)
    with tempfile.TemporaryDirectory(prefix="dpsync-changes-") as folder:
        there = made(Path(folder))
        found = []
        for at, said in enumerate(missed(there, Path(folder) / "copy", number, seed), 1):
            if said:
                found.append(said)
                sys.stdout.write(f"{said}\n")
            if at % 100 == 0:
                sys.stderr.write(f"{at} of {number}\n")
    sys.stdout.write(f"{number} changes, {len(found)} not noticed at their place\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
