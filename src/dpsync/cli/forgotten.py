"""`dpsync forgotten`: whose identifiers were destroyed when, and which are next."""

from typing import TYPE_CHECKING

import typer

from dpsync.cli.console import Talk
from dpsync.cli.options import AsJson
from dpsync.errors import Exit

if TYPE_CHECKING:
    from dpsync.running.forgetting import ToForget


def forgotten(ctx: typer.Context, *, as_json: AsJson = False) -> int:
    """Show which requests are forgotten: the name, addresses and changes are destroyed, and the proof is left.

    A request is forgotten `[forgetting] after_days` after it was finished everywhere, once its receipt lies in the
    receipts folder, and never while a complaint about it is open. Nothing says again who it was about. `dpsync find`
    still leads from a name of the person to the proof.
    """
    from dpsync.cli.opening import installation
    from dpsync.propagation import forgetting
    from dpsync.reports.render import json_value
    from dpsync.reports.words import moment, several
    from dpsync.running.forgetting import due, until_of

    talk: Talk = ctx.obj
    with installation(talk, secrets=False, compare=False) as there:
        now = there.clock.now()
        until = until_of(there, now)
        gone = there.read(forgetting.forgotten)
        kept = due(there, until, now) if until else None
        unnamed = there.read(forgetting.unnamed)
        if as_json:
            names = ("request", "right", "closed_at", "forgotten_at")
            shown = [json_value(dict(zip(names, one, strict=True))) for one in gone]
            waits = {"due": kept.now, "kept": kept.kept} if kept else None
            talk.json({"forgotten": shown, "waits": json_value(waits), "unnamed": unnamed})
            return Exit.DONE
        rows = [(one[:8], right, moment(closed, there.zone), moment(at, there.zone)) for one, right, closed, at in gone]
        if rows:
            talk.table(("REQUEST", "RIGHT", "FINISHED", "FORGOTTEN"), rows)
        else:
            talk.say("No request is forgotten yet.")
        if unnamed:
            talk.say(f"Of {several(unnamed, 'forgotten request')} the pseudonyms of the person are destroyed, too.")
        section = there.settings.forgetting
        _say_what_waits(talk, section.after_days if section else 0, kept)
    return Exit.DONE


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
