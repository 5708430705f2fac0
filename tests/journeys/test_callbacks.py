"""A main database hears what became of its requests: signed, in order, at least once, and from nobody else."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from dpsync.cli.check_doors import callbacks_told
from dpsync.cli.check_lines import CheckLine, CheckResult
from dpsync.errors import ConfigurationError
from dpsync.http import BARRED, TOO_SLOW
from dpsync.intake.payload import parse
from dpsync.model import Right, State
from dpsync.propagation.callbacks import note_contradicted
from dpsync.reports.callbacks import callbacks_of
from dpsync.running import callbacks
from dpsync.running.callback_targets import resume, targets_of
from dpsync.sandbox.main_database import MainDatabase, running_main_database
from dpsync.store.callback_tables import callback, callback_target
from dpsync.urls import is_public
from tests.journeys.calledback import ADA, BEN, CEM, DAY, HOUR, OTHER, SOURCE, Place, begin, place_in
from tests.journeys.installation import ERASE, NEWSLETTER, SECRET, Installation, installed, receive


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return begin(tmp_path_factory.mktemp("begun"))


@pytest.fixture
def place(tmp_path: Path, begun: Path) -> Iterator[Place]:
    with place_in(tmp_path, begun) as made:
        yield made


# --- what it hears


@contextmanager
def at_work(folder: Path, database_url: str) -> Iterator[tuple[Installation, MainDatabase]]:
    with running_main_database(SECRET) as crm:
        settings = NEWSLETTER + SOURCE.replace("URL", crm.url).replace("{", "{{").replace("}", "}}")
        with installed(folder, database_url, processors=settings) as there:
            crm.now = lambda: there.clock.now().timestamp()
            yield there, crm


def test_it_hears_what_was_done_and_what_was_not_and_never_whose(tmp_path: Path, database_url: str) -> None:
    with at_work(tmp_path, database_url) as (there, crm):
        for address in (ADA, BEN):
            there.sandbox.add(address)
        there.sandbox.fault("says_yes_does_nothing", address=BEN, times=1, **ERASE)
        done, not_done = there.ask(Right.ERASURE, ADA, id="crm-1"), there.ask(Right.ERASURE, BEN, id="crm-2")
        there.drive()
        assert there.state(not_done) is State.CONTRADICTED
        heard = {one.data["event"]: one for one in crm.taken}
        assert heard["evt-1"].kind == "dpsync.request.completed"
        assert heard["evt-2"].kind == "dpsync.request.contradicted"
        assert heard["evt-1"].data["request"] == done.id
        assert [(one["name"], one["state"]) for one in heard["evt-1"].data["processors"]] == [
            ("newsletter", "verified")
        ]
        assert [one["state"] for one in heard["evt-2"].data["processors"]] == ["contradicted"]
        said = b"".join(one.body for one in crm.heard).decode() + str(there.rows(callback))
        assert not any(word in said for word in (ADA, BEN, "crm-1", "crm-2"))
        there.sound()


def test_what_no_main_database_asked_for_is_told_to_none(place: Place) -> None:
    place.withdraw(ADA, source="webhook")
    assert (place.send(), place.rows()) == ([], [])


def test_it_hears_once_that_the_legal_date_is_over(place: Place) -> None:
    body = json.dumps(
        {"type": "data_subject.request", "data": {"right": "opt_out", "subject": {"email": ADA}}}
    ).encode()
    received = receive(place.service, parse(body, source="crm", event_id="evt", now=place.clock.now()), body)
    for after in (timedelta(0), 3 * DAY, HOUR):
        place.clock.advance(after)
        callbacks.tell_of_what_nobody_does(place.service, place.clock.now())
    (heard,) = place.send()
    assert (heard.kind, heard.data["request"]) == ("dpsync.request.late", received.request_id)


def test_closed_is_not_completed(place: Place) -> None:
    (request_id,) = place.withdraw(ADA)
    (heard,) = place.send()
    assert (heard.kind, heard.data["request"]) == ("dpsync.request.closed", request_id)
    assert [one["state"] for one in heard.data["processors"]] == ["withdrawn"]
    (row,) = place.rows()
    assert row.told_at == place.clock.now()
    chapters = place.service.read(lambda connection: list(callbacks_of(connection, request_id)))
    assert [one.sentence.partition(" that ")[0] for one in chapters] == ["The main database (crm) took our message"]


# --- how it is told


def test_the_public_library_verifies_a_message_under_each_secret_of_a_change(place: Place) -> None:
    both = '[{ env = "DPSYNC_TEST_OTHER" }, { env = "DPSYNC_TEST_SECRET" }] }'
    place.again(('[{ env = "DPSYNC_TEST_SECRET" }] }', both))
    place.withdraw(ADA)
    (heard,) = place.send()
    for secret in (SECRET, OTHER):
        assert Webhook(secret).verify(heard.body, dict(heard.headers))["type"] == "dpsync.request.closed"


def test_a_process_that_was_killed_while_it_told_tells_it_again_under_the_same_id(place: Place) -> None:
    place.withdraw(ADA)
    command = [sys.executable, "-m", "dpsync", "--config", str(place.folder / "dpsync.toml"), "run-once"]
    children: list[subprocess.Popen[bytes]] = []

    class Killing(list[tuple[int, Mapping[str, str]]]):
        def pop(self, _: Any = 0) -> tuple[int, Mapping[str, str]]:
            os.kill(children[0].pid, signal.SIGKILL)
            super().pop(0)
            return 204, {}

    place.crm.answers = Killing([(204, {})])
    with subprocess.Popen(command, env=place.environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as child:
        children.append(child)
        assert child.wait(60) == -signal.SIGKILL, child.stderr and child.stderr.read()
    assert [row.told_at for row in place.rows()] == [None]
    assert place.send(timedelta(minutes=1)) == [], "the killed one may still be on its way"
    place.send(timedelta(minutes=5))
    assert place.send(HOUR) == []
    first, second = place.crm.heard
    assert (first.id, first.body) == (second.id, second.body)
    assert first.headers["webhook-timestamp"] != second.headers["webhook-timestamp"]
    assert [row.told_at is not None for row in place.rows()] == [True]


def test_hours_of_faults_lose_nothing_keep_the_order_and_are_told_after_a_day(place: Place) -> None:
    place.crm.answers = [(500, {})] * 1000
    place.withdraw(ADA, BEN, CEM)
    for _ in range(23):
        place.send(HOUR)
    attempts = len(place.crm.heard)
    assert 5 <= attempts <= 9, "all wait together, for longer and longer"
    assert {one.id for one in place.crm.heard} == {place.rows()[0].id}
    assert place.causes() == []
    for _ in range(48):
        place.send(HOUR)
    assert place.causes() == ["callback-overdue"]
    place.crm.answers = []
    place.send(DAY)
    assert [one.data["event"] for one in place.crm.taken] == ["evt-1", "evt-2", "evt-3"]
    assert place.rows(callback_target) == []


def test_a_wait_that_it_asks_for_is_kept(place: Place) -> None:
    place.crm.answers = [(503, {"Retry-After": "7200"})]
    place.withdraw(ADA)
    assert [len(place.send(after)) for after in (timedelta(0), HOUR, HOUR)] == [1, 0, 1]


def test_a_no_to_one_message_puts_off_that_one_and_what_follows_about_the_same_request(place: Place) -> None:
    first, second = place.withdraw(ADA, BEN)
    now, controller = place.clock.now(), place.service.controller
    place.service.write(lambda unit: note_contradicted(unit.connection, controller, [first], now))
    place.crm.answers = [(422, {})]
    assert [(one.data["request"], one.status) for one in place.send()] == [(first, 422), (second, 204)]
    assert [(one.data["request"], one.kind) for one in place.send(HOUR)] == [
        (first, "dpsync.request.closed"),
        (first, "dpsync.request.contradicted"),
    ]


def test_410_stops_until_a_person_says_so_or_the_address_is_another(place: Place) -> None:
    place.crm.answers = [(410, {})]
    place.withdraw(ADA, BEN)
    assert len(place.send()) == 1
    assert place.causes() == ["callback-gone"]
    assert place.send(3 * DAY) == []
    place.again(("/dpsync", "/moved"))
    assert len(place.send()) == 2
    place.crm.answers = [(410, {})]
    place.withdraw(CEM)
    assert [len(place.send()), len(place.send(DAY))] == [1, 0]
    place.service.write(lambda unit: resume(unit.connection, place.clock.now()))
    assert len(place.send()) == 1


def test_a_redirect_is_not_followed_and_is_no_yes(place: Place) -> None:
    place.crm.answers = [(307, {"Location": f"{place.crm.url}/elsewhere"})]
    place.withdraw(ADA)
    assert len(place.send()) == 1
    assert [(row.told_at, row.said) for row in place.rows()] == [(None, "answered 307")]


def test_an_answer_that_drips_ends_with_the_time_of_the_call(place: Place) -> None:
    place.crm.drips = True
    place.withdraw(ADA, BEN)
    begun = time.monotonic()
    assert len(place.send(longest=0.4)) == 1, "the second would fare no better"
    assert time.monotonic() - begun < 10
    assert [(row.told_at, row.said) for row in place.rows()] == [(None, TOO_SLOW), (None, "")]


def test_a_refused_signature_is_told_at_once(place: Place) -> None:
    place.crm.secret = OTHER
    place.withdraw(ADA)
    assert [one.status for one in place.send()] == [401]
    assert place.causes() == ["callback-refused"]
    place.crm.secret = SECRET
    assert [one.status for one in place.send(HOUR)] == [204]


def test_check_says_what_it_has_yet_to_hear_and_since_when(place: Place) -> None:
    def said() -> tuple[str, str]:
        *_, line = lines()
        return line.verdict.value, line.text.partition(" since ")[0]

    def lines() -> list[CheckLine]:
        return [one for one in callbacks_told(place.service) if one.what == "callbacks crm"]

    assert [one for one in lines() if "signs with itself" in one.text] != []
    place.again(('[{ env = "DPSYNC_TEST_SECRET" }] }', '[{ env = "DPSYNC_TEST_OTHER" }] }'))
    assert [one for one in lines() if "signs with itself" in one.text] == []
    assert said() == (CheckResult.OK.value, "it was told all that it should hear")
    place.crm.answers = [(500, {}), (410, {})]
    place.withdraw(ADA)
    place.send()
    assert said() == (CheckResult.WAITING.value, "1 message waiting")
    place.clock.advance(DAY)
    assert said() == (CheckResult.PROBLEM.value, "1 message waiting")
    place.send()
    assert said() == (CheckResult.PROBLEM.value, "stopped")


# --- whom it calls


@pytest.mark.parametrize(
    ("host", "named", "heard"), [("127.0.0.1", "", 0), ("localhost", "", 0), ("localhost", "localhost", 1)]
)
def test_inside_the_network_only_the_host_that_the_settings_name_is_called(
    place: Place, host: str, named: str, heard: int
) -> None:
    allowed = f'private_host = "{named}", ' if named else ""
    place.again(('private_host = "127.0.0.1", ', allowed), ("//127.0.0.1:", f"//{host}:"))
    place.withdraw(ADA)
    assert len(place.send()) == heard
    assert [row.said for row in place.rows()] == ["" if heard else BARRED]


def test_an_address_is_inside_however_it_is_written() -> None:
    inside = "127.0.0.1 10.1.2.3 172.16.0.1 192.168.1.1 169.254.169.254 100.64.0.1 0.0.0.0 224.0.0.1 255.255.255.255 "
    inside += (
        ":: ::1 fc00::1 fe80::1%eth0 ff02::1 ::ffff:10.0.0.1 ::127.0.0.1 64:ff9b::a00:1 64:ff9b:1::808:808 2002:a00:1::"
    )
    outside = "8.8.8.8 2606:4700::1111 ::ffff:8.8.8.8 64:ff9b::808:808 2002:808:808::"
    assert [one for one in inside.split() if is_public(one)] == []
    assert [one for one in outside.split() if not is_public(one)] == []


def test_the_settings_name_no_other_private_host_than_that_of_the_address(place: Place) -> None:
    with pytest.raises(ConfigurationError, match="private_host"):
        place.again(('private_host = "127.0.0.1"', 'private_host = "localhost"'))


def test_a_secret_that_cannot_sign_is_named_before_anything_starts(place: Place) -> None:
    place.environ["DPSYNC_TEST_SECRET"] = "not-a-secret"
    place.again()
    with pytest.raises(ConfigurationError, match=r"sources\.crm\.callback\.secrets\[0\]"):
        targets_of(place.service)
