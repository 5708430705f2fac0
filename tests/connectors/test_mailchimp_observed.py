"""An audience's webhook is a hint: what of it is read, and what the audience itself must say before it counts."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import cast
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import requests

from dpsync.connector import OptOutHint
from dpsync.connectors.mailchimp import Mailchimp
from dpsync.connectors.mailchimp.observed import MOST_FIELDS, hints_in
from dpsync.errors import PayloadInvalid
from dpsync.vendor.errors import Ended
from tests.connectors.contract import OLD, Said
from tests.connectors.test_mailchimp import StandIn, md5, on_stage, person, said

FORM = {
    "type": "unsubscribe",
    "fired_at": "2026-11-20 08:55:00",
    "data[action]": "unsub",
    "data[email]": OLD,
    "data[list_id]": "list1",
    "data[merges][FNAME]": "",
}
HINT = OptOutHint(OLD, "list1")


def body(**changed: str | None) -> bytes:
    form = {**FORM, **{f"data[{name[5:]}]" if name.startswith("data_") else name: one for name, one in changed.items()}}
    return urlencode({name: one for name, one in form.items() if one is not None}).encode()


def test_who_unsubscribed_is_a_hint_and_every_other_event_is_none() -> None:
    assert hints_in(body()) == (HINT,)
    assert hints_in(body(data_action=None)) == (HINT,), "an older webhook names no action"
    assert hints_in(body(data_email=f" {OLD} ")) == (HINT,)
    assert hints_in(body(data_action="delete")) == ()
    for kind in ("subscribe", "profile", "upemail", "cleaned", "campaign", "", None):
        assert hints_in(body(type=kind)) == ()
    assert hints_in(b"") == ()


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        (body(data_email=None), "data[email]"),
        (body(data_email="nobody"), "data[email]"),
        (body(data_list_id=None), "data[list_id]"),
        (body(data_list_id="../list1"), "data[list_id]"),
        (b"\xff\xfe", ""),
        (body() + b"&x=1" * MOST_FIELDS, ""),
    ],
)
def test_a_delivery_of_another_form_is_named_and_never_quoted(raw: bytes, field: str) -> None:
    with pytest.raises(PayloadInvalid) as caught:
        hints_in(raw)
    assert caught.value.field == field
    assert "nobody" not in str(caught.value)


def test_a_form_may_have_as_many_fields_as_an_audience_has() -> None:
    assert hints_in(body() + b"&x=1" * (MOST_FIELDS - len(FORM))) == (HINT,)


def test_of_the_audiences_that_a_section_names_alone_anything_is_heard() -> None:
    with on_stage(StandIn({"list1": {}})) as stage:
        whole = cast("Mailchimp", stage.connector)
        named = [
            Mailchimp(whole._settings.model_copy(update={"audiences": audiences}), whole._kit)
            for audiences in ((), ("list1", "list2"), ("list2",))
        ]
    assert [one.opt_out_hints(body()) for one in named] == [(HINT,), (HINT,), ()]
    assert whole.receive({}, body()) == ()


@dataclass
class Showing(StandIn):
    """Shows the contact with some parts changed; None leaves one out."""

    parts: Mapping[str, object] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def answer(self, request: requests.PreparedRequest) -> Said:
        found = super().answer(request)
        self.asked.append(str(request.url))
        if "/members/" not in str(request.url) or found.status != 200:
            return found
        content = {**json.loads(found.body), "last_changed": "2026-11-20T08:55:00+00:00", **self.parts}
        return said(200, {name: value for name, value in content.items() if value is not None})


def looked(
    parts: Mapping[str, object] = MappingProxyType({}),
    *,
    place: str = "list1",
    address: str = OLD,
    status: str = "unsubscribed",
) -> datetime | None:
    stand_in = Showing({"list1": person(OLD, "list1", status)}, parts=parts)
    with on_stage(stand_in) as stage:
        return cast("Mailchimp", stage.connector).opted_out_at(OptOutHint(address, place))


def test_the_audience_itself_says_since_when_the_contact_is_unsubscribed() -> None:
    assert looked() == datetime(2026, 11, 20, 8, 55, tzinfo=UTC)
    for status in ("subscribed", "archived", "cleaned", "pending", "transactional"):
        assert looked(status=status) is None
    assert looked(address="nobody@example.org") is None


@pytest.mark.parametrize(
    "parts",
    [
        {"id": md5("other@example.org")},
        {"list_id": "list2"},
        {"last_changed": ""},
        {"last_changed": "soon"},
        {"last_changed": None},
    ],
)
def test_an_answer_about_somebody_else_or_of_no_time_is_not_read_as_one(parts: dict[str, object]) -> None:
    with pytest.raises(Ended):
        looked(parts)


def test_an_audience_that_is_not_there_is_no_word_about_the_person() -> None:
    with pytest.raises(Ended):
        looked(place="list9")


def test_only_what_is_needed_is_asked_for() -> None:
    stand_in = Showing({"list1": person(OLD, "list1", "unsubscribed")})
    with on_stage(stand_in) as stage:
        cast("Mailchimp", stage.connector).opted_out_at(HINT)
    assert [parse_qs(urlsplit(one).query)["fields"] for one in stand_in.asked] == [["id,list_id,status,last_changed"]]
