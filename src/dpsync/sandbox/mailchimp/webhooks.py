"""Audience webhooks: registered with a GET probe, then sent as forms, optionally signed, doubled or with gaps.

Source: the vendor's page on webhooks and its changelog of 2021-04-05, as read in August 2026. Deliveries are tried
once; the vendor's retries over 75 minutes are not copied.
"""

import asyncio
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

from dpsync.sandbox.mailchimp.audience import Audience, Member, invalid, not_found
from dpsync.sandbox.mailchimp.endpoints import Answer, Asked, Change
from dpsync.sandbox.mailchimp.rendering import Json
from dpsync.sandbox.posting import post, probe

EVENTS = ("subscribe", "unsubscribe", "profile", "cleaned", "upemail", "campaign")
SOURCES = ("user", "admin", "api")
SIGNATURE = "X-Mailchimp-Signature"


@dataclass(slots=True)
class Hook:
    """One registered webhook."""

    id: str
    list_id: str
    url: str
    events: dict[str, bool]
    sources: dict[str, bool]
    secret: str
    enabled: bool = True

    def body(self) -> Json:
        """The hook as the API shows it; the secret is shown by its creation only."""
        return {
            "id": self.id,
            "url": self.url,
            "events": self.events,
            "sources": self.sources,
            "list_id": self.list_id,
            "signing_enabled": bool(self.secret),
            "_links": [],
        }


@dataclass(frozen=True, slots=True)
class Delivery:
    """One attempt; status 0 where nobody answered."""

    hook: str
    type: str
    status: int


@dataclass(slots=True)
class Webhooks:
    """All hooks of all audiences. Switches: `sign` new hooks, send `duplicates`, leave out `data[action]`."""

    sign: bool = False
    duplicates: bool = False
    without_action: bool = False
    hooks: dict[str, Hook] = field(default_factory=dict)
    deliveries: list[Delivery] = field(default_factory=list)

    async def register(self, asked: Asked) -> Answer:
        """POST webhooks: probes the URL with GET, which must answer 200.

        Raises:
            Problem: 400, where it does not.
        """
        audience = asked.audience
        url = asked.body.get("url")
        if not isinstance(url, str) or not url.startswith(("http://", "https://")):
            raise invalid("url", "Please enter a valid URL.")
        if await asyncio.to_thread(probe, url) != 200:
            raise invalid("url", "We couldn't validate the URL: it did not answer a GET request with 200.")
        hook = Hook(
            id=secrets.token_hex(5),
            list_id=audience.id,
            url=url,
            events=_flags(asked.body.get("events"), EVENTS),
            sources=_flags(asked.body.get("sources"), SOURCES),
            secret=secrets.token_hex(32) if self.sign else "",
        )
        self.hooks[hook.id] = hook
        return Answer(200, hook.body() | ({"signing_secret": hook.secret} if hook.secret else {}))

    def listed(self, asked: Asked) -> Answer:
        """GET webhooks of one audience."""
        hooks = [hook.body() for hook in self.hooks.values() if hook.list_id == asked.audience.id]
        return Answer(200, {"webhooks": hooks, "list_id": asked.list_id, "total_items": len(hooks), "_links": []})

    def remove(self, asked: Asked) -> Answer:
        """DELETE one webhook."""
        hook = self.hooks.get(asked.reference)
        if hook is None or hook.list_id != asked.audience.id:
            raise not_found()
        del self.hooks[hook.id]
        return Answer(204)

    async def tell(self, change: Change, source: str, fired_at: str, unix: int) -> None:
        """Sends what this change is worth to every hook that wants it from that source."""
        for kind, data in events_of(change, with_action=not self.without_action):
            for hook in list(self.hooks.values()):
                if hook.list_id == change.audience.id and hook.events[kind] and hook.sources[source] and hook.enabled:
                    for _ in range(2 if self.duplicates else 1):
                        await self._deliver(hook, kind, data | {"type": kind, "fired_at": fired_at}, unix)

    async def _deliver(self, hook: Hook, kind: str, form: Mapping[str, str], unix: int) -> None:
        raw = urlencode(form).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        if hook.secret:
            signed = hmac.new(hook.secret.encode(), f"{unix}.".encode() + raw, hashlib.sha256).hexdigest()
            headers[SIGNATURE] = f"t={unix},v1={signed}"
        status = await asyncio.to_thread(post, hook.url, raw, headers)
        if status == 410:
            hook.enabled = False
        self.deliveries.append(Delivery(hook.id, kind, status))


def events_of(change: Change, *, with_action: bool) -> list[tuple[str, dict[str, str]]]:
    """(type, form fields) of one change. An archive or erasure looks like an unsubscribe with another action."""
    member = change.member
    data = _about(change.audience, member)
    match change.kind:
        case "moved":
            moved = {
                "data[list_id]": change.audience.id,
                "data[new_id]": member.unique_email_id,
                "data[new_email]": member.email_address,
                "data[old_email]": change.was,
            }
            return [("upemail", moved), ("profile", data)]
        case "created" | "resubscribed":
            return [("subscribe", data)] if member.status == "subscribed" else []
        case "unsubscribed" | "archived" | "deleted":
            action = "unsub" if change.kind == "unsubscribed" else "delete"
            return [("unsubscribe", data | ({"data[action]": action, "data[reason]": "manual"} if with_action else {}))]
        case "patched" if member.status == "cleaned":
            return [("cleaned", data | {"data[campaign_id]": "0000000000", "data[reason]": "hard"})]
        case "patched":
            return [("profile", data)]
        case _:
            return []


def _about(audience: Audience, member: Member) -> dict[str, str]:
    merges = {f"data[merges][{tag}]": str(value) for tag, value in member.merge_fields.items()}
    return {
        "data[id]": member.unique_email_id,
        "data[list_id]": audience.id,
        "data[email]": member.email_address,
        "data[email_type]": "html",
        **merges,
    }


def _flags(given: object, names: tuple[str, ...]) -> dict[str, bool]:
    return {name: bool(given.get(name, False)) if isinstance(given, dict) else False for name in names}
