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
    from dpsync.intake.answers import Received
    from dpsync.service import Service

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
    email: Annotated[str | None, typer.Option(help="The person's address.")] = None,
    subject_id: Annotated[str | None, typer.Option("--id", help="The person's id in the main database.")] = None,
    other_email: Annotated[list[str] | None, typer.Option(help="Another address of theirs. Repeatable.")] = None,
    phone: Annotated[str | None, typer.Option(help="Their telephone number.")] = None,
    name: Annotated[str | None, typer.Option(help="Their name.")] = None,
    reference: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="What a processor knows them by. Repeatable.")
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="FIELD=VALUE",
            help="What a rectification puts right: email, first_name, last_name, or a processor's own field. "
            "An empty value clears it; a postal address is given by its parts, as in "
            'ADDRESS={"addr1":"1 High Street","city":"Kent"}. Repeatable.',
        ),
    ] = None,
    received: Annotated[
        str | None,
        typer.Option(metavar="DATE", help="When the controller received it: a day, or a time with its zone."),
    ] = None,
    ground: Annotated[str | None, typer.Option(help="The legal ground, such as consent_withdrawn.")] = None,
    by: Annotated[str, typer.Option(help="Who asks for it here, for the record.")] = "",
    lift_told_on: Annotated[
        str | None, typer.Option(metavar="DATE", help="Lift a restriction: when the person was told (Art. 18(3)).")
    ] = None,
    lift_how: Annotated[str | None, typer.Option(help="Lift a restriction: how the person was told.")] = None,
    event_id: Annotated[
        str | None, typer.Option(help="Names this event, so that sending it twice is harmless. Default: random.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For a program.")] = False,
) -> int:
    """Hand in a request by hand. It is in the ledger when this command ends; nothing was sent by then."""
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
    with installation(talk) as service:
        data["received_at"] = _moment(received, service.zone) if received else None
        result = _handed_in(service, _given(data), event, by)
        talk.did = f"request {result.request_id} is {_word(result)} (event {event})"
        if as_json:
            talk.json(
                {"request": result.request_id, "status": _word(result), "repeated": result.repeated, "event": event}
            )
        else:
            talk.data(f"{result.request_id}  {_word(result)}")
        _end(talk, service, result, event, named=event_id is not None)
    return Exit.DONE


def _given(fields: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in fields.items() if value not in (None, [], {})}


def _handed_in(service: "Service", data: dict[str, object], event: str, by: str) -> "Received":
    from dpsync.intake.payload import parse_request
    from dpsync.ledger.entry import canonical

    now = service.clock.now()
    try:
        request = parse_request(data, source=SOURCE, event_id=event, now=now, by=by)
    except PayloadInvalid as fault:
        # Raised out of here: the values must not hang on to the error.
        refusal = PayloadInvalid(_option(fault.field), fault.problem)
    else:
        body = canonical({"type": "data_subject.request", "data": data})
        return service.reception.submit(request, body, now).result()
    raise refusal


def _option(field: str) -> str:
    known = [name for name in OPTIONS if field == name or field.startswith(f"{name}.")]
    return OPTIONS[max(known, key=len)] if known else field


def _pair(text: str, option: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise UsageError(f"{option} is written FIELD=VALUE")
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
            raise UsageError("--set names one field twice")
        if key in OWN_CHANGES:
            found[key] = value
        else:
            fields[key] = _parts(value) if value.startswith("{") else value
    return {**found, "fields": fields} if fields else found


def _parts(text: str) -> object:
    """The parts of an address. Raises `UsageError`: a slip of the pen must not go out as a text."""
    with suppress(PayloadInvalid):
        return strict_json.load(text.encode())
    raise UsageError('--set: a value that begins with { is the parts of an address, as in {"city":"Kent"}')


def _moment(text: str, zone: ZoneInfo) -> str:
    """A day is its first moment in the controller's zone: the legal date is never later than it should be."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return text
    return datetime.combine(day, time(), zone).astimezone(UTC).isoformat().replace("+00:00", "Z")


def _word(result: "Received") -> str:
    return "held" if result.held else "accepted"


def _end(talk: Talk, service: "Service", result: "Received", event: str, *, named: bool) -> None:
    from dpsync.cli.opening import place_of_store
    from dpsync.cli.standing import by_itself, standing_of, waiting_for
    from dpsync.reports.words import day

    one = standing_of(service, result.request_id)
    if result.repeated:
        talk.say(f"This event ({event}) came before; nothing is new.")
    stored = f"the request, {len(one.lines)} processors to tell and the ledger entry, in {place_of_store(service)}; "
    talk.ending(
        stored=stored + f"due {day(one.due_on)}",
        by_itself=by_itself(service, one),
        waits=waiting_for(service, one),
    )
    if not named and not result.repeated:
        talk.say(f"The same command again is a new request. To repeat it harmlessly: --event-id {event}")
