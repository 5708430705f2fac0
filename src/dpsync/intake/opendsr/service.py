"""What stands behind the door of OpenDSR: who may ask, and requests by the same reception as every other.

There is no state of its own: a status is computed from where the request stands at the processors, our own main
database among them. Nothing of what was sent is kept but what every request keeps, and a keyed digest of its bytes.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, select

from dpsync.errors import DecisionRefused, NotFound
from dpsync.installation import Installation
from dpsync.intake import events
from dpsync.intake.acceptance import Asked
from dpsync.intake.answers import Received
from dpsync.intake.events import Conflict
from dpsync.intake.opendsr.certificate import SigningFiles, SigningPair
from dpsync.intake.opendsr.reading import IDENTITIES, Handed, read
from dpsync.intake.payload import Withdrawal
from dpsync.intake.reception import receive_all
from dpsync.intake.withdrawals import take_back
from dpsync.journal import AcceptedRequest
from dpsync.model import Cause
from dpsync.opendsr_protocol import VERSION, IdentityFormat, RequestStatus, RequestType, is_request_id, written
from dpsync.propagation import callbacks, platform_jobs
from dpsync.propagation.controller import Controller
from dpsync.settings.opendsr import OpenDsrControllerSection, OpenDsrSection, source_of
from dpsync.store import tables as t
from dpsync.store.writer import Unit

CERTIFICATE: Final = "/certificate"
"""Where the certificate can be had, beside the other addresses."""

_BEGUN: Final = "somebody was told of it already, so it cannot be cancelled"
_R, _W = t.request.c, t.withdrawal.c


@dataclass(frozen=True, slots=True)
class Caller:
    """A controller that may ask. `id`: what it is called in every answer; `source`: what its requests come from."""

    id: str
    section: OpenDsrControllerSection = field(repr=False)

    @property
    def source(self) -> str:
        """What its requests are said to come from."""
        return source_of(self.id)


class OpenDsr:
    """One for the receiver. Raises `ConfigurationError` where the certificate cannot be used."""

    def __init__(self, there: Installation, section: OpenDsrSection) -> None:
        self._there = there
        self._files = SigningFiles(section)
        self._callers = tuple(Caller(name, one) for name, one in section.controllers.items())
        self._files.pair()
        self.domain = section.domain

    def pair(self) -> SigningPair:
        """What answers are signed with just now."""
        return self._files.pair()

    def caller(self, authorization: str) -> Caller | None:
        """Whose token a header `Authorization` bears; None for nobody's. It takes as long whoever it is."""
        scheme, _, token = authorization.partition(" ")
        digest = token_hash(token.strip())
        found = None
        for one in self._callers:
            for known in one.section.token_hashes:
                if hmac.compare_digest(known, digest) and scheme.lower() == "bearer":
                    found = one
        return found

    def discovery(self, base: str) -> Mapping[str, object]:
        """What anybody may know: nothing of who asks, nor of the processors. `base`: the path of this version.

        A rehearsal is nowhere but on this machine, under its own address.
        """
        settings = self._there.settings
        host = settings.intake.public_url if settings.controller.rehearsal else None
        return {
            "api_version": VERSION,
            "supported_identities": [
                {"identity_type": one.value, "identity_format": IdentityFormat.RAW.value} for one in IDENTITIES
            ],
            "supported_subject_request_types": [RequestType.ERASURE.value],
            "processor_certificate": f"{host or f'https://{self.domain}'}{base}{CERTIFICATE}",
        }

    def read(self, caller: Caller, body: bytes, now: datetime) -> Handed:
        """What a body asks for. Raises `PayloadInvalid`."""
        rehearsal, allowed = self._there.settings.controller.rehearsal, caller.section.callbacks
        return read(body, source=caller.source, domain=self.domain, allowed=allowed, now=now, rehearsal=rehearsal)

    def submit(self, handed: Handed, body: bytes, now: datetime) -> "Future[Mapping[str, Any] | Conflict]":
        """Accept it; the future gives the times of the answer after the commit, the same whenever it comes again.

        A body is signed by nobody, so whoever has the token can erase: all of it cools off first.
        """
        controller = self._there.controller
        mac, cools = events.body_mac(controller, body), frozenset({Cause.COOLING_OFF})
        asked = Asked(handed.request, mac, now, cools, misdated=handed.misdated)

        def work(unit: Unit) -> Mapping[str, Any] | Conflict:
            (became,) = receive_all(unit, controller, [asked])
            if isinstance(became, Conflict):
                return became
            if handed.callbacks and not became.repeated:
                platform_jobs.keep(unit.connection, controller, became.request_id, json.dumps(handed.callbacks))
            row = unit.connection.execute(select(_R.accepted_at, _R.due_at).where(_R.id == became.request_id)).one()
            return {"received_time": written(row.accepted_at), "expected_completion_time": written(row.due_at)}

        return self._there.writer.submit(work)

    def status(self, caller: Caller, subject_request_id: str) -> Mapping[str, Any]:
        """How a request stands. Raises `NotFound`, for what another one asked as for what nobody did."""
        return self._there.read(
            lambda connection: callbacks.opendsr_status(connection, _own(connection, caller.source, subject_request_id))
        )

    def cancel_all(self, caller: Caller, subject_request_id: str, now: datetime) -> "Future[Mapping[str, Any]]":
        """Take a request back as a whole; the future gives when, the same whenever it is asked again.

        Raises (in the future) `NotFound`, and `DecisionRefused` where anybody was told already: then all of it goes on.
        """
        controller = self._there.controller

        def work(unit: Unit) -> Mapping[str, Any]:
            return {"received_time": written(cancel(unit, controller, caller.source, subject_request_id, now))}

        return self._there.writer.submit(work)


def token_hash(token: str) -> str:
    """What the settings keep of a token: it is random, so nobody guesses what this was made of."""
    return f"sha256:{hashlib.sha256(token.encode(errors='replace')).hexdigest()}"


def _own(connection: Connection, source: str, subject_request_id: str) -> str:
    if not is_request_id(subject_request_id):
        raise NotFound("no such request")
    asked = (_R.source == source) & (_R.event_id == subject_request_id)
    found: str | None = connection.execute(select(_R.id).where(asked)).scalar()
    if found is None:
        raise NotFound("no such request")
    return found


def cancel(unit: Unit, controller: Controller, source: str, subject_request_id: str, now: datetime) -> datetime:
    """Take back all of a request, and say when: now, or before. Raises `NotFound`, `DecisionRefused`.

    It has the writer's lock for itself, which a worker shares to begin an attempt: whoever comes first decides.
    """
    connection = unit.connection
    own = _own(connection, source, subject_request_id)
    event = f"{subject_request_id}.cancelled"
    before = select(_W.at).where(_W.source == source, _W.event_id == event)
    at: datetime | None = connection.execute(before).scalar()
    if at is not None:
        return at
    status = callbacks.opendsr_status(connection, own)["request_status"]
    if status != RequestStatus.PENDING:
        raise DecisionRefused(_BEGUN if status != RequestStatus.CANCELLED else "it is cancelled already")
    mac = events.body_mac(controller, b"")  # a DELETE has no body
    taken = take_back(unit, controller, Withdrawal(source, event, own), mac, now)
    if isinstance(taken, Received):
        unit.accept(AcceptedRequest(own, source, event, now, kind="withdrawal"))
    return now
