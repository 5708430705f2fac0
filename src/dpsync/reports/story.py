"""What happened to one request, told for people: a sentence for each step, with what proves it behind it.

The sentences word what is stored. What nobody knows is said to be unknown; "done" is said only with whose word it is.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from dpsync.connector import NoticeKind
from dpsync.ledger.entry import EntryKind
from dpsync.mail import long_day
from dpsync.model import Cause, Right, Way
from dpsync.propagation.rules.event import AnswerKind
from dpsync.reports.lines import RequestStanding
from dpsync.reports.moments import AnswerLine, AttemptLine, DecisionLine, EntryLine, EvidenceLine, NoticeLine
from dpsync.reports.story_entries import StoryEntries, entries_named
from dpsync.reports.words import CAUSES, DECISIONS, asked_for, hours

MAY_BE_TOLD = (
    "The person may have all of this page, except what would tell them about somebody else (Art. 15(4)).",
    "The person may ask whom you told: these are the processors named here (Art. 19).",
    "The supervisory authority may have all of it.",
    "A processor needs only what concerns itself. Do not pass this page on to one.",
)
"""Who may be given what a dossier says."""


@dataclass(frozen=True, slots=True)
class Chapter:
    """One step. `proofs` are the calls, answers and entries behind it, a line each."""

    at: datetime
    title: str
    sentence: str
    proofs: tuple[str, ...] = ()


_RECEIVED = frozenset({"received", "lifted"})
OUTCOMES = {
    "Applied": "{title} says that it did it.",
    "NothingHeld": "{title} says that it holds nothing about this person.",
    "Accepted": "{title} took the instruction and still owes its answer.",
    "HandOver": "The interface of {title} cannot do all of it, so a person must.",
    "NotIdentifiable": "{title} cannot find the person by anything that we know.",
    "Refused": "{title} refused, or gave an answer that its documentation does not describe.",
    "Retryable": "{title} did not do it this time, so dpsync tries again.",
    "CredentialsRejected": "{title} rejected our credential, so dpsync stopped and told the operator.",
    "Defect": "dpsync itself failed on it and told the operator.",
    "Interrupted": "dpsync was stopped before the answer came. Nobody knows yet whether it was done, so we look first.",
}
FINDINGS = {
    "AsAsked": "We looked at {title} ourselves{later}: {found}.",
    "Contradicts": "We looked at {title} ourselves{later}, and it is not as asked.",
    "CannotTell": "We looked at {title} ourselves{later}, and could not see whether it is done.",
    "Declares": "We asked {title} how far it is{later}. What it says is its word: we saw nothing ourselves.",
}
ANSWERS = {
    AnswerKind.RECEIVED: "{title} said that our instruction reached it.",
    AnswerKind.DONE: "{title} said that it is done.",
    AnswerKind.NOTHING_HELD: "{title} said that it holds nothing about this person.",
    AnswerKind.PARTLY: "{title} said that only a part is done.",
    AnswerKind.REFUSED: "{title} refused.",
    AnswerKind.WRONG_RECIPIENT: "Somebody said that our letter reached the wrong recipient.",
    AnswerKind.DELIVERED: "The mail system of {title} says that our letter arrived.",
    AnswerKind.BOUNCED: "Our letter to {title} came back.",
}
BY_OPERATOR = {
    AnswerKind.RECEIVED: "Our own operator has the task at {title}.",
    AnswerKind.DONE: "Our own operator says that it is done at {title}.",
    AnswerKind.NOTHING_HELD: "Our own operator says that {title} holds nothing about this person.",
    AnswerKind.PARTLY: "Our own operator says that only a part is done at {title}.",
    AnswerKind.REFUSED: "Our own operator did not do it at {title}.",
    AnswerKind.WRONG_RECIPIENT: "Somebody said that the task at {title} reached the wrong recipient.",
    AnswerKind.DELIVERED: "The mail system of our own operator says that the task at {title} arrived.",
    AnswerKind.BOUNCED: "The task at {title} did not reach our own operator.",
}
_LETTERS = {
    NoticeKind.FIRST: "dpsync wrote to {title}.",
    NoticeKind.REMINDER: "dpsync reminded {title}.",
    NoticeKind.BACKUP: "dpsync wrote to the second contact of {title}.",
    NoticeKind.TASK: "dpsync gave the task at {title} to our own operator.",
    NoticeKind.TASK_REMINDER: "dpsync reminded our own operator of the task at {title}.",
}


def story(
    asked: RequestStanding,
    attempts: Iterable[AttemptLine],
    notices: Iterable[NoticeLine],
    answers: Iterable[AnswerLine],
    decisions: Iterable[DecisionLine],
    entries: Sequence[EntryLine],
) -> tuple[Chapter, ...]:
    """Every step in order of time; what happened at one moment stays in the order of cause and effect."""
    titles, ledger = {line.processor: line.title for line in asked.lines}, StoryEntries(entries)
    letters, tried = list(notices), list(attempts)
    posted = {(one.processor, one.sent_at): one for one in letters if one.sent_at is not None}
    ended = {(one.processor, one.ended_at) for one in tried}
    by_hand = {one.processor for one in tried if "HandOver" in one.outcome}
    gone = set(titles) - by_hand if asked.right is Right.ERASURE else set[str]()
    ours = _by_our_operator(asked, letters)
    found = [
        *_of_receipt(asked, _first_due(asked, entries), ledger),
        *(_of_decision(one, titles, ledger) for one in decisions),
        *(_of_attempt(one, posted, ledger, gone=one.processor in gone) for one in tried),
        *(_of_letter(one, ledger) for one in letters if (one.processor, one.sent_at) not in ended),
        *(_of_answer(one, ledger, ours=(one.processor, one.number) in ours) for one in answers),
        *_asked_anew(entries, titles),
        *_of_end(asked),
    ]
    return with_more((), found)


def with_more(told: Iterable[Chapter], more: Iterable[Chapter]) -> tuple[Chapter, ...]:
    """A story with other steps in their places."""
    return tuple(sorted((*told, *more), key=lambda chapter: chapter.at))


def _first_due(asked: RequestStanding, entries: Iterable[EntryLine]) -> date:
    """The legal date that it was recorded with: an extension moved it later."""
    said = next((str(one.fields["due"]) for one in entries if one.event in _RECEIVED and "due" in one.fields), None)
    return date.fromisoformat(said) if said else asked.due_on


def _of_receipt(asked: RequestStanding, due_on: date, ledger: StoryEntries) -> Iterator[Chapter]:
    right = asked_for(asked.right, asked.scope)
    what = "the lifting of a restriction" if asked.lifting else f"{'an' if right[0] in 'aeio' else 'a'} {right}"
    assumed = (
        " The sender gave no time of receipt, or none that can be right, so this one is assumed."
        if asked.received_assumed
        else ""
    )
    yield Chapter(asked.received_at, "", f"The organisation received the request: {what}.{assumed}")
    limit = "24 hours are allowed" if asked.right is Right.OPT_OUT else f"the legal date is {long_day(due_on)}"
    told = f"dpsync took it from {asked.source} and recorded it: {limit}."
    yield Chapter(asked.accepted_at, "", told, ledger.at("", asked.accepted_at))


def _by_our_operator(asked: RequestStanding, letters: Iterable[NoticeLine]) -> set[tuple[str, int]]:
    """Which letters our own operator answers: those that were a task, and what was told (0) where that is the way."""
    tasks = {NoticeKind.TASK, NoticeKind.TASK_REMINDER}
    found = {(one.processor, one.number) for one in letters if NoticeKind(one.kind) in tasks}
    return found | {(line.processor, 0) for line in asked.lines if line.way is Way.OPERATOR}


def _of_attempt(
    one: AttemptLine, posted: Mapping[tuple[str, datetime], NoticeLine], ledger: StoryEntries, *, gone: bool
) -> Chapter:
    """`posted`: the letters, by processor and when. `gone`: what is as asked is that nobody is held there; where a
    person must finish it off, a record is still there.
    """
    proofs = (*(_call(line) for line in one.evidence), *ledger.of_attempt(one.processor, one.number))
    if one.ended_at is None:
        doubt = f"dpsync began to tell {one.title}, and there is no answer yet: nobody knows whether it was done."
        return Chapter(one.begun_at, one.title, doubt, proofs)
    if letter := posted.get((one.processor, one.ended_at)):
        sentence = f"{_written(letter)} Our mail host accepted the letter."
        return Chapter(one.ended_at, one.title, sentence, (f"reference {letter.reference}", *proofs))
    words = {
        "title": one.title,
        "where": _where(one.evidence),
        "later": _later(one.evidence),
        "found": "nobody is there any more" if gone else "it is as asked",
    }
    told = " ".join(_said(name, words) for name in one.outcome.split()).removesuffix(".")
    why = f" ({one.reason})" if one.reason and len(one.reason) <= _SHORT else ""
    more = (one.reason,) if one.reason and not why else ()
    return Chapter(one.ended_at, one.title, f"{told}{why}.", (*more, *proofs))


_SHORT = 120
"""Letters. A longer reason is a task with steps, which stands behind the sentence."""


def _said(name: str, words: Mapping[str, str]) -> str:
    sentence = OUTCOMES.get(name) or FINDINGS.get(name)
    if sentence and name == "Applied":
        sentence = f"{sentence.removesuffix('.')}{{where}}."
    return sentence.format_map(words) if sentence else f"What came of it: {name}."


_NUMBERS = {2: "two", 3: "three", 4: "four", 5: "five", 6: "six", 7: "seven", 8: "eight", 9: "nine"}


def _where(evidence: Iterable[EvidenceLine]) -> str:
    """In how many of its places it said yes to something, where there is more than one."""
    yes = range(200, 300)
    places = {line.scope for line in evidence if line.part == "outcome" and line.scope and line.status in yes}
    return f" in {_NUMBERS.get(len(places), len(places))} places" if len(places) > 1 else ""


def _later(evidence: Sequence[EvidenceLine]) -> str:
    """How long after its answer we looked, where it was asked and looked at in one go."""
    told = [line.at for line in evidence if line.part == "outcome"]
    seen = [line.at for line in evidence if line.part == "finding"]
    if not told or not seen:
        return ""
    return f" {hours((max(seen) - max(told)) / timedelta(hours=1))} later"


def _call(line: EvidenceLine) -> str:
    status = "no answer" if line.status is None else f"answered {line.status}"
    theirs = f", their id {line.request_id}" if line.request_id else ""
    place = f", in {line.scope}" if line.scope else ""
    note = f", {line.note}" if line.note else ""
    return f"{line.endpoint} {status}{theirs}{place}{note}"


def _of_letter(one: NoticeLine, ledger: StoryEntries) -> Chapter:
    at, sentence = one.sent_at or one.created_at, _written(one)
    if one.sent_at is None:
        sentence = f"dpsync wrote a letter about {one.title}, and nobody knows whether it was sent."
    return Chapter(at, one.title, sentence, (f"reference {one.reference}", *ledger.at(one.processor, at)))


def _written(one: NoticeLine) -> str:
    return _LETTERS[NoticeKind(one.kind)].format(title=one.title)


def _of_answer(one: AnswerLine, ledger: StoryEntries, *, ours: bool) -> Chapter:
    """`ours`: it is our own operator who says so, and nobody there."""
    sentence = (BY_OPERATOR if ours else ANSWERS)[AnswerKind(one.kind)]
    how = f"answer to letter {one.number}" if one.number else "told in another way than by the link of a letter"
    said = tuple(f"{label}: {text}" for label, text in one.said)
    return Chapter(one.at, one.title, sentence.format(title=one.title), (how, *said, *ledger.at(one.processor, one.at)))


def _of_decision(one: DecisionLine, titles: Mapping[str, str], ledger: StoryEntries) -> Chapter:
    where = ", ".join(titles.get(name, name) for name in one.processors)
    at = f" for {where}" if where else ""
    reason = f": {one.reason}" if one.reason else ""
    if one.kind == "confirm":
        sentence = f"The contact{at} confirmed its address."
    elif one.kind == "supersede":
        sentence = f"A newer request replaced this one{at}."
    else:
        sentence = f"{one.by} {DECISIONS.get(one.kind, one.kind.replace('_', ' '))}{at}{reason}".rstrip(".") + "."
    proofs = [_detail(one)] if one.detail else []
    proofs += [f"account of the machine: {one.os_user}"] if one.os_user else []
    for name in one.processors or ("",):
        proofs += ledger.at(name, one.at)
    return Chapter(one.at, where, sentence, tuple(proofs))


def _detail(one: DecisionLine) -> str:
    """What it was decided about, in words: a release names the causes that it was for."""
    causes = one.detail.split(",")
    if one.kind != "release" or not set(causes) <= set(CAUSES):
        return one.detail
    if len(causes) > _FEW:
        return "for whatever it was held for that a person may decide"
    return f"it was held because: {'; '.join(CAUSES[Cause(name)] for name in causes)}"


_FEW = 3


def _asked_anew(entries: Iterable[EntryLine], titles: Mapping[str, str]) -> Iterator[Chapter]:
    """What was asked again although nobody decided it, see `lifecycle.EarlierAddress`."""
    for one in entries:
        if one.event == EntryKind.RETRIED and "by" not in one.fields:
            title = titles.get(str(one.fields.get("dest", "")), "")
            sentence = f"An older change came in late, with an earlier address. dpsync asks {title} again, with both."
            yield Chapter(one.at, title, sentence, entries_named([one.idx]))


def _of_end(asked: RequestStanding) -> Iterator[Chapter]:
    if asked.closed_at is not None:
        yield Chapter(asked.closed_at, "", "The request was closed: nobody needs to act any more.")
    if asked.shredded_at is not None:
        yield Chapter(asked.shredded_at, "", "The name and addresses were destroyed. Only the proof is left.")


def names_kept(asked: RequestStanding, forgets_after: int | None) -> str:
    """Until when the person can be named from this record. `forgets_after`: days, None where nothing is destroyed."""
    if asked.shredded_at is not None:
        return "The name and addresses are destroyed. Nobody can be named from this record any more."
    until = (
        "until a period is set for them ([forgetting] in the settings)"
        if forgets_after is None
        else f"until {forgets_after} days after the request is finished everywhere"
    )
    return (
        f"The name and addresses are kept, encrypted, {until}. They are shown only to somebody who asks by name, and "
        "that is recorded."
    )
