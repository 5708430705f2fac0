"""Holds requests and answers against a vendor's own OpenAPI (3.1) or Swagger (2.0) file, where there is one at hand."""

import json
import os
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jsonschema
import pytest
import requests
import yaml

FORM = "application/x-www-form-urlencoded"
FOLDER = "DPSYNC_VENDOR_SPECS"
SAID_ELSEWHERE = frozenset({"errors", "_links", "signing_enabled", "signing_secret"})
"""What answers have and the files have not, and where it is said: Hootsuite's page on errors lets a partial failure
have `errors` beside `data`; every Mailchimp answer has `_links`, which the copy at hand is trimmed of; signed webhooks
are younger than that copy."""


def _any_media(content: Mapping[str, Any], kind: str) -> dict[str, Any]:
    found = {name.partition(";")[0].strip(): media for name, media in content.items()}
    return dict(found[kind.partition(";")[0].strip()].get("schema", {}))


class Specification:
    """One such file of the folder that DPSYNC_VENDOR_SPECS names; the test is skipped where it names none."""

    def __init__(self, file: str) -> None:
        folder = os.environ.get(FOLDER)
        if not folder:
            pytest.skip(reason=f"{FOLDER} does not name a folder with {file}")
        self.spec = _read(Path(folder, file))
        self._common = {name: self.spec[name] for name in ("definitions", "components") if name in self.spec}

    def template(self, request: requests.PreparedRequest) -> str | None:
        """The path of the file that the request's is one of."""
        path = urlsplit(request.url or "").path.removeprefix(self.spec.get("basePath", "").rstrip("/"))
        known = [name for name in self.spec["paths"] if re.fullmatch(re.sub(r"\{\w+\}", r"[^/]+", name), path)]
        return min(known, key=lambda name: name.count("{"), default=None)

    def assert_known(self, request: requests.PreparedRequest) -> None:
        """Fails unless path, method, query, form and body of the request are as the file has them."""
        template = self.template(request)
        assert template is not None, "no such path in the vendor's file"
        operation = self.spec["paths"][template][str(request.method).lower()]
        parameters = [self._resolved(one) for one in operation.get("parameters", [])]
        here = {(one["in"], one["name"]): one for one in parameters if "in" in one}
        for name in parse_qs(urlsplit(request.url or "").query):
            assert ("query", name) in here
        if request.body is None:
            assert not here.get(("body", "body"), {}).get("required")
            return
        kind = str(request.headers.get("Content-Type", ""))
        if kind.startswith(FORM):
            self._assert_form(operation, here, request)
        else:
            body = json.loads(request.body)
            schema = here["body", "body"]["schema"] if ("body", "body") in here else self._of_body(operation, kind)
            named = self._resolved(schema).get("properties")
            assert named is None or set(body) <= set(named)
            self.assert_fits(body, schema)

    def assert_answer(self, request: requests.PreparedRequest, status: int, body: object) -> None:
        """Fails where the file has a schema for this status, and the answer does not keep it or has more in it."""
        template = self.template(request)
        assert template is not None, "no such path in the vendor's file"
        responses = self.spec["paths"][template][str(request.method).lower()]["responses"]
        # an answer for a status that the file leaves out must at least be an error as it has them
        said = responses.get(str(status)) or responses.get("default") or responses.get("400") or {}
        schema = said.get("schema") or _first(said.get("content", {}))
        if schema:
            named = self._resolved(schema).get("properties")
            unknown = set(body) - set(named) - SAID_ELSEWHERE if named and isinstance(body, dict) else set()
            assert not unknown, f"the file of the vendor has no {sorted(unknown)} there"
            self.assert_fits(body, schema)

    def assert_fits(self, value: object, schema: Mapping[str, Any]) -> None:
        """Fails unless the value keeps a schema of this file."""
        # The schema itself is the vendor's: to check it again for each answer takes a second.
        jsonschema.Draft202012Validator({**schema, **self._common}).validate(value)

    def _assert_form(
        self, operation: Mapping[str, Any], here: Mapping[tuple[str, str], Any], request: requests.PreparedRequest
    ) -> None:
        form = {name: values[0] for name, values in parse_qs(_text(request.body)).items()}
        if "requestBody" in operation:
            self.assert_fits(form, self._of_body(operation, FORM))
            return
        for name, value in form.items():
            assert value in here["formData", name].get("enum", [value])
        assert {name for (place, name), one in here.items() if place == "formData" and one.get("required")} <= set(form)

    @staticmethod
    def _of_body(operation: Mapping[str, Any], kind: str) -> dict[str, Any]:
        return _any_media(operation["requestBody"]["content"], kind)

    def _resolved(self, part: Mapping[str, Any]) -> Mapping[str, Any]:
        while "$ref" in part:
            found: Any = self.spec
            for step in str(part["$ref"]).removeprefix("#/").split("/"):
                found = found[step]
            part = found
        return part


def held_against_its_files(session: requests.Session, *files: str) -> None:
    """Every JSON answer that the session gets from now on must keep the vendor's files, where they are at hand.

    A path that no file has is left alone: the copies are trimmed. Of several files the first that has it decides:
    Hootsuite's tokens are in both of its files, and only the first knows the grants that have a refresh token.
    """
    if not os.environ.get(FOLDER):
        return
    known = [Specification(file) for file in files]

    def check(reply: requests.Response, *_: object, **__: object) -> None:
        method = str(reply.request.method).lower()
        for one in known:
            template = one.template(reply.request)
            if template is None or method not in one.spec["paths"][template]:
                continue
            if reply.content:
                one.assert_answer(reply.request, reply.status_code, reply.json())
            else:
                said = one.spec["paths"][template][method]["responses"].get(str(reply.status_code), {})
                assert not said.get("schema"), "an empty answer where there is a shape"
            return

    session.hooks["response"].append(check)


@cache
def _read(file: Path) -> dict[str, Any]:
    text = file.read_text("utf-8")
    spec: dict[str, Any] = json.loads(text) if file.suffix == ".json" else yaml.safe_load(text)
    return dict(_with_nulls(spec))


def _with_nulls(part: Any) -> Any:
    """The files give one type and say in words that the value may be null: the words are right."""
    if isinstance(part, list):
        return [_with_nulls(one) for one in part]
    if not isinstance(part, dict):
        return part
    part = {name: _with_nulls(one) for name, one in part.items()}
    # An error's `resource` is null in recorded answers, which the file does not say in words.
    said = "null" in str(part.get("description")) or part.get("title") == "ResourceReference"
    if said and isinstance(part.get("type"), str):
        part["type"] = [part["type"], "null"]
        if "enum" in part:
            part["enum"] = [*part["enum"], None]
    return part


def _first(content: Mapping[str, Any]) -> Mapping[str, Any]:
    return next((media["schema"] for media in content.values() if "schema" in media), {})


def _text(body: object) -> str:
    return body.decode() if isinstance(body, bytes) else str(body)
