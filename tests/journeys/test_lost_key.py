"""A month's key that is lost is called that, first and alone: nobody wrote past dpsync."""

import re
from pathlib import Path

import pytest

from dpsync.__main__ import main
from tests.journeys.test_put_back import CONFIG, SUBMIT


@pytest.mark.parametrize("how", ["lost", "empty", "garbled", "another"])
def test_a_lost_months_key_is_dp_202_and_no_row_written_past_dpsync(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.chdir(tmp_path)
    config = tmp_path / "dpsync.toml"
    config.write_text(CONFIG)

    def run(*argv: str) -> tuple[int, str]:
        capsys.readouterr()
        code = main(["--config", str(config), *argv])
        seen = capsys.readouterr()
        return code, seen.out + seen.err

    assert run("init")[0] == run(*SUBMIT)[0] == 0
    (key,) = [one for one in tmp_path.rglob("*.key") if one.parent.name == "months"]
    right = key.read_bytes()
    key.write_text({"empty": "", "garbled": "no key", "another": "ab" * 32}.get(how, ""))
    if how == "lost":
        key.unlink()
    for argv in (("check", "--offline"), ("verify",), ("report",)):
        _, said = run(*argv)
        assert "wrapped_key" not in said, (argv, said)
        assert "DP-603" not in said, (argv, said)
        assert "cannot be compared before it is back" in said, (argv, said)
    code, said = run("verify")
    assert (code, set(re.findall(r"DP-\d+", said))) == (2, {"DP-202"})
    key.write_bytes(right)
    key.chmod(0o600)
    assert run("verify")[0] == 0
