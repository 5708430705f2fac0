"""What an opt-out from a part is at one processor: never more than the person said, and never less. Pure.

What the settings of a processor say decides, and where they say nothing a person does. A processor that is told in
words needs nothing said: whoever reads them narrows it down.
"""

from dataclasses import dataclass
from typing import Final

from dpsync.connector import Processor
from dpsync.model import Cause, Right, Way
from dpsync.opt_out_scope import EVERYTHING, NOTHING

OUT_OF_SCOPE: Final = "out_of_scope"
"""Why a processor is not told, as an entry says it: by its settings, this part of an opt-out is nothing there."""


@dataclass(frozen=True, slots=True)
class Narrowed:
    """What a processor is told of it. `scope`: in our words, "" for all marketing; `only`: the parts that it is there,
    by the vendor's own names, None where all of it is meant, or words say which.
    """

    scope: str = ""
    only: tuple[str, ...] | None = None


def is_no_concern(scope: str, processor: Processor) -> bool:
    """Whether the settings say that this part is nothing at this processor."""
    return bool(scope) and processor.scopes.get(scope) == (NOTHING,)


def causes(scope: str, processor: Processor, way: Way) -> frozenset[Cause]:
    """Why it must wait for a person: nobody has said what this part is there, so it could only be widened, or lost."""
    if not scope or way is not Way.API or processor.connector.tells_scope:
        return frozenset()
    unsaid = processor.scopes.get(scope, (NOTHING,)) == (NOTHING,)
    return frozenset({Cause.SCOPE_UNMAPPED} if unsaid else ())


def shows_as_left(part: str, place: str) -> bool:
    """Whether a vendor shows somebody who left this part as opted out of that place.

    A blocked email address is shown for a whole account, everything for every place; who left a list of Brevo's, or an
    interest group, is shown as opted out nowhere.
    """
    kind, _, own_id = part.partition("=")
    return part in {EVERYTHING, "channel=email"} or (kind in {"audience", "list"} and own_id.lower() == place.lower())


def parts_of(scope: str, processor: Processor, *, everywhere: bool) -> frozenset[str]:
    """What an opt-out from a part takes the person out of there, as far as the settings of today say it."""
    found = told(scope, processor, everywhere=everywhere)
    return frozenset(found.only or ()) if found.scope else frozenset({EVERYTHING})


def named_parts(processor: Processor) -> frozenset[str]:
    """Every part of a processor that its settings name."""
    return frozenset(part for meant in processor.scopes.values() for part in meant) - {EVERYTHING, NOTHING}


def told(scope: str, processor: Processor, *, everywhere: bool) -> Narrowed:
    """What is told. `everywhere`: a person said that it is to be everything there.

    Of what no settings name (any more) no part is told: a connector carries out, and reads back, nothing of it.
    """
    meant = processor.scopes.get(scope, ())
    if not scope or everywhere or meant == (EVERYTHING,):
        return Narrowed()
    if processor.connector.tells_scope or Right.OPT_OUT not in processor.connector.capabilities:
        return Narrowed(scope)
    return Narrowed(scope, () if meant == (NOTHING,) else meant)
