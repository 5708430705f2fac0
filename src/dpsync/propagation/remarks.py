"""What a receipt says of each processor besides its entries: what its interface cannot do, and what is open there."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from dpsync.connector import Capability, Means
from dpsync.ledger import entry
from dpsync.ledger.told import PlaceTold, Said
from dpsync.model import CLOSED_STATES, Right, Rung, State
from dpsync.propagation.controller import Controller

UNDECLARED: Final = Capability(
    means=Means.NOTICE,
    effect="The processor's contact has the instruction and a link to answer it. dpsync reminds and escalates in time.",
    limits="Nothing happens until a person there does it, and their answer is their word only.",
    verified_by="",
    source="GDPR Art. 19, 28(3)(e)",
)
"""What holds for a right that a connector does not declare, where the notice connector says nothing closer."""

NOT_CONFIGURED: Final = "It is not in the settings any more, so what it can do is not known."

_SET_ASIDE: Final[Mapping[State, str]] = {
    State.SETTLED: "a named person of the controller closed it. It does not count as done",
    State.EXEMPT: "it need not be told (Art. 19, or a part that is nothing there). It does not count as done",
    State.WITHDRAWN: "it was withdrawn before anything was sent. It does not count as done",
    State.SUPERSEDED: "a newer request replaced this one. It does not count as done",
}


def heard(name: str, entries: Iterable[Said]) -> PlaceTold:
    """How it stands at one processor, by the entries of a request."""
    place = PlaceTold()
    for idx, said in enumerate(entries):
        if said.get("dest") == name and "state" in said:
            place.hear(idx, said)
            place.way = str(said.get("way", place.way))
    return place


def open_point(place: PlaceTold, word: str) -> str:
    """What is not done, or not seen by us, "" for nothing. `word`: for its state."""
    state = State(place.state)
    if state not in CLOSED_STATES:
        return f"still open ({word})"
    if state in _SET_ASIDE:
        return _SET_ASIDE[state]
    if state is not State.VERIFIED:
        return "only a word that it is done. We did not see it"
    return (
        "" if place.rung >= Rung.STILL_VERIFIED else "we saw it once. A second look, 30 days later, is not in this file"
    )


def remarks(controller: Controller, names: Iterable[str], bodies: Sequence[bytes]) -> dict[str, dict[str, str]]:
    """By the name of each processor: the limits of what it can do for the right, and what is open there.

    `bodies`: the entries of the request, the first of them of its reception.
    """
    entries = [entry.decode(body) for body in bodies]
    right = Right(str(entries[0]["right"]))
    found = {}
    for name in names:
        place = heard(name, entries)
        point = open_point(place, place.state.replace("_", " "))
        found[name] = {"limits": limits(controller, name, right), "open": point}
    return found


def limits(controller: Controller, name: str, right: Right) -> str:
    """What the processor's interface cannot do for a right."""
    processor = controller.processors.get(name)
    if processor is None:
        return NOT_CONFIGURED
    declared = processor.connector.capabilities.get(right)
    return (declared or controller.notice.capabilities.get(right) or UNDECLARED).limits
