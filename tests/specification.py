"""Holds requests and answers against a vendor's own OpenAPI (3.1) or Swagger (2.0) file, where there is one at hand."""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jsonschema
import pytest
import requests
import yaml

FORM = "application/x-www-form-urlencoded"


def _any_media(content: Mapping[str, Any], kind: str) -> dict[str, Any]:
    found = {name.partition(";")[0].strip(): media for name, media in content.items()}
    return dict(found[kind.partition(";")[0].strip()].get("schema", {}))


class Specification:
    """One such file of the folder that DPSYNC_VENDOR_SPECS names; the test is skipped where it names none."""

    def __init__(self, file: str) -> None:
        folder = os.environ.get("DPSYNC_VENDOR_SPECS")
        if not folder:
            pytest.skip(reason=f"DPSYNC_VENDOR_SPECS does not name a folder with {file}")
        text = Path(folder, file).read_text("utf-8")
        self.spec: dict[str, Any] = json.loads(text) if file.endswith(".json") else yaml.safe_load(text)
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
        """Fails where the file has a schema for this status, and the answer does not keep it."""
        template = self.template(request)
        assert template is not None, "no such path in the vendor's file"
        responses = self.spec["paths"][template][str(request.method).lower()]["responses"]
        # an answer for a status that the file leaves out must at least be an error as it has them
        said = responses.get(str(status)) or responses.get("400") or {}
        schema = said.get("schema") or _first(said.get("content", {}))
        if schema:
            self.assert_fits(body, schema)

    def assert_fits(self, value: object, schema: Mapping[str, Any]) -> None:
        """Fails unless the value keeps a schema of this file."""
        jsonschema.validate(value, {**schema, **self._common})

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


def _first(content: Mapping[str, Any]) -> Mapping[str, Any]:
    return next((media["schema"] for media in content.values() if "schema" in media), {})


def _text(body: object) -> str:
    return body.decode() if isinstance(body, bytes) else str(body)
