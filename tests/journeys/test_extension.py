"""A legal date is extended once, from the original start, and only after the person was told within the first month."""

from datetime import date, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from dpsync.errors import DecisionRefused, NotFound, UsageError
from dpsync.ledger.entry import decode
from dpsync.model import Right, Role
from dpsync.propagation.correspondence.reaching import open_propagations
from dpsync.propagation.decisions import Person
from dpsync.propagation.extending import extend
from dpsync.propagation.extensions import Extension, read
from dpsync.propagation.question_letters import about
from dpsync.reports.dossier import Dossier, dossier
from dpsync.reports.make import basis_of
from dpsync.reports.meaning import Late
from dpsync.store import tables as t
from tests.journeys.installation import FORMS, Installation, differences, installed, sqlite_url

ADA, DAY = "ada@example.org", timedelta(days=1)
WHO = Person("Kim", "kim", "three systems are older than their manuals")


def dossier_of(there: Installation, request_id: str) -> Dossier:
    service, now = there.service, there.clock.now()
    basis = basis_of(service, now)
    entries = [(row.idx, decode(row.body)) for row in there.rows(t.entry) if row.request_id == request_id]
    return service.read(lambda connection: dossier(connection, basis, request_id, entries=entries))


def extended(there: Installation, request_id: str, told_on: date, who: Person = WHO) -> Extension:
    now = there.clock.now()
    return there.service.write(lambda unit: extend(unit, there.service.controller, request_id, who, told_on, now))


def test_an_extension_counts_three_months_from_the_start_everywhere(database_url: str, tmp_path: Path) -> None:
    with installed(tmp_path, database_url, processors=FORMS) as there:
        one = there.ask(Right.ERASURE, ADA)  # 20 November
        there.clock.advance(20 * DAY)
        made = extended(there, one.id, date(2026, 12, 9))
        assert (made.due_on, made.strict_on) == (date(2027, 2, 22), date(2027, 2, 19))
        there.clock.advance(30 * DAY)  # past the first month, which ended on 21 December
        standing = dossier_of(there, one.id).asked
        assert (standing.due_on, standing.strict_on, standing.late) == (made.due_on, made.strict_on, Late.TARGET)
        assert standing.letter_by == made.strict_on
        assert standing.lines[0].late is Late.TARGET
        (open_one,) = there.service.read(open_propagations)
        assert (open_one.strict_on, open_one.due_at) == (made.strict_on, made.due_at)
        asked = there.service.write(
            lambda unit: about(unit.connection, there.service.controller, one.id, Role.DPO, there.clock.now())
        )
        assert asked.due_on == made.due_on
        (row,) = there.rows(t.request)
        assert row.due_on == "2026-12-21"
        there.clock.advance(45 * DAY)
        assert dossier_of(there, one.id).asked.late is Late.OVERDUE
        there.sound()


def test_it_is_on_the_record_and_a_change_of_it_is_found(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=FORMS) as there:
        one = there.ask(Right.ERASURE, ADA)
        made = extended(there, one.id, date(2026, 11, 20))
        assert read(made.detail) == made
        found = dossier_of(there, one.id)
        (decided,) = found.decisions
        assert (decided.by, decided.reason, decided.kind) == ("Kim", WHO.reason, "extend")
        (entry,) = [one for one in found.entries if one.event == "extended"]
        assert entry.fields["due"] == "2027-02-22"
        assert entry.fields["told_on"] == "2026-11-20"
        longer = made.detail.replace("due 2027-02-22", "due 2027-08-22")
        there.service.write(lambda unit: unit.connection.execute(update(t.decision).values(detail=longer)))
        assert any("detail" in one for one in differences(there.service))


@pytest.mark.parametrize(
    ("told_on", "after", "says"),
    [
        (date(2026, 11, 19), 5 * DAY, "within the first month, from 20 Nov 2026 to 21 Dec 2026"),
        (date(2026, 12, 22), 40 * DAY, "within the first month"),
        (date(2026, 11, 30), 5 * DAY, "in the future"),
    ],
)
def test_a_day_outside_the_first_month_is_refused(told_on: date, after: timedelta, says: str, tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=FORMS) as there:
        one = there.ask(Right.ERASURE, ADA)
        there.clock.advance(after)
        with pytest.raises(DecisionRefused, match=says):
            extended(there, one.id, told_on)
        assert there.rows(t.decision) == []


def test_an_objection_a_second_time_and_a_closed_request_are_refused(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=FORMS) as there:
        today = date(2026, 11, 20)
        opt_out, one = there.ask(Right.OPT_OUT, ADA), there.ask(Right.ERASURE, "bob@example.org", id="crm-2")
        with pytest.raises(DecisionRefused, match="24 hours"):
            extended(there, opt_out.id, today)
        extended(there, one.id, today)
        with pytest.raises(DecisionRefused, match="extended already, to 22 Feb 2027"):
            extended(there, one.id, today)
        with pytest.raises(UsageError, match="--reason"):
            extended(there, one.id, today, Person("Kim", "kim", " "))
        with pytest.raises(NotFound):
            extended(there, "r-NONE", today)
        closed = update(t.request).where(t.request.c.id == opt_out.id)
        there.service.write(
            lambda unit: unit.connection.execute(closed.values(right="erasure", closed_at=there.clock.now()))
        )
        with pytest.raises(DecisionRefused, match="closed"):
            extended(there, opt_out.id, today)
