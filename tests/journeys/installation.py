"""A whole installation on loopback: the real service, the vendors' sandbox, and a clock that only a test turns."""

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import uvicorn

from dpsync import key_register
from dpsync.http import HttpClient
from dpsync.installation import Installation as Opened
from dpsync.intake.answers import Received
from dpsync.intake.limits import serve_config
from dpsync.intake.payload import TestMessage, Withdrawal, parse
from dpsync.intake.reception import Reception
from dpsync.intake.web import create_app
from dpsync.ledger import comparison
from dpsync.ledger.receipt_folder import VERIFIER
from dpsync.model import DONE_STATES, Request, Right, State
from dpsync.running.health import Health
from dpsync.running.start import initialise, start
from dpsync.sandbox.server import RunningSandbox, running_sandbox
from dpsync.sealing import Keys
from dpsync.service import Service, receiver_of, worker_of
from dpsync.smtp import Mailer
from dpsync.soundness import verify_ledger
from dpsync.store import tables as t
from tests.builders import TurnableClock, as_written
from tests.databases import lay_out
from tests.told import Told, told_by

KEY = "sandbox-key-us1"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
INBOUND = "Zm9yLXRoZS1qb3VybmV5cy1vbmx5"
SOON = timedelta(minutes=1)
DPO, OPERATOR = "dpo@example.org", "it@example.org"
ERASE = {"method": "POST", "template": "/lists/{list_id}/members/{subscriber_hash}/actions/delete-permanent"}
PATCH = {"method": "PATCH", "template": "/lists/{list_id}/members/{subscriber_hash}"}
NEWSLETTER = """
[processors.newsletter]
title = "Mailchimp, newsletter"
connector = "mailchimp"
contact = "privacy@mailchimp.example"
base_url = "{mailchimp_url}"
api_key = {{ env = "DPSYNC_TEST_KEY" }}
"""
FORMS = """
[processors.forms]
title = "Stratosoft, sign-up forms"
connector = "notice"
contact = "privacy@stratosoft.example"
"""
EVENTS = """
[processors.events]
title = "Eventbrite"
connector = "eventbrite"
contact = "{eventbrite_desk}"
base_url = "{eventbrite_url}"
inbound_secret = {{ env = "DPSYNC_TEST_INBOUND" }}
token = {{ env = "DPSYNC_TEST_EVENTBRITE" }}
"""
MAILINGS = """
[processors.mailings]
title = "Campaign Monitor"
connector = "campaign_monitor"
contact = "privacy@campaignmonitor.example"
base_url = "{campaign_monitor_url}"
api_key = {{ env = "DPSYNC_TEST_CAMPAIGN_MONITOR" }}
"""
ANALYTICS = """
[processors.analytics]
title = "Google Analytics"
connector = "google_analytics"
contact = "web@agency.example"
base_url = "{google_analytics_url}"
client_id = "{google_client}"
client_secret = {{ env = "DPSYNC_TEST_GOOGLE" }}
refresh_token = {{ env = "DPSYNC_TEST_GOOGLE_REFRESH" }}
properties = ["312345678", "412345678"]
"""
SIGNING = """
[processors.signing]
title = "Stratosoft, by webhook"
connector = "webhook"
contact = "privacy@stratosoft.example"
answer_within = "5 days"
url = "{webhook_url}"
inbound_secret = {{ env = "DPSYNC_TEST_INBOUND" }}
secrets = [{{ env = "DPSYNC_TEST_WEBHOOK" }}]
answer_secrets = [{{ env = "DPSYNC_TEST_WEBHOOK_ANSWERS" }}]
"""
TRACKING = """
[processors.tracker]
title = "Example Tracker"
connector = "opendsr"
contact = "privacy@tracker.example"
answer_within = "5 days"
url = "{opendsr_url}/v2"
domain = "opendsr.sandbox.example"
credential = {{ env = "DPSYNC_TEST_OPENDSR" }}
authorities = {{ env = "DPSYNC_TEST_AUTHORITY" }}
inbound_secret = {{ env = "DPSYNC_TEST_INBOUND" }}
"""
CONFIG = """\
[controller]
name = "Example Gardens"
dpo = "{dpo}"
operator = "{operator}"
rehearsal = true

[store]
url = {{ env = "DPSYNC_TEST_DATABASE" }}

[ledger]
origin = "example.org/journeys"

[intake]
secrets = [{{ env = "DPSYNC_TEST_SECRET" }}]
public_url = "{public_url}"

[mail]
host = "{smtp_host}"
port = {smtp_port}
tls = "none"
from = "privacy@example.org"
"""


@dataclass(frozen=True)
class Asked:
    """What the main database asked: all that is needed to see at the vendor whether it is so."""

    id: str
    right: Right
    addresses: tuple[str, ...]
    to: str | None = None
    names: Mapping[str, str] = field(default_factory=dict)
    part: bool = False  # an opt-out from a part, of which each test says itself what is so


def receive(service: Opened, request: Request | Withdrawal | TestMessage, body: bytes) -> Received:
    """Let in what the receiver has verified and read; back after the commit."""
    assert not isinstance(request, TestMessage)
    reception, now = Reception(service.controller, service.writer), service.clock.now()
    if isinstance(request, Withdrawal):
        return reception.submit_withdrawal(request, body, now).result(60)
    return reception.submit(request, body, now).result(60)


def differences(service: Opened) -> tuple[str, ...]:
    """Where a row in the database is not what the ledger tells of, as far as there are keys to compare them."""
    shut = service.read(lambda connection: key_register.shut(connection, service.keys))
    return service.read(lambda connection: comparison.differences(connection, service.keys, shut=shut))


class Installation:
    """What is installed in one folder, its sandbox, and what was asked of it."""

    service: Opened

    def __init__(
        self,
        sandbox: RunningSandbox,
        clock: TurnableClock,
        folder: Path,
        url: str,
        environ: Mapping[str, str],
        web: socket.socket | None,
        patience: float | None,
        http: Callable[[TurnableClock], HttpClient] | None,
    ) -> None:
        self.sandbox = sandbox
        self.clock = clock
        self.folder = folder
        self.url = url
        self.environ = environ
        self.asked: list[Asked] = []
        self.running = ExitStack()
        self._web, self._patience, self._http = web, patience, http

    # --- asking

    def ask(self, right: Right, email: str, *, id: str | None = "crm-1", **more: Any) -> Asked:  # noqa: A002 - because it is the field's name in the payload
        """Let a request in as the receiver does. `more`: other fields of the subject, or `changes`, `lifted`."""
        event_id = f"evt-{len(self.asked) + 1}"
        body = self.body(right, email, id=id, **more)
        request = parse(body, source="crm", event_id=event_id, now=self.clock.now())
        received = receive(self.service, request, body)
        return self.remember(received.request_id, right, email, **more)

    def remember(self, request_id: str, right: Right, email: str, **more: Any) -> Asked:
        changes = more.get("changes") or {}
        names = {"FNAME": changes.get("first_name"), "LNAME": changes.get("last_name")}
        made = Asked(
            id=request_id,
            right=right,
            addresses=(email, *more.get("other_emails", ())),
            to=changes.get("email"),
            names={tag: name for tag, name in names.items() if name is not None},
            part="scope" in more,
        )
        self.asked.append(made)
        return made

    def body(self, right: Right, email: str, *, id: str | None = "crm-1", **more: Any) -> bytes:  # noqa: A002 - because it is the field's name in the payload
        data: dict[str, Any] = {
            name: more.pop(name) for name in ("changes", "lifted", "ground", "scope") if name in more
        }
        data |= {"right": str(right), "subject": {"id": id, "email": email, **more}}
        return json.dumps({"type": "data_subject.request", "data": data}).encode()

    # --- going on

    def drive(self, after: timedelta = timedelta(0)) -> None:
        """Turn the clock, drive all that is due, and see at the vendor that nothing is claimed that is not so."""
        self.clock.advance(after)
        Service(self.service).run_once()
        assert self.false_confirmations() == []

    def false_confirmations(self) -> list[str]:
        """Every "done" that the sandbox's own store does not bear out: for the vendor's API only."""
        states = {one.id: self.states(one) for one in self.asked}
        return [
            f"{one.right} is {states[one.id]['newsletter']}"
            for one in self.asked
            if states[one.id].get("newsletter") in DONE_STATES and not self.is_so(one)
        ]

    def is_so(self, one: Asked) -> bool:
        """Whether the vendor's store is as this request asked, whatever anybody says."""
        held = [status for address in one.addresses for _, status in self.sandbox.holds(address)]
        match one.right:
            case Right.ERASURE:
                return not held
            case Right.OPT_OUT:
                return one.part or set(held) <= {"unsubscribed", "archived", "cleaned"}
            case Right.RESTRICTION:
                return set(held) <= {"archived"}
            case Right.RECTIFICATION:
                found = self.sandbox.holdings(one.to or one.addresses[0])
                put_right = all(dict(there.merge_fields).items() >= one.names.items() for there in found)
                return put_right and (one.to is None or not held)

    # --- looking

    def rows(self, table: Any) -> list[Any]:
        return self.service.read(lambda connection: list(connection.execute(as_written(table))))

    def row(self, one: Asked, processor: str = "newsletter") -> Any:
        return next(row for row in self.rows(t.propagation) if (row.request_id, row.processor) == (one.id, processor))

    def states(self, one: Asked) -> dict[str, State]:
        return {row.processor: State(row.state) for row in self.rows(t.propagation) if row.request_id == one.id}

    def state(self, one: Asked, processor: str = "newsletter") -> State:
        return self.states(one)[processor]

    def alerts(self) -> list[tuple[str, str]]:
        """(role, cause) of every alert, in order."""
        return [(row.role, row.cause) for row in self.rows(t.alert)]

    def told(self) -> list[Told]:
        """What the outbox tells, the oldest first."""
        return told_by(self.service.read)

    def sound(self) -> None:
        """The ledger verifies, and no propagation was lost."""
        assert verify_ledger(self.service, full=True).problems == ()
        assert differences(self.service) == ()
        wanted = {(one.id, name) for one in self.asked for name in self.service.settings.processors}
        assert {(row.request_id, row.processor) for row in self.rows(t.propagation)} >= wanted

    def verified_by_a_stranger(self, one: Asked, email: str) -> str:
        """What the stand-alone verifier says of the receipt that was written when the request closed."""
        folder = self.service.settings.ledger.receipts
        line = self.service.log.signer.verifier.line
        command = [sys.executable, "-I", str(folder / VERIFIER.name), str(folder / f"{one.id}.json")]
        ended = subprocess.run(
            [*command, "--key", line, "--email", email], capture_output=True, text=True, check=False, timeout=60
        )
        assert ended.returncode in {0, 2}, ended.stderr
        return ended.stdout

    # --- beginning, and beginning anew

    def begin(self) -> None:
        """Open what the settings name, and start."""
        http, mail = self._lent()
        self.service = self.running.enter_context(
            Opened(self.folder / "dpsync.toml", self.environ, clock=self.clock, http=http, mail=mail)
        )
        if http is not None:
            self.running.callback(http.close)
        initialise(self.service)
        start(self.service)
        if self._web is not None:
            self.running.enter_context(receiving(self.service, self._web))

    def restart(self, *changes: tuple[str, str]) -> None:
        """Stop, write each second text into the settings in place of the first, and begin anew."""
        self.running.close()
        reword(self.folder / "dpsync.toml", *changes)
        self.begin()

    def _lent(self) -> tuple[HttpClient | None, Mailer | None]:
        """Our own HTTP client and mail host, where a test wants them otherwise than the settings say."""
        if self._patience is None:
            return self._http and self._http(self.clock), None
        host, port = self.sandbox.smtp_host, self.sandbox.smtp_port
        patience, sender = self._patience, "privacy@example.org"
        mail = Mailer(host, port, "none", None, None, sender, self.clock, timeout=patience, rehearsal=True)
        return HttpClient(self.clock, rehearsal=True, longest=patience), mail

    def start_beside(self) -> None:
        """What a `serve` or `run-once` looks at first, on the same settings and database."""
        with self.another_process() as other:
            start(other)

    @contextmanager
    def another_process(self) -> Iterator[Opened]:
        """A second one on the same settings and database, as a command beside the worker is one."""
        with Opened(self.folder / "dpsync.toml", self.environ, clock=self.clock) as other:
            yield other


def reword(config: Path, *changes: tuple[str, str]) -> None:
    """Write each second text into the settings in place of the first, which must stand there."""
    text = config.read_text(encoding="utf-8")
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    config.write_text(text, encoding="utf-8")


@contextmanager
def receiving(service: Opened, listening: socket.socket) -> Iterator[None]:
    """The receiver, answering on a socket that listens already, and goes on to."""
    worker = worker_of(service)
    app = create_app(receiver_of(service, worker, Health(service, worker)))
    server = uvicorn.Server(serve_config(app, "127.0.0.1", 0))
    thread = threading.Thread(target=server.run, args=([listening.dup()],), name="receiver")
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(60)


@contextmanager
def installed(
    folder: Path,
    database_url: str,
    *,
    processors: str = NEWSLETTER,
    web: bool = False,
    patience: float | None = None,
    http: Callable[[TurnableClock], HttpClient] | None = None,
    key: str = KEY,
) -> Iterator[Installation]:
    """An installation with its sandbox. `web`: the receiver answers too, where links and webhooks lead. `patience`: how
    many seconds one call and one mail may take. `http`: makes another client for the calls.
    """
    clock = TurnableClock()
    lay_out(database_url)
    with (
        running_sandbox((key,), now=clock.now) as sandbox,
        socket.create_server(("127.0.0.1", 0)) as listening,
    ):
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        addresses = sandbox.addresses
        named = {**asdict(addresses), "public_url": url, "dpo": DPO, "operator": OPERATOR}
        config = folder / "dpsync.toml"
        config.write_text((CONFIG + processors).format(**named), encoding="utf-8")
        Keys.create(folder / "keys")
        environ = {"DPSYNC_TEST_DATABASE": database_url, "DPSYNC_TEST_SECRET": SECRET, "DPSYNC_TEST_KEY": key}
        environ |= {"DPSYNC_TEST_EVENTBRITE": addresses.eventbrite_token, "DPSYNC_TEST_INBOUND": INBOUND}
        environ |= {"DPSYNC_TEST_CAMPAIGN_MONITOR": addresses.campaign_monitor_key}
        environ |= {"DPSYNC_TEST_WEBHOOK": addresses.webhook_secret}
        environ |= {"DPSYNC_TEST_OPENDSR": addresses.opendsr_token}
        if "DPSYNC_TEST_AUTHORITY" in processors:
            environ |= {"DPSYNC_TEST_AUTHORITY": sandbox.opendsr.authority()}
        environ |= {"DPSYNC_TEST_WEBHOOK_ANSWERS": addresses.webhook_answer_secret}
        environ |= {"DPSYNC_TEST_ACCESS": "access-0", "DPSYNC_TEST_REFRESH": "refresh-0"}
        environ |= {
            "DPSYNC_TEST_GOOGLE": addresses.google_secret,
            "DPSYNC_TEST_GOOGLE_REFRESH": addresses.google_refresh,
        }
        made = Installation(sandbox, clock, folder, url, environ, listening if web else None, patience, http)
        with made.running:
            made.begin()
            yield made


def sqlite_url(folder: Path) -> str:
    """A SQLite file of its own in that folder."""
    return f"sqlite:///{folder / 'dpsync.db'}"
