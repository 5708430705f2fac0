"""`dpsync hooks` before the imitated vendors: registered once everywhere, read back, and one of them arrives."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
from sqlalchemy import insert

from dpsync.__main__ import main as dpsync
from dpsync.cli.check_hooks import hook_lines
from dpsync.cli.check_lines import CheckResult
from dpsync.connectors.mailchimp.hooks import URL_REFUSED
from dpsync.intake import vendor_hooks
from dpsync.intake.vendor_hooks import HookState, OurHook, VendorHooks, is_good
from dpsync.propagation.resuming import pause
from dpsync.running import hook_health
from dpsync.store import tables as t
from tests.journeys.installation import EVENTS, INBOUND, KEY, NEWSLETTER, Installation, installed
from tests.waiting import until

pytestmark = pytest.mark.no_database

SECRET_LINE = 'inbound_secret = { env = "DPSYNC_TEST_INBOUND" }\n'
HEARS = NEWSLETTER + SECRET_LINE.replace("{", "{{").replace("}", "}}")
ADA = "ada@example.org"
THEIRS = "https://sync.example.org/hook?key=theirs"
HOOK = "/lists/{list_id}/webhooks"


class Hooks:
    """An installation whose receiver answers, and the vendor's own API."""

    def __init__(self, there: Installation) -> None:
        self.there = there
        self.url = f"{there.url}/in/newsletter/{INBOUND}"
        self.audiences = there.sandbox.audiences()

    def api(self, method: str, audience: str, path: str, **body: Any) -> Any:
        url = f"{self.there.sandbox.addresses.mailchimp_url}/lists/{audience}{path}"
        answer = requests.request(method, url, json=body, auth=("x", KEY), timeout=60)
        assert answer.ok, answer.text
        return answer.json() if answer.content else None

    def kept(self) -> list[tuple[str, str]]:
        """(audience, URL) of every webhook there."""
        return [
            (audience, one["url"])
            for audience in self.audiences
            for one in self.api("GET", audience, "/webhooks")["webhooks"]
        ]

    @property
    def hooks(self) -> VendorHooks:
        return VendorHooks(self.there.service, "newsletter")

    def plant(self, url: str, **events: bool) -> None:
        """Somebody registers one by hand in the first audience, whether anybody answers there or not."""
        made = {"url": self.there.url + "/healthz", "events": events, "sources": {"user": True, "admin": True}}
        name = self.api("POST", self.audiences[0], "/webhooks", **made)["id"]
        self.there.sandbox.there(lambda vendor: setattr(vendor.held.hooks[name], "url", url))


@contextmanager
def opened(folder: Path, database_url: str, processors: str = HEARS) -> Iterator[Hooks]:
    with installed(folder, database_url, processors=processors, web=True) as there:
        yield Hooks(there)


@pytest.fixture
def place(tmp_path: Path, database_url: str) -> Iterator[Hooks]:
    with opened(tmp_path, database_url) as made:
        yield made


def states(found: list[OurHook]) -> list[HookState]:
    return [one.state for one in found]


def test_it_is_registered_once_in_every_audience_and_an_opt_out_there_arrives(place: Hooks) -> None:
    every = len(place.audiences)
    assert every > 1
    assert states(place.hooks.listed()) == [HookState.MISSING] * every
    assert place.kept() == [], "a look changes nothing"
    assert states(place.hooks.registered()) == [HookState.REGISTERED] * every
    assert place.kept() == [(audience, place.url) for audience in place.audiences]
    before = place.there.sandbox.calls()
    assert is_good(place.hooks.registered())
    assert place.kept() == [(audience, place.url) for audience in place.audiences]
    assert place.there.sandbox.calls() > before
    place.there.sandbox.add(ADA, list_id=place.audiences[0])
    place.there.sandbox.act(ADA, "unsubscribe")
    until(lambda: place.there.rows(t.request))
    assert [(row.source, row.right) for row in place.there.rows(t.request)] == [("observed:newsletter", "opt_out")]
    place.there.sound()


@pytest.mark.no_database
def test_one_of_ours_that_is_of_no_use_is_changed_and_one_of_somebody_else_is_left_alone(place: Hooks) -> None:
    place.plant(THEIRS, unsubscribe=True)
    place.plant(place.url, subscribe=True)
    first = place.hooks.listed()[0]
    assert (first.state, first.others) == (HookState.DEAF, 1)
    assert is_good(place.hooks.registered())
    audience = place.audiences[0]
    assert [url for at, url in place.kept() if at == audience] == [THEIRS, place.url]
    for one in place.api("GET", audience, "/webhooks")["webhooks"][1:]:
        place.api("DELETE", audience, f"/webhooks/{one['id']}")
    place.plant(f"{place.there.url}/in/newsletter/an-older-secret", unsubscribe=True)
    assert place.hooks.listed()[0].state is HookState.OUTDATED
    assert is_good(place.hooks.registered())
    assert [url for at, url in place.kept() if at == audience] == [THEIRS, place.url]


@pytest.mark.no_database
def test_where_the_vendor_does_not_reach_the_address_it_says_what_it_wants(place: Hooks) -> None:
    hooks = place.hooks
    hooks._url = f"{place.there.url}/in/newsletter/a-secret-that-the-service-does-not-have"
    found = hooks.registered()
    assert {(one.state, one.why) for one in found} == {(HookState.MISSING, URL_REFUSED)}
    assert place.kept() == []


@pytest.mark.no_database
def test_what_is_refused_in_one_audience_keeps_no_other_from_being_registered(place: Hooks) -> None:
    place.there.sandbox.fault("status", status=500, times=1, method="POST", template=HOOK)
    first, *others = place.hooks.registered()
    assert (first.state, first.why) == (HookState.MISSING, "a fault at the processor")
    assert is_good(others)
    assert is_good(place.hooks.registered()), "the next time does the rest"


@pytest.mark.no_database
def test_a_yes_that_the_vendor_does_not_show_afterwards_is_none(place: Hooks, monkeypatch: pytest.MonkeyPatch) -> None:
    hooks = place.hooks
    monkeypatch.setattr(type(hooks._connector), "register_hook", lambda *_: None)
    assert {(one.state, one.why) for one in hooks.registered()} == {(HookState.MISSING, vendor_hooks.NOT_SO)}


@pytest.mark.no_database
def test_a_test_goes_through_our_own_public_address_and_is_nobodys_wish(place: Hooks) -> None:
    assert not is_good(place.hooks.tried()), "nothing is registered"
    place.hooks.registered()
    found = place.hooks.tried()
    assert {(one.tried, one.arrived) for one in found} == {(vendor_hooks.NO_TEST, True)}
    assert place.there.rows(t.request) == []


@pytest.mark.no_database
def test_a_public_address_where_dpsync_does_not_answer_fails_the_test(place: Hooks) -> None:
    place.hooks.registered()
    section = place.there.service.settings.intake
    for url, said in (("/elsewhere", "answers 404"), ("", "does not answer")):
        hooks = place.hooks
        hooks._url = f"{place.there.url}{url}/in/newsletter/{INBOUND}" if url else "http://127.0.0.1:9/in/newsletter/x"
        assert said in hooks._trouble_of_our_own()
    assert section.public_url == place.there.url


class TakesAll(BaseHTTPRequestHandler):
    """A portal that says yes to whatever is sent there."""

    def do_POST(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.mark.no_database
def test_somebody_who_takes_whatever_is_sent_there_is_not_dpsync(place: Hooks) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), TakesAll)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        hooks = place.hooks
        hooks._ours = f"http://127.0.0.1:{server.server_port}/in/newsletter/"
        hooks._url = hooks._ours + INBOUND
        assert hooks._trouble_of_our_own() == vendor_hooks.ELSEWHERE
    finally:
        server.shutdown()
        thread.join(60)
        server.server_close()


@pytest.mark.no_database
def test_where_a_setting_is_missing_or_the_account_is_stopped_it_says_so_and_calls_nobody(
    tmp_path: Path, database_url: str
) -> None:
    with opened(tmp_path, database_url, NEWSLETTER) as place:
        assert [one.why for one in place.hooks.registered()] == [vendor_hooks.NO_SECRET]
        place.there.restart(("[processors.newsletter]\n", f"[processors.newsletter]\n{SECRET_LINE}"))
        stopped = insert(t.account).values(id="newsletter", stopped="person")
        place.there.service.write(lambda unit: unit.connection.execute(stopped) and None)
        before = place.there.sandbox.calls()
        assert [one.why for one in [*place.hooks.registered(), *place.hooks.tried()]] == [vendor_hooks.STOPPED] * 2
        assert place.there.sandbox.calls() == before


@pytest.mark.no_database
def test_a_vendor_that_cannot_be_asked_is_not_known(place: Hooks) -> None:
    place.there.sandbox.fault("status", status=500, times=99, method="GET", template=HOOK)
    (one,) = place.hooks.listed()
    assert (one.place, one.state, one.why) == ("", HookState.UNKNOWN, "a fault at the processor")
    place.there.sandbox.clear_faults()
    place.there.sandbox.fault("status", status=401, times=99)
    (one,) = place.hooks.listed()
    assert (one.state, one.why) == (HookState.UNKNOWN, vendor_hooks.REJECTED)


@pytest.mark.no_database
def test_the_commands_say_it_in_words_and_by_their_code_and_never_show_the_secret(
    place: Hooks, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in place.there.environ.items():
        monkeypatch.setenv(name, value)
    config = ["--config", str(place.there.folder / "dpsync.toml"), "hooks"]
    assert dpsync([*config, "list"]) == 2
    assert capsys.readouterr().out.count("not registered") == len(place.audiences)
    dpsync([*config[:2], "check"])
    assert "processor newsletter, webhooks" in capsys.readouterr().out
    assert dpsync([*config, "register", "newsletter"]) == 0
    assert dpsync([*config, "test"]) == 0
    assert dpsync([*config, "list", "--json"]) == 0
    seen = capsys.readouterr()
    assert INBOUND not in seen.out + seen.err
    assert "`dpsync hooks test` shows whether one arrives." in seen.err
    said = json.loads(seen.out[seen.out.index("{") :])
    assert {one["state"] for one in said["hooks"]} == {"registered"}
    assert [one["place"] for one in said["hooks"]] == list(place.audiences)
    assert dpsync([*config, "list", "nobody"]) == 64


@pytest.mark.no_database
def test_whoever_has_no_such_webhook_is_listed_as_unheard_and_fails_nothing(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with opened(tmp_path, database_url, HEARS + EVENTS) as place:
        for name, value in place.there.environ.items():
            monkeypatch.setenv(name, value)
        config = ["--config", str(place.there.folder / "dpsync.toml"), "hooks"]
        place.hooks.registered()
        assert dpsync([*config, "list", "--json"]) == 0
        said = json.loads(capsys.readouterr().out)["hooks"]
        assert [(one["processor"], one["state"]) for one in said[-2:]] == [
            ("newsletter", "registered"),
            ("events", "none"),
        ]
        assert dpsync([*config, "list", "events"]) == 0
        assert vendor_hooks.UNHEARD in capsys.readouterr().out
        assert dpsync([*config, "test"]) == 0
        assert "events" not in capsys.readouterr().out
        assert dpsync([*config, "register", "events"]) == 64


@pytest.mark.no_database
def test_each_morning_the_operator_hears_of_one_that_is_lost_and_once_a_week(place: Hooks) -> None:
    there, clock = place.there, place.there.clock

    def told() -> list[tuple[str, str]]:
        hook_health.watch(there.service, clock.now())
        return [one for one in there.alerts() if one[1] == "hook-lost"]

    place.hooks.registered()
    assert told() == []
    (first, *_) = place.kept()
    name = place.api("GET", first[0], "/webhooks")["webhooks"][0]["id"]
    place.api("DELETE", first[0], f"/webhooks/{name}")
    assert told() == told() == [("operator", "hook-lost")]
    (alert,) = [one for one in there.told() if one.cause == "hook-lost"]
    assert all("not registered" in one and INBOUND not in one for one in alert.concerns)
    clock.advance(timedelta(days=3))
    assert len(told()) == 1, "not each morning anew"
    clock.advance(timedelta(days=4))
    assert len(told()) == 2
    place.hooks.registered()
    clock.advance(timedelta(days=8))
    assert len(told()) == 2
    there.sandbox.fault("status", status=500, times=99, method="GET", template=HOOK)
    assert len(told()) == 3, "nobody can say"
    there.service.write(lambda unit: pause(unit.connection, ["newsletter"]))
    clock.advance(timedelta(days=8))
    assert len(told()) == 3, "a stopped account is not asked"


@pytest.mark.no_database
def test_check_says_where_one_is_missing_and_asks_nobody_who_has_no_secret(place: Hooks) -> None:
    (line,) = hook_lines(place.there.service, ["newsletter"])
    assert (line.what, line.verdict, line.code) == ("processor newsletter, webhooks", CheckResult.PROBLEM, "DP-327")
    assert line.text == "in 2 lists of 2 not registered. See `dpsync hooks list newsletter`"
    assert list(hook_lines(place.there.service, [])) == [], "the processor's own line says what is wrong"
    place.hooks.registered()
    (line,) = hook_lines(place.there.service, ["newsletter"])
    assert (line.verdict, line.text) == (CheckResult.OK, "registered in 2 lists")
    place.there.sandbox.fault("status", status=500, times=99, method="GET", template=HOOK)
    (line,) = hook_lines(place.there.service, ["newsletter"])
    assert line.text.startswith("there not known: a fault at the processor.")
    place.there.restart((SECRET_LINE, ""))
    assert list(hook_lines(place.there.service, ["newsletter"])) == []
