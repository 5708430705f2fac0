"""Ends calls from outside: one watchdog shuts the socket of a call that is over its time, whatever it is waiting for.

A read timeout as `requests` has it counts from one byte to the next, so a peer that drips never meets it.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.poolmanager import PoolManager

Reach = Callable[[str, str], bool]
"""Whether a host may be reached at an address that its name stands for just now."""


class Timed:
    """One call in flight: when it must be over, and how far it came. `ends` is real seconds, not the kit's.

    `aborted`: the watchdog ended it. `over`: its thread has left it. `barred`: `reach` allowed no address of the host.
    """

    __slots__ = ("aborted", "barred", "ends", "link", "over", "reach", "sent")

    def __init__(self, seconds: float, reach: Reach | None = None) -> None:
        self.ends = time.monotonic() + seconds
        self.link: _Link | None = None
        self.reach = reach
        self.sent = self.aborted = self.over = self.barred = False

    @property
    def left(self) -> float:
        """Seconds left, never so few that a socket would take them for "do not wait"."""
        return max(0.001, self.ends - time.monotonic())


current = threading.local()


class Watchdog:
    """Shuts the sockets of calls that are over their time. One thread for all; it ends when nothing is in flight.

    `closed`: everything was aborted, and so is what still begins.
    """

    def __init__(self) -> None:
        self.closed = False
        self._lock = threading.Condition()
        self._calls: set[Timed] = set()
        self._wakes_at = float("inf")
        self._running = False

    @contextmanager
    def over(self, call: Timed) -> Iterator[None]:
        """Watch over a call from here to its end."""
        with self._lock:
            call.aborted = self.closed
            self._calls.add(call)
            if not self._running:
                self._running = True
                threading.Thread(target=self._run, name="dpsync-http-watchdog", daemon=True).start()
            elif call.ends < self._wakes_at:
                self._lock.notify()
        try:
            yield
        finally:
            with self._lock:
                self._calls.discard(call)
            call.over = True
            if call.link is not None:
                call.link.finished(call)

    def stop(self) -> None:
        """Wake the thread, so that it sees that nothing is in flight and ends."""
        with self._lock:
            self._lock.notify()

    def abort(self) -> None:
        """End every call that is in flight, and whatever still begins."""
        with self._lock:
            self.closed = True
            self._cut(list(self._calls))
            self._lock.notify()

    def _cut(self, calls: list[Timed]) -> None:
        """Needs the lock."""
        for call in calls:
            self._calls.discard(call)
            call.aborted = True
            if call.link is not None:
                call.link.shut(call)

    def _run(self) -> None:
        with self._lock:
            while self._calls:
                self._wakes_at = min(call.ends for call in self._calls)
                self._lock.wait(max(0.0, self._wakes_at - time.monotonic()))
                now = time.monotonic()
                self._cut([call for call in self._calls if call.ends <= now])
            self._running = False


class _Link(HTTPConnection):
    """A connection that the watchdog can end from outside, whatever the thread using it is doing.

    It keeps a duplicate of the descriptor: during the TLS handshake the original belongs to neither socket object.
    """

    twin: socket.socket | None = None
    owner: Timed | None = None

    def _new_conn(self) -> socket.socket:
        call = self._adopted()
        sock = _dial(self.host, self.port, self.socket_options, call)
        with _twins:
            self.twin = sock.dup()
        if call.aborted:
            self.shut(call)
        return sock

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        call = self._adopted()
        if call.aborted or time.monotonic() >= call.ends:
            # A paused machine wakes here: whoever took over has waited for this call's end, and begun its own.
            call.aborted = True
            raise TimeoutError
        call.sent = True
        super().send(data)

    def close(self) -> None:
        super().close()
        # http.client closes the connection as soon as it has read "Connection: close", and the body is still to come
        if self.owner is None or self.owner.over:
            self._drop_twin()

    def finished(self, call: Timed) -> None:
        """The call is over: what it kept of a connection that was closed meanwhile is dropped."""
        if self.owner is call and self.sock is None:
            self._drop_twin()

    def shut(self, call: Timed) -> None:
        with _twins:
            # a pooled connection may already serve the next call
            if self.twin is not None and self.owner is call:
                with suppress(OSError):  # the peer was first
                    self.twin.shutdown(socket.SHUT_RDWR)

    def _drop_twin(self) -> None:
        with _twins:
            if self.twin is not None:
                self.twin.close()
                self.twin = None

    def _adopted(self) -> Timed:
        call: Timed = current.call
        self.owner, call.link = call, self
        return call


_twins = threading.Lock()


def _dial(host: str, port: int, options: Any, call: Timed) -> socket.socket:
    """Connect within the call's time, all addresses together; urllib3 would give each address the full time.

    Each address is judged here, where it is connected to: a name may stand for another one a moment later.
    """
    problem: OSError = OSError("no address")
    for family, kind, protocol, _, address in socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM):
        call.barred = call.reach is not None and not call.reach(host, str(address[0]))
        if call.barred:
            continue
        sock = socket.socket(family, kind, protocol)
        try:
            for option in options or ():
                sock.setsockopt(*option)
            sock.settimeout(call.left)
            sock.connect(address)
        except OSError as error:
            sock.close()
            problem = error
        else:
            return sock
        if call.aborted:
            break
    raise problem


class _Tls(_Link, HTTPSConnection):
    pass


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _Link


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _Tls


class Adapter(HTTPAdapter):
    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **more: Any) -> None:
        self.poolmanager = PoolManager(num_pools=connections, maxsize=maxsize, block=block, **more)
        self.poolmanager.pool_classes_by_scheme = {"http": _PlainPool, "https": _TlsPool}

    def close(self) -> None:
        # urllib3 leaves this to the garbage collector, which the traceback of a failed call may keep waiting
        for key in list(self.poolmanager.pools.keys()):
            self.poolmanager.pools[key].close()
        super().close()
