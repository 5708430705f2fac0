"""The letter: the same bytes for the same instruction and date. Identifiers stand in the attachment alone."""

import hashlib
import hmac
import json
import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain
from types import MappingProxyType
from typing import Any

from dpsync import opt_out_scope
from dpsync.address import in_a_labels, in_u_labels
from dpsync.connector import Instruction, Letter, NoticeKind
from dpsync.mail import bare, begin
from dpsync.model import Right

_WORD = re.compile(r"[A-Za-z0-9-]{1,64}")
_LINK = re.compile(r"https?://[!-~]{1,900}")
# 26 signs of base32 are 130 bits: what comes back by mail counts only where it repeats them. One case, because some
# hosts change that of a local part on the way.
_MESSAGE_ID = re.compile(r"[a-z2-7]{26,64}@[A-Za-z0-9.-]{1,250}")
_LONGEST_LOCAL_PART = 64


@dataclass(frozen=True, slots=True)
class _Wish:
    """What is asked, in the subject and in the text, and by which articles of the UK GDPR."""

    title: str
    asked: str
    articles: str


_WISHES: Mapping[Right, _Wish] = MappingProxyType(
    {
        Right.ERASURE: _Wish(
            title="Erasure notice",
            asked="Please erase all personal data that you hold for us about the person in the attached file "
            "notice.json.",
            articles="Articles 17(1), 19 and 28(3)",
        ),
        Right.RECTIFICATION: _Wish(
            title="Rectification notice",
            asked="Please correct what you hold for us about the person in the attached file notice.json. The correct "
            'values are in the file, under "changes". If a value is empty, please clear the field.',
            articles="Articles 16, 19 and 28(3)",
        ),
        Right.RESTRICTION: _Wish(
            title="Restriction notice",
            asked="Please restrict the data that you hold for us about the person in the attached file notice.json. "
            "Keep the data, do not use it for anything until we write again, and do not erase it.",
            articles="Articles 18, 19 and 28(3)",
        ),
        Right.OPT_OUT: _Wish(
            title="Opt-out notice",
            asked="The person in the attached file notice.json objects to direct marketing. Please send them no more "
            "marketing, starting now. Keep the address on your suppression list so that it stays this way.",
            articles="Articles 21(2), 21(3) and 28(3)",
        ),
    }
)
_PART = _Wish(
    title="Opt-out notice (a part only)",
    asked="The person in the attached file notice.json objects to direct marketing of one kind only: {scope}. Please "
    "send them nothing more of that kind, starting now, and see that it stays this way. Leave everything else as it "
    "is. If you cannot tell this kind from the rest, do not guess: write to us.",
    articles="Articles 21(2), 21(3) and 28(3)",
)
_LIFTED = _Wish(
    title="Restriction lifted",
    asked="The restriction of the data about the person in the attached file notice.json has ended. You may use the "
    "data again as our contract says. Please do not subscribe the person to anything because of this.",
    articles="Articles 18(3), 19 and 28(3)",
)


def letter_of(instruction: Instruction) -> Letter:
    """The letter, once all that becomes a header or a link is known to be one word. Raises ValueError."""
    if instruction.letter is None:
        raise ValueError("a notice needs a letter")
    if not _WORD.fullmatch(instruction.reference):
        raise ValueError("a reference is letters, digits and hyphens")
    for message_id in (instruction.message_id, instruction.letter.in_reply_to):
        if message_id is not None and not _MESSAGE_ID.fullmatch(message_id):
            raise ValueError("a Message-ID is 26 or more signs of base32, an @ and a domain")
    if instruction.answer_url and not _LINK.fullmatch(instruction.answer_url):
        raise ValueError("an answer link is one http or https link")
    return instruction.letter


def tag_of(instruction: Instruction) -> str:
    """What addresses and envelope carry, so that whatever comes back can be told apart without reading a subject."""
    return instruction.message_id.partition("@")[0]


# --- the message


def written(instruction: Instruction, letter: Letter, sender: str, dated: datetime, *, rehearsal: bool) -> bytes:
    """The complete RFC 5322 message: the same bytes for the same instruction and date."""
    message = begin(
        sender=sender,
        to=letter.to,
        subject=_subject(instruction, letter, rehearsal=rehearsal),
        message_id=instruction.message_id,
        at=dated,
    )
    local, _, domain = bare(sender).rpartition("@")
    tagged = f"{local}+{tag_of(instruction)}"
    message["Reply-To"] = f"{tagged if len(tagged) <= _LONGEST_LOCAL_PART else local}@{domain}"
    if letter.in_reply_to:
        message["In-Reply-To"] = f"<{letter.in_reply_to}>"
        message["References"] = f"<{letter.in_reply_to}>"
    message.set_content(_text(instruction, letter, rehearsal=rehearsal))
    message.add_attachment(
        json.dumps(_attached(instruction, letter), indent=2, sort_keys=True).encode(),
        maintype="application",
        subtype="json",
        filename="notice.json",
    )
    # The library would draw the boundary by lot, and a repeat would be other bytes. Keyed by what is destroyed with the
    # request: afterwards the letter's SHA-256, which both sides keep, tells nobody whether a guess at the person fits.
    lot = hmac.new(instruction.digest_key, instruction.message_id.encode(), hashlib.sha256).hexdigest()
    message.set_boundary(f"=_{lot}")
    return message.as_bytes()


_TO_OUR_OWN = frozenset({NoticeKind.TASK, NoticeKind.TASK_REMINDER})


def _wish(instruction: Instruction) -> _Wish:
    if instruction.right is Right.RESTRICTION and instruction.lifted is not None:
        return _LIFTED
    if instruction.scope:
        return replace(_PART, asked=_PART.asked.format(scope=opt_out_scope.in_words(instruction.scope)))
    return _WISHES[instruction.right]


def _subject(instruction: Instruction, letter: Letter, *, rehearsal: bool) -> str:
    what = _wish(instruction).title
    match letter.kind:
        case NoticeKind.FIRST:
            wish = f"{what} - please confirm"
        case NoticeKind.REMINDER:
            wish = f"Reminder: {what} - please confirm"
        case NoticeKind.BACKUP:
            wish = f"No answer yet: {what} - please help"
        case NoticeKind.TASK:
            wish = f"Task: {what} - please do this by hand"
        case NoticeKind.TASK_REMINDER:
            wish = f"Reminder: task, {what} - please do this by hand"
    return f"[{instruction.reference}] {'REHEARSAL ' if rehearsal else ''}{wish}"


def _text(instruction: Instruction, letter: Letter, *, rehearsal: bool) -> str:
    wish = _wish(instruction)
    by = f"{letter.answer_by.day} {letter.answer_by:%B %Y}"
    paragraphs = ["REHEARSAL: this is an exercise. It is about nobody's data."] if rehearsal else []
    paragraphs += ["Hello,", _opening(letter)]
    if letter.task:
        paragraphs.append(f"What to do: {_plain(letter.task)}")
    if letter.kind in _TO_OUR_OWN:
        if letter.references:
            paragraphs.append("Where to find it: " + ", ".join(_plain(one) for one in letter.references))
        paragraphs += [f"It is part of what we ask of the processor: {wish.asked}", f"Please do it by {by}."]
    else:
        paragraphs += [wish.asked, f"We ask this as the controller, under {wish.articles} of the UK GDPR."]
        paragraphs.append(_when(instruction, by))
    paragraphs += [_how(instruction), *_also(instruction, letter)]
    paragraphs.append(f"Our reference: {instruction.reference}")
    return "\n\n".join(text if "\n" in text else _filled(text) for text in paragraphs) + "\n"


def _filled(text: str) -> str:
    return textwrap.fill(text, 76, break_long_words=False, break_on_hyphens=False)


def _opening(letter: Letter) -> str:
    # A processor has many controllers, and the sender's address alone need not say which one this is.
    we, who = _plain(letter.controller), _plain(letter.processor_title)
    match letter.kind:
        case NoticeKind.FIRST:
            return f"{we} is writing to you because you process personal data for it ({who})."
        case NoticeKind.REMINDER:
            return f"{we} wrote to you about this before and has no answer yet ({who}). This is a reminder."
        case NoticeKind.BACKUP:
            return f"{we} wrote to your colleague about this and has no answer ({who}). You are our second contact."
        case NoticeKind.TASK:
            return f"This is a task for you: dpsync cannot do it through the interface of {who}."
        case NoticeKind.TASK_REMINDER:
            return f"You have not answered this task yet. dpsync cannot do it through the interface of {who}."


def _when(instruction: Instruction, by: str) -> str:
    if instruction.right is Right.OPT_OUT:
        return f"Please stop within 24 hours, and answer by {by} at the latest."
    return f"Please tell us within two working days that you have this letter, and tell us the outcome by {by}."


def _how(instruction: Instruction) -> str:
    answers = (
        "  - received (the outcome will follow)\n  - done\n  - nothing held\n  - partly done, because ...\n"
        "  - refused, because ...\n  - wrong recipient"
    )
    if not instruction.answer_url:
        return f"How to answer: reply to this email with one of these. Do not change the subject.\n\n{answers}"
    return (
        f"How to answer: open this page and choose one answer.\n\n  {instruction.answer_url}\n\n{answers}\n\n"
        "Opening the page tells us nothing. Only its button sends your answer."
    )


def _also(instruction: Instruction, letter: Letter) -> list[str]:
    if letter.kind in _TO_OUR_OWN or instruction.lifted is not None:
        return []
    asked = (
        "In your answer, please say what you did with each of these:\n\n"
        "  1. live data, such as form submissions and accounts\n"
        "  2. copies that were sent by email\n"
        "  3. logs\n"
        "  4. back-ups, and the date on which they expire"
    )
    return [asked]


def _plain(text: str) -> str:
    """One line without control characters: what comes from outside must not draw a letter of its own."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())


# --- the attachment


def identifiers(instruction: Instruction) -> list[dict[str, str]]:
    """Everything by which the processor may know the person; empty where nothing says who it is."""
    # a person who searches by hand sees a domain in letters, a program may hold it in A-labels
    forms = ((one, in_u_labels(one), in_a_labels(one)) for one in instruction.addresses)
    addresses = [("email", form) for form in dict.fromkeys(chain.from_iterable(forms))]
    own = [("phone", instruction.phone), ("name", instruction.name), ("controller_customer_id", instruction.subject_id)]
    return [{"type": kind, "value": value} for kind, value in (*addresses, *own) if value]


def _attached(instruction: Instruction, letter: Letter) -> dict[str, Any]:
    """What the processor needs to find the person, and no more.

    The person's ids at *other* processors stay out (Art. 5(1)(c)); `references` are this processor's own.
    """
    content: dict[str, Any] = {
        "type": "dpsync.notice",
        "version": 1,
        "reference": instruction.reference,
        "right": str(instruction.right),
        "kind": str(letter.kind),
        "controller": letter.controller,
        "answer_by": letter.answer_by.isoformat(),
        "answer_url": instruction.answer_url,
        "subject": identifiers(instruction),
        "references": list(letter.references),
    }
    if instruction.changes is not None:
        changes = instruction.changes
        named = {"email": changes.email, "first_name": changes.first_name, "last_name": changes.last_name}
        content["changes"] = {key: value for key, value in named.items() if value is not None} | {
            "fields": dict(changes.fields)
        }
    if instruction.right is Right.RESTRICTION:
        content["lifted"] = instruction.lifted is not None
    if instruction.scope:
        content["scope"] = opt_out_scope.named(instruction.scope)
    return content
