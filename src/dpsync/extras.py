"""Packages that only a part of dpsync needs: which, and how whoever meets their absence gets them."""

from collections.abc import Mapping
from importlib.util import find_spec
from types import MappingProxyType
from typing import Final

from dpsync.errors import DpsyncError, Exit

PACKAGES: Final[Mapping[str, str]] = MappingProxyType(
    {"apprise": "apprise", "postgresql": "psycopg", "sandbox": "aiosmtpd"}
)
"""Each extra of pyproject.toml, and the package that is looked for."""


class ExtraMissing(DpsyncError):
    """Read by whoever ran the command: a package that this part needs is not installed."""

    code = "DP-206"
    exit = Exit.CONFIGURATION


def is_installed(extra: str) -> bool:
    """Whether the package of the extra can be imported here. Imports nothing."""
    return find_spec(PACKAGES[extra]) is not None


def lacks(extra: str) -> str:
    """The clause that says what is missing and how to get it."""
    # not by a bare name: an index may have somebody else's package under ours
    return (
        f"needs the package {PACKAGES[extra]}, which is not installed here: run pip install '.[{extra}]' in the folder "
        "of dpsync's source, with the pip of this environment"
    )


def demand(extra: str, what: str) -> None:
    """Raise `ExtraMissing` where the package is not there; `what` needs it, in the words of whoever asked."""
    if not is_installed(extra):
        raise ExtraMissing(f"{what} {lacks(extra)}")
