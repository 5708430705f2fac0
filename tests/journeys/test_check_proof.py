"""`dpsync check` says of each witness, each authority and the published hashes how far they have come."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from dpsync.alert_causes import AlertCause
from dpsync.alerts import Concern
from dpsync.cli.check_lines import CheckResult
from dpsync.cli.check_proof import with_others
from dpsync.store import meta
from tests.journeys.installation import Installation, installed, sqlite_url

KEY = "example.com/witness+10a1c019+BGSEitir7W6FmBs7OHWyUrh2frtLAvcDrKOx5xu9ao5Q"
WITNESSES = f'witnesses = [{{ url = "https://witness.example.org", key = "{KEY}" }}]'
STAMPS = 'stamps = [{ url = "https://tsa.example.org/tsr", root = "root.pem" }]'


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Installation]:
    with installed(tmp_path, sqlite_url(tmp_path)) as made:
        ledger = 'origin = "example.org/journeys"'
        made.restart((ledger, "\n".join([ledger, "tiles = true", WITNESSES, STAMPS])))
        yield made


def lines(there: Installation) -> dict[str, tuple[CheckResult, str]]:
    _, *found = with_others(there.service, there.clock.now())
    return {one.what: (one.verdict, one.text) for one in found}


def test_who_has_not_cosigned_yet_who_has_and_who_does_no_more(there: Installation) -> None:
    before = lines(there)
    assert before["witness"][0] is before["time stamps"][0] is CheckResult.WAITING
    assert before["witness"][1].startswith("example.com/witness has not cosigned the ledger yet")
    assert before["time stamps"][1].startswith("tsa.example.org has not stamped the ledger with the time yet")
    today = there.clock.now().astimezone(there.service.zone).date()
    for key, value in (("cosigned:10a1c019", f"1234 {today}"), ("stamped:tsa.example.org", f"{today}")):
        there.service.write(lambda unit, key=key, value=value: meta.put(unit.connection, key, value))  # type: ignore[misc]  # because mypy does not infer a lambda's default
    there.clock.advance(timedelta(days=3))
    found = lines(there)
    assert found["witness"][0] is found["time stamps"][0] is CheckResult.OK
    assert "cosigned the ledger, 1,234 entries of it, last on " in found["witness"][1]
    there.clock.advance(timedelta(days=1))
    found = lines(there)
    assert found["witness"][0] is found["time stamps"][0] is CheckResult.PROBLEM


def test_who_refused_is_named_with_what_to_do_until_there_is_a_good_answer(there: Installation) -> None:
    service, now = there.service, there.clock.now()
    lost = "it has cosigned what was lost"
    for cause, name, why in (
        (AlertCause.WITNESS, "example.com/witness", lost),
        (AlertCause.WITNESS, "example.com/witness/two", "of another"),
        (AlertCause.STAMP, "tsa.example.org", "it refused"),
    ):
        concern = Concern(f"{name}/{why}", f"{name}: {why}")
        service.tell(cause=cause, role="operator", subject="A", body="B", now=now, concerns=[concern])
    found = lines(there)
    assert found["witness"][0] is found["time stamps"][0] is CheckResult.PROBLEM
    assert found["witness"][1].startswith(f"example.com/witness: {lost}. dpsync asks again every hour: ask whoever")
    assert found["time stamps"][1].startswith("tsa.example.org: it refused. ")
    today = now.astimezone(service.zone).date()
    for key, value in (("cosigned:10a1c019", f"1234 {today}"), ("stamped:tsa.example.org", f"{today}")):
        service.write(lambda unit, key=key, value=value: meta.put(unit.connection, key, value))  # type: ignore[misc]  # because mypy does not infer a lambda's default
    found = lines(there)
    assert found["witness"][0] is found["time stamps"][0] is CheckResult.OK


def test_how_many_entries_are_published_and_that_files_are_gone(there: Installation) -> None:
    folder = there.service.settings.ledger.anchor / "tile"
    assert lines(there)["published hashes"] == (CheckResult.OK, f"of 2 entries, in {folder}")
    (folder / "0/000.p/2").unlink()
    assert lines(there)["published hashes"][0] is CheckResult.WAITING
