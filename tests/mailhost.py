"""Mail hosts on loopback for tests: one that speaks SMTP properly and records, one that follows a script."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


class TestClock:
    """A wall clock that stands still beside seconds that run, because the sockets under test are real."""

    __test__ = False

    def __init__(self, now: datetime = NOON) -> None:
        self.wall = now

    def now(self) -> datetime:
        return self.wall

    def monotonic(self) -> float:
        import time

        return time.monotonic()


@dataclass(frozen=True, slots=True)
class Taken:
    """One message as the host took it."""

    sender: str
    to: tuple[str, ...]
    raw: bytes
    mail_options: str = ""
    rcpt_options: str = ""
    tls: bool = False


@dataclass(slots=True)
class MailHost:
    """What the host answers, and what it took. `replies`: a reply in place of 250, by MAIL, RCPT or DATA."""

    replies: dict[str, str] = field(default_factory=dict)
    dsn: bool = False
    lose_final_reply: bool = False
    queue_id: str = "4ZbX1kQ2"
    taken: list[Taken] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    senders: list[str] = field(default_factory=list)
    port: int = 0


class _Protocol(SMTP):
    """aiosmtpd refuses parameters it does not know; a host that offers DSN must take them."""

    host: MailHost
    options: dict[str, str]

    async def smtp_MAIL(self, arg: str | None) -> None:  # noqa: N802 - because aiosmtpd looks for this name
        self.host.commands.append("MAIL")
        await super().smtp_MAIL(self._without_options("MAIL", arg))

    async def smtp_RCPT(self, arg: str | None) -> None:  # noqa: N802 - because aiosmtpd looks for this name
        self.host.commands.append("RCPT")
        await super().smtp_RCPT(self._without_options("RCPT", arg))

    def _without_options(self, verb: str, arg: str | None) -> str | None:
        if arg is None or not self.host.dsn:
            return arg
        self.options = {**getattr(self, "options", {}), verb: arg.partition("> ")[2]}
        return arg.partition("> ")[0].removesuffix(">") + ">"


class _Handler:
    def __init__(self, host: MailHost) -> None:
        self.host = host

    async def handle_EHLO(  # noqa: N802 - because aiosmtpd looks for this name
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        if self.host.dsn:
            responses.insert(1, "250-DSN")
        return responses

    async def handle_MAIL(  # noqa: N802 - because aiosmtpd looks for this name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        envelope.mail_from = address
        self.host.senders.append(address)
        return self.host.replies.get("MAIL", "250 2.1.0 Ok")

    async def handle_RCPT(  # noqa: N802 - because aiosmtpd looks for this name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        reply = self.host.replies.get("RCPT", "250 2.1.5 Ok")
        if reply.startswith("2"):
            envelope.rcpt_tos.append(address)
        return reply

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - because aiosmtpd looks for this name
        reply = self.host.replies.get("DATA", f"250 2.0.0 Ok: queued as {self.host.queue_id}")
        if reply.startswith("2"):
            options: dict[str, str] = getattr(server, "options", {})
            raw = envelope.original_content
            self.host.taken.append(
                Taken(
                    sender=envelope.mail_from or "",
                    to=tuple(envelope.rcpt_tos),
                    raw=raw if isinstance(raw, bytes) else b"",
                    mail_options=options.get("MAIL", ""),
                    rcpt_options=options.get("RCPT", ""),
                    tls=session.ssl is not None,
                )
            )
        if self.host.lose_final_reply:
            assert server.transport is not None
            server.transport.close()
        return reply


class _Controller(Controller):
    def _trigger_server(self) -> None:
        assert self.server is not None
        sockets: Any = self.server
        self.port = sockets.sockets[0].getsockname()[1]
        super()._trigger_server()  # type: ignore[no-untyped-call]  # because aiosmtpd left this one untyped


@contextlib.contextmanager
def mail_host(host: MailHost | None = None, **smtp: Any) -> Iterator[MailHost]:
    """A recording SMTP server; `smtp` goes to aiosmtpd (`tls_context`, `authenticator`, ...)."""
    host = host or MailHost()
    # aiosmtpd fills its methods from the class, so each host has a class of its own.
    protocol = type("Protocol", (_Protocol,), {"host": host})
    handler = _Handler(host)

    class Placed(_Controller):
        def factory(self) -> SMTP:
            made: SMTP = protocol(handler, hostname="mail.example.org", **smtp)
            return made

    controller = Placed(handler, hostname="127.0.0.1", port=0)
    controller.start()
    host.port = controller.port
    try:
        yield host
    finally:
        controller.stop()


def only_password(password: str) -> Any:
    """An aiosmtpd authenticator that takes one password."""

    def check(server: SMTP, session: Session, envelope: Envelope, mechanism: str, login: Any) -> AuthResult:
        assert isinstance(login, LoginPassword)
        return AuthResult(success=login.password == password.encode(), handled=False)

    return check


@contextlib.contextmanager
def scripted(replies: Sequence[bytes], *, drip: bytes = b"", wrap: ssl.SSLContext | None = None) -> Iterator[int]:
    """A server that sends the next reply for each line it reads, then drips or hangs up. Gives the port."""
    over = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(60)

    def serve() -> None:
        with contextlib.suppress(OSError):
            plain, _ = listener.accept()
            with wrap.wrap_socket(plain, server_side=True) if wrap else plain as line:
                line.settimeout(60)
                _follow(line, replies)
                while drip and not over.wait(0.02):
                    line.sendall(drip)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        over.set()
        listener.close()
        thread.join()


def _follow(line: socket.socket, replies: Sequence[bytes]) -> None:
    with line.makefile("rb") as reader:
        for number, reply in enumerate(replies):
            if number and not reader.readline():
                return
            if number and replies[number - 1].startswith(b"354"):
                while reader.readline().rstrip(b"\r\n") not in {b".", b""}:
                    pass
            line.sendall(reply)
        if replies and replies[-1].startswith(b"354"):
            while reader.readline().rstrip(b"\r\n") != b".":
                pass
