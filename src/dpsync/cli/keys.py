"""`dpsync keys`: which keys there are, whether they are the right ones, and a new one in the place of an old one."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from dpsync.cli.console import Talk, os_user
from dpsync.cli.options import AsJson
from dpsync.errors import Exit, KeyProblem, Locked, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from dpsync.installation import Installation
    from dpsync.key_files import Former
    from dpsync.key_register import Month
    from dpsync.propagation.decisions import Person

group = typer.Typer(no_args_is_help=True, help="Show, check and change the keys.", rich_markup_mode=None)


class Which(StrEnum):
    """Which key is changed."""

    SIGNING = "signing"
    PEPPER = "pepper"


@dataclass(frozen=True, slots=True)
class _KeyLine:
    key: str
    fingerprint: str
    state: str


@group.command("show")
def show(ctx: typer.Context, *, as_json: AsJson = False) -> int:
    """Show every key by its fingerprint, what it is for, and the lines by which others check what you signed."""
    from dpsync.cli.opening import installation

    talk: Talk = ctx.obj
    with installation(talk, secrets=False, compare=False) as there:
        lines = list(_lines(there, there.clock.now()))
        verifiers = [one.line for one in there.log.keys]
        folder = there.settings.keys.directory
    if as_json:
        talk.json({"folder": str(folder), "keys": [asdict(one) for one in lines], "verifiers": verifiers})
        return Exit.DONE
    talk.table(("KEY", "FINGERPRINT", "STATE"), [(one.key, one.fingerprint, one.state) for one in lines])
    talk.say("The lines by which others check what was signed, the newest first:")
    for line in verifiers:
        talk.data(line)
    return Exit.DONE


@group.command("check")
def check(ctx: typer.Context) -> int:
    """Check that every key is there, is the right one and is yours alone, and opens each request. Exit code 2: no."""
    from dpsync.cli.opening import installation
    from dpsync.key_files import CARD
    from dpsync.running.key_changes import unrecorded
    from dpsync.soundness import key_problems, opening

    talk: Talk = ctx.obj
    with installation(talk, secrets=False, compare=False) as there:
        wrong = [*key_problems(there), *opening(there).unopened]
        waiting, folder = unrecorded(there), there.settings.keys.directory
        card = (folder / CARD).exists()
    for problem in wrong:
        talk.data(f"PROBLEM  {problem}")
    if not wrong:
        talk.data(f"good     every key of {folder} is the right one, and every request that is kept opens")
    if waiting:
        talk.say(f"new      {', '.join(waiting)}: not on the record yet, because a change was cut off.")
        talk.say("         The next start puts it there, or `dpsync keys rotate`, given again")
    if card:
        talk.say(f"waits    for you: print {folder / CARD}, keep the paper elsewhere, delete the file")
    return Exit.LOOK if wrong else Exit.DONE


@group.command("rotate")
def rotate(
    ctx: typer.Context,
    which: Annotated[Which, typer.Argument(metavar="signing|pepper", help="Which key gets a new one.")],
    *,
    by: Annotated[str, typer.Option(help="Who decides it. It goes on the record.")],
    reason: Annotated[str, typer.Option(help="Why, for the record.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> int:
    """Make a new key. Stop the service first. Cut off anywhere, give the command again: it goes on where it ended.

    The signing key: for 30 days the old key signs beside the new one. The pepper: older ones still find who is known.
    Keep every file of the key folder: nothing that was signed or sealed before is signed or sealed anew.
    """
    from dpsync.propagation.decisions import Person

    talk: Talk = ctx.obj
    person = Person(by, os_user(), reason)
    person.demand(reason=True)
    return _record(talk, person, _change(talk, which, ask=not yes))


def _change(talk: Talk, which: Which, *, ask: bool) -> dict[str, str]:
    """Have the new key in the folder, unless a change that was cut off has put one there.

    Gives the one that a start has put on the record since, by its name.
    """
    from dpsync.cli.opening import installation, worker_alive
    from dpsync.running import key_changes
    from dpsync.soundness import key_problems
    from dpsync.store.database import worker_lock

    with installation(talk, secrets=False) as there, worker_lock(there.settings.store.url):
        now = there.clock.now()
        if worker_alive(there, now):
            raise Locked("a dpsync worker is at work with the old keys: stop it, wait two minutes, then try again")
        if problems := key_problems(there):
            raise KeyProblem("; ".join(problems))
        if waiting := key_changes.unrecorded(there):
            talk.say(f"{', '.join(waiting)}: made before, and not on the record yet. No other key is made.")
            return {}
        if undecided := key_changes.undecided(there, which):
            talk.say(f"{', '.join(undecided)}: made before, and a start has finished it. No other key is made.")
            return undecided
        if ask:
            _ask(talk, which)
        if which is Which.SIGNING:
            key_changes.change_signing(there, now)
        else:
            key_changes.add_pepper(there)
        return {}


def _ask(talk: Talk, which: Which) -> None:
    if not talk.may_ask():
        raise UsageError("a new key cannot be taken back: say --yes")
    if input(f"Make a new {which.value} key? What it signs or seals needs it for ever. Type yes: ").strip() != "yes":
        raise UsageError("nothing was changed")


def _record(talk: Talk, person: "Person", decided: dict[str, str]) -> int:
    from dpsync.cli.opening import installation
    from dpsync.key_files import CARD, write_card
    from dpsync.running import key_changes

    with installation(talk, secrets=False) as there:
        now, folder = there.clock.now(), there.settings.keys.directory
        write_card(folder, there.keys.fingerprint())
        made = key_changes.record(there, now, person, decided)
        talk.did = f"a new key is in use: {', '.join(made)}"
        there.anchor(now)  # the first checkpoint that both keys sign
        line, former = there.log.signer.verifier.line, there.keys.newest_former
    signing = any(name.startswith("signing") for name in made)
    if signing:
        talk.data(line)
    talk.ending(
        stored=f"{', '.join(made)}, in {folder} and in the ledger",
        by_itself=f"until {former.last_day.isoformat()} the key before signs beside the new one."
        if signing and former
        else "what is written from now on is written under the new one; older ones still find and open the rest.",
        waits="for you. Next steps:",
    )
    steps = [
        f"copy all of {folder} to where its copy is kept, before you start the service",
        f"print {folder / CARD}, keep the paper with the older one, delete the file",
        *["give the line above to the DPO, on paper or by telephone, and to each of your witnesses"] * signing,
        "start the service",
    ]
    for number, step in enumerate(steps, 1):
        talk.say(f"  {number} {step}")
    return Exit.DONE


def _lines(there: "Installation", now: "datetime") -> "Iterator[_KeyLine]":
    from dpsync import key_register
    from dpsync.key_files import FORMER, SIGNING
    from dpsync.reports.words import several

    days = {one.name: one for one in there.keys.former}
    for name, fingerprint in there.keys.fingerprints().items():
        state = "finds who is known, and opens what it sealed"
        if name == SIGNING:
            state = "signs the ledger and receipts"
        elif name.startswith(FORMER):
            state = _of_former(days[name], now)
        yield _KeyLine(name, fingerprint, state)
    gone = there.read(key_register.given_up)
    past = there.read(lambda connection: key_register.destroyed(connection, there.keys))
    for one in there.read(lambda connection: key_register.months(connection, there.keys)):
        if one.month in past:
            yield _KeyLine(f"months/{one.month}.key", one.fingerprint, _destroyed(past[one.month], one))
            continue
        if one.problem and one.month in gone:
            shut = f"lost for good, on the record since {gone[one.month][:10]}: {several(one.requests, 'request')} shut"
            yield _KeyLine(f"months/{one.month}.key", one.fingerprint, shut)
            continue
        opens = f"opens {several(one.requests, 'request')}" if one.requests else "opens nothing that is kept"
        yield _KeyLine(f"months/{one.month}.key", one.fingerprint, one.problem or opens)


def _of_former(one: "Former", now: "datetime") -> str:
    if one.signs and now.date() <= one.last_day:
        return f"signs beside it until {one.last_day.isoformat()}"
    waits = ". Its secret half is destroyed some days later, if the clock was right" if one.has_secret_half else ""
    return f"signs no more; shows what it signed{waits}"


def _destroyed(at: str, one: "Month") -> str:
    from dpsync.reports.words import several

    if not one.problem:
        return f"destroyed on {at[:10]}, and back since: dpsync destroys it again. Delete it in the copies, too"
    shut = f"; {several(one.requests, 'request')} of a back-up shut for good" if one.requests else ""
    return f"destroyed on {at[:10]}, when nothing needed it any more{shut}"
