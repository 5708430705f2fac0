"""What runs by the clock: each main database that lists its people is compared every morning."""

from datetime import datetime
from typing import assert_never

from dpsync.errors import NotFound
from dpsync.installation import Installation
from dpsync.intake.reconciliation.api_lists import HubSpotPeople, SalesforcePeople
from dpsync.intake.reconciliation.judging import Brake
from dpsync.intake.reconciliation.people_list import ListsPeople, SourcePeople
from dpsync.intake.reconciliation.run import Reconciliation
from dpsync.intake.sources.source import source_of
from dpsync.settings.sources import ApiListSection, PeopleVendor, ReconcileSection


def reconcile_all(there: Installation, now: datetime) -> None:
    """Compare each. No trouble with one keeps another back; what a list does not say is told, and fails nothing."""
    failed: list[Exception] = []
    for name, section in there.settings.sources.items():
        if section.people_list is None:
            continue
        try:
            reconciliation_of(there, name).run(now)
        except Exception as error:  # noqa: BLE001 - because it is raised below, when the others had their turn
            failed.append(error)
    if failed:
        raise failed[0]


def reconciliation_of(there: Installation, name: str, released: int | None = None) -> Reconciliation:
    """The comparison of one. `released`: a person's word in place of the brake.

    Raises `NotFound` where there is no such list, `ConfigurationError`, `ExtraMissing`.
    """
    section = there.settings.sources.get(name)
    if section is None or section.people_list is None:
        raise NotFound(f"there is no source {name} with the setting reconcile or reconcile_by_api")
    wait = source_of(there, name, section).mapping.merge_wait
    brake = Brake(section.people_list.most, section.people_list.percent, released)
    return Reconciliation(there, name, people_of(there, name, section.people_list), wait, brake)


def people_of(there: Installation, name: str, section: ReconcileSection | ApiListSection) -> ListsPeople:
    """What lists the people of a source; opens no connection. Raises `ConfigurationError`, `ExtraMissing`."""
    match section:
        case ReconcileSection():
            return SourcePeople(name, section, there.config.parent)
        case ApiListSection(vendor=PeopleVendor.HUBSPOT):
            return HubSpotPeople(section, there.http)
        case ApiListSection():
            return SalesforcePeople(section, there.http)
        case _:
            assert_never(section)
