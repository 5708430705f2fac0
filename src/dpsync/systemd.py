"""What systemd is told of a service: that it is ready, what it waits for, and that it lives (sd_notify(3)).

Own, because the two packages for it are of 2017 and need a compiler; it is one datagram to one socket.
"""

import os
import socket


def notify(*lines: str) -> None:
    """Tell `lines` (`READY=1`, `STATUS=...`, `WATCHDOG=1`); nothing happens where no systemd started us."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
            out.settimeout(1.0)
            out.sendto("\n".join(lines).encode(), "\0" + address[1:] if address[0] == "@" else address)
    except OSError:
        return  # whoever started us does not listen any more; that is no reason to stop


def watchdog_seconds() -> float | None:
    """Within which time systemd wants a sign of life (`WatchdogSec=`); None where it wants none."""
    given = os.environ.get("WATCHDOG_USEC", "")
    return int(given) / 1_000_000 if given.isdecimal() and int(given) else None
