"""Changes the code that decides, one small change at a time, and names each that no test notices. `make mutants`.

mutmut makes the changes, lets mypy refuse what it would refuse (mutant_types.py), and runs the tests that reach the
rest; `[tool.mutmut]` in pyproject.toml says where. A change of a sentence alone is not tried: no rule hangs on it. A
text without a space is no sentence: it is the name of a vendor's field, a state, a kind of entry. A header's name in
capitals is the same header. What else survives must stand in equivalent_mutants.toml beside this file, with the reason
why it is no other program; whatever does not is printed, and the exit code is 2. So is what stands there and was
noticed: then the reason is wrong, or tests fail that nothing was changed under.
It takes long, goes on where it was stopped, and belongs to no other check; see mutant_results.py.
"""

import os
import subprocess
import sys
from pathlib import Path

from bench.mutant_results import (
    NOTICED,
    UNNOTICED,
    UNTESTED,
    Changes,
    Mutant,
    accepted,
    every_file,
    functions,
    readable,
    settle,
)

WORKERS = "2"


def run(*patterns: str) -> None:
    """Let mutmut work; what it found before is kept."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}"}
    command = [sys.executable, "-m", "bench.mutant_runner", "run", "--max-children", WORKERS, *patterns]
    subprocess.run(command, env=environment, check=False)


def report() -> int:
    """Print what is unnoticed and not accounted for, and how much was not tried. Exit code 2 where there is any."""
    listed, same, left, noticed, untried = accepted(), 0, list[Mutant](), list[tuple[str, str]](), 0
    for file in every_file():
        changes = Changes(file)
        for function in functions(file):
            survived = [changes.read(name) for name, was in function.results.items() if was in (UNNOTICED, UNTESTED)]
            known = [one for one in survived if one.is_same_to_http or (one.where, one.after) in listed]
            same += len(known)
            left += [one for one in survived if one not in known]
            missing = sum(result is None for result in function.results.values())
            untried += missing
            here = {one for one in listed if one[0] == readable(function.name)}
            others = (changes.read(name) for name, was in function.results.items() if here and was != NOTICED)
            noticed += sorted(here - {(one.where, one.after) for one in others})
    for one in left:
        sys.stdout.write(f"{one.where}\n  - {one.before}\n  + {one.after}\n")
    for where, after in noticed:
        sys.stdout.write(f"{where}: listed, and noticed, or no change that is made\n  + {after}\n")
    said = f"{len(left)} unnoticed; {same} are no other program (listed); {untried} not tried yet\n"
    sys.stdout.write(said)
    return 2 if left or noticed or untried else 0


def main() -> int:
    """Run, keep what is settled, and report."""
    run(*sys.argv[1:])
    settle()
    return report()


if __name__ == "__main__":
    sys.exit(main())
