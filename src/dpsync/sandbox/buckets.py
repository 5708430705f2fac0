"""Calls that are counted by the hour."""

from dataclasses import dataclass
from datetime import datetime, timedelta

HOUR = timedelta(hours=1)


@dataclass(slots=True)
class Bucket:
    """Calls of one hour, from the first one on."""

    used: int = 0
    until: datetime | None = None

    def take(self, now: datetime) -> tuple[int, int]:
        """Counts one call; how many there were in its hour, and the seconds that are left of it."""
        if self.until is None or now >= self.until:
            self.used, self.until = 0, now + HOUR
        self.used += 1
        return self.used, max(0, round((self.until - now).total_seconds()))
