"""Somebody unsubscribes at Campaign Monitor: its webhook is a hint, which is read again there before it counts."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import requests

from dpsync.connectors.campaign_monitor.hooks import FAILED, GIVEN_UP
from dpsync.intake.vendor_hooks import ARRIVED, HookState, VendorHooks, is_good
from dpsync.model import Right, State
from dpsync.sandbox.campaign_monitor.api import CampaignMonitor
from dpsync.store import tables as t
from tests.journeys.installation import INBOUND, MAILINGS, NEWSLETTER, Installation, installed
from tests.journeys.test_campaign_monitor_story import ADA, NEWS, PLACES, TALKS, people
from tests.waiting import until

pytestmark = pytest.mark.no_database

HEARS = MAILINGS + 'inbound_secret = {{ env = "DPSYNC_TEST_INBOUND" }}\n' + NEWSLETTER
NEW_YORK = ZoneInfo("America/New_York")


class Heard:
    """An installation, and the vendor as a person who unsubscribes sees it."""

    def __init__(self, there: Installation) -> None:
        self.there = there

        def move(vendor: CampaignMonitor) -> None:
            vendor.accounts["main"].zone = NEW_YORK

        there.sandbox.campaign_monitor.there(move)
        people(there, ADA)

    @property
    def hooks(self) -> VendorHooks:
        return VendorHooks(self.there.service, "mailings")

    def leaves(self, address: str = ADA, place: str = TALKS) -> None:
        self.there.sandbox.campaign_monitor.act(address, "unsubscribe", list_id=place)

    def hook(self, state: str = "Unsubscribed", **more: object) -> int:
        event = {"Type": "Deactivate", "State": state, "EmailAddress": ADA, "Name": "Ada", "CustomFields": []} | more
        url = f"{self.there.url}/in/mailings/{INBOUND}"
        return requests.post(url, json={"Events": [event], "ListID": TALKS}, timeout=60).status_code

    def asked(self) -> list[tuple[str, str]]:
        return [(row.source, row.right) for row in self.there.rows(t.request)]


@pytest.fixture
def place(tmp_path: Path, database_url: str) -> Iterator[Heard]:
    with installed(tmp_path, database_url, processors=HEARS, web=True) as there:
        yield Heard(there)


def test_an_opt_out_there_arrives_by_the_webhook_that_was_registered_and_is_told_everywhere(place: Heard) -> None:
    assert [one.state for one in place.hooks.listed()] == [HookState.MISSING] * len(PLACES)
    assert is_good(place.hooks.registered())
    assert [one.place for one in place.hooks.registered()] == list(PLACES), "one in each list, and given again no more"
    hooks = place.there.sandbox.campaign_monitor.there(lambda vendor: list(vendor.held.hooks.values()))
    assert [one.list_id for one in hooks] == list(PLACES)
    assert {one.events for one in hooks} == {("Deactivate",)}
    place.there.sandbox.add(ADA)
    place.leaves()
    until(place.asked)
    place.there.drive()
    assert place.asked() == [("observed:mailings", "opt_out")]
    assert {row.processor: row.state for row in place.there.rows(t.propagation)} == {
        "mailings": State.VERIFIED.value,
        "newsletter": State.VERIFIED.value,
    }
    (request,) = place.there.rows(t.request)
    assert abs(request.received_at - place.there.clock.now()) < timedelta(minutes=15), "New York is hours behind"
    assert ADA not in "".join(one.text + one.body for one in place.there.told())
    assert place.asked() == [("observed:mailings", "opt_out")], "what we did there came back, and is no new wish"
    place.there.sound()


@pytest.mark.no_database
def test_what_we_brought_about_ourselves_is_nobodys_new_wish_also_days_later(place: Heard) -> None:
    assert is_good(place.hooks.registered())
    place.there.ask(Right.OPT_OUT, ADA)
    place.there.drive()
    until(lambda: place.there.sandbox.campaign_monitor.there(lambda vendor: len(vendor.webhooks.deliveries)))
    place.there.clock.advance(timedelta(days=5))
    assert place.hook() == 200
    assert place.asked() == [("crm", "opt_out")]


@pytest.mark.no_database
def test_a_hint_that_is_not_so_there_is_no_wish(place: Heard) -> None:
    assert place.hook() == 200, "still active"
    assert place.hook(EmailAddress="nobody@example.org") == 200
    place.leaves()
    assert place.hook("Bounced") == 200
    assert place.hook("Deleted") == 200
    assert place.hook(Type="Update") == 200
    assert place.hook(EmailAddress="") == 422
    assert place.asked() == []


@pytest.mark.no_database
def test_where_the_vendor_does_not_answer_it_is_to_send_the_hint_again(place: Heard) -> None:
    place.leaves()
    place.there.sandbox.campaign_monitor.fault("status", status=500, times=50, method="GET")
    assert (place.hook(), place.asked()) == (503, [])
    place.there.sandbox.campaign_monitor.clear_faults()
    assert (place.hook(), len(place.asked())) == (200, 1)


@pytest.mark.no_database
def test_the_vendor_sends_one_and_one_that_it_gave_up_is_switched_on_again(place: Heard) -> None:
    place.hooks.registered()
    assert {(one.tried, one.arrived) for one in place.hooks.tried()} == {(ARRIVED, True)}
    assert place.asked() == []

    def give_up(vendor: CampaignMonitor) -> None:
        (one,) = [one for one in vendor.held.hooks.values() if one.list_id == NEWS]
        one.status = "Deactivated"

    place.there.sandbox.campaign_monitor.there(give_up)
    found = {one.place: one for one in place.hooks.listed()}
    assert (found[NEWS].state, found[NEWS].why) == (HookState.DEAF, GIVEN_UP)
    assert is_good(place.hooks.registered())


@pytest.mark.no_database
def test_a_webhook_that_does_not_reach_us_fails_the_test(place: Heard) -> None:
    place.hooks.registered()

    def lead_astray(vendor: CampaignMonitor) -> None:
        for one in vendor.held.hooks.values():
            one.url = one.url.replace(place.there.url, "http://127.0.0.1:9")

    hooks = place.hooks
    found = hooks.listed()
    place.there.sandbox.campaign_monitor.there(lead_astray)
    assert {hooks._tried(one, "").tried for one in found} == {FAILED}
