"""What each endpoint of Hootsuite's REST, Inbox and SCIM interfaces answers.

Source: the vendor notes, sections 2, 7 and 8. Nothing published lists, reads or deletes a contact or a conversation.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from starlette.datastructures import QueryParams

from dpsync.sandbox.hootsuite.inbox import Contact, Json, Refusal
from dpsync.sandbox.hootsuite.oauth import Token
from dpsync.sandbox.hootsuite.staff import Member, Organization, Post

WINDOW = timedelta(weeks=4)
LARGEST_PAGE = 100
SCIM_LIST = "urn:ietf:params:scim:api:messages:2.0:ListResponse"


@dataclass(frozen=True, slots=True)
class Asked:
    """One authenticated call."""

    organizations: Mapping[str, Organization]
    token: Token
    names: Mapping[str, str]
    query: QueryParams
    body: object
    now: datetime

    @property
    def home(self) -> Organization:
        """The organisation that the token is of, or its member. Raises `Refusal`."""
        for one in self.organizations.values():
            if one.id == self.token.organization or self.token.member in one.members:
                return one
        raise Refusal(403, 4004, "The member is in no organization")

    @property
    def inbox(self) -> Organization:
        """The organisation of the Inbox, which only an app's own token opens. Raises `Refusal` 401."""
        if self.token.organization not in self.organizations:
            raise Refusal(401, 4003, "The Inbox needs a token of the organization", inbox=True)
        return self.organizations[self.token.organization]

    @property
    def organization(self) -> Organization:
        """The organisation of the path. Raises `Refusal` 403 for another's."""
        home = self.home
        if self.names["organization_id"] != home.id:
            raise Refusal(403, 1202, "Not a member of this organization")
        return home

    @property
    def member(self) -> Member:
        """The member of the path. Raises `Refusal`."""
        found = self.home.members.get(self.names["member_id"])
        if found is None:
            raise Refusal(403, 1202, "Not a member of this organization")
        return found

    @property
    def post(self) -> Post:
        """The message of the path. Raises `Refusal` 404."""
        found = self.home.posts.get(self.names["message_id"])
        if found is None:
            raise Refusal(404, 4001, "Message not found")
        return found


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, body, what it changed as (kind, about whom), and the contact whose attributes are to be set."""

    status: int
    body: Json
    changes: tuple[tuple[str, str], ...] = ()
    contact: Contact | None = None
    wanted: Mapping[str, str | None] | None = None
    confirmed: bool = False


def set_attributes(asked: Asked) -> Answer:
    """200 says that the set was taken, not that it is valid: that is said minutes later, to another address."""
    contact = asked.inbox.inbox.contacts.get(asked.names["contact_id"])
    if contact is None:
        raise Refusal(404, 0, "Contact profile not found in organization", inbox=True)
    body = asked.body if isinstance(asked.body, dict) else {}
    rows, confirm = body.get("contactAttributes"), body.get("autoConfirm", False)
    if not isinstance(rows, list) or not isinstance(confirm, bool):
        raise Refusal(400, 0, "The request is malformed", inbox=True)
    wanted: dict[str, str | None] = {}
    for row in rows:
        match row:
            case {"attribute": str(name), "value": (str() | None) as value}:
                wanted[name] = value
            case _:
                raise Refusal(400, 0, "The request is malformed", inbox=True)
    return Answer(200, {}, contact=contact, wanted=wanted, confirmed=confirm)


def send_proactive(asked: Asked) -> Answer:
    """A message of ours to a number: what must not be sent to whoever is restricted or has opted out."""
    home, body = asked.inbox, asked.body if isinstance(asked.body, dict) else {}
    missing = [name for name in ("medium", "channel", "contact", "text") if not isinstance(body.get(name), str)]
    if missing:
        raise Refusal(400, 0, f"{missing[0]}: must not be blank", inbox=True)
    return Answer(200, {"correlationId": home.inbox.made_id("proactive")}, (("proactive_sent", str(body["contact"])),))


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
    return Answer(200, {"data": {}}, (("member_removed", found.email),))


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
    limit = int(query.get("limit", "50")) if query.get("limit", "50").isdigit() else 0
    if not 1 <= limit <= LARGEST_PAGE:
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
    return Answer(200, {"data": []}, (("post_deleted", found.id),))


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
    found, body = _scim_member(asked), asked.body if isinstance(asked.body, dict) else {}
    operations = body.get("Operations")
    if not isinstance(operations, list) or not all(isinstance(one, dict) for one in operations):
        raise ScimRefusal("Operations are missing", "invalidSyntax")
    for one in operations:
        value, path = one.get("value"), one.get("path")
        values = value if isinstance(value, dict) else {path: value}
        found.active = bool(values.get("active", found.active))
        found.name = str(values.get("displayName", found.name))
        found.email = str(values.get("userName", found.email))
    return Answer(200, found.scim(), (("member_changed", found.email),))


class ScimRefusal(Refusal):
    """A no in SCIM's own shape."""

    def __init__(self, message: str, scim_type: str = "", status: int = 400) -> None:
        self.scim_type = scim_type
        super().__init__(status, 0, message)


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


Handler = Callable[[Asked], Answer]
CONTACT = "/inbox/v2/contact/{contact_id}/contact-attributes"
ROUTES: Mapping[str, Mapping[str, Handler]] = {
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
