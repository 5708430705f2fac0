"""A time-stamping authority of our own: openssl's, behind HTTP on loopback, with its faults."""

import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

POLICY = "1.3.6.1.4.1.57264.99.1"
SETTINGS = """\
[req]
distinguished_name = name
prompt = no
[name]
CN = {name}
[root]
basicConstraints = critical,CA:true
[signer]
extendedKeyUsage = critical,timeStamping
[tsa]
default_tsa = t1
[t1]
serial = {folder}/serial
signer_cert = {folder}/signer.pem
signer_key = {folder}/signer.key
signer_digest = sha256
default_policy = {policy}
digests = sha256
accuracy = secs:1,millisecs:500
ess_cert_id_alg = sha256
{more}
"""

Answer = Callable[[bytes], tuple[int, str, bytes]]
GIVEN = "application/timestamp-reply"


class Authority:
    """Its certificates in a folder; `says` makes its answer to the bytes of a question, by default an honest one."""

    def __init__(self, folder: Path, name: str = "root", *, more: str = "") -> None:
        folder.mkdir()
        self.folder, self.root = folder, folder / "root.pem"
        self.url = ""
        self.says: Answer = lambda query: (200, GIVEN, self.reply(query))
        self._config = folder / "ts.cnf"
        self._config.write_text(SETTINGS.format(folder=folder, name=name, policy=POLICY, more=more))
        (folder / "serial").write_text("01\n")
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-config", str(self._config)]
        self._run("req", "-x509", *key, "-keyout", "root.key", "-out", "root.pem", "-days", "30", "-extensions", "root")
        self._run("req", "-new", *key, "-keyout", "signer.key", "-out", "signer.csr")
        signed = ["-CA", "root.pem", "-CAkey", "root.key", "-CAcreateserial", "-extfile", str(self._config)]
        self._run(
            "x509", "-req", "-in", "signer.csr", *signed, "-extensions", "signer", "-days", "30", "-out", "signer.pem"
        )

    def reply(self, query: bytes) -> bytes:
        (self.folder / "q.tsq").write_bytes(query)
        self._run("ts", "-reply", "-config", str(self._config), "-queryfile", "q.tsq", "-out", "r.tsr")
        return (self.folder / "r.tsr").read_bytes()

    def holds(self, reply: Path, body: bytes) -> bool:
        """Whether openssl, too, finds that the reply stamps this."""
        (self.folder / "body").write_bytes(body)
        said = self._run("ts", "-verify", "-in", str(reply), "-data", "body", "-CAfile", "root.pem", demanded=False)
        return "Verification: OK" in said

    def _run(self, *arguments: str, demanded: bool = True) -> str:
        command = ["openssl", *arguments]
        ran = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=demanded, timeout=30)
        return ran.stdout + ran.stderr


@contextmanager
def answering(authority: Authority) -> Iterator[Authority]:
    """The same, asked at `url`."""

    class Page(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = self.rfile.read(int(self.headers["Content-Length"]))
            assert self.headers["Content-Type"] == "application/timestamp-query"
            status, kind, body = authority.says(query)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - because the library names it so
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        authority.url = f"http://127.0.0.1:{server.server_port}"
        yield authority
        server.shutdown()
        thread.join()
