"""How Mailchimp says which change it refuses, and of which type its merge fields are."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from dpsync.connector import Applied, AsAsked, CannotTell, Contradicts, HandOver
from dpsync.model import Changes, Right
from tests.connectors.contract import NEW, OLD, Said, instruction
from tests.connectors.test_mailchimp import md5, on_stage, problem, read_back, said, told
from tests.connectors.test_mailchimp_fields import ADDRESS, MESSAGE, TYPES, Typed, held, shown

PHONE = {"changes": Changes(fields={"PHONE": "+1 404 555 0123"})}


def rectify(vendor: Typed, changes: Changes) -> tuple[HandOver, int]:
    """What is left to the operator, and in how many changes the rest was made."""
    with on_stage(vendor) as stage:
        outcome = stage.tell(instruction(Right.RECTIFICATION, changes=changes))
        assert isinstance(outcome, HandOver)
        return outcome, len([one for one in stage.sent if one.method == "PATCH"])


# --- which change a refusal is about


@dataclass
class Blames(Typed):
    """Refuses every change that holds one of `bad`, for `errors` as they stand here."""

    bad: tuple[str, ...] = ("SEATS",)
    errors: object = None

    def _change(self, members: dict[str, dict[str, Any]], hashed: str, body: Any) -> Said:
        if {*self.bad} & {*body, *body.get("merge_fields", {})}:
            return problem(400, "Invalid Resource", errors=self.errors)
        return super()._change(members, hashed, body)


EVERYTHING = Changes(email=NEW, first_name="Augusta", fields={"SEATS": "12", "NOTE": "x", "HOME": ADDRESS})


@pytest.mark.parametrize(
    ("bad", "names"),
    [
        *(("SEATS", [name]) for name in ("SEATS", "seats", "merge_fields.SEATS")),
        ("HOME", ["merge_fields.HOME.zip"]),
        *(("email_address", [name]) for name in ("email", "EMAIL", "email_address", "Email Address", "e-mail address")),
        ("SEATS NOTE", ["SEATS", "NOTE"]),
        ("SEATS email_address", ["SEATS", "email address"]),
        ("SEATS email_address", ["email address", "SEATS"]),
    ],
)
def test_a_refusal_that_names_what_it_is_about_costs_one_call_more_and_no_search(bad: str, names: list[str]) -> None:
    errors = [{"field": name, "message": MESSAGE} for name in names]
    outcome, patches = rectify(Blames({"list1": held()}, bad=tuple(bad.split()), errors=errors), EVERYTHING)
    assert patches == 2
    assert outcome.references == ("list1",)
    assert ("refused the new address" in outcome.task) is ("email" in bad)
    assert [tag for tag in ("FNAME", "SEATS", "NOTE", "HOME") if tag in outcome.task] == [
        tag for tag in ("SEATS", "NOTE", "HOME") if tag in bad
    ]


def test_a_field_is_the_same_in_small_letters_whoever_writes_it_so() -> None:
    errors = [{"field": "SEATS", "message": MESSAGE}]
    changes = Changes(first_name="Augusta", last_name="King", fields={"seats": "12"})
    _, patches = rectify(Blames({"list1": held()}, bad=("seats",), errors=errors), changes)
    assert patches == 2


@pytest.mark.parametrize(
    "errors",
    [None, 7, "NOTE", {"field": "NOTE"}, ["NOTE", None], [{}], [{"field": None}], [{"field": 7}], [{"field": ""}]],
)
def test_a_refusal_that_names_nothing_is_about_no_field_and_not_about_the_address(errors: object) -> None:
    vendor = Blames({"list1": held()}, errors=errors)
    outcome, patches = rectify(vendor, EVERYTHING)
    assert patches > 2
    assert "did not accept the new value of the merge field SEATS (number)" in outcome.task
    assert "before" not in outcome.task
    assert "address" not in outcome.task
    assert shown(vendor, NEW) == held()[md5(OLD)]["merge_fields"] | {"FNAME": "Augusta", "NOTE": "x", "HOME": ADDRESS}


def test_all_fields_in_the_way_of_all_are_named_in_their_order_and_the_audience_is_the_reference() -> None:
    errors = [{"field": name} for name in ("COMPANY", "ZONE", "BRANCH", "a label")]
    vendor = Blames({"list1": held()}, bad=("email_address",), errors=errors)
    outcome, patches = rectify(vendor, Changes(email=NEW))
    assert "before the merge fields BRANCH, COMPANY and ZONE" in outcome.task
    assert "the address was not changed" in outcome.task
    assert (outcome.references, patches) == (("list1",), 1)


def test_an_address_that_is_refused_for_a_reason_that_nobody_documents_is_left_with_the_usual_advice() -> None:
    class Refuses(Typed):
        def _change(self, members: dict[str, dict[str, Any]], hashed: str, body: Any) -> Said:
            odd = problem(400, "Member In Compliance State")
            return odd if "email_address" in body else super()._change(members, hashed, body)

    outcome, _ = rectify(Refuses({"list1": held()}), Changes(email=NEW, first_name="Augusta"))
    assert "In audience list1 Mailchimp refused the new address, perhaps because it looks fake" in outcome.task
    assert outcome.references == ("list1",)


# --- what an audience says of its merge fields


def typed(tag: str, **row: Any) -> dict[str, Mapping[str, dict[str, Any]]]:
    return {"list1": {**TYPES, tag: row}}


@pytest.mark.parametrize(
    ("options", "finding"),
    [
        ({"phone_format": "US"}, AsAsked),
        ({"phone_format": "none"}, CannotTell),
        ({}, CannotTell),
        (None, CannotTell),
        ("US", CannotTell),
    ],
)
def test_only_an_audience_of_american_numbers_says_which_country_a_number_without_one_is_in(
    options: object, finding: type
) -> None:
    vendor = Typed({"list1": held(PHONE="(404) 555-0123")}, types=typed("PHONE", type="phone", options=options))
    assert isinstance(read_back(vendor, Right.RECTIFICATION, **PHONE), finding)


@pytest.mark.parametrize(
    ("form", "sent", "finding"),
    [
        ("DD/MM/YYYY", "1990-02-01", AsAsked),
        ("dd/mm/yyyy", "1990-02-01", AsAsked),
        ("MM/DD/YYYY", "1990-01-02", AsAsked),
        ("YYYY-MM-DD", "01/02/1990", CannotTell),
        (None, "01/02/1990", CannotTell),
    ],
)
def test_a_day_that_could_be_either_is_read_as_the_audience_says_and_where_it_says_nothing_not_at_all(
    form: str | None, sent: str, finding: type
) -> None:
    options = {} if form is None else {"date_format": form}
    vendor = Typed({"list1": held()}, types=typed("BORN", type="date", options=options))
    order = instruction(Right.RECTIFICATION, changes=Changes(fields={"BORN": "01/02/1990"}))
    with on_stage(vendor) as stage:
        stage.tell(order)
        bodies = [json.loads(one.body or b"null") for one in stage.sent if one.method == "PATCH"]
        assert bodies == [{"merge_fields": {"BORN": sent}}]
        assert isinstance(stage.read_back(order), finding)


@pytest.mark.parametrize(
    ("row", "asked", "now", "finding"),
    [
        ({"type": "dropdown", "options": {"choices": [38, 39]}}, "38", 38, AsAsked),
        ({"type": "radio", "options": {"choices": "38"}}, "38", 38, AsAsked),
        ({"type": "a new type"}, "12.0", "12", AsAsked),
        ({"type": "text"}, "12.0", "12", Contradicts),
        ({"type": 7}, "12.0", "12", AsAsked),
        ({"type": "zip"}, "CT1 1AA", "ct11aa", AsAsked),
        ({"type": "imageurl"}, "https://example.org/a", "https://example.org/a/", AsAsked),
    ],
)
def test_a_value_is_compared_as_its_type_and_as_anything_where_the_type_is_not_known(
    row: dict[str, Any], asked: str, now: object, finding: type
) -> None:
    vendor = Typed({"list1": held(SHOE=now)}, types=typed("SHOE", **row))
    assert isinstance(read_back(vendor, Right.RECTIFICATION, changes=Changes(fields={"SHOE": asked})), finding)


@pytest.mark.parametrize(
    ("choices", "sent"), [(["Red"], "Red"), ([38, "R"], "R"), ("R", "r"), ({"R": 1}, "r"), (None, "r")]
)
def test_options_are_a_list_and_nothing_else(choices: object, sent: str) -> None:
    vendor = Typed({"list1": held()}, types=typed("SIZE", type="radio", options={"choices": choices}))
    with on_stage(vendor) as stage:
        stage.tell(instruction(Right.RECTIFICATION, changes=Changes(fields={"SIZE": sent.lower()})))
        (patch,) = [one for one in stage.sent if one.method == "PATCH"]
    assert json.loads(patch.body or b"") == {"merge_fields": {"SIZE": sent}}


@pytest.mark.parametrize(
    ("kind", "now", "asked", "sent"),
    [("number", 12, "12.0", False), ("text", "one two", "one  two", True), ("a new type", 12, "12.0", True)],
)
def test_what_only_means_the_same_is_sent_unless_its_type_says_that_it_is_the_same(
    kind: str, now: object, asked: str, sent: bool
) -> None:
    vendor = Typed({"list1": held(SIZE=now)}, types=typed("SIZE", type=kind))
    with on_stage(vendor) as stage:
        assert isinstance(
            stage.tell(instruction(Right.RECTIFICATION, changes=Changes(fields={"SIZE": asked}))), Applied
        )
        assert stage.writes() == sent


@pytest.mark.parametrize(("more", "kind"), [("x", Applied), ("\u00e9", HandOver)])
def test_a_text_of_255_bytes_is_sent_and_one_of_256_is_not(more: str, kind: type) -> None:
    text = "\u00e9" * 127 + more
    vendor = Typed({"list1": held()})
    assert isinstance(told(vendor, Right.RECTIFICATION, changes=Changes(fields={"NOTE": text})), kind)
    assert shown(vendor)["NOTE"] == (text if kind is Applied else "")


def test_an_empty_name_is_asked_for_like_any_other() -> None:
    vendor = Typed({"list1": held()})
    order = instruction(Right.RECTIFICATION, changes=Changes(first_name="", last_name="King"))
    with on_stage(vendor) as stage:
        assert isinstance(stage.read_back(order), Contradicts)
        stage.tell(order)
        assert isinstance(stage.read_back(order), AsAsked)
    assert (shown(vendor)["FNAME"], shown(vendor)["LNAME"]) == ("", "King")


@pytest.mark.parametrize("status", [202, 400])
def test_types_are_read_of_a_200_alone(status: int) -> None:
    class Odd(Typed):
        def answer(self, request: requests.PreparedRequest) -> Said:
            found = super().answer(request)
            rows = {"merge_fields": [{"tag": "PHONE", **TYPES["PHONE"]}]}
            there = urlsplit(request.url or "").path.endswith("/merge-fields")
            return found if not there else said(202, rows) if status == 202 else problem(400, "Trouble", **rows)

    vendor = Odd({"list1": held(PHONE="(404) 555-0123")})
    assert isinstance(read_back(vendor, Right.RECTIFICATION, **PHONE), CannotTell)


@pytest.mark.parametrize("answer", [[], "merge_fields", {"merge_fields": None}, {"merge_fields": {"tag": "PHONE"}}])
def test_merge_fields_that_are_not_as_documented_are_not_known(answer: object) -> None:
    class Odd(Typed):
        def answer(self, request: requests.PreparedRequest) -> Said:
            there = urlsplit(request.url or "").path.endswith("/merge-fields")
            return said(200, answer) if there else super().answer(request)

    assert isinstance(read_back(Odd({"list1": held(PHONE="(404) 555-0123")}), Right.RECTIFICATION, **PHONE), CannotTell)
