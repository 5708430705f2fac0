"""A list asks for many at once, is known again, and is looked at before a mailing."""

import json
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from dpsync.__main__ import main
from dpsync.intake.lists import importing, reading
from dpsync.intake.lists.screening import Reason, Screened, screen
from dpsync.model import Right, State
from dpsync.store import tables as t
from tests.gardens import GARDENS
from tests.journeys.installation import Installation, installed

CONFIG = (
    GARDENS
    + """
[processors.forms]
connector = "notice"
contact = "privacy@stratosoft.example"
"""
)


class Machine:
    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self._capsys = folder, capsys
        (folder / "dpsync.toml").write_text(CONFIG)
        assert self.run("init")[0] == 0

    def run(self, *words: str) -> tuple[int, str, str]:
        self._capsys.readouterr()
        code = main(["--config", str(self.folder / "dpsync.toml"), *words])
        seen = self._capsys.readouterr()
        return code, seen.out, seen.err

    def listed(self, addresses: Sequence[str], name: str = "list.csv") -> str:
        path = self.folder / name
        path.write_text("\n".join(["Email", *addresses]))
        return str(path)

    def imported(self, right: str, file: str, *more: str) -> tuple[int, dict[str, object]]:
        code, out, err = self.run("import", right, file, "--by", "Dana Officer", "--json", *more)
        assert out, err
        return code, json.loads(out)


@pytest.fixture
def machine(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.chdir(tmp_path)
    return Machine(tmp_path, capsys)


def people(number: int, name: str = "p") -> list[str]:
    return [f"{name}{one}@example.org" for one in range(number)]


def test_a_dry_run_says_what_would_happen_and_stores_nothing(machine: Machine) -> None:
    file = machine.listed([*people(3), "p1@example.org", "nobody"])
    code, said = machine.imported("opt_out", file, "--dry-run")
    assert (code, said["new"], said["twice"], said["rejected"], said["accepted"]) == (2, 3, 1, 1, 0)
    assert json.loads(machine.run("status", "--json")[1])["requests"] == []
    code, said = machine.imported("opt_out", file)
    assert (code, said["held"], said["rejected"]) == (2, 3, 1)
    assert len(json.loads(machine.run("status", "--json")[1])["requests"]) == 3


def test_a_list_that_is_handed_in_again_makes_nothing_twice_and_new_rows_are_taken(machine: Machine) -> None:
    assert machine.imported("opt_out", machine.listed(people(3)))[1]["new"] == 3
    code, said = machine.imported("opt_out", machine.listed(people(4)))
    assert (code, said["known"], said["new"]) == (0, 3, 1)
    code, said = machine.imported("opt_out", machine.listed(people(4)))
    assert (code, said["known"], said["new"]) == (0, 4, 0)
    assert machine.imported("restriction", machine.listed(people(1)))[1]["new"] == 1, "another right is another wish"


def test_who_was_withdrawn_and_stands_in_the_list_again_is_not_passed_over_in_silence(machine: Machine) -> None:
    file = machine.listed(people(2))
    machine.imported("opt_out", file)
    (first, _) = json.loads(machine.run("status", "--json")[1])["requests"]
    assert machine.run("withdraw", first["request"], "--by", "Dana", "--reason", "a mistake")[0] == 0
    code, said = machine.imported("opt_out", file)
    assert (code, said["known"], said["withdrawn"], said["new"]) == (2, 2, 1, 0)
    assert "say when: --received" in machine.run("import", "opt_out", file, "--by", "Dana")[2]
    code, said = machine.imported("opt_out", file, "--received", "2026-11-20")
    assert (code, said["withdrawn"], said["new"]) == (0, 0, 2)


@pytest.mark.parametrize(("right", "most"), [("opt_out", 100), ("erasure", 10)])
def test_more_than_a_few_need_a_yes(machine: Machine, right: str, most: int) -> None:
    code, _, err = machine.run("import", right, machine.listed(people(most + 1)), "--by", "Dana Officer")
    assert (code, "add --yes" in err) == (64, True)
    assert json.loads(machine.run("status", "--json")[1])["requests"] == []
    assert machine.imported(right, machine.listed(people(most)))[1]["new"] == most
    assert machine.imported(right, machine.listed(people(most * 2 + 1)), "--yes")[1]["new"] == most + 1


def test_rows_that_are_not_understood_are_named_by_line_and_reason_alone(machine: Machine) -> None:
    code, said = machine.imported("erasure", machine.listed(["ada@example.org", "secret-name", "x y"]), "--yes")
    assert (code, said["rejected"]) == (2, 2)
    path = Path(str(said["rejects"]))
    text = path.read_text()
    assert [line.split(",")[:2] for line in text.splitlines()] == [
        ["line", "field"], ["3", "subject.email"], ["4", "subject.email"],
    ]  # fmt: skip
    assert "secret" not in text
    assert path.stat().st_mode & 0o077 == 0


def test_a_list_asks_for_what_a_list_can_and_by_a_named_person(machine: Machine) -> None:
    file = machine.listed(people(1))
    assert machine.run("import", "rectification", file, "--by", "Dana")[0] == 64
    assert machine.run("import", "opt_out", file)[0] == 64
    assert machine.run("import", "opt_out", file, "--by", "Dana", "--column", "fax=Email")[0] == 64
    code, _, err = machine.run("import", "opt_out", file, "--by", "Dana", "--received", "2026-11-01", "--dry-run")
    assert (code, "Email' as email" in err) == (0, True)


def test_before_a_mailing_whoever_must_not_get_it_is_left_out(machine: Machine) -> None:
    asked = [("opt_out", "ada"), ("erasure", "bob"), ("restriction", "eve"), ("opt_out", "joe")]
    ids = [machine.run("submit", right, "--email", f"{name}@example.org")[1].split()[0] for right, name in asked]
    assert machine.run("withdraw", ids[-1], "--by", "Dana", "--reason", "a mistake")[0] == 0
    path = machine.folder / "mailing.csv"
    path.write_text(
        "Name;E-Mail\nA;ADA@example.org\nB;bob@example.org\nE;eve@example.org\nJ;joe@example.org\nK;kim@example.org\nL;?\n"
    )
    out = machine.folder / "may.csv"
    code, said, _ = machine.run("screen", str(path), "-o", str(out), "--json")
    assert (code, json.loads(said)["kept"]) == (0, 2)
    assert json.loads(said)["left_out"] == {
        "opted out": 1, "erased": 1, "restricted": 1, "no address that can be read": 1,
    }  # fmt: skip
    assert out.read_text() == "Name;E-Mail\nJ;joe@example.org\nK;kim@example.org\n"
    assert machine.run("screen", str(path), "-o", str(path))[0] == 64
    assert "opted out" in machine.run("screen", str(path), "-o", str(out))[1]
    (machine.folder / "ids.csv").write_text("id\n7\n")
    assert machine.run("screen", str(machine.folder / "ids.csv"), "-o", str(out))[0] == 64


def test_a_list_reaches_the_processors_and_screening_knows_every_name_of_a_person(
    tmp_path: Path, database_url: str
) -> None:
    path = tmp_path / "list.csv"
    path.write_text("id,email,other emails\n7,ada@example.org,ada@work.example; ada@old.example\n8,bob@example.org,\n")

    def left_out(there: Installation, *addresses: str) -> list[str]:
        mailing = tmp_path / "mailing.csv"
        mailing.write_text("\n".join(["email", *addresses]))
        found = Screened()
        kept = there.service.read(
            lambda connection: list(screen(connection, there.service.keys, reading.read(mailing, {}).rows(), found))
        )
        assert found.kept == len(kept)
        return sorted(set(addresses) - {row.named["email"] for row in kept})

    with installed(tmp_path, database_url) as there:
        for one in ("ada@example.org", "ada@work.example", "bob@example.org"):
            there.sandbox.add(one)
        heard: list[int] = []
        bulk = importing.Bulk(Right.OPT_OUT, "Dana Officer")
        rows = reading.read(path, {}).rows
        tally = importing.take_in(there.service, rows(), bulk, there.clock.now(), heard.append)
        assert (tally["accepted"], heard) == (2, [2])
        assert importing.look(there.service, rows(), bulk, there.clock.now())["known"] == 2
        assert left_out(there, "ada@old.example", "kim@example.org", "BOB@example.org") == [
            "BOB@example.org", "ada@old.example",
        ]  # fmt: skip
        there.drive()
        assert {row.state for row in there.rows(t.propagation)} == {State.VERIFIED.value}
        assert {row.source for row in there.rows(t.request)} == {"import"}
        there.drive(timedelta(days=1))
        assert left_out(there, "ada@work.example", "kim@example.org") == ["ada@work.example"]
        there.sound()


def test_a_thousand_addresses_are_screened_in_a_few_questions(tmp_path: Path) -> None:
    from sqlalchemy import event

    asked: list[str] = []
    with installed(tmp_path, f"sqlite:///{tmp_path}/dpsync.db") as there:
        event.listen(there.service.engine, "before_cursor_execute", lambda *args: asked.append(args[2]))
        path = tmp_path / "list.csv"
        path.write_text("\n".join(["email", *people(1000)]))
        found = Screened()
        rows = reading.read(path, {}).rows()
        there.service.read(lambda connection: list(screen(connection, there.service.keys, rows, found)))
        assert (found.kept, found.left_out) == (1000, {})
        assert len([one for one in asked if one.startswith("SELECT")]) == 5 + 1
        assert Reason.OPTED_OUT not in found.left_out


def test_each_row_may_say_from_which_part_it_is_and_none_becomes_more(machine: Machine) -> None:
    path = machine.folder / "parts.csv"
    path.write_text("Email;Left;Way\nada@example.org;events;sms\nben@example.org;news;\ncy@example.org;;\n")
    parts = "--column", "topic=Left", "--column", "channel=Way"
    code, said = machine.imported("opt_out", str(path), *parts)
    assert (code, said["new"], said["rejected"]) == (2, 2, 1), "a row that says no part is no opt-out from everything"
    shown = json.loads(machine.run("status", "--json")[1])["requests"]
    assert sorted(one["scope"] for one in shown) == ["topic=events, channel=sms", "topic=news"]
    assert "4,scope," in Path(str(said["rejects"])).read_text()
    beside = machine.imported("opt_out", str(path), *parts[:2], "--scope", "channel=post", "--dry-run")[1]
    assert (beside["new"], beside["rejected"]) == (2, 1), "nor one from all of that channel"
    code, _, err = machine.run("import", "opt_out", str(path), "--by", "Dana", *parts, "--scope", "topic=x")
    assert (code, "both say the topic" in err) == (64, True)
    assert machine.run("screen", str(path), "-o", str(path) + ".out", "--column", "topic=Left")[0] == 64
    assert machine.imported("erasure", str(path), *parts)[1]["rejected"] == 3
