"""The pages behind the links in mails to our own people. They are only read; a case's leads to where one records.

The link alone shows no name of a person. Where a code opens more, it is asked for on a page of its own.
"""

import asyncio
import base64
import hashlib
import re
from collections import defaultdict, deque
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from dpsync.errors import NotFound
from dpsync.intake.case_pages import CasePages
from dpsync.intake.decision_pages import CODE, ELSEWHERE, NOT_RIGHT, STALE
from dpsync.intake.mailed_codes import Sent
from dpsync.intake.new_cases import NEW
from dpsync.intake.page_links import PageLink, PageLinks
from dpsync.intake.person_letter_pages import PersonLetterPages
from dpsync.intake.receiver import Receiver
from dpsync.intake.typed import TOKEN, fields_of
from dpsync.propagation.codes import CodeCheck
from dpsync.propagation.page_links import CASE, REQUEST, Page, PageKind
from dpsync.reports.html import receipt_html
from dpsync.reports.render import html

LONGEST_FORM: Final = 4 * 1024
MOST_OPENINGS: Final = 30
WITHIN: Final = timedelta(minutes=10)
"""How often one link is opened in which time: a page costs more to make than it costs to ask for."""

MOST_LINKS: Final = 1000
"""Links whose openings are counted; of more the counting begins anew."""

NOT_PLANNED = (
    "A link is on its way to you already, or too many were asked for today. Please look at your newest emails."
)
_STYLE = re.compile(r"<style>(.*?)</style>", re.DOTALL)


class Openings:
    """Counts in memory how often a link was opened of late."""

    def __init__(self) -> None:
        self._times: dict[str, deque[datetime]] = defaultdict(deque)

    def too_many(self, link_id: str, now: datetime) -> bool:
        """Count one more; whether it is one too many."""
        if len(self._times) > MOST_LINKS:
            self._times.clear()
        times = self._times[link_id]
        while times and abs(now - times[0]) >= WITHIN:
            times.popleft()
        if len(times) >= MOST_OPENINGS:
            return True
        times.append(now)
        return False


class LinkedPages:
    """The endpoints under /pages."""

    def __init__(self, receiver: Receiver, render: Callable[..., Response], headers: dict[str, str]) -> None:
        self._links, self._clock = receiver.pages, receiver.clock
        self._render, self._headers = render, headers
        self._openings, self._one_at_a_time = Openings(), asyncio.Lock()
        links, cases, letters = receiver.pages, receiver.cases, receiver.person_letters
        self._cases = CasePages(links, cases, receiver.clock, render) if links and cases else None
        self._letters = PersonLetterPages(links, letters, receiver.clock, render) if links and letters else None

    async def endpoint(self, request: Request) -> Response:
        """/pages/{token}: what the link opens; /pages/{token}/{request}: one request of those that wait."""
        link = await self._link(request)
        page = None if link is None else _page(link, request.path_params.get("request", ""))
        if self._links is None or link is None or page is None:
            return self._unknown()
        now = self._clock.now()
        if self._openings.too_many(link.id, now):
            return self._render("too_often.html", 429, {"retry-after": str(int(WITHIN.total_seconds()))})
        async with self._one_at_a_time:
            return await asyncio.to_thread(self._shown, self._links, link, page, request.path_params["token"], now)

    async def code(self, request: Request) -> Response:
        """/pages/{token}/code: GET offers a code; POST mails one, or shows what it opens."""
        link, now = await self._link(request), self._clock.now()
        if self._links is None or link is None or not link.has_code:
            return self._unknown()
        if request.method != "POST":
            return self._start(self._links, link)
        sent = await fields_of(request, LONGEST_FORM)
        if self._is_foreign(request, self._links, link, sent, now):
            return self._start(self._links, link, STALE, 403)
        token = request.path_params["token"]
        match sent.get("step"):
            case "send":
                answer = await asyncio.to_thread(self._links.send_code, token, now)
                return self._code(self._links, link, CODE[answer], 200 if answer is Sent.YES else 503)
            case "look":
                return await self._opened(self._links, link, token, sent.get("code", ""))
            case _:
                return self._start(self._links, link, STALE, 422)

    async def decide(self, request: Request) -> Response:
        """/pages/{token}/decide: GET offers a link to decide about the request; POST has it emailed to the role.

        A case needs no other link: a step of it is recorded here.
        """
        link, now = await self._link(request), self._clock.now()
        page = None if link is None else _page(link, request.path_params.get("request", ""))
        if self._cases and link is not None and link.decides and page is not None and page.kind is PageKind.CASE:
            return await self._cases.endpoint(request, link, page.about)
        if self._links is None or link is None or not link.decides or page is None or page.kind is not PageKind.DOSSIER:
            return self._unknown()
        if request.method != "POST":
            return self._offer(self._links, link, page)
        sent = await fields_of(request, LONGEST_FORM)
        if self._is_foreign(request, self._links, link, sent, now):
            return self._offer(self._links, link, page, STALE, 403)
        try:
            planned = await asyncio.wrap_future(self._links.ask_to_decide(link, page.about, now))
        except NotFound:
            return self._unknown()
        if not planned:
            return self._offer(self._links, link, page, NOT_PLANNED, 503)
        return self._render("page_sent.html", 200, request_id=page.about[:8], role=link.addressee)

    async def letter(self, request: Request) -> Response:
        """/pages/{token}/letter: a letter to the person of the request whose dossier the link opens."""
        link = await self._link(request)
        page = None if link is None else _page(link, request.path_params.get("request", ""))
        if self._letters is None or link is None or not link.decides or page is None or page.kind != PageKind.DOSSIER:
            return self._unknown()
        return await self._letters.endpoint(request, link, page.about)

    def _is_foreign(
        self, request: Request, links: PageLinks, link: PageLink, sent: dict[str, str], now: datetime
    ) -> bool:
        """Whether another page sent this form, or ours too long ago."""
        elsewhere = request.headers.get("sec-fetch-site") in ELSEWHERE
        return elsewhere or not links.is_form(link, sent.get("form", ""), now)

    async def _link(self, request: Request) -> PageLink | None:
        token = request.path_params["token"]
        if self._links is None or not TOKEN.fullmatch(token):
            return None
        return await asyncio.to_thread(self._links.link, token, self._clock.now())

    def _shown(self, links: PageLinks, link: PageLink, page: Page, token: str, now: datetime) -> Response:
        try:
            if page.kind is PageKind.STATUS:
                return self._render("status.html", 200, page=links.status(now), here=token, decides=link.decides)
            if page.kind is PageKind.RECEIPT:
                printed = links.receipt(page, now)
                if printed is None:
                    return self._render("no_receipt.html", 200, request_id=page.about[:8])
                return self._reported(receipt_html(printed, above(link, page, token)))
            if page.kind is PageKind.CASE and page.about in NEW:
                return self._unknown()
            if page.kind is PageKind.CASE:
                where = token if page == link.page else page.about
                shown = {"page": links.case(page), "letter": links.departure_letter(page, now)}
                return self._render("case.html", 200, here=where, decides=link.decides, **shown)
            return self._reported(html(links.report(page, now), above(link, page, token)))
        except NotFound:
            return self._unknown()

    async def _opened(self, links: PageLinks, link: PageLink, token: str, code: str) -> Response:
        now = self._clock.now()
        try:
            opened = await asyncio.wrap_future(links.open(token, code, now))
        except NotFound:
            return self._unknown()
        if opened.check is CodeCheck.LOCKED:
            return self._render("decision_closed.html", 403, locked=True)
        if opened.check is not CodeCheck.RIGHT:
            return self._code(links, link, NOT_RIGHT[opened.check], 422)
        if link.page.kind is PageKind.RECEIPT:
            return await asyncio.to_thread(self._downloaded, links, link.page)
        return self._reported(html(await asyncio.to_thread(links.named, link.page, opened.who, now)))

    def _downloaded(self, links: PageLinks, page: Page) -> Response:
        try:
            content = links.receipt_file(page)
        except OSError:
            return self._unknown()
        named = {"content-disposition": f'attachment; filename="{page.about}.json"'}
        return Response(content, 200, {**self._headers, **named}, "application/json")

    def _reported(self, page: str) -> Response:
        # The first style of the page stands in its head, before anything that came from outside.
        digest = base64.b64encode(hashlib.sha256(_style_of(page).encode()).digest()).decode()
        policy = f"default-src 'none'; style-src 'sha256-{digest}'; form-action 'none'; base-uri 'none'; "
        headers = {**self._headers, "content-security-policy": policy + "frame-ancestors 'none'"}
        return HTMLResponse(page, 200, headers)

    def _offer(self, links: PageLinks, link: PageLink, page: Page, problem: str = "", status: int = 200) -> Response:
        form = links.form(link, self._clock.now())
        shown = {"head": "Decide about this request", "request_id": page.about[:8], "role": link.addressee}
        said = {"sends": "a link by which you can decide", "button": "Email me a link"}
        return self._render("page_start.html", status, form=form, problem=problem, **shown, **said)

    def _start(self, links: PageLinks, link: PageLink, problem: str = "", status: int = 200) -> Response:
        form = links.form(link, self._clock.now())
        head = "Who the request is about" if link.page.kind is PageKind.DOSSIER else "Download the receipt"
        shown = {"head": head, "request_id": link.page.about[:8], "role": link.addressee}
        said = {"sends": "a code", "button": "Email me a code"}
        return self._render("page_start.html", status, form=form, problem=problem, **shown, **said)

    def _code(self, links: PageLinks, link: PageLink, problem: str, status: int) -> Response:
        form = links.form(link, self._clock.now())
        dossier = link.page.kind is PageKind.DOSSIER
        then = "The next page shows who the request is about" if dossier else "The receipt is then downloaded"
        shows = {
            "then": f"{then}. dpsync records that the {link.addressee} looked.",
            "button": "Show the request" if dossier else "Download the receipt",
        }
        return self._render("code.html", status, role=link.addressee, form=form, problem=problem, **shows)

    def _unknown(self) -> Response:
        return self._render("unknown.html", 404)


def above(link: PageLink, page: Page, here: str) -> Markup:
    """What stands above a dossier that names nobody: where more of it opens, and where one asks for a decision.

    Above a receipt: where its file is.
    """
    if page.kind is PageKind.RECEIPT and link.has_code:
        return Markup(
            '<p><a href="{}/code">Download the signed file (a code or your passphrase is asked for first)</a></p>'
        ).format(here)
    if page.kind is not PageKind.DOSSIER:
        return Markup()
    where = here if page == link.page else page.about
    more = {"code": "See who it is about (a code or your passphrase is asked for first)"} if link.has_code else {}
    more |= {"decide": "Decide about it (a link is emailed to you)"} if link.decides else {}
    more |= (
        {"letter": "Write the letter to the person (a code or your passphrase is asked for first)"}
        if link.decides
        else {}
    )
    return Markup().join(Markup('<p><a href="{}/{}">{}</a></p>').format(where, *one) for one in more.items())


def _page(link: PageLink, request_id: str) -> Page | None:
    """The page that is asked for: the link's own, or the dossier of a request that waits, or a case."""
    if not request_id:
        return link.page
    if link.page.kind is not PageKind.STATUS:
        return None
    if CASE.fullmatch(request_id) or request_id in NEW:
        return Page(PageKind.CASE, request_id)
    return Page(PageKind.DOSSIER, request_id) if REQUEST.fullmatch(request_id) else None


def _style_of(page: str) -> str:
    found = _STYLE.search(page)
    return found[1] if found else ""
