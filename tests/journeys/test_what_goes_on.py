"""The end of a command says what goes on by itself, and never that something does where it is stopped or nothing is."""

import pytest

from dpsync.connector import NotIdentifiable
from dpsync.model import Cause
from tests.journeys.test_suggestions import ACCEPTED, Place, held, place

__all__ = ["place"]


def test_each_stopped_place_is_named_with_its_own_command_and_nothing_is_said_to_go_on(place: Place) -> None:
    one = place.ask()
    for name in ("newsletter", "forms"):
        place.happens(one, held(Cause.APPROVAL), name)
    assert place.run("dpsync pause")[0] == 0
    code, out, err = place.run(
        f"dpsync release {one.id} --cause approval --cause contact_unverified --by NAME --reason WHY"
    )
    assert code == 0, err
    said = out + err
    assert {"(dpsync resume newsletter)", "(dpsync resume forms)"} <= {
        f"({part.partition(')')[0]})" for part in said.split("(")
    }
    assert "nothing: dpsync sends nothing to the processors that are left, because they are stopped." in said
    assert "within a second" not in said


def test_where_nothing_is_left_to_send_nobody_is_said_to_try_for_days(place: Place) -> None:
    one = place.ask()
    place.happens(one, [ACCEPTED])
    place.happens(one, [ACCEPTED], "forms")
    _, out, err = place.run(f"dpsync acknowledge {one.id} newsletter --answer received --by NAME --reason WHY")
    assert "there is nothing more to send now. dpsync waits for answers." in out + err


def test_nothing_is_said_to_have_gone_where_nothing_had(place: Place) -> None:
    one = place.ask()
    place.happens(one, [NotIdentifiable(reason="no address")])
    _, out, err = place.run(f"dpsync withdraw {one.id} --by NAME --reason WHY")
    assert "nothing was sent, and nothing is on its way" in out + err
    assert "cannot be called back" not in out + err


@pytest.mark.parametrize(
    ("form", "name", "code"),
    [
        ("text", "y.pdf", 64),
        ("json", "y.csv", 64),
        ("html", "y.xlsx", 64),
        ("csv", "y.txt", 64),
        ("html", "y.htm", 0),
        ("text", "report.2026-11", 0),
        ("text", "y", 0),
    ],
)
def test_a_report_is_never_written_under_the_ending_of_another_format(
    place: Place, form: str, name: str, code: int
) -> None:
    file = place.installation.folder / name
    assert place.run(f"dpsync report --format {form} -o {file}")[0] == code
    assert file.exists() is (code == 0)
