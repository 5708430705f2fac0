"""A client of any log that C2SP `tlog-tiles` describes, written from that page, RFC 6962 and RFC 9162 alone.

It shares no code with dpsync. It knows a URL prefix and the log's key line, and believes nothing else.
"""

import base64
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.error import HTTPError
from urllib.request import urlopen

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


class LogLies(Exception):
    """The log does not show what its checkpoint says."""


class TlogClient:
    """Reads one log. Its checkpoint is read and verified once, when the client is made."""

    def __init__(self, prefix: str, vkey: str) -> None:
        self._prefix = prefix
        self._tiles: dict[tuple[int, int], list[bytes]] = {}
        name, key_id, key = vkey.split("+", 2)
        text, _, lines = self._get("checkpoint").decode().rpartition("\n\n")
        origin, size, root = text.split("\n")
        signed = [
            base64.b64decode(one.rpartition(" ")[2]) for one in lines.splitlines() if one.startswith(f"— {name} ")
        ]
        raw = next((one for one in signed if one[:4].hex() == key_id), b"")  # while keys change, two have signed
        if origin != name or not raw:
            raise LogLies("another log's checkpoint")
        Ed25519PublicKey.from_public_bytes(base64.b64decode(key)[1:]).verify(raw[4:], f"{text}\n".encode())
        self.size, self.root = int(size), base64.b64decode(root)

    def audit(self) -> int:
        """Read every tile and hash all of it up to the checkpoint's root; how many tiles there are."""
        level, count, tiles = 0, self.size, 0
        while count:
            for number in range(-(-count // 256)):
                hashes, tiles = self._tile(level, number), tiles + 1
                if len(hashes) == 256 and self._tile(level + 1, number // 256)[number % 256] != _fold(hashes):
                    raise LogLies(f"tile {level}/{number} is not under the one above it")
            level, count = level + 1, count // 256
        if self._range(0, self.size) != self.root:
            raise LogLies("the tiles do not lead to the checkpoint's root")
        return tiles

    def holds(self, index: int, entry: bytes) -> bool:
        """Whether that entry has that number: RFC 6962, 2.1.1, checked as RFC 9162, 2.1.3.2."""
        proof, start, end = [], 0, self.size
        while end - start > 1:
            middle = start + _split(end - start)
            proof.append(self._range(middle, end) if index < middle else self._range(start, middle))
            start, end = (start, middle) if index < middle else (middle, end)
        value, fn, sn = sha256(b"\0" + entry).digest(), index, self.size - 1
        for one in reversed(proof):
            if fn % 2 or fn == sn:
                value = _node(one, value)
                while fn and not fn % 2:
                    fn, sn = fn // 2, sn // 2
            else:
                value = _node(value, one)
            fn, sn = fn // 2, sn // 2
        return sn == 0 and value == self.root

    def continues(self, size: int, root: bytes) -> bool:
        """Whether the log only continued what had that size and root: the tiles' own root of that size, under ours."""
        self.audit()
        return 0 < size <= self.size and self._range(0, size) == root

    def _tile(self, level: int, number: int) -> list[bytes]:
        if (level, number) not in self._tiles:
            width = min((self.size >> 8 * level) - 256 * number, 256)
            path = f"tile/{level}/{_number(number)}"
            try:
                raw = self._get(path if width == 256 else f"{path}.p/{width}")
            except HTTPError:
                raw = self._get(path)[: 32 * width]
            if width < 1 or len(raw) != 32 * width:
                raise LogLies(f"{path} has not the width that the size of the log asks for")
            self._tiles[level, number] = [raw[at : at + 32] for at in range(0, len(raw), 32)]
        return self._tiles[level, number]

    def _range(self, start: int, end: int) -> bytes:
        """The Merkle Tree Hash of the entries from `start` up to `end`."""
        width = end - start
        if width & (width - 1) or start % width:
            middle = start + _split(width)
            return _node(self._range(start, middle), self._range(middle, end))
        level, rest = divmod(width.bit_length() - 1, 8)
        first = start >> 8 * level
        return _fold(self._tile(level, first // 256)[first % 256 : first % 256 + (1 << rest)])

    def _get(self, path: str) -> bytes:
        with urlopen(f"{self._prefix}/{path}", timeout=10) as reply:  # noqa: S310 - because the test gives the prefix
            return bytes(reply.read())


def _number(number: int) -> str:
    last = f"{number % 1000:03d}"
    while number := number // 1000:
        last = f"x{number % 1000:03d}/{last}"
    return last


def _node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\1" + left + right).digest()


def _fold(hashes: Sequence[bytes]) -> bytes:
    while len(hashes) > 1:
        hashes = [_node(*hashes[at : at + 2]) for at in range(0, len(hashes), 2)]
    return hashes[0]


def _split(width: int) -> int:
    return 1 << (width - 1).bit_length() - 1


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nothing: what is read is no news."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """A folder on the web, as any web server hands it out; its URL."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder))) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
