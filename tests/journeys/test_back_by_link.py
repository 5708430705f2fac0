"""Who came back is asked of the DPO by link: what they decide is the command's, and a click alone is nothing."""

import json
import shutil
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from dpsync.model import Right
from dpsync.propagation.questions import LINK_VALID
from dpsync.service import Service
from dpsync.store import tables as t
from dpsync.store.question_tables import question
from dpsync.store.reconciling_tables import source_finding
from tests.journeys.installation import NEWSLETTER, Installation, installed, sqlite_url
from tests.journeys.test_decisions_by_link import Person, everything
from tests.journeys.test_sweep import ADA, BEN, CLEO, DAY, Swept

GIVEN = {"name": "Dana Officer", "reason": "by the form on our page, for the newsletter"}


@pytest.fixture
def place(tmp_path: Path, sqlite_template: Path) -> Iterator[Swept]:
    shutil.copy(sqlite_template, tmp_path / "dpsync.db")
    with installed(tmp_path, sqlite_url(tmp_path), processors=NEWSLETTER, web=True) as made:
        yield Swept(made)


def back(place: Swept, *asked: tuple[Right, str]) -> Person:
    """They had asked for it, and are there again after three days; the DPO is asked."""
    for right, address in asked:
        place.done(right, address)
    place.there.clock.advance(3 * DAY)
    place.becomes("subscribed", *(address for _, address in asked))
    place.sweep()
    mailed(place)
    return Person(place.there)


def mailed(place: Swept) -> None:
    """Whoever is back makes what was done untrue, which is what all of this is about."""
    Service(place.there.service).run_once()


def today(there: Installation) -> date:
    return there.clock.now().astimezone(there.service.zone).date()


def welcomed(place: Swept) -> Sequence[dict[str, object]]:
    entries = [json.loads(row.body) for row in place.there.rows(t.entry)]
    return [one for one in entries if one.get("kind") == "welcomed"]


def text_of(page: str) -> str:
    return " ".join(page.split())


def test_one_mail_asks_about_each_person_names_nobody_and_shows_who_it_is_after_the_code(place: Swept) -> None:
    dpo = back(place, (Right.ERASURE, ADA), (Right.OPT_OUT, BEN), (Right.RESTRICTION, CLEO))
    mails = dpo.mails("Please decide: did one person come back by their own wish?")
    assert len(mails) == 2, "a restriction is not over by a new consent"
    said = text_of("".join(str(mail.get_content()) for mail in mails))
    for sentence in (
        "Example Gardens was asked to erase one person. That was done at: Mailchimp, newsletter.",
        "A record of this person is there again.",
        "Please decide: record the new consent, if they came back by their own wish",
        "If nobody decides, nothing changes there.",
        "dpsync source leave",
    ):
        assert sentence in said
    for name in ("ada@", "ben@", "legal date", "If you approve"):
        assert name not in said
    before = everything(place.there)
    assert (dpo.get().status_code, BEN in dpo.page.text) == (200, False)
    assert everything(place.there) == before, "a mail scanner changes nothing"
    page = text_of(dpo.look().text)
    assert "Did this person come back by their own wish?" in page
    assert (ADA in page) is not (BEN in page)
    assert "dpsync subscribes nobody" in page
    for other in ("Extend the legal date", "tell the processor again", "Somebody must answer the person"):
        assert other not in page
    place.sweep()
    mailed(place)
    assert len(place.there.rows(question)) == 2, "asked once"
    place.there.clock.advance(LINK_VALID)
    mailed(place)
    place.sweep()
    mailed(place)
    assert [row.outcome for row in place.there.rows(question)] == ["expired"] * 2 + [""] * 2, "and anew"


def test_a_new_consent_is_recorded_with_its_proof_and_nobody_is_asked_again(place: Swept) -> None:
    dpo, there = back(place, (Right.OPT_OUT, BEN)), place.there
    dpo.look()
    sent = {"choice": "welcome", "text": "Yes, write to me", **GIVEN}
    assert "Please give the day on which the person consented anew." in dpo.send("decide", sent).text
    tomorrow = {"told_on": (today(there) + timedelta(days=1)).isoformat()}
    assert "That day is still to come" in dpo.send("decide", {**sent, **tomorrow}).text
    asked_on = {"told_on": (today(there) - timedelta(days=3)).isoformat()}
    assert "was asked later, or on that day" in dpo.send("decide", {**sent, **asked_on}).text
    assert welcomed(place) == []
    calls = there.sandbox.calls()
    done = dpo.send("decide", {**sent, "told_on": today(there).isoformat()})
    assert (done.status_code, "The person is welcome again" in done.text) == (200, True)
    (said,) = welcomed(place)
    assert (said["told_on"], said["n"]) == (today(there).isoformat(), 1)
    assert (said["digest"], len(str(said["by"]))) == (sha256(b"Yes, write to me").hexdigest(), 64)
    assert there.sandbox.calls() == calls, "nothing is done anywhere"
    assert dpo.get().status_code == 200
    assert "decided" in dpo.page.text
    mailed(place)
    assert len(dpo.mails("Your decision is recorded: did one person come back by their own wish?")) == 1
    assert (place.sweep().closed, place.found()) == (1, [])
    there.sound()


def test_what_is_somebody_elses_may_stay(place: Swept) -> None:
    dpo, there = back(place, (Right.OPT_OUT, BEN)), place.there
    dpo.look()
    assert "The record may stay" in dpo.send("decide", {"choice": "stays", **GIVEN}).text
    assert place.found() == []
    assert place.sweep().new == {}
    assert len(there.rows(t.request)) == 1


def test_what_nobody_wished_is_asked_for_once_more(place: Swept) -> None:
    dpo, there = back(place, (Right.ERASURE, ADA)), place.there
    dpo.look()
    assert "asks for the same once more" in dpo.send("decide", {"choice": "once_more", **GIVEN}).text
    newest = there.rows(t.request)[-1]
    assert (newest.right, newest.source) == ("erasure", "dpsync-link")
    mailed(place)
    assert not there.sandbox.holds(ADA)
    there.sound()


def test_what_is_gone_or_was_dealt_with_elsewhere_is_asked_no_more(place: Swept) -> None:
    dpo, there = back(place, (Right.OPT_OUT, BEN)), place.there
    place.becomes("unsubscribed", BEN)
    place.sweep()
    mailed(place)
    assert there.rows(source_finding)[0].closed_at is not None
    assert [row.outcome for row in there.rows(question)] == ["elsewhere"]
    assert len(dpo.mails("Already decided: did one person come back by their own wish?")) == 1
    assert dpo.get().status_code == 200
    assert "decided" in dpo.page.text
