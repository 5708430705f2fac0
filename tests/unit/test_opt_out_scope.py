"""What somebody left, in one text; what that is at one processor: never more, never less, else a person is asked."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import ClassVar

import pytest

from dpsync.connector import Capability, Means, Processor, RosterLine
from dpsync.errors import ConfigurationError, DecisionRefused, PayloadInvalid
from dpsync.intake.payload import parse_request
from dpsync.intake.sources.reading import load, parse
from dpsync.intake.sources.rules import SourceDelivery
from dpsync.intake.sweeping.compare import LEFT, MAILED, Carried, as_listed, differences
from dpsync.ledger import rows
from dpsync.model import Cause, Exemption, ExemptionCode, Request, Right, State, Subject, Way
from dpsync.opt_out_scope import in_words, may_concern, named, read, spelled
from dpsync.processors import _scopes
from dpsync.propagation.rules import scoped
from dpsync.propagation.rules.lifecycle import Decision, DecisionKind, Position, advance
from dpsync.propagation.rules.plan import Safety, Surroundings, initial_state
from dpsync.propagation.rules.scoped import Narrowed
from dpsync.settings import ProcessorSection
from tests.builders import TestConnector, Vendor

TODAY = date(2026, 11, 20)
NOW = datetime(2026, 11, 20, 9, tzinfo=UTC)
EVENTS = "topic=events"
CALM = Surroundings(shared_address=False, restricted=False, counted=0, confirmed=True)


class Narrows(TestConnector):
    parts: ClassVar[dict[str, str]] = {"audience": "[a-z]{2}", "group": "[a-z]{2}/[0-9]"}


class Reads(TestConnector):
    tells_scope: ClassVar[bool] = True


class ByLetter(TestConnector):
    capabilities: ClassVar[dict[Right, Capability]] = {
        right: Capability(Means.API, "done", "", "read", "a test") for right in set(Right) - {Right.OPT_OUT}
    }


def processor(connector: type[TestConnector] = Narrows, **scopes: tuple[str, ...]) -> Processor:
    return Processor(
        name="alpha",
        title="Alpha",
        account="alpha",
        connector=connector(Vendor()),
        contact="privacy@alpha.example",
        answer_within=timedelta(days=10),
        scopes={f"topic={name}": meant for name, meant in scopes.items()},
    )


# --- the text


@pytest.mark.parametrize(
    ("typed", "text", "words"),
    [
        ("topic=events", EVENTS, "topic events"),
        (" channel = email,topic=events ", "topic=events, channel=email", "topic events, channel email"),
        ("list=a/b,audience=x.1", "audience=x.1, list=a/b", "audience x.1, list a/b"),
    ],
)
def test_a_scope_has_one_text_however_it_is_typed(typed: str, text: str, words: str) -> None:
    assert read(typed) == text
    assert read(text) == text
    assert spelled(named(text)) == text
    assert in_words(text) == words
    assert (named(""), in_words("")) == ({}, "")


@pytest.mark.parametrize(
    "typed", ["", "events", "topic=", "topic=a,topic=b", "topic=a;b", "group=a", "topic=é", "a=b=c"]
)
def test_what_is_no_scope_is_none(typed: str) -> None:
    with pytest.raises(ValueError, match="must"):
        read(typed)


@pytest.mark.parametrize(
    ("scope", "mailing", "concerned"),
    [
        (EVENTS, "", True),
        (EVENTS, EVENTS, True),
        (EVENTS, "topic=news", False),
        (EVENTS, "channel=email", True),
        ("topic=events, channel=email", EVENTS, True),
        ("topic=events, channel=email", "topic=events, channel=sms", False),
        ("", "topic=news", True),
    ],
)
def test_a_mailing_concerns_whoever_left_what_it_may_belong_to(scope: str, mailing: str, *, concerned: bool) -> None:
    assert may_concern(scope, mailing) is concerned


# --- at one processor


@pytest.mark.parametrize(
    ("of", "waits", "told"),
    [
        (processor(), True, Narrowed(EVENTS, ())),
        (processor(news=("audience=aa",)), True, Narrowed(EVENTS, ())),
        (processor(events=("audience=aa",)), False, Narrowed(EVENTS, ("audience=aa",))),
        (processor(events=("everything",)), False, Narrowed()),
        (processor(events=("nothing",)), True, Narrowed(EVENTS, ())),
        (processor(TestConnector), True, Narrowed(EVENTS, ())),
        (processor(Reads), False, Narrowed(EVENTS)),
        (processor(Reads, events=("everything",)), False, Narrowed()),
    ],
)
def test_what_no_settings_name_waits_for_a_person_and_is_told_as_nothing(
    of: Processor, told: Narrowed, *, waits: bool
) -> None:
    asked = frozenset({Cause.SCOPE_UNMAPPED} if waits else ())
    assert scoped.causes(EVENTS, of, Way.API) == asked
    assert scoped.causes(EVENTS, of, Way.NOTICE) == frozenset(), "a letter says it in words"
    assert scoped.causes("", of, Way.API) == frozenset()
    assert scoped.told(EVENTS, of, everywhere=False) == told
    assert scoped.told(EVENTS, of, everywhere=True) == scoped.told("", of, everywhere=False) == Narrowed()
    assert scoped.parts_of(EVENTS, of, everywhere=False) == frozenset(
        told.only or (() if told.scope else ("everything",))
    )
    assert scoped.parts_of(EVENTS, of, everywhere=True) == {"everything"}


def test_whoever_is_written_to_is_told_in_words() -> None:
    assert scoped.told(EVENTS, processor(ByLetter), everywhere=False) == Narrowed(EVENTS)


@pytest.mark.parametrize(
    ("scope", "of", "state", "causes"),
    [
        (EVENTS, processor(), State.HELD, {Cause.SCOPE_UNMAPPED}),
        (EVENTS, processor(events=("audience=aa",)), State.PENDING, set()),
        (EVENTS, processor(events=("nothing",)), State.EXEMPT, set()),
        ("topic=news", processor(events=("nothing",)), State.HELD, {Cause.SCOPE_UNMAPPED}),
        ("", processor(events=("nothing",)), State.PENDING, set()),
        (EVENTS, processor(ByLetter), State.PENDING, set()),
        (EVENTS, processor(Reads), State.PENDING, set()),
    ],
)
def test_an_opt_out_from_a_part_begins_so(scope: str, of: Processor, state: State, causes: set[Cause]) -> None:
    asked = Request("crm", "1", Right.OPT_OUT, Subject(id="7"), NOW, scope=scope)
    begun = initial_state(asked, of, CALM, Safety(), TODAY)
    assert (begun.state, begun.causes) == (state, frozenset(causes))
    assert begun.counts is (state is not State.EXEMPT)
    crowded = initial_state(asked, of, replace(CALM, counted=50), Safety(), TODAY)
    assert crowded.causes == (causes or (set() if state is State.EXEMPT else {Cause.BRAKE}))
    excused = replace(of, exempt={Right.OPT_OUT: Exemption(ExemptionCode.IMPOSSIBLE, "no copy", "Ada", TODAY)})
    assert initial_state(asked, excused, CALM, Safety(), TODAY).state is State.EXEMPT


@pytest.mark.parametrize("causes", [{Cause.SCOPE_UNMAPPED}, {Cause.SCOPE_UNMAPPED, Cause.BRAKE}])
def test_a_person_may_say_that_a_part_does_not_concern_a_processor(causes: set[Cause]) -> None:
    at = Position(right=Right.OPT_OUT, state=State.HELD, way=Way.API, causes=frozenset(causes))
    step = advance(at, Decision(DecisionKind.SETTLE), NOW)
    assert step.state is State.SETTLED
    assert not step.causes
    for other in (replace(at, causes=frozenset({Cause.BRAKE})), replace(at, state=State.SETTLED)):
        with pytest.raises(DecisionRefused, match="nothing to settle"):
            advance(other, Decision(DecisionKind.SETTLE), NOW)


# --- the settings


def section(**scopes: object) -> ProcessorSection:
    about = {"title": "Alpha", "connector": "alpha", "account": "alpha", "contact": "privacy@alpha.example"}
    raw = {f"topic={name}": meant for name, meant in scopes.items()}
    return ProcessorSection.model_validate({**about, "scopes": raw})


@pytest.mark.parametrize(
    ("meant", "taken"),
    [
        (["audience=aa"], ("audience=aa",)),
        (["audience=aa", "group=bb/7"], ("audience=aa", "group=bb/7")),
        (["everything"], ("everything",)),
        (["nothing"], ("nothing",)),
        (["all"], None),
        (["audience=aaa"], None),
        (["group=aa"], None),
        (["list=aa"], None),
        ([], None),
        (["everything", "audience=aa"], None),
        (["everything", "nothing"], None),
        (["audience=aa", "list=aa"], None),
    ],
)
def test_only_what_the_connector_can_narrow_down_to_is_taken(meant: object, taken: tuple[str, ...] | None) -> None:
    connector = Narrows(Vendor())
    if taken is not None:
        assert _scopes("alpha", section(events=meant), connector) == {EVENTS: taken}
        return
    with pytest.raises(ConfigurationError) as caught:
        _scopes("alpha", section(events=meant, news=["everything"]), connector)
    (fault,) = caught.value.faults
    assert fault.key == 'processors.alpha.scopes."topic=events"'
    assert fault.problem == 'must be ["audience=..."] or ["group=..."] or ["everything"] or ["nothing"] of alpha'


def test_whoever_cannot_narrow_down_takes_only_all_or_nothing() -> None:
    with pytest.raises(ConfigurationError, match=r'must be \["everything"\] or \["nothing"\] of alpha'):
        _scopes("alpha", section(events=["audience=aa"]), TestConnector(Vendor()))


# --- who is found in a list


@pytest.mark.parametrize(
    ("left", "place", "mailed", "opted_out"),
    [
        ("audience=AB", "ab", True, True),
        ("list=ab", "ab", True, True),
        ("audience=ab", "cd", False, False),
        ("interest=ab/7", "ab", False, False),
        ("channel=email", "account", False, True),
        ("channel=sms", "account", False, False),
        ("everything", "ab", True, True),
    ],
)
def test_who_left_a_part_is_a_finding_only_in_that_part(
    left: str, place: str, *, mailed: bool, opted_out: bool
) -> None:
    """`mailed`: that they are mailed in that place is found. `opted_out`: that it says so is our own doing."""
    there = RosterLine(place, "7", "ada@example.org", mailed=True, used=True, opted_out=False)
    gone = replace(there, mailed=False, opted_out=True)
    parts = frozenset({left})
    assert differences(there, Carried(leaves=parts, left=parts)) == ([MAILED] if mailed else [])
    assert differences(there, Carried(leaves=parts)) == [], "not done yet"
    assert differences(gone, Carried(leaves=parts)) == ([] if opted_out else [LEFT])
    both = Carried(leaves=parts) | Carried(left=parts)
    assert (both.leaves, both.left) == (parts, parts)


@pytest.mark.parametrize("left", ["interest=ab/7", "list=12", "channel=sms", "channel=email"])
def test_who_is_back_in_a_part_smaller_than_a_place_is_found_mailed_or_not(left: str) -> None:
    there = RosterLine("ab", "7", "ada@example.org", mailed=True, used=True, opted_out=False)
    parts, beside = frozenset({left}), frozenset({"interest=ab/8"})
    for line in (there, replace(there, mailed=False)):
        back = replace(line, within=parts)
        assert differences(back, Carried(leaves=parts, left=parts)) == [MAILED]
        assert differences(back, Carried(leaves=parts)) == [], "not done yet"
        assert differences(back, Carried(leaves=beside, left=beside)) == [], "that is another part"
        assert differences(replace(line, within=beside), Carried(leaves=parts, left=parts)) == []
        assert as_listed(back).digested() != as_listed(line).digested(), "a person who let it be is asked anew"


def test_only_parts_that_the_settings_name_are_asked_for() -> None:
    of = processor(events=("audience=aa", "group=bb/7"), news=("everything",), talks=("nothing",))
    assert scoped.named_parts(of) == {"audience=aa", "group=bb/7"}


# --- the proof


def test_what_an_entry_commits_to_names_the_scope_and_an_older_one_is_compared_without_it() -> None:
    assert rows.COMMITTED["request"][-1] == "scope", "a new column stands at the end"
    row = dict.fromkeys(rows.COMMITTED["request"], "x")
    key = b"k" * 32
    (said,) = rows.read(rows.item(key, "request", row))
    assert rows.differing(key, said, row | {"scope": EVENTS}) == ["scope"]
    digest, cells = rows._digests(key, "request", row, rows.COMMITTED["request"][:-1])
    older = rows.read(f"request:{digest}:{''.join(map(rows._mark, cells))}")[0]
    assert rows.differing(key, older, row | {"scope": EVENTS}) == []


# --- other main databases


PARTS = """
event = "id"
[[rules]]
name = "all"
right = "opt_out"
when = { all = true }
subject = { id = "person" }
[[rules]]
name = "sms"
right = "opt_out"
when = { sms = "denied" }
subject = { id = "person" }
scope = { channel = "sms" }
[[rules]]
name = "topic"
right = "opt_out"
when = { kind = "left" }
subject = { id = "person" }
scope = { channel = "email" }
scope_at = { topic = "topic.code" }
"""


def parts_in(**more: object) -> list[object]:
    told = SourceDelivery("crm", {"id": 1, "person": 7, **more})
    return [wish.data.get("scope") for wish in parse(PARTS).understand(told, lambda raw: raw.hex()).wishes]


def test_a_mapping_says_which_part_a_message_is_about() -> None:
    topic = {"kind": "left", "topic": {"code": "events"}}
    assert parts_in(**topic) == [{"channel": "email", "topic": "events"}]
    assert parts_in(kind="left", topic={"code": 17}) == [{"channel": "email", "topic": "17"}], "many have numbers"
    assert parts_in(sms="denied", **topic, all=True) == [
        None,
        {"channel": "sms"},
        {"channel": "email", "topic": "events"},
    ], "two parts of one person are two opt-outs, beside one from everything"


@pytest.mark.parametrize("topic", [{}, {"code": None}, {"code": True}, {"code": "two words"}, None])
def test_a_part_that_is_not_there_is_refused_and_makes_no_opt_out_from_more(topic: object) -> None:
    (scope,) = parts_in(kind="left", topic=topic)
    data = {"right": "opt_out", "subject": {"id": "7"}, "scope": scope}
    with pytest.raises(PayloadInvalid, match="must") as caught:
        parse_request(data, source="crm", event_id="1", now=NOW)
    assert caught.value.field.startswith("scope")


@pytest.mark.parametrize(
    ("line", "right"),
    [
        ('scope = { topic = "events" }', "erasure"),
        ('scope_at = { topic = "x" }', "erasure"),
        ('scope = { group = "events" }', "opt_out"),
        ('scope = { topic = "two words" }', "opt_out"),
        ('scope = { topic = "a" }\nscope_at = { topic = "x" }', "opt_out"),
    ],
)
def test_a_mapping_narrows_nothing_but_an_opt_out_and_each_kind_once(line: str, right: str) -> None:
    text = PARTS.replace('scope = { channel = "sms" }', line).replace(
        'right = "opt_out"\nwhen = { sms', f'right = "{right}"\nwhen = {{ sms'
    )
    with pytest.raises(ConfigurationError):
        parse(text)


def test_mautic_and_civicrm_tell_of_parts() -> None:
    core = {"core": {"email": {"value": "ada@example.org"}}}
    change = {
        "contact": {"id": 4711, "fields": core},
        "old_status": "contactable",
        "new_status": "unsubscribed",
        "timestamp": "2026-11-20T08:56:00+00:00",
    }
    told = {"event": "mautic.lead_channel_subscription_changed"}
    wishes = {
        channel: [
            wish.data.get("scope")
            for wish in load("mautic", Path())
            .understand(SourceDelivery("mautic", [{**told, "data": {**change, "channel": channel}}]), lambda _: "x")
            .wishes
        ]
        for channel in ("email", "sms")
    }
    assert wishes == {"email": [None], "sms": [{"channel": "sms"}]}
    left = {
        "event_id": "0198c0de",
        "made_at": "2026-11-20T08:55:00+00:00",
        "table": "civicrm_group_contact",
        "contact_id": 7,
        "emails": ["ada@example.org"],
        "group": {"name": "Newsletter_2", "mailing": 1},
        "new": {"status": "Removed"},
    }
    (wish,) = load("civicrm", Path()).understand(SourceDelivery("civicrm", left), lambda _: "x").wishes
    assert wish.data["scope"] == {"list": "Newsletter_2"}
