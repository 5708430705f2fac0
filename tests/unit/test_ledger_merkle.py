"""The tree against RFC 6962's own definition, written here once more, and against the public vectors."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpsync.ledger import merkle

# The leaves and roots that the certificate-transparency projects test with.
LEAVES = [
    bytes.fromhex(leaf)
    for leaf in "_ 00 10 2021 3031 40414243 5051525354555657 606162636465666768696a6b6c6d6e6f".replace("_", "").split(
        " "
    )
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
Nodes = dict[tuple[int, int], bytes]


def tree(leaves: list[bytes], pieces: int = 1) -> Nodes:
    """The stored nodes after appending `leaves` in that many batches, each beginning with the peaks as read back."""
    nodes: Nodes = {}

    def take(level: int, idx: int, value: bytes) -> bytes:
        assert (level, idx) not in nodes
        nodes[level, idx] = value
        return value

    step = max(1, -(-len(leaves) // pieces))
    for start in range(0, len(leaves), step):
        frontier = {level: nodes[level, idx] for level, idx in merkle.peaks(0, start)}
        batch = leaves[start : start + step]
        end = merkle.grow(start, frontier, map(merkle.leaf_hash, batch), take)
        assert end == start + len(batch)
        assert merkle.frontier_root(frontier) == naive_root(leaves[:end])
    return nodes


def reader(nodes: Nodes) -> merkle.Reader:
    return lambda level, idx: nodes[level, idx]


def naive_root(leaves: list[bytes]) -> bytes:
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    half = split(len(leaves))
    return hashlib.sha256(b"\x01" + naive_root(leaves[:half]) + naive_root(leaves[half:])).digest()


def naive_path(m: int, leaves: list[bytes]) -> list[bytes]:
    if len(leaves) == 1:
        return []
    half = split(len(leaves))
    if m < half:
        return [*naive_path(m, leaves[:half]), naive_root(leaves[half:])]
    return [*naive_path(m - half, leaves[half:]), naive_root(leaves[:half])]


def naive_subproof(m: int, leaves: list[bytes], whole: bool) -> list[bytes]:
    if m == len(leaves):
        return [] if whole else [naive_root(leaves)]
    half = split(len(leaves))
    if m <= half:
        return [*naive_subproof(m, leaves[:half], whole), naive_root(leaves[half:])]
    return [*naive_subproof(m - half, leaves[half:], False), naive_root(leaves[:half])]


def split(count: int) -> int:
    half = 1
    while half * 2 < count:
        half *= 2
    return half


batches = st.lists(st.binary(max_size=8), max_size=70)


def test_the_public_vectors_of_certificate_transparency_hold() -> None:
    get = reader(tree(LEAVES))
    assert [merkle.root(get, size).hex() for size in range(9)] == ROOTS


def test_the_public_inclusion_and_consistency_vectors_hold() -> None:
    get = reader(tree(LEAVES))
    assert [step.hex() for step in merkle.inclusion_proof(get, 5, 8)] == [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ]
    assert [step.hex() for step in merkle.consistency_proof(get, 2, 5)] == [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ]
    assert [step.hex() for step in merkle.consistency_proof(get, 6, 8)] == [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ]


@given(batches, st.integers(1, 6))
def test_a_tree_grown_in_any_batches_is_the_tree_of_the_definition(leaves: list[bytes], pieces: int) -> None:
    nodes = tree(leaves, pieces)
    assert nodes == tree(leaves)
    assert set(nodes) == {(level, idx) for level in range(8) for idx in range(len(leaves) >> level)}
    for size in range(len(leaves) + 1):
        assert merkle.root(reader(nodes), size) == naive_root(leaves[:size])


@given(batches.filter(bool), st.data())
def test_an_inclusion_proof_is_that_of_the_definition_and_verifies(leaves: list[bytes], data: st.DataObject) -> None:
    size = data.draw(st.integers(1, len(leaves)))
    idx = data.draw(st.integers(0, size - 1))
    proof = merkle.inclusion_proof(reader(tree(leaves)), idx, size)
    root = naive_root(leaves[:size])
    assert proof == naive_path(idx, leaves[:size])
    assert merkle.verify_inclusion(merkle.leaf_hash(leaves[idx]), idx, size, proof, root)


@given(batches.filter(bool), st.data())
def test_a_consistency_proof_is_that_of_the_definition_and_verifies(leaves: list[bytes], data: st.DataObject) -> None:
    new = data.draw(st.integers(0, len(leaves)))
    old = data.draw(st.integers(0, new))
    proof = merkle.consistency_proof(reader(tree(leaves)), old, new)
    assert proof == (naive_subproof(old, leaves[:new], True) if 0 < old < new else [])
    assert merkle.verify_consistency(old, new, naive_root(leaves[:old]), naive_root(leaves[:new]), proof)


@given(st.lists(st.binary(min_size=1, max_size=4), min_size=2, max_size=40, unique=True), st.data())
def test_an_inclusion_proof_serves_for_no_other_place_leaf_size_or_path(
    leaves: list[bytes], data: st.DataObject
) -> None:
    size = len(leaves)
    idx = data.draw(st.integers(0, size - 1))
    other = data.draw(st.integers(-1, size + 1).filter(lambda number: number != idx))
    leaf, root = merkle.leaf_hash(leaves[idx]), naive_root(leaves)
    proof = naive_path(idx, leaves)
    at = data.draw(st.integers(0, len(proof) - 1))
    assert not merkle.verify_inclusion(merkle.leaf_hash(b""), idx, size, proof, root)
    assert not merkle.verify_inclusion(leaf, other, size, proof, root)
    assert not merkle.verify_inclusion(leaf, idx, size, proof[:at] + proof[at + 1 :], root)
    assert not merkle.verify_inclusion(leaf, idx, size, [*proof, root], root)
    assert not merkle.verify_inclusion(leaf, idx, size, [*proof[:at], bytes(32), *proof[at + 1 :]], root)
    assert not merkle.verify_inclusion(leaf, idx, size, proof, bytes(32))


@given(st.lists(st.binary(min_size=1, max_size=4), min_size=3, max_size=40, unique=True), st.data())
def test_a_changed_past_has_no_consistency_proof(leaves: list[bytes], data: st.DataObject) -> None:
    new = len(leaves)
    old = data.draw(st.integers(1, new - 1))
    changed = data.draw(st.integers(0, old - 1))
    forged = [*leaves[:changed], b"", *leaves[changed + 1 :]]
    proof = merkle.consistency_proof(reader(tree(forged)), old, new)
    before, after = naive_root(leaves[:old]), naive_root(forged)
    assert not merkle.verify_consistency(old, new, before, after, proof)
    honest = naive_subproof(old, leaves, True)
    at = data.draw(st.integers(0, len(honest) - 1))
    root = naive_root(leaves)
    assert merkle.verify_consistency(old, new, before, root, honest)
    assert not merkle.verify_consistency(old, new, before, root, honest[:at] + honest[at + 1 :])
    assert not merkle.verify_consistency(old, new, before, root, [*honest, root])
    assert not merkle.verify_consistency(new, old, root, before, honest)


def test_equal_sizes_and_the_empty_tree_need_no_proof_and_accept_none() -> None:
    root = naive_root([b"a"])
    assert merkle.verify_consistency(1, 1, root, root, [])
    assert not merkle.verify_consistency(1, 1, root, merkle.EMPTY_ROOT, [])
    assert not merkle.verify_consistency(1, 1, root, root, [root])
    assert merkle.verify_consistency(0, 1, merkle.EMPTY_ROOT, root, [])
    assert not merkle.verify_consistency(0, 1, root, root, [])
    assert not merkle.verify_consistency(3, 5, root, root, [])


def test_every_proof_between_the_trees_of_up_to_seventy_leaves_verifies_and_for_no_other_root() -> None:
    leaves = [number.to_bytes(2, "big") for number in range(70)]
    get, roots = reader(tree(leaves)), [naive_root(leaves[:size]) for size in range(71)]
    for new, root in enumerate(roots):
        for old, before in enumerate(roots[: new + 1]):
            proof = merkle.consistency_proof(get, old, new)
            assert merkle.verify_consistency(old, new, before, root, proof)
            if 0 < old < new:
                assert not merkle.verify_consistency(old, new, root, root, proof)
                assert not merkle.verify_consistency(old, new, before, roots[new - 1], proof)
                assert not merkle.verify_consistency(old, new, before, root, [*proof, root])
                assert not (proof and merkle.verify_consistency(old, new, before, root, proof[:-1]))
        for idx, leaf in enumerate(leaves[:new]):
            proof = merkle.inclusion_proof(get, idx, new)
            assert merkle.verify_inclusion(merkle.leaf_hash(leaf), idx, new, proof, root)
            assert not merkle.verify_inclusion(merkle.leaf_hash(leaf), idx, new, [*proof, root], root)


@pytest.mark.parametrize(("idx", "size"), [(0, 0), (3, 3), (-1, 3)])
def test_there_is_no_proof_for_a_leaf_outside_the_tree(idx: int, size: int) -> None:
    with pytest.raises(ValueError, match="no such leaf"):
        merkle.inclusion_proof(reader(tree(LEAVES)), idx, size)


def test_there_is_no_proof_from_a_larger_tree_to_a_smaller_one() -> None:
    with pytest.raises(ValueError, match="larger"):
        merkle.consistency_proof(reader(tree(LEAVES)), 5, 4)
