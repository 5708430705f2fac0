"""The weekly work list: made, reminded of, escalated; and the alert that does not stop while one is overdue.

A list names everything that is due before the next one, also what older lists named and nobody answered for, so that
the newest list is always the whole truth. Behind its link a page shows it.
"""

import secrets
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, func, select, update

from dpsync.alert_causes import AlertCause
from dpsync.connector import NoticeKind
from dpsync.ledger import entry
from dpsync.ledger.entry import EntryKind
from dpsync.model import ActKind, ConversationState, Retention
from dpsync.propagation.controller import Controller, token_hash
from dpsync.retention import clock, mailing
from dpsync.retention.acts import alert
from dpsync.retention.conversations import (
    FIRST_CHECK,
    UNCLAIMED,
    A,
    C,
    act,
    is_owed,
    last_day_of,
    list_behind,
    move,
    of_act,
)
from dpsync.store import conversation_tables as ct
from dpsync.store import meta
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
    mailing.plan(unit.connection, controller, made, list_id, name, NoticeKind.FIRST, now)
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
    found = list_behind(connection, token, now)
    if found is None:
        return None
    rows = tuple((row.reference, last_day_of(row), is_owed(row, found.at)) for row in of_act(connection, found.id))
    return WorkListPage(found.reference, controller.title_of(found.processor), rows)


# --- the ladder


def tend(unit: Unit, controller: Controller, now: datetime) -> None:
    """Remind, escalate, and say what is overdue: once a cause and day, for as long as it is so."""
    for name, processor in controller.processors.items():
        if processor.retention is not None:
            _chase(unit, controller, name, processor.retention, now)
            _say_overdue(unit, controller, name, now)
            _say_unchecked(unit, controller, name, now)
    for name in sorted({one.processor for one in mailing.held_back(unit.connection, controller, now)}):
        told = (
            "The admin or the deputy has not confirmed the address by the link in our email. Until then dpsync sends "
            "them no list."
        )
        subject = "A work list waits for an address to confirm"
        alert(unit, controller, name, AlertCause.RETENTION_CONTACT, subject, told, now, role="operator")


def _chase(unit: Unit, controller: Controller, name: str, rule: Retention, now: datetime) -> None:
    of_it = (A.processor == name) & (A.kind == ActKind.LISTED.value)
    newest = unit.connection.execute(select(func.max(A.id)).where(of_it)).scalar_one()
    lists = unit.connection.execute(
        select(ct.retention_act).where(of_it, A.escalated_at.is_(None), A.expires_at > now).order_by(A.id)
    ).all()
    for one in lists:
        half = one.at + (one.answer_by - one.at) / 2
        owed = sum(is_owed(row, one.at) for row in of_act(unit.connection, one.id)) if now >= half else 0
        if not owed:
            continue
        if now >= one.answer_by:
            _escalate(unit, controller, name, rule, one, owed, now)
        elif one.reminded_at is None and one.id == newest:
            # A newer list says it all again; that an older one was left unanswered is still escalated in its time.
            unit.connection.execute(update(ct.retention_act).where(A.id == one.id).values(reminded_at=now))
            mailing.plan(unit.connection, controller, one.id, one.list_id, name, NoticeKind.REMINDER, now)


def _escalate(
    unit: Unit, controller: Controller, name: str, rule: Retention, one: Any, owed: int, now: datetime
) -> None:
    unit.connection.execute(update(ct.retention_act).where(A.id == one.id).values(escalated_at=now))
    if rule.deputy:
        mailing.plan(unit.connection, controller, one.id, one.list_id, name, NoticeKind.BACKUP, now)
    fields: dict[str, str | int] = {"dest": name, "kind": "worklist", "ref": one.reference, "n": owed}
    unit.append(None, entry.encode(EntryKind.ESCALATED, now, **fields))
    told = f"Work list {one.reference}: after a week, {owed} of {one.conversations} have no answer."
    for role in _roles(controller):
        about = f"{name}/{one.reference}"
        alert(
            unit,
            controller,
            name,
            AlertCause.RETENTION_UNANSWERED,
            "A work list was left unanswered",
            told,
            now,
            role=role,
            about=about,
        )


def _say_overdue(unit: Unit, controller: Controller, name: str, now: datetime) -> None:
    late = (C.processor == name) & C.state.in_(UNCLAIMED) & (C.overdue_at <= now)
    count = unit.connection.execute(select(func.count()).where(late)).scalar_one()
    if not count:
        return
    told = f"{count} private conversation(s) should have been deleted by now, and nobody says that they are."
    raised = [
        alert(
            unit,
            controller,
            name,
            AlertCause.RETENTION_OVERDUE,
            "Private conversations are overdue",
            told,
            now,
            role=role,
        )
        for role in _roles(controller)
    ]
    if any(raised):
        unit.append(None, entry.encode(EntryKind.ALERT, now, dest=name, cause="retention-overdue", n=count))


def _say_unchecked(unit: Unit, controller: Controller, name: str, now: datetime) -> None:
    """The monthly check, and the statement about what is open, are owed from a month after the last."""
    today = clock.day_of(now, controller.zone).isoformat()
    first_on = meta.value_of(unit.connection, f"{FIRST_CHECK}{name}")
    missing = []
    for kind, words in (
        (ActKind.CHECKED, "the monthly check of the export"),
        (ActKind.NO_OPEN, "the look at open conversations"),
    ):
        newest = select(func.max(A.next_on)).where(A.processor == name, A.kind == kind.value)
        next_on = unit.connection.execute(newest).scalar_one() or first_on
        if next_on is not None and today > next_on:
            missing.append(words)
    if missing:
        told = f"Missing for more than a month: {' and '.join(missing)}."
        if alert(
            unit, controller, name, AlertCause.RETENTION_UNCHECKED, "Private conversations are not checked", told, now
        ):
            unit.append(
                None, entry.encode(EntryKind.ALERT, now, dest=name, cause="retention-unchecked", n=len(missing))
            )


def _roles(controller: Controller) -> list[str]:
    return ["dpo", "deputy"] if controller.deputy else ["dpo"]
