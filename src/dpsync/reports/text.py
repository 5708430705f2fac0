"""A report as plain text, for a terminal or a pipe: no colour, no boxes, nothing cut."""

from collections.abc import Callable, Iterable, Sequence
from zoneinfo import ZoneInfo

from dpsync.reports import phrases
from dpsync.reports.conversations import retention_rows
from dpsync.reports.dossier import Dossier
from dpsync.reports.duties import Duty
from dpsync.reports.letters import LETTER_HEADS, letter_cells
from dpsync.reports.lines import PropagationLine, RequestStanding
from dpsync.reports.period import PeriodReport
from dpsync.reports.processors import capability_rows
from dpsync.reports.proof import LedgerLine
from dpsync.reports.shown import ORDINARY_ROWS, shown
from dpsync.reports.story import MAY_BE_TOLD, names_kept
from dpsync.reports.tallies import Tally, numbered
from dpsync.reports.visible import visible
from dpsync.reports.who import who_rows
from dpsync.reports.words import COUNTING, GLOSSARY, RIGHTS, day, moment, several


def period_text(report: PeriodReport, csv_sha256: Callable[[], str]) -> str:
    """The whole report; what is late comes before what is finished.

    Of what is neither late nor waits for a person, at most `ORDINARY_ROWS`; what is left out is in the file whose
    digest `csv_sha256` gives, and it is only asked for then.
    """
    zone = ZoneInfo(report.zone)
    title = f"{report.controller} · Data-protection requests · {report.label}"
    lines = [*_head(title, moment(report.made_at, zone), report.ledger, zone, rehearsal=report.rehearsal)]
    lines += ["", f"[ {report.verdict.value.upper()} ]", report.sentence, "", "What you need to do"]
    lines += duty_lines(report.duties) or [f"  {phrases.nothing_to_do(report)}"]
    if report.more_duties:
        lines.append(f"  and {several(report.more_duties, 'more thing')}: dpsync status")
    lines += [f"  {report.later}"] if report.later else []
    lines += _section("To note", report.notes)
    lines += _numbers(report)
    numbers = numbered(report.limits)
    lines += ["", "What we cannot see"] if report.limits else []
    for entry in phrases.limit_entries(report.limits):
        lines += [f"  {entry.number}. {entry.head}", *(f"     - {point}" for point in entry.points)]
    lines += _section("Complaints, incidents and held evidence", report.cases.said)
    late = (("Overdue", report.overdue), ("Finished after the legal date", report.finished_late))
    for label, chosen in (*late, ("Needs attention", report.attention)):
        lines += _lines(label, chosen, zone, numbers)
    lines += _section(
        "Settled or exempt, with reason and name",
        [
            f"{one.short} {one.kind} at {', '.join(one.processors)}: {one.reason} ({one.by or 'no name'})"
            for one in report.set_aside
        ],
    )
    for one in report.conversations:
        rows = [f"{label}: {told}" for label, told in retention_rows(one, zone)]
        lines += _section(f"Private conversations at {one.rule.title}", rows)
    lines += _service(report, zone)
    lines += _each(report, zone, numbers, csv_sha256)
    lines += _processors(report)
    lines += _section("What the words mean", [f"{word}: {meaning}" for word, meaning in GLOSSARY])
    lines += _section("How this was counted", COUNTING)
    return joined(lines)


def dossier_text(dossier: Dossier) -> str:
    """All about one request, in order of time."""
    zone, asked = ZoneInfo(dossier.zone), dossier.asked
    title = f"{dossier.controller} · Dossier of request {asked.id}"
    lines = [*_head(title, moment(dossier.made_at, zone), dossier.ledger, zone, rehearsal=dossier.rehearsal)]
    lines += ["", f"[ {dossier.verdict.value.upper()} ]"]
    lines += [f"  {label}: {value}" for label, value in dates(asked, zone)]
    if dossier.who:
        lines += _section("Who it is about", [f"{label}: {value}" for label, value in who_rows(dossier.who)])
    nothing = f"  {phrases.nothing_left(dossier.notes, dossier.later)}"
    lines += ["", "What you need to do", *(duty_lines(dossier.duties) or [nothing])]
    lines += [f"  {dossier.later}"] if dossier.later else []
    lines += _section("To note", dossier.notes)
    lines += _section("Names", [names_kept(asked, dossier.forgets_after)])
    lines += ["", "What happened"]
    for one in dossier.story:
        lines += [f"  {moment(one.at, zone)}  {one.sentence}", *(f"      {proof}" for proof in one.proofs)]
    if dossier.letters:
        lines += ["", "Letters", *_table([LETTER_HEADS, *map(letter_cells, dossier.letters)])]
    lines += _section("Complaints, incidents and held evidence", dossier.cases)
    lines += _lines("At each processor", asked.lines, zone, {})
    lines += _section("Who may be told what", MAY_BE_TOLD)
    entries = [
        (str(one.idx), moment(one.at, zone), one.event, " ".join(f"{key}={value}" for key, value in one.fields.items()))
        for one in dossier.entries
    ]
    lines += ["", "In the ledger", *_table([("Entry", "When", "Event", "Fields"), *entries])]
    return joined(lines)


def dates(asked: RequestStanding, zone: ZoneInfo) -> tuple[tuple[str, str], ...]:
    """The request and its stored dates, as label and value."""
    return (
        ("Right", phrases.right(asked)),
        ("Ground", asked.ground or "not given"),
        ("Source", asked.source),
        ("Received", moment(asked.received_at, zone) + (" (assumed)" if asked.received_assumed else "")),
        ("Accepted", moment(asked.accepted_at, zone)),
        ("Our target", moment(asked.target_at, zone)),
        ("Write to the person by", day(asked.letter_by)),
        ("Last day, strict reading", day(asked.strict_on)),
        ("Last day", day(asked.due_on)),
        ("Rule for these dates", asked.clock_rule),
        ("Counted as", asked.counts_as.replace("_", " ")),
        ("Told everyone", "yes" if asked.told_everyone else "no"),
        ("Closed", phrases.closed(asked, zone)),
        ("Identifiers destroyed", moment(asked.shredded_at, zone) or "no"),
    )


def counted(tally: Tally) -> str:
    """The counts in one line: those of page one always, the others where somebody is counted in them."""
    cells = enumerate(zip(phrases.TALLY_HEADS, phrases.tally_cells(tally), strict=True))
    always = phrases.FIRST.stop
    return "; ".join(f"{head.lower()} {count:,}" for at, (head, count) in cells if count or at < always)


def joined(lines: Iterable[str]) -> str:
    """The lines as one text; nothing in a value can steer a terminal."""
    # Escaped line by line: a line end inside a value cannot become a line of the report.
    return "\n".join(visible(line).rstrip() for line in lines) + "\n"


def _head(title: str, made: str, ledger: LedgerLine, zone: ZoneInfo, *, rehearsal: bool) -> list[str]:
    band = [phrases.REHEARSAL, ""] if rehearsal else []
    lines = [*band, title, f"made {made}", ""]
    if ledger.sound:
        return [*lines, f"PROOF  {phrases.proof(ledger, zone)}"]
    alarm = "!" * 72
    return [*lines, alarm, phrases.proof(ledger, zone), *(f"  - {problem}" for problem in ledger.problems), alarm]


def duty_lines(duties: Iterable[Duty]) -> list[str]:
    """What there is to do: a sentence and a command each."""
    lines = []
    for number, duty in enumerate(duties, 1):
        lines += [f"  {number}. {phrases.due(duty)}: {duty.sentence}", f"     {duty.command}"]
    return lines


def _numbers(report: PeriodReport) -> list[str]:
    rows = [(phrases.tally_label(one), *map(str, phrases.tally_cells(one))) for one in (*report.by_right, report.total)]
    if report.carried:
        rows.append(("Open from before", *map(str, phrases.tally_cells(report.carried_total))))
    lines = ["", f"Requests by right, {report.label}", *_table([("Right", *phrases.TALLY_HEADS), *rows], numbers=True)]
    said = [phrases.source(one) for one in report.sources]
    if more := phrases.to_compare(report):
        said.append(more)
    lines += _section("Compare with what the sources say they sent", said)
    compared = [one.said(ZoneInfo(report.zone)) for one in report.reconciled]
    lines += _section("People in the main databases, compared with what was asked", compared)
    swept = [one.said(ZoneInfo(report.zone)) for one in report.swept]
    lines += _section("People at the processors, compared with what was asked and done there", swept)
    lines += _section("What the main databases were told of their requests", [one.said for one in report.callbacks])
    speeds = [phrases.quick(report.speed, "Requests"), phrases.quick(report.speed_opt_out, "Opt-outs")]
    lines += _section("How quickly?", speeds)
    if report.by_processor:
        rows = [(one.title, *map(str, phrases.tally_cells(one))) for one in report.by_processor]
        heads = ("Processor", "Asked", "Told", *phrases.TALLY_HEADS[phrases.WITHOUT_DATES])
        lines += ["", "Processors", *_table([heads, *rows], numbers=True)]
    return lines


def _service(report: PeriodReport, zone: ZoneInfo) -> list[str]:
    lines = _section(
        f"Alerts: {report.alerts_raised:,} raised in the period, {len(report.alerts):,} not delivered yet",
        [
            f"{moment(one.created_at, zone)}, to the {one.role}: {one.subject} (tried {several(one.attempts, 'time')})"
            for one in report.alerts
        ],
        always=True,
    )
    jobs = [f"{one.name}: last succeeded {moment(one.last_ok_at, zone) or 'never'}" for one in report.jobs]
    if report.drill is not None:
        found = f"{report.drill.problems} problems" if report.drill.problems else "good"
        jobs.append(f"a back-up was last tried {moment(report.drill.at, zone)}: {found}")
    return lines + _section("Timed jobs", jobs)


def _processors(report: PeriodReport) -> list[str]:
    lines: list[str] = []
    for processor in report.processors:
        lines += ["", f"What {processor.title} can do"]
        for can in processor.capabilities:
            lines.append(f"  {RIGHTS[can.right]}")
            lines += [f"    {label}: {text}" for label, text in capability_rows(can)]
    return lines + _section("What is kept, and for how long", [f"{one.what}: {one.sentence}" for one in report.kept])


def _each(report: PeriodReport, zone: ZoneInfo, numbers: phrases.Numbers, csv_sha256: Callable[[], str]) -> list[str]:
    lines: list[str] = []
    room, left = ORDINARY_ROWS, 0
    for label, asked in (
        ("Each request of the period at each processor", report.received),
        ("Open from before, at each processor", report.carried),
    ):
        there, room = shown(asked, room)
        left += len(asked) - len(there)
        lines += _lines(label, [line for one in there for line in one.lines], zone, numbers)
        lines += [f"  {one.short}: no processor was asked" for one in there if not one.lines]
    if left:
        told = f"{several(left, 'more request')}, of which none is late or waits for a person, can be read"
        command = f"dpsync report --from {report.first} --to {report.last} --format csv -o FILE"
        lines += ["", f"{told} in the CSV with the SHA-256 {csv_sha256()}:", f"  {command}"]
    return lines


def _section(label: str, items: Sequence[str], *, always: bool = False) -> list[str]:
    return ["", label, *(f"  {item}" for item in items)] if items or always else []


def _lines(label: str, chosen: Sequence[PropagationLine], zone: ZoneInfo, numbers: phrases.Numbers) -> list[str]:
    if not chosen:
        return []
    rows = [phrases.line_cells(line, zone, numbers) for line in chosen]
    return ["", f"{label} ({len(rows):,})", *_table([phrases.LINE_HEADS, *rows])]


def _table(rows: Sequence[Sequence[str]], *, numbers: bool = False) -> list[str]:
    shown = [[visible(one) for one in row] for row in rows]
    widths = [max(len(row[column]) for row in shown) for column in range(len(shown[0]))]
    return [
        "  "
        + "  ".join(
            one.rjust(width) if numbers and column else one.ljust(width)
            for column, (one, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in shown
    ]
