"""What the entries of a request tell of it, in order: its places' states, when they were reached, what rows it has."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, select

from dpsync.ledger import entry, evidence, rows, stored
from dpsync.ledger.entry import EntryKind
from dpsync.ledger.rows import Committed
from dpsync.model import CLOSED_STATES, DONE_STATES, Rung
from dpsync.store import tables as t

Said = Mapping[str, str | int]


@dataclass(slots=True)
class PlaceTold:
    """What the entries about one request at one processor say; `idx` None: none did since it was accepted.

    `told`, `done` and `since` are seconds: since when it has been told and done, and since when it has its state.
    `way`: by which it was told at first, "" where no entry says.
    """

    state: str = "pending"
    rung: int = 0
    idx: int | None = None
    told: int | None = None
    done: int | None = None
    since: int | None = None
    way: str = ""

    def hear(self, idx: int, said: Said) -> None:
        """Go on by the next entry that gives a state."""
        state, ts = str(said["state"]), int(said["ts"])
        self.rung, self.idx = int(said["rung"]), idx
        # An entry from before this was written down tells it by the rung, which never fell.
        told = said.get("told", int(self.rung >= Rung.SENT))
        self.told = (ts if self.told is None else self.told) if told else None
        # What was contradicted was not done: it counts from when it is done again.
        if state in DONE_STATES and self.state not in DONE_STATES:
            self.done = ts
        if state != self.state:
            self.since = ts
        self.state = state


@dataclass(frozen=True, slots=True)
class Kept:
    """One row that an entry commits to, and the entry's index."""

    idx: int
    said: Committed


@dataclass(slots=True)
class RequestTold:
    """What the entries of one request say. `receipt`: the first, which is about no processor; `idx`: its index.

    `closed`: since when nobody is waited for, in seconds. `rows` by table, processor and number: the last word of each
    that may change; `added`: of those that are only ever added, all, in order.
    """

    idx: int = 0
    receipt: Said = field(default_factory=dict)
    places: dict[str, PlaceTold] = field(default_factory=dict)
    closed: int | None = None
    shredded: int | None = None
    rows: dict[tuple[str, str, int], Kept] = field(default_factory=dict)
    added: dict[tuple[str, str], list[Kept]] = field(default_factory=dict)
    answers: dict[evidence.Place, tuple[int, str]] = field(default_factory=dict)
    joined_unseen: bool = False

    @property
    def commits(self) -> bool:
        """Whether it was accepted since entries commit to rows."""
        return "rows" in self.receipt

    def hear(self, idx: int, said: Said) -> None:
        """Go on by the next entry."""
        name = str(said.get("dest", ""))
        if "list" in said:
            self.idx, self.receipt = idx, said
        opened = int(self.receipt.get("ts", said["ts"]))
        place = self.places.setdefault(name, PlaceTold(since=opened)) if name else None
        if place is not None and "way" in said:
            place.way = place.way or str(said["way"])
        if place is not None and "state" in said:
            place.hear(idx, said)
        if "resp" in said:
            self.answers[evidence.place_of(said)] = (idx, str(said["resp"]))
        if said["event"] == EntryKind.SHREDDED:
            self.shredded = int(said["ts"])
        self._close(said)
        found = items(idx, said)
        if said["event"] == EntryKind.JOINED and not any(kept.said.table == "request" for kept in found):
            self.joined_unseen = True
        for kept in found:
            self._keep(name, kept)

    def _close(self, said: Said) -> None:
        """A request closes when the last of its places came to rest, which need not be the last that was written."""
        if not ("state" in said or "list" in said) or "n" not in self.receipt:
            return
        closed = [place for place in self.places.values() if place.state in CLOSED_STATES]
        if len(closed) < int(self.receipt["n"]):
            self.closed = None
        elif self.closed is None:
            self.closed = max([place.since or 0 for place in closed], default=int(said["ts"]))

    def _keep(self, name: str, kept: Kept) -> None:
        table, number = kept.said.table, kept.said.number or 0
        if table in ONLY_ADDED:
            self.added.setdefault((table, name if table in AT_A_PLACE else ""), []).append(kept)
        else:
            self.rows[table, name, number] = kept


AT_A_PLACE = frozenset({"attempt", "notice", "answer", "post"})
"""Tables whose rows belong to one processor of a request; the others belong to the request."""

ONLY_ADDED = frozenset({"answer", "post", "decision", "withdrawal"})
"""Rows that are written once and never change."""


def items(idx: int, said: Said) -> list[Kept]:
    """What an entry commits to of rows."""
    return [Kept(idx, one) for one in rows.read(str(said["rows"]))] if "rows" in said else []


def of_requests(connection: Connection, ids: Sequence[str]) -> dict[str, RequestTold]:
    """What the ledger tells of these requests. An entry that cannot be read says nothing: `Log.verify` names it."""
    column = t.entry.c
    told: dict[str, RequestTold] = {}
    chosen = select(column.idx, column.request_id, column.body).where(column.request_id.in_(ids)).order_by(column.idx)
    for idx, request_id, body in connection.execute(chosen).all():
        if (said := readable(body)) is not None:
            told.setdefault(request_id, RequestTold()).hear(idx, said)
    return told


def of_no_request(connection: Connection) -> Iterable[tuple[int, Said]]:
    """(index, entry) of all that is about no request, in order."""
    column = t.entry.c
    found = select(column.idx, column.body).where(column.request_id.is_(None)).order_by(column.idx)
    for idx, body in connection.execute(found):
        if (said := readable(body)) is not None:
            yield idx, said


def readable(body: object) -> Said | None:
    """What a stored entry says, None where it is none."""
    try:
        said = entry.decode(stored.raw(body))
        if "rows" in said:
            rows.read(str(said["rows"]))
    except ValueError:
        return None
    return said
