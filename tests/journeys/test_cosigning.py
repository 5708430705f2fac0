"""Two installations witness each other; what a witness answers, and what follows from each answer."""

import hashlib
import signal
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.error import HTTPError

import pytest

from dpsync.__main__ import main
from dpsync.errors import Locked, RecoveryNeeded
from dpsync.ledger import entry, note, receipt, verify_receipt
from dpsync.ledger.continuation import Continuation
from dpsync.ledger.cosignature import Cosigner, WitnessKey
from dpsync.model import Right
from dpsync.propagation.decisions import Person
from dpsync.running import cosigning
from dpsync.running.recovery import recover
from dpsync.running.witnessing import Said, add_checkpoint, cosigner_of, listening
from dpsync.soundness import judge
from dpsync.store import tables as t
from tests.journeys.installation import Installation, installed, sqlite_url
from tests.journeys.test_custody import ADA, BEN, rolled_back
from tests.journeys.test_put_back import CONFIG

DANA = Person("Dana Officer", "root", "the disk died")
WITNESS = '\n[witness]\nlisten = "127.0.0.1:0"\nlogs = ["{logs}"]\n'


@pytest.fixture
def two(tmp_path: Path, database_url: str) -> Iterator[tuple[Installation, Installation]]:
    with ExitStack() as stack:
        folders = [tmp_path / name for name in ("one", "two")]
        for folder in folders:
            folder.mkdir()
        one = stack.enter_context(installed(folders[0], database_url))
        two = stack.enter_context(installed(folders[1], sqlite_url(folders[1])))
        stack.callback(one.running.close)
        stack.callback(two.running.close)
        yield one, two


def witnessed_by(stack: ExitStack, own: Installation, other: Installation) -> WitnessKey:
    """`other` witnesses `own`: it knows its key and listens, and `own` knows where and under which key."""
    add(other, WITNESS.format(logs=own.service.log.signer.verifier.line))
    where = stack.enter_context(listening(other.service))
    key = cosigner_of(other.service).witness
    named(own, f"http://{where}", key)
    return key


def add(there: Installation, text: str) -> None:
    config = there.folder / "dpsync.toml"
    config.write_text(config.read_text(encoding="utf-8") + text, encoding="utf-8")
    there.restart()


def named(there: Installation, url: str, key: WitnessKey) -> None:
    origin = 'origin = "example.org/journeys"'
    there.restart((origin, f'{origin}\nwitnesses = [{{ url = "{url}", key = "{key.line}" }}]'))


def test_two_installations_witness_each_other_and_a_receipt_is_graded_by_it(
    two: tuple[Installation, Installation],
) -> None:
    one, other = two
    with ExitStack() as stack:
        key = witnessed_by(stack, one, other)
        asked = one.ask(Right.ERASURE, ADA)
        one.drive()  # its job asks the witness, for today
        (first,) = one.service.settings.ledger.anchor.glob("*.cosigned")
        one.clock.advance(timedelta(days=1))
        cosigning.ask(one.service, one.clock.now())
        (path,) = set(one.service.settings.ledger.anchor.glob("*.cosigned")) - {first}
        kept = path.read_text(encoding="utf-8")
        assert key.cosigned_at(kept) == int(other.clock.now().timestamp())
        said = [entry.decode(row.body) for row in one.rows(t.entry)]
        *_, anchor = [one for one in said if one["event"] == "anchor"]
        assert anchor["digest"] == hashlib.sha256(kept.encode()).hexdigest()
        raw = (one.service.settings.ledger.receipts / f"{asked.id}.json").read_bytes()
        step = one.service.read(
            lambda c: one.service.log.continuation(c, note.parse(receipt.read(raw)["checkpoint"])[0].size, kept)
        )
        policy = f"log {one.service.log.signer.verifier.line}\nwitness w {key.line}\nquorum w\n"
        told = verify_receipt.check(raw, None, ADA, kept, (step,), policy.encode())
        assert any(line.startswith("GRADE 4 of 6, witnessed") for line in told)
        cosigning.ask(one.service, one.clock.now())  # once a day
        one.clock.advance(timedelta(days=1))
        one.ask(Right.OPT_OUT, BEN, id="crm-2")
        cosigning.ask(one.service, one.clock.now())
        assert len(list(one.service.settings.ledger.anchor.glob("*.cosigned"))) == 3
        assert one.alerts() == []
        # and the other way round
        back = witnessed_by(stack, other, one)
        cosigning.ask(other.service, other.clock.now())
        (path,) = other.service.settings.ledger.anchor.glob("*.cosigned")
        assert back.cosigned_at(path.read_text(encoding="utf-8"))
        for there in two:
            there.sound()


def test_what_it_cosigned_last_can_be_read_again_by_anybody(two: tuple[Installation, Installation]) -> None:
    one, other = two
    with ExitStack() as stack:
        add(other, WITNESS.format(logs=one.service.log.signer.verifier.line))
        where = stack.enter_context(listening(other.service))
        path = f"http://{where}/{hashlib.sha256(one.service.origin.encode()).hexdigest()}/checkpoint"
        with pytest.raises(HTTPError, match="404"):
            urllib.request.urlopen(path)
        key = cosigner_of(other.service).witness
        named(one, f"http://{where}", key)
        cosigning.ask(one.service, one.clock.now())
        with urllib.request.urlopen(path) as answer:
            told = answer.read().decode()
        assert key.cosigned_at(told)
        kept = (one.service.settings.ledger.anchor / "checkpoint").read_text(encoding="utf-8")
        assert note.verify(told, one.service.log.keys) == note.parse(kept)[0]


@pytest.mark.no_database
def test_each_answer_of_the_protocol(two: tuple[Installation, Installation]) -> None:
    one, other = two
    log, service = one.service.log, other.service

    def step(old: int) -> str:
        signed = one.service.anchor(one.clock.now())
        return one.service.read(lambda connection: log.continuation(connection, old, signed))

    first = step(0).encode()
    assert add_checkpoint(service, first) == Said(404)
    add(other, WITNESS.format(logs=log.signer.verifier.line))
    service = other.service
    assert add_checkpoint(service, b"old 0\n").status == 400
    assert add_checkpoint(service, b"\xff").status == 400
    forged = first.decode().replace("\n2\n", "\n3\n").encode()
    assert add_checkpoint(service, forged).status == 403
    assert add_checkpoint(service, first).status == 200
    assert add_checkpoint(service, first) == Said(409, "2\n", "text/x.tlog.size")
    assert add_checkpoint(service, step(2).encode()).status == 200, "the same again is cosigned again"
    one.ask(Right.ERASURE, ADA)
    longer = step(2)
    bad = Continuation(2, (bytes(32),), longer.partition("\n\n")[2]).text
    assert add_checkpoint(service, bad.encode()).status == 422
    another = note.sign(note.Checkpoint(log.origin, 2, bytes(32)), log.signer)
    assert add_checkpoint(service, Continuation(2, (), another).text.encode()).status == 422
    assert add_checkpoint(service, longer.encode()).status == 200
    assert add_checkpoint(service, longer.encode()) == Said(409, "3\n", "text/x.tlog.size")


def test_of_two_checkpoints_at_once_one_is_cosigned(two: tuple[Installation, Installation]) -> None:
    one, other = two
    add(other, WITNESS.format(logs=one.service.log.signer.verifier.line))
    heads = [note.Checkpoint(one.service.origin, 5, bytes([number]) * 32) for number in range(8)]
    bodies = [Continuation(0, (), note.sign(head, one.service.log.signer)).text.encode() for head in heads]
    found: list[int] = []
    threads = [
        threading.Thread(target=lambda body=body: found.append(add_checkpoint(other.service, body).status))
        for body in bodies
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [200, *[409] * 7]


def test_a_database_that_was_put_back_is_noticed_by_the_witness_alone(two: tuple[Installation, Installation]) -> None:
    one, other = two
    with ExitStack() as stack:
        witnessed_by(stack, one, other)
        size = one.service.read(one.service.log.size)
        one.ask(Right.ERASURE, ADA)
        cosigning.ask(one.service, one.clock.now())
        one.running.close()
        rolled_back(one, upto=size)
        folder = one.service.settings.ledger.anchor
        for path in folder.glob("*"):
            if path.name != f"{size:012d}.checkpoint":
                path.unlink()
        (folder / "journal.gap").touch()
        (folder / f"{size:012d}.gap").touch()
        one.begin()  # nothing outside tells of it
        one.clock.advance(timedelta(days=1))
        cosigning.ask(one.service, one.clock.now())
        assert ("dpo", "witness-contradicts") in one.alerts()
        with pytest.raises(RecoveryNeeded):
            one.service.anchor(one.clock.now())
        with pytest.raises(RecoveryNeeded):
            one.start_beside()
        with one.another_process() as process:
            recover(process, DANA, one.clock.now())
        one.clock.advance(timedelta(days=1))
        cosigning.ask(one.service, one.clock.now())
        assert not one.service.custody.unrecovered, "what was recovered is a known gap"


def test_what_the_witness_cosigned_of_a_lost_history_is_set_aside_with_it(
    two: tuple[Installation, Installation],
) -> None:
    one, other = two
    with ExitStack() as stack:
        witnessed_by(stack, one, other)
        one.ask(Right.ERASURE, ADA)
        cosigning.ask(one.service, one.clock.now())
        (cosigned,) = one.service.settings.ledger.anchor.glob("*.cosigned")
        one.running.close()
        rolled_back(one, upto=2)
        with one.another_process() as process:
            assert f"{cosigned.name}.gap" in recover(process, DANA, one.clock.now()).aside
        one.begin()
        assert judge(one.service, one.clock.now(), full=True).files == ()
        assert cosigned.with_name(f"{cosigned.name}.gap-recorded").exists()


class Answers(BaseHTTPRequestHandler):
    """A witness that says what it is told to."""

    said: tuple[int, str] = (200, "")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(self.said[0])
        self.send_header("Content-Length", str(len(self.said[1])))
        self.end_headers()
        self.wfile.write(self.said[1].encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - because the library names it so
        pass


@pytest.mark.parametrize(
    ("status", "body", "cause", "stops"),
    [
        (200, "", "witness", False),
        (200, "— example.com/witness AAAAAAAA\n", "witness", False),
        (403, "unknown log", "witness", False),
        (404, "", "witness", False),
        (400, "", "witness", False),
        (422, "", "witness-contradicts", True),
        (409, "9999\n", "witness-contradicts", True),
        (409, "1\n", "witness", False),
        (409, "many\n", "witness", False),
        (409, "", "witness", False),
        (429, "", "witness", False),
        (503, "", "witness", False),
    ],
)
def test_what_follows_from_an_answer(tmp_path: Path, status: int, body: str, cause: str, stops: bool) -> None:
    answers = type("Answers", (Answers,), {"said": (status, body)})
    with installed(tmp_path, sqlite_url(tmp_path)) as there, ThreadingHTTPServer(("127.0.0.1", 0), answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        key = Cosigner.from_seed("example.com/witness", bytes(32)).witness
        named(there, f"http://127.0.0.1:{server.server_port}", key)
        there.service.read(lambda connection: cosigning.newest(connection, key))
        cosigning.ask(there.service, there.clock.now())
        server.shutdown()
        thread.join()
        assert [found for _, found in there.alerts()] == ([cause] if cause else [])
        assert bool(there.service.custody.unrecovered) is stops
        assert list(there.service.settings.ledger.anchor.glob("*.cosigned")) == []


def test_the_command_prints_the_key_and_refuses_to_witness_nobody(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dpsync.toml").write_text(CONFIG)
    assert main(["init"]) == 0
    capsys.readouterr()
    assert main(["witness", "--show-key"]) == 0
    key = WitnessKey.parse(capsys.readouterr().out.strip())
    assert key.name == "example.org/dpsync/REHEARSAL/witness"
    assert main(["witness"]) == 64
    (tmp_path / "dpsync.toml").write_text(CONFIG + '\n[witness]\nlogs = ["example.org/x+00000000+' + "A" * 44 + '"]\n')
    assert main(["witness"]) == 78
    assert "witness.logs" in capsys.readouterr().err


def test_a_witness_that_cannot_begin_leaves_the_signals_as_they_were(
    two: tuple[Installation, Installation], monkeypatch: pytest.MonkeyPatch
) -> None:
    own, other = two
    add(other, WITNESS.format(logs=own.service.log.signer.verifier.line))
    for name, value in other.environ.items():
        monkeypatch.setenv(name, value)

    def taken(_there: object) -> object:
        raise Locked("cannot listen", code="DP-104")

    monkeypatch.setattr("dpsync.running.witnessing.listening", taken)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    assert main(["--config", str(other.folder / "dpsync.toml"), "witness"]) == 75
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
