"""`dpsync status`: what is open, late, held, and waiting for whom."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from dpsync.cli.console import Talk
from dpsync.cli.options import AsJson
from dpsync.errors import Exit, UsageError

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from sqlalchemy import Connection

    from dpsync.installation import Installation
    from dpsync.reports.duties import Duty
    from dpsync.reports.lines import RequestStanding
    from dpsync.reports.status import StatusRow
    from dpsync.reports.stopped import Stopped
    from dpsync.reports.summary import Summary
    from dpsync.reports.unasked import Unasked
    from dpsync.reports.who import Who
    from dpsync.retention.standing import RetentionLine


class FailOn(StrEnum):
    """What `--fail-on` may ask for."""

    LATE = "late"
    HELD = "held"
    STOPPED = "stopped"


def status(
    ctx: typer.Context,
    request: Annotated[str, typer.Argument(help="The id of one request, or its first characters.")] = "",
    *,
    every: Annotated[bool, typer.Option("--all", help="Show closed requests too, the newest first.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="How many requests to show.")] = 100,
    fail_on: Annotated[
        list[FailOn] | None,
        typer.Option(
            help="Exit with 2 if a request is late (past our target or its legal date; a private conversation, a "
            "letter to a person, a complaint or an incident: past its last day), if one is held (for a cause, or at a "
            "stopped processor), or if a processor is stopped. Repeatable."
        ),
    ] = None,
    who: Annotated[
        bool,
        typer.Option(
            "--who", help="With REQUEST: show who it is about and what it changes. dpsync records that you looked."
        ),
    ] = False,
    by: Annotated[str, typer.Option(help="Who looks, for the record. Default: your account on this machine.")] = "",
    as_json: AsJson = False,
) -> int:
    """Show which requests are open, late, held or stopped, and who must act. --who is recorded."""
    from dpsync.cli.opening import installation

    talk: Talk = ctx.obj
    if who and not request:
        raise UsageError("--who needs one request: `dpsync status REQUEST --who`")
    with installation(talk, secrets=False, compare=False) as there:
        zone = there.zone
        found = _look(talk, there, request, limit=limit, every=every, who=who, by=by)
    if as_json:
        _show_json(talk, found)
    else:
        _show(talk, found, zone)
    return Exit.LOOK if found.proof or _applies(found, fail_on or []) else Exit.DONE


@dataclass(frozen=True, slots=True)
class _Found:
    """What stands where now. `summary`: of all that is asked about, shown or not. `mail`: messages nobody has read.

    `one` and `who` are of the request that was named. `owed`: letters to people, complaints and incidents that wait for
    somebody. `proof`: what is kept outside the database, and does not bear out what is said here. `unasked`: whose
    contact our own mail host does not let us ask.
    """

    rows: "Sequence[StatusRow]"
    summary: "Summary"
    stopped: "Sequence[Stopped]"
    conversations: "Sequence[RetentionLine]"
    mail: int
    owed: "Sequence[Duty]"
    one: "RequestStanding | None"
    who: "Who | None"
    proof: Sequence[str]
    unasked: "Unasked | None"

    @property
    def head(self) -> str:
        from dpsync.reports.summary import head_line

        late = sum(line.overdue for line in self.conversations)
        return head_line(self.summary, len(self.stopped), late, sum(duty.overdue for duty in self.owed))


def _look(talk: Talk, there: "Installation", request: str, *, limit: int, every: bool, who: bool, by: str) -> _Found:
    from dpsync.cli.opening import doubts_of, full_id, shown_to
    from dpsync.propagation.correspondence.incoming import unread
    from dpsync.reports.make import conversations_of, owed_elsewhere, titled_processors
    from dpsync.reports.status import status_rows
    from dpsync.reports.stopped import stopped_processors
    from dpsync.reports.summary import summary, summary_of
    from dpsync.reports.unasked import for_our_operator, unasked

    request_id = full_id(there, request) if request else None
    about = shown_to(there, request_id, by, "dpsync status --who") if who and request_id else None
    talk.did = f"that request {request_id} was shown is on the record; it may be shown again" if about else ""
    known, now = titled_processors(there.settings), there.clock.now()

    def work(connection: "Connection") -> "tuple[Sequence[StatusRow], Summary]":
        rows = status_rows(
            connection, now=now, only_open=not every, limit=limit, request_id=request_id, processors=known
        )
        return rows, summary_of(rows) if every or request_id else summary(connection, now)

    (rows, counted), alone = there.read(work), unasked(there)
    return _Found(
        rows=for_our_operator(rows, alone),
        summary=counted,
        stopped=stopped_processors(there),
        conversations=conversations_of(there, now),
        mail=len(there.read(lambda connection: unread(connection, request_id))),
        owed=owed_elsewhere(there, now, request_id or ""),
        one=standing_of(there, request_id) if request_id else None,
        who=about,
        proof=doubts_of(there),
        unasked=alone,
    )


def standing_of(there: "Installation", request_id: str) -> "RequestStanding":
    """Where one request stands at each processor."""
    from dpsync.reports.make import known_processors
    from dpsync.reports.standing import read_standing
    from dpsync.store import tables as t

    known = known_processors(there.settings)
    now = there.clock.now()
    (found,) = there.read(lambda connection: read_standing(connection, t.request.c.id == request_id, now, known))
    return found


def waiting_for(there: "Installation", one: "RequestStanding") -> str:
    """What of a request will not happen until a person acts, and by which command; nothing where all goes by itself."""
    from dpsync.reports.duties import duties_of
    from dpsync.reports.make import asks_contacts
    from dpsync.reports.unasked import waiting_for_us

    today, asks = there.clock.now().astimezone(there.zone).date(), asks_contacts(there.settings)
    found = duties_of([one], today, there.zone, asks=asks, unasked=waiting_for_us(there))
    return "\n           ".join(f"{duty.sentence} ({duty.command})" for duty in found)


def by_itself(there: "Installation", one: "RequestStanding") -> str:
    """What of a request goes on without anybody, and until when what only cools off waits."""
    from dpsync.cli.opening import what_goes_on
    from dpsync.model import Cause, State

    if not one.open:
        return "nothing: this request is closed everywhere."
    cooling: dict[datetime, list[str]] = {}
    for line in one.lines:
        if line.state is State.HELD and Cause.COOLING_OFF in line.causes and line.waits_until:
            cooling.setdefault(line.waits_until, []).append(line.title)
    waits = [
        f"until {until.astimezone(there.zone):%-d %b, %H:%M}, cooling-off: {', '.join(titles)}"
        for until, titles in sorted(cooling.items())
    ]
    if all(line.state is State.HELD or not line.open for line in one.lines):
        return f"nothing {'; '.join(waits)}." if waits else "nothing: it is held everywhere until somebody decides."
    on_the_way = [line for line in one.lines if line.state is State.PENDING]
    if any(not line.stopped for line in on_the_way):
        goes_on = what_goes_on(there, there.clock.now())
        goes_on += " Except at processors that are stopped." if any(line.stopped for line in on_the_way) else ""
    elif on_the_way:
        goes_on = "nothing: dpsync sends nothing to the processors that are left, because they are stopped."
    else:
        goes_on = "there is nothing more to send now. dpsync waits for answers."
    return f"{goes_on} Held {'; '.join(waits)}." if waits else goes_on


def _applies(found: _Found, asked: Sequence[FailOn]) -> bool:
    # What was finished late is shown for ever, and would keep a monitor red as long: it is in no number of these.
    elsewhere = any(one.overdue for one in found.conversations) or any(duty.overdue for duty in found.owed)
    applies = {
        FailOn.LATE: bool(found.summary.behind or found.summary.overdue) or elsewhere,
        FailOn.HELD: bool(found.summary.held or found.summary.stopped),
        FailOn.STOPPED: bool(found.stopped),
    }
    return any(applies[one] for one in asked)


def _show_json(talk: Talk, found: _Found) -> None:
    from dpsync.reports.render import json_value

    talk.json(
        {
            "summary": found.head,
            "stopped": [{**asdict(one), "command": one.command} for one in found.stopped],
            "mail_waiting": found.mail,
            "unasked": list(found.unasked.titles) if found.unasked else [],
            "conversations": json_value(found.conversations),
            "owed": json_value(found.owed),
            "requests": [json_value(row) for row in found.rows],
            "proof": list(found.proof),
            **({"places": [json_value(line) for line in found.one.lines]} if found.one else {}),
            **({"who": json_value(found.who)} if found.who else {}),
        }
    )


def _show(talk: Talk, found: _Found, zone: "ZoneInfo") -> None:
    from dpsync.custody.differences import first_few
    from dpsync.reports.conversations import retention_duties
    from dpsync.reports.who import who_rows
    from dpsync.reports.words import several

    if found.one:
        _show_one(talk, found.one, found.rows[0], zone)
    else:
        _show_rows(talk, found.rows, zone)
    if found.who:
        talk.table(("WHO", ""), who_rows(found.who))
    left = found.summary.open - len(found.rows)
    talk.say(found.head + (f" {left:,} more are not shown (--limit)." if left > 0 else ""))
    if found.proof:
        talk.warn(f"This cannot be relied on: {first_few(found.proof)}")
    for stopped in found.stopped:
        talk.say(f"{stopped.sentence}.")
    if found.unasked:
        talk.say(found.unasked.sentence)
    if found.mail:
        talk.say(f"{several(found.mail, 'message')} for a person to read. `dpsync check` names the folder.")
    for duty in (*found.owed, *retention_duties(found.conversations)):
        talk.say(f"{duty.sentence} ({duty.command})")


def _show_rows(talk: Talk, rows: Sequence["StatusRow"], zone: "ZoneInfo") -> None:
    from dpsync.reports.words import asked_for

    if not rows:
        return
    talk.table(
        ("REQUEST", "RIGHT", "RECEIVED", "DUE", "STATE", "WAITS FOR"),
        [
            (
                row.short,
                ("lift " if row.lifting else "") + asked_for(row.right, row.scope),
                f"{row.received_at.astimezone(zone):%Y-%m-%d}",
                _due(row),
                row.states,
                ", ".join(row.waits_for) or "nobody",
            )
            for row in rows
        ],
    )


def _due(row: "StatusRow") -> str:
    from dpsync.reports.meaning import Late

    marks = {
        Late.NO: "",
        Late.TARGET: " past target",
        Late.OVERDUE: " OVERDUE",
        Late.FINISHED: " FINISHED LATE",
    }
    return f"{row.due_on}{marks[row.late]}"


def _show_one(talk: Talk, one: "RequestStanding", row: "StatusRow", zone: "ZoneInfo") -> None:
    from dpsync.model import CLOSED_STATES
    from dpsync.reports.words import CAUSES, STATES, asked_for, moment, reached

    received = moment(one.received_at, zone) + (" (assumed)" if one.received_assumed else "")
    talk.data(f"{one.id}  {asked_for(one.right, one.scope)}  received {received}  due {_due(row)}")
    talk.table(
        ("PROCESSOR", "STATE", "PROOF", "ATTEMPTS", "TOLD", "WHY"),
        [
            (
                line.processor,
                STATES[line.state],
                reached(line.rung, told=line.told_at is not None, undone=line.open),
                str(line.attempts),
                moment(line.told_at, zone) or ("no" if line.state in CLOSED_STATES else "not yet"),
                "; ".join(filter(None, [*(CAUSES[cause] for cause in line.causes), line.reason, line.task])),
            )
            for line in one.lines
        ],
    )
