"""What a hidden field of a page proves, without anything being kept: that the form is ours, of this link, and recent.

There is no cookie and no session, so a page elsewhere has nothing to borrow. It cannot make this field either.
"""

import hmac
from datetime import UTC, datetime, timedelta
from typing import Final

from dpsync.sealing import Keys

FORM: Final = timedelta(hours=1)
"""How long the form of a page may be sent."""

TICKET: Final = timedelta(minutes=30)
"""How long after the right code a decision may be sent."""


def form(keys: Keys, question_id: str, now: datetime) -> str:
    """For every form: whoever sends it has opened the page behind the link."""
    return _made(keys, "form", question_id, "-", now + FORM)


def is_form(keys: Keys, question_id: str, text: str, now: datetime) -> bool:
    """Whether `form` made it, within its time."""
    return _word(keys, "form", question_id, text, now) is not None


def ticket(keys: Keys, question_id: str, seen: str, now: datetime) -> str:
    """For the decision: whoever sends it has given the right code. `seen`: a digest of what they were shown."""
    return _made(keys, "ticket", question_id, seen, now + TICKET)


def seen_by(keys: Keys, question_id: str, text: str, now: datetime) -> str | None:
    """What the holder of a ticket was shown; None for one that `ticket` did not make, or that is over its time."""
    return _word(keys, "ticket", question_id, text, now)


def _made(keys: Keys, kind: str, question_id: str, word: str, until: datetime) -> str:
    seconds = int(until.timestamp())
    return f"{seconds}.{word}.{_mac(keys, kind, question_id, word, seconds)}"


def _word(keys: Keys, kind: str, question_id: str, text: str, now: datetime) -> str | None:
    seconds, _, rest = text.partition(".")
    word, _, mac = rest.partition(".")
    if not (seconds.isascii() and seconds.isdigit() and len(seconds) <= 12):
        return None
    good = hmac.compare_digest(_mac(keys, kind, question_id, word, int(seconds)).encode(), mac.encode())
    return word if good and now < datetime.fromtimestamp(int(seconds), UTC) else None


def _mac(keys: Keys, kind: str, question_id: str, word: str, seconds: int) -> str:
    return keys.mac("decision page", f"{kind}\n{question_id}\n{word}\n{seconds}".encode()).hex()
