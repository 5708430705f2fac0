"""`dpsync sweep`: what processors list, compared with what was asked and done there."""

from typing import TYPE_CHECKING, Annotated

import typer

from dpsync.cli.console import Talk
from dpsync.cli.options import AsJson
from dpsync.errors import Exit, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from dpsync.intake.reconciliation.comparison import ListComparison
    from dpsync.propagation.decisions import Person


def sweep(
    ctx: typer.Context,
    processor: Annotated[
        str | None, typer.Argument(metavar="PROCESSOR", help="Without it, all that list whom they hold.")
    ] = None,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what differs: change nothing.")] = False,
    at_most: Annotated[
        int | None,
        typer.Option("--at-most", min=1, help="Act on so many new findings this once, whatever the brake says."),
    ] = None,
    by: Annotated[str, typer.Option(help="Who says so, with --at-most.")] = "",
    reason: Annotated[str, typer.Option(help="Why, with --at-most. dpsync keeps only a mark of it.")] = "",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where a sweep was interrupted less than 12 hours after it began.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Look who is at a processor that should not be: erased people, and people who opted out or are restricted.

    An opt-out of which dpsync never heard becomes a request. All else is asked of a person, and nothing of it is done.
    Exit code 2: something differs, or a list could not be compared.
    """
    from dpsync.cli.console import os_user
    from dpsync.propagation.decisions import Person

    talk: Talk = ctx.obj
    person = Person(by, os_user(), reason)
    _demand_named(processor, at_most, person)
    found = _swept(talk, processor, person, at_most, dry=dry_run, resume=resume)
    _show(talk, found, dry=dry_run, as_json=as_json)
    return Exit.DONE if all(map(_is_good, found)) else Exit.LOOK


def _swept(
    talk: Talk, processor: str | None, person: "Person", at_most: int | None, *, dry: bool, resume: bool
) -> "Sequence[ListComparison]":
    from dpsync.cli.opening import installation
    from dpsync.cli.reconciling import remember
    from dpsync.intake.sweeping.sweep import sweep_of, with_a_roster

    found = []
    with installation(talk, compare=not dry) as there:
        for name in [processor] if processor else with_a_roster(there.settings):
            one, allowed = sweep_of(there, name, at_most, resume=resume), None if dry else at_most
            if allowed is not None:
                remember(there, name, allowed, person, there.clock.now())
            with talk.progress(f"reading {name}") as progress:
                found.append(one.run(there.clock.now(), dry=dry, heard=_heard(progress)))
    return found


def _demand_named(processor: str | None, at_most: int | None, person: "Person") -> None:
    if at_most is not None:
        person.demand(reason=True)
        if processor is None:
            raise UsageError("name the processor that --at-most is for")


def _heard(progress: "Callable[[int, int], None] | None") -> "Callable[[int], None]":
    return (lambda done: progress(done, 0)) if progress else lambda _: None


def _is_good(one: "ListComparison") -> bool:
    from dpsync.reports.reconciled import ListState

    standing = one.standing
    return standing.state is ListState.COMPARED and not standing.differ and not standing.not_known


def _new(one: "ListComparison") -> "Mapping[str, int]":
    """How many are new, by what they are."""
    from collections import Counter

    kinds = ((each.kind.value, each.difference.right) for each in one.found)
    return dict(sorted(Counter(f"{kind}_{right.value}" if right else kind for kind, right in kinds).items()))


def _said(one: "ListComparison", *, dry: bool) -> dict[str, object]:
    standing = one.standing
    return {
        "processor": standing.source,
        "dry_run": dry,
        "state": standing.state.value,
        "why": one.why,
        "agree": standing.agree,
        "differ": standing.differ,
        "not_known": standing.not_known,
        "new": _new(one),
        "closed": one.closed,
        "strangers": one.strangers,
    }


def _show(talk: Talk, found: "Sequence[ListComparison]", *, dry: bool, as_json: bool) -> None:
    if as_json:
        talk.json({"sweeps": [_said(one, dry=dry) for one in found]})
        return
    if not found:
        talk.data("no processor lists whom it holds")
    for one in found:
        talk.data(f"{one.standing.source}: {one.standing.numbers}")
        if one.why:
            talk.warn(f"not compared: {one.why}")
        for kind, number in _new(one).items():
            talk.data(f"new: {number:,} {kind.replace('_', ' ')}")
        if one.strangers:
            talk.data(f"in no main database: {one.strangers:,}")
        if one.closed:
            talk.data(f"closed: {one.closed:,}")
    if dry and found:
        talk.say("Nothing was changed (--dry-run).")
