"""Whether the database's own file is whole: what each engine can say of itself, and no more."""

from sqlalchemy import Connection
from sqlalchemy.exc import DatabaseError, OperationalError

MOST_SHOWN = 3


def problem(connection: Connection, *, thorough: bool = False) -> str:
    """What is wrong with the file, "" where the engine finds nothing.

    SQLite: `PRAGMA quick_check` (pages and rows), or `integrity_check` where `thorough` (indexes against their tables
    too, several times as long). Neither knows whether a value is the one that was written: that is what the ledger
    shows. PostgreSQL reads no page that nobody asks for; see `checksums`.
    """
    if connection.dialect.name != "sqlite":
        return ""
    pragma = "integrity_check" if thorough else "quick_check"
    try:
        rows = connection.exec_driver_sql(f"PRAGMA {pragma}({MOST_SHOWN})").scalars().all()
    except OperationalError:
        raise  # it is locked or away, which passes
    except DatabaseError:
        return f"SQLite cannot even read it ({pragma})"
    return "" if rows == ["ok"] else f"SQLite's {pragma} says: {'; '.join(' '.join(str(row).split()) for row in rows)}"


def checksums(connection: Connection) -> bool | None:
    """Whether PostgreSQL keeps a checksum with each page and refuses one that does not fit; None on SQLite, which has
    none.
    """
    if connection.dialect.name == "sqlite":
        return None
    return bool(connection.exec_driver_sql("SHOW data_checksums").scalar_one() == "on")
