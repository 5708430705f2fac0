"""A fresh installation for a measurement: settings, keys, store; and the sandbox in a process of its own."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dpsync.installation import Installation
from dpsync.running.start import initialise, start
from dpsync.sealing import Keys

ACCOUNTS = 4
AUDIENCE = "bench00000"
SECRET = "whsec_" + "YmVuY2gtc2VjcmV0LWJlbmNoLXNlY3JldC1iZW5jaCE="


def key(account: int) -> str:
    return f"bench{account}-us1"


def address(account: int, number: int) -> str:
    return f"p{account}-{number}@example.org"


@dataclass(frozen=True, slots=True)
class Box:
    """A sandbox that runs."""

    url: str
    control: str


@contextmanager
def sandbox(people: int, latency_ms: float) -> Iterator[Box]:
    """The sandbox, each account with one audience of `people`; answers after `latency_ms`."""
    audiences = [
        {
            "id": AUDIENCE[:-1] + str(account),
            "name": "Bench",
            "members": [{"email": address(account, number)} for number in range(people)],
        }
        for account in range(ACCOUNTS)
    ]
    accounts = [
        {"name": f"bench{account}", "keys": [key(account)], "audiences": [audiences[account]]}
        for account in range(ACCOUNTS)
    ]
    scenario = {"mailchimp": {"accounts": accounts}}
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(scenario, file)
        file.flush()
        command = [sys.executable, "-m", "dpsync.sandbox", "--latency-ms", str(latency_ms), "--scenario", file.name]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        said = json.loads(process.stdout.readline()) if process.stdout else {}
    try:
        yield Box(said["mailchimp_url"], said["control_url"])
    finally:
        process.terminate()
        process.wait(timeout=30)
        if process.stdout:
            process.stdout.close()


UNBRAKED = 1_000_000
"""What is measured without the brake says so."""


def settings(folder: Path, box: Box | None, port: int = 0, *, brake: int = UNBRAKED) -> Path:
    """Write the settings of an installation with one processor an account. Without a box nobody listens there."""
    lines = [
        "[controller]",
        'name = "Bench"',
        'dpo = "dpo@example.org"',
        'operator = "it@example.org"',
        "rehearsal = true",
        "[store]",
        'url = { env = "BENCH_STORE" }',
        "[ledger]",
        'origin = "example.org/bench"',
        "[intake]",
        'secrets = [{ env = "BENCH_SECRET" }]',
        f'listen = "127.0.0.1:{port or 8460}"',
        "[safety]",
        f"irreversible_per_day = {brake}",
    ]
    for account in range(ACCOUNTS):
        lines += [
            f"[processors.p{account}]",
            f'title = "Account {account}"',
            'connector = "mailchimp"',
            f'contact = "privacy@p{account}.example"',
            f'base_url = "{box.url if box else "http://127.0.0.1:9/3.0"}"',
            f'api_key = {{ env = "BENCH_KEY_{account}" }}',
            f'audiences = ["{AUDIENCE[:-1]}{account}"]',
        ]
    path = folder / "dpsync.toml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def environment(store_url: str) -> dict[str, str]:
    keys = {f"BENCH_KEY_{account}": key(account) for account in range(ACCOUNTS)}
    return {**os.environ, **keys, "BENCH_SECRET": SECRET, "BENCH_STORE": store_url}


@contextmanager
def installed(
    store_url: str | None, box: Box | None, port: int = 0, *, brake: int = UNBRAKED
) -> Iterator[tuple[Path, Installation]]:
    """A fresh installation, its store made. `store_url` None: a new SQLite file."""
    with tempfile.TemporaryDirectory(prefix="dpsync-bench-") as name:
        folder = Path(name)
        config = settings(folder, box, port, brake=brake)
        Keys.create(folder / "keys")
        with Installation(config, environment(store_url or f"sqlite:///{folder / 'dpsync.db'}")) as there:
            initialise(there)
            start(there)
            yield config, there
