"""What proves: signed notes, keys, consistency files, policies, receipts, the page of a back-up, entries."""

import base64
import json
from contextlib import suppress
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from dpsync import backup
from dpsync.errors import LedgerTampered, NoteInvalid, StoreProblem
from dpsync.ledger import continuation, entry, note, receipt, verify_receipt
from dpsync.ledger.cosignature import Cosigner, WitnessKey
from dpsync.ledger.receipt_folder import ReceiptFolder
from dpsync.reports.receipt import BesideTheFile, printed_receipt
from tests.fuzz.target import Target, folder, laid
from tests.unit import test_ledger_receipt as made

SIGNER = made.SIGNER
WITNESS = Cosigner.from_seed("witness.example.org", bytes(32))


@cache
def signed() -> str:
    head = note.parse(made.receipt_of()["checkpoint"])[0]
    return note.sign(head, SIGNER) + WITNESS.line(head, 1_764_500_000)


@cache
def whole() -> bytes:
    return receipt.dump(made.receipt_of())


def read_note(raw: bytes) -> None:
    """What is taken is printed the same, and nobody signed it but who did."""
    text = raw.decode(errors="surrogateescape")
    head, signatures = note.parse(text)
    assert head.text + "\n" + "".join(one.line for one in signatures) == text
    WITNESS.witness.cosigned_at(text)
    assert note.verify(text, [SIGNER.verifier]).text == note.parse(signed())[0].text


def read_key(raw: bytes) -> None:
    line = raw.decode(errors="surrogateescape")
    kind = WitnessKey if line.count("BA") else note.VerifierKey
    assert kind.parse(line).line == line


def read_continuation(raw: bytes) -> None:
    text = raw.decode(errors="surrogateescape")
    found = continuation.parse(text)
    assert found.text == text
    found.leads_from(bytes(32))


def read_entry(raw: bytes) -> None:
    """Both ways of reading agree, and what is an entry is printed the same."""
    if entry.is_ordinary(raw):
        assert entry.decoded_slowly(raw) == entry.decode(raw)
    assert entry.canonical(entry.decode(raw)) == raw


def respelled(raw: bytes) -> Any:
    """The JSON in it; None where there is none. Whoever changes a file can print it as dpsync does."""
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None


def check_receipt(raw: bytes) -> None:
    """Only the one that was sealed holds for whoever has the key, and what is said can be printed."""
    value = respelled(raw)
    raw = raw if value is None else receipt.dump(value)
    try:
        said = verify_receipt.check(raw, SIGNER.verifier.line)
    except verify_receipt.NOT_HOLDING as refusal:
        verify_receipt.said_of(refusal).encode()
    else:
        assert raw == whole()
        assert said[0].startswith("VALID")
    path = laid("r-one.json", raw)
    kept = ReceiptFolder(folder(), [SIGNER.verifier]).told_of("r-one")
    assert raw == whole() or kept is None, path
    receipt.read_sealed(raw, "r-one", [SIGNER.verifier])


def seal_anew(raw: bytes) -> None:
    """As whoever holds the key could: the program that is handed out has an answer all the same."""
    value = respelled(raw)
    if not isinstance(value, dict):
        return
    with suppress(*verify_receipt.NOT_HOLDING):
        value["seal"] = note.sign_text(receipt.seal_text(value), [SIGNER])
    sealed = receipt.dump(value)
    try:
        "".join(verify_receipt.check(sealed, SIGNER.verifier.line)).encode()
    except verify_receipt.NOT_HOLDING as refusal:
        verify_receipt.said_of(refusal).encode()
    laid("r-one.json", sealed)
    ReceiptFolder(folder(), [SIGNER.verifier]).told_of("r-one")
    printed_receipt(sealed, [SIGNER.verifier], BesideTheFile("Gardens", ZoneInfo("Europe/London"), made.NOW, {}))


def check_kept(raw: bytes) -> None:
    """A checkpoint that was kept and the steps from it: only a history that was signed leads to the receipt."""
    kept, *steps = raw.decode(errors="surrogateescape").split("\f")
    try:
        verify_receipt.check(whole(), SIGNER.verifier.line, None, kept, tuple(steps), None)
    except verify_receipt.NOT_HOLDING as refusal:
        verify_receipt.said_of(refusal).encode()


def check_policy(raw: bytes) -> None:
    try:
        seen, _ = verify_receipt.witnesses(raw, SIGNER.verifier.line, [signed()])
    except verify_receipt.NOT_HOLDING as refusal:
        verify_receipt.said_of(refusal).encode()
    else:
        assert not seen or WITNESS.witness.line.encode() in raw
        "".join(seen).encode()


def find_backup(raw: bytes) -> None:
    """What is found is printed the same, and holds what dpsync writes there, each in its own kind."""
    said = respelled(raw)
    page = raw if said is None else json.dumps(said, sort_keys=True, indent=1).encode() + b"\n"
    laid(backup.PAGE, page)
    found = backup.find(folder())
    assert found.page == page
    assert {type(one) for one in (found.origin, found.engine, found.schema, found.root, found.keys, found.digest)} == {
        str
    }
    assert type(found.entries) is int
    assert type(found.journal) is int
    assert found.taken_at.tzinfo is not None


@cache
def _page() -> bytes:
    said = {"digest": "00" * 32, "engine": "sqlite", "entries": 7, "form": backup.FORM, "journal": 0, "keys": "00" * 16}
    said |= {
        "origin": "example.org/dpsync",
        "root": "00" * 32,
        "schema": "0012",
        "taken_at": "2026-11-20T09:00:00+00:00",
    }
    return json.dumps(said, sort_keys=True, indent=1).encode() + b"\n"


def _policy() -> bytes:
    names = f"log {SIGNER.verifier.line}\nwitness one {WITNESS.witness.line}\nwitness two {WITNESS.witness.line}x\n"
    return names.encode() + b"group both all one two\nquorum both\n"


def _step() -> bytes:
    hashes = "".join(f"{base64.b64encode(bytes([one]) * 32).decode()}\n" for one in range(3))
    return f"old 5\n{hashes}\n{signed()}".encode()


def _entries() -> list[bytes]:
    return [body for _, body in made.bodies("r-one")]


TARGETS = (
    Target("notes", read_note, lambda: [signed().encode()], (NoteInvalid,)),
    Target(
        "keys",
        read_key,
        lambda: [SIGNER.verifier.line.encode(), WITNESS.witness.line.encode()],
        (NoteInvalid,),
    ),
    Target("consistency files", read_continuation, lambda: [_step()], (NoteInvalid,)),
    Target("entries", read_entry, _entries, (ValueError,)),
    Target("receipts", check_receipt, lambda: [whole()], (NoteInvalid,), examples=15),
    Target("receipts sealed anew", seal_anew, lambda: [whole()], (LedgerTampered, ValueError), examples=15),
    Target("kept checkpoints", check_kept, lambda: [signed().encode() + b"\f" + _step()], examples=10),
    Target("policies", check_policy, lambda: [_policy()], examples=15),
    Target("a back-up's page", find_backup, lambda: [_page()], (StoreProblem,)),
)
