"""What the register of processors says of one, as it stands in the settings."""

import re
from typing import Annotated

from pydantic import BeforeValidator, Field

from dpsync.settings.section import Section
from dpsync.settings.values import Day, Text, wrong


def _country(raw: object) -> object:
    if not isinstance(raw, str) or not re.fullmatch(r"[A-Z]{2}", raw):
        raise wrong("must be two capital letters, such as GB")
    return raw


Country = Annotated[str, BeforeValidator(_country)]


class AboutSection(Section):
    """What the register of processors says of one (Art. 30). What is left out is named there as missing."""

    purpose: Text | None = Field(default=None, description="What it works with the data for.")
    people: tuple[Text, ...] = Field(default=(), description="Whose data they are, such as members or donors.")
    data: tuple[Text, ...] = Field(default=(), description="Which kinds of data, such as email address or orders.")
    countries: tuple[Country, ...] = Field(
        default=(), description="Where the data are, as two capital letters: GB, US, IE."
    )
    transfer: Text | None = Field(
        default=None, description="What allows the data to be outside the United Kingdom (Art. 45 to 49)."
    )
    kept_for: Text | None = Field(default=None, description="How long the data stay there.")
    contract_on: Day | None = Field(default=None, description="The date of the contract with it (Art. 28(3)).")
    review_by: Day | None = Field(
        default=None, description="By when somebody reviews the entry. After that day the DPO gets an alert."
    )
