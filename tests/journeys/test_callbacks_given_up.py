"""What a main database was to hear and never took: given up, told to a person, and sent again if they say so."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from dpsync.__main__ import main as dpsync
from dpsync.cli.check_doors import callbacks_told
from dpsync.model import Right
from dpsync.propagation.callbacks import note_contradicted
from dpsync.reports.callbacks import CallbacksLine, callback_lines, callbacks_of
from dpsync.running import callbacks
from dpsync.running.callback_targets import resume
from dpsync.store import tables as t
from dpsync.store.callback_tables import callback
from tests.journeys.calledback import ADA, BEN, CEM, DAY, HOUR, Place, begin, place_in
from tests.told import told_by

NO: list[tuple[int, dict[str, str]]] = [(422, {})] * 1000
EXEMPT = (
    'exempt = { restriction = { code = "art19_impossible", reason = "no list", by = "Dana", until = "2999-12-31" } }'
)


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return begin(tmp_path_factory.mktemp("begun"))


@pytest.fixture
def place(tmp_path: Path, begun: Path) -> Iterator[Place]:
    with place_in(tmp_path, begun) as made:
        yield made


def refused_for(place: Place, days: int) -> None:
    """Let it say no to everything for so long, and then to nothing."""
    place.crm.answers = list(NO)
    for _ in range(2 * days):
        place.send(DAY / 2)
    place.crm.answers = []


def numbers(place: Place) -> tuple[CallbacksLine, ...]:
    now = place.clock.now()
    return place.service.read(lambda connection: callback_lines(connection, now - 30 * DAY, now + HOUR))


def checked(place: Place) -> list[str]:
    return [one.code for one in callbacks_told(place.service) if "given up" in one.text]


def test_a_message_that_is_refused_for_two_weeks_is_given_up_and_told_and_the_next_one_goes(place: Place) -> None:
    (first,) = place.withdraw(ADA)
    now, controller = place.clock.now(), place.service.controller
    place.service.write(lambda unit: note_contradicted(unit.connection, controller, [first], now))
    refused_for(place, 13)
    assert "callback-given-up" not in place.causes(), "it still goes"
    assert numbers(place) == (CallbacksLine("crm", 0, 2, 0),)
    refused_for(place, 2)
    (alert,) = [one for one in told_by(place.service.read) if one.cause == "callback-given-up"]
    assert (alert.role, len(alert.concerns)) == ("operator", 1)
    assert f"dpsync dossier {first}" in alert.text
    assert "answered 422" in alert.text
    assert ADA not in alert.text
    assert [one.kind for one in place.send(DAY)] == ["dpsync.request.contradicted"], "what came after it goes"
    assert numbers(place) == (CallbacksLine("crm", 1, 0, 1),)
    chapters = [one.sentence for one in place.service.read(lambda found: list(callbacks_of(found, first)))]
    assert [("was given up, and never taken" in one, "took our message" in one) for one in chapters] == [
        (True, False),
        (False, True),
    ]


def test_what_waited_for_its_turn_is_not_given_up_at_its_first_no(place: Place) -> None:
    place.withdraw(ADA)
    place.crm.answers = [(500, {})] * 1000
    for _ in range(20):
        place.send(DAY)
    place.crm.answers = [(422, {})]
    place.send(DAY)
    assert "callback-given-up" not in place.causes()
    assert len(place.send(DAY)) == 1


def test_a_main_database_that_is_away_for_a_month_hears_all_of_it(place: Place) -> None:
    place.crm.answers = [(500, {})] * 1000
    place.withdraw(ADA, BEN)
    for _ in range(60):
        place.send(DAY / 2)
    place.crm.answers = []
    place.send(DAY)
    assert [one.data["event"] for one in place.crm.taken] == ["evt-1", "evt-2"]
    assert "callback-given-up" not in place.causes()


def test_what_was_given_up_is_sent_again_for_a_month_if_a_person_says_so(place: Place) -> None:
    place.withdraw(ADA)
    refused_for(place, 16)
    assert checked(place) == ["DP-323"]
    place.service.write(lambda unit: resume(unit.connection, place.clock.now()))
    assert checked(place) == []
    assert [one.kind for one in place.send()] == ["dpsync.request.closed"]
    place.withdraw(BEN)
    refused_for(place, 16)
    place.clock.advance(30 * DAY)
    place.service.write(lambda unit: resume(unit.connection, place.clock.now()))
    assert (place.send(), checked(place)) == ([], [])


def test_who_was_forgotten_before_it_was_taken_is_told_and_not_sent_again(place: Place) -> None:
    (request_id,) = place.withdraw(ADA)
    gone = {"sealed": None, "wrapped_key": None, "shredded_at": place.clock.now()}
    of_it = update(t.request).where(t.request.c.id == request_id).values(gone)
    place.service.write(lambda unit: unit.connection.execute(of_it))
    place.service.write(lambda unit: unit.connection.execute(update(callback).values(named_in=request_id)))
    assert place.send() == []
    assert place.causes() == ["callback-given-up"]
    assert checked(place) == [], "there is nothing that anybody could do about it here"
    place.service.write(lambda unit: resume(unit.connection, place.clock.now()))
    assert place.send(HOUR) == []
    assert [row.dropped_at is None for row in place.rows()] == [False]
    assert numbers(place) == (CallbacksLine("crm", 0, 0, 1),)


def test_what_is_exempt_when_it_comes_is_told_once_as_closed_and_not_as_completed(place: Place) -> None:
    place.again(('connector = "notice"\n', f'connector = "notice"\n{EXEMPT}\n'))
    request_id = place.ask(CEM, right=Right.RESTRICTION)
    for after in (timedelta(0), HOUR, 2 * DAY):
        place.clock.advance(after)
        callbacks.tell_of_what_nobody_does(place.service, place.clock.now())
    (heard,) = place.send()
    assert (heard.kind, heard.data["request"]) == ("dpsync.request.closed", request_id)
    assert [one["state"] for one in heard.data["processors"]] == ["exempt"]


def test_the_report_counts_what_was_taken_is_still_tried_and_was_given_up(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in place.environ.items():
        monkeypatch.setenv(name, value)
    place.withdraw(ADA)
    config = ["--config", str(place.folder / "dpsync.toml")]
    for form in ("text", "html"):
        dpsync([*config, "report", "--format", form, "-o", "-"])
        assert "crm: 0 taken, 1 still tried, 0 given up" in capsys.readouterr().out


def test_a_callback_that_is_new_is_not_told_of_the_exempt_requests_of_years(place: Place) -> None:
    place.again(('connector = "notice"\n', f'connector = "notice"\n{EXEMPT}\n'))
    place.ask(ADA, right=Right.RESTRICTION)
    place.clock.advance(8 * DAY)
    callbacks.tell_of_what_nobody_does(place.service, place.clock.now())
    assert place.rows() == []
