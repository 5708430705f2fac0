"""`dpsync keys`: shown, checked and changed by command; killed in the middle of a change; and with a wrong key."""

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from dpsync.__main__ import main
from dpsync.installation import Installation
from dpsync.ledger.entry import decode
from dpsync.propagation.receipts import Opening
from dpsync.running import key_changes
from dpsync.soundness import opening
from dpsync.store import tables as t
from tests.crashes.test_killed import program
from tests.journeys.test_put_back import CONFIG, SUBMIT

BEN = "ben@example.org"
WHY = ("--by", "Dana Officer", "--reason", "the old one was seen by a stranger", "--yes")
Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dpsync.toml").write_text(CONFIG)

    def command(*argv: str) -> tuple[int, str]:
        capsys.readouterr()
        code = main(["--config", str(tmp_path / "dpsync.toml"), *argv])
        seen = capsys.readouterr()
        return code, seen.out + seen.err

    assert command("init")[0] == command(*SUBMIT)[0] == 0
    return command


def test_the_commands_show_change_and_check_the_keys(tmp_path: Path, run: Run) -> None:
    before = json.loads(run("keys", "show", "--json")[1])
    assert [one["key"] for one in before["keys"]][:2] == ["signing.key", "pepper-1.key"]
    assert before["keys"][2]["state"] == "opens 1 request"
    card = tmp_path / "keys" / "card.txt"
    card.unlink()
    code, said = run("keys", "rotate", "signing", *WHY)
    assert code == 0, said
    after = json.loads(run("keys", "show", "--json")[1])
    assert after["verifiers"] == [said.splitlines()[0], *before["verifiers"]]
    assert "signs beside it until" in json.dumps(after)
    assert (tmp_path / "keys" / "signing.key").read_text().strip()[:4] in card.read_text()
    assert f"print {card}" in said
    assert run("keys", "rotate", "pepper", *WHY)[0] == 0
    assert "pepper-2.key" in card.read_text()
    assert run("keys", "check")[0] == run("verify")[0] == run("check", "--offline")[0] - 2 == 0
    code, said = run("keys", "rotate", "signing", *WHY)
    assert code == 64
    assert "change it again after that" in said


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (("signing", "--by", "", "--reason", "x", "--yes"), "give your name"),
        (("signing", "--by", "Dana", "--reason", " ", "--yes"), "a reason"),
        (("signing", "--by", "Dana", "--reason", "x"), "say --yes"),
    ],
)
def test_without_a_name_a_reason_and_a_yes_nothing_is_changed(
    argv: tuple[str, ...], told: str, tmp_path: Path, run: Run
) -> None:
    before = {path: path.read_bytes() for path in (tmp_path / "keys").iterdir() if path.is_file()}
    code, said = run("keys", "rotate", *argv)
    assert (code, told in said) == (64, True), said
    assert {path: path.read_bytes() for path in (tmp_path / "keys").iterdir() if path.is_file()} == before


@pytest.mark.parametrize("name", ["signing.key", "pepper-1.key", "months/2026-11.key"])
@pytest.mark.parametrize("how", ["lost", "short", "another", "open"])
def test_a_wrong_key_is_named_and_none_is_made_beside_it(name: str, how: str, tmp_path: Path, run: Run) -> None:
    path = next((tmp_path / "keys").glob(name.replace("2026-11", "*")))
    match how:
        case "lost":
            path.unlink()
        case "open":
            path.chmod(0o640)
        case _:
            path.write_text("ab" * (31 if how == "short" else 32) + "\n")
    files = {one: one.read_bytes() for one in (tmp_path / "keys").rglob("*") if one.is_file()}
    for argv in (("keys", "check"), ("keys", "rotate", "signing", *WHY), ("keys", "rotate", "pepper", *WHY)):
        code, said = run(*argv)
        assert code in {2, 78}, said
        assert path.stem in said
        assert "DP-202" in said or argv == ("keys", "check")
    assert {one: one.read_bytes() for one in (tmp_path / "keys").rglob("*") if one.is_file()} == files


@pytest.mark.parametrize(
    ("which", "moment"),
    [("signing", one) for one in ("made", "kept", "replaced", "recorded")]
    + [("pepper", "added"), ("pepper", "recorded")],
)
def test_killed_after_any_step_the_same_command_goes_on_and_nothing_is_lost(
    which: str, moment: str, tmp_path: Path, run: Run
) -> None:
    old = (tmp_path / "keys" / "signing.key").read_bytes()
    assert program("rotating", str(tmp_path), which, moment) == -signal.SIGKILL
    assert run("keys", "check")[0] == run("verify")[0] == 0
    assert run("submit", "opt_out", "--email", BEN, "--id", "crm-2")[0] == 0
    code, said = run("keys", "rotate", which, *WHY)
    again = which == "pepper" and moment == "recorded"
    assert code == (64 if (which, moment) == ("signing", "recorded") else 0), said
    names = sorted(path.name for path in (tmp_path / "keys").iterdir())
    if which == "signing":
        (kept,) = (tmp_path / "keys").glob("signing-until-*.key")
        assert kept.read_bytes() == old
        assert "signing.next" not in names
        assert (tmp_path / "keys" / "signing.key").read_bytes() != old
    else:
        assert ("pepper-3.key" in names) is again, "what was cut off is finished, and not begun anew"
    with Installation(tmp_path / "dpsync.toml", {}) as there:
        told = there.read(lambda connection: [decode(row.body) for row in connection.execute(t.entry.select())])
        assert [entry["event"] for entry in told].count("key") == 2 + again
        assert opening(there) == Opening((), ())
    assert run("keys", "check")[0] == run("verify")[0] == 0


@pytest.mark.parametrize(("which", "moment", "made"), [("signing", "replaced", 0), ("pepper", "added", 1)])
def test_a_change_that_a_start_has_finished_is_not_begun_anew_by_whoever_gives_the_command_again(
    which: str, moment: str, made: int, tmp_path: Path, run: Run
) -> None:
    assert program("rotating", str(tmp_path), which, moment) == -signal.SIGKILL
    with Installation(tmp_path / "dpsync.toml", {}) as there:
        key_changes.finish(there, there.clock.now())
    files = sorted(path.name for path in (tmp_path / "keys").iterdir())
    code, said = run("keys", "rotate", which, *WHY)
    assert (code, "a start has finished it. No other key is made" in said) == (0, True), said
    assert sorted(path.name for path in (tmp_path / "keys").iterdir()) == files
    with Installation(tmp_path / "dpsync.toml", {}) as there:
        told = there.read(lambda connection: [decode(row.body) for row in connection.execute(t.entry.select())])
    *_, cut_off, decided = [entry for entry in told if entry["event"] == "key"]
    assert (decided["name"], decided["digest"]) == (cut_off["name"], cut_off["digest"])
    assert ("by" in cut_off, "by" in decided) == (False, True)
    assert run("verify")[0] == 0
    run("keys", "rotate", which, *WHY)
    assert len(list((tmp_path / "keys").glob("pepper-*.key"))) == 1 + 2 * made, "once decided, another one may follow"
