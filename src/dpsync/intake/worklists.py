"""The page behind the link of a work list: whoever deletes private conversations by hand says which are deleted.

Like every page here: GET only shows, POST records, and nothing on it names a person or a vendor's id.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response

from dpsync.errors import NotFound
from dpsync.intake import body as bodies
from dpsync.intake.receiver import Receiver
from dpsync.intake.typed import TOKEN, plain, too_long
from dpsync.retention.worklist import WorkListPage

LONGEST_FORM = 64 * 1024
MOST_FIELDS = 1000


@dataclass(frozen=True, slots=True)
class _Form:
    which: str
    rows: frozenset[str]
    name: str
    remark: str

    @property
    def problem(self) -> str:
        if self.which not in {"all", "some"}:
            return "Please say whether all rows are deleted, or those that you tick."
        if self.which == "some" and not self.rows:
            return "Please tick the rows that are deleted."
        if not self.name:
            return "Please type your name."
        return too_long(self.name, self.remark)


class WorkLists:
    """What `Pages` shows where a link is that of a work list."""

    def __init__(self, receiver: Receiver, render: Callable[..., Response]) -> None:
        self._receiver = receiver
        self._render = render

    async def page(self, request: Request) -> WorkListPage | None:
        """What the link shows; None where it is of no work list."""
        token = request.path_params["token"]
        if not TOKEN.fullmatch(token):
            return None
        return await asyncio.to_thread(self._receiver.conversations.page, token, self._receiver.clock.now())

    async def answer(self, request: Request, page: WorkListPage) -> Response:
        """GET shows the rows and changes nothing; POST thanks after it is committed."""
        if request.method != "POST":
            return self._show(page, _Form("", frozenset(), "", ""), "", 200)
        form = await _form(request)
        if form.problem:
            return self._show(page, form, form.problem, 422)
        peer = request.client.host if request.client else ""
        rows = None if form.which == "all" else form.rows
        token, now = request.path_params["token"], self._receiver.clock.now()
        try:
            attested = self._receiver.conversations.attest(token, rows, form.name, form.remark, peer, now)
            count = await asyncio.wrap_future(attested)
        except NotFound:
            return self._render("unknown.html", 404)
        return self._render("attested.html", 200, page=page, count=count)

    def _show(self, page: WorkListPage, form: _Form, problem: str, status: int) -> Response:
        return self._render("worklist.html", status, page=page, form=form, problem=problem)


async def _form(request: Request) -> _Form:
    """What was filled in; what is no form counts as an empty one."""
    raw = await bodies.read(request, LONGEST_FORM)
    try:
        pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS)
    except ValueError:
        pairs = []
    fields = dict(pairs)
    rows = frozenset(value for name, value in pairs if name == "row")
    return _Form(fields.get("which", ""), rows, plain(fields.get("name", "")), plain(fields.get("remark", "")))
