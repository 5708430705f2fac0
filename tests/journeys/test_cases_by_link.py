"""Complaints and incidents by link: the code first, then the words, then one step, which is that of the command."""

from collections.abc import Iterator
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest
import requests

from dpsync.cases.complaints import complaint, complaints
from dpsync.cases.incidents import Closing, Finding, Stage, close, facts_of, incident, incidents
from dpsync.cases.values import Channel, PersonTold, Result, Topic
from dpsync.ledger.entry import decode
from dpsync.model import Right, Role
from dpsync.propagation.decisions import Person as Commander
from dpsync.propagation.page_links import STATUS, Page, PageKind, link_to
from dpsync.store import tables as t
from dpsync.store.case_tables import case_act
from dpsync.store.page_link_tables import page_link
from tests.journeys.installation import DPO, FORMS, Installation, installed
from tests.journeys.test_complaints import came, step, told
from tests.journeys.test_decisions_by_link import Forms, Person
from tests.journeys.test_incidents import opened
from tests.journeys.test_links_to_pages import get, links_in

pytestmark = pytest.mark.no_database

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NAME = {"name": "Dana Officer"}
WORDS = "Ada Canary rang twice"


@pytest.fixture
def there(tmp_path: Path, database_url: str) -> Iterator[Installation]:
    with installed(tmp_path, database_url, processors=FORMS, web=True) as made:
        yield made


class Keeper(Person):
    """Whoever records a step of a case, on the page that a link leads to."""

    def __init__(self, there: Installation, url: str, address: str = DPO) -> None:
        super().__init__(there, address)
        self.url = f"{url}/decide"

    def link(self) -> str:
        return self.url

    def record(self, choice: str, **more: str) -> requests.Response:
        return self.send("decide", {**NAME, "choice": choice, **more})


def alerted(there: Installation, after: timedelta, words: str) -> str:
    """The link in the newest alert about this."""
    there.drive(after)
    mail = Person(there).mails(words)[-1]
    assert "anary" not in str(mail)
    (url,) = links_in(mail)
    return url


def link(there: Installation, page: Page, role: Role = Role.DPO) -> str:
    service, now = there.service, there.clock.now()
    return service.write(lambda unit: link_to(unit.connection, service.controller, role, page, now))


def events(there: Installation, case_id: str) -> list[str]:
    found = [decode(row.body) for row in there.rows(t.entry)]
    return [str(said["event"]) for said in found if said.get("ref") == case_id]


def the_outcome(there: Installation, case_id: str) -> None:
    there.clock.advance(HOUR)
    dpo, on = Keeper(there, link(there, Page(PageKind.CASE, case_id))), there.clock.now().date()
    dpo.look()
    assert 'value="acknowledge"' not in dpo.page.text
    told = {"on": on.isoformat(), "channel": "mail"}
    assert dpo.record("outcome", **told, reason="we were late").status_code == 422
    assert dpo.record("outcome", **told, result="upheld").status_code == 422
    assert "say why" in dpo.page.text
    why = {"result": "partly", "reason": "we were late"}
    assert dpo.record("outcome", **told, **why, letter="ä" * 10_001).status_code == 422
    assert "below 10,000 characters" in dpo.page.text
    recorded = dpo.record("outcome", **told, **why, letter="ä" * 9_990 + "\r\nDear Ada\r\n")
    assert recorded.status_code == 200
    assert "upheld in part" in recorded.text
    digest = sha256(("ä" * 9_990 + "\nDear Ada").encode()).hexdigest()
    stands = there.service.read(lambda connection: complaint(connection, case_id))
    assert (stands.result, stands.told, stands.holds) == (Result.PARTLY, PersonTold(on, Channel.MAIL, digest), False)
    assert events(there, case_id)[-1] == "complaint_outcome"
    last = there.rows(case_act)[-1]
    assert last.os_user == ""
    assert b"Dana Officer, DPO by link" in there.service.keys.open("case", last.sealed, case_id.encode())
    there.sound()


def test_a_complaint_goes_from_its_alert_to_its_outcome_by_link(there: Installation) -> None:
    made = came(there, note=WORDS, processors=("forms",))
    url = alerted(there, 7 * DAY, "not acknowledged after seven days")
    before = events(there, made.id)
    page = get(url)
    assert page.status_code == 200
    for said in (made.id, "open, not acknowledged", "Sat 19 Dec 2026", "Stratosoft, sign-up forms"):
        assert said in page.text
    assert "anary" not in page.text
    assert "Dana" not in page.text
    dpo = Keeper(there, url)
    assert "anary" not in dpo.get().text
    assert events(there, made.id) == before, "looking without a code is no step"
    assert WORDS in dpo.look().text
    assert events(there, made.id) == [*before, "shown"]
    on = there.clock.now().date()
    assert dpo.record("acknowledge").status_code == 422
    assert "the day on which the person was told, and how" in dpo.page.text
    early = {"on": "2026-01-02", "channel": "phone"}
    assert dpo.record("acknowledge", **early).status_code == 422
    assert "is before 20 Nov 2026" in dpo.page.text
    recorded = dpo.record("acknowledge", on=on.isoformat(), channel="phone")
    assert recorded.status_code == 200
    assert "It is recorded." in recorded.text
    stands = there.service.read(lambda connection: complaint(connection, made.id))
    assert stands.acknowledged == PersonTold(on, Channel.PHONE)
    assert get(url).status_code == 404, "the link was good for one step"
    the_outcome(there, made.id)


def test_progress_and_the_authority_are_recorded_from_the_page_of_what_waits(there: Installation) -> None:
    made = came(there)
    there.clock.advance(2 * DAY)
    url, on = link(there, STATUS), there.clock.now().date().isoformat()
    page = get(url)
    assert f'Complaint <code><span class="id">{made.id}</span></code>' in page.text
    assert "Nothing waits" not in page.text
    dpo = Keeper(there, f"{url}/{made.id}")
    assert get(f"{url}/{made.id}").status_code == 200
    dpo.look()
    assert dpo.record("progress", on=on, channel="post").status_code == 200
    there.clock.advance(HOUR)
    dpo.look()
    assert dpo.record("escalate", on=on, reference="ICO-7").status_code == 200
    stands = there.service.read(lambda connection: complaint(connection, made.id))
    assert (len(stands.progress), stands.with_authority) == (1, True)
    assert get(url).status_code == 200, "the list of what waits is still good"
    assert "with the authority" in get(url).text
    there.sound()


def test_an_incident_is_written_down_and_closed_by_link(there: Installation) -> None:
    made = opened(there)
    url = alerted(there, 49 * HOUR, "fewer than 24 are left")
    dpo = Keeper(there, url)
    assert "a laptop" not in get(url).text
    dpo.look()
    facts = {"what": "a laptop is lost", "measures": "wiped from afar", "people": "4o"}
    assert dpo.record("open", **facts).status_code == 422
    assert 'value="4o"' in dpo.page.text
    assert dpo.record("open", **{**facts, "people": "40"}).status_code == 200
    stands = there.service.read(lambda connection: incident(connection, made.id))
    assert (stands.stage, stands.people, stands.limit_at) == (Stage.OPEN, 40, made.limit_at)
    kept = there.service.read(lambda connection: facts_of(connection, there.service.keys, made.id))
    assert (kept["what"], kept["measures"]) == ("a laptop is lost", "wiped from afar")
    dpo = Keeper(there, link(there, Page(PageKind.CASE, made.id)))
    there.clock.advance(HOUR)
    dpo.look()
    assert "a laptop is lost" in dpo.page.text
    closing = {"finding": "breach_notified", "reason": "we told the ICO"}
    assert dpo.record("close", **closing).status_code == 422
    assert "the day on which the authority was told" in dpo.page.text
    on = there.clock.now().date().isoformat()
    assert dpo.record("close", **closing, notified_on=on).status_code == 200
    stands = there.service.read(lambda connection: incident(connection, made.id))
    assert (stands.finding, stands.open) == (Finding.BREACH_NOTIFIED, False)
    there.sound()


def test_a_step_is_recorded_once_and_only_of_what_was_shown(there: Installation) -> None:
    made = came(there)
    url, on = link(there, STATUS), there.clock.now().date().isoformat()
    first = Keeper(there, f"{url}/{made.id}")
    first.look()
    there.clock.advance(HOUR)
    second = Keeper(there, f"{url}/{made.id}")
    second.look()
    told = {"on": on, "channel": "mail"}
    assert second.record("acknowledge", **told).status_code == 200
    there.clock.advance(-HOUR)
    assert first.record("acknowledge", **told).status_code == 422
    assert "This has changed since you looked" in first.page.text
    assert events(there, made.id).count("complaint_acknowledged") == 1


def test_without_code_form_or_role_nothing_is_shown_or_recorded(there: Installation) -> None:
    made, other = came(there, note=WORDS), came(there)
    url = link(there, Page(PageKind.CASE, made.id))
    dpo = Keeper(there, url)
    dpo.look()
    (form,) = [dict(one) for one in _forms(dpo)]
    sent = {**form, **NAME, "choice": "acknowledge", "on": there.clock.now().date().isoformat(), "channel": "mail"}
    before = events(there, made.id), events(there, other.id)
    for spoiled in ({"ticket": ""}, {"form": "1.-.00"}, {"ticket": form["form"]}):
        assert requests.post(dpo.link(), data={**sent, **spoiled}, timeout=60).status_code in {403, 422}
    foreign = {"Sec-Fetch-Site": "cross-site"}
    assert requests.post(dpo.link(), data=sent, headers=foreign, timeout=60).status_code == 403
    waits = link(there, STATUS)
    assert requests.post(f"{waits}/{other.id}/decide", data=sent, timeout=60).status_code == 403, "another link's form"
    assert (events(there, made.id), events(there, other.id)) == before
    operators = link(there, Page(PageKind.CASE, made.id), Role.OPERATOR)
    assert get(f"{operators}/decide").status_code == 404
    assert get(f"{waits}/C-00000000").status_code == 404
    assert get(f"{url}/{other.id}").status_code == 404, "a link to one case opens no other"
    assert requests.post(dpo.link(), data=sent, timeout=60).status_code == 200


def test_a_ticket_for_one_case_records_nothing_of_another(there: Installation) -> None:
    one, other = came(there), came(there)
    url = link(there, STATUS)
    dpo = Keeper(there, f"{url}/{one.id}")
    dpo.look()
    (form,) = _forms(dpo)
    sent = {**form, **NAME, "choice": "acknowledge", "on": there.clock.now().date().isoformat(), "channel": "mail"}
    assert requests.post(f"{url}/{other.id}/decide", data=sent, timeout=60).status_code == 422
    assert "complaint_acknowledged" not in events(there, other.id)


def test_too_many_wrong_codes_end_the_link(there: Installation) -> None:
    made = came(there, note=WORDS)
    dpo = Keeper(there, link(there, Page(PageKind.CASE, made.id)))
    answers: list[int] = []
    while 403 not in answers:
        dpo.get()
        dpo.send("send")
        right = int(dpo.code().replace(" ", ""))
        wrong = {"code": f"{(right + 1) % 1_000_000:06}"}
        answers += [dpo.send("look", wrong).status_code for _ in range(5)]
        there.clock.advance(2 * timedelta(minutes=1))
    assert len(answers) == 15
    assert "anary" not in dpo.page.text
    assert [row.revoked_at is not None for row in there.rows(page_link)] == [True]


def _forms(dpo: Keeper) -> list[dict[str, str]]:
    return [one for one in Forms(dpo.page.text).found if one.get("step") == "decide"]


def test_a_complaint_that_came_in_is_recorded_from_the_page_of_what_waits(there: Installation) -> None:
    asked = there.ask(Right.ERASURE, "ada@example.org")
    there.clock.advance(3 * DAY)
    url = link(there, STATUS)
    assert f'href="{url.rpartition("/")[2]}/C-new/decide"' in get(url).text
    assert get(f"{url}/C-new").status_code == 404
    dpo = Keeper(there, f"{url}/C-new")
    dpo.look()
    on = (there.clock.now() - DAY).date()
    assert dpo.record("received", on=on.isoformat(), channel="phone").status_code == 422
    told = {"on": on.isoformat(), "channel": "phone", "topic.delay": "yes", "at.forms": "yes", "reason": WORDS}
    assert dpo.record("received", **told, about="r-NONE").status_code == 422
    assert dpo.record("acknowledge", **told).status_code == 422, "there is nothing to acknowledge yet"
    page = dpo.record("received", **told, about=asked.id[:8])
    assert page.status_code == 200
    (made,) = there.service.read(complaints)
    assert made.id in get(url).text
    assert (made.received_on, made.channel, made.about) == (on, Channel.PHONE, (asked.id,))
    assert (made.topics, made.processors, made.due_on is not None) == ((Topic.DELAY,), ("forms",), True)
    assert "anary" not in page.text
    there.sound()


def test_an_incident_is_recorded_from_there_once(there: Installation) -> None:
    url = link(there, STATUS)
    dpo = Keeper(there, f"{url}/I-new")
    dpo.look()
    assert dpo.record("close", finding="not_a_breach", reason="none").status_code == 422
    (form,) = _forms(dpo)
    assert dpo.record("open", what="a laptop is lost", people="40").status_code == 200
    again = {**form, **NAME, "choice": "open", "what": "a laptop is lost"}
    assert requests.post(dpo.link(), data=again, timeout=60).status_code == 422, "that form was sent"
    (made,) = there.service.read(incidents)
    assert (made.stage, made.people, made.aware_at) == (Stage.OPEN, 40, there.clock.now())
    assert get(f"{link(there, STATUS, Role.OPERATOR)}/I-new/decide").status_code == 404
    there.sound()


def test_who_was_asked_for_a_step_hears_once_that_it_is_recorded_another_way(there: Installation) -> None:
    made, early = came(there), came(there)
    there.drive(DAY)
    step(there, "acknowledge", early, told(there))
    there.drive(6 * DAY)
    dpo = Person(there)
    assert dpo.mails("not acknowledged after seven days") != []
    assert dpo.mails("Already recorded") == []
    step(there, "acknowledge", made, told(there))
    there.drive(HOUR)
    (mail,) = dpo.mails("Already recorded")
    assert made.id in str(mail.get_content())
    assert early.id not in str(mail), "nobody was asked about this one"
    assert "the person was told that it came" in str(mail.get_content())
    step(there, "progress", made, told(there))
    there.drive(DAY)
    assert len(dpo.mails("Already recorded")) == 1, "nobody was asked for the next step"


def test_an_incident_that_was_proposed_is_followed_up_when_it_is_dismissed_by_command(there: Installation) -> None:
    made = opened(there)
    there.drive(49 * HOUR)
    service, how = there.service, Closing(Finding.NOT_A_BREACH)
    why = Commander("Dana Officer", "dana", "found again")
    service.write(lambda unit: close(unit, service.controller, made.id, how, why, there.clock.now()))
    there.drive(HOUR)
    (mail,) = Person(there).mails("Already recorded")
    assert f"{made.id}: it is closed" in str(mail.get_content())


def test_a_right_that_is_asked_for_in_a_complaint_is_recorded_by_link(there: Installation) -> None:
    dpo = Keeper(there, f"{link(there, STATUS)}/C-new")
    dpo.look()
    given = {"on": "2026-11-18", "channel": "phone", "topic.marketing": "yes", "contains": "opt_out"}
    assert dpo.record("received", **given).status_code == 422
    assert "email address, or their id" in dpo.page.text
    assert dpo.record("received", **given, email="nobody").status_code == 422
    assert "cannot be recorded" in dpo.page.text
    assert there.rows(t.request) == []
    assert dpo.record("received", **given, email="ada.canary@example.org").status_code == 200
    (request,), (made,) = there.rows(t.request), there.service.read(complaints)
    assert (request.right, request.received_at) == (Right.OPT_OUT, made.received_at)
    assert (made.contains, made.about) == ("opt_out", (request.id,))
    there.sound()
