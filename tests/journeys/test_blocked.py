"""Something before the processor answers in its place: a fact about the account, which its operator hears of in time.

No request is charged with it, none is refused by it, and all of them go on when the processor itself answers again.
"""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from dpsync.__main__ import main
from dpsync.connector import Applied, CannotTell, Retryable
from dpsync.model import Right, Rung, State
from dpsync.store import tables as t
from tests.builders import World, proof
from tests.journeys.installation import MAILINGS, NEWSLETTER, installed, sqlite_url

ADA = "ada@example.org"
MINUTE = timedelta(minutes=1)
BLOCKED = "blocked before the processor: the answer is not its own"
DENIED = "<HTML><HEAD><TITLE>Access Denied</TITLE></HEAD><BODY>You don't have permission to access this.</BODY></HTML>"
PAGES: dict[str, dict[str, Any]] = {
    "a firewall": {"kind": "status", "status": 403, "body": DENIED},
    "a proxy": {"kind": "status", "status": 407, "body": ""},
    "a portal": {"kind": "html_200"},
    "a redirect": {"kind": "redirect", "location": "https://portal.example/"},
    "a gateway": {"kind": "html_502"},
    "nothing": {"kind": "empty_500"},
    "a balancer": {"kind": "status", "status": 503, "body": '{"message": "Service Unavailable"}'},
    "a patient balancer": {"kind": "status", "status": 429, "body": "slow down", "retry_after": "86400"},
    "nobody's login": {"kind": "status", "status": 401, "body": '{"error": "unauthorized"}'},
    "nothing there": {"kind": "status_without_body", "status": 404},
}


@pytest.mark.parametrize(
    ("name", "page"), [*(("newsletter", page) for page in PAGES), ("mailings", "a portal"), ("mailings", "a firewall")]
)
def test_the_operator_hears_of_it_within_the_hour_and_nothing_is_charged_or_refused(
    name: str, page: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with installed(
        tmp_path, sqlite_url(tmp_path), processors=NEWSLETTER if name == "newsletter" else MAILINGS
    ) as there:
        vendor: Any = there.sandbox if name == "newsletter" else there.sandbox.campaign_monitor
        vendor.add(ADA, **({} if name == "newsletter" else {"client": "One", "title": "News"}))
        vendor.fault(**PAGES[page], times=None)
        asked = there.ask(Right.OPT_OUT, ADA)
        there.drive()
        for _ in range(4):
            assert there.alerts() == [], "a single one may be a limit"
            there.drive(10 * MINUTE)
        there.drive(20 * MINUTE)
        assert there.alerts() == [("operator", "blocked")]
        for _ in range(4):
            there.drive(10 * MINUTE)
        assert there.alerts() == [("operator", "blocked")], "one an account and day"
        row = there.row(asked, name)
        assert (row.state, row.attempts, row.reason) == (State.PENDING, 0, BLOCKED)
        assert [one.stopped for one in there.rows(t.account)] == [""]
        for key, value in there.environ.items():
            monkeypatch.setenv(key, value)
        capsys.readouterr()
        main(["--config", str(there.folder / "dpsync.toml"), "check"])
        assert f"DP-214 {'Mailchimp' if name == 'newsletter' else 'Campaign Monitor'}: {BLOCKED} (" in " ".join(
            capsys.readouterr().out.split()
        )
        vendor.clear_faults()
        there.drive(15 * MINUTE)
        assert there.state(asked, name) is State.VERIFIED
        assert there.row(asked, name).attempts == 1
        assert [one.blocked_since for one in there.rows(t.account)] == [None]
        there.sound()


@pytest.mark.no_database
def test_a_read_back_that_is_blocked_for_days_uses_none_of_its_readings_up(database_url: str, tmp_path: Path) -> None:
    with installed(tmp_path, database_url, processors=NEWSLETTER) as there:
        there.sandbox.add(ADA)
        asked = there.ask(Right.ERASURE, ADA)
        there.drive()
        there.sandbox.fault(**PAGES["a firewall"], times=None)
        there.drive(timedelta(days=31))
        for _ in range(12):
            there.drive(timedelta(hours=1))
        # the person has had no letter for a month: that is another thing
        assert [one for one in there.alerts() if one[1] != "letter-late"] == [("operator", "blocked")]
        assert there.row(asked).rereads == 0
        there.sandbox.clear_faults()
        there.drive(15 * MINUTE)
        assert there.row(asked).rung == Rung.STILL_VERIFIED
        there.sound()


# --- the account


def blocked() -> Retryable:
    return Retryable(reason="a page", evidence=proof(403), busy=True, blocked=True)


def test_an_answer_of_its_own_begins_the_hour_anew(world: World) -> None:
    world.vendors["alpha"].answers += [blocked(), Retryable(reason="own", evidence=proof(500)), blocked(), blocked()]
    world.ask(Right.ERASURE, ADA, id="1")
    for minutes in (0, 30, 30, 30):
        world.clock.advance(minutes * MINUTE)
        world.drive()
    assert world.rows(t.alert) == []
    world.vendors["alpha"].answers += [blocked()] * 4
    for _ in range(2):
        world.clock.advance(20 * MINUTE)
        world.drive()
    assert [row.cause for row in world.rows(t.alert)] == ["blocked"]


@pytest.mark.no_database
def test_each_account_is_told_of_and_two_processors_on_one_are_one(world: World) -> None:
    names = ("alpha", "beta", "gamma")
    world.use(*(world.processor(name, account="one" if name != "gamma" else "two") for name in names))
    for name in names:
        world.vendors[name].answers += [blocked()] * 40
    world.ask(Right.ERASURE, ADA, id="1")
    for _ in range(8):
        world.drive()
        world.clock.advance(16 * MINUTE)
    assert sorted(row.about for row in world.rows(t.alert_concern)) == ["one", "two"]


@pytest.mark.no_database
def test_one_that_alone_is_answered_so_keeps_no_other_from_being_told(world: World) -> None:
    vendor = world.vendors["alpha"]
    vendor.hold(*(f"p{number}@example.org" for number in range(12)))

    def poisoned(instruction: Any) -> Any:
        vendor.answers.insert(0, poisoned)
        if ADA in instruction.addresses:
            return blocked()
        vendor.do(instruction)
        return Applied(evidence=proof())

    vendor.answers.append(poisoned)
    asked = world.ask(Right.ERASURE, ADA, id="ada")
    world.clock.advance(MINUTE)
    others = [world.ask(Right.ERASURE, f"p{number}@example.org", id=str(number)) for number in range(12)]
    for _ in range(20):
        world.drive()
        world.clock.advance(MINUTE)
    assert {world.state(one) for one in others} == {State.VERIFIED}
    assert (world.state(asked), world.row(asked).attempts) == (State.PENDING, 0)


@pytest.mark.no_database
def test_a_doubt_that_cannot_be_read_because_of_a_block_waits_for_the_account(world: World) -> None:
    vendor = world.vendors["alpha"]
    vendor.hold(ADA)
    vendor.answers.append(Retryable(reason="cut", evidence=proof(None), doubtful=True))
    vendor.findings += [CannotTell(reason="a page", evidence=proof(403), later=True, blocked=True)] * 5
    asked = world.ask(Right.ERASURE, ADA, id="1")
    for _ in range(9):
        world.drive()
        assert [row.attempts for row in world.rows(t.lane)] in ([1], []), "the lane itself waits no longer"
        world.clock.advance(16 * MINUTE)
    assert world.state(asked) is State.VERIFIED
    assert [row.cause for row in world.rows(t.alert)] == ["blocked"]
