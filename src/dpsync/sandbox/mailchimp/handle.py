"""The imitated Mailchimp as a test or a demo holds it in its hand."""

from collections.abc import Mapping

from dpsync.sandbox.handle import Handle
from dpsync.sandbox.mailchimp.api import Mailchimp
from dpsync.sandbox.mailchimp.filling import Holding, SeedMember, holdings, plant


class MailchimpHandle(Handle[Mailchimp]):
    """Mailchimp; `act` takes the fields of PersonActs, `switch` those of MailchimpSwitches."""

    def audiences(self, account: str | None = None) -> list[str]:
        """The ids of the audiences of one account, by default of the first."""
        return self.there(lambda vendor: list(vendor.accounts[account or next(iter(vendor.accounts))].audiences))

    def add(
        self,
        email: str,
        status: str = "subscribed",
        merge_fields: Mapping[str, str | int | float | dict[str, str]] | None = None,
        *,
        list_id: str | None = None,
        account: str | None = None,
        left_by_link: bool = False,
    ) -> None:
        """Adds one contact, by default to the first audience of the first account."""
        member = SeedMember(
            email=email, status=status, merge_fields=dict(merge_fields or {}), left_by_link=left_by_link
        )

        def do(vendor: Mailchimp) -> None:
            held = vendor.accounts[account or next(iter(vendor.accounts))].audiences
            plant(held[list_id or next(iter(held))], member, vendor.now())

        self.there(do)

    def holdings(self, address: str) -> list[Holding]:
        """What `holds` tells with account, contact id and merge fields, and `forgotten` where it was erased."""
        return self.there(lambda vendor: holdings(vendor.accounts.values(), address))
