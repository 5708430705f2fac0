"""A back-up that nobody tries is none: when one was tried last is known, shown, and missed."""

from datetime import timedelta
from pathlib import Path

import pytest

from dpsync.cli.systemd_unit import UnitFile, backup_units
from dpsync.reports.housekeeping import Drilled, drilled
from dpsync.reports.make import period_of
from dpsync.reports.render import text
from dpsync.running import drills
from dpsync.running.metrics import exposition
from tests.journeys.installation import NEWSLETTER, Installation, installed, sqlite_url
from tests.journeys.test_recovery_commands import Run, run
from tests.journeys.test_service_commands import folder, keys_owner, owned, ran, systemctl

pytestmark = pytest.mark.no_database

__all__ = ["folder", "owned", "run", "systemctl"]

BACKUP = '\n[backup]\ndirectory = "backups"\ndrill_days = 8\n'
DAY = timedelta(days=1)


def told(there: Installation) -> list[str]:
    return [alert.body.partition(".")[0] for alert in there.told() if alert.cause == "drill"]


def test_a_drill_that_is_missing_too_old_or_not_good_is_told_each_day(tmp_path: Path, database_url: str) -> None:
    with installed(tmp_path, database_url, processors=NEWSLETTER + BACKUP) as there:
        there.drive(after=DAY)
        there.drive(after=timedelta(hours=1))
        assert told(there) == ["No back-up was ever tried"]
        drills.remember(there.service, 0, there.clock.now())
        there.drive(after=7 * DAY)
        there.drive(after=timedelta(hours=1))
        assert len(told(there)) == 1
        there.drive(after=2 * DAY)
        there.drive(after=timedelta(hours=1))
        assert told(there)[1:] == ["No back-up was tried since 21 Nov 2026"]
        drills.remember(there.service, 2, there.clock.now())
        assert drills.trouble(there.service, there.clock.now()) == "the back-up that was tried last had 2 problems"


def test_nobody_is_told_where_the_settings_name_no_back_ups(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path)) as there:
        for _ in range(20):
            there.drive(after=DAY)
        assert told(there) == []


def test_it_stands_in_the_report_and_in_the_metrics(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=NEWSLETTER + BACKUP) as there:
        now = there.clock.now()
        assert b"dpsync_drill_timestamp_seconds NaN" in exposition(there.service)[0]
        drills.remember(there.service, 0, now)
        assert there.service.read(drilled) == Drilled(now, 0)
        (line,) = [
            one for one in exposition(there.service)[0].split(b"\n") if one.startswith(b"dpsync_drill_timestamp")
        ]
        assert float(line.split()[1]) == now.timestamp()
        made = period_of(there.service, now.date().replace(day=1), now.date(), now, {})
        assert "a back-up was last tried" in text(made)
        drills.remember(there.service, 1, now)
        assert b"dpsync_drill_timestamp_seconds NaN" in exposition(there.service)[0], "only a good one counts"


def test_the_command_notes_it_and_check_shows_it(run: Run) -> None:
    config = run.folder / "dpsync.toml"
    config.write_text(config.read_text() + BACKUP)
    assert "no back-up was ever tried" in run("check", "--offline")[1]
    run.taken()
    assert run("drill", "backups")[0] == 0
    assert "one was tried 0 days ago: good" in run("check", "--offline")[1]
    (run.folder / "backups" / "dpsync-new").mkdir()
    code, said = run("report")
    assert code == 0
    assert "a back-up was last tried" in said


def test_a_drill_is_not_noted_in_a_database_that_was_put_back(run: Run) -> None:
    run.taken()
    assert run("restore", "backups")[0] == 0
    code, said = run("drill", "backups")
    assert "that it was tried is not noted" in said
    assert code == 0, said


def test_the_timer_takes_a_back_up_and_tries_it_as_the_services_user() -> None:
    unit = UnitFile(
        "dpsync", "/opt/dpsync/bin/dpsync", Path("/etc/dpsync/dpsync.toml"), (Path("/var/lib/dpsync"),), False
    )
    units = backup_units(unit, Path("/srv/back ups"))
    assert set(units) == {"dpsync-backup.service", "dpsync-backup.timer"}
    service = units["dpsync-backup.service"]
    given = "ExecStart=/opt/dpsync/bin/dpsync --config /etc/dpsync/dpsync.toml"
    assert [f'{given} {what} "/srv/back ups"' in service for what in ("backup", "drill")] == [True, True]
    assert 'ReadWritePaths=/var/lib/dpsync "/srv/back ups"' in service
    assert "User=dpsync" in service
    assert "Persistent=true" in units["dpsync-backup.timer"]


def test_the_service_is_installed_with_its_timer_only_where_the_settings_name_back_ups(
    owned: Path, systemctl: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if keys_owner(owned) == "root":
        pytest.skip(reason="needs a user who is not root, or the right to give files to one")
    units, config = tmp_path / "units", owned / "dpsync.toml"
    units.mkdir()
    install = ("service", "install", "--unit-folder", str(units))
    assert ran(owned, *install) == 0
    assert [path.name for path in units.iterdir()] == ["dpsync.service"]
    config.write_text(config.read_text() + BACKUP)
    assert ran(owned, *install, "--now") == 0
    assert "enable --now dpsync.service dpsync-backup.timer" in systemctl.read_text()
    names = ["dpsync-backup.service", "dpsync-backup.timer", "dpsync.service"]
    assert sorted(path.name for path in units.iterdir()) == names
    assert {path.stat().st_mode & 0o777 for path in units.iterdir()} == {0o644}
    assert f" drill {owned / 'backups'}" in (units / "dpsync-backup.service").read_text()
    capsys.readouterr()
    assert ran(owned, "service", "show") == 0
    assert "# --- dpsync-backup.timer" in capsys.readouterr().out
