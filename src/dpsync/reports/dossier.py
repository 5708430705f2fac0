"""All about one request, from its first byte to the last answer."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row, select

from dpsync.errors import NotFound
from dpsync.reports.decided import Opener as Decided
from dpsync.reports.decided import by_and_reason
from dpsync.reports.housekeeping import mail_waiting
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
from dpsync.reports.processors import ProcessorLine
from dpsync.reports.proof import LedgerLine
from dpsync.reports.standing import Asked, read_standing
from dpsync.reports.verdict import Duty, Verdict, duties_of, mail_duties, notes_of, verdict
from dpsync.reports.who import Who
from dpsync.store import tables as t

Opener = Callable[[int, bytes], bytes]
"""Opens a sealed answer: the propagation's number and the sealed bytes give its JSON."""


@dataclass(frozen=True, slots=True)
class Dossier:
    """One request: where it stands, and everything that happened, in its tables and as one list of `moments`.

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
    notes: tuple[str, ...]
    asked: Asked
    attempts: tuple[AttemptLine, ...]
    notices: tuple[NoticeLine, ...]
    answers: tuple[AnswerLine, ...]
    decisions: tuple[DecisionLine, ...]
    entries: tuple[EntryLine, ...]
    moments: tuple[Moment, ...]
    who: Who | None = None


def dossier(
    connection: Connection,
    request_id: str,
    *,
    controller_name: str,
    zone: ZoneInfo,
    now: datetime,
    ledger: LedgerLine,
    processors: Sequence[ProcessorLine],
    entries: Sequence[tuple[int, Mapping[str, str | int]]],
    rehearsal: bool,
    decided: Decided,
    asks: bool = True,
    opener: Opener | None = None,
    who: Who | None = None,
) -> Dossier:
    """The dossier of the request with the full id `request_id`. Raises `NotFound`.

    `entries` are its ledger entries: index and what `ledger.entry.decode` gave. Answers stay sealed (kind and time
    only) unless `opener` is given; `decided` opens who decided and why. `who`: the person, where that may be shown.
    `asks`: contacts are asked by mail to confirm themselves.
    """
    found = read_standing(connection, t.request.c.id == request_id, now, {line.name: line for line in processors})
    if not found:
        raise NotFound(f"there is no request {request_id}")
    asked = found[0]
    titles = {line.processor: line.title for line in asked.lines}
    waiting = mail_duties(mail_waiting(connection, request_id))
    duties = [*waiting, *duties_of(found, now.astimezone(zone).date(), asks=asks)]
    attempts = _attempts(connection, request_id, titles)
    notices = _notices(connection, request_id, titles)
    answers = _answers(connection, request_id, titles, opener)
    decisions = _decisions(connection, request_id, decided)
    logged = tuple(_entry(idx, fields) for idx, fields in entries)
    return Dossier(
        controller=controller_name,
        rehearsal=rehearsal,
        zone=zone.key,
        made_at=now,
        ledger=ledger,
        verdict=verdict(ledger, duties, found),
        duties=tuple(duties),
        notes=notes_of(found),
        asked=asked,
        attempts=attempts,
        notices=notices,
        answers=answers,
        decisions=decisions,
        entries=logged,
        moments=moments(asked, attempts, notices, answers, decisions),
        who=who,
    )


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
        kept.setdefault(row.attempt_id, []).append(
            EvidenceLine(
                part=row.part,
                endpoint=row.endpoint,
                scope=row.scope,
                status=row.status,
                request_id=row.request_id,
                at=row.at,
                digest=row.digest,
                note=row.note,
            )
        )
    made = connection.execute(
        select(t.attempt, p.processor)
        .join(t.propagation, p.id == a.propagation_id)
        .where(p.request_id == request_id)
        .order_by(a.id)
    )
    return tuple(
        AttemptLine(
            processor=row.processor,
            title=titles.get(row.processor, row.processor),
            number=row.number,
            kind=row.kind,
            begun_at=row.begun_at,
            ended_at=row.ended_at,
            outcome=row.outcome,
            reason=row.reason,
            evidence=tuple(kept.get(row.id, ())),
        )
        for row in made
    )


def _notices(connection: Connection, request_id: str, titles: Mapping[str, str]) -> tuple[NoticeLine, ...]:
    p, n = t.propagation.c, t.notice.c
    rows = connection.execute(
        select(p.processor, n.number, n.kind, n.reference, n.created_at, n.sent_at, n.expires_at)
        .join(t.propagation, p.id == n.propagation_id)
        .where(p.request_id == request_id)
        .order_by(n.created_at, p.processor, n.number)
    )
    return tuple(
        NoticeLine(
            processor=row.processor,
            title=titles.get(row.processor, row.processor),
            number=row.number,
            kind=row.kind,
            reference=row.reference,
            created_at=row.created_at,
            sent_at=row.sent_at,
            expires_at=row.expires_at,
        )
        for row in rows
    )


def _answers(
    connection: Connection, request_id: str, titles: Mapping[str, str], opener: Opener | None
) -> tuple[AnswerLine, ...]:
    p, a = t.propagation.c, t.answer.c
    rows = connection.execute(
        select(t.answer, p.processor)
        .join(t.propagation, p.id == a.propagation_id)
        .where(p.request_id == request_id)
        .order_by(a.id)
    )
    return tuple(
        AnswerLine(
            processor=row.processor,
            title=titles.get(row.processor, row.processor),
            number=row.number,
            kind=row.kind,
            final=row.final,
            at=row.at,
            said=_opened(opener(row.propagation_id, row.sealed)) if opener else (),
        )
        for row in rows
    )


def _opened(plain: bytes) -> tuple[tuple[str, str], ...]:
    return tuple((str(label), str(text)) for label, text in json.loads(plain).items() if text)


def _decisions(connection: Connection, request_id: str, opener: Decided) -> tuple[DecisionLine, ...]:
    d = t.decision.c
    rows = connection.execute(select(t.decision).where(d.request_id == request_id).order_by(d.id))
    return tuple(_decision(row, *by_and_reason(row, opener)) for row in rows)


def _decision(row: Row[Any], by: str, reason: str) -> DecisionLine:
    return DecisionLine(
        processors=tuple(name for name in row.processor.split(",") if name),
        kind=row.kind,
        detail=row.detail,
        by=by,
        os_user=row.os_user,
        reason=reason,
        at=row.at,
    )


def _entry(idx: int, fields: Mapping[str, str | int]) -> EntryLine:
    said = {key: value for key, value in fields.items() if key not in {"v", "ts", "event", "req"}}
    return EntryLine(idx, datetime.fromtimestamp(int(fields["ts"]), UTC), str(fields["event"]), said)
