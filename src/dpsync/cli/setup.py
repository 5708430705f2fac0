"""How an installation begins and is looked at: init, check."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dpsync.cli.console import Talk
from dpsync.cli.options import USUAL, AsJson
from dpsync.errors import Exit, UsageError

if TYPE_CHECKING:
    from dpsync.cli.check_lines import CheckLine
    from dpsync.cli.first_settings import Answers
    from dpsync.settings import Settings


def init(
    ctx: typer.Context,
    folder: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="The folder for the settings. Default: this folder.")
    ] = None,
    *,
    name: Annotated[str | None, typer.Option(help="The organisation that is responsible for the data.")] = None,
    dpo: Annotated[str | None, typer.Option(help="Email address of the data protection officer (DPO).")] = None,
    operator: Annotated[str | None, typer.Option(help="Email address of the person who runs this machine.")] = None,
    processor: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=CONNECTOR", help="A processor. Use the connector notice for one without an API. Repeatable."
        ),
    ] = None,
    mode: Annotated[
        str | None,
        typer.Option(
            help="confirm, live or observe. With confirm (recommended), each erasure waits 24 hours and for approval."
        ),
    ] = None,
    rehearsal: Annotated[
        bool,
        typer.Option("--rehearsal", help="Write settings for `dpsync sandbox`. They never reach a real processor."),
    ] = False,
    backed_up: Annotated[
        bool,
        typer.Option(
            "--backed-up",
            help="Migrate a PostgreSQL database of an older schema. Say this only after you have backed it up.",
        ),
    ] = False,
) -> int:
    """Write the settings, make the keys, and create the database and the ledger.

    You can run it again: it changes nothing that exists, except that it migrates a database of an older schema. It
    copies a SQLite file first, into the same folder.
    """
    from dpsync.cli.first_questions import GivenOptions, answers_of

    talk: Talk = ctx.obj
    # DIR decides; else --config, or wherever the settings usually are.
    talk.config = (folder / "dpsync.toml" if folder else talk.config).absolute()
    kept = talk.config.exists()
    if not kept:
        given = GivenOptions(name, dpo, operator, processor, mode, rehearsal=rehearsal)
        _write_settings(talk, answers_of(talk, given, folder))
    return _begin(talk, kept=kept, rehearsal=rehearsal, backed_up=backed_up)


def check(
    ctx: typer.Context,
    *,
    offline: Annotated[bool, typer.Option("--offline", help="Do not use the network.")] = False,
    send_test: Annotated[bool, typer.Option("--send-test", help="Send a test alert through every channel.")] = False,
    ask_contact: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PROCESSOR",
            help="Ask the contacts of this processor again, by email, to confirm their address. Repeatable.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Check the settings, keys, database, ledger, jobs, mail and every processor.

    Exit code 2: a person must look at something. 75: the database cannot be reached. 78: settings, keys or database
    are wrong.
    """
    from dpsync.cli.check_lines import CheckResult
    from dpsync.cli.checks import head_line, looked, worst_exit

    talk: Talk = ctx.obj
    if offline and (send_test or ask_contact):
        raise UsageError("--send-test and --ask-contact need the network: leave out --offline")
    with talk.progress("checking"):
        lines = looked(talk, offline=offline, send_test=send_test, ask=tuple(ask_contact or ()))
    code = worst_exit(lines)
    if send_test or ask_contact:
        talk.did = "the tests and questions are sent as far as the lines say"
    if as_json:
        talk.json({"exit": int(code), "lines": [_as_row(one) for one in lines]})
    else:
        seen = [(one.what, one.verdict.value, f"{one.code} {one.text}".strip()) for one in lines]
        talk.table(("WHAT", "VERDICT", "SEEN"), seen)
        codes = [one.code for one in lines if one.code and one.verdict is CheckResult.PROBLEM]
        talk.say(head_line(lines) + (f" dpsync explain {codes[0]}" if codes else ""))
    return code


def _as_row(one: "CheckLine") -> dict[str, str]:
    return {"what": one.what, "verdict": one.verdict.value, "text": one.text, "code": one.code}


def _write_settings(talk: Talk, answers: "Answers") -> None:
    import base64
    import secrets

    from dpsync.cli.first_settings import AS_PRINTED, MARK, SECRET_FOLDER, WEBHOOK, settings_text
    from dpsync.cli.opening import written
    from dpsync.reports.words import several

    folder = talk.config.parent
    text = settings_text(answers)
    if folder.exists():
        _look_first(talk, folder, text)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / SECRET_FOLDER).mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder} cannot be made: {error.strerror}", code="DP-105") from error
    webhook = folder / SECRET_FOLDER / WEBHOOK
    had_secret = webhook.exists()
    if not had_secret:
        written(webhook, b"whsec_" + base64.b64encode(secrets.token_bytes(32)) + b"\n")
    written(talk.config, text.encode())
    mark = AS_PRINTED if answers.rehearsal else MARK
    talk.say(f"Written  {talk.config}    {several(text.count(mark), 'value')} to fill in, each marked  {mark}")
    talk.say(f"{'Kept    ' if had_secret else 'Written '} {webhook}    your main database signs with this secret")


def _look_first(talk: Talk, folder: Path, text: str) -> None:
    """Read the settings as they would stand there: what they point to may be an older installation's."""
    from dpsync.cli.beginning import look_first
    from dpsync.cli.opening import load_settings, written

    draft = folder / ".dpsync.toml.draft"
    try:
        written(draft, text.encode())
        look_first(load_settings(draft, secrets=False), talk.warn)
    finally:
        draft.unlink(missing_ok=True)


def _begin(talk: Talk, *, kept: bool, rehearsal: bool, backed_up: bool) -> int:
    import os

    from dpsync.cli.beginning import look_first
    from dpsync.cli.opening import load_settings, place_of_store, store_errors_named
    from dpsync.installation import Installation
    from dpsync.running.start import initialise
    from dpsync.sealing import Keys
    from dpsync.store.schema import SCHEMA

    loaded = load_settings(talk.config, secrets=False)
    if rehearsal and not loaded.controller.rehearsal:
        raise UsageError(f"--rehearsal is for new settings, but {talk.config} exists: choose another folder")
    had_keys = look_first(loaded, talk.warn)
    if kept:
        talk.say(f"Kept     {talk.config} (not changed)")
    Keys.create(loaded.keys.directory)
    talk.say(f"{'Kept    ' if had_keys else 'Created '} {loaded.keys.directory} (keys, mode 0700)")
    there = Installation(talk.config, os.environ, settings=loaded, told=talk.warn)
    with store_errors_named(loaded.store.url), there:
        new, migrated = initialise(there, backed_up=backed_up)
        if migrated is not None and migrated.was is not None:
            copy = f"the old one is in {migrated.copy}" if migrated.copy else "the old one is in your back-up"
            talk.say(f"Migrated {place_of_store(there)} from schema {migrated.was} to {SCHEMA} ({copy})")
        talk.say(f"{'Created ' if new else 'Kept    '} {place_of_store(there)} (database, ledger {there.origin})")
        _paper(talk, loaded)
        talk.say("GIVE THIS KEY TO YOUR DPO, on paper or by telephone. It proves every later report:")
        talk.data(there.log.signer.verifier.line)
        _next(talk, loaded, new=new)
    return Exit.DONE


def _paper(talk: Talk, loaded: "Settings") -> None:
    from dpsync.key_files import CARD

    card = loaded.keys.directory / CARD
    if card.exists():
        talk.say(f"PRINT {card} (signing key and pepper), keep the paper elsewhere, delete the file")


def _needs_no_name(config: Path) -> bool:
    """Whether `dpsync` alone reads these settings, wherever it is typed on this machine."""
    import os

    first = next((place for place in USUAL if place.exists()), None)
    return config == first and "DPSYNC_CONFIG" not in os.environ


def _next(talk: Talk, loaded: "Settings", *, new: bool) -> None:
    from dpsync.cli.first_settings import AS_PRINTED, MARK, SANDBOX_COMMAND

    rehearsal = loaded.controller.rehearsal
    mark = AS_PRINTED if rehearsal else MARK
    marks = talk.config.read_text(encoding="utf-8").count(mark)
    command = "dpsync" if _needs_no_name(talk.config) else f"dpsync --config {talk.config}"
    talk.ending(
        stored="settings, keys, database and ledger, as listed above"
        if new
        else "nothing new: everything existed before",
        by_itself="nothing. Nothing has been sent to anybody. You can run init again: it changes nothing that exists.",
        waits="for you. Next steps:",
    )
    steps = [f"{SANDBOX_COMMAND}, in another window"] if rehearsal else []
    steps += [f"fill in the {marks} values marked {mark}"] if marks else []
    steps += [f"put the secret into {fault.key} ({fault.problem})" for fault in loaded.unset]
    steps += [f"{command} check", f"{command} check --send-test"]
    steps += [f"{command} serve" if rehearsal else f"{command} serve, or as a service: {command} service install --now"]
    for number, step in enumerate(steps, 1):
        talk.say(f"  {number} {step}")
