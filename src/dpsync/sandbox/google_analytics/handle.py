"""The imitated Google Analytics as a test or a demo holds it in its hand."""

from dpsync.sandbox.google_analytics.api import GoogleAnalytics
from dpsync.sandbox.google_analytics.filling import GoogleAnalyticsSection, SeedVisitor
from dpsync.sandbox.handle import Handle


class GoogleAnalyticsHandle(Handle[GoogleAnalytics]):
    """Google Analytics; `act` takes the fields of PersonActs, `switch` those of GoogleAnalyticsSwitches."""

    def add(self, user_id: str, property_id: str) -> None:
        """Adds one identifier that a property has data of."""
        seeded = GoogleAnalyticsSection(visitors=(SeedVisitor(property_id=property_id, user_id=user_id),))
        self.there(lambda vendor: vendor.fill(seeded))
