"""What Campaign Monitor's answers mean, part by part: what one does not say is never read as if it did."""

import json
from typing import Any

import pytest
import requests

from dpsync.connector import (
    Applied,
    AsAsked,
    CannotTell,
    Contradicts,
    HandOver,
    Refused,
    Retryable,
)
from dpsync.errors import ProcessorUnreachable
from dpsync.model import Changes, Right
from dpsync.vendor.errors import UNDOCUMENTED
from tests.connectors.contract import NEW, OLD, Said, instruction
from tests.connectors.test_campaign_monitor import (
    EVENTS,
    NEWS,
    ONE,
    TWO,
    StandIn,
    book,
    failing,
    no,
    on_stage,
    person,
    put_right,
    read_back,
    record,
    said,
    state,
    told,
    vendor,
)

# --- a record


@pytest.mark.parametrize(
    "change",
    [
        {"EmailAddress": None},
        {"EmailAddress": NEW},
        {"State": None},
        {"State": "active"},
        {"State": ["Active"]},
        {"CustomFields": {"City": "Kent"}},
        {"CustomFields": ["City"]},
        {"CustomFields": [{"Value": "Kent"}]},
    ],
)
@pytest.mark.parametrize("right", list(Right))
def test_a_record_that_is_not_as_documented_shows_nothing(right: Right, change: dict[str, object]) -> None:
    stand_in = failing(vendor(), "GET", f"/subscribers/{NEWS}", said(200, person() | change))
    assert isinstance(told(stand_in, right), Retryable)
    assert isinstance(read_back(stand_in, right), CannotTell)
    assert not stand_in.writes


def test_a_name_or_a_value_that_is_null_is_empty() -> None:
    empty = person(name="") | {"Name": None, "CustomFields": [{"Key": "City", "Value": None}]}
    stand_in = vendor(book(empty))
    changes = Changes(fields={"City": ""})
    assert isinstance(read_back(stand_in, Right.RECTIFICATION, changes=changes), AsAsked)
    assert isinstance(put_right(stand_in, fields={"City": ""}), Applied)
    assert not stand_in.writes
    named = Changes(first_name="None")
    assert isinstance(read_back(stand_in, Right.RECTIFICATION, changes=named), Contradicts)


def test_a_blank_record_is_blanked_once_for_what_the_api_does_not_show() -> None:
    for name in ("", "Erased"):
        stand_in = vendor(book(person(name=name, City="")))
        with on_stage(stand_in) as stage:
            for _ in range(2):
                outcome = stage.tell(instruction(Right.ERASURE))
                assert isinstance(outcome, HandOver)
                assert "its name and fields are blanked" in outcome.task
        assert [deed for deed, _, _ in stand_in.writes] == ["PUT", "DELETE"]
    beyond = failing(vendor(book(person(name="", City=""))), "PUT", "/subscribers/", no(203))
    outcome = told(beyond, Right.ERASURE)
    assert isinstance(outcome, HandOver)
    assert "its name and fields are blanked" in outcome.task
    half = failing(vendor(book(person(name="Erased", City="Kent"))), "PUT", "/subscribers/", no(203))
    outcome = told(half, Right.ERASURE)
    assert isinstance(outcome, HandOver)
    assert "could not be blanked" in outcome.task


def test_a_blanking_that_is_refused_for_no_known_reason_is_a_no_and_the_record_is_out_of_use() -> None:
    stand_in = failing(vendor(book(person())), "PUT", "/subscribers/", no(999))
    assert isinstance(told(stand_in, Right.ERASURE), Refused)
    assert record(stand_in, OLD)["State"] == "Deleted"


def test_a_blanking_that_was_refused_is_made_again() -> None:
    stand_in = failing(vendor(book(person(name="", City=""))), "PUT", "/subscribers/", no(203))
    with on_stage(stand_in) as stage:
        stage.tell(instruction(Right.ERASURE))
        stand_in.how = None
        stage.tell(instruction(Right.ERASURE))
        assert [one.method for one in stage.sent if one.method != "GET"] == ["PUT", "DELETE", "PUT"]


def test_a_record_that_is_nowhere_after_its_deletion_is_erased() -> None:
    class Erases(StandIn):
        def subscriber(self, place: str, held: Any, method: str, deed: Any, asked: Any, body: Any) -> Said:
            found = super().subscriber(place, held, method, deed, asked, body)
            if method == "DELETE":
                held.people.clear()
            return found

    assert isinstance(told(Erases({ONE: {NEWS: book(person())}}), Right.ERASURE), Applied)


def test_a_record_in_other_capitals_is_the_persons() -> None:
    assert isinstance(told(vendor(book(person(OLD.upper()))), Right.OPT_OUT), Applied)
    assert isinstance(read_back(vendor(book(person(OLD.upper()))), Right.OPT_OUT), Contradicts)


@pytest.mark.parametrize("code", [220, 221])
def test_a_list_without_mobile_numbers_says_so_in_two_ways(code: int) -> None:
    class NoMobile(StandIn):
        def change(self, held: Any, who: str, body: Any) -> Said:
            return no(code) if "MobileNumber" in body else super().change(held, who, body)

    stand_in = NoMobile({ONE: {NEWS: book(person())}})
    assert isinstance(told(stand_in, Right.ERASURE), HandOver)
    puts = [body for method, _, body in stand_in.writes if method == "PUT"]
    assert ["MobileNumber" in body for body in puts] == [True, False]
    assert record(stand_in, OLD)["Name"] == "Erased"


def test_a_mobile_number_is_emptied_where_a_list_may_have_one() -> None:
    stand_in = vendor(book(person()))
    told(stand_in, Right.ERASURE)
    assert [body.get("MobileNumber") for method, _, body in stand_in.writes if method == "PUT"] == [""]


@pytest.mark.parametrize("shown", ["Visit date", "visit DATE", "[Visit date]", "visitdate"])
def test_a_field_is_the_same_however_a_record_writes_its_name(shown: str) -> None:
    stand_in = vendor(book(person() | {"CustomFields": [{"Key": shown, "Value": "2026-11-20"}]}))
    for asked in ("Visit date", "visit_date", "seen", "[SEEN]"):
        changes = Changes(fields={asked: "2026/11/20"})
        assert isinstance(read_back(stand_in, Right.RECTIFICATION, changes=changes), AsAsked)
        assert isinstance(put_right(stand_in, fields={asked: "2026/11/20"}), Applied)
    assert not stand_in.writes


def test_true_is_no_code() -> None:
    outcome = told(failing(vendor(book(person())), "PUT", "/subscribers/", no(True)), Right.RECTIFICATION)
    assert isinstance(outcome, Refused)
    assert outcome.reason == UNDOCUMENTED


# --- clients, lists and their settings


@pytest.mark.parametrize(
    "rows",
    [[{"Name": "News"}], [{"ListID": "../x"}], [NEWS], {"ListID": NEWS}, None],
    ids=["none", "odd", "text", "one", "null"],
)
@pytest.mark.parametrize("part", ["/clients.json", "/lists.json", "/listsforemail.json"])
def test_rows_without_an_id_that_is_one_prove_nothing(part: str, rows: object) -> None:
    stand_in = failing(
        vendor(book(person())), "GET", part, Said(200, {"Content-Type": "application/json"}, json.dumps(rows).encode())
    )
    outcome = told(stand_in, Right.OPT_OUT)
    assert isinstance(outcome, Retryable)


@pytest.mark.parametrize(
    "row", [{"FieldName": "", "Key": "[x]"}, {"FieldName": "X", "Key": "[]"}, {"FieldName": "X"}, {"Key": "[x]"}, "X"]
)
def test_a_field_without_a_name_or_a_tag_makes_the_fields_of_a_list_unreadable(row: object) -> None:
    stand_in = failing(vendor(book(person())), "GET", "/customfields", said(200, [row]))
    changes = Changes(fields={"X": "x"})
    assert isinstance(told(stand_in, Right.RECTIFICATION, changes=changes), Retryable)
    assert isinstance(read_back(stand_in, Right.RECTIFICATION, changes=changes), CannotTell)


@pytest.mark.parametrize("status", [201, 202])
@pytest.mark.parametrize("part", ["/clients.json", "/lists.json", f"/lists/{NEWS}.json", "/suppressionlist.json"])
def test_only_a_200_is_read(part: str, status: int) -> None:
    class Elsewise(StandIn):
        def answer(self, request: requests.PreparedRequest) -> Said:
            found = super().answer(request)
            return Said(status, found.headers, found.body) if part in (request.url or "") else found

    stand_in = Elsewise({ONE: {NEWS: book(person())}})
    assert isinstance(told(stand_in, Right.RESTRICTION), Retryable)
    assert not [one for one in stand_in.writes if one[1] != "suppress"]


@pytest.mark.parametrize(
    "change",
    [
        {"UnsubscribeSetting": "SomeLists"},
        {"UnsubscribeSetting": None},
        {"UnsubscribeSetting": ["OnlyThisList"]},
        {"ListID": EVENTS},
        {"ListID": None},
    ],
)
def test_a_list_whose_reach_is_not_said_is_neither_restricted_nor_found_to_be(change: dict[str, object]) -> None:
    details = {"ListID": NEWS, "Title": "News", "UnsubscribeSetting": "OnlyThisList"}
    stand_in = failing(vendor(book(person())), "GET", f"/lists/{NEWS}.json", said(200, details | change))
    stand_in.suppressed[ONE] = [OLD]
    assert isinstance(told(stand_in, Right.RESTRICTION), Retryable)
    assert isinstance(read_back(stand_in, Right.RESTRICTION), CannotTell)


def test_an_id_is_the_same_in_capitals() -> None:
    details = {"ListID": NEWS.upper(), "Title": "News", "UnsubscribeSetting": "OnlyThisList"}
    stand_in = failing(vendor(book(person(), reach="OnlyThisList")), "GET", f"/lists/{NEWS}.json", said(200, details))
    assert isinstance(told(stand_in, Right.RESTRICTION), Applied)
    assert state(stand_in, NEWS) == "Unsubscribed"


def test_a_state_that_is_not_documented_says_nothing_of_how_far_an_unsubscribe_reached() -> None:
    rows = [{"ListID": NEWS, "ListName": "News", "SubscriberState": "Zombie"}]
    assert isinstance(
        told(failing(vendor(book(person())), "GET", "/listsforemail", said(200, rows)), Right.OPT_OUT), Retryable
    )


def test_a_client_without_a_name_is_called_by_its_id() -> None:
    stand_in = failing(vendor(), "GET", "/clients.json", said(200, [{"ClientID": ONE, "Name": ""}, {"ClientID": TWO}]))
    with on_stage(stand_in) as stage:
        assert stage.connector.probe().title == f"{ONE}, {TWO}"


@pytest.mark.parametrize("body", [{}, {"SystemDate": None}, []])
def test_an_account_that_does_not_tell_the_time_is_not_reached(body: object) -> None:
    with (
        on_stage(failing(vendor(), "GET", "/systemdate", said(200, body))) as stage,
        pytest.raises(ProcessorUnreachable),
    ):
        stage.connector.probe()


@pytest.mark.parametrize(
    ("states", "reason"),
    [
        (("Deleted", "Deleted"), "a record is kept as 'Deleted'"),
        (("Deleted", "Active"), "a record is still in use"),
        (("Bounced", "Deleted"), "a record is still in use"),
    ],
)
def test_an_erasure_is_called_half_done_only_where_every_record_is(states: tuple[str, str], reason: str) -> None:
    finding = read_back(vendor(*(book(person(state=one)) for one in states)), Right.ERASURE)
    assert isinstance(finding, Contradicts)
    assert finding.reason == reason


def test_a_record_in_use_contradicts_an_opt_out_and_no_restriction_where_the_address_is_suppressed() -> None:
    stand_in = vendor(book(person()))
    stand_in.suppressed[ONE] = [OLD]
    with on_stage(stand_in) as stage:
        assert isinstance(stage.read_back(instruction(Right.OPT_OUT)), Contradicts)
        assert isinstance(stage.read_back(instruction(Right.RESTRICTION)), AsAsked)
