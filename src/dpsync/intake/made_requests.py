"""A request that is made on a page behind a link, by the rules of `dpsync submit`."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from dpsync.errors import DecisionRefused, PayloadInvalid
from dpsync.installation import Installation
from dpsync.intake import events
from dpsync.intake.acceptance import Asked
from dpsync.intake.answers import Received
from dpsync.intake.payload import parse_request
from dpsync.intake.reception import receive_all
from dpsync.ledger.entry import canonical
from dpsync.settings.sources import BY_LINK
from dpsync.store.writer import Unit

SOURCE: Final = BY_LINK
"""Where a request comes from that was made by a link, as the command line is the source of its own."""


def receive_made(
    unit: Unit, there: Installation, data: Mapping[str, object], event: str, by: str, now: datetime
) -> Received:
    """Accept what somebody asked for on a page. `data`: as in the canonical body; `event`: names it for good.

    Raises `DecisionRefused`, which says what is wrong and holds nothing of `data`.
    """
    try:
        request = parse_request(data, source=SOURCE, event_id=event, now=now, by=by)
    except PayloadInvalid as fault:
        refusal = DecisionRefused(f"The request cannot be recorded: {fault.problem}")
    else:
        mac = events.body_mac(there.controller, canonical({"type": "data_subject.request", "data": data}))
        (received,) = receive_all(unit, there.controller, [Asked(request, mac, now)])
        if isinstance(received, Received):
            return received
        refusal = DecisionRefused("This was recorded before.")
    raise refusal  # out of the handler: the values must not hang on to the error
