"""What a page behind a link in a mail shows: read only, from one view of the store, and without a person's name.

The record is not verified anew by opening a page: whoever opens it a thousand times would keep the machine busy. The
page says when it was verified last.
"""

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial

from sqlalchemy import Connection, func, select

from dpsync.errors import LedgerTampered, NoteInvalid
from dpsync.installation import Installation
from dpsync.intake.case_values import CaseLine, open_cases
from dpsync.ledger import entry
from dpsync.ledger.note import parse as parse_note
from dpsync.ledger.receipt import read_sealed
from dpsync.propagation.correspondence.letters_due import SOON, owed
from dpsync.propagation.rules.legal_clock import LETTER
from dpsync.reports import make
from dpsync.reports.basis import Basis
from dpsync.reports.dossier import dossier
from dpsync.reports.make import (
    acts_of,
    conversations_of,
    known_processors,
    month_end,
    register_now,
    rules_of,
)
from dpsync.reports.meaning import Late
from dpsync.reports.period import period_report
from dpsync.reports.proof import LedgerLine
from dpsync.reports.receipt import PrintedReceipt
from dpsync.reports.render import Report
from dpsync.reports.standing import SHORT
from dpsync.reports.status import StatusRow, status_rows
from dpsync.reports.stopped import stopped_processors
from dpsync.reports.summary import head_line, summary
from dpsync.reports.who import Who
from dpsync.reports.words import asked_for, day, moment
from dpsync.soundness import judged_last
from dpsync.store import tables as t

MOST_SHOWN = 200
"""Open requests on the page of what waits; more than that are for `dpsync status`."""


LATE = {Late.NO: "", Late.TARGET: "past our target", Late.OVERDUE: "OVERDUE", Late.FINISHED: "finished late"}


@dataclass(frozen=True, slots=True)
class OpenRequest:
    """One request on the page of what waits, in words. `what`: the right."""

    id: str
    short: str
    what: str
    waits_for: str
    due: str
    late: str
    received: str
    states: str
    told: str


@dataclass(frozen=True, slots=True)
class LetterDue:
    """A letter to the person of a request that is not on the record. `late`: whether its last day is over."""

    id: str
    short: str
    by: str
    late: bool


@dataclass(frozen=True, slots=True)
class StatusPage:
    """What waits. `left`: how many open requests are not shown. `cases`: complaints and incidents that are open.

    `letters`: those to people that are near or late, or are all that is left of a request; `unwritten`: how many more.
    """

    at: str
    head: str
    stopped: tuple[str, ...]
    requests: tuple[OpenRequest, ...]
    left: int
    cases: tuple[CaseLine, ...] = ()
    letters: tuple[LetterDue, ...] = ()
    unwritten: int = 0


def status_page(there: Installation, now: datetime) -> StatusPage:
    """What waits at `now`, as `dpsync status` says it."""
    known = known_processors(there.settings)
    rows = there.read(lambda connection: status_rows(connection, now=now, limit=MOST_SHOWN, processors=known))
    counted = there.read(lambda connection: summary(connection, now))
    stopped = stopped_processors(there)
    overdue = sum(line.overdue for line in conversations_of(there, now))
    letters = _letters(there, {row.request_id for row in rows}, now)
    return StatusPage(
        at=moment(now, there.zone),
        head=head_line(counted, len(stopped), overdue),
        stopped=tuple(one.sentence for one in stopped),
        requests=tuple(_open_request(there, row) for row in rows),
        left=max(0, counted.open - len(rows)),
        cases=there.read(lambda connection: open_cases(connection, there, now)),
        letters=letters[:MOST_SHOWN],
        unwritten=len(letters[MOST_SHOWN:]),
    )


def _letters(there: Installation, listed: Collection[str], now: datetime) -> tuple[LetterDue, ...]:
    if not there.controller.watch_letters:
        return ()
    today, day_of = now.astimezone(there.zone).date(), there.controller.legal_clock.day_of
    found = there.read(lambda connection: owed(connection, day_of, today, ahead=LETTER))
    due = [one for one in found if one.request_id not in listed or one.by <= today + SOON]
    return tuple(
        LetterDue(one.request_id, one.request_id[:SHORT], day(one.by), one.by < today)
        for one in sorted(due, key=lambda one: one.by)
    )


def _open_request(there: Installation, row: StatusRow) -> OpenRequest:
    right = ("lifting of a " if row.lifting else "") + asked_for(row.right, row.scope)
    return OpenRequest(
        id=row.request_id,
        short=row.short,
        what=right[:1].upper() + right[1:],
        waits_for=", ".join(row.waits_for) or "nobody",
        due=day(row.due_on),
        late=LATE[row.late],
        received=moment(row.received_at, there.zone),
        states=row.states,
        told=f"{row.told} of {row.processors}",
    )


def month_page(there: Installation, month: str, now: datetime) -> Report:
    """The report of a month (2026-11), as things stand at `now`."""
    first = date.fromisoformat(f"{month}-01")
    rules, acted = rules_of(there.settings), acts_of(there)

    def work(connection: Connection) -> Report:
        basis = _basis(there, connection, now, named=True)
        return period_report(connection, basis, first, month_end(first), rules=rules, acted=acted)

    return there.read(work)


def register_page(there: Installation, now: datetime) -> Report:
    """The register of processors, as the settings say today."""
    return register_now(there, now)


def dossier_page(there: Installation, request_id: str, now: datetime, *, named: bool, who: Who | None) -> Report:
    """All about one request. `named`: who decided and why is opened, too; `who` is the person, where it may be shown.

    Raises `NotFound`.
    """
    return there.read(partial(_dossier, there=there, request_id=request_id, now=now, named=named, who=who))


def _dossier(
    connection: Connection, there: Installation, request_id: str, now: datetime, *, named: bool, who: Who | None
) -> Report:
    basis = _basis(there, connection, now, named=named)
    entries = []
    for idx, body in there.log.entries_of(connection, request_id):
        with suppress(ValueError):  # one that was edited by hand: the head says that the record is not sound
            entries.append((idx, entry.decode(body)))
    return dossier(connection, basis, request_id, entries=entries, who=who)


def receipt_page(there: Installation, request_id: str, now: datetime) -> PrintedReceipt | None:
    """The page of the receipt in the receipts folder, which names nobody; None where there is none that holds."""
    try:
        raw = receipt_file(there, request_id)
        read_sealed(raw, request_id, there.log.keys)
        return make.receipt_page(there, raw, now)
    except (OSError, NoteInvalid, LedgerTampered):
        return None


def receipt_file(there: Installation, request_id: str) -> bytes:
    """The receipt as it lies in its folder. Raises `OSError`."""
    return (there.settings.ledger.receipts / f"{request_id}.json").read_bytes()


def _basis(there: Installation, connection: Connection, now: datetime, *, named: bool) -> Basis:
    ledger = _ledger(there, connection, now)
    return make.basis_under(there, now, ledger, there.opened_decision if named else _sealed)


def _sealed(request_id: str, sealed: bytes) -> bytes:
    """Names and reasons stay shut for whoever has only a link."""
    del request_id, sealed
    return b'{"by": "Somebody (named after the code)", "reason": "(why: after the code)"}'


def _ledger(there: Installation, connection: Connection, now: datetime) -> LedgerLine:
    """How the record was found when it was verified last: within the hour, where the service runs."""
    judged, c = judged_last(connection), t.checkpoint.c
    newest = connection.execute(select(c.note).order_by(c.size.desc()).limit(1)).scalar_one_or_none()
    verified = connection.execute(select(func.max(c.size)).where(c.verified_at.is_not(None))).scalar_one()
    if judged is None:
        problems: tuple[str, ...] = ("dpsync has not verified the record yet",)
    else:
        problems = (f"{judged.problems} problems were found: `dpsync verify` names them",) if judged.problems else ()
    return LedgerLine(
        verified=not problems,
        entries=verified or there.log.size(connection),
        checked_at=judged.at if judged else now,
        checkpoint=parse_note(newest)[0].root.hex()[:8] if newest else "",
        problems=problems,
    )
