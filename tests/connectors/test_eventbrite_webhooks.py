"""What a webhook of Eventbrite names is read in the next search, and keeps nobody waiting."""

import pytest

from dpsync.connector import Retryable
from dpsync.model import Right
from tests.connectors.contract import Said, instruction
from tests.connectors.test_eventbrite import EVENT, StandIn, failing, handed, hint, no, on_stage, received, said, ticket

HINTS = ("events/900100/attendees/700042/", "orders/440042/")


@pytest.mark.parametrize("path", HINTS)
@pytest.mark.parametrize(
    ("how", "kept"),
    [
        (no(404, "NOT_FOUND"), False),
        (no(403, "NOT_AUTHORIZED"), False),
        (no(500, "INTERNAL_ERROR"), True),
        (said(200, {"id": "440099", "event_id": "900100"}), True),
        ({}, False),
        ({"profile": None, "attendees": None}, False),
        ({"profile": {"email": None}, "attendees": ["x", ticket(42, None)]}, False),
    ],
)
def test_a_webhook_about_what_holds_nobody_keeps_neither_a_request_nor_another_webhook_waiting(
    path: str, how: Said | dict[str, object], kept: bool
) -> None:
    """What had a fault there is asked for in the next search; what holds nobody is not."""
    if isinstance(how, dict):
        how = said(200, {"id": path.split("/")[-2], "event_id": EVENT, **how})
    stand_in = failing(f"/{path}", how, StandIn(tickets=[ticket(43, organization="elsewhere")]))
    with on_stage(stand_in) as stage:
        received(stage.connector, hint(path))
        assert handed(stage.tell(instruction(Right.ERASURE))).references == ()
        received(stage.connector, hint(path))
        received(stage.connector, hint(f"events/{EVENT}/attendees/700043/"))
        assert len(stage.shelf.find("look/")) == 2
        (found,) = handed(stage.tell(instruction(Right.ERASURE))).references
        assert found.split()[1] == "700043"
        assert list(received(stage.connector, b"{}").values()) == ([path] if kept else [])


def test_what_a_webhook_holds_besides_is_anything_that_json_can_say() -> None:
    with on_stage(StandIn()) as stage:
        body = hint(HINTS[1])[:-1] + b', "fee": 1.5, "text": "\\u0000"}'
        assert list(received(stage.connector, body).values()) == [HINTS[1]]


def test_a_webhook_that_meets_a_limit_makes_the_account_wait() -> None:
    stand_in = failing(f"/{HINTS[1]}", no(429, "HIT_RATE_LIMIT"))
    with on_stage(stand_in) as stage:
        received(stage.connector, hint(HINTS[1]))
        outcome = stage.tell(instruction(Right.ERASURE))
    assert isinstance(outcome, Retryable)
    assert (outcome.busy, outcome.retry_after) == (True, None)
