"""What the help says: a whole sentence for each command, and for the value of an option a word for people, never a type
of Python.
"""

import re
from typing import Any

_SENTENCE = re.compile(r".+?\.(?=\s+[A-Z`]|\s*$)", re.DOTALL)

WORDS = {
    "by": "NAME",
    "contact": "WHO",
    "dpo": "ADDRESS",
    "email": "ADDRESS",
    "other_email": "ADDRESS",
    "event_id": "ID",
    "lift_how": "HOW",
    "operator": "ADDRESS",
    "reason": "WHY",
    "because": "WHY",
    "note": "WORDS",
    "subject_id": "ID",
    "latency_ms": "MILLISECONDS",
    "since": "FILE",
    "scenario": "FILE",
    "checkpoint": "FILE",
    "folder": "DIR",
}
"""By the parameter's name; without a word here it is the name itself, in capitals."""


def for_people(command: Any) -> None:
    """Give a command of typer's, and each of those in it, the first sentence of its help where they are listed: typer
    cuts it off at the end of the line. Give each option and argument a word for its value where it has none.
    """
    if command.help and not command.short_help and (sentence := _SENTENCE.match(command.help)):
        command.short_help = " ".join(sentence[0].split())
    for one in command.params:
        _name_value(one)
    for inner in getattr(command, "commands", {}).values():
        for_people(inner)


def _name_value(param: Any) -> None:
    from typer.core import TyperArgument

    word = param.metavar or WORDS.get(param.name, param.name.replace("_", "-").upper())
    if isinstance(param, TyperArgument):
        param.metavar = word
        if not param.type_descriptor.is_choice:
            setattr(param, "display_type_rich", _nothing)  # noqa: B010 - because typer asks a method of its class
    elif param.type_descriptor.is_choice and param.type_descriptor.is_list:
        param.metavar = param.metavar or "|".join(str(one.value) for one in param.type_descriptor.choices)
    elif not (param.is_flag or param.count or param.type_descriptor.is_choice):
        param.metavar = word


def _nothing(ctx: object) -> str:
    del ctx
    return ""
