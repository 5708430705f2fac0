"""What is owed of work lists, looked at each hour: reminded of, escalated, and told of daily for as long as it is."""

from datetime import datetime
from typing import Any

from sqlalchemy import func, select, update

from dpsync.connector import NoticeKind
from dpsync.ledger import entry
from dpsync.ledger.entry import EntryKind
from dpsync.model import ActKind, Retention
from dpsync.propagation.controller import Controller
from dpsync.retention import clock, mailing
from dpsync.retention.acts import alert
from dpsync.retention.conversations import FIRST_CHECK, UNCLAIMED, A, C, is_owed, of_act
from dpsync.store import conversation_tables as ct
from dpsync.store import tables as t
from dpsync.store.writer import Unit


def tend(unit: Unit, controller: Controller, now: datetime) -> None:
    """Remind, escalate, and say what is overdue: once a cause and day, for as long as it is so."""
    for name, processor in controller.processors.items():
        if processor.retention is not None:
            _chase(unit, controller, name, processor.retention, now)
            _say_overdue(unit, controller, name, now)
            _say_unchecked(unit, controller, name, now)
    for name in sorted({one.processor for one in mailing.held_back(unit.connection, controller, now)}):
        told = (
            "Its admin, or the deputy, has not confirmed the address by the link that was mailed: nothing goes there."
        )
        subject = "A work list waits for an address to confirm"
        alert(unit, controller, name, "contact", subject, told, now, role="operator")


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
    told = f"Work list {one.reference}: {owed} of {one.conversations} are not answered for after a week."
    for role in _roles(controller):
        about = f"{name}/{one.reference}"
        alert(
            unit, controller, name, "unanswered", "A work list was left unanswered", told, now, role=role, about=about
        )


def _say_overdue(unit: Unit, controller: Controller, name: str, now: datetime) -> None:
    late = (C.processor == name) & C.state.in_(UNCLAIMED) & (C.overdue_at <= now)
    count = unit.connection.execute(select(func.count()).where(late)).scalar_one()
    if not count:
        return
    told = f"{count} private conversation(s) should have been deleted by now, and nobody says that they are."
    raised = [
        alert(unit, controller, name, "overdue", "Private conversations are overdue", told, now, role=role)
        for role in _roles(controller)
    ]
    if any(raised):
        unit.append(None, entry.encode(EntryKind.ALERT, now, dest=name, cause="retention-overdue", n=count))


def _say_unchecked(unit: Unit, controller: Controller, name: str, now: datetime) -> None:
    """The monthly check, and the statement about what is open, are owed from a month after the last."""
    today = clock.day_of(now, controller.zone).isoformat()
    first = select(t.meta.c.value).where(t.meta.c.key == f"{FIRST_CHECK}{name}")
    first_on = unit.connection.execute(first).scalar_one_or_none()
    missing = []
    for kind, words in (
        (ActKind.CHECKED, "the monthly check of the export"),
        (ActKind.NO_OPEN, "the look at open ones"),
    ):
        newest = select(func.max(A.next_on)).where(A.processor == name, A.kind == kind.value)
        next_on = unit.connection.execute(newest).scalar_one() or first_on
        if next_on is not None and today > next_on:
            missing.append(words)
    if missing:
        told = f"Missing for more than a month: {' and '.join(missing)}."
        if alert(unit, controller, name, "unchecked", "Private conversations are not checked", told, now):
            unit.append(
                None, entry.encode(EntryKind.ALERT, now, dest=name, cause="retention-unchecked", n=len(missing))
            )


def _roles(controller: Controller) -> list[str]:
    return ["dpo", "deputy"] if controller.deputy else ["dpo"]
