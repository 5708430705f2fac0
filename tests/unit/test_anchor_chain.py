"""What is gone from among the anchors, or is not what an entry has the digest of, is named with its file."""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from sqlalchemy import Connection

from dpsync.ledger import anchor_chain, entry, note
from dpsync.ledger.anchor_chain import absent, missed, unlike
from dpsync.ledger.audit import FORKED
from dpsync.ledger.entry import EntryKind
from dpsync.ledger.log import Log
from tests.unit.test_ledger_receipt import NOW, ORIGIN, SIGNER
from tests.unit.test_ledger_receipt import ledger as ledger_of

SIZES = (2, 5, 9)


def numbered(folder: Path, size: int) -> Path:
    return folder / f"{size:012d}.checkpoint"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for size in SIZES:
        numbered(tmp_path, size).write_text(signed(size))
    (tmp_path / "checkpoint").write_text(signed(9))
    for old, new in ((2, 5), (5, 9)):
        (tmp_path / f"{old}-{new}.consistency").write_text("")
    return tmp_path


def signed(size: int) -> str:
    return note.sign(note.Checkpoint(ORIGIN, size, bytes(32)), SIGNER)


def test_of_a_folder_with_everything_in_it_nothing_is_said(folder: Path) -> None:
    assert absent(folder, 9) == []
    assert absent(folder / "none", 0) == []


@pytest.mark.parametrize("size", [2, 5])
def test_a_checkpoint_that_a_consistency_file_leads_to_or_from_is_missed(folder: Path, size: int) -> None:
    numbered(folder, size).unlink()
    problems = absent(folder, 9)
    assert all(f"{size:012d}.checkpoint is not there any more" in one for one in problems)
    assert [f"{old}-{new}.consistency tells of it" in "".join(problems) for old, new in ((2, 5), (5, 9))] == [
        True,
        size == 5,
    ]
    assert f"touch {folder / f'{size:012d}.gap'}" in problems[0]


def test_what_a_listing_passed_over_while_somebody_wrote_is_not_missed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = frozenset(path.name for path in folder.iterdir())
    listings = [names - {"000000000005.checkpoint"}, names]
    monkeypatch.setattr(anchor_chain, "_names", lambda _: listings.pop(0))
    assert missed(folder, 9) == []
    listings = [names]
    assert missed(folder, 9) == []
    listings = [names - {"000000000005.checkpoint"}] * 2
    assert "000000000005.checkpoint is not there any more" in missed(folder, 9)[0]


@pytest.mark.parametrize("end", ["gap", "gap-recorded"])
def test_what_a_person_has_accepted_as_lost_is_not_missed(folder: Path, end: str) -> None:
    numbered(folder, 5).rename(folder / f"000000000005.{end}")
    assert absent(folder, 9) == []
    (folder / "2-5.consistency").rename(folder / f"2-5.{end}")
    assert absent(folder, 9) == []
    (folder / "5-9.consistency").rename(folder / f"5-9-0123abcd.{end}")
    assert absent(folder, 9) == []
    (folder / "checkpoint").rename(folder / f"checkpoint.{end}")
    assert absent(folder, 9) == []


def test_a_consistency_file_between_two_others_is_missed_and_so_is_the_last(folder: Path) -> None:
    (folder / "9-12.consistency").write_text("")
    numbered(folder, 12).write_text(signed(12))
    (folder / "checkpoint").write_text(signed(12))
    (folder / "5-9.consistency").unlink()
    (problem,) = absent(folder, 12)
    assert problem.startswith(f"{folder / '5-9.consistency'} is not there any more, and 000000000009.checkpoint tells")
    (folder / "5-9.consistency").write_text("")
    (folder / "9-12.consistency").unlink()
    (problem,) = absent(folder, 12)
    assert "9-12.consistency is not there any more" in problem


def test_a_folder_from_before_there_were_consistency_files_lacks_none(folder: Path) -> None:
    (folder / "2-5.consistency").unlink()
    assert absent(folder, 9) == []
    (folder / "5-9.consistency").unlink()
    assert absent(folder, 9) == []


def test_a_step_that_was_written_twice_because_dpsync_ended_in_between_is_a_way_too(folder: Path) -> None:
    numbered(folder, 12).write_text(signed(12))
    (folder / "checkpoint").write_text(signed(12))
    (folder / "5-12.consistency").write_text("")
    assert absent(folder, 12) == []


@pytest.mark.parametrize(("content", "named"), [(None, True), (signed(5), True), (signed(12), False), ("x", False)])
def test_the_newest_checkpoint_is_no_older_than_the_last_that_was_kept(
    folder: Path, content: str | None, named: bool
) -> None:
    path = folder / "checkpoint"
    path.unlink()
    if content is not None:
        path.write_text(content)
    problems = absent(folder, 9)
    assert [f"{path} is gone, or is an older copy" in one for one in problems] == [True] * named
    assert all(f"cp {numbered(folder, 9)} {path}" in one for one in problems)
    numbered(folder, 9).rename(folder / "000000000009.gap")
    assert absent(folder, 9) == [], "the folder was lost, and somebody has accepted that"


# --- what entries have the digest of


@pytest.fixture
def ledger() -> Iterator[tuple[Log, Connection]]:
    with ledger_of([(None, entry.encode(EntryKind.GAP, NOW, name="first"))]) as made:
        yield made


def anchored(log: Log, connection: Connection, digest: str, **more: str) -> None:
    said = entry.encode(EntryKind.ANCHOR, NOW, n=1, name="umbrella", digest=digest, **more)
    log.append(connection, [(None, said)])


def test_a_cosigned_checkpoint_is_as_its_last_entry_says_or_has_a_line_more(
    ledger: tuple[Log, Connection], tmp_path: Path
) -> None:
    log, connection = ledger
    kept = log.checkpoint(connection, NOW)
    path = tmp_path / "000000000001.cosigned"
    lines = [f"{kept}— umbrella AAAAAAA=\n", f"{kept}— umbrella AAAAAAA=\n— other BBBBBBA=\n"]
    path.write_text(lines[0])
    numbered(tmp_path, 1).write_text(kept)
    anchored(log, connection, sha256(lines[0].encode()).hexdigest())
    assert list(unlike(connection, log, tmp_path)) == []
    path.write_text(lines[1])
    assert list(unlike(connection, log, tmp_path)) == [], "of another witness, whose entry was not written any more"
    anchored(log, connection, sha256(lines[1].encode()).hexdigest())
    path.write_text(lines[0])
    (problem,) = unlike(connection, log, tmp_path)
    assert problem.startswith(f"{path} is not as it was written: put it back")
    assert f"touch {path}.gap" in problem
    path.unlink()
    (problem,) = unlike(connection, log, tmp_path)
    assert problem.startswith(f"{path} is not there any more")
    for end in (".gap", ".gap-recorded"):
        accepted = tmp_path / f"{path.name}{end}"
        accepted.touch()
        assert list(unlike(connection, log, tmp_path)) == []
        accepted.unlink()
    numbered(tmp_path, 1).unlink()
    assert list(unlike(connection, log, tmp_path)) == [], "all of that checkpoint is gone, which is told by itself"


def test_a_time_stamp_is_the_reply_to_the_byte(ledger: tuple[Log, Connection], tmp_path: Path) -> None:
    log, connection = ledger
    numbered(tmp_path, 1).write_text(log.checkpoint(connection, NOW))
    path, reply = tmp_path / "000000000001.tsa.example.org.tsr", b"\x30\x03\n\x30\n"
    path.write_bytes(reply)
    digest = sha256(reply).hexdigest()
    log.append(
        connection,
        [
            (
                None,
                entry.encode(EntryKind.ANCHOR, NOW, n=1, name="tsa.example.org", digest=digest, kind="stamp"),
            )
        ],
    )
    assert list(unlike(connection, log, tmp_path)) == []
    path.write_bytes(reply[:-1])
    (problem,) = unlike(connection, log, tmp_path)
    assert problem.startswith(f"{path} is not as it was written")


def test_a_cosigned_checkpoint_of_another_history_is_named(ledger: tuple[Log, Connection], tmp_path: Path) -> None:
    log, connection = ledger
    other = note.sign(note.Checkpoint(log.origin, 1, bytes(32)), log.signer)
    (tmp_path / "000000000001.cosigned").write_text(other)
    (problem,) = unlike(connection, log, tmp_path)
    named = f"anchor 000000000001.cosigned: checkpoint 1: the ledger's first 1 entries have another root{FORKED}"
    assert problem == named
    for end in ("gap", "gap-recorded"):
        accepted = tmp_path / f"000000000001.{end}"
        accepted.write_text(other)
        assert list(unlike(connection, log, tmp_path)) == [], "its history is lost, and somebody has accepted that"
        numbered(tmp_path, 1).write_text(log.checkpoint(connection, NOW))
        assert list(unlike(connection, log, tmp_path)) == [named], "there is another one of that number since"
        numbered(tmp_path, 1).unlink()
        accepted.unlink()


def test_a_file_is_what_was_written_also_where_whole_lines_came_to_it_since() -> None:
    def known(content: bytes) -> set[bytes]:
        names = [b"", b"one\n", b"one\ntwo", b"one\ntwo\n"]
        return {one for one in names if sha256(one).hexdigest() in anchor_chain._digests(content)}

    assert known(b"one\ntwo\n") == {b"", b"one\n", b"one\ntwo\n"}
    assert known(b"one\ntwo") == {b"one\ntwo"}, "what is cut off was not added to"


def test_the_reply_of_a_time_stamping_authority_is_read_whole_and_what_is_no_file_is_empty(tmp_path: Path) -> None:
    (tmp_path / "reply.tsr").write_bytes(b"x" * (note.LARGEST + 1))
    assert anchor_chain._content(tmp_path / "reply.tsr") == b"x" * (note.LARGEST + 1)
    assert anchor_chain._content(tmp_path) == b""


def test_a_cosigned_checkpoint_that_is_no_text_is_named_and_no_fault(
    ledger: tuple[Log, Connection], tmp_path: Path
) -> None:
    log, connection = ledger
    (tmp_path / "000000000001.cosigned").write_bytes(b"\xff\xfe")
    (problem,) = unlike(connection, log, tmp_path)
    assert problem.startswith("anchor 000000000001.cosigned: ")


def test_a_draft_is_no_anchor_and_a_newest_checkpoint_that_is_not_there_has_no_entries(tmp_path: Path) -> None:
    (tmp_path / ".5-9.consistency").write_text("")
    assert anchor_chain._names(tmp_path) == frozenset()
    assert anchor_chain._size_in(tmp_path / "checkpoint", 9) == 0
