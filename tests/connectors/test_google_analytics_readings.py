"""What Google's answers to a deletion and to a token call mean, part by part, and what exactly is sent to get them."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests

from dpsync.connector import Accepted, Outcome, Refused, Retryable
from dpsync.connectors.google_analytics.calls import NO_RIGHT, WRONG
from dpsync.errors import CredentialsRejected, ProcessorUnreachable
from dpsync.model import Right
from dpsync.vendor.errors import BLOCKED, FAULT_THERE, UNDOCUMENTED
from dpsync.vendor.pace import DAY_SPENT
from tests.connectors.contract import HTML, Said, instruction
from tests.connectors.test_google_analytics import COOKIE, ONE, SCOPE, SECTION, TWO, StandIn, no, on_stage, said, told

TOKEN = {"access_token": "ya29.1", "expires_in": 3599, "scope": SCOPE}
ERASURE = instruction(Right.ERASURE, references={"google_analytics": (COOKIE,)})


def answered(answer: Said, at: str = ONE) -> Outcome:
    return told(StandIn(instead={at: answer}), COOKIE, properties=[ONE])


# --- what is sent


def test_each_call_is_made_as_its_page_shows_it() -> None:
    with on_stage(StandIn(), user_id=False, properties=[ONE]) as stage:
        stage.tell(ERASURE)
        token, deletion = stage.sent
    body = token.body.decode() if isinstance(token.body, bytes) else ""
    form = dict(parse_qsl(body))
    own = {name: SECTION[name] for name in ("client_id", "client_secret", "refresh_token")}
    assert (token.headers["Content-Type"], form) == (
        "application/x-www-form-urlencoded",
        {"grant_type": "refresh_token", **own},
    )
    asked = {"id": {"type": "CLIENT_ID", "userId": COOKIE}, "propertyId": ONE}
    assert (deletion.headers["Content-Type"], json.loads(deletion.body or b"")) == (
        "application/json",
        {"kind": "analytics#userDeletionRequest", **asked},
    )


@pytest.mark.parametrize(("seconds", "renewals"), [(3538, 1), (3539, 2)])
def test_a_token_is_used_until_a_minute_before_its_end_and_not_in_it(seconds: int, renewals: int) -> None:
    stand_in = StandIn()
    with on_stage(stand_in) as stage:
        stage.tell(ERASURE)
        stage.clock.seconds += seconds
        stage.tell(instruction(Right.ERASURE, reference="ref-2"))
    assert stand_in.renewals == renewals


@pytest.mark.parametrize("of", ["project", ONE])
def test_the_day_is_counted_of_the_project_and_of_each_property_also_over_a_restart(of: str) -> None:
    with on_stage(StandIn(), user_id=False) as stage:
        stage.shelf.put(f"day/{of}", "2026-11-20 499")
        outcome = stage.tell(ERASURE)
        spent = {"day/project": "2026-11-20 500", f"day/{ONE}": "2026-11-20 500"}
        kept = {key: value for key, value in stage.shelf.kept.items() if value == "2026-11-20 500"}
    if of == "project":
        assert isinstance(outcome, Retryable)
        assert (outcome.reason, outcome.doubtful) == (DAY_SPENT, True)
    else:
        assert isinstance(outcome, Accepted)
    assert kept == {f"day/{of}": spent[f"day/{of}"]}


def test_a_call_that_is_made_again_with_a_new_token_counts_at_its_property_too() -> None:
    stand_in = StandIn()
    with on_stage(stand_in, properties=[ONE], user_id=False) as stage:
        stage.tell(ERASURE)
        stand_in.dead = {"ya29.1"}
        assert isinstance(stage.tell(replace(ERASURE, reference="ref-2")), Accepted)
        counted = {key: value for key, value in stage.shelf.kept.items() if key.startswith("day/")}
    assert counted == {"day/project": "2026-11-20 3", f"day/{ONE}": "2026-11-20 3"}


# --- who answered


@pytest.mark.parametrize(
    "body",
    [
        {"error": {}},
        {"error": {"CODE": 400}},
        {"error": {"code": "400"}},
        {"error": "invalid_grant"},
        {"error": None},
        {"code": 400},
        ["error"],
    ],
)
def test_an_error_is_googles_own_only_in_the_shape_of_its_interfaces(body: object) -> None:
    outcome = answered(said(400, body))
    assert isinstance(outcome, Retryable)
    assert (outcome.reason, outcome.blocked) == (BLOCKED, True), (
        "that Google gave us a token shows nothing of this host"
    )


@pytest.mark.parametrize("body", [{"error": 400}, {"ERROR": "invalid_grant"}, {"error_description": "x"}, []])
def test_an_error_at_the_token_call_is_googles_own_only_in_the_shape_of_oauth(body: object) -> None:
    outcome = answered(said(400, body), at="token")
    assert isinstance(outcome, Retryable)
    assert (outcome.reason, outcome.blocked, outcome.doubtful) == (BLOCKED, True, False)


@pytest.mark.parametrize("status", [200, 302, 502])
def test_what_answers_a_token_call_in_googles_place_leaves_no_doubt_about_a_deletion(status: int) -> None:
    outcome = answered(Said(status, {"Content-Type": "text/html"}, HTML), at="token")
    assert isinstance(outcome, Retryable)
    assert (outcome.reason, outcome.doubtful) == (BLOCKED, False)


@pytest.mark.parametrize(("at", "doubtful"), [(ONE, True), ("token", False)])
def test_a_fault_leaves_doubt_about_a_deletion_and_none_about_a_token(at: str, *, doubtful: bool) -> None:
    outcome = answered(no(500, "backendError"), at=at)
    assert isinstance(outcome, Retryable)
    assert (outcome.reason, outcome.doubtful) == (FAULT_THERE, doubtful)


@pytest.mark.parametrize("answer", [said(403, {"error": "access_denied"}), no(403, "forbidden"), no(401, "authError")])
def test_whom_google_gives_no_token_is_rejected(answer: Said) -> None:
    with pytest.raises(CredentialsRejected) as caught:
        answered(answer, at="token")
    assert NO_RIGHT not in caught.value.message


def test_another_address_is_used_for_every_call() -> None:
    class Elsewhere(StandIn):
        def answer(self, request: requests.PreparedRequest) -> Said:
            assert (request.url or "").startswith("https://analytics.example.org/")
            request.url = (request.url or "").replace(
                "https://analytics.example.org/",
                f"https://{'oauth2' if '/token' in (request.url or '') else 'www'}.googleapis.com/",
            )
            return super().answer(request)

    assert isinstance(told(Elsewhere(), COOKIE, base_url="https://analytics.example.org"), Accepted)


def test_what_stands_before_google_is_blocked_until_google_itself_has_answered_about_a_property() -> None:
    page = Said(403, {"Content-Type": "text/html"}, HTML)
    for at, blocked in ((ONE, True), (TWO, False)):
        outcome = told(StandIn(instead={at: page}), COOKIE)
        assert isinstance(outcome, Retryable)
        assert (outcome.reason, outcome.blocked) == (BLOCKED, blocked)


# --- what it said


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (no(400, "invalidParameter"), WRONG),
        (said(400, {"error": {"code": 400}}), UNDOCUMENTED),
        (said(400, {"error": {"code": 400, "errors": []}}), UNDOCUMENTED),
        (said(400, {"error": {"code": 400, "errors": [{"reason": 7}]}}), UNDOCUMENTED),
        (no(404, "notFound"), UNDOCUMENTED),
        (no(300, "ambiguous"), UNDOCUMENTED),
    ],
)
def test_a_no_is_about_the_property_only_where_it_gives_a_reason(answer: Said, reason: str) -> None:
    outcome = answered(answer)
    assert isinstance(outcome, Refused)
    assert outcome.reason == reason


@pytest.mark.parametrize("status", [201, 202, 299])
@pytest.mark.parametrize("at", [ONE, "token"])
def test_another_yes_than_200_is_in_doubt_where_it_may_have_been_done(status: int, at: str) -> None:
    whole = {"id": {"type": "CLIENT_ID", "userId": COOKIE}, "propertyId": ONE}
    outcome = answered(said(status, {**whole, **TOKEN, "deletionRequestTime": "2026-11-20T09:00:00Z"}), at=at)
    assert isinstance(outcome, Retryable)
    assert outcome.doubtful is (at == ONE)


@pytest.mark.parametrize("reason", ["quotaExceeded", "QuotaExceeded", "rateLimitExceeded", "LIMITED"])
@pytest.mark.parametrize("status", [403, 429])
def test_how_long_to_wait_google_says_itself_where_it_says_so(status: int, reason: str) -> None:
    outcome = answered(no(status, reason, **{"Retry-After": "120"}))
    assert isinstance(outcome, Retryable)
    assert (outcome.busy, outcome.retry_after) == (True, timedelta(seconds=120))


def test_a_limit_in_another_word_is_one_for_the_day_and_only_under_its_own_status() -> None:
    outcome = answered(no(403, "QUOTA"))
    assert isinstance(outcome, Retryable)
    assert outcome.retry_after == timedelta(hours=23)
    assert isinstance(answered(no(400, "limitExceeded")), Refused)


@pytest.mark.parametrize(
    ("at", "answer", "advice"),
    [
        (ONE, no(403, "forbidden"), f": {NO_RIGHT}"),
        (ONE, said(403, {"error": {"code": 403}}), f": {NO_RIGHT}"),
        (ONE, no(401, "authError"), ""),
        ("token", no(403, "forbidden"), ""),
        ("token", said(400, {"error": "invalid_grant"}), ""),
        ("token", said(401, {"error": "invalid_client"}), ""),
        ("token", said(401, {"error": {"code": 401}}), ""),
        ("token", said(200, {**TOKEN, "scope": f"{SCOPE}.readonly openid"}), ""),
    ],
)
def test_only_a_403_to_a_deletion_is_about_the_rights_in_the_property(at: str, answer: Said, advice: str) -> None:
    with pytest.raises(CredentialsRejected) as caught:
        answered(answer, at=at)
    endpoint = "POST /token" if at == "token" else "POST /analytics/v3/userDeletion/userDeletionRequests:upsert"
    assert caught.value.brief == f"{answer.status} to {endpoint}{advice}"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (said(400, {"error": {"code": 400}}), Refused),
        (said(200, {"error": "invalid_grant"}), Retryable),
        (said(400, {**TOKEN, "error": {"code": 400}}), Refused),
        *((said(200, {**TOKEN, **change}), Retryable) for change in ({"expires_in": "3599"}, {"scope": None})),
        (said(200, {**TOKEN, "access_token": 7}), Retryable),
    ],
)
def test_a_token_is_taken_of_a_200_alone_and_a_no_to_it_of_a_400(answer: Said, kind: type) -> None:
    stand_in = StandIn(instead={"token": answer})
    outcome: Any = told(stand_in, COOKIE)
    assert isinstance(outcome, kind)
    assert not getattr(outcome, "doubtful", False)
    assert stand_in.asked == []


def test_who_cannot_be_reached_is_named() -> None:
    with on_stage(StandIn(instead={"token": said(500, {})})) as stage:
        with pytest.raises(ProcessorUnreachable) as caught:
            stage.connector.probe()
        assert caught.value.message.startswith("Google Analytics: ")
        assert {urlsplit(one.url or "").path for one in stage.sent} == {"/token"}
