"""A story with a canary in every field, until all is forgotten: then nothing that was written says, or can be made to
say, who it was.
"""

import base64
import json
import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from sqlalchemy import Engine, select, text

from dpsync import backup
from dpsync.errors import KeyProblem
from dpsync.model import Right
from dpsync.propagation.decisions import Person, decide
from dpsync.propagation.rules.lifecycle import DecisionKind
from dpsync.propagation.telling import LetterKind, Told, tell
from dpsync.store import tables as t
from dpsync.store.database import reading
from tests.journeys.installation import ERASE, NEWSLETTER, PATCH, Installation, installed
from tests.journeys.test_canaries import (
    CHANGES,
    CONTACT,
    LETTERS,
    MAIN,
    OTHER,
    SUBJECT,
    forms,
    listening,
    send,
    strings,
)
from tests.journeys.test_recovery import programs_of_the_server

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
DANA = Person("Dana Officer", "dana", "asked by telephone")
PERSON = [*strings(SUBJECT), *strings(CHANGES)]
RIGHTS = (Right.OPT_OUT, Right.RESTRICTION, Right.ERASURE)


def every_form(canary: str) -> Iterator[tuple[str, bytes]]:
    """All of `forms`, and what a careless program makes of it besides."""
    yield from forms(canary)
    for plain in {canary.encode(), canary.lower().encode()}:
        yield "hex", plain.hex().encode()
        yield "quoted twice", quote(quote(plain)).encode()
        yield "utf-16-be", plain.decode().encode("utf-16-be")
        for skipped in range(3):  # base64 of it within a longer text, wherever that begins
            coded, bits = base64.b64encode(bytes(skipped) + plain), (skipped + len(plain)) * 8
            yield f"base64 + {skipped}", coded[(0, 2, 3)[skipped] : bits // 6]


NEEDLES = sorted({(found, canary, form) for canary in PERSON for form, found in every_form(canary) if len(found) > 5})


def found_in(content: bytes) -> set[str]:
    """Which canaries stand there, and as what."""
    return {f"{canary} ({form})" for needle, canary, form in NEEDLES if needle in content}


def test_the_search_finds_every_form_within_a_longer_text() -> None:
    for canary in PERSON:
        for before in ("", "x", "xy"):
            assert found_in(base64.b64encode(f"{before}{canary}, and more".encode())), canary
        assert found_in(f"x{canary.encode().hex()}".encode())
        assert found_in(b"\0" + f"x{canary}".encode("utf-16-be"))


def told_story(there: Installation, *, rectified: bool) -> list[str]:
    """Each right, with faults; every processor has done it. Letters are answered, with a word of whom it was about.

    `rectified`: a change of the data too. Where nobody saw that carried out, it is known as long as it may be needed.
    """
    remark = f"deleted {SUBJECT['name']}, {MAIN}"
    there.sandbox.rule(CONTACT, "confirm_contact", "answer_by_link", name="Pat Forms", remark=remark)
    for audience in there.sandbox.audiences():
        there.sandbox.add(MAIN, list_id=audience, merge_fields={"LNAME": "Zwitscher"})
    asked = []
    if rectified:
        there.sandbox.fault("html_200", **PATCH)
        asked.append(send(there, Right.RECTIFICATION, changes=CHANGES))
        go_on(there)
    for right in RIGHTS:
        there.sandbox.fault("reset_after_effect" if right is Right.OPT_OUT else "truncated_json", **PATCH)
        if right is Right.ERASURE:
            there.sandbox.fault("status", status=503, times=1, **ERASE)
        asked.append(send(there, right))
        if right is Right.ERASURE:
            released(there, asked[-1])
        go_on(there)
    return asked


def released(there: Installation, request_id: str) -> None:
    """It is held, because the person's data are restricted."""
    controller, now = there.service.controller, there.clock.now()
    because = Person("Dana Officer", "dana", f"she is sure, says {SUBJECT['name']}")
    there.service.write(lambda unit: decide(unit, controller, request_id, DecisionKind.RELEASE, because, now))


def go_on(there: Installation) -> None:
    for _ in range(5):
        there.drive(HOUR)
        there.sandbox.messages(settled=True)


def settled_everywhere(there: Installation, asked: list[str]) -> None:
    """What is not finished by itself is seen to by hand, as a person would; and the person has their letters."""
    service = there.service
    today, now = there.clock.now().astimezone(service.zone).date(), there.clock.now()
    letter = Told(LetterKind.ACTION, today, "post")
    for request_id in asked:
        service.write(lambda unit, one=request_id: tell(unit, service.controller, one, letter, DANA, now))  # type: ignore[misc]  # because mypy does not infer a lambda's default


def opened(there: Installation) -> Iterator[tuple[str, bytes]]:
    """All that the database has sealed and that the keys still open: (place, what it says)."""
    keys = there.service.keys
    for row in there.rows(t.request):
        if row.sealed is not None:
            yield (
                "request.sealed",
                keys.unwrap(row.wrapped_key, row.id, row.key_month).open(row.sealed, row.id.encode()),
            )
    contexts: dict[str, tuple[str, Callable[[Any], str], str]] = {
        "propagation.handed": ("handed", lambda row: f"{row.request_id}/{row.processor}", "handed"),
        "shelf.sealed": ("shelf", lambda row: f"{row.processor}\n{row.key}", "sealed"),
        "answer.sealed": ("answer", lambda row: str(row.propagation_id), "sealed"),
        "decision.sealed": ("decision", lambda row: row.request_id, "sealed"),
    }
    for place, (purpose, context, column) in contexts.items():
        for row in there.rows(t.metadata.tables[place.partition(".")[0]]):
            if getattr(row, column):
                try:
                    yield place, keys.open(purpose, getattr(row, column), context(row).encode())
                except KeyProblem:
                    yield place, b""


def written_down(there: Installation, engine: Engine) -> Iterator[tuple[str, bytes]]:
    """Every row, every file, every mail to our own people; on PostgreSQL its own files too, after a VACUUM."""
    with reading(engine) as connection:
        for table in t.metadata.sorted_tables:
            for row in connection.execute(select(table)):
                for value in row:
                    yield f"table {table.name}", value if isinstance(value, bytes) else repr(value).encode()
    for path in sorted(one for one in there.folder.rglob("*") if one.is_file()):
        yield f"file {path.relative_to(there.folder)}", str(path.relative_to(there.folder)).encode() + path.read_bytes()
    for mail in there.sandbox.messages(settled=True):
        if b"notice.json" not in mail.raw:
            yield f"mail to {mail.recipients[0]}", mail.raw
    if engine.dialect.name == "postgresql":
        yield from _files_of_postgresql(engine)


def _files_of_postgresql(engine: Engine) -> Iterator[tuple[str, bytes]]:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM"))
        connection.execute(text("CHECKPOINT"))
        home = Path(connection.execute(text("SHOW data_directory")).scalar_one())
        oid = connection.execute(text("SELECT oid FROM pg_database WHERE datname = current_database()")).scalar_one()
    for path in sorted((home / "base" / str(oid)).iterdir()):
        yield f"PostgreSQL's file {path.name}", path.read_bytes()


@pytest.mark.parametrize(("others", "rectified"), [("", True), (LETTERS, False)], ids=["api", "letters"])
def test_no_canary_is_left_once_everything_is_forgotten(
    others: str,
    rectified: bool,
    database_url: str,
    engine: Engine,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if engine.dialect.name == "postgresql":
        monkeypatch.setenv("PATH", f"{programs_of_the_server()}{os.pathsep}{os.environ['PATH']}")
    settings = NEWSLETTER + others + "\n[forgetting]\nafter_days = 30\n"
    with listening() as lines, installed(tmp_path, database_url, processors=settings, web=True) as there:
        asked = told_story(there, rectified=rectified)
        (tmp_path / "backups").mkdir()
        backup.take(there.service, tmp_path / "backups")
        before = {f"{place}: {canary}" for place, said in opened(there) for canary in found_in(said)}
        assert {f"request.sealed: {one} (plain)" for one in (MAIN, OTHER)} <= before, "there was what to find"
        settled_everywhere(there, asked)
        for _ in range(9):
            there.drive(6 * DAY)
            there.sandbox.messages(settled=True)
        there.drive(HOUR)
        kept = [row for row in there.rows(t.request) if row.shredded_at is None]
        assert [(row.right, row.closed_at) for row in kept] == []
        hits = {f"{place}: {canary}" for place, said in written_down(there, engine) for canary in found_in(said)}
        hits |= {f"opened {place}: {canary}" for place, said in opened(there) for canary in found_in(said)}
        there.sound()
        receipts = [json.loads(path.read_bytes()) for path in (tmp_path / "receipts").glob("r-*.json")]
    out, err = capfd.readouterr()
    hits |= {f"output: {one}" for one in found_in((out + err + lines.getvalue()).encode())}
    assert {one["request"] for one in receipts} == set(asked), "the proof is left"
    assert sorted(hits) == []
