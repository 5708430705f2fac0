"""A mail that asked for a step of a case is followed by one that says that the step is recorded, by whichever way.

Whoever was asked need not look again; and whoever did not do it, nor knows who did, hears of it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

from sqlalchemy import Connection, func, select

from dpsync.alert_causes import AlertCause
from dpsync.alerts import Concern, raise_alert
from dpsync.cases.acts import A
from dpsync.ledger import entry
from dpsync.ledger.entry import EntryKind
from dpsync.propagation.controller import Controller
from dpsync.store.tables import alert, alert_concern
from dpsync.store.writer import Unit

LOOKED_BACK: Final = timedelta(days=2)
"""What is older was told, or is over: whoever upgrades gets no mail about the cases of last year."""

_HEARD = frozenset({EntryKind.COMPLAINT_ACKNOWLEDGED, EntryKind.COMPLAINT_OUTCOME})
_DECIDED = frozenset({EntryKind.INCIDENT_CLOSED})
ANSWERED_BY: Final[Mapping[AlertCause, frozenset[EntryKind]]] = MappingProxyType(
    {
        **dict.fromkeys((AlertCause.COMPLAINT_7, AlertCause.COMPLAINT_20, AlertCause.COMPLAINT_25), _HEARD),
        AlertCause.COMPLAINT_SILENT: _HEARD | {EntryKind.COMPLAINT_PROGRESS},
        AlertCause.INCIDENT_PROPOSED: _DECIDED | {EntryKind.INCIDENT_OPENED},
        **dict.fromkeys((AlertCause.INCIDENT_48H, AlertCause.INCIDENT_72H), _DECIDED),
    }
)
"""By which steps each alert about a case is answered."""

_SAYS: Final[Mapping[EntryKind, str]] = MappingProxyType(
    {
        EntryKind.COMPLAINT_ACKNOWLEDGED: "the person was told that it came",
        EntryKind.COMPLAINT_PROGRESS: "the person was told how it goes",
        EntryKind.COMPLAINT_OUTCOME: "the person was told the outcome",
        EntryKind.INCIDENT_OPENED: "what happened is written down",
        EntryKind.INCIDENT_CLOSED: "it is closed",
    }
)


@dataclass(frozen=True, slots=True)
class FollowedUp:
    """A step that was recorded after a role was asked for it."""

    role: str
    case_id: str
    kind: EntryKind


def look(connection: Connection, now: datetime) -> list[FollowedUp]:
    """What nobody who was asked has heard of yet. Nearly always nothing was recorded of late, and nothing is read."""
    steps = select(A.case_id, A.kind, A.at).where(A.at > now - LOOKED_BACK, A.kind.in_(sorted(_SAYS))).order_by(A.id)
    found = {}
    for step in connection.execute(steps).all():
        causes = [cause for cause, kinds in ANSWERED_BY.items() if step.kind in kinds]
        for role, asked_at in _asked(connection, step.case_id, causes, step.at).items():
            told_at = _asked(connection, step.case_id, [AlertCause.CASE_RECORDED], None).get(role)
            if told_at is None or told_at < asked_at:
                found[role, step.case_id] = FollowedUp(role, step.case_id, EntryKind(step.kind))
    return list(found.values())


def tell(unit: Unit, controller: Controller, found: Sequence[FollowedUp], now: datetime) -> int:
    """Say so to each role that was asked. Returns how many alerts are new; each is an entry, too."""
    return sum(_told(unit, controller, role, _of(found, role), now) for role in sorted({one.role for one in found}))


def _told(unit: Unit, controller: Controller, role: str, found: Sequence[FollowedUp], now: datetime) -> int:
    new = raise_alert(
        unit.connection,
        cause=AlertCause.CASE_RECORDED,
        also=role != "dpo",
        role=role,
        subject="Already recorded: a step that we asked you for",
        body="There is nothing left for you to do about that email of ours. If nobody of you recorded this: tell "
        "whoever runs dpsync at once.",
        now=now,
        zone=controller.zone,
        concerns=[Concern(one.case_id, f"{one.case_id}: {_SAYS[one.kind]}") for one in found],
        at_once=True,
    )
    if new:
        unit.append(None, entry.encode(EntryKind.ALERT, now, cause=AlertCause.CASE_RECORDED, n=len(found)))
    return int(new)


def _of(found: Iterable[FollowedUp], role: str) -> list[FollowedUp]:
    return [one for one in found if one.role == role]


def _asked(
    connection: Connection, case_id: str, causes: Sequence[AlertCause], before: datetime | None
) -> Mapping[str, datetime]:
    """When each role was last mailed an alert of these causes about this case."""
    c, mailed = alert_concern.c, func.max(alert.c.created_at)
    names = [name for cause in causes for name in (str(cause), f"{cause}-deputy")]
    of_case = (c.cause.in_(names)) & (c.about == case_id)
    if before is not None:  # what was still waiting then says nothing that was answered
        of_case &= alert.c.sent_at <= before
    asked = select(alert.c.role, mailed.label("at")).join(alert, alert.c.id == c.alert_id).where(of_case)
    return {row.role: row.at for row in connection.execute(asked.group_by(alert.c.role))}
