"""Dates by the law of the European Union, and dates that stay as they were stored."""

from datetime import date, timedelta
from pathlib import Path

import pytest

from dpsync.cli.check_calendar import calendar_lines
from dpsync.cli.check_lines import CheckResult
from dpsync.intake.payload import parse
from dpsync.model import Right
from dpsync.store import tables as t
from tests.journeys.installation import FORMS, Installation, installed, receive, sqlite_url

pytestmark = pytest.mark.no_database

EU = ("rehearsal = true", 'rehearsal = true\nregime = "eu"\ncountry = "IE"\ntime_zone = "Europe/Dublin"')
SCOTLAND = ("rehearsal = true", 'rehearsal = true\nholidays = "GB-SCT"')
ADA = "ada@example.org"


def asked_with(there: Installation, right: Right, **more: str) -> str:
    """A request whose body says when its period starts."""
    body = there.body(right, ADA).replace(
        b'"right"', "".join(f'"{k}": "{v}", ' for k, v in more.items()).encode() + b'"right"'
    )
    event_id = f"evt-{right}-{len(more)}"
    return receive(there.service, parse(body, source="crm", event_id=event_id, now=there.clock.now()), body).request_id


def test_a_request_has_the_dates_of_the_regime_of_the_settings(database_url: str, tmp_path: Path) -> None:
    with installed(tmp_path, database_url, processors=FORMS) as there:
        there.restart(EU)
        there.clock.advance(timedelta(days=5))  # 25 November
        there.ask(Right.ERASURE, ADA)
        (row,) = there.rows(t.request)
        assert (row.strict_on, row.due_on, row.letter_by) == ("2026-12-25", "2026-12-28", "2026-12-22")
        assert row.clock_rule.startswith("Regulation 1182/71 month, IE, holidays ")
        there.sound()


@pytest.mark.parametrize("field", ["identity_confirmed_at", "fee_paid_at"])
def test_the_month_starts_when_what_was_asked_for_has_come(field: str, tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=FORMS) as there:
        came = {field: "2026-11-20T08:00:00Z", "received_at": "2026-11-02T08:00:00Z"}
        erasure, opt_out = asked_with(there, Right.ERASURE, **came), asked_with(there, Right.OPT_OUT, **came)
        starts = {row.id: row.starts_on for row in there.rows(t.request)}
        assert starts == {erasure: "2026-11-20", opt_out: "2026-11-02"}
        there.sound()


def test_a_stored_date_stays_and_check_says_of_how_many_it_would_be_another(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=FORMS) as there:
        there.clock.advance(timedelta(days=11))  # 1 December: due Monday 4 January, in Scotland Tuesday 5
        there.ask(Right.ERASURE, ADA)
        there.ask(Right.OPT_OUT, "bob@example.org", id="crm-2")
        (line,) = calendar_lines(there.service, there.clock.now())
        assert (line.verdict, "agree" in line.text) == (CheckResult.OK, True)
        there.restart(SCOTLAND)
        (line,) = calendar_lines(there.service, there.clock.now())
        assert line.verdict is CheckResult.WAITING
        assert "1 open request has another legal date than GB-SCT" in line.text
        assert "0 of them a later one" in line.text
        assert next(row.due_on for row in there.rows(t.request)) == date(2027, 1, 4).isoformat()
        there.ask(Right.ERASURE, "cleo@example.org", id="crm-3")
        there.restart(("GB-SCT", "GB-ENG"))
        (line,) = calendar_lines(there.service, there.clock.now())
        assert "1 open request has" in line.text
        assert "1 of them a later one" in line.text
        there.sound()
