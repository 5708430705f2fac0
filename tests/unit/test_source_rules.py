"""Which message is which wish: paths, conditions, and the rule that what nobody understands is refused."""

import hashlib
import json
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpsync.errors import ConfigurationError, PayloadInvalid
from dpsync.intake.sources.paths import NOTHING, Path
from dpsync.intake.sources.reading import parse
from dpsync.intake.sources.rules import SourceDelivery, Understood

ROW = """
event = ["id", "at"]
[[rules]]
name = "stop"
right = "opt_out"
ground = "direct_marketing_objection"
when = { "old.mail" = true, "new.mail" = false }
subject = { id = "new.id", email = "new.email", other_emails = ["old.email", "new.more"] }
received_at = { path = "at", unit = "seconds" }
version = "version"
[[rules]]
name = "gone"
right = "erasure"
delete_shaped = true
when = { kind = ["DELETE", "PURGE"] }
subject = { id = "old.id", email = "old.email", phone = "old.phone", name = "old.name" }
[[rules]]
name = "corrected"
right = "rectification"
when = { "new.email" = { differs_from = "old.email" }, kind = { not = "DELETE" } }
subject = { id = "new.id", email = "old.email" }
changes = { email = "new.email", last_name = "new.name" }
fields = { FNAME = "new.first" }
[[ignore]]
name = "nothing"
when = { kind = "UPDATE", "new.mail" = { is = "set" } }
"""


parsed = cache(parse)


def understood(mapping: str, body: Any, called: str = "") -> Understood:
    return parsed(mapping).understand(
        SourceDelivery("crm", body, called), lambda raw: hashlib.sha256(raw).hexdigest()[:8]
    )


def row(old: dict[str, Any], new: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": "e1", "at": 1_795_510_500, "kind": "UPDATE", "old": old, "new": new, **more}


STOPPED = row({"id": 7, "mail": True, "email": "ada@example.org"}, {"id": 7, "mail": False, "email": "ada@example.org"})


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a.b", 1),
        ("a.c", None),
        ("a.d", NOTHING),
        ("l[1].x", "second"),
        ("l[2]", NOTHING),
        ("l.x", NOTHING),
        ("a[0]", NOTHING),
        ("a.c | a.b", 1),
        ("a.d | a.c", None),
        ("a.c | a.d", None),
        ('"odd.name"."a b"', True),
        (".", "whole"),
        ("e | l[0].x", ""),
    ],
)
def test_a_path_finds_what_stands_there(text: str, found: object) -> None:
    body = {"a": {"b": 1, "c": None}, "l": [{"x": ""}, {"x": "second"}], "odd.name": {"a b": True}}
    assert Path.parse(text).find(body) == (body if found == "whole" else found)


@pytest.mark.parametrize(
    "text", ["", " ", "a..b", "a.", ".a", "a b", "a[", "a[x]", "a[-1]", "a | ", '"a', "a]", "x" * 201]
)
def test_what_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"path|longer"):
        Path.parse(text)


def test_a_change_that_a_rule_names_is_a_wish() -> None:
    (wish,) = understood(ROW, STOPPED | {"version": "12"}).wishes
    assert (wish.rule, wish.delete_shaped) == ("stop", False)
    assert wish.data == {
        "right": "opt_out",
        "ground": "direct_marketing_objection",
        "subject": {"id": "crm:7", "email": "ada@example.org", "other_emails": ["ada@example.org"]},
        "received_at": "2026-11-24T08:55:00+00:00",
        "version": 12,
    }


def test_one_message_may_be_two_wishes_and_each_has_an_event_of_its_own() -> None:
    changed = row(
        {"id": 7, "mail": True, "email": "old@example.org"}, {"id": 7, "mail": False, "email": "a@example.org"}
    )
    first, second = understood(ROW, changed).wishes
    assert [first.rule, second.rule] == ["stop", "corrected"]
    assert first.event != second.event
    assert first.event.rpartition(".")[::2] == (second.event.rpartition(".")[0], "stop")
    assert second.data["changes"] == {"email": "a@example.org"}


def test_a_correction_clears_what_is_null_and_leaves_what_is_not_there() -> None:
    changed = row({"email": "b@example.org"}, {"id": 1, "email": "a@example.org", "name": None, "first": 5})
    (wish,) = understood(ROW, changed).wishes
    assert wish.data["changes"] == {"email": "a@example.org", "last_name": "", "fields": {"FNAME": "5"}}


def test_a_row_that_is_gone_may_have_been_merged() -> None:
    (wish,) = understood(
        ROW, {"id": "e", "at": 1, "kind": "PURGE", "old": {"id": "x", "email": " ", "phone": 0}}
    ).wishes
    assert (wish.delete_shaped, wish.data["subject"]) == (True, {"id": "crm:x", "phone": "0"})


def test_what_a_rule_ignores_means_nothing_and_what_none_names_is_refused() -> None:
    quiet = row({"mail": True, "email": "a@example.org"}, {"mail": True, "email": "a@example.org"})
    assert understood(ROW, quiet) == Understood((), ("nothing",))
    unknowns: list[Any] = [quiet | {"kind": "OTHER"}, row({}, {}), {}, [], None, "text", 5]
    for unknown in unknowns:
        with pytest.raises(PayloadInvalid, match="matches no rule"):
            understood(ROW, unknown)


@pytest.mark.parametrize(("was", "now"), [(1, False), (True, 0), ("true", False), (True, None), (None, False)])
def test_true_is_not_one_and_what_is_not_said_is_not_false(was: object, now: object) -> None:
    with pytest.raises(PayloadInvalid):
        understood(ROW, row({"mail": was}, {"mail": now}, kind="OTHER"))


def test_an_event_is_known_again_by_its_parts_and_by_nothing_else() -> None:
    def event(**changed: object) -> str:
        (wish,) = understood(ROW, STOPPED | changed).wishes
        return wish.event

    assert event() == event(version=3) == event(other="x")
    others: list[dict[str, Any]] = [{"id": "e2"}, {"at": 2}, {"id": 1, "at": "2"}, {"id": "1", "at": 2}, {"id": "12"}]
    assert len({event(), *(event(**other) for other in others)}) == 6
    assert event(id="\ud800") != event(id="\ud801"), "half a character is no fault"
    assert event(id={"a": 1, "b": 2}) == event(id={"b": 2, "a": 1}) != event(id={"a": 1, "b": "2"})
    missings: list[dict[str, Any]] = [{"id": None}, {"at": None}, {"id": ""}, {"at": " "}, {"id": []}, {"id": {}}]
    for missing in missings:
        with pytest.raises(PayloadInvalid, match="lacks what tells"):
            event(**missing)


def test_the_header_that_names_an_event_counts_and_must_be_there() -> None:
    mapping = ROW.replace('event = ["id", "at"]', 'event_header = "x-event"')
    events = {understood(mapping, STOPPED, called).wishes[0].event for called in ("one", "two", "one")}
    assert len(events) == 2
    with pytest.raises(PayloadInvalid, match="lacks what tells"):
        understood(mapping, STOPPED)


def test_each_message_of_a_list_is_understood_and_one_that_is_not_refuses_all() -> None:
    mapping = 'each = "items"\ninside = "payload | ."\n' + ROW
    quiet = row({"mail": True}, {"mail": True})
    found = understood(mapping, {"items": [STOPPED, {"payload": STOPPED | {"id": "e2"}}, quiet]})
    assert (len(found.wishes), found.ignored) == (2, ("nothing",))
    assert len({wish.event for wish in found.wishes}) == 2
    with pytest.raises(PayloadInvalid) as caught:
        understood(mapping, {"items": [STOPPED, {"x": 1}]})
    assert caught.value.field == "1"
    with pytest.raises(PayloadInvalid) as caught:
        understood(mapping, {"items": [STOPPED, STOPPED | {"new": {"id": 1.5, "mail": False}}]})
    assert caught.value.field == "1.subject.id"
    assert len(understood(mapping, {"items": [quiet] * 100}).ignored) == 100
    with pytest.raises(PayloadInvalid, match="more than 100 messages"):
        understood(mapping, {"items": [quiet] * 101})
    nones: list[Any] = [{"items": []}, {"items": "x"}, {}]
    for none in nones:
        with pytest.raises(PayloadInvalid, match="a list of messages"):
            understood(mapping, none)


SPREAD = """
event = ["id"]
spread = [{ name = "topic", at = "topics" }, { name = "way", at = "topic.value.ways" }]
[[rules]]
name = "left"
right = "opt_out"
when = { "topic.value.on" = false, "topic.key" = { begins = "news-" } }
subject = { email = "email" }
scope_at = { topic = "topic.key" }
[[rules]]
name = "left-one-way"
right = "opt_out"
when = { "way.value" = { begins = "sms" } }
subject = { email = "email" }
scope_at = { topic = "topic.key", channel = "way.value" }
[[ignore]]
name = "stays"
when = { "topic.value.on" = true }
"""


def test_each_entry_of_what_is_spread_needs_a_rule_and_is_an_event_of_its_own() -> None:
    def asked(**topics: object) -> Understood:
        return understood(SPREAD, {"id": 1, "email": "ada@example.org", "topics": topics})

    found = asked(**{"news-a": {"on": False}, "b": {"ways": ["sms", "sms-2"]}, "c": {"on": True}})
    assert [wish.data["scope"] for wish in found.wishes] == [
        {"topic": "news-a"}, {"topic": "b", "channel": "sms"}, {"topic": "b", "channel": "sms-2"},
    ]  # fmt: skip
    assert (len({wish.event for wish in found.wishes}), found.ignored) == (3, ("stays",))
    for odd in ({"b": {"on": False}}, {"news-a": {"on": False}, "d": 1}, {}):
        with pytest.raises(PayloadInvalid):
            asked(**odd)
    many = {f"news-{one}": {"on": False} for one in range(101)}
    with pytest.raises(PayloadInvalid, match="more than 100 messages"):
        asked(**many)


@pytest.mark.parametrize(
    ("unit", "value", "read"),
    [
        ("seconds", 1795510500, "2026-11-24T08:55:00+00:00"),
        ("milliseconds", "1795510500999", "2026-11-24T08:55:00+00:00"),
        ("microseconds", 1795510500999999, "2026-11-24T08:55:00+00:00"),
        ("utc", "2026-11-24 08:55:00.5", "2026-11-24T08:55:00.5Z"),
        ("seconds", "soon", "soon"),
        ("seconds", 10**40, str(10**40)),
    ],
)
def test_a_moment_is_read_in_the_unit_that_the_mapping_names(unit: str, value: object, read: str) -> None:
    mapping = ROW.replace('unit = "seconds"', f'unit = "{unit}"').replace('["id", "at"]', '"id"')
    assert understood(mapping, STOPPED | {"at": value}).wishes[0].data["received_at"] == read


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda s: st.lists(s) | st.dictionaries(st.text(), s)
    )
)
def test_no_body_is_a_fault_or_a_wish_that_the_mapping_does_not_name(body: object) -> None:
    for message in (
        body,
        {"old": body, "new": body, "kind": body},
        {"kind": "DELETE", "id": body, "at": 1, "old": body},
    ):
        try:
            found = understood(ROW, message)
        except PayloadInvalid:
            continue
        assert {wish.rule for wish in found.wishes} <= {"stop", "gone", "corrected"}
        json.dumps([wish.data for wish in found.wishes])


@pytest.mark.parametrize(
    ("was", "becomes", "place"),
    [
        ('event = ["id", "at"]', "", "event or event_header"),
        ('event = ["id", "at"]', 'event = ["id", "a..b"]', "event"),
        ('right = "opt_out"', 'right = "delete"', "rules[0].right"),
        ('name = "stop"', 'name = "Stop"', "rules[0].name"),
        ('when = { kind = ["DELETE", "PURGE"] }', "when = {}", "rules[1].when"),
        ('kind = ["DELETE", "PURGE"]', "kind = []", "rules[1].when"),
        ('kind = ["DELETE", "PURGE"]', "kind = 1.5", "rules[1].when"),
        ('kind = { not = "DELETE" }', 'kind = { not = "DELETE", is = "set" }', "rules[2].when"),
        ('changes = { email = "new.email", last_name = "new.name" }\nfields = { FNAME = "new.first" }', "", "rules[2]"),
        ('phone = "old.phone"', 'fax = "old.phone"', "rules[1].subject.fax"),
        ('ground = "direct_marketing_objection"', 'ground = "whim"', "rules[0].ground"),
        ('version = "version"', 'versions = "version"', "rules[0].versions"),
        ('version = "version"', "delete_shaped = true", "rules[0]"),
        ('version = "version"', "for_a_person = true", "rules[0]"),
        ("version = ", "for_a_person = true\nversion = ", "belongs to a rectification without values"),
        ('name = "corrected"', 'name = "corrected"\nfor_a_person = true', "is for_a_person, and no other right"),
        ('name = "gone"', 'name = "stop"', "two rules have the name stop"),
        ('phone = "old.phone"', 'phone = ["old.phone", "old.other"]', "phone is one path"),
        ('{ is = "set" }', '{ is = "there" }', "ignore[0].when"),
        ('version = "version"', 'lifted = { told_on = "a", how = "b" }', "rules[0]"),
        ("[[rules]]", "[[rule]]", "rule"),
        ("[[ignore]]", "[ignore", "not TOML"),
        ("[[ignore]]", f"a = {'[' * 2000}", "not TOML: nested too deeply"),
        ("[[ignore]]", f"a = {'9' * 5000}", "not TOML: nested too deeply, or a number of too many digits"),
    ],
)
def test_a_fault_in_a_mapping_is_named_by_its_place(was: str, becomes: str, place: str) -> None:
    assert was in ROW
    with pytest.raises(ConfigurationError) as caught:
        parse(ROW.replace(was, becomes))
    assert any(place in f"{fault.key}: {fault.problem}" for fault in caught.value.faults), caught.value.faults
