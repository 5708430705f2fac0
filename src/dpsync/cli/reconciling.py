"""`dpsync source reconcile` and `findings`: what a main database lists, compared with what was asked."""

from typing import TYPE_CHECKING, Annotated

import typer

from dpsync.cli.console import Talk
from dpsync.cli.options import AsJson
from dpsync.errors import Exit, NotFound

if TYPE_CHECKING:
    from datetime import datetime

    from dpsync.installation import Installation
    from dpsync.intake.reconciliation.comparison import ListComparison
    from dpsync.intake.reconciliation.findings import OpenFinding
    from dpsync.propagation.decisions import Person

Listing = Annotated[
    str, typer.Argument(metavar="NAME", help="A section [sources.NAME] with the setting reconcile or reconcile_by_api.")
]


def reconcile(
    ctx: typer.Context,
    name: Listing,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what differs: change nothing.")] = False,
    at_most: Annotated[
        int | None,
        typer.Option("--at-most", min=1, help="Act on so many new differences this once, whatever the brake says."),
    ] = None,
    by: Annotated[str, typer.Option(help="Who says so, with --at-most.")] = "",
    reason: Annotated[str, typer.Option(help="Why, with --at-most. dpsync keeps only a mark of it.")] = "",
    as_json: AsJson = False,
) -> int:
    """Compare the list of people of a main database with what was asked, as dpsync does by itself each morning.

    What no message told of becomes a request. All else that differs is asked of a person, and nothing of it is done.
    Exit code 2: something differs, or the list could not be compared.
    """
    from dpsync.cli.console import os_user
    from dpsync.cli.opening import installation
    from dpsync.intake.reconciliation.daily import reconciliation_of
    from dpsync.propagation.decisions import Person
    from dpsync.reports.reconciled import ListState

    talk: Talk = ctx.obj
    person = Person(by, os_user(), reason)
    if at_most is not None:
        person.demand(reason=True)
    with installation(talk, compare=not dry_run) as there:
        now, one = there.clock.now(), reconciliation_of(there, name, at_most)
        if at_most is not None and not dry_run:
            remember(there, name, at_most, person, now)
        with talk.progress("comparing") as progress:
            found = one.run(now, dry=dry_run, heard=(lambda done: progress(done, 0)) if progress else lambda _: None)
        _show(talk, found, dry=dry_run, as_json=as_json)
    good = found.standing.state is ListState.COMPARED and not found.standing.differ and not found.standing.not_known
    return Exit.DONE if good else Exit.LOOK


def remember(there: "Installation", name: str, at_most: int, person: "Person", now: "datetime") -> None:
    """That a person allowed it is an entry before anything of it is done."""
    from dpsync.ledger import entry, rows
    from dpsync.ledger.entry import EntryKind

    said = person.author.said(rows.own_key(there.keys))
    body = entry.encode(EntryKind.DECIDED, now, kind="reconciled_beyond", name=name, n=at_most, **said)
    there.write(lambda unit: unit.append(None, body))


def _show(talk: Talk, found: "ListComparison", *, dry: bool, as_json: bool) -> None:
    one = found.standing
    if as_json:
        talk.json(
            {
                "source": one.source,
                "dry_run": dry,
                "state": one.state.value,
                "why": found.why,
                "agree": one.agree,
                "differ": one.differ,
                "not_known": one.not_known,
                "new": dict(sorted(found.new.items())),
                "closed": found.closed,
            }
        )
        return
    talk.data(f"{one.source}: {one.numbers}")
    if found.why:
        talk.warn(f"not compared: {found.why}")
    for kind, number in sorted(found.new.items()):
        talk.data(f"new: {number:,} {kind}")
    if found.closed:
        talk.data(f"closed: {found.closed:,}")
    if dry:
        talk.say("Nothing was changed (--dry-run).")


def findings(
    ctx: typer.Context,
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="One source, or one processor; without it, all.")
    ] = None,
    *,
    as_json: AsJson = False,
) -> int:
    """List the differences that wait for a person. The answer shows the ids of records, which are personal data."""
    from dpsync.cli.opening import installation
    from dpsync.intake.observed import source_of
    from dpsync.intake.reconciliation.findings import waiting
    from dpsync.reports.words import moment

    talk: Talk = ctx.obj
    with installation(talk, secrets=False, compare=False) as there:
        settings = there.settings
        sources = [name, source_of(name)] if name else [*settings.sources, *map(source_of, settings.processors)]
        found = there.read(lambda connection: waiting(connection, there.keys, sources))
        if as_json:
            talk.json({"findings": [_said(one) for one in found]})
        elif found:
            rows = [
                (one.key[:12], one.source, one.record or "not known", moment(one.found_at, there.zone), _what(one))
                for one in found
            ]
            talk.table(("FINDING", "SOURCE", "RECORD", "FOUND", "WHAT"), rows)
        else:
            talk.data("nothing that differs waits for a person")
    return Exit.DONE


def _said(one: "OpenFinding") -> dict[str, object]:
    return {
        "finding": one.key[:12],
        "source": one.source,
        "kind": one.kind.value,
        "right": one.right or None,
        "record": one.record or None,
        "request": one.request_id or None,
        "at": one.found_at,
    }


def _what(one: "OpenFinding") -> str:
    from dpsync.intake.observed import is_observed
    from dpsync.intake.reconciliation.telling import kind_text
    from dpsync.intake.sweeping.telling import found_text

    if one.request_id:
        return f"request {one.request_id} was made"
    return (found_text if is_observed(one.source) else kind_text)(one.kind, one.right)


def leave(
    ctx: typer.Context,
    finding: Annotated[str, typer.Argument(metavar="FINDING", help="What `dpsync source findings` calls it.")],
    *,
    by: Annotated[str, typer.Option(help="Who says so. Your account on this machine is recorded too.")],
    reason: Annotated[str, typer.Option(help="Why. dpsync keeps only a mark of it, by which it can be checked.")],
) -> int:
    """Say that a difference may stay as it is. dpsync asks again only if the record says something else."""
    from dpsync.cli.console import os_user
    from dpsync.cli.opening import installation, place_of_store
    from dpsync.intake.reconciliation.findings import leave as let_stay
    from dpsync.propagation.decisions import Person

    talk: Talk = ctx.obj
    with installation(talk) as there:
        person, now = Person(by, os_user(), reason), there.clock.now()
        if not there.write(lambda unit: let_stay(unit, there.keys, finding.strip(), person, now)):
            raise NotFound(f"there is no one difference {finding}: `dpsync source findings` lists them")
        talk.did = "the difference may stay"
        talk.ending(stored=f"what you decided, and the ledger entry, in {place_of_store(there)}", by_itself="nothing")
    return Exit.DONE
