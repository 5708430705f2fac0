"""An installation, opened: the place that wires settings -> keys, store, ledger, processors and their connectors."""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, Self, TypeVar
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from dpsync import custody, journal_comparison, key_register, own_store
from dpsync import settings as configuration
from dpsync.channels import channels_from
from dpsync.connector import Connector, Exemption, Inbound, KeepsConversations, Kit, Processor
from dpsync.custody import Custody
from dpsync.errors import (
    ConfigurationError,
    Fault,
    KeyProblem,
    StoreProblem,
)
from dpsync.intake.inbound import Listener, Listeners
from dpsync.known_connectors import connector_class, unknown_connector
from dpsync.ledger import comparison, entry
from dpsync.ledger.audit import Verification
from dpsync.ledger.entry import EntryKind
from dpsync.ledger.log import Log, protect
from dpsync.ledger.note import Signer
from dpsync.ledger.note import parse as parse_note
from dpsync.mail import domain_of
from dpsync.model import Retention
from dpsync.outbox import Outbox
from dpsync.propagation import contacts, receipts
from dpsync.propagation.controller import Controller
from dpsync.propagation.correspondence import acknowledgement
from dpsync.propagation.decisions import PURPOSE
from dpsync.propagation.rules import legal_clock, plan
from dpsync.retention import acts
from dpsync.sealing import Keys
from dpsync.settings import ProcessorSection, Settings
from dpsync.settings.sections import WEEKDAYS
from dpsync.smtp import Mailer
from dpsync.store import integrity
from dpsync.store import tables as t
from dpsync.store.database import open_database, reading
from dpsync.store.patience import Patience
from dpsync.store.schema import Migration, migrate, schema_version
from dpsync.store.shelf import StoredShelf
from dpsync.store.writer import Unit, Writer

T = TypeVar("T")
HASHED_AT_ONCE = 50_000
"""Entries that are hashed in under a second (bench/RESULTS.md): up to here nothing is ever taken on trust."""


class SystemClock:
    """The machine's clocks."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


class Installation:
    """An installation, opened: settings, keys, store, ledger, connectors. Nothing runs yet."""

    def __init__(
        self,
        config: Path,
        environ: Mapping[str, str],
        *,
        settings: Settings | None = None,
        told: Callable[[str], None] | None = None,
    ) -> None:
        """`told` hears of it where somebody else holds the database for long."""
        self.config = config
        self.environ = environ
        self.clock = SystemClock()
        self.settings = settings or configuration.load(config, environ)
        self.zone = ZoneInfo(self.settings.controller.time_zone)
        self.keys = Keys.load(self.settings.keys.directory)
        self.patience = Patience(told)
        self.engine = open_database(self.settings.store.url, patience=self.patience)
        self.log = Log(self.origin, Signer(self.origin, self.keys.signing_key))
        self.custody = Custody(self.settings.ledger.anchor, self.settings.ledger.receipts, self.keys, self.log)
        self.writer = Writer(self.engine, self.log.append, self.custody.journal)

    @property
    def origin(self) -> str:
        """The ledger's name. A rehearsal's is another ledger, and says so under every signature."""
        return origin_of(self.settings)

    def close(self) -> None:
        """Finish what is being written, and close."""
        self.writer.close()
        if "http" in self.__dict__:
            self.http.close()
        self.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- reading and writing

    def read(self, work: Callable[[Connection], T]) -> T:
        """Read in one moment's view of the store."""
        with reading(self.engine) as connection:
            return work(connection)

    def write(self, work: Callable[[Unit], T]) -> T:
        """Write in a transaction; returns after its commit."""
        return self.writer.call(work)

    # --- wiring

    @cached_property
    def http(self) -> Any:
        from dpsync.http import HttpClient

        return HttpClient(self.clock, rehearsal=self.settings.controller.rehearsal)

    @cached_property
    def mail(self) -> Mailer | None:
        """The controller's own mail host, None where none is configured."""
        section = self.settings.mail
        if section is None:
            return None
        return Mailer(
            section.host,
            section.port,
            section.tls,
            section.user,
            section.password.get_secret_value() if section.password else None,
            section.sender,
            self.clock,
            rehearsal=self.settings.controller.rehearsal,
        )

    @cached_property
    def controller(self) -> Controller:
        """The controller with all its processors. Raises `ConfigurationError` with every fault of every section."""
        faults: list[Fault] = []
        processors: dict[str, Processor] = {}
        for name, section in self.settings.processors.items():
            try:
                processors[name] = self._processor(name, section)
            except ConfigurationError as error:
                faults.extend(error.faults)
        if faults:
            raise ConfigurationError(faults)
        s = self.settings
        return Controller(
            name=s.controller.name,
            zone=self.zone,
            legal_clock=legal_clock.LegalClock(s.controller.time_zone, s.controller.holidays),
            processors=processors,
            notice=self._connector("notice", "notice", {}),
            keys=self.keys,
            operator=s.controller.operator,
            safety=plan.Safety(s.safety.mode, s.safety.irreversible_per_day, s.safety.cooling_off, s.safety.approvals),
            public_url=(s.intake.public_url or "").rstrip("/"),
            domain=domain_of(s.mail.sender) if s.mail else "localhost",
            deputy=bool(s.controller.deputy),
            rehearsal=s.controller.rehearsal,
        )

    @cached_property
    def inbound(self) -> Listeners:
        """The processors whose own webhooks are taken in. Raises `ConfigurationError`."""
        found: dict[str, Listener] = {}
        for name, section in self.settings.processors.items():
            connector = self.controller.processors[name].connector
            if section.inbound_secret is not None and isinstance(connector, Inbound):
                found[name] = Listener(section.inbound_secret.get_secret_value(), connector)
        return Listeners(found)

    def _processor(self, name: str, section: ProcessorSection) -> Processor:
        connector = self._connector(name, section.connector, section)
        if section.inbound_secret is not None and not isinstance(connector, Inbound):
            key = f"processors.{name}.inbound_secret"
            raise ConfigurationError([Fault(key, f"is of no use: {section.connector} takes in no webhooks")])
        if section.retention is not None and not isinstance(connector, KeepsConversations):
            key = f"processors.{name}.retention"
            raise ConfigurationError([Fault(key, f"is of no use: {section.connector} keeps no private conversations")])
        return Processor(
            name=name,
            title=section.title,
            account=section.account or name,
            connector=connector,
            contact=section.contact,
            backup_contact=section.backup_contact,
            answer_within=section.answer_within,
            exempt={right: Exemption(one.code, one.reason, one.by, one.until) for right, one in section.exempt.items()},
            is_controller=section.kind == "controller",
            retention=retention_of(section),
        )

    def _connector(self, name: str, kind: str, section: Any) -> Connector:
        found = connector_class(kind)
        if found is None:
            raise ConfigurationError([unknown_connector(name)])
        kit = Kit(
            http=self.http,
            clock=self.clock,
            pseudonym=lambda text: self.keys.pseudonym("id", f"shelf\n{name}\n{text}"),
            shelf=StoredShelf(name, self.engine, lambda: self.writer, self.keys, self.clock),
            mail=self.mail,
            rehearsal=self.settings.controller.rehearsal,
        )
        if isinstance(section, ProcessorSection):
            options = configuration.connector_section(found.Settings, name, section, self.environ, self.config.parent)
        else:
            options = found.Settings()
        try:
            return found.from_settings(options, kit)
        except ConfigurationError as error:
            raise ConfigurationError(
                [Fault(f"processors.{name}.{fault.key}", fault.problem, fault.code) for fault in error.faults]
            ) from None

    @cached_property
    def outbox(self) -> Outbox:
        s = self.settings
        roles = {"operator": s.controller.operator, "dpo": s.controller.dpo, "deputy": s.controller.deputy or ""}
        urls = [url.get_secret_value() for url in s.alerts.urls]
        return Outbox(channels_from(urls, self.mail, roles), rehearsal=s.controller.rehearsal)

    # --- beginning

    def initialise(self, *, backed_up: bool = False) -> tuple[bool, Migration | None]:
        """Make or migrate the database and begin the ledger. Whether it is new, and what was migrated.

        Twice changes nothing. Raises what `store.schema.migrate` does; what `Custody.demand` does where the database
        lost something, before it is migrated; and `KeyProblem` where it was made with other keys.
        """
        if schema_version(self.engine) is not None:
            self.custody.demand(self.read)
        migrated = migrate(self.engine, backed_up=backed_up, then=protect)
        new = not self.read(own_store.meta)
        if not new:
            self.demand_own_store()
            self._begin_custody()
            return False, migrated
        if self.read(self.log.size):
            raise StoreProblem("the database holds a ledger, and its table `meta` is empty: restore the newest back-up")

        def work(unit: Unit) -> None:
            facts = {"origin": self.origin, "keys": self.keys.fingerprint()}
            for key, value in facts.items():
                unit.connection.execute(t.meta.insert().values(key=key, value=value))
            key = sha256(self.log.signer.verifier.public).hexdigest()
            unit.append(None, entry.encode(EntryKind.KEY, self.clock.now(), digest=key))
            _note_configuration(unit, configuration.digest(self.settings), self.clock.now())

        self.write(work)
        self._begin_custody()
        return True, migrated

    def _begin_custody(self) -> None:
        """Begin what is kept outside, or what lacks of it after a beginning that was cut off; nothing is made anew."""

        def work(unit: Unit) -> None:
            key_register.register(unit.connection, self.keys)
            journal_comparison.mark(unit.connection, 0, 0)

        if self.read(journal_comparison.marked) is None:
            self.custody.begin()
            self.write(work)
        if self.read(custody.anchored) is None:
            self.anchor(self.clock.now())

    def demand_own_store(self) -> None:
        """Refuse a store of another version, other keys, or another ledger. Nothing is overwritten."""
        own_store.demand(self.engine, self.keys, self.origin, self.settings.ledger)

    def start(self) -> Verification:
        """What must be so before anything is sent: own store, its file whole, every key there, ledger in order and no
        older than what is kept outside, nothing accepted missing.

        Raises `StoreProblem`, `KeyProblem`, `LedgerTampered`, `AcceptedLost`, `ProofDamaged`.
        """
        self.demand_own_store()
        processors = self.controller.processors.values()
        if unsound := self.read(integrity.problem):
            raise StoreProblem(f"the database file is damaged: {unsound}. Restore it from the newest back-up")
        if problems := self.key_problems():
            raise KeyProblem("; ".join(problems))
        verification = self.verify_ledger(full=False)
        verification.demand()
        self.keys.demand_room()
        self.custody.demand_room()
        self.custody.settle(self.read, self.write, self.clock.now())
        digest = configuration.digest(self.settings)
        if self.read(own_store.meta).get("configuration") != digest:
            self.write(lambda unit: _note_configuration(unit, digest, self.clock.now()))

        def register(unit: Unit) -> None:
            for processor in processors:
                contacts.register(unit.connection, self.controller, processor, self.clock.now())
            acknowledgement.release_confirmed(unit, self.controller, self.clock.now())
            acts.begin(unit, self.controller, self.clock.now())

        self.write(register)
        return verification

    def verify_ledger(self, *, full: bool, progress: Callable[[int, int], None] | None = None) -> Verification:
        """Verify the ledger against itself, its checkpoints and the anchor outside; remember how far it was right."""

        def work(connection: Connection) -> tuple[Verification, custody.Differences]:
            everything = full or self.log.size(connection) <= HASHED_AT_ONCE
            found = self.log.verify(connection, full=everything, progress=progress)
            return found, self.custody.against(connection, lying)

        lying = self.custody.lying(self.read)
        found, outside = self.read(work)
        found = replace(found, damaged=outside.damaged, lost=outside.lost)
        if outside.contradicted:
            return replace(found, problems=(*found.problems, *outside.contradicted))
        if found.problems:
            self.write(lambda unit: self.log.distrust(unit.connection))
        elif found.entries and not found.lost:  # nothing is written where the newest -wal may still be put back
            now = self.clock.now()

            def mark(unit: Unit) -> None:
                size = parse_note(self.log.checkpoint(unit.connection, now))[0].size
                if size == found.entries:
                    self.log.mark_verified(unit.connection, size, now)

            self.write(mark)
        return found

    def opened_decision(self, request_id: str, sealed: bytes) -> bytes:
        """The JSON of who decided and why."""
        return self.keys.open(PURPOSE, sealed, request_id.encode())

    def differences(self) -> tuple[str, ...]:
        """Where a row in the database is not what the ledger tells of; opens each request's key."""
        shut = self.read(lambda connection: key_register.shut(connection, self.keys))
        return self.read(lambda connection: comparison.differences(connection, self.keys, shut=shut))

    def unopened(self, request_id: str = "") -> tuple[str, ...]:
        """Each request (or the one) that does not open although its month's key is the right one."""
        shut = () if request_id else self.read(lambda connection: key_register.shut(connection, self.keys))
        return self.read(lambda connection: receipts.unopened(connection, self.keys, request_id, shut))

    def key_problems(self) -> tuple[str, ...]:
        """Each key that the database rests on and that is lost, or another one."""
        return self.read(lambda connection: key_register.problems(connection, self.keys))

    def unsound(self) -> str:
        """What the engine says is wrong with its own file, indexes included; "" for nothing."""
        return self.read(lambda connection: integrity.problem(connection, thorough=True))

    def anchor(self, now: datetime) -> str:
        """Sign a checkpoint and keep it outside. Raises what `Anchors.write` raises."""
        note = self.write(lambda unit: self.log.checkpoint(unit.connection, now))
        self.custody.anchor(note, self.read, self.write)
        return note

    def receipt(self, request_id: str, now: datetime) -> dict[str, Any]:
        """The receipt of a request, under a checkpoint of this moment."""
        return self.write(lambda unit: receipts.receipt_of(unit.connection, self.controller, self.log, request_id, now))


def retention_of(section: ProcessorSection) -> Retention | None:
    """The rule for private conversations that a section sets, if any."""
    rule = section.retention
    return Retention(rule.months, rule.admin, rule.deputy, WEEKDAYS.index(rule.weekday)) if rule else None


def origin_of(settings: Settings) -> str:
    """The name of the ledger that these settings speak of."""
    return f"{settings.ledger.origin}/REHEARSAL" if settings.controller.rehearsal else settings.ledger.origin


def _note_configuration(unit: Unit, digest: str, now: datetime) -> None:
    unit.connection.execute(t.meta.delete().where(t.meta.c.key == "configuration"))
    unit.connection.execute(t.meta.insert().values(key="configuration", value=digest))
    unit.append(None, entry.encode(EntryKind.CONFIGURATION, now, digest=digest))


def os_user() -> str:
    """The account of the operating system that runs this command, for the record of decisions."""
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
