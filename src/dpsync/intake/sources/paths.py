"""Where a value stands in somebody else's JSON: a closed language, without expressions.

`record.email` is a name in a name, `emails[0].address` takes the first of a list, `after.id | before.id` the first of
two that is there, and `.` is the whole message. A name with other characters in it stands in double quotes:
`headers."x-id"`.
"""

import re
from dataclasses import dataclass
from enum import Enum

LONGEST = 200

_STEP = re.compile(r'\.?(?:"(?P<quoted>[^"]+)"|(?P<plain>[^\s.\[\]|"]+))|\[(?P<index>[0-9]{1,4})\]')


class Nothing(Enum):
    """What stands where nothing is: not even null."""

    NOTHING = "nothing"


NOTHING = Nothing.NOTHING


@dataclass(frozen=True, slots=True)
class Path:
    """One or more places, of which the first counts where something other than null stands."""

    text: str
    places: tuple[tuple[str | int, ...], ...]

    @classmethod
    def parse(cls, text: str) -> "Path":
        """Read a path. Raises `ValueError` with a sentence that names what is wrong."""
        if len(text) > LONGEST:
            raise ValueError(f"longer than {LONGEST} characters")
        return cls(text, tuple(_steps(place.strip()) for place in text.split("|")))

    def find(self, value: object) -> object:
        """What stands there; null only where nothing better does, `NOTHING` where no place is there at all."""
        found: object = NOTHING
        for place in self.places:
            here = _follow(value, place)
            if here is not NOTHING and here is not None:
                return here
            found = here if found is NOTHING else found
        return found


def _steps(place: str) -> tuple[str | int, ...]:
    if place == ".":
        return ()
    steps: list[str | int] = []
    at = 0
    while at < len(place):
        step = _STEP.match(place, at)
        begins = step is not None and (at == 0) == (not step[0].startswith("."))
        if step is None or not (begins or step["index"]):
            raise ValueError(f"not a path: {place!r}. It looks like record.email or emails[0].address")
        steps.append(int(step["index"]) if step["index"] else step["quoted"] or step["plain"])
        at = step.end()
    if not steps:
        raise ValueError("an empty path")
    return tuple(steps)


def _follow(value: object, place: tuple[str | int, ...]) -> object:
    for step in place:
        match step, value:
            case str(), dict() if step in value:
                value = value[step]
            case int(), list() if step < len(value):
                value = value[step]
            case _:
                return NOTHING
    return value
