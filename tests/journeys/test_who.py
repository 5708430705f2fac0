"""Whoever must approve a request sees whom it is about, as long as that exists; that it was shown is on the record."""

import getpass
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import update

from dpsync.__main__ import main
from dpsync.ledger import entry
from dpsync.model import Right
from dpsync.store import tables as t
from tests.journeys.installation import FORMS, KEY, NEWSLETTER, SECRET, Installation, installed

ADA, OLD = "ada.canary@example.org", "ada.old@example.org"
CAREFUL = '\n[safety]\nmode = "confirm"\ncooling_off = "24h"\n'


class Desk:
    """An installation that asks before it erases, and its command line."""

    def __init__(self, there: Installation, capsys: pytest.CaptureFixture[str]) -> None:
        self.there = there
        self.capsys = capsys

    def run(self, *words: str) -> tuple[int, str, str]:
        self.capsys.readouterr()
        code = main(["--config", str(self.there.folder / "dpsync.toml"), *words])
        seen = self.capsys.readouterr()
        return code, seen.out, seen.err

    def shown(self) -> list[str]:
        said = [entry.decode(row.body) for row in self.there.rows(t.entry)]
        return [str(one["req"]) for one in said if one["event"] == "shown"]


@pytest.fixture
def desk(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Desk]:
    for name, value in {
        "DPSYNC_TEST_DATABASE": database_url, "DPSYNC_TEST_SECRET": SECRET, "DPSYNC_TEST_KEY": KEY,
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    with installed(tmp_path, database_url, processors=NEWSLETTER + FORMS + CAREFUL) as there:
        yield Desk(there, capsys)


@pytest.mark.no_database
def test_who_is_shown_on_request_only_and_each_time_it_is_an_entry(desk: Desk) -> None:
    asked = desk.there.ask(Right.ERASURE, ADA, other_emails=[OLD], name="Ada Canary")
    for words in (("status", asked.id), ("status", asked.id, "--json"), ("dossier", asked.id), ("report",)):
        assert "anary" not in desk.run(*words)[1]
    assert desk.shown() == []
    code, out, _ = desk.run("status", asked.id, "--who", "--by", "Dana Officer")
    assert code == 0
    assert all(value in out for value in ("crm-1", "Ada Canary", ADA, OLD))
    who = json.loads(desk.run("status", asked.id[:8], "--who", "--json")[1])["who"]
    assert (who["id"], who["name"], who["email"], who["other_emails"]) == ("crm-1", "Ada Canary", ADA, [OLD])
    for form in ("text", "html", "csv", "json"):
        _, out, _ = desk.run("dossier", asked.id, "--who", "--format", form)
        assert ADA in out, form
    assert desk.shown() == [asked.id] * 6
    _, out, _ = desk.run("dossier", asked.id)
    assert "Dana Officer was shown the name and addresses" in out
    assert getpass.getuser() in out
    assert "anary" not in out.replace("Ada Canary", "")
    assert ADA not in desk.run("report")[1]
    desk.there.sound()


@pytest.mark.no_database
def test_a_rectification_shows_what_it_changes(desk: Desk) -> None:
    asked = desk.there.ask(
        Right.RECTIFICATION, ADA, changes={"email": "ada.new@example.org", "first_name": "", "fields": {"CITY": "Kent"}}
    )
    _, out, _ = desk.run("status", asked.id, "--who")
    for value in ("changes email", "ada.new@example.org", "changes first_name", "(cleared)", "changes CITY", "Kent"):
        assert value in out


def test_what_was_destroyed_is_said_and_is_no_entry(desk: Desk) -> None:
    asked = desk.there.ask(Right.ERASURE, ADA)
    desk.there.service.write(
        lambda unit: unit.connection.execute(update(t.request).values(sealed=None, wrapped_key=None))
    )
    code, out, err = desk.run("status", asked.id, "--who")
    assert (code != 0, out) == (True, "")
    assert "destroyed" in err
    assert desk.shown() == []
    assert desk.run("status", "--who")[0] == 64


def test_a_release_says_until_when_the_cooling_off_still_holds_it(desk: Desk) -> None:
    asked = desk.there.ask(Right.ERASURE, ADA)
    until = desk.there.row(asked).timer_at
    _, _, err = desk.run("release", asked.id, "newsletter", "--by", "Dana", "--reason", "seen")
    assert f"nothing until {until.astimezone(desk.there.service.zone):%-d %b, %H:%M}, cooling-off: " in err
    assert "tries again for days" not in err
    _, _, err = desk.run("release", asked.id, "newsletter", "--cause", "cooling_off", "--by", "Dana", "--reason", "now")
    assert "Held until" in err, "the other processor still cools off"
