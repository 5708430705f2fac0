"""What `dpsync init` asks whoever sits there, and what it was told already."""

import re
import shlex
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import typer

from dpsync.cli.console import Talk
from dpsync.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dpsync.cli.first_settings import Answers

T = TypeVar("T")

QUESTIONS = {
    "name": "Which organisation is responsible for the data? (name)",
    "dpo": "Who is the data protection officer? (email address)",
    "operator": "Who runs this machine? (email address)",
}
_OPTION = re.compile(r"--(?:name|dpo|operator)\b")


@dataclass(frozen=True, slots=True)
class GivenOptions:
    """The options of `init`, as they were typed."""

    name: str | None
    dpo: str | None
    operator: str | None
    processors: list[str] | None
    mode: str | None
    rehearsal: bool = False


def answers_of(talk: Talk, given: GivenOptions, folder: Path | None) -> "Answers":
    """What was given, all of it read before anything is asked, and the answers to the rest.

    Raises `UsageError` for an option that is wrong, or where there is nobody to ask. Whoever breaks off is told how to
    go on with what was answered: nothing of it is kept in a file.
    """
    from dpsync.cli.first_settings import Answers, address_of, name_of, processors_of

    options = {"name": given.name, "dpo": given.dpo, "operator": given.operator}
    missing = [key for key, value in options.items() if not value]
    if missing and not talk.may_ask():
        raise UsageError("there is no terminal to ask you on. Add " + ", ".join(f"--{key}" for key in missing))
    readers: dict[str, Callable[[str], str]] = {
        "name": name_of,
        "dpo": partial(address_of, "--dpo"),
        "operator": partial(address_of, "--operator"),
    }
    read = {key: readers[key](value) for key, value in options.items() if value}
    processors = None if given.processors is None else processors_of(given.processors)
    if given.mode not in {None, "confirm", "live", "observe"}:
        raise UsageError("--mode must be confirm, live or observe")
    with _kept_for_later(talk, given, folder, read):
        for key in missing:
            read[key] = _prompted(talk, QUESTIONS[key], readers[key])
        if processors is None:
            processors = _processors(talk) if talk.may_ask() else {}
            read["processors"] = " ".join(f"--processor {name}={kind}" for name, kind in processors.items())
        mode = given.mode or _mode(talk)
    return Answers(read["name"], read["dpo"], read["operator"], processors, mode, given.rehearsal)


@contextmanager
def _kept_for_later(talk: Talk, given: GivenOptions, folder: Path | None, read: Mapping[str, str]) -> "Iterator[None]":
    try:
        yield
    except (typer.Abort, KeyboardInterrupt):
        if any(key in read and not getattr(given, key) for key in (*QUESTIONS, "processors")):
            talk.warn(f"\nNothing is written. To go on with what you answered:\n  {_again(given, folder, read)}")
        raise


def _again(given: GivenOptions, folder: Path | None, read: Mapping[str, str]) -> str:
    """The command that asks for the rest."""
    words = ["dpsync init", *([shlex.quote(str(folder))] if folder else [])]
    words += [f"--{key} {shlex.quote(read[key])}" for key in QUESTIONS if key in read]
    words += [f"--processor {shlex.quote(one)}" for one in given.processors or ()]
    words += [read.get("processors", ""), f"--mode {given.mode}" if given.mode else ""]
    return " ".join(filter(None, [*words, "--rehearsal" if given.rehearsal else ""]))


def _prompted(talk: Talk, question: str, reader: Callable[[str], T], default: str | None = None) -> T:
    """Ask until the answer can be used: one that is wrong costs no other."""
    while True:
        try:
            return reader(typer.prompt(question, default=default, show_default=bool(default), err=True))
        except UsageError as wrong:
            said = wrong.message.replace("--processor ", "")  # whoever is asked types no option
            talk.warn(f"{_OPTION.sub('the answer', said)}. Please answer again.")


def _processors(talk: Talk) -> dict[str, str]:
    from dpsync.cli.first_settings import processors_of
    from dpsync.known_connectors import connector_names

    known = ", ".join(connector_names())
    question = f"Which processors? Write NAME=CONNECTOR for each, separated by spaces. Connectors: {known}"
    return _prompted(talk, question, lambda text: processors_of(text.split()), default="")


def _mode(talk: Talk) -> str:
    question = "Start carefully? Each erasure then waits 24 hours and for one person's approval (recommended)"
    careful = typer.confirm(question, default=True, err=True) if talk.may_ask() else True
    return "confirm" if careful else "live"
