"""The pages behind the link of a question: first a code, then the request with the person, then the decision.

GET only says that a question is there, whatever opens it, however often. Nothing of the request is shown before the
code, and nothing is recorded without it. Every form carries a field that only its own page has.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from itertools import chain

from starlette.requests import Request
from starlette.responses import Response

from dpsync.cases.values import Channel
from dpsync.errors import DecisionRefused, NotFound
from dpsync.intake.decision_form import given_of, problem_of
from dpsync.intake.decision_links import DecisionLinks, Given, Link, Looked, Standing
from dpsync.intake.mailed_codes import Sent
from dpsync.intake.receiver import Receiver
from dpsync.intake.remedies import WORDS as REMEDIES
from dpsync.intake.typed import LONGEST_FORM_WITH_A_LETTER, TOKEN, fields_of
from dpsync.intake.whole import WORDS as WHOLES
from dpsync.propagation.codes import CodeCheck
from dpsync.propagation.telling import LetterKind

MOST_FIELDS = 200
WORDS = {str(one): said for one, said in chain(WHOLES.items(), REMEDIES.items())}
LETTERS = {
    LetterKind.ACTION.value: "What was done, or how far it is (Art. 12(3))",
    LetterKind.ERASURE.value: "The data are erased (Art. 17)",
    LetterKind.EXTENSION.value: "It takes longer, and why (Art. 12(3))",
    LetterKind.REFUSAL.value: "A refusal, and why (Art. 12(4))",
    LetterKind.LIFTING.value: "The restriction will end (Art. 18(3))",
    LetterKind.RECIPIENTS.value: "Who has the data (Art. 19)",
}
CHANNELS = {one.value: one.value.capitalize() for one in Channel}
ELSEWHERE = frozenset({"cross-site", "same-site"})
"""What a browser says of a form that another page sends (the Fetch Metadata of a request)."""

STALE = "This page was open for too long, or another page sent this form. Nothing is recorded. Please begin again."
NOT_RIGHT = {
    CodeCheck.WRONG: "This is not the code. Please look at the newest email and try again.",
    CodeCheck.NONE: "This code is not valid any more. Please ask for a new one.",
}
CODE = {
    Sent.YES: "",
    Sent.TOO_SOON: "A code was sent a moment ago, or too many were sent. Please look for it, or wait a minute.",
    Sent.NO: "The code could not be sent. Please try again in a few minutes.",
}


class DecisionPages:
    """The endpoint under /decisions."""

    def __init__(self, receiver: Receiver, render: Callable[..., Response]) -> None:
        self._receiver, self._render = receiver, render
        self._links, self._clock = receiver.decisions, receiver.clock

    async def endpoint(self, request: Request) -> Response:
        """/decisions/{token}: GET shows that a decision is asked; POST asks for a code, looks, or decides."""
        token = request.path_params["token"]
        if self._links is None or not TOKEN.fullmatch(token):
            return self._unknown()
        now = self._clock.now()
        link = await asyncio.to_thread(self._links.link, token, now)
        if link is None:
            return self._unknown()
        posted = request.method == "POST"
        if link.standing is not Standing.OPEN:
            return self._render("decision_closed.html", 409 if posted else 200, locked=link.standing is Standing.LOCKED)
        return await self._posted(request, self._links, link) if posted else self._start(self._links, link)

    async def _posted(self, request: Request, links: DecisionLinks, link: Link) -> Response:
        sent, now, token = (
            await fields_of(request, LONGEST_FORM_WITH_A_LETTER, MOST_FIELDS),
            self._clock.now(),
            request.path_params["token"],
        )
        foreign = request.headers.get("sec-fetch-site") in ELSEWHERE
        if foreign or not links.is_form(link, sent.get("form", ""), now):
            return self._start(links, link, STALE, 403)
        match sent.get("step"):
            case "send":
                answer = await asyncio.to_thread(links.send_code, token, now)
                return self._code(links, link, CODE[answer], 200 if answer is Sent.YES else 503)
            case "look":
                return await self._answer(links, link, links.look(token, sent.get("code", ""), now))
            case "decide":
                return await self._decide(links, link, sent, token)
            case _:
                return self._start(links, link, STALE, 422)

    async def _decide(self, links: DecisionLinks, link: Link, sent: dict[str, str], token: str) -> Response:
        given, now, ticket = given_of(sent), self._clock.now(), sent.get("ticket", "")
        problem = problem_of(given, sent)
        whole = replace(given, whole=None, remedies={}) if problem else given
        try:
            return await self._answer(links, link, links.decide(token, ticket, whole, now), given, problem)
        except DecisionRefused as refused:
            return await self._answer(links, link, links.again(token, ticket, refused.message, now), given)

    async def _answer(
        self, links: DecisionLinks, link: Link, future: "Future[Looked]", given: Given | None = None, problem: str = ""
    ) -> Response:
        try:
            looked = await asyncio.wrap_future(future)
        except NotFound:  # decided in the meantime
            return self._render("decision_closed.html", 409, locked=False)
        if looked.check is CodeCheck.LOCKED:
            return self._render("decision_closed.html", 403, locked=True)
        if looked.recorded and given is not None:
            self._receiver.worker.wake()
            choice = WHOLES[given.whole] if given.whole else "By processor"
            return self._render("decision_recorded.html", 200, choice=choice, looked=looked)
        if looked.matter is None:
            return self._code(links, link, NOT_RIGHT[looked.check], 422)
        problem = looked.refused or problem
        looks = await asyncio.to_thread(links.looks, link, looked, self._clock.now())
        return self._render(
            "decision.html",
            409 if looked.refused else 422 if problem else 200,
            link=link,
            matter=looked.matter,
            ticket=looked.ticket,
            form=links.form(link, self._clock.now()),
            words=WORDS,
            letters=LETTERS,
            channels=CHANNELS,
            looks=looks,
            given=given or Given(None, "", ""),
            problem=problem,
        )

    def _start(self, links: DecisionLinks, link: Link, problem: str = "", status: int = 200) -> Response:
        form = links.form(link, self._clock.now())
        return self._render("decision_start.html", status, link=link, form=form, problem=problem)

    def _code(self, links: DecisionLinks, link: Link, problem: str, status: int) -> Response:
        form = links.form(link, self._clock.now())
        then = f"The next page shows who the request is about. dpsync records that the {link.role} looked."
        shows = {"then": then, "button": "Show the request"}
        return self._render("code.html", status, role=link.role, form=form, problem=problem, **shows)

    def _unknown(self) -> Response:
        return self._render("unknown.html", 404)
