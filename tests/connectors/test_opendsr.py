"""A processor that speaks OpenDSR: the shared contract, and what its own words are worth."""

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from pydantic import ValidationError

from dpsync import opendsr_protocol as protocol
from dpsync.address import normalised
from dpsync.connector import (
    Accepted,
    Account,
    CannotTell,
    Contradicts,
    Declares,
    Kit,
    NotIdentifiable,
    Refused,
    Reported,
    ReportedOutcome,
    Retryable,
)
from dpsync.connectors import opendsr
from dpsync.connectors.opendsr import LONGEST_PROMISE, OpenDsrConnector, certificates, revocation
from dpsync.connectors.opendsr.calls import (
    ERRORS,
    NO_CERTIFICATE,
    NOT_TAKEN,
    OPEN_THERE,
    PRESENT,
    THERE_ALREADY,
)
from dpsync.connectors.opendsr.message import BAD_ID, NOBODY
from dpsync.connectors.opendsr.settings import OpenDsrSettings
from dpsync.errors import (
    ConfigurationError,
    CredentialsRejected,
    PayloadInvalid,
    ProcessorUnreachable,
    SignatureInvalid,
)
from dpsync.http import HttpClient
from dpsync.model import Right
from dpsync.vendor.errors import UNREADABLE
from dpsync.vendor.tellings import last
from tests.connectors.contract import (
    HTML,
    NOW,
    OLD,
    OTHER,
    SECRET,
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
from tests.standins.signers import BEGINS, ENDS, Authority, rsa_key

DOMAIN = "opendsr.processor.example"
URL = f"https://{DOMAIN}/v2"
CERTIFICATE = f"https://{DOMAIN}/cert.pem"
TRUSTED, STRANGER = Authority("Trusted CA"), Authority("Trusted CA")
KEY = rsa_key("processor")
PEM, CHAIN = TRUSTED.pem, TRUSTED.certificate(DOMAIN, KEY)
SECTION: Mapping[str, object] = {"url": URL, "credential": SECRET, "authorities": PEM}
INBOUND = "https://dpsync.example.org/in/tracker/path-secret"
PROMISED = NOW + timedelta(days=20)
STATUS = "GET /requests/{id}"


def no(status: int, code: str = "", **headers: str) -> Said:
    body = protocol.error_body(status, "no")
    if code:
        body["error"]["af_gdpr_code"] = code  # type: ignore[index]  # because it is an object
    return Said(status, {"Content-Type": "application/json", **headers}, json.dumps(body).encode())


@dataclass
class StandIn:
    """A processor that does at once what is asked, and signs what it says; `status`: what it says of it in the end."""

    people: list[Held] = field(default_factory=list)
    heard: list[dict[str, Any]] = field(default_factory=list)
    asked: dict[str, str] = field(default_factory=dict)
    status: str = "completed"
    until: str = protocol.written(PROMISED)
    chain: str = CHAIN
    key: Any = KEY
    domain: str = DOMAIN
    signs: bool = True
    old_names: bool = False
    discovery: dict[str, Any] = field(default_factory=dict)
    echo: str | None = None

    def state(self) -> object:
        return sorted(map(repr, self.people))

    def holds(self) -> Iterator[Held]:
        return iter(list(self.people))

    def hold(self, records: Iterable[Held]) -> None:
        self.people = list(records)

    def signed(self, status: int, content: object) -> Said:
        body = json.dumps(content).encode()
        headers = protocol.signed_headers(self.domain, self.key, body) if self.signs else {}
        if self.old_names:
            headers = {name.replace("OpenDSR", "OpenGDPR"): value for name, value in headers.items()}
        return Said(status, {"Content-Type": "application/json", **headers}, body)

    def answer(self, request: requests.PreparedRequest) -> Said:
        assert request.url is not None
        path, body = urlsplit(request.url).path, request.body if isinstance(request.body, bytes) else b""
        match (request.method, path.removeprefix("/v2").split("/")[1:]):
            case ("GET", ["cert.pem"]):
                return Said(200, {"Content-Type": "application/x-pem-file"}, self.chain.encode())
            case ("GET", ["discovery"]):
                return self.signed(200, self.offered())
            case ("POST", [_]):
                return self.take(json.loads(body), body)
            case ("GET", [_, name]):
                return self.shown(200, name) if name in self.asked else no(400)
        return no(404)

    def offered(self) -> dict[str, Any]:
        known = [{"identity_type": one, "identity_format": "raw"} for one in ("email", "controller_customer_id")]
        offers = {"api_version": "2.0", "supported_identities": known, "processor_certificate": CERTIFICATE}
        return {**offers, "supported_subject_request_types": ["access", "erasure"], **self.discovery}

    def take(self, said: dict[str, Any], raw: bytes) -> Said:
        self.heard.append(said)
        self.asked[said["subject_request_id"]] = self.status
        named = {normalised(one) for one in self.emails(said["subject_identities"])}
        self.people = [one for one in self.people if normalised(one.address) not in named]
        copy = base64.b64encode(raw).decode() if self.echo is None else self.echo
        return self.shown(201, said["subject_request_id"], encoded_request=copy, received_time="2026-11-20T09:00:00Z")

    @staticmethod
    def emails(named: Any) -> list[str]:
        if isinstance(named, dict):
            return [one["value"] for kind, one in named.items() if kind == "email"]
        return [one["identity_value"] for one in named if one["identity_type"] == "email"]

    def shown(self, status: int, name: str, **more: Any) -> Said:
        said = {"controller_id": "7", "expected_completion_time": self.until, "subject_request_id": name}
        return self.signed(status, {**said, "request_status": self.asked[name], "results_url": None, **more})


class Asked(HttpContract):
    """The contract for a processor that says later that it is done; not collected by its name."""

    connector = OpenDsrConnector
    section: ClassVar[Mapping[str, object]] = SECTION
    done = Accepted
    nothing = Accepted  # whether it holds anybody it never says
    found = Declares
    asks_back = False  # where nothing was asked there is nothing to ask for: what is read is tested below
    proves_absence = True

    def vendor(self, right: Right, *, held: bool) -> StandIn:
        del right
        return StandIn([Held("", self.address, "Ada", "Canary")] if held else [])

    def refusal(self, status: int) -> Said:
        return no(status)

    def error(self, status: int, code: int | str) -> Said:
        return no(status, str(code))

    def carries_a_credential(self, request: requests.PreparedRequest) -> bool:
        is_certificate = request.url == CERTIFICATE
        return super().carries_a_credential(request) is not is_certificate


class TestOpenDsr(Asked):
    pass


class Only(Asked):
    """The same stage for the tests of this connector alone; not collected by its name."""


def on_stage(stand_in: StandIn | None = None, **section: Any) -> AbstractContextManager[HttpStage]:
    trouble = {name: section.pop(name) for name in ("trouble", "from_call", "times") if name in section}
    named = type("Named", (Only,), {"section": {**SECTION, **section}})
    stage: AbstractContextManager[HttpStage] = named().before(stand_in or StandIn(), **trouble)
    return stage


def told(**more: Any) -> Any:
    return instruction(Right.ERASURE, **{"request": "DPS-AAAA", **more})


def connector(**section: Any) -> OpenDsrConnector:
    lent = Kit(HttpClient(Hands()), Hands(), pseudonym, OpenShelf(), rehearsal=section.pop("rehearsal", False))
    return OpenDsrConnector.from_settings(OpenDsrSettings.model_validate({**SECTION, **section}), lent)


def with_inbound(stage: HttpStage) -> OpenDsrConnector:
    """The same before the same, and its messages come in somewhere."""
    now = stage.connector
    assert isinstance(now, OpenDsrConnector)
    return OpenDsrConnector(now._settings, replace(now._kit, inbound_url=INBOUND))


# --- what is asked


def test_a_request_is_as_the_specification_has_it() -> None:
    stand_in, at = StandIn(), datetime(2026, 11, 18, 10, 30, tzinfo=UTC)
    with on_stage(stand_in) as stage:
        with_inbound(stage).carry_out(told(addresses=(OLD, OTHER), received_at=at))
        (sent,) = stage.sent
        assert (sent.method, sent.url) == ("POST", f"{URL}/requests")
        assert sent.headers["Authorization"] == f"Bearer {SECRET}"
        assert (sent.headers["Accept"], sent.headers["Content-Type"]) == ("application/json", "application/json")
    (said,) = stand_in.heard
    assert protocol.is_request_id(said.pop("subject_request_id"))
    emails = [
        {"identity_type": "email", "identity_value": one, "identity_format": "raw"} for one in (OLD, OLD.lower(), OTHER)
    ]
    known = {"identity_type": "controller_customer_id", "identity_value": "crm-4711", "identity_format": "raw"}
    assert said == {
        "regulation": "gdpr",
        "subject_request_type": "erasure",
        "submitted_time": "2026-11-18T10:30:00Z",
        "subject_identities": [*emails, known],
        "api_version": "2.0",
        "status_callback_urls": [INBOUND],
    }


def test_without_a_way_in_no_callback_is_asked_for_and_the_law_is_the_sections() -> None:
    stand_in = StandIn()
    with on_stage(stand_in, regulation="ccpa", requests_path="/opengdpr_requests") as stage:
        stage.tell(told())
        assert stage.sent[0].url == f"{URL}/opengdpr_requests"
        stage.read_back(told())
        assert str(stage.sent[1].url).startswith(f"{URL}/opengdpr_requests/")
    said = stand_in.heard[0]
    assert (said["regulation"], said["submitted_time"]) == ("ccpa", "2026-11-20T09:00:00Z")
    assert "status_callback_urls" not in said
    assert "property_id" not in said


@pytest.mark.parametrize("form", ["sha256", "sha1", "md5"])
def test_addresses_go_as_what_the_processor_matches(form: str) -> None:
    stand_in = StandIn()
    with on_stage(stand_in, email_format=form, customer_id="") as stage:
        assert isinstance(stage.connector.carry_out(told(addresses=("ada@example.org",))), Accepted)
    digest = hashlib.new(form, b"ada@example.org").hexdigest()
    assert stand_in.heard[0]["subject_identities"] == [
        {"identity_type": "email", "identity_value": digest, "identity_format": form}
    ]


def test_own_ids_come_with_their_type_and_all_can_be_used_or_none_is() -> None:
    stand_in = StandIn()
    with on_stage(stand_in, own_ids="tracker", customer_id="member_no") as stage:
        ids = {"tracker": ("ios_vendor_id:A:B", "ios_vendor_id:A:B"), "other": ("nonsense",)}
        stage.tell(told(addresses=(), references=ids))
        outcome = stage.tell(told(references={"tracker": ("ios_vendor_id:A", "Bad:1")}))
        assert isinstance(outcome, NotIdentifiable)
        assert (outcome.reason, stage.calls()) == (BAD_ID, 1)
        nobody = stage.tell(told(addresses=(), subject_id=None))
        assert isinstance(nobody, NotIdentifiable)
        assert nobody.reason == NOBODY
    named = [(one["identity_type"], one["identity_value"]) for one in stand_in.heard[0]["subject_identities"]]
    assert named == [("member_no", "crm-4711"), ("ios_vendor_id", "A:B")]


# --- the dialects


def test_at_appsflyer_people_have_no_address_and_the_app_is_named() -> None:
    stand_in = StandIn()
    with on_stage(stand_in, dialect="appsflyer", property_id="id123456789", own_ids="appsflyer") as stage:
        stage.tell(told(references={"appsflyer": ("appsflyer_id:1415211453000-6513894",)}))
        assert stage.sent[0].url == f"{URL}/opendsr_requests"
        assert isinstance(stage.read_back(told()), Declares)
    said = stand_in.heard[0]
    assert said.keys() == {
        "subject_request_id",
        "subject_request_type",
        "submitted_time",
        "subject_identities",
        "property_id",
    }
    assert said["property_id"] == "id123456789"
    kinds = [one["identity_type"] for one in said["subject_identities"]]
    assert kinds == ["customer_user_id", "appsflyer_id"]


@pytest.mark.parametrize(
    ("word", "outcome"), [("in-progress", "received"), ("canceled", "refused"), ("pending", "received")]
)
def test_appsflyers_spelling_of_a_status_is_understood(word: str, outcome: str) -> None:
    with on_stage(StandIn(status=word)) as stage:
        stage.tell(told())
        found = stage.read_back(told())
    assert isinstance(found, Declares)
    assert found.outcome == outcome


def test_the_stub_is_for_rehearsals_alone() -> None:
    with pytest.raises(ConfigurationError) as caught:
        connector(dialect="appsflyer", property_id="id1", stub=True)
    assert [(one.key, one.problem) for one in caught.value.faults] == [
        ("stub", "erases nothing, so it needs [controller] rehearsal = true")
    ]
    made = connector(dialect="appsflyer", property_id="id1", stub=True, rehearsal=True)
    assert (made._settings.base, made._settings.requests) == (f"{URL}/stub", "")


def test_at_mparticle_there_is_one_value_of_each_type_so_several_requests_go() -> None:
    stand_in, secret = StandIn(), f"key:{SECRET}"
    with on_stage(stand_in, dialect="mparticle", credential=secret, own_ids="mp") as stage:
        order = told(addresses=(OTHER, THIRD), references={"mp": ("ios_vendor_id:A",)})
        outcome = stage.tell(order)
        assert isinstance(outcome, Accepted)
        basic = base64.b64encode(secret.encode()).decode()
        assert {str(one.headers["Authorization"]) for one in stage.sent} == {f"Basic {basic}"}
        assert isinstance(stage.read_back(order), Declares)
        ids = [*stand_in.asked]
        stand_in.asked[ids[1]] = "in_progress"
        stage.clock.seconds += 1
        found = stage.read_back(order)
        assert isinstance(found, Declares)
        assert (found.outcome, found.reason) == (ReportedOutcome.RECEIVED, opendsr.UNDER_WAY)
        stand_in.asked[ids[0]] = "cancelled"
        found = stage.read_back(order)
        assert isinstance(found, Declares)
        assert (found.outcome, found.reason) == (ReportedOutcome.REFUSED, opendsr.CANCELLED)
    raw = [{"value": one, "encoding": "raw"} for one in (OTHER, THIRD, "crm-4711", "A")]
    assert [one["subject_identities"] for one in stand_in.heard] == [
        {"controller_customer_id": raw[2], "email": raw[0], "ios_vendor_id": raw[3]},
        {"email": raw[1]},
    ]
    assert [one["api_version"] for one in stand_in.heard] == ["3.0", "3.0"]
    assert len({one["subject_request_id"] for one in stand_in.heard}) == 2


def test_a_part_of_several_requests_that_fails_leaves_all_in_doubt() -> None:
    stand_in, order = StandIn(), told(addresses=(OTHER, THIRD))
    mparticle = {"dialect": "mparticle", "credential": f"key:{SECRET}"}
    with on_stage(stand_in, **mparticle, trouble=no(429), from_call=2, times=1) as stage:
        outcome = stage.tell(order)
        assert isinstance(outcome, Retryable)
        assert (outcome.doubtful, len(outcome.evidence)) == (True, 2)
        finding = stage.read_back(order)
        assert isinstance(finding, Contradicts)
        assert finding.reason == opendsr.NOT_THERE
        assert isinstance(stage.tell(order), Accepted)
    assert [one["subject_identities"]["email"]["value"] for one in stand_in.heard] == [OTHER, THIRD]


# --- the same request, and another one


def test_what_was_not_recorded_is_looked_for_before_it_is_asked_again() -> None:
    stand_in = StandIn(until="2026-11-25T09:00:00Z")
    with on_stage(stand_in) as stage:
        stage.tell(told(), record=False)
        outcome = stage.tell(told())
        assert isinstance(outcome, Accepted)
        assert [one.endpoint for one in outcome.evidence] == [STATUS]
        assert outcome.answer_by == datetime(2026, 11, 25, 9, tzinfo=UTC)
        assert len(stand_in.heard) == 1
        stage.tell(told())  # somebody wants to be heard anew
        stage.tell(told(request="DPS-BBBB"))
    assert len({one["subject_request_id"] for one in stand_in.heard}) == len(stand_in.heard) == 3


def test_what_never_arrived_goes_again_as_the_same_bytes() -> None:
    stand_in = StandIn()
    with on_stage(stand_in, trouble=no(503), times=1) as stage:
        assert isinstance(stage.tell(told()), Retryable)
        stage.clock.seconds += 3600
        assert isinstance(stage.tell(told()), Accepted)
        first, known, second = stage.sent
        assert (known.method, first.body) == ("GET", second.body)
        telling = last(stage.shelf, "DPS-AAAA")
        assert telling is not None
        assert telling.taken
        (name,) = stand_in.asked
        assert stage.shelf.kept[f"id/{name}/ref-1"] == "1 DPS-AAAA"


def test_another_address_is_another_request() -> None:
    stand_in = StandIn()
    with on_stage(stand_in) as stage:
        stage.tell(told(), record=False)
        stage.tell(told(addresses=(OLD, THIRD)))
        assert len(stand_in.asked) == 2


# --- what it says to a request


def test_a_201_is_that_it_was_told_and_heard_only_where_it_is_signed() -> None:
    with on_stage() as stage:
        first = stage.tell(told())
        assert isinstance(first, Accepted)
        assert (first.heard, first.answer_by) == (False, PROMISED)  # nobody has its certificate yet
        stage.connector.probe()
        second = stage.tell(told(request="DPS-BBBB"))
        assert isinstance(second, Accepted)
        assert second.heard
        assert [one.endpoint for one in second.evidence] == ["POST /requests"]
    with on_stage(StandIn(signs=False), unsigned_answers=True) as stage:
        unsigned = stage.tell(told())
        assert isinstance(unsigned, Accepted)
        assert unsigned.heard


@pytest.mark.parametrize(
    ("until", "by"),
    [
        ("2026-11-20T09:00:01Z", NOW + timedelta(seconds=1)),
        ("2026-11-20T09:00:00Z", None),
        ("2020-01-01T00:00:00Z", None),
        ("soon", None),
        ("9999-12-31T23:59:59Z", NOW + LONGEST_PROMISE),
        ((NOW + LONGEST_PROMISE).isoformat(), NOW + LONGEST_PROMISE),
        ("2026-12-20T09:00:00.123456", datetime(2026, 12, 20, 9, 0, 0, 123456, tzinfo=UTC)),
    ],
)
def test_the_day_that_it_names_counts_where_it_is_one(until: str, by: datetime | None) -> None:
    assert timedelta(days=92) == LONGEST_PROMISE
    with on_stage(StandIn(until=until)) as stage:
        outcome = stage.tell(told())
    assert isinstance(outcome, Accepted)
    assert outcome.answer_by == by


def test_of_the_copy_of_our_request_only_its_sha256_is_kept() -> None:
    stand_in = StandIn()
    with on_stage(stand_in) as stage:
        outcome = stage.tell(told())
        copy = base64.b64encode(stage.sent[0].body or b"")  # type: ignore[arg-type]  # because it is bytes
        digest = hashlib.sha256(copy).hexdigest()
        assert [one.note for one in outcome.evidence] == [f"its copy is our request: SHA-256 {digest}"]
        assert_clean(repr(outcome) + repr(stage.shelf.kept))
        assert copy.decode()[:40] not in repr(outcome) + repr(stage.shelf.kept)
    with on_stage() as stage:
        stage.tell(told())
        lines = base64.encodebytes(stage.sent[0].body or b"").decode()  # type: ignore[arg-type]  # because it is bytes
    for echo in ("not base64", lines, base64.b64encode(b"{}").decode()):
        with on_stage(StandIn(echo=echo)) as stage:
            (one,) = stage.tell(told()).evidence
            assert one.note == f"its copy is another than we sent: SHA-256 {hashlib.sha256(echo.encode()).hexdigest()}"
    with on_stage(trouble=Said(201, {"Content-Type": "application/json"}, b'{"subject_request_id": "other"}')) as stage:
        outcome = stage.tell(told())
        assert isinstance(outcome, Retryable)
        assert (outcome.reason, outcome.doubtful) == (UNREADABLE, True)


class Terse(StandIn):
    """It says no more than that it took the request."""

    def take(self, said: dict[str, Any], raw: bytes) -> Said:
        super().take(said, raw)
        return self.signed(201, {"subject_request_id": said["subject_request_id"]})


def test_without_a_copy_nothing_is_noted() -> None:
    with on_stage(Terse()) as stage:
        outcome = stage.tell(told())
    assert isinstance(outcome, Accepted)
    assert ([one.note for one in outcome.evidence], outcome.answer_by) == ([""], None)


def test_a_request_that_it_has_already_is_there() -> None:
    with on_stage(trouble=no(400, "e213")) as stage:
        outcome = stage.tell(told())
    assert isinstance(outcome, Accepted)
    assert [one.note for one in outcome.evidence] == [THERE_ALREADY]
    assert (outcome.answer_by, outcome.heard) == (None, False)


def test_another_request_under_way_there_is_waited_for_and_a_fault_for_an_hour() -> None:
    with on_stage(trouble=no(400, "e215")) as stage:
        outcome = stage.tell(told())
        assert isinstance(outcome, Retryable)
        assert (outcome.reason, outcome.doubtful, outcome.retry_after) == (OPEN_THERE, False, None)
    with on_stage(trouble=no(500, "e511")) as stage:
        outcome = stage.tell(told())
        assert isinstance(outcome, Retryable)
        assert (outcome.doubtful, outcome.retry_after) == (True, timedelta(minutes=60))
    flat = b'{"code": 500, "message": "no", "af_gdpr_code": "e511"}'
    with on_stage(trouble=Said(500, {"Content-Type": "application/json"}, flat)) as stage:
        outcome = stage.tell(told())
        assert isinstance(outcome, Retryable)
        assert (outcome.retry_after, outcome.blocked) == (timedelta(minutes=60), False)


def test_a_no_is_a_persons() -> None:
    with on_stage(trouble=no(400)) as stage:
        outcome = stage.tell(told())
    assert isinstance(outcome, Refused)
    assert outcome.reason == NOT_TAKEN


def test_the_table_of_errors() -> None:
    assert [(list(row.statuses), list(row.codes), row.means.name) for row in ERRORS] == [
        ([400], ["e213"], "SETTLED"),
        ([400], ["e215"], "LATER"),
        ([400], ["e411", "e319"], "MISPLACED"),
        ([400], ["e212", "e413"], "REJECTED"),
        ([500], ["e511"], "FAULT"),
        ([401, 403], [], "REJECTED"),
        ([404, 405], [], "MISPLACED"),
        ([400, 413, 415, 422], [], "NO"),
    ]
    assert PRESENT is ERRORS[0]
    assert all(row.reason for row in ERRORS if row.means.name != "REJECTED" or row.codes)


# --- what it says later


def read(stand_in: StandIn, **section: Any) -> Any:
    with on_stage(stand_in, **section) as stage:
        stage.tell(told())
        return stage.read_back(told())


def test_completed_is_declared_and_says_neither_found_nor_not() -> None:
    found = read(StandIn())
    assert isinstance(found, Declares)
    assert (found.outcome, found.answer_by) == (ReportedOutcome.DONE, None)
    assert [one.endpoint for one in found.evidence] == [STATUS, "GET /discovery", "GET /certificate"]


def test_what_is_under_way_says_until_when() -> None:
    for status in ("pending", "in_progress"):
        found = read(StandIn(status=status))
        assert isinstance(found, Declares)
        assert (found.outcome, found.reason) == (ReportedOutcome.RECEIVED, opendsr.UNDER_WAY)
        assert found.answer_by == PROMISED
    for status, outcome in (("pending", "received"), ("completed", "done"), ("cancelled", "refused")):
        undated = read(StandIn(status=status, until="soon"))
        assert isinstance(undated, Declares)
        assert (undated.outcome, undated.answer_by) == (outcome, None)


def test_an_unknown_status_or_the_status_of_another_request_is_none() -> None:
    for status, name in (("done", None), ("completed", "a7551968-d5d6-44b2-9831-815ac9017798"), (7, None)):
        stand_in = StandIn()
        with on_stage(stand_in) as stage:
            stage.tell(told())
            (asked,) = stand_in.asked
        said = stand_in.signed(200, {"subject_request_id": name or asked, "request_status": status})
        with on_stage(trouble=said, from_call=2) as stage:
            stage.tell(told())
            finding = stage.read_back(told())
        assert isinstance(finding, CannotTell)
        assert (finding.reason, finding.later) == (UNREADABLE, True)


@pytest.mark.parametrize("answer", [no(400), no(404), no(400, "e214")])
def test_a_request_that_is_not_known_there_was_not_asked(answer: Said) -> None:
    with on_stage(trouble=answer, from_call=2) as stage:
        stage.tell(told())
        finding = stage.read_back(told())
        assert isinstance(finding, Contradicts)
        assert (finding.reason, finding.final, len(finding.evidence)) == (opendsr.NOT_THERE, False, 1)


def test_any_other_no_to_a_question_tells_nothing() -> None:
    for answer in (no(400, "e313"), no(405), no(422), no(429), no(500), Said(400, {"Content-Type": "text/html"}, HTML)):
        with on_stage(trouble=answer, from_call=2) as stage:
            stage.tell(told())
            finding = stage.read_back(told())
            assert isinstance(finding, CannotTell), answer
            assert finding.later
    for answer in (no(401), no(403), no(400, "e413")):
        with on_stage(trouble=answer, from_call=2) as stage:
            stage.tell(told())
            with pytest.raises(CredentialsRejected):
                stage.read_back(told())


def test_what_was_never_asked_cannot_be_read() -> None:
    with on_stage() as stage:
        finding = stage.read_back(told())
        assert isinstance(finding, CannotTell)
        assert (finding.reason, finding.later, stage.calls()) == (opendsr.NEVER_ASKED, False, 0)


# --- whose word it is


@pytest.mark.parametrize(
    ("made", "why"),
    [
        ({"signs": False}, certificates.UNSIGNED),
        ({"domain": "opendsr.elsewhere.example"}, certificates.OTHER_DOMAIN),
        ({"key": rsa_key("another")}, certificates.WRONG),
        ({"chain": STRANGER.certificate(DOMAIN, KEY)}, certificates.UNTRUSTED),
        ({"chain": TRUSTED.certificate("opendsr.elsewhere.example", KEY)}, certificates.UNTRUSTED),
        ({"chain": TRUSTED.certificate(DOMAIN, KEY, ends=NOW - timedelta(seconds=1))}, certificates.UNTRUSTED),
        ({"chain": TRUSTED.certificate(DOMAIN, KEY, begins=NOW + timedelta(seconds=1))}, certificates.UNTRUSTED),
        ({"chain": TRUSTED.certificate(DOMAIN, ec.generate_private_key(ec.SECP256R1()))}, certificates.WRONG),
        ({"chain": "no certificate"}, certificates.UNTRUSTED),
        ({"chain": PEM}, certificates.UNTRUSTED),
        ({"discovery": {"processor_certificate": "https://cdn.example.net/cert.pem"}}, certificates.ELSEWHERE),
        ({"discovery": {"processor_certificate": f"http://{DOMAIN}/cert.pem"}}, certificates.ELSEWHERE),
        ({"discovery": {"processor_certificate": f"https://{DOMAIN}@cdn.example.net/"}}, certificates.ELSEWHERE),
    ],
)
def test_a_word_that_is_not_the_processors_own_counts_for_nothing(made: dict[str, Any], why: str) -> None:
    finding = read(StandIn(**made))
    assert isinstance(finding, CannotTell)
    assert (finding.reason, finding.later) == (why, True)
    assert finding.evidence
    with on_stage(StandIn(**made)) as stage, pytest.raises(ProcessorUnreachable, match=why):
        stage.connector.probe()


def revoked_list(
    folder: Path, *, numbers: Sequence[int] = (), by: Any = TRUSTED, ends: datetime = ENDS, delta: bool = False
) -> Path:
    """That of the authority of this page, as a file. `delta`: of what changed alone."""
    issuer, made = x509.load_pem_x509_certificate(by.pem.encode()), x509.CertificateRevocationListBuilder()
    made = made.issuer_name(issuer.subject).last_update(BEGINS).next_update(ends)
    for number in numbers:
        one = x509.RevokedCertificateBuilder().serial_number(number).revocation_date(BEGINS)
        made = made.add_revoked_certificate(one.build())
    made = made.add_extension(x509.DeltaCRLIndicator(1), critical=True) if delta else made
    file = folder / "authority.crl"
    file.write_bytes(made.sign(by.key, SHA256()).public_bytes(Encoding.PEM))
    return file


def test_a_certificate_that_was_revoked_counts_for_nothing_and_neither_does_one_of_which_that_is_not_known(
    tmp_path: Path,
) -> None:
    own = x509.load_pem_x509_certificate(CHAIN.encode())

    def why(file: Path) -> str:
        finding = read(StandIn(), revocations=str(file))
        return finding.reason if isinstance(finding, CannotTell) else ""

    assert why(revoked_list(tmp_path, numbers=[own.serial_number + 1])) == ""
    assert why(revoked_list(tmp_path, numbers=[own.serial_number])) == revocation.REVOKED
    assert why(revoked_list(tmp_path, ends=NOW)) == revocation.OLD_LIST
    assert why(revoked_list(tmp_path, ends=NOW + timedelta(seconds=1))) == ""
    assert why(revoked_list(tmp_path, by=STRANGER)) == revocation.NO_LIST
    assert why(revoked_list(tmp_path, delta=True)) == revocation.NO_LIST
    older = revoked_list(tmp_path).read_bytes()
    for delta in (True, False):
        both = older + revoked_list(tmp_path, numbers=[own.serial_number], delta=delta).read_bytes()
        (tmp_path / "authority.crl").write_bytes(both)
        assert why(tmp_path / "authority.crl") == revocation.REVOKED
    der = x509.load_pem_x509_crl(revoked_list(tmp_path, numbers=[own.serial_number]).read_bytes())
    (tmp_path / "authority.crl").write_bytes(der.public_bytes(Encoding.DER))
    assert why(tmp_path / "authority.crl") == revocation.REVOKED
    (tmp_path / "authority.crl").write_bytes(b"no list")
    assert why(tmp_path / "authority.crl") == why(tmp_path / "nothing.crl") == revocation.NO_LIST
    with pytest.raises(ValidationError, match="whole path"):
        connector(revocations="authority.crl")


def test_a_chain_with_what_stands_between_and_the_old_names_are_accepted() -> None:
    assert isinstance(read(StandIn(chain=CHAIN + PEM)), Declares)
    assert isinstance(read(StandIn(old_names=True)), Declares)
    last_day = TRUSTED.certificate(DOMAIN, KEY, begins=NOW, ends=NOW + timedelta(seconds=1))
    assert isinstance(read(StandIn(chain=last_day)), Declares)
    assert BEGINS < NOW < ENDS


def test_its_domain_may_be_another_than_its_host() -> None:
    chain = TRUSTED.certificate("dsr.example.net", KEY)
    assert isinstance(read(StandIn(chain=chain, domain="dsr.example.net"), domain="dsr.example.net"), Declares)
    there = {"processor_certificate": "https://dsr.example.net/cert.pem"}
    whole = StandIn(chain=chain, domain="dsr.example.net", discovery=there)
    assert isinstance(read(whole, domain="dsr.example.net"), Declares)
    static = StandIn(discovery={"processor_certificate": "https://static.mparticle.com/cert.pem"})
    assert isinstance(read(static, dialect="mparticle", credential=f"key:{SECRET}"), Declares)
    assert isinstance(read(static), CannotTell)


def test_answers_without_a_signature_count_only_where_the_section_says_so_and_wrong_ones_never() -> None:
    assert isinstance(read(StandIn(signs=False), unsigned_answers=True), Declares)
    wrong = read(StandIn(key=rsa_key("another")), unsigned_answers=True)
    assert isinstance(wrong, CannotTell)
    assert wrong.reason == certificates.WRONG


def test_a_certificate_counts_for_a_day_and_is_fetched_again_once_where_it_does_not_fit() -> None:
    stand_in = StandIn(status="pending")
    with on_stage(stand_in) as stage:
        stage.tell(told())
        stage.read_back(told())

        def calls_of_a_reading() -> int:
            before = stage.calls()
            assert isinstance(stage.read_back(told()), Declares)
            return stage.calls() - before

        assert calls_of_a_reading() == 1
        stage.clock.seconds += 24 * 3600 - 1
        assert calls_of_a_reading() == 1
        stage.clock.seconds += 1
        assert calls_of_a_reading() == 3
        stand_in.key = rsa_key("next")
        stand_in.chain = TRUSTED.certificate(DOMAIN, stand_in.key)
        stage.clock.seconds += 60
        assert calls_of_a_reading() == 3
        stand_in.key, before = rsa_key("another"), stage.calls()
        stage.clock.seconds += 59
        finding = stage.read_back(told())
        assert isinstance(finding, CannotTell)
        assert stage.calls() - before == 1  # it was fetched a moment ago
        stage.clock.seconds += 1
        finding = stage.read_back(told())
        assert isinstance(finding, CannotTell)
        assert (finding.reason, stage.calls() - before) == (certificates.WRONG, 4)


def test_a_certificate_that_cannot_be_fetched_is_waited_for() -> None:
    for trouble, why in (
        (no(404), NO_CERTIFICATE),
        (requests.ReadTimeout(OLD), "no complete answer within the deadline"),
    ):
        with on_stage(trouble=trouble, from_call=4) as stage:
            stage.tell(told())
            finding = stage.read_back(told())
            assert isinstance(finding, CannotTell)
            assert (finding.reason, finding.later) == (why, True)
            assert "certificate" not in stage.shelf.kept


# --- what it offers


def test_check_reads_what_it_offers() -> None:
    with on_stage() as stage:
        assert stage.connector.probe() == Account(title=f"OpenDSR of {DOMAIN}", contacts=None)
        assert [one.url for one in stage.sent] == [f"{URL}/discovery"] * 2 + [CERTIFICATE]
    for offers, why in (
        ({"supported_subject_request_types": ["access"]}, opendsr.NO_ERASURE),
        ({"supported_subject_request_types": None}, opendsr.NO_ERASURE),
        ({"supported_identities": [{"identity_type": "email", "identity_format": "md5"}]}, opendsr.NO_IDENTITY),
        ({"supported_identities": ["email"]}, opendsr.NO_IDENTITY),
        ({"supported_identities": None}, opendsr.NO_IDENTITY),
        ({"processor_certificate": None}, UNREADABLE),
    ):
        with on_stage(StandIn(discovery=offers)) as stage, pytest.raises(ProcessorUnreachable) as caught:
            stage.connector.probe()
        assert why in caught.value.message


def test_one_text_stands_for_a_list_of_one_and_one_common_identity_is_enough() -> None:
    known = {"identity_type": "customer_user_id", "identity_format": "raw"}
    there = {"supported_subject_request_types": "erasure", "supported_identities": [known]}
    with on_stage(StandIn(discovery=there), dialect="appsflyer", property_id="id1") as stage:
        assert stage.connector.probe().title
    known = {"identity_type": "email", "identity_format": "sha256"}
    with on_stage(StandIn(discovery={"supported_identities": [known]}), email_format="sha256", customer_id="") as stage:
        assert stage.connector.probe().title


# --- its own messages


def message(stand_in: StandIn, **said: Any) -> tuple[dict[str, str], bytes]:
    """A callback about the one request, with lower-case header names as they come in."""
    (asked,) = stand_in.asked or ("",)
    whole = {"subject_request_id": asked, "request_status": "completed", "status_callback_url": INBOUND, **said}
    reply = stand_in.signed(200, {name: value for name, value in whole.items() if value is not None})
    return {name.lower(): value for name, value in reply.headers.items()}, reply.body


def test_a_callback_is_that_there_is_news_and_no_more() -> None:
    stand_in = StandIn()
    with on_stage(stand_in) as stage:
        stage.tell(told())
        made = with_inbound(stage)
        headers, body = message(stand_in)
        digest = hashlib.sha256(body).hexdigest()
        expected = Reported("DPS-AAAA", ReportedOutcome.RECEIVED, f"{digest}.202611200900", digest)
        assert made.reported(headers, body) == expected
        assert stage.calls() == 3  # its certificate, for the first time
        assert made.reported(headers, body) == expected
        assert stage.calls() == 3
        stage.clock.seconds += 59
        assert made.reported(headers, body) == expected
        stage.clock.seconds += 1
        assert made.reported(headers, body) == replace(expected, event=f"{digest}.202611200901")
        assert made.reported(*message(stand_in, status_callback_url=None)).outcome is ReportedOutcome.RECEIVED
        assert stage.connector.reported(*message(stand_in, status_callback_url="x")).request == "DPS-AAAA"  # type: ignore[attr-defined]  # because it is OpenDSR's
        stage.tell(told())
        stand_in.asked.popitem()
        assert made.reported(*message(stand_in)).older
        assert (made.taken, made.unsigned, made.only_so) == (202, 403, False)


def test_what_the_processor_did_not_sign_is_no_callback() -> None:
    stand_in = StandIn()
    with on_stage(stand_in, unsigned_answers=True) as stage:
        stage.tell(told())
        made = with_inbound(stage)
        headers, body = message(stand_in)
        stand_in.signs = False
        for forged in (message(stand_in), (headers, body + b" "), ({**headers, "x-opendsr-signature": "AAAA"}, body)):
            with pytest.raises(SignatureInvalid):
                made.reported(*forged)


def test_a_callback_about_nothing_of_ours_is_refused_by_its_field() -> None:
    stand_in = StandIn()
    with on_stage(stand_in) as stage:
        stage.tell(told())
        made = with_inbound(stage)
        strange = ["a7551968-d5d6-44b2-9831-815ac9017798", "", 7, ["x"], "../DPS-AAAA"]
        for name in strange:
            with pytest.raises(PayloadInvalid) as caught:
                made.reported(*message(stand_in, subject_request_id=name))
            assert (caught.value.field, caught.value.problem) == ("subject_request_id", "is of no request of ours")
        with pytest.raises(PayloadInvalid) as caught:
            made.reported(*message(stand_in, status_callback_url=INBOUND + "x"))
        assert caught.value.field == "status_callback_url"
        listed = stand_in.signed(200, ["completed"])
        with pytest.raises(PayloadInvalid, match="must be an object"):
            made.reported({name.lower(): value for name, value in listed.headers.items()}, listed.body)


# --- its section


def test_a_section_is_refused_by_its_key() -> None:
    with pytest.raises(ConfigurationError) as caught:
        connector(url="http://127.0.0.1:9108/v2")
    assert [(one.key, one.problem) for one in caught.value.faults] == [
        ("url", "must begin with https:// outside a rehearsal")
    ]
    with pytest.raises(ConfigurationError) as caught:
        connector(authorities="nothing")
    assert [(one.key, one.problem) for one in caught.value.faults] == [("authorities", "must be certificates as PEM")]
    with pytest.raises(ConfigurationError, match="is not The processor's own"):
        connector(base_url="https://127.0.0.1:9108/v2")
    assert connector(base_url="http://127.0.0.1:9108/v2", rehearsal=True)._settings.base == "http://127.0.0.1:9108/v2"
    assert connector(authorities=None)._settings.certificate_hosts == {DOMAIN}


@pytest.mark.parametrize(
    ("section", "problem"),
    [
        ({"dialect": "appsflyer"}, "property_id is the app"),
        ({"property_id": "id1"}, "property_id is the app"),
        ({"stub": True}, "has a stub"),
        ({"dialect": "mparticle"}, "NAME:PASSWORD"),
        ({"requests_path": "requests"}, "pattern"),
        ({"domain": "Bad Host"}, "pattern"),
        ({"customer_id": "Bad"}, "pattern"),
        ({"regulation": "other"}, "gdpr"),
    ],
)
def test_a_section_that_contradicts_itself_is_refused(section: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        OpenDsrSettings.model_validate({**SECTION, **section})
