"""`dpsync receipt`: the proof of one request, to take away, and its page in plain words."""

import shlex
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dpsync import paths
from dpsync.cli.console import Talk
from dpsync.cli.options import RequestId
from dpsync.errors import Exit, NotFound, UsageError
from dpsync.extras import loaded

if TYPE_CHECKING:
    from dpsync.installation import Installation


class ReceiptForm(StrEnum):
    """What is written beside the signed file, or that alone."""

    JSON = "json"
    HTML = "html"
    PDF = "pdf"


Output = Annotated[
    Path | None, typer.Option("-o", "--output", metavar="FILE", help="A file or a folder. Default: ./REQUEST.json.")
]
FormOption = Annotated[
    ReceiptForm | None,
    typer.Option(
        "--format",
        help="html or pdf: also a page in plain words, to give to the person or the authority. "
        "Default: what the name of FILE ends in.",
    ),
]
Email = Annotated[
    str | None, typer.Option(help="For the page: the person's email address. It must be the one of the receipt.")
]
Since = Annotated[
    Path | None,
    typer.Option(help="A checkpoint that somebody kept. Also write the proof that the ledger only added to it."),
]
Proofs = Annotated[
    bool, typer.Option("--proofs", help="Also write each entry with its proof in the public format, C2SP tlog-proof.")
]


def receipt(
    ctx: typer.Context,
    request: RequestId,
    *,
    output: Output = None,
    form: FormOption = None,
    email: Email = None,
    since: Since = None,
    proofs: Proofs = False,
) -> int:
    """Write the proof of one request, and the program that checks it without dpsync. Exit code 3: not all are told."""
    from dpsync.cli.opening import full_id, installation

    talk: Talk = ctx.obj
    chosen = _chosen(form, output)
    if email is not None and chosen is ReceiptForm.JSON:
        raise UsageError("--email is for the page: add --format html")
    if chosen is ReceiptForm.PDF:
        loaded("pdf", "a receipt as PDF")
    with installation(talk) as there:
        request_id = full_id(there, request)
        path = _placed(output, request_id)
        kept, missing = _proof(there, request_id, path)
        also = [_page(there, path, chosen, email or "")] if chosen is not ReceiptForm.JSON else []
        step = _step(there, path, since) if since else None
        also += [step] if step else []
        also += _tlog_proofs(path) if proofs else []
        key = there.log.signer.verifier.line
    talk.data("\n".join(map(str, (path, *also))))
    given = f" --checkpoint {shlex.quote(str(since))} --consistency {step.name}" if step else ""
    _say_what_to_do(talk, path, kept, f"--key '{key}' --email ADDRESS{given}")
    if missing:
        talk.warn(f"Not complete yet: {', '.join(missing)} not told. Until then the check says STILL OPEN.")
        return Exit.PARTLY
    return Exit.DONE


def _chosen(form: ReceiptForm | None, output: Path | None) -> ReceiptForm:
    """What is written. Raises `UsageError` where the file's name says something else."""
    from dpsync.cli.opening import ending_of

    if output is None or output.is_dir():
        return form or ReceiptForm.JSON
    if str(output) == "-":
        raise UsageError("a receipt is written with the program that checks it: name a file or a folder, not `-`")
    ending = ending_of(output)
    if ending not in {"", *ReceiptForm}:
        raise UsageError(f"a receipt is .json, with a page .html or .pdf: dpsync does not write .{ending}")
    if form and ending and form.value != ending:
        raise UsageError(f"the file name ends in .{ending}, but --format says {form.value}: make them agree")
    return form or ReceiptForm(ending or "json")


def _placed(output: Path | None, request_id: str) -> Path:
    """Where the signed file goes; the page has the same name."""
    if output is None:
        return Path(f"{request_id}.json")
    if output.is_dir():
        return output / f"{request_id}.json"
    return output.with_suffix(".json") if output.suffix.lower() in {".html", ".pdf"} else output


def _say_what_to_do(talk: Talk, path: Path, kept: str, given: str) -> None:
    later = "the request is forgotten, so what came later is in no receipt." if kept is _KEPT else ""
    talk.ending(
        stored=f"{path} ({kept}), and verify_receipt.py beside it. These two files and the key are enough to check it",
        by_itself=f"nothing: {later or 'the receipt shows how things stand now.'}",
        waits=f"for the person who checks it: python3 verify_receipt.py {path.name} {given}",
    )


_KEPT = "as it was kept before the request was forgotten"


def _proof(there: "Installation", request_id: str, path: Path) -> tuple[str, list[str]]:
    """Write the receipt and its verifier; gives as of when, and who is not told.

    What is forgotten can no longer be opened: then the kept receipt is copied.
    """
    from dpsync.cli.opening import written
    from dpsync.ledger.receipt import dump, read_sealed, untold
    from dpsync.ledger.receipt_folder import VERIFIER

    kept = there.settings.ledger.receipts / f"{request_id}.json"
    try:
        value = there.receipt(request_id, there.clock.now())
        content, said, missing = dump(value), "as of now", untold(value)
    except NotFound:
        if not kept.exists():
            raise
        content, said = kept.read_bytes(), _KEPT
        missing = untold(read_sealed(content, request_id, there.log.keys))
    beside = path.parent / VERIFIER.name
    written(beside, VERIFIER.read_bytes())
    written(path, content)  # last: where it stands, all of it does
    return said, missing


def _page(there: "Installation", path: Path, form: ReceiptForm, email: str) -> Path:
    """Write the page of the receipt that was written to `path`, beside it. Gives its path."""
    from dpsync.cli.opening import written
    from dpsync.reports.html import receipt_html
    from dpsync.reports.make import receipt_page
    from dpsync.reports.pdf import pdf

    page = receipt_html(receipt_page(there, path.read_bytes(), there.clock.now(), email))
    beside = path.with_suffix(f".{form.value}")
    written(beside, pdf(page) if form is ReceiptForm.PDF else page.encode())
    return beside


def _tlog_proofs(path: Path) -> list[Path]:
    """Write `INDEX.entry` and `INDEX.tlog-proof` of each entry of a receipt beside it. Gives those of the proofs."""
    import base64

    from dpsync.cli.opening import written
    from dpsync.ledger.receipt import read, tlog_proof

    value, found = read(path.read_bytes()), []
    for one in value["entries"]:
        written(path.parent / f"{one['index']}.entry", base64.b64decode(one["body"]))
        found.append(path.parent / f"{one['index']}.tlog-proof")
        written(found[-1], tlog_proof(value, one["index"]).encode())
    return found


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
