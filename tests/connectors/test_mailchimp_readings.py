"""What Mailchimp's answers mean, part by part: what one does not say is never read as if it did."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from dpsync.connector import (
    Applied,
    AsAsked,
    CannotTell,
    Contradicts,
    NothingHeld,
    Refused,
    Retryable,
)
from dpsync.errors import ProcessorUnreachable
from dpsync.model import Changes, Right
from dpsync.vendor.errors import DENIED, NOT_DONE
from tests.connectors.contract import NEW, OLD, SECRET, HttpStage, Said, instruction, pseudonym
from tests.connectors.test_mailchimp import LIFTED, Only, md5, on_stage, person, problem, read_back, said, told
from tests.connectors.test_mailchimp import vendor as plain_vendor
from tests.connectors.test_mailchimp_field_readings import PHONE
from tests.connectors.test_mailchimp_fields import TYPES, Typed, held

# --- what is asked for


@dataclass
class Choosy(Typed):
    """Shows, as the vendor does, no more than `fields` names, and ten of anything where `count` says nothing."""

    def answer(self, request: requests.PreparedRequest) -> Said:
        found, query = super().answer(request), parse_qs(urlsplit(request.url or "").query)
        if found.status != 200 or request.method != "GET":
            return found
        content = json.loads(found.body)
        wanted = query["fields"][0].split(",") if "fields" in query else None
        for name, value in list(content.items()):
            if isinstance(value, list):
                content[name] = [
                    self.chosen(row, wanted, f"{name}.") for row in value[: int(query.get("count", ["10"])[0])]
                ]
            elif wanted is not None and name not in wanted:
                del content[name]
        return said(200, content)

    @staticmethod
    def chosen(row: dict[str, Any], wanted: list[str] | None, prefix: str) -> dict[str, Any]:
        return {name: value for name, value in row.items() if wanted is None or f"{prefix}{name}" in wanted}


def choosy(count: int = 1) -> Choosy:
    many = {f"F{number}": {"type": "text", "help_text": "x"} for number in range(11)}
    types: dict[str, Mapping[str, dict[str, Any]]] = {
        "list1": {**many, **TYPES, "PHONE": TYPES["PHONE"] | {"help_text": "x"}}
    }
    lists = {f"list{number}": held(list_id=f"list{number}", PHONE="(404) 555-0123") for number in range(1, count + 1)}
    return Choosy(lists, types=types)


def test_the_type_of_the_eleventh_merge_field_is_seen_too() -> None:
    assert isinstance(read_back(choosy(), Right.RECTIFICATION, **PHONE), AsAsked)


def test_no_more_is_asked_for_than_is_read() -> None:
    with on_stage(choosy()) as stage:
        stage.connector.probe()
        stage.read_back(instruction(Right.RECTIFICATION, **PHONE))
        wanted = {
            urlsplit(one.url or "").path.rpartition("/")[2]: parse_qs(urlsplit(one.url or "").query).get("fields")
            for one in stage.sent
        }
    assert wanted == {
        "ping": None,
        "": ["account_name,total_subscribers"],
        "lists": ["lists.id,lists.name,total_items"],
        md5(OLD): ["id,list_id,status,merge_fields"],
        md5("ada+news@example.org"): ["id,list_id,status,merge_fields"],
        "merge-fields": ["merge_fields.tag,merge_fields.type,merge_fields.options"],
    }


def test_a_thousand_audiences_come_on_one_page() -> None:
    with on_stage(choosy(11)) as stage:
        assert len(stage.connector.probe().lists) == 11
        assert [urlsplit(one.url or "").path for one in stage.sent].count("/3.0/lists") == 1


# --- a contact, an audience, the account


@pytest.mark.parametrize("right", list(Right))
@pytest.mark.parametrize(
    "change",
    [{"status": "sleeping"}, {"status": None}, {"merge_fields": None}, {"merge_fields": ["Ada"]}, {"id": None}],
)
def test_a_contact_that_is_not_as_documented_shows_nothing(right: Right, change: dict[str, object]) -> None:
    whole = person(OLD, "list1", "archived")[md5(OLD)]
    parts = {name: value for name, value in (whole | change).items() if value is not None}
    vendor = plain_vendor(list1={md5(OLD): parts})
    assert isinstance(read_back(vendor, right), CannotTell)
    if right is not Right.RECTIFICATION:
        assert isinstance(told(vendor, right), Applied if right is Right.ERASURE else Retryable)


class Configured(Only):
    section: ClassVar[Mapping[str, object]] = {"api_key": SECRET, "audiences": ["list1"]}


@dataclass
class Says(Typed):
    """Answers one path as it is told to, and holds nobody."""

    path: str = ""
    how: Said | None = None

    def answer(self, request: requests.PreparedRequest) -> Said:
        there = urlsplit(request.url or "").path == self.path
        return self.how if there and self.how else super().answer(request)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (said(200, {"id": "list2", "web_id": 7}), Retryable),
        (said(200, {}), Retryable),
        (said(202, {"id": "list1", "web_id": 7}), Refused),
        (problem(405, "Method Not Allowed"), Refused),
    ],
)
def test_an_audience_is_there_only_where_a_200_names_it(answer: Said, kind: type) -> None:
    with Configured().before(Says({"list1": {}}, path="/3.0/lists/list1", how=answer)) as stage:
        assert isinstance(stage.tell(instruction(Right.ERASURE)), kind)
        assert isinstance(stage.read_back(instruction(Right.ERASURE)), CannotTell)


def test_a_404_that_calls_itself_something_else_is_no_proof_of_absence() -> None:
    odd = said(404, {"title": "Resource Not Found", "status": 400, "detail": "x"})
    with Configured().before(Says({"list1": {}}, path=f"/3.0/lists/list1/members/{md5(OLD)}", how=odd)) as stage:
        assert isinstance(stage.read_back(instruction(Right.ERASURE)), CannotTell)
        assert isinstance(stage.tell(instruction(Right.OPT_OUT)), Refused)


LISTED = {"lists": [{"id": "list1", "name": "News"}], "total_items": 1}


@pytest.mark.parametrize(
    "change",
    [
        {"lists": None},
        {"lists": {"id": "list1"}},
        {"lists": ["list1"]},
        {"lists": [{"name": "News"}]},
        {"lists": [{"id": "../x"}]},
        {"total_items": None},
        {"total_items": "1"},
        {"total_items": -1},
        {"total_items": 2},
    ],
)
def test_a_page_of_audiences_that_is_not_as_documented_proves_nothing(change: dict[str, object]) -> None:
    with on_stage(Says({"list1": {}}, path="/3.0/lists", how=said(200, LISTED | change))) as stage:
        assert isinstance(stage.tell(instruction(Right.ERASURE)), Retryable)
        assert isinstance(stage.read_back(instruction(Right.ERASURE)), CannotTell)
        with pytest.raises(ProcessorUnreachable):
            stage.connector.probe()


@pytest.mark.parametrize("answer", [said(202, LISTED), problem(400, "Trouble", **LISTED)])
def test_the_audiences_are_read_of_a_200_alone(answer: Said) -> None:
    assert isinstance(told(Says({"list1": {}}, path="/3.0/lists", how=answer), Right.ERASURE), Refused)


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/3.0/ping", said(200, {})),
        ("/3.0/ping", said(200, {"health_status": None})),
        ("/3.0/", said(200, {"total_subscribers": 1})),
        ("/3.0/", said(202, {"account_name": "Example Trust"})),
    ],
)
def test_an_account_that_does_not_say_who_it_is_is_not_reached(path: str, answer: Said) -> None:
    with on_stage(Says({"list1": {}}, path=path, how=answer)) as stage, pytest.raises(ProcessorUnreachable):
        stage.connector.probe()


def test_an_account_that_does_not_say_how_many_contacts_it_has_is_reached_all_the_same() -> None:
    answer = said(200, {"account_name": "Example Trust", "total_subscribers": "many"})
    with on_stage(Says({"list1": {}}, path="/3.0/", how=answer)) as stage:
        assert (stage.connector.probe().title, stage.connector.probe().contacts) == ("Example Trust", None)


def set_reads(stage: HttpStage) -> int:
    return [urlsplit(one.url or "").path for one in stage.sent].count("/3.0/lists")


def test_the_set_of_audiences_is_read_once_in_five_minutes_where_the_person_is_found() -> None:
    vendor = plain_vendor(list1=person(OLD, "list1"))
    with on_stage(vendor) as stage:
        for _ in range(2):
            assert isinstance(stage.tell(instruction(Right.OPT_OUT, addresses=("ada+news@example.org",))), Applied)
        assert set_reads(stage) == 1
        vendor.lists["list2"] = person(OLD, "list2")
        stage.clock.seconds += 301
        stage.tell(instruction(Right.OPT_OUT))
        assert set_reads(stage) == 2
    assert vendor.lists["list2"][md5(OLD)]["status"] == "unsubscribed"


def test_an_audience_is_looked_for_once_an_instruction() -> None:
    for case, path in ((Only(), "/3.0/lists"), (Configured(), "/3.0/lists/list1")):
        with case.before(plain_vendor(list1={})) as stage:
            outcome = stage.tell(instruction(Right.ERASURE, addresses=(OLD, NEW)))
            assert isinstance(outcome, NothingHeld)
            assert [urlsplit(one.url or "").path for one in stage.sent].count(path) == 1


# --- what was done, and what only seems so


@pytest.mark.parametrize(("status", "outcome"), [(429, NothingHeld), (503, Applied), (500, Applied)])
def test_only_a_deletion_that_may_have_been_made_explains_that_nobody_is_there_any_more(
    status: int, outcome: type
) -> None:
    path = f"/3.0/lists/list1/members/{md5(OLD)}/actions/delete-permanent"
    vendor = Says({"list1": person(OLD, "list1")}, path=path, how=problem(status, "Trouble"))
    with on_stage(vendor) as stage:
        assert isinstance(stage.tell(instruction(Right.ERASURE)), Retryable)
        vendor.how = None
        vendor.lists["list1"].clear()
        assert isinstance(stage.tell(instruction(Right.ERASURE)), outcome)


each_change = pytest.mark.parametrize(
    ("right", "status", "method"),
    [
        (Right.OPT_OUT, "subscribed", "PATCH"),
        (Right.RESTRICTION, "subscribed", "PATCH"),
        (Right.RESTRICTION, "unsubscribed", "DELETE"),
        (Right.RECTIFICATION, "subscribed", "PATCH"),
    ],
)
"""Each call by which somebody who is there is changed."""


@each_change
def test_a_contact_that_went_away_before_the_change_is_nothing_held(right: Right, status: str, method: str) -> None:
    class Goes(Typed):
        def answer(self, request: requests.PreparedRequest) -> Said:
            if request.method == method:
                self.lists["list1"].clear()
            return super().answer(request)

    with on_stage(Goes({"list1": person(OLD, "list1", status)})) as stage:
        assert isinstance(stage.tell(instruction(right)), NothingHeld)
        assert stage.writes() == 1 or right is Right.RECTIFICATION


@each_change
def test_a_contact_that_a_change_does_not_find_and_a_read_shows_is_not_nobody(
    right: Right, status: str, method: str
) -> None:
    class Denies(Typed):
        def answer(self, request: requests.PreparedRequest) -> Said:
            return problem(404, "Resource Not Found") if request.method == method else super().answer(request)

    with on_stage(Denies({"list1": person(OLD, "list1", status)})) as stage:
        outcome = stage.tell(instruction(right))
        assert isinstance(outcome, Refused)
        assert outcome.reason == DENIED


def test_whom_a_refused_archiving_finds_archived_is_restricted() -> None:
    class Archives(Typed):
        def answer(self, request: requests.PreparedRequest) -> Said:
            if request.method != "DELETE":
                return super().answer(request)
            self.lists["list1"][md5(OLD)]["status"] = "archived"
            return problem(404, "Resource Not Found")

    with on_stage(Archives({"list1": person(OLD, "list1", "unsubscribed")})) as stage:
        assert isinstance(stage.tell(instruction(Right.RESTRICTION)), Applied)


def test_a_yes_that_unsubscribed_nobody_is_noted_beside_the_call() -> None:
    class Deaf(Typed):
        def _change(self, members: dict[str, dict[str, Any]], hashed: str, body: Any) -> Said:
            return said(200, members[hashed])

    for right in (Right.OPT_OUT, Right.RECTIFICATION):
        outcome = told(Deaf({"list1": held()}), right)
        assert isinstance(outcome, Applied)
        assert NOT_DONE in [one.note for one in outcome.evidence]


@pytest.mark.parametrize("status", [300, 400, 409])
def test_a_deletion_that_is_neither_a_yes_nor_a_documented_no_is_a_no(status: int) -> None:
    path = f"/3.0/lists/list1/members/{md5(OLD)}/actions/delete-permanent"
    stand_in = Says({"list1": person(OLD, "list1")}, path=path, how=problem(status, "Trouble"))
    assert isinstance(told(stand_in, Right.ERASURE), Refused)


def test_what_an_earlier_release_kept_of_a_deletion_and_a_restriction_is_still_understood() -> None:
    """The shelf is durable: its keys are a stored format."""
    who = pseudonym(OLD.strip().lower())
    with on_stage(plain_vendor(list1=person(OLD, "list1"))) as stage:
        stage.tell(instruction(Right.ERASURE))
        assert stage.shelf.kept == {f"erased/list1/{who}": "erased"}
    lost = Only().before(plain_vendor(list1=person(OLD, "list1")), trouble=requests.ReadTimeout(OLD), from_call=2)
    with lost as stage:
        stage.tell(instruction(Right.ERASURE))
        assert stage.shelf.kept == {f"erased/list1/{who}": "asked"}
    with on_stage(plain_vendor(list1={})) as stage:
        stage.shelf.put(f"erased/list1/{who}", "asked")
        assert isinstance(stage.tell(instruction(Right.ERASURE)), Applied)
    with on_stage(plain_vendor(list1=person(OLD, "list1"))) as stage:
        stage.tell(instruction(Right.RESTRICTION))
        assert stage.shelf.kept == {f"restricted/list1/{who}": "subscribed"}
        stage.tell(instruction(Right.RESTRICTION, lifted=LIFTED))
        assert stage.shelf.kept == {f"restricted/list1/{who}": "lifted:subscribed"}


# --- what a finding rests on


def test_what_was_read_stands_as_evidence_whatever_it_shows() -> None:
    unclear = Typed({"list1": held(BORN="1990-02-01")}, hides_types=True)
    either = {"changes": Changes(fields={"BORN": "01/02/1990"})}
    archived = plain_vendor(list1=person(OLD, "list1", "archived"))
    for finding in (
        read_back(plain_vendor(list1={}), Right.RECTIFICATION),
        read_back(unclear, Right.RECTIFICATION, **either),
        read_back(plain_vendor(list1=person(OLD, "list1")), Right.RECTIFICATION),
        read_back(archived, Right.RECTIFICATION, changes=Changes(first_name="Ada")),
        read_back(archived, Right.ERASURE),
        read_back(archived, Right.OPT_OUT),
    ):
        assert isinstance(finding, AsAsked | CannotTell | Contradicts)
        assert "GET /lists/{list_id}/members/{subscriber_hash}" in [one.endpoint for one in finding.evidence]


@pytest.mark.parametrize(
    ("right", "status", "more", "reason"),
    [
        (Right.ERASURE, "archived", {}, "a contact is still held"),
        (Right.OPT_OUT, "pending", {}, "a contact is not unsubscribed"),
        (Right.RESTRICTION, "unsubscribed", {}, "a contact is not archived"),
        (Right.RESTRICTION, "archived", {"lifted": LIFTED}, "an archived contact does not show why it is archived"),
    ],
)
def test_a_finding_says_what_is_not_as_asked(right: Right, status: str, more: dict[str, Any], reason: str) -> None:
    finding = read_back(plain_vendor(list1=person(OLD, "list1", status)), right, **more)
    assert isinstance(finding, CannotTell if more else Contradicts)
    assert finding.reason == reason
    assert finding.evidence


def test_who_is_silent_in_any_way_has_opted_out() -> None:
    silent = {"a@example.org": "unsubscribed", "b@example.org": "cleaned", "c@example.org": "archived"}
    held_of = [person(one, "list1", status) for one, status in silent.items()]
    with on_stage(plain_vendor(list1={**held_of[0], **held_of[1], **held_of[2]})) as stage:
        assert isinstance(stage.read_back(instruction(Right.OPT_OUT, addresses=tuple(silent))), AsAsked)


def test_who_is_not_archived_any_more_is_lifted() -> None:
    with on_stage(plain_vendor(list1=person(OLD, "list1", "unsubscribed"))) as stage:
        assert isinstance(stage.read_back(instruction(Right.RESTRICTION, lifted=LIFTED)), AsAsked)


def test_an_archive_that_was_taken_is_not_asked_about() -> None:
    with on_stage(plain_vendor(list1=person(OLD, "list1"))) as stage:
        assert isinstance(stage.tell(instruction(Right.RESTRICTION)), Applied)
        assert stage.sent[-1].method == "DELETE"
