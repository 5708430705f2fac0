"""Complaints: open, acknowledge, progress, outcome, escalate, list, show."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dpsync.cli import requesting as ask
from dpsync.cli.case_options import (
    By,
    How,
    Letter,
    Many,
    Note,
    On,
    case_of,
    moment_at,
    one_of,
    person_of,
    told_of,
)
from dpsync.cli.complaint_list import Case, list_, show, show_one
from dpsync.cli.console import Talk
from dpsync.cli.options import AsJson
from dpsync.errors import Exit, UsageError

if TYPE_CHECKING:
    from dpsync.cases.values import Complaint, NewComplaint
    from dpsync.installation import Installation
    from dpsync.model import Request
    from dpsync.propagation.decisions import Person
    from dpsync.store.writer import Unit

group = typer.Typer(no_args_is_help=True, help="Complaints of people about how their data are used.")


Received = Annotated[
    str, typer.Option(metavar="DATE", help="When it came, to whomever: a day, or a time with its time zone.")
]
Through = Annotated[str, typer.Option(metavar="HOW", help="How: form, mail, post, phone, social, staff or other.")]
Topics = Annotated[
    list[str],
    typer.Option(
        metavar="TOPIC",
        help="What it is about: access, rectification, erasure, restriction, marketing, delay, refusal, sharing, "
        "security or other. Repeatable.",
    ),
]
About = Annotated[Many, typer.Option(metavar="REQUEST", help="A request that it is about. Repeatable.")]
At = Annotated[Many, typer.Option(metavar="PROCESSOR", help="A processor that it is about. Repeatable.")]
Representative = Annotated[bool, typer.Option(help="Somebody complains for the person.")]
Checked = Annotated[
    str | None, typer.Option(metavar="DATE", help="When you saw that the representative may act for the person.")
]
Contains = Annotated[
    str | None,
    typer.Option(
        metavar="RIGHT",
        help="A right that is asked for in it: erasure, restriction or opt_out. It becomes a request, too.",
    ),
]


@group.command("open")
def open_(
    ctx: typer.Context,
    *,
    received: Received,
    channel: Through,
    topic: Topics,
    by: By,
    about: About = None,
    at: At = None,
    representative: Representative = False,
    authority_checked: Checked = None,
    contains: Contains = None,
    email: ask.Email = None,
    subject_id: ask.SubjectId = None,
    note: Note = "",
    as_json: AsJson = False,
) -> int:
    """Record a complaint that came in. It says by when to acknowledge it, and holds the evidence of its requests."""
    from dpsync.cases.values import Channel, Complainant, NewComplaint, Topic
    from dpsync.cli.opening import day_of, full_id, installation

    with installation(ctx.obj) as there:
        new = NewComplaint(
            received_at=moment_at(received, there, "--received"),
            channel=one_of(Channel, channel, "--channel"),
            topics=tuple(one_of(Topic, name, "--topic") for name in topic),
            by=Complainant.REPRESENTATIVE if representative else Complainant.SUBJECT,
            authority_checked_on=day_of(authority_checked, "--authority-checked") if authority_checked else None,
            about=tuple(full_id(there, name) for name in about or ()),
            processors=tuple(at or ()),
            contains=contains or "",
            note=note,
        )
        request = _request(there, new, email, subject_id, by)
        made = there.write(lambda unit: _opened(unit, there, new, request, person_of(by, note)))
        _end(ctx.obj, there, made, "recorded", as_json=as_json)
        _warn_of_later(ctx.obj, there, made)
    return Exit.DONE


def _warn_of_later(talk: Talk, there: "Installation", made: "Complaint") -> None:
    """A complaint can hardly be about what was asked after it: perhaps the id, or a day, is another."""
    from dpsync.cli.standing import standing_of
    from dpsync.reports.words import day

    day_of = there.controller.legal_clock.day_of
    for one in (standing_of(there, request_id) for request_id in made.about):
        if (received := day_of(one.received_at)) > made.received_on:
            talk.warn(
                f"Request {one.short} was received on {day(received)}, after the complaint. If that is wrong, record "
                "the complaint again with the right --about or --received, and give this one the outcome withdrawn."
            )


def _opened(
    unit: "Unit", there: "Installation", new: "NewComplaint", request: "Request | None", person: "Person"
) -> "Complaint":
    from dataclasses import replace

    from dpsync.cases.complaints import open_complaint
    from dpsync.intake import events
    from dpsync.intake.acceptance import Asked
    from dpsync.intake.answers import Received
    from dpsync.intake.reception import receive_all

    now = there.clock.now()
    if request is not None:
        mac = events.body_mac(there.controller, request.event_id.encode())
        (received,) = receive_all(unit, there.controller, [Asked(request, mac, now)])
        if isinstance(received, Received):
            new = replace(new, about=(*new.about, received.request_id))
    return open_complaint(unit, there.controller, new, person, now)


def _request(
    there: "Installation", new: "NewComplaint", email: str | None, subject_id: str | None, by: str
) -> "Request | None":
    """The request that is hidden in a complaint, received at the same time; None for none. Raises `UsageError`."""
    import secrets

    if not new.contains:
        if email or subject_id:
            raise UsageError(
                "--email and --id say whose request is in it: say with --contains which right is asked for"
            )
        return None
    if new.contains == "rectification":
        raise UsageError("submit a rectification with `dpsync submit`, and name the request with --about")
    subject = ask.subject_fields(subject_id, email, None, None, None, None)
    data = ask.request_fields(new.contains, subject, None, None, None)
    data["received_at"] = new.received_at.isoformat().replace("+00:00", "Z")
    return ask.request_of(ask.given(data), f"complaint-{secrets.token_hex(12)}", there.clock.now(), by)


@group.command("progress", help="Record that the person was told how it goes.")
@group.command("acknowledge", help="Record that the person was told that the complaint came and is looked into.")
def tell(
    ctx: typer.Context,
    case: Case,
    *,
    on: On,
    how: How = "mail",
    letter: Letter = None,
    by: By,
    note: Note = "",
    as_json: AsJson = False,
) -> int:
    """Record what the person was told before the outcome: the command's name says what."""
    from dpsync.cases import complaints

    first = ctx.info_name == "acknowledge"
    step, done = (complaints.acknowledge, "acknowledged") if first else (complaints.progress, "followed up")
    return _step(ctx.obj, case, by, note, as_json, done, partial_of(step, told_of(on, how, letter)))


@group.command("outcome")
def outcome(
    ctx: typer.Context,
    case: Case,
    result: Annotated[
        str, typer.Argument(metavar="RESULT", help="upheld, partly, not_upheld, withdrawn or out_of_scope.")
    ],
    *,
    on: On,
    how: How = "mail",
    letter: Letter = None,
    by: By,
    reason: Annotated[str, typer.Option(help="Why. dpsync keeps it sealed.")],
    as_json: AsJson = False,
) -> int:
    """Record how it ended, and when the person was told. Within 30 days this is the acknowledgement, too."""
    from dpsync.cases import complaints
    from dpsync.cases.values import Result

    ended, told = one_of(Result, result, "RESULT"), told_of(on, how, letter)
    return _step(ctx.obj, case, by, reason, as_json, "closed", partial_of(complaints.decide, ended, told))


@group.command("escalate")
def escalate(
    ctx: typer.Context,
    case: Case,
    *,
    on: Annotated[str, typer.Option(metavar="DATE", help="Since when it is with the authority.")],
    reference: Annotated[str, typer.Option(help="The authority's reference. dpsync keeps it sealed.")] = "",
    by: By,
    note: Note = "",
    as_json: AsJson = False,
) -> int:
    """Record that the complaint is with the authority. The evidence is held until there is an outcome after that."""
    from dpsync.cases import complaints
    from dpsync.cli.opening import day_of

    day = day_of(on, "--on")

    def work(unit: "Unit", there: "Installation", case_id: str, person: "Person") -> "Complaint":
        authority = there.settings.controller.complaints_to
        return complaints.escalate(
            unit, there.controller, case_id, day, authority, reference, person, there.clock.now()
        )

    return _step(ctx.obj, case, by, note, as_json, "escalated", work)


# --- one way for all steps

Work = Callable[["Unit", "Installation", str, "Person"], "Complaint"]


def partial_of(step: Callable[..., "Complaint"], *more: Any) -> Work:
    """A step with what it says, to be done to a case by a person."""
    return lambda unit, there, case_id, person: step(unit, there.controller, case_id, *more, person, there.clock.now())


def _step(talk: Talk, case: str, by: str, reason: str, as_json: bool, done: str, work: Work) -> int:
    from dpsync.cases.complaints import LETTER
    from dpsync.cli.opening import installation

    with installation(talk) as there:
        case_id = case_of(there, LETTER, case)
        made = there.write(lambda unit: work(unit, there, case_id, person_of(by, reason)))
        _end(talk, there, made, done, as_json=as_json)
    return Exit.DONE


def _end(talk: Talk, there: "Installation", one: "Complaint", done: str, *, as_json: bool) -> None:
    from dpsync.cli.opening import place_of_store
    from dpsync.reports.words import day, several

    talk.did = f"complaint {one.id} is {done}"
    show_one(talk, one, as_json=as_json)
    if as_json:
        return
    today = there.controller.legal_clock.day_of(there.clock.now())
    held = f"The evidence of {several(len(one.about), 'request')} is held. " if one.holds and one.about else ""
    reminds = " It reminds the data protection officer." if one.holds else ""
    by = one.due_on if one.open and one.acknowledged_on is None else None
    talk.ending(
        stored=f"the step and its ledger entry, in {place_of_store(there)}",
        by_itself=f"{held}dpsync writes to nobody.{reminds}",
        waits=f"you acknowledge it by {day(by)}." if by and by >= today else "you answer it." if one.open else "",
    )


group.command("list")(list_)
group.command("show")(show)
