"""Settings that an older version wrote: which keys have another name now, and which are none.

Only the name is changed, in its own line: comments, order and values stay as they are.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from dpsync.errors import ConfigurationError, Fault
from dpsync.settings import toml
from dpsync.settings.places import line_of
from dpsync.settings.reading import parsed

RENAMED: Final[Mapping[str, str]] = MappingProxyType({})
"""Key paths of older versions and the name that their last part has now. `*` stands for the name of one section.

No key was renamed yet. An entry is never taken out: nobody knows from which version somebody upgrades.
"""

UNKNOWN: Final = "is not a setting"
"""How a fault begins that names a key which no version knows."""


@dataclass(frozen=True, slots=True)
class Rename:
    """One key of the file whose name is another one now. `line`: where it stands."""

    key: str
    new: str
    line: int


@dataclass(frozen=True, slots=True)
class Upgrade:
    """What a newer version makes of a file. `text`: the whole file with the new names."""

    text: str
    renames: tuple[Rename, ...]
    unknown: tuple[Fault, ...]


def upgrade(path: Path, faults: Sequence[Fault], renamed: Mapping[str, str] = RENAMED) -> Upgrade:
    """What is to be changed in a settings file; nothing is written. `faults`: all that is wrong with it.

    Raises `ConfigurationError` where it cannot be read, or where a name cannot be changed in its line.
    """
    text, _ = parsed(path)
    found = [Rename(".".join(at), renamed[rule], line_of(at, text) or 0) for rule, at in _old(text, renamed)]
    lines = text.splitlines(keepends=True)
    for one in found:
        old = one.key.rpartition(".")[2]
        lines[one.line - 1] = re.sub(rf"^(\s*){re.escape(old)}(\s*=)", rf"\g<1>{one.new}\g<2>", lines[one.line - 1])
    changed = "".join(lines)
    if left := _left(changed, found, renamed):
        told = (Fault(one.key, f"is called {one.new} now: change it by hand (line {one.line})") for one in left)
        raise ConfigurationError(list(told))
    old_names = {one.key for one in found}
    unknown = [one for one in faults if one.problem.startswith(UNKNOWN) and one.key not in old_names]
    return Upgrade(changed, tuple(found), tuple(unknown))


def _left(changed: str, found: Sequence[Rename], renamed: Mapping[str, str]) -> list[Rename]:
    """What did not change: it stands in a table of one line, or both names are there."""
    try:
        still = {".".join(at) for _, at in _old(changed, renamed)}
    except tomllib.TOMLDecodeError:
        return list(found)
    return [one for one in found if one.key in still]


def _old(text: str, renamed: Mapping[str, str]) -> list[tuple[str, list[str]]]:
    """The rule and the place of each key that has another name now."""
    document = toml.loads(text)
    return [(rule, at) for rule in renamed for at in _places(document, rule.split("."))]


def _places(table: Any, parts: list[str]) -> list[list[str]]:
    if not isinstance(table, dict):
        return []
    names = list(table) if parts[0] == "*" else [parts[0]] if parts[0] in table else []
    if len(parts) == 1:
        return [[name] for name in names]
    return [[name, *rest] for name in names for rest in _places(table[name], parts[1:])]
