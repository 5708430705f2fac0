"""The consistency file: one spelling, and a proof that leads from one checkpoint to the next or does not."""

import base64
import hashlib
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpsync.errors import NoteInvalid
from dpsync.ledger import merkle, note
from dpsync.ledger.continuation import LONGEST, Continuation, parse

SIGNER = note.Signer.from_seed("example.org/dpsync", bytes(range(32)))


class Tree:
    """A tree of that many numbered leaves."""

    def __init__(self, size: int) -> None:
        self.nodes: dict[tuple[int, int], bytes] = {}
        leaves = (merkle.leaf_hash(str(number).encode()) for number in range(size))
        merkle.grow(0, {}, leaves, self._take)

    def _take(self, level: int, idx: int, value: bytes) -> bytes:
        self.nodes[level, idx] = value
        return value

    def get(self, level: int, idx: int) -> bytes:
        return self.nodes[level, idx]

    def step(self, old: int, new: int) -> Continuation:
        head = note.Checkpoint(SIGNER.name, new, merkle.root(self.get, new))
        return Continuation(old, tuple(merkle.consistency_proof(self.get, old, new)), note.sign(head, SIGNER))


@given(st.data())
def test_it_is_read_as_it_was_written_and_leads_from_the_older_root_alone(data: st.DataObject) -> None:
    new = data.draw(st.integers(1, 70))
    old = data.draw(st.integers(0, new))
    tree = Tree(new)
    step = parse(tree.step(old, new).text)
    assert step == tree.step(old, new)
    assert (step.old, step.head.size, step.name) == (old, new, f"{old}-{new}")
    assert step.leads_from(merkle.root(tree.get, old))
    assert not step.leads_from(bytes(32))


def test_the_form_is_the_size_the_proof_an_empty_line_and_the_checkpoint() -> None:
    step = Tree(3).step(1, 3)
    above, _, below = step.text.partition("\n\n")
    assert above.split("\n") == ["old 1", *(base64.b64encode(one).decode() for one in step.proof)]
    assert below == step.checkpoint


def test_each_changed_byte_is_refused_or_leads_no_more_or_is_not_signed() -> None:
    tree, chance = Tree(11), Random(1)
    step = tree.step(5, 11)
    root, raw, unseen = merkle.root(tree.get, 5), step.text.encode(), []
    for _ in range(1000):
        changed, at = bytearray(raw), chance.randrange(len(raw))
        changed[at] ^= 1 << chance.randrange(8)
        try:
            found = parse(bytes(changed).decode())
            note.verify(found.checkpoint, [SIGNER.verifier])
        except (NoteInvalid, UnicodeDecodeError):
            continue
        if found.name == step.name and found.leads_from(root):
            unseen.append(at)
    assert unseen == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("old 5\n", "old 05\n"),
        ("old 5\n", "old -5\n"),
        ("old 5\n", "old 12\n"),
        ("old 5\n", "5\n"),
        ("old 5\n", "old 5\n" + f"{base64.b64encode(bytes(32)).decode()}\n" * 64),
        ("old 5\n", f"old 5\n{base64.b64encode(bytes(31)).decode()}\n"),
        ("old 5\n", "old 5\n\n"),
        ("\n\n", "\n"),
    ],
)
def test_what_would_not_be_printed_the_same_is_no_consistency_file(before: str, after: str) -> None:
    text = Tree(11).step(5, 11).text
    assert before in text
    with pytest.raises(NoteInvalid):
        parse(text.replace(before, after, 1))


def test_steps_lead_from_one_checkpoint_to_the_next_whatever_lies_between() -> None:
    tree = Tree(40)
    for old, new in pairwise([1, 2, 3, 7, 8, 33, 40]):
        assert parse(tree.step(old, new).text).leads_from(merkle.root(tree.get, old))
    swapped = Continuation(7, tree.step(3, 40).proof, tree.step(7, 40).checkpoint)
    assert not swapped.leads_from(merkle.root(tree.get, 7))


def test_a_ledger_without_entries_goes_on_as_any() -> None:
    step = Tree(4).step(0, 4)
    assert step.proof == ()
    assert parse(step.text).leads_from(hashlib.sha256(b"").digest())


def test_sizes_of_eighteen_digits_are_read_and_longer_ones_are_not() -> None:
    head = note.Checkpoint(SIGNER.name, 10**18 - 1, bytes(32))
    step = Continuation(10**18 - 1, (), note.sign(head, SIGNER))
    assert parse(step.text) == step
    with pytest.raises(NoteInvalid, match="no consistency file"):
        parse(step.text.replace("old 9", "old 99", 1))


def test_a_proof_holds_as_many_hashes_as_the_format_allows_and_no_more() -> None:
    head = note.Checkpoint(SIGNER.name, 9, bytes(32))
    step = Continuation(5, (bytes(32),) * LONGEST, note.sign(head, SIGNER))
    assert parse(step.text) == step
    with pytest.raises(NoteInvalid):
        parse(Continuation(5, (bytes(32),) * (LONGEST + 1), note.sign(head, SIGNER)).text)
