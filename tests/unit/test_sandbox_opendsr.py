"""The imitated processor of OpenDSR speaks as its texts say, also where they disagree."""

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import requests
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509 import load_pem_x509_certificate

from dpsync.sandbox.server import RunningSandbox, running_sandbox
from tests.builders import TurnableClock

ADA = "ada@example.org"
CLOCK = TurnableClock(datetime(2026, 11, 20, 9, 0, tzinfo=UTC))
STANDARD, APPSFLYER, MPARTICLE = "/v2/requests", "/api/gdpr/v1/opendsr_requests", "/v3/requests"


@pytest.fixture(scope="module")
def whole() -> Iterator[RunningSandbox]:
    with running_sandbox(now=CLOCK.now) as sandbox:
        yield sandbox


@pytest.fixture
def box(whole: RunningSandbox) -> RunningSandbox:
    whole.reset()
    whole.opendsr.add(ADA, appsflyer_id="17")
    return whole


def call(box: RunningSandbox, method: str, path: str, said: object = None, **headers: str) -> requests.Response:
    told = {"Authorization": f"Bearer {box.addresses.opendsr_token}", **headers}
    return requests.request(method, box.opendsr.url + path, json=said, headers=told, timeout=60)


def asked(number: int, path: str = STANDARD, **changed: Any) -> dict[str, Any]:
    identities: Any = [{"identity_type": "email", "identity_value": ADA, "identity_format": "raw"}]
    if path == MPARTICLE:
        identities = {"email": {"value": ADA, "encoding": "raw"}}
    if path == APPSFLYER:
        identities = [{"identity_type": "appsflyer_id", "identity_value": "17", "identity_format": "raw"}]
    body = {"subject_request_id": str(UUID(int=number, version=4)), "subject_request_type": "erasure"}
    body |= {"submitted_time": "2026-11-20T08:00:00Z"}
    body |= {"property_id": "id1"} if path == APPSFLYER else {"regulation": "gdpr"}
    whole = {**body, "subject_identities": identities, **changed}
    return {name: value for name, value in whole.items() if value is not None}


def code(reply: requests.Response) -> str:
    found: str = reply.json()["error"]["af_gdpr_code"]
    return found


def test_what_is_signed_can_be_checked_by_the_certificate_that_discovery_names(box: RunningSandbox) -> None:
    said = requests.get(box.opendsr.url + "/v2/discovery", timeout=60)  # open to anybody
    certificate = load_pem_x509_certificate(requests.get(said.json()["processor_certificate"], timeout=60).content)
    key = certificate.public_key()
    assert isinstance(key, RSAPublicKey)
    for reply in (said, call(box, "POST", STANDARD, asked(1)), call(box, "GET", STANDARD + "/none")):
        assert reply.headers["x-opendsr-processor-domain"] == "opendsr.sandbox.example"
        key.verify(base64.b64decode(reply.headers["x-opendsr-signature"]), reply.content, PKCS1v15(), SHA256())
    assert call(box, "GET", "/v2/nothing", Authorization="Bearer x").status_code == 401


def test_the_regulation_that_the_example_lacks_is_needed_and_a_no_names_its_field(box: RunningSandbox) -> None:
    reply = call(box, "POST", STANDARD, asked(1, regulation=None))
    assert (reply.status_code, reply.json()["error"]["message"]) == (400, "regulation is required")
    assert (reply.json()["error"]["code"], ADA in reply.text) == (400, False)
    for field, value in (
        ("subject_request_id", "7"),
        ("subject_request_type", "rectification"),
        ("submitted_time", "x"),
    ):
        assert call(box, "POST", STANDARD, asked(1, **{field: value})).status_code == 400


def test_the_same_again_is_answered_alike_and_another_body_is_none(box: RunningSandbox) -> None:
    first = call(box, "POST", STANDARD, asked(1))
    assert first.status_code == 201
    assert json.loads(base64.b64decode(first.json()["encoded_request"])) == asked(1)
    assert call(box, "POST", STANDARD, asked(1)).json() == first.json()
    assert call(box, "POST", STANDARD, asked(1, regulation="ccpa")).status_code == 400
    assert box.opendsr.effects("asked") == 1


def test_a_signature_may_stand_in_the_body_alone_and_names_may_be_old(box: RunningSandbox) -> None:
    box.opendsr.switch(in_body=True)
    reply = call(box, "POST", "/v2/opengdpr_requests", asked(1))
    assert "processor_signature" in reply.json()
    assert "x-opendsr-signature" not in reply.headers
    box.opendsr.switch(in_body=False, old_names=True, nulls=True)
    reply = call(box, "GET", f"/v2/opengdpr_requests/{asked(1)['subject_request_id']}")
    assert "x-opengdpr-signature" in reply.headers
    assert reply.json()["results_url"] is None


def test_appsflyer_has_its_own_path_codes_and_spelling(box: RunningSandbox) -> None:
    name = asked(1)["subject_request_id"]
    assert code(call(box, "GET", f"{APPSFLYER}/{name}")) == "e214"
    assert code(call(box, "POST", APPSFLYER, asked(1, APPSFLYER, property_id=None))) == "e317"
    email = [{"identity_type": "email", "identity_value": ADA, "identity_format": "raw"}]
    assert code(call(box, "POST", APPSFLYER, asked(1, APPSFLYER, subject_identities=email))) == "e318"
    assert call(box, "POST", APPSFLYER, asked(1, APPSFLYER)).status_code == 201
    assert code(call(box, "POST", APPSFLYER, asked(1, APPSFLYER))) == "e213"
    assert code(call(box, "POST", APPSFLYER, asked(2, APPSFLYER))) == "e215"
    box.opendsr.act(ADA, "begin")
    assert call(box, "GET", f"{APPSFLYER}/{name}").json()["request_status"] == "in-progress"
    assert code(call(box, "DELETE", f"{APPSFLYER}/{name}")) == "e211"
    assert call(box, "POST", "/api/gdpr/v1/stub", asked(3, APPSFLYER, subject_identities=[])).status_code == 400
    box.opendsr.fault("status", status=500, method="GET")
    assert code(call(box, "GET", f"{APPSFLYER}/{name}")) == "e511"


def test_mparticle_takes_an_object_and_basic(box: RunningSandbox) -> None:
    assert call(box, "POST", MPARTICLE, asked(1)).status_code == 400
    basic = base64.b64encode(box.addresses.opendsr_token.encode()).decode()
    reply = call(box, "POST", MPARTICLE, asked(1, MPARTICLE), Authorization=f"Basic {basic}")
    assert reply.status_code == 201
    assert call(box, "GET", f"{STANDARD}/{asked(1)['subject_request_id']}").status_code == 400  # of another dialect


def test_its_clock_brings_it_to_its_end_and_only_what_is_pending_can_be_cancelled(box: RunningSandbox) -> None:
    one, two = (asked(number)["subject_request_id"] for number in (1, 2))
    call(box, "POST", STANDARD, asked(1))
    call(box, "POST", STANDARD, asked(2))
    assert call(box, "DELETE", f"{STANDARD}/{two}").status_code == 202
    seen = []
    for hours in (0, 1, 47):
        CLOCK.advance(timedelta(hours=hours))
        seen.append(call(box, "GET", f"{STANDARD}/{one}").json()["request_status"])
    assert seen == ["pending", "in_progress", "completed"]
    assert box.opendsr.holds(ADA) == []
    assert call(box, "DELETE", f"{STANDARD}/{one}").status_code == 400
    assert call(box, "GET", f"{STANDARD}/{two}").json()["request_status"] == "cancelled"
