"""The database's file is damaged, whichever page it is: no start passes over it, and each says what to do."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from dpsync.__main__ import main
from dpsync.errors import Exit
from dpsync.model import Right
from tests.faults.counting import Counted
from tests.journeys.installation import installed, sqlite_url


def damages(whole: bytes, size: int, roots: dict[str, int]) -> Iterator[tuple[str, bytes]]:
    """Each what happened to the file, and what it holds then."""
    for name in ("entry", "request", "propagation", "checkpoint", "meta", "account", "node", "lane", "alert"):
        place = (roots[name] - 1) * size + 3
        yield f"a page of {name}", whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :]
    yield "cut in half", whole[: len(whole) // 2]
    yield "its first page", b"\xff" * size + whole[size:]
    yield "emptied", b""


@pytest.mark.fault(23)
def test_no_start_passes_over_a_damaged_file(
    tmp_path: Path, counted: Counted, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with installed(tmp_path, sqlite_url(tmp_path)) as there:
        there.ask(Right.OPT_OUT, "ada@example.org")
        there.drive()
        there.service.close()
        for name, value in there.environ.items():
            monkeypatch.setenv(name, value)
        file = tmp_path / "dpsync.db"
        with sqlite3.connect(file) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            (size,) = connection.execute("PRAGMA page_size").fetchone()
            roots = dict(connection.execute("SELECT name, rootpage FROM sqlite_master WHERE rootpage > 0").fetchall())
        connection.close()
        silent = []
        for what, content in damages(file.read_bytes(), size, roots):
            for ending in ("-wal", "-shm"):
                Path(f"{file}{ending}").unlink(missing_ok=True)
            file.write_bytes(content)
            capsys.readouterr()
            ended = main(["--config", str(tmp_path / "dpsync.toml"), "run-once"])
            said = "".join(capsys.readouterr())
            if ended not in (Exit.CONFIGURATION, Exit.LOOK) or "DP-2" not in said:
                silent.append((what, ended, said))
        assert silent == []
        counted(23, silent_starts=len(silent))
