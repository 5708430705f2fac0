"""What a question says, for each of its subjects. No text names a person."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import assert_never

from dpsync.model import Cause, Right, State
from dpsync.opt_out_scope import in_words
from dpsync.propagation.controller import Controller
from dpsync.propagation.held import BECAUSE, BY, RELEASE_CONTACT
from dpsync.propagation.points import CREDENTIAL, Point, QuestionKind, subject_of

_NOT_BACK = {
    Right.ERASURE: "An erasure cannot be undone. Nobody can bring the data back.",
    Right.RECTIFICATION: "The old values are overwritten. dpsync cannot bring them back.",
    Right.RESTRICTION: "A restriction can be lifted later. The person must be told before that.",
    Right.OPT_OUT: "The person gets no more marketing. Only they themselves can sign up again.",
}
_PART = (
    "The person gets no more marketing of one kind: {}. Where it waits for you, your approval means no more marketing "
    "at all from that processor. Only they themselves can sign up again."
)
_LIFTED = "The restriction ends. The person must have been told before (Art. 18(3))."


@dataclass(frozen=True, slots=True)
class QuestionText:
    """Parts of the email. `choices` completes "Please decide: ...", `otherwise` "If nobody decides, ...".

    `commands`: the same by command, a line each.
    """

    stands: str
    why: str
    choices: str
    otherwise: str
    commands: tuple[str, ...]


def question_text(controller: Controller, points: Collection[Point], *, withdrawn: bool) -> QuestionText:
    """What is said of these points. `withdrawn`: somebody withdrew the request, so nobody is told of it again."""
    places = "; ".join(sorted({controller.title_of(point.processor) for point in points if point.processor}))
    subject, first = subject_of(points), min(points)
    match subject:
        case QuestionKind.HELD:
            return _held(points, places)
        case QuestionKind.STUCK:
            return _stuck(points, places, withdrawn=withdrawn)
        case QuestionKind.ASKED_FOR:
            return _asked_for(first)
        case QuestionKind.TECHNICAL:
            return _credential(first, places) if first.why == CREDENTIAL else _contact(first, places)
        case QuestionKind.BACK:
            return _back(first, places)
        case _:
            assert_never(subject)


def _held(points: Collection[Point], places: str) -> QuestionText:
    request_id = min(points).request_id
    unsure = any(point.cause is Cause.RESTORED for point in points)
    return QuestionText(
        f"dpsync holds this request. It {'may not have' if unsure else 'has not'} told: {places}.",
        " ".join(BECAUSE[cause] for cause in sorted({Cause(point.why) for point in points})),
        "approve the request, or stop it",
        "nothing is sent",
        (f"dpsync release {request_id} {BY}", f"dpsync withdraw {request_id} {BY}"),
    )


_STUCK = {
    State.CONTRADICTED: "A processor said that it was done. We looked, and it is not.",
    State.ESCALATED: "A processor did not do it, or only a part of it, or our letter reached nobody who could.",
}

_IN_DOUBT = "It was being sent when it was withdrawn. All or part of it may have been done."


def _stuck(points: Collection[Point], places: str, *, withdrawn: bool) -> QuestionText:
    states = sorted({point.why.partition(" ")[0] for point in points})
    at = f"{min(points).request_id} {min(point.processor for point in points)}"
    return QuestionText(
        f"It was withdrawn, but not in time for: {places}." if withdrawn else f"This is not done at: {places}.",
        _IN_DOUBT if withdrawn else " ".join(_STUCK[State(state)] for state in states),
        ("" if withdrawn else "tell the processor again, ") + "record what it has told you, or close it",
        "it stays open, and nothing more is sent there",
        (f"dpsync acknowledge {at} --answer received {BY}", f"dpsync settle {at} {BY}"),
    )


def _asked_for(point: Point) -> QuestionText:
    return QuestionText(
        "You asked for a link by which you can decide about it.",
        "You asked for it, on a page that one of our emails linked to.",
        "approve or stop what is held, exempt a processor, record what one said or that the person had a letter, "
        "extend the legal date, or lift a restriction",
        "nothing changes",
        (f"dpsync status {point.request_id}",),
    )


def _contact(point: Point, places: str) -> QuestionText:
    release = RELEASE_CONTACT.format(request=point.request_id, processor=point.processor)
    return QuestionText(
        f"dpsync has not told: {places}.",
        f"The contact of {places} has not confirmed its address for a day, so no personal data go there.",
        "have the contact asked again, or say that the address is right, if you know it in another way, for example by "
        "telephone, or name the right one",
        "nothing is sent there before the contact confirms the address",
        (f"dpsync check --ask-contact {point.processor}", release, f"dpsync contact {point.processor} ADDRESS {BY}"),
    )


def _credential(point: Point, places: str) -> QuestionText:
    return QuestionText(
        f"This request and all others for {places} wait.",
        f"{places} rejects our credential.",
        "put a valid key in place, restart dpsync, and then say on the page that it goes on",
        f"nothing is sent to {places}",
        ("dpsync check", f"dpsync resume {point.processor}"),
    )


def _back(point: Point, places: str) -> QuestionText:
    return QuestionText(
        f"That was done at: {places}. A record of this person is there again.",
        "A sweep has found it. An import, a form or a sync may have brought it there, or the person came back by their "
        "own wish. Our email about the processor says how and when, as far as that is told.",
        "record the new consent, if they came back by their own wish, or have it done once more, or say that the "
        "record is somebody else's",
        "nothing changes there",
        (
            f"dpsync welcome --email ADDRESS --on DATE --consent TEXT --request {point.request_id} --by NAME",
            f"dpsync source leave {point.finding[:12]} {BY}",
        ),
    )


def consequence(right: Right, *, lifting: bool, scope: str = "") -> str:
    """What follows where a request is carried out, and whether it can be taken back."""
    if scope:
        return _PART.format(in_words(scope))
    return _LIFTED if lifting else _NOT_BACK[right]
