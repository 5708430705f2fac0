"""A month's key is lost for good: what it opened is named and waits for a person, and dpsync goes on without it."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from dpsync import key_register
from dpsync.errors import DecisionRefused, KeyProblem, UsageError
from dpsync.ledger.entry import decode
from dpsync.model import Right, State
from dpsync.propagation.decisions import Decided, Person, demand_any
from dpsync.propagation.rules.lifecycle import DecisionKind
from dpsync.running import holding
from dpsync.running.lost_months import Unreadable, go_on_without
from dpsync.soundness import judge, opening
from dpsync.store import tables as t
from tests.journeys.installation import FORMS, NEWSLETTER, Asked, Installation, differences, installed
from tests.journeys.test_find import ids
from tests.journeys.test_keys import decide, month_key

ADA, BEN, CARA, DORA = (f"{name}@example.org" for name in ("ada", "ben", "cara", "dora"))
DANA = Person("Dana Officer", "dana", "the disk died before the first copy")
MONTH = "2026-11"


@pytest.fixture
def there(tmp_path: Path, database_url: str) -> Iterator[Installation]:
    with installed(tmp_path, database_url, processors=NEWSLETTER + FORMS) as made:
        made.sandbox.add(ADA)
        yield made


def gone_on(there: Installation, month: str = MONTH, person: Person = DANA) -> tuple[Unreadable, ...]:
    return go_on_without(there.service, month, person, there.clock.now())


def everything(there: Installation) -> tuple[int, int]:
    return len(there.rows(t.entry)), len(there.rows(t.meta))


def what_stands(there: Installation, one: Asked) -> tuple[str, str]:
    return there.row(one).state, there.row(one).causes


def test_what_the_key_opened_is_named_and_held_and_nothing_else_is(there: Installation) -> None:
    done = there.ask(Right.OPT_OUT, BEN, id="crm-2")
    there.drive()
    one = there.ask(Right.ERASURE, ADA)
    there.clock.advance(timedelta(days=31))
    other = there.ask(Right.OPT_OUT, CARA, id="crm-3")
    month_key(there).unlink()
    found = gone_on(there)
    assert [(each.request_id, each.event_id, each.open) for each in found] == [
        (done.id, "evt-1", ("forms",)),
        (one.id, "evt-2", ("forms", "newsletter")),
    ]
    assert what_stands(there, one) == (State.HELD, "key_lost")
    assert there.state(done) is State.NOTHING_HELD
    assert there.state(other) is State.PENDING
    there.start_beside()
    there.drive()
    assert there.state(other) is State.NOTHING_HELD
    assert what_stands(there, one) == (State.HELD, "key_lost")


@pytest.mark.no_database
def test_it_is_on_the_record_with_who_decided_it_and_the_dpo_hears_of_each(there: Installation) -> None:
    one = there.ask(Right.ERASURE, ADA)
    month_key(there).unlink()
    gone_on(there)
    told = [decode(row.body) for row in there.rows(t.entry)]
    (entry,) = [each for each in told if each.get("kind") == "without_key"]
    assert (entry["event"], entry["name"], entry["n"]) == ("decided", MONTH, 1)
    assert {"by", "why"} <= set(entry)
    (alert,) = [each for each in there.told() if each.cause == "without-key"]
    assert alert.role == "dpo"
    assert f"{one.id} (crm, event evt-1): forms, newsletter" in alert.text
    assert "Dana Officer" in alert.text


def test_the_record_is_sound_without_it_and_the_next_request_of_that_month_gets_a_second_key(
    there: Installation,
) -> None:
    one = there.ask(Right.ERASURE, ADA)
    month_key(there).unlink()
    with pytest.raises(KeyProblem):
        there.ask(Right.OPT_OUT, CARA, id="crm-3")
    gone_on(there)
    sound = judge(there.service, there.clock.now(), full=True)
    assert (sound.problems, differences(there.service), opening(there.service).unopened) == ((), (), ())
    again = there.ask(Right.ERASURE, ADA)
    assert {row.id: row.key_month for row in there.rows(t.request)} == {one.id: MONTH, again.id: f"{MONTH}-2"}
    assert month_key(there, f"{MONTH}-2").exists()
    assert not month_key(there).exists()
    assert ids(there, ADA) == [one.id, again.id], "a name still leads to the proof"
    month_key(there, f"{MONTH}-2").unlink()
    with pytest.raises(KeyProblem, match="2026-11-2 is not there"):
        there.start_beside()


def refused(decided: list[Decided]) -> set[str]:
    return {one.refused for one in decided}


def test_nobody_can_release_it_and_it_can_be_stopped(there: Installation) -> None:
    one = there.ask(Right.ERASURE, ADA)
    month_key(there).unlink()
    gone_on(there)
    said = decide(there, one, DecisionKind.RELEASE)
    with pytest.raises(DecisionRefused, match="shut for good"):
        demand_any(said)
    assert {each.state for each in decide(there, one, DecisionKind.WITHDRAW)} == {State.WITHDRAWN}
    assert differences(there.service) == ()


def test_what_may_have_been_sent_is_never_called_untold(there: Installation) -> None:
    one = there.ask(Right.ERASURE, ADA)
    there.service.write(
        lambda unit: unit.connection.execute(t.propagation.update().values(doubtful=True, touched=True))
    )
    month_key(there).unlink()
    gone_on(there)
    assert {each.state for each in decide(there, one, DecisionKind.WITHDRAW)} == {State.ESCALATED}


def test_a_key_that_is_found_later_opens_everything_again(there: Installation) -> None:
    one = there.ask(Right.ERASURE, ADA)
    kept = month_key(there).read_bytes()
    month_key(there).unlink()
    gone_on(there)
    month_key(there).write_bytes(kept)
    month_key(there).chmod(0o600)
    there.start_beside()
    assert refused(decide(there, one, DecisionKind.RELEASE)) == {""}
    there.drive()
    assert there.state(one) is State.VERIFIED
    assert key_register.GIVEN_UP not in "".join(row.key for row in there.rows(t.meta)), "its receipt is written again"
    there.sound()
    with pytest.raises(UsageError, match="nothing is lost"):
        gone_on(there)


@pytest.mark.parametrize("how", ["right", "another", "empty", "folder", "dead link"])
def test_it_refuses_while_anything_stands_in_the_keys_place(how: str, there: Installation) -> None:
    there.ask(Right.ERASURE, ADA)
    path = month_key(there)
    if how not in {"right", "another"}:
        path.unlink()
    match how:
        case "another":
            path.write_text("ab" * 32 + "\n")
        case "empty":
            path.touch(0o600)
        case "folder":
            path.mkdir(0o700)
        case "dead link":
            path.symlink_to("nowhere")
    before = everything(there)
    with pytest.raises((KeyProblem, UsageError), match="nothing is lost" if how == "right" else "move away"):
        gone_on(there)
    assert everything(there) == before


def test_another_month_a_wrong_key_beside_it_or_nobody_to_decide_is_refused_and_changes_nothing(
    there: Installation,
) -> None:
    there.ask(Right.ERASURE, ADA)
    there.clock.advance(timedelta(days=31))
    there.ask(Right.OPT_OUT, CARA, id="crm-3")
    month_key(there).unlink()
    before = everything(there)
    for month, told in (
        ("2026-12", "nothing is lost"),
        ("2026-10", "missing or wrong: 2026-11"),
        ("2026-13", "nothing"),
    ):
        with pytest.raises(UsageError, match=told):
            gone_on(there, month)
    for person in (Person("", "dana", "lost"), Person("Dana", "dana", " ")):
        with pytest.raises(UsageError, match="give your name"):
            gone_on(there, person=person)
    pepper = there.folder / "keys" / "pepper-1.key"
    right = pepper.read_bytes()
    pepper.write_text("ab" * 32 + "\n")
    with there.another_process() as other, pytest.raises(KeyProblem, match=r"pepper-1\.key is another key"):
        go_on_without(other, MONTH, DANA, there.clock.now())
    pepper.write_bytes(right)
    assert everything(there) == before


def test_of_two_months_that_are_lost_one_is_given_up_and_the_other_still_missed(there: Installation) -> None:
    there.ask(Right.ERASURE, ADA)
    there.clock.advance(timedelta(days=31))
    later = there.ask(Right.OPT_OUT, CARA, id="crm-3")
    month_key(there).unlink()
    month_key(there, "2026-12").unlink()
    gone_on(there)
    assert there.state(later) is State.PENDING
    with pytest.raises(KeyProblem, match="the key of 2026-12 is not there"):
        there.start_beside()
    gone_on(there, "2026-12")
    there.start_beside()


def test_cut_off_it_is_run_again_and_finds_no_less_and_then_says_that_it_is_done(
    there: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [there.ask(Right.ERASURE, f"p{n}@example.org", id=f"crm-{n}") for n in range(3)]
    month_key(there).unlink()
    monkeypatch.setattr(holding, "AT_ONCE", 2)
    real, calls = holding._hold, list[int]()

    def dying(*arguments: object) -> int:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*arguments)  # type: ignore[arg-type]  # because they are passed on as they are

    with monkeypatch.context() as here:
        here.setattr(holding, "_hold", dying)
        with pytest.raises(KeyboardInterrupt):
            gone_on(there)
    assert len(gone_on(there)) == 3
    assert {what_stands(there, one) for one in asked} == {(State.HELD, "key_lost")}
    told = [decode(row.body) for row in there.rows(t.entry)]
    assert [entry.get("kind") for entry in told].count("without_key") == 1
    with pytest.raises(UsageError, match="on the record already"):
        gone_on(there)


def test_what_was_recorded_while_it_was_lost_is_as_recorded_when_it_is_found_and_still_tells_of_a_change(
    there: Installation,
) -> None:
    one, two = there.ask(Right.ERASURE, ADA), there.ask(Right.OPT_OUT, BEN, id="crm-2")
    kept = month_key(there).read_bytes()
    decide(there, two, DecisionKind.WITHDRAW)
    month_key(there).unlink()
    gone_on(there)
    decide(there, one, DecisionKind.WITHDRAW)
    month_key(there).write_bytes(kept)
    month_key(there).chmod(0o600)
    there.start_beside()
    assert judge(there.service, there.clock.now(), full=True).problems == ()
    there.service.write(lambda unit: unit.connection.execute(t.propagation.update().values(reason="a hand")))
    found = judge(there.service, there.clock.now(), full=True).problems
    assert len(found) == 4
    assert all("reason not as entry" in problem for problem in found), found
