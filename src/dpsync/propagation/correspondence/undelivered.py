"""Mail of ours that did not arrive and names no person: a contact's question, a work list, a report, all of it."""

from collections.abc import Sequence
from datetime import datetime

from dateutil.relativedelta import relativedelta
from sqlalchemy import Connection, select

from dpsync.alert_causes import AlertCause
from dpsync.alerts import Concern, raise_alert
from dpsync.errors import CredentialsRejected
from dpsync.mail import tag_of
from dpsync.propagation.alert_texts import alert_about_us
from dpsync.propagation.contacts import desks
from dpsync.propagation.controller import Controller
from dpsync.store import conversation_tables as ct
from dpsync.store.writer import Unit


def is_about_no_person(unit: Unit, controller: Controller, tags: Sequence[str], now: datetime, *, failed: bool) -> bool:
    """Whether what came back answers a mail of ours about no person: a contact's question, a work list or a report.

    `failed`: it was not delivered, and the operator is told.
    """
    if contact := _asked_contact(unit.connection, controller, tags):
        if failed:
            tell_of_contact(unit, controller, contact, now)
        return True
    if listed := _listed_at(unit.connection, controller, tags):
        if failed:
            tell_of_worklist(unit, controller, listed, now)
        return True
    if month := _reported(controller, tags, now):
        if failed:
            tell_of_report(unit.connection, controller, month, "the email came back", now)
        return True
    return False


def _asked_contact(connection: Connection, controller: Controller, tags: Sequence[str]) -> str | None:
    """The processor whose contact was asked by the mail that came back."""
    for name, processor in controller.processors.items():
        for address in desks(connection, controller, processor):
            if tag_of(controller.question_id(address, name)) in tags:
                return name
    return None


def _listed_at(connection: Connection, controller: Controller, tags: Sequence[str]) -> str | None:
    """The processor whose work list came back."""
    letter, a = ct.retention_letter, ct.retention_act.c
    for tag in tags:
        of_it = (
            select(a.processor).join(letter, letter.c.act_id == a.id).where(letter.c.message_id.startswith(f"{tag}@"))
        )
        name = connection.execute(of_it).scalar_one_or_none()
        if name in controller.processors:
            return str(name)
    return None


def _reported(controller: Controller, tags: Sequence[str], now: datetime) -> str | None:
    """The month whose report came back: one of the last year, as 2026-11."""
    months = (f"{now - relativedelta(months=back):%Y-%m}" for back in range(1, 13))
    return next((month for month in months if tag_of(controller.report_id(month)) in tags), None)


def tell_of_contact(unit: Unit, controller: Controller, name: str, now: datetime) -> None:
    """The question whether a contact is the right one did not reach it: its letters would wait for ever."""
    body = (
        "Our question to this contact came back, so notices to this processor stay held. Correct `contact` or "
        "`backup_contact` in the settings, restart, and run `dpsync check`."
    )
    _tell_of(unit, controller, name, AlertCause.CONTACT_BOUNCED, "A contact cannot be reached", body, now)


def tell_of_worklist(unit: Unit, controller: Controller, name: str, now: datetime) -> None:
    """A work list did not reach whoever deletes: what it names would be overdue before anybody hears of it."""
    body = (
        "Correct `admin` or `deputy` under `retention` in the settings and restart. Ask somebody to delete the "
        "conversations that are listed. `dpsync retention show` shows them."
    )
    _tell_of(unit, controller, name, AlertCause.RETENTION_BOUNCED, "A work list could not be delivered", body, now)


def tell_of_report(connection: Connection, controller: Controller, month: str, why: str, now: datetime) -> None:
    """The data protection officer has not got a month's report, and waits for it: `month` as 2026-11."""
    raise_alert(
        connection,
        cause=AlertCause.REPORT_UNDELIVERED,
        role="operator",
        subject="The month's report did not reach the data protection officer",
        body="DP-305: correct what is named below ([mail], or `dpo` in [controller]), restart, and try it with `dpsync "
        "check --send-test`. Until then, make the report by hand and pass it on.",
        now=now,
        zone=controller.zone,
        concerns=[Concern(month, f"{month}: {why}. `dpsync report --month {month} -o report-{month}.html`")],
    )


def _tell_of(
    unit: Unit, controller: Controller, name: str, cause: AlertCause, subject: str, body: str, now: datetime
) -> None:
    title = controller.title_of(name)
    raise_alert(
        unit.connection,
        cause=cause,
        role="operator",
        subject=subject,
        body=body,
        now=now,
        zone=controller.zone,
        concerns=[Concern(name, title, title)],
    )


def tell_of_mail_host(unit: Unit, controller: Controller, refused: CredentialsRejected, now: datetime) -> None:
    """Our own mail host takes nothing from us: whatever waits for it, one alert a day for each reason."""
    alert_about_us(unit.connection, controller, refused.alert, refused.brief, now)
