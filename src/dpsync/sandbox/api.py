"""One call to an imitated vendor, from its arrival to its answer, under whatever fault is switched on.

A vendor says who is asking, what its endpoints answer and how it words a refusal; all else is here, once. One call is
one coroutine and its rules run without waiting in between, so two calls never see a person half changed.
"""

import copy
import inspect
import json
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from dpsync.sandbox.asked import Answer, Asked, Header, folded
from dpsync.sandbox.fault_replies import Reply, Wire, perform, send_reply
from dpsync.sandbox.faults import Target
from dpsync.sandbox.journal import Call
from dpsync.sandbox.routes import Route, found
from dpsync.sandbox.vendor import Refusal, Vendor

A = TypeVar("A", bound=Asked[Any, Any])


@dataclass(slots=True)
class Api(Vendor, Generic[A]):
    """A vendor as the calls to it see it. `held`: all that a call may change."""

    prefix: ClassVar[str] = ""
    routes: ClassVar[Sequence[Route[Any]]]
    asks: ClassVar[type[Asked[Any, Any]]]
    json_type: ClassVar[str] = "application/json"

    held: Any = field(init=False)

    # --- what each vendor says

    @abstractmethod
    def whose(self, asked: A, /) -> str:
        """The account that a call is counted for. Raises `Refusal` for whoever is turned away at the door."""

    @abstractmethod
    def envelope(self, asked: A, no: Any, /) -> object:
        """The body of a refusal, in the vendor's own shape."""

    @abstractmethod
    def trouble(self, asked: A, status: int, /) -> Refusal:
        """How the vendor words an error status that is no answer to this call."""

    # --- what a vendor may say otherwise

    def below(self, path: str) -> str:
        """The path as the templates have it; empty where it is none of the vendor's."""
        return path.removeprefix(self.prefix) or "/" if path.startswith(self.prefix) else ""

    def nothing_there(self, asked: A, /) -> Refusal:
        """What is said of a path, or of a method on it, that the vendor lacks: by itself as of any 404 or 405."""
        return self.trouble(asked, 405 if asked.route else 404)

    def about(self, asked: A, address: str, /) -> bool:
        """Whether the call names this address; by itself, whether it stands in its path, its query or its body."""
        said = [asked.path, str(asked.query), *asked.query.values(), asked.raw.decode("utf-8", "replace")]
        return any(folded(address) in folded(one) for one in said)

    def crowded(self, running: int) -> None:
        """Raises `Refusal` where so many calls of one account at once are too many."""

    def admit(self, asked: A, /) -> None:
        """Raises `Refusal` where a call that was let in may not be carried out."""

    def check(self, asked: A, /) -> None:
        """Raises `Refusal` where the body of a call that could be answered cannot be read: no object, as a 400."""
        if asked.said is not None and not isinstance(asked.said, dict):
            raise self.trouble(asked, 400)

    def done(self, asked: A, answer: Answer, /) -> None:
        """Follows an answer that took effect."""
        self.note(asked.account, answer.changes)

    def note(self, account: str, changes: Sequence[Any]) -> None:
        """Counts what happened, and tells the webhooks."""
        self.count(account, changes)
        if changes:
            self.tell(account, changes)

    def tell(self, account: str, changes: Sequence[Any]) -> None:
        """Tells the webhooks of what happened; most vendors have some."""

    def reply(self, asked: A, status: int, body: object, headers: Iterable[Header] = ()) -> Reply:
        """The answer as it goes on the wire."""
        shown = [*headers, *asked.shown]
        if body is None:
            return Reply(status, shown, b"")
        return Reply(status, [("content-type", self.json_type), *shown], json.dumps(body).encode())

    # --- one call

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One call."""
        request = Request(scope, receive)
        route, names = found(self.routes, self.below(str(scope["path"])))
        asked: Any = self.asks(request, route, names, self.held, self.switches, self.now())
        try:
            await self._take(asked, Wire(scope, receive, send, self.waits.pause))
        except ClientDisconnect:
            return

    async def _take(self, asked: A, wire: Wire) -> None:
        call = Call(asked.now.timestamp(), "", f"{asked.method} {asked.template}", 0)
        try:
            asked.account = call.account = self.whose(asked)
        except Refusal as no:
            await asked.request.body()
            call.endpoint = no.counted
            self.journal.calls.append(call)
            await self._say(wire, call, self._refused(asked, no))
            return
        running = self.journal.enter(asked.account)
        self.journal.calls.append(call)
        try:
            asked.read(await asked.request.body())
            self.crowded(running)
            await self.waits.pause(self.latency)
            await self._under(asked, wire, call)
        except Refusal as no:
            await self._say(wire, call, self._refused(asked, no))
        finally:
            self.journal.leave(asked.account)

    async def _under(self, asked: A, wire: Wire, call: Call) -> None:
        """Carries the call out unless a fault forbids it, and sends the right answer, or what the fault makes of it."""
        target = Target(asked.method, asked.template, asked.account, lambda address: self.about(asked, address))
        fault = self.faults.take(target)
        right = await self._right(asked, effect=fault is None or fault.takes_effect)
        if fault is None:
            await self._say(wire, call, right)
            return
        self.journal.faults[fault.kind] += 1
        call.status = await perform(
            fault, wire, right, lambda status: self._refused(asked, self.trouble(asked, status))
        )

    async def _right(self, asked: A, *, effect: bool) -> Reply:
        asked.effect, asked.now = effect, self.now()
        if not effect and asked.method != "GET":
            # Carried out on a copy: the answer is the right one, and nothing has happened.
            asked.held = copy.deepcopy(self.held)
        try:
            self.admit(asked)
            handler = asked.route.handlers.get(asked.method) if asked.route else None
            if handler is None:
                raise self.nothing_there(asked)
            self.check(asked)
            answer = handler(asked)
            answer = await answer if inspect.isawaitable(answer) else answer
        except Refusal as no:
            reply = self._refused(asked, no)
            # The vendor itself may well have it: whoever reads its pages must not take this 404 for the vendor's.
            return reply if asked.route else reply.changed(Sandbox="this path is not imitated")
        if effect:
            self.done(asked, answer)
        return self.reply(asked, answer.status, answer.body, answer.headers)

    def _refused(self, asked: A, no: Refusal) -> Reply:
        return self.reply(asked, no.status, self.envelope(asked, no), no.headers)

    async def _say(self, wire: Wire, call: Call, reply: Reply) -> None:
        call.status = reply.status
        await send_reply(wire, reply)
