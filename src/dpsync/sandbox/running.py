"""A running sandbox as a test or a demo holds it in its hand."""

import asyncio
from collections.abc import Callable, Mapping
from typing import TypeVar

from dpsync.sandbox.box import Addresses, Sandbox
from dpsync.sandbox.brevo.handle import BrevoHandle
from dpsync.sandbox.campaign_monitor.handle import CampaignMonitorHandle
from dpsync.sandbox.eventbrite.handle import EventbriteHandle
from dpsync.sandbox.google_analytics.handle import GoogleAnalyticsHandle
from dpsync.sandbox.hootsuite.handle import HootsuiteHandle
from dpsync.sandbox.mailbox import Message, Rule
from dpsync.sandbox.mailchimp.handle import MailchimpHandle
from dpsync.sandbox.opendsr.handle import OpenDsrHandle
from dpsync.sandbox.recipient import Letter
from dpsync.sandbox.scenario import Scenario
from dpsync.sandbox.webhook.handle import WebhookHandle

T = TypeVar("T")


class RunningSandbox(MailchimpHandle):
    """A sandbox in a thread of its own, for tests and demos; every method may be called from any thread.

    It is the handle of Mailchimp as well, because most stories need no other vendor; each of the others has its own.
    """

    def __init__(self, sandbox: Sandbox, loop: asyncio.AbstractEventLoop, addresses: Addresses) -> None:
        super().__init__(sandbox.mailchimp, loop, addresses.mailchimp_url)
        self._sandbox = sandbox
        self.addresses = addresses
        self.mailchimp_url = addresses.mailchimp_url
        self.control_url = addresses.control_url
        self.smtp_host = addresses.smtp_host
        self.smtp_port = addresses.smtp_port
        self.api_keys = addresses.api_keys
        self.campaign_monitor = CampaignMonitorHandle(sandbox.campaign_monitor, loop, addresses.campaign_monitor_url)
        self.eventbrite = EventbriteHandle(sandbox.eventbrite, loop, addresses.eventbrite_url)
        self.hootsuite = HootsuiteHandle(sandbox.hootsuite, loop, addresses.hootsuite_url)
        self.google_analytics = GoogleAnalyticsHandle(sandbox.google_analytics, loop, addresses.google_analytics_url)
        self.brevo = BrevoHandle(sandbox.brevo, loop, addresses.brevo_url)
        self.webhook = WebhookHandle(sandbox.webhook, loop, addresses.webhook_url)
        self.opendsr = OpenDsrHandle(sandbox.opendsr, loop, addresses.opendsr_url)

    def _whole(self, deed: Callable[[Sandbox], T]) -> T:
        async def run() -> T:
            return deed(self._sandbox)

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(60)

    def seed(self, scenario: Scenario | Mapping[str, object]) -> None:
        """Adds accounts, people, faults, switches and rules, at every vendor.

        Raises:
            pydantic.ValidationError: the scenario has unknown or misfitting keys.
            Unwilling: a vendor would refuse a contact.
        """
        wanted = scenario if isinstance(scenario, Scenario) else Scenario.model_validate(scenario)
        self._whole(lambda box: box.fill(wanted))

    def release(self) -> None:
        """Ends every hang, drip and slow mail of this moment, at every vendor."""
        self._whole(lambda box: box.waits.release())

    def rule(self, address: str | None, *behaviours: str, **details: object) -> None:
        """Sets the rule of a recipient, or with None of everybody else; `details` are the fields of Rule."""
        made = Rule.model_validate({"behaviours": behaviours, **details})
        self._whole(lambda box: box.mailbox.set_rule(address, made))

    def desk(self, address: str, does: Callable[[Letter], object]) -> None:
        """What somebody does because of a letter before they answer "done"; in the sandbox's own thread."""
        self._whole(lambda box: box.mailbox.desks.update({address.lower(): does}))

    def messages(self, to: str | None = None, *, settled: bool = False) -> list[Message]:
        """Mail that was accepted, of one recipient or all; `settled` waits until the recipients have acted."""
        if settled:
            asyncio.run_coroutine_threadsafe(self._sandbox.mailbox.settled(), self._loop).result(60)
        wanted = to.lower() if to else None
        return self._whole(
            lambda box: [
                message
                for message in box.mailbox.messages
                if wanted is None or wanted in {address.lower() for address in message.recipients}
            ]
        )

    def reset(self) -> None:
        """Empties everything at every vendor but the accounts' credentials."""
        self._whole(lambda box: box.reset())
