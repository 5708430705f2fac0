"""The parts of dpsync as requirements.lock pins them, with the licence that each installed one declares."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

LOCK: Final = Path(__file__).parents[1] / "requirements.lock"
_PINNED = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;\\]+)(?:\s*;\s*([^\\]+?))?\s*\\?$")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_CLASSIFIER = "License :: OSI Approved :: "


class Use(StrEnum):
    """What a part is for; the words are CycloneDX's `scope`."""

    SERVICE = "required"
    EXTRA = "optional"
    DEVELOPMENT = "excluded"


@dataclass(frozen=True, slots=True)
class LockedPart:
    """One pinned package. `licence` is "" where it is not installed here, or says none; `needs`: canonical names."""

    name: str
    version: str
    hashes: tuple[str, ...]
    marker: str
    use: Use
    licence: str
    needs: tuple[str, ...]


def parts(lock: Path = LOCK) -> list[LockedPart]:
    """Every part by name. Raises `ValueError` where what is installed here is another version than the lock says."""
    pinned = {name: (version, marker, hashes) for name, version, marker, hashes in _pinned(lock)}
    installed = {name: one for name in pinned if (one := _installed(name))}
    other = [f"{name} {one.version}" for name, one in installed.items() if one.version != pinned[name][0]]
    if other:
        raise ValueError(f"installed, but not as {lock.name} says: {', '.join(other)}. Run `make install`")
    graph = {name: tuple(sorted(_needs(one) & pinned.keys())) for name, one in installed.items()}
    service = _reached(_needs(distribution("dpsync")), graph)
    extras = _reached(_needs(distribution("dpsync"), extras=True), graph)
    return [
        LockedPart(
            name,
            version,
            hashes,
            marker,
            Use.SERVICE if name in service else Use.EXTRA if name in extras else Use.DEVELOPMENT,
            licence_of(installed[name]) if name in installed else "",
            graph.get(name, ()),
        )
        for name, (version, marker, hashes) in sorted(pinned.items())
    ]


def _pinned(lock: Path) -> Iterator[tuple[str, str, str, tuple[str, ...]]]:
    for block in re.split(r"\n(?=[A-Za-z0-9])", lock.read_text(encoding="utf-8")):
        head = next((line for line in block.splitlines() if line and not line.startswith("#")), "")
        if found := _PINNED.match(head):
            yield canonicalize_name(found[1]), found[2], found[3] or "", tuple(_HASH.findall(block))


def _installed(name: str) -> Distribution | None:
    try:
        return distribution(name)
    except PackageNotFoundError:
        return None


def licence_of(one: Distribution) -> str:
    """As its metadata has it: an expression, else a short text, else its classifiers; "" for none."""
    said = one.metadata
    if expression := (said.get_all("License-Expression") or [""])[0]:
        return str(expression)
    short = str((said.get_all("License") or [""])[0]).strip()
    if short and "\n" not in short and len(short) <= 60 and short != "UNKNOWN":
        return short
    classified = [str(line) for line in said.get_all("Classifier") or () if str(line).startswith(_CLASSIFIER)]
    return " OR ".join(line.removeprefix(_CLASSIFIER) for line in classified)


def _needs(one: Distribution, *, extras: bool = False) -> set[str]:
    found = set()
    for line in one.requires or ():
        needed = Requirement(line)
        if extras or needed.marker is None or needed.marker.evaluate({"extra": ""}):
            found.add(str(canonicalize_name(needed.name)))
    return found


def _reached(begin: set[str], graph: Mapping[str, tuple[str, ...]]) -> set[str]:
    found: set[str] = set()
    waiting = [name for name in begin if name in graph]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(graph[name])
    return found
