"""Mailchimp's merge fields have types: each change is a duty of its own, and a value is compared as what it is."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from dpsync.connector import Applied, AsAsked, CannotTell, Contradicts, HandOver, NothingHeld, Refused, Retryable
from dpsync.model import Changes, Right
from dpsync.vendor.errors import OUR_FAULT, UNDOCUMENTED
from tests.connectors.contract import NEW, OLD, Said, instruction
from tests.connectors.test_mailchimp import MEMBER, StandIn, md5, on_stage, problem, read_back, said, told

ADDRESS = {"addr1": "1 High Street", "city": "Kent", "state": "-", "zip": "CT1 1AA", "country": "GB"}
TYPES: Mapping[str, dict[str, Any]] = {
    "FNAME": {"type": "text"},
    "LNAME": {"type": "text"},
    "BORN": {"type": "date", "options": {"date_format": "MM/DD/YYYY"}},
    "BDAY": {"type": "birthday", "options": {"date_format": "MM/DD"}},
    "HOME": {"type": "address", "options": {"default_country": 164}},
    "SEATS": {"type": "number"},
    "PHONE": {"type": "phone", "options": {"phone_format": "US"}},
    "COLOUR": {"type": "dropdown", "options": {"choices": ["Red", "Light Blue"]}},
    "SITE": {"type": "url"},
    "NOTE": {"type": "text"},
}
MESSAGE = "Please enter a value"


def kept(kind: str, value: Any) -> Any:
    """What the vendor keeps of a value; ValueError where it refuses it (vendor page "Merge Fields")."""
    if value == "":
        return ""
    match kind:
        case "number":
            number = float(value)
            return int(number) if number == int(number) else number
        case "date":
            for form in ("%Y-%m-%d", "%Y/%m/%d", "%d-%m-%Y", "%m/%d/%Y"):
                try:
                    return datetime.strptime(value, form).date().isoformat()  # noqa: DTZ007 because a day has no zone
                except ValueError:
                    continue
            raise ValueError
        case "birthday" if not re.fullmatch(r"\d\d/\d\d", value):
            raise ValueError
        case "address" if not isinstance(value, dict) or not all(value.get(p) for p in ("addr1", "city", "zip")):
            raise ValueError
        case "dropdown" if value not in ("Red", "Light Blue"):
            raise ValueError
        case "text":
            return value.encode()[:255].decode()
    return value


@dataclass
class Typed(StandIn):
    """Keeps each value as its merge field's type. `says`: how a refusal names its fields; None: not at all."""

    types: dict[str, Mapping[str, dict[str, Any]]] = field(default_factory=dict)
    says: str | None = "{}"
    title: str = "Invalid Resource"
    in_the_way: str = ""
    hides_types: bool = False

    def answer(self, request: requests.PreparedRequest) -> Said:
        path = urlsplit(request.url or "").path
        if path.endswith("/merge-fields") and not self.hides_types:
            rows = [{"tag": tag, "options": {}} | row for tag, row in self.of(path.split("/")[3]).items()]
            return said(200, {"merge_fields": rows, "total_items": len(rows)})
        return super().answer(request)

    def of(self, list_id: str) -> Mapping[str, dict[str, Any]]:
        return self.types.get(list_id, TYPES)

    def _change(self, members: dict[str, dict[str, Any]], hashed: str, body: Any) -> Said:
        types, refused, values = self.of(members[hashed]["list_id"]), [], {}
        for tag, value in body.get("merge_fields", {}).items():
            try:
                values[tag] = kept(types.get(tag, {}).get("type", ""), value)
            except ValueError:
                refused.append(tag)
        refused += [self.in_the_way] if self.in_the_way else []
        if body.get("email_address", "").startswith("fake"):
            refused.append("email address")
        if refused:
            errors = [{"field": self.says.format(tag), "message": MESSAGE} for tag in refused] if self.says else []
            return problem(400, self.title, **({"errors": errors} if errors else {}))
        return super()._change(members, hashed, body | ({"merge_fields": values} if values else {}))


def held(address: str = OLD, list_id: str = "list1", **fields: Any) -> dict[str, dict[str, Any]]:
    values = dict.fromkeys(TYPES, "") | {"FNAME": "Ada", "LNAME": "Canary"} | fields
    return {md5(address): {"id": md5(address), "list_id": list_id, "status": "subscribed", "merge_fields": values}}


def shown(vendor: Typed, address: str = OLD, list_id: str = "list1") -> Any:
    return vendor.lists[list_id][md5(address)]["merge_fields"]


WRONG = {"SEATS": "twelve", "HOME": "1 High Street, Kent", "COLOUR": "Green"}


# --- one that is refused keeps no other from being done


def test_one_refused_field_blocks_neither_the_address_nor_the_names_and_is_named_without_its_value() -> None:
    vendor = Typed({"list1": held()})
    changes = Changes(email=NEW, first_name="Augusta", fields={"SEATS": "twelve"})
    outcome = told(vendor, Right.RECTIFICATION, changes=changes)
    assert isinstance(outcome, HandOver)
    assert "the merge field SEATS (number)" in outcome.task
    assert "twelve" not in outcome.task
    assert "other changes are in place" in outcome.task
    assert shown(vendor, NEW)["FNAME"] == "Augusta"
    assert md5(OLD) not in vendor.lists["list1"]


@pytest.mark.parametrize("types", [True, False])
@pytest.mark.parametrize("says", ["{}", "merge_fields.{}", "A label", None])
def test_however_a_refusal_names_its_fields_what_is_good_is_done(says: str | None, *, types: bool) -> None:
    vendor = Typed({"list1": held()}, says=says, hides_types=not types)
    changes = Changes(email=NEW, first_name="Augusta", last_name="King", fields={**WRONG, "BORN": "12/31/1990"})
    outcome = told(vendor, Right.RECTIFICATION, changes=changes)
    assert isinstance(outcome, HandOver)
    assert all(tag in outcome.task for tag in WRONG)
    assert "BORN" not in outcome.task
    now = shown(vendor, NEW)
    assert [now[tag] for tag in ("FNAME", "LNAME", "BORN", *WRONG)] == ["Augusta", "King", "1990-12-31", "", "", ""]


def test_a_refused_name_is_named_and_the_other_name_is_done() -> None:
    class NoFirstNames(Typed):
        def _change(self, members: dict[str, dict[str, Any]], hashed: str, body: Any) -> Said:
            if "FNAME" in body.get("merge_fields", {}):
                return problem(400, "Invalid Resource", errors=[{"field": "FNAME", "message": MESSAGE}])
            return super()._change(members, hashed, body)

    vendor = NoFirstNames({"list1": held()})
    outcome = told(vendor, Right.RECTIFICATION, changes=Changes(first_name="Augusta", last_name="King"))
    assert isinstance(outcome, HandOver)
    assert "FNAME" in outcome.task
    assert shown(vendor)["LNAME"] == "King"


@pytest.mark.parametrize("says", ["{}", None])
def test_a_refused_address_blocks_no_field_and_a_refused_field_beside_it_is_named(says: str | None) -> None:
    vendor = Typed({"list1": held()}, says=says)
    changes = Changes(email="fake@example.org", first_name="Augusta", fields={"SEATS": "twelve", "BORN": "1990-12-31"})
    outcome = told(vendor, Right.RECTIFICATION, changes=changes)
    assert isinstance(outcome, HandOver)
    assert "refused the new address" in outcome.task
    assert "SEATS" in outcome.task
    assert (shown(vendor)["FNAME"], shown(vendor)["BORN"]) == ("Augusta", "1990-12-31")


def test_each_audience_is_put_right_as_far_as_it_goes() -> None:
    text = {**TYPES, "SEATS": {"type": "text"}}
    vendor = Typed({"list1": held(), "list2": held(list_id="list2")}, types={"list2": text})
    outcome = told(vendor, Right.RECTIFICATION, changes=Changes(fields={"SEATS": "twelve", "NOTE": "x"}))
    assert isinstance(outcome, HandOver)
    assert outcome.references == ("list1",)
    assert (shown(vendor)["NOTE"], shown(vendor, list_id="list2")["SEATS"]) == ("x", "twelve")


def test_a_field_in_the_way_of_all_is_named_although_nobody_asked_about_it() -> None:
    vendor = Typed({"list1": held()}, in_the_way="COMPANY")
    outcome = told(vendor, Right.RECTIFICATION, changes=Changes(email=NEW, first_name="Augusta", fields={"NOTE": "x"}))
    assert isinstance(outcome, HandOver)
    assert "before the merge field COMPANY is filled" in outcome.task
    assert "FNAME and NOTE" in outcome.task
    assert "the address was not changed" in outcome.task
    assert "in place" not in outcome.task


@pytest.mark.parametrize(
    ("title", "reason"),
    [("Bad Request", OUR_FAULT), ("Member In Compliance State", UNDOCUMENTED), ("Member Exists", UNDOCUMENTED)],
)
def test_a_no_that_nobody_documents_is_a_task_only_where_the_others_were_taken(title: str, reason: str) -> None:
    alone = told(Typed({"list1": held()}, title=title), Right.RECTIFICATION, changes=Changes(fields={"SEATS": "x"}))
    assert isinstance(alone, Refused)
    assert alone.reason == reason
    vendor = Typed({"list1": held()}, title=title)
    beside = told(vendor, Right.RECTIFICATION, changes=Changes(fields={"SEATS": "x", "NOTE": "y"}))
    assert isinstance(beside, HandOver)
    assert "SEATS" in beside.task
    assert shown(vendor)["NOTE"] == "y"


def test_a_contact_that_is_nowhere_is_nothing_held_with_fields_too() -> None:
    assert isinstance(told(Typed({"list1": {}}), Right.RECTIFICATION, changes=Changes(fields=WRONG)), NothingHeld)


def test_a_line_that_breaks_in_the_middle_is_finished_by_a_retry() -> None:
    @dataclass
    class Breaks(Typed):
        left: int = 2

        def answer(self, request: requests.PreparedRequest) -> Said:
            self.left -= request.method == "PATCH"
            return Said(502, {}, b"") if request.method == "PATCH" and self.left == 0 else super().answer(request)

    vendor = Breaks({"list1": held()}, says=None)
    order = {"changes": Changes(email=NEW, last_name="King", fields={"SEATS": "twelve", "NOTE": "x"})}
    first = told(vendor, Right.RECTIFICATION, **order)
    assert isinstance(first, Retryable)
    assert first.doubtful
    second = told(vendor, Right.RECTIFICATION, **order)
    assert isinstance(second, HandOver)
    assert "SEATS" in second.task
    assert (shown(vendor, NEW)["LNAME"], shown(vendor, NEW)["NOTE"]) == ("King", "x")


def test_what_was_put_right_stands_in_the_evidence_by_its_name() -> None:
    outcome = told(
        Typed({"list1": held()}), Right.RECTIFICATION, changes=Changes(email=NEW, fields={**WRONG, "NOTE": "x"})
    )
    assert isinstance(outcome, HandOver)
    assert [one.note for one in outcome.evidence if one.note] == ["asked to put right: address, NOTE"]


def test_a_key_that_may_be_an_address_is_never_named() -> None:
    changes = Changes(fields={"ada.canary@example.org": "x", "07700900123": "x", "SHOE": "38"})
    outcome = told(Typed({"list1": held()}), Right.RECTIFICATION, changes=changes)
    assert isinstance(outcome, HandOver)
    assert "SHOE" in outcome.task
    assert "example.org" not in outcome.task
    assert "07700900123" not in outcome.task
    assert not [one for one in outcome.evidence if "example.org" in one.note]


# --- a value is kept in the vendor's form


@pytest.mark.parametrize(
    ("tag", "asked", "now"),
    [
        ("BORN", "12/31/1990", "1990-12-31"),
        ("BORN", "01/02/1990", "1990-01-02"),
        ("BDAY", "1/2", "01/02"),
        ("BDAY", "1980-01-02", "01/02"),
        ("SEATS", "12.0", 12),
        ("COLOUR", "light blue", "Light Blue"),
        ("NOTE", "one\r\ntwo ", "one\r\ntwo "),
        ("NOTE", "", ""),
        ("PHONE", "(404) 555-0123", "(404) 555-0123"),
        ("HOME", ADDRESS, ADDRESS),
    ],
)
def test_a_right_value_in_the_vendors_form_is_as_asked(tag: str, asked: Any, now: Any) -> None:
    vendor = Typed({"list1": held(**{tag: "old" if tag == "NOTE" else ""})})
    order = {"changes": Changes(fields={tag: asked})}
    assert isinstance(told(vendor, Right.RECTIFICATION, **order), Applied)
    assert shown(vendor)[tag] == now
    assert isinstance(read_back(vendor, Right.RECTIFICATION, **order), AsAsked)


def test_the_audience_says_which_of_day_and_month_comes_first() -> None:
    british = {**TYPES, "BORN": {"type": "date", "options": {"date_format": "DD/MM/YYYY"}}}
    vendor = Typed({"list1": held(), "list2": held(list_id="list2")}, types={"list2": british})
    order = {"changes": Changes(fields={"BORN": "01/02/1990"})}
    assert isinstance(told(vendor, Right.RECTIFICATION, **order), Applied)
    assert (shown(vendor)["BORN"], shown(vendor, list_id="list2")["BORN"]) == ("1990-01-02", "1990-02-01")
    assert isinstance(read_back(vendor, Right.RECTIFICATION, **order), AsAsked)


@pytest.mark.parametrize("held_now", ["1990-02-01", "1990-01-02"])
def test_a_day_that_nobody_can_read_for_sure_is_neither_right_nor_wrong(held_now: str) -> None:
    vendor = Typed({"list1": held(BORN=held_now)}, hides_types=True)
    order = {"changes": Changes(fields={"BORN": "01/02/1990"})}
    assert isinstance(read_back(vendor, Right.RECTIFICATION, **order), CannotTell)
    outcome = told(vendor, Right.RECTIFICATION, **order)
    assert isinstance(outcome, HandOver)
    assert "cannot be compared" in outcome.task
    assert "the merge field BORN" in outcome.task


def test_another_value_contradicts_whatever_the_type() -> None:
    wrong: dict[str, Any] = {
        "BORN": "1990-12-30",
        "BDAY": "03/04",
        "SEATS": 13,
        "COLOUR": "Red",
        "HOME": ADDRESS | {"zip": "CT1 1AB"},
    }
    asked: dict[str, Any] = {
        "BORN": "1990-12-31",
        "BDAY": "01/02",
        "SEATS": "12",
        "COLOUR": "Light Blue",
        "HOME": ADDRESS,
    }
    for tag, value in wrong.items():
        order = {"changes": Changes(fields={tag: asked[tag]})}
        assert isinstance(read_back(Typed({"list1": held(**{tag: value})}), Right.RECTIFICATION, **order), Contradicts)


def test_a_text_that_would_be_cut_is_not_sent_and_is_named() -> None:
    vendor = Typed({"list1": held(NOTE="old")})
    outcome = told(vendor, Right.RECTIFICATION, changes=Changes(last_name="King", fields={"NOTE": "\u00e9" * 128}))
    assert isinstance(outcome, HandOver)
    assert "NOTE has over 255 bytes" in outcome.task
    assert (shown(vendor)["NOTE"], shown(vendor)["LNAME"]) == ("old", "King")


# --- postal addresses


def test_a_part_of_an_address_is_put_right_and_the_others_stay() -> None:
    vendor = Typed({"list1": held(HOME=ADDRESS | {"addr2": "Flat 2"})})
    order = {"changes": Changes(fields={"HOME": {"city": "Leeds", "addr2": ""}})}
    assert isinstance(told(vendor, Right.RECTIFICATION, **order), Applied)
    assert shown(vendor)["HOME"] == ADDRESS | {"city": "Leeds", "addr2": ""}
    assert isinstance(read_back(vendor, Right.RECTIFICATION, **order), AsAsked)


def test_an_address_that_the_vendor_calls_incomplete_is_named_and_an_emptied_one_is_emptied() -> None:
    vendor = Typed({"list1": held()})
    outcome = told(vendor, Right.RECTIFICATION, changes=Changes(fields={"HOME": {"city": "Kent"}, "NOTE": "x"}))
    assert isinstance(outcome, HandOver)
    assert "HOME (address)" in outcome.task
    assert shown(vendor)["NOTE"] == "x"
    vendor = Typed({"list1": held(HOME=ADDRESS)})
    emptied = {"changes": Changes(fields={"HOME": dict.fromkeys(ADDRESS, "")})}
    assert isinstance(told(vendor, Right.RECTIFICATION, **emptied), Applied)
    assert shown(vendor)["HOME"] == ""


def test_the_parts_of_an_address_are_not_sent_to_a_field_of_another_type() -> None:
    vendor = Typed({"list1": held(NOTE="old")})
    outcome = told(vendor, Right.RECTIFICATION, changes=Changes(fields={"NOTE": ADDRESS}))
    assert isinstance(outcome, HandOver)
    assert "NOTE" in outcome.task
    assert shown(vendor)["NOTE"] == "old"


def test_types_are_asked_for_only_where_a_field_is_put_right_and_once_an_audience() -> None:
    vendor = Typed({"list1": held() | held("older@example.org"), "list2": {}})
    with on_stage(vendor) as stage:
        for changes in (Changes(email=NEW), Changes(last_name="King"), Changes(fields={"NOTE": "x"})):
            stage.tell(instruction(Right.RECTIFICATION, changes=changes, addresses=(OLD, "older@example.org")))
        stage.read_back(instruction(Right.RECTIFICATION, changes=Changes(last_name="King"), addresses=(NEW, OLD)))
        paths = [urlsplit(one.url or "").path for one in stage.sent]
    assert paths.count("/3.0/lists/list1/merge-fields") == 1
    assert "/3.0/lists/list2/merge-fields" not in paths
    assert all(MEMBER.fullmatch(path) or "/members/" not in path for path in paths)


def test_no_value_of_the_person_is_in_a_task_or_in_evidence() -> None:
    fields = {tag: f"canary-{tag}" for tag in TYPES if tag not in ("FNAME", "LNAME", "NOTE", "SITE", "PHONE")}
    outcome = told(Typed({"list1": held()}), Right.RECTIFICATION, changes=Changes(email=NEW, fields=fields))
    assert isinstance(outcome, HandOver)
    assert "canary" not in json.dumps([outcome.task, [one.note for one in outcome.evidence]])
