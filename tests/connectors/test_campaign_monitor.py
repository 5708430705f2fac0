"""Campaign Monitor: the shared contract, and each trap of this vendor under its name."""

import base64
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, ClassVar
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
import requests
from pydantic import ValidationError

from dpsync.connector import (
    Applied,
    AsAsked,
    CannotTell,
    Connector,
    Contradicts,
    HandOver,
    Kit,
    NothingHeld,
    Outcome,
    Recipient,
    Refused,
    Retryable,
)
from dpsync.connectors.campaign_monitor import NO_CLIENTS, NO_LISTS, CampaignMonitor
from dpsync.connectors.campaign_monitor.calls import NOT_AGENCY, NOT_OURS, VALUE_REJECTED, CampaignMonitorSettings
from dpsync.connectors.campaign_monitor.leaving import REACH_ALL, REACH_PART, REACH_UNKNOWN
from dpsync.errors import CredentialsRejected, ProcessorUnreachable
from dpsync.model import Changes, Lifted, Right
from dpsync.vendor.errors import BLOCKED, DENIED, OUR_FAULT, UNDOCUMENTED
from tests.connectors.contract import (
    HTML,
    NEW,
    OLD,
    SECRET,
    SPELT,
    Hands,
    HttpContract,
    HttpStage,
    OpenShelf,
    Said,
    assert_clean,
    built_in_a_rehearsal_only,
    instruction,
    pseudonym,
)
from tests.connectors.held import Held

ONE, TWO = "c1" * 16, "c2" * 16
NEWS, EVENTS, SHOP = "a1" * 16, "a2" * 16, "a3" * 16
PATH = re.compile(r"/api/v3\.3/(\w+)(?:/([0-9a-f]{32}))?(?:/(\w+))?\.json")
STATES = ("Active", "Unconfirmed", "Unsubscribed", "Bounced", "Deleted", "Spam", "Suppressed")
SILENT = STATES[2:]
LIFTED = Lifted(date(2026, 11, 19), "letter")
FIELDS = {"city": ("City", "Text"), "seen": ("Visit date", "Date"), "interests": ("Interests", "MultiSelectMany")}
"""Name and type by personalisation tag, which need not look like the name."""


def plain(address: str) -> str:
    """As the vendor is taken to compare: capitals aside, to the letter."""
    return address.lower()


def said(status: int, body: object = None) -> Said:
    content = b"" if body is None else json.dumps(body).encode()
    return Said(status, {"Content-Type": "application/json; charset=utf-8"}, content)


def no(code: int, status: int = 400) -> Said:
    return said(status, {"Code": code, "Message": f"{OLD} is not what we wanted"})


def person(address: str = OLD, state: str = "Active", name: str = "Ada Canary", **fields: object) -> dict[str, Any]:
    given = fields or {"City": "Kent"}
    rows = [
        {"Key": key.replace("_", " "), "Value": value}
        for key, values in given.items()
        for value in (values if isinstance(values, list) else [values])
    ]
    return {"EmailAddress": address, "Name": name, "State": state, "CustomFields": rows, "ReadsEmailWith": "Gmail"}


@dataclass
class Book:
    """One list: how far an unsubscribe reaches, and its records by address."""

    people: dict[str, dict[str, Any]]
    reach: str = "AllClientLists"


def book(*people: dict[str, Any], reach: str = "AllClientLists") -> Book:
    return Book({plain(one["EmailAddress"]): one for one in people}, reach)


@dataclass
class StandIn:
    """Answers as the vendor note says, for as much of the API as the connector uses."""

    clients: dict[str, dict[str, Book]]
    suppressed: dict[str, list[str]] = field(default_factory=dict)
    order: Callable[[str], str] = str
    writes: list[tuple[str, str, Any]] = field(default_factory=list)
    reads: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for client in self.clients:
            self.suppressed.setdefault(client, [])

    def state(self) -> object:
        books = {place: one.people for lists in self.clients.values() for place, one in lists.items()}
        return json.loads(json.dumps([books, self.suppressed]))

    def holds(self) -> Iterator[Held]:
        for client, lists in self.clients.items():
            suppressed = set(map(plain, self.suppressed[client]))
            for place, one in lists.items():
                for who, record in one.people.items():
                    first, _, last = record["Name"].partition(" ")
                    fields = {row["Key"]: row["Value"] for row in record["CustomFields"]}
                    free, used = record["State"] not in SILENT, who not in suppressed
                    yield Held(place, record["EmailAddress"], first, last, fields, mailed=free and used, used=used)

    def hold(self, records: Iterable[Held]) -> None:
        for client, lists in self.clients.items():
            here = [one for one in records if one.place in lists]
            self.suppressed[client] = sorted({one.address for one in here if not one.used})
            for place, held in lists.items():
                held.people = book(*(self.made(one) for one in here if one.place == place)).people

    def made(self, one: Held) -> dict[str, Any]:
        name = f"{one.first_name} {one.last_name}".strip()
        return person(one.address, "Active" if one.mailed else "Unsubscribed", name, **one.fields)

    def answer(self, request: requests.PreparedRequest) -> Said:
        url = urlsplit(request.url or "")
        found = PATH.fullmatch(url.path)
        assert found, "every path ends in .json"
        body = json.loads(request.body) if request.body and request.body.strip() else None
        asked = {name: values[0] for name, values in parse_qs(url.query).items()}
        if request.method == "GET":
            self.reads.append(found[3] or found[1])
        else:
            self.writes.append((str(request.method), found[3] or found[1], body))
        kind, place, deed = found.groups()
        if kind == "systemdate":
            return said(200, {"SystemDate": "2026-11-22 09:03:00"})
        if place is None:
            return said(200, [{"ClientID": one, "Name": f"Client {one[:2]}"} for one in self.clients])
        if kind == "clients":
            return self.client(place, deed, asked, body) if place in self.clients else no(102, 401)
        held = {name: one for lists in self.clients.values() for name, one in lists.items()}
        if place not in held:
            return no(101, 401)
        if kind == "lists":
            return self.one_list(place, deed, held[place])
        return self.subscriber(place, held[place], str(request.method), deed, asked, body)

    def one_list(self, place: str, deed: str | None, held: Book) -> Said:
        if deed == "customfields":
            rows = [{"FieldName": name, "Key": f"[{tag}]", "DataType": kind} for tag, (name, kind) in FIELDS.items()]
            return said(200, rows)
        return said(200, {"ListID": place, "Title": "News", "UnsubscribeSetting": held.reach})

    def client(self, client: str, deed: str | None, asked: Mapping[str, str], body: Any) -> Said:
        lists, suppressed = self.clients[client], self.suppressed.setdefault(client, [])
        match deed:
            case "lists":
                return said(200, [{"ListID": place, "Name": "News"} for place in lists])
            case "listsforemail":
                rows = [
                    {"ListID": place, "ListName": "News", "SubscriberState": one.people[who]["State"]}
                    for place, one in lists.items()
                    if (who := plain(asked["email"])) in one.people
                ]
                return said(200, rows)
            case "suppress":
                new = [one for one in body["EmailAddresses"] if plain(one) not in map(plain, suppressed)]
                suppressed += new
                return said(200)
            case "unsuppress":
                left = [one for one in suppressed if plain(one) != plain(asked["email"])]
                if len(left) == len(suppressed):
                    return no(176)
                self.suppressed[client] = left
                return said(200)
            case _:
                return self.page(suppressed, asked)

    def page(self, suppressed: list[str], asked: Mapping[str, str]) -> Said:
        assert (asked["orderfield"], asked["orderdirection"]) == ("email", "asc")
        size, number = int(asked["pagesize"]), int(asked["page"])
        rows = sorted(suppressed, key=self.order)[size * (number - 1) : size * number]
        results = [{"SuppressionReason": "Unsubscribed", "EmailAddress": one, "State": "Suppressed"} for one in rows]
        return said(
            200,
            {
                "Results": results,
                "PageNumber": number,
                "PageSize": size,
                "RecordsOnThisPage": len(rows),
                "TotalNumberOfRecords": len(suppressed),
                "NumberOfPages": -(-len(suppressed) // size),
            },
        )

    def subscriber(
        self, place: str, held: Book, method: str, deed: str | None, asked: Mapping[str, str], body: Any
    ) -> Said:
        who = plain(asked["email"] if "email" in asked else body["EmailAddress"])
        if who not in held.people:
            return no(203)
        record = held.people[who]
        if method == "GET":
            return said(200, record)
        if method == "DELETE":
            record["State"] = "Deleted"
            return said(200)
        if deed == "unsubscribe":
            return self.unsubscribe(place, held, who)
        return self.change(held, who, body)

    def unsubscribe(self, place: str, held: Book, who: str) -> Said:
        client = next(name for name, lists in self.clients.items() if place in lists)
        if held.reach == "OnlyThisList":
            held.people[who]["State"] = "Unsubscribed"
            return said(200)
        for one in self.clients[client].values():
            if who in one.people and one.people[who]["State"] in ("Active", "Unconfirmed"):
                one.people[who]["State"] = "Unsubscribed"
        self.client(client, "suppress", {}, {"EmailAddresses": [who]})
        return said(200)

    def change(self, held: Book, who: str, body: Any) -> Said:
        record = held.people[who]
        if body.get("ConsentToTrack") != "Unchanged":
            return no(214)
        new = plain(body.get("EmailAddress") or who)
        if new != who and new in held.people:
            return no(201)
        record["EmailAddress"] = body.get("EmailAddress") or record["EmailAddress"]
        record["Name"] = body.get("Name") or record["Name"]
        # an update knows a field by its tag, and passes over what it does not know
        given = [(FIELDS[entry["Key"]][0], entry) for entry in body.get("CustomFields", []) if entry["Key"] in FIELDS]
        record["CustomFields"] = [row for row in record["CustomFields"] if row["Key"] not in dict(given)]
        record["CustomFields"] += [
            {"Key": name, "Value": entry["Value"].replace("/", "-")} for name, entry in given if not entry.get("Clear")
        ]
        if body["Resubscribe"]:
            record["State"] = "Active"
        held.people[new] = held.people.pop(who)
        return said(200)

    def erase_in_the_web_app(self, address: str) -> None:
        """What a person does there: the one erasure there is."""
        for lists in self.clients.values():
            for one in lists.values():
                one.people.pop(plain(address), None)


def vendor(news: Book | None = None, events: Book | None = None, shop: Book | None = None) -> StandIn:
    """Two clients: the first with two lists, the second with one."""
    return StandIn({ONE: {NEWS: news or book(), EVENTS: events or book()}, TWO: {SHOP: shop or book()}})


class Keeps(HttpContract):
    """The contract for the rights that the API carries out to the end; not collected by its name."""

    connector = CampaignMonitor
    section: ClassVar[Mapping[str, object]] = {"api_key": SECRET}
    rights: ClassVar[tuple[Right, ...]] = (Right.RECTIFICATION, Right.RESTRICTION, Right.OPT_OUT)
    places = (NEWS, EVENTS, SHOP)
    text_field = "City"
    by_hand: ClassVar[Mapping[str, str]] = dict.fromkeys(("first_name", "last_name"), "a first or last name alone")
    # an empty body is this vendor's documented yes to a write, and `[]` its documented "no such list"
    unreadable: ClassVar[tuple[bytes, ...]] = (HTML, b'{"id": "6', b"{}", b'"ok"', b"null", b"[" * 10_000)

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "right" in metafunc.fixturenames:
            metafunc.parametrize("right", self.rights, ids=str)

    def vendor(self, right: Right, *, held: bool) -> StandIn:
        return vendor(book(person(self.address), reach="OnlyThisList") if held else None)

    def refusal(self, status: int) -> Said:
        return no(100 if status in (401, 403) else 999, status)

    def error(self, status: int, code: int | str) -> Said:
        return no(int(code), status)

    def refusals(self) -> Iterator[Said]:
        """By its numbers, as the reference has them for these calls."""
        yield from map(no, (999, 1, 176, 201, 203, 204, 205, 211, 221))
        yield no(101, 401)

    def built(self, kit: Kit) -> Connector:
        return CampaignMonitor(CampaignMonitorSettings.model_validate(self.section), kit, sleep=lambda _: None)


class TestCampaignMonitor(Keeps):
    def test_every_call_is_https_and_carries_a_credential_and_no_person_in_its_query(self, right: Right) -> None:
        """This vendor knows people by an address in the query and nowhere else: no other parameter may hold one."""
        with self.stage(right) as stage:
            stage.tell(instruction(right))
            stage.read_back(instruction(right))
        assert stage.sent
        for request in stage.sent:
            url = urlsplit(request.url or "")
            assert url.scheme == "https"
            assert self.carries_a_credential(request)
            others = {name: value for name, value in parse_qs(url.query).items() if name != "email"}
            assert_clean(f"{unquote(url.path)} {others}")

    def test_lifting_a_restriction_brings_nobody_back(self) -> None:
        """Only our own suppression goes; what the lists say of the person stays."""
        with self.stage(Right.RESTRICTION) as stage:
            before = stage.tell(instruction(Right.RESTRICTION))
            books, suppressed = json.loads(json.dumps(stage.state()))
            assert isinstance(before, Applied)
            assert suppressed[ONE] == [OLD]
            stage.tell(instruction(Right.RESTRICTION, lifted=LIFTED))
            now, unsuppressed = json.loads(json.dumps(stage.state()))
            assert now == books
            assert now[NEWS][plain(OLD)]["State"] == "Unsubscribed"
            assert unsuppressed[ONE] == []


class TestErasureAtCampaignMonitor(TestCampaignMonitor):
    """An erasure ends at the API with a task for a person, so the same contract holds with another outcome."""

    done = HandOver
    rights: ClassVar[tuple[Right, ...]] = (Right.ERASURE,)

    def test_what_was_done_is_found_by_reading_and_reading_changes_nothing(self, right: Right) -> None:
        stand_in = self.vendor(right, held=True)
        with self.before(stand_in) as stage:
            stage.tell(instruction(right))
            assert isinstance(stage.read_back(instruction(right)), Contradicts)
            stand_in.erase_in_the_web_app(OLD)
            done, written = stage.state(), stage.writes()
            assert isinstance(stage.read_back(instruction(right)), AsAsked)
            assert (stage.state(), stage.writes()) == (done, written)


class Only(Keeps):
    """The same stage for the tests of this vendor alone; not collected by its name."""


def on_stage(stand_in: StandIn) -> AbstractContextManager[HttpStage]:
    return Only().before(stand_in)


def told(stand_in: StandIn, right: Right, **more: Any) -> Outcome:
    with on_stage(stand_in) as stage:
        return stage.tell(instruction(right, **more))


def read_back(stand_in: StandIn, right: Right, **more: Any) -> object:
    with on_stage(stand_in) as stage:
        return stage.read_back(instruction(right, **more))


def state(stand_in: StandIn, place: str, address: str = OLD) -> str:
    found: str = next(
        lists[place].people[plain(address)]["State"] for lists in stand_in.clients.values() if place in lists
    )
    return found


@dataclass
class Fails(StandIn):
    """Answers `how` to whatever `where` fits, until it is mended."""

    where: Callable[[requests.PreparedRequest], bool] = lambda _: False
    how: Said | None = None
    applies: bool = False

    def answer(self, request: requests.PreparedRequest) -> Said:
        if self.how is not None and self.where(request):
            if self.applies:
                super().answer(request)
            return self.how
        return super().answer(request)


def failing(stand_in: StandIn, method: str, part: str, how: Said, *, applies: bool = False) -> Fails:
    def where(request: requests.PreparedRequest) -> bool:
        return request.method == method and part in (request.url or "")

    return Fails(stand_in.clients, stand_in.suppressed, where=where, how=how, applies=applies)


# --- every client, every list


@pytest.mark.parametrize("right", [Right.OPT_OUT, Right.RESTRICTION])
def test_every_client_that_holds_the_person_suppresses_it_and_no_other_learns_of_it(right: Right) -> None:
    stand_in = vendor(news=book(person()))
    stand_in.clients["c3" * 16] = {"a4" * 16: book(person())}
    assert isinstance(told(stand_in, right), Applied)
    known = {client: [plain(one) for one in held] for client, held in stand_in.suppressed.items()}
    assert known == {ONE: [plain(OLD)], TWO: [], "c3" * 16: [plain(OLD)]}
    assert isinstance(read_back(stand_in, right), AsAsked)


def test_a_list_made_since_the_last_instruction_is_told_too() -> None:
    stand_in = vendor()
    with on_stage(stand_in) as stage:
        assert isinstance(stage.tell(instruction(Right.OPT_OUT)), NothingHeld)
        stand_in.clients[TWO]["a9" * 16] = book(person())
        assert isinstance(stage.tell(instruction(Right.OPT_OUT)), Applied)
        assert state(stand_in, "a9" * 16) == "Unsubscribed"


@pytest.mark.parametrize("act", [told, read_back])
def test_an_account_that_shows_no_list_is_our_settings_trouble_and_no_refusal(act: Callable[..., object]) -> None:
    with pytest.raises(CredentialsRejected, match="our credential opens nothing at the processor") as caught:
        act(StandIn({ONE: {}}), Right.ERASURE)
    assert (caught.value.status, caught.value.brief.endswith(NO_LISTS)) == (200, True)


@pytest.mark.parametrize("act", [told, read_back])
def test_a_key_that_shows_no_client_is_our_settings_trouble_and_no_refusal(act: Callable[..., object]) -> None:
    with pytest.raises(CredentialsRejected) as caught:
        act(StandIn({}), Right.ERASURE)
    at = caught.value
    assert (at.endpoint, at.status, at.brief.endswith(NO_CLIENTS)) == ("GET /clients.json", 200, True)
    assert (at.request_id, [one.endpoint for one in at.evidence]) == ("", ["GET /clients.json"])


def test_a_configured_client_is_the_only_one_touched_and_needs_no_list_of_clients() -> None:
    class One(Only):
        section: ClassVar[Mapping[str, object]] = {"api_key": SECRET, "clients": [TWO]}

    stand_in = vendor(news=book(person()), shop=book(person()))
    with One().before(stand_in) as stage:
        assert isinstance(stage.tell(instruction(Right.OPT_OUT)), Applied)
        assert stage.connector.probe().title == TWO
    assert (state(stand_in, NEWS), state(stand_in, SHOP)) == ("Active", "Unsubscribed")


def test_probing_names_clients_and_lists() -> None:
    with on_stage(vendor()) as stage:
        account = stage.connector.probe()
    assert (account.title, account.contacts) == ("Client c1, Client c2", None)
    assert account.lists == (f"News ({NEWS})", f"News ({EVENTS})", f"News ({SHOP})")


@pytest.mark.parametrize("right", [Right.ERASURE, Right.OPT_OUT, Right.RECTIFICATION])
def test_a_fault_in_one_list_keeps_no_other_waiting_and_a_retry_completes_it(right: Right) -> None:
    def full() -> StandIn:
        return vendor(*(book(person(), reach="OnlyThisList") for _ in range(3)))

    whole, stand_in = full(), failing(full(), "GET", f"/subscribers/{EVENTS}", said(500))
    with on_stage(whole) as stage:
        done = stage.tell(instruction(right))
    with on_stage(stand_in) as stage:
        assert isinstance(stage.tell(instruction(right)), Retryable)
        for client, place in ((ONE, NEWS), (TWO, SHOP)):
            assert stand_in.clients[client][place] == whole.clients[client][place]
        stand_in.how = None
        assert not isinstance(stage.read_back(instruction(right)), AsAsked)
        assert type(stage.tell(instruction(right))) is type(done)
        assert stand_in.state() == whole.state()


# --- trap: an unknown address is 400 code 203, and every other 400 is something else


@pytest.mark.parametrize("code", [0, 1, 100, 176, 202, 204, 205, 206, 800, 98798])
def test_only_code_203_means_that_nobody_is_held(code: int) -> None:
    stand_in = failing(vendor(), "GET", f"/subscribers/{NEWS}", no(code))
    for right in Right:
        assert isinstance(told(stand_in, right), Refused)
        assert isinstance(read_back(stand_in, right), CannotTell)


@pytest.mark.parametrize("status", [200, 404, 409])
def test_code_203_under_another_status_is_not_nothing_held(status: int) -> None:
    stand_in = failing(vendor(), "GET", f"/subscribers/{NEWS}", no(203, status))
    assert isinstance(told(stand_in, Right.ERASURE), Refused | Retryable)


def test_an_unknown_address_on_the_suppression_list_is_held_there() -> None:
    stand_in = vendor()
    stand_in.suppressed[TWO] = [OLD.upper()]
    outcome = told(stand_in, Right.ERASURE)
    assert isinstance(outcome, HandOver)
    assert outcome.references == (TWO,)
    assert isinstance(told(stand_in, Right.OPT_OUT), Applied)
    assert isinstance(told(stand_in, Right.RESTRICTION), Applied)
    assert stand_in.suppressed == {ONE: [], TWO: [OLD.upper()]}


def test_nobody_unknown_is_added_to_a_suppression_list() -> None:
    stand_in = vendor()
    for right in Right:
        assert isinstance(told(stand_in, right), NothingHeld)
    assert not stand_in.writes
    assert not any(stand_in.suppressed.values())


# --- trap: 401 says many things


@pytest.mark.parametrize("code", [100, 120, 122, 60, 121])
def test_a_401_about_the_credential_pauses_the_account(code: int) -> None:
    with on_stage(failing(vendor(), "GET", "/clients.json", no(code, 401))) as stage:
        with pytest.raises(CredentialsRejected):
            stage.tell(instruction(Right.ERASURE))
        with pytest.raises(CredentialsRejected):
            stage.connector.probe()


@pytest.mark.parametrize("code", [101, 102])
def test_a_401_about_an_id_is_configuration_and_the_other_lists_are_told(code: int) -> None:
    stand_in = failing(vendor(news=book(person()), shop=book(person())), "GET", f"/subscribers/{NEWS}", no(code, 401))
    outcome = told(stand_in, Right.OPT_OUT)
    assert isinstance(outcome, Retryable)
    assert (outcome.reason, outcome.misplaced, outcome.doubtful) == (NOT_OURS, True, True)
    assert state(stand_in, SHOP) == "Unsubscribed"


def test_a_configured_client_that_is_not_ours_is_never_nothing_held() -> None:
    class Typo(Only):
        section: ClassVar[Mapping[str, object]] = {"api_key": SECRET, "clients": ["ff" * 16]}

    with Typo().before(vendor()) as stage, pytest.raises(CredentialsRejected) as caught:
        stage.tell(instruction(Right.ERASURE))
    assert (caught.value.status, caught.value.brief.endswith(NOT_OURS)) == (401, True)


def test_beside_a_configured_client_that_is_not_ours_the_others_are_told() -> None:
    class Half(Only):
        section: ClassVar[Mapping[str, object]] = {"api_key": SECRET, "clients": ["ff" * 16, ONE]}

    stand_in = vendor(news=book(person()))
    with Half().before(stand_in) as stage:
        outcome = stage.tell(instruction(Right.OPT_OUT))
        assert isinstance(outcome, Retryable)
        assert (outcome.reason, outcome.misplaced) == (NOT_OURS, True)
        assert isinstance(stage.read_back(instruction(Right.OPT_OUT)), CannotTell)
        with pytest.raises(ProcessorUnreachable, match="not ours"):
            stage.connector.probe()
    assert state(stand_in, NEWS) == "Unsubscribed"


def test_a_403_about_the_kind_of_account_is_configuration() -> None:
    outcome = told(failing(vendor(), "GET", "/clients.json", no(403, 403)), Right.ERASURE)
    assert isinstance(outcome, Retryable)
    assert (outcome.reason, outcome.misplaced) == (NOT_AGENCY, True)


# --- OAuth: 121 refreshes


@dataclass
class Tokens(StandIn):
    """Accepts one access token, and gives another for the refresh token."""

    access: str = "access-2"
    refresh: str = "refresh-1"
    rotate: bool = True
    answer_to_refresh: Said | None = None
    cut: bool = False
    old: int = 121
    forms: list[dict[str, list[str]]] = field(default_factory=list)

    def answer(self, request: requests.PreparedRequest) -> Said:
        if urlsplit(request.url or "").path == "/oauth/token":
            form = parse_qs(str(request.body or b"", "ascii") if isinstance(request.body, bytes) else request.body)
            self.forms.append(form)
            if self.cut:
                raise requests.ReadTimeout
            if self.answer_to_refresh is not None:
                return self.answer_to_refresh
            if form["refresh_token"] != [self.refresh]:
                return said(400, {"error": "invalid_grant", "error_description": "Specified code was invalid"})
            self.refresh = "refresh-2" if self.rotate else self.refresh
            return said(200, {"access_token": self.access, "expires_in": 1209600, "refresh_token": self.refresh})
        if request.headers["Authorization"] != f"Bearer {self.access}":
            return no(self.old, 401)
        return super().answer(request)


class Paired(Only):
    section: ClassVar[Mapping[str, object]] = {"access_token": "access-1", "refresh_token": "refresh-1"}


def tokens(**more: Any) -> Tokens:
    return Tokens({ONE: {NEWS: book(person(), reach="OnlyThisList")}}, **more)


def test_an_expired_token_is_renewed_once_and_the_call_is_repeated() -> None:
    stand_in = tokens()
    with Paired().before(stand_in) as stage:
        assert isinstance(stage.tell(instruction(Right.OPT_OUT)), Applied)
        assert isinstance(stage.read_back(instruction(Right.OPT_OUT)), AsAsked)
    assert stand_in.forms == [{"grant_type": ["refresh_token"], "refresh_token": ["refresh-1"]}]


def test_a_renewed_pair_outlives_the_process_and_a_newly_configured_one_wins_over_it() -> None:
    stand_in, shelf, clock = tokens(), OpenShelf(), Hands()

    def built(kit: Kit, refresh: str) -> CampaignMonitor:
        section = {"access_token": "access-1", "refresh_token": refresh}
        return CampaignMonitor(CampaignMonitorSettings.model_validate(section), kit, sleep=lambda _: None)

    class Kept(Only):
        refresh = "refresh-1"

        def built(self, kit: Kit) -> Connector:
            shared = Kit(http=kit.http, clock=clock, pseudonym=pseudonym, shelf=shelf)
            return built(shared, self.refresh)

    for _ in range(2):
        with Kept().before(stand_in) as stage:
            stage.connector.probe()
    assert len(stand_in.forms) == 1
    assert "refresh" not in "".join(shelf.kept)
    stand_in.access, stand_in.refresh = "access-9", "refresh-9"
    fresh = Kept()
    fresh.refresh = "refresh-9"
    with fresh.before(stand_in) as stage:
        stage.connector.probe()
    assert stand_in.forms[-1]["refresh_token"] == ["refresh-9"]


def test_a_refresh_that_is_refused_is_a_matter_of_the_credential() -> None:
    with Paired().before(tokens(refresh="another")) as stage, pytest.raises(CredentialsRejected) as caught:
        stage.tell(instruction(Right.OPT_OUT))
    assert caught.value.endpoint == "POST /oauth/token"


def test_a_token_that_is_expired_again_at_once_is_a_matter_of_the_credential() -> None:
    stand_in = tokens()
    gives = said(200, {"access_token": "useless", "expires_in": 1, "refresh_token": "refresh-1"})
    stand_in.answer_to_refresh = gives
    with Paired().before(stand_in) as stage, pytest.raises(CredentialsRejected):
        stage.tell(instruction(Right.OPT_OUT))
    assert len(stand_in.forms) == 1


@pytest.mark.parametrize("old", [120, 121, 122])
@pytest.mark.parametrize("answer", [said(500), said(503), said(429), said(200, {"error": "x"}), None])
def test_a_refresh_without_a_usable_answer_leaves_nothing_in_doubt_and_is_tried_again(
    answer: Said | None, old: int
) -> None:
    stand_in = tokens(answer_to_refresh=answer, cut=answer is None)
    with Paired().before(stand_in) as stage:
        outcome = stage.tell(instruction(Right.OPT_OUT))
        assert isinstance(outcome, Retryable)
        assert (outcome.doubtful, outcome.busy) == (False, answer is not None and answer.status in (429, 503))
        stand_in.answer_to_refresh, stand_in.cut, stand_in.old = None, False, old
        assert isinstance(stage.tell(instruction(Right.OPT_OUT)), Applied)
    assert {form["refresh_token"][0] for form in stand_in.forms} == {"refresh-1"}


def test_a_refresh_token_that_stays_the_same_is_kept() -> None:
    stand_in = tokens(rotate=False)
    with Paired().before(stand_in) as stage:
        stage.connector.probe()
        stand_in.access = "access-3"
        stage.connector.probe()
    assert [form["refresh_token"] for form in stand_in.forms] == [["refresh-1"]] * 2


def twins(stage: HttpStage, shelf: Any, http: Any = None) -> CampaignMonitor:
    """A connector of another process: the same settings, shelf and vendor, and a memory of its own."""
    kit = stage.connector._kit  # type: ignore[attr-defined]  # because both processes are given its HTTP client
    settings = CampaignMonitorSettings.model_validate(Paired.section)
    return CampaignMonitor(settings, Kit(http or kit.http, stage.clock, pseudonym, shelf), sleep=lambda _: None)


@pytest.mark.parametrize("code", [120, 121, 122])
def test_a_pair_that_another_process_renewed_is_used_whatever_the_old_one_is_called(code: int) -> None:
    stand_in, shelf = tokens(old=code), OpenShelf()
    with Paired().before(stand_in) as stage:
        behind, ahead = twins(stage, shelf), twins(stage, shelf)
        stand_in.access, stand_in.old = "access-1", 121
        behind.probe()
        stand_in.access = "access-2"
        ahead.probe()
        stand_in.old = code
        assert isinstance(behind.carry_out(instruction(Right.OPT_OUT)), Applied)
    assert len(stand_in.forms) == 1


def test_a_renewal_that_a_crash_left_open_is_taken_over_after_five_minutes() -> None:
    stand_in, shelf = tokens(), OpenShelf()
    with Paired().before(stand_in) as stage:
        place = f"oauth/{pseudonym('refresh-1')}"
        shelf.put(place, json.dumps(["access-1", "refresh-1", stage.clock.now().isoformat()]))
        with pytest.raises(ProcessorUnreachable, match="another process is renewing"):
            twins(stage, shelf).probe()
        stand_in.old = 120
        with pytest.raises(ProcessorUnreachable, match="another process is renewing"):
            twins(stage, shelf).probe()
        assert stand_in.forms == []
        stage.clock.seconds += 301
        assert twins(stage, shelf).probe().title
    assert len(stand_in.forms) == 1


@pytest.mark.parametrize(
    ("code", "advice"), [(60, "lacks a permission"), (120, "authorise the app anew"), (122, "authorise the app anew")]
)
def test_a_401_says_what_to_do_where_another_key_is_not_what_is_needed(code: int, advice: str) -> None:
    with (
        on_stage(failing(vendor(), "GET", "/clients.json", no(code, 401))) as stage,
        pytest.raises(CredentialsRejected, match=advice),
    ):
        stage.tell(instruction(Right.ERASURE))


# --- trap: the address stands in the query, where "+" means a blank, and capitals are not documented


def test_a_plus_in_an_address_is_encoded_and_the_bare_key_is_the_user_name() -> None:
    with on_stage(vendor(book(person()))) as stage:
        stage.tell(instruction(Right.ERASURE))
    queries = [urlsplit(request.url or "").query for request in stage.sent if "email=" in (request.url or "")]
    assert queries
    assert not [query for query in queries if "+" in query]
    token = stage.sent[0].headers["Authorization"].removeprefix("Basic ")
    assert base64.b64decode(token) == f"{SECRET}:x".encode()


def test_both_spellings_are_asked_where_capitals_might_matter() -> None:
    class Exact(StandIn):
        def answer(self, request: requests.PreparedRequest) -> Said:
            asked = parse_qs(urlsplit(request.url or "").query).get("email")
            if "/subscribers/" in (request.url or "") and asked and asked[0] != OLD.lower():
                return no(203)
            return super().answer(request)

    stand_in = Exact({ONE: {NEWS: book(person(OLD.lower()))}})
    assert isinstance(told(stand_in, Right.ERASURE), HandOver)
    assert state(stand_in, NEWS) == "Deleted"


def test_another_persons_record_in_the_answer_is_not_believed() -> None:
    stand_in = failing(vendor(), "GET", f"/subscribers/{NEWS}", said(200, person(NEW)))
    assert isinstance(told(stand_in, Right.ERASURE), Retryable)
    assert not stand_in.writes


def test_a_state_that_is_not_documented_is_not_believed() -> None:
    assert isinstance(told(vendor(book(person(state="Zombie"))), Right.OPT_OUT), Retryable)


def test_xml_is_never_read_as_an_answer() -> None:
    xml = Said(400, {"Content-Type": "application/xml"}, b"<Result><Code>203</Code></Result>")
    outcome = told(failing(vendor(), "GET", f"/subscribers/{NEWS}", xml), Right.ERASURE)
    assert isinstance(outcome, Retryable)
    assert outcome.reason == BLOCKED


# --- trap: DELETE is not erasure


@pytest.mark.parametrize("was", STATES)
def test_an_erasure_blanks_and_deletes_and_leaves_the_erasing_to_the_operator(was: str) -> None:
    stand_in = vendor(news=book(person(state=was, City="Kent", Interests=["Tea", "Art"])), shop=book(person()))
    outcome = told(stand_in, Right.ERASURE)
    assert isinstance(outcome, HandOver)
    assert outcome.to is Recipient.OPERATOR
    assert outcome.references == (NEWS, SHOP)
    assert "web app" in outcome.task
    assert "history are kept" in outcome.task
    record = stand_in.clients[ONE][NEWS].people[plain(OLD)]
    assert (record["State"], record["Name"], record["CustomFields"]) == ("Deleted", "Erased", [])


def test_trap_tag_a_field_is_written_by_its_tag_and_not_by_the_name_that_a_record_shows() -> None:
    stand_in = vendor(book(person(Visit_date="2026-01-02", Unheard_of="x")))
    told(stand_in, Right.ERASURE)
    (blanked,) = [body for method, _, body in stand_in.writes if method == "PUT"]
    assert blanked["CustomFields"] == [{"Key": "seen", "Clear": True}, {"Key": "Unheard of", "Clear": True}]


def test_trap_upsert_no_right_adds_or_imports_anybody() -> None:
    posted = set()
    for right in Right:
        with on_stage(vendor(book(person()), book(person(NEW)))) as stage:
            stage.tell(instruction(right, addresses=(OLD, NEW)))
            posted |= {urlsplit(one.url or "").path.rpartition("/")[2] for one in stage.sent if one.method == "POST"}
    assert posted == {"unsubscribe.json", "suppress.json"}


def test_an_erasure_is_verified_only_when_every_list_says_203_and_no_suppression_list_has_the_address() -> None:
    stand_in = vendor(news=book(person()), shop=book(person()))
    with on_stage(stand_in) as stage:
        findings = []
        stage.tell(instruction(Right.ERASURE))
        findings.append(stage.read_back(instruction(Right.ERASURE)))
        stand_in.clients[ONE][NEWS].people.clear()
        findings.append(stage.read_back(instruction(Right.ERASURE)))
        stand_in.clients[TWO][SHOP].people.clear()
        stand_in.suppressed[TWO] = [OLD.lower()]
        findings.append(stage.read_back(instruction(Right.ERASURE)))
        stand_in.suppressed[TWO] = []
        assert isinstance(stage.read_back(instruction(Right.ERASURE)), AsAsked)
    reasons = [finding.reason for finding in findings if isinstance(finding, Contradicts)]
    assert reasons == ["a record is kept as 'Deleted'"] * 2 + ["the address is still suppressed"]


def test_an_erasure_never_adds_to_the_suppression_list() -> None:
    stand_in = vendor(news=book(person()))
    told(stand_in, Right.ERASURE)
    assert {deed for _, deed, _ in stand_in.writes} == {"subscribers"}
    assert not any(stand_in.suppressed.values())


def test_nothing_but_single_records_is_ever_deleted() -> None:
    with on_stage(vendor(book(person()), book(person()), book(person()))) as stage:
        for right in Right:
            stage.tell(instruction(right, addresses=(OLD, NEW)))
        stage.tell(instruction(Right.ERASURE, addresses=(NEW,)))
        deleted = [urlsplit(request.url or "") for request in stage.sent if request.method == "DELETE"]
        assert len(deleted) == 3
        assert all(re.fullmatch(r"/api/v3\.3/subscribers/[0-9a-f]{32}\.json", url.path) for url in deleted)
        assert all("email=" in url.query for url in deleted)


def test_a_record_is_taken_out_of_use_even_if_it_cannot_be_blanked() -> None:
    stand_in = failing(vendor(book(person())), "PUT", "/subscribers/", no(203))
    outcome = told(stand_in, Right.ERASURE)
    assert isinstance(outcome, HandOver)
    assert "could not be blanked" in outcome.task
    assert state(stand_in, NEWS) == "Deleted"
    stand_in = failing(vendor(book(person())), "PUT", "/subscribers/", said(500))
    assert isinstance(told(stand_in, Right.ERASURE), Retryable)
    assert state(stand_in, NEWS) == "Deleted"


def test_a_list_that_takes_no_mobile_number_is_blanked_without_one() -> None:
    class NoMobile(StandIn):
        def change(self, held: Book, who: str, body: Any) -> Said:
            return no(220) if "MobileNumber" in body else super().change(held, who, body)

    stand_in = NoMobile({ONE: {NEWS: book(person())}})
    outcome = told(stand_in, Right.ERASURE)
    assert isinstance(outcome, HandOver)
    assert "are blanked" in outcome.task


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_a_write_that_was_never_answered_is_not_called_nothing_held_afterwards(method: str) -> None:
    stand_in = failing(vendor(book(person())), method, "/subscribers/", Said(502, {}, HTML), applies=True)
    with on_stage(stand_in) as stage:
        outcome = stage.tell(instruction(Right.ERASURE))
        assert isinstance(outcome, Retryable)
        assert outcome.doubtful
        stand_in.erase_in_the_web_app(OLD)
        assert isinstance(stage.tell(instruction(Right.ERASURE)), Applied)


def test_a_record_that_the_vendor_does_not_find_and_still_uses_is_a_no_for_a_person_to_look_at() -> None:
    outcome = told(failing(vendor(book(person())), "DELETE", "/subscribers/", no(203)), Right.ERASURE)
    assert isinstance(outcome, Refused)
    assert outcome.reason == DENIED


# --- trap: how far one unsubscribe reaches is a setting of the list


def notes(outcome: Outcome) -> list[str]:
    return [evidence.note for evidence in outcome.evidence if evidence.note]


def test_an_unsubscribe_that_reaches_all_lists_is_read_again_and_said_and_not_repeated() -> None:
    stand_in = vendor(book(person()), book(person()))
    assert notes(told(stand_in, Right.OPT_OUT)) == [REACH_ALL]
    assert [deed for _, deed, _ in stand_in.writes] == ["unsubscribe", "suppress"]


def test_an_unsubscribe_that_reaches_one_list_is_read_again_and_said_and_the_other_is_told() -> None:
    stand_in = vendor(*(book(person(), reach="OnlyThisList") for _ in range(2)))
    outcome = told(stand_in, Right.OPT_OUT)
    assert notes(outcome) == [REACH_PART, REACH_ALL]
    scopes = [evidence.scope for evidence in outcome.evidence if evidence.note]
    assert scopes == [ONE, ONE]
    assert (state(stand_in, NEWS), state(stand_in, EVENTS)) == ("Unsubscribed", "Unsubscribed")


def test_a_reach_that_does_not_name_the_list_that_was_left_is_not_known() -> None:
    stand_in = failing(vendor(book(person())), "GET", "/listsforemail", said(200, []))
    assert notes(told(stand_in, Right.OPT_OUT)) == [REACH_UNKNOWN]


def test_the_setting_of_a_list_is_never_changed() -> None:
    stand_in = vendor(book(person()), book(person(), reach="OnlyThisList"))
    with on_stage(stand_in) as stage:
        for right in Right:
            stage.tell(instruction(right))
    assert not [one for one in stage.sent if one.method != "GET" and "/lists/" in (one.url or "")]


@pytest.mark.parametrize("was", STATES)
def test_after_an_opt_out_no_list_uses_the_address_and_silent_records_stay_as_they_are(was: str) -> None:
    stand_in = vendor(book(person(state=was)))
    assert isinstance(told(stand_in, Right.OPT_OUT), Applied)
    assert state(stand_in, NEWS) == (was if was in SILENT else "Unsubscribed")
    assert [plain(one) for one in stand_in.suppressed[ONE]] == [plain(OLD)]
    assert isinstance(read_back(stand_in, Right.OPT_OUT), AsAsked)


def test_a_repeated_unsubscribe_may_answer_203_and_is_settled_by_reading() -> None:
    gone = failing(vendor(book(person())), "POST", "/unsubscribe", no(203), applies=True)
    assert isinstance(told(gone, Right.OPT_OUT), Applied)
    lies = failing(vendor(book(person())), "POST", "/unsubscribe", no(203))
    outcome = told(lies, Right.OPT_OUT)
    assert isinstance(outcome, Refused)
    assert outcome.reason == DENIED


@pytest.mark.parametrize("how", [said(500), no(999), no(203), said(200)], ids=["fault", "no", "not in list", "yes"])
@pytest.mark.parametrize("right", [Right.OPT_OUT, Right.RESTRICTION])
def test_who_cannot_be_unsubscribed_is_suppressed_all_the_same(right: Right, how: Said) -> None:
    stand_in = failing(vendor(book(person(), reach="OnlyThisList")), "POST", "/unsubscribe", how)
    outcome = told(stand_in, right)
    assert [plain(one) for one in stand_in.suppressed[ONE]] == [plain(OLD)]
    assert isinstance(outcome, Retryable if how.status == 500 else Refused if how.status == 400 else Applied)
    assert isinstance(read_back(stand_in, right), Contradicts)


@pytest.mark.parametrize("code", [203, 204])
def test_a_repeated_suppression_may_answer_no_and_is_settled_by_reading_the_list(code: int) -> None:
    for right in (Right.OPT_OUT, Right.RESTRICTION):
        there = failing(vendor(book(person())), "POST", "/suppress", no(code), applies=True)
        assert isinstance(told(there, right), Applied)
        never = failing(vendor(book(person(), reach="OnlyThisList")), "POST", "/suppress", no(code))
        assert isinstance(told(never, right), Refused)


def test_an_opt_out_without_suppression_is_contradicted_by_reading() -> None:
    stand_in = vendor(book(person(state="Unsubscribed")))
    assert isinstance(read_back(stand_in, Right.OPT_OUT), Contradicts)
    stand_in.suppressed[ONE] = [OLD]
    assert isinstance(read_back(stand_in, Right.OPT_OUT), AsAsked)


# --- trap: suppression silences only lists whose unsubscribes reach all


def test_a_restriction_suppresses_and_unsubscribes_only_where_suppression_does_not_reach() -> None:
    stand_in = vendor(book(person()), book(person(), reach="OnlyThisList"))
    kept = json.loads(json.dumps(stand_in.clients[ONE][NEWS].people))
    assert isinstance(told(stand_in, Right.RESTRICTION), Applied)
    assert (state(stand_in, NEWS), state(stand_in, EVENTS)) == ("Active", "Unsubscribed")
    assert stand_in.clients[ONE][NEWS].people == kept
    assert isinstance(read_back(stand_in, Right.RESTRICTION), AsAsked)


def test_a_restriction_that_somebody_else_undid_is_contradicted_by_reading() -> None:
    stand_in = vendor(book(person()), book(person(), reach="OnlyThisList"))
    with on_stage(stand_in) as stage:
        stage.tell(instruction(Right.RESTRICTION))
        stand_in.clients[ONE][EVENTS].people[plain(OLD)]["State"] = "Active"
        assert isinstance(stage.read_back(instruction(Right.RESTRICTION)), Contradicts)
        stand_in.clients[ONE][EVENTS].people[plain(OLD)]["State"] = "Unsubscribed"
        stand_in.suppressed[ONE] = []
        assert isinstance(stage.read_back(instruction(Right.RESTRICTION)), Contradicts)


def test_lifting_takes_back_our_own_suppression_and_tells_the_operator_what_stays_unsubscribed() -> None:
    stand_in = vendor(book(person()), book(person(), reach="OnlyThisList"))
    with on_stage(stand_in) as stage:
        stage.tell(instruction(Right.RESTRICTION))
        for _ in range(2):
            outcome = stage.tell(instruction(Right.RESTRICTION, lifted=LIFTED))
            assert isinstance(outcome, HandOver)
            assert outcome.references == (EVENTS,)
            assert "'Active'" in outcome.task
        assert isinstance(stage.read_back(instruction(Right.RESTRICTION, lifted=LIFTED)), AsAsked)
    assert (state(stand_in, NEWS), state(stand_in, EVENTS)) == ("Active", "Unsubscribed")
    assert stand_in.suppressed[ONE] == []


def test_lifting_leaves_a_suppression_that_was_there_before() -> None:
    stand_in = vendor(book(person()))
    stand_in.suppressed[ONE] = [OLD]
    with on_stage(stand_in) as stage:
        stage.tell(instruction(Right.RESTRICTION))
        assert isinstance(stage.tell(instruction(Right.RESTRICTION, lifted=LIFTED)), Applied)
        assert stand_in.suppressed[ONE] == [OLD]
        assert isinstance(stage.read_back(instruction(Right.RESTRICTION, lifted=LIFTED)), CannotTell)


def test_lifting_leaves_alone_whom_we_never_restricted() -> None:
    stand_in = vendor(book(person()))
    stand_in.suppressed[ONE] = [OLD]
    assert isinstance(told(stand_in, Right.RESTRICTION, lifted=LIFTED), Applied)
    assert stand_in.suppressed[ONE] == [OLD]
    assert isinstance(told(vendor(), Right.RESTRICTION, lifted=LIFTED), NothingHeld)


def test_an_objection_during_a_restriction_outlives_its_lifting() -> None:
    told_us, elsewhere = vendor(book(person())), vendor(book(person()))
    with on_stage(told_us) as stage:
        stage.tell(instruction(Right.RESTRICTION))
        stage.tell(instruction(Right.OPT_OUT))
        assert isinstance(stage.tell(instruction(Right.RESTRICTION, lifted=LIFTED)), Applied)
    with on_stage(elsewhere) as stage:
        stage.tell(instruction(Right.RESTRICTION))
        elsewhere.clients[ONE][NEWS].people[plain(OLD)]["State"] = "Unsubscribed"
        assert isinstance(stage.tell(instruction(Right.RESTRICTION, lifted=LIFTED)), HandOver)
    assert [plain(one) for one in told_us.suppressed[ONE]] == [plain(OLD)]
    assert elsewhere.suppressed[ONE] == [OLD]


def test_a_second_restriction_remembers_the_state_of_its_own_time() -> None:
    stand_in = vendor(book(person(), reach="OnlyThisList"))
    with on_stage(stand_in) as stage:
        stage.tell(instruction(Right.RESTRICTION))
        stage.tell(instruction(Right.RESTRICTION, lifted=LIFTED))
        stage.tell(instruction(Right.RESTRICTION))
        assert stand_in.suppressed[ONE] == [OLD]
        assert isinstance(stage.tell(instruction(Right.RESTRICTION, lifted=LIFTED)), Applied)
        assert stand_in.suppressed[ONE] == []


def test_a_suppression_that_was_never_answered_is_taken_back_all_the_same() -> None:
    stand_in = failing(vendor(book(person())), "POST", "/suppress", said(500), applies=True)
    with on_stage(stand_in) as stage:
        assert isinstance(stage.tell(instruction(Right.RESTRICTION)), Retryable)
        stand_in.how = None
        assert isinstance(stage.tell(instruction(Right.RESTRICTION)), Applied)
        assert isinstance(stage.tell(instruction(Right.RESTRICTION, lifted=LIFTED)), Applied)
        assert stand_in.suppressed[ONE] == []


def test_what_is_no_longer_suppressed_has_nothing_to_lift() -> None:
    stand_in = vendor(book(person()))
    with on_stage(stand_in) as stage:
        stage.tell(instruction(Right.RESTRICTION))
        stand_in.suppressed[ONE] = []
        assert isinstance(stage.tell(instruction(Right.RESTRICTION, lifted=LIFTED)), Applied)


# --- rectification


def record(stand_in: StandIn, address: str, place: str = NEWS) -> dict[str, Any]:
    found: dict[str, Any] = next(
        lists[place].people[plain(address)] for lists in stand_in.clients.values() if place in lists
    )
    return found


@pytest.mark.parametrize("was", STATES)
def test_trap_resubscribe_a_correction_changes_address_and_name_and_never_the_state(was: str) -> None:
    stand_in = vendor(news=book(person(state=was)), shop=book(person("older@example.org", was)))
    both = {"addresses": (OLD, "older@example.org")}
    assert isinstance(told(stand_in, Right.RECTIFICATION, **both), Applied)
    for place in (NEWS, SHOP):
        now = record(stand_in, NEW, place)
        assert (now["State"], now["Name"], now["EmailAddress"]) == (was, "Augusta Kingcanary", NEW)
    assert isinstance(read_back(stand_in, Right.RECTIFICATION, **both), AsAsked)


def test_trap_consent_every_update_leaves_resubscription_and_both_consents_alone() -> None:
    stand_in = vendor(book(person()))
    with on_stage(stand_in) as stage:
        stage.tell(instruction(Right.RECTIFICATION))
        stage.tell(instruction(Right.ERASURE, addresses=(NEW,)))
    bodies = [body for method, deed, body in stand_in.writes if (method, deed) == ("PUT", "subscribers")]
    assert len(bodies) == 2
    for body in bodies:
        assert body["Resubscribe"] is body["RestartSubscriptionBasedAutoresponders"] is False
        assert body["ConsentToTrack"] == body["ConsentToSendSms"] == "Unchanged"


def test_trap_old_address_in_the_query_and_new_one_in_the_body() -> None:
    with on_stage(vendor(book(person()))) as stage:
        stage.tell(instruction(Right.RECTIFICATION))
    (put,) = [request for request in stage.sent if request.method == "PUT"]
    assert parse_qs(urlsplit(put.url or "").query)["email"] == [OLD]
    assert json.loads(put.body or b"")["EmailAddress"] == NEW


def test_a_new_address_that_has_a_record_in_another_spelling_is_a_persons_to_merge() -> None:
    kept, asked = SPELT[1], SPELT[0]
    stand_in = vendor(book(person(), person(kept)))
    with on_stage(stand_in) as stage:
        outcome = stage.tell(instruction(Right.RECTIFICATION, changes=Changes(email=asked)))
    assert isinstance(outcome, HandOver)
    assert set(stand_in.clients[ONE][NEWS].people) == {OLD.lower(), kept}


@pytest.mark.parametrize("other", STATES)
def test_trap_201_two_records_are_never_merged_and_none_is_deleted(other: str) -> None:
    stand_in = vendor(book(person(), person(NEW, other, "Somebody Else")))
    kept = json.dumps(record(stand_in, NEW))
    outcome = told(stand_in, Right.RECTIFICATION)
    assert isinstance(outcome, HandOver)
    assert outcome.to is Recipient.OPERATOR
    assert f"'Active' and '{other}'" in outcome.task
    assert json.dumps(record(stand_in, NEW)) == kept
    assert not [body for _, _, body in stand_in.writes if "EmailAddress" in body]
    assert record(stand_in, OLD)["Name"] == "Augusta Kingcanary"
    assert isinstance(read_back(stand_in, Right.RECTIFICATION), Contradicts)


def test_trap_201_that_only_the_update_shows_is_left_to_the_operator_too() -> None:
    class Taken(StandIn):
        def change(self, held: Book, who: str, body: Any) -> Said:
            return no(201) if "EmailAddress" in body else super().change(held, who, body)

    stand_in = Taken({ONE: {NEWS: book(person())}})
    outcome = told(stand_in, Right.RECTIFICATION)
    assert isinstance(outcome, HandOver)
    assert "not shown by the API" in outcome.task
    assert record(stand_in, OLD)["Name"] == "Augusta Kingcanary"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        *((code, VALUE_REJECTED) for code in (1, 211, 220, 221)),
        *((code, OUR_FAULT) for code in (214, 215)),
        *((code, UNDOCUMENTED) for code in (0, 176, 204, 205, 98798)),
    ],
)
def test_a_no_to_an_update_says_whether_the_value_or_we_are_at_fault(code: int, reason: str) -> None:
    outcome = told(failing(vendor(book(person())), "PUT", "/subscribers/", no(code)), Right.RECTIFICATION)
    assert isinstance(outcome, Refused)
    assert outcome.reason == reason


def test_a_path_that_the_vendor_does_not_know_is_our_fault() -> None:
    outcome = told(failing(vendor(), "GET", "/clients.json", no(404, 404)), Right.ERASURE)
    assert isinstance(outcome, Refused)
    assert outcome.reason == OUR_FAULT


def test_a_record_that_the_api_does_not_change_is_left_to_the_operator() -> None:
    stand_in = failing(vendor(book(person(state="Deleted"))), "PUT", "/subscribers/", no(203))
    outcome = told(stand_in, Right.RECTIFICATION)
    assert isinstance(outcome, HandOver)
    assert "'Deleted'" in outcome.task


def put_right(stand_in: StandIn, **changes: Any) -> Outcome:
    return told(stand_in, Right.RECTIFICATION, changes=Changes(**changes))


def test_trap_clear_an_empty_value_clears_a_field_and_the_others_stay() -> None:
    stand_in = vendor(book(person(City="Kent", Visit_date="2026-01-02")))
    fields = {"city": "", "visit DATE": "2026-11-20"}
    assert isinstance(put_right(stand_in, fields=fields), Applied)
    ((_, _, body),) = stand_in.writes
    assert body["CustomFields"] == [{"Key": "city", "Clear": True}, {"Key": "seen", "Value": "2026/11/20"}]
    assert "EmailAddress" not in body
    assert record(stand_in, OLD)["CustomFields"] == [{"Key": "Visit date", "Value": "2026-11-20"}]
    finding = read_back(stand_in, Right.RECTIFICATION, changes=Changes(fields=fields))
    assert isinstance(finding, AsAsked)


def test_trap_multi_select_one_value_never_wipes_several_chosen_options() -> None:
    stand_in = vendor(book(person(City="Kent", Interests=["Tea", "Art"])))
    outcome = put_right(stand_in, fields={"Interests": "Tea", "City": "Hove"})
    assert isinstance(outcome, HandOver)
    rows = record(stand_in, OLD)["CustomFields"]
    assert [row["Value"] for row in rows] == ["Tea", "Art", "Hove"]
    assert isinstance(put_right(stand_in, fields={"Interests": ""}), Applied)
    assert [row["Value"] for row in record(stand_in, OLD)["CustomFields"]] == ["Hove"]


def test_trap_250_a_value_that_the_vendor_would_cut_is_left_to_the_operator() -> None:
    stand_in = vendor(book(person()))
    assert isinstance(put_right(stand_in, fields={"City": "x" * 251}), HandOver)
    assert not stand_in.writes


def test_a_field_that_the_list_lacks_is_left_to_the_operator() -> None:
    stand_in = vendor(book(person()))
    outcome = put_right(stand_in, fields={"SHOE": "38"})
    assert isinstance(outcome, HandOver)
    assert outcome.references == (NEWS,)
    finding = read_back(stand_in, Right.RECTIFICATION, changes=Changes(fields={"SHOE": "38"}))
    assert isinstance(finding, Contradicts)


@pytest.mark.parametrize(
    "changes", [{"first_name": "Augusta"}, {"last_name": "King"}, {"first_name": "", "last_name": ""}]
)
def test_trap_name_a_part_of_a_name_is_never_written_over_the_whole(changes: dict[str, str]) -> None:
    stand_in = vendor(book(person()))
    assert isinstance(put_right(stand_in, **changes), HandOver)
    assert record(stand_in, OLD)["Name"] == "Ada Canary"
    assert not stand_in.writes


@pytest.mark.parametrize("changes", [Changes(first_name="Augusta"), Changes(last_name="King")])
def test_a_part_of_a_name_that_the_operator_put_right_is_found_at_its_own_end(changes: Changes) -> None:
    wrong, right = vendor(book(person(name="King Augusta"))), vendor(book(person(name="Augusta King")))
    assert isinstance(read_back(wrong, Right.RECTIFICATION, changes=changes), Contradicts)
    assert isinstance(read_back(right, Right.RECTIFICATION, changes=changes), AsAsked)


def test_what_is_right_already_is_not_written_again() -> None:
    stand_in = vendor(book(person(City="Kent")))
    assert isinstance(put_right(stand_in, first_name="Ada", last_name="Canary", fields={"City": "Kent"}), Applied)
    assert not stand_in.writes


def test_nobody_to_compare_with_proves_nothing_about_a_value() -> None:
    finding = read_back(vendor(), Right.RECTIFICATION)
    assert isinstance(finding, CannotTell)
    assert not finding.later


# --- trap: limits are told in headers of their own, as seconds left


def test_trap_rate_limit_reset_counts_seconds_left() -> None:
    told_of = {"X-RateLimit-Limit": "60", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "348"}
    limited = no(429, 429)
    limited.headers.update(told_of)
    outcome = told(failing(vendor(), "GET", "/clients.json", limited), Right.ERASURE)
    assert isinstance(outcome, Retryable)
    assert (outcome.busy, outcome.retry_after) == (True, timedelta(seconds=348))


def test_trap_rate_limit_when_nothing_remains_no_further_call_is_made_and_nothing_is_in_doubt() -> None:
    class Spent(StandIn):
        def answer(self, request: requests.PreparedRequest) -> Said:
            status, headers, body = super().answer(request)
            return Said(status, {**headers, "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "30"}, body)

    with on_stage(Spent({ONE: {NEWS: book(person())}})) as stage:
        outcome = stage.tell(instruction(Right.OPT_OUT))
        assert isinstance(outcome, Retryable)
        assert (outcome.busy, outcome.doubtful, outcome.retry_after) == (True, False, timedelta(seconds=30))
        assert stage.calls() == 1


def test_a_blip_in_a_read_is_got_over_and_a_write_is_never_repeated() -> None:
    @dataclass
    class Blips(StandIn):
        blips: int = 2

        def answer(self, request: requests.PreparedRequest) -> Any:
            if request.method == "GET" and self.blips:
                self.blips -= 1
                raise requests.ConnectionError
            if request.method != "GET":
                raise requests.exceptions.ChunkedEncodingError
            return super().answer(request)

    with on_stage(Blips({ONE: {NEWS: book(person())}})) as stage:
        outcome = stage.tell(instruction(Right.OPT_OUT))
        assert isinstance(outcome, Retryable)
        assert outcome.doubtful
        assert stage.writes() == 1


def test_what_one_list_left_in_doubt_stays_in_doubt_when_the_next_stops_everything() -> None:
    class TwoFaults(StandIn):
        def answer(self, request: requests.PreparedRequest) -> Said:
            if request.method == "POST":
                return said(500)
            return no(429, 429) if f"/subscribers/{EVENTS}" in (request.url or "") else super().answer(request)

    outcome = told(TwoFaults({ONE: {NEWS: book(person()), EVENTS: book()}}), Right.OPT_OUT)
    assert isinstance(outcome, Retryable)
    assert (outcome.doubtful, outcome.busy) == (True, True)


# --- settings


@pytest.mark.parametrize(
    "section",
    [
        {},
        {"api_key": SECRET, "access_token": "a", "refresh_token": "b"},
        {"access_token": SECRET},
        {"refresh_token": SECRET},
        {"api_key": SECRET, "refresh_token": "b"},
        {"api_key": f"{SECRET} with-a-space"},
        {"api_key": SECRET, "base_url": "http://example.org"},
        {"api_key": SECRET, "base_url": "https://a@example.org"},
        {"api_key": SECRET, "clients": ["../x"]},
        {"api_key": SECRET, "clients": [ONE, ONE.upper()]},
        {"api_key": SECRET, "surprise": 1},
    ],
)
def test_wrong_settings_are_refused_without_repeating_them(section: dict[str, object]) -> None:
    with pytest.raises(ValidationError) as caught:
        CampaignMonitorSettings.model_validate(section)
    assert_clean(str(caught.value))
    assert "example.org" not in str(caught.value)


@pytest.mark.parametrize("base_url", ["https://api.createsend.com.example.org/api/v3.3", "http://127.0.0.1:9101"])
def test_a_foreign_address_needs_a_rehearsal(base_url: str) -> None:
    section = {"api_key": SECRET, "base_url": base_url}
    built = built_in_a_rehearsal_only(CampaignMonitor, section, "Campaign Monitor")
    assert built.name == "campaign_monitor"


def test_the_address_of_the_api_is_the_vendors_or_the_rehearsals() -> None:
    assert CampaignMonitorSettings.model_validate({"api_key": SECRET}).base_url == "https://api.createsend.com/api/v3.3"
    rehearsed = CampaignMonitorSettings.model_validate({"api_key": SECRET, "base_url": "http://127.0.0.1:9101/"})
    assert rehearsed.base_url == "http://127.0.0.1:9101/api/v3.3"


def test_between_two_tries_of_a_read_it_waits_as_it_was_told_to_and_not_in_real_time() -> None:
    slept: list[float] = []

    class Breaks(StandIn):
        def answer(self, request: requests.PreparedRequest) -> Said:
            if not slept:
                raise requests.ConnectionError
            return super().answer(request)

    class Patient(Only):
        def built(self, kit: Kit) -> Connector:
            return CampaignMonitor(CampaignMonitorSettings.model_validate(self.section), kit, sleep=slept.append)

    with Patient().before(Breaks({ONE: {NEWS: book(person())}})) as stage:
        stage.connector.probe()
    assert len(slept) == 1
