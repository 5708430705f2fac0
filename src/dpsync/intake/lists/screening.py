"""Before a mailing: which addresses of a list must not get it, by what people asked for."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from sqlalchemy import Connection, select

from dpsync import opt_out_scope
from dpsync.address import NotAnAddress, mailbox
from dpsync.intake import welcome
from dpsync.intake.lists.reading import ListRow
from dpsync.model import Right, State
from dpsync.propagation.queue import lanes
from dpsync.propagation.rules.persons import may_be_same
from dpsync.propagation.rules.plan import restriction_in_force
from dpsync.sealing import Keys
from dpsync.store import tables as t

_PART: Final = "part"
AT_ONCE = 200
"""Rows in one question to the store, which takes a bounded number of names."""


class Reason(StrEnum):
    """Why a row is left out."""

    OPTED_OUT = "opted out"
    ERASED = "erased"
    RESTRICTED = "restricted"
    LEFT_A_PART = "opted out of a part"
    UNREADABLE = "no address that can be read"


@dataclass(slots=True)
class Screened:
    """What was left out of a list, by reason."""

    kept: int = 0
    left_out: Counter[Reason] = field(default_factory=Counter)


def screen(
    connection: Connection, keys: Keys, rows: Iterable[ListRow], found: Screened, mailing: str = ""
) -> Iterator[ListRow]:
    """The rows that may be mailed. `found` counts as they come. `mailing`: its scope, "" where nobody said it.

    An address, or an id, stands for everybody who was ever named by it: where one of them must not be mailed, it is
    not. What cannot be read is left out, because nobody can say whose it is. Who opted out of a part is left out of
    every mailing that may belong to it.
    """
    waiting: list[tuple[ListRow, Sequence[str]]] = []
    for row in rows:
        try:
            waiting.append((row, _names(keys, row)))
        except NotAnAddress:
            found.left_out[Reason.UNREADABLE] += 1
        if sum(len(names) for _, names in waiting) >= AT_ONCE:
            yield from _free(connection, keys, waiting, found, mailing)
            waiting = []
    if waiting:
        yield from _free(connection, keys, waiting, found, mailing)


def _names(keys: Keys, row: ListRow) -> Sequence[str]:
    """Under each pepper there was: a person is known by the one of their time. A telephone is a household's."""
    addresses = map(mailbox, (row.named.get("email", ""), *row.other_emails))
    names = [one for address in addresses for one in keys.pseudonyms("address", address)]
    own_id = row.named.get("id")
    return [*names, *keys.pseudonyms("id", own_id)] if own_id else names


def _free(
    connection: Connection, keys: Keys, waiting: Sequence[tuple[ListRow, Sequence[str]]], found: Screened, mailing: str
) -> Iterator[ListRow]:
    reasons = _reasons(connection, keys, {name for _, names in waiting for name in names}, mailing)
    for row, names in waiting:
        if said := {reasons[name] for name in names if name in reasons}:
            found.left_out[next(one for one in Reason if one in said)] += 1
        else:
            found.kept += 1
            yield row


def _reasons(connection: Connection, keys: Keys, names: set[str], mailing: str) -> dict[str, Reason]:
    """The strongest reason of each name that has one."""
    a, p = t.alias.c, t.propagation.c
    borne = connection.execute(select(a.pseudonym, a.person, a.subject_id).where(a.pseudonym.in_(sorted(names)))).all()
    if not borne:
        return {}
    subjects = sorted({row.subject_id for row in borne})
    asked = (
        select(p.subject_id, p.person, p.right, t.request.c.received_at, t.request.c.scope)
        .join(t.request, t.request.c.id == p.request_id)
        .where(p.subject_id.in_(subjects), p.right.in_([Right.OPT_OUT.value, Right.ERASURE.value]))
        .where(p.state != State.WITHDRAWN.value)
        .distinct()
    )
    asked_for: dict[str, list[tuple[str, str]]] = {}
    since = welcome.since(connection, keys, {row.person for row in borne})
    for subject, person, right, at, scope in connection.execute(asked):
        if scope:
            what = _PART if opt_out_scope.may_concern(scope, mailing) else ""
        else:
            what = "" if welcome.is_ended(right, at, since.get(person)) else right
        asked_for.setdefault(subject, []).append((person, what))
    history = lanes.lanes_of(connection, subjects)
    reasons: dict[str, Reason] = {}
    for row in borne:
        # Somebody of whom only an address is known, as of an opt-out at a processor, may be whoever shares it.
        own = {right for person, right in asked_for.get(row.subject_id, ()) if may_be_same(person, row.person)}
        if Right.OPT_OUT.value in own:
            reasons[row.pseudonym] = Reason.OPTED_OUT
        elif Right.ERASURE.value in own:
            reasons.setdefault(row.pseudonym, Reason.ERASED)
        elif restriction_in_force(history.get(row.subject_id, []), row.person):
            reasons.setdefault(row.pseudonym, Reason.RESTRICTED)
        elif _PART in own:
            reasons.setdefault(row.pseudonym, Reason.LEFT_A_PART)
    return reasons
