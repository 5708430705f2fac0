"""`dpsync submit`: a request by hand, through the same door as a webhook's."""

import secrets
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo

import typer

from dpsync import strict_json
from dpsync.cli.console import Talk
from dpsync.errors import Exit, PayloadInvalid, UsageError

if TYPE_CHECKING:
    from dpsync.installation import Installation
    from dpsync.intake.answers import Received

SOURCE = "command"
OWN_CHANGES = frozenset({"email", "first_name", "last_name"})
OPTIONS = {
    "right": "RIGHT",
    "subject": "--email, --id, --phone or --reference",
    "subject.id": "--id",
    "subject.email": "--email",
    "subject.other_emails": "--other-email",
    "subject.phone": "--phone",
    "subject.name": "--name",
    "subject.references": "--reference",
    "ground": "--ground",
    "received_at": "--received",
    "changes": "--set",
    "lifted.told_on": "--lift-told-on",
    "lifted.how": "--lift-how",
    "lifted": "--lift-told-on",
}
"""Which option a field of the canonical body came from."""


def submit(
    ctx: typer.Context,
    right: Annotated[str, typer.Argument(help="rectification, erasure, restriction or opt_out.")],
    *,
    email: Annotated[str | None, typer.Option(help="The person's email address.")] = None,
    subject_id: Annotated[str | None, typer.Option("--id", help="The person's id in the main database.")] = None,
    other_email: Annotated[
        list[str] | None, typer.Option(help="Another email address of the person. Repeatable.")
    ] = None,
    phone: Annotated[str | None, typer.Option(help="The person's telephone number.")] = None,
    name: Annotated[str | None, typer.Option(help="The person's name.")] = None,
    reference: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="An id by which a processor knows the person. Repeatable."),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="FIELD=VALUE",
            help="What a rectification corrects: email, first_name, last_name, or a processor's own field. An empty "
            "value clears the field. Write a postal address in parts: "
            'ADDRESS={"addr1":"1 High Street","city":"Kent"}. Repeatable.',
        ),
    ] = None,
    received: Annotated[
        str | None,
        typer.Option(
            metavar="DATE", help="When the organisation received the request: a day, or a time with its time zone."
        ),
    ] = None,
    ground: Annotated[str | None, typer.Option(help="The legal ground, such as consent_withdrawn.")] = None,
    by: Annotated[str, typer.Option(help="Who submits it, for the record.")] = "",
    lift_told_on: Annotated[
        str | None, typer.Option(metavar="DATE", help="To lift a restriction: when the person was told (Art. 18(3)).")
    ] = None,
    lift_how: Annotated[str | None, typer.Option(help="To lift a restriction: how the person was told.")] = None,
    event_id: Annotated[
        str | None,
        typer.Option(help="An id for this event, so that you can send it twice without harm. Default: a random id."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for a program.")] = False,
) -> int:
    """Submit a request by hand. When this command ends, the request is in the ledger and nothing has been sent yet."""
    from dpsync.cli.opening import installation

    talk: Talk = ctx.obj
    subject = {"id": subject_id, "email": email, "other_emails": other_email, "phone": phone, "name": name}
    data: dict[str, object] = {
        "right": right.strip().lower().replace("-", "_"),
        "subject": _given({**subject, "references": _references(reference or [])}),
        "ground": ground,
        "changes": _changes(changes or []),
        "lifted": _given({"told_on": lift_told_on, "how": lift_how}),
    }
    event = event_id or f"cmd-{secrets.token_hex(12)}"
    with installation(talk) as there:
        data["received_at"] = _moment(received, there.zone) if received else None
        result = _handed_in(there, _given(data), event, by)
        talk.did = f"request {result.request_id} is {_word(result)} (event {event})"
        if as_json:
            talk.json(
                {"request": result.request_id, "status": _word(result), "repeated": result.repeated, "event": event}
            )
        else:
            talk.data(f"{result.request_id}  {_word(result)}")
        _end(talk, there, result, event, named=event_id is not None)
    return Exit.DONE


def _given(fields: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in fields.items() if value not in (None, [], {})}


def _handed_in(there: "Installation", data: dict[str, object], event: str, by: str) -> "Received":
    from dpsync.intake.payload import parse_request
    from dpsync.intake.reception import Reception
    from dpsync.ledger.entry import canonical

    now = there.clock.now()
    try:
        request = parse_request(data, source=SOURCE, event_id=event, now=now, by=by)
    except PayloadInvalid as fault:
        # Raised out of here: the values must not hang on to the error.
        refusal = PayloadInvalid(_option(fault.field), fault.problem)
    else:
        body = canonical({"type": "data_subject.request", "data": data})
        return Reception(there.controller, there.writer).submit(request, body, now).result()
    raise refusal


def _option(field: str) -> str:
    known = [name for name in OPTIONS if field == name or field.startswith(f"{name}.")]
    return OPTIONS[max(known, key=len)] if known else field


def _pair(text: str, option: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise UsageError(f"write {option} as FIELD=VALUE")
    return key.strip(), value


def _references(pairs: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for text in pairs:
        key, value = _pair(text, "--reference")
        found.setdefault(key, []).append(value)
    return found


def _changes(pairs: Sequence[str]) -> dict[str, object]:
    found: dict[str, object] = {}
    fields: dict[str, object] = {}
    for text in pairs:
        key, value = _pair(text, "--set")
        if key in found or key in fields:
            raise UsageError("--set names the same field twice")
        if key in OWN_CHANGES:
            found[key] = value
        else:
            fields[key] = _parts(value) if value.startswith("{") else value
    return {**found, "fields": fields} if fields else found


def _parts(text: str) -> object:
    """The parts of an address. Raises `UsageError`: a slip of the pen must not go out as a text."""
    with suppress(PayloadInvalid):
        return strict_json.load(text.encode())
    raise UsageError('--set: a value that begins with { must be the parts of an address, such as {"city":"Kent"}')


def _moment(text: str, zone: ZoneInfo) -> str:
    """A day is its first moment in the controller's zone: the legal date is never later than it should be."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return text
    return datetime.combine(day, time(), zone).astimezone(UTC).isoformat().replace("+00:00", "Z")


def _word(result: "Received") -> str:
    return "held" if result.held else "accepted"


def _end(talk: Talk, there: "Installation", result: "Received", event: str, *, named: bool) -> None:
    from dpsync.cli.opening import place_of_store
    from dpsync.cli.standing import by_itself, standing_of, waiting_for
    from dpsync.reports.words import day

    one = standing_of(there, result.request_id)
    if result.repeated:
        talk.say(f"This event ({event}) was submitted before. Nothing is new.")
    stored = f"the request, {len(one.lines)} processors to tell and the ledger entry, in {place_of_store(there)}; "
    talk.ending(
        stored=stored + f"due {day(one.due_on)}",
        by_itself=by_itself(there, one),
        waits=waiting_for(there, one),
    )
    if not named and not result.repeated:
        talk.say(f"If you run this again, it makes a new request. To repeat this one safely: --event-id {event}")
