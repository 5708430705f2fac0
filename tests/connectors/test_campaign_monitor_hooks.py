"""The webhooks of a list at Campaign Monitor: the shared contract, and what is peculiar to this vendor."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest
import requests

from dpsync.connector import VendorHook
from dpsync.connectors.campaign_monitor import CampaignMonitor
from dpsync.connectors.campaign_monitor.calls import NOT_OURS
from dpsync.connectors.campaign_monitor.hooks import DEAF, FAILED, GIVEN_UP, NO_HOOK, URL_REFUSED
from dpsync.vendor.errors import UNREADABLE, Ended
from tests.connectors.contract import HttpStage, Said
from tests.connectors.hooks_contract import SECRET_URL, HooksContract, ended
from tests.connectors.test_campaign_monitor import EVENTS, NEWS, SHOP, Only, StandIn, no, on_stage, said, vendor

WEBHOOKS = re.compile(r"/api/v3\.3/lists/([0-9a-f]{32})/webhooks(?:/(\w+))?(?:/(test|activate))?\.json")


@dataclass
class Hooked(StandIn):
    """Keeps webhooks as its reference says. `taken`: whether a test is; `altered`: of each row."""

    kept: dict[str, dict[str, Any]] = field(default_factory=dict)
    taken: bool = True
    altered: Mapping[str, object] = field(default_factory=dict)

    def hooks(self) -> list[tuple[str, str, bool]]:
        return [(one["place"], one["Url"], "Deactivate" in one["Events"]) for one in self.kept.values()]

    def add_hook(self, place: str, url: str, *, tells: bool) -> None:
        self.put(place, {"Url": url, "Events": ["Deactivate" if tells else "Subscribe"], "PayloadFormat": "Json"})

    def put(self, place: str, body: Mapping[str, object]) -> str:
        name = f"{len(self.kept) + 1:032x}"
        self.kept[name] = {"place": place, "WebhookID": name, "Status": "Active", **body}
        return name

    def answer(self, request: requests.PreparedRequest) -> Said:
        found = WEBHOOKS.fullmatch(request.path_url)
        if found is None:
            return super().answer(request)
        place, name, deed = found.groups()
        if not any(place in lists for lists in self.clients.values()):
            return no(101, 401)
        if name is None and request.method == "GET":
            rows = [{**one, **self.altered} for one in self.kept.values() if one["place"] == place]
            return said(200, [{key: one[key] for key in one if key != "place"} for one in rows])
        if name is None:
            body = json.loads(request.body or b"{}")
            assert body["PayloadFormat"] == "json"
            return no(601) if "refused" in body["Url"] else said(201, self.put(place, body))
        return self.one(name, deed, str(request.method)) if name in self.kept else no(404, 404)

    def one(self, name: str, deed: str | None, method: str) -> Said:
        if deed == "test":
            assert method == "GET"
            return said(200) if self.taken else no(610)
        if deed == "activate":
            self.kept[name]["Status"] = "Active"
            return said(200)
        assert method == "DELETE"
        del self.kept[name]
        return said(200)


def hooked() -> Hooked:
    return Hooked(vendor().clients)


class TestCampaignMonitorHooks(HooksContract):
    http = Only
    hook_places: ClassVar[tuple[str, ...]] = (NEWS, EVENTS, SHOP)

    def hooked_vendor(self) -> Hooked:
        return hooked()


def looking_after(stage: HttpStage) -> CampaignMonitor:
    assert isinstance(stage.connector, CampaignMonitor)
    return stage.connector


def test_one_that_the_vendor_gave_up_is_switched_on_again() -> None:
    there = hooked()
    there.add_hook(NEWS, SECRET_URL, tells=True)
    (name,) = there.kept
    there.kept[name]["Status"] = "Deactivated"
    with on_stage(there) as stage:
        (hook,) = next(iter(looking_after(stage).hooked())).hooks
        assert hook.deaf == GIVEN_UP
        looking_after(stage).register_hook(NEWS, SECRET_URL, hook)
        (again,) = next(iter(looking_after(stage).hooked())).hooks
    assert (again.id, again.deaf) == (name, "")


def test_one_that_was_given_up_and_has_another_secret_is_replaced() -> None:
    there = hooked()
    there.add_hook(NEWS, f"{SECRET_URL}-older", tells=True)
    (name,) = there.kept
    there.kept[name]["Status"] = "Deactivated"
    with on_stage(there) as stage:
        (hook,) = next(iter(looking_after(stage).hooked())).hooks
        looking_after(stage).register_hook(NEWS, SECRET_URL, hook)
    assert there.hooks() == [(NEWS, SECRET_URL, True)]


@pytest.mark.parametrize("change", [{"PayloadFormat": "Xml"}, {"Events": ["Subscribe", "Update"]}])
def test_one_that_nobody_here_could_read_is_deaf(change: dict[str, object]) -> None:
    there = hooked()
    there.add_hook(NEWS, SECRET_URL, tells=True)
    there.altered = change
    with on_stage(there) as stage:
        (hook,) = next(iter(looking_after(stage).hooked())).hooks
    assert hook.deaf == DEAF
    assert "dpsync.example.org" not in repr(hook)


@pytest.mark.parametrize(("taken", "says"), [(True, ""), (False, FAILED)])
def test_the_vendor_itself_sends_one_and_says_whether_it_was_taken(taken: bool, says: str) -> None:
    there = hooked()
    there.add_hook(NEWS, SECRET_URL, tells=True)
    there.taken = taken
    (name,) = there.kept
    with on_stage(there) as stage:
        assert looking_after(stage).try_hook(NEWS, VendorHook(name, SECRET_URL)) == says


def test_what_is_gone_or_refused_is_named() -> None:
    there, gone = hooked(), VendorHook("0a" * 16, SECRET_URL, GIVEN_UP)
    refused = "https://refused.example.org"  # so called, the vendor that stands in does not accept it
    assert ended(on_stage(there), lambda one: one.try_hook(NEWS, gone)) == NO_HOOK
    assert ended(on_stage(there), lambda one: one.register_hook(NEWS, SECRET_URL, gone)) == NO_HOOK
    assert ended(on_stage(there), lambda one: one.register_hook("0b" * 16, SECRET_URL, None)) == NOT_OURS
    assert ended(on_stage(there), lambda one: one.register_hook(NEWS, refused, None)) == URL_REFUSED


@pytest.mark.parametrize("name", ["WebhookID", "Url", "Events", "Status", "PayloadFormat"])
def test_what_is_not_of_the_documented_shape_is_not_known(name: str) -> None:
    there = hooked()
    there.add_hook(NEWS, SECRET_URL, tells=True)
    there.altered = {name: 7}
    assert ended(on_stage(there), lambda one: list(one.hooked())) == UNREADABLE


@pytest.mark.parametrize("reply", [said(200, "a" * 32), said(201, {})], ids=["not made", "without an id"])
def test_a_webhook_is_made_only_where_the_vendor_says_so_and_names_it(reply: Said) -> None:
    with Only().before(hooked(), trouble=reply) as stage, pytest.raises(Ended) as caught:
        looking_after(stage).register_hook(NEWS, SECRET_URL, None)
    assert caught.value.outcome.reason == UNREADABLE
