"""`dpsync source` and what `dpsync check` says of main databases with a shape of their own."""

import json
import re
from pathlib import Path

import pytest

from dpsync.__main__ import main
from dpsync.intake.sources import reading
from tests.gardens import GARDENS

CONFIG = GARDENS
SOURCE = """
[sources.crm]
mapping = "supabase"
scheme = "static-header"
header = "X-Key"
reconciled_by = "a list compared each week"
secrets = [{ env = "DPSYNC_TEST_SOURCE" }]
"""
READY = [
    "civicrm",
    "custom",
    "datagrail-drop",
    "debezium",
    "debezium-cloudevents",
    "directus",
    "dynamics",
    "fides",
    "hasura",
    "hubspot",
    "kertos",
    "ketch",
    "mautic",
    "outbox",
    "salesforce",
    "shopify",
    "supabase",
    "transcend",
]
PERSON = {"schema": "public", "table": "person"}
ROW = {"id": 4711, "email": "ada@example.org", "updated_at": "2026-11-20T08:55:00+00:00"}


class Machine:
    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self._capsys = folder, capsys
        self.settings("")

    def settings(self, more: str) -> None:
        (self.folder / "dpsync.toml").write_text(CONFIG + more)

    def run(self, *words: str) -> tuple[int, str, str]:
        code = main(["--config", str(self.folder / "dpsync.toml"), *words])
        seen = self._capsys.readouterr()
        return code, seen.out, seen.err

    def message(self, content: object) -> str:
        path = self.folder / "message.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return str(path)


@pytest.fixture
def machine(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DPSYNC_TEST_SOURCE", "Zm9yLXRoZS1jb21tYW5kcw")
    return Machine(tmp_path, capsys)


def test_the_ready_mappings_are_listed_and_each_shows_a_message_that_can_be_tried(machine: Machine) -> None:
    code, out, _ = machine.run("source", "list", "--json")
    assert (code, json.loads(out)["ready"]) == (0, READY)
    for name in json.loads(out)["ready"]:
        assert name in machine.run("source", "list")[1]
        code, out, _ = machine.run("source", "sample", name)
        assert code == 0
        code, out, _ = machine.run("source", "test", name, machine.message(out))
        assert (code, "ada@example.org" in out or name == "hubspot") == (0, True)
    assert machine.run("source", "sample", "own.toml")[0] == 64


def test_a_message_is_shown_as_what_it_would_become_and_nothing_is_made(machine: Machine) -> None:
    machine.settings(SOURCE)
    gone = {"type": "DELETE", "schema": "public", "table": "person", "record": None, "old_record": ROW}
    code, out, _ = machine.run("source", "test", "crm", machine.message(gone), "--json")
    said = json.loads(out)
    assert (code, said["wishes"][0]["rule"], said["wishes"][0]["held"]) == (0, "row-deleted", True)
    assert said["wishes"][0]["data"]["subject"]["id"] == "crm:4711"
    assert "would be held" in machine.run("source", "test", "crm", machine.message(gone))[1]
    assert "would cool off" in machine.run("source", "test", "crm", machine.message(gone))[1]
    assert "would cool off" not in machine.run("source", "test", "supabase", machine.message(gone))[1]
    assert (said["wishes"][0]["cools"], "would cool off" in out) == (True, False)
    assert "means nothing" in machine.run("source", "test", "crm", machine.message({**gone, "type": "INSERT"}))[1]
    assert "/requests/crm" in machine.run("source", "list")[1]
    hold = {"type": "PLACE_ON_LEGAL_HOLD", "coreIdentifier": {"value": "4711"}}
    assert "a person is asked" in machine.run("source", "test", "transcend", machine.message(hold))[1]
    assert not (machine.folder / "var").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"type": "TRUNCATE", **PERSON}, "matches no rule"),
        ("{", "is not JSON"),
        (
            {"type": "DELETE", **PERSON, "old_record": {"id": 1, "updated_at": "x", "email": "no"}},
            "email",
        ),
        ({"type": "DELETE", **PERSON, "old_record": {"id": 1}}, "lacks what tells"),
        ({"type": "DELETE", **PERSON, "old_record": {**ROW, "name": "A\0"}}, "holds NUL"),
        ({"type": "UPDATE", **PERSON, "record": {"newsletter": False}, "old_record": {}}, "no-column-do-not-email"),
        (f'{{"type": "INSERT", "record": "{"x" * 256 * 1024}"}}', "larger than the 256 KiB"),
    ],
)
def test_a_message_that_would_be_refused_is_refused_here_with_the_reason(
    machine: Machine, content: object, said: str
) -> None:
    code, _, err = machine.run("source", "test", "supabase", machine.message(content))
    assert (code, said in err) == (64, True), err


def test_what_is_no_mapping_or_no_file_is_said(machine: Machine) -> None:
    code, _, err = machine.run("source", "test", "nowhere", machine.message({}))
    assert (code, "supabase" in err) == (78, True)
    assert machine.run("source", "test", "supabase", "nowhere.json")[0] == 64
    machine.settings(SOURCE.replace("static-header", "statik"))
    code, _, err = machine.run("source", "test", "crm", machine.message({}))
    assert (code, "sources.crm.scheme" in err) == (78, True), "settings that cannot be read are not no section"
    assert machine.run("source", "test", "supabase", machine.message({"type": "INSERT", **PERSON}))[0] == 0
    machine.settings("")
    (machine.folder / "own.toml").write_text("event = 'id'\n[[rules]]\nname = 'x'\n")
    code, _, err = machine.run("source", "test", "own.toml", machine.message({}))
    assert (code, "rules[0].when" in err) == (78, True), err


@pytest.mark.parametrize(
    ("was", "becomes", "said"),
    [
        ('header = "X-Key"\n', "", "names its header"),
        ('reconciled_by = "a list compared each week"\n', "", "proves little"),
        ('scheme = "static-header"', 'scheme = "github"', "belongs to the schemes static-header"),
        ("[sources.crm]", "[sources.webhook]", "must not have the name webhook"),
        ('"supabase"', '"nowhere.toml"', "sources.crm.mapping"),
    ],
)
def test_settings_that_cannot_be_are_refused_by_name(machine: Machine, was: str, becomes: str, said: str) -> None:
    assert machine.run("init")[0] == 0
    assert was in SOURCE
    machine.settings(SOURCE.replace(was, becomes))
    code, out, err = machine.run("check", "--offline")
    assert (code, said in out + err) == (78, True), out + err


def test_check_says_how_much_a_sources_signature_proves(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine.run("init")[0] == 0
    machine.settings(SOURCE)
    _, out, _ = machine.run("check", "--offline")
    assert "proves little" in out
    assert "Compared by: a list compared each week" in out
    for secret, said in (
        ("replace-me-with-something", "which anybody can guess"),
        ("Zm9yLXRoZS1jb21tYW5kcä", "cannot stand in a header"),
        (" Zm9yLXRoZS1jb21tYW5kcw", "cannot stand in a header"),
    ):
        monkeypatch.setenv("DPSYNC_TEST_SOURCE", secret)
        _, out, err = machine.run("check", "--offline")
        assert said in out + err
        assert secret not in out + err
    machine.settings(SOURCE.replace('header = "X-Key"\n', "").replace("static-header", "svix"))
    _, out, err = machine.run("check", "--offline")
    assert "sources.crm.secrets[0]" in out + err
    assert "intake.secrets" not in out + err
    monkeypatch.setenv("DPSYNC_TEST_SOURCE", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    _, out, err = machine.run("check", "--offline")
    assert "secrets[0]: a placeholder still stands there" in out + err
    machine.settings(SOURCE)
    monkeypatch.setenv("DPSYNC_TEST_SOURCE", "short")
    code, out, err = machine.run("check", "--offline")
    assert (code, "sources.crm.secrets[0]" in out + err, "short\n" in out + err) == (78, True, False)
    monkeypatch.delenv("DPSYNC_TEST_SOURCE")
    _, out, err = machine.run("check", "--offline")
    assert "sources.crm.secrets" in out + err


OUTBOX = """
[sources.crm]
mapping = "outbox"
outbox = { url = { env = "DPSYNC_TEST_SOURCE" }, table = "changes" }
"""


def test_the_sql_of_an_outbox_is_that_of_the_source_and_makes_every_trigger_of_its_mapping(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("civicrm", "outbox"):
        triggers = reading.load(name, Path()).triggers
        for engine, text in reading.sql_of(name).items():
            made = re.findall(r"CREATE TRIGGER (\w+)", machine.run("source", "outbox", name, "--engine", engine)[1])
            assert made == list(triggers), text
    assert machine.run("source", "outbox", "outbox")[0] == 64, "which of three databases?"
    assert machine.run("source", "outbox", "civicrm", "--engine", "sqlite")[0] == 64
    assert machine.run("source", "outbox", "supabase")[0] == 64
    assert machine.run("source", "outbox", "civicrm")[0] == 0
    monkeypatch.setenv("DPSYNC_TEST_SOURCE", "mysql://dpsync:secret-word@crm.example.org/crm")
    machine.settings(OUTBOX)
    code, out, _ = machine.run("source", "outbox", "crm")
    assert (code, "CREATE TABLE changes" in out, "dpsync_outbox" in out, "MariaDB" in out) == (0, True, False, True)
    assert "nothing: it is polled" in machine.run("source", "list")[1]


def test_check_names_an_outbox_that_cannot_be_read_and_never_its_password(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert machine.run("init")[0] == 0
    nowhere = machine.folder / "no" / "main.db"
    for url in ("mysql://dpsync:secret-word@127.0.0.1:9/crm", f"sqlite:///{nowhere}"):
        monkeypatch.setenv("DPSYNC_TEST_SOURCE", url)
        machine.settings(OUTBOX)
        _, out, err = machine.run("check")
        assert "source crm, outbox" in out
        assert "does not answer, or refuses the login" in out
        assert "secret-word" not in out + err
    assert not nowhere.exists()
    assert "Not asked (--offline)" in machine.run("check", "--offline")[1]
    monkeypatch.delenv("DPSYNC_TEST_SOURCE")
    assert "sources.crm.outbox.url" in machine.run("check", "--offline")[1]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ('mapping = "outbox"', "neither a scheme"),
        ('mapping = "outbox"\nsecrets = [{ env = "HOME" }]\noutbox = { url = "sqlite:///x.db" }', "go together"),
        ('mapping = "outbox"\nscheme = "github"', "go together"),
        ('mapping = "outbox"\noutbox = { url = "mysql://dpsync:word@crm.example.org/crm" }', "has a password in it"),
        ('mapping = "outbox"\noutbox = { url = "mysql://crm.example.org/crm?password=word" }', "has a password in it"),
        ('mapping = "outbox"\noutbox = { url = "oracle://crm.example.org/crm" }', "must begin with sqlite:///"),
        ('mapping = "outbox"\noutbox = { url = "sqlite:///x.db", table = "a; drop" }', "sources.crm.outbox.table"),
    ],
)
def test_an_outbox_that_cannot_be_is_refused_by_name(machine: Machine, source: str, said: str) -> None:
    assert machine.run("init")[0] == 0
    machine.settings(f"[sources.crm]\n{source}\n")
    code, out, err = machine.run("check", "--offline")
    assert (code, said in out + err, "word@" in out + err) == (78, True, False), out + err


def test_the_mapping_in_the_documentation_is_one() -> None:
    page = (Path(__file__).parents[2] / "docs" / "sources.md").read_text()
    text, more = [block for block in re.findall(r"```toml\n(.*?)```", page, re.DOTALL) if "[[rules]]" in block]
    assert [rule.name for rule in reading.parse(text).rules] == ["opted-out", "deleted", "moved"]
    assert [rule.name for rule in reading.parse(f"event = 'id'\n{more}").merge_rules] == ["merged"]
