"""The suppression list of a client, and what a restriction changed there."""

import json
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from dpsync.connector import Applied, HandOver, NothingHeld, Outcome, Retryable
from dpsync.connectors.campaign_monitor.calls import NOT_IN_LIST, SUPPRESSED, Calls, Client
from dpsync.vendor.errors import Ended, refused, unreadable
from dpsync.vendor.outcomes import task

_PAGE: Final = 1000  # the vendor's maximum

SET_MOVED: Final = "the suppression list changed while it was read"


class Suppression:
    """The suppression list of one client. There is no look-up by address: pages in order of the address, halved."""

    def __init__(self, calls: Calls, client: str) -> None:
        self._calls = calls
        self._client = client
        self._pages: dict[int, list[str]] = {}
        self._total: int

    def holds(self, address: str) -> bool:
        """Whether the address is on it, in capitals or not. Raises `Ended`."""
        wanted = address.lower()
        self._page(1)
        last = max(1, -(-self._total // _PAGE))
        at = 1 + bisect_left(range(1, last), wanted, key=lambda number: self._page(number)[-1])
        # how the vendor sorts "+", "_" and capitals is not documented: the page after it is read as well, as the one
        # before it has been
        self._page(min(last, at + 1))
        seen = [address for number in sorted(self._pages) for address in self._pages[number]]
        if wanted in seen or seen == sorted(seen):
            return wanted in seen
        # what was read shows another order than ours, so halving proves nothing
        return any(wanted in self._page(number) for number in range(2, last + 1))

    def _page(self, number: int) -> list[str]:
        if number not in self._pages:
            self._pages[number] = self._read(number)
        return self._pages[number]

    def _read(self, number: int) -> list[str]:
        params = {"page": str(number), "pagesize": str(_PAGE), "orderfield": "email", "orderdirection": "asc"}
        found = self._calls.content(
            self._calls.about("GET", "/clients/{id}/suppressionlist", self._client, params), dict
        )
        rows, total, shown = found.get("Results"), found.get("TotalNumberOfRecords"), found.get("PageNumber")
        if not isinstance(rows, list) or not isinstance(total, int) or total < 0 or shown != number:
            raise unreadable()
        if number > 1 and total != self._total:
            raise Ended(Retryable(reason=SET_MOVED))
        self._total = total
        # a page that is short of what the total promises may lack the very address
        if len(rows) != min(_PAGE, total - _PAGE * (number - 1)):
            raise unreadable()
        addresses = [row["EmailAddress"] for row in rows if isinstance(row, dict) and "EmailAddress" in row]
        if len(addresses) != len(rows) or not all(isinstance(address, str) for address in addresses):
            raise unreadable()
        return [address.strip().lower() for address in addresses]


@dataclass(slots=True)
class Memory:
    """What a restriction changed of one address at one client; written before the change is made."""

    suppressed_before: bool
    before: dict[str, str]
    left: list[str] = field(default_factory=list)
    lifted: bool = False

    def text(self) -> str:
        """As the shelf keeps it; a stored format."""
        return json.dumps([self.suppressed_before, self.before, self.left, self.lifted])

    @classmethod
    def of(cls, text: str | None) -> "Memory | None":
        """What the shelf kept, if anything."""
        return cls(*json.loads(text)) if text else None


def suppressed(calls: Calls, client: Client, addresses: Sequence[str]) -> list[str]:
    """Which of these addresses are on the list. Raises `Ended`."""
    suppression = Suppression(calls, client.id)
    return [address for address in addresses if suppression.holds(address)]


def suppress(calls: Calls, client: Client, address: str) -> Outcome:
    """Put an address on the list. Raises `Ended`."""
    body = {"EmailAddresses": [address]}
    no = calls.write("POST", "/clients/{id}/suppress", client.id, body, knows=(NOT_IN_LIST, SUPPRESSED))
    # what a repetition answers is not documented: either no is settled by reading the list
    if no and not Suppression(calls, client.id).holds(address):
        raise refused()
    return Applied(evidence=())


def only_suppressed(calls: Calls, client: Client, address: str) -> Outcome:
    """In no list: nobody is added to a suppression list whom the vendor does not know."""
    suppressed = Suppression(calls, client.id).holds(address)
    return Applied(evidence=()) if suppressed else NothingHeld(evidence=())


def still_suppressed(calls: Calls, client: Client, address: str) -> Outcome:
    """What keeps an objection is not ours to take away unasked: without it a new import would be mailed again."""
    # an erasure puts nobody on it, so it is read once for all addresses
    if not calls.suppressions.setdefault(client.id, Suppression(calls, client.id)).holds(address):
        return NothingHeld(evidence=())
    return task(
        "The address is on the suppression list of a client that is named here. After the erasure, take it off the "
        "list, or record the legal ground on which it stays there.",
        client.id,
    )


def left_to_the_operator(memory: Memory, client: Client, objected: Sequence[str]) -> list[HandOver]:
    """What of a restriction that is lifted the API does not take back."""
    tasks = [
        task(
            f"In list {place} the address was unsubscribed for a restriction that is now lifted. Before that, its "
            f"state was '{memory.before[place]}'. Leave it unsubscribed: only the person may subscribe again.",
            place,
        )
        for place in memory.left
    ]
    if objected:
        tasks.append(
            task(
                f"At client {client.id} the address left a list while it was restricted, so dpsync kept it on the "
                "suppression list. Before you take it off, find out whether the person objected to marketing.",
                client.id,
            )
        )
    return tasks
