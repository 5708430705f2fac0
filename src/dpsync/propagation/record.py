"""The only writer of a state: row, entry, evidence and alert in one transaction.

Everything here runs inside a unit of the writer. What it reads cannot change under it: it is alone, or goes by rows
that are its own (`store.beside`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, exists, func, insert, select, update

from dpsync.connector import Accepted, AsAsked, CannotTell, Contradicts, Declares, Evidence, HandOver, Refused
from dpsync.ledger import entry
from dpsync.ledger.entry import EntryKind
from dpsync.model import CLOSED_STATES, Right, State, Way
from dpsync.propagation import callbacks
from dpsync.propagation.alert_texts import alert
from dpsync.propagation.changeable import COLUMNS, Changeable
from dpsync.propagation.commitments import Author, Beside, calls_digest, calls_of, commit_key_of, rows_said
from dpsync.propagation.contacts import is_confirmed, present
from dpsync.propagation.controller import Controller
from dpsync.propagation.queue import due, lanes
from dpsync.propagation.queue.lanes import causes_text
from dpsync.propagation.rounds import is_heard
from dpsync.propagation.rules.lifecycle import Answer, Decision, Event, Position, Step, advance
from dpsync.store import shelf
from dpsync.store import tables as t
from dpsync.store.writer import Unit

_P, _R, _A = t.propagation.c, t.request.c, t.account.c
_ROWS = (
    select(t.propagation, _R.source, _R.wrapped_key, _R.key_month, _R.closed_at, _A.failures, _A.blocked_since)
    .join(t.request, _R.id == _P.request_id)
    .outerjoin(t.account, _A.id == _P.account_id)
    .where(_P.id.in_(bindparam("propagation_ids", expanding=True)))
)
_UPDATE = (
    update(t.propagation)
    .where(_P.id == bindparam("propagation_id"))
    .values({name: bindparam(f"new_{name}") for name in COLUMNS})
)
_KEEP = insert(t.evidence)
_END_ATTEMPT = (
    update(t.attempt)
    .where(t.attempt.c.id == bindparam("attempt_id"))
    .values({name: bindparam(f"new_{name}") for name in ("ended_at", "outcome", "reason")})
)
_OPEN_STATES = [state.value for state in State if state not in CLOSED_STATES]
# Never the moment of whoever happened to write last: that one may have looked at the clock before it waited its turn.
_LAST_CHANGE = select(func.max(_P.state_since)).where(_P.request_id == _R.id).scalar_subquery()
_CLOSE = (
    update(t.request)
    .where(
        _R.id.in_(bindparam("requests", expanding=True)),
        _R.closed_at.is_(None),
        ~exists().where(_P.request_id == _R.id, _P.state.in_(_OPEN_STATES)),
    )
    .values(closed_at=_LAST_CHANGE)
    .returning(_R.id)
)
_REOPEN = update(t.request).where(_R.id.in_(bindparam("requests", expanding=True))).values(closed_at=None)


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt that was begun at a propagation: its row, and its number there. `charged`: the request is."""

    id: int
    number: int
    propagation_id: int
    charged: bool = True


@dataclass(frozen=True, slots=True)
class Update:
    """What happened to one propagation, in order: for an attempt its outcome, then what our own reading showed.

    `beside`: the rows that were written of it, which its entry commits to. `contact`: the pseudonym of whom a release
    meant, where that is remembered. `notes`: what the connector noted meanwhile for its shelf.
    """

    propagation_id: int
    events: Sequence[Event]
    now: datetime
    attempt: Attempt | None = None
    author: Author | None = None
    cause: str = ""
    beside: Sequence[Beside] = ()
    contact: str = ""
    notes: Sequence[shelf.Row] = ()


def record(unit: Unit, controller: Controller, *updates: Update) -> list[Step]:
    """Let what happened change the propagations, each named once, and keep what it was; gives the last step of each.

    A statement is asked once for all of them: see `attempts` for what that saves. Raises what `lifecycle.advance`
    raises; then nothing is written.
    """
    connection = unit.connection
    ids = [one.propagation_id for one in updates]
    if len(set(ids)) < len(ids):
        raise ValueError("one propagation twice: the second would not see what happened to it first")
    shelf.keep(connection, [row for one in updates for row in one.notes])
    rows = {row["id"]: dict(row) for row in connection.execute(_ROWS, {"propagation_ids": ids}).mappings()}
    failures = {row["account_id"]: row["failures"] or 0 for row in rows.values()}
    recordings = [_Recording(unit, controller, rows[one.propagation_id], one, failures) for one in updates]
    # What is closed goes first: then the last entry of a request tells when it closed, and so does the row.
    steps = {one: one.carry_through() for one in sorted(recordings, key=lambda one: not one.is_closed)}
    if calls := [call for one in recordings for call in one.calls]:
        connection.execute(_KEEP, calls)
    if ended := [_new("attempt_id", one.attempt.id, one.ended) for one in recordings if one.attempt]:
        connection.execute(_END_ATTEMPT, ended)
    connection.execute(_UPDATE, [_new("propagation_id", one.row["id"], one.fields.columns()) for one in recordings])
    for recording in recordings:
        recording.make_next_due()
    left = [(one.row["account_id"], one.row["subject_id"]) for one in recordings if one.left_its_lane]
    now = max(one.now for one in updates)
    lanes.leave_lanes(connection, list(dict.fromkeys(left)), now)
    _close_requests(unit, controller, recordings, now)
    return [steps[one] for one in recordings]


def _new(key: str, number: int, values: dict[str, Any]) -> dict[str, Any]:
    return {key: number, **{f"new_{name}": value for name, value in values.items()}}


def _close_requests(unit: Unit, controller: Controller, recordings: Sequence["_Recording"], now: datetime) -> None:
    """A request closes when the last of its propagations does, opens again with any, and its main database is told.

    Others may write of the same request at the same time: which one is the last is seen in turn.
    """
    opened = [one.row["request_id"] for one in recordings if one.may_reopen]
    closed = [one.row["request_id"] for one in recordings if one.is_closed and one.row["closed_at"] is None]
    contradicted = {one.row["request_id"] for one in recordings if one.is_newly_contradicted}
    moved = {one.row["request_id"] for one in recordings if one.row["source"] in controller.opendsr}

    def work(connection: Connection) -> None:
        if opened:
            connection.execute(_REOPEN, {"requests": opened})
        done = connection.execute(_CLOSE, {"requests": closed}).scalars().all() if closed else []
        callbacks.note_contradicted(connection, controller, contradicted, now)
        callbacks.note_closed(connection, controller, done, now)
        callbacks.note_in_progress(connection, controller, moved, now)

    if opened or closed or contradicted or moved:
        unit.in_turn(work)


class _Recording:
    """One propagation while what happened to it is recorded: changed in memory, and written once at the end."""

    def __init__(
        self, unit: Unit, controller: Controller, row: dict[str, Any], one: Update, failures: dict[str, int]
    ) -> None:
        self.row = row
        self.fields = Changeable.of(row)
        self.attempt = one.attempt
        self.calls: list[dict[str, Any]] = []
        self.ended: dict[str, Any] = {}
        self._was = self.fields.state
        self._unit = unit
        self._controller = controller
        self._processor = controller.processors.get(row["processor"])
        self._one = one
        self._failures = failures  # of each account in a row, as they stand
        self._commit_key = commit_key_of(controller, row)
        self._step: Step | None = None

    @property
    def is_closed(self) -> bool:
        return self.fields.state in CLOSED_STATES

    @property
    def may_reopen(self) -> bool:
        return not self.is_closed and (self._was in CLOSED_STATES or self.row["closed_at"] is not None)

    @property
    def left_its_lane(self) -> bool:
        return self._was is State.PENDING and self.fields.state is not State.PENDING

    @property
    def is_newly_contradicted(self) -> bool:
        return self._was is not self.fields.state is State.CONTRADICTED

    def carry_through(self) -> Step:
        """All that happened, one after the other."""
        one = self._one
        if one.attempt and one.attempt.charged and not due.is_of_the_account(one.events[0]):
            self.fields = replace(self.fields, attempts=self.fields.attempts + 1)
        written = list(one.beside)
        for event in one.events:
            # What follows the outcome is our own reading, also where the credential was rejected in it.
            reading = isinstance(event, (AsAsked, Contradicts, CannotTell, Declares)) or self._step is not None
            self._happen(event, "finding" if reading else "outcome", written)
            written = []
        if self._step is None:
            raise ValueError("nothing happened")
        return self._step

    def make_next_due(self) -> None:
        """See that it goes on where it still waits for us."""
        if self._step is not None and self.fields.state is State.PENDING:
            what = self.row, self._one.events[-1], self._step, self._one.now
            due.make_next_due(self._unit.connection, self._processor, *what)

    def _happen(self, event: Event, part: str, written: list[Beside]) -> None:
        now, at = self._one.now, self._position(event)
        step = self._step = advance(at, event, now)
        # The yes was to this address. The second contact, or another one next week, must confirm itself or be named.
        contact = self._one.contact or self.fields.released_contact
        handed = self._sealed(event.references) if isinstance(event, HandOver) else self.fields.handed
        self.fields = replace(self.fields.after(at, event, step, now), handed=handed, released_contact=contact)
        written += self._letter_sent(event, step)
        self.row |= self.fields.columns()
        if self.attempt and event is self._one.events[-1]:
            said = " ".join(type(event).__name__ for event in self._one.events)
            self.ended = {"ended_at": now, "outcome": said, "reason": step.reason}
            written.append(("ended", {"number": self.attempt.number, **self.ended}))
        self._append(event, step, part, written)
        self._tell(event, step)

    def _position(self, event: Event) -> Position:
        """Where it stands, with what of it the store alone can say and `event` turns on."""
        connection, row = self._unit.connection, self.row
        at = self.fields.position(Right(row["right"]), self._processor, lifting=row["lifting"])
        if isinstance(event, Decision) and _is_under_way(connection, row["id"]):
            return replace(at, doubtful=True)  # nobody can say that nothing has gone
        if isinstance(event, (Answer, Refused)) and at.way is Way.NOTICE:
            by_link = is_heard(connection, row["id"], by_link=True)
            # Who records by hand that it came back has weighed what was said before.
            heard = not self._one.author and (by_link or is_heard(connection, row["id"]))
            return replace(at, heard=heard, by_link=by_link)
        if isinstance(event, HandOver) and self._processor is not None:
            contact = present(connection, self._controller, self._processor)
            known = is_confirmed(connection, self._controller, self._processor.name, contact)
            return replace(at, contact_confirmed=known)
        return at

    def _sealed(self, references: Sequence[str]) -> bytes:
        place = f"{self.row['request_id']}/{self.row['processor']}"
        return self._controller.keys.seal("handed", "\n".join(references).encode(), place.encode())

    def _letter_sent(self, event: Event, step: Step) -> list[Beside]:
        """Note that the newest letter is out, where the event says so; of a letter told twice the first time counts."""
        # Also where the answer was quicker than our keeping the mail host's word.
        sent_now = step.entry in {EntryKind.NOTICE_SENT, EntryKind.REMINDED}
        if not sent_now and not (isinstance(event, Accepted) and event.digest):
            return []
        n, connection, number = t.notice.c, self._unit.connection, self.row["id"]
        newest = connection.execute(select(func.max(n.number)).where(n.propagation_id == number)).scalar_one() or 0
        self.fields = replace(self.fields, notices=max(self.fields.notices, newest))
        latest = (n.propagation_id == number) & (n.number == self.fields.notices) & n.sent_at.is_(None)
        sent = {"sent_at": self._one.now, "digest": getattr(event, "digest", "")}
        if connection.execute(update(t.notice).where(latest).values(**sent)).rowcount:
            return [("sent", {"number": self.fields.notices, **sent})]
        return []

    def _append(self, event: Event, step: Step, part: str, written: Sequence[Beside]) -> None:
        """The entry, with the evidence that it digests."""
        one, row, key = self._one, self.row, self._commit_key
        said: dict[str, str | int] = {"req": row["request_id"], "dest": row["processor"], "right": row["right"]}
        said |= {"state": step.state.value, "rung": int(step.rung), "told": int(step.told), "way": step.way.value}
        if self.attempt:
            said["attempt"] = self.attempt.number
            if calls := calls_of(event, self.attempt.id, part):
                self.calls += calls
                said |= {"resp": calls_digest(key, calls), "kind": part, **_last_call(event)}
        if one.author and key:
            said |= one.author.said(key)
        if isinstance(event, Answer) and event.digest and key:
            said["digest"] = entry.commitment(key, event.digest)
        if told := one.cause or causes_text(step.causes):
            said["cause"] = told
        if key:
            said["rows"] = rows_said(key, [("propagation", row), *written])
        self._unit.append(row["request_id"], entry.encode(step.entry, one.now, **said))

    def _tell(self, event: Event, step: Step) -> None:
        """Keep the account's health, and have a person hear of what needs one."""
        connection, row, now = self._unit.connection, self.row, self._one.now
        title = self._controller.title_of(row["processor"])
        if cause := due.note_account(connection, row, event, self._failures, now):
            alert(connection, self._controller, cause, row["request_id"], row["account_id"], now, title=title)
        if step.alert:
            alert(
                connection, self._controller, step.alert, row["request_id"], row["processor"], now, reason=step.reason
            )


def _last_call(event: Event) -> dict[str, str | int]:
    last: Evidence = event.evidence[-1]  # type: ignore[union-attr]  # because only what was called has calls
    said: dict[str, str | int] = {} if last.status is None else {"http": last.status}
    return said | ({"ref": entry.safe(last.request_id)} if last.request_id else {})


def _is_under_way(connection: Connection, propagation_id: int) -> bool:
    unanswered = (t.attempt.c.propagation_id == propagation_id) & t.attempt.c.ended_at.is_(None)
    return connection.execute(select(t.attempt.c.id).where(unanswered).limit(1)).first() is not None
