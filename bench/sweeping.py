"""One sweep of a long list, whose members are made as they are asked for: seconds, and how much memory it takes.

`python -m bench.sweeping [MEMBERS]`. Of every thousand members one opted out with us, and is not to be mailed there.
The process that is measured also plays the vendor, which holds no more than one page.
"""

import json
import resource
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast

from bench.installation import installed
from dpsync.connector import Evidence, Kit, Processor, Reply
from dpsync.connectors.brevo import Brevo
from dpsync.connectors.brevo.calls import BrevoSettings
from dpsync.intake.acceptance import Asked
from dpsync.intake.payload import parse_request
from dpsync.intake.reception import receive_all
from dpsync.intake.sweeping.sweep import sweep_of
from dpsync.store import tables as t

MEMBERS: Final = 1_000_000
KNOWN_OF: Final = 1_000
PROCESSOR: Final = "p0"
Row = tuple[str, str, str]


class Endless:
    """A vendor that makes its members on the fly. Those whom we told are on its blocklist."""

    def __init__(self, members: int) -> None:
        self._members = members

    def call(self, method: str, url: str, *, params: Mapping[str, str] | None = None, **_: Any) -> Reply:
        """One page, or one contact."""
        asked = dict(params or {})
        if url.endswith("/contacts"):
            first = int(asked["offset"])
            last = min(first + int(asked["limit"]), self._members)
            found: object = {"contacts": [_contact(number) for number in range(first, last)], "count": self._members}
        else:
            raise AssertionError(url)
        evidence = Evidence(endpoint=f"{method} /contacts", status=200, at=datetime.now(UTC))
        return Reply(200, {"content-type": "application/json"}, json.dumps(found).encode(), evidence)


def _contact(number: int) -> dict[str, object]:
    flags = {"emailBlacklisted": number % KNOWN_OF == 0, "smsBlacklisted": False}
    shown = {"id": number + 1, "email": _address(number), "attributes": {"FIRSTNAME": "Ada"}, "listIds": [1]}
    return {**shown, **flags, "modifiedAt": "2026-11-20T08:55:00.000Z"}


def _address(number: int) -> str:
    return f"p{number}@example.org"


def _ask(there: Any, members: int) -> None:
    now = there.clock.now() - timedelta(days=2)
    for first in range(0, members, 100 * KNOWN_OF):
        some = []
        for number in range(first, min(first + 100 * KNOWN_OF, members), KNOWN_OF):
            data = {"right": "opt_out", "subject": {"id": str(number), "email": _address(number)}}
            request = parse_request(data, source="bench", event_id=f"e{number}", now=now)
            some.append(Asked(request, "0" * 64, now))
        there.write(lambda unit, some=some: receive_all(unit, there.controller, some))
    done = {"state": "verified", "state_since": now}
    there.write(lambda unit: unit.connection.execute(t.propagation.update().values(**done)) and None)


def rows(members: int = MEMBERS) -> list[Row]:
    """How long it takes, and the most memory that the process ever held."""
    with installed(None, None) as (_, there):
        _ask(there, members)
        kit = Kit(http=Endless(members), clock=there.clock, pseudonym=lambda value: value, shelf=cast("Any", None))
        long = Brevo(BrevoSettings.model_validate({"api_key": "bench"}), kit)
        processors = cast("dict[str, Processor]", there.controller.processors)
        processors[PROCESSOR] = replace(processors[PROCESSOR], connector=long)
        sweep = sweep_of(there, PROCESSOR, paced=False)
        before, began, cpu = _megabytes(), time.monotonic(), time.process_time()
        found = sweep.run(there.clock.now())
        took, burnt = time.monotonic() - began, time.process_time() - cpu
    one = found.standing
    if (one.state.value, one.agree, one.differ) != ("compared", members, 0):
        raise SystemExit(f"{one}: {found.why}")
    remark = f"{took:.0f} s, {burnt:.0f} s CPU, with making and reading the pages; {before:.0f} MB before it began"
    return [(f"sweep of {members:,} members", f"{_megabytes():.0f} MB at most", remark)]


def _megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    for row in rows(int(sys.argv[1]) if len(sys.argv) > 1 else MEMBERS):
        sys.stdout.write(" | ".join(row) + "\n")
