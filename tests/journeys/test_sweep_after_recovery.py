"""A database that was put back forgot who must be gone: each processor that lists whom it holds is read at once."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from dpsync.backup import take
from dpsync.cli.check_lines import CheckLine, CheckResult
from dpsync.cli.check_sources import roster_lines
from dpsync.intake.sweeping.nightly import Nightly
from dpsync.model import Right
from dpsync.own_store import demand_rows, meta
from dpsync.propagation.resuming import resume
from dpsync.reports.reconciled import SWEPT, standings
from tests.faults.counting import Counted
from tests.journeys.installation import NEWSLETTER, Installation, installed, sqlite_url
from tests.journeys.test_recovery import back_again, the_disk_is_lost
from tests.journeys.test_sweep import Swept

HOUR = timedelta(hours=1)
ADA = "ada@example.org"
LIST = {"method": "GET", "template": "/lists/{list_id}/members"}


@pytest.fixture(params=["at night", "never"])
def there(request: pytest.FixtureRequest, tmp_path: Path, sqlite_template: Path) -> Iterator[Installation]:
    """Recovered from a back-up. Its one processor was swept just before, or never is."""
    settings = NEWSLETTER + ("sweep = {{ share = 100 }}\n" if request.param == "at night" else "")
    shutil.copy(sqlite_template, tmp_path / "dpsync.db")
    with installed(tmp_path, sqlite_url(tmp_path), processors=settings, web=True) as made:
        for address in (ADA, "eve@example.org"):
            made.sandbox.add(address)
        made.ask(Right.ERASURE, ADA, id="crm-1")
        made.drive()
        Nightly(made.service).go_on(made.clock.now())
        assert [one.verdict for one in lines(made)] != [CheckResult.PROBLEM]
        (tmp_path / "backups").mkdir()
        take(made.service, tmp_path / "backups")
        made.ask(Right.OPT_OUT, "ben@example.org", id="crm-2")
        with ExitStack() as elsewhere:
            the_disk_is_lost(made, elsewhere)
            made.clock.advance(timedelta(minutes=1))
            back_again(made, tmp_path / "backups")
            yield made


def lines(there: Installation) -> list[CheckLine]:
    return list(roster_lines(there.service))


def swept(there: Installation) -> datetime | None:
    found = there.service.read(partial(standings, kept=SWEPT)).get("newsletter")
    return found.good_at if found else None


def go_on(there: Installation) -> None:
    there.service.write(lambda unit: resume(unit.connection, ["newsletter"]))


def test_a_list_is_read_as_soon_as_the_account_goes_on_and_until_then_check_says_so(there: Installation) -> None:
    job = Nightly(there.service)
    before = swept(there)
    job.go_on(there.clock.now())
    assert swept(there) == before, "the account is stopped: nothing is read"
    (line,) = lines(there)
    assert (line.verdict, line.code, "since the database was recovered" in line.text) == (
        CheckResult.PROBLEM,
        "DP-326",
        True,
    )
    demand_rows(there.service.read(meta), [])
    go_on(there)
    job.go_on(there.clock.now())
    assert swept(there) == there.clock.now()
    assert "recovered" not in lines(there)[0].text
    calls = there.sandbox.calls()
    there.clock.advance(timedelta(minutes=5))
    job.go_on(there.clock.now())
    assert there.sandbox.calls() == calls, "once"


def test_a_list_that_could_not_be_read_stays_owed_and_is_tried_each_hour(there: Installation) -> None:
    go_on(there)
    job, before = Nightly(there.service), swept(there)
    there.sandbox.fault("status", status=500, times=1, **LIST)
    job.go_on(there.clock.now())
    assert swept(there) == before
    assert "recovered" in lines(there)[0].text
    there.clock.advance(HOUR - timedelta(minutes=1))
    job.go_on(there.clock.now())
    assert swept(there) == before
    there.clock.advance(timedelta(minutes=1))
    job.go_on(there.clock.now())
    assert swept(there) == there.clock.now()
    assert "recovered" not in lines(there)[0].text


@pytest.mark.fault(39)
def test_whoever_was_erased_and_is_back_since_is_named(there: Installation, counted: Counted) -> None:
    place = Swept(there)
    there.clock.advance(2 * HOUR)
    place.becomes("subscribed", ADA)
    go_on(there)
    Nightly(there.service).go_on(there.clock.now())
    assert place.found() == [("returned", "erasure")]
    counted(39, neither_replayed_nor_named=int(place.found() == []))
    (alert,) = [one for one in there.told() if one.cause == "back-at-processor"]
    assert (alert.role, ADA in alert.text) == ("dpo", False)
