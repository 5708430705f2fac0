"""What reception would make of a request, and what each processor holds: read, never written.

The rules are those that reception goes by. What they look at is read in one view of the store; then each processor is
asked, with no transaction open.
"""

import secrets
import sys
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, select

from dpsync.connector import Capability, Instruction, Means
from dpsync.installation import Installation
from dpsync.intake.identity import recognise
from dpsync.lookup import Lookup, look, unknown
from dpsync.model import Cause, Request, State
from dpsync.opt_out_scope import in_words
from dpsync.propagation.contacts import confirmed
from dpsync.propagation.controller import Controller
from dpsync.propagation.instructions import instruction_of
from dpsync.propagation.queue import allowance, lanes
from dpsync.propagation.remarks import UNDECLARED
from dpsync.propagation.rules.persons import NAMELESS
from dpsync.propagation.rules.plan import InitialState, Surroundings, Waiting, initial_state, restriction_in_force
from dpsync.reports.changing_calls import changing_calls
from dpsync.reports.plan import UNDO, Plan, PlanLine
from dpsync.reports.words import STOPS
from dpsync.store import tables as t

LOOKING_TAKES: Final = 120.0
"""Seconds after which no further call of a look begins."""

PAGE_WAITS: Final = 15.0
"""Seconds that a page waits for all looks together."""

TOO_SLOW: Final = "it did not answer in time"
EXEMPT: Final = "it need not be told of this right, so nobody looked"
NO_CONCERN: Final = "by its settings, this part is nothing there"
LIFTED: Final = "What our own restriction did there is taken back, as far as it can be. Nobody is subscribed again."
BY_LETTER: Final = frozenset({Means.NOTICE, Means.API_AND_NOTICE, Means.LIST_AND_NOTICE})

_STOPPED = select(t.account.c.id, t.account.c.stopped).where(t.account.c.stopped != "")


@dataclass(frozen=True, slots=True)
class _Foreseen:
    """How a request would begin at one processor, and what would be told there."""

    initial: InitialState
    instruction: Instruction
    used: int
    stopped: str
    confirmed: bool


def plan_of(there: Installation, request: Request, now: datetime) -> Plan:
    """What would happen with `request` if it came in at `now`. Makes reading calls alone, and stores nothing of it.

    Raises `ConfigurationError`, and `KeyProblem` where an older request of the person does not open.
    """
    controller = there.controller
    until = there.clock.monotonic() + LOOKING_TAKES
    foreseen = there.read(lambda connection: _foresee(connection, controller, request, now, lambda: until))
    # A processor that sits in its deadline must not make the others wait for theirs.
    with ThreadPoolExecutor(max_workers=max(1, min(16, len(foreseen)))) as pool:
        looks = list(pool.map(_looked, foreseen))
    dates, safety = controller.legal_clock.dates_of(request), controller.safety
    causes = {cause for one in foreseen for cause in one.initial.causes}
    cools_until = now + safety.cooling_off if Cause.COOLING_OFF in causes else None
    return Plan(
        controller=controller.name,
        rehearsal=controller.rehearsal,
        zone=str(controller.zone),
        looked_at=now,
        right=request.right,
        lifting=request.lifted is not None,
        received_at=request.received_at,
        received_assumed=request.received_assumed,
        target_at=dates.target_at,
        strict_on=dates.strict_on,
        due_on=dates.due_on,
        letter_by=dates.letter_by,
        mode=safety.mode,
        approvals=max(safety.approvals, 1) if Cause.APPROVAL in causes else 0,
        cools_until=cools_until,
        allowed=safety.irreversible_per_day,
        letters=there.mail is not None,
        undo=UNDO[request.right],
        scope=request.scope,
        lines=tuple(
            _line(there, one, lookup, request, cools_until or now) for one, lookup in zip(foreseen, looks, strict=True)
        ),
    )


def looks_of(
    there: Installation, request: Request, processors: Collection[str], now: datetime, within: float = PAGE_WAITS
) -> dict[str, Lookup]:
    """Whether each of these processors holds the person of a request that is here already, by reading only.

    For a page that somebody waits for: what has not answered `within` so many seconds could not be looked up. Its
    connectors are its own, because those of the worker may be at work.
    """
    controller = there.fresh_controller()
    until = there.clock.monotonic() + within
    foreseen = there.read(lambda connection: _foresee(connection, controller, request, now, lambda: until))
    wanted = {one.initial.processor.name: one for one in foreseen if one.initial.processor.name in processors}
    pool = ThreadPoolExecutor(max_workers=max(1, min(16, len(wanted))), thread_name_prefix="look")
    asked = {name: pool.submit(_looked, one) for name, one in wanted.items()}
    done, _ = wait(asked.values(), timeout=within)
    pool.shutdown(wait=False, cancel_futures=True)
    slow = unknown(TOO_SLOW, again=True)
    return {name: future.result() if future in done else slow for name, future in asked.items()}


def _foresee(
    connection: Connection, controller: Controller, request: Request, now: datetime, until: Callable[[], float]
) -> list[_Foreseen]:
    """As reception begins each propagation; two processors on one account count both."""
    who = recognise(connection, controller.keys, request)
    person = min(who.persons, default=NAMELESS)
    rows = [row for of_one in lanes.lanes_of(connection, who.subjects).values() for row in of_one]
    # Those who would become one person are one already here.
    history = [replace(row, person=person) if row.person in who.persons else row for row in rows]
    restricted = restriction_in_force(history, person)
    used, known = allowance.used(connection, now), confirmed(connection, controller)
    stopped = {row.id: row.stopped for row in connection.execute(_STOPPED)}
    today = now.astimezone(controller.zone).date()
    found = []
    for processor in controller.told_of(request.source):
        counted = used.get(processor.account, 0)
        around = Surroundings(who.shared, restricted, counted, processor.name in known)
        initial = initial_state(request, processor, around, controller.safety, today)
        used[processor.account] = counted + initial.counted
        lane = [row for row in history if row.account_id == processor.account]
        told = _instruction(connection, controller, request, processor.name, _own(request, person), lane, until)
        why = stopped.get(processor.account, "")
        found.append(_Foreseen(initial, told, counted, why and STOPS.get(why, "stopped"), around.confirmed))
    return found


def _own(request: Request, person: str) -> Waiting:
    """The propagation as it would stand in its lane: the newest, not tried."""
    return Waiting(
        id=0,
        processor="",
        ordinal=sys.maxsize,
        right=request.right,
        lifting=request.lifted is not None,
        source=request.source,
        version=request.version,
        person=person,
        state=State.PENDING,
        tried=False,
    )


def _instruction(
    connection: Connection,
    controller: Controller,
    request: Request,
    processor: str,
    own: Waiting,
    lane: Sequence[Waiting],
    until: Callable[[], float],
) -> Instruction:
    """What would be told, under every address that is known, and under a name that nothing was ever kept by."""
    row = {"request_id": f"plan-{secrets.token_hex(16)}", "processor": processor, "released": ""}
    asked = controller.keys.new_request_key(), request
    return instruction_of(connection, controller, row, asked, replace(own, processor=processor), lane, None, until)


def _looked(one: _Foreseen) -> Lookup:
    if one.initial.state is State.EXEMPT:
        return unknown(EXEMPT)
    if one.stopped:
        return unknown(f"it is {one.stopped}", again=True)
    return look(one.initial.processor.connector, one.instruction)


def _line(there: Installation, one: _Foreseen, lookup: Lookup, request: Request, sent_at: datetime) -> PlanLine:
    controller, initial, processor = there.controller, one.initial, one.initial.processor
    connector = there.settings.processors[processor.name].connector
    can = _capability(controller, one, request)
    exemption = processor.exempt.get(request.right) if initial.state is State.EXEMPT else None
    untold, narrowed, lifts = initial.state is State.EXEMPT, one.instruction.only is not None, bool(request.lifted)
    letter = can.means in BY_LETTER and not untold
    answer_by = (sent_at + processor.answer_within).astimezone(controller.zone).date()
    return PlanLine(
        processor=processor.name,
        title=processor.title,
        lookup=lookup,
        means=can.means,
        effect=LIFTED if request.lifted else _of_a_part(request.scope, one) or can.effect,
        limits=can.limits,
        state=initial.state,
        causes=tuple(sorted(initial.causes)),
        counts=initial.counts,
        used=one.used,
        stopped=one.stopped,
        confirmed=one.confirmed,
        answer_by=answer_by if letter else None,
        exempt_until=exemption.until if exemption else None,
        calls=() if untold or narrowed else changing_calls(connector, request.right, lifting=lifts),
        exempt_why=f"{exemption.reason} ({exemption.code.value})" if exemption else NO_CONCERN if untold else "",
    )


def _of_a_part(scope: str, one: _Foreseen) -> str:
    """What would happen where somebody leaves a part; "" where it is what happens to everything."""
    told, words = one.instruction, in_words(scope)
    if not scope or one.initial.state is State.EXEMPT:
        return ""
    if Cause.SCOPE_UNMAPPED in one.initial.causes:
        return f"Nothing yet: nobody said what {words} is here. A person decides: everything here, or nothing."
    if not told.scope:
        return f"The person is opted out of everything here: by the settings, {words} is all of it."
    if told.only is None:
        return f"It is told in words to stop {words}, and nothing else."
    return f"The person leaves {', '.join(told.only)}, which is what {words} is here. Nothing else is touched."


def _capability(controller: Controller, one: _Foreseen, request: Request) -> Capability:
    declared = one.initial.processor.connector.capabilities
    return declared.get(request.right) or controller.notice.capabilities.get(request.right) or UNDECLARED
