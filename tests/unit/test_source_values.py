"""What a rule takes out of a message: nothing that could name somebody else, and nothing left out in silence."""

from datetime import UTC, datetime
from typing import Any

import pytest

from dpsync.errors import PayloadInvalid
from dpsync.intake.sources.reading import parse
from dpsync.intake.sources.rules import SourceDelivery, Understood
from dpsync.intake.sources.source import request_of

MAPPING = """
event = "event"
[[rules]]
name = "stop"
right = "opt_out"
when = { stop = true }
subject = { id = "id", email = ["mails", "more"], other_emails = "others", phone = "phone", name = "name" }
[[rules]]
name = "partner-stop"
right = "opt_out"
when = { stop = true, "partner.id" = { is = "set" } }
subject = { id = "partner.id", email = "partner.mail" }
[[rules]]
name = "stop-too"
right = "opt_out"
when = { stop = true }
subject = { id = "id", email = "others" }
[[rules]]
name = "erase"
right = "erasure"
when = { erased = { is = "set" } }
subject = { id = "id" }
[[rules]]
name = "moved"
right = "rectification"
when = { "old.mail" = { differs_from = "new.mail" } }
subject = { id = "id" }
changes = { email = "new.mail" }
[[rules]]
name = "renamed"
right = "rectification"
when = { "old.name" = { differs_from = "new.name" } }
subject = { id = "id" }
changes = { last_name = "new.name" }
fields = { VIP = "new.vip" }
[[refuse]]
name = "no-flag"
when = { flag = { is = "no_flag" } }
[[refuse]]
name = "no-column"
when = { column = { is = "absent" } }
[[ignore]]
name = "rest"
when = { erased = { is = "missing" } }
"""


def understood(**message: Any) -> Understood:
    return parse(MAPPING).understand(SourceDelivery("crm", {"event": "e1", **message}), bytes.hex)


def refused(**message: Any) -> tuple[str, str]:
    with pytest.raises(PayloadInvalid) as caught:
        understood(**message)
    return caught.value.field, caught.value.problem


def subjects(**message: Any) -> list[object]:
    return [wish.data["subject"] for wish in understood(stop=True, **message).wishes]


def test_the_second_of_several_addresses_is_kept_as_another_address() -> None:
    assert subjects(
        id=1, mails=["a@example.org", None, "b@example.org"], more="c@example.org", others="d@example.org"
    ) == [
        {"id": "crm:1", "email": "a@example.org", "other_emails": ["b@example.org", "c@example.org", "d@example.org"]}
    ]
    assert subjects(id=1, mails=[], more=["a@example.org", "a@example.org"]) == [
        {"id": "crm:1", "email": "a@example.org", "other_emails": ["a@example.org"]}
    ]


@pytest.mark.parametrize("unfit", [1.0, {"$oid": "1"}, True, [["x"], {}]])
@pytest.mark.parametrize("name", ["id", "phone", "name"])
def test_what_names_nobody_for_certain_is_refused_not_left_out(name: str, unfit: object) -> None:
    field, problem = refused(stop=True, **{"id": 1, "mails": "a@example.org", name: unfit})
    assert field == f"subject.{name}"
    assert problem in {"is neither text nor a whole number", "is a list: name one place in it, such as phones[0]"}


@pytest.mark.parametrize("unfit", [1.0, {"a": 1}, False, ["a@example.org", {}]])
def test_an_address_that_is_none_is_refused(unfit: object) -> None:
    assert refused(stop=True, id=1, mails=unfit) == ("subject.email", "is neither text nor a whole number")
    assert refused(stop=True, id=1, others=unfit) == ("subject.other_emails", "is neither text nor a whole number")


def test_a_wish_without_the_id_that_the_rule_names_is_refused_but_null_is_no_id() -> None:
    assert refused(stop=True, mails="a@example.org") == ("subject.id", "is not where the rule looks for it")
    assert subjects(id=None, mails="a@example.org") == [{"email": "a@example.org"}]
    assert subjects(id=" ", mails="a@example.org") == [{"email": "a@example.org"}]


def test_of_two_rules_of_one_right_the_first_counts_for_one_person_and_both_for_two() -> None:
    found = understood(stop=True, id=1, others="a@example.org", partner={"id": 2, "mail": "b@example.org"}).wishes
    assert [wish.rule for wish in found] == ["stop", "partner-stop"]
    assert found[0].event.rpartition(".")[0] == found[1].event.rpartition(".")[0]
    assert found[0].event != found[1].event
    assert len(subjects(id=1, partner={"id": 1})) == 1


def test_two_corrections_in_one_message_are_both_made() -> None:
    found = understood(id=1, old={"mail": "a@example.org", "name": "A"}, new={"mail": "b@example.org", "name": "B"})
    assert [wish.data["changes"] for wish in found.wishes] == [{"email": "b@example.org"}, {"last_name": "B"}]
    assert len({wish.event for wish in found.wishes}) == 2


@pytest.mark.parametrize(("said", "becomes"), [(True, "true"), (False, "false"), (None, ""), (5, "5"), (1.5, "1.5")])
def test_a_new_value_is_spelled_as_it_was_sent(said: object, becomes: str) -> None:
    (wish,) = understood(id=1, old={"name": "A"}, new={"name": "B", "vip": said}).wishes
    assert wish.data["changes"] == {"last_name": "B", "fields": {"VIP": becomes}}


def test_a_wish_is_known_again_in_whichever_order_its_sender_writes_the_parts_of_an_address() -> None:
    def mac(**vip: str) -> bytes:
        (wish,) = understood(id=1, old={"name": "A"}, new={"name": "B", "vip": vip}).wishes
        return request_of(wish, "crm", datetime(2026, 11, 20, tzinfo=UTC))[1]

    assert mac(city="Ely", zip="CB7") == mac(zip="CB7", city="Ely") != mac(zip="CB7", city="York")


def test_a_list_is_no_new_value() -> None:
    assert refused(id=1, old={"name": "A"}, new={"name": "B", "vip": ["x"]}) == ("changes.fields", "is a list")
    assert refused(id=1, old={"name": "A"}, new={"name": ["B"]}) == ("changes", "is a list")


@pytest.mark.parametrize("blank", ["", "  ", None])
def test_a_blank_is_missing_so_nobody_is_erased_by_it(blank: object) -> None:
    assert understood(id=1, erased=blank, flag=None, column=None).ignored == ("rest",)
    assert [wish.rule for wish in understood(id=1, erased="2026-11-20").wishes] == ["erase"]


def test_what_a_person_must_look_at_is_refused_although_it_could_be_ignored() -> None:
    problem = "a person must look at this change: dpsync cannot tell it"
    flags: list[object] = ["true", 1, "", [], {}]
    for flag in flags:
        assert refused(flag=flag, column=1) == ("refuse.no-flag", problem)
    assert refused(column=1) == ("refuse.no-flag", problem)
    assert refused(flag=None) == ("refuse.no-column", problem)
    for there in (None, "", 0, "x"):
        assert understood(flag=False, column=there).ignored == ("rest",)
    assert [wish.rule for wish in understood(id=1, erased="x").wishes] == ["erase"], "what a rule names is not refused"
