"""What is kept of people and for how long is what the settings say, in every place that shows it."""

import pytest
from sqlalchemy import update

from dpsync.model import Right, State
from dpsync.reports import render
from dpsync.reports.kept import FOR_EVER, kept_lines
from dpsync.store import tables as t
from dpsync.store.database import writing
from tests.unit.test_reports import NOW, Rows, november
from tests.unit.test_settings import Folder, folder

__all__ = ["folder"]

DAYS = "after_days = 45"


def test_identifiers_are_kept_for_the_days_of_the_settings_and_without_them_for_ever(folder: Folder) -> None:
    name, key, *rest = kept_lines(folder.load(forgetting=DAYS))
    assert name.sentence == (
        "45 days after the request was finished everywhere ([forgetting] after_days; default: for ever, without the "
        "section)"
    )
    assert kept_lines(folder.load())[0].how_long == FOR_EVER
    assert key.sentence == (
        "30 days after all that is sealed under it is forgotten ([forgetting] keys_after_days; default: for ever, "
        "without the section)"
    )
    assert kept_lines(folder.load(forgetting="keys_after_days = 90"))[1].how_long.startswith("90 days after all")
    assert kept_lines(folder.load())[1].how_long == FOR_EVER
    pseudonyms = next(one for one in rest if one.what.startswith("Pseudonyms"))
    assert pseudonyms.how_long.startswith("6 years after the end of the last request of the person; of whoever opted")
    assert "still personal data" in pseudonyms.sentence


def test_pseudonyms_and_receipts_are_kept_for_the_years_of_the_settings(folder: Folder) -> None:
    kept = {
        one.what: one
        for one in kept_lines(folder.load(forgetting="pseudonyms_after_years = 6\nreceipts_after_years = 1"))
    }
    pseudonyms, receipts = kept["Pseudonyms of people"], kept["Receipts, in the receipts folder"]
    assert pseudonyms.how_long.startswith("6 years after the end of the last request of the person; of whoever opted")
    assert receipts.how_long.startswith("1 year after the end of its request")
    assert (pseudonyms.setting, receipts.setting) == (
        "[forgetting] pseudonyms_after_years",
        "[forgetting] receipts_after_years",
    )


@pytest.mark.parametrize(
    ("setting", "what"),
    [
        ("pseudonyms_after_years", "Pseudonyms of people"),
        ("proofs_after_years", "What leads from a name to the proof"),
        ("memories_after_years", "What connectors remember of people"),
        ("cases_after_years", "What was written of complaints and incidents"),
    ],
)
def test_what_outlives_a_request_has_a_period_of_six_years_or_its_own(folder: Folder, setting: str, what: str) -> None:
    for written, years in ((DAYS, "6 years after"), (f"{setting} = 2", "2 years after")):
        line = next(one for one in kept_lines(folder.load(forgetting=written)) if one.what.startswith(what))
        assert line.how_long.startswith(years)
        assert line.setting == f"[forgetting] {setting}"
    assert next(one for one in kept_lines(folder.load()) if one.what.startswith(what)).how_long.startswith("for ever")


NOBODY = "nothing of people"
SEALED, PROOF = "Name, addresses and changes", "Ledger, calls and dates"
WHO, CONVERSATIONS = "Who decided, answered", "Pseudonyms of private conversations at"
KEPT_IN = {
    "alias": ("Pseudonyms of people",),
    "answer": (SEALED, WHO),
    "attempt": (PROOF,),
    "callback": (NOBODY,),
    "case_act": ("What was written of complaints", WHO),
    "checkpoint": (PROOF,),
    "contact_named": (WHO,),
    "conversation": ("Private conversations at", CONVERSATIONS),
    "decision": (SEALED, WHO),
    "entry": (PROOF,),
    "evidence": (PROOF,),
    "listed_person": ("Pseudonyms of people",),
    "platform_job": ("What opens the job of a privacy platform",),
    "proof_of": ("What leads from a name to the proof",),
    "propagation": (SEALED, "Pseudonyms of people", PROOF),
    "request": (SEALED, "Pseudonyms of people", "Event ids", PROOF),
    "retention_act": (WHO,),
    "retention_act_row": (CONVERSATIONS,),
    "shelf": ("What connectors remember of people",),
    "source_finding": ("The id of a record that differs",),
    "withdrawal": ("Event ids",),
    **dict.fromkeys(("account", "worker", "lane", "job", "meta", "brake_slot", "refusal", "node"), (NOBODY,)),
    **dict.fromkeys(("question", "page_link", "alert", "alert_concern", "source_message"), (NOBODY,)),
    **dict.fromkeys(("callback_target", "retention_letter", "notice", "post", "contact"), (NOBODY,)),
}
"""For each table the lines about what is in it of people: their beginnings."""


def test_each_table_is_in_a_line_of_what_is_kept_or_holds_nothing_of_people(folder: Folder) -> None:
    assert KEPT_IN.keys() == t.metadata.tables.keys(), "a new table: say what of people is in it, and for how long"
    kept = [one.what for one in kept_lines(folder.load(forgetting=DAYS))]
    for table, beginnings in KEPT_IN.items():
        for beginning in beginnings:
            of_a_rule = "rivate conversations at" in beginning  # only where the settings have one
            assert beginning == NOBODY or of_a_rule or any(one.startswith(beginning) for one in kept), table


def test_the_report_says_what_is_kept_in_every_format_that_people_read(folder: Folder, rows: Rows) -> None:
    lines = kept_lines(folder.load(forgetting=DAYS))
    report = november(rows, kept=lines)
    for shown in (render.text(report), render.html(report)):
        assert all(one.what in shown and one.how_long in shown for one in lines)


def test_what_was_taken_back_after_it_was_forgotten_is_to_be_settled_and_never_told_again(rows: Rows) -> None:
    asked = rows.ask(Right.ERASURE, alpha=State.ESCALATED, beta=State.VERIFIED)
    (before,) = november(rows).duties
    with writing(rows.engine) as connection:
        connection.execute(update(t.request).where(t.request.c.id == asked).values(shredded_at=NOW))
    (after,) = november(rows).duties
    assert before.command.startswith("dpsync acknowledge")
    assert after.command == f"dpsync settle {asked[:8]} alpha --by NAME --reason WHY"
    assert "nobody can be told of it again" in after.sentence
