"""What fills the processor that speaks OpenDSR and acts in it by hand: a scenario, switches, its people."""

from typing import Literal

from pydantic import Field

from dpsync.sandbox.vendor import Part, Section, Switches


class SeedPerson(Part):
    """One person. `ids`: as devices and the main database know them, by the type of the id."""

    email: str
    ids: dict[str, str] = Field(default_factory=dict)


class OpenDsrSwitches(Switches):
    """`idle`: it never begins. `lies`: it says that it is done, and does nothing. `mute`: it sends no callbacks.
    `announces`: one also of each new request. `unsigned`: no header signs anything; `in_body`: the signature stands in
    the body instead, as one place of the specification has it. `forged`: another key than the certificate's signs.
    `old_names`: headers are called OpenGDPR. `certificate`: what is wrong with it; `elsewhere`: discovery names another
    host. `promises`: in so many hours it expects to be done. `nulls`: what it has nothing for is null.
    """

    idle: bool | None = None
    lies: bool | None = None
    mute: bool | None = None
    announces: bool | None = None
    unsigned: bool | None = None
    in_body: bool | None = None
    forged: bool | None = None
    old_names: bool | None = None
    certificate: Literal["expired", "early", "other_name", "stranger", "self_signed", "elsewhere", "none"] | None = None
    promises: float | None = None
    nulls: bool | None = None


class OpenDsrSection(Section):
    """What a scenario says of it."""

    people: tuple[SeedPerson, ...] = ()
    switches: OpenDsrSwitches = OpenDsrSwitches()


class OpenDsrActs(Part):
    """Something done by hand: it begins with all that is asked about the person, ends it or cancels it; somebody brings
    the person back. `rotate`: it signs by another key and certificate from now on, whoever is named.
    """

    address: str
    act: Literal["begin", "complete", "cancel", "add", "rotate"]
