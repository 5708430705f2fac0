"""A TCP door before a PostgreSQL server on a socket of its own: closed, open, or with somebody else behind it."""

import select
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.certificates import certificate_for

Serve = Callable[[socket.socket], None]
_SSL_REQUEST = struct.pack("!ii", 8, 80877103)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def door(port: int, serve: Serve) -> Iterator[None]:
    """Answer on `port`, each connection in a thread of its own."""
    listener = socket.create_server(("127.0.0.1", port))

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=one, args=(connection,), daemon=True).start()

    def one(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            serve(connection)

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(60)


def to_server(folder: str) -> Serve:
    """The real server, whose Unix socket lies in `folder`."""

    def serve(client: socket.socket) -> None:
        with socket.socket(socket.AF_UNIX) as server:
            server.connect(str(Path(folder) / ".s.PGSQL.5432"))
            while True:
                readable, _, _ = select.select([client, server], [], [])
                for one in readable:
                    data = one.recv(65536)
                    if not data:
                        return
                    (server if one is client else client).sendall(data)

    return serve


def refusing(state: str, sentence: str) -> Serve:
    """A server that says no to whoever comes, as PostgreSQL does before it has looked at anything."""

    def serve(client: socket.socket) -> None:
        while client.recv(8, socket.MSG_PEEK) == _SSL_REQUEST:
            client.recv(8)
            client.sendall(b"N")
        (length,) = struct.unpack("!i", client.recv(4))
        client.recv(length - 4)
        fields = {"S": "FATAL", "V": "FATAL", "C": state, "M": sentence}
        body = b"".join(key.encode() + value.encode() + b"\0" for key, value in fields.items()) + b"\0"
        client.sendall(b"E" + struct.pack("!i", len(body) + 4) + body)

    return serve


def with_tls(folder: Path, name: str = "localhost") -> Serve:
    """A server that speaks TLS with a certificate that it signed itself."""
    context = certificate_for(folder, name).server

    def serve(client: socket.socket) -> None:
        assert client.recv(8) == _SSL_REQUEST
        client.sendall(b"S")
        with context.wrap_socket(client, server_side=True) as secured:
            secured.recv(1)

    return serve
