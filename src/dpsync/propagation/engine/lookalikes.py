"""Before "nothing held" is believed: whether somebody is held under what older software makes of the address.

IDNA 2003 read `straße.example` as `strasse.example`, and some software still does. By the standard of today these are
two domains, so nothing is ever done under the other: a person compares.
"""

from dataclasses import replace
from typing import Final, assert_never

from dpsync.address import older_spellings
from dpsync.connector import (
    AsAsked,
    CannotTell,
    Connector,
    Contradicts,
    Declares,
    HandOver,
    Instruction,
    NothingHeld,
    Outcome,
    Recipient,
    Retryable,
)
from dpsync.model import Right

TASK: Final = (
    "Nobody is held under this address. But somebody is held under the address that older software makes of it (such "
    "as ss in place of a sharp s in the domain). Today that is another domain, perhaps of another person. Compare the "
    "two in the web app. Do what is asked there only if it is the same person. dpsync has changed nothing."
)


def tell(connector: Connector, instruction: Instruction) -> Outcome:
    """What the connector says; a hand-over to our operator where only a look-alike is held. Raises what it raises."""
    outcome = connector.carry_out(instruction)
    others = tuple(dict.fromkeys(form for one in instruction.addresses for form in older_spellings(one)))
    if not isinstance(outcome, NothingHeld) or not others or Right.ERASURE not in connector.capabilities:
        return outcome
    # Reads only: that an erasure of the look-alike would be done already says that nobody is there.
    found = connector.verify(replace(instruction, right=Right.ERASURE, addresses=others, changes=None, lifted=None))
    evidence = (*outcome.evidence, *found.evidence)
    match found:
        case AsAsked():
            return NothingHeld(evidence=evidence)
        case Contradicts():
            return HandOver(to=Recipient.OPERATOR, task=TASK, evidence=evidence)
        case CannotTell(reason=reason) | Declares(reason=reason):
            return Retryable(reason=reason, evidence=evidence)
        case never:
            assert_never(never)
