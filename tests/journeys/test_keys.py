"""A key that is lost, or another one, is named and never made anew; one request that does not open stops no other."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from dpsync.errors import KeyProblem
from dpsync.installation import Installation as Opened
from dpsync.intake.payload import parse
from dpsync.key_files import MONTHS, PEPPER, SIGNING
from dpsync.ledger import note
from dpsync.model import Right, State
from dpsync.propagation import decisions
from dpsync.propagation.decisions import Decided, Person
from dpsync.propagation.receipts import Opening
from dpsync.propagation.rules.lifecycle import DecisionKind
from dpsync.sealing import Keys
from dpsync.soundness import judge, opening
from dpsync.store import tables as t
from tests.faults.counting import Counted
from tests.journeys.installation import FORMS, NEWSLETTER, Asked, Installation, differences, installed, receive

ADA, BEN, CARA = "ada@example.org", "ben@example.org", "cara@example.org"
MONTH = timedelta(days=31)


@pytest.fixture
def there(tmp_path: Path, database_url: str) -> Iterator[Installation]:
    with installed(tmp_path, database_url) as made:
        made.sandbox.add(ADA)
        made.sandbox.add(BEN)
        yield made


def month_key(there: Installation, month: str = "2026-11") -> Path:
    return there.folder / "keys" / MONTHS / f"{month}.key"


def another(path: Path) -> None:
    """Another key of the right name, length and mode."""
    path.write_text("ab" * 32 + "\n")


def decide(there: Installation, asked: Asked, kind: DecisionKind) -> list[Decided]:
    person, now = Person(by="Dana Officer", os_user="dana", reason="it does not open"), there.clock.now()
    return there.service.write(
        lambda unit: decisions.decide(unit, there.service.controller, asked.id, kind, person, now)
    )


@pytest.mark.parametrize("how", ["lost", "another"])
def test_a_months_key_that_is_lost_or_another_refuses_start_and_intake_and_is_not_made(
    there: Installation, how: str
) -> None:
    there.ask(Right.ERASURE, ADA)
    there.clock.advance(MONTH)
    there.ask(Right.ERASURE, BEN, id="crm-2")
    path = month_key(there)
    path.unlink() if how == "lost" else another(path)
    before = sorted(one.name for one in path.parent.iterdir())
    with pytest.raises(KeyProblem, match="the key of 2026-11 is"):
        there.start_beside()
    with pytest.raises(KeyProblem, match=r"the key of 2026-11 is .* dpsync accepts nothing"):
        there.ask(Right.OPT_OUT, CARA, id="crm-3")
    assert sorted(one.name for one in path.parent.iterdir()) == before
    assert (differences(there.service), opening(there.service)) == ((), Opening((), ())), "nobody wrote past dpsync"
    sound = judge(there.service, there.clock.now(), full=True)
    assert "the key of 2026-11 is" in sound.problems[0]
    assert sound.problems[1:] == ("1 of the requests of 2026-11 cannot be compared before it is back",)
    assert len(there.rows(t.request)) == 2


def test_a_key_that_is_back_is_enough_to_go_on(there: Installation) -> None:
    asked = there.ask(Right.ERASURE, ADA)
    kept = month_key(there).read_bytes()
    month_key(there).unlink()
    with pytest.raises(KeyProblem):
        there.start_beside()
    month_key(there).write_bytes(kept)
    month_key(there).chmod(0o600)
    there.start_beside()
    there.drive()
    assert there.state(asked) is State.VERIFIED


@pytest.mark.fault(42)
@pytest.mark.parametrize("name", [SIGNING, PEPPER])
def test_another_signing_key_or_pepper_is_refused_by_its_name(there: Installation, name: str, counted: Counted) -> None:
    there.ask(Right.ERASURE, ADA)
    another(there.folder / "keys" / name)
    with pytest.raises(KeyProblem, match=f"{name} is another key"):
        there.start_beside()
    key = there.service.log.signer.verifier
    kept = [row.note for row in there.rows(t.checkpoint)]
    kept += [path.read_text() for path in (there.folder / "anchors").glob("*.txt")]
    counted(42, wrong_signatures=sum(not note.verify(one, [key]).size for one in kept))
    assert kept


def test_a_database_of_before_the_register_is_believed_only_where_the_key_opens_its_requests(
    there: Installation,
) -> None:
    there.ask(Right.ERASURE, ADA)

    def forget() -> None:
        there.service.write(
            lambda unit: unit.connection.execute(t.meta.delete().where(t.meta.c.key.like("key:month:%")))
        )

    forget()
    there.ask(Right.ERASURE, BEN, id="crm-2")
    forget()
    another(month_key(there))
    with pytest.raises(KeyProblem, match="2026-11"):
        there.ask(Right.OPT_OUT, CARA, id="crm-3")
    month_key(there).unlink()
    with pytest.raises(KeyProblem, match="2026-11"):
        there.start_beside()
    assert not month_key(there).exists()


def test_two_processes_that_need_a_new_month_at_once_share_one_key(there: Installation) -> None:
    there.clock.advance(MONTH)

    def ask(service: Opened, number: int) -> str:
        body = there.body(Right.OPT_OUT, f"p{number}@example.org", id=f"crm-{number}")
        request = parse(body, source="crm", event_id=f"evt-{number}", now=there.clock.now())
        return receive(service, request, body).request_id

    with there.another_process() as other, ThreadPoolExecutor(8) as pool:
        several = [(there.service, other)[number % 2] for number in range(8)]
        assert len(set(pool.map(ask, several, range(8)))) == 8
    assert [one.name for one in month_key(there).parent.iterdir()] == ["2026-12.key"]
    keys = Keys.load(there.folder / "keys")
    assert all(keys.unwrap(row.wrapped_key, row.id, row.key_month) for row in there.rows(t.request))
    there.start_beside()


def test_one_request_that_does_not_open_is_named_and_stops_no_other(tmp_path: Path, database_url: str) -> None:
    with installed(tmp_path, database_url, processors=NEWSLETTER + FORMS) as there:
        there.sandbox.add(ADA)
        there.sandbox.add(BEN)
        shut, good = there.ask(Right.ERASURE, ADA), there.ask(Right.ERASURE, BEN, id="crm-2")
        spoilt = there.rows(t.request)[0].wrapped_key[:-1] + b"\0"
        there.service.write(
            lambda unit: unit.connection.execute(
                update(t.request).where(t.request.c.id == shut.id).values(wrapped_key=spoilt)
            )
        )
        there.start_beside()
        there.asked.clear()
        for days in (0, 1, 7, 15, 15):
            there.drive(timedelta(days=days))
        assert there.state(good) is State.VERIFIED
        assert there.state(shut) is State.PENDING
        assert [cause for _, cause in there.alerts() if cause.startswith("job:")] == []
        decided = decide(there, shut, DecisionKind.WITHDRAW)
        assert {one.state for one in decided} == {State.WITHDRAWN}
        told = {row.subject for row in there.rows(t.alert)}
        assert any(subject.startswith("A request cannot be opened, and waits") for subject in told)
        (named,) = opening(there.service).unopened
        assert shut.id in named
        assert all(shut.id in one for one in differences(there.service))
