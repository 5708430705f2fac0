"""`make release`: the files of a release, built twice and the same, checked, installed bare, tried by the demo."""

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from dpsync import __version__
from release.bill import bill, licences
from release.parts import parts

ROOT: Final = Path(__file__).parents[1]
_LEFT_OUT: Final = frozenset({".git", "dist", "demo", "mutants"})
"""Of the root alone: what is no source."""


def built(source: Path, folder: Path, *targets: str) -> dict[str, str]:
    """Build `targets` (default: wheel and sdist) of `source` into `folder`; the SHA-256 of each by name."""
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(folder)]
    command += [word for target in targets for word in ("--target", target)]
    subprocess.run(command, cwd=source, check=True, stdout=subprocess.DEVNULL)
    return {one.name: hashlib.sha256(one.read_bytes()).hexdigest() for one in sorted(folder.iterdir())}


def copied(place: Path) -> Path:
    """The sources once more, in another place and of another time: a build must not depend on either."""
    shutil.copytree(ROOT, place, symlinks=True, ignore=_no_sources, copy_function=shutil.copy)
    for path in place.rglob("*"):
        os.utime(path, (1_000_000_000, 1_000_000_000), follow_symlinks=False)
    return place


def unpacked(files: Sequence[Path], folder: Path) -> Path:
    """The sources as the sdist among the files has them."""
    (sdist,) = [one for one in files if one.name.endswith(".tar.gz")]
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    return next(folder.iterdir())


def _no_sources(folder: str, names: list[str]) -> set[str]:
    made = {name for name in names if name.startswith(".venv") or name in {"__pycache__", "node_modules"}}
    return made | (_LEFT_OUT & set(names) if Path(folder) == ROOT else set())


def tried(wheel: Path, folder: Path) -> None:
    """Install the wheel into an environment of its own, at the versions of the lock, and run the demo there."""
    venv.create(folder, with_pip=True)
    pins = folder / "pins.txt"
    pins.write_text("".join(f"{one.name}=={one.version}\n" for one in parts()), encoding="utf-8")
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--constraint", str(pins), f"{wheel}[sandbox]"], check=True)
    for arguments in (["--version"], ["demo"]):
        subprocess.run([folder / "bin" / "dpsync", *arguments], cwd=folder, check=True)


def main(twine: str) -> int:
    """Make dist/ anew. Whatever fails ends it."""
    dist = ROOT / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    with tempfile.TemporaryDirectory() as scratch:
        made = built(ROOT, dist)
        files = [dist / name for name in made]
        again = built(copied(Path(scratch) / "source"), Path(scratch) / "again")
        from_sdist = built(unpacked(files, Path(scratch) / "sdist"), Path(scratch) / "third", "wheel")
        if made != {**again, **from_sdist}:
            print(f"the builds are not the same: {made}, {again}, of the sdist {from_sdist}", file=sys.stderr)
            return 1
        subprocess.run([twine, "check", "--strict", *files], check=True)
        found = parts()
        (dist / "dpsync.cdx.json").write_text(bill(found), encoding="utf-8")
        (dist / "licences.md").write_text(licences(found), encoding="utf-8")
        tried(next(one for one in files if one.suffix == ".whl"), Path(scratch) / "bare")
    sums = [f"{hashlib.sha256(one.read_bytes()).hexdigest()}  {one.name}" for one in sorted(dist.iterdir())]
    (dist / "SHA256SUMS").write_text("\n".join(sums) + "\n", encoding="utf-8")
    print(f"dpsync {__version__}, in dist/:", *sums, sep="\n  ")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
