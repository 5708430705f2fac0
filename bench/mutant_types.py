"""Which changes of the code mypy refuses. mutmut runs it in its copy of the project (`type_check_command`).

`make check` would refuse each of them, so no test need notice it. mypy also complains of what mutmut itself adds around
the changed functions; only what stands within a changed function counts, and not what its unchanged twin shows, too.
"""

import ast
import json
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

_OF_ITSELF = {"has-type", "unused-ignore"}
"""What mypy says when it meets functions in another order than in the code as it is; no reason to refuse it."""
_CHANGED = re.compile(r"(?P<function>x[_ǁ].*)__mutmut_(?P<which>\d+|orig)$")


def main() -> int:
    """Print each refusal as mypy prints it (`--output json`)."""
    files = [str(path) for path in sorted(Path("src").rglob("*.py")) if "__mutmut_" in path.read_text(encoding="utf-8")]
    command = [str(Path(sys.executable).with_name("mypy")), "--output=json", "--follow-imports=silent", *files]
    refused = defaultdict[str, list[dict[str, str]]](list)
    for line in subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines():
        refusal = json.loads(line)
        refused[refusal["file"]].append(refusal)
    for file, refusals in refused.items():
        for refusal in _of_changes(file, refusals):
            sys.stdout.write(json.dumps(refusal) + "\n")
    return 0


def _of_changes(file: str, refusals: list[dict[str, str]]) -> Iterator[dict[str, str]]:
    place = dict[int, tuple[str, str]]()
    for node in ast.walk(ast.parse(Path(file).read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (found := _CHANGED.match(node.name)):
            lines = range(node.lineno, (node.end_lineno or node.lineno) + 1)
            place.update(dict.fromkeys(lines, (found["function"], found["which"])))
    where = [(place.get(int(one["line"]), ("", "orig")), one) for one in refusals]
    unchanged = {(function, one["message"]) for (function, which), one in where if which == "orig"}
    for (function, which), one in where:
        if which != "orig" and one["code"] not in _OF_ITSELF and (function, one["message"]) not in unchanged:
            yield one


if __name__ == "__main__":
    sys.exit(main())
