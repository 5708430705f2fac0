"""The mail that carries a work list: which conversations a person must delete by hand, and how to say that it is done.

The vendor's ids stand in the attached `worklist.txt` alone, never in subject or text; no name stands anywhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from dpsync.connector import NoticeKind
from dpsync.mail import letter, long_day, plain, tag_of


@dataclass(frozen=True, slots=True)
class Row:
    """One conversation to delete. `note`: what is special about it, in our words."""

    reference: str
    last_day: date
    contact: str = field(repr=False)
    conversation: str = field(repr=False)
    medium: str = ""
    channel: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class WorkLetter:
    """All that one mail says, of the act `act_id` at one processor.

    `first_id`: the Message-ID of the list's first letter; `cutoff`: the day up to which an export must reach.
    """

    act_id: int
    processor: str
    kind: NoticeKind
    reference: str
    message_id: str
    first_id: str
    dated: datetime
    to: str = field(repr=False)
    controller: str
    processor_title: str
    months: int
    link: str = field(repr=False)
    answer_by: date
    cutoff: date
    rows: Sequence[Row] = field(repr=False)
    rehearsal: bool = False

    @property
    def tag(self) -> str:
        """What its addresses and envelope carry."""
        return tag_of(self.message_id)


def written(work: WorkLetter, sender: str) -> bytes:
    """The complete RFC 5322 message: the same bytes for the same letter."""
    return letter(
        sender=sender,
        to=work.to,
        subject=_SUBJECTS.get(work.kind, "Work list: private conversations to delete"),
        message_id=work.message_id,
        at=work.dated,
        paragraphs=["Hello,", *_opening(work), _rule(work), _HINT, *_how(work), _check(work)],
        reference=work.reference,
        in_reply_to=work.first_id if work.message_id != work.first_id else "",
        attached=[("worklist.txt", _attached(work))],
        answered=True,
        rehearsal=work.rehearsal,
    )


_SUBJECTS = {
    NoticeKind.REMINDER: "Reminder: private conversations to delete",
    NoticeKind.BACKUP: "No answer yet: private conversations to delete",
}
_HINT = (
    "If the page there asks for a hint or a reason, type the reference of the row (DPS-...), and nothing about the "
    "person. If you must keep a conversation longer, tell us its reference, the reason and until when."
)


def _rule(work: WorkLetter) -> str:
    count = len(work.rows)
    what = "1 private conversation" if count == 1 else f"{count} private conversations"
    months = "1 month" if work.months == 1 else f"{work.months} months"
    return (
        f"{plain(work.controller)} keeps private conversations at {plain(work.processor_title)} for {months} and "
        f"no longer. The attached worklist.txt lists {what}, with the last day of each. Please delete all of them "
        "there by hand."
    )


def _check(work: WorkLetter) -> str:
    return (
        "Once a month, please also export the conversations that are closed there, from the oldest "
        f"to {long_day(work.cutoff)}. Give us the file, and tell us the first and the last day of the export. If "
        "everything is deleted, the file has no rows, and that is the proof. An export does not show open "
        "conversations: please also look whether an open one is older."
    )


def _opening(work: WorkLetter) -> list[str]:
    match work.kind:
        case NoticeKind.REMINDER:
            return ["This is a reminder: we have no answer yet about the attached list."]
        case NoticeKind.BACKUP:
            return ["We wrote to your colleague about this and have no answer. You are the deputy."]
        case _:
            return []


def _how(work: WorkLetter) -> list[str]:
    by = long_day(work.answer_by)
    if not work.link:
        return [f"When it is done, please reply to this email by {by}. Do not change the subject."]
    return [
        f"When it is done, please say so by {by} on this page, for all rows or for those that you tick:",
        f"  {work.link}",
        "Opening the page tells us nothing. Only its button sends your answer.",
    ]


def _attached(work: WorkLetter) -> str:
    lines = [f"{work.reference}: conversations to delete at {plain(work.processor_title)}", ""]
    for row in work.rows:
        note = f"  ({row.note})" if row.note else ""
        lines += [
            f"{row.reference}  last day {long_day(row.last_day)}{note}",
            f"  contact       {plain(row.contact)}",
            f"  conversation  {plain(row.conversation)}",
            *(f"  {label:<12}  {plain(value)}" for label, value in _places(row)),
            "",
        ]
    return "\n".join(lines)


def _places(row: Row) -> list[tuple[str, str]]:
    return [(label, value) for label, value in (("medium", row.medium), ("channel", row.channel)) if value]
