"""The letter to a person by link: the code first, the text of the command, and the record that this very text went."""

import hashlib
import re
from collections.abc import Iterator
from datetime import timedelta
from html import unescape
from pathlib import Path

import pytest
import requests

from dpsync.ledger.entry import decode
from dpsync.model import Right, Role
from dpsync.propagation.page_links import STATUS, Page, PageKind, link_to
from dpsync.propagation.telling import LetterKind, Told, all_told
from dpsync.store import tables as t
from tests.journeys.installation import DPO, FORMS, NEWSLETTER, Asked, Installation, installed, sqlite_url
from tests.journeys.test_decisions_by_link import Person

DAY = timedelta(days=1)
ADA = "Ada Canary"


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Installation]:
    with installed(tmp_path, sqlite_url(tmp_path), processors=FORMS, web=True) as made:
        yield made


class Writer(Person):
    """Whoever writes a letter on the page behind a link."""

    def __init__(self, there: Installation, url: str, address: str = DPO) -> None:
        super().__init__(there, address)
        self.url = f"{url}/letter"

    def link(self) -> str:
        return self.url

    @property
    def text(self) -> str:
        """The letter as plain text."""
        (found,) = re.findall(r"<textarea[^>]*readonly[^>]*>\n?(.*?)</textarea>", self.page.text, re.DOTALL)
        return unescape(found)


def url_of(there: Installation, page: Page, role: Role = Role.DPO) -> str:
    service, now = there.service, there.clock.now()
    return service.write(lambda unit: link_to(unit.connection, service.controller, role, page, now))


def asked(there: Installation, right: Right = Right.ERASURE) -> Asked:
    made = there.ask(right, "ada.canary@example.org", name=ADA)
    there.drive()
    return made


def told(there: Installation, asked: Asked) -> tuple[Told, ...]:
    return there.service.read(lambda connection: all_told(connection, asked.id))


def events(there: Installation, asked: Asked) -> list[str]:
    rows = there.service.read(lambda connection: there.service.log.entries_of(connection, asked.id))
    return [str(decode(body)["event"]) for _, body in rows]


def test_the_dpo_has_the_letter_written_and_records_its_very_text(there: Installation) -> None:
    made = asked(there)
    url = url_of(there, Page(PageKind.DOSSIER, made.id))
    assert f"{url.rpartition('/')[2]}/letter" in requests.get(url, timeout=60).text
    dpo, before = Writer(there, url), events(there, made)
    assert "anary" not in dpo.get().text
    assert "anary" not in dpo.send("send").text
    assert events(there, made) == before
    dpo.send("look", {"code": dpo.code()})
    assert events(there, made)[-1] == "shown", "that the person is shown is on the record before"
    assert dpo.send("write", {"kind": "erasure"}).status_code == 200
    assert ADA in dpo.text
    assert "Stratosoft, sign-up forms" in dpo.text
    digest, on = hashlib.sha256(dpo.text.encode()).hexdigest(), there.clock.now().date()
    assert digest in dpo.page.text
    form = {"how": "post", "name": "Dana Officer"}
    assert dpo.send("told", {**form, "on": (on + DAY).isoformat()}).status_code == 422
    assert "in the future" in dpo.page.text
    assert told(there, made) == ()
    for _ in range(2):  # a button that is pressed twice
        page = dpo.page
        assert dpo.send("told", {**form, "on": on.isoformat()}).status_code == 200
        dpo.page, said = page, dpo.page.text
    assert "The last day for the answer still counts" in said
    assert told(there, made) == (Told(LetterKind.ERASURE, on, "post", digest),)
    assert events(there, made).count("person_told") == 1
    there.sound()


def test_letters_about_what_is_done_everywhere_are_found_on_the_page_of_what_waits(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=NEWSLETTER, web=True) as there:
        first, second = (there.ask(Right.ERASURE, f"{name}@example.org", id=name) for name in ("ada", "ben"))
        there.drive()
        url, owed = url_of(there, STATUS), "Write by</dt><dd>Thu 17 Dec 2026</dd>"
        page = requests.get(url, timeout=60).text
        assert page.count(owed) == 2, "an alert about both opens this page"
        assert "Nothing waits" not in page
        assert "Letter to" not in requests.get(url_of(there, STATUS, Role.OPERATOR), timeout=60).text
        dpo = Writer(there, f"{url}/{first.id}")
        assert f'{url.rpartition("/")[2]}/{first.id}"' in page
        dpo.look()
        dpo.send("write", {"kind": "erasure"})
        dpo.send("told", {"how": "post", "name": "Dana Officer", "on": there.clock.now().date().isoformat()})
        there.clock.advance(28 * DAY)
        page = requests.get(url_of(there, STATUS), timeout=60).text
        assert (first.id in page, second.id in page) == (False, True)
        assert "Thu 17 Dec 2026 <strong>OVERDUE</strong>" in page


def test_a_refusal_asks_for_its_ground_and_its_reason(there: Installation) -> None:
    made = asked(there)
    dpo = Writer(there, f"{url_of(there, STATUS)}/{made.id}")
    dpo.look()
    for more, said in (({}, "write the reason"), ({"because": "We need it in court."}, "legal ground")):
        assert dpo.send("write", {"kind": "refusal", **more}).status_code == 422
        assert said in dpo.page.text
    dpo.send("write", {"kind": "refusal", "because": "We need it in court.", "ground": "art17_3"})
    assert "We need it in court." in dpo.text
    assert "Article 17(3)" in dpo.text
    opt_out = asked(there, Right.OPT_OUT)
    there.clock.advance(timedelta(minutes=2))
    dpo = Writer(there, f"{url_of(there, STATUS)}/{opt_out.id}")
    assert 'value="refusal"' not in dpo.look().text, "an objection to marketing cannot be refused"
    assert "<summary>" not in dpo.page.text, "and no other of its letters needs a reason"
    assert dpo.send("write", {"kind": "refusal", "because": "no", "ground": "art12_5"}).status_code == 422
    assert "absolute" in dpo.page.text


def test_a_letter_is_written_for_nobody_but_the_holder_of_a_code(there: Installation) -> None:
    made = asked(there)
    url = url_of(there, Page(PageKind.DOSSIER, made.id))
    dpo = Writer(there, url)
    dpo.get()
    form = dict(dpo.sent_by("send"))
    for step in ("write", "told"):
        more = {**form, "step": step, "kind": "erasure", "on": "2026-11-20", "how": "post", "name": "Mallory"}
        for ticket in ({}, {"ticket": "9999999999.none.00"}):
            answer = requests.post(dpo.link(), data={**more, **ticket}, timeout=60)
            assert answer.status_code == 403
            assert "anary" not in answer.text
    foreign = requests.post(dpo.link(), data=form, headers={"sec-fetch-site": "cross-site"}, timeout=60)
    assert foreign.status_code == 403
    operator = url_of(there, STATUS, Role.OPERATOR)
    assert requests.get(f"{operator}/{made.id}/letter", timeout=60).status_code == 404
    assert requests.get(f"{url_of(there, Page(PageKind.RECEIPT, made.id))}/letter", timeout=60).status_code == 404
    dpo.look()
    there.clock.advance(timedelta(minutes=31))
    assert requests.post(dpo.link(), data={**dpo.sent_by("write"), "kind": "erasure"}, timeout=60).status_code == 403
    assert told(there, made) == ()
    assert [row for row in there.rows(t.decision) if row.kind == "told"] == []
