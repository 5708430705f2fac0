"""The controller's own letters: which addresses one can go to, and the head of what a machine sends."""

import re
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

# 990 leaves long links and headers whole: RFC 5322 allows 998 octets a line, and folding is where injections hide.
POLICY = SMTP.clone(cte_type="7bit", max_line_length=990)

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
