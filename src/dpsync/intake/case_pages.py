"""The page on which a step of a complaint or an incident is recorded: GET offers a code, POST sends, shows, records."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future

from starlette.requests import Request
from starlette.responses import Response

from dpsync.cases.incidents import FACTS, Finding
from dpsync.cases.values import Result, Topic
from dpsync.connector_services import Clock
from dpsync.errors import DecisionRefused, NotFound
from dpsync.intake.case_form import CaseGiven, given_of, problem_of
from dpsync.intake.case_links import CaseLinks, CaseLooked
from dpsync.intake.case_values import WORDS
from dpsync.intake.decision_pages import CHANNELS, CODE, ELSEWHERE, NOT_RIGHT, STALE
from dpsync.intake.mailed_codes import Sent
from dpsync.intake.new_cases import NEW
from dpsync.intake.page_links import PageLink, PageLinks
from dpsync.intake.typed import LONGEST_FORM_WITH_A_LETTER, fields_of
from dpsync.model import Right
from dpsync.propagation.codes import CodeCheck

MOST_FIELDS = 300
RESULTS = {
    Result.UPHELD: "Upheld: the person is right",
    Result.PARTLY: "Upheld in part",
    Result.NOT_UPHELD: "Not upheld",
    Result.WITHDRAWN: "The person withdrew it",
    Result.OUT_OF_SCOPE: "It is not about data protection",
}
KINDS = {"C": "complaint", "I": "incident", "L": "leaving processor"}
"""What each case is called, by the letter that its id begins with."""

RIGHTS = {
    Right.ERASURE: "To have their data erased",
    Right.RESTRICTION: "To have the use of their data restricted",
    Right.OPT_OUT: "To get no more marketing",
}
"""What may be asked for in a complaint; a correction needs its values, and the command for a request."""

FINDINGS = {
    Finding.NOT_A_BREACH: "It was no breach of personal data",
    Finding.BREACH_NO_RISK: "A breach without a risk to anybody, so the authority is not told (Art. 33(1))",
    Finding.BREACH_NOTIFIED: "A breach, and the authority was told",
}


class CasePages:
    """The endpoint of one case, behind a link to it or to the list of what waits."""

    def __init__(self, links: PageLinks, cases: CaseLinks, clock: Clock, render: Callable[..., Response]) -> None:
        self._links, self._cases, self._clock, self._render = links, cases, clock, render

    async def endpoint(self, request: Request, link: PageLink, case_id: str) -> Response:
        """GET says that a step can be recorded; POST asks for a code, shows the case, or records the step."""
        if request.method != "POST":
            return self._start(link, case_id)
        sent, now, token = (
            await fields_of(request, LONGEST_FORM_WITH_A_LETTER, MOST_FIELDS),
            self._clock.now(),
            _token(request),
        )
        foreign = request.headers.get("sec-fetch-site") in ELSEWHERE
        if foreign or not self._links.is_form(link, sent.get("form", ""), now):
            return self._start(link, case_id, STALE, 403)
        match sent.get("step"):
            case "send":
                answer = await asyncio.to_thread(self._cases.send_code, token, now)
                return self._code(link, CODE[answer], 200 if answer is Sent.YES else 503)
            case "look":
                return await self._answer(link, self._cases.look(token, case_id, sent.get("code", ""), now))
            case "decide":
                return await self._record(link, token, case_id, sent)
            case _:
                return self._start(link, case_id, STALE, 422)

    async def _record(self, link: PageLink, token: str, case_id: str, sent: dict[str, str]) -> Response:
        given, now, ticket = given_of(sent), self._clock.now(), sent.get("ticket", "")
        problem = problem_of(given)
        try:
            looked = self._cases.record(token, case_id, ticket, given, now, problem=problem)
            return await self._answer(link, looked, given)
        except DecisionRefused as refused:
            said = refused.message[:1].upper() + refused.message[1:]
            looked = self._cases.record(token, case_id, ticket, given, now, problem=f"{said.rstrip('.')}.")
            return await self._answer(link, looked, given)

    async def _answer(self, link: PageLink, future: "Future[CaseLooked]", given: CaseGiven | None = None) -> Response:
        try:
            looked = await asyncio.wrap_future(future)
        except NotFound as missing:
            if given is None or not given.about:
                return self._render("unknown.html", 404)
            raise DecisionRefused(missing.message) from None  # a request that was typed
        if looked.check is CodeCheck.LOCKED:
            return self._render("decision_closed.html", 403, locked=True)
        if looked.page is None:
            return self._code(link, NOT_RIGHT[looked.check], 422)
        if looked.recorded and given is not None and given.step is not None:
            return self._render("case_recorded.html", 200, page=looked.page, choice=WORDS[given.step])
        return self._render(
            "case_decide.html",
            422 if looked.refused else 200,
            page=looked.page,
            link=link,
            ticket=looked.ticket,
            form=self._links.form(link, self._clock.now()),
            given=given or CaseGiven(),
            problem=looked.refused,
            words=WORDS,
            channels=CHANNELS,
            results=RESULTS,
            findings=FINDINGS,
            asked=FACTS,
            topics=list(Topic),
            rights=RIGHTS,
        )

    def _start(self, link: PageLink, case_id: str, problem: str = "", status: int = 200) -> Response:
        form, kind = self._links.form(link, self._clock.now()), KINDS[case_id[0]]
        head = f"Record {'a new' if case_id in NEW else 'a step of this'} {kind}"
        shown = {"head": head, "request_id": "" if case_id in NEW else case_id, "role": link.addressee}
        said = {"sends": "a code", "button": "Email me a code", "what": kind.capitalize()}
        return self._render("page_start.html", status, form=form, problem=problem, **shown, **said)

    def _code(self, link: PageLink, problem: str, status: int) -> Response:
        form = self._links.form(link, self._clock.now())
        then = f"The next page shows what people wrote. dpsync records that the {link.addressee} looked."
        shows = {"then": then, "button": "Show it"}
        return self._render("code.html", status, role=link.addressee, form=form, problem=problem, **shows)


def _token(request: Request) -> str:
    return str(request.path_params["token"])
