"""The register of processors in words: its rows, which every format shares, and plain text."""

from collections.abc import Iterator
from zoneinfo import ZoneInfo

from dpsync.reports import phrases
from dpsync.reports.register import HOME, Register, RegisterLine, remains
from dpsync.reports.text import duty_lines, joined
from dpsync.reports.words import MEANS, RIGHTS, day, moment, several

MISSING = "MISSING: not in the settings"


def register_text(register: Register) -> str:
    """The whole register: what is to be done first, then each processor."""
    lines = [phrases.REHEARSAL, ""] if register.rehearsal else []
    lines += [title_of(register), f"made {moment(register.made_at, ZoneInfo(register.zone))}", sentence(register)]
    lines += ["", "What you need to do", *(duty_lines(register.duties) or ["  Nothing."])]
    for line in register.lines:
        lines += ["", f"{line.title} ({line.processor})"]
        lines += [f"  {label}: {told}" for label, told in register_rows(line)]
        lines += [f"  {right}: {told}. Limits: {limits}" for right, told, limits in right_rows(line)]
    return joined(lines)


def title_of(register: Register) -> str:
    """What stands at its head."""
    return f"{register.controller} · Register of processors (Art. 30)"


def sentence(register: Register) -> str:
    """How complete it is; never better than its worst line."""
    if not register.lines:
        return "No processor is configured."
    unfilled = sum(bool(line.missing) for line in register.lines)
    late = sum(line.review_overdue for line in register.lines)
    leaving = sum(line.leaving is not None for line in register.lines)
    parts = (
        [f"{several(unfilled, 'entry is', 'entries are')} not complete"] if unfilled else ["every entry is complete"]
    )
    parts += [f"{several(late, 'review is', 'reviews are')} overdue"] if late else []
    parts += [f"{several(leaving, 'processor is', 'processors are')} leaving"] if leaving else []
    # It holds what the settings say: who is not configured there is not in it.
    return f"{several(len(register.lines), 'processor')} in the settings: {', '.join(parts)}. DPO: {register.dpo}"


def register_rows(line: RegisterLine) -> tuple[tuple[str, str], ...]:
    """One processor as labels and texts; what the settings do not say is said to be missing."""
    return tuple(_rows(line))


def right_rows(line: RegisterLine) -> list[tuple[str, str, str]]:
    """How it is told of each right, and what is not done by it."""
    until = {one.right: one for one in line.exempt}
    found = []
    for can in line.rights:
        told, exempt = MEANS[can.means], until.get(can.right)
        if exempt:
            told = f"need not be told until {day(exempt.until)} ({exempt.code}: {exempt.reason}); after that {told}"
        found.append((RIGHTS[can.right].capitalize(), told, can.limits or "no limit is known"))
    return found


def where(line: RegisterLine) -> str:
    """The countries, and what allows the data to be there."""
    countries = ", ".join(line.countries) or MISSING
    abroad = bool(set(line.countries) - {HOME})
    return f"{countries}; transfer: {line.transfer or MISSING}" if abroad else countries


def how_long(line: RegisterLine) -> str:
    """How long the data stay there."""
    private = (
        f"; private conversations {several(line.conversations_months, 'month')}" if line.conversations_months else ""
    )
    return f"{line.kept_for or MISSING}{private}"


def _rows(line: RegisterLine) -> Iterator[tuple[str, str]]:
    if line.is_controller:
        yield "Kind", "a controller of its own, which is told (Art. 19)"
    yield "What for", line.purpose or MISSING
    yield "Whose data", ", ".join(line.people) or MISSING
    yield "Which data", ", ".join(line.data) or MISSING
    yield "Where", where(line)
    yield "How long", how_long(line)
    if not line.is_controller:
        yield "Contract", day(line.contract_on) if line.contract_on else MISSING
    yield "Contact", line.contact
    yield "Review by", _review(line)
    if line.leaving:
        over = "That day is over" if line.left else "It is told until its section is removed"
        yield "Leaving", f"{day(line.leaving)}. {over}. {' '.join(remains(line))}"


def _review(line: RegisterLine) -> str:
    if line.review_by is None:
        return MISSING
    return f"{day(line.review_by)}{', OVERDUE' if line.review_overdue else ''}"
