"""The webhooks of an audience: which there are, and ours among them.

Source: specification 3.0.55, `/lists/{list_id}/webhooks`, and the vendor's page on webhooks, as read in November 2026.
An address is accepted only once for an audience, and only where it answers a GET with 200. Whether a webhook was given
up is shown nowhere.
"""

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from typing import ClassVar, Final

from dpsync.connector import HookedPlace, Instruction, RegistersHooks, Reply, VendorHook
from dpsync.connectors.mailchimp.calls import INVALID, LIST_ID, NO_AUDIENCE, NOBODY, Calls
from dpsync.vendor.errors import refused, unreadable

URL_REFUSED: Final = "it does not accept the address: it calls it, and wants 200 from it"
NO_HOOK: Final = "the webhook is not there any more"
DEAF: Final = "it does not tell of everybody who unsubscribes"

WANTED: Final = {
    "events": {
        "subscribe": False,
        "unsubscribe": True,
        "profile": False,
        "cleaned": False,
        "upemail": False,
        "campaign": False,
    },
    # what is done by the API is mostly ours
    "sources": {"user": True, "admin": True, "api": False},
}
"""What dpsync acts on, and no more: every event carries all that the audience holds of a person."""


class AudienceHooks(RegistersHooks):
    """What Mailchimp does with webhooks, one audience after the other."""

    sample: ClassVar[tuple[str, bytes]] = ("application/x-www-form-urlencoded", b"type=campaign")

    @abstractmethod
    def calls(self, order: Instruction | None) -> Calls:
        """Those of one instruction."""

    @abstractmethod
    def places(self, calls: Calls) -> Iterable[str]:
        """Every audience, by its id."""

    def hooked(self) -> Iterator[HookedPlace]:
        """Each audience with all its webhooks, which come on one page."""
        calls = self.calls(None)
        for audience in self.places(calls):
            named = _object(calls, calls.lists.get_list(audience, fields="id,name"))
            reply: Reply = calls.lists.get_list_webhooks(audience)
            found = _object(calls, reply)
            rows, total = found.get("webhooks"), found.get("total_items")
            whole = isinstance(rows, list) and total == len(rows)
            if (
                named.get("id") != audience
                or found.get("list_id") != audience
                or not isinstance(rows, list)
                or not whole
            ):
                raise unreadable()
            yield HookedPlace(audience, str(named.get("name", "")), tuple(map(_hook, rows)))

    def register_hook(self, place: str, url: str, instead_of: VendorHook | None) -> None:
        """Make it, or change the one that there is: so no second one tells the same."""
        calls, body = self.calls(None), {"url": url, **WANTED}
        if instead_of is None:
            reply: Reply = calls.lists.create_list_webhook(place, body)
        else:
            reply = calls.lists.update_list_webhook(place, instead_of.id, body)
        if calls.no(reply, INVALID, NOBODY) is INVALID:
            raise refused(URL_REFUSED)
        hook = _hook(_object(calls, reply, NO_HOOK if instead_of else NO_AUDIENCE))
        if hook.url != url or hook.deaf:
            raise unreadable(doubtful=True)

    def try_hook(self, place: str, hook: VendorHook) -> str | None:
        """It has no such call."""
        del place, hook
        return None


def _object(calls: Calls, reply: Reply, absent: str = NO_AUDIENCE) -> dict[str, object]:
    if calls.no(reply, NOBODY):
        raise refused(absent)
    return dict(calls.object_in(reply))


def _hook(row: object) -> VendorHook:
    match row:
        case {"id": str(name), "url": str(url), "events": dict(events), "sources": dict(sources)}:
            if not LIST_ID.fullmatch(name):
                raise unreadable()
        case _:
            raise unreadable()
    hears = events.get("unsubscribe") is True and sources.get("user") is True and sources.get("admin") is True
    return VendorHook(name, url, "" if hears else DEAF)
