"""What somebody takes away and checks without us: receipt, verify."""

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dpsync import paths
from dpsync.cli.console import Talk
from dpsync.cli.options import AsJson, RequestId
from dpsync.errors import DpsyncError, Exit, NotFound, StoreProblem, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dpsync.installation import Installation
    from dpsync.soundness import Soundness


def receipt(
    ctx: typer.Context,
    request: RequestId,
    *,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="A file or a folder. Default: ./REQUEST.json."),
    ] = None,
    since: Annotated[
        Path | None,
        typer.Option(help="A checkpoint that somebody kept. Also write the proof that the ledger only added to it."),
    ] = None,
) -> int:
    """Write the proof of one request, and the program that checks it without dpsync. Exit code 3: not complete yet."""
    from dpsync.cli.opening import full_id, installation

    talk: Talk = ctx.obj
    with installation(talk) as there:
        request_id = full_id(there, request)
        path = _placed(output, request_id)
        kept, silent = _proof(there, request_id, path)
        step = _step(there, path, since) if since else None
        key = there.log.signer.verifier.line
    talk.data("\n".join(str(written) for written in (path, step) if written))
    talk.ending(
        stored=f"{path} ({kept}), and verify_receipt.py beside it. These two files and the key are enough to check it",
        by_itself="nothing: the receipt shows how things stand now.",
        waits=f"for the person who checks it: python3 verify_receipt.py {path.name} --key '{key}' --email ADDRESS",
    )
    if silent:
        talk.warn(f"Not complete yet: {', '.join(silent)} has not answered. Until then the check says STILL OPEN.")
        return Exit.PARTLY
    return Exit.DONE


def verify(
    ctx: typer.Context,
    file: Annotated[
        Path | None, typer.Argument(help="A receipt. Default: the whole ledger of this installation.")
    ] = None,
    *,
    key: Annotated[str | None, typer.Option(help="For a receipt: the verifier key that the DPO was given.")] = None,
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
    given = {"--key": key, "--email": email, "--checkpoint": checkpoint, "--policy": policy}
    pairs = [*given.items(), *(("--consistency", step) for step in consistency or ())]
    options = [str(part) for name, value in pairs if value is not None for part in (name, value)]
    if file is None:
        if options:
            raise UsageError(f"{options[0]} is for a receipt: name its file")
        return _ledger(talk, as_json=as_json)
    return _receipt(talk, file, options, as_json=as_json)


def _placed(output: Path | None, request_id: str) -> Path:
    if output is None:
        return Path(f"{request_id}.json")
    if str(output) == "-":
        raise UsageError("a receipt is written with the program that checks it: name a file or a folder, not `-`")
    from dpsync.cli.opening import ending_of

    if (ending := ending_of(output)) not in {"", "json"} and not output.is_dir():
        raise UsageError(f"a receipt is JSON: give the file a name that ends in .json, not .{ending}")
    return output / f"{request_id}.json" if output.is_dir() else output


def _proof(there: "Installation", request_id: str, path: Path) -> tuple[str, list[str]]:
    """Write the receipt and its verifier; gives as of when, and of whom it has no word.

    What is shredded can no longer be opened: then the kept receipt is copied.
    """
    from dpsync.cli.opening import written
    from dpsync.ledger.receipt import dump, silent
    from dpsync.ledger.receipt_folder import VERIFIER

    kept = there.settings.ledger.receipts / f"{request_id}.json"
    try:
        value = there.receipt(request_id, there.clock.now())
        content, said, unheard = dump(value), "as of now", silent(value)
    except NotFound:
        if not kept.exists():
            raise
        content, said, unheard = kept.read_bytes(), "as it was kept when the request closed", []
    beside = path.parent / VERIFIER.name
    written(beside, VERIFIER.read_bytes())
    written(path, content)  # last: where it stands, all of it does
    return said, unheard


def _step(there: "Installation", path: Path, since: Path) -> Path:
    """Write the consistency file from a kept checkpoint to that of the receipt, or the reverse. Gives its path."""
    from dpsync.cli.opening import written
    from dpsync.errors import NoteInvalid
    from dpsync.ledger.note import parse
    from dpsync.ledger.receipt import read

    try:
        notes = [paths.read(since).decode(), read(path.read_bytes())["checkpoint"]]
        older, newer = sorted(notes, key=lambda note: parse(note)[0].size)
    except (paths.Unusable, UnicodeDecodeError, NoteInvalid) as refused:
        why = f": {refused.trouble.what}" if isinstance(refused, paths.Unusable) else ""
        raise NotFound(f"{since} cannot be read as a checkpoint{why}") from None
    content = there.read(lambda connection: there.log.continuation(connection, parse(older)[0].size, newer))
    step = path.parent / f"{parse(older)[0].size}-{parse(newer)[0].size}.consistency"
    written(step, content.encode())
    return step


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
    "database": ("DP-203", "the database file is damaged: restore it from the newest back-up"),
}


def _looked(
    there: "Installation", progress: "Callable[[int, int], None] | None"
) -> "tuple[Soundness, dict[str, list[str]]]":
    """What was found, and what is wrong, by kind."""
    from sqlalchemy.exc import DBAPIError

    from dpsync.soundness import judge, unopened
    from dpsync.store import integrity

    unsound = there.read(lambda connection: integrity.problem(connection, thorough=True))
    try:
        sound = judge(there, there.clock.now(), full=True, progress=progress)
        keys = (*sound.keys, *unopened(there))
    except (DBAPIError, DpsyncError):
        if not unsound:
            raise
        raise StoreProblem(f"the database file is damaged: {unsound}. Restore it from the newest back-up") from None
    wrong = {
        "keys": list(keys),
        "problems": list(sound.ledger.problems),
        "differences": list(sound.differences),
        "lost": list(sound.ledger.lost),
        "outside": list(sound.ledger.damaged),
        "database": [unsound] if unsound else [],
    }
    return sound, wrong


def _told(there: "Installation", entries: int, root: str, wrong: int) -> str:
    from dpsync.reports.words import several

    verdict = f"NOT VERIFIED: {several(wrong, 'problem')}" if wrong else "verified, every row agrees with it"
    return f"{there.origin}: {verdict}, {entries:,} entries, root {root}"
