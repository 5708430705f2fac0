"""`dpsync retention` and what `status` and `check` say of private conversations: the real commands on a real store."""

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from dpsync.__main__ import main
from dpsync.cli.shapes import SHAPES
from dpsync.connector import Conversation
from dpsync.installation import Installation
from dpsync.propagation import contacts
from dpsync.retention import acts, worklist
from dpsync.store import tables as t
from dpsync.store.writer import Unit
from tests.gardens import GARDENS
from tests.keeping import HEADER, export, standins, told
from tests.shapes import undocumented

DAY = timedelta(days=1)
BY = ("--by", "Dana Officer")
HOW = (*BY, "--how", "by telephone with the admin")
CONFIG = (
    GARDENS
    + """
[processors.inbox]
connector = "postbox"
contact = "privacy@postbox.example"
retention = { months = 3, admin = "inbox@example.org" }

[processors.forms]
connector = "notice"
contact = "privacy@stratosoft.example"
"""
)


class Folder:
    """An installation whose clock is the machine's."""

    def __init__(self, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.path = path
        self.config = path / "dpsync.toml"
        self.config.write_text(CONFIG)
        self._capsys = capsys
        assert self.run("init")[0] == 0

    def run(self, *argv: str) -> tuple[int, str, str]:
        self._capsys.readouterr()
        code = main(["--config", str(self.config), *argv])
        seen = self._capsys.readouterr()
        return code, seen.out, seen.err

    def json(self, *argv: str) -> tuple[int, dict[str, Any]]:
        """Run it for a program; its fields are those that are documented."""
        code, out, err = self.run(*argv, "--json")
        assert out, err
        value: dict[str, Any] = json.loads(out)
        shape = SHAPES.get(" ".join(argv[:2])) or SHAPES[argv[0]]
        assert undocumented(value, shape) == set()
        return code, value

    def write(self, work: Any) -> Any:
        with Installation(self.config, os.environ) as service:
            now = service.clock.now()
            return service.write(lambda unit: work(unit, service, now))

    def knows(self, *conversations: Conversation) -> None:
        """Webhooks told of these, and they are on a list."""

        def work(unit: Unit, service: Installation, now: datetime) -> None:
            acts.note(unit, service.controller, "inbox", conversations, now)
            worklist.make_list(unit, service.controller, "inbox", now)

        self.write(work)

    def references(self) -> list[str]:
        return [one["reference"] for one in self.json("retention", "show", "--all")[1]["conversations"]]


@pytest.fixture
def folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Folder]:
    with standins():
        yield Folder(tmp_path, capsys)


def ago(days: int) -> datetime:
    return datetime.now(UTC).replace(microsecond=0) - days * DAY


def day(days: int) -> str:
    return ago(days).date().isoformat()


def test_what_is_overdue_is_said_by_show_status_check_and_report(folder: Folder) -> None:
    assert folder.run("retention", "show")[0] == 0
    folder.knows(told(1, ago(100)), told(2, ago(10)))
    code, shown = folder.json("retention", "show")
    assert code == 2
    assert [(one["state"], one["overdue"]) for one in shown["conversations"]] == [("listed", True), ("kept", False)]
    assert shown["processors"][0]["overdue"] == 1
    code, out, err = folder.run("retention", "show")
    assert (code, "OVERDUE" in out, "Pigeon post is never told of." in err) == (2, True, True)

    code, standing = folder.json("status", "--fail-on", "late")
    assert code == 2
    assert "1 private conversation OVERDUE" in standing["summary"]
    assert "Nothing is late" not in standing["summary"]
    assert standing["conversations"][0]["overdue"] == 1
    assert folder.run("status")[0] == 0

    lines = [one for one in folder.json("check", "--offline")[1]["lines"] if one["what"] == "inbox conversations"]
    assert [(one["verdict"], one["code"]) for one in lines] == [("PROBLEM", "DP-340"), ("ok", "")]
    assert "[ OVERDUE ]" in folder.run("report")[1]

    folder.run("retention", "attest", *HOW)
    assert folder.run("retention", "show")[0] == 0
    assert folder.run("status", "--fail-on", "late")[0] == 0


def test_check_says_that_no_list_goes_out_before_the_admin_has_confirmed(folder: Folder) -> None:
    folder.write(partial(_confirm, "contact"))
    lines = folder.json("check", "--offline")[1]["lines"]
    assert next(one["text"] for one in lines if one["what"] == "inbox").endswith("no work list is sent")
    folder.write(partial(_confirm, "admin"))
    lines = folder.json("check", "--offline")[1]["lines"]
    assert next(one["verdict"] for one in lines if one["what"] == "inbox") == "ok"


def _confirm(who: str, unit: Unit, service: Installation, now: datetime) -> None:
    processor = service.controller.processors["inbox"]
    assert processor.retention is not None
    address = processor.contact if who == "contact" else processor.retention.admin
    contacts.register(unit.connection, service.controller, processor, now)
    here = t.contact.c.pseudonym == service.keys.pseudonym("address", address)
    unit.connection.execute(t.contact.update().where(here).values(confirmed_at=now))


def test_attesting_by_hand_all_or_some(folder: Folder) -> None:
    assert folder.run("retention", "attest", *HOW)[0] == 64
    folder.knows(told(1, ago(100)), told(2, ago(99)), told(3, ago(98)))
    first, *_ = folder.references()
    assert folder.json("retention", "attest", first, *HOW) == (
        0,
        {"version": 1, "processor": "inbox", "attested": 1},
    )
    assert folder.json("retention", "attest", *HOW)[1]["attested"] == 2
    code, _, err = folder.run("retention", "attest", first, *HOW)
    assert (code, "nothing new" in err) == (0, True)
    assert folder.run("retention", "attest", "DPS-NOBODY", *HOW)[0] == 64
    assert folder.run("retention", "attest", first, "--by", " ", "--how", "x")[0] == 64


def test_an_exception_names_its_day(folder: Folder) -> None:
    folder.knows(told(1, ago(100)))
    (reference,) = folder.references()
    why = (*BY, "--reason", "a claim is open")
    for until in ("someday", day(0), day(-200)):
        code, _, err = folder.run("retention", "except", reference, "--until", until, *why)
        assert code == 64
        assert "canary" not in err
    code, said = folder.json("retention", "except", reference, "--until", day(-30), *why)
    assert (code, said["until_on"]) == (0, day(-30))
    (one,) = folder.json("retention", "show")[1]["conversations"]
    assert (one["state"], one["until_on"], one["overdue"]) == ("excepted", day(-30), False)


def test_a_check_keeps_the_digest_and_not_the_file(folder: Folder) -> None:
    folder.knows(told(1, ago(100)), told(2, ago(100)))
    file = folder.path / "export.csv"
    file.write_text(export(("conv-canary-2", ago(100).isoformat())))
    span = ("--from", day(1000), "--to", day(93))
    code, said = folder.json("retention", "check", str(file), *span, *BY)
    assert code == 2
    counts = {name: said[name] for name in ("rows", "older", "verified", "contradicted", "new")}
    assert counts == {"rows": 1, "older": 1, "verified": 1, "contradicted": 1, "new": 0}
    file.write_text(HEADER)
    code, said = folder.json("retention", "check", str(file), "--processor", "inbox", *span, *BY)
    assert (code, said["verified"]) == (0, 1)
    _, _, err = folder.run("retention", "show")
    assert f"SHA-256 {said['sha256']}" in err
    assert "by Dana Officer" in err
    assert folder.json("verify")[1]["verified"] is True
    kept = b"".join(path.read_bytes() for path in folder.path.rglob("*") if path.is_file() and path != file)
    assert b"canary" not in kept


@pytest.mark.parametrize(
    ("text", "span", "code"),
    [
        ("", ("--from", "2020-01-01", "--to", "2020-12-31"), 64),
        ("a,b\r\n1,2\r\n", ("--from", "2020-01-01", "--to", "2020-12-31"), 64),
        (HEADER, ("--from", "2020-01-01", "--to", "soon"), 64),
        (HEADER, ("--from", "2020-01-01", "--to", "2999-12-31"), 64),
        (HEADER + "1,2,yesterday,fb\r\n", ("--from", "2020-01-01", "--to", "2020-12-31"), 64),
        (HEADER, ("--to", "2020-12-31"), 64),
    ],
)
def test_a_bad_file_or_range_changes_nothing(folder: Folder, text: str, span: tuple[str, ...], code: int) -> None:
    folder.knows(told(1, ago(100)))
    before = folder.json("retention", "show")[1], folder.json("verify")[1]["entries"]
    file = folder.path / "export.csv"
    file.write_text(text)
    ran = folder.run("retention", "check", str(file), *span, *BY)
    assert (ran[0], ran[1]) == (code, "")
    assert "DP-" in ran[2]
    assert (folder.json("retention", "show")[1], folder.json("verify")[1]["entries"]) == before
    assert folder.run("retention", "check", str(folder.path / "none.csv"), *span, *BY)[0] == 64


def test_a_statement_about_open_ones_is_kept(folder: Folder) -> None:
    assert folder.json("retention", "state-open", *HOW) == (0, {"version": 1, "processor": "inbox", "stated": 1})
    (one,) = folder.json("retention", "show")[1]["processors"]
    assert one["none_open"]["by"] == "Dana Officer"
    assert folder.run("retention", "state-open", "--by", "Dana", "--how", "")[0] == 64


@pytest.mark.parametrize("processor", ["forms", "nobody"])
def test_a_processor_without_a_rule_is_refused(folder: Folder, processor: str) -> None:
    for command in (("show",), ("attest", *HOW), ("state-open", *HOW)):
        code, _, err = folder.run("retention", *command, "--processor", processor)
        assert (code, "has no rule for private conversations" in err) == (64, True)


def test_the_jobs_of_a_rule_that_was_taken_out_are_not_missed(folder: Folder) -> None:
    def work(unit: Unit, _: Installation, now: datetime) -> None:
        for name in ("worklist:inbox", "retention", "worklist:gone"):
            unit.connection.execute(t.job.insert().values(name=name, due_at=now - 9 * DAY))

    folder.write(work)

    def jobs() -> str:
        return str(next(one["text"] for one in folder.json("check", "--offline")[1]["lines"] if one["what"] == "jobs"))

    assert jobs().startswith("overdue for more than a day: retention, worklist:inbox. ")
    folder.config.write_text("\n".join(line for line in CONFIG.splitlines() if not line.startswith("retention")))
    assert "overdue" not in jobs()
