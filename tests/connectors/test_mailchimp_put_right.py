"""Who is put right at Mailchimp: a contact that is not there, or not any more, is never said to be right."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import pytest
import requests

from dpsync.connector import Applied, AsAsked, CannotTell, Contradicts, HandOver, NothingHeld, Refused, Retryable
from dpsync.connectors.mailchimp.calls import NO_AUDIENCE
from dpsync.model import Changes, Right
from dpsync.vendor.rectification import GONE
from tests.connectors.contract import NEW, OLD, SECRET, SPELT, Said, instruction
from tests.connectors.test_mailchimp import Only, md5, on_stage, person, problem, read_back, told, vendor
from tests.connectors.test_mailchimp_fields import ADDRESS as POSTAL
from tests.connectors.test_mailchimp_fields import Typed, held, shown

ADDRESS, NAME = Changes(email=NEW), Changes(first_name="Augusta")


@pytest.mark.parametrize("changes", [ADDRESS, NAME, Changes(fields={"NOTE": "x"})])
def test_whom_an_audience_does_not_hold_is_nothing_held_whatever_is_asked(changes: Changes) -> None:
    assert isinstance(told(vendor(list1={}), Right.RECTIFICATION, changes=changes), NothingHeld)


@pytest.mark.parametrize("changes", [ADDRESS, NAME, Changes(fields={"NOTE": "x"})])
def test_an_audience_that_does_not_exist_holds_nobody_and_is_never_nothing_held(changes: Changes) -> None:
    class Typo(Only):
        section: ClassVar[Mapping[str, object]] = {"api_key": SECRET, "audiences": ["lits1"]}

    with Typo().before(vendor(list1=person(OLD, "list1"))) as stage:
        outcome = stage.tell(instruction(Right.RECTIFICATION, changes=changes))
        assert isinstance(outcome, Retryable)
        assert (outcome.reason, outcome.misplaced) == (NO_AUDIENCE, True)
        assert isinstance(stage.read_back(instruction(Right.RECTIFICATION, changes=changes)), CannotTell)


def test_whose_address_is_the_new_one_already_is_right_without_a_change() -> None:
    with on_stage(vendor(list1=person(NEW, "list1"))) as stage:
        assert isinstance(stage.tell(instruction(Right.RECTIFICATION, changes=ADDRESS)), Applied)
        assert stage.writes() == 1, "the old address is asked for by the change itself"


@pytest.mark.parametrize("asked", [NEW, NEW.upper(), f" {NEW} "])
def test_a_new_address_is_the_same_in_capitals_and_between_blanks(asked: str) -> None:
    order = {"changes": Changes(email=asked)}
    assert isinstance(read_back(vendor(list1=person(NEW, "list1")), Right.RECTIFICATION, **order), AsAsked)
    both = vendor(list1={**person(NEW, "list1"), **person(OLD, "list1")})
    assert isinstance(read_back(both, Right.RECTIFICATION, **order), Contradicts)


def test_a_contact_that_goes_away_half_way_is_looked_for_again() -> None:
    class Goes(Typed):
        done = False

        def _change(self, members: dict[str, dict[str, Any]], hashed: str, body: Any) -> Said:
            found = super()._change(members, hashed, body)
            self.done = found.status == 200
            return found

        def answer(self, request: requests.PreparedRequest) -> Said:
            if self.done and request.method == "PATCH":
                self.lists["list1"].clear()
            return super().answer(request)

    changes = Changes(first_name="Augusta", fields={"SEATS": "twelve"})
    outcome = told(Goes({"list1": held()}, says=None), Right.RECTIFICATION, changes=changes)
    assert isinstance(outcome, Retryable)
    assert (outcome.reason, outcome.doubtful) == (GONE, True)


def test_a_name_that_the_audience_has_no_field_for_cannot_be_wrong_there() -> None:
    nameless = person(OLD, "list1")
    nameless[md5(OLD)]["merge_fields"] = {"CITY": "Kent"}
    assert isinstance(read_back(vendor(list1=nameless), Right.RECTIFICATION, changes=NAME), AsAsked)
    assert isinstance(read_back(vendor(list1=person(OLD, "list1")), Right.RECTIFICATION, changes=NAME), Contradicts)


@pytest.mark.parametrize("shown", [("1990-02-01", "01/02/1990"), ("01/02/1990", "1990-02-01")])
def test_one_value_that_cannot_be_compared_makes_the_whole_unclear(shown: tuple[str, str]) -> None:
    lists = {f"list{number}": held(list_id=f"list{number}", BORN=value) for number, value in enumerate(shown)}
    order = {"changes": Changes(fields={"BORN": "01/02/1990"})}
    assert isinstance(read_back(Typed(lists, hides_types=True), Right.RECTIFICATION, **order), CannotTell)


@pytest.mark.parametrize(
    ("title", "status", "why"),
    [
        ("Invalid Resource", "unsubscribed", "of a contact of status 'unsubscribed'"),
        ("Invalid Resource", "subscribed", "perhaps because it looks fake or invalid"),
        ("Forgotten Email Not Subscribed", "unsubscribed", "permanently deleted before"),
        ("Member Exists", "unsubscribed", "says that the new address is a member"),
    ],
)
def test_an_address_alone_that_is_refused_is_a_task_for_the_reason_that_was_given(
    title: str, status: str, why: str
) -> None:
    class Refuses(Typed):
        def _change(self, members: dict[str, dict[str, Any]], hashed: str, body: Any) -> Said:
            return problem(400, title)

    outcome = told(Refuses({"list1": person(OLD, "list1", status)}), Right.RECTIFICATION, changes=ADDRESS)
    assert isinstance(outcome, HandOver)
    assert why in outcome.task
    assert outcome.references == ("list1",)


def test_whose_address_was_refused_and_who_then_went_away_is_nothing_held() -> None:
    class Goes(Typed):
        def _change(self, members: dict[str, dict[str, Any]], hashed: str, body: Any) -> Said:
            members.clear()
            return problem(400, "Invalid Resource")

    assert isinstance(told(Goes({"list1": person(OLD, "list1")}), Right.RECTIFICATION, changes=ADDRESS), NothingHeld)


@pytest.mark.parametrize(("status", "patches"), [(400, 3), (405, 1), (422, 1)])
def test_only_a_400_may_be_about_one_change_among_others(status: int, patches: int) -> None:
    class Refuses(Typed):
        def _change(self, members: dict[str, dict[str, Any]], hashed: str, body: Any) -> Said:
            return problem(status, "Trouble")

    with on_stage(Refuses({"list1": person(OLD, "list1")})) as stage:
        changes = Changes(first_name="Augusta", last_name="King")
        assert isinstance(stage.tell(instruction(Right.RECTIFICATION, changes=changes)), Refused)
        assert stage.writes() == patches


# --- what is asked, what is sent, and what is said of it


def test_whose_name_is_too_long_to_be_sent_is_a_task_only_where_somebody_is_held() -> None:
    long = Changes(first_name="\u00e9" * 128)
    assert isinstance(told(vendor(list1={}), Right.RECTIFICATION, changes=long), NothingHeld)
    outcome = told(vendor(list1=person(OLD, "list1")), Right.RECTIFICATION, changes=long)
    assert isinstance(outcome, HandOver)
    assert "FNAME has over 255 bytes" in outcome.task
    beside = told(vendor(list1={}), Right.RECTIFICATION, changes=replace(long, last_name="King"))
    assert isinstance(beside, NothingHeld)


@pytest.mark.parametrize(
    ("changes", "methods"),
    [
        (ADDRESS, ["PATCH"]),
        (NAME, ["PATCH"]),
        (replace(NAME, last_name="\u00e9" * 128), ["PATCH"]),
        (Changes(), ["GET"]),
        (Changes(fields={"NOTE": "x"}), ["GET", "GET", "PATCH"]),
    ],
)
def test_no_contact_is_read_whom_the_change_itself_asks_for(changes: Changes, methods: list[str]) -> None:
    with on_stage(Typed({"list1": held()})) as stage:
        stage.tell(instruction(Right.RECTIFICATION, changes=changes, addresses=(OLD,)))
        assert [one.method for one in stage.sent if "/lists?" not in (one.url or "")] == methods


def test_a_new_address_that_another_has_keeps_the_names_from_nobody() -> None:
    kept, asked = SPELT[1], SPELT[0]
    for changes in (Changes(email=asked), Changes(email=asked, first_name="Augusta", fields={"NOTE": "x"})):
        there = Typed({"list1": {**held(), **held(kept)}})
        with on_stage(there) as stage:
            outcome = stage.tell(instruction(Right.RECTIFICATION, changes=changes))
            assert not [one for one in stage.sent if b"email_address" in (one.body or b"")]
        assert isinstance(outcome, HandOver)
        assert "two people" in outcome.task
        assert shown(there)["FNAME"] == (changes.first_name or "Ada")
        assert isinstance(
            told(Typed({"list1": held(kept)}), Right.RECTIFICATION, changes=Changes(email=asked)), Applied
        )


def test_a_yes_that_left_one_value_as_it_was_is_a_no_to_that_one_and_alone_it_is_for_the_read_back() -> None:
    class Keeps(Typed):
        def _change(self, members: dict[str, dict[str, Any]], hashed: str, body: Any) -> Said:
            taken = {tag: value for tag, value in body["merge_fields"].items() if tag != "SEATS"}
            return super()._change(members, hashed, {"merge_fields": taken})

    outcome = told(Keeps({"list1": held(SEATS=3)}), Right.RECTIFICATION, changes=Changes(fields={"SEATS": "12"}))
    assert isinstance(outcome, Applied)
    beside = Changes(fields={"SEATS": "12", "NOTE": "x"})
    outcome = told(Keeps({"list1": held(SEATS=3)}), Right.RECTIFICATION, changes=beside)
    assert isinstance(outcome, HandOver)
    assert "In audience list1 Mailchimp did not accept the new value of the merge field SEATS (number)" in outcome.task


def test_a_refused_field_that_the_audience_lacks_is_called_lacking() -> None:
    class Refuses(Typed):
        def _change(self, members: dict[str, dict[str, Any]], hashed: str, body: Any) -> Said:
            return problem(400, "Invalid Resource", errors=[{"field": "SHOE"}])

    outcome = told(Refuses({"list1": held()}), Right.RECTIFICATION, changes=Changes(fields={"SHOE": "38"}))
    assert isinstance(outcome, HandOver)
    assert "the merge field SHOE, which it lacks" in outcome.task
    assert "did not accept" not in outcome.task


@pytest.mark.parametrize(
    ("changes", "says", "notes"),
    [
        (Changes(fields={"NOTE": "x"}), "{}", ["asked to put right: NOTE"]),
        (ADDRESS, "{}", ["asked to put right: address"]),
        (Changes(email="fake@example.org", fields={"NOTE": "x"}), "{}", ["asked to put right: NOTE"]),
        (
            Changes(email=NEW, fields={"SEATS": "x", "NOTE": "x"}),
            None,
            ["asked to put right: address", "asked to put right: NOTE"],
        ),
    ],
)
def test_what_was_put_right_stands_beside_the_call_that_did_it(
    changes: Changes, says: str | None, notes: list[str]
) -> None:
    outcome = told(Typed({"list1": held()}, says=says), Right.RECTIFICATION, changes=changes)
    assert [one.note for one in outcome.evidence if one.note] == notes


def test_a_value_that_is_right_already_keeps_no_other_from_being_sent() -> None:
    there = Typed({"list1": held(SEATS=12)})
    told(there, Right.RECTIFICATION, changes=Changes(fields={"SEATS": "12.0", "NOTE": "x"}))
    assert shown(there)["NOTE"] == "x"


def test_a_postal_address_is_emptied_where_the_country_alone_would_be_left_and_needs_none() -> None:
    there = Typed({"list1": held(HOME=POSTAL)})
    emptied = Changes(fields={"HOME": dict.fromkeys(set(POSTAL) - {"country"}, "")})
    assert isinstance(told(there, Right.RECTIFICATION, changes=emptied), Applied)
    assert shown(there)["HOME"] == ""
    without = {part: text for part, text in POSTAL.items() if part != "country"}
    assert isinstance(told(there, Right.RECTIFICATION, changes=Changes(fields={"HOME": without})), Applied)
    assert shown(there)["HOME"] == without


def test_the_types_of_an_audience_are_asked_for_once_however_many_contacts_it_has() -> None:
    order = instruction(Right.RECTIFICATION, changes=Changes(fields={"NOTE": "x"}), addresses=(OLD, NEW))
    with on_stage(Typed({"list1": {**held(), **held(NEW)}})) as stage:
        assert isinstance(stage.tell(order), Applied)
        assert [(one.url or "").count("/merge-fields?") for one in stage.sent].count(1) == 1
        assert isinstance(stage.read_back(order), AsAsked)
        assert [(one.url or "").count("/merge-fields?") for one in stage.sent].count(1) == 2
