"""A restriction at Mailchimp has two steps, and the second never hides that the first is missing."""

import pytest
import requests

from dpsync.connector import Applied, HandOver, Refused, Retryable
from dpsync.model import Right
from tests.connectors.contract import OLD, Said, instruction
from tests.connectors.test_mailchimp import LIFTED, StandIn, md5, on_stage, person, problem, said, told


class Half(StandIn):
    """Answers `how` to one method, until it is mended."""

    method = "PATCH"
    how: Said | None = None

    def answer(self, request: requests.PreparedRequest) -> Said:
        return self.how if self.how and request.method == self.method else super().answer(request)


def half(method: str, how: Said, status: str = "subscribed") -> Half:
    vendor = Half({"list1": person(OLD, "list1", status)})
    vendor.method, vendor.how = method, how
    return vendor


def test_who_may_still_be_subscribed_is_not_archived_before_a_retry_has_unsubscribed_them() -> None:
    vendor = half("PATCH", problem(500, "Trouble"))
    with on_stage(vendor) as stage:
        assert isinstance(stage.tell(instruction(Right.RESTRICTION)), Retryable)
        assert "DELETE" not in {one.method for one in stage.sent}
        vendor.how = None
        assert isinstance(stage.tell(instruction(Right.RESTRICTION)), Applied)
        outcome = stage.tell(instruction(Right.RESTRICTION, lifted=LIFTED))
    assert isinstance(outcome, HandOver)
    assert "'subscribed'" in outcome.task
    assert outcome.references == ("list1",)


def test_who_cannot_be_unsubscribed_is_archived_all_the_same_and_the_no_is_said() -> None:
    vendor = half("PATCH", problem(400, "Member In Compliance State"))
    assert isinstance(told(vendor, Right.RESTRICTION), Refused)
    assert vendor.lists["list1"][md5(OLD)]["status"] == "archived"


@pytest.mark.parametrize(("status", "methods"), [("unsubscribed", ["DELETE"]), ("subscribed", ["PATCH", "DELETE"])])
def test_nobody_is_unsubscribed_twice(status: str, methods: list[str]) -> None:
    with on_stage(StandIn({"list1": person(OLD, "list1", status)})) as stage:
        assert isinstance(stage.tell(instruction(Right.RESTRICTION)), Applied)
        assert [one.method for one in stage.sent if one.method != "GET"] == methods


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (said(200, {}), Retryable),
        (said(202, {}), Retryable),
        (problem(300, "Trouble"), Refused),
        (problem(400, "Trouble"), Refused),
        (problem(500, "Trouble"), Retryable),
    ],
)
def test_archived_is_said_only_for_a_204(answer: Said, kind: type) -> None:
    outcome = told(half("DELETE", answer, "unsubscribed"), Right.RESTRICTION)
    assert isinstance(outcome, kind)
    assert not isinstance(outcome, Retryable) or outcome.doubtful


def test_who_is_taken_out_of_the_archive_before_the_lifting_is_left_alone() -> None:
    vendor = StandIn({"list1": person(OLD, "list1")})
    with on_stage(vendor) as stage:
        stage.tell(instruction(Right.RESTRICTION))
        vendor.lists["list1"][md5(OLD)]["status"] = "unsubscribed"
        assert isinstance(stage.tell(instruction(Right.RESTRICTION, lifted=LIFTED)), Applied)


def test_of_who_went_away_between_a_refused_archiving_and_the_next_look_nothing_is_held() -> None:
    class Goes(StandIn):
        def answer(self, request: requests.PreparedRequest) -> Said:
            if request.method == "DELETE":
                self.lists["list1"].clear()
                return problem(405, "Method Not Allowed")
            return super().answer(request)

    assert not isinstance(told(Goes({"list1": person(OLD, "list1", "cleaned")}), Right.RESTRICTION), HandOver | Applied)
