"""Witnesses that fail, lie or contradict: whom it stops, for how long, and who hears of it."""

import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import ThreadingHTTPServer
from pathlib import Path
from urllib.error import HTTPError

import pytest

from dpsync.backup import find, restore, take
from dpsync.ledger import note
from dpsync.ledger.continuation import Continuation, parse
from dpsync.ledger.cosignature import Cosigner
from dpsync.model import Right, State
from dpsync.running import cosigning
from dpsync.running.recovery import recover
from dpsync.running.witnessing import listening
from dpsync.store import tables as t
from tests.journeys.installation import NEWSLETTER, Installation, installed, sqlite_url
from tests.journeys.test_cosigning import DANA, WITNESS, Answers, add
from tests.journeys.test_custody import ADA


class Witness:
    """One at a real address. `said`: what it answers instead of cosigning; None: it cosigns whatever comes."""

    def __init__(self, name: str) -> None:
        self.cosigner = Cosigner.from_seed(name, name.encode().ljust(32))
        self.url = ""
        self.said: tuple[int, str] | None = None

    def answer(self, raw: bytes) -> tuple[int, str]:
        return self.said or (200, self.cosigner.line(parse(raw.decode()).head, 1_700_000_000))


@contextmanager
def witnesses(there: Installation, *names: str) -> Iterator[list[Witness]]:
    """Served, and named in the settings."""
    found = [Witness(name) for name in names]
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), _page_of(one)) for one in found]
    for one, server in zip(found, servers, strict=True):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        one.url = f"http://127.0.0.1:{server.server_port}"
    lines = ", ".join(f'{{ url = "{one.url}", key = "{one.cosigner.witness.line}" }}' for one in found)
    origin = 'origin = "example.org/journeys"'
    there.restart((origin, f"{origin}\nwitnesses = [{lines}]"))
    try:
        yield found
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()


def _page_of(witness: Witness) -> type[Answers]:
    class Page(Answers):
        def do_POST(self) -> None:  # noqa: N802 - because the library names it so
            status, body = witness.answer(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body.encode())))
            self.end_headers()
            self.wfile.write(body.encode())

    return Page


def ask(there: Installation, *, days: int = 0) -> None:
    there.clock.advance(timedelta(days=days))
    cosigning.ask(there.service, there.clock.now())


@pytest.mark.parametrize("said", [(503, ""), (500, ""), (429, ""), (409, ""), (409, "2"), (409, "1\n")])
def test_a_witness_that_cosigns_no_more_is_told_of_after_three_days(tmp_path: Path, said: tuple[int, str]) -> None:
    with installed(tmp_path, sqlite_url(tmp_path)) as there, witnesses(there, "example.net/a") as (one,):
        ask(there)
        one.said = said
        for _ in range(3):
            ask(there, days=1)
        assert there.alerts() == []
        ask(there, days=1)
        assert there.alerts() == [("operator", "witness")]
        assert not there.service.custody.unrecovered


def recovered(there: Installation) -> None:
    there.running.close()
    with there.another_process() as process:
        recover(process, DANA, there.clock.now())
    there.begin()


@pytest.mark.parametrize("size", [999_999_999_999_999_999, 10**18, 10**40, 10**9 + 100])
def test_a_size_that_no_ledger_has_is_a_fault_of_the_witness(tmp_path: Path, size: int) -> None:
    with installed(tmp_path, sqlite_url(tmp_path)) as there, witnesses(there, "example.net/a") as (one,):
        ask(there)
        one.said = (409, f"{size}\n")
        ask(there, days=1)
        assert there.alerts() == [("operator", "witness")]
        assert not there.service.custody.unrecovered


def test_what_is_accepted_of_one_witness_is_accepted_of_no_other(tmp_path: Path) -> None:
    with (
        installed(tmp_path, sqlite_url(tmp_path)) as there,
        witnesses(there, "example.net/a", "example.net/b") as (a, b),
    ):
        ask(there)
        a.said = (409, "5000\n")
        ask(there, days=1)
        assert there.service.custody.unrecovered
        recovered(there)
        for known in ((409, "5000\n"), (409, "4000\n"), (422, "")):
            a.said = known
            ask(there, days=1)
            assert not there.service.custody.unrecovered, f"{known} was accepted"
        for unknown in ((422, ""), (409, "5000\n")):
            b.said = unknown
            ask(there, days=1)
            assert there.service.custody.unrecovered, f"{unknown} of another witness was not"
            recovered(there)
        a.said = (409, "5001\n")
        ask(there, days=1)
        assert there.service.custody.unrecovered, "nor more than it showed"


def test_whoever_cosigns_again_can_contradict_again(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path)) as there, witnesses(there, "example.net/a") as (one,):
        one.said = (409, "5000\n")
        ask(there)
        recovered(there)
        one.said = None
        ask(there, days=1)
        one.said = (422, "")
        ask(there, days=1)
        assert there.service.custody.unrecovered


def test_a_gap_that_is_known_here_is_known_of_every_witness_and_nothing_before_it(tmp_path: Path) -> None:
    with (
        installed(tmp_path, sqlite_url(tmp_path)) as there,
        witnesses(there, "example.net/a", "example.net/b") as (a, b),
    ):
        ask(there)
        (tmp_path / "backups").mkdir()
        take(there.service, tmp_path / "backups")
        for number in range(3):
            there.ask(Right.ERASURE, ADA, id=f"crm-{number}")
        ask(there, days=1)
        lost = note.parse((there.service.settings.ledger.anchor / "checkpoint").read_text(encoding="utf-8"))[0].size
        there.running.close()
        with there.another_process() as process:
            restore(process, find(tmp_path / "backups"))
        recovered(there)
        for one in (a, b):
            one.said = (409, f"{lost}\n")
        ask(there, days=1)
        assert not there.service.custody.unrecovered
        a.said = (422, "")  # from the size of the back-up on, which it cosigned: that was not lost
        ask(there, days=1)
        assert there.service.custody.unrecovered


def test_what_stops_signing_stops_sending_until_a_person_resumes(tmp_path: Path) -> None:
    with (
        installed(tmp_path, sqlite_url(tmp_path), processors=NEWSLETTER) as there,
        witnesses(there, "example.net/a") as (one,),
    ):
        there.sandbox.add(ADA)
        one.said = (422, "")
        ask(there)
        assert there.alerts() == [("dpo", "witness-contradicts")]
        assert {row.stopped for row in there.rows(t.account)} == {"person"}
        asked = there.ask(Right.ERASURE, ADA)
        there.drive()
        assert there.state(asked) is State.PENDING
        assert there.sandbox.holds(ADA)


def test_all_witnesses_of_a_day_cosign_one_checkpoint(tmp_path: Path) -> None:
    with (
        installed(tmp_path, sqlite_url(tmp_path)) as there,
        witnesses(there, "example.net/a", "example.net/b") as (a, b),
    ):
        b.said = (503, "")
        ask(there)
        b.said = None
        there.clock.advance(timedelta(hours=1))
        there.ask(Right.ERASURE, ADA)
        ask(there)
        (path,) = there.service.settings.ledger.anchor.glob("*.cosigned")
        both = path.read_text(encoding="utf-8")
        assert all(one.cosigner.witness.cosigned_at(both) for one in (a, b))
        ask(there, days=1)
        assert len(list(there.service.settings.ledger.anchor.glob("*.cosigned"))) == 2, "the next day another one"
        assert there.alerts() == [("operator", "witness")], "of the one that had never cosigned"


def test_a_witness_whose_own_database_was_put_back_cosigns_nothing(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path)) as there:
        signer = note.Signer.from_seed("example.org/elsewhere", bytes(32))
        signed = note.sign(note.Checkpoint("example.org/elsewhere", 1, bytes(32)), signer)
        body = Continuation(0, (), signed).text.encode()
        add(there, WITNESS.format(logs=signer.verifier.line))
        with listening(there.service) as where:
            there.service.custody.begin_restore(b"")
            with pytest.raises(HTTPError, match="503"):
                urllib.request.urlopen(f"http://{where}/add-checkpoint", data=body)
            there.service.custody.mark.unlink()
            with urllib.request.urlopen(f"http://{where}/add-checkpoint", data=body) as answer:
                assert answer.status == 200
