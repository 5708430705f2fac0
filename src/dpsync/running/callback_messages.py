"""What goes to a main database: the message as it was written down, with the person put in, or a platform's own form.

A privacy platform hears the end of a request that it handed over by a call to the job that it made of it. Nothing of a
person is in it. Sources: Transcend's API, PUT /v1/data-silo, as its published clients had it in November 2026: bearer
key, the job's own `x-transcend-nonce`, and a `status`; ketch-com/ketch-forwarder, api/dsr/v1: a status event to each of
the `callbacks` of the request, with the headers that it names; opengdpr/OpenDSR, specification.md, 8.5 to 8.7: the
whole status to each of the `status_callback_urls`, signed.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, select

from dpsync.installation import Installation
from dpsync.intake.opendsr import certificate
from dpsync.model import Request, State
from dpsync.propagation import platform_jobs
from dpsync.propagation.commitments import opened
from dpsync.propagation.platform_jobs import JobStatus
from dpsync.running.callback_targets import CallbackTarget
from dpsync.settings.callbacks import CallbackForm
from dpsync.settings.opendsr import PREFIX
from dpsync.settings.sources import SIGNED_DOOR
from dpsync.store import tables as t
from dpsync.urls import is_at

CLOSED: Final = 409
"""The job is closed there already: by somebody's hand, or by our answer before we died."""
_JSON: Final = {"content-type": "application/json", "accept": "application/json"}
_OURS: Final = frozenset(
    {*_JSON, "host", "content-length", "content-encoding", "transfer-encoding", "connection", "upgrade", "expect", "te"}
)
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_VALUE: Final = re.compile(r"[!-~](?:[ -~]{0,4094}[!-~])?")
NOBODY: Final = "the person was forgotten before it was taken"
NO_JOB: Final = "what opens its job is not kept"


@dataclass(frozen=True, slots=True)
class OutgoingCall:
    """One message as it goes. `url`: personal to it, where a platform's own message names it."""

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


def message_of(
    connection: Connection, there: Installation, target: CallbackTarget, row: Row[Any], now: datetime
) -> tuple[OutgoingCall, ...]:
    """The message as it goes; none where nobody can be named, or no job opened, any more.

    Raises `KeyProblem`; `ConfigurationError` where what it is to be signed with cannot be used.
    """
    if target.taker is not None:
        return tuple(
            OutgoingCall(one.method, one.url, one.headers, b"") for one in target.taker.taking_back(row.request_id)
        )
    if target.is_platform:
        return _answers_of(connection, there, target, row)
    body = _with_person(connection, there, row)
    return () if body is None else (OutgoingCall("POST", target.url, target.headers(row.id, body, now), body),)


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


def _answers_of(
    connection: Connection, there: Installation, target: CallbackTarget, row: Row[Any]
) -> tuple[OutgoingCall, ...]:
    """The answers to the jobs of a request, and to each address that they are wanted at."""
    job = platform_jobs.job_of(connection, there.controller, row.request_id)
    if job is None:
        return ()
    if target.is_opendsr:
        return tuple(_to_opendsr(there, target, json.loads(job), json.loads(row.body)["data"]["opendsr"]))
    # As it was when it was written: told again it is the same.
    states = [State(one["state"]) for one in json.loads(row.body)["data"]["processors"]]
    if target.form is CallbackForm.KETCH:
        told = [json.loads(one) for one in job.split("\n") if one.startswith("{")]  # of another platform: nowhere
        return tuple(call for one in told for call in _to_ketch(there, target, row.request_id, one, states))
    headers = {**_JSON, "authorization": f"Bearer {target.secrets[0]}"}
    if target.gateway_key:
        headers["x-sombra-authorization"] = f"Bearer {target.gateway_key}"
    body = json.dumps({"status": platform_jobs.status_of(states).value}).encode()
    # One for each identifier that it handed over.
    jobs = [{**headers, "x-transcend-nonce": nonce} for nonce in job.split("\n")]
    return tuple(OutgoingCall("PUT", target.url, one, body) for one in jobs)


def _to_ketch(
    there: Installation, target: CallbackTarget, request_id: str, job: Mapping[str, Any], states: Sequence[State]
) -> Iterator[OutgoingCall]:
    """The same event to each address of its message that the settings allow.

    What is done is final there. For what is not, Ketch has no honest word: it stays in progress for a person to close.
    """
    event = {"status": "in_progress", "reason": "unknown", "requestID": request_id}
    if platform_jobs.status_of(states) is JobStatus.RESOLVED:
        reason = "no_match" if platform_jobs.nothing_held(states) else "executed"
        event |= {"status": "completed", "reason": reason}
    head = {"apiVersion": "dsr/v1", "kind": f"{job.get('kind')}StatusEvent"}
    metadata = {name: job.get(name) for name in ("uid", "tenant")}
    body = json.dumps({**head, "metadata": metadata, "event": event}).encode()
    for one in job["callbacks"]:
        match one:
            case {"url": str(url)} if is_at(url, target.url, rehearsal=there.settings.controller.rehearsal):
                given = one.get("headers")
                own = {n: v for n, v in given.items() if _may_be_sent(n, v)} if isinstance(given, dict) else {}
                yield OutgoingCall("POST", url, {**own, **_JSON}, body)


def _to_opendsr(
    there: Installation, target: CallbackTarget, urls: Sequence[str], status: Mapping[str, Any]
) -> Iterator[OutgoingCall]:
    """The whole status to each address that the settings still allow, signed by the certificate of today.

    Raises `ConfigurationError` where that cannot be used.
    """
    section = there.settings.opendsr
    if section is None:
        return
    pair, rehearsal = certificate.load(section), there.settings.controller.rehearsal
    for url in urls:
        if any(is_at(url, host, rehearsal=rehearsal) for host in target.hosts):
            told = {"controller_id": target.source.removeprefix(PREFIX), **status, "status_callback_url": url}
            body = json.dumps(told).encode()
            yield OutgoingCall("POST", url, {**_JSON, **pair.headers(section.domain, body)}, body)


def _may_be_sent(name: object, value: object) -> bool:
    """Whether a header of a message is one: no line break makes a second one, and none that says how to read ours."""
    plain = isinstance(name, str) and isinstance(value, str) and bool(_NAME.fullmatch(name) and _VALUE.fullmatch(value))
    return plain and f"{name}".lower() not in _OURS
