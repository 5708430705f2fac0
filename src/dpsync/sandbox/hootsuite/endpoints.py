"""What each endpoint of Hootsuite's REST, Inbox and SCIM interfaces answers.

Source: the vendor notes, sections 2, 7 and 8. Nothing published lists, reads or deletes a contact or a conversation.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from starlette.datastructures import QueryParams

from dpsync.sandbox.asked import Answer, Change, Table, whole_number
from dpsync.sandbox.hootsuite.asked import TOKEN, Asked, ScimRefusal
from dpsync.sandbox.hootsuite.inbox import Refusal, apply
from dpsync.sandbox.hootsuite.staff import Member

WINDOW = timedelta(weeks=4)
LARGEST_PAGE = 100
SCIM_LIST = "urn:ietf:params:scim:api:messages:2.0:ListResponse"


@dataclass(frozen=True, slots=True)
class Late(Answer):
    """A yes that is followed, minutes later and at another address, by what was wrong."""

    faults: tuple[str, ...] = ()


def exchange(asked: Asked) -> Answer:
    """A token for a grant."""
    linked = {one.id: () if asked.switches.revoked else one.linked for one in asked.held.organizations.values()}
    client = asked.held.tokens.client_of(asked.basic)
    return Answer(200, asked.held.tokens.granted(client, asked.form, linked, asked.now))


def set_attributes(asked: Asked) -> Answer:
    """200 says that the set was taken, not that it is valid: that is said minutes later, to another address."""
    inbox = asked.inbox.inbox
    contact = inbox.contacts.get(asked.names["contact_id"])
    if contact is None:
        raise Refusal(404, 0, "Contact profile not found in organization", inbox=True)
    wanted, confirmed = _wanted(asked)
    faults = inbox.faults_of(wanted)
    if asked.switches.import_errors and asked.effect:
        faults, asked.switches.import_errors = faults or ["The import failed"], False
    if faults:
        return Late(200, {}, faults=tuple(faults))
    if confirmed:
        return Answer(200, {}, apply(inbox, contact, wanted))
    contact.proposed = wanted
    return Answer(200, {})


def _wanted(asked: Asked) -> tuple[dict[str, str | None], bool]:
    """The attributes that are asked for, and whether they need no Confirm. Raises `Refusal` 400."""
    rows, confirm = asked.body.get("contactAttributes"), asked.body.get("autoConfirm", False)
    if not isinstance(rows, list) or not isinstance(confirm, bool):
        raise Refusal(400, 0, "The request is malformed", inbox=True)
    wanted: dict[str, str | None] = {}
    for row in rows:
        match row:
            case {"attribute": str(name), "value": (str() | None) as value}:
                wanted[name] = value
            case _:
                raise Refusal(400, 0, "The request is malformed", inbox=True)
    return wanted, confirm


def send_proactive(asked: Asked) -> Answer:
    """A message of ours to a number: what must not be sent to whoever is restricted or has opted out."""
    home, body = asked.inbox, asked.body
    missing = [name for name in ("medium", "channel", "contact", "text") if not isinstance(body.get(name), str)]
    if missing:
        raise Refusal(400, 0, f"{missing[0]}: must not be blank", inbox=True)
    return Answer(
        200, {"correlationId": home.inbox.made_id("proactive")}, (Change("proactive_sent", "", str(body["contact"])),)
    )


def me(asked: Asked) -> Answer:
    home = asked.home
    found = home.members.get(asked.token.member) or next(iter(home.members.values()), None)
    if found is None:
        raise Refusal(404, 4001, "Member not found")
    return Answer(200, {"data": {"id": found.id, "fullName": found.name, "email": found.email, "isActive": True}})


def organizations(asked: Asked) -> Answer:
    home = asked.home
    row = {"id": home.id, "name": home.name, "logoUrl": "https://pictures.example.org/logo.png"}
    return Answer(200, {"data": [row]})


def members(asked: Asked) -> Answer:
    home = asked.organization
    return Answer(200, {"data": [{"id": one.id} for one in home.members.values() if one.active]})


def remove_member(asked: Asked) -> Answer:
    home, found = asked.organization, asked.member
    if found.paying:
        raise Refusal(400, 3301, "The paying member cannot be removed")
    del home.members[found.id]
    return Answer(200, {"data": {}}, (Change("member_removed", "", found.email),))


def one_member(asked: Asked) -> Answer:
    found = asked.member
    body = {"id": found.id, "fullName": found.name, "email": found.email, "isActive": found.active}
    return Answer(200, {"data": body})


def profiles(asked: Asked) -> Answer:
    return Answer(200, {"data": asked.home.profile_rows()})


def messages(asked: Asked) -> Answer:
    """Posts by the time they are to be sent, at most four weeks at once, in pages with a cursor."""
    query = asked.query
    start, end = _time(query, "startTime"), _time(query, "endTime")
    if not start <= end <= start + WINDOW:
        raise Refusal(400, 40020, "The time range is too large")
    limit = whole_number(query, "limit", 50, 1, LARGEST_PAGE)
    if limit is None:
        raise Refusal(400, 4000, "limit is out of range")
    state, only = query.get("state"), query.getlist("socialProfileIds")
    held = sorted(
        (
            one
            for one in asked.home.posts.values()
            if start <= one.at <= end and state in {None, one.state} and (not only or one.profile in only)
        ),
        key=lambda one: (one.at, one.id),
    )
    offset = _offset(query.get("cursor"))
    cursor = {
        "next": f"{offset + limit}:{limit}:0" if offset + limit < len(held) else None,
        "previous": f"{max(0, offset - limit)}:{limit}:1" if offset else None,
    }
    rows = [one.body() for one in held[offset : offset + limit]]
    return Answer(200, {"data": rows, "metadata": {"cursor": cursor}})


def one_message(asked: Asked) -> Answer:
    return Answer(200, {"data": asked.post.body()})


def delete_message(asked: Asked) -> Answer:
    found = asked.post
    if found.state in {"SENT", "SEND_FAILED_PERMANENTLY"}:
        raise Refusal(400, 40003, "The message cannot be deleted in its state")
    del asked.home.posts[found.id]
    return Answer(200, {"data": []}, (Change("post_deleted", "", found.id),))


def scim_users(asked: Asked) -> Answer:
    held = list(asked.home.members.values())
    if given := asked.query.get("filter"):
        wanted = re.fullmatch(r'\s*userName\s+eq\s+"([^"]*)"\s*', given, re.IGNORECASE)
        if wanted is None:
            raise ScimRefusal("The filter is not supported", "invalidValue")
        held = [one for one in held if one.email.lower() == wanted[1].lower()]
    rows = [one.scim() for one in held]
    page = {"startIndex": 1, "itemsPerPage": len(rows), "totalResults": len(rows)}
    return Answer(200, {"schemas": [SCIM_LIST], "Resources": rows, **page})


def scim_user(asked: Asked) -> Answer:
    return Answer(200, _scim_member(asked).scim())


def patch_scim_user(asked: Asked) -> Answer:
    found, operations = _scim_member(asked), asked.body.get("Operations")
    if not isinstance(operations, list) or not all(isinstance(one, dict) for one in operations):
        raise ScimRefusal("Operations are missing", "invalidSyntax")
    for one in operations:
        value, path = one.get("value"), one.get("path")
        values = value if isinstance(value, dict) else {path: value}
        found.active = bool(values.get("active", found.active))
        found.name = str(values.get("displayName", found.name))
        found.email = str(values.get("userName", found.email))
    return Answer(200, found.scim(), (Change("member_changed", "", found.email),))


def _scim_member(asked: Asked) -> Member:
    found = asked.home.members.get(asked.names["member_id"])
    if found is None:
        raise ScimRefusal("User not found", status=404)
    return found


def _time(query: QueryParams, name: str) -> datetime:
    try:
        at = datetime.fromisoformat(query[name])
    except (KeyError, ValueError):
        raise Refusal(400, 4000, f"{name} is required, as an ISO-8601 time") from None
    if at.tzinfo is None:
        raise Refusal(400, 4000, f"{name} needs a zone")
    return at


def _offset(cursor: str | None) -> int:
    if cursor is None:
        return 0
    if not re.fullmatch(r"\d+:\d+:[01]", cursor):
        raise Refusal(400, 3020, "The cursor is invalid")
    return int(cursor.partition(":")[0])


CONTACT = "/inbox/v2/contact/{contact_id}/contact-attributes"
ROUTES: Table = {
    TOKEN: {"POST": exchange},
    CONTACT: {"PUT": set_attributes},
    "/inbox/v1/proactive-messaging": {"POST": send_proactive},
    "/v1/me": {"GET": me},
    "/v1/me/organizations": {"GET": organizations},
    "/v1/members/{member_id}": {"GET": one_member},
    "/v1/organizations/{organization_id}/members": {"GET": members},
    "/v1/organizations/{organization_id}/members/{member_id}": {"DELETE": remove_member},
    "/v1/socialProfiles": {"GET": profiles},
    "/v1/messages": {"GET": messages},
    "/v1/messages/{message_id}": {"GET": one_message, "DELETE": delete_message},
    "/scim/v2/Users": {"GET": scim_users},
    "/scim/v2/Users/{member_id}": {"GET": scim_user, "PATCH": patch_scim_user},
}
