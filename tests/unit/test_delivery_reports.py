"""What a message of the monitored mailbox is: by its form, its marks and its tags, and never by its words."""

import base64
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpsync.intake.delivery_report import LOOKED_AT, read
from dpsync.propagation.correspondence.incoming import Incoming, MailKind
from tests.returned import mail, report

TAG, OTHER, THIRD = "abcd2345" * 4, "qrst2345" * 4, "wxyz2345" * 4
BACK = f"bounce+{TAG}@example.org"


def seen(raw: bytes) -> Incoming:
    return read(raw[:LOOKED_AT], "0" * 64)


# --- reports of delivery (RFC 3464)


@pytest.mark.parametrize(
    ("action", "status", "kind"),
    [
        ("delivered", "2.0.0", MailKind.DELIVERED),
        ("Delivered", "2.6.0 (queued as 1)", MailKind.DELIVERED),
        ("relayed", "2.0.0", MailKind.RELAYED),
        ("expanded", "2.1.5", MailKind.EXPANDED),
        ("delayed", "4.4.1", MailKind.DELAYED),
        ("failed", "5.1.1", MailKind.FAILED),
        ("failed", "5.7.1", MailKind.FAILED),
        ("failed", "4.4.7", MailKind.FAILED),
    ],
)
def test_each_action_of_a_report_is_what_the_rfc_says(action: str, status: str, kind: MailKind) -> None:
    found = seen(report((action, status), envelope_id=TAG))
    assert (found.kind, found.tags, found.status) == (kind, (TAG,), status[:5])


@pytest.mark.parametrize(
    ("action", "status"),
    [("delivered", "5.1.1"), ("failed", "2.0.0"), ("delayed", "5.0.0"), ("read", "2.0.0"), ("", "2.0.0"),
     ("delivered", ""), ("delivered", "250 OK"), ("delivered", "2.0")],
)  # fmt: skip
def test_a_report_that_contradicts_itself_is_left_to_a_person(action: str, status: str) -> None:
    assert seen(report((action, status), envelope_id=TAG)).kind is MailKind.UNCLEAR


def test_of_several_recipients_the_worst_counts() -> None:
    order = [("delivered", "2.0.0"), ("relayed", "2.0.0"), ("expanded", "2.0.0"), ("delayed", "4.4.1")]
    order += [("failed", "5.1.1")]
    for worst in range(len(order)):
        found = seen(report(*order[: worst + 1], envelope_id=TAG))
        assert (found.kind.value, found.status) == order[worst]
    assert seen(report(("delivered", "2.0.0"), ("unheard", "2.0.0"), envelope_id=TAG)).kind is MailKind.UNCLEAR


def test_a_report_is_matched_by_envelope_id_then_by_address_then_by_the_returned_message_id() -> None:
    sent = {"envelope_id": TAG, "to": f"bounce+{OTHER}@example.org", "message_id": THIRD}
    delivered = ("delivered", "2.0.0")
    assert seen(report(delivered, **sent)).tags == (TAG, OTHER, THIRD)
    assert seen(report(delivered, **{**sent, "envelope_id": ""})).tags == (OTHER, THIRD)
    assert seen(report(delivered, message_id=THIRD)).tags == (THIRD,)
    assert seen(report(delivered, message_id=THIRD, returned="message/rfc822")).tags == (THIRD,)
    assert seen(report(delivered, message_id=THIRD, returned="text/plain")).tags == ()


def test_a_report_is_never_matched_by_its_subject_or_a_short_reference() -> None:
    forged = report(("delivered", "2.0.0"), envelope_id="DPS-7F3K2", subject=f"[DPS-7F3K2] {BACK} <{TAG}@example.org>")
    assert seen(forged).tags == ()
    assert seen(report(("delivered", "2.0.0"), envelope_id=TAG[:25])).tags == ()


@pytest.mark.parametrize("to", [BACK.upper(), f"<{BACK}>", f'"Data" <privacy+{TAG}@example.org>, x@example.org'])
def test_a_tag_is_known_in_either_case_and_in_any_address(to: str) -> None:
    assert seen(report(("failed", "5.1.1"), to=to)).tags == (TAG,)


def test_a_report_without_a_recipient_or_of_another_type_reports_nothing() -> None:
    assert seen(report(envelope_id=TAG)).kind is MailKind.UNCLEAR
    other = report(("delivered", "2.0.0"), envelope_id=TAG).replace(b"report-type=delivery-status", b"report-type=x")
    assert seen(other).kind is not MailKind.DELIVERED
    plain = report(("delivered", "2.0.0"), envelope_id=TAG).replace(b"multipart/report", b"multipart/mixed")
    assert seen(plain).kind is not MailKind.DELIVERED


def test_a_message_is_read_alike_whichever_way_its_lines_end() -> None:
    for raw in (report(("failed", "5.1.10"), envelope_id=TAG, message_id=OTHER), mail(to=BACK)):
        assert seen(raw.replace(b"\n", b"\r\n")) == seen(raw)
        assert seen(raw).tags


def test_an_internationalised_report_is_read_like_the_other() -> None:
    raw = report(("failed", "5.1.1"), envelope_id=TAG).replace(b"message/delivery", b"message/global-delivery")
    assert (seen(raw).kind, seen(raw).tags) == (MailKind.FAILED, (TAG,))


# --- machines and people (RFC 3834)


@pytest.mark.parametrize(
    "headers",
    [
        "Auto-Submitted: auto-replied\n",
        "Auto-Submitted: Auto-Generated (vacation)\n",
        "Auto-Submitted: auto-replied; owner-email=pat\n",
        "Precedence: auto_reply\n",
        "X-Autoreply: yes\n",
        "X-Autorespond: Away\n",
    ],
)
def test_an_out_of_office_reply_is_automatic_where_it_says_nothing_else(headers: str) -> None:
    raw = mail(to=BACK, headers=headers, subject="Out of office: Erasure notice", body="I am away until Monday.")
    assert (seen(raw).kind, seen(raw).tags) == (MailKind.AUTOMATIC, (TAG,))
    assert seen(raw + b"Received, and done.").kind is MailKind.UNCLEAR


def test_a_bounce_in_a_form_of_its_own_is_left_to_a_person() -> None:
    exim = "Auto-Submitted: auto-replied\nX-Failed-Recipients: desk@processor.example\n"
    assert seen(mail(to=BACK, headers=exim)).kind is MailKind.UNCLEAR


@pytest.mark.parametrize(
    "headers",
    [
        "",
        "Auto-Submitted: no\n",
        "Auto-Submitted: no (really)\n",
        "Precedence: first-class\n",
        "Precedence: bulk\n",
        "Precedence: list\nList-Id: <desk.processor.example>\n",
        "Precedence: junk\n",
        "X-Auto-Response-Suppress: DR, OOF, AutoReply\n",
        "X-Auto-Response-Suppress: All\nPrecedence: bulk\n",
        "X-Autoreply: no\n",
        "Return-Path: <pat@processor.example>\n",
    ],
)
def test_what_no_mark_calls_a_machines_is_a_reply(headers: str) -> None:
    found = seen(mail(to=BACK, headers=headers, body="We refuse: there is an unpaid invoice."))
    assert (found.kind, found.tags) == (MailKind.REPLY, (TAG,))


# --- what came back, whatever marks it carries

MARKS = ("", "Auto-Submitted: auto-replied\n", "Auto-Submitted: auto-generated\nPrecedence: bulk\nX-Autoreply: yes\n")
DAEMON = "Mail Delivery System <MAILER-DAEMON@relay.example>"


@pytest.mark.parametrize("marks", MARKS)
@pytest.mark.parametrize(
    ("sender", "headers"),
    [
        ("Pat <pat@processor.example>", "Return-Path: <>\n"),
        ("Pat <pat@processor.example>", "Return-Path:\n"),
        ("Pat <pat@processor.example>", "Return-Path: <#@[]>\n"),
        ("Pat <pat@processor.example>", "Return-Path: <MAILER-DAEMON@relay.example>\n"),
        ("Pat <pat@processor.example>", "X-Failed-Recipients: desk@processor.example\n"),
        ("Pat <pat@processor.example>", "Sender: postmaster@processor.example\n"),
        (DAEMON, ""),
        ("MAILER-DAEMON <>", ""),
        ("MAILER-DAEMON (Mail Delivery System)", ""),
        ("postmaster@processor.example", ""),
        ('"Mail Delivery Subsystem" <noreply@relay.example>', ""),
        ("System Administrator <x@processor.example>", ""),
        ("mailer-daemon-2@relay.example", ""),
        ("MDaemon@processor.example", ""),
        ("=?utf-8?q?Mailer-Daemon?= <noreply@relay.example>", ""),
        ("Notes Mail Router@processor.example", ""),
        ("Microsoft Outlook <MicrosoftExchange329e71ec88ae4615bbc36ab6ce41109e@processor.example>", ""),
        ("Pat <pat@processor.example>", "X-MS-Exchange-Message-Is-Ndr:\n"),
        ("Pat <pat@processor.example>", "X-Envelope-From: <>\n"),
    ],
)
def test_a_mail_system_reports_to_a_person_whatever_marks_it_puts_on_it(sender: str, headers: str, marks: str) -> None:
    found = seen(mail(sender, to=BACK, headers=headers + marks, body="550 5.1.1 no such mailbox"))
    assert (found.kind, found.tags) == (MailKind.UNCLEAR, (TAG,))


def as_part_of(container: str, raw: bytes) -> bytes:
    return raw.replace(b"multipart/report; report-type=delivery-status", container.encode())


@pytest.mark.parametrize("marks", [b"", b"Precedence: bulk\n", b"X-Auto-Response-Suppress: All\nX-Autoreply: yes\n"])
@pytest.mark.parametrize("container", ["multipart/report", "multipart/mixed", "multipart/related", "Multipart/Report"])
@pytest.mark.parametrize(
    ("action", "status", "kind"), [("failed", "5.1.1", MailKind.FAILED), ("delayed", "4.4.1", MailKind.DELAYED)]
)
def test_a_report_is_one_in_whatever_it_lies(
    action: str, status: str, kind: MailKind, container: str, marks: bytes
) -> None:
    raw = marks + as_part_of(container, report((action, status), to=BACK, message_id=OTHER))
    assert seen(raw) == Incoming(kind, "0" * 64, (TAG, OTHER), status)


def test_of_what_is_no_report_by_its_form_nothing_good_is_believed() -> None:
    raw = as_part_of("multipart/mixed", report(("delivered", "2.0.0"), to=BACK))
    assert seen(raw).kind is MailKind.UNCLEAR


def test_a_report_that_a_person_puts_beside_an_answer_is_read_by_a_person() -> None:
    raw = as_part_of("multipart/mixed", report(("failed", "5.1.1"), to=BACK))
    raw = (
        raw.replace(b"Return-Path: <>\n", b"").replace(b"MAILER-DAEMON@", b"pat@").replace(b"Mail Delivery System", b"")
    )
    assert seen(raw).kind is MailKind.UNCLEAR


def test_a_report_without_its_part_or_with_a_letter_sent_back_is_no_absence() -> None:
    bare = b"Content-Type: multipart/report; boundary=b\n\n--b\nContent-Type: text/plain\n\nSorry.\n--b--\n"
    head = f"From: relay@processor.example\nTo: {BACK}\nAuto-Submitted: auto-replied\n".encode()
    assert seen(head + bare).kind is MailKind.UNCLEAR
    back = bare.replace(b"report", b"mixed").replace(b"text/plain", b"text/rfc822-headers")
    back = back.replace(b"Sorry.", f"Message-ID: <{OTHER}@example.org>\n".encode())
    assert (seen(head + back).kind, seen(head + back).tags) == (MailKind.UNCLEAR, (TAG, OTHER))


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("displayed", MailKind.AUTOMATIC),
        ("deleted", MailKind.UNCLEAR),
        ("displayed/error", MailKind.UNCLEAR),
        ("failed", MailKind.UNCLEAR),
        ("", MailKind.UNCLEAR),
    ],
)
def test_a_receipt_says_no_more_than_that_it_was_shown(body: str, kind: MailKind) -> None:
    assert seen(receipt("Read.", said=body)).kind is kind


@pytest.mark.parametrize("container", ["multipart/report; report-type=feedback-report", "multipart/mixed"])
def test_a_complaint_about_our_letter_is_read_by_a_person(container: str) -> None:
    raw = as_part_of(container, report(("failed", "5.1.1"), message_id=TAG, returned="message/rfc822"))
    raw = raw.replace(b"message/delivery-status", b"message/feedback-report").replace(b"MAILER-DAEMON", b"fbl")
    raw = raw.replace(b"Return-Path: <>\n", b"").replace(b"Mail Delivery System", b"").replace(b"Delivery Status", b"x")
    assert (seen(raw).kind, seen(raw).tags) == (MailKind.UNCLEAR, (TAG,))


@pytest.mark.parametrize(
    ("subject", "kind"),
    [
        ("Undeliverable: Erasure notice", MailKind.UNCLEAR),
        ("Returned mail: see transcript", MailKind.UNCLEAR),
        ("Unzustellbar: Erasure notice", MailKind.UNCLEAR),
        ("Automatic reply: [DPS-7F3K2] Erasure notice - please confirm", MailKind.AUTOMATIC),
        ("Out of office: Reminder: Restriction notice - please confirm", MailKind.AUTOMATIC),
        ("Abwesenheit: No answer yet: Opt-out notice - please help", MailKind.AUTOMATIC),
    ],
)
def test_an_automatic_reply_that_speaks_of_trouble_is_no_absence(subject: str, kind: MailKind) -> None:
    raw = mail(to=BACK, headers="Auto-Submitted: auto-replied\n", subject=subject, body="I am away until Monday.")
    assert seen(raw).kind is kind


@pytest.mark.parametrize(
    "subject",
    [
        "Onbestelbaar: Erasure notice",
        "Your message could not be accepted",
        "This mailbox is no longer monitored",
        "Please confirm your message",
        "Mancato recapito",
        "Niedostarczona: Erasure notice",
        "=?utf-8?b?6YWN5L+h5LiN6IO9?=",
        "Message held for review",
        "Re: [DPS-7F3K2] Erasure notice - please confirm",
        "Automatic reply: [DPS-7F3K2] Erasure notice",
        "",
    ],
)
@pytest.mark.parametrize("mark", ["auto-replied", "auto-generated"])
def test_what_a_machine_wrote_and_nobody_knows_waits_for_a_person(subject: str, mark: str) -> None:
    headers = f"Auto-Submitted: {mark}\nIn-Reply-To: <{TAG}@example.org>\n"
    found = seen(mail(headers=headers, subject=subject, body="We have an unpaid bill of hers and keep everything."))
    assert (found.kind, found.tags) == (MailKind.UNCLEAR, (TAG,))


@pytest.mark.parametrize(
    "body",
    [
        "550 5.1.1 There is no such mailbox here",
        "Remote host said: 5.7.1",
        "This mailbox is no longer monitored.",
        "I am away. We refuse the erasure.",
        "Pat has left the company.",
        "The mailbox is full.",
    ],
)
def test_an_absence_says_nothing_but_that_somebody_is_away(body: str) -> None:
    raw = mail(to=BACK, headers="Auto-Submitted: auto-replied\n", subject="Out of office: Erasure notice", body=body)
    assert seen(raw).kind is MailKind.UNCLEAR


@pytest.mark.parametrize(
    "subject",
    [
        "Abwesenheitsnotiz", "Absence du bureau", "Fuera de la oficina", "Fuori ufficio", "Afwezig: Re: Erasure notice",
        "=?utf-8?b?5LiN5Zyo?=", "Ik ben met vakantie", "Out of the office",
    ],
)  # fmt: skip
def test_an_absence_is_known_in_several_languages(subject: str) -> None:
    raw = mail(to=BACK, headers="Auto-Submitted: auto-replied\n", subject=subject, body="See you on 5.12.2026.")
    assert seen(raw).kind is MailKind.AUTOMATIC


@pytest.mark.parametrize("path", ["<> (null)", "(nobody) <>", " <>  ", "<#@[]> (qmail)"])
def test_no_comment_hides_that_there_is_no_return_path(path: str) -> None:
    headers = f"Return-Path: {path}\nAuto-Submitted: auto-replied\n"
    assert seen(mail(to=BACK, headers=headers, subject="Out of office")).kind is MailKind.UNCLEAR


OUTLOOK = "Your message \n\n   To: Pat Desk\n   Subject: Erasure notice\n   Sent: Saturday 10:00\n\n"
OUTLOOK += " was read on Saturday, November 28, 2026 10:00:00 AM (UTC+00:00)."
THUNDERBIRD = (
    "This is a Return Receipt for the mail that you sent to pat@processor.example.\n\n"
    "Note: This Return Receipt only acknowledges that the message was displayed on the\nrecipient's computer. "
    "There is no guarantee that the recipient has read or\nunderstood the message contents.\n"
)


@pytest.mark.parametrize(
    "text", ["", "Read.", OUTLOOK, THUNDERBIRD, "Ihre Nachricht wurde am 28.11.2026 10:00 gelesen."]
)
def test_a_receipt_as_programs_write_it_is_left_unread(text: str) -> None:
    assert seen(receipt(text)).kind is MailKind.AUTOMATIC
    assert seen(receipt(text.replace("\n", "<br>\n"), "text/html")).kind is MailKind.AUTOMATIC


@pytest.mark.parametrize(
    "own",
    ["We do not erase this: see invoice 7.", "No.", "Please telephone.", "Wir löschen nicht.", "received and refused"],
)
@pytest.mark.parametrize("before", ["", OUTLOOK + "\n\n", THUNDERBIRD + "\n", "Your message was read on Monday. "])
def test_what_somebody_wrote_into_a_receipt_a_person_reads(before: str, own: str) -> None:
    assert seen(receipt(before + own)).kind is MailKind.UNCLEAR
    assert seen(receipt(own + "\n\n" + before)).kind is MailKind.UNCLEAR


def test_what_somebody_put_beside_a_receipt_a_person_reads() -> None:
    assert seen(receipt("%PDF", "application/pdf")).kind is MailKind.UNCLEAR


def test_a_receipt_of_many_dates_costs_no_more_than_its_length() -> None:
    began = time.process_time()
    for many in (" 1,", " sunday", " on", " 10:00", " 1st,", " to a@b", "<", " on a"):
        assert seen(receipt("Your message was read on" + many * 190 + " x!")).kind is MailKind.UNCLEAR
        seen(mail(to=BACK, headers="Auto-Submitted: auto-replied\n", subject="Away", body=many * 20_000))
    assert time.process_time() - began < 2


def receipt(text: str, content: str = "text/plain", said: str = "displayed") -> bytes:
    """A read receipt with a text of its own."""
    return (
        f"Return-Path: <>\nFrom: pat@processor.example\nTo: {BACK}\nAuto-Submitted: auto-replied\n"
        "Content-Type: multipart/report; report-type=disposition-notification; boundary=b\n\n"
        f"--b\nContent-Type: {content}; charset=utf-8\n\n{text}\n"
        "--b\nContent-Type: message/disposition-notification\n\n"
        f"Final-Recipient: rfc822;pat@processor.example\nDisposition: automatic-action/MDN-sent-automatically; {said}\n"
        "\n--b--\n"
    ).encode()


def test_a_message_of_nobody_is_not_taken_for_a_reply() -> None:
    marked = b"\xef\xbb\xbf" + mail(to=BACK, headers="Auto-Submitted: auto-replied\n")
    assert (seen(marked).kind, seen(marked).tags) == (MailKind.UNCLEAR, (TAG,))
    old = b"From MAILER-DAEMON Sat Nov 28 10:00:00 2026\n" + mail(to=BACK, headers="Auto-Submitted: auto-replied\n")
    assert seen(old).kind is MailKind.UNCLEAR


def test_what_comes_back_in_plain_text_or_in_base64_finds_its_letter() -> None:
    body = f"This is qmail-send.\n\n--- Below this line is a copy.\n\nMessage-ID: <{TAG}@example.org>\n"
    assert seen(mail(DAEMON, body=body)).tags == (TAG,)
    coded = base64.encodebytes(body.encode()).decode()
    raw = mail(DAEMON, headers="MIME-Version: 1.0\nContent-Transfer-Encoding: base64\n", body=coded)
    assert (seen(raw).kind, seen(raw).tags) == (MailKind.UNCLEAR, (TAG,))


def test_what_cannot_be_read_is_not_lost() -> None:
    broken = f"To: {BACK}\n".encode() + b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--boundary" * 20
    assert (seen(broken).kind, seen(broken).tags) == (MailKind.UNCLEAR, (TAG,))


@pytest.mark.parametrize("end", [b"\r\n", b"\r"])
def test_a_bounce_is_one_however_its_lines_end(end: bytes) -> None:
    for raw in (as_part_of("multipart/mixed", report(("failed", "5.1.1"), to=BACK)), mail(DAEMON, to=BACK)):
        assert seen(raw.replace(b"\n", end)).kind is seen(raw).kind


def test_a_reply_is_matched_by_tagged_address_in_reply_to_and_references() -> None:
    thread = f"In-Reply-To: <{OTHER}@example.org>\nReferences: <1@a.example>\n <{THIRD}@EXAMPLE.org>\n"
    assert seen(mail(to=f"privacy+{TAG}@example.org", headers=thread)).tags == (TAG, OTHER, THIRD)
    assert seen(mail(body=f"{BACK} <{TAG}@example.org>")).tags == ()


@pytest.mark.parametrize(
    ("sender", "domain"),
    [
        ("Pat <pat@Processor.example>", "processor.example"),
        ("pat@processor.example", "processor.example"),
        ('"pat@processor.example" <x@evil.example>', ""),
        ("pat@processor.example, x@evil.example", ""),
        ("Pat <pat@processor.example>\nFrom: x@evil.example", ""),
        ("=?utf-8?q?P=40processor=2Eexample?= <x@evil.example>", "evil.example"),
        ("nobody", ""),
    ],
)
def test_a_sender_is_one_address_or_nobody(sender: str, domain: str) -> None:
    assert seen(mail(sender)).domain == domain


def test_only_the_first_word_on_authentication_is_heard() -> None:
    passed = "Authentication-Results: mx.example.org; dmarc=pass\n"
    assert seen(mail(headers=passed)).vouched
    assert not seen(mail(headers="Authentication-Results: mx.example.org; dmarc=fail\n" + passed)).vouched


# --- hostile ones


NESTED = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(3000))
HOSTILE = {
    "nothing": b"",
    "zeros": b"\0" * 10_000,
    "a hundred thousand lines": b"\n" * 100_000,
    "nested without end": b"From: a@b.example\n" + NESTED,
    "messages in messages": b"Content-Type: message/rfc822\n\n" * 5000,
    "a header without end": b"To: " + b"x+" * 100_000 + b"@\n\n",
    "ten thousand headers": b"To: a@b.example\n" * 10_000 + b"\n",
    "folded for ever": b"To:" + b"\n x" * 50_000 + b"\n\n",
    "an unheard charset": b"Content-Type: text/plain; charset=nonsense\nSubject: =?nonsense?q?x?=\n\n\xff\xfe",
    "bytes for headers": b"From: \xff\xfe <\xff@\xff>\nTo: \xf0\nContent-Type: \xff/\xff; report-type=\xff\n\n",
    "a boundary of nothing": b'Content-Type: multipart/report; report-type=delivery-status; boundary=""\n\n--\n',
    "encoded parameters": b"Content-Type: multipart/report; report-type*0*=x''%ff; report-type*1=y; boundary*=''b\n\n",
    "wrong base64": b"Content-Type: text/rfc822-headers\nContent-Transfer-Encoding: base64\n\n!!!!",
    "a report that is a list": report(("failed", "5.1.1"), envelope_id=TAG).replace(
        b"message/delivery-status", b"multipart/mixed"
    ),
    "a report in base64": report(("failed", "5.1.1"), envelope_id=TAG).replace(
        b"message/delivery-status\n", b"message/delivery-status\nContent-Transfer-Encoding: base64\n"
    ),
}


@pytest.mark.parametrize("depth", [17, 300])
def test_parts_in_parts_beyond_what_anybody_sends_are_not_even_parsed(depth: int) -> None:
    nested = b"".join(b"Content-Type: multipart/mixed; BOUNDARY=b%d\n\n--b%d\n" % (n, n) for n in range(depth))
    assert seen(mail(to=BACK).partition(b"Content-Type")[0] + nested).kind is MailKind.UNCLEAR


@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_that_is_sent_stops_the_reader_or_counts(name: str) -> None:
    began = time.process_time()
    found = seen(HOSTILE[name])
    assert found.kind in {MailKind.UNCLEAR, MailKind.REPLY} or name == "a report in base64"
    assert time.process_time() - began < 2


@given(st.binary(max_size=2000))
def test_any_bytes_are_something_and_never_a_report(raw: bytes) -> None:
    assert seen(raw).kind in {MailKind.UNCLEAR, MailKind.REPLY, MailKind.AUTOMATIC}


@given(st.data())
def test_a_damaged_report_never_says_more_than_the_whole_one(data: st.DataObject) -> None:
    raw = bytearray(report(("failed", "5.1.1"), envelope_id=TAG, to=BACK, message_id=TAG))
    for _ in range(data.draw(st.integers(1, 5))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    assert seen(bytes(raw)).kind in {MailKind.FAILED, MailKind.UNCLEAR, MailKind.AUTOMATIC, MailKind.REPLY}


def test_no_word_and_no_address_of_a_message_is_in_what_is_read_of_it() -> None:
    found = seen(mail("Ada Lovelace <ada@processor.example>", to=BACK, body="Ada Lovelace"))
    assert not [word for word in ("Ada", "ada", "Lovelace", TAG) if word in repr(found)]
