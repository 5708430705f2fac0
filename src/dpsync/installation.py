"""An installation, opened: settings, keys, store, ledger, processors; clock, HTTP and mail are handed in."""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from dpsync import liveness, own_store
from dpsync import settings as configuration
from dpsync.alert_causes import AlertCause
from dpsync.alerts import Concern, raise_alert
from dpsync.channels import channels_from
from dpsync.connector_services import Clock, Kit
from dpsync.custody import Custody
from dpsync.ledger.log import Log
from dpsync.ledger.note import Signer, VerifierKey
from dpsync.model import Role
from dpsync.outbox import Outbox
from dpsync.processors import controller_of
from dpsync.propagation import page_links, receipts
from dpsync.propagation.controller import Controller
from dpsync.propagation.decisions import PURPOSE
from dpsync.sealing import Keys
from dpsync.settings import Settings
from dpsync.smtp import Mailer
from dpsync.store.database import open_database, reading
from dpsync.store.patience import Patience
from dpsync.store.shelf import StoredShelf
from dpsync.store.writer import Unit, Writer

if TYPE_CHECKING:
    from dpsync.http import HttpClient

T = TypeVar("T")


class SystemClock:
    """The machine's clocks."""

    def now(self) -> datetime:
        """The time, UTC and aware."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds that never jump."""
        return time.monotonic()


class Installation:
    """All that a command or a service works with. Nothing runs yet; nothing is looked for in the store yet."""

    def __init__(
        self,
        config: Path,
        environ: Mapping[str, str],
        *,
        settings: Settings | None = None,
        told: Callable[[str], None] | None = None,
        clock: Clock | None = None,
        http: "HttpClient | None" = None,
        mail: Mailer | None = None,
    ) -> None:
        """`told` hears of it where somebody else holds the database for long.

        `clock`, `http` and `mail` stand in place of the machine's clock, a client of our own, and the mail host that
        the settings name. Whoever hands in a client closes it.

        Raises `ConfigurationError`, `KeyProblem`, `StoreProblem`.
        """
        self.config = config
        self.environ = environ
        self.clock: Clock = clock or SystemClock()
        self._http, self._mail = http, mail
        self.settings = settings or configuration.load(config, environ)
        self.zone = ZoneInfo(self.settings.controller.time_zone)
        self.keys = Keys.load(self.settings.keys.directory)
        self.patience = Patience(told)
        self.engine = open_database(self.settings.store.url, patience=self.patience)
        self._log_of = self._log_on(self.clock.now().date())
        ledger = self.settings.ledger
        self.custody = Custody(ledger.anchor, ledger.receipts, self.keys, self.log, published=ledger.tiles)
        self.writer = Writer(self.engine, self.log.append, self.custody.journal)

    @property
    def log(self) -> Log:
        """The ledger, signed by the keys of today: where a former one's last day is over, no restart is needed."""
        today = self.clock.now().date()
        if self._log_of[0] != today:
            self._log_of = self._log_on(today)
        return self._log_of[1]

    def _log_on(self, today: date) -> tuple[date, Log]:
        name = self.origin
        also = [Signer(name, key) for key in self.keys.beside(today)]
        known = [VerifierKey(name, public) for public in self.keys.retired(today)]
        return today, Log(name, Signer(name, self.keys.signing_key), also=also, known=known)

    @property
    def origin(self) -> str:
        """The ledger's name. A rehearsal's is another ledger, and says so under every signature."""
        return self.settings.origin

    def close(self) -> None:
        """Finish what is being written, and close."""
        self.writer.close()
        if self._http is None and "http" in self.__dict__:
            self.http.close()
        self.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- reading and writing

    def read(self, work: Callable[[Connection], T]) -> T:
        """Read in one moment's view of the store. A sign of life of whoever reads."""
        liveness.beat()
        with reading(self.engine) as connection:
            return work(connection)

    def write(self, work: Callable[[Unit], T]) -> T:
        """Write in a transaction; returns after its commit. A sign of life of whoever writes."""
        liveness.beat()
        return self.writer.call(work)

    def tell(
        self,
        *,
        cause: AlertCause,
        role: str,
        subject: str,
        body: str,
        now: datetime,
        concerns: Sequence[Concern] = (),
        at_once: bool = False,
    ) -> None:
        """Raise an alert in a transaction of its own; see `alerts.raise_alert`."""
        self.write(
            lambda unit: raise_alert(
                unit.connection,
                cause=cause,
                role=role,
                subject=subject,
                body=body,
                now=now,
                zone=self.zone,
                concerns=concerns,
                at_once=at_once,
            )
        )

    def demand_own_store(self) -> None:
        """Refuse a store of another version, other keys, or another ledger. Nothing is overwritten."""
        own_store.demand(self.engine, self.keys, self.origin, self.settings.ledger)

    # --- whom it speaks to: made when they are first needed, because most commands speak to nobody

    @cached_property
    def http(self) -> "HttpClient":
        """The client of every call."""
        from dpsync.http import HttpClient

        return self._http or HttpClient(self.clock, rehearsal=self.settings.controller.rehearsal)

    @cached_property
    def mail(self) -> Mailer | None:
        """The controller's own mail host, None where none is configured."""
        section = self.settings.mail
        if self._mail is not None or section is None:
            return self._mail
        from dpsync.mail_access import MailAccess

        rehearsal = self.settings.controller.rehearsal
        return Mailer(
            section.host,
            section.port,
            section.tls,
            section.user,
            section.password.get_secret_value() if section.password else None,
            section.sender,
            self.clock,
            rehearsal=rehearsal,
            access=MailAccess(section.oauth, self.clock, rehearsal=rehearsal) if section.oauth else None,
            tagged=section.bounces == "tagged",
        )

    @cached_property
    def controller(self) -> Controller:
        """The controller with all its processors. Raises `ConfigurationError` with every fault of every section."""
        return self.fresh_controller()

    def fresh_controller(self) -> Controller:
        """The controller with connectors of its own, for whoever looks while the worker is at work."""
        return controller_of(self.settings, self.environ, self.config.parent, self.keys, self._kit)

    def _kit(self, processor: str) -> Kit:
        return Kit(
            http=self.http,
            clock=self.clock,
            pseudonym=lambda text: self.keys.pseudonym("id", f"shelf\n{processor}\n{text}"),
            shelf=StoredShelf(processor, self.engine, lambda: self.writer, self.keys, self.clock),
            mail=self.mail,
            rehearsal=self.settings.controller.rehearsal,
            inbound_url=self._inbound_url(processor),
        )

    def _inbound_url(self, processor: str) -> str:
        section, base = self.settings.processors.get(processor), self.settings.intake.public_url
        secret = section.inbound_secret if section else None
        return f"{base.rstrip('/')}/in/{processor}/{secret.get_secret_value()}" if base and secret else ""

    def address_of(self, role: Role) -> str:
        """The address of whoever holds a role; "" where nobody does."""
        people = self.settings.controller
        return {Role.DPO: people.dpo, Role.DEPUTY: people.deputy or "", Role.OPERATOR: people.operator}[role]

    @cached_property
    def outbox(self) -> Outbox:
        """Sends alerts, by every channel that the settings name."""
        s = self.settings
        roles = {role.value: self.address_of(role) for role in Role}
        urls = [url.get_secret_value() for url in s.alerts.urls]
        return Outbox(channels_from(urls, self.mail, roles), rehearsal=s.controller.rehearsal, link=self._what_waits)

    def _what_waits(self, connection: Connection, role: str, abouts: Sequence[str], now: datetime) -> str:
        """The link to the list of what waits, for the mail of an alert; to the one case that it is about."""
        page = page_links.page_about(Role(role), abouts)
        return page_links.link_to(connection, self.controller, Role(role), page, now)

    # --- the proof

    def opened_decision(self, request_id: str, sealed: bytes) -> bytes:
        """The JSON of who decided and why."""
        return self.keys.open(PURPOSE, sealed, request_id.encode())

    def anchor(self, now: datetime) -> str:
        """Sign a checkpoint and keep it outside. Raises `RecoveryNeeded`, and what `Anchors.write` raises."""
        self.custody.demand_recovered()
        note = self.write(lambda unit: self.log.checkpoint(unit.connection, now))
        self.custody.anchor(note, self.read, self.write, now)
        return note

    def receipt(self, request_id: str, now: datetime, commit_key: bytes | None = None) -> dict[str, Any]:
        """The receipt of a request, under a checkpoint of this moment. Raises `RecoveryNeeded`."""
        self.custody.demand_recovered()
        signed = self.write(lambda unit: self.log.checkpoint(unit.connection, now))
        return self.receipt_under(signed, request_id, commit_key)

    def receipt_under(self, signed: str, request_id: str, commit_key: bytes | None = None) -> dict[str, Any]:
        """The receipt of a request, under a checkpoint that was signed before: made while others write."""
        return self.read(
            lambda connection: receipts.receipt_of(
                connection, self.controller, self.log, request_id, signed, commit_key
            )
        )
