"""docs/commands.md, docs/runbook.md and the man page, built from the program: `python -m dpsync.cli.reference`."""

import inspect
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import typer
from typer.core import TyperGroup as Group

from dpsync import __version__
from dpsync.cli.app import app
from dpsync.cli.catalogue import ALERTS_EXPLAINED, CATALOGUE
from dpsync.cli.help_words import for_people
from dpsync.cli.options import USUAL
from dpsync.cli.shapes import SHAPES
from dpsync.errors import Exit

EXITS = {
    Exit.DONE: "done",
    Exit.FAULT: "a fault of dpsync",
    Exit.LOOK: "looked, and a person must see something (`check`, `verify`, `report`, `status --fail-on`)",
    Exit.PARTLY: "partly done; what was not is listed",
    Exit.USAGE: "wrong usage; nothing was changed",
    Exit.UNREACHABLE: "a processor is unreachable",
    Exit.UNTOLD: "not all of the answer could be printed; standard error says whether something is done",
    Exit.LATER: "try later: another process holds what is needed",
    Exit.CONFIGURATION: "settings, keys or store are wrong",
    Exit.INTERRUPTED: "interrupted",
}


def commands_page() -> str:
    """The page as Markdown."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# Commands"
    yield ""
    yield "Generated from the commands; `python -m dpsync.cli.reference` writes it anew."
    yield ""
    yield "Data goes to standard output, talk to standard error. `-q` silences the talk, `-v` adds to it."
    yield ""
    yield "## Exit codes"
    yield ""
    yield "Any code that is not listed is a failure."
    yield ""
    yield "| code | means |"
    yield "| ---: | --- |"
    for code, words in EXITS.items():
        yield f"| {int(code)} | {words} |"
    yield from _commands()
    yield ""
    yield "## JSON"
    yield ""
    yield 'Every `--json` is one object with `"version": 1`. Fields are added, never renamed.'
    for command, fields in SHAPES.items():
        yield from ("", f"### `dpsync {command} --json`", "", "| field | is |", "| --- | --- |")
        for field, words in fields.items():
            yield f"| `{field}` | {words} |"
    yield ""
    yield "## Codes of errors"
    yield ""
    yield "`dpsync explain DP-nnn` says more, without any network, and so does [the runbook](runbook.md)."
    yield ""
    yield "| code | means |"
    yield "| --- | --- |"
    for name, one in CATALOGUE.items():
        yield f"| {name} | {one.title} |"


def runbook_page() -> str:
    """The page of every alert and every code, as Markdown."""
    return "\n".join(_runbook()) + "\n"


def _runbook() -> Iterator[str]:
    yield "# Runbook"
    yield ""
    yield "Generated from the program; `python -m dpsync.cli.reference` writes it anew."
    yield ""
    yield "What to do about each alert and each error. An alert ends with its word, an error begins with its code."
    yield "`dpsync explain WORD` or `dpsync explain CODE` prints the same, without any network."
    for head, entries in (("Alerts", ALERTS_EXPLAINED), ("Errors", CATALOGUE)):
        yield from ("", f"## {head}")
        for name, one in entries.items():
            yield from ("", f"### {name}", "", f"**{one.title}.** {one.meaning}", "")
            yield f"- If nobody does anything: {one.if_ignored}"
            yield f"- What to do: {one.way_out}"
            yield f"- It worked if: {one.worked}"


def _named() -> Group:
    group = typer.main.get_group(app)
    for_people(group)
    return group


def _commands() -> Iterator[str]:
    group = _named()
    # Typer's own plain texts, at one width: the page must not depend on whose terminal wrote it.
    context = typer.Context(
        group, info_name="dpsync", terminal_width=100, max_content_width=100, help_option_names=["-h", "--help"]
    )
    yield from ("", "## dpsync", "", "```", group.get_help(context).rstrip(), "```")
    yield from _within(group, context, "##", "dpsync")


def _within(group: Group, context: typer.Context, mark: str, path: str) -> Iterator[str]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None:
            continue
        inner = typer.Context(command, info_name=name, parent=context, terminal_width=100, max_content_width=100)
        yield from ("", f"{mark} {path} {name}", "", "```", command.get_help(inner).rstrip(), "```")
        if isinstance(command, Group):
            yield from _within(command, inner, f"{mark}#", f"{path} {name}")


def man_page() -> str:
    """The page for `man dpsync`, in the macros of man(7)."""
    group = _named()
    purpose = (group.help or "").splitlines()[0].rstrip(".")
    lines = [
        f'.TH DPSYNC 1 "" "dpsync {__version__}" "User commands"',
        ".SH NAME",
        f"dpsync \\- {_roff(purpose[0].lower() + purpose[1:])}",
        ".SH SYNOPSIS",
        r".B dpsync",
        r"[\-\-config PATH] [\-q] [\-v] COMMAND [ARGS]...",
        ".SH COMMANDS",
        *_man_commands(group, ""),
        ".SH EXIT STATUS",
        "Any code that is not listed is a failure.",
        *(line for code, words in EXITS.items() for line in (".TP", f".B {int(code)}", _roff(words))),
        ".SH ENVIRONMENT",
        *(".TP", ".B DPSYNC_CONFIG", _roff("The settings file, where --config does not name one.")),
        *(".TP", ".B NO_COLOR", "If it is set, nothing is coloured."),
        ".SH FILES",
        ".TP",
        f".I {', '.join(str(place) for place in USUAL)}",
        "The settings: the first of these files that exists.",
    ]
    return "\n".join(lines) + "\n"


def _man_commands(group: Group, before: str) -> Iterator[str]:
    context = typer.Context(group, info_name="dpsync")
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, Group):
            yield from _man_commands(command, f"{before}{name} ")
        elif command is not None:
            inner = typer.Context(command, info_name=name, parent=context)
            usage = " ".join(command.collect_usage_pieces(inner))
            yield from (".TP", f".B {_roff(before + name)} {_roff(usage)}".rstrip())
            yield _roff(inspect.cleandoc(command.help or "").partition("\n\n")[0].replace("\n", " "))


def _roff(text: str) -> str:
    # A hyphen would be typeset as a dash, and a line that begins with a dot or a quote would be a macro.
    escaped = text.replace("\\", r"\e").replace("-", r"\-")
    return rf"\&{escaped}" if escaped.startswith((".", "'")) else escaped


if __name__ == "__main__":
    Path("docs/commands.md").write_text(commands_page(), encoding="utf-8")
    Path("docs/dpsync.1").write_text(man_page(), encoding="utf-8")
    Path("docs/runbook.md").write_text(runbook_page(), encoding="utf-8")
    Path("docs/openapi.json").write_bytes(files("dpsync.intake").joinpath("openapi.json").read_bytes())
