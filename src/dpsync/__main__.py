"""The one way in: runs a command and turns every ending into its exit code and one sentence."""

import errno
import io
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from dpsync.cli.console import Talk
from dpsync.errors import ConfigurationError, DpsyncError, Exit

if TYPE_CHECKING:
    from typing import TextIO

    from typer import Typer


def main(argv: Sequence[str] | None = None, *, commands: "Typer | None" = None) -> int:
    """Run one command (of `commands`, by default ours); gives an exit code of `errors.Exit`, no trace without `-vv`."""
    _complete_streams()
    talk = Talk()
    os.umask(0o077)  # database, keys, receipts and reports are for whoever runs this, and for nobody else
    try:
        try:
            return _run(list(sys.argv[1:] if argv is None else argv), talk, commands)
        except BrokenPipeError:
            raise
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - because this is the one place where nothing may escape
            return _ending(talk, error)
    except BrokenPipeError:
        # Whoever read what we write has gone; Python would complain once more when it flushes at the end.
        _say_no_more()
        return Exit.PARTLY


def _ending(talk: Talk, error: BaseException) -> int:
    if isinstance(error, KeyboardInterrupt):
        talk.warn("interrupted; what was committed stays, what was under way is read back before it is repeated")
        return Exit.INTERRUPTED
    _trace(talk)
    named = error if isinstance(error, DpsyncError) else _ordinary(error)
    if named is not None:
        _refuse(talk, named)
        return named.exit
    # The text of a foreign exception may be a URL, and the URL a person: its kind is all that is shown.
    more = "" if talk.verbose > 1 else "; -vv shows where"
    talk.warn(f"DP-100: a fault of dpsync itself ({type(error).__name__}){more} (dpsync explain DP-100)")
    return Exit.FAULT


def _ordinary(error: BaseException) -> DpsyncError | None:
    from dpsync.cli.ordinary import ordinary

    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        _say_no_more(sys.stdout)
    return ordinary(error)


def _complete_streams() -> None:
    """Open what of input, output and errors is closed: else the database would be the file that is written to."""
    while (free := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(free)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode, encoding="utf-8"))
        elif mode == "w" and isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file's name may hold what this terminal cannot show


def _say_no_more(*streams: "TextIO") -> None:
    """What still waits to be written goes nowhere, instead of failing once more at the end."""
    for stream in streams or (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _run(argv: list[str], talk: Talk, commands: "Typer | None") -> int:
    import typer
    from typer.exceptions import TyperException

    from dpsync.cli.app import app

    command = typer.main.get_command(commands or app)
    try:
        code = command.main(argv, prog_name="dpsync", standalone_mode=False, obj=talk)
        sys.stdout.flush()
    except (TyperException, typer.Abort) as error:
        return _misused(talk, error)
    except SystemExit as ended:
        raise BrokenPipeError from ended  # what typer makes of it, and of nothing else here
    return code if isinstance(code, int) else Exit.DONE


def _misused(talk: Talk, error: Exception) -> int:
    """What typer itself refuses: its own code 2 would look like a `check` that found a problem."""
    import typer

    if isinstance(error, typer.Abort):
        return Exit.INTERRUPTED
    context = getattr(error, "ctx", None)
    told: Callable[[], str] | None = getattr(error, "format_message", None)
    said = told() if told else "wrong usage"
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
        talk.warn(f"{error.code}: {things} in the settings must be put right (dpsync explain {error.code})")
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
