"""What every imitated vendor has: a clock, a journal, faults, webhooks under way; and what every one must say."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field
from starlette.types import Receive, Scope, Send

from dpsync.sandbox.fault_replies import Reply, Trouble, Wire, perform, send_reply
from dpsync.sandbox.faults import Fault, Queue, Target
from dpsync.sandbox.journal import Call, Journal
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
    """A no of the vendor's API. `counted`: what the journal calls a call that was turned away with it at the door."""

    counted = "unauthenticated"

    def __init__(self, status: int, message: str, *headers: tuple[str, str]) -> None:
        self.status = status
        self.message = message
        self.headers = headers
        super().__init__(message)


UNKNOWN = " ?"
"""What the endpoint of a call to a path without a template ends with."""


@dataclass(slots=True)
class Vendor(ABC):
    """One vendor as an ASGI application. All methods belong to the thread of the sandbox's loop.

    `now` gives the time as an aware datetime; `latency`: seconds each call takes; `url`: its own address, once it has
    one.
    """

    now: Callable[[], datetime]
    waits: Waits = field(default_factory=Waits)
    latency: float = 0.0
    url: str = ""
    journal: Journal = field(default_factory=Journal)
    faults: Queue = field(default_factory=Queue)
    background: set[asyncio.Task[None]] = field(default_factory=set)

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
    def deliveries(self) -> list[dict[str, object]]:
        """Every attempt to call a webhook, as JSON; its `status` is 0 where nobody answered."""

    @abstractmethod
    def switch(self, **switches: object) -> None:
        """Sets the switches that are given. Raises pydantic.ValidationError."""

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

    def forget_counts(self) -> None:
        """Counts, faults and nothing else."""
        self.journal.clear()
        self.faults.clear()

    def begin(self, telling: Coroutine[object, object, None]) -> None:
        """Lets webhooks be called beside the answer that caused them."""
        task = asyncio.get_running_loop().create_task(telling)
        self.background.add(task)
        task.add_done_callback(self.background.discard)

    async def delivered(self) -> None:
        """Returns once every webhook sent so far has been answered or given up."""
        while self.background:
            await asyncio.gather(*self.background)

    async def carry(
        self, wire: Wire, call: Call, target: Target, work: Callable[[bool], Reply], trouble: Trouble
    ) -> None:
        """Counts one call, lets it take its time, carries it out unless a fault forbids it, and answers.

        `work(effect)` gives the right answer; with False nothing may have happened.
        """
        self.journal.calls.append(call)
        self.journal.enter(call.account)
        try:
            await self.waits.pause(self.latency)
            fault = self.faults.take(target)
            await self.answer(wire, call, fault, work(fault is None or fault.takes_effect), trouble)
        finally:
            self.journal.leave(call.account)

    async def answer(self, wire: Wire, call: Call, fault: Fault | None, right: Reply, trouble: Trouble) -> None:
        """Sends the right answer, or what the fault makes of it; notes what went out."""
        if call.endpoint.endswith(UNKNOWN):
            # The vendor itself may well have it: whoever reads its pages must not take this 404 for the vendor's.
            right = right.changed(Sandbox="this path is not imitated")
        if fault is None:
            call.status = right.status
            await send_reply(wire, right)
            return
        self.journal.faults[fault.kind] += 1
        call.status = await perform(fault, wire, right, trouble)
