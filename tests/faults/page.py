"""Which tests prove which row, read from the tests themselves, and the page of it: `docs/faults.md`."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from tests.faults.table import FAULTS

ROOT = Path(__file__).parents[2]

HEAD = """\
# Faults

Generated from the tests; `make docs` writes it anew. Each row is a fault that the tests cause on purpose. `make faults`
runs these tests and prints what was counted. A figure above its limit fails the test.

| # | fault | counted, and the most it may be | tests |
| ---: | --- | --- | --- |
"""


@dataclass
class Proof:
    """The tests of one row, by file, and the names of what they count."""

    tests: list[tuple[str, str]] = field(default_factory=list)
    counted: set[str] = field(default_factory=set)


@cache
def proofs() -> dict[int, Proof]:
    """By number of the row."""
    found: dict[int, Proof] = defaultdict(Proof)
    for path in sorted((ROOT / "tests").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if "mark.fault(" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                for number in _numbers(node):
                    found[number].tests.append((path.relative_to(ROOT).as_posix(), node.name))
                    found[number].counted.update(_counted(node, number))
    return found


def _numbers(function: ast.FunctionDef) -> Iterator[int]:
    for one in function.decorator_list:
        if isinstance(one, ast.Call) and ast.unparse(one.func) == "pytest.mark.fault":
            yield ast.literal_eval(one.args[0])


def _counted(function: ast.FunctionDef, number: int) -> Iterator[str]:
    for node in ast.walk(function):
        if (
            isinstance(node, ast.Call)
            and ast.unparse(node.func) == "counted"
            and ast.literal_eval(node.args[0]) == number
        ):
            yield from (keyword.arg for keyword in node.keywords if keyword.arg)


def page() -> str:
    """The whole page."""
    return HEAD + "".join(f"{_line(number)}\n" for number in FAULTS)


def _line(number: int) -> str:
    fault, proof = FAULTS[number], proofs()[number]
    limits = ", ".join(f"{name.replace('_', ' ')} {limit:g}" for name, limit in fault.limits.items())
    files: dict[str, list[str]] = defaultdict(list)
    for file, name in proof.tests:
        files[file].append(f"`{name.removeprefix('test_').replace('_', ' ')}`")
    tests = "; ".join(f"[{Path(file).stem}](../{file}): {', '.join(names)}" for file, names in files.items())
    return f"| {number} | {fault.words} | {limits} | {tests} |"


if __name__ == "__main__":
    (ROOT / "docs" / "faults.md").write_text(page(), encoding="utf-8")
