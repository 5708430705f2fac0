"""Canaries in what comes beside a request: complaints, incidents, a main database's own messages, merges that wait,
opt-outs at a processor, accounts that are stopped. Nothing that is written tells of them, open or closed.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
import requests
from sqlalchemy import Engine

from dpsync.cases import complaints
from dpsync.cases.incidents import Closing, Finding, IncidentKind, NewIncident, close, open_incident
from dpsync.cases.values import Channel, Complaint, NewComplaint, PersonTold, Result, Topic
from dpsync.model import Right
from dpsync.propagation.decisions import Person
from dpsync.propagation.queue.lanes import causes_of
from dpsync.reports.make import period_of
from dpsync.reports.render import text as report_text
from dpsync.running import metrics
from dpsync.store import tables as t
from tests.journeys.installation import FORMS, Installation, installed
from tests.journeys.test_canaries import MAIN, OTHER, SUBJECT, listening
from tests.journeys.test_canaries_forgotten import found_in, written_down
from tests.journeys.test_merges import MAPPING, SOURCE, crm, gone, merge, stop
from tests.journeys.test_observed import HEARS, Place

IGNORED = '[[ignore]]\nname = "other"\nwhen = { kind = "other" }\n'
WHO = Person(str(SUBJECT["name"]), "dana", f"{SUBJECT['name']} rang about {MAIN}")
DAY = timedelta(days=1)


@contextmanager
def served(folder: Path, database_url: str) -> Iterator[Installation]:
    (folder / "crm.toml").write_text(MAPPING + IGNORED)
    heard = HEARS.removesuffix(FORMS) + SOURCE + "\n[forgetting]\nafter_days = 30\n"
    with installed(folder, database_url, processors=heard, web=True) as there:
        there.sandbox.add(MAIN)
        there.sandbox.add(OTHER)
        yield there


def complaint(there: Installation, about: tuple[str, ...]) -> Complaint:
    """Recorded and acknowledged, with a canary in each word of it."""
    service, now = there.service, there.clock.now()
    note = f"{SUBJECT['name']}, {SUBJECT['phone']}, says that {MAIN} still gets mail"
    new = NewComplaint(now, Channel.MAIL, (Topic.DELAY,), about=about, note=note)
    made = service.write(lambda unit: complaints.open_complaint(unit, service.controller, new, WHO, now))
    told = PersonTold(now.date(), Channel.MAIL)
    service.write(lambda unit: complaints.acknowledge(unit, service.controller, made.id, told, WHO, now))
    return made


def incident(there: Installation, about: tuple[str, ...]) -> str:
    service, now = there.service, there.clock.now()
    facts = {name: f"{name}: {SUBJECT['name']}, {MAIN}" for name in ("what", "categories", "consequences", "measures")}
    new = NewIncident(IncidentKind.OTHER, now, facts, about)
    return service.write(lambda unit: open_incident(unit, service.controller, new, WHO, now)).id


def ended(there: Installation, case: Complaint, incident_id: str) -> None:
    service, now = there.service, there.clock.now()
    told, how = PersonTold(now.date(), Channel.MAIL), Closing(Finding.NOT_A_BREACH, reference=f"case of {MAIN}")
    service.write(lambda unit: complaints.decide(unit, service.controller, case.id, Result.UPHELD, told, WHO, now))
    service.write(lambda unit: close(unit, service.controller, incident_id, how, WHO, now))


def messages(there: Installation) -> list[str]:
    """What a main database of its own shape sends: understood, ignored, unheard of, and a merge that waits."""
    beside = {"note": f"{SUBJECT['name']} {SUBJECT['phone']}", "who": MAIN}
    assert crm(there, {**stop(1, MAIN), **beside})["code"] == 202
    assert crm(there, {"kind": "other", "person": 1, **beside})["code"] == 200
    assert crm(there, gone(2, OTHER))["status"] == "held"
    assert crm(there, merge(1, 2, old_email=MAIN, email=OTHER))["status"] == "held"
    url = f"{there.url}/requests/crm"
    said = [
        requests.post(url, json={"events": [{"kind": MAIN, **beside}]}, timeout=60),
        requests.post(f"{url}/{MAIN}", data=MAIN.encode(), timeout=60),
    ]
    return [one.text + str(one.headers) for one in said]


def read_by_people(there: Installation) -> Iterator[tuple[str, bytes]]:
    """The report of the month, the metrics."""
    now = there.clock.now()
    last = now.date()
    yield "report", report_text(period_of(there.service, last.replace(day=1), last, now)).encode()
    yield "metrics", metrics.exposition(there.service)[0]


def hits(there: Installation, engine: Engine) -> set[str]:
    seen = [*written_down(there, engine), *read_by_people(there)]
    return {f"{place}: {one}" for place, said in seen for one in found_in(said)}


def test_nothing_that_is_written_tells_of_whom_a_case_a_message_or_a_merge_is(
    database_url: str, engine: Engine, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with listening() as lines, served(tmp_path, database_url) as there:
        answers = messages(there)
        place = Place(there)
        place.becomes("unsubscribed", OTHER)
        assert place.hook(OTHER, data_merges=str(SUBJECT["name"])) == 200
        there.drive(timedelta(minutes=30))
        there.service.write(lambda unit: unit.connection.execute(t.account.update().values(stopped="person")))
        there.ask(Right.RESTRICTION, MAIN, id="1", name=SUBJECT["name"], phone=SUBJECT["phone"])
        about = tuple(row.id for row in there.rows(t.request))
        case, broken = complaint(there, about), incident(there, about)
        for _ in range(3):
            there.drive(DAY)
        assert [row for row in there.rows(t.propagation) if causes_of(row.causes)], "something is held"
        assert {"merge-held", "incident-48h", "incident-72h"} <= {one.cause for one in there.told()}
        assert sorted(hits(there, engine)) == []
        ended(there, case, broken)
        assert sorted(hits(there, engine)) == []
    out, err = capfd.readouterr()
    assert sorted(found_in((out + err + lines.getvalue() + "".join(answers)).encode())) == []
