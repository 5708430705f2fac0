"""The options by which a command says what is asked and of whom, and the request that they make."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo

import typer

from dpsync import strict_json
from dpsync.errors import PayloadInvalid, UsageError

if TYPE_CHECKING:
    from dpsync.model import Request

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
    "event_id": "--event-id",
    "received_at": "--received",
    "identity_confirmed_at": "--identity-confirmed",
    "fee_paid_at": "--fee-paid",
    "changes": "--set",
    "lifted.told_on": "--lift-told-on",
    "lifted.how": "--lift-how",
    "lifted": "--lift-told-on",
    "scope": "--scope",
}
"""Which option a field of the canonical body came from."""

RightArgument = Annotated[str, typer.Argument(help="rectification, erasure, restriction or opt_out.")]
Email = Annotated[str | None, typer.Option(help="The person's email address.")]
SubjectId = Annotated[str | None, typer.Option("--id", help="The person's id in the main database.")]
OtherEmail = Annotated[list[str] | None, typer.Option(help="Another email address of the person. Repeatable.")]
Phone = Annotated[str | None, typer.Option(help="The person's telephone number.")]
Name = Annotated[str | None, typer.Option(help="The person's name.")]
Reference = Annotated[
    list[str] | None,
    typer.Option(metavar="KEY=VALUE", help="An id by which a processor knows the person. Repeatable."),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="FIELD=VALUE",
        help="What a rectification corrects: email, first_name, last_name, or a processor's own field. An empty "
        "value clears the field. Write a postal address in parts: "
        'ADDRESS={"addr1":"1 High Street","city":"Kent"}. Repeatable.',
    ),
]
ReceivedOn = Annotated[
    str | None,
    typer.Option(
        metavar="DATE", help="When the organisation received the request: a day, or a time with its time zone."
    ),
]
IdentityConfirmed = Annotated[
    str | None,
    typer.Option(
        metavar="DATE", help="If you had to ask who the person is: when their answer came. The month starts then."
    ),
]
FeePaid = Annotated[
    str | None,
    typer.Option(metavar="DATE", help="If you had to ask for a fee: when it was paid."),
]
LiftToldOn = Annotated[
    str | None, typer.Option(metavar="DATE", help="To lift a restriction: when the person was told (Art. 18(3)).")
]
Scope = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KIND=NAME",
        help="What an opt-out is from, where it is not from everything: audience, list, topic or channel, each with "
        "the name that your main database has for it. Repeatable.",
    ),
]
LiftHow = Annotated[str | None, typer.Option(help="To lift a restriction: how the person was told.")]


def subject_fields(
    subject_id: str | None,
    email: str | None,
    other_email: list[str] | None,
    phone: str | None,
    name: str | None,
    reference: list[str] | None,
) -> dict[str, object]:
    """Who is meant, as `subject` stands in the canonical body. Raises `UsageError`."""
    named = {"id": subject_id, "email": email, "other_emails": other_email, "phone": phone, "name": name}
    return given({**named, "references": _references(reference or [])})


def request_fields(
    right: str,
    subject: dict[str, object],
    changes: list[str] | None,
    lift_told_on: str | None,
    lift_how: str | None,
    scope: list[str] | None = None,
) -> dict[str, object]:
    """What is asked, as `data` stands in the canonical body. Raises `UsageError`."""
    return {
        "right": right.strip().lower().replace("-", "_"),
        "subject": subject,
        "changes": _changes(changes or []),
        "lifted": given({"told_on": lift_told_on, "how": lift_how}),
        "scope": scope_fields(scope),
    }


def scope_fields(pairs: list[str] | None) -> dict[str, str]:
    """What an opt-out is from, as `scope` stands in the canonical body; nothing for everything. Raises `UsageError`."""
    named = [_pair(text, "--scope", "KIND=NAME") for text in pairs or []]
    if len(dict(named)) < len(named):
        raise UsageError("--scope names two of one kind: submit them one after the other")
    return dict(named)


def scope_text(pairs: list[str] | None) -> str:
    """The same in one text, "" for everything. Raises `UsageError`."""
    from dpsync.opt_out_scope import spelled

    named = scope_fields(pairs)
    try:
        return spelled(named) if named else ""
    except ValueError as error:
        raise UsageError(f"--scope {error}") from None


def given(fields: dict[str, object]) -> dict[str, object]:
    """The fields that say something."""
    return {name: value for name, value in fields.items() if value not in (None, [], {})}


def request_of(data: dict[str, object], event: str, now: datetime, by: str = "") -> "Request":
    """The request that the fields make, by the same rules as a webhook's. Raises `PayloadInvalid`: the option."""
    from dpsync.intake.payload import parse_request

    try:
        return parse_request(data, source=SOURCE, event_id=event, now=now, by=by)
    except PayloadInvalid as fault:
        # Raised out of here: the values must not hang on to the error.
        refusal = PayloadInvalid(_option(fault.field), fault.problem)
    raise refusal


def moment_of(text: str | None, zone: ZoneInfo) -> str | None:
    """A day is its first moment in the controller's zone: the legal date is never later than it should be."""
    if not text:
        return None
    try:
        first = datetime.combine(date.fromisoformat(text), time(), zone).astimezone(UTC)
    except (ValueError, OverflowError):
        return text
    return first.isoformat().replace("+00:00", "Z")


def days_of(
    zone: ZoneInfo, received: str | None, identity_confirmed: str | None, fee_paid: str | None
) -> dict[str, str | None]:
    """When it came, identity was confirmed and a fee paid, as these stand in the canonical body."""
    days = {"received_at": received, "identity_confirmed_at": identity_confirmed, "fee_paid_at": fee_paid}
    return {field: moment_of(day, zone) for field, day in days.items()}


def _option(field: str) -> str:
    known = [name for name in OPTIONS if field == name or field.startswith(f"{name}.")]
    return OPTIONS[max(known, key=len)] if known else field


def _pair(text: str, option: str, form: str = "FIELD=VALUE") -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise UsageError(f"write {option} as {form}")
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
