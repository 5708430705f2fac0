"""A letter to the person as text, and as a page in large print. Pure: what it says comes from the request's standing.

The words are in templates, the facts are codes: what is not known to be done is never written as done.
"""

import hashlib
import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from dpsync.mail import long_day
from dpsync.model import Regime, Right, State
from dpsync.opt_out_scope import in_words
from dpsync.propagation.telling import LetterKind
from dpsync.reports.lines import PropagationLine, RequestStanding
from dpsync.reports.visible import visible
from dpsync.reports.whole_ids import with_whole_ids

TEMPLATES = Path(__file__).parent / "templates"


class Did(StrEnum):
    """What one recipient did, as far as it is known; the templates have a sentence for each."""

    SEEN = "seen"
    SAYS = "says"
    NOTHING = "nothing"
    WAITING = "waiting"
    UNTOLD = "untold"
    EXEMPT = "exempt"
    SETTLED = "settled"
    SUPERSEDED = "superseded"
    WITHDRAWN = "withdrawn"


class Ground(StrEnum):
    """On which legal ground nothing is done (Art. 12(4)); the templates have a sentence for each."""

    NEEDED = "art17_3"
    EXCESSIVE = "art12_5"
    NOT_IDENTIFIABLE = "art11_2"
    SCHEDULE_2 = "dpa_sch2"


_BY_STATE = {
    State.VERIFIED: Did.SEEN,
    State.APPLIED: Did.SAYS,
    State.DECLARED_DONE: Did.SAYS,
    State.NOTHING_HELD: Did.NOTHING,
    State.DECLARED_NOTHING_HELD: Did.NOTHING,
    State.EXEMPT: Did.EXEMPT,
    State.SETTLED: Did.SETTLED,
    State.SUPERSEDED: Did.SUPERSEDED,
    State.WITHDRAWN: Did.WITHDRAWN,
}
_OPEN = frozenset({Did.WAITING, Did.UNTOLD})


@dataclass(frozen=True, slots=True)
class LetterRecipient:
    """One processor in the letter. `on`: the day of what it did, or of our telling it; `limits`: what stays there.

    `told`: whether it ever had the instruction.
    """

    title: str
    did: Did
    on: date | None
    limits: str
    told: bool


@dataclass(frozen=True, slots=True)
class Sender:
    """Who writes: the controller, its contact for people, the authority, and whose law it is."""

    controller: str
    contact: str
    authority: str
    regime: Regime
    zone: ZoneInfo
    language: str = "en"
    own: Path | None = None
    rehearsal: bool = False


@dataclass(frozen=True, slots=True)
class Asks:
    """What whoever has it written adds. `because`: words for the person; `on`: the day on which a restriction ends."""

    because: str = ""
    ground: Ground | None = None
    on: date | None = None
    extended_to: date | None = None


@dataclass(frozen=True, slots=True)
class PersonLetter:
    """The letter. `text` ends with a line feed; `title` is its subject."""

    kind: LetterKind
    title: str
    text: str = field(repr=False)
    language: str = "en"

    @property
    def blocks(self) -> str:
        """The same as HTML without a page around it; everything in it is escaped."""
        return "".join(_blocks(self.text))

    @property
    def digest(self) -> str:
        """The SHA-256 of the text, as the record keeps it once the letter went."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def page(self) -> str:
        """The same as a page in large print, for a printer or a browser."""
        head = f"<meta charset=utf-8><title>{html.escape(self.title)}</title><style>{_STYLE}</style>"
        return with_whole_ids(f"<!doctype html>\n<html lang={self.language}>{head}\n{self.blocks}</html>\n")


_STYLE = (
    "body{font:18pt/1.5 Arial,Helvetica,sans-serif;max-width:34em;margin:2em auto;padding:0 1em}"
    "li{margin:.4em 0}.id{white-space:nowrap}@page{size:A4;margin:2cm}@media print{body{margin:0;padding:0}}"
)


def usual_kind(asked: RequestStanding) -> LetterKind:
    """The letter that such a request is usually answered by."""
    return LetterKind.ERASURE if asked.right is Right.ERASURE else LetterKind.ACTION


def composed(
    kind: LetterKind, asked: RequestStanding, name: str, sender: Sender, asks: Asks, today: date
) -> PersonLetter:
    """The letter of one kind. `name`: of the person, "" where it is not known any more."""
    found = [recipient(line, sender.zone) for line in asked.lines]
    kinds = {one.did for one in found}
    values: Mapping[str, Any] = {
        "controller": sender.controller,
        "contact": sender.contact,
        "authority": sender.authority,
        "law": "the UK GDPR" if sender.regime is Regime.UK else "the GDPR",
        "name": name,
        "today": long_day(today),
        "received": long_day(asked.received_at.astimezone(sender.zone).date()),
        "right": asked.right.value,
        "lifting": asked.lifting,
        "scope": in_words(asked.scope),
        "reference": asked.id,
        "recipients": found,
        "finished": bool(found) and not kinds & (_OPEN | {Did.WITHDRAWN}),
        "stopped": Did.WITHDRAWN in kinds and not kinds & _OPEN,
        "nothing_done": kinds == {Did.WITHDRAWN} and not any(one.told for one in found),
        "nowhere": not found,
        "because": asks.because.strip(),
        "ground": asks.ground.value if asks.ground else "",
        "on": long_day(asks.on) if asks.on else "",
        "extended_to": long_day(asks.extended_to) if asks.extended_to else "",
    }
    text = _environment(sender).get_template(f"{kind.value}.txt").render(values)
    lines = [line.rstrip() for line in text.strip().splitlines()]
    title = lines[0] if lines else ""
    if sender.rehearsal:
        lines[1:1] = ["", "REHEARSAL: nothing of this is real."]
    return PersonLetter(kind, title, "\n".join(_one_blank(lines)) + "\n", sender.language)


def recipient(line: PropagationLine, zone: ZoneInfo) -> LetterRecipient:
    """What one processor did, by the state that the record proves. What is unknown is open."""
    did = _BY_STATE.get(line.state) or (Did.WAITING if line.told_at else Did.UNTOLD)
    at = line.told_at if did in _OPEN else line.done_at or line.state_since
    return LetterRecipient(
        line.title, did, at.astimezone(zone).date() if at else None, line.limits, line.told_at is not None
    )


def _environment(sender: Sender) -> Environment:
    own = [sender.own / sender.language] if sender.own else []
    ours = [TEMPLATES / sender.regime.value / sender.language, TEMPLATES / sender.language]
    made = Environment(
        loader=FileSystemLoader([*own, *ours]),
        autoescape=False,  # noqa: S701 - because it makes plain text; `page` escapes
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: visible(value) if isinstance(value, str) else value,
    )
    made.filters["day"] = long_day
    return made


def _one_blank(lines: Sequence[str]) -> Iterator[str]:
    before = ""
    for line in lines:
        if line or before:
            yield line
        before = line


def _blocks(text: str) -> Iterator[str]:
    for number, block in enumerate(text.strip().split("\n\n")):
        lines = [html.escape(line) for line in block.splitlines()]
        if number == 0:
            yield f"<h1>{' '.join(lines)}</h1>\n"
        elif all(line.startswith("- ") for line in lines):
            yield f"<ul>{''.join(f'<li>{line[2:]}</li>' for line in lines)}</ul>\n"
        else:
            yield f"<p>{'<br>'.join(lines)}</p>\n"
