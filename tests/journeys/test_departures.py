"""A processor that leaves: the letter is ready, a person sends it, and both steps stand in the record and register."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
import requests

from dpsync.__main__ import main
from dpsync.cases.departures import DepartureStep, case_of, departure, record
from dpsync.cases.values import Channel, PersonTold
from dpsync.errors import DecisionRefused
from dpsync.ledger.entry import decode
from dpsync.model import Role
from dpsync.propagation.decisions import Person as Recorder
from dpsync.propagation.page_links import STATUS, Page, PageKind, page_about
from dpsync.reports.make import letter_to_leaving, register_now
from dpsync.reports.register import remains
from dpsync.store import tables as t
from tests.journeys.installation import FORMS, NEWSLETTER, Installation, installed
from tests.journeys.test_cases_by_link import Keeper, link
from tests.journeys.test_letters_by_link import url_of

pytestmark = pytest.mark.no_database

DAY = timedelta(days=1)
LAST = date(2026, 11, 30)
LEAVES = NEWSLETTER + FORMS + 'leaving = "2026-11-30"\n'
DORA = Recorder("Dora Officer", "dora", "")


@pytest.fixture
def there(tmp_path: Path, database_url: str) -> Iterator[Installation]:
    with installed(tmp_path, database_url, processors=LEAVES, web=True) as made:
        yield made


def recorded(there: Installation, what: DepartureStep, on: date | None = None, last_day: date = LAST) -> None:
    service, now = there.service, there.clock.now()
    before = service.read(lambda connection: departure(connection, "forms", last_day))
    said = PersonTold(on or now.date(), Channel.POST, "ab" * 32)
    service.write(lambda unit: record(unit, service.controller, before, what, said, DORA, now))


def left(there: Installation) -> str:
    (line,) = [one for one in register_now(there.service, there.clock.now()).lines if one.processor == "forms"]
    return " ".join(remains(line))


def test_it_is_instructed_and_confirms_and_the_register_says_how_far_it_is(there: Installation) -> None:
    assert "Instruct it in writing" in left(there)
    letter = letter_to_leaving(there.service, "forms", there.clock.now())
    for said in ("Stratosoft, sign-up forms", "30 November 2026", "Art. 28(3)(g)", "back-ups", "dpo@"):
        assert said in letter
    with pytest.raises(DecisionRefused, match="record that first"):
        recorded(there, DepartureStep.CONFIRMED)
    recorded(there, DepartureStep.INSTRUCTED)
    assert "was instructed on Fri 20 Nov 2026" in left(there)
    there.clock.advance(3 * DAY)
    with pytest.raises(DecisionRefused, match="when it was instructed"):
        recorded(there, DepartureStep.CONFIRMED, date(2026, 11, 19))
    assert "ends on 30 November" in letter_to_leaving(there.service, "forms", there.clock.now())
    assert "ended on 30 November" in letter_to_leaving(there.service, "forms", there.clock.now() + 8 * DAY)
    recorded(there, DepartureStep.CONFIRMED)
    assert "It confirmed on Mon 23 Nov 2026" in left(there)
    with pytest.raises(DecisionRefused, match="already"):
        recorded(there, DepartureStep.INSTRUCTED)
    found = [decode(row.body) for row in there.rows(t.entry)]
    steps = [(one["kind"], one["dest"]) for one in found if str(one.get("kind", "")).startswith("leaving_")]
    assert steps == [("leaving_instructed", "forms"), ("leaving_confirmed", "forms")]
    there.sound()
    there.restart(("2026-11-30", "2027-03-31"))
    assert "Instruct it in writing" in left(there), "another last day is instructed anew"


def test_it_is_recorded_by_link_from_the_page_of_what_waits(there: Installation) -> None:
    case_id, url = case_of("forms"), link(there, STATUS)
    assert page_about(Role.DPO, [f"{case_id}/2026-11-30"]) == Page(PageKind.CASE, case_id)
    assert case_id in requests.get(url, timeout=60).text
    page = requests.get(f"{url}/{case_id}", timeout=60)
    assert "not instructed" in page.text
    assert "The end of our contract" in page.text
    dpo = Keeper(there, f"{url}/{case_id}")
    dpo.look()
    assert 'value="confirmed"' not in dpo.page.text
    assert dpo.record("instructed").status_code == 422
    on = there.clock.now().date()
    assert dpo.record("instructed", on=on.isoformat(), channel="mail").status_code == 200
    stands = there.service.read(lambda connection: departure(connection, "forms", LAST))
    assert (stands.instructed, stands.confirmed) == (PersonTold(on, Channel.MAIL), None)
    there.clock.advance(DAY)
    dpo = Keeper(there, url_of(there, Page(PageKind.CASE, case_id)))
    dpo.look()
    assert dpo.record("confirmed", on=on.isoformat(), channel="mail").status_code == 200
    assert case_id not in requests.get(url, timeout=60).text
    assert requests.get(f"{url}/L-newsletter", timeout=60).status_code == 404, "it does not leave"
    there.sound()


def test_by_command_the_letter_is_shown_and_each_step_is_recorded(
    there: Installation, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in there.environ.items():
        monkeypatch.setenv(name, value)
    command = ["--config", str(there.folder / "dpsync.toml"), "leaving"]
    assert main([*command, "forms"]) == 0
    assert "The end of our contract" in capsys.readouterr().out
    assert main([*command, "newsletter"]) == 64
    there.clock.advance(datetime.now(UTC) - there.clock.now())
    today = there.clock.now().date().isoformat()
    assert main([*command, "forms", "--instructed-on", today]) == 64
    assert main([*command, "forms", "--instructed-on", today, "--by", "Dora Officer"]) == 0
    assert f"forms  instructed on {today}, not confirmed" in capsys.readouterr().out
