"""One change, and what a check must say of it."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from dpsync.backup import find, try_out
from dpsync.cli.proof import _looked
from dpsync.errors import DpsyncError
from dpsync.ledger import verify_receipt
from dpsync.running.start import start
from tests.changes.grounds import Grounds
from tests.keeping import standins

Checked = Callable[[Grounds], Sequence[str]]


@dataclass(frozen=True)
class Change:
    """`what`: for people. `places`: a message must hold one of these. `make` changes a copy. `check`: who looks."""

    what: str
    places: Sequence[str]
    make: Callable[[Grounds], object]
    check: Checked

    def missed(self, copy: Grounds) -> str:
        """What is wrong with how it is noticed; "" where it is, at its place."""
        self.make(copy)
        said = self.check(copy)
        if not said:
            return f"{self.what}: not noticed"
        if not any(place in one for one in said for place in self.places):
            return f"{self.what}: {' | '.join(self.places)} is not named by: {' || '.join(said)[:600]}"
        return ""


Maker = Callable[[Grounds, Random], Change | None]
Makers = Mapping[str, Maker]


def by_verify_and_start(there: Grounds) -> list[str]:
    """All that `dpsync verify` and the next start say."""
    said: list[str] = []
    with standins():
        for look in (_verify, _start):
            try:
                said += look(there)
            except DpsyncError as refused:
                said.append(refused.message)
    return said


def _verify(there: Grounds) -> Iterator[str]:
    with there.opened() as installation:
        installation.demand_own_store()
        _, found = _looked(installation, None)
        for problems in found.values():
            yield from problems


def _start(there: Grounds) -> Iterator[str]:
    with there.opened() as installation:
        start(installation)
        yield from ()


def by_drill(there: Grounds) -> list[str]:
    """All that `dpsync drill` says of the newest back-up."""
    try:
        with standins(), there.opened() as installation:
            return [*try_out(installation, find(there.folder / "backups")).problems]
    except DpsyncError as refused:
        return [refused.message]


def by_verifier(there: Grounds, request: str, *, policy: bytes | None = None) -> list[str]:
    """What the program for strangers says of a receipt; nothing where it calls it valid."""
    path = there.receipts / f"{request}.json"
    given = (there.signer.verifier.line, there.about[request])
    try:
        verify_receipt.check(path.read_bytes(), *given, policy=policy)
    except verify_receipt.NOT_HOLDING as refused:
        return [verify_receipt.said_of(refused)]
    return []


def sorted_json(value: object) -> bytes:
    """As a receipt is written."""
    return json.dumps(value, sort_keys=True, indent=1).encode() + b"\n"
