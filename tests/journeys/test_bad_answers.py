"""What is wrong with lists, keys and answers at the two newsletter vendors.

Each ends in its own class, with a sentence for the operator in `dpsync status` and `dpsync check`; what can be told is
told; and no request is lost: once it is mended, it is done and seen to be.
"""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from dpsync.__main__ import main
from dpsync.model import Right, State
from dpsync.sandbox.campaign_monitor.account import Client
from dpsync.sandbox.campaign_monitor.api import CampaignMonitor
from dpsync.sandbox.mailchimp.api import Mailchimp
from dpsync.sandbox.mailchimp.audience import digest
from dpsync.sandbox.mailchimp.filling import audience_of
from dpsync.store import tables as t
from tests.journeys.installation import KEY, MAILINGS, NEWSLETTER, Asked, Installation, installed, sqlite_url
from tests.journeys.test_campaign_monitor_story import NEWS, ONE, TALKS, retry

ADA = "ada@example.org"
HOUR = timedelta(hours=1)
FIRST, SECOND = (digest(f"{KEY}/{title}")[:10] for title in ("Newsletter", "Events"))
NOBODYS = {"newsletter": "0123456789", "mailings": "f" * 32}
UNREADABLE, FAULT_THERE = "an answer that is not of the documented shape", "a fault at the processor"
BLOCKED = "blocked before the processor: the answer is not its own"
MEMBER = {
    "newsletter": {"method": "GET", "template": "/lists/{list_id}/members/{subscriber_hash}"},
    "mailings": {"method": "GET", "template": "/subscribers/{list_id}"},
}
OPENING = {"newsletter": {"template": "/ping"}, "mailings": {"template": "/systemdate"}}
VENDORS = pytest.mark.parametrize("name", ["newsletter", "mailings"])
Run = Callable[..., str]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """What a command prints, beside the worker; on one line."""

    def command(there: Installation, *argv: str) -> str:
        for key, value in there.environ.items():
            monkeypatch.setenv(key, value)
        capsys.readouterr()
        main(["--config", str(there.folder / "dpsync.toml"), *argv])
        seen = capsys.readouterr()
        return " ".join((seen.out + seen.err).split())

    return command


def vendor(there: Installation, name: str) -> Any:
    return there.sandbox if name == "newsletter" else there.sandbox.campaign_monitor


def filled(there: Installation, name: str, audiences: tuple[str, ...] = (FIRST, SECOND)) -> None:
    """Ada is in two lists; at Mailchimp in those audiences."""
    if name == "newsletter":
        for audience in audiences:
            there.sandbox.add(ADA, list_id=audience)
    else:
        for title in ("News", "Talks"):
            there.sandbox.campaign_monitor.add(ADA, client="One", title=title)


def section(name: str, more: str = "") -> str:
    return (NEWSLETTER if name == "newsletter" else MAILINGS) + more


def told(there: Installation, name: str) -> set[str]:
    return {place for place, how in vendor(there, name).holds(ADA) if how in {"unsubscribed", "Unsubscribed"}}


def mended(there: Installation, name: str, asked: Asked, *, decided: bool) -> None:
    """Nothing was lost: after a person's word, or by itself, it is done and seen to be so."""
    if decided:
        retry(there, asked)
    there.drive(HOUR)
    assert there.state(asked, name) is State.VERIFIED
    assert len(told(there, name)) >= 2
    there.sound()


def test_an_audience_that_no_longer_exists_is_named_to_the_operator_and_the_others_are_told(
    tmp_path: Path, run: Run
) -> None:
    both = section("newsletter", f'audiences = ["{FIRST}", "{SECOND}"]\n')
    with installed(tmp_path, sqlite_url(tmp_path), processors=both) as there:
        filled(there, "newsletter")
        held = there.sandbox.there(lambda one: one.accounts[KEY].audiences)
        gone = held.pop(FIRST)
        asked = there.ask(Right.OPT_OUT, ADA)
        there.drive()
        assert there.state(asked) is State.PENDING
        assert there.alerts() == [("operator", "misplaced")]
        assert told(there, "newsletter") == {SECOND}
        assert "a configured audience does not exist: `dpsync check` names it" in run(there, "status", asked.id)
        assert f"does not exist: `dpsync check` names it (404 to GET /lists/{{list_id}}, {FIRST})" in run(
            there, "check"
        )
        held[FIRST] = gone
        mended(there, "newsletter", asked, decided=False)


def test_a_list_that_no_longer_exists_is_the_operators_and_the_others_are_told(tmp_path: Path, run: Run) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=section("mailings")) as there:
        filled(there, "mailings")
        body = '{"Code": 101, "Message": "Invalid ListID"}'
        there.sandbox.campaign_monitor.fault("status", status=401, body=body, **MEMBER["mailings"])
        asked = there.ask(Right.OPT_OUT, ADA)
        there.drive()
        assert there.state(asked, "mailings") is State.PENDING
        assert there.alerts() == [("operator", "misplaced")]
        assert "a list or client that does not exist or is not ours" in run(there, "status", asked.id)
        assert TALKS in told(there, "mailings")
        there.sandbox.campaign_monitor.vendor.accounts["main"].clients[ONE].lists.pop(NEWS)
        there.sandbox.campaign_monitor.add(ADA, client="One", title="Walks")
        mended(there, "mailings", asked, decided=False)


@VENDORS
def test_a_foreign_id_in_the_settings_is_the_operators_and_check_names_it(name: str, tmp_path: Path, run: Run) -> None:
    setting = f'audiences = ["{FIRST}", ' if name == "newsletter" else f'clients = ["{ONE}", '
    foreign = section(name, f'{setting}"{NOBODYS[name]}"]\n')
    with installed(tmp_path, sqlite_url(tmp_path), processors=foreign) as there:
        filled(there, name, (FIRST,))
        asked = there.ask(Right.OPT_OUT, ADA)
        there.drive()
        assert there.state(asked, name) is State.PENDING
        assert there.alerts() == [("operator", "misplaced")]
        assert [row.stopped for row in there.rows(t.account)] == [""]
        assert told(there, name)
        assert "does not exist" in run(there, "status", asked.id)
        assert NOBODYS[name] in run(there, "check")
        vendor(there, name).there(lambda one: gives_us(one, NOBODYS[name]))
        mended(there, name, asked, decided=False)


def gives_us(one: Mailchimp | CampaignMonitor, place: str) -> None:
    """Whose it is lets us see it, and Ada is there too."""
    if isinstance(one, Mailchimp):
        held = audience_of(one.accounts[KEY], place, "Third", one.now())
        held.add(ADA, "subscribed", {}, "2026-11-20T09:00:00+00:00")
    else:
        one.accounts["main"].clients[place] = Client(place, "Three")


@VENDORS
def test_a_revoked_key_stops_the_account_and_says_so_and_resuming_completes_it(
    name: str, tmp_path: Path, run: Run
) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=section(name)) as there:
        filled(there, name)
        vendor(there, name).there(revoke)
        asked = there.ask(Right.OPT_OUT, ADA)
        there.drive()
        assert (there.state(asked, name), there.row(asked, name).attempts) == (State.PENDING, 0)
        assert there.alerts() == [("operator", "credential")]
        said = run(there, "status", asked.id)
        assert f"{name} is stopped because it rejected our credential" in said
        assert f"`dpsync resume {name}`" in said
        assert "DP-212 the processor rejected our credential (401 to GET /" in run(there, "check")
        vendor(there, name).there(restore)
        run(there, "resume", name)
        mended(there, name, asked, decided=False)


def revoke(one: Mailchimp | CampaignMonitor) -> None:
    if isinstance(one, Mailchimp):
        one.accounts[KEY].keys = ()
    else:
        one.accounts["main"].keys = ()


def restore(one: Mailchimp | CampaignMonitor) -> None:
    if isinstance(one, Mailchimp):
        one.open_account(KEY, (KEY,))
    else:
        one.open_account("main", ("sandbox-campaign-monitor-key",))


@VENDORS
@pytest.mark.parametrize(
    ("kind", "more", "why", "check"),
    [
        ("error_inside_200", {}, UNREADABLE, f"DP-211 {{}}: {UNREADABLE}"),
        ("truncated_json", {}, UNREADABLE, f"DP-211 {{}}: {UNREADABLE}"),
        ("deep_json", {"size": 10_000}, UNREADABLE, f"DP-211 {{}}: {UNREADABLE}"),
        ("html_200", {}, BLOCKED, f"DP-214 {{}}: {BLOCKED}"),
        ("html_502", {}, FAULT_THERE, f"DP-214 {{}}: {BLOCKED}"),
        ("status", {"status": 404, "body": "<html>Not Found</html>"}, BLOCKED, f"DP-214 {{}}: {BLOCKED}"),
        ("status", {"status": 400, "body": "<html>Bad Request</html>"}, BLOCKED, f"DP-214 {{}}: {BLOCKED}"),
    ],
)
def test_an_answer_of_another_shape_is_never_believed_and_says_what_it_is(
    name: str, kind: str, more: dict[str, Any], why: str, check: str, tmp_path: Path, run: Run
) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=section(name)) as there:
        filled(there, name)
        for place in (MEMBER[name], OPENING[name]):
            vendor(there, name).fault(kind, times=None, **place, **more)
        asked = there.ask(Right.OPT_OUT, ADA)
        there.drive()
        assert there.state(asked, name) is State.PENDING
        assert there.alerts() == []
        assert told(there, name) == set()
        assert why in run(there, "status", asked.id)
        checked = run(there, "check")
        assert check.format("Mailchimp" if name == "newsletter" else "Campaign Monitor") in checked
        assert f" to GET {OPENING[name]['template']}" in checked
        vendor(there, name).clear_faults()
        mended(there, name, asked, decided=False)
