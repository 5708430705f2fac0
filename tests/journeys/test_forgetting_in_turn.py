"""Who is held keeps no other one from being forgotten; and nothing is forgotten that no receipt tells of."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from dpsync.__main__ import main
from dpsync.cases.complaints import open_complaint
from dpsync.cases.values import Channel, NewComplaint, Topic
from dpsync.propagation.showing import show
from dpsync.running import forgetting
from dpsync.store import shelf
from dpsync.store import tables as t
from tests.journeys.installation import NEWSLETTER, Asked, Installation, sqlite_url
from tests.journeys.test_forgetting import BEN, DANA, at_work, finished, later, request_of, to_forget, written

LATE = "\n[forgetting]\nafter_days = 40\n"
"""The reading after 30 days is over by then."""


def nearly(there: Installation) -> None:
    """Nothing has been forgotten yet, and everything might be with the next hour."""
    later(there, 38)
    there.clock.advance(timedelta(days=3))


def proven(there: Installation) -> datetime:
    """Every receipt tells all; gives by when a request must have been finished to be forgotten now."""
    now = there.clock.now()
    until = forgetting.until_of(there.service, now)
    assert until is not None
    forgetting._prove(there.service, until, now, 10)
    return until


def remove_receipt(there: Installation, one: Asked) -> Path:
    path = there.service.settings.ledger.receipts / f"{one.id}.json"
    path.unlink()
    return path


def complained(there: Installation, one: Asked) -> None:
    now = there.clock.now()
    about = NewComplaint(now, Channel.MAIL, (Topic.DELAY,), about=(one.id,))
    there.service.write(lambda unit: open_complaint(unit, there.service.controller, about, DANA, now))


@pytest.mark.no_database
def test_one_that_is_held_in_front_keeps_no_other_waiting(tmp_path: Path, database_url: str) -> None:
    with at_work(tmp_path, database_url, settings=LATE) as there:
        held, other = finished(there), finished(there, email=BEN, id="crm-2")
        complained(there, held)
        nearly(there)
        kept = remove_receipt(there, held)
        remove_receipt(there, other)
        assert forgetting.forget(there.service, there.clock.now(), at_once=1) == 1
        assert not kept.exists(), "nobody forgets it now, so its receipt is the business of another job"
        assert request_of(there, held).sealed is not None
        assert request_of(there, other).sealed is None


def test_one_whose_receipt_cannot_be_written_keeps_no_other_waiting(tmp_path: Path) -> None:
    with at_work(tmp_path, sqlite_url(tmp_path), settings=LATE) as there:
        spoilt, other = finished(there), finished(there, email=BEN, id="crm-2")
        nearly(there)
        remove_receipt(there, spoilt)
        remove_receipt(there, other)
        there.service.write(lambda unit: unit.connection.execute(t.evidence.update().values(note="another")))
        assert forgetting.forget(there.service, there.clock.now(), at_once=1) == 0
        first = there.service.settings.ledger.receipts / f"{spoilt.id}.json"
        assert not first.exists()


def test_a_word_that_came_after_the_receipt_is_not_forgotten_without_one(tmp_path: Path, database_url: str) -> None:
    with at_work(tmp_path, database_url, settings=LATE) as there:
        one = finished(there)
        nearly(there)
        now = there.clock.now()
        until = proven(there)
        ids = forgetting.due(there.service, until, now).now
        assert ids == (one.id,)
        there.service.write(lambda unit: show(unit, there.service.controller, one.id, DANA, now))
        assert there.service.write(lambda unit: forgetting._forget(there.service, ids, until, unit)) == 0
        assert request_of(there, one).sealed is not None
        assert forgetting.forget(there.service, now) == 1, "with another receipt it is"
        there.sound()


def test_a_request_that_waits_for_a_processor_without_a_section_is_said_to_wait(tmp_path: Path) -> None:
    with at_work(tmp_path, sqlite_url(tmp_path), settings=LATE) as there:
        one = finished(there)
        nearly(there)
        proven(there)
        assert to_forget(there) == forgetting.ToForget((one.id,), {})
        written(there, t.propagation, one, timer="reread", timer_at=there.clock.now() + timedelta(days=5))
        assert to_forget(there) == forgetting.ToForget((), {}), "it is under way"
        there.restart(("[processors.newsletter]", "[processors.another]"))
        assert to_forget(there) == forgetting.ToForget((), {forgetting._LEFT_BEHIND: (one.id,)})


def test_what_a_connector_remembers_of_a_request_goes_with_it_and_nothing_else(
    tmp_path: Path, database_url: str
) -> None:
    with at_work(tmp_path, database_url, processors=NEWSLETTER) as there:
        one, other = finished(there), finished(there, email=BEN, id="crm-2")
        complained(there, other)
        names = [there.service.controller.reference(which.id, "newsletter", 1) for which in (one, other)]
        keys = [key for name in names for key in (f"located/{name}", f"put/{name}/contact", f"put/{name}x", name)]
        now = there.clock.now()
        rows = [{"processor": "newsletter", "key": key, "sealed": b"x", "at": now} for key in keys]
        rows.append({"processor": "forms", "key": f"located/{names[0]}", "sealed": b"x", "at": now})
        there.service.write(lambda unit: shelf.keep(unit.connection, rows))
        later(there, 35)
        assert request_of(there, one).sealed is None
        left = {(row.processor, row.key) for row in there.rows(t.shelf)}
        gone = {("newsletter", f"located/{names[0]}"), ("newsletter", f"put/{names[0]}/contact")}
        assert {(row["processor"], row["key"]) for row in rows} - left == gone


def test_the_receipt_of_a_forgotten_request_is_not_said_to_be_of_now(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with at_work(tmp_path, sqlite_url(tmp_path)) as there:
        for name, value in there.environ.items():
            monkeypatch.setenv(name, value)
        one = finished(there)
        for days, said in ((1, "shows how things stand now"), (34, "the request is forgotten, so what came later")):
            later(there, days)
            capsys.readouterr()
            argv = ["--config", str(tmp_path / "dpsync.toml"), "receipt", one.id, "-o", str(tmp_path / "taken.json")]
            assert main(argv) == 0
            assert said in capsys.readouterr().err
