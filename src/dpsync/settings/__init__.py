"""The settings: one TOML file, every fault of it told at once, secrets never in it.

`sections` says what may stand in the file, `values` how a duration, an address or a secret is written, `reading` turns
the file into `Settings` or into a list of faults.
"""

from dpsync.settings.controller import ControllerSection
from dpsync.settings.reading import connector_section, digest, load, processors_as_written, schema
from dpsync.settings.sections import (
    AlertsSection,
    ExemptionSection,
    IntakeSection,
    KeysSection,
    LedgerSection,
    MailSection,
    ProcessorSection,
    SafetySection,
    Settings,
    StoreSection,
)
from dpsync.settings.values import Secret

__all__ = [
    "AlertsSection",
    "ControllerSection",
    "ExemptionSection",
    "IntakeSection",
    "KeysSection",
    "LedgerSection",
    "MailSection",
    "ProcessorSection",
    "SafetySection",
    "Secret",
    "Settings",
    "StoreSection",
    "connector_section",
    "digest",
    "load",
    "processors_as_written",
    "schema",
]
