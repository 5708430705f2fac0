"""Mailchimp lists whom it holds: whoever is back there unseen is found, and nothing is done but an opt-out told on."""

import io
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import md5
from itertools import count
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import update

from dpsync.__main__ import main as dpsync
from dpsync.cli.check_lines import CheckResult
from dpsync.cli.check_sources import roster_lines
from dpsync.connector import RosterLine
from dpsync.intake.reconciliation import findings
from dpsync.intake.reconciliation.comparison import ListComparison
from dpsync.intake.reconciliation.findings import OpenFinding
from dpsync.intake.reconciliation.judging import Brake
from dpsync.intake.sweeping.nightly import Nightly
from dpsync.intake.sweeping.resumption import KEPT
from dpsync.intake.sweeping.sweep import PAGE as AT_ONCE
from dpsync.intake.sweeping.sweep import Sweep, sweep_of
from dpsync.intake.sweeping.telling import likely_cause
from dpsync.model import Right
from dpsync.propagation.decisions import Person
from dpsync.reports.reconciled import SWEPT, ListState, reconciliation_duties, standings
from dpsync.sandbox.mailchimp.api import Mailchimp
from dpsync.store import tables as t
from dpsync.store.reconciling_tables import source_finding
from tests.journeys.installation import NEWSLETTER, Installation, installed, sqlite_url

DAY = timedelta(days=1)
DANA = Person("Dana Officer", "dana", "seen in the app")
ADA, BEN, CLEO, DEV, EVE = (f"{name}@example.org" for name in ("ada", "ben", "cleo", "dev", "eve"))
PAGE = {"method": "GET", "template": "/lists/{list_id}/members"}
MEMBER = {"method": "GET", "template": "/lists/{list_id}/members/{subscriber_hash}"}


class Swept:
    """An installation, and the vendor's own web app."""

    def __init__(self, there: Installation) -> None:
        self.there = there
        (self.audience,) = there.sandbox.audiences()[:1]

    def done(self, right: Right, address: str, **more: object) -> None:
        """What was asked for somebody whom the vendor holds, and was carried out there."""
        if not self.there.sandbox.holds(address):
            self.there.sandbox.add(address)
        self.there.ask(right, address, id=f"crm:{address.partition('@')[0]}", **more)
        self.there.drive()

    def becomes(self, status: str, *addresses: str) -> None:
        """Somebody sets it by hand, or brings the person back."""

        def do(vendor: Mailchimp) -> None:
            held = next(iter(vendor.accounts.values())).audiences[self.audience]
            for address in addresses:
                key = md5(address.encode(), usedforsecurity=False).hexdigest()
                held.forgotten.discard(key)
                if key not in held.members:
                    held.add(address, "subscribed", {}, "")
                held.members[key].status = status
                held.members[key].last_changed = self.there.clock.now().isoformat(timespec="seconds")

        self.there.sandbox.there(do)

    def sweep(self, *, dry: bool = False, released: int | None = None) -> ListComparison:
        return sweep_of(self.there.service, "newsletter", released).run(self.there.clock.now(), dry=dry)

    def waiting(self) -> list[OpenFinding]:
        keys = self.there.service.keys
        return self.there.service.read(lambda connection: findings.waiting(connection, keys, ["observed:newsletter"]))

    def found(self) -> list[tuple[str, str]]:
        return sorted((one.kind.value, one.right) for one in self.waiting())

    def asked(self) -> list[tuple[str, str]]:
        return [(row.source, row.right) for row in self.there.rows(t.request)]


@contextmanager
def opened(folder: Path, database_url: str, processors: str = NEWSLETTER) -> Iterator[Swept]:
    with installed(folder, database_url, processors=processors) as there:
        yield Swept(there)


def told_by_marks_alone(place: Swept) -> None:
    """With who wrote there last, and no name anywhere."""
    (alert,) = [one for one in place.there.told() if one.cause == "back-at-processor"]
    assert (alert.role, len(alert.concerns)) == ("dpo", 3)
    assert all("changed last on" in one and "came there by: API - Generic" in one for one in alert.concerns)
    kept = "".join(map(str, [*place.there.told(), *place.there.rows(source_finding), *place.there.rows(t.entry)]))
    for address in (ADA, BEN, CLEO, DEV):
        assert address not in kept
        assert md5(address.encode(), usedforsecurity=False).hexdigest() not in kept
    entries = [json.loads(row.body) for row in place.there.rows(t.entry)]
    swept = sorted((one["cause"], one["right"], one["name"]) for one in entries if one.get("kind") == "swept")
    assert [(cause, right) for cause, right, _ in swept] == [
        ("contactable", "opt_out"),
        ("contactable", "restriction"),
        ("missed", "opt_out"),
        ("returned", "erasure"),
    ]
    assert all(place.audience in one.record for one in place.waiting())


@pytest.fixture
def place(tmp_path: Path, sqlite_template: Path) -> Iterator[Swept]:
    shutil.copy(sqlite_template, tmp_path / "dpsync.db")
    with opened(tmp_path, sqlite_url(tmp_path)) as made:
        yield made


@pytest.fixture
def on_both(tmp_path: Path, database_url: str) -> Iterator[Swept]:
    with opened(tmp_path, database_url) as made:
        yield made


def plant(place: Swept) -> None:
    """One of each, and somebody whom nothing was asked for."""
    for right, address in ((Right.ERASURE, ADA), (Right.OPT_OUT, BEN), (Right.RESTRICTION, CLEO)):
        place.done(right, address)
    place.becomes("subscribed", EVE)
    place.there.clock.advance(3 * DAY)
    assert place.sweep().standing.differ == 0, "all is as it was asked"
    place.becomes("subscribed", ADA, BEN, CLEO)
    place.becomes("unsubscribed", DEV)


def test_whoever_is_back_is_found_once_and_an_opt_out_alone_is_acted_on(on_both: Swept) -> None:
    place = on_both
    plant(place)
    found = place.sweep()
    assert (found.why, found.standing.state) == ("", ListState.COMPARED)
    assert found.new == {"returned": 1, "contactable": 2, "missed": 1}
    assert (found.standing.listed, found.standing.agree, found.standing.differ) == (5, 1, 4)
    assert place.asked()[3:] == [("observed:newsletter", "opt_out")]
    waits = [("contactable", "opt_out"), ("contactable", "restriction"), ("returned", "erasure")]
    assert place.found() == [*waits[:2], ("missed", "opt_out"), waits[2]]
    told_by_marks_alone(place)
    asked, told = place.asked(), place.there.told()
    assert place.sweep().new == {}
    assert (place.asked(), place.there.told(), place.found()) == (asked, told, waits), "found once, and told once"
    place.becomes("archived", BEN, CLEO)
    assert place.sweep().closed == 2
    assert place.found() == [("returned", "erasure")]
    place.there.sound()


def test_a_finding_that_may_stay_is_asked_again_only_when_the_record_changes(place: Swept) -> None:
    place.done(Right.OPT_OUT, BEN)
    place.there.clock.advance(DAY)
    place.becomes("subscribed", BEN)
    place.sweep()
    (one,) = place.waiting()
    service = place.there.service
    assert service.write(lambda unit: findings.leave(unit, service.keys, one.key, DANA, place.there.clock.now()))
    assert (place.sweep().new, place.found()) == ({}, [])
    place.becomes("archived", BEN)
    place.sweep()
    place.becomes("subscribed", BEN)
    assert place.sweep().new == {}, "it says what it said"


def test_whoever_was_forgotten_is_found_by_the_pseudonym_that_stays(place: Swept) -> None:
    place.done(Right.ERASURE, ADA)
    place.there.clock.advance(DAY)
    gone = {"sealed": None, "wrapped_key": None, "shredded_at": place.there.clock.now()}
    place.there.service.write(lambda unit: unit.connection.execute(update(t.request).values(gone)) and None)
    place.becomes("archived", ADA)
    assert place.sweep().new == {"returned": 1}, "an archived contact is held, too"


def test_what_is_on_its_way_is_no_finding(place: Swept) -> None:
    place.there.sandbox.add(BEN)
    place.there.ask(Right.OPT_OUT, BEN)
    assert place.sweep().new == {}, "asked, and not told yet"
    place.there.drive()
    place.becomes("subscribed", BEN)
    assert place.sweep().new == {}, "the list may be older than what was done"
    place.there.clock.advance(DAY)
    assert place.sweep().new == {"contactable": 1}


def test_what_we_brought_about_is_no_new_wish_and_what_may_be_ours_is_asked(place: Swept) -> None:
    place.done(Right.RESTRICTION, CLEO)
    place.there.clock.advance(DAY)
    place.done(Right.RESTRICTION, CLEO, lifted={"told_on": "2026-11-20", "how": "a letter"})
    place.there.clock.advance(DAY)
    place.becomes("unsubscribed", CLEO)  # as the operator's task says
    assert place.sweep().new == {"missed": 1}
    assert [source for source, _ in place.asked()] == ["crm", "crm"]
    assert place.found() == [("missed", "opt_out")]


def test_what_an_attempt_of_ours_left_behind_is_no_wish(place: Swept) -> None:
    place.done(Right.RESTRICTION, CLEO)
    place.becomes("unsubscribed", CLEO)  # at the same moment
    place.there.clock.advance(DAY)
    assert place.sweep().new == {"contactable": 1}


def test_an_erasure_that_is_held_stops_no_mailing_so_an_opt_out_is_heard(place: Swept) -> None:
    for number, right in enumerate((Right.RECTIFICATION, Right.ERASURE)):
        more = {"changes": {"first_name": "Ben"}} if right is Right.RECTIFICATION else {}
        place.there.ask(right, BEN, id=f"crm:{number}", **more)
    place.becomes("unsubscribed", BEN)
    place.there.clock.advance(DAY)
    assert place.sweep().new == {"missed": 1}
    assert place.asked()[-1] == ("observed:newsletter", "opt_out")


def test_a_processor_that_was_never_told_holds_nobody_who_was_erased(place: Swept) -> None:
    place.done(Right.ERASURE, ADA)
    elsewhere = update(t.propagation).values(processor="older")
    place.there.service.write(lambda unit: unit.connection.execute(elsewhere) and None)
    place.becomes("subscribed", ADA)
    assert place.sweep().new == {}, "it was done a moment ago"
    place.there.clock.advance(DAY)
    assert place.sweep().new == {"returned": 1}


def test_a_record_that_shows_no_address_is_not_known_and_closes_nothing(place: Swept) -> None:
    place.done(Right.OPT_OUT, BEN)
    place.there.clock.advance(DAY)
    place.becomes("subscribed", BEN, EVE)
    place.sweep()

    def do(vendor: Mailchimp) -> None:
        held = next(iter(vendor.accounts.values())).audiences[place.audience]
        for member in held.members.values():
            member.email_address = ""

    place.there.sandbox.there(do)
    found = place.sweep()
    assert (found.standing.not_known, found.standing.agree, found.closed) == (2, 0, 0)
    assert place.found() == [("contactable", "opt_out")]


def test_an_opt_out_that_is_not_so_when_it_is_read_again_is_dropped_and_an_unusable_one_is_asked(place: Swept) -> None:
    place.becomes("unsubscribed", EVE)
    place.there.sandbox.fault("status", status=404, times=1, **MEMBER)
    assert place.sweep().new == {"missed": 1}
    assert (place.asked(), place.found(), place.there.told()) == ([], [], [])
    place.becomes("archived", EVE)
    place.becomes("unsubscribed", "eve@[192.0.2.1]")
    for new in ({"missed": 1}, {}):
        assert place.sweep().new == new
    assert (place.asked(), place.found()) == ([], [("missed", "opt_out")])


def test_it_rests_after_each_page_so_that_it_takes_its_share_alone(
    place: Swept, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.becomes("subscribed", EVE)
    slept: list[float] = []
    with slow(place, monkeypatch):
        one = Sweep(place.there.service, "newsletter", Brake(50, 10), 25, slept.append)
        assert one.run(place.there.clock.now()).why == ""
    assert len(slept) == 1
    assert slept[0] >= 180, "a minute of calls, and three of rest"
    assert slept[0] % 180 == 0


def test_somebody_known_who_left_there_by_themselves_is_heard(place: Swept) -> None:
    place.done(Right.RECTIFICATION, BEN, changes={"first_name": "Ben"})
    place.there.clock.advance(DAY)
    place.becomes("unsubscribed", BEN)
    place.sweep()
    assert place.asked()[-1] == ("observed:newsletter", "opt_out")


def test_too_much_stops_it_changes_nothing_and_asks(tmp_path: Path, sqlite_template: Path) -> None:
    shutil.copy(sqlite_template, tmp_path / "dpsync.db")
    with opened(tmp_path, sqlite_url(tmp_path), NEWSLETTER + "sweep = {{ most = 3 }}\n") as place:
        stop(place)


def stop(place: Swept) -> None:
    place.becomes("unsubscribed", *(f"p{number}@example.org" for number in range(4)))
    before = place.there.rows(t.entry)
    assert place.sweep(dry=True).standing.state is ListState.STOPPED
    assert place.there.told() == []
    assert place.sweep().standing.state is ListState.STOPPED
    assert (place.asked(), place.found(), place.there.rows(t.entry)) == ([], [], before)
    (alert,) = place.there.told()
    assert (alert.cause, "more than 3" in alert.text) == ("not-swept", True)
    cause = "; of 4 of them 4 came there by API - Generic, 4 were changed last on Fri 20 Nov 2026"
    assert any(cause in one for one in alert.concerns)
    assert place.sweep(released=4).standing.state is ListState.COMPARED
    assert len(place.asked()) == 4


def test_the_likely_cause_is_what_most_of_them_have_in_common() -> None:
    at = datetime(2026, 11, 20, 23, 30, tzinfo=UTC)

    def lines(*said: tuple[str, datetime | None]) -> list[RosterLine]:
        return [
            RosterLine("list", str(number), "", mailed=True, used=True, opted_out=False, changed_at=when, by=how)
            for number, (how, when) in enumerate(said)
        ]

    zone = ZoneInfo("Europe/Berlin")
    assert likely_cause([], zone) == ""
    assert likely_cause(lines(("Import", None), ("Form", at)), zone) == "", "half of them are not most"
    assert likely_cause(lines(("", None), ("", None), ("Form", at)), zone) == ""
    most = lines(("Import", at), ("Import", at + DAY), ("Form", at))
    assert likely_cause(most, zone) == "; of 3 of them 2 came there by Import, 2 were changed last on Sat 21 Nov 2026"


def test_a_share_of_the_list_is_too_much_also_where_it_is_few(place: Swept) -> None:
    for number in range(90):
        place.there.sandbox.add(f"q{number}@example.org")
    place.becomes("unsubscribed", *(f"p{number}@example.org" for number in range(11)))
    found = place.sweep()
    assert (found.standing.state, "11 of 101" in found.why) == (ListState.STOPPED, True)
    assert place.asked() == []


def test_a_list_that_cannot_be_read_whole_is_not_known_and_never_clean(place: Swept) -> None:
    place.becomes("subscribed", EVE)
    place.becomes("unsubscribed", DEV)
    place.there.sandbox.fault("status", status=500, times=1, **PAGE)
    found = place.sweep()
    assert (found.standing.state, found.standing.agree, found.standing.not_known) == (ListState.UNKNOWN, 0, 1)
    assert (place.asked(), place.found()) == ([], [])
    assert [one.cause for one in place.there.told()] == ["not-swept"]
    place.there.sandbox.clear_faults()
    place.there.sandbox.fault("status", status=500, times=1, **MEMBER)
    assert "read again" in place.sweep().why
    assert (place.asked(), place.found()) == ([], [])
    place.there.sandbox.clear_faults()
    assert place.sweep().new == {"missed": 1}


def test_an_account_that_is_stopped_is_not_read(place: Swept) -> None:
    place.done(Right.OPT_OUT, BEN)

    def becomes(**values: object) -> None:
        place.there.service.write(lambda unit: unit.connection.execute(update(t.account).values(values)) and None)

    for stopped in ("person", "credential"):
        becomes(stopped=stopped)
        assert "stopped" in place.sweep().why
    becomes(stopped="", paused_until=place.there.clock.now() + DAY)
    assert "asked to wait" in place.sweep().why
    place.there.clock.advance(2 * DAY)
    assert place.sweep().why == ""


def test_the_command_counts_and_says_by_its_code_whether_a_person_must_look(
    place: Swept, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in place.there.environ.items():
        monkeypatch.setenv(name, value)
    config = ["--config", str(place.there.folder / "dpsync.toml")]
    place.there.sandbox.add(EVE)
    assert dpsync([*config, "sweep"]) == 0
    assert capsys.readouterr().out == "newsletter: 1 agree, 0 differ, 0 not known\n"
    plant(place)
    before = place.there.rows(t.entry)
    assert dpsync([*config, "sweep", "newsletter", "--dry-run"]) == 2
    assert place.there.rows(t.entry) == before
    assert "new: 1 returned erasure" in capsys.readouterr().out
    assert dpsync([*config, "sweep", "--json"]) == 2
    (said,) = json.loads(capsys.readouterr().out)["sweeps"]
    assert said["new"] == {
        "returned_erasure": 1,
        "contactable_restriction": 1,
        "contactable_opt_out": 1,
        "missed_opt_out": 1,
    }
    assert dpsync([*config, "source", "findings", "newsletter"]) == 0
    shown = capsys.readouterr().out
    assert "was erased there" in shown
    assert "example.org" not in shown
    assert dpsync([*config, "sweep", "nobody"]) == 64
    assert dpsync([*config, "sweep", "--at-most", "9", "--by", "Dana", "--reason", "x"]) == 64
    assert dpsync([*config, "sweep", "newsletter", "--at-most", "9", "--by", "Dana Officer", "--reason", "seen"]) == 2


NIGHTLY = NEWSLETTER + "sweep = {{ share = 100 }}\n"


@pytest.fixture
def nightly(tmp_path: Path, sqlite_template: Path) -> Iterator[Swept]:
    shutil.copy(sqlite_template, tmp_path / "dpsync.db")
    with opened(tmp_path, sqlite_url(tmp_path), NIGHTLY) as made:
        made.becomes("subscribed", *(f"p{number}@example.org" for number in range(AT_ONCE + 1)))
        yield made


def last(place: Swept) -> datetime | None:
    found = place.there.service.read(partial(standings, kept=SWEPT)).get("newsletter")
    return found.at if found else None


@contextmanager
def slow(place: Swept, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each look at the clock takes a minute, so that a page takes all the time there is."""
    minutes = count(step=60.0)
    with monkeypatch.context() as patch:
        patch.setattr(place.there.clock, "monotonic", lambda: next(minutes))
        yield


def test_a_nightly_sweep_takes_some_seconds_of_a_minute_and_one_worker_does_it(
    nightly: Swept, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, clock = nightly.there.service, nightly.there.clock
    one, other = Nightly(service), Nightly(service)
    begun = clock.now()
    with slow(nightly, monkeypatch):
        one.go_on(begun)
        other.go_on(begun)
        clock.advance(timedelta(minutes=1))
        assert last(nightly) is None, "one page is read, and the other worker leaves it alone"
        for _ in range(2):
            one.go_on(clock.now())
    assert last(nightly) == begun
    calls = nightly.there.sandbox.calls()
    for worker in (one, other):
        worker.go_on(clock.now())
    assert nightly.there.sandbox.calls() == calls, "once a night"
    clock.advance(DAY)
    other.go_on(clock.now())
    assert last(nightly) == clock.now()


def test_whoever_dies_in_a_sweep_keeps_nobody_from_beginning_anew(
    nightly: Swept, monkeypatch: pytest.MonkeyPatch, log_stream: io.StringIO
) -> None:
    clock = nightly.there.clock
    with slow(nightly, monkeypatch):
        Nightly(nightly.there.service).go_on(clock.now())
    Nightly(nightly.there.service).go_on(clock.now())
    assert last(nightly) is None
    assert "interrupted" not in log_stream.getvalue()
    clock.advance(timedelta(minutes=11))
    Nightly(nightly.there.service).go_on(clock.now())
    assert last(nightly) == clock.now()
    assert "interrupted before its end" in log_stream.getvalue()


@pytest.fixture
def in_pages(nightly: Swept, monkeypatch: pytest.MonkeyPatch) -> Swept:
    """The vendor shows a hundred contacts a call, and the first of them is of somebody who had opted out."""
    monkeypatch.setattr("dpsync.connectors.mailchimp.roster.PAGE", 100)
    nightly.done(Right.OPT_OUT, "p0@example.org")
    nightly.there.clock.advance(3 * DAY)
    nightly.becomes("subscribed", "p0@example.org")
    nightly.becomes("unsubscribed", "p1@example.org")
    return nightly


def dies(place: Swept, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the first minute."""
    with slow(place, monkeypatch):
        Nightly(place.there.service).go_on(place.there.clock.now())
    place.there.clock.advance(timedelta(minutes=11))


def pages(place: Swept) -> int:
    return place.there.sandbox.there(lambda vendor: sum("/members" in one.endpoint for one in vendor.journal.calls))


def under_way(place: Swept) -> list[object]:
    return [one for one in place.there.rows(t.shelf) if one.processor == KEPT]


def test_whoever_takes_over_goes_on_where_the_dead_one_was(
    in_pages: Swept, monkeypatch: pytest.MonkeyPatch, log_stream: io.StringIO
) -> None:
    place, clock = in_pages, in_pages.there.clock
    dies(place, monkeypatch)
    (kept,) = under_way(place)
    assert "example.org" not in str(kept), "what it holds is sealed"
    dies(place, monkeypatch)
    before = pages(place)
    Nightly(place.there.service).go_on(clock.now())
    assert "goes on where it was interrupted" in log_stream.getvalue()
    assert (pages(place) - before, under_way(place)) == (8, []), "two calls of ten less, and the opt-out again"
    standing = place.there.service.read(partial(standings, kept=SWEPT))["newsletter"]
    assert (standing.listed, standing.agree, standing.differ) == (AT_ONCE + 1, AT_ONCE - 1, 2)
    assert place.found() == [("contactable", "opt_out"), ("missed", "opt_out")]
    assert place.asked()[1:] == [("observed:newsletter", "opt_out")]
    place.there.clock.advance(DAY)
    Nightly(place.there.service).go_on(clock.now())
    assert place.found() == [("contactable", "opt_out")], "found once, and the other has become a request"
    assert len(place.asked()) == 2


def test_where_the_list_moved_too_much_or_it_is_too_late_it_begins_anew(
    in_pages: Swept, monkeypatch: pytest.MonkeyPatch, log_stream: io.StringIO
) -> None:
    place, clock = in_pages, in_pages.there.clock
    dies(place, monkeypatch)

    def leave(vendor: Mailchimp) -> None:
        members = next(iter(vendor.accounts.values())).audiences[place.audience].members
        for key in list(members)[60:100]:
            del members[key]

    place.there.sandbox.there(leave)
    Nightly(place.there.service).go_on(clock.now())
    assert "the list moved meanwhile: begins anew" in log_stream.getvalue()
    standing = place.there.service.read(partial(standings, kept=SWEPT))["newsletter"]
    assert (standing.state, standing.listed, standing.differ) == (ListState.COMPARED, AT_ONCE - 39, 2)
    clock.advance(DAY)
    log_stream.truncate(0)
    dies(place, monkeypatch)
    assert under_way(place) != []
    clock.advance(timedelta(hours=12))
    Nightly(place.there.service).go_on(clock.now())
    assert "goes on" not in log_stream.getvalue()
    assert last(place) == clock.now()


def test_what_nobody_goes_on_with_is_forgotten(in_pages: Swept, monkeypatch: pytest.MonkeyPatch) -> None:
    place, clock = in_pages, in_pages.there.clock
    dies(place, monkeypatch)
    place.there.restart(("sweep = { share = 100 }", ""))
    for minutes, left in ((708, 1), (1, 0)):  # and 11 before
        clock.advance(timedelta(minutes=minutes))
        Nightly(place.there.service).go_on(clock.now())
        assert len(under_way(place)) == left


def test_by_hand_it_goes_on_only_where_that_is_asked_for(in_pages: Swept, monkeypatch: pytest.MonkeyPatch) -> None:
    place = in_pages
    for resume, read in ((False, 10 + 1), (True, 8)):
        dies(place, monkeypatch)
        before = pages(place)
        sweep_of(place.there.service, "newsletter", resume=resume).run(place.there.clock.now(), dry=True)
        assert pages(place) - before == 10, "to look only, it reads all"
        before = pages(place)
        sweep_of(place.there.service, "newsletter", resume=resume).run(place.there.clock.now())
        assert pages(place) - before == read
        place.there.clock.advance(DAY)


def test_a_sweep_that_never_comes_to_its_end_is_a_problem(nightly: Swept) -> None:
    clock = nightly.there.clock
    Nightly(nightly.there.service).go_on(clock.now())
    clock.advance(2 * DAY)
    assert [one.verdict for one in roster_lines(nightly.there.service)] == [CheckResult.OK]
    clock.advance(timedelta(minutes=1))
    (line,) = roster_lines(nightly.there.service)
    assert (line.verdict, line.code, "no sweep came to its end since" in line.text) == (
        CheckResult.PROBLEM,
        "DP-326",
        True,
    )


def test_check_and_report_show_the_numbers(nightly: Swept) -> None:
    nightly.done(Right.OPT_OUT, BEN)
    nightly.there.clock.advance(DAY)
    nightly.becomes("subscribed", BEN)
    service = nightly.there.service
    (before,) = roster_lines(service)
    assert "502 agree, 0 differ" in before.text, "the job ran when the service was driven"
    Nightly(service).go_on(nightly.there.clock.now())
    (line,) = roster_lines(service)
    assert (line.what, line.verdict, line.code) == ("processor newsletter, people", CheckResult.PROBLEM, "DP-326")
    assert "501 agree, 1 differ, 0 not known" in line.text
    assert "1 difference, see `dpsync source findings`" in line.text
    (duty,) = service.read(reconciliation_duties)
    assert duty.command == "dpsync source findings newsletter"
