"""What Eventbrite's answers mean, part by part: what one does not say is never read as if it did."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import requests

from dpsync.connector import AsAsked, CannotTell, Contradicts, Finding, Refused, Retryable
from dpsync.connectors.eventbrite.calls import NOT_ACCEPTED, NOT_FOUND, STALE
from dpsync.model import Changes, FieldValue, Right
from dpsync.vendor.errors import BLOCKED, FAULT_THERE, UNREADABLE
from tests.connectors.contract import NEW, OLD, Said, instruction
from tests.connectors.test_eventbrite import (
    EVENT,
    NEIGHBOUR,
    ONE_ORDER,
    ONE_TICKET,
    ORDER_LIST,
    ORG,
    TICKET_LIST,
    StandIn,
    after,
    blanked,
    corrected,
    failing,
    gone,
    handed,
    neighbour,
    no,
    on_stage,
    order,
    said,
    ticket,
    told,
    vendor,
)

MINE = "/users/me/organizations/"


def read_back_when(where: str, how: Said, change: Callable[[StandIn], object] = gone) -> Finding:
    """The finding of an erasure where `where` answers `how` since the records were found."""
    stand_in = failing(where, how)
    stand_in.how = None
    with on_stage(stand_in) as stage:
        stage.tell(instruction(Right.ERASURE))
        change(stand_in)
        stand_in.how = how
        return stage.read_back(instruction(Right.ERASURE))


# --- statuses and errors


@pytest.mark.parametrize(
    ("status", "error", "outcome", "reason"),
    [
        (400, "ARGUMENTS_ERROR", Refused, NOT_ACCEPTED),
        (404, "NOT_FOUND", Refused, NOT_FOUND),
        (500, "INTERNAL_ERROR", Retryable, FAULT_THERE),
        (500, "EXPANSION_FAILED", Retryable, FAULT_THERE),
    ],
)
@pytest.mark.parametrize("where", [MINE, ORDER_LIST, TICKET_LIST])
def test_what_is_no_list_is_never_an_empty_one(
    where: str, status: int, error: str, outcome: type[Refused | Retryable], reason: str
) -> None:
    found = told(failing(where, no(status, error)))
    assert isinstance(found, outcome)
    assert found.reason == reason
    assert not getattr(found, "doubtful", False)


@pytest.mark.parametrize("status", [201, 204, 206])
def test_only_a_200_is_read(status: int) -> None:
    empty = said(status, {"pagination": {"has_more_items": False}, "orders": []})
    outcome = told(failing(ORDER_LIST, empty if status != 204 else Said(204, {}, b"")))
    assert isinstance(outcome, Retryable)
    assert outcome.reason == (BLOCKED if status == 204 else UNREADABLE)


@pytest.mark.parametrize("body", [{"error": "NO"}, {"status_code": 400}, {"error": 1, "status_code": 400}, {}])
def test_an_error_that_is_not_in_the_vendors_shape_is_not_the_vendors(body: object) -> None:
    outcome = told(failing(ORDER_LIST, said(400, body)))
    assert isinstance(outcome, Retryable)
    assert outcome.reason == BLOCKED


@pytest.mark.parametrize("where", [ONE_ORDER, ONE_TICKET])
@pytest.mark.parametrize(("status", "error"), [(404, "ORDER_EXPIRED"), (400, "NOT_FOUND"), (500, "INTERNAL_ERROR")])
def test_a_record_is_gone_only_where_a_404_calls_it_not_found(where: str, status: int, error: str) -> None:
    finding = read_back_when(where, no(status, error))
    assert isinstance(finding, CannotTell)
    assert finding.later


def test_a_record_that_is_gone_though_its_parts_cannot_be_put_together_is_gone() -> None:
    @dataclass
    class Breaks(StandIn):
        """Fails at any expansion, also of what is not there."""

        def answer(self, request: requests.PreparedRequest) -> Said:
            return no(500, "EXPANSION_FAILED") if "expand=" in (request.url or "") else super().answer(request)

    held = vendor()
    assert isinstance(after(Breaks(held.orders, held.tickets), Right.ERASURE, gone), AsAsked)


def test_a_part_that_cannot_be_read_hides_nothing_of_the_others() -> None:
    stand_in = StandIn(tickets=[ticket(42)])
    stand_in.broken = {"answers"}
    with on_stage(stand_in) as stage:
        stage.tell(instruction(Right.ERASURE))
        assert isinstance(stage.read_back(instruction(Right.ERASURE)), Contradicts)


def test_a_record_with_another_id_is_not_the_one_that_was_asked_for() -> None:
    finding = read_back_when(ONE_ORDER, said(200, order(7, None)), blanked)
    assert isinstance(finding, CannotTell)
    assert finding.reason == UNREADABLE


def test_each_kind_of_record_is_asked_for_with_its_own_parts_and_kept_under_its_event() -> None:
    stand_in = vendor()
    with on_stage(stand_in) as stage:
        outcome = stage.tell(instruction(Right.ERASURE))
        blanked(stand_in)
        finding = stage.read_back(instruction(Right.ERASURE))
    parts = {path.split("/")[1]: query["expand"] for path, query in stand_in.asked if "expand" in query}
    assert parts == {"orders": "answers,survey_responses,refund_requests", "events": "answers,survey_responses"}
    assert {(one.endpoint, one.scope) for one in (*outcome.evidence, *finding.evidence)} == {
        (f"GET {MINE}", ""),
        ("GET /organizations/{organization}/orders/", ORG),
        ("GET /organizations/{organization}/attendees/", ORG),
        ("GET /orders/{order}/", ""),
        ("GET /events/{event}/attendees/{attendee}/", EVENT),
    }


# --- pages


@pytest.mark.parametrize(
    "page",
    [
        {"orders": None},
        {"orders": ["x"]},
        {"pagination": None},
        {"pagination": {}},
        {"pagination": {"has_more_items": "no"}},
        {"pagination": {"has_more_items": True}},
        {"pagination": {"has_more_items": True, "continuation": ""}},
        {"pagination": {"has_more_items": True, "continuation": 7}},
        {"orders": [{"email": OLD, "event_id": EVENT}]},
        {"orders": [{"email": OLD, "event_id": EVENT, "id": "../x"}]},
        {"orders": [{"email": OLD, "event_id": 7, "id": "440001"}]},
    ],
)
def test_a_page_that_is_not_as_documented_proves_nothing(page: dict[str, object]) -> None:
    whole: dict[str, object] = {"orders": [], "pagination": {"has_more_items": False, "object_count": 0}}
    outcome = told(failing(ORDER_LIST, said(200, whole | page)))
    assert isinstance(outcome, Retryable)
    assert outcome.reason == UNREADABLE


@pytest.mark.parametrize("held", [True, False])
@pytest.mark.parametrize("count", [None, "7"])
def test_a_list_that_is_not_counted_is_read_to_its_end_and_not_summed(count: object, held: bool) -> None:
    class Uncounted(StandIn):
        def pages(self, key: str, rows: list[dict[str, Any]], query: Mapping[str, str]) -> Said:
            found = json.loads(super().pages(key, rows, query).body)
            found["pagination"]["object_count"] = count
            return said(200, found)

    stand_in = Uncounted([order(1), order(2)] if held else [], [ticket(1), ticket(2)] if held else [], page=1)
    with on_stage(stand_in) as stage:
        assert len(handed(stage.tell(instruction(Right.ERASURE))).references) == (4 if held else 0)
        assert stage.connector.probe().contacts is None


def test_orders_are_found_on_every_page_and_a_list_that_shrinks_is_read_once_more() -> None:
    class Shrinks(StandIn):
        def pages(self, key: str, rows: list[dict[str, Any]], query: Mapping[str, str]) -> Said:
            found = json.loads(super().pages(key, rows, query).body)
            found["pagination"]["object_count"] += key == "orders"
            return said(200, found)

    orders = [order(number) for number in range(1, 4)]
    assert len(handed(told(StandIn(orders, page=1))).references) == 3
    stand_in = Shrinks(orders, page=1)
    outcome = told(stand_in)
    assert isinstance(outcome, Retryable)
    assert outcome.reason == STALE
    assert len([path for path, _ in stand_in.asked if path.endswith("/orders/")]) == 2 * 3


def test_a_list_that_is_stale_from_its_first_page_is_not_counted() -> None:
    stand_in = failing(TICKET_LIST, no(400, "BAD_CONTINUATION_TOKEN"))
    with on_stage(stand_in) as stage:
        assert stage.connector.probe().contacts is None


def test_an_organisation_without_a_name_is_called_by_its_id() -> None:
    for row in ({"id": ORG}, {"id": ORG, "name": None}, {"id": ORG, "name": ""}):
        nameless = said(200, {"pagination": {"has_more_items": False}, "organizations": [row]})
        with on_stage(failing(MINE, nameless)) as stage:
            assert stage.connector.probe().title == ORG


@pytest.mark.parametrize(("header", "waits"), [("1899/2000", False), ("1900/2000", True), ("37/39", False)])
def test_the_last_twentieth_of_a_bucket_is_left_to_the_organiser(header: str, waits: bool) -> None:
    @dataclass
    class Metered(StandIn):
        def answer(self, request: requests.PreparedRequest) -> Said:
            reply = super().answer(request)
            return reply._replace(headers={**reply.headers, "X-Rate-Limit": f"token:ABC {header} reset=60s"})

    outcome = told(Metered(tickets=[neighbour()]))
    assert isinstance(outcome, Retryable) is waits


# --- reading back


def test_what_else_is_read_where_nobody_is_left_at_an_event_is_an_order() -> None:
    def all_of_the_event(one: StandIn) -> None:
        one.tickets.clear()
        one.orders[:] = [order(9, NEIGHBOUR)]

    assert isinstance(after(vendor(), Right.ERASURE, all_of_the_event), AsAsked)


@pytest.mark.parametrize(
    ("phone", "shown", "expected"),
    [
        ("+33 1 99 00 12 34", "01 99 00 12 34", Contradicts),
        ("555-0147", "phone 5550147", Contradicts),
        ("55-0147", "phone 550147", AsAsked),
        ("+44 7700 900123", "07700 900124", AsAsked),
        (None, "XXXX 07700 900123", AsAsked),
    ],
)
def test_a_number_is_the_same_by_its_last_digits_and_a_short_one_is_nobodys(
    phone: str | None, shown: str, expected: type[Finding]
) -> None:
    def still(one: StandIn) -> None:
        blanked(one)
        one.tickets[0]["profile"]["cell_phone"] = shown

    assert isinstance(after(vendor(), Right.ERASURE, still, phone=phone, name=None), expected)


CHANGES = Changes(email=NEW, first_name="Augusta", last_name="Kingcanary")


def test_a_number_that_stays_contradicts_no_rectification() -> None:
    def still(one: StandIn) -> None:
        corrected(one)
        one.tickets[0]["profile"]["cell_phone"] = "07700 900 123"

    finding = after(vendor(), Right.RECTIFICATION, still, phone="+44 7700 900123", changes=CHANGES)
    assert isinstance(finding, AsAsked)


@pytest.mark.parametrize(
    ("name", "held", "asked", "expected"),
    [
        ("first_name", "Mary Ann", " MARY  Ann", AsAsked),
        ("last_name", None, "", AsAsked),
        ("last_name", None, "None", Contradicts),
        ("first_name", "Augustine", "Augusta", Contradicts),
        ("last_name", "Kings", "King", Contradicts),
    ],
)
@pytest.mark.parametrize("kind", ["order", "ticket"])
def test_a_name_is_compared_in_an_order_and_in_a_ticket(
    kind: str, name: str, held: str | None, asked: str, expected: type[Finding]
) -> None:
    stand_in = StandIn([order(1)] if kind == "order" else [], [neighbour(), *([ticket(1)] if kind == "ticket" else [])])
    for one in stand_in.ours():
        one.get("profile", one)[name] = held
    changes = Changes(first_name=asked) if name == "first_name" else Changes(last_name=asked)
    finding = after(stand_in, Right.RECTIFICATION, lambda _: None, changes=changes, name=None)
    assert isinstance(finding, expected)


@pytest.mark.parametrize(
    ("held", "asked", "expected"),
    [(None, "", AsAsked), (None, "None", Contradicts), (38, "38", AsAsked), ("38", "", Contradicts)],
)
def test_a_field_that_is_null_is_empty(held: object, asked: FieldValue, expected: type[Finding]) -> None:
    stand_in = StandIn(tickets=[ticket(1, profile={"size": held}), neighbour()])
    finding = after(stand_in, Right.RECTIFICATION, lambda _: None, changes=Changes(fields={"size": asked}))
    assert isinstance(finding, expected)


def test_a_new_address_must_stand_in_the_order_and_in_the_ticket() -> None:
    for wrong in ("orders", "tickets"):

        def all_but(one: StandIn, wrong: str = wrong) -> None:
            corrected(one)
            row = getattr(one, wrong)[0]
            row.get("profile", row)["email"] = f"x{NEW}"

        assert isinstance(after(vendor(), Right.RECTIFICATION, all_but), Contradicts)
