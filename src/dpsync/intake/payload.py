"""What may be asked, and in which form: the canonical body becomes a `Request`, or says which field is wrong.

Every door leads through `parse_request`: webhook, command line, import. A refusal names the field, never its value.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from dpsync import opt_out_scope, strict_json
from dpsync.errors import PayloadInvalid
from dpsync.intake.fields import (
    NOT_NAMES,
    Address,
    Clearable,
    Day,
    FieldName,
    Ids,
    Key,
    Phone,
    Short,
    Time,
    Value,
    Version,
    at_most,
)
from dpsync.model import Changes, Lifted, Request, Right, Subject
from dpsync.signature import demand_id

SKEW = timedelta(minutes=5)
RIGHTS_SINCE = datetime(2018, 5, 25, tzinfo=UTC)
"""When the GDPR began to apply: what was received before is a fault of the sender's clock."""

FURTHEST_ZONE = timedelta(hours=14)

Ground = Literal[
    "consent_withdrawn",  # Art. 7(3), 17(1)(b)
    "objection",  # Art. 21(1), 17(1)(c), 18(1)(d)
    "direct_marketing_objection",  # Art. 21(2)-(3)
    "no_longer_needed",  # Art. 17(1)(a)
    "unlawful",  # Art. 17(1)(d), 18(1)(b)
    "legal_obligation",  # Art. 17(1)(e)
    "child",  # Art. 17(1)(f)
    "correction",  # Art. 16
    "accuracy_contested",  # Art. 18(1)(a)
    "claims",  # Art. 18(1)(c)
    "other",
]


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """That the main database takes a request back: everything of it that is unsent stops."""

    source: str
    event_id: str
    request_id: str


@dataclass(frozen=True, slots=True)
class TestMessage:
    """That the main database tries address, secret and signature: it asks for nothing, and nothing is stored."""

    __test__ = False  # no test of pytest's


def parse(body: bytes, *, source: str, event_id: str, now: datetime) -> Request | Withdrawal | TestMessage:
    """Read the body of a webhook whose signature was found good. `now`: aware. Raises `PayloadInvalid`."""
    envelope = strict_json.load(body)
    if not isinstance(envelope, dict):
        raise PayloadInvalid("", "must be an object")
    match envelope.get("type"):
        case "data_subject.request":
            given = _checked(_RequestEnvelope, envelope).data
            _demand_changes(given, "data.")
            return _request(given, "data.", source, event_id, now, "")
        case "data_subject.request.withdrawn":
            return Withdrawal(source, event_id, _checked(_WithdrawalEnvelope, envelope).data.request)
        case "dpsync.test":
            return TestMessage()
        case None:
            raise PayloadInvalid("type", "missing")
        case _:
            raise PayloadInvalid("type", "must be data_subject.request or data_subject.request.withdrawn")


def parse_request(
    data: Mapping[str, object], *, source: str, event_id: str, now: datetime, by: str = "", for_a_person: bool = False
) -> Request:
    """Build a request from what stands under `data` in the canonical body, by the same rules as a webhook's.

    `by`: the named person who asks by hand, "" for a machine. `for_a_person`: a correction may leave its values to one.
    Raises `PayloadInvalid`, its field without `data.`.
    """
    demand_id(event_id, "event_id")
    given = _checked(_Data, dict(data))
    if not (for_a_person and given.right == "rectification"):
        _demand_changes(given, "")
    return _request(given, "", source, event_id, now, by)


# --- the shapes


class _Shape(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", hide_input_in_errors=True)


class _Subject(_Shape):
    id: Short | None = None
    email: Address | None = None
    other_emails: Annotated[list[Address], BeforeValidator(at_most(20))] | None = None
    phone: Phone | None = None
    name: Short | None = None
    references: Annotated[dict[Key, Ids], BeforeValidator(at_most(20))] | None = None


class _Changes(_Shape):
    email: Address | None = None
    first_name: Clearable | None = None
    last_name: Clearable | None = None
    fields: Annotated[dict[FieldName, Value], BeforeValidator(at_most(100))] | None = None


class _Lifted(_Shape):
    told_on: Day
    how: Short


class _Scope(_Shape):
    audience: str = ""
    list: str = ""
    topic: str = ""
    channel: str = ""


class _Data(_Shape):
    right: Literal["rectification", "erasure", "restriction", "opt_out"]
    subject: _Subject
    ground: Ground | None = None
    received_at: Time | None = None
    version: Version | None = None
    changes: _Changes | None = None
    lifted: _Lifted | None = None
    identity_confirmed_at: Time | None = None
    fee_paid_at: Time | None = None
    scope: _Scope | None = None


class _RequestEnvelope(_Shape):
    type: str
    timestamp: Time | None = None
    data: _Data


class _Withdrawn(_Shape):
    request: Short


class _WithdrawalEnvelope(_Shape):
    type: str
    timestamp: Time | None = None
    data: _Withdrawn


# --- from shape to value

_Envelope = TypeVar("_Envelope", bound=_Shape)

_PROBLEMS = {
    "missing": "missing",
    "extra_forbidden": "unknown field",
    "string_type": "must be text",
    "int_type": "must be a whole number",
    "list_type": "must be a list",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
}
_OURS = {
    *_RequestEnvelope.model_fields,
    *_Withdrawn.model_fields,
    *_Data.model_fields,
    *_Subject.model_fields,
    *_Changes.model_fields,
    *_Lifted.model_fields,
    *_Scope.model_fields,
}


def _checked(shape: type[_Envelope], value: dict[str, object]) -> _Envelope:
    try:
        return shape.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=True, include_input=False)[0]
    # Raised out here, so that the foreign error, which holds the values, is not chained to it.
    raise PayloadInvalid(_path(first["loc"]), _problem(first))


def _path(where: tuple[int | str, ...]) -> str:
    """The field, in our names only: a key that the sender made up may itself be an address."""
    names = [str(part) if isinstance(part, int) or part in _OURS else "*" for part in where if part not in NOT_NAMES]
    return ".".join(names)


def _problem(first: ErrorDetails) -> str:
    if first["type"] == "dpsync":
        return first["msg"]
    if first["type"] == "literal_error":
        return f"must be {first['ctx']['expected']}"
    return _PROBLEMS.get(first["type"], "is not of the documented form")


def _request(data: _Data, prefix: str, source: str, event_id: str, now: datetime, by: str) -> Request:
    _must_fit_together(data, prefix, now)
    return Request(
        source=source,
        event_id=event_id,
        right=Right(data.right),
        subject=_subject(data.subject),
        received_at=data.received_at or now,
        received_assumed=data.received_at is None,
        ground=data.ground or "",
        version=data.version,
        changes=_changes(data.changes),
        lifted=Lifted(data.lifted.told_on, data.lifted.how) if data.lifted else None,
        by=by,
        identity_confirmed_at=data.identity_confirmed_at,
        fee_paid_at=data.fee_paid_at,
        scope=_scope(data, prefix),
    )


def _must_fit_together(data: _Data, prefix: str, now: datetime) -> None:
    subject, changes, lifted = data.subject, data.changes, data.lifted
    if not (subject.id or subject.email or subject.other_emails or subject.phone or subject.references):
        raise PayloadInvalid(f"{prefix}subject", "must hold an id, email, other_emails, phone or references")
    for field in ("received_at", "identity_confirmed_at", "fee_paid_at"):
        if (moment := getattr(data, field)) and moment > now + SKEW:
            raise PayloadInvalid(f"{prefix}{field}", "is in the future")
    if data.received_at and data.received_at < RIGHTS_SINCE:
        raise PayloadInvalid(f"{prefix}received_at", "is before 2018-05-25, when these rights began to apply")
    if changes and data.right != "rectification":
        raise PayloadInvalid(f"{prefix}changes", "only a rectification changes anything")
    if changes and changes.email is changes.first_name is changes.last_name is None and not changes.fields:
        raise PayloadInvalid(f"{prefix}changes", "must hold at least one change")
    if lifted and data.right != "restriction":
        raise PayloadInvalid(f"{prefix}lifted", "only a restriction can be lifted")
    # Somewhere on earth it may be tomorrow already; the person is told before the restriction ends (Art. 18(3)).
    if lifted and lifted.told_on > (now.astimezone(UTC) + FURTHEST_ZONE).date():
        raise PayloadInvalid(f"{prefix}lifted.told_on", "is in the future")


def _demand_changes(data: _Data, prefix: str) -> None:
    if data.right == "rectification" and not data.changes:
        raise PayloadInvalid(f"{prefix}changes", "missing: a rectification says what to correct")


def _subject(given: _Subject) -> Subject:
    return Subject(
        id=given.id,
        email=given.email,
        other_emails=tuple(given.other_emails or ()),
        phone=given.phone,
        name=given.name,
        references={name: tuple(ids) for name, ids in (given.references or {}).items()},
    )


def _scope(data: _Data, prefix: str) -> str:
    if data.scope is None:
        if "scope" in data.model_fields_set:  # perhaps one that was lost on the way
            raise PayloadInvalid(f"{prefix}scope", "is null: leave it out where the opt-out is from everything")
        return ""
    if data.right != "opt_out":
        raise PayloadInvalid(f"{prefix}scope", "only an opt-out has a scope")
    try:
        return opt_out_scope.spelled(data.scope.model_dump(exclude_unset=True))
    except ValueError as error:
        problem = str(error)
    # Raised out here, as `_checked` does. An empty scope is no opt-out of all: whoever sent it meant a part.
    raise PayloadInvalid(f"{prefix}scope", problem)


def _changes(given: _Changes | None) -> Changes | None:
    if given is None:
        return None
    return Changes(
        email=given.email, first_name=given.first_name, last_name=given.last_name, fields=dict(given.fields or {})
    )
