"""What comes back to a sender of letters, written by hand after RFC 3464, 3834 and 5322."""

from textwrap import dedent

HOST = "mx.processor.example"


def report(
    *recipients: tuple[str, str],
    envelope_id: str = "",
    to: str = "privacy@example.org",
    message_id: str = "",
    returned: str = "text/rfc822-headers",
    subject: str = "Delivery Status Notification",
) -> bytes:
    """A delivery report: an action and a status for each recipient."""
    envelope = f"Original-Envelope-Id: {envelope_id}\n" if envelope_id else ""
    blocks = "".join(
        f"\nFinal-Recipient: rfc822; desk{number}@processor.example\nAction: {action}\nStatus: {status}\n"
        f"Diagnostic-Code: smtp; 550 no mailbox of Ada Lovelace\n"
        for number, (action, status) in enumerate(recipients)
    )
    head = f"Message-ID: <{message_id}@example.org>\n" if message_id else ""
    return (
        f"Return-Path: <>\nFrom: Mail Delivery System <MAILER-DAEMON@{HOST}>\nTo: {to}\nSubject: {subject}\n"
        "Auto-Submitted: auto-replied\nMIME-Version: 1.0\n"
        'Content-Type: multipart/report; report-type=delivery-status; boundary="b1"\n\n'
        "--b1\nContent-Type: text/plain\n\nThis is what became of your mail.\n\n"
        f"--b1\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; {HOST}\n{envelope}{blocks}\n"
        f"--b1\nContent-Type: {returned}\n\n{head}Subject: [DPS-7F3K2] Erasure notice\n\n--b1--\n"
    ).encode()


def mail(
    sender: str = "Pat Desk <pat@processor.example>",
    *,
    to: str = "privacy@example.org",
    headers: str = "",
    body: str = "All done, of course.",
    subject: str = "Re: [DPS-7F3K2] Erasure notice - please confirm",
) -> bytes:
    """A mail as a person, or a machine that says so in `headers`, would send it."""
    head = f"From: {sender}\nTo: {to}\nSubject: {subject}\nMessage-ID: <1@processor.example>\n"
    return (head + dedent(headers) + f"Content-Type: text/plain; charset=utf-8\n\n{body}\n").encode()
