"""The mail that carries a work list: which conversations a person must delete by hand, and how to say that it is done.

The vendor's ids stand in the attached `worklist.txt` alone, never in subject or text; no name stands anywhere.
"""

import hashlib
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from dpsync.connector import NoticeKind
from dpsync.mail import bare, begin

LONGEST_LOCAL_PART = 64  # of an address (RFC 5321, 4.5.3.1.1)


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
    """All that one mail says. `first_id` is the Message-ID of the list's first letter, `cutoff` that of its day."""

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
        """What its addresses and envelope carry: nobody can guess it, so a bounce that repeats it is of this letter."""
        return self.message_id.partition("@")[0]


def written(letter: WorkLetter, sender: str) -> bytes:
    """The complete RFC 5322 message: the same bytes for the same letter."""
    message = begin(
        sender=sender, to=letter.to, subject=_subject(letter), message_id=letter.message_id, at=letter.dated
    )
    local, _, domain = bare(sender).rpartition("@")
    tagged = f"{local}+{letter.tag}"
    message["Reply-To"] = f"{tagged if len(tagged) <= LONGEST_LOCAL_PART else local}@{domain}"
    if letter.message_id != letter.first_id:
        message["In-Reply-To"] = f"<{letter.first_id}>"
        message["References"] = f"<{letter.first_id}>"
    message.set_content(_text(letter))
    message.add_attachment(_attached(letter), subtype="plain", filename="worklist.txt")
    # The library would draw the boundary by lot, and a repeat would be other bytes.
    message.set_boundary("=_" + hashlib.sha256(letter.message_id.encode()).hexdigest()[:32])
    return message.as_bytes()


def _subject(letter: WorkLetter) -> str:
    wish = {
        NoticeKind.REMINDER: "Reminder: private conversations to delete",
        NoticeKind.BACKUP: "No answer yet: private conversations to delete",
    }.get(letter.kind, "Work list: private conversations to delete")
    return f"[{letter.reference}] {'REHEARSAL ' if letter.rehearsal else ''}{wish}"


def _text(letter: WorkLetter) -> str:
    count = len(letter.rows)
    what = "1 private conversation" if count == 1 else f"{count} private conversations"
    months = "1 month" if letter.months == 1 else f"{letter.months} months"
    paragraphs = ["REHEARSAL: this is an exercise. Nobody's data is meant."] if letter.rehearsal else []
    paragraphs += ["Hello,", *_opening(letter)]
    paragraphs += [_rule(letter, what, months), _HINT, _how(letter), _check(letter)]
    paragraphs.append(f"Our reference: {letter.reference}")
    return "\n\n".join(text if "\n" in text else _filled(text) for text in paragraphs) + "\n"


_HINT = (
    "Where its page asks for a hint or a reason, type the reference of the row (DPS-...), and nothing about the "
    "person. What must be kept longer needs a named exception: tell us the reference, the reason and until when."
)


def _rule(letter: WorkLetter, what: str, months: str) -> str:
    return (
        f"{_plain(letter.controller)} keeps private conversations at {_plain(letter.processor_title)} for {months} and "
        f"no longer. The attached worklist.txt names {what} with the last day of each. Please delete them there by "
        "hand."
    )


def _check(letter: WorkLetter) -> str:
    return (
        "Once a month, please also make its export of the conversations that are closed there, from the oldest it has "
        f"to {_day(letter.cutoff)}, and hand us the file with the two days you made it for. If all is deleted it has "
        "no row, and that is the proof. Please look too whether one that is still open is older: no export shows it."
    )


def _opening(letter: WorkLetter) -> list[str]:
    match letter.kind:
        case NoticeKind.REMINDER:
            return ["This is a reminder: we have no answer yet for what is attached."]
        case NoticeKind.BACKUP:
            return ["We wrote about this to your colleague and have no answer. You are named as the deputy."]
        case _:
            return []


def _how(letter: WorkLetter) -> str:
    by = _day(letter.answer_by)
    if not letter.link:
        return _filled(f"When it is done, reply to this mail by {by} and leave the subject as it is.")
    return (
        _filled(f"When it is done, please say so by {by} on this page, for all rows or for those that you tick:")
        + f"\n\n  {letter.link}\n\nThe page only shows until you press its button; opening it tells us nothing."
    )


def _attached(letter: WorkLetter) -> str:
    lines = [f"{letter.reference}: conversations to delete at {_plain(letter.processor_title)}", ""]
    for row in letter.rows:
        note = f"  ({row.note})" if row.note else ""
        lines += [
            f"{row.reference}  last day {_day(row.last_day)}{note}",
            f"  contact       {_plain(row.contact)}",
            f"  conversation  {_plain(row.conversation)}",
            *(f"  {label:<12}  {_plain(value)}" for label, value in _places(row)),
            "",
        ]
    return "\n".join(lines)


def _places(row: Row) -> list[tuple[str, str]]:
    return [(label, value) for label, value in (("medium", row.medium), ("channel", row.channel)) if value]


def _filled(text: str) -> str:
    return textwrap.fill(text, 76, break_long_words=False, break_on_hyphens=False)


def _day(value: date) -> str:
    return f"{value.day} {value:%B %Y}"


def _plain(text: str) -> str:
    """One line without control characters: what a vendor sent must not draw a row of its own."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())[:200]
