"""What is left of a restriction and of a correction at Campaign Monitor, and to whom."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from dpsync.connector import (
    Applied,
    AsAsked,
    CannotTell,
    Contradicts,
    HandOver,
    Refused,
)
from dpsync.connectors.campaign_monitor.calls import VALUE_REJECTED
from dpsync.model import Changes, Right
from tests.connectors.contract import NEW, OLD, Said, instruction
from tests.connectors.test_campaign_monitor import (
    EVENTS,
    LIFTED,
    NEWS,
    ONE,
    SHOP,
    StandIn,
    book,
    failing,
    no,
    on_stage,
    person,
    plain,
    put_right,
    read_back,
    record,
    told,
    vendor,
)

# --- lifting


def test_lifting_with_nothing_of_ours_to_lift_looks_at_no_suppression_list_of_whom_it_holds() -> None:
    stand_in = vendor(book(person()))
    assert isinstance(told(stand_in, Right.RESTRICTION, lifted=LIFTED), Applied)
    assert "suppressionlist" in stand_in.reads, "of the client that does not hold the person"
    alone = StandIn({ONE: {NEWS: book(person())}})
    assert isinstance(told(alone, Right.RESTRICTION, lifted=LIFTED), Applied)
    assert "suppressionlist" not in alone.reads


def test_what_was_objected_to_during_a_restriction_is_left_on_the_list_and_the_client_is_named() -> None:
    for objected in ("Unsubscribed", "Spam"):
        stand_in = vendor(book(person()))
        with on_stage(stand_in) as stage:
            stage.tell(instruction(Right.RESTRICTION))
            record(stand_in, OLD)["State"] = objected
            outcome = stage.tell(instruction(Right.RESTRICTION, lifted=LIFTED))
        assert isinstance(outcome, HandOver)
        assert f"At client {ONE} the address left a list while it was restricted" in outcome.task
        assert outcome.references == (ONE,)
        assert stand_in.suppressed[ONE] == [OLD]


@pytest.mark.parametrize("before", ["Unsubscribed", "Spam", "Bounced"])
def test_who_had_left_before_a_restriction_has_not_objected_during_it(before: str) -> None:
    stand_in = vendor(book(person(state=before)))
    with on_stage(stand_in) as stage:
        stage.tell(instruction(Right.RESTRICTION))
        assert isinstance(stage.tell(instruction(Right.RESTRICTION, lifted=LIFTED)), Applied)
    assert stand_in.suppressed[ONE] == []


def test_a_change_without_content_is_sent_with_a_blank_as_the_vendors_own_clients_do() -> None:
    with on_stage(vendor(book(person()))) as stage:
        stage.tell(instruction(Right.RESTRICTION))
        lifted = stage.tell(instruction(Right.RESTRICTION, lifted=LIFTED))
        (put,) = [one for one in stage.sent if "/unsuppress" in (one.url or "")]
    assert put.body == b" "
    assert isinstance(lifted, Applied)
    assert "PUT /clients/{id}/unsuppress.json" in [one.endpoint for one in lifted.evidence]


def test_every_change_says_that_it_is_json_and_asks_for_json() -> None:
    with on_stage(vendor(book(person()))) as stage:
        for right in Right:
            stage.tell(instruction(right))
        writes = [one for one in stage.sent if one.method in ("POST", "PUT")]
        assert {one.headers["Accept"] for one in stage.sent} == {"application/json"}
    assert {one.headers["Content-Type"] for one in writes} == {"application/json; charset=utf-8"}


def test_a_yes_may_hold_nothing_but_blanks() -> None:
    blank = Said(200, {"Content-Type": "application/json"}, b" \r\n")
    stand_in = failing(vendor(book(person())), "POST", "/suppress", blank, applies=True)
    assert isinstance(told(stand_in, Right.RESTRICTION), Applied)


def test_a_restriction_told_again_remembers_what_the_first_time_changed() -> None:
    """And a list that was made since is told of by the state that it had."""
    stand_in = StandIn({ONE: {NEWS: book(person(), reach="OnlyThisList")}})
    with on_stage(stand_in) as stage:
        stage.tell(instruction(Right.RESTRICTION))
        stand_in.clients[ONE][EVENTS] = book(person(state="Unconfirmed"), reach="OnlyThisList")
        stage.tell(instruction(Right.RESTRICTION))
        outcome = stage.tell(instruction(Right.RESTRICTION, lifted=LIFTED))
    assert isinstance(outcome, HandOver)
    assert outcome.references == (NEWS, EVENTS)
    assert re.findall(r"its state was '(\w+)'", outcome.task) == ["Active", "Unconfirmed"]
    assert stand_in.suppressed[ONE] == []


def test_what_somebody_else_suppressed_after_the_lifting_is_theirs() -> None:
    stand_in = vendor(book(person()))
    with on_stage(stand_in) as stage:
        stage.tell(instruction(Right.RESTRICTION))
        for _ in range(2):
            assert isinstance(stage.tell(instruction(Right.RESTRICTION, lifted=LIFTED)), Applied)
            stand_in.suppressed[ONE] = [OLD]
    assert stand_in.suppressed[ONE] == [OLD]


def test_what_does_not_show_its_cause_stands_beside_what_was_read() -> None:
    stand_in = vendor()
    stand_in.suppressed[ONE] = [OLD]
    finding = read_back(stand_in, Right.RESTRICTION, lifted=LIFTED)
    assert isinstance(finding, CannotTell)
    assert "GET /clients/{id}/suppressionlist.json" in [one.endpoint for one in finding.evidence]


# --- rectification


def test_who_is_in_the_way_of_a_new_address_is_named_by_its_state_and_the_list_is_the_reference() -> None:
    class Hides(StandIn):
        """The other record appears only after the update was refused."""

        hidden = True

        def subscriber(self, place: str, held: Any, method: str, deed: Any, asked: Any, body: Any) -> Said:
            if method == "PUT" and "EmailAddress" in body:
                self.hidden = False
            who = plain(asked.get("email", ""))
            return no(203) if self.hidden and who == NEW else super().subscriber(place, held, method, deed, asked, body)

    stand_in = Hides({ONE: {NEWS: book(person(), person(NEW, "Bounced"))}})
    outcome = told(stand_in, Right.RECTIFICATION)
    assert isinstance(outcome, HandOver)
    assert "(state 'Active' and 'Bounced')" in outcome.task
    assert outcome.references == (NEWS,)


@pytest.mark.parametrize("code", [1, 211])
def test_an_address_that_is_refused_is_the_operators_in_the_list_where_it_was(code: int) -> None:
    class Refuses(StandIn):
        def change(self, held: Any, who: str, body: Any) -> Said:
            return no(code) if "EmailAddress" in body else super().change(held, who, body)

    outcome = told(Refuses({ONE: {NEWS: book(person())}}), Right.RECTIFICATION, changes=Changes(email=NEW))
    assert isinstance(outcome, HandOver)
    assert "did not accept the new address" in outcome.task
    assert outcome.references == (NEWS,)


def test_each_task_about_a_name_names_its_list() -> None:
    refused = failing(vendor(shop=book(person(City="Kent"))), "PUT", "/subscribers/", no(1))
    outcome = told(refused, Right.RECTIFICATION, changes=Changes(first_name="Augusta", last_name="King"))
    assert isinstance(outcome, Refused)
    assert outcome.reason == VALUE_REJECTED
    part = put_right(vendor(shop=book(person())), first_name="Augusta")
    assert isinstance(part, HandOver)
    assert part.references == (SHOP,)


@pytest.mark.parametrize(
    ("held", "asked", "writes"),
    [
        ("Hove", "Hove", 0),
        ("Hove", " Hove ", 0),
        ("Hove", "hove", 1),
        ("Hove", "Hove.", 1),
        ("one two", "one  two", 1),
        ("", "", 0),
        ("Hove", "", 1),
    ],
)
def test_a_text_is_written_where_it_is_not_to_the_letter_as_asked(held: str, asked: str, writes: int) -> None:
    stand_in = vendor(book(person(City=held)))
    put_right(stand_in, fields={"City": asked})
    assert len(stand_in.writes) == writes


def test_a_text_field_that_a_record_does_not_have_is_empty() -> None:
    stand_in = vendor(book(person() | {"CustomFields": []}))
    assert isinstance(put_right(stand_in, fields={"City": ""}), Applied)
    assert not stand_in.writes


def test_what_was_read_stands_as_evidence_whatever_it_shows() -> None:
    either = Changes(fields={"Visit date": "01/02/1990"})
    findings: list[tuple[Callable[[], StandIn], dict[str, Any]]] = [
        (vendor, {}),
        (lambda: vendor(book(person())), {}),
        (lambda: vendor(book(person(Visit_date="1990-02-01"))), {"changes": either}),
        (lambda: vendor(book(person())), {"changes": Changes(fields={"City": "Kent"})}),
    ]
    for stand_in, more in findings:
        finding = read_back(stand_in(), Right.RECTIFICATION, **more)
        assert isinstance(finding, AsAsked | CannotTell | Contradicts)
        assert isinstance(finding, AsAsked) or finding.reason
        assert "GET /subscribers/{id}.json" in [one.endpoint for one in finding.evidence]


@pytest.mark.parametrize(
    ("name", "changes", "found"),
    [
        ("Augusta Mary King", Changes(first_name="Augusta", last_name="King"), Contradicts),
        ("Augusta King", Changes(first_name="Augusta", last_name="King"), AsAsked),
        ("King", Changes(first_name="", last_name="King"), AsAsked),
        ("Ada King", Changes(first_name="", last_name="King"), Contradicts),
        (" Augusta  King", Changes(first_name=" Augusta ", last_name="King"), AsAsked),
        ("Augusta King", Changes(first_name="King"), Contradicts),
        ("Augusta King", Changes(last_name="Augusta"), Contradicts),
        ("Ada King", Changes(first_name="", last_name=""), Contradicts),
        ("", Changes(first_name="", last_name=""), AsAsked),
        (None, Changes(first_name="", last_name=" "), AsAsked),
        ("Ada King", Changes(first_name=""), CannotTell),
        ("Ada King", Changes(last_name=" "), CannotTell),
    ],
)
def test_a_name_is_compared_as_a_whole_or_at_the_end_that_was_asked_about(
    name: str | None, changes: Changes, found: type
) -> None:
    """Whether a part is empty, alone, no whole name shows."""
    stand_in = vendor(book(person() | {"Name": name}))
    assert isinstance(read_back(stand_in, Right.RECTIFICATION, changes=changes), found)


@pytest.mark.parametrize(("length", "kind"), [(250, Applied), (251, HandOver)])
def test_a_value_of_250_characters_is_sent_and_one_of_251_is_not(length: int, kind: type) -> None:
    stand_in = vendor(book(person()))
    assert isinstance(put_right(stand_in, fields={"City": "x" * length}), kind)
    assert len(stand_in.writes) == (kind is Applied)


def test_a_name_is_sent_without_the_blanks_around_its_parts() -> None:
    stand_in = vendor(book(person()))
    assert isinstance(put_right(stand_in, first_name=" Augusta ", last_name=" King "), Applied)
    assert record(stand_in, OLD)["Name"] == "Augusta King"
    assert isinstance(put_right(stand_in, first_name=" ", last_name="King"), Applied)
    assert record(stand_in, OLD)["Name"] == "King"


def test_a_text_that_looks_like_a_day_is_sent_as_it_was_asked() -> None:
    stand_in = vendor(book(person()))
    put_right(stand_in, fields={"City": "1990-12-31", "Visit date": "1990-12-31"})
    ((_, _, body),) = stand_in.writes
    assert body["CustomFields"] == [{"Key": "city", "Value": "1990-12-31"}, {"Key": "seen", "Value": "1990/12/31"}]
