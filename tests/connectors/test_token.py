"""The rules of a token that is renewed, whichever vendor's: spent by one at a time, and durable before it is used."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl

import pytest
import requests
import responses

from dpsync.connector import Kit, Reply, Retryable, Shelf
from dpsync.errors import CredentialsRejected
from dpsync.http import HttpClient
from dpsync.store.shelf import StoredShelf
from dpsync.vendor.errors import Ended
from dpsync.vendor.token import RENEWING, RenewableToken, Token, TokenCall, TokenCalls, basic, instant, token_in
from tests.builders import World
from tests.connectors.contract import HTML, Hands, OpenShelf, Said, pseudonym

ANEW = "authorise it anew"
PAGE = Said(200, {"Content-Type": "text/html"}, HTML)


class Killed(BaseException):
    """The process ended here."""


def said(status: int, body: object) -> Said:
    return Said(status, {"Content-Type": "application/json"}, json.dumps(body).encode())


@dataclass
class Vendor:
    """Takes each refresh token once, and gives its successor with the new token."""

    instead: Said | BaseException | None = None
    refresh: str = "refresh-0"
    forms: list[dict[str, str]] = field(default_factory=list)
    before_it_answers: Callable[[], object] = lambda: None

    def answer(self, request: requests.PreparedRequest) -> Said:
        assert isinstance(request.body, bytes)
        form = dict(parse_qsl(request.body.decode()))
        self.forms.append(form)
        self.before_it_answers()
        if isinstance(self.instead, BaseException):
            raise self.instead
        if self.instead is not None:
            return self.instead
        if form.get("refresh_token", self.refresh) != self.refresh:
            return said(400, {"error": "invalid_grant"})
        given = {"access_token": f"access-{len(self.forms)}", "expires_in": 3600}
        if "refresh_token" in form:
            self.refresh = f"refresh-{len(self.forms)}"
            given["refresh_token"] = self.refresh
        return said(200, given)


class AtTheVendor(TokenCalls):
    def granted(self, reply: Reply) -> Token:
        self.demand_own(reply, writing=False)
        if reply.status in (400, 401):
            raise self.rejected(reply)
        self.demand_sense(reply, writing=False)
        return token_in(reply, self._kit.clock.now())


@dataclass
class Process:
    """One process: its token, and what it calls with."""

    kit: Kit
    token: RenewableToken

    def access(self, refused: str = "", *, over: bool = True) -> str:
        return self.token.access(AtTheVendor(self.kit, None), refused, over=over)

    def outcome(self, refused: str = "") -> Retryable:
        with pytest.raises(Ended) as caught:
            self.access(refused)
        assert caught.value.stop
        assert isinstance(caught.value.outcome, Retryable)
        return caught.value.outcome


@dataclass
class Desk:
    """Processes that share a vendor, a shelf and a clock."""

    http: HttpClient
    clock: Hands = field(default_factory=Hands)
    shelf: OpenShelf = field(default_factory=OpenShelf)

    def process(self, refresh: str = "refresh-0", *, shelf: Shelf | None = None, **more: Any) -> Process:
        kit = Kit(self.http, self.clock, pseudonym, shelf or self.shelf)
        call = TokenCall("https://vendor.example/token", "/token", {"grant_type": "any"})
        place = f"token/{pseudonym(refresh)}"
        first = Token(more.pop("access", ""), refresh=refresh)
        return Process(kit, RenewableToken(kit, place, call, first, anew=ANEW, **more))

    def kept(self, refresh: str = "refresh-0") -> Any:
        return json.loads(self.shelf.kept[f"token/{pseudonym(refresh)}"])


@contextmanager
def desk(vendor: Vendor) -> Iterator[Desk]:
    def answered(request: requests.PreparedRequest) -> Any:
        return tuple(vendor.answer(request))

    clock = Hands()
    with responses.RequestsMock(assert_all_requests_are_fired=False) as there, HttpClient(clock) as http:
        there.add_callback("POST", re.compile(".*"), answered, content_type=None)
        yield Desk(http, clock)


def spent(vendor: Vendor) -> list[str]:
    return [form["refresh_token"] for form in vendor.forms]


ONCE_OR_UNSAID = pytest.mark.parametrize("once", [True, False], ids=["good once", "nobody says"])
ANY = pytest.mark.parametrize(
    "section", [{}, {"once": False}, {"refresh": ""}], ids=["good once", "nobody says", "asked for freely"]
)


# --- kept


@ANY
def test_a_token_is_asked_for_once_by_all_threads_and_outlives_a_restart(section: dict[str, Any]) -> None:
    vendor = Vendor()
    with desk(vendor) as at, ThreadPoolExecutor(8) as pool:
        one = at.process(**section)
        assert set(pool.map(lambda _: one.access(), range(8))) == {"access-1"}
        assert at.process(**section).access() == "access-1"
    assert len(vendor.forms) == 1


@ANY
@pytest.mark.parametrize(("seconds", "asked"), [(3539, 1), (3540, 2)])
def test_it_is_used_until_a_minute_before_its_end(section: dict[str, Any], seconds: int, asked: int) -> None:
    vendor = Vendor()
    with desk(vendor) as at:
        one, other = at.process(**section), at.process(**section)
        one.access()
        at.clock.seconds += seconds
        assert one.token.lasts() is other.token.lasts() is (asked == 1)
        assert other.access() == one.access() == f"access-{asked}"
    assert len(vendor.forms) == asked


@ANY
def test_one_that_ends_at_once_is_given_to_the_call_that_asked_for_it(section: dict[str, Any]) -> None:
    given = {"access_token": "short", "expires_in": 0, "refresh_token": "refresh-1"}
    with desk(Vendor(said(200, given))) as at:
        assert at.process(**section).access() == "short"


def test_without_an_end_it_is_used_until_it_is_refused() -> None:
    vendor = Vendor(said(200, {"access_token": "a-1", "refresh_token": "refresh-1"}))
    with desk(vendor) as at:
        one = at.process()
        one.access()
        at.clock.seconds += 10**8
        assert one.access() == "a-1"
        vendor.instead = None
        vendor.refresh = "refresh-1"
        assert one.access(refused="a-1") == "access-2"


def test_the_next_renewal_is_made_with_the_refresh_token_that_the_last_one_gave() -> None:
    vendor = Vendor()
    with desk(vendor) as at:
        for _ in range(3):
            at.process().access()
            at.clock.seconds += 3600
    assert spent(vendor) == ["refresh-0", "refresh-1", "refresh-2"]


def test_where_nobody_says_whether_it_is_good_twice_it_stays_until_another_is_given() -> None:
    vendor = Vendor(said(200, {"access_token": "a", "expires_in": 9}))
    with desk(vendor) as at:
        at.process(once=False).access()
        at.process(once=False).access()
    assert spent(vendor) == ["refresh-0", "refresh-0"]


def test_a_new_token_is_on_the_shelf_before_it_is_used() -> None:
    class Full(OpenShelf):
        def swap(self, key: str, old: str | None, new: str) -> bool:
            if "access-1" in new:
                raise OSError("the disk is full")
            return super().swap(key, old, new)

    with desk(Vendor()) as at:
        one = at.process(shelf=Full())
        with pytest.raises(OSError, match="full"):
            one.access()


def test_the_successor_of_one_that_is_good_once_is_kept_whatever_became_of_the_mark() -> None:
    vendor = Vendor()
    with desk(vendor) as at:
        vendor.before_it_answers = lambda: at.shelf.put(f"token/{pseudonym('refresh-0')}", json.dumps({}))
        assert at.process().access() == at.process().access() == "access-1"
    assert spent(vendor) == ["refresh-0"]


def test_what_is_configured_anew_wins_over_what_is_kept() -> None:
    vendor = Vendor()
    with desk(vendor) as at:
        at.process().access()
        vendor.refresh = "refresh-9"
        assert at.process("refresh-9").access() == "access-2"
    assert spent(vendor) == ["refresh-0", "refresh-9"]


@pytest.mark.parametrize(
    "kept",
    [
        ["access-7", "refresh-7"],
        ["access-7", "refresh-7", ""],
        ["access-7", "refresh-7", "lost"],
        {"access": "access-7", "ends": "2026-11-20T10:00:00.000000+00:00", "refresh": "refresh-7", "begun": ""},
    ],
    ids=json.dumps,
)
def test_what_older_versions_left_on_the_shelf_is_understood(kept: object) -> None:
    vendor = Vendor(refresh="refresh-7")
    with desk(vendor) as at:
        at.shelf.put(f"token/{pseudonym('refresh-0')}", json.dumps(kept))
        one = at.process(once=False)
        assert one.access() == "access-7"
        assert one.access(refused="access-7") == "access-1"
    assert spent(vendor) == ["refresh-7"]


def test_nothing_shows_a_secret() -> None:
    call = TokenCall("https://vendor.example/token", "/token", {"client_secret": "s3cr3t"}, {"X": "s3cr3t"})
    with desk(Vendor()) as at:
        one = at.process()
        one.access()
        shown = f"{call!r} {Token('access-1', refresh='refresh-1')!r} {vars(one.token)!r}"
        assert not re.search("s3cr3t|access-|refresh-", shown + "".join(at.shelf.kept))
    assert basic("user", "s3cr3t") == "Basic dXNlcjpzM2NyM3Q="


# --- refused


def test_a_refused_token_is_renewed_once_for_all_who_used_it() -> None:
    vendor = Vendor()
    with desk(vendor) as at:
        one, other = at.process(), at.process()
        assert one.access() == other.access() == "access-1"
        assert one.access(refused="access-1") == "access-2"
        assert other.access(refused="access-1") == "access-2"
    assert len(vendor.forms) == 2


def test_one_that_is_refused_for_another_cause_is_renewed_only_where_a_renewal_was_left_open() -> None:
    vendor = Vendor()
    with desk(vendor) as at:
        one = at.process(access="access-0", once=False)
        assert one.access() == "access-0"
        assert one.access(refused="access-0", over=False) == "access-0"
        assert vendor.forms == []
        vendor.instead = said(500, {"error": "server_error"})
        one.outcome(refused="access-0")
        vendor.instead = None
        assert one.access() == "access-0", "it may be good still"
        assert one.access(refused="access-0", over=False) == "access-2"


# --- spent by one at a time


@ONCE_OR_UNSAID
def test_of_two_processes_that_renew_at_once_only_one_spends_the_refresh_token(world: World, *, once: bool) -> None:
    both, entered = threading.Barrier(2, timeout=60), threading.Event()

    def wait_for_the_other() -> None:
        entered.set()
        both.wait()

    vendor = Vendor(before_it_answers=wait_for_the_other)
    with desk(vendor) as at:
        shelves = [StoredShelf("inbox", world.engine, lambda: world.writer, world.keys, at.clock) for _ in range(2)]
        one, other = (at.process(shelf=shelf, once=once) for shelf in shelves)
        with ThreadPoolExecutor(1) as pool:
            winning = pool.submit(one.access)
            assert entered.wait(60)
            outcome = other.outcome()
            assert (outcome.reason, outcome.busy, outcome.doubtful) == (RENEWING, True, False)
            assert outcome.retry_after == timedelta(seconds=5)
            both.wait()
            assert winning.result() == "access-1"
        assert other.access() == "access-1"
    assert spent(vendor) == ["refresh-0"]


def test_whoever_else_has_changed_the_shelf_since_it_was_read_is_first() -> None:
    class Overtaken(OpenShelf):
        def swap(self, key: str, old: str | None, new: str) -> bool:
            return False

    vendor = Vendor()
    with desk(vendor) as at:
        assert at.process(shelf=Overtaken()).outcome().reason == RENEWING
    assert vendor.forms == []


@ONCE_OR_UNSAID
@pytest.mark.parametrize("seconds", [0, 300, 300.001])
def test_after_a_crash_others_wait_five_minutes_and_then_it_is_as_if_the_answer_was_lost(
    seconds: float, *, once: bool
) -> None:
    vendor = Vendor(Killed())
    with desk(vendor) as at:
        with pytest.raises(Killed):
            at.process(once=once).access()
        vendor.instead = None
        at.clock.seconds += seconds
        other = at.process(once=once)
        if seconds <= 300:
            assert other.outcome().reason == RENEWING
        elif once:
            with pytest.raises(CredentialsRejected, match=ANEW) as caught:
                other.access()
            assert (caught.value.endpoint, caught.value.status) == ("POST /token", None)
        else:
            assert other.access() == "access-2"
    assert spent(vendor) == ["refresh-0"] * (2 if seconds > 300 and not once else 1)


# --- the answer is lost

LOST: list[Said | Exception] = [
    requests.ReadTimeout(),
    said(500, {"error": "server_error"}),
    Said(502, {"Content-Type": "text/html"}, HTML),
    said(503, {"error": "temporarily_unavailable"}),
    said(200, {}),
    said(200, {"access_token": "", "expires_in": 9, "refresh_token": "refresh-1"}),
    said(201, {"access_token": "a", "expires_in": 9, "refresh_token": "refresh-1"}),
    said(418, {"error": "teapot"}),
]
NAMES = ["cut", "fault", "balancer", "busy", "empty", "blank", "another yes", "undocumented"]


@pytest.mark.parametrize(
    "lost",
    [*LOST, said(400, {"error": "invalid_grant"}), said(200, {"access_token": "a", "expires_in": 9})],
    ids=[*NAMES, "refused", "no successor"],
)
def test_one_that_is_good_once_is_never_sent_again_whatever_becomes_of_the_answer(lost: Said | Exception) -> None:
    vendor = Vendor(lost)
    with desk(vendor) as at:
        for seconds in (0, 1, 300, 3600):
            at.clock.seconds += seconds
            for one in (at.process(), at.process()):
                with pytest.raises(CredentialsRejected, match=ANEW) as caught:
                    one.access()
                assert caught.value.endpoint == "POST /token"
                vendor.instead = None
    assert spent(vendor) == ["refresh-0"]


@pytest.mark.parametrize("lost", LOST, ids=NAMES)
def test_where_nobody_says_that_it_is_good_once_it_is_tried_again_for_nothing_is_left_to_lose(
    lost: Said | Exception,
) -> None:
    vendor = Vendor(lost)
    with desk(vendor) as at:
        with pytest.raises(Ended) as caught:
            at.process(once=False).access()
        assert caught.value.stop
        assert not getattr(caught.value.outcome, "doubtful", False)
        vendor.instead = None
        assert at.process(once=False).access() == "access-2"
    assert spent(vendor) == ["refresh-0"] * 2


@pytest.mark.parametrize(
    "turned_away",
    [
        requests.ConnectionError(),
        said(429, {"error": "slow_down"}),
        Said(429, {}, b""),
        PAGE,
        PAGE._replace(status=403),
        Said(300, {"Content-Type": "application/json"}, HTML),
    ],
    ids=["not sent", "limit", "limit of another", "portal", "firewall", "gateway"],
)
def test_one_that_surely_was_not_taken_is_sent_later(turned_away: Said | Exception) -> None:
    vendor = Vendor(turned_away)
    with desk(vendor) as at:
        assert not at.process().outcome().doubtful
        assert at.kept() == {"access": "", "ends": "", "refresh": "refresh-0", "begun": ""}
        vendor.instead = None
        assert at.process().access()


def test_what_is_asked_for_freely_is_asked_for_again_after_any_failure() -> None:
    for lost in LOST:
        vendor = Vendor(lost)
        with desk(vendor) as at:
            with pytest.raises(Ended):
                at.process("").access()
            vendor.instead = None
            assert at.process("").access() == "access-2"
        assert vendor.forms == [{"grant_type": "any"}] * 2


# --- the answer


@pytest.mark.parametrize("seconds", ["3600", [], {}])
def test_an_end_that_is_no_number_is_not_understood(seconds: object) -> None:
    with desk(Vendor(said(200, {"access_token": "a", "expires_in": seconds}))) as at:
        assert not at.process("").outcome().doubtful


@pytest.mark.parametrize("seconds", [-5, 0, 1e300])
def test_an_end_out_of_all_reason_is_harmless(seconds: float) -> None:
    vendor = Vendor(said(200, {"access_token": "a", "expires_in": seconds}))
    with desk(vendor) as at:
        assert at.process("").access() == "a"
        assert at.process("").token.lasts() is (seconds > 0)


@pytest.mark.parametrize(
    ("seconds", "lasts"), [(None, None), (-5, 0), (0, 0), (3600, 3600), (10_000_000, 10_000_000), (1e12, 10_000_000)]
)
def test_a_token_ends_when_it_is_said_to_and_after_four_months_at_the_latest(
    seconds: float | None, lasts: float | None
) -> None:
    given = {"access_token": "access-1"} | ({} if seconds is None else {"expires_in": seconds})
    vendor = Vendor(instead=said(200, given))
    with desk(vendor) as there:
        there.process("").access()
        ends = "" if lasts is None else instant(there.clock.now() + timedelta(seconds=lasts))
        assert there.kept("")["ends"] == ends


def test_a_token_that_lasts_is_used_without_a_look_at_the_shelf() -> None:
    class Once(OpenShelf):
        looks = 0

        def get(self, key: str) -> str | None:
            self.looks += 1
            return super().get(key)

    shelf = Once()
    with desk(Vendor()) as there:
        process = there.process(shelf=shelf)
        process.access()
        looked = shelf.looks
        process.token.access(AtTheVendor(process.kit, None))
    assert shelf.looks == looked


def test_a_pair_that_another_process_got_meanwhile_is_not_written_over_where_both_are_good() -> None:
    theirs = json.dumps({"access": "access-9", "ends": "", "refresh": "refresh-9", "begun": ""})
    place = f"token/{pseudonym('refresh-0')}"
    vendor = Vendor()
    with desk(vendor) as there:
        vendor.before_it_answers = lambda: there.shelf.put(place, theirs)
        there.process(once=False).access()
        assert there.shelf.get(place) == theirs
