"""The processor with a webhook as a test or a demo holds it in its hand."""

from dpsync.sandbox.handle import Handle
from dpsync.sandbox.webhook.api import Owed, Webhook
from dpsync.sandbox.webhook.filling import SeedPerson, WebhookSection


class WebhookHandle(Handle[Webhook]):
    """Its people; `act` takes the fields of WebhookActs, `switch` those of WebhookSwitches."""

    def add(self, email: str, **more: object) -> None:
        """Adds one person. `more`: fields of SeedPerson."""
        seeded = SeedPerson.model_validate({"email": email, **more})
        self.there(lambda vendor: vendor.fill(WebhookSection(people=(seeded,))))

    def answers_to(self, url: str) -> None:
        """Where it sends its outcomes from now on."""
        self.there(lambda vendor: vendor.fill(WebhookSection(answers_to=url)))

    def sends(self, outcome: Owed) -> None:
        """Sends this outcome, once more or one that it never owed."""
        self.there(lambda vendor: vendor.begin(vendor.send(outcome)))

    def statuses(self) -> list[int]:
        """What each attempt to send an outcome was answered with."""
        return self.there(lambda vendor: [one.status for one in vendor.webhooks.deliveries])

    def noted(self) -> list[str]:
        """The types of the messages about earlier ones, each message once."""
        return self.there(lambda vendor: [*vendor.held.noted.values()])
