"""Where a main database is told what became of its requests: the setting `callback` of a door that it asks by."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from dpsync.settings.section import Section
from dpsync.settings.values import SecretReference, WebAddress, wrong


class CallbackSection(Section):
    """Where the main database hears what became of its requests, and who opted out at a processor."""

    url: WebAddress = Field(repr=False, description="Where it takes our messages in.")
    secrets: tuple[SecretReference, ...] = Field(
        min_length=1, max_length=2, description="What dpsync signs with (whsec_…). Two during a change: both sign."
    )
    private_host: Annotated[str, Field(pattern=r"^[A-Za-z0-9.:-]{1,253}$")] | None = Field(
        default=None, description="The host of that URL once more, if it is inside your own network or this machine."
    )

    @model_validator(mode="after")
    def _means_this_host(self) -> "CallbackSection":
        if self.private_host is not None and self.private_host.lower() != urlsplit(self.url).hostname:
            raise wrong("private_host must be the host of url: it lets dpsync call that one inside your network")
        return self
