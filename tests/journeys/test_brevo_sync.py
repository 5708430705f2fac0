"""Somebody unsubscribes at Brevo: its webhook is a hint, its list is swept, and the contact itself decides."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import requests

from dpsync.intake.reconciliation.comparison import ListComparison
from dpsync.intake.sweeping.sweep import sweep_of, with_a_roster
from dpsync.intake.vendor_hooks import NO_TEST, HookState, VendorHooks, is_good
from dpsync.model import Right, State
from dpsync.reports.reconciled import ListState
from dpsync.sandbox.brevo.api import Brevo
from dpsync.store import tables as t
from tests.journeys.installation import INBOUND, MAILINGS, Installation, installed
from tests.journeys.test_brevo_story import BREVO, KEY
from tests.waiting import until

DAY = timedelta(days=1)
ADA, BEN, CLEO, DEV, EVE = (f"{name}@example.org" for name in ("ada", "ben", "cleo", "dev", "eve"))
HEARS = BREVO + 'inbound_secret = {{ env = "DPSYNC_TEST_INBOUND" }}\n' + MAILINGS


class Heard:
    """An installation, and the vendor as its people see it."""

    def __init__(self, there: Installation) -> None:
        self.there = there
        self.brevo = there.sandbox.brevo

    @property
    def hooks(self) -> VendorHooks:
        return VendorHooks(self.there.service, "brevo")

    def hook(self, event: str = "unsubscribe", address: object = ADA) -> int:
        url = f"{self.there.url}/in/brevo/{INBOUND}"
        return requests.post(url, json={"event": event, "email": address, "id": 7}, timeout=60).status_code

    def sweep(self) -> ListComparison:
        return sweep_of(self.there.service, "brevo").run(self.there.clock.now())

    def done(self, right: Right, address: str) -> None:
        self.brevo.add(address)
        asked = self.there.ask(right, address, id=f"crm:{address}")
        self.there.drive()
        assert self.there.state(asked, "brevo") is State.VERIFIED

    def asked(self) -> list[tuple[str, str]]:
        return [(row.source, row.right) for row in self.there.rows(t.request)]


@pytest.fixture
def place(tmp_path: Path, database_url: str) -> Iterator[Heard]:
    with installed(tmp_path, database_url, processors=HEARS, web=True, key=KEY) as there:
        yield Heard(there)


def test_an_opt_out_there_arrives_by_the_webhook_that_was_registered_and_is_told_everywhere(place: Heard) -> None:
    assert [one.state for one in place.hooks.listed()] == [HookState.MISSING]
    assert is_good(place.hooks.registered())
    assert [(one.place, one.tried) for one in place.hooks.tried()] == [("account", NO_TEST)]
    place.brevo.add(ADA)
    place.there.sandbox.campaign_monitor.add(ADA, client="One", title="News")
    place.brevo.act(ADA, "unsubscribe")
    until(place.asked)
    place.there.drive()
    assert place.asked() == [("observed:brevo", "opt_out")]
    told = {row.processor: row.state for row in place.there.rows(t.propagation)}
    assert told == {"brevo": State.VERIFIED.value, "mailings": State.VERIFIED.value}
    assert ADA not in "".join(one.text + one.body for one in place.there.told())
    place.there.sound()


@pytest.mark.no_database
def test_what_we_brought_about_ourselves_is_nobodys_new_wish_also_days_later(place: Heard) -> None:
    place.hooks.registered()
    place.done(Right.OPT_OUT, ADA)
    until(lambda: place.brevo.there(lambda vendor: len(vendor.webhooks.deliveries)))
    place.there.clock.advance(5 * DAY)

    def edit(vendor: Brevo) -> None:
        next(iter(vendor.held.contacts.values())).modified = place.there.clock.now()

    place.brevo.there(edit)
    assert place.hook() == 200
    assert place.asked() == [("crm", "opt_out")]


@pytest.mark.no_database
def test_a_hint_that_is_not_so_there_is_no_wish(place: Heard) -> None:
    place.brevo.add(ADA)
    assert place.hook() == 200, "still written to"
    assert place.hook(address="nobody@example.org") == 200
    place.brevo.act(ADA, "bounce")
    assert place.hook() == 200, "a bounce is nobody's wish"
    assert (place.hook(address="nobody"), place.asked()) == (422, [])
    place.brevo.act(ADA, "complain")
    place.there.sandbox.brevo.fault("status", status=500, times=50, method="GET")
    assert (place.hook("spam"), place.asked()) == (503, [])
    place.brevo.clear_faults()
    assert (place.hook("spam"), len(place.asked())) == (200, 1)


@pytest.mark.no_database
def test_several_in_one_call_are_heard(place: Heard) -> None:
    place.hooks.registered()
    place.brevo.switch(webhooks_batched=True)
    place.brevo.add(ADA)
    place.brevo.act(ADA, "unsubscribe")
    until(place.asked)


def test_whoever_is_back_is_found_and_who_bounced_is_asked_about_at_the_contact_alone(place: Heard) -> None:
    assert with_a_roster(place.there.service.settings) == ["brevo", "mailings"]
    for right, address in ((Right.ERASURE, ADA), (Right.OPT_OUT, BEN), (Right.RESTRICTION, CLEO)):
        place.done(right, address)
    for address in (DEV, EVE):
        place.brevo.add(address)
    place.there.clock.advance(3 * DAY)
    assert place.sweep().standing.differ == 0, "all is as it was asked"
    place.brevo.add(ADA)
    for address in (BEN, CLEO):
        place.brevo.act(address, "subscribe")
    place.brevo.act(DEV, "unsubscribe")
    place.brevo.act(EVE, "bounce")
    found = place.sweep()
    assert (found.why, found.standing.state) == ("", ListState.COMPARED)
    assert found.new == {"returned": 1, "contactable": 2, "missed": 1}
    assert (found.standing.listed, found.standing.agree) == (5, 1)
    assert place.asked()[3:] == [("observed:brevo", "opt_out")]
    assert place.sweep().new == {}
    place.there.drive()
    place.there.sound()


@pytest.mark.no_database
def test_where_a_contact_cannot_be_looked_at_the_list_is_not_known(place: Heard) -> None:
    place.brevo.add(DEV)
    place.brevo.act(DEV, "unsubscribe")
    place.there.sandbox.brevo.fault("status", status=500, times=1, method="GET", template="/contacts/{identifier}")
    found = place.sweep()
    assert (found.standing.state, place.asked()) == (ListState.UNKNOWN, [])
    assert "read again" in found.why
    assert place.sweep().new == {"missed": 1}
