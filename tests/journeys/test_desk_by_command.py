"""What the commands tell a DPO: what waits elsewhere, what is odd about what they record, and what is late."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dpsync.__main__ import main
from tests.journeys.test_complaints import CONFIG
from tests.unit.test_reports import untagged

Run = Callable[..., tuple[int, str]]
BY = ("--by", "Dana Officer")
DAY = timedelta(days=1)


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    (tmp_path / "dpsync.toml").write_text(CONFIG, encoding="utf-8")

    def ran(*words: str) -> tuple[int, str]:
        capsys.readouterr()
        code = main(["--config", str(tmp_path / "dpsync.toml"), *words])
        said = capsys.readouterr()
        return code, " ".join((said.out + said.err).split())

    assert ran("init")[0] == 0
    return ran


def ago(days: int) -> str:
    return (datetime.now(UTC) - days * DAY).date().isoformat()


def asked(run: Run, *words: str) -> str:
    code, said = run("submit", *(words or ("erasure", "--email", "ada@example.org")))
    assert code == 0, said
    return said.split()[0]


def test_a_lifting_of_what_was_never_restricted_is_warned_of_and_another_is_not(run: Run) -> None:
    never = "dpsync has no restriction of this person on its record"
    lift = ("restriction", "--lift-told-on", ago(0), "--lift-how", "letter", "--email")
    assert never in run("submit", *lift, "ada@example.org")[1]
    asked(run, "restriction", "--email", "ben@example.org")
    code, said = run("submit", *lift, "ben@example.org")
    assert (code, never in said) == (0, False)
    assert never in run("submit", *lift, "eve@example.org")[1], "nobody else's restriction counts"


def test_one_processor_is_one_processor(run: Run) -> None:
    assert "the request, 1 processor to tell" in run("submit", "erasure", "--email", "ada@example.org")[1]


def test_a_complaint_about_a_later_request_is_warned_of(run: Run) -> None:
    request = asked(run)
    opened = ("complaint", "open", "--channel", "mail", "--topic", "delay", "--about", request, *BY, "--received")
    code, said = run(*opened, ago(3))
    assert (code, f"Request {request[:8]} was received on" in said, "after the complaint" in said) == (0, True, True)
    assert "after the complaint" not in run(*opened, ago(0))[1]


def test_status_names_what_waits_elsewhere_and_never_says_that_nothing_is_late(run: Run) -> None:
    request = asked(run)
    code, said = run("status")
    assert (code, "Nothing is late." in said, "Complaint" in said) == (0, True, False)
    case = run("complaint", "open", "--received", ago(60), "--channel", "mail", "--topic", "delay", *BY)[1].split()[0]
    late = run("incident", "open", "--what", "a wrong address", "--aware", ago(5), "--about", request, *BY)[1]
    assert "the 72 hours are over since" in late
    assert "decide now whether the authority is told" in late
    incident = late.split()[0]
    code, said = run("status", "--fail-on", "late")
    assert code == 2
    assert f"Complaint {case}: Tell the person" in said
    assert f"Incident {incident}: decide whether" in said
    assert "2 of letters, complaints and incidents OVERDUE" in said
    assert "Nothing is late" not in said
    shown = json.loads(run("status", request, "--json")[1])
    assert [one["sentence"].split(":")[0] for one in shown["owed"]] == [f"Incident {incident}"], "only what is about it"
    soon = run("incident", "open", "--what", "a wrong address", *BY)[1]
    assert "you decide whether the authority is told, by" in soon


def test_a_letter_that_is_late_stands_in_report_status_and_dossier_until_it_is_recorded(run: Run) -> None:
    request = asked(run, "restriction", "--email", "ada@example.org", "--received", ago(29))
    owed = f"Write to the person of request {request[:8]}"
    assert owed in run("status")[1]
    assert owed in run("dossier", request)[1]
    _, report = run("report", "--from", ago(40), "--to", ago(0))
    assert owed in report
    assert "1 letter to a person is" in report
    told = ("told", request, "--kind", "refusal", "--on", ago(0), "--how", "post", *BY)
    assert run(*told)[0] == 0
    assert owed not in run("status")[1]
    assert owed not in run("report", "--from", ago(40), "--to", ago(0))[1]


def test_72_hours_stand_before_what_has_a_month(run: Run) -> None:
    asked(run)
    asked(run, "opt_out", "--email", "ben@example.org")
    asked(run, "restriction", "--email", "eve@example.org")
    incident = run("incident", "open", "--what", "a wrong address", *BY)[1].split()[0]
    made = json.loads(run("-q", "report", "--from", ago(0), "--to", ago(0), "--format", "json")[1])
    days = [one["by"] for one in made["duties"]]
    assert days == sorted(days)
    assert any(incident in one["sentence"] for one in made["duties"][:2])


def test_the_dossier_has_letters_complaints_and_incidents_in_chapters_of_their_own(run: Run) -> None:
    request, other = asked(run), asked(run, "erasure", "--email", "ben@example.org")
    assert run("told", request, "--kind", "recipients", "--on", ago(0), "--how", "phone", *BY)[0] == 0
    opened = ("complaint", "open", "--received", ago(0), "--channel", "phone", "--topic", "delay")
    case = run(*opened, "--about", request, *BY)[1].split()[0]
    run("complaint", "acknowledge", case, "--on", ago(0), *BY)
    incident = run("incident", "open", "--what", "a wrong address", "--about", request, *BY)[1].split()[0]
    run("incident", "close", incident, "--finding", "not_a_breach", "--reason", "nobody read it", *BY)
    for form in ("text", "html"):
        said = untagged(run("dossier", request, "--format", form)[1])
        assert "who has the data (Art. 19)" in said
        assert "recorded by Dana Officer" in said
        assert f"Complaint {case} came on" in said
        assert "acknowledged on" in said
        assert f"Incident {incident} (other), aware" in said
        assert "not a breach" in said
        assert [one for one in (case, incident) if one in run("dossier", other, "--format", form)[1]] == []
    made = json.loads(run("dossier", request, "--format", "json")[1])
    assert [(one["to"], one["how"]) for one in made["letters"]] == [("the person", "phone")]
    assert len(made["cases"]) == 2


def test_what_a_source_sent_can_be_given_as_the_report_says(run: Run) -> None:
    asked(run)
    _, said = run("report", "--from", ago(3), "--to", ago(0))
    hint = f"dpsync report --from {ago(3)} --to {ago(0)} --sent command=N"
    assert hint in said
    given = hint.removeprefix("dpsync ").replace("=N", "=1").split()
    assert "the numbers agree" in run(*given)[1]
    assert "To compare" not in run(*given)[1]


def test_plan_takes_the_days_that_submit_takes(run: Run) -> None:
    days = ("--received", ago(10), "--identity-confirmed", ago(1), "--fee-paid", ago(2))
    person = ("restriction", "--email", "ada@example.org", *days)
    due = json.loads(run("plan", *person, "--json")[1])["due_on"]
    assert due > json.loads(run("plan", *person[:5], "--json")[1])["due_on"]
    fee = (*person[:5], "--fee-paid", ago(1))
    assert due == json.loads(run("plan", *fee, "--json")[1])["due_on"]
    request = asked(run, *person)
    (made,) = json.loads(run("status", request, "--json")[1])["requests"]
    assert made["due_on"] == due


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("letter", "REQUEST", "-o", "no/such/letter.html"), 64, "there is no folder no/such"),
        (("told", "REQUEST", "--letter", ".", "--on", ago(0), *BY), 64, "is a directory"),
        (("service", "show", "--user", "nobody-such"), 64, "this machine has no user nobody-such"),
        (("completion", "powershell"), 64, "'powershell' is not one of 'bash', 'zsh', 'fish'"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(words: tuple[str, ...], code: int, sentence: str, run: Run) -> None:
    request = asked(run)
    ended, said = run(*(request if word == "REQUEST" else word for word in words))
    assert (ended, sentence in said) == (code, True), said
    assert "is done" not in said
    assert "Value error" not in said
