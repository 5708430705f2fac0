"""Eventbrite's webhooks: unsigned, sometimes twice, and with nothing in them but where to look.

Source: the vendor notes on API v3, section 7. A 410 ends a webhook; how often the vendor tries again is not documented:
here once. There is no event for a deletion.
"""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass

from dpsync.sandbox.eventbrite.records import Attendee, Change, Hook, Records
from dpsync.sandbox.posting import Sent, post


@dataclass(frozen=True, slots=True)
class Delivery:
    """One attempt; status 0 where nobody answered."""

    hook: str
    action: str
    status: int


@dataclass(slots=True)
class Webhooks(Sent):
    """What was sent."""

    async def tell(self, records: Records, changes: Sequence[Change], url: str, *, twice: bool) -> None:
        """Sends what these changes are worth to every hook of their events, perhaps twice."""
        for change in changes:
            for hook in list(records.hooks.values()):
                if _wants(records, hook, change):
                    for _ in range(2 if twice else 1):
                        await self._deliver(records, hook, change, url)

    async def _deliver(self, records: Records, hook: Hook, change: Change, url: str) -> None:
        record = change.record
        if record is None:
            return
        below = f"events/{change.event_id}/attendees" if isinstance(record, Attendee) else "orders"
        config = {"user_id": "310000000001", "webhook_id": hook.id, "endpoint_url": hook.endpoint_url}
        body = {"api_url": f"{url}/v3/{below}/{record.id}/", "config": {"action": change.action, **config}}
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "Eventbrite Hookshot 12345c6",
            "User-ID-Sender": "310000000001",
            "X-Eventbrite-Event": change.action,
            "X-Eventbrite-Delivery": str(len(self.deliveries) + 1),
        }
        status = await asyncio.to_thread(post, hook.endpoint_url, json.dumps(body).encode(), headers)
        self.deliveries.append(Delivery(hook.id, change.action, status))
        if status == 410:
            records.hooks.pop(hook.id, None)


def _wants(records: Records, hook: Hook, change: Change) -> bool:
    event = records.events.get(change.event_id)
    return (
        event is not None
        and hook.organization_id == event.organization_id
        and hook.event_id in {None, change.event_id}
        and change.action in hook.actions
    )
