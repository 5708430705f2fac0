"""The second factor of a decision by link: a code mailed to the role's address, short-lived, with few tries.

Without it a link that was forwarded, logged by a proxy or opened by a scanner would be enough to see a person's name.
"""

import hmac
import secrets
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Connection, Row, update

from dpsync.propagation.controller import Controller
from dpsync.propagation.questions import Outcome, Q, close
from dpsync.store.question_tables import question

DIGITS: Final = 6
VALID: Final = timedelta(minutes=10)
BETWEEN: Final = timedelta(minutes=1)
"""How soon another code may be mailed for one question."""

MOST_CODES: Final = 20
"""Codes for one question."""

MOST_WRONG: Final = 5
"""Wrong tries of one code; then it is worth nothing."""

MOST_WRONG_EVER: Final = 15
"""Wrong tries at one question; then its link is locked. A guesser finds one code in 60,000 questions."""


class CodeCheck(StrEnum):
    """What came of a code that was typed in."""

    RIGHT = "right"
    WRONG = "wrong"
    NONE = "none"
    LOCKED = "locked"


def made(connection: Connection, controller: Controller, row: Row[Any], now: datetime) -> str | None:
    """A new code, to be mailed; an older one is worth nothing then. None where it is too soon, or too often."""
    if not may_be_made(row, now):
        return None
    code = f"{secrets.randbelow(10**DIGITS):0{DIGITS}}"
    number = row.codes + 1
    values = {"code_mac": _mac(controller, row, number, code), "code_at": now, "codes": number, "wrong": 0}
    connection.execute(update(question).where(Q.id == row.id).values(values))
    return code


def may_be_made(row: Row[Any], now: datetime) -> bool:
    """Whether another code may be mailed now."""
    # A clock that was put back must not keep people waiting.
    soon = row.code_at is not None and abs(now - row.code_at) < BETWEEN
    return not soon and row.codes < MOST_CODES


def unsent(connection: Connection, row: Row[Any]) -> None:
    """The mail host did not take the code: another may be made at once."""
    connection.execute(update(question).where(Q.id == row.id).values(code_mac="", code_at=None))


def checked(connection: Connection, controller: Controller, row: Row[Any], code: str, now: datetime) -> CodeCheck:
    """Whether a code is the right one, which it is once. Each wrong one counts; too many lock the link."""
    if not row.code_mac or row.code_at is None or not timedelta(0) <= now - row.code_at < VALID:
        return CodeCheck.NONE
    if row.wrong >= MOST_WRONG:
        return CodeCheck.NONE
    given = _mac(controller, row, row.codes, "".join(code.split()))
    if hmac.compare_digest(given, row.code_mac):
        connection.execute(update(question).where(Q.id == row.id).values(code_mac=""))
        return CodeCheck.RIGHT
    ever = row.wrong_ever + 1
    connection.execute(update(question).where(Q.id == row.id).values(wrong=row.wrong + 1, wrong_ever=ever))
    if ever >= MOST_WRONG_EVER:
        close(connection, row, Outcome.LOCKED, now)
        return CodeCheck.LOCKED
    return CodeCheck.WRONG


def _mac(controller: Controller, row: Row[Any], number: int, code: str) -> str:
    return controller.keys.mac("code", f"{row.id}\n{number}\n{code}".encode()).hex()
