"""A merge that came after the back-up is known outside the database: a recovery names it, and its news is awaited."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import delete

from dpsync.backup import take
from dpsync.errors import AcceptedLost
from dpsync.journal import MERGE_TOLD, AcceptedRequest
from dpsync.model import Right
from dpsync.store import tables as t
from tests.journeys.installation import Installation, sqlite_url
from tests.journeys.test_merges import ADA, crm, gone, merge, served
from tests.journeys.test_recovery import back_again, the_disk_is_lost


@pytest.fixture
def there(tmp_path: Path, database_url: str) -> Iterator[Installation]:
    with served(tmp_path, database_url) as made:
        yield made


def merges(there: Installation) -> list[AcceptedRequest]:
    return [one for one in there.service.custody.journal.read().accepted if one.kind == "merge"]


def test_each_news_of_a_merge_is_in_the_journal_also_where_it_is_known_or_waits(there: Installation) -> None:
    there.ask(Right.ERASURE, ADA, id="crm:9")
    assert crm(there, merge(1, 2))["merges"]["joined"] == 1
    crm(there, merge(1, 2))
    assert crm(there, merge(9, 3))["merges"]["held"] == 1
    first, again, held = merges(there)
    assert (first.source, first.request_id) == (again.source, again.request_id) == ("crm", first.request_id)
    assert held.request_id != first.request_id
    kept = [row.key for row in there.rows(t.shelf) if row.processor == MERGE_TOLD]
    assert sorted(kept) == sorted({first.request_id, held.request_id})
    there.start_beside()


def test_a_merge_that_the_database_lost_refuses_the_start(there: Installation) -> None:
    crm(there, merge(1, 2))
    (known,) = merges(there)
    of_it = delete(t.shelf).where(t.shelf.c.processor == MERGE_TOLD)
    there.service.write(lambda unit: unit.connection.execute(of_it))
    with pytest.raises(
        AcceptedLost, match=r"1 merge was accepted .* a merge, of crm, accepted \d\d .* UTC\. Look"
    ) as one:
        there.start_beside()
    assert known.request_id not in one.value.message, "it is a digest"


def test_a_recovery_names_the_merges_that_came_after_the_back_up_and_they_are_told_again(
    tmp_path: Path, sqlite_template: Path
) -> None:
    shutil.copy(sqlite_template, tmp_path / "dpsync.db")
    with served(tmp_path, sqlite_url(tmp_path)) as there, ExitStack() as elsewhere:
        crm(there, {"kind": "stop", "person": 1, "email": "one@example.org"})
        there.drive()
        (tmp_path / "backups").mkdir()
        take(there.service, tmp_path / "backups")
        assert crm(there, merge(1, 2, email="two@example.org"))["merges"]["joined"] == 1
        (known,) = merges(there)
        the_disk_is_lost(there, elsewhere)
        found = back_again(there, tmp_path / "backups")
        assert known in found.missing.lost
        told = [row.text for row in there.rows(t.alert_concern) if row.cause == "restored"]
        assert known.named in told
        assert not any(known.request_id in text or known.event_id in text for text in told)
        assert "1 merge" in found.missing.said
        assert crm(there, gone(1))["status"] == "held", "nobody is erased because the merge is not known"
        assert crm(there, merge(1, 2, email="two@example.org"))["merges"]["joined"] == 1
        asked = [(row.right, row.source) for row in there.rows(t.request)]
        assert asked.count(("opt_out", "crm")) == 2, "the winner is told again"
