"""`dpsync source`: which mappings of main databases there are, and what a message would become."""

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dpsync.cli.console import Talk
from dpsync.cli.options import AsJson
from dpsync.cli.reconciling import findings, leave, reconcile
from dpsync.errors import ConfigurationError, Exit, NotFound, UsageError
from dpsync.model import Right

if TYPE_CHECKING:
    from datetime import datetime

    from dpsync.intake.held_merges import Merging
    from dpsync.intake.sources.rules import Understood
    from dpsync.settings.sources import SourceSection

Record = Annotated[str, typer.Argument(help="The id of a record, as the main database has it.")]

group = typer.Typer(no_args_is_help=True, help="Main databases that send messages of their own shape.")

group.command("reconcile")(reconcile)
group.command("findings")(findings)
group.command("leave")(leave)

DEFAULT_TABLE = "dpsync_outbox"


class SqlEngine(StrEnum):
    """The databases that an outbox can be in. MariaDB speaks as MySQL does."""

    POSTGRESQL = "postgresql"
    MYSQL = "mysql"
    SQLITE = "sqlite"


Named = Annotated[
    str, typer.Argument(metavar="NAME", help="A section [sources.NAME], a ready-made mapping, or a mapping file.")
]


@group.command("list")
def list_(ctx: typer.Context, *, as_json: AsJson = False) -> int:
    """List the ready-made mappings, and the sources in your settings."""
    from dpsync.cli.opening import load_settings
    from dpsync.intake.sources import reading

    talk: Talk = ctx.obj
    try:
        sources = load_settings(talk.config, secrets=False).sources
    except ConfigurationError:
        sources = {}  # the mappings are of use before the settings are complete
    if as_json:
        said = [
            {
                "name": name,
                "mapping": one.mapping,
                "scheme": one.scheme,
                "outbox": one.outbox.table if one.outbox else None,
            }
            for name, one in sources.items()
        ]
        talk.json({"ready": reading.ready(), "sources": said})
        return Exit.DONE
    talk.table(("READY-MADE", "FOR"), [(name, reading.about(name)) for name in reading.ready()])
    if sources:
        talk.table(
            ("SOURCE", "MAPPING", "SIGNS BY", "POSTS TO"),
            [
                (name, one.mapping, one.scheme or "nothing: it is polled", f"/requests/{name}" if one.scheme else "")
                for name, one in sources.items()
            ],
        )
    talk.say("`dpsync source sample NAME` shows a message, `dpsync source test NAME FILE` what it would become.")
    return Exit.DONE


@group.command("sample")
def sample(ctx: typer.Context, name: Named) -> int:
    """Print an example message of a ready-made mapping, about an invented person."""
    from dpsync.intake.sources import reading

    talk: Talk = ctx.obj
    mapping, _ = _section_of(talk, name)
    if mapping not in reading.ready():
        raise UsageError(f"{name} is no ready-made mapping: {', '.join(reading.ready())}")
    talk.data(reading.sample_of(mapping))
    return Exit.DONE


@group.command("outbox")
def outbox(
    ctx: typer.Context,
    name: Named,
    engine: Annotated[
        SqlEngine | None, typer.Option("--engine", help="The main database, where no settings name it yet.")
    ] = None,
) -> int:
    """Print the SQL for an outbox in the main database: the table, its triggers, and a grant for dpsync alone."""
    from dpsync.intake.sources import reading

    talk: Talk = ctx.obj
    mapping, section = _section_of(talk, name)
    found = section.outbox if section else None
    chosen = engine or (SqlEngine(found.url.partition(":")[0].partition("+")[0]) if found and found.url else None)
    of_mapping = reading.sql_of(mapping)
    if not of_mapping:
        with_sql = ", ".join(one for one in reading.ready() if reading.sql_of(one))
        raise UsageError(f"{mapping} has no ready-made outbox. These have: {with_sql}")
    if chosen is None and len(of_mapping) == 1:
        chosen = SqlEngine(next(iter(of_mapping)))
    if chosen is None or chosen.value not in of_mapping:
        raise UsageError(f"name the main database: --engine {' or '.join(of_mapping)}")
    table = found.table if found else DEFAULT_TABLE
    talk.data(of_mapping[chosen.value].replace(DEFAULT_TABLE, table).strip())
    return Exit.DONE


@group.command("test")
def try_out(
    ctx: typer.Context,
    name: Named,
    message: Annotated[Path, typer.Argument(metavar="FILE", help="The body of a message, as the source sends it.")],
    *,
    as_json: AsJson = False,
) -> int:
    """Show what a message would become. It changes nothing, sends nothing, and needs no signature.

    The answer shows the data of the person in the message. Exit code 64: dpsync would refuse the message, and says why.
    """
    from hashlib import sha256

    from dpsync.installation import SystemClock
    from dpsync.intake.sources import forms, reading
    from dpsync.intake.sources.door import LONGEST_DELIVERY
    from dpsync.intake.sources.rules import SourceDelivery
    from dpsync.intake.sources.schemes import is_weak
    from dpsync.intake.sources.source import merging_of, request_of

    talk: Talk = ctx.obj
    named, section = _section_of(talk, name)
    mapping = reading.load(named, talk.config.parent)
    try:
        body = message.read_bytes()
    except OSError as error:
        raise UsageError(f"{message} cannot be read: {error.strerror}") from None
    if len(body) > LONGEST_DELIVERY:
        raise UsageError(f"{message} is larger than the {LONGEST_DELIVERY // 1024} KiB that dpsync takes")
    delivery = SourceDelivery(name, forms.read(mapping.form, body), "test")
    found = mapping.understand(delivery, lambda parts: sha256(parts).hexdigest())
    for wish in found.wishes:
        request_of(wish, name, SystemClock().now())
    for told in found.merges:
        merging_of(told, name, SystemClock().now())
    _show(talk, found, weak=section is not None and is_weak(section.scheme or ""), as_json=as_json)
    if mapping.event_header:
        talk.say(f"Each message must have the header {mapping.event_header}, which tells it from any other.")
    return Exit.DONE


@group.command("merges")
def merges(ctx: typer.Context, *, as_json: AsJson = False) -> int:
    """List the merges that wait for a person: one of the two records is to be erased, or was, or the news contradict.

    The answer shows the ids of the records, which are personal data.
    """
    from dpsync.cli.opening import installation
    from dpsync.intake import held_merges
    from dpsync.reports.words import moment

    talk: Talk = ctx.obj
    with installation(talk, secrets=False, compare=False) as there:
        found = there.read(lambda connection: held_merges.waiting(connection, there.keys))
        if as_json:
            said = [
                {"source": one.source, "losers": list(one.losers), "winner": one.winner, "why": one.why, "at": one.at}
                for one in found
            ]
            talk.json({"merges": said})
        elif found:
            talk.table(
                ("SOURCE", "LOSER", "WINNER", "TOLD", "WHY"),
                [(one.source, ", ".join(one.losers), one.winner, moment(one.at, there.zone), one.why) for one in found],
            )
        else:
            talk.data("no merge waits for a person")
    return Exit.DONE


@group.command("merge")
def merge(
    ctx: typer.Context,
    source: Annotated[str, typer.Argument(metavar="NAME", help="A section [sources.NAME].")],
    loser: Record,
    winner: Record,
    *,
    apart: Annotated[bool, typer.Option("--apart", help="They are two people: join nothing, and ask no more.")] = False,
    by: Annotated[str, typer.Option(help="Who says so. Your account on this machine is recorded too.")],
    reason: Annotated[str, typer.Option(help="Why. dpsync keeps only a mark of it, by which it can be checked.")],
) -> int:
    """Say that record LOSER went into record WINNER: they are one person from now on, and nobody takes that apart.

    It takes back an erasure that waits only because LOSER is gone, and tells an opt-out of either again.
    """
    from dpsync.cli.console import os_user
    from dpsync.cli.opening import installation, place_of_store
    from dpsync.intake.merging import keep_apart, merge_by_hand
    from dpsync.propagation.decisions import Person

    talk: Talk = ctx.obj
    with installation(talk) as there:
        if source not in there.settings.sources:
            raise NotFound(f"there is no source {source}")
        person, now, decide = Person(by, os_user(), reason), there.clock.now(), keep_apart if apart else merge_by_hand
        person.demand(reason=True)
        one = _told(source, loser, winner, now)
        if not there.write(lambda unit: decide(unit, there.controller, one, person, now)):
            talk.say("No such merge waits." if apart else "They were one person already.")
            return Exit.DONE
        talk.did = "the two records stay apart" if apart else "the two records are one person"
        talk.ending(
            stored=f"what you decided, and the ledger entry, in {place_of_store(there)}",
            by_itself="nothing" if apart else "an opt-out of either goes to all processors again",
        )
    return Exit.DONE


def _told(source: str, loser: str, winner: str, now: "datetime") -> "Merging":
    """What a person says, in the form in which a message would say it."""
    import secrets

    from dpsync.intake.sources.rules import MergeTold
    from dpsync.intake.sources.source import merging_of

    gone, stays = (f"{source}:{one.strip().removeprefix(f'{source}:')}" for one in (loser, winner))
    if gone == stays:
        raise UsageError("the two records are one and the same")
    told = MergeTold("by-hand", f"by-hand-{secrets.token_hex(16)}", ({"id": gone},), {"id": stays})
    return merging_of(told, source, now)


def _show(talk: Talk, found: "Understood", *, weak: bool, as_json: bool) -> None:
    cools = {one.rule: weak and one.data["right"] == Right.ERASURE.value for one in found.wishes}
    if as_json:
        wishes = [
            {
                "rule": one.rule,
                "held": one.delete_shaped or one.for_a_person,
                "cools": cools[one.rule],
                "data": one.data,
            }
            for one in found.wishes
        ]
        merges = [{"rule": one.rule, "losers": list(one.losers), "winner": one.winner} for one in found.merges]
        talk.json({"wishes": wishes, "merges": merges, "ignored": list(found.ignored)})
        return
    for one in found.wishes:
        talk.data(f"rule {one.rule}: {json.dumps(one.data, indent=2, ensure_ascii=False)}")
        if one.delete_shaped:
            talk.data("It would be held: that a record is gone may also be a merge.")
        if one.for_a_person:
            talk.data("It would be held: it does not say what is to be done, so a person is asked.")
        if cools[one.rule]:
            talk.data("It would cool off: a secret in a header proves little.")
    for told in found.merges:
        ids = ", ".join(str(one["id"]) for one in told.losers)
        talk.data(
            f"rule {told.rule}: {ids} and {told.winner['id']} became one record, which is {told.winner['id']} now"
        )
    for rule in found.ignored:
        talk.data(f"rule {rule}: means nothing, and is answered with 200")


def _section_of(talk: Talk, name: str) -> tuple[str, "SourceSection | None"]:
    """That section of the settings and its mapping; the mapping that was named itself, where there is no section."""
    from dpsync.cli.opening import load_settings
    from dpsync.intake.sources import reading

    try:
        section = load_settings(talk.config, secrets=False).sources.get(name)
    except ConfigurationError:
        # A mapping can be tried before the settings are complete; a section that nobody can read cannot.
        if name not in reading.ready() and not (talk.config.parent / name).is_file():
            raise
        section = None
    return (section.mapping if section else name), section
