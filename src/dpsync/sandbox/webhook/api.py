"""A processor's own system: takes signed messages in, does what they ask at once, and sends a signed outcome of each.

Source: standard-webhooks/standard-webhooks, spec/standard-webhooks.md, and docs/processor-webhook.md. How often an
outcome goes again is each processor's own: here whenever its clock ticks, until it is taken.
"""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass, field

from dpsync.sandbox import asked
from dpsync.sandbox.api import Api
from dpsync.sandbox.asked import Answer, Change, Json, Table, folded
from dpsync.sandbox.posting import Sent, post
from dpsync.sandbox.routes import compiled
from dpsync.sandbox.signing import signature, verifies
from dpsync.sandbox.vendor import Refusal
from dpsync.sandbox.webhook.filling import SeedPerson, WebhookActs, WebhookSection, WebhookSwitches

PING, CREATED, OUTCOME = "dpsync.ping", "dpsync.request.created", "dpsync.request.outcome"
REMINDER, WITHDRAWN = "dpsync.request.reminder", "dpsync.request.withdrawn"


@dataclass(slots=True)
class Member:
    """One person. `mailed` and `used`: whether anything is sent to them, and whether their data is at work."""

    email: str
    id: str = ""
    names: dict[str, str] = field(default_factory=dict)
    mailed: bool = True
    used: bool = True

    @property
    def state(self) -> str:
        """In one word."""
        return "restricted" if not self.used else "active" if self.mailed else "opted_out"


@dataclass(frozen=True, slots=True)
class Owed:
    """One outcome that is to be sent. `id`: the same each time."""

    id: str
    reference: str
    outcome: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One attempt; `status` 0 where nobody answered."""

    id: str
    outcome: str
    status: int


@dataclass(slots=True)
class House:
    """What it holds. `done`: the messages that it carried out, by their id. `noted`: the id and type of each message
    about an earlier one.
    """

    people: list[Member] = field(default_factory=list)
    done: dict[str, Owed] = field(default_factory=dict)
    noted: dict[str, str] = field(default_factory=dict)


class Message(asked.Asked[House, WebhookSwitches]):
    """One call."""

    __slots__ = ()

    @property
    def data(self) -> Json:
        """What a message tells of. Raises `Refusal` 422."""
        found = self.body.get("data")
        if not isinstance(found, dict):
            raise Refusal(422, "data is missing")
        return found

    def concerned(self) -> list[Member]:
        """Whom a message is about: by any of the addresses, or by the id of the main database."""
        subject = self.data.get("subject")
        if not isinstance(subject, dict):
            raise Refusal(422, "data.subject is missing")
        emails, number = {folded(one) for one in subject.get("emails", [])}, subject.get("id")
        return [one for one in self.held.people if folded(one.email) in emails or (number and one.id == number)]


def take(message: Message) -> Answer:
    """One message: done at once, and once for its id."""
    kind, name = message.body.get("type"), message.request.headers["webhook-id"]
    if kind == PING:
        return Answer(204)
    if kind in {REMINDER, WITHDRAWN}:
        if not isinstance(message.data.get("request"), str):
            raise Refusal(422, "data.request is missing")
        message.held.noted[name] = str(kind)
        return Answer(204)
    if kind != CREATED:
        raise Refusal(422, "type is not known")
    if name in message.held.done:
        return Answer(200, {})
    changes = list(carry_out(message))
    outcome = "done" if message.concerned() or changes else "nothing_held"
    message.held.done[name] = Owed(f"out-{name}", str(message.data.get("reference")), outcome)
    return Answer(200, {}, changes)


def carry_out(message: Message) -> Iterator[Change]:
    """What is asked, of everybody concerned."""
    data, held = message.data, message.held
    for one in message.concerned():
        was = one.email
        match data.get("right"):
            case "erasure":
                held.people.remove(one)
            case "opt_out":
                one.mailed = False
            case "restriction":
                one.used = bool(data.get("lifted"))
                one.mailed = one.mailed and one.used
            case "rectification" if isinstance(changes := data.get("changes"), dict):
                one.names |= {name: changes[name] for name in ("first_name", "last_name") if name in changes}
                one.email = changes.get("email", one.email)
            case _:
                raise Refusal(422, "data.right is not known")
        yield Change(str(data["right"]), "people", one.email, was if was != one.email else "")


ROUTES: Table = {"/webhook": {"POST": take}}


@dataclass(slots=True)
class Webhook(Api[Message]):
    """It, below `/webhook`. `secret` verifies, `own_secret` signs; `owed`: outcomes that nobody took yet."""

    routes = compiled(ROUTES)
    asks = Message
    held: House = field(default_factory=House)
    switches: WebhookSwitches = field(default_factory=WebhookSwitches)
    webhooks: Sent = field(default_factory=Sent)
    secret: str = field(default="", repr=False)
    own_secret: str = field(default="", repr=False)
    answers_to: str = field(default="", repr=False)
    owed: list[Owed] = field(default_factory=list)

    def fill(self, section: WebhookSection) -> None:
        """Adds what a scenario says."""
        self.answers_to = section.answers_to or self.answers_to
        self.held.people += [self._member(one) for one in section.people]
        self.set_up(section)

    def act(self, **asked: object) -> int:
        """Something done by hand; see WebhookActs. How many people were concerned."""
        wanted = WebhookActs.model_validate(asked)
        if wanted.act == "add":
            self.held.people.append(Member(wanted.address))
            return 1
        before = len(self.held.people)
        self.held.people = [one for one in self.held.people if folded(one.email) != folded(wanted.address)]
        return before - len(self.held.people)

    def holds(self, address: str) -> list[tuple[str, str]]:
        """("people", state), for each record of the address."""
        return [("people", one.state) for one in self.held.people if folded(one.email) == folded(address)]

    def reset(self) -> None:
        """Empties everything but the secrets, and where outcomes go."""
        self.held.people.clear()
        self.held.done.clear()
        self.held.noted.clear()
        self.owed.clear()
        self.forget_counts()

    def tick(self) -> int:
        """Sends the outcomes that nobody took yet."""
        owed, self.owed = self.owed, []
        for one in owed:
            self.begin(self.send(one))
        return len(owed)

    async def send(self, outcome: Owed) -> None:
        """Send one outcome, signed; it is owed again unless it was answered 2xx, or refused for good."""
        said = {"reference": outcome.reference, "outcome": self.switches.says or outcome.outcome}
        if outcome.detail:
            said["detail"] = outcome.detail
        body = json.dumps({"type": OUTCOME, "timestamp": f"{self.now():%Y-%m-%dT%H:%M:%SZ}", "data": said}).encode()
        stamp = int(self.now().timestamp())
        signed = f"{outcome.id}.{stamp}.".encode() + body
        headers = {"webhook-id": outcome.id, "webhook-timestamp": str(stamp), "content-type": "application/json"}
        headers["webhook-signature"] = signature(self.switches.signs_with or self.own_secret, signed)
        status = await asyncio.to_thread(post, self.answers_to, body, headers)
        self.webhooks.deliveries.append(Outgoing(outcome.id, said["outcome"], status))
        if not 200 <= status < 300:
            self.owed.append(outcome)

    def whose(self, asked: Message) -> str:
        """There is one account only; who signed is seen once the body is read."""
        del asked
        return "main"

    def admit(self, asked: Message) -> None:
        """Raises `Refusal` 401 for what nobody signed who knows the secret."""
        headers = {name.lower(): value for name, value in asked.request.headers.items()}
        if not verifies([self.secret], headers, asked.raw, self.now().timestamp()):
            raise Refusal(401, "the signature is not right")

    def done(self, asked: Message, answer: Answer) -> None:
        """Counts it, and sends its outcome; a reminder has it send the last one once more."""
        Api.done(self, asked, answer)
        outcome = self.held.done.get(asked.request.headers.get("webhook-id", ""))
        known = {one.id for one in self.webhooks.deliveries} | {one.id for one in self.owed}
        if asked.body.get("type") == REMINDER:
            about = f"{asked.data.get('request')}."
            outcome = next((one for name, one in reversed(self.held.done.items()) if name.startswith(about)), None)
            known = set()
        if outcome is None or outcome.id in known or self.switches.silent:
            return
        if self.answers_to:
            self.begin(self.send(outcome))
        else:
            self.owed.append(outcome)

    def trouble(self, _: Message, status: int) -> Refusal:
        """In no special words."""
        return Refusal(status, "not available")

    def envelope(self, _: Message, no: Refusal) -> Json:
        """As docs/processor-webhook.md has it."""
        return {"error": no.message}

    @staticmethod
    def _member(seed: SeedPerson) -> Member:
        return Member(seed.email, seed.id, {**seed.names})
