"""Somebody who had left came back by their own wish: nobody is asked about them, and nothing is done."""

import json
import shutil
from collections.abc import Iterator
from datetime import datetime, time
from hashlib import sha256
from pathlib import Path

import pytest

from dpsync.__main__ import main as dpsync
from dpsync.errors import DecisionRefused, NotFound, UsageError
from dpsync.intake.lists.reading import ListRow
from dpsync.intake.lists.screening import Screened, screen
from dpsync.intake.reconciliation.ours import asked_for
from dpsync.intake.welcome import WELCOMED, NewConsent, welcome
from dpsync.model import Right
from dpsync.propagation.decisions import Person
from dpsync.store import tables as t
from tests.journeys.installation import Installation, sqlite_url
from tests.journeys.test_sweep import ADA, BEN, CLEO, DAY, DEV, Swept, opened

DANA = Person("Dana Officer", "dana", "the form on our page")


@pytest.fixture
def place(tmp_path: Path, sqlite_template: Path) -> Iterator[Swept]:
    shutil.copy(sqlite_template, tmp_path / "dpsync.db")
    with opened(tmp_path, sqlite_url(tmp_path)) as made:
        yield made


def today(there: Installation) -> datetime:
    """Its first moment."""
    return datetime.combine(there.clock.now().astimezone(there.service.zone).date(), time(), there.service.zone)


def welcomed(
    place: Swept, address: str, *, days_ago: int = 0, request: str = "", by: Person = DANA, digest: str = ""
) -> int:
    there, consent = place.there, NewConsent(today(place.there) - days_ago * DAY, DANA.reason, digest)
    service = there.service
    return len(
        service.write(lambda unit: welcome(unit, service.controller, address, consent, by, request, there.clock.now()))
    )


def kept(place: Swept, *addresses: str) -> int:
    rows = [ListRow(line, {"email": one}, ()) for line, one in enumerate(addresses)]
    found = Screened()
    keys = place.there.service.keys
    return len(place.there.service.read(lambda connection: [*screen(connection, keys, rows, found)]))


def back(place: Swept) -> None:
    """Three who had asked for something are there again after three days."""
    for right, address in ((Right.ERASURE, ADA), (Right.OPT_OUT, BEN), (Right.RESTRICTION, CLEO)):
        place.done(right, address)
    place.there.clock.advance(3 * DAY)
    place.becomes("subscribed", ADA, BEN, CLEO)


def test_whoever_is_welcome_is_found_no_more_and_whoever_is_not_still_is(place: Swept) -> None:
    back(place)
    assert place.sweep().new == {"returned": 1, "contactable": 2}
    assert kept(place, ADA, BEN, CLEO) == 0
    calls = place.there.sandbox.calls()
    assert welcomed(place, BEN) == 1
    assert place.there.sandbox.calls() == calls, "nothing is done anywhere"
    assert place.sweep().closed == 1
    assert place.found() == [("contactable", "restriction"), ("returned", "erasure")]
    assert welcomed(place, ADA) == 1
    assert place.sweep().closed == 1
    assert place.found() == [("contactable", "restriction")]
    assert kept(place, ADA, BEN, CLEO) == 2, "a restriction is not over by it"
    with pytest.raises(NotFound):
        welcomed(place, CLEO)
    place.there.sound()


def test_what_they_ask_for_afterwards_counts(place: Swept) -> None:
    place.done(Right.OPT_OUT, BEN)
    place.there.clock.advance(3 * DAY)
    place.becomes("subscribed", BEN)
    welcomed(place, BEN)
    place.there.clock.advance(2 * DAY)
    place.becomes("unsubscribed", BEN)
    assert place.sweep().new["missed"] == 1, "they left again, by their own wish"
    place.there.drive()
    place.there.clock.advance(DAY)
    place.becomes("subscribed", BEN)
    assert place.sweep().new == {"contactable": 1}, "a record that is subscribed again is no consent"
    assert kept(place, BEN) == 0
    with pytest.raises(DecisionRefused, match="was asked later, or on that day"):
        welcomed(place, BEN, days_ago=2)
    assert welcomed(place, BEN) == 2
    assert kept(place, BEN) == 1


def test_the_main_database_may_say_so_too(place: Swept) -> None:
    back(place)

    def asked() -> int:
        persons = [row.person for row in place.there.rows(t.alias)]
        keys = place.there.service.keys
        found = place.there.service.read(lambda connection: asked_for(connection, keys, persons))
        return sum(one.opt_out is not None for one in found.values())

    assert asked() == 1
    welcomed(place, BEN)
    assert asked() == 0


def test_the_entry_says_since_when_and_of_nobody(place: Swept) -> None:
    back(place)
    document = sha256(b"the form").hexdigest()
    welcomed(place, BEN, digest=document)
    (said,) = [
        one for one in (json.loads(row.body) for row in place.there.rows(t.entry)) if one.get("kind") == "welcomed"
    ]
    assert (said["event"], said["n"], said["told_on"]) == ("decided", 1, today(place.there).date().isoformat())
    assert (said["digest"], len(said["ref"]), len(said["by"]), len(said["why"])) == (document, 32, 64, 64)
    rows = [one for one in place.there.rows(t.shelf) if one.processor == WELCOMED]
    assert len(rows) == 1
    assert BEN not in str([*rows, *place.there.rows(t.entry)])
    place.there.sound()


def test_it_is_refused_where_it_may_be_wrong(place: Swept) -> None:
    place.done(Right.OPT_OUT, BEN)
    with pytest.raises(NotFound):
        welcomed(place, DEV)
    with pytest.raises(DecisionRefused, match="on that day"):
        welcomed(place, BEN)
    place.there.clock.advance(DAY)
    for days_ago, by in ((-1, DANA), (0, Person("", "dana", "x"))):
        with pytest.raises(UsageError):
            welcomed(place, BEN, days_ago=days_ago, by=by)
    place.there.ask(Right.ERASURE, BEN, id="crm:ben")
    place.there.clock.advance(DAY)
    with pytest.raises(DecisionRefused, match="is not over yet"):
        welcomed(place, BEN)
    assert [one for one in place.there.rows(t.shelf) if one.processor == WELCOMED] == []


def test_of_several_with_one_address_a_request_says_who_is_meant(place: Swept) -> None:
    for number in (1, 2):
        place.there.ask(Right.OPT_OUT, BEN, id=f"crm:{number}")
    place.there.drive()
    place.there.clock.advance(2 * DAY)
    with pytest.raises(DecisionRefused, match="several people"):
        welcomed(place, BEN)
    first, _ = place.there.rows(t.request)
    with pytest.raises(NotFound):
        welcomed(place, DEV, request=first.id)
    assert welcomed(place, BEN, request=first.id) == 1
    assert kept(place, BEN) == 0, "the other one still wants none"


def test_a_row_that_somebody_wrote_by_hand_welcomes_nobody(place: Swept) -> None:
    back(place)
    welcomed(place, BEN)
    ben = next(one for one in place.there.rows(t.shelf) if one.processor == WELCOMED)
    ada = next(row.person for row in place.there.rows(t.request) if row.right == "erasure")
    forged = t.shelf.insert().values(processor=WELCOMED, key=ada, sealed=ben.sealed, at=ben.at)
    place.there.service.write(lambda unit: unit.connection.execute(forged) and None)
    assert ("returned", "erasure") in (place.sweep(), place.found())[1]


def test_the_command_writes_it_down_and_says_that_nobody_is_subscribed(
    place: Swept, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    back(place)
    for name, value in place.there.environ.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "form.pdf").write_bytes(b"the form")
    base = ["--config", str(place.there.folder / "dpsync.toml"), "welcome", "--by", "Dana Officer"]
    on = ["--on", today(place.there).date().isoformat()]
    form = ["--consent", "the form", "--document", str(tmp_path / "form.pdf")]
    assert dpsync([*base, "--email", BEN, *on, "--consent", " "]) == 64
    assert dpsync([*base, "--email", "ben", *on, *form]) == 64
    assert dpsync([*base, "--email", DEV, *on, *form]) != 0
    capsys.readouterr()
    assert dpsync([*base, "--email", BEN, *on, *form]) == 0
    seen = capsys.readouterr()
    assert "dpsync subscribes nobody" in seen.err
    assert BEN not in seen.out + seen.err
    later = ["--on", "2999-11-20"]
    assert dpsync([*base, "--email", BEN, *later, *form]) == 64


def test_a_moment_may_be_on_the_day_on_which_they_had_left(place: Swept) -> None:
    place.done(Right.OPT_OUT, BEN)
    asked_at = place.there.clock.now()
    place.there.clock.advance(DAY / 24)
    service = place.there.service

    def at(moment: datetime) -> int:
        said = NewConsent(moment, DANA.reason)
        now = place.there.clock.now()
        return len(service.write(lambda unit: welcome(unit, service.controller, BEN, said, DANA, "", now)))

    with pytest.raises(DecisionRefused):
        at(asked_at)
    assert at(place.there.clock.now()) == 1
    assert kept(place, BEN) == 1
