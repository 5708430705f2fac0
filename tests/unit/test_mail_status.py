"""Who said no to a letter, and about what: every cell of the table, and where it is unclear it is never theirs."""

from itertools import product

import pytest

from dpsync.mail_status import MailRefusal, Phase, about, is_undelivered, to_do, undelivered

BEFORE = (Phase.CONNECT, Phase.EHLO, Phase.STARTTLS, Phase.AUTH)
AFTER = (Phase.RCPT, Phase.DATA, Phase.END)
CODES = (500, 501, 502, 503, 504, 521, 523, 530, 534, 535, 538, 550, 551, 552, 553, 554, 555, 556, 571)
STATUSES = ("", *(f"5.{subject}.{detail}" for subject in range(8) for detail in (*range(31), 60, 64, 252, 999)))

RECIPIENTS = {
    *(f"5.1.{detail}" for detail in (1, 2, 3, 4, 6, 10)),
    *(f"5.2.{detail}" for detail in (1, 2, 4)),
    "5.7.17",
    "5.7.18",
}


def expected(phase: Phase, code: int, status: str) -> set[MailRefusal]:
    """What the standards say, spelled in the other order: by what somebody reads first."""
    if code in {530, 534, 535, 538}:
        return {MailRefusal.PASSWORD}
    if phase in BEFORE:
        return {MailRefusal.US}
    if phase is Phase.MAIL:
        return {MailRefusal.US, MailRefusal.ENVELOPE, MailRefusal.MESSAGE}
    if code in {500, 501, 502, 503, 504, 555}:
        return {MailRefusal.US, MailRefusal.MESSAGE}
    if status in RECIPIENTS or (phase is Phase.RCPT and (status == "" and code == 556)):
        return {MailRefusal.RECIPIENT}
    if phase is Phase.RCPT and status.startswith("5.4.") and status not in {"5.4.0", "5.4.3", "5.4.5"}:
        return {MailRefusal.RECIPIENT}
    return {MailRefusal.US, MailRefusal.ENVELOPE, MailRefusal.MESSAGE, MailRefusal.UNCLEAR}


def test_only_what_is_surely_about_the_recipient_is_ever_the_processors() -> None:
    for phase, code, status in product(Phase, CODES, STATUSES):
        assert about(phase, code, status) in expected(phase, code, status), (phase, code, status)


@pytest.mark.parametrize(
    ("phase", "code", "status", "whose"),
    [
        (Phase.CONNECT, 554, "5.7.1", MailRefusal.US),
        (Phase.CONNECT, 521, "", MailRefusal.US),
        (Phase.EHLO, 550, "5.7.25", MailRefusal.US),
        (Phase.STARTTLS, 501, "5.5.4", MailRefusal.US),
        (Phase.AUTH, 535, "5.7.8", MailRefusal.PASSWORD),
        (Phase.MAIL, 530, "5.7.0", MailRefusal.PASSWORD),
        (Phase.MAIL, 553, "5.7.1", MailRefusal.ENVELOPE),
        (Phase.MAIL, 550, "5.7.60", MailRefusal.ENVELOPE),
        (Phase.MAIL, 550, "5.1.8", MailRefusal.ENVELOPE),
        (Phase.MAIL, 550, "5.1.1", MailRefusal.ENVELOPE),
        (Phase.MAIL, 550, "", MailRefusal.ENVELOPE),
        (Phase.MAIL, 552, "5.3.4", MailRefusal.MESSAGE),
        (Phase.MAIL, 552, "", MailRefusal.MESSAGE),
        (Phase.MAIL, 555, "5.5.4", MailRefusal.US),
        (Phase.RCPT, 550, "5.1.1", MailRefusal.RECIPIENT),
        (Phase.RCPT, 550, "5.1.2", MailRefusal.RECIPIENT),
        (Phase.RCPT, 556, "5.1.10", MailRefusal.RECIPIENT),
        (Phase.RCPT, 556, "", MailRefusal.RECIPIENT),
        (Phase.RCPT, 550, "5.2.1", MailRefusal.RECIPIENT),
        (Phase.RCPT, 552, "5.2.2", MailRefusal.RECIPIENT),
        (Phase.RCPT, 550, "5.4.1", MailRefusal.RECIPIENT),
        (Phase.RCPT, 550, "5.4.4", MailRefusal.RECIPIENT),
        (Phase.RCPT, 550, "5.1.0", MailRefusal.UNCLEAR),
        (Phase.RCPT, 553, "5.1.8", MailRefusal.ENVELOPE),
        (Phase.RCPT, 553, "5.7.1", MailRefusal.ENVELOPE),
        (Phase.RCPT, 554, "5.7.1", MailRefusal.ENVELOPE),
        (Phase.RCPT, 550, "", MailRefusal.UNCLEAR),
        (Phase.RCPT, 551, "", MailRefusal.UNCLEAR),
        (Phase.RCPT, 552, "", MailRefusal.UNCLEAR),
        (Phase.RCPT, 553, "", MailRefusal.UNCLEAR),
        (Phase.RCPT, 554, "5.0.0", MailRefusal.UNCLEAR),
        (Phase.RCPT, 550, "4.1.1", MailRefusal.UNCLEAR),
        (Phase.RCPT, 503, "5.5.1", MailRefusal.US),
        (Phase.RCPT, 554, "5.3.5", MailRefusal.US),
        (Phase.DATA, 554, "5.5.1", MailRefusal.US),
        (Phase.END, 550, "5.1.1", MailRefusal.RECIPIENT),
        (Phase.END, 552, "5.2.2", MailRefusal.RECIPIENT),
        (Phase.END, 554, "5.2.252", MailRefusal.ENVELOPE),
        (Phase.END, 550, "5.7.26", MailRefusal.US),
        (Phase.END, 550, "5.7.23", MailRefusal.US),
        (Phase.END, 552, "5.3.4", MailRefusal.MESSAGE),
        (Phase.END, 552, "5.2.3", MailRefusal.MESSAGE),
        (Phase.END, 552, "", MailRefusal.MESSAGE),
        (Phase.END, 554, "5.6.0", MailRefusal.MESSAGE),
        (Phase.END, 554, "5.7.1", MailRefusal.UNCLEAR),
        (Phase.END, 550, "5.4.1", MailRefusal.UNCLEAR),
        (Phase.END, 554, "", MailRefusal.UNCLEAR),
    ],
)
def test_each_reply_is_about_what_its_codes_say(phase: Phase, code: int, status: str, whose: MailRefusal) -> None:
    assert about(phase, code, status) is whose


@pytest.mark.parametrize(
    ("status", "what"),
    [
        ("5.1.1", "Correct its `contact`"),
        ("5.1.2", "Correct its `contact`"),
        ("", "Correct its `contact`"),
        ("5.2.2", "Telephone, or correct"),
        ("4.4.7", "Telephone, or correct"),
        ("5.7.1", "the people who run our mail"),
        ("5.7.26", "the people who run our mail"),
        ("5.3.4", "the people who run our mail"),
    ],
)
def test_what_is_to_be_done_follows_from_the_code(status: str, what: str) -> None:
    assert what in to_do(undelivered(status))


def test_a_letter_that_reached_nobody_says_why() -> None:
    assert undelivered("5.1.1") == "not delivered (5.1.1: no such mailbox)"
    assert undelivered("5.7.1") == "not delivered (5.7.1: refused by a rule there)"
    assert undelivered("5.9.9") == "not delivered (5.9.9)"
    assert undelivered("", "wrong recipient") == "not delivered (wrong recipient)"
    assert undelivered() == "not delivered"
    assert all(is_undelivered(undelivered(one)) for one in ("", "5.1.1"))
    assert not is_undelivered("the processor rejected a value")
