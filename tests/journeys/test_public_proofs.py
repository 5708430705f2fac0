"""Each entry of a receipt with its proof in the public format, for tools that know nothing of dpsync."""

import base64
import hashlib
from pathlib import Path

import pytest

from dpsync.__main__ import main
from dpsync.ledger import merkle, note
from dpsync.model import Right
from tests.journeys.installation import Installation, installed, sqlite_url


def test_each_entry_has_its_proof_beside_the_receipt(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with installed(tmp_path, sqlite_url(tmp_path)) as there:
        one = there.ask(Right.ERASURE, "ada@example.org")
        there.drive()
        for name, value in there.environ.items():
            monkeypatch.setenv(name, value)
        folder = tmp_path / "public"
        folder.mkdir()
        capsys.readouterr()
        argv = ["--config", str(tmp_path / "dpsync.toml"), "receipt", one.id, "-o", str(folder), "--proofs"]
        assert main(argv) == 0
        proofs = sorted(folder.glob("*.tlog-proof"), key=lambda path: int(path.stem))
        assert capsys.readouterr().out.split() == [str(folder / f"{one.id}.json"), *map(str, proofs)]
        assert len(proofs) >= 3
        for path in proofs:
            assert_included(there, path)


def assert_included(there: Installation, path: Path) -> None:
    said, _, checkpoint = path.read_text(encoding="utf-8").partition("\n\n")
    form, index, *steps = said.split("\n")
    head = note.verify(checkpoint, there.service.log.keys)
    leaf = hashlib.sha256(b"\0" + path.with_suffix(".entry").read_bytes()).digest()
    proof = [base64.b64decode(step) for step in steps]
    assert (form, index) == ("c2sp.org/tlog-proof@v1", f"index {path.stem}")
    assert merkle.verify_inclusion(leaf, int(path.stem), head.size, proof, head.root)
