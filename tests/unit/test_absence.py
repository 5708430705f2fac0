"""Which texts say that somebody is away and nothing else: only those may be left unread."""

import time
from itertools import product

import pytest

from dpsync.intake.absence import MOST, says_only_absence

NAME = "Pat Desk"
OURS = "[DPS-7F3K2] Erasure notice - please confirm"
AWAY = "I am out of the office until Monday."

SUBJECTS = (
    "Out of office",
    "Out of Office: Erasure notice",
    f"Automatic reply: {OURS}",
    f"Automatische Antwort: {OURS}",
    f"Réponse automatique : {OURS}",
    f"Out of Office Re: {OURS}",
    f"Re: {OURS}",
    f"Auto: {OURS}",
    f"AutoReply: Re: {OURS}",
    f"Abwesenheitsnotiz: Re: {OURS}",
    f"Abwesend: {OURS}",
    f"Away until 5 December 2026 (Re: {OURS})",
    "On annual leave until Monday, 30 November",
    "Automatic reply: I am away",
    "[DPS-7F3K2] REHEARSAL Reminder: Rectification notice - please confirm",
    "Out of office: [DPS-7F3K2] No answer yet: Opt-out notice - please help",
    "Absence: [DPS-7F3K2] Work list: private conversations to delete",
    "Urlaub bis 05.12.2026",
    "",
)
ONLY_OURS = {
    f"Automatic reply: {OURS}", f"Automatische Antwort: {OURS}", f"Réponse automatique : {OURS}", f"Re: {OURS}",
    f"Auto: {OURS}", f"AutoReply: Re: {OURS}", "[DPS-7F3K2] REHEARSAL Reminder: Rectification notice - please confirm",
    "",
}  # fmt: skip
TEXTS = (
    AWAY,
    "I'm away until 5 Dec.",
    "Hello,\n\nI am currently out of the office until Monday, 30 November 2026.\n\nBest regards\nPat Desk\n",
    "Hello, I am on annual leave from 28/11/2026 to 05/12/2026 with limited access to email.\nKind regards,\nPat",
    (
        "Thank you for your email. I am out of the office and will be back on Tuesday. For urgent matters please "
        "contact my colleague Kim Lee (kim.lee@processor.example)."
    ),
    "Thanks for your message. I'm on holiday until 3rd December and will reply when I return.",
    (
        "I am on parental leave. I will respond to your message as soon as possible. In urgent cases, please call "
        "+44 20 7946 0000."
    ),
    "I am out of the office today and will reply tomorrow at 9 am. This is an automated response.",
    (
        "Dear sender, I am away from my desk, back on 2026-12-07. In my absence please contact "
        "desk@processor.example or 020 7946 0000. Your message will not be forwarded. Yours sincerely, Pat Desk"
    ),
    (
        "I will be out of the office until the end of the week. If your message is urgent, please write to us at "
        "desk@processor.example."
    ),
    "Guten Tag,\n\nich bin bis zum 5. Dezember 2026 nicht im Büro.\n\nMit freundlichen Grüßen\nPat Desk",
    (
        "Vielen Dank für Ihre Nachricht. Ich bin derzeit im Urlaub und ab dem 07.12.2026 wieder erreichbar. Ihre "
        "E-Mail wird nicht weitergeleitet. In dringenden Fällen wenden Sie sich bitte an Frau "
        "Kim Lee (kim@processor.example)."
    ),
    (
        "Ich bin vom 28.11.2026 bis einschließlich 05.12.2026 abwesend. Ihre Nachricht werde ich "
        "nach meiner Rückkehr lesen."
    ),
    "Ich bin heute außer Haus. Viele Grüße\nPat",
    "Fuera de la oficina",
    "不在",
)
MORE = (
    "We refuse.",
    "We will not delete this, we refuse.",
    "No.",
    "We keep the data.",
    "There is an unpaid invoice.",
    "Please telephone.",
    "Done.",
    "Received, and done.",
    "We have received your request #4711.",
    "Your message could not be delivered.",
    "550 5.1.1 no such mailbox",
    "The mailbox is full.",
    "This mailbox is no longer monitored.",
    "Pat has left the company.",
    "Please write to our lawyers.",
    "We need an order of a court.",
    "You must use our portal: https://processor.example/privacy",
    "I will not reply.",
    "I will not delete this before Monday.",
    "We cannot find her.",
    "She is not our customer.",
    "We are not the right desk for this.",
    "Wir löschen nicht.",
    "Das lehnen wir ab.",
    "Ihre Nachricht wird nicht bearbeitet.",
    "Ihre Anfrage wurde abgelehnt.",
    "Nous refusons.",
    "Non.",
    "Nos negamos.",
    "Rifiutiamo.",
    "Wij weigeren.",
    "拒否します",
    "PS: see below",
    "> On Saturday you wrote",
    "-----Original Message-----",
    "?",
    "#",
    "\u200bno",
)
CARRYING = (
    "Out of office: we will not delete this, we refuse",
    "Out of office - we refuse",
    f"Re: {OURS}: refused",
    f"Automatic reply: {OURS} REJECTED",
    f"Abwesenheit: {OURS} - wir lehnen ab",
    "I am away and we refuse",
    "Away with you!",
    "Undeliverable: out of office",
    "Out of office: your request 4711 was refused",
    "On leave: no",
    f"Ticket 4711: {OURS}",
    "Out of office notification failed",
    "Mailbox full while on leave",
)


@pytest.mark.parametrize("text", TEXTS)
def test_a_note_of_absence_is_known_by_each_of_its_sentences(text: str) -> None:
    assert says_only_absence(f"Re: {OURS}", text, NAME)
    assert says_only_absence("Out of office", text.replace("\n", "\r\n"), NAME)


@pytest.mark.parametrize("subject", SUBJECTS)
def test_a_subject_may_say_it_and_repeat_ours(subject: str) -> None:
    assert says_only_absence(subject, AWAY, NAME)
    assert says_only_absence(subject, "", NAME) is (subject not in ONLY_OURS)


@pytest.mark.parametrize("more", MORE)
def test_one_sentence_more_is_read_by_a_person(more: str) -> None:
    for text in TEXTS:
        for said in (f"{text}\n\n{more}", f"{more}\n\n{text}", f"{text} {more}", f"{more} {text}"):
            assert not says_only_absence("Out of office", said, NAME), said
    for subject in SUBJECTS:
        assert not says_only_absence(subject, more, NAME), subject


@pytest.mark.parametrize("subject", CARRYING)
def test_what_a_subject_says_beside_an_absence_is_read_by_a_person(subject: str) -> None:
    for text in ("", *TEXTS):
        assert not says_only_absence(subject, text, NAME)


def test_courtesy_alone_and_somebody_elses_name_are_no_absence() -> None:
    for text in ("Thank you for your message.", "Best regards", NAME, "Hello", "Please contact kim@processor.example."):
        assert not says_only_absence(f"Re: {OURS}", text, NAME)
    assert says_only_absence("", f"{AWAY}\n\nBest regards\n{NAME}", NAME)
    assert not says_only_absence("", f"{AWAY}\n\nBest regards\n{NAME}", "Kim Lee")
    assert not says_only_absence("", f"{AWAY}\n\nBest regards\n{NAME}", "")


def test_a_text_beyond_what_an_absence_needs_is_read_by_a_person() -> None:
    assert not says_only_absence("", f"{AWAY} " * (MOST // len(AWAY) + 1), NAME)


def test_reading_costs_no_more_than_its_length() -> None:
    began = time.process_time()
    pieces = (
        "I am away ",
        "away until ",
        "and ",
        "Monday ",
        "1. ",
        "a@b.example ",
        "020 7946 ",
        "please contact Kim ",
        "Kim ",
    )
    for one, other in product(pieces, pieces):
        text = (one + other) * (MOST // len(one + other))
        says_only_absence(text, f"{text[:-2]}#", NAME)
    assert time.process_time() - began < 20
