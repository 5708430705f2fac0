"""The account's webhook is a hint: what of it is read, and what the contact itself must say before it counts."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote

import pytest

from dpsync.connector import OptOutHint
from dpsync.connectors.brevo import Brevo
from dpsync.connectors.brevo.observed import hints_in
from dpsync.errors import PayloadInvalid
from dpsync.vendor.errors import UNREADABLE, Ended
from tests.connectors.contract import OLD
from tests.connectors.test_brevo import StandIn, before, contact

HINT = OptOutHint(OLD, "account")
EVENT = {"id": 7, "camp_id": 1, "email": OLD, "campaign name": "News \u0000", "event": "unsubscribe", "ts": 1604933654}
AT = datetime(2026, 11, 20, 9, 41, tzinfo=UTC)
MODIFIED = AT + timedelta(days=3)


def body(**more: object) -> bytes:
    return json.dumps({**EVENT, **more}).encode()


def test_who_left_or_complained_is_a_hint_and_every_other_event_is_none() -> None:
    for name in ("unsubscribe", "unsubscribed", "spam"):
        assert hints_in(body(event=name)) == (HINT,)
    assert hints_in(body(email=f" {OLD} ")) == (HINT,)
    others = (
        "hard_bounce",
        "soft_bounce",
        "delivered",
        "opened",
        "click",
        "list_addition",
        "contact_updated",
        "",
        None,
    )
    for other in others:
        assert hints_in(body(event=other)) == ()
    assert hints_in(body(event="contact_deleted", email=[OLD])) == ()
    assert hints_in(b'{"event": "delivered"}') == ()
    assert hints_in(b"[]") == ()
    for odd in (["unsubscribe"], {"unsubscribe": 1}, 7):
        assert hints_in(body(event=odd)) == ()


def test_of_a_batch_each_is_a_hint_once() -> None:
    batch = [{**EVENT, "event": "delivered"}, EVENT, {**EVENT, "email": "p2@example.org"}, EVENT]
    assert hints_in(json.dumps(batch).encode()) == (HINT, OptOutHint("p2@example.org", "account"))


@pytest.mark.parametrize(
    ("raw", "where", "problem"),
    [
        (b"", "", "is not JSON in UTF-8"),
        (b"type=unsubscribe", "", "is not JSON in UTF-8"),
        (b'"unsubscribe"', "", "is not an event"),
        (b'["nobody"]', "", "is not an event"),
        (body(email=None), "email", "is not an e-mail address"),
        (body(email="nobody"), "email", "is not an e-mail address"),
        (body(email=[OLD]), "email", "is not an e-mail address"),
    ],
)
def test_a_delivery_of_another_form_is_named_and_never_quoted(raw: bytes, where: str, problem: str) -> None:
    with pytest.raises(PayloadInvalid) as caught:
        hints_in(raw)
    assert (caught.value.field, caught.value.problem) == (where, problem)


class Showing(StandIn):
    """Shows each contact with statistics, and when it was changed last."""

    shown: object = {}
    modified: object = MODIFIED.isoformat()

    def _answer(self, request: Any) -> Any:
        found = super()._answer(request)
        if found.status != 200 or "/contacts/attributes" in str(request.url):
            return found
        row = {**json.loads(found.body), "modifiedAt": self.modified, "statistics": self.shown}
        return found._replace(body=json.dumps(row).encode())


def showing(shown: object = None, *, blocked: bool = True) -> Showing:
    there = Showing([contact(OLD, emailBlacklisted=blocked)])
    there.shown = {} if shown is None else shown
    return there


def looked(there: Showing, hint: OptOutHint = HINT) -> datetime | None:
    with before(there) as stage:
        assert isinstance(stage.connector, Brevo)
        assert stage.connector.opt_out_hints(body()) == (HINT,)
        return stage.connector.opted_out_at(hint)


def times(*days: int) -> list[dict[str, object]]:
    return [{"campaignId": 1, "eventTime": (AT + timedelta(days=one)).isoformat()} for one in days]


@pytest.mark.parametrize("name", ["userUnsubscription", "adminUnsubscription"])
def test_the_contact_itself_says_since_when(name: str) -> None:
    assert looked(showing({"unsubscriptions": {name: times(0, 2, 1)}})) == AT + timedelta(days=2)


def test_a_complaint_is_a_wish_too_and_the_last_of_all_counts() -> None:
    assert looked(showing({"complaints": times(1)})) == AT + timedelta(days=1)
    both = {"complaints": times(4), "unsubscriptions": {"userUnsubscription": times(1), "adminUnsubscription": []}}
    assert looked(showing(both)) == AT + timedelta(days=4)


def test_whom_nothing_reaches_did_not_leave() -> None:
    assert looked(showing({"hardBounces": times(1)})) is None
    back = {"hardBounces": times(0, 2), "unsubscriptions": {"userUnsubscription": times(1)}}
    assert looked(showing(back)) is None, "they were written to again after they had left, so they had come back"
    left = {"hardBounces": times(1), "unsubscriptions": {"userUnsubscription": times(1)}}
    assert looked(showing(left)) == AT + timedelta(days=1)


@pytest.mark.parametrize("shown", [{}, None, {"unsubscriptions": None, "complaints": None}, {"hardBounces": []}])
def test_where_nothing_says_why_the_last_change_counts(shown: object) -> None:
    there = showing()
    there.shown = shown
    assert looked(there) == MODIFIED


def test_who_may_be_written_to_or_is_not_there_did_not_leave() -> None:
    assert looked(showing({"complaints": times(1)}, blocked=False)) is None
    sms = Showing([contact(OLD, smsBlacklisted=True)])
    assert looked(sms) is None
    assert looked(showing(), OptOutHint("nobody@example.org", "account")) is None


def test_an_address_is_asked_for_as_it_was_told_and_in_small_letters() -> None:
    with before(StandIn([])) as stage:
        assert isinstance(stage.connector, Brevo)
        assert stage.connector.opted_out_at(OptOutHint(OLD.upper(), "account")) is None
        asked = [unquote(str(one.url).rpartition("/")[2].partition("?")[0]) for one in stage.sent]
    assert asked == [OLD.upper(), OLD.lower()]


@pytest.mark.parametrize(
    "shown",
    [
        {"complaints": "none"},
        {"complaints": ["none"]},
        {"complaints": [{"eventTime": "soon"}]},
        {"hardBounces": [{}]},
        {"unsubscriptions": {"userUnsubscription": [{"eventTime": None}]}},
    ],
)
def test_statistics_of_another_form_are_not_read_as_none(shown: object) -> None:
    with pytest.raises(Ended) as caught:
        looked(showing(shown))
    assert caught.value.outcome.reason == UNREADABLE
    undated = showing()
    undated.modified = "soon"
    with pytest.raises(Ended):
        looked(undated)
