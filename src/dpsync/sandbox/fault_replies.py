"""How each fault looks on the wire: wrong answers, damaged bodies, cut connections."""

import asyncio
import gzip
import zlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from starlette.types import Receive, Scope, Send

from dpsync.sandbox import raw_socket
from dpsync.sandbox.faults import Fault

HTML = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body><h1>Welcome</h1></body></html>"
REASONS = {200: "OK", 204: "No Content", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed"}
Headers = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Wire:
    """One call's way back. `pause(seconds)` ends early where the waits are released."""

    scope: Scope
    receive: Receive
    send: Send
    pause: Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes on the wire."""

    status: int
    headers: Headers
    body: bytes

    def changed(self, **headers: str) -> "Reply":
        """The same with other headers; an underscore stands for a dash."""
        new = {name.replace("_", "-"): value for name, value in headers.items()}
        kept = [(name, value) for name, value in self.headers if name not in new]
        return Reply(self.status, [*kept, *new.items()], self.body)

    def with_body(self, body: bytes, status: int | None = None) -> "Reply":
        """The same with another body, and another status where given."""
        return Reply(status or self.status, self.headers, body)


Trouble = Callable[[int], Reply]


async def send_reply(wire: Wire, reply: Reply) -> None:
    """Sends the reply as HTTP means it."""
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in reply.headers]
    if reply.status != 204:
        headers.append((b"content-length", str(len(reply.body)).encode()))
    await wire.send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await wire.send({"type": "http.response.body", "body": reply.body})


async def perform(fault: Fault, wire: Wire, right: Reply, trouble: Trouble) -> int:
    """Does the fault on the wire. `right` is what the vendor would have said, `trouble` how it words an error status.

    Gives the status that was sent; 0 stands for a connection that was cut.
    """
    match fault.kind:
        case "reset_before" | "reset_after_effect":
            await raw_socket.reset(wire.scope, wire.receive)
            return 0
        case "drip_headers" | "drip_body" | "wrong_length":
            return await _raw(fault, wire, _with_content(right))
        case "hang":
            await wire.pause(fault.seconds)
            reply = right
        case "huge_body":
            await _huge(fault, wire)
            return 200
        case _:
            reply = _REPLIES[fault.kind](fault, right, trouble)
    await send_reply(wire, reply)
    return reply.status


def _status(fault: Fault, _: Reply, trouble: Trouble) -> Reply:
    usual = trouble(fault.status)
    body = usual.body if fault.body is None else fault.body.encode()
    return Reply(fault.status, _later(fault, usual.headers), body)


def _later(fault: Fault, headers: Headers) -> Headers:
    return headers if fault.retry_after is None else [*headers, ("retry-after", fault.retry_after)]


def _without_body(fault: Fault, _: Reply, __: Trouble) -> Reply:
    return Reply(fault.status, _later(fault, []), b"")


def _empty_500(_: Fault, __: Reply, trouble: Trouble) -> Reply:
    return Reply(500, [(name, value) for name, value in trouble(500).headers if name != "content-type"], b"")


def _html(status: int) -> "Maker":
    def made(_: Fault, __: Reply, ___: Trouble) -> Reply:
        return Reply(status, [("content-type", "text/html; charset=utf-8")], HTML)

    return made


def _redirect(fault: Fault, _: Reply, __: Trouble) -> Reply:
    status = fault.status if 300 <= fault.status < 400 else 307
    return Reply(status, [("location", fault.location), ("content-type", "text/html")], b"")


def _truncated(_: Fault, right: Reply, __: Trouble) -> Reply:
    whole = _with_content(right)
    return whole.with_body(whole.body[: max(1, len(whole.body) // 2)])


def _wrong_type(_: Fault, right: Reply, __: Trouble) -> Reply:
    return _with_content(right).changed(content_type="text/plain; charset=utf-8")


def _bad_charset(_: Fault, right: Reply, __: Trouble) -> Reply:
    return _with_content(right).with_body(b'{"id":"\xff\xfe\xc3("}')


def _bad_gzip(_: Fault, right: Reply, __: Trouble) -> Reply:
    whole = _with_content(right)
    return whole.with_body(gzip.compress(whole.body)[:-9] + b"\x00" * 9).changed(content_encoding="gzip")


def _bomb(fault: Fault, right: Reply, __: Trouble) -> Reply:
    return right.with_body(_packed(fault.size), 200).changed(content_encoding="gzip", content_type="application/json")


def _packed(size: int) -> bytes:
    """A gzip of a JSON string of that many bytes, made without ever holding them."""
    packer = zlib.compressobj(9, wbits=31)
    chunk = b"a" * 65536
    parts = [packer.compress(b'{"id":"'), *(packer.compress(chunk) for _ in range(-(-size // len(chunk))))]
    return b"".join([*parts, packer.compress(b'"}'), packer.flush()])


def _deep(fault: Fault, right: Reply, __: Trouble) -> Reply:
    depth = min(fault.size, 1_000_000)
    return right.with_body(b"[" * depth + b"]" * depth, 200).changed(content_type="application/json")


def _error_inside(_: Fault, right: Reply, trouble: Trouble) -> Reply:
    return right.with_body(trouble(500).body, 200).changed(content_type="application/json; charset=utf-8")


def _as_it_is(_: Fault, right: Reply, __: Trouble) -> Reply:
    return right


Maker = Callable[[Fault, Reply, Trouble], Reply]
_REPLIES: Mapping[str, Maker] = {
    "status": _status,
    "status_without_body": _without_body,
    "empty_500": _empty_500,
    "html_200": _html(200),
    "html_502": _html(502),
    "redirect": _redirect,
    "truncated_json": _truncated,
    "wrong_content_type": _wrong_type,
    "bad_charset": _bad_charset,
    "bad_gzip": _bad_gzip,
    "gzip_bomb": _bomb,
    "deep_json": _deep,
    "error_inside_200": _error_inside,
    "says_yes_does_nothing": _as_it_is,
}


def _with_content(right: Reply) -> Reply:
    """An empty 204 has nothing that could arrive damaged, so such an answer becomes a 200 with a body."""
    if right.body:
        return right
    return right.with_body(b'{"id":"0000000000","status":"done"}', 200).changed(content_type="application/json")


async def _raw(fault: Fault, wire: Wire, reply: Reply) -> int:
    """Writes the answer byte by byte, or one that ends before its declared length; then closes the connection."""
    surplus = 100 if fault.kind == "wrong_length" else 0
    fields = [*reply.headers, ("content-length", str(len(reply.body) + surplus)), ("connection", "close")]
    lines = [f"HTTP/1.1 {reply.status} {REASONS.get(reply.status, 'Unknown')}", *(f"{k}: {v}" for k, v in fields)]
    head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
    transport = raw_socket.transport_of(wire.scope)
    at_once, slowly = {
        "drip_headers": (b"", head + reply.body),
        "drip_body": (head, reply.body),
    }.get(fault.kind, (head + reply.body, b""))
    transport.write(at_once)
    for byte in slowly:
        if transport.is_closing():
            break
        transport.write(bytes((byte,)))
        await wire.pause(fault.seconds)
    await raw_socket.close(wire.scope, wire.receive)
    return reply.status


async def _huge(fault: Fault, wire: Wire) -> None:
    """Streams the body, so that the sandbox itself stays small."""
    headers = [(b"content-type", b"application/json; charset=utf-8")]
    await wire.send({"type": "http.response.start", "status": 200, "headers": headers})
    await wire.send({"type": "http.response.body", "body": b'{"id":"', "more_body": True})
    transport = raw_socket.transport_of(wire.scope)
    chunk = b"a" * 65536
    for _ in range(-(-fault.size // len(chunk))):
        if transport.is_closing():
            return
        await wire.send({"type": "http.response.body", "body": chunk, "more_body": True})
        await asyncio.sleep(0)
    await wire.send({"type": "http.response.body", "body": b'"}'})
