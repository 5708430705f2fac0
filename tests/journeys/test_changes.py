"""Whatever somebody changes by hand in what keeps the proof is noticed, and the message names the place.

200 of them here; `make changes` makes 1,000.
"""

import json
from pathlib import Path

import pytest

from dpsync.ledger import note, verify_receipt
from tests.changes import only_outside
from tests.changes.all import changes, makers, missed
from tests.changes.change import by_drill, by_verifier, by_verify_and_start
from tests.changes.grounds import Grounds, made
from tests.changes.receipts import policy_of
from tests.changes.rows import PROVEN, proofs
from tests.faults.counting import Counted


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Grounds:
    return made(tmp_path_factory.mktemp("changes"))


@pytest.fixture
def copy(there: Grounds, tmp_path: Path) -> Grounds:
    return there.copied(tmp_path / "copy")


def test_where_nothing_is_changed_nothing_is_said(copy: Grounds) -> None:
    assert by_verify_and_start(copy) == []
    assert by_drill(copy) == []
    assert [said for request in copy.about for said in by_verifier(copy, request)] == []


def test_every_table_that_proves_something_has_something_in_it(there: Grounds) -> None:
    assert [name for name in PROVEN if not proofs(there.database, name)] == []


@pytest.mark.fault(38)
@pytest.mark.slow
def test_of_200_changes_none_is_missed_and_each_is_named_by_its_place(
    there: Grounds, tmp_path: Path, counted: Counted
) -> None:
    found = list(missed(there, tmp_path / "copy", 200, seed=0))
    assert len(found) == 200
    assert [said for said in found if said] == []
    counted(38, undetected=len([said for said in found if said]))


def test_every_kind_of_change_is_among_the_thousand(there: Grounds) -> None:
    tried = {one.what for one in changes(there, 1_000, seed=0)}
    assert len(makers()) > 120
    assert len(tried) > 200


def test_a_history_made_anew_with_every_key_shows_only_beside_what_somebody_else_kept(copy: Grounds) -> None:
    kept = max(copy.anchors.glob("*.cosigned")).read_text()
    policy = policy_of(copy)
    request = min(copy.about, key=lambda one: (copy.receipts / f"{one}.json").stat().st_size)
    only_outside.make_anew(copy)
    assert by_verify_and_start(copy) == [], only_outside.REASONS["everything made anew"]
    raw = (copy.receipts / f"{request}.json").read_bytes()
    under = json.loads(raw)["checkpoint"]
    with copy.opened() as installation:
        old, new = sorted((kept, under), key=lambda text: note.parse(text)[0].size)
        size = note.parse(old)[0].size
        step = installation.read(lambda connection: installation.log.continuation(connection, size, new))
    with pytest.raises(verify_receipt.NOT_HOLDING, match="do not continue those"):
        verify_receipt.check(raw, copy.signer.verifier.line, None, kept, (step,))
    told = verify_receipt.check(raw, copy.signer.verifier.line, None, None, (), policy)
    assert any(line.startswith("GRADE 1") for line in told), "no witness cosigns another history"
