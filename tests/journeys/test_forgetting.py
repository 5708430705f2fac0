"""Thirty days after a request was finished, nothing of it says any more who the person was; the proof is left."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from dpsync.__main__ import main
from dpsync.cases.complaints import open_complaint
from dpsync.cases.values import Channel, NewComplaint, Topic
from dpsync.errors import KeyProblem, NotFound
from dpsync.ledger.entry import decode
from dpsync.model import Right, State
from dpsync.propagation.decisions import Person
from dpsync.propagation.showing import show
from dpsync.reports.dossier import dossier
from dpsync.reports.make import basis_of
from dpsync.reports.text import dossier_text
from dpsync.running import forgetting
from dpsync.store import tables as t
from tests.journeys.installation import FORMS, NEWSLETTER, Asked, Installation, installed

ADA, BEN = "ada@example.org", "ben@example.org"
FORGETS = "\n[forgetting]\nafter_days = 30\n"
DANA = Person("Dana Officer", "dana", "asked by telephone")
DAY = timedelta(days=1)


@contextmanager
def at_work(folder: Path, url: str, *, settings: str = FORGETS, processors: str = NEWSLETTER) -> Iterator[Installation]:
    with installed(folder, url, processors=processors + settings) as there:
        yield there


def finished(there: Installation, right: Right = Right.ERASURE, email: str = ADA, **more: Any) -> Asked:
    """A request that every processor has carried out, and whose receipt is written."""
    there.sandbox.add(email)
    one = there.ask(right, email, **more)
    there.drive()
    for _ in range(4):
        there.drive(after=timedelta(minutes=10))
    assert there.state(one) is State.VERIFIED
    return one


def later(there: Installation, days: int) -> None:
    """So many days on: the last look at the processors, and the hour after it."""
    there.drive(after=days * DAY)
    there.drive(after=timedelta(hours=1))


def request_of(there: Installation, one: Asked) -> Any:
    return next(row for row in there.rows(t.request) if row.id == one.id)


def test_a_finished_request_is_forgotten_after_thirty_days_and_not_a_day_before(
    tmp_path: Path, database_url: str
) -> None:
    with at_work(tmp_path, database_url) as there:
        one = finished(there)
        later(there, 29)
        assert request_of(there, one).sealed is not None
        later(there, 2)
        row = request_of(there, one)
        assert (row.sealed, row.wrapped_key) == (None, None)
        assert row.shredded_at == there.clock.now()
        assert [one.handed for one in there.rows(t.propagation)] == [None]
        there.sound()
        assert "VALID" in there.verified_by_a_stranger(one, ADA)
        later(there, 40)
        assert request_of(there, one).shredded_at == row.shredded_at


def test_nothing_is_forgotten_where_the_settings_do_not_say_so(tmp_path: Path, database_url: str) -> None:
    with at_work(tmp_path, database_url, settings="") as there:
        one = finished(there)
        later(there, 400)
        assert request_of(there, one).sealed is not None


def test_what_is_not_finished_is_known_as_long_as_it_takes(tmp_path: Path, database_url: str) -> None:
    with at_work(tmp_path, database_url, processors=NEWSLETTER + FORMS) as there:
        there.sandbox.add(ADA)
        one = there.ask(Right.ERASURE, ADA)
        for _ in range(40):
            there.drive(after=DAY)
        assert there.state(one, "forms") is not State.VERIFIED
        assert request_of(there, one).sealed is not None


def test_a_complaint_keeps_its_request_and_no_other(tmp_path: Path, database_url: str) -> None:
    with at_work(tmp_path, database_url) as there:
        one, other = finished(there), finished(there, email=BEN, id="crm-2")
        now = there.clock.now()
        about = NewComplaint(now, Channel.MAIL, (Topic.DELAY,), about=(one.id,))
        there.service.write(lambda unit: open_complaint(unit, there.service.controller, about, DANA, now))
        later(there, 35)
        assert request_of(there, one).sealed is not None
        assert request_of(there, other).sealed is None
        until = forgetting.until_of(there.service, there.clock.now())
        assert until is not None
        assert forgetting.due(there.service, until) == forgetting.ToForget((), (one.id,), ())
        there.sound()


def test_a_request_whose_receipt_is_not_there_is_kept_because_only_it_can_prove_anything(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with at_work(tmp_path, database_url) as there:
        one = finished(there)
        monkeypatch.setattr(there.service.custody, "write_receipts", lambda *_: {})
        (there.service.settings.ledger.receipts / f"{one.id}.json").unlink()
        later(there, 35)
        assert request_of(there, one).sealed is not None
        monkeypatch.undo()
        there.drive(after=DAY)
        there.drive(after=DAY)
        assert request_of(there, one).sealed is None


def test_the_key_of_a_month_is_destroyed_with_its_last_request_and_a_new_one_has_its_own(
    tmp_path: Path, database_url: str
) -> None:
    with at_work(tmp_path, database_url) as there:
        one = finished(there)
        month = request_of(there, one).key_month
        wrapped = request_of(there, one).wrapped_key
        assert there.service.keys.unwrap(wrapped, one.id, month)
        later(there, 35)
        with pytest.raises(KeyProblem, match="is not there"):
            there.service.keys.unwrap(wrapped, one.id, month)
        assert not [row.key for row in there.rows(t.meta) if month in row.key]
        newer = finished(there, email=BEN, id="crm-2")
        assert request_of(there, newer).key_month > month
        there.restart()
        there.sound()


def test_what_is_still_open_sixty_days_after_its_month_holds_its_key_no_longer(
    tmp_path: Path, database_url: str
) -> None:
    with at_work(tmp_path, database_url, processors=NEWSLETTER + FORMS) as there:
        there.sandbox.add(ADA)
        one = there.ask(Right.ERASURE, ADA)
        there.drive()
        before = request_of(there, one)
        later(there, 60)  # to 19 January: the sixty days begin with the end of November
        assert request_of(there, one).key_month == before.key_month
        later(there, 12)
        row = request_of(there, one)
        assert row.key_month > before.key_month
        assert there.service.keys.unwrap(row.wrapped_key, one.id, row.key_month).open(row.sealed, one.id.encode())
        with pytest.raises(KeyProblem, match="is not there"):
            there.service.keys.unwrap(before.wrapped_key, one.id, before.key_month)
        there.restart()
        there.sound()


def test_a_month_is_let_go_again_where_it_was_cut_off_before_its_key_was_destroyed(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with at_work(tmp_path, database_url) as there:
        one = finished(there)
        row = request_of(there, one)

        def cut(_month: str) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(there.service.keys, "destroy_month", cut)
        there.drive(after=35 * DAY)
        there.clock.advance(DAY)
        with pytest.raises(OSError, match="No space"):
            forgetting.forget(there.service, there.clock.now())
        monkeypatch.undo()
        there.restart()
        assert there.service.keys.unwrap(row.wrapped_key, one.id, row.key_month)
        assert forgetting.forget(there.service, there.clock.now()) == 0
        with pytest.raises(KeyProblem, match="is not there"):
            there.service.keys.unwrap(row.wrapped_key, one.id, row.key_month)
        there.sound()


def test_nothing_that_shows_a_forgotten_request_knows_the_person(tmp_path: Path, database_url: str) -> None:
    with at_work(tmp_path, database_url) as there:
        one = finished(there)
        later(there, 35)
        basis = basis_of(there.service, there.clock.now())
        entries = [(row.idx, decode(row.body)) for row in there.rows(t.entry) if row.request_id == one.id]
        shown = there.service.read(lambda connection: dossier(connection, basis, one.id, entries=entries))
        assert "The name and addresses were destroyed" in dossier_text(shown)
        with pytest.raises(NotFound, match="destroyed"):
            there.service.write(lambda unit: show(unit, there.service.controller, one.id, DANA, there.clock.now()))


def test_the_same_person_can_ask_again_and_an_old_event_is_still_known(tmp_path: Path, database_url: str) -> None:
    with at_work(tmp_path, database_url) as there:
        one = finished(there)
        later(there, 35)
        again = there.ask(Right.OPT_OUT, ADA)
        there.drive()
        assert again.id != one.id
        assert there.state(again) is State.NOTHING_HELD
        assert len(there.rows(t.request)) == 2
        there.sound()


def test_what_goes_on_while_it_is_looked_at_is_left_as_it_is(tmp_path: Path, database_url: str) -> None:
    with at_work(tmp_path, database_url) as there:
        one = finished(there)
        there.drive(after=35 * DAY)
        there.clock.advance(DAY)
        now = there.clock.now()

        def reopened(unit: Any) -> None:
            unit.connection.execute(update(t.request).where(t.request.c.id == one.id).values(closed_at=None))

        until = forgetting.until_of(there.service, now)
        assert until is not None
        ids = forgetting.due(there.service, until).now
        there.service.write(reopened)
        from dpsync.propagation.forgetting import forget

        assert ids == (one.id,)
        assert there.service.write(lambda unit: forget(unit, ids, until, now)) == 0
        assert request_of(there, one).sealed is not None


@pytest.mark.parametrize("settings", ["", FORGETS])
def test_a_restriction_that_is_forgotten_still_holds_an_erasure_and_is_lifted_as_any_other(
    settings: str, tmp_path: Path, database_url: str
) -> None:
    with at_work(tmp_path, database_url, settings=settings) as there:
        one = finished(there, Right.RESTRICTION)
        later(there, 35)
        assert (request_of(there, one).sealed is None) is bool(settings)
        erasure = there.ask(Right.ERASURE, ADA)
        there.drive()
        assert there.state(erasure) is State.HELD
        lifted = {"told_on": f"{there.clock.now():%Y-%m-%d}", "how": "by letter"}
        lifting = there.ask(Right.RESTRICTION, ADA, lifted=lifted)
        for _ in range(3):
            there.drive(after=timedelta(minutes=10))
        assert there.state(lifting) is State.HANDED_OVER, "the person was subscribed, and a person must do that again"
        there.sound()


@pytest.mark.parametrize("settings", ["", FORGETS])
def test_the_command_says_what_is_forgotten_what_is_next_and_why_another_is_kept(
    settings: str,
    tmp_path: Path,
    database_url: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with at_work(tmp_path, database_url, settings=settings) as there:
        for name, value in there.environ.items():
            monkeypatch.setenv(name, value)
        one = finished(there)
        later(there, 35)
        assert main(["--config", str(tmp_path / "dpsync.toml"), "forgotten"]) == 0
        seen = capsys.readouterr()
        said = seen.out + seen.err
        if settings:
            assert one.id[:8] in said
            assert "30 days after a request was finished everywhere" in said
        else:
            assert "No request is forgotten yet" in said
            assert "no section [forgetting]" in said
        assert main(["--config", str(tmp_path / "dpsync.toml"), "forgotten", "--json"]) == 0
        shown = json.loads(capsys.readouterr().out)
        assert [row["request"] for row in shown["forgotten"]] == ([one.id] if settings else [])
        assert shown["waits"] == ({"due": [], "held": [], "unproven": []} if settings else None)
