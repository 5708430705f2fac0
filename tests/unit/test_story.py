"""A dossier told for people: each sentence says no more than what is stored, and whose word it is."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest

from dpsync.connector import Finding, NoticeKind, Outcome
from dpsync.model import CLOSED_STATES, DONE_STATES, Cause, Right, Rung, State, Way
from dpsync.propagation.rules.event import AnswerKind, DecisionKind, Event, Timer
from dpsync.reports.lines import LineHead, LineKind, PropagationLine, RequestStanding
from dpsync.reports.meaning import Count, Late, Need, WaitsFor
from dpsync.reports.moments import AnswerLine, AttemptLine, DecisionLine, EntryLine, EvidenceLine, NoticeLine
from dpsync.reports.story import Chapter, names_kept, story

NOW = datetime(2026, 11, 20, 9, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


HEAD = LineHead("r-1", "r-1", Right.ERASURE, False, NOW, NOW, NOW.date(), NOW.date(), False)


def line(**more: Any) -> PropagationLine:
    known: dict[str, Any] = {
        "right": Right.ERASURE,
        "processor": "newsletter",
        "title": "Mailchimp",
        "state": State.VERIFIED,
        "counts_as": Count.SEEN,
        "rung": Rung.VERIFIED,
        "way": Way.API,
        "causes": (),
        "reason": "",
        "task": "",
        "attempts": 1,
        "notices": 0,
        "waits_for": WaitsFor.NOBODY,
        "stopped": "",
        "limits": "",
    } | {name: more.pop(name) for name in LineKind.__slots__ if name in more}
    closed, done = known["state"] in CLOSED_STATES, known["state"] in DONE_STATES
    stands: dict[str, Any] = {
        "told_at": NOW,
        "done_at": NOW,
        "state_since": NOW,
        "finished_at": NOW,
        "late": Late.NO,
        "waits_until": None,
        "need": Need.NOTHING,
    }
    return PropagationLine(HEAD, LineKind(**known, closed=closed, done=done), **stands | more)


def asked(*lines: PropagationLine, **more: Any) -> RequestStanding:
    known: dict[str, Any] = {
        "id": "r-1",
        "short": "r-1",
        "right": Right.ERASURE,
        "lifting": False,
        "ground": "",
        "source": "crm",
        "received_at": NOW - MINUTE,
        "received_assumed": False,
        "accepted_at": NOW,
        "target_at": NOW,
        "starts_on": NOW.date(),
        "strict_on": NOW.date(),
        "due_on": datetime(2026, 12, 21, tzinfo=UTC).date(),
        "letter_by": NOW.date(),
        "due_at": NOW,
        "clock_rule": "",
        "closed_at": None,
        "shredded_at": None,
        "counts_as": Count.SEEN,
        "told_everyone": True,
        "late": Late.NO,
        "lines": lines or (line(),),
    }
    return RequestStanding(**known | more)


def attempt(outcome: str, *evidence: EvidenceLine, **more: Any) -> AttemptLine:
    at = NOW + 5 * MINUTE
    whole = AttemptLine("newsletter", "Mailchimp", 1, "carry_out", at - MINUTE, at, outcome, "", evidence)
    return replace(whole, **more)


def call(part: str, at: datetime, status: int | None = 204) -> EvidenceLine:
    return EvidenceLine(part, "DELETE /people/{id}", "list-1", status, "req-1", at, "", "")


def told(
    *attempts: AttemptLine,
    notices: tuple[NoticeLine, ...] = (),
    answers: tuple[AnswerLine, ...] = (),
    decisions: tuple[DecisionLine, ...] = (),
    entries: tuple[EntryLine, ...] = (),
    of: RequestStanding | None = None,
) -> tuple[Chapter, ...]:
    """What comes after the request was received and recorded."""
    return story(of or asked(), attempts, notices, answers, decisions, entries)[2:]


def test_a_request_begins_with_its_receipt_and_its_date() -> None:
    received, recorded = story(asked(), (), (), (), (), (EntryLine(7, NOW, "received", {}),))
    assert received.sentence == "The organisation received the request: an erasure."
    assert recorded == Chapter(
        NOW, "", "dpsync took it from crm and recorded it: the legal date is 21 December 2026.", ("ledger entry 7",)
    )
    assumed, stop = story(asked(right=Right.OPT_OUT, received_assumed=True), (), (), (), (), ())
    assert assumed.sentence.endswith("so this one is assumed.")
    assert stop.sentence.endswith("24 hours are allowed.")


def test_what_was_done_and_seen_in_one_go_says_how_much_later_we_looked() -> None:
    (one,) = told(
        attempt("Applied AsAsked", call("outcome", NOW), call("finding", NOW + 3 * MINUTE, 404)),
        entries=(
            EntryLine(8, NOW, "attempt", {"dest": "newsletter", "attempt": 1}),
            EntryLine(9, NOW, "verified", {"dest": "newsletter", "attempt": 1}),
        ),
    )
    assert one.sentence == (
        "Mailchimp says that it did it. We looked at Mailchimp ourselves 3 minutes later: nobody is there any more."
    )
    assert one.proofs == (
        "DELETE /people/{id} answered 204, their id req-1, in list-1",
        "DELETE /people/{id} answered 404, their id req-1, in list-1",
        "ledger entries 8, 9",
    )


@pytest.mark.parametrize(
    ("first", "right"), [("HandOver", Right.ERASURE), ("Applied", Right.OPT_OUT), ("Applied", Right.RECTIFICATION)]
)
def test_nobody_is_said_to_be_gone_where_a_record_may_be_left(first: str, right: Right) -> None:
    *_, seen = told(attempt(first), attempt("AsAsked", number=2), of=asked(right=right))
    assert seen.sentence == "We looked at Mailchimp ourselves: it is as asked."


def test_every_kind_of_event_has_a_sentence_of_its_own() -> None:
    names = {one.__name__ for one in (*get_args(Outcome), *get_args(Finding), *get_args(Event))}
    tried = names - {Timer.__name__} - {"Answer", "Decision", "EarlierAddress"}  # these have chapters of their own
    sentences = {told(attempt(name))[0].sentence for name in tried}
    assert len(sentences) == len(tried)
    assert not any("What came of it" in one for one in sentences)


@pytest.mark.parametrize("kind", NoticeKind)
def test_every_letter_has_a_sentence_and_one_that_nobody_sent_is_said_to_be_so(kind: NoticeKind) -> None:
    letter = NoticeLine("newsletter", "Mailchimp", 1, kind.value, "DPS-1", NOW, NOW + 5 * MINUTE, NOW)
    (one,) = told(attempt("Accepted", kind="notice"), notices=(letter,))
    assert one.sentence.endswith(" Our mail host accepted the letter.")
    assert one.proofs[0] == "reference DPS-1"
    (alone,) = told(notices=(letter,))
    assert alone.sentence == one.sentence.removesuffix(" Our mail host accepted the letter.")
    (unknown,) = told(notices=(replace(letter, sent_at=None),))
    assert unknown.sentence == "dpsync wrote a letter about Mailchimp, and nobody knows whether it was sent."


@pytest.mark.parametrize("kind", AnswerKind)
def test_what_our_own_operator_says_is_never_said_to_be_the_processors_word(kind: AnswerKind) -> None:
    answer = AnswerLine("newsletter", "Mailchimp", 1, kind.value, final=True, at=NOW + 6 * MINUTE, said=())
    letter = NoticeLine("newsletter", "Mailchimp", 1, "first", "DPS-1", NOW, NOW, NOW)
    theirs = told(notices=(letter,), answers=(answer,))[-1].sentence
    ours = told(notices=(replace(letter, kind="task"),), answers=(answer,))[-1].sentence
    assert theirs != ours
    assert not ours.startswith("Mailchimp")
    by_hand = told(answers=(replace(answer, number=0),), of=asked(line(way=Way.OPERATOR)))[-1]
    assert by_hand.sentence == ours
    assert by_hand.proofs == ("told in another way than by the link of a letter",)


@pytest.mark.parametrize("kind", DecisionKind)
def test_every_decision_names_who_and_why(kind: DecisionKind) -> None:
    decided = DecisionLine(("newsletter",), kind.value, "", "Dana Officer", "root", "asked by telephone", NOW + MINUTE)
    (one,) = told(decisions=(decided,))
    by_nobody = {DecisionKind.CONFIRM: "The contact", DecisionKind.SUPERSEDE: "A newer request"}
    assert one.sentence.startswith(by_nobody.get(kind, "Dana Officer "))
    assert "for Mailchimp" in one.sentence
    if kind not in by_nobody:
        assert one.sentence.endswith(": asked by telephone.")
        assert "account of the machine: root" in one.proofs


def test_what_is_asked_again_of_itself_says_why_and_a_persons_retry_is_told_as_theirs_alone() -> None:
    anew = EntryLine(4, NOW, "retried", {"dest": "newsletter"})
    (chapter,) = [one for one in told(entries=(anew,)) if "earlier address" in one.sentence]
    assert (chapter.at, chapter.title, chapter.proofs) == (NOW, "Mailchimp", ("ledger entry 4",))
    assert "asks Mailchimp again" in chapter.sentence
    decided = replace(anew, fields={"dest": "newsletter", "by": "11" * 32})
    assert not [one for one in told(entries=(decided,)) if "earlier address" in one.sentence]


def test_what_has_no_answer_is_unknown_and_a_long_task_stands_behind_the_sentence() -> None:
    (unknown,) = told(attempt("", ended_at=None))
    assert "nobody knows whether it was done" in unknown.sentence
    (short,) = told(attempt("Retryable", reason="the processor asks us to wait"))
    assert short.sentence.endswith("(the processor asks us to wait).")
    (long,) = told(attempt("HandOver", reason="first this, then that " * 10))
    assert long.proofs[0].startswith("first this")


def test_names_are_said_to_be_kept_until_they_are_destroyed() -> None:
    assert "until a period is set for them ([forgetting] in the settings)" in names_kept(asked(), None)
    assert "until 30 days after the request is finished" in names_kept(asked(), 30)
    gone = asked(closed_at=NOW + MINUTE, shredded_at=NOW + 2 * MINUTE)
    assert "are destroyed" in names_kept(gone, 30)
    assert [one.sentence for one in told(of=gone)] == [
        "The request was closed: nobody needs to act any more.",
        "The name and addresses were destroyed. Only the proof is left.",
    ]


def test_a_date_that_was_extended_later_is_not_the_one_that_it_was_recorded_with() -> None:
    later = asked(due_on=datetime(2027, 3, 1, tzinfo=UTC).date())
    recorded = story(later, (), (), (), (), (EntryLine(5, NOW, "received", {"due": "2026-12-29"}),))[1]
    assert recorded.sentence.endswith("the legal date is 29 December 2026.")


def test_of_more_than_one_place_that_said_yes_the_story_says_how_many() -> None:
    yes = (replace(call("outcome", NOW), scope=scope) for scope in ("list-1", "list-2", "list-2"))
    no = replace(call("outcome", NOW, 404), scope="list-3")
    (one,) = told(attempt("Applied AsAsked", *yes, no, call("finding", NOW + MINUTE, 404)))
    assert one.sentence.startswith("Mailchimp says that it did it in two places. We looked")


@pytest.mark.parametrize(
    ("detail", "said"),
    [
        ("approval", "it was held because: a person must approve it"),
        ("approval,cooling_off", "it was held because: a person must approve it; cooling-off"),
        (",".join(Cause), "for whatever it was held for that a person may decide"),
        ("of a later version", "of a later version"),
    ],
)
def test_a_release_says_in_words_what_it_was_for(detail: str, said: str) -> None:
    decided = DecisionLine(("newsletter",), "release", detail, "Dana Officer", "", "", NOW)
    (one,) = told(decisions=(decided,))
    assert one.proofs == (said,)
