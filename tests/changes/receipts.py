"""Changes to receipts, with the real key and without, and to the policy by which a reader grades them."""

import base64
import copy
import json
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

from dpsync.ledger import note, receipt, verify_receipt
from dpsync.ledger.entry import decode
from tests.changes.change import Change, Maker, by_verifier, by_verify_and_start
from tests.changes.grounds import Grounds
from tests.changes.ledger import falsified
from tests.changes.outside import flipped

Receipt = dict[str, Any]


def _raw(there: Grounds, request: str) -> bytes:
    return (there.receipts / f"{request}.json").read_bytes()


def _any(there: Grounds, random: Random) -> str:
    return random.choice(sorted(there.about))


def _write(there: Grounds, request: str, raw: bytes | None) -> None:
    path = there.receipts / f"{request}.json"
    if raw is None:
        path.unlink()
    else:
        path.write_bytes(raw)


# --- in the receipts folder: `verify` looks


def _in_folder(what: str, request: str, raw: bytes | None) -> Change:
    return Change(
        f"{what} a kept receipt", [f"{request}.json"], lambda there: _write(there, request, raw), by_verify_and_start
    )


def edit_kept(there: Grounds, random: Random) -> Change:
    request = _any(there, random)
    return _in_folder("edit", request, flipped(_raw(there, request), random))


def delete_kept(there: Grounds, random: Random) -> Change:
    """Of one that is forgotten: any other is written anew within a minute."""
    return _in_folder("delete", there.forgotten, None)


def truncate_kept(there: Grounds, random: Random) -> Change:
    request = _any(there, random)
    raw = _raw(there, request)
    return _in_folder("truncate", request, raw[: random.randrange(len(raw))])


def swap_kept(there: Grounds, random: Random) -> Change:
    one, other = random.sample(sorted(there.about), 2)
    return _in_folder("swap", one, _raw(there, other))


def insert_kept(there: Grounds, random: Random) -> Change:
    one = _any(there, random)
    return _in_folder("insert", f"{one}X", _raw(there, one))


def resign_kept(there: Grounds, random: Random) -> Change:
    """One entry left out, and the seal made anew with the real key."""
    request = _any(there, random)
    value = json.loads(_raw(there, request))
    middle = [one for one in value["entries"][1:] if str(one["index"]) not in value["evidence"]]
    value["entries"].remove(random.choice(middle))
    return _in_folder("re-sign", request, resealed(there, value))


def old_kept(there: Grounds, random: Random) -> Change:
    """As it would have been written before the last words."""
    value = json.loads(_raw(there, there.forgotten))
    while len(value["entries"]) > 1:
        last = value["entries"].pop()
        value["evidence"].pop(str(last["index"]), None)
        if random.random() < 0.3:
            break
    return _in_folder("old copy of", there.forgotten, resealed(there, value))


# --- handed out: the program for strangers looks


def resealed(there: Grounds, value: Receipt) -> bytes:
    """The file under a seal that fits it, by the real key."""
    seal = note.sign_text(receipt.seal_text(value), [there.signer])
    return receipt.dump({**value, "seal": seal})


OURS = (
    "something in the file was changed",
    "the file was formatted anew",
    "this is no receipt of format 1",
    "a part of it is missing",
    "not in the form of the format",
    "signed",
    "seal",
    "line ",
    "position ",
)


def _handed(what: str, request: str, raw: bytes, named: Sequence[str] = OURS) -> Change:
    return Change(
        f"{what} a receipt", named, lambda there: _write(there, request, raw), lambda there: by_verifier(there, request)
    )


def edit_bit(there: Grounds, random: Random) -> Change:
    request = _any(there, random)
    return _handed("edit", request, flipped(_raw(there, request), random), (*OURS, "base64"))


def edit_value(there: Grounds, random: Random) -> Change:
    """Another value somewhere in it, and the seal as it was."""
    request = _any(there, random)
    value: Any = json.loads(_raw(there, request))
    at, key = value, random.choice(sorted(value))
    while isinstance(at[key], list | dict) and at[key]:
        at = at[key]
        key = random.choice(sorted(at)) if isinstance(at, dict) else random.randrange(len(at))
    at[key] = random.choice([None, 0, "", [], f"{at[key]}x", 1.5])
    return _handed("edit a value of", request, receipt.dump(value))


def delete_value(there: Grounds, random: Random) -> Change:
    request = _any(there, random)
    value = json.loads(_raw(there, request))
    if random.random() < 0.5:
        del value[random.choice(sorted(value))]
    else:
        value["entries"].pop(random.randrange(len(value["entries"])))
    return _handed("delete from", request, receipt.dump(value))


def insert_value(there: Grounds, random: Random) -> Change:
    request = _any(there, random)
    value = json.loads(_raw(there, request))
    if random.random() < 0.5:
        value["note"] = "checked by the ICO"
    else:
        value["entries"].insert(0, random.choice(json.loads(_raw(there, _any(there, random)))["entries"]))
    return _handed("insert into", request, receipt.dump(value))


def truncate_handed(there: Grounds, random: Random) -> Change:
    request = _any(there, random)
    raw = _raw(there, request)
    return _handed("truncate", request, raw[: random.randrange(len(raw))])


def swap_parts(there: Grounds, random: Random) -> Change:
    """A part of another receipt in its place."""
    one, other = random.sample(sorted(there.about), 2)
    value, donor = json.loads(_raw(there, one)), json.loads(_raw(there, other))
    name = random.choice([name for name in value if value[name] != donor[name]])
    value[name] = donor[name]
    return _handed(f"swap {name} of", one, receipt.dump(value))


def resign_handed(there: Grounds, random: Random) -> Change:
    """Something else in it, under a seal of the real key."""
    request = _any(there, random)
    value = json.loads(_raw(there, request))
    name, alter = random.choice(sorted(_UNDER_THE_SEAL.items()))
    named = alter(there, value, random)
    return _handed(f"re-sign {name} of", request, resealed(there, value), named)


def _body(there: Grounds, value: Receipt, random: Random) -> Sequence[str]:
    one = random.choice(value["entries"])
    one["body"] = base64.b64encode(falsified(base64.b64decode(one["body"]), random)).decode()
    return [f"entry {one['index']}"]


def _proof(there: Grounds, value: Receipt, random: Random) -> Sequence[str]:
    one = random.choice(value["entries"])
    steps = one["proof"]
    steps[random.randrange(len(steps))] = base64.b64encode(bytes(32)).decode()
    return [f"entry {one['index']}"]


def _index(there: Grounds, value: Receipt, random: Random) -> Sequence[str]:
    one = random.choice(value["entries"])
    one["index"] += random.choice([-1, 1])
    return [f"entry {one['index']}", "recorded calls"]


def _order(there: Grounds, value: Receipt, random: Random) -> Sequence[str]:
    value["entries"].reverse()
    return ["out of order"]


def _foreign(there: Grounds, value: Receipt, random: Random) -> Sequence[str]:
    other = random.choice([one for one in sorted(there.about) if one != value["request"]])
    donor = json.loads(_raw(there, other))
    donor_entries = [one for one in donor["entries"] if "resp" not in decode(base64.b64decode(one["body"]))]
    value["entries"] = sorted([*value["entries"], random.choice(donor_entries)], key=lambda one: one["index"])
    return ["another request", "is not in the signed ledger", "a proof does not fit"]


def _processors(there: Grounds, value: Receipt, random: Random) -> Sequence[str]:
    value["processors"] = random.choice([value["processors"][1:], [*value["processors"], "other"], []])
    return ["processors"]


def _evidence(there: Grounds, value: Receipt, random: Random) -> Sequence[str]:
    if not value["evidence"]:
        value["evidence"]["0"] = []
        return ["recorded calls"]
    key = random.choice(sorted(value["evidence"]))
    rows = value["evidence"][key]
    if rows and random.random() < 0.5:
        rows[0]["status"] = 201
    else:
        del value["evidence"][key]
    return ["recorded calls"]


def _commit_key(there: Grounds, value: Receipt, random: Random) -> Sequence[str]:
    value["commit_key"] = random.choice(["00" * 32, value["commit_key"].upper(), value["commit_key"][:-2]])
    return ["recorded calls", "its key", "not about this email"]


def _checkpoint(there: Grounds, value: Receipt, random: Random) -> Sequence[str]:
    head = note.parse(value["checkpoint"])[0]
    other = note.Checkpoint(head.origin, random.choice([head.size, head.size + 1]), bytes(32))
    value["checkpoint"] = note.sign(other, there.signer)
    return [f"entry {value['entries'][0]['index']}", "a proof does not fit"]


def _rehearsal(there: Grounds, value: Receipt, random: Random) -> Sequence[str]:
    value["rehearsal"] = random.choice([False, None, 1])
    return ["rehearsal"]


_UNDER_THE_SEAL: Mapping[str, Callable[[Grounds, Receipt, Random], Sequence[str]]] = {
    "an entry": _body,
    "a proof": _proof,
    "an index": _index,
    "the order": _order,
    "another's entry": _foreign,
    "processors": _processors,
    "evidence": _evidence,
    "the commit key": _commit_key,
    "the checkpoint": _checkpoint,
    "the word REHEARSAL": _rehearsal,
}


# --- the policy of a reader


def policy_of(there: Grounds) -> bytes:
    """By which the newest receipt is of grade 4."""
    return (
        f"# whom I trust\nlog {there.signer.verifier.line}\nwitness umbrella {there.witness}\n"
        f"group mine all umbrella\nquorum mine\n"
    ).encode()


def _graded(there: Grounds, policy: bytes) -> list[str]:
    """Under the newest cosigned checkpoint, which somebody kept; nothing where it is graded no lower than before."""
    kept = max(there.anchors.glob("*.cosigned")).read_text()
    first = min(there.about, key=lambda one: len(_raw(there, one)))
    value = json.loads(_raw(there, first))
    with there.opened() as installation:
        size = note.parse(value["checkpoint"])[0].size
        step = installation.read(lambda connection: installation.log.continuation(connection, size, kept))
    steps = (step,) if size < note.parse(kept)[0].size else ()
    try:
        said = verify_receipt.check(_raw(there, first), None, None, kept, steps, policy)
    except verify_receipt.NOT_HOLDING as refused:
        return [verify_receipt.said_of(refused)]
    return [line for line in said if line.startswith("GRADE") and int(line[6]) < 4]


def change_policy(there: Grounds, random: Random) -> Change:
    lines = policy_of(there).decode().splitlines(keepends=True)
    at = random.randrange(1, len(lines))
    changed = copy.copy(lines)
    kind = random.choice(["edit", "delete", "insert", "truncate", "swap", "old copy"])
    if kind == "edit":
        where = random.randrange(len(lines[at]) - 1)
        changed[at] = lines[at][:where] + chr(ord(lines[at][where]) ^ 1) + lines[at][where + 1 :]
    elif kind == "delete":
        del changed[random.randrange(2, len(lines))]  # without a line of the log, any is trusted
    elif kind == "insert":
        changed.insert(at, lines[at])
    elif kind == "truncate":
        changed = ["".join(lines)[: -random.randrange(2, 60)]]
    elif kind == "swap":
        at, other = random.sample(range(2, len(lines)), 2)  # where the line of the log stands says nothing
        changed[at], changed[other] = changed[other], changed[at]
    else:
        changed[1] = f"log {note.Signer('example.org/old', there.keys.signing_key).verifier.line}\n"
    raw = "".join(changed).encode("latin-1")
    return Change(
        f"{kind} policy", ["line ", "policy", "GRADE 1", "GRADE 2"], lambda _: None, lambda one: _graded(one, raw)
    )


def makers() -> Mapping[str, Maker]:
    """By name."""
    kept = (edit_kept, delete_kept, truncate_kept, swap_kept, insert_kept, resign_kept, old_kept)
    handed = (edit_bit, edit_value, delete_value, insert_value, truncate_handed, swap_parts, resign_handed)
    found = {one.__name__.replace("_", " "): one for one in (*kept, *handed)}
    # the weight of what is cheap to try
    return {
        **found,
        "re-sign handed again": resign_handed,
        "edit value again": edit_value,
        "change policy": change_policy,
        "change policy again": change_policy,
    }
