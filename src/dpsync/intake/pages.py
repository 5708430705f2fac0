"""The pages that people see by a link: the answer to a notice, the confirmation of a contact, a decision.

GET only shows, because mail scanners open every link; POST records. The token in the path is the whole authority, so
no page names a person and none is cached, indexed or referred from. There is no session and no cookie, so a page
elsewhere that posts a form here has nothing to borrow: who knows the token needs no borrowing.
"""

import asyncio
import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from dpsync.errors import DecisionRefused, NotFound
from dpsync.intake.decision_pages import DecisionPages
from dpsync.intake.letter_links import ContactPage
from dpsync.intake.linked_pages import LinkedPages
from dpsync.intake.receiver import Receiver
from dpsync.intake.typed import TOKEN, fields_of, plain, too_long
from dpsync.intake.worklists import WorkLists
from dpsync.model import Right
from dpsync.opt_out_scope import in_words
from dpsync.propagation.correspondence.acknowledgement import AnswerForm, Question
from dpsync.propagation.rules.lifecycle import AnswerKind
from dpsync.reports.whole_ids import with_whole_ids

TEMPLATES = Path(__file__).parent / "templates"
LONGEST_FORM = 32 * 1024

CHOICES = {
    AnswerKind.RECEIVED: "Received. The outcome will follow",
    AnswerKind.DONE: "Done",
    AnswerKind.NOTHING_HELD: "We hold nothing about this person",
    AnswerKind.PARTLY: "Partly done (please say what is missing and why)",
    AnswerKind.REFUSED: "Refused (please say why)",
    AnswerKind.WRONG_RECIPIENT: "We are the wrong recipient",
}
PLACES = {
    "live": "Live data, such as accounts and form submissions",
    "copies": "Copies that were sent by email",
    "logs": "Logs",
    "backups": "Back-ups",
}
LABELS = {"live": "live data", "copies": "emailed copies", "logs": "logs", "backups": "back-ups"}
"""What a dossier calls them."""

LONGEST_PLACE = 300
WITH_REASON = frozenset({AnswerKind.PARTLY, AnswerKind.REFUSED})
RIGHTS = {
    Right.RECTIFICATION: "Rectification (GDPR Art. 16)",
    Right.ERASURE: "Erasure (GDPR Art. 17)",
    Right.RESTRICTION: "Restriction of processing (GDPR Art. 18)",
    Right.OPT_OUT: "Objection, opt-out (GDPR Art. 21)",
}


LIFTED = "The end of a restriction of processing (GDPR Art. 18(3))"


@dataclass(frozen=True, slots=True)
class _Form:
    kind: AnswerKind | None
    name: str
    remark: str
    places: Mapping[str, str]
    expires: str

    @property
    def problem(self) -> str:
        """What keeps it from being recorded, as a sentence to the person; "" where nothing does."""
        if self.kind is None:
            return "Please choose one of the answers."
        if not self.name:
            return "Please type your name."
        if self.kind in WITH_REASON and not self.remark:
            return "Please give the reason in the remark."
        if any(len(text) > LONGEST_PLACE for text in self.places.values()):
            return f"Please write at most {LONGEST_PLACE} characters for each place."
        if self.expires and not _is_day(self.expires):
            return "Please write the day on which the back-ups expire like 2027-01-31, or leave it empty."
        return too_long(self.name, self.remark)

    @property
    def said_of_places(self) -> dict[str, str]:
        """What was filled in, under the words that a dossier shows."""
        said = {LABELS[name]: text for name, text in self.places.items() if text}
        return said | ({"back-ups expire": self.expires} if self.expires else {})


_NOTHING_YET = _Form(None, "", "", dict.fromkeys(PLACES, ""), "")


class Pages:
    """The endpoints under /answers and /contacts."""

    def __init__(self, receiver: Receiver) -> None:
        self._letters, self._clock = receiver.letters, receiver.clock
        environment = Environment(
            loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, auto_reload=False
        )
        style = (TEMPLATES / "page.css").read_text("utf-8")
        environment.globals |= {"controller": receiver.controller, "rehearsal": receiver.rehearsal, "style": style}
        environment.globals["passphrases"] = receiver.passphrases
        self._environment = environment
        self._worklists = WorkLists(receiver, self._render)
        self.decisions = DecisionPages(receiver, self._render).endpoint
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        self._headers = {
            "content-security-policy": f"default-src 'none'; style-src 'sha256-{digest}'; form-action 'self'; "
            "base-uri 'none'; frame-ancestors 'none'",
            "cache-control": "no-store",
            "referrer-policy": "no-referrer",
            "x-content-type-options": "nosniff",
            "x-robots-tag": "noindex, nofollow",
        }
        self.linked = LinkedPages(receiver, self._render, self._headers)

    async def answers(self, request: Request) -> Response:
        """/answers/{token}: GET shows the form and changes nothing; POST thanks after the answer is committed."""
        worklist = await self._worklists.page(request)
        if worklist is not None:
            return await self._worklists.answer(request, worklist)
        return await (self._record_answer(request) if request.method == "POST" else self._show_answer(request))

    async def contacts(self, request: Request) -> Response:
        """/contacts/{token}: GET asks whether this is the right address; POST with confirm=yes says so."""
        return await (self._confirm_contact(request) if request.method == "POST" else self._show_contact(request))

    def later(self) -> Response:
        """Whether it was recorded is not known: the person at the processor is asked to come again."""
        return self._render("later.html", 503, {"retry-after": "60"})

    def too_large(self) -> Response:
        """Nothing of the form was read. The connection ends, for the rest of it may still be on its way."""
        return self._render("too_large.html", 413, {"connection": "close"})

    async def _show_answer(self, request: Request) -> Response:
        page = await self._question(request)
        return self._unknown() if page is None else self._form(page, _NOTHING_YET, "", 200)

    async def _record_answer(self, request: Request) -> Response:
        sent = await fields_of(request, LONGEST_FORM)
        page = await self._question(request)
        if page is None:
            return self._unknown()
        form = _answer(sent)
        if form.kind is None or form.problem:
            return self._form(page, form, form.problem, 422)
        peer = request.client.host if request.client else ""
        agent = plain(request.headers.get("user-agent", ""))[:LONGEST_PLACE]
        given = AnswerForm(form.name, form.remark, peer, agent, form.said_of_places)
        try:
            answered = self._letters.answer(request.path_params["token"], form.kind, given, self._clock.now())
            await asyncio.wrap_future(answered)
        except NotFound:
            return self._unknown()
        except DecisionRefused:
            often = "This notice has been answered many times. Please reply to the letter instead."
            return self._form(page, form, often, 409)
        return self._render("thanks.html", 200, page=page, choice=CHOICES[form.kind])

    async def _show_contact(self, request: Request) -> Response:
        page = await self._contact(request)
        return self._unknown() if page is None else self._render("contact.html", 200, page=page, done=page.confirmed)

    async def _confirm_contact(self, request: Request) -> Response:
        sent = await fields_of(request, LONGEST_FORM)
        page = await self._contact(request)
        if page is None:
            return self._unknown()
        if sent.get("confirm") != "yes":
            return self._render("contact.html", 422, page=page, done=page.confirmed)
        try:
            await asyncio.wrap_future(self._letters.confirm(request.path_params["token"], self._clock.now()))
        except (NotFound, DecisionRefused):
            return self._unknown()
        return self._render("contact.html", 200, page=page, done=True)

    async def _question(self, request: Request) -> Question | None:
        token = request.path_params["token"]
        if not TOKEN.fullmatch(token):
            return None
        return await asyncio.to_thread(self._letters.question, token, self._clock.now())

    async def _contact(self, request: Request) -> ContactPage | None:
        token = request.path_params["token"]
        return await asyncio.to_thread(self._letters.contact, token) if TOKEN.fullmatch(token) else None

    def _form(self, page: Question, form: _Form, problem: str, status: int) -> Response:
        part = f", only {in_words(page.scope)}" if page.scope else ""
        right = LIFTED if page.lifting else RIGHTS[page.right] + part
        return self._render(
            "answer.html",
            status,
            page=page,
            right=right,
            choices=CHOICES,
            places=PLACES,
            form=form,
            problem=problem,
        )

    def _unknown(self) -> Response:
        return self._render("unknown.html", 404)

    def _render(
        self, template: str, status: int, headers: Mapping[str, str] | None = None, **values: object
    ) -> Response:
        text = self._environment.get_template(template).render(**values)
        return HTMLResponse(with_whole_ids(text), status, {**self._headers, **(headers or {})})


def _answer(sent: dict[str, str]) -> _Form:
    try:
        kind = AnswerKind(sent.get("answer", ""))
    except ValueError:
        kind = None
    # A mail system's words (delivered, bounced) are none of the form's.
    return _Form(
        kind=kind if kind in CHOICES else None,
        name=plain(sent.get("name", "")),
        remark=plain(sent.get("remark", "")),
        places={name: plain(sent.get(name, "")) for name in PLACES},
        expires=plain(sent.get("backups_expire", "")),
    )


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
