"""A privacy platform hands over an erasure: it hears that dpsync has it, and a person has a day to stop it."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import requests

from dpsync.model import Cause, Right
from dpsync.propagation.decisions import Decided, Person, decide
from dpsync.propagation.rules.lifecycle import DecisionKind
from dpsync.store import tables as t
from dpsync.store.question_tables import question
from tests.journeys.installation import INBOUND, NEWSLETTER, Installation, differences, installed, sqlite_url
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


def from_transcend(there: Installation, body: object, nonce: str) -> str:
    claims = {**CLAIMS, "value": "4711", "iat": int(there.clock.now().timestamp())}
    answer = post(there, "transcend", body, **{"X-Sombra-Token": token(claims), "X-Transcend-Nonce": nonce})
    (request_id,) = answer.json()["requests"]
    return str(request_id)


def let_go(there: Installation, request_id: str, kind: DecisionKind = DecisionKind.RELEASE) -> list[Decided]:
    dana, now, cools = Person("Dana", "dana", "seen"), there.clock.now(), frozenset(Cause)
    return there.service.write(
        lambda unit: decide(unit, there.service.controller, request_id, kind, dana, now, causes=cools)
    )


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
    assert post(there, "ketch", ketch("AccessRequest"), **shown).status_code == 422
    assert [row.source for row in there.rows(t.request)] == ["ketch"]
    answer = post(there, "fides", fides(), **shown)
    assert (answer.status_code, answer.json()) == (200, {"halt": False})
    assert post(there, "fides", fides("access"), **shown).json() == {"halt": False}
    assert [row.source for row in there.rows(t.request)] == ["ketch", "fides"]
    assert all("cooling_off" in causes for causes in held(there))
    assert post(there, "fides", fides(), Authorization="another one").status_code == 401


def test_all_identifiers_of_a_request_of_transcend_are_told_and_a_late_one_gains_no_time(there: Installation) -> None:
    old, older = "ada.old@example.org", "ada.older@example.org"
    for address in (old, older):
        there.sandbox.add(address)
    first = from_transcend(there, transcend("ERASURE"), "n1")
    there.clock.advance(timedelta(hours=1))
    for nonce in ("n2", "n2"):
        assert from_transcend(there, transcend("ERASURE", old), nonce) == first
    (row,) = there.rows(t.request)
    assert differences(there.service) == ()
    let_go(there, first)
    there.drive()
    assert {part.state for part in there.rows(t.propagation)} == {"verified"}
    assert not there.sandbox.holds(old)
    assert there.sandbox.holds(older)
    there.clock.advance(timedelta(days=3))
    late = from_transcend(there, transcend("ERASURE", older), "n3")
    assert late != first
    assert from_transcend(there, transcend("ERASURE", older), "n3") == late
    let_go(there, late)
    there.drive()
    assert not there.sandbox.holds(older)
    assert {one.due_on for one in there.rows(t.request)} == {row.due_on}, "no new month"
    assert differences(there.service) == ()


def test_an_identifier_that_another_person_uses_too_holds_the_whole_erasure(there: Installation) -> None:
    shared = "family@example.org"
    there.ask(Right.OPT_OUT, shared, id="transcend:4712")
    first = from_transcend(there, transcend("ERASURE"), "n1")
    assert from_transcend(there, transcend("ERASURE", shared), "n2") == first
    assert held(there) == ["cooling_off,shared_address"]
    assert differences(there.service) == ()


def test_a_correction_without_values_waits_for_the_dpo_and_is_never_sent(there: Installation) -> None:
    shown = {"Authorization": INBOUND}
    answer = post(there, "ketch", ketch("CorrectionRequest"), **shown)
    assert (answer.status_code, answer.json()["kind"]) == (200, "CorrectionResponse")
    assert held(there) == ["for_a_person"]
    assert [one.role for one in there.rows(question)] == ["dpo"], "a mail with a link asks"
    (row,) = there.rows(t.request)
    (refused,) = let_go(there, row.id)
    assert "dpsync submit rectification" in refused.refused
    there.drive()
    assert held(there) == ["for_a_person"]
    (settled,) = let_go(there, row.id, DecisionKind.SETTLE)
    assert settled.state == "settled"


def test_a_legal_hold_keeps_an_erasure_back_until_a_person_decides(there: Installation) -> None:
    erasure = from_transcend(there, transcend("ERASURE"), "n1")
    hold = from_transcend(there, transcend("PLACE_ON_LEGAL_HOLD"), "n2")
    assert sorted(held(there)) == ["cooling_off,restriction_in_force", "for_a_person"]
    there.clock.advance(timedelta(days=2))
    there.drive()
    assert there.sandbox.holds(ADA), "time does not release it"
    assert let_go(there, hold, DecisionKind.WITHDRAW)[0].state == "withdrawn"
    there.drive()
    assert there.sandbox.holds(ADA), "nor does the end of the hold by itself"
    let_go(there, erasure)
    there.drive()
    assert not there.sandbox.holds(ADA)


@pytest.mark.parametrize("days", [-1, 400])
def test_a_day_of_receipt_that_cannot_be_right_is_not_counted_from_and_the_dpo_is_told(
    there: Installation, days: int
) -> None:
    at = there.clock.now() - timedelta(days=days)
    body = ketch("DeleteRequest", submittedTimestamp=int(at.timestamp()))
    assert post(there, "ketch", body, Authorization=INBOUND).status_code == 200
    (row,) = there.rows(t.request)
    assert (row.received_at, bool(row.received_assumed)) == (there.clock.now(), True)
    assert [role for role, cause in there.alerts() if cause == "misdated"] == ["dpo"]
    assert post(there, "ketch", body, Authorization=INBOUND).status_code == 200, "sent again it is the same"
    assert len(there.rows(t.request)) == 1
