"""Whether what the database has of private conversations is what the ledger tells of, column by column.

The ledger commits to each act, and with a digest to the conversations that it concerned; their states follow from the
acts in order. It commits to each conversation when it is first seen, when it turns out to be older, and when it is let
stay. What was written by hand beside it differs.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, select

from dpsync.ledger import entry, row_comparison, rows, stored_rows, told
from dpsync.ledger.entry import EntryKind
from dpsync.ledger.told import Kept
from dpsync.model import ActKind, ConversationState
from dpsync.sealing import Keys
from dpsync.store import conversation_tables as ct

_LEADS_TO = {
    ActKind.LISTED: ConversationState.LISTED,
    ActKind.ATTESTED: ConversationState.ATTESTED,
    ActKind.CHECKED: ConversationState.VERIFIED_BY_EXPORT,
    ActKind.CONTRADICTED: ConversationState.CONTRADICTED,
    ActKind.EXCEPTED: ConversationState.EXCEPTED,
}
_SAID_AS = {
    EntryKind.HANDED_OVER: ActKind.LISTED,
    EntryKind.DECLARED: ActKind.ATTESTED,
    EntryKind.VERIFIED: ActKind.CHECKED,
    EntryKind.CONTRADICTED: ActKind.CONTRADICTED,
    EntryKind.EXTENDED: ActKind.EXCEPTED,
}
Row = Mapping[str, Any]


@dataclass(slots=True)
class _Told:
    """What the entries say: (processor, kind of act, digest) of every list; rows; when a work list was escalated."""

    lists: set[tuple[str, str, str]] = field(default_factory=set)
    acts: list[Kept] = field(default_factory=list)
    conversations: dict[tuple[str, str], Kept] = field(default_factory=dict)
    letters: dict[str, list[Kept]] = field(default_factory=lambda: defaultdict(list))
    escalated: dict[str, int] = field(default_factory=dict)

    def hear(self, idx: int, said: told.Said) -> None:
        """Go on by the next entry that is about no request."""
        name, reference, event = str(said.get("dest")), str(said.get("ref")), str(said["event"])
        if "list" in said and event in _SAID_AS:
            self.lists.add((name, _SAID_AS[EntryKind(event)].value, str(said["list"])))
        if event == EntryKind.ESCALATED:
            self.escalated[reference] = int(said["ts"])
        for kept in told.items(idx, said):
            match kept.said.table:
                case "retention_act":
                    self.acts.append(kept)
                case "conversation":
                    self.conversations[name, reference] = kept
                case "retention_letter":
                    self.letters[reference].append(kept)


@dataclass(slots=True)
class _Followed:
    """Where a conversation stands after the acts, and since when; times as they are stored."""

    state: ConversationState = ConversationState.KEPT
    claimed_at: object = None
    contradicted_at: object = None

    def follow(self, kind: ActKind, at: object) -> None:
        """Go on by the next act that concerns it."""
        # A list is no excuse: what is contradicted stays so.
        if not (kind is ActKind.LISTED and self.state is ConversationState.CONTRADICTED):
            self.state = _LEADS_TO[kind]
        if kind in {ActKind.ATTESTED, ActKind.CHECKED}:
            self.claimed_at = at
        if kind is ActKind.CONTRADICTED:
            self.contradicted_at = at


def problems(connection: Connection, keys: Keys, *, older: bool) -> Iterator[str]:
    """Each act that the ledger does not tell of, and each column that is not as it was committed, or as it follows from
    the acts. `older`: the ledger began before entries committed to rows, so what no entry tells of may be older.
    """
    said = _Told()
    for idx, one in told.of_no_request(connection):
        said.hear(idx, one)
    key = rows.own_key(keys)
    acts = stored_rows.all_of(connection, ct.retention_act)
    for columns, problem, untold in row_comparison.of_added(key, "retention_act", said.acts, acts):
        if not (untold and older):
            yield f"private conversations, retention_act: {', '.join(columns)} {problem}"
    yield from _of_lists(key, acts, stored_rows.all_of(connection, ct.retention_letter), said, older=older)
    followed: dict[tuple[str, str], _Followed] = defaultdict(_Followed)
    yield from _of_acts(connection, acts, said, followed)
    for row in stored_rows.all_of(connection, ct.conversation):
        for problem in _of_conversation(key, row, followed[row["processor"], row["pseudonym"]], said, older=older):
            yield f"conversation {row['reference']} at {row['processor']}: {problem}"
    there = select(ct.conversation.c.processor, ct.conversation.c.reference)
    for name, reference in sorted(said.conversations.keys() - {tuple(row) for row in connection.execute(there)}):
        yield f"conversation {reference} at {name}: the database has none of this processor and reference"


def _of_acts(
    connection: Connection, acts: Sequence[Row], said: _Told, followed: dict[tuple[str, str], _Followed]
) -> Iterator[str]:
    concerned: dict[int, list[str]] = defaultdict(list)
    for row in stored_rows.all_of(connection, ct.retention_act_row):
        concerned[row["act_id"]].append(row["pseudonym"])
    for act in acts:
        name, kind, keys = act["processor"], act["kind"], concerned.pop(act["id"], [])
        if not keys and not act["conversations"]:
            continue
        if kind not in list(_LEADS_TO) or (name, kind, entry.list_digest(keys)) not in said.lists:
            named = "retention_act_row: act_id, pseudonym"
            yield f"private conversations at {name}: the ledger does not tell of act {act['id']} ({kind}; {named})"
            continue
        for key in keys:
            followed[name, key].follow(ActKind(kind), act["at"])


def _of_lists(key: bytes, acts: Sequence[Row], letters: Sequence[Row], said: _Told, *, older: bool) -> Iterator[str]:
    sent: dict[object, list[Row]] = defaultdict(list)
    for letter in letters:
        if letter["sent_at"] is not None:
            sent[letter["act_id"]].append(letter)
    for act in acts:
        reference = act["reference"]
        if stored_rows.seconds(act["escalated_at"]) != said.escalated.get(str(reference)):
            yield f"work list {reference}: escalated_at is not when the ledger tells of it"
        committed = said.letters.get(str(reference), [])
        for columns, problem, untold in row_comparison.of_added(key, "retention_letter", committed, sent[act["id"]]):
            if not (untold and older):
                yield f"work list {reference}, retention_letter: {', '.join(columns)} {problem}"


def _of_conversation(key: bytes, row: Row, so: _Followed, said: _Told, *, older: bool) -> Iterator[str]:
    if row["state"] != so.state:
        yield f"the database says state {row['state']}, the ledger {so.state}"
    for column, at in (("claimed_at", so.claimed_at), ("contradicted_at", so.contradicted_at)):
        if row[column] != at:
            yield f"{column} is not that of the act which it follows from"
    kept = said.conversations.get((row["processor"], row["reference"]))
    if kept is not None:
        if columns := rows.differing(key, kept.said, row):
            yield f"{', '.join(columns)} not as entry {kept.idx} recorded it"
    elif not older:
        yield "no entry tells of one of this processor and reference"
