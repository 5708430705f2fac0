"""`dpsync verify`: a receipt, as whoever trusts none of us checks it, or the whole ledger."""

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dpsync.cli.console import Talk
from dpsync.cli.options import AsJson
from dpsync.errors import DpsyncError, Exit, NotFound, StoreProblem, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dpsync.installation import Installation
    from dpsync.soundness import Soundness


def verify(
    ctx: typer.Context,
    file: Annotated[
        Path | None, typer.Argument(help="A receipt. Default: the whole ledger of this installation.")
    ] = None,
    *,
    key: Annotated[
        list[str] | None,
        typer.Option(help="For a receipt: the verifier key that the DPO was given. Repeat it if the key was changed."),
    ] = None,
    email: Annotated[
        str | None,
        typer.Option(help="For a receipt: the person's email address, to check that the receipt is about them."),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="For a receipt: a checkpoint that somebody kept, to check that it is from the same ledger."),
    ] = None,
    consistency: Annotated[
        list[Path] | None, typer.Option(help="For a receipt: the .consistency files between the two checkpoints.")
    ] = None,
    policy: Annotated[
        Path | None,
        typer.Option(
            help="For a receipt: a file that names the witnesses you trust (C2SP tlog-policy), for the grade."
        ),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Check a receipt or the whole ledger: its entries, checkpoints, anchor, and every state. Exit code 2: it fails."""
    talk: Talk = ctx.obj
    given = {"--email": email, "--checkpoint": checkpoint, "--policy": policy}
    pairs: list[tuple[str, object]] = [*given.items(), *(("--key", line) for line in key or ())]
    pairs += [("--consistency", step) for step in consistency or ()]
    options = [str(part) for name, value in pairs if value is not None for part in (name, value)]
    if file is None:
        if options:
            raise UsageError(f"{options[0]} is for a receipt: name its file")
        return _ledger(talk, as_json=as_json)
    return _receipt(talk, file, options, as_json=as_json)


def _receipt(talk: Talk, file: Path, options: "Sequence[str]", *, as_json: bool) -> int:
    from dpsync.ledger.receipt_folder import VERIFIER

    if not file.is_file():
        raise NotFound(f"there is no file {file}")
    # By the program that is handed out, alone and isolated: what holds here holds for whoever trusts none of us.
    command = [sys.executable, "-I", str(VERIFIER), str(file.resolve()), *options]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - because it is our own file
    lines = ran.stdout.splitlines()
    if ran.returncode == Exit.USAGE:
        raise UsageError(lines[0].rstrip("."))
    valid = ran.returncode == 0
    if as_json:
        talk.json({"file": str(file), "valid": valid, "says": lines})
    else:
        talk.data("\n".join(lines) or "NOT VALID: the verifier did not finish.")
    if not valid:
        talk.warn("DP-602: this receipt cannot be relied on (dpsync explain DP-602)")
    return Exit.DONE if valid else Exit.LOOK


def _ledger(talk: Talk, *, as_json: bool) -> int:
    from dpsync.cli.opening import installation
    from dpsync.reports.words import several

    with installation(talk, secrets=False, compare=False) as there:
        with talk.progress("verifying") as progress:
            sound, found = _looked(there, progress)
        entries, root = sound.ledger.entries, sound.ledger.root.hex()
        wrong = sum(len(problems) for problems in found.values())
        if as_json:
            head = {
                "origin": there.origin,
                "verified": not wrong,
                "entries": entries,
                "root": root,
                "older": sound.older,
            }
            talk.json(head | {"key": there.log.signer.verifier.line, "older": sound.older} | found)
        else:
            talk.data(_told(there, entries, root, wrong))
    if sound.older:
        talk.warn(
            f"  {several(sound.older, 'request')} came in before the ledger covered every row. For those, dpsync "
            "compares only right, dates, processors, states and calls."
        )
    for problem in (problem for problems in found.values() for problem in problems):
        talk.warn(f"  {problem}")
    for kind in (kind for kind, problems in found.items() if problems):
        code, sentence = _SAID[kind]
        talk.warn(f"{code}: {sentence} (dpsync explain {code})")
    return Exit.LOOK if wrong else Exit.DONE


_SAID = {
    "problems": ("DP-601", "the ledger is not what was signed. Keep every copy as it is"),
    "differences": ("DP-603", "rows in the database do not agree with the ledger"),
    "lost": ("DP-605", "accepted requests are missing from the database"),
    "outside": ("DP-604", "a file that keeps the proof outside the database is damaged or missing"),
    "keys": ("DP-202", "keys are missing or are the wrong ones, or a request does not open with its key"),
    "database": ("DP-203", "the database file is damaged"),
}


def _with_its_effect(difference: str, shut: dict[str, str]) -> str:
    """A row that differs; where the request does not open because of it, that is said here, and taken out of `shut`.

    It would open with no key: whoever looked for another one would look in vain, and read of one cause twice.
    """
    request = difference.partition(":")[0]
    if ": wrapped_key does not open " in difference:
        shut.pop(request, "")
    elif ": sealed not as " in difference and shut.pop(request, ""):
        return f"{difference}, so it cannot be opened"
    return difference


def _looked(
    there: "Installation", progress: "Callable[[int, int], None] | None"
) -> "tuple[Soundness, dict[str, list[str]]]":
    """What was found, and what is wrong, by kind."""
    from sqlalchemy.exc import DBAPIError

    from dpsync.soundness import judge, opening
    from dpsync.store import integrity
    from dpsync.store.trouble import RESTORE

    unsound = there.read(lambda connection: integrity.problem(connection, thorough=True))
    try:
        sound = judge(there, there.clock.now(), full=True, progress=progress)
        opened = opening(there)
    except (DBAPIError, DpsyncError):
        if not unsound:
            raise
        raise StoreProblem(f"the database file is damaged: {unsound}. {RESTORE}") from None
    shut = {one.partition(" cannot ")[0]: one for one in opened.unopened}
    differences = [_with_its_effect(one, shut) for one in sound.differences]
    wrong = {
        "keys": [*sound.keys, *shut.values()],
        "problems": list(sound.ledger.problems),
        "differences": [*differences, *opened.unfound],
        "lost": list(sound.ledger.lost),
        "outside": [*sound.ledger.damaged, *sound.files],
        "database": [unsound] if unsound else [],
    }
    return sound, wrong


def _told(there: "Installation", entries: int, root: str, wrong: int) -> str:
    from dpsync.reports.words import several

    verdict = f"NOT VERIFIED: {several(wrong, 'problem')}" if wrong else "verified, every row agrees with it"
    return f"{there.origin}: {verdict}, {entries:,} entries, root {root}"
