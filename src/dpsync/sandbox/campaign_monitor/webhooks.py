"""List webhooks of Campaign Monitor: batches of at most 1000 events, unsigned, sometimes twice, without an id.

Source: the reference of API v3.3 and staff answers in its forum, as read in August 2026. How often the vendor tries
again is not published: here once.
"""

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from dpsync.sandbox.asked import Json
from dpsync.sandbox.campaign_monitor.account import Change, Hook
from dpsync.sandbox.posting import Sent, post

BATCH = 1000
JSON = {"Content-Type": "application/json; charset=utf-8"}
GIVES_UP_AFTER = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One attempt; status 0 where nobody answered."""

    hook: str
    events: int
    status: int


@dataclass(slots=True)
class Webhooks(Sent):
    """What was sent."""

    async def tell(
        self, hooks: Iterable[Hook], changes: Sequence[Change], stamp: str, now: datetime, *, twice: bool
    ) -> None:
        """Sends what these changes are worth to every hook of their lists, perhaps twice."""
        events: dict[str, list[Json]] = {}
        for change in changes:
            event = event_of(change, stamp)
            if event is not None:
                events.setdefault(change.list_id, []).append(event)
        for hook in hooks:
            wanted = [event for event in events.get(hook.list_id, []) if event["Type"] in hook.events]
            if hook.status == "Active" and wanted:
                for _ in range(2 if twice else 1):
                    await self._deliver(hook, wanted, now)

    async def _deliver(self, hook: Hook, events: list[Json], now: datetime) -> None:
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


def send_sample(hook: Hook, stamp: str) -> int:
    """The status that a sample is answered with; 0 where nobody answered."""
    event = {
        "Type": "Subscribe",
        "Date": stamp,
        "EmailAddress": "test@example.org",
        "Name": "Test Subscriber",
        "SignupIPAddress": "203.0.113.9",
        "CustomFields": [{"Key": "website", "Value": "https://example.org"}],
    }
    return post(hook.url, json.dumps({"Events": [event], "ListID": hook.list_id}).encode(), JSON)


def event_of(change: Change, stamp: str) -> Json | None:
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
