"""How a contact of Mailchimp's is put right, each change for itself."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from dpsync.connector import NothingHeld, Outcome, Reply
from dpsync.connectors.mailchimp.calls import EXISTS, FORGOTTEN, INVALID, NOBODY, PAGE, Calls, Member, hashed
from dpsync.model import Changes, FieldValue
from dpsync.vendor import rectification
from dpsync.vendor.calls import part_of
from dpsync.vendor.corrections import EMAIL, Left, put_right, two_records
from dpsync.vendor.errors import NOT_DONE, Error
from dpsync.vendor.field_values import UNTYPED, FieldType, Kind, written
from dpsync.vendor.outcomes import nobody, task
from dpsync.vendor.rectification import Gone, to_send

_TAG = re.compile(r"[A-Z][A-Z0-9_]{0,9}")
_LONGEST_VALUE: Final = 255  # bytes: a text is cut there without a word (vendor page "Merge Fields", November 2026)
_KINDS: Final[Mapping[str, Kind]] = {
    "text": Kind.TEXT,
    "number": Kind.NUMBER,
    "address": Kind.ADDRESS,
    "phone": Kind.PHONE,
    "date": Kind.DATE,
    "birthday": Kind.BIRTHDAY,
    "url": Kind.URL,
    "imageurl": Kind.URL,
    "radio": Kind.CHOICE,
    "dropdown": Kind.CHOICE,
    "zip": Kind.POSTCODE,
}

_ADDRESS_REFUSED: Final = {
    INVALID: "Mailchimp refused the new address, perhaps because it looks fake or invalid. Check how it is spelt.",
    EXISTS: "Mailchimp says that the new address is a member, but shows no such contact. Look for it in the web app.",
    FORGOTTEN: "the new address was permanently deleted before. Mailchimp takes it back only through its own sign-up "
    "form. Agree with the person what to do with the contact under the old address.",
}


def correct(calls: Calls, list_id: str, address: str, changes: Changes) -> Outcome:
    """Put one contact right in one audience. Raises `Ended`."""
    asked, held, at = merge_fields(changes), None, hashed(address)
    taken = bool(changes.email and calls.spelt(list_id, changes.email, other=True))
    moves = bool(changes.email) and not taken
    # a postal address is sent whole, so its other parts must be known; and nothing sent shows nobody
    if changes.fields or (not moves and all(map(_cut, asked.values()))):
        held = calls.at(list_id, at)
        if held is None:
            return NothingHeld(evidence=())
    types = types_of(calls, list_id) if changes.fields else {}
    left = Left("Mailchimp", f"audience {list_id}", list_id, "merge field", f"{_LONGEST_VALUE} bytes", types)
    values: dict[str, Any] = {EMAIL: changes.email} if moves else {}
    sent = to_send(asked, held.merge_fields if held else {}, left, _cut, (Kind.ADDRESS, Kind.UNKNOWN))
    for tag, value in sent.items():
        values[tag] = written(types.get(tag, UNTYPED), value) if isinstance(value, str) else value
    one = _Correction(calls, left, asked, values, at=at, changes=changes, record=held)
    if taken:
        one.noes[EMAIL] = EXISTS
    return one.make()


def types_of(calls: Calls, list_id: str) -> Mapping[str, FieldType]:
    """The merge fields of an audience by tag; none where Mailchimp does not show them."""
    if list_id not in calls.types:
        wanted = "merge_fields.tag,merge_fields.type,merge_fields.options"
        reply: Reply = calls.lists.get_list_merge_fields(list_id, fields=wanted, count=PAGE)
        calls.types[list_id] = _types_in(reply)
    return calls.types[list_id]


@dataclass(slots=True, kw_only=True)
class _Correction(rectification.Correction[Calls]):
    """One contact's. `at`: its hash, which a new address changes; `record`: as Mailchimp last showed it."""

    changes: Changes
    at: str
    record: Member | None

    def send(self, parts: Sequence[str]) -> Reply | None:
        """`status` is never sent: it would overwrite the person's choice. PATCH, never PUT: a PUT would create one."""
        body = {"email_address": self.values[EMAIL]} if EMAIL in parts else {}
        if merge_fields := {part: self.values[part] for part in parts if part != EMAIL}:
            body["merge_fields"] = merge_fields
        list_id = self.left.reference
        reply: Reply = self.calls.lists.update_list_member(list_id, self.at, body, skip_merge_validation=True)
        if reply.status == 400:
            return reply
        if self.calls.no(reply, NOBODY):
            raise Gone
        at = hashed(self.values[EMAIL]) if EMAIL in parts else self.at
        self.record = self.calls.member_in(reply, list_id, at, self.at)
        self.at = self.record.id
        if self.at != at:
            self.unmoved.append(EMAIL)
        put = put_right(parts, self.record.merge_fields)
        self.calls.note(put if self.at == at else NOT_DONE)
        return None

    def gone(self) -> Outcome:
        """Nobody is believed of an audience that exists, and that does not show the contact."""
        self.calls.confirm(self.left.reference)
        nobody(self.calls.at(self.left.reference, self.at))
        return rectification.Correction.gone(self)

    def names(self, no: Reply, parts: Sequence[str]) -> Collection[str]:
        """By tag; what else it names is in the way of every change: a required field that is empty, for one."""
        named = _named_in(no, self.calls.row(no))
        own = [part for part in parts if part.upper() in {word.upper() for word in named}]
        if own or not (foreign := sorted(word for word in named if _TAG.fullmatch(word))):
            return own
        self.left.first = foreign
        return parts

    def is_for_a_person(self, part: str, no: Error | None) -> bool:
        """An invalid value, and whatever is said of an address."""
        return no in _ADDRESS_REFUSED if part == EMAIL else no is INVALID

    def shown(self) -> Mapping[str, object]:
        """The merge fields as the last answer has them; what it lacks of those asked for is left."""
        if self.record is None:
            return {}
        shown = self.record.merge_fields
        self.left.missing = [tag for tag, value in self.changes.fields.items() if tag not in shown and value]
        return shown

    def others(self, refused_parts: Collection[str]) -> list[Outcome]:
        """The address that cannot be changed is left to a person, and so is any merging."""
        if EMAIL not in refused_parts:
            return []
        list_id, no = self.left.reference, self.noes[EMAIL]
        if self.left.first:
            return [task(f"In audience {list_id} the address was not changed.", list_id)]
        old = self.calls.at(list_id, self.at)
        new = self.calls.spelt(list_id, self.changes.email or "")
        if old is None:
            return [NothingHeld(evidence=())]
        if new is not None:
            return [two_records(self.left, old.status, new.status)]
        why = _ADDRESS_REFUSED[no if no in _ADDRESS_REFUSED else INVALID]
        if no is INVALID and old.status != "subscribed":
            why = (
                f"Mailchimp refused the new address of a contact of status '{old.status}'. It only changes addresses "
                "of subscribed contacts. Correct it in the web app, or agree with the person what to do."
            )
        return [task(f"In audience {list_id} {why}", list_id)]


def _named_in(reply: Reply, no: Error | None) -> frozenset[str]:
    """What a refusal is about: tags as it writes them, `EMAIL` for the address; none where it does not say."""
    if no in (EXISTS, FORGOTTEN):
        return frozenset({EMAIL})
    words: set[str] = set()
    for error in _rows(reply, "errors"):
        match error:
            case {"field": str(name)} if re.sub(r"[\W_]", "", name).lower() in ("email", "emailaddress"):
                words.add(EMAIL)
            case {"field": str(name)}:
                words |= {word for word in name.split(".") if word}
    return frozenset(words)


def _types_in(reply: Reply) -> Mapping[str, FieldType]:
    types: dict[str, FieldType] = {}
    for row in _rows(reply, "merge_fields") if reply.status == 200 else []:
        match row:
            case {"tag": str(tag), "type": str(kind), **more}:
                options = more.get("options")
                options = options if isinstance(options, dict) else {}
                choices = options.get("choices")
                types[tag] = FieldType(
                    _KINDS.get(kind, Kind.UNKNOWN),
                    day_first={"D": True, "M": False}.get(str(options.get("date_format"))[:1].upper()),
                    choices=tuple(map(str, choices)) if isinstance(choices, list) else (),
                    american=options.get("phone_format") == "US",
                )
    return types


def _rows(reply: Reply, name: str) -> list[object]:
    """An array in an answer, empty where there is none."""
    rows = part_of(reply, name)
    return rows if isinstance(rows, list) else []


def merge_fields(changes: Changes) -> dict[str, FieldValue]:
    """What is asked, by tag."""
    names = {"FNAME": changes.first_name, "LNAME": changes.last_name}
    return {**{tag: value for tag, value in names.items() if value is not None}, **changes.fields}


def _cut(value: FieldValue) -> bool:
    """Whether the vendor would cut it."""
    return isinstance(value, str) and len(value.encode()) > _LONGEST_VALUE
