"""Every channel for alerts is down: the heartbeat stops, so that whoever watches it tells a person."""

import socket
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from dpsync.alert_causes import AlertCause
from dpsync.running.health import Health
from dpsync.running.jobs import send_alerts
from dpsync.store import tables as t
from tests.faults.counting import Counted
from tests.journeys.installation import NEWSLETTER, installed, sqlite_url
from tests.mailhost import MailHost, mail_host
from tests.unit.test_http import BODY, OK, peer, request_of

MINUTE = timedelta(minutes=1)
WATCHED = NEWSLETTER + '\n[alerts]\nheartbeat = {{ file = "beat" }}\n'


@pytest.mark.fault(37)
def test_while_an_alert_reaches_nobody_the_heartbeat_stops(tmp_path: Path, counted: Counted) -> None:
    beats: list[int] = []

    def hears(sock: socket.socket, over: threading.Event) -> None:
        request_of(sock)
        beats.append(1)
        sock.sendall(OK + BODY)

    host = MailHost()
    with peer(hears) as watcher, mail_host(host):
        (tmp_path / "beat").write_text(watcher.url)
        (tmp_path / "beat").chmod(0o600)
        with installed(tmp_path, sqlite_url(tmp_path), processors=WATCHED) as there:
            there.restart((f"port = {there.sandbox.smtp_port}", f"port = {host.port}"))
            health = Health(there.service, None)

            def beating() -> bool:
                there.clock.advance(MINUTE)
                send_alerts(there.service, there.clock.now())
                before = len(beats)
                health.beat(there.clock.now())
                return len(beats) > before

            assert beating()
            host.replies["RCPT"] = "451 4.3.0 try later"
            there.service.tell(
                cause=AlertCause.JOB,
                role="operator",
                subject="A timed job failed",
                body="It is tried again.",
                now=there.clock.now(),
                at_once=True,
            )
            assert beating(), "once may be a moment of the mail host's"
            silent = 1
            while beating() and silent < 30:
                silent += 1
            counted(37, silent_minutes=silent)
            assert not any(beating() for _ in range(12)), "nobody hears of anything, and it says that all is well"
            host.replies.clear()
            assert any(beating() for _ in range(12))
            assert [row.sent_at is not None for row in there.rows(t.alert)] == [True]
