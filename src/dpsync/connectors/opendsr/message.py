"""What a processor is told by OpenDSR: whom an erasure is about, in the words of its dialect."""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, zip_longest
from operator import attrgetter
from typing import Final
from uuid import UUID

from dpsync.address import spellings
from dpsync.connector import Instruction
from dpsync.connectors.opendsr.settings import OpenDsrSettings
from dpsync.opendsr_protocol import IdentityFormat, IdentityType, RequestType, written
from dpsync.vendor.tellings import Dispatch

_OWN_ID: Final = re.compile(r"([a-z][a-z0-9_]{0,63}):([!-~]{1,512})")
NOBODY: Final = "nothing in the instruction says who the person is"
BAD_ID: Final = "an id that was given is not written as TYPE:VALUE, and nothing is sent before all can be"

Part = Sequence[Mapping[str, str]] | Mapping[str, Mapping[str, str]]
"""The identities of one request: a list, or an object keyed by their type."""


@dataclass(frozen=True, slots=True)
class KnownBy:
    """By what the person is known there."""

    type: str
    value: str = field(repr=False)
    format: str = IdentityFormat.RAW


class Unfit(Exception):
    """That nobody can be named by what an instruction has; `reason` is a fixed phrase of ours."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


def parts(order: Instruction, settings: OpenDsrSettings) -> list[Part]:
    """The identities of each request that it takes: one, or as many as there are of one type. Raises `Unfit`."""
    found = list(dict.fromkeys(_identities(order, settings)))
    if not found:
        raise Unfit(NOBODY)
    if not settings.reading.keyed:
        return [[_whole(one) for one in found]]
    kinds = [list(of_one) for _, of_one in groupby(sorted(found, key=attrgetter("type")), attrgetter("type"))]
    return [
        {one.type: {"value": one.value, "encoding": one.format} for one in row if one is not None}
        for row in zip_longest(*kinds)
    ]


def _identities(order: Instruction, settings: OpenDsrSettings) -> Iterator[KnownBy]:
    for address in order.addresses if settings.reading.emails else ():
        for form in spellings(address):
            yield KnownBy(IdentityType.EMAIL, _in(settings.email_format, form), settings.email_format)
    if settings.customer and order.subject_id:
        yield KnownBy(settings.customer, order.subject_id)
    for text in order.references.get(settings.own_ids, ()):
        named = _OWN_ID.fullmatch(text)
        if named is None:
            raise Unfit(BAD_ID)
        yield KnownBy(named[1], named[2])


def _in(form: IdentityFormat, value: str) -> str:
    return value if form is IdentityFormat.RAW else hashlib.new(form.value, value.encode()).hexdigest()


def _whole(one: KnownBy) -> dict[str, str]:
    return {"identity_type": one.type, "identity_value": one.value, "identity_format": one.format}


def request_ids(telling: Dispatch) -> tuple[str, ...]:
    """The id of each of its requests: the same for each attempt at it, and a UUID of version 4 as the rules want it."""
    named = [hashlib.sha256(f"{telling.reference}/{number}".encode()).digest() for number in range(telling.parts)]
    return tuple(str(UUID(bytes=one[:16], version=4)) for one in named)


def body(
    order: Instruction, settings: OpenDsrSettings, telling: Dispatch, request_id: str, part: Part, url: str
) -> bytes:
    """One request. `url`: where the processor may say how it goes on, "" for nowhere."""
    reading = settings.reading
    said = {
        "regulation": settings.regulation if reading.regulated else None,
        "subject_request_id": request_id,
        "subject_request_type": RequestType.ERASURE,
        "submitted_time": written(order.received_at) if order.received_at else telling.begun_at,
        "subject_identities": part,
        "api_version": reading.version,
        "property_id": settings.property_id,
        "status_callback_urls": [url] if url else None,
    }
    return json.dumps({name: value for name, value in said.items() if value}).encode()


def came_back(encoded: object, sent: bytes) -> str:
    """What is kept of the copy of our request that an answer holds: only its SHA-256, and whether it is ours.

    It names the person, so 7.3 of the specification forbids to keep it.
    """
    if not isinstance(encoded, str):
        return ""
    try:
        same = base64.b64decode(encoded, validate=True) == sent
    except (binascii.Error, ValueError):
        same = False
    said = "is our request" if same else "is another than we sent"
    return f"its copy {said}: SHA-256 {hashlib.sha256(encoded.encode()).hexdigest()}"
