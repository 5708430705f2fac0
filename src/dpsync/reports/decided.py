"""Who of the controller decided, and why: kept sealed, since reasons name people; opened for whoever reads a report."""

import json
from collections.abc import Callable
from typing import Any

from sqlalchemy import Row

from dpsync.errors import KeyProblem
from dpsync.sealing import UNREADABLE

Opener = Callable[[str, bytes], bytes]
"""Opens what is sealed of a decision: the request's full id and the sealed bytes give its JSON."""


def by_and_reason(row: Row[Any], opener: Opener) -> tuple[str, str]:
    """The name and the reason of one row of table `decision`; of one that does not open, that it does not."""
    return opened(row.request_id, row.sealed, opener)


def opened(request_id: str, sealed: bytes, opener: Opener) -> tuple[str, str]:
    """The same of what is sealed in such a row."""
    try:
        said = json.loads(opener(request_id, sealed))
    except KeyProblem:
        return UNREADABLE, UNREADABLE
    return str(said["by"]), str(said["reason"])
