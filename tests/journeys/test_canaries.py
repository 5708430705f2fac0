"""One story with a canary in every field and a fault at every corner: then everything that was written is searched."""

import base64
import hashlib
import io
import json
import logging
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests
from sqlalchemy import Engine, select

from dpsync import telemetry
from dpsync.cli.doctor import collected
from dpsync.connector_services import Reply
from dpsync.errors import DpsyncError
from dpsync.http import HttpClient
from dpsync.intake.payload import parse
from dpsync.ledger import entry
from dpsync.model import Right
from dpsync.propagation.decisions import Person, decide, find_request
from dpsync.propagation.rules.lifecycle import DecisionKind
from dpsync.reports import render
from dpsync.reports.basis import Basis
from dpsync.reports.dossier import dossier
from dpsync.reports.formats import Format
from dpsync.reports.pdf import ROWS
from dpsync.reports.period import period_report
from dpsync.reports.processors import ProcessorLine, capability_lines
from dpsync.reports.proof import LedgerLine
from dpsync.running import metrics
from dpsync.service import Service
from dpsync.signature import signed_headers
from dpsync.soundness import verify_ledger
from dpsync.store import tables as t
from dpsync.store.database import reading
from tests.faults.counting import Counted
from tests.journeys.installation import (
    DPO,
    ERASE,
    FORMS,
    NEWSLETTER,
    OPERATOR,
    PATCH,
    SECRET,
    Installation,
    installed,
)
from tests.printed import text_of

HOUR = timedelta(hours=1)
MAIN, OTHER, CHANGED = "Kanary.Main+x@example.org", "kanary.other@example.org", "kanary.changed@example.org"
SUBJECT = {
    "id": "kanary-id-77141",
    "email": MAIN,
    "other_emails": [OTHER],
    "phone": "+44 7700 977141",
    "name": "Kanarina Zwitscher",
    "references": {"google_analytics": ["kanary.GA1.977141"], "shop": ["kanary-order-31"]},
}
CHANGES = {
    "email": CHANGED,
    "first_name": "Kanarella",
    "last_name": "Fogelsang",
    "fields": {
        "CITY": "Kanaryville",
        "ADDRESS": {"addr1": "7 Kanarienweg", "city": "Kanaryton", "state": "Kanaria", "zip": "KA1 0229"},
    },
}
ANSWERED = {"name": "Pat Kanarienfeld", "remark": "kanary remark: see our Mr Vogelsberg"}
CONTACT = "kanary.desk@stratosoft.example"
SECRETS = {"DPSYNC_TEST_SECRET": SECRET, "DPSYNC_TEST_KEY": "kanarykey5f1c-us1"}
LETTERS = FORMS.replace("privacy@stratosoft.example", CONTACT)


def strings(value: object) -> Iterator[str]:
    match value:
        case str():
            yield value
        case Mapping():
            for one in value.values():
                yield from strings(one)
        case list():
            for one in value:
                yield from strings(one)


PERSON = [*strings(SUBJECT), *strings(CHANGES), *ANSWERED.values(), CONTACT]
EVERY = [*PERSON, *SECRETS.values(), SECRET.removeprefix("whsec_")]


def forms(canary: str) -> Iterator[tuple[str, bytes]]:
    """How one canary may have been written down: (a name for it, the bytes)."""
    for text in {canary, canary.lower(), canary.strip().lower()}:
        plain = text.encode()
        yield "plain", plain
        yield "quoted", quote(text).encode()
        yield "escaped", json.dumps(text)[1:-1].encode()
        yield "utf-16", text.encode("utf-16-le")
        yield "base64", base64.b64encode(plain).rstrip(b"=")[:-1]
        for algorithm in ("md5", "sha1", "sha256"):
            digest = hashlib.new(algorithm, plain, usedforsecurity=False)
            yield algorithm, digest.digest()
            yield algorithm, digest.hexdigest().encode()
            yield algorithm, digest.hexdigest().upper().encode()


NEEDLES = [(canary, form, found) for canary in EVERY for form, found in forms(canary)]


class Searched:
    """Everything that was searched, and every hit; a hit names the place, as a canary is nobody."""

    def __init__(self) -> None:
        self.places: dict[str, int] = {}
        self.hits: set[str] = set()

    def look(self, place: str, content: bytes | str) -> None:
        raw = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
        self.places[place] = self.places.get(place, 0) + len(raw)
        self.hits |= {f"{place}: {canary} ({form})" for canary, form, needle in NEEDLES if needle in raw}


class Clumsy(HttpClient):
    """A client with a defect: at the first opt-out it raises with all that it knows in its mouth, then it works."""

    raised = 0

    def call(self, method: str, url: str, *, body: bytes | None = None, **more: Any) -> Reply:
        if body is not None and b"unsubscribed" in body and self.raised == 0:
            self.raised += 1
            raise ValueError(method, url, body, more, SUBJECT, CHANGES, SECRETS)
        return super().call(method, url, body=body, **more)


@contextmanager
def listening() -> Iterator[io.StringIO]:
    """Every line of ours and every record of any library, with its arguments and its traceback."""
    written = io.StringIO()

    class Everything(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            # The mailbox of the sandbox is the processors' side; its records are not ours.
            if not record.name.startswith("mail."):
                written.write(f"{record.name} {self.format(record)} {record.args!r}\n")

    root, handler = logging.getLogger(), Everything()
    before = root.level
    telemetry.configure("debug", written)
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield written
    finally:
        root.setLevel(before)
        root.removeHandler(handler)


def post(there: Installation, event_id: str, body: bytes) -> requests.Response:
    signed = signed_headers(SECRET, event_id, there.clock.now(), body)
    return requests.post(f"{there.url}/requests", data=body, headers=signed, timeout=60)


def send(there: Installation, right: Right, **data: Any) -> str:
    """A webhook from the main database; the id of the request."""
    event_id = f"evt-{right}"
    answer = post(there, event_id, webhook(right, **data))
    assert answer.status_code == 202
    request_id: str = answer.json()["request"]
    return request_id


def webhook(right: Right, **data: Any) -> bytes:
    return json.dumps({"type": "data_subject.request", "data": {"right": right, "subject": SUBJECT, **data}}).encode()


def tell_the_story(there: Installation, found: Searched) -> list[str]:
    """Every right, and at each a fault of the vendor's, of the mail host's, of the sender's or of ours."""
    sandbox = there.sandbox
    for audience in sandbox.audiences():
        sandbox.add(MAIN, list_id=audience, merge_fields={"LNAME": "Zwitscher"})
    sandbox.rule(CONTACT, "confirm_contact", "answer_by_link", "scanner_prefetch", **ANSWERED)
    broken(there, found)

    sandbox.fault("reset_after_effect", **PATCH)
    asked = [send(there, Right.RECTIFICATION, changes=CHANGES)]
    go_on(there)
    sandbox.rule(CONTACT, "later", "answer_by_link", times=1, **ANSWERED)
    sandbox.fault("html_200", **PATCH)
    sandbox.fault("truncated_json", **PATCH)
    asked.append(send(there, Right.OPT_OUT))
    go_on(there)
    sandbox.fault("status", status=401)
    sandbox.rule(CONTACT, "bounce_5.1.1")
    asked.append(send(there, Right.RESTRICTION))
    there.drive()
    there.service.write(lambda unit: unit.connection.execute(t.account.update().values(stopped="")))
    go_on(there)
    asked.append(send(there, Right.ERASURE))
    go_on(there)
    sandbox.fault("says_yes_does_nothing", address=CHANGED, times=2, **ERASE)
    for decision in (DecisionKind.RELEASE, DecisionKind.RETRY):
        decided(there, asked[-1], decision)
        go_on(there)
    states = {row.request_id: row.state for row in there.rows(t.propagation) if row.processor == "newsletter"}
    assert [states[one] for one in asked] == ["verified"] * 4
    assert not [one for address in (MAIN, OTHER, CHANGED) for one in sandbox.holds(address)]
    return asked


def decided(there: Installation, request_id: str, kind: DecisionKind) -> None:
    dana, now = Person("Dana Officer", "dana", "looked at in the test"), there.clock.now()
    controller = there.service.controller
    found = there.service.write(
        lambda unit: decide(unit, controller, request_id, kind, dana, now, processors=["newsletter"])
    )
    assert [one.refused for one in found] == [""]


def go_on(there: Installation) -> None:
    """Four hours, with all that the people at the processors do meanwhile."""
    for _ in range(4):
        there.drive(HOUR)
        there.sandbox.messages(settled=True)


def broken(there: Installation, found: Searched) -> None:
    """What a sender does wrong, and what it is told; and errors as whoever runs dpsync would see them."""
    said = [
        post(there, "evt-twice", b'{"type": "data_subject.request", "data": {"right": "erasure", "subject": {}}}'),
        post(there, "evt-right", webhook(Right.ERASURE).replace(b'"erasure"', json.dumps(MAIN).encode())),
        post(there, "evt-key", webhook(Right.ERASURE).replace(b'"right"', json.dumps(OTHER).encode())),
        post(there, "evt-mail", webhook(Right.ERASURE).replace(b"@example.org", b"@@example.org")),
        post(there, "evt-cut", webhook(Right.ERASURE)[:-9]),
        requests.post(f"{there.url}/requests", data=webhook(Right.ERASURE), timeout=60),
        requests.get(f"{there.url}/answers/{quote(MAIN)}", timeout=60),
        requests.get(f"{there.url}/{quote(MAIN)}", timeout=60),
    ]
    assert [one.status_code for one in said] == [422] * 5 + [401, 404, 404]
    for one in said:
        found.look("answers of the receiver", one.content + str(one.headers).encode())
    wrong = webhook(Right.RECTIFICATION, changes={**CHANGES, "email": "kanary.changed@example.org>"})
    for attempt in (
        lambda: parse(wrong, source="crm", event_id="evt-9", now=there.clock.now()),
        lambda: there.service.read(lambda connection: find_request(connection, MAIN)),
    ):
        try:
            attempt()
        except DpsyncError as error:
            shown = "".join(traceback.format_exception(error, chain=True))
            found.look("errors", f"{error!r} {error} {error.args!r} {shown}")
        else:
            pytest.fail("it was no error")


def search_everything(there: Installation, engine: Engine, asked: list[str], found: Searched) -> None:
    service = there.service
    with reading(engine) as connection:
        for table in t.metadata.sorted_tables:
            for row in connection.execute(select(table)):
                for value in row:
                    found.look(f"table {table.name}", value if isinstance(value, bytes) else repr(value))
    for path in sorted(one for one in there.folder.rglob("*") if one.is_file()):
        where = path.relative_to(there.folder)
        content = path.read_bytes()
        if path == service.config:
            content = content.replace(CONTACT.encode(), b"")  # our own processor's desk stands there, and there only
        found.look(f"file {where.parts[0] if len(where.parts) > 1 else where}", content)
        found.look("names of files", str(where))
    for mail in there.sandbox.messages(settled=True):
        # A letter that asks somebody to act names the person: to a processor's desk, or as a task to our own operator.
        if CONTACT not in mail.recipients and b"notice.json" not in mail.raw:
            found.look(f"mail to {mail.recipients[0]}", mail.raw)
    now = there.clock.now()
    for request_id in asked:
        receipt = service.receipt(request_id, now)
        found.look("receipt", json.dumps(receipt))
    for report in (made := list(reports(there, asked))):
        for form in (one for one in Format if one is not Format.PDF):
            found.look(f"{type(report).__name__} as {form}", render.rendered(report, form))
        found.look(f"{type(report).__name__} before it is printed", render.html(report, rows=ROWS))
    # It is made of that page alone, in seconds of processor time; packed, its bytes say less than its text does.
    printed = render.rendered(made[-1], Format.PDF)
    found.look("PDF", printed)
    found.look("text of the PDF", text_of(printed))
    found.look("metrics", metrics.exposition(service)[0])
    for name, text in collected(service.config).items():
        found.look(f"what support gets: {name}", text)
    found.look("values as they print", repr((service, service.settings, service.controller, service.keys)))


def reports(there: Installation, asked: list[str]) -> Iterator[render.Report]:
    """What the DPO reads: the month, and each request by itself."""
    service, now = there.service, there.clock.now()
    verified = verify_ledger(service, full=True)
    held = service.controller.notice.capabilities
    basis = Basis(
        controller=service.settings.controller.name,
        rehearsal=True,
        zone=service.zone,
        now=now,
        ledger=LedgerLine(not verified.problems, verified.entries, now, "0", verified.problems),
        processors=[
            ProcessorLine(one.name, one.title, capability_lines(one.connector.capabilities, held))
            for one in service.controller.processors.values()
        ],
        decided=service.opened_decision,
    )
    first, last = now.date().replace(day=1), now.date()
    yield service.read(lambda connection: period_report(connection, basis, first, last))
    for request_id in asked:
        logged = service.read(lambda connection, request_id=request_id: service.log.entries_of(connection, request_id))  # type: ignore[misc]  # because mypy does not infer a lambda's default
        entries = [(idx, entry.decode(body)) for idx, body in logged]
        yield service.read(
            lambda connection, request_id=request_id, entries=entries: dossier(  # type: ignore[misc]  # because mypy does not infer a lambda's default
                connection, basis, request_id, entries=entries
            )
        )


@pytest.mark.fault(32)
def test_no_canary_is_found_in_anything_that_was_written(
    database_url: str, engine: Engine, tmp_path: Path, capfd: pytest.CaptureFixture[str], counted: Counted
) -> None:
    found = Searched()
    with (
        listening() as lines,
        installed(
            tmp_path,
            database_url,
            processors=NEWSLETTER + LETTERS,
            web=True,
            http=lambda clock: Clumsy(clock, rehearsal=True),
            key=SECRETS["DPSYNC_TEST_KEY"],
        ) as there,
    ):
        asked = tell_the_story(there, found)
        assert isinstance(there.service.http, Clumsy)
        assert there.service.http.raised == 1
        conflict = post(there, f"evt-{Right.OPT_OUT}", webhook(Right.ERASURE))
        assert conflict.status_code == 409
        found.look("answers of the receiver", conflict.content)
        Service(there.service).run_once()
        search_everything(there, engine, asked, found)
        there.sound()
        played = there.sandbox.counters()["faults"]
        assert isinstance(played, dict)
        assert set(played) == {"reset_after_effect", "html_200", "status", "truncated_json", "says_yes_does_nothing"}
        causes = {cause for _, cause in there.alerts()}
    out, err = capfd.readouterr()
    found.look("standard output and error", out + err)
    found.look("log lines", lines.getvalue())
    assert {"defect", "credential", "contradicted", "bounced"} <= causes
    assert "event-conflict" in causes
    assert "defect" in lines.getvalue(), "nothing was logged: the search shows nothing"
    assert {f"mail to {DPO}", f"mail to {OPERATOR}", "receipt", "errors", "table evidence", "table alert"} <= set(
        found.places
    )
    assert all(
        found.places[place] for place in ("log lines", "metrics", "table entry", "file receipts", "text of the PDF")
    )
    assert sorted(found.hits) == []
    counted(32, hits=len(found.hits))


def test_the_search_finds_a_canary_in_every_form_it_may_take() -> None:
    for canary in EVERY:
        for form, needle in forms(canary):
            found = Searched()
            found.look("here", b"x" + needle + b"y")
            assert found.hits, (canary, form)
