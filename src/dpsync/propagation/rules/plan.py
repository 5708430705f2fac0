"""How each propagation of a request begins, and which of a lane's goes next. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import assert_never

from dpsync.connector import Means, Processor
from dpsync.model import Cause, Mode, Request, Right, State, Way
from dpsync.propagation.rules import brake, scoped
from dpsync.propagation.rules.persons import may_be_same

DOUBTED_COOLS = timedelta(hours=24)
"""How long an erasure waits that came by a door whose secret proves little, where [safety] names no time."""


@dataclass(frozen=True, slots=True)
class Safety:
    """How carefully this installation acts: section [safety]."""

    mode: Mode = Mode.LIVE
    irreversible_per_day: int = 50
    cooling_off: timedelta = timedelta(0)
    approvals: int = 0

    @property
    def cools_for(self) -> timedelta:
        """How long an erasure waits that cools off: some do where the settings let none wait, see `Surroundings`."""
        return self.cooling_off or DOUBTED_COOLS


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the store knows around a request for one processor, when it comes in.

    `counted`: what the brake has counted at this account within 24 h. `confirmed`: the processor's contact has
    confirmed itself by link. `doubts`: what the door it came in by could not rule out.
    """

    shared_address: bool
    restricted: bool
    counted: int
    confirmed: bool
    doubts: frozenset[Cause] = frozenset()


@dataclass(frozen=True, slots=True)
class InitialState:
    """A propagation as it begins."""

    processor: Processor
    state: State
    causes: frozenset[Cause]
    way: Way
    counts: bool

    @property
    def counted(self) -> bool:
        """Whether the brake counts it now. What is held cannot go out: it is counted when it is released."""
        return self.counts and self.state is State.PENDING


def initial_state(
    request: Request, processor: Processor, around: Surroundings, safety: Safety, today: date
) -> InitialState:
    """How one processor's part of `request` begins: exempt, held for some causes, or pending."""
    way = Way.NOTICE if processor.means(request.right) is Means.NOTICE else Way.API
    counts = brake.counts(request)
    exemption = processor.exempt.get(request.right)
    if (exemption and exemption.until >= today) or scoped.is_no_concern(request.scope, processor):
        return InitialState(processor, State.EXEMPT, frozenset(), way, counts=False)
    causes = frozenset(_causes(request, way, around, safety)) | scoped.causes(request.scope, processor, way)
    if counts and not causes and brake.must_hold(around.counted, safety.irreversible_per_day):
        causes = frozenset({Cause.BRAKE})
    return InitialState(processor, State.HELD if causes else State.PENDING, causes, way, counts)


def _causes(request: Request, way: Way, around: Surroundings, safety: Safety) -> Iterable[Cause]:
    if safety.mode is Mode.OBSERVE:
        yield Cause.OBSERVE
    yield from around.doubts if request.irreversible else around.doubts & {Cause.FOR_A_PERSON}
    if request.irreversible:
        # An opt-out never waits for a yes: it has hours (Art. 21(3)).
        if around.shared_address:
            yield Cause.SHARED_ADDRESS
        if around.restricted:
            yield Cause.RESTRICTION_IN_FORCE
        if safety.cooling_off > timedelta(0):
            yield Cause.COOLING_OFF
        if safety.approvals or safety.mode is Mode.CONFIRM:
            yield Cause.APPROVAL
    if way is Way.NOTICE and not around.confirmed:
        yield Cause.CONTACT_UNVERIFIED


# --- who goes next


@dataclass(frozen=True, slots=True)
class Waiting:
    """One propagation of a lane. `tried`: at least one attempt was made. `told`: they have the instruction, as far as
    anybody can know. `covers`: keyed digests of the names of what a rectification changes.
    """

    id: int
    processor: str
    ordinal: int
    right: Right
    lifting: bool
    source: str
    version: int | None
    person: str
    state: State
    tried: bool
    covers: frozenset[str] = frozenset()
    told: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """What goes next in a lane (None: nothing), and what is overtaken by events and never goes."""

    head: Waiting | None
    superseded: tuple[Waiting, ...]


def choose(lane: Sequence[Waiting]) -> Choice:
    """Decide over all propagations, finished ones included, that one account has for one group of subjects.

    The group may be several people who share an address: that orders their requests, it merges nothing. Superseding is
    decided here, before each attempt, and nowhere else: so the end does not depend on the order of arrival.
    """
    pending = sorted((row for row in lane if row.state is State.PENDING), key=lambda row: row.ordinal)
    # By person, or an address that hundreds of ids share would cost each of them a look at all the others.
    deciding: dict[tuple[str, str], list[Waiting]] = defaultdict(list)
    for row in lane:
        if (row.right is Right.ERASURE and row.state not in _MAY_NEVER_GO) or _went_through(row):
            deciding[row.person, row.processor].append(row)
    newest = {group: _Newest(rows) for group, rows in deciding.items()}
    # Nearly always nothing is newer, which is seen without a look at each of them.
    in_question = [row for row in pending if (of := newest.get((row.person, row.processor))) and of.is_after(row)]
    superseded = tuple(row for row in in_question if _is_superseded(row, deciding[row.person, row.processor]))
    gone = {row.id for row in superseded}
    return Choice(_head([row for row in pending if row.id not in gone]), superseded)


def _head(waiting: list[Waiting]) -> Waiting | None:
    if not waiting:
        return None
    head = waiting[0]
    head = min((row for row in waiting if _comparable(row, head) and _same_kind(row, head)), key=_version, default=head)
    stops = [row for row in waiting if row.right is Right.OPT_OUT]
    if head.right is Right.ERASURE and stops:
        return stops[0]  # the opt-out leaves its own proof; after the erasure nobody could be found for it
    hurried = [row for row in waiting if row.right in {Right.OPT_OUT, Right.RESTRICTION}]
    if head.right is Right.RECTIFICATION and head.tried and hurried:
        return hurried[0]  # it has hours, and the rectification may be waiting for days
    return head


def _is_superseded(row: Waiting, deciding: Sequence[Waiting]) -> bool:
    newer = [other for other in deciding if other.id != row.id and _is_newer(other, row)]
    match row.right:
        case Right.RECTIFICATION:
            erased = any(other.right is Right.ERASURE for other in newer)
            # Until the newer one found somebody, this one may know the address under which somebody is.
            return erased or _is_covered(row, [other for other in newer if other.state in _FOUND_SOMEBODY])
        case Right.RESTRICTION:
            return any(other.right is Right.RESTRICTION for other in newer)
        case Right.ERASURE | Right.OPT_OUT:
            return False
        case _:
            assert_never(row.right)


def _is_covered(row: Waiting, newer: Iterable[Waiting]) -> bool:
    """Whether newer rectifications changed all that this one changes; what only this one changes must not be lost."""
    covers = [other.covers for other in newer if other.right is Right.RECTIFICATION]
    return bool(covers) and row.covers <= frozenset().union(*covers)


def told_since(row: Waiting, lane: Iterable[Waiting]) -> list[Waiting]:
    """The rectifications, oldest first, that are newer than this one and were told before it."""
    rectified = (other for other in lane if other.right is Right.RECTIFICATION and _went_through(other))
    newer = _newer(row, rectified)
    one_source = len({other.source for other in newer}) == 1 and all(other.version is not None for other in newer)
    return sorted(newer, key=_version if one_source else lambda other: (0, other.ordinal))


_MAY_NEVER_GO = {State.HELD, State.WITHDRAWN, State.EXEMPT, State.SUPERSEDED}
_MAY_STAND = {State.ESCALATED, State.SETTLED}  # nothing was heard; or a person knows what came of it
_FOUND_SOMEBODY = {State.APPLIED, State.DECLARED_DONE, State.VERIFIED, State.CONTRADICTED}
_WENT_THROUGH = {
    State.ACCEPTED,
    State.HANDED_OVER,
    State.APPLIED,
    State.DECLARED_DONE,
    State.NOTHING_HELD,
    State.DECLARED_NOTHING_HELD,
    State.VERIFIED,
    State.CONTRADICTED,
}


def _went_through(row: Waiting) -> bool:
    return row.state in _WENT_THROUGH or (row.state in _MAY_STAND and row.told)


def _about_the_same(one: Waiting, other: Waiting) -> bool:
    """Two processors may share one account: what one did says nothing of the other."""
    return one.person == other.person and one.processor == other.processor


def _same_kind(one: Waiting, other: Waiting) -> bool:
    return one.right is other.right and one.right in {Right.RECTIFICATION, Right.RESTRICTION}


def _comparable(one: Waiting, other: Waiting) -> bool:
    """Versions rise per source and subject; across those they say nothing."""
    same = _about_the_same(one, other) and one.source == other.source
    return same and one.version is not None and other.version is not None


def _version(row: Waiting) -> tuple[int, int]:
    return (row.version or 0, row.ordinal)  # asked of those that have one


def _is_newer(one: Waiting, other: Waiting) -> bool:
    if _comparable(one, other):
        return _version(one) > _version(other)
    return one.ordinal > other.ordinal


def overtaken(row: Waiting, lane: Iterable[Waiting]) -> bool:
    """Whether something newer changed what a read-back of `row` would look at, so that it proves nothing any more."""
    changes = {
        Right.RECTIFICATION: {Right.RECTIFICATION, Right.ERASURE},
        Right.RESTRICTION: {Right.RESTRICTION, Right.ERASURE},
        Right.OPT_OUT: {Right.ERASURE},
        Right.ERASURE: set[Right](),
    }[row.right]
    newer = _newer(row, (other for other in lane if other.right in changes and _went_through(other)))
    # Of a rectification only what no newer one changed is still looked for, see `instructions.changes_now`.
    return any(other.right is not Right.RECTIFICATION for other in newer) or _is_covered(row, newer)


def outdated(row: Waiting, lane: Iterable[Waiting]) -> bool:
    """Whether a reminder of `row` would have somebody undo what something newer asks for.

    A letter about a rectification has the newest values, so only an erasure makes it one that must not be repeated.
    """
    undoes = {Right.RESTRICTION: {Right.RESTRICTION, Right.ERASURE}, Right.RECTIFICATION: {Right.ERASURE}}
    here = undoes.get(row.right, set())
    return bool(_newer(row, (other for other in lane if other.right in here and other.state not in _MAY_NEVER_GO)))


def restriction_in_force(history: Iterable[Waiting], person: str) -> bool:
    """Whether this person's processing is restricted: a restriction is open or carried out, and no newer one lifted it.

    GDPR Art. 18(1)(b), (c): a restriction may exist so that the data is *not* erased.
    """
    gone = {State.WITHDRAWN, State.SUPERSEDED}
    own = [
        row
        for row in history
        if row.right is Right.RESTRICTION and row.state not in gone and may_be_same(row.person, person)
    ]
    liftings = _Newest(row for row in own if row.lifting)
    return any(not row.lifting and not liftings.is_after(row) for row in own)


class _Newest:
    """The newest of some rows, asked in constant time whether one of them is newer than another row."""

    def __init__(self, rows: Iterable[Waiting]) -> None:
        self._versions: dict[tuple[str, str], tuple[int, int]] = {}
        ordinals: dict[tuple[str, str] | None, int] = {}
        for row in rows:
            key = _series(row)
            ordinals[key] = max(ordinals.get(key, 0), row.ordinal)
            if key is not None:
                self._versions[key] = max(self._versions.get(key, (-1, 0)), _version(row))
        # Two are enough: at most one of them is of the row's own series.
        self._ordinals = sorted(ordinals.items(), key=lambda item: -item[1])[:2]

    def is_after(self, row: Waiting) -> bool:
        key = _series(row)
        if key is not None and self._versions.get(key, (-1, 0)) > _version(row):
            return True
        return any(ordinal > row.ordinal for other, ordinal in self._ordinals if other is None or other != key)


def _newer(row: Waiting, others: Iterable[Waiting]) -> list[Waiting]:
    return [other for other in others if _about_the_same(other, row) and _is_newer(other, row)]


def _series(row: Waiting) -> tuple[str, str] | None:
    """What its version counts in, whichever processor is told of it; None where it has no version."""
    return None if row.version is None else (row.person, row.source)
