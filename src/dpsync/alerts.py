"""Alerts: a durable outbox. Written in the transaction of what it tells of, sent outside any, one a cause and day.

What an alert may hold: our own ids, a processor's title, what to do. No personal data: it goes through chat services
and pagers that are processors themselves.
"""

import base64
import hashlib
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from typing import Any, Literal, Protocol, TypeVar

from sqlalchemy import Connection, Row, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from dpsync.connector import Mail, MailRefused, NoAnswer
from dpsync.errors import ProcessorError
from dpsync.mail import bare, bounce_address, compose, domain_of, is_mailable
from dpsync.mail_status import undelivered
from dpsync.store.tables import alert

T = TypeVar("T")
Role = Literal["operator", "dpo", "deputy"]

# Capped at ten minutes and without an end: the service promises fewer than 15 silent minutes after a channel recovers.
_WAITS = (timedelta(minutes=2), timedelta(minutes=5), timedelta(minutes=10))
_AT_ONCE = 50
_SUBJECT_LENGTH = 150
_BODY_LENGTH = 4000
# Bounded, or a long text without an @ would take time with the square of its length.
_ADDRESS = re.compile(r"[^\s@<>()\[\]\"',;:]{1,254}@[^\s@<>()\[\]\"',;]+")


class Call(Protocol):
    """Runs a short piece of work in a transaction and gives what it gave, after the commit."""

    def __call__(self, work: Callable[[Connection], T], /) -> T: ...


# --- writing


def raise_alert(
    connection: Connection, *, cause: str, role: str, subject: str, body: str, now: datetime, zone: tzinfo
) -> bool:
    """Put an alert into the outbox, in the caller's transaction; False where this cause has one today already.

    `cause` is a fixed word with the processor or account it concerns; where two roles are told of one thing, it names
    the role too. `body` ends with what to do: a command. `zone` is the controller's: a day is a day on their wall.
    Whatever looks like an address is struck out, not refused: a text that is wrong must not undo what it tells of.
    """
    row = _row(cause, role, subject, body, now, _day(now, zone), due_at=now)
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    insertion = dialect.insert(alert).values(row).on_conflict_do_nothing(index_elements=["cause", "day"])
    # RETURNING, not rowcount: with psycopg an insert whose key the server makes reports -1 rows.
    return connection.execute(insertion.returning(alert.c.id)).first() is not None


def _row(
    cause: str, role: str, subject: str, body: str, now: datetime, day: str, *, due_at: datetime
) -> dict[str, Any]:
    return {
        "cause": cause,
        "day": day,
        "role": role,
        "subject": _one_line(subject)[:_SUBJECT_LENGTH],
        "body": _clean(body)[:_BODY_LENGTH],
        "created_at": now,
        "due_at": due_at,
        "attempts": 0,
    }


def _day(now: datetime, zone: tzinfo) -> str:
    return now.astimezone(zone).date().isoformat()


def _clean(text: str) -> str:
    lines = _ADDRESS.sub("[address]", text).splitlines()
    return "\n".join("".join(sign for sign in line if sign.isprintable()) for line in lines)


def _one_line(text: str) -> str:
    return " ".join(_clean(text).split())


# --- the channels


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert as a channel gets it. `id` is the same for every attempt, so that a mailbox sees one mail."""

    id: str
    role: str
    subject: str
    body: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Delivery:
    """Whether a channel's server took an alert; `detail` is a fixed phrase of ours, with the mail host's queue id.

    `code`: what `dpsync explain` knows it by where it did not.
    """

    channel: str
    took: bool
    detail: str
    code: str = "DP-302"


class Channel(Protocol):
    """One way to a person. `name` never holds a URL: that is where the secret stands."""

    @property
    def name(self) -> str: ...
    def send(self, message: Alert) -> Delivery:
        """Send it now. Never raises because of the other side."""


class AppriseChannel:
    """One apprise URL. Apprise is loaded with the first alert: 0.2 s for the import, 0.3 s to find its plug-ins."""

    def __init__(self, name: str, url: str) -> None:
        self._name = name
        self._url = url
        self._notifier: Any = None

    @property
    def name(self) -> str:
        """The key path of the setting."""
        return self._name

    def is_understood(self) -> bool:
        """Whether apprise knows this kind of URL. Opens no connection."""
        return self._loaded() is not None

    def send(self, message: Alert) -> Delivery:
        """Apprise swallows every error and answers with a result that is true only if each server said yes."""
        notifier = self._loaded()
        if notifier is None:
            return Delivery(self._name, took=False, detail="the URL is of no kind that apprise knows")
        try:
            took = bool(notifier.notify(title=message.subject, body=message.body))
        except Exception:  # noqa: BLE001 - because a plug-in's fault must not stop the other channels; its text may hold the URL
            took = False
        return Delivery(self._name, took=took, detail="taken by the server" if took else "the server did not take it")

    def _loaded(self) -> Any:
        if self._notifier is None:
            notifier = _new_notifier()
            with _without_deprecations():
                if not notifier.add(self._url):
                    return None
            self._notifier = notifier
        return self._notifier


def _new_notifier() -> Any:
    import logging

    with _without_deprecations():
        import apprise
    # Its log lines repeat what servers answered; what we need of it is in the result.
    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
    asset = apprise.AppriseAsset(
        app_id="dpsync",
        app_desc="dpsync",
        app_url="",
        # As shipped, messages show pictures from a public server, which learns when an alert is read.
        image_url_mask="",
        image_url_logo="",
        async_mode=False,
        http_redirects=False,
        storage_mode="memory",
        pgp_autogen=False,
        pem_autogen=False,
    )
    return apprise.Apprise(asset=asset)


def _without_deprecations() -> "warnings.catch_warnings[None]":
    # Apprise 2.2 imports imghdr with its first plug-in, which Python 3.11 and 3.12 announce to be leaving.
    return warnings.catch_warnings(action="ignore", category=DeprecationWarning)


class MailChannel:
    """The controller's own mail, to the address of the role that the alert is for."""

    name = "mail"

    def __init__(self, mail: Mail, addresses: Mapping[str, str]) -> None:
        self._mail = mail
        self._addresses = dict(addresses)

    def send(self, message: Alert) -> Delivery:
        """The Message-ID is the alert's, so a repeat after a lost reply is seen as one mail.

        From the mailbox itself: where the mail host takes no other sender, this is what people must still hear.
        """
        return self._send(message, bare(self._mail.sender))

    def send_as_letters_go(self, message: Alert) -> Delivery:
        """The same from an envelope sender like a letter's: only that shows whether the mail host takes letters."""
        tag = base64.b32encode(hashlib.sha256(message.id.encode()).digest()[:20]).decode().lower()
        return self._send(message, bounce_address(self._mail.sender, tag))

    def _send(self, message: Alert, envelope_sender: str) -> Delivery:
        # An alert for a role that nobody holds must still reach somebody.
        to = bare(self._addresses.get(message.role) or self._addresses.get("operator") or "")
        if not is_mailable(to):
            return Delivery(self.name, took=False, detail="no address is set for this role")
        sender = self._mail.sender
        raw = compose(
            sender=sender,
            to=to,
            subject=message.subject,
            text=message.body + "\n",
            message_id=f"alert.{message.id}@{domain_of(sender)}",
            at=message.created_at,
        )
        try:
            posted = self._mail.post(
                raw, to=to, envelope_sender=envelope_sender, envelope_id=message.id, digest_key=message.id.encode()
            )
        except NoAnswer as error:
            return Delivery(self.name, took=False, detail=error.reason, code="DP-303")
        except MailRefused as error:
            return Delivery(self.name, took=False, detail=undelivered(error.status, "the mail host refused it"))
        except ProcessorError as error:
            return Delivery(self.name, took=False, detail=error.message, code="DP-303")
        queue_id = posted.evidence.request_id or "none"
        return Delivery(self.name, took=True, detail=f"{posted.evidence.status}, id {queue_id}; inbox unknown")


def channels_from(urls: Sequence[str], mail: Mail | None, addresses: Mapping[str, str]) -> tuple[Channel, ...]:
    """The channels in order: every apprise URL, then mail. `urls` are resolved secrets, `addresses` stand by role."""
    named: list[Channel] = [AppriseChannel(f"alerts.urls[{number}]", url) for number, url in enumerate(urls)]
    if mail is not None:
        named.append(MailChannel(mail, addresses))
    return tuple(named)


# --- sending


@dataclass(frozen=True, slots=True)
class Sent:
    """What one pass over the outbox did. `failing`: the channels that did not take something they were given."""

    sent: int = 0
    unsent: int = 0
    failing: tuple[str, ...] = field(default=())


class Outbox:
    """Sends what waits. Mail is the second channel: used where no other is set or took the alert, and for the DPO.

    An alert counts as sent when one channel took it. Told twice after a crash is possible, told never is not.
    """

    def __init__(self, channels: Sequence[Channel], *, rehearsal: bool = False) -> None:
        self._first = tuple(channel for channel in channels if not isinstance(channel, MailChannel))
        self._second = tuple(channel for channel in channels if isinstance(channel, MailChannel))
        self._prefix = "REHEARSAL: " if rehearsal else ""

    def send_due(self, call: Call, read: Call, now: datetime) -> Sent:
        """Send every alert that is due. `call` writes, `read` reads; neither is open while a channel is spoken to.

        Crash before the claim: nothing happened. Between claim and mark: it is due again after its wait.
        """
        rows = read(lambda connection: _due(connection, now))
        if not rows or not (self._first or self._second):
            return Sent(unsent=len(rows))
        sent = unsent = 0
        failing: set[str] = set()
        for row in rows:
            if not call(lambda connection, row=row: _claim(connection, row, now)):  # type: ignore[misc]  # because mypy does not infer a lambda's default
                continue  # another process was faster
            deliveries = self._deliver(self._message(row))
            failing.update(delivery.channel for delivery in deliveries if not delivery.took)
            if any(delivery.took for delivery in deliveries):
                call(lambda connection, row=row: _mark_sent(connection, row.id, now))  # type: ignore[misc]  # because mypy does not infer a lambda's default
                sent += 1
            else:
                unsent += 1
        return Sent(sent, unsent, tuple(sorted(failing)))

    def send_test(self, call: Call, read: Call, now: datetime, zone: tzinfo) -> tuple[Delivery, ...]:
        """Put a test alert into the real outbox and send it by *every* channel; what each server said.

        Taken by the server is not read by a person. If no channel takes it, it stays in the outbox and is tried again.
        """

        def work(connection: Connection) -> int:
            values = _row(
                f"test:{now.isoformat()}",
                "operator",
                "Test of the alerts",
                "This is a test; nothing is wrong and there is nothing to do. `dpsync check` shows more.",
                now,
                _day(now, zone),
                due_at=now + _WAITS[0],  # so that a running service does not take it out of our hands
            )
            made = connection.execute(insert(alert).values(values).returning(alert.c.id))
            return int(made.scalar_one())

        made = call(work)
        message = self._message(
            read(lambda connection: connection.execute(select(alert).where(alert.c.id == made)).one())
        )
        first = [channel.send(message) for channel in self._first]
        deliveries = (*first, *(channel.send_as_letters_go(message) for channel in self._second))
        if any(delivery.took for delivery in deliveries):
            call(lambda connection: _mark_sent(connection, made, now))
        return deliveries

    def _deliver(self, message: Alert) -> list[Delivery]:
        deliveries = [channel.send(message) for channel in self._first]
        # A chat room is the operators'. What concerns the DPO goes to the DPO's own address as well.
        personal = message.role != "operator"
        if personal or not any(delivery.took for delivery in deliveries):
            deliveries.extend(channel.send(message) for channel in self._second)
        return deliveries

    def _message(self, row: Row[Any]) -> Alert:
        # A hash, not the row's number: after a restored back-up a number would come again for another alert.
        made_of = f"{row.cause}\n{row.day}\n{row.created_at.isoformat()}"
        return Alert(
            id=hashlib.sha256(made_of.encode()).hexdigest()[:32],
            role=row.role,
            subject=self._prefix + row.subject,
            body=row.body,
            created_at=row.created_at,
        )


def _due(connection: Connection, now: datetime) -> Sequence[Row[Any]]:
    waiting = alert.c.sent_at.is_(None) & (alert.c.due_at <= now)
    return connection.execute(select(alert).where(waiting).order_by(alert.c.due_at, alert.c.id).limit(_AT_ONCE)).all()


def _claim(connection: Connection, row: Row[Any], now: datetime) -> bool:
    """Move it to its next time *before* sending: a second sender finds it gone, and a crash here is only a delay."""
    ours = (alert.c.id == row.id) & alert.c.sent_at.is_(None) & (alert.c.attempts == row.attempts)
    wait = _WAITS[min(row.attempts, len(_WAITS) - 1)]
    taken = connection.execute(update(alert).where(ours).values(due_at=now + wait, attempts=row.attempts + 1))
    return taken.rowcount == 1


def _mark_sent(connection: Connection, number: int, now: datetime) -> None:
    connection.execute(update(alert).where(alert.c.id == number).values(sent_at=now))
