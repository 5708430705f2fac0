"""`dpsync explain`: what a code or an alert means and what to do, without any network or configuration."""

from typing import TYPE_CHECKING, Annotated

import typer

from dpsync.cli.console import Talk
from dpsync.cli.options import AsJson

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dpsync.cli.catalogue import Explained


def explain(
    ctx: typer.Context,
    code: Annotated[
        str, typer.Argument(help="A code such as DP-212, or an alert's word such as bounced. Default: all.")
    ] = "",
    *,
    as_json: AsJson = False,
) -> None:
    """Explain a DP code or an alert, and what to do about it. Works offline."""
    from dpsync.cli.catalogue import ALERTS_EXPLAINED, CATALOGUE

    talk: Talk = ctx.obj
    wanted = _known(code.strip()) if code.strip() else ""
    codes = {name: one for name, one in CATALOGUE.items() if wanted in {"", name}}
    alerts = {name: one for name, one in ALERTS_EXPLAINED.items() if wanted in {"", name}}
    if as_json:
        talk.json({"codes": _listed("code", codes), "alerts": _listed("alert", alerts)})
    elif wanted:
        one = (codes | alerts)[wanted]
        talk.data(
            f"{wanted}: {one.title}.\n\n{one.meaning}\n\nIf nobody does anything: {one.if_ignored}\n\nWhat to do: "
            f"{one.way_out}\n\nIt worked if: {one.worked}"
        )
    else:
        talk.table(("CODE OR ALERT", "MEANS"), [(name, one.title) for name, one in (codes | alerts).items()])


def _known(word: str) -> str:
    """The code or the cause that is meant. Raises `NotFound`."""
    from dpsync.alert_causes import cause_of
    from dpsync.cli.catalogue import CATALOGUE
    from dpsync.errors import NotFound

    if cause := cause_of(word.lower()):
        return str(cause)
    upper = word.upper()
    found = upper if upper.startswith("DP-") else f"DP-{upper}"
    if found not in CATALOGUE:
        raise NotFound("there is no such code or alert: `dpsync explain` lists them all")
    return found


def _listed(key: str, entries: "Mapping[str, Explained]") -> list[dict[str, str]]:
    return [
        {
            key: name,
            "title": one.title,
            "meaning": one.meaning,
            "if_ignored": one.if_ignored,
            "way_out": one.way_out,
            "worked": one.worked,
        }
        for name, one in entries.items()
    ]
