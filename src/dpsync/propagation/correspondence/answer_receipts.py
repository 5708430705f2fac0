"""The receipt of an answer: mailed to the contact that the notice went to, signed with the ledger's key.

It tells the contact what was answered in its name, so that an answer by somebody else who had the link is noticed.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, func, select, update

from dpsync.connector_services import Mail, MailRefused, NoAnswer
from dpsync.ledger.note import Signer, sign_text
from dpsync.mail import bare, letter, tag_of
from dpsync.propagation.contacts import present
from dpsync.propagation.controller import Controller
from dpsync.propagation.correspondence.acknowledgement import BY_PEOPLE
from dpsync.store import tables as t
from dpsync.store.writer import Unit

TRIED_FOR = timedelta(days=3)
"""How long a receipt is worth sending. The answer itself is safe without it."""


@dataclass(frozen=True, slots=True)
class ReceiptOwed:
    """An answer by link whose receipt has not gone out. `number`: of the notice, `which`: of the answer."""

    id: int
    kind: str
    at: datetime
    final: bool
    number: int
    which: int
    request_id: str
    processor: str
    right: str
    reference: str
    message_id: str
    digest: str
    recipient: str


def owed(connection: Connection, now: datetime) -> list[ReceiptOwed]:
    """The answers whose receipts are to be sent now, the oldest first."""
    a, n, p, earlier = t.answer.c, t.notice.c, t.propagation.c, t.answer.alias().c
    by_people = [kind.value for kind in BY_PEOPLE]
    of_the_notice = (earlier.propagation_id == a.propagation_id) & (earlier.number == a.number)
    which = select(func.count()).where(of_the_notice, earlier.id <= a.id, earlier.kind.in_(by_people))
    rows = connection.execute(
        select(a.id, a.kind, a.at, a.final, a.number, p.request_id, p.processor, p.right)
        .add_columns(n.reference, n.message_id, n.digest, n.recipient, which.scalar_subquery().label("which"))
        .join(t.notice, (n.propagation_id == a.propagation_id) & (n.number == a.number))
        .join(t.propagation, p.id == a.propagation_id)
        .where(a.receipted_at.is_(None), a.at > now - TRIED_FOR, a.kind.in_(by_people))
        .order_by(a.id)
    )
    return [ReceiptOwed(**row) for row in rows.mappings()]


def send(controller: Controller, mail: Mail, signer: Signer, one: ReceiptOwed, to: str | None, now: datetime) -> bool:
    """Mail one receipt; False where it must be tried again. Raises `CredentialsRejected`: our mail host takes nothing.

    `to`: as `address_of` says. After a crash between sending and `mark_sent` it goes out twice, under the same
    Message-ID.
    """
    if to is None:
        return True
    raw = _written(controller, mail.sender, signer, one, to, now)
    try:
        mail.post(
            raw,
            to=to,
            # Not the notice's own: a receipt that comes back says nothing of whether the notice was delivered.
            envelope_sender=bare(mail.sender),
            envelope_id=tag_of(_message_id(controller, one)),
            digest_key=b"receipt",
        )
    except MailRefused:
        return True
    except NoAnswer:
        return False
    return True


def mark_sent(unit: Unit, one: ReceiptOwed, now: datetime) -> None:
    """Remember that this receipt is dealt with."""
    unit.connection.execute(update(t.answer).where(t.answer.c.id == one.id).values(receipted_at=now))


def note_of(one: ReceiptOwed) -> str:
    """What is signed: a fixed form that no checkpoint has, ending with a line feed."""
    lines = {
        "reference": one.reference,
        "right": one.right,
        "answer": one.kind,
        "answered": one.at.isoformat(timespec="seconds"),
        "number": f"{one.which} to notice {one.number}",
        "notice-sha256": one.digest or "none",
    }
    return "dpsync receipt of an answer, version 1\n" + "".join(f"{key}: {value}\n" for key, value in lines.items())


def address_of(connection: Connection, controller: Controller, one: ReceiptOwed) -> str | None:
    """Where a receipt goes: to the contact, if the notice went there; the store knows addresses by pseudonyms only."""
    processor = controller.processors.get(one.processor)
    there: tuple[str | None, ...] = ()
    if processor:
        there = (present(connection, controller, processor), processor.contact, processor.backup_contact)
    known = {controller.keys.pseudonym("address", one): one for one in (*there, controller.operator) if one}
    return known.get(one.recipient)


def _message_id(controller: Controller, one: ReceiptOwed) -> str:
    return controller.message_id(f"{one.request_id}/{one.at.isoformat()}", one.processor, one.number)


def _written(controller: Controller, sender: str, signer: Signer, one: ReceiptOwed, to: str, now: datetime) -> bytes:
    return letter(
        sender=sender,
        to=to,
        subject="Receipt of your answer",
        message_id=_message_id(controller, one),
        at=now,
        paragraphs=[
            f"{controller.name} has recorded this answer to its notice {one.reference}:",
            f"  {one.kind.replace('_', ' ')}\n  {one.at:%d %B %Y, %H:%M} UTC",
            "If nobody in your organisation gave this answer, please reply to this email at once.",
            (
                "Please keep the attached receipt.txt. It is signed. Its line notice-sha256 names our letter by the "
                "SHA-256 of its bytes."
            ),
        ],
        reference=one.reference,
        in_reply_to=one.message_id,
        attached=[("receipt.txt", sign_text(note_of(one), [signer]).encode())],
        rehearsal=controller.rehearsal,
    )
