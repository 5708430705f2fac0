"""The pages behind our links in a browser: right at every width, in the dark, for a screen reader."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Browser

from dpsync.propagation.page_links import STATUS, PageKind
from tests.browser.looking import not_html, wrong_with
from tests.journeys.installation import FORMS, NEWSLETTER, Installation, installed, sqlite_url
from tests.journeys.test_cases_by_link import Keeper, link
from tests.journeys.test_complaints import came
from tests.journeys.test_decisions_by_link import NO, Person, ask, desk
from tests.journeys.test_incidents import opened
from tests.journeys.test_letters import confirmed
from tests.journeys.test_links_to_pages import link_of
from tests.journeys.test_more_by_link import CONTROLLER, WHO
from tests.journeys.test_passphrases import with_passphrase
from tests.journeys.test_stuck_by_link import stuck

NO_DAY = {**WHO, "choice": "extend"}


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Installation]:
    with desk(tmp_path, sqlite_url(tmp_path), processors=NEWSLETTER + CONTROLLER) as made:
        yield made


def served(browser: Browser, url: str) -> list[str]:
    """What is wrong with a page that a link opens, as the receiver sends it."""
    return [*wrong_with(browser, url), *not_html(requests.get(url, timeout=60).text)]


def kept(browser: Browser, folder: Path, page: requests.Response) -> list[str]:
    """The same of one that only a form opens."""
    path = folder / "page.html"
    path.write_text(page.text, encoding="utf-8")
    return [*wrong_with(browser, path.as_uri()), *not_html(page.text)]


def test_the_pages_of_a_decision_are_right(browser: Browser, there: Installation, tmp_path: Path) -> None:
    ask(there)
    dpo = Person(there)
    assert served(browser, dpo.link()) == []
    dpo.get()
    assert kept(browser, tmp_path, dpo.send("send")) == []
    assert kept(browser, tmp_path, dpo.send("look", {"code": dpo.code()})) == []
    assert kept(browser, tmp_path, dpo.send("decide", NO_DAY)) == [], "with a problem, and what was typed"
    assert kept(browser, tmp_path, dpo.send("decide", NO)) == []
    assert served(browser, dpo.link()) == [], "already decided"


def test_the_page_that_asks_for_a_passphrase_is_right(browser: Browser, there: Installation, tmp_path: Path) -> None:
    with_passphrase(there)
    ask(there)
    dpo = Person(there)
    assert served(browser, dpo.link()) == []
    dpo.get()
    assert kept(browser, tmp_path, dpo.send("send")) == []
    assert kept(browser, tmp_path, dpo.send("look", {"code": "not the passphrase"})) == []


def test_the_page_of_what_is_stuck_is_right(browser: Browser, tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=FORMS, web=True) as there:
        confirmed(there)
        stuck(there)
        assert kept(browser, tmp_path, Person(there).look()) == []


@pytest.mark.parametrize("kind", [PageKind.DOSSIER, PageKind.RECEIPT])
def test_what_our_emails_link_to_is_right(kind: PageKind, browser: Browser, there: Installation) -> None:
    asked = ask(there)
    dpo = Person(there)
    dpo.look()
    dpo.send("decide", NO)
    there.drive()
    there.drive()
    url = link_of(there, kind, asked.id)
    assert served(browser, url) == []
    assert served(browser, f"{url}/code") == []


def test_the_pages_of_a_complaint_and_an_incident_are_right(
    browser: Browser, there: Installation, tmp_path: Path
) -> None:
    for made in (came(there, note="she rang twice"), opened(there)):
        url = link(there, STATUS)
        assert served(browser, url) == []
        assert served(browser, f"{url}/{made.id}") == []
        dpo = Keeper(there, f"{url}/{made.id}")
        assert served(browser, dpo.link()) == []
        assert kept(browser, tmp_path, dpo.look()) == []
        assert kept(browser, tmp_path, dpo.record("progress" if made.id.startswith("C") else "close")) == [], (
            "with a problem"
        )
        there.clock.advance(timedelta(hours=1))
    for new, choice in (("C-new", "received"), ("I-new", "open")):
        dpo = Keeper(there, f"{link(there, STATUS)}/{new}")
        assert served(browser, dpo.link()) == []
        assert kept(browser, tmp_path, dpo.look()) == []
        assert kept(browser, tmp_path, dpo.record(choice)) == [], "with a problem"
        there.clock.advance(timedelta(hours=1))


def test_what_waits_is_right(browser: Browser, there: Installation) -> None:
    asked = ask(there)
    there.drive(timedelta(days=2))
    url = link_of(there, PageKind.STATUS)
    assert served(browser, url) == []
    assert served(browser, f"{url}/{asked.id}/decide") == []
