"""What is asked is read in one way only, and a refusal names the field but never what stood in it."""

import copy
import json
import string
import traceback
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpsync import strict_json
from dpsync.errors import PayloadInvalid, SignatureInvalid
from dpsync.intake.payload import TestMessage, Withdrawal, parse, parse_request
from dpsync.model import Changes, Lifted, Request, Right, Subject
from dpsync.propagation import serialization
from dpsync.signature import Verifier, signed_headers
from tests.faults.counting import Counted

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
CANARY = "canary.person@example.org"

CANONICAL: dict[str, Any] = {
    "type": "data_subject.request",
    "timestamp": "2026-11-20T09:00:00Z",
    "data": {
        "right": "rectification",
        "ground": "correction",
        "received_at": "2026-11-20T08:55:00Z",
        "version": 17,
        "subject": {
            "id": "crm-4711",
            "email": "ada@example.org",
            "other_emails": ["ada.old@example.org"],
            "phone": "+44 20 7946 0018",
            "name": "Ada L",
            "references": {"google_analytics": ["client-id"]},
        },
        "changes": {
            "email": "ada.new@example.org",
            "first_name": "Ada",
            "last_name": "Lovelace",
            "fields": {"CITY": "Kent", "NOTE": ""},
        },
    },
}


def read(body: bytes) -> Request | Withdrawal | TestMessage:
    return parse(body, source="crm", event_id="evt_1", now=NOW)


def asked(**data: object) -> bytes:
    """An erasure with `data` put over it; what is None falls away."""
    whole = {"right": "erasure", "subject": {"id": "crm-1"}} | data
    return json.dumps(
        {"type": "data_subject.request", "data": {k: v for k, v in whole.items() if v is not None}}
    ).encode()


def read_request(**data: object) -> Request:
    result = read(asked(**data))
    assert isinstance(result, Request)
    return result


def refusal(body: bytes) -> PayloadInvalid:
    with pytest.raises(PayloadInvalid) as caught:
        read(body)
    assert caught.value.__cause__ is None
    assert CANARY not in "".join(traceback.format_exception(caught.value))
    assert not isinstance(caught.value.__context__, ValueError)
    return caught.value


def test_the_canonical_body_becomes_the_request_it_describes() -> None:
    assert read(json.dumps(CANONICAL).encode()) == Request(
        source="crm",
        event_id="evt_1",
        right=Right.RECTIFICATION,
        ground="correction",
        received_at=datetime(2026, 11, 20, 8, 55, tzinfo=UTC),
        version=17,
        subject=Subject(
            id="crm-4711",
            email="ada@example.org",
            other_emails=("ada.old@example.org",),
            phone="+44 20 7946 0018",
            name="Ada L",
            references={"google_analytics": ("client-id",)},
        ),
        changes=Changes(
            email="ada.new@example.org", first_name="Ada", last_name="Lovelace", fields={"CITY": "Kent", "NOTE": ""}
        ),
    )


HOME = {"addr1": "1 High Street", "city": "Kent", "addr2": ""}


def test_a_field_may_be_an_address_by_its_parts_and_each_part_has_a_name() -> None:
    changes = read_request(right="rectification", changes={"fields": {"HOME": HOME, "CITY": "Kent"}}).changes
    assert changes is not None
    assert changes == Changes(fields={"HOME": HOME, "CITY": "Kent"})
    assert changes.names == {"fields/CITY", "fields/HOME/addr1", "fields/HOME/addr2", "fields/HOME/city"}


def test_of_two_rectifications_of_an_address_the_newer_part_stands_and_the_others_stay() -> None:
    older, newer = Changes(fields={"HOME": HOME}), Changes(fields={"HOME": {"city": "Leeds"}})
    assert older.under(newer).fields == {"HOME": HOME | {"city": "Leeds"}}
    assert older.under(Changes(fields={"HOME": ""})).fields == {"HOME": ""}
    assert Changes(fields={"HOME": "old"}).under(newer).fields == newer.fields
    assert older.without(newer.names).fields == {"HOME": {"addr1": "1 High Street", "addr2": ""}}
    assert older.without(older.names).fields == older.without(frozenset({"fields/HOME"})).fields == {}


def padded(value: object) -> object:
    """Each text with a blank at both ends, as a column of fixed width gives it; an empty one stays empty."""
    if isinstance(value, dict):
        return {name: padded(one) for name, one in value.items()}
    if isinstance(value, list):
        return [padded(one) for one in value]
    return f" {value}  " if isinstance(value, str) and value else value


def test_what_is_only_blank_at_the_ends_of_any_text_is_trimmed() -> None:
    data = {"right": "rectification", "ground": "correction"} | {
        part: padded(CANONICAL["data"][part]) for part in ("subject", "changes")
    }
    plain = read_request(**CANONICAL["data"])
    assert (read_request(**data).subject, read_request(**data).changes) == (plain.subject, plain.changes)


@pytest.mark.parametrize("name", ["first_name", "fields", "parts"])
def test_a_blank_is_no_empty_text_that_would_clear_what_is_held(name: str) -> None:
    blank: dict[str, object] = {"fields": {"CITY": "  "}, "parts": {"HOME": {"city": " "}}}
    changes = {"fields": blank[name]} if name in blank else {name: " "}
    assert refusal(asked(right="rectification", changes=changes)).problem == "is blank"


def test_a_request_by_hand_follows_the_same_rules() -> None:
    data = copy.deepcopy(CANONICAL["data"])
    by_hand = parse_request(data, source="hand", event_id="evt_1", now=NOW, by="Grace")
    assert by_hand.by == "Grace"
    assert by_hand.subject == read_request(**data).subject
    with pytest.raises(PayloadInvalid) as caught:
        parse_request({"right": "erasure", "subject": {}}, source="hand", event_id="evt_1", now=NOW)
    assert caught.value.field == "subject"


def test_a_withdrawal_names_the_request() -> None:
    body = b'{"type": "data_subject.request.withdrawn", "data": {"request": "r-1"}}'
    assert read(body) == Withdrawal("crm", "evt_1", "r-1")


def test_what_was_not_said_is_assumed_and_marked() -> None:
    request = read_request()
    assert (request.received_at, request.received_assumed, request.ground) == (NOW, True, "")


def test_null_is_the_same_as_nothing_said() -> None:
    nothing = json.loads(asked())
    nothing["data"] |= {"ground": None, "received_at": None, "version": None, "changes": None, "lifted": None}
    nothing["data"]["subject"] |= {"email": None, "other_emails": None, "phone": None, "name": None, "references": None}
    assert read(json.dumps(nothing).encode()) == read_request()


def test_a_zone_is_understood_and_nanoseconds_are_cut() -> None:
    request = read_request(received_at="2026-11-20T09:30:00.123456789+01:00")
    assert request.received_at == datetime(2026, 11, 20, 8, 30, 0, 123456, tzinfo=UTC)


def test_a_restriction_can_be_lifted_with_when_and_how_the_person_was_told() -> None:
    request = read_request(right="restriction", lifted={"told_on": "2026-11-19", "how": "letter"})
    assert request.lifted == Lifted(date(2026, 11, 19), "letter")


def test_told_today_holds_where_it_is_tomorrow_already() -> None:
    assert read_request(right="restriction", lifted={"told_on": "2026-11-20", "how": "letter"}).lifted


@pytest.mark.fault(30)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"data_subject.request"',
        b"{",
        b"\xff\xfe{\x00}\x00",
        b"\xef\xbb\xbf{}",
        b'{"type": "\xff"}',
        b'{"type": "\xed\xa0\x80"}',
        b'{"type": "data_subject.request\x00"}',
        b'{"type": NaN}',
        b'{"type": Infinity}',
        b'{"type": -Infinity}',
        b'{"type": 1e999}',
        b'{"type": ' + b"9" * 60_000 + b"}",
        b'{"type": "a", "type": "data_subject.request"}',
        b"[" * 60_000,
        b'{"a":' * 17 + b"1" + b"}" * 17,
        b"[" * 17 + b'"' + b'\\"' * 20_000,
        b'{"type": "\\ud800"}',
        b'{"\\udc00": 1}',
        b'{"type": ["\\u0000"]}',
    ],
)
def test_hostile_json_is_refused_as_a_whole(body: bytes, counted: Counted) -> None:
    assert refusal(body).field in {"", "type"}
    counted(30, crashes=int(refusal(body).field not in {"", "type"}))


@pytest.mark.parametrize("text", [r'{"a": "\ud800"}', r'{"\udc00": 1}', r'["\u0000"]', r'{"a": {"b": ["x\u0000y"]}}'])
def test_what_no_store_keeps_alike_does_not_get_past_the_parser(text: str) -> None:
    with pytest.raises(PayloadInvalid) as caught:
        strict_json.load(text.encode())
    assert caught.value.problem == "holds NUL or half a surrogate pair"


def test_brackets_within_a_string_are_no_nesting() -> None:
    assert read_request(subject={"id": "crm-1", "name": '[{"' * 30}).subject.name == '[{"' * 30


def test_a_key_that_stands_twice_deep_inside_is_refused() -> None:
    twice = asked().replace(b'"id": "crm-1"', b'"id": "crm-1", "id": "crm-2"')
    assert refusal(twice).problem == "a key stands twice in one object"


def test_an_emoji_written_as_a_surrogate_pair_is_one_character() -> None:
    assert read_request(subject={"id": "crm-1", "name": "Ada \U0001f600"}).subject.name == "Ada \U0001f600"


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"right": "access"}, "data.right"),
        ({"right": 1}, "data.right"),
        ({"subject": None}, "data.subject"),
        ({"subject": []}, "data.subject"),
        ({"subject": {}}, "data.subject"),
        ({"subject": {"name": "Ada"}}, "data.subject"),
        ({"subject": {"id": ""}}, "data.subject.id"),
        ({"subject": {"id": 4711}}, "data.subject.id"),
        ({"subject": {"id": "x" * 201}}, "data.subject.id"),
        ({"subject": {"id": "crm\r\n1"}}, "data.subject.id"),
        ({"subject": {"id": "crm\u2028"}}, "data.subject.id"),
        ({"subject": {"id": "crm-1", CANARY: 1}}, "data.subject.*"),
        ({"subject": {"other_emails": []}}, "data.subject"),
        ({"subject": {"other_emails": "a@example.org"}}, "data.subject.other_emails"),
        ({"subject": {"other_emails": ["a@example.org", "b"]}}, "data.subject.other_emails.1"),
        ({"subject": {"other_emails": ["a@example.org"] * 21}}, "data.subject.other_emails"),
        ({"subject": {"phone": "ring me"}}, "data.subject.phone"),
        ({"subject": {"phone": "0" * 41}}, "data.subject.phone"),
        ({"subject": {"references": {"crm": []}}}, "data.subject.references.*"),
        ({"subject": {"references": {"crm": "x"}}}, "data.subject.references.*"),
        ({"subject": {"references": {CANARY: ["x"]}}}, "data.subject.references.*"),
        ({"subject": {"references": {str(n): ["x"] for n in range(21)}}}, "data.subject.references"),
        ({"ground": CANARY}, "data.ground"),
        ({"received_at": "2026-11-20"}, "data.received_at"),
        ({"received_at": "2026-11-20T09:00:00"}, "data.received_at"),
        ({"received_at": "2026-13-20T09:00:00Z"}, "data.received_at"),
        ({"received_at": "0001-01-01T00:00:00+14:00"}, "data.received_at"),
        ({"received_at": "9999-12-31T23:59:59-14:00"}, "data.received_at"),
        ({"received_at": 1795165200}, "data.received_at"),
        ({"received_at": "2026-11-20T09:05:01Z"}, "data.received_at"),
        ({"received_at": "1970-01-01T00:00:00Z"}, "data.received_at"),
        ({"version": -1}, "data.version"),
        ({"version": True}, "data.version"),
        ({"version": "17"}, "data.version"),
        ({"version": 2**63}, "data.version"),
        ({"changes": {"first_name": "Ada"}}, "data.changes"),
        ({"right": "rectification"}, "data.changes"),
        ({"right": "rectification", "changes": {}}, "data.changes"),
        ({"right": "rectification", "changes": {"fields": {}}}, "data.changes"),
        ({"right": "rectification", "changes": {"email": ""}}, "data.changes.email"),
        ({"right": "rectification", "changes": {"fields": {CANARY: 1}}}, "data.changes.fields.*"),
        ({"right": "rectification", "changes": {"fields": {"": "x"}}}, "data.changes.fields.*"),
        ({"right": "rectification", "changes": {"fields": {"A": "x\r\ny"}}}, "data.changes.fields.*"),
        ({"right": "rectification", "changes": {"fields": {CANARY: {}}}}, "data.changes.fields.*"),
        ({"right": "rectification", "changes": {"fields": {CANARY: {"city": 1}}}}, "data.changes.fields.*.*"),
        ({"right": "rectification", "changes": {"fields": {CANARY: {CANARY + "@x": "a"}}}}, "data.changes.fields.*.*"),
        ({"right": "rectification", "changes": {"fields": {"A": {"city": {"b": "c"}}}}}, "data.changes.fields.*.*"),
        ({"right": "rectification", "changes": {"fields": {"A": {"city": "x\ny"}}}}, "data.changes.fields.*.*"),
        ({"right": "rectification", "changes": {"fields": {"A": {"city": "x" * 201}}}}, "data.changes.fields.*.*"),
        (
            {"right": "rectification", "changes": {"fields": {"A": {str(n): "" for n in range(21)}}}},
            "data.changes.fields.*",
        ),
        ({"right": "rectification", "changes": {"fields": {"A": ["x"]}}}, "data.changes.fields.*"),
        ({"lifted": {"told_on": "2026-11-19", "how": "letter"}}, "data.lifted"),
        ({"right": "restriction", "lifted": {"how": "letter"}}, "data.lifted.told_on"),
        ({"right": "restriction", "lifted": {"told_on": "2026-11-19"}}, "data.lifted.how"),
        ({"right": "restriction", "lifted": {"told_on": "2026-11-22", "how": "x"}}, "data.lifted.told_on"),
        ({"right": "restriction", "lifted": {"told_on": "20261119", "how": "x"}}, "data.lifted.told_on"),
        ({CANARY: 1}, "data.*"),
    ],
)
def test_what_does_not_fit_is_named_by_its_field(data: dict[str, object], field: str) -> None:
    refused = refusal(asked(**data))
    assert refused.field == field
    assert CANARY not in str(refused)


@pytest.mark.parametrize(
    "address",
    [
        "ada",
        "@example.org",
        "ada@",
        "ada@@example.org",
        "a@b@example.org",
        "ada b@example.org",
        "<ada@example.org>",
        "ada@example.org\r\nBcc: eve@example.org",
        "ada@example.org,eve@example.org",
        "ada@.example.org",
        "ada@example..org",
        "ada＠b@example.org",
        "ada\u00a0b@example.org",
        "ada\u200b@example.org",
        "ada\u202e@example.org",
        "a@" + "b" * 253,
        "ada@example.org\u0000",
    ],
)
def test_what_is_no_address_is_refused(address: str) -> None:
    assert refusal(asked(subject={"email": address})).field in {"data.subject.email", ""}


@pytest.mark.parametrize(
    "address", ["ada@example.org", "o'ada+x=1@sub.example.org", "zoë@exämple.org", "ada@host.localhost"]
)
def test_an_address_keeps_the_spelling_that_came_in(address: str) -> None:
    assert read_request(subject={"email": address}).subject.email == address


def test_an_unknown_field_beside_data_is_refused() -> None:
    assert refusal(b'{"type": "data_subject.request.withdrawn", "data": {"request": "r"}, "x": 1}').field == "*"


def test_a_clock_that_is_five_minutes_ahead_is_believed() -> None:
    assert read_request(received_at="2026-11-20T09:05:00Z").received_at == NOW + timedelta(minutes=5)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(value=json_values, where=st.sampled_from(["type", "timestamp", "data", "right", "subject", "email", "lifted"]))
def test_whatever_stands_anywhere_nothing_but_payload_invalid_escapes(value: object, where: str) -> None:
    body = copy.deepcopy(CANONICAL)
    body["data"]["lifted"] = None
    for part in (body, body["data"], body["data"]["subject"]):
        if where in part:
            part[where] = value
    try:
        read(json.dumps(body).encode())
    except PayloadInvalid:
        return


@given(st.binary(max_size=200))
def test_whatever_bytes_come_nothing_but_payload_invalid_escapes(body: bytes) -> None:
    with pytest.raises(PayloadInvalid):
        read(body)


words = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=20)
addresses = st.builds("{}@example.org".format, st.text(string.ascii_letters + string.digits, min_size=1, max_size=20))
subjects = st.fixed_dictionaries(
    {"id": words},
    optional={
        "email": addresses,
        "other_emails": st.lists(addresses, max_size=3),
        "name": words,
        "references": st.dictionaries(st.sampled_from(["a", "b"]), st.lists(words, min_size=1, max_size=3)),
    },
)
changes = st.fixed_dictionaries(
    {"first_name": words},
    optional={
        "email": addresses,
        "fields": st.dictionaries(
            words, words | st.dictionaries(st.sampled_from(["addr1", "city"]), words | st.just(""), min_size=1)
        ),
    },
)


@given(subjects, changes, st.integers(0, 2**63 - 1), st.datetimes(datetime(2018, 6, 1), datetime(2026, 1, 1)))  # noqa: DTZ001 - because hypothesis wants naive bounds
def test_what_was_read_rests_in_the_store_and_comes_back_the_same(
    subject: dict[str, object], change: dict[str, object], version: int, at: datetime
) -> None:
    received = at.replace(tzinfo=UTC).isoformat()
    request = read_request(
        right="rectification", subject=subject, changes=change, version=version, received_at=received
    )
    assert serialization.from_bytes(serialization.to_bytes(request)) == request


@pytest.mark.parametrize(
    "event_id",
    ["e", "a.b", "a b", "-_:+/=.-", "", " e", "e ", "a@b", "a\nb", "e" * 129, "e" * 128, "evt-\u00e9", "a~b"],
)
def test_an_id_by_hand_is_one_that_a_webhook_may_have(event_id: str) -> None:
    data = {"right": "opt_out", "subject": {"email": "ada@example.org"}}
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    try:
        taken = parse_request(data, source="command", event_id=event_id, now=NOW).event_id == event_id
    except PayloadInvalid:
        taken = False
    try:
        Verifier([secret]).verify(signed_headers(secret, event_id, NOW, b"{}"), b"{}", NOW)
        by_webhook = True
    except (PayloadInvalid, SignatureInvalid):
        by_webhook = False
    assert taken is by_webhook


def opted_out(**more: object) -> bytes:
    data = {"right": "opt_out", "subject": {"id": "crm-1"}, **more}
    return json.dumps({"type": "data_subject.request", "data": data}).encode()


@pytest.mark.parametrize(
    ("scope", "text"),
    [
        ({"topic": "events"}, "topic=events"),
        ({"channel": "email", "list": "members_2", "audience": "a/b", "topic": "e.g-1"}, None),
        ({"channel": "x" * 40}, f"channel={'x' * 40}"),
    ],
)
def test_an_opt_out_from_a_part_keeps_to_it(scope: object, text: str | None) -> None:
    made = read(opted_out(scope=scope))
    assert isinstance(made, Request)
    assert made.scope == (text or "audience=a/b, list=members_2, topic=e.g-1, channel=email")
    assert serialization.from_bytes(serialization.to_bytes(made)) == made
    without = read(opted_out())
    assert isinstance(without, Request)
    assert without.scope == "", "no scope is everything"


@pytest.mark.parametrize(
    ("scope", "problem", "field"),
    [
        ({}, "must hold one or more of audience, list, topic, channel", "data.scope"),
        ({"topic": CANARY}, "must name each with letters, digits", "data.scope"),
        ({"topic": "two words"}, "must name each with letters, digits", "data.scope"),
        ({"topic": ""}, "must name each with letters, digits", "data.scope"),
        ({"topic": "x" * 41}, "must name each with letters, digits", "data.scope"),
        (dict.fromkeys(("list", "topic", "channel"), "x" * 40), "is longer than 120", "data.scope"),
        ({"topic": 7}, "must be text", "data.scope.topic"),
        ({"channel": "email", "topic": None}, "must be text", "data.scope.topic"),
        ({"group": "members"}, "unknown field", "data.scope.*"),
        ("email", "must be an object", "data.scope"),
        ([], "must be an object", "data.scope"),
        (None, "is null: leave it out", "data.scope"),
    ],
)
def test_a_part_of_an_opt_out_is_neither_widened_nor_lost_in_silence(scope: object, problem: str, field: str) -> None:
    with pytest.raises(PayloadInvalid, match=problem) as caught:
        read(opted_out(scope=scope))
    assert caught.value.field == field
    assert CANARY not in str(caught.value)


def test_nothing_but_an_opt_out_has_a_scope() -> None:
    body = opted_out(scope={"topic": "events"}).replace(b"opt_out", b"erasure")
    with pytest.raises(PayloadInvalid, match="only an opt-out has a scope") as caught:
        read(body)
    assert caught.value.field == "data.scope"
