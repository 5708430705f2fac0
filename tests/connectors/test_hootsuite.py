"""Hootsuite: the shared contract before a stand-in, and each trap of a vendor that shows nothing when asked.

The bodies are of our own composition after the vendor's Inbox 2.0 OpenAPI file and REST Swagger file (August 2026) and,
for statuses that these leave out, after traffic that bclex/hootsuite-rest recorded in 2017. With DPSYNC_VENDOR_SPECS
set, each request, answer and webhook here is held against the vendor's files.
"""

import base64
import hashlib
import hmac
import json
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from pydantic import ValidationError

from dpsync.connector import (
    Accepted,
    AsAsked,
    CannotTell,
    Contradicts,
    Conversation,
    Exported,
    Finding,
    HandOver,
    Kit,
    Outcome,
    Recipient,
    Refused,
    Retryable,
)
from dpsync.connectors import hootsuite
from dpsync.connectors.hootsuite import Hootsuite, calls
from dpsync.connectors.hootsuite.calls import HootsuiteSettings
from dpsync.errors import (
    CredentialsRejected,
    PayloadInvalid,
    ProcessorUnreachable,
    SignatureInvalid,
)
from dpsync.http import HttpClient
from dpsync.model import Changes, FieldValue, Lifted, Right
from dpsync.store.shelf import StoredShelf
from tests.builders import World
from tests.connectors.contract import (
    NEW,
    NOW,
    OLD,
    SECRET,
    Hands,
    HttpContract,
    HttpStage,
    OpenShelf,
    Promises,
    Said,
    Stage,
    assert_clean,
    built_in_a_rehearsal_only,
    instruction,
    pseudonym,
)
from tests.connectors.held import Held
from tests.specification import Specification

HEX = "00ff10ef" * 8
ADA, BOB = "693ed54b-a426-11eb-9363-cffd945b4b2f", "7f00aa01"
PHONE = "+447700900123"
PUT = re.compile(r"/inbox/v2/contact/([^/]+)/contact-attributes")
CRM: Mapping[str, str | None] = {"email": OLD, "first_name": "Ada", "last_name": "Canary", "id": "4711"}
LIFTED = Lifted(date(2026, 11, 19), "letter")
BODILESS = Said(401, {}, b"")


def said(status: int, body: object, **headers: str) -> Said:
    kind = {"Content-Type": "application/json;charset=utf-8"}
    return Said(
        status, kind | {name.replace("_", "-"): value for name, value in headers.items()}, json.dumps(body).encode()
    )


def error(status: int, code: int, **headers: str) -> Said:
    """An error as the REST API has it (Swagger, August 2026)."""
    return said(status, {"errors": [{"code": code, "message": OLD, "id": "f7d32670-4e6a"}]}, **headers)


def oauth(status: int, name: str) -> Said:
    """An error of the token call (Swagger and Inbox OpenAPI, August 2026)."""
    return said(status, {"error": name, "error_description": OLD, "error_hint": "", "status_code": status})


@dataclass
class StandIn:
    """Answers as the vendor's two files say, for as much as the connector uses."""

    held: dict[str, dict[str, str | None]]
    shows: bool = True
    live: set[str] = field(default_factory=set)
    refresh: str = "refresh-0"
    issued: int = 0
    instead: Said | Exception | None = None
    where: str = ""
    forms: list[dict[str, str]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __deepcopy__(self, memo: dict[int, object]) -> "StandIn":
        return replace(self, held=deepcopy(self.held, memo))

    def state(self) -> object:
        return json.loads(json.dumps(self.held))

    def holds(self) -> Iterator[Held]:
        for contact, crm in self.held.items():
            own = {"id": crm.get("id") or ""}
            yield Held(contact, crm.get("email") or "", crm.get("first_name"), crm.get("last_name"), own)

    def hold(self, records: Iterable[Held]) -> None:
        self.shows, self.held = True, {}
        for one in records:
            contact = one.place or hashlib.md5(f"contact {one.address}".encode(), usedforsecurity=False).hexdigest()
            names = {"email": one.address, "first_name": one.first_name, "last_name": one.last_name}
            self.held[contact] = {**names, **one.fields}

    def answer(self, request: requests.PreparedRequest) -> Said:
        path = urlsplit(request.url or "").path
        if self.instead is not None and self.where in path:
            if isinstance(self.instead, Exception):
                raise self.instead
            return self.instead
        if path == "/oauth2/token":
            return self._token(request)
        if str(request.headers["Authorization"]).removeprefix("Bearer ") not in self.live:
            return error(401, 1001)
        if found := PUT.fullmatch(path):
            return self._put(found[1], json.loads(request.body or b""))
        if path == "/v1/socialProfiles":
            whatsapp = {"id": "115185509", "type": "WHATSAPP", "socialNetworkUsername": "Front desk"}
            return said(200, {"data": [whatsapp, {"id": "2", "type": "TWITTER", "socialNetworkUsername": None}]})
        if path == "/v1/me/organizations":
            return said(200, {"data": [{"id": "1", "name": "Another"}, {"id": "900002", "name": "Example Trust"}]})
        return error(404, 4001)

    def _token(self, request: requests.PreparedRequest) -> Said:
        basic = base64.b64encode(f"client:{SECRET}".encode()).decode()
        if request.headers["Authorization"] != f"Basic {basic}":
            return oauth(401, "invalid_client")
        assert isinstance(request.body, bytes)
        form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
        with self.lock:
            self.forms.append(form)
            if form["grant_type"] == "refresh_token" and form["refresh_token"] != self.refresh:
                return oauth(400, "invalid_grant")
            self.issued += 1
            token, more = f"token-{self.issued}", {}
            self.live.add(token)
            if form["grant_type"] == "refresh_token":
                self.refresh = f"refresh-{self.issued}"
                more = {"refresh_token": self.refresh}
        return said(200, {"access_token": token, "token_Type": "bearer", "expires_in": 3599, **more})

    def _put(self, contact: str, body: dict[str, Any]) -> Said:
        if contact not in self.held:
            return said(404, {"errors": ["Contact profile not found in organization"]})
        assert body["autoConfirm"] is True
        # an attribute that is not sent, or sent as null, is deleted
        self.held[contact] = {row["attribute"]: row["value"] for row in body["contactAttributes"] if row["value"]}
        return said(200, {})


# --- what the vendor sends


def conversation(
    contact: str = ADA,
    crm: Mapping[str, str | None] = CRM,
    *,
    at: datetime = NOW - timedelta(hours=1),
    kind: str = "CONVERSATION_RESOLVED",
    medium: str = "whatsapp",
    named: tuple[str, str] = ("Front desk visitor", PHONE),
    attributes: list[dict[str, Any]] | None = None,
    **more: Any,
) -> dict[str, Any]:
    rows = [{"attribute": name, "value": value, "source": "CRM_CONFIRMED"} for name, value in crm.items()]
    status = "resolved" if kind == "CONVERSATION_RESOLVED" else "pending"
    data: dict[str, Any] = {
        "conversation": {"id": "0ad42eef", "createdAt": "2026-11-01T09:42:27.004817183Z", "currentStatus": status},
        "medium": {"id": medium},
        "channel": {"id": "0-0253", "name": "Main page"},
        "agent": {"id": "11599", "email": "staff@example.org"},
        "contactProfile": {"id": contact, "primaryIdentifier": named[0], "secondaryIdentifier": named[1]},
        "messages": [{"id": "m1", "direction": "INBOUND", "text": "My secret illness"}],
        "contactAttributes": rows + (attributes or []),
        "notes": [],
        "topics": [],
    }
    key = hashlib.md5(f"{contact}{at}".encode(), usedforsecurity=False).hexdigest()
    return {"timestamp": at.isoformat(), "version": 1, "type": kind, "idempotencyKey": key, "data": data | more}


def deliver(connector: object, event: object, *, secret: str = HEX) -> tuple[Conversation, ...]:
    body = event if isinstance(event, bytes) else json.dumps(event).encode()
    signature = hmac.new(bytes.fromhex(secret), body, hashlib.sha256).hexdigest()
    assert isinstance(connector, Hootsuite)
    return connector.receive({"x-hootsuite-signature": signature}, body)


def import_error(at: datetime) -> dict[str, Any]:
    return {"timestamp": at.isoformat(), "version": 2, "eventType": "DATA_IMPORT_ERROR", "messages": [f"email {NEW}"]}


# --- the contract


class TestRectification(HttpContract):
    """The one right that makes calls."""

    connector = Hootsuite
    rights = (Right.RECTIFICATION,)
    section: ClassVar[Mapping[str, object]] = {
        "client_id": "client",
        "client_secret": SECRET,
        "organization_id": "900002",
        "webhook_secret": HEX,
    }
    given = ("Bearer token-",)
    done = Accepted
    nothing = HandOver
    found = CannotTell
    shown_later = (Right.RECTIFICATION, Right.ERASURE)
    text_field = "id"
    proves_absence = False
    asks_back = False
    # an empty object is what the vendor documents as the answer to a change
    unreadable = tuple(body for body in HttpContract.unreadable if body != b"{}")

    def vendor(self, right: Right, *, held: bool) -> StandIn:
        return StandIn({ADA: {**CRM, "email": self.address}} if held else {}, shows=held)

    def refusal(self, status: int) -> Said:
        return error(status, 9999)

    def error(self, status: int, code: int | str) -> Said:
        return error(status, int(code)) if str(code).isdigit() else oauth(status, str(code))

    def writing(self, request: requests.PreparedRequest) -> bool:
        return request.method == "PUT"

    @contextmanager
    def before(self, vendor: Any, **more: Any) -> Iterator[HttpStage]:
        with super().before(vendor, **more) as stage:
            if vendor.shows:
                for contact, crm in vendor.held.items():
                    deliver(stage.connector, conversation(contact, crm))
            yield stage


class Only(TestRectification):
    """The same stage for the tests of this vendor alone; not collected by its name."""


class TestByHand(Promises):
    """The rights that a person carries out."""

    connector = Hootsuite
    rights = (Right.ERASURE, Right.RESTRICTION, Right.OPT_OUT)
    done = HandOver
    nothing = HandOver
    found = CannotTell
    shown_later = (Right.ERASURE,)

    def stage(self, right: Right, *, held: bool = True) -> AbstractContextManager[Stage]:
        there: Only = type("There", (Only,), {"address": self.address})()
        return there.stage(right, held=held)


def on_stage(stand_in: StandIn | None = None, **section: object) -> AbstractContextManager[HttpStage]:
    configured: type[Only] = type("Configured", (Only,), {"section": {**Only.section, **section}})
    return configured().before(stand_in or StandIn({ADA: dict(CRM)}))


def of_the_shelf(stage: Stage) -> dict[str, str]:
    shelf = stage.connector._kit.shelf  # type: ignore[attr-defined]  # because only here is a connector's shelf looked at
    assert isinstance(shelf, OpenShelf)
    return shelf.kept


def handed(outcome: Outcome, to: Recipient = Recipient.OPERATOR) -> HandOver:
    assert isinstance(outcome, HandOver)
    assert outcome.to is to
    return outcome


def right_it(stage: Stage, **more: Any) -> Outcome:
    return stage.tell(instruction(Right.RECTIFICATION, **more))


def read_it(stage: Stage, **more: Any) -> Finding:
    return stage.read_back(instruction(Right.RECTIFICATION, **more))


# --- the token


def test_a_token_is_asked_for_once_and_outlives_a_restart() -> None:
    stand_in = StandIn({ADA: dict(CRM)})
    with on_stage(stand_in) as stage:
        right_it(stage)
        right_it(stage)
        again = Hootsuite.from_settings(stage.connector._settings, stage.connector._kit)  # type: ignore[attr-defined]  # because a restart has the same settings and shelf
        again.probe()
    assert stand_in.forms == [{"grant_type": "organization_app", "organization_id": "900002"}]


def test_a_token_that_has_come_to_its_end_is_not_tried() -> None:
    stand_in = StandIn({ADA: dict(CRM)})
    with on_stage(stand_in) as stage:
        right_it(stage)
        stage.clock.seconds += 3599
        right_it(stage)
        assert [request.method for request in stage.sent] == ["POST", "PUT", "POST", "PUT"]


@pytest.mark.parametrize("dead", [error(401, 1000), error(401, 1001), error(401, 1036), BODILESS])
def test_a_dead_token_is_fetched_anew_once_and_the_call_made_again(dead: Said) -> None:
    @dataclass
    class Forgets(StandIn):
        def answer(self, request: requests.PreparedRequest) -> Said:
            return dead if request.headers["Authorization"] == "Bearer token-1" else super().answer(request)

    stand_in = Forgets({ADA: dict(CRM)})
    with on_stage(stand_in) as stage:
        assert isinstance(right_it(stage), Accepted)
        assert [request.method for request in stage.sent] == ["POST", "PUT", "POST", "PUT"]
    assert stand_in.held[ADA]["email"] == NEW


def test_a_token_that_is_dead_twice_is_our_credential() -> None:
    with on_stage(StandIn({ADA: dict(CRM)}, instead=error(401, 1001), where="/inbox/")) as stage:
        with pytest.raises(CredentialsRejected) as caught:
            right_it(stage)
        assert stage.writes() == 2
    assert caught.value.request_id == "f7d32670-4e6a"
    assert_clean(str(caught.value))


@pytest.mark.parametrize(
    ("answer", "advice"),
    [
        (error(401, 4003), calls.NO_RIGHT),  # recorded in 2017: a missing permission, not a dead token
        (error(403, 4002), calls.NO_RIGHT),
        (oauth(401, "request_forbidden"), calls.REVOKED),
    ],
)
def test_a_401_for_another_cause_fetches_no_token_and_says_what_to_do(answer: Said, advice: str) -> None:
    stand_in = StandIn({ADA: dict(CRM)}, instead=answer, where="/inbox/")
    with on_stage(stand_in) as stage, pytest.raises(CredentialsRejected) as caught:
        right_it(stage)
    assert len(stand_in.forms) == 1
    assert advice in str(caught.value)


def test_an_app_that_is_not_linked_is_told_so_at_the_token_call() -> None:
    for answer, advice in ((oauth(401, "request_forbidden"), calls.REVOKED), (oauth(400, "invalid_client"), "400")):
        with (
            on_stage(StandIn({}, instead=answer, where="token")) as stage,
            pytest.raises(CredentialsRejected, match=advice),
        ):
            stage.connector.probe()


def test_another_organisations_contact_is_a_no_about_that_contact() -> None:
    with on_stage(StandIn({ADA: dict(CRM)}, instead=error(403, 1202), where="/inbox/")) as stage:
        outcome = right_it(stage)
    assert isinstance(outcome, Refused)
    assert outcome.reason == calls.NOT_OURS


@pytest.mark.parametrize("section", [{}, {"refresh_token": "refresh-0"}], ids=["app", "member"])
def test_eight_threads_with_no_token_ask_for_one(section: dict[str, object]) -> None:
    stand_in = StandIn({ADA: dict(CRM)})
    with on_stage(stand_in, **section) as stage, ThreadPoolExecutor(8) as pool:
        assert all(isinstance(one, Accepted) for one in pool.map(lambda _: right_it(stage), range(8)))
    assert len(stand_in.forms) == 1


# --- the refresh token, which is good once


def test_a_refresh_token_is_spent_once_and_its_successor_outlives_a_restart() -> None:
    stand_in = StandIn({})
    with on_stage(stand_in, refresh_token="refresh-0") as stage:
        stage.connector.probe()
        stage.clock.seconds += 3600
        again = Hootsuite.from_settings(stage.connector._settings, stage.connector._kit)  # type: ignore[attr-defined]  # because a restart has the same settings and shelf
        again.probe()
        stage.connector.probe()
    assert [form["refresh_token"] for form in stand_in.forms] == ["refresh-0", "refresh-1"]
    assert {form["grant_type"] for form in stand_in.forms} == {"refresh_token"}


@pytest.mark.parametrize(
    "lost",
    [requests.ReadTimeout(), Said(500, {}, b""), said(200, {}), said(200, {"access_token": "a", "expires_in": 9})],
    ids=["cut", "fault", "empty", "no successor"],
)
def test_a_refresh_whose_answer_was_lost_is_never_repeated(lost: Said | Exception) -> None:
    stand_in = StandIn({}, instead=lost, where="token")
    with on_stage(stand_in, refresh_token="refresh-0") as stage:
        with pytest.raises(CredentialsRejected, match="authorise the app anew"):
            stage.connector.probe()
        stand_in.instead = None
        stage.clock.seconds += 3600
        for _ in range(2):
            with pytest.raises(CredentialsRejected, match="authorise the app anew"):
                stage.connector.probe()
        assert stage.calls() == 1


@pytest.mark.parametrize("unsent", [requests.ConnectionError(), error(429, 1003)])
def test_a_refresh_that_never_reached_the_vendor_is_made_later(unsent: Said | Exception) -> None:
    stand_in = StandIn({}, instead=unsent, where="token")
    with on_stage(stand_in, refresh_token="refresh-0") as stage:
        with pytest.raises(ProcessorUnreachable):
            stage.connector.probe()
        stand_in.instead = None
        assert stage.connector.probe().title == "Example Trust (900002)"


def test_a_refresh_that_the_vendor_refuses_needs_a_person() -> None:
    with (
        on_stage(StandIn({}), refresh_token="spent-elsewhere") as stage,
        pytest.raises(CredentialsRejected, match="authorise the app anew") as caught,
    ):
        stage.connector.probe()
    assert caught.value.status == 400


def test_a_token_that_is_configured_anew_wins_over_a_lost_one() -> None:
    stand_in = StandIn({}, instead=requests.ReadTimeout(), where="token")
    with on_stage(stand_in, refresh_token="refresh-0") as stage:
        with pytest.raises(CredentialsRejected):
            stage.connector.probe()
        stand_in.instead, stand_in.refresh = None, "refresh-anew"
        settings = HootsuiteSettings.model_validate({**Only.section, "refresh_token": "refresh-anew"})
        Hootsuite.from_settings(settings, stage.connector._kit).probe()  # type: ignore[attr-defined]  # because a restart has the same shelf


def test_who_waits_for_anothers_refresh_keeps_the_account_waiting_and_nobody_else() -> None:
    with on_stage(refresh_token="refresh-0") as stage:
        stage.shelf.put(f"token/{pseudonym('refresh-0')}", json.dumps({"begun": NOW.isoformat()}))
        outcome = right_it(stage)
        assert isinstance(outcome, Retryable)
        assert (outcome.busy, outcome.doubtful, outcome.retry_after) == (True, False, timedelta(seconds=5))
        assert stage.calls() == 0


def test_a_refresh_that_begins_too_late_leaves_the_token_as_it_was() -> None:
    with on_stage(refresh_token="refresh-0") as stage:
        late = instruction(Right.RECTIFICATION, deadline=stage.clock.monotonic())
        deliver(stage.connector, conversation())
        assert isinstance(stage.tell(late), Retryable)
        assert stage.calls() == 0
        outcome = right_it(stage)
    assert not isinstance(outcome, Retryable), "the mark of a renewal that was never sent would lock us out"


# --- limits and errors


def test_a_429_without_a_wish_waits_a_second_or_for_the_next_day() -> None:
    left = {"X_Account_Quota": "100000", "X_Account_Quota_Used": "42"}
    spent = {"X_Account_Quota": "100000", "X_Account_Quota_Used": "100000"}
    for headers, wait in (({}, timedelta(seconds=1)), (left, timedelta(seconds=1)), (spent, timedelta(hours=15))):
        with on_stage(StandIn({ADA: dict(CRM)}, instead=error(429, 1003, **headers), where="/inbox/")) as stage:
            outcome = right_it(stage)
        assert isinstance(outcome, Retryable)
        assert (outcome.busy, outcome.retry_after) == (True, wait)


def test_a_limit_is_a_limit_under_whichever_status() -> None:
    with on_stage(StandIn({ADA: dict(CRM)}, instead=error(403, 1004), where="/inbox/")) as stage:
        outcome = right_it(stage)
    assert isinstance(outcome, Retryable)
    assert outcome.busy


def test_a_200_with_errors_beside_it_is_not_clean() -> None:
    for beside in ([{"code": 1100, "id": "e-1"}], ["not saved"]):
        with on_stage(
            StandIn({ADA: dict(CRM)}, instead=said(200, {"data": {}, "errors": beside}), where="/inb")
        ) as stage:
            outcome = right_it(stage)
        assert isinstance(outcome, Refused)
        assert outcome.reason == calls.PARTLY
    assert outcome.evidence[-1].request_id == ""
    unclean = StandIn({}, instead=said(200, {"data": [], "errors": [{"code": 1}]}), where="/v1/")
    with on_stage(unclean) as stage, pytest.raises(ProcessorUnreachable):
        stage.connector.probe()


def test_the_vendors_id_of_an_error_is_kept() -> None:
    with on_stage(StandIn({ADA: dict(CRM)}, instead=error(400, 1100), where="/inbox/")) as stage:
        outcome = right_it(stage)
    assert isinstance(outcome, Refused)
    assert (outcome.reason, outcome.evidence[-1].request_id) == (calls.MALFORMED, "f7d32670-4e6a")


def test_probing_names_the_organisation_and_its_channels_also_those_without_a_name() -> None:
    with on_stage() as stage:
        account = stage.connector.probe()
    assert account.title == "Example Trust (900002)"
    assert account.contacts is None
    assert account.lists == ("Front desk (115185509)", "TWITTER (2)")


def test_a_token_of_another_organisation_is_found_when_probing() -> None:
    with on_stage(organization_id="900003") as stage, pytest.raises(ProcessorUnreachable, match=hootsuite.NOT_IN_IT):
        stage.connector.probe()


# --- rectification


def test_the_whole_set_is_written_so_that_nothing_is_lost() -> None:
    stand_in = StandIn({ADA: dict(CRM)})
    with on_stage(stand_in) as stage:
        assert isinstance(right_it(stage), Accepted)
    assert stand_in.held[ADA] == {"email": NEW, "first_name": "Augusta", "last_name": "Kingcanary", "id": "4711"}


@pytest.mark.parametrize(
    "event",
    [
        conversation(medium="twit"),  # of X the attributes are left out
        conversation(contactAttributes=None),
        conversation(attributes=[{"attribute": "email", "value": "b@example.org", "source": "CRM_CONFIRMED"}]),
        conversation(attributes=[{"attribute": "score", "value": 3, "source": "CRM_CONFIRMED"}]),
        conversation(attributes=[{"attribute": "score", "value": "3", "source": "SOMEBODY"}]),
    ],
    ids=["x", "none shown", "twice", "no text", "unknown source"],
)
def test_without_the_whole_set_nothing_is_written(event: dict[str, Any]) -> None:
    with on_stage(StandIn({ADA: dict(CRM)}, shows=False)) as stage:
        deliver(stage.connector, event)
        outcome = handed(right_it(stage, phone=PHONE))
        assert stage.calls() == 0
    assert outcome.references == (ADA,)
    assert "do not know all CRM-managed attributes" in outcome.task


def test_a_contact_that_was_only_named_to_us_is_left_to_the_operator() -> None:
    with on_stage(StandIn({ADA: dict(CRM)}, shows=False)) as stage:
        outcome = handed(right_it(stage, references={"hootsuite": (ADA, "../etc")}))
        assert stage.calls() == 0
    assert outcome.references == (ADA,)
    assert "No conversation has come in by write-back yet" in outcome.task


def test_who_was_not_seen_is_searched_for_and_never_called_not_held() -> None:
    with on_stage() as stage:
        outcome = handed(right_it(stage, addresses=("stranger@example.org",), changes=Changes(first_name="Eve")))
        assert stage.calls() == 0
    assert "search every channel" in outcome.task
    assert "since 2026-11-20 only" in outcome.task


def test_a_second_change_before_the_next_conversation_keeps_the_first() -> None:
    stand_in = StandIn({ADA: dict(CRM)})
    with on_stage(stand_in) as stage:
        right_it(stage)
        more = {"reference": "ref-2", "changes": Changes(first_name="Ada"), "addresses": (NEW, OLD)}
        assert isinstance(right_it(stage, **more), Accepted)
        # delivered late, and older than what we wrote: its values are old too
        deliver(stage.connector, conversation(at=NOW - timedelta(minutes=1)))
        assert isinstance(
            right_it(stage, reference="ref-3", changes=Changes(last_name="King"), addresses=(NEW, OLD)), Accepted
        )
    assert stand_in.held[ADA] == {"email": NEW, "first_name": "Ada", "last_name": "King", "id": "4711"}


def test_an_empty_value_deletes_the_attribute_and_an_attribute_that_was_not_there_is_not_added() -> None:
    stand_in = StandIn({ADA: {"email": OLD, "city": "Kent"}})
    changes = Changes(first_name="Augusta", fields={"city": ""})
    with on_stage(stand_in) as stage:
        assert isinstance(right_it(stage, changes=changes), Accepted)
        assert {"attribute": "city", "value": None} in json.loads(stage.sent[-1].body or b"")["contactAttributes"]
        assert stand_in.held[ADA] == {"email": OLD}
        deliver(stage.connector, conversation(ADA, stand_in.held[ADA], at=NOW + timedelta(hours=1)))
        assert isinstance(read_it(stage, changes=changes), AsAsked)


@pytest.mark.parametrize("value", ["Kent", {"city": "Kent"}])
def test_what_is_no_attribute_there_is_left_to_a_person_and_the_rest_is_written(value: FieldValue) -> None:
    stand_in = StandIn({ADA: {"email": OLD, "first_name": "Ada"}})
    with on_stage(stand_in) as stage:
        handed(right_it(stage, changes=Changes(first_name="Augusta", fields={"home": value})))
    assert stand_in.held[ADA] == {"email": OLD, "first_name": "Augusta"}


def test_where_no_attribute_is_to_change_nothing_is_written_and_a_person_looks() -> None:
    with on_stage(StandIn({ADA: {"email": OLD}})) as stage:
        handed(right_it(stage, changes=Changes(first_name="Augusta")))
        assert stage.calls() == 0


def test_attributes_have_the_names_that_the_settings_give_them() -> None:
    stand_in = StandIn({ADA: {"mail": OLD, "vorname": "Ada"}})
    with on_stage(stand_in, attributes={"email": "mail", "first_name": "vorname"}) as stage:
        assert isinstance(right_it(stage), Accepted)
    assert stand_in.held[ADA] == {"mail": NEW, "vorname": "Augusta"}


@pytest.mark.parametrize(
    "event",
    [
        conversation(attributes=[{"attribute": "first_name", "value": "Adda", "source": "AGENT"}]),
        conversation(attributes=[{"attribute": "private_mail", "value": OLD, "source": "AGENT"}]),
        conversation(attributes=[{"attribute": "fb-profile-name", "value": "Ada Canary", "source": "MEDIUM"}]),
        conversation(named=("Ada Canary", PHONE)),
        conversation(named=("visitor", OLD.lower())),
    ],
    ids=["typed over", "typed elsewhere", "shown by the network", "name", "address"],
)
def test_what_the_crm_does_not_manage_is_left_to_the_operator_and_the_rest_is_written(event: dict[str, Any]) -> None:
    stand_in = StandIn({ADA: dict(CRM)}, shows=False)
    with on_stage(stand_in) as stage:
        deliver(stage.connector, event)
        outcome = handed(right_it(stage))
    assert outcome.references == (ADA,)
    assert outcome.evidence[-1].status == 200
    assert stand_in.held[ADA]["email"] == NEW


def test_an_address_that_only_staff_typed_never_decides_whose_data_are_overwritten() -> None:
    stand_in = StandIn({BOB: {"first_name": "Bob"}}, shows=False)
    slip = [{"attribute": "other_mail", "value": OLD, "source": "AGENT"}]
    with on_stage(stand_in) as stage:
        deliver(stage.connector, conversation(BOB, stand_in.held[BOB], attributes=slip))
        assert "First look" in handed(right_it(stage)).task
        # the slip is put right; the index still remembers it
        deliver(stage.connector, conversation(BOB, stand_in.held[BOB], at=NOW))
        assert "First look" in handed(right_it(stage)).task
        assert stage.calls() == 0


def test_a_contact_whose_address_is_neither_old_nor_new_is_looked_at_first() -> None:
    for changes in (Changes(email=NEW), Changes(first_name="Augusta")):  # a telephone may be shared
        with on_stage(StandIn({ADA: {"email": "somebody@example.org", "first_name": "Bob"}})) as stage:
            assert "First look" in handed(right_it(stage, phone=PHONE, changes=changes)).task
            assert stage.calls() == 0


def test_a_profile_that_is_gone_is_not_nothing_held() -> None:
    stand_in = StandIn({ADA: dict(CRM)})
    with on_stage(stand_in) as stage:
        stand_in.held.clear()
        outcome = handed(right_it(stage))
        assert outcome.references == (ADA,)
        assert "does not find" in outcome.task
        assert isinstance(read_it(stage), CannotTell)


def test_a_change_without_an_answer_is_told_again_and_one_after_it_leaves_the_first_in_doubt() -> None:
    stand_in = StandIn({ADA: dict(CRM), BOB: dict(CRM)}, instead=requests.ReadTimeout(), where=BOB)
    with on_stage(stand_in) as stage:
        outcome = right_it(stage)
        assert isinstance(outcome, Retryable)
        assert outcome.doubtful
        finding = read_it(stage)
        assert isinstance(finding, CannotTell)
        assert not finding.later
        stand_in.instead = None
        assert isinstance(right_it(stage), Accepted)
    stand_in = StandIn({ADA: dict(CRM), BOB: dict(CRM)}, instead=error(429, 1003), where=BOB)
    with on_stage(stand_in) as stage:
        outcome = right_it(stage)
        assert isinstance(outcome, Retryable)
        assert outcome.doubtful


# --- what became of it


@pytest.mark.parametrize("minutes", [0, 5, 15])
def test_an_import_error_in_the_watch_window_is_held_against_every_change_of_it(minutes: int) -> None:
    with on_stage(StandIn({ADA: dict(CRM), BOB: {"email": "bob@example.org"}})) as stage:
        bob = {"reference": "ref-2", "addresses": ("bob@example.org",), "changes": Changes(email="rob@example.org")}
        right_it(stage)
        right_it(stage, **bob)
        stage.clock.seconds += 60 * minutes
        assert deliver(stage.connector, import_error(NOW + timedelta(minutes=minutes))) == ()
        for more in ({}, bob):
            finding = read_it(stage, **more)
            assert isinstance(finding, Contradicts)
            assert (finding.final, finding.reason) == (True, hootsuite.IMPORT_FAILED)
        # and what stands there now nobody knows, until a conversation shows it
        assert "do not know all CRM-managed attributes" in handed(right_it(stage, **{**bob, "reference": "ref-3"})).task
        deliver(stage.connector, conversation(BOB, {"email": "bob@example.org"}, at=NOW + timedelta(hours=1)))
        assert isinstance(right_it(stage, **{**bob, "reference": "ref-3"}), Accepted)


def test_an_import_error_without_a_time_of_its_own_counts_from_its_arrival() -> None:
    for when in ("soon", None, 7):
        with on_stage() as stage:
            right_it(stage)
            deliver(stage.connector, {**import_error(NOW), "timestamp": when})
            assert isinstance(read_it(stage), Contradicts)


def test_an_import_error_outside_the_window_says_nothing() -> None:
    with on_stage() as stage:
        deliver(stage.connector, import_error(NOW - timedelta(minutes=30)))
        stage.clock.seconds += 600
        right_it(stage)
        stage.clock.seconds += 960
        deliver(stage.connector, import_error(stage.clock.now()))
        finding = read_it(stage)
        assert isinstance(finding, CannotTell)
        assert finding.later
        kept = {key: text for key, text in of_the_shelf(stage).items() if key.startswith("import_error/")}
        assert set(kept.values()) == {""}
        assert f"import_error/{NOW - timedelta(minutes=30):%Y-%m-%dT%H:%M}" in kept


def test_a_later_conversation_that_shows_the_new_values_weighs_more_than_an_error() -> None:
    stand_in = StandIn({ADA: dict(CRM)})
    with on_stage(stand_in) as stage:
        right_it(stage)
        deliver(stage.connector, import_error(NOW))
        seen = conversation(ADA, stand_in.held[ADA], at=NOW + timedelta(hours=1))
        deliver(stage.connector, seen)
        finding = read_it(stage)
        assert isinstance(finding, AsAsked)
        assert finding.evidence[0].request_id == seen["idempotencyKey"]


def test_the_new_value_typed_by_staff_is_not_the_crms() -> None:
    typed = [{"attribute": "email", "value": NEW, "source": "AGENT"}]
    with on_stage() as stage:
        right_it(stage, changes=Changes(email=NEW))
        deliver(stage.connector, conversation(ADA, {}, at=NOW + timedelta(hours=1), attributes=typed))
        assert not isinstance(read_it(stage, changes=Changes(email=NEW)), AsAsked)


def test_a_later_conversation_that_shows_the_old_value_contradicts_and_for_good_after_the_window() -> None:
    with on_stage() as stage:
        right_it(stage)
        for minutes, final in ((3, False), (16, True)):
            deliver(stage.connector, conversation(at=NOW + timedelta(minutes=minutes)))
            finding = read_it(stage)
            assert isinstance(finding, Contradicts)
            assert (finding.final, finding.reason) == (final, hootsuite.STILL_OTHER)


def test_a_conversation_of_the_same_minute_proves_nothing_for_the_clocks_may_differ() -> None:
    stand_in = StandIn({ADA: dict(CRM)})
    with on_stage(stand_in) as stage:
        right_it(stage)
        for seconds, values in ((30, CRM), (60, stand_in.held[ADA])):
            deliver(stage.connector, conversation(ADA, values, at=NOW + timedelta(seconds=seconds)))
            assert isinstance(read_it(stage), CannotTell)
        more = {"reference": "ref-2", "changes": Changes(first_name="Ada"), "addresses": (NEW, OLD)}
        assert isinstance(right_it(stage, **more), Accepted)
    assert stand_in.held[ADA]["email"] == NEW


def test_attributes_that_were_cleared_since_prove_nothing() -> None:
    with on_stage() as stage:
        right_it(stage)
        deliver(stage.connector, conversation(ADA, {}, at=NOW + timedelta(hours=1)))
        assert isinstance(read_it(stage), CannotTell)


def test_what_we_wrote_later_ourselves_is_no_proof_of_an_earlier_change() -> None:
    stand_in = StandIn({ADA: dict(CRM)})
    with on_stage(stand_in) as stage:
        right_it(stage)
        deliver(stage.connector, conversation(ADA, stand_in.held[ADA], at=NOW + timedelta(hours=1)))
        stage.clock.seconds += 7200
        third = Changes(email="third@example.org")
        right_it(stage, reference="ref-2", changes=third, addresses=(NEW, OLD))
        assert isinstance(read_it(stage), CannotTell)


def test_one_contact_that_was_seen_does_not_prove_the_other() -> None:
    stand_in = StandIn({ADA: dict(CRM), BOB: dict(CRM)})
    with on_stage(stand_in) as stage:
        right_it(stage)
        deliver(stage.connector, conversation(ADA, stand_in.held[ADA], at=NOW + timedelta(hours=1)))
        assert isinstance(read_it(stage), CannotTell)
        deliver(stage.connector, conversation(BOB, stand_in.held[BOB], at=NOW + timedelta(hours=1)))
        assert isinstance(read_it(stage), AsAsked)


# --- erasure


def test_an_erasure_names_the_contacts_and_a_hint_without_a_person_in_it() -> None:
    with on_stage() as stage:
        outcome = handed(stage.tell(instruction(Right.ERASURE)))
        assert stage.calls() == 0
    assert outcome.references == (ADA,)
    assert "enter ref-1 and nothing else" in outcome.task
    assert "Make sure that it is this person" in outcome.task
    assert "since 2026-11-20 only" in outcome.task


def test_whom_write_back_never_showed_an_admin_must_search_for() -> None:
    with on_stage() as stage:
        outcome = handed(stage.tell(instruction(Right.ERASURE, addresses=("stranger@example.org",))))
    assert outcome.references == ()
    assert "access to all channels" in outcome.task
    assert "only after that search" in outcome.task


def test_a_telephone_number_finds_the_contact_in_any_international_spelling() -> None:
    for spelling in ("+44 7700 900123", "0044 7700-900-123", PHONE):
        with on_stage() as stage:
            outcome = handed(stage.tell(instruction(Right.ERASURE, addresses=(), phone=spelling)))
        assert outcome.references == (ADA,)


def test_nobody_is_found_by_name() -> None:
    with on_stage(StandIn({ADA: dict(CRM)}, shows=False)) as stage:
        deliver(stage.connector, conversation(named=("Ada Canary", "@ada")))
        outcome = handed(stage.tell(instruction(Right.ERASURE, addresses=())))
    assert outcome.references == ()


def test_a_contact_that_only_staff_connected_with_the_person_is_looked_at_before_it_is_deleted() -> None:
    slip = [{"attribute": "other_mail", "value": OLD, "source": "AGENT"}]
    bob = {"email": "bob@example.org"}
    with on_stage(StandIn({ADA: dict(CRM)})) as stage:
        deliver(stage.connector, conversation(BOB, bob, named=("Bob", "@bob"), attributes=slip))
        outcome = handed(stage.tell(instruction(Right.ERASURE)))
        assert outcome.references == (ADA, f"{BOB} (look first)")
        # it was somebody else's, so it stays, and that contradicts nothing
        stage.read_back(instruction(Right.ERASURE))
        deliver(stage.connector, conversation(BOB, bob, at=NOW + timedelta(days=1), attributes=slip))
        assert isinstance(stage.read_back(instruction(Right.ERASURE)), CannotTell)


def test_after_an_erasure_no_value_of_the_person_is_kept_here_nor_comes_back() -> None:
    with on_stage() as stage:
        assert OLD in json.dumps(of_the_shelf(stage))
        stage.tell(instruction(Right.ERASURE))
        assert_clean(json.dumps({key: text for key, text in of_the_shelf(stage).items() if "token" not in key}))
        deliver(stage.connector, conversation(at=NOW + timedelta(hours=1)))
        assert_clean(json.dumps({key: text for key, text in of_the_shelf(stage).items() if "token" not in key}))


def test_a_conversation_before_the_operators_answer_contradicts_nothing_and_one_after_it_does() -> None:
    asked = instruction(Right.ERASURE, phone=PHONE)
    for contact in (ADA, "a-new-one"):
        with on_stage() as stage:
            stage.tell(asked)
            deliver(stage.connector, conversation(at=NOW + timedelta(days=1)))
            stage.clock.seconds += 2 * 86_400
            finding = stage.read_back(asked)  # the first look, right after the answer
            assert isinstance(finding, CannotTell)
            assert finding.later
            stage.clock.seconds += 2 * 86_400
            deliver(stage.connector, conversation(contact, {}, at=NOW + timedelta(days=3)))
            finding = stage.read_back(asked)
            assert isinstance(finding, Contradicts)
            assert (finding.reason, finding.final) == (hootsuite.SEEN_AGAIN, False)
            assert finding.evidence
            stage.clock.seconds += 5400  # the look that follows a contradiction after an hour
            assert isinstance(stage.read_back(asked), Contradicts)
            stage.clock.seconds += 5 * 86_400  # and deleted anew since
            assert isinstance(stage.read_back(asked), CannotTell)
            deliver(stage.connector, conversation(contact, {}, at=NOW + timedelta(days=9, hours=1)))
            stage.clock.seconds += 86_400
            assert isinstance(stage.read_back(asked), Contradicts)


# --- restriction and opt-out


def test_the_block_list_is_written_before_anybody_is_told() -> None:
    @dataclass
    class Full(OpenShelf):
        def put_all(self, entries: Mapping[str, str]) -> None:
            raise OSError("no space")

    for right in (Right.RESTRICTION, Right.OPT_OUT):
        with on_stage() as stage:
            kit = stage.connector._kit  # type: ignore[attr-defined]  # because its shelf is exchanged for a full one
            full = Hootsuite.from_settings(stage.connector._settings, Kit(kit.http, kit.clock, pseudonym, Full()))  # type: ignore[attr-defined]  # because of the same
            with pytest.raises(OSError, match="no space"):
                full.carry_out(instruction(right))


def test_a_restriction_goes_to_the_processor_and_an_opt_out_to_our_own_staff() -> None:
    with on_stage() as stage:
        restricted = handed(stage.tell(instruction(Right.RESTRICTION)), Recipient.PROCESSOR)
        lifted = handed(stage.tell(instruction(Right.RESTRICTION, lifted=LIFTED)), Recipient.PROCESSOR)
        opted_out = handed(stage.tell(instruction(Right.OPT_OUT)))
        assert stage.calls() == 0
    assert restricted.references == opted_out.references == (ADA,)
    assert "not a consent" in lifted.task


def test_a_block_is_seen_on_our_own_list_and_proves_nothing_about_the_vendor() -> None:
    for right in (Right.RESTRICTION, Right.OPT_OUT):
        asked = instruction(right, phone=PHONE)
        with on_stage() as stage:
            assert isinstance(stage.read_back(asked), Contradicts)
            stage.tell(instruction(right))
            assert isinstance(stage.read_back(asked), Contradicts)
            stage.tell(asked)
            finding = stage.read_back(asked)
            assert isinstance(finding, CannotTell)
            assert not finding.later


def test_lifting_one_persons_restriction_frees_neither_an_opt_out_nor_who_shares_the_telephone() -> None:
    def asked(right: Right, subject: str, **more: Any) -> Any:
        return instruction(right, addresses=(), phone=PHONE, subject_id=subject, **more)

    with on_stage() as stage:
        for one in (asked(Right.RESTRICTION, "a"), asked(Right.RESTRICTION, "b"), asked(Right.OPT_OUT, "a")):
            stage.tell(one)
        stage.tell(asked(Right.RESTRICTION, "a", lifted=LIFTED))
        assert isinstance(stage.read_back(asked(Right.RESTRICTION, "b")), CannotTell)
        assert isinstance(stage.read_back(asked(Right.OPT_OUT, "a")), CannotTell)
        stage.tell(asked(Right.RESTRICTION, "b", lifted=LIFTED))
        assert isinstance(stage.read_back(asked(Right.RESTRICTION, "b")), Contradicts)
        assert isinstance(stage.read_back(asked(Right.OPT_OUT, "a")), CannotTell)


# --- what the vendor sends


def test_a_conversation_is_told_by_its_ids_and_nothing_that_was_written_is_kept() -> None:
    with on_stage(StandIn({}, shows=False)) as stage:
        (seen,) = deliver(stage.connector, conversation())
        kept = json.dumps(of_the_shelf(stage))
    assert seen == Conversation(
        id="0ad42eef",
        contact=ADA,
        medium="whatsapp",
        channel="0-0253",
        started_at=datetime(2026, 11, 1, 9, 42, 27, 4817, tzinfo=UTC),
        seen_at=NOW - timedelta(hours=1),
        open=False,
        people=tuple(sorted((pseudonym(OLD.lower()), pseudonym(PHONE)))),
    )
    for text in ("secret illness", "visitor", "staff@example.org", PHONE, "Main page"):
        assert text not in kept


def test_no_key_on_the_shelf_names_a_contact() -> None:
    with on_stage() as stage:
        for right in Right:
            stage.tell(instruction(right))
        assert {key.partition("/")[0] for key in of_the_shelf(stage)} >= {
            "profile",
            "person",
            "put",
            "erased",
            "blocked",
        }
        assert not [key for key in of_the_shelf(stage) if ADA in key]


def test_two_contacts_whose_ids_differ_only_in_capitals_are_two() -> None:
    with on_stage(StandIn({}, shows=False)) as stage:
        for contact in ("aBc", "Abc"):
            deliver(stage.connector, conversation(contact))
        assert handed(stage.tell(instruction(Right.ERASURE))).references == ("Abc", "aBc")


def test_the_signature_is_made_of_the_raw_body_with_the_secret_as_bytes() -> None:
    body = json.dumps(conversation(), indent=3).encode()
    as_text = hmac.new(HEX.encode(), body, hashlib.sha256).hexdigest()
    right = hmac.new(bytes.fromhex(HEX), body, hashlib.sha256).hexdigest()
    with on_stage(StandIn({}, shows=False)) as stage:
        connector = stage.connector
        assert isinstance(connector, Hootsuite)
        for given in (as_text, "", "é", right[:-1], hmac.new(bytes.fromhex(HEX), b"{}", hashlib.sha256).hexdigest()):
            with pytest.raises(SignatureInvalid):
                connector.receive({"x-hootsuite-signature": given}, body)
        with pytest.raises(SignatureInvalid):
            connector.receive({}, body)
        assert of_the_shelf(stage) == {}
        assert connector.receive({"x-hootsuite-signature": right.upper()}, body)


def test_without_a_secret_nothing_that_comes_in_is_believed() -> None:
    with on_stage(StandIn({}, shows=False), webhook_secret=None) as stage, pytest.raises(SignatureInvalid):
        deliver(stage.connector, conversation())


def test_the_same_delivery_again_changes_nothing_and_still_names_the_conversation() -> None:
    with on_stage(StandIn({}, shows=False)) as stage:
        first = deliver(stage.connector, conversation())
        kept = dict(of_the_shelf(stage))
        stage.clock.seconds += 63 * 3600
        assert deliver(stage.connector, conversation()) == first
        assert of_the_shelf(stage) == kept


def test_the_later_conversation_counts_in_whichever_order_they_come() -> None:
    events = [conversation(ADA, {"email": OLD, "shoe": str(n)}, at=NOW + timedelta(hours=n)) for n in range(3)]
    kept = []
    for order in ((0, 1, 2), (2, 1, 0), (1, 2, 0)):
        with on_stage(StandIn({}, shows=False)) as stage:
            for n in order:
                deliver(stage.connector, events[n])
            kept.append(of_the_shelf(stage)[f"profile/{pseudonym(ADA)}"])
    assert len(set(kept)) == 1
    assert json.loads(kept[0])["crm"]["shoe"] == "2"


def test_deliveries_at_once_lose_nothing(world: World) -> None:
    shelf = StoredShelf("inbox", world.engine, lambda: world.writer, world.keys, world.clock)
    settings = HootsuiteSettings.model_validate(Only.section)
    with HttpClient(Hands()) as http, ThreadPoolExecutor(8) as pool:
        connector = Hootsuite.from_settings(settings, Kit(http, Hands(), pseudonym, shelf))
        events = [conversation(ADA, {"shoe": str(n)}, at=NOW + timedelta(minutes=n)) for n in range(16)]
        assert len(list(pool.map(lambda event: deliver(connector, event), events))) == 16
        assert json.loads(shelf.get(f"profile/{pseudonym(ADA)}") or "")["crm"] == {"shoe": "15"}


def test_a_conversation_that_waits_is_open() -> None:
    with on_stage(StandIn({}, shows=False)) as stage:
        (seen,) = deliver(stage.connector, conversation(kind="CONVERSATION_SET_TO_PENDING"))
    assert seen.open


def test_of_x_a_conversation_is_told_without_anybody_in_it() -> None:
    bare = conversation(medium="twit", contactAttributes=[])
    bare["data"] = {key: part for key, part in bare["data"].items() if key not in ("contactProfile", "messages")}
    with on_stage(StandIn({}, shows=False)) as stage:
        (seen,) = deliver(stage.connector, bare)
        assert (seen.id, seen.contact, seen.medium, seen.people) == ("0ad42eef", "", "twit", ())
        assert set(of_the_shelf(stage)) == {"since"}


@pytest.mark.parametrize(
    "event",
    [{"my-customer-id": "123"}, {"type": "SOMETHING_NEW", "data": {}}, {"eventType": "OTHER"}, [], "text", 3, None],
)
def test_what_is_not_known_is_passed_over(event: object) -> None:
    with on_stage(StandIn({}, shows=False)) as stage:
        assert deliver(stage.connector, event) == ()
        assert of_the_shelf(stage) == {}


def _with(path: str, value: object) -> dict[str, Any]:
    event = conversation()
    at: Any = event
    *steps, last = path.split(".")
    for step in steps:
        at = at[step]
    at[last] = value
    return event


@pytest.mark.parametrize(
    "hostile",
    [
        b"",
        b"\xff\xfe{}",
        b"[" * 100_000,
        b'{"type": "CONVERSATION_RESOLVED", "type": "X", "data": {}}',
        b'{"type": "CONVERSATION_RESOLVED", "data": {"score": NaN}}',
        {"type": "CONVERSATION_RESOLVED", "data": {}},
        _with("data.conversation.id", "../../etc"),
        _with("data.conversation.id", 7),
        _with("data.contactProfile.id", "a/b"),
        _with("data.medium.id", "x" * 101),
        _with("data.conversation.createdAt", "yesterday"),
        _with("data.conversation.createdAt", "0001-01-01T00:00:00+14:00"),
        _with("data.conversation.createdAt", "1969-12-31T23:59:59Z"),
        _with("data.conversation.createdAt", "9999-01-01T00:00:00Z"),
        _with("timestamp", None),
        _with("timestamp", "2031-01-01T00:00:00Z"),
    ],
)
def test_a_hostile_body_is_refused_and_leaves_nothing_behind(hostile: object) -> None:
    with on_stage(StandIn({}, shows=False)) as stage:
        with pytest.raises(PayloadInvalid) as caught:
            deliver(stage.connector, hostile)
        assert of_the_shelf(stage) == {}
    assert_clean(str(caught.value))


def test_nothing_that_a_stranger_writes_keeps_a_conversation_out_of_sight() -> None:
    strange = "a\x00b \ud800 \U0001f600"
    event = conversation(named=(strange, f"{strange}@example.org"), messages=[{"text": strange, "score": 0.5}])
    with on_stage(StandIn({}, shows=False)) as stage:
        (seen,) = deliver(stage.connector, event)
    assert len(seen.people) == 2


def test_what_is_never_shown_is_said() -> None:
    for blind in ("X (Twitter)", "Inbox 1.0", "before write-back", "six times", "Deletions", "back-ups"):
        assert any(blind in sentence for sentence in Hootsuite.unseen)


# --- the export


def exported(*rows: Mapping[str, str]) -> list[Exported]:
    settings = HootsuiteSettings.model_validate(Only.section)
    with HttpClient(Hands()) as http:
        connector = Hootsuite.from_settings(settings, Kit(http, Hands(), pseudonym, OpenShelf()))
        return list(connector.read_export(rows))


ROW: Mapping[str, str] = {  # the columns of the help page "Create Inbox 2.0 data exports", March 2023
    "\ufeffConversation ID": "0ad42eef",
    "Medium": "fb",
    "Channel": "0-0253",
    "Channel Display Name": "Main page",
    "Contact Profile ID": ADA,
    "Contact Primary Identifier": "Ada Canary",
    "Contact Secondary Identifier": PHONE,
    "Created at": "2026-08-01T09:42:27Z",
}


def test_an_export_is_read_for_its_ids_and_the_oldest_moment() -> None:
    moment = datetime(2026, 8, 1, 9, 42, 27, tzinfo=UTC)
    assert exported(ROW) == [Exported("0ad42eef", ADA, moment)]
    assert exported({**ROW, "Created at": "2026-08-01 11:42:27+02:00"}) == [Exported("0ad42eef", ADA, moment)]
    assert exported({**ROW, "Created at": "2026-08-01 09:42:27"}) == [Exported("0ad42eef", ADA, moment)]
    assert exported({**ROW, "Contact Profile ID": ""})[0].contact == ""
    edges = ("1970-01-01T00:00:00+00:00", "9998-12-31T23:59:59+00:00")
    assert [exported({**ROW, "Created at": edge})[0].started_at.isoformat() for edge in edges] == [*edges]
    assert exported() == []


@pytest.mark.parametrize(
    "row",
    [
        {**ROW, "Created at": "01/08/2026"},
        {**ROW, "Created at": ""},
        {**ROW, "Created at": "0001-01-01"},
        {**ROW, "\ufeffConversation ID": ""},
        {**ROW, "Contact Profile ID": "Ada Canary"},
        {name: value for name, value in ROW.items() if name != "Contact Profile ID"},
    ],
)
def test_a_row_that_cannot_be_read_is_named_by_its_number_and_never_quoted(row: Mapping[str, str]) -> None:
    with pytest.raises(PayloadInvalid, match="row 2") as caught:
        exported(ROW, row)
    assert_clean(str(caught.value))


# --- settings


def test_a_webhook_secret_may_be_in_capitals() -> None:
    HootsuiteSettings.model_validate({**Only.section, "webhook_secret": "AB" * 16})


@pytest.mark.parametrize(
    "wrong",
    [
        {"client_id": None},
        {"client_id": "with:colon"},
        {"client_secret": "with space"},
        {"organization_id": "Example"},
        {"webhook_secret": "no hex at all"},
        {"webhook_secret": "abcd"},
        {"refresh_token": "a b"},
        {"attributes": {"shoe": "shoe"}},
        {"base_url": "http://example.org"},
        {"base_url": "https://a@example.org"},
        {"surprise": 1},
    ],
)
def test_wrong_settings_are_refused_without_repeating_them(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError) as caught:
        HootsuiteSettings.model_validate({**Only.section, **wrong})
    assert_clean(str(caught.value))
    assert "example.org" not in str(caught.value)


@pytest.mark.parametrize("base_url", ["https://platform.hootsuite.com.example.org", "http://127.0.0.1:9101/"])
def test_a_foreign_address_needs_a_rehearsal(base_url: str) -> None:
    section = {**Only.section, "base_url": base_url}
    assert built_in_a_rehearsal_only(Hootsuite, section, "Hootsuite").name == "hootsuite"


# --- the vendor's own files


def test_requests_answers_and_webhooks_are_as_the_vendors_files_have_them() -> None:
    inbox, rest = Specification("hootsuite-inbox-openapi.yaml"), Specification("hootsuite-rest-swagger.yaml")
    schemas = inbox.spec["components"]["schemas"]
    # their schema of one attribute contradicts their own example: each of its values would have to be an object
    attribute = {"type": "object", "required": ["attribute", "value"], "properties": {"attribute": {"type": "string"}}}
    schemas["CrmLookupAttributesResponse"]["properties"]["contactAttributes"]["items"] = attribute
    # null for X, as their description of it says and its type does not
    rest.spec["definitions"]["SocialProfile"]["properties"]["socialNetworkUsername"]["type"] = ["string", "null"]
    stand_in = StandIn({ADA: dict(CRM)})
    for section, book in (({}, inbox), ({"refresh_token": "refresh-0"}, rest)):
        with on_stage(stand_in, **section) as stage:
            stage.connector.probe()
            right_it(stage)
            right_it(stage, changes=Changes(fields={"id": ""}), addresses=(NEW,))
            assert {request.method for request in stage.sent} == {"GET", "POST", "PUT"}
            for request in stage.sent:
                file = (
                    book if "/oauth2/" in (request.url or "") else inbox if "/inbox/" in (request.url or "") else rest
                )
                file.assert_known(request)
                if "/oauth2/" not in (request.url or ""):
                    answer = stand_in.answer(request)
                    file.assert_answer(request, answer.status, json.loads(answer.body))
        for answer in (error(401, 1001), error(429, 1003)):
            rest.assert_fits(json.loads(answer.body), rest.spec["definitions"]["ErrorsResponseEnvelope"])
        inbox.assert_fits(json.loads(oauth(401, "invalid_grant").body), schemas["OAuthError"])
    inbox.assert_fits(conversation(), schemas["CrmWriteBackRequest"])
    inbox.assert_fits(import_error(NOW), schemas["CrmErrorNotificationsRequest"])
