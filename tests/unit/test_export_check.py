"""The monthly check: an export proves what it would have shown, and nothing that it could not."""

import hashlib
import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from dpsync.errors import DecisionRefused, UsageError
from dpsync.model import ConversationState
from dpsync.propagation.decisions import Person
from dpsync.retention import acts, export_check, worklist
from dpsync.retention.conversations import PURPOSE, opened
from dpsync.retention.export_check import Checked, Range, Read
from dpsync.store import conversation_tables as ct
from dpsync.store import tables as t
from tests.builders import World
from tests.keeping import HEADER, RULE, entries, export, keeping, note, postbox, row, told

DAY = timedelta(days=1)
DUE = datetime(2026, 8, 1, 12, tzinfo=UTC)  # last day: 1 November
DANA = Person("Dana Officer", "dana", "monthly check")
RANGE = Range(date(2025, 1, 1), date(2026, 8, 19))  # on 20 November nothing of 19 August may be left
STATES = ConversationState


def read(world: World, folder: Path, text: str | bytes, *, most: int = export_check.MOST_BYTES) -> Read:
    file = folder / "export.csv"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return export_check.read(file, postbox(), RULE, world.controller.zone, world.clock.now(), most=most)


def read_alone(folder: Path, text: str | bytes) -> Read:
    """Without a store, which a file's form is no concern of."""
    file = folder / "export.csv"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    now = datetime(2026, 11, 20, 12, tzinfo=UTC)
    return export_check.read(file, postbox(), RULE, ZoneInfo("Europe/London"), now)


def check(world: World, folder: Path, text: str, days: Range = RANGE, by: Person = DANA) -> Checked:
    found, now = read(world, folder, text), world.clock.now()
    return world.writer.call(lambda unit: export_check.check(unit, world.controller, "inbox", found, days, by, now))


def attest(world: World, *numbers: int) -> None:
    references, now = [row(world, number).reference for number in numbers], world.clock.now()
    world.writer.call(lambda unit: acts.attest_by_hand(unit, world.controller, "inbox", references, DANA, now))


def contents(world: World) -> str:
    """All that is in the store, to see that nothing changed."""
    return str([world.rows(table) for table in t.metadata.sorted_tables])


@pytest.mark.no_database
def test_an_export_without_rows_verifies_what_was_due_and_destroys_its_ids(world: World, tmp_path: Path) -> None:
    keeping(world)
    note(world, told(1, DUE), told(2, DUE), told(3, DUE + 60 * DAY))
    attest(world, 1)
    done = check(world, tmp_path, HEADER)
    assert (done.rows, done.older, done.verified, done.contradicted, done.new) == (0, 0, 2, 0, 0)
    assert [row(world, number).state for number in (1, 2, 3)] == [
        STATES.VERIFIED_BY_EXPORT,
        STATES.VERIFIED_BY_EXPORT,
        STATES.KEPT,
    ]
    assert opened(world.controller, row(world, 1)) is None
    assert opened(world.controller, row(world, 3)) is not None
    (kept,) = [one for one in world.rows(ct.retention_act) if one.kind == "checked"]
    assert (kept.file_sha256, kept.file_rows, kept.older) == (hashlib.sha256(HEADER.encode()).hexdigest(), 0, 0)
    assert (kept.os_user, kept.from_on, kept.to_on) == ("dana", "2025-01-01", "2026-08-19")
    assert json.loads(world.keys.open(PURPOSE, kept.sealed, b"inbox"))["by"] == "Dana Officer"
    said = entries(world)[-1]
    assert (said["event"], said["n"], said["digest"], said["name"]) == (
        "verified",
        2,
        kept.file_sha256,
        "export, 0 rows",
    )
    assert world.ledger_problems() == ()


def test_a_row_that_should_be_gone_contradicts_whatever_was_said(world: World, tmp_path: Path) -> None:
    keeping(world)
    note(world, told(1, DUE), told(2, DUE), told(3, DUE))
    attest(world, 1, 2)
    text = export(("conv-canary-1", "2026-08-01T12:00:00+00:00"), ("conv-canary-3", "2026-08-01T12:00:00+00:00"))
    done = check(world, tmp_path, text)
    assert (done.rows, done.older, done.verified, done.contradicted, done.new) == (2, 2, 1, 2, 0)
    assert [row(world, number).state for number in (1, 2, 3)] == [
        STATES.CONTRADICTED,
        STATES.VERIFIED_BY_EXPORT,
        STATES.CONTRADICTED,
    ]
    assert [(one["event"], one["n"]) for one in entries(world)[1:]] == [("verified", 1), ("contradicted", 2)]
    assert [(one.role, one.cause) for one in world.rows(t.alert)] == [("dpo", "retention-contradicted")]
    assert world.writer.call(lambda unit: worklist.make_list(unit, world.controller, "inbox", world.clock.now()))
    assert [row(world, number).state for number in (1, 3)] == [STATES.CONTRADICTED] * 2


def test_a_row_that_no_webhook_told_of_becomes_known(world: World, tmp_path: Path) -> None:
    keeping(world)
    done = check(world, tmp_path, export(("conv-canary-9", "2026-05-31T23:30:00+00:00")))
    assert (done.new, done.contradicted) == (1, 1)
    found = row(world, 9)
    assert (found.state, found.due_on, found.told_at) == (STATES.CONTRADICTED, "2026-09-01", None)
    ids = opened(world.controller, found)
    assert ids is not None
    assert (ids.conversation, ids.contact) == ("conv-canary-9", "contact of conv-canary-9")
    world.clock.advance(DAY)
    check(world, tmp_path, export(("conv-canary-9", "2026-05-31T23:30:00+00:00")))
    assert row(world, 9).told_at is None
    note(world, told(9, DUE, seen=world.clock.now()))
    assert row(world, 9).told_at == world.clock.now()


@pytest.mark.no_database
def test_what_may_still_be_there_is_counted_and_not_kept(world: World, tmp_path: Path) -> None:
    keeping(world)
    days = Range(date(2025, 1, 1), date(2026, 11, 20))
    text = export(("conv-canary-1", "2026-08-20T12:00:00+00:00"), ("conv-canary-2", "2026-11-01T12:00:00+00:00"))
    done = check(world, tmp_path, text, days)
    assert (done.rows, done.older, done.new) == (2, 0, 0)
    assert world.rows(ct.conversation) == []
    (kept,) = world.rows(ct.retention_act)
    assert kept.oldest_on == "2026-08-20"


@pytest.mark.no_database
def test_what_was_open_when_last_seen_is_not_verified_by_what_shows_only_closed_ones(
    world: World, tmp_path: Path
) -> None:
    keeping(world)
    note(world, told(1, DUE, open=True), told(2, DUE, open=True))
    attest(world, 1)
    assert check(world, tmp_path, HEADER).verified == 0
    assert [row(world, number).state for number in (1, 2)] == [STATES.ATTESTED, STATES.KEPT]


@pytest.mark.no_database
def test_what_began_outside_the_range_is_not_verified(world: World, tmp_path: Path) -> None:
    keeping(world)
    note(world, told(1, DUE), told(2, DUE - 30 * DAY), told(3, DUE + 10 * DAY))
    days = Range(date(2026, 7, 15), date(2026, 8, 1))
    assert check(world, tmp_path, HEADER, days).verified == 1
    assert [row(world, number).state for number in (1, 2, 3)] == [STATES.VERIFIED_BY_EXPORT, STATES.KEPT, STATES.KEPT]


def test_an_exception_that_still_runs_is_neither_verified_nor_contradicted(world: World, tmp_path: Path) -> None:
    keeping(world)
    note(world, told(1, DUE))
    world.writer.call(
        lambda unit: acts.make_exception(
            unit, world.controller, row(world).reference, date(2026, 12, 10), DANA, world.clock.now()
        )
    )
    done = check(world, tmp_path, export(("conv-canary-1", "2026-08-01T12:00:00+00:00")))
    assert (done.older, done.verified, done.contradicted) == (1, 0, 0)
    assert check(world, tmp_path, HEADER).verified == 0
    assert row(world).state == STATES.EXCEPTED


@pytest.mark.no_database
def test_what_was_said_to_be_deleted_is_contradicted_although_it_might_have_stayed(
    world: World, tmp_path: Path
) -> None:
    keeping(world)
    note(world, told(1, DUE))
    world.writer.call(
        lambda unit: acts.make_exception(
            unit, world.controller, row(world).reference, date(2026, 12, 10), DANA, world.clock.now()
        )
    )
    attest(world, 1)
    assert check(world, tmp_path, export(("conv-canary-1", "2026-08-01T12:00:00+00:00"))).contradicted == 1
    assert row(world).state == STATES.CONTRADICTED


def test_what_an_export_showed_to_be_gone_is_known_again_when_it_comes_back(world: World, tmp_path: Path) -> None:
    keeping(world)
    note(world, told(1, DUE))
    check(world, tmp_path, HEADER)
    note(world, told(1, DUE, seen=DUE + DAY))  # an old delivery, repeated
    assert row(world).state == STATES.VERIFIED_BY_EXPORT
    assert row(world).sealed is None
    world.clock.advance(DAY)
    note(world, told(1, DUE, seen=world.clock.now()))
    assert row(world).state == STATES.CONTRADICTED
    assert opened(world.controller, row(world)) is not None


@pytest.mark.no_database
@pytest.mark.parametrize(
    ("days", "says"),
    [
        (Range(date(2026, 8, 2), date(2026, 8, 19)), "outside"),
        (Range(date(2025, 1, 1), date(2026, 7, 31)), "outside"),
        (Range(date(2026, 8, 19), date(2026, 8, 1)), "before it begins"),
        (Range(date(2025, 1, 1), date(2026, 11, 21)), "in the future"),
    ],
)
def test_a_file_that_was_made_for_another_range_changes_nothing(
    world: World, tmp_path: Path, days: Range, says: str
) -> None:
    keeping(world)
    note(world, told(1, DUE), told(2, DUE))
    before = contents(world)
    with pytest.raises(DecisionRefused, match=says):
        check(world, tmp_path, export(("conv-canary-1", "2026-08-01T12:00:00+00:00")), days)
    assert contents(world) == before


@pytest.mark.no_database
def test_a_check_needs_a_name(world: World, tmp_path: Path) -> None:
    keeping(world)
    with pytest.raises(DecisionRefused, match="give your name"):
        check(world, tmp_path, HEADER, by=replace(DANA, by=" "))
    assert world.rows(ct.retention_act) == []


BAD: list[tuple[str | bytes, str]] = [
    (b"", "is empty"),
    (b"\r\n", "is empty"),
    ("Name,Date\r\n", "lacks the columns Contact, Conversation, Created at"),
    ("Name,Date\r\nx,y\r\n", "lacks the columns"),
    ("Conversation,Contact,Created at,Contact\r\n", "a column twice"),
    (HEADER + "1,2,not-a-date,fb\r\n", "row 1: its date cannot be read"),
    (HEADER + "1,2,2026-08-01T12:00:00,fb\r\n", "lacks an id or a zone"),
    ("conversation,CONTACT,created\r\n", "lacks the columns Created at"),
    ("conv-canary-1,c1,2026-08-01T12:00:00+00:00,fb\r\n", "or its first line is gone"),
    ("\ufeff\r\n \r\n", "is empty"),
    (HEADER + "1,2\r\n", "row 1 of the export has 2 cells"),
    (HEADER + '1,"2,3\r\n', "is not CSV"),
    (HEADER + "1,2,2027-08-01T12:00:00+00:00,fb\r\n", "in the future"),
    (HEADER.encode() + b"\xff\xfe\x00", "not UTF-8"),
    (b"\x89PNG\r\n\x1a\n\x00\x00", "not UTF-8"),
    (b'{"data": []}', "lacks the columns"),
    (HEADER + "x" * 200_000 + ",2,3,4\r\n", "is not CSV"),
]


@pytest.mark.parametrize(("text", "says"), BAD)
def test_a_file_that_is_no_such_export_is_refused_and_never_quoted(
    tmp_path: Path, text: str | bytes, says: str
) -> None:
    with pytest.raises(UsageError, match=says) as refused:
        read_alone(tmp_path, text)
    assert "canary" not in refused.value.message
    assert "not-a-date" not in refused.value.message


ROW = "conv-canary-1,c1,2026-08-01T12:00:00+00:00,fb\r\n"
ALL = HEADER + ROW


def in_quotes(text: str) -> str:
    return "".join('"{}"\r\n'.format(line.replace('"', '""')) for line in text.splitlines())


SAVED_AGAIN: list[tuple[str | bytes, str]] = [
    (ALL.replace(",", ";"), "divided by ;, not by commas"),
    ("\ufeff" + ALL.replace(",", ";"), "divided by ;"),
    (ALL.replace(",", ";").replace("\r\n", "\r"), "divided by ;"),
    (ALL.replace(",", ";").replace("\r\n", ";;;\r\n"), "divided by ;"),
    (ALL.replace(",", "\t"), "divided by tabs"),
    (ALL.replace(",", "|"), r"divided by \|"),
    (ALL.replace(",", "^"), r"divided by \^"),
    (HEADER + ROW.replace(",", ";"), "row 1 of the export has 1 cells"),
    ("sep=;\r\n" + ALL.replace(",", ";"), "line sep="),
    ("SEP=,\r\n" + ALL, "line sep="),
    ('\r\n"sep=;"\r\n' + ALL.replace(",", ";"), "line sep="),
    (ALL.encode("utf-16"), "UTF-16"),
    (ALL.encode("utf-16-le"), "UTF-16"),
    (b"\xfe\xff" + ALL.encode("utf-16-be"), "UTF-16"),
    (ALL.replace(",", "\t").encode("utf-16-be"), "UTF-16"),
    (ALL.encode("utf-32"), "UTF-32"),
    (ALL.replace("fb", "fä").encode("cp1252"), "not UTF-8 text"),
    (ALL.replace("fb", "fä").encode("mac_roman"), "not UTF-8 text"),
    (b"PK\x03\x04 a workbook", "a workbook"),
    (b"\xd0\xcf\x11\xe0 an older one", "a workbook"),
    ("<html><table><tr><td>Conversation</td></tr></table>", "a page"),
    (b"\x1f\x8b\x08\x00", "compressed"),
    ("%PDF-1.7\n", "a PDF"),
    (in_quotes(ALL), "each line of the export is in quotation marks as a whole"),
    (in_quotes(ALL.replace(",", ";")), "each line of the export is in quotation marks"),
    (in_quotes('"Conversation","Contact","Created at"\r\n"c","d","2026-08-01T12:00:00Z"'), "each line of the export"),
    (HEADER + in_quotes(ROW), "row 1 of the export has 1 cells"),
    (ALL.replace("\r\n", ",,\r\n"), "columns without a name"),
    (HEADER + ROW.replace("\r\n", ",,\r\n"), "row 1 of the export has 6 cells"),
    ("Conversation,Contact,Created at;;;\r\nc,d,2026-08-01T12:00:00+00:00;;;\r\n", "divided by ; beside commas"),
    (";;;\r\n" + ALL, "lines stand before"),
    (",,,\r\n" + ALL, "lines stand before"),
    ("Resolved conversations\r\n\r\n" + ALL, "lines stand before"),
    (ALL + ",,,\r\n", "row 2 of the export is empty"),
    (ALL + "Total,1,,\r\n", "row 2: its date cannot be read"),
    (ALL.replace("2026-08-01T12:00:00+00:00", "01/08/2026 12:00"), "row 1: its date cannot be read"),
    (ALL.replace("canary", "can\0ary"), "no text"),
    ("\0" + ALL, "no text"),
    (ALL + "\0\0\0", "no text"),
    (ALL + "\x1a", "no text"),
    *(
        (ALL.replace("conv-canary-1", anew), "an id that a spreadsheet wrote anew")
        for anew in ("1.23E+17", '"1,23E+17"', "'123", '"=""123"""', "123.0", "########")
    ),
]


@pytest.mark.parametrize(("text", "says"), SAVED_AGAIN)
def test_an_export_that_a_spreadsheet_saved_again_is_named_as_that(
    tmp_path: Path, text: str | bytes, says: str
) -> None:
    with pytest.raises(UsageError, match=says) as refused:
        read_alone(tmp_path, text)
    assert "as the vendor made it" in refused.value.message
    assert "another file" not in refused.value.message
    assert "canary" not in refused.value.message


@pytest.mark.parametrize(
    "text",
    [
        "\r\n" + ALL,
        "\ufeff\ufeff  \r\n\r\n" + ALL,
        ALL.replace("\r\n", "\r"),
        ALL.replace("\r\n", "\n"),
        ALL.replace("\r\n", "\r\r\n"),
        HEADER.upper() + ROW,
        HEADER.lower().replace(" ", "_") + ROW,
        HEADER.replace("Created at", " Created\u00a0at ") + ROW,
        ALL.replace("Medium", "Medium,Agent").replace("fb", "fb,x"),
        ALL + "\r\n\r\n",
        '"Conversation","Contact","Created at"\r\n"conv-canary-1","c1","2026-08-01T12:00:00+00:00"\r\n',
    ],
)
def test_what_changes_no_value_is_of_no_concern(tmp_path: Path, text: str) -> None:
    found = read_alone(tmp_path, text)
    assert [(one.conversation, one.contact) for one in found.older] == [("conv-canary-1", "c1")]


@pytest.mark.no_database
def test_a_file_that_is_too_large_is_refused_before_it_is_read_whole(world: World, tmp_path: Path) -> None:
    keeping(world)
    text = export(*((f"c{number}", "2026-08-01T12:00:00+00:00") for number in range(1000)))
    assert read(world, tmp_path, text, most=len(text)).rows == 1000
    with pytest.raises(UsageError, match="too large"):
        read(world, tmp_path, text, most=len(text) - 1)


@pytest.mark.no_database
def test_what_is_no_file_is_refused(world: World, tmp_path: Path) -> None:
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(UsageError, match="no file"):
            export_check.read(path, postbox(), RULE, world.controller.zone, world.clock.now())


@pytest.mark.no_database
def test_a_mark_at_the_beginning_and_the_order_of_columns_are_of_no_concern(world: World, tmp_path: Path) -> None:
    keeping(world)
    text = "\ufeffMedium,Created at,Contact,Conversation\r\nfb,2026-08-01T12:00:00+00:00,c1,conv-1\r\n"
    found = read(world, tmp_path, text)
    assert [(one.conversation, one.contact) for one in found.older] == [("conv-1", "c1")]
    assert found.sha256 == hashlib.sha256(text.encode()).hexdigest()


def test_a_connector_that_names_no_columns_cannot_tell_an_empty_export_from_another_file(
    world: World, tmp_path: Path
) -> None:
    connector = postbox()
    connector.export_columns = frozenset()
    file = tmp_path / "export.csv"
    file.write_text(HEADER)
    with pytest.raises(UsageError, match="another file"):
        export_check.read(file, connector, RULE, world.controller.zone, world.clock.now())
