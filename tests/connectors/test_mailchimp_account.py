"""Whether it is Mailchimp that answers, what it says of the account, and how long that is believed."""

from urllib.parse import urlsplit

import pytest
import requests

from dpsync.connector import Applied, CannotTell, Retryable
from dpsync.errors import ProcessorUnreachable
from dpsync.model import Right
from dpsync.vendor.errors import BLOCKED, NOT_DONE
from tests.connectors.contract import OLD, Said, instruction
from tests.connectors.test_mailchimp import LIFTED, StandIn, on_stage, person, problem, said, told, vendor


class Says(StandIn):
    """Answers everything but one path as it is told to."""

    how: Said = problem(500, "Trouble")

    def answer(self, request: requests.PreparedRequest) -> Said:
        return super().answer(request) if urlsplit(request.url or "").path == "/3.0/lists" else self.how


@pytest.mark.parametrize("change", [{"title": None}, {"title": 7}, {"status": "400"}, {"detail": ["x"]}])
@pytest.mark.parametrize("gone", [True, False])
def test_an_error_is_mailchimps_own_only_with_each_member_of_its_document(
    change: dict[str, object], *, gone: bool
) -> None:
    document = {"title": "Trouble", "status": 400, "detail": "x"} | change
    there = Says({"list1": {}})
    there.how = said(400, {name: value for name, value in document.items() if not gone or name not in change})
    with on_stage(there) as stage:
        with pytest.raises(ProcessorUnreachable) as caught:
            stage.connector.probe()
        assert caught.value.message.startswith(f"Mailchimp: {BLOCKED}")
        finding = stage.read_back(instruction(Right.OPT_OUT))
        assert isinstance(finding, CannotTell)
        assert finding.reason == BLOCKED
        assert isinstance(stage.tell(instruction(Right.OPT_OUT)), Retryable)


def test_an_account_is_named_with_all_its_contacts() -> None:
    with on_stage(vendor(list1={})) as stage:
        account = stage.connector.probe()
    assert (account.title, account.contacts, account.lists) == ("Example Trust", 4711, ("News (list1)",))


@pytest.mark.parametrize(("seconds", "reads"), [(299.5, 1), (300.0, 2)])
def test_the_set_of_audiences_is_believed_for_less_than_five_minutes(seconds: float, reads: int) -> None:
    with on_stage(vendor(list1=person("ada+news@example.org", "list1"))) as stage:
        for _ in range(2):
            stage.tell(instruction(Right.OPT_OUT, addresses=("ada+news@example.org",)))
            stage.clock.seconds += seconds
        assert [urlsplit(one.url or "").path for one in stage.sent].count("/3.0/lists") == reads


def test_a_yes_that_was_carried_out_is_not_said_to_have_changed_nothing() -> None:
    for right in Right:
        outcome = told(vendor(list1=person(OLD, "list1")), right)
        assert isinstance(outcome, Applied)
        assert NOT_DONE not in [one.note for one in outcome.evidence]


def test_who_is_archived_already_is_not_touched_and_is_not_ours_to_take_out() -> None:
    with on_stage(vendor(list1=person(OLD, "list1", "archived"))) as stage:
        assert isinstance(stage.tell(instruction(Right.RESTRICTION)), Applied)
        assert isinstance(stage.tell(instruction(Right.RESTRICTION, lifted=LIFTED)), Applied)
        assert stage.writes() == 0
