"""What whoever decides by link sees of a request: who, what, where, what each processor can do, what follows."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row

from dpsync.installation import Installation
from dpsync.intake.remedies import Remedy, remedies_at
from dpsync.intake.whole import Whole, not_acknowledged, wholes_of
from dpsync.model import Cause, Role, State
from dpsync.propagation import earlier, extensions
from dpsync.propagation.decisions import Decided
from dpsync.propagation.points import QuestionKind, subject_of
from dpsync.propagation.question_texts import consequence
from dpsync.propagation.questions import STUCK, may_release, points_of, was_withdrawn
from dpsync.reports.changing_calls import changing_calls
from dpsync.reports.lines import PropagationLine, RequestStanding
from dpsync.reports.make import known_processors
from dpsync.reports.processors import ProcessorLine
from dpsync.reports.standing import read_standing
from dpsync.reports.words import CAUSES, MEANS, STATES, asked_for, day, moment
from dpsync.store import tables as t


@dataclass(frozen=True, slots=True)
class MatterPlace:
    """The request at one processor. `decided`: whether the decision is about it. `after`: what follows an approval.

    `reason`: a phrase of ours, where it is stuck. `remedies`: what can be decided about it alone. `open`: whether
    something is still to be done there; `calls`: what would be called for it.
    """

    name: str
    title: str
    state: str
    causes: tuple[str, ...]
    reason: str
    means: str
    effect: str
    limits: str
    told: str
    decided: bool
    after: str
    remedies: tuple[Remedy, ...] = ()
    open: bool = False
    calls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Matter:
    """All that is shown. `who`: label and value, None where the identifiers were destroyed. `seen`: a digest of it.

    `held`: whether an approval is asked. `wholes`: what can be decided about the whole request. `withdrawn`: somebody
    withdrew it, so nobody is told of it again. `older`: a sentence for each older request of the same person that is
    not done. `technical`: for the operator, who is shown no person.
    """

    request_id: str
    held: bool
    technical: bool
    wholes: tuple[Whole, ...]
    withdrawn: bool
    what: str
    received: str
    target: str
    due: str
    consequence: str
    approvals: int
    places: tuple[MatterPlace, ...]
    seen: str
    older: tuple[str, ...]
    who: tuple[tuple[str, str], ...] | None = field(repr=False)

    @property
    def back(self) -> bool:
        """Whether somebody is there again, of whom it is asked."""
        return Whole.WELCOME in self.wholes

    @property
    def told(self) -> tuple[str, ...]:
        """Where it cannot be stopped any more."""
        return tuple(place.title for place in self.places if place.told)


def matter_of(
    connection: Connection,
    there: Installation,
    row: Row[Any],
    who: tuple[tuple[str, str], ...] | None,
    now: datetime,
) -> Matter:
    """What whoever was asked this question is shown of the request at this moment."""
    role, request_id, subject = Role(row.role), row.request_id, subject_of(points_of(row))
    withdrawn = was_withdrawn(connection, request_id)
    known = known_processors(there.settings)
    (asked,) = read_standing(connection, t.request.c.id == request_id, now, known)
    asks = subject in {QuestionKind.HELD, QuestionKind.ASKED_FOR}
    released = asks and any(_own(there, role, line) for line in asked.lines)
    view = _View(there, role, subject, released, withdrawn)
    return Matter(
        request_id=request_id,
        held=released,
        technical=subject is QuestionKind.TECHNICAL,
        wholes=wholes_of(
            asked,
            subject,
            role,
            released=released,
            extended=extensions.of(connection, request_id) is not None,
            complained=bool(not_acknowledged(connection, request_id)),
            today=now.astimezone(there.zone).date(),
        ),
        withdrawn=withdrawn,
        what=sentence(("lifting of a " if asked.lifting else "") + asked_for(asked.right, asked.scope)),
        received=moment(asked.received_at, there.zone),
        target=moment(asked.target_at, there.zone),
        due=day(asked.due_on),
        consequence=consequence(asked.right, lifting=asked.lifting, scope=asked.scope),
        approvals=_approvals(there, asked),
        places=tuple(_place(view, line, known.get(line.processor)) for line in asked.lines),
        seen=seen_of(there, asked),
        older=earlier.goes_first(connection, there.controller, request_id),
        who=who,
    )


@dataclass(frozen=True, slots=True)
class _View:
    """Who looks, and what is asked of them. `released`: something is held from which they may release it."""

    there: Installation
    role: Role
    subject: QuestionKind
    released: bool
    withdrawn: bool

    def remedies(self, line: PropagationLine) -> tuple[Remedy, ...]:
        """What this question may decide about one processor."""
        about = {QuestionKind.HELD: frozenset({State.HELD}), QuestionKind.STUCK: STUCK}.get(self.subject)
        mine = self.subject is not QuestionKind.BACK and self.role is not Role.DEPUTY
        if not mine or (about is not None and line.state not in about):
            return ()
        processor = self.there.controller.processors.get(line.processor)
        independent = processor is not None and processor.is_controller
        return remedies_at(line, self.subject, withdrawn=self.withdrawn, independent=independent)


def _own(there: Installation, role: Role, line: PropagationLine) -> set[Cause]:
    """The causes from which a role may release what is held at one processor."""
    return {cause for cause in frozenset(line.causes) if may_release(there.controller, role, cause)}


def _place(view: _View, line: PropagationLine, known: ProcessorLine | None) -> MatterPlace:
    can, there = known.of(line.right) if known else None, view.there
    mine = _own(there, view.role, line) if view.released else set[Cause]()
    remedies = view.remedies(line)
    return MatterPlace(
        name=line.processor,
        title=line.title,
        state=sentence(STATES[line.state]),
        causes=tuple(CAUSES[cause] for cause in line.causes),
        reason=sentence(line.reason),
        means=sentence(MEANS[can.means]) if can else "",
        effect=can.effect if can else "",
        limits=line.limits,
        told=moment(line.told_at, there.zone),
        decided=bool(mine or remedies),
        after=_after(there, line, frozenset(line.causes) - mine) if mine else "",
        remedies=remedies,
        open=line.open,
        calls=_calls(there, line),
    )


def _calls(there: Installation, line: PropagationLine) -> tuple[str, ...]:
    section = there.settings.processors.get(line.processor)
    if section is None or not line.open:
        return ()
    return changing_calls(section.connector, line.right, lifting=line.lifting)


def sentence(text: str) -> str:
    """The text with a capital at its beginning."""
    return text[:1].upper() + text[1:]


def done_of(there: Installation, decided: Sequence[Decided]) -> tuple[tuple[str, str], ...]:
    """What a decision did, at each processor, in words."""
    found = []
    for one in decided:
        said = "still held: " + "; ".join(CAUSES[Cause(cause)] for cause in one.causes) if one.causes else ""
        said = one.refused or said or STATES[one.state]
        found.append((there.controller.title_of(one.processor), f"{sentence(said)}."))
    return tuple(found)


def seen_of(there: Installation, asked: RequestStanding) -> str:
    """A digest of where the request stands, so that nobody decides about something else than they saw."""
    said = [f"{line.processor} {line.state} {','.join(line.causes)}" for line in asked.lines]
    return there.keys.mac("decision seen", "\n".join([asked.id, *said]).encode()).hex()[:32]


def _approvals(there: Installation, asked: RequestStanding) -> int:
    """How many people must approve it, where that is one of the causes."""
    needs = any(Cause.APPROVAL in line.causes for line in asked.lines)
    return max(there.controller.safety.approvals, 1) if needs else 1


def _after(there: Installation, line: PropagationLine, left: frozenset[Cause]) -> str:
    if not left:
        return "dpsync tells this processor at once."
    said = [CAUSES[cause] for cause in sorted(left)]
    if Cause.COOLING_OFF in left and line.waits_until:
        said.append(f"until {moment(line.waits_until, there.zone)}")
    return "dpsync still waits: " + "; ".join(said) + "."
