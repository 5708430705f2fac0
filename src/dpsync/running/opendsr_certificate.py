"""Tells the operator in time that the certificate for OpenDSR ends, or that callers cannot use it."""

from datetime import datetime, timedelta
from typing import Final

from dpsync.alert_causes import AlertCause
from dpsync.alerts import Concern, told_of
from dpsync.errors import ConfigurationError
from dpsync.installation import Installation
from dpsync.intake.opendsr.certificate import doubts, load

CODE: Final = "DP-328"
_AGAIN: Final = timedelta(days=3)
"""A certificate that is not renewed has 14 days left at first: nobody should need more than a few letters."""


def watch(there: Installation, now: datetime) -> None:
    """Each morning: what a caller would find wrong with it, now or soon."""
    section = there.settings.opendsr
    if section is None:
        return
    try:
        found = doubts(section, load(section), now)
    except ConfigurationError as error:
        found = [f"cannot be used: {fault.key} {fault.problem}" for fault in error.faults]
    cause, about = AlertCause.OPENDSR_CERTIFICATE, section.domain
    if found and not there.read(lambda connection: told_of(connection, cause, [about], now, there.zone, back=_AGAIN)):
        there.tell(
            cause=cause,
            role="operator",
            subject="The certificate for OpenDSR needs a person",
            body="Answers and news that it does not cover count for nobody. dpsync reads both files again as soon as "
            "they change, so nothing need be restarted. `dpsync check` shows how it stands.",
            now=now,
            concerns=[Concern(about, f"{about}: it {'; it '.join(found)}")],
        )
