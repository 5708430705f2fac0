"""Years after all was finished, the pseudonyms of a person and the receipts go, as the settings say; opt-outs stay."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert

from dpsync.ledger.entry import decode
from dpsync.model import Right
from dpsync.propagation.forgetting import unnamed
from dpsync.running.ended_periods import years_before
from dpsync.soundness import judge
from dpsync.store import tables as t
from dpsync.store.reconciling_tables import listed_person
from tests.journeys.installation import Asked, Installation, sqlite_url
from tests.journeys.test_forgetting import ADA, BEN, at_work, finished, later
from tests.journeys.test_month_keys import close, complain

YEARS = "\n[forgetting]\npseudonyms_after_years = 1\nreceipts_after_years = 1\n"
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


@pytest.mark.parametrize(("year", "month", "day", "then"), [(2028, 2, 29, (2027, 2, 28)), (2028, 3, 1, (2027, 3, 1))])
def test_a_year_ends_on_the_same_day(year: int, month: int, day: int, then: tuple[int, int, int]) -> None:
    assert years_before(datetime(year, month, day, tzinfo=UTC), 1) == datetime(*then, tzinfo=UTC)
