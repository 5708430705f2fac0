"""`dpsync contact`: which address counts as a processor's contact, and naming another one."""

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from dpsync.cli.console import Talk
from dpsync.cli.options import AsJson
from dpsync.errors import DpsyncError, Exit, UsageError

if TYPE_CHECKING:
    from dpsync.installation import Installation
    from dpsync.propagation.contacts import Named


def contact(
    ctx: typer.Context,
    processor: Annotated[str, typer.Argument(metavar="PROCESSOR", help="Its name in the settings.")],
    address: Annotated[
        str, typer.Argument(metavar="[ADDRESS]", help="The right contact. That of the settings takes it back.")
    ] = "",
    *,
    by: Annotated[
        str, typer.Option(help="Who names it: needed with ADDRESS. Your account on this machine is recorded too.")
    ] = "",
    reason: Annotated[str, typer.Option(help="Why: needed with ADDRESS. dpsync keeps it sealed.")] = "",
    as_json: AsJson = False,
) -> int:
    """Show which contact of a processor counts, or name another one: it counts once it has confirmed its address.

    Until then the contact in the settings counts. A newer setting counts again.
    """
    from dpsync.cli.console import os_user
    from dpsync.cli.opening import demand_processors, installation, place_of_store
    from dpsync.propagation.decisions import Person
    from dpsync.propagation.naming import name_contact

    talk: Talk = ctx.obj
    if address and not (by.strip() and reason.strip()):
        raise UsageError("say with --by who names it, and with --reason why")
    with installation(talk, compare=bool(address)) as there:
        demand_processors(there, [processor])
        if address:
            person, now = Person(by, os_user(), reason), there.clock.now()
            there.write(lambda unit: name_contact(unit, there.controller, processor, address, person, now))
            talk.did = f"a contact of {processor} is named"
        _print(talk, there, processor, as_json=as_json)
        if address:
            talk.ending(
                stored=f"what was named, and the ledger entry, in {place_of_store(there)}",
                by_itself="the address is asked to confirm itself, within a minute. You and the DPO are told.",
                waits="somebody at that address confirms it. Until then the contact in the settings counts.",
            )
    return Exit.DONE


def _print(talk: Talk, there: "Installation", name: str, *, as_json: bool) -> None:
    from dpsync.propagation.contacts import NamedState, named, present

    processor = there.controller.processors[name]
    one = there.read(lambda connection: named(connection, there.controller, processor))
    counts = there.read(lambda connection: present(connection, there.controller, processor))
    if as_json:
        other = {"address": one.address, "by": one.by, "at": one.at, "state": one.state.value} if one else None
        talk.json({"processor": name, "counts": counts, "settings": processor.contact, "named": other})
        return
    talk.data(f"{name}  {counts}")
    if one is not None:
        talk.data(f"  {told_of(one, there)}")
        if one.state is not NamedState.OVERRULED:
            talk.data(f'  To keep it, write into the settings, under [processors.{name}]: contact = "{one.address}"')


def named_everywhere(talk: Talk) -> dict[str, str]:
    """A sentence for each contact that was named in place of the settings', where there is a database to look into."""
    from dpsync.cli.opening import installation
    from dpsync.propagation.contacts import named_for

    found: dict[str, str] = {}
    with suppress(DpsyncError), installation(talk, secrets=False, compare=False) as there:
        for name, section in there.settings.processors.items():
            if one := there.read(partial(named_for, keys=there.keys, name=name, contact=section.contact)):
                found[name] = told_of(one, there)
    return found


def told_of(one: "Named", there: "Installation") -> str:
    """Which counts of two contacts, and why, as a sentence."""
    from dpsync.propagation.contacts import NamedState
    from dpsync.reports.words import moment

    who = f"{one.by} named {one.address} on {moment(one.at, there.zone)}"
    match one.state:
        case NamedState.COUNTS:
            return f"{who}. It has confirmed itself and counts, in place of the contact in the settings."
        case NamedState.WAITS:
            return f"{who}. It has not confirmed itself: the contact in the settings counts."
        case NamedState.OVERRULED:
            return f"{who}. The settings name another contact since: that one counts."
