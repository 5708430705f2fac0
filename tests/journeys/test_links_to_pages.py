"""Links in mails open what the mails speak of: read only, without a name, until they are over or revoked."""

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path

import pytest
import requests

from dpsync.intake.linked_pages import MOST_OPENINGS, WITHIN
from dpsync.model import Role, State
from dpsync.propagation import codes, page_links
from dpsync.propagation.page_links import PageKind
from dpsync.store import tables as t
from dpsync.store.page_link_tables import page_link
from dpsync.store.question_tables import question
from tests.journeys.installation import DPO, OPERATOR, Asked, Installation
from tests.journeys.test_decisions_by_link import ADA, MINUTE, NO, Forms, Person, ask, command, desk, ledger
from tests.journeys.test_month_report import HOUR, MORNING, reports, turn
from tests.unit.test_reports import untagged

pytestmark = pytest.mark.no_database

DAY = timedelta(days=1)


@pytest.fixture
def there(tmp_path: Path, database_url: str) -> Iterator[Installation]:
    with desk(tmp_path, database_url) as made:
        yield made


def links_in(mail: EmailMessage) -> list[str]:
    body = mail.get_body(("plain",))
    assert body is not None
    return re.findall(r"http\S+/pages/\S+", str(body.get_content()))


def withdrawn(there: Installation) -> Asked:
    """A request that was stopped by link, and of which a mail says so."""
    asked = ask(there)
    dpo = Person(there)
    dpo.look()
    assert dpo.send("decide", NO).status_code == 200
    there.drive()
    there.drive(MINUTE)
    return asked


def link_of(there: Installation, kind: PageKind, about: str = "", address: str = DPO) -> str:
    """The newest link of this kind in the mails to somebody."""
    kept = [row for row in there.rows(page_link) if (row.kind, row.about) == (kind.value, about)]
    ids = {row.id for row in kept}
    found = [one for mail in Person(there, address).mails("") for one in links_in(mail)]
    return next(one for one in reversed(found) if one.rpartition("/")[2][:22] in ids)


def get(url: str) -> requests.Response:
    return requests.get(url, timeout=60)


def today(there: Installation) -> None:
    """A command goes by the machine's own clock."""
    there.clock.advance(datetime.now(UTC) - there.clock.now())


class Reader(Person):
    """Somebody at the page that asks for a code."""

    def __init__(self, there: Installation, url: str) -> None:
        super().__init__(there)
        self.url = f"{url}/code"

    def link(self) -> str:
        return self.url


# --- what the mails carry


def test_a_question_links_to_the_dossier_which_names_nobody_and_changes_nothing(there: Installation) -> None:
    asked = ask(there)
    before = (there.rows(t.entry), there.rows(t.decision), there.rows(page_link))
    page = get(link_of(there, PageKind.DOSSIER, asked.id))
    assert page.status_code == 200
    assert "Dossier of request" in page.text
    assert asked.id in untagged(page.text)
    assert "Mailchimp, newsletter" in page.text
    assert "anary" not in page.text
    assert (there.rows(t.entry), there.rows(t.decision), there.rows(page_link)) == before


def test_the_mail_of_a_decision_links_to_dossier_and_receipt(there: Installation) -> None:
    asked = withdrawn(there)
    (mail,) = Person(there).mails("Your decision is recorded")
    assert len(links_in(mail)) == 2
    page = get(link_of(there, PageKind.RECEIPT, asked.id))
    assert page.status_code == 200
    for said in (asked.id, "example.org/journeys", "nothing in it was changed", "withdrawn before it was sent"):
        assert said in untagged(page.text)
    written = json.loads((there.service.settings.ledger.receipts / f"{asked.id}.json").read_bytes())
    assert written["commit_key"] not in page.text
    assert "anary" not in page.text


def test_the_month_report_links_to_itself_to_what_waits_and_to_the_register(there: Installation) -> None:
    asked = ask(there)
    turn(there, MORNING + HOUR)
    there.drive()
    (mail,) = reports(there)
    report, status, register = links_in(mail)
    assert "November 2026" in get(report).text
    assert asked.id[:8] in get(status).text
    assert "Mailchimp, newsletter" in get(register).text
    assert get(report).headers["content-type"] == "text/html; charset=utf-8"
    there.clock.advance(page_links.VALID[PageKind.STATUS])
    assert [get(one).status_code for one in (report, status, register)] == [200, 404, 200]
    there.clock.advance(page_links.VALID[PageKind.REPORT] - page_links.VALID[PageKind.STATUS])
    assert get(report).status_code == 404


def test_an_alert_links_to_what_waits_and_each_request_there_to_its_dossier(there: Installation) -> None:
    asked = ask(there)
    there.drive(2 * DAY)
    assert ("dpo", "held") in there.alerts()
    url = link_of(there, PageKind.STATUS)
    page = get(url)
    assert f'Erasure, <code><span class="id">{asked.id[:8]}</span></code>' in page.text
    assert "1 held" in page.text
    (onward,) = re.findall(r'href="([^"]+/r-[^"]+)"', page.text)
    dossier = get(url.rpartition("/")[0] + "/" + onward)
    assert "Dossier of request" in dossier.text
    assert "anary" not in page.text + dossier.text
    assert '/code"' not in dossier.text, "the code belongs to the link of the request's own mail"
    assert f'href="{asked.id}/decide"' in dossier.text
    assert get(f"{url}/r-{'0' * 26}").status_code == 404
    assert get(f"{url}/code").status_code == 404


def test_the_operators_link_opens_a_dossier_and_no_name(there: Installation) -> None:
    asked = ask(there)
    role = Role.OPERATOR
    page = page_links.Page(PageKind.DOSSIER, asked.id)
    url = there.service.write(
        lambda unit: page_links.link_to(unit.connection, there.service.controller, role, page, there.clock.now())
    )
    assert "Dossier of request" in get(url).text
    assert 'href="' not in get(url).text
    assert get(f"{url}/code").status_code == 404
    assert OPERATOR not in get(url).text


# --- how a page is sent


@pytest.mark.parametrize("kind", [PageKind.DOSSIER, PageKind.RECEIPT])
def test_no_page_is_kept_indexed_framed_or_runs_a_script(kind: PageKind, there: Installation) -> None:
    asked = withdrawn(there)
    page = get(link_of(there, kind, asked.id))
    said = page.headers
    assert (said["cache-control"], said["referrer-policy"]) == ("no-store", "no-referrer")
    assert said["x-robots-tag"] == "noindex, nofollow"
    assert "set-cookie" not in said
    policy = said["content-security-policy"]
    for one in ("default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"):
        assert one in policy
    assert "unsafe" not in policy
    assert "script" not in page.text
    styles = re.findall(r"<style>(.*?)</style>", page.text, re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(one.encode()).digest()).decode() for one in styles]
    assert len(digests) == 1
    assert f"'sha256-{digests[0]}'" in policy, "else the browser leaves the page bare"
    assert re.search(r"\sstyle=", page.text) is None


def test_a_page_decides_nothing_and_takes_no_other_method(there: Installation) -> None:
    asked = ask(there)
    url = link_of(there, PageKind.DOSSIER, asked.id)
    for method in ("POST", "PUT", "DELETE"):
        assert requests.request(method, url, data=NO, timeout=60).status_code == 405
    assert requests.head(url, timeout=60).status_code == 200
    assert there.state(asked) is State.HELD


def test_a_link_is_opened_so_often_and_then_not_for_a_while(there: Installation) -> None:
    asked = ask(there)
    url, other = link_of(there, PageKind.DOSSIER, asked.id), ask(there, email="ben@example.org", id="crm-2")
    assert {get(url).status_code for _ in range(MOST_OPENINGS)} == {200}
    refused = get(url)
    assert refused.status_code == 429
    assert refused.headers["retry-after"] == "600"
    assert "opened many times" in refused.text
    assert "problem on our side" not in refused.text
    assert get(link_of(there, PageKind.DOSSIER, other.id)).status_code == 200, "another link is counted for itself"
    there.clock.advance(WITHIN)
    assert get(url).status_code == 200


# --- what a link is good for


@pytest.mark.parametrize("spoiled", ["forged", "altered", "another", "cut", "long"])
def test_a_wrong_link_says_nothing_whatever_is_wrong_with_it(spoiled: str, there: Installation) -> None:
    first, second = ask(there), ask(there, email="ben@example.org", id="crm-2")
    url = link_of(there, PageKind.DOSSIER, first.id)
    head, _, token = url.rpartition("/")
    other = link_of(there, PageKind.DOSSIER, second.id).rpartition("/")[2]
    wrong = {
        "forged": "A" * len(token),
        "altered": token[:-2] + ("AA" if token[-2:] != "AA" else "BB"),
        "another": token[:22] + other[22:],
        "cut": token[:22],
        "long": token + "A" * 80,
    }[spoiled]
    unknown = get(f"{head}/{'u' * 65}")
    assert unknown.status_code == 404
    for path in (wrong, f"{wrong}/code", f"{wrong}/{first.id}"):
        assert (get(f"{head}/{path}").status_code, get(f"{head}/{path}").text) == (404, unknown.text)
    assert requests.post(f"{head}/{wrong}/code", data={"step": "send"}, timeout=60).status_code == 404


@pytest.mark.parametrize("changed", ["expires_at", "role", "about", "kind"])
def test_a_row_that_is_changed_by_hand_opens_nothing(changed: str, there: Installation) -> None:
    asked = ask(there)
    url = link_of(there, PageKind.DOSSIER, asked.id)
    values = {
        "expires_at": there.clock.now() + 90 * DAY,
        "role": "deputy",
        "about": f"r-{'0' * 26}",
        "kind": "status",
    }
    there.service.write(
        lambda unit: unit.connection.execute(
            page_link.update().where(page_link.c.id == url.rpartition("/")[2][:22]).values({changed: values[changed]})
        )
    )
    assert get(url).status_code == 404


def test_a_page_has_one_link_a_day_and_role_and_a_new_one_the_next_day(there: Installation) -> None:
    controller, status = there.service.controller, page_links.STATUS

    def made(role: Role) -> str:
        return there.service.write(
            lambda unit: page_links.link_to(unit.connection, controller, role, status, there.clock.now())
        )

    first, operator = made(Role.DPO), made(Role.OPERATOR)
    assert made(Role.DPO) == first != operator
    there.clock.advance(DAY)
    assert made(Role.DPO) != first
    assert get(first).status_code == 200
    there.clock.advance(page_links.VALID[PageKind.STATUS] + page_links.FORGOTTEN_AFTER)
    made(Role.DPO)
    assert len([row for row in there.rows(page_link) if row.kind == "status"]) == 2, "what is long over is forgotten"


# --- the code


def test_the_code_shows_the_name_and_that_it_was_shown_is_an_entry(there: Installation) -> None:
    asked = ask(there)
    dpo = Reader(there, link_of(there, PageKind.DOSSIER, asked.id))
    assert "anary" not in dpo.get().text
    dpo.send("send")
    assert "shown" not in ledger(there, asked)
    page = dpo.send("look", {"code": dpo.code()})
    assert page.status_code == 200
    assert ADA in page.text
    assert "Dossier of request" in page.text
    assert ledger(there, asked).count("shown") == 1
    assert "anary" not in dpo.mails("Your code")[0].as_string()
    assert page.headers["cache-control"] == "no-store"
    there.sound()


def test_who_decided_and_why_is_shown_only_after_the_code(there: Installation) -> None:
    asked = withdrawn(there)
    url = link_of(there, PageKind.DOSSIER, asked.id)
    page = get(url)
    assert "Dana Officer" not in page.text
    assert "the import was wrong" not in page.text
    assert "cannot be opened" not in page.text, "nothing is damaged"
    dpo = Reader(there, url)
    dpo.get()
    dpo.send("send")
    assert "Dana Officer" in dpo.send("look", {"code": dpo.code()}).text


def test_the_receipt_is_downloaded_after_the_code_whole_and_it_is_an_entry(there: Installation) -> None:
    asked = withdrawn(there)
    dpo = Reader(there, link_of(there, PageKind.RECEIPT, asked.id))
    dpo.get()
    dpo.send("send")
    shown = ledger(there, asked).count("shown")
    got = dpo.send("look", {"code": dpo.code()})
    assert got.status_code == 200
    assert got.headers["content-disposition"] == f'attachment; filename="{asked.id}.json"'
    assert got.content == (there.service.settings.ledger.receipts / f"{asked.id}.json").read_bytes()
    assert ledger(there, asked).count("shown") == shown + 1
    there.sound()


def test_a_wrong_code_shows_nothing_and_too_many_close_the_link(there: Installation) -> None:
    asked = ask(there)
    url = link_of(there, PageKind.DOSSIER, asked.id)
    dpo = Reader(there, url)
    answers: list[int] = []
    while len(answers) < codes.MOST_WRONG_EVER:
        dpo.get()
        assert dpo.send("send").status_code == 200
        right = int(dpo.code().replace(" ", ""))
        for _ in range(codes.MOST_WRONG):
            page = dpo.send("look", {"code": f"{(right + 1) % 1_000_000:06}"})
            answers.append(page.status_code)
            assert "anary" not in page.text
        there.clock.advance(codes.BETWEEN)
    assert answers == [422] * (codes.MOST_WRONG_EVER - 1) + [403]
    assert get(url).status_code == 404
    assert "shown" not in ledger(there, asked)


@pytest.mark.parametrize("headers", [{"Sec-Fetch-Site": "cross-site"}, {}])
def test_a_form_of_another_page_asks_for_no_code(headers: dict[str, str], there: Installation) -> None:
    asked = ask(there)
    dpo = Reader(there, link_of(there, PageKind.DOSSIER, asked.id))
    form = Forms(dpo.get().text).found[0] if headers else {"form": "1.-.00", "step": "send"}
    assert requests.post(dpo.link(), data=form, headers=headers, timeout=60).status_code == 403
    assert dpo.mails("Your code") == []


# --- revoked


def test_a_link_that_is_revoked_opens_nothing_and_the_next_mail_has_a_new_one(
    there: Installation, database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    today(there)
    asked = ask(there)
    url = link_of(there, PageKind.DOSSIER, asked.id)
    command(there, database_url, "links", "show")
    shown = capsys.readouterr().out
    assert "dossier" in shown
    assert "decision" in shown
    assert url.rpartition("/")[2] not in shown, "the list holds no link"
    command(there, database_url, "links", "revoke", url.rpartition("/")[2][:22])
    assert get(url).status_code == 404
    assert get(Person(there).link()).status_code == 200, "the others are good"
    capsys.readouterr()
    command(there, database_url, "links", "show", "--all", "--json")
    (said,) = [one for one in json.loads(capsys.readouterr().out)["links"] if url.rpartition("/")[2][:22] == one["id"]]
    assert (said["good"], said["opens"], said["about"], said["role"]) == (False, "dossier", asked.id, "dpo")
    assert said["revoked_at"] is not None
    fresh = there.service.write(
        lambda unit: page_links.link_to(
            unit.connection,
            there.service.controller,
            Role.DPO,
            page_links.Page(PageKind.DOSSIER, asked.id),
            there.clock.now(),
        )
    )
    assert fresh != url
    assert get(fresh).status_code == 200


def test_all_links_are_revoked_at_once_and_an_open_question_is_asked_again(
    there: Installation, database_url: str
) -> None:
    today(there)
    asked = ask(there)
    old, url = Person(there).link(), link_of(there, PageKind.DOSSIER, asked.id)
    command(there, database_url, "links", "revoke", "--all")
    assert (get(old).status_code, get(url).status_code) == (404, 404)
    assert {row.outcome for row in there.rows(question)} == {"revoked"}
    there.drive(HOUR)
    assert Person(there).link() == old, "not on the same day: whoever reads the mailbox would have the next one, too"
    there.drive(DAY)
    assert Person(there).link() != old
    assert get(Person(there).link()).status_code == 200
    assert there.state(asked) is State.HELD


def test_without_https_no_mail_has_a_link_and_no_page_is_there(tmp_path: Path, database_url: str) -> None:
    with desk(tmp_path, database_url) as there:
        ask(there)
        url = links_in(Person(there).mails("Please decide")[0])[0]
        base = url.partition("/pages/")[0]
        there.restart((f'public_url = "{base}"', ""))
        assert get(url).status_code == 404
        there.drive(2 * DAY)
        assert there.service.controller.asked == ()
        sent = [one for mail in Person(there).mails("Held") for one in links_in(mail)]
        assert sent == []
