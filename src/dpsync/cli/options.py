"""Options that many commands have, and where the settings are if none says so."""

from pathlib import Path
from typing import Annotated

import typer

USUAL = (Path("dpsync.toml"), Path("/etc/dpsync/dpsync.toml"), Path("/var/lib/dpsync/dpsync.toml"))
"""Where the settings are looked for, in this order. The last is the folder of a service (docs/operating.md)."""

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for a program.")]
RequestId = Annotated[str, typer.Argument(help="The id of the request, or its first characters.", metavar="REQUEST")]
