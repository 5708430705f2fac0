"""The mail directory: what comes back counts only by its tag, is handled once, and no word of it decides anything."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from dpsync.cli.checks import _incoming
from dpsync.intake.delivery_report import LOOKED_AT, read
from dpsync.intake.mail_directory import AT_ONCE, take_in
from dpsync.ledger import entry
from dpsync.model import Cause, Right, Rung, State
from dpsync.propagation.commitments import Author
from dpsync.propagation.correspondence import incoming
from dpsync.propagation.correspondence.acknowledgement import answer_by_hand
from dpsync.propagation.correspondence.incoming import Incoming
from dpsync.propagation.decisions import Person, decide
from dpsync.propagation.rules.lifecycle import AnswerKind, DecisionKind
from dpsync.reports.make import month_report
from dpsync.reports.verdict import Verdict
from dpsync.store import tables as t
from tests.journeys.installation import FORMS, NEWSLETTER, OPERATOR, SOON, Asked, Installation, installed, sqlite_url
from tests.journeys.test_letters import ADA, CONTACT, DAY, ask, confirmed, letters
from tests.returned import mail, report

pytestmark = pytest.mark.no_database

WITH_FOLDER = 'incoming = "mail/"\n' + FORMS
DESK = "Pat Desk <pat@stratosoft.example>"
FORGED = "bounce+" + "abcd2345" * 4 + "@example.org"
AGAIN = Person("Olli Operator", "olli", "telephoned")
DELIVERED, FAILED = ("delivered", "2.0.0"), ("failed", "5.1.1")


@contextmanager
def told(folder: Path, database_url: str) -> Iterator[tuple[Installation, Asked, str]]:
    """An installation that has written to its processor, the request, and the tag of the letter."""
    (folder / "mail" / "new").mkdir(parents=True)
    with installed(folder, database_url, processors=WITH_FOLDER, web=True) as there:
        confirmed(there)
        asked = ask(there)
        there.drive()
        assert there.state(asked, "forms") is State.ACCEPTED
        yield there, asked, tag_of(there)


def retried(there: Installation, asked: Asked, contact: str = "") -> None:
    """A person tries again; `contact` is put right before."""
    causes: list[DecisionKind] = [DecisionKind.RETRY]
    if contact:
        there.restart((f'contact = "{CONTACT}"', f'contact = "{contact}"'))
        causes.append(DecisionKind.RELEASE)
    controller = there.service.controller
    for kind in causes:
        there.service.write(
            lambda unit, kind=kind: decide(  # type: ignore[misc]  # because mypy does not infer a lambda's default
                unit, controller, asked.id, kind, AGAIN, there.clock.now(),
                causes=frozenset({Cause.CONTACT_UNVERIFIED}),
            )
        )  # fmt: skip
        there.drive(SOON)


def tag_of(there: Installation, number: int = 1) -> str:
    (found,) = [row.message_id for row in there.rows(t.notice) if row.number == number]
    return str(found).partition("@")[0]


def comes(there: Installation, *raws: bytes) -> None:
    """These messages lie in the Maildir, and a minute passes."""
    for number, raw in enumerate(raws):
        (there.folder / "mail" / "new" / f"17{len(there.rows(t.post))}.M{number}.host").write_bytes(raw)
    there.drive(SOON)


def lies(there: Installation, where: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted((there.folder / "mail" / where).glob("*"))]


def last_entry(there: Installation, asked: Asked) -> dict[str, Any]:
    rows = there.service.read(lambda connection: there.service.log.entries_of(connection, asked.id))
    return dict(entry.decode(rows[-1][1]))


def answers(there: Installation) -> list[tuple[str, dict[str, str]]]:
    opened = there.service.keys.open
    return [
        (row.kind, json.loads(opened("answer", row.sealed, str(row.propagation_id).encode())))
        for row in there.rows(t.answer)
    ]


# --- reports


def test_a_delivered_letter_is_delivered_and_not_done(database_url: str, tmp_path: Path) -> None:
    with told(tmp_path, database_url) as (there, asked, tag):
        raw = report(DELIVERED, envelope_id=tag)
        comes(there, raw, raw)
        row = there.row(asked, "forms")
        assert (row.state, row.rung, row.timer) == (State.ACCEPTED, Rung.DELIVERED, "remind")
        assert (lies(there, "new"), lies(there, "waiting"), lies(there, "handled")) == ([], [], [raw])
        assert [kind for kind, _ in answers(there)] == ["delivered"], "the same bytes twice are one report"
        said = last_entry(there, asked)
        assert (said["event"], said["cause"]) == ("delivered", "delivered 2.0.0")
        assert said["digest"] != sha256(raw).hexdigest(), (
            "the ledger holds a commitment, not what anybody could compare"
        )
        assert there.alerts() == []
        there.sound()


@pytest.mark.parametrize("status", ["5.1.1", "5.7.1", "4.4.7"])
def test_a_letter_that_failed_after_it_was_taken_waits_for_a_person(status: str, tmp_path: Path) -> None:
    with told(tmp_path, sqlite_url(tmp_path)) as (there, asked, tag):
        comes(there, report(("failed", status), to=f"bounce+{tag}@example.org"))
        assert there.state(asked, "forms") is State.ESCALATED
        assert there.row(asked, "forms").rung == Rung.SENT
        assert there.alerts() == [("operator", "bounced")]
        assert last_entry(there, asked)["cause"] == f"bounced {status}"
        there.sound()


@pytest.mark.parametrize(
    ("action", "status", "alerts"),
    [
        ("relayed", "2.0.0", []),
        ("expanded", "2.0.0", []),
        ("delayed", "4.4.1", [("operator", "delayed")]),
    ],
)
def test_what_is_on_its_way_stays_sent_and_is_still_reminded_of(
    action: str, status: str, alerts: list[tuple[str, str]], tmp_path: Path
) -> None:
    with told(tmp_path, sqlite_url(tmp_path)) as (there, asked, tag):
        comes(there, report((action, status), message_id=tag))
        row = there.row(asked, "forms")
        assert (row.state, row.rung, there.alerts()) == (State.ACCEPTED, Rung.SENT, alerts)
        ((kind, said),) = answers(there)
        assert (kind, said["status"]) == (action, status)
        assert said["remark"]
        there.drive(6 * DAY)
        assert len(letters(there)) == 2


@pytest.mark.parametrize("status", [DELIVERED, FAILED, ("delayed", "4.4.1"), ("relayed", "2.0.0")])
def test_what_comes_back_of_a_request_that_does_not_open_is_heard(status: tuple[str, str], tmp_path: Path) -> None:
    with told(tmp_path, sqlite_url(tmp_path)) as (there, asked, tag):
        damaged = t.request.update().where(t.request.c.id == asked.id).values(wrapped_key=b"damaged")
        there.service.write(lambda unit: unit.connection.execute(damaged))
        comes(there, report(status, envelope_id=tag))
        assert lies(there, "new") == []
        assert len(there.rows(t.post)) == 1
        assert last_entry(there, asked)["dest"] == "forms"


def test_a_report_without_our_tag_counts_for_nothing(database_url: str, tmp_path: Path) -> None:
    with told(tmp_path, database_url) as (there, asked, _):
        reference = there.rows(t.notice)[0].reference
        before = there.row(asked, "forms")
        comes(
            there,
            report(FAILED, envelope_id=reference, subject=f"[{reference}] Undelivered"),
            report(DELIVERED, to=FORGED, message_id=FORGED[7:39]),
            report(FAILED, to=f"bounce+{reference}@example.org"),
        )
        assert there.row(asked, "forms") == before
        assert answers(there) == []
        assert len(lies(there, "waiting")) == 2, "a failure of what is not known, a person looks at"
        assert there.alerts() == [("operator", "post")]


def test_the_late_bounce_of_an_old_contact_says_nothing_of_the_new_one(tmp_path: Path) -> None:
    with told(tmp_path, sqlite_url(tmp_path)) as (there, asked, tag):
        comes(there, report(FAILED, envelope_id=tag))
        retried(there, asked, "new@right.example")
        assert there.state(asked, "forms") is State.ACCEPTED
        comes(there, report(("failed", "4.4.7"), envelope_id=tag), report(DELIVERED, envelope_id=tag))
        assert there.state(asked, "forms") is State.ACCEPTED
        assert there.row(asked, "forms").rung == Rung.SENT
        comes(there, report(FAILED, envelope_id=tag_of(there, 2)))
        assert there.state(asked, "forms") is State.ESCALATED


def test_the_late_bounce_of_a_letter_from_before_a_retry_stops_nothing(tmp_path: Path) -> None:
    with told(tmp_path, sqlite_url(tmp_path)) as (there, asked, tag):
        comes(there, report(FAILED, envelope_id=tag))
        person, now = Person("Olli Operator", "olli", "their mailbox is put right"), there.clock.now()
        there.service.write(
            lambda unit: decide(unit, there.service.controller, asked.id, DecisionKind.RETRY, person, now)
        )
        there.drive(SOON)
        comes(there, report(("failed", "4.4.7"), envelope_id=tag))
        assert there.state(asked, "forms") is State.ACCEPTED
        assert [kind for kind, _ in answers(there)] == ["bounced", "bounced"]
        comes(there, report(FAILED, envelope_id=tag_of(there, 2)))
        assert there.state(asked, "forms") is State.ESCALATED


def test_a_contact_whose_question_comes_back_is_told_to_the_operator(tmp_path: Path) -> None:
    (tmp_path / "mail").mkdir()
    with installed(tmp_path, sqlite_url(tmp_path), processors=WITH_FOLDER, web=True) as there:
        ask(there)
        there.drive()
        (question,) = there.sandbox.messages(CONTACT)
        (there.folder / "mail" / "a.eml").write_bytes(report(FAILED, to=question.mail_from))
        there.drive(SOON)
        assert ("operator", "contact_bounced") in there.alerts()
        assert len(lies(there, "handled")) == 1


def test_a_contact_whose_question_is_refused_at_once_is_told_to_the_operator(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=FORMS, web=True) as there:
        there.sandbox.rule(CONTACT, "bounce_5.1.1")
        there.drive()
        assert there.alerts() == [("operator", "contact_bounced")]


# --- machines and people


def test_an_out_of_office_reply_acknowledges_nothing(database_url: str, tmp_path: Path) -> None:
    with told(tmp_path, database_url) as (there, asked, tag):
        automatic = "Auto-Submitted: auto-replied\n"
        away = mail(
            DESK,
            to=f"privacy+{tag}@example.org",
            headers=automatic,
            subject="Out of office",
            body="I am out of the office until Monday.",
        )
        comes(there, away)
        row = there.row(asked, "forms")
        assert (row.state, row.rung, there.alerts()) == (State.ACCEPTED, Rung.SENT, [])
        assert [kind for kind, _ in answers(there)] == ["automatic"]
        assert lies(there, "waiting") == []
        there.drive(6 * DAY)
        assert len(letters(there)) == 2, "the reminder still goes"
        there.sound()


def test_a_reply_waits_for_a_person_who_says_what_it_means(database_url: str, tmp_path: Path) -> None:
    with told(tmp_path, database_url) as (there, asked, tag):
        thread = f"In-Reply-To: <{tag}@example.org>\nAuthentication-Results: mx; dmarc=pass\n"
        raw = mail(DESK, headers=thread, body="done done done, nothing held, refused")
        comes(there, raw, mail(DESK, headers=thread, body="One more thing."))
        row = there.row(asked, "forms")
        assert (row.state, row.rung) == (State.ACCEPTED, Rung.SENT)
        assert there.alerts() == [("operator", "replied")], "once, however many there are"
        assert raw in lies(there, "waiting")
        assert len(there.service.read(incoming.unread)) == 2
        about = [
            len(there.service.read(lambda connection, one=one: incoming.unread(connection, one)))  # type: ignore[misc]  # because mypy does not infer a lambda's default
            for one in (asked.id, "r-another")
        ]
        assert about == [2, 0]
        assert answers(there)[0][1]["sender"] == "DMARC pass, says the receiving host"
        there.service.write(
            lambda unit: answer_by_hand(
                unit, there.service.controller, asked.id, "forms", AnswerKind.DONE, Author("Olli", "its reply"), "olli",
                there.clock.now(),
            )
        )  # fmt: skip
        there.drive(SOON)
        assert there.state(asked, "forms") is State.DECLARED_DONE
        assert there.service.read(incoming.unread) == frozenset()
        assert (len(lies(there, "waiting")), len(lies(there, "handled"))) == (0, 2)
        there.sound()


@pytest.mark.parametrize(
    ("sender", "to", "why"),
    [
        ("x@elsewhere.example", "privacy+{tag}@example.org", "other_domain"),
        ('"pat@stratosoft.example" <x@elsewhere.example>', "privacy+{tag}@example.org", "other_domain"),
        ("x@sub.stratosoft.example", "privacy+{tag}@example.org", "other_domain"),
        (OPERATOR, "privacy+{tag}@example.org", "other_domain"),
        (DESK, "privacy+DPS-7F3K2@example.org", "no_notice"),
        (DESK, FORGED, "no_notice"),
        (DESK, "privacy@example.org", "no_notice"),
    ],
)
def test_a_reply_with_a_wrong_reference_or_from_elsewhere_is_assigned_to_nothing(
    sender: str, to: str, why: str, tmp_path: Path
) -> None:
    with told(tmp_path, sqlite_url(tmp_path)) as (there, asked, tag):
        reference = there.rows(t.notice)[0].reference
        comes(there, mail(sender, to=to.format(tag=tag), subject=f"Re: [{reference}] Erasure notice - please confirm"))
        assert (there.state(asked, "forms"), there.row(asked, "forms").rung) == (State.ACCEPTED, Rung.SENT)
        assert [row.waits_for for row in there.rows(t.post)] == [why]
        assert len(lies(there, "waiting")) == 1
        assert [role for role, _ in there.alerts()] == ["operator"]
        for path in (there.folder / "mail" / "waiting").iterdir():
            path.unlink()
        there.drive(SOON)
        assert there.service.read(incoming.unread) == frozenset(), "taken away is read"


def test_no_word_and_no_sender_of_a_message_is_kept_outside_its_file(
    database_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with told(tmp_path, database_url) as (there, _, tag):
        canary = mail(
            "Kanary <kanary@stratosoft.example>", to=f"privacy+{tag}@example.org", body="kanary", subject="kanary"
        )
        comes(there, canary, mail("kanary@elsewhere.example", body="kanary"), b"\xff" * 1000 + b"kanary")
        kept = "".join(repr(list(there.rows(table))) for table in t.metadata.sorted_tables)
        kept += repr(answers(there)) + caplog.text + "".join(capfd.readouterr())
        assert "kanary" not in kept.lower()
        assert not list(there.folder.rglob("*kanary*"))


def test_our_own_operators_reply_to_a_task_is_a_reply(tmp_path: Path) -> None:
    (tmp_path / "mail" / "new").mkdir(parents=True)
    with installed(tmp_path, sqlite_url(tmp_path), processors='incoming = "mail/"\n' + NEWSLETTER, web=True) as there:
        there.sandbox.add(ADA, status="unsubscribed")
        asked = there.ask(Right.RECTIFICATION, ADA, id="crm-4711", changes={"email": "ada.new@example.org"})
        there.drive()
        assert there.state(asked) is State.HANDED_OVER
        tag = tag_of(there)
        comes(there, mail(OPERATOR, to=f"privacy+{tag}@example.org"), report(DELIVERED, envelope_id=tag))
        assert sorted(row.waits_for for row in there.rows(t.post)) == ["", "reply"]
        assert (there.state(asked), there.row(asked).rung) == (State.HANDED_OVER, Rung.NONE), (
            "the processor heard nothing"
        )


# --- what nobody can place


def by_hand(there: Installation, asked: Asked) -> State:
    controller, now = there.service.controller, there.clock.now()
    author = Author("Olli", "its reply")
    return there.service.write(
        lambda unit: answer_by_hand(unit, controller, asked.id, "forms", AnswerKind.REFUSED, author, "olli", now)
    )


REFUSAL = "Hello, we refuse: there is an unpaid invoice. Please telephone. Pat"


def test_a_bounce_with_a_machines_marks_waits_for_a_person_who_hears_of_it(database_url: str, tmp_path: Path) -> None:
    with told(tmp_path, database_url) as (there, asked, tag):
        automatic = "Return-Path: <>\nAuto-Submitted: auto-replied\nPrecedence: bulk\n"
        raw = mail(
            "Mail Delivery System <mailer-daemon@hoster.example>", to=f"bounce+{tag}@example.org", headers=automatic
        )
        comes(there, raw)
        assert lies(there, "waiting") == [raw]
        assert there.alerts() == [("operator", "unclear")]
        assert "may not have been delivered" in there.rows(t.alert)[0].subject
        assert there.state(asked, "forms") is State.ACCEPTED, "nobody has said yet what it is"
        there.sound()


@pytest.mark.parametrize("mark", ["auto-replied", "auto-generated"])
def test_what_the_contacts_own_machine_wrote_waits_unless_it_is_an_absence(mark: str, tmp_path: Path) -> None:
    with told(tmp_path, sqlite_url(tmp_path)) as (there, asked, tag):
        raw = mail(DESK, headers=f"Auto-Submitted: {mark}\nIn-Reply-To: <{tag}@example.org>\n", body=REFUSAL)
        comes(there, raw)
        assert (lies(there, "waiting"), there.alerts()) == ([raw], [("operator", "unclear")])
        assert by_hand(there, asked) is State.REFUSED


@pytest.mark.parametrize(
    ("headers", "alert"),
    [("", "replied"), ("Auto-Submitted: auto-replied\n", "unclear"), ("X-Autoreply: yes\n", "unclear")],
)
def test_a_refusal_in_an_absence_is_heard_whatever_marks_it_carries(headers: str, alert: str, tmp_path: Path) -> None:
    with told(tmp_path, sqlite_url(tmp_path)) as (there, asked, tag):
        subject = "Out of office: we will not delete this, we refuse"
        raw = mail(
            DESK, to=f"privacy+{tag}@example.org", headers=headers, subject=subject, body="I am away until Monday."
        )
        comes(there, raw)
        assert (lies(there, "waiting"), there.alerts()) == ([raw], [("operator", alert)])
        assert by_hand(there, asked) is State.REFUSED


@pytest.mark.parametrize("container", ["multipart/report", "multipart/mixed"])
def test_a_failed_report_counts_in_whatever_it_lies(container: str, tmp_path: Path) -> None:
    with told(tmp_path, sqlite_url(tmp_path)) as (there, asked, tag):
        raw = report(FAILED, to=f"bounce+{tag}@example.org")
        comes(there, raw.replace(b"multipart/report; report-type=delivery-status", container.encode()))
        assert there.state(asked, "forms") is State.ESCALATED
        assert there.alerts() == [("operator", "bounced")]


@pytest.mark.parametrize("headers", ["X-Auto-Response-Suppress: DR, OOF, AutoReply\n", "Precedence: list\n"])
def test_a_persons_refusal_is_heard_whatever_their_mail_system_puts_on_it(headers: str, tmp_path: Path) -> None:
    with told(tmp_path, sqlite_url(tmp_path)) as (there, asked, tag):
        raw = mail(DESK, to=f"privacy+{tag}@example.org", headers=headers, body=REFUSAL)
        comes(there, raw)
        assert (lies(there, "waiting"), there.alerts()) == ([raw], [("operator", "replied")])
        month = month_report(there.service, there.clock.now())
        assert month.verdict is Verdict.NEEDS_A_DECISION
        assert [one.sentence.startswith("Read 1 message") for one in month.duties] == [True]
        assert by_hand(there, asked) is State.REFUSED
        assert not [one for one in month_report(there.service, there.clock.now()).duties if "Read" in one.sentence]


@pytest.mark.parametrize(
    ("sender", "to", "alert"),
    [
        ("robot@elsewhere.example", "privacy+{tag}@example.org", "unclear"),
        (DESK, "privacy@example.org", "post"),
    ],
)
def test_a_machine_that_nobody_can_place_is_never_left_to_a_folder(
    sender: str, to: str, alert: str, tmp_path: Path
) -> None:
    with told(tmp_path, sqlite_url(tmp_path)) as (there, _, tag):
        comes(there, mail(sender, to=to.format(tag=tag), headers="Auto-Submitted: auto-replied\n"))
        assert len(lies(there, "waiting")) == 1
        assert there.alerts() == [("operator", alert)]


def test_an_absence_in_answer_to_the_question_for_the_contact_bothers_nobody(tmp_path: Path) -> None:
    (tmp_path / "mail").mkdir()
    with installed(tmp_path, sqlite_url(tmp_path), processors=WITH_FOLDER, web=True) as there:
        there.drive()
        (question,) = there.sandbox.messages(CONTACT)
        automatic = "Auto-Submitted: auto-replied\n"
        raw = mail(DESK, to=question.mail_from, headers=automatic, subject="Out of office", body="I am on leave.")
        (there.folder / "mail" / "a.eml").write_bytes(raw)
        there.drive(SOON)
        assert (lies(there, "handled"), there.alerts()) == ([raw], [])


# --- the whole way: an imitated mail system answers our own letters into the folder


@pytest.mark.parametrize(
    ("behaviour", "state", "rung", "alerts"),
    [
        ("delivered", State.ACCEPTED, Rung.DELIVERED, []),
        ("relayed", State.ACCEPTED, Rung.SENT, []),
        ("expanded", State.ACCEPTED, Rung.SENT, []),
        ("delay_then_deliver", State.ACCEPTED, Rung.DELIVERED, [("operator", "delayed")]),
        ("bounce_later", State.ESCALATED, Rung.SENT, [("operator", "bounced")]),
        ("out_of_office", State.ACCEPTED, Rung.SENT, []),
        ("silent", State.ACCEPTED, Rung.SENT, []),
        ("ack_reply", State.ACCEPTED, Rung.SENT, [("operator", "replied")]),
        ("reply_wrong_ref", State.ACCEPTED, Rung.SENT, [("operator", "post")]),
    ],
)
def test_what_a_mail_system_and_people_send_back_to_a_letter_is_taken_for_what_it_is(
    behaviour: str, state: State, rung: Rung, alerts: list[tuple[str, str]], tmp_path: Path
) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=WITH_FOLDER, web=True) as there:
        there.sandbox.seed({"mail": {"directory": str(tmp_path / "mail")}})
        (tmp_path / "mail").mkdir()
        confirmed(there)
        there.sandbox.rule(CONTACT, behaviour, remark="Done, all of it.")
        asked = ask(there)
        there.drive()
        there.sandbox.messages(settled=True)
        there.drive(SOON)
        row = there.row(asked, "forms")
        assert (row.state, row.rung, there.alerts()) == (state, rung, alerts)
        assert lies(there, "new") == []
        there.sound()


def test_an_opened_letter_is_an_answered_one_only_by_the_button(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=WITH_FOLDER, web=True) as there:
        there.sandbox.seed({"mail": {"directory": str(tmp_path / "mail")}})
        (tmp_path / "mail").mkdir()
        confirmed(there)
        there.sandbox.rule(CONTACT, "scanner_prefetch", "delivered", "out_of_office")
        asked = ask(there)
        there.drive()
        there.sandbox.messages(settled=True)
        there.drive(SOON)
        assert (there.state(asked, "forms"), there.row(asked, "forms").rung) == (State.ACCEPTED, Rung.DELIVERED)


# --- the folder


def test_a_message_that_was_recorded_before_a_crash_is_moved_and_not_recorded_again(tmp_path: Path) -> None:
    with told(tmp_path, sqlite_url(tmp_path)) as (there, _, tag):
        for raw in (report(DELIVERED, envelope_id=tag), mail(DESK, to=f"privacy+{tag}@example.org")):
            found = read(raw, sha256(raw).hexdigest())
            there.service.write(
                lambda unit, found=found: incoming.take(unit, there.service.controller, found, there.clock.now())  # type: ignore[misc]  # because mypy does not infer a lambda's default
            )
            comes(there, raw)
        assert [kind for kind, _ in answers(there)] == ["delivered", "reply"]
        assert (len(lies(there, "handled")), len(lies(there, "waiting"))) == (1, 1)
        assert len(there.service.read(incoming.unread)) == 1
        there.sound()


def test_only_whole_files_of_the_folder_itself_are_read(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "tmp").mkdir()
    (tmp_path / "cur").mkdir()
    secret = tmp_path / "elsewhere"
    secret.write_bytes(b"secret")
    (tmp_path / "new" / "link").symlink_to(secret)
    (tmp_path / "link.eml").symlink_to(secret)
    os.mkfifo(tmp_path / "pipe.eml")
    (tmp_path / "folder.eml").mkdir()
    for name in ("new/.half", ".half.eml", "tmp/half", "cur/read:2,S", "other.txt"):
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "Ada Lovelace.eml").write_bytes(b"whole")
    taken: list[Incoming] = []

    def take(one: Incoming) -> bool:
        taken.append(one)
        return False

    assert take_in(tmp_path, take) == 1
    assert [one.digest for one in taken] == [sha256(b"whole").hexdigest()]
    assert [path.name for path in (tmp_path / "handled").iterdir()] == [f"{taken[0].digest}.eml"]
    assert take_in(tmp_path, take) == 0


def test_a_long_message_is_known_by_all_of_it_and_read_by_its_beginning(tmp_path: Path) -> None:
    found: list[Incoming] = []
    for end in (b"a", b"b"):
        (tmp_path / "x.eml").write_bytes(mail(body="x" * (LOOKED_AT + 1000)) + end)
        take_in(tmp_path, lambda one: bool(found.append(one)))  # type: ignore[func-returns-value]  # because nothing waits here
    assert found[0].digest != found[1].digest
    assert {one.kind for one in found} == {incoming.MailKind.REPLY}


def test_one_file_that_cannot_be_moved_keeps_no_other_waiting_and_is_told(tmp_path: Path) -> None:
    for number, text in enumerate((b"stuck", b"free")):
        path = tmp_path / f"{number}.eml"
        path.write_bytes(text)
        os.utime(path, (1000 + number, 1000 + number))
    (tmp_path / "handled" / f"{sha256(b'stuck').hexdigest()}.eml").mkdir(parents=True)
    with pytest.raises(OSError, match=r"0\.eml"):
        take_in(tmp_path, lambda _: False)
    assert [path.name for path in tmp_path.glob("*.eml")] == ["0.eml"]


def test_a_flood_is_taken_in_parts_the_oldest_first(tmp_path: Path) -> None:
    for number in range(AT_ONCE + 1):
        path = tmp_path / f"{number}.eml"
        path.write_bytes(b"%d" % number)
        os.utime(path, (1000 - number, 1000 - number))
    assert take_in(tmp_path, lambda _: False) == AT_ONCE
    assert [path.name for path in tmp_path.glob("*.eml")] == ["0.eml"]


def test_a_folder_that_is_not_there_is_told_to_the_operator_and_stops_no_other_job(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=WITH_FOLDER, web=True) as there:
        there.drive()
        assert there.alerts() == [("operator", "job")]
        assert any(b"job post" in one.raw for one in there.sandbox.messages(OPERATOR))


def test_check_says_what_waits_and_where(tmp_path: Path) -> None:
    with told(tmp_path, sqlite_url(tmp_path)) as (there, _, tag):
        assert [line.verdict for line in _incoming(there.service)] == ["ok"]
        comes(there, mail(DESK, to=f"privacy+{tag}@example.org"))
        (line,) = _incoming(there.service)
        assert (line.verdict, line.text) == (
            "waiting", f"1 message for a person to read, in {there.folder / 'mail' / 'waiting'}"
        )  # fmt: skip
