"""The entry's format: one spelling, no identifier, no surprise for a reader in another language."""

import hashlib
import hmac
import json
from calendar import monthrange
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpsync.ledger import entry
from dpsync.ledger.entry import (
    LARGEST,
    LARGEST_NUMBER,
    LONGEST_TEXT,
    EntryKind,
    authorship,
    canonical,
    commitment,
    decode,
    decoded_slowly,
    encode,
    is_ordinary,
    list_digest,
    request_of,
    resp_digest,
    safe,
)
from dpsync.model import Cause
from tests.names import plain

NOW = datetime(2027, 1, 15, 8, 0, 0, tzinfo=UTC)
HEX = "ab" * 32
ROW: dict[str, str | int | None] = {
    "endpoint": "PATCH /3.0/lists/{list_id}/members/{subscriber_hash}",
    "scope": "57afe96172",
    "status": 200,
    "request_id": "a1bd",
    "at": 1_800_000_000_000_000,
    "digest": HEX,
    "note": "",
}


def test_an_entry_is_printed_in_its_one_documented_spelling() -> None:
    body = encode(EntryKind.VERIFIED, NOW, req="r-1", dest="newsletter", right="erasure", attempt=3, http=204, subj=HEX)
    assert body == (
        b'{"attempt":3,"dest":"newsletter","event":"verified","http":204,"req":"r-1","right":"erasure","subj":"'
        + HEX.encode()
        + b'","ts":1800000000,"v":1}'
    )


def test_the_time_is_kept_in_whole_seconds_of_utc() -> None:
    east = datetime(2027, 1, 15, 10, 0, 0, 999_999, tzinfo=timezone(timedelta(hours=2)))
    assert decode(encode(EntryKind.GAP, east))["ts"] == 1_800_000_000


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="zone"):
        encode(EntryKind.GAP, datetime(2027, 1, 15, 8, 0, 0))  # noqa: DTZ001 - because the missing zone is the fault


@pytest.mark.parametrize(
    "fields",
    [
        {"email": "x"},
        {"v": 2},
        {"http": 204.0},
        {"http": True},
        {"http": -1},
        {"http": LARGEST_NUMBER + 1},
        {"http": "204"},
        {"dest": 7},
        {"dest": None},
        {"dest": "Müller"},
        {"dest": "a\nb"},
        {"dest": "x" * 121},
        {"ref": "<ada@example.org>"},
        {"by": "Ada Lovelace"},
        {"why": HEX.upper()},
        {"subj": HEX + "\n"},
        {"resp": HEX[:-1]},
        {"due": "20270115"},
        {"due": "2027-02-30"},
    ],
    ids=plain,
)
def test_what_is_not_in_the_table_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        encode(EntryKind.APPLIED, NOW, **fields)  # type: ignore[arg-type]  # because wrong types are the fault planted


def test_a_refusal_never_repeats_the_value() -> None:
    with pytest.raises(ValueError, match=r"^ref: ") as caught:
        encode(EntryKind.APPLIED, NOW, ref="ada@example.org")
    assert "ada" not in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"\xff",
        b'{"event":"gap","ts":1,"v":2}',
        b'{"event":"gap","ts":1.0,"v":1}',
        b'{"event":"gap","ts":1e0,"v":1}',
        b'{"event":"gap","ts":true,"v":1}',
        b'{"event":"done","ts":1,"v":1}',
        b'{"event":"gap", "ts":1,"v":1}',
        b'{"ts":1,"event":"gap","v":1}',
        b'{"event":"gap","ts":1,"v":1}\n',
        b'{"event":"gap","event":"gap","ts":1,"v":1}',
        b'{"event":"g\\u0061p","ts":1,"v":1}',
        b'{"event":"gap","ts":1,"v":1,"x":1}',
        b'{"event":"gap","ts":01,"v":1}',
        b"[" * 100_000,
    ],
    ids=lambda body: plain(body[:40]),
)
def test_bytes_that_encode_would_not_print_are_no_entry(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        decode(body)


texts = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E, exclude_characters="@"), max_size=120)
numbers = st.integers(0, LARGEST_NUMBER)
digests = st.binary(min_size=32, max_size=32).map(bytes.hex)


@given(
    st.sampled_from(EntryKind),
    st.fixed_dictionaries(
        {},
        optional={
            **dict.fromkeys(("req", "dest", "right", "ref", "cause", "way", "kind", "name"), texts),
            **dict.fromkeys(("attempt", "http", "n", "rung"), numbers),
            **dict.fromkeys(("resp", "subj", "by", "why", "list", "digest"), digests),
            "due": st.dates().map(lambda day: day.isoformat()),
        },
    ),
)
def test_what_was_encoded_is_decoded_and_stays_small(event: EntryKind, fields: dict[str, str | int]) -> None:
    body = encode(event, NOW, **fields)
    assert decode(body) == {**fields, "event": event, "ts": 1_800_000_000, "v": 1}
    assert len(body) <= 2048
    assert body.isascii()


EVERY: dict[str, str | int] = {
    **dict.fromkeys(("attempt", "http", "n", "rung", "told", "received", "assumed", "target", "overdue"), 120),
    **dict.fromkeys(("resp", "subj", "by", "why", "list", "digest", "how"), HEX),
    **dict.fromkeys(("req", "dest", "right", "ref", "cause", "way", "kind", "name", "state", "ground", "rule"), "a b"),
    **dict.fromkeys(("due", "starts", "strict", "letter", "told_on"), "2026-11-20"),
    "rows": f"request:{HEX}:abcd attempt/1:{HEX}:abcd",
}
"""Each key of the format."""


@pytest.fixture
def _worked_out_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is known at a glance is worked out when the module is imported, and so before a test that is about it."""
    monkeypatch.setattr(entry, "_ORDINARY", entry._ordinary_shape())


@pytest.mark.usefixtures("_worked_out_anew")
@pytest.mark.parametrize("kind", EntryKind)
def test_an_entry_of_every_kind_with_all_keys_or_none_is_known_at_a_glance(
    kind: EntryKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    slowly = list[bytes]()
    monkeypatch.setattr(entry, "decoded_slowly", slowly.append)
    for fields in ({}, EVERY):
        body = encode(kind, NOW, **fields)
        assert is_ordinary(body)
        assert decode(body) == decoded_slowly(body) == {**fields, "event": kind, "ts": 1_800_000_000, "v": 1}
    assert slowly == []
    decode(body + b" ")
    assert slowly, "the careful look could not have been seen"


@pytest.mark.usefixtures("_worked_out_anew")
@pytest.mark.parametrize(
    "fields",
    [
        {"name": ""},
        {"name": "x" * LONGEST_TEXT},
        {"name": "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) not in '"@\\')},
        {"n": 0},
        {"n": 10**15 - 1},
        {"rows": "a"},
        {"rows": "x" * (LARGEST - len(b'{"event":"gap","rows":"","ts":1800000000,"v":1}'))},
    ],
    ids=plain,
)
def test_the_ends_of_what_is_known_at_a_glance(fields: dict[str, str | int]) -> None:
    assert is_ordinary(encode(EntryKind.GAP, NOW, **fields))


@pytest.mark.usefixtures("_worked_out_anew")
def test_at_a_glance_every_day_but_the_29th_of_february_is_a_day_and_no_other() -> None:
    whole = encode(EntryKind.GAP, NOW, due="2028-11-20")
    for month in range(15):
        for day in range(41):
            written = f"2028-{month:02}-{day:02}"
            is_day = (1 <= month <= 12) and (1 <= day <= monthrange(2028, month)[1])
            body = whole.replace(b"2028-11-20", written.encode())
            assert is_ordinary(body) is (is_day and (month, day) != (2, 29)), written
    assert decode(whole.replace(b"2028-11-20", b"2028-02-29"))["due"] == "2028-02-29"
    for year in (b"0000", b"0028", b"02028"):
        assert not is_ordinary(whole.replace(b"2028", year))


@pytest.mark.usefixtures("_worked_out_anew")
@pytest.mark.parametrize(
    "body",
    [
        b'{"event":"gap","ts":1}',
        b'{"event":"gap","v":1}',
        b'{"ts":1,"v":1}',
        b'{"event":"gap","ts":1,"v":1,}',
        b'{,"event":"gap","ts":1,"v":1}',
        b'{"event":"gap""ts":1,"v":1}',
        b'{"event":"gap","n":1,"n":1,"ts":1,"v":1}',
        b'{"event":"gap","n":1000000000000000,"ts":1,"v":1}',
        b'{"event":"gap","name":"' + b"x" * (LONGEST_TEXT + 1) + b'","ts":1,"v":1}',
        b'{"event":"gap","rows":"a  b","ts":1,"v":1}',
        b'{"event":"gap","rows":" b","ts":1,"v":1}',
        b'{"event":"gap","rows":"b ","ts":1,"v":1}',
        b'{"event":"gap","rows":"' + b"x" * (LARGEST - 46) + b'","ts":1800000000,"v":1}',
    ],
    ids=lambda body: plain(body[:40]),
)
def test_what_is_no_entry_or_a_rare_one_is_not_known_at_a_glance(body: bytes) -> None:
    assert not is_ordinary(body)


@pytest.mark.usefixtures("_worked_out_anew")
def test_no_byte_of_an_entry_can_change_so_that_a_glance_takes_it_for_one_and_the_careful_look_does_not() -> None:
    body, others = encode(EntryKind.RECEIVED, NOW, **EVERY), b'\n "@,1g\\\x7f'
    taken = 0
    for at in range(len(body)):
        for put in (b"", *(bytes([one]) for one in others), body[at : at + 1] * 2):
            changed = body[:at] + put + body[at + 1 :]
            if is_ordinary(changed):
                taken += 1
                assert decode(changed) == decoded_slowly(changed)
    assert taken > 1_000, "what is another entry is known, too"


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_a_parser_meets_any_bytes_with_one_error(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        decode(body)


@pytest.mark.usefixtures("_worked_out_anew")
@pytest.mark.parametrize("fields", [{}, {"req": "r-one"}, {"req": ""}, {"req": "r-" + "x" * (LONGEST_TEXT - 2)}])
@pytest.mark.parametrize("more", [{}, {"name": "r-two"}, {"n": LARGEST_NUMBER}, {"told_on": "2028-02-29"}])
def test_the_request_that_an_entry_names_is_read_at_a_glance(
    fields: dict[str, str | int], more: dict[str, str | int]
) -> None:
    body = encode(EntryKind.ATTEMPT, NOW, **fields, **more)
    assert is_ordinary(body) is (more.keys() <= {"name"})
    assert request_of(body) == decode(body).get("req") == fields.get("req")


def test_of_what_is_no_entry_no_request_is_read() -> None:
    body = encode(EntryKind.ATTEMPT, NOW, req="r-one")
    long = encode(EntryKind.ATTEMPT, NOW, req="r-one", rows=" ".join(["a" * 90] * 18))
    assert len(long) <= LARGEST < len(long) + 400
    longer = long.replace(b'"rows":"', b'"rows":"' + b"a" * 400)
    for wrong in (b"", body[:-1], body + b" ", body.replace(b'"r-one"', b'"r@one"'), longer):
        with pytest.raises(ValueError, match=r"entry|req|rows"):
            request_of(wrong)


def test_an_entry_of_more_than_two_kib_is_refused() -> None:
    texts = dict.fromkeys(("req", "dest", "right", "ref", "cause", "way", "kind", "name"), '"' * 120)
    with pytest.raises(ValueError, match="2048"):
        encode(EntryKind.APPLIED, NOW, **texts, subj=HEX, by=HEX, why=HEX)


def test_a_commitment_is_the_hmac_that_anybody_can_compute_with_the_key() -> None:
    expected = hmac.new(b"k" * 32, b"ada@example.org", hashlib.sha256).hexdigest()
    assert commitment(b"k" * 32, "ada@example.org") == commitment(b"k" * 32, b"ada@example.org") == expected


def test_who_decided_is_committed_with_the_account() -> None:
    key = b"k" * 32
    assert authorship(key, "Dora") == authorship(key, "Dora", "") == commitment(key, canonical(["Dora", ""]))
    made = {authorship(key, *who) for who in (("Dora", ""), ("Dora", "dora"), ("Dana", ""), ("Dana", "dora"))}
    assert len(made) == 4


def test_the_list_of_processors_has_one_digest_in_any_order() -> None:
    expected = hashlib.sha256(b"agency\nnewsletter\n").hexdigest()
    assert list_digest(["newsletter", "agency"]) == list_digest(("agency", "newsletter")) == expected
    assert list_digest(["agencynewsletter"]) != expected


def test_the_digest_of_the_calls_sees_order_number_and_every_field() -> None:
    whole = resp_digest(b"k", [ROW, {**ROW, "at": 2}])
    assert (
        whole
        == hmac.new(
            b"k", json.dumps([ROW, {**ROW, "at": 2}], sort_keys=True, separators=(",", ":")).encode(), hashlib.sha256
        ).hexdigest()
    )
    others = [[{**ROW, "at": 2}, ROW], [ROW], [], [ROW, {**ROW, "at": 2, "status": None}]]
    assert len({whole, *(resp_digest(b"k", rows) for rows in others), resp_digest(b"l", [ROW, {**ROW, "at": 2}])}) == 6


@pytest.mark.parametrize(
    "row", [{}, {**ROW, "url": "x"}, {**ROW, "status": "200"}, {**ROW, "at": 1.5}, {**ROW, "at": None}], ids=plain
)
def test_an_evidence_row_of_another_shape_is_refused(row: dict[str, str | int | None]) -> None:
    with pytest.raises(ValueError, match="evidence"):
        resp_digest(b"k", [row])


@given(st.text())
def test_a_vendors_id_made_safe_fits_into_an_entry(text: str) -> None:
    assert decode(encode(EntryKind.APPLIED, NOW, ref=safe(text)))["ref"] == safe(text)
    assert len(safe(text)) <= 80


def test_a_safe_id_keeps_what_vendors_use() -> None:
    assert safe("2f6c:1-a/b_C.9 <x@y>\n") == "2f6c:1-a/b_C.9xy"


@pytest.mark.parametrize("text", ["", "20261120", "2026-11-31", "2026-11-20 ", "today"])
def test_what_is_no_date_in_its_one_spelling_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="starts: not a date like 2026-11-20"):
        encode(EntryKind.RECEIVED, NOW, req="r-1", starts=text)


def test_the_longest_entry_is_still_one() -> None:
    text = "x" * LONGEST_TEXT
    whole = encode(EntryKind.RECEIVED, NOW, req=text, rule=text, ground=text)
    rows = "request:" + "0" * (LARGEST - len(whole) - len(',"rows":""') - len("request:"))
    longest = encode(EntryKind.RECEIVED, NOW, req=text, rule=text, ground=text, rows=rows)
    assert len(longest) == LARGEST
    assert decode(longest)["rows"] == rows
    with pytest.raises(ValueError, match="more than 2048 bytes"):
        encode(EntryKind.RECEIVED, NOW, req=text, rule=text, ground=text, rows=f"{rows}0")


@pytest.mark.parametrize(
    "never", [{Cause.SCOPE_UNMAPPED, Cause.FOR_A_PERSON}, {Cause.COOLING_OFF, Cause.MAYBE_MERGE, Cause.FOR_A_PERSON}]
)
def test_an_entry_can_name_every_cause_at_once(never: set[Cause]) -> None:
    """What holds a propagation may be all of it together: a new cause with a long name would be refused midway.

    All but an opt-out of a part, which does not cool off and is no record that is gone; and no erasure is left to a
    person to say what it is.
    """
    every = ",".join(sorted({*Cause} - never))
    assert decode(encode(EntryKind.HELD, NOW, req="r-1", cause=every))["cause"] == every
