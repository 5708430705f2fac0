"""Incidents: proposed where dpsync sees a cause, 72 hours without a weekend, and the record that Art. 33 asks for."""

from datetime import date, timedelta
from pathlib import Path

import pytest

from dpsync.cases import incidents as cases
from dpsync.cases.incidents import (
    FACTS,
    Closing,
    Finding,
    Incident,
    IncidentKind,
    NewIncident,
    Stage,
    close,
    facts_of,
    open_incident,
)
from dpsync.cases.standing import incident_tally
from dpsync.errors import DecisionRefused, NotFound, UsageError
from dpsync.model import Right
from dpsync.propagation.decisions import Person, decide
from dpsync.propagation.rules.lifecycle import DecisionKind
from dpsync.store import tables as t
from tests.journeys.installation import FORMS, NEWSLETTER, Installation, installed, sqlite_url
from tests.journeys.test_complaints import CONFIG, climbed, ran

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
WHO = Person("Dana Officer", "dana", "the import was wrong")
WHAT = {"what": "Ada was taken for another Ada", "categories": "one member: name and address"}


def found(there: Installation) -> list[Incident]:
    return list(there.service.read(cases.incidents))


def withdrawn(there: Installation, request_id: str) -> None:
    service, now = there.service, there.clock.now()
    service.write(lambda unit: decide(unit, service.controller, request_id, DecisionKind.WITHDRAW, WHO, now))


def opened(there: Installation, case_id: str = "", **more: object) -> Incident:
    new = NewIncident(**{"kind": IncidentKind.OTHER, "aware_at": there.clock.now(), "facts": WHAT, **more})  # type: ignore[arg-type]  # because the fields are given by name
    service, now = there.service, there.clock.now()
    return service.write(lambda unit: open_incident(unit, service.controller, new, WHO, now, case_id=case_id))


def closed(there: Installation, case_id: str, how: Closing, who: Person = WHO) -> Incident:
    service, now = there.service, there.clock.now()
    return service.write(lambda unit: close(unit, service.controller, case_id, how, who, now))


def test_a_withdrawal_after_an_erasure_proposes_an_incident_once(database_url: str, tmp_path: Path) -> None:
    with installed(tmp_path, database_url, processors=NEWSLETTER + FORMS) as there:
        there.sandbox.add("ada@example.org")
        one = there.ask(Right.ERASURE, "ada@example.org")
        there.drive()
        assert climbed(there) == []
        there.clock.advance(DAY)
        withdrawn(there, one.id)
        since = there.clock.now()
        assert climbed(there, HOUR) == [("dpo", "incident-proposed")]
        (proposed,) = found(there)
        assert (proposed.kind, proposed.stage, proposed.about) == (
            IncidentKind.MISTAKEN_ERASURE,
            Stage.PROPOSED,
            (one.id,),
        )
        assert (proposed.aware_at, proposed.limit_at) == (since, since + timedelta(hours=72))
        assert proposed.id in there.told()[-1].text
        assert climbed(there, HOUR) == []
        there.sound()


def test_an_erasure_that_is_taken_back_when_all_is_done_is_kept_once_and_proposes_an_incident(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=NEWSLETTER) as there:
        there.sandbox.add("ada@example.org")
        one = there.ask(Right.ERASURE, "ada@example.org")
        there.drive()
        service, now = there.service, there.clock.now()
        for kept in (True, False):
            (late,) = service.write(
                lambda unit: decide(unit, service.controller, one.id, DecisionKind.WITHDRAW, WHO, now)
            )
            assert (late.kept, "cannot be called back" in late.refused) == (kept, True)
        assert [row.kind for row in there.rows(t.decision)] == ["withdraw"]
        assert climbed(there, HOUR) == [("dpo", "incident-proposed")]
        (proposed,) = found(there)
        assert (proposed.kind, proposed.about) == (IncidentKind.MISTAKEN_ERASURE, (one.id,))
        there.sound()


def test_what_is_no_erasure_and_done_is_not_taken_back(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=NEWSLETTER) as there:
        there.sandbox.add("ada@example.org")
        one = there.ask(Right.OPT_OUT, "ada@example.org")
        there.drive()
        withdrawn(there, one.id)
        assert there.rows(t.decision) == []
        assert climbed(there, HOUR) == []


def test_a_withdrawal_before_anything_was_told_proposes_none(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=FORMS) as there:
        one = there.ask(Right.ERASURE, "ada@example.org")
        withdrawn(there, one.id)
        stopped = there.ask(Right.OPT_OUT, "bob@example.org", id="crm-2")
        there.drive()
        withdrawn(there, stopped.id)
        assert (climbed(there), found(there)) == ([], [])


def test_a_letter_to_the_wrong_recipient_proposes_an_incident(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=FORMS) as there:
        one = there.ask(Right.ERASURE, "ada@example.org")
        (row,) = there.rows(t.propagation)
        answer = {"propagation_id": row.id, "number": 0, "kind": "wrong_recipient", "final": True, "sealed": b"x"}
        there.service.write(
            lambda unit: unit.connection.execute(t.answer.insert().values(**answer, at=there.clock.now()))
        )
        assert climbed(there) == [("dpo", "incident-proposed")]
        (proposed,) = found(there)
        assert (proposed.kind, proposed.about) == (IncidentKind.WRONG_RECIPIENT, (one.id,))


def test_the_service_proposes_an_incident_within_a_minute_of_what_shows_it(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=NEWSLETTER + FORMS) as there:
        there.sandbox.add("ada@example.org")
        one = there.ask(Right.ERASURE, "ada@example.org")
        there.drive(HOUR)
        withdrawn(there, one.id)
        since = there.clock.now()
        there.drive(timedelta(minutes=1))
        (proposed,) = found(there)
        assert (proposed.aware_at, ("dpo", "incident-proposed") in there.alerts()) == (since, True)
        there.drive(timedelta(minutes=1))
        assert len(found(there)) == 1


def test_a_lost_key_proposes_an_incident_about_the_requests_of_its_month(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=FORMS) as there:
        one = there.ask(Right.ERASURE, "ada@example.org")
        (lost,) = there.service.settings.keys.directory.glob("months/2026-11*")
        lost.unlink()
        assert climbed(there) == [("dpo", "incident-proposed")]
        (proposed,) = found(there)
        assert (proposed.kind, proposed.cause, proposed.about) == (IncidentKind.LOST_KEY, "key/2026-11", (one.id,))


def test_the_72_hours_know_no_weekend_and_are_told_before_and_after_their_end(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=FORMS) as there:
        made = opened(there)  # Friday 20 November, 09:00
        assert made.limit_at == there.clock.now() + 3 * DAY
        assert climbed(there, 47 * HOUR) == []
        assert climbed(there, HOUR) == [("dpo", "incident-48h")]
        assert climbed(there, 23 * HOUR) == []
        assert climbed(there, HOUR) == [("dpo", "incident-72h")]
        assert climbed(there, DAY) == [("dpo", "incident-72h")]
        closed(there, made.id, Closing(Finding.BREACH_NO_RISK))
        assert climbed(there, DAY) == []
        there.sound()


def test_an_incident_is_opened_from_a_proposal_with_the_earlier_time_and_closed_with_what_was_done(
    tmp_path: Path,
) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=NEWSLETTER + FORMS) as there:
        there.sandbox.add("ada@example.org")
        one = there.ask(Right.ERASURE, "ada@example.org")
        there.drive()
        withdrawn(there, one.id)
        climbed(there)
        (proposed,) = found(there)
        with pytest.raises(DecisionRefused, match="open it first"):
            closed(there, proposed.id, Closing(Finding.BREACH_NO_RISK))
        there.clock.advance(5 * HOUR)
        made = opened(there, proposed.id, people=1, records=3)
        assert (made.aware_at, made.kind, made.stage) == (proposed.aware_at, proposed.kind, Stage.OPEN)
        assert (made.people, made.records, made.about) == (1, 3, (one.id,))
        facts = there.service.read(lambda connection: facts_of(connection, there.service.keys, made.id))
        assert facts == WHAT
        ended = closed(
            there, made.id, Closing(Finding.BREACH_NOTIFIED, date(2026, 11, 20), "ICO-7", date(2026, 11, 20))
        )
        assert (ended.stage, ended.finding, ended.notified_on) == (
            Stage.CLOSED,
            Finding.BREACH_NOTIFIED,
            date(2026, 11, 20),
        )
        tally = incident_tally(
            found(there), date(2026, 11, 1), date(2026, 11, 30), there.clock.now(), there.service.zone
        )
        assert (tally.recorded, tally.open, tally.proposed, tally.breaches, tally.notified) == (1, 0, 0, 1, 1)
        there.sound()


def test_what_cannot_be_recorded_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=FORMS) as there:
        with pytest.raises(UsageError, match="--what"):
            opened(there, facts={"measures": "none"})
        with pytest.raises(DecisionRefused, match="in the future"):
            opened(there, aware_at=there.clock.now() + HOUR)
        with pytest.raises(NotFound):
            opened(there, about=("r-NONE",))
        made = opened(there)
        with pytest.raises(UsageError, match="--notified-on"):
            closed(there, made.id, Closing(Finding.BREACH_NOTIFIED))
        with pytest.raises(UsageError, match="--notified-on"):
            closed(there, made.id, Closing(Finding.NOT_A_BREACH, date(2026, 11, 20)))
        with pytest.raises(DecisionRefused, match="in the future"):
            closed(there, made.id, Closing(Finding.BREACH_NOTIFIED, date(2026, 11, 21)))
        with pytest.raises(DecisionRefused, match="before 20 Nov 2026, when you became aware of it"):
            closed(there, made.id, Closing(Finding.BREACH_NOTIFIED, date(2020, 1, 1)))
        with pytest.raises(UsageError, match="--reason"):
            closed(there, made.id, Closing(Finding.NOT_A_BREACH), Person("Dana", "dana", ""))
        closed(there, made.id, Closing(Finding.NOT_A_BREACH))
        with pytest.raises(DecisionRefused, match="closed already"):
            closed(there, made.id, Closing(Finding.NOT_A_BREACH))
        with pytest.raises(DecisionRefused, match="closed"):
            opened(there, made.id)


def test_by_command_an_incident_is_opened_shown_and_closed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "dpsync.toml").write_text(CONFIG, encoding="utf-8")
    by = ("--by", "Dana Officer")
    assert ran(tmp_path, capsys, "init")[0] == 0
    aware = ("--aware", "2026-11-02T09:30+00:00")
    code, said = ran(tmp_path, capsys, "incident", "open", "--what", "a laptop is lost", *aware, "--people", "40", *by)
    assert (code, "72 hours end 5 Nov 2026, 09:30 GMT" in said, "dpsync notifies nobody" in said) == (0, True, True)
    assert "while the incident is open" in said
    case_id = said.split()[0]
    code, said = ran(tmp_path, capsys, "incident", "list")
    assert (code, case_id in said, "a laptop is lost" in said) == (2, True, True)
    code, said = ran(tmp_path, capsys, "incident", "show", case_id)
    assert all(title in said for title in FACTS.values())
    assert "a laptop is lost" in said
    assert "not written down" in said
    assert "About how many people (Art. 33(3)(a)): 40\n" in said
    assert "About how many records (Art. 33(3)(a)): not written down\n" in said
    no_risk = ("--finding", "breach_no_risk", "--reason", "its disk is encrypted", *by)
    code, said = ran(tmp_path, capsys, "incident", "close", case_id, *no_risk)
    assert (code, "dpsync notifies nobody." in said, "while the incident is open" in said) == (0, True, False)
    assert ran(tmp_path, capsys, "incident", "list")[0] == 0
    assert ran(tmp_path, capsys, "verify")[0] == 0
