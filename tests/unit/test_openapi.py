"""The description of our own doors: every door of the receiver is in it, and nothing else is."""

import json
import urllib.error
import urllib.request
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import jsonschema
import pytest
from starlette.routing import Route

from dpsync import __version__
from dpsync.errors import PayloadInvalid
from dpsync.intake import payload
from dpsync.intake.receiver import Receiver
from dpsync.intake.web import create_app
from dpsync.running import listener, metrics
from tests.builders import START

DOCS = Path(__file__).parents[2] / "docs"
RAW = files("dpsync.intake").joinpath("openapi.json").read_text(encoding="utf-8")
API: dict[str, Any] = json.loads(RAW)
NOBODY: tuple[dict[str, object], ...] = (
    {},
    {"name": "Ada L"},
    {"id": None, "email": None, "phone": None},
    {"id": ""},
    {"other_emails": []},
    {"references": {}},
    {"references": {"google_analytics": []}},
)
SOMEBODY: tuple[dict[str, object], ...] = (
    {"id": "crm-1", "email": None, "other_emails": [], "phone": None, "references": {}},
    {"other_emails": ["ada@example.org"]},
    {"phone": "+44 1632 960 000"},
    {"references": {"google_analytics": ["client-1"]}},
)
NO_CHANGE: tuple[dict[str, object], ...] = ({}, {"email": None}, {"fields": {}}, {"fields": None})
LIFTED = {"told_on": "2026-11-19", "how": "letter"}
METHODS = {"get", "post", "put", "patch", "delete"}


class Anything:
    """Stands in for what is behind the doors: the table of routes asks nothing of it."""

    def __getattr__(self, _name: str) -> "Anything":
        return Anything()

    def __call__(self, *_: object, **__: object) -> "Anything":
        return Anything()


def routes() -> dict[str, set[str]]:
    app = create_app(cast("Receiver", Anything()))
    found = {}
    for route in app.routes:
        assert isinstance(route, Route)
        found[route.path.replace(":path}", "}")] = {one.lower() for one in route.methods or ()} - {"head"}
    return found


def test_every_door_of_the_receiver_is_described_with_its_methods_and_no_other_is() -> None:
    assert {path: METHODS & said.keys() for path, said in API["paths"].items()} == routes()


def test_every_part_of_a_path_is_explained() -> None:
    for path, said in API["paths"].items():
        for method in METHODS & said.keys():
            asked = [*said.get("parameters", ()), *said[method].get("parameters", ())]
            named = {one["name"] for one in asked if one["in"] == "path"}
            assert named == {part[1:-1] for part in path.split("/") if part.startswith("{")}, path
            assert said[method]["summary"]
            assert said[method]["responses"]


def test_what_may_be_asked_is_described_field_by_field() -> None:
    schemas = API["components"]["schemas"]
    data = schemas["DataSubjectRequest"]["properties"]["data"]["properties"]
    for described, shape in (
        (schemas["DataSubjectRequest"]["properties"], payload._RequestEnvelope),
        (schemas["Withdrawal"]["properties"], payload._WithdrawalEnvelope),
        (data, payload._Data),
        (data["lifted"]["properties"], payload._Lifted),
        (schemas["Subject"]["properties"], payload._Subject),
        (schemas["Changes"]["properties"], payload._Changes),
    ):
        assert described.keys() == shape.model_fields.keys()
    assert set(data["ground"]["enum"]) == {*payload.Ground.__args__, None}  # type: ignore[attr-defined]  # because a Literal has them


@pytest.mark.parametrize(
    ("data", "good"),
    [
        ({"right": "erasure", "subject": {"email": "ada@example.org"}}, True),
        ({"right": "oblivion", "subject": {"email": "ada@example.org"}}, False),
        ({"right": "erasure", "subject": {"email": "ada@example.org"}, "wish": 1}, False),
        ({"right": "erasure", "subject": {"email": 7}}, False),
        *(({"right": "erasure", "subject": one}, False) for one in NOBODY),
        *(({"right": "erasure", "subject": {**one, "name": None}}, True) for one in SOMEBODY),
        ({"right": "rectification", "subject": {"id": "crm-1"}}, False),
        ({"right": "rectification", "subject": {"id": "crm-1"}, "changes": None}, False),
        *(({"right": "rectification", "subject": {"id": "crm-1"}, "changes": one}, False) for one in NO_CHANGE),
        ({"right": "rectification", "subject": {"id": "crm-1"}, "changes": {"first_name": ""}}, True),
        ({"right": "rectification", "subject": {"id": "crm-1"}, "changes": {"fields": {"CITY": "Kent"}}}, True),
        ({"right": "rectification", "subject": {"id": "crm-1"}, "changes": {"fields": {"ADDRESS": {}}}}, False),
        ({"right": "erasure", "subject": {"id": "crm-1"}, "changes": {"first_name": "Ada"}}, False),
        ({"right": "erasure", "subject": {"id": "crm-1"}, "changes": None, "lifted": None, "version": None}, True),
        ({"right": "erasure", "subject": {"id": "crm-1"}, "lifted": LIFTED}, False),
        ({"right": "restriction", "subject": {"id": "crm-1"}, "lifted": LIFTED}, True),
        ({"right": "erasure", "subject": {"id": "crm-1"}, "version": -1}, False),
        ({"right": "erasure", "subject": {"id": "x" * 201}}, False),
    ],
)
def test_description_and_receiver_agree_on_what_is_a_request(data: dict[str, object], good: bool) -> None:
    body = {"type": "data_subject.request", "data": data}
    wanted = {**API["components"]["schemas"]["DataSubjectRequest"], "components": API["components"]}
    assert jsonschema.Draft202012Validator(wanted).is_valid(body) is good
    try:
        payload.parse(json.dumps(body).encode(), source="webhook", event_id="evt-1", now=START)
    except PayloadInvalid:
        assert not good
    else:
        assert good


def test_it_is_served_beside_the_metrics_and_shipped_in_docs() -> None:
    class Page(listener.Answering):
        def do_GET(self) -> None:  # noqa: N802 - because the library names it so
            self.answer(*metrics._page(cast("Any", SimpleNamespace()), self.path))

    with listener.listening("127.0.0.1:0", Page, "metrics", "intake.metrics_listen") as where:
        with urllib.request.urlopen(f"http://{where}/openapi.json") as answer:
            assert answer.headers["Content-Type"] == "application/json"
            assert json.load(answer) == API
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(f"http://{where}/openapi.yaml")
    assert (DOCS / "openapi.json").read_text(encoding="utf-8") == RAW, "make docs"
    assert API["info"]["version"] == __version__
