"""What a section of OpenDSR says, and how each dialect differs from the specification."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from dpsync.opendsr_protocol import REQUESTS, VERSION, IdentityFormat, IdentityType, Regulation
from dpsync.settings.values import WebAddress, wrong
from dpsync.vendor.calls import Secret
from dpsync.vendor.connector import VendorSettings

_WORD: Final = r"^[a-z0-9_]{0,64}$"
_HOST: Final = r"^[a-z0-9.-]{0,253}$"


def _whole(path: Path) -> Path:
    if not path.is_absolute():
        raise wrong("must be a whole path, such as /var/lib/dpsync/authority.crl")
    return path


class DialectName(StrEnum):
    """Whose reading of OpenDSR a processor speaks."""

    STANDARD = "standard"
    APPSFLYER = "appsflyer"
    MPARTICLE = "mparticle"


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a dialect differs. `requests`: the path. `version`: as each request says it, "" for none.

    `regulated`: it wants the regulation. `keyed`: the identities are an object, one of each type. `emails`: it knows
    people by address. `customer_id`: as which type the main database's id goes. `basic`: the credential is a name and a
    password. `certificate_host`: where else its certificate lies.
    """

    requests: str = REQUESTS
    version: str = VERSION
    regulated: bool = True
    keyed: bool = False
    emails: bool = True
    customer_id: str = IdentityType.CONTROLLER_CUSTOMER_ID
    basic: bool = False
    certificate_host: str = ""


# AppsFlyer: its OpenAPI file 1.0. mParticle: "Data Subject Request API Version 3". Both read in November 2026. Of the
# version that AppsFlyer wants there is nothing in it, and none is needed.
DIALECTS: Final[Mapping[DialectName, Dialect]] = MappingProxyType(
    {
        DialectName.STANDARD: Dialect(),
        DialectName.APPSFLYER: Dialect(
            requests="/opendsr_requests", version="", regulated=False, emails=False, customer_id="customer_user_id"
        ),
        DialectName.MPARTICLE: Dialect(version="3.0", keyed=True, basic=True, certificate_host="static.mparticle.com"),
    }
)


class OpenDsrSettings(VendorSettings):
    """`url`: the processor's OpenDSR address, up to its version. `credential`: a bearer token; NAME:PASSWORD for Basic.

    `domain`: as the processor's certificate names it, where that is not the host of `url`. `email_format`: as what
    addresses are sent. `customer_id`: the type of the main database's id, "" for none. `own_ids`: under which name in
    `references` other ids come, as TYPE:VALUE. `property_id`: the app at AppsFlyer. `authorities`: who may sign its
    certificate, in place of the public ones. `revocations`: the file in which the list of its authority's revoked
    certificates is kept fresh. `unsigned_answers`: its answers to our own calls bear no signature, so TLS
    alone shows whose they are. `requests_path`: where requests go, if it has an older name for that. `stub`: the twin
    for tests that AppsFlyer has, which erases nothing.
    """

    url: WebAddress = Field(repr=False)
    credential: Secret
    dialect: DialectName = DialectName.STANDARD
    regulation: Regulation = Regulation.GDPR
    domain: str = Field(default="", pattern=_HOST)
    email_format: IdentityFormat = IdentityFormat.RAW
    customer_id: str | None = Field(default=None, pattern=_WORD)
    own_ids: str = Field(default="", pattern=r"^[a-z0-9_-]{0,40}$")
    property_id: str = Field(default="", pattern=r"^[!-~]{0,200}$")
    authorities: SecretStr | None = None
    revocations: Annotated[Path, AfterValidator(_whole)] | None = None
    unsigned_answers: bool = False
    requests_path: str = Field(default="", pattern=r"^(/[A-Za-z0-9_-]{1,64})?$")
    stub: bool = False
    base_url: WebAddress | None = Field(default=None, repr=False)

    @model_validator(mode="after")
    def _fits_its_dialect(self) -> "OpenDsrSettings":
        of_appsflyer = self.dialect is DialectName.APPSFLYER
        if of_appsflyer is not bool(self.property_id):
            raise wrong('property_id is the app, and needed, where dialect is "appsflyer"; nobody else knows it')
        if self.stub and not of_appsflyer:
            raise wrong('only dialect = "appsflyer" has a stub')
        if self.reading.basic and ":" not in self.credential.get_secret_value():
            raise wrong("credential must be NAME:PASSWORD in this dialect")
        return self

    @property
    def reading(self) -> Dialect:
        """How its dialect differs."""
        return DIALECTS[self.dialect]

    @property
    def base(self) -> str:
        """Where its calls go."""
        return (self.base_url or self.url).rstrip("/") + ("/stub" if self.stub else "")

    @property
    def requests(self) -> str:
        """The path of requests, below `base`."""
        return "" if self.stub else self.requests_path or self.reading.requests

    @property
    def signer(self) -> str:
        """The domain whose certificate signs."""
        return self.domain or urlsplit(self.url).hostname or ""

    @property
    def customer(self) -> str:
        """The type of the main database's id, "" for none."""
        return self.reading.customer_id if self.customer_id is None else self.customer_id

    @property
    def certificate_hosts(self) -> frozenset[str]:
        """Whence its certificate is taken: its own hosts, and no others (8.8 and 6.3 of the specification)."""
        named = {self.signer, self.reading.certificate_host, urlsplit(self.base).hostname}
        return frozenset(filter(None, named))
