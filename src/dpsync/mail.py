"""The controller's own letters: which addresses one can go to, and one head and one look for all of them."""

import hashlib
import re
import textwrap
from collections.abc import Sequence
from datetime import date, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

# 990 leaves long links and headers whole: RFC 5322 allows 998 octets a line, and folding is where injections hide.
POLICY = SMTP.clone(cte_type="7bit", max_line_length=990)

LONGEST_LOCAL_PART = 64  # of an address (RFC 5321, 4.5.3.1.1)
REHEARSAL = "REHEARSAL: this is an exercise. It is about nobody's data."

_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_MAILABLE = re.compile(rf"{_ATEXT}+(?:\.{_ATEXT}+)*@{_LABEL}(?:\.{_LABEL})*")


def is_mailable(address: str) -> bool:
    """Whether an address can stand in an SMTP command and a header as it is: ASCII, no quoting, no control character.

    Stricter than RFC 5321 on purpose: an address that needs quoting is where a second command would be hidden.
    """
    local, _, _ = address.rpartition("@")
    return len(address) <= 254 and len(local) <= 64 and _MAILABLE.fullmatch(address) is not None


def bare(address: str) -> str:
    """The address alone of `Name <address>`."""
    # Not parseaddr: what it makes of a name with an @ in it differs from one release of Python to the next.
    found = re.search(r"<([^<>]*)>$", address)
    return found[1] if found else address


def domain_of(address: str) -> str:
    """The domain of an address or of `Name <address>`: the right-hand side of our Message-IDs."""
    return bare(address).rpartition("@")[2]


def bounce_address(sender: str, tag: str) -> str:
    """The envelope sender of a letter: what comes back of it, comes back under its tag."""
    return f"bounce+{tag}@{domain_of(sender)}"


def begin(*, sender: str, to: str, subject: str, message_id: str, at: datetime) -> EmailMessage:
    """The head of a message that a machine sends (RFC 3834), `message_id` without angle brackets.

    Raises ValueError where a value would make a second header.
    """
    if not is_mailable(bare(sender)) or not is_mailable(to):
        raise ValueError("not an address that a mail can go to")
    message = EmailMessage(policy=POLICY)
    address = bare(sender)
    name = sender.removesuffix(f"<{address}>").strip(' "') if sender != address else ""
    message["From"] = Address(name, addr_spec=address)
    message["To"] = to
    message["Subject"] = subject
    message["Date"] = format_datetime(at)
    message["Message-ID"] = f"<{message_id}>"
    message["Auto-Submitted"] = "auto-generated"
    return message


def compose(*, sender: str, to: str, subject: str, text: str, message_id: str, at: datetime) -> bytes:
    """A plain text mail to our own people. Raises ValueError where a value would make a second header."""
    message = begin(sender=sender, to=to, subject=subject, message_id=message_id, at=at)
    message.set_content(text)
    return message.as_bytes()


# --- to people, by the page

_KINDS = {
    "txt": ("text", "plain"),
    "csv": ("text", "csv"),
    "html": ("text", "html"),
    "pdf": ("application", "pdf"),
}


def letter(
    *,
    sender: str,
    to: str,
    subject: str,
    message_id: str,
    at: datetime,
    paragraphs: Sequence[str],
    reference: str = "",
    in_reply_to: str = "",
    attached: Sequence[tuple[str, str | bytes]] = (),
    answered: bool = False,
    rehearsal: bool = False,
) -> bytes:
    """The complete RFC 5322 message. Message-IDs are without angle brackets.

    `attached`: names and contents of files (.txt, .csv, .html, .pdf), which bytes carry as they are. `answered`: its
    answers come back under its tag. A paragraph of several lines, or that begins with blanks, is left as it is. Raises
    `ValueError` where a value would make a second header.
    """
    named = f"[{reference}] " if reference else ""
    headline = f"{named}{'REHEARSAL ' if rehearsal else ''}{subject}"
    message = begin(sender=sender, to=to, subject=headline, message_id=message_id, at=at)
    if answered:
        local, _, domain = bare(sender).rpartition("@")
        tagged = f"{local}+{tag_of(message_id)}"
        message["Reply-To"] = f"{tagged if len(tagged) <= LONGEST_LOCAL_PART else local}@{domain}"
    if in_reply_to:
        message["In-Reply-To"] = message["References"] = f"<{in_reply_to}>"
    told = [*([REHEARSAL] if rehearsal else []), *paragraphs, *([f"Our reference: {reference}"] if reference else [])]
    message.set_content("\n\n".join(text if "\n" in text or text[:1] == " " else _filled(text) for text in told) + "\n")
    if attached:
        _attach(message, attached)
        # The library would draw the boundary by lot, and a repeat would be other bytes.
        message.set_boundary("=_" + hashlib.sha256(message_id.encode()).hexdigest()[:32])
    return message.as_bytes()


def _attach(message: EmailMessage, files: Sequence[tuple[str, str | bytes]]) -> None:
    for name, content in files:
        kind, subtype = _KINDS[name.rpartition(".")[2]]
        if isinstance(content, bytes):
            message.add_attachment(content, maintype=kind, subtype=subtype, filename=name)
        else:
            message.add_attachment(content, subtype=subtype, filename=name)


def tag_of(message_id: str) -> str:
    """What addresses and envelope carry: nobody can guess it, so whatever repeats it answers this very letter."""
    return message_id.partition("@")[0]


def _filled(text: str) -> str:
    return textwrap.fill(text, 76, break_long_words=False, break_on_hyphens=False)


def long_day(value: date) -> str:
    """A day as a sentence says it: `4 December 2026`."""
    return f"{value.day} {value:%B %Y}"


def plain(text: str) -> str:
    """One line without control characters: what comes from outside must not draw a letter of its own."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())[:200]
