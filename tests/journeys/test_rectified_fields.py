"""A rectification through the real service where fields have types: what can be is done, the rest is a task."""

from pathlib import Path
from typing import Any

import pytest

from dpsync.model import Right, Rung, State
from dpsync.sandbox.campaign_monitor.api import CampaignMonitor
from dpsync.sandbox.mailchimp.api import Mailchimp
from dpsync.store import tables as t
from tests.journeys.installation import KEY, MAILINGS, NEWSLETTER, OPERATOR, Installation, installed
from tests.journeys.test_campaign_monitor_story import says_done, task

pytestmark = pytest.mark.no_database

ADA, NEW = "ada@example.org", "ada.new@example.org"
LIST = "a1b2c3d4e5"
ONE_AUDIENCE = NEWSLETTER + f'audiences = ["{LIST}"]\n'
HOME = {"addr1": "1 High Street", "city": "Kent", "state": "", "zip": "CT1 1AA"}
TYPES: dict[str, Any] = {
    "FNAME": "text",
    "LNAME": "text",
    "BORN": "date",
    "BDAY": "birthday",
    "HOME": "address",
    "SEATS": "number",
    "COLOUR": {"type": "dropdown", "options": {"choices": ["Red", "Light Blue"]}},
}
GOOD: dict[str, Any] = {"BORN": "12/31/1990", "BDAY": "1980-01-02", "HOME": HOME, "COLOUR": "red", "SEATS": "12.0"}


def held_at_mailchimp(there: Installation) -> None:
    member = {"email": ADA, "merge_fields": {"FNAME": "Ada", "SEATS": 3}}
    audience = {"id": LIST, "merge_fields": TYPES, "members": [member]}
    there.sandbox.seed({"mailchimp": {"accounts": [{"name": KEY, "audiences": [audience]}]}})


def held_at_campaign_monitor(there: Installation) -> None:
    fields = {"City": "Text", "Born": "Date", "Topics": {"type": "MultiSelectMany", "options": ["News", "Jobs"]}}
    people = [{"email": ADA, "name": "Ada L", "fields": {"City": "Kent", "Topics": ["News", "Jobs"]}}]
    client = {"name": "One", "lists": [{"title": "News", "fields": fields, "subscribers": people}]}
    there.sandbox.seed({"campaign_monitor": {"accounts": [{"name": "main", "clients": [client]}]}})


def now_at_mailchimp(there: Installation, address: str) -> dict[str, object]:
    (held,) = there.sandbox.holdings(address)
    return dict(held.merge_fields)


def notes(there: Installation) -> list[str]:
    return [row.note for row in there.rows(t.evidence) if row.note]


def test_values_in_the_vendors_own_form_are_verified_and_stay_so(database_url: str, tmp_path: Path) -> None:
    with installed(tmp_path, database_url, processors=ONE_AUDIENCE) as there:
        held_at_mailchimp(there)
        asked = there.ask(Right.RECTIFICATION, ADA, changes={"last_name": "King", "fields": GOOD})
        there.drive()
        assert there.state(asked) is State.VERIFIED
        assert there.row(asked).rung == Rung.VERIFIED
        now = now_at_mailchimp(there, ADA)
        assert (now["BORN"], now["BDAY"], now["COLOUR"], now["SEATS"]) == ("1990-12-31", "01/02", "Red", 12)
        assert now["HOME"] == HOME | {"addr2": "", "country": "US"}
        assert there.alerts() == []
        there.sound()


def test_one_refused_field_is_a_task_and_everything_else_is_in_place_and_on_record(
    database_url: str, tmp_path: Path
) -> None:
    with installed(tmp_path, database_url, processors=ONE_AUDIENCE, web=True) as there:
        there.sandbox.rule(OPERATOR, "silent")
        held_at_mailchimp(there)
        fields = {"HOME": "1 High Street, Kent, CT1 1AA", "SEATS": "12.0"}
        asked = there.ask(Right.RECTIFICATION, ADA, changes={"email": NEW, "first_name": "Augusta", "fields": fields})
        there.drive()
        assert there.state(asked) is State.HANDED_OVER
        assert there.row(asked).rung < Rung.CONFIRMED
        assert there.sandbox.holdings(ADA) == []
        now = now_at_mailchimp(there, NEW)
        assert (now["FNAME"], now["SEATS"], now["HOME"]) == ("Augusta", 12, "")
        said = task(there)
        assert "the merge field HOME (address)" in said
        assert "The other changes are in place there." in said
        assert "High Street" not in said
        assert "SEATS" not in said
        assert [one for one in notes(there) if "put right" in one] == ["asked to put right: address, FNAME, SEATS"]
        there.sound()

        put_right = HOME | {"addr2": "", "country": "GB"}
        there.sandbox.there(lambda vendor: _set(vendor, NEW, HOME=put_right))
        says_done(there)
        assert there.state(asked) is State.VERIFIED
        there.sound()


def _set(vendor: Mailchimp, address: str, **fields: object) -> None:
    vendor.accounts[KEY].audience(LIST).find(address).merge_fields.update(fields)


def test_an_operator_who_says_done_and_left_the_field_is_contradicted(database_url: str, tmp_path: Path) -> None:
    with installed(tmp_path, database_url, processors=ONE_AUDIENCE, web=True) as there:
        there.sandbox.rule(OPERATOR, "silent")
        held_at_mailchimp(there)
        asked = there.ask(Right.RECTIFICATION, ADA, changes={"last_name": "King", "fields": {"COLOUR": "Green"}})
        there.drive()
        assert there.state(asked) is State.HANDED_OVER
        says_done(there)
        assert there.state(asked) is State.CONTRADICTED
        there.sound()


def test_a_value_that_is_passed_over_in_silence_is_a_task_where_the_others_were_taken(
    database_url: str, tmp_path: Path
) -> None:
    with installed(tmp_path, database_url, processors=MAILINGS) as there:
        held_at_campaign_monitor(there)
        asked = there.ask(Right.RECTIFICATION, ADA, changes={"fields": {"Born": "soon", "City": "Hove"}})
        there.drive()
        assert there.state(asked, "mailings") is State.HANDED_OVER
        assert "did not accept the new value of the field Born (date)" in task(there)
        assert there.alerts() == []
        there.sound()


def test_options_and_days_at_campaign_monitor_are_put_right_and_what_it_lacks_is_named(
    database_url: str, tmp_path: Path
) -> None:
    with installed(tmp_path, database_url, processors=MAILINGS) as there:
        held_at_campaign_monitor(there)
        fields = {"born": "31/12/1990", "Topics": "Jobs; news", "SHOE": "38", "City": {"city": "Hove"}}
        asked = there.ask(Right.RECTIFICATION, ADA, changes={"email": NEW, "fields": fields})
        there.drive()
        assert there.state(asked, "mailings") is State.HANDED_OVER
        assert "SHOE" in task(there)
        assert "City cannot take the parts of an address" in task(there)
        assert "Hove" not in task(there)

        def held(vendor: CampaignMonitor) -> list[tuple[str, str]]:
            return next(one.members[NEW].fields for one in vendor.accounts["main"].lists)

        assert sorted(there.sandbox.campaign_monitor.there(held)) == [
            ("Born", "1990-12-31"),
            ("City", "Kent"),
            ("Topics", "Jobs"),
            ("Topics", "News"),
        ]
        there.sound()


@pytest.mark.parametrize("value", ["1 Canary Street", {"addr1": "1 Canary Street", "city": "Canaryton"}])
def test_no_part_of_an_address_is_readable_in_the_store(value: object, database_url: str, tmp_path: Path) -> None:
    with installed(tmp_path, database_url, processors=ONE_AUDIENCE) as there:
        held_at_mailchimp(there)
        there.ask(Right.RECTIFICATION, ADA, changes={"fields": {"HOME": value}})
        there.drive()
        for table in t.metadata.sorted_tables:
            assert not [row for row in there.rows(table) if "canary" in str(tuple(row)).lower()], table.name
