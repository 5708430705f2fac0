"""Asks a processor, by reading only, whether it holds a person.

There is no such call in the contract, so the read-back of an erasure answers it, whatever right is meant: it looks for
the person under every address in every place, and says that nobody is held, that somebody is, or that it cannot tell.
The read-backs of the other rights do not: who is not held is neither used nor mailed, so they call that "as asked" too.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final, assert_never

from sqlalchemy.exc import SQLAlchemyError

from dpsync.connector import AsAsked, CannotTell, Connector, Contradicts, Declares, Instruction
from dpsync.errors import CredentialsRejected, DpsyncError, Locked
from dpsync.model import Right
from dpsync.vendor.errors import Ended
from dpsync.vendor.places import PeopleInPlaces, once

NO_LOOKUP: Final = "its interface offers no way to look for a person"
NO_ADDRESS: Final = "it is searched by email address, and none is known"
NOT_SHOWN: Final = "what can be read there does not show it"
REJECTED: Final = "the processor does not accept our credential"


class Presence(StrEnum):
    """Whether a processor holds a person. What is not known is never "not found"."""

    FOUND = "found"
    NOT_FOUND = "not_found"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Lookup:
    """What a look at a processor showed.

    `detail`: what was seen, what was looked for, or why it is not known; a fixed phrase of ours. `records`: how many of
    the person, None where they are not counted. `again`: no answer came just now, and another time one may.
    """

    presence: Presence
    detail: str = ""
    records: int | None = None
    again: bool = False


def unknown(why: str, *, again: bool = False) -> Lookup:
    """That nobody can say whether the person is held there, and why."""
    return Lookup(Presence.UNKNOWN, why, again=again)


def look(connector: Connector, instruction: Instruction) -> Lookup:
    """Look for whom an instruction is about, whichever right it is of. Changes nothing.

    Raises nothing but the trouble of our own store, in which connectors remember things.
    """
    if Right.ERASURE not in connector.capabilities:
        return unknown(NO_LOOKUP)
    asked = replace(instruction, right=Right.ERASURE, changes=None, lifted=None)
    try:
        return _read(connector, asked)
    except (SQLAlchemyError, Locked):
        raise
    except CredentialsRejected:
        return unknown(REJECTED, again=True)
    except DpsyncError as error:
        return unknown(error.message, again=True)
    except Exception as error:  # noqa: BLE001 - because one connector's defect must not hide the other answers
        return unknown(f"a fault of dpsync ({type(error).__name__})", again=True)


def _read(connector: Connector, asked: Instruction) -> Lookup:
    match connector.verify(asked):
        case AsAsked() if asked.spellings:
            return Lookup(Presence.NOT_FOUND, connector.capabilities[Right.ERASURE].verified_by, records=0)
        case AsAsked():
            return unknown(NO_ADDRESS)  # nothing was looked for, so nothing was not found
        case Contradicts(reason=seen):
            return Lookup(Presence.FOUND, seen, _counted(connector, asked))
        case CannotTell(reason=why, later=True):
            return unknown(why, again=True)
        case CannotTell(reason=why) | Declares(reason=why):
            return unknown(f"{NOT_SHOWN} ({why})")
        case other:
            assert_never(other)


def _counted(connector: Connector, asked: Instruction) -> int | None:
    """How many records of the person there are, None where they cannot be counted."""
    if not isinstance(connector, PeopleInPlaces):
        return None
    try:
        return sum(1 for _ in _records(connector, asked))
    except (Ended, CredentialsRejected):
        return None


def _records(connector: PeopleInPlaces[Any, Any, Any, Any], asked: Instruction) -> Iterator[object]:
    """Each record once, also where two spellings of an address lead to it."""
    calls = connector.calls(asked)
    for place in connector.places(calls):
        seen: list[object] = []
        for address in once(asked.spellings):
            member = connector.member(calls, place, address)
            # Where a place is made of several lists, the person has a record in each of them.
            found = list(member.items()) if isinstance(member, Mapping) else [member] if member is not None else []
            seen += [one for one in found if one not in seen]
        yield from seen
