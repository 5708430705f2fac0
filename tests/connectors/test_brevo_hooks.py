"""The webhooks of an account of Brevo: the shared contract, and what is peculiar to this vendor."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from dpsync.connector import Retryable, VendorHook
from dpsync.connectors.brevo import Brevo
from dpsync.connectors.brevo.hooks import DEAF, NO_HOOK, URL_REFUSED
from dpsync.vendor.errors import UNREADABLE, Ended
from tests.connectors.contract import HttpStage, Said
from tests.connectors.hooks_contract import OTHER_URL, SECRET_URL, HooksContract, ended
from tests.connectors.test_brevo import OnStage, StandIn, before, said

HOOK = re.compile(r"/v3/webhooks(?:/(\d+))?")
WANTED = ["unsubscribed", "spam"]


@dataclass
class Hooked(StandIn):
    """Keeps webhooks as its reference says, and calls none. `empty_is_404`: of none; `change`: of each row."""

    kept: dict[int, dict[str, Any]] = field(default_factory=dict)
    empty_is_404: bool = False
    change: Mapping[str, object] = field(default_factory=dict)

    def hooks(self) -> list[tuple[str, str, bool]]:
        return [("account", one["url"], set(WANTED) <= set(one["events"])) for one in self.kept.values()]

    def add_hook(self, place: str, url: str, *, tells: bool) -> None:
        del place
        self.put(url, WANTED if tells else ["opened"])

    def put(self, url: str, events: list[str], number: int = 0) -> int:
        number = number or len(self.kept) + 1
        self.kept[number] = {"id": number, "url": url, "events": events, "type": "marketing"}
        return number

    def _answer(self, request: requests.PreparedRequest) -> Said:
        url = urlsplit(str(request.url))
        found = HOOK.fullmatch(url.path)
        if found is None:
            return super()._answer(request)
        if request.method == "GET":
            assert parse_qs(url.query) == {"type": ["marketing"], "sort": ["asc"]}
            if self.empty_is_404 and not self.kept:
                return said(404, {"code": "document_not_found", "message": "No webhook"})
            return said(200, {"webhooks": [{**one, **self.change} for one in self.kept.values()]})
        body = json.loads(request.body or b"{}")
        assert not url.query
        if "refused" in body["url"]:
            return said(400, {"code": "invalid_parameter", "message": OTHER_URL})
        if found[1] is None:
            assert body["type"] == "marketing"
            return said(201, {"id": self.put(body["url"], body["events"])})
        if int(found[1]) not in self.kept:
            return said(404, {"code": "document_not_found", "message": "No webhook"})
        assert set(body) == {"url", "description", "events"}
        self.put(body["url"], body["events"], int(found[1]))
        return Said(204, {}, b"")


class TestBrevoHooks(HooksContract):
    http = OnStage
    hook_places: ClassVar[tuple[str, ...]] = ("account",)

    def hooked_vendor(self) -> Hooked:
        return Hooked([])


def looking_after(stage: HttpStage) -> Brevo:
    assert isinstance(stage.connector, Brevo)
    return stage.connector


def test_only_who_leaves_or_complains_is_asked_for() -> None:
    vendor = Hooked([])
    with before(vendor) as stage:
        looking_after(stage).register_hook("account", SECRET_URL, None)
        looking_after(stage).register_hook("account", SECRET_URL, VendorHook("1", SECRET_URL, DEAF))
        bodies = [json.loads(one.body or b"") for one in stage.sent]
    assert [(one["events"], one["description"]) for one in bodies] == [(WANTED, "dpsync")] * 2
    assert [one.method for one in stage.sent] == ["POST", "PUT"]
    assert len(vendor.kept) == 1


@pytest.mark.parametrize("empty_is_404", [True, False])
def test_that_there_are_none_is_said_either_way(empty_is_404: bool) -> None:
    with before(Hooked([], empty_is_404=empty_is_404)) as stage:
        (place,) = looking_after(stage).hooked()
    assert (place.place, place.title, place.hooks) == ("account", "", ())


@pytest.mark.parametrize("code", ["invalid_parameter", "duplicate_parameter"])
def test_where_the_vendor_refuses_the_address_it_says_so(code: str) -> None:
    refused = said(400, {"code": code, "message": OTHER_URL})
    for instead_of in (None, VendorHook("1", SECRET_URL)):
        with OnStage().before(Hooked([]), trouble=refused) as stage, pytest.raises(Ended) as caught:
            looking_after(stage).register_hook("account", SECRET_URL, instead_of)
        assert caught.value.outcome.reason == URL_REFUSED


def test_a_webhook_that_is_gone_is_named() -> None:
    gone = VendorHook("7", SECRET_URL)
    assert ended(before(Hooked([])), lambda one: one.register_hook("account", SECRET_URL, gone)) == NO_HOOK


def test_it_has_no_call_that_sends_one() -> None:
    with before(Hooked([])) as stage:
        assert looking_after(stage).try_hook("account", VendorHook("1", SECRET_URL)) is None
        assert looking_after(stage).sample == ("application/json", b'{"event": "delivered"}')
        assert stage.sent == []


@pytest.mark.parametrize(
    ("change", "deaf"),
    [
        ({}, ""),
        ({"events": ["delivered", *WANTED]}, ""),
        *(({"events": [one]}, DEAF) for one in WANTED),
        ({"type": "transactional"}, DEAF),
        ({"type": None}, DEAF),
    ],
)
def test_one_that_hears_only_a_part_is_deaf(change: dict[str, object], deaf: str) -> None:
    vendor = Hooked([], change=change)
    vendor.put(SECRET_URL, WANTED)
    with before(vendor) as stage:
        (place,) = looking_after(stage).hooked()
    assert [(hook.id, hook.url, hook.deaf) for hook in place.hooks] == [("1", SECRET_URL, deaf)]
    assert "dpsync.example.org" not in repr(place)


@pytest.mark.parametrize("change", [{"id": "1"}, {"url": None}, {"events": None}, {"events": "spam"}])
def test_what_is_not_of_the_documented_shape_is_not_known(change: dict[str, object]) -> None:
    vendor = Hooked([], change=change)
    vendor.put(SECRET_URL, WANTED)
    assert ended(before(vendor), lambda one: list(one.hooked())) == UNREADABLE
    body: object
    for body in ({"webhooks": None}, {"webhooks": {}}, {"webhooks": ["x"]}, {"id": 1}):
        with OnStage().before(Hooked([]), trouble=said(200, body)) as stage, pytest.raises(Ended) as caught:
            list(looking_after(stage).hooked())
        assert caught.value.outcome.reason == UNREADABLE


@pytest.mark.parametrize(
    ("instead_of", "answer"),
    [
        (None, said(200, {"id": 1})),
        (None, said(201, {"webhooks": []})),
        (None, Said(204, {}, b"")),
        (VendorHook("1", SECRET_URL), said(200, {"id": 1})),
        (VendorHook("1", SECRET_URL), said(201, {"id": 1})),
    ],
)
def test_a_yes_of_another_form_leaves_it_in_doubt(instead_of: VendorHook | None, answer: Said) -> None:
    with OnStage().before(Hooked([]), trouble=answer) as stage, pytest.raises(Ended) as caught:
        looking_after(stage).register_hook("account", SECRET_URL, instead_of)
    assert isinstance(caught.value.outcome, Retryable)
    assert caught.value.outcome.doubtful
    assert caught.value.outcome.reason == UNREADABLE
