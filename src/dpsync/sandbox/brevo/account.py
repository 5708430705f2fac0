"""What Brevo holds, and the rules by which a contact may change.

Source: developers.brevo.com, the reference of API v3 (get-, create-, update-, delete-contact), and public issues
(PipedreamHQ/pipedream 15034, pass-culture/pass-culture-main 22628), as read in November 2026. What nobody documents is
decided against the caller, or is a switch.
"""

import json
import re
from dataclasses import dataclass, field
from datetime import datetime

from dpsync.sandbox import asked
from dpsync.sandbox.asked import Change, Json, folded
from dpsync.sandbox.brevo.filling import BrevoSwitches
from dpsync.sandbox.vendor import Refusal

NAMED = {"ext_id": "EXT_ID", "phone_id": "SMS", "whatsapp_id": "WHATSAPP", "landline_number_id": "LANDLINE_NUMBER"}
"""The attribute that a type of identifier stands for."""
TYPES = {"text": '".*"', "date": r'"(\d{4}-\d\d-\d\d)?"', "float": '-?[0-9.]+|""', "boolean": 'true|false|""'}
"""How a value of each type looks as JSON."""


@dataclass(slots=True)
class Contact:
    """One contact."""

    id: int
    created: datetime
    modified: datetime
    email: str = ""
    attributes: Json = field(default_factory=dict)
    lists: set[int] = field(default_factory=set)
    blocklisted: bool = False
    sms_blocklisted: bool = False
    reasons: list[tuple[str, datetime]] = field(default_factory=list)

    def why(self, reason: str, at: datetime) -> None:
        """Goes on the blocklist for a reason that its statistics show."""
        self.blocklisted, self.modified = True, at
        self.reasons.append((reason, at))

    def statistics(self) -> Json:
        """What mail did to it, as far as it is imitated."""

        def shown(reason: str) -> list[Json]:
            return [{"campaignId": 1, "eventTime": at.isoformat()} for why, at in self.reasons if why == reason]

        left = {name: shown(name) for name in ("userUnsubscription", "adminUnsubscription")}
        return {"unsubscriptions": left, **{name: shown(name) for name in ("complaints", "hardBounces")}}

    def body(self) -> Json:
        """In the vendor's shape."""
        flags = {"emailBlacklisted": self.blocklisted, "smsBlacklisted": self.sms_blocklisted}
        known = {"email": self.email, "id": self.id, "attributes": self.attributes, "listIds": sorted(self.lists)}
        created, modified = (at.isoformat(timespec="milliseconds") for at in (self.created, self.modified))
        return {**known, **flags, "createdAt": created, "modifiedAt": modified}


@dataclass(slots=True)
class Hook:
    """One webhook. `events`: by the names under which they are asked for."""

    id: int
    kind: str
    created: datetime
    url: str
    events: tuple[str, ...]

    def body(self) -> Json:
        """In the vendor's shape."""
        at = self.created.isoformat(timespec="milliseconds")
        about = {"id": self.id, "type": self.kind, "url": self.url, "events": [*self.events], "description": ""}
        return {**about, "createdAt": at, "modifiedAt": at, "batched": False, "channel": "email"}


@dataclass(slots=True)
class Held:
    """The account. `blocked`, whom no transactional mail reaches, outlives the contact: documented nowhere."""

    keys: tuple[str, ...] = ()
    lists: dict[int, Json] = field(default_factory=dict)
    attributes: dict[str, Json] = field(default_factory=dict)
    contacts: dict[int, Contact] = field(default_factory=dict)
    blocked: dict[str, Json] = field(default_factory=dict)
    hooks: dict[int, Hook] = field(default_factory=dict)
    counted: int = 0

    def find(self, kind: str, given: object) -> Contact | None:
        """The contact that is known so, by a type of identifier."""
        wanted = folded(str(given))
        for one in self.contacts.values():
            own = {"email_id": one.email, "contact_id": one.id, **one.attributes}
            if wanted and folded(str(own.get(NAMED.get(kind, kind)))) == wanted:
                return one
        return None


class Asked(asked.Asked[Held, BrevoSwitches]):
    """One authenticated call."""

    __slots__ = ()

    @property
    def list_id(self) -> int:
        """The list of the path. Raises `Refusal` 404."""
        given = self.names["list_id"]
        if not given.isdigit() or int(given) not in self.held.lists:
            raise Refusal(404, "List ID does not exist", code="document_not_found")
        return int(given)

    @property
    def contact(self) -> Contact:
        """The contact of the path; where no type of identifier is named, by address or id. Raises `Refusal`."""
        given = self.names["identifier"]
        kind = self.query.get("identifierType", "email_id" if "@" in given else "contact_id")
        if kind not in {"email_id", "contact_id", *NAMED} or (kind == "contact_id" and not given.isdigit()):
            raise Refusal(400, "Invalid identifier", code="invalid_parameter")
        if (found := self.held.find(kind, given)) is None:
            raise Refusal(404, "Contact does not exist", code="document_not_found")
        return found


def change(call: Asked, one: Contact, verb: str = "update") -> list[Change]:
    """Changes what the call's body names, all of it or nothing. Raises `Refusal` 400.

    A value of another type than its attribute, or of an attribute that is not there, is passed over without a word.
    Another address takes a contact off the blocklist: so the page on update-contact says.
    """
    held, body, was, left = call.held, call.body, one.email, one.blocklisted
    given = body.get("attributes", {})
    values: Json = dict(given) if isinstance(given, dict) else {}
    email = values.pop("EMAIL", body.get("email", was))
    if not isinstance(email, str) or not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+|", email):
        raise Refusal(400, "email is not valid", code="invalid_parameter")
    known = {"email": held.find("email_id", email), "ext_id": held.find("ext_id", body.get("ext_id", ""))}
    if taken := tuple(name for name, other in known.items() if other not in (None, one)):
        words = f"Unable to {verb} contact, {taken[0]} is already associated with another Contact"
        code = "invalid_parameter" if call.switches.duplicate_is_invalid else "duplicate_parameter"
        raise Refusal(400, words, code=code, metadata={"duplicate_identifiers": taken})
    joins, leaves = (body.get(name, []) for name in ("listIds", "unlinkListIds"))
    if (
        not isinstance(joins, list)
        or not isinstance(leaves, list)
        or not all(one in [*held.lists] for one in [*joins, *leaves])
    ):
        raise Refusal(400, "Invalid list ids", code="invalid_parameter")
    moved = folded(email) != folded(was)
    one.email, one.modified, one.lists = email, call.now, {*one.lists, *joins} - {*leaves}
    types = {name: TYPES[str(row["type"])] for name, row in held.attributes.items()}
    fits = {name: said for name, said in values.items() if re.fullmatch(types.get(name, "(?!)"), json.dumps(said))}
    one.attributes |= fits | ({"EXT_ID": body["ext_id"]} if "ext_id" in body else {})
    one.blocklisted = body.get("emailBlacklisted", left and not moved) is True
    one.sms_blocklisted = body.get("smsBlacklisted", one.sms_blocklisted) is True
    if one.blocklisted and not left:
        one.why("adminUnsubscription", call.now)
    kinds = ["created" if verb == "create" else "moved" if moved else "patched"]
    kinds += [] if left == one.blocklisted else ["blocklisted" if one.blocklisted else "allowed"]
    return [Change(kind, "contacts", one.email, was if kind == "moved" else "") for kind in kinds]
