"""The scope of an opt-out: which part of all marketing somebody left, where it was not all of it. "" is all of it.

As text it is `topic=events, channel=email`: the same in a request, in the settings, in the store and in the ledger. The
names are the main database's own, never a person's.
"""

import re
from collections.abc import Mapping
from typing import Final

KINDS: Final = ("audience", "list", "topic", "channel")
"""By what a part is called, in the order in which they stand in the text."""

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,39}")
LONGEST: Final = 120
"""Characters; an entry of the ledger takes no more."""

EVERYTHING: Final = "everything"
"""What a scope stands for at a processor that can only opt out of all, where its settings say so."""
NOTHING: Final = "nothing"
"""The same where it does not concern a processor at all."""


def spelled(named: Mapping[str, str]) -> str:
    """The one text of these names by kind. Raises ValueError, which says what is wrong and no value."""
    if not named or not named.keys() <= set(KINDS):
        raise ValueError(f"must hold one or more of {', '.join(KINDS)}")
    if not all(NAME.fullmatch(name) for name in named.values()):
        raise ValueError("must name each with letters, digits and . _ / - (at most 40, and no space)")
    text = ", ".join(f"{kind}={named[kind]}" for kind in KINDS if kind in named)
    if len(text) > LONGEST:
        raise ValueError(f"is longer than {LONGEST} characters as a whole")
    return text


def read(text: str) -> str:
    """A scope as somebody typed it, in its one text: `channel=email,topic=events`. Raises ValueError as `spelled`."""
    pairs = [one.partition("=") for one in text.split(",")]
    named = {kind.strip(): name.strip() for kind, equals, name in pairs if equals}
    if len(named) != len(pairs):
        raise ValueError("must be written as topic=events, or topic=events, channel=email")
    return spelled(named)


def named(scope: str) -> dict[str, str]:
    """The names of a scope by their kinds; none of all marketing."""
    return dict(part.split("=") for part in scope.split(", ")) if scope else {}


def in_words(scope: str) -> str:
    """As people read it: `topic events, channel email`; "" for all marketing."""
    return ", ".join(f"{kind} {name}" for kind, name in named(scope).items())


def may_concern(scope: str, mailing: str) -> bool:
    """Whether what belongs to the scope `mailing` may be what somebody left: not where both name another of a kind."""
    other = named(mailing)
    return all(other.get(kind, name) == name for kind, name in named(scope).items())
