"""What keeps it running: serve, receive, work, run-once, pause, resume."""

import json
import signal
import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from dpsync import telemetry
from dpsync.cli.console import Talk
from dpsync.errors import Exit

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from sqlalchemy import Connection

    from dpsync.installation import Installation

STORE_PATIENCE = 120.0
STORE_PAUSE = 2.0
Processor = Annotated[str, typer.Argument(help="One processor. Default: all of them.", metavar="PROCESSOR")]


def serve(ctx: typer.Context) -> int:
    """Run the receiver, the worker and the timed jobs until SIGTERM or SIGINT. Logs go to stderr, as JSON lines.

    If the database cannot be reached, or another process holds it, serve waits for two minutes. Then it stops with
    exit code 75.
    """
    return _doing(ctx, "serve")


def receive(ctx: typer.Context) -> int:
    """Run only the receiver, beside `dpsync work` in other processes. Otherwise it is as `serve`.

    With PostgreSQL, there can be as many of both as you need: see docs/operating.md, Beyond one machine.
    """
    return _doing(ctx, "receive")


def work(ctx: typer.Context) -> int:
    """Run only the worker and the timed jobs, beside `dpsync receive` in other processes. Otherwise it is as `serve`.

    With PostgreSQL, there can be as many of both as you need: see docs/operating.md, Beyond one machine.
    """
    return _doing(ctx, "work")


def _doing(ctx: typer.Context, kind: str) -> int:
    from dpsync.errors import StoreAway, StoreHeld

    talk: Talk = ctx.obj
    telemetry.configure("info" if talk.verbose else "warning", sys.stderr)
    telemetry.guard_threads()
    until = time.monotonic() + STORE_PATIENCE
    while True:
        try:
            return _served(talk, kind)
        except (StoreAway, StoreHeld) as away:
            if time.monotonic() > until:
                raise
            _waiting(telemetry.Sentence(away.message), away.code)
            time.sleep(STORE_PAUSE)


def _waiting(reason: str, code: str = "DP-103") -> None:
    """Say in the log and to systemd what the service waits for."""
    from dpsync import systemd

    telemetry.log("service").warning("waiting for the database", code=code, reason=reason)
    # Else systemd takes a start that lasts for one that failed.
    systemd.notify(f"STATUS=waiting: {reason}", f"EXTEND_TIMEOUT_USEC={int(60e6)}")


def _served(talk: Talk, kind: str) -> int:
    from dpsync.cli.opening import installation
    from dpsync.service import Service, ServiceKind

    with installation(talk, compare=False, told=_waiting) as there:

        def ready(url: str) -> None:
            line = {
                "event": "ready",
                **({"url": url} if url else {}),
                "origin": there.origin,
                "open": _open_count(there),
            }
            talk.warn(json.dumps(line))

        ended_by = Service(there, ServiceKind(kind)).serve(ready=ready)
    return Exit.INTERRUPTED if ended_by is signal.SIGINT else Exit.DONE


def run_once(ctx: typer.Context) -> int:
    """Do all work that is due, then stop.

    Exit code 3: something did not get through, or a timed job failed. 75: `dpsync serve` is running.
    """
    from dpsync.cli.opening import installation, place_of_store
    from dpsync.reports.status import not_through
    from dpsync.reports.words import several
    from dpsync.running import timekeeping
    from dpsync.running.start import start
    from dpsync.service import Service

    talk: Talk = ctx.obj
    with installation(talk, compare=False) as there:
        if clock := timekeeping.trouble(there):  # before anything is written under it
            talk.warn(f"DP-331: {clock.subject}. {clock.body}")
        start(there)
        with talk.progress("telling processors") as progress:
            failed = Service(there).run_once(None if progress is None else lambda under_way: progress(under_way, 0))
        for name in failed:
            talk.warn(f"the timed job {name} failed; the log says why. dpsync tries it again after five minutes")
        left, number = there.read(not_through)
        for line in left:
            talk.warn(f"did not get through: {line.short} at {line.processor}: {line.state} {line.reason}".rstrip())
        if number > len(left):
            talk.warn(f"and {number - len(left):,} more: `dpsync status`")
        people = _waiting_count(there)
        left_open = several(_open_count(there), "request")
        talk.ending(
            stored=f"every answer and its evidence, in {place_of_store(there)}; {left_open} open",
            by_itself="nothing until the next `dpsync run-once` or `dpsync serve`.",
            waits=f"{several(people, 'request')} for a person: `dpsync status`" if people else "",
        )
    return Exit.PARTLY if left or failed else Exit.DONE


def pause(ctx: typer.Context, processor: Processor = "") -> int:
    """Send nothing more to a processor, or to any, until `dpsync resume`. Requests are still accepted."""
    from dpsync.cli.opening import installation, place_of_store
    from dpsync.propagation.resuming import pause as pause_accounts

    talk: Talk = ctx.obj
    with installation(talk, secrets=False) as there:
        concerned = _switch(there, processor, pause_accounts)
        talk.did = f"nothing more is sent to {', '.join(concerned)}"
        _show_switched(talk, concerned, "stopped")
        talk.ending(
            stored=f"the stop, in {place_of_store(there)}",
            by_itself="requests are still accepted, and their legal dates run. Calls that have begun are finished.",
            waits=f"everything else, for `dpsync resume {processor}".rstrip() + "`",
        )
    return Exit.DONE


def resume(ctx: typer.Context, processor: Processor = "") -> int:
    """Send to a processor again, or to all: after a pause, a rejected credential, or a wait that it asked for.

    Without PROCESSOR, also to a main database that takes no more messages, or that asked for a wait.
    """
    from dpsync.cli.opening import installation, place_of_store, what_goes_on
    from dpsync.propagation.resuming import resume as resume_accounts
    from dpsync.running.callback_targets import resume as resume_callbacks

    talk: Talk = ctx.obj
    with installation(talk, secrets=False) as there:
        concerned = _switch(there, processor, resume_accounts)
        if not processor:
            there.write(lambda unit: resume_callbacks(unit.connection, there.clock.now()))
        talk.did = f"dpsync sends to {', '.join(concerned)} again"
        _show_switched(talk, concerned, "going on")
        talk.ending(
            stored=f"that dpsync sends to them again, in {place_of_store(there)}",
            by_itself=what_goes_on(there, there.clock.now()),
            waits="what is held: see `dpsync status`. If a credential is still wrong, its account stops again.",
        )
    return Exit.DONE


def _switch(
    there: "Installation", processor: str, change: "Callable[[Connection, Collection[str]], None]"
) -> "dict[str, str]":
    """Change the accounts of one processor or of all. Gives the account of every processor that this concerns."""
    from dpsync.cli.opening import demand_processors, known_accounts

    names = [processor] if processor else []
    demand_processors(there, names)
    chosen = set(known_accounts(there, names).values())
    there.write(lambda unit: change(unit.connection, chosen))
    sections = there.settings.processors
    return {name: section.account for name, section in sections.items() if section.account in chosen}


def _show_switched(talk: Talk, concerned: "dict[str, str]", word: str) -> None:
    talk.table(("PROCESSOR", "ACCOUNT", "NOW"), [(name, account, word) for name, account in concerned.items()])


def _open_count(there: "Installation") -> int:
    from sqlalchemy import func, select

    from dpsync.store import tables as t

    open_requests = select(func.count()).select_from(t.request).where(t.request.c.closed_at.is_(None))
    return int(there.read(lambda connection: connection.execute(open_requests).scalar_one()))


def _waiting_count(there: "Installation") -> int:
    from dpsync.reports.summary import summary

    now = there.clock.now()
    return there.read(lambda connection: summary(connection, now)).people
