"""What Hootsuite's answers mean, part by part, and what exactly is sent to get them."""

from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from dpsync.connector import Accepted, Refused, Retryable
from dpsync.connectors.hootsuite import calls
from dpsync.errors import CredentialsRejected, ProcessorUnreachable
from dpsync.vendor.errors import BLOCKED, BUSY, FAULT_THERE, UNDOCUMENTED, UNREADABLE
from dpsync.vendor.token import RENEWING
from tests.connectors.contract import HTML, NOW, Said
from tests.connectors.test_hootsuite import ADA, BOB, CRM, StandIn, error, oauth, on_stage, right_it, said


class Killed(BaseException):
    """The process ended here."""


PORTAL = Said(302, {"Content-Type": "text/html"}, HTML)


def there(answer: Said | Exception, where: str = "/inbox/") -> StandIn:
    return StandIn({ADA: dict(CRM)}, instead=answer, where=where)


# --- what is sent


@pytest.mark.parametrize("section", [{}, {"refresh_token": "refresh-0"}], ids=["app", "member"])
def test_each_call_says_what_it_sends_and_what_it_takes(section: dict[str, object]) -> None:
    with on_stage(None, **section) as stage:
        stage.connector.probe()
        right_it(stage)
        headers = [
            (one.method, *(one.headers.get(name, "-") for name in ("Content-Type", "Accept"))) for one in stage.sent
        ]
        assert [urlsplit(one.url or "").path.count("{") for one in stage.sent] == [0] * 4
    assert headers[:1] == [("POST", "application/x-www-form-urlencoded", "-")]
    json = "application/json"
    assert headers[1:] == [("GET", "-", json), ("GET", "-", json), ("PUT", json, json)]


@pytest.mark.parametrize(("seconds", "tokens"), [(3538, 1), (3539, 2)])
def test_a_token_is_used_until_a_minute_before_its_end_and_not_in_it(seconds: int, tokens: int) -> None:
    stand_in = StandIn({ADA: dict(CRM)})
    with on_stage(stand_in) as stage:
        stage.connector.probe()
        stage.clock.seconds += seconds
        stage.connector.probe()
    assert len(stand_in.forms) == tokens


# --- who answered


@pytest.mark.parametrize(
    ("body", "own"),
    [
        ({"errors": [{"code": 9999}]}, True),
        ({"errors": ["Contact profile is not there"]}, True),
        ({"errors": []}, False),
        ({"errors": "9999"}, False),
        ({"error": "invalid_request", "error_description": "x"}, True),
        ({"error": "invalid_request"}, False),
        ({"error": "invalid_request", "error_description": 7}, False),
        ({"error": 7, "error_description": "x"}, False),
        ({"schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"], "status": "400"}, True),
        ({"schemas": "urn:ietf:params:scim:api:messages:2.0:Error", "status": "400"}, False),
        ({"schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"]}, False),
        ({"schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"], "status": 400}, False),
        ({"status": "400"}, False),
    ],
)
def test_an_error_is_hootsuites_own_only_in_one_of_its_three_shapes(body: object, *, own: bool) -> None:
    with on_stage(there(said(400, body))) as stage:
        outcome: Any = right_it(stage)
    assert isinstance(outcome, Refused if own else Retryable)
    assert (outcome.reason == BLOCKED) is not own


@pytest.mark.parametrize("section", [{}, {"refresh_token": "refresh-0"}], ids=["app", "member"])
@pytest.mark.parametrize("answer", [PORTAL, Said(200, {}, b""), error(500, 9999), error(503, 9999)])
def test_a_token_that_was_not_had_leaves_no_doubt_about_the_person(section: dict[str, object], answer: Said) -> None:
    with on_stage(there(answer, where="token"), **section) as stage:
        if answer.status >= 500 and section:
            with pytest.raises(CredentialsRejected, match="authorise the app anew"):
                right_it(stage)
            return
        outcome = right_it(stage)
    assert isinstance(outcome, Retryable)
    assert not outcome.doubtful
    assert outcome.blocked is (answer.status < 400)


def test_a_refresh_that_something_else_answered_is_made_later() -> None:
    stand_in = there(Said(200, {}, b""), where="token")
    with on_stage(stand_in, refresh_token="refresh-0") as stage:
        for answer in (Said(200, {}, b""), PORTAL):
            stand_in.instead = answer
            with pytest.raises(ProcessorUnreachable) as caught:
                stage.connector.probe()
            assert caught.value.code == "DP-214"
        stand_in.instead = None
        assert stage.connector.probe().title


@pytest.mark.parametrize("answer", [Said(200, {}, b""), PORTAL])
def test_a_read_that_something_else_answered_is_blocked_and_says_where(answer: Said) -> None:
    with on_stage(there(answer, where="/v1/")) as stage, pytest.raises(ProcessorUnreachable) as caught:
        stage.connector.probe()
    assert caught.value.message == f"Hootsuite: {BLOCKED} ({answer.status} to GET /v1/me/organizations)"


# --- what it said


ORGANISATIONS = {"data": [{"id": "900002", "name": "Example Trust"}]}


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (said(200, {**ORGANISATIONS, "errors": [{"code": 1}]}), UNREADABLE),
        (said(200, {"data": {"id": "900002"}}), UNREADABLE),
        (said(201, ORGANISATIONS), UNDOCUMENTED),
        (error(404, 4001), UNDOCUMENTED),
    ],
)
def test_a_list_is_read_of_a_200_without_errors_alone(answer: Said, reason: str) -> None:
    with on_stage(there(answer, where="/v1/")) as stage, pytest.raises(ProcessorUnreachable, match=reason):
        stage.connector.probe()


def test_a_token_is_taken_of_a_200_alone() -> None:
    for status in (201, 299):
        answer = said(status, {"access_token": "token-1", "expires_in": 3599, "refresh_token": "refresh-1"})
        with on_stage(there(answer, where="token")) as stage:
            outcome = right_it(stage)
            assert stage.writes() == 0
        assert isinstance(outcome, Retryable)
        assert (outcome.reason, outcome.doubtful) == (UNREADABLE, False)


@pytest.mark.parametrize(
    ("where", "answer", "calls", "advice"),
    [
        ("/inbox/", error(401, 1001), 4, ""),
        ("/inbox/", said(401, {"errors": [{"message": "x"}]}), 2, f": {calls.NO_RIGHT}"),
        ("/inbox/", oauth(401, "token_inactive"), 4, ""),
        ("/inbox/", error(401, 4003), 2, f": {calls.NO_RIGHT}"),
        ("/inbox/", error(403, 4002), 2, f": {calls.NO_RIGHT}"),
        ("/inbox/", error(403, 1001), 2, ""),
        ("/inbox/", oauth(403, "request_forbidden"), 2, f": {calls.REVOKED}"),
        ("token", oauth(401, "invalid_client"), 1, ""),
        ("token", oauth(401, "request_forbidden"), 1, f": {calls.REVOKED}"),
        ("token", oauth(400, "invalid_client"), 1, ""),
    ],
)
def test_advice_is_given_where_the_code_says_more_than_that_the_token_is_dead(
    where: str, answer: Said, calls: int, advice: str
) -> None:
    with on_stage(there(answer, where=where)) as stage, pytest.raises(CredentialsRejected) as caught:
        right_it(stage)
    assert stage.calls() == calls
    assert caught.value.brief.partition(" to ")[2].partition(": ")[1:] == (advice[:2], advice[2:])


@pytest.mark.parametrize(
    ("answer", "reason", "busy"),
    [
        (error(400, 1003), BUSY, True),
        (error(403, 1004), BUSY, True),
        (error(499, 1043), BUSY, True),
        (error(500, 1003), FAULT_THERE, False),
    ],
)
def test_a_limit_is_a_limit_under_any_4xx_and_a_fault_is_a_fault(answer: Said, reason: str, *, busy: bool) -> None:
    with on_stage(there(answer)) as stage:
        outcome = right_it(stage)
    assert isinstance(outcome, Retryable)
    assert (outcome.reason, outcome.busy) == (reason, busy)


def test_of_several_codes_the_one_that_means_something_counts() -> None:
    several = {"errors": [{"code": code, "message": "No.", "id": "f7d32670-4e6a"} for code in (1111, 1202)]}
    with on_stage(there(said(403, several))) as stage:
        outcome = right_it(stage)
    assert isinstance(outcome, Refused)
    assert outcome.reason == calls.NOT_OURS


@pytest.mark.parametrize(("quota", "wait"), [("10", timedelta(hours=14, minutes=29, seconds=54.75)), ("12", None)])
def test_a_429_of_any_code_waits_for_the_next_day_only_where_the_quota_is_used_up(
    quota: str, wait: timedelta | None
) -> None:
    answer = error(429, 9999, X_Account_Quota=quota, X_Account_Quota_Used="11")
    with on_stage(there(answer)) as stage:
        stage.clock.seconds += 1805.25
        outcome = right_it(stage)
    assert isinstance(outcome, Retryable)
    assert outcome.retry_after == (wait or timedelta(seconds=1))


@pytest.mark.parametrize(
    ("answer", "reason"),
    [(error(300, 9999), UNDOCUMENTED), (error(302, 9999), UNDOCUMENTED), (error(299, 9999), calls.PARTLY)],
)
def test_a_yes_with_errors_beside_it_ends_where_redirects_begin(answer: Said, reason: str) -> None:
    with on_stage(there(answer)) as stage:
        outcome = right_it(stage)
    assert isinstance(outcome, Refused)
    assert outcome.reason == reason


@pytest.mark.parametrize(("one", "kept"), [({}, ""), ({"id": "e-1"}, "e-1"), ({"id": "e 1"}, ""), ({"id": ""}, "")])
def test_only_what_can_be_an_id_is_kept_as_the_one_of_an_error(one: dict[str, str], kept: str) -> None:
    with on_stage(there(said(400, {"errors": [{"code": 1100, **one}]}))) as stage:
        outcome = right_it(stage)
    assert isinstance(outcome, Refused)
    assert outcome.evidence[-1].request_id == kept


# --- the refresh token


def test_a_refresh_that_is_lost_half_way_keeps_what_was_done_before_it() -> None:
    class Dies(StandIn):
        def answer(self, request: requests.PreparedRequest) -> Said:
            if BOB in (request.url or ""):
                self.live.clear()
                self.instead, self.where = requests.ReadTimeout(), "token"
            return super().answer(request)

    with on_stage(Dies({ADA: dict(CRM), BOB: dict(CRM)}), refresh_token="refresh-0") as stage:
        with pytest.raises(CredentialsRejected, match="authorise the app anew") as caught:
            right_it(stage)
        assert [one.method for one in stage.sent] == ["POST", "PUT", "PUT", "POST"]
    assert (caught.value.doubtful, [one.status for one in caught.value.evidence]) == (True, [200, 200, 401, None])


@pytest.mark.parametrize(("minutes", "lost"), [(5, False), (5.01, True)])
def test_a_renewal_that_began_over_five_minutes_ago_is_lost(minutes: float, *, lost: bool) -> None:
    class Breaks(StandIn):
        def answer(self, request: requests.PreparedRequest) -> Said:
            if urlsplit(request.url or "").path == "/oauth2/token":
                raise Killed
            return super().answer(request)

    with on_stage(Breaks({ADA: dict(CRM)}), refresh_token="refresh-0") as stage:
        with pytest.raises(Killed):
            right_it(stage)
        assert stage.clock.now() == NOW
        stage.clock.seconds += 60 * minutes
        if lost:
            with pytest.raises(CredentialsRejected, match="authorise the app anew"):
                right_it(stage)
        else:
            outcome = right_it(stage)
            assert isinstance(outcome, Retryable)
            assert outcome.reason == RENEWING


def test_a_token_that_ends_at_once_is_used_for_the_call_that_asked_for_it() -> None:
    for seconds in (0, -5, 1e300):

        class Short(StandIn):
            def _token(self, request: requests.PreparedRequest) -> Said:
                self.live.add("token-1")
                return said(200, {"access_token": "token-1", "expires_in": seconds})  # noqa: B023 because it is used in this round

        with on_stage(Short({ADA: dict(CRM)})) as stage:
            assert isinstance(right_it(stage), Accepted)
