"""What `dpsync check` looks at: each thing one line, all at once, and none better than it is."""

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

from pydantic import SecretStr
from sqlalchemy import select

from dpsync import settings as configuration
from dpsync.cli.check_calendar import calendar_lines
from dpsync.cli.check_doors import (
    callbacks_told,
    letters_that_wait,
    month_report_of,
    outside,
    pdf_lines,
    questions_that_wait,
    refused_of,
)
from dpsync.cli.check_hooks import hook_lines
from dpsync.cli.check_lines import CheckLine, CheckResult
from dpsync.cli.check_proof import with_others
from dpsync.cli.check_register import register_lines
from dpsync.cli.check_sources import list_lines
from dpsync.cli.console import Talk
from dpsync.cli.contact import told_of
from dpsync.cli.first_settings import MARK, unfilled
from dpsync.cli.kept import troubles, what_the_engine_sees
from dpsync.cli.opening import demand_processors, load_settings, place_of_store, store_errors_named
from dpsync.connector_services import MailRefused, NoAnswer
from dpsync.errors import ConfigurationError, DpsyncError, Exit, Fault, KeyProblem, Locked, StoreAway
from dpsync.installation import Installation
from dpsync.intake import mail_directory
from dpsync.known_connectors import connector_class
from dpsync.propagation import contacts
from dpsync.propagation.contacts import is_confirmed
from dpsync.propagation.correspondence import acknowledgement
from dpsync.propagation.correspondence.incoming import unread
from dpsync.reports.conversations import retention_duties
from dpsync.reports.housekeeping import drilled
from dpsync.reports.make import conversations_of
from dpsync.reports.stopped import stopped_processors
from dpsync.reports.words import several, together
from dpsync.retention.service import LIST_JOB, RETENTION_JOB
from dpsync.running import drills, timekeeping
from dpsync.sealing import Keys
from dpsync.settings import Settings
from dpsync.soundness import Soundness, judge
from dpsync.store import tables as t

UNSET = "DP-204"
JOB_GRACE = timedelta(days=1)
"""How late a timed job may be before somebody must look: a machine may be switched off for a night."""


def looked(talk: Talk, *, offline: bool, send_test: bool, ask: Sequence[str] = ()) -> list[CheckLine]:
    """Every line. Opens the network unless `offline`; sends something only with `send_test`, or to those in `ask`.

    Raises `NotFound` for a processor in `ask` that there is none of.
    """
    try:
        settings = load_settings(talk.config, secrets=False)
    except ConfigurationError as error:
        return [_fault_line(fault) for fault in error.faults]
    lines = [*_settings(talk, settings), *(_unset_line(fault, offline=offline) for fault in settings.unset)]
    try:
        Keys.load(settings.keys.directory)
    except KeyProblem as problem:
        return [*lines, CheckLine("keys", CheckResult.PROBLEM, problem.message, problem.code, fatal=True)]
    lines.append(CheckLine("keys", CheckResult.OK, f"{settings.keys.directory}, readable by its owner only"))
    with Installation(talk.config, os.environ, settings=settings, told=talk.warn) as there:
        ready = _own_store(there)
        lines += ready
        if not any(one.fatal for one in ready):
            lines += _jobs(there, there.clock.now())
            lines += _incoming(there)
            lines += [*letters_that_wait(there), *questions_that_wait(there)]
            lines += month_report_of(there, there.clock.now())
            lines += [*with_others(there, there.clock.now()), *_drill(there, there.clock.now())]
            lines += pdf_lines()
            lines += refused_of(there, there.clock.now())
            lines += calendar_lines(there, there.clock.now())
            lines += _conversations(there, there.clock.now())
            lines += [*register_lines(there, there.clock.now()), *callbacks_told(there), *list_lines(there)]
        begun = not any(one.fatal for one in ready)
        lines += _processors(there, offline=offline, store=begun)
        lines += _stopped(there) if begun else ()
        lines += _same_secret(there)
        lines += outside(there, offline=offline)
        demand_processors(there, list(ask))
        if not any(one.fatal or one.code in _NOTHING_WRITTEN for one in lines):
            lines += [line for name in ask for line in _asked_again(there, name)]
        if send_test and not any(one.fatal or one.code in _NOTHING_WRITTEN for one in lines):
            lines += _tested(there)
    return lines


_NOTHING_WRITTEN = frozenset({"DP-601", "DP-605"})
"""Where one of these is found, nobody is asked and nothing is tried: a write would take away the way back."""


def worst_exit(lines: Sequence[CheckLine]) -> Exit:
    """0, 2, 75 or 78."""
    fatal = [one for one in lines if one.fatal]
    if fatal:
        return Exit.LATER if all(one.passes for one in fatal) else Exit.CONFIGURATION
    return Exit.LOOK if any(one.verdict is CheckResult.PROBLEM for one in lines) else Exit.DONE


def head_line(lines: Sequence[CheckLine]) -> str:
    """How many of what, the worst first."""
    counts = [(verdict, sum(1 for one in lines if one.verdict is verdict)) for verdict in reversed(CheckResult)]
    words = {
        CheckResult.PROBLEM: "problem",
        CheckResult.WAITING: "waiting",
        CheckResult.NOT_SET: "not set",
        CheckResult.OK: "ok",
    }
    return (
        ", ".join(
            several(count, words[verdict]) if verdict is CheckResult.PROBLEM else f"{count} {words[verdict]}"
            for verdict, count in counts
            if count
        )
        + "."
    )


def _fault_line(fault: Fault) -> CheckLine:
    return CheckLine("settings", CheckResult.PROBLEM, f"{fault.key}: {fault.problem}", fault.code, fatal=True)


def _unset_line(fault: Fault, *, offline: bool) -> CheckLine:
    merely = offline and fault.code == UNSET  # what is open to others or a folder is wrong in every shell
    verdict = CheckResult.NOT_SET if merely else CheckResult.PROBLEM
    return CheckLine("settings", verdict, f"{fault.key}: {fault.problem}", fault.code, fatal=not merely)


def _settings(talk: Talk, settings: Settings) -> Iterator[CheckLine]:
    safety = settings.safety
    hours = f"{safety.cooling_off.total_seconds() / 3600:g} h"
    rehearsal = ", REHEARSAL" if settings.controller.rehearsal else ""
    text = f"{talk.config}, mode {safety.mode.value}, cooling-off {hours}, approvals {safety.approvals}{rehearsal}"
    yield CheckLine("settings", CheckResult.OK, text)
    for key in unfilled(talk.config.read_text(encoding="utf-8")):
        yield CheckLine("settings", CheckResult.WAITING, f"{key} is still marked {MARK}: set it, and remove the mark")
    if not settings.processors:
        yield CheckLine(
            "settings", CheckResult.PROBLEM, "no processor is configured: dpsync would tell nobody", "DP-201"
        )


def _own_store(there: Installation) -> list[CheckLine]:
    try:
        with store_errors_named(there.settings.store.url):
            there.demand_own_store()
            clock = timekeeping.trouble(there)  # before judging leaves its own time
            sound = judge(there, there.clock.now(), full=False)
    except DpsyncError as error:
        passes = isinstance(error, (StoreAway, Locked))
        return [CheckLine("ledger", CheckResult.PROBLEM, error.message, error.code, fatal=True, passes=passes)]
    seen_of_clock = (
        [CheckLine("clock", CheckResult.PROBLEM, f"{clock.subject}. {clock.body}", "DP-331")] if clock else []
    )
    return [*_seen_of_record(there, sound), *seen_of_clock]


def _seen_of_record(there: Installation, sound: Soundness) -> list[CheckLine]:
    place = f"{place_of_store(there)}, origin {there.origin}"
    wrong = list(troubles(there, sound))
    if record := (*sound.ledger.problems, *sound.differences):
        code = "DP-601" if sound.ledger.problems else "DP-603"
        differs = CheckLine("ledger", CheckResult.PROBLEM, f"{record[0]} ({place})", code)
        return [*wrong, differs] if sound.keys else [differs, *wrong]
    if sound.keys:
        return wrong
    seen = CheckLine("database", CheckResult.OK, what_the_engine_sees(there))
    earlier = f" ({sound.ledger.checked_from:,} of them by an earlier check)" if sound.ledger.checked_from else ""
    said = f"{sound.ledger.entries:,} entries verified{earlier}, every row agrees with them, {place}"
    return [CheckLine("ledger", CheckResult.OK, said), *(wrong or [seen])]


def _jobs(there: Installation, now: datetime) -> Iterator[CheckLine]:
    job = t.job.c
    rows = there.read(lambda connection: connection.execute(select(job.name, job.due_at, job.last_ok_at)).all())
    if not rows:
        yield CheckLine("jobs", CheckResult.WAITING, "not run yet: `dpsync serve` runs them")
        return
    late = sorted(row.name for row in rows if row.due_at < now - JOB_GRACE and _is_wanted(there, row.name))
    if late:
        yield CheckLine(
            "jobs",
            CheckResult.PROBLEM,
            f"overdue for more than a day: {', '.join(late)}. Is `dpsync serve` running?",
            "DP-330",
        )
    else:
        newest = max((row.last_ok_at for row in rows if row.last_ok_at), default=None)
        seen = f", the last at {newest.astimezone(there.zone):%d %b %Y %H:%M}" if newest else ""
        yield CheckLine("jobs", CheckResult.OK, f"{len(rows)} timed jobs{seen}")


def _drill(there: Installation, now: datetime) -> Iterator[CheckLine]:
    """When a back-up was last tried; nothing where the settings do not say where they lie."""
    section, last = there.settings.backup, there.read(drilled)
    if section is None:
        return
    if found := drills.trouble(there, now):
        yield CheckLine("back-ups", CheckResult.PROBLEM, f"{found}: dpsync drill {section.directory}")
    elif last:
        yield CheckLine("back-ups", CheckResult.OK, f"one was tried {several((now - last.at).days, 'day')} ago: good")


def _is_wanted(there: Installation, job: str) -> bool:
    """Whether a job still has something to do: those of a rule that was taken out of the settings never run again."""
    rules = {name for name, section in there.settings.processors.items() if section.retention is not None}
    if job == RETENTION_JOB:
        return bool(rules)
    return not job.startswith(LIST_JOB) or job.removeprefix(LIST_JOB) in rules


def _incoming(there: Installation) -> Iterator[CheckLine]:
    """The folder of what comes back by mail: whether it can be read, and what in it waits for a person."""
    mail = there.settings.mail
    if mail is None:
        return
    if mail.incoming is None:
        yield CheckLine(
            "incoming mail", CheckResult.NOT_SET, "a person must read bounces and replies: see [mail] incoming"
        )
    elif trouble := mail_directory.trouble(mail.incoming):
        yield CheckLine("incoming mail", CheckResult.PROBLEM, trouble, "DP-304")
    elif waiting := len(there.read(unread)):
        place = mail.incoming / mail_directory.WAITING
        yield CheckLine(
            "incoming mail", CheckResult.WAITING, f"{several(waiting, 'message')} for a person to read, in {place}"
        )
    else:
        yield CheckLine("incoming mail", CheckResult.OK, f"{mail.incoming}; nothing waits for a person")


def _conversations(there: Installation, now: datetime) -> Iterator[CheckLine]:
    """Whether private conversations are deleted in time, and whether the list of them reaches anybody."""
    for line in conversations_of(there, now):
        what = f"{line.rule.processor} conversations"
        for duty in retention_duties([line]):
            yield CheckLine(what, CheckResult.PROBLEM, duty.sentence, "DP-340")
        told = "" if line.told_since else "; no webhook has reported any yet"
        rule = several(line.rule.months, "month")
        yield CheckLine(what, CheckResult.OK, f"{line.known:,} known, {line.overdue:,} overdue; kept for {rule}{told}")


def _processors(there: Installation, *, offline: bool, store: bool) -> list[CheckLine]:
    names = list(there.settings.processors)
    # A processor that sits in its deadline must not make the others wait for theirs.
    with ThreadPoolExecutor(max_workers=max(1, min(16, len(names)))) as pool:
        found = list(pool.map(lambda name: _processor(there, name, offline=offline, store=store), names))
    good = [one.what for one in found if one.verdict is not CheckResult.PROBLEM]
    return [*found, *(hook_lines(there, good) if store and not offline and not any(one.fatal for one in found) else ())]


def _processor(there: Installation, name: str, *, offline: bool, store: bool) -> CheckLine:
    alone = there.settings.model_copy(update={"processors": {name: there.settings.processors[name]}})
    try:
        # On its own, so that one section's fault does not keep the others from being asked.
        with (
            store_errors_named(there.settings.store.url),
            Installation(there.config, there.environ, settings=alone) as one,
        ):
            seen = _probed(one, name, offline=offline)
            return _contact(one, name, seen) if store else CheckLine(name, CheckResult.OK, seen)
    except ConfigurationError as error:
        unset = offline and all(fault.code == UNSET for fault in error.faults)
        told = "; ".join(f"{fault.key}: {fault.problem}" for fault in error.faults)
        return CheckLine(name, CheckResult.NOT_SET if unset else CheckResult.PROBLEM, told, error.code, fatal=not unset)
    except DpsyncError as error:
        return CheckLine(name, CheckResult.PROBLEM, error.message, error.code)
    except Exception as error:  # noqa: BLE001 - because one connector's defect must not hide the other lines
        return CheckLine(name, CheckResult.PROBLEM, f"a fault of dpsync ({type(error).__name__})", "DP-100")


def _probed(one: Installation, name: str, *, offline: bool) -> str:
    connector = one.controller.processors[name].connector
    if offline:
        return "configured. Not asked (--offline)"
    account = connector.probe()
    return f'"{account.title}"' + ("" if account.contacts is None else f", {several(account.contacts, 'contact')}")


def _contact(one: Installation, name: str, seen: str) -> CheckLine:
    controller, processor = one.controller, one.controller.processors[name]
    rule = processor.retention

    def confirmed(address: str) -> bool:
        return one.read(lambda connection: is_confirmed(connection, controller, name, address))

    counts = one.read(lambda connection: contacts.present(connection, controller, processor))
    other = one.read(lambda connection: contacts.named(connection, controller, processor))
    if other and other.state is contacts.NamedState.OVERRULED:
        seen = f"{seen}; {told_of(other, one).rstrip('.')}"
    elif other:
        write = f'To keep it, write contact = "{other.address}" into [processors.{name}]'
        return CheckLine(name, CheckResult.WAITING, f"{seen}; {told_of(other, one)} {write}")
    if not confirmed(counts):
        return CheckLine(
            name, CheckResult.WAITING, f"{seen}; its contact has not confirmed the address: notices are held"
        )
    if rule is not None and not confirmed(rule.admin):
        return CheckLine(
            name, CheckResult.WAITING, f"{seen}; its admin has not confirmed the address: no work list is sent"
        )
    if rule is not None and rule.deputy and not confirmed(rule.deputy):
        return CheckLine(name, CheckResult.WAITING, f"{seen}; its admin's deputy has not confirmed the address")
    if processor.backup_contact and not confirmed(processor.backup_contact):
        return CheckLine(
            name,
            CheckResult.WAITING,
            f"{seen}; its second contact has not confirmed the address: dpsync does not write to it",
        )
    return CheckLine(name, CheckResult.OK, f"{seen}; contact confirmed")


def _asked_again(there: Installation, name: str) -> Iterator[CheckLine]:
    """Ask each of a processor's desks that has not confirmed itself, in a mail of its own."""
    controller, now, what = there.controller, there.clock.now(), f"ask {name}"
    if there.mail is None or not controller.public_url:
        yield CheckLine(
            what, CheckResult.PROBLEM, "dpsync cannot ask: it needs [mail] and [intake] public_url", "DP-320"
        )
        return
    there.write(lambda unit: contacts.register(unit.connection, controller, controller.processors[name], now))
    desks = there.read(lambda connection: contacts.desks(connection, controller, controller.processors[name]))
    for place, address in enumerate(desks, 1):
        if there.read(lambda connection, address=address: is_confirmed(connection, controller, name, address)):  # type: ignore[misc]  # because mypy does not infer a lambda's default
            yield CheckLine(what, CheckResult.OK, f"contact {place} has confirmed the address. Nothing was sent")
            continue
        try:
            posted = acknowledgement.mail_question(
                controller, there.mail, name, address, now, number=int(now.timestamp())
            )
        except NoAnswer as failure:
            yield CheckLine(what, CheckResult.PROBLEM, f"contact {place}: {failure.reason}", "DP-303")
        except MailRefused:
            yield CheckLine(
                what, CheckResult.PROBLEM, f"contact {place}: the mail host refused it. Is the address right?", "DP-303"
            )
        except DpsyncError as error:
            yield CheckLine(what, CheckResult.PROBLEM, f"contact {place}: {error.message}", "DP-303")
        else:
            there.write(
                lambda unit, address=address: contacts.mark_asked(unit.connection, controller, name, address, now)  # type: ignore[misc]  # because mypy does not infer a lambda's default
            )
            yield CheckLine(
                what,
                CheckResult.OK,
                f"contact {place} asked. The mail host answered {posted.evidence.status}",
            )


def _stopped(there: Installation) -> Iterator[CheckLine]:
    for one in stopped_processors(there):
        yield CheckLine(one.processor, CheckResult.PROBLEM, f"{one.sentence}. The legal dates still run", "DP-221")


def _same_secret(there: Installation) -> Iterator[CheckLine]:
    """Two accounts with one secret would together exceed the processor's limits, each unaware of the other."""
    accounts: dict[str, set[str]] = defaultdict(set)
    names: dict[str, list[str]] = defaultdict(list)
    for name, section in there.settings.processors.items():
        found = connector_class(section.connector)
        if found is None:
            continue
        try:
            own = configuration.connector_section(found.Settings, name, section, there.environ, there.config.parent)
        except ConfigurationError:
            continue  # said already, in the processor's own line
        for key in type(own).model_fields:
            value = getattr(own, key)
            if isinstance(value, SecretStr):
                accounts[value.get_secret_value()].add(section.account)
                names[value.get_secret_value()].append(name)
    for secret, sharing in accounts.items():
        if len(sharing) > 1:
            text = f'{len(sharing)} accounts use one secret: give {together(names[secret])} the same account = "..."'
            yield CheckLine("accounts", CheckResult.PROBLEM, text, "DP-220")


def _tested(there: Installation) -> Iterator[CheckLine]:
    deliveries = there.outbox.send_test(
        lambda work: there.write(lambda unit: work(unit.connection)), there.read, there.clock.now(), there.zone
    )
    for one in deliveries:
        verdict = CheckResult.OK if one.took else CheckResult.PROBLEM
        yield CheckLine(f"test {one.channel}", verdict, one.detail, "" if one.took else one.code)
