"""`dpsync service`: run it under systemd without writing a unit by hand."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dpsync.cli.console import Talk
from dpsync.errors import Exit, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from dpsync.cli.systemd_unit import UnitFile

group = typer.Typer(help="Run dpsync as a service of this machine, with systemd.", no_args_is_help=True)

UNITS = Path("/etc/systemd/system")
NAME = "dpsync.service"

User = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="The user that the service runs as. Default: whoever owns the keys.", show_default=False
    ),
]


@group.command("show")
def show(ctx: typer.Context, *, user: User = None) -> int:
    """Print the systemd unit that `dpsync service install` would write."""
    talk: Talk = ctx.obj
    unit = _unit(talk, user)
    talk.data(unit.text)
    for name, text in _beside(unit).items():
        talk.data(f"\n# --- {name}\n{text}")
    return Exit.DONE


@group.command("install")
def install(
    ctx: typer.Context,
    *,
    user: User = None,
    now: Annotated[bool, typer.Option("--now", help="Start it at once, and at every start of the machine.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Write over a unit that is different.")] = False,
    folder: Annotated[
        Path, typer.Option("--unit-folder", metavar="DIR", help="Where units are. Default: /etc/systemd/system.")
    ] = UNITS,
) -> int:
    """Write a systemd unit for this program and these settings. Run it as root.

    You can run it again: it changes nothing when the unit is the same. Exit code 2: systemd did not take it.
    """
    talk: Talk = ctx.obj
    unit, place = _unit(talk, user), folder / NAME
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}: is systemd installed? --unit-folder names another one")
    if not os.access(folder, os.W_OK):
        raise UsageError(f"{folder} cannot be written: run this as root (sudo), or use `dpsync service show`")
    beside = _beside(unit)
    is_kept = _placed({folder / name: text for name, text in {NAME: unit.text, **beside}.items()}, replace=replace)
    failed = _started(talk, _wanted(beside) if now else [])
    stored = f"nothing new: {place} is as it should be" if is_kept else f"{place}, for the user {unit.user}"
    if failed:
        again = f"then run `dpsync service install{' --now' if now else ''}` again"
        talk.ending(
            stored=f"{stored}. systemd has not taken it",
            by_itself="nothing: the service does not run by this unit yet.",
            waits=f"for you: {failed}, {again}",
        )
        return Exit.LOOK
    talk.ending(
        stored=stored,
        by_itself="the service runs, and starts with the machine." if now else "nothing.",
        waits="" if now else f"for you: `systemctl enable --now {' '.join(_wanted(beside))}`",
    )
    return Exit.DONE


def _placed(texts: "Mapping[Path, str]", *, replace: bool) -> bool:
    """Write the units; whether all of them stood there already. Raises `UsageError` for one that is different."""
    other = [path for path, text in texts.items() if path.exists() and not _stands(path, text)]
    if other and not replace:
        raise UsageError(
            f"{', '.join(map(str, other))} exists and is different. Compare it with `dpsync service show`, then use "
            "--replace. Nothing was changed"
        )
    is_kept = all(_stands(path, text) for path, text in texts.items())
    for path, text in texts.items():
        _place(path, text)
    return is_kept


def _stands(path: Path, text: str) -> bool:
    return path.exists() and path.read_text(encoding="utf-8", errors="replace") == text


def _place(path: Path, text: str) -> None:
    """Write a unit, unless it stands there in the same bytes."""
    from dpsync.cli.opening import written

    if _stands(path, text):
        return
    written(path, text.encode())
    path.chmod(0o644)  # a unit holds no secret, and `systemctl status` of any user reads it


def _beside(unit: "UnitFile") -> dict[str, str]:
    """The units of back-ups by name, where the settings say where these lie."""
    from dpsync.cli.opening import load_settings
    from dpsync.cli.systemd_unit import backup_units

    section = load_settings(unit.settings, secrets=False).backup
    return backup_units(unit, (unit.settings.parent / section.directory).absolute()) if section else {}


def _wanted(beside: "Iterable[str]") -> list[str]:
    return [NAME, *(name for name in beside if name.endswith(".timer"))]


def _unit(talk: Talk, user: str | None) -> "UnitFile":
    from dpsync.cli.opening import load_settings
    from dpsync.cli.systemd_unit import UnitFile, folders_of, is_postgresql

    config = talk.config.absolute()
    settings = load_settings(config, secrets=False)
    folders = folders_of(settings, config)
    return UnitFile(
        user=_user(settings.keys.directory, user, folders),
        command=_command(),
        settings=config,
        writes=folders,
        postgresql=is_postgresql(settings),
    )


def _user(keys: Path, wanted: str | None, folders: tuple[Path, ...]) -> str:
    """Who runs it. Raises `UsageError` for root, and for a user who could not read the keys."""
    import pwd

    try:
        owner = pwd.getpwuid(keys.stat().st_uid).pw_name
    except FileNotFoundError:
        raise UsageError(f"there are no keys in {keys} yet: run `dpsync init` first") from None
    except KeyError:
        owner = str(keys.stat().st_uid)
    user = wanted or owner
    if wanted:
        _demand_user(wanted)
    if user == "root":
        places = " ".join(str(folder) for folder in folders)
        raise UsageError(
            f"the keys in {keys} belong to root, and the service must not run as root. Make a user and give it the "
            f"files: `useradd --system --shell /usr/sbin/nologin dpsync`, `chown -R dpsync: {places}`; the settings "
            "and secrets must be readable by it too"
        )
    if user != owner:
        raise UsageError(f"the keys in {keys} belong to {owner}: {user} could not read them (chown -R {user}: {keys})")
    return user


def _demand_user(name: str) -> None:
    """Raises `UsageError` for a user that this machine does not have."""
    import pwd

    try:
        pwd.getpwnam(name)
    except KeyError:
        raise UsageError(f"--user: this machine has no user {name}") from None


def _command() -> str:
    """This program, by its full path: a unit has no search path."""
    program = Path(sys.argv[0]).absolute()
    return str(program) if program.name == "dpsync" and os.access(program, os.X_OK) else f"{sys.executable} -m dpsync"


def _started(talk: Talk, wanted: "Sequence[str]") -> str:
    """Have systemd read the units, and start those that are wanted. Returns what a person must mend first, or ""."""
    import shutil
    import subprocess

    program = shutil.which("systemctl")
    if program is None:
        talk.warn("There is no systemctl on this machine, so nothing is started.")
        return "install systemd"
    for arguments in (["daemon-reload"], *([["enable", "--now", *wanted]] if wanted else [])):
        ended = subprocess.run([program, *arguments], capture_output=True, check=False)  # noqa: S603 - because each part is ours
        if ended.returncode:
            told = " ".join(["systemctl", *arguments])
            talk.warn(f"`{told}` failed ({ended.returncode}). See `journalctl -u {NAME} -n 50`.")
            return f"`{told}` must work first"
    return ""
