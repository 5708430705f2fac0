"""What is kept outside the database does not bear it out: status says so too, and its code is that of a look."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from dpsync.__main__ import main
from dpsync.model import Right
from dpsync.store import tables as t
from tests.journeys.installation import installed
from tests.journeys.test_custody import rolled_back


def a_file_instead(anchors: Path) -> None:
    shutil.rmtree(anchors)
    anchors.write_text("not a folder", encoding="utf-8")


def no_text_at_all(anchors: Path) -> None:
    (anchors / "checkpoint").write_bytes(b"\xff\xfe")


SPOILT: dict[str, Callable[[Path], None]] = {
    "a file, where a folder should be": a_file_instead,
    "is gone, or is an older copy": lambda anchors: (anchors / "checkpoint").unlink(),
    "is a damaged file": no_text_at_all,
    "the journal of accepted requests": lambda anchors: (anchors / "journal").unlink(),
}


def lost_key(folder: Path) -> None:
    (key,) = (folder / "keys").glob("months/*")
    key.unlink()


def another_key(folder: Path) -> None:
    (key,) = (folder / "keys").glob("months/*")
    key.chmod(0o600)
    key.write_text("ab" * 32, encoding="ascii")


KEYS: dict[str, Callable[[Path], None]] = {"the key of 2026-11 is not there": lost_key, "is another one": another_key}


@pytest.mark.parametrize("said", [*SPOILT, *KEYS, "are not in the database"])
def test_status_says_where_the_proof_cannot_be_checked(
    said: str,
    tmp_path: Path,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with installed(tmp_path, database_url) as there:
        for name, value in there.environ.items():
            monkeypatch.setenv(name, value)
        asked = there.ask(Right.OPT_OUT, "ada@example.org")
        command = ["--config", str(tmp_path / "dpsync.toml"), "status"]
        assert main(command) == 0
        capsys.readouterr()
        if said in SPOILT:
            SPOILT[said](there.service.settings.ledger.anchor)
        elif said in KEYS:
            KEYS[said](tmp_path)
        else:
            rolled_back(there, upto=2)
            said = "the database lacks 1 entri"
        assert main(command) == 2
        assert said in capsys.readouterr().err
        assert main([*command, asked.id, "--json"]) == 2
        assert said in " ".join(json.loads(capsys.readouterr().out)["proof"])


def test_status_says_which_request_cannot_be_opened_until_it_opens_again(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with installed(tmp_path, database_url) as there:
        for name, value in there.environ.items():
            monkeypatch.setenv(name, value)
        command = ["--config", str(tmp_path / "dpsync.toml"), "status"]
        asked = there.ask(Right.OPT_OUT, "ada@example.org")
        other = there.ask(Right.OPT_OUT, "bo@example.org", id="crm-2")
        (whole,) = (row.wrapped_key for row in there.rows(t.request) if row.id == asked.id)
        mine = t.request.update().where(t.request.c.id == asked.id)
        there.service.write(lambda unit: unit.connection.execute(mine.values(wrapped_key=b"damaged")))
        there.drive()
        assert there.is_so(other), "it stops no other"
        capsys.readouterr()
        assert main(command) == 2
        assert f"request {asked.id} cannot be opened" in capsys.readouterr().err
        there.service.write(lambda unit: unit.connection.execute(mine.values(wrapped_key=whole)))
        assert main(command) == 0
        assert "cannot be opened" not in capsys.readouterr().err
