"""What each endpoint of Eventbrite answers: plain functions from what was asked to an answer.

Source: the vendor notes on API v3, sections 1, 2, 6 and 7. There is no call that changes or erases an order or an
attendee; every attempt at one is a 405.
"""

from collections.abc import Iterable, Mapping

from dpsync.sandbox.asked import Answer, Json, Table, folded
from dpsync.sandbox.eventbrite.asked import Asked, Refusal
from dpsync.sandbox.eventbrite.paging import paged
from dpsync.sandbox.eventbrite.records import Attendee, Change, Event, Hook, Order

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


def me(_: Asked) -> Answer:
    return Answer(200, {"id": "310000000001", "name": "Organiser", "emails": [], "is_public": False})


def organizations(asked: Asked) -> Answer:
    held = asked.token.organizations if not asked.switches.drop_access else ()
    rows: list[Json] = [
        {"id": one, "name": asked.held.organizations[one], "vertical": "default", "image_id": None} for one in held
    ]
    return paged(asked, "organizations", rows)


def events(asked: Asked) -> Answer:
    home = asked.organization
    return paged(asked, "events", [_event(one) for one in asked.held.events.values() if one.organization_id == home])


def one_event(asked: Asked) -> Answer:
    return Answer(200, _event(asked.event))


def delete_event(asked: Asked) -> Answer:
    event = asked.event
    if any(order.event_id == event.id for order in asked.held.orders.values()):
        raise Refusal(400, "CANNOT_DELETE", "There is at least one pending or completed order.")
    del asked.held.events[event.id]
    return Answer(200, {"deleted": True}, (Change("destroyed", "event.updated", event.id),))


def organization_orders(asked: Asked) -> Answer:
    home = asked.organization
    return _orders(asked, (o for o in asked.held.orders.values() if asked.held.organization_of(o.event_id) == home))


def event_orders(asked: Asked) -> Answer:
    home = asked.event.id
    return _orders(asked, (order for order in asked.held.orders.values() if order.event_id == home))


def own_orders(asked: Asked) -> Answer:
    """The token owner's own purchases, and nobody else's."""
    return paged(asked, "orders", [])


def one_order(asked: Asked) -> Answer:
    order = asked.held.orders.get(asked.names["order_id"])
    if order is None or not asked.ours(order.event_id):
        raise Refusal(404, "NOT_FOUND")
    if order.expired:
        raise Refusal(400, "ORDER_EXPIRED", "The order is expired")
    return Answer(200, _order(asked, order, asked.expand))


def organization_attendees(asked: Asked) -> Answer:
    home, held = asked.organization, asked.held.attendees.values()
    return _attendees(asked, (one for one in held if asked.held.organization_of(one.event_id) == home), ATTENDING)


def event_attendees(asked: Asked) -> Answer:
    home, ids = asked.event.id, asked.several("attendee_ids")
    held = (one for one in asked.held.attendees.values() if one.event_id == home and (not ids or one.id in ids))
    return _attendees(asked, held, ATTENDING)


def one_attendee(asked: Asked) -> Answer:
    found = asked.held.attendees.get(asked.names["attendee_id"])
    if found is None or found.event_id != asked.names["event_id"] or not asked.ours(found.event_id):
        raise Refusal(404, "NOT_FOUND")
    return Answer(200, _attendee(asked, found, asked.expand))


def legacy(_: Asked) -> Answer:
    said = "This user is not able to use legacy user endpoints, please use the organization equivalent."
    raise Refusal(403, "NOT_AUTHORIZED", said)


def categories(asked: Asked) -> Answer:
    return paged(asked, "categories", [{"id": "103", "name": "Music", "name_localized": "Music"}])


def hooks(asked: Asked) -> Answer:
    home = asked.organization
    return paged(asked, "webhooks", [one.body() for one in asked.held.hooks.values() if one.organization_id == home])


def add_hook(asked: Asked) -> Answer:
    home, url = asked.organization, asked.body.get("endpoint_url")
    actions = tuple(part.strip() for part in str(asked.body.get("actions", "")).split(",") if part.strip())
    event = asked.body.get("event_id") or None
    if not isinstance(url, str) or not url.startswith(("http://", "https://")) or not set(actions) <= ACTIONS:
        raise Refusal(400, "ARGUMENTS_ERROR")
    made = Hook(asked.held.next_id(2_006_000), home, url, actions, None if event is None else str(event))
    asked.held.hooks[made.id] = made
    return Answer(200, made.body(), (Change("hooked", "", ""),))


def remove_hook(asked: Asked) -> Answer:
    found = asked.held.hooks.get(asked.names["webhook_id"])
    if found is None or found.organization_id not in asked.token.organizations:
        raise Refusal(404, "NOT_FOUND")
    del asked.held.hooks[found.id]
    return Answer(200, {"success": True}, (Change("unhooked", "", ""),))


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
    return paged(asked, "orders", rows)


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
    return paged(asked, "attendees", rows)


def _event(event: Event) -> Json:
    return {"id": event.id, "name": {"text": event.name, "html": event.name}, "organization_id": event.organization_id}


def _order(asked: Asked, order: Order, expand: frozenset[str]) -> Json:
    body = order.body(asked.url)
    if "attendees" in expand:
        held = (one for one in asked.held.attendees.values() if one.order_id == order.id)
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
    if "order" in expand and one.order_id in asked.held.orders:
        body["order"] = asked.held.orders[one.order_id].body(asked.url)
    if "answers" in expand:
        body["answers"] = one.answers
    if "survey_responses" in expand:
        body["survey_responses"] = {str(answer["question_id"]): answer["answer"] for answer in one.answers}
    if "contact_list_preferences" in expand:
        body["contact_list_preferences"] = _preferences("attendee", opted_in=one.opted_in)
    return body


def _preferences(kind: str, *, opted_in: bool) -> Json:
    return {"_type": f"{kind}_contact_list_preferences", "has_contact_list": opted_in, "has_opted_in": opted_in}


PUBLIC = frozenset({"/categories/"})
ROUTES: Table = {
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
