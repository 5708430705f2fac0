"""What privacy platforms send, and what dpsync makes of it: never a right that the message does not name."""

import json
from collections.abc import Iterator, Mapping
from copy import deepcopy
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpsync.errors import PayloadInvalid
from dpsync.intake.sources import forms, reading
from dpsync.intake.sources.forms import BodyForm
from dpsync.intake.sources.rules import SourceDelivery, SourceMapping, Understood

ADA = "ada@example.org"
PLATFORMS = ["custom", "datagrail-drop", "fides", "kertos", "ketch", "transcend"]


def understood(name: str, body: object, called: str = "n1") -> Understood:
    return loaded(name).understand(SourceDelivery("dpo", body, called), bytes.hex)


@cache
def loaded(name: str) -> SourceMapping:
    return reading.load(name, Path())


def refused(name: str, body: object) -> tuple[str, str]:
    with pytest.raises(PayloadInvalid) as caught:
        understood(name, body)
    return caught.value.field, caught.value.problem


def wished(name: str, body: object) -> tuple[str, dict[str, Any], object]:
    (wish,) = understood(name, body).wishes
    subject = wish.data["subject"]
    assert isinstance(subject, dict)
    return str(wish.data["right"]), subject, wish.data.get("received_at")


def transcend(kind: str, name: str = ADA, form: str = "email", **more: Any) -> dict[str, Any]:
    extras = {"profile": {"identifier": name, "type": form}, "request": {"id": "t-1"}}
    return {"type": kind, "coreIdentifier": {"value": "4711"}, "isTest": False, "extras": extras, **more}


def ketch(kind: str, *identities: tuple[str, str, str], **more: Any) -> dict[str, Any]:
    names = ("identitySpace", "identityFormat", "identityValue")
    given = [dict(zip(names, one, strict=True)) for one in identities or (("email", "raw", ADA),)]
    request = {"identities": given, "subject": {"email": ADA}, "submittedTimestamp": 1795164900, **more}
    return {"apiVersion": "dsr/v1", "kind": kind, "metadata": {"uid": "u1", "tenant": "example"}, "request": request}


def fides(action: str = "erasure", **more: Any) -> dict[str, Any]:
    asked = {"privacy_request_id": "pri_1", "direction": "two_way", "callback_type": "pre", "policy_action": action}
    return {**asked, "identity": {"email": ADA}, "timestamp": "2026-11-20T08:55:00.123456", **more}


def denied(kind: str, version: str, uid: str = "u1", **more: Any) -> dict[str, Any]:
    asked = ketch(kind, **more)
    return {**asked, "apiVersion": version, "metadata": {**asked["metadata"], "uid": uid}}


def custom(right: str, **more: Any) -> dict[str, Any]:
    blank = dict.fromkeys(("second_email", "phone", "new_email", "new_first_name", "new_last_name", "topic"), "")
    return {"event": "DSAR-1", "right": right, "received_at": "", "id": "", "email": ADA, **blank, **more}


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
    assert refused("transcend", transcend("REMOVE_FROM_LEGAL_HOLD"))[0] == "refuse.legal-hold-removed"
    for kind in ("SALE_OPT_OUT", "BUSINESS_PURPOSE", "erasure", ""):
        assert refused("transcend", transcend(kind))[1] == "matches no rule of this source"


def test_a_test_of_transcend_asks_for_nothing_and_what_is_no_address_is_for_people() -> None:
    assert understood("transcend", transcend("ERASURE", isTest=True)).ignored == ("test",)
    assert refused("transcend", transcend("ERASURE", "x", "advertisingId"))[0] == "refuse.identifier-without-address"
    refused("transcend", transcend("ERASURE", extras={}))
    refused("transcend", {**transcend("ERASURE"), "coreIdentifier": {}})


def test_all_identifiers_of_one_request_of_transcend_are_of_one_event() -> None:
    def asked(body: dict[str, Any], nonce: str) -> tuple[str, str]:
        (wish,) = understood("transcend", body, nonce).wishes
        return wish.event, wish.own_event

    first, own = asked(transcend("ERASURE"), "n1")
    for body in (transcend("ERASURE", "ada.old@example.org"), transcend("ERASURE", "+442079460958", "phone")):
        event, other = asked(body, "n2")
        assert (event == first, other == own) == (True, False)
    assert asked(transcend("ERASURE"), "n1") == (first, own), "sent again it is the same"
    assert asked(transcend("RESTRICTION"), "n2")[0] != first
    assert asked({**transcend("ERASURE"), "coreIdentifier": {"value": "4712"}}, "n2")[0] != first, "another person"
    later = transcend("ERASURE")
    later["extras"]["request"]["id"] = "t-2"
    assert asked(later, "n2")[0] != first
    for nameless in ({}, {"id": ""}):  # of next year's request nobody could tell it
        later["extras"]["request"] = nameless
        assert asked(later, "n2")[1] == ""


@pytest.mark.parametrize(
    ("name", "body", "right"),
    [
        ("transcend", transcend("RECTIFICATION"), "rectification"),
        ("transcend", transcend("PLACE_ON_LEGAL_HOLD"), "restriction"),
        ("transcend", transcend("PLACE_ON_LEGAL_HOLD", "x", "advertisingId"), "restriction"),
        ("ketch", ketch("CorrectionRequest"), "rectification"),
        ("ketch", ketch("RestrictProcessingRequest", purposes=[]), "restriction"),
        ("ketch", ketch("RestrictProcessingRequest"), "restriction"),
        ("fides", fides("update"), "rectification"),
        ("custom", custom("rectification"), "rectification"),
    ],
)
def test_what_does_not_say_what_is_to_be_done_is_taken_and_left_to_a_person(
    name: str, body: dict[str, Any], right: str
) -> None:
    (wish,) = understood(name, body).wishes
    assert (wish.data["right"], wish.for_a_person, "changes" in wish.data) == (right, True, False)


def scopes(body: dict[str, Any]) -> list[object]:
    found = understood("ketch", body)
    assert {wish.data["right"] for wish in found.wishes} <= {"opt_out"}
    assert len({wish.event for wish in found.wishes}) == len(found.wishes)
    return [wish.data.get("scope") for wish in found.wishes]


def test_what_is_denied_at_ketch_is_an_opt_out_from_that_part_and_what_is_granted_is_nothing() -> None:
    topics = {
        "appeals": {"contactMethods": ["email", "sms"], "status": "denied"},
        "events": {"status": "denied"},
        "news": {"contactMethods": ["email"], "status": "granted"},
    }
    by_channel = [{"topic": "appeals", "channel": one} for one in ("email", "sms")]
    subscription = "subscription/v1"
    assert scopes(denied("SubscriptionTopicRequest", subscription, topics=topics)) == [*by_channel, {"topic": "events"}]
    everything = {"global_subscription": {"status": "denied"}}
    assert scopes(denied("SubscriptionControlRequest", subscription, controls=everything)) == [None]
    for value in (False, "denied", {"status": "denied"}):
        body = denied("ConsentRequest", "consent/v1", purposes={"email_mktg": value, "analytics": True})
        assert scopes(body) == [{"topic": "email_mktg"}]
    for value in (True, "granted", {"status": "granted"}):
        assert scopes(denied("ConsentRequest", "consent/v1", purposes={"email_mktg": value})) == []
    assert forms.answer(BodyForm.KETCH, json.dumps({"apiVersion": "consent/v1"}).encode()) == ("", "application/json")


@pytest.mark.parametrize(
    "topics",
    [
        {"news": {"status": "denied"}, "events": {"status": "withdrawn"}},
        {"news": {"status": "denied", "contactMethods": []}},
        {"news": {"status": "denied"}, "events": None},
        {},
    ],
)
def test_a_topic_that_nobody_understands_is_not_lost_among_the_others(topics: dict[str, Any]) -> None:
    assert refused("ketch", denied("SubscriptionTopicRequest", "subscription/v1", topics=topics))[1]


def test_a_template_of_anybodys_own_is_each_right_with_what_it_has() -> None:
    assert wished("custom", custom("erasure", id="4711")) == ("erasure", {"id": "dpo:4711", "email": ADA}, None)
    at = "2026-11-20T08:55:00Z"
    assert wished("custom", custom("restriction", received_at=at)) == ("restriction", {"email": ADA}, at)
    (part,) = understood("custom", custom("opt_out", topic="events")).wishes
    assert (part.data["right"], part.data["scope"]) == ("opt_out", {"topic": "events"})
    (everything,) = understood("custom", custom("opt_out")).wishes
    assert "scope" not in everything.data
    changed = understood("custom", custom("rectification", new_email="a@example.org", new_last_name="K")).wishes
    assert [wish.data["changes"] for wish in changed] == [{"email": "a@example.org"}, {"last_name": "K"}]
    assert refused("custom", custom("access"))[1] == "matches no rule of this source"
    assert refused("custom", custom("erasure", topic="events"))[1], "nothing but an opt-out is from a part"


def test_each_right_of_ketch_is_that_right() -> None:
    at = "2026-11-20T08:55:00+00:00"
    assert wished("ketch", ketch("DeleteRequest")) == ("erasure", {"email": ADA, "other_emails": [ADA]}, at)
    everything = ketch("RestrictProcessingRequest", purposes=["all"])
    assert wished("ketch", everything)[0] == "restriction"
    for purposes in (["advertising"], ["advertising", "all"], ["all", "advertising"]):
        some = ketch("RestrictProcessingRequest", purposes=purposes)
        assert refused("ketch", some)[0].endswith("refuse.restriction-of-some-purposes")
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
    assert refused("fides", fides("consent"))[0] == "refuse.consent"
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


def asked_for(name: str, body: Mapping[str, Any]) -> str:
    """The right that a body names, by the platform's own word for it; "" for none that we know."""
    word = {"transcend": "type", "ketch": "kind", "fides": "policy_action", "kertos": "operation", "custom": "right"}
    if name == "datagrail-drop":
        return "erasure"
    said = body.get(word[name])
    return RIGHTS[name].get(said, "") if isinstance(said, str) else ""


RIGHTS = {
    "custom": {one: one for one in ("erasure", "restriction", "opt_out", "rectification")},
    "fides": {"erasure": "erasure", "update": "rectification"},
    "kertos": {"delete": "erasure"},
    "ketch": {
        "DeleteRequest": "erasure",
        "CorrectionRequest": "rectification",
        "RestrictProcessingRequest": "restriction",
        "SubscriptionTopicRequest": "opt_out",
        "SubscriptionControlRequest": "opt_out",
        "ConsentRequest": "opt_out",
    },
    "transcend": {
        "ERASURE": "erasure",
        "RECTIFICATION": "rectification",
        "RESTRICTION": "restriction",
        "PLACE_ON_LEGAL_HOLD": "restriction",
        "CONTACT_OPT_OUT": "opt_out",
    },
}
GOLDEN: dict[str, list[dict[str, Any]]] = {
    "custom": [custom(one) for one in RIGHTS["custom"]],
    "datagrail-drop": [datagrail()],
    "fides": [fides(), fides("update")],
    "kertos": [kertos()],
    "ketch": [
        ketch("DeleteRequest"),
        ketch("RestrictProcessingRequest", purposes=["all"]),
        denied("SubscriptionTopicRequest", "subscription/v1", topics={"news": {"status": "denied"}}),
        denied("ConsentRequest", "consent/v1", purposes={"news": False}),
    ],
    "transcend": [transcend(one) for one in RIGHTS["transcend"]],
}
WORDS = [
    "type",
    "granted",
    "SALE_OPT_OUT",
    "CONTACT_OPT_IN",
    "AccessRequest",
    "access",
    "read",
    "post",
    "one_way",
    "sha1",
]
MEANT = sorted({*WORDS, ADA, *(word for words in RIGHTS.values() for word in words)})


def anything(chance: Random, depth: int = 3) -> Any:
    kind = chance.randrange(8 if depth else 6)
    if kind < 6:
        return (None, chance.random() < 0.5, chance.randrange(10), chance.choice(MEANT), [], {})[kind]
    inner = [anything(chance, depth - 1) for _ in range(chance.randrange(4))]
    return inner if kind == 6 else {chance.choice(MEANT): one for one in inner}


def places(value: object) -> Iterator[tuple[dict[str, Any], str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield value, key
            yield from places(inner)
    for inner in value if isinstance(value, list) else ():
        yield from places(inner)


def sent(name: str, chance: Random) -> Any:
    """What a platform sends, with some values changed for others; or anything at all."""
    if chance.randrange(4) == 0:
        return anything(chance)
    body = deepcopy(chance.choice(GOLDEN[name]))
    for _ in range(chance.randrange(4)):
        holder, key = chance.choice(list(places(body)))
        holder[key] = anything(chance, 1)
    return body


@pytest.mark.parametrize("name", PLATFORMS)
@given(chance=st.integers(0, 2**32))
@settings(max_examples=1000, database=None, deadline=None)
def test_whatever_they_send_gives_no_right_that_they_do_not_name(name: str, chance: int) -> None:
    body = sent(name, Random(chance))
    try:
        found = understood(name, body)
    except PayloadInvalid:
        return
    named = {asked_for(name, body)} if isinstance(body, dict) else set[str]()
    assert {wish.data["right"] for wish in found.wishes} <= named


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
