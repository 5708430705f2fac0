"""What a mail system's codes say: who said no to a letter, about what, and in which words people hear it. Pure.

Codes decide and no word of a reply does: hosts word them as they like, and they repeat addresses. Sources: RFC 5321
(reply codes by command), RFC 3463 and the IANA registry of enhanced status codes, RFC 7372, 7504 and 7505.
"""

import re
from enum import StrEnum
from typing import Final

NOT_DELIVERED: Final = "not delivered"
"""How the reason begins wherever a letter reached nobody: reports and alerts know it by that."""


class Phase(StrEnum):
    """How far a conversation with our mail host has come; `END` is the reply to the whole message."""

    CONNECT = "connect"
    EHLO = "EHLO"
    STARTTLS = "STARTTLS"
    AUTH = "AUTH"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    END = "end of data"


class MailRefusal(StrEnum):
    """What a refusal for good is about. Only `RECIPIENT` is anything that the processor has a part in."""

    PASSWORD = "password"
    US = "us"
    ENVELOPE = "envelope"
    RECIPIENT = "recipient"
    MESSAGE = "message"
    UNCLEAR = "unclear"


ADVICE: Final = {
    MailRefusal.PASSWORD: "the mail host rejects our user or password",
    MailRefusal.US: "the mail host does not serve us",
    MailRefusal.ENVELOPE: "the mail host does not take our envelope sender, or does not relay for us",
    MailRefusal.MESSAGE: "the mail host does not take this message: its size or its contents",
    MailRefusal.UNCLEAR: "the mail host refused it, and its code does not say what it is about",
}
"""What our own operator is told; of the recipient the processor's contact must be corrected instead."""

_ABOUT_PASSWORDS = frozenset({530, 534, 535, 538})
BEFORE_ANY_LETTER = frozenset({Phase.CONNECT, Phase.EHLO, Phase.STARTTLS, Phase.AUTH})
_PROTOCOL = frozenset({500, 501, 502, 503, 504, 555})
# Not 5.1.0: Postfix says it of a sender that it does not know. Nor 5.1.7 and 5.1.8: they are about the sender.
_NO_SUCH_RECIPIENT = frozenset({"5.1.1", "5.1.2", "5.1.3", "5.1.4", "5.1.6", "5.1.10"})
_NO_SUCH_MAILBOX = frozenset({"5.2.1", "5.2.2", "5.2.4", "5.7.17", "5.7.18"})
_OUR_OWN_ROUTING = frozenset({"5.4.0", "5.4.3", "5.4.5"})
_TOO_LARGE = frozenset({"5.2.3", "5.3.4"})
_NOT_VOUCHED_FOR = frozenset(f"5.7.{detail}" for detail in range(20, 28))


def about(phase: Phase, code: int, status: str) -> MailRefusal:
    """What a 5xx is about. `status`: the enhanced code that began the reply, such as 5.1.1, or "".

    Where the codes leave it open it is `UNCLEAR`: nobody at the processor has said no, so it is not taken for theirs.
    """
    status = status if status.startswith("5.") else ""  # RFC 2034: one class with the reply, or it means nothing
    subject = ".".join(status.split(".")[:2])
    if code in _ABOUT_PASSWORDS:
        return MailRefusal.PASSWORD
    if phase in BEFORE_ANY_LETTER:
        return MailRefusal.US
    if status in _TOO_LARGE or subject == "5.6" or (code == 552 and not status and phase is not Phase.RCPT):
        return MailRefusal.MESSAGE
    if code in _PROTOCOL or subject in {"5.3", "5.5"}:
        return MailRefusal.US
    if phase is Phase.MAIL:
        return MailRefusal.ENVELOPE
    if _of_the_recipient(phase, code, status):
        return MailRefusal.RECIPIENT
    if status in _NOT_VOUCHED_FOR:
        return MailRefusal.US
    if (subject == "5.7" and phase is Phase.RCPT) or status in {"5.1.7", "5.1.8", "5.2.252"}:
        return MailRefusal.ENVELOPE
    return MailRefusal.UNCLEAR


def _of_the_recipient(phase: Phase, code: int, status: str) -> bool:
    if code == 556 and not status:
        return phase is Phase.RCPT  # RFC 7504: the domain of the recipient takes no mail
    if status in _NO_SUCH_RECIPIENT | _NO_SUCH_MAILBOX:
        return True
    return phase is Phase.RCPT and status.startswith("5.4.") and status not in _OUR_OWN_ROUTING


# --- words

_WORDS: Final = {
    "1.1": "no such mailbox",
    "1.2": "no such mail domain",
    "1.3": "no valid address",
    "1.6": "the mailbox has moved",
    "1.10": "the domain takes no mail",
    "2.1": "the mailbox is closed",
    "2.2": "the mailbox is full",
    "2.3": "too large for the mailbox",
    "3.4": "too large for the mail system",
    "4.1": "its host does not answer",
    "4.4": "no way to its host",
    "4.6": "mail goes round in a circle there",
    "4.7": "not delivered in time",
}


def undelivered(status: str = "", otherwise: str = "") -> str:
    """The reason why a letter reached nobody: `not delivered (5.1.1: no such mailbox)`.

    `otherwise`: what is said where there is no status code.
    """
    _, _, detail = status.partition(".")
    rule = "our mail is not vouched for: SPF, DKIM, DMARC" if status in _NOT_VOUCHED_FOR else "refused by a rule there"
    words = _WORDS.get(detail) or (rule if detail.startswith("7.") else "")
    said = ": ".join(part for part in (status, words) if part) or otherwise
    return f"{NOT_DELIVERED} ({said})" if said else NOT_DELIVERED


def to_do(reason: str) -> str:
    """What must be put right before the letter is sent again, by the status code that `undelivered` wrote down."""
    found = re.search(r"\([245]\.([0-9]+\.[0-9]+)", reason)
    detail = found[1] if found else ""
    if detail in {"2.3", "3.4"} or detail.startswith(("6.", "7.")):
        return "Ask the people who run our mail why the other mail system does not accept it"
    if detail in {"2.2", "4.1", "4.2", "4.7"}:
        return "Telephone, or correct its `contact` in the settings and restart"
    return "Correct its `contact` in the settings and restart"


def is_undelivered(reason: str) -> bool:
    """Whether a reason says that the letter reached nobody."""
    return reason.startswith(NOT_DELIVERED)


ENHANCED: Final = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}(?=\s|$)")
"""An enhanced status code at the beginning of a reply (RFC 2034)."""
