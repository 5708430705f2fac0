"""What was found outside the database at one moment, and what of it the database says otherwise."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeVar

from sqlalchemy import Connection

from dpsync.errors import AcceptedLost, LedgerTampered, ProofDamaged
from dpsync.journal import Stretch
from dpsync.ledger.anchors import Outside

T = TypeVar("T")

FEW: Final = 3
"""How many problems of one kind a sentence names: of a whole folder of them it would be a page long."""


def first_few(problems: Sequence[str]) -> str:
    """The first of them in one sentence, and how many more there are."""
    more = len(problems) - FEW
    named = "; ".join(problems[:FEW])
    return f"{named}; and {more:,} more: `dpsync verify` names each" if more > 0 else named


class Reader(Protocol):
    """Reads in one moment's view of the store (`Installation.read`)."""

    def __call__(self, work: Callable[[Connection], T], /) -> T: ...


@dataclass(frozen=True, slots=True)
class Lying:
    """What lay outside at one moment. `told` is None where there is no journal to compare with."""

    checkpoints: Outside
    told: Stretch | None
    after: int
    damaged: tuple[str, ...]
    tiles: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Differences:
    """What is wrong. `contradicted`: the ledger is not what was signed. `damaged`: a file outside is missing or spoilt.
    `lost`: accepted requests are missing from the database."""

    contradicted: tuple[str, ...]
    damaged: tuple[str, ...]
    lost: tuple[str, ...]

    def demand(self) -> None:
        """Refuse to go on where anything is wrong. Raises `LedgerTampered`, `AcceptedLost` or `ProofDamaged`."""
        if self.contradicted:
            raise LedgerTampered(first_few([self.contradicted[0], *self.lost]))
        if self.lost:
            raise AcceptedLost(first_few([self.lost[0], *self.damaged]))
        if self.damaged:
            raise ProofDamaged(first_few(self.damaged))
