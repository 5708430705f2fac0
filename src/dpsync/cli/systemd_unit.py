"""The systemd unit that runs `dpsync serve`: which user, which program, which folders. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from dpsync.settings import Settings

HOMES = (Path("/home"), Path("/root"), Path("/run/user"))
"""What `ProtectHome=true` would hide from the service."""


@dataclass(frozen=True, slots=True)
class UnitFile:
    """Who runs which command on which settings, and the folders it writes to."""

    user: str
    command: str
    settings: Path
    writes: tuple[Path, ...]
    postgresql: bool

    @property
    def text(self) -> str:
        """The unit file."""
        at_home = any(is_below(path, HOMES) for path in (Path(self.command.split()[0]), self.settings, *self.writes))
        return _UNIT.format(
            user=self.user,
            command=_quoted(self.command),
            settings=_quoted(str(self.settings)),
            folder=_escaped(str(self.settings.parent)),
            writes=" ".join(_quoted(str(path)) for path in self.writes),
            hardened=_hardened(at_home=at_home),
            after=" postgresql.service" if self.postgresql else "",
        )


SAMPLE = Path("/var/lib/dpsync")
"""The folder of the sample in config/systemd: that of docs/operating.md."""


def sample_units() -> dict[str, str]:
    """What `dpsync service install` writes where docs/operating.md was followed, by file name."""
    folders = tuple(SAMPLE / name for name in ("anchors", "keys", "receipts", "var"))
    unit = UnitFile("dpsync", "/usr/local/bin/dpsync", SAMPLE / "dpsync.toml", folders, postgresql=False)
    return {"dpsync.service": unit.text, **backup_units(unit, Path("/srv/backups/dpsync"))}


BACKUP = "dpsync-backup"
"""What the service and the timer are called that take a back-up each night, and try it."""


def backup_units(unit: UnitFile, directory: Path) -> dict[str, str]:
    """The text of service and timer that take a back-up into `directory` and try it, by file name."""
    given = f"{_quoted(unit.command)} --config {_quoted(str(unit.settings))}"
    homes = (Path(unit.command.split()[0]), unit.settings, directory, *unit.writes)
    service = _BACKUP.format(
        user=unit.user,
        folder=_escaped(str(unit.settings.parent)),
        given=given,
        directory=_quoted(str(directory)),
        writes=" ".join(_quoted(str(path)) for path in (*unit.writes, directory)),
        hardened=_hardened(at_home=any(is_below(path, HOMES) for path in homes)),
    )
    return {f"{BACKUP}.service": service, f"{BACKUP}.timer": _TIMER}


def _hardened(*, at_home: bool) -> str:
    return _HARDENED.format(home="read-only" if at_home else "true")


def folders_of(settings: Settings, config: Path) -> tuple[Path, ...]:
    """The folders that the service writes to, none of them inside another, each with its full path."""
    store = str(getattr(settings.store.url, "reference", "")).removeprefix("sqlite:///")
    wanted = [settings.keys.directory, settings.ledger.anchor, settings.ledger.receipts]
    if not is_postgresql(settings):
        wanted.append(Path(store).parent)
    if settings.mail is not None and settings.mail.incoming is not None:
        wanted.append(settings.mail.incoming)
    found = sorted({(config.parent / path).absolute() for path in wanted})
    return tuple(path for path in found if not is_below(path.parent, found))


def is_postgresql(settings: Settings) -> bool:
    """Whether the database is a server that may run on this machine."""
    return not str(getattr(settings.store.url, "reference", "")).startswith("sqlite:///")


def is_below(path: Path, folders: Iterable[Path]) -> bool:
    """Whether a path is one of the folders or inside one."""
    return any(path == folder or folder in path.parents for folder in folders)


def _quoted(text: str) -> str:
    # systemd splits at blanks, and expands % and, in commands, $.
    escaped = _escaped(text).replace("$", "$$")
    return f'"{escaped}"' if " " in text and not text.endswith(" -m dpsync") else escaped


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")


_HARDENED = """\
ProtectSystem=strict
ProtectHome={home}
ProtectClock=true
ProtectHostname=true
ProtectKernelTunables=true
ProtectKernelModules=true
ProtectKernelLogs=true
ProtectControlGroups=true
PrivateTmp=true
PrivateDevices=true
PrivateUsers=true
RemoveIPC=true
NoNewPrivileges=true
CapabilityBoundingSet=
AmbientCapabilities=
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=true
RestrictRealtime=true
RestrictSUIDSGID=true
LockPersonality=true
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM
"""
"""All that the service does not need. It does need other processes' names in /proc, to say who holds the database, and
memory that is written and run, for PDF (libffi). `systemd-analyze security` judges it.
"""

_UNIT = """\
# Written by `dpsync service install`. To change it, use `systemctl edit dpsync`: that survives the next install.
[Unit]
Description=Tells processors of data-protection requests
Wants=network-online.target
After=network-online.target{after}
# Start it again, however often it has failed.
StartLimitIntervalSec=0

[Service]
# It reports when it is ready, what it waits for (systemctl status), and every few seconds that all parts work.
Type=notify
NotifyAccess=main
WatchdogSec=2min
TimeoutStartSec=10min
User={user}
UMask=0077
WorkingDirectory={folder}
ExecStart={command} --config {settings} serve
Restart=on-failure
RestartSec=10
# Only a person can help: 78 (settings, keys or database are wrong), 2 (the ledger could not be verified), 64 (usage).
# It passes: 75 (the database is away, the port is taken, another one still runs), 1 (a part stopped or hung, DP-106).
RestartPreventExitStatus=2 64 78
# It accepts nothing more, gives calls 20 s to finish, ends the others (they are read back first), and gives work back.
TimeoutStopSec=60
# Secrets that the settings take from the environment go into this file, mode 0600. It need not exist.
EnvironmentFile=-/etc/dpsync/environment

# It needs only the network and these folders.
ReadWritePaths={writes}
{hardened}
[Install]
WantedBy=multi-user.target
"""

_BACKUP = """\
# Written by `dpsync service install`. To change it, use `systemctl edit dpsync-backup`.
[Unit]
Description=Backs up the database of dpsync, and tries the back-up

[Service]
Type=oneshot
User={user}
UMask=0077
WorkingDirectory={folder}
EnvironmentFile=-/etc/dpsync/environment
ExecStart={given} backup {directory}
ExecStart={given} drill {directory}
ReadWritePaths={writes}
{hardened}"""

_TIMER = """\
# Written by `dpsync service install`.
[Unit]
Description=Each night: a back-up of dpsync

[Timer]
OnCalendar=*-*-* 02:30:00
RandomizedDelaySec=15min
Persistent=true

[Install]
WantedBy=timers.target
"""

if __name__ == "__main__":
    for sample_name, sample_text in sample_units().items():
        Path("config/systemd", sample_name).write_text(sample_text, encoding="utf-8")
