"""Everything in one event loop: the vendors' APIs, the control plane and the mailbox, on loopback."""

import asyncio
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from dpsync.sandbox.audience import digest
from dpsync.sandbox.control import PREFIX as CONTROL
from dpsync.sandbox.control import ControlPlane
from dpsync.sandbox.mailbox import Mailbox
from dpsync.sandbox.mailchimp import PREFIX, Mailchimp
from dpsync.sandbox.raw_socket import OpenConnection
from dpsync.sandbox.scenario import audience_of
from dpsync.sandbox.smtp_host import MailHost

HOST = "127.0.0.1"
KEY = "sandbox-key-us1"
AUDIENCES = ("Newsletter", "Events")


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the sandbox answers."""

    mailchimp_url: str
    control_url: str
    smtp_host: str
    smtp_port: int
    api_keys: tuple[str, ...]


def _listener(host: str, port: int) -> socket.socket:
    # asyncio switches Nagle's algorithm off only where the socket names TCP; without that a small answer, which
    # uvicorn writes in two parts, waits 40 ms for the caller's delayed acknowledgement.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    listener.listen(512)
    return listener


class _Web(uvicorn.Server):
    """uvicorn, which says when it answers and leaves the signals to the sandbox.

    By itself it would take them over and raise them again after its end.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.answering = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Opens for calls."""
        await super().startup(sockets)
        self.answering.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves the signals alone."""
        yield


class Sandbox:
    """The vendors and the mailbox, living in one event loop. All methods belong to that loop's thread."""

    def __init__(self, api_keys: Sequence[str] | Mapping[str, str] = (KEY,), *, now: Callable[[], datetime]) -> None:
        """`api_keys`: keys, each an account of its own; or account names by key. Each account has two audiences."""
        self.vendor = Mailchimp(now)
        self.mailbox = Mailbox(now, self.vendor.pause)
        self.keys = tuple(api_keys)
        names = api_keys if isinstance(api_keys, Mapping) else {key: key for key in api_keys}
        for key, name in names.items():
            account = self.vendor.open_account(name, (key,))
            for title in AUDIENCES:
                audience_of(account, digest(f"{name}/{title}")[:10], title, now())
        self._control: ASGIApp = ControlPlane(self.vendor, self.mailbox).application()
        self._web: _Web | None = None
        self._serving: asyncio.Task[None] | None = None
        self._smtp: asyncio.Server | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Vendor calls go to the vendor, everything else to the control plane."""
        path = str(scope["path"])
        if path == PREFIX or path.startswith(PREFIX + "/"):
            await self.vendor(scope, receive, send)
        else:
            await self._control(scope, receive, send)

    async def start(self, host: str = HOST, http_port: int = 0, smtp_port: int = 0) -> Addresses:
        """Opens both ports (0: any free one) and returns once they answer.

        Raises:
            OSError: a port is taken.
        """
        listener = _listener(host, http_port)
        config = uvicorn.Config(
            self,
            http=OpenConnection,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="error",
            access_log=False,
            timeout_graceful_shutdown=3,
        )
        self._web = _Web(config)
        self._serving = asyncio.create_task(self._web.serve(sockets=[listener]))
        try:
            self._smtp = await asyncio.get_running_loop().create_server(
                lambda: MailHost(self.mailbox, "sandbox.example.org"), host, smtp_port
            )
        except OSError:
            await self.stop()
            raise
        await self._web.answering.wait()
        url = f"http://{host}:{listener.getsockname()[1]}"
        port = self._smtp.sockets[0].getsockname()[1]
        return Addresses(url + PREFIX, url + CONTROL, host, port, self.keys)

    async def stop(self) -> None:
        """Ends every wait, every connection and both servers."""
        self.vendor.stop()
        if self._smtp is not None:
            self._smtp.close()
            for connection in list(self.mailbox.connections):
                connection.close()
            await self._smtp.wait_closed()
        if self._web is not None and self._serving is not None:
            self._web.should_exit = True
            await self._serving
        await self.mailbox.settled()
        await self.vendor.delivered()
