"""Who said no to a letter, and about what: every cell of the table, and where it is unclear it is never theirs."""

from itertools import product

import pytest

from dpsync.mail_status import About, Phase, about, is_undelivered, to_do, undelivered

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


def expected(phase: Phase, code: int, status: str) -> set[About]:
    """What the standards say, spelled in the other order: by what somebody reads first."""
    if code in {530, 534, 535, 538}:
        return {About.PASSWORD}
    if phase in BEFORE:
        return {About.US}
    if phase is Phase.MAIL:
        return {About.US, About.ENVELOPE, About.MESSAGE}
    if code in {500, 501, 502, 503, 504, 555}:
        return {About.US, About.MESSAGE}
    if status in RECIPIENTS or (phase is Phase.RCPT and (status == "" and code == 556)):
        return {About.RECIPIENT}
    if phase is Phase.RCPT and status.startswith("5.4.") and status not in {"5.4.0", "5.4.3", "5.4.5"}:
        return {About.RECIPIENT}
    return {About.US, About.ENVELOPE, About.MESSAGE, About.UNCLEAR}


def test_only_what_is_surely_about_the_recipient_is_ever_the_processors() -> None:
    for phase, code, status in product(Phase, CODES, STATUSES):
        assert about(phase, code, status) in expected(phase, code, status), (phase, code, status)


@pytest.mark.parametrize(
    ("phase", "code", "status", "whose"),
    [
        (Phase.CONNECT, 554, "5.7.1", About.US),
        (Phase.CONNECT, 521, "", About.US),
        (Phase.EHLO, 550, "5.7.25", About.US),
        (Phase.STARTTLS, 501, "5.5.4", About.US),
        (Phase.AUTH, 535, "5.7.8", About.PASSWORD),
        (Phase.MAIL, 530, "5.7.0", About.PASSWORD),
        (Phase.MAIL, 553, "5.7.1", About.ENVELOPE),
        (Phase.MAIL, 550, "5.7.60", About.ENVELOPE),
        (Phase.MAIL, 550, "5.1.8", About.ENVELOPE),
        (Phase.MAIL, 550, "5.1.1", About.ENVELOPE),
        (Phase.MAIL, 550, "", About.ENVELOPE),
        (Phase.MAIL, 552, "5.3.4", About.MESSAGE),
        (Phase.MAIL, 552, "", About.MESSAGE),
        (Phase.MAIL, 555, "5.5.4", About.US),
        (Phase.RCPT, 550, "5.1.1", About.RECIPIENT),
        (Phase.RCPT, 550, "5.1.2", About.RECIPIENT),
        (Phase.RCPT, 556, "5.1.10", About.RECIPIENT),
        (Phase.RCPT, 556, "", About.RECIPIENT),
        (Phase.RCPT, 550, "5.2.1", About.RECIPIENT),
        (Phase.RCPT, 552, "5.2.2", About.RECIPIENT),
        (Phase.RCPT, 550, "5.4.1", About.RECIPIENT),
        (Phase.RCPT, 550, "5.4.4", About.RECIPIENT),
        (Phase.RCPT, 550, "5.1.0", About.UNCLEAR),
        (Phase.RCPT, 553, "5.1.8", About.ENVELOPE),
        (Phase.RCPT, 553, "5.7.1", About.ENVELOPE),
        (Phase.RCPT, 554, "5.7.1", About.ENVELOPE),
        (Phase.RCPT, 550, "", About.UNCLEAR),
        (Phase.RCPT, 551, "", About.UNCLEAR),
        (Phase.RCPT, 552, "", About.UNCLEAR),
        (Phase.RCPT, 553, "", About.UNCLEAR),
        (Phase.RCPT, 554, "5.0.0", About.UNCLEAR),
        (Phase.RCPT, 550, "4.1.1", About.UNCLEAR),
        (Phase.RCPT, 503, "5.5.1", About.US),
        (Phase.RCPT, 554, "5.3.5", About.US),
        (Phase.DATA, 554, "5.5.1", About.US),
        (Phase.END, 550, "5.1.1", About.RECIPIENT),
        (Phase.END, 552, "5.2.2", About.RECIPIENT),
        (Phase.END, 554, "5.2.252", About.ENVELOPE),
        (Phase.END, 550, "5.7.26", About.US),
        (Phase.END, 550, "5.7.23", About.US),
        (Phase.END, 552, "5.3.4", About.MESSAGE),
        (Phase.END, 552, "5.2.3", About.MESSAGE),
        (Phase.END, 552, "", About.MESSAGE),
        (Phase.END, 554, "5.6.0", About.MESSAGE),
        (Phase.END, 554, "5.7.1", About.UNCLEAR),
        (Phase.END, 550, "5.4.1", About.UNCLEAR),
        (Phase.END, 554, "", About.UNCLEAR),
    ],
)
def test_each_reply_is_about_what_its_codes_say(phase: Phase, code: int, status: str, whose: About) -> None:
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
