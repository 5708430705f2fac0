"""The processor that speaks OpenDSR as a test or a demo holds it in its hand."""

from dpsync.sandbox.handle import Handle
from dpsync.sandbox.opendsr import authority
from dpsync.sandbox.opendsr.api import OpenDsr
from dpsync.sandbox.opendsr.filling import OpenDsrSection, SeedPerson
from dpsync.sandbox.opendsr.requests import Wanted


class OpenDsrHandle(Handle[OpenDsr]):
    """Its people; `act` takes the fields of OpenDsrActs, `switch` those of OpenDsrSwitches."""

    def add(self, email: str, **ids: str) -> None:
        """Adds one person. `ids`: by their type."""
        seeded = SeedPerson(email=email, ids=ids)
        self.there(lambda vendor: vendor.fill(OpenDsrSection(people=(seeded,))))

    def wanted(self) -> list[Wanted]:
        """Each request that was taken, in the order in which they came."""
        return self.there(lambda vendor: [*vendor.held.wanted.values()])

    def calls_back(self, status: str = "") -> None:
        """Sends a callback of each request, of what stands or of another status: late, again, or out of order."""

        def send(vendor: OpenDsr) -> None:
            for one in vendor.held.wanted.values():
                vendor.call_back(one, status)

        self.there(send)

    def statuses(self) -> list[int]:
        """What each callback was answered with."""
        return self.there(lambda vendor: [one.status for one in vendor.webhooks.deliveries])

    def authority(self) -> str:
        """Who signs its certificate, as PEM."""
        return self.there(lambda vendor: authority.authority(vendor.now())).decode()
