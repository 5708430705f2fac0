"""When a back-up was tried last: a way back that nobody tries is none."""

from datetime import datetime, timedelta

from sqlalchemy import Connection

from dpsync.alert_causes import AlertCause
from dpsync.installation import Installation
from dpsync.reports.housekeeping import DRILL, drilled
from dpsync.reports.words import several
from dpsync.store import meta


def remember(there: Installation, problems: int, now: datetime) -> None:
    """Note that a back-up was tried, and how many problems there were.

    Raises what `Custody.demand` does: nothing is written into a database that lost something.
    """
    there.custody.demand(there.read)
    there.write(lambda unit: note(unit.connection, problems, now))


def note(connection: Connection, problems: int, now: datetime) -> None:
    """The same within a transaction, where nothing is lost."""
    meta.put(connection, DRILL, f"{now.isoformat()} {problems}")


def trouble(there: Installation, now: datetime) -> str:
    """What is wrong: no back-up was tried for as long as the settings say, or it was not good; "" for nothing."""
    section = there.settings.backup
    if section is None:
        return ""
    last = there.read(drilled)
    if last is None:
        return "no back-up was ever tried"
    if last.problems:
        return f"the back-up that was tried last had {several(last.problems, 'problem')}"
    if now - last.at > timedelta(days=section.drill_days):
        return f"no back-up was tried since {last.at.astimezone(there.zone):%d %b %Y}"
    return ""


def tell(there: Installation, now: datetime) -> None:
    """Tell the operator of it, once a day."""
    if not (found := trouble(there, now)):
        return
    there.tell(
        cause=AlertCause.DRILL,
        role="operator",
        subject="Nobody knows whether a back-up can be put back",
        body=f"{found[0].upper()}{found[1:]}. Run `dpsync backup DIR`, then `dpsync drill DIR`, and look whether "
        "`dpsync-backup.timer` runs.",
        now=now,
    )
