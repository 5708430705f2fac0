"""What a processor is told: the instruction of one attempt, with every address the person may be held under."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, bindparam, select, update

from dpsync.address import normalised
from dpsync.ciphers import RequestKey
from dpsync.connector import Instruction, Letter, NoticeKind, Processor
from dpsync.model import Cause, Changes, Request, Right, State, Way
from dpsync.propagation.commitments import opened
from dpsync.propagation.contacts import present
from dpsync.propagation.controller import Controller, token_hash
from dpsync.propagation.queue.lanes import causes_of
from dpsync.propagation.rules import scoped
from dpsync.propagation.rules.plan import Waiting, told_since
from dpsync.store import tables as t
from dpsync.store.upsert import insert_or_ignore
from dpsync.store.writer import Unit

NOTICE_LINK_LIVES = timedelta(days=400)

_P, _R = t.propagation.c, t.request.c
_OTHERS = (
    select(_P.id, _P.state, _P.attempts, _P.touched, _P.covers, _P.request_id, _R.sealed, _R.wrapped_key, _R.key_month)
    .join(t.request, _R.id == _P.request_id)
    .where(_P.id.in_(bindparam("propagation_ids", expanding=True)))
    .order_by(_P.ordinal)
)


def instruction_of(
    connection: Connection,
    controller: Controller,
    row: Mapping[str, Any],
    asked: tuple[RequestKey, Request],
    own: Waiting,
    lane: Sequence[Waiting],
    letter: Letter | None,
    may_call_until: Callable[[], float],
) -> Instruction:
    """What a connector is told of what was `asked`, by API or in `letter`. `lane`: all of its subject there."""
    key, request = asked
    names = row["request_id"], row["processor"], letter.number if letter else 1
    link = f"{controller.public_url}/answers/{controller.answer_token(*names)}"
    everywhere = Cause.SCOPE_UNMAPPED in causes_of(row["released"])
    processor = controller.processors[row["processor"]]
    part = scoped.told(request.scope, processor, everywhere=everywhere)
    return Instruction(
        reference=controller.reference(*names),
        right=request.right,
        addresses=_known_addresses(connection, controller, row, request, own, lane),
        subject_id=request.subject.id,
        phone=request.subject.phone,
        name=request.subject.name,
        references=request.subject.references,
        changes=_changes_now(connection, controller, request, own, lane),
        lifted=request.lifted,
        request=row["request_id"],
        message_id=controller.message_id(*names),
        answer_url=link if controller.public_url else "",
        digest_key=key.commit_key,
        may_call_until=may_call_until,
        letter=letter,
        received_at=request.received_at,
        answer_within=processor.answer_within,
        scope=part.scope,
        only=part.only,
    )


def _known_addresses(
    connection: Connection,
    controller: Controller,
    row: Mapping[str, Any],
    request: Request,
    head: Waiting,
    lane: Sequence[Waiting],
) -> tuple[str, ...]:
    """Every address this processor may hold the person under, the request's own first.

    Besides those of the request: old and new of each rectification of the same person, unless it was *seen* that the
    processor carried it out; then the new one only, for the old one may be somebody else's by now. An open
    rectification A -> B, then the erasure of B: the processor still holds A. So it does where that rectification is
    held; but of what is held and was never told the new address is nobody's there, and may be a stranger's.
    """
    earlier: dict[str, str] = {}
    # Never told to anybody, and withdrawn perhaps because the address was somebody else's.
    withdrawn = (_P.state == State.WITHDRAWN.value) & (_P.attempts == 0)
    here = (_P.processor == row["processor"]) & ~withdrawn
    for other, told in _asked_by(connection, controller, _rectified(head, lane), here):
        if told is None:
            continue
        new = normalised(told.changes.email) if told.changes and told.changes.email else None
        unsent = other["state"] == State.HELD and not (other["attempts"] or other["touched"])
        for address in _named_before(told) if unsent else told.addresses:
            if other["state"] == State.VERIFIED and new and normalised(address) != new:
                earlier.pop(normalised(address), None)
            else:
                earlier[normalised(address)] = address
    own = {normalised(address): address for address in request.addresses}
    return tuple((own | {name: address for name, address in earlier.items() if name not in own}).values())


def _named_before(asked: Request) -> tuple[str, ...]:
    """The addresses that the main database had until then."""
    return tuple(filter(None, [asked.subject.email, *asked.subject.other_emails]))


def _rectified(head: Waiting, lane: Sequence[Waiting]) -> list[int]:
    """The rectifications of the same person that the processor may know of, or that say what it knows them by."""
    return [
        other.id
        for other in lane
        if other.right is Right.RECTIFICATION
        and other.person == head.person
        and other.id != head.id
        # what is newer, and was never tried, is known to nobody there
        and (other.tried or other.ordinal < head.ordinal or is_older(other, head))
    ]


def is_older(one: Waiting, other: Waiting) -> bool:
    """Whether it is older by its version, whenever it came in."""
    versions = one.version, other.version
    return one.source == other.source and None not in versions and (one.version or 0) < (other.version or 0)


def _asked_by(
    connection: Connection, controller: Controller, propagation_ids: Sequence[int], *where: ColumnElement[bool]
) -> Iterator[tuple[RowMapping, Request | None]]:
    """Each of these propagations, the oldest first, with what was asked by it: None where that is destroyed."""
    if not propagation_ids:
        return
    for row in connection.execute(_OTHERS.where(*where), {"propagation_ids": propagation_ids}).mappings():
        found = opened(controller, dict(row))
        yield row, found and found[1]


def _changes_now(
    connection: Connection, controller: Controller, request: Request, head: Waiting, lane: Sequence[Waiting]
) -> Changes | None:
    """What a rectification changes, as it is after the newer ones that were told before it.

    So whatever was told last, the processor ends with the newest of each value. What a newer one found nobody for
    is told with it too. Where the newer one is shredded, what it changed is left as it is.
    """
    newer = told_since(head, lane) if request.changes else []
    if request.changes is None or not newer:
        return request.changes
    asked = {row["id"]: (row, told) for row, told in _asked_by(connection, controller, [one.id for one in newer])}
    changes = request.changes
    for one in newer:
        row, told = asked[one.id]
        if told is None:
            covered = set(row["covers"].split())
            # a newer text for the whole of a field stands against older parts of it
            names = changes.names | {f"fields/{name}" for name in changes.fields}
            changes = changes.without(frozenset(n for n in names if controller.change_digest(n) in covered))
        elif told.changes:
            changes = changes.under(told.changes)
    return changes


def next_letter(
    unit: Unit, controller: Controller, processor: Processor, row: Mapping[str, Any], kind: str, now: datetime
) -> Letter:
    """The next letter of this correspondence, or the one that was begun and never confirmed as sent."""
    number, (to, letter_kind) = row["notices"] + 1, recipient_of(unit.connection, controller, processor, row, kind)
    begun = _keep_letter(unit.connection, controller, row, number, letter_kind, to, now)
    references: tuple[str, ...] = ()
    if row["handed"]:
        context = f"{row['request_id']}/{row['processor']}".encode()
        handed = controller.keys.open("handed", row["handed"], context).decode()
        references = tuple(line for line in handed.split("\n") if line)
    return Letter(
        number=number,
        kind=letter_kind,
        controller=controller.name,
        to=to,
        processor_title=processor.title,
        answer_by=(begun + processor.answer_within).astimezone(controller.zone).date(),
        in_reply_to=controller.message_id(row["request_id"], row["processor"], 1) if row["notices"] else None,
        task=row["task"],
        references=references,
    )


def _keep_letter(
    connection: Connection,
    controller: Controller,
    row: Mapping[str, Any],
    number: int,
    kind: NoticeKind,
    to: str,
    now: datetime,
) -> datetime:
    """Store it before it is sent: a retry after a crash repeats the same Message-ID, so people see one letter.

    Gives when it was first written: a retry on another day must not change the letter under the same id.
    """
    names = row["request_id"], row["processor"], number
    values = {
        "propagation_id": row["id"],
        "number": number,
        "kind": kind,
        "message_id": controller.message_id(*names),
        "reference": controller.reference(*names),
        "token_hash": token_hash(controller.answer_token(*names)),
        "recipient": controller.keys.pseudonym("address", to),
        "created_at": now,
        "expires_at": now + NOTICE_LINK_LIVES,
    }
    if insert_or_ignore(connection, t.notice, values):
        return now
    here = (t.notice.c.propagation_id == row["id"]) & (t.notice.c.number == number)
    # The contact may be another one than when it was first written.
    connection.execute(update(t.notice).where(here).values(recipient=values["recipient"]))
    begun: datetime = connection.execute(select(t.notice.c.created_at).where(here)).scalar_one()
    return begun


def notice_row(connection: Connection, propagation_id: int, number: int) -> Mapping[str, Any]:
    """A letter as it stands in the store."""
    n = t.notice.c
    found = select(t.notice).where(n.propagation_id == propagation_id, n.number == number)
    return dict(connection.execute(found).mappings().one())


def recipient_of(
    connection: Connection, controller: Controller, processor: Processor, row: Mapping[str, Any], kind: str
) -> tuple[str, NoticeKind]:
    """To whom the next letter goes, and which one it is."""
    if row["way"] == Way.OPERATOR:
        return controller.operator, NoticeKind.TASK_REMINDER if kind == "reminder" else NoticeKind.TASK
    if kind != "reminder":
        return present(connection, controller, processor), NoticeKind.FIRST
    if row["state"] == State.ESCALATED and processor.backup_contact:  # held back unless it has confirmed itself
        return processor.backup_contact, NoticeKind.BACKUP
    return present(connection, controller, processor), NoticeKind.REMINDER
