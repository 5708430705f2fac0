"""Campaign Monitor lists whom it holds: the same is found there as at Mailchimp, and no more is done."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from dpsync.intake.reconciliation import findings
from dpsync.intake.reconciliation.comparison import ListComparison
from dpsync.intake.sweeping.sweep import sweep_of, with_a_roster
from dpsync.model import Right, State
from dpsync.reports.reconciled import ListState
from dpsync.sandbox.campaign_monitor.account import Subscriber
from dpsync.sandbox.campaign_monitor.api import CampaignMonitor
from dpsync.store import tables as t
from dpsync.store.reconciling_tables import source_finding
from tests.journeys.installation import MAILINGS, Installation, installed
from tests.journeys.test_campaign_monitor_story import NEWS, ONE, TALKS, says_done

DAY = timedelta(days=1)
ADA, BEN, CLEO, DEV, EVE = (f"{name}@example.org" for name in ("ada", "ben", "cleo", "dev", "eve"))


class Swept:
    """An installation, and the vendor's own web app: one client with two lists."""

    def __init__(self, there: Installation) -> None:
        self.there = there

        def do(vendor: CampaignMonitor) -> None:
            for title, reach in (("News", "AllClientLists"), ("Talks", "OnlyThisList")):
                vendor.open_list(vendor.accounts["main"], "One", title, reach=reach)

        there.sandbox.campaign_monitor.there(do)

    def becomes(self, state: str, *addresses: str, place: str = NEWS, suppressed: bool = False) -> None:
        """Somebody sets it by hand, or brings the person back."""

        def do(vendor: CampaignMonitor) -> None:
            client = vendor.accounts["main"].clients[ONE]
            for address in addresses:
                vendor.plant(client.lists[place], Subscriber(address, "Ada Byron", state))
                if not suppressed:
                    client.suppressed.pop(address, None)

        self.there.sandbox.campaign_monitor.there(do)

    def done(self, right: Right, address: str) -> None:
        """What was asked for somebody whom the vendor holds, and was carried out there, also by hand."""
        self.becomes("Active", address)
        asked = self.there.ask(right, address, id=f"crm:{address.partition('@')[0]}")
        self.there.drive()
        if right is Right.ERASURE:
            self.there.sandbox.campaign_monitor.act(address, "erase")
            says_done(self.there)
        assert self.there.state(asked, "mailings") is State.VERIFIED

    def sweep(self, *, dry: bool = False) -> ListComparison:
        return sweep_of(self.there.service, "mailings").run(self.there.clock.now(), dry=dry)

    def found(self) -> list[tuple[str, str, str]]:
        keys = self.there.service.keys
        rows = self.there.service.read(lambda connection: findings.waiting(connection, keys, ["observed:mailings"]))
        return sorted((one.kind.value, one.right, one.record) for one in rows)

    def asked(self) -> list[tuple[str, str]]:
        return [(row.source, row.right) for row in self.there.rows(t.request)]


@pytest.fixture
def place(tmp_path: Path, database_url: str) -> Iterator[Swept]:
    with installed(tmp_path, database_url, processors=MAILINGS, web=True) as there:
        yield Swept(there)


def plant(place: Swept) -> None:
    """One of each, and somebody whom nothing was asked for."""
    for right, address in ((Right.ERASURE, ADA), (Right.OPT_OUT, BEN), (Right.RESTRICTION, CLEO)):
        place.done(right, address)
    place.becomes("Active", EVE)
    place.there.clock.advance(3 * DAY)
    assert place.sweep().standing.differ == 0, "all is as it was asked"
    place.becomes("Deleted", ADA)
    place.becomes("Active", BEN, CLEO)
    place.becomes("Unsubscribed", DEV)


def test_whoever_is_back_is_found_once_and_an_opt_out_alone_is_acted_on(place: Swept) -> None:
    assert with_a_roster(place.there.service.settings) == ["mailings"]
    plant(place)
    found = place.sweep()
    assert (found.why, found.standing.state) == ("", ListState.COMPARED)
    assert found.new == {"returned": 1, "contactable": 2, "missed": 1}
    assert (found.standing.listed, found.standing.agree, found.standing.differ) == (5, 1, 4)
    assert place.asked()[3:] == [("observed:mailings", "opt_out")]
    assert place.found() == [
        ("contactable", "opt_out", f"{NEWS}/{BEN}"),
        ("contactable", "restriction", f"{NEWS}/{CLEO}"),
        ("missed", "opt_out", f"{NEWS}/{DEV}"),
        ("returned", "erasure", f"{NEWS}/{ADA}"),
    ]
    kept = "".join(map(str, [*place.there.told(), *place.there.rows(source_finding), *place.there.rows(t.entry)]))
    assert not any(address in kept for address in (ADA, BEN, CLEO, DEV, EVE)), "no name is kept, but sealed"
    swept = [one for one in (json.loads(row.body) for row in place.there.rows(t.entry)) if one.get("kind") == "swept"]
    assert sorted(one["cause"] for one in swept) == ["contactable", "contactable", "missed", "returned"]
    asked = place.asked()
    assert (place.sweep().new, place.asked()) == ({}, asked), "found once"
    place.there.sandbox.campaign_monitor.act(BEN, "unsubscribe")
    place.there.sandbox.campaign_monitor.act(CLEO, "suppress")
    place.there.sandbox.campaign_monitor.act(ADA, "erase")
    assert place.sweep().closed == 3
    assert place.found() == []
    place.there.sound()


@pytest.mark.no_database
def test_whoever_is_suppressed_is_mailed_only_where_an_unsubscribe_counts_for_one_list(place: Swept) -> None:
    place.done(Right.OPT_OUT, BEN)
    place.there.clock.advance(DAY)
    place.becomes("Active", BEN, suppressed=True)
    assert place.sweep().new == {}
    place.becomes("Active", BEN, place=TALKS, suppressed=True)
    assert place.sweep().new == {"contactable": 1}


@pytest.mark.no_database
def test_whoever_left_two_lists_asked_for_one_thing(place: Swept) -> None:
    for at in (NEWS, TALKS):
        place.becomes("Unsubscribed", DEV, place=at)
    assert place.sweep().new == {"missed": 2}
    assert place.asked() == [("observed:mailings", "opt_out")]
    place.there.drive()
    assert place.sweep().new == {}


@pytest.mark.no_database
def test_a_list_that_cannot_be_read_whole_is_not_known_and_never_clean(place: Swept) -> None:
    place.becomes("Active", EVE)
    place.becomes("Unsubscribed", DEV)
    pages = {"method": "GET", "template": "/lists/{list_id}/{part}"}
    place.there.sandbox.campaign_monitor.fault("status", status=500, times=1, **pages)
    found = place.sweep()
    assert (found.standing.state, found.standing.agree, found.standing.not_known) == (ListState.UNKNOWN, 0, 1)
    assert (place.asked(), place.found()) == ([], [])
    assert [one.cause for one in place.there.told()] == ["not-swept"]
    place.there.sandbox.campaign_monitor.clear_faults()
    assert place.sweep().new == {"missed": 1}
