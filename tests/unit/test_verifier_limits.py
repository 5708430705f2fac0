"""Where the one-file verifier draws its lines: what stands on a line is taken, and what is one step over it is not."""

import base64
import json
from copy import deepcopy
from hashlib import sha256
from typing import Any

import pytest

from dpsync.ledger import entry, merkle, note, receipt, verify_receipt
from dpsync.ledger.entry import EntryKind
from dpsync.model import Rung
from tests.unit.test_ledger_receipt import (
    COMMIT_KEY,
    EMAIL,
    LINE,
    NAMES,
    NOW,
    ORIGIN,
    SIGNER,
    grown,
    ledger,
    receipt_of,
    refused,
    resealed,
)

ROOT = base64.b64encode(bytes(32)).decode()


def signed(text: str) -> str:
    return note.sign_text(f"{text}\n", [SIGNER])


def not_holding(note_text: str) -> None:
    with pytest.raises(verify_receipt.NOT_HOLDING):
        verify_receipt.head(note_text, LINE)


def test_the_text_of_a_note_ends_at_its_last_empty_line() -> None:
    assert verify_receipt.signed_text(signed("one\n\ntwo"), LINE) == "one\n\ntwo"


def test_a_line_of_somebody_elses_holds_a_key_id_and_more() -> None:
    good = signed("one")
    for size, well in ((4, False), (5, True)):
        other = f"{good}— other {base64.b64encode(bytes(size)).decode()}\n"
        if well:
            assert verify_receipt.signed_text(other, LINE) == "one"
        else:
            not_holding(other)


def test_a_note_may_have_64_kilobytes() -> None:
    spare = 64 * 1024 - len(signed("").encode())
    longest = signed("x" * spare)
    assert len(longest.encode()) == 64 * 1024
    assert verify_receipt.signed_text(longest, LINE) == "x" * spare
    with pytest.raises(verify_receipt.NOT_HOLDING, match="not signed just once"):
        verify_receipt.signed_text(signed("x" * (spare + 1)), LINE)


@pytest.mark.parametrize(
    "text",
    [
        f"{ORIGIN}\n05\n{ROOT}",
        f"{ORIGIN}\n+5\n{ROOT}",
        f"{ORIGIN}\n5\n{base64.b64encode(bytes(31)).decode()}",
        f"{ORIGIN}\n\n5\n{ROOT}",
        f"{ORIGIN} 5 {ROOT}",
    ],
)
def test_a_checkpoint_has_one_spelling(text: str) -> None:
    assert verify_receipt.head(signed(f"{ORIGIN}\n5\n{ROOT}"), LINE) == (ORIGIN, 5, bytes(32))
    not_holding(signed(text))


def test_an_entry_stands_before_the_end_of_the_ledger() -> None:
    leaf = merkle.leaf_hash(b"x")
    assert verify_receipt.root_over(leaf, 0, 1, []) == leaf
    for index in (-1, 1):
        with pytest.raises(verify_receipt.NOT_HOLDING):
            verify_receipt.root_over(leaf, index, 1, [])


@pytest.mark.parametrize(("size", "taken"), [(2048, True), (2049, False)])
def test_an_entry_may_have_two_kilobytes(size: int, taken: bool) -> None:
    frame = b'{"event":"received","name":"%b","req":"r-one","ts":1,"v":1}'
    body = frame % (b"x" * (size - len(frame) + 2))
    assert len(body) == size
    head = note.Checkpoint(ORIGIN, 1, merkle.leaf_hash(body))
    logged = {"index": 0, "body": base64.b64encode(body).decode(), "proof": []}
    value = {**receipt_of(), "checkpoint": note.sign(head, SIGNER), "entries": [logged], "evidence": {}}
    told = refused(resealed(value))
    assert (told == "entry 0 is not in the one spelling of the format") is not taken


@pytest.mark.parametrize(
    ("rung", "told", "says_so"), [(0, 0, False), (1, 0, True), (4, 0, True), (1, 1, False), (4, None, False)]
)
def test_what_was_taken_back_is_said_of_what_was_sent(rung: int, told: int | None, says_so: bool) -> None:
    last: dict[str, Any] = {"event": "bounced", "dest": "agency", "state": "escalated", "right": "erasure"}
    last |= {"rung": rung, "ts": 1_800_000_000} | ({} if told is None else {"told": told})
    _, sentence = verify_receipt.last_words("agency", [(0, last)])
    assert (", and taken back: not told (rung" in sentence) is says_so


def test_the_receipt_of_a_lifted_restriction_begins_with_the_lifting() -> None:
    subj = entry.commitment(COMMIT_KEY, EMAIL)
    first: dict[str, Any] = {"n": len(NAMES), "list": entry.list_digest(NAMES), "subj": subj, "right": "restriction"}
    for event, valid in ((EntryKind.LIFTED, True), (EntryKind.ATTEMPT, False)):
        with ledger([("r-one", entry.encode(event, NOW, req="r-one", **first))]) as (log, connection):
            value = log.receipt(
                connection,
                "r-one",
                commit_key=COMMIT_KEY,
                processors=NAMES,
                evidence={},
                signed=log.checkpoint(connection, NOW),
            )
        if valid:
            lines = verify_receipt.check(receipt.dump(value), LINE, EMAIL)
            assert lines[0].startswith("VALID, and STILL OPEN at 3 of 3 processors: ")
        else:
            refused(receipt.dump(value))


def test_a_receipt_with_its_keys_in_another_order_is_refused_under_a_right_seal() -> None:
    value = deepcopy(receipt_of())
    turned = json.dumps({name: value[name] for name in sorted(value, reverse=True)}, indent=1).encode() + b"\n"
    assert refused(turned) == "the file was formatted anew"


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 1.5])
def test_a_number_that_is_none_of_json_is_refused_under_a_right_seal(number: float) -> None:
    value = deepcopy(receipt_of())
    next(iter(value["evidence"].values()))[0]["status"] = number
    digest = sha256(verify_receipt.printed({name: value[name] for name in value if name != "seal"})).digest()
    text = f"{value['origin']}\nreceipt {value['request']}\n{base64.b64encode(digest).decode()}"
    value["seal"] = signed(text)
    raw = json.dumps(value, sort_keys=True, indent=1).encode() + b"\n"
    assert refused(raw) == "the file was formatted anew"


def test_each_rung_that_a_sentence_names_is_one() -> None:
    for rung in Rung:
        last = {"event": "x", "dest": "agency", "state": "pending", "right": "erasure", "rung": rung.value, "ts": 1}
        assert (
            f"{verify_receipt.RUNGS[rung]} (rung {rung.value} of 6)"
            in verify_receipt.last_words("agency", [(0, last)])[1]
        )


def entries_that_say(**said: object) -> bytes:
    """A receipt whose second entry says so, whatever the format says: made by whoever has the key."""
    first: dict[str, str | int] = {
        "n": 1,
        "list": entry.list_digest(["agency"]),
        "subj": entry.commitment(COMMIT_KEY, EMAIL),
    }
    received = entry.encode(EntryKind.RECEIVED, NOW, req="r-one", right="erasure", **first)
    told = {"v": 1, "ts": int(NOW.timestamp()), "event": "held", "req": "r-one", "dest": "agency", "right": "erasure"}
    second = json.dumps({**told, "state": "held", "rung": 0, **said}, sort_keys=True, separators=(",", ":")).encode()
    leaves = [sha256(b"\0" + body).digest() for body in (received, second)]
    rows = [
        {"index": at, "body": base64.b64encode(body).decode(), "proof": [base64.b64encode(leaves[1 - at]).decode()]}
        for at, body in enumerate((received, second))
    ]
    root = sha256(b"\1" + leaves[0] + leaves[1]).digest()
    checkpoint = note.sign(note.Checkpoint(ORIGIN, 2, root), SIGNER)
    template = deepcopy(receipt_of())
    template.update(entries=rows, checkpoint=checkpoint, evidence={}, processors=["agency"])
    return resealed(template)


@pytest.mark.parametrize(
    ("said", "well"),
    [
        ({}, True),
        ({"cause": " ~?A"}, True),
        ({"cause": ""}, True),
        ({"attempt": 0}, True),
        ({"attempt": 2**53 - 1}, True),
        ({"attempt": 2**53}, False),
        ({"attempt": -1}, False),
        ({"rung": -1}, False),
        ({"told": True}, False),
        ({"cause": None}, False),
        ({"cause": ["x"]}, False),
        *(({"cause": f"x{mark}x"}, False) for mark in ("\n", "\x1b", "\x7f", "\x1f", "@", "\x80", "é", "\ud800")),
        ({"event": "verified\nGRADE 5 of 6"}, False),
        ({"state": "held\nGRADE 5 of 6"}, False),
    ],
)
def test_an_entry_says_nothing_that_could_be_taken_for_words_of_the_verifier(
    said: dict[str, object], *, well: bool
) -> None:
    raw = entries_that_say(**said)
    if well:
        assert verify_receipt.check(raw, LINE)
    else:
        with pytest.raises(verify_receipt.NOT_HOLDING):
            verify_receipt.check(raw, LINE)


@pytest.mark.parametrize("names", [["b", "a"], ["a", "a"], "a", {"a": 1}, ["a\nGRADE 5"], ["a", None], [1], None])
def test_processors_are_a_sorted_list_of_plain_names(names: object) -> None:
    value = deepcopy(json.loads(entries_that_say()))
    with pytest.raises(verify_receipt.NOT_HOLDING):
        verify_receipt.opened({**value, "processors": names}, verify_receipt.entries_of(value), None)
    assert verify_receipt.opened(value, verify_receipt.entries_of(value), None)


def test_the_request_that_a_receipt_is_about_is_text() -> None:
    value = json.loads(entries_that_say())
    with pytest.raises(verify_receipt.NOT_HOLDING, match="a part of it is missing"):
        verify_receipt.check(resealed({**value, "request": 5}), LINE)


def test_of_more_consistency_files_than_are_needed_those_that_lead_on_are_followed() -> None:
    notes, files, raw = grown()
    everything = tuple(files.values())
    for kept in notes.values():
        assert verify_receipt.check(raw, LINE, EMAIL, kept, (*everything, *everything))
    altered = files[5, 8].replace(files[5, 8].split("\n")[1], ROOT)
    with pytest.raises(verify_receipt.NOT_HOLDING, match="8 entries do not continue those 5"):
        verify_receipt.check(raw, LINE, EMAIL, notes[5], (*everything, altered))
    assert verify_receipt.check(raw, LINE, EMAIL, notes[8], (*everything, altered)), "nothing leads to it"
