"""What `dpsync check` says of keys, of the database's file, and of what is kept outside it."""

from collections.abc import Iterator, Sequence

from dpsync.cli.check_lines import CheckLine, CheckResult
from dpsync.custody.differences import FEW
from dpsync.errors import KeyProblem, StoreAway
from dpsync.installation import Installation
from dpsync.paths import TroubleKind
from dpsync.soundness import Soundness
from dpsync.store import integrity
from dpsync.store.trouble import RESTORE, file_trouble


def troubles(there: Installation, found: Soundness) -> Iterator[CheckLine]:
    """All that is wrong there, besides a ledger that is not what was signed."""
    if unsound := there.read(integrity.problem):
        yield CheckLine("database", CheckResult.PROBLEM, f"damaged: {unsound}. {RESTORE}", "DP-203", fatal=True)
    if there.custody.unrecovered:
        yield CheckLine("database", CheckResult.PROBLEM, there.custody.unrecovered, "DP-606", fatal=True)
    for problem in found.keys:
        yield CheckLine("keys", CheckResult.PROBLEM, problem, "DP-202", fatal=True)
    for problem in found.ledger.lost:
        yield CheckLine("journal", CheckResult.PROBLEM, problem, "DP-605", fatal=False)
    damaged = found.ledger.damaged
    for problem in damaged[:FEW]:
        yield CheckLine("anchors", CheckResult.PROBLEM, problem, "DP-604", fatal=True)
    if len(damaged) > FEW:
        more = f"and {len(damaged) - FEW:,} more like these: `dpsync verify` names each"
        yield CheckLine("anchors", CheckResult.PROBLEM, more, "DP-604", fatal=True)
    yield from _unwritable(there, said=found.ledger.damaged)


def _unwritable(there: Installation, said: Sequence[str]) -> Iterator[CheckLine]:
    """What `serve` is to write into and cannot: before the first loss, not after it."""
    try:
        there.keys.demand_room()
    except (KeyProblem, StoreAway) as problem:
        yield CheckLine(
            "keys", CheckResult.PROBLEM, problem.message, "DP-202", fatal=True, passes=isinstance(problem, StoreAway)
        )
    if trouble := file_trouble(str(there.settings.store.url)):
        yield CheckLine(
            "database",
            CheckResult.PROBLEM,
            trouble.message,
            trouble.code,
            fatal=True,
            passes=isinstance(trouble, StoreAway),
        )
    for one in there.custody.unwritable():
        if not any(one.what in sentence for sentence in said):
            yield CheckLine(
                "anchors", CheckResult.PROBLEM, one.told(""), "DP-604", fatal=True, passes=one.kind is TroubleKind.FULL
            )


def what_the_engine_sees(there: Installation) -> str:
    """What the database's own engine notices of a damaged page, and what it does not."""
    match there.read(integrity.checksums):
        case None:
            return "SQLite: quick_check finds nothing wrong. Damage that it misses shows in the ledger, or not at all"
        case True:
            return "PostgreSQL with data checksums: it refuses to read a page that was damaged on the disk"
        case False:
            return "PostgreSQL without data checksums: only damage to what the ledger covers shows (see `pg_checksums`)"
