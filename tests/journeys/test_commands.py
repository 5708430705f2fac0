"""The real commands on a real installation: settings in a file, SQLite, the sandbox on loopback."""

import base64
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from email import message_from_bytes
from hashlib import sha256
from pathlib import Path

import pytest

from dpsync.__main__ import main
from dpsync.cli.shapes import SHAPES
from dpsync.sandbox.server import RunningSandbox, running_sandbox
from dpsync.sealing import UNREADABLE
from tests.faults.counting import Counted
from tests.gardens import GARDENS
from tests.shapes import undocumented
from tests.waiting import until

KEY = "sandbox-key-us1"
ADA = "ada@example.org"
BY = ("--by", "Dora", "--reason", "telephoned: it is the right desk")

CONFIG = (
    GARDENS
    + """
[intake]
secrets = [{{ file = "webhook" }}]
listen = "127.0.0.1:{port}"
public_url = "http://127.0.0.1:{port}"

[safety]
{safety}

[mail]
host = "{smtp_host}"
port = {smtp_port}
tls = "none"
from = "privacy@example.org"

[processors.newsletter]
connector = "mailchimp"
contact = "privacy@mailchimp.example"
base_url = "{mailchimp_url}"
api_key = {{ file = "key" }}

[processors.forms]
connector = "notice"
contact = "privacy@stratosoft.example"
"""
)


@contextmanager
def by_hand(database: Path) -> Iterator[sqlite3.Connection]:
    """The database as somebody opens it beside dpsync; what was changed is kept, and the file is closed."""
    with closing(sqlite3.connect(database)) as connection, connection:
        yield connection


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, object]:
        value = json.loads(self.out)
        assert isinstance(value, dict)
        return value


class Installation:
    """One configured folder; `run` runs a command in this process, `start` as a process of its own."""

    def __init__(self, folder: Path, sandbox: RunningSandbox, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.sandbox = sandbox
        self.config = folder / "dpsync.toml"
        self._capsys = capsys
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port: int = listener.getsockname()[1]
        self.secret("webhook", "whsec_" + base64.b64encode(b"w" * 32).decode())
        self.secret("key", KEY)
        self.configure()

    def secret(self, name: str, value: str) -> None:
        path = self.folder / name
        path.write_text(value, encoding="utf-8")
        path.chmod(0o600)

    def configure(self, safety: str = 'mode = "live"', *, more: str = "") -> None:
        text = CONFIG.format(
            port=self.port,
            safety=safety,
            smtp_host=self.sandbox.smtp_host,
            smtp_port=self.sandbox.smtp_port,
            mailchimp_url=self.sandbox.mailchimp_url,
        )
        self.config.write_text(text + more, encoding="utf-8")

    def run(self, *argv: str) -> Ran:
        self._capsys.readouterr()
        code = main(["--config", str(self.config), *argv])
        seen = self._capsys.readouterr()
        return Ran(code, seen.out, seen.err)

    def start(self, *argv: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "dpsync", "--config", str(self.config), *argv]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def submit(self, *more: str) -> str:
        ran = self.run("submit", "erasure", "--email", ADA, "--id", "crm-1", "--json", *more)
        assert ran.code == 0, ran.err
        return str(ran.json["request"])

    def states(self) -> dict[str, str]:
        with by_hand(self.folder / "var" / "dpsync.db") as connection:
            return dict(connection.execute("SELECT processor, state FROM propagation ORDER BY id").fetchall())

    def count(self, table: str) -> int:
        with by_hand(self.folder / "var" / "dpsync.db") as connection:
            found: int = connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608 - because a test names it
            return found

    @contextmanager
    def serving(self) -> Iterator["subprocess.Popen[str]"]:
        process = self.start("serve")
        try:
            assert process.stderr is not None
            line = next(one for one in process.stderr if '"ready"' in one)
            assert json.loads(line)["url"] == f"http://127.0.0.1:{self.port}"
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)


@pytest.fixture
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox((KEY,)) as running:
        for audience in running.audiences():
            running.add(ADA, list_id=audience)
        running.rule(None, "confirm_contact", "answer_by_link")
        yield running


@pytest.fixture
def installation(tmp_path: Path, sandbox: RunningSandbox, capsys: pytest.CaptureFixture[str]) -> Installation:
    made = Installation(tmp_path, sandbox, capsys)
    begun = made.run("init")
    assert begun.code == 0, begun.err
    return made


def assert_documented(command: str, value: dict[str, object]) -> None:
    assert value["version"] == 1
    assert undocumented(value, SHAPES[command]) == set()


# --- init


def test_init_from_nothing_makes_everything_and_a_second_one_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["init", str(tmp_path), "--name", "Example", "--dpo", "dpo@example.org", "--operator", "it@example.org"]
    argv += ["--processor", "newsletter=mailchimp", "--processor", "forms=notice"]
    assert main(argv) == 0
    first = capsys.readouterr()
    assert first.out.startswith("example.org/dpsync+")
    assert "Next steps:" in first.err
    assert (tmp_path / "secrets" / "webhook").stat().st_mode & 0o777 == 0o600
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and "var" not in path.parts}
    assert main(argv) == 0
    second = capsys.readouterr()
    assert second.out == first.out
    assert {path: path.read_bytes() for path in before} == before
    assert main(["--config", str(tmp_path / "dpsync.toml"), "verify", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["entries"] == 2


def everything(folder: Path) -> dict[str, bytes]:
    """Every file of a folder; the database by what it holds, whatever stands in its -wal."""
    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    kept = {name: content for name, content in found.items() if not name.startswith("var/")}
    database = folder / "var" / "dpsync.db"
    if database.exists():
        with by_hand(database) as connection:
            kept["var/dpsync.db"] = "\n".join(connection.iterdump()).encode()
    return kept | {str(path.relative_to(folder)): b"" for path in folder.rglob("*") if path.is_dir()}


def test_init_never_begins_an_old_database_anew_with_other_keys(installation: Installation) -> None:
    keys = installation.folder / "keys"
    keys.rename(installation.folder / "lost")
    before = everything(installation.folder)
    ran = installation.run("init")
    assert (ran.code, ran.err.count("\n"), ran.out) == (78, 1, "")
    assert ran.err.startswith("DP-202: the database has begun, and the keys it was made with are not in")
    assert "put them back from their back-up" in ran.err
    assert everything(installation.folder) == before
    (installation.folder / "lost").rename(keys)
    assert installation.run("init").code == 0


def test_init_without_its_settings_changes_nothing_beside_what_is_there(installation: Installation) -> None:
    """The settings were lost: what `init` would write names the same database, under another ledger."""
    installation.config.unlink()
    before = everything(installation.folder)
    answers = ["--name", "Example", "--dpo", "dpo@example.org", "--operator", "it@example.org"]
    ran = installation.run("init", str(installation.folder), *answers)
    assert ran.code == 78
    assert ran.err.startswith("DP-203: the ledger in this database is example.org/dpsync/REHEARSAL")
    assert everything(installation.folder) == before
    (installation.folder / "keys").rename(installation.folder / "lost")
    before = everything(installation.folder)
    assert installation.run("init", str(installation.folder), *answers).err.startswith("DP-202: ")
    assert everything(installation.folder) == before


def test_init_begins_no_second_ledger_beside_the_checkpoints_of_the_first(installation: Installation) -> None:
    installation.submit()
    installation.run("run-once")
    installation.run("receipt", "r-")
    (installation.folder / "var").rename(installation.folder / "old")
    before = everything(installation.folder)
    assert (installation.folder / "anchors" / "checkpoint").exists()
    ran = installation.run("init")
    assert (ran.code, "DP-203: there is no database" in ran.err, "from its back-up" in ran.err) == (78, True, True)
    assert everything(installation.folder) == before


def test_init_that_cannot_reach_its_database_makes_no_keys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "dpsync.toml"
    config.write_text(
        '[controller]\nname = "Example"\ndpo = "dpo@example.org"\noperator = "it@example.org"\n'
        '[store]\nurl = "postgresql://nobody@127.0.0.1:1/none"\n[ledger]\norigin = "example.org/dpsync"\n'
    )
    assert main(["--config", str(config), "init"]) == 75
    assert "DP-205" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["dpsync.toml"]


def test_init_twice_changes_nothing_at_all(installation: Installation) -> None:
    installation.submit()
    before = everything(installation.folder)
    assert installation.run("init").code == 0
    assert everything(installation.folder) == before


# --- check


def test_check_shows_every_line_at_once_and_one_channel_is_a_problem(installation: Installation) -> None:
    ran = installation.run("check", "--json")
    assert ran.code == 2
    assert_documented("check", ran.json)
    lines = {line["what"]: line for line in ran.json["lines"]}  # type: ignore[attr-defined]  # because it is plain JSON
    assert lines["newsletter"]["verdict"] == "waiting"
    assert lines["alerts"]["code"] == "DP-301"
    assert lines["mail"]["verdict"] == "ok"
    assert lines["ledger"]["verdict"] == "ok"


def test_check_tells_a_rejected_key_beside_what_is_in_order(installation: Installation) -> None:
    installation.secret("key", "wrong-us1")
    ran = installation.run("check")
    assert ran.code == 2
    assert "DP-212" in ran.out
    assert "ledger" in ran.out


def test_check_offline_opens_no_connection_and_an_absent_secret_is_not_set(installation: Installation) -> None:
    (installation.folder / "key").unlink()
    before = installation.sandbox.calls()
    ran = installation.run("check", "--offline")
    assert installation.sandbox.calls() == before
    assert ran.code == 2  # for the alerts alone
    assert "not set" in ran.out
    assert installation.run("check").code == 78


def test_check_is_green_with_a_second_channel_and_a_test_says_what_the_server_took(installation: Installation) -> None:
    installation.secret("beat", "https://watch.example.org/x")
    installation.configure(more='\n[alerts]\nheartbeat = { file = "beat" }\n')
    assert installation.run("check").code == 0
    ran = installation.run("check", "--send-test")
    assert ran.code == 0, ran.out
    assert "inbox unknown" in ran.out
    assert len(installation.sandbox.messages("it@example.org")) == 1


def test_one_secret_in_two_accounts_is_a_problem(installation: Installation) -> None:
    second = f"""
[processors.events]
connector = "mailchimp"
contact = "privacy@mailchimp.example"
base_url = "{installation.sandbox.mailchimp_url}"
api_key = {{ file = "key" }}
"""
    installation.configure(more=second)
    assert "DP-220" in installation.run("check", "--offline").out
    installation.configure(more=second + 'account = "newsletter"\n')
    assert "DP-220" not in installation.run("check", "--offline").out


@pytest.mark.parametrize(
    ("secret", "said", "code"),
    [
        ("whsec_tooshort", "must hold 24 to 64 bytes", 78),
        ("w" * 44, "does not begin with whsec_", 78),
        ("whsec_" + "!" * 44, "is not base64", 78),
        ("whsec_REPLACE-ME", "a placeholder still stands there", 78),
        ("whsec_<your secret>", "a placeholder still stands there", 78),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "a placeholder still stands there", 2),
        ("whsec_" + base64.b64encode(b"change-me-change-me-change-me").decode(), "a placeholder still stands there", 2),
    ],
)
def test_check_finds_a_webhook_secret_that_cannot_be_used_and_never_shows_it(
    installation: Installation, secret: str, said: str, code: int
) -> None:
    installation.secret("webhook", secret)
    for argv in (("check",), ("check", "--offline"), ("check", "--json")):
        ran = installation.run(*argv)
        assert (ran.code, "DP-321" in ran.out, said in ran.out) == (code, True, True)
        assert secret not in ran.out + ran.err
        assert secret.removeprefix("whsec_") not in ran.out + ran.err


def test_one_webhook_secret_given_twice_is_no_rotation(installation: Installation) -> None:
    twice = 'secrets = [{ file = "webhook" }, { file = "again" }]'
    installation.config.write_text(installation.config.read_text().replace('secrets = [{ file = "webhook" }]', twice))
    installation.secret("again", (installation.folder / "webhook").read_text() + "\n")
    assert "intake.secrets[1]: is the same secret as intake.secrets[0]" in installation.run("check", "--offline").out
    installation.secret("again", "whsec_" + base64.b64encode(os.urandom(32)).decode())
    ran = installation.run("check", "--offline")
    assert ("DP-321" in ran.out, "2 webhook secrets, of the right form" in ran.out) == (False, True)


def test_a_contact_is_asked_again_by_a_mail_of_its_own_until_it_has_confirmed_itself(
    installation: Installation,
) -> None:
    installation.sandbox.rule(None)
    installation.submit()
    installation.run("run-once")
    desk = "privacy@stratosoft.example"
    assert len(installation.sandbox.messages(desk)) == 1
    ran = installation.run("check", "--ask-contact", "forms")
    assert "ask forms" in ran.out
    assert "contact 1 asked. The mail host answered 250" in ran.out
    first, second = installation.sandbox.messages(desk, settled=True)
    assert len({message_from_bytes(one.raw)["Message-ID"] for one in (first, second)}) == 2
    assert len(installation.sandbox.messages("privacy@mailchimp.example")) == 1
    assert installation.run("check", "--ask-contact", "nosuch").code == 64
    assert installation.run("check", "--offline", "--ask-contact", "forms").code == 64


def test_a_contact_that_has_confirmed_itself_is_not_asked_again(installation: Installation) -> None:
    with installation.serving():
        installation.run("check", "--ask-contact", "forms")
        installation.sandbox.messages(settled=True)
    count = len(installation.sandbox.messages())
    assert "has confirmed the address. Nothing was sent" in installation.run("check", "--ask-contact", "forms").out
    assert len(installation.sandbox.messages()) == count


# --- plan, submit, run-once, status


def test_a_plan_shows_what_would_happen_and_stores_nothing(installation: Installation) -> None:
    before = everything(installation.folder)
    ran = installation.run("plan", "erasure", "--email", ADA, "--id", "crm-1")
    assert ran.code == 0, ran.err
    assert "found: 2 records" in ran.out
    assert ran.err == "Nothing was stored or sent. dpsync only looked. To submit the request: dpsync submit.\n"
    assert ADA not in ran.out + ran.err
    value = installation.run("plan", "rectification", "--email", ADA, "--set", "last_name=Lovelace", "--json")
    assert_documented("plan", value.json)
    assert installation.sandbox.effects() == 0
    assert everything(installation.folder) == before


def test_a_plan_without_every_answer_is_3_and_names_who_did_not_give_one(installation: Installation) -> None:
    installation.secret("key", "another-key-us1")
    ran = installation.run("plan", "erasure", "--email", ADA)
    assert ran.code == 3
    assert "could not be looked up: the processor does not accept our credential. Try again later" in ran.out
    assert "Not answered just now: newsletter." in ran.err
    assert installation.run("pause").code == 0
    assert "it is stopped by `dpsync pause`" in installation.run("plan", "erasure", "--email", ADA).out


def test_a_plan_of_what_cannot_become_a_request_names_the_option(installation: Installation) -> None:
    for argv, option in ((["erasure"], "--email"), (["erasure", "--email", "no address"], "--email")):
        ran = installation.run("plan", *argv)
        assert (ran.code, option in ran.err, "no address" in ran.err) == (64, True, False)


def test_a_submitted_erasure_is_stored_then_told_and_seen(installation: Installation) -> None:
    ran = installation.run("submit", "erasure", "--email", ADA, "--id", "crm-1", "--by", "Dora")
    assert ran.code == 0
    assert ran.out.count("\n") == 1
    assert all(word in ran.err for word in ("Stored ", "By itself ", "Waits ", "--event-id"))
    assert ADA not in ran.out + ran.err
    done = installation.run("run-once")
    assert done.out == ""
    assert installation.states()["newsletter"] == "verified"
    assert installation.sandbox.holds(ADA) == []
    assert installation.run("verify").code == 0


def test_the_same_event_twice_is_one_request_and_with_another_body_refused(installation: Installation) -> None:
    first = installation.submit("--event-id", "evt-1")
    again = installation.run("submit", "erasure", "--email", ADA, "--id", "crm-1", "--event-id", "evt-1", "--json")
    assert again.json["request"] == first
    assert again.json["repeated"] is True
    assert_documented("submit", again.json)
    other = installation.run("submit", "opt_out", "--email", ADA, "--event-id", "evt-1")
    assert (other.code, "DP-409" in other.err) == (64, True)
    assert installation.count("request") == 1


@pytest.mark.parametrize(
    ("argv", "option"),
    [
        (["erasure", "--email", "no address"], "--email"),
        (["rectification", "--email", ADA], "--set"),
        (["erasure", "--email", ADA, "--set", "email=x@example.org"], "--set"),
        (["erasure"], "--email"),
        (["frobnication", "--email", ADA], "RIGHT"),
        (["erasure", "--email", ADA, "--received", "2001-01-01"], "--received"),
        (["erasure", "--email", ADA, "--received", "0001-01-01"], "--received"),
        (["restriction", "--email", ADA, "--lift-how", "letter"], "--lift-told-on"),
        (["rectification", "--email", ADA, "--set", "nothing"], "--set"),
        *(
            (["rectification", "--email", ADA, "--set", f"HOME={value}"], "--set")
            for value in ('{"a":', "{}", '{"a":1}')
        ),
    ],
)
def test_what_does_not_fit_names_the_option_and_never_its_value(
    installation: Installation, argv: list[str], option: str
) -> None:
    ran = installation.run("submit", *argv)
    assert ran.code == 64
    assert option in ran.err
    assert not any(value in ran.err for value in ("no address", ADA, "2001-01-01"))
    assert installation.count("request") == 0


@pytest.mark.parametrize("text", ["'ada@example.org'", "mailto:ada@example.org", "ada@example.org,eve@example.org"])
@pytest.mark.parametrize("option", [("--email",), ("--other-email",), ("--set", "email=")])
def test_text_around_an_address_is_refused_by_hand_too(
    installation: Installation, option: tuple[str, ...], text: str
) -> None:
    name, *prefix = option
    ran = installation.run("submit", "rectification", "--id", "crm-1", name, "".join([*prefix, text]))
    assert ran.code == 64
    assert "is not an e-mail address" in ran.err
    assert installation.count("request") == 0


def test_blanks_at_the_ends_of_an_address_are_trimmed_by_hand_too(installation: Installation) -> None:
    blank = f" \u00a0{ADA}\u3000\t"
    ran = installation.run(
        "submit", "rectification", "--email", blank, "--other-email", f"a2@example.org{blank[-1]}", "--set",
        f"email={blank}", "--event-id", "evt-blank",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert installation.run("submit", "erasure", "--email", ADA, "--event-id", "evt-plain").code == 0
    assert installation.count("alias") == 2


def test_every_field_of_a_request_can_be_given_by_hand(installation: Installation) -> None:
    ran = installation.run(
        "submit", "rectification", "--email", ADA, "--other-email", "a2@example.org", "--phone", "+441234567890",
        "--name", "Ada L", "--reference", "google_analytics=c-1", "--reference", "google_analytics=c-2",
        "--set", "email=ada.new@example.org", "--set", "first_name=Ada", "--set", "CITY=", "--ground", "correction",
        "--set", 'HOME={"addr1":"1 High Street","addr2":""}',
        "--received", "2026-11-02",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    lift = installation.run(
        "submit", "restriction", "--email", ADA, "--lift-told-on", "2026-11-02", "--lift-how", "letter"
    )
    assert lift.code == 0, lift.err


def test_status_shows_what_is_open_and_its_json_is_documented(installation: Installation) -> None:
    request = installation.submit()
    table = installation.run("status")
    assert table.code == 0
    assert request[:8] in table.out
    assert "1 request open" in table.err
    assert_documented("status", installation.run("status", "--json").json)
    one = installation.run("status", request[:8], "--json")
    assert_documented("status", one.json)
    assert len(one.json["places"]) == 2  # type: ignore[arg-type]  # because it is plain JSON
    assert request in installation.run("status", request.lower()).out


def test_mail_that_a_person_must_read_is_said_by_status_and_its_folder_by_check(installation: Installation) -> None:
    text = installation.config.read_text("utf-8").replace("[mail]", '[mail]\nincoming = "mail"')
    installation.config.write_text(text, "utf-8")
    missing = installation.run("check", "--offline")
    assert (missing.code, "DP-304" in missing.out) == (2, True)
    (installation.folder / "mail").mkdir()
    (installation.folder / "mail" / "1.eml").write_bytes(b"From: a@b.example\n\nHello")
    installation.run("run-once")
    assert installation.run("status", "--json").json["mail_waiting"] == 1
    assert "1 message for a person to read" in installation.run("status").err
    assert str(installation.folder / "mail" / "waiting") in installation.run("check", "--offline").out.replace("\n", "")


def test_status_fails_only_on_what_it_was_asked_to_fail_on(installation: Installation) -> None:
    installation.submit()
    assert installation.run("status", "--fail-on", "late").code == 0
    installation.run("submit", "erasure", "--email", "late@example.org", "--received", "2025-01-02")
    late = installation.run("status", "--fail-on", "late")
    assert late.code == 2
    assert "OVERDUE" in late.out
    assert late.err.startswith("1 OVERDUE")


def test_status_needs_no_secret(installation: Installation) -> None:
    (installation.folder / "key").unlink()
    assert installation.run("status").code == 0
    assert installation.run("submit", "erasure", "--email", ADA).code == 78


def test_run_once_says_3_and_names_what_is_not_through(installation: Installation) -> None:
    request = installation.submit()
    installation.sandbox.fault("status", status=503, times=None)
    ran = installation.run("run-once")
    assert ran.code == 3
    assert f"did not get through: {request[:8]} at newsletter" in ran.err


# --- pause, resume, decisions


def test_what_is_paused_is_not_told_until_it_is_resumed(installation: Installation) -> None:
    assert installation.run("pause", "newsletter").code == 0
    assert installation.run("pause", "newsletter").code == 0
    installation.submit()
    before = installation.sandbox.calls()
    installation.run("run-once")
    assert installation.sandbox.calls() == before
    assert installation.states()["newsletter"] == "pending"
    assert installation.run("resume", "newsletter").code == 0
    installation.run("run-once")
    assert installation.states()["newsletter"] == "verified"


def test_a_pause_is_seen_wherever_somebody_looks_with_the_way_out(installation: Installation) -> None:
    assert installation.run("status", "--fail-on", "stopped").code == 0
    installation.run("pause", "newsletter")
    way_out = "newsletter is stopped by `dpsync pause`: nothing is sent there before `dpsync resume newsletter`"
    idle = installation.run("status", "--fail-on", "stopped")
    assert (idle.code, idle.err.startswith("1 processor STOPPED"), way_out in idle.err) == (2, True, True)
    assert installation.run("status", "--fail-on", "held").code == 0
    request = installation.submit()
    installation.sandbox.rule(None)
    seen = installation.run("status", "--json", "--fail-on", "stopped")
    assert_documented("status", seen.json)
    assert seen.json["stopped"] == [
        {"processor": "newsletter", "account": "newsletter", "why": "person", "command": "dpsync resume newsletter"}
    ]
    assert way_out in installation.run("status", request).err
    assert installation.run("release", request, "forms", "--cause", "contact_unverified", *BY).code == 0
    assert installation.run("status", "--fail-on", "held").code == 2
    for argv in (("check",), ("check", "--offline")):
        checked = installation.run(*argv)
        assert (checked.code, "DP-221" in checked.out, way_out in checked.out) == (2, True, True)
    installation.run("resume", "newsletter")
    assert "DP-221" not in installation.run("check").out
    assert installation.run("status", "--fail-on", "stopped").code == 0


def test_an_account_that_a_rejected_credential_stopped_is_a_problem_even_with_a_good_key(
    installation: Installation,
) -> None:
    installation.secret("key", "wrong-us1")
    installation.submit()
    installation.run("run-once")
    installation.secret("key", KEY)
    checked = installation.run("check")
    assert (checked.code, "DP-212" in checked.out, "DP-221" in checked.out) == (2, False, True)
    said = "newsletter is stopped because it rejected our credential"
    assert said in installation.run("status", "--fail-on", "stopped").err
    installation.run("resume", "newsletter")
    assert "DP-221" not in installation.run("check").out


def test_a_timed_job_that_failed_is_no_success_of_run_once(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("dpsync.running.drills.tell", full)
        ran = installation.run("run-once")
    assert (ran.code, "the timed job drill failed" in ran.err) == (3, True)
    assert installation.run("run-once").code == 0


def test_a_processor_that_nobody_knows_is_wrong_usage(installation: Installation) -> None:
    ran = installation.run("pause", "nosuch")
    assert (ran.code, "DP-102" in ran.err, "newsletter, forms" in ran.err) == (64, True, True)


def test_a_report_of_the_time_before_the_record_says_that_it_knows_nothing_of_it(installation: Installation) -> None:
    ran = installation.run("report", "--month", "2025-01")
    assert ran.code == 0
    assert "dpsync's record begins on 20" in ran.err
    assert "record begins" not in installation.run("report").err


def test_held_erasures_wait_for_one_yes_and_the_yes_is_recorded(installation: Installation) -> None:
    installation.configure('mode = "confirm"\napprovals = 1')
    request = installation.submit()
    installation.run("run-once")
    assert installation.states()["newsletter"] == "held"
    assert installation.run("status", "--fail-on", "held").code == 2
    nobody = installation.run("release", request, "--by", " ", "--reason", "seen")
    assert (nobody.code, installation.count("decision")) == (64, 0)
    ran = installation.run("release", request, "newsletter", "--by", "Dora", "--reason", "seen", "--json")
    assert ran.code == 0, ran.err
    assert_documented("release", ran.json)
    installation.run("run-once")
    assert installation.states()["newsletter"] == "verified"
    with by_hand(installation.folder / "var" / "dpsync.db") as connection:
        kept = connection.execute("SELECT kind, os_user FROM decision").fetchall()
    assert [row[0] for row in kept] == ["release"]
    assert kept[0][1]
    told = installation.run("dossier", request).out
    assert "Dora approved it for newsletter: seen." in told
    assert "cause=approval kind=release" in told, "what held nothing was not released"


def test_of_two_people_the_first_yes_is_kept_and_said_to_be_a_part(installation: Installation) -> None:
    installation.configure('mode = "confirm"\napprovals = 2')
    request = installation.submit()
    first = installation.run("release", request, "newsletter", "--by", "Dora", "--reason", "seen")
    assert first.code == 3
    assert "1 of 2" in first.out
    second = installation.run("release", request, "newsletter", "--by", "Ben", "--reason", "seen too")
    assert second.code == 0
    assert installation.count("decision") == 2


def test_a_decision_that_fits_nowhere_changes_nothing(installation: Installation) -> None:
    request = installation.submit("--event-id", "e1")
    ran = installation.run("release", request, "--by", "Dora", "--reason", "seen")
    assert (ran.code, "DP-110" in ran.err) == (64, True)
    assert installation.count("decision") == 0


def test_withdraw_stops_the_unsent_lists_what_had_gone_and_twice_is_harmless(installation: Installation) -> None:
    installation.run("pause", "forms")
    request = installation.submit()
    installation.run("run-once")
    ran = installation.run("withdraw", request, "--by", "Dora", "--reason", "wrong person")
    assert ran.code == 3
    assert "what was sent cannot be called back" in ran.out
    assert installation.states() == {"newsletter": "verified", "forms": "withdrawn"}
    told = next(line for line in installation.run("status", request).out.splitlines() if line.startswith("forms"))
    assert told.split()[-2:] == ["0", "no"], "it never will be"
    count = installation.count("decision")
    again = installation.run("withdraw", request, "forms", "--by", "Dora", "--reason", "again")
    assert (again.code, "already withdrawn on" in again.out, "nothing changed" in again.out) == (0, True, True)
    assert again.err.startswith("Stored     nothing new")
    assert installation.count("decision") == count
    assert_documented("release", installation.run("withdraw", request, "--json", *BY).json)


def test_why_somebody_decided_stands_in_no_clear_text_and_is_read_in_dossier_and_report(
    installation: Installation,
) -> None:
    installation.run("pause")
    request = installation.submit()
    why = ("--by", "Dora Decider", "--reason", "Ada Lovelace said so by telephone")
    assert installation.run("retry", request, "newsletter", *why).code == 0
    assert installation.run("settle", request, "newsletter", *why).code == 0
    files = b"".join(path.read_bytes() for path in (installation.folder / "var").iterdir())
    assert not any(word in files for word in (b"Dora Decider", b"Ada Lovelace"))
    for argv in (("dossier", request), ("report",)):
        shown = installation.run(*argv).out
        assert ("Ada Lovelace said so by telephone" in shown, "Dora Decider" in shown) == (True, True)


def test_a_decision_and_an_answer_that_do_not_open_are_said_so_and_stop_no_report(installation: Installation) -> None:
    request = installation.submit()
    assert installation.run("release", request, "forms", "--cause", "contact_unverified", *BY).code == 0
    installation.run("run-once")
    assert installation.run("acknowledge", request, "forms", "--answer", "done", *BY).code == 0
    installation.run("pause")
    another = str(
        installation.run("submit", "erasure", "--email", "ben@example.org", "--id", "crm-2", "--json").json["request"]
    )
    assert installation.run("settle", another, "newsletter", *BY).code == 0
    with by_hand(installation.folder / "var" / "dpsync.db") as connection:
        assert connection.execute("UPDATE decision SET sealed = X'00'").rowcount
        assert connection.execute("UPDATE answer SET sealed = X'00'").rowcount
    for argv in (("dossier", request, "--open-answers"), ("report",)):
        shown = installation.run(*argv)
        assert shown.code == 2, "a row that was written by hand"
        assert UNREADABLE in shown.out


def test_a_contact_that_nobody_asked_is_never_said_to_have_a_link(installation: Installation) -> None:
    installation.configure('mode = "confirm"')
    settings = installation.folder / "dpsync.toml"
    lines = settings.read_text(encoding="utf-8").splitlines(keepends=True)
    settings.write_text("".join(one for one in lines if not one.startswith("public_url")), encoding="utf-8")
    installation.sandbox.rule(None)
    request = installation.submit()
    released = installation.run("release", request, "forms", *BY)
    assert not installation.sandbox.messages("privacy@stratosoft.example")
    for shown in (
        released.err,
        installation.run("report").out,
        installation.run("dossier", request).out,
    ):
        plain = " ".join(shown.split())
        assert "to confirm its contact: that needs [mail] and [intake] public_url" in plain
        assert "the link in our email" not in plain


def test_an_answer_by_telephone_is_recorded_and_closes_what_waited(installation: Installation) -> None:
    installation.sandbox.rule(None)
    request = installation.submit()
    assert installation.states()["forms"] == "held"
    by = ("--by", "Dora", "--reason", "telephoned: it is the right desk")
    assert installation.run("release", request, "forms", "--cause", "contact_unverified", *by).code == 0
    installation.run("run-once")
    assert installation.states()["forms"] == "accepted"
    ran = installation.run(
        "acknowledge", request, "forms", "--answer", "done", "--by", "Dora", "--reason", "told by telephone", "--json"
    )
    assert ran.code == 0, ran.err
    assert_documented("acknowledge", ran.json)
    assert installation.states()["forms"] == "declared_done"
    assert "told by telephone" not in (installation.folder / "var" / "dpsync.db").read_bytes().decode("latin-1")
    wrong = installation.run("acknowledge", request, "forms", "--answer", "perhaps", "--by", "D", "--reason", "x")
    assert wrong.code == 64


# --- reports and proof


def test_report_and_dossier_are_written_in_every_format_for_their_owner_only(installation: Installation) -> None:
    request = installation.submit()
    for form in ("html", "csv", "json", "text"):
        file = installation.folder / f"report.{form}"
        assert installation.run("report", "--format", form, "-o", str(file)).code == 0
        assert file.stat().st_mode & 0o777 == 0o600
        assert installation.run("dossier", request, "--format", form).out
    by_ending = installation.folder / "other.html"
    installation.run("report", "--month", "2026-11", "-o", str(by_ending))
    assert b"REHEARSAL" in by_ending.read_bytes()
    assert json.loads(installation.run("report", "--format", "json").out)["kind"] == "period"


@pytest.mark.parametrize(
    "argv",
    [
        ["--month", "2026-13"],
        ["--month", "november"],
        ["--from", "2026-11-01"],
        ["--from", "2026-11-02", "--to", "2026-11-01"],
        ["--month", "2026-11", "--from", "2026-11-01", "--to", "2026-11-02"],
    ],
)
def test_a_period_that_cannot_be_is_wrong_usage(installation: Installation, argv: list[str]) -> None:
    assert installation.run("report", *argv).code == 64


def test_a_receipt_is_checked_by_the_program_beside_it_and_a_changed_one_is_not_valid(
    installation: Installation,
) -> None:
    request = installation.submit()
    installation.run("run-once")
    path = installation.folder / "proof" / "receipt.json"
    path.parent.mkdir()
    assert installation.run("receipt", request, "-o", str(path)).code == 3, "forms is held, until its contact confirms"
    assert (path.parent / "verify_receipt.py").exists()
    good = installation.run("verify", str(path), "--email", ADA, "--json")
    assert good.code == 0
    assert_documented("verify FILE", good.json)
    assert installation.run("verify", str(path), "--email", "other@example.org").code == 2
    path.write_bytes(path.read_bytes().replace(b'"index"', b'"indeX"', 1))
    assert installation.run("verify", str(path)).code == 2
    assert installation.run("verify", str(path.with_name("nothing.json"))).code == 64


def test_a_receipt_has_a_page_in_plain_words_beside_the_file_that_it_tells_of(installation: Installation) -> None:
    request = installation.submit()
    installation.run("run-once")
    page = installation.folder / "proof" / "ada.html"
    page.parent.mkdir()
    made = installation.run("receipt", request, "-o", str(page), "--email", ADA)
    file = page.with_suffix(".json")
    assert (made.code, made.out.split()) == (3, [str(file), str(page)])
    said = page.read_text()
    assert sha256(file.read_bytes()).hexdigest() in said
    assert f"It is about <strong>{ADA}</strong>" in said
    assert installation.run("verify", str(file), "--email", ADA).code == 0
    unnamed = installation.run("receipt", request, "-o", str(page.parent), "--format", "html")
    assert ADA not in (page.parent / f"{request}.html").read_text()
    assert unnamed.code == 3
    for wrong in (
        ("-o", str(page), "--email", "other@example.org"),
        ("-o", str(page), "--format", "pdf"),
        ("--email", ADA),
        ("-o", "-"),
    ):
        assert installation.run("receipt", request, *wrong).code == 64, wrong


def test_a_receipt_that_comes_too_early_says_so(installation: Installation) -> None:
    installation.run("pause")
    request = installation.submit()
    path = installation.folder / "receipt.json"
    early = installation.run("receipt", request, "-o", str(path))
    assert (early.code, "Not complete yet: forms, newsletter not told." in early.err) == (3, True)
    assert "VALID, and STILL OPEN at 2 of 2 processors" in installation.run("verify", str(path)).out
    installation.run("resume")
    installation.run("run-once")
    assert installation.run("receipt", request, "-o", str(path)).code == 3, "forms is held, until its contact confirms"
    assert "STILL OPEN at 2 of 2" not in installation.run("verify", str(path)).out


def test_a_receipt_shows_that_its_ledger_continues_a_checkpoint_that_somebody_kept(installation: Installation) -> None:
    installation.submit()
    installation.run("run-once")
    kept = installation.folder / "kept"
    kept.write_bytes((installation.folder / "anchors" / "checkpoint").read_bytes())
    request = installation.submit()
    installation.run("run-once")
    path = installation.folder / "proof" / "receipt.json"
    path.parent.mkdir()
    made = installation.run("receipt", request, "-o", str(path), "--since", str(kept))
    (step,) = path.parent.glob("*.consistency")
    assert (made.code, made.out.split()) == (3, [str(path), str(step)])
    checked = installation.run("verify", str(path), "--checkpoint", str(kept), "--consistency", str(step))
    assert "Its ledger continues, or is continued by, that of your checkpoint." in checked.out
    assert installation.run("verify", str(path), "--checkpoint", str(kept)).code == 2
    assert installation.run("receipt", request, "-o", str(path), "--since", str(path)).code == 64
    assert installation.run("verify", "--checkpoint", str(kept)).code == 64


def test_the_receipt_of_a_lifted_restriction_is_checked_like_any_other(installation: Installation) -> None:
    lifted = ["restriction", "--email", ADA, "--lift-told-on", "2026-11-19", "--lift-how", "letter", "--json"]
    request = str(installation.run("submit", *lifted).json["request"])
    installation.run("run-once")
    path = installation.folder / "receipt.json"
    assert installation.run("receipt", request, "-o", str(path)).code == 3, "forms is held, until its contact confirms"
    checked = installation.run("verify", str(path), "--email", ADA)
    assert (checked.code, f": request {request}, recorded" in checked.out) == (0, True), checked.out


def test_a_ledger_that_was_changed_is_2_and_named(installation: Installation) -> None:
    installation.submit()
    with by_hand(installation.folder / "var" / "dpsync.db") as connection:
        connection.execute("DROP TRIGGER entry_no_update")
        connection.execute("UPDATE entry SET body = CAST(replace(body, 'received', 'withdrew') AS BLOB) WHERE idx = 2")
    ran = installation.run("verify")
    assert (ran.code, "DP-601" in ran.err, "entry 2" in ran.err) == (2, True, True)
    assert_documented("verify", installation.run("verify", "--json").json)
    assert installation.run("run-once").code == 2
    assert installation.run("report").code == 2
    assert installation.sandbox.effects() == 0


ONE_MORE_CALL = """
INSERT INTO evidence SELECT attempt_id, 'more', seq, endpoint, scope, status, request_id, at, digest, note FROM evidence
WHERE part = 'finding' LIMIT 1"""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE evidence SET status = 299 WHERE status = 404", "the calls behind entry"),
        ("UPDATE evidence SET endpoint = 1", "the calls behind entry"),
        ("DELETE FROM evidence WHERE part = 'finding'", "the calls behind entry"),
        (ONE_MORE_CALL, "calls are recorded that no entry tells of"),
    ],
)
def test_calls_that_were_changed_by_hand_are_named_and_no_dossier_calls_them_unaltered(
    installation: Installation, change: str, said: str
) -> None:
    request = installation.submit()
    installation.run("run-once")
    assert installation.run("verify").code == 0
    with by_hand(installation.folder / "var" / "dpsync.db") as connection:
        connection.execute(change)
    ran = installation.run("verify")
    assert (ran.code, "DP-603" in ran.err, f"request {request}: {said}" in ran.err) == (2, True, True), ran.err
    made = installation.run("dossier", request)
    assert (made.code, "THE RECORD COULD NOT BE VERIFIED" in made.out, said in made.out) == (2, True, True)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE request SET sealed = zeroblob(90) WHERE id = ?", "recorded it, so it cannot be opened"),
        ("UPDATE request SET wrapped_key = zeroblob(90) WHERE id = ?", "wrapped_key does not open under key_month"),
    ],
)
def test_what_was_sealed_and_is_changed_is_no_matter_of_keys_and_is_said_once(
    installation: Installation, change: str, said: str
) -> None:
    request, other = installation.submit(), installation.submit("--event-id", "later")
    with by_hand(installation.folder / "var" / "dpsync.db") as connection:
        connection.execute(change, (request,))
    ran = installation.run("verify")
    assert (ran.code, "DP-603" in ran.err, "DP-202" in ran.err) == (2, True, False)
    (line,) = (line for line in ran.err.splitlines() if request in line)
    assert said in line
    assert "NOT VERIFIED: 1 problem," in ran.out
    assert other not in ran.err


def test_a_request_that_was_deleted_by_hand_is_missed(installation: Installation) -> None:
    request = installation.submit()
    installation.submit("--event-id", "later")
    with by_hand(installation.folder / "var" / "dpsync.db") as connection:
        connection.execute("DELETE FROM propagation WHERE request_id = ?", (request,))
        connection.execute("DELETE FROM request WHERE id = ?", (request,))
    ran = installation.run("verify")
    assert (ran.code, "DP-603" in ran.err) == (2, True)
    said = f"request {request}: the ledger tells of it, and the database does not have it"
    assert said in ran.err
    made = installation.run("report")
    assert (made.code, "THE RECORD COULD NOT BE VERIFIED" in made.out, said in made.out) == (2, True, True)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            "UPDATE propagation SET state = 'verified', rung = 5 WHERE processor = 'forms'",
            "at forms: the database says state",
        ),
        ("UPDATE propagation SET rung = 6 WHERE processor = 'newsletter'", "rung 6; entry"),
        (
            "UPDATE propagation SET state = 'withdrawn' WHERE processor = 'newsletter'",
            "says state withdrawn, rung 5; entry",
        ),
        ("PRAGMA foreign_keys = OFF; DELETE FROM propagation WHERE processor = 'forms'", "its processors in the data"),
        ("UPDATE propagation SET told_at = told_at - 86400000000 WHERE told_at > 0", "the database says told_at"),
        ("UPDATE propagation SET done_at = done_at - 86400000000 WHERE done_at > 0", "the database says done_at"),
        ("UPDATE propagation SET done_at = opened_at WHERE done_at IS NULL", "at forms: the database says done_at"),
        ("UPDATE propagation SET right = 'opt_out'", "right is not that of the request"),
        ("UPDATE request SET right = 'opt_out'", "right is opt_out; entry"),
        ("UPDATE request SET due_on = '2099-12-31'", "due_on is 2099-12-31; entry"),
        ("UPDATE request SET due_at = due_at + 864000000000", "due_at is"),
        ("UPDATE request SET closed_at = accepted_at", "the database says closed_at"),
    ],
)
def test_a_state_or_a_date_that_was_written_by_hand_is_named_and_no_report_calls_it_unaltered(
    installation: Installation, change: str, said: str
) -> None:
    request = installation.submit()
    installation.run("run-once")
    installation.submit("--event-id", "later")
    good = installation.run("verify")
    assert (good.code, "every row agrees with it" in good.out) == (0, True), good.err
    with by_hand(installation.folder / "var" / "dpsync.db") as connection:
        connection.executescript(change)
    ran = installation.run("verify")
    assert (ran.code, "DP-603" in ran.err, "DP-601" in ran.err) == (2, True, False)
    assert f"request {request}" in ran.err
    assert said in ran.err
    shown = installation.run("verify", "--json")
    assert_documented("verify", shown.json)
    assert (shown.json["verified"], shown.json["problems"]) == (False, [])
    for argv in (("report",), ("dossier", request)):
        made = installation.run(*argv)
        assert (made.code, "THE RECORD COULD NOT BE VERIFIED" in made.out, said in made.out) == (2, True, True)


EDITS = {
    "another event": "replace(body, 'received', 'withdrew')",
    "another processor": "replace(body, 'newsletter', 'newsletteX')",
    "another digest": "substr(body, 1, 20) || 'x' || substr(body, 22)",
    "no JSON": "'nothing'",
    "no text": "x'ff00ff'",
}


@pytest.mark.parametrize("edit", sorted(EDITS))
def test_an_entry_edited_by_hand_is_told_of_in_every_proof_and_page_of_its_request(
    installation: Installation, edit: str
) -> None:
    request = installation.submit()
    installation.run("run-once")
    with by_hand(installation.folder / "var" / "dpsync.db") as connection:
        connection.execute("DROP TRIGGER entry_no_update")
        connection.execute(f"UPDATE entry SET body = CAST({EDITS[edit]} AS BLOB) WHERE request_id = ?", [request])  # noqa: S608 - because a test names it
    for argv in (("receipt", request, "-o", str(installation.folder / "r.json")), ("dossier", request), ("verify",)):
        ran = installation.run(*argv)
        assert (ran.code, "DP-100" in ran.err, "Traceback" in ran.err) == (2, False, False), (argv, ran.err)
    told = installation.run("receipt", request, "-o", str(installation.folder / "r.json"))
    assert told.err.startswith("DP-601: ")
    assert "dpsync verify" in told.err
    assert not (installation.folder / "r.json").exists()


def test_processors_says_what_cannot_be_done(installation: Installation) -> None:
    ran = installation.run("processors", "--json")
    assert_documented("processors", ran.json)
    assert "- Limits: " in installation.run("processors").out


def test_the_register_is_written_in_every_format_and_names_what_is_missing(installation: Installation) -> None:
    request = installation.submit()
    assert_documented("register", installation.run("register", "--json").json)
    plain = installation.run("register")
    assert (plain.code, "MISSING: not in the settings" in plain.out) == (0, True)
    for form in ("html", "csv", "json", "text"):
        assert installation.run("register", "--format", form).out
    file = installation.folder / "register.html"
    assert installation.run("register", "-o", str(file)).code == 0
    assert b"REHEARSAL" in file.read_bytes()
    assert installation.run("register", "--json", "--format", "csv").code == 64
    lines = installation.run("register", "--json").json["lines"]
    assert isinstance(lines, list)
    assert {one["processor"]: one["open_requests"] for one in lines} == {"newsletter": 1, "forms": 1}
    assert request not in plain.out


# --- processes


def test_run_once_beside_a_serve_says_75_and_names_the_holder(installation: Installation) -> None:
    with installation.serving() as process:
        ran = installation.run("run-once")
    assert ran.code == 75
    assert f"process {process.pid}" in ran.err
    assert process.returncode == 0


TWENTY_SUBMITS = """\
import os, sys
from dpsync.__main__ import main
configured = ["--config", sys.argv[1]]
main([*configured, "status"])
begin, go = os.pipe()
submits = []
for number in range(20):
    submits.append(os.fork())
    if not submits[-1]:
        os.close(go)
        os.read(begin, 1)
        os._exit(main([*configured, "submit", "opt_out", "--email", f"p{number}@example.org", "--id", f"crm-{number}"]))
os.close(go)
sys.exit(max(os.waitstatus_to_exitcode(os.waitpid(submit, 0)[1]) for submit in submits))
"""
"""Each is a process of its own that has loaded what a command needs, and waits until all of them are there."""


@pytest.mark.fault(19)
def test_twenty_submits_at_once_beside_a_running_service_lose_nothing(
    installation: Installation, counted: Counted
) -> None:
    installation.run("pause")
    with installation.serving():
        started = subprocess.run(
            [sys.executable, "-c", TWENTY_SUBMITS, str(installation.config)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert started.returncode == 0, started.stdout + started.stderr
    requests = [line.split()[0] for line in started.stdout.splitlines() if line.endswith(" accepted")]
    assert len(set(requests)) == len(requests) == 20, started.stdout
    assert installation.count("request") == 20
    assert installation.count("propagation") == 40
    assert installation.run("verify").code == 0
    counted(19, double_sends=installation.count("request") - 20)


def test_a_reader_that_goes_away_brings_no_trace(installation: Installation) -> None:
    process = installation.start("processors")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    process.wait(timeout=60)
    assert "Traceback" not in err
    assert "Exception" not in err


def test_an_address_that_is_taken_is_75_and_says_which(installation: Installation) -> None:
    with socket.create_server(("127.0.0.1", installation.port)):
        process = installation.start("serve")
        _, err = process.communicate(timeout=60)
    assert process.returncode == 75
    assert f"DP-104: cannot listen on 127.0.0.1:{installation.port}" in err
    assert "Traceback" not in err


def test_the_interrupt_of_a_service_is_an_orderly_end(installation: Installation) -> None:
    process = installation.start("serve")
    assert process.stderr is not None
    next(line for line in process.stderr if '"ready"' in line)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err


@pytest.mark.fault(18)
def test_a_signal_that_comes_again_and_again_ends_no_service_before_its_call_is_over(
    installation: Installation, sandbox: RunningSandbox, counted: Counted
) -> None:
    installation.submit()
    sandbox.switch(latency_ms=4000)
    process = installation.start("serve")
    assert process.stderr is not None
    next(line for line in process.stderr if '"ready"' in line)
    until(lambda: installation.count("attempt"))
    for _ in range(10):
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.1)
    process.communicate(timeout=60)
    assert process.returncode == 0
    with by_hand(installation.folder / "var" / "dpsync.db") as connection:
        assert connection.execute("SELECT count(*) FROM attempt WHERE ended_at IS NULL").fetchone() == (0,)
        counted(18, lost=connection.execute("SELECT count(*) FROM attempt WHERE ended_at IS NULL").fetchone()[0])


def test_a_table_through_a_pipe_is_whole(installation: Installation) -> None:
    request = installation.submit()
    process = installation.start("status", "--all")
    out, _ = process.communicate(timeout=60)
    assert request[:8] in out
    assert "\x1b" not in out
    assert max(map(len, out.splitlines())) > 80
    assert os.linesep.join(out.split("\n")) == out
