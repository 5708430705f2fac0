"""The steps of a case as rows, each with its entry in the ledger. The only writer of table `case_act`.

What is open in a row is codes, dates and numbers; who did it and whatever anybody wrote is sealed. The ledger holds
commitments of that under the installation's own key.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, insert, select, update

from dpsync import readable_ids
from dpsync.errors import DecisionRefused, KeyProblem, NotFound
from dpsync.ledger import entry, rows
from dpsync.ledger.comparison import FORGOTTEN_CASE
from dpsync.ledger.entry import EntryKind
from dpsync.propagation.controller import Controller
from dpsync.propagation.decisions import Person, demand_request
from dpsync.sealing import UNREADABLE, Keys
from dpsync.store.case_tables import case_act
from dpsync.store.writer import Unit

PURPOSE = "case"
A = case_act.c


@dataclass(frozen=True, slots=True)
class Act:
    """One step. `said`: codes, dates and numbers, as they were written; `sealed` is opened by `words_of`."""

    case_id: str
    kind: EntryKind
    said: Mapping[str, Any]
    at: datetime
    sealed: bytes = field(repr=False, default=b"")


def new_id(letter: str) -> str:
    """A name that people can read out: a letter and 40 random bits."""
    return readable_ids.fresh(f"{letter}-", 5)


def act(
    unit: Unit,
    controller: Controller,
    case_id: str,
    kind: EntryKind,
    person: Person,
    now: datetime,
    *,
    said: Mapping[str, Any],
    words: Mapping[str, str] | None = None,
    entered: Mapping[str, str | int] | None = None,
) -> None:
    """Keep a step. `said`: what may stand open; `words`: what is sealed; `entered`: more fields of the ledger's entry.

    Raises `UsageError` without a name.
    """
    person.demand(reason=False)
    sealed = json.dumps({"by": person.by.strip(), "reason": person.reason.strip(), **(words or {})}).encode()
    row = {
        "case_id": case_id,
        "kind": kind.value,
        "said": entry.canonical(said).decode(),
        "sealed": controller.keys.seal(PURPOSE, sealed, case_id.encode()),
        "os_user": person.os_user,
        "at": now,
    }
    unit.connection.execute(insert(case_act).values(row))
    key = rows.own_key(controller.keys)
    fields = {"ref": case_id, **person.author.said(key), **(entered or {}), "rows": rows.item(key, "case_act", row)}
    unit.append(None, entry.encode(kind, now, **fields))


def acts(connection: Connection, letter: str, case_id: str = "") -> Mapping[str, Sequence[Act]]:
    """The steps of every complaint (`C`) or incident (`I`), or of one, by case, in order."""
    chosen = A.case_id == case_id if case_id else A.case_id.startswith(f"{letter}-")
    found: dict[str, list[Act]] = {}
    for row in connection.execute(select(case_act).where(chosen).order_by(A.id)):
        one = Act(row.case_id, EntryKind(row.kind), json.loads(row.said), row.at, row.sealed)
        found.setdefault(row.case_id, []).append(one)
    return found


def words_of(keys: Keys, one: Act) -> Mapping[str, str]:
    """Who did a step, and what they wrote; of one that does not open, that it does not."""
    try:
        said: Mapping[str, str] = json.loads(keys.open(PURPOSE, one.sealed, one.case_id.encode()))
    except KeyProblem:
        return {"by": UNREADABLE, "reason": UNREADABLE}
    return said


def forget_words(unit: Unit, keys: Keys, case_id: str, now: datetime) -> None:
    """Destroy what people wrote of a case, in each of its steps; who did it, codes, dates and numbers stay."""
    cleared = 0
    for row in unit.connection.execute(select(A.id, A.sealed).where(A.case_id == case_id)).all():
        try:
            said = json.loads(keys.open(PURPOSE, row.sealed, case_id.encode()))
        except KeyProblem:
            continue  # it says nothing to anybody
        left = {name: text if name == "by" else "" for name, text in said.items()}
        if left != said:
            sealed = keys.seal(PURPOSE, json.dumps(left).encode(), case_id.encode())
            unit.connection.execute(update(case_act).where(A.id == row.id).values(sealed=sealed))
            cleared += 1
    if cleared:
        unit.append(None, entry.encode(EntryKind.SHREDDED, now, kind=FORGOTTEN_CASE, ref=case_id, n=cleared))


def find_case(connection: Connection, letter: str, prefix: str) -> str:
    """The full id of the one case that begins so; letters of either case, `C-` may be left out. Raises `NotFound`."""
    text = readable_ids.as_spelled(prefix, f"{letter}-")
    if not re.fullmatch(r"[0-9A-Z]{3,8}", text):
        raise NotFound("give at least the first three characters of the id, as `list` shows it")
    query = select(A.case_id).distinct().where(A.case_id.startswith(f"{letter}-{text}")).limit(2)
    found = list(connection.execute(query).scalars())
    if len(found) != 1:
        raise NotFound(f"{'more than one begins' if found else 'there is none that begins'} with {prefix!r}")
    return str(found[0])


def demand_requests(connection: Connection, ids: Iterable[str]) -> None:
    """Refuse the id of a request that there is none of. Raises `NotFound`."""
    for one in ids:
        demand_request(connection, one)


def demand_day(controller: Controller, on: date, since: date, now: datetime, what: str, began: str) -> None:
    """Refuse a day before `since`, which is when `began` says, or after today. Raises `DecisionRefused`."""
    if on > controller.legal_clock.day_of(now):
        raise DecisionRefused(f"{what} is in the future: record it when it is done")
    if on < since:
        raise DecisionRefused(f"{what} is before {since:%d %b %Y}, {began}")
