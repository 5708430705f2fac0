"""`dpsync complaint list` and `show`: complaints as they stand."""

from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING, Annotated

import typer

from dpsync.cli.case_options import case_of
from dpsync.cli.console import Talk
from dpsync.cli.options import AsJson
from dpsync.errors import Exit

if TYPE_CHECKING:
    from dpsync.cases.acts import Act
    from dpsync.cases.values import Complaint

Case = Annotated[str, typer.Argument(metavar="ID", help="The id of the complaint, or its first characters.")]


def list_(
    ctx: typer.Context,
    *,
    every: Annotated[bool, typer.Option("--all", help="Show closed ones too.")] = False,
    as_json: AsJson = False,
) -> int:
    """List complaints. Exit code 2: one is not acknowledged, and its legal date is over."""
    from dpsync.cases.complaints import complaints
    from dpsync.cli.opening import installation
    from dpsync.reports.render import json_value
    from dpsync.reports.words import day

    talk: Talk = ctx.obj
    with installation(talk, secrets=False, compare=False) as there:
        today = there.clock.now().astimezone(there.zone).date()  # no connector: it opens without secrets
        found = [one for one in there.read(complaints) if every or one.holds]
        if as_json:
            talk.json({"complaints": json_value(found)})
        else:
            rows = [
                (one.id, day(one.received_on), day(one.due_on) if one.due_on else "none", _stands(one), _about(one))
                for one in found
            ]
            talk.table(("COMPLAINT", "RECEIVED", "ACKNOWLEDGE BY", "STANDS", "ABOUT"), rows)
    missed = any(one.acknowledged_on is None and one.late(today) for one in found)
    return Exit.LOOK if missed else Exit.DONE


def show(ctx: typer.Context, case: Case, *, as_json: AsJson = False) -> int:
    """Show one complaint, step by step, with the words that were kept. These may name people."""
    from dpsync.cases.acts import acts, words_of
    from dpsync.cases.complaints import LETTER, complaint
    from dpsync.cli.opening import installation

    talk: Talk = ctx.obj
    with installation(talk, secrets=False, compare=False) as there:
        case_id = case_of(there, LETTER, case)
        made = there.read(lambda connection: complaint(connection, case_id))
        steps = there.read(lambda connection: acts(connection, LETTER, case_id))[case_id]
        show_one(talk, made, as_json=as_json)
        if not as_json:
            for one in steps:
                kept = (f"{name}: {text}" for name, text in words_of(there.keys, one).items() if text)
                words = "; ".join((*_facts(one), *kept))
                named = one.kind.value.removeprefix("complaint_")
                talk.data(f"  {one.at.astimezone(there.zone):%d %b %Y, %H:%M}  {named}  {words}")
    return Exit.DONE


def show_one(talk: Talk, one: "Complaint", *, as_json: bool) -> None:
    """A complaint as it stands, with its dates."""
    from dpsync.reports.render import json_value
    from dpsync.reports.words import day

    if as_json:
        talk.json({"complaint": json_value(one)})
        return
    talk.data(f"{one.id}  {_stands(one)}")
    talk.data(f"  received {day(one.received_on)} by {one.channel}, about {_about(one)}")
    if one.due_on and one.strict_on:
        talk.data(f"  acknowledge by {day(one.strict_on)}, at the latest {day(one.due_on)} ({one.rule})")
    else:
        talk.data("  no law sets a day for its acknowledgement")


def _stands(one: "Complaint") -> str:
    if one.with_authority:
        return "with the authority"
    if one.result is not None:
        return one.result.value.replace("_", " ")
    return "open, acknowledged" if one.acknowledged else "open, not acknowledged"


def _facts(one: "Act") -> Iterator[str]:
    """What a step says openly: the outcome, the day, how the person was told, and the digest of the letter."""
    from dpsync.reports.words import day

    said = one.said
    if "result" in said:
        yield said["result"].replace("_", " ")
    if "how" in said:
        yield f"told on {day(date.fromisoformat(said['on']))} by {said['how']}"
    elif "on" in said:
        yield f"since {day(date.fromisoformat(said['on']))}"
    if "digest" in said:
        yield f"SHA-256 of the letter {said['digest']}"


def _about(one: "Complaint") -> str:
    return ", ".join([*one.about, *one.processors, *(topic.value for topic in one.topics)])
