"""A store that is away for a moment is waited for; one that somebody must put right is named, with the way out."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from dpsync.__main__ import main
from dpsync.sealing import Keys
from dpsync.store.database import open_database, writing
from dpsync.store.trouble import trouble
from tests.databases import new_database
from tests.standins.door import door, free_port, refusing, to_server, with_tls

LONG = 90.0
"""Real seconds: how long a busy machine may take for what is waited for."""
CONFIG = """\
[controller]
name = "Example Gardens"
dpo = "dpo@example.org"
operator = "it@example.org"

[store]
url = {{ env = "DPSYNC_TEST_DATABASE" }}

[ledger]
origin = "example.org/dpsync"

[intake]
secrets = [{{ env = "DPSYNC_TEST_SECRET" }}]
listen = "127.0.0.1:{port}"
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DPSYNC_TEST_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    path = tmp_path / "dpsync.toml"
    path.write_text(CONFIG.format(port=free_port()), encoding="utf-8")
    Keys.create(tmp_path / "keys")
    return path


@pytest.fixture
def server(postgresql_url: str, tmp_path: Path) -> Iterator[str]:
    with new_database(postgresql_url, tmp_path) as engine:
        yield engine.url.render_as_string(hide_password=False)


def folder_of(url: str) -> str:
    return str(make_url(url).query["host"])


def by_tcp(url: str, port: int, more: str = "") -> str:
    parsed = make_url(url)
    return f"postgresql://{parsed.username}@127.0.0.1:{port}/{parsed.database}?{more or 'sslmode=disable'}"


# --- waiting


@contextmanager
def listening_as_systemd(folder: Path) -> Iterator[tuple[str, Callable[[str], None]]]:
    """The socket that systemd gives a service, and a wait for a word on it."""
    path = str(folder / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(path)
        heard.settimeout(1)

        def wait_for(word: str) -> None:
            until = time.monotonic() + LONG
            while time.monotonic() < until:
                try:
                    if word in heard.recv(4096).decode():
                        return
                except TimeoutError:
                    continue
            raise AssertionError(f"never told: {word}")

        yield path, wait_for


def cut_off(server: str) -> None:
    """End every connection to this database but one's own."""
    engine = create_engine(server.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        connection.execute(text("SELECT pg_terminate_backend(pid) " + others))
    engine.dispose()


def test_serve_waits_for_a_server_that_is_not_up_yet_and_tells_systemd(
    server: str, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DPSYNC_TEST_DATABASE", server)
    assert main(["--config", str(config), "init"]) == 0
    port = free_port()
    with listening_as_systemd(tmp_path) as (path, told):
        environ = {**os.environ, "DPSYNC_TEST_DATABASE": by_tcp(server, port), "NOTIFY_SOCKET": path}
        environ["WATCHDOG_USEC"] = "2000000"
        command = [sys.executable, "-m", "dpsync", "--config", str(config), "serve"]
        process = subprocess.Popen(command, env=environ, stderr=subprocess.PIPE)
        try:
            told("STATUS=waiting")
            with door(port, to_server(folder_of(server))):
                told("READY=1")
                told("WATCHDOG=1")
            cut_off(server)
            told("STATUS=waiting: PostgreSQL")  # why, in the words of the start, and not that it was slow
            with door(port, to_server(folder_of(server))):
                told("STATUS=ready")
                process.send_signal(signal.SIGTERM)
                told("STOPPING=1")
                assert process.wait(LONG) == 0
        finally:
            process.kill()
            process.communicate()


@pytest.mark.parametrize(("part", "how"), [("timed", "ends"), ("timed", "hangs"), ("worker", "hangs")])
def test_a_service_of_which_a_part_ended_or_hangs_ends_so_that_it_is_started_again(
    part: str, how: str, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DPSYNC_TEST_DATABASE", f"sqlite:///{tmp_path / 'dpsync.db'}")
    assert main(["--config", str(config), "init"]) == 0
    with listening_as_systemd(tmp_path) as (path, told):
        monkeypatch.setenv("NOTIFY_SOCKET", path)
        monkeypatch.setenv("WATCHDOG_USEC", "400000")
        command = [sys.executable, "-m", "tests.crashes.stalling", str(config), part, how]
        root = Path(__file__).parents[2]
        process = subprocess.Popen(command, cwd=root, stderr=subprocess.PIPE, text=True)
        try:
            told("READY=1")
            told(f"to be started again: {part}")
            _, said = process.communicate(timeout=LONG)
        finally:
            process.kill()
            process.wait()
    assert process.returncode == 1, "systemd starts again what failed"
    assert f"{part} " in said


def test_a_command_says_that_the_store_is_away_and_to_try_later(
    server: str, config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DPSYNC_TEST_DATABASE", by_tcp(server, free_port()))
    for command in (["status"], ["check", "--offline"], ["run-once"], ["init"]):
        assert main(["--config", str(config), *command]) == 75, command
        seen = capsys.readouterr()
        assert "DP-205" in seen.out + seen.err


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        ("57P03", "the database system is starting up"),
        ("57P03", "the database system is shutting down"),
        ("57P03", "the database system is not yet accepting connections"),
        ("53300", "sorry, too many clients already"),
        ("53300", "remaining connection slots are reserved for roles with the SUPERUSER attribute"),
        ("XX000", "something that no dpsync has heard of"),
    ],
)
def test_a_server_that_lets_nobody_in_just_now_is_away(
    state: str, sentence: str, server: str, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    monkeypatch.setenv("DPSYNC_TEST_DATABASE", by_tcp(server, port))
    with door(port, refusing(state, sentence)):
        assert main(["--config", str(config), "status"]) == 75


@pytest.mark.parametrize(
    ("state", "sentence", "code", "said"),
    [
        ("57P03", "the database system is not accepting connections", 75, "is starting or stopping"),
        ("08P01", "SSL required", 78, "add ?sslmode=require"),
        ("08P01", "TLS is required", 78, "add ?sslmode=require"),
    ],
)
def test_what_a_server_or_a_pooler_says_at_its_door_has_its_own_sentence(
    state: str,
    sentence: str,
    code: int,
    said: str,
    server: str,
    config: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    port = free_port()
    monkeypatch.setenv("DPSYNC_TEST_DATABASE", by_tcp(server, port))
    with door(port, refusing(state, sentence)):
        assert main(["--config", str(config), "status"]) == code
    assert said in capsys.readouterr().err


PROCESSOR = """
[processors.newsletter]
title = "Mailchimp, newsletter"
connector = "mailchimp"
contact = "privacy@mailchimp.example"
api_key = { env = "DPSYNC_TEST_KEY" }
"""


def test_a_server_that_takes_one_connection_less_than_check_asks_for_is_no_fault_of_dpsync(
    server: str, config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    user, parsed = "dpsync_connects_once", make_url(server)
    config.write_text(config.read_text() + PROCESSOR, encoding="utf-8")
    monkeypatch.setenv("DPSYNC_TEST_KEY", "key-us1")
    monkeypatch.setenv("DPSYNC_TEST_DATABASE", f"postgresql://{user}@/{parsed.database}?host={folder_of(server)}")
    admin = create_engine(server, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"DROP ROLE IF EXISTS {user}"))
        connection.execute(text(f"CREATE ROLE {user} LOGIN"))
        connection.execute(text(f"ALTER DATABASE {parsed.database} OWNER TO {user}"))
        try:
            assert main(["--config", str(config), "init", str(config.parent)]) == 0
            connection.execute(text(f"ALTER ROLE {user} CONNECTION LIMIT 1"))
            capsys.readouterr()
            main(["--config", str(config), "check", "--offline"])
            (line,) = [one for one in capsys.readouterr().out.splitlines() if one.startswith("newsletter")]
        finally:
            connection.execute(text(f"DROP OWNED BY {user}"))
            connection.execute(text(f"ALTER DATABASE {parsed.database} OWNER TO CURRENT_USER"))
            connection.execute(text(f"DROP ROLE {user}"))
    admin.dispose()
    assert "DP-205 PostgreSQL takes no more connections" in line, line


# --- what somebody must put right


def said(
    url: str, config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *command: str
) -> str:
    """What a command says of a store that it can never use; it is 78, with DP-203."""
    monkeypatch.setenv("DPSYNC_TEST_DATABASE", url)
    assert main(["--config", str(config), *(command or ("status",))]) == 78
    seen = capsys.readouterr().err
    assert "DP-203: " in seen
    assert "Traceback" not in seen
    return seen


def test_each_refusal_of_a_server_has_its_own_sentence_with_the_way_out(
    server: str, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    port, parsed = free_port(), make_url(server)
    user = "dpsync_asks_for_a_password"
    admin = create_engine(server, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"DROP ROLE IF EXISTS {user}"))
        connection.execute(text(f"CREATE ROLE {user} LOGIN PASSWORD 'right'"))
        hba = Path(connection.execute(text("SHOW hba_file")).scalar_one())
        line = f"local all {user} scram-sha-256\n"
        if line not in hba.read_text():
            hba.write_text(line + hba.read_text())
        connection.execute(text("SELECT pg_reload_conf()"))
        where = f"@/{parsed.database}?host={folder_of(server)}"
        for _ in range(100):  # the server reads its file when it comes to it
            try:
                create_engine(f"postgresql+psycopg://{user}{where}").connect().close()
            except Exception:  # noqa: BLE001 - because any refusal shows that the line counts
                break
            time.sleep(0.1)
        tell = (config, monkeypatch, capsys)
        assert "does not accept the user and password" in said(f"postgresql://{user}:wrong{where}", *tell)
        assert "asks for a password" in said(f"postgresql://{user}{where}", *tell)
        connection.execute(text(f"DROP ROLE {user}"))
    admin.dispose()
    assert "has no such user" in said(f"postgresql://nobody_of_that_name{where}", *tell)
    assert "no database of the name" in said(server.replace(str(parsed.database), "no_such_database"), *tell)
    assert "option or a value" in said(f"{server}&colour=blue", *tell)
    assert "option or a value" in said(f"{server}&sslmode=perhaps", *tell)
    with door(port, to_server(folder_of(server))):
        assert "speaks no TLS" in said(by_tcp(server, port, "sslmode=require"), *tell)
    with door(port, with_tls(tmp_path)):
        assert "sslrootcert" in said(by_tcp(server, port, f"sslmode=verify-full&sslrootcert={tmp_path}/none"), *tell)
        with_tls(tmp_path, "another")
        other = f"sslmode=verify-ca&sslrootcert={tmp_path}/another.pem"
        assert "signed by nobody who is trusted" in said(by_tcp(server, port, other), *tell)
        own = f"sslmode=verify-full&sslrootcert={tmp_path}/localhost.pem"
        assert "for another name" in said(by_tcp(server, port, own), *tell)


@pytest.mark.parametrize("command", ["status", "serve", "check", "init", "report"])
def test_an_address_that_is_not_set_here_is_named_by_its_key(
    command: str, config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("DPSYNC_TEST_DATABASE", raising=False)
    assert main(["--config", str(config), command]) == 78
    seen = capsys.readouterr()
    assert "DP-204" in seen.out + seen.err
    assert "store.url" in seen.out + seen.err
    assert "DPSYNC_TEST_DATABASE is not set here" in seen.out + seen.err


@pytest.mark.parametrize("url", ["postgresql://host:port/name", "postgresql://user@:x/name"])
def test_an_address_that_is_none_is_a_fault_of_the_settings(
    url: str, config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DPSYNC_TEST_DATABASE", url)
    assert main(["--config", str(config), "status"]) == 78
    assert "store.url: is not the address of a database" in capsys.readouterr().err


def test_a_full_disk_is_away(sqlite_template: Path, tmp_path: Path) -> None:
    path = tmp_path / "dpsync.db"
    path.write_bytes(sqlite_template.read_bytes())
    engine = open_database(f"sqlite:///{path}")
    with writing(engine) as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 1")
        with pytest.raises(DBAPIError, match="full") as full:
            connection.exec_driver_sql("INSERT INTO meta VALUES ('large', hex(zeroblob(1000000)))")
    engine.dispose()
    found = trouble(full.value)
    assert found is not None
    assert (int(found.exit), found.code) == (75, "DP-205")
