"""Complaints: their two dates, their steps, who is reminded when, and what they hold."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from sqlalchemy import update

from dpsync.__main__ import main
from dpsync.cases import complaints as steps
from dpsync.cases.acts import acts, words_of
from dpsync.cases.complaints import evidence_held, open_complaint
from dpsync.cases.incidents import IncidentKind, propose
from dpsync.cases.standing import complaint_tally
from dpsync.cases.values import Channel, Complainant, Complaint, NewComplaint, PersonTold, Result, Topic
from dpsync.errors import DecisionRefused, NotFound, UsageError
from dpsync.ledger.entry import decode
from dpsync.model import Right
from dpsync.propagation.decisions import Person
from dpsync.reports.formats import Format
from dpsync.reports.make import period_of
from dpsync.reports.page_one import paragraphs
from dpsync.reports.period import PeriodReport
from dpsync.reports.render import rendered
from dpsync.running.jobs import climb_cases
from dpsync.store import tables as t
from dpsync.store.case_tables import case_act
from tests.journeys.installation import FORMS, Installation, differences, installed, sqlite_url

pytestmark = pytest.mark.no_database

DAY = timedelta(days=1)
WHO = Person("Dana Officer", "dana", "she rang twice")
DEPUTY = ("rehearsal = true", 'rehearsal = true\ndeputy = "deputy@example.org"')


def came(there: Installation, **more: object) -> Complaint:
    new = replace(NewComplaint(there.clock.now(), Channel.PHONE, (Topic.DELAY,)), **more)  # type: ignore[arg-type]  # because the fields are given by name
    service, now = there.service, there.clock.now()
    return service.write(lambda unit: open_complaint(unit, service.controller, new, WHO, now))


def told(there: Installation, on: date | None = None) -> PersonTold:
    return PersonTold(on or there.clock.now().date(), Channel.MAIL, "ab" * 32)


def step(there: Installation, what: str, one: Complaint, *more: object) -> Complaint:
    service, now = there.service, there.clock.now()
    done: Complaint = service.write(
        lambda unit: getattr(steps, what)(unit, service.controller, one.id, *more, WHO, now)
    )
    return done


def climbed(there: Installation, after: timedelta = timedelta(0)) -> list[tuple[str, str]]:
    """Turn the clock, run the job, and give the alerts that are new: role and cause."""
    before = len(there.alerts())
    there.clock.advance(after)
    climb_cases(there.service, there.clock.now())
    return there.alerts()[before:]


def test_a_complaint_goes_from_receipt_to_outcome_and_stands_in_the_ledger(database_url: str, tmp_path: Path) -> None:
    with installed(tmp_path, database_url, processors=FORMS) as there:
        one = there.ask(Right.ERASURE, "ada@example.org")
        made = came(there, about=(one.id,), processors=("forms",), note="about Ada")
        assert (made.strict_on, made.due_on) == (date(2026, 12, 19), date(2026, 12, 21))
        assert there.service.read(evidence_held) == {one.id}
        there.clock.advance(3 * DAY)
        assert step(there, "acknowledge", made, told(there)).acknowledged == told(there)
        there.clock.advance(10 * DAY)
        assert step(there, "progress", made, told(there)).heard_on == date(2026, 12, 3)
        ended = step(there, "decide", made, Result.PARTLY, told(there))
        assert (ended.open, ended.result, ended.closed_at) == (False, Result.PARTLY, there.clock.now())
        assert there.service.read(evidence_held) == set()
        assert step(there, "escalate", made, there.clock.now().date(), "ICO", "IC-1").escalated_on is not None
        assert there.service.read(evidence_held) == {one.id}
        final = step(there, "decide", made, Result.UPHELD, told(there))
        assert (final.result, there.service.read(evidence_held)) == (Result.UPHELD, set())
        entries = [decode(row.body) for row in there.rows(t.entry)]
        of_it = [entry for entry in entries if str(entry.get("ref", "")) == made.id]
        assert [entry["event"] for entry in of_it] == [
            *("complaint_received", "complaint_acknowledged", "complaint_progress", "complaint_outcome"),
            *("complaint_escalated", "complaint_outcome"),
        ]
        assert (of_it[0]["strict"], of_it[0]["due"], of_it[0]["n"]) == ("2026-12-19", "2026-12-21", 1)
        assert of_it[1]["digest"] == "ab" * 32
        assert not any("Dana" in str(entry) or "rang" in str(entry) or "Ada" in str(entry) for entry in of_it)
        there.sound()
        first = there.service.read(lambda connection: acts(connection, "C", made.id))[made.id][0]
        assert words_of(there.service.keys, first) == {
            "by": "Dana Officer",
            "reason": "she rang twice",
            "note": "about Ada",
        }


def test_a_step_that_was_changed_by_hand_is_found(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=FORMS) as there:
        made = came(there)
        step(there, "acknowledge", made, told(there))
        changed = update(case_act).where(case_act.c.kind == "complaint_acknowledged")
        there.service.write(
            lambda unit: unit.connection.execute(changed.values(said='{"how":"mail","on":"2026-11-21"}'))
        )
        assert [one.split(" ")[:2] for one in differences(there.service)] == [["case_act:", "said"]]
        there.service.write(lambda unit: unit.connection.execute(case_act.delete()))
        assert any("it is not there" in one for one in differences(there.service))


def test_who_is_silent_is_reminded_on_days_seven_twenty_and_each_day_from_25(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=FORMS) as there:
        there.restart(DEPUTY)
        came(there)
        assert climbed(there, 6 * DAY) == []
        assert climbed(there, DAY) == [("dpo", "complaint-7")]
        assert climbed(there, DAY) == []
        assert climbed(there, 12 * DAY) == [("dpo", "complaint-20"), ("deputy", "complaint-20-deputy")]
        assert climbed(there, 4 * DAY) == []
        for _ in range(8):  # past the legal date, too
            assert climbed(there, DAY) == [("dpo", "complaint-25"), ("deputy", "complaint-25-deputy")]
            assert climbed(there) == []
        assert "acknowledge by 19 Dec 2026 (at the latest 21 Dec 2026)" in there.told()[0].text
        assert "dpsync complaint acknowledge ID --on DATE --by NAME" in " ".join(there.told()[0].text.split())
        there.sound()


def test_three_weeks_of_silence_are_a_question_to_the_dpo_each_week(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=FORMS) as there:
        made = came(there)
        step(there, "acknowledge", made, told(there))
        assert climbed(there, 20 * DAY) == []
        assert climbed(there, DAY) == [("dpo", "complaint-silent")]
        assert climbed(there, 6 * DAY) == []
        assert climbed(there, DAY) == [("dpo", "complaint-silent")]
        step(there, "progress", made, told(there))
        assert climbed(there, 20 * DAY) == []
        step(there, "decide", made, Result.NOT_UPHELD, told(there))
        assert climbed(there, 60 * DAY) == []


def test_outside_the_uk_and_before_the_law_no_date_is_set_and_silence_still_counts(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=FORMS) as there:
        early = came(there, received_at=datetime(2026, 6, 12, 9, tzinfo=UTC))
        assert (early.strict_on, early.due_on, early.late(date(2027, 1, 1))) == (None, None, False)
        there.restart(
            ("rehearsal = true", 'rehearsal = true\nregime = "eu"\ncountry = "IE"\ntime_zone = "Europe/Dublin"')
        )
        made = came(there)
        assert (made.due_on, made.rule) == (None, "no statutory date")
        assert climbed(there, 22 * DAY) == [("dpo", "complaint-silent")]


def test_what_cannot_be_recorded_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=FORMS) as there:
        today, tomorrow = there.clock.now().date(), there.clock.now().date() + DAY
        with pytest.raises(UsageError, match="--authority-checked"):
            came(there, by=Complainant.REPRESENTATIVE)
        with pytest.raises(UsageError, match="--topic"):
            came(there, topics=())
        with pytest.raises(NotFound, match="no request r-NONE"):
            came(there, about=("r-NONE",))
        with pytest.raises(NotFound, match="no processor nowhere"):
            came(there, processors=("nowhere",))
        with pytest.raises(DecisionRefused, match="in the future"):
            came(there, received_at=there.clock.now() + DAY)
        made = came(there)
        with pytest.raises(DecisionRefused, match="in the future"):
            step(there, "acknowledge", made, told(there, tomorrow))
        with pytest.raises(DecisionRefused, match="before 20 Nov 2026"):
            step(there, "acknowledge", made, told(there, today - DAY))
        step(there, "decide", made, Result.UPHELD, told(there))
        for what in (("acknowledge",), ("progress",), ("decide", Result.PARTLY)):
            with pytest.raises(DecisionRefused):
                step(there, what[0], made, *what[1:], told(there))
        again = came(there)
        step(there, "acknowledge", again, told(there))
        with pytest.raises(DecisionRefused, match="acknowledged already"):
            step(there, "acknowledge", again, told(there))


def test_an_outcome_is_not_told_before_the_acknowledgement_or_the_escalation(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=FORMS) as there:
        first = there.clock.now().date()
        made = came(there)
        with pytest.raises(DecisionRefused, match="before 20 Nov 2026, when it was received"):
            step(there, "decide", made, Result.UPHELD, told(there, first - DAY))
        there.clock.advance(10 * DAY)
        step(there, "acknowledge", made, told(there, first + 3 * DAY))
        with pytest.raises(DecisionRefused, match="before 23 Nov 2026, when it was acknowledged"):
            step(there, "decide", made, Result.UPHELD, told(there, first + 2 * DAY))
        step(there, "progress", made, told(there, first + DAY))
        step(there, "decide", made, Result.PARTLY, told(there, first + 3 * DAY))
        step(there, "escalate", made, first + 5 * DAY, "ICO", "IC-1")
        with pytest.raises(DecisionRefused, match="before 25 Nov 2026, since when it is with the authority"):
            step(there, "decide", made, Result.UPHELD, told(there, first + 4 * DAY))
        final = step(there, "decide", made, Result.UPHELD, told(there, first + 5 * DAY))
        assert (final.escalated_on, final.with_authority, final.holds) == (first + 5 * DAY, False, False)


def test_an_outcome_within_the_thirty_days_is_the_acknowledgement_too(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=FORMS) as there:
        made = came(there)
        there.clock.advance(5 * DAY)
        ended = step(there, "decide", made, Result.UPHELD, told(there))
        assert ended.acknowledged_on == date(2026, 11, 25)
        assert not ended.late(date(2027, 3, 1))
        late = came(there)
        there.clock.advance(40 * DAY)
        assert step(there, "decide", late, Result.UPHELD, told(there)).late(date(2027, 3, 1))


def test_the_report_counts_complaints_and_incidents_and_says_what_is_to_be_done(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=FORMS) as there:
        service = there.service

        def report() -> PeriodReport:
            return period_of(service, date(2026, 11, 1), date(2026, 12, 31), there.clock.now())

        assert (report().cases.said, report().duties) == ((), ())
        made, kind = came(there), IncidentKind.WRONG_RECIPIENT
        there.clock.advance(2 * DAY)
        now = there.clock.now()
        service.write(lambda unit: propose(unit, service.controller, kind, "a cause", now, (), now))
        found = report()
        assert found.cases.said[0] == "1 complaint came in, 0 got an outcome, 1 open now."
        assert "0 open and 1 proposed" in found.cases.said[2]
        assert [(one.overdue, one.by) for one in found.duties] == [
            (False, date(2026, 11, 25)),
            (False, date(2026, 12, 19)),
        ]
        for form in (Format.HTML, Format.TEXT, Format.JSON):
            assert b"1 complaint came in" in rendered(found, form)
        assert any("Complaints, incidents and held evidence" in part for part in paragraphs(found))
        there.clock.advance(30 * DAY)
        late = report()
        assert [one.overdue for one in late.duties] == [True, True]
        assert late.duties[1].command == f"dpsync complaint acknowledge {made.id} --on DATE --by NAME"
        step(there, "acknowledge", made, told(there))
        answers = [one.command for one in report().duties if made.id in one.command]
        assert answers == [f"dpsync complaint outcome {made.id} RESULT --on DATE --by NAME --reason WHY"]
        assert "1 of those that came in were not acknowledged by the legal date." in late.cases.said


def test_the_tally_counts_by_month_and_says_what_is_late() -> None:
    def one(received: date, acknowledged: date | None, outcome: date | None) -> Complaint:
        return Complaint(
            id="C-1",
            received_at=datetime(2026, 11, 1, tzinfo=UTC),
            received_on=received,
            channel=Channel.MAIL,
            by=Complainant.SUBJECT,
            about=(),
            processors=(),
            topics=(Topic.DELAY,),
            contains="",
            authority_checked_on=None,
            strict_on=received + 29 * DAY,
            due_on=received + 30 * DAY,
            rule="a rule",
            acknowledged=PersonTold(acknowledged, Channel.MAIL) if acknowledged else None,
            result=Result.UPHELD if outcome else None,
            told=PersonTold(outcome, Channel.MAIL) if outcome else None,
        )

    found = [
        one(date(2026, 10, 5), date(2026, 10, 6), date(2026, 11, 5)),  # 31 days
        one(date(2026, 11, 2), date(2026, 12, 3), date(2026, 12, 3)),  # acknowledged a day late; ended later
        one(date(2026, 11, 10), None, None),
        one(date(2026, 11, 20), date(2026, 11, 21), date(2026, 11, 30)),  # 10 days
    ]
    tally = complaint_tally(found, date(2026, 10, 1), date(2026, 11, 30), date(2026, 12, 20))
    assert tally.received == (("2026-10", 1), ("2026-11", 3))
    assert (tally.total, tally.closed, tally.open, tally.unacknowledged) == (4, 2, 1, 1)
    assert (tally.acknowledged_late, tally.median_days) == (2, 20.5)
    nothing = complaint_tally([], date(2026, 10, 1), date(2026, 11, 30), date(2026, 12, 20))
    assert (nothing.anything, nothing.median_days) == (False, None)


# --- by command


def ran(folder: Path, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    capsys.readouterr()
    code = main(["--config", str(folder / "dpsync.toml"), *words])
    said = capsys.readouterr()
    return code, said.out + said.err


CONFIG = """
[controller]
name = "Example Gardens"
dpo = "dpo@example.org"
operator = "it@example.org"
rehearsal = true

[ledger]
origin = "example.org/complaints"

[processors.forms]
connector = "notice"
contact = "privacy@stratosoft.example"
"""


def test_by_command_a_right_that_is_hidden_in_a_complaint_becomes_a_request_of_the_same_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "dpsync.toml").write_text(CONFIG, encoding="utf-8")
    by = ("--by", "Dana Officer")
    assert ran(tmp_path, capsys, "init")[0] == 0
    opened = ("complaint", "open", "--received", "2026-11-02", "--channel", "social", "--topic", "erasure", *by)
    code, said = ran(tmp_path, capsys, *opened, "--contains", "erasure", "--email", "ada@example.org")
    assert code == 0, said
    case_id = said.split()[0]
    assert "acknowledge by Tue 1 Dec 2026, at the latest Wed 2 Dec 2026" in said
    code, listed = ran(tmp_path, capsys, "status", "--json")
    assert '"received_at": "2026-11-02T00:00:00Z"' in listed
    assert ran(tmp_path, capsys, *opened, "--contains", "rectification", "--email", "ada@example.org")[0] == 64
    assert ran(tmp_path, capsys, *opened, "--channel", "pigeon")[0] == 64
    letter = tmp_path / "letter.txt"
    letter.write_text("Dear Ada", encoding="utf-8")
    on = ("--on", "2026-11-03", *by)
    code, said = ran(tmp_path, capsys, "complaint", "acknowledge", case_id[2:6].lower(), *on, "--letter", str(letter))
    assert (code, "open, acknowledged" in said) == (0, True)
    assert ran(tmp_path, capsys, "complaint", "progress", case_id, *on, "--note", "still looking")[0] == 0
    assert ran(tmp_path, capsys, "complaint", "outcome", case_id, "upheld", *on, "--reason", "we were slow")[0] == 0
    code, said = ran(tmp_path, capsys, "complaint", "list")
    assert (code, case_id in said) == (0, False)
    assert ran(tmp_path, capsys, "complaint", "escalate", case_id, *on, "--reference", "IC-123")[0] == 0
    code, said = ran(tmp_path, capsys, "complaint", "list")
    assert (case_id in said, "with the authority" in said) == (True, True)
    code, said = ran(tmp_path, capsys, "complaint", "show", case_id)
    assert (code, "still looking" in said, "IC-123" in said, "Information Commissioner" in said) == (
        0,
        True,
        True,
        True,
    )
    assert ran(tmp_path, capsys, "verify")[0] == 0


def test_by_command_what_was_told_is_shown_and_an_ended_complaint_reminds_nobody(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "dpsync.toml").write_text(CONFIG, encoding="utf-8")
    letter = tmp_path / "letter.txt"
    letter.write_text("Dear Ada", encoding="utf-8")
    digest = sha256(b"Dear Ada").hexdigest()
    by, reminds = ("--by", "Dana Officer"), "It reminds the data protection officer"
    assert ran(tmp_path, capsys, "init")[0] == 0
    opened = ("complaint", "open", "--received", "2026-11-02", "--channel", "mail", "--topic", "delay", *by)
    code, said = ran(tmp_path, capsys, *opened)
    assert (code, reminds in said) == (0, True)
    case_id = said.split()[0]
    sent = ("--on", "2026-11-03", "--how", "post", "--letter", str(letter), *by)
    assert ran(tmp_path, capsys, "complaint", "acknowledge", case_id, *sent)[0] == 0
    assert ran(tmp_path, capsys, "complaint", "escalate", case_id, "--on", "2026-11-04", *by)[0] == 0
    ended = ("complaint", "outcome", case_id, "not_upheld", "--on", "2026-11-05", "--reason", "it was in time", *by)
    code, said = ran(tmp_path, capsys, *ended)
    assert (code, reminds in said, "dpsync writes to nobody." in said) == (0, False, True)
    _, shown = ran(tmp_path, capsys, "complaint", "show", case_id)
    lines = shown.splitlines()
    assert any(
        f"acknowledged  told on Tue 3 Nov 2026 by post; SHA-256 of the letter {digest}" in line for line in lines
    )
    assert any("escalated  since Wed 4 Nov 2026; by: Dana Officer" in line for line in lines)
    assert any("outcome  not upheld; told on Thu 5 Nov 2026 by mail; by: Dana Officer" in line for line in lines)
    _, listed = ran(tmp_path, capsys, "complaint", "list", "--all", "--json")
    assert ('"escalated_on": "2026-11-04"' in listed, '"with_authority": false' in listed) == (True, True)
    assert "not upheld" in ran(tmp_path, capsys, "complaint", "list", "--all")[1]


def test_by_command_what_would_be_dropped_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "dpsync.toml").write_text(CONFIG, encoding="utf-8")
    assert ran(tmp_path, capsys, "init")[0] == 0
    opened = ("complaint", "open", "--received", "2026-11-02", "--channel", "mail", "--topic", "delay", "--by", "Dana")
    for more, sentence in (
        (("--email", "ada@example.org"), "say with --contains which right is asked for"),
        (("--id", "crm-1"), "say with --contains which right is asked for"),
        (("--authority-checked", "2026-11-02"), "give it with --representative"),
    ):
        code, said = ran(tmp_path, capsys, *opened, *more)
        assert (code, sentence in said) == (64, True), said
    checked = ("--representative", "--authority-checked", "2026-11-02")
    assert ran(tmp_path, capsys, *opened, *checked)[0] == 0


def test_the_list_of_complaints_needs_no_secret(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    section = '\n[processors.newsletter]\nconnector = "mailchimp"\ncontact = "a@example.org"\n'
    config = CONFIG + section + 'api_key = { env = "DPSYNC_TEST_ABSENT" }\n'
    (tmp_path / "dpsync.toml").write_text(config, encoding="utf-8")
    monkeypatch.setenv("DPSYNC_TEST_ABSENT", "key-us1")
    assert ran(tmp_path, capsys, "init")[0] == 0
    monkeypatch.delenv("DPSYNC_TEST_ABSENT")
    assert ran(tmp_path, capsys, "complaint", "list")[0] == 0
