"""What a privacy platform is told of a request that it handed over, by one table; and what opens its job to that.

Its words are few: none says that somebody was told and has not answered, or that our own reading shows it. So done is
said only where every processor did it or holds nothing, and what nobody there has a word for is left to a person.
Sources: Transcend's API, PUT /v1/data-silo, as its published clients had it in November 2026; opengdpr/OpenDSR,
specification.md, section 8.
"""

from collections.abc import Collection, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from sqlalchemy import Connection, delete, insert, select

from dpsync.model import State
from dpsync.opendsr_protocol import RequestStatus
from dpsync.propagation.controller import Controller
from dpsync.store.platform_tables import platform_job

_SEALED: Final = "platform job"
_J = platform_job.c


class JobStatus(StrEnum):
    """What Transcend calls it, from what outweighs everything to what holds only where nothing else does."""

    WAITING = "WAITING"
    ACTION_REQUIRED = "ACTION_REQUIRED"
    SKIPPED_DUE_TO_EXCEPTION = "SKIPPED_DUE_TO_EXCEPTION"
    RESOLVED = "RESOLVED"


_TABLE: Final[Mapping[State, tuple[JobStatus, RequestStatus]]] = MappingProxyType(
    {
        State.HELD: (JobStatus.WAITING, RequestStatus.PENDING),
        State.PENDING: (JobStatus.WAITING, RequestStatus.PENDING),
        State.ACCEPTED: (JobStatus.WAITING, RequestStatus.IN_PROGRESS),
        State.HANDED_OVER: (JobStatus.WAITING, RequestStatus.IN_PROGRESS),
        State.ESCALATED: (JobStatus.WAITING, RequestStatus.IN_PROGRESS),
        State.CONTRADICTED: (JobStatus.WAITING, RequestStatus.IN_PROGRESS),
        State.REFUSED: (JobStatus.WAITING, RequestStatus.IN_PROGRESS),
        State.NOT_IDENTIFIABLE: (JobStatus.ACTION_REQUIRED, RequestStatus.IN_PROGRESS),
        State.SETTLED: (JobStatus.ACTION_REQUIRED, RequestStatus.CANCELLED),
        State.SUPERSEDED: (JobStatus.ACTION_REQUIRED, RequestStatus.CANCELLED),
        State.WITHDRAWN: (JobStatus.ACTION_REQUIRED, RequestStatus.CANCELLED),
        State.EXEMPT: (JobStatus.SKIPPED_DUE_TO_EXCEPTION, RequestStatus.CANCELLED),
        State.APPLIED: (JobStatus.RESOLVED, RequestStatus.COMPLETED),
        State.DECLARED_DONE: (JobStatus.RESOLVED, RequestStatus.COMPLETED),
        State.NOTHING_HELD: (JobStatus.RESOLVED, RequestStatus.COMPLETED),
        State.DECLARED_NOTHING_HELD: (JobStatus.RESOLVED, RequestStatus.COMPLETED),
        State.VERIFIED: (JobStatus.RESOLVED, RequestStatus.COMPLETED),
    }
)
STATUS: Final[Mapping[State, JobStatus]] = MappingProxyType({state: one for state, (one, _) in _TABLE.items()})
"""What the state at one processor comes to at Transcend."""

OPENDSR: Final[Mapping[State, RequestStatus]] = MappingProxyType({state: one for state, (_, one) in _TABLE.items()})
"""The same in OpenDSR: a refusal waits for a person of ours, whose last word is then that it is cancelled."""


def status_of(states: Collection[State]) -> JobStatus:
    """What the states at all processors come to. A request that went to nobody is for a person to look at."""
    found = {STATUS[state] for state in states} or {JobStatus.ACTION_REQUIRED}
    return next(one for one in JobStatus if one in found)


def request_status(states: Collection[State], *, begun: bool) -> RequestStatus:
    """What the states at all processors come to in OpenDSR. `begun`: somebody was told already, or may have been.

    From then on it cannot be cancelled, so it is not pending. A request that went to nobody is for a person to look at.
    """
    found = {OPENDSR[state] for state in states}
    if not found or RequestStatus.IN_PROGRESS in found:
        return RequestStatus.IN_PROGRESS
    if RequestStatus.PENDING in found:
        untouched = not begun and RequestStatus.COMPLETED not in found
        return RequestStatus.PENDING if untouched else RequestStatus.IN_PROGRESS
    return RequestStatus.CANCELLED if RequestStatus.CANCELLED in found else RequestStatus.COMPLETED


def nothing_held(states: Collection[State]) -> bool:
    """Whether no processor holds the person."""
    return bool(states) and set(states) <= {State.NOTHING_HELD, State.DECLARED_NOTHING_HELD}


def keep(connection: Connection, controller: Controller, request_id: str, job: str) -> None:
    """Keep what opens a job of a request, sealed, beside what opens others of the same request."""
    known = job_of(connection, controller, request_id)
    if known is not None and job in known.split("\n"):
        return
    told = job if known is None else f"{known}\n{job}"
    drop(connection, request_id)
    sealed = controller.keys.seal(_SEALED, told.encode(), request_id.encode())
    connection.execute(insert(platform_job).values(request_id=request_id, sealed=sealed))


def job_of(connection: Connection, controller: Controller, request_id: str) -> str | None:
    """What opens the jobs, each on a line; None where it is destroyed, or never came. Raises `KeyProblem`."""
    sealed = connection.execute(select(_J.sealed).where(_J.request_id == request_id)).scalar_one_or_none()
    return sealed and controller.keys.open(_SEALED, sealed, request_id.encode()).decode()


def has_job(connection: Connection, request_id: str) -> bool:
    """Whether there is anybody to answer to."""
    return connection.execute(select(_J.request_id).where(_J.request_id == request_id)).first() is not None


def drop(connection: Connection, request_id: str) -> None:
    """Destroy it: the platform has our answer, or the person is forgotten."""
    connection.execute(delete(platform_job).where(_J.request_id == request_id))
