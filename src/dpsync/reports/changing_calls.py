"""Which calls change something at a vendor, by right: what a plan says would be called. Names alone, no addresses.

Connectors declare what they do in words. This is the same as method and path template, as evidence names it; a test
compares it with the calls that each connector makes.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from dpsync.model import Right

_MAILCHIMP = "/lists/{list_id}/members/{subscriber_hash}"
_SUBSCRIBER = "/subscribers/{id}"
_CLIENT = "/clients/{id}"
_BREVO = "/contacts/{identifier}"

CHANGING: Final[Mapping[str, Mapping[Right, tuple[str, ...]]]] = MappingProxyType(
    {
        "mailchimp": {
            Right.RECTIFICATION: (f"PATCH {_MAILCHIMP}",),
            Right.ERASURE: (f"POST {_MAILCHIMP}/actions/delete-permanent",),
            Right.RESTRICTION: (f"PATCH {_MAILCHIMP}", f"DELETE {_MAILCHIMP}"),
            Right.OPT_OUT: (f"PATCH {_MAILCHIMP}",),
        },
        "campaign_monitor": {
            Right.RECTIFICATION: (f"PUT {_SUBSCRIBER}.json",),
            Right.ERASURE: (f"PUT {_SUBSCRIBER}.json", f"DELETE {_SUBSCRIBER}.json"),
            Right.RESTRICTION: (f"POST {_CLIENT}/suppress.json",),
            Right.OPT_OUT: (f"POST {_SUBSCRIBER}/unsubscribe.json", f"POST {_CLIENT}/suppress.json"),
        },
        "brevo": {
            Right.RECTIFICATION: (f"PUT {_BREVO}",),
            Right.ERASURE: (f"DELETE {_BREVO}",),
            Right.RESTRICTION: (f"PUT {_BREVO}",),
            Right.OPT_OUT: (f"PUT {_BREVO}",),
        },
        "google_analytics": {Right.ERASURE: ("POST /analytics/v3/userDeletion/userDeletionRequests:upsert",)},
        "opendsr": {Right.ERASURE: ("POST /requests",)},
        "webhook": dict.fromkeys(Right, ("POST /webhook",)),
        "hootsuite": {Right.RECTIFICATION: ("PUT /inbox/v2/contact/{contactProfileId}/contact-attributes",)},
    }
)
"""What is not here changes nothing by a call: it is a letter, or a task for our operator."""

_TOLD_OF_THE_END: Final = frozenset({"webhook"})
"""That a restriction is lifted is a call, too: what follows of it is the processor's own."""


def changing_calls(connector: str, right: Right, *, lifting: bool) -> tuple[str, ...]:
    """What would be called to change something, in its order; empty where that is not listed."""
    return () if lifting and connector not in _TOLD_OF_THE_END else CHANGING.get(connector, {}).get(right, ())
