"""A list's webhook is a hint: what of it is read, and what the list itself must say before it counts."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from dpsync.connector import OptOutHint
from dpsync.connectors.campaign_monitor import CampaignMonitor
from dpsync.connectors.campaign_monitor.observed import hints_in
from dpsync.errors import PayloadInvalid
from dpsync.vendor.errors import Ended
from tests.connectors.contract import OLD, Hands, Said
from tests.connectors.test_campaign_monitor import NEWS, ONE, SHOP, TWO, StandIn, book, on_stage, person, said, vendor

NOW = Hands().now()
HINT = OptOutHint(OLD, NEWS)


def event(**more: object) -> dict[str, object]:
    about = {"Type": "Deactivate", "Date": "2026-11-20 09:41:00", "State": "Unsubscribed", "EmailAddress": OLD}
    return {**about, "Name": "Ada \u0000", "CustomFields": [{"Key": "age", "Value": 1.5}], **more}


def body(*events: object, **more: object) -> bytes:
    return json.dumps({"Events": list(events), "ListID": NEWS, **more}).encode()


def test_who_unsubscribed_or_complained_is_a_hint_and_every_other_event_is_none() -> None:
    assert hints_in(body(event())) == (HINT,)
    assert hints_in(body(event(State="Spam"))) == (HINT,)
    assert hints_in(body(event(EmailAddress=f" {OLD} "))) == (HINT,)
    assert hints_in(body(event(), event(Type="Subscribe"), event())) == (HINT,), "each once"
    assert hints_in(body(event(Type="Subscribe"), event())) == (HINT,), "whatever came before"
    for state in ("Bounced", "Deleted", "Active", "", None):
        assert hints_in(body(event(State=state))) == ()
    for kind in ("Subscribe", "Update", "", None):
        assert hints_in(body(event(Type=kind))) == ()
    assert hints_in(body()) == ()
    for odd in (["Unsubscribed"], {"Unsubscribed": 1}, 7):
        assert hints_in(body(event(State=odd))) == ()
    assert hints_in(b'{"Events": [], "ListID": ""}') == ()


def test_a_thousand_at_once_are_a_thousand_hints() -> None:
    many = [event(EmailAddress=f"p{number}@example.org") for number in range(1000)]
    assert len(hints_in(body(*many))) == 1000


@pytest.mark.parametrize(
    ("raw", "where"),
    [
        (b"", ""),
        (b"type=unsubscribe", ""),
        (b"[]", "Events"),
        (b"{}", "Events"),
        (b'{"Events": {}}', "Events"),
        (body("nobody"), "Events"),
        (body(event(EmailAddress=None)), "Events[].EmailAddress"),
        (body(event(EmailAddress="nobody")), "Events[].EmailAddress"),
        (body(event(), ListID="../x"), "ListID"),
        (body(event(), ListID=None), "ListID"),
        (b'{"Events": [], "Events": []}', ""),
    ],
)
def test_a_delivery_of_another_form_is_named_and_never_quoted(raw: bytes, where: str) -> None:
    with pytest.raises(PayloadInvalid) as caught:
        hints_in(raw)
    assert caught.value.field == where
    assert "nobody" not in str(caught.value)


@dataclass
class Showing(StandIn):
    """Shows each record with a date, and the account's clock `ahead` of ours."""

    date: object = "2026-11-20 19:41:00"
    ahead: timedelta = timedelta(hours=10, seconds=3)
    parts: Mapping[str, object] = field(default_factory=dict)

    def answer(self, request: requests.PreparedRequest) -> Said:
        found = super().answer(request)
        if "/systemdate" in str(request.url):
            return said(200, {"SystemDate": f"{NOW + self.ahead:%Y-%m-%d %H:%M:%S}", **self.parts})
        if "/subscribers/" not in str(request.url) or found.status != 200:
            return found
        return said(200, {**json.loads(found.body), "Date": self.date})


def looked(stand_in: Showing, hint: OptOutHint = HINT, **settings: object) -> datetime | None:
    with on_stage(stand_in) as stage:
        one = stage.connector
        assert isinstance(one, CampaignMonitor)
        made = CampaignMonitor(one._settings.model_copy(update=settings), one._kit, sleep=lambda _: None)
        return made.opted_out_at(hint)


def showing(state: str = "Unsubscribed") -> Showing:
    return Showing(vendor(book(person(state=state))).clients)


def test_the_list_itself_says_since_when_by_the_clock_of_the_account() -> None:
    assert looked(showing()) == datetime(2026, 11, 20, 9, 41, tzinfo=UTC)
    behind = showing()
    behind.ahead = timedelta(hours=-3, minutes=-30, seconds=-4)
    assert looked(behind) == datetime(2026, 11, 20, 23, 11, tzinfo=UTC)


def test_the_furthest_zone_is_still_one_and_what_is_further_is_none() -> None:
    there = showing()
    there.ahead = timedelta(hours=16)
    assert looked(there) == datetime(2026, 11, 20, 3, 41, tzinfo=UTC)
    there.ahead = timedelta(hours=16, minutes=15)
    with pytest.raises(Ended):
        looked(there)


def test_an_address_is_asked_for_as_it_was_told_and_in_small_letters() -> None:
    there = showing()
    there.clients[ONE][NEWS].people.clear()
    with on_stage(there) as stage:
        assert isinstance(stage.connector, CampaignMonitor)
        assert stage.connector.opted_out_at(OptOutHint(OLD.upper(), NEWS)) is None
        asked = [
            parse_qs(urlsplit(str(one.url)).query)["email"] for one in stage.sent if "/subscribers/" in str(one.url)
        ]
    assert asked == [[OLD.upper()], [OLD.lower()]]


@pytest.mark.parametrize("state", ["Spam", "Suppressed"])
def test_who_complained_or_was_suppressed_left_too(state: str) -> None:
    assert looked(showing(state)) is not None


def test_who_is_there_otherwise_or_not_at_all_did_not_leave() -> None:
    for state in ("Active", "Unconfirmed", "Bounced", "Deleted"):
        assert looked(showing(state)) is None
    assert looked(showing(), OptOutHint("nobody@example.org", NEWS)) is None


def test_of_the_clients_that_a_section_names_alone_anything_is_heard() -> None:
    assert looked(showing(), clients=(ONE,)) is not None
    assert looked(showing(), clients=(TWO,)) is None
    with pytest.raises(Ended):
        looked(showing(), OptOutHint(OLD, "b" * 32))
    assert looked(showing(), OptOutHint(OLD, SHOP), clients=(ONE,)) is None


@pytest.mark.parametrize("date", [None, "", "soon", 7])
def test_a_record_without_a_time_is_not_read_as_one(date: object) -> None:
    there = showing()
    there.date = date
    with pytest.raises(Ended):
        looked(there)


@pytest.mark.parametrize("parts", [{"SystemDate": "soon"}, {"SystemDate": "2020-01-01 00:00:00"}])
def test_a_clock_that_no_zone_explains_is_not_believed(parts: dict[str, object]) -> None:
    there = showing()
    there.parts = parts
    with pytest.raises(Ended):
        looked(there)
