"""`dpsync forgotten`: whose identifiers were destroyed when, and which are next."""

from typing import TYPE_CHECKING

import typer

from dpsync.cli.console import Talk
from dpsync.cli.options import AsJson
from dpsync.errors import Exit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from dpsync.cases.holds import EvidenceHold
    from dpsync.installation import Installation
    from dpsync.running.ended_periods import Destroyed
    from dpsync.running.forgetting import ToForget


_KINDS = {
    "receipt": "receipt in the folder",
    "key": "key of a month",
    "proof": "way from a name to a proof",
    "memory": "memory of a connector",
    "case": "words of a case",
    "words": "words written later",
}
"""What is destroyed besides requests is called so."""


def forgotten(ctx: typer.Context, *, as_json: AsJson = False) -> int:
    """Show which requests are forgotten: the name, addresses and changes are destroyed, and the proof is left.

    A request is forgotten `[forgetting] after_days` after it was finished everywhere, once its receipt lies in the
    receipts folder, and never while a complaint about it is open or its evidence is held. Nothing says again who it was
    about. `dpsync find` still leads from a name of the person to the proof.
    """
    from dpsync.cases.holds import held
    from dpsync.cli.opening import installation
    from dpsync.propagation import forgetting
    from dpsync.reports.words import moment
    from dpsync.running.ended_periods import destroyed
    from dpsync.running.forgetting import due, until_of

    talk: Talk = ctx.obj
    with installation(talk, secrets=False, compare=False) as there:
        now = there.clock.now()
        until, today = until_of(there, now), now.astimezone(there.zone).date()
        gone, unnamed = there.read(forgetting.forgotten), there.read(forgetting.unnamed)
        went, holds = there.read(destroyed), there.read(lambda connection: held(connection, today))
        kept = due(there, until, now) if until else None
        if as_json:
            _print_json(talk, there, gone, unnamed, went, holds, kept)
            return Exit.DONE
        rows = [(one[:8], right, moment(closed, there.zone), moment(at, there.zone)) for one, right, closed, at in gone]
        if rows:
            talk.table(("REQUEST", "RIGHT", "FINISHED", "FORGOTTEN"), rows)
        else:
            talk.say("No request is forgotten yet.")
        _say_what_else_went(talk, there, unnamed, went)
        section = there.settings.forgetting
        _say_what_waits(talk, section.after_days if section else 0, kept)
        _say_what_is_held(talk, there, holds)
    return Exit.DONE


def _print_json(
    talk: Talk,
    there: "Installation",
    gone: "Sequence[tuple[str, str, datetime, datetime]]",
    unnamed: int,
    went: "Sequence[Destroyed]",
    holds: "Mapping[str, EvidenceHold]",
    kept: "ToForget | None",
) -> None:
    from dpsync.reports.render import json_value
    from dpsync.running.ended_periods import RECEIPT

    names = ("request", "right", "closed_at", "forgotten_at")
    shown = {
        "forgotten": [dict(zip(names, one, strict=True)) for one in gone],
        "waits": {"due": kept.now, "kept": kept.kept} if kept else None,
        "unnamed": unnamed,
        "receipts": [{"file": one.name, "deleted_at": one.at} for one in went if one.kind == RECEIPT],
        "destroyed": [
            {"kind": one.kind, "name": one.name, "count": one.count, "at": one.at}
            for one in went
            if one.kind != RECEIPT
        ],
        "held": [
            {"request": one.request_id, "until": one.until, "by": by, "reason": why}
            for one, by, why in _who_holds(there, holds)
        ],
    }
    talk.json({name: json_value(value) for name, value in shown.items()})


def _who_holds(there: "Installation", holds: "Mapping[str, EvidenceHold]") -> "Iterator[tuple[EvidenceHold, str, str]]":
    from dpsync.reports.decided import opened

    for one in holds.values():
        yield one, *opened(one.request_id, one.sealed, there.opened_decision)


def _say_what_else_went(talk: Talk, there: "Installation", unnamed: int, went: "Sequence[Destroyed]") -> None:
    from dpsync.reports.words import moment, several

    if unnamed:
        talk.say(f"Of {several(unnamed, 'forgotten request')} the pseudonyms of the person are destroyed, too.")
    if went:
        rows = [
            (_KINDS.get(one.kind, one.kind), one.name, f"{one.count:,}", moment(one.at, there.zone)) for one in went
        ]
        talk.table(("ALSO DESTROYED", "OF", "HOW MANY", "WHEN"), rows)


def _say_what_is_held(talk: Talk, there: "Installation", holds: "Mapping[str, EvidenceHold]") -> None:
    from dpsync.reports.words import day, several

    if not holds:
        return
    rows = [(one.request_id[:8], day(one.until), by, why) for one, by, why in _who_holds(there, holds)]
    talk.table(("EVIDENCE HELD", "UNTIL", "BY", "REASON"), rows)
    talk.say(
        f"The evidence of {several(len(rows), 'request')} is held. To hold it no more before that day: "
        "dpsync hold-evidence REQUEST --end --by NAME --reason WHY"
    )


def _say_what_waits(talk: Talk, after_days: int, kept: "ToForget | None") -> None:
    from dpsync.reports.words import several

    if kept is None:
        talk.say("The settings have no section [forgetting], so identifiers stay for ever, sealed.")
        return
    talk.say(f"Identifiers are destroyed {after_days} days after a request was finished everywhere.")
    talk.say("`dpsync processors` says what is kept how long, `dpsync keys show` which months' keys are gone.")
    reasons = {"they are next, within days while `dpsync serve` runs": kept.now, **kept.kept}
    for why, ids in reasons.items():
        if ids:
            named = ", ".join(one[:8] for one in ids[:10])
            talk.say(f"{several(len(ids), 'request')}: {why}: {named}{' ...' if len(ids) > 10 else ''}")
