"""What a report says of private conversations: the same in every format, never better than it is, and no id."""

import csv
import io
import json
from datetime import UTC, date, datetime, timedelta
from html import unescape
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from dpsync.model import ConversationState
from dpsync.propagation.decisions import Person
from dpsync.reports import render
from dpsync.reports.basis import Basis
from dpsync.reports.conversations import STATES, retention_rows
from dpsync.reports.period import PeriodReport, period_report
from dpsync.reports.proof import LedgerLine
from dpsync.reports.verdict import Verdict
from dpsync.retention import acts, export_check, worklist
from dpsync.retention.conversations import PURPOSE
from dpsync.retention.export_check import Range
from dpsync.retention.standing import Opener, RetentionLine, RetentionRule, conversation_lines, retention_lines
from dpsync.store.database import reading
from tests.builders import START, World
from tests.keeping import HEADER, RULE, export, keeping, note, postbox, row, told

DAY = timedelta(days=1)
DUE = datetime(2026, 8, 1, 12, tzinfo=UTC)
LONDON = ZoneInfo("Europe/London")
RULES = (RetentionRule("inbox", "Inbox, <messages>", 3, ("Pigeon post is never told of.",)),)
DANA = Person("Dana Officer", "dana", "looked in the app of canary@example.org")
SOUND = LedgerLine(verified=True, entries=7, checked_at=START, checkpoint="8f3a21c4")


def opener(world: World) -> Opener:
    return lambda name, sealed: world.keys.open(PURPOSE, sealed, name.encode())


def report(world: World) -> PeriodReport:
    now = world.clock.now()
    with reading(world.engine) as connection:
        return period_report(
            connection,
            Basis("Example Gardens", False, LONDON, now, SOUND, [], lambda _, sealed: sealed),
            date(2026, 11, 1),
            date(2026, 11, 30),
            rules=RULES,
            acted=opener(world),
        )


def line(world: World) -> RetentionLine:
    (one,) = report(world).conversations
    return one


def check(world: World, folder: Path, text: str) -> None:
    file = folder / "export.csv"
    file.write_text(text)
    now = world.clock.now()
    found = export_check.read(file, postbox(), RULE, LONDON, now)
    days = Range(date(2025, 1, 1), date(2026, 8, 19))
    world.writer.call(lambda unit: export_check.check(unit, world.controller, "inbox", found, days, DANA, now))


def attest(world: World, *numbers: int) -> None:
    references, now = [row(world, number).reference for number in numbers], world.clock.now()
    world.writer.call(lambda unit: acts.attest_by_hand(unit, world.controller, "inbox", references, DANA, now))


def busy(world: World, folder: Path) -> World:
    """One conversation in every state."""
    keeping(world)
    note(world, *(told(number, DUE) for number in range(1, 7)), told(7, DUE + 60 * DAY))
    attest(world, 1, 2)
    now = world.clock.now()
    world.writer.call(
        lambda unit: acts.make_exception(unit, world.controller, row(world, 3).reference, date(2026, 12, 24), DANA, now)
    )
    world.writer.call(lambda unit: worklist.make_list(unit, world.controller, "inbox", now))
    note(world, told(1, DUE, seen=now + timedelta(minutes=1)), told(4, DUE, seen=DUE + DAY, open=True))
    note(world, told(2, DUE, seen=DUE + DAY, open=True))
    check(world, folder, export(("conv-canary-6", "2026-08-01T12:00:00+00:00")))
    return world


@pytest.mark.no_database
def test_every_conversation_is_in_exactly_one_count(world: World, tmp_path: Path) -> None:
    busy(world, tmp_path)
    one = line(world)
    assert one.counts == {
        ConversationState.KEPT: 1,
        ConversationState.LISTED: 1,
        ConversationState.EXCEPTED: 1,
        ConversationState.CONTRADICTED: 1,
        ConversationState.ATTESTED: 1,
        ConversationState.VERIFIED_BY_EXPORT: 2,
    }
    assert sum(one.counts.values()) == one.known == 7
    assert (one.due, one.overdue, one.overdue_since) == (6, 2, date(2026, 11, 1))


def test_all_formats_say_the_same_of_private_conversations(world: World, tmp_path: Path) -> None:
    made = report(busy(world, tmp_path))
    rows = retention_rows(made.conversations[0], LONDON)
    assert ("Rule", "3 calendar months from the beginning of a conversation") in rows
    assert ("Not seen", "Pigeon post is never told of.") in rows
    text, page = render.text(made), unescape(render.html(made))
    sheet = list(csv.DictReader(io.StringIO(render.csv(made).removeprefix("\ufeff"))))
    of_it = [one for one in sheet if one["period"] == "private conversations"]
    assert [(one["state_in_words"], one["task"]) for one in of_it] == [(label, said) for label, said in rows]
    assert {(one["request"], one["processor"], one["title"]) for one in of_it} == {("", "inbox", "Inbox, <messages>")}
    for label, said in rows:
        assert f"{label}: {said}" in text
        assert f"<dt>{label}</dt><dd>{said}</dd>" in page
    (value,) = json.loads(render.json(made))["conversations"]
    assert value["counts"] == {state.value: made.conversations[0].counts[state] for state in ConversationState}
    assert value["check"]["by"] == "Dana Officer"
    assert set(STATES) == set(ConversationState)


def test_no_id_of_the_vendor_and_no_reason_is_in_any_format(world: World, tmp_path: Path) -> None:
    made = report(busy(world, tmp_path))
    shown = "".join((render.text(made), render.html(made), render.csv(made), render.json(made)))
    assert "canary" not in shown


@pytest.mark.no_database
def test_one_overdue_conversation_makes_the_verdict_overdue(world: World) -> None:
    keeping(world)
    assert report(world).verdict is Verdict.IN_ORDER
    note(world, told(1, START - 92 * DAY))  # 20 August: its last day is today
    assert (report(world).verdict, report(world).duties) == (Verdict.IN_ORDER, ())
    world.clock.advance(DAY)
    late = report(world)
    assert late.verdict is Verdict.OVERDUE
    assert [(duty.overdue, duty.by, duty.command) for duty in late.duties] == [
        (True, date(2026, 11, 20), "dpsync retention show")
    ]
    none = "No request came in, and no earlier one was open"
    assert late.sentence == f"{none}; at Inbox, <messages> 1 private conversation is overdue."
    attest(world, 1)
    assert report(world).verdict is Verdict.IN_ORDER


@pytest.mark.no_database
def test_a_month_without_a_check_needs_a_decision_and_a_check_ends_it(world: World, tmp_path: Path) -> None:
    keeping(world)
    world.writer.call(lambda unit: acts.begin(unit, world.controller, START))
    world.clock.advance(30 * DAY)
    assert report(world).verdict is Verdict.IN_ORDER
    world.clock.advance(DAY)
    made = report(world)
    assert made.verdict is Verdict.NEEDS_A_DECISION
    assert [duty.command.split(" --")[0] for duty in made.duties] == [
        "dpsync retention check FILE.csv",
        "dpsync retention state-open",
    ]
    check(world, tmp_path, HEADER)
    now = world.clock.now()
    world.writer.call(lambda unit: acts.state_none_open(unit, world.controller, "inbox", DANA, now))
    made = report(world)
    assert (made.verdict, made.duties) == (Verdict.IN_ORDER, ())
    (one,) = made.conversations
    assert one.check is not None
    assert (one.check.next_on, one.check.to_on) == (date(2027, 1, 21), date(2026, 8, 19))


@pytest.mark.no_database
def test_without_any_webhook_nothing_is_called_known(world: World) -> None:
    keeping(world)
    rows = dict(retention_rows(line(world), LONDON))
    assert "no webhook has reported" in rows["Reported by webhooks"]
    assert rows["Last check of an export"] == "none yet."
    note(world, told(1, START - DAY))
    assert "since 20 Nov 2026" in dict(retention_rows(line(world), LONDON))["Reported by webhooks"]


def test_what_is_gone_comes_last_and_says_so(world: World) -> None:
    keeping(world)
    note(world, told(1, DUE), told(2, DUE + DAY), told(3, DUE + 2 * DAY))
    attest(world, 1)
    with reading(world.engine) as connection:
        found = conversation_lines(connection, world.clock.now())
    assert [one.reference for one in found] == [row(world, number).reference for number in (2, 3, 1)]
    assert [one.overdue for one in found] == [True, True, False]


@pytest.mark.parametrize("rules", [(), RULES])
def test_only_processors_with_a_rule_are_told_of(world: World, rules: tuple[RetentionRule, ...]) -> None:
    keeping(world)
    with reading(world.engine) as connection:
        found = retention_lines(connection, rules, START, START.date(), lambda _, sealed: sealed)
    assert len(found) == len(rules)
