"""A name server on loopback, and a process that asks no other: what the system's own resolver makes of its answers."""

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

HOST: Final = "127.0.0.97"
_FLAGS: Final = 0x8180
CODES: Final = {"nothing": 0, "found": 0, "servfail": 2, "nxdomain": 3, "refused": 5}
"""What it answers to a name that begins so (RFC 1035, 4.1.1); to `silent` nothing, to `garbage` no message."""

_OWN: Final = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'


def asking(folder: Path, program: str, *words: str) -> Any:
    """What a program of the tests prints (JSON) that asks this name server alone. Whoever may not have it skips."""
    file = folder / "resolv.conf"
    file.write_text(f"nameserver {HOST}\noptions timeout:1 attempts:1\n")
    command = ["unshare", "--mount", "sh", "-c", _OWN, str(file), sys.executable, "-m", program, *words]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    if ended.returncode in {1, 32, 127} and not ended.stdout and "Traceback" not in ended.stderr:
        pytest.skip(reason="only root can give a process its own name server, and not everywhere")
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


@contextmanager
def name_server() -> Iterator[Sequence[str]]:
    """Gives the names that it was asked for."""
    asked: list[str] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        try:
            listening.bind((HOST, 53))
        except OSError:
            pytest.skip(reason="only root can be a name server, and only where there is none")
        thread = threading.Thread(target=_answer, args=(listening, asked))
        thread.start()
        try:
            yield asked
        finally:
            listening.sendto(b"", (HOST, 53))
            thread.join()


def _answer(listening: socket.socket, asked: list[str]) -> None:
    while True:
        question, sender = listening.recvfrom(4096)
        if not question:
            return
        name, kind, end = _name_in(question)
        asked.append(name)
        what = name.partition(".")[0]
        if what == "garbage":
            listening.sendto(question[:7], sender)
        elif what in CODES:
            found = what == "found" and kind == 1
            head = question[:2] + (_FLAGS | CODES[what]).to_bytes(2) + bytes([0, 1, 0, int(found), 0, 0, 0, 0])
            address = bytes([0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]) + socket.inet_aton("127.0.0.1")
            listening.sendto(head + question[12:end] + (address if found else b""), sender)


def _name_in(question: bytes) -> tuple[str, int, int]:
    """The name asked for, the kind of record, and where the question ends."""
    at, labels = 12, []
    while length := question[at]:
        labels.append(question[at + 1 : at + 1 + length].decode("ascii"))
        at += length + 1
    return ".".join(labels), int.from_bytes(question[at + 1 : at + 3]), at + 5
