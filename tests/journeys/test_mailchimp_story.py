"""Each right through the real service to the vendor's API, in fair weather and in foul: no claim that is not so."""

import socket
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from dpsync.model import Right, State
from dpsync.propagation.decisions import Person, decide
from dpsync.propagation.rules.lifecycle import DecisionKind
from dpsync.sandbox.mailchimp.audience import digest
from dpsync.sandbox.running import RunningSandbox
from dpsync.service import Service
from dpsync.store import tables as t
from tests.faults.counting import Counted
from tests.journeys.installation import DPO, ERASE, KEY, NEWSLETTER, PATCH, SOON, Installation, installed, sqlite_url

ADA, OLD, NEW = "ada@example.org", "ada.before@example.org", "ada.new@example.org"
NEIGHBOUR = "nell@example.org"
HOUR = timedelta(hours=1)
ONE_AUDIENCE = NEWSLETTER + f'audiences = ["{digest(f"{KEY}/Newsletter")[:10]}"]\n'
"""The sandbox's first audience: its id follows from the account's name."""


def people(sandbox: RunningSandbox, *addresses: str) -> None:
    """These and a neighbour, in every audience."""
    for audience in sandbox.audiences():
        for address in (*addresses, NEIGHBOUR):
            sandbox.add(address, merge_fields={"FNAME": "Ada", "LNAME": "Byron"}, list_id=audience)


def kinds(there: Installation, address: str) -> list[str]:
    return sorted(kind for _, kind in there.sandbox.effects_on(address))


# --- each right


CHANGES = {"email": NEW, "last_name": "Lovelace"}
EFFECTS = {
    Right.RECTIFICATION: ["moved"] * 2,
    Right.ERASURE: ["deleted"] * 4,
    Right.RESTRICTION: ["archived"] * 4 + ["unsubscribed"] * 4,
    Right.OPT_OUT: ["unsubscribed"] * 4,
}


@pytest.mark.parametrize("right", Right)
def test_a_right_reaches_every_audience_under_every_address_and_its_receipt_holds(
    right: Right, database_url: str, tmp_path: Path
) -> None:
    with installed(tmp_path, database_url) as there:
        rectifies = right is Right.RECTIFICATION
        addresses = (ADA,) if rectifies else (ADA, OLD)
        people(there.sandbox, *addresses)
        more = {"changes": CHANGES} if rectifies else {"other_emails": [OLD]}
        asked = there.ask(right, ADA, **more)
        there.drive()
        assert there.state(asked) is State.VERIFIED
        assert there.is_so(asked)
        assert sorted(kind for address in addresses for kind in kinds(there, address)) == EFFECTS[right]
        assert kinds(there, NEIGHBOUR) == []
        assert there.row(asked).attempts == 1
        said = there.verified_by_a_stranger(asked, ADA)
        assert f": request {asked.id}, recorded" in said
        assert "about the address you gave" in said
        assert "NOT VALID" in there.verified_by_a_stranger(asked, NEIGHBOUR)
        there.sound()


# --- what goes wrong between asking and knowing


@pytest.mark.no_database
def test_503_then_yes_is_done_once_and_counts_both_attempts(database_url: str, tmp_path: Path) -> None:
    with installed(tmp_path, database_url) as there:
        people(there.sandbox, ADA)
        there.sandbox.fault("status", status=503, **ERASE)
        asked = there.ask(Right.ERASURE, ADA)
        there.drive()
        assert there.state(asked) is State.PENDING
        assert there.sandbox.effects() == 0
        there.drive(SOON)
        assert there.state(asked) is State.VERIFIED
        assert kinds(there, ADA) == ["deleted", "deleted"]
        assert there.row(asked).attempts == 2
        assert there.alerts() == []
        assert "VALID" in there.verified_by_a_stranger(asked, ADA)
        there.sound()


@pytest.mark.no_database
@pytest.mark.fault(5)
def test_no_call_is_made_before_retry_after_is_over_whoever_else_is_due(
    database_url: str, tmp_path: Path, counted: Counted
) -> None:
    with installed(tmp_path, database_url) as there:
        people(there.sandbox, ADA, OLD)
        there.sandbox.fault("status", status=429, retry_after="600", **PATCH)
        first = there.ask(Right.OPT_OUT, ADA)
        there.drive()
        second = there.ask(Right.OPT_OUT, OLD, id="crm-2")
        calls = there.sandbox.calls()
        there.drive(timedelta(seconds=300))
        there.drive(timedelta(seconds=299))
        assert there.sandbox.calls() == calls
        counted(5, calls_before_due=there.sandbox.calls() - calls)
        assert there.states(first) == there.states(second) == {"newsletter": State.PENDING}
        there.drive(timedelta(seconds=2))
        assert there.states(first) == there.states(second) == {"newsletter": State.VERIFIED}
        assert kinds(there, ADA) == kinds(there, OLD) == ["unsubscribed"] * 2
        there.sound()


@pytest.mark.fault(11)
@pytest.mark.fault(1)
@pytest.mark.parametrize("kind", ["reset_after_effect", "truncated_json", "wrong_length", "bad_gzip", "hang"])
def test_an_answer_that_broke_after_the_effect_is_read_back_not_repeated(
    kind: str, tmp_path: Path, counted: Counted
) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=ONE_AUDIENCE, patience=0.5) as there:
        there.sandbox.add(ADA)
        there.sandbox.fault(kind, seconds=600, **ERASE)
        asked = there.ask(Right.ERASURE, ADA)
        Service(there.service).run_once()  # the deadline of the call is kept, or this goes on for ten minutes
        assert there.state(asked) is State.PENDING
        assert there.row(asked).doubtful
        there.sandbox.release()
        there.drive(SOON)
        assert there.state(asked) is State.VERIFIED
        lost = there.sandbox.calls("{method} {template}".format_map(ERASE)) - len(kinds(there, ADA))
        counted(1, effects=len(kinds(there, ADA)), lost=lost)
        counted(11, false_confirmations=len(there.false_confirmations()), crashes=there.row(asked).defects)
        assert [row.kind for row in there.rows(t.attempt)] == ["carry_out", "verify"]
        assert kinds(there, ADA) == ["deleted"]
        assert there.sandbox.calls("{method} {template}".format_map(ERASE)) == 1
        assert "VALID" in there.verified_by_a_stranger(asked, ADA)
        there.sound()


@pytest.mark.fault(10)
@pytest.mark.parametrize(
    ("right", "kind"),
    [
        *((Right.ERASURE, kind) for kind in ("empty_500", "html_200", "html_502", "error_inside_200")),
        *((Right.OPT_OUT, kind) for kind in ("empty_500", "html_200", "status_without_body")),
    ],
)
def test_what_only_looks_like_a_yes_is_none_until_a_read_back_shows_it(
    right: Right, kind: str, tmp_path: Path, counted: Counted
) -> None:
    with installed(tmp_path, sqlite_url(tmp_path)) as there:
        people(there.sandbox, ADA)
        fault = ERASE if right is Right.ERASURE else PATCH
        there.sandbox.fault(kind, applies=False, **fault)
        asked = there.ask(right, ADA)
        there.drive()
        assert there.state(asked) is State.PENDING
        assert there.row(asked).rung == 0
        counted(10, false_confirmations=len(there.false_confirmations()))
        assert not (there.service.settings.ledger.receipts / f"{asked.id}.json").exists()
        there.drive(SOON)
        there.drive(SOON)
        assert there.state(asked) is State.VERIFIED
        assert kinds(there, ADA) == EFFECTS[right][:2]
        there.sound()


@pytest.mark.no_database
@pytest.mark.fault(41)
def test_a_yes_that_did_nothing_is_contradicted_and_the_dpo_hears_of_it(
    database_url: str, tmp_path: Path, counted: Counted
) -> None:
    with installed(tmp_path, database_url) as there:
        people(there.sandbox, ADA)
        there.sandbox.fault("says_yes_does_nothing", times=None, **ERASE)
        asked = there.ask(Right.ERASURE, ADA)
        there.drive()
        assert there.state(asked) is State.CONTRADICTED
        counted(41, false_verified=[row.state for row in there.rows(t.propagation)].count(State.VERIFIED))
        assert there.sandbox.effects() == 0
        assert there.alerts() == [("dpo", "contradicted")]
        (mail,) = there.sandbox.messages(DPO, settled=True)
        assert b"says done, but we looked and it is not" in mail.raw
        there.drive(2 * HOUR)
        assert there.state(asked) is State.CONTRADICTED
        assert there.row(asked).rung < 4
        assert not (there.service.settings.ledger.receipts / f"{asked.id}.json").exists()
        there.sound()


def test_a_contradicted_erasure_that_the_vendor_does_at_last_is_seen(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path)) as there:
        people(there.sandbox, ADA)
        there.sandbox.fault("says_yes_does_nothing", times=2, **ERASE)
        asked = there.ask(Right.ERASURE, ADA)
        there.drive()
        decide_to_retry(there, asked.id)
        there.drive(SOON)
        assert there.state(asked) is State.VERIFIED
        assert kinds(there, ADA) == ["deleted", "deleted"]
        there.sound()


def decide_to_retry(there: Installation, request_id: str) -> None:
    person = Person("Dana Officer", "dana", "the processor says that it is mended")
    controller, now = there.service.controller, there.clock.now()
    there.service.write(lambda unit: decide(unit, controller, request_id, DecisionKind.RETRY, person, now))


@pytest.mark.parametrize("status", [302, 307])
def test_a_redirect_is_not_followed_and_the_other_host_hears_nothing(status: int, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, installed(tmp_path, sqlite_url(tmp_path)) as there:
        other.setblocking(False)
        people(there.sandbox, ADA)
        elsewhere = f"http://127.0.0.1:{other.getsockname()[1]}/3.0/"
        there.sandbox.fault("redirect", status=status, location=elsewhere, times=None, **ERASE)
        asked = there.ask(Right.ERASURE, ADA)
        there.drive()
        there.drive(HOUR)
        with pytest.raises(BlockingIOError):
            other.accept()
        assert there.state(asked) is State.PENDING, "what redirects us is not the processor's no"
        assert there.sandbox.effects() == 0
        there.sound()


@pytest.mark.no_database
@pytest.mark.fault(8)
def test_a_rejected_credential_stops_the_account_once_and_charges_nobody(
    database_url: str, tmp_path: Path, counted: Counted
) -> None:
    with installed(tmp_path, database_url) as there:
        people(there.sandbox, ADA, OLD)
        there.sandbox.fault("status", status=401, times=None)
        asked = [there.ask(Right.ERASURE, ADA), there.ask(Right.OPT_OUT, OLD, id="crm-2")]
        there.drive()
        calls = there.sandbox.calls()
        assert calls <= 2
        there.drive(HOUR)
        assert there.sandbox.calls() == calls, "a stopped account was called again"
        assert [row.stopped for row in there.rows(t.account)] == ["credential"]
        assert there.alerts() == [("operator", "credential")]
        assert [(there.state(one), there.row(one).attempts) for one in asked] == [(State.PENDING, 0)] * 2
        charged = sum(there.row(one).attempts for one in asked)
        counted(8, alerts_an_account=len(there.alerts()), charged=charged)
        there.sandbox.clear_faults()
        there.service.write(lambda unit: unit.connection.execute(t.account.update().values(stopped="")))
        there.drive(SOON)
        assert {there.state(one) for one in asked} == {State.VERIFIED}
        there.sound()


@pytest.mark.fault(9)
@pytest.mark.parametrize("right", Right)
def test_a_wrong_audience_id_is_the_operators_and_never_nothing_held(
    right: Right, tmp_path: Path, counted: Counted
) -> None:
    wrong = NEWSLETTER + 'audiences = ["0123456789"]\n'
    with installed(tmp_path, sqlite_url(tmp_path), processors=wrong) as there:
        people(there.sandbox, ADA)
        more: dict[str, Any] = {"changes": CHANGES} if right is Right.RECTIFICATION else {}
        asked = there.ask(right, ADA, **more)
        there.drive()
        there.drive(HOUR)
        assert there.state(asked) is State.PENDING
        counted(9, false_confirmations=len(there.false_confirmations()))
        assert there.sandbox.effects() == 0
        assert there.alerts() == [("operator", "misplaced")]
        there.sound()


# --- order


@pytest.mark.no_database
def test_an_erasure_of_the_new_address_leaves_nothing_under_the_old_one(database_url: str, tmp_path: Path) -> None:
    with installed(tmp_path, database_url) as there:
        people(there.sandbox, ADA)
        there.sandbox.fault("status", status=503, times=None, **PATCH)
        rectified = there.ask(Right.RECTIFICATION, ADA, changes={"email": NEW})
        there.drive()
        assert there.state(rectified) is State.PENDING
        there.sandbox.clear_faults()
        erased = there.ask(Right.ERASURE, NEW)
        there.drive(HOUR)
        assert there.state(erased) is State.VERIFIED
        assert there.state(rectified) is State.SUPERSEDED
        assert there.sandbox.holds(ADA) == there.sandbox.holds(NEW) == []
        assert there.sandbox.holds(NEIGHBOUR) != []
        there.sound()


def test_an_opt_out_does_not_wait_behind_a_rectification_that_backs_off(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path)) as there:
        people(there.sandbox, ADA)
        there.sandbox.fault("empty_500", times=None, **PATCH)
        slow = there.ask(Right.RECTIFICATION, ADA, changes={"last_name": "Lovelace"})
        for _ in range(2):
            there.drive(HOUR)
        assert there.state(slow) is State.PENDING
        assert min(row.due_at for row in there.rows(t.lane)) > there.clock.now(), "it does not back off"
        there.sandbox.clear_faults()
        stop = there.ask(Right.OPT_OUT, ADA)
        there.drive()
        assert there.state(stop) is State.VERIFIED
        assert [kind for _, kind in there.sandbox.effects_on(ADA)][:2] == ["unsubscribed"] * 2
        there.drive(12 * HOUR)
        assert there.state(slow) is State.VERIFIED
        there.sound()


@pytest.mark.parametrize("right", Right)
def test_one_audience_that_fails_half_way_is_completed_and_the_other_is_not_told_twice(
    right: Right, tmp_path: Path
) -> None:
    with installed(tmp_path, sqlite_url(tmp_path)) as there:
        people(there.sandbox, ADA)
        there.sandbox.fault("empty_500", nth=2, **(ERASE if right is Right.ERASURE else PATCH))
        more: dict[str, Any] = {"changes": CHANGES} if right is Right.RECTIFICATION else {}
        asked = there.ask(right, ADA, **more)
        there.drive()
        assert there.state(asked) is State.PENDING
        for _ in range(3):
            there.drive(SOON)
        assert there.state(asked) is State.VERIFIED
        assert there.is_so(asked)
        once = {Right.RESTRICTION: ["archived"] * 2 + ["unsubscribed"] * 2}
        assert kinds(there, ADA) == once.get(right, EFFECTS[right][:2])
        assert kinds(there, NEIGHBOUR) == []
        there.sound()


def test_an_erasure_done_before_the_vendor_asked_us_to_wait_is_never_called_nothing_held(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path)) as there:
        there.sandbox.add(ADA)
        there.sandbox.fault("status", status=429, nth=2, **ERASE)
        asked = there.ask(Right.ERASURE, ADA)
        there.drive()
        # One audience is done: nobody can say any more that nothing has gone.
        assert (there.state(asked), there.row(asked).doubtful) == (State.PENDING, True)
        there.drive(SOON)
        assert there.state(asked) is State.VERIFIED
        assert kinds(there, ADA) == ["deleted"]
        there.sound()
