"""The way back: somebody unsubscribes at Mailchimp, and Campaign Monitor and the main database hear of it."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import requests

from dpsync.demo.installation import Place
from dpsync.errors import TooSlow
from dpsync.installation import Installation
from dpsync.running import callbacks
from dpsync.sandbox.main_database import MainDatabase, MessageIn
from dpsync.sandbox.server import RunningSandbox

EVE = "eve@example.org"
OPTED_OUT = "dpsync.opt_out.observed"


def move_in(sandbox: RunningSandbox, place: Place) -> None:
    """Eve gets two newsletters, and each audience of Mailchimp has dpsync's webhook: for people, not for its API."""
    sandbox.campaign_monitor.add(EVE, client="Example Gardens", title="Donors", name="Eve Marsh")
    hook = {
        "url": f"{place.url}/in/newsletter/{place.environ['DPSYNC_DEMO_INBOUND']}",
        "events": {"unsubscribe": True},
        "sources": {"user": True, "admin": True, "api": False},
    }
    for audience in sandbox.audiences():
        sandbox.add(EVE, list_id=audience)
        url = f"{sandbox.mailchimp_url}/lists/{audience}/webhooks"
        requests.post(url, json=hook, auth=("demo", sandbox.api_keys[0]), timeout=60).raise_for_status()


def unsubscribe(
    there: Installation, sandbox: RunningSandbox, crm: MainDatabase, patience: float, say: Callable[[str], None]
) -> Iterator[str]:
    """Let Eve follow the link in a newsletter, and see who hears of it. Gives what the imitations saw go wrong."""
    sandbox.act(EVE, "unsubscribe")
    say("5/6 eve unsubscribes in a mail from Mailchimp")
    until = time.monotonic() + patience
    while not (_is_silent(sandbox) and _heard(crm)):
        if time.monotonic() > until:
            raise TooSlow(f"the way back is not at its end within {patience:.0f} s: this machine is too busy for it")
        time.sleep(0.2)
        callbacks.send_due(there, datetime.now(UTC))  # the service beside us would, once a minute
    say("    Campaign Monitor: unsubscribed. The main database took dpsync's signed message of it")
    told = [one.data.get("subject") for one in _heard(crm)]
    if told != [{"email": EVE}]:
        yield f"the main database heard of {len(told)} opt-outs, or of somebody else"


def _is_silent(sandbox: RunningSandbox) -> bool:
    return [state for _, state in sandbox.campaign_monitor.holds(EVE)] == ["Unsubscribed", "Suppressed"]


def _heard(crm: MainDatabase) -> list[MessageIn]:
    return [one for one in crm.taken if one.kind == OPTED_OUT]
