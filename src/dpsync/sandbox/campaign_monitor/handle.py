"""The imitated Campaign Monitor as a test or a demo holds it in its hand."""

from dpsync.sandbox.campaign_monitor.account import Subscriber
from dpsync.sandbox.campaign_monitor.api import CampaignMonitor
from dpsync.sandbox.handle import Handle


class CampaignMonitorHandle(Handle[CampaignMonitor]):
    """Campaign Monitor; `act` takes the fields of PersonActs, `switch` those of CampaignMonitorSwitches."""

    def add(
        self, email: str, *, client: str, title: str, name: str = "", state: str = "Active", account: str | None = None
    ) -> str:
        """Adds one subscriber to a list, both made where they are new; the list's id."""

        def do(vendor: CampaignMonitor) -> str:
            home = vendor.accounts[account or next(iter(vendor.accounts))]
            held = vendor.open_list(home, client, title)
            vendor.plant(held, Subscriber(email, name, state))
            return held.id

        return self.there(do)

    def names(self, email: str) -> list[str]:
        """The name that stands with an address, in each list that holds it."""
        return self.there(
            lambda vendor: [
                found.name
                for account in vendor.accounts.values()
                for client in account.clients.values()
                for held in client.lists.values()
                if (found := held.members.get(email.strip().lower())) is not None
            ]
        )
