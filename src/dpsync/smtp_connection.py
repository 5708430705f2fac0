"""One SMTP connection that ends when its time is over, and the login by token that the library does not know."""

import base64
import json
import re
import smtplib
import socket
import ssl
from contextlib import suppress
from threading import Timer
from typing import Protocol

from dpsync.connector_services import Clock

_SCOPE = re.compile(r"https://[A-Za-z0-9./_-]{1,100}")


class Access(Protocol):
    """Where access tokens come from, in place of a password."""

    def token(self, refused: str = "") -> str:
        """One that is not past its end; another than the `refused` one, where that may help.

        Raises `NoAnswer` and `MailAccessRefused`.
        """


class TokenRefused(smtplib.SMTPAuthenticationError):
    """The host does not accept the token. `scope`: the one that it asks for, "" where it names none."""

    def __init__(self, code: int, reply: bytes, scope: str) -> None:
        super().__init__(code, reply)
        self.scope = scope

    @property
    def advice(self) -> str:
        """What to look at."""
        if self.scope:
            return f"it asks for the scope {self.scope}"
        return "is [mail] user the mailbox, may the app send from it, is authenticated SMTP switched on there?"


class Connection(smtplib.SMTP):
    """Ends after `seconds`, also where the host drips single bytes: a timer shuts the socket."""

    def __init__(
        self, host: str, port: int, *, hello: str, seconds: float, clock: Clock, tls: ssl.SSLContext | None
    ) -> None:
        self._clock = clock
        self._ends = clock.monotonic() + seconds
        self._wrap = tls
        self._cut = False
        self._timer = Timer(seconds, self._end)
        self._timer.daemon = True
        self._timer.start()
        try:
            super().__init__(host, port, local_hostname=hello, timeout=seconds)
        except BaseException:
            self._timer.cancel()
            raise

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        del timeout  # it would begin anew with each address of the host
        trouble: OSError | None = None
        for family, kind, proto, _, where in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            connection = socket.socket(family, kind, proto)
            try:
                connection.settimeout(self._left())
                connection.connect(where)
            except OSError as error:
                connection.close()
                trouble = error
                continue
            self.sock = self._wrap.wrap_socket(connection, server_hostname=host) if self._wrap else connection
            self._left()
            return self.sock
        raise trouble or OSError("the host has no address")

    def secure(self, context: ssl.SSLContext) -> None:
        """STARTTLS. The handshake is bounded by the socket's own timeout: the timer cannot reach that socket."""
        self.starttls(context=context)
        self._left()

    def log_in_by_token(self, user: str, token: str) -> None:
        """AUTH XOAUTH2. Raises `TokenRefused`, and `SMTPNotSupportedError` where the host does not offer it.

        The response goes on a line of its own, as Microsoft shows it: with a token of Microsoft's length the command
        would be longer than RFC 4954 allows. Google says what is wrong in one more challenge, which an empty line must
        answer before the 535 comes. Sources: developers.google.com/workspace/gmail/imap/xoauth2-protocol and
        learn.microsoft.com/exchange/client-developer/legacy-protocols/
        how-to-authenticate-an-imap-pop-smtp-application-by-using-oauth.
        """
        if "XOAUTH2" not in self.esmtp_features.get("auth", "").upper().split():
            raise smtplib.SMTPNotSupportedError
        response = base64.b64encode(f"user={user}\1auth=Bearer {token}\1\1".encode()).decode()
        code, text = self.docmd("AUTH", "XOAUTH2")
        if code == 334:
            code, text = self.docmd(response)
        scope = ""
        if code == 334:
            scope = _scope_in(text)
            code, text = self.docmd("")
        if code != 235:
            raise TokenRefused(code, text, scope)

    def end(self) -> None:
        """Close, whatever the other side does."""
        self._timer.cancel()
        self.close()

    def _left(self) -> float:
        left = self._ends - self._clock.monotonic()
        if self._cut or left <= 0:
            raise TimeoutError
        return left

    def _end(self) -> None:
        self._cut = True
        if self.sock is not None:
            with suppress(OSError):
                # Not SSLSocket.shutdown: it drops the TLS object while another thread reads through it.
                socket.socket.shutdown(self.sock, socket.SHUT_RDWR)


def _scope_in(challenge: bytes) -> str:
    """The scope that the host asks for, if its challenge names one: base64 of JSON, and nothing else of it is kept."""
    try:
        said = json.loads(base64.b64decode(challenge, validate=True))
    except (ValueError, RecursionError):
        return ""
    scope = said.get("scope") if isinstance(said, dict) else None
    return scope if isinstance(scope, str) and _SCOPE.fullmatch(scope) else ""
