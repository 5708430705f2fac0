"""What the value of an option is called in the help: a word for people, and never a type of Python."""

from typing import Any

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


def name_values(command: Any) -> None:
    """Give each option and argument of a command of typer's, and of those in it, such a word where it has none."""
    for one in command.params:
        _name_value(one)
    for inner in getattr(command, "commands", {}).values():
        name_values(inner)


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
