"""The webhooks of an account: which there are, and ours among them.

Source: developers.brevo.com, reference of API v3 (get-webhooks, create-webhook, update-webhook), as read in November
2026. Those of campaigns ("marketing") are listed by themselves, never on more than one page: an account has 40 at most.
Whether one was given up is shown nowhere.
"""

from abc import abstractmethod
from collections.abc import Iterator
from typing import ClassVar, Final

from dpsync.connector import HookedPlace, Instruction, RegistersHooks, Reply, VendorHook
from dpsync.connectors.brevo.calls import INVALID, NOBODY, PLACE, TAKEN, Calls
from dpsync.http import json_of
from dpsync.vendor.errors import refused, unreadable

URL_REFUSED: Final = "it does not accept the address, or the account has 40 webhooks already"
NO_HOOK: Final = "the webhook is not there any more"
DEAF: Final = "it does not tell of everybody who unsubscribes or complains"

WANTED: Final = ("unsubscribed", "spam")
"""What dpsync acts on, and no more: what tells of any change of a contact carries all its attributes."""
_HOOKS, _ONE = "/webhooks", "/webhooks/{hook}"
_KIND: Final = "marketing"


class AccountHooks(RegistersHooks):
    """What Brevo does with webhooks."""

    sample: ClassVar[tuple[str, bytes]] = ("application/json", b'{"event": "delivered"}')

    @abstractmethod
    def calls(self, order: Instruction | None) -> Calls:
        """Those of one instruction."""

    def hooked(self) -> Iterator[HookedPlace]:
        """The account with its webhooks of campaigns; that there are none may be said by a 404."""
        calls = self.calls(None)
        reply = calls.tell("GET", _HOOKS, type=_KIND, sort="asc")
        rows = [] if calls.no(reply, NOBODY) else calls.content(reply, dict).get("webhooks")
        if not isinstance(rows, list):
            raise unreadable()
        yield HookedPlace(PLACE, "", tuple(map(_hook, rows)))

    def register_hook(self, place: str, url: str, instead_of: VendorHook | None) -> None:
        """Make it, or change the one that there is."""
        del place
        calls, body = self.calls(None), {"url": url, "description": "dpsync", "events": [*WANTED]}
        if instead_of is None:
            reply = calls.tell("POST", _HOOKS, body={**body, "type": _KIND})
            _demand_accepted(calls, reply)
            made = json_of(reply)
            done = reply.status == 201 and isinstance(made, dict) and isinstance(made.get("id"), int)
        else:
            reply = calls.tell("PUT", _ONE, body=body, hook=instead_of.id)
            _demand_accepted(calls, reply)
            done = reply.status == 204
        if not done:
            raise unreadable(doubtful=True)

    def try_hook(self, place: str, hook: VendorHook) -> str | None:
        """It has no such call."""
        del place, hook
        return None


def _demand_accepted(calls: Calls, reply: Reply) -> None:
    row = calls.no(reply, INVALID, TAKEN, NOBODY)
    if row:
        raise refused(NO_HOOK if row is NOBODY else URL_REFUSED)


def _hook(row: object) -> VendorHook:
    match row:
        case {"id": int(number), "url": str(url), "events": list(events), **more}:
            hears = more.get("type") == _KIND and all(one in events for one in WANTED)
            return VendorHook(str(number), url, "" if hears else DEAF)
    raise unreadable()
