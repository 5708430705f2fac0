"""What the commands of complaints and incidents share: their options, and how these are read."""

from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from dpsync.cli import requesting as ask
from dpsync.errors import UsageError

if TYPE_CHECKING:
    from enum import StrEnum

    from dpsync.cases.values import PersonTold
    from dpsync.installation import Installation
    from dpsync.propagation.decisions import Person

    E = TypeVar("E", bound=StrEnum)

By = Annotated[str, typer.Option(help="Who records it. Your account on this machine is recorded too.")]
On = Annotated[str, typer.Option(metavar="DATE", help="On which day the person was told.")]
How = Annotated[
    str, typer.Option(metavar="HOW", help="How the person was told: mail, post, phone, form, social, staff, other.")
]
Letter = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="What was sent. dpsync records its SHA-256 and does not keep the file.",
        exists=True,
        dir_okay=False,
    ),
]
Note = Annotated[str, typer.Option(help="Words for the record. dpsync keeps them sealed.")]
Many = list[str] | None


def case_of(there: "Installation", letter: str, prefix: str) -> str:
    """The full id of the one case that begins so. Raises `NotFound`."""
    from dpsync.cases.acts import find_case

    return there.read(lambda connection: find_case(connection, letter, prefix))


def person_of(by: str, reason: str) -> "Person":
    """Who records it: the name that was given, and the account of the operating system."""
    from dpsync.cli.console import os_user
    from dpsync.propagation.decisions import Person

    return Person(by, os_user(), reason)


def told_of(on: str, how: str, letter: Path | None) -> "PersonTold":
    """When and how a person was told, with the digest of what was sent. Raises `UsageError`."""
    from dpsync.cases.values import Channel, PersonTold
    from dpsync.cli.opening import day_of

    digest = sha256(letter.read_bytes()).hexdigest() if letter else ""
    return PersonTold(day_of(on, "--on"), one_of(Channel, how, "--how"), digest)


def one_of(kind: "type[E]", text: str, option: str) -> "E":
    """The one of a closed set that an option names. Raises `UsageError`, and says which there are."""
    name = text.strip().lower().replace("-", "_")
    if name not in list(kind):
        raise UsageError(f"{option} must be one of {', '.join(kind)}")
    return kind(name)


def moment_at(text: str, there: "Installation", option: str) -> datetime:
    """A moment that an option names; a day is its first moment in the controller's zone. Raises `UsageError`."""
    told = ask.moment_of(text, there.zone)
    try:
        moment = datetime.fromisoformat(told or "")
    except ValueError:
        raise UsageError(f"{option} is not a date. Write dates like 2026-11-20") from None
    if moment.tzinfo is None:
        raise UsageError(f"{option}: a time needs its time zone, such as 2026-11-20T09:30+00:00")
    return moment
