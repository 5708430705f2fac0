"""What `dpsync check` sees of the proof with others: copies of the DPO, witnesses, time stamps, published hashes."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from urllib.parse import urlsplit

from dpsync.cli.check_lines import CheckLine, CheckResult
from dpsync.custody.marks import anchored
from dpsync.errors import NoteInvalid
from dpsync.installation import Installation
from dpsync.ledger.cosignature import WitnessKey
from dpsync.reports.words import day
from dpsync.running import checkpoint_mail, cosigning, stamping
from dpsync.settings.sections import StampSection


def with_others(there: Installation, now: datetime) -> Iterator[CheckLine]:
    """Whether somebody else holds what shows a rewriting, as the settings say."""
    today = now.astimezone(there.zone).date()
    yield from _mailed(there, today)
    for one in there.settings.ledger.witnesses:
        yield _cosigned(there, one.key, today)
    for authority in there.settings.ledger.stamps:
        yield _stamped(there, authority, today)
    if there.custody.tiles and (size := there.read(anchored)):
        lost = sum(1 for _ in there.custody.tiles.missing(size))
        text = f"of {size:,} entries, in {there.custody.tiles.folder}"
        if lost:
            text = f"{lost:,} of the files are not written, or gone: dpsync writes them when it starts"
        yield CheckLine("published hashes", CheckResult.WAITING if lost else CheckResult.OK, text)


def _mailed(there: Installation, today: date) -> Iterator[CheckLine]:
    mail, last = there.settings.mail, there.read(checkpoint_mail.newest)
    if mail is None or not mail.daily_checkpoint:
        yield CheckLine("checkpoints", CheckResult.NOT_SET, "the DPO gets no copy: see [mail] daily_checkpoint")
    elif last is None:
        yield CheckLine("checkpoints", CheckResult.WAITING, "the DPO gets the first copy by tomorrow morning")
    else:
        late = today - last.on > timedelta(days=1)
        text = f"the DPO got the newest copy on {day(last.on)}, of {last.size:,} entries"
        yield CheckLine("checkpoints", CheckResult.PROBLEM if late else CheckResult.OK, text, "DP-306" if late else "")


def _cosigned(there: Installation, line: str, today: date) -> CheckLine:
    try:
        key = WitnessKey.parse(line)
    except NoteInvalid as wrong:
        return CheckLine("witness", CheckResult.PROBLEM, f"{line.partition('+')[0]}: {wrong.message}")
    last = there.read(lambda connection: cosigning.newest(connection, key))
    what = f"cosigned the ledger{f', {last.size:,} entries of it,' if last else ''}"
    return _line(key.name, what, last.on if last else None, cosigning.PATIENCE, today)


def _stamped(there: Installation, authority: StampSection, today: date) -> CheckLine:
    on = there.read(lambda connection: stamping.newest(connection, stamping.name_of(authority)))
    return _line(urlsplit(authority.url).netloc, "stamped the ledger with the time", on, stamping.PATIENCE, today)


def _line(who: str, what: str, on: date | None, patience: timedelta, today: date) -> CheckLine:
    kind = "witness" if what.startswith("cosigned") else "time stamps"
    if on is None:
        text = f"{who} has not {what} yet: `dpsync serve` asks each hour until it does, then once a day"
        return CheckLine(kind, CheckResult.WAITING, text)
    late = today - on > patience
    return CheckLine(kind, CheckResult.PROBLEM if late else CheckResult.OK, f"{who} {what} last on {day(on)}")
