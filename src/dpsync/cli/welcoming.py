"""`dpsync welcome`: a person came back by their own wish."""

from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dpsync.cli.console import Talk
from dpsync.errors import Exit, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dpsync.installation import Installation


def welcome(
    ctx: typer.Context,
    *,
    email: Annotated[str, typer.Option(help="The address with which the person came back.")],
    on: Annotated[
        str, typer.Option(metavar="DATE", help="When they consented anew: a day, or a moment: 2026-11-20T09:30+00:00.")
    ],
    consent: Annotated[
        str,
        typer.Option(help="How, and to what. Keep it yourself, too: dpsync keeps a mark, by which it can be checked."),
    ],
    document: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="What shows it, such as the form. dpsync keeps its SHA-256."),
    ] = None,
    request: Annotated[
        str, typer.Option(metavar="REQUEST", help="One of their requests, if several people share the address.")
    ] = "",
    by: Annotated[str, typer.Option(help="Who says so. Your account on this machine is recorded too.")],
) -> int:
    """Say that a person who opted out, or was erased, came back by their own wish.

    dpsync subscribes nobody. It no longer asks about them, and `dpsync screen` lets them through. What they ask for
    later, or on that day, counts. A restriction is not over by it.
    """
    from dpsync.cli.case_options import moment_at
    from dpsync.cli.console import os_user
    from dpsync.cli.opening import installation
    from dpsync.intake.welcome import NewConsent
    from dpsync.intake.welcome import welcome as write_down
    from dpsync.propagation.decisions import Person, find_request

    address, digest, person = _address(email), _digest(consent, document), Person(by, os_user(), consent)
    with installation(talk := ctx.obj) as there:
        said = NewConsent(moment_at(on, there, "--on"), consent, digest)
        found = there.read(lambda connection: find_request(connection, request)) if request else ""
        now = there.clock.now()
        ended = there.write(lambda unit: write_down(unit, there.controller, address, said, person, found, now))
        _end(talk, there, ended)
    return Exit.DONE


def _end(talk: Talk, there: "Installation", ended: "Sequence[str]") -> None:
    from dpsync.cli.opening import place_of_store

    talk.did = f"the person is welcome again: {', '.join(ended)} no longer counts"
    stored = f"since when, and the ledger entry, in {place_of_store(there)}"
    talk.ending(stored=stored, by_itself="nothing: dpsync subscribes nobody")


def _address(email: str) -> str:
    from dpsync.address import NotAnAddress, mailbox

    try:
        return mailbox(email)
    except NotAnAddress as problem:
        raise UsageError(f"--email {problem}: give the address alone") from None


def _digest(consent: str, document: Path | None) -> str:
    if not consent.strip():
        raise UsageError("say with --consent how the person consented, and to what")
    return sha256(document.read_bytes()).hexdigest() if document else ""
