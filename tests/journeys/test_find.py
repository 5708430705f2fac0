"""Whoever has a person's address in hand finds their requests and the proof of them, also once they are forgotten."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete, select, update

from dpsync.__main__ import main
from dpsync.ledger.entry import decode
from dpsync.model import NameKind, Right, State
from dpsync.propagation import proof_boxes
from dpsync.propagation.showing import FoundRequest, show_all
from dpsync.running.start import initialise, start
from dpsync.soundness import opening
from dpsync.store import meta
from dpsync.store import tables as t
from dpsync.store.proof_tables import proof_of
from tests.journeys.installation import Asked, Installation, sqlite_url
from tests.journeys.test_forgetting import ADA, BEN, DANA, at_work, finished, later, request_of

CEM = "cem@example.org"
Run = Callable[..., tuple[int, str]]


def found(there: Installation, value: str, kind: NameKind = "address") -> list[FoundRequest]:
    now = there.clock.now()
    return there.service.write(lambda unit: show_all(unit, there.service, kind, value, DANA, now))


def ids(there: Installation, value: str, kind: NameKind = "address") -> list[str]:
    return [one.request_id for one in found(there, value, kind)]


def runner(there: Installation, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    for name, value in there.environ.items():
        monkeypatch.setenv(name, value)

    def run(*argv: str) -> tuple[int, str]:
        capsys.readouterr()
        code = main(["--config", str(there.folder / "dpsync.toml"), *argv])
        seen = capsys.readouterr()
        return code, seen.out + seen.err

    return run


def boxes_of_before(there: Installation) -> None:
    """As an older version left it: without boxes, and without a word of them."""

    def work(unit: object) -> None:
        unit.connection.execute(delete(proof_of))  # type: ignore[attr-defined]  # because only the connection counts
        unit.connection.execute(delete(t.meta).where(t.meta.c.key == proof_boxes.UNFINDABLE))  # type: ignore[attr-defined]  # because only the connection counts

    there.service.write(work)


def test_a_forgotten_request_is_found_by_the_address_and_its_receipt_made_anew_without_the_folder(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with at_work(tmp_path, database_url) as there:
        one = finished(there, phone="020 7946 0018")
        later(there, 35)
        assert request_of(there, one).sealed is None
        for path in there.service.settings.ledger.receipts.iterdir():
            path.unlink()
        out = tmp_path / "out"
        out.mkdir()
        run = runner(there, monkeypatch, capsys)
        for named in (("--email", " Ada@EXAMPLE.org"), ("--phone", "+44 20 7946 0018"), ("--id", "crm-1")):
            code, said = run("find", *named, "-o", str(out), "--json")
            assert code == 0, said
            (row,) = json.loads(said)["requests"]
            assert (row["request"], row["named"], row["person"]) == (one.id, True, 1)
            assert row["receipt"] == str(out / f"{one.id}.json")
            assert "ada@" not in said.lower()
            shutil.copy(row["receipt"], tmp_path / "receipt.json")
        checked = subprocess.run(
            [sys.executable, "-I", str(out / "verify_receipt.py"), str(tmp_path / "receipt.json"), "--email", ADA],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert "\nVALID, done at 1 of 1" in checked.stdout, checked.stdout
        there.sound()


def test_another_name_finds_nothing_and_puts_nothing_on_the_record(tmp_path: Path) -> None:
    with at_work(tmp_path, sqlite_url(tmp_path)) as there:
        there.ask(Right.OPT_OUT, ADA)
        before = len(there.rows(t.entry))
        assert [ids(there, BEN), ids(there, ADA, "id"), ids(there, "crm-1", "phone"), ids(there, "")] == [[]] * 4
        assert len(there.rows(t.entry)) == before
        assert len(ids(there, ADA)) == 1


@pytest.mark.no_database
def test_that_somebody_looked_is_an_entry_of_each_request_also_of_a_forgotten_one(
    tmp_path: Path, database_url: str
) -> None:
    with at_work(tmp_path, database_url) as there:
        one = finished(there)
        later(there, 35)
        two = there.ask(Right.OPT_OUT, ADA)
        assert ids(there, ADA) == [one.id, two.id]
        told = [decode(row.body) for row in there.rows(t.entry)]
        shown = [entry for entry in told if entry["event"] == "shown"]
        assert [entry["req"] for entry in shown] == [one.id, two.id]
        assert all({"by", "why", "rows"} <= set(entry) for entry in shown)
        there.sound()


def test_the_boxes_say_nothing_to_whoever_has_no_name(tmp_path: Path) -> None:
    with at_work(tmp_path, sqlite_url(tmp_path)) as there:
        there.ask(Right.OPT_OUT, ADA, other_emails=[BEN])
        (one,) = {row.id for row in there.rows(t.request)}
        rows = there.rows(proof_of)
        assert len(rows) == 3
        known = {row.pseudonym for row in there.rows(t.alias)}
        for row in rows:
            assert row.pseudonym not in known
            assert one.encode() not in row.box
            assert not re.search(rb"ada|ben|crm-1", row.box)


def test_requests_of_the_same_person_under_another_name_are_found_and_those_of_a_family_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with at_work(tmp_path, sqlite_url(tmp_path)) as there:
        one = there.ask(Right.OPT_OUT, ADA, id="crm-1")
        other = there.ask(Right.OPT_OUT, ADA, id="crm-2")
        own = there.ask(Right.RESTRICTION, BEN, id="crm-2")
        stranger = there.ask(Right.OPT_OUT, CEM, id="crm-3")
        people = [(each.request_id, each.person, each.commit_key is not None) for each in found(there, ADA)]
        assert people == [(one.id, 1, True), (other.id, 2, True), (own.id, 2, False)]
        assert ids(there, CEM) == [stranger.id]
        run = runner(there, monkeypatch, capsys)
        _, said = run("find", "--email", ADA)
        assert "2 people share this name" in said
        assert "2 people" not in run("find", "--email", CEM)[1]


def test_a_rectification_is_found_by_the_old_address_and_by_the_new_one(tmp_path: Path) -> None:
    with at_work(tmp_path, sqlite_url(tmp_path)) as there:
        one = there.ask(Right.RECTIFICATION, ADA, changes={"email": BEN})
        assert ids(there, ADA) == ids(there, BEN) == [one.id]


def test_requests_of_before_there_were_boxes_get_them_once_and_the_forgotten_are_counted(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with at_work(tmp_path, database_url) as there:
        finished(there)
        later(there, 35)
        two = there.ask(Right.OPT_OUT, ADA)
        boxes_of_before(there)
        assert ids(there, ADA) == []
        assert opening(there.service).unfound == (
            f"request {two.id}: `dpsync find` would miss it, a row of proof_of is gone or changed",
        )
        start(there.service)
        assert [each.request_id for each in found(there, ADA) if each.commit_key] == [two.id]
        rows = there.rows(proof_of)
        initialise(there.service)
        assert there.rows(proof_of) == rows
        assert opening(there.service).unfound == ()
        assert "1 older request cannot be found so" in runner(there, monkeypatch, capsys)("find", "--email", ADA)[1]


def test_making_the_missing_boxes_goes_on_where_it_was_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with at_work(tmp_path, sqlite_url(tmp_path)) as there:
        asked = [there.ask(Right.OPT_OUT, f"p{n}@example.org", id=f"crm-{n}") for n in range(5)]
        boxes_of_before(there)
        monkeypatch.setattr(proof_boxes, "AT_ONCE", 2)
        there.service.write(lambda unit: proof_boxes.make_missing(unit.connection, there.service, 0))
        assert len(there.rows(proof_of)) == 4
        start(there.service)
        assert len(there.rows(proof_of)) == 10
        assert [ids(there, f"p{n}@example.org") for n in range(5)] == [[one.id] for one in asked]
        assert there.service.read(lambda connection: meta.value_of(connection, proof_boxes.UNFINDABLE)) == "0"


def test_a_box_that_is_gone_or_changed_is_named_by_verify_as_long_as_the_request_opens(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with at_work(tmp_path, database_url) as there:
        one, run = there.ask(Right.OPT_OUT, ADA), runner(there, monkeypatch, capsys)
        (first, *_) = [row.pseudonym for row in there.rows(proof_of)]
        there.service.write(
            lambda unit: unit.connection.execute(
                update(proof_of).where(proof_of.c.pseudonym == first).values(box=b"\1" + bytes(60))
            )
        )
        code, said = run("verify")
        assert code == 2
        assert f"request {one.id}: `dpsync find` would miss it" in said
        assert "DP-603" in said


def test_a_person_is_named_in_one_way_and_a_folder_that_is_not_there_is_said_before_anything_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with at_work(tmp_path, sqlite_url(tmp_path)) as there:
        there.ask(Right.OPT_OUT, ADA)
        before, run = len(there.rows(t.entry)), runner(there, monkeypatch, capsys)
        for wrong in ((), ("--email", ADA, "--id", "crm-1"), ("--email", " ")):
            assert run("find", *wrong)[0] == 64
        assert run("find", "--email", ADA, "-o", str(tmp_path / "nowhere"))[0] == 64
        assert len(there.rows(t.entry)) == before
        assert "No request names a person so." in run("find", "--email", CEM)[1]


@pytest.mark.no_database
def test_a_request_that_is_accepted_has_its_boxes_in_the_same_moment(tmp_path: Path, database_url: str) -> None:
    with at_work(tmp_path, database_url) as there:
        asked: list[Asked] = [there.ask(Right.OPT_OUT, ADA), there.ask(Right.OPT_OUT, ADA, id="crm-2")]
        assert opening(there.service).unfound == ()
        assert ids(there, ADA) == [one.id for one in asked]
        there.drive(after=timedelta(minutes=1))
        assert there.state(asked[0]) is State.NOTHING_HELD
        count = there.service.read(lambda connection: connection.execute(select(proof_of)).all())
        assert len(count) == 4
