"""Whether the states of private conversations in the database are those that the ledger tells of.

The ledger commits to each act with a digest over the conversations that it concerned; their states follow from the acts
in order. What was written by hand beside it differs.
"""

from collections import defaultdict
from collections.abc import Iterator

from sqlalchemy import Connection, select

from dpsync.ledger import entry, stored
from dpsync.ledger.entry import Event
from dpsync.model import ActKind, ConversationState
from dpsync.store import conversation_tables as ct
from dpsync.store import tables

_LEADS_TO = {
    ActKind.LISTED: ConversationState.LISTED,
    ActKind.ATTESTED: ConversationState.ATTESTED,
    ActKind.CHECKED: ConversationState.VERIFIED_BY_EXPORT,
    ActKind.CONTRADICTED: ConversationState.CONTRADICTED,
    ActKind.EXCEPTED: ConversationState.EXCEPTED,
}
_SAID_AS = {
    Event.HANDED_OVER: ActKind.LISTED,
    Event.DECLARED: ActKind.ATTESTED,
    Event.VERIFIED: ActKind.CHECKED,
    Event.CONTRADICTED: ActKind.CONTRADICTED,
    Event.EXTENDED: ActKind.EXCEPTED,
}
C, A, R = ct.conversation.c, ct.retention_act.c, ct.retention_act_row.c


def problems(connection: Connection) -> Iterator[str]:
    """Each act that the ledger does not tell of, and each conversation whose state does not follow from the acts."""
    acts = connection.execute(
        select(A.id, A.processor, A.kind, R.pseudonym)
        .join(ct.retention_act_row, R.act_id == A.id)
        .order_by(A.id, R.pseudonym)
    ).all()
    concerned: dict[tuple[int, str, str], list[str]] = defaultdict(list)
    for row in acts:
        concerned[row.id, row.processor, row.kind].append(row.pseudonym)
    told = _told(connection) if concerned else set()
    states: dict[tuple[str, str], ConversationState] = {}
    for (number, name, kind), keys in concerned.items():
        if (name, kind, entry.list_digest(keys)) not in told:
            yield f"private conversations at {name}: the ledger does not tell of act {number} ({kind})"
            continue
        for key in keys:
            listed = kind == ActKind.LISTED and states.get((name, key)) is ConversationState.CONTRADICTED
            if not listed:  # a list is no excuse: what is contradicted stays so
                states[name, key] = _LEADS_TO[ActKind(kind)]
    for row in connection.execute(select(C.processor, C.pseudonym, C.reference, C.state).order_by(C.reference)):
        said = states.get((row.processor, row.pseudonym), ConversationState.KEPT)
        if row.state != said:
            yield f"conversation {row.reference} at {row.processor}: the database says {row.state}, the ledger {said}"


def _told(connection: Connection) -> set[tuple[str, str, str]]:
    """(processor, kind of act, digest) of every list of conversations in the ledger."""
    column = tables.entry.c
    found = set()
    for row in connection.execute(select(column.body).where(column.request_id.is_(None))):
        try:
            said = entry.decode(stored.raw(row.body))
        except ValueError:
            continue
        if said.get("kind") == "retention" and "list" in said:
            kind = _SAID_AS.get(Event(str(said["event"])))
            found.add((str(said["dest"]), kind.value if kind else "", str(said["list"])))
    return found
