"""What a request of OpenDSR asks for, or which of its fields cannot be taken to the letter."""

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpsync.errors import PayloadInvalid
from dpsync.intake.opendsr.reading import Handed, read
from dpsync.model import Right
from tests.opendsr import ADA, DOMAIN, ID, asked, identity, written

NOW = datetime(2026, 11, 20, 9, tzinfo=UTC)
HUB = "https://hub.example.org"


def handed(body: bytes, allowed: tuple[str, ...] = (HUB,), *, now: datetime = NOW) -> Handed:
    return read(body, source="opendsr:shop", domain=DOMAIN, allowed=allowed, now=now)


def refused(**more: Any) -> tuple[str, str]:
    with pytest.raises(PayloadInvalid) as caught:
        handed(written({name: value for name, value in asked(**more).items() if value is not ...}))
    assert ADA not in str(caught.value)
    return caught.value.field, caught.value.problem


def test_all_that_names_the_person_is_taken() -> None:
    named = [identity(), identity("4711", "controller_customer_id"), identity(" ada.b@example.org ")]
    named += [identity(ADA.upper())] * 90
    found = handed(written(asked(subject_identities=named, regulation="ccpa", api_version="1.0"))).request
    assert (found.source, found.event_id, found.right) == ("opendsr:shop", ID, Right.ERASURE)
    assert found.subject.id == "opendsr:shop:4711"
    assert (found.subject.email, found.subject.other_emails) == (ADA, ("ada.b@example.org",))
    assert (found.received_at, found.received_assumed) == (datetime(2026, 11, 20, 8, 55, tzinfo=UTC), False)


def test_an_extension_for_somebody_else_and_what_says_nothing_are_passed_over() -> None:
    other = {"extensions": {"elsewhere.example": {"ratio": 0.5, "\u0000": None}}}
    body = json.dumps({**asked(), **other, "status_callback_urls": None, "api_version": None})
    assert handed(body.encode()).callbacks == ()
    assert refused(extensions={DOMAIN.upper(): {}}) == ("extensions", f"{DOMAIN} has no extension")
    assert refused(extensions=[])[0] == "extensions"


@pytest.mark.parametrize(
    ("submitted", "assumed"),
    [
        (NOW, False),
        (NOW + timedelta(minutes=5), False),
        (NOW + timedelta(minutes=6), True),
        (NOW - timedelta(days=365), False),
        (NOW - timedelta(days=366), True),
    ],
)
def test_the_clock_of_the_sender_counts_unless_it_cannot_be_right(submitted: datetime, *, assumed: bool) -> None:
    found = handed(written(asked(submitted_time=submitted.isoformat()))).request
    assert (found.received_at, found.received_assumed) == (NOW if assumed else min(submitted, NOW), assumed)


@pytest.mark.parametrize(
    ("more", "field", "problem"),
    [
        ({"regulation": None}, "regulation", "missing"),
        ({"regulation": "lgpd"}, "regulation", "must be gdpr or ccpa"),
        ({"regulation": ["gdpr"]}, "regulation", "must be gdpr or ccpa"),
        ({"subject_request_id": None}, "subject_request_id", "missing"),
        ({"subject_request_id": ID.upper()}, "subject_request_id", "must be a UUID of version 4 in small letters"),
        ({"subject_request_type": None}, "subject_request_type", "missing"),
        ({"subject_request_type": "access"}, "subject_request_type", "must be erasure: nothing else is done here"),
        (
            {"subject_request_type": "rectification"},
            "subject_request_type",
            "must be access or portability or erasure",
        ),
        ({"submitted_time": None}, "submitted_time", "missing"),
        ({"submitted_time": "2026-11-20"}, "submitted_time", "is not a time, as in 2026-11-20T09:00:00Z"),
        ({"api_version": 2}, "api_version", "must be 2.0 or 1.0"),
        ({"api_version": "3.0"}, "api_version", "must be 2.0 or 1.0"),
        ({"ada@example.org": 1}, "*", "unknown field"),
        ({"subject_identities": None}, "subject_identities", "missing"),
        ({"subject_identities": []}, "subject_identities", "must be a list of 1 to 100 identities"),
        ({"subject_identities": [identity()] * 101}, "subject_identities", "must be a list of 1 to 100 identities"),
        ({"subject_identities": {"email": ADA}}, "subject_identities", "must be a list of 1 to 100 identities"),
        (
            {"subject_identities": [identity(kind="ios_vendor_id"), identity()]},
            "subject_identities",
            "holds an identity_type that finds nobody here: email and controller_customer_id do",
        ),
        (
            {"subject_identities": [identity(), identity(form="sha256")]},
            "subject_identities",
            "holds an identity_format other than raw: nobody is found by a hash everywhere",
        ),
        (
            {"subject_identities": [identity("1", "controller_customer_id"), identity("2", "controller_customer_id")]},
            "subject_identities",
            "holds two values of controller_customer_id: send a request of each",
        ),
        (
            {"subject_identities": [{**identity(), "more": 1}]},
            "subject_identities",
            "must hold objects of identity_format, identity_type, identity_value alone",
        ),
        (
            {"subject_identities": [identity(" ")]},
            "subject_identities",
            "holds an identity_value that is empty or no text",
        ),
        (
            {"subject_identities": [identity("4711\u0000", "controller_customer_id")]},
            "subject_identities",
            "holds an identity_value that cannot be used: holds NUL or half a surrogate pair",
        ),
        ({"status_callback_urls": HUB}, "status_callback_urls", "must be a list of 20 addresses or fewer"),
        ({"status_callback_urls": [HUB] * 21}, "status_callback_urls", "must be a list of 20 addresses or fewer"),
    ],
)
def test_what_cannot_be_taken_to_the_letter_names_its_field(more: dict[str, Any], field: str, problem: str) -> None:
    assert refused(**more) == (field, problem)


def test_an_address_that_is_none_is_refused_without_a_word_of_it() -> None:
    field, problem = refused(subject_identities=[identity("ada at example.org")])
    assert (field, problem.startswith("holds an identity_value that cannot be used: ")) == ("subject_identities", True)
    assert "ada" not in problem


@pytest.mark.parametrize(
    "address",
    [
        "http://hub.example.org",
        "https://hub.example.org:8443/",
        "https://hub.example.org.evil.example",
        "https://ada@hub.example.org",
        "https://hub.example.org\\@evil.example",
        "https://hub.example.org/a b",
        "https://hub.example.org/\n",
        "https://127.0.0.1/",
        "//hub.example.org",
        "",
        7,
    ],
)
def test_news_go_to_no_host_that_was_not_agreed_on(address: object) -> None:
    assert refused(status_callback_urls=[f"{HUB}/1", address])[0] == "status_callback_urls"


def test_each_address_hears_once() -> None:
    urls = [f"{HUB}/1", f"{HUB}/2?a=b", f"{HUB}/1"]
    assert handed(written(asked(status_callback_urls=urls))).callbacks == (f"{HUB}/1", f"{HUB}/2?a=b")
    assert "hub" not in repr(handed(written(asked(status_callback_urls=urls))))
    with pytest.raises(PayloadInvalid):
        handed(written(asked(status_callback_urls=urls)), ())


_VALUES = st.recursive(
    st.none() | st.integers(0, 9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(sorted(asked())), inner, max_size=3),
    max_leaves=4,
)


@settings(max_examples=60)
@given(_VALUES)
def test_whatever_comes_is_an_erasure_or_a_refusal(value: object) -> None:
    for body in (value, {**asked(), **value} if isinstance(value, dict) else value):
        with suppress(PayloadInvalid):
            assert handed(json.dumps(body).encode()).request.right is Right.ERASURE
