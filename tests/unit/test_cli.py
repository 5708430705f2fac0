"""What every command promises: exit codes, data apart from talk, codes explained, pages that do not lag."""

import gc
import io
import json
import re
import resource
import shlex
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from pydantic import SecretStr

from dpsync.__main__ import main
from dpsync.cli import app as cli_app
from dpsync.cli import console
from dpsync.cli.app import COMMANDS, app, everywhere
from dpsync.cli.catalogue import CATALOGUE
from dpsync.cli.check_lines import CheckLine, CheckResult
from dpsync.cli.checks import head_line, worst_exit
from dpsync.cli.console import Talk, drawn
from dpsync.cli.first_settings import MARK, Answers, processors_of, settings_text
from dpsync.cli.reference import EXITS, commands_page
from dpsync.custody.differences import first_few
from dpsync.errors import ConfigurationError, CredentialsRejected, Exit, Fault, Locked, UsageError
from dpsync.known_connectors import connector_class, connector_names
from dpsync.settings import load
from tests.shapes import documented, paths_of

SOURCE = Path(__file__).parents[2] / "src" / "dpsync"
PAGE = Path(__file__).parents[2] / "docs" / "commands.md"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def run(*argv: str) -> int:
    return main(list(argv))


# --- a scenario for the sandbox


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"mailchimp": {}', "is not a scenario: Invalid JSON: EOF while parsing an object at line 1 column 16"),
        ('{\n"mailchimp": }', "at line 2 column 14"),
        ("\xff", "is not a scenario: Invalid JSON"),
        ("[]", "is not a scenario: "),
        ('{"mail": {}, "mail": {}}', "is not a scenario: a key stands twice in one object"),
        ('{"mailchamp": {}}', "is not a scenario: mailchamp: no such key"),
        ('{"mailchimp": {"accounts": [{"names": "x"}]}}', "mailchimp.accounts.0.name: is missing"),
        ('{"mailchimp": {"accounts": [{"names": "x"}]}}', "; mailchimp.accounts.0.names: no such key"),
        ('{"mail": {"rules": 7}}', "mail.rules: "),
    ],
)
def test_a_scenario_that_is_none_is_refused_in_one_sentence_with_its_line_or_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    path = tmp_path / "scenario.json"
    path.write_bytes(text.encode("latin-1"))
    assert run("sandbox", "--scenario", str(path)) == Exit.USAGE
    seen = capsys.readouterr()
    assert seen.out == ""
    assert seen.err.startswith(f"DP-101: {path} is not a scenario: ")
    assert said in seen.err
    assert seen.err.count("\n") == 1


@pytest.mark.parametrize("port", ["--http-port=65532", "--smtp-port=65536", "--http-port=-1"])
def test_a_port_that_no_machine_has_is_wrong_usage(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("sandbox", port) == Exit.USAGE
    assert "Input should be" in capsys.readouterr().err


def test_a_scenario_that_is_not_there_is_said_to_be_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("sandbox", "--scenario", str(tmp_path / "none.json")) == Exit.USAGE
    assert capsys.readouterr().err.startswith(f"DP-102: there is no file {tmp_path / 'none.json'}")


def test_a_scenario_that_the_vendor_itself_would_refuse_names_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "scenario.json"
    members = [{"email": "ada@example.org"}, {"email": "ada@example.org", "status": "nowhere"}]
    account = {"name": "a", "audiences": [{"id": "l1", "members": members}]}
    path.write_text(json.dumps({"mailchimp": {"accounts": [account]}}))
    assert run("sandbox", "--scenario", str(path)) == Exit.USAGE
    assert capsys.readouterr().err.startswith(f"DP-101: {path}: ")


def test_a_port_of_the_sandbox_that_is_taken_is_said_in_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert run("sandbox", "--http-port", str(taken.getsockname()[1])) == Exit.USAGE
    assert capsys.readouterr().err.startswith("DP-104: the sandbox cannot listen on its ports")


# --- codes


def test_every_code_that_the_program_uses_is_explained_and_no_other() -> None:
    catalogue = SOURCE / "cli" / "catalogue.py"
    elsewhere = {
        code
        for file in SOURCE.rglob("*.py")
        if file != catalogue
        for code in re.findall(r"DP-\d{3}", file.read_text(encoding="utf-8"))
    }
    assert elsewhere == set(CATALOGUE)
    assert list(CATALOGUE) == sorted(CATALOGUE)


@pytest.mark.parametrize("code", sorted(CATALOGUE))
def test_each_code_says_what_it_means_and_the_way_out(code: str) -> None:
    one = CATALOGUE[code]
    assert not one.title.endswith(".")
    assert one.meaning.endswith(".")
    assert one.way_out.rstrip("`").endswith((".", ":"))


@pytest.mark.parametrize("spelling", ["DP-212", "dp-212", "212"])
def test_explain_knows_a_code_in_every_spelling_without_settings(
    spelling: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--config", "/nowhere/dpsync.toml", "explain", spelling) == Exit.DONE
    assert "credential" in capsys.readouterr().out


def test_an_unknown_code_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("explain", "DP-999") == Exit.USAGE
    seen = capsys.readouterr()
    assert seen.out == ""
    assert seen.err.startswith("DP-102: ")


def test_explain_as_json_has_the_documented_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("explain", "--json") == Exit.DONE
    value = json.loads(capsys.readouterr().out)
    assert value["version"] == 1
    assert [one["code"] for one in value["codes"]] == list(CATALOGUE)


# --- endings


@pytest.mark.parametrize("argv", [["frobnicate"], ["status", "--frob"], ["status", "--limit", "x"], ["submit"], []])
def test_what_typer_refuses_is_64_and_never_the_2_of_a_check(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv) == Exit.USAGE
    seen = capsys.readouterr()
    assert seen.out == ""
    assert "DP-101" in seen.err or "Usage:" in seen.err


def ending(error: BaseException, *argv: str) -> int:
    """How `main` ends when a command raises."""

    def raising() -> None:
        raise error

    commands = typer.Typer(rich_markup_mode=None, add_completion=False)
    commands.callback()(everywhere)
    commands.command("raise")(raising)
    return main([*argv, "raise"], commands=commands)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("so"), 64),
        (Locked("so"), 75),
        (ConfigurationError([Fault("a.b", "so")]), 78),
        (CredentialsRejected("GET /x", 401), 69),
        (KeyError("ada@example.org"), 1),
        (KeyboardInterrupt(), 130),
    ],
)
def test_each_error_ends_with_its_exit_code(error: BaseException, code: int) -> None:
    assert ending(error) == code


def test_a_fault_of_ours_shows_neither_a_trace_nor_what_it_held(capsys: pytest.CaptureFixture[str]) -> None:
    ending(KeyError("ada@example.org"))
    seen = capsys.readouterr()
    assert "DP-100" in seen.err
    assert "KeyError" in seen.err
    assert "Traceback" not in seen.err
    assert "ada" not in seen.err


def test_only_vv_shows_the_trace(capsys: pytest.CaptureFixture[str]) -> None:
    ending(KeyError("x"), "-vv")
    assert "Traceback" in capsys.readouterr().err


def test_all_faults_of_the_settings_are_told_at_once_with_their_keys(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "dpsync.toml"
    config.write_text('[controller]\nnaem = "x"\n[safety]\nmode = "fast"\n', encoding="utf-8")
    assert run("--config", str(config), "status") == Exit.CONFIGURATION
    err = capsys.readouterr().err
    assert err.startswith("DP-201: ")
    assert "  controller.naem" in err
    assert "  safety.mode" in err
    assert "fast" not in err


CANARY_KEY = "key-canary-us6"

FAULTY = f"""[controller]
naem = "x"
[processors.news]
connector = "mailchimp"
contact = "privacy@example.org"
api_key = "{CANARY_KEY}"
listz = []
[processors.days]
connector = "eventbright"
contact = "privacy@example.org"
[processors.odd]
connector = 7
"""


@pytest.mark.parametrize("command", [("status",), ("check", "--offline"), ("run-once",)])
def test_faults_of_connectors_are_told_in_the_same_round_as_all_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    config = tmp_path / "dpsync.toml"
    config.write_text(FAULTY, encoding="utf-8")
    assert run("--config", str(config), *command) == Exit.CONFIGURATION
    shown = capsys.readouterr()
    told = shown.out + shown.err
    keys = ("controller.naem", "processors.news.api_key", "processors.news.listz", "processors.days.connector")
    assert [told.count(key) for key in (*keys, "processors.odd.connector")] == [1] * 5
    assert "The connectors are: " in told
    assert CANARY_KEY not in told


def test_settings_that_are_not_there_name_the_command_that_writes_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--config", str(tmp_path / "dpsync.toml"), "status") == Exit.CONFIGURATION
    assert "dpsync init" in capsys.readouterr().err


# --- data and talk


def test_off_a_terminal_a_table_has_no_box_no_colour_and_is_never_cut() -> None:
    long = "r-" + "7K2M9Q" * 60
    text = drawn(("REQUEST", "WHY"), [(long, "a reason " * 40), ("r-2", "")], io.StringIO())
    lines = text.splitlines()
    assert len(lines) == 3
    assert long in lines[1]
    assert text.isascii()
    assert "\x1b" not in text
    assert all(line == line.rstrip() for line in lines)


def test_on_a_terminal_cells_are_folded_and_never_lost() -> None:
    long = "r-" + "7K2M9Q" * 60
    text = drawn(("REQUEST",), [(long,)], Terminal())
    assert re.sub(r"\x1b\[[0-9;]*m|\s", "", text).removeprefix("REQUEST") == long


@pytest.mark.parametrize("columns", [40, 79])
def test_a_narrow_terminal_gets_a_list_in_which_no_word_is_broken(
    columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    rows = [("alerts", "PROBLEM", "DP-301 one channel and no heartbeat"), ("mail", "ok", "")]
    text = re.sub(r"\x1b\[[0-9;]*m", "", drawn(("WHAT", "VERDICT", "SEEN"), rows, Terminal()))
    assert all(len(line) <= columns for line in text.splitlines())
    for word in ["WHAT", "VERDICT", "SEEN", "alerts", "PROBLEM", "DP-301", "channel", "heartbeat", "mail", "ok"]:
        assert word in text.split()
    assert text.count("SEEN") == 1, "what is empty is left out"


def test_a_wide_terminal_gets_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = re.sub(r"\x1b\[[0-9;]*m", "", drawn(("WHAT", "VERDICT"), [("alerts", "PROBLEM")], Terminal()))
    assert [line.split() for line in text.splitlines()] == [["WHAT", "VERDICT"], ["alerts", "PROBLEM"]]


def test_a_problem_is_red_only_where_somebody_sees_it_and_wants_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    head, rows = ("WHAT", "VERDICT"), [("alerts", "PROBLEM"), ("mail", "ok")]
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[1;31mPROBLEM" in drawn(head, rows, Terminal())
    assert "\x1b" not in drawn(head, rows, io.StringIO())
    monkeypatch.setenv("NO_COLOR", "1")
    assert "31m" not in drawn(head, rows, Terminal())


def test_a_cell_cannot_steer_the_terminal() -> None:
    text = drawn(("X",), [("\x1b[2J[bold]x[/bold]\nforged line",)], io.StringIO())
    assert "\x1b" not in text
    assert "[bold]x[/bold]" in text
    assert len(text.splitlines()) == 2


def test_quiet_silences_the_talk_but_neither_data_nor_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    talk = Talk(quiet=True)
    talk.say("talk")
    talk.data("data")
    talk.warn("warning")
    assert capsys.readouterr() == ("data\n", "warning\n")


def test_a_progress_bar_is_drawn_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    with Talk().progress("x") as report:
        assert report is None
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    with Talk().progress("verifying") as report:
        assert report is not None
        report(1, 2)
    assert "verifying" in screen.getvalue()


def test_nobody_is_asked_without_a_terminal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    assert run("init", str(tmp_path)) == Exit.USAGE
    assert list(tmp_path.iterdir()) == []


# --- the reference


def test_the_page_of_commands_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == commands_page(), "python -m dpsync.cli.reference writes it anew"


def test_the_page_names_every_exit_code_and_every_command() -> None:
    assert set(EXITS) == set(Exit)
    page = commands_page()
    assert all(f"\n## dpsync {name}\n" in page for name in COMMANDS)


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*([name] if name else []), "--help"]) == Exit.DONE
    said = capsys.readouterr().out
    assert "Usage: dpsync" in said
    _, _, listed = said.partition("\nCommands:\n")
    assert "..." not in listed
    assert all(re.match(r"\S+ .*\.$", one) for one in re.sub(r"\n {4,}", " ", listed).split("\n  ")[1:]), listed


def test_help_loads_neither_database_nor_network_libraries_and_is_quick() -> None:
    script = (
        "import sys; from dpsync.__main__ import main; main(['submit', '--help']); "
        "print(sorted({'sqlalchemy', 'requests', 'alembic', 'uvicorn', 'rich', 'jinja2'} & set(sys.modules)))"
    )
    begun = _cpu_of_children()
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "[]"
    assert _cpu_of_children() - begun < 3  # 0.1 s on an idle machine; the promise is 0.4 s


def _cpu_of_children() -> float:
    """Seconds of work, which other work on the machine does not add to."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_a_shape_counts_lists_and_whole_objects() -> None:
    assert paths_of({"a": 1, "b": [{"c": 2}], "d": []}) == {"a", "b[].c"}
    assert documented("b[].c", {"b[]": "whole"})
    assert not documented("b[].c", {"a": ""})


# --- check


def test_the_worst_line_decides_the_exit_code_and_leads_the_head_line() -> None:
    ok, waiting = CheckLine("a", CheckResult.OK, ""), CheckLine("b", CheckResult.WAITING, "")
    problem, fatal = CheckLine("c", CheckResult.PROBLEM, ""), CheckLine("d", CheckResult.PROBLEM, "", fatal=True)
    assert worst_exit([ok, waiting]) == Exit.DONE
    assert worst_exit([ok, problem]) == Exit.LOOK
    assert worst_exit([ok, problem, fatal]) == Exit.CONFIGURATION
    assert head_line([ok, problem, waiting, fatal]) == "2 problems, 1 waiting, 1 ok."


# --- the first settings


def answers(**more: str) -> Answers:
    given = {
        "name": 'Kent "Open" Gardens \\',
        "dpo": "dpo@example.org",
        "operator": "it@example.org",
        "mode": "confirm",
    }
    return Answers(processors={"newsletter": "mailchimp", "forms": "notice"}, rehearsal=False, **(given | more))


def test_the_first_settings_are_read_back_as_they_were_meant(tmp_path: Path) -> None:
    config = tmp_path / "dpsync.toml"
    config.write_text(settings_text(answers()), encoding="utf-8")
    settings = load(config, {}, secrets=False)
    assert settings.controller.name == 'Kent "Open" Gardens \\'
    assert settings.ledger.origin == "example.org/dpsync"
    assert settings.safety.mode.value == "confirm"
    assert settings.safety.cooling_off.total_seconds() == 24 * 3600
    assert settings.safety.approvals == 1
    assert settings.processors["newsletter"].connector == "mailchimp"
    assert MARK in settings_text(answers())


def test_who_can_be_swept_is_swept_from_the_beginning(tmp_path: Path) -> None:
    config = tmp_path / "dpsync.toml"
    kinds = {"news": "mailchimp", "mailings": "campaign_monitor", "events": "eventbrite", "forms": "notice"}
    for rehearsal in (False, True):
        config.write_text(settings_text(replace(answers(), processors=kinds, rehearsal=rehearsal)), encoding="utf-8")
        swept = {name for name, one in load(config, {}, secrets=False).processors.items() if one.sweep is not None}
        assert swept == {"news", "mailings"}


def test_what_is_to_be_filled_in_has_the_form_of_what_goes_there() -> None:
    text = settings_text(replace(answers(), processors={"analytics": "google_analytics"}))
    section = tomllib.loads(text)["processors"]["analytics"]
    assert (section["client_id"], section["properties"]) == ("", [])
    assert section["client_secret"] == {"file": "secrets/analytics.client_secret"}


def test_who_says_later_what_it_did_has_an_address_to_say_it_to() -> None:
    section = tomllib.loads(settings_text(replace(answers(), processors={"forms": "webhook"})))["processors"]["forms"]
    assert section["inbound_secret"] == {"file": "secrets/forms.inbound_secret"}
    assert (section["url"], section["secrets"]) == ("", [{"file": "secrets/forms.secrets"}])
    played = settings_text(replace(answers(), processors={"forms": "webhook"}, rehearsal=True))
    assert tomllib.loads(played)["processors"]["forms"]["url"] == "http://127.0.0.1:9107/webhook"


def test_who_signs_by_an_authority_of_its_own_in_a_rehearsal_has_it_named() -> None:
    kinds = {"tracker": "opendsr"}
    section = tomllib.loads(settings_text(replace(answers(), processors=kinds, rehearsal=True)))["processors"][
        "tracker"
    ]
    assert section["url"] == "http://127.0.0.1:9108/v2"
    assert section["domain"] == "opendsr.sandbox.example"
    assert section["authorities"] == {"file": "secrets/tracker.authorities"}
    assert section["credential"] == {"file": "secrets/tracker.credential"}
    real = tomllib.loads(settings_text(replace(answers(), processors=kinds)))["processors"]["tracker"]
    assert (real["url"], "domain" in real, "authorities" in real) == ("", False, False)


def filled_in(key: str, value: object) -> object:
    """What stands there once somebody filled it in."""
    secret = SecretStr(f"{'0a' * 16}-us19")
    if isinstance(value, list):
        return [secret if isinstance(one, dict) else one for one in value] or ["123"]
    if isinstance(value, str):
        return "https://processor.example/" if key == "url" else value or "123"
    return secret


@pytest.mark.parametrize("kind", connector_names())
@pytest.mark.parametrize("rehearsal", [True, False])
def test_whoever_fills_in_what_the_first_settings_leave_open_has_a_section_that_is_whole(
    kind: str, rehearsal: bool
) -> None:
    text = settings_text(replace(answers(), processors={"one": kind}, rehearsal=rehearsal))
    section = tomllib.loads(text)["processors"]["one"]
    found = connector_class(kind)
    assert found is not None
    own = {key: value for key, value in section.items() if key in found.Settings.model_fields}
    filled = {key: filled_in(key, value) for key, value in own.items() if key != "base_url"}
    assert found.Settings.model_validate(filled)


def test_a_live_start_waits_for_nobody(tmp_path: Path) -> None:
    config = tmp_path / "dpsync.toml"
    config.write_text(settings_text(answers(mode="live")), encoding="utf-8")
    safety = load(config, {}, secrets=False).safety
    assert (safety.mode.value, safety.approvals, safety.cooling_off.total_seconds()) == ("live", 0, 0)


@pytest.mark.parametrize("pairs", [["Bad Name=notice"], ["a=nosuch"], ["a=notice", "a=notice"]])
def test_a_processor_that_cannot_be_is_refused_before_anything_is_written(pairs: list[str]) -> None:
    with pytest.raises(UsageError):
        processors_of(pairs)


def test_the_version_of_the_shapes_is_one() -> None:
    assert console.SHAPES_VERSION == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no disk here that is always full")
def test_a_full_disk_is_called_that_and_no_fault_of_dpsync() -> None:
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run(
            [sys.executable, "-m", "dpsync", "explain"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (ran.returncode, ran.stderr.count("\n")) == (74, 2)
    assert ran.stderr.startswith("DP-108: not all of the answer could be printed: its disk is full")


def test_settings_that_are_a_folder_are_called_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", str(tmp_path), "status"]) == 78
    assert f"{tmp_path}: is a folder" in capsys.readouterr().err


def test_a_rehearsal_is_chosen_at_the_beginning_and_waits_for_a_yes_and_not_for_a_day(tmp_path: Path) -> None:
    config = tmp_path / "dpsync.toml"
    config.write_text(settings_text(replace(answers(), rehearsal=True)), encoding="utf-8")
    settings = load(config, {}, secrets=False)
    assert settings.controller.rehearsal
    assert (settings.safety.approvals, settings.safety.cooling_off.total_seconds()) == (1, 0)
    assert settings.mail
    assert (settings.mail.host, settings.mail.port) == ("127.0.0.1", 9125)
    assert settings.processors["newsletter"].base_url == "http://127.0.0.1:9101/3.0"
    assert MARK not in config.read_text(encoding="utf-8")


def test_a_rehearsal_is_begun_twice_and_says_what_the_sandbox_is_to_fill_in(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["init", str(tmp_path / "new"), "--rehearsal", "--name", "Example Gardens", "--dpo", "dpo@example.org"]
    words += ["--operator", "it@example.org", "--processor", "news=mailchimp", "--processor", "social=hootsuite"]
    assert main(words) == 0
    said = capsys.readouterr().err
    assert "4 values to fill in, each marked  # as `dpsync sandbox` prints it" in said
    assert "1 dpsync sandbox --http-port 9101 --smtp-port 9125, in another window" in said
    assert "2 fill in the 4 values marked # as `dpsync sandbox` prints it" in said
    assert main(words) == 0
    assert "nothing new: everything existed before" in capsys.readouterr().err
    main(["--config", str(tmp_path / "new" / "dpsync.toml"), "check", "--offline"])
    assert "processors.social.client_id: must not be empty" in capsys.readouterr().out


def test_settings_in_a_usual_place_are_named_in_no_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("DPSYNC_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "etc" / "dpsync.toml"
    words = ["init", str(place.parent), "--name", "Gardens", "--dpo", "dpo@example.org", "--operator", "it@example.org"]
    monkeypatch.setattr("dpsync.cli.setup.USUAL", (Path("dpsync.toml"), place))
    assert main(words) == 0
    assert "  2 dpsync check\n" in capsys.readouterr().err
    Path("dpsync.toml").touch()  # a bare `dpsync` would read this one here
    assert main(words) == 0
    assert f"  2 dpsync --config {place} check\n" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [("--mode", "slow"), ("--dpo", "Dana"), ("--processor", "news=mailchump")])
def test_an_option_that_is_wrong_is_said_before_anything_is_asked(
    wrong: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("dpsync.cli.console.Talk.may_ask", lambda _: True)
    monkeypatch.setattr("typer.prompt", lambda *_, **__: pytest.fail("asked"))
    assert main(["init", str(tmp_path / "new"), *wrong]) == 64
    assert wrong[0] in capsys.readouterr().err


def test_whoever_breaks_off_is_told_how_to_go_on_with_what_was_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = iter(["Ada's Gardens", "dpo@example.org"])

    def answered(*_: object, **__: object) -> str:
        if (given := next(answers, None)) is None:
            raise typer.Abort
        return given

    monkeypatch.setattr("dpsync.cli.console.Talk.may_ask", lambda _: True)
    monkeypatch.setattr("typer.prompt", answered)
    assert main(["init", "new", "--processor", "news=mailchimp"]) == 130
    said = capsys.readouterr().err
    command = said.partition("To go on with what you answered:\n  ")[2].splitlines()[0]
    assert shlex.split(command) == [
        *("dpsync", "init", "new", "--name", "Ada's Gardens", "--dpo", "dpo@example.org"),
        *("--processor", "news=mailchimp"),
    ]  # fmt: skip


def test_settings_that_are_there_become_no_rehearsal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "dpsync.toml"
    config.write_text(settings_text(answers()), encoding="utf-8")
    before = config.read_bytes()
    assert main(["init", str(tmp_path), "--rehearsal"]) == 64
    assert "--rehearsal is for new settings" in capsys.readouterr().err
    assert config.read_bytes() == before
    assert not (tmp_path / "keys").exists()


# --- where the settings are


def test_the_settings_are_the_first_that_exist_and_one_that_may_not_be_looked_at_is_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Shut(type(tmp_path)):  # type: ignore[misc]  # because the class of a path depends on the system
        def exists(self, **_: bool) -> bool:
            raise PermissionError

    own, etc, service = tmp_path / "own.toml", tmp_path / "etc.toml", tmp_path / "service.toml"
    monkeypatch.delenv("DPSYNC_CONFIG", raising=False)
    monkeypatch.setattr(cli_app, "USUAL", (own, etc, service))
    assert cli_app._usual_place() == own, "what is missing is named by its usual name"
    service.touch()
    assert cli_app._usual_place() == service
    monkeypatch.setattr(cli_app, "USUAL", (own, Shut(etc), service))
    assert cli_app._usual_place() == etc
    own.touch()
    assert cli_app._usual_place() == own
    monkeypatch.setenv("DPSYNC_CONFIG", "elsewhere.toml")
    assert cli_app._usual_place() == Path("elsewhere.toml")


def test_no_help_shows_a_type_of_python() -> None:
    assert re.findall(r"<(?:str|int|float|path|bool|file|list.*|datetime)>", commands_page()) == []
    assert "--by NAME" in commands_page()


def leaves(command: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield path, command
    for name, one in (inner or {}).items():
        yield from leaves(one, f"{path} {name}".strip())


def test_help_marks_each_option_without_which_a_command_refuses() -> None:
    names = {"by", "reason", "because", "on", "topic", "what", "answer", "consent"}
    found = {
        (path, param.name, param.required or re.search(r"(?i)needed|required|default|with --", param.help) is not None)
        for path, one in leaves(typer.main.get_command(app))
        for param in one.params
        if param.name in names
    }
    unmarked = sorted((path, name) for path, name, marked in found if not marked)
    assert unmarked == [("submit", "by")], "a request may come from nobody here"
    assert {("complaint open", "topic", True), ("source merge", "reason", True), ("welcome", "by", True)} <= found


def test_a_command_seldom_looks_for_circles_of_objects_and_leaves_python_as_it_was() -> None:
    seen: list[int] = []
    ours = typer.Typer()

    @ours.command()
    def look() -> None:
        seen.append(gc.get_threshold()[0])

    before = gc.get_threshold()
    assert main([], commands=ours) == Exit.DONE
    assert seen[0] > 50 * before[0]
    assert gc.get_threshold() == before


def test_of_many_problems_a_sentence_names_the_first_few_and_the_number() -> None:
    assert first_few(["one", "two", "three"]) == "one; two; three"
    said = first_few([f"{number}.checkpoint is damaged" for number in range(1_200)])
    assert said.startswith("0.checkpoint is damaged; 1.checkpoint is damaged; 2.checkpoint is damaged; and 1,197 more")
    assert said.endswith("`dpsync verify` names each")
