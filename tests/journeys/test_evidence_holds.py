"""Evidence that a named person has held is not forgotten until that day, and whoever looks sees it."""

import json
from datetime import date, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from dpsync.__main__ import main
from dpsync.cases import holds
from dpsync.cli.check_proof import evidence_held
from dpsync.errors import DecisionRefused, NotFound, UsageError
from dpsync.ledger.entry import decode
from dpsync.propagation.decisions import Person
from dpsync.reports.dossier import dossier
from dpsync.reports.make import basis_of, month_report
from dpsync.reports.text import dossier_text
from dpsync.running import ended_periods
from dpsync.store import tables as t
from tests.journeys.installation import Asked, Installation, sqlite_url
from tests.journeys.test_ended_periods import YEARS, receipt
from tests.journeys.test_forgetting import BEN, at_work, finished, later, request_of, to_forget

DANA = Person("Dana Officer", "dana", "the claim of 3 November")
REASON = "its evidence is held (`dpsync hold-evidence`)"


def today(there: Installation) -> date:
    return there.clock.now().astimezone(there.service.zone).date()


def is_held(there: Installation, one: Asked) -> bool:
    found = to_forget(there)
    assert one.id in (*found.now, *(each for some in found.kept.values() for each in some)), "it is finished"
    return found.kept == {REASON: (one.id,)}


def hold(there: Installation, one: Asked, until: date, person: Person = DANA) -> bool:
    now = there.clock.now()
    return there.service.write(lambda unit: holds.hold(unit, there.service.controller, one.id, until, person, now))


def end(there: Installation, one: Asked) -> None:
    now = there.clock.now()
    there.service.write(lambda unit: holds.end(unit, there.service.controller, one.id, DANA, now))


def decided(there: Installation) -> list[tuple[str, str]]:
    said = [decode(row.body) for row in there.rows(t.entry)]
    return [(str(one["kind"]), str(one.get("due"))) for one in said if one["event"] == "decided" and "by" in one]


def test_held_evidence_is_kept_until_its_day_is_over_or_somebody_ends_it(tmp_path: Path) -> None:
    with at_work(tmp_path, sqlite_url(tmp_path)) as there:
        one, other = finished(there), finished(there, email=BEN, id="crm-2")
        last = today(there) + timedelta(days=34)
        assert hold(there, one, last)
        assert not hold(there, one, last), "given twice it is harmless"
        assert decided(there) == [("hold_evidence", last.isoformat())]
        later(there, 32)
        assert request_of(there, one).sealed is not None
        assert request_of(there, other).sealed is None
        assert is_held(there, one)
        there.clock.advance(last - today(there))
        assert is_held(there, one), "its last day is not over"
        there.clock.advance(timedelta(days=1))
        assert not is_held(there, one)
        assert hold(there, one, today(there)), "today is a day on which it is held"
        assert hold(there, one, date(2099, 12, 31))
        assert is_held(there, one)
        end(there, one)
        assert not is_held(there, one)
        there.sound()
        hold(there, one, today(there))
        written_over = update(t.decision).where(t.decision.c.kind == holds.HOLD).values(detail="whenever")
        there.service.write(lambda unit: unit.connection.execute(written_over))
        there.clock.advance(timedelta(days=9))
        assert is_held(there, one), "until somebody looks what the day was"


def test_who_looks_sees_what_is_held_and_what_cannot_be_decided_is_refused(tmp_path: Path) -> None:
    with at_work(tmp_path, sqlite_url(tmp_path)) as there:
        one = finished(there)
        hold(there, one, last := today(there) + timedelta(days=31))
        report = month_report(there.service, there.clock.now())
        assert (
            f"The evidence about 1 request is held by a decision, of the first until {last:%-d %B %Y}."
            in report.cases.said
        )
        (duty,) = [each for each in report.duties if "hold-evidence" in each.command]
        assert (duty.by, duty.overdue, duty.requests) == (last, False, (one.id,))
        basis = basis_of(there.service, there.clock.now())
        found = there.service.read(lambda connection: dossier(connection, basis, one.id, entries=()))
        assert f"Its evidence is held until {last:%-d %B %Y}, by a decision." in dossier_text(found)
        assert "had its evidence held" in dossier_text(found)
        hold(there, one, last + timedelta(days=1))
        report = month_report(there.service, there.clock.now())
        assert not [each for each in report.duties if "hold-evidence" in each.command], "there is time"
        end(there, one)
        with pytest.raises(DecisionRefused, match="nobody has its evidence held"):
            end(there, one)
        with pytest.raises(DecisionRefused, match="is over: give the last day"):
            hold(there, one, today(there) - timedelta(days=1))
        with pytest.raises(UsageError, match="--reason"):
            hold(there, one, today(there), Person("Dana", "dana", " "))
        with pytest.raises(NotFound):
            hold(there, Asked("r-none", one.right, ()), today(there))
        assert [kind for kind, _ in decided(there)] == ["hold_evidence", "hold_evidence", "end_hold"]


def test_receipt_and_pseudonyms_of_what_is_forgotten_already_are_held_and_deleted_receipts_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with at_work(tmp_path, sqlite_url(tmp_path), settings=YEARS) as there:
        for name, value in there.environ.items():
            monkeypatch.setenv(name, value)
        one, other = finished(there), finished(there, email=BEN, id="crm-2")
        later(there, 40)
        config = ["--config", str(tmp_path / "dpsync.toml")]
        by = ["--by", "Dana Officer", "--reason", "the claim of 3 November"]
        held = [*config, "hold-evidence", one.id[:8]]
        assert main([*held, *by]) == main([*held, "--end", "--until", "2099-12-31", *by]) == 64
        capsys.readouterr()
        assert main([*held, "--until", "2099-12-31", *by]) == 0
        said = capsys.readouterr()
        assert said.out == f"{one.id}  the evidence is held until Thu 31 Dec 2099\n"
        assert "was forgotten" in said.err
        (line,) = evidence_held(there.service, there.clock.now())
        assert line.text.startswith(f"of 1 request it is held, of {one.id[:8]} until Thu 31 Dec 2099")
        there.clock.advance(timedelta(days=340))
        later(there, 21)
        assert [receipt(there, each).exists() for each in (one, other)] == [True, False]
        (deleted,) = [one for one in there.service.read(ended_periods.destroyed) if one.kind == "receipt"]
        assert deleted.name == f"{other.id}.json"
        assert main([*config, "forgotten"]) == 0
        shown = capsys.readouterr()
        shown_rows = [line.split() for line in (shown.out + shown.err).splitlines()]
        assert [
            one.id[:8],
            "Thu",
            "31",
            "Dec",
            "2099",
            "Dana",
            "Officer",
            "the",
            "claim",
            "of",
            "3",
            "November",
        ] in shown_rows
        assert f"{other.id}.json" in shown.out
        assert main([*config, "forgotten", "--json"]) == 0
        listed = json.loads(capsys.readouterr().out)
        assert [each["file"] for each in listed["receipts"]] == [f"{other.id}.json"]
        (kept,) = listed["held"]
        assert (kept["request"], kept["until"], kept["by"]) == (one.id, "2099-12-31", "Dana Officer")
        assert main([*held, "--end", *by, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["until"] is None
        assert main([*held, "--end", *by]) == 64
