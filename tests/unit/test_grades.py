"""How far a proof reaches: computed by whoever reads it, from their own policy, and never more than was shown."""

import base64
import hashlib
from pathlib import Path
from random import Random

import pytest

from dpsync.errors import NoteInvalid
from dpsync.ledger import note, receipt, verify_receipt
from dpsync.ledger.cosignature import Cosigner, WitnessKey
from tests.unit.test_ledger_receipt import LINE, SIGNER, grown, receipt_of

ONE, TWO, THREE = (Cosigner.from_seed(f"witness.example/{n}", bytes([n]) * 32) for n in (1, 2, 3))
AT = 1_800_000_000
POLICY = f"""\
# whom the regulator trusts
log {LINE}
witness one {ONE.witness.line} https://witness.example/1
witness two {TWO.witness.line}
\twitness three   {THREE.witness.line}

group both 2 one two
group most any both three
quorum both
"""


# The public test key, checkpoint body and cosignature: the seed is in torchwood's test data, and worth nothing.
PUBLIC = "example.com/witness+10a1c019+BGSEitir7W6FmBs7OHWyUrh2frtLAvcDrKOx5xu9ao5Q"
COSIGNED = (
    "— example.com/witness EKHAGQAAAABkGFDLNeTkW9l2N5pva3SfGK7nzQb7DyOf2k6f86c5aUqhkL+UqYICjKWyrjmHWfeviiVlJ0dHI4k2VQUF"
    "pbc//61ZDA==\n"
)


def cosigned(signed: str, *by: Cosigner) -> str:
    return signed + "".join(one.line(note.parse(signed)[0], AT) for one in by)


def graded(value: dict[str, object], kept: str | None, policy: str, *steps: str) -> str:
    said = verify_receipt.check(receipt.dump(value), LINE, None, kept, steps, policy.encode())
    (line,) = [one for one in said if one.startswith("GRADE")]
    return line


def of_receipt() -> dict[str, object]:
    return dict(receipt_of())


def test_a_key_line_of_the_public_example_is_read_and_its_id_follows_from_it() -> None:
    key = WitnessKey.parse(PUBLIC)
    assert key.line == PUBLIC
    assert base64.b64decode(COSIGNED.split(" ")[2])[:4] == key.key_id
    # body and cosignature were made by another program
    root = bytes.fromhex("45c088d4d939e9971298811f227d1295eaad57bbafae55cd71c171e7de48c25d")
    tree = "sigsum.org/v1/tree/4d6d8825a6bb689d459628312889dfbb0bcd41b5211d9e1ce768b0ff0309e562"
    body = note.Checkpoint(tree, 3, root).text
    assert hashlib.sha256(body.encode()).hexdigest().startswith("a70702df04c8aed8")
    assert key.cosigned_at(f"{body}\n{COSIGNED}") == 1679315147
    assert verify_receipt.cosigned(PUBLIC, f"{body}\n{COSIGNED}")
    with pytest.raises(NoteInvalid):
        WitnessKey.parse(LINE)
    with pytest.raises(NoteInvalid):
        note.VerifierKey.parse(PUBLIC)


@pytest.mark.parametrize(
    ("name", "public"), [("", bytes(32)), ("example.org/w", bytes(33)), ("example.org/w", bytes(31))]
)
def test_a_key_line_without_a_name_or_of_another_length_is_none(name: str, public: bytes) -> None:
    with pytest.raises(NoteInvalid):
        WitnessKey.parse(WitnessKey(name, public).line)


@pytest.mark.parametrize("name", ["\udcc3", "example.org/\x00w"])
def test_a_key_line_whose_name_nobody_can_print_is_none(name: str) -> None:
    _, key_id, key = WitnessKey("example.org/w", bytes(32)).line.split("+", 2)
    if name.isascii():
        key_id = WitnessKey(name, bytes(32)).key_id.hex()  # it fits, and would be taken
    with pytest.raises(NoteInvalid):
        WitnessKey.parse(f"{name}+{key_id}+{key}")


def test_a_cosignature_is_over_the_whole_body_and_its_time() -> None:
    head = note.Checkpoint("example.org/dpsync", 3, bytes(32))
    signed = note.sign(head, SIGNER)
    assert ONE.witness.cosigned_at(signed) is None
    assert ONE.witness.cosigned_at(cosigned(signed, ONE, TWO)) == AT
    line = ONE.line(head, AT)
    raw = bytearray(base64.b64decode(line.split(" ")[2]))
    for at in range(4, 76):
        changed = bytearray(raw)
        changed[at] ^= 1
        bad = signed + f"— {ONE.name} {base64.b64encode(bytes(changed)).decode()}\n"
        with pytest.raises(NoteInvalid, match="does not fit"):
            ONE.witness.cosigned_at(bad)
        with pytest.raises(ValueError, match="does not fit"):
            verify_receipt.cosigned(ONE.witness.line, bad)


@pytest.mark.parametrize(
    ("by", "starts"),
    [
        ((), "GRADE 2 of 6, held"),
        ((ONE,), "GRADE 4 of 6, witnessed"),
        ((THREE,), "GRADE 4 of 6, witnessed"),
        ((ONE, TWO), "GRADE 5 of 6, quorum"),
        ((ONE, THREE), "GRADE 4 of 6, witnessed"),
    ],
)
def test_the_grade_is_what_the_readers_own_policy_makes_of_it(by: tuple[Cosigner, ...], starts: str) -> None:
    value = of_receipt()
    kept = cosigned(str(value["checkpoint"]), *by)
    found = graded(value, kept, POLICY)
    assert found.startswith(starts)
    assert all(name in found for name, one in (("one", ONE), ("three", THREE)) if one in by)


def test_without_a_kept_checkpoint_and_without_witnesses_it_is_signed_and_no_more() -> None:
    assert graded(of_receipt(), None, POLICY).startswith("GRADE 1 of 6, signed")
    assert graded(of_receipt(), None, "quorum none\n").startswith("GRADE 1 of 6, signed")


def test_a_witness_that_the_policy_does_not_name_raises_no_grade() -> None:
    value = of_receipt()
    stranger = Cosigner.from_seed("witness.example/1", bytes([9]) * 32)
    assert graded(value, cosigned(str(value["checkpoint"]), stranger), POLICY).startswith("GRADE 2")


def test_a_cosignature_under_an_older_checkpoint_says_nothing_of_newer_entries() -> None:
    notes, files, raw = grown()
    last = max(notes)
    for size, starts in ((5, "GRADE 2 of 6"), (last, "GRADE 4 of 6")):
        steps = (files[size, last],) if size < last else ()
        said = verify_receipt.check(raw, LINE, None, cosigned(notes[size], ONE), steps, POLICY.encode())
        assert any(line.startswith(starts) for line in said), size
        assert any("No witness of your policy cosigned all" in line for line in said) is (size < last), "the reason"


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        POLICY.replace("quorum both\n", ""),
        POLICY + "quorum one\n",
        POLICY.replace("quorum both", "quorum nobody"),
        POLICY.replace(" 2 one two", " 3 one two"),
        POLICY.replace(" 2 one two", " 0 one two"),
        POLICY.replace(" 2 one two", " two one two"),
        POLICY.replace(" 2 one two", " 2 one one"),
        POLICY.replace(" 2 one two", " 2 one four"),
        POLICY.replace("any both three", "any both three one"),
        POLICY.replace("group both", "group one"),
        POLICY.replace("group both", "group none"),
        POLICY.replace("witness two", "witness one"),
        POLICY.replace(TWO.witness.line, ONE.witness.line),
        POLICY.replace(ONE.witness.line, LINE),
        POLICY.replace(f"log {LINE}", f"log {note.Signer.from_seed('other', bytes(32)).verifier.line}"),
        POLICY.replace("log ", "logs "),
        POLICY + "\x00",
        POLICY + "\r\n",
    ],
)
def test_a_policy_that_is_none_gives_no_grade_at_all(wrong: str) -> None:
    with pytest.raises(verify_receipt.NOT_HOLDING):
        graded(of_receipt(), None, wrong)


def test_no_changed_byte_of_a_policy_raises_the_grade() -> None:
    value, chance = of_receipt(), Random(2)
    kept, raw = cosigned(str(value["checkpoint"]), ONE), POLICY.encode()
    for _ in range(1000):
        changed, at = bytearray(raw), chance.randrange(len(raw))
        changed[at] ^= 1 << chance.randrange(8)
        try:
            seen, quorum = verify_receipt.witnesses(bytes(changed), LINE, [kept])
        except verify_receipt.NOT_HOLDING:
            continue
        assert len(seen) <= 1
        assert not quorum or b"quorum both" not in changed or b"2 one two" not in changed, bytes(changed)


def test_the_program_by_itself_says_the_grade(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    value = of_receipt()
    for name, content in (
        ("r.json", receipt.dump(value)),
        ("kept", cosigned(str(value["checkpoint"]), ONE).encode()),
        ("policy", POLICY.encode()),
    ):
        (tmp_path / name).write_bytes(content)
    arguments = [str(tmp_path / "r.json"), "--checkpoint", str(tmp_path / "kept"), "--policy", str(tmp_path / "policy")]
    assert verify_receipt.main(arguments) == 0
    assert "\nGRADE 4 of 6, witnessed" in capsys.readouterr().out
    assert verify_receipt.main([*arguments[:-1], str(tmp_path / "nowhere")]) == 64
