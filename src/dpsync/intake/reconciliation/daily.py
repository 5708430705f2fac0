"""What runs by the clock: each main database that lists its people is compared every morning."""

from datetime import datetime

from dpsync.errors import NotFound
from dpsync.installation import Installation
from dpsync.intake.reconciliation.judging import Brake
from dpsync.intake.reconciliation.people_list import SourcePeople
from dpsync.intake.reconciliation.run import Reconciliation
from dpsync.intake.sources.source import source_of


def reconcile_all(there: Installation, now: datetime) -> None:
    """Compare each. No trouble with one keeps another back; what a list does not say is told, and fails nothing."""
    failed: list[Exception] = []
    for name, section in there.settings.sources.items():
        if section.reconcile is None:
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
    if section is None or section.reconcile is None:
        raise NotFound(f"there is no source {name} with the setting reconcile")
    wait = source_of(there, name, section).mapping.merge_wait
    people = SourcePeople(name, section.reconcile, there.config.parent)
    brake = Brake(section.reconcile.most, section.reconcile.percent, released)
    return Reconciliation(there, name, people, wait, brake)
