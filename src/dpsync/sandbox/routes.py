"""Path templates: `/lists/{list_id}` and what answers there."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

H = TypeVar("H")


@dataclass(frozen=True, slots=True)
class Route(Generic[H]):
    """One path template with what answers each method."""

    template: str
    pattern: re.Pattern[str]
    handlers: Mapping[str, H]


def compiled(table: Mapping[str, Mapping[str, H]]) -> list[Route[H]]:
    """The routes of a table of templates; each `{name}` takes one path segment."""
    return [Route(template, _pattern(template), handlers) for template, handlers in table.items()]


def found(routes: Iterable[Route[H]], path: str) -> tuple[Route[H] | None, Mapping[str, str]]:
    """The first route of this path, and what its names stand for."""
    for route in routes:
        if match := route.pattern.fullmatch(path):
            return route, match.groupdict()
    return None, {}


def _pattern(template: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(template)))
