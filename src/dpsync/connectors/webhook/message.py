"""What a processor is told by a webhook: one JSON object, the same bytes for each attempt at one telling."""

import json
from collections.abc import Mapping
from typing import Any, Final

from dpsync import opt_out_scope
from dpsync.address import spellings
from dpsync.connector import Instruction
from dpsync.model import Changes, Right
from dpsync.vendor.tellings import Dispatch

CREATED: Final = "dpsync.request.created"
PING: Final = "dpsync.ping"


def body(telling: Dispatch, said: Mapping[str, Any], order: Instruction, ack_url: str) -> bytes:
    """The message of a telling. `ack_url`: where its outcome comes in; the day by which that is due is one of UTC."""
    data = {"reference": telling.reference, **said}
    if order.answer_within is not None:
        data["due"] = (telling.since + order.answer_within).date().isoformat()
    if ack_url:
        data["ack_url"] = ack_url
    return json.dumps({"type": CREATED, "timestamp": telling.begun_at, "data": data}).encode()


def content(order: Instruction, own_ids: tuple[str, ...], *, rehearsal: bool) -> dict[str, Any] | None:
    """What is asked, and of whom; None where nothing says who that is. A name alone never does.

    Each address stands there in every spelling that may be held. The ids at *other* processors stay out (Art. 5(1)(c)
    GDPR).
    """
    found: dict[str, Any] = {"emails": _emails(order), "id": order.subject_id, "phone": order.phone}
    subject = {name: value for name, value in {**found, "references": list(own_ids)}.items() if value}
    if not subject:
        return None
    if order.name:
        subject["name"] = order.name
    said: dict[str, Any] = {"right": order.right.value, "subject": subject}
    if order.right is Right.RECTIFICATION and order.changes is not None:
        said["changes"] = _changes(order.changes)
    if order.right is Right.RESTRICTION:
        said["lifted"] = order.lifted is not None
    if order.scope:
        said["scope"] = opt_out_scope.named(order.scope)
    return {**said, "rehearsal": True} if rehearsal else said


def _emails(order: Instruction) -> list[str]:
    # the new address of a change stands under `changes`: here are those under which the person may be held
    return list(dict.fromkeys(form for one in order.addresses for form in spellings(one)))


def _changes(changes: Changes) -> dict[str, Any]:
    named = {"email": changes.email, "first_name": changes.first_name, "last_name": changes.last_name}
    return {name: value for name, value in named.items() if value is not None} | {"fields": dict(changes.fields)}
