"""The commands by name, and what may stand before each of them."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from dpsync.cli import (
    capabilities,
    complaint,
    contact,
    decide,
    doctor,
    explain,
    extending,
    find,
    forgotten,
    holding,
    hooks,
    incident,
    keys,
    leaving,
    letters,
    links,
    lists,
    machine,
    opendsr,
    operate,
    planning,
    proof,
    receipt,
    recovering,
    rehearse,
    reports,
    retention,
    service,
    setup,
    source,
    standing,
    submitting,
    sweeping,
    welcoming,
    witness,
)
from dpsync.cli.console import Talk
from dpsync.cli.options import USUAL

app = typer.Typer(
    rich_markup_mode=None,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _version(value: bool) -> None:
    if value:
        from dpsync import __version__

        typer.echo(f"dpsync {__version__}")
        raise typer.Exit


@app.callback()
def everywhere(
    ctx: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(
            help="The settings file. Default: $DPSYNC_CONFIG, or else the first that exists of ./dpsync.toml, "
            "/etc/dpsync/dpsync.toml and /var/lib/dpsync/dpsync.toml.",
            metavar="PATH",
        ),
    ] = None,
    *,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only data, warnings and errors.")] = False,
    verbose: Annotated[
        int, typer.Option("--verbose", "-v", count=True, show_default=False, help="Print more. -vv shows traces.")
    ] = 0,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and stop.")
    ] = False,
) -> None:
    """Tell every processor about rectification, erasure, restriction and opt-out, and keep the proof.

    Exit codes: 0 done, 1 a fault of dpsync, 2 a person must look, 3 partly done, 64 wrong usage, 69 processor
    unreachable, 74 answer not printed, 75 try later, 78 configuration, 130 interrupted. Any other code is a failure.
    """
    del version
    talk: Talk = ctx.obj
    talk.quiet, talk.verbose, talk.config = quiet, verbose, config or _usual_place()


def _usual_place() -> Path:
    named = os.environ.get("DPSYNC_CONFIG")
    return Path(named) if named else next(filter(_is_there, USUAL), USUAL[0])


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except PermissionError:
        return True  # it is the one that is meant, and reading it says who may


COMMANDS: dict[str, Callable[..., Any]] = {
    "init": setup.init,
    "check": setup.check,
    "serve": operate.serve,
    "receive": operate.receive,
    "work": operate.work,
    "health": machine.health,
    "run-once": operate.run_once,
    "plan": planning.plan,
    "submit": submitting.submit,
    "import": lists.import_,
    "screen": lists.screen,
    "sweep": sweeping.sweep,
    "welcome": welcoming.welcome,
    "status": standing.status,
    "pause": operate.pause,
    "resume": operate.resume,
    "release": decide.release,
    "withdraw": decide.withdraw,
    "retry": decide.retry,
    "settle": decide.settle,
    "exempt": decide.exempt,
    "extend": extending.extend,
    "hold-evidence": holding.hold_evidence,
    "letter": letters.letter,
    "told": letters.told,
    "acknowledge": decide.acknowledge,
    "contact": contact.contact,
    "report": reports.report,
    "dossier": reports.dossier,
    "processors": capabilities.processors,
    "register": reports.register,
    "leaving": leaving.leaving,
    "find": find.find,
    "receipt": receipt.receipt,
    "verify": proof.verify,
    "forgotten": forgotten.forgotten,
    "backup": recovering.backup,
    "drill": recovering.drill,
    "restore": recovering.restore,
    "recover": recovering.recover,
    "witness": witness.witness,
    "explain": explain.explain,
    "doctor": doctor.doctor,
    "sandbox": rehearse.sandbox,
    "demo": rehearse.demo,
    "completion": machine.completion,
}
"""In the order in which they are first needed; docs/commands.md has them in it too."""

GROUPS: dict[str, typer.Typer] = {
    "complaint": complaint.group,
    "incident": incident.group,
    "service": service.group,
    "intake": machine.intake,
    "source": source.group,
    "hooks": hooks.group,
    "opendsr": opendsr.group,
    "config": machine.config,
    "retention": retention.group,
    "links": links.group,
    "keys": keys.group,
}
"""Commands that have commands of their own."""

for _name, _command in COMMANDS.items():
    app.command(_name)(_command)
for _name, _group in GROUPS.items():
    app.add_typer(_group, name=_name)
