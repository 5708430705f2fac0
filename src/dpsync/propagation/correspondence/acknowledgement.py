"""What processors answer: by the link in a notice, or told to one of us in another way; and contacts who confirm."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select, update

from dpsync.connector_services import Mail, NoAnswer, Posted
from dpsync.errors import DecisionRefused, NotFound
from dpsync.ledger import entry, rows
from dpsync.ledger.entry import EntryKind
from dpsync.mail import bounce_address, letter, tag_of
from dpsync.model import DONE_STATES, Cause, Right, State
from dpsync.propagation import contacts, naming
from dpsync.propagation.alert_texts import alert
from dpsync.propagation.commitments import Author, Beside
from dpsync.propagation.controller import Controller, token_hash
from dpsync.propagation.correspondence import incoming
from dpsync.propagation.queue.lanes import causes_of
from dpsync.propagation.record import Update, record
from dpsync.propagation.rounds import is_of_an_earlier_round
from dpsync.propagation.rules.lifecycle import Answer, AnswerKind, Decision, DecisionKind
from dpsync.store import tables as t
from dpsync.store.writer import Unit

CONFIRMED = Decision(DecisionKind.CONFIRM, frozenset({Cause.CONTACT_UNVERIFIED}))
BY_HAND = frozenset(AnswerKind) - {AnswerKind.DELIVERED}
"""What one of us may record of an answer: a mail that came back too, where no machine could place it."""

FINAL = frozenset(AnswerKind) - {AnswerKind.RECEIVED, AnswerKind.DELIVERED, AnswerKind.BOUNCED}
"""What answers a notice. A mail system's reports are none of these."""

_ANSWERABLE = DONE_STATES | {State.ACCEPTED, State.HANDED_OVER, State.ESCALATED, State.CONTRADICTED, State.REFUSED}
BY_PEOPLE = FINAL | {AnswerKind.RECEIVED}
MOST_BY_LINK = 20
"""Answers to one notice. Whoever has the link may go on; each answer is a row for ever, and a mail to the contact."""


@dataclass(frozen=True, slots=True)
class EarlierAnswer:
    """An answer that was given before: whoever has the link may see what and when, and not by whom."""

    kind: AnswerKind
    at: datetime


@dataclass(frozen=True, slots=True)
class Question:
    """What an answer link asks, without a word about the person."""

    reference: str
    right: Right
    lifting: bool
    processor: str
    earlier: tuple[EarlierAnswer, ...]
    scope: str = ""


@dataclass(frozen=True, slots=True)
class AnswerForm:
    """What somebody filled in: who they say they are, a remark, and where it came from. Kept sealed.

    `places`: what was done with live data, copies, logs and back-ups, each under the words that a dossier shows.
    """

    name: str
    remark: str
    peer: str
    agent: str = ""
    places: Mapping[str, str] = field(default_factory=dict)


def question(connection: Connection, controller: Controller, token: str, now: datetime) -> Question | None:
    """What the holder of a link may see; None for a link that nobody made, or that is too old."""
    row = _notice(connection, token, now)
    if row is None:
        return None
    return Question(
        reference=row.reference,
        right=Right(row.right),
        lifting=row.lifting,
        processor=controller.title_of(row.processor),
        earlier=_earlier(connection, row.propagation_id),
        scope=row.scope,
    )


def _notice(connection: Connection, token: str, now: datetime) -> Any:
    n, p = t.notice.c, t.propagation.c
    return connection.execute(
        select(n.propagation_id, n.number, n.reference, n.digest, p.right, p.lifting, p.processor, p.request_id)
        .add_columns(t.request.c.scope)
        .join(t.propagation, p.id == n.propagation_id)
        .join(t.request, t.request.c.id == p.request_id)
        .where(n.token_hash == token_hash(token), n.expires_at > now)
    ).one_or_none()


def _earlier(connection: Connection, propagation_id: int) -> tuple[EarlierAnswer, ...]:
    a = t.answer.c
    rows = connection.execute(select(a.kind, a.at).where(a.propagation_id == propagation_id).order_by(a.id)).all()
    return tuple(EarlierAnswer(AnswerKind(row.kind), row.at) for row in rows if row.kind in BY_PEOPLE)


def answer_by_link(
    unit: Unit, controller: Controller, token: str, kind: AnswerKind, given: AnswerForm, now: datetime
) -> Question:
    """Record an answer. The first final one counts; later ones are added, and a "done" that rests on it alone falls
    with it where they take it back.

    So is one to a letter from before `dpsync retry`: a person is told of it, and the new letter waits for its own.
    Raises `NotFound`, and `DecisionRefused` after `MOST_BY_LINK` answers.
    """
    row = _notice(unit.connection, token, now)
    if row is None:
        raise NotFound("no notice has this link")
    if len(_earlier(unit.connection, row.propagation_id)) >= MOST_BY_LINK:
        raise DecisionRefused("this notice has been answered too often")
    older = is_of_an_earlier_round(unit.connection, row.propagation_id, row.number)
    kept = _keep(unit, controller, row.propagation_id, row.number, kind, given, now, digest=row.digest)
    # Who has the link has the letter, though no mail host's word of it was kept: the next one is a letter of its own.
    unit.connection.execute(
        update(t.propagation)
        .where(t.propagation.c.id == row.propagation_id, t.propagation.c.notices < row.number)
        .values(notices=row.number)
    )
    answered = Answer(kind, row.digest, older)
    record(unit, controller, Update(row.propagation_id, [answered], now, cause=kind.value, beside=[kept]))
    if older and kind in FINAL:
        alert(unit.connection, controller, "older_letter", row.request_id, row.processor, now)
    found = question(unit.connection, controller, token, now)
    if found is None:
        raise NotFound("no notice has this link")
    return found


def answer_by_hand(
    unit: Unit,
    controller: Controller,
    request_id: str,
    processor: str,
    kind: AnswerKind,
    author: Author,
    os_user: str,
    now: datetime,
) -> State:
    """Record what a processor told one of us by letter, telephone or mail, or that a letter came back.

    As by link, what is said after the final answer is added, and who takes a "done" back is heard. Raises `NotFound`,
    `DecisionRefused`.
    """
    p = t.propagation.c
    row = unit.connection.execute(
        select(p.id, p.state, p.notices).where(p.request_id == request_id, p.processor == processor)
    ).one_or_none()
    if row is None:
        raise NotFound(f"request {request_id} does not go to {processor}")
    if State(row.state) not in _ANSWERABLE:
        raise DecisionRefused(f"it is {row.state}; it waits for no answer")
    if kind is AnswerKind.BOUNCED and not row.notices:
        raise DecisionRefused(f"it is {row.state}; no letter was sent that could have come back")
    kept = _keep(unit, controller, row.id, 0, kind, AnswerForm(author.by, author.reason, os_user), now)
    incoming.mark_answered(unit, row.id, now)
    who = replace(author, account=os_user)
    (step,) = record(unit, controller, Update(row.id, [Answer(kind)], now, author=who, cause=kind.value, beside=[kept]))
    return step.state


def _keep(
    unit: Unit,
    controller: Controller,
    propagation_id: int,
    number: int,
    kind: AnswerKind,
    given: AnswerForm,
    now: datetime,
    *,
    digest: str = "",
) -> Beside:
    said = {"name": given.name, "remark": given.remark, **given.places, "peer": given.peer, "agent": given.agent}
    said["notice"] = f"sha256 {digest}" if digest else ""
    return incoming.keep_answer(unit, controller, propagation_id, number, kind, said, now, final=kind in FINAL)


# --- contacts


def contact_of(connection: Connection, controller: Controller, token: str) -> tuple[str, bool] | None:
    """Whose contact a confirmation link is for (the processor's title), and whether it is confirmed already."""
    c = t.contact.c
    row = connection.execute(select(c.processor, c.confirmed_at).where(c.token_hash == token_hash(token))).one_or_none()
    if row is None:
        return None
    return controller.title_of(row.processor), row.confirmed_at is not None


def confirm_contact(unit: Unit, controller: Controller, token: str, now: datetime) -> str:
    """A person at the processor says that the mail reached the right contact: what waited for that goes on.

    Returns the processor's title. Raises `NotFound`.
    """
    c = t.contact.c
    here = c.token_hash == token_hash(token)
    row = unit.connection.execute(select(t.contact).where(here)).mappings().one_or_none()
    if row is None:
        raise NotFound("no contact has this link")
    if row["confirmed_at"] is None:
        unit.connection.execute(update(t.contact).where(here).values(confirmed_at=now))
        said = rows.item(rows.own_key(controller.keys), "contact", {**row, "confirmed_at": now})
        unit.append(None, entry.encode(EntryKind.CONFIRMED, now, dest=row["processor"], rows=said))
        release_confirmed(unit, controller, now)
        naming.tell_if_it_counts(unit, controller, row["processor"], row["pseudonym"], now)
    return controller.title_of(row["processor"])


def release_confirmed(unit: Unit, controller: Controller, now: datetime) -> None:
    """Release what waited for a contact, where the *present* contact is the one that has confirmed itself."""
    p = t.propagation.c
    known = contacts.confirmed(unit.connection, controller)
    held = unit.connection.execute(
        select(p.id, p.causes).where(p.processor.in_(known), p.state == State.HELD).order_by(p.ordinal)
    ).all()
    for one in held:
        if Cause.CONTACT_UNVERIFIED in causes_of(one.causes):
            record(unit, controller, Update(one.id, [CONFIRMED], now))


def contacts_to_ask(connection: Connection, controller: Controller) -> list[tuple[str, str]]:
    """(processor, address) of the contacts that have not been asked yet to confirm themselves."""
    c = t.contact.c
    waiting = {
        (row.processor, row.pseudonym)
        for row in connection.execute(select(c.processor, c.pseudonym).where(c.asked_at.is_(None)))
    }
    present = [
        (name, address)
        for name, processor in sorted(controller.processors.items())
        for address in contacts.desks(connection, controller, processor)
    ]
    return [one for one in present if (one[0], controller.keys.pseudonym("address", one[1])) in waiting]


def ask_contact(controller: Controller, mail: Mail, name: str, address: str, now: datetime, number: int) -> bool:
    """Mail a contact the question, `number` 1 being the first.

    False where it must be tried again. Raises `CredentialsRejected` where that is our own trouble, and `MailRefused`
    where trying again would be of no use: the letters stay held.
    """
    try:
        mail_question(controller, mail, name, address, now, number=number)
    except NoAnswer:
        return False
    return True


def mail_question(controller: Controller, mail: Mail, name: str, address: str, now: datetime, *, number: int) -> Posted:
    """Ask a contact by mail whether it is the right one: no person is named in it. Raises what `Mail.post` does.

    `number`: another one makes another mail; the same one again is seen as one by the mailbox.
    """
    processor = controller.processors[name]
    token = controller.contact_token(address, name)
    raw = letter(
        sender=mail.sender,
        to=address,
        subject=f"Please confirm: data-protection contact of {processor.title}",
        message_id=controller.message_id(token, name, number),
        at=now,
        paragraphs=[
            (
                f"{controller.name} wants to send data-protection instructions about {processor.title} to this "
                "address, for example to erase what is held about a person. These instructions contain personal "
                "data. So please first confirm on this page that this is the right address:"
            ),
            f"  {controller.public_url}/contacts/{token}",
            "The page shows one button. Nothing is confirmed until you press it.",
            "If this is the wrong address, please reply to this email and tell us the right one.",
        ],
        rehearsal=controller.rehearsal,
    )
    # Of whichever mail the report of delivery is, it comes back under the first one's tag, by which it is known.
    tag = tag_of(controller.question_id(address, name))
    back = bounce_address(mail.sender, tag)
    return mail.post(raw, to=address, envelope_sender=back, envelope_id=tag, digest_key=b"contact")
