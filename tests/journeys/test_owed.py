"""What is owed has what brings it about: a lane, a timer or an account that is taken away is named by `verify`."""

import cProfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Delete, Update, delete, update

from dpsync.model import Right, State
from dpsync.propagation.owed import problems
from dpsync.soundness import judge
from dpsync.store import tables as t
from tests.journeys.installation import Installation, installed

ADA, BEN = "ada@example.org", "ben@example.org"
_P = t.propagation.c
PENDING = _P.state == State.PENDING.value
VERIFIED = _P.state == State.VERIFIED.value


@pytest.fixture
def there(tmp_path: Path, database_url: str) -> Iterator[Installation]:
    with installed(tmp_path, database_url) as made:
        made.sandbox.add(ADA)
        made.ask(Right.OPT_OUT, ADA)
        made.drive()
        made.ask(Right.OPT_OUT, BEN, id="crm-2")
        yield made


def found(there: Installation) -> tuple[str, ...]:
    return judge(there.service, there.clock.now(), full=True).differences


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        (delete(t.lane), "lane is not there"),
        (update(t.propagation).where(PENDING).values(account_id="nowhere"), "account_id names an account"),
        (delete(t.account), "account_id names an account"),
        (update(t.propagation).where(VERIFIED).values(timer="", timer_at=None), "its reading is owed"),
        (update(t.propagation).where(VERIFIED).values(timer=""), "timer, timer_at are only half there"),
        (update(t.propagation).where(VERIFIED).values(timer_at=None), "timer, timer_at are only half there"),
    ],
)
def test_what_nothing_would_bring_up_any_more_is_named(
    there: Installation, statement: Update | Delete, says: str
) -> None:
    assert found(there) == ()
    there.service.write(lambda unit: unit.connection.execute(statement))
    assert any(says in problem for problem in found(there)), found(there)


@pytest.mark.no_database
def test_what_is_as_it_should_be_is_not_read(there: Installation) -> None:
    """The database looks at it: of a hundred thousand that are, each one read would take seconds of a report."""

    def steps() -> int:
        accounts = {name: one.account or name for name, one in there.service.settings.processors.items()}
        with there.service.engine.connect() as connection, cProfile.Profile() as profile:
            assert list(problems(connection, accounts, there.clock.now())) == []
        return sum(one.callcount for one in profile.getstats())

    steps()
    few = steps()
    for number in range(20):
        there.ask(Right.OPT_OUT, f"person-{number}@example.org", id=f"crm-{number + 10}")
    assert steps() < few + 20
