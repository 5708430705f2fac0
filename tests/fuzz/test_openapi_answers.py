"""The description of our doors holds, whatever is sent: each answer is a documented one, and none hides a fault."""

import io
import json
import os
from importlib.resources import files
from random import Random
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from dpsync import telemetry
from dpsync.signature import signed_headers
from tests.fuzz.house import House
from tests.journeys.installation import INBOUND, SECRET
from tests.journeys.test_sources import signed

API: dict[str, Any] = json.loads(files("dpsync.intake").joinpath("openapi.json").read_text(encoding="utf-8"))
EXAMPLES = int(os.environ.get("DPSYNC_FUZZ_EXAMPLES", "20"))
CHECKS: list[Any] = [status_code_conformance, content_type_conformance, response_schema_conformance]


def sent(there: House, case: Any, random: Random) -> requests.PreparedRequest:
    """Half of the time by a link that was sent, and signed by whoever may."""
    if random.random() < 0.5:
        named = {"source": "own", "processor": "events", "secret": INBOUND}
        named["request"] = there.request_id
        kind = case.path.split("/")[1]
        named["token"] = random.choice(
            [link.split("/")[2] for link in there.links if link.startswith(f"/{kind}/")] or [""]
        )
        drawn = case.path_parameters or {}
        case.path_parameters = {name: named.get(name, value) for name, value in drawn.items()}
    assume(not {"", ".", ".."} & set((case.path_parameters or {}).values()))  # what asks so takes it for another path
    request = requests.Request(**case.as_transport_kwargs(base_url=there.there.url)).prepare()
    body = request.body if isinstance(request.body, bytes) else (request.body or "").encode()
    if random.random() < 0.7 and case.path.startswith("/requests"):
        request.headers.update(signed_headers(SECRET, f"evt-{random.getrandbits(64)}", there.there.clock.now(), body))
        request.headers["X-Hub-Signature-256"] = signed(body)
    return request


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_whatever_is_sent_the_answer_is_a_documented_one(there: House, mode: GenerationMode) -> None:
    log = io.StringIO()
    telemetry.configure("error", log)  # what is not served is told there, and answered 503
    doors: Any = schemathesis.openapi.from_dict(API).get_all_operations()
    strategies = [one.ok().as_strategy(generation_mode=mode) for one in doors]

    @settings(max_examples=EXAMPLES, phases=[Phase.generate], suppress_health_check=list(HealthCheck), database=None)
    @given(st.one_of(strategies), st.randoms(note_method_calls=False))
    def ask(case: Any, random: Random) -> None:
        with requests.Session() as session:
            answer = session.send(sent(there, case, random), allow_redirects=False, timeout=60)
        case.validate_response(answer, checks=CHECKS)
        assert not log.getvalue()

    ask()
