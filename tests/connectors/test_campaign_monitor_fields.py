"""Campaign Monitor's custom fields have types: each change for itself, and a value is compared as what it is."""

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
import requests

from dpsync.connector import (
    Applied,
    AsAsked,
    CannotTell,
    Contradicts,
    HandOver,
    NothingHeld,
    Outcome,
    Refused,
    Retryable,
)
from dpsync.model import Changes, Right
from dpsync.vendor.errors import UNDOCUMENTED
from dpsync.vendor.rectification import GONE
from tests.connectors.contract import NEW, OLD, Said, instruction
from tests.connectors.test_campaign_monitor import (
    EVENTS,
    NEWS,
    ONE,
    Book,
    StandIn,
    book,
    no,
    on_stage,
    person,
    plain,
    said,
    told,
)
from tests.connectors.test_campaign_monitor import read_back as read

TYPES: dict[str, tuple[str, str, list[str]]] = {
    "city": ("City", "Text", []),
    "born": ("Born", "Date", []),
    "seats": ("Seats", "Number", []),
    "colour": ("Colour", "MultiSelectOne", ["Red", "Light Blue"]),
    "topics": ("Topics", "MultiSelectMany", ["News", "Events", "Jobs"]),
    "country": ("Country", "Country", []),
}


@dataclass
class Typed(StandIn):
    """Refuses, with `code`, a PUT that holds one of `bad` values; `in_form`: how it keeps a value."""

    bad: tuple[str, ...] = ()
    code: int = 216
    in_form: dict[str, str] = field(default_factory=dict)
    lists: dict[str, dict[str, tuple[str, str, list[str]]]] = field(default_factory=dict)

    def one_list(self, place: str, deed: str | None, held: Book) -> Said:
        if deed != "customfields":
            return super().one_list(place, deed, held)
        fields = self.lists.get(place, TYPES)
        return said(
            200,
            [
                {"FieldName": name, "Key": f"[{tag}]", "DataType": kind, "FieldOptions": options}
                for tag, (name, kind, options) in fields.items()
            ],
        )

    def change(self, held: Book, who: str, body: Any) -> Said:
        entries = body.get("CustomFields", [])
        said_values = {str(entry.get("Value")) for entry in entries} | {body.get("EmailAddress"), body.get("Name")}
        if said_values & set(self.bad):
            return no(211 if body.get("EmailAddress") in self.bad else self.code)
        rows = held.people[who]["CustomFields"]
        names = {TYPES[entry["Key"]][0] for entry in entries}
        new = [
            {"Key": TYPES[one["Key"]][0], "Value": self.in_form.get(one["Value"], one["Value"].replace("/", "-"))}
            for one in entries
            if not one.get("Clear")
        ]
        held.people[who]["CustomFields"] = [row for row in rows if row["Key"] not in names] + new
        return super().change(held, who, {**body, "CustomFields": []})


def vendor(*people: dict[str, Any], **more: Any) -> Typed:
    return Typed({ONE: {NEWS: book(*people)}}, **more)


def put_right(stand_in: StandIn, **changes: Any) -> Outcome:
    return told(stand_in, Right.RECTIFICATION, changes=Changes(**changes))


def read_back(stand_in: StandIn, **fields: Any) -> object:
    return read(stand_in, Right.RECTIFICATION, changes=Changes(fields=fields))


def values(stand_in: StandIn, address: str = OLD) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for row in stand_in.clients[ONE][NEWS].people[plain(address)]["CustomFields"]:
        found.setdefault(row["Key"], []).append(row["Value"])
    return found


def test_one_refused_field_blocks_neither_the_address_nor_the_name_and_is_named_without_its_value() -> None:
    stand_in = vendor(person(), bad=("twelve",))
    fields = {"Seats": "twelve", "City": "Hove", "Born": "1990-12-31"}
    outcome = put_right(stand_in, email=NEW, first_name="Augusta", last_name="King", fields=fields)
    assert isinstance(outcome, HandOver)
    assert "the field Seats (number)" in outcome.task
    assert "twelve" not in outcome.task
    assert values(stand_in, NEW) == {"City": ["Hove"], "Born": ["1990-12-31"]}
    assert stand_in.clients[ONE][NEWS].people[plain(NEW)]["Name"] == "Augusta King"


@pytest.mark.parametrize("bad", [("fake@example.org",), ("fake@example.org", "twelve")])
def test_a_refused_address_blocks_no_field(bad: tuple[str, ...]) -> None:
    stand_in = vendor(person(), bad=bad)
    outcome = put_right(
        stand_in, email="fake@example.org", first_name="Augusta", last_name="King", fields={"Seats": "twelve"}
    )
    assert isinstance(outcome, HandOver)
    assert "did not accept the new address" in outcome.task
    assert ("Seats" in outcome.task) is ("twelve" in bad)
    assert "fake" not in outcome.task
    assert stand_in.clients[ONE][NEWS].people[plain(OLD)]["Name"] == "Augusta King"


def test_a_refused_name_is_a_task_and_the_fields_are_done() -> None:
    stand_in = vendor(person(), bad=("Augusta King",))
    outcome = put_right(stand_in, first_name="Augusta", last_name="King", fields={"City": "Hove"})
    assert isinstance(outcome, HandOver)
    assert "did not accept the new name" in outcome.task
    assert outcome.references == (NEWS,)
    assert values(stand_in)["City"] == ["Hove"]


def test_where_nothing_at_all_is_taken_an_odd_code_is_a_no() -> None:
    outcome = put_right(vendor(person(), bad=("twelve",)), fields={"Seats": "twelve"})
    assert isinstance(outcome, Refused)
    assert outcome.reason == UNDOCUMENTED


def test_a_record_that_went_away_in_between_is_nothing_held() -> None:
    class Goes(Typed):
        def answer(self, request: requests.PreparedRequest) -> Said:
            if request.method == "PUT":
                self.clients[ONE][NEWS].people.clear()
            return super().answer(request)

    assert isinstance(put_right(Goes({ONE: {NEWS: book(person())}}), fields={"City": "Hove"}), NothingHeld)


def test_a_record_that_goes_away_half_way_is_looked_for_again() -> None:
    class Goes(Typed):
        done = False

        def change(self, held: Book, who: str, body: Any) -> Said:
            found = super().change(held, who, body)
            self.done = found.status == 200
            return found

        def answer(self, request: requests.PreparedRequest) -> Said:
            if self.done and request.method == "PUT":
                self.clients[ONE][NEWS].people.clear()
            return super().answer(request)

    stand_in = Goes({ONE: {NEWS: book(person())}}, bad=("twelve",))
    outcome = put_right(stand_in, fields={"City": "Hove", "Seats": "twelve"})
    assert isinstance(outcome, Retryable)
    assert (outcome.reason, outcome.doubtful) == (GONE, True)


@pytest.mark.parametrize(
    ("name", "asked", "held"),
    [
        ("Born", "1990/12/31", "1990-12-31"),
        ("Born", "31/12/1990", "1990-12-31"),
        ("Seats", "12.0", "12"),
        ("Colour", "light blue", "Light Blue"),
        ("Country", "france", "France"),
        ("City", "Hove ", "Hove"),
    ],
)
def test_a_right_value_in_the_vendors_form_is_as_asked(name: str, asked: str, held: str) -> None:
    assert isinstance(read_back(vendor(person(**{name: held})), **{name: asked}), AsAsked)
    stand_in = vendor(person(**{name: "Red"}), in_form={asked: held})
    assert isinstance(put_right(stand_in, fields={name: asked}), Applied)
    assert isinstance(read_back(stand_in, **{name: asked}), AsAsked)


@pytest.mark.parametrize(
    ("name", "asked", "held"), [("Born", "1990-12-31", "1990-12-30"), ("Seats", "12", "13"), ("Colour", "Red", "Blue")]
)
def test_another_value_contradicts_whatever_the_type(name: str, asked: str, held: str) -> None:
    assert isinstance(read_back(vendor(person(**{name: held})), **{name: asked}), Contradicts)


def test_a_day_that_nobody_can_read_for_sure_is_neither_right_nor_wrong_and_a_task() -> None:
    stand_in = vendor(person(), in_form={"01/02/1990": "1990-02-01"})
    outcome = put_right(stand_in, fields={"Born": "01/02/1990"})
    assert isinstance(outcome, HandOver)
    assert "the field Born (date)" in outcome.task
    assert "cannot be compared" in outcome.task
    assert isinstance(read_back(stand_in, Born="01/02/1990"), CannotTell)


@pytest.mark.parametrize("shown", [("1990-02-01", "01/02/1990"), ("01/02/1990", "1990-02-01")])
def test_one_value_that_cannot_be_compared_makes_the_whole_unclear(shown: tuple[str, str]) -> None:
    news, events = (book(person(Born=value)) for value in shown)
    assert isinstance(read_back(Typed({ONE: {NEWS: news, EVENTS: events}}), Born="01/02/1990"), CannotTell)


def test_several_options_are_replaced_only_by_several_and_one_that_is_no_option_is_named() -> None:
    stand_in = vendor(person(Topics=["News", "Jobs"]))
    assert isinstance(put_right(stand_in, fields={"Topics": "Events; news"}), Applied)
    assert values(stand_in)["Topics"] == ["Events", "News"]
    assert isinstance(read_back(stand_in, Topics="News, Events"), AsAsked)
    assert isinstance(read_back(stand_in, Topics="News"), Contradicts)
    for asked in ("Jobs", "Jobs, Sport"):
        outcome = put_right(stand_in, fields={"Topics": asked})
        assert isinstance(outcome, HandOver)
        assert "several options are chosen in the field Topics (choices)" in outcome.task
    assert values(stand_in)["Topics"] == ["Events", "News"]


@pytest.mark.parametrize("kind", ["Country", "USState"])
def test_a_region_by_its_code_and_by_its_name_is_neither_right_nor_wrong(kind: str) -> None:
    stand_in = vendor(person(Place="California"), lists={NEWS: {"place": ("Place", kind, [])}})
    assert isinstance(read_back(stand_in, Place="CA"), CannotTell)
    assert isinstance(read_back(stand_in, Place="california"), AsAsked)
    assert isinstance(read_back(stand_in, Place="Nevada"), Contradicts)


def test_what_is_no_option_is_sent_as_it_was_asked() -> None:
    stand_in = vendor(person())
    put_right(stand_in, fields={"Topics": "Sport"})
    assert [body["CustomFields"] for _, _, body in stand_in.writes] == [[{"Key": "topics", "Value": "Sport"}]]


def test_each_list_has_its_own_types() -> None:
    stand_in = Typed({ONE: {NEWS: book(person(Seats="12")), EVENTS: book(person(Seats="12"))}})
    stand_in.lists[EVENTS] = {**TYPES, "seats": ("Seats", "Text", [])}
    finding = read_back(stand_in, Seats="12.0")
    assert isinstance(finding, Contradicts)
    del stand_in.clients[ONE][EVENTS]
    assert isinstance(read_back(stand_in, Seats="12.0"), AsAsked)


def test_the_parts_of_an_address_are_left_to_the_operator() -> None:
    stand_in = vendor(person())
    outcome = put_right(stand_in, fields={"City": {"city": "Hove"}, "Seats": "3"})
    assert isinstance(outcome, HandOver)
    assert "the field City cannot take the parts of an address" in outcome.task
    assert values(stand_in) == {"City": ["Kent"], "Seats": ["3"]}


def test_no_value_of_the_person_and_no_address_for_a_field_is_in_a_task_or_in_evidence() -> None:
    bad = ("canary-1", "canary-2")
    fields = {"Seats": "canary-1", "Born": "canary-2", "City": "Hove", "ada.canary@example.org": "x"}
    outcome = put_right(vendor(person(), bad=bad), fields=fields)
    assert isinstance(outcome, HandOver)
    told_of = json.dumps([outcome.task, [one.note for one in outcome.evidence]])
    assert "canary" not in told_of
    assert "asked to put right: City" in [one.note for one in outcome.evidence]


def test_types_are_asked_for_only_where_a_field_is_put_right() -> None:
    stand_in = vendor(person())
    asked = instruction(Right.RECTIFICATION, changes=Changes(email=NEW, first_name="Augusta", last_name="King"))
    with on_stage(stand_in) as stage:
        stage.tell(asked)
        assert isinstance(stage.read_back(asked), AsAsked)
    assert "customfields" not in stand_in.reads


@pytest.mark.parametrize(
    ("left_out", "kind"),
    [
        ({"SHOE": "38"}, HandOver),
        ({"SHOE": ""}, Applied),
        ({"Colour": "Red"}, Applied),
        ({"City": {"city": "Hove"}}, HandOver),
        ({"City": "x" * 251}, HandOver),
        ({"Topics": "Jobs"}, HandOver),
    ],
)
def test_a_field_that_is_not_sent_keeps_no_other_from_being_sent(left_out: dict[str, Any], kind: type) -> None:
    stand_in = vendor(person(Colour="Red", City="Kent", Topics=["News", "Events"]))
    assert isinstance(put_right(stand_in, fields={**left_out, "Seats": "3"}), kind)
    assert values(stand_in)["Seats"] == ["3"]
    assert [len(body["CustomFields"]) for _, _, body in stand_in.writes] == [1]


class PassesOver(Typed):
    """Says yes to what is no number, and leaves the field as it was."""

    def change(self, held: Book, who: str, body: Any) -> Said:
        entries = [entry for entry in body.get("CustomFields", []) if entry.get("Value") != "many"]
        return super().change(held, who, {**body, "CustomFields": entries})


@pytest.mark.parametrize(
    ("fields", "left", "others_done"),
    [
        ({"Seats": "many", "City": "Hove"}, ["Seats"], True),
        ({"Seats": "many", "City": "odd"}, ["City"], False),
        ({"Seats": "many"}, [], False),
        ({"City": "odd", "Born": "1990-12-31"}, ["City"], True),
        ({"City": "odd", "Born": "1990-12-31", "Seats": "many"}, ["City", "Seats"], True),
    ],
)
def test_what_was_not_taken_is_named_and_nothing_is_called_done_that_is_not(
    fields: dict[str, str], left: list[str], others_done: bool
) -> None:
    """Where it passed over all with a yes, the read-back contradicts."""
    stand_in = PassesOver({ONE: {NEWS: book(person())}}, bad=("odd",))
    outcome = put_right(stand_in, fields=fields)
    assert isinstance(outcome, HandOver if left else Applied)
    told_of = getattr(outcome, "task", "")
    assert [name for name in ("City", "Seats", "Born") if name in told_of] == left
    assert ("other changes are in place" in told_of) is others_done
    assert isinstance(read_back(stand_in, **fields), Contradicts)
