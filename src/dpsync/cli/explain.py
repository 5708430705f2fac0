"""`dpsync explain`: what a code means and what to do, without any network or configuration."""

from typing import Annotated

import typer

from dpsync.cli.console import Talk
from dpsync.cli.options import AsJson


def explain(
    ctx: typer.Context,
    code: Annotated[str, typer.Argument(help="A code such as DP-212. Default: all codes.")] = "",
    *,
    as_json: AsJson = False,
) -> None:
    """Explain a DP code and what to do about it. Works offline."""
    from dpsync.cli.catalogue import CATALOGUE
    from dpsync.errors import NotFound

    talk: Talk = ctx.obj
    wanted = code.strip().upper()
    wanted = wanted if not wanted or wanted.startswith("DP-") else f"DP-{wanted}"
    if wanted and wanted not in CATALOGUE:
        raise NotFound("there is no such code: `dpsync explain` lists them all")
    chosen = {name: one for name, one in CATALOGUE.items() if wanted in {"", name}}
    if as_json:
        codes = [
            {"code": name, "title": one.title, "meaning": one.meaning, "way_out": one.way_out}
            for name, one in chosen.items()
        ]
        talk.json({"codes": codes})
    elif wanted:
        one = chosen[wanted]
        talk.data(f"{wanted}: {one.title}.\n\n{one.meaning}\n\nWhat to do: {one.way_out}")
    else:
        talk.table(("CODE", "MEANS"), [(name, one.title) for name, one in chosen.items()])
