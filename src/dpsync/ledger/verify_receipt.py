"""Checks a receipt of dpsync offline, with Python 3.11 alone. The formats: docs/proof-format.md.

python3 verify_receipt.py receipt.json [--key VERIFIER_KEY_LINE ...] [--email ADDRESS]
  [--checkpoint FILE [--consistency FILE ...]] [--policy FILE]    (exit 0 holds, 2 does not, 64 usage)
A checkpoint that you kept shows that the ledger was not made anew; the consistency files lie beside the anchors.
A policy (C2SP tlog-policy) names the witnesses that you trust. From all that, it says how far the proof reaches.
"""

import base64
import hashlib
import hmac
import json
import re
import sys
import time
import unicodedata
from pathlib import Path
from typing import Any

P, L = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
D, ROOT_OF_MINUS_1 = -121665 * pow(121666, -1, P) % P, pow(2, (P - 1) // 4, P)
NOT_HOLDING = (ArithmeticError, AttributeError, LookupError, OSError, RecursionError, TypeError, ValueError)
Point = tuple[int, int, int, int]
Head = tuple[str, int, bytes]
RUNGS = ("nothing sent", "sent", "delivered", "acknowledged", "confirmed by them", "seen by us", "seen 30 days later")
DONE = {"applied", "declared_done", "nothing_held", "declared_nothing_held", "verified"}
GRADES = {
    1: "signed: by the ledger's key; whoever holds that key could have made the ledger anew",
    2: "held: it fits a checkpoint that somebody else kept; to whoever keeps none, another history could be shown",
    4: "witnessed: a witness that you trust saw one history; together with that witness another could be shown",
    5: "quorum: the witnesses that your policy asks for saw one history; all of them together could show another",
}
UNSEEN = " No witness of your policy cosigned all of these entries: give --checkpoint, a newer one that it cosigned."
CLOSED = {"superseded", "withdrawn", "settled", "exempt"} | DONE


def demand(holds: object, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)


def add(a: Point, b: Point) -> Point:  # RFC 8032, 5.1.4
    c, d = (a[1] - a[0]) * (b[1] - b[0]), (a[1] + a[0]) * (b[1] + b[0])
    e, f = 2 * a[3] * b[3] * D, 2 * a[2] * b[2]
    return (d - c) * (f - e) % P, (f + e) * (d + c) % P, (f - e) * (f + e) % P, (d - c) * (d + c) % P


def point(raw: bytes) -> Point:  # RFC 8032, 5.1.3
    y, odd = int.from_bytes(raw, "little") & 2**255 - 1, raw[31] >> 7
    u, v = (y * y - 1) % P, (D * y * y + 1) % P
    root = u * v**3 * pow(u * v**7, (P - 5) // 8, P)
    found = {x % P for x in (root, -root, root * ROOT_OF_MINUS_1, -root * ROOT_OF_MINUS_1) if (v * x * x - u) % P == 0}
    (x,) = (x for x in found if x & 1 == odd and y < P)
    return x, y, 1, x * y % P


def ed25519(public: bytes, message: bytes, signature: bytes) -> bool:
    s = int.from_bytes(signature[32:], "little")
    h = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % L
    (x, y, _, t), base = point(public), point((4 * pow(5, -1, P) % P).to_bytes(32, "little"))
    total: Point = (0, 1, 1, 0)
    table = [total, base, (P - x, y, 1, P - t), add(base, (P - x, y, 1, P - t))]
    for bit in range(252, -1, -1):
        total = add(add(total, total), table[(s >> bit & 1) + 2 * (h >> bit & 1)])
    x, y = total[0] * pow(total[2], -1, P) % P, total[1] * pow(total[2], -1, P) % P
    fits = (y | (x & 1) << 255).to_bytes(32, "little") == signature[:32]
    return fits and s < L and len(signature) == 64  # s >= L would be a second spelling of the same signature


def unb64(text: str) -> bytes:
    raw = base64.b64decode(text)
    demand(base64.b64encode(raw).decode() == text, "base64 in a spelling of its own")
    return raw


def printed(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def key_of(line: str, kind: int) -> tuple[str, bytes, bytes]:
    """The name, the id and the public key in a verifier key line: kind 1 of a ledger, 4 of a witness."""
    name, _, rest = line.partition("+")
    demand(re.fullmatch("[0-9a-f]{8}[+][A-Za-z0-9+/]{44}", rest), "the key line is damaged")
    public = unb64(rest[9:])
    key_id = hashlib.sha256(f"{name}\n".encode() + public).digest()[:4]
    demand(public[0] == kind and rest[:9] == f"{key_id.hex()}+", "the key line is damaged")
    return name, key_id, public[1:]


def signed_text(note: str, *keys: str) -> str:  # one of the keys signed it, and the signature of each that did fits
    known, (text, blank, lines) = {key_of(key, 1) for key in keys}, note.rpartition("\n\n")
    demand(blank, "a note is a damaged file: it is empty, cut off, or no signed note")
    signatures = [line.split(" ") for line in lines.split("\n")]
    well = signatures.pop() == [""] and all(len(line) == 3 and line[0] == "—" for line in signatures)
    well = well and all(line[1] and "+" not in line[1] and len(unb64(line[2])) > 4 for line in signatures)
    well = well and all(mark == "\n" or mark.isprintable() for mark in note) and len(note.encode()) <= 65536
    found = [(of, raw[4:]) for of in known for line in signatures if (line[1], (raw := unb64(line[2]))[:4]) == of[:2]]
    demand(well and found and len({one for one, _ in found}) == len(found), "a note is not signed just once by the key")
    fits = all(ed25519(public, f"{text}\n".encode(), signature) for (_, _, public), signature in found)
    demand(fits, "a signature does not fit the key")
    return text


def cosigned(line: str, note: str) -> bool:
    """Whether the witness of that key line cosigned a note whose form was checked (C2SP tlog-cosignature, v1)."""
    (name, key_id, public), (text, _, lines) = key_of(line, 4), note.rpartition("\n\n")
    fields = [unb64(field) for _, signer, field in map(str.split, lines.split("\n")[:-1]) if signer == name]
    for raw in (own := [field for field in fields if field[:4] == key_id]):
        at = int.from_bytes(raw[4:12], "big")
        fits = len(raw) == 76 and ed25519(public, f"cosignature/v1\ntime {at}\n{text}\n".encode(), raw[12:])
        demand(fits and at, f"the cosignature of {name} does not fit")
    return bool(own)


def witnesses(policy: bytes, key: str, notes: list[str]) -> tuple[list[str], bool]:
    """Who cosigned one of the notes, by the policy's names, and whether its quorum is met (C2SP tlog-policy)."""
    known: dict[str, bool] = {}
    seen, used, keys, logs, met = list[str](), list[str](), list[bytes](), list[str](), list[bool]()
    demand(all(byte in (9, 10) or 32 <= byte != 127 for byte in policy), "the policy holds a control character")
    for number, line in enumerate(policy.decode("latin-1").split("\n"), 1):  # above 127, bytes mean but themselves
        word, *rest = [part for part in re.split("[ \t]+", line) if part] or ["#"]
        named = bool(rest) and rest[0] not in known and rest[0] != "none"
        if word == "log" and 1 <= len(rest) <= 2:
            logs.append(rest[0].encode("latin-1").decode())
        elif word == "witness" and 2 <= len(rest) <= 3 and named:
            given = rest[1].encode("latin-1").decode()
            keys.append(key_of(given, 4)[2])
            known[rest[0]] = any(cosigned(given, note) for note in notes)
            seen += [rest[0]] * known[rest[0]]
        elif word == "group" and len(rest) > 2 and named and set(rest[2:]) <= set(known):
            said = int(rest[1]) if re.fullmatch("[0-9]{1,3}", rest[1]) else 0
            least = {"any": 1, "all": len(rest) - 2}.get(rest[1], said)
            fits = 0 < least <= len(rest) - 2
            demand(fits, f"line {number} of the policy asks for none of its group or for too many")
            used += rest[2:]
            known[rest[0]] = sum(known[member] for member in rest[2:]) >= least
        elif word == "quorum" and len(rest) == 1 and not named:
            met.append(known.get(rest[0], False))
        else:
            demand(word.startswith("#"), f"line {number} of the policy is not in the form of the format")
    once = len(set(keys)) == len(keys) and len(set(used)) == len(used) and len(set(logs)) == len(logs)
    demand(once and len(met) == 1, "the policy names something twice, or not just one quorum")
    demand(key in [*logs, *[key] * (not logs)], "the policy does not know the key of this ledger")
    return seen, met[0]


def head(note: str, *keys: str) -> Head:
    origin, size, root = signed_text(note, *keys).split("\n")
    demand(size == str(int(size)) and len(unb64(root)) == 32, "a checkpoint is not in the one spelling of the format")
    return origin, int(size), unb64(root)


def node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()


def root_over(value: bytes, index: int, size: int, proof: list[bytes]) -> bytes:  # RFC 9162, 2.1.1 and 2.1.3
    demand(0 <= index < size and bool(proof) is (size > 1), "a proof does not fit the ledger's size")
    if size == 1:
        return value
    half, (*lower, other) = 1 << (size - 1).bit_length() - 1, proof
    if index < half:
        return node(root_over(value, index, half, lower), other)
    return node(other, root_over(value, index - half, size - half, lower))


def both_roots(old: int, new: int, proof: list[bytes], known: bytes | None) -> tuple[bytes, bytes]:  # RFC 9162, 2.1.4
    demand(0 < old <= new, "the trees to compare are empty, or in the wrong order")
    if old == new:
        (root,) = proof if known is None else [known, *proof]
        return root, root
    half, (*lower, other) = 1 << (new - 1).bit_length() - 1, proof
    if old <= half:
        before, after = both_roots(old, half, lower, known)
        return before, node(after, other)
    before, after = both_roots(old - half, new - half, lower, None)
    return node(other, before), node(other, after)


def continues(one: Head, other: Head, keys: list[str], steps: tuple[str, ...]) -> None:
    """Go from the smaller ledger to the larger, one consistency file (`old SIZE`, proof, checkpoint) a step."""
    (origin, size, root), until = sorted((one, other), key=lambda head: head[1])
    known = {size: root}  # of each size that is led to, whatever else was given
    for old, step in sorted((int(step.split("\n")[0].removeprefix("old ")), step) for step in {*steps}):
        proved, _, checkpoint = step.partition("\n\n")
        first, *proof = proved.split("\n")
        if old in known and first == f"old {old}":
            name, larger, top = head(checkpoint, *keys)
            found = both_roots(old, larger, [unb64(line) for line in proof], known[old])
            well = found == (known[old], top) and name == origin and known.setdefault(larger, top) == top
            demand(well, f"{larger} entries do not continue those {old}")
    demand(until[1] in known, "no consistency file leads from your checkpoint to that of the receipt, or back")
    same = (origin, known[until[1]]) == until[::2]
    demand(same, "your checkpoint and that of the receipt are of two different ledgers")


def plain(part: object) -> bool:
    """Whether an entry may say so: a whole number, or printable ASCII, which does nothing to a screen."""
    return 0 <= part < 1 << 53 if type(part) is int else type(part) is str and bool(re.fullmatch("[ -?A-~]*", part))


def entries_of(receipt: dict[str, Any]) -> list[tuple[int, dict[str, Any]]]:
    origin, size, root = head(receipt["checkpoint"], receipt["key"])
    demand(origin == receipt["origin"], "the checkpoint is of another ledger")
    found: list[tuple[int, dict[str, Any]]] = []
    for row in receipt["entries"]:
        body, index, proof = unb64(row["body"]), row["index"], [unb64(step) for step in row["proof"]]
        top, entry = root_over(hashlib.sha256(b"\0" + body).digest(), index, size, proof), json.loads(body)
        demand(top == root, f"entry {index} is not in the signed ledger")
        well = printed(entry) == body and all(map(plain, entry.values())) and entry["v"] == 1
        demand(well and len(body) <= 2048, f"entry {index} is not in the one spelling of the format")
        ordered = type(index) is int and (not found or found[-1][0] < index)
        demand(ordered and entry["req"] == receipt["request"], f"entry {index} is out of order, or of another request")
        found.append((index, entry))
    return found


def last_words(name: str, found: list[tuple[int, dict[str, Any]]]) -> tuple[str, str]:
    """The state at one processor, and a sentence: right, state, how far the proof reaches, since when, the story."""
    said = [entry for _, entry in found if entry.get("dest") == name]
    if not any("state" in entry for entry in said):
        return "pending", f"  {name}: nothing is recorded of it yet"
    last = [entry for entry in said if "state" in entry][-1]
    state, when = last["state"].replace("_", " "), time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(last["ts"]))
    back = ", and taken back: not told" * (last["rung"] > 0 and last.get("told") == 0)
    told = f"{last['right']}: {state}; {RUNGS[last['rung']]}{back} (rung {last['rung']} of 6), as of {when}"
    return last["state"], f"  {name}: {told}. Recorded: {', '.join(entry['event'] for entry in said)}"


def one_form(address: str) -> str:
    """Of all spellings of a mailbox (docs/proof-format.md, section 2): the domain alone in NFKC and A-labels."""
    lower = "".join(map(str.lower, composed(address).strip()))  # one by one: no final sigma
    local, at, domain = composed(lower).rpartition("@")
    local = local[1:-1] if re.fullmatch(r'"[^\s()<>\[\]:;@\\,"]+"', local) else local
    labels = domain.replace("\u3002", ".").split(".") if at and not domain.isascii() else [domain]
    coded = [one if one.isascii() or not at else f"xn--{one.encode('punycode').decode()}" for one in labels]
    return f"{local}{at}{'.'.join(coded)}"


def composed(address: str) -> str:
    local, at, domain = address.rpartition("@")
    return unicodedata.normalize("NFC", local) + at + unicodedata.normalize("NFKC", domain)


def opened(receipt: dict[str, Any], found: list[tuple[int, dict[str, Any]]], email: str | None) -> dict[str, Any]:
    """The first entry, once the commitments that its key opens are found to fit: calls, processors, the address."""
    secret, names = bytes.fromhex(receipt["commit_key"]), receipt["processors"]
    well = secret.hex() == receipt["commit_key"] and len(secret) == 32 and all(map(plain, names))
    well = well and type(names) is list and names == sorted({*map(str, names)})
    demand(well, "its key or its processors are not in the form of the format")
    told = {str(index): entry["resp"] for index, entry in found if "resp" in entry}
    calls = {place: hmac.digest(secret, printed(rows), "sha256").hex() for place, rows in receipt["evidence"].items()}
    demand(calls == told, "recorded calls are missing, too many, or not those that were sealed")
    (received,) = (entry for _, entry in found if entry["event"] in ("received", "lifted"))
    listed = hashlib.sha256("".join(f"{name}\n" for name in names).encode()).hexdigest()
    demand((received["n"], received["list"]) == (len(names), listed), "the processors are not those recorded at first")
    about = email is None or received["subj"] == hmac.digest(secret, one_form(email).encode(), "sha256").hex()
    demand(about, "the request is not about this email address")
    return received


def sealed(raw: bytes) -> dict[str, Any]:
    """The receipt, once its form and its seal are found to fit."""
    # A fraction is then not printed the same.
    receipt: dict[str, Any] = json.loads(raw, parse_float=str, parse_constant=str)
    demand(type(receipt) is dict and receipt.get("format") == "dpsync-receipt/1", "this is no receipt of format 1")
    parts = map(receipt.get, ("seal", "key", "checkpoint", "request"))
    demand({*map(type, parts)} == {str}, "a part of it is missing")
    demand(json.dumps(receipt, sort_keys=True, indent=1).encode() + b"\n" == raw, "the file was formatted anew")
    digest = hashlib.sha256(printed({name: receipt[name] for name in receipt if name != "seal"})).digest()
    seal = f"{receipt['origin']}\nreceipt {receipt['request']}\n{base64.b64encode(digest).decode()}"
    demand(receipt["seal"].startswith(f"{seal}\n\n"), "something in the file was changed, left out or added")
    alone = receipt["seal"].count("\n") == seal.count("\n") + 3
    demand(signed_text(receipt["seal"], receipt["key"]) == seal and alone, "the seal is not one text and one signature")
    return receipt


def check(
    raw: bytes, key: str | None = None, email: str | None = None, kept: str | None = None,
    steps: tuple[str, ...] = (), policy: bytes | None = None,
) -> list[str]:  # fmt: skip
    """What holds, in sentences. Raises one of `NOT_HOLDING` for what does not."""
    receipt = sealed(raw)
    keys = (receipt["key"] if key is None else key).split()
    demand(receipt["key"] in keys, "it is signed by another key than the one given")
    demand(receipt["rehearsal"] is ("REHEARSAL" in receipt["origin"]), "it contradicts itself about being a rehearsal")
    found = entries_of(receipt)
    received = opened(receipt, found, email)
    words = [last_words(name, found) for name in receipt["processors"]]
    notes = [receipt["checkpoint"]]
    if kept is not None:
        continues(own := head(kept, *keys), head(receipt["checkpoint"], receipt["key"]), keys, steps)
        notes += [kept] * (own[1] > found[-1][0])  # who cosigned an older one has not seen these entries
    seen, quorum = ([], False) if policy is None else witnesses(policy, receipt["key"], notes)
    grade = 5 if quorum and len(seen) > 1 else 4 if seen else 1 if kept is None else 2
    return [
        *["REHEARSAL: no real processor was told anything."] * receipt["rehearsal"],
        f"VALID, {standing([state for state, _ in words])}: request {receipt['request']}, recorded on "
        + time.strftime("%Y-%m-%d.", time.gmtime(received["ts"])),
        *[sentence for _, sentence in words],
        f"{len(found)} entries lie unchanged in the signed ledger, {len(receipt['evidence'])} with their calls.",
        "The key is the one you gave." if key else "NOT CHECKED: whose key this is; compare it, or give --key.",
        "It is about the address you gave." if email else "NOT CHECKED: whom it is about; give --email.",
        "Its ledger continues, or is continued by, that of your checkpoint."
        if kept
        else "NOT CHECKED: whether the ledger was made anew; give --checkpoint, one that somebody else kept.",
        f"GRADE {grade} of 6, {GRADES[grade]}."
        + (f" Cosigned by {', '.join(seen)}." if seen else UNSEEN * bool(policy)),
        "Not proved: that what a processor said is true; what was never recorded.",
    ]


def standing(states: list[str]) -> str:
    still, done = sum(state not in CLOSED for state in states), sum(state in DONE for state in states)
    return f"and STILL OPEN at {still} of {len(states)} processors" if still else f"done at {done} of {len(states)}"


def said_of(error: Exception) -> str:
    """Why it does not hold, in words of ours."""
    known = type(error) is ValueError or isinstance(error, json.JSONDecodeError | UnicodeDecodeError | OSError)
    return str(error) if known else "a part of it is missing, or is not in the form of the format"


def main(arguments: list[str]) -> int:
    names = ("--key", "--email", "--checkpoint", "--consistency", "--policy")
    options: dict[str, list[str]] = {name: [] for name in names}
    pairs = list(zip(arguments[1::2], arguments[2::2], strict=False))
    for name, value in pairs:
        options.get(name, []).append(value)
    key, email, kept, steps, policy = options.values()
    taken = max(map(len, (email, kept, policy))) < 2 and len(pairs) == sum(map(len, options.values()))
    files = [*arguments[:1], *kept, *steps, *policy]
    absent = [name for name in files if not Path(name).is_file()]
    no_key = any(len(one.strip().split("+", 2)) < 3 for one in key)
    if (helped := arguments in (["--help"], ["-h"])) or len(arguments) % 2 == 0 or not taken or absent or no_key:
        said = f"There is no file {absent[0]}.\n" if absent else "That is no verifier key line.\n" * no_key
        sys.stdout.write(__doc__ if helped else f"{said}{__doc__}")
        return 0 if helped else 64
    try:
        read = [tuple(Path(file).read_bytes().decode() for file in files) for files in (kept, steps)]
        trusted = Path(policy[0]).read_bytes() if policy else None
        given = "\n".join(key) or None, (*email, None)[0], (*read[0], None)[0], read[1], trusted
        lines, code = check(Path(arguments[0]).read_bytes(), *given), 0
    except NOT_HOLDING as error:
        lines, code = [f"NOT VALID: {said_of(error)}."], 2
    sys.stdout.write("\n".join(lines) + "\n")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
