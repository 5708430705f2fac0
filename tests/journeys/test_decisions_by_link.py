"""Decisions by link: a link alone shows and decides nothing, a code opens it, and what is decided is the command's."""

import logging
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from html.parser import HTMLParser
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import requests

from dpsync.__main__ import main
from dpsync.ledger import entry
from dpsync.model import Right, State
from dpsync.processors import roles_asked
from dpsync.propagation import codes, question_letters, questions
from dpsync.propagation.decisions import RELEASED_BY_A_YES
from dpsync.propagation.questions import ASKED
from dpsync.store import tables as t
from dpsync.store.question_tables import question
from tests.journeys.installation import DPO, FORMS, KEY, NEWSLETTER, SECRET, Asked, Installation, installed
from tests.unit.test_reports import untagged

ADA = "ada.canary@example.org"
DEPUTY = "deputy@example.org"
CAREFUL = '\n[safety]\nmode = "confirm"\n'
TWO = "\n[safety]\napprovals = 2\n"
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
YES = {"choice": "release", "sure": "yes", "name": "Dana Officer", "reason": "asked back by telephone"}
NO = {"choice": "withdraw", "name": "Dana Officer", "reason": "the import was wrong"}


class Forms(HTMLParser):
    """The hidden fields of the forms of a page, as a browser would send them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[dict[str, str]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = dict(attrs)
        if tag == "form":
            self.found.append({})
        if tag == "input" and said.get("type") == "hidden":
            self.found[-1][str(said["name"])] = str(said["value"])


def link_in(mail: EmailMessage) -> str:
    (link,) = re.findall(r"http\S+/decisions/\S+", str(mail.get_content()))
    return str(link)


class Person:
    """Somebody who was asked: their mailbox, and a browser without scripts and cookies."""

    def __init__(self, there: Installation, address: str = DPO) -> None:
        self.there, self.address = there, address
        self.page = requests.Response()

    def mails(self, words: str) -> list[EmailMessage]:
        """Those whose subject holds these words, the oldest first."""
        mails = [
            message_from_bytes(one.raw, policy=policy.default) for one in self.there.sandbox.messages(self.address)
        ]
        return [one for one in mails if words in str(one["Subject"])]

    def link(self) -> str:
        return link_in(self.mails("Please decide")[-1])

    def code(self) -> str:
        (code,) = re.findall(r"\d{3} \d{3}", str(self.mails("Your code")[-1].get_content()))
        return str(code)

    def get(self) -> requests.Response:
        self.page = requests.get(self.link(), timeout=60)
        return self.page

    def send(self, step: str, more: Mapping[str, str] = {}, headers: Mapping[str, str] = {}) -> requests.Response:
        """Fill in and send the form of this step, of the page that is open."""
        self.page = requests.post(self.link(), data={**self.sent_by(step), **more}, headers=dict(headers), timeout=60)
        return self.page

    def sent_by(self, step: str) -> dict[str, str]:
        """The hidden fields of this step's form."""
        (form,) = [one for one in Forms(self.page.text).found if one["step"] == step]
        return form

    def look(self) -> requests.Response:
        self.get()
        self.send("send")
        return self.send("look", {"code": self.code()})


@contextmanager
def desk(
    folder: Path, database_url: str, safety: str = CAREFUL, processors: str = NEWSLETTER
) -> Iterator[Installation]:
    with installed(folder, database_url, processors=processors + safety, web=True) as there:
        yield there


@pytest.fixture
def there(tmp_path: Path, database_url: str) -> Iterator[Installation]:
    with desk(tmp_path, database_url) as made:
        yield made


def ask(there: Installation, right: Right = Right.ERASURE, email: str = ADA, **more: str) -> Asked:
    """A request that is held, and whose question is in the mailbox."""
    there.sandbox.add(email)
    asked = there.ask(right, email, name="Ada Canary", **more)
    there.drive()
    return asked


def ledger(there: Installation, asked: Asked) -> list[str]:
    rows = there.service.read(lambda connection: there.service.log.entries_of(connection, asked.id))
    return [str(entry.decode(body)["event"]) for _, body in rows]


def everything(there: Installation) -> list[object]:
    """All that a click could change."""
    tables = (t.propagation, t.decision, t.entry, t.alert, question)
    return [tuple(row) for table in tables for row in there.rows(table)]


# --- asking


@pytest.mark.no_database
def test_one_mail_a_request_asks_the_dpo_names_nobody_and_replaces_the_alert_of_the_day(there: Installation) -> None:
    asked = ask(there)
    dpo = Person(there)
    (mail,) = dpo.mails("")
    text = " ".join(mail.get_content().split())
    assert str(mail["Subject"]).startswith("[") is False
    assert "Please decide by 23 November 2026: erase one person?" in str(mail["Subject"]), "while it is of use"
    for said in (
        "Mailchimp, newsletter",
        "If nobody decides, nothing is sent",
        "If you approve: An erasure cannot be undone. Nobody can bring the data back. The page shows",
        asked.id,
        "Please decide by 23 November 2026: approve",
        "Our own target, 72 hours, ends on 23 November 2026.",
        "The legal date is 21 December 2026, read strictly 19 December 2026.",
    ):
        assert said in text
    assert "anary" not in text
    assert there.alerts() == []
    there.drive(DAY)
    assert ("dpo", "held") in there.alerts(), "from the next day on the alert reminds"
    assert len(dpo.mails("Please decide")) == 1
    there.sound()


@pytest.mark.no_database
def test_a_link_that_nobody_used_is_asked_anew_after_its_time(there: Installation) -> None:
    ask(there)
    dpo, old = Person(there), Person(there).link()
    there.drive(questions.LINK_VALID - MINUTE)
    assert requests.get(old, timeout=60).status_code == 200
    there.drive(timedelta(hours=2))
    assert requests.get(old, timeout=60).status_code == 404
    assert len(dpo.mails("Please decide")) == 2
    assert dpo.link() != old
    again = dpo.mails("Please decide now, at the latest by 19 December 2026: erase one person?")[0]
    assert "target, 72 hours, ended on 23 November 2026." in " ".join(again.get_content().split())
    assert dpo.mails("lready decided") == []
    for _ in range(4):
        there.drive(questions.LINK_VALID + MINUTE)
    late = dpo.mails("Please decide now, for the legal date is over: erase one person?")
    assert "The legal date was 21 December 2026" in " ".join(late[-1].get_content().split())


def test_an_opt_out_is_to_be_decided_now_once_its_date_is_over() -> None:
    due, zone = datetime(2026, 11, 21, 9, tzinfo=UTC), ZoneInfo("Europe/London")
    about = question_letters.About(Right.OPT_OUT, False, due, due.date(), due.date(), due, False, (), "")
    on = "21 Nov 2026, 09:00"
    assert question_letters._days(about, zone, due) == (f"by {on}", f"The legal date is {on}.")
    late = ("now, for the legal date is over", f"The legal date was {on}.")
    assert question_letters._days(about, zone, due + MINUTE) == late


def test_a_flood_is_listed_by_the_alert_and_does_not_fill_the_mailbox(tmp_path: Path, database_url: str) -> None:
    with desk(tmp_path, database_url) as there:
        for number in range(questions.MOST_A_DAY + 3):
            there.ask(Right.ERASURE, f"p{number}@example.org", id=f"crm-{number}")
        there.drive()
        assert len(Person(there).mails("Please decide")) == questions.MOST_A_DAY
        (told,) = [one for one in there.told() if one.cause == "held"]
        assert len([line for line in told.concerns if "dpsync release" in line]) == 3


@pytest.mark.no_database
def test_what_the_mail_host_does_not_take_is_told_by_the_alert(there: Installation) -> None:
    there.sandbox.rule(DPO, "later")
    ask(there)
    assert there.alerts() == []
    there.drive(questions.UNMAILED_FOR + MINUTE)
    assert ("dpo", "held") in there.alerts()


# --- looking


@pytest.mark.no_database
def test_opening_a_link_changes_nothing_and_says_nothing_of_the_request(there: Installation) -> None:
    asked = ask(there)
    dpo, before = Person(there), everything(there)
    for _ in range(3):
        page = dpo.get()
        assert requests.head(dpo.link(), timeout=60).status_code == 200
        scanner = {"User-Agent": "Mozilla/5.0 (scanner)", "Purpose": "prefetch", "Sec-Fetch-Site": "cross-site"}
        assert requests.get(dpo.link(), headers=scanner, timeout=60).status_code == 200
    assert everything(there) == before
    for secret in ("anary", "Mailchimp", "rasure", asked.id[:8]):
        assert secret not in page.text
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["referrer-policy"] == "no-referrer"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "set-cookie" not in page.headers
    assert dpo.mails("Your code") == []


@pytest.mark.no_database
def test_the_code_shows_who_what_where_and_what_follows_and_that_it_was_shown_is_an_entry(there: Installation) -> None:
    asked = ask(there)
    dpo = Person(there)
    page = dpo.look()
    assert page.status_code == 200
    for said in (ADA, "Ada Canary", "crm-1", asked.id, "Mailchimp, newsletter", "cannot be undone", "21 Dec 2026"):
        assert said in untagged(page.text)
    assert ledger(there, asked).count("shown") == 1
    assert "anary" not in dpo.mails("Your code")[0].as_string()
    assert there.state(asked) is State.HELD
    assert [row.os_user for row in there.rows(t.decision)] == [""]
    there.sound()


@pytest.mark.no_database
def test_a_mail_scanner_that_follows_every_link_decides_nothing_and_gets_no_code(there: Installation) -> None:
    there.sandbox.rule(DPO, "scanner_prefetch")
    asked = ask(there)
    (mail,) = there.sandbox.messages(DPO, settled=True)
    assert {(deed.method, deed.status) for deed in mail.deeds} == {("HEAD", 200), ("GET", 200)}
    assert {"shown", "decided"} & set(ledger(there, asked)) == set()
    assert there.rows(t.decision) == []
    assert there.state(asked) is State.HELD
    assert len(Person(there).mails("")) == 1


@pytest.mark.no_database
@pytest.mark.parametrize("spoiled", ["forged", "altered", "another", "cut", "long"])
def test_a_wrong_link_says_nothing_whatever_is_wrong_with_it(spoiled: str, there: Installation) -> None:
    ask(there)
    ask(there, email="ben@example.org", id="crm-2")
    first, second = (link_in(one) for one in Person(there).mails("Please decide"))
    head, _, token = first.rpartition("/")
    wrong = {
        "forged": "A" * len(token),
        "altered": token[:-2] + ("AA" if token[-2:] != "AA" else "BB"),
        "another": token[:22] + second.rpartition("/")[2][22:],
        "cut": token[:22],
        "long": token + "A" * 80,
    }[spoiled]
    before = everything(there)
    got = requests.get(f"{head}/{wrong}", timeout=60)
    posted = requests.post(f"{head}/{wrong}", data={"step": "send", **NO}, timeout=60)
    unknown = requests.get(f"{head}/{'u' * 65}", timeout=60)
    assert (got.status_code, posted.status_code) == (404, 404)
    assert got.text == posted.text == unknown.text
    assert everything(there) == before


def test_a_row_that_is_prolonged_or_given_to_another_role_by_hand_makes_no_link(there: Installation) -> None:
    ask(there)
    link = Person(there).link()
    for values in ({"expires_at": there.clock.now() + 90 * DAY}, {"role": "deputy"}):
        (row,) = there.rows(question)
        there.service.write(lambda unit, v=values: unit.connection.execute(question.update().values(v)))  # type: ignore[misc]  # because mypy does not infer a lambda's default
        assert requests.get(link, timeout=60).status_code == 404
        same = {"expires_at": row.expires_at, "role": row.role}
        there.service.write(lambda unit, v=same: unit.connection.execute(question.update().values(v)))  # type: ignore[misc]  # because mypy does not infer a lambda's default
    assert requests.get(link, timeout=60).status_code == 200


# --- the code


@pytest.mark.no_database
def test_wrong_codes_are_counted_show_nothing_and_lock_the_link(there: Installation) -> None:
    asked = ask(there)
    dpo = Person(there)
    dpo.get()
    answers: list[int] = []
    while len(answers) < codes.MOST_WRONG_EVER:
        dpo.get()
        assert dpo.send("send").status_code == 200
        right = dpo.code().replace(" ", "")
        for _ in range(codes.MOST_WRONG):
            page = dpo.send("look", {"code": f"{(int(right) + 1) % 1_000_000:06}"})
            answers.append(page.status_code)
            assert "anary" not in page.text
        if len(answers) < codes.MOST_WRONG_EVER:
            assert dpo.send("look", {"code": right}).status_code == 422, "after five wrong ones the right one is dead"
        there.clock.advance(codes.BETWEEN)
    assert answers == [422] * (codes.MOST_WRONG_EVER - 1) + [403]
    assert "Ask for another link on the page of the request" in dpo.get().text
    assert requests.post(dpo.link(), data={"step": "send"}, timeout=60).status_code == 409
    assert {("operator", "question-locked"), ("dpo", "question-locked-dpo")} <= set(there.alerts())
    assert "shown" not in ledger(there, asked)
    assert there.state(asked) is State.HELD
    there.drive(timedelta(hours=1))
    assert ("dpo", "held") in there.alerts(), "and the alert asks for a command"
    (page,) = re.findall(r"http\S+/pages/\S+", str(dpo.mails("Please decide")[-1].get_content()))
    (form,) = Forms(requests.get(f"{page}/decide", timeout=60).text).found
    assert requests.post(f"{page}/decide", data=form, timeout=60).status_code == 200
    there.drive()
    (mail,) = dpo.mails("Your link to decide")
    assert requests.get(link_in(mail), timeout=60).status_code == 200, "whoever is locked out needs no command"
    there.sound()


def test_a_code_is_good_for_ten_minutes_and_once_and_only_the_newest(there: Installation) -> None:
    asked = ask(there)
    dpo = Person(there)
    dpo.get()
    dpo.send("send")
    first = dpo.code()
    assert dpo.send("send").status_code == 503, "one a minute"
    assert len(dpo.mails("Your code")) == 1
    there.clock.advance(codes.BETWEEN)
    dpo.send("send")
    second = dpo.code()
    if first != second:
        assert dpo.send("look", {"code": first}).status_code == 422
    there.clock.advance(codes.VALID)
    assert dpo.send("look", {"code": second}).status_code == 422
    dpo.send("send")
    third = dpo.code()
    before = dpo.page
    assert dpo.send("look", {"code": third}).status_code == 200
    dpo.page = before
    assert dpo.send("look", {"code": third}).status_code == 422, "used"
    assert ledger(there, asked).count("shown") == 1


def test_a_code_that_could_not_be_mailed_is_said_and_another_may_be_asked_for_at_once(there: Installation) -> None:
    ask(there)
    dpo = Person(there)
    dpo.get()
    there.sandbox.rule(DPO, "later")
    page = dpo.send("send")
    assert page.status_code == 503
    assert "could not be sent" in page.text
    there.sandbox.rule(DPO, "silent")
    assert dpo.send("send").status_code == 200
    assert dpo.send("look", {"code": dpo.code()}).status_code == 200


# --- deciding


def test_an_approval_by_link_is_the_release_of_the_command_and_the_erasure_goes(there: Installation) -> None:
    asked = ask(there)
    dpo = Person(there)
    dpo.look()
    page = dpo.send("decide", YES)
    assert page.status_code == 200
    assert "recorded" in page.text
    assert "What comes next" in page.text
    assert "1 person has no letter yet that answers them: it is due by Thu 17 Dec 2026" in page.text
    assert "anary" not in page.text
    there.drive()
    assert there.state(asked) is State.VERIFIED
    there.drive(MINUTE)
    assert {"decided", "released", "shown"} <= set(ledger(there, asked))
    *_, row = there.rows(t.decision)
    assert (row.kind, row.os_user) == ("release", "")
    opened = there.service.opened_decision(row.request_id, row.sealed).decode()
    assert "Dana Officer, DPO by link" in opened
    (end,) = dpo.mails("Your decision is recorded")
    assert "approve the request" in end.get_content()
    there.sound()


@pytest.mark.no_database
def test_a_refusal_by_link_is_the_withdrawal_of_the_command(there: Installation) -> None:
    asked = ask(there)
    dpo = Person(there)
    dpo.look()
    assert dpo.send("decide", NO).status_code == 200
    there.drive()
    assert there.state(asked) is State.WITHDRAWN
    assert there.sandbox.holds(ADA)
    there.sound()


@pytest.mark.no_database
def test_a_link_decides_once(there: Installation) -> None:
    asked = ask(there)
    dpo = Person(there)
    page = dpo.look()
    dpo.send("decide", NO)
    dpo.page = page
    again = dpo.send("decide", YES)
    assert again.status_code == 409
    assert "already decided" in again.text
    assert "already decided" in dpo.get().text
    there.drive()
    assert there.state(asked) is State.WITHDRAWN
    assert [row.kind for row in there.rows(t.decision)] == ["shown", "withdraw"]


def test_of_two_decisions_at_the_same_moment_one_is_recorded(there: Installation) -> None:
    asked = ask(there)
    dpo = Person(there)
    dpo.look()
    (form,) = Forms(dpo.page.text).found
    link = dpo.link()

    def send(choice: dict[str, str]) -> int:
        return requests.post(link, data={**form, **choice}, timeout=60).status_code

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(send, [YES, NO, YES, NO]))
    assert sorted(answers) == [200, 409, 409, 409]
    assert len([row for row in there.rows(t.decision) if row.kind != "shown"]) == 1
    assert ledger(there, asked).count("decided") == 1
    there.sound()


@pytest.mark.no_database
def test_neither_link_nor_code_nor_person_reaches_a_log(there: Installation, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    ask(there)
    dpo = Person(there)
    dpo.look()
    code, token = dpo.code(), dpo.link().rpartition("/")[2]
    dpo.send("decide", YES)
    there.drive()
    ours = " ".join(
        record.getMessage()
        for record in caplog.records
        if not record.name.startswith(("urllib3", "mail.log", "asyncio"))
    )
    assert [secret for secret in (token, code, code.replace(" ", ""), "anary", "Dana") if secret in ours] == []


@pytest.mark.no_database
def test_nothing_is_decided_without_the_code(there: Installation) -> None:
    asked = ask(there)
    dpo = Person(there)
    dpo.get()
    (start,) = Forms(dpo.page.text).found
    before = [tuple(row) for row in there.rows(t.decision)]
    for ticket in ("", start["form"], "9999999999.aa.bb", "x"):
        sent = {"form": start["form"], "step": "decide", "ticket": ticket, **YES}
        page = requests.post(dpo.link(), data=sent, timeout=60)
        assert page.status_code == 422
        assert "anary" not in page.text
    assert [tuple(row) for row in there.rows(t.decision)] == before
    assert there.state(asked) is State.HELD


@pytest.mark.no_database
def test_a_ticket_opens_no_other_question_and_ends(there: Installation) -> None:
    asked = ask(there)
    dpo = Person(there)
    dpo.look()
    (decide,) = Forms(dpo.page.text).found
    other = ask(there, email="ben@example.org", id="crm-2")
    dpo.get()
    (start,) = Forms(dpo.page.text).found
    sent = {**decide, "form": start["form"], **YES}
    assert requests.post(dpo.link(), data=sent, timeout=60).status_code == 422
    assert there.state(other) is State.HELD
    there.clock.advance(timedelta(minutes=31))
    first = link_in(dpo.mails("Please decide")[0])
    assert requests.post(first, data={**decide, **YES}, timeout=60).status_code == 422
    assert there.state(asked) is State.HELD


@pytest.mark.no_database
@pytest.mark.parametrize("how", ["no field", "of another link", "too old", "cross-site", "same-site"])
def test_a_form_from_elsewhere_does_nothing(how: str, there: Installation) -> None:
    asked = ask(there)
    dpo = Person(there)
    dpo.look()
    (decide,) = Forms(dpo.page.text).found
    decide |= YES
    headers = {"Sec-Fetch-Site": how} if how.endswith("-site") else {}
    if how == "no field":
        del decide["form"]
    if how == "of another link":
        ask(there, email="ben@example.org", id="crm-2")
        decide["form"] = Forms(requests.get(dpo.link(), timeout=60).text).found[0]["form"]
    if how == "too old":
        there.clock.advance(timedelta(minutes=61))
    first = link_in(dpo.mails("Please decide")[0])
    page = requests.post(first, data=decide, headers=headers, timeout=60)
    assert page.status_code == 403
    assert "anary" not in page.text
    assert there.state(asked) is State.HELD
    assert [row.kind for row in there.rows(t.decision)] == ["shown"]


@pytest.mark.no_database
@pytest.mark.parametrize(
    ("lacks", "said"),
    [("choice", "choose one"), ("name", "your name"), ("reason", "say why"), ("sure", "checked it")],
)
def test_what_is_not_whole_is_asked_again_and_decides_nothing(lacks: str, said: str, there: Installation) -> None:
    asked = ask(there)
    dpo = Person(there)
    dpo.look()
    page = dpo.send("decide", {**YES, lacks: " "})
    assert page.status_code == 422
    assert said in untagged(page.text)
    assert ADA in page.text, "it is the same page, and that it was shown again is on the record"
    assert ledger(there, asked).count("shown") == 2
    assert there.state(asked) is State.HELD
    assert dpo.send("decide", YES).status_code == 200
    there.sound()


@pytest.mark.no_database
def test_what_has_changed_since_it_was_shown_is_shown_again_and_not_decided(tmp_path: Path, database_url: str) -> None:
    with desk(tmp_path, database_url, processors=NEWSLETTER + FORMS) as there:
        asked = ask(there)
        dpo = Person(there)
        dpo.look()
        command(there, database_url, "release", asked.id, "newsletter", "--by", "Ben", "--reason", "seen")
        page = dpo.send("decide", NO)
        assert page.status_code == 409
        assert "has changed" in page.text
        assert "withdraw" not in [row.kind for row in there.rows(t.decision)]
        assert dpo.send("decide", NO).status_code == 200, "as it is now"
        there.sound()


def command(there: Installation, database_url: str, *words: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"DATABASE": database_url, "SECRET": SECRET, "KEY": KEY}.items():
            patch.setenv(f"DPSYNC_TEST_{name}", value)
        assert main(["--config", str(there.folder / "dpsync.toml"), *words]) == 0


# --- decided in another way


@pytest.mark.no_database
def test_what_is_decided_by_command_is_shown_as_decided_and_mailed(there: Installation, database_url: str) -> None:
    asked = ask(there)
    dpo = Person(there)
    page = dpo.look()
    command(there, database_url, "withdraw", asked.id, "--by", "Ben Deputy", "--reason", "a mistake")
    there.drive()
    (mail,) = dpo.mails("Already decided")
    assert "Ben" not in mail.as_string()
    assert "already decided" in dpo.get().text
    dpo.page = page
    assert dpo.send("decide", YES).status_code == 409
    there.drive(MINUTE)
    assert len(dpo.mails("Already decided")) == 1
    assert there.state(asked) is State.WITHDRAWN
    there.sound()


# --- two people


@pytest.mark.no_database
def test_one_role_never_approves_twice_and_the_deputy_is_the_second_person(tmp_path: Path, database_url: str) -> None:
    with desk(tmp_path, database_url, TWO) as there:
        there.restart(("rehearsal = true", f'rehearsal = true\ndeputy = "{DEPUTY}"'))
        asked = ask(there)
        dpo, deputy = Person(there), Person(there, DEPUTY)
        assert "2 different people" in dpo.look().text
        assert dpo.send("decide", YES).status_code == 200
        there.drive(MINUTE)
        assert there.state(asked) is State.HELD
        assert len(dpo.mails("Please decide")) == 1, "who has answered is not asked again"
        assert "already decided" in dpo.get().text
        deputy.look()
        assert deputy.send("decide", {**YES, "name": "Ben Deputy"}).status_code == 200
        there.drive()
        assert there.state(asked) is State.VERIFIED
        there.sound()


def test_a_second_yes_under_the_same_name_is_refused_and_says_why_and_the_link_still_decides(
    tmp_path: Path, database_url: str
) -> None:
    with desk(tmp_path, database_url, TWO, NEWSLETTER + FORMS) as there:
        there.restart(("rehearsal = true", f'rehearsal = true\ndeputy = "{DEPUTY}"'))
        asked = ask(there)
        dpo, deputy = Person(there), Person(there, DEPUTY)
        dpo.look()
        dpo.send("decide", YES)
        before = len(ledger(there, asked))
        deputy.look()
        refused = deputy.send("decide", YES)
        assert refused.status_code == 409
        why = "1 of 2 people have said yes: this name, or this role, said it before. Somebody else must say it, too"
        assert refused.text.count(why) == 1
        assert [one for one in ledger(there, asked)[before:] if one != "shown"] == []
        assert deputy.send("decide", {**YES, "name": "Ben Deputy"}).status_code == 200
        there.drive()
        assert there.state(asked) is State.VERIFIED
        there.sound()


@pytest.mark.parametrize(("name", "goes"), [("Dana  OFFICER", False), ("Ben Deputy", True)])
def test_a_yes_by_link_and_one_by_command_are_two_people_only_under_two_names(
    name: str, goes: bool, tmp_path: Path, database_url: str
) -> None:
    with desk(tmp_path, database_url, TWO) as there:
        asked = ask(there)
        dpo = Person(there)
        dpo.look()
        dpo.send("decide", YES)
        with pytest.MonkeyPatch.context() as patch:
            for key, value in {"DATABASE": database_url, "SECRET": SECRET, "KEY": KEY}.items():
                patch.setenv(f"DPSYNC_TEST_{key}", value)
            words = ["release", asked.id, "--by", name, "--reason", "seen"]
            main(["--config", str(there.folder / "dpsync.toml"), *words])
        there.drive()
        assert there.state(asked) is (State.VERIFIED if goes else State.HELD)


@pytest.mark.no_database
def test_a_deputy_with_the_address_of_the_dpo_is_not_asked(tmp_path: Path, database_url: str) -> None:
    with desk(tmp_path, database_url, TWO) as there:
        there.restart(("rehearsal = true", f'rehearsal = true\ndeputy = "{DPO.upper()}"'))
        ask(there)
        assert [row.role for row in there.rows(question)] == ["dpo"]


# --- off


def test_without_https_there_are_no_links_and_check_says_so(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {"DATABASE": database_url, "SECRET": SECRET, "KEY": KEY}.items():
        monkeypatch.setenv(f"DPSYNC_TEST_{name}", value)
    with desk(tmp_path, database_url) as there:
        ask(there)
        link = Person(there).link()
        main(["--config", str(tmp_path / "dpsync.toml"), "check", "--offline"])
        assert "the DPO and the operator can decide by a link" in capsys.readouterr().out
        real = there.service.settings.controller.model_copy(update={"rehearsal": False})
        assert roles_asked(there.service.settings.model_copy(update={"controller": real})) == (), (
            "http, and no exercise"
        )
        there.restart((f'public_url = "{there.url}"', ""))
        main(["--config", str(tmp_path / "dpsync.toml"), "check", "--offline"])
        assert "off. They need [mail], and an https address" in capsys.readouterr().out
        assert requests.get(link, timeout=60).status_code == 404
        there.ask(Right.ERASURE, "ben@example.org", id="crm-2")
        there.drive()
        assert ("dpo", "held") in there.alerts()
        assert len(Person(there).mails("Please decide")) == 1


def test_the_dpo_may_release_by_link_from_what_a_plain_release_releases_from() -> None:
    assert ASKED["dpo"] == RELEASED_BY_A_YES  # type: ignore[index]  # because a role is its name
