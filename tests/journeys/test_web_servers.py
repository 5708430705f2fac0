"""The samples for the web server in front, by real ones: a secret in a path is in no log, whatever goes wrong."""

import os
import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote

import pytest

from dpsync.intake import web
from dpsync.intake.deliveries import LONGEST_DELIVERY
from tests.certificates import certificate_for
from tests.standins.door import free_port
from tests.waiting import until

CONFIG = Path(__file__).parents[2] / "config"
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin"
TOKEN = "s3cr3t-t0k3n-of-a-link"
DOORS = ("answers", "contacts", "decisions", "pages", "in/newsletter")


@dataclass
class Front:
    """A web server in front of a stand-in, and the folder with everything that it writes."""

    port: int
    logs: Path
    behind: ThreadingHTTPServer
    reached: list[str]

    def said(self, raw: bytes) -> bytes:
        """What it answers to these bytes; nothing where it just ends the connection."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        with suppress(OSError), context.wrap_socket(plain, server_hostname="localhost") as door:
            door.sendall(raw)
            return door.recv(65536)
        return b""

    def asked(self, path: str, *, method: str = "GET", length: int = 0, version: str = "1.1", more: str = "") -> bytes:
        head = f"{method} {path} HTTP/{version}\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n"
        return self.said(f"{head}Referer: https://localhost/pages/{TOKEN}\r\n{more}\r\n".encode() + b"x" * length)

    def written(self) -> str:
        return "\n".join(path.read_text(encoding="utf-8") for path in sorted(self.logs.iterdir()))


class Behind(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.reached.append(self.path)  # type: ignore[attr-defined]  # because this is what it is for
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - because the library names it so
        """Nothing."""


def nginx(folder: Path, port: int, behind: int) -> list[str]:
    text = (CONFIG / "nginx" / "dpsync.conf").read_text(encoding="utf-8")
    for line, ours in {
        "listen 443 ssl;": f"listen 127.0.0.1:{port} ssl;",
        "listen [::]:443 ssl;": "",
        "/etc/letsencrypt/live/privacy.example.org/fullchain.pem": f"{folder}/localhost.pem",
        "/etc/letsencrypt/live/privacy.example.org/privkey.pem": f"{folder}/localhost.key",
        "/var/log/nginx/": f"{folder}/logs/",
        "127.0.0.1:8460": f"127.0.0.1:{behind}",
    }.items():
        assert line in text
        text = text.replace(line, ours)
    (folder / "dpsync.conf").write_text(text, encoding="utf-8")
    temporary = "".join(
        f"{one}_temp_path {folder}/{one};" for one in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; {'user root;' if os.getuid() == 0 else ''} pid {folder}/pid;"
        f"error_log {folder}/logs/error.log info;"
        f"events {{}} http {{ {temporary} access_log {folder}/logs/access.log; include {folder}/dpsync.conf; }}",
        encoding="utf-8",
    )
    return ["nginx", "-e", f"{folder}/logs/begin.log", "-p", str(folder), "-c", str(folder / "nginx.conf")]


def caddy(folder: Path, port: int, behind: int) -> list[str]:
    text = (CONFIG / "caddy" / "Caddyfile").read_text(encoding="utf-8")
    for line, ours in {
        "{\n\tlog default": "{\n\tadmin off\n\tauto_https off\n\tlog default",
        "privacy.example.org {": f"localhost:{port} {{\n\ttls {folder}/localhost.pem {folder}/localhost.key",
        "/var/log/caddy/": f"{folder}/logs/",
        "127.0.0.1:8460": f"127.0.0.1:{behind}",
    }.items():
        assert line in text
        text = text.replace(line, ours)
    (folder / "Caddyfile").write_text(text, encoding="utf-8")
    return ["caddy", "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]


@contextmanager
def front(folder: Path, made: Callable[[Path, int, int], list[str]]) -> Iterator[Front]:
    (folder / "logs").mkdir()
    certificate_for(folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), Behind) as behind, (folder / "logs" / "stderr").open("wb") as said:
        behind.reached = []  # type: ignore[attr-defined]  # because this is what it is for
        Thread(target=behind.serve_forever, daemon=True).start()
        port = free_port()
        command = made(folder, port, behind.server_port)
        program = shutil.which(command[0], path=PATH)
        assert program
        places = {"HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
        with subprocess.Popen([program, *command[1:]], stdout=said, stderr=said, env=places) as process:
            try:
                until(lambda: _is_there(port))
                yield Front(port, folder / "logs", behind, behind.reached)  # type: ignore[attr-defined]  # because of the same
            finally:
                process.terminate()
                process.wait(30)


def _is_there(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def wrong(there: Front) -> None:
    """Everything that may go wrong with a request to a door."""
    for door in (DOORS[0], DOORS[-1]):
        path = f"/{door}/{TOKEN}"
        there.asked(path)
        there.asked(f"{path}?again={TOKEN}")
        there.asked(path, method="POST", length=LONGEST_DELIVERY + 1)
        there.asked(path, more=f"Cookie: {TOKEN}\r\n")
        there.asked(path, more="x" * 40_000 + ": 1\r\n")
        there.asked(f"/%{ord(door[0]):x}{door[1:]}/{TOKEN}")
        there.asked(f"//{door}/{TOKEN}")
        there.asked(f"{path}/../{TOKEN}%00%zz")
        there.asked(f"{path}/{'x' * 40_000}")
        there.asked(path, version="9.9")
        there.asked(path, method="BREW")
        there.said(f"GET {path} HTTP/1.1\r\n\r\n".encode())
    there.asked(f"/{TOKEN}")
    there.asked(f"/nothing/{TOKEN}")


@pytest.mark.parametrize(
    "made",
    [
        pytest.param(
            one, marks=pytest.mark.skipif(shutil.which(one.__name__, path=PATH) is None, reason="not installed")
        )
        for one in (nginx, caddy)
    ],
)
def test_no_log_has_a_secret_of_a_path_whatever_goes_wrong(
    tmp_path: Path, made: Callable[[Path, int, int], list[str]]
) -> None:
    with front(tmp_path, made) as there:
        for door in DOORS:
            assert there.asked(f"/{door}/{TOKEN}").startswith(b"HTTP/1.1 200"), door
        assert there.reached == [f"/{door}/{TOKEN}" for door in DOORS]
        assert there.asked("/requests", method="POST", length=LONGEST_DELIVERY).startswith(b"HTTP/1.1 200")
        # Caddy 2.6 finds out while it passes it on, and says 502.
        assert there.asked("/requests", method="POST", length=LONGEST_DELIVERY + 1)[9:12] in {b"413", b"502"}
        assert there.asked("/readyz").startswith(b"HTTP/1.1 404"), "that is for this machine alone"
        wrong(there)
        there.behind.shutdown()
        there.behind.server_close()
        assert there.asked(f"/answers/{TOKEN}").startswith(b"HTTP/1.1 502")
        wrong(there)
    written = there.written()
    assert TOKEN not in unquote(written)
    assert "/answers/" in written, "which door it was is still said"
    assert "/requests" in written
    left = [path for path in tmp_path.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()]
    assert left == []


def test_the_samples_pass_on_every_door_of_the_receiver_and_no_other() -> None:
    source = Path(web.__file__).read_text(encoding="utf-8")
    rooms = set(re.findall(r'Route\("/([a-z]+)', source)) - {"healthz", "readyz"}
    for sample in (CONFIG / "nginx" / "dpsync.conf", CONFIG / "caddy" / "Caddyfile"):
        text = sample.read_text(encoding="utf-8")
        lists = re.findall(r"\(\?:?(?:<\w+>)?((?:[a-z]+\|)+[a-z]+)\)", text)
        assert lists
        for each in lists:
            assert set(each.split("|")) | {"requests"} == rooms, sample.name
