"""What exactly is sent to Brevo, and what its answers mean, part by part."""

from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from dpsync.connector import Connector, Kit, Retryable
from dpsync.connectors.brevo import Brevo
from dpsync.connectors.brevo.calls import BrevoSettings
from dpsync.model import Right
from dpsync.vendor.errors import UNREADABLE
from tests.connectors.contract import OLD, Said, instruction
from tests.connectors.test_brevo import OnStage, StandIn, before, contact, said

LEFT = "x-sib-ratelimit-remaining"
RESET = "x-sib-ratelimit-reset"


def fault(status: int, **headers: str) -> Said:
    return said(status, {"code": "trouble", "message": "No."})._replace(
        headers={"Content-Type": "application/json", **headers}
    )


def test_each_call_is_made_as_the_reference_shows_it() -> None:
    with before(StandIn([contact("a/b@example.org")])) as stage:
        stage.connector.probe()
        stage.tell(instruction(Right.OPT_OUT, addresses=("a/b@example.org",)))
        sent = stage.sent
    assert {one.headers["Accept"] for one in sent} == {"application/json"}
    for one in sent:
        about, query = urlsplit(one.url or "").path.removeprefix("/v3/contacts/"), urlsplit(one.url or "").query
        is_of_a_person = about == "a%2Fb%40example.org"
        assert query == ("identifierType=email_id" if is_of_a_person else "")
        assert ("Content-Type" in one.headers) == (one.method == "PUT")
    assert sum(one.method == "PUT" for one in sent) == 1


def test_a_read_that_broke_off_is_made_again_after_a_moment() -> None:
    waited: list[float] = []

    class Waits(OnStage):
        def built(self, kit: Kit) -> Connector:
            return Brevo(BrevoSettings.model_validate(self.section), kit, sleep=waited.append)

    with Waits().before(StandIn([]), trouble=requests.ConnectionError(OLD), times=1) as stage:
        assert not isinstance(stage.tell(instruction(Right.ERASURE)), Retryable)
        assert stage.sent[0].url == stage.sent[1].url
    assert len(waited) == 1


@pytest.mark.parametrize(("call", "doubtful"), [("GET", False), ("DELETE", True)])
def test_a_fault_leaves_doubt_only_after_a_write(call: str, *, doubtful: bool) -> None:
    class Fails(StandIn):
        def answer(self, request: requests.PreparedRequest) -> Said:
            return fault(500) if request.method == call else super().answer(request)

    with before(Fails([contact(OLD)])) as stage:
        outcome = stage.tell(instruction(Right.ERASURE))
    assert isinstance(outcome, Retryable)
    assert outcome.doubtful is doubtful


@pytest.mark.parametrize(("status", "wait"), [(429, 60), (503, 30)])
def test_only_of_a_429_the_reset_says_how_long_to_wait(status: int, wait: int) -> None:
    with before(StandIn([]), trouble=fault(status, **{RESET: "60", "Retry-After": "30"})) as stage:
        outcome = stage.tell(instruction(Right.ERASURE))
    assert isinstance(outcome, Retryable)
    assert outcome.retry_after == timedelta(seconds=wait)


def test_the_limit_of_the_account_call_holds_no_other() -> None:
    class Spent(StandIn):
        def answer(self, request: requests.PreparedRequest) -> Said:
            answer = super().answer(request)
            spent = {LEFT: "0", RESET: "3600"} if (request.url or "").endswith("/account") else {}
            return answer._replace(headers=answer.headers | spent)

    with before(Spent([])) as stage:
        stage.connector.probe()
        assert not isinstance(stage.tell(instruction(Right.ERASURE)), Retryable)


@pytest.mark.parametrize("rows", [[{"category": "normal"}], ["name"], [["name"]], {"name": "CITY"}, None])
def test_attributes_that_are_not_as_documented_are_not_read(rows: Any) -> None:
    class Odd(StandIn):
        def answer(self, request: requests.PreparedRequest) -> Said:
            odd = (request.url or "").endswith("/contacts/attributes")
            return said(200, {"attributes": rows}) if odd else super().answer(request)

    with before(Odd([contact(OLD)])) as stage:
        outcome = stage.tell(instruction(Right.ERASURE))
    assert isinstance(outcome, Retryable)
    assert outcome.reason == UNREADABLE
