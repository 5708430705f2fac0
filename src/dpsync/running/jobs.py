"""The table of jobs: what runs by the clock in an installation at work, and when."""

from collections.abc import Callable
from datetime import datetime, timedelta
from datetime import time as time_of_day
from functools import partial

from dpsync.alert_causes import AlertCause
from dpsync.alerts import Concern
from dpsync.cases import ladder as cases
from dpsync.installation import Installation
from dpsync.intake import held_merges, parts_held
from dpsync.intake.polling import watching
from dpsync.intake.reconciliation import daily as reconciliation
from dpsync.intake.refusals import tell_of_rest
from dpsync.intake.sweeping.nightly import Nightly
from dpsync.propagation.controller import Controller
from dpsync.propagation.correspondence import escalation, letters_due
from dpsync.propagation.queue import allowance
from dpsync.retention import service as retention
from dpsync.running import (
    asking,
    callbacks,
    checkpoint_mail,
    cosigning,
    drills,
    forgetting,
    hook_health,
    key_changes,
    mailing,
    month_report,
    opendsr_certificate,
    receipting,
    reviews,
    stamping,
    timekeeping,
)
from dpsync.running.proof_alerts import tell_of_keys, tell_of_old_anchor
from dpsync.running.question_plans import QuestionPlans
from dpsync.scheduler import Due, Job, Jobs, daily, every
from dpsync.soundness import judge_and_tell
from dpsync.store.writer import Unit

MINUTE, HOUR, WEEK = every(timedelta(minutes=1)), every(timedelta(hours=1)), every(timedelta(days=7))
MORNING = time_of_day(7, 0)


def table(there: Installation, beat: Callable[[datetime], None]) -> list[Job]:
    """Name, when, what. `beat` tells the heartbeat's watcher that the service lives."""
    morning = daily(MORNING, there.zone)

    def written(work: Callable[[Unit, Controller, datetime], object]) -> Callable[[datetime], object]:
        return lambda now: there.write(lambda unit: work(unit, there.controller, now))

    return [
        Job("ladder", HOUR, partial(climb, there)),
        Job("letters", HOUR, partial(remind_of_letters, there)),
        Job("cases", MINUTE, partial(climb_cases, there)),  # the 72 hours run from what the record shows
        # Alerts first, and each for itself: what fails beside them must not keep them back.
        Job("alerts", MINUTE, partial(send_alerts, there)),
        Job("clock", MINUTE, lambda _: timekeeping.look(there)),
        Job("post", MINUTE, partial(mailing.read_incoming, there)),
        Job("contacts", MINUTE, partial(mailing.ask_contacts, there)),
        Job("questions", MINUTE, partial(asking.ask, there, QuestionPlans(there))),
        Job("answer-receipts", MINUTE, partial(mailing.send_answer_receipts, there)),
        Job("receipts", MINUTE, partial(receipting.write, there)),
        *_of_main_databases(there, morning),
        Job("report", HOUR, partial(month_report.mail, there)),
        Job("checkpoint-mail", HOUR, partial(checkpoint_mail.mail, there)),
        Job("refusals", morning, written(tell_of_rest)),
        Job("merges", morning, written(held_merges.remind)),
        Job("reviews", morning, partial(reviews.remind, there)),
        Job("checkpoint", morning, there.anchor),
        Job("cosign", HOUR, partial(cosigning.ask, there)),
        Job("stamp", HOUR, partial(stamping.ask, there)),
        Job("sweeps", MINUTE, Nightly(there).go_on),
        Job("heartbeat", MINUTE, beat),
        Job("compare", HOUR, partial(judge_and_tell, there, full=False)),
        Job("verify", WEEK, partial(judge_and_tell, there, full=True)),
        Job("keys", HOUR, partial(tell_of_keys, there)),
        Job("old-keys", morning, partial(key_changes.retire, there)),
        Job("forgetting", HOUR, partial(forgetting.forget, there)),
        Job("brake", HOUR, lambda now: there.write(lambda unit: allowance.drop_old(unit.connection, now))),
        Job("drill", morning, partial(drills.tell, there)),
        Job("anchor-age", HOUR, partial(tell_of_old_anchor, there)),
        *retention.jobs_of(there),
    ]


def _of_main_databases(there: Installation, morning: Due) -> list[Job]:
    """What comes from them without a message, and what they are told."""
    return [
        Job("callbacks", MINUTE, partial(callbacks.send_due, there)),
        Job("late-callbacks", HOUR, partial(callbacks.tell_of_what_nobody_does, there)),
        Job("outboxes", MINUTE, partial(watching.poll_all, there)),
        Job("parts", MINUTE, partial(answer_parts, there)),
        Job("opendsr", morning, partial(opendsr_certificate.watch, there)),
        Job("hooks", morning, partial(hook_health.watch, there)),
        Job("triggers", morning, partial(watching.inspect_all, there)),
        Job("reconciliation", morning, partial(reconciliation.reconcile_all, there)),
    ]


def jobs_of(there: Installation, owner: str, beat: Callable[[datetime], None]) -> Jobs:
    """The table, run by the worker `owner`."""
    jobs = {job.name: job for job in table(there, beat)}
    return Jobs(jobs, there.engine, there.writer, there.clock, owner, partial(_tell_of_failure, there))


def climb(there: Installation, now: datetime) -> None:
    """Tell of what is open for too long, and ask about it: found by reading, so that others write meanwhile."""
    if found := there.read(lambda connection: escalation.look(connection, there.controller, now)):
        there.write(lambda unit: escalation.climb(unit, there.controller, found, now))


def answer_parts(there: Installation, now: datetime) -> None:
    """Release what waited for what a part is at a processor, where that is known now."""
    if found := there.read(lambda connection: parts_held.look(connection, there.controller)):
        there.write(lambda unit: parts_held.go_on(unit, there.controller, found, now))


def remind_of_letters(there: Installation, now: datetime) -> None:
    """The same for letters to people."""
    if found := there.read(lambda connection: letters_due.look(connection, there.controller, now)):
        there.write(lambda unit: letters_due.remind(unit, there.controller, found, now))


def climb_cases(there: Installation, now: datetime) -> None:
    """The same for complaints and incidents."""
    if found := there.read(lambda connection: cases.look(connection, there.controller, now)):
        there.write(lambda unit: cases.climb(unit, there.controller, found, now))


def after_work(there: Installation, now: datetime) -> None:
    """What follows from what happened: questions to contacts, receipts of what closed, callbacks, alerts."""
    try:
        mailing.ask_contacts(there, now)
        asking.ask(there, QuestionPlans(there), now)
        receipting.write(there, now)
        callbacks.send_due(there, now)
    finally:
        send_alerts(there, now)


def send_alerts(there: Installation, now: datetime) -> None:
    """Send what waits in the outbox."""
    there.outbox.send_due(lambda work: there.write(lambda unit: work(unit.connection)), there.read, now)


def _tell_of_failure(there: Installation, name: str) -> None:
    there.tell(
        cause=AlertCause.JOB,
        role="operator",
        subject="A timed job failed",
        body="dpsync tries again in five minutes. `dpsync check` shows more.",
        now=there.clock.now(),
        concerns=[Concern(name, f"job {name}")],
    )
