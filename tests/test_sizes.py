"""How large a piece of code may be, what has a docstring, and that a type has a name of its own. `make check` runs it;
every exception has its reason.

The lists may only shrink: who makes a piece small takes its name out. Migrations are frozen and not looked at.
"""

import ast
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

SRC = Path(__file__).parents[1] / "src" / "dpsync"

MODULE_LINES = 300
FUNCTION_LINES = 40

LONG_MODULES = {
    "a list of entries of one kind: codes, tables, settings, lines of a check": [
        "cli/checks.py",
        "cli/shapes.py",
        "errors.py",
        "ledger/rows.py",
        "settings/reading.py",
        "settings/sections.py",
        "settings/values.py",
        "store/tables.py",
    ],
    "one file that a stranger reads whole, and that needs nothing beside it": ["ledger/verify_receipt.py"],
}

LONG_FUNCTIONS = {
    "a command: half of it are its options": [
        "cli/lists.py: import_",
        "cli/setup.py: init",
        "cli/submitting.py: submit",
    ],
    "a value or a row of many fields, written out once": [
        "ledger/receipt.py: build",
    ],
    "steps in one order that is waiting to be divided": [],
}

UNDOCUMENTED = {
    "one handler a path of the vendor: the path and its documentation stand beside it": [
        "sandbox/campaign_monitor/endpoints.py",
        "sandbox/eventbrite/endpoints.py",
        "sandbox/hootsuite/endpoints.py",
        "sandbox/mailchimp/beside.py",
        "sandbox/mailchimp/endpoints.py",
        "sandbox/mailchimp/interests.py",
    ],
    "one short file that a stranger reads whole": ["ledger/verify_receipt.py"],
    "a protocol's methods, or what a library calls by this name": [
        "channels.py",
        "demo/crm.py",
        "intake/limits.py",
        "intake/refusals.py",
        "connector_services.py",
        "store/columns.py",
        "store/shelf.py",
        "http_deadline.py",
    ],
    "waiting for theirs": [],
}

NAMED_TWICE = {
    "each vendor has its own, in its own folder": ["Calls", "Member", "Memory", "Page"],
    "a protocol, and what keeps it": ["Health", "Journal"],
}

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def excepted(reasons: dict[str, list[str]]) -> set[str]:
    return {name for names in reasons.values() for name in names}


@cache
def modules() -> dict[str, tuple[str, ast.Module]]:
    """Each module by its name: its text, and what it says."""
    paths = [path for path in sorted(SRC.rglob("*.py")) if "versions" not in path.parts]
    texts = {path.relative_to(SRC).as_posix(): path.read_text(encoding="utf-8") for path in paths}
    return {name: (text, ast.parse(text)) for name, text in texts.items()}


def definitions(
    parts: list[ast.stmt], within: str = "", *, public: bool = True
) -> Iterator[tuple[str, Definition, bool]]:
    """Each function and class with its full name, and whether it is public: reached without an underscore."""
    for node in parts:
        if isinstance(node, Definition):
            name, seen = f"{within}{node.name}", public and not node.name.startswith("_")
            yield name, node, seen
            yield from definitions(node.body, f"{name}.", public=seen and isinstance(node, ast.ClassDef))


def test_a_module_is_not_longer_than_is_read_at_once() -> None:
    long = {name for name, (text, _) in modules().items() if len(text.splitlines()) > MODULE_LINES}
    assert long - excepted(LONG_MODULES) == set()


def test_a_function_fits_on_a_screen() -> None:
    long = {
        f"{module}: {name}"
        for module, (_, tree) in modules().items()
        for name, node, _ in definitions(tree.body)
        if not isinstance(node, ast.ClassDef) and (node.end_lineno or 0) - node.lineno >= FUNCTION_LINES
    }
    assert long - excepted(LONG_FUNCTIONS) == set()


def test_every_public_name_says_what_it_promises() -> None:
    bare = {
        f"{module}: {name}"
        for module, (_, tree) in modules().items()
        for name, node, public in definitions(tree.body)
        if public and module not in excepted(UNDOCUMENTED) and not ast.get_docstring(node)
    }
    assert bare == set()
    assert [module for module, (text, tree) in modules().items() if text and not ast.get_docstring(tree)] == []


def test_a_type_has_a_name_of_its_own() -> None:
    """The sandbox is apart: it shares nothing with the rest, and has the vendors' words."""
    named = Counter(
        name
        for module, (_, tree) in modules().items()
        for name, node, public in definitions(tree.body)
        if isinstance(node, ast.ClassDef) and public and not module.startswith(("sandbox/", "demo/"))
    )
    assert {name for name, times in named.items() if times > 1} == excepted(NAMED_TWICE)


def test_no_exception_is_kept_for_what_is_gone() -> None:
    functions = {f"{module}: {name}" for module, (_, tree) in modules().items() for name, *_ in definitions(tree.body)}
    assert (excepted(LONG_MODULES) | excepted(UNDOCUMENTED)) - modules().keys() == set()
    assert excepted(LONG_FUNCTIONS) - functions == set()
