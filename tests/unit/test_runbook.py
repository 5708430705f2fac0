"""The runbook has an entry for each alert and each code, and for nothing else; an alert leads to its entry."""

import re
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine, insert, select

from dpsync.__main__ import main
from dpsync.alert_causes import AlertCause, cause_of
from dpsync.alerts import raise_alert
from dpsync.channels import Alert, Delivery
from dpsync.cli.catalogue import ALERTS_EXPLAINED, CATALOGUE, Explained
from dpsync.errors import Exit
from dpsync.outbox import Outbox
from dpsync.propagation.alert_texts import ALERTS
from dpsync.store.database import reading, writing
from dpsync.store.tables import alert

SOURCE = Path(__file__).parents[2] / "src" / "dpsync"
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
ENTRIES = {**ALERTS_EXPLAINED, **CATALOGUE}


def source() -> str:
    """All of it but the list of causes and the commands; a text that is written in several lines is one."""
    found = [path for path in SOURCE.rglob("*.py") if path.name != "alert_causes.py" and "cli" not in path.parts]
    return re.sub(r'"\s*\n\s*"', "", "\n".join(path.read_text(encoding="utf-8") for path in found))


def test_every_cause_of_an_alert_has_an_entry_and_no_other_word_has() -> None:
    assert list(ALERTS_EXPLAINED) == [cause.value for cause in AlertCause]


def test_no_cause_stands_for_an_alert_that_nothing_raises_any_more() -> None:
    named = set(re.findall(r"(?<!== )\bAlertCause\.([A-Z0-9_]+)", source()))  # a comparison raises none
    assert {cause.value for cause in AlertCause if cause.name not in named} == set(ALERTS)


def test_the_entry_of_an_alert_has_the_subject_that_the_reader_sees() -> None:
    said = source()
    assert [cause for cause, one in ALERTS_EXPLAINED.items() if f'"{one.title}"' not in said] == []
    assert {cause: ALERTS_EXPLAINED[cause].title for cause in ALERTS} == {
        cause: one[1] for cause, one in ALERTS.items()
    }


def test_each_entry_says_all_four_things_in_whole_sentences() -> None:
    for name, one in ENTRIES.items():
        assert not one.title.endswith("."), name
        for part in (one.meaning, one.if_ignored, one.way_out, one.worked):
            assert part.rstrip("`").endswith((".", ":")), name


def test_an_entry_explains_all_or_is_none() -> None:
    with pytest.raises(TypeError):
        Explained(title="A fault", meaning="It is.", way_out="Mend it.")  # type: ignore[call-arg]  # because two parts are missing


@pytest.mark.parametrize("word", ["bounced", "BOUNCED", "bounced-deputy"])
def test_explain_knows_an_alert_by_its_word(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", word]) == Exit.DONE
    said = capsys.readouterr().out
    assert said.startswith("bounced: A notice could not be delivered.")
    assert "If nobody does anything: " in said
    assert "It worked if: " in said


class Heard:
    """A channel that keeps what it is given."""

    name = "heard"

    def __init__(self) -> None:
        self.all: list[Alert] = []

    def send(self, message: Alert) -> Delivery:
        """Keep it."""
        self.all.append(message)
        return Delivery(self.name, took=True, detail="")


@pytest.mark.parametrize("also", [False, True])
def test_an_alert_ends_with_the_command_that_explains_it(engine: Engine, also: bool) -> None:
    heard = Heard()
    with writing(engine) as connection:
        raise_alert(
            connection, cause=AlertCause.TARGET_DPO, role="deputy", subject="s", body="b", now=NOW,
            zone=ZoneInfo("Europe/London"), also=also,
        )  # fmt: skip
    with reading(engine) as connection:
        stored = connection.execute(select(alert.c.cause)).scalar_one()
    assert stored == ("target-dpo-deputy" if also else "target-dpo")
    assert cause_of(stored) is AlertCause.TARGET_DPO

    def call(work):  # type: ignore[no-untyped-def]  # because it takes and gives whatever the outbox does
        with writing(engine) as connection:
            return work(connection)

    Outbox([heard]).send_due(call, call, NOW)
    assert heard.all[0].body.endswith("`dpsync explain target-dpo`")


def test_a_word_of_another_version_is_sent_without_a_command_that_would_fail(engine: Engine) -> None:
    heard = Heard()
    with writing(engine) as connection:
        row = {"cause": "of-another-version", "role": "operator", "subject": "s", "body": "Look.", "created_at": NOW}
        connection.execute(insert(alert).values(row | {"day": "2026-11-24", "part": 1, "due_at": NOW, "attempts": 0}))

    def call(work):  # type: ignore[no-untyped-def]  # because it takes and gives whatever the outbox does
        with writing(engine) as connection:
            return work(connection)

    Outbox([heard]).send_due(call, call, NOW)
    assert heard.all[0].body == "Look."
