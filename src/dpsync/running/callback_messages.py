"""What goes to a main database: the message as it was written down, with the person put in, or a platform's own form.

A privacy platform hears the end of a request that it handed over by one call to the job that it made of it. Source:
Transcend's API, PUT /v1/data-silo, as its published clients had it in November 2026: bearer key, the job's own
`x-transcend-nonce`, and a `status`. Nothing of a person is in it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, select

from dpsync.installation import Installation
from dpsync.model import Request, State
from dpsync.propagation import platform_jobs
from dpsync.propagation.commitments import opened
from dpsync.running.callback_targets import CallbackTarget
from dpsync.settings.sources import SIGNED_DOOR
from dpsync.store import tables as t

CLOSED: Final = 409
"""The job is closed there already: by somebody's hand, or by our answer before we died."""
NOBODY: Final = "the person was forgotten before it was taken"
NO_JOB: Final = "what opens its job is not kept"


@dataclass(frozen=True, slots=True)
class OutgoingCall:
    """One message as it goes."""

    method: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


def message_of(
    connection: Connection, there: Installation, target: CallbackTarget, row: Row[Any], now: datetime
) -> OutgoingCall | None:
    """The message as it goes; None where nobody can be named, or no job opened, any more. Raises `KeyProblem`."""
    if target.is_platform:
        return _answer_of(connection, there, target, row)
    body = _with_person(connection, there, row)
    return None if body is None else OutgoingCall("POST", target.headers(row.id, body, now), body)


def _with_person(connection: Connection, there: Installation, row: Row[Any]) -> bytes | None:
    """The message as it goes. A person is named by one thing only: the receiver's own id, or else the address."""
    if not row.named_in:
        return str(row.body).encode()
    person = _own_id(connection, there, row) if row.named_in != row.request_id else None
    if person is None and (asked := _asked(connection, there, row.request_id)) is not None:
        person = {"email": asked[1].subject.email}
    if person is None:
        return None
    message = json.loads(row.body)
    message["data"]["subject"] = person
    return json.dumps(message).encode()


def _own_id(connection: Connection, there: Installation, row: Row[Any]) -> dict[str, str | None] | None:
    """The receiver's own id of the person, unless that record went into another one: then it is nobody's any more."""
    asked = _asked(connection, there, row.named_in)
    own_id = asked and asked[1].subject.id
    if not asked or not own_id or asked[0] not in there.keys.pseudonyms("id", own_id):
        return None
    return {"id": own_id.removeprefix("" if row.source == SIGNED_DOOR else f"{row.source}:")}


def _asked(connection: Connection, there: Installation, request_id: str) -> tuple[str, Request] | None:
    """Who asked and what, None once that is destroyed. Raises `KeyProblem`."""
    r = t.request.c
    sealed = select(r.id.label("request_id"), r.person, r.sealed, r.wrapped_key, r.key_month).where(r.id == request_id)
    row = connection.execute(sealed).mappings().one()
    found = opened(there.controller, dict(row))
    return found and (row["person"], found[1])


def _answer_of(
    connection: Connection, there: Installation, target: CallbackTarget, row: Row[Any]
) -> OutgoingCall | None:
    """The answer to the job of a request."""
    nonce = platform_jobs.nonce_of(connection, there.controller, row.request_id)
    if nonce is None:
        return None
    # As it was when it was written: told again it is the same.
    states = [State(one["state"]) for one in json.loads(row.body)["data"]["processors"]]
    headers = {
        "content-type": "application/json",
        "accept": "application/json",
        "authorization": f"Bearer {target.secrets[0]}",
        "x-transcend-nonce": nonce,
    }
    if target.gateway_key:
        headers["x-sombra-authorization"] = f"Bearer {target.gateway_key}"
    return OutgoingCall("PUT", headers, json.dumps({"status": platform_jobs.status_of(states).value}).encode())
