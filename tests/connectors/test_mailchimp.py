"""Mailchimp: the shared contract, and what is peculiar to this vendor."""

import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import date
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from pydantic import ValidationError

from dpsync.connector import (
    Applied,
    AsAsked,
    CannotTell,
    Connector,
    Contradicts,
    HandOver,
    Kit,
    NothingHeld,
    Outcome,
    Recipient,
    Refused,
    Retryable,
)
from dpsync.connectors.mailchimp import Mailchimp
from dpsync.connectors.mailchimp.calls import NO_AUDIENCE, NO_AUDIENCES, MailchimpSettings
from dpsync.errors import CredentialsRejected, ProcessorUnreachable
from dpsync.http import HttpClient
from dpsync.model import Changes, Lifted, Right
from dpsync.vendor.errors import OUR_FAULT, UNDOCUMENTED
from tests.connectors.contract import (
    NEW,
    OLD,
    SECRET,
    SPELT,
    Hands,
    HttpContract,
    HttpStage,
    OpenShelf,
    Said,
    assert_clean,
    built_in_a_rehearsal_only,
    instruction,
    pseudonym,
)
from tests.connectors.held import Held
from tests.specification import Specification

MEMBER = re.compile(r"/3\.0/lists/(\w+)/members/([0-9a-f]{32})(/actions/delete-permanent)?")
STATUSES = ("subscribed", "unsubscribed", "cleaned", "pending", "transactional", "archived")


def md5(address: str) -> str:
    return hashlib.md5(address.strip().lower().encode(), usedforsecurity=False).hexdigest()


def said(status: int, body: object) -> Said:
    kind = "application/json" if status < 400 else "application/problem+json"
    return Said(status, {"Content-Type": f"{kind}; charset=utf-8"}, json.dumps(body).encode())


def problem(status: int, title: str, **more: object) -> Said:
    return said(status, {"title": title, "status": status, "detail": OLD, "instance": "9d741ebc", **more})


@dataclass
class StandIn:
    """Answers as the vendor note says, for as much of the API as the connector uses; nothing is created by a PATCH."""

    lists: dict[str, dict[str, dict[str, Any]]]
    writes: list[str] = field(default_factory=list)
    page: int = 1000

    def state(self) -> object:
        return json.loads(json.dumps(self.lists))

    def holds(self) -> Iterator[Held]:
        for place, members in self.lists.items():
            for one in members.values():
                fields, status = one["merge_fields"], one["status"]
                yield Held(
                    place,
                    one["email_address"],
                    fields["FNAME"],
                    fields["LNAME"],
                    {"CITY": fields["CITY"]},
                    mailed=status not in ("unsubscribed", "cleaned", "archived"),
                    used=status != "archived",
                )

    def hold(self, records: Iterable[Held]) -> None:
        for members in self.lists.values():
            members.clear()
        for one in records:
            status = "subscribed" if one.mailed else "unsubscribed" if one.used else "archived"
            (record,) = person(one.address, one.place, status).values()
            record["merge_fields"] |= {"FNAME": one.first_name, "LNAME": one.last_name, **one.fields}
            self.lists[one.place][record["id"]] = record

    def answer(self, request: requests.PreparedRequest) -> Said:
        url = urlsplit(request.url or "")
        if found := MEMBER.fullmatch(url.path):
            return self._member(str(request.method), found, json.loads(request.body or b"null"))
        if url.path == "/3.0/ping":
            return said(200, {"health_status": "Everything's Chimpy!"})
        if url.path == "/3.0/":
            return said(200, {"account_name": "Example Trust", "total_subscribers": 4711})
        if url.path == "/3.0/lists":
            return self._page(parse_qs(url.query))
        list_id = url.path.removeprefix("/3.0/lists/")
        return said(200, {"id": list_id}) if list_id in self.lists else problem(404, "Resource Not Found")

    def _page(self, asked: Mapping[str, list[str]]) -> Said:
        first, count = int(asked.get("offset", ["0"])[0]), min(self.page, int(asked.get("count", ["10"])[0]))
        names = sorted(self.lists)[first : first + count]
        return said(200, {"lists": [{"id": name, "name": "News"} for name in names], "total_items": len(self.lists)})

    def _member(self, method: str, found: re.Match[str], body: Any) -> Said:
        members, hashed = self.lists.get(found[1], {}), found[2]
        if hashed not in members:
            return problem(404, "Resource Not Found")
        if found[3]:
            del members[hashed]
            return Said(204, {}, b"")
        if method == "DELETE":
            if members[hashed]["status"] in ("cleaned", "pending", "archived"):
                return problem(405, "Method Not Allowed")
            members[hashed]["status"] = "archived"
            return Said(204, {}, b"")
        return self._change(members, hashed, body) if method == "PATCH" else said(200, members[hashed])

    def _change(self, members: dict[str, dict[str, Any]], hashed: str, body: Any) -> Said:
        member = members[hashed]
        if any(value == "rejected" for value in body.get("merge_fields", {}).values()):
            return problem(400, "Invalid Resource", errors=[{"field": "LTV", "message": "Please enter a number"}])
        if "email_address" in body:
            new = md5(body["email_address"])
            if new != hashed and new in members:
                return problem(400, "Member Exists")
            if member["status"] != "subscribed":
                return problem(400, "Invalid Resource", errors=[{"field": "email address", "message": "status"}])
            members[new] = members.pop(hashed)
            member |= {"id": new, "email_address": body["email_address"]}
        known = {tag: value for tag, value in body.get("merge_fields", {}).items() if tag in member["merge_fields"]}
        member["merge_fields"].update(known)
        member["status"] = body.get("status", member["status"])
        return said(200, member)


def person(address: str, list_id: str, status: str = "subscribed") -> dict[str, dict[str, Any]]:
    fields = {"FNAME": "Ada", "LNAME": "Canary", "CITY": "", "LTV": 3}
    own = {"id": md5(address), "email_address": address, "list_id": list_id}
    return {md5(address): {**own, "status": status, "merge_fields": fields}}


def vendor(**lists: dict[str, dict[str, Any]]) -> StandIn:
    return StandIn(lists)


class TestMailchimp(HttpContract):
    connector = Mailchimp
    section: ClassVar[Mapping[str, object]] = {"api_key": SECRET}
    places = ("list1", "list2")
    text_field = "CITY"

    def vendor(self, right: Right, *, held: bool) -> StandIn:
        return vendor(list1=person(self.address, "list1") if held else {}, list2={})

    def refusal(self, status: int) -> Said:
        return problem(status, "Trouble")

    def error(self, status: int, code: int | str) -> Said:
        return problem(status, str(code))

    def refusals(self) -> Iterator[Said]:
        """Those of the vendor's page on errors that these calls may meet, and two that its forum shows."""
        yield from super().refusals()
        for title in ("Invalid Resource", "Member Exists", "Member In Compliance State"):
            yield problem(400, title)
        yield problem(400, "Forgotten Email Not Subscribed")
        yield problem(404, "Resource Not Found")
        yield problem(405, "Method Not Allowed")

    def built(self, kit: Kit) -> Connector:
        return Mailchimp(MailchimpSettings.model_validate(self.section), kit, sleep=lambda _: None)


class Only(TestMailchimp):
    """The same stage for the tests of this vendor alone; not collected by its name."""


def told(stand_in: StandIn, right: Right, **more: Any) -> Outcome:
    with Only().before(stand_in) as stage:
        return stage.tell(instruction(right, **more))


def read_back(stand_in: StandIn, right: Right, **more: Any) -> object:
    with Only().before(stand_in) as stage:
        return stage.read_back(instruction(right, **more))


def on_stage(stand_in: StandIn) -> AbstractContextManager[HttpStage]:
    return Only().before(stand_in)


# --- every audience, every address


def test_an_erasure_reaches_every_audience_on_every_page_under_every_address() -> None:
    stand_in = vendor(**{f"list{n}": person(OLD if n % 2 else NEW, f"list{n}") for n in range(7)})
    stand_in.page = 3
    assert isinstance(told(stand_in, Right.ERASURE, addresses=(OLD, NEW)), Applied)
    assert not any(stand_in.lists.values())


def test_a_short_page_of_audiences_is_never_taken_for_all() -> None:
    stand_in = vendor(list1={}, list2={})
    stand_in.page = 0
    assert isinstance(told(stand_in, Right.ERASURE), Retryable)


@pytest.mark.parametrize("act", [told, read_back])
def test_a_key_that_shows_no_audience_is_our_settings_trouble_and_no_refusal(act: Callable[..., object]) -> None:
    with pytest.raises(CredentialsRejected, match="our credential opens nothing at the processor") as caught:
        act(vendor(), Right.ERASURE)
    assert (caught.value.status, caught.value.brief.endswith(NO_AUDIENCES)) == (200, True)


@pytest.mark.parametrize("right", [right for right in Right if right is not Right.RECTIFICATION])
def test_a_configured_audience_that_does_not_exist_is_never_nothing_held(right: Right) -> None:
    class Typo(Only):
        section: ClassVar[Mapping[str, object]] = {"api_key": SECRET, "audiences": ["list1", "lits2"]}

    with Typo().before(vendor(list1={}, list2=person(OLD, "list2"))) as stage:
        outcome = stage.tell(instruction(right))
        assert isinstance(outcome, Retryable)
        assert (outcome.reason, outcome.misplaced) == (NO_AUDIENCE, True)
        assert isinstance(stage.read_back(instruction(right)), CannotTell)
        with pytest.raises(ProcessorUnreachable):
            stage.connector.probe()


def test_configured_audiences_are_the_only_ones_touched() -> None:
    class One(Only):
        section: ClassVar[Mapping[str, object]] = {"api_key": SECRET, "audiences": ["list1"]}

    stand_in = vendor(list1=person(OLD, "list1"), list2=person(OLD, "list2"))
    with One().before(stand_in) as stage:
        assert isinstance(stage.tell(instruction(Right.ERASURE)), Applied)
        assert stage.connector.probe().lists == ("News (list1)",)
    assert [bool(members) for _, members in sorted(stand_in.lists.items())] == [False, True]


def test_an_audience_made_since_the_set_was_read_is_told_before_nothing_held_is_believed() -> None:
    stand_in = vendor(list1={})
    with on_stage(stand_in) as stage:
        assert isinstance(stage.tell(instruction(Right.ERASURE)), NothingHeld)
        stand_in.lists["list2"] = person(OLD, "list2")
        assert isinstance(stage.tell(instruction(Right.ERASURE)), Applied)
        assert not stand_in.lists["list2"]


def test_an_audience_deleted_since_the_set_was_read_is_not_nothing_held_until_the_set_is_read_again() -> None:
    stand_in = vendor(list1={}, list2={})
    with on_stage(stand_in) as stage:
        stage.tell(instruction(Right.ERASURE))
        del stand_in.lists["list1"]
        assert isinstance(stage.tell(instruction(Right.ERASURE)), Retryable)
        assert isinstance(stage.tell(instruction(Right.ERASURE)), NothingHeld)


@dataclass
class FailsIn(StandIn):
    """Fails for writes in one audience until it is mended."""

    where: str = "list2"
    how: Said | None = None

    def answer(self, request: requests.PreparedRequest) -> Said:
        if self.how and request.method != "GET" and f"/{self.where}/" in (request.url or ""):
            return self.how
        return super().answer(request)


@pytest.mark.parametrize("right", list(Right))
def test_a_fault_in_one_audience_keeps_no_other_waiting_and_a_retry_completes_it(right: Right) -> None:
    lists = {name: person(OLD, name) for name in ("list1", "list2", "list3")}
    stand_in = FailsIn(lists, how=Said(500, {}, b""))
    whole = vendor(**{name: person(OLD, name) for name in ("list1", "list2", "list3")})
    told(whole, right)
    with on_stage(stand_in) as stage:
        outcome = stage.tell(instruction(right))
        assert isinstance(outcome, Retryable)
        assert outcome.doubtful
        assert (stand_in.lists["list1"], stand_in.lists["list3"]) == (whole.lists["list1"], whole.lists["list3"])
        assert isinstance(stage.read_back(instruction(right)), Contradicts)
        stand_in.how = None
        assert isinstance(stage.tell(instruction(right)), Applied)
        assert stand_in.lists == whole.lists


# --- erasure


@pytest.mark.parametrize("status", STATUSES)
def test_erasure_deletes_whatever_the_status_and_never_merely_archives(status: str) -> None:
    stand_in = vendor(list1=person(OLD, "list1", status))
    assert isinstance(read_back(stand_in, Right.ERASURE), Contradicts)
    assert isinstance(told(stand_in, Right.ERASURE), Applied)
    assert stand_in.lists == {"list1": {}}


def test_a_deletion_that_was_never_answered_is_not_called_nothing_held_afterwards() -> None:
    stand_in = FailsIn({"list1": person(OLD, "list1")}, where="list1", how=Said(502, {}, b"<html>"))
    with on_stage(stand_in) as stage:
        outcome = stage.tell(instruction(Right.ERASURE))
        assert isinstance(outcome, Retryable)
        assert outcome.doubtful
        stand_in.lists["list1"].clear()  # the vendor had done it all the same
        stand_in.how = None
        assert isinstance(stage.tell(instruction(Right.ERASURE)), Applied)


def test_a_contact_that_the_api_will_not_delete_is_left_to_the_operator() -> None:
    bounced = person(OLD, "list1", "cleaned")
    stand_in = FailsIn({"list1": bounced}, where="list1", how=problem(405, "Method Not Allowed"))
    with on_stage(stand_in) as stage:
        outcome = stage.tell(instruction(Right.ERASURE))
        assert isinstance(outcome, HandOver)
        assert (outcome.to, outcome.references) == (Recipient.OPERATOR, ("list1",))
        assert "in the web app" in outcome.task
        assert isinstance(stage.read_back(instruction(Right.ERASURE)), Contradicts)
        stand_in.lists["list1"].clear()
        assert isinstance(stage.read_back(instruction(Right.ERASURE)), AsAsked)


# --- opt-out


@pytest.mark.parametrize("status", STATUSES)
def test_after_an_opt_out_nobody_is_mailed_and_nobody_comes_out_of_the_archive(status: str) -> None:
    stand_in = vendor(list1=person(OLD, "list1", status))
    assert isinstance(told(stand_in, Right.OPT_OUT), Applied)
    now = stand_in.lists["list1"][md5(OLD)]["status"]
    assert now == (status if status in ("cleaned", "archived") else "unsubscribed")
    assert isinstance(read_back(stand_in, Right.OPT_OUT), AsAsked)


def test_another_members_record_in_the_answer_is_not_believed() -> None:
    other = {**person(NEW, "list1")[md5(NEW)], "status": "unsubscribed"}
    outcome = told(FailsIn({"list1": person(OLD, "list1")}, where="list1", how=said(200, other)), Right.OPT_OUT)
    assert isinstance(outcome, Retryable)
    assert outcome.doubtful


@pytest.mark.parametrize("right", list(Right))
def test_a_contact_of_another_audience_in_the_answer_is_not_believed(right: Right) -> None:
    """As asked or not, what one audience holds says nothing of another."""

    class Mixed(StandIn):
        def answer(self, request: requests.PreparedRequest) -> Said:
            there = f"/lists/list2/members/{md5(NEW if right is Right.RECTIFICATION else OLD)}"
            if there in (request.url or "") and request.method in ("GET", "PATCH"):
                return said(200, self.lists["list1"][there[-32:]])
            return super().answer(request)

    lists = {name: person(OLD, name) for name in ("list1", "list2")}
    with on_stage(vendor(**lists)) as smooth:
        smooth.tell(instruction(right))
    elsewhere = {"list1": lists["list1"] or person(OLD, "list1"), "list2": {}}
    with on_stage(Mixed(elsewhere)) as stage:
        assert isinstance(stage.read_back(instruction(right)), CannotTell)


# --- restriction

LIFTED = Lifted(date(2026, 11, 19), "letter")


@pytest.mark.parametrize("status", [status for status in STATUSES if status != "cleaned"])
def test_a_restricted_contact_is_archived_and_nothing_of_it_is_lost(status: str) -> None:
    stand_in = vendor(list1=person(OLD, "list1", status))
    assert isinstance(told(stand_in, Right.RESTRICTION), Applied)
    assert stand_in.lists["list1"][md5(OLD)]["status"] == "archived"
    assert stand_in.lists["list1"][md5(OLD)]["merge_fields"] == person(OLD, "list1")[md5(OLD)]["merge_fields"]
    assert isinstance(read_back(stand_in, Right.RESTRICTION), AsAsked)


def test_a_bounced_contact_cannot_be_archived_and_the_operator_is_told_so() -> None:
    stand_in = vendor(list1=person(OLD, "list1", "cleaned"), list2=person(OLD, "list2"))
    outcome = told(stand_in, Right.RESTRICTION)
    assert isinstance(outcome, HandOver)
    assert (outcome.to, outcome.references) == (Recipient.OPERATOR, ("list1",))
    assert "cleaned" in outcome.task
    assert stand_in.lists["list2"][md5(OLD)]["status"] == "archived"
    assert isinstance(read_back(stand_in, Right.RESTRICTION), Contradicts)


def test_a_contact_that_somebody_else_archived_in_between_is_restricted_all_the_same() -> None:
    class Overtaken(StandIn):
        def answer(self, request: requests.PreparedRequest) -> Said:
            if request.method == "DELETE":
                self.lists["list1"][md5(OLD)]["status"] = "archived"
            return super().answer(request)

    assert isinstance(told(Overtaken({"list1": person(OLD, "list1")}), Right.RESTRICTION), Applied)


def test_the_status_before_a_restriction_survives_a_retry_and_is_told_to_whoever_lifts_it() -> None:
    stand_in = vendor(list1=person(OLD, "list1", "transactional"))
    with on_stage(stand_in) as stage:
        stage.tell(instruction(Right.RESTRICTION))
        stand_in.lists["list1"][md5(OLD)]["status"] = "unsubscribed"  # as if the archiving had been lost
        stage.tell(instruction(Right.RESTRICTION))
        for _ in range(2):
            outcome = stage.tell(instruction(Right.RESTRICTION, lifted=LIFTED))
            assert isinstance(outcome, HandOver)
            assert "'transactional'" in outcome.task
        assert stand_in.lists["list1"][md5(OLD)]["status"] == "archived"


def test_a_second_restriction_remembers_the_status_of_its_own_time() -> None:
    stand_in = vendor(list1=person(OLD, "list1", "subscribed"))
    with on_stage(stand_in) as stage:
        stage.tell(instruction(Right.RESTRICTION))
        stage.tell(instruction(Right.RESTRICTION, lifted=LIFTED))
        stand_in.lists["list1"][md5(OLD)]["status"] = "unsubscribed"  # the operator took it out; the person had left
        stage.tell(instruction(Right.RESTRICTION))
        outcome = stage.tell(instruction(Right.RESTRICTION, lifted=LIFTED))
        assert isinstance(outcome, HandOver)
        assert "'unsubscribed'" in outcome.task


def test_lifting_leaves_alone_whom_we_did_not_archive() -> None:
    archived = vendor(list1=person(OLD, "list1", "archived"))
    assert isinstance(told(archived, Right.RESTRICTION, lifted=LIFTED), Applied)
    assert isinstance(told(vendor(list1={}), Right.RESTRICTION, lifted=LIFTED), NothingHeld)
    assert isinstance(read_back(archived, Right.RESTRICTION, lifted=LIFTED), CannotTell)


# --- rectification


def test_a_new_address_takes_the_place_of_every_old_one_with_the_fields() -> None:
    stand_in = vendor(list1=person(OLD, "list1"), list2=person("older@example.org", "list2"))
    both = {"addresses": (OLD, "older@example.org")}
    assert isinstance(told(stand_in, Right.RECTIFICATION, **both), Applied)
    assert [list(members) for members in stand_in.lists.values()] == [[md5(NEW)], [md5(NEW)]]
    assert stand_in.lists["list2"][md5(NEW)]["merge_fields"]["FNAME"] == "Augusta"
    assert isinstance(read_back(stand_in, Right.RECTIFICATION, **both), AsAsked)


@pytest.mark.parametrize("status", [status for status in STATUSES if status != "subscribed"])
def test_where_the_address_may_not_be_changed_the_rest_is_and_the_operator_is_told(status: str) -> None:
    stand_in = vendor(list1=person(OLD, "list1", status))
    outcome = told(stand_in, Right.RECTIFICATION)
    assert isinstance(outcome, HandOver)
    assert outcome.to is Recipient.OPERATOR
    assert "list1" in outcome.task
    assert f"'{status}'" in outcome.task
    held = stand_in.lists["list1"][md5(OLD)]
    assert (held["status"], held["merge_fields"]["LNAME"]) == (status, "Kingcanary")
    assert isinstance(read_back(stand_in, Right.RECTIFICATION), Contradicts)


IS_NO_LONGER = "ada.new@example.org was permanently deleted and cannot be re-imported. The contact must re-subscribe."
NOT_SUBSCRIBED = (
    'This member\'s status is "unsubscribed." You can only update email addresses for members with a status'
)
# Titles and texts as recorded by the Grouparoo project in 2021 and 2022 (plugins/@grouparoo/mailchimp, fixtures) and as
# quoted in public issues (mailchimp-user-sync 96, mailchimp-for-wordpress 798); read in August 2026.
RECORDED = {
    "exists": (problem(400, "Member Exists"), "says that the new address is a member, but shows no such contact"),
    "exists, older wording": (
        problem(400, "Invalid Resource", detail='... is already in this list with a status of "subscribed".'),
        "perhaps because it looks fake or invalid",
    ),
    "forgotten": (problem(400, "Forgotten Email Not Subscribed", detail=IS_NO_LONGER), "permanently deleted before"),
    "fake": (
        problem(400, "Invalid Resource", detail="... looks fake or invalid, please enter a real email address."),
        "perhaps because it looks fake or invalid",
    ),
    "status": (
        problem(400, "Invalid Resource", errors=[{"field": "email address", "message": NOT_SUBSCRIBED}]),
        "of a contact of status 'unsubscribed'",
    ),
}


@pytest.mark.parametrize("case", RECORDED)
def test_a_new_address_that_is_refused_is_the_operators_for_the_reason_that_was_given(case: str) -> None:
    answer, sentence = RECORDED[case]

    class Refuses(StandIn):
        def _change(self, members: dict[str, dict[str, Any]], hashed: str, body: Any) -> Said:
            return answer if "email_address" in body else super()._change(members, hashed, body)

    stand_in = Refuses({"list1": person(OLD, "list1", "unsubscribed" if case == "status" else "subscribed")})
    outcome = told(stand_in, Right.RECTIFICATION)
    assert isinstance(outcome, HandOver)
    assert sentence in outcome.task
    assert "list1" in outcome.task
    assert stand_in.lists["list1"][md5(OLD)]["merge_fields"]["LNAME"] == "Kingcanary"


@pytest.mark.parametrize(
    ("status", "title", "reason"),
    [
        *((400, title, OUR_FAULT) for title in ("Bad Request", "JSON Parse Exception")),
        *((status, "", OUR_FAULT) for status in (414, 422, 426)),
        (400, "Member In Compliance State", UNDOCUMENTED),
        (405, "Method Not Allowed", UNDOCUMENTED),
    ],
)
def test_a_no_says_whether_we_are_at_fault(status: int, title: str, reason: str) -> None:
    stand_in = FailsIn({"list1": person(OLD, "list1")}, where="list1", how=problem(status, title))
    fields: dict[str, Any] = {"changes": Changes(first_name="Augusta")}
    for right, more in ((Right.RECTIFICATION, {}), (Right.RECTIFICATION, fields), (Right.OPT_OUT, {})):
        outcome = told(stand_in, right, **more)
        assert isinstance(outcome, Refused)
        assert outcome.reason == reason
    assert stand_in.state() == {"list1": person(OLD, "list1")}


def test_two_records_are_never_merged_and_none_is_deleted() -> None:
    stand_in = vendor(list1={**person(OLD, "list1"), **person(NEW, "list1", "unsubscribed")})
    other = json.dumps(stand_in.lists["list1"][md5(NEW)])
    outcome = told(stand_in, Right.RECTIFICATION)
    assert isinstance(outcome, HandOver)
    assert "two people" in outcome.task
    assert set(stand_in.lists["list1"]) == {md5(OLD), md5(NEW)}
    assert json.dumps(stand_in.lists["list1"][md5(NEW)]) == other


def test_a_new_address_that_is_a_contact_in_another_spelling_is_a_persons_to_merge() -> None:
    kept, asked = SPELT[1], SPELT[0]
    stand_in = vendor(list1={**person(OLD, "list1"), **person(kept, "list1")})
    outcome = told(stand_in, Right.RECTIFICATION, changes=Changes(email=asked))
    assert isinstance(outcome, HandOver)
    assert "two people" in outcome.task
    assert set(stand_in.lists["list1"]) == {md5(OLD), md5(kept)}


def test_fields_alone_are_put_right_and_the_status_stays_the_persons_own() -> None:
    changes = Changes(first_name="Augusta", fields={"CITY": "Kent", "LTV": "7"})
    for status in STATUSES:
        stand_in = vendor(list1=person(OLD, "list1", status))
        assert isinstance(told(stand_in, Right.RECTIFICATION, changes=changes), Applied)
        held = stand_in.lists["list1"][md5(OLD)]
        assert held["status"] == status
        assert held["merge_fields"] == {"FNAME": "Augusta", "LNAME": "Canary", "CITY": "Kent", "LTV": "7"}
        assert isinstance(read_back(stand_in, Right.RECTIFICATION, changes=changes), AsAsked)


def test_a_value_that_the_vendor_rejects_is_the_operators() -> None:
    outcome = told(vendor(list1=person(OLD, "list1")), Right.RECTIFICATION, changes=Changes(fields={"LTV": "rejected"}))
    assert isinstance(outcome, HandOver)
    assert "LTV" in outcome.task


def test_a_field_that_the_audience_lacks_is_left_to_the_operator() -> None:
    changes = Changes(fields={"SHOE": "38"})
    stand_in = vendor(list1=person(OLD, "list1"))
    assert isinstance(told(stand_in, Right.RECTIFICATION, changes=changes), HandOver)
    assert isinstance(read_back(stand_in, Right.RECTIFICATION, changes=changes), Contradicts)


def test_an_old_value_that_is_still_there_contradicts() -> None:
    stand_in = vendor(list1=person(NEW, "list1"))
    assert isinstance(read_back(stand_in, Right.RECTIFICATION), Contradicts)


def test_nobody_to_compare_with_proves_nothing_about_a_value() -> None:
    finding = read_back(vendor(list1={}), Right.RECTIFICATION)
    assert isinstance(finding, CannotTell)
    assert not finding.later


# --- traps that show in what is sent


def everything_sent(status: str = "subscribed") -> list[requests.PreparedRequest]:
    sent: list[requests.PreparedRequest] = []
    for right in Right:
        with on_stage(vendor(list1=person(OLD, "list1", status), list2={})) as stage:
            stage.connector.probe()
            stage.tell(instruction(right))
            stage.read_back(instruction(right))
            sent += stage.sent
    return sent


def test_trap_hash_an_address_is_folded_and_a_plus_tag_is_part_of_it() -> None:
    hashes = {found[2] for one in everything_sent() if (found := MEMBER.fullmatch(urlsplit(one.url or "").path))}
    assert hashes == {md5("ada+news@example.org"), md5("ada.new@example.org")}


def test_trap_put_no_right_can_create_anybody_and_every_change_passes_over_required_fields() -> None:
    writes = [one for one in everything_sent() if one.method != "GET"]
    assert {one.method for one in writes} == {"PATCH", "POST", "DELETE"}
    posted = {urlsplit(one.url or "").path.rpartition("/")[2] for one in writes if one.method == "POST"}
    assert posted == {"delete-permanent"}
    assert all("skip_merge_validation=true" in (one.url or "") for one in writes if one.method == "PATCH")


def test_trap_status_a_correction_never_sends_one() -> None:
    with on_stage(vendor(list1=person(OLD, "list1"))) as stage:
        stage.tell(instruction(Right.RECTIFICATION))
        bodies = [json.loads(one.body or b"null") for one in stage.sent if one.method == "PATCH"]
    assert [set(body) for body in bodies] == [{"email_address", "merge_fields"}]


def test_trap_search_absence_is_never_taken_from_a_search_or_a_filter_by_address() -> None:
    urls = [urlsplit(one.url or "") for one in everything_sent()]
    assert not [url for url in urls if "search-members" in url.path or "email=" in url.query or "query=" in url.query]


def test_trap_archive_whoever_takes_it_out_of_the_archive_finds_it_unsubscribed() -> None:
    before: list[str] = []

    class Watched(StandIn):
        def answer(self, request: requests.PreparedRequest) -> Said:
            if request.method == "DELETE":
                before.append(self.lists["list1"][md5(OLD)]["status"])
            return super().answer(request)

    told(Watched({"list1": person(OLD, "list1")}), Right.RESTRICTION)
    assert before == ["unsubscribed"]


def test_trap_limit_no_more_calls_at_once_than_the_vendor_allows_a_user() -> None:
    assert Mailchimp.max_inflight <= 10


# --- the line to the vendor


def test_a_blip_in_a_read_is_got_over_and_a_write_is_never_repeated() -> None:
    @dataclass
    class Blips(StandIn):
        blips: int = 2

        def answer(self, request: requests.PreparedRequest) -> Any:
            if request.method == "GET" and self.blips:
                self.blips -= 1
                raise requests.ConnectionError
            if request.method != "GET":
                raise requests.exceptions.ChunkedEncodingError
            return super().answer(request)

    with on_stage(Blips({"list1": person(OLD, "list1")})) as stage:
        outcome = stage.tell(instruction(Right.ERASURE))
        assert isinstance(outcome, Retryable)
        assert outcome.doubtful
        assert (stage.calls(), stage.writes()) == (4, 1)
        assert [evidence.status for evidence in outcome.evidence] == [None, None, 200, None]


def test_the_deadline_in_the_middle_of_the_audiences_stops_and_leaves_what_was_sent_in_doubt() -> None:
    @dataclass
    class Slow(StandIn):
        clock: Hands | None = None

        def answer(self, request: requests.PreparedRequest) -> Said:
            if self.clock:
                self.clock.seconds += 10
            return super().answer(request)

    stand_in = Slow({f"list{n}": person(OLD, f"list{n}") for n in range(5)})
    with on_stage(stand_in) as stage:
        stand_in.clock = stage.clock
        outcome = stage.tell(instruction(Right.ERASURE, deadline=stage.clock.monotonic() + 25))
        assert isinstance(outcome, Retryable)
        assert outcome.doubtful
        assert stage.calls() == 3


def test_a_throttle_without_json_is_no_credential_fault_and_ends_all_asking() -> None:
    for status in (403, 429):
        with on_stage(FailsIn({"list1": {}, "list2": {}}, where="list1", how=Said(status, {}, b""))) as stage:
            outcome = stage.tell(instruction(Right.ERASURE))
            assert isinstance(outcome, Retryable)
            assert outcome.busy
            assert stage.writes() == 1


def test_a_403_with_json_is_about_the_user_of_the_key_and_says_so() -> None:
    stand_in = FailsIn({"list1": {}}, where="list1", how=problem(403, "Forbidden"))
    with on_stage(stand_in) as stage, pytest.raises(CredentialsRejected, match="a role that may not do this"):
        stage.tell(instruction(Right.ERASURE))
    stand_in.how = problem(401, "API Key Invalid")
    with on_stage(stand_in) as stage, pytest.raises(CredentialsRejected) as caught:
        stage.tell(instruction(Right.ERASURE))
    assert "role" not in caught.value.message


def test_ten_threads_share_one_connector_without_mixing_their_evidence() -> None:
    stand_in = vendor(**{f"list{n}": {} for n in range(4)})
    outcomes: list[Outcome] = []
    with on_stage(stand_in) as stage:
        orders = [instruction(Right.ERASURE, addresses=(f"p{n}@example.org",), digest_key=b"%d" % n) for n in range(10)]
        threads = [threading.Thread(target=lambda order=order: outcomes.append(stage.tell(order))) for order in orders]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(outcomes) == 10
    for outcome in outcomes:
        assert isinstance(outcome, NothingHeld)
        scopes = [evidence.scope for evidence in outcome.evidence if evidence.endpoint.startswith("POST")]
        assert scopes == [f"list{n}" for n in range(4)]
    assert len({evidence.digest for outcome in outcomes for evidence in outcome.evidence}) >= 20


# --- settings


@pytest.mark.parametrize(
    "section",
    [
        {},
        {"api_key": "no-centre"},
        {"api_key": "with space-us1"},
        {"api_key": f"evil.example/{SECRET}#-us1x"},
        {"api_key": SECRET, "base_url": "http://example.org"},
        {"api_key": SECRET, "base_url": "https://a@example.org"},
        {"api_key": SECRET, "base_url": "ftp://127.0.0.1"},
        {"api_key": SECRET, "audiences": ["../x"]},
        {"api_key": SECRET, "audiences": ["a", "a"]},
        {"api_key": SECRET, "surprise": 1},
    ],
)
def test_wrong_settings_are_refused_without_repeating_them(section: dict[str, object]) -> None:
    with pytest.raises(ValidationError) as caught:
        MailchimpSettings.model_validate(section)
    assert_clean(str(caught.value))
    assert "example.org" not in str(caught.value)


@pytest.mark.parametrize("base_url", ["https://us1.api.mailchimp.com.example.org/3.0", "http://127.0.0.1:9101"])
def test_a_foreign_address_needs_a_rehearsal(base_url: str) -> None:
    section = {"api_key": SECRET, "base_url": base_url}
    assert built_in_a_rehearsal_only(Mailchimp, section, "Mailchimp").name == "mailchimp"


def test_the_vendors_address_without_a_data_centre_is_its_own_too() -> None:
    section = MailchimpSettings.model_validate({"api_key": "token", "base_url": "https://api.mailchimp.com"})
    assert section.base == "https://api.mailchimp.com/3.0"
    with HttpClient(Hands()) as http:
        Mailchimp.from_settings(section, Kit(http=http, clock=Hands(), pseudonym=pseudonym, shelf=OpenShelf()))


def test_the_address_of_the_api_follows_from_the_key_or_from_the_rehearsal() -> None:
    assert MailchimpSettings.model_validate({"api_key": SECRET}).base == "https://us19.api.mailchimp.com/3.0"
    rehearsed = MailchimpSettings.model_validate({"api_key": SECRET, "base_url": "http://127.0.0.1:9101/"})
    assert rehearsed.base == "http://127.0.0.1:9101/3.0"


# --- the vendor's own specification


def test_every_request_takes_the_answer_and_the_problem_as_json() -> None:
    assert {one.headers["Accept"] for one in everything_sent()} == {"application/json, application/problem+json"}


def test_every_request_is_one_that_the_vendors_specification_knows() -> None:
    spec = Specification("mailchimp-openapi.json")
    sent: list[requests.PreparedRequest] = []
    for right in Right:
        for status in ("subscribed", "unsubscribed"):
            with on_stage(vendor(list1=person(OLD, "list1", status), list2={})) as stage:
                stage.connector.probe()
                stage.tell(instruction(right))
                stage.read_back(instruction(right))
                sent += stage.sent
    assert {request.method for request in sent} == {"GET", "PATCH", "POST", "DELETE"}
    for request in sent:
        if spec.template(request) is not None or urlsplit(request.url or "").path != "/3.0/":
            spec.assert_known(request)  # the copy of the specification is trimmed: the root is not in it
