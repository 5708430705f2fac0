"""Settings of a processor whose list of people is compared with what was asked and done there."""

from typing import Annotated

from pydantic import Field

from dpsync.settings.section import Section


class SweepSection(Section):
    """How far the nightly sweep of a processor's list of people goes by itself, and what it takes of the account."""

    most: Annotated[int, Field(ge=1, le=100_000)] = Field(
        default=50, description="The brake: if more findings are new in one sweep, nothing is done, and dpsync asks."
    )
    percent: Annotated[int, Field(ge=1, le=100)] = Field(
        default=10, description="The same, as a share of the records on the list."
    )
    share: Annotated[int, Field(ge=1, le=100)] = Field(
        default=25, description="In which part of the time it may make calls, in percent. It makes one at a time."
    )
