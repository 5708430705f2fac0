"""Brevo's marketing webhooks: which there are, and what they tell: unsigned, without an id, an event a call or a batch.

Source: developers.brevo.com, reference of API v3 (create-, get-, update-, delete-webhook), pages on marketing, batched
and secured webhooks, as read in November 2026. Whether what the API did is told as an unsubscribe is not documented:
here it is. Nor is how often Brevo tries again: here once.
"""

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from dpsync.sandbox.asked import Answer, Change, Json, Table
from dpsync.sandbox.brevo.account import Asked, Hook
from dpsync.sandbox.posting import Sent, post
from dpsync.sandbox.vendor import Refusal

MOST = 40
KINDS = ("marketing", "transactional", "inbound")
EVENTS = (
    *("spam", "opened", "click", "hardBounce", "softBounce", "unsubscribed", "listAddition", "delivered"),
    *("contactUpdated", "contactDeleted"),
)
TOLD = {
    "blocklisted": ("unsubscribed", "unsubscribe"),
    "complained": ("spam", "spam"),
    "bounced": ("hardBounce", "hard_bounce"),
    "patched": ("contactUpdated", "contact_updated"),
    "moved": ("contactUpdated", "contact_updated"),
    "deleted": ("contactDeleted", "contact_deleted"),
}
"""How an event is called where it is asked for, and where it is told."""
JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class Delivery:
    """One attempt; status 0 where nobody answered."""

    hook: int
    event: str
    status: int


def register(asked: Asked) -> Answer:
    """201 with the number. Raises `Refusal` 400 where an account has 40 already."""
    hooks = asked.held.hooks
    if len(hooks) >= MOST:
        raise Refusal(400, "Webhooks limit reached", code="invalid_parameter")
    kind, given = asked.body.get("type", "transactional"), _given(asked.body)
    if kind not in KINDS:
        raise Refusal(400, "Invalid type", code="invalid_parameter")
    asked.held.counted += 1
    hooks[asked.held.counted] = Hook(asked.held.counted, str(kind), asked.now, *given)
    return Answer(201, {"id": asked.held.counted})


def listed(asked: Asked) -> Answer:
    """Those of one kind, the newest first unless it is asked otherwise; a 404 where there are none."""
    kind, order = asked.query.get("type", "transactional"), asked.query.get("sort", "desc")
    rows = [one.body() for one in asked.held.hooks.values() if one.kind == kind]
    if not rows:
        raise Refusal(404, "No webhook found", code="document_not_found")
    return Answer(200, {"webhooks": rows[:: 1 if order == "asc" else -1]})


def change(asked: Asked) -> Answer:
    """What is given of one that is there. Raises `Refusal`."""
    hook = _hook(asked)
    hook.url, hook.events = _given({"url": hook.url, "events": [*hook.events], **asked.body})
    return Answer(204)


def remove(asked: Asked) -> Answer:
    """One that is there. Raises `Refusal`."""
    del asked.held.hooks[_hook(asked).id]
    return Answer(204)


def _hook(asked: Asked) -> Hook:
    given = asked.names["hook"]
    if not given.isdigit() or int(given) not in asked.held.hooks:
        raise Refusal(404, "Webhook does not exist", code="document_not_found")
    return asked.held.hooks[int(given)]


def _given(body: Mapping[str, object]) -> tuple[str, tuple[str, ...]]:
    url, events = body.get("url"), body.get("events")
    if not isinstance(url, str) or not url.startswith(("http://", "https://")):
        raise Refusal(400, "url is not valid", code="invalid_parameter")
    if not isinstance(events, list) or not events or not set(events) <= set(EVENTS):
        raise Refusal(400, "events are not valid", code="invalid_parameter")
    return url, tuple(events)


ROUTES: Table = {
    "/webhooks": {"GET": listed, "POST": register},
    "/webhooks/{hook}": {"GET": lambda asked: Answer(200, _hook(asked).body()), "PUT": change, "DELETE": remove},
}


class Webhooks(Sent):
    """What was sent."""

    async def tell(self, hooks: Iterable[Hook], changes: Sequence[Change], at: datetime, *, batched: bool) -> None:
        """Sends what these changes are worth to every hook that wants it."""
        for hook in hooks:
            wanted = [one for one in changes if one.kind in TOLD and TOLD[one.kind][0] in hook.events]
            events = [_event(hook, one, at) for one in wanted]
            for body in [events] if batched and events else events:
                status = await asyncio.to_thread(post, hook.url, json.dumps(body).encode(), JSON)
                self.deliveries.append(Delivery(hook.id, TOLD[wanted[0].kind][1], status))


def _event(hook: Hook, change: Change, at: datetime) -> Json:
    name, stamp = TOLD[change.kind][1], int(at.timestamp())
    about: Json = {"id": hook.id, "event": name, "email": change.address, "ts": stamp}
    if name == "contact_deleted":
        return {**about, "email": [change.address], "key": "", "date": f"{at:%Y-%m-%d %H:%M:%S}"}
    if name == "contact_updated":
        return {**about, "key": "", "content": [{"name": "Ada"}], "date": f"{at:%Y-%m-%d %H:%M:%S}"}
    sent = {"camp_id": 1, "campaign name": "News", "date_sent": f"{at:%Y-%m-%d %H:%M:%S}", "ts_sent": stamp}
    return {**about, **sent, "date_event": f"{at:%Y-%m-%d %H:%M:%S}", "tag": "", "ts_event": stamp, "list_id": [1]}
