"""A receipt: what one request's proof needs to be checked by somebody who trusts neither the service nor its database.

Pure: it is given everything. The file is JSON in one spelling (`dump`), sealed by a signed note over the rest of it, so
that an entry left out or a sentence reworded on the way is seen. Format: docs/proof-format.md.
"""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from json.encoder import encode_basestring_ascii as _quoted
from typing import Any, Final

from dpsync.errors import NoteInvalid
from dpsync.ledger import entry, merkle, note
from dpsync.model import CLOSED_STATES

FORMAT = "dpsync-receipt/1"
REHEARSAL = "REHEARSAL"
"""Stands in the origin of a rehearsal's ledger, and so under every signature of it."""

EvidenceRow = Mapping[str, str | int | None]

HOW_TO_CHECK = (
    "You need only Python 3.11 or newer: python3 verify_receipt.py receipt.json --key LINE --email ADDRESS",
    "LINE is the verifier key line that the controller gave to its data protection officer.",
    "If you use only the key in this file, you learn that the file is complete, but not who signed it.",
    "ADDRESS is the person's email address. This file does not contain it.",
    "Compare the checkpoint with those that the data protection officer keeps.",
    "Only a checkpoint that somebody else kept shows that the ledger was not made anew.",
    "A receipt does not show that a processor told the truth, nor anything that was never recorded.",
)


@dataclass(frozen=True, slots=True)
class Logged:
    """One entry with its place and the audit path to the checkpoint's root, from the leaf's sibling upwards."""

    idx: int
    body: bytes
    proof: tuple[bytes, ...]


def build(
    *,
    checkpoint: str,
    signer: note.Signer,
    request_id: str,
    commit_key: bytes,
    processors: Sequence[str],
    entries: Sequence[Logged],
    evidence: Mapping[int, Sequence[EvidenceRow]],
    rehearsal: bool,
    remarks: Mapping[str, Mapping[str, str]] | None = None,
) -> dict[str, Any]:
    """The receipt of one request.

    `checkpoint` is a note that `signer` has signed; `commit_key` opens the request's commitments; `processors` are
    those named at reception; `evidence` gives, by index of each entry with a `resp`, the rows that it digests;
    `remarks` is said to people of each processor.

    Raises `NoteInvalid` for a checkpoint of another key, and `ValueError` for what the verifier would refuse: an entry
    of another request or not under the checkpoint, evidence that does not fit, a rehearsal without its mark.
    """
    head = note.verify(checkpoint, [signer.verifier])
    if rehearsal is not (REHEARSAL in head.origin):
        raise ValueError("a rehearsal's ledger, and no other, has REHEARSAL in its origin")
    ordered = sorted(entries, key=lambda logged: logged.idx)
    _demand_fitting(head, request_id, commit_key, ordered, evidence)
    value: dict[str, Any] = {
        "format": FORMAT,
        "rehearsal": rehearsal,
        "origin": head.origin,
        "key": signer.verifier.line,
        "checkpoint": checkpoint,
        "request": request_id,
        "commit_key": commit_key.hex(),
        "processors": sorted(processors),
        "entries": [
            {"index": logged.idx, "body": _b64(logged.body), "proof": [_b64(step) for step in logged.proof]}
            for logged in ordered
        ],
        "evidence": {str(idx): [dict(row) for row in rows] for idx, rows in evidence.items()},
        "how_to_check": list(HOW_TO_CHECK),
        **({"remarks": {name: dict(said) for name, said in remarks.items()}} if remarks else {}),
    }
    return {**value, "seal": note.sign_text(seal_text(value), [signer])}


def seal_text(receipt: Mapping[str, Any]) -> str:
    """What the seal signs: origin, request, digest of all but the seal. No size stands second: never a checkpoint."""
    rest = {name: value for name, value in receipt.items() if name != "seal"}
    digest = hashlib.sha256(entry.canonical(rest)).digest()
    return f"{receipt['origin']}\nreceipt {receipt['request']}\n{_b64(digest)}\n"


def dump(receipt: Mapping[str, Any]) -> bytes:
    """The file, in the only spelling that the verifier accepts."""
    return f"{_spelled(dict(receipt), _LINE)}{_LINE}".encode()


_LINE: Final = "\n"


def _spelled(value: object, line: str) -> str:
    """As `json` spells it with sorted keys and an indent of one blank, in two thirds of its time: that was a quarter of
    what reading a receipt took. `line`: how a line begins here.
    """
    within = f"{line} "
    if isinstance(value, dict) and value:
        parts = [
            f"{_quoted(key)}: {_quoted(one) if isinstance(one, str) else _spelled(one, within)}"
            for key, one in sorted(value.items())
        ]
        return f"{{{within}{f',{within}'.join(parts)}{line}}}"
    if isinstance(value, list) and value:
        parts = [_quoted(one) if isinstance(one, str) else _spelled(one, within) for one in value]
        return f"[{within}{f',{within}'.join(parts)}{line}]"
    return str(value) if type(value) is int else json.dumps(value)


def untold(receipt: Mapping[str, Any]) -> list[str]:
    """The processors that do not have the instruction yet, or not any more, and at which nothing closed the story."""
    said = (entry.decode(base64.b64decode(logged["body"])) for logged in receipt["entries"])
    last = {one.get("dest"): one for one in said if "state" in one}
    return [name for name in receipt["processors"] if not _is_told(last.get(name))]


def _is_told(last: Mapping[str, str | int] | None) -> bool:
    return last is not None and (last["state"] in CLOSED_STATES or bool(last["rung"] and last.get("told", 1)))


def tlog_proof(receipt: Mapping[str, Any], idx: int) -> str:
    """One entry's proof as a C2SP `tlog-proof` file, for tools that know nothing of dpsync. Raises `ValueError`."""
    for logged in receipt["entries"]:
        if logged["index"] == idx:
            steps = "".join(f"{step}\n" for step in logged["proof"])
            return f"c2sp.org/tlog-proof@v1\nindex {idx}\n{steps}\n{receipt['checkpoint']}"
    raise ValueError("the receipt has no entry of that index")


def _demand_fitting(
    head: note.Checkpoint,
    request_id: str,
    commit_key: bytes,
    entries: Sequence[Logged],
    evidence: Mapping[int, Sequence[EvidenceRow]],
) -> None:
    told = {}
    for logged in entries:
        value = entry.decode(logged.body)
        if value.get("req") != request_id:
            raise ValueError(f"entry {logged.idx} is of another request")
        leaf = merkle.leaf_hash(logged.body)
        if not merkle.verify_inclusion(leaf, logged.idx, head.size, logged.proof, head.root):
            raise ValueError(f"entry {logged.idx} is not under the checkpoint")
        if "resp" in value:
            told[logged.idx] = value["resp"]
    if told.keys() != evidence.keys():
        raise ValueError("evidence is missing, or belongs to no entry with a digest of it")
    for idx, rows in evidence.items():
        if entry.resp_digest(commit_key, rows) != told[idx]:
            raise ValueError(f"the evidence of entry {idx} does not fit its digest")


def _b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def read(raw: bytes) -> dict[str, Any]:
    """A receipt's value, its proof not yet checked. Raises `NoteInvalid` unless `dump` would print the same bytes."""
    try:
        value = json.loads(raw)
        if isinstance(value, dict) and value.get("format") == FORMAT and dump(value) == raw:
            return value
    except (ValueError, RecursionError):
        pass
    raise NoteInvalid("the file is not a receipt as it was written")


def read_sealed(raw: bytes, request_id: str, keys: Sequence[note.VerifierKey]) -> dict[str, Any]:
    """The receipt of that request as one of `keys` has sealed it; its entries and proofs are not checked here.

    Raises `NoteInvalid` for anything else: cut off, changed, another's, or of another ledger's key.
    """
    value = read(raw)
    seal, checkpoint = value.get("seal"), value.get("checkpoint")
    if not isinstance(seal, str) or not isinstance(checkpoint, str) or "origin" not in value:
        raise NoteInvalid("a part of the receipt is missing")
    if value.get("request") != request_id:
        raise NoteInvalid("the file is another receipt than its name says")
    if note.signed_text(seal, keys) != seal_text(value):
        raise NoteInvalid("something in the receipt was changed")
    _verified(checkpoint, tuple(keys))
    return value


@lru_cache(maxsize=256)
def _verified(checkpoint: str, keys: tuple[note.VerifierKey, ...]) -> note.Checkpoint:
    """As `note.verify`; many receipts lie under one checkpoint. What it raises is not kept."""
    return note.verify(checkpoint, keys)
