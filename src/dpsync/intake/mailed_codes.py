"""A code is mailed to the role that a link was mailed to: made in one transaction, sent outside of it.

Of a role that has a passphrase nothing is mailed: it is asked for.
"""

from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, Table

from dpsync.connector_services import MailRefused, NoAnswer
from dpsync.errors import CredentialsRejected
from dpsync.installation import Installation
from dpsync.model import Role
from dpsync.propagation import codes, question_letters
from dpsync.store.writer import Unit

Find = Callable[[Connection], Row[Any] | None]
"""Finds the link's row; None where the link opens nothing any more."""


class Sent(StrEnum):
    """What came of asking for a code."""

    YES = "yes"
    TOO_SOON = "too soon"
    NO = "no"


def send(there: Installation, table: Table, find: Find, what: str, now: datetime) -> Sent:
    """Mail a code that opens a link; `what`: of what, in few words. It waits for the mail host: call it in a thread."""

    def work(unit: Unit) -> tuple[Row[Any], str] | None:
        row = find(unit.connection)
        code = codes.made(unit.connection, there.controller, row, now, table) if row else None
        fresh = find(unit.connection)
        return (fresh, code) if code and fresh else None

    made = there.write(work)
    if made is None or there.mail is None:
        return Sent.TOO_SOON
    row, code = made
    if Role(row.role) in there.controller.passphrases:
        return Sent.YES
    try:
        question_letters.post_code(there.controller, there.mail, there.address_of(Role(row.role)), row, code, what, now)
    except (NoAnswer, MailRefused, CredentialsRejected):
        there.write(lambda unit: codes.unsent(unit.connection, row, table))
        return Sent.NO
    return Sent.YES
