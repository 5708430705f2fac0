"""The register of processors: what the settings say, what they leave out, and nothing that is made up."""

import csv
import io
import json
import re
from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from dpsync import settings as configuration
from dpsync.errors import ConfigurationError
from dpsync.model import Right
from dpsync.reports import render
from dpsync.reports.make import processor_lines
from dpsync.reports.register import Register, RegisterLine, register_of
from dpsync.reports.register_text import MISSING
from tests.unit.test_reports import WRITTEN

NOW, TODAY = datetime(2026, 11, 29, 7, tzinfo=UTC), date(2026, 11, 29)
HOSTILE = "=cmd|'/C calc'!A1 <script>alert(1)</script> \u202egnp.exe"
SAID = """
[processors.newsletter.about]
purpose = "Sends our newsletter"
people = ["members", "donors"]
data = ["name", "email address"]
countries = ["GB", "US"]
transfer = "UK Extension to the EU-US Data Privacy Framework"
kept_for = "until the person leaves"
contract_on = "2024-05-01"
review_by = "2027-05-01"
"""
ALL = ("purpose", "people", "data", "countries", "kept_for", "review_by", "contract_on")


def register(folder: Path, more: str = "", *, keys: str = "", still_open: Mapping[str, int] | None = None) -> Register:
    file = folder / "dpsync.toml"
    file.write_text(
        '[controller]\nname = "Example Gardens"\ndpo = "dpo@example.org"\noperator = "it@example.org"\n'
        '[ledger]\norigin = "example.org/register"\n'
        '[processors.newsletter]\ntitle = "Mailchimp"\nconnector = "mailchimp"\ncontact = "privacy@processor.example"\n'
        f'api_key = {{ env = "KEY" }}\n{keys}\n{more}',
        encoding="utf-8",
    )
    settings = configuration.load(file, {}, secrets=False)
    return register_of(settings, processor_lines(settings), still_open or {}, {}, NOW, TODAY)


def only(made: Register) -> RegisterLine:
    (line,) = made.lines
    return line


# --- what is missing


def test_without_an_entry_everything_is_named_as_missing_and_nothing_is_made_up(tmp_path: Path) -> None:
    made = register(tmp_path)
    assert only(made).missing == ALL
    assert {getattr(only(made), key) or None for key in ALL if key not in ("people", "data", "countries")} == {None}
    text = render.text(made)
    assert text.count(MISSING) == len(ALL)
    assert "1 entry is not complete" in text
    assert f"Now: Fill in {', '.join(ALL)} of Mailchimp, in [processors.newsletter.about]." in text


def test_an_entry_that_says_everything_leaves_nothing_to_do(tmp_path: Path) -> None:
    made = register(tmp_path, SAID)
    assert (only(made).missing, made.duties) == ((), ())
    text = render.text(made)
    assert MISSING not in text
    for told in (
        "every entry is complete",
        "What for: Sends our newsletter",
        "Whose data: members, donors",
        "Where: GB, US; transfer: UK Extension",
        "Contract: Wed 1 May 2024",
        "Contact: privacy@processor.example",
        "Review by: Sat 1 May 2027",
        "Erasure: through its API. Limits: Mailchimp keeps",
    ):
        assert told in text, told


@pytest.mark.parametrize(
    ("countries", "missing"), [('["GB"]', ()), ('["GB", "US"]', ("transfer",)), ("[]", ("countries",))]
)
def test_only_data_abroad_need_a_ground_for_the_transfer(
    countries: str, missing: tuple[str, ...], tmp_path: Path
) -> None:
    said = re.sub(r"transfer = .*\n", "", SAID).replace('["GB", "US"]', countries)
    assert only(register(tmp_path, said)).missing == missing


def test_a_controller_of_its_own_has_no_contract_of_article_28(tmp_path: Path) -> None:
    made = register(tmp_path, SAID.replace('contract_on = "2024-05-01"\n', ""), keys='kind = "controller"')
    assert only(made).missing == ()
    assert "Contract" not in render.text(made)


# --- reviews, and who leaves


@pytest.mark.parametrize(("by", "overdue"), [("2026-11-28", True), ("2026-11-29", False)])
def test_a_review_is_overdue_from_the_day_after(by: str, overdue: bool, tmp_path: Path) -> None:
    made = register(tmp_path, SAID.replace("2027-05-01", by))
    assert only(made).review_overdue is overdue
    assert ["Review Mailchimp" in duty.sentence for duty in made.duties] == [True] * overdue
    assert ("1 review is overdue" in render.text(made)) is overdue


@pytest.mark.parametrize(("last", "left"), [("2026-11-28", True), ("2026-11-29", False)])
def test_of_whom_is_leaving_all_that_remains_is_said_and_who_must_do_it(last: str, left: bool, tmp_path: Path) -> None:
    made = register(tmp_path, SAID, keys=f'leaving = "{last}"', still_open={"newsletter": 2})
    assert (only(made).left, only(made).open_requests) == (left, 2)
    (duty,) = made.duties
    assert (duty.overdue, duty.by) == (left, date.fromisoformat(last))
    for told in (
        "2 requests are still open there: close them first.",
        "delete or return all your data, and to confirm that (Art. 28(3)(g)): dpsync has the letter ready",
        "Then take [processors.newsletter] out of the settings. Until then dpsync goes on telling it.",
    ):
        assert told in duty.sentence, told
        assert told in render.text(made), told


def test_the_most_urgent_is_told_first(tmp_path: Path) -> None:
    late = SAID.replace("2027-05-01", "2026-01-01").replace('kept_for = "until the person leaves"\n', "")
    made = register(tmp_path, late, keys='leaving = "2027-01-01"')
    assert [duty.by for duty in made.duties] == [date(2026, 1, 1), date(2027, 1, 1), None]


# --- every format


def test_every_format_has_the_same_values(tmp_path: Path) -> None:
    made = register(tmp_path, SAID, keys='leaving = "2027-01-01"')
    value = json.loads(render.json(made))
    assert (value["version"], value["kind"], value["lines"][0]["contract_on"]) == (1, "register", "2024-05-01")
    (row,) = csv.DictReader(io.StringIO(render.csv(made).removeprefix("\ufeff")))
    line = only(made)
    named = {field.name for field in fields(line)} - {"rights", "exempt"}
    assert named <= row.keys()
    assert row["data"] == "name, email address"
    assert row["countries"] == "GB, US"
    assert row["leaving"] == "2027-01-01"
    for right in Right:
        assert row[f"{right.value}_told"].startswith("through its API")
        assert row[f"{right.value}_limits"] == next(can.limits for can in line.rights if can.right is right)
    page = render.html(made)
    for told in (line.purpose, line.transfer, line.contact, "Wed 1 May 2024", "Fri 1 Jan 2027"):
        assert told in page, told
    assert page.count('scope="col"') == 5 + 3


def test_what_the_settings_say_is_shown_and_never_run(tmp_path: Path) -> None:
    made = register(tmp_path, SAID.replace("Sends our newsletter", HOSTILE))
    assert "<script>" not in render.html(made)
    assert "'=cmd" in render.csv(made)
    for form in WRITTEN:
        assert b"\xe2\x80\xae" not in render.rendered(made, form)


@pytest.mark.parametrize(
    ("said", "key"),
    [
        ('countries = ["England"]', "about.countries[0]"),
        ('review_by = "soon"', "about.review_by"),
        ('purposes = "x"', "about.purposes"),
    ],
)
def test_what_does_not_fit_is_named_with_its_place(said: str, key: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as refused:
        register(tmp_path, f"[processors.newsletter.about]\n{said}\n")
    assert f"processors.newsletter.{key}" in {fault.key for fault in refused.value.faults}
