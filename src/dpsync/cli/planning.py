"""`dpsync plan`: what would happen with a request, before anybody submits it."""

from typing import TYPE_CHECKING

import typer

from dpsync.cli import requesting as ask
from dpsync.cli.console import Talk
from dpsync.cli.options import AsJson
from dpsync.errors import Exit

if TYPE_CHECKING:
    from dpsync.reports.plan import Plan


def plan(
    ctx: typer.Context,
    right: ask.RightArgument,
    *,
    email: ask.Email = None,
    subject_id: ask.SubjectId = None,
    other_email: ask.OtherEmail = None,
    phone: ask.Phone = None,
    name: ask.Name = None,
    reference: ask.Reference = None,
    changes: ask.Set = None,
    scope: ask.Scope = None,
    received: ask.ReceivedOn = None,
    identity_confirmed: ask.IdentityConfirmed = None,
    fee_paid: ask.FeePaid = None,
    lift_told_on: ask.LiftToldOn = None,
    lift_how: ask.LiftHow = None,
    as_json: AsJson = False,
) -> int:
    """Show what would happen with a request, without sending or storing anything.

    It says who holds the person, what is sent and how, what waits for whom, and what cannot be undone. dpsync makes
    reading calls only. Exit code 3: a processor could not be asked just now.
    """
    from dpsync.cli.opening import installation
    from dpsync.intake.planning import plan_of

    talk: Talk = ctx.obj
    subject = ask.subject_fields(subject_id, email, other_email, phone, name, reference)
    data = ask.request_fields(right, subject, changes, lift_told_on, lift_how, scope)
    with installation(talk, compare=False) as there:
        now = there.clock.now()
        data |= ask.days_of(there.zone, received, identity_confirmed, fee_paid)
        with talk.progress("asking processors"):
            made = plan_of(there, ask.request_of(ask.given(data), "plan", now), now)
    _show(talk, made, as_json=as_json)
    return Exit.PARTLY if made.unanswered else Exit.DONE


def _show(talk: Talk, made: "Plan", *, as_json: bool) -> None:
    from dpsync.reports.plan_text import plan_text
    from dpsync.reports.render import json_value

    if as_json:
        talk.json(json_value(made))
    else:
        talk.data(plan_text(made))
        talk.say(_end(made))


def _end(made: "Plan") -> str:
    told = "Nothing was stored or sent. dpsync only looked. To submit the request: dpsync submit"
    missing = ", ".join(line.processor for line in made.unanswered)
    return f"{told}. Not answered just now: {missing}." if missing else f"{told}."
