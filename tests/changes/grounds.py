"""An installation with something in every place that keeps the proof, copied anew for each change."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

from sqlalchemy import Engine, create_engine, text

from dpsync import backup
from dpsync.cases.complaints import open_complaint
from dpsync.cases.incidents import IncidentKind, NewIncident, open_incident
from dpsync.cases.values import Channel, NewComplaint, Topic
from dpsync.installation import Installation as Opened
from dpsync.intake.payload import Withdrawal
from dpsync.ledger.note import Signer
from dpsync.model import Right
from dpsync.propagation.correspondence import incoming
from dpsync.propagation.decisions import Person, decide
from dpsync.propagation.naming import name_contact
from dpsync.propagation.rules.lifecycle import DecisionKind
from dpsync.propagation.telling import LetterKind, Told, tell
from dpsync.retention import acts, export_check, worklist
from dpsync.retention.export_check import Range, Read
from dpsync.running import cosigning
from dpsync.sealing import Keys
from dpsync.store import conversation_tables as ct
from dpsync.store import tables as t
from tests.builders import TurnableClock
from tests.journeys.installation import FORMS, NEWSLETTER, Asked, Installation, installed, receive, sqlite_url
from tests.journeys.test_cosigning import witnessed_by
from tests.keeping import ADMIN, standins, told

DANA = Person("Dana Officer", "dana", "asked by telephone")
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
DESK = "privacy@stratosoft.example"
INBOX = f"""
[processors.inbox]
title = "Postbox, messages"
connector = "postbox"
contact = "privacy@postbox.example"
retention = {{{{ months = 3, admin = "{ADMIN}" }}}}
"""
FILLED = (t.answer, t.attempt, t.notice, t.decision, t.withdrawal, t.evidence, t.alias, t.contact, t.post)
FORGETS = "\n[forgetting]\nafter_days = 30\n"
PEOPLE = tuple(f"{name}@example.org" for name in ("ada", "ben", "cem", "dov", "eve"))


@dataclass(frozen=True)
class Grounds:
    """One copy of everything. `older`: the same installation some weeks before; `about`: address by request."""

    folder: Path
    older: Path
    environ: Mapping[str, str]
    now: datetime
    about: Mapping[str, str]
    forgotten: str
    witness: str

    @property
    def database(self) -> Path:
        """The database's file."""
        return self.folder / "dpsync.db"

    @property
    def anchors(self) -> Path:
        """The folder of checkpoints."""
        return self.folder / "anchors"

    @property
    def receipts(self) -> Path:
        """The folder of receipts."""
        return self.folder / "receipts"

    @property
    def keys(self) -> Keys:
        """The real keys: whoever has them is an administrator."""
        return Keys.load(self.folder / "keys")

    @property
    def signer(self) -> Signer:
        """The real signing key of the ledger."""
        return Signer("example.org/journeys/REHEARSAL", self.keys.signing_key)

    @contextmanager
    def opened(self) -> Iterator[Opened]:
        """The installation as a command opens it."""
        with Opened(self.folder / "dpsync.toml", self.environ, clock=TurnableClock(self.now)) as there:
            yield there

    @contextmanager
    def by_hand(self) -> Iterator[Engine]:
        """The database as an administrator opens it: nothing refuses anything."""
        engine = create_engine(f"sqlite:///{self.database}")
        with engine.begin() as connection:
            connection.execute(text("PRAGMA foreign_keys = OFF"))
            for name in (
                connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).scalars().all()
            ):
                connection.execute(text(f"DROP TRIGGER {name}"))
        yield engine
        engine.dispose()

    def copied(self, into: Path) -> "Grounds":
        """All of it in another folder."""
        shutil.rmtree(into, ignore_errors=True)
        shutil.copytree(self.folder, into)
        environ = {**self.environ, "DPSYNC_TEST_DATABASE": sqlite_url(into)}
        return Grounds(into, self.older, environ, self.now, self.about, self.forgotten, self.witness)


def made(folder: Path) -> Grounds:
    """Tell the story in `folder`, and give what is left of it. Some seconds."""
    here, other, kept = folder / "here", folder / "other", folder / "older"
    here.mkdir()
    other.mkdir()
    with standins(), ExitStack() as stack:
        there = stack.enter_context(
            installed(here, sqlite_url(here), processors=NEWSLETTER + FORMS + INBOX + FORGETS, web=True)
        )
        beside = stack.enter_context(installed(other, sqlite_url(other)))
        stack.callback(beside.running.close)
        witness = witnessed_by(stack, there, beside).line
        about, forgotten = _told(there, kept)
        now, environ = there.clock.now(), dict(there.environ)
        there.running.close()
    _settled(here)
    return Grounds(here, kept, environ, now, about, forgotten, witness)


def _settled(folder: Path) -> None:
    engine = create_engine(sqlite_url(folder))
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    engine.dispose()


def _told(there: Installation, kept: Path) -> tuple[dict[str, str], str]:
    for desk in (DESK, "privacy@postbox.example"):
        there.sandbox.rule(desk, "confirm_contact", "answer_by_link", name="Pat Forms", remark="done")
    there.sandbox.rule(ADMIN, "confirm_contact")
    for one in PEOPLE:
        there.sandbox.add(one)
    ada, ben, cem, dov, eve = PEOPLE
    first = there.ask(Right.ERASURE, ada, id="1")
    _go_on(there, 4)
    _letter(there, first)
    _conversations(there)
    _go_on(there, 7, 6 * DAY)
    cosigning.ask(there.service, there.clock.now())
    folder = there.service.config.parent
    backup.take(there.service, _made(folder / "backups"))
    shutil.copytree(folder, kept)
    changes = {"email": "ben.new@example.org", "first_name": "Ben"}
    asked = {ben: there.ask(Right.RECTIFICATION, ben, id="2", changes=changes)}
    asked[cem] = there.ask(Right.RESTRICTION, cem, id="3")
    asked[dov] = there.ask(Right.OPT_OUT, dov, id="4")
    _go_on(there, 4)
    lifted = {"told_on": f"{there.clock.now():%Y-%m-%d}", "how": "letter"}
    lifting = there.ask(Right.RESTRICTION, cem, id="3", lifted=lifted)
    there.sandbox.fault("says_yes_does_nothing", address=eve, times=1, method="POST")
    asked[eve] = there.ask(Right.ERASURE, eve, id="5")
    _go_on(there, 3)
    _people_decide(there, asked[eve], lifting)
    _go_on(there, 3, DAY)
    cosigning.ask(there.service, there.clock.now())
    there.restart()
    there.service.anchor(there.clock.now())
    backup.take(there.service, folder / "backups")
    about = {one.id: address for address, one in asked.items()} | {first.id: ada}
    assert set(about) <= {path.stem for path in (folder / "receipts").glob("r-*.json")}
    assert {row.id for row in there.rows(t.request) if row.shredded_at} == {first.id}
    assert min(len(there.rows(table)) for table in FILLED) > 0
    return about, first.id


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _go_on(there: Installation, times: int, span: timedelta = HOUR) -> None:
    for _ in range(times):
        there.drive(span)
        there.sandbox.messages(settled=True)


def _letter(there: Installation, one: Asked) -> None:
    today, now = there.clock.now().astimezone(there.service.zone).date(), there.clock.now()
    letter = Told(LetterKind.ACTION, today, "post")
    there.service.write(lambda unit: tell(unit, there.service.controller, one.id, letter, DANA, now))


def _people_decide(there: Installation, one: Asked, lifting: Asked) -> None:
    service, now = there.service, there.clock.now()
    complaint = NewComplaint(now, Channel.MAIL, (Topic.DELAY,), about=(one.id,))
    incident = NewIncident(kind=IncidentKind.OTHER, aware_at=now, facts={"what": "a laptop is lost", "categories": "x"})
    service.write(lambda unit: open_complaint(unit, service.controller, complaint, DANA, now))
    service.write(lambda unit: open_incident(unit, service.controller, incident, DANA, now))
    service.write(
        lambda unit: decide(unit, service.controller, one.id, DecisionKind.SETTLE, DANA, now, processors=["newsletter"])
    )
    tag = there.rows(t.notice)[-1].message_id.partition("@")[0]
    delivered = incoming.Incoming(incoming.MailKind.DELIVERED, "ab" * 32, (tag,), "2.0.0")
    for mail in (delivered, incoming.Incoming(incoming.MailKind.REPLY, "cd" * 32)):
        service.write(lambda unit, mail=mail: incoming.take(unit, service.controller, mail, now))  # type: ignore[misc]  # because mypy does not infer a lambda's default
    for desk in ("desk@postbox.example", "second@postbox.example"):
        service.write(lambda unit, desk=desk: name_contact(unit, service.controller, "inbox", desk, DANA, now))  # type: ignore[misc]  # because mypy does not infer a lambda's default
    receive(service, Withdrawal(source="crm", event_id="evt-back", request_id=lifting.id), b"back")


def _conversations(there: Installation) -> None:
    service, due = there.service, there.clock.now() - 110 * DAY

    def do(work: object, *arguments: object) -> None:
        now = there.clock.now()
        service.write(lambda unit: work(unit, service.controller, *arguments, now))  # type: ignore[operator]  # because acts have many shapes

    do(acts.note, "inbox", [told(number, due) for number in range(1, 6)])
    do(worklist.make_list, "inbox")
    _go_on(there, 3)
    references = [row.reference for row in there.rows(ct.conversation)]
    do(acts.attest_by_hand, "inbox", references[:2], DANA)
    do(acts.make_exception, references[2], (there.clock.now() + 30 * DAY).date(), DANA)
    there.clock.advance(8 * DAY)
    do(worklist.tend)
    do(acts.note, "inbox", [told(1, due - DAY, seen=there.clock.now())])
    days = Range(date(2025, 1, 1), (there.clock.now() - 95 * DAY).date())
    do(export_check.check, "inbox", Read("ef" * 32, 0, there.clock.now().date() - 120 * DAY, None, ()), days, DANA)
