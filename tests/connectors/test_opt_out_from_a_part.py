"""A connector that can narrow an opt-out down does so: what was left is left, and nothing else is touched."""

import json
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import pytest
import requests

from dpsync.connector import (
    Applied,
    AsAsked,
    CannotTell,
    Contradicts,
    HandOver,
    Instruction,
    NothingHeld,
    Outcome,
    Recipient,
    Refused,
    Retryable,
)
from dpsync.connectors.mailchimp.calls import NO_GROUP
from dpsync.connectors.webhook.message import content
from dpsync.known_connectors import connector_class, connector_names
from dpsync.model import Right
from dpsync.vendor.errors import NOT_DONE
from dpsync.vendor.places import NO_PART
from tests.connectors import test_brevo as brevo
from tests.connectors import test_campaign_monitor as monitor
from tests.connectors import test_mailchimp as mailchimp
from tests.connectors import test_notice as notice
from tests.connectors.contract import NEW, OLD, HttpStage, Said, instruction

GROUP, BESIDE = "9143cf3bd1", "5e0a2c7f44"


def part(*only: str, **more: Any) -> Instruction:
    return instruction(Right.OPT_OUT, scope="topic=events", only=only, **more)


class Grouped(mailchimp.StandIn):
    """Its contacts are in interest groups. `deaf`: it says yes to a change of these, and does nothing."""

    deaf: bool = False

    def _change(self, members: dict[str, dict[str, Any]], hashed: str, body: Any) -> Said:
        if not self.deaf:
            members[hashed]["interests"].update(body.get("interests", {}))
        self.writes.append(json.dumps(body))
        return super()._change(members, hashed, body)


def grouped(status: str = "subscribed", **more: bool) -> Grouped:
    people = {}
    for name in ("list1", "list2"):
        (one,) = mailchimp.person(OLD, name, status).values()
        people[name] = {one["id"]: {**one, "interests": {GROUP: True, BESIDE: True} | more}}
    return Grouped(people)


def shown(vendor: mailchimp.StandIn) -> list[tuple[str, list[str]]]:
    """Of each audience: the status, and the groups that the contact is in."""
    every = [one for members in vendor.lists.values() for one in members.values()]
    return [(one["status"], [group for group, inside in one.get("interests", {}).items() if inside]) for one in every]


IN_BOTH = [GROUP, BESIDE]


def test_one_audience_is_left_and_no_other() -> None:
    vendor = grouped()
    with mailchimp.on_stage(vendor) as stage:
        assert isinstance(stage.read_back(part("audience=list2")), Contradicts)
        assert isinstance(stage.tell(part("audience=list2")), Applied)
        assert shown(vendor) == [("subscribed", IN_BOTH), ("unsubscribed", IN_BOTH)]
        assert isinstance(stage.read_back(part("audience=list2")), AsAsked)
        assert isinstance(stage.read_back(part("audience=list1")), Contradicts)
        assert isinstance(stage.tell(part("audience=list2")), Applied)
        assert len(vendor.writes) == 1, "told twice is told once"


def test_one_interest_group_is_left_and_the_contact_stays_subscribed() -> None:
    vendor, told = grouped(), part(f"interest=list2/{GROUP}")
    with mailchimp.on_stage(vendor) as stage:
        assert isinstance(stage.read_back(told), Contradicts)
        assert isinstance(stage.tell(told), Applied)
        assert shown(vendor) == [("subscribed", IN_BOTH), ("subscribed", [BESIDE])]
        assert vendor.writes == [json.dumps({"interests": {GROUP: False}})], "the status is not named"
        assert isinstance(stage.read_back(told), AsAsked)
        assert isinstance(stage.tell(told), Applied)
        assert len(vendor.writes) == 1
        asked = {one.url for one in stage.sent if one.method == "GET" and "/members/" in str(one.url)}
        assert all("interests" in str(url) for url in asked)


@pytest.mark.parametrize(("status", "left"), [("archived", IN_BOTH), ("unsubscribed", [BESIDE]), ("cleaned", [BESIDE])])
def test_a_group_is_left_whatever_the_status_but_nobody_is_taken_out_of_the_archive(
    status: str, left: list[str]
) -> None:
    vendor, told = grouped(status), part(f"interest=list2/{GROUP}")
    with mailchimp.on_stage(vendor) as stage:
        assert isinstance(stage.tell(told), Applied)
        assert shown(vendor)[1] == (status, left)
        assert isinstance(stage.read_back(told), AsAsked), "who is archived is mailed nothing"


def test_a_group_that_is_not_there_or_not_left_is_not_done() -> None:
    with mailchimp.on_stage(grouped()) as stage:
        outcome = stage.tell(part("interest=list2/0000000000"))
        assert isinstance(outcome, Retryable)
        assert (outcome.reason, outcome.misplaced) == (NO_GROUP, True)
        assert isinstance(stage.read_back(part("interest=list2/0000000000")), Contradicts)
    vendor = grouped()
    vendor.deaf = True
    with mailchimp.on_stage(vendor) as stage:
        outcome = stage.tell(part(f"interest=list2/{GROUP}"))
        assert isinstance(outcome, Applied)
        assert NOT_DONE in {one.note for one in outcome.evidence}, "so that it is read back and found"
        assert isinstance(stage.read_back(part(f"interest=list2/{GROUP}")), Contradicts)


def test_of_whom_nobody_holds_in_the_part_nothing_is_held() -> None:
    vendor = grouped()
    vendor.lists["list2"].clear()
    with mailchimp.on_stage(vendor) as stage:
        for told in (part("audience=list2"), part(f"interest=list2/{GROUP}")):
            assert isinstance(stage.tell(told), NothingHeld)
            assert isinstance(stage.read_back(told), AsAsked)
    assert shown(vendor) == [("subscribed", IN_BOTH)]


def test_every_part_is_left_under_every_address() -> None:
    vendor = grouped()
    vendor.lists["list1"] |= {
        key: {**one, "interests": dict.fromkeys(IN_BOTH, True)} for key, one in mailchimp.person(NEW, "list1").items()
    }
    told = part("audience=list2", f"interest=list1/{BESIDE}", addresses=(OLD, NEW))
    with mailchimp.on_stage(vendor) as stage:
        assert isinstance(stage.tell(told), Applied)
        assert isinstance(stage.read_back(told), AsAsked)
    assert shown(vendor) == [("subscribed", [GROUP])] * 2 + [("unsubscribed", IN_BOTH)]


@pytest.mark.parametrize("only", [(), ("audience=list9",), ("audience=list1", "audience=list9")])
def test_a_part_that_is_nowhere_is_never_done(only: tuple[str, ...]) -> None:
    vendor = grouped()
    with mailchimp.on_stage(vendor) as stage:
        outcome = stage.tell(part(*only))
        assert isinstance(outcome, Retryable)
        assert (outcome.reason, outcome.misplaced) == (NO_PART, True)
        finding = stage.read_back(part(*only))
        assert isinstance(finding, CannotTell)
        assert (finding.reason, finding.later) == (NO_PART, True)
    left = "unsubscribed" if "audience=list1" in only else "subscribed"
    assert [status for status, _ in shown(vendor)] == [left, "subscribed"], "what is there is left all the same"


# --- Campaign Monitor


def one_list(**more: Any) -> monitor.StandIn:
    return monitor.vendor(*(monitor.book(monitor.person(), **more) for _ in range(3)))


def test_one_list_is_left_where_that_reaches_no_other() -> None:
    vendor, told = one_list(reach="OnlyThisList"), part(f"list={monitor.EVENTS.upper()}")
    with monitor.on_stage(vendor) as stage:
        assert isinstance(stage.read_back(told), Contradicts)
        assert isinstance(stage.tell(told), Applied)
        states = [monitor.state(vendor, one) for one in (monitor.NEWS, monitor.EVENTS, monitor.SHOP)]
        assert states == ["Active", "Unsubscribed", "Active"]
        assert not any(vendor.suppressed.values()), "a suppressed address would get nothing from any list"
        assert isinstance(stage.read_back(told), AsAsked)
        before = stage.writes()
        assert isinstance(stage.tell(told), Applied)
        assert stage.writes() == before


def test_a_list_that_is_left_only_together_with_others_is_left_to_a_person() -> None:
    vendor, told = one_list(), part(f"list={monitor.EVENTS}")
    with monitor.on_stage(vendor) as stage:
        outcome = stage.tell(told)
        assert isinstance(outcome, HandOver)
        assert (outcome.to, outcome.references) == (Recipient.OPERATOR, (monitor.EVENTS,))
        assert "dpsync did nothing" in outcome.task
        assert stage.writes() == 0
        finding = stage.read_back(told)
        assert isinstance(finding, Contradicts)
        assert finding.reason == "a record is not unsubscribed in the list"


def test_of_whom_the_list_does_not_hold_nothing_is_held_whoever_else_does() -> None:
    vendor, told = one_list(), part(f"list={monitor.EVENTS}")
    vendor.clients[monitor.ONE][monitor.EVENTS].people.clear()
    with monitor.on_stage(vendor) as stage:
        assert isinstance(stage.tell(told), NothingHeld)
        assert isinstance(stage.read_back(told), AsAsked)
        outcome = stage.tell(part(f"list={'ff' * 16}"))
    assert isinstance(outcome, Retryable)
    assert outcome.reason == NO_PART


# --- Brevo


def brevo_stage(*people: dict[str, Any], **more: Any) -> AbstractContextManager[HttpStage]:
    stage: AbstractContextManager[HttpStage] = brevo.before(brevo.StandIn(list(people), **more))
    return stage


NUMBER = {"SMS": "447700900123"}


@pytest.mark.parametrize(
    ("which", "after"),
    [
        ("list=3", ([5], False, False)),
        ("list=5", ([3], False, False)),
        ("channel=email", ([3, 5], True, False)),
        ("channel=sms", ([3, 5], False, True)),
    ],
)
def test_one_list_or_one_channel_of_brevo_is_left(which: str, after: tuple[list[int], bool, bool]) -> None:
    person = brevo.contact(OLD, attributes=NUMBER)
    with brevo_stage(person) as stage:
        finding = stage.read_back(part(which))
        assert isinstance(finding, Contradicts)
        why = "the contact is still on the list" if which.startswith("list") else "the contact is not on the blocklist"
        assert finding.reason == why
        assert isinstance(stage.tell(part(which)), Applied)
        assert (person["listIds"], person["emailBlacklisted"], person["smsBlacklisted"]) == after
        assert isinstance(stage.read_back(part(which)), AsAsked)
        assert isinstance(stage.tell(part(which)), Applied)


def test_brevo_is_asked_for_a_list_also_where_the_contact_is_not_on_it() -> None:
    """Only so it says whether it has that list; a channel that is blocked needs nothing."""
    person = brevo.contact(OLD, listIds=[5], emailBlacklisted=True)
    with brevo_stage(person) as stage:
        assert isinstance(stage.tell(part("list=3")), Applied)
        bodies = [json.loads(one.body or b"") for one in stage.sent if one.method == "PUT"]
        assert bodies == [{"unlinkListIds": [3]}]
        for which in ("channel=email", "channel=sms"):
            assert isinstance(stage.tell(part(which)), Applied), "blocked; and without a number nothing can be sent"
            assert isinstance(stage.read_back(part(which)), AsAsked)
        assert stage.writes() == 1
    with brevo_stage(brevo.contact(OLD), passes_over=("unlinkListIds",)) as stage:
        outcome: Outcome = stage.tell(part("list=3"))
        assert isinstance(outcome, Applied)
        assert NOT_DONE in {one.note for one in outcome.evidence}
    with brevo_stage() as stage:
        assert isinstance(stage.tell(part("list=3")), NothingHeld)


def test_a_list_that_brevo_does_not_have_is_not_done() -> None:
    class HasNoSuchList(brevo.StandIn):
        def answer(self, request: requests.PreparedRequest) -> Said:
            no = brevo.said(400, {"code": "invalid_parameter", "message": "Invalid list ids"})
            return no if request.method == "PUT" else super().answer(request)

    with brevo.before(HasNoSuchList([brevo.contact(OLD)])) as stage:
        assert isinstance(stage.tell(part("list=77")), Refused)


# --- told in words


def test_a_letter_asks_to_stop_the_part_and_nothing_else() -> None:
    whole = replace(notice.ERASURE, right=Right.OPT_OUT)
    narrow = replace(whole, scope="topic=events, channel=email")
    before, after = notice.posted(whole), notice.posted(narrow)
    text = " ".join(notice.body_of(after).split())
    assert (
        "The person in the attached file notice.json objects to direct marketing of one kind only: topic events, "
        "channel email. Please send them nothing more of that kind, starting now, and see that it stays this way. "
        "Leave everything else as it is. If you cannot tell this kind from the rest, do not guess: write to us."
    ) in text
    assert "Articles 21(2), 21(3) and 28(3)" in text
    assert "Please stop within 24 hours" in text
    assert "suppression list" not in text, "a suppressed address would get nothing at all"
    assert "Opt-out notice (a part only)" in str(after["Subject"])
    assert notice.attached(after)["scope"] == {"topic": "events", "channel": "email"}
    assert "scope" not in notice.attached(before)
    assert "suppression list" in notice.body_of(before)


def test_a_message_to_a_processors_own_system_names_the_part() -> None:
    def said(scope: str) -> dict[str, Any]:
        return content(instruction(Right.OPT_OUT, scope=scope), (), rehearsal=False) or {}

    assert said("topic=events, channel=email")["scope"] == {"topic": "events", "channel": "email"}
    assert "scope" not in said("")


def test_only_those_who_are_told_in_words_need_no_setting() -> None:
    words = {name for name in connector_names() if (kind := connector_class(name)) and kind.tells_scope}
    parts = {name for name in connector_names() if (kind := connector_class(name)) and kind.parts}
    assert (words, parts) == ({"notice", "webhook"}, {"mailchimp", "campaign_monitor", "brevo"})
