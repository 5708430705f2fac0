"""`dpsync config upgrade`: no key was renamed yet, so a planted one shows that it would be done, and how."""

import tomllib
from pathlib import Path

import pytest

from dpsync.__main__ import main
from dpsync.errors import ConfigurationError, Exit
from dpsync.settings import upgrading

CONFIG = """\
# ours
[controller]
name = "Example Gardens"
dpo = "dpo@example.org"   # asked in March
operator = "it@example.org"
rehearsal = true

[ledger]
origin = "example.org/dpsync"

[processors.forms]
connector = "notice"
contact = "privacy@stratosoft.example"

[processors.agency]
connector = "notice"
contact = "privacy@agency.example"
"""
PLANTED = {"controller.officer": "dpo", "processors.*.mail_to": "contact"}
OLD = CONFIG.replace("\ndpo =", "\nofficer =").replace('contact = "privacy@s', 'mail_to = "privacy@s')


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "dpsync.toml"
    path.write_text(CONFIG, encoding="utf-8")
    path.chmod(0o640)
    return path


def ran(config: Path, *more: str) -> int:
    return main(["--config", str(config), "config", "upgrade", *more])


def test_nothing_was_renamed_yet_and_that_is_said(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ran(config) == ran(config, "--check") == Exit.DONE
    assert "Nothing to change: dpsync" in capsys.readouterr().out
    assert [path.name for path in config.parent.iterdir()] == ["dpsync.toml"]
    assert dict(upgrading.RENAMED) == {}, "an entry needs a line in CHANGELOG.md, and this test goes"


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (
            "rehearsal = true",
            "rehersal = true",
            "controller.rehersal is not a setting; did you mean rehearsal? (line 6)",
        ),
        ('contact = "privacy@a', 'contakt = "privacy@a', "did you mean contact?"),
        ("[ledger]", "[leger]\n[ledger]", "leger is not a setting; did you mean ledger?"),
    ],
)
def test_a_key_that_no_version_knows_is_named_with_the_nearest_and_not_touched(
    before: str, after: str, said: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text(CONFIG.replace(before, after), encoding="utf-8")
    assert ran(config) == Exit.CONFIGURATION
    shown = capsys.readouterr()
    assert said in shown.out
    assert "Nothing to change" not in shown.out
    assert config.read_text(encoding="utf-8") == CONFIG.replace(before, after)


def test_a_renamed_key_gets_its_new_name_and_all_else_stays(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upgrading.upgrade, "__defaults__", (PLANTED,))
    config.write_text(OLD, encoding="utf-8")
    assert ran(config, "--check") == Exit.LOOK
    assert config.read_text(encoding="utf-8") == OLD
    assert ran(config) == Exit.DONE
    shown = capsys.readouterr().out
    assert "controller.officer is called dpo now (line 4)" in shown
    assert "processors.forms.mail_to is called contact now" in shown
    assert config.read_text(encoding="utf-8") == CONFIG
    (copy,) = config.parent.glob("dpsync.toml.before-*")
    assert copy.read_text(encoding="utf-8") == OLD
    assert (copy.stat().st_mode & 0o777, config.stat().st_mode & 0o777) == (0o640, 0o640)
    assert sorted(config.parent.iterdir()) == sorted([config, copy]), "no draft is left"
    assert ran(config) == Exit.DONE
    assert len(list(config.parent.iterdir())) == 2, "twice changes nothing"


@pytest.mark.parametrize(
    "text",
    [
        'processors = { forms = { connector = "notice", mail_to = "a@example.org" } }\n',
        '[processors.forms]\nconnector = "notice"\nmail_to = "a@example.org"\ncontact = "b@example.org"\n',
        '[processors.forms]\n"mail_to" = "a@example.org"\n',
    ],
)
def test_what_cannot_be_renamed_in_its_line_is_left_to_a_person(text: str, config: Path) -> None:
    config.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as refused:
        upgrading.upgrade(config, (), PLANTED)
    (fault,) = refused.value.faults
    assert fault.key == "processors.forms.mail_to"
    assert "is called contact now: change it by hand" in fault.problem
    assert tomllib.loads(config.read_text(encoding="utf-8")) == tomllib.loads(text)


def test_where_nothing_can_be_written_the_file_stands_as_it_was(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upgrading.upgrade, "__defaults__", (PLANTED,))
    config.write_text(OLD, encoding="utf-8")
    named = config.rename(config.with_name("d" * 240))  # the copy's name is too long; root may write everywhere
    assert ran(named) not in {Exit.DONE, Exit.LOOK}
    assert "DP-105" in capsys.readouterr().err
    assert named.read_text(encoding="utf-8") == OLD
