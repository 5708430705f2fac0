"""What people hear of a comparison: by our own ids and marks, never by names."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from dpsync.alert_causes import AlertCause
from dpsync.alerts import Concern, raise_alert
from dpsync.intake.reconciliation.compare import DifferenceKind
from dpsync.intake.reconciliation.findings import SourceFinding
from dpsync.intake.reconciliation.taking import asked_at, days_late
from dpsync.model import Right
from dpsync.propagation.controller import Controller
from dpsync.reports.reconciled import SourceStanding
from dpsync.reports.words import several

_WORDS: Final = {
    Right.OPT_OUT: "opt-out",
    Right.ERASURE: "erasure",
    Right.RESTRICTION: "restriction",
    Right.RECTIFICATION: "correction",
}
_ASKED: Final = {
    DifferenceKind.MISSED: "a {right} stands there, and dpsync could make no request of it",
    DifferenceKind.CONTACTABLE: "a {right} was asked for, and the main database says that there is none",
    DifferenceKind.ADDRESS: "the main database has an address that no processor was told of",
    DifferenceKind.GONE: "the record is gone, and no message said why",
    DifferenceKind.MERGED: "the record went into another, and no message said so",
}


def kind_text(kind: DifferenceKind, right: str) -> str:
    """What was found, in a clause."""
    if kind is DifferenceKind.RETURNED:
        return "the person was erased, and the record is there"
    return _ASKED[kind].format(right=_WORDS[Right(right)] if right else "right")


def tell(
    connection: Connection, controller: Controller, found: Sequence[tuple[SourceFinding, str]], now: datetime
) -> None:
    """Tell of what is new, each with the request that was made of it, "" for none."""
    made = [(one, request_id) for one, request_id in found if request_id]
    back = [one for one, request_id in found if not request_id and one.kind is DifferenceKind.RETURNED]
    asked = [one for one, request_id in found if not request_id and one.kind is not DifferenceKind.RETURNED]
    _tell_missed(connection, controller, made, now)
    _tell_returned(connection, controller, back, now)
    if asked:
        raise_alert(
            connection,
            cause=AlertCause.SOURCE_DIFFERS,
            role="dpo",
            subject="A main database says something else than what was asked",
            body="dpsync changed nothing because of it. `dpsync source findings` shows which records. Look in the main "
            "database who changed it and when, and put right what is wrong: there, or by `dpsync submit`. dpsync "
            "compares again each morning, and closes what is not so any more.",
            now=now,
            zone=controller.zone,
            concerns=[_concern(one) for one in asked],
        )


def _concern(one: SourceFinding) -> Concern:
    right = one.difference.right.value if one.difference.right else ""
    return Concern(one.key, f"source {one.source}, finding {one.key[:12]}: {kind_text(one.kind, right)}")


def _tell_missed(
    connection: Connection, controller: Controller, made: Iterable[tuple[SourceFinding, str]], now: datetime
) -> None:
    concerns = [
        Concern(request_id, f"source {one.source}, request {request_id}: {_late(one, now)}") for one, request_id in made
    ]
    if concerns:
        raise_alert(
            connection,
            cause=AlertCause.MISSED_BY_MESSAGE,
            role="operator",
            subject="A main database lists what no message told of",
            body="dpsync made requests of it, which go their usual way. Erasures cool off first, or wait for a person. "
            "Find out why no message came: `dpsync check` counts triggers, and the sender's log shows what failed.",
            now=now,
            zone=controller.zone,
            concerns=concerns,
        )


def _late(one: SourceFinding, now: datetime) -> str:
    if one.kind is DifferenceKind.GONE:
        return "the record is gone. It may be a merge, so the erasure waits for a person"
    right = _WORDS[one.difference.right] if one.difference.right else "right"
    if asked_at(one.row, now) is None:
        return f"{right}, nobody knows since when"
    days = days_late(one.row, now)
    return f"{right}, {several(days, 'day')} late" if days else f"{right}, less than a day late"


def _tell_returned(
    connection: Connection, controller: Controller, back: Sequence[SourceFinding], now: datetime
) -> None:
    if not back:
        return
    raise_alert(
        connection,
        cause=AlertCause.ERASED_RETURNED,
        role="dpo",
        subject="Somebody who was erased is in the main database",
        body="An import may have brought the record back, or it was never erased there. `dpsync source findings` shows "
        "which. If it is the same person and they did not come back by themselves, erase them there, and look which "
        "list or sync brought them back. Processors may have them again: `dpsync submit erasure`.",
        now=now,
        zone=controller.zone,
        concerns=[_concern(one) for one in back],
    )


def tell_not_compared(
    connection: Connection, controller: Controller, one: SourceStanding, why: str, now: datetime
) -> None:
    """A comparison that did not come about, or that a person must release."""
    raise_alert(
        connection,
        cause=AlertCause.NOT_RECONCILED,
        role="operator",
        subject="A main database could not be compared with what was asked",
        body="Nothing was done because of it. What no message told of since the last good comparison is not known. "
        "`dpsync source reconcile NAME --dry-run` looks again and changes nothing.",
        now=now,
        zone=controller.zone,
        concerns=[Concern(one.source, f"source {one.source}: {why}")],
    )
