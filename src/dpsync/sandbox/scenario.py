"""What a sandbox is filled with: a section for each vendor, and mailbox rules, as JSON says them."""

from pathlib import Path

from pydantic import Field

from dpsync.sandbox.brevo.filling import BrevoSection
from dpsync.sandbox.campaign_monitor.filling import CampaignMonitorSection
from dpsync.sandbox.eventbrite.filling import EventbriteSection
from dpsync.sandbox.google_analytics.filling import GoogleAnalyticsSection
from dpsync.sandbox.hootsuite.filling import HootsuiteSection
from dpsync.sandbox.mailbox import Mailbox, Rule
from dpsync.sandbox.mailchimp.filling import MailchimpSection
from dpsync.sandbox.opendsr.filling import OpenDsrSection
from dpsync.sandbox.vendor import Part
from dpsync.sandbox.webhook.filling import WebhookSection


class MailRules(Part):
    """The mailbox: the rule for everybody, rules by address, and the Maildir that everything comes back into."""

    directory: str | None = None
    default: Rule | None = None
    rules: dict[str, Rule] = Field(default_factory=dict)


class Scenario(Part):
    """Everything at once; a scenario is added to what is there."""

    mailchimp: MailchimpSection = MailchimpSection()
    campaign_monitor: CampaignMonitorSection = CampaignMonitorSection()
    eventbrite: EventbriteSection = EventbriteSection()
    hootsuite: HootsuiteSection = HootsuiteSection()
    google_analytics: GoogleAnalyticsSection = GoogleAnalyticsSection()
    brevo: BrevoSection = BrevoSection()
    webhook: WebhookSection = WebhookSection()
    opendsr: OpenDsrSection = OpenDsrSection()
    mail: MailRules = MailRules()


def set_rules(given: MailRules, mailbox: Mailbox) -> None:
    """Sets the mailbox rules that are given."""
    if given.directory is not None:
        mailbox.directory = Path(given.directory)
    if given.default is not None:
        mailbox.set_rule(None, given.default)
    for address, rule in given.rules.items():
        mailbox.set_rule(address, rule)
