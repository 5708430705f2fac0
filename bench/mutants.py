"""Changes the code that decides, one small change at a time, and names each that no test notices. `make mutants`.

mutmut makes the changes, lets mypy refuse what it would refuse (mutant_types.py), and runs the tests that reach the
rest; `[tool.mutmut]` in pyproject.toml says where. A change of a sentence alone is not tried: no rule hangs on it. A
text without a space is no sentence: it is the name of a vendor's field, a state, a kind of entry. A header's name in
capitals is the same header. What else survives must stand in equivalent_mutants.toml beside this file, with the reason
why it is no other program; whatever does not is printed, and the exit code is 2. So is what stands there and was
noticed: then the reason is wrong, or tests fail that nothing was changed under.
It takes long, goes on where it was stopped, and belongs to no other check.
"""

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

EQUIVALENT = Path(__file__).with_name("equivalent_mutants.toml")
WORKERS = "2"
_TEXT = re.compile(r"""[rbf]*("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')""")
_HEADER = re.compile(r'"(accept|api-key|authorization|content-type|in-reply-to|references)"', re.IGNORECASE)
_UNNOTICED = {"survived", "no tests", "suspicious"}


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change that no test noticed: in which function, what stood there, what stands there now."""

    where: str
    before: str
    after: str

    @property
    def is_same_to_http(self) -> bool:
        """Whether nothing but the case of a header's name was changed (RFC 9110, section 5.1; RFC 5322, 1.2.2)."""
        before, after = (_HEADER.sub(lambda name: name[0].lower(), text) for text in (self.before, self.after))
        return before == after

    @property
    def is_wording(self) -> bool:
        """Whether nothing but the text of a sentence was changed, or the sentence left out."""
        return _without_sentences(self.before) == _without_sentences(self.after).replace("(None)", "('')")


def _without_sentences(code: str) -> str:
    # text by text: what stands between two of them is code
    return _TEXT.sub(lambda text: "''" if " " in text[0] else text[0], code)


def run(*patterns: str) -> None:
    """Let mutmut work; what it found before is kept."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}"}
    command = [sys.executable, "-m", "bench.mutant_runner", "run", "--max-children", WORKERS, *patterns]
    subprocess.run(command, env=environment, check=False)


def unnoticed() -> Iterator[Mutant]:
    """Each change that the last run found unnoticed."""
    listed = subprocess.run([_mutmut(), "results"], capture_output=True, text=True, check=True).stdout
    for line in listed.splitlines():
        name, _, result = line.strip().partition(": ")
        if result in _UNNOTICED:
            yield _read(
                name, subprocess.run([_mutmut(), "show", name], capture_output=True, text=True, check=True).stdout
            )


def accepted() -> dict[tuple[str, str], str]:
    """Why each change that is listed is no other program, by function and by what stands there after it."""
    listed = tomllib.loads(EQUIVALENT.read_text(encoding="utf-8"))["equivalent"]
    return {(one["where"], one["after"]): one["why"] for one in listed}


def main() -> int:
    """Run, and print what is unnoticed and not accounted for."""
    run(*sys.argv[1:])
    same, left = 0, []
    listed, survived = set(accepted()), set()
    for mutant in unnoticed():
        survived.add((mutant.where, mutant.after))
        if mutant.is_same_to_http or (mutant.where, mutant.after) in listed:
            same += 1
        else:
            left.append(mutant)
    for mutant in left:
        sys.stdout.write(f"{mutant.where}\n  - {mutant.before}\n  + {mutant.after}\n")
    noticed = [] if sys.argv[1:] else sorted(listed - survived)
    for where, after in noticed:
        sys.stdout.write(f"{where}: listed, and noticed\n  + {after}\n")
    sys.stdout.write(f"{len(left)} unnoticed; {same} are no other program (listed)\n")
    return 2 if left or noticed else 0


def _read(name: str, shown: str) -> Mutant:
    lines = [line for line in shown.splitlines() if line[:3] not in {"---", "+++"}]
    before = " ".join(line[1:].strip() for line in lines if line.startswith("-"))
    after = " ".join(line[1:].strip() for line in lines if line.startswith("+"))
    where = re.sub(r"__mutmut_\d+$", "", name)
    return Mutant(re.sub(r"\.x(?:_|ǁ)", ".", where).replace("ǁ", "."), before, after)


def _mutmut() -> str:
    return str(Path(sys.executable).with_name("mutmut"))


if __name__ == "__main__":
    sys.exit(main())
