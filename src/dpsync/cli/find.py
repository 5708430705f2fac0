"""`dpsync find`: what was asked for a person, and the proof of it, also when dpsync has forgotten who it was."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dpsync.cli.console import Talk, os_user
from dpsync.cli.options import AsJson
from dpsync.errors import Exit, NotFound, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from zoneinfo import ZoneInfo

    from dpsync.installation import Installation
    from dpsync.model import NameKind
    from dpsync.propagation.showing import FoundRequest
    from dpsync.reports.status import StatusRow


def find(
    ctx: typer.Context,
    *,
    email: Annotated[str, typer.Option(help="An email address of the person.")] = "",
    phone: Annotated[str, typer.Option(help="Or a telephone number of theirs.")] = "",
    own_id: Annotated[str, typer.Option("--id", help="Or their id in the main database.")] = "",
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="DIR", help="Also write a receipt of each request into this folder."),
    ] = None,
    by: Annotated[str, typer.Option(help="Who looks, for the record. Default: your account on this machine.")] = "",
    as_json: AsJson = False,
) -> int:
    """Find every request of a person, and the proof of it. dpsync records in each of them that you looked.

    It needs a name in full, as a request gave it, and finds a request also when it is forgotten: the proof is kept. If
    people share an address, PERSON says which requests belong together: look whose they are before you hand one out.
    """
    from dpsync.cli.opening import installation
    from dpsync.propagation.decisions import Person
    from dpsync.propagation.proof_boxes import unfindable
    from dpsync.propagation.showing import show_all
    from dpsync.reports.words import several

    talk: Talk = ctx.obj
    kind, value = _named(email, phone, own_id)
    if output is not None and not output.is_dir():
        raise NotFound(f"there is no folder {output}: make it first")
    with installation(talk, secrets=False) as there:
        now, user = there.clock.now(), os_user()
        person = Person(by.strip() or user, user, "shown by `dpsync find`")
        found = there.write(lambda unit: show_all(unit, there, kind, value, person, now))
        ids = ", ".join(one.request_id for one in found)
        talk.did = f"that {ids} was shown is on the record; it may be shown again" if found else ""
        paths = {one.request_id: _proof_of(there, one, output, now) for one in found}
        _show(talk, there, found, paths, now, as_json=as_json)
        if unknown := there.read(unfindable):
            count = several(unknown, "older request")
            talk.warn(f"{count} cannot be found so, forgotten by a version that did not keep how: see the receipts")
    return Exit.DONE


def _named(email: str, phone: str, own_id: str) -> "tuple[NameKind, str]":
    given: list[tuple[NameKind, str]] = [("address", email), ("phone", phone), ("id", own_id)]
    said = [(kind, value.strip()) for kind, value in given if value.strip()]
    if len(said) != 1:
        raise UsageError("name the person in one way: --email, --phone or --id")
    _demand_name(*said[0])
    return said[0]


def _demand_name(kind: "NameKind", value: str) -> None:
    """Text around an address finds nobody, and would read as if nothing had been asked."""
    from dpsync.address import NotAnAddress, mailbox
    from dpsync.telephone import phone_digits

    try:
        if kind == "address":
            mailbox(value)
    except NotAnAddress as problem:
        raise UsageError(f"--email {problem}: give the address alone") from None
    if kind == "phone" and not phone_digits(value):
        raise UsageError("--phone is not a telephone number")


def _proof_of(there: "Installation", one: "FoundRequest", output: Path | None, now: "datetime") -> str:
    """Where its receipt lies: written into the folder `output`, or as it was kept; "" for nowhere."""
    from dpsync.cli.opening import written
    from dpsync.ledger.receipt import dump
    from dpsync.ledger.receipt_folder import VERIFIER

    kept = there.settings.ledger.receipts / f"{one.request_id}.json"
    if output is None:
        return str(kept) if kept.is_file() else ""
    try:
        content = dump(there.receipt(one.request_id, now, one.commit_key))
    except NotFound:
        if not kept.is_file():
            return ""
        content = kept.read_bytes()
    path = output / kept.name
    written(output / VERIFIER.name, VERIFIER.read_bytes())
    written(path, content)  # last: where it stands, all of it does
    return str(path)


def _show(
    talk: Talk,
    there: "Installation",
    found: "Sequence[FoundRequest]",
    paths: dict[str, str],
    now: "datetime",
    *,
    as_json: bool,
) -> None:
    from dpsync.reports.make import known_processors
    from dpsync.reports.render import json_value
    from dpsync.reports.status import status_rows

    known = known_processors(there.settings)
    rows = {
        one: there.read(partial(status_rows, now=now, request_id=one.request_id, processors=known))[0] for one in found
    }
    if as_json:
        lines = [_value(one, said, paths[one.request_id]) for one, said in rows.items()]
        talk.json({"requests": [json_value(line) for line in lines]})
    elif not found:
        talk.data("No request names a person so.")
    else:
        cells = [_cells(one, said, paths[one.request_id], there.zone) for one, said in rows.items()]
        talk.table(("PERSON", "REQUEST", "RECEIVED", "RIGHT", "STATE", "RECEIPT"), cells)
    people = len({one.person for one in found})
    if people > 1:
        talk.warn(f"{people} people share this name. Look whose request it is before you hand anything out.")


def _value(one: "FoundRequest", said: "StatusRow", path: str) -> dict[str, object]:
    return {
        "request": one.request_id,
        "person": one.person,
        "received_at": said.received_at,
        "right": said.right,
        "lifting": said.lifting,
        "states": said.states,
        "named": one.commit_key is not None,
        "receipt": path or None,
    }


def _cells(one: "FoundRequest", said: "StatusRow", path: str, zone: "ZoneInfo") -> tuple[str, ...]:
    day = f"{said.received_at.astimezone(zone):%Y-%m-%d}"
    return str(one.person), one.request_id, day, said.right.value, said.states, path or "not written yet"
