"""Back-ups and the way back: backup, restore, recover, drill."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dpsync.cli.console import Talk
from dpsync.errors import Exit, Locked

if TYPE_CHECKING:
    from datetime import datetime

    from dpsync.installation import Installation
    from dpsync.propagation.decisions import Person
    from dpsync.running.recovery import Recovered

Place = Annotated[Path, typer.Argument(metavar="DIR", help="A back-up, or a folder of them: then the newest.")]


def backup(
    ctx: typer.Context,
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The folder for back-ups. It must be there.")],
) -> int:
    """Copy the database as it is now into a new folder in DIR, while the service runs. Keys are never in it.

    A PostgreSQL database is copied by pg_dump, which must be installed. Copy the keys, anchors/ and receipts/ apart.
    """
    from dpsync.backup import take
    from dpsync.cli.opening import installation
    from dpsync.reports.words import several

    talk: Talk = ctx.obj
    with installation(talk, secrets=False) as there:
        made = take(there, directory)
    talk.did = f"a back-up in {made.folder}"
    talk.data(str(made.folder))
    talk.ending(
        stored=f"the database with {several(made.entries, 'entry', 'entries')} of the ledger, in {made.folder}",
        by_itself="nothing: dpsync deletes no back-up.",
        waits=f"for a rehearsal of the way back, now and then: dpsync drill {directory}",
    )
    return Exit.DONE


def restore(ctx: typer.Context, directory: Place) -> int:
    """Put the database of a back-up back, and keep the former one. Nothing works on it before `dpsync recover`.

    Stop the service first. Keys, anchors/ and receipts/ must be there. A PostgreSQL database must be empty.
    """
    from dpsync.backup import find
    from dpsync.backup import restore as restored
    from dpsync.cli.opening import load_settings, place_of_store, store_errors_named
    from dpsync.installation import Installation
    from dpsync.reports.words import moment

    talk: Talk = ctx.obj
    settings = load_settings(talk.config, secrets=False)
    there = Installation(talk.config, os.environ, settings=settings, told=talk.warn)
    with store_errors_named(settings.store.url), there:
        found = find(directory)
        former = restored(there, found)
        talk.did = f"the database of {found.folder} is back"
        taken = moment(found.taken_at, there.zone)
        kept = f" The former one is {former}" if former else ""
        talk.ending(
            stored=f"the database as it was on {taken}, in {place_of_store(there)}.{kept}",
            by_itself="nothing: no command writes and no service starts before it is recovered.",
            waits="for a person: dpsync recover --by NAME --reason WHY",
        )
    return Exit.DONE


def recover(
    ctx: typer.Context,
    *,
    by: Annotated[str, typer.Option(help="Who decides to go on without what is missing. It goes on the record.")],
    reason: Annotated[str, typer.Option(help="What was lost and why, for the record.")],
    without_key: Annotated[
        str,
        typer.Option(metavar="YYYY-MM", help="Instead: go on without the key of this month, which is lost for good."),
    ] = "",
) -> int:
    """Go on with a database that was put back. Pauses all processors and says what is missing. Exit code 2.

    Files that know more are set aside, and each gap becomes an entry. Whatever is open is held, and waits for a person:
    since the back-up it may have been done, or withdrawn. With --without-key: names every request that the key of a
    month opened, and holds what is open of it. dpsync refuses as long as anything stands in the key's place.
    """
    from dpsync.cli.console import os_user
    from dpsync.cli.opening import installation, worker_alive
    from dpsync.propagation.decisions import Person
    from dpsync.running.recovery import recover as recovered

    talk: Talk = ctx.obj
    with installation(talk, compare=bool(without_key)) as there:
        now = there.clock.now()
        if worker_alive(there, now):
            raise Locked("a dpsync worker is at work on this database: stop it, wait two minutes, then try again")
        if without_key:
            return _without(talk, there, without_key, Person(by, os_user(), reason), now)
        found = recovered(there, Person(by, os_user(), reason), now)
        talk.did = "the database is recovered, and everything is paused"
        _show(talk, found)
        _end(talk, there, found)
    return Exit.LOOK


def _without(talk: Talk, there: "Installation", month: str, person: "Person", now: "datetime") -> int:
    from dpsync.reports.words import several
    from dpsync.running.lost_months import go_on_without

    found = go_on_without(there, month, person, now)
    talk.did = f"dpsync goes on without the key of {month}"
    for one in found:
        where = f"not closed at {', '.join(one.open)}" if one.open else "closed everywhere"
        talk.data(f"shut     {one.request_id}, {one.right}, event {one.event_id} of {one.source}: {where}")
    talk.ending(
        stored=f"that the key of {month} is lost, in the ledger. It opened {several(len(found), 'request')}",
        by_itself="nothing: what was to be told of them is held. Receipts that are written still prove what was done.",
        waits="for you. Next steps:",
    )
    steps = [
        "tell the data protection officer, with this list. Personal data that cannot be read are lost: is it a breach?",
        "have the main database send each that is not closed again, under a new id",
        "dpsync withdraw each of the old ones, and dpsync settle what may have been done",
        "start the service. If a copy of the key is found, put it back: everything opens again",
    ]
    for number, step in enumerate(steps, 1):
        talk.say(f"  {number} {step}")
    return Exit.LOOK


def drill(ctx: typer.Context, directory: Place) -> int:
    """Try the way back with a back-up, in a scratch place, and note when. Exit code 2: it does not work."""
    from dpsync.backup import find, try_out
    from dpsync.cli.opening import installation
    from dpsync.reports.words import moment, several

    talk: Talk = ctx.obj
    with installation(talk, secrets=False, compare=False) as there:
        found = find(directory)
        tried = try_out(there, found)
        _remember(talk, there, len(tried.problems))
        talk.data(
            f"{found.folder}: {'NOT GOOD' if tried.problems else 'good'}, as of {moment(found.taken_at, there.zone)}"
        )
        for problem in tried.problems:
            talk.warn(f"  {problem}")
        if tried.lost:
            lost = several(tried.lost, "accepted request")
            talk.say(f"  {lost} came after it: after a restore, the main database sends them again")
        if tried.untried:
            talk.say(f"  not tried: {tried.untried}")
    return Exit.LOOK if tried.problems else Exit.DONE


def _remember(talk: Talk, there: "Installation", problems: int) -> None:
    from dpsync.errors import DpsyncError
    from dpsync.running.drills import remember

    try:
        remember(there, problems, there.clock.now())
    except DpsyncError as refused:
        talk.warn(f"  that it was tried is not noted: {refused.message}")


def _show(talk: Talk, found: "Recovered") -> None:
    from dpsync.reports.words import several

    for one in found.missing.lost:
        talk.data(f"missing  {one.named}")
    if not found.missing.listed:
        talk.data("missing  nobody knows which requests: the journal that lists them is gone or damaged")
    for request_id, processor in found.held:
        talk.data(f"held     {request_id} at {processor}")
    for title in found.unread:
        talk.data(f"ask      {title}: nobody can read back what it holds")
    if found.forgotten:
        them = several(found.forgotten, "request")
        talk.data(f"gone     {them} of months whose key is destroyed: forgotten again")
    for name in found.aside:
        talk.data(f"aside    {name}")


def _end(talk: Talk, there: "Installation", found: "Recovered") -> None:
    from dpsync.cli.opening import place_of_store

    talk.ending(
        stored=f"the gap ({found.missing.said}), in {place_of_store(there)} and in the ledger",
        by_itself="nothing: every processor is paused, and all that was open is held.",
        waits="for you. Next steps:",
    )
    steps = [
        "tell the data protection officer what is missing, with this list",
        "have the main database send all events since the back-up again, under their old ids",
        "dpsync status, and release or withdraw each that is held" if found.held else "dpsync status",
        "dpsync check --offline, dpsync serve, then dpsync resume",
    ]
    for number, step in enumerate(steps, 1):
        talk.say(f"  {number} {step}")
