"""Section [sources.<name>]: a main database that does not speak our own shape."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from dpsync.settings.callbacks import SourceCallbackSection
from dpsync.settings.databases import MainDatabase
from dpsync.settings.section import Section
from dpsync.settings.values import Name, SecretReference, Text, WebAddress, wrong
from dpsync.urls import is_loopback

SchemeName = Literal[
    "standard-webhooks",
    "svix",
    "github",
    "shopify",
    "mautic",
    "stripe",
    "timestamp-colon-body",
    "hubspot-v3",
    "es384-jwt",
    "static-header",
]


def _mapping(text: str) -> str:
    if "\x00" in text or len(text) > 200:
        raise wrong("must be the name of a ready-made mapping, or a file beside the settings")
    return text


class OutboxSection(Section):
    """A table in which the main database's own triggers leave what has changed, and which dpsync looks at."""

    url: MainDatabase = Field(
        repr=False,
        description="The main database: postgresql://, mysql:// or sqlite:///. With a password: a secret reference.",
    )
    table: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,59}$")] = Field(
        default="dpsync_outbox", description="The table in it."
    )


def _query(text: str) -> str:
    if "\x00" in text or len(text) > 20_000 or not text.strip():
        raise wrong("must be a SELECT, the name of a ready-made query, or a file beside the settings")
    return text


class ReconcileSection(Section):
    """How the main database lists its people, so that dpsync finds each day what no message told it of."""

    url: MainDatabase = Field(
        repr=False,
        description="The main database, with a login that may only read what the query names. With a password: a "
        "secret reference.",
    )
    query: Annotated[str, AfterValidator(_query)] = Field(
        description="What lists its people: a ready-made query (civicrm, outbox), a file beside the settings, or a "
        "SELECT."
    )
    most: Annotated[int, Field(ge=1, le=100_000)] = Field(
        default=50, description="The brake: if more differences are new on one day, nothing is done, and dpsync asks."
    )
    percent: Annotated[int, Field(ge=1, le=100)] = Field(
        default=10, description="The same, as a share of those whom the two databases could be compared on."
    )


class PeopleVendor(StrEnum):
    """A main database whose own interface lists its people."""

    HUBSPOT = "hubspot"
    SALESFORCE = "salesforce"


_HOSTS = {PeopleVendor.HUBSPOT: "hubapi.com", PeopleVendor.SALESFORCE: "salesforce.com"}


class ApiListSection(Section):
    """The same of a main database that is no database of yours, but has an interface."""

    vendor: PeopleVendor = Field(description="hubspot or salesforce.")
    url: WebAddress = Field(
        default="https://api.hubapi.com",
        repr=False,
        description="For Salesforce: the address of your own domain.",
    )
    client_id: str = Field(
        default="", pattern=r"^[!-~]{0,256}$", description="For Salesforce: the consumer key of a connected app."
    )
    secret: SecretReference = Field(
        description="The token of a private app of HubSpot, or the consumer secret of the connected app of Salesforce."
    )
    most: Annotated[int, Field(ge=1, le=100_000)] = Field(default=50, description="The brake, as of reconcile.")
    percent: Annotated[int, Field(ge=1, le=100)] = Field(default=10, description="The brake, as of reconcile.")

    @model_validator(mode="after")
    def _is_the_vendors(self) -> "ApiListSection":
        host, own = urlsplit(self.url).hostname or "", _HOSTS[self.vendor]
        if not (host.endswith(f".{own}") or is_loopback(host)):
            raise wrong(f"url must be an address of {own}: the secret goes there")
        if (self.vendor is PeopleVendor.SALESFORCE) != bool(self.client_id):
            raise wrong("client_id is for salesforce, and needed there")
        return self


class SourceSection(Section):
    """A main database with a shape of its own. It posts to /requests/NAME, has an outbox that is polled, or both."""

    mapping: Annotated[Text, AfterValidator(_mapping)] = Field(
        description="What its messages mean: a ready-made mapping (`dpsync source list`), or your own file."
    )
    scheme: SchemeName | None = Field(default=None, description="How it signs what it posts.")
    secrets: tuple[SecretReference, ...] = Field(
        default=(),
        max_length=4,
        description="Its secrets (for es384-jwt: its public key, as PEM). Two during a change: both are valid.",
    )
    header: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,60}$")] | None = Field(
        default=None,
        description="For static-header: the header in which the secret stands. For es384-jwt: that of the token, if it "
        "is not x-sombra-token.",
    )
    reconciled_by: Text | None = Field(
        default=None,
        description="For static-header, which proves little: who or what compares the two databases, and how often.",
    )
    outbox: OutboxSection | None = Field(
        default=None, description="A table in the main database that is polled: `dpsync source outbox NAME` prints it."
    )
    reconcile: ReconcileSection | None = Field(
        default=None, description="A list of its people that dpsync compares with its own requests, once a day."
    )
    reconcile_by_api: ApiListSection | None = Field(
        default=None, description="The same list, by the interface of HubSpot or Salesforce."
    )
    callback: SourceCallbackSection | None = Field(
        default=None, description="Where it is told what became of its requests. Without it, it is told nothing."
    )

    @property
    def people_list(self) -> ReconcileSection | ApiListSection | None:
        """What lists its people, None where nothing does."""
        return self.reconcile or self.reconcile_by_api

    @model_validator(mode="after")
    def _is_whole(self) -> "SourceSection":
        if self.reconcile and self.reconcile_by_api:
            raise wrong("has a list of people twice: give reconcile or reconcile_by_api")
        static = self.scheme == "static-header"
        if self.scheme is None and self.outbox is None:
            raise wrong("has neither a scheme, by which it posts, nor an outbox, which is polled")
        if (self.scheme is None) == bool(self.secrets):
            raise wrong("scheme and secrets go together")
        if static and not self.header:
            raise wrong("a static-header scheme names its header")
        if static and not self.reconciled_by and not (self.outbox or self.people_list):
            raise wrong("a secret in a header proves little: reconciled_by must say how lost requests are found")
        if self.header and not static and self.scheme != "es384-jwt":
            raise wrong("header belongs to the schemes static-header and es384-jwt")
        return self


SIGNED_DOOR = "webhook"
"""What requests are said to come from that come to /requests, in our own shape."""

BY_LINK = "dpsync-link"
"""The same of those that somebody of ours recorded on one of our pages."""

OURS = frozenset({SIGNED_DOOR, "command", "import", BY_LINK})
"""What requests are said to come from that come by our own doors."""


def _not_ours(raw: object) -> object:
    taken = sorted(OURS & set(raw)) if isinstance(raw, dict) else []
    if taken:
        raise wrong(f"must not have the name {taken[0]}, which dpsync uses for a door of its own")
    return raw


Sources = Annotated[Mapping[Name, SourceSection], BeforeValidator(_not_ours)]
