"""`dpsync links`: which links were mailed to people of the controller, and how they are revoked."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from dpsync.cli.console import Talk
from dpsync.cli.options import AsJson
from dpsync.errors import Exit, NotFound, UsageError

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from sqlalchemy import Connection

    from dpsync.installation import Installation
    from dpsync.propagation.decisions import Person
    from dpsync.store.writer import Unit

group = typer.Typer(
    no_args_is_help=True, help="Links in emails to your own people: to pages that show something, and to decisions."
)


@dataclass(frozen=True, slots=True)
class LinkLine:
    """One link. `opens`: report, register, status, dossier, receipt, case or decision; `about`: a month, a request
    or a case."""

    id: str
    opens: str
    about: str
    role: str
    made_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
    good: bool


@group.command("show")
def show(
    ctx: typer.Context,
    *,
    every: Annotated[bool, typer.Option("--all", help="Show links that are over or revoked, too.")] = False,
    as_json: AsJson = False,
) -> int:
    """Show which links are good, what each opens, and until when. It never shows the links themselves."""
    from dpsync.cli.opening import installation
    from dpsync.reports.render import json_value
    from dpsync.reports.words import moment

    talk: Talk = ctx.obj
    with installation(talk, secrets=False, compare=False) as there:
        now = there.clock.now()
        lines = [line for line in there.read(lambda c: _lines(c, now)) if every or line.good]
        if as_json:
            talk.json({"links": [json_value(asdict(line)) for line in lines]})
            return Exit.DONE
        rows = [
            (line.id, line.opens, line.about[:8], line.role, moment(line.made_at, there.zone), _until(line, there.zone))
            for line in lines
        ]
        if rows:
            talk.table(("ID", "OPENS", "ABOUT", "ROLE", "MADE", "GOOD UNTIL"), rows)
        else:
            talk.say("There are no links.")
    return Exit.DONE


@group.command("revoke")
def revoke(
    ctx: typer.Context,
    ids: Annotated[
        list[str] | None, typer.Argument(help="Links, by their ids as `dpsync links show` prints them.", metavar="ID")
    ] = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="Revoke every link that is good.")] = False,
    by: Annotated[str, typer.Option(help="Who revokes them, for the record. Default: your account.")] = "",
    as_json: AsJson = False,
) -> int:
    """Make links open nothing any more, at once. Later emails carry new ones; an open question is asked anew."""
    from dpsync.cli.console import os_user
    from dpsync.cli.opening import installation
    from dpsync.propagation.decisions import Person

    talk: Talk = ctx.obj
    if bool(ids) is every:
        raise UsageError("give the ids of links, or --all")
    with installation(talk, secrets=False) as there:
        now = there.clock.now()
        user = os_user()
        person = Person(by.strip() or user, user, "revoked by `dpsync links revoke`")
        closed = there.write(lambda unit: _revoked(unit, there, ids or None, person, now))
        talk.did = f"{len(closed)} links are revoked"
        if as_json:
            talk.json({"revoked": closed})
        else:
            talk.data("\n".join(closed) if closed else "nothing was revoked: no such link is good")
        talk.ending(
            stored="these links open nothing any more, and the ledger says so" if closed else "nothing new",
            by_itself="later emails carry new links. A question that is open is asked again in a day.",
            waits="if somebody has read the mailbox: change its password first.",
        )
    return Exit.DONE


def _until(line: LinkLine, zone: "ZoneInfo") -> str:
    from dpsync.reports.words import moment

    return f"revoked {moment(line.revoked_at, zone)}" if line.revoked_at else moment(line.expires_at, zone)


def _lines(connection: "Connection", now: datetime) -> list[LinkLine]:
    from dpsync.propagation import page_links, questions

    pages = [
        LinkLine(
            id=row.id,
            opens=row.kind,
            about=row.about,
            role=row.role,
            made_at=row.created_at,
            expires_at=row.expires_at,
            revoked_at=row.revoked_at,
            good=page_links.is_good(row, now),
        )
        for row in page_links.listed(connection)
    ]
    asked = [
        LinkLine(
            id=row.id,
            opens="decision",
            about=row.request_id,
            role=row.role,
            made_at=row.created_at,
            expires_at=row.expires_at,
            revoked_at=None,
            good=questions.is_open(row, now),
        )
        for row in questions.not_ended(connection)
    ]
    return sorted([*pages, *asked], key=lambda line: line.made_at, reverse=True)


def _revoked(unit: "Unit", there: "Installation", ids: list[str] | None, person: "Person", now: datetime) -> list[str]:
    """The ids that were good until now. Raises `NotFound` for an id that no link has, before anything is written."""
    from dpsync.propagation import page_links, questions
    from dpsync.propagation.revoking import enter

    lines = {line.id: line for line in _lines(unit.connection, now)}
    unknown = sorted(set(ids or ()) - lines.keys())
    if unknown:
        raise NotFound(f"there is no link {', '.join(unknown)}; `dpsync links show --all` shows them")
    chosen = [line.id for line in lines.values() if line.good and (ids is None or line.id in ids)]
    page_links.revoke(unit.connection, chosen, now)
    for row in questions.not_ended(unit.connection):
        if row.id in chosen:
            questions.close(unit.connection, row, questions.Outcome.REVOKED, now)
    for link_id in chosen:
        enter(unit, there, link_id, f"{lines[link_id].opens} {lines[link_id].role}", lines[link_id].about, person, now)
    return chosen
