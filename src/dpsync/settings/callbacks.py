"""Where a main database is told what became of its requests: the setting `callback` of a door that it asks by."""

from enum import StrEnum
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from dpsync.settings.section import Section
from dpsync.settings.values import SecretReference, WebAddress, wrong


class CallbackForm(StrEnum):
    """In which form it hears that."""

    STANDARD = "standard"
    TRANSCEND = "transcend"
    KETCH = "ketch"


_SECRETS = {CallbackForm.STANDARD: (1, 2), CallbackForm.TRANSCEND: (1, 1), CallbackForm.KETCH: (0, 0)}


class CallbackSection(Section):
    """Where the main database hears what became of its requests, and who opted out at a processor."""

    url: WebAddress = Field(repr=False, description="Where it takes our messages in.")
    secrets: tuple[SecretReference, ...] = Field(
        min_length=1,
        max_length=2,
        description="What dpsync signs with (whsec_…). Two during a change: both sign.",
    )
    private_host: Annotated[str, Field(pattern=r"^[A-Za-z0-9.:-]{1,253}$")] | None = Field(
        default=None, description="The host of that URL once more, if it is inside your own network or this machine."
    )

    @model_validator(mode="after")
    def _means_this_host(self) -> "CallbackSection":
        if self.private_host is not None and self.private_host.lower() != urlsplit(self.url).hostname:
            raise wrong("private_host must be the host of url: it lets dpsync call that one inside your network")
        return self

    @property
    def is_platform(self) -> bool:
        """Whether it hears only how a request ended, in words of its own."""
        return False


class SourceCallbackSection(CallbackSection):
    """The same of a main database with a shape of its own, which may be a privacy platform."""

    form: CallbackForm = Field(
        default=CallbackForm.STANDARD,
        description="standard: as Standard Webhooks. transcend, ketch: the end of each request, as it wants it.",
    )
    secrets: tuple[SecretReference, ...] = Field(
        default=(),
        max_length=2,
        description="As at the signed door; for Transcend its API key, for Ketch none: its messages bring one.",
    )
    gateway_key: SecretReference | None = Field(
        default=None, description="For Transcend, if you run its gateway Sombra yourself: the gateway's own key."
    )

    @property
    def is_platform(self) -> bool:
        """Whether it hears only how a request ended, in words of its own."""
        return self.form is not CallbackForm.STANDARD

    @model_validator(mode="after")
    def _fits_its_form(self) -> "SourceCallbackSection":
        fewest, most = _SECRETS[self.form]
        if not fewest <= len(self.secrets) <= most:
            raise wrong(f"secrets must be {fewest} to {most} for this form" if most else "secrets must be left out")
        if self.form is not CallbackForm.TRANSCEND and self.gateway_key is not None:
            raise wrong('gateway_key is for form = "transcend" alone')
        return self
