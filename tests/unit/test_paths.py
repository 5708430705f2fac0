"""What the system's no to the use of a path is called."""

import errno
from pathlib import Path

import pytest

from dpsync.paths import told_of

NO = PermissionError(errno.EACCES, "Permission denied")


@pytest.mark.parametrize("use", ["read", "written"])
def test_a_no_is_told_as_what_was_tried(use: str, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.touch()
    told = told_of(file, NO, use)
    assert told.what.startswith(f"{file} cannot be {use} by this user (")
    assert f" {file}`" in told.mend


def test_where_nothing_stands_yet_it_is_the_folder_that_refuses(tmp_path: Path) -> None:
    told = told_of(tmp_path / "new" / "file", NO)
    assert told.what.startswith(f"{tmp_path} cannot be written by this user (")
