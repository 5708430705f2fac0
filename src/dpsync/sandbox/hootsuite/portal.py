"""Hootsuite's web app as an Inbox admin sees it: contacts with a Delete button, the log of it, and the CSV export.

Source: the vendor notes, sections 3 to 5. No API does any of this. The columns of the export are those that the help
pages name; how the vendor spells times in them is not known.
"""

import csv
import io
from collections.abc import Awaitable, Callable
from datetime import datetime
from html import escape
from typing import Protocol
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from dpsync.sandbox.hootsuite.inbox import Contact, Inbox, stamp

PREFIX = "/portal"
COLUMNS = (
    "Conversation ID",
    "Medium",
    "Channel",
    "Contact Profile ID",
    "Primary Identifier",
    "Secondary Identifier",
    "Created at",
    "Resolved at",
)


class Office(Protocol):
    """What the web app can do."""

    @property
    def inbox(self) -> Inbox:
        """The organisation's Inbox."""

    def delete_contact(self, contact: Contact, hint: str, admin: str = ...) -> None:
        """Delete, with the identity hint."""

    def export(self, start: datetime, end: datetime) -> str:
        """The CSV of "Resolved conversations"."""


def application(office: Office) -> Starlette:
    """The ASGI application below `/portal`."""

    async def contacts(request: Request) -> Response:
        wanted = request.query_params.get("search", "").strip().lower()
        held = [one for one in office.inbox.contacts.values() if any(wanted in text.lower() for text in one.texts())]
        return HTMLResponse("<h1>Contacts</h1>" + "".join(map(_row, held)))

    async def delete(request: Request) -> Response:
        contact = office.inbox.contacts.get(request.path_params["contact_id"])
        if contact is None:
            return PlainTextResponse("No such contact", 404)
        form = parse_qs((await request.body()).decode())
        office.delete_contact(contact, form.get("hint", [""])[0], "admin@example.org")
        return RedirectResponse(f"{PREFIX}/deleted", 303)

    async def deleted(_: Request) -> Response:
        rows = "".join(
            f"<tr><td>{escape(one.hint)}</td><td>{one.platform}</td><td>{stamp(one.at)}</td><td>{one.admin}</td></tr>"
            for one in office.inbox.deleted
        )
        return HTMLResponse(f"<h1>Deleted contacts</h1><table>{rows}</table>")

    async def export(request: Request) -> Response:
        try:
            start, end = (datetime.fromisoformat(request.query_params[name]) for name in ("from", "to"))
        except (KeyError, ValueError):
            return PlainTextResponse("from and to are ISO-8601 times", 400)
        return Response(office.export(start, end), media_type="text/csv")

    table: list[tuple[str, str, Callable[[Request], Awaitable[Response]]]] = [
        ("GET", "/contacts", contacts),
        ("POST", "/contacts/{contact_id}/delete", delete),
        ("GET", "/deleted", deleted),
        ("GET", "/exports/resolved-conversations.csv", export),
    ]
    return Starlette(routes=[Route(PREFIX + path, endpoint, methods=[method]) for method, path, endpoint in table])


def csv_of(inbox: Inbox, start: datetime, end: datetime, *, with_deleted: bool) -> str:
    """Every conversation resolved in the time; an open one is never in it.

    Whether the rows of a deleted contact stay is not documented: `with_deleted`.
    """
    held = [(contact, one) for contact in inbox.contacts.values() for one in contact.conversations]
    held += inbox.gone if with_deleted else []
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for contact, one in held:
        if one.status == "resolved" and one.resolved is not None and start <= one.created <= end:
            names = (contact.name, contact.handle)
            times = (stamp(one.created), stamp(one.resolved))
            writer.writerow((one.id, contact.medium, one.channel, contact.id, *names, *times))
    return out.getvalue()


def _row(contact: Contact) -> str:
    fields = "".join(f"<dd>{escape(name)}: {escape(value)}</dd>" for name, (value, _) in contact.attributes.items())
    return (
        f"<dl><dt>{escape(contact.name)}</dt><dd>{contact.medium} {escape(contact.handle)}</dd>{fields}</dl>"
        f'<form method="post" action="{PREFIX}/contacts/{contact.id}/delete">'
        '<input name="hint" placeholder="Contact identity hint"><button>Delete</button></form>'
    )
