"""Whether the record can be relied on: the one verdict that every command, report and alert goes by, and /metrics."""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from itertools import chain, islice

from sqlalchemy import Connection, true

from dpsync import key_register, liveness
from dpsync.alert_causes import AlertCause
from dpsync.alerts import raise_alert
from dpsync.custody.differences import Differences
from dpsync.errors import ProofDamaged
from dpsync.installation import Installation
from dpsync.ledger import anchor_chain, comparison, receipt_comparison
from dpsync.ledger.audit import Verification
from dpsync.ledger.note import parse as parse_note
from dpsync.ledger.stored_rows import Stretched
from dpsync.ledger.unchanged import ComparedPage, PageDigests
from dpsync.propagation import owed, receipts
from dpsync.propagation.receipts import Opening
from dpsync.scope import Scope, WholeComparison, concerned, relied_on, remember
from dpsync.store import meta
from dpsync.store.columns import EPOCH
from dpsync.store.database import reading
from dpsync.store.writer import Unit

HASHED_AT_ONCE = 10_000
"""Entries that are read and hashed in a fifth of a second: up to here nothing is ever taken on trust. Beyond, a report
says how many were found in order earlier, and all are read each week.
"""

PageTaker = Callable[[Connection, Stretched], None]
"""Takes what reports print of a page of requests, and the view in which that was read."""

_KEY = "soundness"
"""Under which key table `meta` keeps when it was judged last, and how many problems there were."""


@dataclass(frozen=True, slots=True)
class Soundness:
    """What a check of the whole record found. `differences`: rows that are not as the ledger tells; `older`: how many
    requests are from before the ledger committed to rows, so that less of them was compared.
    """

    ledger: Verification
    differences: tuple[str, ...]
    older: int
    keys: tuple[str, ...] = ()
    """Each key that is lost or another one, and how many requests cannot be compared before it is back."""
    files: tuple[str, ...] = ()
    """Each file that proves something to others and is gone or another one; dpsync itself needs it for nothing."""
    compared_at: datetime | None = None
    """When what is outside the scope was compared; None where everything was compared now."""

    @property
    def problems(self) -> tuple[str, ...]:
        """Everything that is wrong: keys first, without which less can be known, then what is signed."""
        return (*self.keys, *self.ledger.everything, *self.differences, *self.files)

    @property
    def only_missing(self) -> bool:
        """Whether all that is wrong is a key or an anchor that must be put back: nothing speaks of a change."""
        changed = (*self.ledger.problems, *self.ledger.lost, *self.differences, *self.files)
        return bool(self.problems) and not changed


@dataclass(frozen=True, slots=True)
class Judged:
    """When the record was judged last, and how many problems there were."""

    at: datetime
    problems: int


def verify_ledger(
    installation: Installation,
    *,
    full: bool,
    progress: Callable[[int, int], None] | None = None,
    quick: bool = False,
) -> Verification:
    """Verify the ledger against itself, its checkpoints and the anchor outside; remember how far it was right.

    `quick`: of what lies outside only what `Custody.demand` reads.
    """
    log, custody = installation.log, installation.custody

    def work(connection: Connection) -> tuple[Verification, Differences]:
        everything = full or log.size(connection) <= HASHED_AT_ONCE
        found = log.verify(connection, full=everything, progress=progress)
        return found, custody.against(connection, lying)

    lying = custody.lying(installation.read, quick=quick)
    found, outside = installation.read(work)
    found = replace(found, damaged=outside.damaged, lost=outside.lost)
    if outside.contradicted:
        return replace(found, problems=(*found.problems, *outside.contradicted))
    if found.problems:
        installation.write(lambda unit: log.distrust(unit.connection))
    elif (
        found.entries and not found.lost and not custody.unrecovered
    ):  # nothing is written where the newest -wal may still be put back
        now = installation.clock.now()

        def mark(unit: Unit) -> None:
            size = parse_note(log.checkpoint(unit.connection, now))[0].size
            if size == found.entries:
                log.mark_verified(unit.connection, size, now)

        installation.write(mark)
    return found


def key_problems(installation: Installation) -> tuple[str, ...]:
    """Each key that the database rests on and that is lost, or another one."""
    return installation.read(lambda connection: key_register.problems(connection, installation.keys))


def opening(installation: Installation) -> Opening:
    """What came of opening each request whose month's key is the right one."""

    def work(connection: Connection) -> Opening:
        shut = key_register.shut(connection, installation.keys)
        return receipts.opening(connection, installation.keys, shut)

    return installation.read(work)


def judge(
    installation: Installation,
    now: datetime,
    *,
    full: bool,
    progress: Callable[[int, int], None] | None = None,
    scope: Scope | None = None,
) -> Soundness:
    """Verify the ledger, compare every row with it, and remember how that ended; see `judging`."""
    with judging(installation, now, full=full, progress=progress, scope=scope) as (_, sound):
        return sound


@contextmanager
def judging(
    installation: Installation,
    now: datetime,
    *,
    full: bool,
    progress: Callable[[int, int], None] | None = None,
    scope: Scope | None = None,
    each_page: PageTaker = lambda *_: None,
) -> Iterator[tuple[Connection, Soundness]]:
    """Verify the ledger and compare every row with it; gives how that ended, and the view in which rows were compared.
    At the end it is remembered.

    Where accepted requests were lost it is not remembered here: a write would take away the way back.
    `full`: the ledger from its first entry. `scope`: of a long record whose last comparison of everything found nothing
    wrong and is less than a week old, only the requests of the scope, and those of which the ledger tells anything
    since. Else every row is compared: some ten seconds for 10,000 requests. `each_page` takes in the same view what
    reports print of each page of requests that is compared, in order of receipt; of some not, where too much is wrong.
    """
    whole = None if scope is None else installation.read(partial(_relied_on, installation, now))
    found = verify_ledger(installation, full=full, progress=progress, quick=whole is not None)
    digests: dict[int, PageDigests] = {}

    def looked_at(connection: Connection, page: Stretched) -> None:
        each_page(connection, page)
        if progress:
            progress(found.entries, found.entries)

    def compared(connection: Connection, shut: Collection[str]) -> tuple[str, ...]:
        taken, kept = partial(looked_at, connection), installation.custody.receipts.commit_key
        before = concerned(connection, scope, whole) if scope and whole else None
        return comparison.differences(connection, installation.keys, taken, shut, kept, before, digests)

    liveness.beat()
    with reading(installation.engine) as connection:
        outside = () if whole else files(connection, installation)
        sound = _sound(connection, installation, now, found, compared)
        yield connection, (sound := replace(sound, files=outside, compared_at=whole.at if whole else None))
    if not found.lost:
        pages = {number: ComparedPage(these, found.entries) for number, these in digests.items()}
        installation.write(lambda unit: _keep(unit, installation, now, sound, whole, pages))


def _sound(
    connection: Connection,
    there: Installation,
    now: datetime,
    found: Verification,
    compared: Callable[[Connection, Collection[str]], tuple[str, ...]],
) -> Soundness:
    """With all but the files. `compared`: the rows with the ledger, but for those of the months whose key is lost."""
    shut = key_register.shut(connection, there.keys)
    keys = (*key_register.problems(connection, there.keys), *_uncompared(connection, there, shut))
    gone = key_register.destroyed(connection, there.keys)
    undone = islice(owed.problems(connection, _accounts(there), now, gone), comparison.MOST_NAMED)
    return Soundness(found, (*compared(connection, shut), *undone), comparison.older_requests(connection), keys)


def _accounts(installation: Installation) -> dict[str, str]:
    return {name: section.account or name for name, section in installation.settings.processors.items()}


def _uncompared(connection: Connection, there: Installation, shut: Mapping[str, int]) -> list[str]:
    gone = key_register.given_up(connection).keys() | key_register.destroyed(connection, there.keys).keys()
    return [
        f"{number} of the requests of {month} cannot be compared before it is back"
        for month, number in shut.items()
        if month not in gone
    ]


def files(connection: Connection, there: Installation) -> tuple[str, ...]:
    """Each receipt, cosigned checkpoint, time stamp and tile that is gone, or is not what the ledger tells of."""
    found = chain(
        receipt_comparison.problems(connection, there.custody.receipts),
        anchor_chain.unlike(connection, there.log, there.settings.ledger.anchor),
        there.custody.unpublished(connection),
    )
    return tuple(islice(found, comparison.MOST_NAMED))


def judge_and_tell(installation: Installation, now: datetime, *, full: bool) -> None:
    """The same by the clock; what is found is told to the data protection officer, once a day.

    Unless `full`, of a long record only what changed since everything was compared: all of it each hour would take
    a minute for each 100,000 requests that there ever were.
    """
    scope = None if full else Scope(EPOCH, true(), beneath=True)
    sound = judge(installation, now, full=full, progress=lambda *_: liveness.beat(), scope=scope)
    problems = sound.problems
    if not problems:
        _go_on_from_here(installation, now)
        return
    subject, more = "The ledger could not be verified", "Keep every copy as it is"
    if sound.only_missing:
        subject, more = "Part of the record could not be checked", "Nothing that could be checked was altered"

    def work(unit: Unit) -> None:
        _remember(unit, Judged(now, len(problems)))
        raise_alert(
            unit.connection,
            cause=AlertCause.LEDGER,
            role="dpo",
            subject=subject,
            body=f"{problems[0]}. {more}. Run `dpsync verify`.",
            now=now,
            zone=installation.zone,
        )

    installation.write(work)


def _go_on_from_here(installation: Installation, now: datetime) -> None:
    """Else each command would compare all that was accepted since the service started: 3 s for 100,000 requests."""
    if installation.custody.journal.exists:  # one that is gone by now is not begun anew: the next look names it
        with suppress(ProofDamaged):
            installation.custody.settle(installation.read, installation.write, now)


def _keep(
    unit: Unit,
    installation: Installation,
    now: datetime,
    sound: Soundness,
    whole: WholeComparison | None,
    pages: Mapping[int, ComparedPage],
) -> None:
    _remember(unit, Judged(now, len(sound.problems)))
    if sound.problems:
        remember(unit.connection, installation.keys, None)
    elif whole is None:
        remember(unit.connection, installation.keys, WholeComparison(now, sound.ledger.entries, pages))
    # Only what was relied on: whoever compared everything meanwhile may have found something wrong.
    elif _relied_on(installation, now, unit.connection) == whole:
        remember(unit.connection, installation.keys, replace(whole, pages={**whole.pages, **pages}))


def _relied_on(installation: Installation, now: datetime, connection: Connection) -> WholeComparison | None:
    return relied_on(connection, installation.keys, HASHED_AT_ONCE, now)


def _remember(unit: Unit, judged: Judged) -> None:
    meta.put(unit.connection, _KEY, f"{judged.at.isoformat()} {judged.problems}")


def judged_last(connection: Connection) -> Judged | None:
    """How it ended the last time; None before the first."""
    value = meta.value_of(connection, _KEY)
    if value is None:
        return None
    at, _, problems = value.partition(" ")
    return Judged(datetime.fromisoformat(at), int(problems))
