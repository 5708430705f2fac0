"""One request against its entries: each column that anybody can compare, one wrong value at a time, named once."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from sqlalchemy import BigInteger, Boolean, Connection, Integer, LargeBinary, Table, insert

from dpsync.errors import KeyProblem
from dpsync.ledger import entry, evidence, rows
from dpsync.ledger.comparison import _of_no_request, _of_request, differences, older_requests
from dpsync.ledger.entry import EntryKind
from dpsync.ledger.row_comparison import Belongings
from dpsync.ledger.rows import BORN, COMMITTED
from dpsync.ledger.stored_rows import PAGE
from dpsync.ledger.told import RequestTold, of_no_request, of_requests
from dpsync.ledger.unchanged import ComparedBefore, ComparedPage, PageDigests
from dpsync.sealing import Keys
from dpsync.store import tables as t
from dpsync.store.columns import Instant
from tests.unit.test_ledger_receipt import NOW, ledger

KEY = b"k" * 32
SECOND = 1_000_000
OF_THE_RECEIPT = {
    "right": "erasure",
    "starts": "2026-11-30",
    "strict": "2026-12-28",
    "letter": "2026-12-26",
    "due": "2026-12-29",
    "rule": "uk-1",
    "ground": "art17-1",
}


class Opens:
    def mac(self, *_: object) -> bytes:
        return KEY

    def unwrap(self, *_: object) -> Any:
        return SimpleNamespace(commit_key=KEY)


class Fails:
    def mac(self, *_: object) -> bytes:
        return KEY

    def unwrap(self, *_: object) -> Any:
        raise KeyProblem("the month is lost")


class Case:
    """A request at one processor, as it came in and was told. Times stand as in the database: microseconds."""

    def __init__(self, **receipt: Any) -> None:
        self.row: dict[str, Any] = {
            **{column: f"request {column}" for column in COMMITTED["request"]},
            "id": "r-1",
            "right": "erasure",
            "starts_on": "2026-11-30",
            "strict_on": "2026-12-28",
            "letter_by": "2026-12-26",
            "due_on": "2026-12-29",
            "clock_rule": "uk-1",
            "ground": "art17-1",
            "accepted_at": 100 * SECOND,
            "received_at": 90 * SECOND,
            "target_at": 300 * SECOND,
            "due_at": 400 * SECOND,
            "received_assumed": 0,
            "lifting": 0,
            "processors": "a",
            "closed_at": None,
            "shredded_at": None,
            "wrapped_key": b"wrapped",
            "key_month": "2026-11",
        }
        self.part: dict[str, Any] = {
            **BORN,
            **{column: self.row[column] for column in rows.COPIED},
            "processor": "a",
            "way": "api",
            "covers": "",
            "opened_at": 100 * SECOND,
            "state_since": 100 * SECOND,
        }
        self.has = Belongings(parts={"a": self.part})
        said: dict[str, Any] = {
            "event": "received",
            "ts": 100,
            "received": 90,
            "target": 300,
            "overdue": 400,
            "n": 1,
            **OF_THE_RECEIPT,
        }
        texts = [rows.item(KEY, "request", self.row), rows.item(KEY, "births", rows.births([self.part]))]
        self.said = RequestTold()
        self.said.hear(7, {**said, "list": entry.list_digest(["a"]), "rows": " ".join(texts), **receipt})

    def told(self) -> None:
        """The processor was told, and said that it is done."""
        self.part |= {"state": "applied", "rung": 3, "told_at": 120 * SECOND, "done_at": 120 * SECOND}
        self.part["state_since"] = self.row["closed_at"] = 120 * SECOND
        text = rows.item(KEY, "propagation", self.part)
        self.said.hear(8, {"event": "applied", "ts": 120, "dest": "a", "state": "applied", "rung": 3, "rows": text})

    def found(self, keys: object = None) -> list[str]:
        return list(_of_request(cast("Keys", keys or Opens()), self.row, self.has, self.said, lambda _: None))


def test_what_is_as_told_is_no_problem() -> None:
    case = Case()
    assert case.found() == []
    case.told()
    assert case.found() == []


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("right", "opt_out", "right is opt_out; entry 7 says erasure"),
        ("starts_on", "2026-11-29", "starts_on is 2026-11-29; entry 7 says 2026-11-30"),
        ("strict_on", "2026-12-29", "strict_on is 2026-12-29; entry 7 says 2026-12-28"),
        ("letter_by", "2026-12-27", "letter_by is 2026-12-27; entry 7 says 2026-12-26"),
        ("due_on", "2026-12-30", "due_on is 2026-12-30; entry 7 says 2026-12-29"),
        ("clock_rule", "uk-2", "clock_rule is uk-2; entry 7 says uk-1"),
        ("ground", "", "ground is ; entry 7 says art17-1"),
        ("received_at", 91 * SECOND, "received_at is 1970-01-01 00:01:31 UTC; entry 7 says another time"),
        ("target_at", 301 * SECOND, "target_at is 1970-01-01 00:05:01 UTC; entry 7 says another time"),
        ("due_at", "soon", "due_at is no time; entry 7 says another time"),
        ("received_assumed", 1, "received_assumed is not what entry 7 says"),
        ("processors", "a\nb", "processors is not the list of entry 7"),
        ("processors", "a b", "processors is not the list of entry 7"),
        (
            "closed_at",
            130 * SECOND,
            "the database says closed_at 1970-01-01 00:02:10 UTC; the ledger tells of another time, or none",
        ),
        (
            "shredded_at",
            130 * SECOND,
            "the database says shredded_at 1970-01-01 00:02:10 UTC; the ledger tells of another time, or none",
        ),
    ],
)
def test_a_changed_column_of_a_request_is_named_once(column: str, value: object, said: str) -> None:
    case = Case()
    case.row[column] = value
    if column in rows.COPIED:
        case.part[column] = value
    assert case.found() == [f"request r-1: {said}"]


def test_calls_of_which_no_entry_tells_are_named() -> None:
    case = Case()
    case.has.calls["a", 1, "outcome"].add(filled(t.evidence, status=204))
    assert case.found() == [f"request r-1: calls are recorded that no entry tells of ({evidence.COLUMNS})"]


def test_the_list_of_a_request_is_a_processor_a_line() -> None:
    case = Case(list=entry.list_digest(["a", "b"]), n=2)
    case.row["processors"] = "a\nb"
    case.has.parts["b"] = {**case.part, "processor": "b"}
    assert [problem for problem in case.found() if "processors" in problem] == [
        "request r-1: processors not as entry 7 recorded it"
    ]


def test_a_time_of_receipt_that_is_another_is_named_also_where_it_is_copied() -> None:
    case = Case()
    case.row["accepted_at"] = case.part["opened_at"] = case.part["state_since"] = 101 * SECOND
    assert case.found()[0] == "request r-1: accepted_at is 1970-01-01 00:01:41 UTC; entry 7 says another time"
    other = "1970-01-01 00:01:41 UTC; the ledger tells of another time, or none"
    assert case.found()[1:] == [
        f"request r-1 at a: the database says state_since {other}",
        f"request r-1 at a: the database says opened_at {other}",
    ]


def test_a_lifting_is_what_its_entry_is_called() -> None:
    case = Case()
    case.row["lifting"] = case.part["lifting"] = 1
    assert case.found() == ["request r-1: lifting is not what entry 7 says"]
    lifted = Case(event="lifted")
    lifted.row["lifting"] = lifted.part["lifting"] = 1
    assert lifted.found() == ["request r-1: lifting not as entry 7 recorded it"]


def test_what_a_receipt_leaves_out_is_empty_since_entries_commit_to_rows_and_not_compared_before() -> None:
    without = {key: said for key, said in Case().said.receipt.items() if key != "ground"}
    case = Case()
    case.said.receipt = without
    assert case.found()[0] == "request r-1: ground is art17-1; entry 7 says none"
    case.said.receipt = {key: said for key, said in without.items() if key != "rows"}
    assert case.found() == []


def test_a_receipt_that_was_assumed_is_said_to_be() -> None:
    case = Case(assumed=1)
    assert case.found() == ["request r-1: received_assumed is not what entry 7 says"]


def test_a_request_of_whose_receipt_nothing_is_told_is_named() -> None:
    case = Case()
    case.said = RequestTold()
    problems = case.found()
    assert problems[0] == "request r-1: the ledger does not tell of its receipt"


def test_other_processors_than_it_was_accepted_for_are_named() -> None:
    case = Case()
    del case.has.parts["a"]
    told_of = "its processors in the database are not those it was accepted for (propagation: request_id, processor)"
    assert case.found()[0] == f"request r-1: {told_of}"


@pytest.mark.parametrize(("column", "value"), [("state", "refused"), ("rung", 4)])
def test_a_changed_state_or_rung_is_named_once(column: str, value: object) -> None:
    case = Case()
    case.part[column] = value
    born = {"state": "pending", "rung": 0} | {column: value}
    shown = f"the database says state {born['state']}, rung {born['rung']}"
    assert case.found() == [f"request r-1 at a: {shown}; no entry tells of more than pending, rung 0"]
    case = Case()
    case.told()
    case.part[column] = value
    kept = {"state": "applied", "rung": 3} | {column: value}
    shown = f"the database says state {kept['state']}, rung {kept['rung']}"
    assert case.found() == [f"request r-1 at a: {shown}; entry 8 says applied, rung 3"]


@pytest.mark.parametrize("column", ["told_at", "done_at", "state_since", "opened_at"])
def test_a_changed_moment_of_a_part_is_named_once(column: str) -> None:
    case = Case()
    case.told()
    case.part[column] = 119 * SECOND
    said = f"the database says {column} 1970-01-01 00:01:59 UTC; the ledger tells of another time, or none"
    assert case.found() == [f"request r-1 at a: {said}"]


@pytest.mark.parametrize("column", rows.COPIED)
def test_what_a_part_copies_is_that_of_its_request(column: str) -> None:
    case = Case()
    case.part[column] = "other"
    assert case.found() == [f"request r-1 at a: {column} is not that of the request"]


def test_without_its_key_a_request_is_compared_in_what_is_open_and_the_key_is_named() -> None:
    case = Case()
    case.row["source"] = "other"
    assert case.found() == ["request r-1: source not as entry 7 recorded it"]
    assert list(_of_request(None, case.row, case.has, case.said, lambda _: None)) == []
    (lost,) = case.found(Fails())
    assert lost.startswith("request r-1: wrapped_key does not open under key_month 2026-11, so less is compared: ")
    case.row["wrapped_key"] = None
    assert case.found() == ["request r-1: wrapped_key is gone, and no entry tells that the request was shredded"]
    case.said.hear(9, {"event": "shredded", "ts": 500})
    case.row |= {"shredded_at": 500 * SECOND, "sealed": None}
    assert case.found() == []
    by_receipt = list(_of_request(None, case.row, case.has, case.said, lambda _: KEY))
    assert by_receipt == ["request r-1: source not as entry 7 recorded it"]


def test_the_key_in_a_receipt_is_used_only_once_a_request_is_forgotten() -> None:
    case = Case()
    case.row["source"] = "other"
    assert list(_of_request(None, case.row, case.has, case.said, lambda _: KEY)) == []


@pytest.mark.parametrize(("column", "at"), [("sealed", ""), ("wrapped_key", ""), ("handed", " at a")])
def test_what_was_destroyed_and_is_there_again_is_named(column: str, at: str) -> None:
    case = Case()
    case.said.hear(9, {"event": "shredded", "ts": 500})
    case.row |= {"shredded_at": 500 * SECOND, "sealed": None, "wrapped_key": None}
    (case.part if at else case.row)[column] = b"from an older copy"
    assert case.found() == [f"request r-1{at}: {column} is there, and the ledger tells that the request was forgotten"]


def received(number: int, **more: str | int) -> tuple[str | None, bytes]:
    said = {"list": "0" * 64, "n": 1, "right": "erasure", **more}
    return f"r-{number:04}", entry.encode(EntryKind.RECEIVED, NOW, req=f"r-{number:04}", **said)


NEWER = {"rows": rows.item(KEY, "births", {"way": "", "covers": ""})}


@pytest.mark.parametrize("number", [0, 1, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE])
def test_requests_from_before_entries_committed_to_rows_are_counted_up_to_the_first_that_does(number: int) -> None:
    # an entry about private conversations has a list, too, and is about no request
    of_the_service = (None, entry.encode(EntryKind.DECLARED, NOW, dest="inbox", ref="w-1", n=1, list="0" * 64))
    older = [received(one) for one in range(number)]
    with ledger([of_the_service, *older]) as (_, connection):
        connection.exec_driver_sql("PRAGMA reverse_unordered_selects = ON")
        assert older_requests(connection) == number
    with ledger([of_the_service, *older, received(5000, **NEWER), received(5001)]) as (_, connection):
        assert older_requests(connection) == number


def test_the_list_of_a_request_is_the_same_in_whatever_order_it_was_written() -> None:
    case = Case(list=entry.list_digest(["a", "b"]), n=2)
    case.row["processors"] = "b\na"
    assert [problem for problem in case.found() if "is not the list" in problem] == []


def filled(table: Table, **more: Any) -> dict[str, Any]:
    """A row with something in each column that needs it."""
    values = {Integer: 0, BigInteger: 0, Boolean: False, LargeBinary: b"x", Instant: NOW}
    needed = [column for column in table.c if not column.nullable and column.server_default is None]
    return {column.name: values.get(type(column.type), "x") for column in needed} | more


def test_a_request_that_somebody_added_under_a_number_before_the_first_is_named() -> None:
    with ledger([]) as (_, connection):
        connection.execute(insert(t.request), filled(t.request, id="r-added", ordinal=-(2**62)))
        assert differences(connection, cast("Keys", Opens()))[0] == (
            "request r-added: the ledger does not tell of its receipt"
        )


def pages_of_one(connection: Connection, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """So many requests that nobody is told of, r-0 under 10 the first, each on a page by itself."""
    added = [filled(t.request, id=f"r-{one}", ordinal=10 + one, event_id=f"{one}") for one in range(count)]
    connection.execute(insert(t.request), added)
    monkeypatch.setattr("dpsync.ledger.stored_rows.PAGE", 1)


def test_only_the_pages_that_are_named_are_compared_and_no_names_of_people(monkeypatch: pytest.MonkeyPatch) -> None:
    with ledger([]) as (_, connection):
        pages_of_one(connection, monkeypatch, 3)
        connection.execute(insert(t.alias), filled(t.alias, person="nobody"))

        def named(*pages: int) -> set[str]:
            before, looked_at = ComparedBefore({}, dict.fromkeys(pages, -1), beneath=True), dict[int, PageDigests]()
            each = list[int]()
            found = differences(
                connection,
                cast("Keys", Opens()),
                each_page=lambda page: each.append(len(page["request"])),
                before=before,
                digests=looked_at,
            )
            assert {*looked_at} == {*pages}
            assert len(each) == len(pages)
            return {one.split(":")[0] for one in found}

        assert named(0, 2) == {"request r-0", "request r-2"}
        assert named() == set()
        whole = {one.split(":")[0] for one in differences(connection, cast("Keys", Opens()))}
        assert whole == {"request r-0", "request r-1", "request r-2", "alias"}


@pytest.mark.parametrize("beneath", [True, False])
def test_a_page_that_is_as_it_was_is_passed_over_and_the_next_one_is_not(
    monkeypatch: pytest.MonkeyPatch, *, beneath: bool
) -> None:
    with ledger([]) as (_, connection):
        pages_of_one(connection, monkeypatch, 2)
        now = dict[int, PageDigests]()

        def named(*was: PageDigests) -> set[str]:
            pages = {number: ComparedPage(these, 0) for number, these in enumerate(was)}
            now.clear()
            before = ComparedBefore(pages, {0: -1, 1: -1}, beneath=beneath)
            found = differences(connection, cast("Keys", Opens()), before=before, digests=now)
            return {one.split(":")[0] for one in found}

        assert named() == {"request r-0", "request r-1"}
        first, second = now[0], now[1]
        assert named(first) == {"request r-1"}
        assert named(PageDigests("another", first.beneath), second) == {"request r-0"}
        assert named(first, second) == set()
        assert now == {0: first, 1: second}
        other = PageDigests(first.printed, "another")
        assert named(other, second) == ({"request r-0"} if beneath else set()), "a report prints none of that"
        assert now == {0: first if beneath else other, 1: second}


def test_the_digest_of_a_page_tells_which_months_are_lost() -> None:
    with ledger([]) as (_, connection):
        connection.execute(insert(t.request), filled(t.request, id="r-1"))
        found = dict[int, PageDigests](), dict[int, PageDigests]()
        for digests, shut in zip(found, ((), ("2026-11",)), strict=True):
            differences(connection, cast("Keys", Opens()), shut=shut, digests=digests)
        assert found[0][0].printed != found[1][0].printed
        assert found[0][0].beneath != found[1][0].beneath


def test_of_a_month_whose_key_is_lost_nothing_is_said_but_what_anybody_can_compare() -> None:
    row = filled(t.request, id="r-1", key_month="2026-11", wrapped_key=b"wrapped", processors="")
    with ledger([]) as (_, connection):
        connection.execute(insert(t.request), row)
        whole = differences(connection, cast("Keys", Fails()))
        assert [one for one in whole if "does not open" in one] != []
        assert [one for one in differences(connection, cast("Keys", Fails()), shut={"2026-11"}) if "open" in one] == []


def test_what_is_missing_is_named_in_the_order_of_its_ids() -> None:
    with ledger([received(one) for one in (3, 1, 2)]) as (_, connection):
        connection.exec_driver_sql("PRAGMA reverse_unordered_selects = ON")
        found = differences(connection, cast("Keys", Opens()))
    assert [one.split(":")[0] for one in found] == ["request r-0001", "request r-0002", "request r-0003"]


@pytest.mark.parametrize("older", [False, True])
def test_a_contact_that_no_entry_tells_of_may_be_from_before_entries_committed_to_rows(*, older: bool) -> None:
    keys = cast("Keys", Opens())
    with ledger([]) as (_, connection):
        connection.execute(insert(t.contact), filled(t.contact, confirmed_at=NOW))
        found = list(_of_no_request(connection, keys, older=older))
        assert [one.startswith("contact: ") for one in found] == ([] if older else [True])


@pytest.mark.parametrize("older", [False, True])
def test_a_contact_that_an_entry_tells_of_and_that_is_not_there_is_always_named(*, older: bool) -> None:
    keys = cast("Keys", Opens())
    text = rows.item(rows.own_key(keys), "contact", filled(t.contact, confirmed_at=NOW))
    told_of = entry.encode(EntryKind.CONFIRMED, NOW, dest="forms", rows=text)
    with ledger([(None, told_of)]) as (_, connection):
        (problem,) = _of_no_request(connection, keys, older=older)
        assert problem.endswith("of a row that entry 0 recorded: it is not there")


def test_what_the_ledger_tells_of_and_the_database_has_not_is_named_fifty_times_at_most() -> None:
    with ledger([received(one) for one in range(60)]) as (_, connection):
        found = differences(connection, cast("Keys", Opens()))
    missing = [f"request r-{one:04}: the ledger tells of it, and the database does not have it" for one in range(50)]
    assert found == (*missing, "and more")


def test_entries_are_heard_in_their_order_whatever_order_the_database_has() -> None:
    states = [("held", 0), ("pending", 1), ("applied", 3)]
    told: list[dict[str, str | int]] = [
        {"dest": "a", "right": "erasure", "state": state, "rung": rung} for state, rung in states
    ]
    events = [("r-1", entry.encode(EntryKind.HELD, NOW, req="r-1", **one)) for one in told]
    service = [(None, entry.encode(EntryKind.CONFIGURATION, NOW, digest=f"{one}" * 64)) for one in range(3)]
    with ledger([*events, *service]) as (_, connection):
        # SQLite gives the rows of an unordered question the other way round, when told to
        connection.exec_driver_sql("PRAGMA reverse_unordered_selects = ON")
        assert of_requests(connection, ["r-1"])["r-1"].places["a"].state == "applied"
        assert [idx for idx, _ in of_no_request(connection)] == [3, 4, 5]
