"""Whether the record is sound is judged once: whoever asks hears the same."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from dpsync import soundness
from dpsync.__main__ import main
from dpsync.ledger import entry
from dpsync.model import Right
from dpsync.reports import page_one, render
from dpsync.reports.make import month_report
from dpsync.running import metrics
from dpsync.soundness import HASHED_AT_ONCE
from dpsync.store import tables as t
from tests.journeys.installation import Asked, Installation, installed, sqlite_url


def verdicts(there: Installation, asked: Asked, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """What each says that speaks of the record."""
    said = {}
    for name, argv in {
        "verify": ["verify"],
        "check": ["check", "--offline"],
        "report": ["report"],
        "dossier": ["dossier", asked.id],
    }.items():
        main(["--config", str(there.folder / "dpsync.toml"), *argv])
        told = capsys.readouterr()
        said[name] = told.out + told.err
    said["metrics"] = metrics.exposition(there.service)[0].decode()
    return said


def test_every_command_and_the_metrics_give_the_same_verdict(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with installed(tmp_path, database_url) as there:
        for name, value in there.environ.items():
            monkeypatch.setenv(name, value)
        assert "dpsync_record_problems NaN" in metrics.exposition(there.service)[0].decode()
        asked = there.ask(Right.ERASURE, "ada@example.org")
        there.drive()
        sound = verdicts(there, asked, capsys)
        assert "verified, every row agrees with it" in sound["verify"]
        assert "every row agrees with them" in sound["check"]
        assert "COULD NOT BE VERIFIED" not in sound["report"] + sound["dossier"]
        assert "do not rely on this" not in sound["report"]
        assert "dpsync_record_problems 0.0" in sound["metrics"]
        later = t.request.update().values(closed_at=there.clock.now() + timedelta(hours=1))
        there.service.write(lambda unit: unit.connection.execute(later))
        found = verdicts(there, asked, capsys)
        assert all("closed_at" in found[name] for name in ("verify", "check", "report", "dossier"))
        assert all("DP-603" in found[name] for name in ("verify", "check"))
        assert all("THE RECORD COULD NOT BE VERIFIED" in found[name] for name in ("report", "dossier"))
        assert ": do not rely on this, the record could not be verified: " in found["report"]
        assert "dpsync_record_problems 1.0" in found["metrics"]


def lose_the_key(there: Installation) -> None:
    (key,) = (there.folder / "keys" / "months").iterdir()
    key.rename(there.folder / "key.away")


def empty_the_checkpoint(there: Installation) -> None:
    (there.service.settings.ledger.anchor / "checkpoint").write_bytes(b"")


def change_a_row(there: Installation) -> None:
    later = t.request.update().values(closed_at=there.clock.now() + timedelta(hours=1))
    there.service.write(lambda unit: unit.connection.execute(later))


ALTERED, MISSING = "THE RECORD COULD NOT BE VERIFIED", "PART OF THE RECORD COULD NOT BE CHECKED"
STRANGER = "ask somebody to look who does not run this machine"


@pytest.mark.parametrize("trouble", [lose_the_key, empty_the_checkpoint])
def test_what_is_only_missing_is_put_back_and_nobody_hears_of_a_change(
    trouble: Callable[[Installation], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with installed(tmp_path, sqlite_url(tmp_path)) as there:
        for name, value in there.environ.items():
            monkeypatch.setenv(name, value)
        asked = there.ask(Right.OPT_OUT, "ada@example.org")
        there.drive()
        trouble(there)
        found = verdicts(there, asked, capsys)
        assert all(MISSING in found[name] and ALTERED not in found[name] for name in ("report", "dossier"))
        assert STRANGER not in found["report"]
        assert "ask whoever runs this machine to put the right one back" in " ".join(found["report"].split())
        report = month_report(there.service, there.clock.now())
        assert page_one.subject(report).startswith("Do not rely on it yet: part of the record could not be checked")
        soundness.judge_and_tell(there.service, there.clock.now(), full=True)
        (told,) = [one for one in there.told() if one.cause == "ledger"]
        assert told.subject.endswith("Part of the record could not be checked")
        assert "Nothing that could be checked was altered" in told.body
        change_a_row(there)
        found = verdicts(there, asked, capsys)
        assert all(ALTERED in found[name] for name in ("report", "dossier"))
        assert STRANGER in found["report"]


def test_a_report_says_how_much_of_a_long_record_was_checked_earlier(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path)) as there:
        now = there.clock.now()
        filling = entry.encode(entry.EntryKind.ALERT, now, name="filling")
        there.service.write(lambda unit: there.service.log.append(unit.connection, [(None, filling)] * HASHED_AT_ONCE))
        before = month_report(there.service, now).ledger
        there.ask(Right.OPT_OUT, "ada@example.org")
        report = month_report(there.service, now)
        assert (report.ledger.checked_from, report.ledger.sound) == (before.entries, True)
        told = f"The first {before.entries:,} entries were checked against their checkpoint earlier"
        assert told in render.text(report)
        assert told in " ".join(page_one.paragraphs(report))
        assert soundness.verify_ledger(there.service, full=True).checked_from == 0, "each week, and by `dpsync verify`"


def test_a_report_of_a_short_record_checks_all_of_it(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path)) as there:
        there.ask(Right.OPT_OUT, "ada@example.org")
        reports = [month_report(there.service, there.clock.now()) for _ in range(2)]
        assert [one.ledger.checked_from for one in reports] == [0, 0]
        assert "checked against their checkpoint earlier" not in render.text(reports[1])
