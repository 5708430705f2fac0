"""Private conversations that a processor keeps: show, check, attest, except, state-open."""

from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dpsync.cli.console import Talk
from dpsync.errors import Exit, NotFound, UsageError

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from dpsync.retention.conversations import By as Person
    from dpsync.retention.export_check import Checked
    from dpsync.retention.standing import ConversationLine, RetentionLine
    from dpsync.service import Service

    Work = Callable[[Service, str], int]

group = typer.Typer(
    no_args_is_help=True, help="Private conversations that a processor keeps, and that must be gone after a while."
)

Processor = Annotated[
    str, typer.Option(metavar="NAME", help="At which processor. Without it: the only one that keeps them.")
]
By = Annotated[str, typer.Option(help="Who says so. The account of the operating system is recorded too.")]
How = Annotated[str, typer.Option(help="How it was said or seen, for the record; kept sealed.")]
AsJson = Annotated[bool, typer.Option("--json", help="For a program.")]


@group.command("show")
def show(
    ctx: typer.Context,
    *,
    processor: Processor = "",
    every: Annotated[bool, typer.Option("--all", help="Those too that are attested or verified.")] = False,
    as_json: AsJson = False,
) -> int:
    """Show what is due, attested, verified and overdue. Reads only. Exit 2: something is overdue, or not checked."""
    from dpsync.cli.opening import installation
    from dpsync.reporting import conversations_of
    from dpsync.reports.render import json_value
    from dpsync.retention.standing import GONE, conversation_lines

    talk: Talk = ctx.obj
    with installation(talk, secrets=False, compare=False) as service:
        now = service.clock.now()
        chosen = [one for one in conversations_of(service, now) if processor in {"", one.rule.processor}]
        if processor and not chosen:
            raise NotFound(f"{processor} has no rule for private conversations (`retention` in its section)")
        names = {one.rule.processor for one in chosen}
        found = service.read(lambda connection: conversation_lines(connection, now))
        rows = [one for one in found if one.processor in names and (every or one.state not in GONE)]
        if as_json:
            talk.json({"processors": json_value(chosen), "conversations": json_value(rows)})
        else:
            _show(talk, chosen, rows, service.zone)
    return Exit.LOOK if any(needs_a_look(one) for one in chosen) else Exit.DONE


@group.command("check")
def check(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE.csv", help="The processor's export of closed conversations.")],
    *,
    first: Annotated[str, typer.Option("--from", metavar="DAY", help="The first day that the export was made for.")],
    last: Annotated[str, typer.Option("--to", metavar="DAY", help="The last one. The file does not say it itself.")],
    by: By,
    processor: Processor = "",
    as_json: AsJson = False,
) -> int:
    """Check a month's export: what it does not show any more is verified. The file is not kept. Exit 2: some left."""
    from dpsync.cli.opening import installation
    from dpsync.connector import KeepsConversations
    from dpsync.retention import export_check
    from dpsync.retention.export_check import Range

    talk: Talk = ctx.obj
    days = Range(_day(first, "--from"), _day(last, "--to"))
    with installation(talk) as service:
        name, now, person = _only(service, processor), service.clock.now(), _person(by, "the monthly check")
        of = service.controller.processors[name]
        if not isinstance(of.connector, KeepsConversations) or of.retention is None:
            raise NotFound(f"{name} has no rule for private conversations (`retention` in its section)")
        found = export_check.read(file, of.connector, of.retention, service.zone, now)
        done = service.write(lambda unit: export_check.check(unit, service.controller, name, found, days, person, now))
        talk.did = f"the export with SHA-256 {found.sha256} is checked at {name} and recorded"
        _show_checked(talk, service, name, found.sha256, done, as_json=as_json)
    return Exit.LOOK if done.contradicted else Exit.DONE


@group.command("attest")
def attest(
    ctx: typer.Context,
    references: Annotated[
        list[str] | None,
        typer.Argument(metavar="DPS-REFERENCE", help="These conversations. Without one: all that are on a work list."),
    ] = None,
    *,
    by: By,
    how: How,
    processor: Processor = "",
    as_json: AsJson = False,
) -> int:
    """Record that somebody said: they are deleted. What shows itself again later is contradicted."""
    from dpsync.retention.acts import attest_by_hand

    return _said(
        ctx.obj,
        processor,
        lambda service, name: service.write(
            lambda unit: attest_by_hand(
                unit, service.controller, name, references or [], _person(by, how), service.clock.now()
            )
        ),
        "attested",
        as_json=as_json,
    )


@group.command("except")
def make_exception(
    ctx: typer.Context,
    reference: Annotated[str, typer.Argument(metavar="DPS-REFERENCE", help="One conversation, as `show` calls it.")],
    *,
    until: Annotated[str, typer.Option(metavar="DAY", help="Its new last day; at most as long again as the rule.")],
    by: By,
    reason: Annotated[str, typer.Option(help="Why it must be kept longer; kept sealed.")],
    as_json: AsJson = False,
) -> int:
    """Let one conversation stay until another day, for a reason. It comes back when that day is near."""
    from dpsync.cli.opening import installation, place_of_store
    from dpsync.retention import acts

    talk: Talk = ctx.obj
    new = _day(until, "--until")
    with installation(talk) as service:
        now, person = service.clock.now(), _person(by, reason)
        name = service.write(lambda unit: acts.make_exception(unit, service.controller, reference, new, person, now))
        talk.did = f"{reference} at {name} is excepted until {new}"
        if as_json:
            talk.json({"processor": name, "reference": reference, "until_on": new.isoformat()})
        else:
            talk.data(f"{reference}  excepted until {new}")
        talk.ending(
            stored=f"the exception (by whom and why: sealed) and its ledger entry, in {place_of_store(service)}",
            by_itself=f"it is on a work list again in the week before {new}.",
        )
    return Exit.DONE


@group.command("state-open")
def state_open(ctx: typer.Context, *, by: By, how: How, processor: Processor = "", as_json: AsJson = False) -> int:
    """Record that somebody looked, and no open conversation is older than the rule: no export shows those."""
    from dpsync.retention.acts import state_none_open

    def work(service: "Service", name: str) -> int:
        now, person = service.clock.now(), _person(by, how)
        service.write(lambda unit: state_none_open(unit, service.controller, name, person, now))
        return 1

    return _said(ctx.obj, processor, work, "stated", as_json=as_json)


# --- what they share


def needs_a_look(line: "RetentionLine") -> bool:
    """Whether a person must see something about a processor's conversations."""
    return bool(line.overdue or line.check_missing or line.none_open_missing)


def _said(talk: Talk, processor: str, work: "Work", word: str, *, as_json: bool) -> int:
    from dpsync.cli.opening import installation, place_of_store

    with installation(talk) as service:
        name = _only(service, processor)
        count = work(service, name)
        talk.did = f"{name}: {word} {count}" if count else ""
        if as_json:
            talk.json({"processor": name, word: count})
        else:
            talk.data(f"{name}  {word} {count}")
        talk.ending(
            stored=f"who said it and how (sealed), and its ledger entry, in {place_of_store(service)}"
            if count
            else "nothing new: it was said before",
            by_itself="what shows itself again is contradicted, and told to the data protection officer.",
            waits=_owed(service, name),
        )
    return Exit.DONE


def _only(service: "Service", processor: str) -> str:
    """The processor that was named, else the only one with a rule. Raises `UsageError`, `NotFound`."""
    known = [name for name, section in service.settings.processors.items() if section.retention is not None]
    if processor:
        if processor not in known:
            raise NotFound(f"{processor} has no rule for private conversations; those that have: {_listed(known)}")
        return processor
    if len(known) != 1:
        raise UsageError(f"name one by --processor: {_listed(known)}")
    return known[0]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"


def _person(by: str, reason: str) -> "Person":
    from dpsync.installation import os_user
    from dpsync.retention.conversations import By as Person

    return Person(by.strip(), os_user(), reason.strip())


def _day(text: str, option: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{option} is no day of the calendar; days are written 2026-11-20") from None


def _owed(service: "Service", name: str) -> str:
    from dpsync.reporting import conversations_of
    from dpsync.reports.conversations import retention_duties

    lines = [one for one in conversations_of(service, service.clock.now()) if one.rule.processor == name]
    return " ".join(f"{duty.sentence} ({duty.command})" for duty in retention_duties(lines))


def _show(talk: Talk, lines: "Sequence[RetentionLine]", rows: "Sequence[ConversationLine]", zone: "ZoneInfo") -> None:
    from dpsync.reports.conversations import STATES, retention_rows

    if rows:
        talk.table(
            ("REFERENCE", "PROCESSOR", "STATE", "LAST DAY", "NOTE"),
            [
                (
                    one.reference,
                    one.processor,
                    STATES[one.state],
                    f"{one.until_on or one.due_on}{' OVERDUE' if one.overdue else ''}",
                    "; ".join(
                        part
                        for part in (f"excepted from {one.due_on}" if one.until_on else "", "open" if one.open else "")
                        if part
                    ),
                )
                for one in rows
            ],
        )
    for line in lines:
        talk.say(f"{line.rule.title}")
        for label, told in retention_rows(line, zone):
            talk.say(f"  {label}: {told}")
    if not lines:
        talk.say("No processor has a rule for private conversations (`retention` in its section).")


def _show_checked(talk: Talk, service: "Service", name: str, sha256: str, done: "Checked", *, as_json: bool) -> None:
    from dpsync.cli.opening import place_of_store

    if as_json:
        counts = {"rows": done.rows, "older": done.older, "verified": done.verified}
        talk.json({"processor": name, "sha256": sha256, **counts, "contradicted": done.contradicted, "new": done.new})
    else:
        talk.table(
            ("PROCESSOR", "ROWS", "TOO OLD", "VERIFIED", "CONTRADICTED", "NEW"),
            [(name, str(done.rows), str(done.older), str(done.verified), str(done.contradicted), str(done.new))],
        )
    left = f"{done.contradicted} that should be gone are on the next work list. " if done.contradicted else ""
    talk.ending(
        stored=f"SHA-256 {sha256}, counts, range and who checked, with a ledger entry, in {place_of_store(service)}",
        by_itself="nothing more: the file is not kept; destroy it.",
        waits=(left + _owed(service, name)).strip(),
    )
