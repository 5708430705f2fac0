"""Careless connectors that do less than they were asked, or keep and tell too much: the contract suite catches each.

The careful one keeps the same rules in `test_mailchimp`.
"""

import json
import os
import sys
import tempfile
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from dpsync.connector import (
    Applied,
    AsAsked,
    Finding,
    Http,
    Instruction,
    Kit,
    NothingHeld,
    Outcome,
    Refused,
    Reply,
    Retryable,
)
from dpsync.connectors.mailchimp import Mailchimp
from dpsync.connectors.mailchimp.calls import Calls, MailchimpSettings
from dpsync.model import Changes, Right
from dpsync.vendor.errors import Ended
from tests.connectors.contract import HttpContract, assert_clean
from tests.connectors.held import NEIGHBOUR
from tests.connectors.test_contract import Between, planted

ERASURE, OPT_OUT, RECTIFICATION, RESTRICTION = Right.ERASURE, Right.OPT_OUT, Right.RECTIFICATION, Right.RESTRICTION


class Hears(Mailchimp):
    """Carries out, and looks for, what it takes an instruction for."""

    @abstractmethod
    def heard(self, instruction: Instruction) -> Instruction:
        """What it takes for the instruction."""

    def carry_out(self, instruction: Instruction) -> Outcome:
        return super().carry_out(self.heard(instruction))

    def verify(self, instruction: Instruction) -> Finding:
        return super().verify(self.heard(instruction))


class UnsubscribesForErasure(Hears):
    def heard(self, instruction: Instruction) -> Instruction:
        return replace(instruction, right=OPT_OUT) if instruction.right is ERASURE else instruction


class UnsubscribesForRestriction(Hears):
    def heard(self, instruction: Instruction) -> Instruction:
        return replace(instruction, right=OPT_OUT) if instruction.right is RESTRICTION else instruction


class ArchivesForErasure(Hears):
    def heard(self, instruction: Instruction) -> Instruction:
        return replace(instruction, right=RESTRICTION) if instruction.right is ERASURE else instruction


class Changing(Hears):
    @abstractmethod
    def changes(self, changes: Changes) -> Changes:
        """What it takes for the changes."""

    def heard(self, instruction: Instruction) -> Instruction:
        changes = instruction.changes
        return replace(instruction, changes=self.changes(changes)) if changes else instruction


class IgnoresNames(Changing):
    """Wherever there is an address to change."""

    def changes(self, changes: Changes) -> Changes:
        return Changes(email=changes.email, fields=changes.fields) if changes.email else changes


class IgnoresTheAddress(Changing):
    """Wherever there is a name to change."""

    def changes(self, changes: Changes) -> Changes:
        return replace(changes, email=None) if changes.first_name or changes.last_name else changes


class IgnoresLastNames(Changing):
    def changes(self, changes: Changes) -> Changes:
        return replace(changes, last_name=None) if changes.first_name else changes


class IgnoresFields(Changing):
    def changes(self, changes: Changes) -> Changes:
        return replace(changes, fields={}) if changes.email else changes


class OnlyTwoAddresses(Hears):
    def heard(self, instruction: Instruction) -> Instruction:
        return replace(instruction, addresses=instruction.addresses[:2])


class OnlyTheFirstAudience(Mailchimp):
    def __init__(self, settings: MailchimpSettings, kit: Kit, **more: Any) -> None:
        super().__init__(settings.model_copy(update={"audiences": ("list1",)}), kit, **more)


class ErasesTheNeighbour(Mailchimp):
    def carry_out(self, instruction: Instruction) -> Outcome:
        outcome = super().carry_out(instruction)
        if isinstance(outcome, Applied):
            super().carry_out(replace(instruction, addresses=(NEIGHBOUR,)))
        return outcome


class RemembersAsAsked(Mailchimp):
    def verify(self, instruction: Instruction) -> Finding:
        if self._kit.shelf.get("seen"):
            return AsAsked(evidence=())
        finding = super().verify(instruction)
        if isinstance(finding, AsAsked):
            self._kit.shelf.put("seen", "1")
        return finding


class Looking(Mailchimp):
    """Tells it all, and looks for what `Looks` looks for."""

    looks: ClassVar[type[Hears]]

    def verify(self, instruction: Instruction) -> Finding:
        return super().verify(self.looks.heard(self, instruction))  # type: ignore[arg-type]  # because it is one


class Repeats(Http):
    """Asks again at once, twenty times, where it is told to wait; `method` alone."""

    def __init__(self, http: Http, method: str) -> None:
        self.http, self.method = http, method

    def call(self, method: str, *args: Any, **more: Any) -> Reply:
        reply = self.http.call(method, *args, **more)
        for _ in range(20 if method == self.method and reply.status in (429, 503) else 0):
            reply = self.http.call(method, *args, **more)
        return reply


class HammersReads(Mailchimp):
    method: ClassVar[str] = "GET"

    def __init__(self, settings: MailchimpSettings, kit: Kit, **more: Any) -> None:
        super().__init__(settings, replace(kit, http=Repeats(kit.http, self.method)), **more)


class HammersWrites(HammersReads):
    method: ClassVar[str] = "POST"


class HammersWhenItReadsBack(Mailchimp):
    def verify(self, instruction: Instruction) -> Finding:
        return self._hammer().verify(instruction)

    def _hammer(self) -> Mailchimp:
        return HammersReads(self._settings, self._kit, sleep=self._sleep)


class PrintsThePerson(Mailchimp):
    def carry_out(self, instruction: Instruction) -> Outcome:
        print(instruction.addresses)  # noqa: T201  # because this is what is planted
        return super().carry_out(instruction)


class WritesThePersonToStderr(Mailchimp):
    def verify(self, instruction: Instruction) -> Finding:
        sys.stderr.write(f"{instruction.name}")
        return super().verify(instruction)


class WritesThePersonToTheTerminal(Mailchimp):
    def carry_out(self, instruction: Instruction) -> Outcome:
        os.write(2, instruction.addresses[0].encode())
        return super().carry_out(instruction)


class WritesAFile(Mailchimp):
    def carry_out(self, instruction: Instruction) -> Outcome:
        with Path(tempfile.gettempdir(), "told.txt").open("a", encoding="utf-8") as file:
            file.write("somebody\n")
        return super().carry_out(instruction)


class WritesATemporaryFile(Mailchimp):
    def verify(self, instruction: Instruction) -> Finding:
        with tempfile.TemporaryFile() as file:
            file.write(instruction.addresses[0].encode())
        return super().verify(instruction)


class KeepsThePerson(Mailchimp):
    def carry_out(self, instruction: Instruction) -> Outcome:
        self.last = (instruction.addresses, instruction.name)
        return super().carry_out(instruction)


class KeepsTheInstruction(Mailchimp):
    def verify(self, instruction: Instruction) -> Finding:
        self.again = lambda: super(KeepsTheInstruction, self).verify(instruction)
        return super().verify(instruction)


class KeepsThePersonInItsClass(Mailchimp):
    seen: ClassVar[dict[str, bytes]] = {}

    def carry_out(self, instruction: Instruction) -> Outcome:
        self.seen["last"] = json.dumps(instruction.addresses).encode()
        return super().carry_out(instruction)


LAST: dict[str, object] = {}


class KeepsThePersonInAGlobal(Mailchimp):
    def carry_out(self, instruction: Instruction) -> Outcome:
        LAST["told"] = list(instruction.addresses)
        return super().carry_out(instruction)


class KeepsThePersonInAGlobalInTrouble(Mailchimp):
    def carry_out(self, instruction: Instruction) -> Outcome:
        outcome = super().carry_out(instruction)
        LAST.update({} if isinstance(outcome, Applied | NothingHeld) else {"todo": instruction})
        return outcome


class HidesTheSecondNo(Mailchimp):
    """Says of all addresses what it was told of the first that anybody is known by."""

    def carry_out(self, instruction: Instruction) -> Outcome:
        several = [
            super(HidesTheSecondNo, self).carry_out(replace(instruction, addresses=(one,)))
            for one in instruction.addresses
        ]
        outcome = next((one for one in several if isinstance(one, Applied)), several[0])
        return replace(outcome, evidence=tuple(said for one in several for said in one.evidence))


class PassesOverTheSecond(Mailchimp):
    """Once one was opted out, trouble with another is trouble with nobody; `minds` is what it still minds."""

    minds: ClassVar[tuple[type[Outcome], ...]] = ()
    told = False

    def carry_out(self, instruction: Instruction) -> Outcome:
        self.told = False
        return super().carry_out(instruction)

    def opt_out(self, calls: Calls, place: str, address: str) -> Outcome:
        try:
            outcome = super().opt_out(calls, place, address)
        except Ended as trouble:
            waits = isinstance(trouble.outcome, Retryable) and trouble.outcome.busy
            if trouble.stop or waits or not self.told or isinstance(trouble.outcome, self.minds):
                raise
            return NothingHeld(evidence=())
        self.told |= isinstance(outcome, Applied)
        return outcome


class PassesOverTheSecondFault(PassesOverTheSecond):
    minds = (Refused,)


class EmptyFaultHalfWayIsSuccess(Mailchimp):
    """What the official package does with a 500 that has no body, between the first call and the last."""

    def __init__(self, settings: MailchimpSettings, kit: Kit, **more: Any) -> None:
        self.between = Between(kit.http, again=False)
        super().__init__(settings, replace(kit, http=self.between), **more)

    def carry_out(self, instruction: Instruction) -> Outcome:
        self.between.heard.clear()
        outcome, heard = super().carry_out(instruction), self.between.heard
        empty = [number for number, one in enumerate(heard) if one.status == 500 and not one.body]
        half_way = bool(empty) and 0 < empty[0] < 3
        return Applied(evidence=outcome.evidence) if half_way else outcome


class ClaimsWhatWasRefused(Mailchimp):
    """Remembers that it asked for an erasure, and not that the answer was a no."""

    def erase(self, calls: Calls, place: str, address: str) -> Outcome:
        if self.member(calls, place, address):
            self._kit.shelf.put(self._shelf_key("erased", place, address), "asked")
        return super().erase(calls, place, address)


class KeepsThePersonInTrouble(Mailchimp):
    def carry_out(self, instruction: Instruction) -> Outcome:
        outcome = super().carry_out(instruction)
        self.later = {} if isinstance(outcome, Applied | NothingHeld) else {"todo": instruction}
        return outcome


class CrashesWithoutAName(Mailchimp):
    def carry_out(self, instruction: Instruction) -> Outcome:
        return super().carry_out(replace(instruction, name=instruction.name.strip()))  # type: ignore[union-attr]  # because this is what is planted


class OldEvidence(Mailchimp):
    def carry_out(self, instruction: Instruction) -> Outcome:
        outcome = super().carry_out(instruction)
        return replace(outcome, evidence=tuple(replace(one, at=one.at.replace(year=2025)) for one in outcome.evidence))


def holds(right: Right) -> Callable[[HttpContract], None]:
    return lambda suite: suite.test_the_vendor_holds_what_was_asked_and_of_others_what_it_held(right)


def otherwise(right: Right) -> Callable[[HttpContract], None]:
    return lambda suite: suite.test_what_is_otherwise_there_is_contradicted(right)


def waits(right: Right) -> Callable[[HttpContract], None]:
    return lambda suite: suite.test_once_asked_to_wait_it_makes_no_further_call(right)


def stays(right: Right) -> Callable[[HttpContract], None]:
    return lambda suite: suite.test_nothing_of_the_person_stays_behind(right)


def one_no(right: Right) -> Callable[[HttpContract], None]:
    return lambda suite: suite.test_a_no_about_one_of_several_records_is_not_lost_among_the_others(right)


def looking(kind: type[Hears]) -> type[Mailchimp]:
    return type(f"Looking{kind.__name__}", (Looking,), {"looks": kind, "changes": getattr(kind, "changes", None)})


CAUGHT: list[tuple[type[Mailchimp], Callable[[HttpContract], None]]] = [
    (UnsubscribesForErasure, holds(ERASURE)),
    (UnsubscribesForErasure, otherwise(ERASURE)),
    (ArchivesForErasure, holds(ERASURE)),
    (UnsubscribesForRestriction, holds(RESTRICTION)),
    *((kind, holds(RECTIFICATION)) for kind in (IgnoresNames, IgnoresTheAddress, IgnoresLastNames, IgnoresFields)),
    *((OnlyTwoAddresses, holds(right)) for right in Right),
    *((OnlyTheFirstAudience, holds(right)) for right in Right),
    (ErasesTheNeighbour, holds(ERASURE)),
    (looking(UnsubscribesForErasure), otherwise(ERASURE)),
    (looking(ArchivesForErasure), otherwise(ERASURE)),
    (looking(UnsubscribesForRestriction), otherwise(RESTRICTION)),
    (looking(IgnoresNames), otherwise(RECTIFICATION)),
    (looking(IgnoresTheAddress), otherwise(RECTIFICATION)),
    (looking(IgnoresLastNames), otherwise(RECTIFICATION)),
    (looking(IgnoresFields), otherwise(RECTIFICATION)),
    (looking(OnlyTwoAddresses), otherwise(OPT_OUT)),
    (RemembersAsAsked, otherwise(OPT_OUT)),
    (HammersReads, waits(OPT_OUT)),
    (HammersWrites, waits(ERASURE)),
    (HammersWhenItReadsBack, waits(ERASURE)),
    (WritesAFile, stays(ERASURE)),
    (WritesATemporaryFile, stays(ERASURE)),
    (KeepsThePerson, stays(ERASURE)),
    (KeepsTheInstruction, stays(ERASURE)),
    (KeepsThePersonInItsClass, stays(ERASURE)),
    (KeepsThePersonInAGlobal, stays(ERASURE)),
    *(
        (kind, lambda suite: suite.test_trouble_leaves_nothing_of_the_person_behind(ERASURE))
        for kind in (KeepsThePersonInTrouble, KeepsThePersonInAGlobalInTrouble)
    ),
    *((HidesTheSecondNo, one_no(right)) for right in (ERASURE, OPT_OUT, RESTRICTION)),
    *(
        (
            kind,
            lambda suite: suite.test_trouble_with_one_of_several_records_is_not_lost_among_the_others(OPT_OUT),
        )
        for kind in (PassesOverTheSecond, PassesOverTheSecondFault)
    ),
    (
        EmptyFaultHalfWayIsSuccess,
        lambda suite: suite.test_later_is_later_and_the_processors_wish_is_kept(OPT_OUT, 500),
    ),
    (
        ClaimsWhatWasRefused,
        lambda suite: suite.test_what_somebody_else_erased_after_a_no_is_not_said_to_be_our_doing(),
    ),
    (
        OldEvidence,
        lambda suite: suite.test_evidence_names_each_call_by_its_template_and_proves_the_body_under_a_key(ERASURE),
    ),
]


@pytest.mark.parametrize(("kind", "check"), CAUGHT, ids=[kind.__name__ for kind, _ in CAUGHT])
def test_a_careless_connector_is_caught(
    kind: type[Mailchimp], check: Callable[[HttpContract], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    LAST.clear()  # what another of them left there would not be new
    with pytest.raises(AssertionError):
        check(planted(kind))


def test_a_connector_that_needs_a_name_is_caught() -> None:
    with pytest.raises(AttributeError):
        planted(CrashesWithoutAName).test_no_identifier_is_needed_besides_another(ERASURE)


@pytest.mark.parametrize("kind", [PrintsThePerson, WritesThePersonToStderr, WritesThePersonToTheTerminal])
def test_a_person_on_the_screen_is_caught(kind: type[Mailchimp], capfd: pytest.CaptureFixture[str]) -> None:
    rule = HttpContract.test_what_was_done_is_found_by_reading_and_reading_changes_nothing
    for planted_one, shown in ((Mailchimp, False), (kind, True)):
        rule(planted(planted_one), ERASURE)
        said = "".join(capfd.readouterr())
        assert bool(said) is shown
        if shown:
            with pytest.raises(AssertionError):
                assert_clean(said)
