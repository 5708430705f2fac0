"""Files that are whole and on the disk, or not there at all: also where the system refuses one step of it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from dpsync import durable
from tests.crashes.failing import FailingFiles, Nth


@pytest.mark.parametrize("how", ["EIO", "ENOSPC", "EACCES", "short"])
@pytest.mark.parametrize("before", [None, b"before"], ids=["new", "there"])
@pytest.mark.parametrize("act", [durable.place, durable.replace])
def test_whatever_step_is_refused_no_half_stands_and_the_next_try_is_whole(
    act: Callable[[Path, bytes], object], before: bytes | None, how: str, tmp_path: Path
) -> None:
    wanted = b"after" if act is durable.replace or before is None else before
    number, nth = 0, Nth()
    while number == 0 or nth.over:
        path = tmp_path / str(number) / "file"
        path.parent.mkdir()
        if before is not None:
            durable.create(path, before)
        nth = Nth(number := number + 1)
        with FailingFiles(nth, how, path.parent).watched():
            try:
                act(path, b"after")
            except OSError:
                assert nth.over
        assert not path.exists() or path.read_bytes() in {before, b"after"}
        act(path, b"after")
        assert path.read_bytes() == wanted
        left = [one.name for one in path.parent.iterdir() if one != path]
        assert left == [] or nth.what.startswith("unlink"), nth.what
    assert number > 1


def test_a_name_that_did_not_reach_the_disk_does_not_pass_for_one_that_did(tmp_path: Path) -> None:
    steps = Nth()
    with FailingFiles(steps, "EIO", tmp_path).watched():
        assert durable.place(tmp_path / "other", b"")
    for _ in range(2):
        last = Nth(steps.count)
        with FailingFiles(last, "EIO", tmp_path).watched(), pytest.raises(OSError, match="Input/output"):
            durable.place(tmp_path / "mark", b"")
        assert last.what == f"fsync {tmp_path}"
    assert not durable.place(tmp_path / "mark", b"")
