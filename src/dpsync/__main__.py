"""The one way in: runs a command and turns every ending into its exit code and one sentence."""

import os
import sys
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING

from dpsync.cli.collecting import seldom
from dpsync.cli.console import Talk
from dpsync.cli.outlet import outlets, why
from dpsync.errors import ConfigurationError, DpsyncError, Exit

if TYPE_CHECKING:
    from typer import Typer
    from typer._click.core import Command

COMPLETE = "_DPSYNC_COMPLETE"
"""Set by the shell that wants to complete a command: see `dpsync completion`."""


def main(argv: Sequence[str] | None = None, *, commands: "Typer | None" = None) -> int:
    """Run one command (of `commands`, by default ours); gives an exit code of `errors.Exit`, no trace without `-vv`."""
    talk = Talk()
    os.umask(0o077)  # database, keys, receipts and reports are for whoever runs this, and for nobody else
    with outlets() as out, seldom():
        failed = False
        try:
            code = _run(list(sys.argv[1:] if argv is None else argv), talk, commands)
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - because this is the one place where nothing may escape
            code, failed = _ending(talk, error), True
        sys.stdout.flush()
        return _told(talk, code, failed=failed, refused=out.refused if out else None)


def _told(talk: Talk, code: int, *, failed: bool, refused: OSError | None) -> int:
    """Say what could not be printed, and what is done nevertheless: nobody may do it twice. Gives the exit code."""
    if refused:
        talk.warn(f"DP-108: not all of the answer could be printed: {why(refused)} (dpsync explain DP-108)")
    if talk.did and (failed or refused):
        talk.warn(f"It is done all the same; do not do it twice: {talk.did}")
    elif refused and code == Exit.DONE:
        talk.warn("It has stored nothing, and may be given again.")
    untold = (talk.did and failed and code != Exit.INTERRUPTED) or (refused and code == Exit.DONE)
    return Exit.UNTOLD if untold else code


def _ending(talk: Talk, error: BaseException) -> int:
    from dpsync.cli.ordinary import ordinary

    if isinstance(error, KeyboardInterrupt):
        talk.warn("interrupted; what was committed stays, what was under way is read back before it is repeated")
        return Exit.INTERRUPTED
    _trace(talk)
    named = error if isinstance(error, DpsyncError) else ordinary(error)
    if named is not None:
        _refuse(talk, named)
        return named.exit
    # The text of a foreign exception may be a URL, and the URL a person: its kind is all that is shown.
    more = "" if talk.verbose > 1 else "; -vv shows where"
    talk.warn(f"DP-100: a fault of dpsync itself ({type(error).__name__}){more} (dpsync explain DP-100)")
    return Exit.FAULT


def _run(argv: list[str], talk: Talk, commands: "Typer | None") -> int:
    import typer
    from typer.exceptions import TyperException

    from dpsync.cli.app import app

    if COMPLETE in os.environ:
        _know_shells()
    command = _command(commands or app)
    try:
        code = command.main(argv, prog_name="dpsync", standalone_mode=False, obj=talk)
    except (TyperException, typer.Abort) as error:
        return _misused(talk, error)
    except SystemExit as ended:
        raise (ended.__context__ or ended) from None  # what typer makes of a pipe that broke, whosever it was
    return code if isinstance(code, int) else Exit.DONE


@cache
def _command(commands: "Typer") -> "Command":
    """What understands the words of a command line; made once, for a process may run many commands."""
    import typer

    from dpsync.cli.help_words import for_people

    command = typer.main.get_command(commands)
    for_people(command)
    return command


def _know_shells() -> None:
    """Have typer answer the shell's question: it is silent without the two options that it would add to our help."""
    from typer.completion import completion_init  # type: ignore[attr-defined]  # because typer lists no exports

    completion_init()


def _misused(talk: Talk, error: Exception) -> int:
    """What typer itself refuses: its own code 2 would look like a `check` that found a problem."""
    import typer

    if isinstance(error, typer.Abort):
        return Exit.INTERRUPTED
    context = getattr(error, "ctx", None)
    told: Callable[[], str] | None = getattr(error, "format_message", None)
    # typer names the library that it checks values by, which tells nobody anything
    said = told().replace("Value error, ", "") if told else "wrong usage"
    if type(error).__name__ == "NoArgsIsHelpError":
        talk.warn(said)
        return Exit.USAGE
    talk.warn(f"DP-101: {said} (dpsync explain DP-101)")
    if context is not None:
        talk.warn(f"{context.command_path} --help shows what fits")
    return Exit.USAGE


def _refuse(talk: Talk, error: DpsyncError) -> None:
    if isinstance(error, ConfigurationError) and error.faults:
        count = len(error.faults)
        things = "1 thing" if count == 1 else f"{count} things"
        talk.warn(f"{error.code}: {things} in the settings must be corrected (dpsync explain {error.code})")
        for fault in error.faults:
            talk.warn(f"  {fault.key}: {fault.problem}" + (f"  {fault.code}" if fault.code != error.code else ""))
        return
    talk.warn(f"{error.code}: {error.message} (dpsync explain {error.code})")


def _trace(talk: Talk) -> None:
    if talk.verbose > 1:
        import traceback

        traceback.print_exc()


if __name__ == "__main__":
    sys.exit(main())
