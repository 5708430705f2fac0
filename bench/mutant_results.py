"""What is known of each change that `make mutants` makes: where it is, and whether a test noticed it.

mutmut keeps its results beside the changed copy, in `mutants/`. What a run has settled is also kept for the next one,
on another machine perhaps: `mutants_settled.json` names each function of which every change was noticed, is refused by
mypy, or stands in equivalent_mutants.toml, with the digest of its code. As long as the code is the same it is not tried
again. Delete the file to try everything anew.
"""

import ast
import difflib
import json
import re
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

EQUIVALENT = Path(__file__).with_name("equivalent_mutants.toml")
SETTLED = Path(__file__).with_name("mutants_settled.json")
UNNOTICED, NOTICED, UNTESTED, SKIPPED = 0, 1, 33, 34
"""What mutmut calls the result of a change that no test noticed, one did, no test reaches, that was not tried."""
_TEXT = re.compile(r"""[rbf]*("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')""")
_HEADER = re.compile(r'"(accept|api-key|authorization|content-type|in-reply-to|references)"', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change: in which function, what stood there, what stands there now."""

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


@dataclass(frozen=True, slots=True)
class Function:
    """One function that is changed: its digest, and mutmut's result of each change by the change's name."""

    name: str
    digest: str
    results: Mapping[str, int | None]


def functions(changed: Path) -> Iterator[Function]:
    """Of one file of the changed copy."""
    kept = json.loads(changed.with_name(f"{changed.name}.meta").read_text(encoding="utf-8"))
    found: dict[str, dict[str, int | None]] = defaultdict(dict)
    for name, result in kept["exit_code_by_key"].items():
        found[function_of(name)][name] = result
    for name, results in found.items():
        yield Function(name, kept["hash_by_function_name"].get(name.rpartition(".")[2], ""), results)


def every_file() -> list[Path]:
    """The files of the changed copy that hold changes."""
    return sorted(path.with_suffix("") for path in Path("mutants", "src").rglob("*.py.meta"))


class Changes:
    """The changes of one file, as they are read."""

    def __init__(self, changed: Path) -> None:
        source = changed.read_text(encoding="utf-8")
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
        nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, kinds)]
        lines = source.splitlines()
        self._code = {node.name: lines[node.lineno - 1 : node.end_lineno] for node in nodes if "__mutmut_" in node.name}

    def read(self, name: str) -> Mutant:
        """The change of this name."""
        own = name.rpartition(".")[2]
        original, where = re.sub(r"_\d+$", "_orig", own), readable(function_of(name))
        plain = where.rpartition(".")[2]
        before, after = ([line.replace(one, plain) for line in self._code[one]] for one in (original, own))
        lines = list(difflib.unified_diff(before, after, lineterm="", n=0))[2:]
        old, new = (" ".join(line[1:].strip() for line in lines if line[0] == sign) for sign in "-+")
        return Mutant(where, old, new)


def function_of(name: str) -> str:
    """The function that a change of this name changes, as mutmut calls it."""
    return re.sub(r"__mutmut_\d+$", "", name)


def readable(function: str) -> str:
    """The name of a function as it stands in the code."""
    return re.sub(r"\.x(?:_|ǁ)", ".", function).replace("ǁ", ".")


def accepted() -> dict[tuple[str, str], str]:
    """Why each change that is listed is no other program, by function and by what stands there after it."""
    listed = tomllib.loads(EQUIVALENT.read_text(encoding="utf-8"))["equivalent"]
    return {(one["where"], one["after"]): one["why"] for one in listed}


def settled() -> dict[str, str]:
    """The functions that an earlier run has settled, with the digest of the code that they had."""
    return dict(json.loads(SETTLED.read_text(encoding="utf-8"))) if SETTLED.exists() else {}


def settle() -> None:
    """Keep what is settled by now, for the next run."""
    listed, found = accepted(), settled()
    for file in every_file():
        changes = Changes(file)
        for function in functions(file):
            open_ = [name for name, result in function.results.items() if result in (None, UNNOTICED, UNTESTED)]
            read = [changes.read(name) for name in open_ if function.results[name] is not None]
            if len(read) == len(open_) and all(one.is_same_to_http or (one.where, one.after) in listed for one in read):
                found[function.name] = function.digest
            elif found.get(function.name) != function.digest:
                found.pop(function.name, None)
    SETTLED.write_text(json.dumps(found, indent=0, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def _without_sentences(code: str) -> str:
    # text by text: what stands between two of them is code
    return _TEXT.sub(lambda text: "''" if " " in text[0] else text[0], code)
