"""Who holds which ticket, read from lists, and from what webhooks name, one answer at a time."""

import json
from collections.abc import Mapping
from typing import Any, cast

from dpsync.address import normalised
from dpsync.connectors.eventbrite.calls import EventbriteCalls, Page, Row
from dpsync.connectors.eventbrite.index import Index
from tests.connectors.contract import OLD, OpenShelf, pseudonym
from tests.connectors.test_eventbrite import kit

WHO = pseudonym(normalised(OLD))


def ticket(number: int, email: str | None = OLD, **more: object) -> Row:
    return {"id": f"{number}", "event_id": "900", "profile": {"email": email}, **more}


class Answers:
    """Stands in for the calls: pages of a list in order (None: the place was lost), and records by their id."""

    def __init__(self, *pages: Page | None, **records: Row) -> None:
        self.pages, self.records = list(pages), records
        self.asked: list[tuple[object, ...]] = []

    def page(self, _key: str, _template: str, _names: Mapping[str, str], **params: str) -> Page | None:
        self.asked.append((params["status"], params["changed_since"], params["continuation"]))
        return self.pages.pop(0) if self.pages else Page((), "", 0)

    def record(self, kind: str, names: Mapping[str, str], parts: tuple[str, ...]) -> tuple[Row | None, bool]:
        self.asked.append((kind, dict(names), parts))
        return self.records.get(f"{kind}{names[kind]}"), True


def looked(answers: Answers, *hints: str) -> Mapping[str, str]:
    own = kit(rehearsal=True)
    for place, path in enumerate(hints):
        own.shelf.put(f"look/{place:02}", path)
    Index(own).look(cast("EventbriteCalls", answers))
    return cast("OpenShelf", own.shelf).kept


def test_a_ticket_without_an_address_or_an_order_is_kept_as_nobodys() -> None:
    kept = looked(
        Answers(order1={"id": "1", "attendees": [ticket(7), ticket(8, None), ticket(9, order_id="1")]}), "orders/1/"
    )
    assert kept["is/8"] == ""
    assert [place for place in kept if place.startswith("who/")] == [f"who/{WHO}/7", f"who/{WHO}/9"]
    assert json.loads(kept[f"who/{WHO}/7"]) == ["900", ""]
    assert json.loads(kept[f"who/{WHO}/9"]) == ["900", "1"]


def test_what_stands_in_the_place_of_an_address_and_is_none_is_nobodys() -> None:
    strange = {"id": "7", "event_id": "900", "profile": {"email": ["ada@example.org"]}}
    kept = looked(Answers(order1={"id": "1", "attendees": [strange]}), "orders/1/")
    assert kept["is/7"] == ""


def test_each_hint_is_read_once_and_what_was_read_already_keeps_no_other_waiting() -> None:
    answers = Answers(attendee7=ticket(7))
    kept = looked(answers, "", "orders/1/", "", "events/900/attendees/7/")
    assert answers.asked == [
        ("order", {"order": "1"}, ("attendees",)),
        ("attendee", {"event": "900", "attendee": "7"}, ()),
    ]
    assert {place: path for place, path in kept.items() if place.startswith("look/")} == {
        f"look/{place:02}": "" for place in range(4)
    }
    assert kept["is/7"] == WHO


def test_a_place_that_was_lost_is_read_again_from_the_first_page_since_the_same_time() -> None:
    shelf: dict[str, Any] = {"upto": "2026-11-20T09:00:00+00:00", "begun": "2026-11-20T10:00:00+00:00", "next": "t"}
    own = kit(rehearsal=True)
    own.shelf.put("index/55/attending", json.dumps(shelf))
    answers = Answers(None, Page((ticket(7),), "", 1))
    Index(own)._read(cast("EventbriteCalls", answers), "55", "attending")
    since = "2026-11-20T08:45:00Z"
    assert answers.asked == [("attending", since, "t"), ("attending", since, "")]
    run = json.loads(own.shelf.get("index/55/attending") or "")
    assert run["upto"] == "2026-11-20T10:00:00+00:00", "as far as the run that was cut had begun"
