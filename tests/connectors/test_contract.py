"""The contract suite itself: each careless connector planted here is caught by it, so its green means something."""

import base64
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, ClassVar

import pytest
import requests

from dpsync.connector import (
    Account,
    Applied,
    AsAsked,
    CannotTell,
    Capability,
    Connector,
    Contradicts,
    Evidence,
    Finding,
    HandOver,
    Http,
    Instruction,
    Kit,
    Means,
    NothingHeld,
    Outcome,
    Refused,
    Reply,
    Retryable,
)
from dpsync.connector_services import NoAnswer
from dpsync.connectors.mailchimp import Mailchimp
from dpsync.connectors.mailchimp.calls import MailchimpSettings
from dpsync.errors import CredentialsRejected
from dpsync.http import json_of
from dpsync.model import Right
from dpsync.vendor.errors import Error, Meaning
from tests.connectors import test_mailchimp as sound
from tests.connectors.contract import OLD, SECRET, SPELT, HttpContract, assert_clean, instruction


class EmptyFaultIsSuccess(Mailchimp):
    """What the official package does with a 500 that has no body."""

    def carry_out(self, instruction: Instruction) -> Outcome:
        outcome = super().carry_out(instruction)
        faulty = bool(outcome.evidence) and outcome.evidence[-1].status == 500
        return Applied(evidence=outcome.evidence) if faulty else outcome


class UnreadableIsSuccess(Mailchimp):
    def carry_out(self, instruction: Instruction) -> Outcome:
        outcome = super().carry_out(instruction)
        well = bool(outcome.evidence) and outcome.evidence[-1].status == 200
        return Applied(evidence=outcome.evidence) if well and isinstance(outcome, Retryable) else outcome


class IgnoresCredentials(Mailchimp):
    def carry_out(self, instruction: Instruction) -> Outcome:
        try:
            return super().carry_out(instruction)
        except CredentialsRejected:
            return Retryable(reason="later")


class ForgetsWhatWentBeforeTheRejection(Mailchimp):
    def carry_out(self, instruction: Instruction) -> Outcome:
        try:
            return super().carry_out(instruction)
        except CredentialsRejected as error:
            raise CredentialsRejected(error.endpoint, error.status, error.request_id) from None


class ForgetsTheDoubtOfTheRejection(Mailchimp):
    def carry_out(self, instruction: Instruction) -> Outcome:
        try:
            return super().carry_out(instruction)
        except CredentialsRejected as error:
            error.doubtful = False
            raise


class ForgetsWhatWentBeforeTheWait(Mailchimp):
    def carry_out(self, instruction: Instruction) -> Outcome:
        outcome = super().carry_out(instruction)
        busy = isinstance(outcome, Retryable) and outcome.evidence[-1].status == 429
        return replace(outcome, doubtful=False) if busy and isinstance(outcome, Retryable) else outcome


class AsksAgainWhatSaidYes(Mailchimp):
    """It looks, and says "later" for ever."""

    def carry_out(self, instruction: Instruction) -> Outcome:
        outcome = super().carry_out(instruction)
        if isinstance(outcome, Applied) and isinstance(self.verify(instruction), Contradicts):
            return Retryable(reason="not done yet", evidence=outcome.evidence, doubtful=True)
        return outcome


class AnyMissingIsNothingHeld(Mailchimp):
    def carry_out(self, instruction: Instruction) -> Outcome:
        outcome = super().carry_out(instruction)
        missing = bool(outcome.evidence) and outcome.evidence[-1].status == 404
        return NothingHeld(evidence=outcome.evidence) if missing else outcome


class TakesADocumentedNoForDone(Mailchimp):
    def carry_out(self, instruction: Instruction) -> Outcome:
        outcome = super().carry_out(instruction)
        no = bool(outcome.evidence) and outcome.evidence[-1].status == 400
        return Applied(evidence=outcome.evidence) if no else outcome


class TakesAPageForANo(Mailchimp):
    def carry_out(self, instruction: Instruction) -> Outcome:
        outcome = super().carry_out(instruction)
        blocked = isinstance(outcome, Retryable) and outcome.blocked
        return Refused(reason="no", evidence=outcome.evidence) if blocked else outcome


class TakesAPageForItsRejection(Mailchimp):
    def carry_out(self, instruction: Instruction) -> Outcome:
        outcome = super().carry_out(instruction)
        if isinstance(outcome, Retryable) and outcome.blocked:
            raise CredentialsRejected(outcome.evidence[-1].endpoint, outcome.evidence[-1].status)
        return outcome


class SaysThatItIsAskedToWait(Mailchimp):
    """And nobody hears that somebody else says so."""

    def carry_out(self, instruction: Instruction) -> Outcome:
        outcome = super().carry_out(instruction)
        return replace(outcome, blocked=False) if isinstance(outcome, Retryable) else outcome


class HasARowThatItDoesNotGoBy(Mailchimp):
    errors = (*Mailchimp.errors, Error((409,), ("Trouble of Another Kind",), Meaning.LEFT))


class TakesALeftThingForANo(Mailchimp):
    """It knows the row, and says nothing to anybody of what is to be done."""

    def carry_out(self, instruction: Instruction) -> Outcome:
        outcome = super().carry_out(instruction)
        return Refused(reason="no", evidence=outcome.evidence) if isinstance(outcome, HandOver) else outcome


class HidesWhoseFaultItIs(Mailchimp):
    def carry_out(self, instruction: Instruction) -> Outcome:
        outcome = super().carry_out(instruction)
        return Refused(reason="no", evidence=outcome.evidence) if isinstance(outcome, Refused) else outcome


class NeedsItsNoteToReadBack(Mailchimp):
    def carry_out(self, instruction: Instruction) -> Outcome:
        outcome = super().carry_out(instruction)
        self._kit.shelf.note("told", "yes")
        return outcome

    def verify(self, instruction: Instruction) -> Finding:
        known = self._kit.shelf.get("told") is not None
        return super().verify(instruction) if known else CannotTell(reason="never told")


class UnknownIsLater(Mailchimp):
    def carry_out(self, instruction: Instruction) -> Outcome:
        outcome = super().carry_out(instruction)
        return Retryable(reason="?", evidence=outcome.evidence) if isinstance(outcome, Refused) else outcome


class ForgetsDoubt(Mailchimp):
    def carry_out(self, instruction: Instruction) -> Outcome:
        outcome = super().carry_out(instruction)
        return replace(outcome, doubtful=False) if isinstance(outcome, Retryable) else outcome


class ForgetsTheWishToWait(Mailchimp):
    def carry_out(self, instruction: Instruction) -> Outcome:
        outcome = super().carry_out(instruction)
        return replace(outcome, retry_after=None) if isinstance(outcome, Retryable) else outcome


class LeaksIntoEvidence(Mailchimp):
    def carry_out(self, instruction: Instruction) -> Outcome:
        outcome = super().carry_out(instruction)
        return replace(outcome, evidence=(*outcome.evidence, self._leak(instruction)))

    def _leak(self, instruction: Instruction) -> Evidence:
        return Evidence("GET /x", 200, self._kit.clock.now(), note=f"/members/{sound.md5(instruction.addresses[0])}")


class LeaksIntoTheLog(Mailchimp):
    def carry_out(self, instruction: Instruction) -> Outcome:
        logging.getLogger("dpsync").debug("telling %s", instruction.addresses[0])
        return super().carry_out(instruction)


class ShowsItsKey(Mailchimp):
    def __repr__(self) -> str:
        return f"Mailchimp({SECRET})"


class DoesWhatItDoesNotDeclare(Mailchimp):
    def carry_out(self, instruction: Instruction) -> Outcome:
        undeclared = instruction.right not in self.capabilities
        return super().carry_out(replace(instruction, right=Right.OPT_OUT) if undeclared else instruction)


class BelievesItself(Mailchimp):
    def verify(self, instruction: Instruction) -> Finding:
        return AsAsked(evidence=())


class WritesWhenProbed(Mailchimp):
    def probe(self) -> Account:
        self.carry_out(instruction(Right.OPT_OUT))
        return super().probe()


class ArchivesAgain(Mailchimp):
    """Not the same twice: the second telling finds nothing."""

    told = False

    def carry_out(self, instruction: Instruction) -> Outcome:
        outcome = super().carry_out(instruction)
        self.told, before = True, self.told
        return NothingHeld(evidence=outcome.evidence) if before else outcome


class IgnoresTheDeadline(Mailchimp):
    def carry_out(self, instruction: Instruction) -> Outcome:
        return super().carry_out(replace(instruction, may_call_until=lambda: float("inf")))


class AsksForTheLeaseOnce(Mailchimp):
    def carry_out(self, instruction: Instruction) -> Outcome:
        moment = instruction.deadline
        return super().carry_out(replace(instruction, may_call_until=lambda: moment))


class BringsBackOnLifting(Mailchimp):
    def carry_out(self, instruction: Instruction) -> Outcome:
        if instruction.lifted:
            calls = self.calls(instruction)
            calls.lists.update_list_member("list1", sound.md5(OLD), {"status": "subscribed"})
        return super().carry_out(instruction)


class Between(Http):
    """Stands between a connector and its client: `again` repeats what got no answer; `heard` are the answers."""

    def __init__(self, http: Http, *, again: bool) -> None:
        self.http, self.again, self.heard = http, again, list[Reply]()

    def call(self, *args: Any, **more: Any) -> Reply:
        try:
            reply = self.http.call(*args, **more)
        except NoAnswer:
            if not self.again:
                raise
            reply = self.http.call(*args, **more)
        self.heard.append(reply)
        return reply


class RepeatsAWriteAfterAReset(Mailchimp):
    def __init__(self, settings: MailchimpSettings, kit: Kit, **more: Any) -> None:
        super().__init__(settings, replace(kit, http=Between(kit.http, again=True)), **more)


class TakesTheVendorsOwn404ForNobody(Mailchimp):
    """Without asking whether there is anything at all that it can still read."""

    def __init__(self, settings: MailchimpSettings, kit: Kit, **more: Any) -> None:
        self.between = Between(kit.http, again=False)
        super().__init__(settings, replace(kit, http=self.between), **more)

    def carry_out(self, instruction: Instruction) -> Outcome:
        outcome = super().carry_out(instruction)
        match json_of(self.between.heard[-1]) if self.between.heard else None:
            case {"status": 404, "title": "Resource Not Found"}:
                return NothingHeld(evidence=outcome.evidence)
        return outcome


class Keyless(Http):
    """Takes the credential off each call; `where` puts it there instead."""

    def __init__(self, http: Http, where: str) -> None:
        self.http, self.where = http, where

    def call(self, method: str, url: str, **more: Any) -> Reply:
        headers = {name: value for name, value in more.pop("headers").items() if name != "Authorization"}
        return self.http.call(method, url + self.where, headers=headers, **more)


class SendsNoKey(Mailchimp):
    def __init__(self, settings: MailchimpSettings, kit: Kit, **more: Any) -> None:
        super().__init__(settings, replace(kit, http=Keyless(kit.http, "")), **more)


class SendsItsKeyInTheAddress(Mailchimp):
    def __init__(self, settings: MailchimpSettings, kit: Kit, **more: Any) -> None:
        super().__init__(settings, replace(kit, http=Keyless(kit.http, f"?key={SECRET}")), **more)


class KeylessWithAnotherHeader(Keyless):
    def call(self, method: str, url: str, **more: Any) -> Reply:
        return super().call(method, url, **more | {"headers": {**more["headers"], "Accept-Language": "en"}})


class SendsAnotherHeaderForItsKey(Mailchimp):
    def __init__(self, settings: MailchimpSettings, kit: Kit, **more: Any) -> None:
        super().__init__(settings, replace(kit, http=KeylessWithAnotherHeader(kit.http, "")), **more)


class PutsThePersonInAShelfKey(Mailchimp):
    def carry_out(self, instruction: Instruction) -> Outcome:
        self._kit.shelf.put(f"seen/{base64.b64encode(instruction.addresses[0].encode()).decode()}", "yes")
        return super().carry_out(instruction)


class AsksForTheFirstAddressOnly(Mailchimp):
    def carry_out(self, instruction: Instruction) -> Outcome:
        return super().carry_out(replace(instruction, addresses=instruction.addresses[:1]))


class AsksUnderTheGivenSpellingOnly(Mailchimp):
    def _addresses(self, instruction: Instruction) -> tuple[str, ...]:
        return tuple(address.lower() for address in instruction.addresses)


class CallsByHandWhatItsApiDoes(Mailchimp):
    capabilities: ClassVar[Mapping[Right, Capability]] = MappingProxyType(
        {right: replace(can, means=Means.OPERATOR) for right, can in Mailchimp.capabilities.items()}
    )


def planted(kind: type[Mailchimp]) -> HttpContract:
    class Suite(sound.Only):
        connector = kind

        def built(self, kit: Kit) -> Connector:
            return kind(MailchimpSettings.model_validate(self.section), kit, sleep=lambda _: None)

    return Suite()


ERASURE = Right.ERASURE
CAUGHT: list[tuple[type[Mailchimp], Callable[[HttpContract], None]]] = [
    (EmptyFaultIsSuccess, lambda suite: suite.test_later_is_later_and_the_processors_wish_is_kept(ERASURE, 500)),
    (UnreadableIsSuccess, lambda suite: suite.test_a_200_that_cannot_be_read_is_never_taken_for_done(ERASURE)),
    (UnreadableIsSuccess, lambda suite: suite.test_a_page_of_html_is_never_taken_for_an_answer(ERASURE)),
    (IgnoresCredentials, lambda suite: suite.test_a_rejected_credential_stops_everything(ERASURE, 401)),
    (
        ForgetsWhatWentBeforeTheRejection,
        lambda suite: suite.test_a_credential_rejected_half_way_keeps_what_the_first_calls_were_told(ERASURE),
    ),
    (
        ForgetsTheDoubtOfTheRejection,
        lambda suite: suite.test_a_credential_rejected_half_way_keeps_what_the_first_calls_were_told(ERASURE),
    ),
    (
        ForgetsWhatWentBeforeTheWait,
        lambda suite: suite.test_what_was_done_before_the_processor_asked_to_wait_leaves_doubt(ERASURE),
    ),
    (
        AsksAgainWhatSaidYes,
        lambda suite: suite.test_a_vendor_that_says_yes_and_does_nothing_is_contradicted(ERASURE),
    ),
    (AnyMissingIsNothingHeld, lambda suite: suite.test_a_404_of_another_shape_is_not_nothing_held(ERASURE)),
    (TakesADocumentedNoForDone, lambda suite: suite.test_done_is_said_only_where_the_vendor_did_it(ERASURE)),
    (
        TakesAPageForANo,
        lambda suite: suite.test_an_answer_that_is_not_the_vendors_is_about_the_account_and_about_nobody(ERASURE, 404),
    ),
    (
        TakesAPageForItsRejection,
        lambda suite: suite.test_an_answer_that_is_not_the_vendors_is_about_the_account_and_about_nobody(ERASURE, 403),
    ),
    (
        SaysThatItIsAskedToWait,
        lambda suite: suite.test_an_answer_that_is_not_the_vendors_is_about_the_account_and_about_nobody(ERASURE, 429),
    ),
    (HasARowThatItDoesNotGoBy, lambda suite: suite.test_the_connector_goes_by_each_row_of_its_table()),
    (TakesALeftThingForANo, lambda suite: suite.test_the_connector_goes_by_each_row_of_its_table()),
    (HidesWhoseFaultItIs, lambda suite: suite.test_an_error_of_the_table_means_what_its_row_says(ERASURE)),
    (
        ForgetsWhatWentBeforeTheRejection,
        lambda suite: suite.test_an_error_of_the_table_means_what_its_row_says(ERASURE),
    ),
    (
        NeedsItsNoteToReadBack,
        lambda suite: suite.test_the_first_read_back_needs_nothing_that_was_only_noted(ERASURE),
    ),
    (
        SendsNoKey,
        lambda suite: suite.test_every_call_is_https_and_carries_a_credential_and_no_person_in_its_query(ERASURE),
    ),
    (
        SendsAnotherHeaderForItsKey,
        lambda suite: suite.test_every_call_is_https_and_carries_a_credential_and_no_person_in_its_query(ERASURE),
    ),
    (
        SendsItsKeyInTheAddress,
        lambda suite: suite.test_every_call_is_https_and_carries_a_credential_and_no_person_in_its_query(ERASURE),
    ),
    (UnknownIsLater, lambda suite: suite.test_an_undocumented_answer_is_a_no_for_a_person_to_look_at(ERASURE)),
    (
        ForgetsDoubt,
        lambda suite: suite.test_a_broken_connection_leaves_a_write_in_doubt(
            ERASURE, requests.exceptions.ChunkedEncodingError()
        ),
    ),
    (ForgetsDoubt, lambda suite: suite.test_later_is_later_and_the_processors_wish_is_kept(ERASURE, 502)),
    (ForgetsTheWishToWait, lambda suite: suite.test_later_is_later_and_the_processors_wish_is_kept(ERASURE, 429)),
    (LeaksIntoEvidence, lambda suite: suite.test_who_is_held_is_told_and_it_is_done(ERASURE)),
    (ShowsItsKey, lambda suite: suite.test_no_repr_shows_a_secret_or_a_person(ERASURE)),
    (DoesWhatItDoesNotDeclare, lambda suite: suite.test_an_undeclared_right_is_our_bug_and_no_call_is_made()),
    (BelievesItself, lambda suite: suite.test_what_was_not_done_is_never_found_as_asked(ERASURE)),
    (BelievesItself, lambda suite: suite.test_what_cannot_be_read_back_is_not_found_as_asked(ERASURE)),
    (WritesWhenProbed, lambda suite: suite.test_probing_only_reads()),
    (ArchivesAgain, lambda suite: suite.test_told_twice_the_effect_is_that_of_once(ERASURE)),
    (IgnoresTheDeadline, lambda suite: suite.test_no_call_begins_after_the_deadline(ERASURE)),
    (AsksForTheLeaseOnce, lambda suite: suite.test_a_lease_that_is_lost_half_way_ends_the_calls(Right.RESTRICTION)),
    (
        RepeatsAWriteAfterAReset,
        lambda suite: suite.test_a_write_that_may_have_been_done_is_not_made_again_at_once(
            ERASURE, requests.exceptions.ChunkedEncodingError()
        ),
    ),
    (
        TakesTheVendorsOwn404ForNobody,
        lambda suite: suite.test_the_answer_about_nobody_proves_nothing_where_every_question_gets_it(ERASURE),
    ),
    (PutsThePersonInAShelfKey, lambda suite: suite.test_who_is_held_is_told_and_it_is_done(ERASURE)),
    (AsksForTheFirstAddressOnly, lambda suite: suite.test_every_address_is_asked_for(ERASURE)),
    (
        AsksUnderTheGivenSpellingOnly,
        lambda suite: suite.test_a_mailbox_is_found_whatever_its_spelling_there(ERASURE, *SPELT[:2]),
    ),
    (
        CallsByHandWhatItsApiDoes,
        lambda suite: suite.test_what_is_said_to_go_through_the_api_does_and_nothing_else(ERASURE),
    ),
    (BringsBackOnLifting, lambda suite: suite.test_lifting_a_restriction_brings_nobody_back()),
]


@pytest.mark.parametrize(("kind", "check"), CAUGHT, ids=[kind.__name__ for kind, _ in CAUGHT])
def test_a_careless_connector_is_caught_and_a_careful_one_is_not(
    kind: type[Mailchimp], check: Callable[[HttpContract], None]
) -> None:
    check(planted(Mailchimp))
    with pytest.raises((AssertionError, pytest.fail.Exception, CredentialsRejected)):
        check(planted(kind))


def test_a_person_in_the_log_is_caught(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    planted(Mailchimp).test_who_is_held_is_told_and_it_is_done(ERASURE)
    assert_clean(caplog.text)
    planted(LeaksIntoTheLog).test_who_is_held_is_told_and_it_is_done(ERASURE)
    with pytest.raises(AssertionError):
        assert_clean(caplog.text)
