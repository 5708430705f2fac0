"""What states, rungs, causes and dates are called in a report. Words only: nothing is decided here."""

from collections.abc import Iterable
from datetime import date, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from dpsync.connector import Means
from dpsync.model import Cause, Right, Rung, State
from dpsync.opt_out_scope import in_words

RIGHTS = {
    Right.RECTIFICATION: "rectification",
    Right.ERASURE: "erasure",
    Right.RESTRICTION: "restriction",
    Right.OPT_OUT: "opt-out",
}


def asked_for(right: Right, scope: str = "") -> str:
    """What a request asks for: `opt-out (only topic events)` where somebody left a part."""
    return f"{RIGHTS[right]} (only {in_words(scope)})" if scope else RIGHTS[right]


STATES = {
    State.HELD: "held",
    State.PENDING: "being told",
    State.ACCEPTED: "told, answer owed",
    State.HANDED_OVER: "with our operator",
    State.APPLIED: "done, they say (API)",
    State.DECLARED_DONE: "done, they say (answer)",
    State.NOTHING_HELD: "nothing held, they say (API)",
    State.DECLARED_NOTHING_HELD: "nothing held, they say (answer)",
    State.VERIFIED: "done, seen by us",
    State.CONTRADICTED: "said done, seen otherwise",
    State.REFUSED: "refused",
    State.ESCALATED: "needs a person",
    State.NOT_IDENTIFIABLE: "not identifiable there",
    State.SUPERSEDED: "superseded by a newer request",
    State.WITHDRAWN: "withdrawn before it was sent",
    State.SETTLED: "settled by a person",
    State.EXEMPT: "exempt from telling",
}

RUNGS = {
    Rung.NONE: "not sent",
    Rung.SENT: "sent",
    Rung.DELIVERED: "delivered",
    Rung.ACKNOWLEDGED: "acknowledged by them",
    Rung.CONFIRMED: "confirmed by them",
    Rung.VERIFIED: "verified by us",
    Rung.STILL_VERIFIED: "verified by us again, 30 days later",
}

CAUSES = {
    Cause.BRAKE: "the brake: more in 24 hours than is allowed",
    Cause.COOLING_OFF: "cooling-off",
    Cause.APPROVAL: "a person must approve it",
    Cause.SHARED_ADDRESS: "same address as another person",
    Cause.RESTRICTION_IN_FORCE: "a restriction is in force",
    Cause.CONTACT_UNVERIFIED: "the processor's contact has not confirmed the address",
    Cause.OBSERVE: "dpsync only observes",
    Cause.MAYBE_MERGE: "its record is gone, which a merge of two records looks like",
    Cause.RESTORED: "the database was restored from a back-up, so it may have been done",
    Cause.KEY_LOST: "the key that opens it is lost for good",
    Cause.FOR_A_PERSON: "who handed it over does not say what is to be done",
    Cause.SCOPE_UNMAPPED: "it is from a part only, and nobody said what that part is there",
}

STOPS = {
    "person": "stopped by `dpsync pause`",
    "credential": "stopped because it rejected our credential",
}
"""Why nothing is sent to an account until somebody resumes it."""

MEANS = {
    Means.API: "through its API",
    Means.NOTICE: "by a tracked notice to its contact",
    Means.API_AND_OPERATOR: "through its API. Our operator does what the API cannot do",
    Means.API_AND_NOTICE: "found and checked through its API, done after a tracked notice to its contact",
    Means.OPERATOR: "by our operator, by hand, because its API cannot do it",
    Means.LIST_AND_NOTICE: "by our own list, and by a tracked notice to its contact",
}

GLOSSARY = (
    (
        "Told",
        "The processor has our instruction. Told everyone: every processor has it, and none is exempt or left out.",
    ),
    ("Done, seen by us", "We looked again at the processor, and it is as asked."),
    ("Done, they say", "The processor's API or a person there says so. We could not look, or have not looked yet."),
    ("Not yet", "At least one processor is not done. The list says who or what it waits for."),
    ("Held", "Accepted and recorded. The legal dates run, but nothing is sent."),
    ("Settled", "A named person of the controller closed it, with a reason. It does not count as done."),
    ("Exempt", "The processor need not be told: Art. 19, or a part that is nothing there. It does not count as done."),
    ("Withdrawn, superseded", "Stopped by a person, or replaced by a newer request. Neither counts as done."),
    ("Overdue", "Not closed by its legal date: one month, or 24 hours for an opt-out."),
    ("Finished late", "Closed, but after its legal date. That never changes."),
)

COUNTING = (
    "Each request is counted once, by the processor that is furthest behind: it is done when every processor is.",
    "Furthest behind is not yet, then settled, exempt, withdrawn, done on their word. Done and seen by us is last.",
    "A request belongs to the day it was received, in the controller's time zone. Where it stands is as of now.",
    "Open from before: received earlier and not closed when the period began. Counted separately.",
    "A number after a processor says under which number the page says what we cannot see there.",
    "Speed is the time from receipt by the controller until the processor had the instruction.",
)

DECISIONS = {
    "release": "approved it",
    "withdraw": "withdrew it",
    "retry": "had it told again",
    "settle": "closed it as dealt with elsewhere",
    "exempt": "recorded that it need not be told (Art. 19)",
    "extend": "extended the legal date",
    "told": "recorded that the person had a letter",
    "nobody_asked": "recorded that nobody asked for it, or that the person took it back",
    "hold": "held it",
    "hold_evidence": "had its evidence held",
    "end_hold": "ended that its evidence is held",
    "contact": "knows in another way that the contact's address is right",
    "resume": "let dpsync send again",
    "shown": "was shown the name and addresses",
    "ask_contact": "had the contact asked again whether its address is right",
    "name_contact": "named another contact, which counts once it has confirmed itself",
    "revoke_link": "revoked a link to a page about it",
}
"""What a person did, by the kind of the decision: their name stands before it."""


def reached(rung: Rung, *, told: bool, undone: bool) -> str:
    """How far the proof reaches. A rung never falls: where a letter came back or went to the wrong contact, or where
    they now say that it is not done, the text says so. `undone`: it is open, whatever was said of it.
    """
    return f"{RUNGS[rung]}, and taken back" if is_taken_back(rung, told=told, undone=undone) else RUNGS[rung]


def is_taken_back(rung: Rung, *, told: bool, undone: bool) -> bool:
    """Whether what was reached once is not so any more."""
    return (rung >= Rung.SENT and not told) or (rung >= Rung.CONFIRMED and undone)


@lru_cache(maxsize=4096)  # a report of many requests says few days many times
def day(value: date) -> str:
    """A date in words: `Fri 4 Dec 2026`."""
    return f"{value:%a} {value.day} {value:%b %Y}"


def moment(value: datetime | None, zone: ZoneInfo) -> str:
    """A time of the controller's own clock: `4 Dec 2026, 10:08 GMT`; nothing for what has not happened."""
    if value is None:
        return ""
    local = value.astimezone(zone)
    return f"{local.day} {local:%b %Y, %H:%M %Z}"


def brief(value: datetime | None, zone: ZoneInfo, year: int) -> str:
    """A time in a narrow column: `4 Dec, 10:08`; with its year where that is not `year`."""
    if value is None:
        return ""
    local = value.astimezone(zone)
    return f"{local.day} {local:%b, %H:%M}" if local.year == year else f"{local.day} {local:%b %Y, %H:%M}"


def hours(value: float | None) -> str:
    """A length of time in words: minutes below two hours, else hours."""
    if value is None:
        return "not known"
    if value < 1 / 60:
        return "less than a minute"
    return several(round(value * 60), "minute") if value < 2 else f"{value:.1f} hours"


def together(names: Iterable[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def several(count: int, one: str, many: str = "") -> str:
    """`1 request`, `2 requests`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
