"""What the database's trouble is called: what passes by itself, what somebody must put right, and what is our defect.

The library's own text may hold values and is never shown: it is only looked at. PostgreSQL's client library gives no
SQLSTATE for a connection that never came about, so there the text decides; libpq's own is always English, and so is the
server's unless `lc_messages` says otherwise. What is not known is called away, which is never wrong for long.
https://www.postgresql.org/docs/current/errcodes-appendix.html, https://sqlite.org/rescode.html
"""

import re
import sqlite3
from pathlib import Path

from sqlalchemy.engine import make_url
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, InterfaceError, OperationalError

from dpsync import paths
from dpsync.errors import DpsyncError, Locked, StoreAway, StoreProblem
from dpsync.paths import TroubleKind, Unusable

RESTORE = "`dpsync restore DIR` puts the newest back-up in its place"
"""The way out wherever the database itself is damaged."""

DAMAGED = f"the database is damaged, or is none: {RESTORE}"
LOCKED = "another process holds the database; try again in a moment"
FULL = "the disk that holds the database is full: make room, and it goes on by itself"
POOLER = (
    "a connection pooler stands before the database and does not let through what dpsync needs: take `options` out of "
    "[store] url, or connect to PostgreSQL directly"
)


def trouble(error: DBAPIError, url: str = "") -> DpsyncError | None:
    """The trouble in our words; None where it is a defect of ours, which the database has only seen.

    `StoreAway` and `Locked` pass by themselves, `StoreProblem` does not. `url` is that of the settings; of it only a
    SQLite file's path is shown.
    """
    if isinstance(error, (IntegrityError, DataError)):
        return None
    if isinstance(error.orig, sqlite3.Error):
        return _of_sqlite(error.orig, url)
    state = getattr(error.orig, "sqlstate", None)
    return _of_state(state, str(error.orig)) if state else _of_connection(error)


# --- SQLite


def _of_sqlite(error: sqlite3.Error, url: str) -> DpsyncError | None:
    code = getattr(error, "sqlite_errorcode", None)
    match None if code is None else code & 0xFF:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return Locked(LOCKED)
        case sqlite3.SQLITE_FULL:
            return StoreAway(FULL)
        case sqlite3.SQLITE_IOERR | sqlite3.SQLITE_NOMEM:
            return StoreAway("the disk refused what the database asked of it: is it full, gone, or failing?")
        case sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
            return file_trouble(url) or StoreAway("the database cannot be opened just now: is the disk full?")
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return StoreProblem(DAMAGED)
        case _:
            return StoreProblem(
                f"the database refuses what this program asks ({type(error).__name__}): it holds other tables, or is "
                "damaged; `dpsync verify` says more"
            )


def file_trouble(url: str, *, writes: bool = True) -> DpsyncError | None:
    """What is wrong with the place of a SQLite database, or with what lies beside it; None where nothing is seen.

    Without `writes` only what stands there is looked at: quick enough for every command.
    """
    parsed = make_url(url) if url.startswith("sqlite") else None
    if parsed is None or not parsed.database:
        return None
    path = Path(parsed.database)
    back = "put the database back from its newest copy, or name another file in [store] url"
    try:
        if not paths.vacant(path.parent):
            paths.demand_folder(path.parent, writes=writes)
        for one in (path, *sorted(path.parent.glob(f"{path.name}-*"))):
            if not paths.vacant(one):
                paths.demand_file(one, writes=writes)
    except Unusable as unusable:
        trouble = unusable.trouble
        if trouble.kind is TroubleKind.FULL:
            return StoreAway(FULL)
        return StoreProblem(trouble.told(back))
    return None


# --- PostgreSQL, connected

_CLASSES = {
    "08": "the connection to PostgreSQL broke. dpsync connects again",
    "53": "PostgreSQL has too little of something (disk, memory, connections): its log says of what",
    "57": "PostgreSQL is starting, stopping, or has ended our session",
    "58": "PostgreSQL's own disk or system refused: its log says what",
}
_STANDBY = "this PostgreSQL server is a standby, and can only be read: name the primary in [store] url"
_PASSING = {
    "53100": "the disk of the PostgreSQL server is full: make room there, and it goes on by itself",
    "53300": "PostgreSQL takes no more connections: end some, or raise max_connections",
    "25006": _STANDBY,
}
_STATEMENTS = (
    "a connection pooler in statement mode stands before the database, and dpsync needs transactions: use its "
    "transaction or session mode"
)
_HELD = {"40001", "40P01", "55P03", "57014"}
_LASTING = {
    "42501": "the user in [store] url may not do what is needed there: it must own the tables, or be granted CREATE on "
    "their schema",
    "3F000": "the database has no schema of the name that [store] url gives (search_path): create it, or name another",
    "42P01": "the database lacks a table that this program needs: `dpsync init` has not been through, or [store] url "
    "names another database or schema",
    "42703": "the database lacks a column that this program needs: it was made by another version",
    "42P05": POOLER,
    "26000": POOLER,
    "XX001": DAMAGED,
    "XX002": DAMAGED,
}


def _of_state(state: str, said: str) -> DpsyncError | None:
    if state == "0A000" and "recovery" in said:
        return StoreAway(_STANDBY)
    if "statement pooling" in said:
        return StoreProblem(_STATEMENTS)
    if state in _HELD:
        return Locked(LOCKED)
    if state in _LASTING:
        return StoreProblem(_LASTING[state])
    if state in _PASSING:
        return StoreAway(_PASSING[state])
    if state[:2] in _CLASSES:
        return StoreAway(_CLASSES[state[:2]])
    return None


# --- PostgreSQL, not connected

_NOT_NOW = {
    "starting up|shutting down|recovery mode|not (yet )?accepting|consistent recovery state": (
        "PostgreSQL is starting or stopping; it goes on by itself"
    ),
    "too many clients|too many connections|connection slots|no more connections allowed|max_client_conn": (
        _PASSING["53300"]
    ),
    "failed to resolve|could not translate host name|Name or service not known": (
        "the host in [store] url has no address: is its name right, and does this machine reach its name server?"
    ),
}
_NEVER = {
    "unsupported startup parameter": POOLER,
    "database .+ does not exist|no such database": (
        "the PostgreSQL server has no database of the name that [store] url gives: create it (createdb NAME), or put "
        "the right name there"
    ),
    "role .+ does not exist|not permitted to log in|no such user": (
        "the PostgreSQL server has no such user, or does not let it log in: CREATE ROLE NAME LOGIN, or put the right "
        "one into [store] url"
    ),
    "no password supplied": (
        "PostgreSQL asks for a password, and [store] url gives none: postgresql://user:password@host/name"
    ),
    "authentication failed|password is incorrect|SASL authentication": (
        "PostgreSQL does not accept the user and password of [store] url: put the right ones there"
    ),
    r"pg_hba\.conf|(SSL|TLS) (is )?required": (
        "PostgreSQL lets this user in neither from here nor in this way: add a line to its pg_hba.conf, or, where that "
        "demands TLS, add ?sslmode=require to [store] url"
    ),
    "does not support SSL|SSL is not enabled|server refused TLS|TLS not supported": (
        "the PostgreSQL server speaks no TLS, and [store] url demands it (sslmode): switch it on there (ssl = on)"
    ),
    "root certificate file|could not read root certificate|could not load root|sslrootcert": (
        "the file of certificates that [store] url names (sslrootcert) is not there, or is none"
    ),
    "does not match host name|could not get server's host name": (
        "the certificate of the PostgreSQL server is for another name than the host in [store] url: use that name"
    ),
    "certificate verify failed|self.signed certificate|unable to get (local )?issuer|certificate has expired": (
        "the certificate of the PostgreSQL server is signed by nobody who is trusted here, or has expired: name the "
        "right authority in [store] url (?sslrootcert=FILE)"
    ),
    "certificate|private key": (
        "the TLS certificates that [store] url names do not fit the server: look at sslcert, sslkey and sslrootcert"
    ),
    'invalid .+ value|invalid connection option|invalid integer|invalid port|invalid URI|invalid percent|missing "="'
    "|unrecognized configuration|invalid value for parameter|permission denied to set parameter": (
        "[store] url holds an option or a value that PostgreSQL does not know"
    ),
}
_UNREACHABLE = "PostgreSQL does not answer where [store] url says: is it running, and does it listen there?"


def _of_connection(error: DBAPIError) -> DpsyncError | None:
    said = str(error.orig)
    for known, kind in ((_NOT_NOW, StoreAway), (_NEVER, StoreProblem)):
        for pattern, sentence in known.items():
            if re.search(pattern, said, re.IGNORECASE):
                return kind(sentence)
    # Other classes without a state are the driver's word on what we asked of it.
    return StoreAway(_UNREACHABLE) if isinstance(error, (OperationalError, InterfaceError)) else None
