"""The webhooks of a list: which there are, and ours among them.

Source: the reference of API v3.3 and the fixtures of createsend-python (MIT), as read in November 2026. Whether an
address may be there twice is not documented: one of ours that is of no use is removed before another is made.
"""

import json
import re
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from typing import ClassVar, Final

from dpsync.connector import HookedPlace, Instruction, RegistersHooks, Reply, VendorHook
from dpsync.connectors.campaign_monitor.calls import Calls, Client
from dpsync.http import json_of
from dpsync.vendor.errors import refused, unreadable

URL_REFUSED: Final = "it does not accept the address"
NO_HOOK: Final = "the webhook is not there any more"
DEAF: Final = "it does not tell of people who unsubscribe, or not in JSON"
GIVEN_UP: Final = "the vendor gave it up, because nobody answered for a week, or somebody switched it off"
FAILED: Final = "it sent one, and says that it was not taken"

HOOK_ID: Final = re.compile(r"[0-9A-Fa-f]{8,64}")
_HOOKS, _ONE = "/lists/{id}/webhooks", "/lists/{id}/webhooks/"
_BAD_HOOK: Final = frozenset({601, 602, 603})
_TEST_FAILED: Final = 610


class ListHooks(RegistersHooks):
    """What Campaign Monitor does with webhooks, one list after the other."""

    sample: ClassVar[tuple[str, bytes]] = ("application/json", b'{"Events": [], "ListID": ""}')

    @abstractmethod
    def calls(self, order: Instruction | None) -> Calls:
        """Those of one instruction."""

    @abstractmethod
    def places(self, calls: Calls) -> Iterable[Client]:
        """Every client with all its lists."""

    def hooked(self) -> Iterator[HookedPlace]:
        """Each list of each client with all its webhooks."""
        calls = self.calls(None)
        for client in self.places(calls):
            for place, title in client.lists.items():
                rows = calls.content(calls.about("GET", _HOOKS, place), list)
                yield HookedPlace(place, title, tuple(map(_hook, rows)))

    def register_hook(self, place: str, url: str, instead_of: VendorHook | None) -> None:
        """Make it, or switch on again the one that there is."""
        calls = self.calls(None)
        if instead_of is not None and (instead_of.url, instead_of.deaf) == (url, GIVEN_UP):
            calls.done(_there(calls.about("PUT", f"{_ONE}{instead_of.id}/activate", place)))
            return
        if instead_of is not None:
            calls.done(_there(calls.about("DELETE", f"{_ONE}{instead_of.id}", place)))
        body = json.dumps({"Events": ["Deactivate"], "Url": url, "PayloadFormat": "json"}).encode()
        reply = calls.about("POST", _HOOKS, place, body=body)
        if calls.code(reply) in _BAD_HOOK:
            raise refused(URL_REFUSED)
        calls.no(reply)
        if reply.status != 201 or not HOOK_ID.fullmatch(str(json_of(reply))):
            raise unreadable(doubtful=True)

    def try_hook(self, place: str, hook: VendorHook) -> str | None:
        """Its own test: what it sends is not documented, whether it was taken is."""
        calls = self.calls(None)
        reply = _there(calls.about("GET", f"{_ONE}{hook.id}/test", place))
        if calls.code(reply) == _TEST_FAILED:
            return FAILED
        calls.done(reply)
        return ""


def _there(reply: Reply) -> Reply:
    if reply.status == 404:
        raise refused(NO_HOOK)
    return reply


def _hook(row: object) -> VendorHook:
    match row:
        case {
            "WebhookID": str(name),
            "Url": str(url),
            "Events": list(events),
            "Status": str(status),
            "PayloadFormat": str(form),
        }:
            if not HOOK_ID.fullmatch(name):
                raise unreadable()
        case _:
            raise unreadable()
    hears = "Deactivate" in events and form.lower() == "json"
    return VendorHook(name, url, DEAF if not hears else "" if status == "Active" else GIVEN_UP)
