"""The webhooks of an audience at Mailchimp: the shared contract, and what is peculiar to this vendor."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest
import requests

from dpsync.connector import Retryable, VendorHook
from dpsync.connectors.mailchimp import Mailchimp
from dpsync.connectors.mailchimp.calls import NO_AUDIENCE
from dpsync.connectors.mailchimp.hooks import DEAF, NO_HOOK, URL_REFUSED, WANTED
from dpsync.errors import ProcessorUnreachable
from dpsync.vendor.errors import BLOCKED, UNREADABLE, Ended
from tests.connectors.contract import HttpStage, Said
from tests.connectors.hooks_contract import OTHER_URL, SECRET_URL, HooksContract, ended
from tests.connectors.test_mailchimp import Only, StandIn, on_stage, problem, said

WEBHOOKS = re.compile(r"/3\.0/lists/(\w+)/webhooks(?:/(\w+))?")
DEAD: Mapping[str, Any] = {"events": {"unsubscribe": False}, "sources": {"user": True, "admin": True, "api": True}}


@dataclass
class Hooked(StandIn):
    """Keeps webhooks as its reference says, and calls none. `change`: of a list of webhooks; `about`: the audience."""

    kept: dict[str, dict[str, Any]] = field(default_factory=dict)
    change: Mapping[str, object] = field(default_factory=dict)
    about: Mapping[str, object] | None = None

    def hooks(self) -> list[tuple[str, str, bool]]:
        return [(one["list_id"], one["url"], one["events"]["unsubscribe"]) for one in self.kept.values()]

    def add_hook(self, place: str, url: str, *, tells: bool) -> None:
        self.put(place, {"url": url, **(WANTED if tells else DEAD)})

    def put(self, place: str, body: Mapping[str, object], name: str = "") -> dict[str, Any]:
        name = name or f"{len(self.kept) + 1:010x}"
        one = self.kept.setdefault(name, {"id": name, "list_id": place, "signing_enabled": False})
        one.update(body)
        return one

    def answer(self, request: requests.PreparedRequest) -> Said:
        found = WEBHOOKS.fullmatch(request.path_url.partition("?")[0])
        if found is None and self.about is not None and "/lists/list1?" in request.path_url:
            return said(200, {"id": "list1", **self.about})
        if found is None:
            return super().answer(request)
        place, name = found.groups()
        if place not in self.lists or (name and name not in self.kept):
            return problem(404, "Resource Not Found")
        if request.method == "GET":
            rows = [one for one in self.kept.values() if one["list_id"] == place]
            return said(200, {"webhooks": rows, "list_id": place, "total_items": len(rows), **self.change})
        body = json.loads(request.body or b"{}")
        if "refused" in body["url"]:
            return problem(400, "Invalid Resource", errors=[{"field": "url", "message": "HTTP Code: 404"}])
        assert {"subscribe", "unsubscribe", "profile", "cleaned", "upemail", "campaign"} == set(body["events"])
        return said(200, self.put(place, body, name or ""))


class TestMailchimpHooks(HooksContract):
    http = Only
    hook_places: ClassVar[tuple[str, ...]] = ("list1", "list2")

    def hooked_vendor(self) -> Hooked:
        return Hooked({"list1": {}, "list2": {}})


def looking_after(stage: HttpStage) -> Mailchimp:
    assert isinstance(stage.connector, Mailchimp)
    return stage.connector


def test_only_unsubscribes_are_asked_for_and_not_what_the_api_did() -> None:
    vendor = Hooked({"list1": {}})
    with on_stage(vendor) as stage:
        looking_after(stage).register_hook("list1", SECRET_URL, None)
    (one,) = vendor.kept.values()
    assert [name for name, wanted in one["events"].items() if wanted] == ["unsubscribe"]
    assert [name for name, wanted in one["sources"].items() if wanted] == ["user", "admin"]


def test_where_the_vendor_refuses_the_address_it_says_what_it_wants() -> None:
    vendor = Hooked({"list1": {}})
    refused = SECRET_URL.replace("newsletter", "refused")
    assert ended(on_stage(vendor), lambda one: one.register_hook("list1", refused, None)) == URL_REFUSED


def test_an_audience_or_a_webhook_that_is_gone_is_named() -> None:
    vendor = Hooked({"list1": {}})
    assert ended(on_stage(vendor), lambda one: one.register_hook("list9", SECRET_URL, None)) == NO_AUDIENCE
    gone = VendorHook("0a1b2c", SECRET_URL)
    assert ended(on_stage(vendor), lambda one: one.register_hook("list1", SECRET_URL, gone)) == NO_HOOK


def test_it_has_no_call_that_sends_one() -> None:
    with on_stage(Hooked({"list1": {}})) as stage:
        assert looking_after(stage).try_hook("list1", VendorHook("0a1b2c", SECRET_URL)) is None
        assert stage.sent == []


@pytest.mark.parametrize("source", ["user", "admin"])
def test_one_that_hears_only_a_part_is_deaf(source: str) -> None:
    vendor = Hooked({"list1": {}})
    vendor.add_hook("list1", SECRET_URL, tells=True)
    (one,) = vendor.kept.values()
    one["sources"] = {**one["sources"], source: False}
    with on_stage(vendor) as stage:
        (place,) = looking_after(stage).hooked()
    assert [hook.deaf for hook in place.hooks] == [DEAF]
    assert "dpsync.example.org" not in repr(place)


ROW = {"id": "0a1b2c", "url": OTHER_URL, "events": {}, "sources": {}}


@pytest.mark.parametrize(
    "change",
    [
        {"list_id": "list2"},
        {"webhooks": None},
        {"webhooks": [ROW]},
        {"webhooks": [], "total_items": 1},
        *({"webhooks": [{**ROW, name: None}], "total_items": 1} for name in ROW),
        {"webhooks": [{**ROW, "id": "../x"}], "total_items": 1},
    ],
    ids=lambda change: json.dumps(change)[:40],
)
def test_what_is_not_of_the_documented_shape_is_not_known(change: dict[str, object]) -> None:
    assert ended(on_stage(Hooked({"list1": {}}, change=change)), lambda one: list(one.hooked())) == UNREADABLE


@pytest.mark.parametrize(("answer", "title"), [({"name": "News"}, "News"), ({}, "")], ids=["named", "nameless"])
def test_an_audience_is_shown_by_its_name_and_nothing_else_of_it_is_asked_for(
    answer: dict[str, object], title: str
) -> None:
    with on_stage(Hooked({"list1": {}}, about=answer)) as stage:
        (place,) = looking_after(stage).hooked()
        (asked,) = [one.url for one in stage.sent if "/lists/list1?" in str(one.url)]
    assert (place.place, place.title) == ("list1", title)
    assert str(asked).endswith("?fields=id%2Cname")


def test_an_answer_about_another_audience_is_not_the_vendors() -> None:
    assert ended(on_stage(Hooked({"list1": {}}, about={"id": "list2"})), lambda one: list(one.hooked())) == BLOCKED


def test_an_id_alone_is_no_yes_where_no_audience_was_asked_for() -> None:
    nothing = Hooked({"list1": {}})
    with Only().before(nothing, trouble=said(200, {"id": ""})) as stage, pytest.raises(ProcessorUnreachable) as caught:
        stage.connector.probe()
    assert BLOCKED in caught.value.message


@pytest.mark.parametrize("otherwise", [{"url": OTHER_URL}, {"events": {"unsubscribe": False}}], ids=["address", "deaf"])
def test_a_yes_to_another_webhook_than_was_asked_for_leaves_it_in_doubt(otherwise: dict[str, object]) -> None:
    made = {"id": "0a1b2c", "list_id": "list1", "url": SECRET_URL, **WANTED, **otherwise}
    with Only().before(Hooked({"list1": {}}), trouble=said(200, made)) as stage, pytest.raises(Ended) as caught:
        looking_after(stage).register_hook("list1", SECRET_URL, None)
    assert isinstance(caught.value.outcome, Retryable)
    assert caught.value.outcome.doubtful
