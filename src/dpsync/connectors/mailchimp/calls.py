"""Mailchimp's calls: its errors, the transport that the official package is given, contacts and audiences."""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any, Final, Self

from mailchimp_marketing.api import lists_api
from pydantic import AfterValidator, Field, model_validator

from dpsync.address import spellings
from dpsync.connector import Instruction, Kit, Reply, Retryable
from dpsync.http import api_root
from dpsync.vendor import calls as vendor
from dpsync.vendor.calls import Secret, part_of
from dpsync.vendor.connector import VendorSettings, ids
from dpsync.vendor.errors import OUR_FAULT, Ended, Error, Meaning, misplaced, refused, unreadable
from dpsync.vendor.field_values import FieldType
from dpsync.vendor.token import basic

VENDOR = re.compile(r"https://([a-z]{2}[0-9]{1,3}\.)?api\.mailchimp\.com/3\.0")  # newer pages show no data centre
LIST_ID = re.compile(r"[A-Za-z0-9_-]{1,40}")
_PAGES = re.compile(r"(?:https?:)?//(?:[a-z0-9-]+\.)*mailchimp\.com(?:[/?#:]|$)", re.IGNORECASE)
STATUSES = frozenset({"subscribed", "unsubscribed", "cleaned", "pending", "transactional", "archived"})
SILENT = frozenset({"unsubscribed", "cleaned", "archived"})
"""The statuses of whom no campaign is sent to."""
_TITLES: Final = frozenset(
    {
        *("API Key Invalid", "API Key Missing", "Authorization Failure", "Forgotten Email Not Subscribed"),
        *("InternalServerError", "Invalid Resource", "JSON Parse Exception", "Member Exists"),
        *("Member In Compliance State", "Resource Not Found", "TooManyRequests", "User Disabled"),
    }
)
"""What it calls its errors, as nobody else does: none of them is HTTP's own phrase for a status."""
_MEMBER_FIELDS = "id,list_id,status,merge_fields"
_SET_KEPT: Final = 300.0  # seconds that the set of audiences is believed before it is read again
PAGE: Final = 1000  # the vendor's maximum; its default of 10 hides the eleventh audience

NO_AUDIENCE: Final = "a configured audience does not exist: `dpsync check` names it"
NO_GROUP: Final = "a configured interest group does not exist in its audience"
NO_AUDIENCES: Final = "it shows no audience: see whether the key is that of a user who may see them"
SET_CHANGED: Final = "the set of audiences changed meanwhile"
NO_ROLE: Final = "the key is good; its user is disabled, or has a role that may not do this"

NOBODY: Final = Error((404,), (), Meaning.ABSENT)  # a wrong list id is the same 404: see `Audiences`
BY_HAND: Final = Error((405,), (), Meaning.LEFT)
INVALID: Final = Error((400,), ("Invalid Resource",), Meaning.REFUSED)
EXISTS: Final = Error((400,), ("Member Exists",), Meaning.REFUSED)
FORGOTTEN: Final = Error((400,), ("Forgotten Email Not Subscribed",), Meaning.REFUSED)
ERRORS: Final[tuple[Error, ...]] = (
    Error((401,), (), Meaning.REJECTED),
    Error((403,), (), Meaning.REJECTED, NO_ROLE),
    Error((400,), ("Bad Request", "JSON Parse Exception"), Meaning.NO, OUR_FAULT),
    Error((414, 422, 426), (), Meaning.NO, OUR_FAULT),
    *(NOBODY, BY_HAND, INVALID, EXISTS, FORGOTTEN),
)
"""By status and title; of a 400 the status alone tells nothing apart."""

_ListsApi: Any = lists_api.ListsApi  # the generated classes carry no types


class MailchimpSettings(VendorSettings):
    """`api_key` ends in the data centre (`...-us19`). `audiences`: the list ids to reach; none means every audience."""

    api_key: Secret
    base_url: Annotated[str, AfterValidator(partial(api_root, path="/3.0"))] | None = None
    audiences: Annotated[
        tuple[str, ...], AfterValidator(partial(ids, form=LIST_ID, such="audience ids such as a6b5da1054"))
    ] = Field(default=(), max_length=1000)

    @model_validator(mode="after")
    def _centre(self) -> Self:
        if self.base_url is None and not VENDOR.fullmatch(self.base):
            raise ValueError("api_key does not end in a data centre such as -us19")
        return self

    @property
    def base(self) -> str:
        """Where the API is, without a slash at the end."""
        centre = self.api_key.get_secret_value().rpartition("-")[2]
        return self.base_url or f"https://{centre}.api.mailchimp.com/3.0"


@dataclass(frozen=True, slots=True)
class Member:
    """What matters of a contact. It holds personal data and lives for one instruction."""

    id: str
    status: str
    merge_fields: Mapping[str, object]
    interests: Mapping[str, object] = field(default_factory=dict)


class Calls(vendor.Calls):
    """The transport that the generated classes call: any object with `call_api` and the two `select_…` serves them."""

    errors = ERRORS
    code_in = "title"
    marks = frozenset({"list_id", "lists", "merge_fields", "total_items", "health_status", "account_name"})

    def __init__(
        self,
        kit: Kit,
        settings: MailchimpSettings,
        audiences: "Audiences",
        order: Instruction | None,
        sleep: Callable[[float], None],
    ) -> None:
        super().__init__(kit, order, sleep)
        self._audiences = audiences
        self._base = settings.base
        self._authorization = basic("dpsync", settings.api_key.get_secret_value())
        groups = any(part.startswith("interest=") for part in (order.only or () if order else ()))
        self._fields = _MEMBER_FIELDS + ",interests" * groups
        self.known: set[str] = set()
        """Audiences that an authenticated read within this instruction has shown to exist."""
        self.types: dict[str, Mapping[str, FieldType]] = {}
        """The merge fields of each audience that was asked for them, by tag."""
        self.lists = _ListsApi(self)

    def select_header_accept(self, accepts: Sequence[str]) -> str:
        """Which answers are taken: all that the package knows."""
        return ", ".join(accepts)

    def select_header_content_type(self, kinds: Sequence[str]) -> str:
        """As what content is sent: the first that the package knows."""
        return kinds[0]

    def call_api(
        self,
        resource_path: str,
        method: str,
        path_params: Mapping[str, str] | None = None,
        query_params: Sequence[tuple[str, object]] = (),
        header_params: Mapping[str, str] | None = None,
        body: object = None,
        **_: object,
    ) -> Reply:
        """Make one call; a read is tried again where the connection broke. Raises `Ended`, `CredentialsRejected`."""
        # every id in a path is one by its form (`LIST_ID`, a hash), so nothing there needs quoting
        url = self._base + resource_path.format_map(path_params or {})
        reply = self.ask(
            method,
            url,
            template=resource_path,
            headers={**(header_params or {}), "Authorization": self._authorization},
            params={name: str(value).lower() if value is True else str(value) for name, value in query_params},
            body=None if body is None else json.dumps(body).encode(),
            scope=str((path_params or {}).get("list_id", "")),
            patient=True,
        )
        self.demand_sense(reply, writing=method != "GET")
        return reply

    def speaks(self, reply: Reply) -> bool:
        """As its `ProblemDetailDocument` says; above its limits it answers 429, or 403 without JSON.

        Others write problems of the same form (RFC 9457; Cloudflare does): theirs lead to somebody else's pages, or to
        none (`about:blank`, under which that standard wants HTTP's own phrase as the title). Some of its own were seen
        without a type.
        """
        own = self.shaped(reply, title=str, status=int, detail=str)
        page, title = part_of(reply, "type"), part_of(reply, "title")
        return own and (
            page is None or (page == "about:blank" and title in _TITLES) or _PAGES.match(str(page)) is not None
        )

    def affirms(self, reply: Reply) -> bool:
        """Of an audience asked for by its id alone, this very id is all that there is to show."""
        audience = reply.evidence.scope
        return super().affirms(reply) or (audience != "" and part_of(reply, "id") == audience)

    def no(self, reply: Reply, *rows: Error) -> Error | None:
        """As ever, but that a 404 which calls itself something else is no "nobody"."""
        if reply.status == 404 and part_of(reply, "status") != 404:
            raise refused()
        return super().no(reply, *rows)

    def object_in(self, reply: Reply) -> Mapping[str, object]:
        """The JSON object of a 200, which alone is documented. Raises `Ended`."""
        if 200 < reply.status < 300:
            raise refused()
        return self.content(reply, dict)

    def member_in(self, reply: Reply, list_id: str, *members: str) -> Member:
        """The contact in a 200: one of `members`, which are hashes. Raises `Ended`."""
        found = self.object_in(reply)
        status, fields, groups = found.get("status"), found.get("merge_fields"), found.get("interests", {})
        same = found.get("id") in members and found.get("list_id") == list_id
        if not same or not isinstance(status, str) or status not in STATUSES or not isinstance(fields, dict):
            raise unreadable()
        return Member(str(found["id"]), status, fields, groups if isinstance(groups, dict) else {})

    def at(self, list_id: str, member: str) -> Member | None:
        """The contact by its hash, or None where the audience exists and does not hold it. Raises `Ended`."""
        reply: Reply = self.lists.get_list_member(list_id, member, fields=self._fields)
        return None if self.not_there(reply, list_id) else self.member_in(reply, list_id, member)

    def spelt(self, list_id: str, address: str, *, other: bool = False) -> Member | None:
        """The contact under whichever spelling; `other`: than the given one. Raises `Ended`."""
        hashes = list(dict.fromkeys(map(hashed, spellings(address))))[other:]
        return next(filter(None, (self.at(list_id, one) for one in hashes)), None)

    def not_there(self, reply: Reply, list_id: str, *rows: Error) -> Error | None:
        """None for a yes; else which no it is, `NOBODY` only where the audience is known to exist. Raises `Ended`."""
        row = self.no(reply, NOBODY, *rows)
        if row is NOBODY:
            self.confirm(list_id)
        return row

    def confirm(self, list_id: str) -> None:
        """Return only where the audience exists. Raises `Ended`."""
        self._audiences.confirm(self, list_id)


class Audiences:
    """Which audiences there are. A wrong list id and an unknown contact are the same 404, so 404 alone says nothing."""

    def __init__(self, configured: tuple[str, ...], kit: Kit) -> None:
        self._configured = configured
        self._clock = kit.clock
        self._read: tuple[float, tuple[str, ...]] | None = None

    def every(self, calls: Calls) -> Iterator[str]:
        """Each audience once, by a read not older than some minutes, and what a later read shows. Raises `Ended`."""
        told: set[str] = set()
        while pending := [list_id for list_id in self._ids(calls) if list_id not in told]:
            for list_id in pending:
                told.add(list_id)
                yield list_id

    def confirm(self, calls: Calls, list_id: str) -> None:
        """Return only where a read within this instruction shows that the audience exists. Raises `Ended`."""
        if list_id in calls.known:
            return
        if not self._configured:
            if list_id not in self._afresh(calls):
                raise Ended(Retryable(reason=SET_CHANGED))
            return
        reply: Reply = calls.lists.get_list(list_id, fields="id")
        if calls.no(reply, NOBODY):
            raise misplaced(NO_AUDIENCE)
        if calls.object_in(reply).get("id") != list_id:
            raise unreadable()
        calls.known.add(list_id)

    def named(self, calls: Calls) -> dict[str, str]:
        """Every audience's id and name, all pages; the vendor's own total decides whether they are all."""
        found: dict[str, str] = {}
        total = 1
        while len(found) < total:
            reply: Reply = calls.lists.get_all_lists(
                fields="lists.id,lists.name,total_items", count=PAGE, offset=len(found)
            )
            page = calls.object_in(reply)
            lists, counted = page.get("lists"), page.get("total_items")
            if not isinstance(lists, list) or not isinstance(counted, int) or counted < 0:
                raise unreadable()
            total, before = counted, len(found)
            for entry in lists:
                if not isinstance(entry, dict) or not LIST_ID.fullmatch(str(entry.get("id", ""))):
                    raise unreadable()
                found[str(entry["id"])] = str(entry.get("name", ""))
            if len(found) == before and len(found) < total:
                raise unreadable()
        return found

    def _ids(self, calls: Calls) -> tuple[str, ...]:
        if self._configured:
            return self._configured
        read = self._read
        return read[1] if read and self._clock.monotonic() - read[0] < _SET_KEPT else self._afresh(calls)

    def _afresh(self, calls: Calls) -> tuple[str, ...]:
        begun = self._clock.monotonic()
        ids = tuple(self.named(calls))
        if not ids:
            raise calls.opens_nothing(NO_AUDIENCES)
        self._read = (begun, ids)
        calls.known.update(ids)
        return ids


def hashed(address: str) -> str:
    """Of an address trimmed and in lower case; no further rule is documented, plus-tags and spellings stay."""
    return hashlib.md5(address.strip().lower().encode(), usedforsecurity=False).hexdigest()
