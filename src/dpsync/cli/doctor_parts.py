"""The parts of what `dpsync doctor` collects. Only words, numbers and times of ours: nothing that anybody wrote."""

import os
import platform
import re
import shutil
import sqlite3
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import distribution, distributions
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, func, select

from dpsync import __version__
from dpsync.cli.checks import looked
from dpsync.cli.console import Talk
from dpsync.cli.opening import load_settings, store_errors_named
from dpsync.extras import PACKAGES, is_installed
from dpsync.installation import Installation
from dpsync.reports.housekeeping import jobs
from dpsync.running.metrics import exposition
from dpsync.settings.toml import loads
from dpsync.store import tables as t
from dpsync.store.schema import SCHEMA, schema_version

WORDS: Final = frozenset({"connector", "mode", "regime", "scheme", "mapping", "timezone", "zone", "level", "bounces"})
"""Settings that hold a word of ours. Of other text only its length is told: it may be a name, a secret or a path."""

MOST_ALERTS: Final = 200

_KEY = re.compile(r"[a-z][a-z0-9_-]{0,39}")
_WORD = re.compile(r"[A-Za-z][A-Za-z_/-]{0,39}")


def versions() -> dict[str, Any]:
    """Of dpsync, Python, the system, and each package that is installed."""
    return {
        "dpsync": __version__,
        "schema": SCHEMA,
        "python": sys.version.split()[0],
        "system": {"system": platform.system(), "release": platform.release(), "machine": platform.machine()},
        "sqlite": sqlite3.sqlite_version,
        "extras": {extra: is_installed(extra) for extra in PACKAGES},
        "required": sorted(distribution("dpsync").requires or ()),
        "packages": dict(sorted((one.name.lower(), one.version) for one in distributions())),
    }


def settings_of(config: Path) -> dict[str, Any]:
    """Which keys the file has, and the values that are no text; of text nothing but how long it is."""
    return {"settings": _bare(loads(config.read_text(encoding="utf-8")))}


def _bare(value: object, key: str = "") -> object:
    match value:
        case dict():
            return {name if _KEY.fullmatch(name) else "[a key]": _bare(one, name) for name, one in value.items()}
        case list():
            return [_bare(one, key) for one in value]
        case str() if key in WORDS and _WORD.fullmatch(value):
            return value
        case str():
            return f"[text of {len(value)}]"
        case _:
            return value


def check_of(config: Path) -> dict[str, Any]:
    """What `dpsync check --offline` looked at, how it is, and by which code; not its sentences, which may quote."""
    talk = Talk(quiet=True, config=config)
    lines = looked(talk, offline=True, send_test=False)
    return {"lines": [{"what": one.what, "verdict": one.verdict.value, "code": one.code} for one in lines]}


def disks_of(config: Path) -> dict[str, Any]:
    """How much room there is where dpsync writes, and the mode and owner of each folder. No path."""
    settings = load_settings(config, secrets=False)
    places = {
        "settings": config,
        "keys": settings.keys.directory,
        "anchors": settings.ledger.anchor,
        "receipts": settings.ledger.receipts,
    }
    return {name: _place(config.parent / place) for name, place in places.items()}


def _place(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {"exists": False}
    seen, room = path.stat(), shutil.disk_usage(path)
    return {
        "exists": True,
        "mode": f"{seen.st_mode & 0o7777:04o}",
        "ours": seen.st_uid == os.geteuid(),
        "writable": os.access(path, os.W_OK),
        "bytes_free": room.free,
        "bytes_in_all": room.total,
        "entries": len(list(path.iterdir())) if path.is_dir() else None,
    }


@contextmanager
def _opened(config: Path) -> Iterator[Installation]:
    settings = load_settings(config, secrets=False)
    with Installation(config, os.environ, settings=settings) as there, store_errors_named(settings.store.url):
        yield there


def database_of(config: Path) -> dict[str, Any]:
    """Its kind and version, its schema, how many rows each table has, jobs, accounts and workers."""

    def read(connection: Connection) -> dict[str, Any]:
        a, w = t.account.c, t.worker.c
        accounts = connection.execute(select(a.id, a.stopped, a.failures, a.paused_until, a.blocked_since))
        return {
            "dialect": connection.dialect.name,
            "server": ".".join(str(one) for one in connection.dialect.server_version_info or ()),
            "rows": {
                name: connection.execute(select(func.count()).select_from(table)).scalar_one()
                for name, table in sorted(t.metadata.tables.items())
            },
            "jobs": [
                {"name": one.name, "last_ok_at": one.last_ok_at, "due_at": one.due_at} for one in jobs(connection)
            ],
            "accounts": [dict(row) for row in accounts.mappings()],
            "workers": [row.beat_until for row in connection.execute(select(w.beat_until))],
        }

    with _opened(config) as there:
        return {"schema": schema_version(there.engine), **there.read(read)}


def alerts_of(config: Path) -> dict[str, Any]:
    """The newest alerts: what each is about, to which role, when, and whether it went. Not what it says."""
    a = t.alert.c
    newest = select(a.cause, a.role, a.day, a.part, a.attempts, a.created_at, a.sent_at).order_by(a.id.desc())

    def read(connection: Connection) -> list[Mapping[str, Any]]:
        return [dict(row) for row in connection.execute(newest.limit(MOST_ALERTS)).mappings()]

    with _opened(config) as there:
        return {"alerts": there.read(read)}


def metrics_of(config: Path) -> str:
    """What /metrics tells."""
    with _opened(config) as there:
        return exposition(there)[0].decode()
