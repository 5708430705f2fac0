"""Eventbrite through the real service: found by API, asked for by letter, and believed only when it is read back."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from dpsync.model import Right, Rung, State
from dpsync.sandbox.eventbrite.api import Eventbrite
from dpsync.sandbox.mailbox import Message
from dpsync.sandbox.recipient import Letter
from dpsync.store import tables as t
from tests.journeys.installation import EVENTS, INBOUND, SOON, Asked, Installation, installed, sqlite_url
from tests.journeys.test_letters import readable

pytestmark = pytest.mark.no_database

ADA, NEW, NEIGHBOUR = "ada@example.org", "ada.new@example.org", "nell@example.org"
PERSON = {"name": "Ada Lovelace", "phone": "+44 7700 900123"}
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
CHANGES = {"email": NEW, "first_name": "Augusta", "last_name": "King"}


def desk(there: Installation) -> str:
    return there.sandbox.addresses.eventbrite_desk


def answering(there: Installation, answer: str = "done") -> None:
    """The desk has said that it is the right one, and from here on answers every letter."""
    there.sandbox.rule(desk(there), "confirm_contact")
    there.drive()
    there.sandbox.messages(settled=True)
    there.sandbox.rule(desk(there), "answer_by_link", answer=answer)


def letters(there: Installation) -> list[Message]:
    return [one for one in there.sandbox.messages(desk(there), settled=True) if b"notice.json" in one.raw]


def filled(there: Installation) -> None:
    """Ada bought a ticket; a neighbour bought one for herself and one for Ada."""
    there.sandbox.eventbrite.add(ADA, "Ada", "Lovelace", profile={"cell_phone": "07700 900123"})
    there.sandbox.eventbrite.add(NEIGHBOUR, "Nell", "Gwyn", guests=(ADA,), event="Plant fair")


def does(there: Installation, act: str, **details: Any) -> None:
    """What the desk does at the vendor right before it answers."""
    vendor: Eventbrite = there.sandbox.eventbrite.vendor
    there.sandbox.desk(desk(there), lambda _: vendor.act(address=ADA, act=act, **details))


def asked_and_answered(there: Installation, right: Right, **more: Any) -> Asked:
    """The request is driven, its letter answered, and what followed from the answer driven."""
    asked = there.ask(right, ADA, **PERSON, **more)
    there.drive()
    letters(there)
    there.drive(SOON)
    return asked


@pytest.mark.parametrize("shape", ["placeholder", "blank", "gone"])
def test_buyer_and_guest_are_erased_by_a_letter_with_their_numbers_and_seen_to_be_so(
    shape: str, database_url: str, tmp_path: Path
) -> None:
    with installed(tmp_path, database_url, processors=EVENTS, web=True) as there:
        answering(there)
        filled(there)
        there.sandbox.eventbrite.switch(anonymise_after_ack=True, anonymised_shape=shape)
        numbers = [place.partition(" ")[2] for place, _ in there.sandbox.eventbrite.holds(ADA)]
        assert len(numbers) == 3
        asked = asked_and_answered(there, Right.ERASURE)
        assert there.state(asked, "events") is State.VERIFIED
        assert there.row(asked, "events").rung == Rung.VERIFIED
        assert there.sandbox.eventbrite.holds(ADA) == []
        assert len(there.sandbox.eventbrite.holds(NEIGHBOUR)) == 2
        (letter,) = letters(there)
        assert all(number in readable(letter) for number in numbers)
        there.drive(31 * DAY)
        assert there.row(asked, "events").rung == Rung.STILL_VERIFIED
        assert "VALID" in there.verified_by_a_stranger(asked, ADA)
        there.sound()


def test_a_desk_that_answers_done_and_does_nothing_is_contradicted(database_url: str, tmp_path: Path) -> None:
    with installed(tmp_path, database_url, processors=EVENTS, web=True) as there:
        answering(there)
        filled(there)
        there.sandbox.eventbrite.switch(ack_but_do_nothing=True, anonymise_after_ack=True)
        asked = asked_and_answered(there, Right.ERASURE)
        assert there.state(asked, "events") is State.CONTRADICTED
        assert [role for role, cause in there.alerts() if cause.startswith("contradicted")]
        there.sound()


@pytest.mark.parametrize("right", Right)
def test_nobody_found_is_asked_for_all_the_same_and_their_word_is_all_there_is(
    right: Right, database_url: str, tmp_path: Path
) -> None:
    with installed(tmp_path, database_url, processors=EVENTS, web=True) as there:
        answering(there, "nothing_held")
        there.sandbox.eventbrite.add(NEIGHBOUR, "Nell", "Gwyn")
        more = {"changes": CHANGES} if right is Right.RECTIFICATION else {}
        asked = asked_and_answered(there, right, **more)
        for _ in range(10):
            there.drive(DAY)
        assert there.state(asked, "events") is State.DECLARED_NOTHING_HELD
        (letter,) = letters(there)
        said = " ".join(readable(letter).split())
        assert "we found nothing under these addresses on" in said
        assert "You may still hold something" in said
        there.sound()


def unsubscribed(there: Installation) -> bool:
    return there.sandbox.eventbrite.there(
        lambda vendor: not any(one.opted_in for one in vendor.records.all() if "ada" in str(one).lower())
    )


def renamed(there: Installation) -> bool:
    return there.sandbox.eventbrite.holds(ADA) == [] and set(there.sandbox.eventbrite.names(NEW)) == {"Augusta King"}


@pytest.mark.parametrize(
    ("right", "act", "details", "so", "state"),
    [
        (
            Right.RECTIFICATION,
            "rectify",
            {"to": NEW, "first_name": "Augusta", "last_name": "King"},
            renamed,
            State.VERIFIED,
        ),
        (Right.RECTIFICATION, "rectify", {"to": NEW}, None, State.CONTRADICTED),
        (Right.OPT_OUT, "unsubscribe", {}, unsubscribed, State.VERIFIED),
        (Right.RESTRICTION, "unsubscribe", {}, None, State.DECLARED_DONE),
    ],
)
def test_each_other_right_is_believed_as_far_as_it_can_be_read(
    right: Right,
    act: str,
    details: dict[str, str],
    so: Callable[[Installation], bool] | None,
    state: State,
    database_url: str,
    tmp_path: Path,
) -> None:
    with installed(tmp_path, database_url, processors=EVENTS, web=True) as there:
        answering(there)
        filled(there)
        does(there, act, **details)
        more = {"changes": CHANGES} if right is Right.RECTIFICATION else {}
        asked = asked_and_answered(there, right, **more)
        assert there.state(asked, "events") is state
        assert so is None or so(there)
        there.sound()


def test_somebody_still_subscribed_is_contradicted_after_the_vendors_48_hours_only(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=EVENTS, web=True) as there:
        answering(there)
        filled(there)
        asked = asked_and_answered(there, Right.OPT_OUT)
        there.drive(DAY)
        assert there.state(asked, "events") is State.DECLARED_DONE
        for _ in range(3):
            there.drive(DAY)
        assert there.state(asked, "events") is State.CONTRADICTED
        there.sound()


@pytest.mark.parametrize("switch", ["drop_access", "expansion_failed"])
def test_what_cannot_be_read_is_no_erasure_until_it_can(switch: str, database_url: str, tmp_path: Path) -> None:
    with installed(tmp_path, database_url, processors=EVENTS, web=True) as there:
        answering(there)
        filled(there)
        vendor: Eventbrite = there.sandbox.eventbrite.vendor

        def erases_and_shuts(_: Letter) -> None:
            vendor.act(address=ADA, act="anonymise")
            vendor.switch(**{switch: True})

        there.sandbox.desk(desk(there), erases_and_shuts)
        asked = asked_and_answered(there, Right.ERASURE)
        assert there.sandbox.eventbrite.holds(ADA) == []
        for _ in range(2):
            there.drive(HOUR)
            assert there.state(asked, "events") is State.DECLARED_DONE
        there.sandbox.eventbrite.switch(**{switch: False})
        if switch == "drop_access":  # a matter of our token: somebody puts it right, and says so
            assert ("operator", "credential") in there.alerts()
            there.service.write(lambda unit: unit.connection.execute(t.account.update().values(stopped="")))
        there.drive(DAY)
        assert there.state(asked, "events") is State.VERIFIED
        there.sound()


def test_a_long_first_run_keeps_within_the_hour_and_goes_on_where_it_was(database_url: str, tmp_path: Path) -> None:
    with installed(tmp_path, database_url, processors=EVENTS, web=True) as there:
        answering(there)
        for number in range(30):
            there.sandbox.eventbrite.add(f"somebody{number}@example.org")
        filled(there)
        there.sandbox.eventbrite.switch(page_size=2, hourly_limit=10, continuation_seconds=6 * 3600.0)
        there.drive(HOUR)
        asked = there.ask(Right.OPT_OUT, ADA, **PERSON)
        hours = 0
        there.drive()
        while there.state(asked, "events") is State.PENDING:
            hours += 1
            assert hours < 6
            there.drive(HOUR)
        assert hours == 2
        assert there.sandbox.eventbrite.there(lambda vendor: [c.status for c in vendor.journal.calls].count(429)) == 0
        (letter,) = letters(there)
        assert readable(letter).count("attendee ") == 2
        there.sound()


def test_a_place_that_went_stale_in_the_pause_means_from_the_first_page_again(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=EVENTS, web=True) as there:
        answering(there)
        for number in range(8):
            there.sandbox.eventbrite.add(f"somebody{number}@example.org")
        filled(there)
        there.sandbox.eventbrite.switch(page_size=2, hourly_limit=4)
        asked = there.ask(Right.OPT_OUT, ADA, **PERSON)
        there.drive()
        assert there.state(asked, "events") is State.PENDING
        there.sandbox.eventbrite.switch(hourly_limit=2000)
        there.drive(HOUR)
        assert there.state(asked, "events") is not State.PENDING
        (letter,) = letters(there)
        assert readable(letter).count("attendee ") == 2
        there.sound()


def test_a_webhook_is_a_hint_that_the_next_search_reads(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=EVENTS, web=True) as there:
        answering(there)
        filled(there)
        (home,) = there.sandbox.eventbrite.organizations()
        hooked = requests.post(
            f"{there.sandbox.eventbrite.url}/organizations/{home}/webhooks/",
            json={"endpoint_url": f"{there.url}/in/events/{INBOUND}", "actions": "attendee.updated,order.updated"},
            headers={"Authorization": f"Bearer {there.sandbox.addresses.eventbrite_token}"},
            timeout=60,
        )
        assert hooked.status_code == 200
        there.sandbox.eventbrite.act(ADA, "cancel")
        hints = [row.key for row in there.rows(t.shelf) if row.key.startswith("look/")]
        assert 1 <= len(hints) <= 3
        assert there.rows(t.request) == []
        there.sandbox.rule(desk(there), "silent")
        asked = there.ask(Right.ERASURE, ADA, **PERSON)
        there.drive()
        assert there.state(asked, "events") is State.ACCEPTED
        single = ("GET /events/{event_id}/attendees/{attendee_id}/", "GET /orders/{order_id}/")
        assert sum(map(there.sandbox.eventbrite.calls, single)) == len(hints)
        there.sound()


def test_a_token_that_is_no_longer_accepted_stops_the_account_and_charges_nobody(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=EVENTS, web=True) as there:
        answering(there)
        filled(there)
        tokens = there.sandbox.eventbrite.there(lambda vendor: dict(vendor.tokens))
        there.sandbox.eventbrite.there(lambda vendor: vendor.tokens.clear())
        asked = there.ask(Right.ERASURE, ADA, **PERSON)
        there.drive()
        assert there.state(asked, "events") is State.PENDING
        assert there.row(asked, "events").attempts == 0
        assert [row.stopped for row in there.rows(t.account)] == ["credential"]
        there.sandbox.eventbrite.there(lambda vendor: vendor.tokens.update(tokens))
        there.sound()
