"""The Marketing API 3.0 on loopback: keys, the limit of ten, and the vendor's problem documents.

Source: the vendor's pages on errors, rate limits and authentication, and specification 3.0.55, as read in August 2026.
"""

import copy
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import ClassVar

from dpsync.sandbox.api import Api
from dpsync.sandbox.asked import MALFORMED, Header, Json
from dpsync.sandbox.fault_replies import Reply
from dpsync.sandbox.journal import Journal
from dpsync.sandbox.mailchimp.asked import Asked, Change, Held, MailchimpSwitches
from dpsync.sandbox.mailchimp.audience import Account, Problem, digest, not_found
from dpsync.sandbox.mailchimp.endpoints import ROUTES, search_index
from dpsync.sandbox.mailchimp.filling import MailchimpSection, PersonActs, audience_of, by_hand, fill, holdings
from dpsync.sandbox.mailchimp.webhooks import Webhooks
from dpsync.sandbox.routes import compiled
from dpsync.sandbox.vendor import Switches

PREFIX = "/3.0"
PARALLEL = 10
LARGEST_REQUEST = 1_000_000
ERRORS = "https://mailchimp.com/developer/marketing/docs/errors/"
KINDS = ("created", "patched", "moved", "unsubscribed", "resubscribed", "archived", "deleted", "tagged")


@dataclass(slots=True)
class Mailchimp(Api[Asked]):
    """The vendor, below `/3.0`, with its accounts and webhooks."""

    prefix = PREFIX
    routes = compiled(ROUTES)
    asks = Asked
    json_type: ClassVar[str] = "application/json; charset=utf-8"

    held: Held = field(default_factory=Held)
    switches: MailchimpSwitches = field(default_factory=MailchimpSwitches)
    webhooks: Webhooks = field(default_factory=Webhooks)
    journal: Journal = field(default_factory=lambda: Journal(KINDS))

    @property
    def accounts(self) -> dict[str, Account]:
        """The accounts by name."""
        return self.held.accounts

    def open_account(self, name: str, keys: tuple[str, ...]) -> Account:
        """The account of that name, made where it is new; the keys are added to it, and open no other any more."""
        account = self.accounts.setdefault(name, Account(name, ()))
        for other in self.accounts.values():
            other.keys = tuple(key for key in other.keys if key not in keys)
        account.keys = tuple(dict.fromkeys([*account.keys, *keys]))
        return account

    def fill(self, section: MailchimpSection) -> None:
        """Adds what a scenario says. Raises `Problem` for what the vendor itself would refuse."""
        for seeded in section.accounts:
            account = self.open_account(seeded.name, seeded.keys)
            for part in seeded.audiences:
                fill(audience_of(account, part.id, part.name, self.now()), part, self.now())
        self.set_up(section)

    def set_switches(self, given: Switches) -> None:
        """Sets those that are given; a search lags behind from the moment on in which it is told to."""
        Api.set_switches(self, given)
        if isinstance(given, MailchimpSwitches) and given.search_lag is not None:
            for account in self.accounts.values():
                account.search = list(search_index(account)) if given.search_lag else None

    def act(self, **asked: object) -> int:
        """Something done by hand; see PersonActs. How many audiences were concerned."""
        wanted, done = PersonActs.model_validate(asked), 0
        for account in self.accounts.values():
            changes = by_hand(account, wanted)
            self.count(account.name, changes)
            self.tell(account.name, changes, wanted.source)
            done += len(changes)
        return done

    def holds(self, address: str) -> list[tuple[str, str]]:
        """(audience, status) wherever the address is held; an erased address is held nowhere."""
        held = holdings(self.accounts.values(), address)
        return [(one.list_id, one.status) for one in held if one.status != "forgotten"]

    def shown(self, address: str) -> list[dict[str, object]]:
        """Every contact of the address, and where it is refused for ever."""
        held = holdings(self.accounts.values(), address)
        return [asdict(one) | {"merge_fields": dict(one.merge_fields)} for one in held]

    def reset(self) -> None:
        """Empties everything; accounts keep their keys."""
        for account in self.accounts.values():
            account.audiences.clear()
            account.search = None
        self.held.hooks.clear()
        self.forget_counts()

    def tell(self, _: str, changes: Sequence[Change], source: str = "api") -> None:
        """Tells the webhooks that listen to this source."""
        hooks, at, given = list(self.held.hooks.values()), self.now(), self.switches.model_copy()
        for change in changes if hooks else ():
            frozen = replace(change, member=copy.copy(change.member))
            self.begin(self.webhooks.tell(hooks, frozen, source, at, given))

    # --- one call

    def whose(self, asked: Asked) -> str:
        """The account of a key. Raises `Problem` 401."""
        asked.shown = [("x-request-id", str(uuid.uuid4()))]
        key = asked.bearer or asked.basic[1]
        account = next((one.name for one in self.accounts.values() if key in one.keys), None)
        if account is None or asked.request.headers.get("x-trigger-error") == "APIKeyMissing":
            detail = "Your API key may be invalid, or you've attempted to access the wrong datacenter."
            raise Problem(401, "API Key Invalid", detail)
        return account

    def crowded(self, running: int) -> None:
        """Raises `Problem` 429 above ten at once."""
        if running > PARALLEL:
            detail = f"You have exceeded the limit of {PARALLEL} simultaneous connections."
            raise Problem(429, "TooManyRequests", detail)

    def admit(self, asked: Asked) -> None:
        """Raises `Problem` 400 for a body that cannot be read; "null" is what the official client sends for none."""
        if len(asked.raw) > LARGEST_REQUEST:
            raise Problem(400, "Bad Request", "The request is too large.")
        if asked.said is MALFORMED:
            raise Problem(400, "JSON Parse Exception", "We encountered an unspecified JSON parsing error.")
        if asked.said is not None and not isinstance(asked.said, dict):
            detail = "The resource submitted could not be validated: an object is expected."
            raise Problem(400, "Invalid Resource", detail)

    def nothing_there(self, asked: Asked) -> Problem:
        """A 404 of a path, a 405 of a method."""
        if asked.route is None:
            return not_found()
        detail = "The requested method and resource are not compatible."
        return Problem(405, "Method Not Allowed", detail, allow=", ".join(asked.route.handlers))

    def trouble(self, _: Asked, status: int) -> Problem:
        """In the vendor's words for its status."""
        title = {429: "TooManyRequests", 403: "Forbidden", 401: "API Key Invalid"}.get(status, "InternalServerError")
        return Problem(status, title, "Please try again later.")

    def envelope(self, asked: Asked, no: Problem) -> Json:
        """A problem document."""
        body: Json = {"type": ERRORS, "title": no.message, "status": no.status, "detail": no.detail}
        return body | ({"errors": no.errors} if no.errors else {}) | {"instance": asked.shown[0][1]}

    def reply(self, asked: Asked, status: int, body: object, headers: Iterable[Header] = ()) -> Reply:
        """JSON, problem+json for a refusal, nothing below a 204."""
        reply = Api.reply(self, asked, status, body, headers)
        return reply if status < 400 else reply.changed(content_type="application/problem+json; charset=utf-8")

    def about(self, asked: Asked, address: str) -> bool:
        """In its path by hash, address or contact id, by its query or by its body."""
        wanted = address.strip().lower()
        said = [asked.reference, *asked.query.values(), str(asked.body.get("email_address", ""))]
        if asked.reference == digest(wanted) or wanted in {one.lower() for one in said}:
            return True
        audience = self.accounts[asked.account].audiences.get(asked.list_id)
        member = audience.contacts.get(asked.reference) if audience else None
        return member is not None and member.email_address.lower() == wanted
