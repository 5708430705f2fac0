"""The Brevo API v3 on loopback: a key, the hourly count, contacts, lists, attributes, webhooks.

No limit a second.

Source: developers.brevo.com, reference of API v3 (a page for each call), docs/api-limits, docs/limit-headers; issues
getbrevo/brevo-python 13, sendinblue/APIv3-python-library 63, APIv3-php-library 47 and 64; as read in November 2026.
"""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from dpsync.sandbox.api import Api
from dpsync.sandbox.asked import Answer, Change, Json, Table, folded, whole_number
from dpsync.sandbox.brevo.account import Asked, Contact, Held, change
from dpsync.sandbox.brevo.filling import BrevoSection, BrevoSwitches, PersonActs
from dpsync.sandbox.brevo.webhooks import ROUTES as OF_WEBHOOKS
from dpsync.sandbox.brevo.webhooks import Webhooks
from dpsync.sandbox.buckets import Bucket
from dpsync.sandbox.routes import compiled
from dpsync.sandbox.vendor import Refusal

LIMITS = {"/contacts": 36_000, "/smtp/blockedContacts": 3_600_000, "": 100}
"""Calls an hour by how a path begins, for every kind of account."""
CODES = {400: "bad_request", 403: "permission_denied", 404: "document_not_found", 405: "method_not_allowed"}
PLACE = {"street": "1 Example Street", "city": "Kent", "zipCode": "CT1 1AA", "country": "GB"}
OWNER = {"email": "owner@example.org", "firstName": "Pat", "lastName": "Owner", "companyName": "Example"}
ACCOUNT = {**OWNER, "address": PLACE, "plan": [], "relay": {"enabled": False, "data": {}}}


def page(asked: Asked, name: str, rows: Iterable[Json], usual: int, most: int) -> Answer:
    """A page; the newest comes first unless it is asked otherwise."""
    limit, offset = whole_number(asked.query, "limit", usual, 0, most), whole_number(asked.query, "offset", 0, 0, 10**9)
    if limit is None or offset is None:
        raise Refusal(400, "limit or offset is out of range", code="out_of_range")
    ordered = list(rows)[:: 1 if asked.query.get("sort") == "asc" else -1]
    return Answer(200, {name: ordered[offset : offset + limit], "count": len(ordered)})


def contacts(asked: Asked, most: int, home: int | None = None) -> Answer:
    """All of them, or those of one list."""
    held = asked.held.contacts.values()
    return page(asked, "contacts", (one.body() for one in held if home is None or home in one.lists), 50, most)


def unlink(asked: Asked) -> Answer:
    """Takes contacts off a list; whom it does not find there stands in `failure`, and is a 400 where that is all."""
    home, kind = asked.list_id, "email_id" if "emails" in asked.body else "contact_id"
    given = asked.body.get("emails", asked.body.get("ids"))
    if not isinstance(given, list) or not 0 < len(given) <= 150:
        raise Refusal(400, "emails or ids are missing, or too many", code="missing_parameter")
    found = {one: held for one in given if (held := asked.held.find(kind, one)) and home in held.lists}
    if not found:
        raise Refusal(400, "Contact already removed from list and/or does not exist", code="invalid_parameter")
    for contact in found.values():
        contact.lists.discard(home)
    said = {"success": list(found), "failure": [one for one in given if one not in list(found)]}
    return Answer(201, {"contacts": said}, [Change("unlinked", str(home), one.email) for one in found.values()])


def create(asked: Asked) -> Answer:
    """A new contact; one that is there is changed where `updateEnabled` says so, and is else a duplicate."""
    there = asked.held.find("email_id", asked.body.get("email", ""))
    if there is not None and asked.body.get("updateEnabled") is True:
        return Answer(204, None, change(asked, there))
    asked.held.counted += 1
    made = Contact(asked.held.counted, asked.now, asked.now)
    changes = change(asked, made, "create")
    asked.held.contacts[made.id] = made
    return Answer(201, {"id": made.id}, changes)


def delete(asked: Asked) -> Answer:
    """One contact."""
    return Answer(204, None, [Change("deleted", "contacts", asked.held.contacts.pop(asked.contact.id).email)])


ROUTES: Table = {
    "/account": {"GET": lambda _: Answer(200, ACCOUNT)},
    "/contacts": {"GET": lambda asked: contacts(asked, 1000), "POST": create},
    "/contacts/attributes": {"GET": lambda asked: Answer(200, {"attributes": list(asked.held.attributes.values())})},
    "/contacts/lists": {"GET": lambda asked: page(asked, "lists", asked.held.lists.values(), 10, 50)},
    "/contacts/lists/{list_id}/contacts": {"GET": lambda asked: contacts(asked, 500, asked.list_id)},
    "/contacts/lists/{list_id}/contacts/remove": {"POST": unlink},
    "/contacts/{identifier}": {
        "GET": lambda asked: Answer(200, asked.contact.body() | {"statistics": asked.contact.statistics()}),
        "PUT": lambda asked: Answer(204, None, change(asked, asked.contact)),
        "DELETE": delete,
    },
    "/smtp/blockedContacts": {"GET": lambda asked: page(asked, "contacts", asked.held.blocked.values(), 50, 100)},
    **OF_WEBHOOKS,
}
HOW = {"unsubscribe": "userUnsubscription", "bounce": "hardBounces", "complain": "complaints"}
TOLD = {"unsubscribe": "blocklisted", "bounce": "bounced", "complain": "complained", "erase": "deleted"}
"""Why a deed puts a contact on the blocklist, and what of it is counted and told."""


@dataclass(slots=True)
class Brevo(Api[Asked]):
    """The vendor, below `/v3`."""

    prefix = "/v3"
    routes = compiled(ROUTES)
    asks = Asked
    held: Held = field(default_factory=Held)
    switches: BrevoSwitches = field(default_factory=BrevoSwitches)
    hours: dict[str, Bucket] = field(default_factory=dict)
    webhooks: Webhooks = field(default_factory=Webhooks)

    def fill(self, section: BrevoSection) -> None:
        """Adds what a scenario says."""
        held, now = self.held, self.now()
        held.keys += section.keys
        for name, kind in section.attributes.items():
            held.attributes[name] = {"name": name, "category": "normal", "type": kind}
        ids = {str(row["name"]): number for number, row in held.lists.items()}
        for name in (*section.lists, *(name for one in section.contacts for name in one.lists)):
            number = ids.setdefault(name, len(ids) + 1)  # get-lists says that its counts are dropped and 0
            counts = dict.fromkeys(("totalBlacklisted", "totalSubscribers", "uniqueSubscribers"), 0)
            held.lists[number] = {"id": number, "name": name, "folderId": 1, **counts}
        for one in section.contacts:
            held.counted += 1
            made = Contact(held.counted, now, now, one.email, {**one.attributes}, {ids[name] for name in one.lists})
            made.blocklisted, held.contacts[made.id] = one.blocklisted, made
            if why := one.blocked:
                row = {"email": one.email, "senderEmail": "", "reason": {"code": why, "message": why}}
                held.blocked[folded(one.email)] = {**row, "blockedAt": now.isoformat()}
        self.set_up(section)

    def act(self, **asked: object) -> int:
        """Something done by hand; see PersonActs. How many contacts were concerned."""
        wanted = PersonActs.model_validate(asked)
        found = self.held.find("email_id", wanted.address)
        if found is not None:
            if wanted.act in HOW:
                found.why(HOW[wanted.act], self.now())
            elif wanted.act == "subscribe":
                found.blocklisted = False
            else:
                del self.held.contacts[found.id]
            self.note("main", [Change(TOLD.get(wanted.act, "patched"), "contacts", found.email)])
        return int(found is not None)

    def tell(self, _: str, changes: Sequence[Change]) -> None:
        """Tells the webhooks."""
        if self.held.hooks:
            hooks, batched = list(self.held.hooks.values()), bool(self.switches.webhooks_batched)
            self.begin(self.webhooks.tell(hooks, [*changes], self.now(), batched=batched))

    def holds(self, address: str) -> list[tuple[str, str]]:
        """("contacts" and the number of each list, state), and ("blocked", ""), wherever the address is."""
        places = [("blocked", "")] if folded(address) in self.held.blocked else []
        if found := self.held.find("email_id", address):
            state = "blocklisted" if found.blocklisted else "subscribed"
            places += [(place, state) for place in ("contacts", *map(str, sorted(found.lists)))]
        return places

    def reset(self) -> None:
        """Empties everything but the keys, the lists and the attributes."""
        for part in (self.held.contacts, self.held.blocked, self.held.hooks, self.hours):
            part.clear()
        self.forget_counts()

    def whose(self, asked: Asked) -> str:
        """The account's, once its call is counted. Raises `Refusal` 401, 403 or 429."""
        asked.shown = [("sib-request-id", str(uuid.uuid4()))]
        key = asked.request.headers.get("api-key")
        if key not in self.held.keys:
            raise Refusal(401, "Key not found" if key else "authentication not found in headers", code="unauthorized")
        if self.switches.no_permission:
            raise self.trouble(asked, 403)
        group = next(name for name in LIMITS if asked.template.startswith(name))
        limit = LIMITS[group] if self.switches.hourly_limit is None else self.switches.hourly_limit
        used, left = self.hours.setdefault(group, Bucket()).take(asked.now)
        shown = {"limit": limit, "remaining": max(0, limit - used), "reset": left}
        asked.shown += [(f"x-sib-ratelimit-{name}", str(number)) for name, number in shown.items()]
        if used > limit:
            raise self.trouble(asked, 429)
        return "main"

    def trouble(self, _: Asked, status: int) -> Refusal:
        """By the codes that the reference lists; for a 429 or a 5xx it lists none."""
        return Refusal(status, "Not available", code=CODES.get(status, "unavailable"))

    def envelope(self, _: Asked, no: Refusal) -> Json:
        """In the vendor's shape; a duplicate names the identifiers."""
        return {"code": no.code, "message": no.message, **no.more}
