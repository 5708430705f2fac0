"""Whether a person is held somewhere: found, not found, or not known, and the last is never said as the second."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import ClassVar

import pytest
from sqlalchemy.exc import OperationalError

from dpsync.connector import (
    AsAsked,
    CannotTell,
    Capability,
    Connector,
    Contradicts,
    Finding,
    Instruction,
    Kit,
    Means,
)
from dpsync.connectors.mailchimp import Mailchimp
from dpsync.connectors.mailchimp.calls import Calls, MailchimpSettings, Member
from dpsync.errors import CredentialsRejected, Locked, ProcessorUnreachable
from dpsync.lookup import NO_ADDRESS, NO_LOOKUP, NOT_SHOWN, REJECTED, Lookup, Presence, look
from dpsync.model import Changes, Lifted, Right
from tests.builders import TestConnector, Vendor, proof
from tests.connectors.contract import NEW, OLD, instruction
from tests.connectors.test_mailchimp import Only, person, vendor

ADA = "ada@example.org"


def asked(right: Right, *addresses: str) -> Instruction:
    changes = Changes(last_name="Lovelace") if right is Right.RECTIFICATION else None
    return Instruction(reference="ref-1", right=right, addresses=addresses, phone="+441632960001", changes=changes)


def says(finding: Finding | Exception) -> Callable[[Instruction], Finding]:
    def answer(instruction: Instruction) -> Finding:
        if isinstance(finding, Exception):
            raise finding
        return finding

    return answer


@pytest.mark.parametrize("right", Right)
def test_whichever_right_is_meant_the_read_back_of_an_erasure_is_asked(right: Right) -> None:
    there = Vendor()
    told = replace(
        asked(right, ADA), lifted=Lifted(date(2026, 11, 19), "letter") if right is Right.RESTRICTION else None
    )
    assert look(TestConnector(there), told) == Lookup(Presence.NOT_FOUND, "read", 0)
    there.hold(ADA)
    there.people[ADA]["status"] = "archived"  # as every right but an erasure asks: that shows nothing of who is held
    assert look(TestConnector(there), told) == Lookup(Presence.FOUND, "still there")
    assert set(there.calls) == {("verify", Right.ERASURE, (ADA,))}


@pytest.mark.parametrize(
    ("said", "lookup"),
    [
        (CannotTell(reason="never seen"), Lookup(Presence.UNKNOWN, f"{NOT_SHOWN} (never seen)")),
        (CannotTell(reason="no answer", later=True), Lookup(Presence.UNKNOWN, "no answer", again=True)),
        (CredentialsRejected("GET /", 401), Lookup(Presence.UNKNOWN, REJECTED, again=True)),
        (ProcessorUnreachable("no route"), Lookup(Presence.UNKNOWN, "no route", again=True)),
        (RuntimeError(ADA), Lookup(Presence.UNKNOWN, "a fault of dpsync (RuntimeError)", again=True)),
    ],
)
def test_what_gives_no_answer_is_unknown_and_names_nobody(said: Finding | Exception, lookup: Lookup) -> None:
    there = Vendor(findings=[says(said)])
    assert look(TestConnector(there), asked(Right.ERASURE, ADA)) == lookup


def test_the_trouble_of_our_own_store_is_no_answer_and_no_fault_of_dpsync() -> None:
    away = OperationalError("SELECT 1", {}, Exception("gone"))
    for trouble in (away, Locked("held")):
        with pytest.raises(type(trouble)):
            look(TestConnector(Vendor(findings=[says(trouble)])), asked(Right.ERASURE, ADA))


def test_nobody_is_not_found_who_was_not_looked_for() -> None:
    there = Vendor(findings=[AsAsked(evidence=proof())])
    assert look(TestConnector(there), asked(Right.OPT_OUT)) == Lookup(Presence.UNKNOWN, NO_ADDRESS)
    there = Vendor(findings=[Contradicts(reason="seen by its id", evidence=proof())])
    assert look(TestConnector(there), asked(Right.OPT_OUT)).presence is Presence.FOUND


def test_a_connector_that_erases_nothing_offers_no_look() -> None:
    class Silences(TestConnector):
        capabilities: ClassVar[dict[Right, Capability]] = {
            Right.OPT_OUT: Capability(Means.API, "silent", "", "read", "a test")
        }

    there = Vendor()
    assert look(Silences(there), asked(Right.OPT_OUT, ADA)) == Lookup(Presence.UNKNOWN, NO_LOOKUP)
    assert there.calls == []


class OneRecordForEverySpelling(Mailchimp):
    """As a vendor that looks through the spellings of a domain: both lead to the same contact."""

    def member(self, calls: Calls, place: str, address: str) -> Member | None:
        return super().member(calls, place, OLD)


def test_a_record_that_two_spellings_lead_to_is_counted_once() -> None:
    class Suite(Only):
        connector = OneRecordForEverySpelling

        def built(self, kit: Kit) -> Connector:
            section = MailchimpSettings.model_validate(self.section)
            return OneRecordForEverySpelling(section, kit, sleep=lambda _: None)

    with Suite().before(vendor(list1=person(OLD, "list1"), list2=person(OLD, "list2"))) as stage:
        told = instruction(Right.OPT_OUT, addresses=(OLD, NEW))
        found = look(stage.connector, told)
        assert (found.presence, found.records) == (Presence.FOUND, 2)
        assert stage.writes() == 0
