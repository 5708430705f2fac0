"""Brevo: the shared contract, and what is peculiar to this vendor."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, ClassVar
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
import requests

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
    Refused,
    Retryable,
)
from dpsync.connectors.brevo import Brevo
from dpsync.connectors.brevo.calls import BrevoSettings
from dpsync.model import Changes, Lifted, Right
from dpsync.vendor.errors import BLOCKED, DENIED, NOT_DONE
from tests.connectors.contract import (
    NEW,
    OLD,
    OTHER,
    SECRET,
    HttpContract,
    HttpStage,
    Said,
    built_in_a_rehearsal_only,
    instruction,
    pseudonym,
)
from tests.connectors.held import Held

TYPES = {"FIRSTNAME": "text", "LASTNAME": "text", "CITY": "text", "SMS": "text", "AGE": "float", "VIP": "boolean"}
TYPES["EMAIL"] = "text"  # nobody documents whether the address is listed among the attributes
LIFTED = Lifted(date(2026, 11, 19), "letter")


def said(status: int, body: object, **headers: str) -> Said:
    return Said(status, {"Content-Type": "application/json", **headers}, json.dumps(body).encode())


def contact(address: str, number: int = 1, **more: Any) -> dict[str, Any]:
    attributes = {"FIRSTNAME": "Ada", "LASTNAME": "Canary", "CITY": "Kent", **more.pop("attributes", {})}
    flags = {"emailBlacklisted": False, "smsBlacklisted": False}
    return {"id": number, "email": address, "attributes": attributes, "listIds": [3, 5], **flags, **more}


def fits(kind: str | None, value: object) -> bool:
    kinds = {"text": str, "float": float, "boolean": bool}
    return value == "" or isinstance(value, kinds.get(str(kind), type(None)))


@dataclass
class StandIn:
    """Its contacts. `drops`: a new address takes the block away, whatever else the call says; `merges`: of two contacts
    with one address only one is left; `passes_over`: names of what a call says and nobody heeds; `no`: the code of the
    400 to each call that names one of these attributes.
    """

    held: list[dict[str, Any]]
    drops: bool = False
    merges: bool = False
    passes_over: tuple[str, ...] = ()
    no: dict[str, tuple[str, object]] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)

    def state(self) -> object:
        return json.loads(json.dumps(self.held))

    def holds(self) -> Iterator[Held]:
        for one in self.held:
            names = one["attributes"]
            fields = {"CITY": names["CITY"]}
            silent, used = one["emailBlacklisted"], bool(one["listIds"])
            yield Held("", one["email"], names["FIRSTNAME"], names["LASTNAME"], fields, mailed=not silent, used=used)

    def hold(self, records: Iterable[Held]) -> None:
        self.held = [
            contact(
                one.address,
                self.numbers.setdefault(one.address.lower(), 100 + len(self.numbers)),
                attributes={"FIRSTNAME": one.first_name, "LASTNAME": one.last_name, **one.fields},
                listIds=[3, 5] if one.used else [],
                emailBlacklisted=not one.mailed,
            )
            for one in records
        ]

    def find(self, address: object) -> dict[str, Any] | None:
        return next((one for one in self.held if one["email"].lower() == str(address).lower()), None)

    def answer(self, request: requests.PreparedRequest) -> Said:
        return (answer := self._answer(request))._replace(headers=answer.headers | self.headers)

    def _answer(self, request: requests.PreparedRequest) -> Said:
        url = urlsplit(str(request.url))
        path = url.path.removeprefix("/v3/")
        assert request.headers["api-key"] == SECRET
        if path == "account":
            return said(200, {"email": "owner@example.org", "companyName": "Example Trust"})
        if path == "contacts/attributes":
            rows = [{"name": name, "category": "normal", "type": kind} for name, kind in TYPES.items()]
            chosen = {"name": "GENDER", "category": "category", "enumeration": [{"value": 1, "label": "F"}]}
            return said(200, {"attributes": [*rows, chosen]})
        assert parse_qs(url.query) == {"identifierType": ["email_id"]}
        one = self.find(unquote(path.removeprefix("contacts/")))
        if one is None:
            return said(404, {"code": "document_not_found", "message": "Contact does not exist"})
        if request.method == "DELETE":
            self.held.remove(one)
            return Said(204, {}, b"")
        if request.method == "PUT":
            return self._change(one, json.loads(request.body or b""))
        return said(200, {**one, "statistics": {}})

    def _change(self, one: dict[str, Any], body: dict[str, Any]) -> Said:
        body = {name: value for name, value in body.items() if name not in self.passes_over}
        values: dict[str, Any] = body.pop("attributes", {})
        for name, (code, metadata) in self.no.items():
            if name in values:
                return said(400, {"code": code, "message": OLD, "metadata": metadata})
        email = values.pop("EMAIL", one["email"])
        if (other := self.find(email)) not in (None, one):
            if self.merges:
                self.held.remove(other)
                return Said(204, {}, b"")
            return said(400, {"code": "duplicate_parameter", "message": OLD})
        leaves = body.pop("unlinkListIds", [])
        assert set(body) <= {"emailBlacklisted", "smsBlacklisted"}
        if email != one["email"]:
            one["emailBlacklisted"] = False
        if email == one["email"] or not self.drops:
            one |= body
        if self.drops and values.get("SMS"):
            one["smsBlacklisted"] = False
        one["email"], one["listIds"] = email, [number for number in one["listIds"] if number not in leaves]
        one["attributes"] |= {name: value for name, value in values.items() if fits(TYPES.get(name), value)}
        return Said(204, {}, b"")


class OnStage(HttpContract):
    connector = Brevo
    section: ClassVar[Mapping[str, object]] = {"api_key": SECRET}
    text_field: ClassVar[str] = "CITY"

    def refusal(self, status: int) -> Said:
        return self.error(status, "trouble")

    def error(self, status: int, code: int | str) -> Said:
        return said(status, {"code": code, "message": OLD})

    def vendor(self, right: Right, *, held: bool) -> StandIn:
        return StandIn([contact(self.address)] if held else [])

    def built(self, kit: Kit) -> Connector:
        return Brevo(BrevoSettings.model_validate(self.section), kit, sleep=lambda _: None)


class TestBrevo(OnStage):
    """The contract."""


def before(vendor: StandIn, **more: Any) -> Any:
    return OnStage().before(vendor, **more)


def rectified(stage: HttpStage, **changes: Any) -> Any:
    return stage.tell(instruction(Right.RECTIFICATION, changes=Changes(**changes)))


def read_back(stage: HttpStage, **changes: Any) -> Any:
    return stage.read_back(instruction(Right.RECTIFICATION, changes=Changes(**changes)))


# --- the blocklist, and a new address


@pytest.mark.parametrize("drops", [True, False])
def test_who_is_on_the_blocklist_stays_there_when_the_address_changes(drops: bool) -> None:
    vendor = StandIn([contact(OLD, emailBlacklisted=True)], drops=drops)
    with before(vendor) as stage:
        assert isinstance(rectified(stage, email=NEW), Applied)
        assert vendor.held[0]["email"] == NEW
        assert vendor.held[0]["emailBlacklisted"]
        assert isinstance(read_back(stage, email=NEW), AsAsked)


def test_who_is_not_on_the_blocklist_does_not_come_on_it() -> None:
    vendor = StandIn([contact(OLD)], drops=True)
    with before(vendor) as stage:
        rectified(stage, email=NEW)
        assert not vendor.held[0]["emailBlacklisted"]


def test_who_is_blocked_for_sms_stays_so_when_the_number_changes() -> None:
    vendor = StandIn([contact(OLD, attributes={"SMS": "447700900123"}, smsBlacklisted=True)], drops=True)
    fields = {"SMS": "447700900456"}
    with before(vendor) as stage:
        assert isinstance(rectified(stage, fields=fields), Applied)
        assert vendor.held[0]["attributes"]["SMS"] == fields["SMS"]
        assert (vendor.held[0]["smsBlacklisted"], vendor.held[0]["emailBlacklisted"]) == (True, False)
        assert isinstance(read_back(stage, fields=fields), AsAsked)


def test_who_is_not_found_after_a_change_was_taken_is_not_nobody() -> None:
    nobody = said(404, {"code": "document_not_found", "message": "Contact does not exist"})
    with before(StandIn([contact(OLD)]), trouble=nobody, from_call=5, times=2) as stage:
        outcome = rectified(stage, email=NEW)
        assert isinstance(outcome, Retryable)
        assert outcome.doubtful
        assert isinstance(rectified(stage, email=NEW), Applied)


def test_a_block_that_is_lost_for_good_is_contradicted() -> None:
    vendor = StandIn([contact(OLD, emailBlacklisted=True)], passes_over=("emailBlacklisted",))
    with before(vendor) as stage:
        assert isinstance(rectified(stage, email=NEW), Applied)
        assert not vendor.held[0]["emailBlacklisted"]
        assert isinstance(read_back(stage, email=NEW), Contradicts)


def test_a_block_that_was_lost_before_we_were_stopped_is_set_again() -> None:
    vendor = StandIn([contact(OLD, emailBlacklisted=True)], drops=True)
    with before(vendor, trouble=requests.ReadTimeout(OLD), from_call=5, times=1) as stage:
        outcome = rectified(stage, email=NEW)
        assert isinstance(outcome, Retryable)
        assert outcome.doubtful
        assert (vendor.held[0]["email"], vendor.held[0]["emailBlacklisted"]) == (NEW, False)
        assert isinstance(read_back(stage, email=NEW), Contradicts)
        assert isinstance(rectified(stage, email=NEW), Applied)
        assert vendor.held[0]["emailBlacklisted"]
        assert isinstance(read_back(stage, email=NEW), AsAsked)


def test_who_leaves_the_blocklist_later_is_not_put_on_it_by_another_rectification() -> None:
    vendor = StandIn([contact(OLD, emailBlacklisted=True)], drops=True)
    with before(vendor) as stage:
        rectified(stage, email=NEW)
        vendor.held[0]["emailBlacklisted"] = False
        rectified(stage, email=NEW, last_name="Kingcanary")
        assert not vendor.held[0]["emailBlacklisted"]


def notes(outcome: Outcome) -> list[str]:
    return [one.note for one in outcome.evidence if one.note]


def test_a_block_goes_with_the_new_address_and_is_put_back_only_where_it_was_lost() -> None:
    """Under a key that stays: the shelf is durable."""
    for drops in (False, True):
        vendor = StandIn([contact(OLD, emailBlacklisted=True)], drops=drops)
        with before(vendor) as stage:
            outcome = rectified(stage, email=NEW)
            assert NOT_DONE not in notes(outcome)
            bodies = [json.loads(one.body or b"") for one in stage.sent if one.method == "PUT"]
            block = {"emailBlacklisted": True}
            assert bodies == [{"attributes": {"EMAIL": NEW}, **block}, *([block] if drops else [])]
            assert stage.shelf.kept == {f"moved/account/{pseudonym('1')}": ""}


def test_a_block_that_brevo_says_yes_to_and_does_not_set_is_noted() -> None:
    vendor = StandIn([contact(OLD, emailBlacklisted=True)], passes_over=("emailBlacklisted",))
    with before(vendor) as stage:
        assert NOT_DONE in notes(rectified(stage, email=NEW))


def test_a_block_that_was_lost_is_set_again_whatever_is_put_right_next() -> None:
    vendor = StandIn([contact(OLD)])
    with before(vendor) as stage:
        stage.shelf.put(f"moved/account/{pseudonym('1')}", "emailBlacklisted")
        vendor.drops = True
        assert isinstance(rectified(stage, email=NEW), Applied)
        assert vendor.held[0]["emailBlacklisted"]


@pytest.mark.parametrize("shows", [True, False])
@pytest.mark.parametrize("owes", [True, False])
@pytest.mark.parametrize("right", Right)
def test_whom_brevo_does_not_find_any_more_is_nobody_only_where_it_shows_nobody(
    right: Right, *, owes: bool, shows: bool
) -> None:
    class Loses(StandIn):
        def answer(self, request: requests.PreparedRequest) -> Said:
            if request.method == "GET":
                return super().answer(request)
            if not shows:
                self.held.clear()
            return said(404, {"code": "document_not_found", "message": OLD})

    with before(Loses([contact(OLD)])) as stage:
        if owes:
            stage.shelf.put(f"moved/account/{pseudonym('1')}", "emailBlacklisted")
        outcome = stage.tell(instruction(right))
        assert (outcome.reason == DENIED) if isinstance(outcome, Refused) else isinstance(outcome, NothingHeld)
        assert isinstance(outcome, Refused) is shows


# --- values


def test_a_yes_or_no_that_is_neither_is_not_sent_as_a_no() -> None:
    with before(StandIn([contact(OLD)])) as stage:
        rectified(stage, fields={"VIP": "perhaps"})
        bodies = [json.loads(one.body or b"") for one in stage.sent if one.method == "PUT"]
    assert bodies == [{"attributes": {"VIP": "perhaps"}}]


def test_what_is_left_to_the_operator_is_called_as_brevo_calls_it() -> None:
    vendor = StandIn([contact(OLD)], no={"AGE": ("invalid_parameter", None)})
    with before(vendor) as stage:
        outcome = rectified(stage, fields={"AGE": "36"})
    assert isinstance(outcome, HandOver)
    assert "the account Brevo did not accept the new value of the attribute AGE (number)" in outcome.task
    assert outcome.references == ()


def test_a_value_of_another_type_is_passed_over_and_left_to_the_operator() -> None:
    vendor = StandIn([contact(OLD)])
    changes: dict[str, Any] = {"last_name": "Kingcanary", "fields": {"AGE": "thirty"}}
    with before(vendor) as stage:
        outcome = rectified(stage, **changes)
        assert isinstance(outcome, HandOver)
        assert "attribute AGE" in outcome.task
        assert vendor.held[0]["attributes"]["LASTNAME"] == "Kingcanary"
        assert isinstance(read_back(stage, **changes), Contradicts)


def test_numbers_and_yes_or_no_are_sent_as_what_they_are() -> None:
    vendor = StandIn([contact(OLD)])
    fields = {"AGE": "36", "VIP": "True"}
    with before(vendor) as stage:
        assert isinstance(rectified(stage, fields=fields), Applied)
        assert (vendor.held[0]["attributes"]["AGE"], vendor.held[0]["attributes"]["VIP"]) == (36.0, True)
        assert isinstance(read_back(stage, fields=fields), AsAsked)


@pytest.mark.parametrize("name", ["GENDER", "TOWN", "EMAIL"])
def test_an_attribute_that_takes_no_text_or_is_none_is_left_to_the_operator(name: str) -> None:
    vendor = StandIn([contact(OLD)])
    with before(vendor) as stage:
        state = stage.state()
        outcome = rectified(stage, fields={name: NEW})
        assert isinstance(outcome, HandOver)
        assert name in outcome.task
        assert stage.state() == state
        finding = read_back(stage, fields={name: NEW})
        assert isinstance(finding, CannotTell)
        assert not finding.later


def test_what_an_account_calls_a_name_is_said_in_the_settings() -> None:
    class Named(OnStage):
        section: ClassVar[Mapping[str, object]] = {"api_key": SECRET, "first_name": "CITY", "last_name": "NOM"}

    vendor = StandIn([contact(OLD)])
    with Named().before(vendor) as stage:
        outcome = rectified(stage, first_name="Augusta", last_name="Kingcanary")
        assert isinstance(outcome, HandOver)
        assert "attribute NOM" in outcome.task
        assert vendor.held[0]["attributes"]["CITY"] == "Augusta"


# --- duplicates


@pytest.mark.parametrize("merges", [True, False])
def test_two_contacts_are_never_merged(merges: bool) -> None:
    vendor = StandIn([contact(OLD, 1), contact(NEW, 2, attributes={"LASTNAME": "Other"})], merges=merges)
    with before(vendor) as stage:
        outcome = rectified(stage, email=NEW, first_name="Augusta")
        assert isinstance(outcome, HandOver)
        assert "two people" in outcome.task
        assert [one["email"] for one in vendor.held] == [OLD, NEW]
        assert [one["attributes"]["FIRSTNAME"] for one in vendor.held] == ["Augusta", "Ada"]
        assert isinstance(read_back(stage, email=NEW, first_name="Augusta"), Contradicts)


@pytest.mark.parametrize(
    "no", [("duplicate_parameter", {"duplicate_identifiers": ["SMS"]}), ("invalid_parameter", None)]
)
def test_a_number_that_another_contact_has_keeps_no_other_change_from_being_made(no: tuple[str, object]) -> None:
    vendor = StandIn([contact(OLD)], no={"SMS": no})
    with before(vendor) as stage:
        outcome = rectified(stage, email=NEW, last_name="Kingcanary", fields={"SMS": "447700900123"})
        assert isinstance(outcome, HandOver)
        assert "attribute SMS" in outcome.task
        assert (vendor.held[0]["email"], vendor.held[0]["attributes"]["LASTNAME"]) == (NEW, "Kingcanary")


@pytest.mark.parametrize(
    ("refused", "named", "changes"),
    [
        ("SMS", "sms", {"last_name": "Kingcanary", "fields": {"SMS": "447700900123"}}),
        ("EMAIL", "email", {"last_name": "Kingcanary", "email": NEW}),
    ],
)
def test_what_brevo_names_is_left_out_of_the_next_call(refused: str, named: str, changes: dict[str, Any]) -> None:
    vendor = StandIn([contact(OLD)], no={refused: ("duplicate_parameter", {"duplicate_identifiers": [named]})})
    with before(vendor) as stage:
        rectified(stage, **changes)
        sent = [json.loads(one.body or b"")["attributes"] for one in stage.sent if one.method == "PUT"]
    assert [refused in one for one in sent] == [True, False]


@pytest.mark.parametrize("code", ["duplicate_parameter", "invalid_parameter"])
def test_an_address_that_is_refused_is_left_to_the_operator(code: str) -> None:
    vendor = StandIn([contact(OLD, emailBlacklisted=True)], no={"EMAIL": (code, {"duplicate_identifiers": ["email"]})})
    with before(vendor) as stage:
        outcome = rectified(stage, email=NEW, last_name="Kingcanary")
        assert isinstance(outcome, HandOver)
        assert ("two people" in outcome.task) == (code == "duplicate_parameter")
        assert (vendor.held[0]["email"], vendor.held[0]["attributes"]["LASTNAME"]) == (OLD, "Kingcanary")


# --- opt-out and restriction


@pytest.mark.parametrize("right", [Right.OPT_OUT, Right.RESTRICTION])
def test_who_has_a_number_is_blocked_for_sms_too(right: Right) -> None:
    vendor = StandIn([contact(OLD, 1, attributes={"SMS": "447700900123"}, emailBlacklisted=True), contact(OTHER, 2)])
    told = instruction(right, addresses=(OLD, OTHER))
    with before(vendor) as stage:
        stage.tell(told)
        assert [one["emailBlacklisted"] for one in vendor.held] == [True, True]
        assert [one["smsBlacklisted"] for one in vendor.held] == [True, False]
        assert isinstance(stage.read_back(told), AsAsked)
        vendor.held[0]["smsBlacklisted"] = False
        assert isinstance(stage.read_back(told), Contradicts)


@pytest.mark.parametrize("right", [Right.OPT_OUT, Right.RESTRICTION])
def test_a_yes_that_changed_nothing_is_noted_beside_the_reading_that_shows_it(right: Right) -> None:
    vendor = StandIn([contact(OLD)], passes_over=("emailBlacklisted",))
    with before(vendor) as stage:
        outcome = stage.tell(instruction(right))
        assert isinstance(outcome, Applied)
        assert outcome.evidence[-1].note == NOT_DONE
        assert isinstance(stage.read_back(instruction(right)), Contradicts)


def test_a_restriction_remembers_the_lists_and_lifting_names_them_and_subscribes_nobody() -> None:
    vendor = StandIn([contact(OLD)])
    with before(vendor) as stage:
        stage.tell(instruction(Right.RESTRICTION))
        assert (vendor.held[0]["listIds"], vendor.held[0]["emailBlacklisted"]) == ([], True)
        for _ in range(2):
            outcome = stage.tell(instruction(Right.RESTRICTION, lifted=LIFTED))
            assert isinstance(outcome, HandOver)
            assert outcome.references == ("3", "5")
        assert (vendor.held[0]["listIds"], vendor.held[0]["emailBlacklisted"]) == ([], True)
        assert isinstance(stage.read_back(instruction(Right.RESTRICTION, lifted=LIFTED)), CannotTell)


def test_lists_that_a_broken_attempt_took_are_still_remembered() -> None:
    vendor = StandIn([contact(OLD)])
    with before(vendor, trouble=requests.ReadTimeout(OLD), from_call=4, times=1) as stage:
        assert isinstance(stage.tell(instruction(Right.RESTRICTION)), Retryable)
        assert vendor.held[0]["listIds"] == []
        vendor.held[0]["listIds"] = [7]  # somebody adds it to another meanwhile
        stage.tell(instruction(Right.RESTRICTION))
        outcome = stage.tell(instruction(Right.RESTRICTION, lifted=LIFTED))
        assert isinstance(outcome, HandOver)
        assert outcome.references == ("3", "5", "7")


def test_a_second_restriction_does_not_name_the_lists_of_the_first() -> None:
    vendor = StandIn([contact(OLD)])
    with before(vendor) as stage:
        stage.tell(instruction(Right.RESTRICTION))
        stage.tell(instruction(Right.RESTRICTION, lifted=LIFTED))
        vendor.held[0] |= {"listIds": [5], "emailBlacklisted": False}
        stage.tell(instruction(Right.RESTRICTION))
        outcome = stage.tell(instruction(Right.RESTRICTION, lifted=LIFTED))
        assert isinstance(outcome, HandOver)
        assert outcome.references == ("5",)


def test_a_restriction_is_lifted_under_the_address_of_today() -> None:
    vendor = StandIn([contact(OLD)])
    with before(vendor) as stage:
        stage.tell(instruction(Right.RESTRICTION))
        rectified(stage, email=NEW)
        assert isinstance(stage.tell(instruction(Right.RESTRICTION, addresses=(NEW, OLD), lifted=LIFTED)), HandOver)


def test_what_is_not_on_the_blocklist_is_lifted() -> None:
    with before(StandIn([contact(OLD)])) as stage:
        assert isinstance(stage.read_back(instruction(Right.RESTRICTION, lifted=LIFTED)), AsAsked)


def test_a_contact_on_no_list_is_taken_off_none() -> None:
    with before(StandIn([contact(OLD, listIds=[])])) as stage:
        assert isinstance(stage.tell(instruction(Right.RESTRICTION)), Applied)
        (put,) = [one for one in stage.sent if one.method == "PUT"]
        stage.tell(instruction(Right.RESTRICTION))
        assert [one for one in stage.sent if one.method == "PUT"] == [put]
    assert json.loads(put.body or b"") == {"emailBlacklisted": True}


def test_an_erasure_is_remembered_under_a_key_that_stays() -> None:
    """The shelf is durable: its keys are a stored format."""
    with before(StandIn([contact(OLD)])) as stage:
        stage.tell(instruction(Right.ERASURE))
        assert stage.shelf.kept == {f"erased/account/{pseudonym(OLD.lower())}": "asked"}


def test_what_was_on_the_blocklist_without_us_is_no_task() -> None:
    vendor = StandIn([contact(OLD, emailBlacklisted=True)])
    with before(vendor) as stage:
        assert isinstance(stage.tell(instruction(Right.RESTRICTION, lifted=LIFTED)), Applied)


# --- answers


@pytest.mark.parametrize("right", Right)
def test_a_404_of_another_code_is_not_nothing_held(right: Right) -> None:
    with before(StandIn([]), trouble=said(404, {"code": "not_found", "message": "no route"}), from_call=2) as stage:
        assert isinstance(stage.tell(instruction(right)), Refused)
        assert isinstance(stage.read_back(instruction(right)), CannotTell)


def test_the_contact_of_somebody_else_in_an_answer_is_unreadable() -> None:
    with before(StandIn([]), trouble=said(200, contact(OTHER)), from_call=2) as stage:
        assert isinstance(stage.tell(instruction(Right.OPT_OUT)), Retryable)
        assert stage.writes() == 0


@pytest.mark.parametrize(
    "wrong", [{"emailBlacklisted": "no"}, {"smsBlacklisted": None}, {"listIds": ["3"]}, {"attributes": []}]
)
def test_a_contact_of_another_shape_is_unreadable(wrong: dict[str, Any]) -> None:
    with before(StandIn([contact(OLD) | wrong])) as stage:
        assert isinstance(stage.tell(instruction(Right.RESTRICTION)), Retryable)
        assert stage.writes() == 0


def test_no_call_is_made_before_the_hour_that_is_used_up_is_over() -> None:
    vendor = StandIn([], headers={"x-sib-ratelimit-remaining": "0", "x-sib-ratelimit-reset": "600"})
    with before(vendor) as stage:
        outcome = stage.tell(instruction(Right.OPT_OUT))
        assert isinstance(outcome, Retryable)
        assert (outcome.busy, outcome.retry_after, stage.calls()) == (True, timedelta(seconds=600), 1)
        vendor.headers = {}
        stage.clock.seconds += 601
        assert isinstance(stage.tell(instruction(Right.OPT_OUT)), NothingHeld)


def test_a_limit_says_in_its_own_header_how_long_it_lasts() -> None:
    limited = said(429, {"code": "too_many_requests", "message": "wait"}, **{"x-sib-ratelimit-reset": "77"})
    with before(StandIn([contact(OLD)]), trouble=limited) as stage:
        outcome = stage.tell(instruction(Right.OPT_OUT))
        assert isinstance(outcome, Retryable)
        assert outcome.retry_after == timedelta(seconds=77)


# --- the account


def test_a_probe_says_whose_account_it_is() -> None:
    with before(StandIn([])) as stage:
        assert stage.connector.probe().title == "Example Trust"


def test_a_foreign_address_needs_a_rehearsal() -> None:
    section = {"api_key": SECRET, "base_url": "http://127.0.0.1:9106"}
    assert BrevoSettings.model_validate(section).base_url == "http://127.0.0.1:9106/v3"
    assert built_in_a_rehearsal_only(Brevo, section, "Brevo").name == "brevo"


@pytest.mark.parametrize("body", [{"code": "bad_request"}, {"message": "No."}, {"code": 7, "message": "No."}])
def test_an_error_is_brevos_own_only_with_a_code_and_a_message(body: object) -> None:
    with before(StandIn([contact(OLD)]), trouble=said(400, body)) as stage:
        outcome = stage.tell(instruction(Right.ERASURE))
    assert isinstance(outcome, Retryable)
    assert outcome.reason == BLOCKED
