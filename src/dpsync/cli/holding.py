"""`dpsync hold-evidence`: what one request says is not forgotten, because somebody may have to prove it."""

from typing import TYPE_CHECKING, Annotated

import typer

from dpsync.cli import decide
from dpsync.cli.console import Talk, os_user
from dpsync.cli.options import AsJson, RequestId
from dpsync.errors import Exit, UsageError

if TYPE_CHECKING:
    from datetime import date

    from dpsync.installation import Installation
    from dpsync.propagation.decisions import Person


def hold_evidence(
    ctx: typer.Context,
    request: RequestId,
    *,
    until: Annotated[str, typer.Option(metavar="DATE", help="The last day on which it must still be here.")] = "",
    end: Annotated[bool, typer.Option("--end", help="Hold it no more, before that day.")] = False,
    by: decide.By,
    reason: Annotated[str, typer.Option(help="Why, for the record: which claim or inquiry it is about.")],
    as_json: AsJson = False,
) -> int:
    """Have the evidence about a request held until a day, or (--end) no more.

    Nothing that it says of the person is forgotten until then, and its receipt, the pseudonyms and the key of its
    month stay. Use it for a claim, an inquiry or an audit: a complaint or an incident holds its requests by itself.
    Given again with another day, it holds until that one. `dpsync forgotten` shows what is held.
    """
    from dpsync.cli.opening import day_of, full_id, installation
    from dpsync.propagation.decisions import Person
    from dpsync.reports.words import day

    talk: Talk = ctx.obj
    if end == bool(until):
        raise UsageError("say until when with --until DATE, or that it ends with --end")
    last, person = day_of(until, "--until") if until else None, Person(by, os_user(), reason)
    with installation(talk) as there:
        request_id = full_id(there, request)
        new = _hold(there, request_id, last, person) if last else _release(there, request_id, person)
        said = f"the evidence is held {f'until {day(last)}' if last else 'no more'}"
        talk.did = f"of request {request_id} {said}"
        if as_json:
            talk.json({"request": request_id, "until": last})
        else:
            talk.data(f"{request_id}  {said}")
        _warn(talk, there, request_id)
        _end(talk, there, person, last, new=new)
    return Exit.DONE


def _hold(there: "Installation", request_id: str, last: "date", person: "Person") -> bool:
    from dpsync.cases.holds import hold

    now = there.clock.now()
    return there.write(lambda unit: hold(unit, there.controller, request_id, last, person, now))


def _release(there: "Installation", request_id: str, person: "Person") -> bool:
    from dpsync.cases.holds import end

    there.write(lambda unit: end(unit, there.controller, request_id, person, there.clock.now()))
    return True


def _warn(talk: Talk, there: "Installation", request_id: str) -> None:
    from dpsync.propagation.forgetting import forgotten_at
    from dpsync.reports.words import moment

    if at := there.read(lambda connection: forgotten_at(connection, request_id)):
        talk.warn(
            f"{request_id} was forgotten {moment(at, there.zone)}: its name and addresses are gone for good. What is "
            "left to hold is the receipt, the pseudonyms and the key of its month."
        )


def _end(talk: Talk, there: "Installation", person: "Person", last: "date | None", *, new: bool) -> None:
    from dpsync.cli.opening import place_of_store
    from dpsync.reports.words import day

    decided = f"the decision (by {person.by.strip()}) and its ledger entry, in {place_of_store(there)}"
    decided = decided if new else "nothing new: it is held so already"
    if last is None:
        talk.ending(stored=decided, by_itself="it is forgotten when its days are over, unless a case holds it.")
        return
    again = f"after {day(last)} it is forgotten like any other: give the command again if you need it for longer."
    talk.ending(stored=decided, by_itself=again)
