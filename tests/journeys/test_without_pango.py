"""Where the system's libraries for PDF are not there, a PDF is refused in one sentence, and all else goes on.

The child's own loader finds nothing that it can load: the names lead to empty files, before those of the system.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.journeys.test_complaints import CONFIG

SENTENCE = (
    "DP-206: a report as PDF needs libraries of the system that are not installed here: run apt install "
    "libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "dpsync.toml").write_text(CONFIG, encoding="utf-8")
    return tmp_path


def ran(folder: Path, *words: str, missing: str) -> subprocess.CompletedProcess[str]:
    hidden = folder / "hidden"
    hidden.mkdir(exist_ok=True)
    (hidden / missing).touch()
    environ = {**os.environ, "LD_LIBRARY_PATH": str(hidden)}
    argv = [sys.executable, "-m", "dpsync", "--config", str(folder / "dpsync.toml"), *words]
    return subprocess.run(argv, cwd=folder, env=environ, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("missing", ["libpango-1.0.so.0", "libpangoft2-1.0.so.0"])
def test_a_pdf_is_refused_in_one_sentence_and_nothing_is_written(missing: str, folder: Path) -> None:
    assert ran(folder, "init", missing=missing).returncode == 0
    for words in (("report", "-o", "x.pdf"), ("report", "--format", "pdf"), ("register", "-o", "x.pdf")):
        ended = ran(folder, *words, missing=missing)
        assert (ended.returncode, ended.stdout) == (78, ""), ended
        assert ended.stderr.count("\n") == 1, "one line: no trace, and nothing of the library's own"
        assert SENTENCE in ended.stderr
    assert not list(folder.glob("*.pdf"))


def test_the_other_formats_need_none_of_it_and_check_says_what_is_missing(folder: Path) -> None:
    missing = "libpango-1.0.so.0"
    ran(folder, "init", missing=missing)
    assert ran(folder, "report", "-o", "x.html", missing=missing).returncode == 0
    checked = ran(folder, "check", "--offline", "--json", missing=missing)
    (line,) = [one for one in json.loads(checked.stdout)["lines"] if one["what"] == "pdf"]
    assert "libpango-1.0-0" in line["text"]
