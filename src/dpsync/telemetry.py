"""Logs and labels that cannot hold a person: an allow-list of fields, and a form for each of them.

A URL is data, a response body is data, a traceback with locals is data. What is not named here never reaches the line;
what is named but does not look like it should is replaced by a mark. Importing this module is cheap: structlog (0.18 s)
is loaded by the first line.
"""

import logging
import math
import re
import sys
import threading
import traceback
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Literal, TextIO

Level = Literal["debug", "info", "warning", "error"]

WITHHELD = "[withheld]"
"""What stands in a line where a value might have been personal data or a secret."""

WORDS = frozenset({
    "account", "attempt", "cause", "code", "connector", "error", "event_id", "field", "job", "kind", "level", "logger",
    "mode", "module", "outcome", "processor", "propagation", "request", "request_id", "right", "role", "rung", "source",
    "state", "status", "thread", "version", "where", "worker",
})  # fmt: skip
"""Fields that hold one word of ours, an id of ours, or the vendor's id of a call."""

PHRASES = frozenset({
    "causes", "endpoint", "event", "key", "listen", "reason",
})  # fmt: skip
"""Fields that hold a fixed phrase of ours, or an endpoint *template*."""

NUMBERS = frozenset({
    "at", "batch", "count", "done", "due", "due_at", "entries", "held", "late", "line", "number", "open",
    "pending", "port", "received", "seconds", "since", "size", "total", "until", "waiting",
})  # fmt: skip
"""Fields that hold a number or a time, never text."""

# A star stands for a key that the caller made up.
_WORD = re.compile(r"[A-Za-z0-9_.:<>/*-]{0,80}")
# The longest phrase names every ground that a request may have.
_PHRASE = re.compile(r"[A-Za-z0-9 _.,:;/(){}<>+=^'-]{0,300}")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_LABEL = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
# MD5 of an address is Mailchimp's path; 32 hex digits or more are never a word of ours.
_HASH = re.compile(r"[0-9A-Fa-f]{32}")
_TELEPHONE = re.compile(r"\+?[0-9(][0-9 ()./-]{7,}")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_PACKAGE = Path(__file__).resolve().parent

_Event = MutableMapping[str, Any]


# --- what may stand in a line


class Sentence(str):
    """The message of an error of our own catalogue, which may stand as a `reason`. Never text from outside."""

    __slots__ = ()


def allowed(field: str, value: object) -> object:
    """`value` as it may stand in `field` of a log line, else `WITHHELD`."""
    match value:
        case bool() | None:
            return value
        case int():
            return value if abs(value) < 2**53 else WITHHELD
        case float():
            return value if math.isfinite(value) else str(value)
        case datetime():
            return value.astimezone(UTC).isoformat() if value.tzinfo else WITHHELD
        case date():
            return value.isoformat()
        case Sentence() if field == "reason" and value.isprintable():
            return str(value)
        case str():
            return value if _may_stand(field, value) else WITHHELD
        case _:
            return WITHHELD


def _may_stand(field: str, text: str) -> bool:
    form = _WORD if field in WORDS else _PHRASE
    if field in NUMBERS or not form.fullmatch(text):
        return False
    is_url = "://" in text or text.startswith("//")
    is_number = _TELEPHONE.fullmatch(text) and not _DAY.fullmatch(text)
    return not (is_url or is_number or _HASH.search(text))


def _sieve(_logger: object, _method: str, event: _Event) -> _Event:
    known = WORDS | PHRASES | NUMBERS
    kept: _Event = {field: allowed(field, value) for field, value in event.items() if field in known}
    dropped = sorted({field if _NAME.fullmatch(field) else WITHHELD for field in event if field not in known})
    if dropped:
        kept["dropped"] = dropped
    return kept


def _where(error: BaseException) -> str:
    """The innermost place of our own code that the error came through, as `file:line`; "" where there is none."""
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(_PACKAGE):
            return f"{path.relative_to(_PACKAGE.parent)}:{line}"
    return ""


def described(error: BaseException) -> dict[str, str]:
    """The fields of an error: its class, our code (DP-nnn) if it has one, our own file and line. Never its text."""
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    code = getattr(error, "code", "")
    found = {"error": name, "where": _where(error)}
    if isinstance(code, str) and code.startswith("DP-"):
        found["code"] = code
    return {field: value for field, value in found.items() if value}


# --- logs


class Logger:
    """Writes lines of one name. `error`: an exception, of which class and place are kept and nothing else."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def info(self, event: str, *, error: BaseException | None = None, **fields: object) -> None:
        """Write what happened."""
        self._write("info", event, error, fields)

    def warning(self, event: str, *, error: BaseException | None = None, **fields: object) -> None:
        """Write what somebody should see."""
        self._write("warning", event, error, fields)

    def error(self, event: str, *, error: BaseException | None = None, **fields: object) -> None:
        """Write what is wrong."""
        self._write("error", event, error, fields)

    def _write(self, level: Level, event: str, error: BaseException | None, fields: Mapping[str, object]) -> None:
        structlog = _structlog()
        told = {**fields, **(described(error) if error else {}), "logger": self._name}
        if not structlog.is_configured():
            # structlog's own default prints every field as it is.
            configure("info", sys.stderr)
        # A line that cannot be written (closed, a full disk, a reader gone) must not stop what it tells of.
        with suppress(OSError, ValueError):
            getattr(structlog.get_logger(), level)(event, **told)


def _structlog() -> Any:
    """structlog without what it draws in for tracebacks on a terminal: rich, pygments and attrs are 5 MB and 45 ms."""
    if not {"structlog", "rich"} & sys.modules.keys():
        sys.modules["rich"] = None  # type: ignore[assignment]  # because None is how Python is told "not to be had"
        try:
            import structlog
        finally:
            del sys.modules["rich"]
    import structlog

    return structlog


def log(name: str) -> Logger:
    """The log of one module. Cheap; loads nothing."""
    return Logger(name)


def configure(level: Level, stream: TextIO) -> None:
    """From now on lines of `level` and above go to `stream`, one JSON object a line, through the allow-list.

    Other libraries' records of WARNING and above keep name, level and place; their text may be a URL and is not
    written. Calling it again replaces the stream.
    """
    structlog = _structlog()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt=None, utc=True, key="at"),
            _stamped,
            _sieve,
            structlog.processors.JSONRenderer(sort_keys=True),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    for handler in [one for one in root.handlers if isinstance(one, _Foreign)]:
        root.removeHandler(handler)
    root.addHandler(_Foreign())


def guard_threads() -> None:
    """From now on an exception that ends a thread is a log line, not a traceback with its text on stderr."""

    def written(ended: threading.ExceptHookArgs) -> None:
        if ended.exc_value is not None and not isinstance(ended.exc_value, SystemExit):
            log("dpsync.thread").error("thread ended", error=ended.exc_value, thread=getattr(ended.thread, "name", ""))

    threading.excepthook = written


def _stamped(_logger: object, _method: str, event: _Event) -> _Event:
    event["at"] = datetime.fromtimestamp(event["at"], UTC)
    return event


class _Foreign(logging.Handler):
    """Other libraries' log records: that there was one, whence, and of which class; never what it said."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        level: Level = "error" if record.levelno >= logging.ERROR else "warning"
        getattr(log(record.name), level)("said by a library", error=error, module=record.module, line=record.lineno)


# --- labels of metrics


def label(text: str) -> str:
    """`text` as the value of a label, where it is a word of ours; else "other"."""
    return text if _LABEL.fullmatch(text) and not _HASH.search(text) else "other"
