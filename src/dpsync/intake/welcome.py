"""Somebody who had opted out, or had been erased, came back by their own wish: that is written down, with its proof.

dpsync subscribes nobody because of it, here or anywhere: the person did. From that day on what they had asked for
before is no reason to ask whether they may be there, or to keep them from a mailing. What they ask for afterwards
counts as ever. A restriction is not over by it: that is lifted, and told to the person before (Art. 18(3)). Nor is an
opt-out from a part: nobody knows whether the new consent is to that part.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, delete, select

from dpsync.errors import DecisionRefused, KeyProblem, NotFound, UsageError
from dpsync.ledger import entry
from dpsync.ledger import rows as rows_of_ledger
from dpsync.ledger.entry import EntryKind
from dpsync.model import Right, State
from dpsync.propagation.controller import Controller
from dpsync.propagation.decisions import Person
from dpsync.propagation.rules.persons import NAMELESS
from dpsync.sealing import Keys
from dpsync.store import shelf
from dpsync.store import tables as t
from dpsync.store.writer import Unit

WELCOMED: Final = "person welcomed"
"""What a row of the shelf is called that says so, where a processor's name stands, which has no spaces."""

ENDED: Final = (Right.OPT_OUT.value, Right.ERASURE.value)
"""What a new consent ends."""
OF_A_PART: Final = "it is an opt-out from a part, which no new consent ends here: let the record stay, and say why"
_IN_ONE = 500  # SQLite takes a bounded number of parameters in one statement
_STOPPED: Final = (State.WITHDRAWN.value, State.SUPERSEDED.value)
_A, _R, _P, _S = t.alias.c, t.request.c, t.propagation.c, t.shelf.c
_OWN = t.alias.alias()


@dataclass(frozen=True, slots=True)
class NewConsent:
    """What a person said, and when: `at`, where only the day is known its first moment. `text`: how and for what, of
    which a mark is kept; `digest`: SHA-256 of a document that shows it, "" for none.
    """

    at: datetime
    text: str
    digest: str = ""


def welcome(
    unit: Unit, controller: Controller, address: str, consent: NewConsent, by: Person, request_id: str, now: datetime
) -> Sequence[str]:
    """Write it down. The ids of the requests that it ends; `request_id`: one of them, where several share the address.

    Raises:
        UsageError: no name, or the moment is to come.
        NotFound: nobody with this address asked to be left alone.
        DecisionRefused: it may be somebody else, they asked again since, or what they asked for is not over yet.
    """
    by.demand(reason=False)
    if consent.at > now:
        raise UsageError("--on is still to come")
    named = _A.pseudonym.in_(controller.keys.pseudonyms("address", address))
    asked = _asked_by(unit.connection, named, request_id)
    if not asked:
        raise NotFound("nobody with this address opted out, or was erased")
    return _write(unit, controller, asked, consent, by, now)


def welcome_back(
    unit: Unit, controller: Controller, request_id: str, consent: NewConsent, by: Person, now: datetime
) -> Sequence[str]:
    """The same of whoever a request is about, also where nobody knows any more who that was.

    Raises `DecisionRefused`, also for a day to come, or where the request was withdrawn.
    """
    by.demand(reason=True)
    if consent.at > now:
        raise DecisionRefused("that day is still to come")
    if unit.connection.execute(select(_R.scope).where(_R.id == request_id)).scalar():
        raise DecisionRefused(OF_A_PART)
    own = select(_R.person).where(_R.id == request_id).scalar_subquery()
    names = _A.pseudonym.in_(select(_OWN.c.pseudonym).where(_OWN.c.person == own))
    try:
        asked = _asked_by(unit.connection, names, request_id)
    except NotFound as nothing:
        raise DecisionRefused(nothing.message) from None
    return _write(unit, controller, asked, consent, by, now)


def _write(
    unit: Unit, controller: Controller, asked: Sequence[Any], consent: NewConsent, by: Person, now: datetime
) -> Sequence[str]:
    if later := [row.id for row in asked if row.received_at >= consent.at]:
        raise DecisionRefused(
            f"{later[-1]} was asked later, or on that day: it counts. Give the time of the consent, too"
        )
    if on_its_way := [row.id for row in asked if row.closed_at is None]:
        raise DecisionRefused(f"{on_its_way[0]} is not over yet: see `dpsync status`, and `dpsync withdraw`")
    keys, persons = controller.keys, sorted({row.person for row in asked})
    shelf.keep(unit.connection, [_row(keys, one, consent.at, now) for one in persons])
    said = by.author.said(rows_of_ledger.own_key(keys)) | ({"digest": consent.digest} if consent.digest else {})
    mark = keys.mac("welcome", "\n".join(persons).encode()).hex()[:32]
    on, ended = consent.at.astimezone(controller.zone).date().isoformat(), [row.id for row in asked]
    unit.append(None, entry.encode(EntryKind.DECIDED, now, kind="welcomed", ref=mark, told_on=on, n=len(ended), **said))
    return ended


def _row(keys: Keys, person: str, since: datetime, now: datetime) -> dict[str, Any]:
    sealed = keys.seal(WELCOMED, since.isoformat().encode(), _context(person))
    return {"processor": WELCOMED, "key": person, "sealed": sealed, "at": now}


def since(connection: Connection, keys: Keys, persons: Iterable[str]) -> dict[str, datetime]:
    """From when on each of them is welcome: only those that are."""
    found, wanted = {}, sorted(persons)
    for at in range(0, len(wanted), _IN_ONE):
        chosen = select(_S.key, _S.sealed).where(_S.processor == WELCOMED, _S.key.in_(wanted[at : at + _IN_ONE]))
        for key, sealed in connection.execute(chosen):
            try:
                found[key] = datetime.fromisoformat(keys.open(WELCOMED, sealed, _context(key)).decode())
            except KeyProblem:
                continue  # written there by hand: then they are not
    return found


def forget(connection: Connection, person: str) -> None:
    """Destroy that somebody is, with their pseudonyms."""
    connection.execute(delete(t.shelf).where(_S.processor == WELCOMED, _S.key == person))


def is_ended(right: str, received_at: datetime, welcome_since: datetime | None) -> bool:
    """Whether a request counts no more because its person is welcome since."""
    return welcome_since is not None and right in ENDED and received_at < welcome_since


def _asked_by(connection: Connection, named: ColumnElement[bool], request_id: str) -> Sequence[Any]:
    """All that stands and that a new consent would end, of the one person who is meant. `named`: of all aliases theirs.

    Of whom only the address is known, as of an opt-out at a processor, may be anybody who uses it: it is this person
    where no other is known by it.
    """
    bear = select(_A.person).where(named).distinct()
    stands = select(_P.request_id).where(_P.state.not_in(_STOPPED))
    asked = select(_R.id, _R.person, _R.received_at, _R.closed_at).where(
        _R.person.in_(bear), _R.right.in_(ENDED), _R.scope == ""
    )
    rows = connection.execute(asked.where(_R.id.in_(stands)).order_by(_R.ordinal)).all()
    known = {row.person for row in rows if not row.person.startswith(NAMELESS)}
    meant = {row.person for row in rows if row.id == request_id}
    if request_id and not meant:
        raise NotFound(f"{request_id} is no opt-out or erasure of somebody with this address")
    if len(known) < 2:
        return rows
    if not meant:
        raise DecisionRefused("several people share this address: say which with --request, see `dpsync find`")
    return [row for row in rows if row.person in meant]


def _context(person: str) -> bytes:
    return f"{WELCOMED}\n{person}".encode()
