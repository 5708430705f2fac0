"""What privacy platforms send, and what dpsync makes of it: never a right that the message does not name."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpsync.errors import PayloadInvalid
from dpsync.intake.sources import forms, reading
from dpsync.intake.sources.forms import BodyForm
from dpsync.intake.sources.rules import SourceDelivery, Understood

ADA = "ada@example.org"
PLATFORMS = ["datagrail-drop", "fides", "kertos", "ketch", "transcend"]


def understood(name: str, body: object, called: str = "n1") -> Understood:
    return reading.load(name, Path()).understand(SourceDelivery("dpo", body, called), bytes.hex)


def refused(name: str, body: object) -> tuple[str, str]:
    with pytest.raises(PayloadInvalid) as caught:
        understood(name, body)
    return caught.value.field, caught.value.problem


def wished(name: str, body: object) -> tuple[str, dict[str, Any], object]:
    (wish,) = understood(name, body).wishes
    subject = wish.data["subject"]
    assert isinstance(subject, dict)
    return str(wish.data["right"]), subject, wish.data.get("received_at")


def transcend(kind: str, **more: Any) -> dict[str, Any]:
    profile = {"identifier": ADA, "type": "email"}
    return {"type": kind, "coreIdentifier": {"value": "4711"}, "isTest": False, "extras": {"profile": profile}, **more}


def ketch(kind: str, *identities: tuple[str, str, str], **more: Any) -> dict[str, Any]:
    names = ("identitySpace", "identityFormat", "identityValue")
    given = [dict(zip(names, one, strict=True)) for one in identities or (("email", "raw", ADA),)]
    request = {"identities": given, "subject": {"email": ADA}, "submittedTimestamp": 1795164900, **more}
    return {"apiVersion": "dsr/v1", "kind": kind, "metadata": {"uid": "u1", "tenant": "example"}, "request": request}


def fides(action: str = "erasure", **more: Any) -> dict[str, Any]:
    asked = {"privacy_request_id": "pri_1", "direction": "two_way", "callback_type": "pre", "policy_action": action}
    return {**asked, "identity": {"email": ADA}, "timestamp": "2026-11-20T08:55:00.123456", **more}


def kertos(operation: str = "delete", **more: Any) -> dict[str, Any]:
    at = "2026-11-20T08:55:00Z"
    return {"data_subject_identifier": ADA, "operation": operation, "received_at": at, **more}


def datagrail(kind: str = "email", **more: Any) -> dict[str, Any]:
    told = {"ticket_uuid": "u1", "hash_type": "email", "match_date": "2026-11-20", "callback_url": "https://x.example"}
    return {**told, "remote_identifier": ADA, "remote_identifier_kind": kind, **more}


def test_each_right_of_transcend_is_that_right() -> None:
    whom = {"id": "dpo:4711", "email": ADA}
    for kind, right in (("ERASURE", "erasure"), ("CONTACT_OPT_OUT", "opt_out"), ("RESTRICTION", "restriction")):
        assert wished("transcend", transcend(kind)) == (right, whom, None)
    for kind in ("ACCESS", "CONTACT_OPT_IN", "SALE_OPT_IN"):
        assert understood("transcend", transcend(kind)).wishes == ()
    for kind in ("RECTIFICATION", "PLACE_ON_LEGAL_HOLD", "REMOVE_LEGAL_HOLD"):
        assert refused("transcend", transcend(kind))[0].startswith("refuse.")
    for kind in ("SALE_OPT_OUT", "BUSINESS_PURPOSE", "erasure", ""):
        assert refused("transcend", transcend(kind))[1] == "matches no rule of this source"


def test_a_test_of_transcend_asks_for_nothing_and_what_is_no_address_is_for_people() -> None:
    assert understood("transcend", transcend("ERASURE", isTest=True)).ignored == ("test",)
    telephone = {"profile": {"identifier": "020 7946 0958", "type": "phone"}}
    assert refused("transcend", transcend("ERASURE", extras=telephone))[0] == "refuse.identifier-without-address"
    refused("transcend", transcend("ERASURE", extras={}))
    refused("transcend", {**transcend("ERASURE"), "coreIdentifier": {}})


def test_two_identifiers_of_transcend_are_two_requests_of_one_person() -> None:
    other = {"profile": {"identifier": "ada.old@example.org", "type": "email"}}
    first, second = (
        understood("transcend", one, nonce).wishes[0]
        for one, nonce in (
            (transcend("ERASURE"), "n1"),
            (transcend("ERASURE", extras=other), "n2"),
        )
    )
    assert first.event != second.event
    assert [one.data["subject"]["id"] for one in (first, second)] == ["dpo:4711"] * 2  # type: ignore[index]  # because it is JSON


def test_each_right_of_ketch_is_that_right() -> None:
    at = "2026-11-20T08:55:00+00:00"
    assert wished("ketch", ketch("DeleteRequest")) == ("erasure", {"email": ADA, "other_emails": [ADA]}, at)
    everything = ketch("RestrictProcessingRequest", purposes=["all"])
    assert wished("ketch", everything)[0] == "restriction"
    for purposes in ([], ["advertising"], ["advertising", "all"]):
        some = ketch("RestrictProcessingRequest", purposes=purposes)
        assert refused("ketch", some)[0] == "refuse.restriction-of-some-purposes"
    assert refused("ketch", ketch("CorrectionRequest"))[0] == "refuse.correction"
    assert refused("ketch", ketch("AccessRequest"))[0] == "refuse.asks-for-data"
    assert refused("ketch", ketch("ExportRequest"))[1] == "matches no rule of this source"


@pytest.mark.parametrize("identity", [("email", "sha1", "aa"), ("account_id", "raw", "1"), ("", "", "")])
def test_an_identity_of_ketch_that_is_no_plain_address_is_for_people(identity: tuple[str, str, str]) -> None:
    assert refused("ketch", ketch("DeleteRequest", identity))[0] == "refuse.identity-without-address"
    assert refused("ketch", ketch("DeleteRequest", identity, ("email", "raw", ADA)))[0].startswith("refuse.")


def test_fides_asks_for_an_erasure_before_it_begins_and_in_a_way_that_waits_for_an_answer() -> None:
    assert wished("fides", fides()) == ("erasure", {"email": ADA}, "2026-11-20T08:55:00.123456Z")
    both = {"email": ADA, "phone_number": "+442079460958"}
    assert wished("fides", fides(identity=both))[1] == {"email": ADA, "phone": "+442079460958"}
    assert refused("fides", fides(direction="one_way"))[0] == "refuse.one-way"
    for action in ("consent", "update"):
        assert refused("fides", fides(action))[0] == "refuse.consent-or-update"
    assert understood("fides", fides("access")).ignored == ("asks-for-data",)
    for moment in ("pre_approval", "post"):
        assert understood("fides", fides(callback_type=moment)).ignored == ("before-approval-or-after",)
    assert refused("fides", fides("anything"))[1] == "matches no rule of this source"


def test_kertos_asks_for_an_erasure_and_no_copy_is_promised() -> None:
    assert wished("kertos", kertos()) == ("erasure", {"email": ADA}, "2026-11-20T08:55:00Z")
    assert refused("kertos", kertos("read"))[0] == "refuse.asks-for-data"
    assert refused("kertos", kertos("update"))[1] == "matches no rule of this source"
    for nobody in ({"data_subject_identifier": None}, {"data_subject_identifier": ""}):
        assert refused("kertos", kertos(**nobody))[1] == "lacks what tells this event from another"
    later = understood("kertos", kertos(received_at="2026-11-21T08:55:00Z"))
    assert later.wishes[0].event != understood("kertos", kertos()).wishes[0].event


def test_datagrails_dispatch_is_an_erasure_where_it_names_an_address() -> None:
    assert wished("datagrail-drop", datagrail()) == ("erasure", {"email": ADA}, None)
    for kind in ("sha256", "user_id", "", None):
        assert refused("datagrail-drop", datagrail(str(kind or "")))[0] == "refuse.identifier-without-address"
    assert refused("datagrail-drop", datagrail(remote_identifier=None))[0] == "refuse.identifier-without-address"
    assert refused("datagrail-drop", {"event": "drop.deletion"})[1] == "matches no rule of this source"
    other = understood("datagrail-drop", datagrail(remote_identifier="ben@example.org"))
    assert other.wishes[0].event != understood("datagrail-drop", datagrail()).wishes[0].event


WORDS = st.sampled_from(
    ["type", "kind", "ERASURE", "DeleteRequest", "erasure", "pre", "two_way", ADA, "email", "raw", "dsr/v1", "all"]
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(0, 9) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize("name", PLATFORMS)
@given(body=ANYTHING)
def test_whatever_else_they_send_gives_no_right_that_their_mapping_does_not_name(name: str, body: object) -> None:
    try:
        found = understood(name, body)
    except PayloadInvalid:
        return
    assert not found.wishes


def test_ketch_and_fides_hear_what_they_want_to_hear() -> None:
    assert forms.answer(BodyForm.FIDES, b"{}") == ('{"halt": false}', "application/json")
    said, kind = forms.answer(BodyForm.KETCH, json.dumps(ketch("DeleteRequest")).encode()) or ("", "")
    assert (json.loads(said), kind) == (
        {
            "apiVersion": "dsr/v1",
            "kind": "DeleteResponse",
            "metadata": {"uid": "u1", "tenant": "example"},
            "response": {"status": "pending"},
        },
        "application/json",
    )
    assert ADA not in said
    assert forms.answer(BodyForm.JSON, b"{}") is None
