"""Eventbrite: the shared contract, and each trap of this vendor under its name.

Shapes are those of the vendor's API blueprint (copy of March 2025) for pages, orders, attendees, preferences and
errors; the rate header as three public programs read it (July 2026). Nothing documents what an erased record looks
like, so the stand-in knows two ways: blanked, and gone.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from email.utils import format_datetime
from typing import Any, ClassVar
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
import requests
from pydantic import ValidationError

from dpsync.address import normalised
from dpsync.connector import (
    AsAsked,
    CannotTell,
    Connector,
    Contradicts,
    Finding,
    HandOver,
    Instruction,
    Kit,
    Outcome,
    Recipient,
    Refused,
    Retryable,
)
from dpsync.connectors import eventbrite as module
from dpsync.connectors.eventbrite import (
    NO_CONTROL,
    NO_FLAG,
    NO_LONGER_HELD,
    NO_ORGANISATION,
    NOT_LOCATED,
    UNSUBSCRIBING,
    Eventbrite,
    calls,
)
from dpsync.connectors.eventbrite.calls import FILTER_IGNORED, MOVED, STALE, WITHHELD, EventbriteSettings
from dpsync.errors import CredentialsRejected, PayloadInvalid, ProcessorUnreachable
from dpsync.http import TOO_LATE, HttpClient
from dpsync.model import Changes, FieldValue, Lifted, Right
from tests.connectors.contract import (
    NEW,
    NOW,
    OLD,
    SECRET,
    Hands,
    HttpContract,
    HttpStage,
    OpenShelf,
    Said,
    assert_clean,
    built_in_a_rehearsal_only,
    instruction,
    pseudonym,
)
from tests.connectors.held import Held

ORG, OTHER_ORG = "5551", "5552"
EVENT, LATER_EVENT = "900100", "900200"
NEIGHBOUR = "nell@example.org"
BASE = "https://www.eventbriteapi.com/v3"


def said(status: int, body: object, **headers: str) -> Said:
    return Said(status, {"Content-Type": "application/json", **headers}, json.dumps(body).encode())


def no(status: int, error: str, **headers: str) -> Said:
    return said(status, {"status_code": status, "error": error, "error_description": f"{OLD} {NEW}"}, **headers)


def order(number: int, email: str | None = OLD, **more: Any) -> dict[str, Any]:
    return {
        "id": f"44{number:04}",
        "organization": ORG,
        "changed": "2026-03-02T09:10:01Z",
        "name": "Ada Canary",
        "first_name": "Ada",
        "last_name": "Canary",
        "email": email,
        "status": "placed",
        "event_id": EVENT,
        "answers": [],
        "survey_responses": {},
        "refund_requests": [],
        "contact_list_preferences": {"has_contact_list": True, "has_opted_in": True},
        **more,
    }


def ticket(number: int, email: str | None = OLD, **more: Any) -> dict[str, Any]:
    profile = {"name": "Ada Canary", "first_name": "Ada", "last_name": "Canary", "email": email}
    return {
        "id": f"70{number:04}",
        "organization": ORG,
        "changed": "2026-03-02T09:10:01Z",
        "event_id": EVENT,
        "order_id": "440009",
        "status": "Attending",
        "cancelled": False,
        "refunded": False,
        "profile": {**profile, "cell_phone": "", "company": "", **more.pop("profile", {})},
        "answers": [{"question_id": "q9", "question": "Access needs?", "type": "text", "answer": "Step-free"}],
        "survey_responses": {},
        "barcodes": [{"barcode": "440001700200001"}],
        "contact_list_preferences": {"has_contact_list": True, "has_opted_in": True},
        **more,
    }


def neighbour() -> dict[str, Any]:
    return ticket(99, NEIGHBOUR, profile={"name": "Nell", "first_name": "Nell", "last_name": ""})


@dataclass
class StandIn:
    """Answers as the blueprint says, for as much of the API as the connector uses."""

    orders: list[dict[str, Any]] = field(default_factory=list)
    tickets: list[dict[str, Any]] = field(default_factory=list)
    organizations: tuple[str, ...] = (ORG,)
    page: int = 50
    stale: set[str] = field(default_factory=set)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)
    """Expansions that fail there."""
    ever: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What `hold` was given, by id, whether it is still there or not."""

    def state(self) -> object:
        return json.loads(json.dumps([self.orders, self.tickets]))

    def holds(self) -> Iterator[Held]:
        for kind, rows in (("order", self.orders), ("ticket", self.tickets)):
            for one in rows:
                who = one.get("profile", one)
                mailed = one["contact_list_preferences"]["has_opted_in"]
                yield Held(f"{kind} {one['id']}", who["email"], who["first_name"], who["last_name"], mailed=mailed)

    def hold(self, records: Iterable[Held]) -> None:
        self.orders, self.tickets = [], []
        for one in records:
            kind, _, known = one.place.partition(" ")
            name = known or str(len(self.ever))
            rows, made = (self.orders, order) if kind == "order" else (self.tickets, ticket)
            record = json.loads(json.dumps(self.ever.setdefault(name, {**made(0), "id": name})))
            names = {"email": one.address, "first_name": one.first_name, "last_name": one.last_name}
            record.get("profile", record).update(names, name=f"{one.first_name} {one.last_name}".strip())
            record["contact_list_preferences"] = {"has_contact_list": one.mailed, "has_opted_in": one.mailed}
            rows.append(record)

    def answer(self, request: requests.PreparedRequest) -> Said:
        url = urlsplit(request.url or "")
        path, query = url.path.removeprefix("/v3"), {name: one[0] for name, one in parse_qs(url.query).items()}
        self.asked.append((path, query))
        if not path.endswith("/"):
            return no(301, "PERMANENTLY_MOVED")
        if request.method != "GET":
            return no(405, "METHOD_NOT_ALLOWED")
        if failing := self.broken & set(filter(None, query.get("expand", "").split(","))):
            assert failing
            return no(500, "EXPANSION_FAILED")
        match path.strip("/").split("/"):
            case ["users", "me", "organizations"]:
                return self.pages(
                    "organizations", [{"id": one, "name": f"Gardens {one}"} for one in self.organizations], query
                )
            case ["organizations", org, "orders"]:
                assert query["status"] == "both"
                return self.pages("orders", [one for one in self.orders if self.asked_for(one, org, query)], query)
            case ["organizations", org, "attendees"]:
                return self.pages("attendees", [one for one in self.tickets if self.listed(one, org, query)], query)
            case ["events", event, "attendees"]:
                assert query["status"] == "attending"
                return self.pages("attendees", [one for one in self.tickets if one["event_id"] == event], query)
            case ["events", event, "attendees", name]:
                return self.single(
                    [one for one in self.tickets if (one["event_id"], one["id"]) == (event, name)], query
                )
            case ["orders", name]:
                return self.single([one for one in self.orders if one["id"] == name], query)
        return no(404, "NOT_FOUND")

    def asked_for(self, one: Mapping[str, Any], org: str, query: Mapping[str, str]) -> bool:
        emails = query.get("only_emails", "").split(",")
        return one["organization"] == org and ("only_emails" not in query or one["email"] in emails)

    def listed(self, one: Mapping[str, Any], org: str, query: Mapping[str, str]) -> bool:
        attends = one["status"] in ("Attending", "Checked In")
        current = one["changed"] >= query.get("changed_since", "")
        return one["organization"] == org and current and (query["status"] == "attending") == attends

    def pages(self, key: str, rows: list[dict[str, Any]], query: Mapping[str, str]) -> Said:
        token = query.get("continuation", "")
        if token in self.stale:
            return no(400, "BAD_CONTINUATION_TOKEN")
        first = int(token.removeprefix("at-") or 0)
        more = first + self.page < len(rows)
        about: dict[str, object] = {"object_count": len(rows), "page_size": self.page, "has_more_items": more}
        about |= {"continuation": f"at-{first + self.page}"} if more else {}
        bare = [self.without(row, "") for row in rows[first : first + self.page]]
        return said(200, {"pagination": about, key: bare})

    def single(self, found: list[dict[str, Any]], query: Mapping[str, str]) -> Said:
        if not found:
            return no(404, "NOT_FOUND")
        return said(200, self.without(found[0], query.get("expand", "")))

    def without(self, row: Mapping[str, Any], expand: str) -> dict[str, Any]:
        parts = {"answers", "survey_responses", "refund_requests", "contact_list_preferences"} - set(expand.split(","))
        shown = {name: value for name, value in row.items() if name not in parts}
        if "attendees" in expand.split(","):
            shown["attendees"] = [one for one in self.tickets if one["order_id"] == row["id"]]
        return shown

    def ours(self) -> list[dict[str, Any]]:
        return [one for one in (*self.orders, *self.tickets) if "nell" not in json.dumps(one)]

    def as_a_person_there_does(self, told: Instruction) -> None:
        """What follows a letter."""
        for one in self.ours():
            holder = one.get("profile", one)
            match told.right:
                case Right.ERASURE:
                    holder |= {"name": "", "first_name": "", "last_name": "", "email": None, "cell_phone": ""}
                case Right.RECTIFICATION:
                    changes = told.changes or Changes()
                    holder |= {"email": changes.email, "first_name": changes.first_name, "last_name": changes.last_name}
                    holder["name"] = f"{changes.first_name} {changes.last_name}"
                case Right.OPT_OUT:
                    one["contact_list_preferences"] = {"has_contact_list": False, "has_opted_in": False}


def vendor(*, held: bool = True, address: str = OLD) -> StandIn:
    """A buyer with a ticket of her own, a ticket that somebody else bought for her, and a neighbour."""
    own = [ticket(1, address, order_id="440001"), ticket(2, address)] if held else []
    return StandIn(orders=[order(1, address)] if held else [], tickets=[*own, neighbour()])


class Finds(HttpContract):
    """Every right ends with a hand-over, found or not: only a person there can act, or say that nobody is held."""

    connector = Eventbrite
    section: ClassVar[Mapping[str, object]] = {"token": SECRET}
    done = HandOver
    nothing = HandOver
    rights: ClassVar[tuple[Right, ...]] = (Right.RECTIFICATION, Right.ERASURE, Right.OPT_OUT)
    passes_over_capitals = False
    places = ("order", "ticket")
    settles = timedelta(hours=49)  # "An unsubscribe may take them 48 hours."

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "right" in metafunc.fixturenames:
            metafunc.parametrize("right", self.rights, ids=str)

    def vendor(self, right: Right, *, held: bool) -> StandIn:
        return vendor(held=held, address=self.address)

    def refusal(self, status: int) -> Said:
        return no(status, "TROUBLE")

    def error(self, status: int, code: int | str) -> Said:
        return no(status, str(code))

    def test_what_was_done_is_found_by_reading_and_reading_changes_nothing(self, right: Right) -> None:
        """What happens after the letter happens there, by a person."""
        stand_in, told = vendor(), instruction(right)
        with self.before(stand_in) as stage:
            stage.tell(told)
            assert not isinstance(stage.read_back(told), AsAsked)
            stand_in.as_a_person_there_does(told)
            done, written = stage.state(), stage.writes()
            assert isinstance(stage.read_back(told), self.found)
            assert (stage.state(), stage.writes()) == (done, written)

    def test_every_call_is_https_and_carries_a_credential_and_no_person_in_its_query(self, right: Right) -> None:
        """Orders are found by an address in `only_emails` and in no other way: nothing else may hold one."""
        with self.stage(right) as stage:
            stage.tell(instruction(right))
            stage.read_back(instruction(right))
        assert stage.sent
        for request in stage.sent:
            url = urlsplit(request.url or "")
            assert url.scheme == "https"
            assert request.headers["Authorization"] == f"Bearer {SECRET}"
            assert request.headers["Accept"] == "application/json"
            others = {name: value for name, value in parse_qs(url.query).items() if name != "only_emails"}
            assert_clean(f"{unquote(url.path)} {others}")


class TestEventbrite(Finds):
    pass


class TestRestrictionAtEventbrite(Finds):
    """A restriction shows in no record, so their word is the last of it."""

    found = CannotTell
    rights: ClassVar[tuple[Right, ...]] = (Right.RESTRICTION,)


class Only(Finds):
    """The same stage for the tests of this vendor alone; not collected by its name."""


def on_stage(stand_in: StandIn) -> AbstractContextManager[HttpStage]:
    return Only().before(stand_in)


def told(stand_in: StandIn, right: Right = Right.ERASURE, **more: Any) -> Outcome:
    with on_stage(stand_in) as stage:
        return stage.tell(instruction(right, **more))


def handed(outcome: Outcome) -> HandOver:
    assert isinstance(outcome, HandOver)
    assert outcome.to is Recipient.PROCESSOR
    return outcome


def after(stand_in: StandIn, right: Right, change: Callable[[StandIn], object], **more: Any) -> Finding:
    """The finding where the records changed in this way since they were found."""
    with on_stage(stand_in) as stage:
        handed(stage.tell(instruction(right, **more)))
        change(stand_in)
        return stage.read_back(instruction(right, **more))


def test_a_new_address_that_stands_there_in_its_other_spelling_is_as_asked() -> None:
    def corrected(stand_in: StandIn) -> None:
        kept = Changes(email="ada@xn--bcher-kva.example", first_name="Augusta", last_name="Kingcanary")
        stand_in.as_a_person_there_does(instruction(Right.RECTIFICATION, changes=kept))

    asked = Changes(email="ada@bücher.example", first_name="Augusta", last_name="Kingcanary")
    assert isinstance(after(vendor(), Right.RECTIFICATION, corrected, changes=asked), AsAsked)


@dataclass
class Fails(StandIn):
    """Answers `how` to every path that `where` fits, until it is mended."""

    where: str = ""
    how: Said | None = None

    def answer(self, request: requests.PreparedRequest) -> Said:
        path = urlsplit(request.url or "").path.removeprefix("/v3")
        if self.how is not None and re.fullmatch(self.where, path):
            self.asked.append((path, {}))
            return self.how
        return super().answer(request)


def failing(where: str, how: Said, stand_in: StandIn | None = None) -> Fails:
    held = stand_in or vendor()
    return Fails(held.orders, held.tickets, held.organizations, where=where, how=how)


ORDER_LIST, TICKET_LIST = r"/organizations/\w+/orders/", r"/organizations/\w+/attendees/"
ONE_ORDER, ONE_TICKET = r"/orders/\w+/", r"/events/\w+/attendees/\w+/"


# --- finding: buyers and guests


def test_a_buyer_and_a_guest_are_both_found_and_nobody_else() -> None:
    outcome = handed(told(vendor()))
    assert sorted(outcome.references) == [
        "attendee 700001 of event 900100, order 440001",
        "attendee 700002 of event 900100, order 440009",
        "order 440001 of event 900100",
    ]


def test_a_guest_is_found_on_any_page_of_either_status_in_every_organisation() -> None:
    crowd = [ticket(n, f"someone{n}@example.org") for n in range(10, 20)]
    stand_in = StandIn(
        tickets=[*crowd, ticket(1, status="Deleted", refunded=True), ticket(2, organization=OTHER_ORG), ticket(3)],
        organizations=(ORG, OTHER_ORG),
        page=3,
    )
    found = handed(told(stand_in)).references
    assert [one.split()[1] for one in sorted(found)] == ["700001", "700002", "700003"]


def test_an_address_is_compared_without_its_capitals_and_asked_for_in_both_spellings() -> None:
    stand_in = StandIn(orders=[order(1, OLD), order(2, normalised(OLD))], tickets=[ticket(1, OLD.upper())])
    assert len(handed(told(stand_in)).references) == 3


def test_each_known_address_is_asked_for_by_itself() -> None:
    """Whether several are joined by a comma or repeated is documented nowhere."""
    stand_in = StandIn(orders=[order(1), order(2, NEW)], tickets=[neighbour()])
    outcome = handed(told(stand_in, addresses=(OLD, NEW)))
    assert len(outcome.references) == 2
    assert all("," not in query.get("only_emails", "") for _, query in stand_in.asked)


def test_a_vendor_that_passes_over_the_filter_hands_nobody_elses_order_over() -> None:
    @dataclass
    class Unfiltered(StandIn):
        def asked_for(self, one: Mapping[str, Any], org: str, query: Mapping[str, str]) -> bool:
            return True

    outcome = told(Unfiltered(orders=[order(1), order(2, NEIGHBOUR)]))
    assert isinstance(outcome, Refused)
    assert outcome.reason == FILTER_IGNORED


def test_a_ticket_that_was_passed_on_is_named_with_a_warning() -> None:
    stand_in = vendor()
    with on_stage(stand_in) as stage:
        stage.tell(instruction(Right.OPT_OUT))
        stand_in.tickets[1]["profile"]["email"] = NEIGHBOUR
        stand_in.tickets[1]["changed"] = "2026-11-21T10:00:00Z"
        stage.clock.seconds += 3600
        found = handed(stage.tell(instruction(Right.ERASURE, reference="ref-2"))).references
        (passed_on,) = [one for one in found if "700002" in one]
        assert "compare before you act" in passed_on
        assert not [one for one in found if "compare" in one and "700002" not in one]


def test_an_old_address_still_finds_the_record_after_the_vendor_has_the_new_one() -> None:
    stand_in = vendor()
    with on_stage(stand_in) as stage:
        stage.tell(instruction(Right.RECTIFICATION))
        for one in stand_in.tickets[:2]:
            one["profile"]["email"] = NEW
            one["changed"] = "2026-11-21T10:00:00Z"
        stand_in.orders[0]["email"] = NEW
        stage.clock.seconds += 3600
        found = handed(stage.tell(instruction(Right.ERASURE, reference="ref-2"))).references
        assert {one.split()[1] for one in found} == {"700001", "700002"}


def test_what_an_earlier_attempt_found_is_read_back_though_a_later_one_finds_it_no_more() -> None:
    stand_in = vendor()
    with on_stage(stand_in) as stage:
        once = handed(stage.tell(instruction(Right.ERASURE)))
        gone(stand_in)
        assert handed(stage.tell(instruction(Right.ERASURE))).references == once.references
        assert isinstance(stage.read_back(instruction(Right.ERASURE)), AsAsked)


@pytest.mark.parametrize("right", [Right.RECTIFICATION, Right.OPT_OUT])
def test_a_ticket_that_is_somebody_elses_now_need_not_show_what_was_asked(right: Right) -> None:
    stand_in = vendor()
    with on_stage(stand_in) as stage:
        stage.tell(instruction(Right.RESTRICTION))
        theirs = {"name": "Nell", "first_name": "Nell", "last_name": "", "email": NEIGHBOUR}
        stand_in.tickets[1]["profile"] |= theirs
        stand_in.tickets[1]["changed"] = "2026-11-21T10:00:00Z"
        stage.clock.seconds += 3600
        assert "700002" in str(handed(stage.tell(instruction(right, reference="ref-2"))).references)
        stand_in.as_a_person_there_does(instruction(right))
        assert stand_in.tickets[1]["profile"]["email"] == NEIGHBOUR
        assert isinstance(stage.read_back(instruction(right, reference="ref-2")), AsAsked)


# --- nothing found


@pytest.mark.parametrize("right", sorted(Right))
def test_nothing_found_is_handed_over_with_its_date_and_never_called_nothing_held(right: Right) -> None:
    outcome = handed(told(vendor(held=False), right))
    assert "found nothing under these addresses on 20 November 2026" in outcome.task
    assert "You may still hold something" in outcome.task
    assert outcome.references == ()


@pytest.mark.parametrize("right", sorted(Right))
def test_where_nothing_was_found_before_nothing_found_now_proves_nothing(right: Right) -> None:
    finding = after(vendor(held=False), right, lambda _: None)
    assert isinstance(finding, CannotTell)
    assert not finding.later


def test_an_order_that_appears_after_nothing_was_found_contradicts() -> None:
    assert isinstance(after(vendor(held=False), Right.ERASURE, lambda one: one.orders.append(order(1))), Contradicts)


def test_who_was_never_searched_to_the_end_is_told_again_and_never_found_as_asked() -> None:
    """An attempt that died is read back first: what the API does not show then is no reason to send no notice."""
    with on_stage(vendor(held=False)) as stage:
        finding = stage.read_back(instruction(Right.ERASURE))
    assert isinstance(finding, CannotTell)
    assert (finding.reason, finding.later) == (NOT_LOCATED, False)


@pytest.mark.parametrize("right", [Right.OPT_OUT, Right.ERASURE])
def test_a_hand_over_that_was_lost_before_it_was_recorded_is_made_again_at_once(right: Right) -> None:
    class Crashes(OpenShelf):
        def note(self, key: str, value: str) -> None:
            """It goes where the outcome goes, and that was lost."""

    class Lost(Only):
        def built(self, kit: Kit) -> Connector:
            return super().built(replace(kit, shelf=Crashes()))

    stand_in = vendor()
    with Lost().before(stand_in) as stage:
        handed(stage.tell(instruction(right)))
        if right is Right.ERASURE:
            gone(stand_in)
        finding = stage.read_back(instruction(right))
        assert isinstance(finding, CannotTell)
        assert (finding.reason, finding.later) == (NOT_LOCATED, False)
        handed(stage.tell(instruction(right)))


# --- the index of attendees


def test_after_the_first_run_only_changes_are_read_from_a_quarter_of_an_hour_before_it() -> None:
    stand_in = vendor()
    with on_stage(stand_in) as stage:
        stage.tell(instruction(Right.ERASURE))
        first = [query for path, query in stand_in.asked if path == f"/organizations/{ORG}/attendees/"]
        stand_in.asked.clear()
        stage.clock.seconds += 7200
        stage.tell(instruction(Right.ERASURE))
        again = [query for path, query in stand_in.asked if path == f"/organizations/{ORG}/attendees/"]
    assert first == [{"status": "attending"}, {"status": "not_attending"}]
    assert again == [{"status": one, "changed_since": "2026-11-20T08:45:00Z"} for one in ("attending", "not_attending")]


def test_what_changes_says_twice_is_one_record() -> None:
    stand_in = vendor()
    with on_stage(stand_in) as stage:
        once = handed(stage.tell(instruction(Right.ERASURE))).references
        assert handed(stage.tell(instruction(Right.ERASURE))).references == once


def test_a_stale_place_in_the_list_is_left_and_the_list_is_read_from_its_first_page() -> None:
    crowd = [ticket(n, f"someone{n}@example.org") for n in range(10, 16)]
    stand_in = StandIn(tickets=[*crowd, ticket(1)], page=3)

    @dataclass
    class Once(StandIn):
        left: int = 1

        def pages(self, key: str, rows: list[dict[str, Any]], query: Mapping[str, str]) -> Said:
            if query.get("continuation") == "at-6" and self.left:
                self.left -= 1
                return no(400, "BAD_CONTINUATION_TOKEN")
            return super().pages(key, rows, query)

    once = Once(tickets=stand_in.tickets, page=3)
    assert len(handed(told(once)).references) == 1
    places = [query.get("continuation", "") for path, query in once.asked if query.get("status") == "attending"]
    assert places == ["", "at-3", "at-6", "", "at-3", "at-6"]


def test_a_place_that_is_always_stale_is_unknown_and_not_read_in_a_circle() -> None:
    stand_in = StandIn(tickets=[ticket(n) for n in range(5)], page=3, stale={"at-3"})
    outcome = told(stand_in)
    assert isinstance(outcome, Retryable)
    assert outcome.reason == STALE
    assert len(stand_in.asked) < 8


def test_a_list_that_leads_in_a_circle_is_left() -> None:
    @dataclass
    class Circle(StandIn):
        def pages(self, key: str, rows: list[dict[str, Any]], query: Mapping[str, str]) -> Said:
            reply = super().pages(key, rows, query)
            return reply._replace(body=reply.body.replace(b'"at-6"', b'"at-3"'))

    outcome = told(Circle(tickets=[ticket(n) for n in range(10)], page=3))
    assert isinstance(outcome, Retryable)


def test_what_changed_since_a_run_that_was_cut_began_is_read_before_anybody_is_called_not_found() -> None:
    stand_in = StandIn(tickets=[ticket(n, f"someone{n}@example.org") for n in range(4)], page=2)
    with on_stage(stand_in) as stage:
        until = stage.calls() + 2
        cut = instruction(Right.ERASURE, may_call_until=lambda: float("inf") if stage.calls() < until else 0.0)
        assert isinstance(stage.tell(cut), Retryable)
        stand_in.tickets[0] |= {"changed": "2026-11-20T10:00:00Z"}
        stand_in.tickets[0]["profile"]["email"] = OLD
        stage.clock.seconds += 2 * 3600
        assert len(handed(stage.tell(instruction(Right.ERASURE))).references) == 1


def test_a_list_from_which_rows_slipped_past_is_read_again() -> None:
    @dataclass
    class Slips(StandIn):
        """Somebody on the first page is deleted while the second is asked for: one row moves up, unread."""

        left: int = 1

        def pages(self, key: str, rows: list[dict[str, Any]], query: Mapping[str, str]) -> Said:
            if key == "attendees" and query.get("continuation") and self.left:
                self.left -= 1
                del self.tickets[0], rows[0]
            return super().pages(key, rows, query)

    crowd = [ticket(n, f"someone{n}@example.org") for n in range(10, 13)]
    found = handed(told(Slips(tickets=[*crowd, ticket(1), *(ticket(n, NEIGHBOUR) for n in range(20, 22))], page=3)))
    assert [one.split()[1] for one in found.references] == ["700001"]


def test_an_attempt_that_is_cut_goes_on_where_it_was() -> None:
    crowd = [ticket(n, f"someone{n}@example.org") for n in range(100, 130)]
    stand_in = StandIn(tickets=[*crowd, ticket(1)], page=2)
    with on_stage(stand_in) as stage:
        outcomes: list[Outcome] = []
        while not outcomes or not isinstance(outcomes[-1], HandOver):
            assert len(outcomes) < 10
            until = stage.calls() + 6

            def lease(until: int = until) -> float:
                return float("inf") if stage.calls() < until else 0.0

            outcomes.append(stage.tell(instruction(Right.ERASURE, may_call_until=lease)))
        pages = [query.get("continuation", "") for path, query in stand_in.asked if query.get("status") == "attending"]
    assert len(outcomes) == 4
    assert all(isinstance(cut, Retryable) and cut.reason == TOO_LATE for cut in outcomes[:-1])
    assert pages.pop() == "", "the changes since it began"
    assert len(pages) == len(set(pages)), "no page was read twice"


def test_the_shelf_knows_people_by_their_pseudonym_alone() -> None:
    with on_stage(vendor()) as stage:
        stage.tell(instruction(Right.ERASURE))
        shelf = stage.connector._kit.shelf  # type: ignore[attr-defined]  # because it is this connector's own
        assert shelf.find(f"who/{pseudonym(normalised(OLD))}/")
        assert_clean(json.dumps(shelf.kept))


# --- webhooks


def hint(path: str, action: str = "attendee.updated", base: str = BASE) -> bytes:
    return json.dumps({"api_url": f"{base}/{path}", "config": {"action": action, "webhook_id": "2006536"}}).encode()


def received(connector: Connector, body: bytes) -> Mapping[str, str]:
    assert isinstance(connector, Eventbrite)
    assert connector.receive({"x-eventbrite-event": "attendee.updated"}, body) == ()
    return {place: path for place, path in connector._kit.shelf.find("look/").items() if path}


@pytest.mark.parametrize("path", ["events/900100/attendees/700042/", "orders/440042/"])
def test_what_a_webhook_names_is_read_in_the_next_search_and_not_before(path: str) -> None:
    @dataclass
    class Lagging(StandIn):
        def listed(self, one: Mapping[str, Any], org: str, query: Mapping[str, str]) -> bool:
            return one["id"] != "700042" and super().listed(one, org, query)

    held = ticket(42, order_id="440042")
    stand_in = Lagging(orders=[order(42, NEIGHBOUR)], tickets=[held, neighbour()])
    with on_stage(stand_in) as stage:
        assert handed(stage.tell(instruction(Right.ERASURE))).references == ()
        calls = stage.calls()
        assert list(received(stage.connector, hint(path)).values()) == [path]
        received(stage.connector, hint(path))
        assert stage.calls() == calls
        (found,) = handed(stage.tell(instruction(Right.ERASURE))).references
        assert found.split()[1] == "700042"
        calls = stage.calls()
        stage.tell(instruction(Right.ERASURE))
        assert stage.calls() - calls == calls // 2, "read once"


@pytest.mark.parametrize(
    "body",
    [
        hint("orders/440001/", base="https://www.eventbriteapi.com.example/v3"),
        hint("orders/440001/", base="https://www.eventbriteapi.com@evil.example/v3"),
        hint("orders/440001/", base="https://evil.example/?https://www.eventbriteapi.com/v3"),
        hint("orders/440001/", base="http://www.eventbriteapi.com/v3"),
        hint("orders/440001/", base="https://www.eventbriteapi.com:8443/v3"),
        hint("orders/440001/../../users/me/"),
        hint("orders/440001/?token=x"),
        hint("orders/%34/"),
        hint("users/me/"),
        hint("orders/440001"),
        hint("orders/440001/", action="test"),
        hint("orders/440001/", action="event.updated"),
        b"{}",
        b"[]",
        b'"text"',
        b'{"api_url": 7, "config": {"action": "order.placed"}}',
    ],
)
def test_a_webhook_that_leads_elsewhere_or_says_nothing_of_use_is_passed_over(body: bytes) -> None:
    with on_stage(vendor()) as stage:
        assert received(stage.connector, body) == {}
        assert stage.calls() == 0


@pytest.mark.parametrize("body", [b"", b"\xff", b"{", b"[" * 100_000])
def test_a_webhook_that_is_not_json_is_said_to_be_none(body: bytes) -> None:
    with on_stage(vendor()) as stage, pytest.raises(PayloadInvalid):
        received(stage.connector, body)


def test_a_flood_of_webhooks_keeps_few_places() -> None:
    with on_stage(vendor()) as stage:
        for number in range(1000):
            places = received(stage.connector, hint(f"orders/{number}/", "order.placed"))
    assert 0 < len(places) <= 64


def test_a_webhook_about_what_may_not_be_read_keeps_nobody_waiting() -> None:
    stand_in = failing("/orders/440077/", no(403, "NOT_AUTHORIZED"))
    with on_stage(stand_in) as stage:
        received(stage.connector, hint("orders/440077/"))
        assert len(handed(stage.tell(instruction(Right.ERASURE))).references) == 3
        assert received(stage.connector, b"{}") == {}


# --- errors go by their constant


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, "INVALID_AUTH"),
        (400, "INVALID_AUTH"),
        (401, "NO_AUTH"),
        (401, "ACCESS_DENIED"),
        (403, "ACCESS_DENIED"),
        (401, "SOMETHING_NEW"),
        (403, "SOMETHING_NEW"),
    ],
)
def test_a_token_that_is_not_accepted_stops_the_account_under_whatever_status(status: int, error: str) -> None:
    with on_stage(failing(".*", no(status, error))) as stage:
        for act in (stage.connector.carry_out, stage.connector.verify):
            with pytest.raises(CredentialsRejected):
                act(instruction(Right.ERASURE))
        with pytest.raises(CredentialsRejected):
            stage.connector.probe()


def test_a_public_token_is_the_wrong_credential_and_refuses_nobodys_request() -> None:
    with on_stage(failing("/users/me/.*", no(403, "NOT_AUTHORIZED"))) as stage:
        for act in (stage.connector.carry_out, stage.connector.verify):
            with pytest.raises(CredentialsRejected) as caught:
                act(instruction(Right.ERASURE))
            assert WITHHELD not in caught.value.message, "nothing is known of any organisation"
            assert caught.value.brief == "403 to GET /users/me/organizations/"
        with pytest.raises(CredentialsRejected):
            stage.connector.probe()


@pytest.mark.parametrize("where", [ORDER_LIST, TICKET_LIST])
def test_a_403_not_authorized_is_our_token_and_never_empty(where: str) -> None:
    stand_in = failing(where, no(403, "NOT_AUTHORIZED"))
    with on_stage(stand_in) as stage:
        for act in (lambda: stage.tell(instruction(Right.ERASURE)), stage.connector.probe):
            with pytest.raises(CredentialsRejected) as caught:
                act()
            assert WITHHELD in str(caught.value)
        stand_in.how = None
        handed(stage.tell(instruction(Right.ERASURE)))


@pytest.mark.parametrize("where", [ORDER_LIST, TICKET_LIST])
@pytest.mark.parametrize("error", ["ARGUMENTS_ERROR", "INVALID_ARGUMENT", "BAD_PAGE", "ORDER_EXPIRED"])
def test_a_question_that_is_not_accepted_is_not_asked_again_and_not_empty(where: str, error: str) -> None:
    stand_in = failing(where, no(400, error))
    assert isinstance(told(stand_in), Refused)
    assert len([path for path, _ in stand_in.asked if re.fullmatch(where, path)]) == 1


def test_a_301_is_a_matter_of_configuration() -> None:
    with on_stage(failing(".*", no(301, "PERMANENTLY_MOVED"))) as stage:
        outcome = stage.tell(instruction(Right.ERASURE))
        assert isinstance(outcome, Refused)
        assert outcome.reason == MOVED
        with pytest.raises(ProcessorUnreachable) as caught:
            stage.connector.probe()
        assert caught.value.message.startswith(f"Eventbrite: {MOVED}")


def test_every_path_ends_with_a_slash_and_the_token_is_in_no_query() -> None:
    stand_in = vendor()
    with on_stage(stand_in) as stage:
        for right in Right:
            stage.tell(instruction(right))
            stage.read_back(instruction(right))
        stage.connector.probe()
    assert all(path.endswith("/") and "token" not in query for path, query in stand_in.asked)


@pytest.mark.parametrize("broken", [{"answers"}, {"answers", "survey_responses"}, {"refund_requests"}])
def test_a_failed_expansion_is_read_without_it_and_a_part_that_stays_away_is_unknown(broken: set[str]) -> None:
    stand_in = vendor()
    with on_stage(stand_in) as stage:
        stage.tell(instruction(Right.ERASURE))
        stand_in.broken = broken
        assert isinstance(stage.read_back(instruction(Right.ERASURE)), Contradicts)
        stand_in.as_a_person_there_does(instruction(Right.ERASURE))
        finding = stage.read_back(instruction(Right.ERASURE))
        assert isinstance(finding, CannotTell)
        assert finding.later
        stand_in.broken = set()
        assert isinstance(stage.read_back(instruction(Right.ERASURE)), AsAsked)


def test_parts_that_only_fail_together_are_read_one_by_one() -> None:
    @dataclass
    class Together(StandIn):
        def answer(self, request: requests.PreparedRequest) -> Said:
            if "," in unquote(urlsplit(request.url or "").query):
                return no(500, "EXPANSION_FAILED")
            return super().answer(request)

    held = vendor()
    stand_in = Together(held.orders, held.tickets)
    stand_in.tickets[0]["answers"] = [{"question": "Who comes?", "answer": "Me, Ada Canary"}]

    def erase_all_but_the_answer(one: StandIn) -> None:
        one.as_a_person_there_does(instruction(Right.ERASURE))

    assert isinstance(after(stand_in, Right.ERASURE, erase_all_but_the_answer), Contradicts)
    stand_in.tickets[0]["answers"] = []
    with on_stage(stand_in) as stage:
        stand_in.orders[0]["email"] = OLD
        stage.tell(instruction(Right.ERASURE))
        stand_in.orders[0]["email"] = None
        assert isinstance(stage.read_back(instruction(Right.ERASURE)), AsAsked)


# --- the rate header: two buckets


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        ("token:ABC 21/2000 reset=1651s, key:XYZ 21/2000 reset=1651s", None),
        ("token:ABC 1950/2000 reset=600s, key:XYZ 21/2000 reset=1651s", 600),
        ("token:ABC 21/2000 reset=600s, key:XYZ 1999/2000 reset=1651s", 1651),
        ("token:ABC 2000/2000 reset=600s, key:XYZ 2000/2000 reset=1651s", 1651),
        ("token:ABC 2000/2000 reset=999999999s", 86_400),
        ("nonsense", None),
    ],
)
def test_the_tighter_bucket_stops_us_before_it_is_used_up(header: str, wait: int | None) -> None:
    @dataclass
    class Metered(StandIn):
        def answer(self, request: requests.PreparedRequest) -> Said:
            reply = super().answer(request)
            return reply._replace(headers={**reply.headers, "X-Rate-Limit": header})

    held = vendor()
    with on_stage(Metered(held.orders, held.tickets)) as stage:
        outcome = stage.tell(instruction(Right.ERASURE))
        if wait is None:
            handed(outcome)
            return
        assert isinstance(outcome, Retryable)
        assert (outcome.busy, outcome.retry_after) == (True, timedelta(seconds=wait))
        assert stage.calls() == 1
        stage.tell(instruction(Right.ERASURE, reference="ref-2"))
        assert stage.calls() == 1, "it holds for the whole account"
        stage.clock.seconds += wait
        stage.tell(instruction(Right.ERASURE))
        assert stage.calls() == 2


@pytest.mark.parametrize("status", [429, 503])
def test_a_limit_without_a_time_takes_the_time_from_the_rate_header(status: int) -> None:
    header = {"X-Rate-Limit": "token:ABC 2001/2000 reset=1651s, key:XYZ 3/2000 reset=20s"}
    outcome = told(failing(ORDER_LIST, no(status, "HIT_RATE_LIMIT", **header)))
    assert isinstance(outcome, Retryable)
    assert (outcome.busy, outcome.retry_after) == (True, timedelta(seconds=1651))


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_time_that_the_answer_names_itself_is_the_one_that_counts(status: int) -> None:
    header = {"X-Rate-Limit": "token:ABC 2001/2000 reset=1651s", "Retry-After": "7"}
    outcome = told(failing(ORDER_LIST, no(status, "INTERNAL_ERROR", **header)))
    assert isinstance(outcome, Retryable)
    assert outcome.retry_after == timedelta(seconds=7)


def test_a_day_and_hour_that_the_answer_names_counts_from_now() -> None:
    at = format_datetime(NOW + timedelta(minutes=3), usegmt=True)
    outcome = told(failing(ORDER_LIST, no(503, "INTERNAL_ERROR", **{"Retry-After": at})))
    assert isinstance(outcome, Retryable)
    assert outcome.retry_after == timedelta(minutes=3)


def test_a_fault_there_takes_no_time_from_the_rate_header() -> None:
    header = {"X-Rate-Limit": "token:ABC 2001/2000 reset=1651s"}
    outcome = told(failing(ORDER_LIST, no(500, "INTERNAL_ERROR", **header)))
    assert isinstance(outcome, Retryable)
    assert outcome.retry_after is None


# --- reading back an erasure


def gone(one: StandIn) -> None:
    one.orders.clear()
    del one.tickets[:2]


def blanked(one: StandIn) -> None:
    one.as_a_person_there_does(instruction(Right.ERASURE))


@pytest.mark.parametrize("how", [gone, blanked])
def test_an_erasure_is_verified_whether_records_are_gone_or_blanked(how: Callable[[StandIn], None]) -> None:
    assert isinstance(after(vendor(), Right.ERASURE, how), AsAsked)


def test_a_404_proves_nothing_while_nothing_else_can_be_read() -> None:
    def everything_gone(one: StandIn) -> None:
        one.orders.clear()
        one.tickets.clear()

    finding = after(vendor(), Right.ERASURE, everything_gone)
    assert isinstance(finding, CannotTell)
    assert (finding.reason, finding.later) == (NO_CONTROL, True)


@pytest.mark.parametrize(
    ("where", "how"),
    [
        (ONE_TICKET, no(403, "NOT_AUTHORIZED")),
        (ONE_ORDER, no(400, "ORDER_EXPIRED")),
        (r"/events/\w+/attendees/", no(404, "NOT_FOUND")),
        (ONE_ORDER, Said(404, {"Content-Type": "text/html"}, b"<html>")),
    ],
)
def test_lost_access_is_never_taken_for_an_erasure(where: str, how: Said) -> None:
    stand_in = failing(where, how)
    stand_in.how = None
    with on_stage(stand_in) as stage:
        stage.tell(instruction(Right.ERASURE))
        gone(stand_in)
        stand_in.how = how
        finding = stage.read_back(instruction(Right.ERASURE))
        assert isinstance(finding, CannotTell)
        assert finding.later


@pytest.mark.parametrize(
    ("where", "how"),
    [
        (ORDER_LIST, no(403, "NOT_AUTHORIZED")),
        (r"/users/me/organizations/", said(200, {"pagination": {"has_more_items": False}, "organizations": []})),
    ],
)
def test_a_read_back_under_a_token_whose_role_ended_stops_the_account(where: str, how: Said) -> None:
    stand_in = failing(where, how)
    stand_in.how = None
    with on_stage(stand_in) as stage:
        stage.tell(instruction(Right.ERASURE))
        gone(stand_in)
        stand_in.how = how
        with pytest.raises(CredentialsRejected):
            stage.read_back(instruction(Right.ERASURE))


@pytest.mark.parametrize(
    "still",
    [
        lambda one: one.tickets[0]["profile"].update(email=OLD.lower()),
        lambda one: one.tickets[0]["profile"].update(name="ADA  Canary"),
        lambda one: one.tickets[0]["profile"].update(first_name="Ada", last_name="Canary"),
        lambda one: one.tickets[0]["profile"].update(cell_phone="07700 900 123"),
        lambda one: one.tickets[1].update(answers=[{"question": "?", "answer": f"write to {OLD}."}]),
        lambda one: one.tickets[1].update(survey_responses={"q1": "Ada Canary, and two more"}),
        lambda one: one.orders[0].update(refund_requests=[{"from_name": "Ada Canary", "message": ""}]),
        lambda one: one.orders[0].update(email=OLD),
        lambda one: one.tickets[0].update(notes=[{"text": "Mrs Ada Canary called"}]),
        lambda one: one.tickets[1].update(status="Deleted", refunded=True, profile={"email": OLD}),
    ],
)
def test_a_known_value_anywhere_in_a_record_contradicts_an_erasure(still: Callable[[StandIn], None]) -> None:
    def all_but(one: StandIn) -> None:
        blanked(one)
        still(one)

    assert isinstance(after(vendor(), Right.ERASURE, all_but, phone="+44 7700 900123"), Contradicts)


@pytest.mark.parametrize("name", ["Ada", "Step", "Needs"])
def test_words_of_the_organiser_and_parts_of_other_words_are_not_the_person(name: str) -> None:
    def with_other_words(one: StandIn) -> None:
        blanked(one)
        one.tickets[0] |= {"ticket_class_name": f"{name} Day", "notes": [{"text": "Adamant, needsless, steppe"}]}
        one.tickets[0]["answers"] = [{"question": f"{name}?", "answer": "no"}]
        one.tickets[1]["answers"] = []

    assert isinstance(after(vendor(), Right.ERASURE, with_other_words, name=name), AsAsked)


def test_a_cancelled_or_refunded_ticket_is_not_an_erasure() -> None:
    def refunded(one: StandIn) -> None:
        for row in one.tickets[:2]:
            row |= {"cancelled": True, "refunded": True, "status": "Deleted"}
        one.orders.clear()

    assert isinstance(after(vendor(), Right.ERASURE, refunded), Contradicts)


# --- reading back a rectification


def corrected(one: StandIn) -> None:
    one.as_a_person_there_does(instruction(Right.RECTIFICATION))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda one: one.orders[0].update(email=OLD),
        lambda one: one.tickets[0]["profile"].update(email=OLD),
        lambda one: one.tickets[1]["profile"].update(first_name="Ada"),
        lambda one: one.tickets[1]["profile"].update(email=None),
        lambda one: one.tickets[0].update(answers=[{"question": "?", "answer": f"reach me at {OLD}"}]),
        lambda one: one.orders[0].update(name="Ada Canary"),
    ],
)
def test_an_old_value_or_a_missing_new_one_contradicts_a_rectification(wrong: Callable[[StandIn], None]) -> None:
    def all_but(one: StandIn) -> None:
        corrected(one)
        wrong(one)

    assert isinstance(after(vendor(), Right.RECTIFICATION, corrected), AsAsked)
    assert isinstance(after(vendor(), Right.RECTIFICATION, all_but), Contradicts)


def test_records_that_are_gone_are_no_rectification() -> None:
    finding = after(vendor(), Right.RECTIFICATION, gone)
    assert isinstance(finding, CannotTell)
    assert (finding.reason, finding.later) == (NO_LONGER_HELD, False)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"company": "Kew"}, AsAsked),
        ({"company": ""}, Contradicts),
        ({"company": "Other"}, Contradicts),
        ({"CITY": "York"}, CannotTell),
        ({"CITY": ""}, AsAsked),
        ({"company": "kew "}, AsAsked),
        ({"birth_date": "31/12/1990"}, AsAsked),
        ({"birth_date": "1990-12-30"}, Contradicts),
        ({"birth_date": "01/02/1990"}, Contradicts),
        ({"joined": "01/02/1990"}, CannotTell),
        ({"home": {"city": "Kent"}}, AsAsked),
        ({"home": {"city": "Leeds"}}, Contradicts),
        ({"HOME": {"city": "Kent"}}, AsAsked),
        ({"HOME": {"city": "Leeds"}}, CannotTell),
    ],
)
def test_a_field_that_the_vendor_has_is_compared_as_what_it_is_and_another_is_not_called_right(
    fields: dict[str, FieldValue], expected: type[Finding]
) -> None:
    held = {"company": "Kew", "birth_date": "1990-12-31", "joined": "1990-02-01", "home": {"city": "Kent"}}
    stand_in = StandIn(tickets=[ticket(1, profile=held), neighbour()])
    assert isinstance(after(stand_in, Right.RECTIFICATION, lambda _: None, changes=Changes(fields=fields)), expected)


def test_a_name_that_came_as_the_new_one_is_not_taken_for_the_old_one() -> None:
    changes = Changes(last_name="Kingcanary")

    def married(one: StandIn) -> None:
        for row in one.ours():
            row.get("profile", row).update(last_name="Kingcanary", name="Ada Kingcanary")

    assert isinstance(after(vendor(), Right.RECTIFICATION, married, changes=changes, name="Ada Kingcanary"), AsAsked)
    assert isinstance(after(vendor(), Right.RECTIFICATION, married, changes=changes, name="Ada Canary"), AsAsked)
    assert isinstance(after(vendor(), Right.RECTIFICATION, lambda _: None, changes=changes), Contradicts)


# --- reading back an opt-out, and a restriction


def preferences(listed: object, opted_in: object) -> Callable[[StandIn], None]:
    def change(one: StandIn) -> None:
        for row in one.ours():
            row["contact_list_preferences"] = {"has_contact_list": listed, "has_opted_in": opted_in}

    return change


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (preferences(False, False), AsAsked),
        (preferences(True, False), CannotTell),
        (preferences(None, None), CannotTell),
        (lambda one: one.tickets[0].pop("contact_list_preferences"), CannotTell),
        (gone, CannotTell),
    ],
)
def test_an_opt_out_is_seen_in_the_preferences_and_nowhere_else(
    change: Callable[[StandIn], object], expected: type[Finding]
) -> None:
    assert isinstance(after(vendor(), Right.OPT_OUT, change), expected)


def test_somebody_still_subscribed_has_48_hours_and_is_contradicted_then() -> None:
    with on_stage(vendor()) as stage:
        stage.tell(instruction(Right.OPT_OUT))
        for hours, expected in ((0, CannotTell), (24, CannotTell), (47, CannotTell), (48, Contradicts)):
            stage.clock.seconds = 1000.0 + hours * 3600
            finding = stage.read_back(instruction(Right.OPT_OUT))
            assert isinstance(finding, expected)
            assert isinstance(finding, Contradicts) or (finding.reason, finding.later) == (UNSUBSCRIBING, True)


def test_a_restriction_is_never_read_back_and_its_lifting_is_asked_for_in_the_same_way() -> None:
    finding = after(vendor(), Right.RESTRICTION, gone)
    assert isinstance(finding, CannotTell)
    assert (finding.reason, finding.later) == (NO_FLAG, False)
    handed(told(vendor(), Right.RESTRICTION, lifted=Lifted(date(2026, 11, 19), "letter")))


# --- organisations and settings


def test_a_configured_organisation_is_the_only_one_searched() -> None:
    class One(Only):
        section: ClassVar[Mapping[str, object]] = {"token": SECRET, "organizations": [OTHER_ORG]}

    stand_in = StandIn([order(1), order(2, organization=OTHER_ORG)], [neighbour()], (ORG, OTHER_ORG))
    with One().before(stand_in) as stage:
        (found,) = handed(stage.tell(instruction(Right.ERASURE))).references
        assert found.startswith("order 440002")
        assert stage.connector.probe().lists == (f"Gardens {OTHER_ORG} ({OTHER_ORG})",)


@pytest.mark.parametrize("shown", [(), (ORG,)])
def test_a_configured_organisation_that_the_token_does_not_show_is_never_nothing(shown: tuple[str, ...]) -> None:
    class One(Only):
        section: ClassVar[Mapping[str, object]] = {"token": SECRET, "organizations": [OTHER_ORG]}

    with One().before(StandIn(organizations=shown)) as stage:
        for act in (lambda: stage.tell(instruction(Right.ERASURE)), stage.connector.probe):
            with pytest.raises(CredentialsRejected) as caught:
                act()
            assert NO_ORGANISATION in str(caught.value)


def test_a_token_that_shows_no_organisation_proves_nothing() -> None:
    with pytest.raises(CredentialsRejected) as caught:
        told(StandIn(organizations=()))
    assert NO_ORGANISATION in str(caught.value)


def test_probing_names_the_organisations_and_counts_the_tickets() -> None:
    stand_in = vendor()
    stand_in.organizations = (ORG, OTHER_ORG)
    stand_in.tickets.append(ticket(7, status="Deleted", organization=OTHER_ORG))
    with on_stage(stand_in) as stage:
        account = stage.connector.probe()
    assert (account.title, account.contacts) == (f"Gardens {ORG}, Gardens {OTHER_ORG}", 4)
    assert account.lists == (f"Gardens {ORG} ({ORG})", f"Gardens {OTHER_ORG} ({OTHER_ORG})")


@pytest.mark.parametrize(
    "section",
    [
        {},
        {"token": ""},
        {"token": f"{SECRET} {SECRET}"},
        {"token": SECRET, "organizations": ["https://www.eventbrite.com/o/1"]},
        {"token": SECRET, "base_url": "http://evil.example/v3"},
        {"token": SECRET, "base_url": "https://user@evil.example/v3"},
        {"token": SECRET, "else": 1},
    ],
)
def test_wrong_settings_are_refused_without_repeating_them(section: dict[str, object]) -> None:
    with pytest.raises(ValidationError) as caught:
        EventbriteSettings.model_validate(section)
    assert_clean(str(caught.value))


def kit(*, rehearsal: bool) -> Kit:
    clock = Hands()
    return Kit(HttpClient(clock), clock, pseudonym, OpenShelf(), rehearsal=rehearsal)


def test_a_foreign_address_needs_a_rehearsal() -> None:
    section = {"token": SECRET, "base_url": "http://127.0.0.1:9104"}
    elsewhere = built_in_a_rehearsal_only(Eventbrite, section, "Eventbrite")
    assert isinstance(elsewhere, Eventbrite)
    assert elsewhere.base == "http://127.0.0.1:9104/v3"


def test_a_reason_is_never_told_twice_under_two_names() -> None:
    named = [*vars(module).items(), *vars(calls).items()]
    reasons = [value for name, value in named if name.isupper() and isinstance(value, str) and " " in value]
    assert len(reasons) == len(set(reasons))
