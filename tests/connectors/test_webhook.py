"""A processor that speaks Standard Webhooks: the shared contract, and each rule of docs/processor-webhook.md."""

import base64
import hashlib
import json
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any, ClassVar

import pytest
import requests
from pydantic import ValidationError

from dpsync.address import normalised
from dpsync.connector import (
    Accepted,
    CannotTell,
    HandOver,
    Kit,
    NotesTo,
    NotIdentifiable,
    Recipient,
    Refused,
    Reported,
    ReportedOutcome,
    Retryable,
)
from dpsync.connectors.webhook import BY_LETTER_AFTER, LONGEST_REMARK, TASK, Webhook
from dpsync.connectors.webhook.calls import ERRORS, NOT_TAKEN, WebhookSettings
from dpsync.errors import ConfigurationError, CredentialsRejected, PayloadInvalid, SignatureInvalid, WebhookStale
from dpsync.http import BARRED, HttpClient
from dpsync.model import Changes, Lifted, Right
from dpsync.sandbox.main_database import running_main_database
from dpsync.sandbox.signing import signature, verifies
from dpsync.signature import PREFIX, PUBLISHED, checked_by, signed_headers
from dpsync.vendor.tellings import Dispatch, last
from tests.connectors.contract import (
    HTML,
    NEW,
    NOW,
    OLD,
    OTHER,
    THIRD,
    Hands,
    HttpContract,
    HttpStage,
    OpenShelf,
    Said,
    assert_clean,
    instruction,
    pseudonym,
)
from tests.connectors.held import Held

URL = "https://processor.example/hooks/dpsync"
ACK = "https://dpsync.example.org/in/forms/s3cr3t"


def whsec(word: str) -> str:
    return PREFIX + base64.b64encode(word.encode().ljust(32, b"0")).decode()


OURS, OURS_NEXT, THEIRS, THEIRS_NEXT = (whsec(f"b8d1f3c7-s3cr3t-us19-{name}") for name in ("o", "o2", "t", "t2"))
SECTION: Mapping[str, object] = {"url": URL, "secrets": [OURS], "answer_secrets": [THEIRS]}


def no(status: int, **headers: str) -> Said:
    return Said(status, {"Content-Type": "application/json", **headers}, b'{"error": "no"}')


@dataclass
class StandIn:
    """A system that carries a message out when it comes; `ids` of those it did, so that none is done twice."""

    people: list[Held] = field(default_factory=list)
    heard: list[dict[str, Any]] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    pings: int = 0

    def state(self) -> object:
        return sorted(map(repr, self.people))

    def holds(self) -> Iterator[Held]:
        return iter(list(self.people))

    def hold(self, records: Iterable[Held]) -> None:
        self.people = list(records)

    @staticmethod
    def body_of(request: requests.PreparedRequest) -> bytes:
        return request.body if isinstance(request.body, bytes) else b""

    def answer(self, request: requests.PreparedRequest) -> Said:
        assert (request.method, request.url) == ("POST", URL)
        headers, body = {name.lower(): value for name, value in request.headers.items()}, self.body_of(request)
        if not verifies([OURS], headers, body, float(headers["webhook-timestamp"])):
            return no(401)
        said = json.loads(body)
        if said["type"] == "dpsync.ping":
            self.pings += 1
            return Said(204, {}, b"")
        self.heard.append(said)
        self.ids.append(headers["webhook-id"])
        assert said["data"]["reference"] == headers["webhook-id"]
        if headers["webhook-id"] not in self.ids[:-1]:
            self.people = [one for was in self.people for one in self.made(was, said["data"])]
        return Said(202, {"Content-Type": "application/json"}, b"{}")

    def made(self, one: Held, data: Mapping[str, Any]) -> Iterator[Held]:
        if normalised(one.address) not in map(normalised, data["subject"].get("emails", ())):
            yield one
            return
        changes = data.get("changes", {})
        match data["right"]:
            case "erasure":
                return
            case "opt_out":
                yield replace(one, mailed=False)
            case "restriction":
                yield one if data["lifted"] else replace(one, mailed=False, used=False)
            case _:
                names = {name: changes[name] for name in ("first_name", "last_name") if name in changes}
                yield replace(one, address=changes.get("email", one.address), **names)


class Told(HttpContract):
    """The contract for a processor whose 2xx is that it was told; not collected by its name."""

    connector = Webhook
    section: ClassVar[Mapping[str, object]] = SECTION
    done = Accepted
    nothing = Accepted  # whether it holds anybody it says later
    found = CannotTell
    asks_back = False
    proves_absence = True
    unreadable: ClassVar[tuple[bytes, ...]] = (HTML, b'{"id": "6', b"[" * 10_000)

    def vendor(self, right: Right, *, held: bool) -> StandIn:
        del right
        return StandIn([Held("", self.address, "Ada", "Canary")] if held else [])

    def refusal(self, status: int) -> Said:
        return no(status)

    def writing(self, request: requests.PreparedRequest) -> bool:
        return b"dpsync.ping" not in (request.body or b"")

    def carries_a_credential(self, request: requests.PreparedRequest) -> bool:
        headers = {name.lower(): value for name, value in request.headers.items()}
        return verifies([OURS], headers, StandIn.body_of(request), float(headers["webhook-timestamp"]))


class TestWebhook(Told):
    pass


class Only(Told):
    """The same stage for the tests of this connector alone; not collected by its name."""


def on_stage(stand_in: StandIn | None = None, trouble: Said | None = None) -> AbstractContextManager[HttpStage]:
    return Only().before(stand_in or StandIn(), trouble=trouble)


def said(told: Any, **more: Any) -> dict[str, Any]:
    """The data of the one message about it."""
    stand_in = StandIn()
    with on_stage(stand_in) as stage:
        stage.tell(told)
    (message,) = stand_in.heard
    assert (message["type"], message["timestamp"]) == ("dpsync.request.created", "2026-11-20T09:00:00Z")
    return {name: value for name, value in message["data"].items() if name != "reference"}


def connector(kit: Kit | None = None, **section: Any) -> Webhook:
    lent = kit or Kit(HttpClient(Hands()), Hands(), pseudonym, OpenShelf())
    return Webhook.from_settings(WebhookSettings.model_validate({**SECTION, **section}), lent)


def refused(**section: Any) -> list[tuple[str, str]]:
    with pytest.raises(ConfigurationError) as caught:
        connector(**section)
    return [(fault.key, fault.problem) for fault in caught.value.faults]


# --- the message


def test_an_erasure_says_who_it_is_about_and_no_more() -> None:
    told = instruction(Right.ERASURE, addresses=(OLD, OTHER), phone="+441134960000")
    subject = {"emails": [OLD, OLD.lower(), OTHER], "id": "crm-4711", "phone": "+441134960000", "name": "Ada Canary"}
    assert said(told) == {"right": "erasure", "subject": subject}
    assert said(instruction(Right.OPT_OUT, addresses=(), name=None)) == {
        "right": "opt_out",
        "subject": {"id": "crm-4711"},
    }


def test_each_address_stands_there_once_in_every_spelling_and_the_new_one_under_changes_alone() -> None:
    data = said(instruction(Right.RECTIFICATION, addresses=("ada@bücher.example", "ada@xn--bcher-kva.example")))
    nfd = unicodedata.normalize("NFD", "ada@bücher.example")
    assert data["subject"]["emails"] == ["ada@bücher.example", nfd, "ada@xn--bcher-kva.example"]
    assert data["changes"] == {"email": NEW, "first_name": "Augusta", "last_name": "Kingcanary", "fields": {}}
    cleared = Changes(first_name="", fields={"CITY": "Kent"})
    assert said(instruction(Right.RECTIFICATION, changes=cleared))["changes"] == {
        "first_name": "",
        "fields": {"CITY": "Kent"},
    }
    assert "changes" not in said(instruction(Right.ERASURE, changes=cleared))
    assert said(instruction(Right.RECTIFICATION, changes=None)).keys() == {"right", "subject"}


@pytest.mark.parametrize("lifted", [None, Lifted(date(2026, 11, 19), "letter")])
def test_a_restriction_says_whether_it_is_lifted(lifted: Lifted | None) -> None:
    assert said(instruction(Right.RESTRICTION, lifted=lifted))["lifted"] is (lifted is not None)
    assert "lifted" not in said(instruction(Right.ERASURE))


def test_a_name_alone_says_not_who_it_is() -> None:
    with on_stage() as stage:
        outcome = stage.tell(instruction(Right.ERASURE, addresses=(), subject_id=None))
        assert isinstance(outcome, NotIdentifiable)
        assert (outcome.reason, stage.calls()) == ("nothing in the instruction says who the person is", 0)


def test_of_the_references_only_its_own_ids_are_sent() -> None:
    class Named(Only):
        section: ClassVar[Mapping[str, object]] = {**SECTION, "own_ids": "forms"}

    stand_in, told = StandIn(), {"references": {"forms": ("form-9",), "shop": ("order-1",)}}
    with Named().before(stand_in) as stage:
        stage.tell(instruction(Right.ERASURE, addresses=(), subject_id=None, name=None, **told))
    assert stand_in.heard[0]["data"]["subject"] == {"references": ["form-9"]}
    assert "references" not in said(instruction(Right.ERASURE, **told))["subject"]


def test_a_rehearsal_says_so() -> None:
    stand_in = StandIn()
    with on_stage(stand_in) as stage:
        kit = replace(stage.connector._kit, rehearsal=True)  # type: ignore[attr-defined]  # because the stage has no kit of its own
        connector(kit).carry_out(instruction(Right.ERASURE))
    assert stand_in.heard[0]["data"]["rehearsal"] is True
    assert "rehearsal" not in said(instruction(Right.ERASURE))


def test_it_says_by_when_and_where_the_outcome_is_expected_and_a_repetition_says_the_same() -> None:
    stand_in, told = StandIn(), instruction(Right.ERASURE, answer_within=timedelta(days=10))
    with on_stage(stand_in, trouble=no(503)) as stage:
        kit = replace(stage.connector._kit, inbound_url=ACK)  # type: ignore[attr-defined]  # because the stage has no kit of its own
        for _ in range(2):
            connector(kit).carry_out(told)
            stage.clock.seconds += 3 * 3600 * 24
        first, second = (json.loads(StandIn.body_of(one))["data"] for one in stage.sent)
    assert (first["due"], first["ack_url"]) == ("2026-11-30", ACK)
    assert first == second
    assert said(instruction(Right.ERASURE)).keys() == {"right", "subject"}


def test_it_goes_again_as_the_specification_proposes_for_about_three_days() -> None:
    seconds = [one.total_seconds() for one in Webhook.retry_steps]
    assert seconds == [5, 5 * 60, 30 * 60, *(hours * 3600 for hours in (2, 5, 10, 14, 20, 24))]
    assert sum(seconds[:-1]) < BY_LETTER_AFTER.total_seconds() < sum(seconds)


@dataclass
class Watched:
    """The client, and how long each call may take."""

    http: Any
    given: list[float] = field(default_factory=list)

    def call(self, *args: Any, longest: float = 60, **more: Any) -> Any:
        self.given.append(longest)
        return self.http.call(*args, longest=longest, **more)


def test_a_message_may_take_half_a_minute() -> None:
    with on_stage(StandIn()) as stage:
        kit = stage.connector._kit  # type: ignore[attr-defined]  # because the stage has no kit of its own
        watched = Watched(kit.http)
        connector(replace(kit, http=watched)).carry_out(instruction(Right.ERASURE))
    assert watched.given == [30]


# --- the same message, and another one


def test_what_was_not_taken_comes_again_as_the_same_bytes_under_the_same_id() -> None:
    stand_in = StandIn()
    with on_stage(stand_in, trouble=no(503)) as stage:
        told = instruction(Right.ERASURE, request="DPS-AAAA")
        for _ in range(2):
            assert isinstance(stage.tell(told), Retryable)
            stage.clock.seconds += 3600
        first, second = stage.sent
        assert first.body == second.body
        assert first.headers["webhook-id"] == second.headers["webhook-id"]
        assert first.headers["webhook-timestamp"] != second.headers["webhook-timestamp"]
        reference = str(first.headers["webhook-id"])
        assert reference.startswith("DPS-AAAA.1.")
        assert len(reference) == len("DPS-AAAA.1.") + 16
        assert f"told/{told.request}/{told.reference}" in stage.shelf.kept  # by which it is forgotten


def test_a_crash_between_the_yes_and_its_record_repeats_the_same_message() -> None:
    stand_in = StandIn([Held("", OLD)])
    with on_stage(stand_in) as stage:
        stage.tell(instruction(Right.ERASURE), record=False)
        stage.tell(instruction(Right.ERASURE))
        assert len(set(stand_in.ids)) == 1
        stage.tell(instruction(Right.ERASURE))
        assert [one.split(".")[1] for one in stand_in.ids] == ["1", "1", "2"]


def test_what_says_something_else_is_another_message() -> None:
    """Or the processor would take it for a repetition, and an address that came in late would never be asked for."""
    stand_in = StandIn()
    with on_stage(stand_in) as stage:
        told = instruction(Right.ERASURE)
        stage.tell(told, record=False)
        stage.tell(replace(told, addresses=(OLD, THIRD)), record=False)
        stage.tell(replace(told, request="DPS-BBBB"))
        stage.tell(replace(told, request="DPS-CCCC", digest_key=b"another"))
    marks = [one.rpartition(".")[2] for one in stand_in.ids]
    assert [one.rpartition(".")[0] for one in stand_in.ids] == [".1", ".2", "DPS-BBBB.1", "DPS-CCCC.1"]
    assert marks[2] == marks[0]
    assert len(set(marks)) == 3  # keyed, so that a mark tells nobody whether a guess at the person fits


def test_all_secrets_sign_during_a_change() -> None:
    class Both(Only):
        section: ClassVar[Mapping[str, object]] = {**SECTION, "secrets": [OURS_NEXT, OURS]}

    with Both().before(stand_in := StandIn()) as stage:
        assert isinstance(stage.tell(instruction(Right.ERASURE)), Accepted)
        (request,) = stage.sent
    assert len(stand_in.heard) == 1
    assert str(request.headers["webhook-signature"]).count("v1,") == 2
    headers = {name.lower(): str(value) for name, value in request.headers.items()}
    for secret, right in ((OURS, True), (OURS_NEXT, True), (THEIRS, False)):
        assert verifies([secret], headers, StandIn.body_of(request), NOW.timestamp()) is right


# --- keys instead of secrets

SEED = bytes(range(32))
WHSK = "whsk_" + base64.b64encode(SEED).decode()
WHPK = "whpk_A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="
THEIR_WHSK = "whsk_" + base64.b64encode(bytes(range(1, 33))).decode()
THEIR_WHPK = checked_by(THEIR_WHSK)


def test_with_a_private_key_what_is_sent_is_verified_by_its_public_one() -> None:
    class ByKey(Only):
        section: ClassVar[Mapping[str, object]] = {**SECTION, "secrets": [WHSK, OURS]}

    with ByKey().before(StandIn()) as stage:
        assert isinstance(stage.tell(instruction(Right.ERASURE)), Accepted)
        (request,) = stage.sent
    given = str(request.headers["webhook-signature"]).split(" ")
    assert [one.partition(",")[0] for one in given] == ["v1a", "v1"]
    headers = {name.lower(): str(value) for name, value in request.headers.items()}
    for key, right in ((WHPK, True), (OURS, True), (THEIR_WHPK, False), (THEIRS, False)):
        assert verifies([key], headers, StandIn.body_of(request), NOW.timestamp()) is right


def test_an_outcome_is_checked_by_the_processors_public_key() -> None:
    told, reference = told_once()
    body, stamp = outcome(reference), int(NOW.timestamp())
    by_key = connector(told._kit, answer_secrets=[THEIR_WHPK])
    moving = connector(told._kit, answer_secrets=[THEIRS, THEIR_WHPK])
    for webhook, key, right in (
        (by_key, THEIR_WHSK, True),
        (moving, THEIR_WHSK, True),
        (moving, THEIRS, True),
        (by_key, THEIRS, False),
        (by_key, WHSK, False),
        (told, THEIR_WHSK, False),
    ):
        signed = signature(key, f"evt-1.{stamp}.".encode() + body)
        given = {"webhook-id": "evt-1", "webhook-timestamp": str(stamp), "webhook-signature": signed}
        if right:
            assert webhook.reported(given, body).outcome is ReportedOutcome.DONE
            continue
        with pytest.raises(SignatureInvalid):
            webhook.reported(given, body)


def test_a_key_that_does_not_belong_there_is_refused_by_its_place() -> None:
    assert refused(secrets=[WHPK]) == [
        ("secrets[0]", "is a public key, with which nobody can sign: here belongs the private one (whsk_)")
    ]
    assert refused(answer_secrets=[THEIRS, THEIR_WHSK]) == [
        (
            "answer_secrets[1]",
            "is a private key, which nobody but its owner may know: here belongs the public one (whpk_)",
        )
    ]
    ours = [("answer_secrets", "is one of `secrets`: the processor signs with one of its own")]
    assert refused(secrets=[WHSK], answer_secrets=[WHPK]) == ours
    assert refused(secrets=[OURS, WHSK], answer_secrets=[THEIRS, WHPK]) == ours
    assert connector(secrets=[WHSK], answer_secrets=[THEIR_WHPK]).base == URL


def test_notes_go_to_the_same_address_under_the_same_signatures() -> None:
    assert connector().notes_to() == NotesTo(URL, (OURS,), "")
    both = connector(secrets=[WHSK, OURS], private_host="Processor.Example").notes_to()
    assert both == NotesTo(URL, (WHSK, OURS), "processor.example")
    assert "example" not in repr(NotesTo(URL, (OURS,)))
    kit = Kit(HttpClient(Hands()), Hands(), pseudonym, OpenShelf(), rehearsal=True)
    loopback = "http://127.0.0.1:9107/webhook"
    assert connector(kit, base_url=loopback).notes_to() == NotesTo(loopback, (OURS,), "127.0.0.1")
    assert connector(kit).notes_to().private_host == ""
    live = connector()
    live._settings = live._settings.model_copy(update={"url": loopback})
    assert live.notes_to().private_host == "", "outside a rehearsal only a host that the settings repeat"


# --- what it is answered


def test_what_nobody_takes_for_three_days_is_asked_by_letter_and_a_no_never_waits_for_that() -> None:
    told, whole = instruction(Right.ERASURE), BY_LETTER_AFTER.total_seconds()
    assert whole == 3 * 24 * 3600
    with on_stage(trouble=no(503)) as stage:
        assert isinstance(stage.tell(told), Retryable)
        stage.clock.seconds += whole - 1
        assert isinstance(stage.tell(told), Retryable)
        stage.clock.seconds += 1
        handed = stage.tell(told)
        assert isinstance(handed, HandOver)
        assert (handed.to, handed.task) == (Recipient.PROCESSOR, TASK)
        assert TASK == "Its webhook took no message for three days, so that it is asked by letter."
        assert [one.status for one in handed.evidence] == [503]
        other = replace(told, addresses=(OLD, THIRD))  # another message, which begins to be tried now
        assert isinstance(stage.tell(other), Retryable)
    for trouble in (no(422), None):
        with on_stage(trouble=no(503)) as stage:
            stage.tell(told)
            shelf = stage.shelf
        with on_stage(trouble=trouble) as stage:
            stage.shelf.kept.update(shelf.kept)
            stage.clock.seconds += whole
            assert isinstance(stage.tell(told), Refused if trouble else Accepted)


@pytest.mark.parametrize(
    "yes",
    [
        Said(200, {}, b""),
        Said(204, {}, b""),
        Said(202, {"Content-Type": "application/json"}, b'{"queued": true}'),
        Said(200, {"Content-Type": "application/json"}, b'"ok"'),
    ],
)
def test_a_yes_is_that_it_was_told_and_not_that_it_was_heard_or_done(yes: Said) -> None:
    with on_stage(trouble=yes) as stage:
        outcome = stage.tell(instruction(Right.ERASURE))
        assert isinstance(outcome, Accepted)
        assert (outcome.heard, outcome.answer_by, [one.status for one in outcome.evidence]) == (
            False,
            None,
            [yes.status],
        )
        assert [one.endpoint for one in outcome.evidence] == ["POST /webhook"]


@pytest.mark.parametrize("body", [b"", HTML, b"{}"])
def test_a_410_of_any_form_is_that_the_address_was_given_up(body: bytes) -> None:
    with on_stage(trouble=Said(410, {"Content-Type": "text/html"}, body)) as stage:
        with pytest.raises(CredentialsRejected, match="ask for its new address, for `url`"):
            stage.tell(instruction(Right.ERASURE))
        with pytest.raises(CredentialsRejected):
            stage.connector.probe()


def test_each_no_names_what_to_do() -> None:
    for status in (400, 413, 415, 422):
        with on_stage(trouble=no(status)) as stage:
            outcome = stage.tell(instruction(Right.ERASURE))
            assert isinstance(outcome, Refused)
            assert outcome.reason == NOT_TAKEN
    for status in (404, 405):
        with on_stage(trouble=no(status)) as stage:
            outcome = stage.tell(instruction(Right.ERASURE))
            assert isinstance(outcome, Retryable)
            assert (outcome.misplaced, "compare `url`" in outcome.reason) == (True, True)
    for status in (401, 403):
        with on_stage(trouble=no(status)) as stage, pytest.raises(CredentialsRejected, match="compare `secrets`"):
            stage.tell(instruction(Right.ERASURE))
    assert {status for row in ERRORS for status in row.statuses} == {400, 401, 403, 404, 405, 410, 413, 415, 422}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_followed_nowhere(status: int) -> None:
    with on_stage(trouble=Said(status, {"Location": "https://elsewhere.example/"}, b"")) as stage:
        outcome = stage.tell(instruction(Right.ERASURE))
        assert isinstance(outcome, Retryable)
        assert (outcome.blocked, stage.calls()) == (True, 1)


def test_a_host_that_leads_into_our_own_network_is_not_called_unless_it_is_named() -> None:
    with running_main_database() as inside, HttpClient(Hands(), rehearsal=True) as http:
        live = Kit(http, Hands(), pseudonym, OpenShelf())
        for url, more, reached in (
            (inside.url, {}, False),
            (inside.url, {"private_host": "127.0.0.1"}, True),
            (inside.url.replace("127.0.0.1", "localhost"), {"private_host": "LOCALHOST"}, True),
        ):
            # as if it were https: which scheme it is has been looked at before
            webhook = connector(live)
            webhook._settings = webhook._settings.model_copy(update={"url": url, **more})
            outcome = webhook.carry_out(instruction(Right.ERASURE))
            assert isinstance(outcome, Accepted if reached else Retryable)
            assert reached or outcome.reason == BARRED  # type: ignore[union-attr]  # because it is then the Retryable
        rehearsed = connector(replace(live, rehearsal=True), url=inside.url)
        assert isinstance(rehearsed.carry_out(instruction(Right.ERASURE)), Accepted)
    assert len(inside.heard) == 3


def test_a_probe_asks_for_nothing_and_says_that_the_signature_is_taken() -> None:
    stand_in = StandIn([Held("", OLD)])
    with on_stage(stand_in) as stage:
        assert stage.connector.probe().title == "a webhook that takes our signature"
        assert (stand_in.pings, stand_in.heard, stage.writes()) == (1, [], 0)
        (request,) = stage.sent
        assert json.loads(request.body or b"") == {"type": "dpsync.ping", "data": {}}
        assert request.headers["webhook-id"] == "ping.20261120090000"


# --- the outcome


def told_once() -> tuple[Webhook, str]:
    """A connector that told of one request, and by what the processor answers."""
    with on_stage() as stage:
        stage.tell(instruction(Right.ERASURE, request="DPS-AAAA"))
        webhook = stage.connector
        assert isinstance(webhook, Webhook)
        return webhook, str(stage.sent[0].headers["webhook-id"])


def outcome(reference: object, says: object = "done", **more: object) -> bytes:
    data = {"reference": reference, "outcome": says, **more}
    return json.dumps({"type": "dpsync.request.outcome", "data": data}).encode()


def heard(webhook: Webhook, body: bytes, secret: str = THEIRS, at: datetime = NOW, event: str = "evt-1") -> Reported:
    found = webhook.reported(signed_headers(secret, event, at, body), body)
    assert_clean(repr(found))
    return found


@pytest.mark.parametrize("says", list(ReportedOutcome))
def test_a_signed_outcome_says_of_which_request_it_is(says: ReportedOutcome) -> None:
    webhook, reference = told_once()
    body = outcome(reference, says.value, detail="Canary")
    digest = hashlib.sha256(body).hexdigest()
    assert heard(webhook, body) == Reported("DPS-AAAA", says, "evt-1", digest, older=False, remark="Canary")
    assert heard(webhook, outcome(reference)).remark == ""


def test_an_outcome_that_is_not_theirs_or_old_or_changed_is_refused() -> None:
    webhook, reference = told_once()
    body = outcome(reference)
    for secret in (OURS, OURS_NEXT, THEIRS_NEXT, PREFIX + PUBLISHED):
        with pytest.raises(SignatureInvalid):
            heard(webhook, body, secret)
    for minutes in (-6, 6):
        with pytest.raises(WebhookStale):
            heard(webhook, body, at=NOW + timedelta(minutes=minutes))
    with pytest.raises(SignatureInvalid):
        webhook.reported(signed_headers(THEIRS, "evt-1", NOW, body), outcome(reference, "refused"))
    with pytest.raises(SignatureInvalid):
        webhook.reported({}, body)
    both = connector(webhook._kit, answer_secrets=[THEIRS_NEXT, THEIRS])
    assert heard(both, body).outcome is heard(both, body, THEIRS_NEXT).outcome is ReportedOutcome.DONE


def test_what_an_outcome_may_be_is_closed() -> None:
    webhook, reference = told_once()
    says: tuple[object, ...] = ("DONE", "completed", "delivered", "", None, 1, [], True)
    bad: list[tuple[bytes, str]] = [
        *((outcome(reference, one), "data.outcome") for one in says),
        (outcome(reference, detail=7), "data.detail"),
        (outcome(reference, detail="x" * (LONGEST_REMARK + 1)), "data.detail"),
        (json.dumps({"type": "dpsync.request.created", "data": {}}).encode(), "type"),
        (b"{}", "type"),
        (b"[]", "type"),
        (b"no json", ""),
        (json.dumps({"type": "dpsync.request.outcome", "data": []}).encode(), "data.reference"),
    ]
    for body, named in bad:
        with pytest.raises(PayloadInvalid) as caught:
            heard(webhook, body)
        assert caught.value.field == named, body
    assert heard(webhook, outcome(reference, detail="x" * LONGEST_REMARK)).remark == "x" * LONGEST_REMARK


def test_an_outcome_is_of_a_message_that_was_sent_and_an_older_one_is_known_for_that() -> None:
    webhook, reference = told_once()
    told = instruction(Right.ERASURE, request="DPS-AAAA")
    kept = last(webhook._kit.shelf, "DPS-AAAA")
    assert kept is not None
    assert (kept.number, kept.taken, kept.reference) == (1, True, reference)
    webhook._kit.shelf.put(
        f"told/DPS-AAAA/{told.reference}",
        json.dumps({"number": 2, "mark": "f" * 16, "begun_at": kept.begun_at, "taken": False}),
    )
    assert heard(webhook, outcome(reference)).older
    assert not heard(webhook, outcome(f"DPS-AAAA.2.{'f' * 16}")).older
    foreign = (f"DPS-AAAA.2.{'e' * 16}", f"DPS-AAAA.3.{'f' * 16}", f"DPS-BBBB.1.{'f' * 16}", "DPS-AAAA", 7, None)
    for guess in (*foreign, f"DPS-AAAA.0.{'f' * 16}", f" {reference}", f"{reference}0", f"DPS-AAA.2.{'f' * 16}"):
        with pytest.raises(PayloadInvalid, match="is of no message of ours") as caught:
            heard(webhook, outcome(guess))
        assert caught.value.field == "data.reference"


def test_nothing_else_is_remembered_of_a_delivery() -> None:
    webhook, reference = told_once()
    assert webhook.receive({}, outcome(reference)) == ()


# --- its section


def test_a_section_that_cannot_be_kept_is_refused_by_its_key() -> None:
    short = PREFIX + base64.b64encode(b"short").decode()
    assert refused(secrets=[short]) == [("secrets[0]", "must hold 24 to 64 bytes")]
    assert refused(secrets=[OURS, OURS]) == [("secrets[1]", "is the same secret as secrets[0]")]
    assert [key for key, _ in refused(answer_secrets=[THEIRS, PREFIX + PUBLISHED])] == ["answer_secrets[1]"]
    ours = [("answer_secrets", "is one of `secrets`: the processor signs with one of its own")]
    assert refused(answer_secrets=[THEIRS, OURS]) == ours
    assert refused(secrets=[OURS_NEXT, OURS], answer_secrets=[OURS]) == ours
    plain = [("url", "must begin with https:// outside a rehearsal")]
    assert refused(url="http://127.0.0.1:9107/webhook") == plain
    assert [key for key, _ in refused(base_url="https://elsewhere.example/webhook")] == ["base_url"]
    assert [key for key, _ in refused(secrets=[short], answer_secrets=[short])][:2] == [
        "secrets[0]",
        "answer_secrets[0]",
    ]


@pytest.mark.parametrize(
    "section",
    [
        {"url": "http://processor.example/"},
        {"url": "https://ada:secret@processor.example/"},
        {"url": "https://processor.example/?ada"},
        {"secrets": []},
        {"secrets": [OURS, OURS_NEXT, THEIRS_NEXT]},
        {"secrets": ["whsec_ with a space"]},
        {"answer_secrets": []},
        {"answer_secrets": [THEIRS, THEIRS_NEXT, OURS_NEXT]},
        {"private_host": "other.example"},
        {"private_host": ""},
        {"own_ids": "No Name"},
        {"own_ids": "x" * 41},
        {"more": 1},
    ],
)
def test_a_section_of_another_form_is_refused(section: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        WebhookSettings.model_validate({**SECTION, **section})


def test_the_host_may_be_named_in_capitals_and_a_rehearsal_may_go_elsewhere() -> None:
    kit = Kit(HttpClient(Hands()), Hands(), pseudonym, OpenShelf(), rehearsal=True)
    assert connector(private_host="Processor.Example", own_ids="x" * 40).base == URL
    assert connector(kit, base_url="http://127.0.0.1:9107/webhook").base == "http://127.0.0.1:9107/webhook"
    assert "processor" not in repr(WebhookSettings.model_validate({**SECTION, "base_url": URL}))


def test_a_telling_is_told_apart_by_its_number_and_its_mark() -> None:
    assert Dispatch("DPS-AAAA", 3, "a" * 16, "2026-11-20T09:00:00Z").reference == f"DPS-AAAA.3.{'a' * 16}"
