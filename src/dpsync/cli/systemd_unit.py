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
            home="read-only" if at_home else "true",
            after=" postgresql.service" if self.postgresql else "",
        )


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
ProtectSystem=strict
ProtectHome={home}
PrivateTmp=true
PrivateDevices=true
NoNewPrivileges=true
CapabilityBoundingSet=
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictSUIDSGID=true
ProtectKernelTunables=true
ProtectKernelModules=true
ProtectControlGroups=true
LockPersonality=true

[Install]
WantedBy=multi-user.target
"""
