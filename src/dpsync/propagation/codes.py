"""The second factor of a link: a code mailed to the role's address, or the role's passphrase; with few tries.

Without it a link that was forwarded, logged by a proxy or opened by a scanner would be enough to see a person's name.
`table` is that of the link: the columns of a code are the same in each.
"""

import hmac
import secrets
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Connection, Row, Table, update

from dpsync.model import Role
from dpsync.propagation.controller import Controller
from dpsync.store.question_tables import question

DIGITS: Final = 6
VALID: Final = timedelta(minutes=10)
BETWEEN: Final = timedelta(minutes=1)
"""How soon another code may be mailed for one link."""

MOST_CODES: Final = 20
"""Codes for one link."""

MOST_WRONG: Final = 5
"""Wrong tries of one code; then it is worth nothing."""

MOST_WRONG_EVER: Final = 15
"""Wrong tries at one link; then whoever counts them locks it. A guesser finds one code in 60,000 links."""


class CodeCheck(StrEnum):
    """What came of a code that was typed in."""

    RIGHT = "right"
    WRONG = "wrong"
    NONE = "none"
    LOCKED = "locked"


def made(
    connection: Connection, controller: Controller, row: Row[Any], now: datetime, table: Table = question
) -> str | None:
    """A new code, to be mailed; an older one is worth nothing then. None where it is too soon, or too often.

    Of a role that has a passphrase, that is the code; it need not be mailed, so it is never too soon.
    """
    chosen = passphrase(controller, row)
    if chosen is None and not may_be_made(row, now):
        return None
    code = chosen or f"{secrets.randbelow(10**DIGITS):0{DIGITS}}"
    number = row.codes + 1
    values = {"code_mac": _mac(controller, row, number, code), "code_at": now, "codes": number, "wrong": 0}
    _set(connection, table, row, **values)
    return code


def passphrase(controller: Controller, row: Row[Any]) -> str | None:
    """What the role of a link has agreed to type, without its blanks; None where it gets a code."""
    chosen = controller.passphrases.get(Role(row.role))
    return None if chosen is None else "".join(chosen.get_secret_value().split())


def may_be_made(row: Row[Any], now: datetime) -> bool:
    """Whether another code may be mailed now."""
    # A clock that was put back must not keep people waiting.
    soon = row.code_at is not None and abs(now - row.code_at) < BETWEEN
    return not soon and row.codes < MOST_CODES


def unsent(connection: Connection, row: Row[Any], table: Table = question) -> None:
    """The mail host did not take the code: another may be made at once."""
    _set(connection, table, row, code_mac="", code_at=None)


def checked(
    connection: Connection, controller: Controller, row: Row[Any], code: str, now: datetime, table: Table = question
) -> CodeCheck:
    """Whether a code is the right one, which it is once. Each wrong one counts; after too many, the link must close."""
    if not row.code_mac or row.code_at is None or not timedelta(0) <= now - row.code_at < VALID:
        return CodeCheck.NONE
    if row.wrong >= MOST_WRONG:
        return CodeCheck.NONE
    given = _mac(controller, row, row.codes, "".join(code.split()))
    if hmac.compare_digest(given, row.code_mac):
        _set(connection, table, row, code_mac="")
        return CodeCheck.RIGHT
    ever = row.wrong_ever + 1
    _set(connection, table, row, wrong=row.wrong + 1, wrong_ever=ever)
    return CodeCheck.LOCKED if ever >= MOST_WRONG_EVER else CodeCheck.WRONG


def _set(connection: Connection, table: Table, row: Row[Any], **values: object) -> None:
    connection.execute(update(table).where(table.c.id == row.id).values(values))


def _mac(controller: Controller, row: Row[Any], number: int, code: str) -> str:
    return controller.keys.mac("code", f"{row.id}\n{number}\n{code}".encode()).hex()
