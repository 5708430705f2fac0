"""What was told to a processor that answers later: one telling of one request stays the same until it was taken."""

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Final

from dpsync.connector import Instruction, Shelf

_MARK: Final = 16  # of its hexadecimal digits; 64 bits tell one wording of one telling from the next


@dataclass(frozen=True, slots=True)
class Dispatch:
    """One telling of one request: it stays the same until the processor took it, or what it says is another.

    `number`: of the tellings to this processor. `mark`: a keyed digest of what is said. `taken`: it was answered 2xx,
    and that is on record: whoever tells it once more wants to be heard anew. `parts`: how many messages it takes.
    """

    request: str
    number: int
    mark: str
    begun_at: str
    taken: bool = False
    parts: int = 1

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


def begin(shelf: Shelf, order: Instruction, said: Mapping[str, Any], now: datetime, parts: int = 1) -> Dispatch:
    """The telling that is to go, durable before it does: after a crash it is the same one again."""
    mark = hmac.new(order.digest_key, json.dumps(said).encode(), hashlib.sha256).hexdigest()[:_MARK]
    before = last(shelf, order.request)
    if before is not None and before.mark == mark and not before.taken:
        return before
    number = before.number + 1 if before else 1
    begun = Dispatch(order.request, number, mark, f"{now:%Y-%m-%dT%H:%M:%SZ}", parts=parts)
    shelf.put(_key(order), _text(begun))
    return begun


def note_taken(shelf: Shelf, order: Instruction, telling: Dispatch) -> None:
    """Remember together with the outcome that it was taken. A crash before leaves the same telling to be repeated."""
    shelf.note(_key(order), _text(replace(telling, taken=True)))


def _key(order: Instruction) -> str:
    # by the reference at its end it is found, and forgotten, with the request
    return f"told/{order.request}/{order.reference}"


def _text(telling: Dispatch) -> str:
    return json.dumps({name: value for name, value in asdict(telling).items() if name != "request"})
