"""Checks a receipt of dpsync offline, with Python 3.11 alone. The formats: docs/proof-format.md.

python3 verify_receipt.py receipt.json [--key VERIFIER_KEY_LINE] [--email ADDRESS] (exit 0 holds, 2 does not, 64 usage)
"""

import base64
import hashlib
import hmac
import json
import sys
import time
import unicodedata
from pathlib import Path
from typing import Any

P, L = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
D, ROOT_OF_MINUS_1 = -121665 * pow(121666, -1, P) % P, pow(2, (P - 1) // 4, P)
NOT_HOLDING = (ArithmeticError, AttributeError, LookupError, OSError, RecursionError, TypeError, ValueError)
Point = tuple[int, int, int, int]


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
    raw = base64.b64decode(text, validate=True)
    demand(base64.b64encode(raw).decode() == text, "base64 in a spelling of its own")
    return raw


def printed(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def signed_text(note: str, key: str) -> str:
    (name, _, rest), (text, _, lines) = key.partition("+"), note.rpartition("\n\n")
    public, signatures = unb64(rest[9:]), [line.split(" ") for line in lines.split("\n")]
    key_id = hashlib.sha256(f"{name}\n".encode() + public).digest()[:4]
    demand(len(public) == 33 and public[0] == 1 and rest[:9] == f"{key_id.hex()}+", "the key line is damaged")
    well = signatures.pop() == [""] and all(len(line) == 3 and line[0] == "—" for line in signatures)
    found = [raw[4:] for line in signatures if (raw := unb64(line[2]))[:4] == key_id and line[1] == name]
    demand(well and len(found) == 1, "a note is not signed just once by the key")
    demand(ed25519(public[1:], f"{text}\n".encode(), found[0]), "a signature does not fit the key")
    return text


def root_over(value: bytes, index: int, size: int, proof: list[bytes]) -> bytes:  # RFC 9162, 2.1.1 and 2.1.3
    demand(0 <= index < size and bool(proof) is (size > 1), "a proof does not fit the ledger's size")
    if size == 1:
        return value
    half, (*lower, other) = 1 << (size - 1).bit_length() - 1, proof
    if index < half:
        return hashlib.sha256(b"\1" + root_over(value, index, half, lower) + other).digest()
    return hashlib.sha256(b"\1" + other + root_over(value, index - half, size - half, lower)).digest()


def entries_of(receipt: dict[str, Any]) -> list[tuple[int, dict[str, Any]]]:
    origin, size, root = signed_text(receipt["checkpoint"], receipt["key"]).split("\n")
    demand(origin == receipt["origin"] and size == str(int(size)), "the checkpoint is of another ledger")
    found: list[tuple[int, dict[str, Any]]] = []
    for row in receipt["entries"]:
        body, index, proof = unb64(row["body"]), row["index"], [unb64(step) for step in row["proof"]]
        top, entry = root_over(hashlib.sha256(b"\0" + body).digest(), index, int(size), proof), json.loads(body)
        demand(top == unb64(root), f"entry {index} is not in the signed ledger")
        well = printed(entry) == body and all(type(part) in (str, int) for part in entry.values()) and entry["v"] == 1
        demand(well and len(body) <= 2048, f"entry {index} is not in the one spelling of the format")
        ordered = type(index) is int and (not found or found[-1][0] < index)
        demand(ordered and entry["req"] == receipt["request"], f"entry {index} is out of order, or of another request")
        found.append((index, entry))
    return found


def check(raw: bytes, key: str | None = None, email: str | None = None) -> list[str]:
    """What holds, in sentences. Raises one of `NOT_HOLDING` for what does not."""
    receipt = json.loads(raw)
    demand(receipt["format"] == "dpsync-receipt/1", "this is no receipt of format 1")
    demand(json.dumps(receipt, sort_keys=True, indent=1).encode() + b"\n" == raw, "the file was formatted anew")
    digest = hashlib.sha256(printed({name: receipt[name] for name in receipt if name != "seal"})).digest()
    seal = f"{receipt['origin']}\nreceipt {receipt['request']}\n{base64.b64encode(digest).decode()}"
    demand(receipt["seal"].startswith(f"{seal}\n\n"), "something in the file was changed, left out or added")
    demand(signed_text(receipt["seal"], receipt["key"]) == seal, "the seal is not in its format")
    demand(key is None or key.strip() == receipt["key"], "it is signed by another key than the one given")
    demand(receipt["rehearsal"] is ("REHEARSAL" in receipt["origin"]), "it contradicts itself about being a rehearsal")
    found, secret, names = entries_of(receipt), bytes.fromhex(receipt["commit_key"]), receipt["processors"]
    told = {str(index): entry["resp"] for index, entry in found if "resp" in entry}
    calls = {place: hmac.digest(secret, printed(rows), "sha256").hex() for place, rows in receipt["evidence"].items()}
    demand(calls == told, "recorded calls are missing, too many, or not those that were sealed")
    (received,) = (entry for _, entry in found if entry["event"] in ("received", "lifted"))
    listed = hashlib.sha256("".join(f"{name}\n" for name in names).encode()).hexdigest()
    demand((received["n"], received["list"]) == (len(names), listed), "the processors are not those recorded at first")
    whom = hmac.digest(secret, unicodedata.normalize("NFKC", email or "").strip().lower().encode(), "sha256").hex()
    demand(email is None or received["subj"] == whom, "the request is not about this e-mail address")
    story = {name: [entry["event"] for _, entry in found if entry.get("dest") == name] for name in names}
    demand(all(story.values()), "no word is recorded about one of the processors that were to be told")
    return [
        *["REHEARSAL: no real processor was told anything."] * receipt["rehearsal"],
        f"VALID: request {receipt['request']}, recorded on {time.strftime('%Y-%m-%d', time.gmtime(received['ts']))}.",
        f"{len(found)} entries lie unchanged in the signed ledger, {len(calls)} with the calls behind them. Recorded:",
        *[f"  {name}: {', '.join(events)}" for name, events in story.items()],
        "The key is the one you gave." if key else "NOT CHECKED: whose key this is; compare it, or give --key.",
        "It is about the address you gave." if email else "NOT CHECKED: whom it is about; give --email.",
        "Not proved: that what a processor said is true; what was never recorded.",
    ]


def main(arguments: list[str]) -> int:
    options = dict(zip(arguments[1::2], arguments[2::2], strict=False))
    if len(arguments) % 2 == 0 or not options.keys() <= {"--key", "--email"} or not Path(arguments[0]).is_file():
        sys.stdout.write(f"{__doc__}")
        return 64
    try:
        lines, code = check(Path(arguments[0]).read_bytes(), options.get("--key"), options.get("--email")), 0
    except NOT_HOLDING as error:
        lines, code = [f"NOT VALID: {error}."], 2
    sys.stdout.write("\n".join(lines) + "\n")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
