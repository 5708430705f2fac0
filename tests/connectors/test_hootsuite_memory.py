"""What Hootsuite's write-back shows, to the moment and to the part, and what is kept and said of it."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from dpsync.connector import Accepted, AsAsked, CannotTell, Contradicts, Exported, HandOver, Recipient
from dpsync.connectors import hootsuite
from dpsync.errors import PayloadInvalid
from dpsync.model import Changes, Right
from tests.connectors.contract import NEW, NOW, OLD, Said, instruction, pseudonym
from tests.connectors.test_hootsuite import (
    ADA,
    BOB,
    CRM,
    LIFTED,
    PHONE,
    ROW,
    StandIn,
    _with,
    conversation,
    deliver,
    exported,
    handed,
    import_error,
    of_the_shelf,
    on_stage,
    read_it,
    right_it,
)

ERASURE = instruction(Right.ERASURE)
ADDRESS = Changes(email=NEW)


def later(**by: float) -> datetime:
    return NOW + timedelta(**by)


# --- moments


@pytest.fixture
def far_away(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine whose clock on the wall is not that of Greenwich."""
    with monkeypatch.context() as there:
        there.setenv("TZ", "Pacific/Auckland")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("far_away")
def test_where_the_machine_stands_says_nothing_of_a_moment() -> None:
    moment = datetime(2026, 8, 1, 9, 42, 27, tzinfo=UTC)
    (row,) = exported({**ROW, "Created at": "2026-08-01 09:42:27"})
    assert row == Exported("0ad42eef", ADA, moment)
    assert row.started_at.utcoffset() == timedelta()
    with on_stage(StandIn({ADA: dict(CRM)}, shows=False)) as stage:
        (seen,) = deliver(stage.connector, conversation(at=NOW))
        assert seen.seen_at.utcoffset() == timedelta()
        assert of_the_shelf(stage)["since"] == "2026-11-20T09:00:00.000000+00:00"


def test_what_is_seen_in_the_same_moment_decides_nothing() -> None:
    stand_in = StandIn({ADA: dict(CRM)}, shows=False, instead=requests.ReadTimeout(), where="/inbox/")
    with on_stage(stand_in) as stage:
        deliver(stage.connector, conversation(at=NOW))
        right_it(stage)
        finding = read_it(stage)
        assert isinstance(finding, CannotTell)
        assert finding.reason == hootsuite.NOT_SHOWN
    with on_stage() as stage:
        stage.tell(ERASURE)
        deliver(stage.connector, conversation(at=NOW))
        assert isinstance(stage.read_back(ERASURE), CannotTell)
        assert isinstance(stage.read_back(ERASURE), CannotTell)


@pytest.mark.parametrize(("by", "kind"), [(120, CannotTell), (120.001, Contradicts)])
def test_two_minutes_are_what_two_clocks_may_differ(by: float, kind: type) -> None:
    with on_stage() as stage:
        right_it(stage)
        deliver(stage.connector, conversation(at=later(seconds=by)))
        assert isinstance(read_it(stage), kind)


@pytest.mark.parametrize(("by", "final"), [(900, False), (900.001, True)])
def test_what_is_other_after_a_quarter_of_an_hour_stays_so(by: float, *, final: bool) -> None:
    with on_stage() as stage:
        right_it(stage)
        deliver(stage.connector, conversation(at=later(seconds=by)))
        finding = read_it(stage)
        assert isinstance(finding, Contradicts)
        assert finding.final is final


@pytest.mark.parametrize(("at", "failed"), [(-3, False), (-2, True), (15, True), (16, False)])
def test_an_import_error_counts_from_its_own_time_and_from_its_arrival(at: int, *, failed: bool) -> None:
    with on_stage() as stage:
        right_it(stage)
        stage.clock.seconds += 3600
        deliver(stage.connector, import_error(later(minutes=at)))
        assert isinstance(read_it(stage), Contradicts) is failed


@pytest.mark.parametrize(("hours", "kind"), [(2, Contradicts), (2.001, CannotTell)])
def test_what_was_reported_is_said_again_for_two_hours(hours: float, kind: type) -> None:
    with on_stage() as stage:
        stage.tell(ERASURE)
        stage.read_back(ERASURE)
        stage.clock.seconds += 60
        deliver(stage.connector, conversation(ADA, {}, at=stage.clock.now()))
        assert isinstance(stage.read_back(ERASURE), Contradicts)
        stage.clock.seconds += 3600 * hours
        assert isinstance(stage.read_back(ERASURE), kind)


# --- values


@pytest.mark.parametrize("source", ["AGENT", "MEDIUM"])
@pytest.mark.parametrize("value", [None, 7])
def test_a_value_of_anothers_that_is_no_text_leaves_the_crms_own_known(source: str, value: object) -> None:
    rows = [{"attribute": "score", "value": value, "source": source}]
    with on_stage(StandIn({ADA: dict(CRM)}, shows=False)) as stage:
        deliver(stage.connector, conversation(attributes=rows))
        assert isinstance(right_it(stage), Accepted)


def test_an_emptied_attribute_that_is_shown_as_null_or_as_nothing_is_as_asked() -> None:
    changes = Changes(first_name="", last_name="King")
    for empty in (None, ""):
        with on_stage() as stage:
            right_it(stage, changes=changes)
            shown = {**CRM, "first_name": empty, "last_name": "King"}
            deliver(stage.connector, conversation(ADA, shown, at=later(hours=1)))
            assert isinstance(read_it(stage, changes=changes), AsAsked)


@pytest.mark.parametrize(
    ("changes", "named", "kind"),
    [
        (Changes(first_name="Augusta"), ("Ada Canary", "@ada"), HandOver),
        (Changes(last_name="King"), ("Ada Canary", "@ada"), HandOver),
        (Changes(first_name="Augusta"), ("visitor", OLD), Accepted),
        (ADDRESS, ("Ada Canary", "@ada"), Accepted),
        (ADDRESS, ("visitor", OLD), HandOver),
        (ADDRESS, ("visitor", NEW), Accepted),
    ],
)
def test_only_what_is_put_right_can_be_wrong_elsewhere(changes: Changes, named: tuple[str, str], kind: type) -> None:
    with on_stage(StandIn({ADA: dict(CRM)}, shows=False)) as stage:
        deliver(stage.connector, conversation(named=named))
        assert isinstance(right_it(stage, changes=changes), kind)


def test_a_handle_is_no_address() -> None:
    with on_stage(StandIn({}, shows=False)) as stage:
        for handle in ("@ada", "ada@", "@ada@", "@", "Ada Canary"):
            (seen,) = deliver(stage.connector, conversation(crm={}, named=("visitor", handle)))
            assert seen.people == ()
        (seen,) = deliver(stage.connector, conversation(crm={}, named=("visitor", "X@example.org")))
        assert seen.people == (pseudonym("x@example.org"),)


def test_an_erasure_that_comes_while_a_change_is_under_way_keeps_its_word() -> None:
    class Slow(StandIn):
        stage: Any = None

        def _put(self, contact: str, body: dict[str, Any]) -> Said:
            self.stage.tell(ERASURE)
            return super()._put(contact, body)

    stand_in = Slow({ADA: dict(CRM)})
    with on_stage(stand_in) as stage:
        stand_in.stage = stage
        right_it(stage)
        for hours in (1, 2):
            profile = of_the_shelf(stage)[f"profile/{pseudonym(ADA)}"]
            assert '"crm": null' in profile
            assert '"erased": true' in profile
            deliver(stage.connector, conversation(at=later(hours=hours)))


# --- what is said


def test_a_contact_that_the_request_names_is_the_persons_without_any_other_sign() -> None:
    alone: dict[str, Any] = {"addresses": (), "name": None, "references": {"hootsuite": (BOB,)}}
    with on_stage() as stage:
        assert handed(stage.tell(instruction(Right.ERASURE, **alone))).references == (BOB,)


def test_who_was_not_seen_is_no_reference_and_nobody_is_to_be_looked_at_first() -> None:
    with on_stage() as stage:
        stranger = {"addresses": ("stranger@example.org",), "changes": Changes(first_name="Eve")}
        assert handed(right_it(stage, **stranger)).references == ()
        task = handed(stage.tell(ERASURE)).task
        assert "delete those too. Write-back has shown conversations since" in task
        assert "Look first" not in task
        slip = [{"attribute": "other_mail", "value": OLD, "source": "AGENT"}]
        deliver(stage.connector, conversation(BOB, {}, named=("Bob", "@bob"), attributes=slip))
        assert "delete those too. First look whether" in handed(stage.tell(ERASURE)).task


@pytest.mark.parametrize(("key", "trace"), [("e-1", "e-1"), ("no trace", ""), (None, ""), ("", "")])
def test_what_write_back_showed_is_evidence_of_a_call_to_us(key: str | None, trace: str) -> None:
    with on_stage() as stage:
        right_it(stage)
        event = conversation(at=later(hours=1))
        event = {name: value for name, value in event.items() if name != "idempotencyKey"}
        deliver(stage.connector, event if key is None else {**event, "idempotencyKey": key})
        finding = read_it(stage)
    assert isinstance(finding, Contradicts)
    (one,) = finding.evidence
    assert (one.endpoint, one.status, one.at) == ("POST crm-write-back", 200, later(hours=1))
    assert (one.request_id, one.note) == (trace, "their webhook to us")


def test_the_block_list_says_of_each_address_whose_it_is_and_whether_it_was_lifted() -> None:
    with on_stage() as stage:
        restricted = handed(stage.tell(instruction(Right.RESTRICTION, phone=PHONE)), Recipient.PROCESSOR)
        stage.tell(instruction(Right.RESTRICTION, subject_id=None, lifted=LIFTED))
        kept = {key: value for key, value in of_the_shelf(stage).items() if key.startswith("blocked/")}
    assert "no state 'restricted'" in restricted.task
    address, phone, subject = pseudonym(OLD.lower()), pseudonym(PHONE), pseudonym("crm-4711")
    assert kept == {
        f"blocked/restriction/{address}/{subject}": "yes",
        f"blocked/restriction/{phone}/{subject}": "yes",
        f"blocked/restriction/{address}/-": "lifted",
    }


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("timestamp", None),
        ("timestamp", later(hours=24, seconds=1).isoformat()),
        ("data.conversation.id", None),
        ("data.conversation.id", ""),
        ("data.contactProfile.id", "a/b"),
        ("data.medium.id", "a/b"),
        ("data.channel.id", 7),
        ("data.conversation.createdAt", "yesterday"),
        ("data.conversation.createdAt", 20261120),
    ],
)
def test_the_field_that_cannot_be_read_is_named(path: str, value: object) -> None:
    with on_stage(StandIn({}, shows=False)) as stage, pytest.raises(PayloadInvalid) as caught:
        deliver(stage.connector, _with(path, value))
    assert caught.value.field == path


def test_a_clock_may_be_a_day_ahead_of_ours() -> None:
    with on_stage(StandIn({}, shows=False)) as stage:
        assert deliver(stage.connector, conversation(at=later(hours=24)))
