"""`dpsync doctor`: what somebody who helps needs to see of an installation, in one archive without personal data."""

import io
import json
import zipfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from dpsync.cli.console import Talk

Part = Callable[[], str | Mapping[str, Any]]


def doctor(
    ctx: typer.Context,
    *,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Default: dpsync-doctor-TIME.zip in this folder."),
    ] = None,
) -> None:
    """Collect what support needs into one archive, without personal data and without secrets.

    It opens no network and sends nothing. What cannot be read is said in its place, so it works on a broken
    installation too. Look into the archive before you give it to anybody.
    """
    from dpsync.cli.opening import written

    talk: Talk = ctx.obj
    place = output or Path(f"dpsync-doctor-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.zip")
    with talk.progress("looking"):
        found = collected(talk.config)
    written(place, archive(found))
    talk.did = f"{place} holds {len(found)} files"
    talk.table(("FILE", "BYTES"), [(name, str(len(text.encode()))) for name, text in found.items()])
    talk.ending(
        stored=str(place), by_itself="nothing: dpsync sends it to nobody.", waits="for you: look into it first."
    )


def archive(files: Mapping[str, str]) -> bytes:
    """The files as a ZIP."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, text in files.items():
            zipped.writestr(name, text)
    return made.getvalue()


def collected(config: Path) -> dict[str, str]:
    """Each file of the archive by name. What raises leaves the class and the place of its error, never its text."""
    from dpsync import telemetry
    from dpsync.cli import doctor_parts as parts

    wanted: dict[str, Part] = {
        "versions.json": parts.versions,
        "settings.json": lambda: parts.settings_of(config),
        "check.json": lambda: parts.check_of(config),
        "disks.json": lambda: parts.disks_of(config),
        "database.json": lambda: parts.database_of(config),
        "alerts.json": lambda: parts.alerts_of(config),
        "metrics.txt": lambda: parts.metrics_of(config),
    }
    found = {}
    for name, part in wanted.items():
        try:
            told = part()
        except Exception as error:  # noqa: BLE001 - because a broken installation is what it is for
            told = {"error": telemetry.described(error)}
        found[name] = told if isinstance(told, str) else json.dumps(told, indent=2, default=str) + "\n"
    return found
