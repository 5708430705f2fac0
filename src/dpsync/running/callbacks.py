"""Tells main databases what became of their requests, and processors what they owe: sends what waits, in order, until
it is taken.

Told twice after a crash is possible, told never is not; the id of a message is the same each time (Standard Webhooks,
spec/standard-webhooks.md). Only an answer of the 200s is a yes. A no to one message puts off that message, and what
comes after it about the same request. Any other counts against the main database, which is left in peace for a while.
"""

import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, exists, select, update

from dpsync.alert_causes import AlertCause
from dpsync.alerts import Concern, raise_alert, told_of
from dpsync.connector import Reply
from dpsync.connector_services import NoAnswer
from dpsync.errors import ConfigurationError, KeyProblem
from dpsync.http import HttpClient, retry_after
from dpsync.installation import Installation
from dpsync.ledger import entry
from dpsync.ledger.entry import EntryKind
from dpsync.propagation import callbacks, notes, platform_jobs
from dpsync.propagation.queue.due import jitter
from dpsync.propagation.rules.backoff import delay
from dpsync.running import callback_messages, callback_targets
from dpsync.running.callback_messages import OutgoingCall, message_of
from dpsync.running.callback_targets import (
    LONGEST_WAIT,
    OPEN,
    CallbackBacklog,
    CallbackTarget,
    named,
    processors_of,
    receiver,
    targets_of,
)
from dpsync.store.callback_tables import callback
from dpsync.store.writer import Unit
from dpsync.urls import is_public

LONGEST = 15.0
"""Real seconds that one call may take."""

OVERDUE = timedelta(days=1)
"""How long a message may wait before a person hears of it."""

GIVEN_UP_AFTER = timedelta(days=14)
"""How long a message goes again to a main database that takes others and says no to this one."""

_TRIED_AT_LEAST = 10  # what waited long for its turn is not given up at its first no
_PASS = 45.0  # the other timed jobs wait so long at most, and for one call
_LARGEST_ANSWER = 64 * 1024
_AT_ONCE = 100
_IN_FLIGHT = timedelta(minutes=2)
_TOLD_AGAIN_AFTER = timedelta(days=6)
_GONE = 410
_ABOUT_ONE = frozenset({400, 405, 406, 409, 411, 413, 415, 422})
"""A no to this one message; every other one, such as 404, is about the address."""

_C = callback.c


def tell_of_what_nobody_does(there: Installation, now: datetime) -> None:
    """Write down for the main databases which of their requests are late, and which were exempt when they came; and for
    the processors which outcomes they owe.
    """
    controller = there.controller
    if late := there.read(lambda connection: callbacks.late(connection, controller, now)):
        there.write(lambda unit: callbacks.note_late(unit.connection, controller, late, now))
    if closed := there.read(lambda connection: callbacks.closed_from_the_beginning(connection, controller, now)):
        there.write(lambda unit: callbacks.note_closed_from_the_beginning(unit.connection, controller, closed, now))
    if owed := there.read(lambda connection: notes.unreminded(connection, controller, now)):
        there.write(lambda unit: notes.note_reminders(unit.connection, controller, owed, now))


def send_due(there: Installation, now: datetime, *, longest: float = LONGEST) -> None:
    """Send what is due, as far as that can be done in a minute, and tell the operator of what waits for too long."""
    targets = {**targets_of(there), **processors_of(there)}
    if _due(there, targets, now):
        _send_all(there, targets, longest)
    _tell_of_overdue(there, targets, now)


def _send_all(there: Installation, targets: Mapping[str, CallbackTarget], longest: float) -> None:
    private = {target.private_host for target in targets.values()}
    until = time.monotonic() + _PASS
    with HttpClient(
        there.clock,
        rehearsal=True,  # plain http is for loopback only, and loopback only for whom the settings name
        longest=longest,
        cap=_LARGEST_ANSWER,
        reach=lambda host, address: host.lower() in private or is_public(address),
    ) as http:
        while time.monotonic() < until and (due := _due(there, targets, there.clock.now())):
            failed: set[str] = set()
            for row in due:
                if row.source not in failed and time.monotonic() < until:
                    answer = _send(there, targets[row.source], http, row)
                    if answer is not None and _is_about_all(answer):
                        failed.add(row.source)


def _due(there: Installation, targets: Mapping[str, CallbackTarget], now: datetime) -> Sequence[Row[Any]]:
    """The oldest message about each request, for those who are called just now."""
    if not targets:
        return ()

    def look(connection: Connection) -> Sequence[Row[Any]]:
        called = targets.keys() - callback_targets.quiet(connection, there.keys, targets, now)
        called -= notes.quiet(connection, there.controller)
        due = (_C.due_at <= now) | (_C.due_at > now + LONGEST_WAIT)
        wanted = select(callback).where(OPEN, due, ~_HAS_ONE_BEFORE, _C.source.in_(called))
        return connection.execute(wanted.order_by(_C.ordinal).limit(_AT_ONCE)).all()

    return there.read(look)


def _send(there: Installation, target: CallbackTarget, http: HttpClient, row: Row[Any]) -> Reply | NoAnswer | None:
    """Crash before the claim: nothing happened. Between claim and settling: it goes again, under the same id."""
    now = there.clock.now()
    message = there.write(lambda unit: _claimed(unit.connection, there, target, row, now))
    answer: Reply | NoAnswer | None = None
    for one in message:
        try:
            answer = http.call(one.method, one.url, template="callback", headers=one.headers, body=one.body)
        except NoAnswer as nothing:
            answer = nothing
        if not (_is_yes(answer) or _is_closed(target, answer)):
            break  # all of them go again
    if answer is None:
        return None
    there.write(lambda unit: _settle(unit, there, target, row, answer))
    return answer


_before = callback.alias()
_HAS_ONE_BEFORE = exists().where(
    _before.c.request_id == _C.request_id,
    _before.c.source == _C.source,
    _before.c.ordinal < _C.ordinal,
    _before.c.told_at.is_(None),
    _before.c.dropped_at.is_(None),
)


def _status(answer: Reply | NoAnswer) -> int:
    return 0 if isinstance(answer, NoAnswer) else answer.status


def _is_yes(answer: Reply | NoAnswer) -> bool:
    return 200 <= _status(answer) < 300


def _is_closed(target: CallbackTarget, answer: Reply | NoAnswer) -> bool:
    """Whether a platform says that its job is closed already, or a processor that a withdrawal comes too late."""
    if target.taker is not None:
        return _status(answer) in target.taker.too_late
    return target.is_platform and not target.is_opendsr and _status(answer) == callback_messages.CLOSED


def _is_about_all(answer: Reply | NoAnswer) -> bool:
    """Whether the next message would fare no better."""
    return not (_is_yes(answer) or _status(answer) in _ABOUT_ONE)


def _note(connection: Connection, row: Row[Any], **values: Any) -> None:
    connection.execute(update(callback).where(_C.ordinal == row.ordinal, OPEN).values(values))


def _claimed(
    connection: Connection, there: Installation, target: CallbackTarget, row: Row[Any], now: datetime
) -> tuple[OutgoingCall, ...]:
    """What to send, counted before it goes; none where another process was faster, or nobody can be named."""
    ours = (_C.ordinal == row.ordinal) & OPEN & (_C.attempts == row.attempts)
    claim = update(callback).where(ours).values(attempts=row.attempts + 1, due_at=now + _IN_FLIGHT)
    if connection.execute(claim).rowcount != 1:
        return ()
    try:
        message = message_of(connection, there, target, row, now)
    except KeyProblem:
        _note(connection, row, due_at=now + timedelta(hours=1), said="the key of the request does not open")
        return ()
    except ConfigurationError:
        # Its files may be renewed at this moment, the one after the other.
        _note(connection, row, due_at=now + timedelta(minutes=5), said="the certificate cannot be used")
        return ()
    if not message:
        gone = (
            "what opens its job is not kept" if target.is_platform else "the person was forgotten before it was taken"
        )
        _give_up(connection, there, row, now, gone)
    return message


def _settle(unit: Unit, there: Installation, target: CallbackTarget, row: Row[Any], answer: Reply | NoAnswer) -> None:
    """Write down what came of one attempt."""
    connection, now, status = unit.connection, there.clock.now(), _status(answer)
    said = answer.reason if isinstance(answer, NoAnswer) else f"answered {status}"
    closed = _is_closed(target, answer)
    if _is_about_all(answer):
        # It is no attempt of this message's own, by which it could be given up.
        _note(connection, row, due_at=now, said=said, attempts=row.attempts)
        wish = None if isinstance(answer, NoAnswer) else retry_after(answer, now)
        callback_targets.leave_in_peace(connection, there.keys, target, wish, now, gone=status == _GONE)
        _tell_at_once(connection, there, target, status, now)
        return
    callback_targets.is_well(connection, target.source)
    if _is_yes(answer) or closed:
        _note(connection, row, told_at=now, said=said if closed else "")
        _prove(unit, row, now)
        if target.is_platform and row.kind in callbacks.ENDS:
            platform_jobs.drop(connection, row.request_id)
    elif now - row.made_at >= GIVEN_UP_AFTER and row.attempts + 1 >= _TRIED_AT_LEAST:
        _give_up(connection, there, row, now, said)
    else:
        _note(connection, row, due_at=now + delay(row.attempts + 1, jitter()), said=said)


def _prove(unit: Unit, row: Row[Any], now: datetime) -> None:
    """That a processor was reminded, or told of a withdrawal, is a fact that it might deny: the ledger keeps it."""
    if row.source.startswith(notes.PREFIX):
        dest, kind = row.source.removeprefix(notes.PREFIX), row.kind.rpartition(".")[2]
        said = {"req": row.request_id, "dest": dest, "kind": kind, "ref": row.id}
        unit.append(row.request_id, entry.encode(EntryKind.REMINDED, now, **said))


def _give_up(connection: Connection, there: Installation, row: Row[Any], now: datetime, said: str) -> None:
    """Send this one no more, and tell the operator; what comes after it about the same request goes."""
    _note(connection, row, dropped_at=now, said=said)
    text = f"{row.request_id}: {row.kind} for {row.source}, {said}: `dpsync dossier {row.request_id}`"
    whom = receiver(row.source)
    raise_alert(
        connection,
        cause=AlertCause.CALLBACK_GIVEN_UP,
        role="operator",
        subject="dpsync has given up telling a main database or processor something",
        body=f"Enter there by hand what the message was to say. Where the {whom} said no to it, correct that, "
        "and `dpsync resume` sends it again.",
        now=now,
        zone=there.zone,
        concerns=[Concern(row.id, text)],
    )


_STOPPED = (
    "It answered 410, so dpsync sends it nothing more, and keeps what it has yet to hear. If it moved, change the "
    "address in the settings. If it takes messages at the same address again: `dpsync resume`"
)
_REFUSED = (
    "It answered 401 or 403. Compare the secrets of that setting with its own. A controller of OpenDSR looks at our "
    "certificate instead. dpsync keeps what it has yet to hear, and tries again by itself."
)
_ALERTS = {
    410: (AlertCause.CALLBACK_GONE, "A main database or processor takes no more messages from dpsync", _STOPPED),
    401: (AlertCause.CALLBACK_REFUSED, "A main database or processor refuses what dpsync signs", _REFUSED),
    403: (AlertCause.CALLBACK_REFUSED, "A main database or processor refuses what dpsync signs", _REFUSED),
}


def _tell_at_once(
    connection: Connection, there: Installation, target: CallbackTarget, status: int, now: datetime
) -> None:
    """Tell the operator of what does not mend by itself."""
    if status in _ALERTS:
        cause, subject, body = _ALERTS[status]
        concerns = [Concern(target.source, named(target.source, "url"))]
        raise_alert(
            connection,
            cause=cause,
            role="operator",
            subject=subject,
            body=body,
            now=now,
            zone=there.zone,
            concerns=concerns,
        )


def _tell_of_overdue(there: Installation, targets: Mapping[str, CallbackTarget], now: datetime) -> None:
    """Tell the operator of whoever has not taken a message for a day; once a week, while that is so."""

    def look(connection: Connection) -> list[CallbackBacklog]:
        late = [one for one in callback_targets.backlogs(connection).values() if one.since <= now - OVERDUE]
        names = [one.source for one in late if one.source in targets]
        told = told_of(connection, AlertCause.CALLBACK_OVERDUE, names, now, there.zone, back=_TOLD_AGAIN_AFTER)
        return [one for one in late if one.source in set(names) - told]

    if found := there.read(look) if targets else []:
        there.tell(
            cause=AlertCause.CALLBACK_OVERDUE,
            role="operator",
            subject="A main database or processor does not take what it should hear",
            body="It took none of this for more than a day. dpsync tries again by itself. `dpsync check` shows more.",
            now=now,
            concerns=[Concern(one.source, f"{named(one.source, 'url')}: {one.said}") for one in found],
        )
