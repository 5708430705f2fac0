"""`dpsync import` and `dpsync screen`: a list asks for many at once, or is looked at before a mailing."""

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dpsync.cli import requesting as ask
from dpsync.cli.console import Talk
from dpsync.cli.options import AsJson
from dpsync.errors import Exit, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dpsync.installation import Installation
    from dpsync.intake.lists.importing import Bulk, ImportTally, Rejected
    from dpsync.intake.lists.reading import PeopleList
    from dpsync.intake.lists.screening import Screened

UNASKED, UNASKED_ERASURES = 100, 10
"""How many new requests a list may make without `--yes`."""

RIGHTS = ("opt_out", "erasure", "restriction")
FileArgument = Annotated[
    Path, typer.Argument(metavar="FILE", help="CSV with a line of headings, or JSON Lines (.jsonl).")
]
Columns = Annotated[
    list[str] | None,
    typer.Option(
        "--column",
        metavar="FIELD=HEADING",
        help="What a column is: id, email, other_emails, phone or name; for an import of opt-outs also audience, list, "
        "topic or channel, the part that a row is from. Default: by its usual headings, but an id (the main "
        "database's) and a part only where you name them. Repeatable.",
    ),
]

Mailing = Annotated[
    list[str] | None,
    typer.Option(
        "--scope",
        metavar="KIND=NAME",
        help="What the mailing belongs to: audience, list, topic, channel. Who opted out of another part stays in. "
        "Repeatable.",
    ),
]


def import_(
    ctx: typer.Context,
    right: Annotated[str, typer.Argument(help="opt_out, erasure or restriction: the same for every row.")],
    file: FileArgument,
    *,
    by: Annotated[str, typer.Option(help="Who asks for all of it, for the record.")],
    column: Columns = None,
    scope: ask.Scope = None,
    ground: Annotated[str | None, typer.Option(help="The legal ground, such as no_longer_needed.")] = None,
    received: Annotated[
        str | None, typer.Option(metavar="DATE", help="When the organisation received them. Default: now.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would happen.")] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help=f"Make more than {UNASKED} new requests, or {UNASKED_ERASURES} erasures.")
    ] = False,
    rejects: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Where the lines go that are not understood, each with its reason."),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Ask for many people at once, out of a list. Each row becomes a request like any other.

    You may run it again, also after an interruption: a row that came before is known, and nothing is done twice. The
    brake and every other hold apply as usual. Exit code 2: some rows were not understood, or were withdrawn since.
    """
    from dpsync.cli.opening import installation
    from dpsync.intake.lists import importing, reading
    from dpsync.model import Right

    talk: Talk = ctx.obj
    if right not in RIGHTS:
        raise UsageError(f"a list can ask for {', '.join(RIGHTS)}")
    columns = _columns(column or [], parts=reading.PARTS)
    if twice := columns.keys() & ask.scope_fields(scope).keys():
        raise UsageError(f"--column and --scope both say the {min(twice)}: leave one of them out")
    people = reading.read(file, columns)
    with installation(talk) as there:
        now = there.clock.now()
        bulk = importing.Bulk(Right(right), by, ground, ask.moment_of(received, there.zone), ask.scope_fields(scope))
        tally = importing.look(there, people.rows(), bulk, now)
        new, withdrawn = tally["good"] - tally["known"], tally["withdrawn since"]
        if not as_json:
            _explain(talk, people)
            _count(talk, tally, {"new": new})
        if not dry_run and new:
            _demand_yes(talk, bulk, new, yes=yes)
            tally = _taken_in(talk, there, people, bulk, new)
        path = _rejects(tally.rejected, rejects or file.with_name(f"{file.name}.rejects.csv"))
        if as_json:
            talk.json(
                {
                    "dry_run": dry_run,
                    "new": new,
                    "withdrawn": withdrawn,
                    **_values(tally),
                    "rejects": str(path) if path else None,
                }
            )
        elif new and not dry_run:
            _end(talk, tally)
    return Exit.LOOK if _warned(talk, tally, path, withdrawn) else Exit.DONE


def _warned(talk: Talk, tally: "ImportTally", path: Path | None, withdrawn: int) -> bool:
    from dpsync.reports.words import several

    if path:
        talk.warn(f"{several(len(tally.rejected), 'row')} not understood: {path}")
    if withdrawn:
        talk.warn(f"{withdrawn} of the known rows were withdrawn since. If they ask again, say when: --received DATE")
    return path is not None or withdrawn > 0


def _taken_in(talk: Talk, there: "Installation", people: "PeopleList", bulk: "Bulk", new: int) -> "ImportTally":
    from dpsync.intake.lists.importing import take_in

    with talk.progress("storing requests") as progress:
        heard = (lambda done: progress(done, new)) if progress else (lambda _: None)
        tally = take_in(there, people.rows(), bulk, there.clock.now(), heard)
    talk.did = f"{tally['accepted'] + tally['held']} new requests are stored; it may be run again"
    return tally


def screen(
    ctx: typer.Context,
    file: FileArgument,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="PATH", help="Where the list goes that may be mailed.")
    ],
    *,
    column: Columns = None,
    scope: Mailing = None,
    as_json: AsJson = False,
) -> int:
    """Before a mailing, leave out of a list whoever must not get it: who opted out, or is erased or restricted.

    Without --scope, whoever opted out of a part is left out, too. So is a row without an address that can be read. Says
    how many were left out, and why. Changes nothing in dpsync, and sends nothing.
    """
    from dpsync.cli.opening import installation, written
    from dpsync.intake.lists import reading
    from dpsync.intake.lists.screening import Screened
    from dpsync.intake.lists.screening import screen as screened

    talk: Talk = ctx.obj
    people = reading.read(file, _columns(column or []))
    _must_be_screened_elsewhere(people, file, output)
    found, out, mailing = Screened(), io.StringIO(), ask.scope_text(scope)
    lines = csv.writer(out, delimiter=people.divider, lineterminator="\n")
    with installation(talk, secrets=False) as there:  # an older copy would let through who opted out since
        if people.headed:
            lines.writerow(people.columns)
        # Read to its end before anything is written: half a list looks like a whole one.
        there.read(
            lambda connection: lines.writerows(
                r.cells for r in screened(connection, there.keys, people.rows(), found, mailing)
            )
        )
        written(output, out.getvalue().encode(people.written_in))
    talk.did = f"the list that may be mailed is {output}"
    _show_screened(talk, people, found, output, as_json=as_json)
    return Exit.DONE


def _must_be_screened_elsewhere(people: "PeopleList", file: Path, output: Path) -> None:
    if "email" not in people.taken:
        raise UsageError(f"no column holds addresses: {', '.join(people.columns)}. Name it: --column email=HEADING")
    if output.resolve() == file.resolve():
        raise UsageError("name another file with -o: the list itself is not written over")


def _columns(said: "Sequence[str]", parts: "Sequence[str]" = ()) -> dict[str, str]:
    from dpsync.intake.lists.reading import KNOWN

    known = (*KNOWN, *parts)
    found: dict[str, str] = {}
    for text in said:
        name, equals, heading = text.partition("=")
        if not equals or name not in known or not heading.strip():
            raise UsageError(f"write --column as FIELD=HEADING, with one of {', '.join(known)}")
        found[name] = heading.strip()
    return found


def _explain(talk: Talk, people: "PeopleList") -> None:
    """How the file is read, so that a column that was taken for another one is seen."""
    taken = ", ".join(f"{people.columns[place]!r} as {name}" for name, place in people.taken.items())
    talk.say(f"Read as {people.encoding}, divided by {people.divider!r}: {taken}.")
    if people.passed_over:
        talk.say(f"Passed over: {', '.join(people.passed_over)}.")


def _count(talk: Talk, tally: "ImportTally", more: dict[str, int]) -> None:
    names = ("rows", "known", "twice in the list", "rejected")
    rows = [(name, f"{count:,}") for name, count in ({name: tally[name] for name in names} | more).items()]
    talk.table(("WHAT", "HOW MANY"), rows)


def _demand_yes(talk: Talk, bulk: "Bulk", new: int, *, yes: bool) -> None:
    """What cannot be undone is never done in bulk by accident."""
    limit = UNASKED_ERASURES if bulk.right.value == "erasure" else UNASKED
    if yes or new <= limit:
        return
    question = f"Ask for {new:,} new requests ({bulk.right.value})?"
    if not (talk.may_ask() and typer.confirm(question, default=False, err=True)):
        raise UsageError(f"{new:,} new requests are more than {limit}: nothing is stored. If you mean it, add --yes")


def _rejects(rejected: "Sequence[Rejected]", path: Path) -> Path | None:
    """Lines and reasons alone: what stands in them stays where it was."""
    from dpsync.cli.opening import written

    if not rejected:
        return None
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(
        [("line", "field", "problem"), *((one.line, one.field, one.problem) for one in rejected)]
    )
    written(path, out.getvalue().encode())
    return path


def _values(tally: "ImportTally") -> dict[str, int]:
    names = {"rows": "rows", "known": "known", "twice": "twice in the list", "rejected": "rejected"}
    return {name: tally[what] for name, what in names.items()} | {
        "accepted": tally["accepted"],
        "held": tally["held"],
    }


def _end(talk: Talk, tally: "ImportTally") -> None:
    from dpsync.reports.words import several

    held = tally["held"]
    talk.ending(
        stored=f"{several(tally['accepted'] + held, 'new request')}, {held:,} of them held",
        by_itself="`dpsync serve` or `dpsync run-once` tells the processors of what is not held.",
        waits="for a person to release what is held: `dpsync status`" if held else "",
    )


def _show_screened(talk: Talk, people: "PeopleList", found: "Screened", output: Path, *, as_json: bool) -> None:
    left_out = {reason.value: count for reason, count in found.left_out.items()}
    if as_json:
        talk.json({"kept": found.kept, "left_out": left_out, "output": str(output)})
        return
    _explain(talk, people)
    talk.table(
        ("WHAT", "HOW MANY"), [("may be mailed", f"{found.kept:,}"), *((r, f"{n:,}") for r, n in left_out.items())]
    )
    talk.say(f"The list that may be mailed is {output}.")
