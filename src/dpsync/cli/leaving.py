"""`dpsync leaving`: the letter to a processor that leaves, and the record that it was instructed and has confirmed."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dpsync.cli.case_options import Letter, Note, person_of, told_of
from dpsync.cli.console import Talk
from dpsync.cli.options import AsJson
from dpsync.errors import Exit, UsageError

if TYPE_CHECKING:
    from dpsync.cases.departures import Departure
    from dpsync.installation import Installation

Processor = Annotated[str, typer.Argument(metavar="PROCESSOR", help="Its name in the settings.")]
InstructedOn = Annotated[
    str,
    typer.Option(metavar="DATE", help="Record on which day it was instructed to delete or return everything."),
]
ConfirmedOn = Annotated[
    str, typer.Option(metavar="DATE", help="Record on which day it confirmed that everything is deleted or returned.")
]
How = Annotated[
    str,
    typer.Option(metavar="HOW", help="How the processor was told or confirmed: mail, post, phone, form, staff, other."),
]
Output = Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write the letter there.")]


def leaving(
    ctx: typer.Context,
    processor: Processor,
    *,
    instructed_on: InstructedOn = "",
    confirmed_on: ConfirmedOn = "",
    how: How = "mail",
    letter: Letter = None,
    by: Annotated[
        str,
        typer.Option(
            help="Who records it: needed with --instructed-on or --confirmed-on. Your account on this machine is "
            "recorded too."
        ),
    ] = "",
    note: Note = "",
    output: Output = None,
    as_json: AsJson = False,
) -> int:
    """Show the letter that instructs a processor that leaves to delete or return everything, or record that it went.

    The day of `leaving` in its section is its last one. dpsync sends the letter to nobody, because what it asks for
    cannot be undone: you send it. When the processor has confirmed it, record that too.
    """
    from dpsync.cli.opening import demand_processors, installation

    talk: Talk = ctx.obj
    if instructed_on and confirmed_on:
        raise UsageError("record one of them at a time: --instructed-on or --confirmed-on")
    recording = bool(instructed_on or confirmed_on)
    if recording and not by.strip():
        raise UsageError("say with --by who records it")
    with installation(talk, compare=recording) as there:
        demand_processors(there, [processor])
        if recording:
            _record(talk, there, processor, instructed_on, confirmed_on, how, letter, by, note)
        _show(talk, there, processor, output, recording=recording, as_json=as_json)
    return Exit.DONE


def _show(talk: Talk, there: "Installation", name: str, output: Path | None, *, recording: bool, as_json: bool) -> None:
    from dpsync.cli.opening import written
    from dpsync.reports.make import letter_to_leaving

    text, one = letter_to_leaving(there, name, there.clock.now()), _departure(there, name)
    if output is not None:
        written(output, text.encode())
        talk.say(f"Written to {output}. Send it, then: dpsync leaving {name} --instructed-on DATE --by NAME")
    if as_json:
        talk.json(_json(one, text))
    elif recording:
        talk.data(f"{name}  {_stands(one)}")
    elif output is None:
        talk.data(text)


def _record(
    talk: Talk,
    there: "Installation",
    name: str,
    instructed_on: str,
    confirmed_on: str,
    how: str,
    letter: Path | None,
    by: str,
    note: str,
) -> None:
    from dpsync.cases.departures import DepartureStep, record
    from dpsync.cli.opening import place_of_store

    step = DepartureStep.INSTRUCTED if instructed_on else DepartureStep.CONFIRMED
    told, before = told_of(instructed_on or confirmed_on, how, letter), _departure(there, name)
    person, now = person_of(by, note), there.clock.now()
    there.write(lambda unit: record(unit, there.controller, before, step, told, person, now))
    talk.did = f"that {name} {_DONE[step.value]} is recorded"
    talk.ending(
        stored=f"the step and its ledger entry, in {place_of_store(there)}",
        by_itself="dpsync goes on telling it of every request until you remove its section. It reminds the DPO.",
        waits="the processor confirms that everything is deleted or returned: record that with --confirmed-on."
        if step is DepartureStep.INSTRUCTED
        else "you remove its section, once its requests are closed: `dpsync register`.",
    )


_DONE = {"instructed": "was instructed", "confirmed": "has confirmed"}


def _departure(there: "Installation", name: str) -> "Departure":
    from dpsync.cases.departures import departure

    last_day = there.settings.processors[name].leaving
    if last_day is None:
        raise UsageError(f"{name} does not leave: write its last day into the settings, [processors.{name}] leaving")
    return there.read(lambda connection: departure(connection, name, last_day))


def _stands(one: "Departure") -> str:
    if one.confirmed:
        return f"confirmed on {one.confirmed.on} that everything is deleted or returned"
    return f"instructed on {one.instructed.on}, not confirmed" if one.instructed else "not instructed"


def _json(one: "Departure", text: str) -> dict[str, object]:
    return {
        "processor": one.processor,
        "last_day": one.last_day,
        "instructed_on": one.instructed.on if one.instructed else None,
        "confirmed_on": one.confirmed.on if one.confirmed else None,
        "letter": text,
    }
