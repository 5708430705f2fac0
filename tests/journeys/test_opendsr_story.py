"""A processor that speaks OpenDSR, through the real service: told, asked again, and taken at its word alone."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from dpsync.connectors.opendsr import CANCELLED, UNDER_WAY, certificates
from dpsync.model import Right, Rung, State, Way
from dpsync.propagation.decisions import Person, decide
from dpsync.propagation.rules.lifecycle import DecisionKind
from dpsync.running import callbacks
from dpsync.store import tables as t
from dpsync.store.callback_tables import callback
from tests.journeys.installation import TRACKING, Asked, Installation, installed, sqlite_url

pytestmark = pytest.mark.no_database

ADA, NEIGHBOUR = "ada@example.org", "nell@example.org"
ASKED, KNOWN, CANCEL = "POST /v2/requests", "GET /v2/requests/{id}", "DELETE /v2/requests/{id}"
TAKEN, FORGED, UNKNOWN = 202, 403, 422
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@contextmanager
def tracking(database_url: str, folder: Path, *changes: tuple[str, str], web: bool = False) -> Iterator[Installation]:
    """`changes`: of the section, a text and what stands in its place."""
    section = TRACKING
    for old, new in changes:
        assert old in section
        section = section.replace(old, new)
    with installed(folder, database_url, processors=section, web=web) as there:
        there.sandbox.opendsr.add(NEIGHBOUR)
        there.sandbox.opendsr.switch(mute=not web)  # nobody would answer
        yield there


def told(there: Installation, right: Right = Right.ERASURE, email: str = ADA) -> Asked:
    there.sandbox.opendsr.add(email)
    asked = there.ask(right, email)
    there.drive()
    return asked


def state(there: Installation, asked: Asked) -> tuple[State, Rung]:
    return there.state(asked, "tracker"), Rung(there.row(asked, "tracker").rung)


def causes(there: Installation) -> list[str]:
    return [cause for _, cause in there.alerts() if not cause.startswith("target")]


def test_told_is_not_done_and_done_is_the_processors_word(database_url: str, tmp_path: Path) -> None:
    with tracking(database_url, tmp_path) as there:
        asked, box = told(there), there.sandbox.opendsr
        assert state(there, asked) == (State.ACCEPTED, Rung.DELIVERED)  # nobody has checked a signature yet
        (wanted,) = box.wanted()
        assert there.row(asked, "tracker").answer_by == wanted.expected
        there.drive(10 * MINUTE)
        assert state(there, asked) == (State.ACCEPTED, Rung.ACKNOWLEDGED)
        assert there.row(asked, "tracker").reason == UNDER_WAY
        there.drive(2 * DAY)
        there.drive(DAY)
        assert state(there, asked) == (State.DECLARED_DONE, Rung.CONFIRMED)
        assert (box.holds(ADA), box.holds(NEIGHBOUR)) == ([], [("people", "held")])
        read = box.calls(KNOWN)
        there.drive(10 * DAY)
        assert (box.calls(KNOWN), box.calls(ASKED)) == (read, 1)
        assert causes(there) == []
        there.sound()


def test_a_callback_is_a_hint_and_what_it_means_is_read_at_once(database_url: str, tmp_path: Path) -> None:
    with tracking(database_url, tmp_path, web=True) as there:
        asked, box = told(there), there.sandbox.opendsr
        box.act(ADA, "begin")
        box.calls_back("completed")  # which is not so
        there.drive(MINUTE)
        assert state(there, asked) == (State.ACCEPTED, Rung.ACKNOWLEDGED)
        box.act(ADA, "complete")
        there.drive()
        assert state(there, asked) == (State.DECLARED_DONE, Rung.CONFIRMED)
        box.calls_back("pending")
        box.calls_back()  # twice, late and out of order
        there.drive(HOUR)
        assert state(there, asked) == (State.DECLARED_DONE, Rung.CONFIRMED)
        assert box.statuses() == [TAKEN] * 5
        assert causes(there) == []
        there.sound()


@pytest.mark.parametrize(
    "switches", [{"forged": True}, {"unsigned": True}, {"in_body": True}, {"certificate": "stranger"}]
)
def test_a_word_that_the_processor_did_not_sign_counts_for_nothing(switches: dict[str, object], tmp_path: Path) -> None:
    with tracking(sqlite_url(tmp_path), tmp_path, web=True) as there:
        there.sandbox.opendsr.switch(**switches)
        asked, box = told(there), there.sandbox.opendsr
        box.act(ADA, "complete")
        there.drive()
        assert box.statuses() == [FORGED]
        there.drive(4 * DAY)
        assert state(there, asked) == (State.ACCEPTED, Rung.DELIVERED)
        reasons = {certificates.WRONG, certificates.UNSIGNED, certificates.UNTRUSTED}
        assert there.row(asked, "tracker").reason in reasons
        rows = there.service.read(lambda connection: connection.execute(select(t.answer)).all())
        assert rows == []


def test_a_day_that_is_missed_is_a_persons_and_it_is_still_asked(database_url: str, tmp_path: Path) -> None:
    with tracking(database_url, tmp_path) as there:
        box = there.sandbox.opendsr
        box.switch(idle=True, promises=72)
        asked = told(there)
        there.drive(3 * DAY - MINUTE)
        assert state(there, asked) == (State.ACCEPTED, Rung.ACKNOWLEDGED)
        there.drive(2 * MINUTE)
        assert state(there, asked) == (State.ESCALATED, Rung.ACKNOWLEDGED)
        assert causes(there) == ["no_answer"]
        box.act(ADA, "complete")
        there.drive(DAY)
        assert state(there, asked) == (State.DECLARED_DONE, Rung.CONFIRMED)


def test_a_cancelled_request_is_a_no_and_tried_again_another_one(database_url: str, tmp_path: Path) -> None:
    with tracking(database_url, tmp_path) as there:
        asked, box = told(there), there.sandbox.opendsr
        box.act(ADA, "cancel")
        there.drive(10 * MINUTE)
        assert state(there, asked) == (State.REFUSED, Rung.ACKNOWLEDGED)
        assert (there.row(asked, "tracker").reason, causes(there)) == (CANCELLED, ["refused"])
        now, dana = there.clock.now(), Person("Dana Officer", "dana", "asked them again")
        there.service.write(
            lambda unit: decide(unit, there.service.controller, asked.id, DecisionKind.RETRY, dana, now)
        )
        there.drive()
        assert state(there, asked) == (State.ACCEPTED, Rung.ACKNOWLEDGED)
        assert [one.status for one in box.wanted()] == ["cancelled", "pending"]
        assert len({one.id for one in box.wanted()}) == 2


def test_a_withdrawal_is_passed_on_and_only_the_processors_word_says_whether_it_came_in_time(
    database_url: str, tmp_path: Path
) -> None:
    with tracking(database_url, tmp_path) as there:
        box, dana = there.sandbox.opendsr, Person("Dana Officer", "dana", "the wrong person")

        def withdrawn(asked: Asked) -> None:
            service, now = there.service, there.clock.now()
            service.write(lambda unit: decide(unit, service.controller, asked.id, DecisionKind.WITHDRAW, dana, now))
            for _ in range(2):  # what was said is not said again
                callbacks.send_due(there.service, there.clock.now())

        asked = told(there)
        withdrawn(asked)
        assert [one.status for one in box.wanted()] == ["cancelled"]
        assert there.state(asked, "tracker") is State.ACCEPTED, "the yes to the call is no word about the request"
        there.drive(10 * MINUTE)
        assert there.state(asked, "tracker") is State.REFUSED
        assert there.row(asked, "tracker").reason == CANCELLED
        late = told(there, email="ada.2@example.org")
        box.act("ada.2@example.org", "begin")
        withdrawn(late)
        assert box.calls(CANCEL) == 2
        assert there.state(late, "tracker") is State.ACCEPTED, "it goes on there, and the operator was told so"
        assert [row.said for row in there.rows(callback)] == ["", "answered 400"]
        assert all(row.told_at for row in there.rows(callback))
        entries = [json.loads(one.body) for one in there.rows(t.entry)]
        noted = [(one["dest"], one["kind"]) for one in entries if one["event"] == "reminded"]
        assert noted == [("tracker", "withdrawn")] * 2
        there.sound()


def test_what_broke_off_is_looked_for_and_not_asked_twice(database_url: str, tmp_path: Path) -> None:
    with tracking(database_url, tmp_path) as there:
        there.sandbox.opendsr.fault("reset_after_effect", method="POST")
        asked, box = told(there), there.sandbox.opendsr
        assert there.state(asked, "tracker") is State.PENDING
        there.drive(5 * MINUTE)
        assert state(there, asked) == (State.ACCEPTED, Rung.ACKNOWLEDGED)
        assert there.row(asked, "tracker").answer_by == box.wanted()[0].expected
        assert (len(box.wanted()), box.calls(ASKED)) == (1, 1)
        there.sound()


def test_other_rights_go_to_the_contact_by_letter(tmp_path: Path) -> None:
    with tracking(sqlite_url(tmp_path), tmp_path) as there:
        for right in (Right.OPT_OUT, Right.RESTRICTION):
            asked = told(there, right, f"{right}@example.org")
            assert there.row(asked, "tracker").way == Way.NOTICE
        assert there.sandbox.opendsr.calls() == 0


def test_the_copy_of_our_request_is_nowhere_on_the_disk(tmp_path: Path) -> None:
    with tracking(sqlite_url(tmp_path), tmp_path) as there:
        asked = told(there)
        there.drive(3 * DAY)
        assert there.state(asked, "tracker") is State.DECLARED_DONE
        (wanted,) = there.sandbox.opendsr.wanted()
        copy = str(wanted.taken()["encoded_request"]).encode()
        notes = [row.note for row in there.rows(t.evidence) if row.note.startswith("its copy")]
        assert len(notes) == 1
        with sqlite3.connect(tmp_path / "dpsync.db") as opened:
            opened.execute("pragma wal_checkpoint(truncate)")
        found = [path for path in tmp_path.rglob("*") if path.is_file() and copy[:60] in path.read_bytes()]
        assert found == []


def test_the_old_names_and_a_new_key_are_followed(tmp_path: Path) -> None:
    old = ('dsr_url}/v2"\n', 'dsr_url}/v2"\nrequests_path = "/opengdpr_requests"\n')
    with tracking(sqlite_url(tmp_path), tmp_path, old) as there:
        there.sandbox.opendsr.switch(old_names=True, nulls=True)
        asked, box = told(there), there.sandbox.opendsr
        there.drive(10 * MINUTE)
        assert state(there, asked) == (State.ACCEPTED, Rung.ACKNOWLEDGED)
        box.act(ADA, "rotate")
        box.act(ADA, "complete")
        there.drive(2 * HOUR)
        assert state(there, asked) == (State.DECLARED_DONE, Rung.CONFIRMED)
        assert box.calls("POST /v2/opengdpr_requests") == 1


def test_appsflyer_and_mparticle_are_the_same_connector(tmp_path: Path) -> None:
    dialects: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
        ("appsflyer", "/api/gdpr/v1", 'property_id = "id123456789"\n', {"references": {"af": ["appsflyer_id:17"]}}),
        ("mparticle", "/v3", "", {}),
    )
    for dialect, path, more, ids in dialects:
        folder = tmp_path / dialect
        folder.mkdir()
        change = (
            'url = "{opendsr_url}/v2"\n',
            f'url = "{{opendsr_url}}{path}"\ndialect = "{dialect}"\nown_ids = "af"\n{more}',
        )
        with tracking(sqlite_url(folder), folder, change) as there:
            there.sandbox.opendsr.add(ADA, appsflyer_id="17")
            asked = there.ask(Right.ERASURE, ADA, **ids)
            there.drive()
            there.drive(10 * MINUTE)
            assert there.state(asked, "tracker") is State.ACCEPTED
            there.drive(3 * DAY)
            assert state(there, asked) == (State.DECLARED_DONE, Rung.CONFIRMED)
            assert there.sandbox.opendsr.holds(ADA) == []


def test_check_reads_what_it_offers_and_says_what_is_not_signed(tmp_path: Path) -> None:
    with tracking(sqlite_url(tmp_path), tmp_path) as there:
        connector = there.service.controller.processors["tracker"].connector
        assert connector.probe().title == "OpenDSR of opendsr.sandbox.example"
        for certificate in ("expired", "early", "other_name", "self_signed", "elsewhere", "none"):
            there.clock.advance(DAY)
            there.sandbox.opendsr.switch(certificate=certificate)
            with pytest.raises(Exception, match="certificate"):
                connector.probe()
