"""A round: one installation, killed again and again while vendors are at fault; then a calm, and what came of it.

Its seed draws everything: what is asked, the faults, the steps, the moments. (What several threads do at such a moment
is not drawn: a replay is the same plan, not the same microsecond.)
"""

import base64
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Self

import requests

from dpsync.sandbox.running import RunningSandbox
from dpsync.sandbox.server import running_sandbox
from dpsync.signature import signed_headers
from tests.crashes.serving import FILE, STEPS, ClockAhead, Start, line_of
from tests.standins.door import free_port

KEY = "sandbox-key-us1"
SECRET = "whsec_" + base64.b64encode(b"kills" * 6).decode()
DESK = "privacy@forms.example"
CONFIG = """\
[controller]
name = "Example Gardens"
dpo = "dpo@example.org"
operator = "it@example.org"
rehearsal = true

[safety]
mode = "live"
irreversible_per_day = 100000

[store]
url = {{ env = "DPSYNC_TEST_DATABASE" }}

[ledger]
origin = "example.org/kills"

[intake]
secrets = [{{ env = "DPSYNC_TEST_SECRET" }}]
listen = "127.0.0.1:{port}"
public_url = "http://127.0.0.1:{port}"

[mail]
host = "{at.smtp_host}"
port = {at.smtp_port}
tls = "none"
from = "privacy@example.org"

[processors.newsletter]
connector = "mailchimp"
contact = "privacy@mailchimp.example"
base_url = "{at.mailchimp_url}"
api_key = {{ env = "DPSYNC_TEST_KEY" }}

[processors.forms]
connector = "notice"
contact = "{desk}"
"""
FAULTS: list[dict[str, Any]] = [
    {"kind": "status", "status": 503},
    {"kind": "status", "status": 429, "retry_after": "1"},
    {"kind": "empty_500"},
    {"kind": "reset_before"},
    {"kind": "reset_after_effect"},
    {"kind": "truncated_json"},
    {"kind": "wrong_length"},
    {"kind": "html_502"},
    {"kind": "drip_body", "seconds": 0.01},
]
LIVES = 20
WAIT = 2.0
"""Real seconds in which a step comes, or the process is killed without it."""
LONG = 120.0


@dataclass
class Asked:
    """A request, and whether the main database has heard that it is accepted."""

    number: int
    right: str
    held: bool
    acknowledged: bool = False

    @property
    def address(self) -> str:
        """Whom it is about."""
        return f"p{self.number}@example.org"

    @property
    def event(self) -> str:
        """By what id it is told twice."""
        return f"evt-{self.number}"

    @property
    def body(self) -> bytes:
        """The message, each time in the same bytes."""
        data: dict[str, Any] = {
            "right": self.right,
            "subject": {"id": f"crm-{self.number}", "email": self.address},
        }
        if self.right == "rectification":
            data["changes"] = {"first_name": "Ada"}
        return json.dumps({"type": "data_subject.request", "data": data}).encode()


class Services:
    """The program that forks services, and those that live."""

    def __init__(self, folder: Path, environ: dict[str, str]) -> None:
        self._folder, self._environ, self.ahead = folder, environ, 0.0
        pipe = subprocess.PIPE
        self._program = subprocess.Popen(
            [sys.executable, "-m", "tests.crashes.serving"], stdin=pipe, stdout=pipe, text=True, bufsize=1
        )
        self.living: list[int] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for pid in list(self.living):
            self.end(pid, signal.SIGKILL)
        self._program.communicate()

    def start(self, kind: str = "serve", step: str = "", nth: int = 0) -> int:
        """Fork one; its process id."""
        start = Start(str(self._folder / "dpsync.toml"), kind, self.ahead, step, nth)
        pid = self._asked(line_of(start, self._environ))
        self.living.append(pid)
        return pid

    def end(self, pid: int, by: signal.Signals) -> int:
        """Its exit code, once it is gone."""
        with suppress(ProcessLookupError):
            os.kill(pid, by)
        return self.gone(pid)

    def gone(self, pid: int) -> int:
        """The same, of one that ends by itself."""
        self.living.remove(pid)
        return self._asked(json.dumps({"wait": pid}))

    def is_ready(self, pid: int) -> bool:
        """Whether it serves."""
        return (self._folder / f"ready-{pid}").exists()

    @staticmethod
    def is_dead(pid: int) -> bool:
        """Whether it ended and waits to be fetched."""
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] == "Z"

    def _asked(self, line: str) -> int:
        assert self._program.stdin is not None
        assert self._program.stdout is not None
        self._program.stdin.write(f"{line}\n")
        return int(self._program.stdout.readline())


def until(done: Callable[[], object], seconds: float) -> bool:
    """Whether it came in that time."""
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


@dataclass
class Round:
    """The installation of one seed, and what its main database knows."""

    seed: int
    folder: Path
    url: str
    services: Services
    sandbox: RunningSandbox
    port: int
    asked: list[Asked] = field(default_factory=list)
    kills: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    @property
    def environ(self) -> dict[str, str]:
        """What its settings refer to."""
        return environ_of(self.url)

    @property
    def is_shared(self) -> bool:
        """Whether two workers drive it."""
        return self.url.startswith("postgresql")

    def lives(self, most: int) -> None:
        """So many kills as fit into a round, `most` at most; then the calm."""
        for number in range(LIVES):
            if self.kills.total() == most:
                break
            self.life(number, most - self.kills.total())
        self.calm()

    def life(self, number: int, most: int) -> None:
        """A service, killed at a step or at a moment; on a server another one beside it, killed later."""
        drawn = Random(f"{self.seed}/{number}")
        self.services.ahead += 600
        self._trouble(drawn)
        step = drawn.choice(["", "at the start", FILE, *STEPS, *STEPS])
        named = step if step in {FILE, *STEPS} else ""
        nth = drawn.randint(1, 12 if "commit" in named else 3)
        pids = [self.services.start("serve", named, nth)]
        steps = {pids[0]: step}
        if self.is_shared:
            beside = drawn.choice(STEPS)
            pids.append(self.services.start("work", beside, drawn.randint(1, 6)))
            steps[pids[1]] = beside
        if step == "at the start":
            time.sleep(drawn.uniform(0.0, 0.4))
        elif until(lambda: self.services.is_ready(pids[0]) or self.services.is_dead(pids[0]), LONG):
            for _ in range(drawn.randint(1, 4)):
                self._draw(drawn)
            self._send()
            if named:
                until(lambda: self.services.is_dead(pids[0]), WAIT)
            else:
                time.sleep(drawn.uniform(0.0, 1.0))
        for pid in pids[:most]:
            came = self.services.is_dead(pid)
            code = self.services.end(pid, signal.SIGKILL)
            if code != -signal.SIGKILL:
                self.wrong.append(f"life {number}: a service ended by itself with {code}")
            self.kills[steps[pid] if came else "at the start" if step == "at the start" else "at a moment"] += 1
            if pid != pids[-1]:
                time.sleep(drawn.choice([0.0, 0.0, 1.0]))

    def calm(self) -> None:
        """Nothing goes wrong any more: everything that was accepted is brought to its end."""
        self.sandbox.clear_faults()
        self.sandbox.rule(DESK, "confirm_contact")
        for wait in (600, 3600, 3600, 7200, 14400, 14400, 28800, 28800):
            self.services.ahead += wait
            pids = [self.services.start()]
            assert until(lambda: self.services.is_ready(pids[0]) or self.services.is_dead(pids[0]), LONG)  # noqa: B023 - because it is asked at once
            self._send()
            until(self._through, 5.0)
            code = self.services.end(pids[0], signal.SIGTERM)
            if code:
                self.wrong.append(f"a service in the calm ended with {code}")
            if self._through():  # on a busy machine it may come while the service ends
                return
        unheard = sum(not one.acknowledged for one in self.asked)
        self.wrong.append(f"not brought to its end: {self._open()}, and {unheard} not accepted")

    def _trouble(self, drawn: Random) -> None:
        self.sandbox.clear_faults()
        for fault in drawn.sample(FAULTS, drawn.choice([0, 0, 1, 1, 2])):
            self.sandbox.fault(**fault, nth=drawn.randint(1, 4))
        late = {"times": 1} if drawn.random() < 0.2 else {}
        self.sandbox.rule(DESK, "confirm_contact", *(["later"] if late else []), **late)

    def _draw(self, drawn: Random) -> None:
        number = len(self.asked)
        right = drawn.choice(["erasure", "erasure", "opt_out", "rectification"])
        one = Asked(number, right, held=drawn.random() < 0.85)
        if one.held:
            self.sandbox.add(one.address, merge_fields={"FNAME": "Before"})
        self.asked.append(one)

    def _send(self) -> None:
        """What a main database does: it sends again what it has no 202 for."""
        for one in self.asked:
            if one.acknowledged:
                continue
            headers = signed_headers(SECRET, one.event, ClockAhead(self.services.ahead).now(), one.body)
            with suppress(requests.RequestException):
                reply = requests.post(
                    f"http://127.0.0.1:{self.port}/requests", data=one.body, headers=headers, timeout=20
                )
                one.acknowledged = reply.status_code == 202

    def _open(self) -> dict[str, int]:
        from tests.crashes.reckoning import still_open

        return still_open(self.url)

    def _through(self) -> bool:
        return all(one.acknowledged for one in self.asked) and not self._open()


def environ_of(url: str) -> dict[str, str]:
    """The environment of an installation on that database."""
    return {"DPSYNC_TEST_DATABASE": url, "DPSYNC_TEST_SECRET": SECRET, "DPSYNC_TEST_KEY": KEY}


@contextmanager
def begun(seed: int, folder: Path, url: str) -> Iterator[Round]:
    """An installation that has begun, whose contacts have confirmed themselves."""
    port = free_port()
    with ExitStack() as stack:
        held: list[Services] = []
        sandbox = stack.enter_context(
            running_sandbox((KEY,), now=lambda: ClockAhead(held[0].ahead if held else 0.0).now())
        )
        (folder / "dpsync.toml").write_text(CONFIG.format(at=sandbox.addresses, port=port, desk=DESK))
        environ = {**os.environ, **environ_of(url)}
        command = [sys.executable, "-m", "dpsync", "--config", str(folder / "dpsync.toml"), "init"]
        subprocess.run(command, env=environ, check=True, capture_output=True)
        services = stack.enter_context(Services(folder, environ_of(url)))
        held.append(services)
        sandbox.rule(None, "confirm_contact")
        one = Round(seed, folder, url, services, sandbox, port)
        pid = services.start()
        assert until(lambda: services.is_ready(pid), LONG)
        until(lambda: len(sandbox.messages()) >= 2, 10.0)
        sandbox.messages(settled=True)
        assert services.end(pid, signal.SIGTERM) == 0
        yield one
