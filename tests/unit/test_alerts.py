"""The outbox of alerts on both databases: one a cause and day, none lost, none with a person in it."""

import json
import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Connection, Engine, Row, select

from dpsync.alert_causes import AlertCause
from dpsync.alerts import GATHERED_FOR, Concern, raise_alert
from dpsync.channels import Alert, AlertChannel, AppriseChannel, Delivery, MailChannel, channels_from
from dpsync.outbox import Outbox, reaches_nobody
from dpsync.smtp import Mailer
from dpsync.store.database import reading, writing
from dpsync.store.tables import alert
from tests.faults.counting import Counted
from tests.mailhost import MailHost, TestClock, mail_host

T = TypeVar("T")
LONDON = ZoneInfo("Europe/London")
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
EXPLAINED = "What this means, and what happens if nobody does anything: `dpsync explain refused`"
PEOPLE = {"operator": "it@example.org", "dpo": "dpo@example.org"}


class Database:
    """What `service` hands to the outbox, on the engine under test."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.open = 0

    def call(self, work: Callable[[Connection], T], /) -> T:
        with writing(self.engine) as connection:
            self.open += 1
            try:
                return work(connection)
            finally:
                self.open -= 1

    def read(self, work: Callable[[Connection], T], /) -> T:
        with reading(self.engine) as connection:
            self.open += 1
            try:
                return work(connection)
            finally:
                self.open -= 1

    def rows(self) -> list[Row[Any]]:
        return list(self.read(lambda connection: connection.execute(select(alert).order_by(alert.c.id)).all()))

    def alarm(
        self,
        cause: AlertCause = AlertCause.REFUSED,
        *abouts: str,
        now: datetime = NOW,
        at_once: bool = False,
        **more: str,
    ) -> bool:
        texts = {"role": "dpo", "subject": "A processor refused", "body": "Look. `dpsync status r-1`", **more}
        concerns = [Concern(about, f"{about}: `dpsync retry {about}`", about.partition("/")[2]) for about in abouts]
        return self.call(
            lambda connection: raise_alert(
                connection,
                cause=cause,
                role=texts["role"],
                subject=texts["subject"],
                body=texts["body"],
                now=now,
                zone=LONDON,
                concerns=concerns,
                at_once=at_once,
            )
        )


@pytest.fixture
def database(engine: Engine) -> Database:
    return Database(engine)


class Bell:
    """A channel that rings or does not."""

    def __init__(self, name: str = "bell", *, works: bool = True, watch: Database | None = None) -> None:
        self.name = name
        self.works = works
        self.watch = watch
        self.rung: list[Alert] = []
        self.open_transactions = 0

    def send(self, message: Alert) -> Delivery:
        if self.watch:
            self.open_transactions += self.watch.open
        self.rung.append(message)
        return Delivery(self.name, took=self.works, detail="")


def passes(outbox: Outbox, database: Database, now: datetime) -> int:
    return outbox.send_due(database.call, database.read, now).sent


# --- one a cause and day


@pytest.mark.no_database
def test_a_cause_alerts_once_a_day_by_the_controllers_wall_clock(database: Database) -> None:
    in_july = datetime(2026, 7, 5, 22, 30, tzinfo=UTC)
    assert database.alarm(now=in_july)
    assert not database.alarm(now=in_july + timedelta(minutes=29))
    assert database.alarm(now=in_july + timedelta(minutes=30))  # midnight in London
    assert database.alarm(AlertCause.HELD, now=in_july)
    assert [row.day for row in database.rows()] == ["2026-07-05", "2026-07-06", "2026-07-05"]


@pytest.mark.no_database
def test_an_alert_lives_and_dies_with_the_transaction_of_what_it_tells_of(database: Database) -> None:
    def breaks(connection: Connection) -> None:
        raise_alert(connection, cause=AlertCause.JOB, role="dpo", subject="s", body="b", now=NOW, zone=LONDON)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        database.call(breaks)
    assert database.rows() == []


@pytest.mark.no_database
def test_what_looks_like_an_address_is_struck_out(database: Database) -> None:
    database.alarm(
        subject="About ada@example.org\r\nBcc: x@y.org", body="<ada.l@sub.example.org> and\n'b@c'\x07 `dpsync`"
    )
    (row,) = database.rows()
    assert row.subject == "About [address] Bcc: [address]"
    assert row.body == "<[address]> and\n'[address]' `dpsync`"


@pytest.mark.no_database
def test_no_text_is_too_long_for_a_header(database: Database) -> None:
    database.alarm(subject="x" * 10_000, body="y" * 10_000)
    (row,) = database.rows()
    assert len(row.subject) <= 150
    assert len(row.body) <= 4000


# --- gathered


@pytest.mark.no_database
def test_what_one_cause_is_about_is_one_alert_that_lists_it(database: Database) -> None:
    bell = Bell()
    assert database.alarm(AlertCause.REFUSED, "r-1/forms", "r-1/newsletter")
    assert database.alarm(AlertCause.REFUSED, "r-2/forms")
    assert not database.alarm(AlertCause.REFUSED, "r-1/forms")
    assert passes(Outbox([bell]), database, NOW) == 1
    (message,) = bell.rung
    assert message.subject == "A processor refused (2 processors)"
    assert message.body.splitlines()[2:] == [
        "- r-1/forms: `dpsync retry r-1/forms`",
        "- r-2/forms: `dpsync retry r-2/forms`",
        "- r-1/newsletter: `dpsync retry r-1/newsletter`",
        "",
        EXPLAINED,
    ]


@pytest.mark.no_database
def test_whatever_comes_in_a_day_each_is_told_once_in_two_alerts_and_the_next_morning_at_the_latest(
    database: Database,
) -> None:
    bell = Bell()
    outbox = Outbox([bell])
    raised: dict[str, datetime] = {}
    heard: dict[str, datetime] = {}
    began = datetime(2026, 11, 24, 0, 10, tzinfo=UTC)
    for minute in range(0, 2 * 24 * 60, 10):
        now = began + timedelta(minutes=minute)
        if minute < 24 * 60 - 10 and minute % 60 == 0:
            raised[f"r-{minute}/forms"] = now
            database.alarm(AlertCause.REFUSED, f"r-{minute}/forms", now=now)
        before = len(bell.rung)
        outbox.send_due(database.call, database.read, now)
        for message in bell.rung[before:]:
            for line in message.body.splitlines()[2:-2]:
                about = line.removeprefix("- ").partition(":")[0]
                assert about not in heard, "told twice"
                heard[about] = now
    assert heard.keys() == raised.keys()
    assert len(bell.rung) == 3
    assert heard["r-0/forms"] == began
    assert heard["r-60/forms"] <= began + timedelta(hours=1) + GATHERED_FOR
    assert max(heard.values()) <= datetime(2026, 11, 25, 7, 10, tzinfo=UTC)


def test_what_is_told_at_once_does_not_wait_for_others(database: Database) -> None:
    bell = Bell()
    for number in range(4):
        database.alarm(AlertCause.CREDENTIAL, f"a-{number}", now=NOW + timedelta(minutes=number), at_once=True)
        assert passes(Outbox([bell]), database, NOW + timedelta(minutes=number)) == 1
    assert len({message.id for message in bell.rung}) == 4


@pytest.mark.no_database
def test_nothing_joins_an_alert_that_a_channel_was_given_already(database: Database) -> None:
    down = Bell(works=False)
    database.alarm(AlertCause.REFUSED, "r-1/forms")
    Outbox([down]).send_due(database.call, database.read, NOW)
    database.alarm(AlertCause.REFUSED, "r-2/forms", now=NOW + timedelta(minutes=1))
    Outbox([down]).send_due(database.call, database.read, NOW + timedelta(minutes=2))
    first, repeat = down.rung
    assert (first.id, first.body) == (repeat.id, repeat.body)
    bell = Bell()
    assert passes(Outbox([bell]), database, NOW + timedelta(hours=5)) == 2
    assert "r-2/forms" in bell.rung[-1].body + bell.rung[0].body


@pytest.mark.no_database
def test_of_very_many_the_alert_says_how_many_more_there_are(database: Database) -> None:
    bell = Bell()
    database.alarm(AlertCause.REFUSED, *(f"r-{number:04}/forms" for number in range(2000)))
    passes(Outbox([bell]), database, NOW)
    (message,) = bell.rung
    listed = message.body.count("- r-")
    assert message.body.endswith(f"- and {2000 - listed:,} more: `dpsync status` shows them\n\n{EXPLAINED}")
    assert len(message.body) < 5000


# --- sending


@pytest.mark.no_database
def test_what_is_taken_is_sent_once(database: Database) -> None:
    bell = Bell(watch=database)
    outbox = Outbox([bell])
    database.alarm()
    assert passes(outbox, database, NOW) == 1
    assert passes(outbox, database, NOW + timedelta(days=2)) == 0
    assert [message.subject for message in bell.rung] == ["A processor refused"]
    assert bell.open_transactions == 0
    assert database.rows()[0].sent_at == NOW


@pytest.mark.no_database
@pytest.mark.fault(37)
def test_what_nobody_takes_waits_longer_each_time_but_never_a_quarter_of_an_hour(
    database: Database, counted: Counted
) -> None:
    bell = Bell(works=False)
    outbox = Outbox([bell])
    database.alarm()
    now, waits = NOW, []
    for _ in range(6):
        outbox.send_due(database.call, database.read, now)
        due: datetime = database.rows()[0].due_at
        assert passes(outbox, database, due - timedelta(seconds=1)) == 0
        waits.append((due - now).total_seconds() / 60)
        now = due
    assert waits == [2, 5, 10, 10, 10, 10]
    assert len(bell.rung) == 6
    counted(37, silent_minutes=max(waits))
    bell.works = True
    assert passes(outbox, database, now) == 1


@pytest.mark.no_database
def test_a_crash_while_sending_delays_and_does_not_lose(database: Database) -> None:
    class Dies(Bell):
        def send(self, message: Alert) -> Delivery:
            raise SystemExit

    database.alarm()
    with pytest.raises(SystemExit):
        passes(Outbox([Dies()]), database, NOW)
    bell = Bell()
    assert passes(Outbox([bell]), database, NOW) == 0
    assert passes(Outbox([bell]), database, NOW + timedelta(minutes=2)) == 1


@pytest.mark.parametrize("works", [True, False])
def test_two_senders_at_once_try_it_once(database: Database, works: bool) -> None:
    bell = Bell(works=works)
    database.alarm()

    def other_is_faster(work: Callable[[Connection], T], /) -> T:
        seen = database.read(work)
        passes(Outbox([bell]), database, NOW)
        return seen

    Outbox([bell]).send_due(database.call, other_is_faster, NOW)
    assert len(bell.rung) == 1
    assert database.rows()[0].attempts == 1


@pytest.mark.no_database
def test_one_channel_down_does_not_silence_the_other_and_is_named(database: Database) -> None:
    down, up = Bell("alerts.urls[0]", works=False), Bell("alerts.urls[1]")
    database.alarm()
    done = Outbox([down, up]).send_due(database.call, database.read, NOW)
    assert (done.sent, done.unsent, done.failing) == (1, 0, ("alerts.urls[0]",))
    assert len(up.rung) == 1


@pytest.mark.no_database
def test_a_repeat_is_recognisably_the_same_alert(database: Database) -> None:
    bell = Bell(works=False)
    database.alarm()
    database.alarm(AlertCause.HELD)
    for minutes in (0, 2):
        Outbox([bell]).send_due(database.call, database.read, NOW + timedelta(minutes=minutes))
    ids = [message.id for message in bell.rung]
    assert ids[:2] == ids[2:]
    assert len(set(ids)) == 2


@pytest.mark.no_database
def test_a_rehearsal_says_so_in_every_alert(database: Database) -> None:
    bell = Bell()
    database.alarm()
    passes(Outbox([bell], rehearsal=True), database, NOW)
    assert bell.rung[0].subject.startswith("REHEARSAL")


@pytest.mark.no_database
def test_without_any_channel_alerts_stay(database: Database) -> None:
    database.alarm()
    assert Outbox([]).send_due(database.call, database.read, NOW).unsent == 1
    assert database.rows()[0].attempts == 0


# --- mail


def mailbox(host: MailHost) -> MailChannel:
    mail = Mailer("127.0.0.1", host.port, "none", None, None, "dpsync <dp@example.org>", TestClock(), timeout=60)
    return MailChannel(mail, PEOPLE)


@pytest.mark.no_database
def test_mail_goes_to_the_role_and_says_what_to_do(database: Database) -> None:
    database.alarm()
    database.alarm(AlertCause.HELD, role="operator")
    database.alarm(AlertCause.OVERDUE, role="deputy")  # nobody holds it: the operator must hear of it
    with mail_host() as host:
        assert passes(Outbox([mailbox(host)]), database, NOW) == 3
    assert [letter.to for letter in host.taken] == [("dpo@example.org",), ("it@example.org",), ("it@example.org",)]
    message = message_from_bytes(host.taken[0].raw, policy=policy.default)
    assert message["Subject"] == "A processor refused"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message.get_content().strip().replace("\r\n", "\n") == f"Look. `dpsync status r-1`\n\n{EXPLAINED}"


@pytest.mark.no_database
def test_a_lost_reply_leads_to_the_same_mail_again(database: Database) -> None:
    database.alarm()
    with mail_host(MailHost(lose_final_reply=True)) as host:
        outbox = Outbox([mailbox(host)])
        assert passes(outbox, database, NOW) == 0
        host.lose_final_reply = False
        assert passes(outbox, database, NOW + timedelta(minutes=2)) == 1
    assert host.taken[0].raw == host.taken[1].raw


@pytest.mark.no_database
@pytest.mark.parametrize("reply", ["451 later", "550 no", "530 log in first"])
def test_a_mail_host_that_takes_nothing_leaves_the_alert_waiting(database: Database, reply: str) -> None:
    database.alarm()
    with mail_host(MailHost(replies={"RCPT": reply})) as host:
        done = Outbox([mailbox(host)]).send_due(database.call, database.read, NOW)
    assert (done.sent, done.unsent, done.failing) == (0, 1, ("mail",))
    assert database.rows()[0].sent_at is None


@pytest.mark.no_database
def test_mail_is_the_second_channel_for_the_operator_and_always_one_for_the_dpo(database: Database) -> None:
    database.alarm(AlertCause.TARGET, role="operator")
    with mail_host() as host:
        bell = Bell(works=False)
        outbox = Outbox([bell, mailbox(host)])
        assert passes(outbox, database, NOW) == 1
        assert len(host.taken) == 1, "no other channel took it"
        bell.works = True
        database.alarm(AlertCause.NEAR, role="operator")
        assert passes(outbox, database, NOW) == 1
        assert len(host.taken) == 1, "the bell rang"
        database.alarm(AlertCause.DAY_7, role="dpo")
        assert passes(outbox, database, NOW) == 1
    assert [taken.to for taken in host.taken][1:] == [("dpo@example.org",)]


class Letterbox(MailChannel):
    """Mail that arrives or does not."""

    def __init__(self, *, works: bool) -> None:
        self.works = works
        self.had: list[Alert] = []

    def send(self, message: Alert) -> Delivery:
        self.had.append(message)
        return Delivery(self.name, took=self.works, detail="")


def test_what_is_for_the_dpo_waits_until_their_own_address_has_it_and_a_room_hears_it_once(database: Database) -> None:
    database.alarm(AlertCause.DAY_7, role="dpo")
    room, mail = Bell("room"), Letterbox(works=False)
    outbox = Outbox([room, mail])
    done = outbox.send_due(database.call, database.read, NOW)
    assert (done.sent, done.unsent, done.failing) == (0, 1, ("mail",))
    for hours in (1, 2, 3):
        assert passes(outbox, database, NOW + timedelta(hours=hours)) == 0
    assert (len(room.rung), len(mail.had)) == (1, 4)
    assert database.read(lambda connection: reaches_nobody(connection, NOW + timedelta(hours=3)))
    mail.works = True
    assert passes(outbox, database, NOW + timedelta(hours=4)) == 1
    assert len(room.rung) == 1


def test_another_process_does_not_tell_the_room_again_and_again_while_mail_is_down(database: Database) -> None:
    database.alarm(AlertCause.DAY_7, role="dpo")
    room = Bell("room")
    for hours in range(6):
        assert passes(Outbox([room, Letterbox(works=False)]), database, NOW + timedelta(hours=hours)) == 0
    assert len(room.rung) == 2


@pytest.mark.no_database
def test_without_mail_a_room_is_enough_for_the_dpo_too(database: Database) -> None:
    database.alarm(AlertCause.DAY_7, role="dpo")
    assert passes(Outbox([Bell("room")]), database, NOW) == 1


# --- apprise


@contextmanager
def chat(status: int) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    said: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            said.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status)
            self.send_header("Location", f"http://127.0.0.1:{server.server_port}/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_GET(self) -> None:
            said.append({"followed": self.path})
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - because http.server names it so
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"json://user:hunter2@127.0.0.1:{server.server_port}/hook", said
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.no_database
def test_apprise_carries_the_alert_and_no_pictures_of_its_maker(database: Database) -> None:
    database.alarm()
    with chat(200) as (url, said):
        assert passes(Outbox(channels_from([url], None, PEOPLE)), database, NOW) == 1
    assert said[0]["title"] == "A processor refused"
    assert said[0]["message"].endswith(f"`dpsync status r-1`\n\n{EXPLAINED}")
    assert "github" not in json.dumps(said)


@pytest.mark.no_database
@pytest.mark.parametrize("status", [500, 404, 302])
def test_what_apprise_swallows_is_not_sent(database: Database, status: int, caplog: pytest.LogCaptureFixture) -> None:
    database.alarm()
    with chat(status) as (url, said), caplog.at_level(logging.DEBUG):
        done = Outbox(channels_from([url], None, PEOPLE)).send_due(database.call, database.read, NOW)
    assert (done.sent, done.failing) == (0, ("alerts.urls[0]",))
    assert len(said) == 1
    assert "hunter2" not in caplog.text


@pytest.mark.parametrize("url", ["nonsense", "nosuch://example.org", "json://", ""])
def test_a_url_that_apprise_does_not_know_is_not_sent(url: str) -> None:
    channel = AppriseChannel("alerts.urls[0]", url)
    assert channel.fault() == "is of no kind that apprise knows"
    assert not channel.send(Alert("1", "dpo", "s", "b", NOW)).took


def test_nobody_listening_is_not_sent() -> None:
    channel = AppriseChannel("alerts.urls[0]", "json://127.0.0.1:1/")
    assert channel.fault() is None
    assert not channel.send(Alert("1", "dpo", "s", "b", NOW)).took


@pytest.mark.slow
def test_apprise_is_not_loaded_before_the_first_alert() -> None:
    program = (
        "import sys, dpsync.outbox as a, dpsync.channels as c;"
        "a.Outbox(c.channels_from(['json://127.0.0.1'], None, {}));"
        "print('apprise' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "False"


@pytest.mark.slow
def test_loading_apprise_warns_nobody() -> None:
    program = "import dpsync.channels as c; print(c.AppriseChannel('x', 'json://127.0.0.1').fault() is None)"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.stdout.strip(), done.stderr) == ("True", "")


# --- the test alert


def test_a_test_goes_through_the_outbox_by_every_channel_and_tells_what_each_server_said(database: Database) -> None:
    with mail_host() as host:
        outbox = Outbox([Bell("up"), Bell("down", works=False), mailbox(host)])
        deliveries = outbox.send_test(database.call, database.read, NOW, LONDON)
    assert [(delivery.channel, delivery.took) for delivery in deliveries] == [
        ("up", True),
        ("down", False),
        ("mail", True),
    ]
    assert deliveries[2].detail == "250, id 4ZbX1kQ2; inbox unknown"
    (row,) = database.rows()
    assert row.sent_at == NOW
    assert row.body.endswith("`dpsync check` shows more.")


@pytest.mark.no_database
def test_a_test_that_nobody_took_is_tried_again_later(database: Database) -> None:
    bell = Bell(works=False)
    outbox = Outbox([bell])
    outbox.send_test(database.call, database.read, NOW, LONDON)
    bell.works = True
    assert passes(outbox, database, NOW + timedelta(minutes=2)) == 1


@pytest.mark.no_database
def test_two_tests_a_day_are_both_sent(database: Database) -> None:
    channels: list[AlertChannel] = [Bell()]
    for minutes in (0, 1):
        now = NOW + timedelta(minutes=minutes)
        assert Outbox(channels).send_test(database.call, database.read, now, LONDON)[0].took
