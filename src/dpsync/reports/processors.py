"""What each processor can do for each right, and what it cannot: the report, `dpsync processors`, its page in docs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date

from dpsync.connector import Capability, Means
from dpsync.model import Right
from dpsync.propagation.remarks import UNDECLARED
from dpsync.reports.visible import visible
from dpsync.reports.words import MEANS, RIGHTS


@dataclass(frozen=True, slots=True)
class CapabilityLine:
    """What is true after a right was carried out, what is not, how that is read back ("": it cannot be).

    `declared_by`: how the processor is asked for its word where there is no more than that.
    """

    right: Right
    means: Means
    effect: str
    limits: str
    verified_by: str
    source: str
    declared_by: str = ""


@dataclass(frozen=True, slots=True)
class ExemptLine:
    """That the processor need not be told of a right (Art. 19): the configured code, reason, name and end."""

    right: Right
    code: str
    reason: str
    by: str
    until: date


@dataclass(frozen=True, slots=True)
class ProcessorLine:
    """A processor as a report speaks of it. `capabilities` has every right."""

    name: str
    title: str
    capabilities: tuple[CapabilityLine, ...]
    exempt: tuple[ExemptLine, ...] = ()

    def of(self, right: Right) -> CapabilityLine | None:
        """What it can do for one right."""
        return next((line for line in self.capabilities if line.right is right), None)


def capability_lines(
    declared: Mapping[Right, Capability], by_notice: Mapping[Right, Capability]
) -> tuple[CapabilityLine, ...]:
    """Every right: as the connector declares it, else as the notice connector does."""
    lines = []
    for right in Right:
        can = declared.get(right) or by_notice.get(right) or UNDECLARED
        line = CapabilityLine(right, can.means, can.effect, can.limits, can.verified_by, can.source, can.declared_by)
        lines.append(line)
    return tuple(lines)


def capabilities_text(processors: Iterable[ProcessorLine]) -> str:
    """The table as Markdown that reads well on a terminal too: one section a processor, one list a right."""
    lines: list[str] = []
    for processor in processors:
        lines += [f"## {visible(processor.title)} (`{visible(processor.name)}`)", ""]
        for can in processor.capabilities:
            lines += [f"### {RIGHTS[can.right].capitalize()}", ""]
            lines += [f"- {label}: {visible(text)}" for label, text in capability_rows(can)]
            lines.append("")
        for one in processor.exempt:
            why = f"{visible(one.reason)} ({visible(one.code)}, {visible(one.by)})"
            lines += [f"It need not be told of {RIGHTS[one.right]} until {one.until}: {why}.", ""]
    return "\n".join(lines)


def capability_rows(can: CapabilityLine) -> tuple[tuple[str, str], ...]:
    """One capability as labels and texts, the same in every format."""
    return (
        ("How", MEANS[can.means]),
        ("Effect", can.effect or "not known"),
        ("Limits", can.limits or "no limit is known"),
        ("Seen by us", can.verified_by or can.declared_by or "no: there is only their word, or our operator's"),
        ("Source", can.source or "no documentation"),
    )
