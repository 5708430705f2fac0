"""What fills the imitated Google Analytics and acts in it: a scenario, switches, a visitor."""

from typing import Literal

from pydantic import Field

from dpsync.sandbox.vendor import Part, Section, Switches

Kind = Literal["CLIENT_ID", "USER_ID", "APP_INSTANCE_ID"]


class SeedVisitor(Part):
    """One identifier that a property has data of."""

    property_id: str
    user_id: str


class GoogleAnalyticsSwitches(Switches):
    """What the vendor leaves undocumented.

    `without_scope`: new access tokens lack the scope of user deletion; `refused_properties`: the account has no rights
    there; `daily_quota`: upserts a day, by project and by property; `quota_status`: what is answered above it.
    """

    without_scope: bool | None = None
    refused_properties: tuple[str, ...] | None = None
    daily_quota: int | None = Field(default=None, ge=0)
    quota_status: Literal[403, 429] | None = None


class GoogleAnalyticsSection(Section):
    """What a scenario says of Google Analytics."""

    visitors: tuple[SeedVisitor, ...] = ()
    switches: GoogleAnalyticsSwitches = GoogleAnalyticsSwitches()


class PersonActs(Part):
    """A visitor comes back: what is measured from now on is not covered by an earlier deletion."""

    address: str
    act: Literal["visit"]
    property_id: str
