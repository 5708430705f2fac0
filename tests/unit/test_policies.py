"""What a reader's policy says, line by line: who counts as a witness, and when the quorum is met."""

import base64
import json

import pytest

from dpsync.errors import NoteInvalid
from dpsync.ledger import note, receipt, verify_receipt
from dpsync.ledger.cosignature import Cosigner
from tests.unit.test_grades import ONE, POLICY, THREE, TWO, cosigned, graded, of_receipt
from tests.unit.test_ledger_receipt import LINE, SIGNER, grown

TWO_WITNESSES = f"log {LINE}\nwitness one {ONE.witness.line}\nwitness two {TWO.witness.line}\n"


def read(policy: str | bytes, *by: Cosigner) -> tuple[list[str], bool]:
    signed = note.sign(note.Checkpoint("example.org/dpsync", 3, bytes(32)), SIGNER)
    raw = policy.encode() if isinstance(policy, str) else policy
    return verify_receipt.witnesses(raw, LINE, [cosigned(signed, *by)])


@pytest.mark.parametrize(
    ("lines", "by", "met"),
    [
        ("group g any one two\nquorum g\n", (ONE,), True),
        ("group g any one two\nquorum g\n", (), False),
        ("group g all one two\nquorum g\n", (ONE, TWO), True),
        ("group g all one two\nquorum g\n", (ONE,), False),
        ("group g 2 one two\nquorum g\n", (TWO,), False),
        ("group g any one\nquorum g\n", (ONE,), True),
        ("quorum one\n", (ONE,), True),
        ("quorum none\n", (ONE, TWO), False),
        ("# \x80 in a comment\nquorum one\n", (ONE,), True),
    ],
)
def test_a_quorum_is_met_by_those_who_cosigned_and_by_nobody_else(
    lines: str, by: tuple[Cosigner, ...], met: bool
) -> None:
    assert read((TWO_WITNESSES + lines).encode("latin-1"), *by)[1] is met


@pytest.mark.parametrize(
    "lines",
    [
        f"witness none {THREE.witness.line}\nquorum none\n",
        f"witness three {THREE.witness.line} https://witness.example more\nquorum one\n",
        f"witnes three {THREE.witness.line}\nquorum one\n",
        f"log {LINE} https://example.org more\nquorum one\n",
        "group one any two\nquorum one\n",
        "group none any two\nquorum none\n",
        "group g any nobody one\nquorum g\n",
        "group g\nquorum one\n",
        "grop g any one\nquorum one\n",
        "grop g any one\ngroup h any one\nquorum one\n",
        "quorum nobody\n",
        "quorum one two\n",
        "# \x7f\nquorum one\n",
    ],
)
def test_a_line_that_is_none_of_the_format_makes_it_no_policy(lines: str) -> None:
    with pytest.raises(verify_receipt.NOT_HOLDING):
        read(TWO_WITNESSES + lines, ONE, TWO)


def test_a_line_that_is_none_is_named_by_its_number_from_one() -> None:
    with pytest.raises(ValueError, match=r"^line 4 of the policy is not in the form"):
        read(TWO_WITNESSES + "quorums one\n")


def test_what_does_not_hold_is_said_in_words_of_ours_and_nothing_of_python_is() -> None:
    assert verify_receipt.said_of(ValueError("a seal is broken")) == "a seal is broken"
    for error in (KeyError("checkpoint"), IndexError("list index out of range"), TypeError("x")):
        assert verify_receipt.said_of(error).startswith("a part of it is missing")


def test_a_log_line_holds_a_key_and_at_most_an_address() -> None:
    policy = f"log {LINE} https://example.org more\nwitness one {ONE.witness.line}\nquorum one\n"
    with pytest.raises(verify_receipt.NOT_HOLDING):
        read(policy, ONE)


def test_where_a_log_or_witness_answers_may_stand_behind_its_key() -> None:
    policy = f"log {LINE} https://example.org\nwitness one {ONE.witness.line} https://witness.example\nquorum one\n"
    assert read(policy, ONE) == (["one"], True)


def test_a_cosignature_of_the_first_second_counts_and_one_of_no_time_does_not() -> None:
    head = note.Checkpoint("example.org/dpsync", 3, bytes(32))
    signed = note.sign(head, SIGNER)
    assert ONE.witness.cosigned_at(signed + ONE.line(head, 1)) == 1
    assert verify_receipt.cosigned(ONE.witness.line, signed + ONE.line(head, 1))
    for bad in (ONE.line(head, 0), _longer(ONE.line(head, 7))):
        with pytest.raises(NoteInvalid, match="does not fit"):
            ONE.witness.cosigned_at(signed + bad)
        with pytest.raises(ValueError, match="does not fit"):
            verify_receipt.cosigned(ONE.witness.line, signed + bad)


def _longer(line: str) -> str:
    mark, name, field = line.split(" ")
    return f"{mark} {name} {base64.b64encode(base64.b64decode(field) + b'0').decode()}\n"


def test_who_cosigned_a_checkpoint_before_the_last_entry_of_a_receipt_has_not_seen_it() -> None:
    notes, files, raw = grown()
    last, told = max(notes), verify_receipt.entries_of(json.loads(raw))[-1][0]
    grades = {}
    for size in notes:
        steps = (files[size, last],) if size < last else ()
        said = verify_receipt.check(raw, LINE, None, cosigned(notes[size], ONE), steps, POLICY.encode())
        grades[size] = next(line[6] for line in said if line.startswith("GRADE"))
    assert told in grades, "one checkpoint ends just before the last entry"
    assert grades == {size: "4" if size > told else "2" for size in notes}


def test_the_checkpoint_in_the_receipt_counts_besides_the_one_that_was_kept() -> None:
    value = of_receipt()
    value["checkpoint"] = cosigned(str(value["checkpoint"]), TWO)
    value["seal"] = note.sign_text(receipt.seal_text(value), [SIGNER])
    assert graded(value, cosigned(str(of_receipt()["checkpoint"]), ONE), POLICY).startswith("GRADE 5")
