"""How Campaign Monitor's tokens are renewed, and what its limits say."""

import json
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import format_datetime
from urllib.parse import urlsplit

import pytest
import requests

from dpsync.connector import (
    Applied,
    Retryable,
)
from dpsync.errors import CredentialsRejected, ProcessorUnreachable
from dpsync.model import Right
from dpsync.vendor.errors import BLOCKED, BUSY, FAULT_THERE
from tests.connectors.contract import HTML, NOW, OpenShelf, Said, instruction, pseudonym
from tests.connectors.test_campaign_monitor import (
    NEWS,
    ONE,
    Paired,
    StandIn,
    Tokens,
    book,
    failing,
    no,
    person,
    said,
    tokens,
    told,
    twins,
    vendor,
)

# --- a new token for an old one


@dataclass
class Strict(Tokens):
    """Takes a renewal only as OAuth says it is sent (RFC 6749, sections 3.2 and 6)."""

    sent: list[requests.PreparedRequest] = field(default_factory=list)

    def answer(self, request: requests.PreparedRequest) -> Said:
        if urlsplit(request.url or "").path == "/oauth/token":
            self.sent.append(request)
            if request.headers.get("Content-Type") != "application/x-www-form-urlencoded":
                return said(400, {"error": "invalid_request"})
            if request.headers["Accept"] != "application/json":
                return Said(200, {"Content-Type": "application/xml"}, b"<token/>")
        return super().answer(request)


def strict() -> Strict:
    return Strict({ONE: {NEWS: book(person(), reach="OnlyThisList")}})


def test_a_renewal_is_sent_as_a_form_without_the_old_token_and_asks_for_json() -> None:
    stand_in = strict()
    with Paired().before(stand_in) as stage:
        assert isinstance(stage.tell(instruction(Right.OPT_OUT)), Applied)
    (request,) = stand_in.sent
    assert (request.method, request.url) == ("POST", "https://api.createsend.com/oauth/token")
    assert "Authorization" not in request.headers


@pytest.mark.parametrize("status", [400, 401, 403])
def test_a_renewal_that_is_refused_says_how_to_come_by_another_token(status: int) -> None:
    stand_in = tokens(answer_to_refresh=said(status, {"error": "invalid_client"}))
    with Paired().before(stand_in) as stage, pytest.raises(CredentialsRejected, match="authorise the app anew") as no_:
        stage.tell(instruction(Right.OPT_OUT))
    assert (no_.value.endpoint, no_.value.status, no_.value.doubtful) == ("POST /oauth/token", status, False)


@pytest.mark.parametrize(
    ("answer", "reason", "busy"),
    [
        (Said(403, {"Content-Type": "text/html"}, HTML), BLOCKED, True),
        (said(403, {"message": "Forbidden"}), BLOCKED, True),
        (said(429, {"error": "slow_down"}), BUSY, True),
        (said(503, {"error": "temporarily_unavailable"}), BUSY, True),
        (said(500, {"error": "server_error"}), FAULT_THERE, False),
    ],
)
def test_what_is_no_refusal_of_the_token_keeps_it(answer: Said, reason: str, busy: bool) -> None:
    stand_in = tokens(answer_to_refresh=answer)
    with Paired().before(stand_in) as stage:
        outcome = stage.tell(instruction(Right.OPT_OUT))
    assert isinstance(outcome, Retryable)
    assert (outcome.reason, outcome.busy, outcome.doubtful) == (reason, busy, False)


GIVEN = {"access_token": "access-2", "expires_in": 1209600, "refresh_token": "refresh-2"}


@pytest.mark.parametrize(
    "answer",
    [
        said(201, GIVEN),
        said(202, GIVEN),
        said(200, GIVEN | {"access_token": ""}),
        said(200, GIVEN | {"access_token": 7}),
        said(200, {"refresh_token": "refresh-2"}),
        said(200, [GIVEN]),
        said(404, {"error": "not_found", **GIVEN}),
        said(418, {"error": "teapot", **GIVEN}),
    ],
)
def test_a_token_is_read_of_a_200_that_has_one_and_of_nothing_else(answer: Said) -> None:
    stand_in = tokens(answer_to_refresh=answer)
    with Paired().before(stand_in) as stage:
        outcome = stage.tell(instruction(Right.OPT_OUT))
        assert isinstance(outcome, Retryable)
        assert not outcome.doubtful
        stand_in.answer_to_refresh = None
        assert isinstance(stage.tell(instruction(Right.OPT_OUT)), Applied)
    assert [form["refresh_token"] for form in stand_in.forms] == [["refresh-1"]] * 2


@pytest.mark.parametrize(
    ("answered", "next_one"),
    [
        ({"refresh_token": "refresh-2"}, "refresh-2"),
        ({"refresh_token": "refresh-1"}, "refresh-1"),
        ({}, "refresh-1"),
        ({"refresh_token": None}, "refresh-1"),
        ({"refresh_token": ""}, "refresh-1"),
    ],
)
def test_the_next_renewal_is_made_with_the_token_that_the_last_one_gave_or_left(
    answered: dict[str, object], next_one: str
) -> None:
    stand_in = tokens(answer_to_refresh=said(200, {"access_token": "access-2", **answered}))
    with Paired().before(stand_in) as stage:
        stage.connector.probe()
        stand_in.access = "access-3"
        stand_in.answer_to_refresh = said(200, {"access_token": "access-3", **answered})
        stage.connector.probe()
    assert [form["refresh_token"] for form in stand_in.forms] == [["refresh-1"], [next_one]]


def test_a_token_whose_time_is_over_is_renewed_before_it_is_used() -> None:
    stand_in = tokens()
    with Paired().before(stand_in) as stage:
        stage.connector.probe()
        stage.clock.seconds += 1209600
        stand_in.access = "access-3"
        stage.connector.probe()
    assert [form["refresh_token"] for form in stand_in.forms] == [["refresh-1"], ["refresh-2"]]


def test_a_renewal_under_way_is_waited_for_to_the_end_of_its_five_minutes() -> None:
    stand_in, shelf = tokens(), OpenShelf()
    with Paired().before(stand_in) as stage:
        place = f"oauth/{pseudonym('refresh-1')}"
        shelf.put(place, json.dumps(["access-1", "refresh-1", stage.clock.now().isoformat()]))
        stage.clock.seconds += 300
        with pytest.raises(ProcessorUnreachable, match="another process is renewing"):
            twins(stage, shelf).probe()
        outcome = twins(stage, shelf).carry_out(instruction(Right.OPT_OUT))
        assert isinstance(outcome, Retryable)
        assert (outcome.busy, outcome.doubtful, outcome.retry_after) == (True, False, timedelta(seconds=5))
        stage.clock.seconds += 0.001
        assert twins(stage, shelf).probe().title


def test_a_pair_that_was_kept_as_a_list_ends_when_nobody_knows() -> None:
    stand_in, shelf = tokens(), OpenShelf()
    stand_in.answer_to_refresh = said(503, {"Code": 503, "Message": "later"})
    with Paired().before(stand_in) as stage:
        place = f"oauth/{pseudonym('refresh-1')}"
        shelf.put(place, json.dumps(["access-1", "refresh-1", ""]))
        with pytest.raises(ProcessorUnreachable):
            twins(stage, shelf).probe()
        kept = json.loads(shelf.get(place) or "")
    assert (kept["access"], kept["ends"], kept["refresh"]) == ("access-1", "", "refresh-1")


@pytest.mark.parametrize("code", [120, 122])
def test_a_token_that_was_withdrawn_is_not_renewed(code: int) -> None:
    stand_in = tokens(old=code)
    with Paired().before(stand_in) as stage, pytest.raises(CredentialsRejected):
        stage.tell(instruction(Right.OPT_OUT))
    assert (stage.calls(), stand_in.forms) == (1, [])


@pytest.mark.parametrize("code", [60, 100])
def test_a_401_about_something_else_is_answered_by_no_renewal_even_where_the_last_one_was_lost(code: int) -> None:
    stand_in = tokens(answer_to_refresh=said(500))
    with Paired().before(stand_in) as stage:
        assert isinstance(stage.tell(instruction(Right.OPT_OUT)), Retryable)
        stand_in.old, stand_in.answer_to_refresh = code, None
        with pytest.raises(CredentialsRejected):
            stage.tell(instruction(Right.OPT_OUT))
    assert len(stand_in.forms) == 1


@pytest.mark.parametrize(("code", "status"), [(100, 401), (60, 401), (121, 403)])
def test_only_a_401_that_calls_the_token_expired_is_answered_by_a_renewal(code: int, status: int) -> None:
    stand_in = failing(tokens(access="access-1"), "GET", "/clients.json", no(code, status))
    with Paired().before(stand_in) as stage, pytest.raises(CredentialsRejected) as caught:
        stage.tell(instruction(Right.OPT_OUT))
    assert caught.value.endpoint == "GET /clients.json"


# --- limits


def limited(status: int, **headers: str) -> Said:
    answer = no(status, status)
    answer.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    return answer


@pytest.mark.parametrize(
    ("answer", "wait"),
    [
        (limited(429, X_RateLimit_Reset="348"), timedelta(seconds=348)),
        (limited(503, X_RateLimit_Reset="348"), timedelta(seconds=348)),
        (limited(429, X_RateLimit_Reset="348", Retry_After="20"), timedelta(seconds=20)),
        (limited(503, Retry_After=format_datetime(NOW + timedelta(minutes=3), usegmt=True)), timedelta(minutes=3)),
        (limited(429, X_RateLimit_Reset="999999999"), timedelta(hours=24)),
        (limited(429, X_RateLimit_Reset="soon"), None),
        (limited(500, X_RateLimit_Reset="348"), None),
        (limited(429), None),
    ],
)
def test_how_long_to_wait_is_what_a_limit_says_and_never_over_a_day(answer: Said, wait: timedelta | None) -> None:
    outcome = told(failing(vendor(), "GET", "/clients.json", answer), Right.ERASURE)
    assert isinstance(outcome, Retryable)
    assert outcome.retry_after == wait


@pytest.mark.parametrize(
    "headers",
    [
        {"X-RateLimit-Remaining": "59", "X-RateLimit-Reset": "30"},
        {"X-RateLimit-Remaining": "0"},
        {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "0"},
        {"X-RateLimit-Reset": "30"},
    ],
)
def test_while_something_remains_or_no_end_is_said_the_calls_go_on(headers: dict[str, str]) -> None:
    class Counts(StandIn):
        def answer(self, request: requests.PreparedRequest) -> Said:
            status, others, body = super().answer(request)
            return Said(status, {**others, **headers}, body)

    assert isinstance(told(Counts({ONE: {NEWS: book(person())}}), Right.OPT_OUT), Applied)
