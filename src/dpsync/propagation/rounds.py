"""Letters by rounds: the one that asked last, its reminders, and what people said to them."""

from sqlalchemy import Connection, func, or_, select

from dpsync.connector import NoticeKind
from dpsync.model import State
from dpsync.propagation.rules.event import AnswerKind
from dpsync.store import tables as t

_HEARD = [
    kind.value
    for kind in (AnswerKind.RECEIVED, AnswerKind.DONE, AnswerKind.NOTHING_HELD, AnswerKind.PARTLY, AnswerKind.REFUSED)
]


def first_of_round(connection: Connection, propagation_id: int) -> int:
    """The number of the letter that asked last; reminders of it, and the second contact's, belong to it."""
    n = t.notice.c
    asking = [NoticeKind.FIRST.value, NoticeKind.TASK.value]
    latest = select(func.max(n.number)).where(n.propagation_id == propagation_id, n.kind.in_(asking))
    return connection.execute(latest).scalar_one() or 0


def is_of_an_earlier_round(connection: Connection, propagation_id: int, number: int) -> bool:
    """Whether it has been asked again since this letter, though the next one may not be out yet."""
    p = t.propagation.c
    row = connection.execute(select(p.state, p.notices).where(p.id == propagation_id)).one()
    goes_again = row.state == State.PENDING and number <= row.notices
    return goes_again or number < first_of_round(connection, propagation_id)


def is_heard(connection: Connection, propagation_id: int, *, by_link: bool = False) -> bool:
    """Whether a person there has answered the letter that asked last: no mail system takes that back.

    `by_link`: only who answered from the letter itself counts.
    """
    n, a = t.notice.c, t.answer.c
    first = first_of_round(connection, propagation_id)
    since = select(n.created_at).where(n.propagation_id == propagation_id, n.number == first).scalar_subquery()
    from_letter = (a.number > 0) & (a.number >= first)
    told_us = from_letter if by_link else or_((a.number == 0) & (a.at >= since), from_letter)
    said = select(a.id).where(a.propagation_id == propagation_id, a.kind.in_(_HEARD), told_us)
    return connection.execute(said.limit(1)).first() is not None
