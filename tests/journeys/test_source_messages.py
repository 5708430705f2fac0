"""What main databases send is counted: what is taken, what a rule ignores, what is refused, and when the last came."""

import re
from collections.abc import Iterator
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dpsync.cli.check_sources import message_lines
from dpsync.intake.counting import Counting
from dpsync.intake.sources.messages import SourceMessages, messages_of
from dpsync.running import metrics
from tests.journeys.installation import Installation
from tests.journeys.polled import polled
from tests.journeys.reconciled import TABLE, reconciled
from tests.journeys.test_sources import ADA, BOB, own, served
from tests.maindatabase import sqlite_main, with_people
from tests.waiting import until

STOP = {"id": 1, "kind": "stop", "person": "7", "email": ADA}


@pytest.fixture
def there(tmp_path: Path, database_url: str) -> Iterator[Installation]:
    with served(tmp_path, database_url) as made:
        yield made


def sent(there: Installation) -> SourceMessages:
    return there.service.read(messages_of).get("own", SourceMessages())


def test_each_message_of_a_delivery_is_counted_by_what_became_of_it(there: Installation) -> None:
    assert checked(there) == ["0 messages"]
    other = {"kind": "other", "person": "8"}
    assert own(there, STOP, {"id": 2, **other}, {"id": 3, **other}).status_code == 202
    assert own(there, STOP).status_code == 202, "sent again, it is counted again"
    assert own(there, {"id": 4, **other}).status_code == 200
    assert own(there, {"id": 5, **other}, {"id": 6, "kind": "unheard of"}).status_code == 422
    assert own(there, {**STOP, "email": BOB}).status_code == 409
    wanted = SourceMessages(2, {"other": 3}, 2, there.clock.now())
    until(lambda: sent(there) == wanted)
    said = metrics.exposition(there.service)[0].decode()
    for result, number in (("taken", 2), ("ignored", 3), ("refused", 2)):
        assert f'dpsync_source_messages_total{{result="{result}",source="own"}} {number}.0' in said
    assert 'dpsync_source_messages_ignored_total{rule="other",source="own"} 3.0' in said
    assert moment(said, "dpsync_source_last_message_timestamp_seconds", "own") == there.clock.now().timestamp()
    assert 'dpsync_requests_refused_total{field="*",source="source-own",status="422"} 1.0' in said
    assert not any(word in said for word in (ADA, BOB))
    (said,) = checked(there)
    assert said.startswith("5 messages, 3 of them ignored by its mapping, the last at")


def moment(said: str, name: str, source: str) -> float:
    (found,) = re.findall(rf'^{name}{{source="{source}"}} (\S+)$', said, re.MULTILINE)
    return float(found)


def checked(there: Installation) -> list[str]:
    return [line.text for line in message_lines(there.service) if line.what == "source own, messages"]


def test_rows_of_an_outbox_are_counted_where_they_are_marked(tmp_path: Path, sqlite_template: Path) -> None:
    with sqlite_main(tmp_path) as main, polled(tmp_path, sqlite_template, with_people(main)) as there:
        main.run("INSERT INTO person (id, email, name) VALUES (4711, 'ada@example.org', 'Ada L')")
        main.run("UPDATE person SET do_not_email = TRUE WHERE id = 4711")
        there.look()
        there.look()
        (found,) = there.service.read(messages_of).values()
        rows = len(main.outbox())
        assert (found.understood, found.taken, found.last_at) == (rows, 1, there.clock.now())


def test_how_the_people_of_a_source_compare_is_told(tmp_path: Path, sqlite_template: Path) -> None:
    with sqlite_main(tmp_path) as main:
        main.run(TABLE, "INSERT INTO people (id, emails, opted_out) VALUES (1, 'ada@example.org', TRUE)")
        with reconciled(tmp_path, sqlite_template, main) as there:
            there.compare()
            first = there.clock.now()
            there.clock.advance(timedelta(days=1))
            main.run("ALTER TABLE people RENAME TO others")
            there.compare()
            said = metrics.exposition(there.service)[0].decode()
            assert 'dpsync_source_people{result="not_known",source="crm"} 1.0' in said
            assert 'dpsync_source_people{result="agree",source="crm"} 0.0' in said
            at = moment(said, "dpsync_source_people_compared_timestamp_seconds", "crm")
            assert at == first.timestamp(), "the last that was whole"


class Store:
    """Takes nothing before it is told to."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Any, Future[None]]] = []

    def submit(self, work: Any) -> Future[None]:
        self.waiting.append((work, Future()))
        return self.waiting[-1][1]

    def end(self, trouble: Exception | None = None) -> None:
        work, done = self.waiting.pop(0)
        if trouble is None:
            work(None)
            done.set_result(None)
        else:
            done.set_exception(trouble)


def test_what_comes_in_during_a_write_is_one_more_and_what_failed_is_not_lost() -> None:
    kept: list[dict[str, int]] = []
    store, now = Store(), datetime(2026, 11, 24, tzinfo=UTC)
    counting = Counting[str](store, lambda _unit, counts, _now: kept.append(dict(counts)))  # type: ignore[arg-type]  # because it stands for a writer
    first = counting.note({"a": 1}, now)
    later = [counting.note({"a": 1}, now), counting.note({"b": 2}, now)]
    assert len(store.waiting) == 1
    store.end()
    assert (kept, first.done(), later[0].done()) == ([{"a": 1}], True, False)
    store.end(OSError("the disk is full"))
    assert (later[0].done(), store.waiting) == (True, []), "nobody waits for a store that is away"
    counting.note({"a": 1}, now)
    store.end()
    assert kept[1:] == [{"a": 2, "b": 2}]
