"""A role that has a passphrase types it on the page of a link: its mailbox alone decides nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dpsync.cli.check_doors import outside
from dpsync.model import State
from dpsync.propagation.codes import MOST_WRONG_EVER
from dpsync.propagation.page_links import Page, PageKind
from tests.journeys.installation import Installation
from tests.journeys.test_decisions_by_link import ADA, YES, Person, ask, desk
from tests.journeys.test_more_by_link import page_of

PASSPHRASE = "correct horse battery staple"
SETTING = 'rehearsal = true\ndpo_passphrase = { file = "dpo-passphrase" }'


def with_passphrase(there: Installation) -> None:
    secret = there.folder / "dpo-passphrase"
    secret.write_text(PASSPHRASE + "\n")
    secret.chmod(0o600)
    there.restart(("rehearsal = true", SETTING))


class Reader(Person):
    """Somebody with the link to a dossier, at the page that names the person."""

    def __init__(self, there: Installation, request_id: str) -> None:
        super().__init__(there)
        self._link = f"{page_of(there, Page(PageKind.DOSSIER, request_id))}/code"

    def link(self) -> str:
        return self._link


@pytest.fixture
def there(tmp_path: Path, database_url: str) -> Iterator[Installation]:
    with desk(tmp_path, database_url) as made:
        with_passphrase(made)
        yield made


@pytest.mark.no_database
def test_the_page_asks_for_the_passphrase_and_mails_no_code(there: Installation) -> None:
    asked = ask(there)
    dpo = Person(there)
    assert "The page first asks for your passphrase." in " ".join(dpo.mails("Please decide")[0].get_content().split())
    assert "asks for the passphrase of the DPO" in dpo.get().text
    page = dpo.send("send")
    assert (page.status_code, "Passphrase of the DPO" in page.text, ADA in page.text) == (200, True, False)
    wrong = dpo.send("look", {"code": "correct horse battery stable"})
    assert (wrong.status_code, "This is not the passphrase" in wrong.text, ADA in wrong.text) == (422, True, False)
    shown = dpo.send("look", {"code": "correct  horse batterystaple"})
    assert (shown.status_code, ADA in shown.text) == (200, True)
    assert dpo.send("decide", YES).status_code == 200
    there.drive()
    assert there.state(asked) is State.VERIFIED
    assert dpo.mails("Your code") == []
    there.sound()


@pytest.mark.no_database
def test_too_many_wrong_passphrases_lock_the_link_and_tell_two_people(there: Installation) -> None:
    ask(there)
    dpo = Person(there)
    dpo.get()
    for number in range(MOST_WRONG_EVER):
        if number % 5 == 0:
            dpo.get()
            dpo.send("send")
        page = dpo.send("look", {"code": f"guess number {number}"})
    assert page.status_code == 403
    assert {("dpo", "question-locked-dpo"), ("operator", "question-locked")} <= {*there.alerts()}
    dpo.get()
    assert PASSPHRASE not in dpo.page.text


def test_the_dossier_too_names_the_person_only_for_the_passphrase(there: Installation) -> None:
    asked = ask(there)
    reader = Reader(there, asked.id)
    assert "The next page asks for the passphrase of the DPO." in reader.get().text
    reader.send("send")
    assert ADA not in reader.send("look", {"code": "123456"}).text
    assert ADA in reader.send("look", {"code": PASSPHRASE}).text


@pytest.mark.no_database
def test_check_says_who_types_what(there: Installation) -> None:
    (line,) = [line for line in outside(there.service, offline=True) if line.what == "decisions"]
    by_code, by_passphrase = "by a link and a code in emails", "by a link and a passphrase"
    assert line.text == f"the operator can decide {by_code}; the DPO can decide {by_passphrase}"
