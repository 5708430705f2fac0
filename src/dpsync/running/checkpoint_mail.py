"""The daily checkpoint, mailed to the data protection officer: a copy of the proof that lies with somebody else.

Whoever holds it can show later that nothing before it was changed, also by those who run this machine. It goes once a
day, quiet or not, with one fixed subject, so that a rule of the mailbox can file it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import Connection, func, select

from dpsync.alert_causes import AlertCause
from dpsync.alerts import Concern
from dpsync.connector_services import Mail, MailRefused, NoAnswer
from dpsync.errors import CredentialsRejected
from dpsync.installation import Installation
from dpsync.ledger import note
from dpsync.mail import bare, letter
from dpsync.mail_status import undelivered
from dpsync.model import Role
from dpsync.propagation import page_links
from dpsync.propagation.correspondence.reaching import overdue
from dpsync.reports.words import day, several
from dpsync.store import meta
from dpsync.store import tables as t
from dpsync.store.writer import Unit

SUBJECT = "dpsync checkpoint"
SENDER = "dpsync checkpoint"
HOUR_OF_DAY = 7
"""It goes from this hour on, by the controller's own clock."""

PATIENCE = 3
"""Hours after that for which a mail host may be silent before the operator hears of it. A refusal is told at once."""

MOST_NAMED = 50
_KEY = "checkpoint_mail"


@dataclass(frozen=True, slots=True)
class Mailed:
    """The newest one that a mail host accepted: on which day, and how many entries it signs."""

    on: date
    size: int


def newest(connection: Connection) -> Mailed | None:
    """The newest one that was mailed; None before the first."""
    value = meta.value_of(connection, _KEY)
    if value is None:
        return None
    on, size = value.split(" ")
    return Mailed(date.fromisoformat(on), int(size))


def mail(there: Installation, now: datetime) -> None:
    """Mail today's checkpoint, where the settings ask for it and it is not mailed yet. What fails is tried again."""
    local, last = now.astimezone(there.zone), there.read(newest)
    wanted = there.settings.mail is not None and there.settings.mail.daily_checkpoint
    if not wanted or there.mail is None or local.hour < HOUR_OF_DAY or (last and last.on >= local.date()):
        return
    signed = there.anchor(now)
    try:
        _post(there, there.mail, signed, last, now)
    except NoAnswer as failure:
        if local.hour >= HOUR_OF_DAY + PATIENCE:
            _tell(there, failure.reason, now)
    except MailRefused as refused:
        _tell(there, undelivered(refused.status, "the mail host refused it"), now)
    except CredentialsRejected as refused:
        _tell(there, refused.brief, now)
    else:
        # a crash just here mails it again, under the same Message-ID
        there.write(lambda unit: _note(unit, Mailed(local.date(), note.parse(signed)[0].size)))


def _post(there: Installation, host: Mail, signed: str, last: Mailed | None, now: datetime) -> None:
    message_id = there.controller.checkpoint_id(now.astimezone(there.zone).date())
    sender = f"{SENDER} <{bare(host.sender)}>"
    raw = letter(
        sender=sender,
        to=there.settings.controller.dpo,
        subject=SUBJECT,
        message_id=message_id,
        at=now,
        paragraphs=there.write(lambda unit: _paragraphs(unit.connection, there, signed, last, now)),
        attached=there.read(lambda connection: _files(connection, there, signed, last)),
        rehearsal=there.settings.controller.rehearsal,
    )
    host.post(
        raw,
        to=there.settings.controller.dpo,
        envelope_sender=bare(host.sender),
        envelope_id=message_id,
        digest_key=message_id.encode(),
    )


def _paragraphs(
    connection: Connection, there: Installation, signed: str, last: Mailed | None, now: datetime
) -> Sequence[str]:
    head, today = note.parse(signed)[0], now.astimezone(there.zone).date()
    r = t.request.c
    waiting = connection.execute(select(func.count()).where(r.closed_at.is_(None))).scalar_one()
    named, number = overdue(connection, now, MOST_NAMED)
    more = f" and {number - MOST_NAMED:,} more" if number > MOST_NAMED else ""
    late = f"Overdue: {', '.join(named)}{more}." if named else "None is overdue."
    since = f" It also holds the proof that this continues the one of {day(last.on)}." if last else ""
    how_many = f"{several(waiting, 'request')} {'is' if waiting == 1 else 'are'} open"
    keep = (
        "Please keep this email: the attached checkpoint is a copy of dpsync's proof that lies with "
        f"you. With it, anybody can show later that nothing was changed that was recorded until now.{since}"
    )
    count = f"The ledger {head.origin} has {several(head.size, 'entry', 'entries')}. {how_many}. {late}"
    tomorrow = (
        f"The next one comes on {day(today + timedelta(days=1))}. If none comes, dpsync does not run, or its mail does "
        "not arrive: ask the operator."
    )
    waits = page_links.link_to(connection, there.controller, Role.DPO, page_links.STATUS, now)
    page = [f"What waits now, where you can also record what came in:\n  {waits}"] if waits else []
    return [keep, count, *page, tomorrow, signed]


def _files(
    connection: Connection, there: Installation, signed: str, last: Mailed | None
) -> Sequence[tuple[str, str | bytes]]:
    size = note.parse(signed)[0].size
    files: list[tuple[str, str | bytes]] = [("checkpoint.txt", signed.encode())]
    if last is not None and 0 < last.size < size:
        proof = there.log.continuation(connection, last.size, signed)
        files.append((f"consistency-{last.size}-{size}.txt", proof.encode()))
    return files


def _tell(there: Installation, why: str, now: datetime) -> None:
    there.tell(
        cause=AlertCause.CHECKPOINT_UNDELIVERED,
        role="operator",
        subject="The daily checkpoint did not reach the data protection officer",
        body="DP-306: dpsync tries again every hour. Correct what is named below ([mail], or `dpo` in "
        "[controller]), and restart. Then try it with `dpsync check --send-test`.",
        now=now,
        concerns=[Concern(why, why)],
    )


def _note(unit: Unit, one: Mailed) -> None:
    meta.put(unit.connection, _KEY, f"{one.on.isoformat()} {one.size}")
