"""The weekly work list: the whole truth each time, mailed to whoever confirmed the address, and never silent."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpsync.connector import NoticeKind
from dpsync.errors import NotFound
from dpsync.model import ConversationState, Mode, Retention
from dpsync.propagation import contacts
from dpsync.propagation.correspondence import incoming
from dpsync.propagation.decisions import Person
from dpsync.propagation.rules.plan import Safety
from dpsync.retention import acts, mailing, worklist
from dpsync.retention.conversations import PURPOSE
from dpsync.retention.letter import Row, WorkLetter, written
from dpsync.store import conversation_tables as ct
from dpsync.store import tables as t
from dpsync.store.database import reading, writing
from tests.builders import START, World
from tests.keeping import ADMIN, DEPUTY, RULE, entries, keeping, note, row, told

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
PAT = Person("Pat Inbox", "", "all of them")
DUE = datetime(2026, 8, 20, 12, tzinfo=UTC)  # last day: 20 November, the day on which the tests begin
STATES = ConversationState


def listed(world: World) -> str | None:
    now = world.clock.now()
    return world.writer.call(lambda unit: worklist.make_list(unit, world.controller, "inbox", now))


def tend(world: World) -> None:
    now = world.clock.now()
    world.writer.call(lambda unit: worklist.tend(unit, world.controller, now))


def confirm(world: World, *addresses: str) -> None:
    processor, now = world.controller.processors["inbox"], world.clock.now()
    known = [world.keys.pseudonym("address", address) for address in addresses]
    c = t.contact.c
    world.writer.call(lambda unit: contacts.register(unit.connection, world.controller, processor, now))
    world.writer.call(
        lambda unit: unit.connection.execute(t.contact.update().where(c.pseudonym.in_(known)).values(confirmed_at=now))
    )


def planned(world: World) -> list[WorkLetter]:
    with reading(world.engine) as connection:
        return mailing.planned(connection, world.controller, world.clock.now())


def sent(world: World) -> list[WorkLetter]:
    """What would go out now goes out."""
    found = planned(world)
    for one in found:
        now = world.clock.now()
        world.writer.call(partial(mailing.mark_posted, controller=world.controller, one=one, status=250, now=now))
    return found


def answer(world: World, references: frozenset[str] | None = None, *, list_number: int = -1) -> int:
    made = [one for one in world.rows(ct.retention_act) if one.list_id][list_number]
    token = world.controller.answer_token(made.list_id, "inbox", 0)
    return world.writer.call(
        lambda unit: acts.attest_by_link(
            unit, world.controller, token, references, PAT, "203.0.113.9", world.clock.now()
        )
    )


def causes(world: World) -> list[str]:
    return [one.cause for one in world.rows(t.alert)]


def mail(one: WorkLetter) -> EmailMessage:
    return message_from_bytes(written(one, "privacy@example.org"), policy=policy.default)


@pytest.mark.no_database
def test_a_list_names_what_is_due_before_the_next_one_and_nothing_else(world: World) -> None:
    keeping(world)
    assert listed(world) is None
    note(world, told(1, DUE), told(2, DUE + 7 * DAY), told(3, DUE + 8 * DAY))
    reference = listed(world)
    assert reference is not None
    assert reference.startswith("DPS-")
    assert [row(world, number).state for number in (1, 2, 3)] == [STATES.LISTED, STATES.LISTED, STATES.KEPT]
    (made,) = entries(world)
    assert (made["event"], made["n"], made["ref"]) == ("handed_over", 2, reference)


def test_a_conversation_that_does_not_open_is_listed_so_and_keeps_no_other_from_the_list(world: World) -> None:
    keeping(world)
    note(world, told(1, DUE), told(2, DUE))
    by_hand(
        world, ct.conversation.update().where(ct.conversation.c.pseudonym == row(world).pseudonym).values(sealed=b"x")
    )
    listed(world)
    confirm(world, ADMIN)
    (letter,) = planned(world)
    found = {one.reference: (one.conversation, one.note) for one in letter.rows}
    assert found == {
        row(world, 1).reference: ("not known", "its ids cannot be read: ask whoever runs dpsync"),
        row(world, 2).reference: ("conv-canary-2", ""),
    }


@pytest.mark.no_database
def test_each_list_is_the_whole_truth(world: World) -> None:
    keeping(world)
    note(world, told(1, DUE), told(2, DUE))
    listed(world)
    answer(world, frozenset({row(world, 1).reference}))
    world.clock.advance(7 * DAY)
    note(world, told(3, DUE))
    listed(world)
    newest = max(one.id for one in world.rows(ct.retention_act) if one.list_id)
    named = {one.pseudonym for one in world.rows(ct.retention_act_row) if one.act_id == newest}
    assert named == {row(world, 2).pseudonym, row(world, 3).pseudonym}


@pytest.mark.no_database
def test_what_is_excepted_comes_back_when_its_new_day_is_near(world: World) -> None:
    keeping(world)
    note(world, told(1, DUE + 3 * DAY))
    by = Person("Dana Officer", "dana", "a claim is open")
    world.writer.call(
        lambda unit: acts.make_exception(
            unit, world.controller, row(world).reference, date(2026, 12, 10), by, world.clock.now()
        )
    )
    world.clock.advance(7 * DAY)
    assert listed(world) is None
    tend(world)
    assert "retention-overdue" not in causes(world)
    world.clock.advance(7 * DAY)
    assert listed(world) is not None
    assert (row(world).state, row(world).until_on) == (STATES.LISTED, "2026-12-10")


@pytest.mark.no_database
def test_no_list_goes_to_an_address_that_nobody_has_confirmed(world: World) -> None:
    keeping(world)
    note(world, told(1, DUE))
    listed(world)
    assert planned(world) == []
    tend(world)
    assert causes(world) == ["retention-contact"]
    confirm(world, "privacy@inbox.example", DEPUTY)
    assert planned(world) == []
    confirm(world, ADMIN)
    assert [one.to for one in planned(world)] == [ADMIN]
    world.use(replace(world.controller.processors["inbox"], retention=Retention(3, "other@example.org")))
    assert planned(world) == []


@pytest.mark.no_database
def test_whoever_only_observes_sends_no_list(world: World) -> None:
    keeping(world)
    confirm(world, ADMIN)
    note(world, told(1, DUE))
    listed(world)
    world.use(safety=Safety(mode=Mode.OBSERVE))
    assert planned(world) == []
    world.use(safety=Safety())
    assert len(planned(world)) == 1


@pytest.mark.no_database
def test_a_list_holds_no_more_than_its_page_can_and_the_oldest_come_first(world: World) -> None:
    keeping(world)
    note(world, *(told(number, DUE - number * DAY) for number in range(worklist.MOST_LISTED + 2)))
    listed(world)
    left = [one for one in world.rows(ct.conversation) if one.state == STATES.KEPT]
    assert sorted(one.started_at for one in left) == [DUE - DAY, DUE]


@pytest.mark.no_database
def test_the_admin_and_the_deputy_are_asked_to_confirm_themselves_like_any_contact(world: World) -> None:
    from dpsync.propagation.correspondence import acknowledgement

    keeping(world)
    processor, now = world.controller.processors["inbox"], world.clock.now()
    world.writer.call(lambda unit: contacts.register(unit.connection, world.controller, processor, now))
    with reading(world.engine) as connection:
        asked = acknowledgement.contacts_to_ask(connection, world.controller)
    assert {address for _, address in asked} == {"privacy@inbox.example", ADMIN, DEPUTY}


@pytest.mark.no_database
def test_a_letter_that_was_not_taken_is_the_same_message_when_it_is_sent_again(world: World) -> None:
    keeping(world)
    confirm(world, ADMIN)
    note(world, told(1, DUE))
    listed(world)
    (first,) = planned(world)
    world.clock.advance(HOUR)
    (again,) = planned(world)
    assert written(first, "privacy@example.org") == written(again, "privacy@example.org")
    (kept,) = world.rows(ct.retention_letter)
    assert (str(mail(first)["Message-ID"]), kept.sent_at) == (f"<{kept.message_id}>", None)
    sent(world)
    assert planned(world) == []
    assert [one["event"] for one in entries(world)] == ["handed_over", "notice_sent"]


def test_a_work_list_that_comes_back_is_told_to_the_operator_and_known_by_what_nobody_can_guess(world: World) -> None:
    keeping(world)
    confirm(world, ADMIN)
    note(world, told(1, DUE))
    listed(world)
    (letter,) = sent(world)
    (kept,) = world.rows(ct.retention_letter)
    tag = kept.message_id.partition("@")[0]
    assert len(tag) >= 26
    assert str(mail(letter)["Reply-To"]) == f"privacy+{tag}@example.org"

    def comes_back(tag: str, digest: str) -> bool:
        one = incoming.Incoming(incoming.MailKind.FAILED, digest, (tag,), "5.1.1")
        return world.writer.call(lambda unit: incoming.take(unit, world.controller, one, world.clock.now()))

    assert comes_back(letter.reference, "00" * 32), "a reference is no proof, so a person reads it"
    assert causes(world) == ["post"]
    assert not comes_back(tag, "01" * 32)
    assert causes(world) == ["post", "retention-bounced"]


@pytest.mark.no_database
def test_a_letter_names_ids_in_its_attachment_only_and_no_person_anywhere(world: World) -> None:
    keeping(world)
    confirm(world, ADMIN)
    note(world, told(1, DUE), told(2, DUE + DAY))
    listed(world)
    (one,) = planned(world)
    letter = mail(one)
    text = letter.get_body(("plain",))
    (attached,) = letter.iter_attachments()
    assert text is not None
    head = "".join(f"{name}: {value}\n" for name, value in letter.items())
    assert "canary" not in head + text.get_content()
    assert f"https://dpsync.example.org/answers/{world.controller.answer_token(_list_id(world), 'inbox', 0)}" in (
        text.get_content()
    )
    told_of = attached.get_content()
    for number in (1, 2):
        assert row(world, number).reference in told_of
        assert f"conv-canary-{number}" in told_of
        assert f"contact-canary-{number}" in told_of
    assert "20 November 2026" in told_of
    assert "19 August 2026" in text.get_content()  # what a check of today must reach


@pytest.mark.no_database
def test_a_letter_says_which_are_overdue_on_its_own_day(world: World) -> None:
    keeping(world)
    confirm(world, ADMIN)
    note(world, told(1, DUE - DAY), told(2, DUE))
    listed(world)
    (one,) = planned(world)
    assert [(line.conversation, line.note) for line in one.rows] == [
        ("conv-canary-1", "overdue"),
        ("conv-canary-2", ""),
    ]


def _list_id(world: World) -> str:
    return next(str(one.list_id) for one in world.rows(ct.retention_act) if one.list_id)


@pytest.mark.no_database
def test_what_was_answered_for_is_on_no_letter_any_more(world: World) -> None:
    keeping(world)
    confirm(world, ADMIN)
    note(world, told(1, DUE), told(2, DUE))
    listed(world)
    assert answer(world, frozenset({row(world, 1).reference, "DPS-OTHER"})) == 1
    (one,) = planned(world)
    assert [line.conversation for line in one.rows] == ["conv-canary-2"]
    assert answer(world) == 1
    assert planned(world) == []


@pytest.mark.no_database
def test_a_list_is_reminded_of_at_half_time_and_escalated_at_its_end(world: World) -> None:
    keeping(world)
    world.controller = replace(world.controller, deputy=True)
    confirm(world, ADMIN, DEPUTY)
    note(world, told(1, DUE + 5 * DAY))
    listed(world)
    sent(world)
    world.clock.advance(timedelta(days=3, hours=11))
    tend(world)
    assert sent(world) == []
    world.clock.advance(HOUR)
    for _ in range(2):
        tend(world)
    assert [(one.kind, one.to) for one in sent(world)] == [(NoticeKind.REMINDER, ADMIN)]
    world.clock.advance(timedelta(days=3, hours=12))
    for _ in range(2):
        tend(world)
    last = sent(world)
    assert [(one.kind, one.to) for one in last] == [(NoticeKind.BACKUP, DEPUTY)]
    first = next(one for one in world.rows(ct.retention_letter) if one.kind == NoticeKind.FIRST)
    assert str(mail(last[0])["In-Reply-To"]) == f"<{first.message_id}>"
    assert "retention-unanswered" in causes(world)
    assert "retention-unanswered-deputy" in causes(world)
    told_of = [one["event"] for one in entries(world)]
    assert told_of == ["handed_over", "notice_sent", "reminded", "escalated", "alert", "notice_sent"]


def test_only_the_newest_list_is_reminded_of_and_every_one_is_escalated(world: World) -> None:
    keeping(world)
    confirm(world, ADMIN, DEPUTY)
    note(world, told(1, DUE))
    listed(world)
    sent(world)
    world.clock.advance(3 * DAY)
    listed(world)
    sent(world)
    world.clock.advance(DAY)
    tend(world)
    assert sent(world) == []
    world.clock.advance(3 * DAY)
    tend(world)
    assert sorted(one.kind for one in sent(world)) == [NoticeKind.BACKUP, NoticeKind.REMINDER]
    world.clock.advance(3 * DAY)
    tend(world)
    assert [one.kind for one in sent(world)] == [NoticeKind.BACKUP]


@pytest.mark.no_database
def test_a_list_that_was_answered_for_is_neither_reminded_of_nor_escalated(world: World) -> None:
    keeping(world)
    confirm(world, ADMIN)
    note(world, told(1, DUE))
    listed(world)
    sent(world)
    answer(world)
    world.clock.advance(8 * DAY)
    tend(world)
    assert sent(world) == []
    assert causes(world) == []


@pytest.mark.no_database
def test_overdue_is_said_every_day_until_somebody_answers_for_it(world: World) -> None:
    keeping(world)
    note(world, told(1, DUE))
    tend(world)
    assert causes(world) == []  # its last day is today
    world.clock.advance(timedelta(hours=15))
    for _ in range(3):
        tend(world)
    assert causes(world) == ["retention-overdue"]
    world.clock.advance(DAY)
    tend(world)
    assert causes(world) == ["retention-overdue"] * 2
    listed(world)
    world.clock.advance(DAY)
    tend(world)
    assert causes(world).count("retention-overdue") == 3  # a list is no excuse
    answer(world)
    world.clock.advance(DAY)
    tend(world)
    assert causes(world).count("retention-overdue") == 3


@pytest.mark.no_database
def test_a_link_answers_for_its_own_list_and_dies_with_it(world: World) -> None:
    keeping(world)
    note(world, told(1, DUE))
    listed(world)
    token = world.controller.answer_token(_list_id(world), "inbox", 0)
    with reading(world.engine) as connection:
        shown = worklist.page_of(connection, world.controller, token, world.clock.now())
        assert worklist.page_of(connection, world.controller, "n" * 43, world.clock.now()) is None
    assert shown is not None
    assert shown.rows == ((row(world).reference, date(2026, 11, 20), True),)
    world.clock.advance(61 * DAY)
    with pytest.raises(NotFound):
        answer(world)
    with reading(world.engine) as connection:
        assert worklist.page_of(connection, world.controller, token, world.clock.now()) is None
    assert row(world).state == STATES.LISTED


@pytest.mark.no_database
def test_an_old_page_sent_again_does_not_say_that_what_came_back_is_gone(world: World) -> None:
    keeping(world)
    note(world, told(1, DUE))
    listed(world)
    assert answer(world) == 1
    world.clock.advance(DAY)
    note(world, told(1, DUE, seen=world.clock.now()))
    assert answer(world) == 0
    assert row(world).state == STATES.CONTRADICTED
    listed(world)
    assert row(world).state == STATES.CONTRADICTED
    assert answer(world, list_number=0) == 0
    assert row(world).state == STATES.CONTRADICTED
    assert answer(world) == 1
    assert row(world).state == STATES.ATTESTED


@pytest.mark.no_database
def test_whoever_answers_by_link_is_kept_sealed(world: World) -> None:
    keeping(world)
    note(world, told(1, DUE))
    listed(world)
    answer(world)
    attested = next(one for one in world.rows(ct.retention_act) if one.kind == "attested")
    assert b"Pat" not in attested.sealed
    assert json.loads(world.keys.open(PURPOSE, attested.sealed, b"inbox")) == {
        "by": "Pat Inbox",
        "reason": "all of them",
        "peer": "203.0.113.9",
    }
    assert world.ledger_problems() == ()


def test_a_missing_monthly_check_is_said(world: World) -> None:
    keeping(world)
    world.writer.call(lambda unit: acts.begin(unit, world.controller, world.clock.now()))
    world.clock.advance(30 * DAY)  # 20 December
    tend(world)
    assert causes(world) == []
    world.clock.advance(DAY)
    tend(world)
    assert causes(world) == ["retention-unchecked"]
    assert [(one["event"], one["cause"], one["n"]) for one in entries(world)] == [("alert", "retention-unchecked", 2)]
    assert "the monthly check of the export and the look at open conversations" in world.told()[0].text
    by = Person("Dana Officer", "dana", "looked in the app")
    world.writer.call(lambda unit: acts.state_none_open(unit, world.controller, "inbox", by, world.clock.now()))
    world.clock.advance(DAY)
    tend(world)
    assert "open ones" not in world.told()[1].text
    assert "monthly check" in world.told()[1].text


@pytest.mark.no_database
def test_a_rule_without_a_deputy_escalates_to_the_dpo_alone(world: World) -> None:
    keeping(world, replace(RULE, deputy=None))
    confirm(world, ADMIN)
    note(world, told(1, DUE))
    listed(world)
    sent(world)
    world.clock.advance(7 * DAY)
    tend(world)
    assert sent(world) == []
    assert sorted(causes(world)) == ["retention-overdue", "retention-unanswered"]


HOSTILE = st.text(max_size=80)


@given(HOSTILE, HOSTILE, HOSTILE)
def test_what_a_vendor_calls_things_draws_no_row_and_no_header_of_its_own(one: str, two: str, three: str) -> None:
    letter = WorkLetter(
        act_id=1,
        processor="inbox",
        kind=NoticeKind.FIRST,
        reference="DPS-LIST",
        message_id="a1@example.org",
        first_id="a1@example.org",
        dated=START,
        to=ADMIN,
        controller="Example Gardens",
        processor_title=one,
        months=3,
        link="https://dpsync.example.org/answers/x",
        answer_by=date(2026, 11, 27),
        cutoff=date(2026, 8, 19),
        rows=[Row("DPS-ROW", date(2026, 11, 20), one, two, three)],
    )
    raw = written(letter, "privacy@example.org")
    assert raw == written(letter, "privacy@example.org")
    (attached,) = message_from_bytes(raw, policy=policy.default).iter_attachments()
    lines = attached.get_content().splitlines()
    assert sum(line.startswith("DPS-ROW") for line in lines) == 1
    assert len([line for line in lines if line.strip()]) <= 5


# --- what is written by hand beside the ledger


def by_hand(world: World, statement: Any) -> None:
    with writing(world.engine) as connection:
        connection.execute(statement)


def test_a_state_that_nobody_recorded_is_found(world: World) -> None:
    keeping(world)
    note(world, told(1, DUE), told(2, DUE), told(3, DUE + 60 * DAY))
    listed(world)
    answer(world, frozenset({row(world, 1).reference}))
    world.clock.advance(DAY)
    note(world, told(1, DUE, seen=world.clock.now()))
    listed(world)
    assert world.ledger_problems() == ()
    here = ct.conversation.c.pseudonym == row(world, 3).pseudonym
    by_hand(world, ct.conversation.update().where(here).values(state=STATES.ATTESTED.value))
    (found,) = world.ledger_problems()
    assert found.endswith("at inbox: the database says state attested, the ledger kept")
    assert row(world, 3).reference in found


def test_a_conversation_that_no_entry_tells_of_is_found(world: World) -> None:
    keeping(world)
    note(world, told(1, DUE))
    more = {"pseudonym": "of another", "reference": "DPS-9"}
    by_hand(world, ct.conversation.insert().values(row(world)._asdict() | more))
    assert world.ledger_problems() == (
        "conversation DPS-9 at inbox: no entry tells of one of this processor and reference",
    )


def test_an_act_that_the_ledger_does_not_tell_of_is_found_and_leads_to_no_state(world: World) -> None:
    keeping(world)
    note(world, told(1, DUE))
    act = {"processor": "inbox", "kind": "attested", "at": START, "conversations": 1}
    by_hand(world, ct.retention_act.insert().values(act))
    by_hand(world, ct.retention_act_row.insert().values(act_id=1, pseudonym=row(world).pseudonym))
    by_hand(world, ct.conversation.update().values(state=STATES.ATTESTED.value))
    row_of, act_of, state_of = world.ledger_problems()
    assert "retention_act: " in row_of
    assert row_of.endswith("of a row that no entry tells of")
    assert "does not tell of act 1 (attested; " in act_of
    assert "the database says state attested, the ledger kept" in state_of


def test_a_list_that_is_made_an_answer_by_hand_is_found(world: World) -> None:
    keeping(world)
    note(world, told(1, DUE))
    listed(world)
    by_hand(world, ct.retention_act.update().values(kind="attested"))
    by_hand(world, ct.conversation.update().values(state=STATES.ATTESTED.value))
    row_of, act_of, state_of = world.ledger_problems()
    assert "kind not as entry" in row_of
    assert "does not tell of act 1 (attested; " in act_of
    assert "the database says state attested, the ledger kept" in state_of
