"""What Campaign Monitor is asked, call by call, and which of its answers to a change is a yes."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from dpsync.connector import Applied, AsAsked, Contradicts, HandOver, NothingHeld, Refused, Retryable
from dpsync.errors import CredentialsRejected
from dpsync.model import Changes, Right
from dpsync.vendor.errors import BLOCKED, NOT_DONE, UNREADABLE
from tests.connectors.contract import NEW, OLD, HttpStage, Said, instruction
from tests.connectors.test_campaign_monitor import (
    NEWS,
    ONE,
    SHOP,
    Book,
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

CHANGES = [
    (Right.ERASURE, "PUT", "/subscribers/"),
    (Right.ERASURE, "DELETE", "/subscribers/"),
    (Right.RECTIFICATION, "PUT", "/subscribers/"),
    (Right.OPT_OUT, "POST", "/unsubscribe"),
    (Right.OPT_OUT, "POST", "/suppress"),
]

NAME = {"first_name": "Augusta", "last_name": "King"}


def updates(stage: HttpStage) -> list[requests.PreparedRequest]:
    return [one for one in stage.sent if one.method == "PUT"]


def address_in(request: requests.PreparedRequest) -> str:
    return parse_qs(urlsplit(request.url or "").query)["email"][0]


# --- the answer to a change


@pytest.mark.parametrize(("status", "body"), [(201, None), (202, None), (204, None), (200, {}), (200, {"Code": 203})])
@pytest.mark.parametrize(("right", "method", "part"), CHANGES)
def test_a_yes_to_a_change_is_an_empty_200_and_nothing_else(
    right: Right, method: str, part: str, status: int, body: object
) -> None:
    outcome = told(failing(vendor(book(person())), method, part, said(status, body)), right)
    assert isinstance(outcome, Retryable)
    assert (outcome.reason, outcome.doubtful) == (UNREADABLE, True)


def test_a_deletion_that_was_only_said_to_be_made_is_noted_as_not_done() -> None:
    outcome = told(failing(vendor(book(person())), "DELETE", "/subscribers/", said(200)), Right.ERASURE)
    assert isinstance(outcome, Applied)
    assert NOT_DONE in [one.note for one in outcome.evidence]


@pytest.mark.parametrize("status", [300, 404, 409])
@pytest.mark.parametrize(("right", "method", "part"), CHANGES)
def test_a_code_that_is_known_under_400_is_a_no_under_any_other_status(
    right: Right, method: str, part: str, status: int
) -> None:
    assert isinstance(told(failing(vendor(book(person())), method, part, no(203, status)), right), Refused)


@pytest.mark.parametrize("body", [{"Message": "no"}, {"Code": "203"}, {"Code": None}, {"error": "no"}])
def test_an_error_without_the_vendors_number_is_not_the_vendors(body: object) -> None:
    outcome = told(failing(vendor(), "GET", "/clients.json", said(400, body)), Right.ERASURE)
    assert isinstance(outcome, Retryable)
    assert outcome.reason == BLOCKED


def test_no_advice_is_given_where_none_is_known() -> None:
    with (
        on_stage(failing(vendor(), "GET", "/clients.json", no(100, 401))) as stage,
        pytest.raises(CredentialsRejected) as caught,
    ):
        stage.tell(instruction(Right.ERASURE))
    assert caught.value.brief == "401 to GET /clients.json"


# --- the calls


def test_each_call_is_kept_under_the_list_or_client_that_it_was_about() -> None:
    outcome = told(StandIn({ONE: {NEWS: book(person())}}), Right.OPT_OUT)
    scopes = {one.endpoint: one.scope for one in outcome.evidence}
    assert scopes == {
        "GET /clients.json": "",
        "GET /clients/{id}/lists.json": ONE,
        "GET /subscribers/{id}.json": NEWS,
        "POST /subscribers/{id}/unsubscribe.json": NEWS,
        "GET /clients/{id}/listsforemail.json": ONE,
        "POST /clients/{id}/suppress.json": ONE,
    }


def test_what_has_no_content_does_not_say_of_which_type_it_is() -> None:
    with on_stage(vendor(book(person()))) as stage:
        stage.tell(instruction(Right.ERASURE))
        assert {one.method for one in stage.sent if "Content-Type" not in one.headers} == {"GET", "DELETE"}


@pytest.mark.parametrize(("seconds", "goes_on"), [("1", False), ("0", True)])
def test_once_nothing_remains_no_call_is_made_for_as_long_as_is_said(seconds: str, goes_on: bool) -> None:
    class Spent(StandIn):
        def answer(self, request: requests.PreparedRequest) -> Said:
            status, headers, body = super().answer(request)
            return Said(status, {**headers, "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": seconds}, body)

    with on_stage(Spent({ONE: {NEWS: book(person())}})) as stage:
        assert isinstance(stage.tell(instruction(Right.OPT_OUT)), Applied if goes_on else Retryable)
        assert (stage.calls() > 1) is goes_on


@pytest.mark.parametrize("how", [said(500, {"Code": 500}), said(200, {"ListID": NEWS}), no(999)])
def test_a_client_whose_lists_cannot_be_read_keeps_no_other_from_being_told(how: Said) -> None:
    stand_in = failing(vendor(news=book(person()), shop=book(person())), "GET", f"/clients/{ONE}/lists.json", how)
    with on_stage(stand_in) as stage:
        outcome = stage.tell(instruction(Right.OPT_OUT))
        assert isinstance(outcome, Refused if how.status == 400 else Retryable)
        assert not isinstance(stage.read_back(instruction(Right.OPT_OUT)), AsAsked | Contradicts)
    assert (state(stand_in, NEWS), state(stand_in, SHOP)) == ("Active", "Unsubscribed")


@pytest.mark.parametrize("addresses", [("ada@straße.example", "ada@strasse.example"), (NEW, OLD)])
def test_each_address_is_asked_for_in_the_order_in_which_it_is_known(addresses: tuple[str, ...]) -> None:
    with on_stage(StandIn({ONE: {NEWS: book()}})) as stage:
        stage.tell(instruction(Right.OPT_OUT, addresses=addresses))
        asked = [address_in(one) for one in stage.sent if "/subscribers/" in (one.url or "")]
    assert [one for one in asked if one in addresses] == list(addresses)


@pytest.mark.parametrize(("change", "calls"), [({"fields": {"City": "Hove"}}, 2), (NAME, 1)])
def test_a_record_is_read_again_where_a_field_was_written_and_nowhere_else(change: dict[str, Any], calls: int) -> None:
    stand_in = StandIn({ONE: {NEWS: book(person())}})
    assert isinstance(put_right(stand_in, **change), Applied)
    assert stand_in.reads.count("subscribers") == calls


def test_the_fields_of_a_list_are_asked_for_only_where_a_record_has_some() -> None:
    stand_in = vendor(book(person() | {"CustomFields": []}))
    assert isinstance(told(stand_in, Right.ERASURE), HandOver)
    assert "customfields" not in stand_in.reads


# --- the address of an update


class Odd(StandIn):
    """Refuses a name beside anything else, for a reason that names nothing."""

    def change(self, held: Book, who: str, body: Any) -> Said:
        return no(999) if {"EmailAddress", "Name"} <= body.keys() else super().change(held, who, body)


def test_once_its_address_is_changed_a_record_is_named_by_the_new_one() -> None:
    with on_stage(Odd({ONE: {NEWS: book(person())}})) as stage:
        assert isinstance(stage.tell(instruction(Right.RECTIFICATION)), Applied)
        assert [address_in(one) for one in updates(stage)] == [OLD, OLD, NEW]


@pytest.mark.parametrize("code", [1, 201, 211])
def test_an_address_that_is_refused_costs_one_call_more(code: int) -> None:
    class Refuses(StandIn):
        def change(self, held: Book, who: str, body: Any) -> Said:
            return no(code) if "EmailAddress" in body else super().change(held, who, body)

    with on_stage(Refuses({ONE: {NEWS: book(person())}})) as stage:
        changes = Changes(email=NEW, **NAME, fields={"City": "Hove"})
        assert isinstance(stage.tell(instruction(Right.RECTIFICATION, changes=changes)), HandOver)
        assert len(updates(stage)) == 2


def test_of_two_old_records_the_first_gets_the_new_address_and_the_other_is_not_merged() -> None:
    older = "ada.older@example.org"
    stand_in = StandIn({ONE: {NEWS: book(person(older), person())}})
    outcome = told(stand_in, Right.RECTIFICATION, addresses=(OLD, older))
    assert isinstance(outcome, HandOver)
    assert "both the old and the new address have a record" in outcome.task
    assert set(stand_in.clients[ONE][NEWS].people) == {NEW, older}
    assert len([body for _, _, body in stand_in.writes if "EmailAddress" in body]) == 1


@pytest.mark.parametrize("addresses", [(NEW, OLD), (OLD, NEW)])
def test_a_new_address_that_is_known_already_keeps_no_old_one_from_being_changed(addresses: tuple[str, ...]) -> None:
    stand_in = vendor(book(person()))
    assert isinstance(told(stand_in, Right.RECTIFICATION, addresses=addresses), Applied)
    assert set(stand_in.clients[ONE][NEWS].people) == {NEW}


def test_what_was_left_to_do_once_the_address_was_changed_is_done_at_the_new_one() -> None:
    stand_in = vendor(book(person(NEW)))
    assert isinstance(told(stand_in, Right.RECTIFICATION, addresses=(OLD, NEW)), Applied)
    assert record(stand_in, NEW)["Name"] == "Augusta Kingcanary"


@pytest.mark.parametrize("gone", [True, False])
def test_what_the_api_does_not_change_is_read_again_before_it_is_left_to_anybody(gone: bool) -> None:
    class Beyond(StandIn):
        def change(self, held: Book, who: str, body: Any) -> Said:
            held.people[who]["State"] = "Bounced"
            if gone:
                held.people.clear()
            return no(203)

    outcome = put_right(Beyond({ONE: {NEWS: book(person())}}), **NAME)
    assert isinstance(outcome, NothingHeld if gone else HandOver)
    if isinstance(outcome, HandOver):
        assert outcome.references == (NEWS,)
        assert f"In list {NEWS} the API does not change a record of state 'Bounced'" in outcome.task


# --- what a record and a list do not show


def test_a_record_without_a_name_and_fields_has_none() -> None:
    bare = {key: value for key, value in person().items() if key not in ("Name", "CustomFields")}
    finding = read_back(
        vendor(book(bare)), Right.RECTIFICATION, changes=Changes(first_name="", last_name="", fields={"City": ""})
    )
    assert isinstance(finding, AsAsked)


def test_a_tag_is_written_without_its_brackets_and_with_all_its_letters() -> None:
    row = {"FieldName": "Mark", "Key": "[XmasX]", "DataType": "Text"}
    stand_in = failing(vendor(book(person())), "GET", "/customfields", said(200, [row]))
    put_right(stand_in, fields={"Mark": "1"})
    ((_, _, body),) = stand_in.writes
    assert body["CustomFields"] == [{"Key": "XmasX", "Value": "1"}]


@pytest.mark.parametrize(("held", "asked"), [({"City": "Hove"}, "Kent"), ({"Visit_date": "1990-12-31"}, "30/12/1990")])
def test_one_client_that_holds_it_otherwise_is_enough(held: dict[str, str], asked: str) -> None:
    (name,) = (key.replace("_", " ") for key in held)
    wrong, right = person(**held), person(**{name: asked})
    changes = Changes(fields={name: asked})
    for news, shop in ((wrong, right), (right, wrong)):
        finding = read_back(vendor(news=book(news), shop=book(shop)), Right.RECTIFICATION, changes=changes)
        assert isinstance(finding, Contradicts)


def test_each_client_has_its_own_types_of_fields() -> None:
    stand_in = vendor(*(book(person(Visit_date="1990-12-31")) for _ in range(3)))
    changes = Changes(fields={"Visit date": "31/12/1990"})
    assert isinstance(read_back(stand_in, Right.RECTIFICATION, changes=changes), AsAsked)
    assert state(stand_in, SHOP) == "Active"
