"""What a record of Campaign Monitor's is: its state, its one name, its custom fields, and how each is written."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from dpsync.address import normalised
from dpsync.model import Changes
from dpsync.vendor.errors import unreadable
from dpsync.vendor.field_values import FieldType, Kind, Likeness, options_in, plain, written

IN_USE = frozenset({"Active", "Unconfirmed"})
OBJECTED = frozenset({"Unsubscribed", "Spam"})
STATES = IN_USE | OBJECTED | {"Bounced", "Deleted", "Suppressed"}
LONGEST_VALUE: Final = 250
NEUTRAL: Final = "Erased"  # an empty Name leaves the old one in place
_KINDS: Mapping[str, Kind] = {
    "Text": Kind.TEXT,
    "Number": Kind.NUMBER,
    "Date": Kind.DATE,
    "MultiSelectOne": Kind.CHOICE,
    "MultiSelectMany": Kind.CHOICES,
    "Country": Kind.REGION,
    "USState": Kind.REGION,
}


@dataclass(frozen=True, slots=True)
class Member:
    """A record of one address in one list, `address` as the vendor spells it. Personal data, for one instruction."""

    address: str
    state: str
    name: str
    fields: tuple[tuple[str, str], ...]

    def values(self, key: str) -> tuple[str, ...]:
        """What a custom field holds; one value an option where it takes several."""
        return tuple(value for name, value in self.fields if key_of(name) == key_of(key) and value)

    @property
    def blank(self) -> bool:
        """Whether nothing shows whose it is, but for the address."""
        return self.name.strip() in ("", NEUTRAL) and not any(value for _, value in self.fields)


def member_in(found: Mapping[str, object], spelling: str) -> Member:
    """The record in a 200, which must be the one that was asked for. Raises `Ended`."""
    address, state, name = found.get("EmailAddress"), found.get("State"), found.get("Name")
    rows = found.get("CustomFields", [])
    if not isinstance(address, str) or normalised(address) != normalised(spelling):
        raise unreadable()
    if not isinstance(state, str) or state not in STATES:
        raise unreadable()
    if not isinstance(rows, list) or not all(isinstance(row, dict) and "Key" in row for row in rows):
        raise unreadable()
    fields = tuple((str(row["Key"]), "" if row.get("Value") is None else str(row.get("Value"))) for row in rows)
    return Member(address, str(state), "" if name is None else str(name), fields)


def body_of(values: Mapping[str, object]) -> dict[str, object]:
    """The body of an update. `Resubscribe` true would bring back whoever unsubscribed; the consents are mandatory."""
    return {
        **values,
        "Resubscribe": False,
        "RestartSubscriptionBasedAutoresponders": False,
        "ConsentToTrack": "Unchanged",
        "ConsentToSendSms": "Unchanged",
    }


def whole_name(changes: Changes) -> str:
    """The whole name, "" where the request gives only a part of it."""
    if changes.first_name is None or changes.last_name is None:
        return ""
    return f"{changes.first_name.strip()} {changes.last_name.strip()}".strip()


def name_likeness(changes: Changes, held: str) -> Likeness:
    """Whether the whole name that is held has the parts that were asked for, each at its own end."""
    parts = [plain(part) for part in (changes.first_name, changes.last_name) if part is not None]
    if len(parts) == 2:
        return Likeness.SAME if held == plain(whole_name(changes)) else Likeness.OTHER
    if not held.startswith(plain(changes.first_name or "")) or not held.endswith(plain(changes.last_name or "")):
        return Likeness.OTHER
    # of a part that is to be empty the whole shows nothing
    return Likeness.UNCLEAR if "" in parts else Likeness.SAME


def key_of(name: str) -> str:
    """One form for `Subscription date`, `[subscriptiondate]` and what a record shows."""
    return re.sub(r"[\W_]", "", name).casefold()


class Field(NamedTuple):
    """A custom field of a list: `name` in what is read, `tag` in what is written, and its type.

    That an update knows a field by its personalisation tag is said on the vendor's page "Accessing required keys &
    IDs" and in createsend-php issue 3; the samples of API v3 write it without its brackets. Read in November 2026.
    """

    name: str
    tag: str
    type: FieldType


def fields_in(rows: Iterable[object]) -> dict[str, Field]:
    """Each custom field of a list, by name and by tag. Raises `Ended`."""
    found: dict[str, Field] = {}
    for row in rows:
        match row:
            case {"FieldName": str(name), "Key": str(tag), **more} if name and key_of(tag):
                options = more.get("FieldOptions")
                choices = tuple(map(str, options)) if isinstance(options, list) else ()
                kind = FieldType(_KINDS.get(str(more.get("DataType")), Kind.UNKNOWN), choices=choices)
                one = Field(name, tag.strip("[]"), kind)
                found[key_of(tag)] = found[key_of(name)] = one
            case _:
                raise unreadable()
    return found


def entries_of(one: Field, value: str) -> list[dict[str, object]]:
    """What an update says of one field."""
    if not value:
        return [{"Key": one.tag, "Clear": True}]
    if one.type.kind is Kind.CHOICES:
        # such a field is replaced as a whole by whatever is sent
        return [{"Key": one.tag, "Value": option} for option in options_in(one.type, value) or (value,)]
    text = written(one.type, value)
    # dates are written with slashes and read with dashes
    date = one.type.kind is Kind.DATE and re.fullmatch(r"\d{4}-\d{2}-\d{2}", text)
    return [{"Key": one.tag, "Value": text.replace("-", "/") if date else text}]


def typed(fields: Mapping[str, Field], keys: Iterable[str]) -> dict[str, FieldType]:
    """The types of those fields that the list has, by the name that asked."""
    return {key: fields[key_of(key)].type for key in keys if key_of(key) in fields}


def shown_of(member: Member, fields: Mapping[str, Field], keys: Iterable[str]) -> dict[str, object]:
    """What a record holds of the fields that were asked about, by the name that asked."""
    return {key: member.values(fields[key_of(key)].name if key_of(key) in fields else key) for key in keys}
