"""Years after all was finished, the pseudonyms of a person and the receipts go, as the settings say; opt-outs stay."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert, update

from dpsync.cases import holds
from dpsync.cases.complaints import open_complaint
from dpsync.cases.incidents import Closing, Finding, IncidentKind, NewIncident, open_incident
from dpsync.cases.incidents import close as close_incident
from dpsync.cases.values import Channel, NewComplaint, Topic
from dpsync.ledger.entry import decode
from dpsync.model import Right
from dpsync.propagation import proof_boxes
from dpsync.propagation.correspondence.incoming import keep_answer
from dpsync.propagation.decisions import Person
from dpsync.propagation.forgetting import unnamed
from dpsync.propagation.rules.event import AnswerKind
from dpsync.running import ended_periods
from dpsync.running.ended_periods import years_before
from dpsync.soundness import judge
from dpsync.store import shelf
from dpsync.store import tables as t
from dpsync.store.case_tables import case_act
from dpsync.store.proof_tables import proof_of
from dpsync.store.reconciling_tables import listed_person
from tests.journeys.installation import Asked, Installation, sqlite_url
from tests.journeys.test_forgetting import ADA, BEN, DANA, at_work, finished, later, request_of, written
from tests.journeys.test_month_keys import close, complain

YEARS = "\n[forgetting]\npseudonyms_after_years = 1\nreceipts_after_years = 1\n"
SHORT = "\n[forgetting]\n" + "".join(f"{kind}_after_years = 1\n" for kind in ("proofs", "memories", "cases"))
CARA = "cara@example.org"


def receipt(there: Installation, one: Asked) -> Path:
    return there.service.custody.receipts.place(one.id)


def persons(there: Installation) -> dict[str, str]:
    return {row.id: row.person for row in there.rows(t.request)}


def test_they_go_after_their_years_and_an_opt_out_and_evidence_stay(tmp_path: Path, database_url: str) -> None:
    with at_work(tmp_path, database_url, settings=YEARS) as there:
        gone = finished(there)
        left = finished(there, Right.OPT_OUT, BEN, id="crm-2")
        needed = finished(there, email=CARA, id="crm-3")
        before = persons(there)
        listed = [{"source": "crm", "person": one, "first_at": there.clock.now()} for one in before.values()]
        there.service.write(lambda unit: unit.connection.execute(insert(listed_person), listed))
        later(there, 40)
        complain(there, needed)
        there.clock.advance(timedelta(days=295))
        later(there, 14)
        assert persons(there) == before
        assert there.service.read(unnamed) == 0
        assert receipt(there, gone).exists()
        later(there, 21)
        names = {row.person for row in there.rows(t.alias)}
        assert names == {before[left.id], before[needed.id]} == {row.person for row in there.rows(listed_person)}
        assert persons(there)[gone.id] not in before.values()
        assert {row.person for row in there.rows(t.propagation)} == set(persons(there).values())
        assert [receipt(there, one).exists() for one in (gone, left, needed)] == [False, False, True]
        said = [decode(row.body) for row in there.rows(t.entry)]
        assert [one["req"] for one in said if one.get("kind") == "pseudonym"] == [gone.id]
        deleted = {one["name"] for one in said if one["event"] == "shredded" and one.get("kind") == "receipt"}
        assert deleted == {f"{gone.id}.json", f"{left.id}.json"}
        assert there.service.read(unnamed) == 1
        assert judge(there.service, there.clock.now(), full=True).problems == ()
        anew = there.ask(Right.ERASURE, ADA)
        assert persons(there)[anew.id] == before[gone.id], "the id has the same pseudonym again, and no past"
        assert len([row for row in there.rows(t.request) if row.person == before[gone.id]]) == 1
        close(there)
        later(there, 7)
        assert not receipt(there, needed).exists()
        assert judge(there.service, there.clock.now(), full=True).problems == ()


def test_nothing_goes_where_the_settings_do_not_say_so_or_where_a_younger_request_of_the_person_is_kept(
    tmp_path: Path,
) -> None:
    with at_work(tmp_path, sqlite_url(tmp_path), settings=YEARS.replace("receipts_after_years = 1\n", "")) as there:
        one = finished(there)
        later(there, 40)
        there.clock.advance(timedelta(days=260))
        finished(there, Right.RECTIFICATION, BEN, changes={"first_name": "Ada"})
        before = persons(there)
        there.clock.advance(timedelta(days=60))
        later(there, 14)
        assert persons(there) == before
        assert {row.person for row in there.rows(t.alias)} == {before[one.id]}
        assert receipt(there, one).exists()


def boxes(there: Installation, email: str) -> set[int]:
    """From which years what leads from that address to a proof is kept."""
    places = there.service.keys.proof_places("address", email)
    return {row.year for row in there.rows(proof_of) if row.pseudonym in places}


def words(there: Installation) -> str:
    """All that is sealed of decisions, answers and cases, opened."""
    sealed = [("decision", row.sealed, row.request_id) for row in there.rows(t.decision)]
    sealed += [("answer", row.sealed, str(row.propagation_id)) for row in there.rows(t.answer)]
    sealed += [("case", row.sealed, row.case_id) for row in there.rows(case_act)]
    return b"\n".join(there.service.keys.open(kind, one, place.encode()) for kind, one, place in sealed).decode()


def decided(there: Installation, one: Asked, reason: str, until: date) -> None:
    now, dana = there.clock.now(), Person("Dana Officer", "dana", reason)
    there.service.write(lambda unit: holds.hold(unit, there.service.controller, one.id, until, dana, now))


def answered(there: Installation, one: Asked, name: str, remark: str) -> None:
    (part,) = [row.id for row in there.rows(t.propagation) if (row.request_id, row.processor) == (one.id, "newsletter")]
    said, now, controller = {"name": name, "remark": remark}, there.clock.now(), there.service.controller
    there.service.write(lambda unit: keep_answer(unit, controller, part, 0, AnswerKind.DONE, said, now, final=True))


def destroy(there: Installation, at: datetime, *held: Asked) -> None:
    """What goes by then, while the evidence of `held` is held."""
    ended_periods.destroy(there.service, at, lambda _: {one.id for one in held}, 100)


def remembered(there: Installation) -> set[tuple[str, str]]:
    return {(row.processor, row.key.partition("/")[0]) for row in there.rows(t.shelf)}


def shredded(there: Installation, kind: str) -> list[dict[str, str | int]]:
    said = [decode(row.body) for row in there.rows(t.entry)]
    return [one for one in said if one["event"] == "shredded" and one.get("kind") == kind]


def test_what_leads_to_a_proof_goes_years_after_the_forgetting_and_never_of_a_request_that_is_known_or_held(
    tmp_path: Path,
) -> None:
    with at_work(tmp_path, sqlite_url(tmp_path), settings=SHORT) as there:
        one = finished(there)
        kept = there.ask(Right.RECTIFICATION, BEN, changes={"first_name": "Ben"}, id="crm-2")
        there.clock.advance(timedelta(days=30))
        later(there, 16)
        assert (boxes(there, ADA), boxes(there, BEN)) == ({2027}, {2026}), "forgotten in January, asked in November"
        new_year = datetime(2029, 1, 1, tzinfo=UTC)
        destroy(there, new_year - timedelta(days=1))
        destroy(there, new_year, one)
        assert (boxes(there, ADA), boxes(there, BEN)) == ({2027}, {2029}), "held, and on from now where it is known"
        destroy(there, new_year)
        assert (boxes(there, ADA), boxes(there, BEN)) == (set(), {2029})
        assert [(said["name"], said["n"]) for said in shredded(there, "proof")] == [("2027", 2)], "address and id"
        assert there.service.read(lambda unit: proof_boxes.find(unit, there.service.keys, "address", ADA)) == []
        assert not request_of(there, kept).shredded_at
        assert judge(there.service, there.clock.now(), full=True).problems == ()


def test_what_connectors_remember_goes_but_for_what_still_holds_and_what_is_younger_than_what_is_held(
    tmp_path: Path,
) -> None:
    with at_work(tmp_path, sqlite_url(tmp_path), settings=SHORT) as there:
        one = finished(there)
        ours = {"key": "x", "sealed": b"x", "at": there.clock.now()}
        keys = ["erased/list/x", "erasedx/list/x", "restricted/list/x", "index/y"]
        rows = [{**ours, "processor": "newsletter", "key": key} for key in keys]
        rows += [{**ours, "processor": name} for name in ("gone", "merged record")]
        there.service.write(lambda unit: shelf.keep(unit.connection, rows))
        before, over = remembered(there), there.clock.now() + timedelta(days=366)
        destroy(there, there.clock.now() + timedelta(days=364))
        destroy(there, over, one)
        assert remembered(there) == before
        asked = there.ask(Right.ERASURE, BEN, id="crm-2")
        written(there, t.request, asked, accepted_at=there.clock.now() - timedelta(days=1))
        destroy(there, over)
        assert remembered(there) == before, "something as old is open"
        written(there, t.request, asked, closed_at=there.clock.now())
        destroy(there, over)
        assert before - remembered(there) == {("newsletter", "erased"), ("gone", "x")}
        assert {said["dest"] for said in shredded(there, "memory")} == {"newsletter", "gone"}


def test_what_was_written_of_a_case_goes_and_who_did_what_stays_and_is_still_compared(tmp_path: Path) -> None:
    with at_work(tmp_path, sqlite_url(tmp_path), settings=SHORT) as there:
        one = finished(there)
        now, service = there.clock.now(), there.service
        about = NewComplaint(now, Channel.MAIL, (Topic.DELAY,), about=(one.id,), note="SHE WROTE")
        service.write(lambda unit: open_complaint(unit, service.controller, about, DANA, now))
        new = NewIncident(IncidentKind.OTHER, now, {"what": "THE LIST WENT"})
        broken = service.write(lambda unit: open_incident(unit, service.controller, new, DANA, now))
        over = now + timedelta(days=400)
        destroy(there, over)
        assert "SHE WROTE" in words(there), "it is open"
        assert "THE LIST WENT" in words(there)
        close(there)
        how = Closing(Finding.NOT_A_BREACH, reference="FILE 17")
        service.write(lambda unit: close_incident(unit, service.controller, broken.id, how, DANA, now))
        destroy(there, over, one)
        assert "SHE WROTE" in words(there)
        assert "THE LIST WENT" not in words(there)
        assert "FILE 17" not in words(there)
        destroy(there, over)
        destroy(there, over)
        assert "SHE WROTE" not in words(there)
        assert "Dana Officer" in words(there)
        assert [said["n"] for said in shredded(there, "case")] == [2, 2]
        assert judge(service, there.clock.now(), full=True).problems == ()
        service.write(lambda unit: unit.connection.execute(update(case_act).values(os_user="mallory")))
        assert {"case_act: os_user"} == {one[:17] for one in judge(service, now, full=True).problems}


def test_words_that_come_after_the_forgetting_go_as_many_days_after_they_came(
    tmp_path: Path,
) -> None:
    with at_work(tmp_path, sqlite_url(tmp_path), settings=SHORT) as there:
        one = finished(there)
        there.clock.advance(timedelta(days=30))
        later(there, 16)
        assert request_of(there, one).wrapped_key is None
        decided(there, one, "LATE: her lawyer rang", date(2027, 3, 1))
        assert judge(there.service, there.clock.now(), full=True).problems == (), "a late decision is committed, too"
        answered(there, one, "Carl Clerk", "LATE: she is on our list")
        after = there.clock.now() + timedelta(days=31)
        destroy(there, after - timedelta(days=2))
        destroy(there, after, one)
        assert words(there).count("LATE") == 2
        destroy(there, after)
        destroy(there, after)
        assert "LATE" not in words(there)
        assert "Carl Clerk" in words(there)
        assert [(said["name"], said["n"]) for said in shredded(there, "words")] == [(one.id, 2)]


@pytest.mark.parametrize(("year", "month", "day", "then"), [(2028, 2, 29, (2027, 2, 28)), (2028, 3, 1, (2027, 3, 1))])
def test_a_year_ends_on_the_same_day(year: int, month: int, day: int, then: tuple[int, int, int]) -> None:
    assert years_before(datetime(year, month, day, tzinfo=UTC), 1) == datetime(*then, tzinfo=UTC)
