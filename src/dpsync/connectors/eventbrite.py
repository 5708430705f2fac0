"""Eventbrite API v3: finds a person's orders and tickets and reads them back. It documents no call that changes one.

So every right is found by API, asked for by a notice to the privacy contact, and read back by API after its answer.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, ClassVar, Final, Self, assert_never, cast
from zlib import crc32

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from dpsync.address import folded, normalised
from dpsync.connector import (
    Account,
    AsAsked,
    CannotTell,
    Capability,
    Connector,
    Contradicts,
    Finding,
    HandOver,
    Inbound,
    Instruction,
    Kit,
    Means,
    NotIdentifiable,
    Outcome,
    Recipient,
    Reply,
    Retryable,
)
from dpsync.errors import (
    PayloadInvalid,
    UnsupportedRight,
)
from dpsync.http import api_root, demand_own_address, json_of, retry_after
from dpsync.model import Changes, FieldValue, Right
from dpsync.vendor.calls import Calls, Secret
from dpsync.vendor.corrections import NOT_COMPARABLE, compared
from dpsync.vendor.errors import BUSY, UNDOCUMENTED, Ended, refused, unreadable

_VENDOR: Final = "https://www.eventbriteapi.com/v3"
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_HINT = re.compile(r"orders/[0-9]{1,30}/|events/[0-9]{1,30}/attendees/[0-9]{1,30}/")
_SLOTS: Final = 64  # hints kept at most: a lost one costs nothing, for the list of changes is read as well
_BUCKET = re.compile(r"\w+:\S+ ([0-9]{1,9})/([0-9]{1,9}) reset=([0-9]{1,9})s")
_LONGEST_WAIT: Final = timedelta(hours=24)
_STATUSES: Final = ("attending", "not_attending")  # refunded and deleted tickets are in the second
_OVERLAP: Final = timedelta(minutes=15)  # between two readings of changes: their clock is not ours
_UNSUBSCRIBE: Final = timedelta(hours=48)  # how long the vendor says that an unsubscribe may take
_OURS = frozenset({"question", "question_id", "ticket_class_name", "event", "barcodes", "resource_uri"})
_REJECTED = frozenset({"INVALID_AUTH", "INVALID_AUTH_HEADER", "NO_AUTH", "ACCESS_DENIED"})
_TEXTS: Final = ("answers", "survey_responses")
_ORDER_TEXTS: Final = (*_TEXTS, "refund_requests")
_PREFERENCES: Final = ("contact_list_preferences",)

NOT_ACCEPTED: Final = "the processor does not accept the question"
MOVED: Final = "the processor says that its interface is elsewhere: see base_url"
WITHHELD: Final = "the token may not read what an organisation holds"
NOT_FOUND: Final = "what was asked for is not found there"
NO_ORGANISATION: Final = "the token shows no organisation, or not the configured one"
FILTER_IGNORED: Final = "the processor did not keep to the address that was asked for"
STALE: Final = "the list moved while it was read"
NO_FLAG: Final = "nothing in the interface shows whether data is restricted"
NOT_LOCATED: Final = "no record was found by the interface before, so there is none to compare"
NO_LONGER_HELD: Final = "the records that were found are there no longer, so there is none to compare"
NO_CONTROL: Final = "nothing else could be read that shows that the token still reads"
UNSUBSCRIBING: Final = "still subscribed; the processor takes up to 48 hours"


class EventbriteSettings(BaseModel):
    """`token`: the private token of the account. `organizations`: the ids to search; none means all that it shows."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    token: Secret
    base_url: Annotated[str, AfterValidator(lambda url: api_root(url, "/v3"))] | None = None
    organizations: tuple[Annotated[str, Field(pattern=f"^{_ID.pattern}$")], ...] = Field(default=(), max_length=1000)

    @property
    def base(self) -> str:
        """Where the API is, without a slash at the end."""
        return self.base_url or _VENDOR


def _error(reply: Reply) -> str:
    """The vendor's own constant for an error, which it asks to go by; the status alone is coarse."""
    found = json_of(reply)
    return str(found.get("error")) if isinstance(found, dict) else ""


Row = Mapping[str, object]


def _id_of(row: Row, name: str = "id") -> str:
    found = row.get(name)
    if not isinstance(found, str) or not _ID.fullmatch(found):
        raise unreadable()
    return found


@dataclass(frozen=True, slots=True)
class _Page:
    rows: tuple[Row, ...]
    next: str
    total: int | None


class _Budget:
    """What the rate header leaves: two buckets, of the token and of the key, of which the tighter one counts."""

    def __init__(self, kit: Kit) -> None:
        self._clock = kit.clock
        self._spent_until = float("-inf")

    def note(self, reply: Reply) -> None:
        """The last twentieth is left to whatever else the organiser runs on this token."""
        buckets = [[int(one) for one in found] for found in _BUCKET.findall(str(reply.headers.get("x-rate-limit")))]
        waits = [reset for used, limit, reset in buckets if 20 * used >= 19 * limit]
        if waits:
            self._spent_until = self._clock.monotonic() + min(max(waits), _LONGEST_WAIT.total_seconds())

    def left(self) -> timedelta:
        """How long no call may be made."""
        return timedelta(seconds=max(0.0, self._spent_until - self._clock.monotonic()))


class _Calls(Calls):
    """The calls of one instruction, all of them reads."""

    def __init__(self, kit: Kit, settings: EventbriteSettings, budget: _Budget, order: Instruction | None) -> None:
        super().__init__(kit, order)
        self._base = settings.base
        self._budget = budget
        # in the header alone: the vendor takes it in the query too, and from there it gets into logs
        self._headers = {"Accept": "application/json", "Authorization": f"Bearer {settings.token.get_secret_value()}"}

    def read(self, template: str, names: Mapping[str, str] | None = None, **params: str) -> Reply:
        """Read once. A 200, 400, 404 and a failed expansion are left to the caller.

        Raises `Ended`, `CredentialsRejected`.
        """
        names = names or {}
        if left := self._budget.left():
            raise Ended(Retryable(reason=BUSY, busy=True, retry_after=left), stop=True)
        reply = self.ask(
            "GET",
            # an id is one by its form, so nothing in it needs quoting
            self._base + template.format(**names),
            template=template,
            headers=self._headers,
            params={name: value for name, value in params.items() if value},
            scope=names.get("organization", names.get("event", "")),  # an order's id would be a person's
        )
        self._budget.note(reply)
        self.last = reply
        self._passable(reply, own=template == _MINE, whole="organization" in names, expanded="expand" in params)
        return reply

    def speaks(self, reply: Reply) -> bool:
        """As its documentation says of every error."""
        return self.shaped(reply, error=str, status_code=int)

    def _passable(self, reply: Reply, *, own: bool, whole: bool, expanded: bool) -> None:
        error = _error(reply)
        # a token that may not even see its own organisations is a public one, which reads nothing that we need
        withheld = reply.status == 403 and error == "NOT_AUTHORIZED" and not own
        # the documentation says 400 for a bad token, the live interface 401
        if error in _REJECTED or reply.status == 401 or (reply.status == 403 and not withheld):
            raise self.rejected(reply)
        if withheld and whole:  # the token's role ended: not a no to this request, and the same for every other
            raise self.rejected(reply, WITHHELD)
        if reply.status == 500 and expanded and error == "EXPANSION_FAILED":
            return
        said = retry_after(reply, self._kit.clock.now())
        limited = reply.status in (429, 503) and said is None
        self.demand_sense(reply, writing=False, wait=self._budget.left() or None if limited else said)
        match reply.status:
            case 403 if withheld:
                raise refused(WITHHELD)
            case 301 if error == "PERMANENTLY_MOVED":
                raise refused(MOVED)
            case status if 200 < status < 300:
                raise unreadable()
            case status if status not in (200, 400, 404):
                raise refused()

    @staticmethod
    def _object(reply: Reply) -> Row:
        if reply.status != 200:
            known = {400: NOT_ACCEPTED, 404: NOT_FOUND}
            raise refused(known[reply.status] if _error(reply) else UNDOCUMENTED)
        found = json_of(reply)
        if not isinstance(found, dict):
            raise unreadable()
        return cast("dict[str, object]", found)

    def page(self, key: str, template: str, names: Mapping[str, str] | None = None, **params: str) -> _Page | None:
        """One page of a list; None where the token of its place is stale. Raises `Ended`."""
        reply = self.read(template, names, **params)
        if reply.status == 400 and _error(reply) == "BAD_CONTINUATION_TOKEN":
            return None
        found = self._object(reply)
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
        return _Page(tuple(rows), str(token) if more else "", total if isinstance(total, int) else None)

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
        if reply.status == 404 and _error(reply) == "NOT_FOUND":
            return None
        found = self._object(reply)
        if found.get("id") != wanted:
            raise unreadable()
        return found


_RECORDS: Final = {"order": "/orders/{order}/", "attendee": "/events/{event}/attendees/{attendee}/"}
_MINE: Final = "/users/me/organizations/"
_ORDERS: Final = "/organizations/{organization}/orders/"
_ATTENDEES: Final = "/organizations/{organization}/attendees/"
_EVENT: Final = "/events/{event}/attendees/"


# --- whom it holds


@dataclass(frozen=True, slots=True)
class _Found:
    """A record of the person. `own`: it bears one of the addresses now, and did not only bear it once."""

    kind: str
    id: str
    event: str
    order: str = ""
    own: bool = True

    @property
    def names(self) -> dict[str, str]:
        return {"order": self.id} if self.kind == "order" else {"event": self.event, "attendee": self.id}

    def __str__(self) -> str:
        told = f"{self.kind} {self.id} of event {self.event}" + (f", order {self.order}" if self.order else "")
        # a ticket may have been passed on to somebody else
        return told if self.own else f"{told} (bore the address once and does not now: compare before you act)"


@dataclass(frozen=True, slots=True)
class _Run:
    """How far one list of attendees was read: `upto` by whole runs; `next` is the place in the one that `begun`."""

    upto: str = ""
    begun: str = ""
    next: str = ""
    seen: int = 0
    total: int = 0

    @property
    def since(self) -> str:
        return f"{datetime.fromisoformat(self.upto) - _OVERLAP:%Y-%m-%dT%H:%M:%SZ}" if self.upto else ""


def _profile(row: Row) -> Row:
    found = row.get("profile")
    return cast("dict[str, object]", found) if isinstance(found, dict) else {}


class _Index:
    """Who holds which ticket, by the keyed pseudonym of the address: the vendor's own search knows buyers only.

    On the shelf: `who/PSEUDONYM/ATTENDEE` is [event, order], kept when the address changes; `is/ATTENDEE`
    the pseudonym it has now; `index/ORGANISATION/STATUS` how far the list was read; `look/N` what a webhook named.
    """

    def __init__(self, kit: Kit) -> None:
        self._kit = kit

    def read(self, calls: _Calls, organisation: str) -> None:
        """Bring one organisation up to date. What was read stays read, however this ends. Raises `Ended`."""
        for status in _STATUSES:
            if not self._read(calls, organisation, status):
                self._read(calls, organisation, status)  # what changed since the run that was cut began

    def _read(self, calls: _Calls, organisation: str, status: str) -> bool:
        """Read to the end; whether it was begun just now. Raises `Ended`."""
        place, names, again = f"index/{organisation}/{status}", {"organization": organisation}, False
        run = _Run(**json.loads(self._kit.shelf.get(place) or "{}"))
        resumed = bool(run.begun)
        run = run if resumed else replace(run, begun=self._kit.clock.now().isoformat())
        while True:
            page = calls.page(
                "attendees", _ATTENDEES, names, status=status, changed_since=run.since, continuation=run.next
            )
            rows = self._entries(page.rows) if page else {}
            if page is not None:
                first = run.total if run.next else page.total or 0
                run = replace(run, next=page.next, seen=run.seen + len(page.rows), total=first)
            whole = page is not None and not page.next and run.seen >= run.total
            if page is None or not page.next:  # the end, or the place was lost, or rows slipped past: from page 1 then
                run = _Run(upto=run.begun) if whole else _Run(upto=run.upto, begun=run.begun)
            self._kit.shelf.put_all({**rows, place: json.dumps(asdict(run))})
            if whole:
                return not resumed
            if not run.next and again:
                raise Ended(Retryable(reason=STALE))
            again = again or not run.next

    def _entries(self, rows: Iterable[Row]) -> dict[str, str]:
        entries: dict[str, str] = {}
        for row in rows:
            email = _profile(row).get("email")
            who = self._kit.pseudonym(normalised(email)) if isinstance(email, str) and email else ""
            value = json.dumps([_id_of(row, "event_id"), str(row.get("order_id") or "")])
            entries[f"is/{_id_of(row)}"] = who
            if who:
                entries[f"who/{who}/{_id_of(row)}"] = value
        return entries

    def look(self, calls: _Calls) -> None:
        """Read what webhooks named. Raises `Ended` only where the whole account must wait."""
        for place, path in self._kit.shelf.find("look/").items():
            if not path:
                continue
            ids = path.strip("/").split("/")
            kind = "order" if ids[0] == "orders" else "attendee"
            names = {"order": ids[1]} if kind == "order" else {"event": ids[1], "attendee": ids[3]}
            rows: dict[str, str] = {}
            try:
                found, _ = calls.record(kind, names, ("attendees",) if kind == "order" else ())
                listed = found.get("attendees") if found and kind == "order" else [found]
                rows = self._entries(row for row in listed if isinstance(row, dict)) if isinstance(listed, list) else {}
            except Ended as end:
                if end.stop:
                    raise
                if isinstance(end.outcome, Retryable):
                    continue  # a fault of this one record keeps nobody waiting: it is asked for in the next search
            self._kit.shelf.put_all(rows)
            self._kit.shelf.swap(place, path, "")  # a newer hint in the same place stays

    def tickets(self, address: str) -> Iterator[_Found]:
        """Every ticket that bears the address, or did."""
        who = self._kit.pseudonym(normalised(address))
        for place, value in self._kit.shelf.find(f"who/{who}/").items():
            attendee = place.rpartition("/")[2]
            event, order = json.loads(value)
            yield _Found("attendee", attendee, event, order, own=self._kit.shelf.get(f"is/{attendee}") == who)


# --- what stands in a record


class _Verdict(StrEnum):
    """What one record says of what was asked. Those that contradict are told as they are written here."""

    FINE = "as asked"
    GONE = "not there any more"
    UNREAD = "a part of a record could not be read"
    NO_FIELD = "a field that was to be put right is none of the processor's"
    UNCLEAR = NOT_COMPARABLE
    OLD_VALUE = "a record still shows the person, or an old value"
    NEW_MISSING = "a record does not show a new value"
    SUBSCRIBED = "still subscribed"


_CONTRADICTING = frozenset({_Verdict.OLD_VALUE, _Verdict.NEW_MISSING, _Verdict.SUBSCRIBED})


def _leaves(value: object) -> Iterator[str]:
    """Every text that people wrote, free answers included; not what the organiser or the vendor wrote."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if name not in _OURS:
                yield from _leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner)
    elif isinstance(value, str):
        yield value


def _plain(text: str) -> str:
    return " ".join(folded(text).split())


def _shows(record: Row, values: Iterable[str | None], phone: str | None = None) -> bool:
    """Whether a record shows one of these values anywhere, whatever it is called there.

    Looking for values: what an erased record looks like is documented nowhere.
    """
    texts = [_plain(leaf) for leaf in _leaves(record)]
    written = " ".join(texts)  # first and last name stand in two fields
    words = [re.escape(_plain(value)) for value in values if value and value.strip()]
    if any(re.search(rf"(?<!\w){word}(?!\w)", written) for word in words):
        return True
    if phone is None:
        return False
    digits = re.sub(r"\D", "", phone)[-9:]  # without the country's number or the nought in its place
    return len(digits) >= 7 and any(digits in re.sub(r"\D", "", text) for text in texts)


def _alike(held: object, asked: FieldValue) -> bool:
    return isinstance(held, str) and isinstance(asked, str) and _plain(held) == _plain(asked)


def _corrected(record: Row, kind: str, changes: Changes) -> _Verdict:
    """Whether a record of the person has the new values."""
    holder = record if kind == "order" else _profile(record)
    named = {"email": changes.email, "first_name": changes.first_name, "last_name": changes.last_name}
    for name, value in named.items():
        form = normalised if name == "email" else _plain
        if value is not None and form(str(holder.get(name) or "")) != form(value):
            return _Verdict.NEW_MISSING
    kept = {name: value for name, value in changes.fields.items() if name in holder}
    texts_alike = {name for name, value in kept.items() if _alike(holder[name], value)}
    shown = compared({name: value for name, value in kept.items() if name not in texts_alike}, holder, {})
    if shown.other:
        return _Verdict.NEW_MISSING
    if shown.unclear:
        return _Verdict.UNCLEAR
    elsewhere = [value for name, value in changes.fields.items() if name not in holder]
    texts = [text for value in elsewhere for text in ([value] if isinstance(value, str) else value.values())]
    unknown = any(text.strip() and not _shows(record, [text]) for text in texts)
    return _Verdict.NO_FIELD if unknown else _Verdict.FINE


def _old_name(order: Instruction, changes: Changes) -> list[str]:
    """The name in the request, unless it is the new one already."""
    new = [part for part in (changes.first_name, changes.last_name) if part]
    if not order.name or not new:
        return []
    written = f" {_plain(order.name)} "
    return [] if all(f" {_plain(part)} " in written for part in new) else [order.name]


# --- the connector

_SOURCE = "Eventbrite API v3 blueprint, copy of March 2025, and Privacy Policy of 26 June 2024, read in November 2026"
_ASKED = "In each organisation that is searched, every order and ticket with the person's address is found by API, "
_LIMITS = (
    "The API changes nothing: a person there must do it. That the API finds nothing does not say that Eventbrite holds "
    "nothing (the person's own account, back-ups, guests of unpaid orders, tickets without an address), so the notice "
    "goes out in any case and says which of the two it is. Copies that the organiser exported are not reached."
)


_BY_RIGHT: Final = {
    Right.RECTIFICATION: (
        "and the privacy contact is asked to put the new values there.",
        "each record that was found is read: old values absent, also from free answers, new ones present",
        "",
    ),
    Right.ERASURE: (
        "and the privacy contact is asked to erase them.",
        "each record that was found shows neither address, name nor number, or is gone while others can be read",
        " A cancelled or refunded ticket still holds the person.",
    ),
    Right.RESTRICTION: (
        "and the privacy contact is asked to keep them unused.",
        "",
        " No record has a flag for it, so their word is all there will be.",
    ),
    Right.OPT_OUT: (
        "and the privacy contact is asked to stop all marketing.",
        "each record that was found says that its address is on no contact list and has not opted in",
        " An unsubscribe may take them 48 hours. Whoever is in no order and no ticket cannot be read back.",
    ),
}


class Eventbrite(Connector, Inbound):
    """Finds by API, asks by notice, reads back by API."""

    name: ClassVar[str] = "eventbrite"
    Settings: ClassVar[type[BaseModel]] = EventbriteSettings
    max_inflight: ClassVar[int] = 1
    """One index, and one budget of 2,000 calls an hour, for all."""

    capabilities: ClassVar[Mapping[Right, Capability]] = MappingProxyType(
        {
            right: Capability(
                means=Means.API_AND_NOTICE,
                effect=_ASKED + effect,
                limits=_LIMITS + limits,
                verified_by=verified_by,
                source=_SOURCE,
                address_change=right is Right.RECTIFICATION,
            )
            for right, (effect, verified_by, limits) in _BY_RIGHT.items()
        }
    )

    def __init__(self, settings: EventbriteSettings, kit: Kit) -> None:
        self._settings = settings
        self._kit = kit
        self._budget = _Budget(kit)
        self._index = _Index(kit)

    @classmethod
    def from_settings(cls, section: BaseModel, kit: Kit) -> Self:
        """Build it; opens no connection. Raises `ConfigurationError` for a foreign `base_url` outside a rehearsal."""
        settings = EventbriteSettings.model_validate(section.model_dump())
        demand_own_address(kit, "Eventbrite", own=settings.base == _VENDOR)
        return cls(settings, kit)

    def probe(self) -> Account:
        """Read-only: the organisations (`name (id)`), and how many tickets they hold, None where it is not counted.

        Raises `CredentialsRejected` and `ProcessorUnreachable`.
        """
        calls = _Calls(self._kit, self._settings, self._budget, None)
        try:
            named = self._organisations(calls)
            totals: list[int | None] = []
            for organisation in named:
                names = {"organization": organisation}
                calls.page("orders", _ORDERS, names, status="both")  # a role may see tickets and no orders
                for status in _STATUSES:
                    page = calls.page("attendees", _ATTENDEES, names, status=status)
                    totals.append(page.total if page else None)
        except Ended as end:
            raise calls.unreachable("Eventbrite", end) from None
        return Account(
            title=", ".join(named.values()),
            contacts=None if None in totals else sum(total or 0 for total in totals),
            lists=tuple(f"{title} ({organisation})" for organisation, title in named.items()),
        )

    def carry_out(self, instruction: Instruction) -> Outcome:
        """Find every record and hand over to the processor's contact, who alone can act.

        Raises `CredentialsRejected`, and `UnsupportedRight` before any call.
        """
        addresses = self._addresses(instruction)
        if not addresses:
            return NotIdentifiable(reason="Eventbrite's records are found by address, and none is known")
        calls = _Calls(self._kit, self._settings, self._budget, instruction)
        try:
            organisations = self._organisations(calls)
            for organisation in organisations:
                self._index.read(calls, organisation)
            self._index.look(calls)
            found = self._located(
                instruction, [*self._orders(calls, organisations, addresses), *self._tickets(addresses)]
            )
        except Ended as end:
            return replace(end.outcome, evidence=calls.kept)
        return HandOver(
            to=Recipient.PROCESSOR,
            task=self._task(found, len(organisations)),
            references=tuple(str(one) for one in found),
            evidence=calls.kept,
        )

    def verify(self, instruction: Instruction) -> Finding:
        """Read every record that was found before. Raises `CredentialsRejected`."""
        addresses = self._addresses(instruction)
        calls = _Calls(self._kit, self._settings, self._budget, instruction)
        try:
            finding = self._read_back(calls, instruction, addresses)
        except Ended as end:
            return calls.cannot_tell(end)
        return replace(finding, evidence=calls.kept)

    def receive(self, headers: Mapping[str, str], body: bytes) -> tuple[()]:
        """Remember the order or attendee that a webhook names, to be read in the next search. Raises `PayloadInvalid`.

        Nothing is signed, so the body is a hint: its address is never called, only an id in a documented path under
        our own API's is taken from it (else our token would go wherever somebody wishes).
        """
        del headers
        try:
            said = json.loads(body.decode())
        except (ValueError, RecursionError):
            raise PayloadInvalid("body", "is not JSON") from None
        match said:
            case {"api_url": str(url), "config": {"action": str(action)}} if action.startswith(("order.", "attendee.")):
                path = url.removeprefix(f"{self._settings.base}/")
                if path != url and _HINT.fullmatch(path):
                    slot = crc32(path.encode()) % _SLOTS
                    self._kit.shelf.put(f"look/{slot:02}", path)
        return ()

    # --- finding

    def _addresses(self, order: Instruction) -> tuple[str, ...]:
        if order.right not in self.capabilities:
            raise UnsupportedRight(f"Eventbrite was asked for a right that it does not declare: {order.right}")
        return order.spellings

    def _organisations(self, calls: _Calls) -> dict[str, str]:
        """Id and name of each organisation to search: what the token shows must have all that are configured."""
        shown = {_id_of(row): str(row.get("name") or _id_of(row)) for row in calls.rows("organizations", _MINE)}
        wanted = self._settings.organizations or tuple(shown)
        if not wanted or not set(wanted) <= set(shown):
            raise calls.rejected(calls.last, NO_ORGANISATION)
        return {organisation: shown[organisation] for organisation in wanted}

    def _orders(self, calls: _Calls, organisations: Iterable[str], addresses: Iterable[str]) -> list[_Found]:
        """The orders that these addresses placed, whatever became of them; asked for one at a time."""
        found: dict[str, _Found] = {}
        for organisation in organisations:
            for address in addresses:
                rows = calls.rows("orders", _ORDERS, {"organization": organisation}, only_emails=address, status="both")
                for row in rows:
                    found[_id_of(row)] = _Found("order", _id_of(row), _id_of(row, "event_id"))
        return list(found.values())

    def _tickets(self, addresses: Iterable[str]) -> list[_Found]:
        found = [ticket for address in addresses for ticket in self._index.tickets(address)]
        return list({ticket.id: ticket for ticket in sorted(found, key=lambda one: one.own)}.values())

    def _located(self, order: Instruction, found: Iterable[_Found]) -> list[_Found]:
        """Keep what was found for the read-back: what an earlier attempt found stays."""
        located = {(one.kind, one.id): one for one in [*self._kept(order), *found]}
        # Noted, so that it stands if the hand-over does: without one nobody was told, and nothing may wait for them.
        self._kit.shelf.note(f"located/{order.reference}", json.dumps([asdict(one) for one in located.values()]))
        return list(located.values())

    def _kept(self, order: Instruction) -> list[_Found]:
        return [_Found(**one) for one in json.loads(self._kit.shelf.get(f"located/{order.reference}") or "[]")]

    def _task(self, found: list[_Found], organisations: int) -> str:
        if found:
            return (
                "Your API lets us find the records that the attached file lists, and change none of them. Please do it "
                "for each, and for every copy. Several people may share an address: where names differ, ask us first."
            )
        return (
            f"Through your API we found nothing under these addresses on {self._kit.clock.now():%d %B %Y}, in "
            f"{organisations} of our organisations. That does not say that you hold nothing: please search for the "
            "person yourselves."
        )

    # --- reading back

    def _read_back(self, calls: _Calls, order: Instruction, addresses: tuple[str, ...]) -> Finding:
        organisations = self._organisations(calls)
        if order.right is Right.RESTRICTION:
            return CannotTell(reason=NO_FLAG)
        located = self._kept(order)
        listed = self._orders(calls, organisations, _old(order, addresses))
        if listed and order.right is not Right.OPT_OUT:
            return Contradicts(reason=_Verdict.OLD_VALUE, evidence=())
        if not located:  # never searched to the end, or nothing found: what is not shown now proves nothing
            return CannotTell(reason=NOT_LOCATED)
        records = {one.id: one for one in [*listed, *located]}.values()
        verdicts = {one: _verdict(calls, order, one, addresses) for one in records}
        said = set(verdicts.values())
        if _Verdict.SUBSCRIBED in said and self._still_unsubscribing(order):
            return CannotTell(reason=UNSUBSCRIBING, later=True)
        if against := sorted(said & _CONTRADICTING):
            return Contradicts(reason=against[0], evidence=())
        for event in {one.event for one, verdict in verdicts.items() if verdict is _Verdict.GONE}:
            self._control(calls, organisations, event)
        if _Verdict.UNREAD in said:
            return CannotTell(reason=_Verdict.UNREAD, later=True)
        for verdict in (_Verdict.NO_FIELD, _Verdict.UNCLEAR):
            if verdict in said:
                return CannotTell(reason=verdict)
        if said == {_Verdict.GONE} and order.right is not Right.ERASURE:
            return CannotTell(reason=NO_LONGER_HELD)
        return AsAsked(evidence=())

    def _still_unsubscribing(self, order: Instruction) -> bool:
        """Whether the vendor's 48 hours since we first read after the hand-over are not over yet."""
        place, now = f"subscribed/{order.reference}", self._kit.clock.now()
        first = self._kit.shelf.get(place)
        if first is None:
            self._kit.shelf.put(place, now.isoformat())
        return first is None or now - datetime.fromisoformat(first) < _UNSUBSCRIBE

    def _control(self, calls: _Calls, organisations: Iterable[str], event: str) -> None:
        """Return only where something else is still read: a 404 may also be a record that we lost access to."""
        if calls.rows("attendees", _EVENT, {"event": event}, status="attending"):
            return
        for organisation in organisations:
            page = calls.page("orders", _ORDERS, {"organization": organisation}, status="both")
            if page and page.rows:
                return
        raise Ended(Retryable(reason=NO_CONTROL))


def _old(order: Instruction, addresses: tuple[str, ...]) -> list[str]:
    """The addresses that must be gone."""
    new = order.changes.email if order.changes and order.right is Right.RECTIFICATION else None
    return [
        one
        for one in addresses
        if order.right is not Right.RECTIFICATION or (new and normalised(one) != normalised(new))
    ]


def _verdict(calls: _Calls, order: Instruction, one: _Found, addresses: tuple[str, ...]) -> _Verdict:
    """What one record says now. Raises `Ended`."""
    parts = _PREFERENCES if order.right is Right.OPT_OUT else _ORDER_TEXTS if one.kind == "order" else _TEXTS
    record, whole = calls.record(one.kind, one.names, parts)
    if record is None:
        return _Verdict.GONE
    changes, verdict = order.changes or Changes(), _Verdict.FINE
    match order.right:
        case Right.OPT_OUT:
            verdict = _preference(record.get("contact_list_preferences")) if one.own else verdict
        case Right.ERASURE:
            if _shows(record, [*addresses, order.name], order.phone):
                verdict = _Verdict.OLD_VALUE
        case Right.RECTIFICATION:
            if _shows(record, [*_old(order, addresses), *_old_name(order, changes)]):
                verdict = _Verdict.OLD_VALUE
            elif one.own:
                verdict = _corrected(record, one.kind, changes)
        case Right.RESTRICTION:
            verdict = _Verdict.UNREAD
        case never:
            assert_never(never)
    return verdict if whole or verdict in _CONTRADICTING else _Verdict.UNREAD


def _preference(said: object) -> _Verdict:
    match said:
        case {"has_opted_in": True}:
            return _Verdict.SUBSCRIBED
        case {"has_opted_in": False, "has_contact_list": False}:
            return _Verdict.FINE
    return _Verdict.UNREAD
