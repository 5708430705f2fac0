"""A key is changed: what was signed, sealed and known before still is, whoever is killed in the middle of it."""

from datetime import date, timedelta
from pathlib import Path

import pytest

from dpsync import key_files
from dpsync.cli import keys
from dpsync.errors import KeyProblem, UsageError
from dpsync.intake import merged_records
from dpsync.ledger import note
from dpsync.ledger.entry import decode
from dpsync.ledger.receipt import dump
from dpsync.ledger.verify_receipt import check
from dpsync.model import Right, State
from dpsync.propagation.decisions import Person
from dpsync.running import key_changes
from dpsync.running.start import start
from dpsync.sealing import Keys
from dpsync.soundness import opening
from dpsync.store import tables as t
from dpsync.store.proof_tables import proof_of
from tests.journeys.installation import Installation, installed, sqlite_url
from tests.journeys.test_find import ids

pytestmark = pytest.mark.no_database

ADA, BEN = "ada@example.org", "ben@example.org"
DANA = Person("Dana Officer", "dana", "the old one was seen by a stranger")
YEAR = timedelta(days=365)


def changed(there: Installation, which: str) -> None:
    """As the command does it: the files, and the record in an installation that has opened them."""
    now = there.clock.now()
    if which == "signing":
        key_changes.change_signing(there.service, now)
    else:
        key_changes.add_pepper(there.service)
    with there.another_process() as other:
        key_changes.record(other, now, DANA)
        other.anchor(now)
    there.restart()


def key_entries(there: Installation) -> list[dict[str, str | int]]:
    told = [decode(row.body) for row in there.rows(t.entry)]
    return [entry for entry in told if entry["event"] == "key"]


def lines_under(text: str) -> int:
    return len(note.parse(text)[1])


def test_for_thirty_days_both_keys_sign_and_then_only_the_new_one(tmp_path: Path, database_url: str) -> None:
    with installed(tmp_path, database_url) as there:
        there.sandbox.add(ADA)
        one = there.ask(Right.ERASURE, ADA)
        there.drive()
        first = there.service.log.signer.verifier
        before = there.service.anchor(there.clock.now())
        changed(there, "signing")
        second = there.service.log.signer.verifier
        between = there.service.anchor(there.clock.now())
        assert [lines_under(text) for text in (before, between)] == [1, 2]
        for key in (first, second):
            assert note.verify(between, [key]).size > note.parse(before)[0].size
        there.drive(after=timedelta(days=30))
        assert lines_under(there.service.anchor(there.clock.now())) == 2
        there.clock.advance(timedelta(days=1))
        there.restart()
        there.ask(Right.OPT_OUT, BEN, id="crm-2")
        after = there.service.anchor(there.clock.now())
        assert lines_under(after) == 1
        assert note.verify(after, [second])
        there.drive(after=timedelta(days=8))
        names = {path.name for path in (tmp_path / "keys").iterdir()}
        assert {"signing.key", "signing-until-2026-11-20.pub"} <= names
        assert "signing-until-2026-11-20.key" not in names, "the old one can sign nothing more"
        assert there.state(one) is State.VERIFIED
        start(there.service)
        there.sound()


def test_a_service_that_is_never_started_anew_signs_no_more_with_the_old_key_and_destroys_its_secret(
    tmp_path: Path,
) -> None:
    with installed(tmp_path, sqlite_url(tmp_path)) as there:
        changed(there, "signing")
        there.drive(after=timedelta(days=31))
        there.drive(after=timedelta(days=8))
        names = {path.name for path in (tmp_path / "keys").iterdir()}
        assert "signing-until-2026-11-20.pub" in names
        assert "signing-until-2026-11-20.key" not in names
        there.ask(Right.OPT_OUT, BEN)
        assert lines_under(there.service.anchor(there.clock.now())) == 1, "nor does it sign with it any more"
        there.start_beside()
        there.sound()


def test_a_clock_that_is_ten_years_ahead_for_a_week_takes_no_key_away_that_still_signs(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path)) as there:
        changed(there, "signing")
        (former,) = (tmp_path / "keys").glob("signing-until-*.key")
        there.clock.advance(10 * YEAR)
        for _ in range(3):
            there.restart()
            there.drive(after=timedelta(days=2))
        there.clock.advance(-10 * YEAR)
        there.restart()
        assert former.exists()
        there.ask(Right.OPT_OUT, BEN)
        assert lines_under(there.service.anchor(there.clock.now())) == 2
        there.drive(after=timedelta(days=26))
        assert former.exists()
        (said,) = [one.state for one in keys._lines(there.service, there.clock.now()) if former.stem in one.key]
        assert said.endswith("Its secret half is destroyed some days later, if the clock was right")
        there.drive(after=timedelta(days=8))
        assert not former.exists()


def test_a_receipt_of_before_and_one_of_after_are_checked_with_the_two_lines_and_an_older_checkpoint(
    tmp_path: Path,
) -> None:
    with installed(tmp_path, sqlite_url(tmp_path)) as there:
        there.sandbox.add(ADA)
        one = there.ask(Right.ERASURE, ADA)
        there.drive()
        old_line = there.service.log.signer.verifier.line
        old_receipt = dump(there.service.receipt(one.id, there.clock.now()))
        kept = there.service.anchor(there.clock.now())
        changed(there, "signing")
        new_line = there.service.log.signer.verifier.line
        value = there.service.receipt(one.id, there.clock.now())
        new_receipt = dump(value)
        size = note.parse(kept)[0].size
        step = there.service.read(
            lambda connection: there.service.log.continuation(connection, size, value["checkpoint"])
        )
        assert check(old_receipt, old_line, ADA)
        assert check(new_receipt, new_line, ADA)
        assert any("GRADE 2" in line for line in check(new_receipt, f"{old_line}\n{new_line}", ADA, kept, (step,)))
        for raw, line in ((old_receipt, new_line), (new_receipt, old_line)):
            with pytest.raises(ValueError, match="another key"):
                check(raw, line, ADA)
        with pytest.raises(ValueError, match="just once by the key"):
            check(new_receipt, new_line, ADA, kept, (step,))
        spoilt = new_receipt.replace(b'"how_to_check"', b'"how_to_chequ"')
        with pytest.raises(ValueError, match="left out or added"):
            check(spoilt, f"{old_line}\n{new_line}", ADA)


def test_a_change_is_on_the_record_with_who_decided_it_and_the_dpo_hears_of_it(
    tmp_path: Path, database_url: str
) -> None:
    with installed(tmp_path, database_url) as there:
        changed(there, "signing")
        changed(there, "pepper")
        first, second, third = key_entries(there)
        assert (second["name"], third["name"]) == ("signing.key", "pepper-2.key")
        assert second["digest"] != first["digest"]
        assert all({"by", "why"} <= set(entry) for entry in (second, third))
        assert ("dpo", "signing-key") in there.alerts()
        start(there.service)
        assert len(key_entries(there)) == 3


def test_it_cannot_be_changed_twice_within_the_thirty_days(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path)) as there:
        changed(there, "signing")
        there.clock.advance(timedelta(days=30))
        with pytest.raises(UsageError, match="change it again after that"):
            key_changes.change_signing(there.service, there.clock.now())
        there.clock.advance(timedelta(days=1))
        changed(there, "signing")
        assert len(there.service.log.keys) == 3
        there.sound()


def test_whoever_is_known_under_an_older_pepper_is_the_same_person_under_the_newer_one(
    tmp_path: Path, database_url: str
) -> None:
    with installed(tmp_path, database_url) as there:
        one = there.ask(Right.RESTRICTION, ADA, id="crm-1", phone="020 7946 0018")
        nameless = there.ask(Right.OPT_OUT, BEN, id=None)
        changed(there, "pepper")
        again = there.ask(Right.OPT_OUT, "ada.new@example.org", id="crm-1")
        erasure = there.ask(Right.ERASURE, BEN, id=None)
        person = {row.id: row.person for row in there.rows(t.request)}
        assert person[one.id] == person[again.id]
        assert person[nameless.id] == person[erasure.id]
        assert {row.key_version for row in there.rows(t.alias)} == {1, 2}
        assert ids(there, ADA) == [one.id, again.id]
        assert ids(there, BEN) == [nameless.id, erasure.id]
        assert {row.key_version for row in there.rows(proof_of)} == {1, 2}
        assert opening(there.service).unfound == ()
        there.sound()


def test_who_shares_an_address_with_somebody_of_before_is_held_also_after_the_pepper_was_changed_twice(
    tmp_path: Path, database_url: str
) -> None:
    with installed(tmp_path, database_url) as there:
        there.ask(Right.OPT_OUT, ADA, id="crm-1")
        changed(there, "pepper")
        second = there.ask(Right.ERASURE, ADA, id="crm-2")
        changed(there, "pepper")
        third = there.ask(Right.ERASURE, ADA, id="crm-3")
        assert [there.state(one) for one in (second, third)] == [State.HELD] * 2
        assert {"shared_address"} == {there.row(one).causes for one in (second, third)}
        there.sound()


def test_who_was_merged_under_the_pepper_of_before_is_still_known_as_several_records(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path)) as there:
        keys, now = there.service.keys, there.clock.now()
        there.service.write(lambda unit: merged_records.remember(unit.connection, keys, "crm-1", "crm-2", now))
        changed(there, "pepper")
        there.ask(Right.OPT_OUT, BEN, id="crm-1")
        erasure = there.ask(Right.ERASURE, ADA, id="crm-2")
        assert (there.state(erasure), there.row(erasure).causes) == (State.HELD, "shared_address")


def test_what_was_sealed_for_no_request_opens_under_the_pepper_it_was_sealed_under(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path)) as there:
        keys = there.service.keys
        sealed, mac = keys.seal("answer", b"x", b"1"), keys.mac("answer", b"x")
        changed(there, "pepper")
        newer = there.service.keys
        assert newer.open("answer", sealed, b"1") == b"x"
        assert newer.mac("answer", b"x") == mac, "a link that is out must lead where it led"
        with pytest.raises(KeyProblem):
            keys.open("answer", newer.seal("answer", b"x", b"1"), b"1")
        assert there.service.read(lambda _: there.service.custody.journal.read()).damaged == ()


@pytest.mark.parametrize("name", ["pepper-2.key", "signing-until-2026-11-20.key"])
def test_a_key_of_before_or_a_newer_pepper_that_is_lost_is_named_and_not_made(name: str, tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path)) as there:
        changed(there, "signing")
        changed(there, "pepper")
        (tmp_path / "keys" / name).unlink()
        with pytest.raises(KeyProblem, match=f"{name.removesuffix('.key') if 'until' in name else name} is lost"):
            there.start_beside()
        assert not (tmp_path / "keys" / name).exists()


def test_a_back_up_of_before_the_change_is_still_one_of_these_keys(tmp_path: Path) -> None:
    from dpsync.backup import find, take, try_out

    with installed(tmp_path, sqlite_url(tmp_path)) as there:
        there.ask(Right.OPT_OUT, ADA)
        (tmp_path / "copies").mkdir()
        take(there.service, tmp_path / "copies")
        changed(there, "signing")
        assert try_out(there.service, find(tmp_path / "copies")).problems == ()


def test_a_change_that_was_cut_off_and_is_finished_on_another_day_keeps_the_old_key_once(tmp_path: Path) -> None:
    Keys.create(tmp_path / "keys")
    old = (tmp_path / "keys" / "signing.key").read_bytes()

    def cut(step: str) -> None:
        if step == "kept":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        key_files.replace_signing(tmp_path / "keys", date(2026, 11, 20), cut)
    key_files.replace_signing(tmp_path / "keys", date(2026, 11, 21))
    (kept,) = (tmp_path / "keys").glob("signing-until-*")
    assert (kept.name, kept.read_bytes()) == ("signing-until-2026-11-20.key", old)
    assert len(Keys.load(tmp_path / "keys").beside(date(2026, 11, 21))) == 1, "or a note would have one line twice"
