"""Nobody who opted out is let through by another name of theirs, and nobody is looked up under half a name."""

from pathlib import Path

import pytest

from dpsync.intake.lists import reading
from dpsync.intake.lists.screening import Reason, Screened, screen
from dpsync.model import Right
from tests.journeys.installation import Installation, installed
from tests.journeys.test_lists import Machine, machine  # noqa: F401 - because it is a fixture
from tests.journeys.test_rotation import changed


def screened(there: Installation, text: str, **columns: str) -> tuple[int, dict[Reason, int]]:
    path = there.folder / "mailing.csv"
    path.write_text(text)
    found, rows = Screened(), reading.read(path, columns).rows()
    there.service.read(lambda connection: list(screen(connection, there.service.keys, rows, found)))
    return found.kept, dict(found.left_out)


def test_every_name_in_a_row_is_looked_at_and_not_the_address_alone(tmp_path: Path, database_url: str) -> None:
    with installed(tmp_path, database_url) as there:
        there.ask(Right.OPT_OUT, "ada@example.org", id="crm-1")
        changed(there, "pepper")
        out = {Reason.OPTED_OUT: 1}
        assert screened(there, "number,email\ncrm-1,new@example.org\n", id="number") == (0, out)
        assert screened(there, "number,email\ncrm-2,new@example.org\n", id="number") == (1, {})
        assert screened(there, "email,other emails\nnew@example.org,x@example.org ada@example.org\n") == (0, out)
        assert screened(there, "email,other emails\nnew@example.org,Ada\n") == (0, {Reason.UNREADABLE: 1})


@pytest.mark.no_database
def test_who_opted_out_by_address_alone_is_left_out_under_the_other_addresses_of_whoever_shares_it(
    tmp_path: Path, database_url: str
) -> None:
    with installed(tmp_path, database_url) as there:
        there.ask(Right.OPT_OUT, "ada@example.org", id=None)
        there.ask(Right.RECTIFICATION, "ada@example.org", id="crm-1", changes={"email": "ada.new@example.org"})
        there.ask(Right.OPT_OUT, "joe@example.org", id="crm-2")
        there.ask(Right.RECTIFICATION, "joe@example.org", id="crm-3", changes={"email": "jane@example.org"})
        changed(there, "pepper")
        assert screened(there, "email\nada.new@example.org\n") == (0, {Reason.OPTED_OUT: 1})
        assert screened(there, "email\njane@example.org\n") == (1, {}), "another id is another person for sure"


def test_the_strongest_reason_is_said_and_how_the_list_was_read(machine: Machine) -> None:  # noqa: F811 - because it is the fixture
    for right, name in (("erasure", "ada"), ("opt_out", "bob")):
        assert machine.run("submit", right, "--email", f"{name}@example.org")[0] == 0
    (machine.folder / "m.csv").write_text("Email,Note,Other emails\nada@example.org,x,bob@example.org\n")
    said = "".join(machine.run("screen", str(machine.folder / "m.csv"), "-o", str(machine.folder / "o.csv"))[1:])
    assert [line.split()[:2] for line in said.splitlines() if line.startswith("opted")] == [["opted", "out"]]
    assert "'Email' as email" in said
    assert "Passed over: Note." in said


@pytest.mark.parametrize(
    ("option", "value"), [("--email", "Ada <ada@example.org>"), ("--email", "ada"), ("--phone", "unknown")]
)
def test_half_a_name_is_refused_and_does_not_read_as_if_nothing_had_been_asked(
    option: str,
    value: str,
    machine: Machine,  # noqa: F811 - because it is the fixture
) -> None:
    code, out, err = machine.run("find", option, value)
    assert (code, out) == (64, ""), err
    assert value not in err


def test_an_id_is_found_with_blanks_around_it(machine: Machine) -> None:  # noqa: F811 - because it is the fixture
    request = machine.run("submit", "opt_out", "--email", "ada@example.org", "--id", "crm-1")[1].split()[0]
    assert request in machine.run("find", "--id", " crm-1 ")[1]
