"""One call to Campaign Monitor as its endpoints read it, and what its credential shows.

Source: the reference of API v3.3, as read in August 2026. The client for Node.js (createsend-node) speaks v3, of which
only this is imitated: nobody had to say yet what was consented to.
"""

import re
from dataclasses import dataclass

from dpsync.sandbox import asked
from dpsync.sandbox.campaign_monitor.account import (
    Account,
    CampaignMonitorSwitches,
    Client,
    Held,
    Refusal,
    Subscriber,
    SubscriberList,
)
from dpsync.sandbox.campaign_monitor.rules import check_address

VERSION = re.compile(r"/api/v3(?:\.([1-3]))?(?=/)")


@dataclass(slots=True)
class Asked(asked.Asked[Held, CampaignMonitorSwitches]):
    """One authenticated call. `visible`: the clients that the credential shows."""

    visible: frozenset[str] = frozenset()

    def read(self, raw: bytes) -> None:
        """Takes the body; one from before v3.2 leaves the consent as it is."""
        asked.Asked.read(self, raw)
        version = VERSION.match(self.path)
        if version and version[1] in {None, "1"} and isinstance(self.said, dict):
            several = self.said.get("Subscribers")
            for one in [self.said, *(several if isinstance(several, list) else [])]:
                if isinstance(one, dict):
                    one.setdefault("ConsentToTrack", "Unchanged")

    @property
    def owner(self) -> Account:
        """The account."""
        return self.held.accounts[self.account]

    @property
    def stamp(self) -> str:
        """The account's time stamp."""
        return self.owner.stamp(self.now)

    @property
    def place(self) -> str:
        """The list or the client of the path."""
        return self.names.get("list_id", self.names.get("client_id", ""))

    @property
    def clients(self) -> list[Client]:
        """The clients that the credential shows."""
        return [client for client in self.owner.clients.values() if client.id in self.visible]

    @property
    def client(self) -> Client:
        """The client of the path. Raises `Refusal` 102, unknown or not ours."""
        found = next((client for client in self.clients if client.id == self.place), None)
        if found is None:
            raise Refusal(102, status=401)
        return found

    @property
    def home(self) -> tuple[Client, SubscriberList]:
        """The list of the path and whose it is. Raises `Refusal` 101, unknown or not ours."""
        for client in self.clients:
            if self.place in client.lists:
                return client, client.lists[self.place]
        raise Refusal(101, status=401)

    @property
    def member(self) -> Subscriber:
        """The subscriber of the query. Raises `Refusal` 1 or 203."""
        address = check_address(self.query.get("email"))
        return self.home[1].find(address, exact=bool(self.switches.exact_case))
