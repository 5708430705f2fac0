"""Disks that a test makes for itself: small ones, and ones that can only be read. Whoever may mount nothing skips."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small(folder: Path, size: str) -> Iterator[Path]:
    """A disk of its own of that size (`64k`), mounted on a folder that it makes."""
    folder.mkdir()
    _mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder)
    try:
        yield folder
    finally:
        _unmount(folder)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Whoever comes to that folder finds that it can only be read."""
    _mount("--bind", folder, folder)
    try:
        _mount("-o", "remount,bind,ro", folder)
        yield
    finally:
        _unmount(folder)


def _mount(*words: str | Path) -> None:
    if os.getuid():
        pytest.skip(reason="only root can mount a disk")
    if subprocess.run(["mount", *words], check=False, capture_output=True).returncode:
        pytest.skip(reason="this machine lets nobody mount a disk")


def _unmount(folder: Path) -> None:
    subprocess.run(["umount", "--lazy", folder], check=True)
