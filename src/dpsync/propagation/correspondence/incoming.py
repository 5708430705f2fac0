"""What came in by mail: reports of delivery, automatic replies, and replies that a person must read.

A message counts only where it repeats the tag of a notice (160 bits that nobody can guess); a subject decides nothing,
and no word of a text does. Sources: RFC 3461, 3464, 3834.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, assert_never

from sqlalchemy import Connection, insert, select, update

from dpsync.alert_causes import AlertCause
from dpsync.alerts import raise_alert
from dpsync.ledger import entry, rows
from dpsync.ledger.entry import EntryKind
from dpsync.mail import domain_of
from dpsync.propagation.alert_texts import alert
from dpsync.propagation.commitments import Beside, commit_key_for, rows_said
from dpsync.propagation.contacts import present
from dpsync.propagation.controller import Controller
from dpsync.propagation.correspondence.undelivered import is_about_no_person
from dpsync.propagation.record import Update, record
from dpsync.propagation.rounds import is_of_an_earlier_round
from dpsync.propagation.rules.lifecycle import Answer, AnswerKind
from dpsync.store import tables as t
from dpsync.store.writer import Unit


class MailKind(StrEnum):
    """What a message is. The first five are the actions of a delivery report (RFC 3464, 2.3.3)."""

    DELIVERED = "delivered"
    RELAYED = "relayed"
    EXPANDED = "expanded"
    DELAYED = "delayed"
    FAILED = "failed"
    AUTOMATIC = "automatic"
    REPLY = "reply"
    UNCLEAR = "unclear"


class WhyRead(StrEnum):
    """Why a person must read it."""

    REPLY = "reply"
    OTHER_DOMAIN = "other_domain"
    NO_NOTICE = "no_notice"
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True)
class Incoming:
    """One message, without a word of its text.

    `tags`: what may be a notice's, the most trustworthy first. `digest`: SHA-256 (hex) of the bytes. `status`: the
    status code of a report, such as 5.1.1. `domain`: that of its one sender, "" where there are several or none.
    `vouched`: the receiving host noted a DMARC pass; forgeable where that host lets such a note through.
    """

    kind: MailKind
    digest: str
    tags: tuple[str, ...] = field(default=(), repr=False)
    status: str = ""
    domain: str = field(default="", repr=False)
    vouched: bool = False


_COUNTED = {MailKind.DELIVERED: AnswerKind.DELIVERED, MailKind.FAILED: AnswerKind.BOUNCED}
_SPEAKS_UP = {MailKind.DELAYED: "delayed", MailKind.REPLY: "replied"}
_REMARKS = {
    MailKind.RELAYED: "passed on to a host that sends no reports: no further confirmation is possible",
    MailKind.EXPANDED: "passed on to the members of a list: each of them may still fail",
    MailKind.DELAYED: "delayed, and still tried",
    MailKind.AUTOMATIC: "an automatic reply: it acknowledges nothing",
}


def take(unit: Unit, controller: Controller, one: Incoming, now: datetime) -> bool:
    """Record a message, once for the same bytes. Whether it waits for a person.

    If we crash after the commit and before the file is moved, the next look finds it known, and changes nothing.
    """
    p = t.post.c
    known = unit.connection.execute(select(p.waits_for, p.read_at).where(p.digest == one.digest)).one_or_none()
    if known is not None:
        return bool(known.waits_for) and known.read_at is None
    notice = _notice(unit.connection, one.tags)
    waits = _waits(unit.connection, controller, one, notice)
    if (
        notice is None
        and one.kind in {MailKind.FAILED, MailKind.AUTOMATIC}
        and is_about_no_person(unit, controller, one.tags, now, failed=one.kind is MailKind.FAILED)
    ):
        waits = None
    row = {"digest": one.digest, "kind": one.kind.value, "waits_for": (waits or ""), "at": now}
    unit.connection.execute(insert(t.post).values(propagation_id=notice.propagation_id if notice else None, **row))
    if notice is not None:
        _keep(unit, controller, one, notice, waits, now, ("post", row))
        return waits is not None
    own = rows.item(rows.own_key(controller.keys), "post", row)
    unit.append(None, entry.encode(EntryKind.REPEAT, now, kind="post", cause=one.kind.value, rows=own))
    if waits:
        _tell_operator(unit, controller, now)
    return waits is not None


def _notice(connection: Connection, tags: Sequence[str]) -> Any:
    """The notice of the first tag that is one; who cannot name it, forged it or is answering something else."""
    n, p = t.notice.c, t.propagation.c
    for tag in tags:
        found = connection.execute(
            select(n.propagation_id, n.number, n.recipient)
            .add_columns(p.request_id, p.processor, p.right)
            .join(t.propagation, p.id == n.propagation_id)
            .where(n.message_id.startswith(f"{tag}@"))
        ).one_or_none()
        if found is not None:
            return found
    return None


def _waits(connection: Connection, controller: Controller, one: Incoming, notice: Any) -> WhyRead | None:
    match one.kind:
        case MailKind.DELIVERED | MailKind.RELAYED | MailKind.EXPANDED:
            return None
        case _ if notice is None:
            return WhyRead.NO_NOTICE
        case MailKind.AUTOMATIC:
            # From elsewhere it may be any machine on the way, and anything that it has to say.
            return None if one.domain in _domains(connection, controller, notice) else WhyRead.UNCLEAR
        case MailKind.UNCLEAR:
            return WhyRead.UNCLEAR
        case MailKind.REPLY:
            return WhyRead.REPLY if one.domain in _domains(connection, controller, notice) else WhyRead.OTHER_DOMAIN
        case MailKind.FAILED | MailKind.DELAYED:
            return None
        case _:
            assert_never(one.kind)


def _domains(connection: Connection, controller: Controller, notice: Any) -> frozenset[str]:
    """Where somebody who answers for this processor writes from; a task's answer comes from our own operator."""
    if notice.recipient == controller.keys.pseudonym("address", controller.operator):
        return frozenset({domain_of(controller.operator).lower()})
    processor = controller.processors.get(notice.processor)
    there: tuple[str | None, ...] = ()
    if processor:
        there = (present(connection, controller, processor), processor.contact, processor.backup_contact)
    return frozenset(domain_of(address).lower() for address in there if address)


def _keep(
    unit: Unit,
    controller: Controller,
    one: Incoming,
    notice: Any,
    waits: WhyRead | None,
    now: datetime,
    post: Beside,
) -> None:
    """Beside the answers of people: what it was, and what it changes, which is nothing but for two kinds of report."""
    kept = {
        "status": one.status,
        "remark": _REMARKS.get(one.kind, ""),
        "waits": "for a person to read it" if waits else "",
        "sender": "DMARC pass, says the receiving host" if one.vouched else "",
        "message": f"sha256 {one.digest}",
    }
    counted = _COUNTED.get(one.kind)
    answer = keep_answer(unit, controller, notice.propagation_id, notice.number, counted or one.kind, kept, now)
    written = [answer, post]
    if counted and _is_current(unit.connection, notice):
        cause = f"{counted.value} {one.status}".strip()
        answered = Answer(counted, one.digest, status=one.status)
        record(unit, controller, Update(notice.propagation_id, [answered], now, cause=cause, beside=written))
        return
    key = commit_key_for(unit.connection, controller, notice.request_id)
    fields = {"req": notice.request_id, "dest": notice.processor, "right": notice.right, "cause": one.kind.value}
    fields["digest"] = entry.commitment(key, one.digest)
    fields["rows"] = rows_said(key, written)
    unit.append(notice.request_id, entry.encode(EntryKind.REPEAT, now, **fields))
    spoken = "unclear" if waits is WhyRead.UNCLEAR else _SPEAKS_UP.get(one.kind)
    if spoken or waits:
        alert(unit.connection, controller, spoken or "replied", notice.request_id, notice.processor, now)


def keep_answer(
    unit: Unit,
    controller: Controller,
    propagation_id: int,
    number: int,
    kind: MailKind | AnswerKind,
    said: Mapping[str, str],
    now: datetime,
    *,
    final: bool = False,
) -> Beside:
    """Keep one answer to a notice, what was said in it sealed; gives its row, for an entry to commit to."""
    sealed = controller.keys.seal("answer", json.dumps(said).encode(), str(propagation_id).encode())
    row = {"number": number, "kind": kind.value, "final": final, "sealed": sealed, "at": now}
    unit.connection.execute(insert(t.answer).values(propagation_id=propagation_id, **row))
    return "answer", row


def _is_current(connection: Connection, notice: Any) -> bool:
    """Whether the report is about where letters go now: an old contact's late bounce says nothing of the new one.

    Nor does one from before somebody tried again: the mailbox may have been put right since.
    """
    if is_of_an_earlier_round(connection, notice.propagation_id, notice.number):
        return False
    n = t.notice.c
    latest = select(n.recipient).where(n.propagation_id == notice.propagation_id).order_by(n.number.desc()).limit(1)
    return bool(connection.execute(latest).scalar_one() == notice.recipient)


def _tell_operator(unit: Unit, controller: Controller, now: datetime) -> None:
    raise_alert(
        unit.connection,
        cause=AlertCause.POST,
        role="operator",
        subject="An email came in that belongs to no notice",
        body="It counts for nothing until a person has read it. `dpsync check` names its folder.",
        now=now,
        zone=controller.zone,
    )


# --- until a person has read it


def unread(connection: Connection, request_id: str | None = None) -> frozenset[str]:
    """The digests of the messages that wait for a person: all, or those about one request."""
    p = t.post.c
    wanted = select(p.digest).where(p.waits_for != "", p.read_at.is_(None))
    if request_id is not None:
        wanted = wanted.join(t.propagation, t.propagation.c.id == p.propagation_id)
        wanted = wanted.where(t.propagation.c.request_id == request_id)
    return frozenset(row.digest for row in connection.execute(wanted))


def mark_read(unit: Unit, digests: Sequence[str], now: datetime) -> None:
    """A person took these away from where they waited."""
    for digest in digests:
        unit.connection.execute(update(t.post).where(t.post.c.digest == digest).values(read_at=now))


def mark_answered(unit: Unit, propagation_id: int, now: datetime) -> None:
    """An answer was recorded by a person: what had been written in reply to that notice was read for it."""
    p = t.post.c
    unit.connection.execute(
        update(t.post).where(p.propagation_id == propagation_id, p.read_at.is_(None)).values(read_at=now)
    )
