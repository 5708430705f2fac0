"""The ledger in a database: appended in one piece, signed only as a continuation, and no change of it unseen."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, CursorResult, Engine, create_engine, delete, func, insert, select, text, update
from sqlalchemy.exc import DBAPIError

from dpsync.errors import LedgerTampered
from dpsync.ledger import audit, entry, merkle, note, stored, walk
from dpsync.ledger.entry import EntryKind
from dpsync.ledger.log import Log, protect
from dpsync.ledger.stored import plain as as_given
from dpsync.ledger.walk import MOST_PROBLEMS, Problems, Walk
from dpsync.store import tables as t
from dpsync.store.database import writing
from tests.filling import asked_of_databases
from tests.names import plain

ORIGIN = "example.org/dpsync"
SIGNER = note.Signer.from_seed(ORIGIN, bytes(range(32)))
NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
LOG = Log(ORIGIN, SIGNER)


def body(number: int) -> bytes:
    return entry.encode(EntryKind.ATTEMPT, NOW + timedelta(seconds=number), req=f"r-{number % 7}", attempt=number)


def bodies(start: int, end: int) -> list[tuple[str | None, bytes]]:
    return [(f"r-{number % 7}", body(number)) for number in range(start, end)]


@pytest.fixture
def empty() -> Iterator[Connection]:
    engine = create_engine("sqlite://")
    t.metadata.create_all(engine)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


def fill(connection: Connection) -> None:
    """45 entries; checkpoints at 10, 30 and 40, the first of them verified."""
    for start, end in ((0, 10), (10, 30), (30, 40), (40, 45)):
        LOG.append(connection, bodies(start, end))
        if end != 45:
            LOG.checkpoint(connection, NOW)
    LOG.mark_verified(connection, 10, NOW)


@pytest.fixture(scope="module")
def ledger_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ledger") / "whole.db"
    engine = create_engine(f"sqlite:///{path}")
    t.metadata.create_all(engine)
    with engine.begin() as connection:
        fill(connection)
    engine.dispose()
    return path


@pytest.fixture
def copy(ledger_file: Path, tmp_path: Path) -> Iterator[Connection]:
    shutil.copy(ledger_file, tmp_path / "copy.db")
    engine = create_engine(f"sqlite:///{tmp_path / 'copy.db'}")
    with engine.begin() as connection:
        yield connection
    engine.dispose()


def problems(connection: Connection, *, full: bool = True) -> tuple[str, ...]:
    return LOG.verify(connection, full=full).problems


# --- what an honest ledger does


def test_an_empty_ledger_verifies_and_can_be_signed(empty: Connection) -> None:
    signed = LOG.checkpoint(empty, NOW)
    assert note.verify(signed, [SIGNER.verifier]) == note.Checkpoint(ORIGIN, 0, merkle.EMPTY_ROOT)
    assert LOG.verify(empty, full=True) == audit.Verification(0, 0, merkle.EMPTY_ROOT, signed, ())


def test_the_root_is_that_of_the_bytes_however_they_came_in(empty: Connection) -> None:
    for start in range(0, 21, 3):
        LOG.append(empty, bodies(start, start + 3))
    LOG.append(empty, [])
    expected: dict[int, bytes] = {}
    merkle.grow(0, expected, (merkle.leaf_hash(body(n)) for n in range(21)), lambda _level, _idx, value: value)
    assert LOG.size(empty) == 21
    assert LOG.root(empty) == merkle.frontier_root(expected)
    assert problems(empty) == ()


def test_an_append_that_is_rolled_back_leaves_no_trace(empty: Connection) -> None:
    LOG.append(empty, bodies(0, 5))
    savepoint = empty.begin_nested()
    LOG.append(empty, bodies(5, 9))
    savepoint.rollback()
    LOG.append(empty, bodies(5, 7))
    assert LOG.size(empty) == 7
    assert problems(empty) == ()


@pytest.mark.parametrize(
    "wrong", [("r-1", body(2)), (None, body(2)), ("r-2", body(2) + b" "), (None, b"{}")], ids=plain
)
def test_what_is_no_entry_or_is_filed_wrongly_is_not_appended(
    empty: Connection, wrong: tuple[str | None, bytes]
) -> None:
    with pytest.raises(ValueError, match="entry"):
        LOG.append(empty, [*bodies(0, 3), wrong])
    assert LOG.size(empty) == 0


def test_entries_of_the_service_itself_belong_to_no_request(empty: Connection) -> None:
    LOG.append(empty, [(None, entry.encode(EntryKind.CONFIGURATION, NOW, digest="0" * 64)), *bodies(1, 3)])
    assert LOG.entries_of(empty, "r-1") == [(1, body(1))]
    assert problems(empty) == ()


def test_a_request_has_its_entries_in_order(copy: Connection) -> None:
    assert LOG.entries_of(copy, "r-3") == [(number, body(number)) for number in range(3, 45, 7)]
    assert LOG.entries_of(copy, "r-9") == []
    if copy.dialect.name == "sqlite":  # it gives the rows of an unordered question the other way round, when told to
        copy.exec_driver_sql("PRAGMA reverse_unordered_selects = ON")
        assert LOG.entries_of(copy, "r-3") == [(number, body(number)) for number in range(3, 45, 7)]


def test_every_entry_can_be_proved_under_every_checkpoint_after_it(copy: Connection) -> None:
    for signed in copy.execute(select(t.checkpoint.c.note)).scalars().all():
        head = note.verify(signed, [SIGNER.verifier])
        for idx in range(head.size):
            proof = stored.proved(copy, lambda get, idx=idx, size=head.size: merkle.inclusion_proof(get, idx, size))  # type: ignore[misc]  # because mypy does not infer a lambda's default
            assert merkle.verify_inclusion(merkle.leaf_hash(body(idx)), idx, head.size, proof, head.root)


def test_a_proof_takes_one_statement_and_names_a_node_that_is_missing(empty: Connection) -> None:
    LOG.append(empty, bodies(0, 1000))
    with asked_of_databases() as asked:
        proofs = stored.proved(empty, lambda get: [merkle.inclusion_proof(get, idx, 1000) for idx in (0, 421, 999)])
    assert [len(proof) for proof in proofs] == [10, 10, 8]
    assert len(asked) == 1
    with asked_of_databases() as asked:
        assert stored.proved(empty, lambda get: [get(0, idx) for idx in range(1000)]) == [
            merkle.leaf_hash(one) for _, one in bodies(0, 1000)
        ]
    assert len(asked) == 10
    for nodes, statements in ((100, 1), (101, 2)):
        with asked_of_databases() as asked:
            stored.proved(empty, lambda get, nodes=nodes: [get(0, idx) for idx in range(nodes)])  # type: ignore[misc]  # because mypy does not infer a lambda's default
        assert len(asked) == statements
    with pytest.raises(LedgerTampered, match="node 0/1000 is missing"):
        stored.proved(empty, lambda get: (get(0, 999), get(0, 1000)))


def test_entries_that_are_newer_than_a_checkpoint_are_not_under_it(empty: Connection) -> None:
    LOG.append(empty, bodies(0, 8))
    signed = LOG.checkpoint(empty, NOW)
    LOG.append(empty, bodies(8, 16))
    assert LOG.entries_of(empty, "r-1", signed) == [(1, body(1))]
    assert LOG.entries_of(empty, "r-1") == [(1, body(1)), (8, body(8)), (15, body(15))]
    assert LOG.entries_of(empty, "r-0", signed) == [(0, body(0)), (7, body(7))]


def test_each_checkpoint_can_be_proved_to_continue_the_one_before(copy: Connection) -> None:
    heads = [note.parse(signed)[0] for signed in copy.execute(select(t.checkpoint.c.note)).scalars().all()]
    for old, new in pairwise(heads):
        proof = LOG.consistency(copy, old.size, new.size)
        assert merkle.verify_consistency(old.size, new.size, old.root, new.root, proof)


def test_a_size_is_signed_once_and_the_note_kept(copy: Connection) -> None:
    first = LOG.checkpoint(copy, NOW)
    assert LOG.checkpoint(copy, NOW + timedelta(days=1)) == first
    rows = copy.execute(select(t.checkpoint.c.size, t.checkpoint.c.at).order_by(t.checkpoint.c.size)).all()
    assert [(row.size, row.at) for row in rows] == [(10, NOW), (30, NOW), (40, NOW), (45, NOW)]


def test_while_keys_change_both_sign_and_the_older_notes_still_count(copy: Connection) -> None:
    new = note.Signer.from_seed(ORIGIN, bytes(32))
    changing = Log(ORIGIN, new, also=[SIGNER])
    signed = changing.checkpoint(copy, NOW)
    assert note.verify(signed, [new.verifier]) == note.verify(signed, [SIGNER.verifier])
    changed = Log(ORIGIN, new, known=[SIGNER.verifier])
    assert changed.verify(copy, full=True).problems == ()
    assert len(Log(ORIGIN, new).verify(copy, full=True).problems) == 3


def test_progress_ends_with_all_entries_over_several_pages(empty: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "PAGE", 8)
    fill(empty)
    told: list[tuple[int, int]] = []
    found = LOG.verify(empty, full=True, progress=lambda done, total: told.append((done, total)))
    assert found.problems == ()
    assert told == [(8, 45), (16, 45), (24, 45), (32, 45), (40, 45), (45, 45)]


@pytest.mark.parametrize("page", [1, 2, 8, 16, 64])
def test_the_size_of_a_page_changes_nothing_in_what_is_found(
    copy: Connection, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    monkeypatch.setattr(walk, "PAGE", page)
    assert problems(copy) == problems(copy, full=False) == ()
    edit(copy)
    assert problems(copy) == problems(copy, full=False) == ("entry 17 is not what was hashed",)


def test_a_check_reads_each_entry_and_each_node_once(copy: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "PAGE", 8)
    read: list[object] = []

    def listed(found: CursorResult[Any]) -> Sequence[tuple[Any, ...]]:
        read.extend(rows := as_given(found))
        return rows

    monkeypatch.setattr(stored, "plain", listed)
    Walk(copy, Problems(), 0, 45, {}, None).to(45)
    assert len(read) == copy.execute(select(func.count()).select_from(t.node)).scalar_one() + 45


def test_a_short_check_begins_at_the_last_verified_checkpoint(copy: Connection) -> None:
    assert LOG.verify(copy, full=False).checked_from == 10
    LOG.mark_verified(copy, 40, NOW)
    found = LOG.verify(copy, full=False)
    assert (found.checked_from, found.entries, found.problems) == (40, 45, ())
    assert found.root == LOG.root(copy)
    LOG.checkpoint(copy, NOW)
    LOG.mark_verified(copy, 45, NOW)
    assert LOG.verify(copy, full=False).checked_from == 45


def test_after_a_fault_every_check_begins_at_the_beginning(copy: Connection) -> None:
    LOG.mark_verified(copy, 40, NOW)
    LOG.distrust(copy)
    assert LOG.verify(copy, full=False).checked_from == 0


def test_a_short_check_of_a_ledger_cut_off_since_begins_at_what_is_left_and_names_the_cut(copy: Connection) -> None:
    LOG.mark_verified(copy, 40, NOW)
    truncate_with_nodes(copy)
    found = LOG.verify(copy, full=False)
    assert found.checked_from == 10
    assert found.problems


def test_a_short_check_goes_back_to_the_beginning_if_its_own_start_does_not_fit(copy: Connection) -> None:
    forge(copy, 3)
    found = LOG.verify(copy, full=False)
    assert found.checked_from == 0
    assert found.problems[0] == "checkpoint 10: entries 0 to 9 are not all as they were signed"


# --- what is done to it: each names its place


def edit(connection: Connection) -> None:
    connection.execute(update(t.entry).where(t.entry.c.idx == 17).values(body=body(16 + 7 * 5), request_id="r-2"))


def edit_ill(connection: Connection) -> None:
    connection.execute(update(t.entry).where(t.entry.c.idx == 17).values(body=b"{}"))


def refile(connection: Connection) -> None:
    connection.execute(update(t.entry).where(t.entry.c.idx == 17).values(request_id="r-5"))


def unfile(connection: Connection) -> None:
    connection.execute(update(t.entry).where(t.entry.c.idx == 17).values(request_id=None))


def remove(connection: Connection) -> None:
    connection.execute(delete(t.entry).where(t.entry.c.idx == 17))


def remove_and_close_up(connection: Connection) -> None:
    remove(connection)
    for idx in range(18, 45):
        connection.execute(update(t.entry).where(t.entry.c.idx == idx).values(idx=idx - 1))


def add_at_the_end(connection: Connection) -> None:
    connection.execute(insert(t.entry).values(idx=45, request_id="r-3", body=body(45)))


def push_in(connection: Connection) -> None:
    for idx in range(44, 16, -1):
        connection.execute(update(t.entry).where(t.entry.c.idx == idx).values(idx=idx + 1))
    connection.execute(insert(t.entry).values(idx=17, request_id="r-3", body=body(17)))


def far_away(connection: Connection) -> None:
    connection.execute(insert(t.entry).values(idx=10**15, request_id="r-3", body=body(45)))


def below(connection: Connection) -> None:
    connection.execute(insert(t.entry).values(idx=-1, request_id="r-3", body=body(45)))


def truncate(connection: Connection) -> None:
    connection.execute(delete(t.entry).where(t.entry.c.idx >= 38))


def truncate_with_nodes(connection: Connection) -> None:
    truncate(connection)
    for level in range(6):
        beyond = (t.node.c.level == level) & (t.node.c.idx >= 38 >> level)
        connection.execute(delete(t.node).where(beyond))


def swap(connection: Connection) -> None:
    for idx, number in ((17, 24), (24, 17)):
        connection.execute(update(t.entry).where(t.entry.c.idx == idx).values(body=body(number)))


def node_edit(connection: Connection) -> None:
    connection.execute(update(t.node).where(t.node.c.level == 2, t.node.c.idx == 4).values(hash=bytes(32)))


def node_remove(connection: Connection) -> None:
    connection.execute(delete(t.node).where(t.node.c.level == 2, t.node.c.idx == 4))


def node_add(connection: Connection) -> None:
    connection.execute(insert(t.node).values(level=3, idx=5, hash=bytes(32)))


def forge(connection: Connection, idx: int) -> None:
    """Change an entry and every node above it: only what was signed still knows."""
    connection.execute(update(t.entry).where(t.entry.c.idx == idx).values(body=body(idx + 700)))
    connection.execute(delete(t.node))
    nodes: list[dict[str, object]] = []

    def take(level: int, at: int, value: bytes) -> bytes:
        nodes.append({"level": level, "idx": at, "hash": value})
        return value

    rows = connection.execute(select(t.entry.c.body).order_by(t.entry.c.idx)).scalars().all()
    merkle.grow(0, {}, map(merkle.leaf_hash, rows), take)
    connection.execute(insert(t.node), nodes)


def forge_17(connection: Connection) -> None:
    forge(connection, 17)


def resigned_by_another(connection: Connection) -> None:
    forge(connection, 17)
    other = note.Signer.from_seed(ORIGIN, bytes(32))
    connection.execute(delete(t.checkpoint).where(t.checkpoint.c.size > 10))
    Log(ORIGIN, other, known=[SIGNER.verifier]).checkpoint(connection, NOW)


def old_checkpoint(connection: Connection) -> None:
    old = connection.execute(select(t.checkpoint.c.note).where(t.checkpoint.c.size == 10)).scalar_one()
    connection.execute(update(t.checkpoint).where(t.checkpoint.c.size == 40).values(note=old))


def damaged_checkpoint(connection: Connection) -> None:
    kept = connection.execute(select(t.checkpoint.c.note).where(t.checkpoint.c.size == 30)).scalar_one()
    connection.execute(update(t.checkpoint).where(t.checkpoint.c.size == 30).values(note=kept.replace("\n30", "\n31")))


def foreign_checkpoint(connection: Connection) -> None:
    head = note.Checkpoint("example.org/other", 30, LOG.root(connection))
    connection.execute(update(t.checkpoint).where(t.checkpoint.c.size == 30).values(note=note.sign(head, SIGNER)))


DONE_TO_IT: list[tuple[Callable[[Connection], None], tuple[str, ...]]] = [
    (edit, ("entry 17 is not what was hashed",)),
    (edit_ill, ("entry 17: the entry lacks its version, time or event", "entry 17 is not what was hashed")),
    (refile, ("entry 17 is filed under another request than it names",)),
    (unfile, ("entry 17 is filed under another request than it names",)),
    (remove, ("entry 17 is missing",)),
    (remove_and_close_up, tuple(f"entry {idx} is not what was hashed" for idx in range(17, 44))),
    (add_at_the_end, ("node 0/45 is missing", "node 1/22 is missing")),
    (push_in, tuple(f"entry {idx} is not what was hashed" for idx in range(18, 45))),
    (far_away, (f"entry {10**15} stands beyond a gap: there are only 46 entries", "entry 45 is missing")),
    (below, ("entry -1 does not belong: the first is 0",)),
    (truncate, ("checkpoint 40 signs 40 entries, but the ledger ends after 38", "node 0/38 belongs to no entry")),
    (truncate_with_nodes, ("checkpoint 40 signs 40 entries, but the ledger ends after 38",)),
    (swap, ("entry 17 is not what was hashed", "entry 24 is not what was hashed")),
    (node_edit, ("node 2/4 is not what was hashed", "node 3/2 is not what was hashed")),
    (node_remove, ("node 2/4 is missing",)),
    (node_add, ("node 3/5 belongs to no entry",)),
    (forge_17, ("checkpoint 30: entries 10 to 29 are not all as they were signed",)),
    (resigned_by_another, ("checkpoint 45: its note: no known key has signed the checkpoint",)),
    (old_checkpoint, ("checkpoint 40: the note is of another size or another ledger",)),
    (damaged_checkpoint, ("checkpoint 30: its note: a signature by a known key does not fit the checkpoint",)),
    (foreign_checkpoint, ("checkpoint 30: the note is of another size or another ledger",)),
]


@pytest.mark.parametrize("page", [8, 4096])
@pytest.mark.parametrize(("change", "expected"), DONE_TO_IT, ids=[change.__name__ for change, _ in DONE_TO_IT])
def test_a_full_check_names_the_place_of_every_change(
    copy: Connection,
    change: Callable[[Connection], None],
    expected: tuple[str, ...],
    page: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(walk, "PAGE", page)
    assert problems(copy) == ()
    change(copy)
    found = problems(copy)
    assert set(expected) <= set(found)
    assert found[0] in expected


def test_what_is_no_entry_is_named_also_where_its_hash_was_taken_away_with_it(copy: Connection) -> None:
    """In the part that no checkpoint signs yet, so that no other root speaks against it."""
    LOG.append(copy, bodies(45, 47))
    copy.execute(update(t.entry).where(t.entry.c.idx == 46).values(body=b"{}"))
    copy.execute(update(t.node).where(t.node.c.level == 0, t.node.c.idx == 46).values(hash=b""))
    assert "entry 46: the entry lacks its version, time or event" in problems(copy)


def test_what_is_no_entry_is_named_also_where_it_was_hashed_as_it_is(copy: Connection) -> None:
    copy.execute(update(t.entry).where(t.entry.c.idx == 44).values(body=b"{}"))
    as_it_is = merkle.leaf_hash(b"{}")
    copy.execute(update(t.node).where(t.node.c.level == 0, t.node.c.idx == 44).values(hash=as_it_is))
    assert "entry 44: the entry lacks its version, time or event" in problems(copy)


def test_of_a_page_that_is_not_as_it_should_be_its_own_rows_are_read_and_no_others(
    copy: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walk, "PAGE", 8)
    copy.execute(update(t.entry).where(t.entry.c.idx == 9).values(body=b"{}"))
    one = Walk(copy, Problems(), 0, 45, {}, None)
    one.to(16)
    assert set(one._entries) == set(range(8, 16))
    assert set(one._nodes) == {
        *((0, idx) for idx in range(8, 16)),
        *((1, idx) for idx in range(4, 8)),
        (2, 2),
        (2, 3),
        (3, 1),
        (4, 0),
    }


def test_a_page_that_is_as_it_should_be_is_read_by_the_level(copy: Connection) -> None:
    if copy.dialect.name == "sqlite":  # it gives the rows of an unordered question the other way round, when told to
        copy.exec_driver_sql("PRAGMA reverse_unordered_selects = ON")
    with asked_of_databases() as asked:
        Walk(copy, Problems(), 0, 45, {}, None).to(45)
    assert len(asked) == 1 + 6, "its entries, and the nodes of each level"


def test_of_a_page_in_the_middle_no_level_is_read_that_has_no_node_of_it(copy: Connection) -> None:
    peaks = stored.frontier(copy, 16)
    with asked_of_databases() as asked:
        Walk(copy, Problems(), 16, 24, peaks, None).to(24)
    assert len(asked) == 1 + 4, "its entries, and the nodes of the levels 0 to 3"


def test_a_walk_may_begin_anywhere_and_stop_anywhere(copy: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "PAGE", 8)
    for start in range(45):
        for end in range(start, 46):
            one = Walk(copy, found := Problems(), start, 45, stored.frontier(copy, start), None)
            one.to(end)
            assert (one.at, one.peaks, found.all()) == (end, stored.frontier(copy, end), ())


def test_an_entry_that_is_missing_is_named_once_and_what_was_hashed_of_it_stands_in_for_it(copy: Connection) -> None:
    remove(copy)
    assert problems(copy) == ("entry 17 is missing",)


@pytest.mark.parametrize("beyond", [False, True])
def test_as_many_entries_may_be_missing_as_are_named_before_it_is_a_gap(copy: Connection, *, beyond: bool) -> None:
    copy.execute(insert(t.entry).values(idx=45 + MOST_PROBLEMS + beyond, body=body(45), request_id="r-3"))
    found = problems(copy)
    assert ("stands beyond a gap" in found[0]) is beyond
    assert "entry 45 is missing" in found


def test_of_the_checkpoints_that_do_not_fit_the_first_says_where_the_change_lies(copy: Connection) -> None:
    forge_17(copy)
    assert [one for one in problems(copy) if one.startswith("checkpoint")] == [
        "checkpoint 30: entries 10 to 29 are not all as they were signed",
        "checkpoint 40: does not fit either, after checkpoint 30",
    ]


def test_a_checkpoint_of_nothing_at_all_is_looked_at_as_well(copy: Connection) -> None:
    copy.execute(insert(t.checkpoint).values(size=0, note="none", at=NOW))
    assert [one for one in problems(copy) if one.startswith("checkpoint 0: its note: ")]


def test_each_checkpoint_that_signs_more_than_there_is_is_named(copy: Connection) -> None:
    copy.execute(delete(t.entry).where(t.entry.c.idx >= 20))
    copy.exec_driver_sql("PRAGMA reverse_unordered_selects = ON")
    assert [one for one in problems(copy) if "but the ledger ends after 20" in one] == [
        f"checkpoint {size} signs {size} entries, but the ledger ends after 20" for size in (30, 40)
    ]


def test_nodes_that_belong_to_no_entry_are_named_in_their_order_wherever_they_are(copy: Connection) -> None:
    for level, idx in ((63, 1), (63, 0), (70, 0), (-1, 0), (0, -1), (0, 46), (0, 45)):
        copy.execute(insert(t.node).values(level=level, idx=idx, hash=bytes(32)))
    copy.exec_driver_sql("PRAGMA reverse_unordered_selects = ON")
    foreign = [(-1, 0), (0, -1), (0, 45), (0, 46), (63, 0), (63, 1), (70, 0)]
    assert problems(copy) == tuple(f"node {level}/{idx} belongs to no entry" for level, idx in foreign)


def test_whoever_appends_hears_how_many_entries_there_are(copy: Connection) -> None:
    assert LOG.append(copy, bodies(45, 48)) == 48


def test_what_stands_in_a_report_is_bounded(copy: Connection) -> None:
    nodes = copy.execute(select(func.count()).select_from(t.node)).scalar_one()
    copy.execute(delete(t.node))
    found = problems(copy)
    assert len(found) == MOST_PROBLEMS + 1
    peaks = len(merkle.peaks(0, LOG.size(copy)))
    more = int(found[-1].removeprefix("and ").removesuffix(" more"))
    assert MOST_PROBLEMS + more >= nodes - peaks
    assert more > 1
    many = Problems()
    for number in range(MOST_PROBLEMS + 3):
        many.add(str(number))
    assert many.all()[-1] == "and 3 more"


def peak_of_the_signed(connection: Connection) -> None:
    connection.execute(delete(t.node).where(t.node.c.level == 5))


@pytest.mark.parametrize(
    "change",
    [truncate, truncate_with_nodes, forge_17, resigned_by_another, old_checkpoint, peak_of_the_signed],
)
def test_nothing_is_signed_that_does_not_continue_what_was_signed(
    copy: Connection, change: Callable[[Connection], None]
) -> None:
    change(copy)
    kept = copy.execute(select(t.checkpoint)).all()
    with pytest.raises(LedgerTampered):
        LOG.checkpoint(copy, NOW)
    assert copy.execute(select(t.checkpoint)).all() == kept


def test_a_ledger_whose_peaks_are_gone_takes_no_more_entries(copy: Connection) -> None:
    copy.execute(delete(t.node).where(t.node.c.level == 0, t.node.c.idx == 44))
    with pytest.raises(LedgerTampered, match="node 0/44 is missing"):
        LOG.append(copy, bodies(45, 46))


# --- a checkpoint kept outside


def test_a_ledger_continues_each_checkpoint_that_was_kept_outside(copy: Connection) -> None:
    for signed in copy.execute(select(t.checkpoint.c.note)).scalars().all():
        assert LOG.consistent_with(copy, signed) == ()


def test_a_restored_old_backup_does_not_continue_the_kept_checkpoint(copy: Connection) -> None:
    kept = LOG.checkpoint(copy, NOW)
    truncate_with_nodes(copy)
    copy.execute(delete(t.checkpoint).where(t.checkpoint.c.size > 30))
    assert problems(copy) == ()
    (problem,) = LOG.consistent_with(copy, kept)
    assert problem.startswith("checkpoint 45 signs 45 entries, but the ledger ends after 38 (an older copy?")


def test_a_ledger_made_anew_with_the_real_key_does_not_continue_the_kept_checkpoint(copy: Connection) -> None:
    kept = LOG.checkpoint(copy, NOW)
    forge(copy, 17)
    copy.execute(delete(t.checkpoint))
    LOG.checkpoint(copy, NOW)
    assert problems(copy) == ()
    assert LOG.consistent_with(copy, kept) == (
        f"checkpoint 45: the ledger's first 45 entries have another root{audit.FORKED}",
    )


def test_a_kept_checkpoint_must_be_ours_and_whole(copy: Connection) -> None:
    head = note.Checkpoint("example.org/other", 45, LOG.root(copy))
    assert LOG.consistent_with(copy, note.sign(head, SIGNER)) == ("checkpoint 45 is of another ledger",)
    (problem,) = LOG.consistent_with(copy, note.sign(head, note.Signer.from_seed("x", bytes(32))))
    assert problem.startswith("the checkpoint cannot be relied on")
    kept = LOG.checkpoint(copy, NOW)
    copy.execute(delete(t.node).where(t.node.c.level == 5))
    assert LOG.consistent_with(copy, kept) == ("checkpoint 45: node 5/0 is missing",)


# --- triggers

REFUSED = [
    "UPDATE entry SET request_id = 'r-9' WHERE idx = 3",
    "DELETE FROM entry WHERE idx = 3",
    "UPDATE node SET level = 9 WHERE idx = 3",
    "DELETE FROM node WHERE idx = 3",
]


@pytest.mark.parametrize(
    "statement",
    [
        *REFUSED,
        "INSERT OR REPLACE INTO entry (idx, request_id, body) VALUES (3, 'r-3', x'00')",
        "INSERT OR REPLACE INTO node (level, idx, hash) VALUES (0, 3, x'00')",
    ],
)
def test_sqlite_refuses_to_change_what_is_in_the_ledger(copy: Connection, statement: str) -> None:
    protect(copy)
    protect(copy)
    with pytest.raises(DBAPIError, match="only grows"):
        copy.execute(text(statement))
    LOG.append(copy, bodies(45, 50))
    LOG.checkpoint(copy, NOW)
    assert problems(copy) == ()


def test_both_databases_keep_and_protect_the_same_ledger(engine: Engine) -> None:
    with writing(engine) as connection:
        fill(connection)
        kept = LOG.checkpoint(connection, NOW)
    # Never committed: the database is used again, and whoever empties it would meet the triggers.
    with engine.connect().execution_options(dpsync_writes=True) as connection:
        protect(connection)
        protect(connection)
        refused = [*REFUSED, "TRUNCATE node"] if engine.dialect.name == "postgresql" else REFUSED
        for statement in refused:
            with pytest.raises(DBAPIError, match="only grows"), connection.begin_nested():
                connection.execute(text(statement))
        LOG.append(connection, bodies(45, 47))
        assert LOG.size(connection) == 47
        assert LOG.verify(connection, full=True).problems == ()
        assert LOG.consistent_with(connection, kept) == ()
        assert stored.proved(connection, lambda get: merkle.inclusion_proof(get, 5, 47))[0] == merkle.leaf_hash(body(4))
