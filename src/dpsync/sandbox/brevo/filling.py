"""What fills the imitated Brevo and acts in it by hand: a scenario, switches, the person, its web app."""

from typing import Literal

from pydantic import Field

from dpsync.sandbox.vendor import Part, Section, Switches


class SeedContact(Part):
    """One contact. `lists`: by name; `blocked`: why no transactional mail reaches it."""

    email: str
    attributes: dict[str, str | float | bool] = Field(default_factory=dict)
    lists: tuple[str, ...] = ()
    blocklisted: bool = False
    blocked: str = ""


class BrevoSwitches(Switches):
    """`no_permission`: of the key. `duplicate_is_invalid`: a duplicate is an invalid_parameter, as seen in May 2026.

    `webhooks_batched`: several events in one call.
    """

    no_permission: bool | None = None
    hourly_limit: int | None = None
    duplicate_is_invalid: bool | None = None
    webhooks_batched: bool | None = None


class BrevoSection(Section):
    """What a scenario says of Brevo. `attributes`: type by name."""

    keys: tuple[str, ...] = ()
    lists: tuple[str, ...] = ()
    attributes: dict[str, Literal["text", "date", "float", "boolean"]] = Field(default_factory=dict)
    contacts: tuple[SeedContact, ...] = ()
    switches: BrevoSwitches = BrevoSwitches()


class PersonActs(Part):
    """Something done by hand: the person leaves through the link or complains, mail to them bounces, or somebody
    deletes them or lets them back in.
    """

    address: str
    act: Literal["unsubscribe", "complain", "bounce", "subscribe", "erase"]
