"""Opt-outs that people make at a processor: a hint of its webhook, read there before it counts, becomes a request.

The request is told to every processor like any other. What dpsync itself brought about there comes back by the same
webhook, sometimes days later, and is nobody's new wish.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import Connection, and_, exists, or_, select

from dpsync.address import NotAnAddress, mailbox
from dpsync.alert_causes import AlertCause
from dpsync.alerts import Concern, raise_alert
from dpsync.connector import ObservesOptOuts, OptOutHint
from dpsync.installation import Installation
from dpsync.intake import events
from dpsync.intake.acceptance import Asked
from dpsync.intake.answers import Received
from dpsync.intake.payload import parse_request
from dpsync.intake.reception import receive_all
from dpsync.ledger.entry import canonical
from dpsync.model import Right, State
from dpsync.propagation import callbacks
from dpsync.store import tables as t
from dpsync.store.writer import Unit

EVENT = "observed event"
"""What the keyed digest is for that makes an event's id."""

BEFORE, AFTER = timedelta(minutes=10), timedelta(hours=1)
"""How far the vendor's clock and ours may be apart, and how long it may take to carry out what it said yes to."""

_OBSERVED = "observed:"

_TO_BE_RECORDED = (
    "dpsync tells all processors. Record it in your main database, too, or its next import brings them back. `dpsync "
    "status REQUEST --who` shows who it is."
)
_TOLD_BY_CALLBACK = (
    "dpsync tells all processors, and the main database by callback: `dpsync dossier REQUEST` shows when it took the "
    "message. `dpsync status REQUEST --who` shows who it is."
)

_P, _A, _R = t.propagation.c, t.attempt.c, t.request.c


def source_of(processor: str) -> str:
    """What an opt-out is said to come from that was seen at a processor."""
    return f"{_OBSERVED}{processor}"


def is_observed(source: str) -> bool:
    """Whether something is said to come from a processor."""
    return source.startswith(_OBSERVED)


class Observed:
    """Takes in what a processor's webhook says of people who opted out there."""

    def __init__(self, there: Installation) -> None:
        self._there = there

    def note(self, processor: str, connector: ObservesOptOuts, hints: Sequence[OptOutHint], now: datetime) -> int:
        """Look at each hint, and make a request of what is so and is new. Returns how many were made.

        Raises what `ObservesOptOuts.opted_out_at` raises; then the vendor is to send it again.
        """
        return sum(self.take_up(processor, connector, hint, now) != "" for hint in hints)

    def take_up(self, processor: str, connector: ObservesOptOuts, hint: OptOutHint, now: datetime) -> str:
        """The same of one hint: the id of the request that was made, "" for none."""
        at = connector.opted_out_at(hint)
        if at is None:
            return ""
        return self._there.write(partial(self._take, processor=processor, hint=hint, at=min(at, now), now=now))

    def _take(self, unit: Unit, processor: str, hint: OptOutHint, at: datetime, now: datetime) -> str:
        controller = self._there.controller
        try:
            address = mailbox(hint.address)
        except NotAnAddress:
            self._tell_unusable(unit.connection, processor, hint, now)
            return ""
        persons = self._persons(unit.connection, address)
        if _is_known(unit.connection, persons, at) or is_ours(unit.connection, persons, processor, at):
            return ""
        data: dict[str, object] = {
            "right": Right.OPT_OUT.value,
            "ground": "direct_marketing_objection",
            "received_at": at.isoformat(),
            "subject": {"email": address},
        }
        body = canonical({"type": "data_subject.request", "data": data})
        event = self._there.keys.mac(EVENT, f"{processor}\n".encode() + body).hex()[:32]
        request = parse_request(data, source=source_of(processor), event_id=event, now=now)
        (received,) = receive_all(unit, controller, [Asked(request, events.body_mac(controller, body), now)])
        if not isinstance(received, Received) or received.repeated:
            return ""
        callbacks.note_observed(unit.connection, controller, received.request_id, persons, processor, at, now)
        self._tell(unit.connection, processor, received.request_id, now)
        return received.request_id

    def _persons(self, connection: Connection, address: str) -> list[str]:
        names = self._there.keys.pseudonyms("address", address)
        found = select(t.alias.c.person).where(t.alias.c.pseudonym.in_(names)).distinct()
        return list(connection.execute(found).scalars())

    def _tell(self, connection: Connection, processor: str, request_id: str, now: datetime) -> None:
        title = self._there.controller.title_of(processor)
        raise_alert(
            connection,
            cause=AlertCause.OBSERVED,
            role="operator",
            subject="People opted out at a processor",
            body=_TOLD_BY_CALLBACK if self._there.controller.callbacks else _TO_BE_RECORDED,
            now=now,
            zone=self._there.zone,
            concerns=[Concern(request_id, f"{title}, request {request_id}", title)],
        )

    def _tell_unusable(self, connection: Connection, processor: str, hint: OptOutHint, now: datetime) -> None:
        """The vendor is answered 200 and sends it no more: what nobody else can be asked is a person's to do."""
        title, zone = self._there.controller.title_of(processor), self._there.zone
        which = self._there.keys.mac(EVENT, f"{processor}\n{hint.address}".encode()).hex()[:16]
        when = f"{now.astimezone(zone):%d %B %Y, %H:%M}"
        raise_alert(
            connection,
            cause=AlertCause.OBSERVED_UNUSABLE,
            role="operator",
            subject="Somebody opted out, and no other processor can be told",
            body="dpsync cannot use the address that the processor holds, so it made no request. Look there who "
            "unsubscribed last, and see to it that they get no mail from anybody else: `dpsync submit opt_out`",
            now=now,
            zone=zone,
            concerns=[Concern(f"{processor} {which}", f"{title}, heard on {when}", title)],
        )


def _is_known(connection: Connection, persons: Sequence[str], at: datetime) -> bool:
    """Whether they asked for it, or for more, since then: it is on its way to everybody.

    An erasure that is held may be refused or withdrawn: until somebody released it, it stops no mailing. An opt-out
    from a part is less than what was seen.
    """
    stands = exists().where(_P.request_id == _R.id, _P.state != State.WITHDRAWN.value)
    goes = exists().where(_P.request_id == _R.id, _P.state.not_in([State.WITHDRAWN.value, State.HELD.value]))
    asked = select(_R.id).where(
        _R.person.in_(persons),
        or_(and_(_R.right == Right.OPT_OUT.value, _R.scope == "", stands), and_(_R.right == Right.ERASURE.value, goes)),
        _R.accepted_at >= at - BEFORE,
    )
    return connection.execute(asked.limit(1)).first() is not None


def is_ours(connection: Connection, persons: Sequence[str], processor: str, at: datetime) -> bool:
    """Whether an attempt of ours for one of them brought it about there."""
    told = (
        select(_A.id)
        .join(t.propagation, _P.id == _A.propagation_id)
        .where(_P.person.in_(persons), _P.processor == processor, _P.right != Right.RECTIFICATION.value)
        .where(~_P.lifting)  # that brings about the opposite
        .where(_A.begun_at <= at + BEFORE, or_(_A.ended_at.is_(None), _A.ended_at >= at - AFTER))
    )
    return connection.execute(told.limit(1)).first() is not None
