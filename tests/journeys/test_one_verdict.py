"""Whether the record is sound is judged once: whoever asks hears the same."""

from datetime import timedelta
from pathlib import Path

import pytest

from dpsync.__main__ import main
from dpsync.model import Right
from dpsync.running import metrics
from dpsync.store import tables as t
from tests.journeys.installation import Asked, Installation, installed


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
        assert "dpsync_record_problems 0.0" in sound["metrics"]
        later = t.request.update().values(closed_at=there.clock.now() + timedelta(hours=1))
        there.service.write(lambda unit: unit.connection.execute(later))
        found = verdicts(there, asked, capsys)
        assert all("closed_at" in found[name] for name in ("verify", "check", "report", "dossier"))
        assert all("DP-603" in found[name] for name in ("verify", "check"))
        assert all("THE RECORD COULD NOT BE VERIFIED" in found[name] for name in ("report", "dossier"))
        assert "dpsync_record_problems 1.0" in found["metrics"]
