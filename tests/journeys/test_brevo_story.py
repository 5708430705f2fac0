"""Each right through the real service to Brevo's API: no claim that its contacts do not bear out."""

from pathlib import Path
from typing import Any

import pytest

from dpsync.model import Right, State
from dpsync.sandbox.brevo.filling import BrevoSection
from dpsync.sandbox.running import RunningSandbox
from tests.journeys.installation import Installation, installed, sqlite_url

ADA, OLD, NEW = "ada@example.org", "ada.before@example.org", "ada.new@example.org"
NEIGHBOUR = "nell@example.org"
KEY = "sandbox-brevo-key"
BREVO = """
[processors.brevo]
title = "Brevo"
connector = "brevo"
contact = "privacy@brevo.example"
base_url = "{brevo_url}"
api_key = {{ env = "DPSYNC_TEST_KEY" }}
"""
LISTS = ("News", "Appeals")
HELD = [("contacts", "subscribed"), ("1", "subscribed"), ("2", "subscribed")]
SILENT = [(place, "blocklisted") for place, _ in HELD]
CHANGES = {"email": NEW, "last_name": "Lovelace"}
LEFT: dict[Right, list[tuple[str, str]]] = {Right.ERASURE: [], Right.RESTRICTION: SILENT[:1], Right.OPT_OUT: SILENT}


def people(sandbox: RunningSandbox, *addresses: str, **more: Any) -> None:
    """These and a neighbour, on both lists of an account that has names."""
    types = BrevoSection.model_validate({"attributes": {"FIRSTNAME": "text", "LASTNAME": "text"}})
    sandbox.brevo.there(lambda vendor: vendor.fill(types))
    for address in (*addresses, NEIGHBOUR):
        sandbox.brevo.add(address, attributes={"FIRSTNAME": "Ada", "LASTNAME": "Byron"}, lists=LISTS, **more)


def holds(there: Installation, address: str) -> list[tuple[str, str]]:
    return there.sandbox.brevo.holds(address)


@pytest.mark.parametrize("right", LEFT)
def test_a_right_reaches_the_contact_under_every_address_and_its_receipt_holds(right: Right, tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=BREVO, key=KEY) as there:
        people(there.sandbox, ADA, OLD)
        asked = there.ask(right, ADA, other_emails=[OLD])
        there.drive()
        assert there.state(asked, "brevo") is State.VERIFIED
        assert holds(there, ADA) == holds(there, OLD) == LEFT[right]
        assert holds(there, NEIGHBOUR) == HELD
        assert f": request {asked.id}, recorded" in there.verified_by_a_stranger(asked, ADA)
        assert "NOT VALID" in there.verified_by_a_stranger(asked, NEIGHBOUR)
        there.sound()


@pytest.mark.parametrize("blocklisted", [True, False])
def test_an_address_is_put_right_and_the_blocklist_stays_as_it_was(blocklisted: bool, tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=BREVO, key=KEY) as there:
        people(there.sandbox, ADA, blocklisted=blocklisted)
        asked = there.ask(Right.RECTIFICATION, ADA, changes=CHANGES)
        there.drive()
        assert there.state(asked, "brevo") is State.VERIFIED
        assert holds(there, ADA) == []
        assert holds(there, NEW) == (SILENT if blocklisted else HELD)
        names = there.sandbox.brevo.there(lambda vendor: [one.attributes for one in vendor.held.contacts.values()])
        assert [one["LASTNAME"] for one in names] == ["Lovelace", "Byron"]
        assert "about the address you gave" in there.verified_by_a_stranger(asked, ADA)
        there.sound()


def test_a_yes_that_did_nothing_is_contradicted(tmp_path: Path) -> None:
    with installed(tmp_path, sqlite_url(tmp_path), processors=BREVO, key=KEY) as there:
        people(there.sandbox, ADA)
        there.sandbox.brevo.fault("says_yes_does_nothing", times=None, method="DELETE")
        asked = there.ask(Right.ERASURE, ADA)
        there.drive()
        assert there.state(asked, "brevo") is State.CONTRADICTED
        assert there.alerts() == [("dpo", "contradicted")]
        assert holds(there, ADA) == HELD
        there.sound()
