"""The floor and dpsync on the same sandbox: erase everybody of four accounts, ten calls at once an account."""

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from hashlib import md5

import requests
from requests.adapters import HTTPAdapter
from sqlalchemy import Engine, event, func, select

from bench.installation import ACCOUNTS, AUDIENCE, Box, address, installed, key
from dpsync.installation import Installation
from dpsync.intake.acceptance import Asked
from dpsync.intake.answers import Received
from dpsync.intake.events import Conflict
from dpsync.intake.reception import receive_all
from dpsync.model import Request, Right, Subject
from dpsync.propagation.controller import Controller
from dpsync.service import Service, worker_of
from dpsync.store import tables as t
from dpsync.store.writer import Unit

AT_ONCE = 10


@dataclass(frozen=True, slots=True)
class Run:
    """One measurement: seconds for `deliveries`, the calls the sandbox saw, and ours a delivery: CPU and statements."""

    name: str
    seconds: float
    deliveries: int
    calls: int
    cpu_ms: float
    statements: float = 0.0


def floor(box: Box, people: int, calls_each: Sequence[str]) -> Run:
    """Threads and a pooled session doing the same HTTP calls as dpsync does for an erasure, and nothing else."""
    cpu, started = time.process_time(), time.monotonic()
    threads = [
        threading.Thread(target=_account, args=(box, account, people, calls_each)) for account in range(ACCOUNTS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.monotonic() - started
    deliveries = ACCOUNTS * people
    cpu_ms = (time.process_time() - cpu) / deliveries * 1000
    return Run("floor", seconds, deliveries, deliveries * len(calls_each), cpu_ms)


def _account(box: Box, account: int, people: int, calls_each: Sequence[str]) -> None:
    session = requests.Session()
    session.trust_env = False
    session.mount("http://", HTTPAdapter(pool_connections=1, pool_maxsize=AT_ONCE))
    session.auth = ("bench", key(account))

    def one(number: int) -> None:
        person = md5(address(account, number).encode(), usedforsecurity=False).hexdigest()
        for template in calls_each:
            method, path = template.split(" ")
            path = path.format(list_id=AUDIENCE[:-1] + str(account), subscriber_hash=person)
            session.request(method, box.url + path, timeout=30)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(one, range(people)))


def calls_of_one_erasure(box: Box) -> list[str]:
    """Which endpoints dpsync calls for one erasure, in the sandbox's own counting; the lists are read once before."""
    with installed(None, box) as (_, there):
        _accept(there, range(1))
        Service(there).run_once()  # the audience is known from here on, as in the middle of a long run
        requests.post(f"{box.control}/counters/reset", timeout=10)
        before = requests.get(f"{box.control}/counters", timeout=10).json()
        _accept(there, range(1, 2))
        Service(there).run_once()
        after = requests.get(f"{box.control}/counters", timeout=10).json()
    made: list[str] = []
    for endpoint, count in after["calls"].items():
        made += [endpoint] * round((count - before["calls"].get(endpoint, 0)) / ACCOUNTS)
    return made


def dpsync(name: str, store_url: str | None, box: Box, people: int) -> Run:
    """The same erasures through the whole of dpsync: lease, attempt begun, call, read-back, ledger."""
    with installed(store_url, box) as (_, there):
        _accept(there, range(people))
        calls = _calls(box)
        worker = worker_of(there)
        worker.start()
        with _counted() as statements:
            cpu, started = time.process_time(), time.monotonic()
            worker.run_until_idle()
            seconds = time.monotonic() - started
        cpu_ms = (time.process_time() - cpu) / (ACCOUNTS * people) * 1000
        verified = there.read(
            lambda connection: connection.execute(
                select(func.count()).where(t.propagation.c.state == "verified")
            ).scalar_one()
        )
        if verified != ACCOUNTS * people:
            raise SystemExit(f"{name}: {verified} of {ACCOUNTS * people} were verified; the measurement says nothing")
        asked = len(statements) / (ACCOUNTS * people)
        return Run(name, seconds, ACCOUNTS * people, _calls(box) - calls, cpu_ms, asked)


@contextmanager
def _counted() -> Iterator[list[None]]:
    """One item for each statement that is asked of a database, an executemany being one."""
    asked: list[None] = []

    def count(*_: object) -> None:
        asked.append(None)

    event.listen(Engine, "before_cursor_execute", count)
    try:
        yield asked
    finally:
        event.remove(Engine, "before_cursor_execute", count)


def _calls(box: Box) -> int:
    return sum(requests.get(f"{box.control}/counters", timeout=10).json()["calls"].values())


def _accept(there: Installation, numbers: range) -> None:
    """One request a person and account; each goes to the one processor that holds the person."""
    now = datetime.now(UTC)
    for account in range(ACCOUNTS):
        only = replace(there.controller, processors={f"p{account}": there.controller.processors[f"p{account}"]})
        accept = partial(accept_all, only)
        futures = []
        for number in numbers:
            person = Subject(id=f"crm-{account}-{number}", email=address(account, number))
            request = Request("bench", f"evt-{account}-{number}", Right.ERASURE, person, now)
            futures.append(there.writer.submit_to(accept, Asked(request, "mac", now)))
        for future in futures:
            future.result()


def accept_all(controller: Controller, unit: Unit, many: Sequence[Asked]) -> list[Received | Conflict]:
    """Let in all that wait, as the receiver does."""
    return receive_all(unit, controller, many)
