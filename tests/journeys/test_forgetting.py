"""Thirty days after a request was finished, nothing of it says any more who the person was; the proof is left."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from dpsync.__main__ import main
from dpsync.cases.complaints import open_complaint
from dpsync.cases.values import Channel, NewComplaint, Topic
from dpsync.errors import NotFound
from dpsync.ledger.entry import decode
from dpsync.model import Right, State
from dpsync.propagation.decisions import Person, decide
from dpsync.propagation.forgetting import GONE, forget
from dpsync.propagation.forgetting import finished as propagation_finished
from dpsync.propagation.rules.lifecycle import DecisionKind
from dpsync.propagation.showing import show
from dpsync.propagation.telling import LetterKind, Told, tell
from dpsync.reports.dossier import dossier
from dpsync.reports.make import basis_of
from dpsync.reports.text import dossier_text
from dpsync.running import forgetting
from dpsync.store import tables as t
from tests.journeys.installation import FORMS, NEWSLETTER, Asked, Installation, installed, sqlite_url

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
    told(there, one)
    return one


def told(there: Installation, one: Asked) -> None:
    """The DPO records that the person has their letter."""
    today = there.clock.now().astimezone(there.service.zone).date()
    letter, now = Told(LetterKind.ACTION, today, "post"), there.clock.now()
    there.service.write(lambda unit: tell(unit, there.service.controller, one.id, letter, DANA, now))


def later(there: Installation, days: int) -> None:
    """So many days on, the last three weeks a week at a time, within which what forgets goes on, and an hour more."""
    if days > 21:
        there.clock.advance((days - 21) * DAY)
        days = 21
    while days > 0:
        there.drive(after=min(days, 7) * DAY)
        days -= 7
    there.drive(after=timedelta(hours=1))


def to_forget(there: Installation) -> forgetting.ToForget:
    now = there.clock.now()
    until = forgetting.until_of(there.service, now)
    assert until is not None
    return forgetting.due(there.service, until, now)


def written(there: Installation, table: Any, one: Asked, **values: object) -> None:
    """What somebody wrote of a request, or of its parts."""
    column = table.c.id if table is t.request else table.c.request_id
    there.service.write(lambda unit: unit.connection.execute(update(table).where(column == one.id).values(values)))


def request_of(there: Installation, one: Asked) -> Any:
    return next(row for row in there.rows(t.request) if row.id == one.id)


@pytest.mark.no_database
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
        assert row.shredded_at is not None
        assert [one.handed for one in there.rows(t.propagation)] == [None]
        there.sound()
        assert "VALID" in there.verified_by_a_stranger(one, ADA)
        later(there, 40)
        assert request_of(there, one).shredded_at == row.shredded_at


def test_nothing_is_forgotten_where_the_settings_do_not_say_so(tmp_path: Path) -> None:
    with at_work(tmp_path, sqlite_url(tmp_path), settings="") as there:
        one = finished(there)
        later(there, 100)
        assert request_of(there, one).sealed is not None


def test_what_is_not_finished_is_known_as_long_as_it_takes(tmp_path: Path) -> None:
    with at_work(tmp_path, sqlite_url(tmp_path), processors=NEWSLETTER + FORMS) as there:
        there.sandbox.add(ADA)
        one = there.ask(Right.ERASURE, ADA)
        for _ in range(40):
            there.drive(after=DAY)
        assert there.state(one, "forms") is not State.VERIFIED
        assert request_of(there, one).sealed is not None


@pytest.mark.no_database
def test_a_complaint_keeps_its_request_and_no_other(tmp_path: Path, database_url: str) -> None:
    with at_work(tmp_path, database_url) as there:
        one, other = finished(there), finished(there, email=BEN, id="crm-2")
        now = there.clock.now()
        about = NewComplaint(now, Channel.MAIL, (Topic.DELAY,), about=(one.id,))
        there.service.write(lambda unit: open_complaint(unit, there.service.controller, about, DANA, now))
        later(there, 35)
        assert request_of(there, one).sealed is not None
        assert request_of(there, other).sealed is None
        assert to_forget(there) == forgetting.ToForget((), {"a complaint about it is open": (one.id,)})
        there.sound()


def test_a_request_whose_receipt_is_not_there_is_kept_because_only_it_can_prove_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with at_work(tmp_path, sqlite_url(tmp_path)) as there:
        one = finished(there)
        monkeypatch.setattr(there.service.custody, "write_receipts", lambda *_: {})
        (there.service.settings.ledger.receipts / f"{one.id}.json").unlink()
        later(there, 35)
        assert request_of(there, one).sealed is not None
        monkeypatch.undo()
        there.drive(after=DAY)
        there.drive(after=DAY)
        assert request_of(there, one).sealed is None


def test_nothing_that_shows_a_forgotten_request_knows_the_person(tmp_path: Path) -> None:
    with at_work(tmp_path, sqlite_url(tmp_path)) as there:
        one = finished(there)
        later(there, 35)
        basis = basis_of(there.service, there.clock.now())
        entries = [(row.idx, decode(row.body)) for row in there.rows(t.entry) if row.request_id == one.id]
        shown = there.service.read(lambda connection: dossier(connection, basis, one.id, entries=entries))
        assert "The name and addresses were destroyed" in dossier_text(shown)
        with pytest.raises(NotFound, match="destroyed"):
            there.service.write(lambda unit: show(unit, there.service.controller, one.id, DANA, there.clock.now()))


def test_the_same_person_can_ask_again_and_an_old_event_is_still_known(tmp_path: Path) -> None:
    with at_work(tmp_path, sqlite_url(tmp_path)) as there:
        one = finished(there)
        later(there, 35)
        again = there.ask(Right.OPT_OUT, ADA)
        there.drive()
        assert again.id != one.id
        assert there.state(again) is State.NOTHING_HELD
        assert len(there.rows(t.request)) == 2
        there.sound()


def test_what_goes_on_while_it_is_looked_at_is_left_as_it_is(tmp_path: Path) -> None:
    with at_work(tmp_path, sqlite_url(tmp_path), settings="") as there:
        one = finished(there)
        later(there, 35)
        now = there.clock.now()
        ids = finished_ids(there.service.read, now)
        written(there, t.request, one, closed_at=None)
        assert ids == [one.id]
        assert there.service.write(lambda unit: forget(unit, there.service.controller, ids, now, now)) == 0
        assert request_of(there, one).sealed is not None


def finished_ids(read: Any, until: datetime) -> list[str]:
    ids: list[str] = read(lambda connection: propagation_finished(connection, until))
    return ids


def test_a_clock_that_leaps_destroys_nothing_and_neither_does_a_new_setting_in_its_first_week(tmp_path: Path) -> None:
    with at_work(tmp_path, sqlite_url(tmp_path)) as there:
        one = finished(there)
        later(there, 12)
        there.drive(after=60 * DAY)
        for _ in range(20):
            there.drive(after=timedelta(hours=1))
        assert request_of(there, one).sealed is not None
        later(there, 8)
        assert request_of(there, one).sealed is None, "in which somebody would have set it back"


def test_a_clock_that_was_ten_years_ahead_and_is_right_again_neither_hastens_nor_stops_it(tmp_path: Path) -> None:
    with at_work(tmp_path, sqlite_url(tmp_path)) as there:
        one = finished(there)
        there.clock.advance(3650 * DAY)
        there.drive()
        there.drive(after=DAY)
        there.clock.advance(-3650 * DAY)
        later(there, 25)
        assert request_of(there, one).sealed is not None
        later(there, 14)
        assert request_of(there, one).sealed is None


def test_while_no_letter_to_the_person_is_recorded_somebody_must_know_who_it_is(tmp_path: Path) -> None:
    with at_work(tmp_path, sqlite_url(tmp_path)) as there:
        there.sandbox.add(ADA)
        one = there.ask(Right.ERASURE, ADA)
        for _ in range(4):
            there.drive(after=timedelta(minutes=10))
        later(there, 40)
        assert to_forget(there) == forgetting.ToForget((), {"no letter to the person is recorded yet": (one.id,)})
        told(there, one)
        later(there, 2)
        assert request_of(there, one).sealed is None


def test_the_receipt_that_is_left_tells_the_whole_story(tmp_path: Path) -> None:
    with at_work(tmp_path, sqlite_url(tmp_path)) as there:
        one = finished(there)
        later(there, 35)
        assert request_of(there, one).sealed is None
        receipt = json.loads((there.service.settings.ledger.receipts / f"{one.id}.json").read_text())
        kept = [row.body for row in there.rows(t.entry) if row.request_id == one.id]
        assert len(receipt["entries"]) == len(kept) - 1, "all but the entry that it is forgotten"


@pytest.mark.parametrize(
    ("state", "kept"),
    [(State.DECLARED_DONE, True), (State.SETTLED, True), (State.NOTHING_HELD, False), (State.VERIFIED, False)],
)
def test_a_rectification_that_nobody_saw_carried_out_is_known_for_whom_must_be_erased_later(
    state: State, kept: bool, tmp_path: Path, database_url: str
) -> None:
    with at_work(tmp_path, database_url, settings="") as there:
        one = finished(there, Right.RECTIFICATION, changes={"email": BEN})
        later(there, 35)
        written(there, t.propagation, one, state=state)
        assert (one.id not in finished_ids(there.service.read, there.clock.now())) is kept


def test_an_older_request_is_known_as_long_as_another_of_the_person_is_open(tmp_path: Path, database_url: str) -> None:
    with at_work(tmp_path, database_url, settings="") as there:
        one, other = finished(there), there.ask(Right.OPT_OUT, ADA)
        later(there, 35)
        assert set(finished_ids(there.service.read, there.clock.now())) == {one.id, other.id}
        written(there, t.request, other, closed_at=None)
        assert finished_ids(there.service.read, there.clock.now()) == []


def test_whoever_wants_a_forgotten_request_told_again_hears_why_that_cannot_be(tmp_path: Path) -> None:
    with at_work(tmp_path, sqlite_url(tmp_path)) as there:
        one = finished(there)
        later(there, 35)
        written(there, t.request, one, closed_at=None)
        written(there, t.propagation, one, state=State.REFUSED)
        now, controller = there.clock.now(), there.service.controller
        (decided,) = there.service.write(
            lambda unit: decide(
                unit, controller=controller, request_id=one.id, kind=DecisionKind.RETRY, person=DANA, now=now
            )
        )
        assert decided.refused == GONE


@pytest.mark.parametrize("settings", ["", FORGETS])
def test_a_restriction_that_is_forgotten_still_holds_an_erasure_and_is_lifted_as_any_other(
    settings: str, tmp_path: Path
) -> None:
    with at_work(tmp_path, sqlite_url(tmp_path), settings=settings) as there:
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
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with at_work(tmp_path, sqlite_url(tmp_path), settings=settings) as there:
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
        assert shown["waits"] == ({"due": [], "kept": {}} if settings else None)
