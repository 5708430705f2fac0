"""Incidents: open, list, show, close."""

from functools import partial
from textwrap import shorten
from typing import TYPE_CHECKING, Annotated

import typer

from dpsync.cli.case_options import By, Many, case_of, moment_at, one_of, person_of
from dpsync.cli.console import Talk
from dpsync.cli.options import AsJson
from dpsync.errors import Exit

if TYPE_CHECKING:
    from dpsync.cases.incidents import Incident
    from dpsync.installation import Installation

group = typer.Typer(no_args_is_help=True, help="What may be a breach of personal data. dpsync notifies nobody outside.")

Case = Annotated[str, typer.Argument(metavar="ID", help="The id of the incident, or its first characters.")]


Proposed = Annotated[str, typer.Argument(metavar="[ID]", help="One that dpsync proposed. Without it: a new one.")]
What = Annotated[str, typer.Option(help="What happened.")]
Aware = Annotated[
    str | None, typer.Option(metavar="DATE", help="When you became aware: the 72 hours run from then. Default: now.")
]
Kind = Annotated[str, typer.Option(metavar="KIND", help="mistaken_erasure, wrong_recipient, lost_key or other.")]
About = Annotated[Many, typer.Option(metavar="REQUEST", help="A request that it is about. Repeatable.")]
People = Annotated[int | None, typer.Option(min=0, help="About how many people.")]
Records = Annotated[int | None, typer.Option(min=0, help="About how many records.")]
Categories = Annotated[str, typer.Option(help="Whose data, and which: members, email addresses.")]
Consequences = Annotated[str, typer.Option(help="What may follow for these people.")]
Measures = Annotated[str, typer.Option(help="What was done, or will be done.")]
ContactPoint = Annotated[str, typer.Option(help="Who answers questions about it.")]


@group.command("open")
def open_(
    ctx: typer.Context,
    case: Proposed = "",
    *,
    what: What,
    aware: Aware = None,
    kind: Kind = "other",
    about: About = None,
    people: People = None,
    records: Records = None,
    categories: Categories = "",
    consequences: Consequences = "",
    measures: Measures = "",
    contact: ContactPoint = "",
    by: By,
    as_json: AsJson = False,
) -> int:
    """Record an incident, with what Art. 33 asks to be written down. dpsync keeps the words sealed."""
    from dpsync.cases import incidents
    from dpsync.cases.incidents import LETTER, IncidentKind, NewIncident
    from dpsync.cli.opening import full_id, installation

    facts = {"what": what, "categories": categories, "consequences": consequences, "measures": measures}
    facts["contact"] = contact
    with installation(ctx.obj) as there:
        now = there.clock.now()
        case_id = case_of(there, LETTER, case) if case else ""
        named = one_of(IncidentKind, kind, "--kind")
        aware_at = moment_at(aware, there, "--aware") if aware else now
        requests = tuple(full_id(there, name) for name in about or ())
        new, person = NewIncident(named, aware_at, facts, requests, people, records), person_of(by, what)
        made = there.write(
            lambda unit: incidents.open_incident(unit, there.controller, new, person, now, case_id=case_id)
        )
        _end(ctx.obj, there, made, as_json=as_json)
    return Exit.DONE


@group.command("close")
def close(
    ctx: typer.Context,
    case: Case,
    *,
    finding: Annotated[str, typer.Option(metavar="FINDING", help="not_a_breach, breach_no_risk or breach_notified.")],
    notified_on: Annotated[
        str | None, typer.Option(metavar="DATE", help="When you told the authority (Art. 33).")
    ] = None,
    reference: Annotated[str, typer.Option(help="The authority's reference. dpsync keeps it sealed.")] = "",
    people_told_on: Annotated[
        str | None, typer.Option(metavar="DATE", help="When you told the people it is about (Art. 34).")
    ] = None,
    by: By,
    reason: Annotated[str, typer.Option(help="Why: what the finding rests on. dpsync keeps it sealed.")],
    as_json: AsJson = False,
) -> int:
    """Close an incident: what it was, and who was told. You tell them; dpsync only records it."""
    from dpsync.cases import incidents
    from dpsync.cases.incidents import LETTER, Closing, Finding
    from dpsync.cli.opening import day_of, installation

    talk: Talk = ctx.obj
    how = Closing(
        finding=one_of(Finding, finding, "--finding"),
        notified_on=day_of(notified_on, "--notified-on") if notified_on else None,
        reference=reference,
        people_told_on=day_of(people_told_on, "--people-told-on") if people_told_on else None,
    )
    with installation(talk) as there:
        case_id, now = case_of(there, LETTER, case), there.clock.now()
        made = there.write(
            lambda unit: incidents.close(unit, there.controller, case_id, how, person_of(by, reason), now)
        )
        _end(talk, there, made, as_json=as_json)
    return Exit.DONE


@group.command("list")
def list_(
    ctx: typer.Context,
    *,
    every: Annotated[bool, typer.Option("--all", help="Show closed ones too.")] = False,
    as_json: AsJson = False,
) -> int:
    """List incidents. The words may name people. Exit code 2: the 72 hours of one are over, and it is not closed."""
    from dpsync.cases.incidents import facts_of, incidents
    from dpsync.cli.opening import installation
    from dpsync.reports.render import json_value
    from dpsync.reports.words import moment

    talk: Talk = ctx.obj
    with installation(talk, secrets=False, compare=False) as there:
        now = there.clock.now()
        found = [one for one in there.read(incidents) if every or one.open]
        if as_json:
            talk.json({"incidents": json_value(found)})
        else:
            rows = [
                (
                    one.id,
                    _what(one, there.read(partial(facts_of, keys=there.keys, case_id=one.id)).get("what", "")),
                    moment(one.aware_at, there.zone),
                    moment(one.limit_at, there.zone),
                    one.finding.value.replace("_", " ") if one.finding else one.stage.value,
                    ", ".join(one.about),
                )
                for one in found
            ]
            talk.table(("INCIDENT", "WHAT", "AWARE", "72 HOURS END", "STANDS", "REQUESTS"), rows)
    return Exit.LOOK if any(one.open and now >= one.limit_at for one in found) else Exit.DONE


@group.command("show")
def show(ctx: typer.Context, case: Case, *, as_json: AsJson = False) -> int:
    """Show one incident, with what was written down for Art. 33. The words may name people."""
    from dpsync.cases.acts import acts, words_of
    from dpsync.cases.incidents import FACTS, LETTER, facts_of, incident
    from dpsync.cli.opening import installation
    from dpsync.reports.render import json_value

    talk: Talk = ctx.obj
    with installation(talk, secrets=False, compare=False) as there:
        case_id = case_of(there, LETTER, case)
        made = there.read(lambda connection: incident(connection, case_id))
        facts = there.read(lambda connection: facts_of(connection, there.keys, case_id))
        steps = there.read(lambda connection: acts(connection, LETTER, case_id))[case_id]
        if as_json:
            talk.json({"incident": json_value(made), "facts": dict(facts)})
            return Exit.DONE
        _show(talk, there, made)
        for name, title in FACTS.items():
            talk.data(f"  {title}: {facts.get(name, 'not written down')}")
        for one in steps:
            words = words_of(there.keys, one)
            named = one.kind.value.removeprefix("incident_")
            talk.data(f"  {one.at.astimezone(there.zone):%d %b %Y, %H:%M}  {named} by {words['by']}: {words['reason']}")
    return Exit.DONE


def _what(one: "Incident", words: str) -> str:
    """What happened, short enough for a line: the kind, unless it is `other`, and the words that were kept."""
    from dpsync.cases.incidents import IncidentKind

    named = one.kind.value.replace("_", " ")
    if not words:
        return named
    return shorten(words if one.kind is IncidentKind.OTHER else f"{named}: {words}", 60, placeholder="…")


def _end(talk: Talk, there: "Installation", one: "Incident", *, as_json: bool) -> None:
    from dpsync.cli.opening import place_of_store
    from dpsync.reports.render import json_value

    talk.did = f"incident {one.id} is {one.stage}"
    if as_json:
        talk.json({"incident": json_value(one)})
        return
    _show(talk, there, one)
    reminds = " It reminds the data protection officer while the incident is open." if one.open else ""
    talk.ending(
        stored=f"the incident and its ledger entry, in {place_of_store(there)}",
        by_itself=f"dpsync notifies nobody.{reminds}",
        waits=_waits(one, there) if one.open else "",
    )


def _waits(one: "Incident", there: "Installation") -> str:
    """What is for a person to do about one that is open. After the 72 hours a notification must say why it is late."""
    from dpsync.reports.words import moment

    until = moment(one.limit_at, there.zone)
    if there.clock.now() < one.limit_at:
        return f"you decide whether the authority is told, by {until}."
    return (
        f"the 72 hours are over since {until}: decide now whether the authority is told. Who tells it after them must "
        "say why (Art. 33(1))."
    )


def _show(talk: Talk, there: "Installation", one: "Incident") -> None:
    from dpsync.reports.words import moment

    talk.data(f"{one.id}  {one.finding.value.replace('_', ' ') if one.finding else one.stage.value}")
    talk.data(f"  {one.kind.value.replace('_', ' ')}, aware {moment(one.aware_at, there.zone)}")
    talk.data(f"  72 hours end {moment(one.limit_at, there.zone)}")
    if one.about:
        talk.data(f"  requests {', '.join(one.about)}")
    for name, number in (("people", one.people), ("records", one.records)):
        shown = "not written down" if number is None else f"{number:,}"
        talk.data(f"  About how many {name} (Art. 33(3)(a)): {shown}")
