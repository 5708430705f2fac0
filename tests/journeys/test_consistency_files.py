"""The consistency files beside the checkpoints are read again at each start, and an old anchor is told of."""

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from dpsync.errors import LedgerTampered, ProofDamaged
from dpsync.ledger import continuation, note
from dpsync.model import Right
from dpsync.running.jobs import table
from dpsync.running.metrics import exposition
from tests.journeys.installation import Installation, installed
from tests.journeys.test_custody import ADA, anchors, rolled_back


@pytest.fixture
def there(tmp_path: Path, database_url: str) -> Iterator[Installation]:
    with installed(tmp_path, database_url) as made:
        made.ask(Right.ERASURE, ADA)
        made.service.anchor(made.clock.now())
        yield made


def test_a_consistency_file_that_shows_nothing_is_a_damaged_file_and_no_tampering(there: Installation) -> None:
    path = anchors(there) / "2-3.consistency"
    right = path.read_bytes()
    step = continuation.parse(right.decode())
    of_others = note.sign(step.head, note.Signer.from_seed(there.service.origin, bytes(32)))
    for content in (
        b"",
        b"old 2\n\xff",
        right[:-2],
        right.replace(b"old 2", b"old 1"),
        continuation.Continuation(2, (bytes(32),), step.checkpoint).text.encode(),
        continuation.Continuation(2, step.proof, of_others).text.encode(),
    ):
        path.write_bytes(content)
        with pytest.raises(ProofDamaged, match=r"2-3\.consistency is a damaged file"):
            there.start_beside()
    path.rename(path.with_suffix(".gap"))
    there.start_beside()


def test_a_rollback_is_noticed_where_a_consistency_file_alone_tells_of_it(there: Installation) -> None:
    (anchors(there) / "000000000003.checkpoint").unlink()
    (anchors(there) / "checkpoint").unlink()
    rolled_back(there, upto=2)
    with pytest.raises(LedgerTampered, match=r"anchor 2-3\.consistency: checkpoint 3 signs 3 entries"):
        there.start_beside()


def test_the_age_of_the_last_anchor_is_a_metric_and_after_two_days_an_alert(
    there: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    (look,) = (job.run for job in table(there.service, lambda _: None) if job.name == "anchor-age")
    (said,) = re.findall(
        r"^dpsync_anchored_timestamp_seconds (.+)$", exposition(there.service)[0].decode(), re.MULTILINE
    )
    assert float(said) == there.clock.now().timestamp()
    there.clock.advance(timedelta(days=2))
    look(there.clock.now())
    assert there.alerts() == []
    there.clock.advance(timedelta(seconds=1))
    with monkeypatch.context() as away:
        away.setattr(there.service.custody.anchors, "write", _no_folder)
        look(there.clock.now())
    assert there.alerts() == [("operator", "anchor")]
    there.service.anchor(there.clock.now())  # nothing came in: the same checkpoint, found in its place
    there.clock.advance(timedelta(days=1))
    look(there.clock.now())
    assert there.alerts() == [("operator", "anchor")]


@pytest.mark.no_database
def test_a_service_that_was_off_for_days_keeps_its_checkpoint_before_anybody_is_alarmed(there: Installation) -> None:
    (look,) = (job.run for job in table(there.service, lambda _: None) if job.name == "anchor-age")
    there.clock.advance(timedelta(days=31))
    look(there.clock.now())
    assert there.alerts() == []


def _no_folder(_text: str) -> int:
    raise ProofDamaged("the folder of anchors is not there")
