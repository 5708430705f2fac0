"""One SMTP connection that ends when its time is over."""

import smtplib
import socket
import ssl
from contextlib import suppress
from threading import Timer

from dpsync.connector_services import Clock


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
