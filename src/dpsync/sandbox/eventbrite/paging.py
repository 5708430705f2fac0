"""Pages of fifty, and the tokens that lead from one to the next until they are stale.

Source: the vendor notes on API v3, section 6. How long a token lives is not documented; here five minutes, or as long
as a test says. A token holds a position, not a picture: what is erased in between moves the rest up.
"""

from collections.abc import Sequence
from datetime import timedelta

from dpsync.sandbox.asked import Answer, Json, made_id
from dpsync.sandbox.eventbrite.asked import Asked, Refusal
from dpsync.sandbox.eventbrite.records import Place

PAGE = 50
LIVES = 300.0


def paged(asked: Asked, name: str, rows: Sequence[Json]) -> Answer:
    """The page that is asked for. Raises `Refusal`: the token is stale, or of another query."""
    given = sorted(f"{key}={value}" for key, value in asked.query.multi_items() if key != "continuation")
    query, offset, places = f"{asked.path}?{'&'.join(given)}", 0, asked.held.places
    size, lives = asked.switches.page_size or PAGE, asked.switches.continuation_seconds
    if (token := asked.query.get("continuation")) is not None:
        place = places.get(token)
        if place is None or place.query != query or asked.now >= place.until:
            raise Refusal(400, "BAD_CONTINUATION_TOKEN")
        offset = place.offset
    more = offset + size < len(rows)
    pagination: Json = {"page_number": offset // size + 1, "page_size": size, "has_more_items": more}
    if not asked.switches.without_counts:
        pagination |= {"object_count": len(rows), "page_count": max(1, -(-len(rows) // size))}
    if more:
        pagination["continuation"] = made = made_id(query, offset, len(places))[:40]
        until = asked.now + timedelta(seconds=LIVES if lives is None else lives)
        places[made] = Place(query, offset + size, until)
    return Answer(200, {"pagination": pagination, name: rows[offset : offset + size]})
