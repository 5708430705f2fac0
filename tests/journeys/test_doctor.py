"""`dpsync doctor`: one archive with what support needs, from a broken installation too, and with nobody in it."""

import json
import zipfile
from pathlib import Path

import pytest

from dpsync.__main__ import main
from dpsync.cli.doctor import collected

INIT = ("init", "--name", "Kanary Gardens", "--dpo", "kanary.dpo@example.org", "--operator", "kanary.it@example.org")
CANARIES = ("kanary", "Kanary", "ada@example.org", "Ada Lovelace", "7700 900123")
FILES = ["versions.json", "settings.json", "check.json", "disks.json", "database.json", "alerts.json", "metrics.txt"]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    place = tmp_path / "kanary"
    assert main([*INIT, "--rehearsal", "--processor", "forms=notice", "--mode", "confirm", str(place)]) == 0
    config = place / "dpsync.toml"
    assert main([
        "-q", "--config", str(config), "submit", "erasure", "--email", "ada@example.org", "--id", "kanary-1",
        "--name", "Ada Lovelace", "--phone", "+44 7700 900123",
    ]) == 0  # fmt: skip
    return config


def test_it_holds_what_it_lists_and_no_person_no_secret_and_no_path(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "for-support.zip"
    capsys.readouterr()
    assert main(["--config", str(config), "doctor", "-o", str(place)]) == 0
    said = capsys.readouterr().out
    assert place.stat().st_mode & 0o777 == 0o600
    with zipfile.ZipFile(place) as opened:
        assert opened.namelist() == FILES
        texts = {name: opened.read(name).decode() for name in FILES}
    for name, text in texts.items():
        assert name in said
        assert [word for word in (*CANARIES, str(tmp_path)) if word in text] == [], name
        assert "error" not in (json.loads(text) if name.endswith("json") else {}), text
    assert json.loads(texts["database.json"])["rows"]["request"] == 1
    assert json.loads(texts["settings.json"])["settings"]["processors"]["forms"]["connector"] == "notice"
    assert json.loads(texts["settings.json"])["settings"]["controller"]["name"] == f"[text of {len('Kanary Gardens')}]"
    assert 'dpsync_requests_accepted_total{right="erasure"} 1.0' in texts["metrics.txt"]


def test_of_a_broken_installation_it_tells_what_there_is(config: Path) -> None:
    (config.parent / "var" / "dpsync.db").write_bytes(b"kanary: this is no database" * 200)
    found = collected(config)
    assert list(found) == FILES
    assert "error" in json.loads(found["database.json"])
    assert json.loads(found["disks.json"])["keys"]["mode"] == "0700"
    assert [line["code"] for line in json.loads(found["check.json"])["lines"] if line["verdict"] != "ok"]
    config.write_text("kanary = [", encoding="utf-8")
    found = collected(config)
    assert "error" in json.loads(found["settings.json"])
    assert json.loads(found["versions.json"])["dpsync"]
    assert "kanary" not in "".join(found.values())
