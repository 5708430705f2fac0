"""What fills the processor with a webhook and acts in it by hand: a scenario, switches, its people."""

from typing import Literal

from pydantic import Field

from dpsync.sandbox.vendor import Part, Section, Switches


class SeedPerson(Part):
    """One person. `id`: as the main database knows them."""

    email: str
    id: str = ""
    names: dict[str, str] = Field(default_factory=dict)


class WebhookSwitches(Switches):
    """`says`: the outcome it reports, whatever it did. `silent`: none. `signs_with`: another secret than its own."""

    says: str | None = None
    silent: bool | None = None
    signs_with: str | None = None


class WebhookSection(Section):
    """What a scenario says of it. `answers_to`: where it sends its outcomes, /in/NAME/SECRET of dpsync."""

    answers_to: str = ""
    people: tuple[SeedPerson, ...] = ()
    switches: WebhookSwitches = WebhookSwitches()


class WebhookActs(Part):
    """Something done by hand: somebody brings the person back, or deletes them."""

    address: str
    act: Literal["add", "erase"]
