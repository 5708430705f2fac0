"""The ledger's hashes beside its checkpoint: a stranger finds a receipt in them, and a start compares them."""

import base64
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from dpsync.errors import LedgerTampered, ProofDamaged
from dpsync.model import Right
from dpsync.propagation.decisions import Person
from dpsync.running.recovery import recover
from dpsync.soundness import judge
from tests.journeys.installation import Installation, installed
from tests.journeys.test_custody import ADA, anchors, rolled_back
from tests.tlogclient import TlogClient, served


@pytest.fixture
def there(tmp_path: Path, database_url: str) -> Iterator[Installation]:
    with installed(tmp_path, database_url) as made:
        assert not (anchors(made) / "tile").exists(), "only where the settings say so"
        made.restart(('origin = "example.org/journeys"', 'origin = "example.org/journeys"\ntiles = true'))
        yield made


@pytest.mark.no_database
def test_a_stranger_finds_the_entries_of_a_receipt_in_what_is_published(there: Installation) -> None:
    key = there.service.log.signer.verifier.line
    with served(anchors(there)) as url:
        before = TlogClient(url, key)
        before.audit()
        there.sandbox.add(ADA)
        asked = there.ask(Right.ERASURE, ADA)
        there.drive()
        raw = there.service.custody.receipts.place(asked.id).read_bytes()
        after = TlogClient(url, key)
        assert after.audit()
        assert after.continues(before.size, before.root)
        entries = json.loads(raw)["entries"]
        assert len(entries) > 3
        assert all(after.holds(one["index"], base64.b64decode(one["body"])) for one in entries)
        assert not after.holds(entries[0]["index"], base64.b64decode(entries[1]["body"]))


def test_a_tile_that_was_changed_is_found_at_the_next_start_and_one_that_is_gone_is_written_again(
    there: Installation,
) -> None:
    there.ask(Right.ERASURE, ADA)
    there.service.anchor(there.clock.now())
    path = max((anchors(there) / "tile").rglob("000.p/*"))
    right = path.read_bytes()
    path.write_bytes(right[::-1])
    with pytest.raises(ProofDamaged, match=r"000\.p/\d+ is not as it was published"):
        there.start_beside()
    path.unlink()
    assert "is not there any more" in judge(there.service, there.clock.now(), full=True).files[0]
    there.start_beside()
    assert path.read_bytes() == right
    assert not judge(there.service, there.clock.now(), full=True).problems
    path.write_bytes(right[::-1])
    (anchors(there) / "tile").rename(anchors(there) / "tile.gap")
    there.start_beside()
    assert path.read_bytes() == right, "written anew"
    assert (anchors(there) / "tile.gap-recorded").is_dir()


def test_a_database_that_is_older_than_what_was_published_is_noticed_by_it_alone(there: Installation) -> None:
    there.ask(Right.ERASURE, ADA)
    there.service.anchor(there.clock.now())
    lost = max(int(path.name) for path in (anchors(there) / "tile/0/000.p").iterdir())
    rolled_back(there, upto=2)
    for path in anchors(there).iterdir():
        if path.name not in {"000000000002.checkpoint", "tile", "journal"}:
            path.unlink()
    shutil.copy(anchors(there) / "000000000002.checkpoint", anchors(there) / "checkpoint")
    said = f"anchor tile: it was published with {lost} entries, but the ledger ends after 2"
    with pytest.raises(LedgerTampered, match=said):
        there.start_beside()
    there.running.close()
    with there.another_process() as other:
        recover(other, Person("Dana", "it", "the disk is gone"), there.clock.now())
    there.begin()
    assert (anchors(there) / "tile.gap-recorded/0/000.p").is_dir()
    with served(anchors(there)) as url:
        assert TlogClient(url, there.service.log.signer.verifier.line).audit() == 1
