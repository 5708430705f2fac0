"""Brevo's calls: its errors, and a contact as it shows it."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Annotated, Final
from urllib.parse import quote

from pydantic import AfterValidator, Field

from dpsync.address import normalised
from dpsync.connector import Instruction, Kit, Reply
from dpsync.http import api_root
from dpsync.vendor import calls as vendor
from dpsync.vendor.calls import Secret
from dpsync.vendor.connector import VendorSettings
from dpsync.vendor.errors import OUR_FAULT, Error, Meaning, unreadable
from dpsync.vendor.field_values import FieldType, Kind
from dpsync.vendor.pace import Pace

VENDOR: Final = "https://api.brevo.com/v3"
PLACE: Final = "account"
"""The one place in which Brevo keeps people."""

NOBODY: Final = Error((404,), ("document_not_found",), Meaning.ABSENT)
TAKEN: Final = Error((400,), ("duplicate_parameter",), Meaning.REFUSED)
INVALID: Final = Error((400,), ("invalid_parameter",), Meaning.REFUSED)  # some duplicates are called so, too
ERRORS: Final[tuple[Error, ...]] = (
    Error((401,), (), Meaning.REJECTED, "see in the web app whether the key is there, and from where it may be used"),
    Error((403,), (), Meaning.REJECTED, "the key is good; see in the web app what it may do"),
    Error((402,), ("not_enough_credits",), Meaning.NO, "the plan or the credits of the account do not allow this call"),
    Error((400,), ("bad_request", "missing_parameter", "out_of_range"), Meaning.NO, OUR_FAULT),
    Error((405,), ("method_not_allowed",), Meaning.NO, OUR_FAULT),
    *(NOBODY, TAKEN, INVALID),
)
_KINDS: Final[Mapping[str, FieldType]] = {
    "text": FieldType(Kind.TEXT),
    "date": FieldType(Kind.DATE),
    "float": FieldType(Kind.NUMBER),
    "boolean": FieldType(Kind.CHOICE, choices=("true", "false")),
}
BLOCKS: Final[tuple[str, ...]] = ("emailBlacklisted", "smsBlacklisted")


class BrevoSettings(VendorSettings):
    """`api_key`: of API v3. `first_name`, `last_name`: what the account calls these attributes."""

    api_key: Secret
    base_url: Annotated[str, AfterValidator(partial(api_root, path="/v3"))] = VENDOR
    first_name: str = Field(default="FIRSTNAME", pattern=r"^[A-Z][A-Z0-9_]{0,49}$")
    last_name: str = Field(default="LASTNAME", pattern=r"^[A-Z][A-Z0-9_]{0,49}$")


@dataclass(frozen=True, slots=True)
class Contact:
    """What matters of one. It holds personal data and lives for one instruction."""

    id: int
    email: str
    lists: tuple[int, ...]
    attributes: Mapping[str, object]
    blocked: frozenset[str]

    @property
    def needed(self) -> tuple[str, ...]:
        """The blocks without which it may be written to: that for SMS only where it has a number."""
        return BLOCKS if self.attributes.get("SMS") else BLOCKS[:1]

    @property
    def unblocked(self) -> dict[str, bool]:
        """What must be sent so that nothing is sent to it."""
        return {name: True for name in self.needed if name not in self.blocked}


def contact_in(found: object) -> Contact:
    """A contact as one call shows it, and the list of all. Raises `Ended`."""
    match found:
        case {
            "id": int(number),
            "email": str(email),
            "listIds": list(lists),
            "attributes": dict(attributes),
            **more,
        } if all(isinstance(more.get(name), bool) for name in BLOCKS) and all(isinstance(one, int) for one in lists):
            return Contact(number, email, tuple(lists), attributes, frozenset(one for one in BLOCKS if more[one]))
    raise unreadable()


class Calls(vendor.Calls):
    """The calls of one instruction. `types`: the attributes that the account has and a text can be written to."""

    errors = ERRORS
    code_in = "code"
    marks = frozenset({"email", "attributes", "companyName", "contacts", "webhooks"})

    def __init__(
        self,
        kit: Kit,
        settings: BrevoSettings,
        pace: Pace,
        order: Instruction | None,
        sleep: Callable[[float], None],
    ) -> None:
        super().__init__(kit, order, sleep)
        self._settings, self._pace = settings, pace
        self.types: Mapping[str, FieldType] = {}

    def speaks(self, reply: Reply) -> bool:
        """As its reference says of every error."""
        return self.shaped(reply, code=str, message=str)

    def affirms(self, reply: Reply) -> bool:
        """Also with the number of what was made, and nothing else."""
        return super().affirms(reply) or self.shaped(reply, id=int)

    def tell(
        self,
        method: str,
        template: str,
        address: str = "",
        body: Mapping[str, object] | None = None,
        *,
        hook: str = "",
        **params: str,
    ) -> Reply:
        """Make one call, and end what speaks of us, of the account or of a fault there. `hook`: id of a webhook."""
        self._pace.take()
        kind = {} if body is None else {"Content-Type": "application/json"}
        reply = self.ask(
            method,
            self._settings.base_url + template.replace("{identifier}", quote(address, safe="")).replace("{hook}", hook),
            template=template,
            headers={"Accept": "application/json", "api-key": self._settings.api_key.get_secret_value(), **kind},
            params={"identifierType": "email_id"} if address else params or None,
            body=None if body is None else json.dumps(body).encode(),
            patient=True,
        )
        left, reset = (str(reply.headers.get(f"x-sib-ratelimit-{name}")).strip() for name in ("remaining", "reset"))
        wait = timedelta(seconds=int(reset)) if re.fullmatch("[0-9]{1,5}", reset) else None  # seconds, of an hour
        if left == "0" and wait and template != "/account":
            self._pace.hold(wait)
        self.demand_sense(reply, writing=method != "GET", wait=wait if reply.status == 429 else None)
        return reply

    def held(self, address: str) -> Contact | None:
        """The contact with this address, None where there is none. Raises `Ended`."""
        found = self.record(address)
        return None if found is None else contact_in(found)

    def record(self, address: str) -> Mapping[str, object] | None:
        """All that is shown of the contact with this address, None where there is none. Raises `Ended`."""
        reply = self.tell("GET", "/contacts/{identifier}", address)
        if self.no(reply, NOBODY):
            return None
        found = self.content(reply, dict)
        if normalised(contact_in(found).email) != normalised(address):
            raise unreadable()
        return found

    def change(self, address: str, body: Mapping[str, object], *rows: Error) -> Reply | None:
        """One change: the answer where it is one of these noes, None for the empty yes. Raises `Ended`."""
        reply = self.tell("PUT", "/contacts/{identifier}", address, body)
        if self.no(reply, *rows):
            return reply
        if reply.status != 204:
            raise unreadable(doubtful=True)
        return None

    def read_types(self) -> None:
        """Which attributes the account has: shows that contacts can be read, before "nobody" is believed."""
        rows = self.content(self.tell("GET", "/contacts/attributes"), dict).get("attributes")
        if not isinstance(rows, list) or not all(isinstance(row, dict) and "name" in row for row in rows):
            raise unreadable()
        normal = {str(row["name"]): _KINDS.get(str(row.get("type"))) for row in rows if row.get("category") == "normal"}
        # under this name it would be the address of the contact
        self.types = {name: kind for name, kind in normal.items() if kind and name != "EMAIL"}
