"""Ordinary trouble: what the operating system refused. It is the machine's, and never called a fault of dpsync."""

import errno
import socket
import ssl
import sys

from dpsync.durable import FULL
from dpsync.errors import DpsyncError, Exit

_TOO_LITTLE = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.ENOLCK}
_TAKEN = {errno.EADDRINUSE, errno.EADDRNOTAVAIL}


class Ordinary(DpsyncError):
    """Read by whoever ran the command: what the operating system refused, and where."""

    code = "DP-105"

    def __init__(self, message: str, code: str, end: Exit) -> None:
        super().__init__(message, code=code)
        self.exit = end


def ordinary(error: BaseException) -> DpsyncError | None:
    """The trouble in our words; None where it is none of the machine's."""
    exceptions = sys.modules.get("sqlalchemy.exc")  # a command that never came to the database has not loaded it
    if exceptions is not None and isinstance(error, exceptions.DBAPIError):
        from dpsync.store.trouble import trouble

        return trouble(error)
    web = sys.modules.get("requests.exceptions")
    if web is not None and isinstance(error, web.RequestException) and not isinstance(error, web.Timeout):
        return Ordinary("a host cannot be reached, or does not answer correctly", "DP-211", Exit.UNREACHABLE)
    if isinstance(error, (TimeoutError, MemoryError)) or (web is not None and isinstance(error, web.Timeout)):
        return Ordinary("the machine had too little time or memory. Try again later", "DP-107", Exit.LATER)
    return _refused(error) if isinstance(error, OSError) else None


def _refused(error: OSError) -> DpsyncError | None:
    what = error.strerror or type(error).__name__
    if error.errno in FULL:
        return Ordinary("the disk is full: the result is not complete", "DP-105", Exit.LATER)
    if error.errno in _TOO_LITTLE:
        return Ordinary(f"this machine does not have enough resources ({what}). Try again later", "DP-107", Exit.LATER)
    if error.errno in _TAKEN:
        return Ordinary(
            f"an address to listen on is in use, or is not an address of this machine: {what}", "DP-104", Exit.LATER
        )
    if isinstance(error, (ConnectionError, socket.gaierror, ssl.SSLError)):
        return Ordinary(f"a host cannot be reached ({what})", "DP-211", Exit.UNREACHABLE)
    if error.errno is None:
        return None
    where = error.filename if isinstance(error.filename, str) else "a file or folder"
    return Ordinary(f"{where} cannot be used: {what}", "DP-105", Exit.CONFIGURATION)
