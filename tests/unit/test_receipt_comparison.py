"""The receipts in the folder tell what the ledger tells; one that is gone for good is named."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import Connection, Text, insert

from dpsync.ledger import entry
from dpsync.ledger.entry import EntryKind
from dpsync.ledger.log import Log
from dpsync.ledger.receipt_comparison import PAGE, problems, untold
from dpsync.ledger.receipt_folder import ReceiptFolder
from dpsync.store import tables as t
from dpsync.store.columns import Instant
from tests.unit.test_ledger_receipt import COMMIT_KEY, NAMES, NOW, ledger

ONE, TWO = "r-one", "r-two"


@pytest.fixture
def there(tmp_path: Path) -> Iterator[tuple[Log, Connection, ReceiptFolder]]:
    listed = entry.list_digest(NAMES)
    events = [(one, entry.encode(EntryKind.RECEIVED, NOW, req=one, n=len(NAMES), list=listed)) for one in (ONE, TWO)]
    with ledger(events) as (log, connection):
        request(connection, ONE, 1)
        request(connection, TWO, 2, shredded=NOW)
        yield log, connection, ReceiptFolder(tmp_path, log.keys)


def request(connection: Connection, name: str, ordinal: int, shredded: datetime | None = None) -> None:
    values: dict[str, object] = {one.name: "x" for one in t.request.c if isinstance(one.type, Text)}
    values |= {one.name: NOW for one in t.request.c if isinstance(one.type, Instant)}
    numbers = {"ordinal": ordinal, "lifting": False, "received_assumed": False}
    here = {**values, **numbers, "id": name, "event_id": name, "closed_at": NOW, "shredded_at": shredded}
    connection.execute(insert(t.request).values(here))


def kept(log: Log, connection: Connection, folder: ReceiptFolder, name: str) -> Path:
    signed = log.checkpoint(connection, NOW)
    value = log.receipt(connection, name, commit_key=COMMIT_KEY, processors=NAMES, evidence={}, signed=signed)
    return folder.write(value)


def added(log: Log, connection: Connection, name: str, kind: EntryKind = EntryKind.ATTEMPT) -> None:
    log.append(connection, [(name, entry.encode(kind, NOW, req=name))])


Three = tuple[Log, Connection, ReceiptFolder]


def test_receipts_that_tell_all_up_to_their_checkpoint_are_in_order(there: Three) -> None:
    log, connection, folder = there
    for name in (ONE, TWO):
        kept(log, connection, folder, name)
    assert list(problems(connection, folder)) == []
    added(log, connection, ONE)
    assert list(problems(connection, folder)) == [], "what came later is in none"
    added(log, connection, TWO, EntryKind.SHREDDED)
    added(log, connection, TWO)
    assert list(problems(connection, folder)) == [], "that it is forgotten is in none"


def test_the_receipt_of_a_forgotten_request_is_missed_until_somebody_has_accepted_that(there: Three) -> None:
    _, connection, folder = there
    (problem,) = problems(connection, folder)
    path = folder.place(TWO)
    assert problem.startswith(f"{path} is not there any more: the request is forgotten, so only whoever has the")
    assert f"touch {path.with_suffix('.gap')}" in problem
    path.with_suffix(".gap").touch()
    assert list(problems(connection, folder)) == []


@pytest.mark.parametrize(("name", "said"), [(ONE, "dpsync writes another one"), (TWO, "dpsync find --email")])
def test_what_stands_in_the_place_of_a_receipt_is_named(there: Three, name: str, said: str) -> None:
    log, connection, folder = there
    for one in (ONE, TWO):
        path = kept(log, connection, folder, one)
        if one == name:
            path.write_bytes(path.read_bytes()[:-1])
    (problem,) = problems(connection, folder)
    assert problem.startswith(f"{folder.place(name)} is not the receipt that was written there: ")
    assert said in problem


def test_an_entry_left_out_by_whoever_has_the_key_is_seen(there: Three) -> None:
    log, connection, folder = there
    kept(log, connection, folder, TWO)
    added(log, connection, ONE)
    kept(log, connection, folder, ONE)
    assert list(problems(connection, folder)) == []
    connection.execute(t.entry.update().where(t.entry.c.idx == 2).values(request_id=TWO))
    found = list(problems(connection, folder))
    assert [one.partition(" does not tell all")[0] for one in found] == [str(folder.place(ONE))]


def test_an_older_receipt_of_a_forgotten_request_does_not_tell_all(there: Three) -> None:
    log, connection, folder = there
    kept(log, connection, folder, ONE)
    kept(log, connection, folder, TWO)
    added(log, connection, TWO)
    added(log, connection, TWO, EntryKind.SHREDDED)
    (problem,) = problems(connection, folder)
    assert problem.startswith(
        f"{folder.place(TWO)} does not tell all that the ledger tells of its request: the request"
    )


def test_a_receipt_that_is_newer_than_this_view_is_not_compared(there: Three) -> None:
    log, connection, folder = there
    kept(log, connection, folder, TWO)
    added(log, connection, ONE)
    kept(log, connection, folder, ONE)
    connection.execute(t.entry.delete().where(t.entry.c.idx == 2))
    connection.execute(t.node.delete())
    assert list(problems(connection, folder)) == []


def test_a_receipt_is_untold_until_it_has_every_entry(there: Three) -> None:
    log, connection, folder = there
    assert untold(connection, folder, [ONE, TWO]) == [ONE, TWO]
    for name in (ONE, TWO):
        kept(log, connection, folder, name)
    assert untold(connection, folder, [ONE, TWO]) == []
    added(log, connection, TWO)
    assert untold(connection, folder, [ONE, TWO]) == [TWO], "also within the same second"
    many = [f"r-{number}" for number in range(PAGE)]
    assert untold(connection, folder, [*many, ONE, TWO]) == [*many, TWO]


def test_the_key_of_a_receipt_is_had_from_its_file_alone(there: Three) -> None:
    log, connection, folder = there
    assert folder.commit_key(ONE) is None
    kept(log, connection, folder, ONE)
    assert folder.commit_key(ONE) == COMMIT_KEY


def test_a_receipt_holds_what_its_own_checkpoint_signs_and_nothing_newer(there: Three) -> None:
    log, connection, _ = there
    signed = log.checkpoint(connection, NOW)
    added(log, connection, ONE)
    value = log.receipt(connection, ONE, commit_key=COMMIT_KEY, processors=NAMES, evidence={}, signed=signed)
    assert [one["index"] for one in value["entries"]] == [0]


def test_the_entries_of_a_request_are_compared_in_their_order(there: Three) -> None:
    log, connection, folder = there
    added(log, connection, ONE)
    kept(log, connection, folder, ONE)
    kept(log, connection, folder, TWO)
    if (
        connection.dialect.name == "sqlite"
    ):  # it gives the rows of an unordered question the other way round, when told to
        connection.exec_driver_sql("PRAGMA reverse_unordered_selects = ON")
    assert list(problems(connection, folder)) == []
    assert untold(connection, folder, [ONE]) == []
