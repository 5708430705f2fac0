"""The table of jobs: what runs by the clock in an installation at work, and when."""

from collections.abc import Callable
from datetime import datetime, timedelta
from datetime import time as time_of_day
from functools import partial

from dpsync.alerts import Concern
from dpsync.cases import ladder as cases
from dpsync.installation import Installation
from dpsync.intake.refusals import tell_of_rest
from dpsync.propagation import receipts
from dpsync.propagation.controller import Controller
from dpsync.propagation.correspondence import escalation, letters_due
from dpsync.retention import service as retention
from dpsync.running import (
    asking,
    checkpoint_mail,
    cosigning,
    forgetting,
    mailing,
    month_report,
    reviews,
    stamping,
    timekeeping,
)
from dpsync.scheduler import Job, Jobs, daily, every
from dpsync.soundness import judge_and_tell, tell_of_keys, tell_of_old_anchor
from dpsync.store.writer import Unit

MINUTE, HOUR, WEEK = every(timedelta(minutes=1)), every(timedelta(hours=1)), every(timedelta(days=7))
MORNING = time_of_day(7, 0)


def table(there: Installation, beat: Callable[[datetime], None]) -> list[Job]:
    """Name, when, what. `beat` tells the heartbeat's watcher that the service lives."""
    morning = daily(MORNING, there.zone)

    def written(work: Callable[[Unit, Controller, datetime], object]) -> Callable[[datetime], object]:
        return lambda now: there.write(lambda unit: work(unit, there.controller, now))

    return [
        Job("ladder", HOUR, written(escalation.climb)),
        Job("letters", HOUR, written(letters_due.remind)),
        Job("cases", HOUR, written(cases.climb)),
        # Alerts first, and each for itself: what fails beside them must not keep them back.
        Job("alerts", MINUTE, partial(send_alerts, there)),
        Job("clock", MINUTE, lambda _: timekeeping.look(there)),
        Job("post", MINUTE, partial(mailing.read_incoming, there)),
        Job("contacts", MINUTE, partial(mailing.ask_contacts, there)),
        Job("questions", MINUTE, partial(asking.ask, there)),
        Job("answer-receipts", MINUTE, partial(mailing.send_answer_receipts, there)),
        Job("receipts", MINUTE, partial(write_receipts, there)),
        Job("report", HOUR, partial(month_report.mail, there)),
        Job("checkpoint-mail", HOUR, partial(checkpoint_mail.mail, there)),
        Job("refusals", morning, written(tell_of_rest)),
        Job("reviews", morning, partial(reviews.remind, there)),
        Job("checkpoint", morning, there.anchor),
        Job("cosign", HOUR, partial(cosigning.ask, there)),
        Job("stamp", HOUR, partial(stamping.ask, there)),
        Job("heartbeat", MINUTE, beat),
        Job("compare", HOUR, partial(judge_and_tell, there, full=False)),
        Job("verify", WEEK, partial(judge_and_tell, there, full=True)),
        Job("keys", HOUR, partial(tell_of_keys, there)),
        Job("forgetting", HOUR, partial(forgetting.forget, there)),
        Job("anchor-age", HOUR, partial(tell_of_old_anchor, there)),
        *retention.jobs_of(there),
    ]


def jobs_of(there: Installation, owner: str, beat: Callable[[datetime], None]) -> Jobs:
    """The table, run by the worker `owner`."""
    jobs = {job.name: job for job in table(there, beat)}
    return Jobs(jobs, there.engine, there.writer, there.clock, owner, partial(_tell_of_failure, there))


def after_work(there: Installation, now: datetime) -> None:
    """What follows from what happened: questions to contacts, receipts of what closed, alerts."""
    try:
        mailing.ask_contacts(there, now)
        asking.ask(there, now)
        write_receipts(there, now)
    finally:
        send_alerts(there, now)


def send_alerts(there: Installation, now: datetime) -> None:
    """Send what waits in the outbox."""
    there.outbox.send_due(lambda work: there.write(lambda unit: work(unit.connection)), there.read, now)


def write_receipts(there: Installation, now: datetime) -> None:
    """Write the receipt of each request that closed, or closed anew, since its receipt was written."""
    missing = there.custody.receipts.missing(there.read(receipts.closed))
    refused = there.custody.write_receipts(missing, lambda one: there.receipt(one, now))
    if refused:
        there.write(lambda unit: receipts.tell_of(unit.connection, refused, now, there.zone))
    if there.custody.behind(there.read):  # of this time, or of one that ended between the two
        there.anchor(now)


def _tell_of_failure(there: Installation, name: str) -> None:
    there.tell(
        cause="job",
        role="operator",
        subject="A timed job failed",
        body="dpsync tries again in five minutes. `dpsync check` shows more.",
        now=there.clock.now(),
        concerns=[Concern(name, f"job {name}")],
    )
