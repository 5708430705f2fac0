"""The letter to a processor without an API, posted to a real SMTP server."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from hashlib import sha256
from typing import Any, ClassVar

import pytest
from pydantic import ValidationError

from dpsync.connector import (
    Accepted,
    CannotTell,
    Connector,
    Finding,
    Http,
    Instruction,
    Kit,
    Letter,
    NoticeKind,
    NotIdentifiable,
    Outcome,
    Refused,
    Retryable,
)
from dpsync.connector_services import Mail
from dpsync.connectors.notice import Notice, NoticeSettings
from dpsync.errors import CredentialsRejected, ProcessorUnreachable
from dpsync.model import Changes, Lifted, Right
from dpsync.smtp import Mailer
from tests.connectors.contract import NOW, ConnectorContract, Hands, OpenShelf, Stage, assert_clean, pseudonym
from tests.mailhost import MailHost, mail_host, scripted

TAG = "abcd2345" * 4
"""160 bits in base32, as the controller makes them."""

LETTER = Letter(
    number=1,
    kind=NoticeKind.FIRST,
    controller="Example Gardens",
    to="privacy@stratosoft.example.org",
    processor_title="Stratosoft Web Systems",
    answer_by=date(2026, 12, 4),
)
ERASURE = Instruction(
    reference="DPS-7F3K2",
    right=Right.ERASURE,
    addresses=("ada@example.org", "ada.old@example.org"),
    subject_id="crm-4711",
    phone="+44 20 7946 0000",
    name="Ada Lovelace",
    references={"google_analytics": ("client-815",)},
    message_id=f"{TAG}@dp.example.org",
    answer_url="https://dp.example.org/answers/Zm9v-YmFy",
    digest_key=b"k",
    letter=LETTER,
)
PERSONAL = ["ada", "lovelace", "crm-4711", "7946"]


class NoHttp(Http):
    """A notice never speaks HTTP."""

    def call(self, *args: Any, **more: Any) -> Any:
        raise AssertionError("no HTTP here")


def kit(
    mail: Mail | None, *, clock: Hands | None = None, shelf: OpenShelf | None = None, rehearsal: bool = False
) -> Kit:
    return Kit(
        http=NoHttp(),
        clock=clock or Hands(),
        pseudonym=pseudonym,
        shelf=shelf or OpenShelf(),
        mail=mail,
        rehearsal=rehearsal,
    )


def mailer(port: int, sender: str = "Data protection <dp@example.org>") -> Mailer:
    return Mailer("127.0.0.1", port, "none", None, None, sender, Hands(), timeout=60)


def posted(instruction: Instruction = ERASURE, *, rehearsal: bool = False) -> EmailMessage:
    with mail_host() as host:
        outcome = Notice(kit(mailer(host.port), rehearsal=rehearsal)).carry_out(instruction)
    assert isinstance(outcome, Accepted)
    return parsed(host.taken[0].raw)


def parsed(raw: bytes) -> EmailMessage:
    message = message_from_bytes(raw, policy=policy.default)
    assert isinstance(message, EmailMessage)
    assert message.defects == []
    return message


def body_of(message: EmailMessage) -> str:
    part = message.get_body(("plain",))
    assert part is not None
    text: str = part.get_content()
    return text.replace("\r\n", "\n")


def attached(message: EmailMessage) -> dict[str, Any]:
    (part,) = message.iter_attachments()
    assert (part.get_content_type(), part.get_filename()) == ("application/json", "notice.json")
    content: dict[str, Any] = json.loads(part.get_content())
    return content


def letter(**change: Any) -> Instruction:
    return replace(ERASURE, letter=replace(LETTER, **change))


# --- the contract


@dataclass
class MailStage(Stage):
    """Gives each instruction the letter that propagation gives it."""

    def tell(self, told: Instruction, *, record: bool = True) -> Outcome:
        link = "https://dp.example.org/a/1"
        told = replace(told, letter=LETTER, message_id=f"{TAG}@dp.example.org", answer_url=link)
        return super().tell(told, record=record)


class TestContract(ConnectorContract):
    connector: ClassVar[type[Connector]] = Notice
    done: ClassVar[type[Outcome]] = Accepted
    nothing: ClassVar[type[Outcome]] = Accepted  # a letter cannot know whether anything is held
    found: ClassVar[type[Finding]] = CannotTell

    @contextmanager
    def stage(self, right: Right, *, held: bool = True) -> Iterator[Stage]:
        clock = Hands()
        with mail_host() as host:
            yield MailStage(
                Notice(kit(mailer(host.port), clock=clock)),
                calls=lambda: len(host.commands),
                writes=lambda: len(host.taken),
                # What a reader of the mailbox sees: a repeat under the same Message-ID is one letter.
                state=lambda: {parsed(one.raw)["Message-ID"] for one in host.taken} if held else "unknown",
                clock=clock,
            )

    @contextmanager
    def silent(self, right: Right) -> Iterator[Stage]:
        with scripted([]) as port:
            yield MailStage(Notice(kit(mailer(port))), calls=int, writes=int, state=int)


# --- the headers


def test_the_letter_has_the_headers_that_the_tracking_rests_on() -> None:
    message = posted()
    assert message["Message-ID"] == f"<{TAG}@dp.example.org>"
    assert message["From"] == "Data protection <dp@example.org>"
    assert message["To"] == LETTER.to
    assert message["Reply-To"] == f"dp+{TAG}@example.org"
    assert message["Subject"] == "[DPS-7F3K2] Erasure notice - please confirm"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Date"] == "Fri, 20 Nov 2026 09:00:00 +0000"
    assert message["In-Reply-To"] is None


def test_the_envelope_has_an_address_of_its_own_for_bounces_and_asks_for_reports() -> None:
    with mail_host(MailHost(dsn=True)) as host:
        Notice(kit(mailer(host.port))).carry_out(ERASURE)
    (taken,) = host.taken
    assert taken.sender == f"bounce+{TAG}@example.org"
    assert taken.to == (LETTER.to,)
    assert taken.mail_options == f"RET=HDRS ENVID={TAG}"
    assert taken.rcpt_options == f"NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;{LETTER.to}"


def test_a_tag_survives_a_host_that_changes_the_case_of_a_local_part() -> None:
    for address in (posted()["Reply-To"], ERASURE.message_id):
        assert address.upper().lower() == address


def test_a_long_sender_goes_without_a_tag_rather_than_with_an_address_that_no_host_takes() -> None:
    longest = "d" * 31
    for sender, back in ((f"{longest}@example.org", f"{longest}+{TAG}"), (f"{longest}d@example.org", f"{longest}d")):
        with mail_host() as host:
            Notice(kit(mailer(host.port, sender))).carry_out(ERASURE)
        assert parsed(host.taken[0].raw)["Reply-To"] == f"{back}@example.org"


def test_the_digest_is_that_of_the_bytes_and_tells_nothing_once_the_requests_key_is_gone() -> None:
    with mail_host() as host:
        notice = Notice(kit(mailer(host.port)))
        first, again = notice.carry_out(ERASURE), notice.carry_out(ERASURE)
        other = notice.carry_out(replace(ERASURE, digest_key=b"another key"))
    assert isinstance(first, Accepted)
    assert isinstance(other, Accepted)
    assert first.digest == sha256(host.taken[0].raw).hexdigest() != other.digest
    assert again == first


def test_a_reminder_is_a_new_letter_in_the_same_thread() -> None:
    reminder = replace(
        letter(number=2, kind=NoticeKind.REMINDER, in_reply_to=ERASURE.message_id), message_id=f"{TAG[::-1]}@x.org"
    )
    message = posted(reminder)
    assert message["Message-ID"] == f"<{TAG[::-1]}@x.org>"
    assert message["In-Reply-To"] == message["References"] == f"<{TAG}@dp.example.org>"
    assert message["Subject"].startswith("[DPS-7F3K2] Reminder: ")
    assert "reminder" in body_of(message)


@pytest.mark.parametrize("right", sorted(Right))
@pytest.mark.parametrize("kind", sorted(NoticeKind))
def test_identifiers_stand_in_the_attachment_alone(right: Right, kind: NoticeKind) -> None:
    changes = Changes(email="ada.new@example.org", first_name="Ada", fields={"CITY": "Lovelace Town"})
    told = replace(
        letter(kind=kind), right=right, changes=changes if right is Right.RECTIFICATION else None, name="Ada Lovelace"
    )
    message = posted(told)
    seen = body_of(message).lower() + "".join(f"{name}: {value}\n" for name, value in message.items()).lower()
    assert [trace for trace in PERSONAL if trace in seen] == []
    assert attached(message)["subject"][0] == {"type": "email", "value": "ada@example.org"}


def test_the_attachment_says_all_that_is_needed_to_find_the_person_and_no_more() -> None:
    assert attached(posted()) == {
        "type": "dpsync.notice",
        "version": 1,
        "reference": "DPS-7F3K2",
        "right": "erasure",
        "kind": "first",
        "controller": "Example Gardens",
        "answer_by": "2026-12-04",
        "answer_url": ERASURE.answer_url,
        "subject": [
            {"type": "email", "value": "ada@example.org"},
            {"type": "email", "value": "ada.old@example.org"},
            {"type": "phone", "value": "+44 20 7946 0000"},
            {"type": "name", "value": "Ada Lovelace"},
            {"type": "controller_customer_id", "value": "crm-4711"},
        ],
        "references": [],
    }


@pytest.mark.parametrize("given", ["ada@bücher.example", "ada@xn--bcher-kva.example"])
def test_a_letter_names_a_domain_as_people_read_it_and_as_programs_keep_it(given: str) -> None:
    told = replace(ERASURE, addresses=(given,), phone=None, name=None, subject_id=None)
    found = [one["value"] for one in attached(posted(told))["subject"]]
    assert sorted(found) == ["ada@bücher.example", "ada@xn--bcher-kva.example"]
    assert found[0] == given


def test_a_rectification_carries_the_right_values_and_clears_with_an_empty_one() -> None:
    changes = Changes(email="ada.new@example.org", last_name="", fields={"CITY": ""})
    content = attached(posted(replace(ERASURE, right=Right.RECTIFICATION, changes=changes)))
    assert content["changes"] == {"email": "ada.new@example.org", "last_name": "", "fields": {"CITY": ""}}
    content = attached(posted(replace(ERASURE, right=Right.RECTIFICATION, changes=Changes(first_name="Ada"))))
    assert content["changes"] == {"first_name": "Ada", "fields": {}}


# --- the text


@pytest.mark.parametrize(
    ("right", "article", "verb"),
    [
        (Right.ERASURE, "17(1)", "erase"),
        (Right.RECTIFICATION, "16", "correct"),
        (Right.RESTRICTION, "18", "Please restrict the data"),
        (Right.OPT_OUT, "21(2)", "objects to direct marketing"),
    ],
)
def test_the_text_says_what_under_which_article_by_when_and_how_to_answer(
    right: Right, article: str, verb: str
) -> None:
    text = " ".join(body_of(posted(replace(ERASURE, right=right))).split())
    assert verb in text
    assert article in text
    assert "4 December 2026" in text
    assert ERASURE.answer_url in text
    for answer in ("received", "done", "nothing held", "partly done, because", "refused, because", "wrong recipient"):
        assert f"- {answer}" in text
    for place in ("live data", "copies that were sent by email", "logs", "back-ups"):
        assert place in text
    assert "Opening the page tells us nothing. Only its button sends your answer." in text
    assert "DPS-7F3K2" in text


def test_the_text_comes_before_the_attachment_in_lines_that_any_host_carries() -> None:
    with mail_host() as host:
        Notice(kit(mailer(host.port))).carry_out(ERASURE)
    raw = host.taken[0].raw
    assert [part.get_content_type() for part in parsed(raw).iter_parts()] == ["text/plain", "application/json"]
    assert max(map(len, raw.split(b"\r\n"))) < 998
    assert raw.isascii()


def test_lifting_a_restriction_does_not_ask_to_restrict() -> None:
    message = posted(replace(ERASURE, right=Right.RESTRICTION, lifted=Lifted(date(2026, 11, 19), "letter")))
    assert message["Subject"] == "[DPS-7F3K2] Restriction lifted - please confirm"
    assert "Please do not subscribe the person" in " ".join(body_of(message).split())
    assert attached(message)["lifted"] is True


def test_a_letter_is_filled_to_76_signs_and_what_must_stay_whole_does() -> None:
    link = f"https://example.org/{'order-' * 20}"
    task = letter(kind=NoticeKind.TASK, task=f"{'x ' * 100}{link}")
    text = body_of(posted(task))
    paragraph = text[text.index("What to do") :].partition("\n\n")[0].splitlines()
    assert [len(line) for line in paragraph[:2]] == [75, 75], "a sign and a blank more would be 77"
    assert link in paragraph
    begun = ("received (the outcome will follow)", "done", "nothing held")
    answers = (*begun, "partly done, because ...", "refused, because ...", "wrong recipient")
    for body in (text, body_of(posted(replace(ERASURE, answer_url="")))):
        assert "\n\n" + "".join(f"  - {answer}\n" for answer in answers) in body
        assert body.endswith("\n\nOur reference: DPS-7F3K2\n")


def test_the_law_says_how_soon_and_only_a_processor_is_asked_for_each_copy() -> None:
    soon = {right: " ".join(body_of(posted(replace(ERASURE, right=right))).split()) for right in Right}
    assert [right for right, text in soon.items() if "Please stop within 24 hours" in text] == [Right.OPT_OUT]
    assert [right for right, text in soon.items() if "within two working days" not in text] == [Right.OPT_OUT]
    lifted = replace(ERASURE, right=Right.RESTRICTION, lifted=Lifted(date(2026, 11, 19), "letter"))
    for told in (lifted, letter(kind=NoticeKind.TASK), letter(kind=NoticeKind.TASK_REMINDER)):
        assert "live data" not in body_of(posted(told))


def test_the_attachment_can_be_read_by_a_person_too_and_its_boundary_is_of_this_letter_alone() -> None:
    raws = []
    with mail_host() as host:
        for tag in (TAG, TAG[::-1]):
            Notice(kit(mailer(host.port))).carry_out(replace(ERASURE, message_id=f"{tag}@dp.example.org"))
            raws.append(host.taken[-1].raw)
    (part,) = parsed(raws[0]).iter_attachments()
    content = attached(parsed(raws[0]))
    lines = part.get_content().decode().splitlines()
    assert lines[1:3] == [f'  "{name}": {json.dumps(content[name])},' for name in sorted(content)[:2]]
    assert b"\r\nContent-Type: application/json\r\n" in raws[0]
    # who has one letter could else make another to it, and see by its digest whether a guess at it fits
    assert parsed(raws[0]).get_boundary() != parsed(raws[1]).get_boundary()


@pytest.mark.parametrize("kind", [NoticeKind.TASK, NoticeKind.TASK_REMINDER])
def test_a_task_for_our_own_operator_names_the_task_and_where_to_find_it(kind: NoticeKind) -> None:
    task = letter(kind=kind, task="Delete the attendee in the web app.", references=("order 5001", "order 5002"))
    message = posted(task)
    text = " ".join(body_of(message).split())
    assert "Delete the attendee in the web app." in text
    assert "order 5001, order 5002" in text
    assert "task" in message["Subject"].lower()
    assert ("Reminder" in message["Subject"]) is (kind is NoticeKind.TASK_REMINDER)
    assert "as the controller" not in text
    assert attached(message)["references"] == ["order 5001", "order 5002"]


@pytest.mark.parametrize("kind", [NoticeKind.FIRST, NoticeKind.REMINDER, NoticeKind.BACKUP])
def test_a_processor_of_many_controllers_reads_which_of_them_is_writing(kind: NoticeKind) -> None:
    assert "\nExample Gardens " in body_of(posted(letter(kind=kind)))


def test_the_second_contact_is_told_that_the_first_did_not_answer() -> None:
    message = posted(letter(kind=NoticeKind.BACKUP))
    assert "second contact" in body_of(message)
    assert message["Subject"] == "[DPS-7F3K2] No answer yet: Erasure notice - please help"


def test_without_a_public_address_the_answer_goes_by_reply() -> None:
    text = body_of(posted(replace(ERASURE, answer_url="")))
    assert "reply to this email" in text
    assert "http" not in text


def test_a_rehearsal_says_so_in_subject_and_text() -> None:
    message = posted(rehearsal=True)
    assert message["Subject"].startswith("[DPS-7F3K2] REHEARSAL")
    assert body_of(message).startswith("REHEARSAL: this is an exercise. It is about nobody's data.\n\nHello,\n\n")
    assert body_of(posted()).startswith("Hello,\n\n")


# --- what cannot become a header


CRUEL = "Ada\r\nBcc: all@example.org\r\n\r\n<b>\u202e\x1b[31m"


def test_no_name_makes_a_header_or_draws_in_the_letter() -> None:
    changes = Changes(email=CRUEL, first_name=CRUEL, fields={CRUEL: CRUEL})
    told = replace(
        letter(controller=CRUEL, processor_title=CRUEL, task=CRUEL, references=(CRUEL,), kind=NoticeKind.TASK),
        right=Right.RECTIFICATION,
        name=CRUEL,
        addresses=(CRUEL,),
        subject_id=CRUEL,
        phone=CRUEL,
        changes=changes,
    )
    message = posted(told)
    assert sorted(set(message.keys())) == [
        "Auto-Submitted", "Content-Type", "Date", "From", "MIME-Version", "Message-ID", "Reply-To", "Subject", "To",
    ]  # fmt: skip
    assert not set(body_of(message)) & set("\u202e\x1b\r")
    assert "What to do: Ada Bcc: all@example.org <b> [31m\n" in body_of(message)
    assert attached(message)["changes"]["fields"] == {CRUEL: CRUEL}


@pytest.mark.parametrize(
    "broken",
    [
        replace(ERASURE, reference="DPS-1\r\nBcc: x@example.org"),
        replace(ERASURE, reference=""),
        replace(ERASURE, message_id=f"{TAG}@x.org>\r\nBcc: <x@example.org"),
        replace(ERASURE, message_id=""),
        replace(ERASURE, message_id=f"{TAG[:25]}@x.org"),
        replace(ERASURE, message_id=f"{TAG.upper()}@x.org"),
        replace(ERASURE, answer_url="https://dp.example.org/a b"),
        replace(ERASURE, answer_url="javascript:alert(1)"),
        letter(in_reply_to=f"{TAG}@x.org\r\nBcc: x@example.org"),
        replace(ERASURE, letter=None),
    ],
)
def test_an_instruction_that_cannot_make_a_letter_is_our_bug_and_nothing_is_sent(broken: Instruction) -> None:
    with mail_host() as host, pytest.raises(ValueError, match=r"."):
        Notice(kit(mailer(host.port))).carry_out(broken)
    assert host.commands == []


@pytest.mark.parametrize("to", ["a@example.org\r\nBcc: b@example.org", "nobody", ""])
def test_a_contact_that_is_no_address_is_refused_before_any_call(to: str) -> None:
    with mail_host() as host:
        assert isinstance(Notice(kit(mailer(host.port))).carry_out(letter(to=to)), Refused)
    assert host.commands == []


# --- the outcomes


def test_a_letter_that_is_taken_is_accepted_and_an_answer_is_owed() -> None:
    with mail_host() as host:
        outcome = Notice(kit(mailer(host.port))).carry_out(ERASURE)
    assert isinstance(outcome, Accepted)
    assert outcome.answer_by == datetime(2026, 12, 5, tzinfo=UTC)
    assert [(one.endpoint, one.status, one.request_id) for one in outcome.evidence] == [("SMTP DATA", 250, "4ZbX1kQ2")]


@pytest.mark.parametrize("step", ["RCPT", "DATA"])
def test_a_4xx_is_tried_again_and_a_5xx_about_the_recipient_never(step: str) -> None:
    with mail_host(MailHost(replies={step: f"451 4.2.0 <{LETTER.to}> greylisted"})) as host:
        later = Notice(kit(mailer(host.port))).carry_out(ERASURE)
        host.replies[step] = f"550 5.1.1 <{LETTER.to}> unknown"
        never = Notice(kit(mailer(host.port))).carry_out(ERASURE)
    assert isinstance(later, Retryable)
    assert (later.doubtful, later.evidence[0].status) == (False, 451)
    assert isinstance(never, Refused)
    assert (never.reason, never.status, never.evidence[0].status) == ("the mail host refused the message", "5.1.1", 550)
    assert "stratosoft" not in f"{later} {never}"


def test_a_repeat_after_a_lost_reply_is_the_same_letter_to_the_last_byte() -> None:
    shelf, clock = OpenShelf(), Hands()
    with mail_host(MailHost(lose_final_reply=True)) as host:
        first = Notice(kit(mailer(host.port), shelf=shelf, clock=clock)).carry_out(ERASURE)
        host.lose_final_reply = False
        clock.seconds += 86_400
        second = Notice(kit(mailer(host.port), shelf=shelf, clock=clock)).carry_out(ERASURE)
    assert isinstance(first, Retryable)
    assert first.doubtful
    assert isinstance(second, Accepted)
    assert host.taken[0].raw == host.taken[1].raw


def test_a_rejected_password_is_ours_and_no_refusal() -> None:
    with mail_host(MailHost(replies={"MAIL": "530 5.7.0 log in first"})) as host:
        notice = Notice(kit(mailer(host.port)))
        with pytest.raises(CredentialsRejected):
            notice.carry_out(ERASURE)


def test_without_a_mail_host_the_letter_waits() -> None:
    outcome = Notice(kit(None)).carry_out(ERASURE)
    assert isinstance(outcome, Retryable)
    assert not outcome.doubtful


@pytest.mark.parametrize("found_by", [{"addresses": ("a@b.org",)}, {"phone": "1"}, {"name": "A"}, {"subject_id": "7"}])
def test_any_one_identifier_is_enough_and_none_is_not(found_by: dict[str, Any]) -> None:
    nobody = replace(ERASURE, addresses=(), phone=None, name=None, subject_id=None)
    with mail_host() as host:
        notice = Notice(kit(mailer(host.port)))
        assert isinstance(notice.carry_out(nobody), NotIdentifiable)
        assert host.commands == []
        assert isinstance(notice.carry_out(replace(nobody, **found_by)), Accepted)


# --- the probe and the settings


def test_a_probe_names_the_mail_host() -> None:
    with mail_host() as host:
        account = Notice(kit(mailer(host.port))).probe()
    assert (account.title, account.contacts) == ("notice by mail, 127.0.0.1, no TLS", None)
    assert host.commands == []


def test_a_probe_copes_with_a_mail_that_cannot_be_probed() -> None:
    class Plain:
        sender = "dp@example.org"
        post: Callable[..., Any]

    plain: Any = Plain()
    assert Notice(kit(plain)).probe().title == "notice by mail"


def test_a_probe_without_a_mail_host_says_so() -> None:
    with pytest.raises(ProcessorUnreachable):
        Notice(kit(None)).probe()
    with scripted([]) as port, pytest.raises(ProcessorUnreachable):
        Notice(kit(mailer(port))).probe()


def test_an_unknown_setting_is_an_error() -> None:
    with pytest.raises(ValidationError):
        NoticeSettings.model_validate({"contact": "x"})
    assert isinstance(Notice.from_settings(NoticeSettings(), kit(None)), Notice)


def test_the_shelf_and_the_repr_know_no_person() -> None:
    shelf = OpenShelf()
    with mail_host() as host:
        Notice(kit(mailer(host.port), shelf=shelf)).carry_out(ERASURE)
    assert list(shelf.kept.values()) == [NOW.isoformat()]
    assert_clean(repr(shelf.kept))


def test_a_day_to_answer_ends_with_that_day() -> None:
    with mail_host() as host:
        outcome = Notice(kit(mailer(host.port))).carry_out(letter(answer_by=date(2026, 12, 31)))
    assert isinstance(outcome, Accepted)
    assert outcome.answer_by == datetime(2026, 12, 31, tzinfo=UTC) + timedelta(days=1)
