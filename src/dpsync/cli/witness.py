"""`dpsync witness`: cosign the checkpoints of other installations."""

import signal
import sys
from typing import Annotated

import typer

from dpsync import telemetry
from dpsync.cli.console import Talk
from dpsync.errors import Exit, UsageError


def witness(
    ctx: typer.Context,
    *,
    show_key: Annotated[
        bool,
        typer.Option("--show-key", help="Only print the witness's key line, for [ledger] witnesses of the others."),
    ] = False,
) -> int:
    """Cosign the checkpoints of the ledgers in [witness] logs, until SIGTERM or SIGINT. One history of each, never two.

    It answers on [witness] listen, behind a web server. It learns names, sizes and times, and nothing else.
    """
    from dpsync.cli.opening import installation
    from dpsync.running.witnessing import cosigner_of, listening

    talk: Talk = ctx.obj
    with installation(talk, secrets=False) as there:
        if show_key:
            talk.data(cosigner_of(there).witness.line)
            return Exit.DONE
        if not there.settings.witness.logs:
            raise UsageError("[witness] logs names no ledger: add the key line of each that is to be witnessed")
        telemetry.configure("warning", sys.stderr)
        telemetry.guard_threads()
        ends = {signal.SIGTERM, signal.SIGINT}
        before = signal.pthread_sigmask(signal.SIG_BLOCK, ends)  # before its threads begin: none of them takes one
        try:
            with listening(there) as where:
                talk.say(f"witness {cosigner_of(there).witness.line} on {where}")
                signal.sigwait(ends)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)  # whatever this process starts would inherit it
    return Exit.DONE
