"""What hosts of others say of our proof and our mail: witnesses, time-stamping authorities, a mail host's challenge."""

from functools import cache
from shutil import which
from typing import Any

from dpsync.connector import Evidence, Reply
from dpsync.paths import Unusable
from dpsync.running.cosigning import _line_in, _size_in
from dpsync.running.stamping import read
from dpsync.settings.sections import StampSection
from dpsync.smtp_connection import _SCOPE, _scope_in
from tests.connectors.contract import NOW
from tests.fuzz.proofs import WITNESS, signed
from tests.fuzz.target import Target, folder
from tests.standins.authority import POLICY, Authority


def read_witness(raw: bytes) -> None:
    """A status, then the body: no size but the one that it says, and no line but the witness's own."""
    status = (200, 409)[(raw[0] if raw else 0) % 2]
    reply = Reply(status, {}, raw[1:], Evidence("POST /add-checkpoint", status, NOW))
    size = _size_in(reply)
    assert size is None or str(size).encode() in raw
    plain = signed().rpartition("—")[0]
    assert _line_in(reply, plain, WITNESS.witness) in {"", signed().removeprefix(plain)}


def read_challenge(raw: bytes) -> None:
    said = _scope_in(raw)
    assert not said or _SCOPE.fullmatch(said)


@cache
def _authority() -> tuple[StampSection, bytes, Any]:
    from rfc3161_client import HashAlgorithm, TimestampRequestBuilder

    made = Authority(folder() / "tsa")
    section = StampSection.model_construct(url="https://tsa.example.org", root=made.root, policy=POLICY)
    query = TimestampRequestBuilder().data(b"a checkpoint").hash_algorithm(HashAlgorithm.SHA256).build()
    return section, made.reply(query.as_bytes()), query


def read_stamp(raw: bytes) -> None:
    """No reply says another time than the one that was given; what is not signed in it, the library passes over."""
    section, own, query = _authority()
    at = read(raw, query, b"a checkpoint", section).at
    assert at is None or at == read(own, query, b"a checkpoint", section).at


TARGETS = (
    Target(
        "answers of witnesses",
        read_witness,
        lambda: [b"\x00" + signed().rpartition("—")[2].join(("—", "")).encode(), b"\x0142\n"],
        chosen=1,
    ),
    Target("challenges of mail hosts", read_challenge, lambda: [b"eyJzY29wZSI6ICJhLmIifQ=="]),
    # The authority is made of openssl.
    *[Target("time stamps", read_stamp, lambda: [_authority()[1]], (Unusable,))] * bool(which("openssl")),
)
