"""What is kept of private conversations: once, from the oldest moment, sealed; what contradicts that one is gone."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete

from dpsync.errors import ConfigurationError, DecisionRefused, NotFound, StoreProblem
from dpsync.installation import Installation
from dpsync.model import ConversationState, Retention
from dpsync.propagation.decisions import Person
from dpsync.retention import acts
from dpsync.sealing import Keys
from dpsync.settings import load
from dpsync.store import conversation_tables as ct
from dpsync.store import tables as t
from tests.builders import START, World
from tests.keeping import ADMIN, DEPUTY, entries, keeping, note, row, rows, standins, told

DANA = Person("Dana Officer", "dana", "by telephone with the admin")
DAY = timedelta(days=1)
AUGUST = datetime(2026, 8, 31, 12, tzinfo=UTC)


def attest(world: World, *references: str) -> int:
    now = world.clock.now()
    return world.writer.call(lambda unit: acts.attest_by_hand(unit, world.controller, "inbox", references, DANA, now))


def make_exception(world: World, reference: str, until: date, by: Person = DANA) -> str:
    now = world.clock.now()
    return world.writer.call(lambda unit: acts.make_exception(unit, world.controller, reference, until, by, now))


@pytest.mark.no_database
def test_a_conversation_is_known_once_and_from_its_oldest_moment(world: World) -> None:
    keeping(world)
    assert note(world, told(1, AUGUST)) == 1
    assert row(world).due_on == "2026-11-30"
    before = row(world)
    assert note(world, told(1, AUGUST)) == 0
    assert row(world) == before
    note(world, told(1, AUGUST + 9 * DAY, seen=AUGUST + 9 * DAY))
    assert row(world).due_on == "2026-11-30"
    note(world, told(1, AUGUST - 7 * DAY))
    assert (row(world).started_at, row(world).due_on) == (AUGUST - 7 * DAY, "2026-11-24")
    assert row(world).overdue_at == datetime(2026, 11, 25, tzinfo=UTC)
    assert len(world.rows(ct.conversation)) == 1


@pytest.mark.no_database
def test_nothing_began_after_it_was_seen(world: World) -> None:
    keeping(world)
    note(world, told(1, datetime(2996, 8, 31, tzinfo=UTC), seen=AUGUST))
    assert row(world).due_on == "2026-11-30"


@pytest.mark.no_database
def test_whether_it_is_open_is_what_was_seen_last_and_not_what_came_last(world: World) -> None:
    keeping(world)
    note(world, told(1, AUGUST, seen=AUGUST + 2 * DAY, open=False))
    note(world, told(1, AUGUST, seen=AUGUST + DAY, open=True))
    assert row(world).open is False
    note(world, told(1, AUGUST, seen=AUGUST + 3 * DAY, open=True))
    assert row(world).open is True


def test_the_same_id_at_another_processor_is_another_conversation(world: World) -> None:
    from dpsync.retention.conversations import pseudonym

    one, other = (pseudonym(world.controller, name, "conversation", "7") for name in ("inbox", "outbox"))
    assert one != other
    assert pseudonym(world.controller, "inbox", "contact", "7") != one


@pytest.mark.no_database
def test_without_a_rule_nothing_is_kept(world: World) -> None:
    world.use(world.processor("inbox"))
    assert note(world, told()) == 0
    assert world.rows(ct.conversation) == []


@pytest.mark.parametrize("lost", ["retention_since:inbox", "retention_first_check:inbox"])
def test_since_when_a_rule_is_kept_is_not_made_anew_beside_what_was_kept(world: World, lost: str) -> None:
    keeping(world)

    def begin() -> None:
        world.writer.call(lambda unit: acts.begin(unit, world.controller, world.clock.now()))

    def lose() -> None:
        world.writer.call(lambda unit: unit.connection.execute(delete(t.meta).where(t.meta.c.key == lost)))

    begin()
    lose()
    begin()  # nothing was kept yet, so nothing was lost with it
    note(world, told(1))
    begin()
    lose()
    for act in (begin, lambda: note(world, told(2)), lambda: attest(world, row(world, 1).reference)):
        with pytest.raises(StoreProblem, match=f"lacks {lost}:"):
            act()


@pytest.mark.no_database
def test_the_first_that_is_kept_of_a_rule_begins_it_whoever_writes_it(world: World) -> None:
    """A command may be the first, before any service ran."""
    keeping(world)
    world.writer.call(lambda unit: acts.state_none_open(unit, world.controller, "inbox", DANA, world.clock.now()))
    kept = {one.key for one in world.rows(t.meta)}
    assert kept >= {"retention_since:inbox", "retention_first_check:inbox"}


@pytest.mark.no_database
def test_no_vendor_id_stands_in_the_clear(world: World) -> None:
    keeping(world)
    note(world, told(1))
    attest(world, row(world).reference)
    note(world, told(1, seen=START + DAY))
    shown = str([world.rows(table) for table in t.metadata.sorted_tables])
    assert "canary" not in shown
    assert "Dana" not in str(world.rows(t.entry))
    assert b"canary" not in row(world).sealed


@pytest.mark.no_database
def test_seen_again_after_it_was_attested_is_contradicted_and_told_to_the_dpo(world: World) -> None:
    keeping(world)
    note(world, told(1), told(2))
    assert attest(world, row(world, 1).reference, row(world, 2).reference) == 2
    assert {one.state for one in rows(world).values()} == {ConversationState.ATTESTED}
    note(world, told(1, seen=START + DAY))
    assert row(world, 1).state == ConversationState.CONTRADICTED
    assert row(world, 2).state == ConversationState.ATTESTED
    assert [(one.role, one.cause) for one in world.rows(t.alert)] == [("dpo", "retention-contradicted")]
    assert [one["event"] for one in entries(world)] == ["declared", "contradicted"]
    assert entries(world)[1]["n"] == 1


@pytest.mark.no_database
def test_a_contact_that_shows_itself_after_its_deletion_was_attested_was_not_deleted(world: World) -> None:
    keeping(world)
    note(world, told(1, contact="canary-c"), told(2))
    attest(world, row(world, 1).reference, row(world, 2).reference)
    note(world, told(3, START - DAY, contact="canary-c", seen=START - timedelta(seconds=1)))
    assert row(world, 1).state == ConversationState.ATTESTED, "it was seen before"
    note(world, told(4, START + DAY, contact="canary-c"), replace(told(5, START + DAY), contact=""))
    assert row(world, 1).state == ConversationState.CONTRADICTED
    assert row(world, 2).state == ConversationState.ATTESTED, "another contact"
    assert row(world, 4).state == ConversationState.KEPT
    assert entries(world)[-1]["n"] == 1
    assert world.ledger_problems() == ()


@pytest.mark.no_database
def test_what_was_seen_before_it_was_attested_contradicts_nothing_however_late_it_comes(world: World) -> None:
    keeping(world)
    note(world, told(1))
    attest(world, row(world).reference)
    world.clock.advance(2 * DAY)
    note(world, told(1, seen=START - timedelta(seconds=1)))
    assert row(world).state == ConversationState.ATTESTED
    assert world.rows(t.alert) == []


def test_attesting_by_hand_needs_a_name_a_way_and_something_to_attest(world: World) -> None:
    keeping(world)
    with pytest.raises(DecisionRefused, match="nothing is on a work list"):
        attest(world)
    note(world, told(1))
    with pytest.raises(DecisionRefused, match="nothing is on a work list"):
        attest(world)  # it is not listed, so "all" does not mean it
    with pytest.raises(NotFound, match="DPS-NOBODY"):
        attest(world, "DPS-NOBODY")
    for by in (Person("", "dana", "how"), Person("Dana", "dana", " ")):
        with pytest.raises(DecisionRefused, match="give your name"):
            world.writer.call(
                lambda unit, by=by: acts.attest_by_hand(  # type: ignore[misc]  # because mypy does not infer a lambda's default
                    unit, world.controller, "inbox", [row(world).reference], by, START
                )
            )
    assert row(world).state == ConversationState.KEPT
    assert attest(world, row(world).reference) == 1
    assert attest(world, row(world).reference) == 0
    assert [one["event"] for one in entries(world)] == ["declared"]


def test_an_exception_has_a_name_a_reason_and_a_new_day(world: World) -> None:
    keeping(world)
    note(world, told(1, AUGUST))
    reference = row(world).reference
    assert make_exception(world, reference, date(2027, 1, 15)) == "inbox"
    after = row(world)
    assert (after.state, after.due_on, after.until_on) == (ConversationState.EXCEPTED, "2026-11-30", "2027-01-15")
    assert after.overdue_at == datetime(2027, 1, 16, tzinfo=UTC)
    assert [(one["event"], one["due"], one["ref"]) for one in entries(world)] == [("extended", "2027-01-15", reference)]
    note(world, told(1, AUGUST - DAY))
    assert (row(world).due_on, row(world).overdue_at) == ("2026-11-30", datetime(2027, 1, 16, tzinfo=UTC))


@pytest.mark.no_database
@pytest.mark.parametrize("until", [date(2026, 11, 20), date(2026, 11, 30), date(2027, 2, 21)])
def test_no_exception_ends_before_the_rule_does_or_lasts_longer_than_it(world: World, until: date) -> None:
    keeping(world)
    note(world, told(1, AUGUST))
    with pytest.raises(DecisionRefused):
        make_exception(world, row(world).reference, until)
    assert (row(world).state, entries(world)) == (ConversationState.KEPT, [])
    make_exception(world, row(world).reference, date(2027, 2, 20))


@pytest.mark.no_database
def test_what_is_said_to_be_gone_needs_no_exception(world: World) -> None:
    keeping(world)
    note(world, told(1))
    attest(world, row(world).reference)
    with pytest.raises(DecisionRefused, match="it is gone, so it needs no exception"):
        make_exception(world, row(world).reference, date(2027, 1, 15))


DELIVERIES = st.lists(
    st.tuples(st.integers(-60, 0), st.integers(-60, 60), st.booleans()),
    min_size=1,
    max_size=4,
    unique_by=lambda d: d[1],
)


@pytest.mark.no_database
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(deliveries=DELIVERIES)
def test_the_order_in_which_webhooks_come_changes_nothing(
    world: World, deliveries: list[tuple[int, int, bool]]
) -> None:
    """They are repeated for days, and overtake each other."""
    keeping(world)
    first = len(world.rows(ct.conversation)) + 1
    for number, order in enumerate((deliveries, deliveries[::-1], [*deliveries, *deliveries]), first):
        for began, seen, is_open in order:
            note(world, told(number, START + began * DAY, seen=START + seen * DAY, open=is_open))
    ends = {
        (one.started_at, one.due_on, one.overdue_at, one.seen_at, one.open, one.state)
        for one in (row(world, number) for number in range(first, first + 3))
    }
    assert len(ends) == 1


# --- settings

CONFIG = """
[controller]
name = "Example Gardens"
dpo = "dpo@example.org"
operator = "it@example.org"
[ledger]
origin = "example.org/retention"
[processors.inbox]
connector = "{connector}"
contact = "privacy@example.org"
retention = {{ {retention} }}
"""


def test_the_rule_stands_in_the_processors_section(tmp_path: Path) -> None:
    path = tmp_path / "dpsync.toml"
    text = f'months = 3, admin = "{ADMIN}", deputy = "{DEPUTY}", weekday = "friday"'
    path.write_text(CONFIG.format(connector="postbox", retention=text))
    Keys.create(load(path, {}).keys.directory)
    with standins(), Installation(path, {}) as installation:
        assert installation.controller.processors["inbox"].retention == Retention(3, ADMIN, DEPUTY, weekday=4)


def test_a_rule_for_a_connector_that_keeps_no_conversations_is_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "dpsync.toml"
    path.write_text(CONFIG.format(connector="notice", retention=f'months = 3, admin = "{ADMIN}"'))
    Keys.create(load(path, {}).keys.directory)
    with Installation(path, {}) as installation, pytest.raises(ConfigurationError) as refused:
        _ = installation.controller
    assert [fault.key for fault in refused.value.faults] == ["processors.inbox.retention"]
    assert "notice keeps no private conversations" in str(refused.value)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('admin = "inbox@example.org"', "months"),
        ("months = 3", "admin"),
        ('months = 0, admin = "inbox@example.org"', "months"),
        ('months = 3, admin = "nobody"', "admin"),
        ('months = 3, admin = "inbox@example.org", weekday = "someday"', "weekday"),
    ],
)
def test_a_rule_without_its_months_or_its_admin_is_refused(tmp_path: Path, text: str, key: str) -> None:
    path = tmp_path / "dpsync.toml"
    path.write_text(CONFIG.format(connector="postbox", retention=text))
    with pytest.raises(ConfigurationError) as refused:
        load(path, {})
    assert [fault.key for fault in refused.value.faults] == [f"processors.inbox.retention.{key}"]
