"""Somebody unsubscribes at Mailchimp: every other processor hears of it, and what dpsync did itself is no new wish."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import md5
from pathlib import Path
from typing import Any

import pytest
import requests

from dpsync.model import Right, State
from dpsync.sandbox.main_database import MainDatabase, running_main_database
from dpsync.store import tables as t
from dpsync.store.callback_tables import callback
from tests.faults.counting import Counted
from tests.journeys.calledback import SOURCE
from tests.journeys.installation import FORMS, INBOUND, KEY, NEWSLETTER, SECRET, Installation, installed
from tests.waiting import until

HEARS = NEWSLETTER + 'inbound_secret = {{ env = "DPSYNC_TEST_INBOUND" }}\n' + FORMS
ADA = "ada@example.org"


class Place:
    """An installation, and the vendor as a person who subscribes and unsubscribes sees it."""

    def __init__(self, there: Installation) -> None:
        self.there = there
        (self.audience,) = there.sandbox.audiences()[:1]
        self._base = f"{there.sandbox.addresses.mailchimp_url}/lists/{self.audience}"

    def api(self, method: str, path: str, **body: Any) -> Any:
        answer = requests.request(method, f"{self._base}{path}", json=body, auth=("x", KEY), timeout=60)
        assert answer.ok, answer.text
        return answer.json() if answer.content else None

    def becomes(self, status: str, address: str = ADA) -> None:
        self.api("PATCH", f"/members/{md5(address.encode(), usedforsecurity=False).hexdigest()}", status=status)

    def hook(self, address: str = ADA, *, at: datetime | None = None, **more: str) -> int:
        """What the audience's webhook sends; gives the answer's status."""
        form = {
            "type": "unsubscribe",
            "fired_at": f"{(at or self.there.clock.now()).astimezone(UTC):%Y-%m-%d %H:%M:%S}",
            "data[action]": "unsub",
            "data[reason]": "manual",
            "data[email]": address,
            "data[list_id]": self.audience,
        } | {name.replace("_", "[", 1) + "]" if "_" in name else name: value for name, value in more.items()}
        url = f"{self.there.url}/in/newsletter/{INBOUND}"
        return requests.post(url, data=form, timeout=60).status_code

    def asked(self) -> list[tuple[str, str]]:
        return [(row.source, row.right) for row in self.there.rows(t.request)]


@contextmanager
def opened(folder: Path, database_url: str) -> Iterator[Place]:
    with installed(folder, database_url, processors=HEARS, web=True) as there:
        there.sandbox.add(ADA)
        yield Place(there)


@pytest.mark.no_database
def test_an_opt_out_there_is_told_everywhere_once(tmp_path: Path, database_url: str) -> None:
    with opened(tmp_path, database_url) as place:
        place.becomes("unsubscribed")
        assert [place.hook(), place.hook()] == [200, 200]
        assert place.asked() == [("observed:newsletter", "opt_out")]
        place.there.drive()
        assert {row.processor: row.state for row in place.there.rows(t.propagation)} == {
            "newsletter": State.VERIFIED.value,
            "forms": State.HELD.value,  # its contact has not confirmed the address yet
        }
        assert [one.cause for one in place.there.told()].count("observed") == 1
        assert ADA not in "".join(one.text + one.body for one in place.there.told())
        place.there.sound()


@pytest.mark.no_database
@pytest.mark.fault(45)
def test_a_hint_that_is_not_so_there_is_no_wish(tmp_path: Path, database_url: str, counted: Counted) -> None:
    with opened(tmp_path, database_url) as place:
        assert place.hook() == 200, "still subscribed"
        assert place.hook("nobody@example.org") == 200, "unknown there"
        place.becomes("unsubscribed")
        assert place.hook(data_action="delete") == 200, "archived by somebody"
        assert place.hook(type="profile") == 200
        moved = {"data_old_email": ADA, "data_new_email": "somebody.else@example.org", "data_new_id": "0a1b2c"}
        assert place.hook(at=None, type="upemail", **moved) == 200, "whose address it is only the main database says"
        assert place.hook(type="cleaned", data_reason="hard") == 200
        assert place.hook(type="subscribe") == 200
        assert place.hook(data_email="") == 422
        assert place.hook(data_list_id="../x") == 422
        assert requests.post(f"{place.there.url}/in/newsletter/{INBOUND}", data=b"", timeout=60).status_code == 200
        assert place.asked() == []
        counted(45, requests_opened=len(place.asked()))


@pytest.mark.no_database
def test_what_we_brought_about_ourselves_is_nobodys_new_wish_also_days_later(tmp_path: Path, database_url: str) -> None:
    with opened(tmp_path, database_url) as place:
        # All sources: what our own calls bring about comes back, too.
        events, every = {"unsubscribe": True}, {"user": True, "admin": True, "api": True}
        url = f"{place.there.url}/in/newsletter/{INBOUND}"
        place.api("POST", "/webhooks", url=url, events=events, sources=every)
        place.there.ask(Right.OPT_OUT, ADA)
        place.there.drive(timedelta(days=2))
        until(lambda: place.there.sandbox.there(lambda vendor: len(vendor.webhooks.deliveries)))
        place.there.clock.advance(timedelta(days=5))
        assert place.hook() == 200
        assert [right for _, right in place.asked()] == ["opt_out"]


@pytest.mark.no_database
def test_whoever_came_back_and_opts_out_again_is_heard_again(tmp_path: Path, database_url: str) -> None:
    with opened(tmp_path, database_url) as place:
        place.there.ask(Right.OPT_OUT, ADA)
        place.there.drive()
        place.there.clock.advance(timedelta(days=20))
        place.becomes("subscribed")
        place.there.clock.advance(timedelta(days=20))
        place.becomes("unsubscribed")
        assert place.hook() == 200
        assert [source for source, _ in place.asked()] == ["crm", "observed:newsletter"]
        place.there.drive()
        place.there.sound()


@pytest.mark.parametrize("right", [Right.OPT_OUT, Right.ERASURE])
def test_what_the_main_database_asked_for_since_is_not_asked_again(
    tmp_path: Path, database_url: str, right: Right
) -> None:
    with opened(tmp_path, database_url) as place:
        place.becomes("unsubscribed")
        place.there.ask(right, ADA)
        assert place.hook() == 200
        assert len(place.asked()) == 1


@pytest.mark.no_database
def test_where_the_vendor_does_not_answer_it_is_to_send_the_hint_again(tmp_path: Path, database_url: str) -> None:
    with opened(tmp_path, database_url) as place:
        place.becomes("unsubscribed")
        member = {"method": "GET", "template": "/lists/{list_id}/members/{subscriber_hash}"}
        place.there.sandbox.fault("status", status=500, times=50, **member)
        assert place.hook() == 503
        assert place.asked() == []
        place.there.sandbox.release()
        place.there.sandbox.clear_faults()
        assert place.hook() == 200
        assert len(place.asked()) == 1


@pytest.mark.no_database
def test_an_erasure_that_is_held_stands_in_for_no_opt_out_for_it_may_be_refused(
    tmp_path: Path, database_url: str
) -> None:
    with opened(tmp_path, database_url) as place:
        place.there.ask(Right.RESTRICTION, ADA, id="crm-1")
        place.there.ask(Right.ERASURE, ADA, id="crm-1")  # held: a restriction is in force
        place.becomes("unsubscribed")
        assert place.hook() == 200
        assert place.asked()[-1] == ("observed:newsletter", "opt_out")


@pytest.mark.no_database
def test_whoever_opts_out_just_after_a_restriction_was_lifted_is_heard(tmp_path: Path, database_url: str) -> None:
    with opened(tmp_path, database_url) as place:
        place.there.ask(Right.RESTRICTION, ADA)
        place.there.drive()
        place.there.clock.advance(timedelta(days=2))
        place.there.ask(Right.RESTRICTION, ADA, lifted={"told_on": "2026-11-20", "how": "a letter"})
        place.there.drive()
        place.becomes("subscribed")
        place.becomes("unsubscribed")
        assert place.hook() == 200
        assert place.asked()[-1] == ("observed:newsletter", "opt_out")


@contextmanager
def told_back(folder: Path, database_url: str) -> Iterator[tuple[Place, MainDatabase]]:
    with running_main_database(SECRET) as crm:
        settings = HEARS + SOURCE.replace("URL", crm.url).replace("{", "{{").replace("}", "}}")
        with installed(folder, database_url, processors=settings, web=True) as there:
            crm.now = lambda: there.clock.now().timestamp()
            yield Place(there), crm


def test_the_main_database_hears_who_opted_out_by_its_own_id_or_else_by_the_address(
    tmp_path: Path, database_url: str
) -> None:
    known, unknown, family = ADA, "ben@example.org", "family@example.org"
    with told_back(tmp_path, database_url) as (place, crm):
        changes = {"first_name": "Ada"}
        place.there.ask(Right.RECTIFICATION, known, id="crm:7", changes=changes)
        for number in ("crm:8", "crm:9"):
            place.there.ask(Right.RECTIFICATION, family, id=number, changes=changes)
        for address in (known, unknown, family):
            place.there.sandbox.add(address)
            place.becomes("unsubscribed", address)
            assert [place.hook(address), place.hook(address)] == [200, 200]
        place.there.drive()
        heard = [one.data for one in crm.taken if one.kind == "dpsync.opt_out.observed"]
        assert [one["subject"] for one in heard] == [{"id": "7"}, {"email": unknown}, {"email": family}]
        assert {(one["right"], one["processor"]) for one in heard} == {("opt_out", "newsletter")}
        kept = str(place.there.rows(callback)) + str(place.there.told())
        assert not any(address in kept for address in (known, unknown, family))
        place.there.sound()


@pytest.mark.no_database
def test_whoever_opts_out_under_an_address_that_nobody_can_be_asked_for_is_a_persons_to_see_to(
    tmp_path: Path, database_url: str
) -> None:
    odd = "ada@[192.0.2.1]"
    with opened(tmp_path, database_url) as place:
        place.there.sandbox.add(odd)
        place.becomes("unsubscribed", odd)
        assert [place.hook(odd), place.hook(odd)] == [200, 200]
        assert place.asked() == []
        (alert,) = [one for one in place.there.told() if one.cause == "observed-unusable"]
        assert "Mailchimp, newsletter" in alert.text
        assert "192.0.2.1" not in alert.text + alert.body
