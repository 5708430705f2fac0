"""A [store] url that leads to another place than before: where was looked is said, what is there, and the way out."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from dpsync.__main__ import main
from dpsync.store.database import open_database, schema_of, writing
from dpsync.store.schema import migrate
from tests.databases import new_database
from tests.journeys.test_store_away import CONFIG
from tests.standins.door import free_port

ASKING = ("status", "report", "run-once", "check", "verify", "serve")


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DPSYNC_TEST_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    path = tmp_path / "dpsync.toml"
    path.write_text(CONFIG.format(port=free_port()), encoding="utf-8")
    return path


@pytest.fixture
def server(postgresql_url: str, tmp_path: Path) -> Iterator[str]:
    with new_database(postgresql_url, tmp_path) as engine:
        yield engine.url.render_as_string(hide_password=False)


def by_hand(url: str, *statements: str) -> None:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for one in statements:
            connection.execute(text(one))
    engine.dispose()


@pytest.fixture
def say(config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> "Say":
    return Say(config, monkeypatch, capsys)


class Say:
    """What commands say of a place; that it is 78 with DP-203."""

    def __init__(self, config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.config, self._monkeypatch, self._capsys = config, monkeypatch, capsys

    def good(self, url: str, command: str) -> None:
        self._monkeypatch.setenv("DPSYNC_TEST_DATABASE", url)
        assert main(["--config", str(self.config), command]) == 0

    def of(self, url: str, *commands: str) -> set[str]:
        """The different sentences of these commands."""
        self._monkeypatch.setenv("DPSYNC_TEST_DATABASE", url)
        found = set()
        for command in commands or ASKING:
            self._capsys.readouterr()
            assert main(["--config", str(self.config), command]) == 78, command
            seen = self._capsys.readouterr()
            assert "Traceback" not in seen.err
            (line,) = [line for line in (seen.out + seen.err).splitlines() if "DP-203" in line and "schema" in line]
            found.add(line[line.index("DP-203") :].split("(dpsync explain")[0].removeprefix("DP-203").strip(" :"))
        return found


def test_another_schema_in_the_url_is_named_with_the_one_that_has_the_tables(server: str, say: Say) -> None:
    say.good(server, "init")
    by_hand(server, "CREATE SCHEMA other")
    (said,) = say.of(f"{server}&options=-csearch_path%3Dother")
    assert "no table of dpsync in the schema other" in said
    assert "they are in the schema public" in said
    assert "take `options` out" in said
    (said,) = say.of(f"{server}&options=-csearch_path%3Dabsent")
    assert "has no schema absent" in said
    assert "they are in the schema public" in said
    say.good(f"{server}&options=-csearch_path%3Dpublic", "status")


def test_a_schema_that_the_url_no_longer_names_is_named_whatever_role_and_database_say(server: str, say: Say) -> None:
    by_hand(server, "CREATE SCHEMA gardens")
    named = f"{server}&options=-csearch_path%3Dgardens"
    say.good(named, "init")
    name = make_url(server).database
    by_hand(server, f"ALTER DATABASE {name} SET search_path = gardens, public")
    (said,) = say.of(server, *ASKING, "init")
    assert "no table of dpsync in the schema public" in said
    assert "options=-csearch_path%3Dgardens" in said
    say.good(named, "status")


def test_a_default_of_role_or_database_leads_nobody_astray(server: str, say: Say) -> None:
    say.good(server, "init")
    name = make_url(server).database
    by_hand(server, "CREATE SCHEMA other", f"ALTER DATABASE {name} SET search_path = other")
    say.good(server, "status")


def test_init_begins_no_ledger_in_another_place_while_one_is_told_of_outside(server: str, say: Say) -> None:
    say.good(server, "init")
    by_hand(server, "CREATE SCHEMA other")
    (said,) = say.of(f"{server}&options=-csearch_path%3Dother", "init")
    assert "in the schema other" in said
    assert "is of this ledger with" in said
    assert "nothing was made" in said


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_an_empty_database_beside_checkpoints_of_a_ledger_is_another_place_or_a_loss(
    kind: str,
    say: Say,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    if kind == "sqlite":
        first, other = f"sqlite:///{tmp_path / 'var' / 'dpsync.db'}", f"sqlite:///{tmp_path / 'dpsync.db'}"
        place = str(tmp_path / "dpsync.db")
    else:
        first = request.getfixturevalue("server")
        name = f"{make_url(first).database}_other"
        by_hand(first, f"DROP DATABASE IF EXISTS {name}", f"CREATE DATABASE {name}")
        other = make_url(first).set(database=name).render_as_string(hide_password=False)
        place = name
    say.good(first, "init")
    older = (tmp_path / "anchors" / "000000000002.checkpoint").read_text(encoding="utf-8")
    newer = older.replace("\n2\n", "\n7\n", 1)  # without its keys nobody can see that this one was not signed
    (tmp_path / "anchors" / "000000000007.checkpoint").write_text(newer, encoding="utf-8")
    monkeypatch.setenv("DPSYNC_TEST_DATABASE", other)
    for command in (*ASKING, "init"):
        capsys.readouterr()
        assert main(["--config", str(say.config), command]) == 78, command
        seen = capsys.readouterr()
        said = seen.out + seen.err
        assert "DP-203" in said
        assert place in said
        assert "is of this ledger with 7 entries" in said
        assert "[store] url" in said
    if kind == "postgresql":
        by_hand(first, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.parametrize(
    ("options", "schema"),
    [
        ("-csearch_path=gardens", "gardens"),
        ("-c search_path=gardens", "gardens"),
        ("--search_path=gardens", "gardens"),
        ("-csearch_path=Gardens", "gardens"),
        ('-csearch_path="Gardens"', "Gardens"),
        ("-csearch_path=gardens,public", "gardens"),
        ('-csearch_path="$user",gardens', "gardens"),
        ("-csearch_path=gardens,\\ public -cwork_mem=4MB", "gardens"),
        ('-csearch_path="the\\ gardens"', "the gardens"),
        ("-csearch_path=one -csearch_path=two", "two"),
        ("-cwork_mem=4MB", "public"),
    ],
)
def test_the_schema_of_a_url_is_the_one_that_postgresql_itself_reads(options: str, schema: str, server: str) -> None:
    url = make_url(server).update_query_dict({"options": options})
    assert schema_of(url) == schema
    by_hand(server, f'CREATE SCHEMA IF NOT EXISTS "{schema}"')
    engine = create_engine(url)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT current_schema()")).scalar_one() == schema
    engine.dispose()
    ours = open_database(url.render_as_string(hide_password=False))
    migrate(ours)
    with writing(ours) as connection:
        assert connection.execute(text("SELECT current_schema()")).scalar_one() == schema
    ours.dispose()
