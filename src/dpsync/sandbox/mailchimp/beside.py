"""What stands beside a contact: its merge fields' definitions, notes, events and activity; and members added in one go.

Source: specification 3.0.55, as read in November 2026. Nothing of it is changed by a connector; it is here so that the
vendor's own clients find it, and because it is personal data that an erasure takes along.
"""

from collections.abc import Mapping

from dpsync.sandbox.asked import Answer, Json, Table
from dpsync.sandbox.mailchimp.asked import LIST, MEMBER, Asked, Change
from dpsync.sandbox.mailchimp.audience import Audience, Member, Problem, check_status, digest, invalid, not_found
from dpsync.sandbox.mailchimp.merge_fields import TYPES, MergeField
from dpsync.sandbox.mailchimp.rendering import chosen, member_body, page_of

LARGEST_BATCH = 500


def merge_fields(asked: Asked) -> Answer:
    audience = asked.audience
    offset, count = page_of(asked.query)
    wanted = asked.query.get("type")
    held = [one for one in audience.fields.values() if wanted in {None, one.type}]
    page: Json = {
        "merge_fields": [one.body(audience.id) for one in held[offset : offset + count]],
        "list_id": audience.id,
        "total_items": len(held),
        "_links": [],
    }
    return Answer(200, chosen(page, asked.query))


def merge_field(asked: Asked) -> Answer:
    return Answer(200, chosen(_field(asked).body(asked.list_id), asked.query))


def add_merge_field(asked: Asked) -> Answer:
    audience = asked.audience
    kind, name = asked.body.get("type"), asked.body.get("name")
    if kind not in TYPES or not isinstance(name, str):
        raise invalid("type" if kind not in TYPES else "name", "Required fields were not provided")
    number = max((one.merge_id for one in audience.fields.values()), default=0) + 1
    tag = str(asked.body.get("tag") or f"MMERGE{number}").upper()
    if tag in audience.fields:
        raise invalid("tag", f'A Merge Field with the tag "{tag}" already exists for this list.')
    audience.fields[tag] = MergeField(number, tag, str(kind), name, bool(asked.body.get("required")), _options(asked))
    for member in audience.members.values():
        member.merge_fields.setdefault(tag, "")
    return Answer(200, audience.fields[tag].body(audience.id))


def change_merge_field(asked: Asked) -> Answer:
    one = _field(asked)
    one.name = str(asked.body.get("name") or one.name)
    one.required = bool(asked.body.get("required", one.required))
    one.options |= _options(asked)
    return Answer(200, one.body(asked.list_id))


def delete_merge_field(asked: Asked) -> Answer:
    """Takes the values of every contact along."""
    one = _field(asked)
    del asked.audience.fields[one.tag]
    for member in asked.audience.members.values():
        member.merge_fields.pop(one.tag, None)
    return Answer(204)


def _field(asked: Asked) -> MergeField:
    found = next((one for one in asked.audience.fields.values() if str(one.merge_id) == asked.part), None)
    if found is None:
        raise not_found()
    return found


def _options(asked: Asked) -> Json:
    given = asked.body.get("options", {})
    return dict(given) if isinstance(given, dict) else {}


# --- notes, events and what else is told of a contact


def notes(asked: Asked) -> Answer:
    member = asked.audience.find(asked.reference)
    rows = [_note(asked, member, number) for number in member.notes]
    return Answer(200, _page(asked, member, "notes", rows))


def add_note(asked: Asked) -> Answer:
    member = asked.audience.find(asked.reference)
    number = max(member.notes, default=0) + 1
    member.notes[number] = _words(asked)
    return Answer(200, _note(asked, member, number))


def note(asked: Asked) -> Answer:
    member, number = _noted(asked)
    return Answer(200, _note(asked, member, number))


def change_note(asked: Asked) -> Answer:
    member, number = _noted(asked)
    member.notes[number] = _words(asked)
    return Answer(200, _note(asked, member, number))


def delete_note(asked: Asked) -> Answer:
    member, number = _noted(asked)
    del member.notes[number]
    return Answer(204)


def _noted(asked: Asked) -> tuple[Member, int]:
    member = asked.audience.find(asked.reference)
    if not asked.part.isdigit() or int(asked.part) not in member.notes:
        raise not_found()
    return member, int(asked.part)


def _words(asked: Asked) -> str:
    words = asked.body.get("note")
    if not isinstance(words, str) or len(words) > 1000:
        raise invalid("note", "Schema describes string of at most 1000 characters")
    return words


def _note(asked: Asked, member: Member, number: int) -> Json:
    return {
        "id": number,
        "created_at": asked.stamp,
        "created_by": "API",
        "updated_at": asked.stamp,
        "note": member.notes[number],
        "list_id": asked.list_id,
        "email_id": member.id,
        "contact_id": member.contact_id,
        "_links": [],
    }


def events(asked: Asked) -> Answer:
    member = asked.audience.find(asked.reference)
    return Answer(200, {"events": list(member.events), "total_items": len(member.events), "_links": []})


def add_event(asked: Asked) -> Answer:
    member, name = asked.audience.find(asked.reference), asked.body.get("name")
    if not isinstance(name, str) or not 2 <= len(name) <= 30:
        raise invalid("name", "Schema describes string of 2 to 30 characters")
    when = str(asked.body.get("occurred_at") or asked.stamp)
    member.events.append({"occurred_at": when, "name": name, "properties": asked.body.get("properties", {})})
    return Answer(204)


def activity(asked: Asked) -> Answer:
    """Nothing is kept there, as in its feed."""
    return Answer(200, _page(asked, asked.audience.find(asked.reference), "activity", []))


def activity_feed(asked: Asked) -> Answer:
    page = _page(asked, asked.audience.find(asked.reference), "activity", [])
    del page["total_items"]
    return Answer(200, page)


def _page(asked: Asked, member: Member, name: str, rows: list[Json]) -> Json:
    return {name: rows, "email_id": member.id, "list_id": asked.list_id, "total_items": len(rows), "_links": []}


# --- many at once


def add_members(asked: Asked) -> Answer:
    """Up to 500; a contact that is refused stands in `errors`, and the answer is 200 all the same."""
    audience, rows = asked.audience, asked.body.get("members")
    if not isinstance(rows, list) or len(rows) > LARGEST_BATCH:
        raise invalid("members", f"Please provide no more than {LARGEST_BATCH} members")
    new: list[Json] = []
    updated: list[Json] = []
    errors: list[Json] = []
    changes: list[Change] = []
    for row in rows:
        given = row if isinstance(row, dict) else {}
        try:
            member, kind = _put(asked, audience, given)
        except Problem as problem:
            said = problem.errors[0] if problem.errors else {"field": "", "message": problem.detail}
            errors.append(
                {
                    "email_address": str(given.get("email_address", "")),
                    "error": said["message"],
                    "error_code": "ERROR_GENERIC",
                    "field": said["field"],
                    "field_message": said["message"],
                }
            )
            continue
        (new if kind == "created" else updated).append(member_body(audience, member))
        changes.append(Change(kind, audience, member))
    body: Json = {
        "new_members": new,
        "updated_members": updated,
        "errors": errors,
        "total_created": len(new),
        "total_updated": len(updated),
        "error_count": len(errors),
        "_links": [],
    }
    return Answer(200, body, tuple(changes))


def _put(asked: Asked, audience: Audience, given: Mapping[str, object]) -> tuple[Member, str]:
    address, status = str(given.get("email_address", "")), check_status(given.get("status"))
    fields = given.get("merge_fields", {})
    values = fields if isinstance(fields, dict) else {}
    groups = audience.asked_groups(given.get("interests", {}))
    present = audience.members.get(digest(address))
    if present is None:
        made = audience.add(address, status, values, asked.stamp, skip_validation=asked.lax)
        audience.regroup(made, groups)
        return made, "created"
    if not asked.body.get("update_existing"):
        audience.check_new_address(address)
    audience.merge(present, values, skip_validation=asked.lax)
    audience.regroup(present, groups)
    present.status = status
    return present, "patched"


FIELDS = LIST + "/merge-fields"
ROUTES: Table = {
    FIELDS: {"GET": merge_fields, "POST": add_merge_field},
    FIELDS + "/{part}": {"GET": merge_field, "PATCH": change_merge_field, "DELETE": delete_merge_field},
    MEMBER + "/notes": {"GET": notes, "POST": add_note},
    MEMBER + "/notes/{part}": {"GET": note, "PATCH": change_note, "DELETE": delete_note},
    MEMBER + "/events": {"GET": events, "POST": add_event},
    MEMBER + "/activity": {"GET": activity},
    MEMBER + "/activity-feed": {"GET": activity_feed},
}
