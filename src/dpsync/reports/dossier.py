"""All about one request, from its first byte to the last answer."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, Table, select

from dpsync.errors import KeyProblem, NotFound
from dpsync.reports.basis import Basis
from dpsync.reports.callbacks import callbacks_of
from dpsync.reports.cases import cases_about
from dpsync.reports.decided import Opener as Decided
from dpsync.reports.decided import by_and_reason
from dpsync.reports.duties import Duty, duties_of, mail_duties
from dpsync.reports.housekeeping import mail_waiting
from dpsync.reports.letters import LetterLine, letters_ahead, letters_of
from dpsync.reports.lines import RequestStanding
from dpsync.reports.moments import (
    AnswerLine,
    AttemptLine,
    DecisionLine,
    EntryLine,
    EvidenceLine,
    Moment,
    NoticeLine,
    moments,
)
from dpsync.reports.proof import LedgerLine
from dpsync.reports.standing import read_standing, value_of
from dpsync.reports.story import Chapter, story, with_more
from dpsync.reports.verdict import Verdict, notes_of, verdict
from dpsync.reports.who import Who
from dpsync.sealing import UNREADABLE
from dpsync.store import tables as t

Opener = Callable[[int, bytes], bytes]
"""Opens a sealed answer: the propagation's number and the sealed bytes give its JSON."""


@dataclass(frozen=True, slots=True)
class Dossier:
    """One request: where it stands, and everything that happened: in its tables, as `moments`, and as a `story`.

    `later`: that the letter to the person is due, but not soon. `letters`: every one, to the person and to processors;
    `cases`: a sentence for each complaint and incident, and whether evidence is held.

    What the person is called stands in `who` only, where somebody asked to see it and that was recorded; what the one
    who answered typed stands in it only where it was opened.
    """

    controller: str
    rehearsal: bool
    zone: str
    made_at: datetime
    ledger: LedgerLine
    verdict: Verdict
    duties: tuple[Duty, ...]
    later: str
    notes: tuple[str, ...]
    asked: RequestStanding
    attempts: tuple[AttemptLine, ...]
    notices: tuple[NoticeLine, ...]
    answers: tuple[AnswerLine, ...]
    decisions: tuple[DecisionLine, ...]
    entries: tuple[EntryLine, ...]
    moments: tuple[Moment, ...]
    story: tuple[Chapter, ...]
    letters: tuple[LetterLine, ...]
    cases: tuple[str, ...]
    forgets_after: int | None = None
    who: Who | None = None


def dossier(
    connection: Connection,
    basis: Basis,
    request_id: str,
    *,
    entries: Sequence[tuple[int, Mapping[str, str | int]]],
    opener: Opener | None = None,
    who: Who | None = None,
) -> Dossier:
    """The dossier of the request with the full id `request_id`. Raises `NotFound`.

    `entries` are its ledger entries: index and what `ledger.entry.decode` gave. Answers stay sealed (kind and time
    only) unless `opener` is given. `who`: the person, where that may be shown.
    """
    found = read_standing(connection, t.request.c.id == request_id, basis.now, basis.known)
    if not found:
        raise NotFound(f"there is no request {request_id}")
    asked = found[0]
    titles = {line.processor: line.title for line in asked.lines}
    attempts, notices = _attempts(connection, request_id, titles), _notices(connection, request_id, titles)
    answers = _answers(connection, request_id, titles, opener)
    decisions = _decisions(connection, request_id, basis.decided)
    read = tuple(_entry(idx, fields) for idx, fields in entries)
    told = story(asked, attempts, notices, answers, decisions, read)
    return Dossier(
        **basis.head,
        **_standing(basis, asked, *_duties(connection, basis, asked)),
        asked=asked,
        attempts=attempts,
        notices=notices,
        answers=answers,
        decisions=decisions,
        entries=read,
        moments=moments(asked, attempts, notices, answers, decisions),
        story=with_more(told, callbacks_of(connection, request_id)),
        letters=letters_of(notices, answers, decisions, basis.zone),
        cases=cases_about(connection, request_id, basis.now, basis.zone),
        forgets_after=basis.forgets_after,
        who=who,
    )


def _standing(basis: Basis, asked: RequestStanding, duties: tuple[Duty, ...], later: str) -> dict[str, Any]:
    found = {"verdict": verdict(basis.ledger, duties, [asked]), "duties": duties, "notes": notes_of([asked])}
    return {"later": later, **found}


def _duties(connection: Connection, basis: Basis, asked: RequestStanding) -> tuple[tuple[Duty, ...], str]:
    mail = mail_duties(mail_waiting(connection, asked.id))
    letters, later = letters_ahead(connection, basis.today, basis.zone, asked.id) if basis.letters else ([], "")
    return (
        *mail,
        *duties_of([asked], basis.today, basis.zone, asks=basis.asks, unasked=basis.unasked),
        *letters,
    ), later


def _attempts(connection: Connection, request_id: str, titles: Mapping[str, str]) -> tuple[AttemptLine, ...]:
    p, a, e = t.propagation.c, t.attempt.c, t.evidence.c
    kept: dict[int, list[EvidenceLine]] = {}
    rows = connection.execute(
        select(t.evidence)
        .join(t.attempt, a.id == e.attempt_id)
        .join(t.propagation, p.id == a.propagation_id)
        .where(p.request_id == request_id)
        .order_by(e.attempt_id, e.part.desc(), e.seq)  # the outcome, then what reading back found
    )
    for row in rows:
        kept.setdefault(row.attempt_id, []).append(value_of(EvidenceLine, row))
    made = connection.execute(_at_processors(t.attempt, request_id).order_by(a.id))
    return tuple(
        value_of(AttemptLine, row, title=titles.get(row.processor, row.processor), evidence=tuple(kept.get(row.id, ())))
        for row in made
    )


def _at_processors(table: Table, request_id: str) -> Select[Any]:
    """The rows of a request in a table that belongs to its propagations, each with its processor."""
    p = t.propagation.c
    joined = select(table, p.processor).join(t.propagation, p.id == table.c.propagation_id)
    return joined.where(p.request_id == request_id)


def _notices(connection: Connection, request_id: str, titles: Mapping[str, str]) -> tuple[NoticeLine, ...]:
    n = t.notice.c
    rows = connection.execute(
        _at_processors(t.notice, request_id).order_by(n.created_at, t.propagation.c.processor, n.number)
    )
    return tuple(value_of(NoticeLine, row, title=titles.get(row.processor, row.processor)) for row in rows)


def _answers(
    connection: Connection, request_id: str, titles: Mapping[str, str], opener: Opener | None
) -> tuple[AnswerLine, ...]:
    rows = connection.execute(_at_processors(t.answer, request_id).order_by(t.answer.c.id))
    return tuple(
        value_of(
            AnswerLine,
            row,
            title=titles.get(row.processor, row.processor),
            said=_opened(opener, row) if opener else (),
        )
        for row in rows
    )


def _opened(opener: Opener, row: Row[Any]) -> tuple[tuple[str, str], ...]:
    try:
        said = json.loads(opener(row.propagation_id, row.sealed))
    except KeyProblem:
        return (("answer", UNREADABLE),)
    return tuple((str(label), str(text)) for label, text in said.items() if text)


def _decisions(connection: Connection, request_id: str, opener: Decided) -> tuple[DecisionLine, ...]:
    d = t.decision.c
    rows = connection.execute(select(t.decision).where(d.request_id == request_id).order_by(d.id))
    return tuple(_decision(row, *by_and_reason(row, opener)) for row in rows)


def _decision(row: Row[Any], by: str, reason: str) -> DecisionLine:
    processors = tuple(name for name in row.processor.split(",") if name)
    return value_of(DecisionLine, row, processors=processors, by=by, reason=reason)


def _entry(idx: int, fields: Mapping[str, str | int]) -> EntryLine:
    said = {key: value for key, value in fields.items() if key not in {"v", "ts", "event", "req"}}
    return EntryLine(idx, datetime.fromtimestamp(int(fields["ts"]), UTC), str(fields["event"]), said)
