"""Whether it is Mailchimp that answers, what it says of the account, and how long that is believed."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from dpsync.connector import Applied, CannotTell, Connector, Evidence, Kit, Refused, Reply, Retryable
from dpsync.connectors.mailchimp import Mailchimp
from dpsync.connectors.mailchimp.calls import Calls, MailchimpSettings
from dpsync.errors import CredentialsRejected, ProcessorUnreachable
from dpsync.model import Right
from dpsync.vendor.errors import BLOCKED, NOT_DONE
from tests.connectors.contract import OLD, SECRET, Said, instruction
from tests.connectors.test_mailchimp import LIFTED, Only, StandIn, on_stage, person, problem, said, told, vendor


class Says(StandIn):
    """Answers everything but one path as it is told to."""

    how: Said = problem(500, "Trouble")

    def answer(self, request: requests.PreparedRequest) -> Said:
        return super().answer(request) if urlsplit(request.url or "").path == "/3.0/lists" else self.how


@pytest.mark.parametrize("change", [{"title": None}, {"title": 7}, {"status": "400"}, {"detail": ["x"]}])
@pytest.mark.parametrize("gone", [True, False])
def test_an_error_is_mailchimps_own_only_with_each_member_of_its_document(
    change: dict[str, object], *, gone: bool
) -> None:
    document = {"title": "Trouble", "status": 400, "detail": "x"} | change
    there = Says({"list1": {}})
    there.how = said(400, {name: value for name, value in document.items() if not gone or name not in change})
    with on_stage(there) as stage:
        with pytest.raises(ProcessorUnreachable) as caught:
            stage.connector.probe()
        assert caught.value.message.startswith(f"Mailchimp: {BLOCKED}")
        finding = stage.read_back(instruction(Right.OPT_OUT))
        assert isinstance(finding, CannotTell)
        assert finding.reason == BLOCKED
        assert isinstance(stage.tell(instruction(Right.OPT_OUT)), Retryable)


class Other(StandIn):
    """Answers everything as it is told to."""

    def __init__(self, how: Said) -> None:
        super().__init__({"list1": {}})
        self.how = how

    def answer(self, request: requests.PreparedRequest) -> Said:
        return self.how


@pytest.mark.parametrize("status", [401, 403, 404, 429])
@pytest.mark.parametrize(
    ("page", "own"),
    [
        ("https://developers.cloudflare.com/support/troubleshooting/http-status-codes/cloudflare-1xxx-errors/", False),
        ("https://mailchimp.com.waf.example/errors", False),
        ("//notmailchimp.com/errors", False),
        ("https://mailchimp.com/developer/marketing/docs/errors/", True),
        ("http://developer.mailchimp.com/documentation/mailchimp/guides/error-glossary/", True),
        ("about:blank", False),
        ("akamai_error_message", False),
        (None, True),
    ],
)
def test_a_problem_that_leads_to_the_pages_of_another_is_none_of_mailchimps(
    status: int, page: str | None, *, own: bool
) -> None:
    with on_stage(Other(problem(status, "Error 1020: Access denied", type=page))) as stage:
        with pytest.raises((ProcessorUnreachable, CredentialsRejected)) as caught:
            stage.connector.probe()
        assert (BLOCKED in str(caught.value)) is not own


@pytest.mark.parametrize(
    ("title", "own"),
    [
        ("API Key Invalid", True),
        ("API Key Missing", True),
        ("Authorization Failure", True),
        ("Forgotten Email Not Subscribed", True),
        ("InternalServerError", True),
        ("Invalid Resource", True),
        ("JSON Parse Exception", True),
        ("Member Exists", True),
        ("Member In Compliance State", True),
        ("Resource Not Found", True),
        ("TooManyRequests", True),
        ("User Disabled", True),
        ("Bad Request", False),
        ("Forbidden", False),
        ("Not Found", False),
        ("Method Not Allowed", False),
        ("Too Many Requests", False),
        ("Internal Server Error", False),
        ("resource not found", False),
    ],
)
def test_a_problem_that_leads_nowhere_is_mailchimps_by_its_own_words_alone(title: str, *, own: bool) -> None:
    calls = object.__new__(Calls)
    for page, its in (("about:blank", own), ("https://waf.example/problem", False), ("", False), (None, True)):
        body = json.dumps({"type": page, "title": title, "status": 404, "detail": "x"}).encode()
        at = Evidence(endpoint="GET /ping", status=404, at=datetime(2026, 11, 30, tzinfo=UTC))
        assert calls.speaks(Reply(404, {"content-type": "application/problem+json"}, body, at)) is its, page


def test_an_account_is_named_with_all_its_contacts() -> None:
    with on_stage(vendor(list1={})) as stage:
        account = stage.connector.probe()
    assert (account.title, account.contacts, account.lists) == ("Example Trust", 4711, ("News (list1)",))


@pytest.mark.parametrize(("seconds", "reads"), [(299.5, 1), (300.0, 2)])
def test_the_set_of_audiences_is_believed_for_less_than_five_minutes(seconds: float, reads: int) -> None:
    with on_stage(vendor(list1=person("ada+news@example.org", "list1"))) as stage:
        for _ in range(2):
            stage.tell(instruction(Right.OPT_OUT, addresses=("ada+news@example.org",)))
            stage.clock.seconds += seconds
        assert [urlsplit(one.url or "").path for one in stage.sent].count("/3.0/lists") == reads


def test_a_yes_that_was_carried_out_is_not_said_to_have_changed_nothing() -> None:
    for right in Right:
        outcome = told(vendor(list1=person(OLD, "list1")), right)
        assert isinstance(outcome, Applied)
        assert NOT_DONE not in [one.note for one in outcome.evidence]


def test_who_is_archived_already_is_not_touched_and_is_not_ours_to_take_out() -> None:
    with on_stage(vendor(list1=person(OLD, "list1", "archived"))) as stage:
        assert isinstance(stage.tell(instruction(Right.RESTRICTION)), Applied)
        assert isinstance(stage.tell(instruction(Right.RESTRICTION, lifted=LIFTED)), Applied)
        assert stage.writes() == 0


# --- how a call is made


class Plain(StandIn):
    """Shows audiences without their names, and members without the audience that they are in."""

    def answer(self, request: requests.PreparedRequest) -> Said:
        found = super().answer(request)
        content = json.loads(found.body or b"null")
        if isinstance(content, dict) and found.status == 200:
            for row in content.get("lists", ()):
                row.pop("name", None)
        return said(found.status, content) if found.status == 200 else found


def test_a_call_sends_no_body_where_it_has_none_and_names_the_audience_that_it_is_about() -> None:
    with on_stage(vendor(list1=person(OLD, "list1"))) as stage:
        outcome = stage.tell(instruction(Right.OPT_OUT))
        stage.read_back(instruction(Right.OPT_OUT))
    assert isinstance(outcome, Applied)
    for request in stage.sent:
        assert (request.body is None) is (request.method == "GET")
    scopes = {one.endpoint: one.scope for one in outcome.evidence}
    assert scopes["GET /lists"] == ""
    assert {scope for endpoint, scope in scopes.items() if endpoint != "GET /lists"} == {"list1"}


def test_a_value_of_a_query_is_sent_as_it_is_and_a_truth_value_in_small_letters() -> None:
    with on_stage(vendor(list1={})) as stage:
        calls = stage.connector.calls(None)  # type: ignore[attr-defined]  # because it is this connector's own
        calls.call_api("/lists", "GET", query_params=[("fields", "A"), ("skip", True), ("count", 7)])
    assert parse_qs(urlsplit(stage.sent[-1].url or "").query) == {"fields": ["A"], "skip": ["true"], "count": ["7"]}


@pytest.mark.parametrize(("method", "doubtful"), [("GET", False), ("PATCH", True)])
def test_only_what_writes_is_in_doubt_after_a_fault_there(method: str, *, doubtful: bool) -> None:
    class Fails(StandIn):
        def answer(self, request: requests.PreparedRequest) -> Said:
            is_it = request.method == method and "/members/" in (request.url or "")
            return problem(500, "Internal Server Error") if is_it else super().answer(request)

    outcome = told(Fails({"list1": person(OLD, "list1")}), Right.OPT_OUT)
    assert isinstance(outcome, Retryable)
    assert outcome.doubtful is doubtful


def test_an_audience_without_a_name_is_named_by_its_id() -> None:
    with on_stage(Plain({"list1": {}})) as stage:
        assert stage.connector.probe().lists == (" (list1)",)


@pytest.mark.parametrize("status", [201, 299])
def test_a_yes_that_is_not_documented_is_no_yes(status: int) -> None:
    class Says201(StandIn):
        def answer(self, request: requests.PreparedRequest) -> Said:
            found = super().answer(request)
            return found._replace(status=status) if request.method == "PATCH" else found

    assert isinstance(told(Says201({"list1": person(OLD, "list1")}), Right.OPT_OUT), Refused)


def test_whether_a_configured_audience_exists_is_asked_by_its_id_alone() -> None:
    class One(Only):
        section: ClassVar[Mapping[str, object]] = {"api_key": SECRET, "audiences": ["list1"]}

    with One().before(vendor(list1={})) as stage:
        stage.connector.probe()
    (asked,) = [one for one in stage.sent if urlsplit(one.url or "").path == "/3.0/lists/list1"]
    assert parse_qs(urlsplit(asked.url or "").query) == {"fields": ["id"]}


def test_the_pauses_between_two_reads_are_those_that_its_maker_gives() -> None:
    slept: list[float] = []

    class Patient(Only):
        def built(self, kit: Kit) -> Connector:
            return Mailchimp(MailchimpSettings.model_validate(self.section), kit, sleep=slept.append)

    class Blips(StandIn):
        def answer(self, request: requests.PreparedRequest) -> Said:
            if len(slept) < 2:
                raise requests.ConnectionError
            return super().answer(request)

    with Patient().before(Blips({"list1": person(OLD, "list1")})) as stage:
        assert isinstance(stage.tell(instruction(Right.ERASURE)), Applied)
    assert len(slept) == 2
