"""What `dpsync check` sees of the proof: what the DPO, witnesses and others have of it, and what is held of it."""

from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from urllib.parse import urlsplit

from dpsync.alert_causes import AlertCause
from dpsync.alerts import last_said
from dpsync.cases import holds
from dpsync.cli.check_lines import CheckLine, CheckResult
from dpsync.custody.marks import anchored
from dpsync.errors import NoteInvalid
from dpsync.installation import Installation
from dpsync.ledger.cosignature import WitnessKey
from dpsync.reports.words import day, several
from dpsync.running import checkpoint_mail, cosigning, stamping
from dpsync.settings.sections import StampSection


def with_others(there: Installation, now: datetime) -> Iterator[CheckLine]:
    """Whether somebody else holds what shows a rewriting, as the settings say; and whose evidence is held."""
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
    yield from evidence_held(there, now)


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
    on, what = last.on if last else None, f"cosigned the ledger{f', {last.size:,} entries of it,' if last else ''}"
    refused = _refused(there, AlertCause.WITNESS, key.name, on)
    return refused or _line(key.name, what, on, cosigning.PATIENCE, today)


def _stamped(there: Installation, authority: StampSection, today: date) -> CheckLine:
    name = stamping.name_of(authority)
    on = there.read(lambda connection: stamping.newest(connection, name))
    what = "stamped the ledger with the time"
    refused = _refused(there, AlertCause.STAMP, name, on)
    return refused or _line(urlsplit(authority.url).netloc, what, on, stamping.PATIENCE, today)


_ASK: Mapping[AlertCause, tuple[str, str]] = {
    AlertCause.WITNESS: ("witness", "ask whoever runs it, or name another in [ledger] witnesses"),
    AlertCause.STAMP: ("time stamps", "look at [ledger] stamps, or name another there"),
}


def _refused(there: Installation, cause: AlertCause, name: str, on: date | None) -> CheckLine | None:
    """What came in the place of a good answer since `on`, of which somebody was told: no waiting brings it."""
    said = there.read(lambda connection: last_said(connection, cause, name))
    if said is None or (on is not None and said[0].astimezone(there.zone).date() <= on):
        return None
    kind, way_out = _ASK[cause]
    return CheckLine(kind, CheckResult.PROBLEM, f"{said[1]}. dpsync asks again every hour: {way_out}")


def evidence_held(there: Installation, now: datetime) -> Iterator[CheckLine]:
    """Of how many requests a person has the evidence held: what is kept for longer must be seen to be."""
    if held := there.read(lambda connection: holds.held(connection, now.astimezone(there.zone).date())):
        first = next(iter(held.values()))
        text = f"of {several(len(held), 'request')} it is held, of {first.request_id[:8]} until {day(first.until)}"
        yield CheckLine("evidence", CheckResult.OK, f"{text}: `dpsync forgotten` says of each by whom and why")


def _line(who: str, what: str, on: date | None, patience: timedelta, today: date) -> CheckLine:
    kind = "witness" if what.startswith("cosigned") else "time stamps"
    if on is None:
        text = f"{who} has not {what} yet: `dpsync serve` asks each hour until it does, then once a day"
        return CheckLine(kind, CheckResult.WAITING, text)
    late = today - on > patience
    return CheckLine(kind, CheckResult.PROBLEM if late else CheckResult.OK, f"{who} {what} last on {day(on)}")
