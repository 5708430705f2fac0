"""Twenty calls a second and a hundred thousand a day, by account; nothing says how long to wait.

Source: the vendor notes, section 7. The second is measured, not told: it is about traffic, and no test turns it.
"""

import time
from dataclasses import dataclass, field
from datetime import date, datetime

from dpsync.sandbox.asked import Header

PER_SECOND = 20
DAILY = 100_000


@dataclass(slots=True)
class Used:
    """What one account used of its day, and of the second that runs."""

    day: date
    today: int = 0
    second: float = 0.0
    in_second: int = 0


@dataclass(slots=True)
class Limits:
    """What each account used of its limits."""

    used: dict[str, Used] = field(default_factory=dict)

    def take(self, account: str, now: datetime, per_second: int | None, daily: int | None) -> tuple[list[Header], bool]:
        """Counts one call; the headers of its answer, and whether it is within both limits (None: the usual ones)."""
        per_second, daily = PER_SECOND if per_second is None else per_second, DAILY if daily is None else daily
        used = self.used.setdefault(account, Used(now.date()))
        if used.day != now.date():
            used.day, used.today = now.date(), 0
        if time.monotonic() - used.second >= 1:
            used.second, used.in_second = time.monotonic(), 0
        used.today += 1
        used.in_second += 1
        headers = [
            ("x-account-quota", str(daily)),
            ("x-account-quota-used", str(min(used.today, daily))),
            ("x-account-rate-limit-requests-remaining", str(max(0, per_second - used.in_second))),
        ]
        return headers, used.today <= daily and used.in_second <= per_second
