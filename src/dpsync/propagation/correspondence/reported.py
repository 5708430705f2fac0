"""What a processor's own system said later, by a signed message, of what it was told: an answer like any person's."""

import json
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, select

from dpsync.connector import Reported
from dpsync.errors import NotFound, PayloadInvalid
from dpsync.model import State, Way
from dpsync.propagation.controller import Controller
from dpsync.propagation.correspondence.acknowledgement import FINAL, MOST_BY_LINK
from dpsync.propagation.correspondence.incoming import keep_answer
from dpsync.propagation.record import Update, record
from dpsync.propagation.rules.lifecycle import Answer, AnswerKind
from dpsync.store import tables as t
from dpsync.store.writer import Unit


class Taking(StrEnum):
    """What became of a message. Only `TOO_EARLY` is to come again."""

    TAKEN = "taken"
    REPEATED = "repeated"
    TOO_EARLY = "too_early"


def take(unit: Unit, controller: Controller, processor: str, said: Reported, now: datetime) -> Taking:
    """Record it, once for the same message. The first final one counts, and a later one may take it back.

    What comes before it is on record that the processor was told is to come again: the call may be under way, and what
    it answers is recorded first. Raises `NotFound`, and `PayloadInvalid` for a message id that had another body.
    """
    p = t.propagation.c
    row = unit.connection.execute(
        select(p.id, p.state, p.way).where(p.request_id == said.request, p.processor == processor)
    ).one_or_none()
    if row is None:
        raise NotFound(f"request {said.request} does not go to {processor}")
    earlier = _earlier(unit.connection, controller, row.id)
    if said.event in earlier:
        if earlier[said.event] != said.digest:
            raise PayloadInvalid("webhook-id", "was given to another message before")
        return Taking.REPEATED
    if len(earlier) >= MOST_BY_LINK:
        raise PayloadInvalid("data.reference", "has been answered too often")
    if row.state == State.PENDING and row.way == Way.API and not said.older:
        return Taking.TOO_EARLY
    kind = AnswerKind(said.outcome.value)
    words = {"remark": said.remark, "event": said.event, "message": said.digest, "signed": "by the processor's system"}
    kept = keep_answer(unit, controller, row.id, 0, kind, words, now, final=kind in FINAL)
    answered = Answer(kind, said.digest, said.older)
    record(unit, controller, Update(row.id, [answered], now, cause=kind.value, beside=[kept]))
    return Taking.TAKEN


def _earlier(connection: Connection, controller: Controller, propagation_id: int) -> dict[str, str]:
    """The digest of the body by the message's id, of each that was taken."""
    a = t.answer.c
    found: dict[str, str] = {}
    for sealed in connection.execute(select(a.sealed).where(a.propagation_id == propagation_id)).scalars():
        said: dict[str, Any] = json.loads(controller.keys.open("answer", sealed, str(propagation_id).encode()))
        if "event" in said:
            found[said["event"]] = said["message"]
    return found
