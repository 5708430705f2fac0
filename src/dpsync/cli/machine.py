"""Commands about the service on its machine: health, intake show, config schema and upgrade, completion."""

from contextlib import suppress
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from dpsync.cli.console import Talk
from dpsync.cli.options import AsJson
from dpsync.errors import ConfigurationError, Exit, Fault, NotFound

if TYPE_CHECKING:
    from pathlib import Path

    from dpsync.settings import Secret, Settings

intake = typer.Typer(help="How your main database asks.", no_args_is_help=True)
config = typer.Typer(help="The settings file.", no_args_is_help=True)

TEST_BODY = '{"type": "dpsync.test"}'


class Shell(StrEnum):
    """The shells that dpsync can complete in."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def health(
    ctx: typer.Context,
    *,
    as_json: AsJson = False,
) -> int:
    """Ask the service on this machine whether it is ready.

    Exit code 0: it is ready. 2: another program, or another dpsync, answers where it should listen. 75: it is not
    running or not ready.
    """
    from dpsync.cli.opening import load_settings
    from dpsync.cli.running_service import Serving, ask

    talk: Talk = ctx.obj
    settings = load_settings(talk.config, secrets=False)
    listen = settings.intake.listen
    heard = ask(listen, settings.origin)
    if as_json:
        talk.json({"serving": heard.serving.value, "listen": listen, "readyz": dict(heard.said)})
    else:
        talk.data(f"{listen}: {heard.sentence}")
    if heard.serving is Serving.READY:
        return Exit.DONE
    return Exit.LOOK if heard.serving in {Serving.OTHER, Serving.ELSEWHERE} else Exit.LATER


@intake.command("show")
def intake_show(
    ctx: typer.Context,
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="SOURCE",
            help="A main database with messages of its own shape, [sources.SOURCE]. Default: one that sends dpsync's.",
        ),
    ] = None,
    *,
    as_json: AsJson = False,
) -> int:
    """Show what to enter in your main database, with a signed test message.

    The test message is only for trying the address, the secret and the signature. It stores nothing and asks for
    nothing. It works for five minutes; then run this command again. For a SOURCE, `dpsync source test` shows what a
    message of it would become.
    """
    import secrets

    from dpsync.cli.opening import load_settings
    from dpsync.installation import SystemClock
    from dpsync.signature import signed_headers

    talk: Talk = ctx.obj
    settings = load_settings(talk.config, secrets=False)
    if source is not None:
        return _show_source(talk, settings, source, as_json=as_json)
    secret, url = _newest_secret(settings), _door(settings)
    event, now = f"test-{secrets.token_hex(8)}", SystemClock().now()
    headers = signed_headers(secret.get_secret_value(), event, now, TEST_BODY.encode())
    lines = [f"curl -sS {_shell(url)}", *(f"  -H {_shell(f'{name}: {value}')}" for name, value in headers.items())]
    curl = " \\\n".join([*lines, "  -H 'content-type: application/json'", f"  -d {_shell(TEST_BODY)}"])
    if as_json:
        talk.json({"url": url, "secret": secret.reference, "headers": headers, "body": TEST_BODY, "curl": curl})
        return Exit.DONE
    _show_door(talk, settings, url, secret.reference, curl)
    return Exit.DONE


def _show_door(talk: Talk, settings: "Settings", url: str, secret: str, curl: str) -> None:
    talk.table(("WHAT", "ENTER"), [("address", url), ("method", "POST"), ("secret", f"what is in {secret}")])
    talk.say("\nA test message. It stores nothing, and works for five minutes:\n")
    talk.data(curl)
    talk.say('\nIf address, secret and signature are right, the answer is {"status": "test received"}.')
    _say_where_it_works(talk, settings)
    talk.say("The format of a request, with an example in Python: docs/webhooks.md")


def _show_source(talk: Talk, settings: "Settings", name: str, *, as_json: bool) -> int:
    """What to enter in a main database that has a section of its own. Raises `NotFound` where none is called so."""
    section = settings.sources.get(name)
    if section is None:
        known = ", ".join(settings.sources) or "none"
        raise NotFound(
            f"there is no [sources.{name}] in the settings; there are: {known}. Without a name this command shows the "
            "door for messages in dpsync's own form"
        )
    url, secret = f"{_door(settings)}/{name}", section.secrets[0].reference if section.secrets else None
    if as_json:
        talk.json({"url": url if section.scheme else None, "secret": secret, "scheme": section.scheme})
        return Exit.DONE
    if section.scheme is None:
        talk.data(f"{name} posts nothing: dpsync polls its outbox. `dpsync source outbox {name}` prints the table.")
        return Exit.DONE
    rows = [("address", url), ("method", "POST"), ("signed by", section.scheme)]
    rows += [("header", section.header)] if section.header else []
    talk.table(("WHAT", "ENTER"), [*rows, ("secret", f"what is in {secret}")])
    talk.say(f"\nTry a message without storing it: dpsync source sample {name}, then dpsync source test {name}")
    _say_where_it_works(talk, settings)
    return Exit.DONE


def _door(settings: "Settings") -> str:
    return f"{settings.intake.public_url or 'http://' + settings.intake.listen}/requests"


def _say_where_it_works(talk: Talk, settings: "Settings") -> None:
    if not settings.intake.public_url:
        talk.say("No public_url is set: this address works only on this machine (dpsync explain DP-320).")


@config.command("schema")
def config_schema(ctx: typer.Context) -> int:
    """Print the JSON schema of the settings file, for an editor or a check.

    In an editor that knows TOML schemas, write `#:schema dpsync.schema.json` as the first line of the settings.
    """
    import json

    from dpsync.settings import schema

    talk: Talk = ctx.obj
    talk.data(json.dumps(schema(), indent=2))
    return Exit.DONE


@config.command("upgrade")
def config_upgrade(
    ctx: typer.Context,
    *,
    check: Annotated[bool, typer.Option("--check", help="Only say what would change. Exit code 2: something.")] = False,
) -> int:
    """Give keys of older versions the names that this version reads, and name each key that no version knows.

    Before it writes, it copies the file beside itself. Comments and values stay. Exit code 78: a key is unknown.
    """
    from dpsync import __version__
    from dpsync.cli.opening import faults_of_settings
    from dpsync.settings.upgrading import upgrade

    talk: Talk = ctx.obj
    path = talk.config
    found = upgrade(path, faults_of_settings(path))
    for one in found.renames:
        talk.data(f"{one.key} is called {one.new} now (line {one.line})")
    for fault in found.unknown:
        talk.data(f"{fault.key} {fault.problem}")
    if found.renames and not check:
        talk.say(f"Written: {path}. The file as it was: {_replaced(path, found.text)}")
    if found.unknown:
        talk.warn("Correct these keys by hand. Then run `dpsync check`.")
        return Exit.CONFIGURATION
    if not found.renames:
        talk.data(f"Nothing to change: dpsync {__version__} reads every key in {path}.")
    return Exit.LOOK if found.renames and check else Exit.DONE


def completion(
    ctx: typer.Context,
    shell: Annotated[Shell, typer.Argument(metavar="SHELL", help="bash, zsh or fish.")],
) -> int:
    """Print the script that lets the shell complete commands and options.

    For bash: `dpsync completion bash | sudo tee /etc/bash_completion.d/dpsync`. For zsh: into a file `_dpsync` in a
    folder of `$fpath`. For fish: into ~/.config/fish/completions/dpsync.fish.
    """
    from typer.completion import get_completion_script  # type: ignore[attr-defined]  # because typer lists no exports

    talk: Talk = ctx.obj
    talk.data(get_completion_script(prog_name="dpsync", complete_var="_DPSYNC_COMPLETE", shell=shell.value))
    return Exit.DONE


def _replaced(path: "Path", text: str) -> "Path":
    """Write the settings anew, with the owner and the rights that they had; gives the copy of what stood there."""
    import os

    from dpsync import durable
    from dpsync.installation import SystemClock

    was = path.stat()
    copy, draft = (
        path.with_name(f"{path.name}.{what}-{SystemClock().now():%Y%m%dT%H%M%SZ}") for what in ("before", "draft")
    )
    try:
        for file, content in ((copy, path.read_bytes()), (draft, text.encode())):
            durable.create(file, content)
            file.chmod(was.st_mode & 0o777)
            os.chown(file, was.st_uid, was.st_gid)  # the service may read them as another account
        draft.replace(path)
        durable.sync_folder(path.parent)
    finally:
        with suppress(OSError):
            draft.unlink()
    return copy


def _newest_secret(settings: "Settings") -> "Secret":
    if not settings.intake.secrets:
        fault = Fault("intake.secrets", "is empty, so dpsync accepts no webhook: name a secret there")
        raise ConfigurationError([fault])
    return settings.intake.secrets[0]


def _shell(text: str) -> str:
    import shlex

    return shlex.quote(text)
