"""Many mails as many systems write them: no non-delivery and nobody's answer is ever left unheard."""

import base64
from itertools import product

import pytest

from dpsync.intake.delivery_report import LOOKED_AT, read
from dpsync.propagation.correspondence.incoming import MailKind
from tests.returned import mail, report

TAG = "abcd2345" * 4
BACK = f"bounce+{TAG}@example.org"
OURS = "[DPS-7F3K2] Erasure notice - please confirm"
DESK = "Pat Desk <pat@processor.example>"
REPLIED = "Auto-Submitted: auto-replied\n"
MARKS = (
    "", REPLIED, "Auto-Submitted: auto-generated\n", "Precedence: bulk\nX-Auto-Response-Suppress: All\n",
    "X-Autoreply: yes\nPrecedence: auto_reply\n",
)  # fmt: skip


def kind(raw: bytes) -> MailKind:
    found = read(raw[:LOOKED_AT], "0" * 64)
    assert found.tags[:1] == (TAG,)
    return found.kind


# --- what came back, in the forms of its systems: name, sender, subject, text

QMAIL = "Hi. This is the qmail-send program at relay.example.\nI'm afraid I wasn't able to deliver your message."
BOUNCES = {
    "postfix": ("Mail Delivery System <MAILER-DAEMON@relay.example>", "Undelivered Mail Returned to Sender",
                "This is the mail system at relay.example.\n<pat@processor.example>: host said: 550 5.1.1 Unknown"),
    "exim": ("Mail Delivery System <Mailer-Daemon@relay.example>", "Mail delivery failed: returning message to sender",
             "A message that you sent could not be delivered to all of its recipients.\n\n  pat@processor.example\n"),
    "exim, frozen": ("Mail Delivery System <Mailer-Daemon@relay.example>", "Warning: message 1abc delayed 24 hours",
                     "The message has not yet been delivered. No action is required on your part."),
    "opensmtpd": ("Mailer Daemon <MAILER-DAEMON@relay.example>", "Delivery status notification: error",
                  "    Hi!\n\n    This is the MAILER-DAEMON, please DO NOT REPLY to this email."),
    "exchange": ("postmaster@processor.example", "Undeliverable: " + OURS, "Delivery has failed to these recipients."),
    "exchange, German": ("Microsoft Outlook <postmaster@processor.example>", "Unzustellbar: " + OURS, "Fehler"),
    "exchange, own name": ("Microsoft Outlook <MicrosoftExchange329e71ec88ae4615bbc36ab6ce41109e@processor.example>",
                           "Undeliverable: " + OURS, "The e-mail address you entered could not be found."),
    "qmail": ("MAILER-DAEMON@relay.example", "failure notice", QMAIL),
    "sendmail": ("Mail Delivery Subsystem <MAILER-DAEMON@relay.example>", "Returned mail: see transcript for details",
                 "   ----- The following addresses had permanent fatal errors -----\n<pat@processor.example>"),
    "gmail": ("Mail Delivery Subsystem <mailer-daemon@googlemail.example>", "Delivery Status Notification (Failure)",
              "** Address not found **\n\nYour message wasn't delivered to pat@processor.example"),
    "dovecot": ("Mail Delivery Subsystem <postmaster@processor.example>", "Rejected: " + OURS, "Quota exceeded"),
    "domino": ("Notes Mail Router@processor.example", "DELIVERY FAILURE: User not listed", "Your message"),
    "groupwise": ("GWIA@processor.example", "Message status - undeliverable", "The message could not be sent"),
    "courier": ("Courier mail server at relay.example <MAILER-DAEMON@relay.example>", "NOTICE: mail delivery status.",
                "This is a delivery status notification from relay.example"),
    "absence": ("MAILER-DAEMON@relay.example", "Out of office", "I am out of the office until Monday."),
}  # fmt: skip


def wrapped(form: str, head: str, text: str, sent_back: str) -> bytes:
    """The same bounce as one part, in base64, beside the letter, deeper, or without its end."""
    coded = base64.encodebytes(text.encode()).decode()
    plain = f"--b\nContent-Type: text/plain\n\n{text}\n"
    back = f"--b\nContent-Type: {sent_back}\n\nMessage-ID: <{TAG}@example.org>\nSubject: {OURS}\n\n"
    body = {
        "plain": f"Content-Type: text/plain\n\n{text}\n\n--- A copy follows\n\nMessage-ID: <{TAG}@example.org>",
        "base64": f"Content-Type: text/plain\nContent-Transfer-Encoding: base64\n\n{coded}",
        "html": f"Content-Type: text/html\n\n<p>{text}</p>",
        "mixed": f"Content-Type: multipart/mixed; boundary=b\n\n{plain}{back}--b--\n",
        "deeper": "Content-Type: multipart/mixed; boundary=c\n\n--c\n"
        f"Content-Type: multipart/alternative; boundary=b\n\n{plain}{back}--b--\n\n--c--\n",
        "no end": f"Content-Type: multipart/mixed; boundary=b\n\n{plain}{back}",
        "no boundary": f"Content-Type: multipart/mixed\n\n{text}",
        "another boundary": f"Content-Type: multipart/mixed; boundary=z\n\n{plain}--b--\n",
        "a bare report": f"Content-Type: multipart/report; boundary=b\n\n{plain}--b--\n",
        "nothing": "Content-Type: text/plain\n\n",
    }[form]
    return f"{head}MIME-Version: 1.0\n{body}\n".encode()


FORMS = (
    "plain",
    "base64",
    "html",
    "mixed",
    "deeper",
    "no end",
    "no boundary",
    "another boundary",
    "a bare report",
    "nothing",
)


@pytest.mark.parametrize("name", BOUNCES)
def test_a_bounce_without_a_report_part_is_read_by_a_person(name: str) -> None:
    sender, subject, text = BOUNCES[name]
    for form, marks, back in product(FORMS, MARKS, ("message/rfc822", "text/rfc822-headers")):
        head = f"From: {sender}\nTo: {BACK}\nSubject: {subject}\n{marks}"
        assert kind(wrapped(form, head, text, back)) is MailKind.UNCLEAR, (form, marks)


@pytest.mark.parametrize("name", [one for one in BOUNCES if one != "absence"])
@pytest.mark.parametrize("sender", [DESK, "noreply@processor.example"])
def test_a_bounce_under_anybodys_name_is_never_left_unread(name: str, sender: str) -> None:
    _, subject, text = BOUNCES[name]
    for form, marks in product(FORMS, MARKS):
        head = f"From: {sender}\nTo: {BACK}\nSubject: {subject}\n{marks}"
        assert kind(wrapped(form, head, text, "message/rfc822")) in {MailKind.UNCLEAR, MailKind.REPLY}, (form, marks)


@pytest.mark.parametrize(
    "container", ["multipart/report; report-type=delivery-status", "multipart/report", "multipart/mixed"]
)
@pytest.mark.parametrize("marks", MARKS)
@pytest.mark.parametrize(
    ("action", "status"), [("failed", "5.1.1"), ("failed", "5.2.2"), ("failed", "4.4.7"), ("delayed", "4.4.1")]
)
def test_a_report_of_trouble_is_one_in_every_container(container: str, marks: str, action: str, status: str) -> None:
    raw = report((action, status), to=BACK).replace(
        b"multipart/report; report-type=delivery-status", container.encode()
    )
    assert kind(marks.encode() + raw) is (MailKind.FAILED if action == "failed" else MailKind.DELAYED)
    for what in (b"delivery-status\n", b"Status: ", b"Action: ", b"Reporting-MTA: ", b"text/plain"):
        damaged = raw.replace(what, b"X" + what, 2)
        assert kind(damaged) in {MailKind.FAILED, MailKind.DELAYED, MailKind.UNCLEAR}, what


# --- what a person wrote, or a system that says something of its own

REFUSALS = (
    "We refuse: there is an unpaid invoice.", "We will not delete this.", "No.", "Wir lehnen das ab.", "Nous refusons.",
    "Please telephone before we do anything.", "We have received your request #4711.", "Done.", "Who are you?",
    "I am away until Monday. Until then nothing is deleted, and after it neither.",
    "I am out of the office until Monday.\n\nBest regards\nPat\n\nPS: We refuse the erasure.",
    "I am out of the office until Monday.\n\n-- \nWe refuse the erasure.",
    "<p>I am out of the office until Monday.</p><!-- x --><p>We refuse.</p>",
)  # fmt: skip
SUBJECTS = (
    "Out of office: we will not delete this, we refuse", "Out of office", f"Automatic reply: {OURS}", f"Re: {OURS}",
    "Abwesenheitsnotiz", "Away", "Ticket #4711 received", "We received your request #123", "", "Absence du bureau",
)  # fmt: skip


@pytest.mark.parametrize("subject", SUBJECTS)
@pytest.mark.parametrize("said", REFUSALS)
def test_nobodys_answer_is_left_unread_under_any_subject_and_mark(subject: str, said: str) -> None:
    for marks in (*MARKS, "Precedence: list\nList-Id: <desk.processor.example>\n", "X-Auto-Response-Suppress: OOF\n"):
        assert kind(mail(DESK, to=BACK, headers=marks, subject=subject, body=said)) in {
            MailKind.UNCLEAR,
            MailKind.REPLY,
        }
        for form in FORMS[1:-1]:
            raw = wrapped(form, f"From: {DESK}\nTo: {BACK}\nSubject: {subject}\n{marks}", said, "message/rfc822")
            assert kind(raw) in {MailKind.UNCLEAR, MailKind.REPLY}, (form, marks)


def test_without_a_machines_mark_an_absence_is_a_reply_and_read() -> None:
    for marks in (
        "",
        "Precedence: bulk\nX-Auto-Response-Suppress: All\n",
        "Precedence: list\n",
        "Auto-Submitted: no\n",
    ):
        raw = mail(DESK, to=BACK, headers=marks, subject="Out of office", body="I am away until Monday.")
        assert kind(raw) is MailKind.REPLY


# --- what is left unread: the marked notes of an absence, and they alone

AWAY = "Hello,\n\nI am out of the office until Monday, 30 November.\n\nKind regards\nPat Desk"
NOTES = {
    "exchange": "Auto-Submitted: auto-generated\nX-Auto-Response-Suppress: All\nX-MS-Exchange-Inbox-Rules-Loop: x\n",
    "gmail": "Auto-Submitted: auto-replied\nPrecedence: bulk\nX-Autoreply: yes\n",
    "sieve": "Auto-Submitted: auto-replied (vacation)\n",
    "vacation(1)": "Precedence: auto_reply\n",
    "cpanel": "X-Autorespond: Out of office\nPrecedence: auto_reply\n",
}  # fmt: skip


@pytest.mark.parametrize("system", NOTES)
def test_a_marked_note_of_an_absence_is_left_unread_in_the_forms_of_its_systems(system: str) -> None:
    for subject in ("Out of office", f"Automatic reply: {OURS}", f"Re: {OURS}", f"Out of Office Re: {OURS}"):
        head = f"From: {DESK}\nTo: {BACK}\nSubject: {subject}\n{NOTES[system]}"
        assert kind(wrapped("base64", head, AWAY, "")) is MailKind.AUTOMATIC
        both = (
            f"--b\nContent-Type: text/plain\n\n{AWAY}\n--b\nContent-Type: text/html\n\n<style>p {{ margin: 0 }}</style>"
        )
        both += "<p>" + AWAY.replace("\n\n", "</p><p>").replace("\n", "<br>") + "</p>\n--b--\n"
        raw = f"{head}MIME-Version: 1.0\nContent-Type: multipart/alternative; boundary=b\n\n{both}".encode()
        assert kind(raw) is MailKind.AUTOMATIC
        hidden = (
            both.replace("--b--", "--b\nContent-Type: image/png\n\nx\n--b--"),
            both.replace("--b--", "--b\nContent-Type: text/plain\n\nWe refuse.\n--b--"),
            both + "We refuse.\n",
            "We refuse.\n" + both,
            both.replace("--b--\n", ""),
            both.replace("</p><p>", "<br>We refuse<br>"),
        )
        for more in hidden:
            raw = f"{head}MIME-Version: 1.0\nContent-Type: multipart/alternative; boundary=b\n\n{more}".encode()
            assert kind(raw) is MailKind.UNCLEAR, more


def test_what_is_too_long_to_be_looked_at_whole_is_read_by_a_person() -> None:
    raw = mail(DESK, to=BACK, headers=REPLIED, subject="Out of office", body=AWAY + "\n" * LOOKED_AT + "We refuse.")
    assert kind(raw) is MailKind.UNCLEAR


@pytest.mark.parametrize(
    "said", ["displayed", "deleted", "dispatched", "processed", "denied", "failed", "displayed/error"]
)
@pytest.mark.parametrize(
    "text",
    ["La nachricht", "Votre message a été lu.", "El mensaje fue leído.", "Il messaggio è stato letto.", "Non.", "No"],
)
def test_a_read_receipt_in_words_that_are_not_known_is_read_by_a_person(said: str, text: str) -> None:
    for action in ("automatic-action/MDN-sent-automatically", "manual-action/MDN-sent-manually"):
        raw = (
            f"From: {DESK}\nTo: {BACK}\nMIME-Version: 1.0\n"
            "Content-Type: multipart/report; report-type=disposition-notification; boundary=b\n\n"
            f"--b\nContent-Type: text/plain; charset=utf-8\n\n{text}\n"
            f"--b\nContent-Type: message/disposition-notification\n\nDisposition: {action}; {said}\n\n--b--\n"
        )
        assert kind(raw.encode()) is MailKind.UNCLEAR
