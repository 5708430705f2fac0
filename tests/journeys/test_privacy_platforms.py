"""A privacy platform hands over an erasure: it hears that dpsync has it, and a person has a day to stop it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from dpsync.store import tables as t
from tests.journeys.installation import INBOUND, NEWSLETTER, Installation, installed, sqlite_url
from tests.unit.test_privacy_platforms import ADA, fides, ketch, transcend
from tests.unit.test_source_tokens import CLAIMS, KEY, pem, token

WEAK = 'scheme = "static-header"\nheader = "Authorization"\nreconciled_by = "a list, each week"\n'
SETTINGS = f"""
{NEWSLETTER}
[sources.transcend]
mapping = "transcend"
scheme = "es384-jwt"
header = "X-Sombra-Token"
secrets = [{{{{ file = "sombra.pem" }}}}]
[sources.ketch]
mapping = "ketch"
{WEAK}secrets = [{{{{ env = "DPSYNC_TEST_INBOUND" }}}}]
[sources.fides]
mapping = "fides"
{WEAK}secrets = [{{{{ env = "DPSYNC_TEST_INBOUND" }}}}]
"""


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Installation]:
    (tmp_path / "sombra.pem").write_text(pem(KEY), encoding="ascii")
    (tmp_path / "sombra.pem").chmod(0o600)
    with installed(tmp_path, sqlite_url(tmp_path), processors=SETTINGS, web=True) as made:
        made.sandbox.add(ADA)
        yield made


def post(there: Installation, source: str, body: object, **headers: str) -> requests.Response:
    return requests.post(f"{there.url}/requests/{source}", json=body, headers=headers, timeout=60)


def held(there: Installation) -> list[str]:
    return [row.causes for row in there.rows(t.propagation) if row.state == "held"]


def test_an_erasure_of_transcend_is_taken_by_its_token_and_cools_off(there: Installation) -> None:
    claims = {**CLAIMS, "value": "4711", "iat": int(there.clock.now().timestamp())}
    shown = {"X-Sombra-Token": token(claims), "X-Transcend-Nonce": "n1"}
    answer = post(there, "transcend", transcend("ERASURE"), **shown)
    assert (answer.status_code, answer.json()["status"]) == (202, "held")
    assert held(there) == ["cooling_off"]
    again = post(there, "transcend", transcend("ERASURE"), **shown)
    assert again.json()["requests"] == answer.json()["requests"]
    other = {**transcend("ERASURE"), "coreIdentifier": {"value": "4712"}}
    assert post(there, "transcend", other, **shown).status_code == 401
    stale = {**shown, "X-Sombra-Token": token({**claims, "iat": claims["iat"] - 600})}
    assert post(there, "transcend", transcend("ERASURE"), **stale).status_code == 401
    assert len(there.rows(t.request)) == 1


def test_ketch_and_fides_hear_their_own_answer_once_the_request_is_kept(there: Installation) -> None:
    shown = {"Authorization": INBOUND}
    answer = post(there, "ketch", ketch("DeleteRequest"), **shown)
    assert (answer.status_code, answer.json()["kind"]) == (200, "DeleteResponse")
    assert answer.json()["response"] == {"status": "pending"}
    assert post(there, "ketch", ketch("CorrectionRequest"), **shown).status_code == 422
    assert [row.source for row in there.rows(t.request)] == ["ketch"]
    answer = post(there, "fides", fides(), **shown)
    assert (answer.status_code, answer.json()) == (200, {"halt": False})
    assert post(there, "fides", fides("access"), **shown).json() == {"halt": False}
    assert [row.source for row in there.rows(t.request)] == ["ketch", "fides"]
    assert all("cooling_off" in causes for causes in held(there))
    assert post(there, "fides", fides(), Authorization="another one").status_code == 401
