"""Which propagations a request gives birth to, and which of a lane's goes next. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from dpsync.connector import Means, Processor
from dpsync.model import Cause, Mode, Request, Right, State, Way
from dpsync.propagation import brake
from dpsync.propagation.controller import Safety
from dpsync.propagation.persons import may_be_same


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the store knows around a request for one processor, when it comes in.

    `counted`: what the brake has counted at this account within 24 h. `confirmed`: the processor's contact has
    confirmed itself by link.
    """

    shared_address: bool
    restricted: bool
    counted: int
    confirmed: bool


@dataclass(frozen=True, slots=True)
class Birth:
    """A propagation as it begins."""

    processor: Processor
    state: State
    causes: frozenset[Cause]
    way: Way
    counts: bool

    @property
    def braked(self) -> bool:
        return Cause.BRAKE in self.causes


def birth(request: Request, processor: Processor, around: Surroundings, safety: Safety, today: date) -> Birth:
    """How one processor's part of `request` begins: exempt, held for some causes, or pending."""
    way = Way.NOTICE if processor.means(request.right) is Means.NOTICE else Way.API
    counts = brake.counts(request)
    exemption = processor.exempt.get(request.right)
    if exemption and exemption.until >= today:
        return Birth(processor, State.EXEMPT, frozenset(), way, counts=False)
    causes = frozenset(_causes(request, way, around, safety, counts=counts))
    return Birth(processor, State.HELD if causes else State.PENDING, causes, way, counts)


def _causes(request: Request, way: Way, around: Surroundings, safety: Safety, *, counts: bool) -> Iterable[Cause]:
    if safety.mode is Mode.OBSERVE:
        yield Cause.OBSERVE
    if counts and brake.must_hold(around.counted, safety.irreversible_per_day):
        yield Cause.BRAKE
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
    """One propagation of a lane, as the order looks at it. `tried`: at least one attempt was made."""

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
    superseded = tuple(row for row in pending if any(_supersedes(other, row) for other in lane))
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


def _supersedes(newer: Waiting, row: Waiting) -> bool:
    if newer.id == row.id or not _about_the_same(newer, row) or not _is_newer(newer, row):
        return False
    match row.right:
        case Right.RECTIFICATION if newer.right is Right.ERASURE:
            return newer.state not in {State.HELD, State.WITHDRAWN, State.EXEMPT, State.SUPERSEDED}
        case Right.RECTIFICATION | Right.RESTRICTION:
            return _same_kind(newer, row) and newer.state in _WENT_THROUGH
        case Right.ERASURE | Right.OPT_OUT:
            return False


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
    return (row.version if row.version is not None else -1, row.ordinal)


def _is_newer(one: Waiting, other: Waiting) -> bool:
    if _comparable(one, other) and one.version != other.version:
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
    return any(
        other.right in changes
        and _about_the_same(other, row)
        and other.state in _WENT_THROUGH
        and _is_newer(other, row)
        for other in lane
    )


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
    return any(not row.lifting and not any(other.lifting and _is_newer(other, row) for other in own) for row in own)
