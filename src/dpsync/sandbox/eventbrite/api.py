"""The Eventbrite API v3 on loopback: slashes, tokens, the hourly count, and a privacy desk that reads letters.

Source: the vendor notes on API v3.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from dpsync.sandbox.api import Api
from dpsync.sandbox.asked import Json, folded
from dpsync.sandbox.buckets import Bucket
from dpsync.sandbox.eventbrite.asked import Asked, Moved, Refusal
from dpsync.sandbox.eventbrite.desk import anonymise, cancel, correct, unsubscribe
from dpsync.sandbox.eventbrite.endpoints import PUBLIC, ROUTES
from dpsync.sandbox.eventbrite.filling import EventbriteSection, EventbriteSwitches, PersonActs, SeedOrder
from dpsync.sandbox.eventbrite.records import (
    HOURLY,
    Attendee,
    Change,
    Event,
    Order,
    Records,
    Shape,
    Token,
    address_of,
    names,
)
from dpsync.sandbox.eventbrite.webhooks import Webhooks
from dpsync.sandbox.recipient import Letter
from dpsync.sandbox.routes import compiled

PREFIX = "/v3"
ERRORS = {400: "ARGUMENTS_ERROR", 401: "INVALID_AUTH", 403: "NOT_AUTHORIZED", 404: "NOT_FOUND", 429: "HIT_RATE_LIMIT"}


@dataclass(slots=True)
class Eventbrite(Api[Asked]):
    """The vendor: its records, and the buckets that count by token and by key."""

    prefix = PREFIX
    routes = compiled(ROUTES)
    asks = Asked

    held: Records = field(default_factory=Records)
    switches: EventbriteSwitches = field(default_factory=EventbriteSwitches)
    webhooks: Webhooks = field(default_factory=Webhooks)
    tokens: dict[str, Token] = field(default_factory=dict)
    keys: dict[str, Bucket] = field(default_factory=dict)

    @property
    def records(self) -> Records:
        """What the vendor holds."""
        return self.held

    # --- filling and acting

    def open_organization(self, name: str, tokens: Iterable[str] = ()) -> str:
        """The id of the organisation of that name, made where it is new; the private tokens open it."""
        held = self.records.organizations
        found_id = next((one for one, title in held.items() if title == name), None)
        home = found_id or self.records.next_id(5_550)
        held[home] = name
        for value in tokens:
            token = self.tokens.setdefault(value, Token(value))
            token.organizations = tuple(dict.fromkeys([*token.organizations, home]))
        return home

    def open_event(self, organization_id: str, name: str) -> str:
        """The id of the event of that name, made where it is new."""
        for event in self.records.events.values():
            if (event.organization_id, event.name) == (organization_id, name):
                return event.id
        made = Event(self.records.next_id(900_100), organization_id, name)
        self.records.events[made.id] = made
        return made.id

    def place(self, event_id: str, seeded: SeedOrder) -> Order:
        """Adds one order with a ticket for the buyer and one for each guest."""
        now = self.now()
        order = Order(
            self.records.next_id(440_000), event_id, now, now, seeded.first_name, seeded.last_name, seeded.email
        )
        order.status, order.expired, order.opted_in = seeded.status, seeded.expired, seeded.opted_in
        self.records.orders[order.id] = order
        people = [(seeded.email, seeded.first_name, seeded.last_name, seeded.answers, dict(seeded.profile))]
        people += [(one.email, one.first_name, one.last_name, one.answers, {}) for one in seeded.guests]
        for email, first, last, answers, more in people:
            profile: Json = {"name": f"{first} {last}".strip(), "first_name": first, "last_name": last, "email": email}
            one = Attendee(self.records.next_id(700_000), event_id, order.id, now, now, profile | more)
            one.opted_in = seeded.opted_in
            one.status = "Attending" if seeded.status == "placed" else "Not Attending"
            one.status = "Deleted" if seeded.status == "deleted" else one.status
            one.cancelled, one.refunded = seeded.status != "placed", seeded.status == "refunded"
            one.answers = [
                {"question_id": f"q{number}", "question": question, "type": "text", "answer": answer}
                for number, (question, answer) in enumerate(answers.items(), 1)
            ]
            self.records.attendees[one.id] = one
        self.tell("", [Change("placed", "order.placed", event_id, order, order.email, order.email)])
        return order

    def fill(self, section: EventbriteSection) -> None:
        """Adds what a scenario says."""
        for seeded in section.organizations:
            home = self.open_organization(seeded.name, seeded.tokens)
            for event in seeded.events:
                place = self.open_event(home, event.name)
                for order in event.orders:
                    self.place(place, order)
        self.tokens |= {value: Token(value, "public") for value in section.public_tokens}
        self.tokens |= {value: Token(value, "api_key") for value in section.api_keys}
        self.set_up(section)

    @property
    def shape(self) -> Shape:
        """What is left of an erased record."""
        return self.switches.anonymised_shape or "placeholder"

    def act(self, **asked: object) -> int:
        """Something done by hand; see PersonActs. How many records were concerned."""
        wanted = PersonActs.model_validate(asked)
        address, now = wanted.address, self.now()
        match wanted.act:
            case "anonymise":
                changes = anonymise(self.records, address, self.shape, now)
            case "rectify":
                changes = correct(self.records, address, wanted.to, wanted.first_name, wanted.last_name, now)
            case "unsubscribe":
                changes = unsubscribe(self.records, address, now)
            case "cancel" | "refund":
                changes = cancel(self.records, address, refund=wanted.act == "refund", now=now)
        self.note("", changes)
        return len(changes)

    def desk_reads(self, letter: Letter) -> int:
        """The privacy desk, about to answer "done", erases everybody whom an erasure names; how many records.

        Only with the switch `anonymise_after_ack`, and in the moment before its answer goes out, so that no read-back
        comes in between. Where weeks pass between the two, a test lets the desk act by hand. A letter that says in no
        machine's words what it asks for is taken for an erasure.
        """
        if not self.switches.anonymise_after_ack or self.switches.ack_but_do_nothing:
            return 0
        if letter.data.get("right", "erasure") != "erasure":
            return 0
        text = letter.words.lower()
        known = {folded(address_of(one)) for one in self.records.all()}
        done = 0
        for address in sorted(one for one in known if one and one in text):
            changes = anonymise(self.records, address, self.shape, self.now())
            self.note("", changes)
            done += len(changes)
        return done

    def holds(self, address: str) -> list[tuple[str, str]]:
        """("order" or "attendee" and its id, status) of every record in which the address stands, answers included."""
        orders = [(f"order {one.id}", one.status) for one in self.records.orders.values() if names(one, address)]
        held = self.records.attendees.values()
        return orders + [(f"attendee {one.id}", one.status) for one in held if names(one, address)]

    def reset(self) -> None:
        """Empties orders, attendees, hooks, counts, faults and switches; organisations, events and tokens stay."""
        held = self.records
        for part in (held.orders, held.attendees, held.hooks, held.places, self.keys):
            part.clear()
        for token in self.tokens.values():
            token.bucket = Bucket()
        self.forget_counts()

    def note(self, _: str, changes: Sequence[Change]) -> None:
        """Counts what happened, for the organisation whose event it is, and tells the webhooks."""
        for change in changes:
            event = self.records.events.get(change.event_id)
            self.count(event.organization_id if event else "", [change])
        self.tell("", changes)

    def tell(self, _: str, changes: Sequence[Change]) -> None:
        """Tells the webhooks, if there are any."""
        if self.records.hooks and changes:
            twice = bool(self.switches.webhooks_duplicated)
            self.begin(self.webhooks.tell(self.records, changes, self.url, twice=twice))

    # --- one call

    def whose(self, asked: Asked) -> str:
        """The token, once its call is counted. Raises `Refusal`: no slash, no token, too many calls, not for this."""
        if not asked.path.endswith("/"):
            query = asked.request.url.query
            raise Moved(f"{asked.path}/" + (f"?{query}" if query else ""))
        given = asked.bearer if "authorization" in asked.request.headers else asked.query.get("token", "")
        if not given:
            raise Refusal(401, "NO_AUTH")
        token = self.tokens.get(given)
        if token is None or token.kind == "api_key":
            raise Refusal(400 if self.switches.auth_400 else 401, "INVALID_AUTH")
        asked.token = token
        limit = HOURLY if self.switches.hourly_limit is None else self.switches.hourly_limit
        counted = {
            f"token:{token.value[:8]}": token.bucket.take(asked.now),
            f"key:{token.key}": self.keys.setdefault(token.key, Bucket()).take(asked.now),
        }
        shown = [f"{name} {min(used, limit)}/{limit} reset={left}s" for name, (used, left) in counted.items()]
        asked.shown.append(("x-rate-limit", ", ".join(shown)))
        if any(used > limit for used, _ in counted.values()):
            raise Refusal(429, "HIT_RATE_LIMIT")
        if token.kind == "public" and asked.template not in PUBLIC:
            raise Refusal(403, "NOT_AUTHORIZED")
        return token.value

    def check(self, asked: Asked) -> None:
        """Raises `Refusal` 400 for a body that is no JSON object."""
        if asked.said is not None and not isinstance(asked.said, dict):
            raise Refusal(400, "INVALID_BODY")

    def nothing_there(self, asked: Asked) -> Refusal:
        """A 404 of a path, a 405 of a method."""
        if asked.route is None:
            return Refusal(404, "NOT_FOUND", "The path you requested does not exist.")
        return Refusal(405, "METHOD_NOT_ALLOWED", "Method is not allowed for this endpoint.")

    def trouble(self, _: Asked, status: int) -> Refusal:
        """In the vendor's words for its status."""
        return Refusal(status, ERRORS.get(status, "INTERNAL_ERROR"))

    def envelope(self, _: Asked, no: Refusal) -> Json:
        """In the vendor's shape."""
        return {"status_code": no.status, "error": no.error, "error_description": no.message}

    def about(self, asked: Asked, address: str) -> bool:
        """By its filters, or by the record in its path."""
        if folded(address) in asked.several("only_emails"):
            return True
        attendee = self.records.attendees.get(asked.names.get("attendee_id", ""))
        record = attendee or self.records.orders.get(asked.names.get("order_id", ""))
        return record is not None and names(record, address)
