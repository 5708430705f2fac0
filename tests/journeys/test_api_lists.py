"""HubSpot and Salesforce list their people by their own interface: each kind of difference is found there, and once."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from pydantic import ValidationError

from dpsync.http import HttpClient
from dpsync.intake.reconciliation.api_lists import TRIES, HubSpotPeople, SalesforcePeople
from dpsync.intake.reconciliation.comparison import ListComparison
from dpsync.intake.reconciliation.judging import Brake
from dpsync.intake.reconciliation.listed import Listed
from dpsync.intake.reconciliation.people_list import ListsPeople, ListUnknown
from dpsync.intake.reconciliation.run import Reconciliation
from dpsync.model import Cause, Right
from dpsync.settings.sources import ApiListSection, PeopleVendor
from dpsync.settings.values import Environment, Secret
from dpsync.store import tables as t
from tests.builders import TurnableClock
from tests.journeys.reconciled import Reconciled, address, ask_before, reconciled
from tests.maindatabase import sqlite_main

pytestmark = pytest.mark.no_database

DAY = timedelta(days=1)
TOKEN = "pat-eu1-of-the-tests"
Answered = tuple[int, Mapping[str, str], object]


class Crm:
    """One contact a line, as `put` says; both vendors show the same. `instead`: what is answered first, in order."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self.instead: list[Answered] = []
        self.calls: list[str] = []
        self.page = 2
        self.url = ""

    def put(self, own_id: int, **more: Any) -> None:
        usual = {"email": f"p{own_id}@example.org", "others": "", "out": False, "deleted": False, "into": None}
        self.rows[str(own_id)] = usual | more

    def hubspot(self, path: str, query: Mapping[str, list[str]], headers: Mapping[str, str], _: bytes) -> Answered:
        assert path == "/crm/v3/objects/contacts"
        if headers["authorization"] != f"Bearer {TOKEN}":
            return 401, {}, {"status": "error", "category": "INVALID_AUTHENTICATION"}
        archived, start = query["archived"] == ["true"], int(query.get("after", ["0"])[0])
        rows = [(name, row) for name, row in self.rows.items() if row["deleted"] is archived and not row["into"]]
        shown = rows[start : start + self.page]
        body: dict[str, Any] = {"results": [self.of_hubspot(*one) for one in shown]}
        if start + self.page < len(rows):
            body["paging"] = {"next": {"after": str(start + self.page), "link": "?"}}
        return 200, {}, body

    def of_hubspot(self, name: str, row: Mapping[str, Any]) -> dict[str, Any]:
        merged = ";".join(one for one, other in self.rows.items() if other["into"] == int(name))
        told = {"email": row["email"], "hs_additional_emails": row["others"] or None}
        told |= {"hs_email_optout": "true" if row["out"] else None, "hs_merged_object_ids": merged or None}
        return {"id": name, "properties": told, "archived": row["deleted"]}

    def salesforce(
        self, path: str, query: Mapping[str, list[str]], headers: Mapping[str, str], body: bytes
    ) -> Answered:
        if path == "/services/oauth2/token":
            assert parse_qs(body.decode())["grant_type"] == ["client_credentials"]
            good = parse_qs(body.decode())["client_secret"] == [TOKEN]
            return (200, {}, {"access_token": "00D!AQ", "token_type": "Bearer"}) if good else (400, {}, {"error": "x"})
        assert headers["authorization"] == "Bearer 00D!AQ"
        start = int(path.rpartition("-")[2]) if "-" in path else 0
        assert start or "FROM Contact" in query["q"][0]
        rows = [self.of_salesforce(*one) for one in self.rows.items()]
        last = start + self.page >= len(rows)
        more = {} if last else {"nextRecordsUrl": f"/services/data/v60.0/query/01g-{start + self.page}"}
        return 200, {}, {"totalSize": len(rows), "done": last, "records": rows[start : start + self.page], **more}

    def of_salesforce(self, name: str, row: Mapping[str, Any]) -> dict[str, Any]:
        into = row["into"] and str(row["into"])
        told = {"Id": name, "Email": row["email"], "HasOptedOutOfEmail": row["out"]}
        told |= {"IsDeleted": row["deleted"] or bool(into), "MasterRecordId": into}
        return told | {"MasterRecord": {"Email": self.rows[into]["email"]} if into else None}


@contextmanager
def serving(crm: Crm, vendor: PeopleVendor) -> Iterator[None]:
    answer: Callable[..., Answered] = getattr(crm, vendor.value)

    class Door(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            crm.calls.append(f"{self.command} {url.path}")
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            told = crm.instead.pop(0) if crm.instead else answer(url.path, parse_qs(url.query), headers, body)
            self.send_response(told[0])
            for name, value in {"content-type": "application/json", **told[1]}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(json.dumps(told[2]).encode())

        do_POST = do_GET  # noqa: N815 - because the library looks for this name

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Door) as server:
        crm.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(params=list(PeopleVendor))
def vendor(request: pytest.FixtureRequest) -> PeopleVendor:
    return PeopleVendor(request.param)


@pytest.fixture
def crm(vendor: PeopleVendor) -> Iterator[Crm]:
    made = Crm()
    with serving(made, vendor):
        yield made


def people(crm: Crm, vendor: PeopleVendor, secret: str = TOKEN, slept: list[float] | None = None) -> ListsPeople:
    client = "3MVG9" if vendor is PeopleVendor.SALESFORCE else ""
    section = ApiListSection.model_construct(vendor=vendor, url=crm.url, client_id=client, secret=Secret("{}", secret))
    made = HubSpotPeople if vendor is PeopleVendor.HUBSPOT else SalesforcePeople
    http = HttpClient(TurnableClock(), rehearsal=True)
    return made(section, http, sleep=(slept if slept is not None else []).append)


def listed(crm: Crm, vendor: PeopleVendor) -> dict[str, Listed]:
    return {one.id: one for page in people(crm, vendor).pages() for one in page if one is not None}


# --- (a) to (f)


@pytest.fixture
def there(tmp_path: Path, sqlite_template: Path) -> Iterator[Reconciled]:
    with sqlite_main(tmp_path) as database, reconciled(tmp_path, sqlite_template, database) as made:
        yield made


def compare(there: Reconciled, crm: Crm, vendor: PeopleVendor) -> ListComparison:
    made = Reconciliation(there.service, "crm", people(crm, vendor), timedelta(minutes=10), Brake(50, 100, None))
    return made.run(there.clock.now())


def test_each_difference_is_found_once_and_the_second_run_says_the_same(
    there: Reconciled, crm: Crm, vendor: PeopleVendor
) -> None:
    ask_before(there)
    before = len(there.requests())
    crm.put(1, out=True)
    crm.put(2)
    crm.put(3, email="moved3@example.org")
    crm.put(5)
    crm.put(7)
    crm.put(6, into=7)
    crm.put(8, deleted=True)
    crm.put(10, out=True)
    crm.put(11)
    first = compare(there, crm, vendor)
    assert first.why == ""
    assert first.new == {"missed": 2, "contactable": 1, "address": 1, "gone": 1, "returned": 1, "merged": 1}
    made = there.requests()[before:]
    causes = {row.request_id: row.causes.split(",") for row in there.rows(t.propagation)}
    held = [Cause.MAYBE_MERGE in causes[row.id] for row in made if row.right == "erasure"]
    assert held == [True, True], "in the bin, and gone without a word: neither says that it was no merge"
    told_again = [one for one in there.asked() if one.subject.id == "crm:7"]
    assert [one.right for one in told_again] == [Right.OPT_OUT], "the winner of a merge keeps the loser's opt-out"
    after, told = there.requests(), there.told()
    assert compare(there, crm, vendor).new == {}
    assert (there.requests(), there.told()) == (after, told), "nothing is asked or told twice"


# --- reading


def test_all_pages_are_read_and_each_record_says_what_it_is(crm: Crm, vendor: PeopleVendor) -> None:
    for own_id in range(1, 6):
        crm.put(own_id, out=own_id == 2, deleted=own_id == 5)
    crm.put(6, into=1)
    found = listed(crm, vendor)
    assert set(found) == {"1", "2", "3", "4", "5", "6"}
    assert [name for name, one in found.items() if one.opted_out] == ["2"]
    assert [name for name, one in found.items() if one.deleted and not one.merged_into] == ["5"]
    assert (found["6"].merged_into, found["6"].winner_addresses) == ("1", (address(1),))
    assert found["4"].addresses == (address(4),)


def test_hubspot_lists_every_address_of_a_contact() -> None:
    crm = Crm()
    with serving(crm, PeopleVendor.HUBSPOT):
        crm.put(1, others="two@example.org;three@example.org")
        crm.put(2, email=None)
        found = listed(crm, PeopleVendor.HUBSPOT)
    assert set(found["1"].addresses) == {address(1), "two@example.org", "three@example.org"}
    assert found["2"].addresses == ()


@pytest.mark.parametrize("status", [429, 503])
def test_who_asks_us_to_wait_is_waited_for_and_not_for_ever(crm: Crm, vendor: PeopleVendor, status: int) -> None:
    crm.put(1)
    crm.instead = [(status, {"retry-after": "3"}, {}), (status, {}, {})]
    slept: list[float] = []
    assert sum(len(page) for page in people(crm, vendor, slept=slept).pages()) == 1
    assert slept == [3.0, 10.0]
    never: list[list[Answered]] = [[(status, {"retry-after": "3600"}, {})], [(status, {}, {})] * TRIES]
    for instead in never:
        crm.instead = [*instead]
        with pytest.raises(ListUnknown, match=f"it answered {status}"):
            list(people(crm, vendor).pages())


def test_a_credential_that_is_not_taken_is_said_and_never_shown(crm: Crm, vendor: PeopleVendor) -> None:
    with pytest.raises(ListUnknown, match="does not accept our credential") as caught:
        list(people(crm, vendor, "another-one").pages())
    assert "another-one" not in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        {"results": None},
        {"results": [{"id": 7, "properties": {}}]},
        {"results": [{"id": "7", "properties": {"email": "a@example.org"}}]},
        {"results": [], "paging": {"next": {}}},
        {"totalSize": 0, "done": True},
        {"totalSize": 1, "done": True, "records": [{"Id": "7", "Email": "a@example.org"}]},
        {"totalSize": 1, "done": False, "records": [], "nextRecordsUrl": "https://elsewhere.example/"},
    ],
)
def test_a_page_of_another_shape_ends_it(crm: Crm, vendor: PeopleVendor, body: object) -> None:
    crm.put(1)
    token: list[Answered] = [(200, {}, {"access_token": "00D!AQ"})] if vendor is PeopleVendor.SALESFORCE else []
    crm.instead = [*token, (200, {}, body)]
    with pytest.raises(ListUnknown, match="another shape"):
        list(people(crm, vendor).pages())


def test_a_list_that_breaks_off_or_goes_in_a_circle_is_no_list() -> None:
    crm = Crm()
    with serving(crm, PeopleVendor.SALESFORCE):
        crm.instead = [(200, {}, {"access_token": "00D!AQ"}), (200, {}, {"totalSize": 3, "done": True, "records": []})]
        with pytest.raises(ListUnknown, match="broke off"):
            list(people(crm, PeopleVendor.SALESFORCE).pages())
        crm.instead = [(200, {}, {"access_token": "two words"})]
        with pytest.raises(ListUnknown, match="another shape"):
            list(people(crm, PeopleVendor.SALESFORCE).pages())
    with serving(crm, PeopleVendor.HUBSPOT):
        crm.instead = [(200, {}, {"results": [], "paging": {"next": {"after": "5"}}})] * 2
        with pytest.raises(ListUnknown, match="another shape"):
            list(people(crm, PeopleVendor.HUBSPOT).pages())


def test_no_answer_at_all_is_not_known(crm: Crm, vendor: PeopleVendor) -> None:
    crm.url = "http://127.0.0.1:9"
    with pytest.raises(ListUnknown, match="does not answer"):
        list(people(crm, vendor).pages())


# --- its section


@pytest.mark.parametrize(
    ("vendor", "more"),
    [
        ("hubspot", {"url": "https://api.hubapi.example"}),
        ("hubspot", {"url": "https://nothubapi.com"}),
        ("hubspot", {"client_id": "3MVG9"}),
        ("salesforce", {"url": "https://example.my.salesforce.com"}),
        ("salesforce", {"client_id": "3MVG9"}),
        ("dynamics", {}),
    ],
)
def test_a_section_that_does_not_fit_its_vendor_is_refused(vendor: str, more: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        section(vendor=vendor, **more)


def test_a_section_that_fits_is_taken() -> None:
    assert section(vendor="hubspot").url == "https://api.hubapi.com"
    url = "https://example.my.salesforce.com"
    assert section(vendor="salesforce", url=url, client_id="3MVG9").url == url


def section(**given: object) -> ApiListSection:
    context = Environment({"TOKEN": TOKEN}, Path())
    return ApiListSection.model_validate({"secret": {"env": "TOKEN"}, **given}, context=context)
