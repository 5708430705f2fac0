"""Audience webhooks: registered with a GET probe, then sent as forms, optionally signed, doubled or with gaps.

Source: the vendor's page on webhooks and its changelog of 2021-04-05, as read in August 2026. Deliveries are tried
once; the vendor's retries over 75 minutes are not copied.
"""

import asyncio
import hashlib
import hmac
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlencode

from dpsync.sandbox.asked import Answer, Table
from dpsync.sandbox.mailchimp.asked import LIST, Asked, Change, Hook, MailchimpSwitches
from dpsync.sandbox.mailchimp.audience import Audience, Member, invalid, not_found
from dpsync.sandbox.posting import Sent, post, probe

EVENTS = ("subscribe", "unsubscribe", "profile", "cleaned", "upemail", "campaign")
SOURCES = ("user", "admin", "api")
SIGNATURE = "X-Mailchimp-Signature"


@dataclass(frozen=True, slots=True)
class Delivery:
    """One attempt; status 0 where nobody answered."""

    hook: str
    type: str
    status: int


async def register(asked: Asked) -> Answer:
    """Probes the URL with GET, unless nothing may happen, which must answer 200. Raises `Problem` 400."""
    audience = asked.audience
    url = await _accepted(asked, asked.body.get("url"))
    hook = Hook(
        id=secrets.token_hex(5),
        list_id=audience.id,
        url=url,
        events=_flags(asked.body.get("events"), EVENTS),
        sources=_flags(asked.body.get("sources"), SOURCES),
        secret=secrets.token_hex(32) if asked.switches.webhooks_signed else "",
    )
    asked.held.hooks[hook.id] = hook
    return Answer(200, hook.body() | ({"signing_secret": hook.secret} if hook.secret else {}))


def listed(asked: Asked) -> Answer:
    """Those of one audience."""
    hooks = [hook.body() for hook in asked.held.hooks.values() if hook.list_id == asked.audience.id]
    return Answer(200, {"webhooks": hooks, "list_id": asked.list_id, "total_items": len(hooks), "_links": []})


async def change(asked: Asked) -> Answer:
    """What is given of one that is there; its URL is probed as that of a new one. Raises `Problem` 400."""
    hook, body = _hook(asked), asked.body
    url = await _accepted(asked, body.get("url", hook.url), hook)
    events = _flags(body["events"], EVENTS) if "events" in body else hook.events
    sources = _flags(body["sources"], SOURCES) if "sources" in body else hook.sources
    hook.url, hook.events, hook.sources = url, events, sources
    return Answer(200, hook.body())


def remove(asked: Asked) -> Answer:
    """One that is there."""
    del asked.held.hooks[_hook(asked).id]
    return Answer(204)


def _hook(asked: Asked) -> Hook:
    hook = asked.held.hooks.get(asked.part)
    if hook is None or hook.list_id != asked.audience.id:
        raise not_found()
    return hook


async def _accepted(asked: Asked, url: object, but: Hook | None = None) -> str:
    """A URL that answers, and that no other hook of the audience has, its query aside. Raises `Problem` 400.

    That a second one is refused is said in issue 11 of the vendor's mailchimp-client-lib-codegen, as is the probe.
    """
    if not isinstance(url, str) or not url.startswith(("http://", "https://")):
        raise invalid("url", "Please enter a valid URL.")
    others = [one.url for one in asked.held.hooks.values() if one.list_id == asked.audience.id and one is not but]
    if url.partition("?")[0] in {one.partition("?")[0] for one in others}:
        raise invalid("url", "There is a webhook with this URL already.")
    status = await asyncio.to_thread(probe, url) if asked.effect else 200
    if status != 200:
        raise invalid(
            "url", f"We couldn't verify the URL is working. Please double check and try again. HTTP Code: {status}"
        )
    return url


ROUTES: Table = {
    LIST + "/webhooks": {"GET": listed, "POST": register},
    LIST + "/webhooks/{part}": {"PATCH": change, "DELETE": remove},
}


@dataclass(slots=True)
class Webhooks(Sent):
    """What was sent."""

    async def tell(
        self, hooks: Iterable[Hook], change: Change, source: str, at: datetime, given: MailchimpSwitches
    ) -> None:
        """Sends what this change is worth to every hook that wants it from that source, perhaps twice."""
        unix, fired_at = int(at.timestamp()), at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
        for kind, data in events_of(change, with_action=not given.webhooks_without_action):
            for hook in hooks:
                if hook.list_id == change.place and hook.events[kind] and hook.sources[source] and hook.enabled:
                    for _ in range(2 if given.webhooks_duplicated else 1):
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
