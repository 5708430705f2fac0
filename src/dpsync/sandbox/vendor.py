"""What every imitated vendor has, a clock, a journal, faults, switches, webhooks under way; and what each must say."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.types import Receive, Scope, Send

from dpsync.sandbox.asked import Changed, Header
from dpsync.sandbox.faults import Fault, Queue
from dpsync.sandbox.journal import Effect, Journal
from dpsync.sandbox.posting import Sent
from dpsync.sandbox.waits import Waits


class Part(BaseModel):
    """A part of a scenario; what it does not know is an error."""

    model_config = ConfigDict(extra="forbid")


class Switches(Part):
    """What a vendor does now and then; None leaves a switch as it is. Each vendor adds its own."""

    latency_ms: float | None = Field(default=None, ge=0)


class Section(Part):
    """What a scenario says of one vendor; each vendor adds what it holds, and has switches of its own."""

    faults: tuple[Fault, ...] = ()
    switches: Switches = Switches()


class Unwilling(Exception):
    """What the vendor refuses, whoever asks: its API, a scenario or somebody in its web app."""


class Refusal(Unwilling):
    """A no of the vendor's API: status, code, words, headers; `more`: what else its envelope says.

    `counted`: what the journal calls a call that was turned away with it at the door.
    """

    counted = "unauthenticated"

    def __init__(self, status: int, message: str, *headers: Header, code: str = "", **more: object) -> None:
        self.status = status
        self.message = message
        self.headers = headers
        self.code: Any = code
        self.more = more
        super().__init__(message)


@dataclass(slots=True)
class Vendor(ABC):
    """One vendor as an ASGI application. All methods belong to the thread of the sandbox's loop.

    `now` gives the time as an aware datetime; `latency`: seconds each call takes; `url`: its own address, once it has
    one; `webhooks`: what it sends of its own accord.
    """

    now: Callable[[], datetime]
    waits: Waits = field(default_factory=Waits)
    latency: float = 0.0
    url: str = ""
    journal: Journal = field(default_factory=Journal)
    faults: Queue = field(default_factory=Queue)
    background: set[asyncio.Task[None]] = field(default_factory=set)
    switches: Any = field(init=False)
    webhooks: Sent = field(default_factory=Sent)

    @abstractmethod
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One call."""

    @abstractmethod
    def holds(self, address: str) -> list[tuple[str, str]]:
        """(place, state) wherever this person is held now; empty where nobody of that address is left."""

    def shown(self, address: str) -> list[dict[str, object]]:
        """The same as JSON, with whatever else this vendor has to say of it."""
        return [{"place": place, "state": state} for place, state in self.holds(address)]

    @abstractmethod
    def act(self, **asked: object) -> int:
        """Does something by hand, as the person or in the web app; how many places it concerned.

        Raises:
            pydantic.ValidationError: the vendor's people know no such deed.
            Unwilling: the vendor refuses it.
        """

    @abstractmethod
    def reset(self) -> None:
        """Empties everything but the accounts and their credentials."""

    def tick(self) -> int:
        """Does what the vendor owes by now; how much. Most vendors owe nothing."""
        return 0

    def set_up(self, section: Section) -> None:
        """Switches on what a scenario's section says, once the vendor is filled."""
        for fault in section.faults:
            self.faults.add(fault)
        self.set_switches(section.switches)

    def switch(self, **switches: object) -> None:
        """Sets the switches that are given. Raises pydantic.ValidationError."""
        self.set_switches(type(self.switches).model_validate(switches))

    def set_switches(self, given: Switches) -> None:
        """Sets the switches that are not None."""
        for name, value in given.model_dump(exclude_none=True).items():
            setattr(self.switches, name, value)
        self.latency = self.latency if given.latency_ms is None else given.latency_ms / 1000

    def forget_counts(self) -> None:
        """Counts, faults, what was sent, switches, and nothing else."""
        self.journal.clear()
        self.faults.clear()
        self.webhooks.deliveries.clear()
        for name in type(self.switches).model_fields:
            setattr(self.switches, name, None)

    def deliveries(self) -> list[dict[str, object]]:
        """Every attempt to call a webhook, as JSON; its `status` is 0 where nobody answered."""
        return [asdict(one) for one in self.webhooks.deliveries]

    def count(self, account: str, changes: Sequence[Changed]) -> None:
        """Counts what happened."""
        at = self.now().timestamp()
        self.journal.effects += [Effect(at, account, one.place, one.kind, one.address, one.was) for one in changes]

    def begin(self, telling: Coroutine[object, object, None]) -> None:
        """Lets webhooks be called beside the answer that caused them."""
        task = asyncio.get_running_loop().create_task(telling)
        self.background.add(task)
        task.add_done_callback(self.background.discard)

    async def delivered(self) -> None:
        """Returns once every webhook sent so far has been answered or given up."""
        while self.background:
            await asyncio.gather(*self.background)
