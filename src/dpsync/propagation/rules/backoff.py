"""When to try again. Pure: the caller gives the jitter, a number in [0, 1)."""

from collections.abc import Sequence
from datetime import timedelta

CIRCUIT_OPENS_AT = 5
"""So many failures in a row at one account, and the account pauses for all its work."""

LONGEST_WISH = timedelta(hours=24)
"""`Retry-After` is honoured up to here; one vendor bug must not silence a right for ten years."""

LONGEST_PAUSE = timedelta(minutes=15)
"""How long an account pauses at most where its processor names no time."""

BLOCKED_AFTER = timedelta(minutes=45)
"""How long no answer was the processor's own before the operator hears of it: with one more pause, within the hour."""

STILL_VERIFIED_AFTER = timedelta(days=30)
"""How long after `verified` it is read back once more: nightly imports and restored back-ups bring people back."""

UNDONE_AFTER = 3
"""So many readings of what was in doubt that each showed nothing done, and a person hears of it; it is tried on."""

_STEPS = (
    timedelta(0),
    timedelta(seconds=30),
    timedelta(minutes=2),
    timedelta(minutes=10),
    timedelta(hours=1),
    timedelta(hours=3),
    timedelta(hours=6),
    timedelta(hours=12),
)
_FIRST_PAUSE = timedelta(seconds=5)
_REREADS = (timedelta(minutes=10), timedelta(hours=1), timedelta(hours=6), timedelta(hours=24))
_REREADS_IN_ALL = 7


def delay(attempts: int, jitter: float, steps: Sequence[timedelta] = ()) -> timedelta:
    """How long a lane waits after `attempts` attempts without success: 0, 30 s, 2 min, ... then 12 h for ever.

    `steps`: those that the processor's protocol proposes after the first attempt, in place of ours; the last is kept.

    It never ends: a right does not expire because a vendor is down. The wait is between half a step and the whole of
    it. Not less, or a thousand lanes that fail together would partly come back at once; not more, so that the published
    steps are what an operator can count on. Raises ValueError for a jitter outside [0, 1).
    """
    every = (timedelta(0), *steps) if steps else _STEPS
    return _spread(every[min(max(attempts, 0), len(every) - 1)], jitter)


def account_pause(failures: int, retry_after: timedelta | None, jitter: float) -> timedelta:
    """How long a whole account pauses after `failures` failures in a row (1 after the first).

    A positive `retry_after` is the vendor's own word: kept exactly, up to `LONGEST_WISH`. Zero, a date gone by or
    nothing at all names no time; then 5 s, doubling to 15 min, between half and the whole of it, so that a vendor that
    answers 429 with "Retry-After: 0" is not called in a circle.
    """
    if retry_after is not None and retry_after > timedelta(0):
        return min(retry_after, LONGEST_WISH)
    # The exponent is capped before the power is taken: a count that ran for months must not overflow a timedelta.
    doublings = min(max(failures - 1, 0), 16)
    return _spread(min(_FIRST_PAUSE * 2**doublings, LONGEST_PAUSE), jitter)


def reread_delay(n: int) -> timedelta | None:
    """How long after the `n`-th read-back (0: none yet) that could not tell the next one follows; None: no more.

    10 min, 1 h, 6 h, 24 h and then daily, seven in all. Vendors delete and index in their own time; after about four
    days "not yet" has become an answer that a person should see.
    """
    if n >= _REREADS_IN_ALL:
        return None
    return _REREADS[min(max(n, 0), len(_REREADS) - 1)]


def _spread(step: timedelta, jitter: float) -> timedelta:
    if not 0 <= jitter < 1:
        raise ValueError("jitter is a number from 0 up to, but not including, 1")
    return step * (0.5 + jitter / 2)
