"""The letters of work lists: planned before anything is sent, posted once their address has confirmed itself."""

from collections.abc import Iterable
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, select, update

from dpsync.connector import NoticeKind, Processor
from dpsync.connector_services import Mail, NoAnswer
from dpsync.errors import KeyProblem
from dpsync.ledger import entry
from dpsync.ledger.entry import EntryKind
from dpsync.mail import bounce_address, is_mailable
from dpsync.model import ConversationState, Mode, Retention
from dpsync.propagation.contacts import is_confirmed
from dpsync.propagation.controller import Controller
from dpsync.retention import clock
from dpsync.retention.conversations import A, VendorIds, committed_row, is_owed, last_day_of, of_act, opened
from dpsync.retention.letter import Row, WorkLetter, written
from dpsync.store import conversation_tables as ct
from dpsync.store.upsert import insert_or_ignore
from dpsync.store.writer import Unit

NUMBERS = {NoticeKind.FIRST: 1, NoticeKind.REMINDER: 2, NoticeKind.BACKUP: 3}


def plan(
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


def planned(connection: Connection, controller: Controller, now: datetime) -> list[WorkLetter]:
    """The letters that wait and may go: their list still asks something, and their address has confirmed itself.

    None while we only observe: then nothing is ever sent.
    """
    if controller.safety.mode is Mode.OBSERVE:
        return []
    return [one for one in _waiting(connection, controller, now) if _may_go(connection, controller, one)]


def held_back(connection: Connection, controller: Controller, now: datetime) -> list[WorkLetter]:
    """The letters that wait for their address to confirm itself."""
    return [one for one in _waiting(connection, controller, now) if not _may_go(connection, controller, one)]


def _may_go(connection: Connection, controller: Controller, one: WorkLetter) -> bool:
    return is_mailable(one.to) and is_confirmed(connection, controller, one.processor, one.to)


def _waiting(connection: Connection, controller: Controller, now: datetime) -> Iterable[WorkLetter]:
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
            yield _letter(controller, processor, rule, row, kind, to, listed)


def _listed(controller: Controller, rows: Iterable[Any], made_at: datetime, written_on: date) -> list[Row]:
    """The rows of a list that nobody has answered for, as a mail of that day names them."""
    found = []
    for row in rows:
        ids, unreadable = _ids(controller, row)
        if ids is None or not is_owed(row, made_at):
            continue
        last_day = last_day_of(row)
        marks = ("overdue", "should be gone, and was seen again", "its ids cannot be read: ask whoever runs dpsync")
        so = (last_day < written_on, row.state == ConversationState.CONTRADICTED, unreadable)
        note = "; ".join(mark for mark, is_so in zip(marks, so, strict=True) if is_so)
        found.append(Row(row.reference, last_day, ids.contact, ids.conversation, ids.medium, ids.channel, note))
    return found


def _ids(controller: Controller, row: Any) -> tuple[VendorIds | None, bool]:
    """How the vendor calls it, and whether that cannot be read: then it is listed so, and keeps no other from it."""
    try:
        return opened(controller, row), False
    except KeyProblem:
        return VendorIds("not known", "not known"), True


def _letter(
    controller: Controller, processor: Processor, rule: Retention, row: Any, kind: NoticeKind, to: str, rows: list[Row]
) -> WorkLetter:
    name, url = row.processor, controller.public_url
    return WorkLetter(
        act_id=row.act_id,
        processor=name,
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


def post(mail: Mail, one: WorkLetter) -> int | None:
    """Hand one letter to the mail host. Its status; None where it did not take it, and it is tried again.

    Raises `MailRefused` (the host takes nothing for this address) and `CredentialsRejected` (nothing from us).
    """
    try:
        posted = mail.post(
            written(one, mail.sender),
            to=one.to,
            envelope_sender=bounce_address(mail.sender, one.tag),
            envelope_id=one.tag,
            digest_key=one.message_id.encode(),
        )
    except NoAnswer:
        return None
    return posted.evidence.status


def mark_posted(unit: Unit, controller: Controller, one: WorkLetter, status: int, now: datetime) -> None:
    """That the next mail host took it. Twice changes nothing."""
    letter = ct.retention_letter.c
    posted = (letter.act_id == one.act_id) & (letter.kind == one.kind.value)
    sending = update(ct.retention_letter).where(posted, letter.sent_at.is_(None)).values(sent_at=now)
    if unit.connection.execute(sending).rowcount:
        event = EntryKind.REMINDED if one.kind is NoticeKind.REMINDER else EntryKind.NOTICE_SENT
        row = unit.connection.execute(select(ct.retention_letter).where(posted)).mappings().one()
        fields: dict[str, str | int] = {"dest": one.processor, "kind": "worklist", "cause": one.kind.value}
        fields |= {"ref": one.reference, "rows": committed_row(controller, "retention_letter", dict(row))}
        unit.append(None, entry.encode(event, now, http=status, n=len(one.rows), **fields))
