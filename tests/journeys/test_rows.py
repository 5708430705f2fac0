"""Every column of every table is compared with what the ledger committed, or is named with the reason why not."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Boolean, Column, Connection, Engine, LargeBinary, Table, Text, select, text, update
from sqlalchemy.exc import IntegrityError

from dpsync.cases.complaints import open_complaint
from dpsync.cases.values import Channel, NewComplaint, Topic
from dpsync.connector import Refused
from dpsync.intake.payload import Withdrawal
from dpsync.intake.reception import Reception
from dpsync.ledger import entry
from dpsync.ledger.comparison import differences, older_requests
from dpsync.ledger.log import Log
from dpsync.ledger.rows import OTHERWISE, UNPROVEN
from dpsync.model import Changes, Right, State
from dpsync.propagation.correspondence import incoming
from dpsync.propagation.decisions import Person, decide
from dpsync.propagation.naming import name_contact
from dpsync.propagation.rules.lifecycle import AnswerKind, DecisionKind
from dpsync.retention import acts, export_check, mailing, worklist
from dpsync.retention.export_check import Range, Read
from dpsync.store import tables as t
from dpsync.store.columns import Instant
from dpsync.store.database import reading
from dpsync.store.writer import BeforeCommit, Unit, Writer
from tests.builders import START, World
from tests.changes.rows import UNPROVEN_TABLES
from tests.keeping import RULE, note, postbox, row, told

ADA, BEN, CEM = "ada@example.org", "ben@example.org", "cem@example.org"
BY = Person("Dana Officer", "dana", "by telephone with the admin")
DANA = Person("Dana Officer", "dana", "asked by telephone")
COMPLAINT = NewComplaint(START, Channel.MAIL, (Topic.DELAY,))


def told_of(world: World) -> tuple[str, ...]:
    with reading(world.engine) as connection:
        return (*world.log.verify(connection, full=True).problems, *differences(connection, world.keys))


def is_judged(column: Column[Any]) -> str:
    """How the house says that a column is judged: as what, or why not at all; "" where it is compared by its name."""
    table = column.table.name
    named = f"{table}.{column.name}"
    return UNPROVEN_TABLES.get(table) or UNPROVEN.get(named) or ""


@pytest.fixture
def busy_world(world: World) -> World:
    """A world with at least one row of everything that the ledger commits to."""
    inbox = replace(world.processor("inbox", connector=postbox()), retention=RULE)
    world.use(world.processor("alpha"), world.processor("beta", connector=world.notice), inbox)
    world.confirm("beta")
    world.confirm("inbox")
    world.vendors["alpha"].hold(ADA)
    world.ask(Right.ERASURE, ADA, id="1", version=3)
    changes = Changes(email="ben.new@example.org", first_name="Ben", fields={"CITY": "Kent"})
    world.ask(Right.RECTIFICATION, BEN, id="2", changes=changes)
    world.vendors["alpha"].answers.append(Refused(reason="no such list", evidence=()))
    world.drive()
    _they_answer(world)
    _conversations_are_tended(world)
    world.clock.advance(timedelta(hours=1))
    asked = world.ask(Right.RESTRICTION, CEM, id="3", lifted=True)
    refused = next(row.request_id for row in world.rows(t.propagation) if row.state == State.REFUSED)
    now = world.clock.now()
    world.writer.call(lambda unit: open_complaint(unit, world.controller, COMPLAINT, DANA, now))
    world.writer.call(
        lambda unit: decide(unit, world.controller, refused, DecisionKind.SETTLE, DANA, now, processors=["alpha"])
    )
    other = "dpo@beta.example"
    world.writer.call(lambda unit: name_contact(unit, world.controller, "beta", other, DANA, now))
    world.confirm("beta")
    back = Withdrawal(source="crm", event_id="evt-back", request_id=asked.request_id)
    Reception(world.controller, world.writer).submit_withdrawal(back, b"back", now).result()
    world.writer.call(lambda unit: world.log.checkpoint(unit.connection, now))
    assert told_of(world) == ()
    return world


def _they_answer(world: World) -> None:
    controller, now = world.controller, world.clock.now()
    letter = next(row for row in world.rows(t.notice))
    tag = letter.message_id.partition("@")[0]
    delivered = incoming.Incoming(incoming.MailKind.DELIVERED, "ab" * 32, (tag,), "2.0.0")
    lost = incoming.Incoming(incoming.MailKind.REPLY, "cd" * 32)
    for one in (delivered, lost):
        world.writer.call(lambda unit, one=one: incoming.take(unit, controller, one, now))  # type: ignore[misc]  # because mypy does not infer a lambda's default
    names = next(
        (row.request_id, row.processor) for row in world.rows(t.propagation) if row.id == letter.propagation_id
    )
    world.answer(controller.answer_token(*names, letter.number), AnswerKind.RECEIVED)


def _conversations_are_tended(world: World) -> None:
    controller, due = world.controller, START - timedelta(days=110)

    def do(work: Callable[..., object], *arguments: object) -> None:
        world.writer.call(lambda unit: work(unit, controller, *arguments, world.clock.now()))

    note(world, *(told(number, due) for number in range(1, 6)))
    do(worklist.make_list, "inbox")
    with reading(world.engine) as connection:
        (letter,) = mailing.planned(connection, controller, world.clock.now())
    posted = partial(mailing.mark_posted, controller=controller, one=letter, status=250, now=world.clock.now())
    world.writer.call(posted)
    do(acts.attest_by_hand, "inbox", [row(world, number).reference for number in (1, 2)], BY)
    do(acts.make_exception, row(world, 3).reference, (START + timedelta(days=30)).date(), BY)
    world.clock.advance(timedelta(days=8))
    do(worklist.tend)
    note(world, told(1, due - timedelta(days=1), seen=world.clock.now()))
    days = Range(date(2025, 1, 1), (START - timedelta(days=95)).date())
    do(export_check.check, "inbox", Read("ef" * 32, 0, START.date() - timedelta(days=120), None, ()), days, BY)


def columns() -> list[Column[Any]]:
    return [column for table in t.metadata.sorted_tables for column in table.c]


def wrong(column: Column[Any], value: object) -> object:
    """Another value of that column, as somebody would write it by hand."""
    match column.type:
        case Instant():
            return (value or START) + timedelta(minutes=1)  # type: ignore[operator]  # because the type says so
        case Boolean():
            return not value
        case LargeBinary():
            return bytes(value or b"") + b"x"  # type: ignore[call-overload]  # because the type says so
        case Text():
            return _other_text(str(value or ""))
        case _:
            return int(value or 0) + 1000  # type: ignore[call-overload]  # because the type says so


def _other_text(value: str) -> str:
    try:
        return (date.fromisoformat(value) + timedelta(days=1)).isoformat()
    except ValueError:
        return f"{value}x"


def planted(world: World, column: Column[Any]) -> tuple[str, ...] | None:
    """What is said when that column is wrong in a row that has something there; None where that cannot be planted."""
    table: Table = column.table
    rows = [one for one in world.rows(table) if table.name != "retention_letter" or one.sent_at]  # a plan is no fact
    one = [*rows[:1], *(at for at in rows if getattr(at, column.name) is not None)][-1]
    value = getattr(one, column.name)
    keys = {key: getattr(one, key.name) for key in table.primary_key.columns}
    for other in _elsewhere(world, column, value) if column.foreign_keys else [wrong(column, value)]:
        with suppress(IntegrityError):  # then the database itself refuses it
            _put(world.engine, column, keys, other)
            said = told_of(world)
            _put(world.engine, column, {**keys, **({column: other} if column in keys else {})}, value)
            return said
    return None


def _elsewhere(world: World, column: Column[Any], value: object) -> list[Any]:
    """Other rows that it could belong to."""
    (key,) = column.foreign_keys
    with reading(world.engine) as connection:
        return list(connection.execute(select(key.column).where(key.column != value)).scalars())


def _put(engine: Engine, column: Column[Any], where: Mapping[Column[Any], object], value: object) -> None:
    here = [key == at for key, at in where.items()]
    statement = update(column.table).where(*here).values({column.name: value})
    _by_hand(engine, lambda connection: connection.execute(statement))


def _by_hand(engine: Engine, work: Callable[[Connection], object]) -> None:
    with engine.connect().execution_options(dpsync_writes=True) as connection, connection.begin():
        if engine.dialect.name == "sqlite":
            connection.execute(text("PRAGMA defer_foreign_keys = ON"))
        else:
            connection.execute(text("SET LOCAL session_replication_role = replica"))
        work(connection)


def test_one_wrong_value_in_any_column_is_found_by_the_name_of_the_column(busy_world: World) -> None:
    unnamed, untried = set(), set()
    for column in columns():
        named = f"{column.table.name}.{column.name}"
        if is_judged(column) or OTHERWISE.get(named, "").startswith("names the request"):
            continue
        said = planted(busy_world, column)
        if said is None:  # because the key of the table forbids it
            untried.add(named)
        elif not any(column.name in problem for problem in said):
            unnamed.add(named)
    assert told_of(busy_world) == ()
    assert sorted(unnamed) == []
    assert sorted(untried) == []


def test_the_names_of_a_person_are_compared_with_what_the_last_entry_says_of_them(world: World) -> None:
    world.ask(Right.OPT_OUT, ADA)
    world.ask(Right.OPT_OUT, BEN)
    joining = world.ask(Right.OPT_OUT, ADA, others=(BEN,))  # whoever was named by either is one person
    world.ask(Right.OPT_OUT, CEM, id="3")
    world.ask(Right.OPT_OUT, ADA, id="4")  # another person, of the same subject
    world.drive()
    assert told_of(world) == ()
    rows = world.rows(t.alias)
    (person,) = {row.person for row in world.rows(t.request) if row.id == joining.request_id}
    a = t.alias.c
    hidden = t.alias.delete().where(
        a.person == person, a.pseudonym == min(r.pseudonym for r in rows if r.person == person)
    )
    forged = t.alias.insert().values(
        pseudonym=world.keys.pseudonym("address", CEM), person=person, key_version=1, subject_id=rows[0].subject_id
    )
    foreign = t.alias.insert().values(
        pseudonym=world.keys.pseudonym("address", CEM), person="~nobody", key_version=1, subject_id=rows[0].subject_id
    )
    for statement in (hidden, forged, foreign):
        _by_hand(world.engine, lambda connection, statement=statement: connection.execute(statement))  # type: ignore[misc]  # because mypy does not infer a lambda's default
        (found,) = told_of(world)
        assert "alias: " in found
        assert "pseudonym" in found
        _by_hand(world.engine, lambda connection: connection.execute(t.alias.delete()))
        _by_hand(world.engine, lambda connection: connection.execute(t.alias.insert(), [row._asdict() for row in rows]))
        assert told_of(world) == ()


def test_names_are_compared_also_once_the_requests_own_keys_are_destroyed(world: World) -> None:
    asked = world.ask(Right.OPT_OUT, ADA, id="1")
    world.drive()
    now = world.clock.now()

    def shred(unit: Unit) -> None:
        unit.append(asked.request_id, entry.encode(entry.EntryKind.SHREDDED, now, req=asked.request_id))
        unit.connection.execute(update(t.request).values(wrapped_key=None, sealed=None, shredded_at=now))

    world.writer.call(shred)
    world.ask(Right.OPT_OUT, BEN, id="2")
    world.ask(Right.OPT_OUT, ADA, id="2")  # joins the subject of whom was shredded
    assert told_of(world) == ()
    _by_hand(world.engine, lambda connection: connection.execute(update(t.alias).values(key_version=7)))
    assert len(told_of(world)) == 2
    assert all("alias: key_version" in problem for problem in told_of(world))


def test_who_joined_while_a_request_could_not_be_opened_is_no_difference_once_it_can(world: World) -> None:
    asked = world.ask(Right.OPT_OUT, ADA)
    other = world.ask(Right.OPT_OUT, BEN)
    world.drive()
    (wrapped,) = {row.wrapped_key for row in world.rows(t.request) if row.id == asked.request_id}

    def put(value: bytes) -> None:
        here = update(t.request).where(t.request.c.id == asked.request_id).values(wrapped_key=value)
        _by_hand(world.engine, lambda connection: connection.execute(here))

    put(b"damaged" + wrapped)
    world.ask(Right.OPT_OUT, ADA, others=(BEN,))
    put(wrapped)
    assert told_of(world) == ()
    there = update(t.request).where(t.request.c.id == other.request_id).values(person="~nobody")
    _by_hand(world.engine, lambda connection: connection.execute(there))
    assert any(said.startswith(f"request {other.request_id}: person not as entry") for said in told_of(world))


def test_every_column_is_judged_and_nothing_is_that_is_not_there() -> None:
    there = {f"{column.table.name}.{column.name}" for column in columns()}
    assert {*UNPROVEN, *OTHERWISE} - there - {"evidence.*"} == set()
    assert set(UNPROVEN_TABLES) - {table.name for table in t.metadata.sorted_tables} == set()


def test_the_page_on_the_format_names_all_that_is_not_proven() -> None:
    page = (Path(__file__).parents[2] / "docs" / "proof-format.md").read_text(encoding="utf-8")
    listed = page[page.index("What `verify` does not compare") :]
    assert [name for name in (*UNPROVEN_TABLES, *UNPROVEN) if f"`{name}`" not in listed] == []


YOUNGER_KEYS = {
    "rows",
    "received",
    "assumed",
    "ground",
    "starts",
    "target",
    "strict",
    "letter",
    "overdue",
    "rule",
    "how",
}
YOUNGER_EVENTS = {"decided", "joined", "sighted", "confirmed"}


def as_before(log: Log) -> BeforeCommit:
    """Appends entries as they were before they committed to rows."""

    def append(connection: Connection, bodies: Sequence[tuple[str | None, bytes]]) -> None:
        said = [(filed, entry.decode(body)) for filed, body in bodies]
        older = [
            (filed, entry.canonical({key: value for key, value in one.items() if key not in YOUNGER_KEYS}))
            for filed, one in said
            if one["event"] not in YOUNGER_EVENTS
        ]
        log.append(connection, older)

    return append


def test_a_record_from_before_rows_were_committed_is_not_called_altered_and_said_to_be_compared_less(
    world: World,
) -> None:
    world.writer.close()
    world.writer = Writer(world.engine, as_before(world.log))
    world.use(world.processor("alpha"), world.processor("beta", connector=world.notice))
    world.confirm("beta")
    world.vendors["alpha"].hold(ADA)
    older = world.ask(Right.ERASURE, ADA, id="1")
    world.drive()
    world.writer.close()
    world.writer = Writer(world.engine, world.log.append)
    world.restart()
    world.ask(Right.ERASURE, BEN, id="2")
    world.drive()
    assert told_of(world) == ()
    with reading(world.engine) as connection:
        assert older_requests(connection) == 1
    later = t.request.update().where(t.request.c.id == older.request_id).values(due_on="2099-12-31")
    _by_hand(world.engine, lambda connection: connection.execute(later))
    (found,) = told_of(world)
    assert "due_on is 2099-12-31" in found
