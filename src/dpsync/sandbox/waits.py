"""The waits of one sandbox: latency, hangs, drips, slow mail. All of them end at once when they are released."""

import asyncio
from dataclasses import dataclass, field


@dataclass(slots=True)
class Waits:
    """What waits here ends early on `release`, and never begins after `stop`."""

    wake: asyncio.Event = field(default_factory=asyncio.Event)
    stopping: bool = False

    async def pause(self, seconds: float) -> None:
        """Waits that long, or until released or stopped."""
        if seconds <= 0 or self.stopping:
            return
        try:
            await asyncio.wait_for(self.wake.wait(), seconds)
        except TimeoutError:
            return

    def release(self) -> None:
        """Ends every wait of this moment; later ones wait again."""
        self.wake.set()
        self.wake = asyncio.Event()

    def stop(self) -> None:
        """Ends every wait, and lets nothing wait again."""
        self.stopping = True
        self.release()
