"""What `dpsync check` sees of the ways in and out: mail, alerts, the public address, webhook secrets, refusals."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from typing import assert_never

from sqlalchemy import func, select

from dpsync.channels import HEARTBEAT, useless
from dpsync.cli.check_lines import CheckLine, CheckResult
from dpsync.cli.check_opendsr import opendsr_lines
from dpsync.cli.check_sources import source_lines
from dpsync.cli.running_service import Serving, ask
from dpsync.errors import MAIL_HOST, ConfigurationError, DpsyncError, Locked
from dpsync.extras import is_installed, unusable
from dpsync.installation import Installation
from dpsync.intake.refusals import UNSEEN, is_of_ours, is_unseen, phrase, refused_since
from dpsync.intake.server import listening
from dpsync.model import State, Way
from dpsync.processors import passphrases_of, roles_asked
from dpsync.propagation.decisions import ROLES
from dpsync.reports.unasked import unasked
from dpsync.reports.words import moment, several
from dpsync.running import callback_targets, month_report
from dpsync.running.callbacks import OVERDUE
from dpsync.settings import Settings
from dpsync.settings.values import UNSET_CODE
from dpsync.signature import UNFIT, Verifier, doubts
from dpsync.store import tables as t


def refused_of(there: Installation, now: datetime) -> Iterator[CheckLine]:
    """What dpsync refused since yesterday: each may be somebody's request."""
    yesterday = (now.astimezone(there.zone) - timedelta(days=1)).date().isoformat()
    rows = there.read(lambda connection: refused_since(connection, yesterday))
    ours = "; ".join(phrase(row) for row in rows if is_of_ours(row))
    unseen = sum(row.times for row in rows if is_unseen(row))
    strangers = sum(row.times for row in rows if not is_of_ours(row) and not is_unseen(row))
    unsigned = (f"; {unseen:,} {UNSEEN}" if unseen else "") + (f"; {strangers:,} of strangers" if strangers else "")
    if ours:
        yield CheckLine("refusals", CheckResult.PROBLEM, f"since yesterday: {ours}{unsigned}", "DP-322")
    else:
        yield CheckLine("refusals", CheckResult.OK, f"no signed request was refused since yesterday{unsigned}")


def month_report_of(there: Installation, now: datetime) -> Iterator[CheckLine]:
    """Whether the data protection officer gets the month's report."""
    mail, last = there.settings.mail, there.read(month_report.newest)
    if mail is None or not mail.monthly_report:
        yield CheckLine("report", CheckResult.NOT_SET, "dpsync does not email it: see [mail] monthly_report")
    elif last is None:
        yield CheckLine("report", CheckResult.OK, "the DPO gets it by email on the first working day of a month")
    elif last.state is month_report.MailingState.SENT:
        when = moment(last.since, there.zone)
        yield CheckLine("report", CheckResult.OK, f"the mail host accepted that of {last.month} on {when}")
    else:
        late = now - last.since >= month_report.PATIENCE
        told = f"that of {last.month} is not mailed yet, tried since {moment(last.since, there.zone)}"
        yield CheckLine("report", CheckResult.PROBLEM if late else CheckResult.WAITING, told, "DP-305")


def pdf_lines() -> Iterator[CheckLine]:
    """Whether reports can be made as PDF, where the extra for it is installed."""
    if is_installed("pdf"):
        why = unusable("pdf")
        told = f"a report as PDF {why}" if why else "reports can be made as PDF"
        yield CheckLine("pdf", CheckResult.PROBLEM if why else CheckResult.OK, told, "DP-206" if why else "")


def outside(there: Installation, *, offline: bool) -> Iterator[CheckLine]:
    """Mail, alerts, the public address and the webhook secrets; asked over the network unless `offline`."""
    settings = there.settings
    try:
        mail = there.mail
        if mail is None:
            yield CheckLine(
                "mail", CheckResult.NOT_SET, "dpsync cannot send notices or reports, or ask contacts: add [mail]"
            )
        elif offline:
            yield CheckLine(
                "mail", CheckResult.OK, f"{settings.mail.host if settings.mail else ''}; not asked (--offline)"
            )
        else:
            yield CheckLine("mail", CheckResult.OK, mail.probe())
    except ConfigurationError:
        yield CheckLine("mail", CheckResult.NOT_SET, "its password or secret is not set here", UNSET_CODE)
    except DpsyncError as error:
        yield CheckLine("mail", CheckResult.PROBLEM, error.message, "DP-303")
    yield from _alerts(settings, offline=offline)
    if settings.intake.public_url:
        yield CheckLine("public_url", CheckResult.OK, settings.intake.public_url)
    else:
        yield CheckLine("public_url", CheckResult.NOT_SET, "links in emails will not work. Commands will", "DP-320")
    yield _decision_links(settings)
    yield from _intake(settings)
    yield from source_lines(there, offline=offline)
    yield from opendsr_lines(there, offline=offline)
    if not offline:
        yield _receiver(settings.intake.listen, settings.origin)


def _decision_links(settings: Settings) -> CheckLine:
    """Whether decisions are asked by link, and why not."""
    asked = roles_asked(settings)
    if asked:
        chosen = passphrases_of(settings)
        said = (
            (" and the ".join(ROLES[role] for role in some), second)
            for some, second in (
                ([role for role in asked if role not in chosen], "a code in emails"),
                ([role for role in asked if role in chosen], "a passphrase"),
            )
        )
        text = "; ".join(f"the {roles} can decide by a link and {second}" for roles, second in said if roles)
        return CheckLine("decisions", CheckResult.OK, text)
    text = "off. They need [mail], and an https address in [intake] public_url. Decide by command"
    return CheckLine("decisions", CheckResult.NOT_SET, text, "DP-320")


def letters_that_wait(there: Installation) -> Iterator[CheckLine]:
    """How many letters our own mail host does not take, since when and why, also where a test mail went well."""
    p, a = t.propagation.c, t.attempt.c
    ours = p.reason.contains(MAIL_HOST, autoescape=True)
    waits = (p.state == State.PENDING) & (p.way != Way.API) & ours
    refused = a.ended_at.is_not(None) & a.reason.contains(MAIL_HOST, autoescape=True)
    since = select(func.min(a.begun_at)).join(t.propagation, p.id == a.propagation_id).where(waits, refused)
    many = select(p.reason, func.count().label("letters")).where(waits).group_by(p.reason).order_by(p.reason)
    found = there.read(lambda connection: connection.execute(many).all())
    if not found:
        return
    first = there.read(lambda connection: connection.execute(since).scalar_one())
    begun = f" since {moment(first, there.zone)}" if first else ""
    letters = several(sum(row.letters for row in found), "letter")
    why = "; ".join(row.reason for row in found)
    text = f"{letters} not accepted by our own mail host{begun}. dpsync tries again: {why}"
    yield CheckLine("letters", CheckResult.PROBLEM, text, "DP-303")


def questions_that_wait(there: Installation) -> Iterator[CheckLine]:
    """Whom our own mail host does not let us ask, since when and why: what waits for their answer stays held."""
    if found := unasked(there):
        text = f"the question to {found.whom} not accepted by our own mail host since "
        text += f"{moment(found.since, there.zone)}. dpsync tries again: {found.why}"
        yield CheckLine("questions", CheckResult.PROBLEM, text, "DP-303")


def _alerts(settings: Settings, *, offline: bool) -> Iterator[CheckLine]:
    """Whether anybody would hear; a URL that cannot be used is no channel, nor is one that is not there."""
    found = useless(settings.alerts, rehearsal=settings.controller.rehearsal)
    for name, problem in found.items():
        yield CheckLine("alerts", CheckResult.PROBLEM, f"{name}: {problem}", "DP-302")
    absent = {fault.key: fault.code for fault in settings.unset if fault.key.startswith("alerts.")}
    gone = found.keys() | absent
    beats = settings.alerts.heartbeat is not None and HEARTBEAT not in gone
    channels = len(settings.alerts.urls) + (1 if settings.mail else 0) - len(gone - {HEARTBEAT})
    merely = [key for key, code in absent.items() if offline and code == UNSET_CODE]
    if channels + beats >= 2:
        text = f"{several(channels, 'channel')}, {'with' if beats else 'without'} a heartbeat"
        yield CheckLine("alerts", CheckResult.OK, text)
    elif channels + beats + len(merely) >= 2:
        text = f"{several(channels, 'channel')}; not set here: {', '.join(merely)}"
        yield CheckLine("alerts", CheckResult.NOT_SET, text, UNSET_CODE)
    else:
        text = "one channel and no heartbeat: if it fails, nobody notices" if channels else "no channel at all"
        yield CheckLine("alerts", CheckResult.PROBLEM, text, "DP-301")


def _intake(settings: Settings) -> Iterator[CheckLine]:
    """The secrets that the main database signs with; those that are not set here have a line of their own."""
    if not settings.intake.secrets and settings.asked_elsewhere:
        yield CheckLine("intake", CheckResult.OK, "no webhook secret: dpsync is asked by [sources] or [opendsr] alone")
        return
    if not settings.intake.secrets:
        yield CheckLine("intake", CheckResult.NOT_SET, "no webhook secret: dpsync refuses every webhook")
        return
    known: dict[int, str] = {}
    for number, secret in enumerate(settings.intake.secrets):
        with suppress(ConfigurationError):
            known[number] = secret.get_secret_value()
    found = doubts(known)
    for fault in found:
        refused = _is_refused(known[int(fault.key.partition("[")[2].rstrip("]"))])
        yield CheckLine("intake", CheckResult.PROBLEM, f"{fault.key}: {fault.problem}", fault.code, fatal=refused)
    if known and not found:
        yield CheckLine("intake", CheckResult.OK, f"{several(len(known), 'webhook secret')}, of the right form")


def callbacks_told(there: Installation) -> Iterator[CheckLine]:
    """Each main database that is told what became of its requests: whether it can be, and what it has yet to hear."""
    try:
        targets = callback_targets.targets_of(there)
    except ConfigurationError as error:
        unset = all(fault.code == UNSET_CODE for fault in error.faults)
        verdict = CheckResult.NOT_SET if unset else CheckResult.PROBLEM
        text = "; ".join(f"{fault.key}: {fault.problem}" for fault in error.faults)
        yield CheckLine("callbacks", verdict, text, error.faults[0].code, fatal=not unset)
        return
    now = there.clock.now()
    waiting = there.read(callback_targets.backlogs)
    given_up = there.read(lambda connection: callback_targets.given_up(connection, now))
    for name, target in targets.items():
        what, left = f"callbacks {name}", waiting.get(name)
        for key, problem in _doubts_of_callback(there, target):
            yield CheckLine(what, CheckResult.PROBLEM, f"{key}: {problem}", UNFIT)
        since = there.read(lambda connection, target=target: callback_targets.stopped(connection, there.keys, target))  # type: ignore[misc]  # because mypy does not infer a lambda's default
        if since is not None:
            text = f"stopped since {moment(since, there.zone)}: it said that it takes no more messages (410)"
            yield CheckLine(what, CheckResult.PROBLEM, text, "DP-323")
        elif left is None and name in given_up:
            text = f"{several(given_up[name], 'message')} given up: `dpsync resume` sends again"
            yield CheckLine(what, CheckResult.PROBLEM, text, "DP-323")
        elif left is None:
            yield CheckLine(what, CheckResult.OK, "it was told all that it should hear")
        else:
            told = f"{several(left.number, 'message')} waiting since {moment(left.since, there.zone)}"
            late = now - left.since >= OVERDUE
            verdict = CheckResult.PROBLEM if late else CheckResult.WAITING
            yield CheckLine(what, verdict, f"{told}: {left.said}".rstrip(": "), "DP-323" if late else "")


def _doubts_of_callback(there: Installation, target: callback_targets.CallbackTarget) -> Iterator[tuple[str, str]]:
    """What is wrong with its secrets. Signed by one secret, a message to dpsync could be passed off as one from it."""
    for fault in () if target.is_platform else doubts(dict(enumerate(target.secrets))):
        yield callback_targets.named(target.source, fault.key), fault.problem
    section = there.settings.sources.get(target.source, there.settings.intake)
    theirs: list[str] = []
    with suppress(ConfigurationError):
        theirs = [secret.get_secret_value() for secret in section.secrets]
    for number, secret in enumerate(target.secrets):
        if secret in theirs:
            key = callback_targets.named(target.source, f"secrets[{number}]")
            yield key, "is a secret that the main database signs with itself: make another one"


def _receiver(listen: str, origin: str) -> CheckLine:
    """Whether the service answers where it should, and else whether it could."""
    heard = ask(listen, origin)
    told = f"{listen}: {heard.sentence}"
    match heard.serving:
        case Serving.READY:
            return CheckLine("receiver", CheckResult.OK, told)
        case Serving.NOT_READY:
            return CheckLine("receiver", CheckResult.PROBLEM, told, "DP-106")
        case Serving.OTHER | Serving.ELSEWHERE:
            return CheckLine(
                "receiver", CheckResult.PROBLEM, f"{told}: choose another port in [intake] listen", "DP-104"
            )
        case Serving.NOBODY:
            try:
                with listening(listen):
                    return CheckLine("receiver", CheckResult.WAITING, told)
            except Locked as cannot:
                return CheckLine("receiver", CheckResult.PROBLEM, cannot.message, cannot.code)
        case _:
            assert_never(heard.serving)


def _is_refused(secret: str) -> bool:
    """Whether `serve` would not begin with it."""
    try:
        Verifier([secret])
    except ConfigurationError:
        return True
    return False
