"""What somebody must do about requests, as a sentence and a command each: readers act on this list first."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date
from enum import Enum, auto
from zoneinfo import ZoneInfo

from dpsync.mail_status import to_do
from dpsync.model import Cause, Right, Way
from dpsync.propagation.next_day import next_day
from dpsync.reports.lines import PropagationLine, RequestStanding
from dpsync.reports.meaning import Late, Need
from dpsync.reports.tallies import SourceLine
from dpsync.reports.words import CAUSES, STOPS, asked_for, several, together


@dataclass(frozen=True, slots=True)
class Duty:
    """One thing for a person to do. `by`: our target or the legal date, whichever comes next, None where there is none.

    `requests` are all that it concerns; `command` is for the first of them.
    """

    overdue: bool
    by: date | None
    sentence: str
    command: str
    requests: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Item:
    """One request's part of a thing to do."""

    line: PropagationLine
    by: date
    places: tuple[tuple[str, str], ...]


def duties_of(
    asked: Iterable[RequestStanding],
    today: date,
    zone: ZoneInfo,
    *,
    asks: bool = True,
    unasked: Collection[tuple[str, str]] = frozenset(),
) -> list[Duty]:
    """What the lines need, alike ones together, the most urgent first. `asks`: contacts are asked by mail. `unasked`:
    which request waits for which processor because our own mail host did not take that question.
    """
    groups: dict[tuple[object, ...], list[_Item]] = {}
    nowhere = []
    for one in asked:
        if not one.lines:
            nowhere.append(_asked_of_nobody(one))
        for key, lines in _needs_of(one, unasked).items():
            first = lines[0]
            places = tuple((line.processor, line.title) for line in lines)
            late, target_on = first.late is Late.OVERDUE, one.target_at.astimezone(zone).date()
            by = first.due_on if late else next_day(target_on, first.strict_on, first.due_on, today)
            groups.setdefault((*key, first.right, places), []).append(_Item(first, by, places))
    made = [*nowhere, *(_duty(items, _asking(items, unasked, asks=asks)) for items in groups.values())]
    return sorted(made, key=lambda duty: (not duty.overdue, duty.by or today, -len(duty.requests)))


def source_duties(sources: Iterable[SourceLine]) -> list[Duty]:
    """A source that says it sent another number than came in: a request that never came is in no other figure."""
    return [
        Duty(
            overdue=False,
            by=None,
            sentence=f"{one.source} says that it sent {several(one.sent or 0, 'request')}, and {one.requests:,} came "
            "in. Find out which it means, by the answers that it got.",
            command="dpsync status --all",
        )
        for one in sources
        if one.differs
    ]


def mail_duties(waiting: int) -> list[Duty]:
    """That somebody reads what came in by mail: a refusal or a bounce may be among it."""
    if not waiting:
        return []
    told = f"Read {several(waiting, 'message')} that came in by email: there may be a refusal or a returned letter. "
    told += "Then record what it says: dpsync acknowledge --help."
    return [Duty(overdue=False, by=None, sentence=told, command="dpsync check")]


_ONE_BY_ONE = frozenset({Need.CHASE, Need.BY_HAND, Need.ESCALATED, Need.UNDELIVERED, Need.RESUME})


def _asked_of_nobody(one: RequestStanding) -> Duty:
    what = f"{asked_for(one.right, one.scope)} {one.short}"
    told = f"Look at the {what}: no processor was configured when it came, so nobody was told."
    return Duty(one.late is Late.OVERDUE, one.due_on, told, f"dpsync dossier {one.short}", (one.id,))


def _needs_of(
    one: RequestStanding, unasked: Collection[tuple[str, str]]
) -> dict[tuple[object, ...], list[PropagationLine]]:
    needs: dict[tuple[object, ...], list[PropagationLine]] = {}
    for line in one.lines:
        if line.need is not Need.NOTHING:
            why = line.causes if line.need is Need.DECIDE else (line.reason, line.task)
            # Each says their own answer, and is stopped for itself: one command is about one of them.
            alone = line.processor if line.need in _ONE_BY_ONE else ""
            ours = line.need is Need.CONTACT and (one.id, line.processor) in unasked
            needs.setdefault((line.late is Late.OVERDUE, line.need, why, alone, ours), []).append(line)
    return needs


class Asking(Enum):
    """Whether a contact is asked to confirm itself: by mail, by nobody, or by a mail that our own host did not take."""

    BY_MAIL = auto()
    NOT_AT_ALL = auto()
    NOT_TAKEN = auto()


def _asking(items: list[_Item], unasked: Collection[tuple[str, str]], *, asks: bool) -> Asking:
    line = items[0].line
    if (line.request_id, line.processor) in unasked:
        return Asking.NOT_TAKEN
    return Asking.BY_MAIL if asks else Asking.NOT_AT_ALL


def _duty(items: list[_Item], asking: Asking) -> Duty:
    line = items[0].line
    where = together(title for _, title in items[0].places)
    names = " ".join(name for name, _ in items[0].places)
    sentence, command = _said(line, _what(line, len(items)), where, names, asking)
    return Duty(
        overdue=line.late is Late.OVERDUE,
        by=min(item.by for item in items),
        sentence=sentence,
        command=command,
        requests=tuple(item.line.request_id for item in items),
    )


def _what(line: PropagationLine, count: int) -> str:
    right = ("lifting of a restriction" if line.lifting else asked_for(line.right, line.scope)) + " " + line.short
    return right if count == 1 else f"{right} and {count - 1:,} more alike"


_BY = "--by NAME --reason WHY"
_CHOICES = "Then record what they say, with --answer done, nothing_held, partly, refused, wrong_recipient or received."
_ANSWERED = f"dpsync acknowledge {{short}} {{names}} --answer received {_BY}"
"""Received is what does no harm if it is pasted as it stands: nothing becomes done by it."""

_RETRY = f"dpsync retry {{short}} {{names}} {_BY}"
_LOOK = "dpsync dossier {short}"

_WORDS: dict[Need, tuple[str, str]] = {
    Need.DECIDE: (
        f"Decide on the {{what}} at {{where}}: {{causes}}. To stop it instead: dpsync withdraw {{short}} {_BY}",
        f"dpsync release {{short}} {{names}}{{named}} {_BY}",
    ),
    Need.CONTACT: (
        "{confirm}",
        f"dpsync release {{short}} {{names}} --cause {Cause.CONTACT_UNVERIFIED} {_BY}",
    ),
    Need.RESUME: (
        "{where} is {stopped}: the {what} waits. Correct what is wrong, then resume.",
        "dpsync resume {processor}",
    ),
    Need.LOOK: ("Find out why the {what} has not got through to {where}{because}.", _LOOK),
    Need.CHASE: (f"Write to {{where}} or telephone: there is no answer to the {{what}}. {_CHOICES}", _ANSWERED),
    Need.BY_HAND: (
        "Do the {what} by hand at {where}.{task} Then record it.",
        f"dpsync acknowledge {{short}} {{names}} --answer done {_BY}",
    ),
    Need.CONTRADICTED: (
        "Write to {where}: they said that the {what} was done, but we looked and it was not{because}.",
        _RETRY,
    ),
    Need.REFUSED: (
        (
            "{where} refused the {what}, or gave an answer that its documentation does not describe{because}. "
            "Find out why, then try again or settle it."
        ),
        _RETRY,
    ),
    Need.ESCALATED: (
        f"Speak with {{where}} about the {{what}}: no answer settles it{{because}}. {_CHOICES}",
        _ANSWERED,
    ),
    Need.UNDELIVERED: (
        "The letter about the {what} at {where} was {reason}: {set_right}, then send it again.",
        _RETRY,
    ),
    Need.NOT_IDENTIFIABLE: (
        (
            "Tell {where} about the {what} in another way: it cannot find the person by anything that we know. "
            "Then settle it."
        ),
        f"dpsync settle {{short}} {{names}} {_BY}",
    ),
    Need.FORGOTTEN: (
        (
            "{where} took back what it said about the {what}{because}. Its name and addresses are destroyed, so nobody "
            "can be told of it again. If you still know the person, ask anew (dpsync submit). Then settle this one."
        ),
        f"dpsync settle {{short}} {{names}} {_BY}",
    ),
}


def _words_of(line: PropagationLine) -> tuple[str, str]:
    """What fits its need; of what a person may settle although it is held, that too."""
    asks, sentence, command = frozenset(line.causes), *_WORDS[line.need]
    if line.need is not Need.DECIDE or not asks & {Cause.FOR_A_PERSON, Cause.SCOPE_UNMAPPED}:
        return sentence, command
    settle = f"dpsync settle {{short}} {{names}} {_BY}"
    if Cause.FOR_A_PERSON in asks and line.right is Right.RECTIFICATION:
        found = (
            "Find out what the {what} is to say, and enter that (dpsync submit rectification). Then settle this one at "
            "{where}."
        )
        return found, settle
    return f"{sentence}. If nothing is to be done at {{where}}: {settle}", command


def _said(line: PropagationLine, what: str, where: str, names: str, asking: Asking) -> tuple[str, str]:
    """A sentence and the command to type: with a name and a reason filled in, it works as it stands."""
    sentence, command = _words_of(line)
    words = {
        "what": what,
        "where": where,
        "names": names,
        "short": line.short,
        "processor": line.processor,
        "reason": line.reason,
        "because": f" ({line.reason})" if line.reason else "",
        "task": f" {line.task}" if line.task else "",
        "stopped": STOPS.get(line.stopped, "stopped"),
        "causes": _causes(line),
        "named": _named(line),
        "confirm": to_confirm(what, where, names, asking),
        "set_right": _set_right(line),
    }
    return sentence.format_map(words), command.format_map(words)


def to_confirm(what: str, where: str, names: str, asking: Asking) -> str:
    """How the contact can confirm itself, or a person for it."""
    several = len(names.split()) > 1
    their, link = ("their contacts", "links in our emails") if several else ("its contact", "link in our email")
    if asking is Asking.NOT_TAKEN:
        return (
            f"Put our own email right: our mail host has not taken the question whether {where} confirms {their} "
            f"(DP-303: dpsync check --send-test). Until then the notice of the {what} waits for our operator. "
            "If you have confirmed the address in another way, release it, and say how in --reason."
        )
    if asking is Asking.NOT_AT_ALL:
        return (
            f"dpsync cannot ask {where} to confirm {their}: that needs [mail] and [intake] public_url. Set what is "
            f"missing and restart. Until then the notice of the {what} waits. "
            "Or confirm the address in another way, release it, and say how in --reason."
        )
    return (
        f"Ask {where} to confirm {their} by the {link}. Until then the notice of the {what} "
        f"waits. To send the email again: dpsync check --ask-contact {' --ask-contact '.join(names.split())}. "
        "If you have confirmed the address in another way, say how in --reason."
    )


def _set_right(line: PropagationLine) -> str:
    """What must be corrected before a letter can reach whom it is for."""
    if line.way is Way.OPERATOR:
        return "correct `operator` in the settings and restart"
    if line.told_at is None:
        heard = "nobody there was told"
    elif line.notices > 1:
        heard = "they have answered, perhaps an earlier one"
    else:
        heard = "they said that they have it, but the letter came back: one of the two is wrong"
    return f"{heard}. {to_do(line.reason)}"


def _named(line: PropagationLine) -> str:
    """The causes that a release must name, because a mere yes does not release from them."""
    if not frozenset(line.causes) <= _BY_NAME:
        return ""
    return "".join(f" --cause {cause}" for cause in line.causes)


_BY_NAME = frozenset({Cause.COOLING_OFF, Cause.CONTACT_UNVERIFIED})


def _causes(line: PropagationLine) -> str:
    left = [CAUSES[cause] for cause in line.causes if cause is not Cause.COOLING_OFF]
    return "; ".join(left or [CAUSES[Cause.COOLING_OFF]])
