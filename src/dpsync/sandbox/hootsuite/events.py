"""What Hootsuite sends of its own accord: write-backs, tried again for days, and errors that come after a yes.

Source: the vendor notes, sections 2 and 6. Nothing here waits: what is due by a time is done when the vendor ticks.
"""

import asyncio
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from dpsync.sandbox.asked import Json
from dpsync.sandbox.hootsuite.inbox import stamp
from dpsync.sandbox.posting import Sent, post

SIGNATURE = "X-Hootsuite-Signature"
LATE = timedelta(minutes=5)
AGAIN = tuple(timedelta(hours=hours) for hours in (1, 2, 4, 8, 16, 32))
"""Each after the one before. Whether the first request counts among the vendor's six is not clear; here it does not."""


@dataclass(slots=True)
class Sending:
    """One body on its way. `tries`: how often it was sent; the body never changes."""

    kind: str
    raw: bytes
    due: datetime
    tries: int = 0


@dataclass(frozen=True, slots=True)
class Delivery:
    """One attempt; status 0 where nobody answered."""

    kind: str
    tries: int
    status: int


@dataclass(slots=True)
class Events(Sent):
    """The addresses an admin has entered, what waits, what was sent, and what the vendor gave up: `lost`."""

    write_back_url: str = ""
    notification_url: str = ""
    secret: str = "00" * 32
    waiting: list[Sending] = field(default_factory=list)
    lost: list[Sending] = field(default_factory=list)

    def write_back(self, body: Json, now: datetime) -> None:
        """Queues a write-back for this moment."""
        if self.write_back_url:
            self.waiting.append(Sending("write_back", json.dumps(body).encode(), now))

    def import_error(self, faults: list[str], now: datetime) -> None:
        """Queues the notification that comes minutes after the 200."""
        body = {"timestamp": stamp(now + LATE), "version": 2, "eventType": "DATA_IMPORT_ERROR", "messages": faults}
        if self.notification_url:
            self.waiting.append(Sending("import_error", json.dumps(body).encode(), now + LATE))

    def due(self, now: datetime) -> list[Sending]:
        """Takes out what is due."""
        due = [one for one in self.waiting if one.due <= now]
        self.waiting = [one for one in self.waiting if one.due > now]
        return due

    async def send(self, sending: Sending, now: Callable[[], datetime]) -> None:
        """Sends it once, signed; a write-back that was not taken is queued again, until it is lost."""
        url = self.write_back_url if sending.kind == "write_back" else self.notification_url
        signature = hmac.new(bytes.fromhex(self.secret), sending.raw, hashlib.sha256).hexdigest()
        headers = {"Content-Type": "application/json", SIGNATURE: signature}
        status = await asyncio.to_thread(post, url, sending.raw, headers)
        sending.tries += 1
        self.deliveries.append(Delivery(sending.kind, sending.tries, status))
        if 200 <= status < 300 or sending.kind != "write_back":
            return
        if sending.tries > len(AGAIN):
            self.lost.append(sending)
            return
        sending.due = now() + AGAIN[sending.tries - 1]
        self.waiting.append(sending)
