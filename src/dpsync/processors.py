"""The processors that the settings name, with their connectors; every fault of every section told at once."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from zoneinfo import ZoneInfo

from pydantic import BaseModel

from dpsync import settings as configuration
from dpsync.address import normalised
from dpsync.connector import Connector, Exemption, Inbound, KeepsConversations, Kit, Processor, ReportsOutcomes
from dpsync.errors import ConfigurationError, Fault
from dpsync.known_connectors import connector_class, unknown_connector
from dpsync.mail import domain_of, is_mailable
from dpsync.model import Retention, Role
from dpsync.opt_out_scope import EVERYTHING, NOTHING
from dpsync.propagation.controller import Controller
from dpsync.propagation.rules.legal_clock import LegalClock
from dpsync.propagation.rules.plan import Safety
from dpsync.sealing import Keys
from dpsync.settings import ProcessorSection, Secret, Settings
from dpsync.settings.housekeeping import WEEKDAYS
from dpsync.settings.opendsr import source_of
from dpsync.urls import may_be_called


def controller_of(
    settings: Settings, environ: Mapping[str, str], folder: Path, keys: Keys, kit: Callable[[str], Kit]
) -> Controller:
    """The controller with all its processors. `kit` gives what a connector is lent, by its processor's name; `folder`
    is where the settings lie. Raises `ConfigurationError`.
    """

    def connector(name: str, section: ProcessorSection) -> Connector:
        kind = _kind(name, section.connector)
        options = configuration.connector_section(kind.Settings, name, section, environ, folder)
        return _connected(name, kind, options, kit(name))

    processors, opendsr = _processors(settings, connector), settings.opendsr
    callers = frozenset(map(source_of, opendsr.controllers if opendsr else ()))
    c, safety, notice = settings.controller, settings.safety, _kind("notice", "notice")
    return Controller(
        name=c.name,
        zone=ZoneInfo(c.time_zone),
        legal_clock=LegalClock(c.time_zone, c.place, c.regime, c.categories),
        processors=processors,
        notice=_connected("notice", notice, notice.Settings(), kit("notice")),
        keys=keys,
        operator=c.operator,
        safety=Safety(safety.mode, safety.irreversible_per_day, safety.cooling_off, safety.approvals),
        public_url=(settings.intake.public_url or "").rstrip("/"),
        domain=domain_of(settings.mail.sender) if settings.mail else "localhost",
        deputy=bool(c.deputy),
        asked=roles_asked(settings),
        rehearsal=c.rehearsal,
        watch_letters=c.watch_letters,
        callbacks=callers.union(settings.callbacks),
        platforms=callers.union(name for name, one in settings.callbacks.items() if one.is_platform),
        opendsr=callers,
        main_database=opendsr.main_database if opendsr else "",
        passphrases=passphrases_of(settings),
    )


def _processors(settings: Settings, connector: Callable[[str, ProcessorSection], Connector]) -> dict[str, Processor]:
    """All of the settings; every fault at once. Raises `ConfigurationError`."""
    faults: list[Fault] = []
    processors: dict[str, Processor] = {}
    for name, section in settings.processors.items():
        try:
            processors[name] = _processor(name, section, connector(name, section))
        except ConfigurationError as error:
            faults.extend(error.faults)
    if faults:
        raise ConfigurationError(faults)
    return processors


def passphrases_of(settings: Settings) -> dict[Role, Secret]:
    """What whoever has a role types on the page of a link. Of a role that is not in it, a code is mailed."""
    people = settings.controller
    chosen = {
        Role.DPO: people.dpo_passphrase,
        Role.DEPUTY: people.deputy_passphrase,
        Role.OPERATOR: people.operator_passphrase,
    }
    return {role: one for role, one in chosen.items() if one is not None}


def roles_asked(settings: Settings) -> tuple[Role, ...]:
    """Who is asked to decide by link: nobody where there is no mail host, or where the page would not come by https.

    One role for each address, so that nobody is two people.
    """
    url = settings.intake.public_url
    if settings.mail is None or url is None or not may_be_called(url, rehearsal=settings.controller.rehearsal):
        return ()
    people = settings.controller
    addresses = {Role.DPO: people.dpo, Role.DEPUTY: people.deputy or "", Role.OPERATOR: people.operator}
    first = {normalised(address): role for role, address in reversed(addresses.items())}
    return tuple(
        role for role, address in addresses.items() if is_mailable(address) and first[normalised(address)] is role
    )


def _kind(name: str, connector: str) -> type[Connector]:
    found = connector_class(connector)
    if found is None:
        raise ConfigurationError([unknown_connector(name)])
    return found


def _connected(name: str, kind: type[Connector], options: BaseModel, kit: Kit) -> Connector:
    try:
        return kind.from_settings(options, kit)
    except ConfigurationError as error:
        raise ConfigurationError(
            [Fault(f"processors.{name}.{fault.key}", fault.problem, fault.code) for fault in error.faults]
        ) from None


def _processor(name: str, section: ProcessorSection, connector: Connector) -> Processor:
    if section.inbound_secret is not None and not isinstance(connector, Inbound):
        key = f"processors.{name}.inbound_secret"
        raise ConfigurationError([Fault(key, f"is of no use: {section.connector} takes in no webhooks")])
    if section.inbound_secret is None and isinstance(connector, ReportsOutcomes) and connector.only_so:
        key, why = f"processors.{name}.inbound_secret", "is needed: what the processor says of its work comes in there"
        raise ConfigurationError([Fault(key, f"{why}, at /in/{name}/SECRET")])
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
        retention=_retention(section),
        scopes=_scopes(name, section, connector),
    )


def _scopes(name: str, section: ProcessorSection, connector: Connector) -> dict[str, tuple[str, ...]]:
    """What each scope is there. Raises `ConfigurationError` for what this connector could only widen, or lose."""
    known = " or ".join([*(f'["{kind}=..."]' for kind in connector.parts), f'["{EVERYTHING}"]', f'["{NOTHING}"]'])
    faults = []
    for scope, meant in section.scopes.items():
        words = {EVERYTHING, NOTHING} & set(meant)
        if not meant or (len(meant) > 1 if words else not all(_is_part(one, connector) for one in meant)):
            faults.append(Fault(f'processors.{name}.scopes."{scope}"', f"must be {known} of {section.connector}"))
    if faults:
        raise ConfigurationError(faults)
    return dict(section.scopes)


def _is_part(text: str, connector: Connector) -> bool:
    kind, _, own_id = text.partition("=")
    return kind in connector.parts and re.fullmatch(connector.parts[kind], own_id) is not None


def _retention(section: ProcessorSection) -> Retention | None:
    """The rule for private conversations that a section sets, if any."""
    rule = section.retention
    return Retention(rule.months, rule.admin, rule.deputy, WEEKDAYS.index(rule.weekday)) if rule else None
