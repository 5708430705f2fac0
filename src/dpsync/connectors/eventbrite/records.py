"""What an order or a ticket of Eventbrite's shows of a person."""

import re
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Final

from dpsync.address import folded, normalised
from dpsync.connector import Instruction
from dpsync.connectors.eventbrite.calls import EventbriteCalls, Row
from dpsync.connectors.eventbrite.index import HeldRecord, profile_of
from dpsync.model import Changes, FieldValue, Right
from dpsync.vendor.corrections import NOT_COMPARABLE, compared

_OURS = frozenset({"question", "question_id", "ticket_class_name", "event", "barcodes", "resource_uri"})
_TEXTS: Final = ("answers", "survey_responses")
_ORDER_TEXTS: Final = (*_TEXTS, "refund_requests")
_PREFERENCES: Final = ("contact_list_preferences",)


class RecordVerdict(StrEnum):
    """What one record says of what was asked. Those that contradict are told as they are written here."""

    FINE = "as asked"
    GONE = "not there any more"
    UNREAD = "a part of a record could not be read"
    NO_FIELD = "a field that was to be put right is none of the processor's"
    UNCLEAR = NOT_COMPARABLE
    OLD_VALUE = "a record still shows the person, or an old value"
    NEW_MISSING = "a record does not show a new value"
    SUBSCRIBED = "still subscribed"


CONTRADICTING = frozenset({RecordVerdict.OLD_VALUE, RecordVerdict.NEW_MISSING, RecordVerdict.SUBSCRIBED})


def _leaves(value: object) -> Iterator[str]:
    """Every text that people wrote, free answers included; not what the organiser or the vendor wrote."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if name not in _OURS:
                yield from _leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner)
    elif isinstance(value, str):
        yield value


def _plain(text: str) -> str:
    return " ".join(folded(text).split())


def _shows(record: Row, values: Iterable[str | None], phone: str | None = None) -> bool:
    """Whether a record shows one of these values anywhere, whatever it is called there.

    Looking for values: what an erased record looks like is documented nowhere.
    """
    texts = [_plain(leaf) for leaf in _leaves(record)]
    written = " ".join(texts)  # first and last name stand in two fields
    words = [re.escape(_plain(value)) for value in values if value and value.strip()]
    if any(re.search(rf"(?<!\w){word}(?!\w)", written) for word in words):
        return True
    if phone is None:
        return False
    digits = re.sub(r"\D", "", phone)[-9:]  # without the country's number or the nought in its place
    return len(digits) >= 7 and any(digits in re.sub(r"\D", "", text) for text in texts)


def _alike(held: object, asked: FieldValue) -> bool:
    return isinstance(held, str) and isinstance(asked, str) and _plain(held) == _plain(asked)


def _corrected(record: Row, kind: str, changes: Changes) -> RecordVerdict:
    """Whether a record of the person has the new values."""
    holder = record if kind == "order" else profile_of(record)
    named = {"email": changes.email, "first_name": changes.first_name, "last_name": changes.last_name}
    for name, value in named.items():
        form = normalised if name == "email" else _plain
        if value is not None and form(str(holder.get(name) or "")) != form(value):
            return RecordVerdict.NEW_MISSING
    kept = {name: value for name, value in changes.fields.items() if name in holder}
    texts_alike = {name for name, value in kept.items() if _alike(holder[name], value)}
    shown = compared({name: value for name, value in kept.items() if name not in texts_alike}, holder, {})
    if shown.other:
        return RecordVerdict.NEW_MISSING
    if shown.unclear:
        return RecordVerdict.UNCLEAR
    elsewhere = [value for name, value in changes.fields.items() if name not in holder]
    texts = [text for value in elsewhere for text in ([value] if isinstance(value, str) else value.values())]
    unknown = any(text.strip() and not _shows(record, [text]) for text in texts)
    return RecordVerdict.NO_FIELD if unknown else RecordVerdict.FINE


def _old_name(order: Instruction, changes: Changes) -> list[str]:
    """The name in the request, unless it is the new one already."""
    new = [part for part in (changes.first_name, changes.last_name) if part]
    if not order.name or not new:
        return []
    written = f" {_plain(order.name)} "
    return [] if all(f" {_plain(part)} " in written for part in new) else [order.name]


def old_addresses(order: Instruction) -> list[str]:
    """The addresses that must be gone."""
    if order.right is not Right.RECTIFICATION:
        return list(order.spellings)
    new = order.changes.email if order.changes else None
    return [one for one in order.spellings if new and normalised(one) != normalised(new)]


def verdict_on(calls: EventbriteCalls, order: Instruction, one: HeldRecord) -> RecordVerdict:
    """What one record says now. Raises `Ended`."""
    parts = _PREFERENCES if order.right is Right.OPT_OUT else _ORDER_TEXTS if one.kind == "order" else _TEXTS
    record, whole = calls.record(one.kind, one.names, parts)
    if record is None:
        return RecordVerdict.GONE
    changes, verdict = order.changes or Changes(), RecordVerdict.FINE
    erased = order.right is Right.ERASURE
    old = [*old_addresses(order), *([order.name] if erased else _old_name(order, changes))]
    if order.right is Right.OPT_OUT:
        verdict = _preference(record.get("contact_list_preferences")) if one.own else verdict
    elif _shows(record, old, order.phone if erased else None):
        verdict = RecordVerdict.OLD_VALUE
    elif one.own and not erased:
        verdict = _corrected(record, one.kind, changes)
    return verdict if whole or verdict in CONTRADICTING else RecordVerdict.UNREAD


def _preference(said: object) -> RecordVerdict:
    match said:
        case {"has_opted_in": True}:
            return RecordVerdict.SUBSCRIBED
        case {"has_opted_in": False, "has_contact_list": False}:
            return RecordVerdict.FINE
    return RecordVerdict.UNREAD
