"""What keeps it running: serve, run-once, pause, resume."""

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
    from collections.abc import Callable, Collection, Sequence

    from sqlalchemy import Connection

    from dpsync.installation import Installation
    from dpsync.reports.standing import PropagationLine

STORE_PATIENCE = 120.0
STORE_PAUSE = 2.0
Processor = Annotated[str, typer.Argument(help="One processor. Default: all of them.", metavar="PROCESSOR")]


def serve(ctx: typer.Context) -> int:
    """Run the receiver, the worker and the timed jobs until SIGTERM or SIGINT. Logs go to stderr, as JSON lines.

    If the database cannot be reached, or another process holds it, serve waits for two minutes. Then it stops with
    exit code 75.
    """
    from dpsync.errors import StoreAway, StoreHeld

    talk: Talk = ctx.obj
    telemetry.configure("info" if talk.verbose else "warning", sys.stderr)
    telemetry.guard_threads()
    until = time.monotonic() + STORE_PATIENCE
    while True:
        try:
            return _served(talk)
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


def _served(talk: Talk) -> int:
    from dpsync.cli.opening import installation
    from dpsync.service import Service

    with installation(talk, compare=False, told=_waiting) as there:

        def ready(url: str) -> None:
            line = {"event": "ready", "url": url, "origin": there.origin, "open": _open_count(there)}
            talk.warn(json.dumps(line))

        ended_by = Service(there).serve(ready=ready)
    return Exit.INTERRUPTED if ended_by is signal.SIGINT else Exit.DONE


def run_once(ctx: typer.Context) -> int:
    """Do all work that is due, then stop. Exit code 3: something did not get through. 75: `dpsync serve` is running."""
    from dpsync.cli.opening import installation, place_of_store
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
            Service(there).run_once(None if progress is None else lambda under_way: progress(under_way, 0))
        left = _left(there)
        for line in left:
            talk.warn(
                f"did not get through: {line.short} at {line.processor}: {line.state.value} {line.reason}".rstrip()
            )
        people = _waiting_count(there)
        left_open = several(_open_count(there), "request")
        talk.ending(
            stored=f"every answer and its evidence, in {place_of_store(there)}; {left_open} open",
            by_itself="nothing until the next `dpsync run-once` or `dpsync serve`.",
            waits=f"{several(people, 'request')} for a person: `dpsync status`" if people else "",
        )
    return Exit.PARTLY if left else Exit.DONE


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
    """Send to a processor again, or to all: after a pause, a rejected credential, or a wait that it asked for."""
    from dpsync.cli.opening import installation, place_of_store, what_goes_on
    from dpsync.propagation.resuming import resume as resume_accounts

    talk: Talk = ctx.obj
    with installation(talk, secrets=False) as there:
        concerned = _switch(there, processor, resume_accounts)
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
    from dpsync.cli.standing import EVERYTHING
    from dpsync.reports.status import status_rows

    now = there.clock.now()
    rows = there.read(lambda connection: status_rows(connection, now=now, limit=EVERYTHING))
    return sum(1 for row in rows if row.needs_a_person)


def _left(there: "Installation") -> "Sequence[PropagationLine]":
    """What a run could not bring through: to be tried again, stopped, refused or contradicted. Nobody calls it done."""
    from sqlalchemy import select

    from dpsync.model import State
    from dpsync.reports.make import known_processors
    from dpsync.reports.standing import read_standing
    from dpsync.store import tables as t

    behind = {State.PENDING, State.REFUSED, State.CONTRADICTED, State.ESCALATED, State.NOT_IDENTIFIABLE}
    p, known, now = t.propagation.c, known_processors(there.settings), there.clock.now()
    concerned = t.request.c.id.in_(select(p.request_id).where(p.state.in_([state.value for state in behind])))
    found = there.read(lambda connection: read_standing(connection, concerned, now, known))
    return [line for one in found for line in one.lines if line.state in behind]
