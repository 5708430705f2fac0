"""The endpoints of Campaign Monitor's list webhooks.

Source: the reference of API v3.3, as read in August 2026. The vendor sends XML as well; only JSON is imitated.
"""

import asyncio

from dpsync.sandbox.asked import Answer, Table
from dpsync.sandbox.campaign_monitor.account import Hook, Refusal, made_id
from dpsync.sandbox.campaign_monitor.asked import Asked
from dpsync.sandbox.campaign_monitor.webhooks import send_sample

EVENTS = ("Subscribe", "Deactivate", "Update")


def register(asked: Asked) -> Answer:
    """201 with the id as a string. Raises `Refusal` 601 to 603."""
    held, hooks = asked.home[1], asked.held.hooks
    url, events = asked.body.get("Url"), asked.body.get("Events")
    if not isinstance(url, str) or not url.startswith(("http://", "https://")):
        raise Refusal(601)
    if str(asked.body.get("PayloadFormat", "")).lower() != "json":
        raise Refusal(602)
    if not isinstance(events, list) or not events or not set(events) <= set(EVENTS):
        raise Refusal(603)
    hook = Hook(made_id(held.id, url, str(len(hooks))), held.id, url, tuple(events))
    hooks[hook.id] = hook
    return Answer(201, hook.id)


def listed(asked: Asked) -> Answer:
    """Those of one list."""
    place = asked.home[1].id
    return Answer(200, [hook.body() for hook in asked.held.hooks.values() if hook.list_id == place])


def remove(asked: Asked) -> Answer:
    """One that is there."""
    del asked.held.hooks[_hook(asked).id]
    return Answer(200)


def activate(asked: Asked) -> Answer:
    """Also one that the vendor has given up."""
    hook = _hook(asked)
    hook.status, hook.failing_since = "Active", None
    return Answer(200)


def deactivate(asked: Asked) -> Answer:
    """Until it is activated."""
    _hook(asked).status = "Deactivated"
    return Answer(200)


async def test(asked: Asked) -> Answer:
    """Sends one. Raises `Refusal` 610 where it was not taken.

    What it sends is not documented: here the example of the page on webhooks, about a person who subscribed.
    """
    hook = _hook(asked)
    if asked.effect and not 200 <= await asyncio.to_thread(send_sample, hook, asked.stamp) < 300:
        raise Refusal(610)
    return Answer(200)


def _hook(asked: Asked) -> Hook:
    hook = asked.held.hooks.get(asked.names["part"])
    if hook is None or hook.list_id != asked.home[1].id:
        raise Refusal(404, status=404)
    return hook


ALL = "/lists/{list_id}/webhooks"
ONE = f"{ALL}/{{part}}"
ROUTES: Table = {
    ALL: {"GET": listed, "POST": register},
    ONE: {"DELETE": remove},
    f"{ONE}/test": {"GET": test},
    f"{ONE}/activate": {"PUT": activate},
    f"{ONE}/deactivate": {"PUT": deactivate},
}
