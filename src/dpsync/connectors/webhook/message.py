"""What a processor is told by a webhook: one JSON object, the same bytes for each attempt at one telling."""

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Final

from dpsync.address import spellings
from dpsync.connector import Instruction, Shelf
from dpsync.model import Changes, Right

CREATED: Final = "dpsync.request.created"
PING: Final = "dpsync.ping"
_MARK: Final = 16  # of its hexadecimal digits; 64 bits tell one wording of one telling from the next


@dataclass(frozen=True, slots=True)
class Dispatch:
    """One telling of one request: it stays the same until the processor took it, or what it says is another.

    `number`: of the tellings to this processor. `mark`: a keyed digest of what is said. `taken`: it was answered 2xx,
    and that is on record: whoever tells it once more wants to be heard anew.
    """

    request: str
    number: int
    mark: str
    begun_at: str
    taken: bool = False

    @property
    def reference(self) -> str:
        """By which the processor answers, and by which it knows a repetition."""
        return f"{self.request}.{self.number}.{self.mark}"

    @property
    def since(self) -> datetime:
        """When it was to go for the first time."""
        return datetime.fromisoformat(self.begun_at)


def last(shelf: Shelf, request: str) -> Dispatch | None:
    """The last telling of a request, None where there was none."""
    kept = [*shelf.find(f"told/{request}/").values()]
    return Dispatch(request, **json.loads(kept[0])) if kept else None


def begin(shelf: Shelf, order: Instruction, said: Mapping[str, Any], now: datetime) -> Dispatch:
    """The telling that is to go, durable before it does: after a crash it is the same one again."""
    mark = hmac.new(order.digest_key, json.dumps(said).encode(), hashlib.sha256).hexdigest()[:_MARK]
    before = last(shelf, order.request)
    if before is not None and before.mark == mark and not before.taken:
        return before
    number = before.number + 1 if before else 1
    begun = Dispatch(order.request, number, mark, f"{now:%Y-%m-%dT%H:%M:%SZ}")
    shelf.put(_key(order), _text(begun))
    return begun


def note_taken(shelf: Shelf, order: Instruction, telling: Dispatch) -> None:
    """Remember together with the outcome that it was taken. A crash before leaves the same telling to be repeated."""
    shelf.note(_key(order), _text(replace(telling, taken=True)))


def body(telling: Dispatch, said: Mapping[str, Any]) -> bytes:
    """The message of a telling."""
    data = {"reference": telling.reference, **said}
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
    return {**said, "rehearsal": True} if rehearsal else said


def _emails(order: Instruction) -> list[str]:
    # the new address of a change stands under `changes`: here are those under which the person may be held
    return list(dict.fromkeys(form for one in order.addresses for form in spellings(one)))


def _changes(changes: Changes) -> dict[str, Any]:
    named = {"email": changes.email, "first_name": changes.first_name, "last_name": changes.last_name}
    return {name: value for name, value in named.items() if value is not None} | {"fields": dict(changes.fields)}


def _key(order: Instruction) -> str:
    # by the reference at its end it is found, and forgotten, with the request
    return f"told/{order.request}/{order.reference}"


def _text(telling: Dispatch) -> str:
    return json.dumps({name: value for name, value in asdict(telling).items() if name != "request"})
