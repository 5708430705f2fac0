"""A plan in plain words: for `dpsync plan`, and for whoever is asked whether it may go ahead. Pure."""

from collections.abc import Iterator
from zoneinfo import ZoneInfo

from dpsync.connector import Means
from dpsync.lookup import Lookup, Presence
from dpsync.model import Cause, Mode, Right, State
from dpsync.reports.phrases import REHEARSAL
from dpsync.reports.plan import Plan, PlanLine, Undo
from dpsync.reports.visible import visible
from dpsync.reports.words import CAUSES, MEANS, asked_for, day, moment, several

UNDO_WORDS = {
    Undo.NEVER: "No. What is erased there cannot be brought back.",
    Undo.BY_THE_PERSON: "Only by the person, who would have to subscribe again. dpsync subscribes nobody.",
    Undo.BY_ANOTHER_REQUEST: "By another request.",
}

_UNDO_OF_RIGHT = {
    Right.RECTIFICATION: "By another correction only. dpsync does not keep the values that stood there before.",
    Right.RESTRICTION: "Yes: a restriction can be lifted. Lifting one subscribes nobody.",
}


def plan_text(plan: Plan) -> str:
    """The whole plan: what it means as a whole first, then each processor."""
    lines = [REHEARSAL, ""] if plan.rehearsal else []
    lines += [f"{visible(plan.controller)} · Plan: {_what(plan)}", _sentence(plan), ""]
    lines += [f"  {label}: {told}" for label, told in plan_rows(plan)]
    for line in plan.lines:
        lines += ["", f"{visible(line.title)} ({line.processor})"]
        lines += [f"  {label}: {visible(told)}" for label, told in line_rows(plan, line)]
    return "\n".join(lines) + "\n"


def plan_rows(plan: Plan) -> tuple[tuple[str, str], ...]:
    """What holds for every processor: dates, and what must happen before anything is sent."""
    return tuple(_plan_rows(plan))


def line_rows(plan: Plan, line: PlanLine) -> tuple[tuple[str, str], ...]:
    """What would happen at one processor."""
    return tuple(_line_rows(plan, line))


def _what(plan: Plan) -> str:
    return "lifting a restriction" if plan.lifting else asked_for(plan.right, plan.scope)


def _sentence(plan: Plan) -> str:
    """How many hold the person and how it would begin; the counts add up to all processors."""
    if not plan.lines:
        return "No processor is configured, so nobody would be told."
    found, absent, open_ = (len(plan.seen(one)) for one in (Presence.FOUND, Presence.NOT_FOUND, Presence.UNKNOWN))
    held = sum(line.state is State.HELD for line in plan.lines)
    exempt = sum(line.state is State.EXEMPT for line in plan.lines)
    at_once = len(plan.lines) - held - exempt
    parts = [f"{at_once} told without waiting"] if at_once else []
    parts += [f"{held} held first"] if held else []
    parts += [f"{exempt} not told (exempt)"] if exempt else []
    all_of_them = several(len(plan.lines), "processor")
    seen = f"found at {found}, not found at {absent}, could not be looked up at {open_}"
    return f"Of {all_of_them}: {seen}. If you submit it: {', '.join(parts)}."


def _plan_rows(plan: Plan) -> Iterator[tuple[str, str]]:
    zone = ZoneInfo(plan.zone)
    assumed = " (assumed: now)" if plan.received_assumed else ""
    yield "Received", f"{moment(plan.received_at, zone)}{assumed}"
    if plan.right is Right.OPT_OUT:
        yield "Done everywhere by", f"{moment(plan.target_at, zone)}: an opt-out has 24 hours, weekends included"
    else:
        yield "Told and done everywhere by", f"{moment(plan.target_at, zone)} (our target, 72 hours)"
        yield "Legal date", f"{day(plan.due_on)}; read strictly {day(plan.strict_on)}"
        yield "Letter to the person by", day(plan.letter_by)
    if plan.mode is Mode.OBSERVE:
        yield "Mode", "observe. dpsync would send nothing until [safety] mode is changed and a person releases it"
    else:
        yield "Mode", plan.mode.value
    if plan.cools_until:
        late = ". That is after the target" if plan.cools_until > plan.target_at else ""
        yield "Cooling-off", f"if you submit it now, until {moment(plan.cools_until, zone)}{late}"
    if plan.approvals:
        who = "1 person" if plan.approvals == 1 else f"{plan.approvals} different people"
        yield "Approval", f"{who} must say yes: dpsync release REQUEST --by NAME --reason WHY"
    yield "Can it be undone", _UNDO_OF_RIGHT.get(plan.right, UNDO_WORDS[plan.undo])


def _line_rows(plan: Plan, line: PlanLine) -> Iterator[tuple[str, str]]:
    yield "Is the person there", looked_up(line.lookup)
    if line.state is State.EXEMPT:
        until = f" until {day(line.exempt_until)}" if line.exempt_until else ""
        yield "What would happen", f"nothing. It need not be told{until}: {line.exempt_why}"
        return
    yield "How it is told", MEANS[line.means]
    yield "What would happen", line.effect
    if line.calls:
        yield "What would be called", ", ".join(line.calls)
    if line.lookup.presence is Presence.NOT_FOUND:
        yield "If nobody is found then either", "it is told all the same, and nothing is changed there"
    yield "What would not", line.limits or "no limit is known"
    yield "When it is sent", _when(plan, line)
    if line.answer_by is not None:
        yield "A letter", _letter(plan, line)
    if line.counts:
        most = plan.allowed
        yield "Brake", f"{line.used:,} of {most:,} counted at this account in 24 hours. This would be one more"


def looked_up(lookup: Lookup) -> str:
    """What a look showed, as a sentence; what is not known is said as that."""
    match lookup.presence:
        case Presence.FOUND:
            records = "how many records is not known" if lookup.records is None else several(lookup.records, "record")
            return f"found: {records} (read back: {lookup.detail})"
        case Presence.NOT_FOUND:
            return f"not found (read back: {lookup.detail})"
        case Presence.UNKNOWN:
            again = ". Try again later" if lookup.again else ""
            return f"could not be looked up: {lookup.detail}{again}"


def _when(plan: Plan, line: PlanLine) -> str:
    if line.state is State.HELD:
        first = f"not yet. It is held: {'; '.join(_cause(plan, one) for one in line.causes)}"
    else:
        first = "as soon as the service runs"
    return f"{first}. Nothing is sent there now: it is {line.stopped}" if line.stopped else first


def _cause(plan: Plan, cause: Cause) -> str:
    if cause is Cause.APPROVAL and plan.approvals > 1:
        return f"{plan.approvals} different people must approve it"
    return CAUSES[cause]


def _letter(plan: Plan, line: PlanLine) -> str:
    """By when its answer is owed, and what keeps it from going."""
    if not plan.letters:
        return "cannot be sent: there is no section [mail]"
    owed = f"its answer is owed by {day(line.answer_by)}" if line.answer_by else ""
    waits = "" if line.confirmed else "; it waits until the contact confirms the address, or you release it"
    later = "" if line.means is Means.NOTICE else "goes after that; "
    return f"{later}{owed}, if it goes out without delay{waits}"
