"""Private conversations at a processor, in the words of a report: what somebody must do, and where they stand."""

from collections.abc import Sequence
from zoneinfo import ZoneInfo

from dpsync.model import ConversationState
from dpsync.reports.duties import Duty
from dpsync.reports.words import day, moment, several
from dpsync.retention.standing import RetentionLine

STATES = {
    ConversationState.KEPT: "kept",
    ConversationState.LISTED: "on a work list",
    ConversationState.EXCEPTED: "excepted",
    ConversationState.CONTRADICTED: "should be gone, seen again",
    ConversationState.ATTESTED: "deleted, they say",
    ConversationState.VERIFIED_BY_EXPORT: "gone, their export shows",
}


# --- what somebody must do


def retention_duties(lines: Sequence[RetentionLine]) -> list[Duty]:
    """What is overdue, and what nobody has looked at for more than a month."""
    return [duty for line in lines for duty in _duties(line)]


def _duties(line: RetentionLine) -> list[Duty]:
    name, title = line.rule.processor, line.rule.title
    found = []
    if line.overdue:
        be = "is" if line.overdue == 1 else "are"
        late = several(line.overdue, "private conversation")
        told = f"{late} at {title} {be} overdue. Have them deleted, and record who confirms it."
        found.append(Duty(True, line.overdue_since, told, "dpsync retention show"))
    if line.check_missing:
        told = f"Export the conversations at {title} and check the export: nobody has for more than a month."
        command = f"dpsync retention check FILE.csv --processor {name} --from DAY --to DAY --by NAME"
        found.append(Duty(False, None, told, command))
    if line.none_open_missing:
        told = f"Look whether an open conversation at {title} is older than the rule allows. No export shows that."
        command = f"dpsync retention state-open --processor {name} --by NAME --how HOW"
        found.append(Duty(False, None, told, command))
    return found


# --- words


def retention_overdue(lines: Sequence[RetentionLine]) -> str:
    """What is overdue, as the part of the verdict's sentence that ends in "is" or "are"; nothing where nothing is."""
    late = [(line.overdue, line.rule.title) for line in lines if line.overdue]
    return ", ".join(
        f"at {title} {several(count, 'private conversation')} {'is' if count == 1 else 'are'}" for count, title in late
    )


def retention_rows(line: RetentionLine, zone: ZoneInfo) -> tuple[tuple[str, str], ...]:
    """The line as label and text, the same in every format."""
    counts = {STATES[state]: count for state, count in line.counts.items()}
    late = f"{line.overdue:,}" + (f", the first since {day(line.overdue_since)}" if line.overdue_since else "")
    return (
        ("Rule", f"{several(line.rule.months, 'calendar month')} from the beginning of a conversation"),
        ("Known", f"{line.known:,}, {line.due:,} of them past their last day by the rule"),
        ("Overdue", late),
        *((label.capitalize(), f"{count:,}") for label, count in counts.items()),
        ("Last check of an export", _check(line, zone)),
        ("No open one is too old", _statement(line, zone)),
        ("Reported by webhooks", _told(line, zone)),
        *(("Not seen", one) for one in line.rule.unseen),
    )


def _check(line: RetentionLine, zone: ZoneInfo) -> str:
    one, missing = line.check, " MISSING for more than a month." if line.check_missing else ""
    if one is None:
        return f"none yet.{missing}"
    days = f"{day(one.from_on)} to {day(one.to_on)}" if one.from_on and one.to_on else "no range"
    oldest = f", the oldest of {day(one.oldest_on)}" if one.oldest_on else ""
    return (
        f"{moment(one.at, zone)} by {one.by}, for {days}: {several(one.rows, 'row')}{oldest}, "
        f"{one.older:,} too old; SHA-256 {one.sha256}.{missing}"
    )


def _statement(line: RetentionLine, zone: ZoneInfo) -> str:
    one, missing = line.none_open, " MISSING for more than a month." if line.none_open_missing else ""
    return f"said by {one.by}, {moment(one.at, zone)}.{missing}" if one else f"nobody has said so.{missing}"


def _told(line: RetentionLine, zone: ZoneInfo) -> str:
    if line.told_since is None:
        return "no webhook has reported any conversation yet: nobody knows what is there"
    return f"since {moment(line.told_since, zone)}; nobody knows what was closed before"
