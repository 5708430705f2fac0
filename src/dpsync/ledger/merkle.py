"""The Merkle tree of RFC 6962, over stored nodes of full sub-trees.

Node (level, idx) covers the leaves idx * 2^level up to (idx + 1) * 2^level. Only full sub-trees are stored, so a stored
node never changes. Proofs are checked with the algorithms of RFC 9162, 2.1.3.2 and 2.1.4.2.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence

Reader = Callable[[int, int], bytes]
"""Gives the hash of the stored node (level, idx)."""

EMPTY_ROOT = hashlib.sha256(b"").digest()


def leaf_hash(body: bytes) -> bytes:
    """The hash of one entry. The prefix keeps a leaf from passing for a node (second pre-image)."""
    return hashlib.sha256(b"\x00" + body).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of two neighbours."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def peaks(start: int, end: int) -> list[tuple[int, int]]:
    """The stored nodes (level, idx) that together cover the leaves from `start` up to `end`, from the left.

    `start` is a multiple of the largest power of two within the range, as everywhere in RFC 6962's recursion.
    """
    found = []
    while start < end:
        level = (end - start).bit_length() - 1
        found.append((level, start >> level))
        start += 1 << level
    return found


def fold(hashes: Sequence[bytes]) -> bytes:
    """The root over neighbouring full sub-trees, given from the left, the largest first."""
    if not hashes:
        return EMPTY_ROOT
    total = hashes[-1]
    for left in reversed(hashes[:-1]):
        total = node_hash(left, total)
    return total


def grow(
    size: int, frontier: dict[int, bytes], leaves: Iterable[bytes], take: Callable[[int, int, bytes], bytes]
) -> int:
    """Append leaf hashes to a tree of `size` leaves; gives the new size.

    `frontier` holds the tree's peaks by level, and afterwards those of the grown tree. `take` receives every node
    that becomes full, children before parents, and answers with the hash to go on with: whoever appends gives it back,
    whoever checks gives back what is stored, so that one altered node is named once and not with all above it.
    """
    for leaf in leaves:
        level, idx, value = 0, size, take(0, size, leaf)
        while idx & 1:
            value = node_hash(frontier.pop(level), value)
            level, idx = level + 1, idx >> 1
            value = take(level, idx, value)
        frontier[level] = value
        size += 1
    return size


def frontier_root(frontier: dict[int, bytes]) -> bytes:
    """The root of the tree that has these peaks."""
    return fold([frontier[level] for level in sorted(frontier, reverse=True)])


def root(get: Reader, size: int) -> bytes:
    """The root of the tree's first `size` leaves."""
    return _covering(get, 0, size)


def inclusion_proof(get: Reader, idx: int, size: int) -> list[bytes]:
    """The audit path of leaf `idx` in the tree of `size` leaves, from the leaf's sibling upwards (RFC 6962, 2.1.1).

    Raises `ValueError` where there is no such leaf.
    """
    if not 0 <= idx < size:
        raise ValueError("no such leaf in a tree of that size")
    start, end, path = 0, size, []
    while end - start > 1:
        middle = start + _split(end - start)
        if idx < middle:
            path.append(_covering(get, middle, end))
            end = middle
        else:
            path.append(_covering(get, start, middle))
            start = middle
    return path[::-1]


def consistency_proof(get: Reader, old: int, new: int) -> list[bytes]:
    """What shows that the tree of `new` leaves begins with the tree of `old` leaves (RFC 6962, 2.1.2).

    Empty where `old` is 0 or equals `new`. Raises `ValueError` where `old` is larger.
    """
    if not 0 <= old <= new:
        raise ValueError("the older tree is larger than the newer one")
    if old in {0, new}:
        return []
    start, end, whole, path = 0, new, True, []
    while old != end:
        middle = start + _split(end - start)
        if old <= middle:
            path.append(_covering(get, middle, end))
            end = middle
        else:
            path.append(_covering(get, start, middle))
            start, whole = middle, False
    if not whole:
        path.append(_covering(get, start, end))
    return path[::-1]


def verify_inclusion(leaf: bytes, idx: int, size: int, proof: Sequence[bytes], root_hash: bytes) -> bool:
    """Whether `proof` shows that the leaf hash `leaf` is number `idx` of the tree of `size` leaves with that root."""
    if not 0 <= idx < size:
        return False
    position, last, value = idx, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if position & 1 or position == last:
            value = node_hash(sibling, value)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            value = node_hash(value, sibling)
        position, last = position >> 1, last >> 1
    return last == 0 and value == root_hash


def verify_consistency(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether `proof` shows that the tree (`new`, `new_root`) only adds to the tree (`old`, `old_root`)."""
    if not 0 <= old <= new:
        return False
    if old == new:
        return not proof and old_root == new_root
    if old == 0:
        return not proof and old_root == EMPTY_ROOT
    path = list(proof) if old & (old - 1) else [old_root, *proof]
    if not path:
        return False
    position, last = old - 1, new - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    older = newer = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if position & 1 or position == last:
            older, newer = node_hash(sibling, older), node_hash(sibling, newer)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            newer = node_hash(newer, sibling)
        position, last = position >> 1, last >> 1
    return last == 0 and older == old_root and newer == new_root


def _split(count: int) -> int:
    """The largest power of two smaller than `count`."""
    return 1 << ((count - 1).bit_length() - 1)


def _covering(get: Reader, start: int, end: int) -> bytes:
    return fold([get(level, idx) for level, idx in peaks(start, end)])
