"""Logs and metrics: no line and no label may hold a person."""

import errno
import hashlib
import io
import json
import logging
import subprocess
import sys
import threading
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpsync import telemetry
from dpsync.ciphers import RequestKey
from dpsync.errors import KeyProblem
from dpsync.store import trouble
from dpsync.telemetry import WITHHELD, Sentence

ADDRESS = "ada@example.org"


@pytest.fixture
def stream(log_stream: io.StringIO) -> io.StringIO:
    return log_stream


def _lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_one_json_object_with_time_level_and_name(stream: io.StringIO) -> None:
    telemetry.log("dpsync.drive").info("told", processor="newsletter", attempt=2, seconds=0.5)
    (line,) = _lines(stream)
    assert datetime.fromisoformat(line.pop("at")).tzinfo is not None
    assert line == {
        "event": "told", "level": "info", "logger": "dpsync.drive",
        "processor": "newsletter", "attempt": 2, "seconds": 0.5,
    }  # fmt: skip


def test_an_unknown_field_is_dropped_and_its_name_told(stream: io.StringIO) -> None:
    spread: dict[str, Any] = {"Ada Lovelace": 1}
    telemetry.log("x").info("told", email=ADDRESS, body={"a": 1}, **spread)
    (line,) = _lines(stream)
    assert line["dropped"] == [WITHHELD, "body", "email"]
    assert "Ada" not in stream.getvalue()
    assert ADDRESS not in stream.getvalue()


@pytest.mark.parametrize(
    "value",
    [
        ADDRESS,
        "ada%40example.org",
        "https://api.example.org/3.0/lists",
        "//api.example.org/x",
        "GET /3.0/lists?email=ada",
        "/3.0/lists/ab/members/" + hashlib.md5(b"ada").hexdigest(),  # noqa: S324  # because Mailchimp names people so
        hashlib.sha256(b"ada").hexdigest(),
        hashlib.sha1(b"ada").hexdigest().upper(),  # noqa: S324  # because a plain hash of an address is the address
        "+44 7700 900123",
        "07700900123",
        "Zoë",
        "line\nbreak",
        'quoted "text"',
        "x" * 500,
        b"bytes",
        [ADDRESS],
        {"a": ADDRESS},
        ValueError(ADDRESS),
        2**80,
    ],
)
@pytest.mark.parametrize("field", ["reason", "processor", "count", "event", "request_id"])
def test_a_value_that_may_be_a_person_is_replaced_in_every_field(
    stream: io.StringIO, field: str, value: object
) -> None:
    if field == "event":
        telemetry.log("x").info(value)  # type: ignore[arg-type]  # because a mistake at the call must not leak either
    else:
        telemetry.log("x").info("told", **{field: value})  # type: ignore[arg-type]  # because the fields are any
    assert _lines(stream)[0][field] == WITHHELD


@pytest.mark.parametrize("field", ["processor", "state", "request", "error"])
def test_a_name_with_a_space_cannot_stand_where_one_word_belongs(field: str) -> None:
    assert telemetry.allowed(field, "Ada Lovelace") == WITHHELD


def test_a_sentence_of_our_own_catalogue_stands_as_a_reason_and_as_nothing_else(stream: io.StringIO) -> None:
    kinds = (trouble._NOT_NOW, trouble._NEVER, trouble._CLASSES, trouble._PASSING, trouble._LASTING)
    for said in [trouble._UNREACHABLE, *(sentence for kind in kinds for sentence in kind.values())]:
        telemetry.log("service").warning("waiting for the database", reason=Sentence(said))
        assert _lines(stream)[-1]["reason"] == said
    assert telemetry.allowed("processor", Sentence("is it running?")) == WITHHELD
    assert telemetry.allowed("reason", Sentence("two\nlines")) == WITHHELD
    assert telemetry.allowed("reason", "is it running?") == WITHHELD


def test_no_text_stands_where_a_number_belongs() -> None:
    assert telemetry.allowed("count", "three") == WITHHELD


@pytest.mark.parametrize(
    ("field", "value", "shown"),
    [
        ("endpoint", "DELETE /lists/{list_id}/members/{hash}", "DELETE /lists/{list_id}/members/{hash}"),
        ("request", "r-7K2M9QABCDEFGHJKMNPQRSTVWX", "r-7K2M9QABCDEFGHJKMNPQRSTVWX"),
        ("request_id", "0f8fad5b-d9cb-469f-a165-70867728950e", "0f8fad5b-d9cb-469f-a165-70867728950e"),
        ("reason", "the processor was busy (429)", "the processor was busy (429)"),
        ("where", "dpsync/http.py:120", "dpsync/http.py:120"),
        ("code", "DP-212", "DP-212"),
        ("due", date(2026, 12, 22), "2026-12-22"),
        ("due_at", datetime(2026, 12, 22, tzinfo=UTC), "2026-12-22T00:00:00+00:00"),
        ("status", 503, 503),
        ("held", True, True),
        ("seconds", float("inf"), "inf"),
    ],
)
def test_what_an_operator_needs_passes(field: str, value: object, shown: object) -> None:
    assert telemetry.allowed(field, value) == shown


@given(
    field=st.sampled_from(sorted(telemetry.WORDS | telemetry.PHRASES | telemetry.NUMBERS)),
    before=st.text(max_size=20),
    address=st.emails(),
)
def test_no_address_passes_in_any_field(field: str, before: str, address: str) -> None:
    assert telemetry.allowed(field, before + address) == WITHHELD


def test_an_error_is_told_by_class_code_and_our_own_line_and_never_by_its_text(stream: io.StringIO) -> None:
    try:
        RequestKey(b"short")
    except KeyProblem as error:
        telemetry.log("x").error("failed", error=error, reason="the key did not open")
    telemetry.log("x").error("failed", error=ValueError(ADDRESS))
    ours, foreign = _lines(stream)
    assert (ours["error"], ours["code"]) == ("dpsync.errors.KeyProblem", "DP-202")
    assert ours["where"].startswith("dpsync/ciphers.py:")
    assert foreign["error"] == "ValueError"
    assert "where" not in foreign
    assert ADDRESS not in stream.getvalue()


def test_another_librarys_record_is_told_without_its_text(stream: io.StringIO) -> None:
    logging.getLogger("vendor.pool").warning("retrying %s", f"https://x.example/{ADDRESS}")
    logging.getLogger("vendor.pool").info("quiet %s", ADDRESS)
    logging.getLogger("vendor.pool").error("broke for %s", ADDRESS, exc_info=OSError(ADDRESS))
    first, second = _lines(stream)
    assert (first["event"], first["logger"], first["level"]) == ("said by a library", "vendor.pool", "warning")
    assert (second["error"], second["level"]) == ("OSError", "error")
    assert ADDRESS not in stream.getvalue()


def test_configuring_again_replaces_the_stream_and_doubles_nothing(stream: io.StringIO) -> None:
    second = io.StringIO()
    telemetry.configure("warning", second)
    telemetry.log("x").info("too small")
    telemetry.log("x").warning("told")
    logging.getLogger("vendor").warning("x")
    assert stream.getvalue() == ""
    assert [line["event"] for line in _lines(second)] == ["told", "said by a library"]


def test_a_thread_that_breaks_leaves_a_line_and_no_text(
    stream: io.StringIO, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    telemetry.guard_threads()

    def broken() -> None:
        raise ValueError(ADDRESS)

    thread = threading.Thread(target=broken, name="worker")
    thread.start()
    thread.join()
    (line,) = _lines(stream)
    assert (line["event"], line["error"], line["thread"]) == ("thread ended", "ValueError", "worker")
    assert ADDRESS not in stream.getvalue() + "".join(capsys.readouterr())


def test_a_line_before_any_configuration_passes_the_allow_list_too() -> None:
    script = "from dpsync import telemetry; telemetry.log('x').info('told', email='ada@example.org')"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    assert json.loads(done.stderr)["dropped"] == ["email"]


@pytest.mark.slow
def test_importing_loads_neither_logging_nor_metrics_libraries() -> None:
    script = (
        "import sys; from dpsync import telemetry, settings; telemetry.log('x')\n"
        "print(sorted({'structlog', 'prometheus_client'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_writing_a_line_loads_nothing_for_terminals_and_leaves_it_to_be_had() -> None:
    code = (
        "import sys; from dpsync import telemetry; telemetry.log('test').info('begun'); "
        "print(sorted({'rich', 'pygments', 'attr'} & set(sys.modules))); import rich.table"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


# --- metrics


@pytest.mark.parametrize("broken", ["closed", "full"])
def test_a_line_that_cannot_be_written_stops_nothing(broken: str) -> None:
    class Full(io.StringIO):
        def write(self, _text: str) -> int:
            raise OSError(errno.ENOSPC, "no space left")

    stream = Full() if broken == "full" else io.StringIO()
    telemetry.configure("info", stream)
    if broken == "closed":
        stream.close()
    telemetry.log("service").error("stopping", reason="timed has ended")
