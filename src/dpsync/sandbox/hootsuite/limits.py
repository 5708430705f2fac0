"""Twenty calls a second and a hundred thousand a day, by account; nothing says how long to wait.

Source: the vendor notes, section 7. The second is measured, not told: it is about traffic, and no test turns it.
"""

import time
from dataclasses import dataclass, field
from datetime import date, datetime

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
    """The limits, and what each account used of them."""

    per_second: int = PER_SECOND
    daily: int = DAILY
    used: dict[str, Used] = field(default_factory=dict)

    def take(self, account: str, now: datetime) -> tuple[tuple[tuple[str, str], ...], bool]:
        """Counts one call; the headers of its answer, and whether it is within both limits."""
        used = self.used.setdefault(account, Used(now.date()))
        if used.day != now.date():
            used.day, used.today = now.date(), 0
        if time.monotonic() - used.second >= 1:
            used.second, used.in_second = time.monotonic(), 0
        used.today += 1
        used.in_second += 1
        headers = (
            ("x-account-quota", str(self.daily)),
            ("x-account-quota-used", str(min(used.today, self.daily))),
            ("x-account-rate-limit-requests-remaining", str(max(0, self.per_second - used.in_second))),
        )
        return headers, used.today <= self.daily and used.in_second <= self.per_second
