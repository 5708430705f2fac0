"""A real PgBouncer before a PostgreSQL server, where this machine has one installed."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

INI = """\
[databases]
{database} = host={host} port={port} dbname={database} user={user}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
auth_type = any
pool_mode = {mode}
default_pool_size = {size}
unix_socket_dir =
"""


@contextmanager
def pooled(url: str, folder: Path, *, size: int = 2, mode: str = "transaction") -> Iterator[str]:
    """The same database by way of a pooler that has `size` connections to it. Skips where there is no PgBouncer."""
    program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        pytest.skip(reason="PgBouncer is not installed here (the package pgbouncer)")
    behind = make_url(url)
    with socket.create_server(("127.0.0.1", 0)) as free:
        listen = free.getsockname()[1]
    host = behind.query.get("host", behind.host)
    ini = folder / "pgbouncer.ini"
    ini.write_text(
        INI.format(
            database=behind.database,
            host=host,
            port=behind.port or 5432,
            user=behind.username,
            listen=listen,
            size=size,
            mode=mode,
        )
    )
    ini.chmod(0o644)  # a command that ran before in this process may have made new files private
    command = [program, "-q", str(ini)]
    if os.getuid() == 0:
        # It refuses to be root. The server's own user may enter the folder of its socket, but not read our settings.
        owner = Path(str(host)).stat()
        command = ["setpriv", f"--reuid={owner.st_uid}", f"--regid={owner.st_gid}", "--clear-groups"]
        command += [program, "-q", "/dev/stdin"]
    with ini.open("rb") as settings:
        process = subprocess.Popen(command, stdin=settings, stderr=subprocess.PIPE)
    try:
        _wait_for(listen, process)
        yield f"postgresql+psycopg://{behind.username}@127.0.0.1:{listen}/{behind.database}"
    finally:
        process.terminate()
        process.wait(60)
        if process.stderr is not None:
            process.stderr.close()


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    for _ in range(600):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            assert process.poll() is None, process.stderr.read() if process.stderr else ""
            time.sleep(0.1)
        else:
            return
    raise AssertionError("PgBouncer does not listen")
