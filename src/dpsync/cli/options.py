"""Options that many commands have."""

from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for a program.")]
RequestId = Annotated[str, typer.Argument(help="The id of the request, or its first characters.", metavar="REQUEST")]
