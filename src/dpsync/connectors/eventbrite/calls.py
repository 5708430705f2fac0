"""Eventbrite's calls, all of them reads: lists of which the place can get lost, and records that come in parts."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from dpsync.address import normalised
from dpsync.connector import Instruction, Kit, Reply, Retryable
from dpsync.http import api_root, retry_after
from dpsync.vendor.calls import Calls, Secret, part_of
from dpsync.vendor.connector import VendorSettings
from dpsync.vendor.errors import Ended, Error, Meaning, refused, unreadable
from dpsync.vendor.pace import Pace

VENDOR: Final = "https://www.eventbriteapi.com/v3"
MINE: Final = "/users/me/organizations/"
ORDERS: Final = "/organizations/{organization}/orders/"
ATTENDEES: Final = "/organizations/{organization}/attendees/"
EVENT: Final = "/events/{event}/attendees/"
STATUSES: Final = ("attending", "not_attending")  # refunded and deleted tickets are in the second

_RECORDS: Final = {"order": "/orders/{order}/", "attendee": "/events/{event}/attendees/{attendee}/"}
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_BUCKET = re.compile(r"\w+:\S+ ([0-9]{1,9})/([0-9]{1,9}) reset=([0-9]{1,9})s")

NOT_ACCEPTED: Final = "the processor does not accept the question"
MOVED: Final = "the processor says that its interface is elsewhere: see base_url"
WITHHELD: Final = "the token may not read what an organisation holds"
NOT_FOUND: Final = "what was asked for is not found there"
FILTER_IGNORED: Final = "the processor did not keep to the address that was asked for"
STALE: Final = "the list moved while it was read"


ERRORS: Final[tuple[Error, ...]] = (
    # the documentation says 400 for a bad token, the live interface 401
    Error((400, 401, 403), ("INVALID_AUTH", "INVALID_AUTH_HEADER", "NO_AUTH", "ACCESS_DENIED"), Meaning.REJECTED),
    Error((401, 403), (), Meaning.REJECTED),  # but for what `EventbriteCalls.read` knows of a 403
    Error((301,), ("PERMANENTLY_MOVED",), Meaning.NO, MOVED),
    Error((400,), (), Meaning.NO, NOT_ACCEPTED),
    Error((404,), (), Meaning.NO, NOT_FOUND),
)
"""By the vendor's own constant, which it asks to go by; the status alone is coarse."""


class EventbriteSettings(VendorSettings):
    """`token`: the private token of the account. `organizations`: the ids to search; none means all that it shows."""

    token: Secret
    base_url: Annotated[str, AfterValidator(lambda url: api_root(url, "/v3"))] | None = None
    organizations: tuple[Annotated[str, Field(pattern=f"^{_ID.pattern}$")], ...] = Field(default=(), max_length=1000)


Row = Mapping[str, object]


def id_of(row: Row, name: str = "id") -> str:
    """An id that a row has. Raises `Ended`."""
    found = row.get(name)
    if not isinstance(found, str) or not _ID.fullmatch(found):
        raise unreadable()
    return found


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a list: the place of the next one, "" after the last, and how many rows there are in all."""

    rows: tuple[Row, ...]
    next: str
    total: int | None


class EventbriteCalls(Calls):
    """The calls of one instruction."""

    errors = ERRORS
    marks = frozenset({"resource_uri", "event_id", "pagination"})

    def __init__(self, kit: Kit, settings: EventbriteSettings, pace: Pace, order: Instruction | None) -> None:
        super().__init__(kit, order)
        self._base = settings.base_url or VENDOR
        self._pace = pace
        # in the header alone: the vendor takes it in the query too, and from there it gets into logs
        self._headers = {"Accept": "application/json", "Authorization": f"Bearer {settings.token.get_secret_value()}"}

    def read(self, template: str, names: Mapping[str, str] | None = None, **params: str) -> Reply:
        """Read once. A yes, a no and a failed expansion are left to the caller.

        Raises `Ended`, `CredentialsRejected`.
        """
        names = names or {}
        self._pace.take()
        reply = self.ask(
            "GET",
            # an id is one by its form, so nothing in it needs quoting
            self._base + template.format(**names),
            template=template,
            headers=self._headers,
            params={name: value for name, value in params.items() if value},
            scope=names.get("organization", names.get("event", "")),  # an order's id would be a person's
        )
        self._note_limits(reply)
        code = self.code(reply)
        if (reply.status, code) == (403, "NOT_AUTHORIZED"):
            # of a whole organisation it is the token's role that ended: that is no answer to this request, but the same
            # for every other; who may not even see its organisations is a public token, which reads nothing we need
            if template == MINE or "organization" in names:
                raise self.rejected(reply, "" if template == MINE else WITHHELD)
            raise refused(WITHHELD)
        if (reply.status, code) != (500, "EXPANSION_FAILED") or "expand" not in params:
            said = retry_after(reply, self._kit.clock.now())
            limited = reply.status in (429, 503) and said is None
            self.demand_sense(reply, writing=False, wait=self._pace.left() or None if limited else said)
        return reply

    def code(self, reply: Reply) -> str:
        """The vendor's own constant for an error."""
        error = part_of(reply, "error")
        return error if isinstance(error, str) else ""

    def speaks(self, reply: Reply) -> bool:
        """As its documentation says of every error."""
        return self.shaped(reply, error=str, status_code=int)

    def _note_limits(self, reply: Reply) -> None:
        """Two buckets, of the token and of the key: the last twentieth is left to whatever else the organiser runs."""
        buckets = [[int(one) for one in found] for found in _BUCKET.findall(str(reply.headers.get("x-rate-limit")))]
        waits = [reset for used, limit, reset in buckets if 20 * used >= 19 * limit]
        if waits:
            self._pace.hold(timedelta(seconds=max(waits)))

    def page(self, key: str, template: str, names: Mapping[str, str] | None = None, **params: str) -> Page | None:
        """One page of a list; None where the token of its place is stale. Raises `Ended`."""
        reply = self.read(template, names, **params)
        if reply.status == 400 and self.code(reply) == "BAD_CONTINUATION_TOKEN":
            return None
        found = self.content(reply, dict)
        rows, about = found.get(key), found.get("pagination")
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows) or not isinstance(about, dict):
            raise unreadable()
        more, token, total = about.get("has_more_items"), about.get("continuation"), about.get("object_count")
        if not isinstance(more, bool) or (more and not (isinstance(token, str) and token)):
            raise unreadable()
        if more and token == params.get("continuation"):
            raise unreadable()  # it would lead in a circle
        asked = normalised(params.get("only_emails", ""))
        if asked and any(normalised(str(row.get("email"))) != asked for row in rows):
            raise refused(FILTER_IGNORED)  # somebody else's orders must not be handed over
        return Page(tuple(rows), str(token) if more else "", total if isinstance(total, int) else None)

    def rows(self, key: str, template: str, names: Mapping[str, str] | None = None, **params: str) -> list[Row]:
        """All pages, from the first again where the place got lost; as many rows as there were when it began."""
        for _ in range(2):
            found: list[Row] = []
            page = self.page(key, template, names, **params)
            total = page.total if page else None
            while page is not None:
                found += page.rows
                if not page.next and len(found) >= (total or 0):
                    return found
                page = self.page(key, template, names, **params, continuation=page.next) if page.next else None
        raise Ended(Retryable(reason=STALE))

    def record(self, kind: str, names: Mapping[str, str], parts: tuple[str, ...]) -> tuple[Row | None, bool]:
        """An order or an attendee, None where it is said not to exist; and whether each part of it was read.

        Where it cannot be put together there, it is read without its parts, and then each of them. Raises `Ended`.
        """
        reply = self.read(_RECORDS[kind], names, expand=",".join(parts))
        if reply.status != 500:
            return self._single(reply, names[kind]), True
        record = self._single(self.read(_RECORDS[kind], names), names[kind])
        whole = True
        for part in parts if record is not None else ():
            reply = self.read(_RECORDS[kind], names, expand=part)
            more = None if reply.status == 500 else self._single(reply, names[kind])
            whole = whole and more is not None
            record = {**(record or {}), part: more.get(part) if more else None}
        return record, whole

    def _single(self, reply: Reply, wanted: str) -> Row | None:
        if reply.status == 404 and self.code(reply) == "NOT_FOUND":
            return None
        found = self.content(reply, dict)
        if found.get("id") != wanted:
            raise unreadable()
        return found
