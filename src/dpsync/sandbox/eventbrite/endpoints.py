"""What each endpoint of Eventbrite answers: plain functions from what was asked to an answer.

Source: the vendor notes on API v3, sections 1, 2, 6 and 7. There is no call that changes or erases an order or an
attendee; every attempt at one is a 405.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from starlette.datastructures import QueryParams

from dpsync.sandbox.eventbrite.paging import Pages
from dpsync.sandbox.eventbrite.records import (
    Attendee,
    Change,
    Event,
    Hook,
    Json,
    Order,
    Records,
    Refusal,
    Token,
    folded,
)

ATTENDING = {
    "attending": frozenset({"Attending", "Checked In"}),
    "not_attending": frozenset({"Not Attending", "Deleted"}),
    "unpaid": frozenset({"Unpaid"}),
}
ORDERS = {
    "active": frozenset({"placed"}),
    "inactive": frozenset({"refunded", "cancelled", "deleted"}),
    "both": frozenset({"placed", "refunded", "cancelled", "deleted"}),
    "all_not_deleted": frozenset({"placed", "refunded", "cancelled"}),
}
ACTIONS = frozenset(
    {
        "attendee.updated",
        "attendee.checked_in",
        "attendee.checked_out",
        "order.placed",
        "order.updated",
        "order.refunded",
    }
)


@dataclass(frozen=True, slots=True)
class Asked:
    """One authenticated call. `names`: what the path says; `access`: False where the organisation's rights are gone."""

    records: Records
    token: Token
    names: Mapping[str, str]
    query: QueryParams
    body: Mapping[str, object]
    pages: Pages
    path: str
    url: str
    now: datetime
    access: bool = True
    expansion_failed: bool = False

    @property
    def organization(self) -> str:
        """The organisation of the path. Raises `Refusal` 403 where it is another's, 404 where there is none."""
        wanted = self.names["organization_id"]
        if wanted not in self.records.organizations:
            raise Refusal(404, "NOT_FOUND")
        if not self.access or wanted not in self.token.organizations:
            raise Refusal(403, "NOT_AUTHORIZED")
        return wanted

    @property
    def event(self) -> Event:
        """The event of the path. Raises `Refusal`."""
        found = self.records.events.get(self.names["event_id"])
        if found is None:
            raise Refusal(404, "NOT_FOUND")
        if not self.access or found.organization_id not in self.token.organizations:
            raise Refusal(403, "NOT_AUTHORIZED")
        return found

    def ours(self, event_id: str) -> bool:
        """Whether the token may see what belongs to an event. For one record without the right to it: as if gone."""
        return self.access and self.records.organization_of(event_id) in self.token.organizations

    def several(self, name: str) -> frozenset[str]:
        """A list parameter, repeated or comma-joined: which of the two the vendor means is not documented."""
        given = (part for value in self.query.getlist(name) for part in value.split(","))
        return frozenset(folded(part) for part in given if part.strip())

    @property
    def expand(self) -> frozenset[str]:
        """What is to be expanded. Raises `Refusal` 500 where the vendor cannot."""
        wanted = self.several("expand") - {"none"}
        if wanted and self.expansion_failed:
            raise Refusal(500, "EXPANSION_FAILED")
        return wanted

    def changed_since(self) -> datetime | None:
        """The filter. Raises `Refusal` 400 for what is no time."""
        given = self.query.get("changed_since")
        if given is None:
            return None
        try:
            at = datetime.fromisoformat(given)
        except ValueError:
            raise Refusal(400, "ARGUMENTS_ERROR", "changed_since is not a datetime") from None
        return at if at.tzinfo else at.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, body and what it changed."""

    status: int
    body: Json
    changes: tuple[Change, ...] = ()


def me(_: Asked) -> Answer:
    return Answer(200, {"id": "310000000001", "name": "Organiser", "emails": [], "is_public": False})


def organizations(asked: Asked) -> Answer:
    held = asked.token.organizations if asked.access else ()
    rows: list[Json] = [
        {"id": one, "name": asked.records.organizations[one], "vertical": "default", "image_id": None} for one in held
    ]
    return _paged(asked, "organizations", rows)


def events(asked: Asked) -> Answer:
    home = asked.organization
    return _paged(
        asked, "events", [_event(one) for one in asked.records.events.values() if one.organization_id == home]
    )


def one_event(asked: Asked) -> Answer:
    return Answer(200, _event(asked.event))


def delete_event(asked: Asked) -> Answer:
    event = asked.event
    if any(order.event_id == event.id for order in asked.records.orders.values()):
        raise Refusal(400, "CANNOT_DELETE", "There is at least one pending or completed order.")
    del asked.records.events[event.id]
    return Answer(200, {"deleted": True}, (Change("destroyed", "event.updated", event.id, None, ""),))


def organization_orders(asked: Asked) -> Answer:
    home = asked.organization
    return _orders(
        asked, (o for o in asked.records.orders.values() if asked.records.organization_of(o.event_id) == home)
    )


def event_orders(asked: Asked) -> Answer:
    home = asked.event.id
    return _orders(asked, (order for order in asked.records.orders.values() if order.event_id == home))


def own_orders(asked: Asked) -> Answer:
    """The token owner's own purchases, and nobody else's."""
    return _paged(asked, "orders", [])


def one_order(asked: Asked) -> Answer:
    order = asked.records.orders.get(asked.names["order_id"])
    if order is None or not asked.ours(order.event_id):
        raise Refusal(404, "NOT_FOUND")
    if order.expired:
        raise Refusal(400, "ORDER_EXPIRED", "The order is expired")
    return Answer(200, _order(asked, order, asked.expand))


def organization_attendees(asked: Asked) -> Answer:
    home, held = asked.organization, asked.records.attendees.values()
    return _attendees(asked, (one for one in held if asked.records.organization_of(one.event_id) == home), ATTENDING)


def event_attendees(asked: Asked) -> Answer:
    home, ids = asked.event.id, asked.several("attendee_ids")
    held = (one for one in asked.records.attendees.values() if one.event_id == home and (not ids or one.id in ids))
    return _attendees(asked, held, ATTENDING)


def one_attendee(asked: Asked) -> Answer:
    found = asked.records.attendees.get(asked.names["attendee_id"])
    if found is None or found.event_id != asked.names["event_id"] or not asked.ours(found.event_id):
        raise Refusal(404, "NOT_FOUND")
    return Answer(200, _attendee(asked, found, asked.expand))


def legacy(_: Asked) -> Answer:
    said = "This user is not able to use legacy user endpoints, please use the organization equivalent."
    raise Refusal(403, "NOT_AUTHORIZED", said)


def categories(asked: Asked) -> Answer:
    return _paged(asked, "categories", [{"id": "103", "name": "Music", "name_localized": "Music"}])


def hooks(asked: Asked) -> Answer:
    home = asked.organization
    return _paged(
        asked, "webhooks", [one.body() for one in asked.records.hooks.values() if one.organization_id == home]
    )


def add_hook(asked: Asked) -> Answer:
    home, url = asked.organization, asked.body.get("endpoint_url")
    actions = tuple(part.strip() for part in str(asked.body.get("actions", "")).split(",") if part.strip())
    event = asked.body.get("event_id") or None
    if not isinstance(url, str) or not url.startswith(("http://", "https://")) or not set(actions) <= ACTIONS:
        raise Refusal(400, "ARGUMENTS_ERROR")
    made = Hook(asked.records.next_id(2_006_000), home, url, actions, None if event is None else str(event))
    asked.records.hooks[made.id] = made
    return Answer(200, made.body(), (Change("hooked", "", "", None, ""),))


def remove_hook(asked: Asked) -> Answer:
    found = asked.records.hooks.get(asked.names["webhook_id"])
    if found is None or found.organization_id not in asked.token.organizations:
        raise Refusal(404, "NOT_FOUND")
    del asked.records.hooks[found.id]
    return Answer(200, {"success": True}, (Change("unhooked", "", "", None, ""),))


def _paged(asked: Asked, name: str, rows: list[Json]) -> Answer:
    query = "&".join(sorted(f"{key}={value}" for key, value in asked.query.multi_items() if key != "continuation"))
    pagination, shown = asked.pages.page(rows, f"{asked.path}?{query}", asked.query.get("continuation"), asked.now)
    return Answer(200, {"pagination": pagination, name: shown})


def _orders(asked: Asked, held: Iterable[Order]) -> Answer:
    # Which orders come where no status is given is not documented: a caller who needs all has to say so.
    wanted = ORDERS.get(asked.query.get("status", "active"))
    if wanted is None:
        raise Refusal(400, "ARGUMENTS_ERROR", "status is not one of the choices")
    only, without, since = asked.several("only_emails"), asked.several("exclude_emails"), asked.changed_since()
    expand = asked.expand
    rows = [
        _order(asked, order, expand)
        for order in held
        if order.status in wanted
        and not order.expired
        and ("only_emails" not in asked.query or folded(order.email) in only)
        and folded(order.email) not in without
        and (since is None or order.changed.replace(microsecond=0) >= since)
    ]
    return _paged(asked, "orders", rows)


def _attendees(asked: Asked, held: Iterable[Attendee], states: Mapping[str, frozenset[str]]) -> Answer:
    wanted = states.get(asked.query.get("status", "attending"))
    if wanted is None or (asked.query.get("status") == "unpaid" and "organization_id" in asked.names):
        raise Refusal(400, "ARGUMENTS_ERROR", "status is not one of the choices")
    since, expand = asked.changed_since(), asked.expand
    rows = [
        _attendee(asked, one, expand)
        for one in held
        if one.status in wanted and (since is None or one.changed.replace(microsecond=0) >= since)
    ]
    return _paged(asked, "attendees", rows)


def _event(event: Event) -> Json:
    return {"id": event.id, "name": {"text": event.name, "html": event.name}, "organization_id": event.organization_id}


def _order(asked: Asked, order: Order, expand: frozenset[str]) -> Json:
    body = order.body(asked.url)
    if "attendees" in expand:
        held = (one for one in asked.records.attendees.values() if one.order_id == order.id)
        body["attendees"] = [one.body(asked.url) for one in held]
    if "answers" in expand:
        body["answers"] = order.answers
    if "survey_responses" in expand:
        body["survey_responses"] = {str(one["question_id"]): one["answer"] for one in order.answers}
    if "refund_requests" in expand:
        body["refund_requests"] = order.refund_requests
    if "contact_list_preferences" in expand:
        body["contact_list_preferences"] = _preferences("order", opted_in=order.opted_in)
    return body


def _attendee(asked: Asked, one: Attendee, expand: frozenset[str]) -> Json:
    body = one.body(asked.url)
    if "order" in expand and one.order_id in asked.records.orders:
        body["order"] = asked.records.orders[one.order_id].body(asked.url)
    if "answers" in expand:
        body["answers"] = one.answers
    if "survey_responses" in expand:
        body["survey_responses"] = {str(answer["question_id"]): answer["answer"] for answer in one.answers}
    if "contact_list_preferences" in expand:
        body["contact_list_preferences"] = _preferences("attendee", opted_in=one.opted_in)
    return body


def _preferences(kind: str, *, opted_in: bool) -> Json:
    return {"_type": f"{kind}_contact_list_preferences", "has_contact_list": opted_in, "has_opted_in": opted_in}


Handler = Callable[[Asked], Answer]
PUBLIC = frozenset({"/categories/"})
ROUTES: Mapping[str, Mapping[str, Handler]] = {
    "/users/me/": {"GET": me},
    "/users/me/organizations/": {"GET": organizations},
    "/users/me/contact_lists/": {"GET": legacy},
    "/users/{user_id}/orders/": {"GET": own_orders},
    "/categories/": {"GET": categories},
    "/organizations/{organization_id}/events/": {"GET": events},
    "/organizations/{organization_id}/orders/": {"GET": organization_orders},
    "/organizations/{organization_id}/attendees/": {"GET": organization_attendees},
    "/organizations/{organization_id}/webhooks/": {"GET": hooks, "POST": add_hook},
    "/webhooks/": {"GET": legacy, "POST": legacy},
    "/webhooks/{webhook_id}/": {"DELETE": remove_hook},
    "/events/{event_id}/": {"GET": one_event, "DELETE": delete_event},
    "/events/{event_id}/orders/": {"GET": event_orders},
    "/events/{event_id}/attendees/": {"GET": event_attendees},
    "/events/{event_id}/attendees/{attendee_id}/": {"GET": one_attendee},
    "/orders/{order_id}/": {"GET": one_order},
}
