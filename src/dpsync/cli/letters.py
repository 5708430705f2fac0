"""`dpsync letter` and `dpsync told`: a letter to the person as ready text, and the record that it went."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dpsync.cli import decide
from dpsync.cli.case_options import How, Letter, told_of
from dpsync.cli.console import Talk
from dpsync.cli.options import AsJson, RequestId
from dpsync.errors import Exit, UsageError

if TYPE_CHECKING:
    from dpsync.installation import Installation
    from dpsync.person_letters.compose import Asks, PersonLetter
    from dpsync.propagation.telling import LetterKind, Told

Kind = Annotated[
    str | None,
    typer.Option(
        metavar="KIND",
        help="action, erasure, extension, refusal, lifting or recipients. Default: what usually answers it.",
    ),
]
FormerKind = Annotated[str | None, typer.Option(hidden=True)]
"""What `told` called its `--kind` before; whoever wrote it into a script keeps it."""

Because = Annotated[
    str, typer.Option(help="The reason, in words for the person. Required for extension, refusal and lifting.")
]
GroundOption = Annotated[
    str | None, typer.Option("--ground", metavar="GROUND", help="Of a refusal: art17_3, art12_5, art11_2 or dpa_sch2.")
]
EndsOn = Annotated[str | None, typer.Option(metavar="DATE", help="Of a lifting: on which day the restriction ends.")]
Output = Annotated[
    str | None,
    typer.Option("--output", "-o", metavar="FILE", help="Write it there: .txt, or .html for a page in large print."),
]


ToldOn = Annotated[
    str, typer.Option(metavar="DATE", help="On which day the person was told: needed, except with --nobody-asked.")
]
NobodyAsked = Annotated[
    bool,
    typer.Option(
        "--nobody-asked",
        help="No letter is due: no person asked for it, or they took it back. Only where it is stopped everywhere; "
        "say why with --note.",
    ),
]


def letter(
    ctx: typer.Context,
    request: RequestId,
    *,
    kind: Kind = None,
    because: Because = "",
    ground: GroundOption = None,
    ends_on: EndsOn = None,
    by: Annotated[str, typer.Option(help="Who has it written, for the record. Default: your account.")] = "",
    output: Output = None,
) -> int:
    """Write a letter to the person: what each processor did, and how they can complain. dpsync sends it to nobody.

    It names the person, so dpsync records that you looked. When you have sent it, record it with `dpsync told`.
    """
    from dpsync.cli.opening import ending_of, full_id, installation, written

    talk: Talk = ctx.obj
    if output and ending_of(Path(output)) not in {"txt", "html"}:
        raise UsageError("-o: the file's name must end in .txt or .html")
    if output and not Path(output).parent.is_dir():
        raise UsageError(f"-o: there is no folder {Path(output).parent}. Nothing was shown to you")
    with installation(talk) as there:
        request_id = full_id(there, request)
        made = _written(there, request_id, _kind(kind), _asks(because, ground, ends_on), by)
        talk.did = f"that the person of request {request_id} was shown is on the record; it may be shown again"
        if output is None:
            talk.data(made.text)
            return Exit.DONE
        content = made.page if ending_of(Path(output)) == "html" else made.text
        written(Path(output), content.encode())
        record = f"dpsync told {request_id} --kind {made.kind} --on DATE --by NAME"
        talk.say(f"Written to {output}. Send it, then: {record}")
    return Exit.DONE


def told(
    ctx: typer.Context,
    request: RequestId,
    *,
    kind: Kind = None,
    letter_kind: FormerKind = None,
    on: ToldOn = "",
    how: How = "post",
    letter: Letter = None,
    nobody_asked: NobodyAsked = False,
    by: decide.By,
    note: Annotated[str, typer.Option(help="Words for the record. Put no name here: dossiers show it.")] = "",
    as_json: AsJson = False,
) -> int:
    """Record that the person had a letter: which, when and how. After the answer to a finished request, none is due."""
    from dpsync.cli.console import os_user
    from dpsync.cli.opening import full_id, installation, place_of_store
    from dpsync.propagation.decisions import Person
    from dpsync.propagation.telling import Told, is_answered, tell

    talk: Talk = ctx.obj
    if nobody_asked:
        return _nobody_asked(talk, request, by, note, as_json=as_json)
    if not on:
        raise UsageError("say with --on on which day the person was told")
    said = told_of(on, how, letter)
    with installation(talk) as there:
        request_id, now = full_id(there, request), there.clock.now()
        kind = _kind(kind or letter_kind) or _usual(there, request_id)
        one, person = Told(kind, said.on, said.how.value, said.digest), Person(by, os_user(), note)
        there.write(lambda unit: tell(unit, there.controller, request_id, one, person, now))
        answered = there.read(lambda connection: is_answered(connection, there.controller, request_id))
        talk.did = f"that the person of request {request_id} was told is recorded ({kind})"
        _print_told(talk, request_id, one, as_json=as_json)
        talk.ending(
            stored=f"the letter's kind, day and digest, and the ledger entry, in {place_of_store(there)}",
            by_itself="no letter is due any more." if answered else "the last day for the answer still counts.",
        )
    return Exit.DONE


def _print_told(talk: Talk, request_id: str, one: "Told", *, as_json: bool) -> None:
    if as_json:
        shape = {"letter": one.kind.value, "on": one.on, "how": one.how, "digest": one.digest}
        talk.json({"request": request_id, **shape})
    else:
        talk.data(f"{request_id}  told by {one.how} on {one.on} ({one.kind})")


def _nobody_asked(talk: Talk, request: str, by: str, note: str, *, as_json: bool) -> int:
    from dpsync.cli.console import os_user
    from dpsync.cli.opening import full_id, installation, place_of_store
    from dpsync.propagation.decisions import Person
    from dpsync.propagation.telling import nobody_asked

    if not note.strip():
        raise UsageError("say why with --note")
    with installation(talk) as there:
        request_id, person = full_id(there, request), Person(by, os_user(), note)
        there.write(lambda unit: nobody_asked(unit, there.controller, request_id, person, there.clock.now()))
        talk.did = f"that nobody asked for request {request_id} is recorded"
        if as_json:
            talk.json({"request": request_id, "letter": "", "on": None, "how": "", "digest": ""})
        else:
            talk.data(f"{request_id}  nobody asked, or they took it back: no letter is due")
        talk.ending(stored=f"who said so, and the ledger entry, in {place_of_store(there)}", by_itself="no reminder.")
    return Exit.DONE


def _kind(text: str | None) -> "LetterKind | None":
    from dpsync.cli.case_options import one_of
    from dpsync.propagation.telling import LetterKind

    return one_of(LetterKind, text, "the kind of letter") if text else None


def _asks(because: str, ground: str | None, ends_on: str | None) -> "Asks":
    from dpsync.cli.case_options import one_of
    from dpsync.cli.opening import day_of
    from dpsync.person_letters.compose import Asks, Ground

    return Asks(
        because=because,
        ground=one_of(Ground, ground, "--ground") if ground else None,
        on=day_of(ends_on, "--ends-on") if ends_on else None,
    )


def _usual(there: "Installation", request_id: str) -> "LetterKind":
    from dpsync.cli.standing import standing_of
    from dpsync.person_letters.compose import usual_kind

    return usual_kind(standing_of(there, request_id))


def _written(
    there: "Installation", request_id: str, kind: "LetterKind | None", asks: "Asks", by: str
) -> "PersonLetter":
    from dpsync.cli.opening import shown_to
    from dpsync.person_letters.service import letter_to

    who = shown_to(there, request_id, by, "dpsync letter")
    return letter_to(there, request_id, kind, who.name or "", asks, there.clock.now())
