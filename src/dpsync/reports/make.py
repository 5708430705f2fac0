"""The report of an installation: the ledger verified first, then the period told."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from types import MappingProxyType

from sqlalchemy import Connection

from dpsync.cases.departures import departures
from dpsync.connector import KeepsConversations
from dpsync.errors import ConfigurationError, Fault, NotFound
from dpsync.installation import Installation
from dpsync.known_connectors import connector_class, connector_names
from dpsync.ledger.note import parse as parse_note
from dpsync.ledger.receipt import read as read_receipt
from dpsync.propagation.forgetting import forgotten_at
from dpsync.reports.basis import Basis
from dpsync.reports.cases import cases_of
from dpsync.reports.decided import Opener as Decided
from dpsync.reports.departure_letter import departure_letter
from dpsync.reports.duties import Duty
from dpsync.reports.kept import kept_lines
from dpsync.reports.letters import letter_duties
from dpsync.reports.period import PeriodReport, begin_and_end, is_printed, period_report, printed
from dpsync.reports.processors import ExemptLine, ProcessorLine, capability_lines
from dpsync.reports.proof import LedgerLine
from dpsync.reports.receipt import BesideTheFile, PrintedReceipt, printed_receipt
from dpsync.reports.register import Register, open_requests, register_of
from dpsync.reports.standing import Standings
from dpsync.reports.unasked import waiting_for_us
from dpsync.retention.conversations import PURPOSE
from dpsync.retention.standing import Opener, RetentionLine, RetentionRule, retention_lines
from dpsync.scope import Scope
from dpsync.settings import ProcessorSection, Settings
from dpsync.soundness import Soundness, judge, judging
from dpsync.store.columns import EPOCH


def ledger_line(there: Installation, now: datetime) -> LedgerLine:
    """What a report begins with: the ledger verified from its last verified checkpoint, and against the anchor.

    Every row is compared with what the ledger tells of, by the one comparison there is.
    """
    return _line_of(judge(there, now, full=False), now)


def _line_of(sound: Soundness, now: datetime) -> LedgerLine:
    newest = parse_note(sound.ledger.newest)[0].root.hex()[:8] if sound.ledger.newest else ""
    return LedgerLine(
        verified=not sound.problems,
        entries=sound.ledger.entries,
        checked_at=now,
        checkpoint=newest,
        problems=sound.problems,
        only_missing=sound.only_missing,
        checked_from=sound.ledger.checked_from,
        compared_at=sound.compared_at,
    )


def processor_lines(settings: Settings) -> list[ProcessorLine]:
    """The configured processors as reports speak of them; needs no secret. Raises `ConfigurationError`."""
    return [_line(name, section) for name, section in settings.processors.items()]


def known_processors(settings: Settings) -> dict[str, ProcessorLine]:
    """The same, by name."""
    return {line.name: line for line in processor_lines(settings)}


def titled_processors(settings: Settings) -> dict[str, ProcessorLine]:
    """The same for whoever says their titles alone: without what they can do, for which each vendor's own client would
    be loaded. Raises `ConfigurationError`.
    """
    known, sections = set(connector_names()), settings.processors.items()
    if unknown := [_unknown(name) for name, section in sections if section.connector not in known]:
        raise ConfigurationError(unknown)
    return {name: ProcessorLine(name, section.title, ()) for name, section in sections}


def _unknown(name: str) -> Fault:
    return Fault(f"processors.{name}.connector", "no such connector; see `dpsync processors`")


def _line(name: str, section: ProcessorSection) -> ProcessorLine:
    found, notice = connector_class(section.connector), connector_class("notice")
    if found is None:
        raise ConfigurationError([_unknown(name)])
    by_notice = notice.capabilities if notice else {}
    exempt = tuple(
        ExemptLine(right, one.code, one.reason, one.by, one.until) for right, one in sorted(section.exempt.items())
    )
    return ProcessorLine(name, section.title, capability_lines(found.capabilities, by_notice), exempt)


def asks_contacts(settings: Settings) -> bool:
    """Whether a contact is asked by mail to confirm itself: that needs a mail host, and where its link leads."""
    return settings.mail is not None and bool(settings.intake.public_url)


def rules_of(settings: Settings) -> list[RetentionRule]:
    """The rules for private conversations that the settings name; needs no secret."""
    found = []
    for name, section in settings.processors.items():
        if section.retention is None:
            continue  # before the connector: most have none, and loading each takes a tenth of `status`
        connector = connector_class(section.connector)
        if connector is not None and issubclass(connector, KeepsConversations):
            found.append(RetentionRule(name, section.title, section.retention.months, connector.unseen))
    return found


def acts_of(there: Installation) -> Opener:
    """Opens who did something about private conversations, and why."""
    return lambda processor, sealed: there.keys.open(PURPOSE, sealed, processor.encode())


def conversations_of(there: Installation, now: datetime) -> tuple[RetentionLine, ...]:
    """How private conversations stand at each processor that has a rule for them."""
    rules, today = rules_of(there.settings), now.astimezone(there.zone).date()
    return there.read(lambda connection: retention_lines(connection, rules, now, today, acts_of(there)))


def owed_elsewhere(there: Installation, now: datetime, request_id: str = "") -> list[Duty]:
    """The letters to people, complaints and incidents that wait for somebody, the first day first; of all requests, or
    what is about `request_id`.
    """
    today, watched = now.astimezone(there.zone).date(), there.settings.controller.watch_letters

    def work(connection: Connection) -> list[Duty]:
        letters = letter_duties(connection, today, there.zone, request_id) if watched else []
        return [*letters, *cases_of(connection, today, today, now, there.zone, request_id).duties]

    return sorted(there.read(work), key=lambda duty: duty.by or today)


def month_report(there: Installation, now: datetime) -> PeriodReport:
    """The report over the controller's month in which `now` lies, as things stand at `now`."""
    today = now.astimezone(there.zone).date()
    return period_of(there, today.replace(day=1), month_end(today), now)


def period_of(
    there: Installation, first: date, last: date, now: datetime, sent: Mapping[str, int] = MappingProxyType({})
) -> PeriodReport:
    """The report over the controller's days `first` to `last`, its ledger verified first.

    `sent`: how many requests each source says that it sent, as far as somebody knows.
    """
    begin, end = begin_and_end(first, last, there.zone)
    basis = replace(basis_under(there, now, _UNKNOWN, there.opened_decision), sent=sent)
    rules, acted = rules_of(there.settings), acts_of(there)
    standings, scope = Standings(now, basis.known, is_printed(begin, end)), Scope(begin, printed(begin, end))
    # In the view in which it is compared: what is printed is what was compared, and a row is read once for both.
    with judging(there, now, full=False, scope=scope, each_page=standings.take) as (connection, sound):
        basis = replace(basis, ledger=_line_of(sound, now))
        return period_report(connection, basis, first, last, rules=rules, acted=acted, standings=standings)


_UNKNOWN = LedgerLine(verified=False, entries=0, checked_at=EPOCH, checkpoint="")
"""Of a ledger that nobody has looked at."""


def register_now(there: Installation, now: datetime) -> Register:
    """The register of processors as the settings say today; needs no secret."""
    known, today = processor_lines(there.settings), now.astimezone(there.zone).date()
    leaving = there.read(lambda connection: departures(connection, leaving_days(there.settings)))
    return register_of(there.settings, known, there.read(open_requests), leaving, now, today)


def letter_to_leaving(there: Installation, name: str, now: datetime) -> str:
    """The letter that instructs a processor which leaves. Raises `NotFound` for one that does not."""
    register, last_day = register_now(there, now), leaving_days(there.settings).get(name)
    if last_day is None:
        raise NotFound(f"{name} does not leave: its last day is no setting, [processors.{name}] leaving")
    (line,) = [one for one in register.lines if one.processor == name]
    return departure_letter(register, line, last_day, now.astimezone(there.zone).date())


def leaving_days(settings: Settings) -> dict[str, date]:
    """The last day of each processor that leaves, by its name."""
    return {name: section.leaving for name, section in settings.processors.items() if section.leaving is not None}


def receipt_page(there: Installation, raw: bytes, now: datetime, email: str = "") -> PrintedReceipt:
    """The page of a receipt (`raw`: the signed file). `email`: the person's address, to be printed on it.

    Raises `LedgerTampered` where the receipt does not hold, and `NotFound` where it is about another address.
    """
    request_id = read_receipt(raw)["request"]
    about = BesideTheFile(
        controller=there.settings.controller.name,
        zone=there.zone,
        now=now,
        known=known_processors(there.settings),
        email=email,
        forgotten_at=there.read(lambda connection: forgotten_at(connection, request_id)),
    )
    return printed_receipt(raw, there.log.keys, about)


def basis_of(there: Installation, now: datetime) -> Basis:
    """What every report of this installation stands on, its ledger verified now."""
    return basis_under(there, now, ledger_line(there, now), there.opened_decision)


def basis_under(there: Installation, now: datetime, ledger: LedgerLine, decided: Decided) -> Basis:
    """The same under what was found of the ledger, by whoever may see who decided (`decided`)."""
    forgetting = there.settings.forgetting
    return Basis(
        controller=there.settings.controller.name,
        rehearsal=there.settings.controller.rehearsal,
        zone=there.zone,
        now=now,
        ledger=ledger,
        processors=processor_lines(there.settings),
        decided=decided,
        asks=asks_contacts(there.settings),
        unasked=waiting_for_us(there),
        forgets_after=forgetting.after_days if forgetting else None,
        kept=kept_lines(there.settings),
        letters=there.settings.controller.watch_letters,
    )


def month_end(day: date) -> date:
    """The last day of a day's month."""
    return (day.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)
