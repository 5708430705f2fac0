"""How a record of Campaign Monitor's is put right, each change for itself."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dpsync.address import spellings
from dpsync.connector import NothingHeld, Outcome, Reply
from dpsync.connectors.campaign_monitor.calls import BAD_VALUE, NOT_IN_LIST, TAKEN, Calls
from dpsync.connectors.campaign_monitor.records import (
    LONGEST_VALUE,
    Field,
    Member,
    body_of,
    entries_of,
    key_of,
    shown_of,
    typed,
    whole_name,
)
from dpsync.model import Changes
from dpsync.vendor import rectification
from dpsync.vendor.corrections import EMAIL, NAME, Left, put_right, two_records
from dpsync.vendor.errors import Error
from dpsync.vendor.outcomes import task
from dpsync.vendor.places import once
from dpsync.vendor.rectification import Gone, to_send


def correct(calls: Calls, place: str, address: str, changes: Changes) -> Outcome:
    """Put one record right in one list: change what differs. Raises `Ended`."""
    member = calls.held(place, address)
    if member is None:
        return NothingHeld(evidence=())
    new = changes.email.strip() if changes.email else None
    forms = once(spellings(new)) if new else ()
    target = next(filter(None, (calls.held(place, form) for form in forms)), None)
    fields = calls.fields_of(place) if changes.fields else {}
    types = typed(fields, changes.fields)
    left = Left("Campaign Monitor", f"list {place}", place, "field", f"{LONGEST_VALUE} characters", types)
    left.missing = [key for key, value in changes.fields.items() if value and key not in types]
    asked = {key: value for key, value in changes.fields.items() if key in types}
    sent = to_send(asked, shown_of(member, fields, asked), left, lambda value: len(value) > LONGEST_VALUE)
    values: dict[str, Any] = {EMAIL: new} if new and target is None else {}
    values |= {key: entries_of(fields[key_of(key)], str(value)) for key, value in sent.items()}
    if (whole := whole_name(changes)) and whole != member.name:
        values[NAME] = whole
    one = _Correction(
        *(calls, left, asked, values),
        at=member.address,
        changes=changes,
        member=member,
        target=target,
        fields=fields,
    )
    if target is not None:
        one.noes[EMAIL] = TAKEN
    return one.make()


@dataclass(slots=True, kw_only=True)
class _Correction(rectification.Correction[Calls]):
    """One record's, named by the old address in the query: with the new one there it would edit somebody else.

    `at`: its address; `target`: the record that has the new one already.
    """

    changes: Changes
    at: str
    member: Member
    target: Member | None
    fields: Mapping[str, Field]

    def send(self, parts: Sequence[str]) -> Reply | None:
        """Make some of the changes in one PUT."""
        named = {EMAIL: "EmailAddress", NAME: "Name"}
        body: dict[str, object] = {named[part]: self.values[part] for part in parts if part in named}
        if entries := [entry for part in parts if part not in named for entry in self.values[part]]:
            body["CustomFields"] = entries
        content, query = json.dumps(body_of(body)).encode(), {"email": self.at}
        reply = self.calls.about("PUT", "/subscribers/{id}", self.left.reference, query, content)
        if reply.status == 400 and self.calls.row(reply) is not NOT_IN_LIST:
            return reply
        if self.calls.done(reply, NOT_IN_LIST):
            raise Gone
        self.at = self.values[EMAIL] if EMAIL in parts else self.at
        self.calls.note(put_right(parts, parts))  # each of the keys is one that the list knows
        return None

    def gone(self) -> Outcome:
        """A record that is not in use may be beyond changing; whether there is one is read again."""
        now = self._now()
        if now is None:
            return rectification.Correction.gone(self)
        place = self.left.reference
        beyond = "In list {} the API does not change a record of state '{}'. Correct it in the web app."
        return task(beyond.format(place, now.state), place)

    def names(self, no: Reply, parts: Sequence[str]) -> Collection[str]:
        """The address alone is known to be meant."""
        return [EMAIL] if EMAIL in parts and self.is_for_a_person(EMAIL, self.calls.row(no)) else []

    def is_for_a_person(self, part: str, no: Error | None) -> bool:
        """What is said of an address."""
        return part == EMAIL and no in (TAKEN, BAD_VALUE)

    def shown(self) -> Mapping[str, object]:
        """The custom fields, read again where one was written."""
        now = self._now() if any(part in self.asked for part in self.done) else None
        return shown_of(now, self.fields, self.asked) if now else {}

    def others(self, refused_parts: Collection[str]) -> list[Outcome]:
        """A name, and the address, which are left to a person, and so is any merging."""
        place, tasks = self.left.reference, list[Outcome]()
        if NAME in refused_parts:
            no = f"In list {place} Campaign Monitor did not accept the new name. Correct it in the web app."
            tasks.append(task(no, place))
        elif not whole_name(self.changes) and (self.changes.first_name, self.changes.last_name) != (None, None):
            part = (
                f"List {place} has one field for the whole name, which the API cannot empty, and the request gives "
                "only a part of a name. Correct the name in the web app."
            )
            tasks.append(task(part, place))
        if EMAIL in refused_parts and self.noes[EMAIL] is TAKEN:
            target = self.target or self.calls.held(place, self.values[EMAIL])
            tasks.append(two_records(self.left, self.member.state, target.state if target else "not shown by the API"))
        elif EMAIL in refused_parts:
            no = f"In list {place} Campaign Monitor did not accept the new address. Check how it is spelt, and correct "
            tasks.append(task(f"{no}it in the web app.", place))
        return tasks

    def _now(self) -> Member | None:
        return self.calls.held(self.left.reference, self.at)
