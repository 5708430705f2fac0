"""What the entries of one request tell of it, entry by entry."""

import hmac
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from sqlalchemy import create_engine, insert

from dpsync.ledger import entry, rows, stored, stored_rows
from dpsync.ledger.alias_comparison import Known
from dpsync.ledger.entry import EntryKind
from dpsync.ledger.told import Kept, RequestTold, readable
from dpsync.ledger.told import PlaceTold as Told
from dpsync.sealing import Keys
from dpsync.store import tables as t

KEY = b"k" * 32
NOW = datetime(2026, 11, 20, 9, tzinfo=UTC)


def said(event: str, ts: int, **more: Any) -> dict[str, Any]:
    return {"event": event, "ts": ts, **more}


def state(at: str, ts: int, name: str = "verified", **more: Any) -> dict[str, Any]:
    return said("done", ts, dest=at, state=name, rung=4, **more)


def item(table: str, number: int | None = None) -> str:
    return rows.item(KEY, table, dict.fromkeys(rows.COMMITTED[table], "x"), number)


def heard(*entries: dict[str, Any]) -> RequestTold:
    request = RequestTold()
    for idx, one in enumerate(entries, start=7):
        request.hear(idx, one)
    return request


RECEIVED = said("received", 100, list="0" * 64, n=2)


def test_the_first_entry_is_the_receipt_and_is_about_no_place() -> None:
    request = heard(RECEIVED, said("decided", 101))
    assert (request.idx, request.receipt, request.places) == (7, RECEIVED, {})
    assert request.commits is False
    assert heard({**RECEIVED, "rows": item("request")}).commits is True


def test_a_place_waits_since_the_request_came_in_and_keeps_the_way_it_was_told_by_first() -> None:
    request = heard(RECEIVED, said("attempt", 110, dest="a"), said("attempt", 111, dest="a", way="api"))
    assert request.places == {"a": Told(since=100, way="api")}
    request.hear(10, said("attempt", 120, dest="a", way="notice"))
    assert request.places["a"].way == "api"


def test_before_the_receipt_a_place_waits_since_its_own_first_entry() -> None:
    assert heard(said("attempt", 110, dest="a")).places["a"].since == 110


def test_a_request_is_closed_since_the_last_of_its_places_came_to_rest() -> None:
    request = heard(RECEIVED, state("b", 150), state("a", 120))
    assert request.closed == 150
    request.hear(10, said("attempt", 160, dest="a"))
    again = heard(RECEIVED, state("b", 150), state("a", 120), state("a", 170, "pending"))
    assert (request.closed, again.closed) == (150, None)
    entries = [RECEIVED, state("b", 150), state("a", 120), state("a", 170, "pending"), state("a", 180)]
    assert heard(*entries).closed == 180


def test_as_long_as_one_place_waits_it_is_open() -> None:
    assert heard(RECEIVED, state("a", 120)).closed is None


def test_without_any_processor_it_is_closed_as_it_comes_in() -> None:
    assert heard({**RECEIVED, "n": 0}).closed == 100


def test_a_receipt_that_gives_no_number_is_never_called_closed() -> None:
    assert heard(said("received", 100, list="0" * 64), state("a", 120)).closed is None
    assert heard(state("a", 120)).closed is None


def test_rows_that_are_only_added_belong_to_a_place_or_to_the_request() -> None:
    texts = [item("answer", 1), item("decision", 2), item("attempt", 3)]
    request = heard(RECEIVED, said("answered", 110, dest="a", rows=" ".join(texts)))
    answer, decision, attempt = (Kept(8, one) for one in rows.read(" ".join(texts)))
    assert request.added == {("answer", "a"): [answer], ("decision", ""): [decision]}
    assert request.rows == {("attempt", "a", 3): attempt}


@pytest.mark.parametrize(("about", "unseen"), [("request", False), ("alias", True), (None, True)])
def test_who_joined_without_the_request_being_seen_is_known(about: str | None, *, unseen: bool) -> None:
    committed = {} if about is None else {"rows": item(about)}
    assert heard(RECEIVED, said("joined", 110, **committed)).joined_unseen is unseen
    assert heard(RECEIVED, said("decided", 110)).joined_unseen is False


def test_the_last_entry_about_a_persons_names_counts_whichever_request_it_is_of() -> None:
    known = Known()
    for number, (person, idx) in enumerate(
        [("p-1", 5), ("p-2", 9), ("p-1", 7), ("p-1", 6), ("p-1", None), ("p-2", None)]
    ):
        request = RequestTold()
        if idx is not None:
            (one,) = rows.read(item("alias"))
            request.rows["alias", "", 0] = Kept(idx, one)
        known.hear({"person": person, "id": f"r-{number}"}, request)
    latest = {person: (kept and kept.idx, about) for person, (kept, about) in known._by_person.items()}
    assert latest == {"p-1": (7, "r-2"), "p-2": (9, "r-1")}


class Macs:
    def mac(self, purpose: str, data: bytes) -> bytes:
        assert (purpose, data) == ("ledger", b"rows")
        return KEY


def test_the_names_of_each_person_are_compared_with_what_the_last_entry_says_and_a_stranger_is_named() -> None:
    named: dict[str, list[dict[str, Any]]] = {
        person: [
            {"pseudonym": f"{person}/{n}", "person": person, "key_version": 1, "subject_id": "s-1"} for n in (1, 2)
        ]
        for person in ("p-1", "p-2", "p-3")
    }
    known = Known()
    for number, (person, found) in enumerate(named.items(), start=1):
        request = RequestTold()
        (one,) = rows.read(rows.item(KEY, "alias", rows.names(found)))
        request.rows["alias", "", 0] = Kept(number, one)
        known.hear({"person": person, "id": f"r-{number}"}, request)
    known.hear({"person": "p-4", "id": "r-4"}, RequestTold())  # from before names were committed
    stranger = {"pseudonym": "p-0/1", "person": "p-0", "key_version": 1, "subject_id": "s-1"}
    held = [stranger, *named["p-1"], {**named["p-2"][0], "subject_id": "s-9"}, named["p-2"][1]]
    with create_engine("sqlite://").connect() as connection:
        t.alias.create(connection)
        connection.execute(insert(t.alias), held)
        problems = list(known.problems(connection, cast("Keys", Macs())))
    assert problems == [
        "alias: person, pseudonym of a row: no request is about such a person",
        "request r-2, alias: subject_id of its person not as entry 2 recorded it",
        "request r-3, alias: pseudonym, person, key_version, subject_id of its person not as entry 3 recorded it",
    ]


@pytest.mark.parametrize(("stored", "read"), [(1_999_999, 1), (-1, -1), ("soon", "soon"), (None, None)])
def test_a_stored_time_is_read_in_whole_seconds_and_what_is_none_stays(stored: object, read: object) -> None:
    assert stored_rows.seconds(stored) == read


def test_what_is_born_and_what_somebody_is_called_stand_in_one_order_a_value_a_line() -> None:
    born = [{"processor": name, "way": f"by {name}", "covers": ""} for name in ("b", "a")]
    assert rows.births(born)["way"] == "a by a\nb by b\n"
    called = [{column: f"{one} {column}" for column in rows.COMMITTED["alias"]} for one in ("b", "a")]
    for column, text in rows.names(called).items():
        assert text == f"a {column}\nb {column}\n"


@pytest.mark.parametrize("said", ["request", "request:7", "nobody knows it"])
def test_an_entry_whose_rows_cannot_be_read_says_nothing(said: str) -> None:
    whole = entry.encode(EntryKind.RECEIVED, NOW, req="r-1", rows=item("request"))
    assert readable(whole) is not None
    assert readable(whole.replace(item("request").encode(), said.encode())) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        ("", "="),
        ("7", "=7"),
        (7, "7"),
        (True, "1"),
        (NOW, str(NOW.timestamp()).removesuffix(".0") + "000000"),
        (b"\x00\xff", ":00ff"),
        (memoryview(b"\x07"), ":07"),
        (1.5, "~1.5"),
    ],
)
def test_a_value_has_one_spelling(value: object, text: str) -> None:
    assert rows.spelled(value) == text


def test_what_an_entry_commits_to_is_as_the_format_says() -> None:
    """docs/proof-format.md: HMAC-SHA-256 of each column, then over all of these one after the other."""
    row = {"way": "api", "covers": ""}
    cells = [
        hmac.new(KEY, f"births.{column}\n={row[column]}".encode(), "sha256").digest()
        for column in rows.COMMITTED["births"]
    ]
    whole = hmac.new(KEY, cells[0] + cells[1], "sha256").hexdigest()
    assert rows.item(KEY, "births", row) == f"births:{whole}:" + "".join(one.hex()[: rows.MARK] for one in cells)


@pytest.mark.parametrize(
    ("kept", "read"), [(b"\xff", b"\xff"), ("{}", b"{}"), ("\xe4\udcff", b"\xc3\xa4\xff"), (7, b"7"), (None, b"None")]
)
def test_what_somebody_stored_as_something_else_is_read_as_the_bytes_that_it_may_have_been(
    kept: object, read: bytes
) -> None:
    assert stored.raw(kept) == read
