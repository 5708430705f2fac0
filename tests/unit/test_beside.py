"""What runs beside other processes' writing is named in one place, with the reason."""

import ast
from pathlib import Path

import dpsync


def test_what_runs_beside_others_is_what_the_decision_lists() -> None:
    """Whoever marks more has to say there why it is right."""
    root = Path(dpsync.__file__).parent
    texts = {path.relative_to(root).as_posix(): path.read_text(encoding="utf-8") for path in root.rglob("*.py")}
    marked = {
        f"{name}: {node.name}"
        for name, text in texts.items()
        if "@beside" in text
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef)
        and any(isinstance(one, ast.Name) and one.id == "beside" for one in node.decorator_list)
    }
    page = (root.parents[1] / "docs/decisions/0023-what-runs-side-by-side.md").read_text(encoding="utf-8")
    rows = [line.split("`")[1] for line in page.splitlines() if line.startswith("| `")]
    assert marked == {row for row in rows if ".py: " in row}
