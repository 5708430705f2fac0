"""What every connector to a vendor that keeps people in places inherits."""

from collections.abc import Iterator

import pytest

from dpsync.connector import CannotTell, Connector, Kit, Refused
from dpsync.connectors.mailchimp import Mailchimp
from dpsync.connectors.mailchimp.calls import Calls, MailchimpSettings
from dpsync.model import Right
from dpsync.vendor.places import NO_PLACE
from tests.connectors.contract import OLD, instruction
from tests.connectors.test_mailchimp import Only, person, vendor


class ShowsNoPlace(Mailchimp):
    def places(self, calls: Calls) -> Iterator[str]:
        return iter(())


class Suite(Only):
    connector = ShowsNoPlace

    def built(self, kit: Kit) -> Connector:
        return ShowsNoPlace(MailchimpSettings.model_validate(self.section), kit, sleep=lambda _: None)


@pytest.mark.parametrize("right", list(Right))
def test_an_account_that_shows_no_place_proves_nothing(right: Right) -> None:
    with Suite().before(vendor(list1=person(OLD, "list1"))) as stage:
        outcome = stage.tell(instruction(right))
        assert isinstance(outcome, Refused)
        assert outcome.reason == NO_PLACE
        assert isinstance(stage.read_back(instruction(right)), CannotTell)
