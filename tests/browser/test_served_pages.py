"""The pages behind our links, as the receiver serves them, in a browser."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser
from pypdf import PdfReader

from dpsync.model import Right, State
from dpsync.propagation.page_links import PageKind
from dpsync.sandbox.recipient import links_of
from tests.browser.looking import TOO_WIDE, against_axe, opened, wrong_with
from tests.journeys.installation import FORMS, Installation, sqlite_url
from tests.journeys.test_decisions_by_link import ADA, Person, ask, desk
from tests.journeys.test_letters import CONTACT, confirmed, letters
from tests.journeys.test_links_to_pages import link_of


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Installation]:
    with desk(tmp_path, sqlite_url(tmp_path)) as made:
        yield made


@pytest.mark.slow
def test_a_decision_is_made_in_a_browser_and_each_page_of_it_is_whole(there: Installation, browser: Browser) -> None:
    asked = ask(there)
    dpo = Person(there)
    problems: list[str] = []
    with opened(browser, dpo.link(), problems, width=320) as page:
        page.locator("button").first.click()
        problems += against_axe(page)
        page.locator("input[name=code]").fill(dpo.code())
        page.locator("button").first.click()
        problems += against_axe(page)
        assert "ada.canary@example.org" in page.content()
        page.locator("input[name=choice][value=withdraw]").check()
        page.locator("input[name=name]").fill("Dana Officer")
        page.locator("textarea[name=reason]").fill("the import was wrong")
        page.locator("button").last.click()
        problems += against_axe(page)
    assert problems == []
    assert set(there.states(asked).values()) == {State.WITHDRAWN}


@pytest.mark.slow
def test_the_pages_for_a_contact_and_for_an_answer_are_whole(tmp_path: Path, browser: Browser) -> None:
    with desk(tmp_path, sqlite_url(tmp_path), safety="", processors=FORMS) as there:
        confirmed(there)
        there.ask(Right.ERASURE, ADA, name="Ada Canary")
        there.drive()
        (letter,) = letters(there)
        question = there.sandbox.messages(CONTACT)[0]
        links = [one for mail in (question, letter) for one in links_of(mail.raw)]
        assert {one.split("/")[-2] for one in links} == {"contacts", "answers"}
        assert [problem for one in links for problem in wrong_with(browser, one)] == []


@pytest.mark.slow
def test_a_letter_is_written_in_a_browser_and_only_the_letter_is_printed(there: Installation, browser: Browser) -> None:
    asked = ask(there)
    url = f"{link_of(there, PageKind.DOSSIER, asked.id)}/letter"
    problems: list[str] = []
    with opened(browser, url, problems, width=320) as page:
        page.locator("button").first.click()
        page.locator("input[name=code]").fill(Person(there).code())
        for button in ("Go on", "Show the letter"):
            page.get_by_role("button", name=button).click()
            problems += against_axe(page)
            problems += [f"too wide: {one}" for one in page.evaluate(TOO_WIDE)]
        assert "Dear Ada Canary" in page.locator("article").inner_text()
        paper = PdfReader(io.BytesIO(page.pdf(prefer_css_page_size=True)))
        text = "".join(sheet.extract_text() for sheet in paper.pages)
        assert "Ada Canary" in text
        assert "Record that it went" not in text
        page.locator("input[name=on]").fill(there.clock.now().date().isoformat())
        page.locator("select[name=how]").select_option("post")
        page.locator("input[name=name]").fill("Dana Officer")
        page.get_by_role("button", name="Record that it went").click()
        problems += against_axe(page)
        assert "It is recorded." in page.content()
    assert problems == []
