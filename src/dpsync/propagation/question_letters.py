"""The mails about a decision by link: the question, the code, and how it ended. None of them names a person."""

from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, assert_never
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row, select

from dpsync.connector_services import Mail, Posted
from dpsync.mail import bare, letter, long_day, tag_of
from dpsync.model import Right, Role
from dpsync.opt_out_scope import in_words
from dpsync.propagation import earlier, extensions
from dpsync.propagation.controller import Controller
from dpsync.propagation.next_day import next_day
from dpsync.propagation.page_links import Page, PageKind, link_to
from dpsync.propagation.points import QuestionKind, subject_of
from dpsync.propagation.question_texts import consequence, question_text
from dpsync.propagation.questions import LINK_VALID, Outcome, link_of, points_of, was_withdrawn
from dpsync.store import tables as t

QUESTION, CODE, ENDED = 0, 1000, 1
"""Numbers of its mails, which their Message-IDs are made of; codes count on from theirs."""


@dataclass(frozen=True, slots=True)
class About:
    """What a mail may say of a request. `older`: a sentence for each older one of the same person that is not done.

    `plan`: what would happen, looked up; paragraphs. `dossier`, `receipt`: the links to them; no receipt before it is
    closed.
    """

    right: Right
    lifting: bool
    target_at: datetime
    strict_on: date
    due_on: date
    due_at: datetime
    withdrawn: bool
    older: tuple[str, ...]
    dossier: str = field(repr=False)
    receipt: str = field(default="", repr=False)
    plan: tuple[str, ...] = ()
    scope: str = ""

    @property
    def what(self) -> str:
        """What the person asked, without saying who."""
        if self.scope:
            return f"stop one kind of marketing to one person ({in_words(self.scope)})"
        return "lift one restriction" if self.lifting else _WHAT[self.right]

    @property
    def consequence(self) -> str:
        """What follows where it is carried out."""
        return consequence(self.right, lifting=self.lifting, scope=self.scope)


_WHAT = {
    Right.ERASURE: "erase one person",
    Right.RECTIFICATION: "correct the data of one person",
    Right.RESTRICTION: "restrict the data of one person",
    Right.OPT_OUT: "stop all marketing to one person",
}


_IF_YES = "If you approve: {} The page shows what each processor can and cannot do, and looks there again."
_LINK = (
    "This link opens a page that {shows}takes your decision. The page first {factor}. Opening it changes "
    "nothing. The link is good for one decision, until {until}:"
)
_NOT_ASKED = (
    "If you did not ask for this code, somebody else has the link of our email. They have seen no name, and nothing "
    "is decided. Tell whoever runs dpsync."
)


def about(connection: Connection, controller: Controller, request_id: str, role: Role, now: datetime) -> About:
    """What the mails to a role about this request say of it; makes the links that they carry."""
    r = t.request.c
    columns = select(r.right, r.lifting, r.target_at, r.strict_on, r.due_on, r.due_at, r.closed_at, r.scope)
    row = connection.execute(columns.where(r.id == request_id)).one()
    longer = extensions.of(connection, request_id)

    def link(kind: PageKind) -> str:
        return link_to(connection, controller, role, Page(kind, request_id), now)

    return About(
        right=Right(row.right),
        lifting=row.lifting,
        target_at=row.target_at,
        strict_on=longer.strict_on if longer else date.fromisoformat(row.strict_on),
        due_on=longer.due_on if longer else date.fromisoformat(row.due_on),
        due_at=longer.due_at if longer else row.due_at,
        withdrawn=was_withdrawn(connection, request_id),
        older=earlier.goes_first(connection, controller, request_id),
        dossier=link(PageKind.DOSSIER),
        receipt=link(PageKind.RECEIPT) if row.closed_at is not None else "",
        scope=row.scope,
    )


def post_question(controller: Controller, mail: Mail, to: str, row: Row[Any], of: About, now: datetime) -> Posted:
    """Ask. Sent again after a crash, it is the same mail, but for its plan. Raises what `Mail.post` does."""
    points = points_of(row)
    text, subject = question_text(controller, points, withdrawn=of.withdrawn), subject_of(points)
    by, law = _days(of, controller.zone, row.expires_at - LINK_VALID)
    undated = subject in {QuestionKind.ASKED_FOR, QuestionKind.BACK}
    paragraphs = [
        f"{controller.name} was asked to {of.what}. {text.stands}",
        *([" ".join(of.older)] if of.older else []),
        f"Why {'we write' if undated else 'it waits for a decision'}: {text.why}",
        f"Please decide{'' if undated else f' {by}'}: {text.choices}.",
        f"If nobody decides, {text.otherwise}."
        + ("" if subject is QuestionKind.BACK else f" {law}")
        + ("" if undated else " dpsync reminds you."),
        *of.plan,
        *([_IF_YES.format(of.consequence)] if subject is QuestionKind.HELD else []),
        _LINK.format(
            factor="asks for your passphrase" if Role(row.role) in controller.passphrases else "emails you a code",
            shows="" if row.role == Role.OPERATOR else "shows who it is about and ",
            until=f"{row.expires_at.astimezone(controller.zone):%d %b %Y, %H:%M}",
        ),
        f"  {link_of(controller, row)}",
        f"All that happened with the request so far, without a name:\n  {of.dossier}",
        "Please do not forward this email. You can also decide by command, on the machine that dpsync runs on:",
        "\n".join(f"  {command}" for command in text.commands),
    ]
    headline = _headline(subject, by, of.what, row.request_id[:8])
    return _post(controller, mail, to, row, QUESTION, headline, paragraphs, now)


_BACK = "did one person come back by their own wish"


def _headline(subject: QuestionKind, by: str, what: str, short: str) -> str:
    match subject:
        case QuestionKind.ASKED_FOR:
            return f"Your link to decide about request {short}"
        case QuestionKind.TECHNICAL:
            return f"Please look {by}: a request to {what} waits for you (request {short})"
        case QuestionKind.BACK:
            return f"Please decide: {_BACK}? (request {short})"
        case QuestionKind.HELD | QuestionKind.STUCK:
            return f"Please decide {by}: {what}? (request {short})"
        case _:
            assert_never(subject)


_TOO_LATE = "now, for the legal date is over"


def _days(of: About, zone: ZoneInfo, asked_at: datetime) -> tuple[str, str]:
    """By when to decide, and a sentence with the dates that count. The same for a mail that is sent again."""
    if of.right is Right.OPT_OUT:
        law, late = f"{of.due_at.astimezone(zone):%d %b %Y, %H:%M}", asked_at > of.due_at
        return (_TOO_LATE if late else f"by {law}"), f"The legal date {'was' if late else 'is'} {law}."
    target, today = of.target_at.astimezone(zone), asked_at.astimezone(zone).date()
    by = next_day(target.date(), of.strict_on, of.due_on, today)
    over, late = today > target.date(), today > of.due_on
    law = f"Our own target, 72 hours, {'ended' if over else 'ends'} on {long_day(target.date())}. The legal date "
    law += f"{'was' if late else 'is'} {long_day(of.due_on)}, read strictly {long_day(of.strict_on)}."
    if late:
        return _TOO_LATE, law
    return (f"now, at the latest by {long_day(by)}" if over else f"by {long_day(by)}"), law


def post_code(
    controller: Controller, mail: Mail, to: str, row: Row[Any], code: str, what: str, now: datetime
) -> Posted:
    """Send the code that was made for this link; `what`: of what, in a few words. Raises what `Mail.post` does."""
    paragraphs = [
        f"Your code for {what}:",
        f"  {code[:3]} {code[3:]}",
        f"It is valid for ten minutes, and once. Type it only on a page that begins with {controller.public_url}/",
        _NOT_ASKED,
    ]
    return _post(controller, mail, to, row, CODE + row.codes, "Your code", paragraphs, now)


_IN_PART = "It decided a part of it. If something is left to decide, a new email asks about it."
_DECIDED = {Outcome.RELEASED: ": approve the request", Outcome.WITHDRAWN: ": stop the request"}


def post_end(controller: Controller, mail: Mail, to: str, row: Row[Any], of: About, now: datetime) -> Posted:
    """Say how it ended: by this link, or in another way. Raises what `Mail.post` does."""
    short, elsewhere = row.request_id[:8], Outcome(row.outcome) is Outcome.ELSEWHERE
    decided = _DECIDED.get(Outcome(row.outcome), "")
    back = subject_of(points_of(row)) is QuestionKind.BACK
    asked = _BACK if back else of.what
    paragraphs = [
        f"We asked you{': ' if back else ' whether to '}{asked}{'?' if back else ''} (request {short}). "
        + (
            "This is already decided, in another way than by your link. There is nothing left for you to do, and the "
            "link decides nothing any more."
            if elsewhere
            else f"The decision that was made by your link is recorded{decided}."
        ),
        *([_IN_PART] if Outcome(row.outcome) is Outcome.IN_PART else []),
        *([] if elsewhere else ["If it was not you: tell whoever runs dpsync at once."]),
        f"What was decided, and where the request stands (`dpsync dossier {row.request_id}`):\n  {of.dossier}",
        *([f"Its receipt, the proof for your file:\n  {of.receipt}"] if of.receipt else []),
    ]
    subject = f"{'Already decided' if elsewhere else 'Your decision is recorded'}: {asked}? (request {short})"
    return _post(controller, mail, to, row, ENDED, subject, paragraphs, now)


def _post(
    controller: Controller,
    mail: Mail,
    to: str,
    row: Row[Any],
    number: int,
    subject: str,
    paragraphs: list[str],
    now: datetime,
) -> Posted:
    message_id = controller.message_id(row.id, row.role, number)
    raw = letter(
        sender=mail.sender,
        to=to,
        subject=subject,
        message_id=message_id,
        at=now,
        paragraphs=paragraphs,
        rehearsal=controller.rehearsal,
    )
    sender, tag = bare(mail.sender), tag_of(message_id)  # as alerts go: our own people are no tracked recipients
    return mail.post(raw, to=to, envelope_sender=sender, envelope_id=tag, digest_key=b"question")
