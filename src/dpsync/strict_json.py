"""JSON that has one meaning only: what two parsers could read differently is refused before anything is built of it."""

import json
import re
from typing import NoReturn

from dpsync.errors import PayloadInvalid

DEEPEST = 16
LONGEST_NUMBER = 19
"""Digits of the largest version that the store keeps (64 bits)."""
UNCLEAN = "holds NUL or half a surrogate pair"

# An unterminated string is eaten to its end, so that the scan stays linear on hostile bytes.
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[{\]}]', re.DOTALL)


def load(body: bytes, *, quoting: bool = False) -> object:
    """Read UTF-8 JSON, or raise `PayloadInvalid` with a sentence that repeats nothing of it.

    Refused: another encoding, a byte order mark, nesting beyond 16, a key twice in one object, `NaN` and `Infinity`,
    numbers beyond 19 digits, and NUL or half a surrogate pair in any string (RFC 8259 leaves all of these open).
    `quoting`: it quotes what strangers wrote, so strings may hold anything, and numbers a fraction. Otherwise one
    message with a NUL in it would keep a whole conversation out of sight; whoever keeps a string looks at it first.
    """
    if _too_deep(body):
        raise PayloadInvalid("", f"nested deeper than {DEEPEST}")
    problem = "is not JSON in UTF-8"
    try:
        # `json.loads` guesses UTF-16 and UTF-32 from bytes; so it is given text.
        value: object = json.loads(
            body.decode("utf-8"),
            object_pairs_hook=_once_each,
            parse_constant=_no_constant,
            parse_int=_bounded,
            parse_float=float if quoting else _no_fraction,
        )
    except PayloadInvalid as refusal:
        problem = refusal.problem
    except ValueError:
        pass  # its text may quote the body; ours is raised below, outside, so that it does not travel along as context
    else:
        # Raw control characters are refused by the parser; NUL and half a pair can only come escaped.
        if quoting or b"\\u" not in body or is_clean(value):
            return value
        problem = UNCLEAN
    raise PayloadInvalid("", problem)


def _too_deep(body: bytes) -> bool:
    if body.count(b"{") + body.count(b"[") <= DEEPEST:
        return False
    depth = 0
    for token in _TOKEN.finditer(body):
        mark = token[0]
        if mark in b"{[":
            depth += 1
            if depth > DEEPEST:
                return True
        elif mark in b"}]":
            depth -= 1
    return False


def _once_each(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise PayloadInvalid("", "a key stands twice in one object")
    return found


def _no_constant(_: str) -> NoReturn:
    raise PayloadInvalid("", "NaN and Infinity are not JSON")


def _bounded(digits: str) -> int:
    if len(digits) > LONGEST_NUMBER + 1:
        raise PayloadInvalid("", f"a number has more than {LONGEST_NUMBER} digits")
    return int(digits)


def _no_fraction(_: str) -> NoReturn:
    raise PayloadInvalid("", "no number here has a fraction or an exponent")


def is_clean(value: object) -> bool:
    """Whether each string in it can be stored and written: no NUL, and no half of a surrogate pair."""
    match value:
        case str():
            return "\x00" not in value and not any("\ud800" <= mark <= "\udfff" for mark in value)
        case dict():
            return all(is_clean(key) and is_clean(inner) for key, inner in value.items())
        case list():
            return all(is_clean(inner) for inner in value)
        case _:
            return True
