"""Going on after a back-up was put back: what is lost is named, and nothing is told twice unseen.

A database that was put back is older than the world. What it calls open may have been done since, and what was accepted
since it does not know. So everything is paused, each gap becomes an entry, and whatever is open waits for a person: an
erasure, too, may have been withdrawn since, or the person may have come back.
"""

import secrets
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

from sqlalchemy import Connection, select, update

from dpsync import durable, journal_comparison, paths
from dpsync.alert_causes import AlertCause
from dpsync.alerts import Concern, raise_alert
from dpsync.custody.differences import first_few
from dpsync.errors import KeyProblem, LedgerTampered, ProofDamaged, UsageError
from dpsync.installation import Installation
from dpsync.intake.sweeping import after_recovery
from dpsync.journal import AcceptedRequest, Journal, Stretch
from dpsync.ledger import entry, note, rows
from dpsync.ledger.anchors import GAP, OF_OTHERS
from dpsync.ledger.entry import EntryKind
from dpsync.model import Cause, State, Way
from dpsync.paths import Unusable
from dpsync.propagation.controller import Controller
from dpsync.propagation.decisions import Person
from dpsync.propagation.queue.lanes import causes_of
from dpsync.propagation.record import Update, record
from dpsync.propagation.resuming import pause
from dpsync.propagation.rules.lifecycle import Timer
from dpsync.reports.words import several
from dpsync.running import cosigning, drills
from dpsync.running.forgetting import forget_again
from dpsync.running.holding import hold
from dpsync.soundness import key_problems
from dpsync.store import meta
from dpsync.store import tables as t
from dpsync.store.database import worker_lock
from dpsync.store.writer import Unit

MOST_NAMED = 50

KIND = "recover"
"""What it is called among the decisions."""

BEGUN = "recovering"
"""The row of `meta` that says how many entries were put back, while files that tell of more are set aside."""


@dataclass(frozen=True, slots=True)
class Missing:
    """What the database lacks. `lost`: accepted, and not in it; `short`: entries that it lacks at the least.

    `listed`: whether a journal lists all that was accepted. Where not, nobody knows which requests were lost.
    """

    lost: tuple[AcceptedRequest, ...]
    short: int
    listed: bool

    @property
    def said(self) -> str:
        """In words, as far as it is known."""
        if self.listed and not (self.short or self.lost):
            return "nothing is known to be missing"
        counts = [several(self.short, "entry", "entries")] if self.short or self.listed else []
        counts += [f"{journal_comparison.counted(self.lost)} that were accepted"] if self.lost or self.listed else []
        known = f"at least {' and '.join(counts)} are missing" if counts else "nobody knows how much is missing"
        unlisted = "; which requests were lost is not known, for the journal that lists them is gone or damaged"
        return known if self.listed else known + unlisted


@dataclass(frozen=True, slots=True)
class Recovered:
    """What was found and done.

    `aside`: files that knew more, by their new names; `held`: (request, processor) that wait for a person; `unread`:
    titles of the processors whose state nobody can read back; `forgotten`: how many requests were forgotten again, for
    the key of their month is destroyed.
    """

    missing: Missing
    aside: tuple[str, ...]
    held: tuple[tuple[str, str], ...]
    unread: tuple[str, ...]
    forgotten: int


@dataclass(frozen=True, slots=True)
class _Behind:
    """What is known outside and not here. `size`: entries that were put back; `files`: those that know more, the
    journal among them.
    """

    missing: Missing
    size: int
    files: tuple[Path, ...]


def recover(there: Installation, person: Person, now: datetime) -> Recovered:
    """Go on with what the database has; on the record, with the name of who decided it. Killed, it can be run again.

    Raises `UsageError` where nothing is missing, `LedgerTampered` where the database is no older copy but another
    ledger, `ProofDamaged` where a file outside says nothing, `KeyProblem`, `Locked`.
    """
    person.demand(reason=True)
    with worker_lock(there.settings.store.url):
        there.demand_own_store()
        if problems := key_problems(there):
            raise KeyProblem("; ".join(problems))
        behind = _behind(there)
        if not (behind.files or behind.missing.short or behind.missing.lost or there.custody.unrecovered):
            raise UsageError(
                "nothing is missing here, so there is nothing to recover. Was a back-up put back by hand? Then say so: "
                f"make an empty file {there.custody.mark}"
            )
        there.custody.begin_restore(b"")
        unread = _unread(there.controller)
        there.write(lambda unit: cosigning.accept(unit.connection, behind.size, behind.missing.short))
        there.write(lambda unit: _begin(unit, there, behind, unread, person, now))
        held = _hold_all(there, person, now)
        forgotten = forget_again(there, now)
        named = tuple(_set_aside(path).name for path in behind.files)
        there.write(partial(_note_end, now, from_backup=_is_from_backup(there.custody.mark)))
        _set_aside(there.custody.mark)
        there.custody.settle(there.read, there.write, now)
        there.anchor(now)
    return Recovered(behind.missing, named, tuple(held), tuple(unread.values()), forgotten)


def _behind(there: Installation) -> _Behind:
    lying = there.custody.lying(there.read)
    if lying.damaged:
        raise ProofDamaged(first_few(lying.damaged))
    aside = _journals_set_aside(there)

    def work(connection: Connection) -> _Behind:
        # Of a run that was cut off: what it wrote is no part of what was put back.
        size = int(meta.value_of(connection, BEGUN) or there.log.size(connection))
        there.log.verify(connection, full=True).demand()
        for text, place in lying.checkpoints.notes.items():
            if note.parse(text)[0].size <= size and (wrong := there.log.consistent_with(connection, text)):
                raise LedgerTampered(f"this is no older copy of the ledger: anchor {place}: {wrong[0]}")
        tiles = there.custody.tiles.ahead(size) if there.custody.tiles else []
        files = [*there.custody.anchors.ahead(size), *there.custody.receipts.ahead(size), *tiles]
        own = journal_comparison.compared(connection, lying.told, 0, size) if lying.told else None
        if own and (own.lost or own.short):
            files.append(there.custody.journal.path)
        seen = [*filter(None, [own]), *(journal_comparison.compared(connection, one, 0, size) for one in aside)]
        known = max(lying.checkpoints.largest, there.custody.anchors.set_aside) - size
        lost = tuple(dict.fromkeys(lost for one in seen for lost in one.lost))
        short = max([0, known, *(one.short for one in seen)])
        listed = bool(seen) and all(one.entries and not one.damaged for one in aside)
        return _Behind(Missing(lost, short, listed), size, tuple(files))

    return there.read(work)


def _journals_set_aside(there: Installation) -> list[Stretch]:
    """What those tell that are set aside and not yet on the record: by a person, or by us before we were cut off."""
    journal = there.custody.journal.path
    gaps = sorted(path.name for path in journal.parent.glob(f"{journal.name}*{GAP}"))
    found = []
    for name in gaps:
        try:
            found.append(Journal(journal.parent, there.keys, name).read())
        except ProofDamaged as problem:
            found.append(Stretch((), 0, 0, (problem.message,)))
    return found


def _set_aside(path: Path) -> Path:
    """The file under a name that says that its loss is accepted; `Custody.settle` records those beside the anchors."""
    gap = path.with_name(f"{path.name}{GAP}") if path.suffix in OF_OTHERS else path.with_suffix(GAP)
    if gap.exists():
        gap = path.with_name(f"{path.stem}-{secrets.token_hex(4)}{GAP}")
    path.rename(gap)
    durable.sync_folder(path.parent)
    return gap


def _is_from_backup(mark: Path) -> bool:
    """Whether `dpsync restore` made the mark: then the page of the back-up stands in it."""
    with suppress(Unusable):
        return paths.read(mark).startswith(b"{")
    return False


def _note_end(now: datetime, unit: Unit, *, from_backup: bool) -> None:
    """What was put back knows of no drill since, and of none at all where it is the first back-up: but it was tried."""
    meta.put(unit.connection, BEGUN, "")
    if from_backup:
        drills.note(unit.connection, 0, now)


# --- what is open


def _hold_all(there: Installation, person: Person, now: datetime) -> list[tuple[str, str]]:
    p = t.propagation.c
    waiting = select(t.propagation).where(p.state.in_([State.PENDING.value, State.HELD.value])).order_by(p.id)
    found = there.read(lambda connection: connection.execute(waiting).all())
    hold(there, found, Cause.RESTORED, person, now)
    there.write(partial(_remind_nobody, there.controller, now))
    after = there.read(lambda connection: connection.execute(waiting).all())
    return [(row.request_id, row.processor) for row in after if Cause.RESTORED in causes_of(row.causes)]


def _remind_nobody(controller: Controller, now: datetime, unit: Unit) -> None:
    """Whoever was told and asked for an answer may have given it since: a person asks, and no letter goes by itself."""
    p = t.propagation.c
    by_itself = p.timer.in_([Timer.REMIND.value, Timer.ESCALATE.value]) & (p.way != Way.API.value)
    found = unit.connection.execute(select(p.id, p.state).where(by_itself).order_by(p.id)).all()
    waiting = [row.id for row in found if row.state in {State.ACCEPTED.value, State.HANDED_OVER.value}]
    if waiting:
        record(unit, controller, *(Update(one, [Timer.ESCALATE], now) for one in waiting))
    here = update(t.propagation).where(p.id.in_([row.id for row in found]))
    unit.connection.execute(here.values(timer="", timer_at=None))


def _unread(controller: Controller) -> dict[str, str]:
    """Title by name, of those whose state no connector of ours can read."""
    return {
        one.name: one.title
        for one in controller.processors.values()
        if not any(capability.verified_by for capability in one.connector.capabilities.values())
    }


def _begin(
    unit: Unit, there: Installation, behind: _Behind, unread: dict[str, str], person: Person, now: datetime
) -> None:
    """Pause everything, put on the record who goes on, and tell of it."""
    pause(unit.connection, {section.account for section in there.settings.processors.values()})
    meta.put(unit.connection, BEGUN, str(behind.size))
    after_recovery.owe(unit.connection, now)
    said = person.author.said(rows.own_key(there.keys))
    unit.append(None, entry.encode(EntryKind.DECIDED, now, kind=KIND, **said))
    account = f" (account {person.os_user})" if person.os_user else ""
    decided = Concern(said["by"], f"{person.by.strip()}{account}", why="Decided to go on without it:")
    _tell(unit.connection, there, behind.missing, decided, now)
    if unread:
        _tell_of_unread(unit.connection, there, unread, now)


def _tell(connection: Connection, there: Installation, missing: Missing, decided: Concern, now: datetime) -> None:
    what = "Missing, as the main database can find it:"
    lost = [Concern(one.request_id, one.named, why=what) for one in missing.lost[:MOST_NAMED]]
    raise_alert(
        connection,
        cause=AlertCause.RESTORED,
        role="dpo",
        subject="The database was restored from a back-up",
        body=f"In it {missing.said}. All processors are paused. Have the main database send all events since the "
        "back-up again, under their old ids. All that was open is held: look at each, then run `dpsync resume`.",
        now=now,
        zone=there.zone,
        concerns=[decided, *lost],
    )


def _tell_of_unread(connection: Connection, there: Installation, unread: dict[str, str], now: datetime) -> None:
    raise_alert(
        connection,
        cause=AlertCause.RESTORED_UNREAD,
        role="operator",
        subject="After a restored back-up: ask these processors what they got",
        body="dpsync cannot read back what these processors hold. Look which letters went since the back-up, in the "
        "mail host's log or by asking their contacts. Then release or withdraw what is held there.",
        now=now,
        zone=there.zone,
        concerns=[Concern(name, title, title) for name, title in unread.items()],
    )
