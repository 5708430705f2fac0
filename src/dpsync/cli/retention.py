"""Private conversations that a processor keeps: show, check, attest, except, state-open."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dpsync.cli.console import Talk
from dpsync.cli.options import AsJson
from dpsync.errors import Exit, NotFound, UsageError

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from dpsync.installation import Installation
    from dpsync.propagation.decisions import Person
    from dpsync.retention.export_check import Checked
    from dpsync.retention.standing import ConversationLine, RetentionLine

    Work = Callable[[Installation, str], int]

group = typer.Typer(
    no_args_is_help=True, help="Private conversations that a processor keeps and must delete after a while."
)

Processor = Annotated[str, typer.Option(metavar="NAME", help="The processor. Default: the only one that keeps them.")]
By = Annotated[str, typer.Option(help="Who says so. Your account on this machine is recorded too.")]
How = Annotated[str, typer.Option(help="How you know, for the record. dpsync keeps this sealed.")]


@group.command("show")
def show(
    ctx: typer.Context,
    *,
    processor: Processor = "",
    every: Annotated[bool, typer.Option("--all", help="Show attested and verified ones too.")] = False,
    as_json: AsJson = False,
) -> int:
    """Show what is due, attested, verified and overdue. Exit code 2: something is overdue or unchecked."""
    from dpsync.cli.opening import installation
    from dpsync.reports.make import conversations_of
    from dpsync.reports.render import json_value
    from dpsync.retention.standing import GONE, conversation_lines

    talk: Talk = ctx.obj
    with installation(talk, secrets=False, compare=False) as there:
        now = there.clock.now()
        chosen = [one for one in conversations_of(there, now) if processor in {"", one.rule.processor}]
        if processor and not chosen:
            raise NotFound(f"{processor} has no rule for private conversations (`retention` in its section)")
        names = {one.rule.processor for one in chosen}
        found = there.read(lambda connection: conversation_lines(connection, now))
        rows = [one for one in found if one.processor in names and (every or one.state not in GONE)]
        if as_json:
            talk.json({"processors": json_value(chosen), "conversations": json_value(rows)})
        else:
            _show(talk, chosen, rows, there.zone)
    return Exit.LOOK if any(needs_a_look(one) for one in chosen) else Exit.DONE


@group.command("check")
def check(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE.csv", help="The processor's export of closed conversations.")],
    *,
    first: Annotated[str, typer.Option("--from", metavar="DAY", help="The first day that the export covers.")],
    last: Annotated[
        str, typer.Option("--to", metavar="DAY", help="The last day that it covers. The file does not say it.")
    ],
    by: By,
    processor: Processor = "",
    as_json: AsJson = False,
) -> int:
    """Check an export: what it no longer shows is verified. It does not keep the file. Exit code 2: some are left."""
    from dpsync.cli.opening import day_of, installation
    from dpsync.connector import KeepsConversations
    from dpsync.retention import export_check
    from dpsync.retention.export_check import Range

    talk: Talk = ctx.obj
    days = Range(day_of(first, "--from"), day_of(last, "--to"))
    with installation(talk) as there:
        name, now, person = _only(there, processor), there.clock.now(), _person(by, "the monthly check")
        of = there.controller.processors[name]
        if not isinstance(of.connector, KeepsConversations) or of.retention is None:
            raise NotFound(f"{name} has no rule for private conversations (`retention` in its section)")
        found = export_check.read(file, of.connector, of.retention, there.zone, now)
        done = there.write(lambda unit: export_check.check(unit, there.controller, name, found, days, person, now))
        talk.did = f"the export with SHA-256 {found.sha256} is checked at {name} and recorded"
        _show_checked(talk, there, name, found.sha256, done, as_json=as_json)
    return Exit.LOOK if done.contradicted else Exit.DONE


@group.command("attest")
def attest(
    ctx: typer.Context,
    references: Annotated[
        list[str] | None,
        typer.Argument(metavar="DPS-REFERENCE", help="These conversations. Default: all that are on a work list."),
    ] = None,
    *,
    by: By,
    how: How,
    processor: Processor = "",
    as_json: AsJson = False,
) -> int:
    """Record that somebody says conversations are deleted. If one is seen again later, it counts as contradicted."""
    from dpsync.retention.acts import attest_by_hand

    return _said(
        ctx.obj,
        processor,
        lambda there, name: there.write(
            lambda unit: attest_by_hand(
                unit, there.controller, name, references or [], _person(by, how), there.clock.now()
            )
        ),
        "attested",
        as_json=as_json,
    )


@group.command("except")
def make_exception(
    ctx: typer.Context,
    reference: Annotated[
        str, typer.Argument(metavar="DPS-REFERENCE", help="One conversation, by its reference in `show`.")
    ],
    *,
    until: Annotated[
        str, typer.Option(metavar="DAY", help="Its new last day, at most as long again as the rule allows.")
    ],
    by: By,
    reason: Annotated[str, typer.Option(help="Why it must be kept longer. dpsync keeps this sealed.")],
    as_json: AsJson = False,
) -> int:
    """Let one conversation stay until a later day, for a reason. It is on the work list again in the week before."""
    from dpsync.cli.opening import day_of, installation, place_of_store
    from dpsync.retention import acts

    talk: Talk = ctx.obj
    new = day_of(until, "--until")
    with installation(talk) as there:
        now, person = there.clock.now(), _person(by, reason)
        name = there.write(lambda unit: acts.make_exception(unit, there.controller, reference, new, person, now))
        talk.did = f"{reference} at {name} is excepted until {new}"
        if as_json:
            talk.json({"processor": name, "reference": reference, "until_on": new.isoformat()})
        else:
            talk.data(f"{reference}  excepted until {new}")
        talk.ending(
            stored=f"the exception (who and why: sealed) and its ledger entry, in {place_of_store(there)}",
            by_itself=f"it is on the work list again in the week before {new}.",
        )
    return Exit.DONE


@group.command("state-open")
def state_open(ctx: typer.Context, *, by: By, how: How, processor: Processor = "", as_json: AsJson = False) -> int:
    """Record that somebody looked and found no open conversation older than the rule. No export shows open ones."""
    from dpsync.retention.acts import state_none_open

    def work(there: "Installation", name: str) -> int:
        now, person = there.clock.now(), _person(by, how)
        there.write(lambda unit: state_none_open(unit, there.controller, name, person, now))
        return 1

    return _said(ctx.obj, processor, work, "stated", as_json=as_json)


# --- what they share


def needs_a_look(line: "RetentionLine") -> bool:
    """Whether a person must see something about a processor's conversations."""
    return bool(line.overdue or line.check_missing or line.none_open_missing)


def _said(talk: Talk, processor: str, work: "Work", word: str, *, as_json: bool) -> int:
    from dpsync.cli.opening import installation, place_of_store

    with installation(talk) as there:
        name = _only(there, processor)
        count = work(there, name)
        talk.did = f"{name}: {word} {count}" if count else ""
        if as_json:
            talk.json({"processor": name, word: count})
        else:
            talk.data(f"{name}  {word} {count}")
        talk.ending(
            stored=f"who says it and how they know (sealed), and a ledger entry, in {place_of_store(there)}"
            if count
            else "nothing new: this was recorded before",
            by_itself="if one is seen again, dpsync calls it contradicted and tells the data protection officer.",
            waits=_owed(there, name),
        )
    return Exit.DONE


def _only(there: "Installation", processor: str) -> str:
    """The processor that was named, else the only one with a rule. Raises `UsageError`, `NotFound`."""
    known = [name for name, section in there.settings.processors.items() if section.retention is not None]
    if processor:
        if processor not in known:
            raise NotFound(f"{processor} has no rule for private conversations. These have one: {_listed(known)}")
        return processor
    if len(known) != 1:
        raise UsageError(f"choose one with --processor: {_listed(known)}")
    return known[0]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"


def _person(by: str, reason: str) -> "Person":
    from dpsync.cli.console import os_user
    from dpsync.propagation.decisions import Person

    return Person(by.strip(), os_user(), reason.strip())


def _owed(there: "Installation", name: str) -> str:
    from dpsync.reports.conversations import retention_duties
    from dpsync.reports.make import conversations_of

    lines = [one for one in conversations_of(there, there.clock.now()) if one.rule.processor == name]
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


def _show_checked(talk: Talk, there: "Installation", name: str, sha256: str, done: "Checked", *, as_json: bool) -> None:
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
        stored=f"SHA-256 {sha256}, counts, days, who checked, and a ledger entry, in {place_of_store(there)}",
        by_itself="nothing more. dpsync does not keep the file: destroy it.",
        waits=(left + _owed(there, name)).strip(),
    )
