"""What must be so in a main database for its outbox to be worth anything: triggers, a narrow grant, a closed line.

A CRM rebuilds its triggers by itself, after an update or a new field. Then nothing fails and nothing comes any more, so
they are counted.
"""

import re
from collections.abc import Callable, Sequence
from typing import Final

from sqlalchemy import Connection, text

from dpsync.intake.polling.table import SourceOutbox
from dpsync.urls import is_loopback

PROCEDURE: Final = "dpsync_triggers"
"""What lists the triggers on MariaDB and MySQL: without it, one sees only those of tables that one may add some to."""

_SERVED: Final = frozenset({"SELECT", "UPDATE"})
_TRIALS: Final = re.compile(r" ON `test(\\{1,2}_%)?`\.\* TO PUBLIC\b")
"""What MariaDB lets everybody do in databases for trials, from its installation on: it is no right of this login's."""

_GRANT: Final = re.compile(r"GRANT (?P<what>.+?) ON (?P<kind>PROCEDURE )?(?P<where>\S+) TO ", re.IGNORECASE)


def problems_of(outbox: SourceOutbox, triggers: Sequence[str]) -> list[str]:
    """What is wrong, each as a sentence without its full stop. `triggers`: those that write into it.

    Raises `OutboxAway` where it cannot be reached at all.
    """
    dialect = outbox.url.get_backend_name()
    with outbox.connected() as connection:
        problems = _of_triggers(connection, dialect, triggers)
        if too_much := _GRANTS[dialect](connection, outbox):
            problems.append(f"its login may do more than read and update {outbox.table}: {too_much}")
        if not _is_closed(connection, outbox):
            problems.append("the connection to it is not encrypted")
    return problems


def _of_triggers(connection: Connection, dialect: str, wanted: Sequence[str]) -> list[str]:
    if not wanted:
        return []
    try:
        found = {str(name) for name in connection.execute(text(_TRIGGERS[dialect])).scalars()}
    except Exception:  # noqa: BLE001 - because a driver may raise what it likes, and none of it counts a trigger
        connection.rollback()
        return ["dpsync cannot count its triggers, so it does not know whether changes there reach it"]
    missing = [name for name in wanted if name not in found]
    return [f"it lacks {', '.join(missing)}: changes there reach nobody"] if missing else []


_TRIGGERS: Final = {
    "mysql": f"CALL {PROCEDURE}()",
    # O and A fire; D is disabled, and R fires on a replica only.
    "postgresql": "SELECT tgname FROM pg_trigger WHERE tgenabled IN ('O', 'A')",
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'trigger'",
}


def _on_mysql(connection: Connection, outbox: SourceOutbox) -> str:
    in_trials = f"{outbox.url.database}".startswith("test")
    for line in connection.execute(text("SHOW GRANTS")).scalars():
        if _TRIALS.search(str(line)) and not in_trials:
            continue
        found = _GRANT.match(str(line))
        what = {one.strip().upper() for one in found["what"].split(",")} if found else set()
        where = found["where"].replace("`", "").rpartition(".")[2] if found else ""
        if what == {"USAGE"} or (found and found["kind"] and (what, where) == ({"EXECUTE"}, PROCEDURE)):
            continue
        if found is None or found["kind"] or where != outbox.table or what - _SERVED:
            return "see SHOW GRANTS"
    return ""


def _on_postgresql(connection: Connection, outbox: SourceOutbox) -> str:
    beyond = text(
        "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT IN ('pg_catalog', 'information_schema') "
        "AND n.nspname NOT LIKE 'pg_toast%' AND CASE WHEN c.oid = to_regclass(:ours) "
        "THEN has_table_privilege(c.oid, 'INSERT, DELETE, TRUNCATE, TRIGGER') "
        "ELSE has_table_privilege(c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, TRIGGER') END ORDER BY 1 LIMIT 3"
    )
    found = connection.execute(beyond, {"ours": f'"{outbox.table}"'}).scalars().all()
    return f"for example in {', '.join(found)}" if found else ""


def _in_a_file(_connection: Connection, _outbox: SourceOutbox) -> str:
    return ""  # who may do what is up to the file's mode


_GRANTS: Final[dict[str, Callable[[Connection, SourceOutbox], str]]] = {
    "mysql": _on_mysql,
    "postgresql": _on_postgresql,
    "sqlite": _in_a_file,
}


def _is_closed(connection: Connection, outbox: SourceOutbox) -> bool:
    """Whether nobody on the way can read along."""
    host, dialect = outbox.url.host, outbox.url.get_backend_name()
    if dialect == "sqlite" or not host or host.startswith("/") or is_loopback(host):
        return True
    if dialect == "postgresql":
        ssl = text("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        return bool(connection.execute(ssl).scalar_one_or_none())
    cipher = connection.execute(text("SHOW SESSION STATUS LIKE 'Ssl_cipher'")).first()
    return bool(cipher and cipher[1])
