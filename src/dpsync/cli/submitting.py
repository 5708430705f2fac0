"""`dpsync submit`: a request by hand, through the same door as a webhook's."""

import secrets
from typing import TYPE_CHECKING, Annotated

import typer

from dpsync.cli import requesting as ask
from dpsync.cli.console import Talk
from dpsync.cli.options import AsJson
from dpsync.errors import Exit

if TYPE_CHECKING:
    from dpsync.installation import Installation
    from dpsync.intake.answers import Received


def submit(
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
    ground: Annotated[str | None, typer.Option(help="The legal ground, such as consent_withdrawn.")] = None,
    by: Annotated[str, typer.Option(help="Who submits it, for the record.")] = "",
    lift_told_on: ask.LiftToldOn = None,
    lift_how: ask.LiftHow = None,
    event_id: Annotated[
        str | None,
        typer.Option(help="An id for this event, so that you can send it twice without harm. Default: a random id."),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Submit a request by hand. When this command ends, the request is in the ledger and nothing has been sent yet."""
    from dpsync.cli.opening import installation

    talk: Talk = ctx.obj
    subject = ask.subject_fields(subject_id, email, other_email, phone, name, reference)
    data = {**ask.request_fields(right, subject, changes, lift_told_on, lift_how, scope), "ground": ground}
    event = f"cmd-{secrets.token_hex(12)}" if event_id is None else event_id
    with installation(talk) as there:
        data |= ask.days_of(there.zone, received, identity_confirmed, fee_paid)
        result = _handed_in(there, ask.given(data), event, by)
        talk.did = f"request {result.request_id} is {_word(result)} (event {event})"
        if as_json:
            talk.json(
                {"request": result.request_id, "status": _word(result), "repeated": result.repeated, "event": event}
            )
        else:
            talk.data(f"{result.request_id}  {_word(result)}")
        _end(talk, there, result, event, named=event_id is not None)
    return Exit.DONE


def _handed_in(there: "Installation", data: dict[str, object], event: str, by: str) -> "Received":
    from dpsync.intake.reception import Reception
    from dpsync.ledger.entry import canonical

    now = there.clock.now()
    request = ask.request_of(data, event, now, by)
    body = canonical({"type": "data_subject.request", "data": data})
    return Reception(there.controller, there.writer).submit(request, body, now).result()


def _word(result: "Received") -> str:
    return "held" if result.held else "accepted"


def _end(talk: Talk, there: "Installation", result: "Received", event: str, *, named: bool) -> None:
    from dpsync.cli.opening import place_of_store
    from dpsync.cli.standing import by_itself, standing_of, waiting_for
    from dpsync.propagation.earlier import was_restricted
    from dpsync.reports.words import day, several

    one = standing_of(there, result.request_id)
    if one.lifting and not there.read(lambda connection: was_restricted(connection, one.id)):
        talk.warn(
            "dpsync has no restriction of this person on its record. Every processor is told all the same that one is "
            f"lifted. If you meant somebody else: dpsync withdraw {one.short} --by NAME --reason WHY"
        )
    if result.repeated:
        talk.say(f"This event ({event}) was submitted before. Nothing is new.")
    told = several(len(one.lines), "processor")
    stored = f"the request, {told} to tell and the ledger entry, in {place_of_store(there)}; "
    talk.ending(
        stored=stored + f"due {day(one.due_on)}",
        by_itself=by_itself(there, one),
        waits=waiting_for(there, one),
    )
    if not named and not result.repeated:
        talk.say(f"If you run this again, it makes a new request. To repeat this one safely: --event-id {event}")
