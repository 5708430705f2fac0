"""List webhooks of Campaign Monitor: batches of at most 1000 events, unsigned, sometimes twice, without an id.

Source: the reference of API v3.3 and staff answers in its forum, as read in August 2026. How often the vendor tries
again is not published: here once.
"""

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from dpsync.sandbox.campaign_monitor.account import Change, Refusal, made_id
from dpsync.sandbox.campaign_monitor.endpoints import Answer, Asked
from dpsync.sandbox.posting import post

EVENTS = ("Subscribe", "Deactivate", "Update")
BATCH = 1000
JSON = {"Content-Type": "application/json; charset=utf-8"}
GIVES_UP_AFTER = timedelta(days=7)


@dataclass(slots=True)
class Hook:
    """One registered webhook. `failing_since`: the first of the deliveries that have failed without a break."""

    id: str
    list_id: str
    url: str
    events: tuple[str, ...]
    status: str = "Active"
    failing_since: datetime | None = None

    def body(self) -> dict[str, object]:
        """As the API shows it."""
        return {
            "WebhookID": self.id,
            "Events": list(self.events),
            "Url": self.url,
            "Status": self.status,
            "PayloadFormat": "Json",
        }


@dataclass(frozen=True, slots=True)
class Delivery:
    """One attempt; status 0 where nobody answered."""

    hook: str
    events: int
    status: int


@dataclass(slots=True)
class Webhooks:
    """All hooks. `duplicates`: everything is sent twice; `delete_fires`: whether a deletion by API is told."""

    duplicates: bool = False
    delete_fires: bool = True
    hooks: dict[str, Hook] = field(default_factory=dict)
    deliveries: list[Delivery] = field(default_factory=list)

    def register(self, asked: Asked) -> Answer:
        """POST webhooks: 201 with the id as a string. Raises `Refusal` 601 to 603.

        The vendor sends XML as well; only JSON is imitated.
        """
        held = asked.home[1]
        url, events = asked.body.get("Url"), asked.body.get("Events")
        if not isinstance(url, str) or not url.startswith(("http://", "https://")):
            raise Refusal(601)
        if str(asked.body.get("PayloadFormat", "")).lower() != "json":
            raise Refusal(602)
        if not isinstance(events, list) or not events or not set(events) <= set(EVENTS):
            raise Refusal(603)
        hook = Hook(made_id(held.id, url, str(len(self.hooks))), held.id, url, tuple(events))
        self.hooks[hook.id] = hook
        return Answer(201, hook.id)

    def listed(self, asked: Asked) -> Answer:
        """GET webhooks of one list."""
        place = asked.home[1].id
        return Answer(200, [hook.body() for hook in self.hooks.values() if hook.list_id == place])

    def remove(self, asked: Asked) -> Answer:
        """DELETE one webhook."""
        del self.hooks[self._hook(asked).id]
        return Answer(200)

    def activate(self, asked: Asked) -> Answer:
        """PUT activate."""
        hook = self._hook(asked)
        hook.status, hook.failing_since = "Active", None
        return Answer(200)

    def deactivate(self, asked: Asked) -> Answer:
        """PUT deactivate."""
        self._hook(asked).status = "Deactivated"
        return Answer(200)

    def _hook(self, asked: Asked) -> Hook:
        hook = self.hooks.get(asked.part)
        if hook is None or hook.list_id != asked.home[1].id:
            raise Refusal(404, status=404)
        return hook

    async def tell(self, changes: Iterable[Change], stamp: str, now: datetime) -> None:
        """Sends what these changes are worth to every hook of their lists."""
        events: dict[str, list[dict[str, object]]] = {}
        for change in changes:
            event = event_of(change, stamp)
            if event is not None and (self.delete_fires or change.kind != "deleted"):
                events.setdefault(change.list_id, []).append(event)
        for list_id, told in events.items():
            for hook in list(self.hooks.values()):
                wanted = [event for event in told if event["Type"] in hook.events]
                if hook.list_id == list_id and hook.status == "Active" and wanted:
                    for _ in range(2 if self.duplicates else 1):
                        await self._deliver(hook, wanted, now)

    async def _deliver(self, hook: Hook, events: list[dict[str, object]], now: datetime) -> None:
        for first in range(0, len(events), BATCH):
            batch = events[first : first + BATCH]
            raw = json.dumps({"Events": batch, "ListID": hook.list_id}).encode()
            status = await asyncio.to_thread(post, hook.url, raw, JSON)
            self.deliveries.append(Delivery(hook.id, len(batch), status))
            if 200 <= status < 300:
                hook.failing_since = None
            elif hook.failing_since is None:
                hook.failing_since = now
            elif now - hook.failing_since > GIVES_UP_AFTER:
                hook.status = "Deactivated"


def event_of(change: Change, stamp: str) -> dict[str, object] | None:
    """The event of one change; None where there is none. Nothing in it tells a person's act from an API call."""
    member = change.member
    if member is None:
        return None
    about: Mapping[str, object] = {
        "Date": stamp,
        "EmailAddress": member.address,
        "Name": member.name,
        "CustomFields": [{"Key": key, "Value": value} for key, value in member.fields],
    }
    match change.kind:
        case "created" | "resubscribed":
            return {"Type": "Subscribe", "SignupIPAddress": "203.0.113.9", **about}
        case "unsubscribed" | "bounced" | "deleted":
            return {"Type": "Deactivate", "State": member.state, **about}
        case "patched" | "moved":
            return {"Type": "Update", "OldEmailAddress": change.was or member.address, "State": member.state, **about}
        case _:
            return None
