"""What comes back to a sender: reports of delivery, automatic replies, and what people write; into its mail directory.

Source: RFC 3461 for who asked for which report, RFC 3464 for its form, RFC 3834 for what answers by itself; the notes
on notices, sections 3 and 6.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from email.utils import format_datetime
from pathlib import Path

HOST = "sandbox.example.org"

REPORTS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "delivered": (("delivered", "2.0.0"),),
    "relayed": (("relayed", "2.0.0"),),
    "expanded": (("expanded", "2.0.0"),),
    "delay_then_deliver": (("delayed", "4.4.1"), ("delivered", "2.0.0")),
    "bounce_later": (("failed", "5.1.1"),),
}
"""The actions and status codes that each behaviour reports, in order."""

_ASKED = {"delivered": "SUCCESS", "relayed": "SUCCESS", "expanded": "SUCCESS", "delayed": "DELAY", "failed": "FAILURE"}


def report(
    raw: bytes, sender: str, address: str, mail_options: tuple[str, ...], rcpt_options: tuple[str, ...],
    action: str, status: str, at: datetime,
) -> bytes | None:  # fmt: skip
    """The report of one action, None where nobody asked for it or could be told (RFC 3461, 4.1 and 5.2)."""
    options = dict(option.partition("=")[::2] for option in (*mail_options, *rcpt_options))
    # Without NOTIFY, failures are reported, and nothing else is for certain.
    if not sender or _ASKED[action] not in options.get("NOTIFY", "FAILURE").upper().split(","):
        return None
    envelope = [f"Original-Envelope-Id: {plain(options['ENVID'])}"] if "ENVID" in options else []
    original = [f"Original-Recipient: {plain(options['ORCPT'])}"] if "ORCPT" in options else []
    head = re.split(rb"\r?\n\r?\n", raw, maxsplit=1)[0].decode("ascii", "replace").splitlines()
    # Written by hand: the library cannot make a report, only read one.
    lines = [
        f"From: MAILER-DAEMON@{HOST}",
        f"To: {sender}",
        "Subject: Delivery Status Notification",
        f"Date: {format_datetime(at)}",
        "Auto-Submitted: auto-replied",
        "MIME-Version: 1.0",
        'Content-Type: multipart/report; report-type=delivery-status; boundary="=_report"',
        *("", "--=_report", "Content-Type: text/plain", "", f"This is what became of your mail: {action}."),
        *("--=_report", "Content-Type: message/delivery-status", "", *envelope, f"Reporting-MTA: dns; {HOST}"),
        *("", *original, f"Final-Recipient: rfc822; {address}", f"Action: {action}", f"Status: {status}", ""),
        *("--=_report", "Content-Type: text/rfc822-headers", "", *head, "", "--=_report--", ""),
    ]
    return "\n".join(lines).encode()


def out_of_office(raw: bytes, sender: str, address: str, at: datetime) -> bytes | None:
    """To the envelope's sender (RFC 3834, 4), None where that is nobody."""
    if not sender:
        return None
    message = _begun(address, sender, "Automatic reply: I am away", at)
    message["Auto-Submitted"] = "auto-replied"
    message["X-Auto-Response-Suppress"] = "All"
    _thread(message, raw)
    message.set_content("I am away from my desk and will read your mail when I am back.\n")
    return message.as_bytes()


def reply(raw: bytes, address: str, words: str, at: datetime) -> bytes:
    """What a person writes who presses "reply"."""
    asked = message_from_bytes(raw, policy=policy.default)
    message = _begun(address, str(asked["Reply-To"] or asked["From"]), f"Re: {asked['Subject']}", at)
    _thread(message, raw)
    message.set_content(words + "\n")
    return message.as_bytes()


def reply_with_wrong_reference(raw: bytes, address: str, words: str, at: datetime) -> bytes:
    """What a person writes who begins a new mail and mistypes the reference."""
    asked = message_from_bytes(raw, policy=policy.default)
    message = _begun(address, str(asked["From"]), "[DPS-WRONGREF01] Erasure notice", at)
    message.set_content(words + "\n")
    return message.as_bytes()


def deliver(directory: Path, raw: bytes, name: str) -> None:
    """Puts a message into a Maildir: under `tmp` first, so that `new` never holds half of one."""
    for part in ("tmp", "new", "cur"):
        (directory / part).mkdir(parents=True, exist_ok=True)
    half = directory / "tmp" / name
    half.write_bytes(raw)
    half.replace(directory / "new" / name)


def plain(text: str) -> str:
    """What xtext stands for (RFC 3461, 4)."""
    return re.sub(r"\+([0-9A-F]{2})", lambda found: chr(int(found[1], 16)), text)


def _begun(sender: str, to: str, subject: str, at: datetime) -> EmailMessage:
    message = EmailMessage(policy=policy.default.clone(max_line_length=500))
    message["From"], message["To"], message["Subject"] = sender, to, subject
    message["Date"] = format_datetime(at)
    return message


def _thread(message: EmailMessage, raw: bytes) -> None:
    answered = message_from_bytes(raw, policy=policy.default)["Message-ID"]
    if answered:
        message["In-Reply-To"] = message["References"] = str(answered)
