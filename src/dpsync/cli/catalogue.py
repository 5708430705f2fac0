"""What each DP code and each alert means and what to do about it, read from runbook.toml beside this file."""

import tomllib
from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Explained:
    """`title` in a few words (of an alert: its subject), `meaning` in full, `way_out` as steps that a person can take.

    `if_ignored`: what happens if nobody does anything. `worked`: how a person knows that it is over.
    """

    title: str
    meaning: str
    if_ignored: str
    way_out: str
    worked: str


def _read(kind: str) -> dict[str, Explained]:
    raw = tomllib.loads(files("dpsync.cli").joinpath("runbook.toml").read_text(encoding="utf-8"))
    return {name: Explained(**entry) for name, entry in raw[kind].items()}


CATALOGUE = _read("codes")
"""By DP code."""

ALERTS_EXPLAINED = _read("alerts")
"""By cause, in the order of `AlertCause`."""
