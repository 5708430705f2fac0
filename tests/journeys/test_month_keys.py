"""The key of a month is destroyed once nothing that is kept needs it: then no back-up opens what is forgotten."""

import os
from contextlib import ExitStack
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import update

from dpsync import key_files, key_register
from dpsync.__main__ import main
from dpsync.backup import take, try_out
from dpsync.cases.complaints import complaints, decide, open_complaint
from dpsync.cases.values import Channel, NewComplaint, PersonTold, Result, Topic
from dpsync.errors import StoreProblem, UsageError
from dpsync.ledger.entry import decode
from dpsync.model import Right, State
from dpsync.propagation.resuming import resume
from dpsync.running import forgetting
from dpsync.running.lost_months import go_on_without
from dpsync.soundness import judge, key_problems
from dpsync.store import tables as t
from dpsync.store.upsert import insert_or_replace_all
from tests.journeys.installation import FORMS, NEWSLETTER, Asked, Installation, sqlite_url
from tests.journeys.test_forgetting import ADA, BEN, DANA, at_work, finished, later, request_of, told
from tests.journeys.test_keys import month_key
from tests.journeys.test_recovery import back_again, programs_of_the_server, the_disk_is_lost

CARA, NEW = "cara@example.org", "ada.new@example.org"
MONTH = "2026-11"


def destroyed(there: Installation) -> dict[str, str]:
    return there.service.read(lambda connection: key_register.destroyed(connection, there.service.keys))


def words_of_it(there: Installation) -> list[dict[str, str | int]]:
    """The entries that tell of a key that was destroyed."""
    said = [decode(row.body) for row in there.rows(t.entry)]
    return [one for one in said if one["event"] == "shredded" and "req" not in one]


def complain(there: Installation, one: Asked) -> None:
    now = there.clock.now()
    about = NewComplaint(now, Channel.MAIL, (Topic.DELAY,), about=(one.id,))
    there.service.write(lambda unit: open_complaint(unit, there.service.controller, about, DANA, now))


def close(there: Installation) -> None:
    """Every complaint has its outcome, and the person was told."""
    now, controller = there.clock.now(), there.service.controller
    today = PersonTold(now.astimezone(there.service.zone).date(), Channel.MAIL)
    for one in there.service.read(complaints):
        case = partial(decide, case_id=one.id, result=Result.UPHELD, told=today, person=DANA, now=now)
        there.service.write(partial(case, controller=controller))


def whole(there: Installation) -> None:
    """Nothing is missed, and all that is kept is as the ledger tells."""
    assert key_problems(there.service) == ()
    assert judge(there.service, there.clock.now(), full=True).problems == ()
    there.sound()


@pytest.mark.no_database
def test_it_goes_when_all_of_its_month_is_forgotten_and_the_back_ups_are_past_and_nobody_misses_it(
    tmp_path: Path, database_url: str
) -> None:
    with at_work(tmp_path, database_url) as there:
        one = finished(there)
        digest = there.service.keys.month_digest(MONTH)
        later(there, 35)
        assert request_of(there, one).wrapped_key is None
        later(there, 20)
        assert month_key(there).exists(), "a back-up of three weeks ago opens with it"
        assert destroyed(there) == {}
        later(there, 14)
        assert not month_key(there).exists()
        (at,) = destroyed(there).values()
        (alert,) = [one for one in there.told() if one.cause == "month-key"]
        assert alert.role == "operator"
        assert f"{MONTH}.key" in alert.text
        (said,) = words_of_it(there)
        assert (said["kind"], said["name"], said["digest"], said["n"]) == ("key", MONTH, digest, 1)
        whole(there)
        there.restart()
        whole(there)
        with pytest.raises(UsageError, match=f"destroyed on purpose on {at[:10]}"):
            go_on_without(there.service, MONTH, DANA, there.clock.now())
        later(there, 7)
        assert len(words_of_it(there)) == 1


@pytest.mark.no_database
def test_the_present_month_keeps_its_key_and_so_does_one_that_something_rests_on(
    tmp_path: Path, database_url: str
) -> None:
    with at_work(tmp_path, database_url) as there:
        finished(there)
        later(there, 35)
        later(there, 3)
        finished(there, email=BEN, id="crm-2")
        later(there, 29)
        present = f"{there.clock.now():%Y-%m}"
        names = {path.stem for path in month_key(there).parent.glob("*.key")}
        assert MONTH not in names
        assert len(names) == 1
        assert present >= max(names)
        whole(there)


def test_whoever_is_not_finished_for_long_is_wrapped_under_the_present_key_and_still_opens(
    tmp_path: Path, database_url: str
) -> None:
    with at_work(tmp_path, database_url, processors=NEWSLETTER + FORMS) as there:
        there.sandbox.add(ADA)
        one = there.ask(Right.ERASURE, ADA)
        before = request_of(there, one)
        assert before.key_month == MONTH
        later(there, 56)
        assert request_of(there, one).wrapped_key == before.wrapped_key
        later(there, 42)
        anew = request_of(there, one)
        assert anew.key_month > MONTH
        assert month_key(there, anew.key_month).exists()
        keys = there.service.keys
        opened = keys.unwrap(anew.wrapped_key, one.id, anew.key_month)
        assert opened.commit_key == keys.unwrap(before.wrapped_key, one.id, MONTH).commit_key
        whole(there)
        later(there, 21)
        later(there, 21)
        assert not month_key(there).exists()
        assert request_of(there, one).sealed is not None
        assert there.state(one, "forms") is not State.VERIFIED
        whole(there)


@pytest.mark.no_database
def test_evidence_of_a_complaint_keeps_the_key_of_its_month_and_its_wrapping(tmp_path: Path, database_url: str) -> None:
    with at_work(tmp_path, database_url) as there:
        one, other = finished(there), finished(there, email=BEN, id="crm-2")
        complain(there, one)
        later(there, 105)
        assert request_of(there, other).wrapped_key is None
        assert request_of(there, one).key_month == MONTH
        assert month_key(there).exists()


def test_evidence_of_what_is_forgotten_may_lie_in_a_back_up_so_its_key_stays(tmp_path: Path) -> None:
    with at_work(tmp_path, sqlite_url(tmp_path)) as there:
        one = finished(there)
        later(there, 35)
        assert request_of(there, one).wrapped_key is None
        complain(there, one)
        later(there, 49)
        assert month_key(there).exists()
        assert words_of_it(there) == []


@pytest.mark.parametrize("where", [pytest.param("before", marks=pytest.mark.no_database), "between"])
def test_cut_off_nothing_is_lost_and_the_next_run_goes_on(
    where: str, tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with at_work(tmp_path, database_url) as there:
        finished(there)
        later(there, 35)
        later(there, 21)
        with monkeypatch.context() as cut:
            if where == "before":
                cut.setattr(type(there.service.keys), "destroy_month", lambda *_: 1 / 0)
            else:
                cut.setattr(key_files, "destroy", lambda *_: 1 / 0)
            later(there, 13)
        assert month_key(there).exists()
        assert len(words_of_it(there)) == 1
        whole(there)
        there.restart()
        later(there, 1)
        assert not month_key(there).exists()
        assert len(words_of_it(there)) == 1
        whole(there)


def test_a_key_that_comes_back_from_a_copy_is_destroyed_again_and_another_one_is_left(tmp_path: Path) -> None:
    with at_work(tmp_path, sqlite_url(tmp_path)) as there:
        finished(there)
        copied = month_key(there).read_bytes()
        later(there, 35)
        later(there, 35)
        assert not month_key(there).exists()
        for content, stays in ((copied, False), (b"ab" * 32, True)):
            there.clock.advance(timedelta(days=1))
            month_key(there).write_bytes(content)
            month_key(there).chmod(0o600)
            assert key_problems(there.service) == ()
            forgetting.forget(there.service, there.clock.now())
            assert month_key(there).exists() is stays
            there.drive()
            assert len([one for one in there.told() if one.cause == "month-key"]) == 2


@pytest.mark.parametrize("key", ["idle-key:2026-01", "destroyed-key:2026-01"])
def test_a_spoilt_row_is_named_and_keeps_no_other_key_from_being_destroyed(tmp_path: Path, key: str) -> None:
    with at_work(tmp_path, sqlite_url(tmp_path)) as there:
        finished(there)
        there.service.keys.begin_month("2026-01")
        print_of_it = there.service.keys.month_fingerprint("2026-01")
        rows = [{"key": "key:month:2026-01", "value": print_of_it}, {"key": key, "value": "x"}]
        later(there, 42)
        there.service.write(lambda unit: insert_or_replace_all(unit.connection, t.meta, rows))
        later(there, 36)
        assert not month_key(there).exists()
        with pytest.raises(StoreProblem, match=rf"not what was written there \({key}\)"):
            forgetting.forget(there.service, there.clock.now())
        assert {one.key: one.value for one in there.rows(t.meta)}[key] == "x", "nothing is made anew in its place"


def test_a_spoilt_row_about_the_clock_stops_all_forgetting(tmp_path: Path) -> None:
    with at_work(tmp_path, sqlite_url(tmp_path)) as there:
        one = finished(there)
        later(there, 14)
        spoilt = update(t.meta).where(t.meta.c.key == "forgetting").values(value="2026-11-20T09:00:00+00:00 x")
        there.service.write(lambda unit: unit.connection.execute(spoilt))
        later(there, 42)
        assert request_of(there, one).sealed is not None
        with pytest.raises(StoreProblem, match=r"not what was written there \(forgetting\)"):
            forgetting.forget(there.service, there.clock.now())


def test_what_a_back_up_brings_back_of_a_destroyed_month_is_forgotten_again_and_looked_at_no_more(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if database_url.startswith("postgresql"):
        monkeypatch.setenv("PATH", f"{programs_of_the_server()}{os.pathsep}{os.environ['PATH']}")
    with at_work(tmp_path, database_url) as there, ExitStack() as elsewhere:
        needed = finished(there, email=CARA, id="crm-3")
        complain(there, needed)
        moved = finished(there, Right.RECTIFICATION, changes={"email": NEW})
        there.sandbox.add(BEN)
        left = there.ask(Right.OPT_OUT, BEN, id="crm-2")
        there.drive()
        (tmp_path / "backups").mkdir()
        taken = take(there.service, tmp_path / "backups")
        told(there, left)
        close(there)
        later(there, 42)
        later(there, 36)
        assert not month_key(there).exists()
        assert try_out(there.service, taken).problems == ()
        the_disk_is_lost(there, elsewhere)
        assert back_again(there, tmp_path / "backups").forgotten == 2
        assert list(destroyed(there)) == [MONTH]
        assert key_problems(there.service) == ()
        assert [request_of(there, one).sealed for one in (moved, left)] == [None, None]
        assert [row.timer for row in there.rows(t.propagation)] == ["", "", ""]
        assert request_of(there, needed).sealed is not None, "in the back-up its complaint is open"
        assert judge(there.service, there.clock.now(), full=True).problems == ()
        close(there)
        again = there.ask(Right.ERASURE, NEW)
        there.service.write(lambda unit: resume(unit.connection, ["newsletter"]))
        there.drive()
        later(there, 14)
        assert there.state(again) is State.VERIFIED
        assert request_of(there, needed).sealed is None
        assert not {one.cause for one in there.told()} & {"unopened", "receipts", "incident-proposed"}
        assert judge(there.service, there.clock.now(), full=True).problems == ()


def test_a_key_that_nobody_destroyed_is_missed_as_before_whatever_a_row_says(tmp_path: Path) -> None:
    with at_work(tmp_path, sqlite_url(tmp_path)) as there:
        there.ask(Right.OPT_OUT, ADA)
        month_key(there).unlink()
        now = there.clock.now()
        there.service.write(lambda unit: key_register.destroy(unit.connection, MONTH, now))
        month_key(there).with_suffix(".destroyed").write_text("gone\n")
        month_key(there).with_suffix(".destroyed").chmod(0o600)
        assert MONTH in " ".join(key_problems(there.service))
        month_key(there).with_suffix(".destroyed").write_text(f"{'0' * 32} {now.isoformat()}\n")
        assert MONTH in " ".join(key_problems(there.service))


def test_the_command_says_when_it_was_destroyed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with at_work(tmp_path, sqlite_url(tmp_path)) as there:
        finished(there)
        later(there, 35)
        later(there, 35)
        (at,) = destroyed(there).values()
        config = str(there.folder / "dpsync.toml")
        for name, value in there.environ.items():
            monkeypatch.setenv(name, value)
        capsys.readouterr()
        assert main(["--config", config, "keys", "show"]) == 0
        assert f"destroyed on {at[:10]}, when nothing needed it any more" in capsys.readouterr().out
        assert main(["--config", config, "keys", "check"]) == 0
