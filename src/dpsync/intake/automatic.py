"""What a machine wrote that nobody need read: the note of an absence, or a receipt that a letter was shown. Pure.

Words only take something to a person, or leave unread what is known here as one of the two:
a non-delivery, a challenge or a refusal may be worded in any language, and carry any mark.
"""

import re
from collections.abc import Iterator
from email.message import Message
from html import unescape

MOST = 2000
"""Signs of a receipt's own text; a longer one says something of its own."""

# Stems, in the languages that mail systems here write: English, German, French, Spanish, Portuguese, Italian, Dutch,
# Polish, Czech, Danish, Swedish, Finnish, Japanese.
_ABSENCE = re.compile(
    r"\bout[ -]of[ -](?:the[ -])?office\b|(?<!right )\baway\b|\babsen[ct]|\bvacation|\bon (?:\w+ )?leave\b|\bholiday"
    r"|\babwesen|\burlaub|\bnicht im (?:büro|haus)|\bcongés?\b|\bvacances\b|\bfuera de (?:la )?oficina|\bvacaciones\b"
    r"|\bausen[tcê]|\bférias\b|\bfora do escritório|\bfuori (?:ufficio|sede)|\bassen(?:te|za)\b|\bferie\b|\bafwezig"
    r"|\bvakantie|\bnieobecno|\burlop|\bnepřítom|\bdovolen|\bfravær|\bfrånvar|\bsemester\b|\bpoissa|\blomalla\b"
    r"|不在|休暇"
)
# What Exchange writes before the subject of an absence, and others before anything: the text must speak of one, too.
_AUTOMATIC = re.compile(
    r"automatic reply|auto(?:matic)?[ -]?(?:reply|response)|automatische antwort|réponse automatique"
    r"|respuesta automática|resposta automática|risposta automatica|automatisch antwoord|autosvar|自動応答"
)
# No absence is called so, or says so.
_TROUBLE = re.compile(
    r"deliver|daemon|bounc|\bfail|reject|return(?:ed|ing) mail|refus|error|warning|unknown|unreachable|quota|spam|virus"
    r"|unzustell|zustell|remis|entreg|consegn|echec|rebot|no longer|not monitored|unmonitored|not accepted"
    r"|\bleft (?:the|our|this)\b|\bhas left\b|\bis full\b|disabled|deactivated|does not exist|no such"
    r"|nicht mehr|n['’]est plus|ne travaille plus|ya no\b|non (?:è|lavora) più|niet meer|já não|ablehn|verweiger|weiger"
)
_STATUS = re.compile(r"(?<![0-9.])[45]\.[0-9]{1,3}\.[0-9]{1,3}(?![0-9.])|\b5[0-9]{2}[ -][a-z#(<]")

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


def is_absence(subject: str, parts: list[Message]) -> bool:
    """Whether a machine's mail only says that somebody is away. `parts`: the message's own."""
    if any(part.get_content_maintype() == "application" for part in parts):
        return False
    subject, text = subject.lower(), _text(parts)
    if any(_TROUBLE.search(one) or _STATUS.search(one) for one in (subject, text)):
        return False
    return bool(_ABSENCE.search(subject) or (_AUTOMATIC.search(subject) and _ABSENCE.search(text)))


def is_plain_receipt(parts: list[Message]) -> bool:
    """Whether a read receipt has no word beside what every mail program writes into one."""
    own = ("multipart", "message", "text")
    if any(part.get_content_maintype() not in own for part in parts) or len(text := _text(parts)) > MOST:
        return False
    sentences = re.split(r"(?<=[.!?])\s+|\n\s*\n", _HEADER.sub("\n", text))
    return all(_RECEIPT.fullmatch(said) for one in sentences if (said := " ".join(one.split())))


def _text(parts: list[Message]) -> str:
    return "\n\n".join(_texts(parts)).lower().strip()


def _texts(parts: list[Message]) -> Iterator[str]:
    for part in parts:
        content = part.get_content_type()
        if part.get_content_maintype() != "text" or content == "text/rfc822-headers":
            continue
        payload = part.get_payload(decode=True)
        said = payload.decode(part.get_content_charset() or "utf-8", "replace") if isinstance(payload, bytes) else ""
        yield _shown(said) if content == "text/html" else said


def _shown(html: str) -> str:
    """HTML's text, with its lines and paragraphs."""
    lines = re.sub(r"<br[^<>]*>", "\n", " ".join(html.split()), flags=re.IGNORECASE)
    paragraphs = re.sub(r"</?(?:p|div|tr|table|h[1-6])\b[^<>]*>", "\n\n", lines, flags=re.IGNORECASE)
    return unescape(re.sub(r"<[^<>]*>", " ", paragraphs))
