"""What no check here can notice, because whoever has every key and every file has made all of it anew.

Only what lies with somebody else shows it: a checkpoint that the data protection officer kept, or a witness.
"""

import base64
import json
from hashlib import sha256
from pathlib import Path

from dpsync.ledger import merkle, note
from dpsync.ledger.entry import canonical, decode
from tests.changes.grounds import Grounds
from tests.changes.ledger import rebuilt
from tests.changes.receipts import resealed
from tests.changes.rows import by_hand, rows

REASONS = {
    "everything made anew": "whoever has the signing key and every file can sign another history; a checkpoint that "
    "somebody else kept, or a witness, does not fit it",
    "an entry added at its end": "the ledger shows what was recorded and when, and not that it is true",
}


def make_anew(there: Grounds) -> None:
    """Another time in the first entry of the ledger, and everything that follows from it signed anew."""
    bodies = _history(there)
    by_hand(there, *rebuilt(there, bodies))
    with there.opened() as installation:
        sizes = sorted(int(path.stem) for path in there.anchors.glob("*.checkpoint"))
        notes = {row["size"]: row["note"] for row in rows(there.database, "checkpoint")}
        for size in sizes:
            (there.anchors / f"{size:012d}.checkpoint").write_text(notes[size])
        (there.anchors / "checkpoint").write_text(notes[sizes[-1]])
        for path in there.anchors.glob("*.consistency"):
            old, new = map(int, path.stem.split("-"))
            text = installation.read(lambda connection: installation.log.continuation(connection, old, notes[new]))  # noqa: B023 - because it is used at once
            path.write_text(text)
        for path in there.receipts.glob("r-*.json"):
            _of_receipt(there, path, notes)
        newest = there.receipts / "newest.checkpoint"
        newest.write_text(notes[note.parse(newest.read_text())[0].size])


def _history(there: Grounds) -> dict[int, bytes]:
    """The entries that differ, each cosigned file forged as far as the real key goes."""
    changed: dict[int, bytes] = {}
    peaks: dict[int, bytes] = {}
    roots: dict[int, bytes] = {}
    for row in rows(there.database, "entry"):
        idx, said, body = row["idx"], decode(row["body"]), bytes(row["body"])
        if idx == 0:
            changed[0] = canonical({**said, "ts": int(said["ts"]) - 1})
        if said["event"] == "anchor":
            size = int(said["n"])
            content = note.sign(note.Checkpoint(there.signer.verifier.name, size, roots[size]), there.signer).encode()
            (there.anchors / f"{size:012d}.cosigned").write_bytes(content)
            changed[idx] = canonical({**said, "digest": sha256(content).hexdigest()})
        merkle.grow(idx, peaks, [merkle.leaf_hash(changed.get(idx, body))], lambda *node: node[2])
        roots[idx + 1] = merkle.frontier_root(peaks)
    return changed


def _of_receipt(there: Grounds, path: Path, notes: dict[int, str]) -> None:
    value = json.loads(path.read_bytes())
    size = note.parse(value["checkpoint"])[0].size
    nodes = {(row["level"], row["idx"]): row["hash"] for row in rows(there.database, "node")}
    value["checkpoint"] = notes[size]

    def get(level: int, idx: int) -> bytes:
        found: bytes = nodes[level, idx]
        return found

    for one in value["entries"]:
        proof = merkle.inclusion_proof(get, one["index"], size)
        one["proof"] = [base64.b64encode(step).decode() for step in proof]
    path.write_bytes(resealed(there, value))
