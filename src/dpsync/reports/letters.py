"""Letters to people and to processors: what of them is still to be written, and what a dossier shows of each."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from dpsync.connector import NoticeKind
from dpsync.propagation import telling
from dpsync.propagation.correspondence.letters_due import SOON, LetterOwed, owed
from dpsync.propagation.rules.legal_clock import LETTER
from dpsync.reports.duties import Duty
from dpsync.reports.moments import AnswerLine, DecisionLine, NoticeLine
from dpsync.reports.standing import SHORT
from dpsync.reports.words import day, moment, several

TO_PROCESSORS = {
    NoticeKind.FIRST: "the instruction",
    NoticeKind.REMINDER: "a reminder",
    NoticeKind.BACKUP: "the instruction, to the second contact",
    NoticeKind.TASK: "a task",
    NoticeKind.TASK_REMINDER: "a reminder of the task",
}
_TASKS = frozenset({NoticeKind.TASK, NoticeKind.TASK_REMINDER})
TO_PEOPLE = {
    telling.LetterKind.ACTION: "what was done (Art. 12(3))",
    telling.LetterKind.ERASURE: "that the data are erased (Art. 17)",
    telling.LetterKind.EXTENSION: "that it takes longer (Art. 12(3))",
    telling.LetterKind.REFUSAL: "a refusal (Art. 12(4))",
    telling.LetterKind.LIFTING: "that the restriction ends (Art. 18(3))",
    telling.LetterKind.RECIPIENTS: "who has the data (Art. 19)",
}


@dataclass(frozen=True, slots=True)
class LetterLine:
    """One letter about a request. `to`: the person, a processor's title, or our operator. `sent`: when, in words.

    `known_by`: the reference that both sides call it, or the SHA-256 of its text; "" where there is none. `answer`:
    what came back, in words; of a letter to the person, who recorded it.
    """

    to: str
    what: str
    sent: str
    how: str
    known_by: str
    answer: str


def letter_duties(connection: Connection, today: date, zone: ZoneInfo, request_id: str = "") -> list[Duty]:
    """The letters to people that are due within a week, and those that are late, in one duty each. `request_id`: only
    that about one request.
    """
    return _duties(_owed(connection, today, zone, request_id, SOON), today)


def letters_ahead(connection: Connection, today: date, zone: ZoneInfo, request_id: str = "") -> tuple[list[Duty], str]:
    """As `letter_duties`, and a sentence about those that are due later, "" for none."""
    found = _owed(connection, today, zone, request_id, LETTER)
    later = [one for one in found if one.by > today + SOON]
    if not later:
        return _duties(found, today), ""
    first, one = min(later, key=lambda each: each.by), len(later) == 1
    told = f"{several(len(later), 'person has', 'people have')} no letter yet that answers them: "
    told += f"{'it' if one else 'the first'} is due by {day(first.by)} (request {first.request_id[:SHORT]}). "
    return _duties(found, today), f"{told}dpsync reminds you seven days before{'' if one else ' each'}."


def _owed(connection: Connection, today: date, zone: ZoneInfo, request_id: str, ahead: timedelta) -> list[LetterOwed]:
    among = [request_id] if request_id else None
    return owed(connection, lambda at: at.astimezone(zone).date(), today, among, ahead=ahead)


def _duties(found: Sequence[LetterOwed], today: date) -> list[Duty]:
    late = [one for one in found if one.by < today]
    near = [one for one in found if today <= one.by <= today + SOON]
    return [_duty(ones, overdue=ones is late) for ones in (late, near) if ones]


def _duty(ones: Sequence[LetterOwed], *, overdue: bool) -> Duty:
    first = min(ones, key=lambda one: one.by)
    short, more = first.request_id[:SHORT], f" and of {len(ones) - 1:,} more" if len(ones) > 1 else ""
    return Duty(
        overdue=overdue,
        by=first.by,
        sentence=f"Write to the person of request {short}{more}: no letter that answers them is on the record. When it "
        f"is sent, record it: dpsync told {short} --on DATE --by NAME",
        command=f"dpsync letter {short} --output letter.html",
        requests=tuple(one.request_id for one in ones),
    )


def late_letters(duties: Iterable[Duty]) -> str:
    """How many people should have had a letter, as the part of a sentence that ends in "is" or "are"; "" for none."""
    count = sum(len(duty.requests) for duty in duties if duty.overdue)
    return f"{several(count, 'letter')} to {'a person is' if count == 1 else 'people are'}" if count else ""


def letters_of(
    notices: Iterable[NoticeLine], answers: Iterable[AnswerLine], decisions: Iterable[DecisionLine], zone: ZoneInfo
) -> tuple[LetterLine, ...]:
    """Every letter about one request: to the person first, then to processors, each in order of time."""
    came = list(answers)
    return (*_to_the_person(decisions), *(_to_processor(one, came, zone) for one in notices))


def letter_cells(one: LetterLine) -> tuple[str, ...]:
    """Under `LETTER_HEADS`."""
    return one.to, one.what, one.sent, one.how, one.known_by, one.answer


LETTER_HEADS = ("To", "What", "Sent", "How", "Known by", "What came back")


def _to_the_person(decisions: Iterable[DecisionLine]) -> Iterator[LetterLine]:
    for one in decisions:
        if one.kind != telling.KIND:
            continue
        try:
            told = telling.read(one.detail)
        except ValueError:  # somebody wrote there by hand: `verify` names it
            continue
        digest = f"SHA-256 {told.digest}" if told.digest else ""
        yield LetterLine("the person", TO_PEOPLE[told.kind], day(told.on), told.how, digest, f"recorded by {one.by}")


def _to_processor(one: NoticeLine, answers: Sequence[AnswerLine], zone: ZoneInfo) -> LetterLine:
    kind = NoticeKind(one.kind)
    back = [
        f"{answer.kind.replace('_', ' ')}, {moment(answer.at, zone)}"
        for answer in answers
        if (answer.processor, answer.number) == (one.processor, one.number)
    ]
    return LetterLine(
        to=f"our operator, about {one.title}" if kind in _TASKS else one.title,
        what=TO_PROCESSORS[kind],
        sent=moment(one.sent_at, zone) or "nobody knows whether it went",
        how="mail",
        known_by=one.reference,
        answer="; ".join(back) or "nothing yet",
    )
