"""Private conversations that a processor keeps: what its webhooks tell of them, and what people say about them.

No interface of the vendor can delete them, so a person does; that is their word (*attested*) until the vendor's own
export shows that nothing is left. A conversation that shows itself again is *contradicted*, whatever was said.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from dateutil.relativedelta import relativedelta
from sqlalchemy import Connection, select

from dpsync.alert_causes import AlertCause
from dpsync.alerts import Concern, raise_alert
from dpsync.connector import Conversation, KeepsConversations
from dpsync.errors import DecisionRefused, NotFound
from dpsync.ledger.entry import EntryKind
from dpsync.model import ActKind, ConversationState, Retention
from dpsync.propagation.controller import Controller
from dpsync.propagation.decisions import Person
from dpsync.retention import clock
from dpsync.retention.conversations import (
    UNCLAIMED,
    C,
    Sighting,
    VendorIds,
    act,
    attested_of,
    begin_rule,
    by_reference,
    committed_row,
    is_owed,
    list_behind,
    move,
    of_act,
    sight,
)
from dpsync.store import conversation_tables as ct
from dpsync.store.writer import Unit


def begin(unit: Unit, controller: Controller, now: datetime) -> None:
    """Note for every processor with a rule since when it is kept. Raises what `begin_rule` does."""
    for name, processor in controller.processors.items():
        if processor.retention is not None:
            begin_rule(unit, controller, name, now)


def note(unit: Unit, controller: Controller, name: str, conversations: Iterable[Conversation], now: datetime) -> int:
    """Keep what a vendor's webhook told: ids sealed, dates, never a word of it. Returns how many are new.

    The same delivery again changes nothing. Without a rule for this processor nothing is kept: there is no purpose.
    """
    processor = controller.processors.get(name)
    if processor is None or processor.retention is None:
        return 0
    new, contradicted = 0, []
    for one in conversations:
        ids = VendorIds(one.id, one.contact, one.medium, one.channel)
        # Whatever a vendor's clock says: nothing was seen before it began.
        seen = Sighting(ids, min(one.started_at, one.seen_at), one.seen_at, one.open)
        known = sight(unit, controller, name, processor.retention, seen, now)
        new += known.before is None
        if known.contradicts:
            contradicted.append(known.key)
        if one.contact and isinstance(processor.connector, KeepsConversations) and processor.connector.whole_contacts:
            contradicted += attested_of(unit.connection, controller, name, seen)
    if contradicted:
        contradict(unit, controller, name, list(dict.fromkeys(contradicted)), now, cause="webhook")
    return new


def contradict(
    unit: Unit,
    controller: Controller,
    name: str,
    keys: Sequence[str],
    now: datetime,
    *,
    cause: str,
    said: Mapping[str, str | int] | None = None,
) -> None:
    """Conversations that should be gone showed themselves: state, entry, and an alert to the DPO."""
    move(unit.connection, name, keys, ConversationState.CONTRADICTED, contradicted_at=now)
    fields = {"cause": cause, **(said or {})}
    act(unit, controller, name, ActKind.CONTRADICTED, keys, now, event=EntryKind.CONTRADICTED, said=fields)
    body = "They should be gone, but dpsync saw them again. They are on the next work list. `dpsync retention show`"
    subject, told = "Private conversations are still there", f"{len(keys)} seen again, in: {cause}"
    alert(unit, controller, name, AlertCause.RETENTION_CONTRADICTED, subject, told, now, body=body)


# --- what people say


def attest_by_link(
    unit: Unit,
    controller: Controller,
    token: str,
    references: frozenset[str] | None,
    person: Person,
    peer: str,
    now: datetime,
) -> int:
    """What whoever holds the link of a work list says was deleted: these of its rows, or all (None). Returns how many.

    What showed itself again after the list was made waits for a newer list: an old page that is sent once more must not
    say that it is gone. Raises `NotFound`.
    """
    found = list_behind(unit.connection, token, now)
    if found is None:
        raise NotFound("no work list has this link")
    keys = [
        row.pseudonym
        for row in of_act(unit.connection, found.id)
        if is_owed(row, found.at) and (references is None or row.reference in references)
    ]
    if keys:
        _attest(unit, controller, found.processor, keys, person, now, peer, ref=found.reference, way="link")
    return len(keys)


def attest_by_hand(
    unit: Unit, controller: Controller, name: str, references: Sequence[str], person: Person, now: datetime
) -> int:
    """What the admin told one of us: that these conversations are deleted, or all that are listed (none named).

    Returns how many are new. Raises `NotFound` for a name that no conversation has, `DecisionRefused` for what is
    neither listed nor could be.
    """
    demanded(person)
    rule_of(controller, name)
    if references:
        rows = _named(unit.connection, references, name)
    else:
        listed = [ConversationState.LISTED.value, ConversationState.CONTRADICTED.value]
        rows = list(unit.connection.execute(select(ct.conversation).where(C.processor == name, C.state.in_(listed))))
    keys = [row.pseudonym for row in rows if row.state in UNCLAIMED]
    if not rows:
        raise DecisionRefused("nothing is on a work list. Name the conversations")
    if keys:
        _attest(unit, controller, name, keys, person, now, way="operator")
    return len(keys)


def _attest(
    unit: Unit,
    controller: Controller,
    name: str,
    keys: Sequence[str],
    person: Person,
    now: datetime,
    peer: str = "",
    **said: str,
) -> None:
    move(unit.connection, name, keys, ConversationState.ATTESTED, claimed_at=now)
    kind, event = ActKind.ATTESTED, EntryKind.DECLARED
    act(unit, controller, name, kind, keys, now, event=event, person=person, peer=peer, said=said)


def make_exception(
    unit: Unit, controller: Controller, reference: str, until: date, person: Person, now: datetime
) -> str:
    """Let one conversation stay until a day, for a reason. Returns the processor's name.

    At most as long again as the rule itself, and then anew: an exception is never a silent extension. Raises
    `NotFound`, `DecisionRefused`.
    """
    demanded(person)
    (row,) = _named(unit.connection, [reference])
    rule = rule_of(controller, row.processor)
    today = clock.day_of(now, controller.zone)
    if row.state not in UNCLAIMED:
        raise DecisionRefused(f"{reference} is {row.state}; it is gone, so it needs no exception")
    if until <= max(today, date.fromisoformat(row.due_on)):
        raise DecisionRefused("the new date must be after today and after the day that the rule gives")
    if until > today + relativedelta(months=rule.months):
        raise DecisionRefused(f"an exception is for at most {rule.months} months. You can then make another")
    values = {"until_on": until.isoformat(), "overdue_at": clock.overdue_at(until, controller.zone)}
    move(unit.connection, row.processor, [row.pseudonym], ConversationState.EXCEPTED, **values)
    act(
        unit,
        controller,
        row.processor,
        ActKind.EXCEPTED,
        [row.pseudonym],
        now,
        event=EntryKind.EXTENDED,
        person=person,
        said={"ref": reference, "due": until.isoformat()},
        also=[committed_row(controller, "conversation", {**row._asdict(), **values})],
        until_on=until.isoformat(),
    )
    return str(row.processor)


def state_none_open(unit: Unit, controller: Controller, name: str, person: Person, now: datetime) -> None:
    """That somebody looked, and no *open* conversation is older than the rule: no export can show it."""
    demanded(person)
    rule_of(controller, name)
    next_on = clock.next_check_on(clock.day_of(now, controller.zone)).isoformat()
    said = {"cause": "no_open"}
    kind, event = ActKind.NO_OPEN, EntryKind.DECLARED
    act(unit, controller, name, kind, [], now, event=event, person=person, said=said, next_on=next_on)


def _named(connection: Connection, references: Sequence[str], name: str = "") -> list[Any]:
    rows = by_reference(connection, references, name)
    missing = sorted(set(references) - {row.reference for row in rows})
    if missing:
        raise NotFound(f"there is no conversation {', '.join(missing[:3])}; `dpsync retention show` lists them")
    return rows


def rule_of(controller: Controller, name: str) -> Retention:
    """The rule of a processor. Raises `NotFound`."""
    processor = controller.processors.get(name)
    if processor is None or processor.retention is None:
        raise NotFound(f"{name} has no rule for private conversations (`retention` in its section)")
    return processor.retention


def demanded(person: Person) -> None:
    """Refuse what nobody stands for. Raises `DecisionRefused`."""
    if not person.by.strip() or not person.reason.strip():
        raise DecisionRefused("give your name with --by, and say why or how you know")


def alert(
    unit: Unit,
    controller: Controller,
    name: str,
    cause: AlertCause,
    subject: str,
    told: str,
    now: datetime,
    *,
    role: str = "dpo",
    body: str = "`dpsync retention show` says what to do.",
    about: str = "",
) -> bool:
    """Tell of the conversations at one processor; False where it was told today already."""
    title = controller.title_of(name)
    return raise_alert(
        unit.connection,
        cause=cause,
        also=role == "deputy",
        role=role,
        subject=subject,
        body=body,
        now=now,
        zone=controller.zone,
        concerns=[Concern(about or name, f"{title}: {told}", title)],
    )
