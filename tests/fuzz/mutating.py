"""How an input is changed: in its bytes, or, where it is JSON, in one of its values. Both drivers change it so."""

import json
from collections.abc import Sequence
from random import Random
from typing import Any

TOKENS = (
    *(
        b"\x00",
        b"\xff",
        b"\xc3",
        b"\xed\xa0\x80",
        b"\xef\xbb\xbf",
        b"\xff\xfe",
        b"\x1a",
        b"\x85",
        b"\n",
        b"\r",
        b"\r\n",
    ),
    *(
        b'"',
        b"'",
        b"\\",
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b";",
        b":",
        b"=",
        b"&",
        b"+",
        b"%",
        b"@",
        b"<",
        b">",
        b"|",
        b" ",
    ),
    *(b"\\ud800", b"\\u0000", b"%00", b"%ff", b"\xe2\x80\xa8", b"\xe2\x80\xae", b"\xf0\x9f\x98\x80", b"\n\n", b"\t"),
    *(
        b"-1",
        b"0",
        b"1e999",
        b"9" * 21,
        b"9" * 5000,
        b"NaN",
        b"Infinity",
        b"null",
        b"true",
        b"1_0",
        b"0x1",
        b"\xd9\xa3",
    ),
    *(b"[" * 2000, b'{"a":' * 2000, b"<a>" * 2000, b"a." * 2000, b"(" * 2000, b"9999-12-31", b"0001-01-01", b"+14:00"),
    *(b"=?utf-8?q?", b"=?x?b?", b"boundary=", b"charset=utf-7", b"<!DOCTYPE a [", b"sep=", b"../", b"T00:00:00Z"),
)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1.5, 10**19, 2**63, 1e308, "", " ", "\x00", "\ud800", "\u2028", "x" * 5000, "9" * 5000),
    *([], {}, [[]], [None], {"": ""}, "[" * 2000, "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "1e999"),
)


def mutated(raw: bytes, seeds: Sequence[bytes], random: Random, chosen: int = 0) -> bytes:
    """These bytes, changed in one to four places; the first `chosen` each for itself."""
    head, body = bytearray(raw[:chosen]), raw[chosen:]
    for place in range(len(head)):
        if random.random() < 0.5:
            head[place] = random.randrange(256)
    for _ in range(random.randint(1, 4)):
        body = _in_a_value(body, random) if random.random() < 0.6 else _in_bytes(body, seeds, random)
    return bytes(head) + body


def _in_bytes(raw: bytes, seeds: Sequence[bytes], random: Random) -> bytes:
    at, cut = random.randint(0, len(raw)), random.choice((0, 0, 1, 2, 8, 64, 100_000))
    piece = random.choice(TOKENS)
    if random.random() < 0.2:
        other = random.choice(seeds)
        begins = random.randint(0, len(other))
        piece = other[begins : begins + random.choice((1, 8, 64, 1000))]
    if random.random() < 0.1:
        piece = b""
    return raw[:at] + piece + raw[at + cut :]


def _in_a_value(raw: bytes, random: Random) -> bytes:
    try:
        whole: list[Any] = [json.loads(raw)]
    except (ValueError, RecursionError):
        return _in_bytes(raw, [raw], random)
    held: Any = whole
    while True:
        places = list(range(len(held))) if isinstance(held, list) else list(held)
        place = random.choice(places)
        inner = held[place]
        if not (isinstance(inner, list | dict) and inner) or (held is not whole and random.random() < 0.2):
            break
        held = inner
    if isinstance(held, dict) and random.random() < 0.15:
        del held[place]
    else:
        held[place] = random.choice(VALUES) if random.random() < 0.8 else [held[place]]
    return json.dumps(whole[0] if whole else None).encode()
