"""`dpsync hooks`: the webhooks by which processors tell of people who opt out there."""

from typing import TYPE_CHECKING, Annotated

import typer

from dpsync.cli.console import Talk
from dpsync.cli.options import AsJson
from dpsync.errors import Exit

if TYPE_CHECKING:
    from collections.abc import Callable

    from dpsync.intake.vendor_hooks import OurHook, VendorHooks

Which = Annotated[
    str | None, typer.Argument(metavar="PROCESSOR", help="Without it, all whose webhooks dpsync can look after.")
]

group = typer.Typer(no_args_is_help=True, help="Webhooks by which processors tell of people who opt out there.")


@group.command("list")
def list_(ctx: typer.Context, processor: Which = None, *, as_json: AsJson = False) -> int:
    """Ask each vendor whether our webhook is registered there. It changes nothing.

    A processor that has no such webhook is listed, too: nobody tells dpsync who opts out there.
    Exit code 2: one is missing, tells nothing, or the vendor could not be asked.
    """
    return _each(ctx, processor, lambda one: one.listed(), compare=False, as_json=as_json, every=True)


@group.command("register")
def register(ctx: typer.Context, processor: Which = None, *, as_json: AsJson = False) -> int:
    """Register our webhook at the vendor, in every list where it is not. Given again, it changes nothing.

    It needs `inbound_secret` in the processor's section, `public_url` in [intake], and a service that answers there:
    Mailchimp calls the address first. Exit code 2: one is not registered, and the answer says why.
    """
    code = _each(ctx, processor, lambda one: one.registered(), compare=True, as_json=as_json)
    talk: Talk = ctx.obj
    if code == Exit.DONE:
        talk.say("`dpsync hooks test` shows whether one arrives.")
    return code


@group.command("test")
def try_out(ctx: typer.Context, processor: Which = None, *, as_json: AsJson = False) -> int:
    """Have one sent to every list where it is registered, and say whether it arrived.

    Where the vendor can send one, it does. Otherwise dpsync sends one itself, to its own public address. It is nobody's
    wish. Exit code 2: one did not arrive, or is not registered.
    """
    return _each(ctx, processor, lambda one: one.tried(), compare=False, as_json=as_json)


def _each(
    ctx: typer.Context,
    processor: str | None,
    act: "Callable[[VendorHooks], list[OurHook]]",
    *,
    compare: bool,
    as_json: bool,
    every: bool = False,
) -> int:
    from dpsync.cli.opening import installation
    from dpsync.intake.vendor_hooks import VendorHooks, is_good, unheard, with_hooks

    talk: Talk = ctx.obj
    with installation(talk, compare=compare) as there:
        none = unheard(there.settings, processor) if every else []
        names = [processor] if processor else with_hooks(there.settings)
        found = [one for name in names if not processor or not none for one in act(VendorHooks(there, name))] + none
    _show(talk, found, as_json=as_json)
    return Exit.DONE if is_good(found) else Exit.LOOK


def _show(talk: Talk, found: "list[OurHook]", *, as_json: bool) -> None:
    if as_json:
        talk.json({"hooks": [_said(one) for one in found]})
    elif not found:
        talk.data("there is no processor whose webhooks dpsync can look after")
    else:
        head = ("PROCESSOR", "LIST", "OUR WEBHOOK", "OTHERS", "WHY", "TEST")
        talk.table(head, [_row(one) for one in found])


def _row(one: "OurHook") -> tuple[str, ...]:
    place = f"{one.title} ({one.place})" if one.title else one.place
    return (one.processor, place, one.state.value, str(one.others) if one.place else "", one.why, one.tried)


def _said(one: "OurHook") -> dict[str, object]:
    return {
        "processor": one.processor,
        "place": one.place,
        "title": one.title,
        "state": one.state.value,
        "why": one.why,
        "others": one.others,
        "tried": one.tried,
        "arrived": one.arrived,
    }
