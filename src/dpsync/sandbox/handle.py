"""One vendor of a running sandbox as a test or a demo holds it in its hand."""

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

from dpsync.sandbox.faults import Fault
from dpsync.sandbox.vendor import Vendor

T = TypeVar("T")
V = TypeVar("V", bound=Vendor)


class Handle(Generic[V]):
    """One vendor; every method may be called from any thread. `vendor` itself belongs to the sandbox's loop."""

    def __init__(self, vendor: V, loop: asyncio.AbstractEventLoop, url: str) -> None:
        self.vendor = vendor
        self.url = url
        self._loop = loop

    def there(self, deed: Callable[[V], T]) -> T:
        """Does it in the sandbox's own loop, and returns once the webhooks that came of it were answered."""

        async def run() -> T:
            done = deed(self.vendor)
            await self.vendor.delivered()
            return done

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(60)

    def counters(self, after: float = 0.0, before: float = float("inf")) -> dict[str, object]:
        """What was counted between two Unix times; see Journal.counters."""
        return self.there(lambda vendor: vendor.journal.counters(after, before))

    def calls(self, endpoint: str | None = None) -> int:
        """How many calls arrived, at all or at one endpoint such as `GET /lists/{list_id}`."""
        return self.there(lambda vendor: sum(endpoint in {None, call.endpoint} for call in vendor.journal.calls))

    def effects(self, kind: str | None = None) -> int:
        """How many changes really happened, at all or of one kind."""
        return self.there(lambda vendor: sum(kind in {None, effect.kind} for effect in vendor.journal.effects))

    def effects_on(self, address: str) -> list[tuple[str, str]]:
        """(place, kind) of every change made to this address, in order."""
        return self.there(lambda vendor: vendor.journal.effects_on(address))

    def holds(self, address: str) -> list[tuple[str, str]]:
        """(place, state) wherever this person is held now; empty where nobody of that address is left."""
        return self.there(lambda vendor: vendor.holds(address))

    def fault(self, kind: str, **details: object) -> None:
        """Switches one fault on; `details` are the fields of Fault."""
        made = Fault.model_validate({"kind": kind, **details})
        self.there(lambda vendor: vendor.faults.add(made))

    def clear_faults(self) -> None:
        """Switches all faults off."""
        self.there(lambda vendor: vendor.faults.clear())

    def switch(self, **switches: object) -> None:
        """Sets switches, by the names that this vendor has."""
        self.there(lambda vendor: vendor.switch(**switches))

    def act(self, address: str, deed: str, **details: object) -> int:
        """Lets the person or somebody in the web app act; how many places it concerned."""
        return self.there(lambda vendor: vendor.act(address=address, act=deed, **details))

    def tick(self) -> int:
        """Lets the vendor do what it owes by now; how much it did."""
        return self.there(lambda vendor: vendor.tick())
