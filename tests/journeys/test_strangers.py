"""Whom a processor holds and no main database lists is counted, and never named."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from dpsync.__main__ import main as dpsync
from dpsync.reports.reconciled import ListState
from tests.journeys.installation import NEWSLETTER, sqlite_url
from tests.journeys.test_sweep import ADA, BEN, CLEO, DEV, Swept, opened

LISTS = """
[sources.crm]
mapping = "outbox"
scheme = "github"
secrets = [{{ env = "DPSYNC_TEST_SECRET" }}]
reconcile = {{ url = {{ file = "main.url" }}, query = "SELECT id, emails, opted_out FROM people" }}
"""
SENDS_ONLY = """
[sources.shop]
mapping = "outbox"
scheme = "github"
secrets = [{{ env = "DPSYNC_TEST_SECRET" }}]
"""


@pytest.fixture
def folder(tmp_path: Path, sqlite_template: Path) -> Path:
    shutil.copy(sqlite_template, tmp_path / "dpsync.db")
    url = tmp_path / "main.url"
    url.touch(0o600)
    url.write_text(f"sqlite:///{tmp_path / 'main.db'}")
    with closing(sqlite3.connect(tmp_path / "main.db")) as main:
        main.execute("CREATE TABLE people (id INTEGER PRIMARY KEY, emails TEXT, opted_out INTEGER)")
        main.executemany("INSERT INTO people VALUES (?, ?, 0)", [(1, f" {ADA.upper()}"), (2, BEN)])
        main.commit()
    return tmp_path


def held(place: Swept) -> Swept:
    place.becomes("subscribed", ADA, BEN, CLEO)
    place.becomes("archived", DEV)
    return place


def test_they_are_counted_and_never_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with opened(folder, sqlite_url(folder), NEWSLETTER + LISTS) as place:
        assert held(place).sweep(dry=True).strangers == 2
        for name, value in place.there.environ.items():
            monkeypatch.setenv(name, value)
        config = ["--config", str(place.there.folder / "dpsync.toml"), "sweep", "newsletter"]
        assert dpsync(config) == 0, "they are no finding"
        assert "in no main database: 2" in capsys.readouterr().out
        assert dpsync([*config, "--json"]) == 0
        seen = capsys.readouterr().out
        assert json.loads(seen)["sweeps"][0]["strangers"] == 2
        assert not any(one in seen for one in (ADA, BEN, CLEO, DEV))
        assert (place.found(), place.asked(), place.there.told()) == ([], [], [])


@pytest.mark.parametrize("sources", ["", LISTS + SENDS_ONLY])
def test_where_not_every_main_database_lists_its_people_nobody_is_counted(folder: Path, sources: str) -> None:
    with opened(folder, sqlite_url(folder), NEWSLETTER + sources) as place:
        found = held(place).sweep()
        assert (found.strangers, found.standing.state) == (None, ListState.COMPARED)


def test_a_main_database_that_does_not_answer_stops_no_sweep(folder: Path) -> None:
    (folder / "main.db").unlink()
    with opened(folder, sqlite_url(folder), NEWSLETTER + LISTS) as place:
        found = held(place).sweep()
        assert (found.strangers, found.standing.state) == (None, ListState.COMPARED)
