"""What a named person decides or was told: release, withdraw, retry, settle, exempt, acknowledge."""

from typing import TYPE_CHECKING, Annotated

import typer

from dpsync.cli.console import Talk
from dpsync.cli.options import AsJson, RequestId
from dpsync.errors import Exit, UsageError

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from dpsync.installation import Installation
    from dpsync.model import Cause, ExemptionCode
    from dpsync.propagation.decisions import Decided
    from dpsync.propagation.rules.lifecycle import AnswerKind, DecisionKind
    from dpsync.store.writer import Unit

Processors = Annotated[
    list[str] | None, typer.Argument(help="Only at these processors. Default: at all of them.", metavar="PROCESSOR")
]
By = Annotated[str, typer.Option(help="Who decides. Your account on this machine is recorded too.")]
Reason = Annotated[str, typer.Option(help="Why, for the record.")]


def release(
    ctx: typer.Context,
    request: RequestId,
    processors: Processors = None,
    *,
    by: By,
    reason: Reason,
    cause: Annotated[
        list[str] | None,
        typer.Option(
            help="Release from this cause only, such as cooling_off. Default: from every cause except cooling_off "
            "and contact_unverified. Repeatable."
        ),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Approve what is held, so that it goes ahead."""
    return _decide(ctx.obj, "release", request, processors, by, reason, as_json, cause or [])


def withdraw(
    ctx: typer.Context,
    request: RequestId,
    processors: Processors = None,
    *,
    by: By,
    reason: Reason,
    as_json: AsJson = False,
) -> int:
    """Stop everything of a request that is not sent yet, and list what was sent already."""
    return _decide(ctx.obj, "withdraw", request, processors, by, reason, as_json)


def retry(
    ctx: typer.Context,
    request: RequestId,
    processors: Processors = None,
    *,
    by: By,
    reason: Reason,
    as_json: AsJson = False,
) -> int:
    """Tell a processor again now: after a refusal, a contradiction or an escalation, or before its next attempt."""
    return _decide(ctx.obj, "retry", request, processors, by, reason, as_json)


def settle(
    ctx: typer.Context,
    request: RequestId,
    processors: Annotated[list[str], typer.Argument(help="At these processors.", metavar="PROCESSOR")],
    *,
    by: By,
    reason: Reason,
    as_json: AsJson = False,
) -> int:
    """Close what was dealt with outside dpsync. Reports list it separately and never count it as done."""
    return _decide(ctx.obj, "settle", request, processors, by, reason, as_json)


def exempt(
    ctx: typer.Context,
    request: RequestId,
    processors: Annotated[list[str], typer.Argument(help="These processors.", metavar="PROCESSOR")],
    *,
    code: Annotated[
        str, typer.Option(help="The legal ground: art19_impossible or art19_disproportionate.", metavar="CODE")
    ],
    by: By,
    reason: Reason,
    as_json: AsJson = False,
) -> int:
    """Record that a recipient need not be told (GDPR Article 19). If it was told, use `settle`.

    You cannot exempt an opt-out. You can exempt an erasure only where the recipient is itself a controller
    (kind = "controller").
    """
    from dpsync.model import ExemptionCode

    if code not in set(ExemptionCode):
        raise UsageError("--code must be one of " + ", ".join(ExemptionCode))
    return _decide(ctx.obj, "exempt", request, processors, by, reason, as_json, code=ExemptionCode(code))


def acknowledge(
    ctx: typer.Context,
    request: RequestId,
    processor: Annotated[str, typer.Argument(help="Who answered.", metavar="PROCESSOR")],
    *,
    answer: Annotated[
        str,
        typer.Option(
            help="done, nothing_held, partly, refused, received, wrong_recipient or bounced.", metavar="ANSWER"
        ),
    ],
    by: By,
    reason: Annotated[str, typer.Option(help="Who said it, and how. dpsync keeps this sealed.")],
    as_json: AsJson = False,
) -> int:
    """Record what a processor said by letter, telephone or email, or that a notice came back (bounced)."""
    from dpsync.cli.console import os_user
    from dpsync.cli.opening import demand_processors, full_id, installation
    from dpsync.propagation.commitments import Author
    from dpsync.propagation.correspondence.acknowledgement import answer_by_hand

    talk: Talk = ctx.obj
    if not by.strip() or not reason.strip():
        raise UsageError("give your name with --by, and say with --reason who answered and how")
    kind = _answer_kind(answer)
    with installation(talk) as there:
        request_id = full_id(there, request)
        demand_processors(there, [processor])
        now = there.clock.now()
        author = Author(by.strip(), reason.strip())
        state = there.write(
            lambda unit: answer_by_hand(unit, there.controller, request_id, processor, kind, author, os_user(), now)
        )
        talk.did = f"the answer of {processor} to request {request_id} is recorded ({kind.value})"
        if as_json:
            talk.json({"request": request_id, "processor": processor, "answer": kind.value, "state": state.value})
        else:
            talk.data(f"{processor}  {state.value}")
        _end(talk, there, request_id, "the answer, with its words sealed, and its ledger entry")
    return Exit.DONE


def _answer_kind(name: str) -> "AnswerKind":
    from dpsync.propagation.correspondence.acknowledgement import BY_HAND
    from dpsync.propagation.rules.lifecycle import AnswerKind

    known = [kind for kind in AnswerKind if kind in BY_HAND]
    if name.replace("-", "_") not in known:
        raise UsageError("--answer must be one of " + ", ".join(known))
    return AnswerKind(name.replace("-", "_"))


# --- one way for all decisions


def _decide(
    talk: Talk,
    what: str,
    request: str,
    processors: list[str] | None,
    by: str,
    reason: str,
    as_json: bool,
    causes: list[str] | None = None,
    *,
    code: "ExemptionCode | None" = None,
) -> int:
    from dpsync.cli.console import os_user
    from dpsync.cli.opening import full_id, installation
    from dpsync.propagation.decisions import RELEASED_BY_A_YES, Person, decide, demand_any
    from dpsync.propagation.rules.lifecycle import DecisionKind

    kind, person = DecisionKind(what), Person(by, os_user(), reason)
    released = _causes(causes) if causes else RELEASED_BY_A_YES
    with installation(talk) as there:
        request_id = full_id(there, request)
        now, chosen = there.clock.now(), processors or []

        def work(unit: "Unit") -> "list[Decided]":
            told = decide(
                unit, there.controller, request_id, kind, person, now, processors=chosen, causes=released, code=code
            )
            return demand_any(told)

        decided = there.write(work)
        talk.did = _did(request_id, kind, decided)
        _show(talk, request_id, kind, decided, there.zone, as_json=as_json)
        new = any(one.kept for one in decided)
        stored = f"the decision ({kind.value}, by {by.strip()}) and its ledger entries"
        _end(talk, there, request_id, stored if new else "")
    return Exit.PARTLY if any(one.refused for one in decided) else Exit.DONE


def _causes(names: list[str]) -> "frozenset[Cause]":
    from dpsync.model import Cause

    spelled = {name.replace("-", "_") for name in names}
    if not spelled <= set(Cause):
        raise UsageError("--cause must be one of " + ", ".join(Cause))
    return frozenset(Cause(name) for name in spelled)


_DONE = {"release": "released", "withdraw": "withdrawn", "settle": "settled", "exempt": "exempted"}


def _did(request_id: str, kind: "DecisionKind", decided: "list[Decided]") -> str:
    where = ", ".join(one.processor for one in decided if one.kept or one.already)
    return f"that decision ({kind.value}) about request {request_id} is on the record, for {where}"


def _show(
    talk: Talk, request_id: str, kind: "DecisionKind", decided: "list[Decided]", zone: "ZoneInfo", *, as_json: bool
) -> None:
    from dpsync.reports.words import moment

    if as_json:
        places = [
            {
                "processor": one.processor,
                "state": one.state.value,
                "causes": list(one.causes),
                "refused": one.refused,
                "already": one.already.isoformat() if one.already else "",
            }
            for one in decided
        ]
        talk.json({"request": request_id, "decision": kind.value, "places": places})
        return
    said = [
        f"already {_DONE[kind]} on {moment(one.already, zone)}, nothing changed"
        if one.already
        else one.refused or "done"
        for one in decided
    ]
    rows = [
        (one.processor, one.state.value, ", ".join(one.causes), told) for one, told in zip(decided, said, strict=True)
    ]
    talk.table(("PROCESSOR", "STATE", "HELD FOR", "DECISION"), rows)


def _end(talk: Talk, there: "Installation", request_id: str, stored: str) -> None:
    from dpsync.cli.opening import place_of_store
    from dpsync.cli.standing import by_itself, standing_of, waiting_for

    one = standing_of(there, request_id)
    talk.ending(
        stored=f"{stored}, in {place_of_store(there)}" if stored else "nothing new: this was decided before",
        by_itself=by_itself(there, one),
        waits=waiting_for(there, one),
    )
