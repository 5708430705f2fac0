"""The pages on which a letter to a person is written: a code, what it shall say, the text, and that it went."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import Final

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from dpsync.cases.values import Channel
from dpsync.connector_services import Clock
from dpsync.errors import DecisionRefused, NotFound
from dpsync.intake.decision_pages import CHANNELS, CODE, ELSEWHERE, LETTERS, NOT_RIGHT, STALE
from dpsync.intake.mailed_codes import Sent
from dpsync.intake.page_links import PageLink, PageLinks
from dpsync.intake.person_letter_links import LetterSent, PersonLetterLinks
from dpsync.intake.typed import day_of, fields_of, one_of, plain, too_long
from dpsync.person_letters.compose import Asks, Ground
from dpsync.propagation.codes import CodeCheck
from dpsync.propagation.telling import LetterKind

LONGEST_FORM: Final = 32 * 1024
GROUNDS: Final = MappingProxyType(
    {
        Ground.NEEDED: "We must or may keep the data (Art. 17(3))",
        Ground.EXCESSIVE: "It is unfounded or excessive (Art. 12(5))",
        Ground.NOT_IDENTIFIABLE: "We cannot find out whose data these are (Art. 11(2))",
        Ground.SCHEDULE_2: "An exemption of the Data Protection Act 2018, Schedule 2",
    }
)
WITH_REASON: Final = frozenset({LetterKind.EXTENSION, LetterKind.REFUSAL, LetterKind.LIFTING})
OVER = "This page was open for too long. Nothing is recorded. Please ask for a new code."


@dataclass(frozen=True, slots=True)
class LetterForm:
    """What was filled in; None or "" for what is empty or makes no sense. `on`, `how`: when and how it went."""

    kind: LetterKind | None = None
    because: str = ""
    ground: Ground | None = None
    ends_on: date | None = None
    on: date | None = None
    how: Channel | None = None
    name: str = ""
    note: str = ""

    @property
    def unwritten(self) -> str:
        """What keeps it from being written, as a sentence to the person; "" where nothing does."""
        if self.kind is None:
            return "Please choose a letter."
        if self.kind in WITH_REASON and not self.because:
            return "Please write the reason, in words for the person."
        if self.kind is LetterKind.REFUSAL and self.ground is None:
            return "Please choose the legal ground of the refusal."
        if self.kind is LetterKind.LIFTING and self.ends_on is None:
            return "Please give the day on which the restriction ends."
        return too_long("", self.because)

    @property
    def unrecorded(self) -> str:
        """What keeps it from being recorded that it went."""
        if self.on is None or self.how is None:
            return "Please give the day on which the letter went, and how."
        return "" if self.name else "Please type your name."


class PersonLetterPages:
    """The endpoint of the letters about one request, behind a link to its dossier or to the list of what waits."""

    def __init__(
        self, links: PageLinks, letters: PersonLetterLinks, clock: Clock, render: Callable[..., Response]
    ) -> None:
        self._links, self._letters, self._clock, self._render = links, letters, clock, render

    async def endpoint(self, request: Request, link: PageLink, request_id: str) -> Response:
        """GET says that a letter can be written; POST asks for a code, writes the letter, or records that it went."""
        if request.method != "POST":
            return self._start(link, request_id)
        sent, now, token = await fields_of(request, LONGEST_FORM), self._clock.now(), request.path_params["token"]
        foreign = request.headers.get("sec-fetch-site") in ELSEWHERE
        if foreign or not self._links.is_form(link, sent.get("form", ""), now):
            return self._start(link, request_id, STALE, 403)
        try:
            match sent.get("step"):
                case "send":
                    answer = await asyncio.to_thread(self._letters.send_code, token, now)
                    return self._code(link, CODE[answer], 200 if answer is Sent.YES else 503)
                case "look":
                    return await self._looked(link, token, request_id, sent.get("code", ""))
                case "write":
                    return await asyncio.to_thread(self._write, link, token, request_id, sent)
                case "told":
                    return await self._record(link, token, request_id, sent)
        except NotFound:
            return self._render("unknown.html", 404)
        return self._start(link, request_id, STALE, 422)

    async def _looked(self, link: PageLink, token: str, request_id: str, code: str) -> Response:
        looked = await asyncio.wrap_future(self._letters.look(token, request_id, code, self._clock.now()))
        if looked.check is CodeCheck.LOCKED:
            return self._render("decision_closed.html", 403, locked=True)
        if looked.check is not CodeCheck.RIGHT:
            return self._code(link, NOT_RIGHT[looked.check], 422)
        return await asyncio.to_thread(self._choose, link, request_id, looked.ticket, LetterForm())

    def _choose(self, link: PageLink, request_id: str, ticket: str, form: LetterForm, problem: str = "") -> Response:
        now = self._clock.now()
        return self._render(
            "letter_choose.html",
            422 if problem else 200,
            request_id=request_id,
            choices=self._letters.choices(request_id, now),
            letters=LETTERS,
            grounds=GROUNDS,
            given=form,
            ticket=ticket,
            form=self._links.form(link, now),
            problem=problem,
        )

    def _write(
        self, link: PageLink, token: str, request_id: str, sent: dict[str, str], problem: str = "", status: int = 200
    ) -> Response:
        """The letter. `problem`: what keeps it from being recorded that it went."""
        form, ticket, now = _form_of(sent), sent.get("ticket", ""), self._clock.now()
        if form.unwritten or form.kind is None:
            return self._choose(link, request_id, ticket, form, form.unwritten)
        asks = Asks(form.because, form.ground, form.ends_on)
        try:
            made = self._letters.written(token, request_id, ticket, form.kind, asks, now)
        except DecisionRefused as refused:
            return self._choose(link, request_id, ticket, form, f"This letter cannot be written: {refused.message}.")
        if made is None:
            return self._start(link, request_id, OVER, 403)
        letter, ticket = made
        return self._render(
            "letter.html",
            status,
            request_id=request_id,
            letter=letter,
            text=Markup(letter.blocks),  # noqa: S704 - because it escapes each line of the letter itself
            channels=CHANNELS,
            given=form,
            ticket=ticket,
            form=self._links.form(link, now),
            problem=problem,
            role=link.addressee,
        )

    async def _record(self, link: PageLink, token: str, request_id: str, sent: dict[str, str]) -> Response:
        form = _form_of(sent)
        problem = form.unrecorded or too_long(form.name, form.note)
        if problem or form.on is None or form.how is None:
            return await asyncio.to_thread(self._write, link, token, request_id, sent, problem, 422)
        went = LetterSent(form.on, form.how.value, form.name, form.note)
        try:
            recorded = self._letters.record(token, request_id, sent.get("ticket", ""), went, self._clock.now())
            answered = await asyncio.wrap_future(recorded)
        except DecisionRefused as refused:
            said = f"{refused.message[:1].upper()}{refused.message[1:]}."
            return await asyncio.to_thread(self._write, link, token, request_id, sent, said, 422)
        if answered is None:
            return self._start(link, request_id, OVER, 403)
        return self._render("letter_recorded.html", 200, request_id=request_id, answered=answered)

    def _start(self, link: PageLink, request_id: str, problem: str = "", status: int = 200) -> Response:
        form = self._links.form(link, self._clock.now())
        shown = {"head": "Write the letter to the person", "request_id": request_id[:8], "role": link.addressee}
        said = {"sends": "a code", "button": "Email me a code"}
        return self._render("page_start.html", status, form=form, problem=problem, **shown, **said)

    def _code(self, link: PageLink, problem: str, status: int) -> Response:
        form = self._links.form(link, self._clock.now())
        then = f"The letter names the person. dpsync records that the {link.addressee} looked."
        shows = {"then": then, "button": "Go on"}
        return self._render("code.html", status, role=link.addressee, form=form, problem=problem, **shows)


def _form_of(sent: dict[str, str]) -> LetterForm:
    """What the fields say; a value that the page does not have counts as nothing."""
    return LetterForm(
        kind=one_of(LetterKind, sent.get("kind", "")),
        because=plain(sent.get("because", "")),
        ground=one_of(Ground, sent.get("ground", "")),
        ends_on=day_of(sent.get("ends_on", "")),
        on=day_of(sent.get("on", "")),
        how=one_of(Channel, sent.get("how", "")),
        name=" ".join(plain(sent.get("name", "")).split()),
        note=plain(sent.get("note", "")),
    )
