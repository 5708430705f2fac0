"""Pages of fifty, and the tokens that lead from one to the next until they are stale.

Source: the vendor notes on API v3, section 6. How long a token lives is not documented; here five minutes, or as long
as a test says. A token holds a position, not a picture: what is erased in between moves the rest up.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from dpsync.sandbox.eventbrite.records import Json, Refusal

PAGE = 50


@dataclass(frozen=True, slots=True)
class Place:
    """Where a token leads: into the same query, from one position on."""

    query: str
    offset: int
    until: datetime


@dataclass(slots=True)
class Pages:
    """All tokens that were handed out. `size`: rows a page; `counts`: whether the optional counts are shown."""

    size: int = PAGE
    lives: timedelta = timedelta(minutes=5)
    counts: bool = True
    places: dict[str, Place] = field(default_factory=dict)

    def page(self, rows: Sequence[Json], query: str, token: str | None, now: datetime) -> tuple[Json, list[Json]]:
        """(pagination, rows of this page). Raises `Refusal`: the token is stale, or of another query."""
        offset = 0
        if token is not None:
            place = self.places.get(token)
            if place is None or place.query != query or now >= place.until:
                raise Refusal(400, "BAD_CONTINUATION_TOKEN")
            offset = place.offset
        more = offset + self.size < len(rows)
        pagination: Json = {
            "page_number": offset // self.size + 1,
            "page_size": self.size,
            "has_more_items": more,
        }
        if self.counts:
            pagination |= {"object_count": len(rows), "page_count": max(1, -(-len(rows) // self.size))}
        if more:
            seed = f"{query}/{offset}/{len(self.places)}".encode()
            name = hashlib.sha256(seed).hexdigest()[:40]
            self.places[name] = Place(query, offset + self.size, now + self.lives)
            pagination["continuation"] = name
        return pagination, list(rows[offset : offset + self.size])
