"""The sections about what is kept: for how long names and conversations are, and where back-ups lie."""

from typing import Annotated, Literal

from pydantic import Field, StrictInt

from dpsync.settings.section import Section, as_written
from dpsync.settings.values import Address, Folder

Years = Annotated[StrictInt, Field(ge=1, le=100)]
SCHEDULE = 6
"""Years for which what proves something is kept unless a schedule says otherwise: a claim may come for as long."""


class ForgettingSection(Section):
    """When the name, addresses and changes of a finished request are destroyed. Without it they stay for ever."""

    after_days: Annotated[StrictInt, Field(ge=30, le=3650)] = Field(
        default=30,
        description="Days after a request was finished everywhere: at least the 30 for which dpsync looks again.",
    )
    keys_after_days: Annotated[StrictInt, Field(ge=8, le=3650)] = Field(
        default=30,
        description="Days from when nothing is sealed under a month's key any more to when it is destroyed: of a "
        "back-up that is older, what it sealed cannot be opened. Not less than back-ups are kept.",
    )
    pseudonyms_after_years: Years = Field(
        default=SCHEDULE,
        description="Years after the last request of a person was finished, until their pseudonyms are destroyed. "
        "Those of whoever opted out or had the use of their data restricted stay.",
    )
    proofs_after_years: Years = Field(
        default=SCHEDULE,
        description="Whole years after the year in which a request was forgotten, until nothing leads from a name of "
        "the person to its proof any more (`dpsync find`).",
    )
    memories_after_years: Years = Field(
        default=SCHEDULE,
        description="Years after a connector last wrote down something of a person beyond one request, until that is "
        "destroyed. What an opt-out or a restriction rests on stays.",
    )
    cases_after_years: Years = Field(
        default=SCHEDULE,
        description="Years after a complaint or an incident was closed, until what people wrote of it is destroyed.",
    )
    receipts_after_years: Years | None = Field(
        default=None,
        description="Years after a forgotten request was finished, until its receipt in the receipts folder is "
        "deleted. Without it receipts stay.",
    )


class BackupSection(Section):
    """Where back-ups lie, and how often one is tried. A timer takes them: see `dpsync service install`."""

    directory: Folder = Field(
        default=as_written("backups/"), description="The folder that `dpsync backup` writes into. It must be there."
    )
    drill_days: Annotated[StrictInt, Field(ge=1, le=366)] = Field(
        default=8, description="After so many days without a good `dpsync drill`, the operator gets an alert each day."
    )


WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


class RetentionSection(Section):
    """How long private conversations may stay at a processor that keeps them, and who deletes them there."""

    months: Annotated[StrictInt, Field(ge=1, le=120)] = Field(
        description="Calendar months from a conversation's beginning; 31 August and 3 is 30 November."
    )
    admin: Address = Field(repr=False, description="Who deletes there by hand: gets the weekly work list by mail.")
    deputy: Address | None = Field(
        default=None, repr=False, description="Gets a work list that the admin has not answered for a week."
    )
    weekday: Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"] = Field(
        default="monday", description="On which day at 08:00 the work list is made."
    )
