"""The weekly work list: what is due before the next one, also what older lists named and nobody answered for.

So the newest list is always the whole truth. Behind its link a page shows it.
"""

import secrets
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import Connection, select

from dpsync.connector import NoticeKind
from dpsync.ledger.entry import EntryKind
from dpsync.model import ActKind, ConversationState
from dpsync.propagation.controller import Controller, token_hash
from dpsync.retention import clock
from dpsync.retention.conversations import UNCLAIMED, A, C, act, is_owed, last_day_of, move, of_act
from dpsync.retention.mailing import plan
from dpsync.store.writer import Unit

MOST_LISTED = 500
"""Rows of one list. The oldest come first; what does not fit is on the next, and overdue like the rest."""


def make_list(unit: Unit, controller: Controller, name: str, now: datetime) -> str | None:
    """Put what is due before the next list on a list, and plan its letter. Its reference; None where nothing is due."""
    if controller.processors[name].retention is None:
        return None
    until = clock.overdue_at(clock.day_of(now, controller.zone) + clock.AHEAD, controller.zone)
    rows = unit.connection.execute(
        select(C.pseudonym, C.state)
        .where(C.processor == name, C.state.in_(UNCLAIMED), C.overdue_at <= until)
        .order_by(C.overdue_at, C.reference)
        .limit(MOST_LISTED)
    ).all()
    if not rows:
        return None
    list_id = secrets.token_hex(16)
    reference = controller.reference(list_id, name, 0)
    made = act(
        unit,
        controller,
        name,
        ActKind.LISTED,
        [row.pseudonym for row in rows],
        now,
        event=EntryKind.HANDED_OVER,
        said={"ref": reference},
        list_id=list_id,
        reference=reference,
        token_hash=token_hash(controller.answer_token(list_id, name, 0)),
        answer_by=now + clock.ANSWER_WITHIN,
        expires_at=now + clock.LINK_VALID,
    )
    # What is contradicted stays so until somebody answers for it: a list is no excuse.
    news = [row.pseudonym for row in rows if row.state != ConversationState.CONTRADICTED]
    move(unit.connection, name, news, ConversationState.LISTED)
    plan(unit.connection, controller, made, list_id, name, NoticeKind.FIRST, now)
    return reference


# --- the page behind the link


@dataclass(frozen=True, slots=True)
class WorkListPage:
    """What whoever holds the link of a work list may see: references and last days, no id of the vendor.

    `rows`: reference, last day, whether nobody has answered for it yet.
    """

    reference: str
    processor: str
    rows: tuple[tuple[str, date, bool], ...]

    @property
    def owed(self) -> int:
        """How many rows nobody has answered for."""
        return sum(owed for _, _, owed in self.rows)


def page_of(connection: Connection, controller: Controller, token: str, now: datetime) -> WorkListPage | None:
    """What the holder of a link may see; None for a link that nobody made, or that is too old."""
    found = connection.execute(
        select(A.id, A.processor, A.reference, A.at).where(A.token_hash == token_hash(token), A.expires_at > now)
    ).one_or_none()
    if found is None:
        return None
    rows = tuple((row.reference, last_day_of(row), is_owed(row, found.at)) for row in of_act(connection, found.id))
    return WorkListPage(found.reference, controller.title_of(found.processor), rows)
