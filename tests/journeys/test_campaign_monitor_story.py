"""Campaign Monitor through the real service: each right in every list, and an erasure that only a person can end."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from dpsync.errors import ProcessorUnreachable
from dpsync.model import Right, Rung, State
from dpsync.propagation.decisions import Person, decide
from dpsync.propagation.rules.lifecycle import DecisionKind
from dpsync.sandbox.campaign_monitor.account import Subscriber, made_id
from dpsync.sandbox.campaign_monitor.api import CampaignMonitor
from dpsync.sandbox.recipient import fill_in, links_of
from dpsync.store import tables as t
from tests.journeys.installation import MAILINGS, OPERATOR, SOON, Asked, Installation, installed, sqlite_url
from tests.journeys.test_letters import events, letters, parsed

pytestmark = pytest.mark.no_database

ADA, OLD, NEW, NEIGHBOUR = "ada@example.org", "ada.before@example.org", "ada.new@example.org", "nell@example.org"
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
CHANGES = {"email": NEW, "first_name": "Augusta", "last_name": "King"}
LIFTED = {"told_on": "2026-11-19", "how": "letter"}
ONE, TWO = made_id("main", "One"), made_id("main", "Two")
NEWS, TALKS, SHOP = made_id("main", "One", "News"), made_id("main", "One", "Talks"), made_id("main", "Two", "Shop")
"""The sandbox's ids follow from the names."""
PLACES = {
    NEWS: ("One", "News", "AllClientLists"),
    TALKS: ("One", "Talks", "OnlyThisList"),
    SHOP: ("Two", "Shop", "AllClientLists"),
}
PAIRED = MAILINGS.replace(
    'api_key = {{ env = "DPSYNC_TEST_CAMPAIGN_MONITOR" }}',
    'access_token = {{ env = "DPSYNC_TEST_ACCESS" }}\nrefresh_token = {{ env = "DPSYNC_TEST_REFRESH" }}',
)
RENEWAL = "POST /oauth/token"


def people(there: Installation, *addresses: str) -> None:
    """These and a neighbour, in all three lists of both clients."""

    def do(vendor: CampaignMonitor) -> None:
        for client, title, reach in PLACES.values():
            held = vendor.open_list(vendor.accounts["main"], client, title, reach=reach, City="Text")
            for who in (*addresses, NEIGHBOUR):
                vendor.plant(held, Subscriber(who, "Ada Byron", "Active", [("City", "Kent")]))

    there.sandbox.campaign_monitor.there(do)


def holds(there: Installation, address: str = ADA) -> dict[str, str]:
    return dict(there.sandbox.campaign_monitor.holds(address))


def state(there: Installation, asked: Asked) -> State:
    return there.state(asked, "mailings")


def task(there: Installation) -> str:
    """The words of the operator's last task, on one line."""
    body = parsed(letters(there, OPERATOR)[-1]).get_body(("plain",))
    assert body is not None
    return " ".join(body.get_content().split())


def says_done(there: Installation) -> None:
    link = next(one for one in links_of(letters(there, OPERATOR)[-1].raw) if "/answers/" in one)
    fill_in(link, {"answer": "done", "name": "Olli Operator"})
    there.drive()


# --- each right


SILENT = {NEWS: "Unsubscribed", TALKS: "Unsubscribed", SHOP: "Unsubscribed", ONE: "Suppressed", TWO: "Suppressed"}


@pytest.mark.parametrize(
    ("right", "more", "so"),
    [
        (Right.OPT_OUT, {"other_emails": [OLD]}, lambda there: holds(there) == holds(there, OLD) == SILENT),
        (
            Right.RESTRICTION,
            {"other_emails": [OLD]},
            lambda there: holds(there) == holds(there, OLD) == SILENT | {NEWS: "Active", SHOP: "Active"},
        ),
        (
            Right.RECTIFICATION,
            {"changes": CHANGES},
            lambda there: (
                holds(there) == {}
                and holds(there, NEW) == dict.fromkeys(PLACES, "Active")
                and set(there.sandbox.campaign_monitor.names(NEW)) == {"Augusta King"}
            ),
        ),
    ],
    ids=["opt_out", "restriction", "rectification"],
)
def test_a_right_reaches_every_list_of_every_client_and_its_receipt_holds(
    right: Right, more: dict[str, Any], so: Callable[[Installation], bool], database_url: str, tmp_path: Path
) -> None:
    with installed(tmp_path, database_url, processors=MAILINGS) as there:
        people(there, *((ADA,) if right is Right.RECTIFICATION else (ADA, OLD)))
        asked = there.ask(right, ADA, **more)
        there.drive()
        assert state(there, asked) is State.VERIFIED
        assert so(there)
        assert holds(there, NEIGHBOUR) == dict.fromkeys(PLACES, "Active")
        assert there.row(asked, "mailings").attempts == 1
        assert there.alerts() == []
        assert f": request {asked.id}, recorded" in there.verified_by_a_stranger(asked, ADA)
        there.drive(31 * DAY)
        assert there.row(asked, "mailings").rung == Rung.STILL_VERIFIED
        there.sound()


def test_lifting_takes_back_the_suppression_and_leaves_to_the_operator_what_stays_unsubscribed(
    database_url: str, tmp_path: Path
) -> None:
    with installed(tmp_path, database_url, processors=MAILINGS, web=True) as there:
        there.sandbox.rule(OPERATOR, "silent")
        people(there, ADA)
        there.ask(Right.RESTRICTION, ADA)
        there.drive()
        lifted = there.ask(Right.RESTRICTION, ADA, lifted=LIFTED)
        there.drive()
        assert state(there, lifted) is State.HANDED_OVER
        assert holds(there) == {NEWS: "Active", TALKS: "Unsubscribed", SHOP: "Active"}
        assert "its state was 'Active'" in task(there)
        says_done(there)
        assert state(there, lifted) is State.VERIFIED
        assert there.sandbox.campaign_monitor.effects("resubscribed") == 0
        there.sound()


# --- erasure: the API cannot, a person can


def test_an_erasure_is_verified_only_when_the_operator_has_erased_and_it_is_read_back_so(
    database_url: str, tmp_path: Path
) -> None:
    with installed(tmp_path, database_url, processors=MAILINGS, web=True) as there:
        there.sandbox.rule(OPERATOR, "silent")
        people(there, ADA, OLD)
        asked = there.ask(Right.ERASURE, ADA, other_emails=[OLD])
        there.drive()
        for _ in range(3):
            assert state(there, asked) is State.HANDED_OVER
            assert there.row(asked, "mailings").rung < Rung.CONFIRMED
            assert holds(there) == holds(there, OLD) == dict.fromkeys(PLACES, "Deleted")
            assert set(there.sandbox.campaign_monitor.names(ADA)) == {"Erased"}
            there.drive(DAY)
        words = task(there)
        assert "The API of Campaign Monitor has no erasure. Erase the person permanently in the web app" in words
        assert all(place in words for place in PLACES)
        assert not [one for one in (ADA, OLD) if one in words]
        for address in (ADA, OLD):
            there.sandbox.campaign_monitor.act(address, "erase")
        there.drive(HOUR)
        assert state(there, asked) is State.HANDED_OVER, "nobody has said so yet"
        says_done(there)
        assert state(there, asked) is State.VERIFIED
        said = [one for one in events(there, asked) if one in ("handed_over", "declared", "verified", "contradicted")]
        assert said == ["handed_over", "declared", "verified"]
        assert holds(there) == holds(there, OLD) == {}
        assert holds(there, NEIGHBOUR) == dict.fromkeys(PLACES, "Active")
        assert {"suppressed", "destroyed"}.isdisjoint(
            kind for _, kind in there.sandbox.campaign_monitor.effects_on(ADA)
        )
        assert f": request {asked.id}, recorded" in there.verified_by_a_stranger(asked, ADA)
        there.drive(31 * DAY)
        assert there.row(asked, "mailings").rung == Rung.STILL_VERIFIED
        there.sound()


@pytest.mark.parametrize("done", ["nothing", "one list", "all lists, and still suppressed"])
def test_an_operator_who_says_done_too_early_is_contradicted_until_it_is_so(
    done: str, database_url: str, tmp_path: Path
) -> None:
    with installed(tmp_path, database_url, processors=MAILINGS, web=True) as there:
        there.sandbox.rule(OPERATOR, "silent")
        people(there, ADA)
        asked = there.ask(Right.ERASURE, ADA)
        there.drive()
        vendor = there.sandbox.campaign_monitor
        if done == "one list":
            vendor.act(ADA, "erase", list_id=NEWS)
        elif done != "nothing":
            vendor.act(ADA, "suppress")
            vendor.act(ADA, "erase")
        says_done(there)
        assert state(there, asked) is State.CONTRADICTED
        assert ("dpo", "contradicted") in there.alerts()
        assert not (there.service.settings.ledger.receipts / f"{asked.id}.json").exists()
        vendor.act(ADA, "erase")
        vendor.there(takes_off)
        retry(there, asked)
        there.drive(SOON)
        assert state(there, asked) is State.HANDED_OVER
        says_done(there)
        assert state(there, asked) is State.VERIFIED
        there.sound()


def takes_off(vendor: CampaignMonitor) -> None:
    for client in vendor.accounts["main"].clients.values():
        client.suppressed.clear()


def retry(there: Installation, asked: Asked) -> None:
    person = Person("Dana Officer", "dana", "the operator says that it is done now")
    controller, now = there.service.controller, there.clock.now()
    there.service.write(lambda unit: decide(unit, controller, asked.id, DecisionKind.RETRY, person, now))


# --- 401 says many things


def test_401_code_100_stops_the_account_and_charges_nobody(database_url: str, tmp_path: Path) -> None:
    with installed(tmp_path, database_url, processors=MAILINGS) as there:
        people(there, ADA, OLD)
        vendor = there.sandbox.campaign_monitor
        keys = vendor.there(lambda one: one.accounts["main"].keys)
        vendor.there(lambda one: setattr(one.accounts["main"], "keys", ()))
        asked = [there.ask(Right.OPT_OUT, ADA), there.ask(Right.OPT_OUT, OLD, id="crm-2")]
        there.drive()
        calls = vendor.calls()
        there.drive(HOUR)
        assert vendor.calls() == calls <= 2
        assert [row.stopped for row in there.rows(t.account)] == ["credential"]
        assert there.alerts() == [("operator", "credential")]
        assert [(state(there, one), there.row(one, "mailings").attempts) for one in asked] == [(State.PENDING, 0)] * 2
        vendor.there(lambda one: setattr(one.accounts["main"], "keys", keys))
        there.service.write(lambda unit: unit.connection.execute(t.account.update().values(stopped="")))
        there.drive(SOON)
        assert {state(there, one) for one in asked} == {State.VERIFIED}
        there.sound()


@pytest.mark.parametrize("code", [101, 102])
def test_401_code_101_or_102_is_about_that_list_or_client_and_the_others_are_told(
    code: int, database_url: str, tmp_path: Path
) -> None:
    foreign = MAILINGS + f'clients = ["{"f" * 32}", "{ONE}"]\n'
    with installed(tmp_path, database_url, processors=foreign if code == 102 else MAILINGS) as there:
        people(there, ADA)
        if code == 101:
            body = '{"Code": 101, "Message": "Invalid ListID"}'
            member = {"method": "GET", "template": "/subscribers/{list_id}"}
            there.sandbox.campaign_monitor.fault("status", status=401, body=body, **member)
        asked = there.ask(Right.OPT_OUT, ADA)
        there.drive()
        assert state(there, asked) is State.PENDING
        assert there.row(asked, "mailings").rung == Rung.NONE
        assert there.alerts() == [("operator", "misplaced")]
        assert [row.stopped for row in there.rows(t.account)] == [""]
        told = {TALKS, SHOP} if code == 101 else {NEWS, TALKS}
        assert {place for place, how in holds(there).items() if how == "Unsubscribed"} == told
        there.sound()


# --- OAuth


def paired(there: Installation, state_of_it: str = "expired") -> None:
    def do(vendor: CampaignMonitor) -> None:
        vendor.give_token(vendor.accounts["main"], "access-0", "refresh-0")
        vendor.accounts["main"].tokens["access-0"].state = state_of_it

    there.sandbox.campaign_monitor.there(do)


def expire(vendor: CampaignMonitor) -> None:
    for token in vendor.accounts["main"].tokens.values():
        token.state = "expired"


@pytest.mark.parametrize("stays", [True, False])
def test_401_code_121_renews_the_pair_once_and_the_new_one_outlives_the_process(
    stays: bool, database_url: str, tmp_path: Path
) -> None:
    with installed(tmp_path, database_url, processors=PAIRED) as there:
        people(there, ADA)
        paired(there)
        vendor = there.sandbox.campaign_monitor
        vendor.switch(refresh_stays=stays)
        asked = there.ask(Right.OPT_OUT, ADA)
        there.drive()
        assert state(there, asked) is State.VERIFIED
        with there.another_process() as beside:
            assert beside.controller.processors["mailings"].connector.probe().title == "One, Two"
        assert vendor.calls(RENEWAL) == 1
        vendor.there(expire)
        again = there.ask(Right.OPT_OUT, NEIGHBOUR, id="crm-2")
        there.drive()
        assert state(there, again) is State.VERIFIED
        assert vendor.calls(RENEWAL) == 2
        assert [row.stopped for row in there.rows(t.account)] == [""]
        there.sound()


def test_of_two_processes_only_one_spends_the_refresh_token_and_no_request_is_lost(
    database_url: str, tmp_path: Path
) -> None:
    with installed(tmp_path, database_url, processors=PAIRED) as there, ThreadPoolExecutor(1) as pool:
        people(there, ADA)
        paired(there)
        vendor = there.sandbox.campaign_monitor
        vendor.fault("hang", template="/oauth/token", seconds=30)
        asked = there.ask(Right.OPT_OUT, ADA)
        driving = pool.submit(there.drive)
        with there.another_process() as beside:
            other = beside.controller.processors["mailings"].connector
            while not vendor.calls(RENEWAL):
                assert not driving.done()
            with pytest.raises(ProcessorUnreachable, match="another process is renewing the token"):
                other.probe()
            there.sandbox.release()
            driving.result(60)
            assert state(there, asked) is State.VERIFIED
            assert other.probe().title == "One, Two"
        assert vendor.calls(RENEWAL) == 1
        assert [row.stopped for row in there.rows(t.account)] == [""]
        there.sound()


def test_a_pair_that_was_revoked_stops_the_account_and_says_to_authorise_anew(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=PAIRED) as there:
        people(there, ADA)
        paired(there, "revoked")
        asked = there.ask(Right.OPT_OUT, ADA)
        there.drive()
        assert (state(there, asked), there.row(asked, "mailings").attempts) == (State.PENDING, 0)
        assert [row.stopped for row in there.rows(t.account)] == ["credential"]
        assert there.sandbox.campaign_monitor.calls(RENEWAL) == 0
        there.sound()
