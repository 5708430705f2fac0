"""One call as a vendor's endpoints see it, and what they answer: the same for every imitated vendor."""

import base64
import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar
from urllib.parse import parse_qs

from starlette.datastructures import QueryParams
from starlette.requests import Request

from dpsync.sandbox.routes import Route

S = TypeVar("S")
W = TypeVar("W")
Json = dict[str, object]
Header = tuple[str, str]
MALFORMED = object()
"""What a body says that is no JSON."""


class Changed(Protocol):
    """One effect of a call; each vendor adds what its webhooks tell of it."""

    @property
    def kind(self) -> str:
        """What was done."""

    @property
    def place(self) -> str:
        """Where: a list, a record."""

    @property
    def address(self) -> str:
        """To whom."""

    @property
    def was(self) -> str:
        """Their address before a move."""


@dataclass(frozen=True, slots=True)
class Change:
    """One effect, where there is no more to tell of it."""

    kind: str
    place: str
    address: str
    was: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, body (None: empty), what it changed, and headers that only this answer has."""

    status: int
    body: object = None
    changes: Sequence[Changed] = ()
    headers: tuple[Header, ...] = ()


@dataclass(slots=True)
class Asked(Generic[S, W]):
    """One call, from its arrival to its answer; each vendor adds how it reads it.

    `names`: what the path says. `held`: what the vendor holds; where nothing may happen, `effect` False, a copy of it.
    `account`: whose call it is. `said`: the body as JSON, None where there is none. `shown`: headers of every answer.
    """

    request: Request
    route: Route[Any] | None
    names: Mapping[str, str]
    held: S
    switches: W
    now: datetime
    account: str = ""
    raw: bytes = b""
    said: object = None
    effect: bool = True
    shown: list[Header] = field(default_factory=list)

    @property
    def method(self) -> str:
        """The method."""
        return self.request.method

    @property
    def path(self) -> str:
        """The path as it came; it may name a person."""
        return str(self.request.scope["path"])

    @property
    def template(self) -> str:
        """The path's template, which names nobody; "?" where nothing of that path is imitated."""
        return self.route.template if self.route else "?"

    @property
    def query(self) -> QueryParams:
        """The query."""
        return self.request.query_params

    @property
    def body(self) -> Mapping[str, object]:
        """The body as an object; empty where it is none."""
        return self.said if isinstance(self.said, dict) else {}

    @property
    def form(self) -> Mapping[str, str]:
        """The body as a form."""
        return {name: values[0] for name, values in parse_qs(self.raw.decode("latin-1")).items()}

    @property
    def basic(self) -> tuple[str, str]:
        """User name and password of HTTP Basic; empty where there is none, or none that can be read."""
        try:
            user, _, password = base64.b64decode(self._credential("basic"), validate=True).decode().partition(":")
        except ValueError:
            return "", ""
        return user, password

    @property
    def bearer(self) -> str:
        """The bearer token; empty where there is none."""
        return self._credential("bearer")

    def _credential(self, wanted: str) -> str:
        scheme, _, value = self.request.headers.get("authorization", "").partition(" ")
        return value.strip() if scheme.lower() == wanted else ""

    def read(self, raw: bytes) -> None:
        """Takes the body."""
        self.raw = raw
        try:
            self.said = json.loads(raw) if raw.strip() else None
        except (ValueError, RecursionError):
            self.said = MALFORMED


Handler = Callable[[Any], Answer | Awaitable[Answer]]
Table = Mapping[str, Mapping[str, Handler]]


def whole_number(query: Mapping[str, str], name: str, usual: int, least: int, most: int) -> int | None:
    """A number in the query, as where a page begins; None where it is none, or out of its bounds."""
    said = query.get(name, str(usual))
    fits = said.isascii() and said.isdigit() and len(said) < 10 and least <= int(said) <= most
    return int(said) if fits else None


def made_id(*parts: object) -> str:
    """64 hexadecimal digits that follow from the parts, so that runs repeat."""
    return hashlib.sha256("/".join(map(str, parts)).encode()).hexdigest()


def folded(address: str) -> str:
    """The form in which two spellings are one address."""
    return address.strip().lower()
