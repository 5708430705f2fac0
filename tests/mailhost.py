"""Mail hosts on loopback for tests: one that speaks SMTP properly and records, one that follows a script."""

import contextlib
import json
import socket
import ssl
import threading
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
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
    tokens: Mapping[str, str] = field(default_factory=dict)
    challenge: Any = None
    logins: list[str] = field(default_factory=list)
    empty_answers: int = 0


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


class _TokenProtocol(_Protocol):
    """Knows XOAUTH2, as Google's and Microsoft's pages show it; a refusal by challenge wants an empty line back."""

    line_length_limit = 12288  # RFC 4954, section 4: so much a host must read of a response

    async def auth_XOAUTH2(self, _: SMTP, args: list[str]) -> AuthResult:  # noqa: N802 - because aiosmtpd looks for this name
        response = await self._line_after(b"334 ") if len(args) == 1 else args[1].encode()
        user, bearer, *rest = b64decode(response, validate=True).decode().split("\1")
        token = bearer.removeprefix("auth=Bearer ")
        self.host.logins.append(token)
        if self.host.tokens.get(token) == user.removeprefix("user=") and rest == ["", ""]:
            return AuthResult(success=True)
        challenge = self.host.challenge
        if challenge is not None:
            raw = challenge if isinstance(challenge, bytes) else b64encode(json.dumps(challenge).encode())
            self.host.empty_answers += await self._line_after(b"334 " + raw) == b""
        return AuthResult(success=False, handled=False, message="535 5.7.3 Authentication unsuccessful")

    async def _line_after(self, reply: bytes) -> bytes:
        await self.push(reply)
        line: bytes = await self._reader.readline()
        return line.removesuffix(b"\r\n")


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
def mail_host(host: MailHost | None = None, *, speaks: type[SMTP] = _Protocol, **smtp: Any) -> Iterator[MailHost]:
    """A recording SMTP server; `smtp` goes to aiosmtpd (`tls_context`, `authenticator`, ...)."""
    host = host or MailHost()
    # aiosmtpd fills its methods from the class, so each host has a class of its own.
    protocol = type("Protocol", (speaks,), {"host": host})
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


def token_mail_host(
    tokens: Mapping[str, str], *, challenge: Any = None, **smtp: Any
) -> contextlib.AbstractContextManager[MailHost]:
    """A mail host that wants a token: `tokens` names the mailbox of each. `challenge`: what it says before its 535."""
    host = MailHost(tokens=tokens, challenge=challenge)
    secured = "tls_context" in smtp
    needs: dict[str, Any] = {"auth_required": secured, "auth_require_tls": secured}
    return mail_host(host, speaks=_TokenProtocol, auth_exclude_mechanism=["PLAIN", "LOGIN"], **needs, **smtp)


@dataclass(slots=True)
class TokenEndpoint:
    """Where tokens come from: `token-1`, `token-2` and so on. `answer`: another answer to the n-th call, None for none.

    `silent`: it takes the call and says nothing.
    """

    url: str = ""
    asked: list[str] = field(default_factory=list)
    answer: Callable[[int], tuple[int, object] | None] = lambda _: None
    silent: bool = False


@contextlib.contextmanager
def token_endpoint(lasts: int, *, tls: ssl.SSLContext | None = None) -> Iterator[TokenEndpoint]:
    """A token endpoint on loopback, as RFC 6749 (5.1) has it."""
    made, over = TokenEndpoint(), threading.Event()

    class Page(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            made.asked.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            if made.silent:
                over.wait(30)
                return
            number = len(made.asked)
            usual = {"token_type": "Bearer", "expires_in": lasts, "access_token": f"token-{number}"}
            status, body = made.answer(number) or (200, usual)
            page = body.encode() if isinstance(body, str) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/html" if isinstance(body, str) else "application/json")
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        made.url = f"http{'s' * (tls is not None)}://127.0.0.1:{server.server_port}/token"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield made
        finally:
            over.set()
            server.shutdown()
            thread.join()


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
