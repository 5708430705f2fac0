"""What people type into a page: how long it may be, and what of it is kept."""

import re
from datetime import date
from enum import StrEnum
from hashlib import sha256
from typing import TypeVar
from urllib.parse import parse_qsl

from starlette.requests import Request

from dpsync.intake import body as bodies

E = TypeVar("E", bound=StrEnum)

LONGEST_NAME = 200
LONGEST_REMARK = 2000
LONGEST_LETTER = 10_000
LONGEST_FORM_WITH_A_LETTER = 128 * 1024
"""Bytes. A letter of another script is nine of them a character, and there are a reason and other answers."""

TOKEN = re.compile(r"[A-Za-z0-9_-]{32,128}")
"""The secret part of a link; anything else is not even looked up."""

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff\u2028\u2029]")


def too_long(name: str, remark: str) -> str:
    """What is said where one is longer than it may be, else nothing."""
    if len(name) > LONGEST_NAME or len(remark) > LONGEST_REMARK:
        return f"Please keep the remark below {LONGEST_REMARK} characters and the name below {LONGEST_NAME}."
    return ""


def letter_problem(letter: str) -> str:
    """What is said where the text of a letter is longer than it may be, else nothing."""
    if len(letter) > LONGEST_LETTER:
        return f"Please keep the text of the letter below {LONGEST_LETTER:,} characters, or leave it empty."
    return ""


def digest_of(letter: str) -> str:
    """The SHA-256 of the text of a letter as `plain` gives it, in UTF-8; "" where nobody typed one."""
    return sha256(letter.encode()).hexdigest() if letter else ""


def plain(text: str) -> str:
    """The text without control characters and blanks at its ends."""
    return _CONTROL.sub(" ", text.replace("\r\n", "\n")).strip()


async def fields_of(request: Request, cap: int, most: int = 12) -> dict[str, str]:
    """The fields of a form; what is no form, or holds a field twice, counts as an empty one. Raises as `body.read`."""
    raw = await bodies.read(request, cap)
    try:
        pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=most)
    except ValueError:
        return {}
    fields = dict(pairs)
    return fields if len(fields) == len(pairs) else {}


def day_of(text: str) -> date | None:
    """The day that was typed; None where it is none, or none from which others can be counted (1970 to 9998)."""
    try:
        day = date.fromisoformat(text.strip())
    except ValueError:
        return None
    return day if 1970 <= day.year <= 9998 else None


def one_of(kind: type[E], text: str) -> E | None:
    """The one of a closed set that was chosen; None where it is none of them."""
    return kind(text) if text in {one.value for one in kind} else None
