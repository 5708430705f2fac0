"""The ways by which an alert reaches a person: apprise URLs, and the controller's own mail."""

import base64
import hashlib
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from dpsync.connector_services import Mail, MailRefused, NoAnswer
from dpsync.errors import ConfigurationError, ProcessorError
from dpsync.extras import is_installed, lacks
from dpsync.mail import bare, bounce_address, compose, domain_of, is_mailable
from dpsync.mail_status import undelivered
from dpsync.settings.sections import AlertsSection
from dpsync.urls import may_be_called

UNKNOWN_KIND = "is of no kind that apprise knows"


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert as a channel gets it. `id` is the same for every attempt, so that a mailbox sees one mail.

    `link`: where the role sees what waits; it goes to their own address, and to no chat room.
    """

    id: str
    role: str
    subject: str
    body: str
    created_at: datetime
    link: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Delivery:
    """Whether a channel's server took an alert; `detail` is a fixed phrase of ours, with the mail host's queue id.

    `code`: what `dpsync explain` knows it by where it did not.
    """

    channel: str
    took: bool
    detail: str
    code: str = "DP-302"


class AlertChannel(Protocol):
    """One way to a person. `name` never holds a URL: that is where the secret stands."""

    @property
    def name(self) -> str: ...
    def send(self, message: Alert) -> Delivery:
        """Send it now. Never raises because of the other side."""


def _on_a_page(message: Alert) -> str:
    acts = "" if message.role == "operator" else " where you can also decide and record, without a command"
    return f"What waits, on a page{acts}:\n  {message.link}"


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

    def fault(self) -> str | None:
        """Why nothing could ever be sent by this URL, None where something could. Opens no connection."""
        if not is_installed("apprise"):
            return lacks("apprise")
        return None if self._loaded() is not None else UNKNOWN_KIND

    def send(self, message: Alert) -> Delivery:
        """Apprise swallows every error and answers with a result that is true only if each server said yes."""
        if fault := self.fault():
            return Delivery(self._name, took=False, detail=f"the URL {fault}")
        try:
            took = bool(self._loaded().notify(title=message.subject, body=message.body))
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
            text="\n\n".join([message.body, *([_on_a_page(message)] if message.link else [])]) + "\n",
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
        queue_id = posted.evidence.request_id
        known = f"id {queue_id}" if queue_id else "the host gave no id"
        return Delivery(self.name, took=True, detail=f"{posted.evidence.status}, {known}; inbox unknown")


HEARTBEAT = "alerts.heartbeat"


def useless(alerts: AlertsSection, *, rehearsal: bool) -> dict[str, str]:
    """What is wrong with each URL that nothing could ever be sent by, under its key path. Opens no connection.

    What is not set here is not judged here.
    """
    found: dict[str, str] = {}
    for number, url in enumerate(alerts.urls):
        with suppress(ConfigurationError):
            if fault := AppriseChannel("", url.get_secret_value()).fault():
                found[f"alerts.urls[{number}]"] = fault
    with suppress(ConfigurationError):
        if alerts.heartbeat is not None and not may_be_called(alerts.heartbeat.get_secret_value(), rehearsal=rehearsal):
            found[HEARTBEAT] = "is no https URL, so it is never called"
    return found


def channels_from(urls: Sequence[str], mail: Mail | None, addresses: Mapping[str, str]) -> tuple[AlertChannel, ...]:
    """The channels in order: every apprise URL, then mail. `urls` are resolved secrets, `addresses` stand by role."""
    named: list[AlertChannel] = [AppriseChannel(f"alerts.urls[{number}]", url) for number, url in enumerate(urls)]
    if mail is not None:
        named.append(MailChannel(mail, addresses))
    return tuple(named)
