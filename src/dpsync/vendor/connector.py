"""What every connector to an HTTP vendor inherits, however the vendor keeps people: how it is built and tried out."""

import re
from abc import abstractmethod
from typing import ClassVar, Generic, Self, TypeVar, cast

from pydantic import BaseModel, ConfigDict

from dpsync.connector import Account, Connector, Instruction, Kit
from dpsync.errors import UnsupportedRight
from dpsync.http import demand_own_address
from dpsync.model import Right
from dpsync.vendor.calls import Calls
from dpsync.vendor.errors import Ended


class VendorSettings(BaseModel):
    """A section of settings; a connector's own declares `base_url`, with the path that its API has."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    base_url: str | None = None


def ids(named: tuple[str, ...], *, form: re.Pattern[str], such: str) -> tuple[str, ...]:
    """The ids of places in a section, each of this form and named once. Raises ValueError, for pydantic."""
    if not all(form.fullmatch(one) for one in named):
        raise ValueError(f"must be {such}")
    if len({one.lower() for one in named}) != len(named):
        raise ValueError("names one of them twice")
    return named


SettingsT = TypeVar("SettingsT", bound=VendorSettings)
CallsT = TypeVar("CallsT", bound=Calls)


class HttpConnector(Connector, Generic[SettingsT, CallsT]):
    """A connector says its vendor's name and address, makes its calls, and reads whose account it is."""

    vendor: ClassVar[str]
    """As errors call it."""
    address: ClassVar[str]
    """Where the vendor's API is, without a slash at the end. Any other `base_url` needs a rehearsal."""

    def __init__(self, settings: SettingsT, kit: Kit) -> None:
        self._settings = settings
        self._kit = kit

    @classmethod
    def from_settings(cls, section: BaseModel, kit: Kit) -> Self:
        """Build it; opens no connection. Raises `ConfigurationError` for a foreign `base_url` outside a rehearsal."""
        settings = cast("SettingsT", cls.Settings.model_validate(section.model_dump()))
        demand_own_address(kit, cls.vendor, own=settings.base_url is None or cls.is_own(settings.base_url))
        return cls(settings, kit)

    @classmethod
    def is_own(cls, base_url: str) -> bool:
        """Whether an address is the vendor's. Override it where it has several."""
        return base_url == cls.address

    @property
    def base(self) -> str:
        """Where its calls go, without a slash at the end."""
        return self._settings.base_url or self.address

    @abstractmethod
    def calls(self, order: Instruction | None) -> CallsT:
        """The calls of one instruction, or of a probe."""

    @abstractmethod
    def account(self, calls: CallsT) -> Account:
        """Whose account it is; only reads. Raises `Ended`, `CredentialsRejected`."""

    def probe(self) -> Account:
        """Read-only: whose account is it? Raises `CredentialsRejected` and `ProcessorUnreachable`."""
        calls = self.calls(None)
        try:
            return self.account(calls)
        except Ended as end:
            raise calls.unreachable(self.vendor, end) from None

    def demand_declared(self, right: Right) -> None:
        """Raise `UnsupportedRight` for a right that the connector does not declare."""
        if right not in self.capabilities:
            raise UnsupportedRight(f"{self.vendor} was asked for a right that it does not declare: {right}")
