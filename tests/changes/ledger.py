"""Changes to the ledger itself: entries, nodes, checkpoints, and what the database says of itself."""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from random import Random
from typing import Any

from dpsync.ledger import merkle, note
from dpsync.ledger.entry import canonical
from tests.changes.change import Change, Maker, by_verify_and_start
from tests.changes.grounds import Grounds
from tests.changes.rows import add, by_hand, drop, put, rows

Statement = tuple[str, Sequence[object]]


def _by_hand(what: str, named: Sequence[str], *made: Statement) -> Change:
    return Change(what, named, lambda there: by_hand(there, *made), by_verify_and_start)


def falsified(body: bytes, random: Random) -> bytes:
    """An entry that says something else, in the one spelling."""
    said = json.loads(body)
    name = random.choice([name for name in said if name not in {"v", "req", "rows"}])
    said[name] = (
        said[name] + 1 if isinstance(said[name], int) else f"{said[name][:-1]}{'b' if said[name][-1:] != 'b' else 'c'}"
    )
    return canonical(said)


def edit_entry(there: Grounds, random: Random) -> Change:
    row = random.choice(rows(there.database, "entry"))
    at = random.randrange(len(row["body"]))
    flipped = row["body"][:at] + bytes([row["body"][at] ^ 1]) + row["body"][at + 1 :]
    body = random.choice([flipped, falsified(row["body"], random)])
    return _by_hand("edit entry", [f"entry {row['idx']}"], put("entry", row, body=body))


def refile_entry(there: Grounds, random: Random) -> Change:
    row = random.choice(rows(there.database, "entry"))
    other = random.choice([one for one in rows(there.database, "request") if one["id"] != row["request_id"]])
    return _by_hand("edit entry.request_id", [f"entry {row['idx']}"], put("entry", row, request_id=other["id"]))


def delete_entry(there: Grounds, random: Random) -> Change:
    row = random.choice(rows(there.database, "entry")[:-1])
    return _by_hand("delete entry", [f"entry {row['idx']}"], drop("entry", row))


def insert_entry(there: Grounds, random: Random) -> Change:
    found = rows(there.database, "entry")
    row = {**random.choice(found), "idx": random.choice([-1, len(found), len(found) + 3, len(found) + 10_000])}
    named = [f"entry {len(found)}", f"entry {row['idx']}", f"node 0/{len(found)}"]
    return _by_hand("insert entry", named, add("entry", row))


def swap_entries(there: Grounds, random: Random) -> Change | None:
    one, other = random.sample(rows(there.database, "entry"), 2)
    if one["body"] == other["body"]:
        return None
    made = [put("entry", a, body=b["body"], request_id=b["request_id"]) for a, b in ((one, other), (other, one))]
    return _by_hand("swap entries", [f"entry {one['idx']}"], *made)


def truncate_ledger(there: Grounds, random: Random) -> Change:
    """The last entries, and every node above them: a ledger that once was."""
    size = len(rows(there.database, "entry"))
    kept = random.randrange(1, size)
    made: list[Statement] = [("DELETE FROM entry WHERE idx >= ?", [kept])]
    made += [("DELETE FROM node WHERE level = ? AND idx >= ?", [level, kept >> level]) for level in range(20)]
    made.append(("DELETE FROM checkpoint WHERE size > ?", [kept]))
    return _by_hand("truncate the ledger", [f"ends after {kept}"], *made)


def old_ledger(there: Grounds, random: Random) -> Change:
    old = there.older / "dpsync.db"
    size = len(rows(old, "entry"))
    made: list[Statement] = []
    for table in random.choice([("entry", "node", "checkpoint"), ("entry", "node")]):
        made.append((f"DELETE FROM {table}", []))
        made += [add(table, row) for row in rows(old, table)]
    return _by_hand("old copy of the ledger", [f"ends after {size}"], *made)


def edit_node(there: Grounds, random: Random) -> Change:
    row = random.choice(rows(there.database, "node"))
    wrong = bytes([row["hash"][0] ^ 1]) + row["hash"][1:]
    named = [f"node {row['level']}/{row['idx']}", *([f"entry {row['idx']}"] if row["level"] == 0 else [])]
    return _by_hand("edit node", named, put("node", row, hash=wrong))


def delete_node(there: Grounds, random: Random) -> Change:
    row = random.choice(rows(there.database, "node"))
    return _by_hand("delete node", [f"node {row['level']}/{row['idx']}"], drop("node", row))


def insert_node(there: Grounds, random: Random) -> Change:
    row = random.choice(rows(there.database, "node"))
    row = {**row, "level": random.choice([row["level"], 40, -1]), "idx": row["idx"] + 100_000}
    return _by_hand("insert node", [f"node {row['level']}/{row['idx']}"], add("node", row))


def swap_nodes(there: Grounds, random: Random) -> Change:
    one, other = random.sample(rows(there.database, "node"), 2)
    made = [put("node", a, hash=b["hash"]) for a, b in ((one, other), (other, one))]
    named = [f"node {one['level']}/{one['idx']}", f"entry {one['idx']}"]
    return _by_hand("swap nodes", named, *made)


def truncate_nodes(there: Grounds, random: Random) -> Change:
    level = random.randrange(4)
    found = [row for row in rows(there.database, "node") if row["level"] == level]
    gone = found[random.randrange(len(found)) :]
    return _by_hand("truncate nodes", [f"node {level}/{gone[0]['idx']}"], *(drop("node", row) for row in gone))


def rebuilt(there: Grounds, bodies: Mapping[int, bytes]) -> list[Statement]:
    """The entries with these bodies, the whole tree anew, and every checkpoint signed anew with the real key."""
    entries = rows(there.database, "entry")
    made: list[Statement] = [put("entry", entries[idx], body=body) for idx, body in bodies.items()]
    nodes: list[dict[str, Any]] = []

    def take(level: int, idx: int, value: bytes) -> bytes:
        nodes.append({"level": level, "idx": idx, "hash": value})
        return value

    peaks: dict[int, bytes] = {}
    roots = {}
    for row in entries:
        leaf = merkle.leaf_hash(bodies.get(row["idx"], row["body"]))
        merkle.grow(row["idx"], peaks, [leaf], take)
        roots[row["idx"] + 1] = merkle.frontier_root(peaks)
    made.append(("DELETE FROM node", []))
    made += [add("node", one) for one in nodes]
    for row in rows(there.database, "checkpoint"):
        head = note.Checkpoint(there.signer.verifier.name, row["size"], roots[row["size"]])
        made.append(put("checkpoint", row, note=note.sign(head, there.signer)))
    return made


def resign_entry(there: Grounds, random: Random) -> Change:
    """Another word in one entry, and all that follows from it signed with the real key."""
    row = random.choice(rows(there.database, "entry"))
    made = rebuilt(there, {row["idx"]: falsified(row["body"], random)})
    size = min(int(path.stem) for path in there.anchors.glob("*.checkpoint") if int(path.stem) > row["idx"])
    return _by_hand("re-sign an entry", [f"anchor {size:012d}.checkpoint"], *made)


def resign_checkpoint(there: Grounds, random: Random) -> Change:
    """A stored checkpoint of another root or size, under the real key."""
    row = random.choice(rows(there.database, "checkpoint"))
    head = note.parse(row["note"])[0]
    other = random.choice(
        [
            note.Checkpoint(head.origin, head.size, bytes(32)),
            note.Checkpoint(head.origin, head.size + 7, head.root),
            note.Checkpoint("example.org/other", head.size, head.root),
        ]
    )
    text = note.sign(other, there.signer) if other.origin == head.origin else _of_another(other, there)
    return _by_hand("re-sign a checkpoint", [f"checkpoint {row['size']}"], put("checkpoint", row, note=text))


def _of_another(head: note.Checkpoint, there: Grounds) -> str:
    return note.sign(head, note.Signer(head.origin, there.keys.signing_key))


def insert_checkpoint(there: Grounds, random: Random) -> Change:
    row = random.choice(rows(there.database, "checkpoint"))
    row = {**row, "size": row["size"] * 1000 + 7}
    return _by_hand("insert a checkpoint", [f"checkpoint {row['size']}"], add("checkpoint", row))


def _of_meta(there: Grounds) -> list[dict[str, Any]]:
    """The rows that prove something: what the others say is made anew, or told of at most twice.

    The fingerprint of a month's key is needed as long as that key opens anything.
    """
    months = {row["key_month"] for row in rows(there.database, "request") if row["wrapped_key"]}
    opens = {f"key:month:{month}" for month in months}
    proven = {"origin", "keys", "anchored", "journal"}
    return [
        row for row in rows(there.database, "meta") if row["key"] in {*proven, *opens} or row["key"].endswith(".key")
    ]


def edit_meta(there: Grounds, random: Random) -> Change:
    row = random.choice(_of_meta(there))
    wrong = random.choice([f"{row['value']}x", "7 7 x"])
    named = [row["key"].removeprefix("key:").removeprefix("month:")] + ["the ledger in this database is"] * (
        row["key"] == "origin"
    )
    return _by_hand(f"edit meta {row['key']}", named, put("meta", row, value=wrong))


def delete_meta(there: Grounds, random: Random) -> Change:
    row = random.choice(_of_meta(there))
    return _by_hand(f"delete meta {row['key']}", [row["key"]], drop("meta", row))


def insert_meta(there: Grounds, random: Random) -> Change:
    month = f"20{random.randrange(10, 25)}-0{random.randrange(1, 9)}"
    row = {"key": f"key:month:{month}", "value": "ab" * 16}
    return _by_hand("insert meta", [month], add("meta", row))


def swap_meta(there: Grounds, random: Random) -> Change | None:
    one, other = random.sample([row for row in _of_meta(there) if row["key"] != "journal"], 2)
    made = [put("meta", a, value=b["value"]) for a, b in ((one, other), (other, one))]
    named = [row["key"].removeprefix("key:").removeprefix("month:") for row in (one, other)]
    return _by_hand(f"swap meta {one['key']} and {other['key']}", [*named, "the ledger in this database is"], *made)


def truncate_meta(there: Grounds, random: Random) -> Change:
    return _by_hand("truncate meta", ["table `meta`", "no ledger has begun"], ("DELETE FROM meta", []))


KINDS: Mapping[str, Callable[[Grounds, Random], Change | None]] = {
    "edit entry": edit_entry,
    "refile entry": refile_entry,
    "delete entry": delete_entry,
    "insert entry": insert_entry,
    "swap entries": swap_entries,
    "truncate ledger": truncate_ledger,
    "old ledger": old_ledger,
    "edit node": edit_node,
    "delete node": delete_node,
    "insert node": insert_node,
    "swap nodes": swap_nodes,
    "truncate nodes": truncate_nodes,
    "re-sign entry": resign_entry,
    "re-sign checkpoint": resign_checkpoint,
    "insert checkpoint": insert_checkpoint,
    "edit meta": edit_meta,
    "delete meta": delete_meta,
    "insert meta": insert_meta,
    "swap meta": swap_meta,
    "truncate meta": truncate_meta,
}


def makers() -> Mapping[str, Maker]:
    """By name."""
    return {name: partial(kind) for name, kind in KINDS.items()}
