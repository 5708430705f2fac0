"""Packages that only a part of dpsync needs: which, and how whoever meets their absence gets them."""

import contextlib
import importlib
import io
import logging
from collections.abc import Mapping
from importlib.util import find_spec
from types import MappingProxyType, ModuleType
from typing import Final

from dpsync.errors import DpsyncError, Exit

PACKAGES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "apprise": "apprise",
        "mariadb": "pymysql",
        "pdf": "weasyprint",
        "postgresql": "psycopg",
        "sandbox": "aiosmtpd",
        "stamps": "rfc3161_client",
    }
)
"""Each extra of pyproject.toml, and the package that is looked for."""

LIBRARIES: Final[Mapping[str, str]] = MappingProxyType({"pdf": "libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0"})
"""What a package loads from the system besides, by Debian's names for it."""


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


def loaded(extra: str, what: str) -> ModuleType:
    """The package of the extra. Raises `ExtraMissing`, also where a library of the system is not there."""
    demand(extra, what)
    # It says on standard output, which is for data, what it cannot load.
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            package = importlib.import_module(PACKAGES[extra])
        except OSError as missing:
            raise ExtraMissing(f"{what} {_cannot_load(extra)}") from missing
    logging.getLogger(PACKAGES[extra]).setLevel(logging.CRITICAL + 1)
    return package


def unusable(extra: str) -> str:
    """Why the package of the extra, which is installed, cannot be used here; nothing where it can. Imports it."""
    try:
        loaded(extra, "")
    except ExtraMissing:
        return _cannot_load(extra)
    return ""


def _cannot_load(extra: str) -> str:
    return f"needs libraries of the system that are not installed here: run apt install {LIBRARIES[extra]}"
