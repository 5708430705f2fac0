"""A receipt says under its seal what each processor cannot do for the right, and what is open or unseen there."""

from datetime import timedelta
from pathlib import Path

from dpsync.ledger.receipt import dump, read_sealed
from dpsync.model import Right
from dpsync.propagation.remarks import NOT_CONFIGURED
from tests.journeys.installation import FORMS, NEWSLETTER, installed, sqlite_url

ADA = "ada@example.org"


def test_the_limits_and_the_open_points_of_each_processor_are_in_the_sealed_file(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=NEWSLETTER + FORMS) as there:
        there.sandbox.add(ADA)
        one = there.ask(Right.ERASURE, ADA)
        there.drive()
        value = there.service.receipt(one.id, there.clock.now())
        known = there.service.controller.processors
        said = value["remarks"]
        assert said.keys() == known.keys()
        assert said["newsletter"]["limits"] == known["newsletter"].connector.capabilities[Right.ERASURE].limits
        assert said["newsletter"]["open"].startswith("we saw it once")
        assert said["forms"]["open"] == "still open (held)"
        assert said["forms"]["limits"] == there.service.controller.notice.capabilities[Right.ERASURE].limits
        assert read_sealed(dump(value), one.id, there.service.log.keys) == value
        there.drive(after=timedelta(days=31))
        assert there.service.receipt(one.id, there.clock.now())["remarks"]["newsletter"]["open"] == ""


def test_of_a_processor_without_a_section_it_says_that_nothing_is_known(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=NEWSLETTER + FORMS) as there:
        one = there.ask(Right.RESTRICTION, ADA)
        there.restart((FORMS, ""))
        assert there.service.receipt(one.id, there.clock.now())["remarks"]["forms"] == {
            "limits": NOT_CONFIGURED,
            "open": "still open (held)",
        }
