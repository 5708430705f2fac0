"""A witness forgets nothing that it cosigned, and whoever asks it slowly or at length holds nobody else up."""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import delete

from dpsync.errors import ProofDamaged
from dpsync.ledger import note
from dpsync.ledger.continuation import Continuation
from dpsync.model import Right
from dpsync.running.listener import Answering
from dpsync.running.witnessing import Said, add_checkpoint, last_checkpoint, listening
from dpsync.store import tables as t
from tests.journeys.installation import Installation
from tests.journeys.test_cosigning import WITNESS, add, two
from tests.journeys.test_custody import ADA

__all__ = ["two"]
Two = tuple[Installation, Installation]


@pytest.fixture
def witness(two: Two) -> Installation:
    one, other = two
    add(other, WITNESS.format(logs=one.service.log.signer.verifier.line))
    return other


def step(there: Installation, old: int) -> bytes:
    signed = there.service.anchor(there.clock.now())
    return there.service.read(lambda connection: there.service.log.continuation(connection, old, signed)).encode()


def test_a_witness_whose_database_was_put_back_by_hand_cosigns_no_second_history(
    two: Two, witness: Installation
) -> None:
    one, _ = two
    assert add_checkpoint(witness.service, step(one, 0)).status == 200
    one.ask(Right.ERASURE, ADA)
    larger = step(one, 2)
    size = note.parse(larger.decode().partition("\n\n")[2])[0].size
    assert add_checkpoint(witness.service, larger).status == 200
    (path,) = witness.service.settings.ledger.anchor.glob("*.witnessed")
    gone = delete(t.meta).where(t.meta.c.key.startswith("witnessed:"))
    witness.service.write(lambda unit: unit.connection.execute(gone))
    second = note.sign(note.Checkpoint(one.service.origin, size, bytes(32)), one.service.log.signer)
    assert add_checkpoint(witness.service, Continuation(0, (), second).text.encode()) == Said(
        409, f"{size}\n", "text/x.tlog.size"
    )
    assert last_checkpoint(witness.service, f"/{path.stem}/checkpoint") == Said(200, path.read_text())
    assert add_checkpoint(witness.service, step(one, size)).status == 200, "it goes on from what it knows"


@pytest.mark.no_database
def test_a_file_that_says_nothing_is_no_leave_to_begin_anew(two: Two, witness: Installation) -> None:
    one, _ = two
    assert add_checkpoint(witness.service, step(one, 0)).status == 200
    (path,) = witness.service.settings.ledger.anchor.glob("*.witnessed")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ProofDamaged, match="damaged file"):
        add_checkpoint(witness.service, step(one, 2))


@pytest.fixture
def where(witness: Installation) -> Iterator[tuple[str, int]]:
    with ExitStack() as stack:
        host, _, port = stack.enter_context(listening(witness.service)).rpartition(":")
        yield host, int(port)


def said(where: tuple[str, int], *sent: bytes, after: float = 0) -> bytes:
    with socket.create_connection(where, timeout=20) as client:
        for part in sent:
            client.sendall(part)
            threading.Event().wait(after)
        client.shutdown(socket.SHUT_WR)
        answer = b""
        while part := client.recv(4096):
            answer += part
        return answer


@pytest.mark.no_database
@pytest.mark.parametrize(
    ("length", "status"),
    [
        ("9" * 5000, 413),
        ("65537000", 413),
        ("\u0663".encode().decode("latin-1"), 411),
        ("-1", 411),
        ("", 411),
        ("90", 400),
    ],
    ids=["huge", "large", "foreign", "negative", "none", "cut off"],
)
def test_a_length_that_is_none_or_too_much_gets_its_answer(where: tuple[str, int], length: str, status: int) -> None:
    asked = f"POST /add-checkpoint HTTP/1.0\r\nContent-Length: {length}\r\n\r\nold 0\n".encode("latin-1")
    assert said(where, asked).startswith(f"HTTP/1.0 {status} ".encode())


def dripped(client: socket.socket, most: int) -> int:
    """How many single bytes went before the other side ended it."""
    client.settimeout(0.2)
    for sent in range(most):
        try:
            client.sendall(b"o")
            if client.recv(1) == b"":
                return sent
        except TimeoutError:
            continue
        except OSError:
            return sent
    return most


@pytest.mark.no_database
def test_whoever_sends_a_byte_now_and_then_is_ended(
    where: tuple[str, int], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Answering, "most_seconds", 0.5)  # nothing of ours is replaced: it is the time that a test has
    with socket.create_connection(where, timeout=20) as client:
        client.sendall(b"POST /add-checkpoint HTTP/1.0\r\nContent-Length: 60000\r\n\r\n")
        assert dripped(client, 40) < 40
    assert "Traceback" not in "".join(capfd.readouterr())


def test_the_file_lies_beside_the_anchors_and_is_taken_for_none_of_them(two: Two, witness: Installation) -> None:
    one, _ = two
    assert add_checkpoint(witness.service, step(one, 0)).status == 200
    witness.sound()
    assert [path.suffix for path in Path(witness.service.settings.ledger.anchor).glob("*.witnessed")] == [".witnessed"]
