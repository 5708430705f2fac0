"""A receipt in plain words, for the person or the regulator: who was told, what each said, what we saw (Art. 19).

All of it is read from the signed file, so that whoever has the file can compare. What a processor's interface cannot
do is not in the file, and the page says so.
"""

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from hashlib import sha256
from typing import Final
from zoneinfo import ZoneInfo

from dpsync.address import normalised
from dpsync.errors import LedgerTampered, NotFound
from dpsync.ledger import entry, receipt, verify_receipt
from dpsync.ledger.entry import EntryKind
from dpsync.ledger.note import VerifierKey
from dpsync.ledger.note import parse as parse_note
from dpsync.ledger.told import PlaceTold, Said
from dpsync.model import CLOSED_STATES, DONE_STATES, Right, Rung, State, Way
from dpsync.propagation.remarks import NOT_CONFIGURED, heard, open_point
from dpsync.propagation.rules.event import AnswerKind
from dpsync.propagation.telling import LetterKind
from dpsync.reports.letters import TO_PEOPLE
from dpsync.reports.processors import ProcessorLine
from dpsync.reports.story import ANSWERS, BY_OPERATOR, FINDINGS, OUTCOMES
from dpsync.reports.words import STATES, asked_for, day, moment, reached, several

HEADS: Final = ("Processor", "Told", "Done", "Where it stands", "Proof reaches")

_WAYS = {
    Way.API: "through its interface",
    Way.NOTICE: "by a letter to its contact",
    Way.OPERATOR: "by a task for our own operator",
}
_SAID: Final[Mapping[str, str]] = {
    EntryKind.APPLIED: OUTCOMES["Applied"],
    EntryKind.NOTHING_HELD: OUTCOMES["NothingHeld"],
    EntryKind.ACCEPTED: OUTCOMES["Accepted"],
    EntryKind.HANDED_OVER: OUTCOMES["HandOver"],
    EntryKind.NOT_IDENTIFIABLE: OUTCOMES["NotIdentifiable"],
    EntryKind.REFUSED: OUTCOMES["Refused"],
}
_SEEN: Final[Mapping[str, str]] = {
    EntryKind.VERIFIED: FINDINGS["AsAsked"],
    EntryKind.CONTRADICTED: FINDINGS["Contradicts"],
    EntryKind.CANNOT_TELL: FINDINGS["CannotTell"],
}
_ANSWERED: Final[Mapping[str, AnswerKind]] = {
    EntryKind.ACKNOWLEDGED: AnswerKind.RECEIVED,
    EntryKind.DELIVERED: AnswerKind.DELIVERED,
    EntryKind.BOUNCED: AnswerKind.BOUNCED,
}
_DECLARED: Final[Mapping[str, AnswerKind]] = {
    State.DECLARED_DONE: AnswerKind.DONE,
    State.DECLARED_NOTHING_HELD: AnswerKind.NOTHING_HELD,
}


@dataclass(frozen=True, slots=True)
class AtProcessor:
    """One processor, in words. `said`: what it answered, or our operator for it; `seen`: what we saw there ourselves.

    `open_point`: what is not done or not seen, "" for nothing; `limits`: what its interface cannot do for this right.
    """

    title: str
    cells: tuple[str, ...]
    told: str
    said: tuple[str, ...]
    seen: tuple[str, ...]
    open_point: str
    limits: str


@dataclass(frozen=True, slots=True)
class PrintedReceipt:
    """What the page of a receipt says. `about`: the address that was found to fit, "" where none was given.

    `dates`: the request, as label and value; `key`: the verifier key line; `digest`: the SHA-256 of the signed file.
    """

    controller: str
    rehearsal: bool
    zone: str
    made_at: datetime
    request_id: str
    standing: str
    about: str = field(repr=False)
    dates: tuple[tuple[str, str], ...]
    places: tuple[AtProcessor, ...]
    forgotten: str
    how_to_check: tuple[str, ...]
    key: str
    origin: str
    size: int
    root: str
    entries: int
    digest: str

    @property
    def open_points(self) -> tuple[str, ...]:
        """What is not done, or not seen by us, at each processor where that is so."""
        return tuple(f"{one.title}: {one.open_point}." for one in self.places if one.open_point)


@dataclass(frozen=True, slots=True)
class BesideTheFile:
    """What the page says besides what is in the file. `email`: the person's address, where somebody gave it.

    `forgotten_at`: when the request was forgotten; nothing that was recorded later is in the file.
    """

    controller: str
    zone: ZoneInfo
    now: datetime
    known: Mapping[str, ProcessorLine]
    email: str = field(default="", repr=False)
    forgotten_at: datetime | None = None


def printed_receipt(raw: bytes, keys: Sequence[VerifierKey], about: BesideTheFile) -> PrintedReceipt:
    """The page of a receipt, after the program that is handed out with it has found it valid.

    Raises `LedgerTampered` where it is not, and `NotFound` where it is about another address than was given.
    """
    try:
        verify_receipt.check(raw, "\n".join(one.line for one in keys))
    except verify_receipt.NOT_HOLDING as problem:
        raise LedgerTampered(f"the receipt does not hold: {verify_receipt.said_of(problem)}") from None
    value = receipt.read(raw)
    entries = [entry.decode(base64.b64decode(one["body"])) for one in value["entries"]]
    first = next(said for said in entries if said["event"] in {EntryKind.RECEIVED, EntryKind.LIFTED})
    if about.email and first.get("subj") != entry.commitment(
        bytes.fromhex(value["commit_key"]), normalised(about.email)
    ):
        raise NotFound("the receipt is about another address, or about a person without one: leave out --email")
    right = Right(str(first["right"]))
    sealed = {name: one["limits"] for name, one in value.get("remarks", {}).items()}
    places = tuple(_at(name, right, entries, about, sealed.get(name, "")) for name in value["processors"])
    head = parse_note(value["checkpoint"])[0]
    return PrintedReceipt(
        controller=about.controller,
        rehearsal=value["rehearsal"],
        zone=about.zone.key,
        made_at=about.now,
        request_id=value["request"],
        standing=_standing([heard(name, entries) for name in value["processors"]]),
        about=about.email,
        dates=tuple(_dates(right, first, entries, about.zone)),
        places=places,
        forgotten=_forgotten(about),
        how_to_check=tuple(value["how_to_check"]),
        key=value["key"],
        origin=head.origin,
        size=head.size,
        root=base64.b64encode(head.root).decode(),
        entries=len(entries),
        digest=sha256(raw).hexdigest(),
    )


def _forgotten(about: BesideTheFile) -> str:
    if about.forgotten_at is None:
        return ""
    at = moment(about.forgotten_at, about.zone)
    return (
        f"The name and addresses were destroyed on {at}. This is the receipt of before: what came later is not in it."
    )


def _standing(places: Sequence[PlaceTold]) -> str:
    """How it stands everywhere, in one sentence."""
    still = sum(place.state not in CLOSED_STATES for place in places)
    done = sum(place.state in DONE_STATES for place in places)
    if still:
        return f"Still open at {still} of {several(len(places), 'processor')}."
    return f"{'Done' if done else 'Closed, and done'} at {done} of {several(len(places), 'processor')}."


def _dates(right: Right, first: Said, entries: Iterable[Said], zone: ZoneInfo) -> Iterator[tuple[str, str]]:
    lifting = first["event"] == EntryKind.LIFTED
    yield "What was asked", f"{'lifting of a ' if lifting else ''}{asked_for(right, str(first.get('name', '')))}"
    assumed = " (assumed: the sender gave no time, or none that can be right)" if first.get("assumed") else ""
    yield "Received", _moment(first.get("received", first["ts"]), zone) + assumed
    yield "Recorded", _moment(first["ts"], zone)
    if "due" in first:
        yield "Last day by law", day(date.fromisoformat(str(first["due"])))
    for said in entries:
        if said["event"] == EntryKind.EXTENDED:
            told = day(date.fromisoformat(str(said["told_on"])))
            yield "Extended until", f"{day(date.fromisoformat(str(said['due'])))}, the person was told on {told}"
        elif said["event"] == EntryKind.PERSON_TOLD:
            yield "Letter to the person", f"{day(date.fromisoformat(str(said['told_on'])))}: {_letter(said)}"


def _letter(said: Said) -> str:
    return TO_PEOPLE[LetterKind(str(said["cause"]))]


def _at(name: str, right: Right, entries: Sequence[Said], about: BesideTheFile, sealed: str) -> AtProcessor:
    known, place = about.known.get(name), heard(name, entries)
    title = known.title if known else name
    own = [said for said in entries if said.get("dest") == name]
    can = known.of(right) if known else None
    by_hand = any(said["event"] == EntryKind.HANDED_OVER for said in own)
    gone = right is Right.ERASURE and not by_hand
    words = {"title": title, "later": "", "found": "nobody is there any more" if gone else "it is as asked"}
    unseen = "We have not looked there ourselves." if can is None or can.verified_by else "We cannot look there."
    state = State(place.state)
    undone = state not in CLOSED_STATES
    return AtProcessor(
        title=title,
        cells=(
            title,
            _moment(place.told, about.zone) or "no",
            _moment(place.done, about.zone) if state in DONE_STATES else "no",
            STATES[state],
            reached(Rung(place.rung), told=place.told is not None, undone=undone),
        ),
        told=_told(place, state, about.zone),
        said=_listed(((said, _sentence(said)) for said in own), words, about.zone) or ("Nothing yet.",),
        seen=_listed(((said, _SEEN.get(str(said["event"]), "")) for said in own), words, about.zone) or (unseen,),
        open_point=open_point(place, STATES[state]),
        limits=sealed or (can.limits if can else NOT_CONFIGURED),
    )


def _told(place: PlaceTold, state: State, zone: ZoneInfo) -> str:
    if place.told is not None:
        return f"Since {_moment(place.told, zone)}, {_WAYS[Way(place.way or Way.API)]}."
    if place.rung:
        return "Not any more: what was sent came back, or reached the wrong place."
    return f"No. {STATES[state].capitalize()}."


def _sentence(said: Said) -> str:
    """What a processor, or our own operator for it, said by this entry; "" where it is about something else."""
    event, cause = str(said["event"]), str(said.get("cause", ""))
    if said.get("kind") == "finding":
        return ""
    answer = _DECLARED.get(str(said.get("state", ""))) if event == EntryKind.DECLARED else _ANSWERED.get(event)
    if event in {EntryKind.REFUSED, EntryKind.ESCALATED, EntryKind.REPEAT, EntryKind.ACKNOWLEDGED}:
        answer = AnswerKind(cause) if cause in set(AnswerKind) else answer
    if answer is not None:
        return (BY_OPERATOR if said.get("way") == Way.OPERATOR else ANSWERS)[answer]
    return _SAID.get(event, "")


def _listed(found: Iterable[tuple[Said, str]], words: Mapping[str, str], zone: ZoneInfo) -> tuple[str, ...]:
    """A sentence for each, with its moment; what was said several times is told once, of the last time."""
    times: dict[str, list[int]] = {}
    for said, sentence in found:
        if sentence:
            times.setdefault(sentence.format_map(words), []).append(int(said["ts"]))
    ordered = sorted(times.items(), key=lambda one: one[1][-1])
    return tuple(_last_of(sentence, at, zone) for sentence, at in ordered)


def _last_of(sentence: str, at: Sequence[int], zone: ZoneInfo) -> str:
    more = f" ({len(at)} times, first on {_moment(at[0], zone)})" if len(at) > 1 else ""
    return f"{_moment(at[-1], zone)}: {sentence.removesuffix('.')}{more}."


def _moment(seconds: int | str | None, zone: ZoneInfo) -> str:
    return "" if seconds is None else moment(datetime.fromtimestamp(int(seconds), UTC), zone)
