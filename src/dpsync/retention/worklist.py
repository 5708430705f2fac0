"""The weekly work list: made, mailed, reminded of, escalated; and the alert that does not stop while one is overdue.

A list names everything that is due before the next one, also what older lists named and nobody answered for, so that
the newest list is always the whole truth. Letters go out only to an address that has confirmed itself.
"""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, func, select, update

from dpsync.alerts import Concern, raise_alert
from dpsync.connector import NoticeKind, Processor
from dpsync.connector_services import Mail, NoAnswer
from dpsync.ledger import entry
from dpsync.ledger.entry import EntryKind
from dpsync.mail import bounce_address, is_mailable
from dpsync.model import ActKind, ConversationState, Mode, Retention
from dpsync.propagation.contacts import is_confirmed
from dpsync.propagation.controller import Controller, token_hash
from dpsync.retention import clock
from dpsync.retention.conversations import (
    FIRST_CHECK,
    UNCLAIMED,
    A,
    C,
    act,
    committed_row,
    is_owed,
    move,
    of_act,
    opened,
)
from dpsync.retention.letter import Row, WorkLetter, written
from dpsync.store import conversation_tables as ct
from dpsync.store import tables as t
from dpsync.store.upsert import insert_or_ignore
from dpsync.store.writer import Unit

MOST_LISTED = 500
"""Rows of one list. The oldest come first; what does not fit is on the next, and overdue like the rest."""

NUMBERS = {NoticeKind.FIRST: 1, NoticeKind.REMINDER: 2, NoticeKind.BACKUP: 3}


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
    _plan(unit.connection, controller, made, list_id, name, NoticeKind.FIRST, now)
    return reference


def _plan(
    connection: Connection,
    controller: Controller,
    act_id: int,
    list_id: str,
    name: str,
    kind: NoticeKind,
    now: datetime,
) -> None:
    """Note a letter, Message-ID and all, before anything is sent; a repeat is the same letter."""
    message_id = controller.message_id(list_id, name, NUMBERS[kind])
    values = {"act_id": act_id, "kind": kind.value, "message_id": message_id, "created_at": now.replace(microsecond=0)}
    insert_or_ignore(connection, ct.retention_letter, values)


# --- letters


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


@dataclass(frozen=True, slots=True)
class Planned:
    """A letter that has not gone out yet, ready to be posted."""

    act_id: int
    kind: NoticeKind
    processor: str
    reference: str
    to: str = field(repr=False)
    letter: WorkLetter = field(repr=False)


def planned(connection: Connection, controller: Controller, now: datetime) -> list[Planned]:
    """The letters that wait and may go: their list still asks something, and their address has confirmed itself.

    None while we only observe: then nothing is ever sent.
    """
    if controller.safety.mode is Mode.OBSERVE:
        return []
    return [one for one in _waiting(connection, controller, now) if _may_go(connection, controller, one)]


def _may_go(connection: Connection, controller: Controller, one: Planned) -> bool:
    return is_mailable(one.to) and is_confirmed(connection, controller, one.processor, one.to)


def _waiting(connection: Connection, controller: Controller, now: datetime) -> Iterable[Planned]:
    letter = ct.retention_letter.c
    rows = connection.execute(
        select(letter.act_id, letter.kind, letter.message_id, letter.created_at)
        .add_columns(A.processor, A.reference, A.list_id, A.answer_by, A.at)
        .join(ct.retention_act, A.id == letter.act_id)
        .where(letter.sent_at.is_(None), A.expires_at > now)
        .order_by(letter.act_id, letter.kind)
    ).all()
    for row in rows:
        processor = controller.processors.get(row.processor)
        rule = processor.retention if processor else None
        kind = NoticeKind(row.kind)
        to = (rule.deputy if kind is NoticeKind.BACKUP else rule.admin) if rule else None
        written_on = clock.day_of(row.created_at, controller.zone)
        listed = _listed(controller, of_act(connection, row.act_id), row.at, written_on)
        if processor and rule and to and listed:
            letter_of = _letter(controller, processor, rule, row, kind, to, listed)
            yield Planned(row.act_id, kind, row.processor, row.reference, to, letter_of)


def _listed(controller: Controller, rows: Iterable[Any], made_at: datetime, written_on: date) -> list[Row]:
    """The rows of a list that nobody has answered for, as a mail of that day names them."""
    found = []
    for row in rows:
        ids = opened(controller, row)
        if ids is None or not is_owed(row, made_at):
            continue
        last_day = date.fromisoformat(row.until_on or row.due_on)
        marks = ("overdue", "should be gone, and was seen again")
        so = (last_day < written_on, row.state == ConversationState.CONTRADICTED)
        note = "; ".join(mark for mark, is_so in zip(marks, so, strict=True) if is_so)
        found.append(Row(row.reference, last_day, ids.contact, ids.conversation, ids.medium, ids.channel, note))
    return found


def _letter(
    controller: Controller, processor: Processor, rule: Retention, row: Any, kind: NoticeKind, to: str, rows: list[Row]
) -> WorkLetter:
    name, url = row.processor, controller.public_url
    return WorkLetter(
        kind=kind,
        reference=row.reference,
        message_id=row.message_id,
        first_id=controller.message_id(row.list_id, name, NUMBERS[NoticeKind.FIRST]),
        dated=row.created_at,
        to=to,
        controller=controller.name,
        processor_title=processor.title,
        months=rule.months,
        link=f"{url}/answers/{controller.answer_token(row.list_id, name, 0)}" if url else "",
        answer_by=clock.day_of(row.answer_by, controller.zone),
        cutoff=clock.cutoff_on(clock.day_of(row.created_at, controller.zone), rule.months),
        rows=rows,
        rehearsal=controller.rehearsal,
    )


def post(mail: Mail, one: Planned) -> int | None:
    """Hand one letter to the mail host. Its status; None where it did not take it, and it is tried again.

    Raises `MailRefused` (the host takes nothing for this address) and `CredentialsRejected` (nothing from us).
    """
    try:
        posted = mail.post(
            written(one.letter, mail.sender),
            to=one.to,
            envelope_sender=bounce_address(mail.sender, one.letter.tag),
            envelope_id=one.letter.tag,
            digest_key=one.letter.message_id.encode(),
        )
    except NoAnswer:
        return None
    return posted.evidence.status


def mark_posted(unit: Unit, controller: Controller, one: Planned, status: int, now: datetime) -> None:
    """That the next mail host took it. Twice changes nothing."""
    letter = ct.retention_letter.c
    posted = (letter.act_id == one.act_id) & (letter.kind == one.kind.value)
    sending = update(ct.retention_letter).where(posted, letter.sent_at.is_(None)).values(sent_at=now)
    if unit.connection.execute(sending).rowcount:
        event = EntryKind.REMINDED if one.kind is NoticeKind.REMINDER else EntryKind.NOTICE_SENT
        row = unit.connection.execute(select(ct.retention_letter).where(posted)).mappings().one()
        fields: dict[str, str | int] = {"dest": one.processor, "kind": "worklist", "cause": one.kind.value}
        fields |= {"ref": one.reference, "rows": committed_row(controller, "retention_letter", dict(row))}
        unit.append(None, entry.encode(event, now, http=status, n=len(one.letter.rows), **fields))


# --- the page behind the link


@dataclass(frozen=True, slots=True)
class Question:
    """What the link of a work list shows: references and days, no id of the vendor. `owed`: not answered for yet."""

    reference: str
    processor: str
    rows: tuple[tuple[str, date, bool], ...]


def question(connection: Connection, controller: Controller, token: str, now: datetime) -> Question | None:
    """What the holder of a link may see; None for a link that nobody made, or that is too old."""
    found = connection.execute(
        select(A.id, A.processor, A.reference, A.at).where(A.token_hash == token_hash(token), A.expires_at > now)
    ).one_or_none()
    if found is None:
        return None
    processor = controller.processors.get(found.processor)
    rows = tuple(
        (row.reference, date.fromisoformat(row.until_on or row.due_on), is_owed(row, found.at))
        for row in of_act(connection, found.id)
    )
    return Question(found.reference, processor.title if processor else found.processor, rows)


# --- the ladder


def tend(unit: Unit, controller: Controller, now: datetime) -> None:
    """Remind, escalate, and say what is overdue: once a cause and day, for as long as it is so."""
    for name, processor in controller.processors.items():
        if processor.retention is not None:
            _chase(unit, controller, name, processor.retention, now)
            _say_overdue(unit, controller, name, now)
            _say_unchecked(unit, controller, name, now)
    for name in sorted({one.processor for one in _held_back(unit.connection, controller, now)}):
        told = (
            "Its admin, or the deputy, has not confirmed the address by the link that was mailed: nothing goes there."
        )
        _alert(unit, controller, name, "contact", "operator", "A work list waits for an address to confirm", told, now)


def _held_back(connection: Connection, controller: Controller, now: datetime) -> list[Planned]:
    return [one for one in _waiting(connection, controller, now) if not _may_go(connection, controller, one)]


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
            _plan(unit.connection, controller, one.id, one.list_id, name, NoticeKind.REMINDER, now)


def _escalate(
    unit: Unit, controller: Controller, name: str, rule: Retention, one: Any, owed: int, now: datetime
) -> None:
    unit.connection.execute(update(ct.retention_act).where(A.id == one.id).values(escalated_at=now))
    if rule.deputy:
        _plan(unit.connection, controller, one.id, one.list_id, name, NoticeKind.BACKUP, now)
    fields: dict[str, str | int] = {"dest": name, "kind": "worklist", "ref": one.reference, "n": owed}
    unit.append(None, entry.encode(EntryKind.ESCALATED, now, **fields))
    told = f"Work list {one.reference}: {owed} of {one.conversations} are not answered for after a week."
    for role in _roles(controller):
        _alert(
            unit,
            controller,
            name,
            "unanswered",
            role,
            "A work list was left unanswered",
            told,
            now,
            about=f"{name}/{one.reference}",
        )


def _say_overdue(unit: Unit, controller: Controller, name: str, now: datetime) -> None:
    late = (C.processor == name) & C.state.in_(UNCLAIMED) & (C.overdue_at <= now)
    count = unit.connection.execute(select(func.count()).where(late)).scalar_one()
    if not count:
        return
    told = f"{count} private conversation(s) should have been deleted by now, and nobody says that they are."
    raised = [
        _alert(unit, controller, name, "overdue", role, "Private conversations are overdue", told, now)
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
        if _alert(unit, controller, name, "unchecked", "dpo", "Private conversations are not checked", told, now):
            unit.append(
                None, entry.encode(EntryKind.ALERT, now, dest=name, cause="retention-unchecked", n=len(missing))
            )


def _roles(controller: Controller) -> list[str]:
    return ["dpo", "deputy"] if controller.deputy else ["dpo"]


def _alert(
    unit: Unit,
    controller: Controller,
    name: str,
    cause: str,
    role: str,
    subject: str,
    told: str,
    now: datetime,
    *,
    about: str = "",
) -> bool:
    title = controller.title_of(name)
    return raise_alert(
        unit.connection,
        cause=f"retention-{cause}{'-deputy' if role == 'deputy' else ''}",
        role=role,
        subject=subject,
        body="`dpsync retention show` says what to do.",
        now=now,
        zone=controller.zone,
        concerns=[Concern(about or name, f"{title}: {told}", title)],
    )
