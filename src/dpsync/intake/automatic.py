"""What a machine wrote that nobody need read: the note of an absence, or a receipt that a letter was shown. Pure.

Each sentence must be one that is known. All else goes to a person: a non-delivery, a challenge or a refusal may be
worded in any language, and carry any mark. A receipt in another language than English or German does, too; our letters
ask for none.
"""

import re
from collections.abc import Iterator
from email.message import Message
from html import unescape

from dpsync.intake.absence import MOST, says_only_absence

_HEADER = re.compile(r"^[ >]*(?:to|from|subject|sent|date|an|von|betreff|gesendet|datum)[ \t]*:.*$", re.MULTILINE)
# Each sign can be read in one way only: a date of many words costs no more than its length.
_DATE = (
    r"(?: (?:\(?(?:utc|gmt)[^ ]*|[0-9][^ a-z]*(?:(?:am|pm|st|nd|rd|th),?)?|[+-][0-9:]+|am|pm|at|on|um|uhr|the|of"
    r"|(?:mon|tue|wed|thu|fri|sat|sun)(?:[a-z]{0,3}day)?,?"
    r"|(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6},?))*"
)
_SENT_TO = r"(?: (?:to|an) [^ ]+@[^ ]+)?"
# Of a receipt as Outlook, Gmail and Thunderbird word it, and as RFC 8098 does: each sentence of it, whole.
_RECEIPT = re.compile(
    r"(?:read|displayed|gelesen|(?:return|read) receipt|lesebestätigung|your (?:message|mail)|ihre nachricht"
    rf"|(?:your (?:message|mail) )?(?:was|has been) (?:read|displayed|opened)(?: on)?{_DATE}"
    rf"|(?:ihre nachricht )?wurde(?: am)?{_DATE} (?:gelesen|angezeigt)"
    rf"|this is a (?:return|read) receipt for the (?:mail|message)(?: that)? you sent{_SENT_TO}{_DATE}"
    r"|(?:note: )?this return receipt only acknowledges that the message was displayed on the recipient['’]s computer"
    r"|there is no guarantee that the recipient has read or understood the message contents"
    r"|this is no guarantee that the message has been read or understood)[.!]?"
)  # fmt: skip


def is_absence(subject: str, name: str, parts: list[Message]) -> bool:
    """Whether a machine's mail only says that somebody is away. `parts`: the message's own; `name`: its sender's."""
    return _are_text(parts) and says_only_absence(subject, _text(parts), name)


def is_plain_receipt(parts: list[Message]) -> bool:
    """Whether a read receipt has no word beside what every mail program writes into one."""
    if not _are_text(parts, "message") or len(text := _text(parts).lower()) > MOST:
        return False
    sentences = re.split(r"(?<=[.!?])\s+|\n\s*\n", _HEADER.sub("\n", text))
    return all(_RECEIPT.fullmatch(said) for one in sentences if (said := " ".join(one.split())))


def _are_text(parts: list[Message], *others: str) -> bool:
    """Whether a person sees the text of them and nothing beside it; what is damaged may hide some."""
    own = ("multipart", "text", *others)
    return all(part.get_content_maintype() in own and not part.defects for part in parts)


def _text(parts: list[Message]) -> str:
    return "\n\n".join(_texts(parts)).strip()


def _texts(parts: list[Message]) -> Iterator[str]:
    for part in parts:
        content = part.get_content_type()
        # Beside the parts of a message somebody may have written, too.
        yield from (one for one in (part.preamble, part.epilogue) if one)
        if part.get_content_maintype() != "text" or content == "text/rfc822-headers":
            continue
        payload = part.get_payload(decode=True)
        said = payload.decode(part.get_content_charset() or "utf-8", "replace") if isinstance(payload, bytes) else ""
        yield _shown(said) if content == "text/html" else said


def _shown(html: str) -> str:
    """HTML's text, with its lines and paragraphs."""
    bare = re.sub(r"<style\b[^<>]*>[^<]*</style>", " ", " ".join(html.split()), flags=re.IGNORECASE)
    lines = re.sub(r"<br[^<>]*>", "\n", bare, flags=re.IGNORECASE)
    paragraphs = re.sub(r"</?(?:p|div|tr|table|h[1-6])\b[^<>]*>", "\n\n", lines, flags=re.IGNORECASE)
    return unescape(re.sub(r"<[^<>]*>", " ", paragraphs))
