"""What fills the imitated Hootsuite and acts in it by hand: a scenario, switches, people, the staff in the web app."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from dpsync.sandbox.hootsuite.staff import State
from dpsync.sandbox.vendor import Part, Section, Switches


class SeedContact(Part):
    """One contact. `attributes`: as the CRM confirmed them; `typed`: by staff; `texts`: what the person wrote."""

    handle: str
    name: str = ""
    medium: str = "fb"
    attributes: dict[str, str] = Field(default_factory=dict)
    typed: dict[str, str] = Field(default_factory=dict)
    texts: tuple[str, ...] = ()
    created: datetime | None = None
    resolved: bool = False


class SeedPost(Part):
    """One outgoing message."""

    text: str
    at: datetime
    state: State = "SCHEDULED"


class SeedMember(Part):
    """One member of staff."""

    id: str
    name: str
    email: str
    paying: bool = False


class HootsuiteSwitches(Switches):
    """What the vendor does now and then, or leaves undocumented.

    `partial`: REST answers hold data and errors at once; `no_permission`: the member's role is gone; `revoked`: the
    app was; `import_errors`: the next set of attributes is found invalid five minutes after its 200;
    `export_keeps_deleted`: the export still shows conversations of deleted contacts; `per_second`, `daily_quota`: the
    account's limits.
    """

    partial: bool | None = None
    no_permission: bool | None = None
    revoked: bool | None = None
    import_errors: bool | None = None
    export_keeps_deleted: bool | None = None
    per_second: int | None = Field(default=None, ge=0)
    daily_quota: int | None = Field(default=None, ge=0)


class HootsuiteSection(Section):
    """What a scenario says of Hootsuite: of its first organisation."""

    clients: dict[str, str] = Field(default_factory=dict)
    managed: tuple[str, ...] = ()
    contacts: tuple[SeedContact, ...] = ()
    members: tuple[SeedMember, ...] = ()
    posts: tuple[SeedPost, ...] = ()
    write_back_url: str = ""
    notification_url: str = ""
    secret: str = ""
    switches: HootsuiteSwitches = HootsuiteSwitches()


class PersonActs(Part):
    """Something done by hand: by the person on the network, or by staff in the web app.

    `address`: an identifier, an attribute's value or a profile id. `write`: the person writes `text`, which opens a
    contact where there is none. `type`: staff set `attribute` to `text`. `delete`: with `hint`.
    """

    address: str
    act: Literal["write", "resolve", "pending", "delete", "confirm", "type", "clear"]
    text: str = ""
    medium: str = "fb"
    attribute: str = ""
    hint: str = ""
