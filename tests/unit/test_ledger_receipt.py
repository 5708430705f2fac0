"""Receipts, and the one-file verifier that is handed out with them, which shares no code with what it checks."""

import ast
import base64
import hashlib
import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from functools import cache
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, create_engine

from dpsync.errors import NoteInvalid
from dpsync.ledger import entry, merkle, note, receipt, verify_receipt
from dpsync.ledger.entry import EntryKind
from dpsync.ledger.log import Log
from dpsync.model import CLOSED_STATES, DONE_STATES, Rung, State
from dpsync.store import tables as t
from tests.names import plain

ORIGIN = "example.org/dpsync"
SIGNER = note.Signer.from_seed(ORIGIN, bytes(range(32)))
NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
COMMIT_KEY = bytes(range(100, 132))
EMAIL = "ada@example.org"
NAMES = ["agency", "newsletter", "tickets"]
LINE = SIGNER.verifier.line


def row(number: int) -> dict[str, str | int | None]:
    return {
        "endpoint": "DELETE /3.0/lists/{list_id}/members/{subscriber_hash}",
        "scope": "57afe96172",
        "status": None if number == 3 else 204,
        "request_id": f"id-{number}",
        "at": 1_800_000_000_000_000 + number,
        "digest": hashlib.sha256(bytes([number])).hexdigest(),
        "note": "",
    }


EVIDENCE = {name: [row(number * 4 + more) for more in range(3)] for number, name in enumerate(NAMES)}


def bodies(request_id: str) -> list[tuple[str | None, bytes]]:
    """A request's entries, with those of another request and of the service between them."""
    made: list[tuple[str | None, bytes]] = []

    def add(event: EntryKind, **fields: str | int) -> None:
        at = NOW + timedelta(minutes=len(made))
        made.append((request_id, entry.encode(event, at, req=request_id, **fields)))
        made.append(("r-other", entry.encode(EntryKind.ATTEMPT, at, req="r-other", dest="newsletter")))
        made.append((None, entry.encode(EntryKind.ALERT, at, cause="overdue")))

    subj = entry.commitment(COMMIT_KEY, EMAIL)
    add(EntryKind.RECEIVED, right="erasure", n=len(NAMES), list=entry.list_digest(NAMES), subj=subj)
    for name in NAMES:
        add(EntryKind.ATTEMPT, dest=name, right="erasure", attempt=1)
        resp = entry.resp_digest(COMMIT_KEY, EVIDENCE[name])
        add(EntryKind.APPLIED, dest=name, right="erasure", state="applied", rung=4, way="api", resp=resp, http=204)
    return made


@cache
def receipt_of(origin: str = ORIGIN, signer: note.Signer = SIGNER) -> dict[str, Any]:
    return receipt_under("r-one", origin=origin, signer=signer)


def receipt_under(
    request_id: str,
    later: int = 0,
    *,
    origin: str = ORIGIN,
    signer: note.Signer = SIGNER,
    remarks: dict[str, dict[str, str]] | None = None,
) -> dict[str, Any]:
    """A real one: through the database and back. `later`: entries that came before it was written."""
    engine = create_engine("sqlite://")
    t.metadata.create_all(engine)
    log = Log(origin, signer)
    with engine.begin() as connection:
        log.append(connection, bodies(request_id))
        log.append(connection, [(None, entry.encode(EntryKind.ALERT, NOW, cause="overdue"))] * later)
        evidence = {}
        for idx, body in log.entries_of(connection, request_id):
            said = entry.decode(body)
            if "resp" in said:
                evidence[idx] = EVIDENCE[str(said["dest"])]
        value = log.receipt(
            connection,
            request_id,
            commit_key=COMMIT_KEY,
            processors=NAMES[::-1],
            evidence=evidence,
            signed=log.checkpoint(connection, NOW),
            remarks=remarks,
        )
    engine.dispose()
    return value


def resealed(value: dict[str, Any], signer: note.Signer = SIGNER) -> bytes:
    """As whoever holds the key would hand it out: the seal is right, so only the checks behind it can object."""
    value = {**value, "seal": note.sign_text(receipt.seal_text(value), [signer])}
    return receipt.dump(value)


Run = Callable[..., tuple[int, str]]


def by_itself(tmp_path: Path, raw: bytes, *arguments: str) -> tuple[int, str]:
    """The verifier as a stranger runs it: the file alone, an isolated Python, no site packages."""
    (tmp_path / "receipt.json").write_bytes(raw)
    program = tmp_path / "verify_receipt.py"
    program.write_bytes(Path(verify_receipt.__file__).read_bytes())
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(program), str(tmp_path / "receipt.json"), *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert done.stderr == ""
    return done.returncode, done.stdout


def imported(tmp_path: Path, raw: bytes, *arguments: str) -> tuple[int, str]:
    """The same within this process, where a change of the code is seen, too (`make mutants`)."""
    (tmp_path / "receipt.json").write_bytes(raw)
    with redirect_stdout(StringIO()) as said:
        code = verify_receipt.main([str(tmp_path / "receipt.json"), *arguments])
    return code, said.getvalue()


@pytest.fixture(params=[by_itself, imported], ids=["by-itself", "imported"])
def run(request: pytest.FixtureRequest) -> Run:
    """The verifier: a file, the bytes of a receipt, what is given besides; its exit code and what it said."""
    ran: Run = request.param
    return ran


def refused(raw: bytes, key: str | None = LINE, email: str | None = None) -> str:
    with pytest.raises(verify_receipt.NOT_HOLDING) as caught:
        verify_receipt.check(raw, key, email)
    return str(caught.value)


# --- the file itself


_LEAVES = st.none() | st.booleans() | st.integers() | st.text()


@given(st.dictionaries(st.text(), st.recursive(_LEAVES, lambda of: st.lists(of) | st.dictionaries(st.text(), of))))
def test_a_receipt_is_spelled_as_json_spells_it(value: dict[str, Any]) -> None:
    assert receipt.dump(value) == json.dumps(value, sort_keys=True, indent=1).encode() + b"\n"


@pytest.mark.parametrize(
    ("last", "named"),
    [
        (None, True),
        ({"state": "held", "rung": 0}, True),
        ({"state": "pending", "rung": 0}, True),
        ({"state": "accepted", "rung": 1}, False),
        ({"state": "accepted", "rung": 1, "told": 0}, True),  # it came back
        ({"state": "withdrawn", "rung": 0}, False),
    ],
)
def test_who_does_not_have_the_instruction_is_named_by_the_receipt(
    last: dict[str, str | int] | None, *, named: bool
) -> None:
    whole = receipt_of()
    assert receipt.untold(whole) == []
    told = deepcopy(whole)
    told["entries"] = [
        one for one in told["entries"] if entry.decode(base64.b64decode(one["body"])).get("dest") != "newsletter"
    ]
    if last is not None:
        body = entry.encode(EntryKind.HELD, NOW, req="r-one", dest="newsletter", **last)
        told["entries"].append({"body": base64.b64encode(body).decode()})
    assert receipt.untold(told) == (["newsletter"] if named else [])


def test_the_verifier_is_one_short_file_of_the_standard_library_alone() -> None:
    source = Path(verify_receipt.__file__).read_text()
    assert len(source.splitlines()) <= 351  # why not fewer: docs/proof-format.md
    imported = {
        name
        for part in ast.walk(ast.parse(source))
        if isinstance(part, ast.Import | ast.ImportFrom)
        for name in ([part.module or ""] if isinstance(part, ast.ImportFrom) else [alias.name for alias in part.names])
    }
    assert {name.split(".")[0] for name in imported} <= sys.stdlib_module_names


def test_a_real_receipt_is_valid_for_a_stranger(run: Run, tmp_path: Path) -> None:
    code, said = run(tmp_path, receipt.dump(receipt_of()), "--key", LINE, "--email", "  ADA@Example.org ")
    assert (code, said.splitlines()) == (
        0,
        [
            "VALID, done at 3 of 3: request r-one, recorded on 2026-11-20.",
            *[
                f"  {name}: erasure: applied; confirmed by them (rung 4 of 6), as of 2026-11-20 {at} UTC. "
                "Recorded: attempt, applied"
                for name, at in (("agency", "09:06"), ("newsletter", "09:12"), ("tickets", "09:18"))
            ],
            "7 entries lie unchanged in the signed ledger, 3 with their calls.",
            "The key is the one you gave.",
            "It is about the address you gave.",
            "NOT CHECKED: whether the ledger was made anew; give --checkpoint, one that somebody else kept.",
            "GRADE 1 of 6, signed: by the ledger's key; whoever holds that key could have made the ledger anew.",
            "Not proved: that what a processor said is true; what was never recorded.",
        ],
    )


def test_what_was_not_checked_is_said(run: Run, tmp_path: Path) -> None:
    code, said = run(tmp_path, receipt.dump(receipt_of()))
    assert code == 0
    assert "NOT CHECKED: whose key this is" in said
    assert "NOT CHECKED: whom it is about" in said


def test_a_faulty_receipt_exits_with_2_and_says_what_failed(run: Run, tmp_path: Path) -> None:
    value = deepcopy(receipt_of())
    value["processors"].pop()
    assert run(tmp_path, receipt.dump(value)) == (
        2,
        "NOT VALID: something in the file was changed, left out or added.\n",
    )
    assert run(tmp_path, b"{}\n")[0] == 2
    assert run(tmp_path, b"\xff\xfe")[0] == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "Checks a receipt"),
        (("nowhere.json",), "There is no file nowhere.json."),
        (("receipt.json", "--key"), "Checks a receipt"),
        (("receipt.json", "--colour", "x"), "Checks a receipt"),
        (("receipt.json", "--email", EMAIL, "--email", EMAIL), "Checks a receipt"),
        (("receipt.json", "--checkpoint", "receipt.json", "--checkpoint", "receipt.json"), "Checks a receipt"),
        (("receipt.json", "--key", "garbage"), "That is no verifier key line."),
        (("receipt.json", "--checkpoint", "nowhere"), "There is no file nowhere."),
        (("receipt.json", "--checkpoint", "receipt.json", "--consistency", "nowhere"), "There is no file nowhere."),
    ],
)
def test_wrong_usage_exits_with_64_and_shows_the_right_one(
    tmp_path: Path,
    arguments: tuple[str, ...],
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "receipt.json").write_bytes(receipt.dump(receipt_of()))
    assert verify_receipt.main(list(arguments)) == 64
    shown = capsys.readouterr().out
    assert shown.startswith(said)
    assert "python3 verify_receipt.py receipt.json [--key" in shown


@pytest.mark.parametrize("asked", ["--help", "-h"])
def test_whoever_asks_for_help_gets_it_and_no_error(asked: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify_receipt.main([asked]) == 0
    assert capsys.readouterr().out == verify_receipt.__doc__
    assert verify_receipt.main([asked, "--email", "a@example.org"]) == 64


def test_of_several_keys_one_has_signed_it_and_every_one_that_signed_a_note_must_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    raw, other = receipt.dump(receipt_of()), note.Signer.from_seed(ORIGIN, bytes(32))
    (tmp_path / "receipt.json").write_bytes(raw)
    both = f"{other.verifier.line}\n{LINE}"
    for first, second in ((LINE, other.verifier.line), (other.verifier.line, LINE)):
        assert verify_receipt.main(["receipt.json", "--key", first, "--key", second]) == 0
    head = receipt_of()["checkpoint"]
    text = head.partition("\n\n")[0] + "\n"
    assert verify_receipt.signed_text(head + other.line(text), *both.split("\n")) == text[:-1]
    for spoilt in (other.line("other\n"), other.line(text) * 2):
        with pytest.raises(ValueError, match=r"just once|does not fit"):
            verify_receipt.signed_text(head + spoilt, *both.split("\n"))
        assert verify_receipt.signed_text(head + spoilt, LINE) == text[:-1], "a key that nobody named is not looked at"
    with pytest.raises(ValueError, match="just once"):
        verify_receipt.signed_text(head, other.verifier.line)


def test_a_rehearsal_is_marked_before_everything_else() -> None:
    said = verify_receipt.check(receipt.dump(receipt_of(f"{ORIGIN}/REHEARSAL")), LINE, EMAIL)
    assert said[0].startswith("REHEARSAL")


def test_another_address_or_key_is_not_accepted() -> None:
    raw = receipt.dump(receipt_of())
    assert refused(raw, email="bob@example.org") == "the request is not about this email address"
    assert refused(raw, email="") == "the request is not about this email address"
    other = note.Signer.from_seed(ORIGIN, bytes(32)).verifier.line
    assert refused(raw, key=other) == "it is signed by another key than the one given"
    assert refused(raw, key="") == "it is signed by another key than the one given"


def with_more(signers: str) -> str:
    return str(receipt_of()["checkpoint"]) + signers


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("commit_key", receipt_of()["commit_key"].upper()),
        ("commit_key", " " + receipt_of()["commit_key"]),
        ("commit_key", "\n" + receipt_of()["commit_key"]),
        ("commit_key", receipt_of()["commit_key"] + "00" * 32),
        ("processors", dict.fromkeys(receipt_of()["processors"], 1)),
        ("extra", 1.5),
        ("extra", [{"deep": -0.0}]),
        ("checkpoint", with_more("— name AAAAAAA=\n" * 5000)),
        ("checkpoint", with_more("—  AAAAAAA=\n")),
        ("checkpoint", with_more("— a+b AAAAAAA=\n")),
        ("checkpoint", with_more("— name AAAAAA==\n")),
        ("checkpoint", with_more("— name \n")),
        ("checkpoint", receipt_of()["checkpoint"].replace("\n", "\r\n")),
    ],
    ids=lambda part: plain(part)[-24:],
)
def test_what_the_format_does_not_allow_is_refused_under_a_right_seal_too(name: str, value: object) -> None:
    assert refused(resealed({**receipt_of(), name: value}))


@pytest.mark.parametrize("end", [b"\r\n", b"\r"])
def test_a_kept_checkpoint_with_other_line_ends_is_refused(run: Run, tmp_path: Path, end: bytes) -> None:
    checkpoint = receipt_of()["checkpoint"].encode()
    for kept, code in ((checkpoint, 0), (checkpoint.replace(b"\n", end), 2)):
        (tmp_path / "kept").write_bytes(kept)
        found = run(tmp_path, receipt.dump(receipt_of()), "--key", LINE, "--checkpoint", str(tmp_path / "kept"))
        assert found[0] == code


# --- mutations


def flip(value: bytes, chance: random.Random) -> bytes:
    at, bit = chance.randrange(len(value)), 1 << chance.randrange(8)
    return value[:at] + bytes([value[at] ^ bit]) + value[at + 1 :]


def swap_entries(value: dict[str, Any], chance: random.Random) -> None:
    one, other = chance.sample(range(len(value["entries"])), 2)
    parts = chance.choice((("body",), ("proof",), ("index",), ("body", "index"), ("body", "proof"), ("index", "proof")))
    for part in parts:
        rows = value["entries"]
        rows[one][part], rows[other][part] = rows[other][part], rows[one][part]
        if chance.random() < 0.3:
            rows[one], rows[other] = rows[other], rows[one]


def remove_row(value: dict[str, Any], chance: random.Random) -> None:
    group = value["evidence"][chance.choice(list(value["evidence"]))]
    del group[chance.randrange(len(group))]


def remove_group(value: dict[str, Any], chance: random.Random) -> None:
    del value["evidence"][chance.choice(list(value["evidence"]))]


def remove_received_or_a_processors_words(value: dict[str, Any], chance: random.Random) -> None:
    name = chance.choice([None, *NAMES])
    kept = []
    for logged in value["entries"]:
        if json.loads(base64.b64decode(logged["body"])).get("dest") == name:
            value["evidence"].pop(str(logged["index"]), None)
        else:
            kept.append(logged)
    value["entries"] = kept


def change_a_call(value: dict[str, Any], chance: random.Random) -> None:
    calls = chance.choice(value["evidence"][chance.choice(list(value["evidence"]))])
    name = chance.choice(list(calls))
    calls[name] = chance.choice(["x", 7, None, [], {}]) if calls[name] != "x" else "y"


def change_an_entry(value: dict[str, Any], chance: random.Random) -> None:
    logged = chance.choice(value["entries"])
    logged["body"] = base64.b64encode(flip(base64.b64decode(logged["body"]), chance)).decode()


def change_a_step(value: dict[str, Any], chance: random.Random) -> None:
    proof = chance.choice([logged["proof"] for logged in value["entries"]])
    at = chance.randrange(len(proof))
    proof[at : at + 1] = chance.choice(
        [[], [proof[at]] * 2, [base64.b64encode(flip(base64.b64decode(proof[at]), chance)).decode()], ["!"], [7]]
    )


def change_the_checkpoint(value: dict[str, Any], chance: random.Random) -> None:
    size = value["checkpoint"].split("\n")[1]
    value["checkpoint"] = chance.choice(
        [
            value["checkpoint"].replace(f"\n{size}\n", f"\n{int(size) + 1}\n"),
            value["checkpoint"].replace(f"\n{size}\n", f"\n0{size}\n"),
            value["checkpoint"].replace(ORIGIN, "example.org/other"),
            value["checkpoint"].replace("— ", "- "),
            value["checkpoint"][:-1],
            note.sign(note.parse(value["checkpoint"])[0], note.Signer.from_seed(ORIGIN, bytes(32))),
        ]
    )


def change_the_processors(value: dict[str, Any], chance: random.Random) -> None:
    names = value["processors"]
    chance.choice([names.pop, names.reverse, lambda: names.append("zoo"), lambda: names.append(names[-1])])()


def change_a_type(value: dict[str, Any], chance: random.Random) -> None:
    name = chance.choice([name for name in value if name not in {"how_to_check", "seal"}])
    odd: list[object] = [None, 0, -1, 1.5, True, "", "x", [], {}, [[]], {"": ""}, 10**30]
    value[name] = chance.choice([part for part in odd if part != value[name]])


def reverse_the_rehearsal(value: dict[str, Any], chance: random.Random) -> None:
    value["rehearsal"] = not value["rehearsal"]


CHANGES: list[Callable[[dict[str, Any], random.Random], None]] = [
    swap_entries,
    remove_row,
    remove_group,
    remove_received_or_a_processors_words,
    change_a_call,
    change_an_entry,
    change_a_step,
    change_the_checkpoint,
    change_the_processors,
    change_a_type,
    reverse_the_rehearsal,
]


@pytest.mark.parametrize("seed", range(10))
def test_of_a_thousand_changes_to_a_receipt_none_goes_unseen(seed: int) -> None:
    whole = receipt.dump(receipt_of())
    forger = note.Signer.from_seed(ORIGIN, bytes(32))
    unseen = []
    for number in range(100):
        chance = random.Random(seed * 100 + number)
        value = deepcopy(receipt_of())
        name = "flip"
        if number % 4 == 0:
            raw = flip(whole, chance)
        elif number % 4 == 1:  # the seal is made anew with the right key: the other checks must object
            change = chance.choice(CHANGES)
            name = change.__name__
            change(value, chance)
            if "origin" not in value or value.get("origin") is None:
                continue
            raw = resealed(value)
        elif number % 4 == 2:  # changed, and not sealed again
            change = chance.choice(CHANGES)
            name = change.__name__
            change(value, chance)
            raw = receipt.dump(value)
        else:  # sealed, and perhaps signed whole, by another key
            name = "forged"
            if chance.random() < 0.5:
                value = deepcopy(receipt_of(ORIGIN, forger))
            chance.choice(CHANGES)(value, chance)
            raw = resealed({**value, "key": forger.verifier.line}, forger)
        try:
            said = verify_receipt.check(raw, LINE)
        except verify_receipt.NOT_HOLDING:
            continue
        # Whoever holds the key may leave out all words of a processor: then nothing is said to be done there.
        if not (name == "remove_received_or_a_processors_words" and "STILL OPEN" in said[0]):
            unseen.append((number, name))
    assert unseen == []


def test_an_entry_left_out_on_the_way_breaks_the_seal() -> None:
    value = deepcopy(receipt_of())
    del value["entries"][1]
    assert refused(receipt.dump(value)) == "something in the file was changed, left out or added"


def test_a_receipt_made_whole_by_another_key_only_passes_where_no_key_is_given() -> None:
    forged = receipt.dump(receipt_of(ORIGIN, note.Signer.from_seed(ORIGIN, bytes(32))))
    assert any("NOT CHECKED: whose key" in line for line in verify_receipt.check(forged))
    assert refused(forged) == "it is signed by another key than the one given"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda value: value["entries"].reverse(), "out of order"),
        (lambda value: value["entries"].append(value["entries"][-1]), "out of order"),
        (lambda value: value["evidence"].clear(), "recorded calls are missing"),
        (lambda value: value["evidence"].update({"0": []}), "recorded calls are missing"),
        (lambda value: value["evidence"]["6"].reverse(), "recorded calls are missing"),
        (lambda value: value.update(commit_key="00" * 32), "recorded calls are missing"),
        (lambda value: value["processors"].append("zoo"), "the processors are not those recorded"),
        (lambda value: value.update(request="r-two"), "of another request"),
        (lambda value: value.update(rehearsal=True), "contradicts itself about being a rehearsal"),
        (lambda value: value.update(format="dpsync-receipt/2"), "no receipt of format 1"),
        (lambda value: value["entries"].__delitem__(0), "unpack"),
    ],
)
def test_each_check_objects_by_itself_when_the_seal_does_not(
    change: Callable[[dict[str, Any]], None], said: str
) -> None:
    value = deepcopy(receipt_of())
    change(value)
    assert said in refused(resealed(value))


def test_a_file_formatted_anew_or_with_a_key_twice_is_refused() -> None:
    raw = receipt.dump(receipt_of())
    assert "formatted anew" in refused(json.dumps(json.loads(raw)).encode())
    assert "formatted anew" in refused(raw.replace(b'\n "origin"', b'\n "origin": "x",\n "origin"'))
    assert "formatted anew" in refused(raw + b"\n")


def test_a_seal_that_carries_anything_more_is_refused() -> None:
    value = deepcopy(receipt_of())
    value["seal"] += SIGNER.line("x\n")
    assert "not signed just once" in refused(receipt.dump(value))
    value = deepcopy(receipt_of())
    value["seal"] = value["seal"].replace("\n\n", "\n\nx\n\n")
    refused(receipt.dump(value))


def test_a_seal_that_somebody_else_signed_too_is_refused() -> None:
    """The seal is one signature by one key: a line that nobody knows would be a change that nobody sees."""
    value = deepcopy(receipt_of())
    stranger = note.Signer.from_seed("example.net/other", bytes(32))
    value["seal"] += stranger.line(receipt.seal_text(value))
    assert refused(receipt.dump(value)) == "the seal is not one text and one signature"


@pytest.mark.parametrize("mark", ["\r", "\x00", "\x85", "\u2028"])
def test_a_note_with_another_control_character_than_the_line_feed_is_refused(mark: str) -> None:
    value = deepcopy(receipt_of())
    stranger = note.Signer.from_seed("example.net/other", bytes(32))
    value["checkpoint"] += stranger.line("x\n").replace("other", f"o{mark}ther")
    assert "a note is not signed" in refused(resealed(value))


def of_states(**states: str) -> bytes:
    """A receipt whose last word at each processor is that state."""
    events: list[tuple[str | None, bytes]] = []
    first: dict[str, str | int] = {
        "n": len(states),
        "list": entry.list_digest(states),
        "subj": entry.commitment(COMMIT_KEY, EMAIL),
    }
    events.append(("r-one", entry.encode(EntryKind.RECEIVED, NOW, req="r-one", right="erasure", **first)))
    for name, state in states.items():
        told: dict[str, str | int] = {"dest": name, "right": "erasure", "state": state, "rung": 0}
        events.append(("r-one", entry.encode(EntryKind.HELD, NOW, req="r-one", **told)))
    with ledger(events) as (log, connection):
        value = log.receipt(
            connection,
            "r-one",
            commit_key=COMMIT_KEY,
            processors=list(states),
            evidence={},
            signed=log.checkpoint(connection, NOW),
        )
    return receipt.dump(value)


@contextmanager
def ledger(events: Sequence[tuple[str | None, bytes]]) -> Iterator[tuple[Log, Connection]]:
    engine = create_engine("sqlite://")
    t.metadata.create_all(engine)
    log = Log(ORIGIN, SIGNER)
    with engine.begin() as connection:
        log.append(connection, events)
        yield log, connection
    engine.dispose()


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (state, "done at 2 of 2" if state in DONE_STATES else "done at 1 of 2")
        if state in CLOSED_STATES
        else (state, "and STILL OPEN at 1 of 2 processors")
        for state in State
    ],
)
def test_what_is_open_is_called_open_and_only_what_is_done_is_called_done(state: State, said: str) -> None:
    lines = verify_receipt.check(of_states(agency=state.value, newsletter="verified"), LINE)
    assert lines[0] == f"VALID, {said}: request r-one, recorded on 2026-11-20."
    assert lines[1].startswith(
        f"  agency: erasure: {state.value.replace('_', ' ')}; nothing sent (rung 0 of 6), as of "
    )


def test_a_processor_of_whom_nothing_is_recorded_is_called_open() -> None:
    value = deepcopy(receipt_of())
    value.update(entries=value["entries"][:1], evidence={})
    lines = verify_receipt.check(resealed(value), LINE)
    assert lines[0].startswith("VALID, and STILL OPEN at 3 of 3 processors: ")
    assert lines[1] == "  agency: nothing is recorded of it yet"


def test_each_rung_has_its_words_in_the_verifier() -> None:
    assert len(verify_receipt.RUNGS) == len(Rung)


# --- a checkpoint that somebody kept


STEPS = (1, 2, 3, 5, 8, 13, 18, 19, 21)


@cache
def grown() -> tuple[dict[int, str], dict[tuple[int, int], str], bytes]:
    """Checkpoints of a growing ledger by size, consistency files between them, and a receipt under the last."""
    notes: dict[int, str] = {}
    files: dict[tuple[int, int], str] = {}
    with ledger([]) as (log, connection):
        made = bodies("r-one")
        for size in STEPS:
            log.append(connection, made[log.size(connection) : size])
            notes[size] = log.checkpoint(connection, NOW)
            files |= {(old, size): log.continuation(connection, old, notes[size]) for old in notes if old < size}
        value = log.receipt(
            connection,
            "r-one",
            commit_key=COMMIT_KEY,
            processors=NAMES,
            evidence={
                idx: EVIDENCE[str(said["dest"])]
                for idx, body in log.entries_of(connection, "r-one")
                if "resp" in (said := entry.decode(body))
            },
            signed=log.checkpoint(connection, NOW),
        )
    return notes, files, receipt.dump(value)


def test_a_kept_checkpoint_and_consistency_files_show_that_the_ledger_was_only_continued(
    run: Run, tmp_path: Path
) -> None:
    notes, files, raw = grown()
    for old in STEPS[:-1]:
        said = verify_receipt.check(raw, LINE, EMAIL, notes[old], (files[old, STEPS[-1]],))
        assert "Its ledger continues, or is continued by, that of your checkpoint." in said
    pairs = [files[old, new] for old, new in pairwise(STEPS)]
    assert verify_receipt.check(raw, LINE, EMAIL, notes[1], tuple(reversed(pairs)))
    assert verify_receipt.check(raw, LINE, EMAIL, notes[STEPS[-1]])
    (tmp_path / "kept").write_text(notes[5], encoding="utf-8")
    (tmp_path / "5-21.consistency").write_text(files[5, 21], encoding="utf-8")
    given = ["--checkpoint", str(tmp_path / "kept"), "--consistency", str(tmp_path / "5-21.consistency")]
    code, text = run(tmp_path, raw, "--key", LINE, *given)
    assert (code, "NOT CHECKED: whether the ledger" in text) == (0, False)


def test_a_checkpoint_that_came_after_the_receipt_continues_it() -> None:
    with ledger(bodies("r-one")) as (log, connection):
        evidence = {
            idx: EVIDENCE[str(said["dest"])]
            for idx, body in log.entries_of(connection, "r-one")
            if "resp" in (said := entry.decode(body))
        }
        value = log.receipt(
            connection,
            "r-one",
            commit_key=COMMIT_KEY,
            processors=NAMES,
            evidence=evidence,
            signed=log.checkpoint(connection, NOW),
        )
        size = log.size(connection)
        log.append(connection, bodies("r-two"))
        later = log.checkpoint(connection, NOW)
        step = log.continuation(connection, size, later)
    assert verify_receipt.check(receipt.dump(value), LINE, EMAIL, later, (step,))


def test_every_consistency_proof_of_small_ledgers_leads_to_both_roots_and_to_no_others() -> None:
    with ledger([]) as (log, connection):
        roots = []
        for number in range(24):
            log.append(connection, [(None, entry.encode(EntryKind.ALERT, NOW, n=number))])
            roots.append(log.root(connection))
        for new in range(1, 25):
            for old in range(1, new + 1):
                proof = log.consistency(connection, old, new)
                assert verify_receipt.both_roots(old, new, proof, roots[old - 1]) == (roots[old - 1], roots[new - 1])
                for place in range(len(proof)):
                    changed = [bytes(32) if number == place else step for number, step in enumerate(proof)]
                    found = verify_receipt.both_roots(old, new, changed, roots[old - 1])
                    assert found != (roots[old - 1], roots[new - 1])
                for wrong in (proof[1:], [*proof, bytes(32)]):
                    if len(wrong) == len(proof):
                        continue
                    try:
                        found = verify_receipt.both_roots(old, new, wrong, roots[old - 1])
                    except verify_receipt.NOT_HOLDING:
                        continue
                    assert found != (roots[old - 1], roots[new - 1])


def test_a_ledger_made_anew_does_not_continue_a_kept_checkpoint() -> None:
    notes, files, raw = grown()
    with ledger([(None, entry.encode(EntryKind.ALERT, NOW, cause="x"))] * 5) as (log, connection):
        other = log.checkpoint(connection, NOW)
    with pytest.raises(verify_receipt.NOT_HOLDING, match="do not continue"):
        verify_receipt.check(raw, LINE, EMAIL, other, (files[5, 21],))
    with ledger([(None, entry.encode(EntryKind.ALERT, NOW, cause="x"))] * 21) as (log, connection):
        fork = log.checkpoint(connection, NOW)
    with pytest.raises(verify_receipt.NOT_HOLDING, match="two different ledgers"):
        verify_receipt.check(raw, LINE, EMAIL, fork)
    stranger = note.sign(note.parse(notes[5])[0], note.Signer.from_seed(ORIGIN, bytes(32)))
    with pytest.raises(verify_receipt.NOT_HOLDING, match="not signed just once"):
        verify_receipt.check(raw, LINE, EMAIL, stranger, (files[5, 21],))


def test_a_kept_checkpoint_that_is_empty_or_cut_off_is_called_a_damaged_file() -> None:
    notes, files, raw = grown()
    for damaged in ("", "\n", notes[5].partition("\n\n")[0]):
        with pytest.raises(verify_receipt.NOT_HOLDING, match="damaged file"):
            verify_receipt.check(raw, LINE, EMAIL, damaged, (files[5, 21],))


def test_a_step_that_is_missing_altered_or_of_another_ledger_is_no_way_between_checkpoints() -> None:
    notes, files, raw = grown()
    altered = files[5, 21].replace(files[5, 21].split("\n")[1], base64.b64encode(bytes(32)).decode())
    for steps in ((), (files[5, 13],), (files[8, 21],), (files[5, 8], files[13, 21]), (altered,), ("",), ("old 5\n",)):
        with pytest.raises(verify_receipt.NOT_HOLDING):
            verify_receipt.check(raw, LINE, EMAIL, notes[5], steps)


def test_a_signature_or_a_key_in_another_spelling_is_refused() -> None:
    value = deepcopy(receipt_of())
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    last = value["seal"][-3]
    spare = alphabet[alphabet.index(last) ^ 1]  # the last two bits of this sign carry nothing
    value["seal"] = value["seal"][:-3] + spare + "=\n"
    assert refused(receipt.dump(value)) == "base64 in a spelling of its own"
    value = deepcopy(receipt_of())
    name, key_id, key = LINE.split("+", 2)
    value["key"] = f"{name}+{int(key_id, 16) ^ 1:08x}+{key}"
    assert refused(resealed(value), None) == "the key line is damaged"


@pytest.mark.parametrize(
    "body",
    [
        b'{"event": "received","req":"r-one","ts":1,"v":1}',
        b'{"req":"r-one","event":"received","ts":1,"v":1}',
        b'{"event":"received","req":"r-one","req":"r-one","ts":1,"v":1}',
        b'{"event":"received","req":"r-one","ts":1.5,"v":1}',
        b'{"event":"received","req":"r-one","ts":null,"v":1}',
        b'{"event":"received","req":"r-one","ts":true,"v":1}',
        b'{"event":"received","req":"r-one","ts":1,"v":2}',
        b'{"event":"received","name":"' + b"x" * 2048 + b'","req":"r-one","ts":1,"v":1}',
    ],
    ids=lambda body: plain(body[:60]),
)
def test_an_entry_that_was_signed_in_another_spelling_is_refused(body: bytes) -> None:
    head = note.Checkpoint(ORIGIN, 1, merkle.leaf_hash(body))
    logged = {"index": 0, "body": base64.b64encode(body).decode(), "proof": []}
    value = {**receipt_of(), "checkpoint": note.sign(head, SIGNER), "entries": [logged], "evidence": {}}
    assert refused(resealed(value)) == "entry 0 is not in the one spelling of the format"


# --- Ed25519 against the library


@settings(max_examples=40)
@given(st.binary(min_size=32, max_size=32), st.binary(max_size=200), st.data())
def test_the_verifiers_ed25519_agrees_with_the_library(seed: bytes, message: bytes, data: st.DataObject) -> None:
    key = Ed25519PrivateKey.from_private_bytes(seed)
    public, signature = key.public_key().public_bytes_raw(), key.sign(message)
    assert verify_receipt.ed25519(public, message, signature)
    at, bit = data.draw(st.integers(0, 95 + len(message))), 1 << data.draw(st.integers(0, 7))
    parts = bytearray(public + signature + message)
    parts[at] ^= bit
    changed = bytes(parts[:32]), bytes(parts[96:]), bytes(parts[32:96])
    try:
        Ed25519PublicKey.from_public_bytes(changed[0]).verify(changed[2], changed[1])
        expected = True
    except (InvalidSignature, ValueError):
        expected = False
    try:
        ours = verify_receipt.ed25519(*changed)
    except ValueError:
        ours = False
    assert ours is expected is False


def test_the_first_public_vectors_of_ed25519_hold() -> None:
    # RFC 8032, 7.1, tests 1 and 2
    for public, message, signature in (
        (
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
    ):
        assert verify_receipt.ed25519(*(bytes.fromhex(part) for part in (public, message, signature)))


def test_a_second_spelling_of_a_signature_is_refused() -> None:
    key = Ed25519PrivateKey.from_private_bytes(bytes(32))
    public, signature = key.public_key().public_bytes_raw(), key.sign(b"m")
    s = int.from_bytes(signature[32:], "little") + verify_receipt.L
    again = signature[:32] + s.to_bytes(32, "little")
    assert verify_receipt.ed25519(public, b"m", signature)
    assert not verify_receipt.ed25519(public, b"m", again)
    assert not verify_receipt.ed25519(public, b"m", signature + b"\0")
    assert not verify_receipt.ed25519(public, b"m", signature[:-1])


@pytest.mark.parametrize(
    "public",
    [
        (2**255 - 19).to_bytes(32, "little"),  # y = p, a second spelling of 0
        (2**255 - 18).to_bytes(32, "little"),
        (1 | 1 << 255).to_bytes(32, "little"),  # x = 0 with the sign of another
        (2).to_bytes(32, "little"),  # no point of the curve
    ],
)
def test_a_key_in_another_spelling_is_no_key(public: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        verify_receipt.ed25519(public, b"m", bytes(64))


# --- building


def test_a_receipt_names_neither_the_person_nor_how_to_open_another() -> None:
    raw = receipt.dump(receipt_of())
    assert b"ada" not in raw.lower()
    assert b"r-other" not in b"".join(base64.b64decode(logged["body"]) for logged in receipt_of()["entries"])


def arguments(**changed: Any) -> dict[str, Any]:
    value = receipt_of()
    given: dict[str, Any] = {
        "checkpoint": value["checkpoint"],
        "signer": SIGNER,
        "request_id": "r-one",
        "commit_key": COMMIT_KEY,
        "processors": NAMES,
        "entries": [
            receipt.Logged(
                logged["index"],
                base64.b64decode(logged["body"]),
                tuple(base64.b64decode(step) for step in logged["proof"]),
            )
            for logged in value["entries"]
        ],
        "evidence": {int(idx): rows for idx, rows in value["evidence"].items()},
        "rehearsal": False,
    }
    return {**given, **changed}


REMARKS = {"newsletter": {"limits": "Orders stay there, in caf\u00e9s, too.", "open": ""}}


def test_what_is_remarked_of_a_processor_is_under_the_seal_and_changes_nothing_else() -> None:
    value = receipt.build(**arguments(remarks=REMARKS))
    assert {name: value[name] for name in value.keys() - {"seal"}} == {
        **{name: part for name, part in receipt_of().items() if name != "seal"},
        "remarks": REMARKS,
    }
    said = verify_receipt.check(receipt.dump(value), LINE, EMAIL)
    assert said == verify_receipt.check(receipt.dump(receipt_of()), LINE, EMAIL)
    value["remarks"]["newsletter"]["limits"] = "None."
    assert refused(receipt.dump(value))
    del value["remarks"]
    assert refused(receipt.dump(value))


def test_a_receipt_without_remarks_has_no_such_key() -> None:
    assert receipt.build(**arguments(remarks={})) == receipt.build(**arguments()) == receipt_of()


def test_the_log_hands_the_remarks_on() -> None:
    assert receipt_under("r-one", remarks=REMARKS)["remarks"] == REMARKS


def test_building_twice_gives_the_same_bytes_in_any_order_of_entries() -> None:
    again = arguments()
    again["entries"].reverse()
    assert receipt.dump(receipt.build(**again)) == receipt.dump(receipt_of())


@pytest.mark.parametrize(
    "changed",
    [
        {"rehearsal": True},
        {"request_id": "r-two"},
        {"commit_key": bytes(32)},
        {"evidence": {}},
        {"entries": [receipt.Logged(0, bodies("r-one")[0][1], ())]},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_what_its_verifier_would_refuse_is_not_built(changed: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"entry|evidence|rehearsal"):
        receipt.build(**arguments(**changed))


def test_a_checkpoint_of_another_key_is_not_built_upon() -> None:
    with pytest.raises(NoteInvalid):
        receipt.build(**arguments(signer=note.Signer.from_seed(ORIGIN, bytes(32))))


def test_a_receipt_is_read_in_its_own_spelling_only() -> None:
    raw = receipt.dump(receipt_of())
    assert receipt.read(raw) == receipt_of()
    for wrong in (b"", b"{}", b"[]", b"\xff", raw + b" ", raw.replace(b"receipt/1", b"receipt/2"), b"[" * 100_000):
        with pytest.raises(NoteInvalid):
            receipt.read(wrong)


def test_an_entrys_proof_can_be_had_in_the_public_format() -> None:
    logged = receipt_of()["entries"][2]
    lines = receipt.tlog_proof(receipt_of(), logged["index"]).split("\n")
    assert lines[:2] == ["c2sp.org/tlog-proof@v1", f"index {logged['index']}"]
    blank = lines.index("")
    assert lines[2:blank] == logged["proof"]
    assert "\n".join(lines[blank + 1 :]) == receipt_of()["checkpoint"]
    with pytest.raises(ValueError, match="no entry"):
        receipt.tlog_proof(receipt_of(), 1)


def test_a_checkpoint_that_was_read_once_is_relied_on_under_its_own_keys_only() -> None:
    value = receipt_of()
    raw, other = receipt.dump(value), note.Signer.from_seed(ORIGIN, bytes(range(1, 33))).verifier
    assert receipt.read_sealed(raw, value["request"], [SIGNER.verifier]) == value
    with pytest.raises(NoteInvalid):
        receipt.read_sealed(raw, value["request"], [other])
    assert receipt.read_sealed(raw, value["request"], [other, SIGNER.verifier]) == value


@pytest.mark.parametrize("part", ["origin", "seal", "checkpoint", "request"])
def test_a_sealed_receipt_from_which_a_part_was_taken_is_none(part: str) -> None:
    whole = receipt_of()
    for value in ({name: whole[name] for name in whole if name != part}, {**whole, part: [whole[part]]}):
        with pytest.raises(NoteInvalid):
            receipt.read_sealed(receipt.dump(value), whole["request"], [SIGNER.verifier])


def test_a_checkpoint_that_nobody_signed_is_refused_each_time_under_a_right_seal_too() -> None:
    value = deepcopy(receipt_of())
    signature = value["checkpoint"].rindex(" ") + 10
    letter = "A" if value["checkpoint"][signature] != "A" else "B"
    value["checkpoint"] = value["checkpoint"][:signature] + letter + value["checkpoint"][signature + 1 :]
    raw = resealed(value)
    for _ in range(2):
        with pytest.raises(NoteInvalid, match="does not fit"):
            receipt.read_sealed(raw, value["request"], [SIGNER.verifier])
