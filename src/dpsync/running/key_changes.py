"""Changing the signing key, or adding a pepper: on the disk first, then on the record, and only then in use.

Killed anywhere, the old key or the new one signs, and both are known: whoever asks again goes on where it ended.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from types import MappingProxyType
from typing import Final

from sqlalchemy import Connection, select

from dpsync import key_files, key_register
from dpsync.alert_causes import AlertCause
from dpsync.alerts import raise_alert
from dpsync.errors import KeyProblem, UsageError
from dpsync.installation import Installation
from dpsync.key_files import FORMER, PEPPER, SIGNING
from dpsync.ledger import entry, rows
from dpsync.ledger.entry import EntryKind
from dpsync.ledger.note import VerifierKey
from dpsync.propagation.decisions import Person
from dpsync.running import timekeeping
from dpsync.store import tables as t
from dpsync.store.writer import Unit

KIND: Final = "keys"
"""What it is called among the decisions."""

_ROW: Final = "old-keys"

Step = Callable[[str], object]

_NONE: Final[Mapping[str, str]] = MappingProxyType({})
_E = t.entry.c


def change_signing(there: Installation, now: datetime, step: Step = lambda _: None) -> None:
    """Put a new signing key in the place of the one that signs. `record` puts it on the record, in a new installation.

    Raises `UsageError` while the key before still signs beside it, `KeyProblem` where the folder cannot be written.
    """
    former = there.keys.newest_former
    if former is not None and now.date() <= former.last_day:
        raise UsageError(
            f"the signing key was changed on {former.day.isoformat()}, and the one before still signs beside it until "
            f"{former.last_day.isoformat()}: change it again after that"
        )
    key_files.replace_signing(there.settings.keys.directory, now.date(), step)


def add_pepper(there: Installation) -> None:
    """Lay a new pepper beside the older ones. `record` puts it on the record, in a new installation."""
    key_files.add_pepper(there.settings.keys.directory, there.keys.key_version + 1)


def unrecorded(there: Installation) -> tuple[str, ...]:
    """What the keys are called that lie in the folder and are not on the record yet."""
    return tuple(there.read(lambda connection: key_register.unrecorded(connection, there.keys)))


def undecided(there: Installation, key: str) -> dict[str, str]:
    """The newest signing key, or pepper (`key`), where a start put it on the record because its change was cut off: its
    digest by its name. Nobody has said yet who decided it, and why.
    """
    query = select(_E.body).where(_E.request_id.is_(None)).order_by(_E.idx.desc())

    def work(connection: Connection) -> dict[str, str]:
        for row in connection.execute(query.execution_options(yield_per=500)):
            said = entry.decode(row.body)
            name = str(said.get("name", ""))
            if said["event"] == EntryKind.KEY and name.startswith(key):
                return {} if "by" in said else {name: str(said["digest"])}
        return {}

    return there.read(work)


def record(
    there: Installation, now: datetime, person: Person | None = None, decided: Mapping[str, str] = _NONE
) -> tuple[str, ...]:
    """Put each key that is new on the record, and tell the data protection officer of a signing key. Gives their names.

    `person`: who decided it; None where nobody is there to say, because it was cut off before. `decided`: what was
    `undecided` until now.
    """

    def work(unit: Unit) -> tuple[str, ...]:
        found = key_register.unrecorded(unit.connection, there.keys) or dict(decided)
        if not found:
            return ()
        said = person.author.said(rows.own_key(there.keys)) if person else {}
        for name, digest in found.items():
            if not name.startswith(FORMER):  # it had its entry when it was new
                unit.append(None, entry.encode(EntryKind.KEY, now, digest=digest, name=name, **said))
        key_register.tell(unit.connection, there.keys)
        if SIGNING in found and SIGNING not in decided:
            _tell(unit, there, now)
        return tuple(found)

    return there.write(work)


def finish(there: Installation, now: datetime) -> None:
    """Put on the record, and on the card to print, what a change left that was cut off: nobody gives it again then."""
    if record(there, now):
        with suppress(KeyProblem, OSError):  # a folder that is read-only by now: the keys themselves are in it
            key_files.write_card(there.settings.keys.directory, there.keys.fingerprint())


def retire(there: Installation, now: datetime) -> None:
    """Destroy the secret half of each former signing key whose time is over. The operator hears where that fails.

    It signs no more by then. But a clock that is wrong for some days takes no key away whose time is not over.
    """
    if not there.keys.over(now.date()) or not timekeeping.is_calm(there, now, _ROW):
        return
    try:
        there.keys.retire(now.date())
    except (KeyProblem, OSError):  # it signs no more all the same: no reason to stand still
        there.tell(
            cause=AlertCause.FORMER_KEY,
            role="operator",
            subject="A former signing key could not be destroyed",
            body="Its time is over, and it signs no more, but whoever finds its file could still sign with it. Let "
            f"dpsync write in {there.settings.keys.directory} (no links, not read-only), and start it again.",
            now=now,
        )


def lines_of(there: Installation) -> tuple[VerifierKey, ...]:
    """Every key that has signed this ledger: the one that signs now first, then those beside it, then the others."""
    return there.log.keys


def _tell(unit: Unit, there: Installation, now: datetime) -> None:
    former = there.keys.newest_former
    until = f" Until {former.last_day.isoformat()} the one before signs beside it." if former else ""
    raise_alert(
        unit.connection,
        cause=AlertCause.SIGNING_KEY,
        role="dpo",
        subject="The ledger has a new signing key",
        body=f"Its line is {there.log.signer.verifier.line}{until} Keep this line beside the older one: which of them "
        "a receipt needs stands in the receipt. Did nobody tell you of it? Then ask who did it: `dpsync keys show`.",
        now=now,
        zone=there.zone,
    )


WHAT = {SIGNING: "signs the ledger and receipts", PEPPER: "pseudonyms, and what is sealed for no request"}
"""What a key is for, in words."""
