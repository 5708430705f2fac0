"""Whether the rows in the database are those that the ledger tells of: every column that is proof, by its name.

The ledger may be sound while a table beside it was written by hand: then reports would print what nobody recorded, or
leave out what was. What is no proof, and why, stands in `rows`.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import timedelta
from itertools import chain

from sqlalchemy import Connection, bindparam, select

from dpsync.ciphers import RequestKey
from dpsync.errors import KeyProblem
from dpsync.ledger import (
    alias_comparison,
    conversation_comparison,
    entry,
    evidence,
    row_comparison,
    rows,
    stored,
    stored_rows,
    told,
)
from dpsync.ledger.entry import EntryKind
from dpsync.ledger.row_comparison import DESTROYED, Belongings, Row
from dpsync.ledger.rows import COPIED
from dpsync.ledger.stored_rows import Stretched
from dpsync.ledger.told import PlaceTold
from dpsync.ledger.unchanged import ComparedBefore, PageDigests, digest_of
from dpsync.sealing import Keys
from dpsync.store import tables as t
from dpsync.store.case_tables import case_act
from dpsync.store.contact_tables import contact_named

MOST_NAMED = 50

FORGOTTEN_CASE = "case"
"""What the entry is called, among those that something was shredded, after which words of a case are not compared."""


def differences(
    connection: Connection,
    keys: Keys,
    each_page: Callable[[Stretched], None] = lambda _: None,
    shut: Collection[str] = (),
    kept: Callable[[str], bytes | None] = lambda _: None,
    before: ComparedBefore | None = None,
    digests: dict[int, PageDigests] | None = None,
) -> tuple[str, ...]:
    """Each request that the ledger tells of and the database has not; each column of a request and of what belongs to
    it that is not as its entries say, in order of receipt; then what belongs to no request.

    Needs the view of one moment, for a row and its entry are written together. An entry that cannot be read says
    nothing here: `Log.verify` names it. What is committed under a request's key is compared while that key exists, or
    while `kept` gives its commit key from the receipt of a request that is forgotten. Of requests of the months `shut`,
    whose key is lost, what it committed to is not compared and nothing is said.
    `before`: only its pages are compared, where they are not as they were then, and no names of people. `digests` takes
    those of each page that was looked at, by its number. `each_page` takes what reports print of every few hundred
    requests, as it was read: of 100,000 all of this takes two minutes.
    """
    found: list[str] = []
    older = older_requests(connection) > 0
    known = alias_comparison.Known()
    everything = chain(
        _missing(connection),
        _problems(connection, keys, each_page, shut, known, kept, before, {} if digests is None else digests),
        known.problems(connection, keys) if before is None else (),
        _of_no_request(connection, keys, older=older),
        conversation_comparison.problems(connection, keys, older=older),
    )
    for problem in everything:
        if len(found) == MOST_NAMED:
            return (*found, "and more")
        found.append(problem)
    return tuple(found)


def older_requests(connection: Connection) -> int:
    """How many requests were accepted before entries committed to rows: of those less is compared."""
    column, last, older = t.entry.c, -1, 0
    query = select(column.idx, column.body).where(column.request_id.is_not(None), column.idx > bindparam("last"))
    while page := connection.execute(query.order_by(column.idx).limit(stored_rows.PAGE), {"last": last}).all():
        last = page[-1].idx
        for said in filter(None, (told.readable(row.body) for row in page)):
            if "list" in said and "rows" in said:
                return older
            older += "list" in said
    return older


def _missing(connection: Connection) -> Iterator[str]:
    named = t.entry.c.request_id
    kept = select(t.request.c.id).where(t.request.c.id == named)
    query = select(named).distinct().where(named.is_not(None), ~kept.exists()).order_by(named).limit(MOST_NAMED + 1)
    for request_id in connection.execute(query).scalars():
        yield f"request {request_id}: the ledger tells of it, and the database does not have it"


# --- reading


def _problems(
    connection: Connection,
    keys: Keys,
    each_page: Callable[[Stretched], None],
    shut: Collection[str],
    known: alias_comparison.Known,
    kept: Callable[[str], bytes | None],
    before: ComparedBefore | None,
    digests: dict[int, PageDigests],
) -> Iterator[str]:
    for number, stretch in enumerate(stored_rows.stretches(connection)):
        if before and number not in before.told_until:
            continue
        was = before.was(number) if before else None
        found = stored_rows.printed_of(connection, stretch)
        each_page(found)
        printed = digest_of(keys, shut, found)
        if before and not before.beneath and was and was.printed == printed:
            digests[number] = was
            continue
        beneath = stored_rows.beneath_of(connection, stretch)
        digests[number] = PageDigests(printed, digest_of(keys, shut, beneath))
        if digests[number] == was:
            continue
        found = {**found, **beneath}
        page = stored_rows.named("request", found)
        said, there = told.of_requests(connection, [row["id"] for row in page]), row_comparison.belongings(found)
        for row in page:
            one, has = said.get(row["id"], told.RequestTold()), there[row["id"]]
            known.hear(row, one)
            opener = None if row["key_month"] in shut else keys
            yield from _of_request(opener, row, has, one, kept)


# --- one request


def _of_request(
    keys: Keys | None,
    row: Row,
    has: Belongings,
    said: told.RequestTold,
    kept: Callable[[str], bytes | None],
) -> Iterator[str]:
    name = f"request {row['id']}"
    named: set[tuple[str, str]] = set()
    for place, column, problem in chain(
        _openly(row, has, said), _places(row, has, said), row_comparison.put_back(row, has, said)
    ):
        named.add((place, column))
        yield f"{name}{place}: {problem}"
    key, problem = _key(keys, row, said)
    if problem:
        yield f"{name}: {problem}"
    commit_key = key.commit_key if key else kept(row["id"]) if said.shredded is not None else None
    if commit_key is None:
        return
    if said.commits:
        either = (commit_key, rows.stand_in(keys, row["id"])) if keys else commit_key
        for place, columns, problem in row_comparison.problems(either, row, has, said):
            left = [column for column in columns if (place, column) not in named]
            if left:
                yield f"{name}{place}: {', '.join(left)} {problem}"
    for problem in evidence.problems(commit_key, said.answers, has.calls):
        yield f"{name}: {problem}"


def _key(keys: Keys | None, row: Row, said: told.RequestTold) -> tuple[RequestKey | None, str]:
    """The request's key, or what is wrong with it."""
    if row["wrapped_key"] is None:
        return None, "" if said.shredded else "wrapped_key is gone, and no entry tells that the request was shredded"
    if keys is None:
        return None, ""
    try:
        return keys.unwrap(stored.raw(row["wrapped_key"]), str(row["id"]), str(row["key_month"])), ""
    except KeyProblem as error:
        return (
            None,
            f"wrapped_key does not open under key_month {row['key_month']}, so less is compared: {error.message}",
        )


Problem = tuple[str, str, str]
"""Place below the request, column, and what is wrong with it."""

_MOMENTS = {"accepted_at": "ts", "received_at": "received", "target_at": "target", "due_at": "overdue"}
_WORDS = {
    "right": "right",
    "starts_on": "starts",
    "strict_on": "strict",
    "letter_by": "letter",
    "due_on": "due",
    "clock_rule": "rule",
    "ground": "ground",
}
_UNSAID = {"ground": ""}
"""What an entry leaves out where there is nothing to say."""


def _openly(row: Row, has: Belongings, said: told.RequestTold) -> Iterator[Problem]:
    """What anybody can compare, with the request's key or without it."""
    receipt = said.receipt
    if not receipt:
        yield "", "id", "the ledger does not tell of its receipt"
        return
    unsaid = _UNSAID if said.commits else {}
    for column, key in _WORDS.items():
        wanted = receipt.get(key, unsaid.get(column))
        if wanted is not None and row[column] != wanted:
            yield "", column, f"{column} is {row[column]}; entry {said.idx} says {wanted or 'none'}"
    for column, key in _MOMENTS.items():
        if key in receipt and stored_rows.seconds(row[column]) != receipt[key]:
            yield "", column, f"{column} is {_moment(row[column])}; entry {said.idx} says another time"
    if said.commits and int(bool(row["received_assumed"])) != receipt.get("assumed", 0):
        yield "", "received_assumed", f"received_assumed is not what entry {said.idx} says"
    if bool(row["lifting"]) is not (receipt["event"] == "lifted"):
        yield "", "lifting", f"lifting is not what entry {said.idx} says"
    if entry.list_digest(has.parts) != receipt["list"]:
        told_of = "its processors in the database are not those it was accepted for"
        yield "", "processor", f"{told_of} (propagation: request_id, processor)"
    if entry.list_digest(filter(None, str(row["processors"]).split("\n"))) != receipt["list"]:
        yield "", "processors", f"processors is not the list of entry {said.idx}"
    for column, ts in (("closed_at", said.closed), ("shredded_at", said.shredded)):
        if stored_rows.seconds(row[column]) != ts:
            shown = _moment(row[column])
            yield "", column, f"the database says {column} {shown}; the ledger tells of another time, or none"


def _places(row: Row, has: Belongings, said: told.RequestTold) -> Iterator[Problem]:
    opened = said.receipt.get("ts")
    for processor, kept in has.parts.items():
        one, at = said.places.get(processor, PlaceTold()), f" at {processor}"
        if (kept["state"], kept["rung"]) != (one.state, one.rung):
            column = "state" if kept["state"] != one.state else "rung"
            where = "no entry tells of more than" if one.idx is None else f"entry {one.idx} says"
            yield (
                at,
                column,
                (f"the database says state {kept['state']}, rung {kept['rung']}; {where} {one.state}, rung {one.rung}"),
            )
        moments = {"told_at": one.told, "done_at": one.done, "state_since": one.since, "opened_at": opened}
        if one.since is None:
            moments["state_since"] = opened
        for column, ts in moments.items():
            if stored_rows.seconds(kept[column]) != ts:
                shown = _moment(kept[column])
                yield at, column, f"the database says {column} {shown}; the ledger tells of another time, or none"
        for column in COPIED:
            if kept[column] != row[column]:
                yield at, column, f"{column} is not that of the request"


def _moment(stored_at: object) -> str:
    try:
        return f"{t.EPOCH + timedelta(microseconds=int(str(stored_at))):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError):
        return "no time"


# --- what belongs to no request


def _of_no_request(connection: Connection, keys: Keys, *, older: bool) -> Iterator[str]:
    """Contacts that confirmed themselves or were named, mail of no notice, the steps of complaints and incidents."""
    key, forgotten = rows.own_key(keys), set[object]()
    committed: dict[str, list[told.Kept]] = defaultdict(list)
    steps_of: dict[object, list[told.Kept]] = defaultdict(list)
    for idx, said in told.of_no_request(connection):
        if said["event"] == EntryKind.SHREDDED and said.get("kind") == FORGOTTEN_CASE:
            forgotten.add(said.get("ref"))
        for one in told.items(idx, said):
            (steps_of[said.get("ref")] if one.said.table == "case_act" else committed[one.said.table]).append(one)
    confirmed = stored_rows.all_of(connection, t.contact, t.contact.c.confirmed_at.is_not(None))
    unplaced = stored_rows.all_of(connection, t.post, t.post.c.propagation_id.is_(None))
    steps, named = stored_rows.all_of(connection, case_act), stored_rows.all_of(connection, contact_named)
    of_each: list[tuple[str, list[told.Kept], Sequence[Row], Collection[str]]] = [
        (table, committed[table], found, ())
        for table, found in (("contact", confirmed), ("contact_named", named), ("post", unplaced))
    ]
    for cases, gone in ((steps_of.keys() - forgotten, False), (steps_of.keys() & forgotten, True)):
        added = sorted((one for case in cases for one in steps_of[case]), key=lambda one: one.idx)
        there = [row for row in steps if (row["case_id"] in forgotten) is gone]
        of_each.append(("case_act", added, there, DESTROYED if gone else ()))
    for table, added, found, unseen in of_each:
        for columns, problem, untold in row_comparison.of_added(key, table, added, found, unseen):
            if not (untold and older):
                yield f"{table}: {', '.join(columns)} {problem}"
