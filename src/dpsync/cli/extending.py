"""`dpsync extend`: the legal date of a request, by two further months."""

from typing import Annotated

import typer

from dpsync.cli import decide
from dpsync.cli.console import Talk
from dpsync.cli.options import AsJson, RequestId
from dpsync.errors import Exit


def extend(
    ctx: typer.Context,
    request: RequestId,
    *,
    told_on: Annotated[str, typer.Option(metavar="DATE", help="On which day the person was told of it, and why.")],
    by: decide.By,
    reason: Annotated[str, typer.Option(help="Why it takes longer: it is complex, or there are many requests.")],
    as_json: AsJson = False,
) -> int:
    """Extend the legal date by two months, within the first month only, after the person was told.

    The months are counted from the original start. An opt-out cannot be extended.
    """
    from dpsync.cli.console import os_user
    from dpsync.cli.opening import day_of, full_id, installation, place_of_store
    from dpsync.cli.standing import by_itself, standing_of, waiting_for
    from dpsync.propagation.decisions import Person
    from dpsync.propagation.extending import extend as extended
    from dpsync.reports.words import day

    talk: Talk = ctx.obj
    told, person = day_of(told_on, "--told-on"), Person(by, os_user(), reason)
    with installation(talk) as there:
        request_id, now = full_id(there, request), there.clock.now()
        made = there.write(lambda unit: extended(unit, there.controller, request_id, person, told, now))
        talk.did = f"request {request_id} is extended, due {day(made.due_on)}"
        if as_json:
            talk.json({"request": request_id, "strict_on": made.strict_on, "due_on": made.due_on, "told_on": told})
        else:
            talk.data(f"{request_id}  due {day(made.due_on)}")
        one = standing_of(there, request_id)
        talk.ending(
            stored=f"the extension (by {by.strip()}) and its ledger entry, in {place_of_store(there)}",
            by_itself=by_itself(there, one),
            waits=waiting_for(there, one),
        )
    return Exit.DONE
