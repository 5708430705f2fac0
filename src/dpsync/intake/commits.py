"""What each door for requests waits for before it answers: the commit of what it took in, or of a refusal's trace."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from datetime import datetime
from typing import TypeVar

from dpsync.intake.answers import ReceptionBusy
from dpsync.intake.receiver import Receiver
from dpsync.intake.refusals import Refusal

T = TypeVar("T")

COMMIT_SECONDS = 20.0
"""Senders give up after 15 to 30 s (Standard Webhooks). What is committed later answers their repetition."""

MOST_WAITING = 400
"""How many may wait for one commit. Beyond it the sender's own queue is the better place to wait."""


class Commits:
    """Counts who waits at all doors together, and lets nobody wait longer than a sender does."""

    def __init__(self, receiver: Receiver, most_waiting: int = MOST_WAITING, seconds: float = COMMIT_SECONDS) -> None:
        self._receiver = receiver
        self._most_waiting = most_waiting
        self._seconds = seconds
        self._waiting = 0

    async def of(self, submit: Callable[[], "Future[T]"]) -> T:
        """Hand over and wait. If we crash or give up here, the sender repeats, and gets the answer of the first.

        Raises `ReceptionBusy`, `TimeoutError`, and what the future raises.
        """
        if self._waiting >= self._most_waiting:
            raise ReceptionBusy("too many wait for the store")
        self._waiting += 1
        try:
            async with asyncio.timeout(self._seconds):
                committed = submit()
                committed.add_done_callback(lambda _: self._receiver.worker.wake())
                return await asyncio.wrap_future(committed)
        finally:
            self._waiting -= 1

    async def of_refusal(self, refusal: Refusal, now: datetime, event_id: str) -> None:
        """Keep the trace before the sender hears of it. Nobody waits where nothing claims to be ours."""
        noted = self._receiver.refusals.note(refusal, now, event_id)
        if refusal.told or refusal.told_elsewhere or refusal.claimed:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._seconds):
                    await asyncio.wrap_future(noted)
