"""`dpsync processors`: what each processor can do for each right, and how long what is kept."""

import os
from typing import TYPE_CHECKING

import typer

from dpsync.cli.console import Talk
from dpsync.cli.options import AsJson
from dpsync.errors import ConfigurationError, Exit

if TYPE_CHECKING:
    from dpsync.reports.processors import ProcessorLine
    from dpsync.settings import Settings


def processors(ctx: typer.Context, *, as_json: AsJson = False) -> int:
    """Show what each processor can do, and how long what is kept. Without settings: what each connector can do."""
    from dpsync.cli.contact import named_everywhere
    from dpsync.reports.kept import kept_lines
    from dpsync.reports.make import processor_lines
    from dpsync.reports.processors import capabilities_text
    from dpsync.reports.render import json_value
    from dpsync.reports.visible import visible

    talk: Talk = ctx.obj
    loaded = _loaded(talk)
    lines, named = processor_lines(loaded) if loaded else _connectors(), named_everywhere(talk)
    kept = kept_lines(loaded) if loaded else ()
    if as_json:
        found = {"processors": [json_value(line) for line in lines], "contacts": named}
        talk.json(found | {"kept": [json_value(one) for one in kept]})
        return Exit.DONE
    shown = [capabilities_text(lines), *(f"Contact of {name}: {told}" for name, told in named.items())]
    if kept:
        shown += ["## What is kept, and for how long", "", *(visible(f"- {one.what}: {one.sentence}") for one in kept)]
    talk.data("\n".join(shown))
    return Exit.DONE


def _loaded(talk: Talk) -> "Settings | None":
    """The settings; None where there are none."""
    from dpsync import settings as configuration

    try:
        return configuration.load(talk.config, os.environ, secrets=False)
    except ConfigurationError:
        if talk.config.exists():
            raise
        talk.say(f"There is no {talk.config}. These are the connectors that dpsync has.")
        return None


def _connectors() -> "list[ProcessorLine]":
    from dpsync.known_connectors import connector_class, connector_names
    from dpsync.reports.processors import ProcessorLine, capability_lines

    notice = connector_class("notice")
    found = {name: connector_class(name) for name in connector_names()}
    return [
        ProcessorLine(name, name, capability_lines(one.capabilities, notice.capabilities if notice else {}))
        for name, one in found.items()
        if one is not None
    ]
